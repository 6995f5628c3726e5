//! Joins model, terminal and effects: one queue, one loop, nothing awaited in the way of a key.
//!
//! Draws only when something changed and the queue is empty; ticks only while a time is shown. The
//! terminal is restored on every way out: return, error, panic, signal.

mod hold;
mod performer;
#[cfg(test)]
mod tests;

use crate::engine::event::RunId;
use crate::engine::journal::Journal;
use crate::engine::world::World;
use crate::signals::Signals;
use crate::tui::effect::Effect;
use crate::tui::model::{Model, Settings};
use crate::tui::msg::Msg;
use crate::tui::pane::frame::Frame;
use crate::tui::pane::session::Handle;
use crate::tui::update::{begin, notify, update};
use crate::tui::view::draw;
use crossterm::event::{Event, EventStream, KeyEventKind, MouseEventKind};
use crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate};
use crossterm::{execute, queue};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use hold::{CRASHED, Guard};
use performer::{Performer, changed_scope};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Time between two frames while something with a shown time runs.
const TICK: Duration = Duration::from_millis(100);

/// Longest end of the sessions that were left just before the program is.
const FAREWELL: Duration = Duration::from_secs(3);

/// Bytes of a large frame.
const FRAME: usize = 256 * 1024;

/// Runs the full-screen program until the user leaves, a signal comes or the terminal is gone. The first frame does not
/// wait for the world.
///
/// Fails when the terminal cannot be used, or when a task stopped in a panic.
pub async fn run(
    world: BoxFuture<'static, Arc<dyn World>>,
    journal: Arc<dyn Journal>,
    settings: Settings,
) -> io::Result<()> {
    hold::hook_panics();
    let guard = Guard::take(settings.mouse)?;
    // One write a frame, so that no half of one is seen.
    let out = io::BufWriter::with_capacity(FRAME, io::stdout());
    let mut terminal = Terminal::new(CrosstermBackend::new(out))?;
    let size = terminal.size()?;
    let model = Model::new(settings, (size.width, size.height));
    // After a panic elsewhere the terminal is no longer ours.
    let draw = |model: &Model| if hold::is_ours() { show(&mut terminal, model) } else { Ok(()) };
    let (mut performer, queue) = Performer::new(world, journal);
    performer.keeper = model.practice.as_ref().and_then(|practice| practice.keeper.clone());
    let result = turn(model, (performer, queue), listen(), draw).await;
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
    let mut signals = Signals::listen();
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
        let wake = notify::wakes_at(&model).map(|ms| performer.begun + Duration::from_millis(ms));
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
            () = at(wake) => {
                update(&mut model, performer.clock());
            }
            world = changed_scope(&mut performer.changing) => effects.extend(performer.changed(world)),
            _ = signals.next() => return Ok(()),
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
        Event::Mouse(mouse) if mouse.kind == MouseEventKind::ScrollUp => Some(Msg::Wheel { up: true }),
        Event::Mouse(mouse) if mouse.kind == MouseEventKind::ScrollDown => Some(Msg::Wheel { up: false }),
        Event::FocusGained => Some(Msg::Focused(true)),
        Event::FocusLost => Some(Msg::Focused(false)),
        Event::Resize(width, height) => Some(Msg::Resized(width, height)),
        _ => None,
    }
}

/// Waits until a moment, if there is one to wait for.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits for the next frame of the terminal, if there is one.
async fn drawn(shell: &mut Option<Handle>) -> (RunId, Arc<Frame>) {
    match shell {
        Some(shell) => shell.drawn().await,
        None => std::future::pending().await,
    }
}
