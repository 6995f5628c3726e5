//! Joins model, terminal and effects: one queue, one loop, nothing awaited in the way of a key.
//!
//! Draws only when something changed and the queue is empty; ticks only while a time is shown. The
//! terminal is restored on every way out: return, error, panic, signal.

use crate::core::fleet::{CSV_HEADER, Row, csv_line, json_line};
use crate::core::report::Run;
use crate::core::report::compare::{Outline, compare};
use crate::engine::event::RunId;
use crate::engine::fleet::FleetEvent;
use crate::engine::journal::Journal;
use crate::engine::world::World;
use crate::engine::{diagnose, fleet, repair, report};
use crate::tui::clipboard::{self, Way};
use crate::tui::effect::{Effect, Export, Place};
use crate::tui::model::{Model, Settings};
use crate::tui::msg::Msg;
use crate::tui::pane::frame::Frame;
use crate::tui::pane::session::{self, Handle};
use crate::tui::update::{begin, update};
use crate::tui::view::draw;
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste, Event, EventStream, KeyEventKind};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};
use crossterm::{cursor, execute, queue};
use futures_util::StreamExt;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Time between two frames while something with a shown time runs.
const TICK: Duration = Duration::from_millis(100);

/// Longest end of the sessions that were left just before the program is.
const FAREWELL: Duration = Duration::from_secs(3);

/// Bytes of a large frame.
const FRAME: usize = 256 * 1024;

/// The fleet's file names, in the current directory.
const FLEET_JSON: &str = "port22-fleet.jsonl";
const FLEET_CSV: &str = "port22-fleet.csv";

/// Answers of the fleet that are passed on in one go.
const MANY: usize = 10_000;

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
    // One write a frame, so that no half of one is seen.
    let out = io::BufWriter::with_capacity(FRAME, io::stdout());
    let mut terminal = Terminal::new(CrosstermBackend::new(out))?;
    let size = terminal.size()?;
    let model = Model::new(settings, (size.width, size.height));
    // After a panic elsewhere the terminal is no longer ours.
    let draw = |model: &Model| if TAKEN.load(Ordering::SeqCst) { show(&mut terminal, model) } else { Ok(()) };
    let result = turn(model, Performer::new(world, journal), listen(), draw).await;
    drop(guard);
    result
}

type Screen = Terminal<CrosstermBackend<io::BufWriter<io::Stdout>>>;

/// Draws a frame, as one update where the terminal knows such.
fn show(terminal: &mut Screen, model: &Model) -> io::Result<()> {
    queue!(terminal.backend_mut(), BeginSynchronizedUpdate)?;
    terminal.draw(|frame| draw(model, frame))?;
    execute!(terminal.backend_mut(), EndSynchronizedUpdate)
}

/// Terminal events, or why there are none any more.
type Keys = UnboundedReceiver<io::Result<Event>>;

/// The loop, over any source of terminal events and any way to draw. A session that is open at its end is ended in
/// order.
async fn turn(
    model: Model,
    (mut performer, queue): (Performer, UnboundedReceiver<Msg>),
    keys: Keys,
    draw: impl FnMut(&Model) -> io::Result<()>,
) -> io::Result<()> {
    let result = turns(model, &mut performer, queue, keys, draw).await;
    if let Some(shell) = performer.shell.take() {
        shell.close().await;
    }
    // One that was left a moment ago.
    let closed = async { while performer.closing.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FAREWELL, closed).await;
    result
}

async fn turns(
    mut model: Model,
    performer: &mut Performer,
    mut queue: UnboundedReceiver<Msg>,
    mut keys: Keys,
    mut draw: impl FnMut(&Model) -> io::Result<()>,
) -> io::Result<()> {
    let mut signals = Signals::listen()?;
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    update(&mut model, performer.clock());
    // The first frame comes before anything is asked.
    draw(&model)?;
    let first = begin(&mut model);
    performer.perform(first)?;
    let mut changed = true;
    loop {
        if changed {
            draw(&model)?;
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
            (run, frame) = drawn(&mut performer.shell) => {
                update(&mut model, performer.clock());
                effects.extend(update(&mut model, Msg::ShellDrawn { run, frame }));
            }
            () = CRASHED.notified() => return Err(io::Error::other("a task of the program stopped unexpectedly")),
        }
        effects.extend(drain(&mut model, &mut queue, &mut keys));
        if performer.perform(effects)? {
            return Ok(());
        }
    }
}

