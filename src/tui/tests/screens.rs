//! Screens at 80×24, 120×40 and too small, as snapshots.

use super::sample::*;
use crate::core::plan::{Consent, GateState};
use crate::engine::event::{RepairEvent, RepairOutcome, RepairResult, StepState};
use crate::engine::journal::EntryState;
use crate::tui::model::{Model, Phase, Screen, Settings};
use crate::tui::msg::Msg;
use crate::tui::text::width;
use crate::tui::update::update;

const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (120, 40);

fn preview(size: (u16, u16), consent: Consent, gate: GateState) -> Model {
    let mut model = diagnosed(size, Story::Blocked);
    press(&mut model, "<enter>");
    let run = model.fixing().expect("a fix").run;
    update(&mut model, Msg::Planned { run, plan: Ok(Box::new(plan(consent, gate))) });
    model
}

fn passphrase(size: (u16, u16)) -> Model {
    let mut model = preview(size, Consent::Yes, GateState::Ok);
    if let Some(Screen::Fix(fixing)) = model.stack.last_mut()
        && let Phase::Preview { plan, .. } = &mut fixing.phase
    {
        plan.passphrase = Some("/home/me/.ssh/web.ppk".into());
    }
    model
}

fn repaired(size: (u16, u16), outcome: RepairOutcome) -> Model {
    let mut model = preview(size, Consent::Yes, GateState::Warn);
    press(&mut model, "y");
    let run = model.fixing().expect("a fix").run;
    let mut tell = |event| update(&mut model, Msg::Repaired { run, event: Box::new(event) });
    tell(RepairEvent::Step { index: 0, state: StepState::Running });
    tell(RepairEvent::Step { index: 0, state: StepState::Done("added sgr-07a1 to web-sg".into()) });
    tell(RepairEvent::Step { index: 1, state: StepState::Running });
    update(&mut model, Msg::Clock { ms: 5000, unix: NOW + 5 });
    if outcome == RepairOutcome::Undone {
        return model;
    }
    let login = outcome == RepairOutcome::Fixed { login: true };
    let after = login.then(|| snapshot(run, Story::Healthy));
    let state =
        if login { StepState::Done("the checks pass".into()) } else { StepState::Failed("tcp-port: no answer".into()) };
    update(&mut model, Msg::Repaired { run, event: Box::new(RepairEvent::Step { index: 1, state }) });
    let result =
        RepairResult { entry: Some("20261121-0001".into()), plan: plan(Consent::Yes, GateState::Warn), outcome, after };
    update(&mut model, Msg::Repaired { run, event: Box::new(RepairEvent::Ended(result)) });
    model
}

fn with(mut model: Model, keys: &str) -> Model {
    press(&mut model, keys);
    model
}

fn journal(size: (u16, u16)) -> Model {
    let mut model = with(account(size), "u");
    let entries = vec![
        entry("20261118-0001", EntryState::Undone, NOW - 3 * 86_400),
        entry("20261121-0001", EntryState::Interrupted, NOW - 7200),
        entry("20261121-0002", EntryState::InForce, NOW - 90),
    ];
    update(&mut model, Msg::JournalRead(Ok(entries)));
    model
}

fn pasted(size: (u16, u16), text: &str) -> Model {
    let mut model = account(size);
    update(&mut model, Msg::Pasted(text.into()));
    model
}

const TIMED_OUT: &str =
    "$ ssh -i ~/.ssh/deploy.pem ec2-user@203.0.113.7\nssh: connect to host 203.0.113.7 port 22: Connection timed out\n";

/// Every screen by name.
pub(super) fn all(size: (u16, u16)) -> Vec<(&'static str, Model)> {
    let mut all = alone(size);
    all.extend(super::shell::all(size));
    all
}

