//! Performs effects: calls into the engine, the clipboard and the files that were asked for.
//!
//! Nothing is awaited here: what takes time runs in a task and comes back as a message. Must not change the model.

use super::TICK;
use crate::core::fleet::{CSV_HEADER, Row, csv_line, json_line};
use crate::core::report::Run;
use crate::core::report::compare::{Outline, compare};
use crate::engine::event::RunId;
use crate::engine::fleet::FleetEvent;
use crate::engine::journal::Journal;
use crate::engine::scope::Scope;
use crate::engine::world::World;
use crate::engine::{diagnose, fleet, repair, report};
use crate::tui::clipboard::{self, Way};
use crate::tui::effect::{Effect, Export, Place};
use crate::tui::model::practice::Keep;
use crate::tui::msg::Msg;
use crate::tui::pane::session::Handle;
use crate::tui::update::notify;
use futures_util::future::BoxFuture;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// The fleet's file names, in the current directory.
const FLEET_JSON: &str = "port22-fleet.jsonl";
const FLEET_CSV: &str = "port22-fleet.csv";

/// Answers of the fleet that are passed on in one go.
const MANY: usize = 10_000;

/// Performs effects in tasks of their own; their results come back as messages.
pub(super) struct Performer {
    /// `None` until the first one is made.
    world: Option<Arc<dyn World>>,
    /// The world that the program was started with.
    first: Option<Arc<dyn World>>,
    /// The first world, or that of another profile or Region, while it is made.
    pub(super) changing: Option<oneshot::Receiver<Option<Arc<dyn World>>>>,
    /// What waits for it.
    waiting: Vec<Effect>,
    /// The listing that runs.
    listing: Option<AbortHandle>,
    journal: Arc<dyn Journal>,
    sender: UnboundedSender<Msg>,
    running: HashMap<RunId, CancellationToken>,
    /// The terminal of the pane.
    pub(super) shell: Option<Handle>,
    /// The ends of those that were left.
    pub(super) closing: JoinSet<()>,
    /// When the clock was at 0.
    pub(super) begun: Instant,
    /// Who keeps solved lessons; nobody outside practice.
    pub(super) keeper: Option<Arc<dyn Keep>>,
}

impl Performer {
    /// A performer, and the queue on which results come back. The world is made meanwhile: finding the Region may take
    /// seconds (the instance metadata is asked where nothing else names one), and nothing on the screen waits for it.
    pub(super) fn new(
        world: BoxFuture<'static, Arc<dyn World>>,
        journal: Arc<dyn Journal>,
    ) -> (Self, UnboundedReceiver<Msg>) {
        let (sender, queue) = unbounded_channel();
        let (running, closing) = (HashMap::new(), JoinSet::new());
        let (made, changing) = oneshot::channel();
        tokio::spawn(async move {
            let _ = made.send(Some(world.await));
        });
        let made = Self {
            world: None,
            first: None,
            changing: Some(changing),
            waiting: Vec::new(),
            listing: None,
            journal,
            sender,
            running,
            shell: None,
            closing,
            begun: Instant::now(),
            keeper: None,
        };
        (made, queue)
    }

    /// The moment, for the model.
    pub(super) fn clock(&self) -> Msg {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Msg::Clock {
            ms: u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            unix: i64::try_from(unix).unwrap_or(i64::MAX),
        }
    }

