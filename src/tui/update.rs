//! The only thing that changes the model. No I/O, no clock: what is to be done comes out as
//! [`Effect`]s, what happened comes in as [`Msg`]s.

pub mod columns;
pub mod diagnosis;
pub mod fix;
pub mod fleet;
pub mod form;
pub mod guided;
pub mod journal;
pub mod notify;
pub mod overlay;
pub mod paste;
pub mod practice;
pub mod shell;
pub mod start;
pub mod switcher;

use crate::core::plan::Plan;
use crate::core::words::tr_with;
use crate::tui::clipboard::{LONGEST, Way};
use crate::tui::effect::Effect;
use crate::tui::keys::{self, Action, Context};
use crate::tui::model::{Clock, Focus, Model, Overlay, Pane, Screen, Severity};
use crate::tui::msg::Msg;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What the program does before anything happened.
pub fn begin(model: &mut Model) -> Vec<Effect> {
    let mut effects = start::reload(model);
    if let Some(request) = model.settings.target.clone() {
        effects.extend(diagnosis::open(model, request));
    }
    effects
}

/// Changes the model by one message.
pub fn update(model: &mut Model, msg: Msg) -> Vec<Effect> {
    let ticks = matches!(msg, Msg::Clock { .. });
    let mut effects = heard(model, msg);
    if !ticks {
        effects.extend(practice::follow(model));
    }
    effects
}

/// One notch is one row; what has scrolled off in a terminal of the pane is looked at.
fn wheel(model: &mut Model, up: bool) -> Vec<Effect> {
    if model.overlays.is_empty() && model.shell_mut().is_some() {
        return shell::wheel(model, up);
    }
    pressed(model, KeyEvent::from(if up { KeyCode::Up } else { KeyCode::Down }))
}

fn heard(model: &mut Model, msg: Msg) -> Vec<Effect> {
    match msg {
        Msg::Clock { ms, unix } => {
            model.clock = Clock { ms, unix };
            notify::passed(model);
            Vec::new()
        }
        Msg::Key(key) if key.kind == KeyEventKind::Release => Vec::new(),
        Msg::Key(key) => pressed(model, key),
        Msg::Wheel { up } => wheel(model, up),
        Msg::Pasted(text) => paste::pasted(model, &text),
        Msg::Focused(here) => {
            model.focus = if here { Focus::Here } else { Focus::Away };
            Vec::new()
        }
        Msg::Resized(width, height) => {
            model.size = (width, height);
            start::clamp(model);
            fleet::resized(model);
            shell::resized(model)
        }
        Msg::Inventory { load, event } => {
            start::arrived(model, load, event);
            Vec::new()
        }
        Msg::Scopes { ask, event } => {
            switcher::arrived(model, ask, event);
            Vec::new()
        }
        Msg::Learned(snapshot) => {
            let effects = notify::learned(model, &snapshot);
            diagnosis::learned(model, snapshot);
            effects
        }
        Msg::Planned { run, plan } => {
            fix::planned(model, run, plan);
            Vec::new()
        }
        Msg::Repaired { run, event } => {
            let effects = notify::repaired(model, run, &event);
            fix::repaired(model, run, *event);
            effects
        }
        Msg::Fleet { run, event } => {
            fleet::arrived(model, run, event);
            Vec::new()
        }
        Msg::JournalRead(entries) => {
            journal::read(model, entries);
            Vec::new()
        }
        Msg::Exported(result) => {
            match result {
                Ok(path) => model.say(Severity::Good, tr_with("The report is in {path}.", &[("path", &path)])),
                Err(reason) => {
                    model.say(Severity::Bad, tr_with("Could not write the report: {reason}", &[("reason", &reason)]));
                }
            }
            Vec::new()
        }
        Msg::ReportMade(text) => vec![Effect::Copy(text)],
        Msg::Copied { first, way } => {
            match way {
                Way::Program(program) => {
                    let text = tr_with("Copied by {program}: {text}", &[("program", &program), ("text", &first)]);
                    model.say(Severity::Good, text);
                }
                Way::Terminal => {
                    let text = tr_with("Sent to the clipboard of your terminal: {text}", &[("text", &first)]);
                    model.say(Severity::Good, text);
                }
                Way::TooLong => {
                    let text = tr_with(
                        "Too long for the clipboard of a terminal ({limit} bytes): write it to a file instead.",
                        &[("limit", &LONGEST)],
                    );
                    model.say(Severity::Warn, text);
                }
            }
            Vec::new()
        }
        Msg::NotKept(reason) => {
            let text = tr_with("What was solved could not be kept: {why}", &[("why", &reason)]);
            model.say(Severity::Bad, text);
            Vec::new()
        }
        Msg::NotCopied { text } => vec![Effect::CopyByTerminal(text)],
        Msg::ShellOpened { run, title } => shell::opened(model, run, title),
        Msg::ShellFailed { run, failure } => shell::failed(model, run, failure),
        Msg::ShellDrawn { run, frame } => shell::drawn(model, run, frame),
        Msg::ShellNotice { run, text } => shell::told(model, run, text),
        Msg::ShellEnded { run, end } => shell::ended(model, run, end),
    }
}

fn pressed(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    model.notices.hide();
    let context = model.context();
    if matches!(context, Context::Shell | Context::ShellKeys) {
        return shell::pressed(model, context, key);
    }
    if let Some(action) = keys::action(model, context, key) {
        return act(model, context, action);
    }
    if context.is_text() {
        typed(model, context, key);
    }
    Vec::new()
}