fn alone(size: (u16, u16)) -> Vec<(&'static str, Model)> {
    let lab = Settings { color: true, lab: true, ..Settings::default() };
    let mut guided_lab = account_with(size, lab);
    tell(&mut guided_lab, Story::Blocked);
    let mut all = vec![
        ("start_empty", Model::new(Settings::default(), size)),
        ("start", account(size)),
        ("start_filter", with(account(size), "/web")),
        ("start_nothing", with(account(size), "/198.51.100.77")),
        ("start_symptoms", with(account(size), "<tab>refused")),
        ("paste", pasted(size, TIMED_OUT)),
        ("paste_without_host", pasted(size, "Permission denied (publickey).\nand that is all\n")),
        ("entry", with(account(size), "vssh ec2-user@web-1")),
        ("running", diagnosed(size, Story::Running)),
        ("blocked", diagnosed(size, Story::Blocked)),
        ("wrong_user", diagnosed(size, Story::WrongUser)),
        ("healthy", diagnosed(size, Story::Healthy)),
        ("denied", diagnosed(size, Story::Denied)),
        ("question", with(diagnosed(size, Story::Denied), "a")),
        ("by_hand", with(diagnosed(size, Story::Blocked), "h")),
        ("explain", with(diagnosed(size, Story::Blocked), "x")),
        ("switcher", super::switcher::opened(size)),
        ("switcher_failed", super::switcher::failed(size)),
        ("messages", super::notices::told(size)),
        ("numbers", super::notices::busy(size)),
        ("details", with(diagnosed(size, Story::Blocked), "t<tab>99999<enter>")),
        ("guided_first", with(guided_lab, "g")),
        ("guided_answer", with(diagnosed(size, Story::Blocked), "g<enter><enter><enter><enter><enter>")),
        (
            "guided_end",
            with(diagnosed(size, Story::Blocked), "g<enter><enter><enter><enter><enter><enter><enter><enter>"),
        ),
        ("fix_preview", preview(size, Consent::Yes, GateState::Warn)),
        ("fix_refused", preview(size, Consent::Yes, GateState::Refuse)),
        ("fix_typed", with(preview(size, Consent::Type(WEB.into()), GateState::Warn), "i-0a1b")),
        ("fix_passphrase", with(passphrase(size), "open sesame")),
        ("fix_running", repaired(size, RepairOutcome::Undone)),
        ("fix_fixed", repaired(size, RepairOutcome::Fixed { login: true })),
        ("fix_not_verified", repaired(size, RepairOutcome::NotVerified("tcp-port: no answer within 5 s".into()))),
        ("undo", with(repaired(size, RepairOutcome::Fixed { login: true }), "u")),
        ("report", with(diagnosed(size, Story::Blocked), "er")),
        ("leave", with(repaired(size, RepairOutcome::Undone), "<ctrl-c>")),
        ("doors", with(diagnosed(size, Story::Blocked), "dj")),
        ("journal", journal(size)),
        ("help", with(diagnosed(size, Story::Blocked), "?")),
        ("palette", with(diagnosed(size, Story::Blocked), ":ex")),
    ];
    all.extend(super::fleet::screens(size));
    all
}

#[test]
fn no_screen_is_wider_or_higher_than_the_terminal() {
    for size in [SMALL, LARGE, (81, 25), (200, 60)] {
        for (name, model) in all(size) {
            let text = screen(&model);
            assert_eq!(text.lines().count(), usize::from(size.1), "{name}");
            assert!(text.lines().all(|l| width(l) <= usize::from(size.0)), "{name}");
        }
    }
}

#[test]
fn a_terminal_that_is_too_small_gets_one_sentence() {
    let mut model = account((79, 24));
    assert!(screen(&model).contains("port22 needs 80 × 24 cells; this terminal has 79 × 24."));
    for size in [(1, 1), (2, 40), (30, 5), (200, 3), (79, 23)] {
        update(&mut model, Msg::Resized(size.0, size.1));
        assert_eq!(screen(&model).lines().count(), usize::from(size.1));
    }
    update(&mut model, Msg::Resized(80, 24));
    assert!(screen(&model).contains("Instances"));
}

#[test]
fn ascii_screens_hold_nothing_else() {
    for (name, mut model) in all(SMALL) {
        model.settings.ascii = true;
        let text = screen(&model);
        assert!(text.is_ascii(), "{name}: {:?}", text.chars().find(|c| !c.is_ascii()));
    }
}

#[test]
fn without_colour_no_cell_has_one_and_nothing_is_lost() {
    for (name, mut model) in all(SMALL) {
        let with = screen(&model);
        model.settings.color = false;
        assert_eq!(screen(&model), with, "{name}");
        for cell in cells(&model) {
            use ratatui::style::Color::Reset;
            assert_eq!((cell.fg, cell.bg), (Reset, Reset), "{name}");
        }
    }
}

#[test]
fn what_servers_and_tags_say_cannot_move_the_cursor() {
    let mut model = account(SMALL);
    let load = model.start.load;
    let mut evil = instance(&id(99), "\u{1b}[2J\u{1b}]0;gotcha\u{7}evil\nname\u{202e}", "running", None);
    evil.tags.insert("note".into(), "\u{9b}31mred\r\n".into());
    let event = crate::engine::inventory::InventoryEvent::Page(vec![evil]);
    update(&mut model, Msg::Inventory { load, event });
    press(&mut model, "/evil");
    for cell in cells(&model) {
        assert!(cell.symbol().chars().all(|c| !c.is_control() && c != '\u{202e}'), "{:?}", cell.symbol());
    }
    assert!(screen(&model).contains("evil name"));
}

#[test]
fn screens_look_as_they_were_approved() {
    for size in [SMALL, LARGE] {
        for (name, model) in all(size) {
            insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), screen(&model));
        }
    }
}