    /// Starts the effects; true when the program is to end. What asks the world waits while one is made.
    pub(super) fn perform(&mut self, effects: Vec<Effect>) -> io::Result<bool> {
        for effect in effects {
            let (journal, sender) = (Arc::clone(&self.journal), self.sender.clone());
            match effect {
                Effect::Quit => return Ok(true),
                Effect::Copy(text) => {
                    tokio::task::spawn_blocking(move || {
                        let _ = sender.send(match clipboard::copy_by_program(&text, |name| std::env::var_os(name)) {
                            Some(program) => Msg::Copied { first: first_words(&text), way: Way::Program(program) },
                            // The terminal is written to by this loop alone, between two frames.
                            None => Msg::NotCopied { text },
                        });
                    });
                }
                Effect::CopyByTerminal(text) => {
                    let way = copy(&text)?;
                    let _ = sender.send(Msg::Copied { first: first_words(&text), way });
                }
                Effect::ShellInput { run, typed } => {
                    if let Some(shell) = self.shell(run)
                        && !shell.send(typed.0)
                    {
                        let text = "the other side takes no input at the moment".to_owned();
                        let _ = sender.send(Msg::ShellNotice { run, text });
                    }
                }
                Effect::ShellResize { run, size } => {
                    if let Some(shell) = self.shell(run) {
                        shell.resize(size);
                    }
                }
                Effect::ShellScroll { run, by } => {
                    if let Some(shell) = self.shell(run) {
                        shell.scroll(by);
                    }
                }
                Effect::CloseShell { run } => {
                    if let Some(shell) = self.shell.take_if(|s| s.run() == run) {
                        while self.closing.try_join_next().is_some() {}
                        self.closing.spawn(shell.close());
                    }
                }
                Effect::Bell(bell) => {
                    let in_tmux = std::env::var_os("TMUX").is_some_and(|v| !v.is_empty());
                    let mut out = io::stdout();
                    out.write_all(notify::sequence(&bell, in_tmux).as_bytes())?;
                    out.flush()?;
                }
                Effect::Cancel { run } => {
                    self.waiting.retain(|e| !is_of(e, run));
                    if let Some(token) = self.running.remove(&run) {
                        token.cancel();
                    }
                }
                Effect::ExportFleet(rows) => {
                    tokio::task::spawn_blocking(move || {
                        let _ = sender.send(Msg::Exported(export_fleet(&rows)));
                    });
                }
                Effect::KeepSolved(solved) => {
                    if let Some(keeper) = self.keeper.clone() {
                        tokio::task::spawn_blocking(move || {
                            if let Err(reason) = keeper.keep(&solved) {
                                let _ = sender.send(Msg::NotKept(reason));
                            }
                        });
                    }
                }
                Effect::LoadJournal => {
                    tokio::task::spawn_blocking(move || {
                        let _ = sender.send(Msg::JournalRead(journal.entries()));
                    });
                }
                Effect::Export(wish) => {
                    tokio::task::spawn_blocking(move || {
                        let text = report_of(&wish, journal.as_ref());
                        let _ = sender.send(match wish.place {
                            Place::Clipboard => Msg::ReportMade(text),
                            Place::File => {
                                let file = wish.wanted.file();
                                let written = std::fs::write(file, text).map_err(|e| format!("{file}: {e}"));
                                Msg::Exported(written.map(|()| file.to_owned()))
                            }
                        });
                    });
                }
                Effect::ChangeScope(scope) => match self.first.clone() {
                    Some(first) => self.change(first, scope),
                    None => self.waiting.push(Effect::ChangeScope(scope)),
                },
                of_world => match self.world.clone().filter(|_| self.changing.is_none()) {
                    Some(world) => self.ask(world, of_world),
                    None => self.waiting.push(of_world),
                },
            }
        }
        Ok(false)
    }

