//! Messages: how long they stay, what is told of what ends, and whom the bell calls.

use super::sample::*;
use crate::core::check::CheckResult;
use crate::core::fact::Fact;
use crate::core::facts::host::{Metrics, Sample};
use crate::core::facts::wire::Tcp;
use crate::core::plan::{Consent, GateState};
use crate::engine::event::{RepairEvent, RepairOutcome, RepairResult, StepState};
use crate::tui::effect::{Bell, Effect};
use crate::tui::model::{Model, Notify, Overlay, Settings, Severity};
use crate::tui::msg::Msg;
use crate::tui::update::notify::{sequence, wakes_at};
use crate::tui::update::update;
use std::sync::Arc;

const SIZE: (u16, u16) = (80, 24);

/// The list of messages.
pub(super) fn told(size: (u16, u16)) -> Model {
    let mut model = account(size);
    update(&mut model, Msg::Exported(Ok("port22-report.md".into())));
    update(&mut model, Msg::Exported(Err("port22-report.md: no space left on device".into())));
    press(&mut model, "m");
    model
}

/// A machine without credits, with the check that says so selected.
pub(super) fn busy(size: (u16, u16)) -> Model {
    let mut model = diagnosed(size, Story::Blocked);
    let d = model.diagnosing_mut().expect("a diagnosis");
    d.chosen = Some("cpu-credits".into());
    let snapshot = d.snapshot.as_mut().expect("a snapshot");
    let facts = Arc::make_mut(&mut snapshot.facts);
    let of = |values: &[f64]| {
        let times = (1_i64..).map(|n| NOW - 300 * n).take(values.len()).collect::<Vec<_>>().into_iter().rev();
        times.zip(values).map(|(at, value)| Sample { at, value: *value }).collect::<Vec<_>>()
    };
    let metrics = Metrics {
        cpu: of(&[12.0, 35.0, 96.0, 99.0, 10.0, 10.0, 10.0, 10.0, 9.5, 10.0, 10.0, 10.0]),
        credits: of(&[144.0, 120.0, 71.0, 22.0, 4.0, 0.0, 0.0, 0.0, 0.2, 0.0, 0.0, 0.0]),
        ..Metrics::default()
    };
    facts.host.metrics = Fact::known(metrics, "GetMetricData i-0a1b2c3d4e5f60718");
    let result = CheckResult::fail("cpu-credits", "the CPU credits are used up")
        .seen("CPUCreditBalance is 0.0 on a t3.micro, credit mode standard", "GetMetricData i-0a1b2c3d4e5f60718");
    let checks = &mut Arc::make_mut(&mut snapshot.diagnosis).checks;
    *checks.iter_mut().find(|c| c.id == "cpu-credits").expect("the check") = result;
    model
}

#[test]
fn the_connects_of_several_runs_are_shown_beside_the_check() {
    let mut model = diagnosed(SIZE, Story::Healthy);
    for (n, millis) in [(1, 40), (2, 90)] {
        press(&mut model, "r");
        let run = model.diagnosing().expect("a diagnosis").run;
        let mut next = snapshot(run, Story::Healthy);
        let facts = Arc::make_mut(&mut next.facts);
        facts.now = NOW + 60 * n;
        facts.wire.tcp = Fact::known(Tcp::Connected { millis }, "TCP connect to 203.0.113.7:22");
        update(&mut model, Msg::Learned(Box::new(next.clone())));
        update(&mut model, Msg::Learned(Box::new(next)));
    }
    let d = model.diagnosing_mut().expect("a diagnosis");
    let values: Vec<f64> = d.connects.iter().map(|s| s.value).collect();
    assert!(values.ends_with(&[40.0, 90.0]), "each run once: {values:?}");
    d.chosen = Some("tcp-port".into());
    let seen = screen(&model);
    assert!(seen.contains("TCP connect ") && seen.contains("max 90 last 90 ms"), "{seen}");
}

#[test]
fn a_pasted_line_with_spaces_goes_into_the_field_that_has_the_keys() {
    let mut model = account(SIZE);
    press(&mut model, "t<tab><tab>");
    update(&mut model, Msg::Pasted("/home/me/my keys/web.pem\n".into()));
    let Some(Overlay::Form(form)) = model.overlays.last() else { panic!("the form") };
    assert_eq!(form.fields[2].value, "/home/me/my keys/web.pem");
    press(&mut model, "<esc>p");
    update(&mut model, Msg::Pasted("us west".into()));
    assert!(matches!(model.overlays.last(), Some(Overlay::Switcher(s)) if s.query == "us west"));
    // An error is recognised wherever it is pasted.
    update(&mut model, Msg::Pasted("ssh -i a.pem ec2-user@203.0.113.7\nPermission denied (publickey).\n".into()));
    assert!(matches!(model.overlays.last(), Some(Overlay::Paste(_))));
}

fn clock(model: &mut Model, ms: u64) {
    update(model, Msg::Clock { ms, unix: NOW + i64::try_from(ms / 1000).expect("seconds") });
}

/// The end of a diagnosis that took so long.
fn after(settings: Settings, focus: Option<bool>, ms: u64) -> Vec<Effect> {
    let mut model = account_with(SIZE, settings);
    if let Some(here) = focus {
        update(&mut model, Msg::Focused(here));
    }
    press(&mut model, "/web-1<enter>");
    let run = model.diagnosing().expect("a diagnosis").run;
    clock(&mut model, ms / 2);
    assert!(update(&mut model, Msg::Learned(Box::new(snapshot(run, Story::Running)))).is_empty());
    clock(&mut model, ms);
    let effects = update(&mut model, Msg::Learned(Box::new(snapshot(run, Story::Blocked))));
    // Said once.
    assert!(update(&mut model, Msg::Learned(Box::new(snapshot(run, Story::Blocked)))).is_empty());
    effects
}

