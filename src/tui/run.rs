//! Joins model, terminal and effects: one queue, one loop, nothing awaited in the way of a key.
//!
//! Draws only when something changed and the queue is empty; ticks only while a time is shown. The
//! terminal is restored on every way out: return, error, panic, signal.

use crate::core::facts::Facts;
use crate::core::plan::Plan;
use crate::engine::event::{RunId, Snapshot};
use crate::engine::journal::Journal;
use crate::engine::world::World;
use crate::engine::{diagnose, repair};
use crate::tui::effect::Effect;
use crate::tui::model::{Model, Settings};
use crate::tui::msg::Msg;
use crate::tui::update::{begin, update};
use crate::tui::view::draw;
use base64::Engine as _;
use crossterm::event::{
    DisableBracketedPaste, EnableBracketedPaste, Event, EventStream, KeyEventKind,
};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};
use futures_util::StreamExt;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

/// Time between two frames while something with a shown time runs.
const TICK: Duration = Duration::from_millis(100);

/// The report's file name, in the current directory.
const REPORT: &str = "port22-report.md";

/// Whether the terminal is in our hands.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Wakes the loop when a task panicked.
static CRASHED: tokio::sync::Notify = tokio::sync::Notify::const_new();

/// Runs the full-screen program until the user leaves, a signal comes or the terminal is gone.
///
/// Fails when the terminal cannot be used, or when a task stopped in a panic.
pub async fn run(world: Arc<dyn World>, journal: Arc<dyn Journal>, settings: Settings) -> io::Result<()> {
    hook_panics();
    let guard = Guard::take()?;
    let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
    let size = terminal.size()?;
    let model = Model::new(settings, (size.width, size.height));
    let result = turn(&mut terminal, model, world, journal).await;
    drop(guard);
    result
}

type Screen = Terminal<CrosstermBackend<io::Stdout>>;

async fn turn(terminal: &mut Screen, mut model: Model, world: Arc<dyn World>, journal: Arc<dyn Journal>) -> io::Result<()> {
    let (sender, mut queue) = unbounded_channel();
    let mut performer = Performer { world, journal, sender, running: HashMap::new(), begun: Instant::now() };
    let mut keys = listen();
    let mut signals = Signals::listen()?;
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    update(&mut model, performer.clock());
    // The first frame comes before anything is asked.
    terminal.draw(|frame| draw(&model, frame))?;
    let first = begin(&mut model);
    performer.perform(first)?;
    let mut changed = true;
    loop {
        if changed && TAKEN.load(Ordering::SeqCst) {
            terminal.draw(|frame| draw(&model, frame))?;
        }
        changed = true;
        let mut effects = Vec::new();
        tokio::select! {
            Some(msg) = queue.recv() => {
                update(&mut model, performer.clock());
                effects.extend(update(&mut model, msg));
            }
            event = keys.recv() => match event {
                Some(Ok(event)) => {
                    update(&mut model, performer.clock());
                    match message(event) {
                        Some(msg) => effects.extend(update(&mut model, msg)),
                        None => changed = false,
                    }
                }
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
            _ = tick.tick(), if model.wants_tick() => {
                update(&mut model, performer.clock());
            }
            () = signals.any() => return Ok(()),
            () = CRASHED.notified() => return Err(io::Error::other("a task of the program stopped unexpectedly")),
        }
        effects.extend(drain(&mut model, &mut queue, &mut keys));
        if performer.perform(effects)? {
            return Ok(());
        }
    }
}

/// Everything that already waits is taken in before the next frame is drawn.
fn drain(model: &mut Model, queue: &mut UnboundedReceiver<Msg>, keys: &mut UnboundedReceiver<io::Result<Event>>) -> Vec<Effect> {
    let mut effects = Vec::new();
    // Bounded by what waits now, so that a flood cannot keep the screen from being drawn.
    for _ in 0..queue.len() {
        match queue.try_recv() {
            Ok(msg) => effects.extend(update(model, msg)),
            Err(_) => break,
        }
    }
    for _ in 0..256 {
        match keys.try_recv() {
            Ok(Ok(event)) => effects.extend(message(event).into_iter().flat_map(|msg| update(model, msg))),
            _ => break,
        }
    }
    effects
}

/// Terminal events in a queue that can be looked into. The stream itself must only ever be awaited: it
/// keeps the first waker it was polled with, so that a poll "just to look" would lose the next key.
fn listen() -> UnboundedReceiver<io::Result<Event>> {
    let (out, keys) = unbounded_channel();
    tokio::spawn(async move {
        let mut stream = EventStream::new();
        while let Some(event) = stream.next().await {
            if out.send(event).is_err() {
                return;
            }
        }
    });
    keys
}

fn message(event: Event) -> Option<Msg> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => Some(Msg::Key(key)),
        Event::Paste(text) => Some(Msg::Pasted(text)),
        Event::Resize(width, height) => Some(Msg::Resized(width, height)),
        _ => None,
    }
}