/// Does what an action says, in a context.
pub fn act(model: &mut Model, context: Context, action: Action) -> Vec<Effect> {
    match action {
        Action::Help => overlay::toggle_help(model),
        Action::Palette => model.overlays.push(Overlay::Palette { query: String::new(), cursor: 0 }),
        Action::Leave if model.is_changing() || model.is_in_session() => {
            if !matches!(model.overlays.last(), Some(Overlay::Leave)) {
                model.overlays.push(Overlay::Leave);
            }
        }
        Action::Leave | Action::LeaveNow => return vec![Effect::Quit],
        Action::Journal => return journal::open(model),
        Action::Messages => notify::list(model),
        Action::Guided => return guided::toggle(model),
        Action::Theme(name) => overlay::use_theme(model, name),
        Action::Lesson => practice::open(model),
        Action::NameCause => practice::open_causes(model),
        Action::Copy => return copy(model),
        _ if context.is_overlay() => return overlay::act(model, context, action),
        _ => match context {
            Context::Instances | Context::Filter | Context::Symptoms => return start::act(model, action),
            Context::Diagnosis | Context::Ask => return diagnosis::act(model, action),
            Context::Guided => return guided::act(model, action),
            Context::Fix | Context::Consent | Context::Secret => return fix::act(model, action),
            Context::Doors => return diagnosis::doors_act(model, action),
            Context::Shell | Context::ShellKeys | Context::ShellScroll | Context::ShellOver => {
                return shell::act(model, action);
            }
            Context::Fleet | Context::FleetFilter => return fleet::act(model, action),
            Context::Journal => return journal::act(model, action),
            _ => {}
        },
    }
    Vec::new()
}

/// The text field that has the keys.
fn field(model: &mut Model, context: Context) -> Option<&mut String> {
    if context.is_overlay() {
        return match model.overlays.last_mut()? {
            Overlay::Palette { query, .. } => Some(query),
            Overlay::Entry { text } => Some(text),
            Overlay::Switcher(switcher) => Some(&mut switcher.query),
            Overlay::Form(form) => form.fields.get_mut(form.cursor).map(|f| &mut f.value),
            _ => None,
        };
    }
    match (context, model.stack.last_mut()) {
        (Context::Filter, _) => Some(&mut model.start.filter),
        (Context::Symptoms, _) => Some(&mut model.start.symptoms.query),
        (Context::Secret, Some(Screen::Fix(f))) => Some(f.secret.text_mut()),
        (Context::FleetFilter, Some(Screen::Fleet(list))) => Some(&mut list.filter),
        (Context::Consent, Some(Screen::Fix(f))) => match &mut f.phase {
            crate::tui::model::Phase::Preview { typed, .. } => Some(typed),
            _ => None,
        },
        _ => None,
    }
}

/// Longest text of a one-line field.
const LONGEST_FIELD: usize = 400;

fn typed(model: &mut Model, context: Context, key: KeyEvent) {
    let Some(text) = field(model, context) else { return };
    match key.code {
        KeyCode::Char('u') if key.modifiers == KeyModifiers::CONTROL => text.clear(),
        KeyCode::Char('w') if key.modifiers == KeyModifiers::CONTROL => {
            let kept = text.trim_end().rfind(' ').map_or(0, |at| at + 1);
            text.truncate(kept);
        }
        KeyCode::Char(c) if (key.modifiers - KeyModifiers::SHIFT).is_empty() && text.len() < LONGEST_FIELD * 50 => {
            text.push(c);
        }
        KeyCode::Backspace => {
            text.pop();
        }
        _ => return,
    }
    edited(model, context);
}

/// Inserts a text into the field that has the keys.
pub fn insert(model: &mut Model, context: Context, inserted: &str) {
    if let Some(text) = field(model, context) {
        text.extend(inserted.chars().filter(|c| !c.is_control()).take(LONGEST_FIELD));
        edited(model, context);
    }
}

fn edited(model: &mut Model, context: Context) {
    match context {
        Context::Filter => start::filtered(model),
        Context::FleetFilter => fleet::filtered(model),
        Context::Symptoms => start::symptom_filtered(model),
        Context::Palette => overlay::palette_filtered(model),
        Context::Switcher => switcher::filtered(model),
        _ => {}
    }
}

/// What `y` (or `c` on a fix) copies now.
pub fn copy_text(model: &Model) -> Option<String> {
    match (model.overlays.last(), model.stack.last()) {
        (Some(Overlay::Read(reading)), _) => reading.copy.clone(),
        (Some(Overlay::Columns(_)), _) => Some(columns::as_settings(&model.start)),
        (Some(Overlay::Lesson { .. }), _) => practice::reading(model).and_then(|reading| reading.copy),
        (Some(_), _) => None,
        (None, Some(Screen::Diagnosis(d))) => diagnosis::copy_text(d),
        (None, Some(Screen::Doors { cursor })) => {
            model.diagnosing()?.diagnosis()?.doors.get(*cursor).and_then(|door| door.command.clone())
        }
        (None, Some(Screen::Fix(f))) => f.plan().map(|plan| commands(plan, f.undo.is_some())),
        _ => None,
    }
}

/// The steps of a plan as commands to copy; of an undo those that take it back, last step first.
fn commands(plan: &Plan, undo: bool) -> String {
    let lines: Vec<&str> = if undo {
        plan.steps.iter().rev().filter_map(|s| s.undo.as_deref()).collect()
    } else {
        plan.steps.iter().map(|s| s.command.as_str()).filter(|c| !c.is_empty()).collect()
    };
    lines.join("\n")
}

fn copy(model: &Model) -> Vec<Effect> {
    let Some(text) = copy_text(model) else { return Vec::new() };
    // Which way it went is told when it is known.
    vec![Effect::Copy(text)]
}

/// Leaves the screen that is seen.
pub fn leave_screen(model: &mut Model) {
    model.stack.pop();
    if model.stack.is_empty() && model.start.pane == Pane::Filter {
        model.start.pane = Pane::Instances;
    }
}