/// Everything that already waits is taken in before the next frame is drawn.
fn drain(model: &mut Model, queue: &mut UnboundedReceiver<Msg>, keys: &mut Keys) -> Vec<Effect> {
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
fn listen() -> Keys {
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
    /// The terminal of the pane.
    shell: Option<Handle>,
    /// The ends of those that were left.
    closing: JoinSet<()>,
    begun: Instant,
}

impl Performer {
    /// A performer, and the queue on which results come back.
    fn new(world: Arc<dyn World>, journal: Arc<dyn Journal>) -> (Self, UnboundedReceiver<Msg>) {
        let (sender, queue) = unbounded_channel();
        let (running, closing) = (HashMap::new(), JoinSet::new());
        (Self { world, journal, sender, running, shell: None, closing, begun: Instant::now() }, queue)
    }

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
                Effect::OpenShell { run, wish } => {
                    self.shell = Some(Handle::open(world, run, *wish, sender));
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
                Effect::ExportFleet(rows) => {
                    tokio::task::spawn_blocking(move || {
                        let _ = sender.send(Msg::Exported(export_fleet(&rows)));
                    });
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
            }
        }
        Ok(false)
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

/// Waits for the next frame of the terminal, if there is one.
async fn drawn(shell: &mut Option<Handle>) -> (RunId, Arc<Frame>) {
    match shell {
        Some(shell) => shell.drawn().await,
        None => std::future::pending().await,
    }
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
            if session::is_guarded() {
                return;
            }
            give_back();
            before(info);
            CRASHED.notify_one();
        }));
    });
}

/// The signals that end a program.
struct Signals {
    #[cfg(unix)]
    all: [tokio::signal::unix::Signal; 4],
}