/// Performs effects in tasks of their own; their results come back as messages.
struct Performer {
    world: Arc<dyn World>,
    journal: Arc<dyn Journal>,
    sender: UnboundedSender<Msg>,
    running: HashMap<RunId, CancellationToken>,
    begun: Instant,
}

impl Performer {
    fn clock(&self) -> Msg {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Msg::Clock {
            ms: u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            unix: i64::try_from(unix).unwrap_or(i64::MAX),
        }
    }

    /// Starts the effects; true when the program is to end.
    fn perform(&mut self, effects: Vec<Effect>) -> io::Result<bool> {
        for effect in effects {
            let (world, journal, sender) = (Arc::clone(&self.world), Arc::clone(&self.journal), self.sender.clone());
            match effect {
                Effect::Quit => return Ok(true),
                Effect::Copy(text) => copy(&text)?,
                Effect::Cancel { run } => {
                    if let Some(token) = self.running.remove(&run) {
                        token.cancel();
                    }
                }
                Effect::LoadInventory { load } => {
                    let (out, mut parts) = unbounded_channel();
                    tokio::spawn(async move { world.inventory(out).await });
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
                Effect::Plan { run, fix, facts } => {
                    tokio::spawn(async move {
                        let plan = plan(world, &fix, &facts).await;
                        let _ = sender.send(Msg::Planned { run, plan });
                    });
                }
                Effect::Apply { run, plan, request } => {
                    let out = self.repair_events(run);
                    tokio::spawn(async move {
                        repair::apply(world, journal, *plan, *request, run, out).await;
                    });
                }
                Effect::Undo { run, entry } => {
                    let out = self.repair_events(run);
                    tokio::spawn(async move {
                        repair::undo(world, journal, entry, out).await;
                    });
                }
                Effect::LoadJournal => {
                    tokio::task::spawn_blocking(move || {
                        let _ = sender.send(Msg::JournalRead(journal.entries()));
                    });
                }
                Effect::Export(snapshot) => {
                    tokio::task::spawn_blocking(move || {
                        let _ = sender.send(Msg::Exported(export(&snapshot)));
                    });
                }
            }
        }
        Ok(false)
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

async fn plan(world: Arc<dyn World>, fix: &str, facts: &Facts) -> Result<Box<Plan>, String> {
    let plan = crate::core::fixes::plan(fix, facts)?;
    Ok(Box::new(world.preflight(plan).await))
}

fn export(snapshot: &Snapshot) -> Result<String, String> {
    let text = crate::engine::report::markdown(snapshot);
    std::fs::write(REPORT, text).map(|()| REPORT.to_owned()).map_err(|e| format!("{REPORT}: {e}"))
}

/// Asks the terminal to put a text on its clipboard (OSC 52).
fn copy(text: &str) -> io::Result<()> {
    let encoded = base64::engine::general_purpose::STANDARD.encode(text);
    let mut out = io::stdout();
    write!(out, "\x1b]52;c;{encoded}\x07")?;
    out.flush()
}

/// Holds the terminal; gives it back when dropped.
struct Guard;

impl Guard {
    fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let guard = Self;
        execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)?;
        Ok(guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        give_back();
    }
}

/// Restores the terminal, once. Errors are not worth telling: there is nowhere left to tell them.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stdout(), DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
    }
}

/// A panic in any task gives the terminal back first, so that its message can be read; the loop
/// then ends with an error.
fn hook_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
            CRASHED.notify_one();
        }));
    });
}

/// The signals that end a program.
struct Signals {
    #[cfg(unix)]
    all: [tokio::signal::unix::Signal; 3],
}

impl Signals {
    #[cfg(unix)]
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { all: [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?] })
    }

    #[cfg(unix)]
    async fn any(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.all;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }

    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "the same shape as on Unix")]
    fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn any(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
