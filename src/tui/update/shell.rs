//! The pane: a terminal opened, its keys, its end. Where the user came from stays below, untouched.

use crate::core::diagnosis::{DoorState, Overall};
use crate::core::words::tr;
use crate::core::{catalogue, suggest};
use crate::engine::event::RunId;
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::terminal::{Door, End, Wish};
use crate::tui::effect::{Effect, Typed};
use crate::tui::keys::{self, Action, Context};
use crate::tui::layout;
use crate::tui::model::{Diagnosing, Model, Overlay, Screen, Severity, ShellFinding, ShellMode, ShellPhase, Shelling};
use crate::tui::pane::emulator::Scroll;
use crate::tui::pane::frame::{Frame, Modes};
use crate::tui::pane::{keys as encode, paste};
use crate::tui::update::guided::door_title;
use crate::tui::update::leave_screen;
use crossterm::event::{KeyCode, KeyEvent};
use std::sync::Arc;

/// How long a notice stays when the connection works again, in milliseconds.
const TOLD_MS: u64 = 5_000;

/// What is sent when the escape key itself is wanted on the other side.
const ESCAPE: u8 = 0x1d;

/// Opens a terminal through the cheapest door that is open; without one, shows the ways in.
pub fn cheapest(model: &mut Model) -> Vec<Effect> {
    let doors = model.diagnosing().and_then(Diagnosing::diagnosis).map(|d| d.doors.as_slice()).unwrap_or_default();
    let open = doors.iter().filter(|d| d.state == DoorState::Open).find_map(|d| Door::of(&d.id));
    if let Some(door) = open {
        return self::open(model, door);
    }
    model.stack.push(Screen::Doors { cursor: 0 });
    model.say(Severity::Warn, tr("No way in is known to be open: choose one to try."));
    Vec::new()
}

/// Opens a terminal through a door.
pub fn open(model: &mut Model, door: Door) -> Vec<Effect> {
    let Some(d) = model.diagnosing() else { return Vec::new() };
    let Some(snapshot) = &d.snapshot else { return Vec::new() };
    let facts = Arc::clone(&snapshot.facts);
    let cause = snapshot.diagnosis.causes.get(d.cause).map(|c| c.id.clone());
    let finding = finding(d);
    let commands = cause.map(|id| suggest::for_cause(&id, &facts)).unwrap_or_default();
    let run = model.new_run();
    let mut shelling = Shelling {
        run,
        door,
        facts,
        title: String::new(),
        phase: ShellPhase::Opening,
        mode: ShellMode::Remote,
        zoom: false,
        size: (0, 0),
        frame: None,
        told: None,
        finding,
        commands,
        marked: 0,
        began_ms: model.clock.ms,
    };
    shelling.size = layout::shell_size(model.size, &shelling);
    if model.settings.read_only && door.pushes_key() {
        let doing = format!("open a terminal through {}", door_title(door.id()));
        let next = "leave out --read-only, or take Session Manager";
        let failure = Failure::new(FailureKind::Refused, doing, "read-only: this way in pushes a key", next);
        shelling.phase = ShellPhase::Failed(failure);
        model.stack.push(Screen::Shell(Box::new(shelling)));
        return Vec::new();
    }
    let wish = wish(&shelling);
    model.stack.push(Screen::Shell(Box::new(shelling)));
    vec![Effect::OpenShell { run, wish: Box::new(wish) }]
}

fn wish(s: &Shelling) -> Wish {
    Wish { door: s.door, facts: Arc::clone(&s.facts), size: Some(s.size), command: None, plugin: false }
}

fn finding(d: &Diagnosing) -> ShellFinding {
    let Some(diagnosis) = d.diagnosis() else { return ShellFinding::default() };
    match diagnosis.causes.get(d.cause) {
        Some(cause) => ShellFinding {
            certainty: Some(cause.certainty),
            title: catalogue::get().causes.get(&cause.id).map_or_else(|| cause.id.clone(), |w| w.title.clone()),
            evidence: cause.evidence.iter().map(|e| e.text.clone()).collect(),
        },
        None if diagnosis.overall == Overall::Healthy => {
            ShellFinding { title: tr("The login works").to_owned(), ..ShellFinding::default() }
        }
        None => ShellFinding { title: tr("No cause found yet").to_owned(), ..ShellFinding::default() },
    }
}

/// The same door once more.
fn again(model: &mut Model) -> Vec<Effect> {
    let (run, ms, size) = (model.new_run(), model.clock.ms, model.size);
    let Some(s) = model.shell_mut() else { return Vec::new() };
    if !matches!(s.phase, ShellPhase::Ended(_) | ShellPhase::Failed(_)) {
        return Vec::new();
    }
    let old = std::mem::replace(&mut s.run, run);
    (s.phase, s.mode, s.frame, s.told, s.began_ms) = (ShellPhase::Opening, ShellMode::Remote, None, None, ms);
    s.size = layout::shell_size(size, s);
    vec![Effect::CloseShell { run: old }, Effect::OpenShell { run, wish: Box::new(wish(s)) }]
}