    /// Starts an effect that the world answers.
    fn ask(&mut self, world: Arc<dyn World>, effect: Effect) {
        let (journal, sender) = (Arc::clone(&self.journal), self.sender.clone());
        match effect {
            Effect::OpenShell { run, wish } => {
                self.shell = Some(Handle::open(world, run, *wish, sender));
            }
            Effect::LoadScopes { ask } => {
                let (out, mut events) = unbounded_channel();
                tokio::spawn(async move { world.scopes(out).await });
                tokio::spawn(async move {
                    while let Some(event) = events.recv().await {
                        let _ = sender.send(Msg::Scopes { ask, event });
                    }
                });
            }
            Effect::LoadInventory { load } => {
                let (out, mut parts) = unbounded_channel();
                if let Some(before) = self.listing.take() {
                    before.abort();
                }
                self.listing = Some(tokio::spawn(async move { world.inventory(out).await }).abort_handle());
                tokio::spawn(async move {
                    let mut done = false;
                    while let Some(event) = parts.recv().await {
                        done |= matches!(event, crate::engine::inventory::InventoryEvent::Done);
                        let _ = sender.send(Msg::Inventory { load, event });
                    }
                    if !done {
                        let event = crate::engine::inventory::InventoryEvent::Done;
                        let _ = sender.send(Msg::Inventory { load, event });
                    }
                });
            }
            Effect::Diagnose { run, request } => {
                let token = CancellationToken::new();
                self.running.retain(|_, t| !t.is_cancelled());
                self.running.insert(run, token.clone());
                let (out, mut snapshots) = unbounded_channel();
                tokio::spawn(diagnose::run(world, *request, run, out, token));
                tokio::spawn(async move {
                    while let Some(snapshot) = snapshots.recv().await {
                        let _ = sender.send(Msg::Learned(Box::new(snapshot)));
                    }
                });
            }
            Effect::KeepPassphrase { file, passphrase } => world.keep_passphrase(&file, passphrase),
            Effect::Plan { run, fix, facts, choices } => {
                tokio::spawn(async move {
                    let plan = repair::plan(world.as_ref(), &fix, &facts, &choices).await.map(Box::new);
                    let _ = sender.send(Msg::Planned { run, plan });
                });
            }
            Effect::Apply { run, plan, request, reread } => {
                let out = self.repair_events(run);
                tokio::spawn(async move {
                    let means = repair::Means { world, journal, request: *request, run, out };
                    Box::pin(repair::apply(means, *plan, reread)).await;
                });
            }
            Effect::Undo { run, entry, request } => {
                let out = self.repair_events(run);
                tokio::spawn(async move {
                    let means = repair::Means { world, journal, request: *request, run, out };
                    Box::pin(repair::undo(means, entry)).await;
                });
            }
            Effect::Resume { run, entry, request } => {
                let out = self.repair_events(run);
                tokio::spawn(async move {
                    let means = repair::Means { world, journal, request: *request, run, out };
                    Box::pin(repair::resume(means, *entry)).await;
                });
            }
            Effect::Fleet { run, wish, base } => {
                let token = CancellationToken::new();
                self.running.retain(|_, t| !t.is_cancelled());
                self.running.insert(run, token.clone());
                let (out, events) = unbounded_channel();
                if let Some(fleet) = world.fleet(&base) {
                    tokio::spawn(fleet::run(fleet, *wish, out, token));
                }
                tokio::spawn(fleet_told(run, events, sender));
            }
            // The others are performed without a world.
            _ => {}
        }
    }

    /// Begins to make the world of a scope; what needs it waits until it is there. Those that run go on in theirs.
    fn change(&mut self, first: Arc<dyn World>, scope: Scope) {
        // What waits was asked for in a scope that was left.
        self.waiting.clear();
        if let Some(listing) = self.listing.take() {
            listing.abort();
        }
        let (made, changing) = oneshot::channel();
        tokio::spawn(async move {
            let world = if scope == Scope::default() { Some(first) } else { first.with_scope(scope).await };
            let _ = made.send(world);
        });
        self.changing = Some(changing);
    }

    /// The world of the scope is made; what has waited for it.
    pub(super) fn changed(&mut self, world: Option<Arc<dyn World>>) -> Vec<Effect> {
        self.changing = None;
        if let Some(world) = world {
            self.first.get_or_insert_with(|| Arc::clone(&world));
            self.world = Some(world);
        }
        std::mem::take(&mut self.waiting)
    }

    /// The terminal with this number.
    fn shell(&self, run: RunId) -> Option<&Handle> {
        self.shell.as_ref().filter(|s| s.run() == run)
    }