impl Signals {
    #[cfg(unix)]
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            all: [
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
                signal(SignalKind::hangup())?,
                signal(SignalKind::quit())?,
            ],
        })
    }

    #[cfg(unix)]
    async fn any(&mut self) {
        let [terminate, interrupt, hangup, quit] = &mut self.all;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
            _ = quit.recv() => {}
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fact::{Fact, Why};
    use crate::core::facts::Facts;
    use crate::core::facts::prepared::Prepared;
    use crate::core::plan::Action;
    use crate::core::plan::Plan;
    use crate::core::probe::ProbeId;
    use crate::engine::failure::Failure;
    use crate::engine::inventory::InventoryEvent;
    use crate::engine::journal::{Entry, LineEvent};
    use crate::engine::world::{Observation, Performed, Settled, StepContext};
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
    use futures_util::future::BoxFuture;
    use std::sync::Mutex;

    /// A world that knows one instance's name and answers nothing else.
    struct Silent;

    impl World for Silent {
        fn observe(&self, probe: ProbeId, _: Arc<Facts>) -> BoxFuture<'_, Vec<Observation>> {
            let why = Why::needs("a world");
            let seen = match probe {
                ProbeId::SshConfig => Observation::SshConfig(Fact::unknown(why)),
                ProbeId::Instance => Observation::Instance(Fact::unknown(why)),
                ProbeId::Dns => Observation::Dns(Fact::unknown(why)),
                _ => return Box::pin(async { Vec::new() }),
            };
            Box::pin(async move { vec![seen] })
        }
        fn inventory(&self, out: UnboundedSender<InventoryEvent>) -> BoxFuture<'_, ()> {
            let instance = crate::core::facts::aws::Instance {
                id: "i-0a1b2c3d".into(),
                name: Some("web-1".into()),
                ..Default::default()
            };
            let _ = out.send(InventoryEvent::Page(vec![instance]));
            Box::pin(async {})
        }
        fn preflight(&self, plan: Plan) -> BoxFuture<'_, Plan> {
            Box::pin(async { plan })
        }
        fn prepare(&self, _: &str, _: Arc<Facts>) -> BoxFuture<'_, Prepared> {
            Box::pin(async { Prepared::default() })
        }
        fn perform(&self, _: Action, _: StepContext) -> BoxFuture<'_, Result<Performed, Failure>> {
            Box::pin(async { Ok(Performed::default()) })
        }
        fn settle(&self, _: Action, _: StepContext) -> BoxFuture<'_, Settled> {
            Box::pin(async { Settled::NotDone })
        }
        fn api_calls(&self) -> u64 {
            0
        }
    }

    struct Empty;

    impl Journal for Empty {
        fn begin(&self, _: &Plan) -> Result<String, Failure> {
            Ok("e-1".into())
        }
        fn append(&self, _: &str, _: LineEvent) -> Result<(), Failure> {
            Ok(())
        }
        fn end(&self, _: &str) {}
        fn entries(&self) -> Result<Vec<Entry>, Failure> {
            Ok(Vec::new())
        }
    }

    fn key(code: KeyCode) -> Event {
        Event::Key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    /// Runs the loop; `react` sees every drawn model and says which key to press next.
    async fn journey(react: impl Fn(&Model) -> Option<KeyCode>) -> io::Result<Vec<bool>> {
        let (press, keys) = unbounded_channel();
        let drawn = Mutex::new(Vec::new());
        let model = Model::new(Settings::default(), (80, 24));
        let draw = |model: &Model| {
            drawn.lock().expect("a lock").push(model.start.rows.is_empty());
            if let Some(code) = react(model) {
                let _ = press.send(Ok(key(code)));
            }
            Ok(())
        };
        let performer = Performer::new(Arc::new(Silent), Arc::new(Empty));
        let limit = Duration::from_secs(20);
        tokio::time::timeout(limit, turn(model, performer, keys, draw)).await.map_err(io::Error::other)??;
        Ok(drawn.into_inner().expect("a lock"))
    }

    #[tokio::test]
    async fn the_loop_draws_first_then_lists_diagnoses_and_leaves() {
        let frames = journey(|model| match model.diagnosing() {
            None if model.start.done => Some(KeyCode::Enter),
            None => None,
            Some(d) if d.finished() => Some(KeyCode::Char('q')),
            Some(_) => None,
        });
        let frames = frames.await.expect("an orderly end");
        assert!(frames[0], "the first frame comes before any answer");
        assert!(frames.len() < 60, "{} frames: drawn only when something changed", frames.len());
    }

    #[tokio::test]
    async fn a_session_in_the_pane_from_its_door_to_its_end() {
        use crate::tui::model::ShellPhase;
        use crate::tui::tests::fake::Terminals;
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (world, mut doors) = Terminals::new(1024);
        let far = tokio::spawn(async move {
            let mut far = doors.recv().await.expect("the door was asked for");
            far.stream.write_all(b"prompt> ").await.expect("written");
            let mut key = [0];
            far.stream.read_exact(&mut key).await.expect("read");
            far.stream.write_all(&key).await.expect("written");
            far.control.hung_up().await;
        });
        let target = crate::core::target::Target { name: "web-9".into(), ..Default::default() };
        let target = crate::engine::diagnose::Request { target, ..Default::default() };
        let model = Model::new(Settings { target: Some(target), ..Settings::default() }, (80, 24));
        let (press, keys) = unbounded_channel();
        let key = |c| Event::Key(KeyEvent::new(c, KeyModifiers::NONE));
        let (mut typed, mut left) = (false, false);
        let draw = |model: &Model| {
            use crate::tui::model::{Overlay, Screen};
            let events = match (model.overlays.last(), model.stack.last()) {
                (Some(Overlay::EndShell), _) => {
                    left = true;
                    vec![key(KeyCode::Char('y'))]
                }
                (_, Some(Screen::Diagnosis(_))) if left => vec![key(KeyCode::Char('q'))],
                (_, Some(Screen::Doors { .. })) if left => vec![key(KeyCode::Esc)],
                (_, Some(Screen::Diagnosis(d))) if d.finished() => vec![key(KeyCode::Char('d'))],
                (_, Some(Screen::Doors { .. })) => match crate::tui::update::diagnosis::selected_door(model) {
                    Some(_) => vec![key(KeyCode::Enter)],
                    None => vec![key(KeyCode::Char('j'))],
                },
                (None, Some(Screen::Shell(s))) if s.phase == ShellPhase::Open => {
                    let at = |column| s.frame.as_ref().and_then(|f| f.cell(0, column)).map_or("", |c| c.contents());
                    match (at(6), at(8)) {
                        (">", "x") => vec![
                            Event::Key(KeyEvent::new(KeyCode::Char('5'), KeyModifiers::CONTROL)),
                            key(KeyCode::Char('q')),
                        ],
                        (">", _) if !std::mem::replace(&mut typed, true) => vec![key(KeyCode::Char('x'))],
                        _ => Vec::new(),
                    }
                }
                _ => Vec::new(),
            };
            events.into_iter().for_each(|e| drop(press.send(Ok(e))));
            Ok(())
        };
        let performer = Performer::new(Arc::new(world), Arc::new(Empty));
        let end = tokio::time::timeout(Duration::from_secs(20), turn(model, performer, keys, draw)).await;
        assert!(end.expect("in time").is_ok());
        tokio::time::timeout(Duration::from_secs(5), far).await.expect("hung up in time").expect("no panic");
    }

    #[tokio::test]
    async fn a_session_that_was_just_left_is_ended_before_the_program_is() {
        use crate::engine::terminal::{Door, Wish};
        let (world, mut doors) = crate::tui::tests::fake::Terminals::new(1024);
        let (mut performer, queue) = Performer::new(Arc::new(world), Arc::new(Empty));
        let (run, size) = (RunId(7), Some((80, 24)));
        let wish = Wish { door: Door::Ssm, facts: Arc::default(), size, command: None, plugin: false };
        performer.perform(vec![Effect::OpenShell { run, wish: Box::new(wish) }]).expect("begun");
        let far = doors.recv().await.expect("the door was asked for");
        performer.perform(vec![Effect::CloseShell { run }]).expect("begun");
        let (_, gone) = unbounded_channel();
        let model = Model::new(Settings::default(), (80, 24));
        assert!(turn(model, (performer, queue), gone, |_| Ok(())).await.is_ok());
        assert!(far.control.was_hung_up());
    }

    #[tokio::test]
    async fn the_loop_ends_when_the_terminal_is_gone() {
        let model = Model::new(Settings::default(), (80, 24));
        let (_, gone) = unbounded_channel();
        let performer = Performer::new(Arc::new(Silent), Arc::new(Empty));
        assert!(turn(model, performer, gone, |_| Ok(())).await.is_ok());
        let model = Model::new(Settings::default(), (80, 24));
        let (press, broken) = unbounded_channel();
        let _ = press.send(Err(io::Error::other("gone")));
        let performer = Performer::new(Arc::new(Silent), Arc::new(Empty));
        assert!(turn(model, performer, broken, |_| Ok(())).await.is_err());
    }
}