fn of_run(model: &mut Model, run: RunId) -> Option<&mut Shelling> {
    model.stack.iter_mut().find_map(|s| match s {
        Screen::Shell(s) if s.run == run => Some(&mut **s),
        _ => None,
    })
}

/// The door is open.
pub fn opened(model: &mut Model, run: RunId, title: String) -> Vec<Effect> {
    if let Some(s) = of_run(model, run) {
        (s.phase, s.title) = (ShellPhase::Open, title);
    }
    Vec::new()
}

/// The door stayed closed.
pub fn failed(model: &mut Model, run: RunId, failure: Failure) -> Vec<Effect> {
    if let Some(s) = of_run(model, run) {
        (s.phase, s.mode) = (ShellPhase::Failed(failure), ShellMode::Remote);
    }
    Vec::new()
}

/// Something else is shown.
pub fn drawn(model: &mut Model, run: RunId, frame: Arc<Frame>) -> Vec<Effect> {
    let ms = model.clock.ms;
    if let Some(s) = of_run(model, run) {
        // Output after a while: what was told of the connection is over.
        if s.told.as_ref().is_some_and(|(_, at)| ms.saturating_sub(*at) > TOLD_MS) {
            s.told = None;
        }
        s.frame = Some(frame);
    }
    Vec::new()
}

/// Something is to be told about the connection.
pub fn told(model: &mut Model, run: RunId, text: String) -> Vec<Effect> {
    let ms = model.clock.ms;
    if let Some(s) = of_run(model, run) {
        s.told = Some((text, ms));
    }
    Vec::new()
}

/// It is over. What was shown last stays.
pub fn ended(model: &mut Model, run: RunId, end: End) -> Vec<Effect> {
    let Some(s) = of_run(model, run) else { return Vec::new() };
    s.phase = ShellPhase::Ended(end);
    if s.mode == ShellMode::Keys {
        s.mode = ShellMode::Remote;
    }
    model.overlays.retain(|o| !matches!(o, Overlay::EndShell));
    Vec::new()
}

/// The screen has another size, or the terminal another place on it.
pub fn resized(model: &mut Model) -> Vec<Effect> {
    let screen = model.size;
    let Some(s) = model.shell_mut() else { return Vec::new() };
    let size = layout::shell_size(screen, s);
    if size == s.size {
        return Vec::new();
    }
    s.size = size;
    vec![Effect::ShellResize { run: s.run, size }]
}

fn modes(s: &Shelling) -> Modes {
    s.frame.as_ref().map(|f| f.modes).unwrap_or_default()
}

fn input(s: &Shelling, bytes: Vec<u8>) -> Vec<Effect> {
    if bytes.is_empty() { Vec::new() } else { vec![Effect::ShellInput { run: s.run, typed: Typed(bytes) }] }
}

/// A key while the session runs: port22's own after the escape key, the other side's else.
pub fn pressed(model: &mut Model, context: Context, key: KeyEvent) -> Vec<Effect> {
    if let Some(action) = keys::action(model, context, key) {
        // One row of the table for all digits.
        let digit = match key.code {
            KeyCode::Char(c @ '1'..='9') => Some(c as u8 - b'1'),
            _ => None,
        };
        let action = digit.filter(|_| matches!(action, Action::Choose(_))).map_or(action, Action::Choose);
        return super::act(model, context, action);
    }
    let Some(s) = model.shell_mut() else { return Vec::new() };
    if context == Context::Shell {
        let bytes = encode::encode(key, modes(s)).unwrap_or_default();
        return input(s, bytes);
    }
    s.mode = ShellMode::Remote;
    model.say(Severity::Warn, tr("Not a key of port22; Ctrl-] ? lists them."));
    Vec::new()
}

/// A paste: to the other side, unless a question of port22 is open.
pub fn pasted(model: &mut Model, context: Context, text: &str) -> Vec<Effect> {
    let Some(s) = model.shell_mut() else { return Vec::new() };
    if context.is_overlay() || s.phase != ShellPhase::Open {
        return Vec::new();
    }
    let mut effects = live(s);
    effects.extend(input(s, paste::paste(text, modes(s).bracketed_paste)));
    effects
}

/// Back from the scroll-back, and from port22's keys.
fn live(s: &mut Shelling) -> Vec<Effect> {
    let scrolled = s.mode == ShellMode::Scroll;
    s.mode = ShellMode::Remote;
    scrolled.then_some(Effect::ShellScroll { run: s.run, by: Scroll::Live }).into_iter().collect()
}