    /// A channel whose repair events come back as messages of a run.
    fn repair_events(&self, run: RunId) -> UnboundedSender<crate::engine::event::RepairEvent> {
        let (out, mut events) = unbounded_channel();
        let sender = self.sender.clone();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let _ = sender.send(Msg::Repaired { run, event: Box::new(event) });
            }
        });
        out
    }
}

/// Waits for the world of a scope, if one is being made.
pub(super) async fn changed_scope(
    changing: &mut Option<oneshot::Receiver<Option<Arc<dyn World>>>>,
) -> Option<Arc<dyn World>> {
    match changing {
        Some(made) => made.await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

/// Whether it is the beginning of a run that can be cancelled.
fn is_of(effect: &Effect, wanted: RunId) -> bool {
    matches!(effect, Effect::Diagnose { run, .. } | Effect::Fleet { run, .. } if *run == wanted)
}

/// Passes the fleet's answers on, those that come close together as one: each makes the list be grouped anew.
async fn fleet_told(run: RunId, mut events: UnboundedReceiver<FleetEvent>, sender: UnboundedSender<Msg>) {
    let mut ended = false;
    let mut waiting = Vec::new();
    while events.recv_many(&mut waiting, MANY).await > 0 {
        let mut rows = Vec::new();
        for event in waiting.drain(..) {
            match event {
                FleetEvent::Rows(more) => rows.extend(more),
                other => {
                    ended |= matches!(other, FleetEvent::Ended(_));
                    if !rows.is_empty() {
                        let event = FleetEvent::Rows(std::mem::take(&mut rows));
                        let _ = sender.send(Msg::Fleet { run, event });
                    }
                    let _ = sender.send(Msg::Fleet { run, event: other });
                }
            }
        }
        if !rows.is_empty() {
            let _ = sender.send(Msg::Fleet { run, event: FleetEvent::Rows(rows) });
        }
        tokio::time::sleep(TICK).await;
    }
    if !ended {
        // A world without a fleet, or one that stopped.
        let _ = sender.send(Msg::Fleet { run, event: FleetEvent::Ended(fleet::Progress::default()) });
    }
}

/// Writes rows as JSON lines and as CSV.
fn export_fleet(rows: &[Row]) -> Result<String, String> {
    let join = |lines: &mut dyn Iterator<Item = String>| lines.map(|line| line + "\n").collect::<String>();
    let json = join(&mut rows.iter().map(json_line));
    let csv = join(&mut std::iter::once(CSV_HEADER.to_owned()).chain(rows.iter().map(csv_line)));
    for (name, text) in [(FLEET_JSON, json), (FLEET_CSV, csv)] {
        std::fs::write(name, text).map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(format!("{FLEET_JSON} and {FLEET_CSV}"))
}

/// The report as it is wanted, with what the journal says was changed.
fn report_of(wish: &Export, journal: &dyn Journal) -> String {
    let (facts, diagnosis) = (&wish.snapshot.facts, &wish.snapshot.diagnosis);
    // Without a journal the report tells of no changes: it is about the diagnosis.
    let done = report::done_for(facts, &journal.entries().unwrap_or_default());
    let compared = wish.before.as_ref().map(|before| compare(before, &Outline::of(facts, diagnosis)));
    let run = Run { done, compared, redacted: wish.wanted.redacted, ..report::run_of(&wish.snapshot) };
    report::write(wish.wanted.form, facts, diagnosis, &run, wish.ascii)
}

/// The first line of a text, and whether there is more.
fn first_words(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    if text.lines().count() > 1 { format!("{first} …") } else { first.to_owned() }
}

/// Asks the terminal to put a text on its clipboard (OSC 52).
fn copy(text: &str) -> io::Result<Way> {
    let Some(sequence) = clipboard::sequence(text, |name| std::env::var_os(name)) else { return Ok(Way::TooLong) };
    let mut out = io::stdout();
    out.write_all(sequence.as_bytes())?;
    out.flush()?;
    Ok(Way::Terminal)
}