fn with(notify: Notify) -> Settings {
    Settings { notify, ..Settings::default() }
}

#[test]
fn the_bell_calls_only_who_looks_elsewhere() {
    let sound = |effects: &[Effect]| matches!(effects, [Effect::Bell(Bell::Sound)]);
    // As the program comes: only where the terminal has said that it is out of focus.
    assert!(sound(&after(with(Notify::Away), Some(false), 20_000)));
    assert!(after(with(Notify::Away), Some(true), 20_000).is_empty());
    assert!(after(with(Notify::Away), None, 20_000).is_empty());
    // Asked for: also where the terminal says nothing.
    assert!(sound(&after(with(Notify::Bell), None, 20_000)));
    assert!(after(with(Notify::Bell), Some(true), 20_000).is_empty());
    assert!(after(with(Notify::Off), Some(false), 20_000).is_empty());
    // What was over at once was not waited for.
    assert!(after(with(Notify::Bell), Some(false), 1_000).is_empty());
    let told = after(with(Notify::Terminal), None, 20_000);
    assert!(matches!(&told[..], [Effect::Bell(Bell::Message(text))] if text.starts_with("web-1: ")), "{told:?}");
}

#[test]
fn a_message_of_the_terminal_cannot_be_ended_by_its_text() {
    let text = "web\x07\x1b]0;owned\x07-1".to_owned();
    let sent = sequence(&Bell::Message(text), false);
    assert_eq!(sent, "\x1b]9;port22: web]0;owned-1\x07");
    let in_tmux = sequence(&Bell::Message("done".into()), true);
    assert_eq!(in_tmux, "\x1bPtmux;\x1b\x1b]9;port22: done\x07\x1b\\");
    assert_eq!(sequence(&Bell::Sound, true), "\x07");
}

#[test]
fn a_message_goes_after_its_time_or_with_the_next_key_and_can_be_read_again() {
    let mut model = account(SIZE);
    clock(&mut model, 1_000);
    update(&mut model, Msg::Exported(Ok("port22-report.md".into())));
    assert!(screen(&model).contains("✓ The report is in port22-report.md."));
    let until = wakes_at(&model).expect("a moment");
    clock(&mut model, until - 1);
    assert!(model.notices.shown().is_some());
    clock(&mut model, until);
    assert!(model.notices.shown().is_none() && wakes_at(&model).is_none());
    update(&mut model, Msg::Exported(Err("port22-report.md: no space left".into())));
    assert_eq!(model.notices.shown().map(|n| n.severity), Some(Severity::Bad));
    press(&mut model, "j");
    assert!(model.notices.shown().is_none());
    press(&mut model, "m");
    let Some(Overlay::Read(list)) = model.overlays.last() else { panic!("a list") };
    assert_eq!(list.parts.len(), 2);
    let seen = screen(&model);
    assert!(seen.find("no space left") < seen.find("is in port22-report.md"), "newest first: {seen}");
}

#[test]
fn what_ends_unseen_is_told_on_the_screen_that_is_seen() {
    let mut model = account(SIZE);
    press(&mut model, "/web-1<enter>");
    let run = model.diagnosing().expect("a diagnosis").run;
    press(&mut model, "u");
    update(&mut model, Msg::Learned(Box::new(snapshot(run, Story::Blocked))));
    let told = model.notices.shown().expect("a message");
    assert!(told.text.starts_with("web-1: ") && told.severity == Severity::Warn, "{told:?}");
    // The same where it is seen needs no words.
    let model = diagnosed(SIZE, Story::Blocked);
    assert!(model.notices.shown().is_none());
}

#[test]
fn a_long_repair_calls_as_well() {
    let settings = Settings { notify: Notify::Bell, color: true, ..Settings::default() };
    let mut model = account_with(SIZE, settings);
    tell(&mut model, Story::Blocked);
    press(&mut model, "<enter>");
    let run = model.fixing().expect("a fix").run;
    update(&mut model, Msg::Planned { run, plan: Ok(Box::new(plan(Consent::Yes, GateState::Ok))) });
    press(&mut model, "y");
    let step = RepairEvent::Step { index: 0, state: StepState::Running };
    assert!(update(&mut model, Msg::Repaired { run, event: Box::new(step) }).is_empty());
    clock(&mut model, 60_000);
    let outcome = RepairOutcome::Fixed { login: true };
    let result = RepairResult { entry: None, plan: plan(Consent::Yes, GateState::Ok), outcome, after: None };
    let effects = update(&mut model, Msg::Repaired { run, event: Box::new(RepairEvent::Ended(result)) });
    assert!(matches!(&effects[..], [Effect::Bell(Bell::Sound)]), "{effects:?}");
}

#[test]
fn a_plan_that_was_left_says_once_that_it_is_old() {
    let mut model = diagnosed(SIZE, Story::Blocked);
    press(&mut model, "<enter>");
    let run = model.fixing().expect("a fix").run;
    update(&mut model, Msg::Planned { run, plan: Ok(Box::new(plan(Consent::Yes, GateState::Ok))) });
    let at = wakes_at(&model).expect("a moment");
    clock(&mut model, at);
    assert!(model.notices.shown().is_some_and(|n| n.text.contains("read again")));
    press(&mut model, "<pagedown>");
    clock(&mut model, at * 2);
    assert!(model.notices.shown().is_none());
}