/// Does an action of the pane.
pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    let Some(s) = model.shell_mut() else { return Vec::new() };
    let page = i32::from(s.size.1.saturating_sub(1).max(1));
    let scroll = |by| vec![Effect::ShellScroll { run: s.run, by }];
    match (s.mode, action) {
        (ShellMode::Scroll, Action::Up) => return scroll(Scroll::Lines(1)),
        (ShellMode::Scroll, Action::Down) => return scroll(Scroll::Lines(-1)),
        (ShellMode::Scroll, Action::PageUp) => return scroll(Scroll::Lines(page)),
        (ShellMode::Scroll, Action::PageDown) => return scroll(Scroll::Lines(-page)),
        (ShellMode::Scroll, Action::First) => return scroll(Scroll::Oldest),
        (ShellMode::Scroll, Action::Last) => return scroll(Scroll::Live),
        (ShellMode::Scroll, Action::Back) => return live(s),
        (_, Action::ShellKeys) => s.mode = ShellMode::Keys,
        (_, Action::ScrollBack) => return scroll_back(model),
        (_, Action::Zoom) => {
            s.zoom = !s.zoom;
            s.mode = ShellMode::Remote;
            return resized(model);
        }
        (_, Action::Suggest) => return suggest(model, None),
        (_, Action::Choose(n)) => return suggest(model, Some(usize::from(n))),
        (_, Action::Up) => s.marked = s.marked.saturating_sub(1),
        (_, Action::Down) => s.marked = (s.marked + 1).min(s.commands.len().saturating_sub(1)),
        (_, Action::SendEscape) => {
            s.mode = ShellMode::Remote;
            return input(s, vec![ESCAPE]);
        }
        (_, Action::Again) => return again(model),
        (_, Action::EndShell) => model.overlays.push(Overlay::EndShell),
        (ShellMode::Keys, Action::Back) => s.mode = ShellMode::Remote,
        (_, Action::Back) => return leave(model),
        _ => {}
    }
    Vec::new()
}

/// The mouse wheel: scrolls, and never types into the terminal.
pub fn wheel(model: &mut Model, up: bool) -> Vec<Effect> {
    let Some(s) = model.shell_mut() else { return Vec::new() };
    match (s.mode, up) {
        (ShellMode::Scroll, _) => vec![Effect::ShellScroll { run: s.run, by: Scroll::Lines(if up { 3 } else { -3 }) }],
        (_, true) => scroll_back(model),
        (_, false) => Vec::new(),
    }
}

fn scroll_back(model: &mut Model) -> Vec<Effect> {
    let Some(s) = model.shell_mut() else { return Vec::new() };
    let frame = s.frame.as_deref();
    let nothing = if frame.is_some_and(|f| f.modes.alternate) {
        tr("A full-screen program runs there: scroll in it.")
    } else if frame.is_none_or(|f| f.history == 0) {
        tr("Nothing has scrolled off yet.")
    } else {
        s.mode = ShellMode::Scroll;
        let page = i32::from((s.size.1 / 2).max(1));
        return vec![Effect::ShellScroll { run: s.run, by: Scroll::Lines(page) }];
    };
    s.mode = ShellMode::Remote;
    model.say(Severity::Note, nothing);
    Vec::new()
}

/// Puts a suggested command at the prompt: the chosen one, else the marked one; the mark goes to the next. Enter stays
/// the user's.
fn suggest(model: &mut Model, chosen: Option<usize>) -> Vec<Effect> {
    let Some(s) = model.shell_mut() else { return Vec::new() };
    s.mode = ShellMode::Remote;
    let at = chosen.unwrap_or(s.marked);
    let Some(suggestion) = s.commands.get(at) else { return Vec::new() };
    let bytes = paste::command(&suggestion.command, modes(s).bracketed_paste);
    s.marked = (at + 1) % s.commands.len().max(1);
    let effects = input(s, bytes);
    model.say(Severity::Note, tr("At the prompt. Read it; Enter there runs it."));
    effects
}

/// Leaves the pane; a session that runs ends. What lies below is as it was.
pub fn leave(model: &mut Model) -> Vec<Effect> {
    let Some(s) = model.shell() else { return Vec::new() };
    let run = s.run;
    let was_in = matches!(s.phase, ShellPhase::Open | ShellPhase::Ended(_));
    leave_screen(model);
    if was_in && matches!(model.stack.last(), Some(Screen::Diagnosis(d)) if d.finished()) {
        model.say(Severity::Note, tr("Back from the shell. If you changed something there, r runs the checks again."));
    }
    vec![Effect::CloseShell { run }]
}
