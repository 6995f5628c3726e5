//! Repairs: nothing is done that is not in the journal before, and everything can be taken back.

use super::fake::{Fake, Notes, name_of, plan, request};
use crate::core::facts::wire::Tcp;
use crate::core::plan::{Action, Confirmed, Consent, Gate, GateState, Plan, Step};
use crate::engine::event::{RepairEvent, RepairOutcome, RepairResult, RunId, StepState};
use crate::engine::failure::FailureKind;
use crate::engine::journal::{EntryState, Journal, LineEvent};
use crate::engine::repair::verify::not_everywhere_yet;
use crate::engine::repair::{Means, apply, find_entry, find_interrupted, resume, undo, undo_actions};
use crate::engine::world::{Performed, Settled};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::Instant;

fn log(world: &Fake) -> Vec<String> {
    world.log.lock().unwrap().clone()
}

fn means(world: &Arc<Fake>, notes: &Arc<Notes>, out: UnboundedSender<RepairEvent>) -> Means {
    Means {
        world: Arc::clone(world) as Arc<_>,
        journal: Arc::clone(notes) as Arc<_>,
        request: request("203.0.113.7"),
        run: RunId(5),
        out,
    }
}

async fn applied(
    world: &Arc<Fake>,
    notes: &Arc<Notes>,
    files: &[&str],
    verify: &[&str],
) -> (RepairResult, Vec<RepairEvent>) {
    let (out, mut events) = unbounded_channel();
    let confirmed = Confirmed::after_consent(plan(files, verify), None).unwrap();
    let result = apply(means(world, notes, out), confirmed, false).await;
    let mut seen = Vec::new();
    while let Ok(event) = events.try_recv() {
        seen.push(event);
    }
    (result, seen)
}

async fn taken_back(world: &Arc<Fake>, notes: &Arc<Notes>, entry: &str) -> RepairResult {
    let (out, _events) = unbounded_channel();
    undo(means(world, notes, out), entry.to_owned()).await
}

#[tokio::test(start_paused = true)]
async fn every_deed_is_written_before_it_is_done() {
    let world = Arc::new(Fake::new());
    let notes = Arc::new(Notes::new(&world));
    let (result, events) = applied(&world, &notes, &["a", "b"], &["tcp-port"]).await;
    assert_eq!(result.outcome, RepairOutcome::Fixed { login: true });
    assert_eq!(result.entry.as_deref(), Some("e1"));
    let wanted = [
        "write begun",
        "write step_begun",
        "perform a 644→400",
        "write step_done",
        "write step_begun",
        "perform b 644→400",
        "write step_done",
        "write ended",
        "unlock",
    ];
    assert_eq!(log(&world), wanted);
    let states: Vec<(usize, StepState)> = events
        .iter()
        .filter_map(|e| match e {
            RepairEvent::Step { index, state } => Some((*index, state.clone())),
            _ => None,
        })
        .collect();
    let kinds: Vec<(usize, &str)> = states
        .iter()
        .map(|(i, s)| {
            (
                *i,
                match s {
                    StepState::Running => "running",
                    StepState::Done(_) => "done",
                    _ => "other",
                },
            )
        })
        .collect();
    assert_eq!(kinds, [(0, "running"), (0, "done"), (1, "running"), (1, "done"), (2, "running"), (2, "done")]);
    assert!(
        events.iter().any(|e| matches!(e, RepairEvent::Verifying { attempt: 1, snapshot } if snapshot.run == RunId(5)))
    );
    assert!(matches!(events.last(), Some(RepairEvent::Ended(_))));
}

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_ends_the_repair_and_is_written() {
    let mut world = Fake::new();
    world.refuses.insert("b 644→400".to_owned());
    let world = Arc::new(world);
    let notes = Arc::new(Notes::new(&world));
    let (result, _) = applied(&world, &notes, &["a", "b", "c"], &["tcp-port"]).await;
    let RepairOutcome::Failed(failure) = &result.outcome else { panic!("{:?}", result.outcome) };
    assert_eq!(failure.reason, "the test says so");
    assert_eq!(log(&world)[4..], ["write step_begun", "perform b 644→400", "write step_failed", "unlock"]);
    let entry = &notes.entries().unwrap()[0];
    assert_eq!((entry.state, entry.done.len()), (EntryState::Failed, 1));
    // What was done before the failure can be taken back.
    assert_eq!(taken_back(&world, &notes, "e1").await.outcome, RepairOutcome::Undone);
    assert_eq!(notes.entries().unwrap()[0].state, EntryState::Undone);
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_written_stops_the_deed() {
    for room in 0..2 {
        let world = Arc::new(Fake::new());
        let notes = Arc::new(Notes::new(&world));
        *notes.room.lock().unwrap() = room;
        let (result, _) = applied(&world, &notes, &["a"], &["tcp-port"]).await;
        assert!(matches!(result.outcome, RepairOutcome::Failed(_)), "{room}: {:?}", result.outcome);
        assert!(!log(&world).iter().any(|l| l.starts_with("perform")), "{room}: {:?}", log(&world));
        assert_eq!(result.entry.is_some(), room > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_fails_between_steps_stops_the_next_deed() {
    let world = Arc::new(Fake::new());
    let notes = Arc::new(Notes::new(&world));
    // begun, step_begun; then the disk is full.
    *notes.room.lock().unwrap() = 2;
    let (result, _) = applied(&world, &notes, &["a", "b"], &["tcp-port"]).await;
    assert!(matches!(result.outcome, RepairOutcome::Failed(_)));
    assert_eq!(log(&world), ["write begun", "write step_begun", "perform a 644→400", "unlock"]);
    // Nobody knows from the journal whether the step was done: the entry says so.
    let entry = &notes.entries().unwrap()[0];
    assert_eq!(entry.open_step.as_ref().map(|(step, _)| *step), Some(0));
    assert_eq!(entry.state, EntryState::Interrupted);
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_closed_is_told() {
    let world = Arc::new(Fake::new());
    let notes = Arc::new(Notes::new(&world));
    *notes.room.lock().unwrap() = 3;
    let (result, _) = applied(&world, &notes, &["a"], &["tcp-port"]).await;
    let RepairOutcome::NotVerified(why) = &result.outcome else { panic!("{:?}", result.outcome) };
    assert!(why.contains("journal"), "{why}");
    assert_eq!(log(&world).last().map(String::as_str), Some("unlock"));
}

#[tokio::test(start_paused = true)]
async fn the_failed_checks_run_again_until_they_pass() {
    let world = Fake::new();
    *world.tcp.lock().unwrap() =
        [Tcp::TimedOut { after_ms: 5000 }, Tcp::TimedOut { after_ms: 5000 }, Tcp::Connected { millis: 20 }].into();
    let world = Arc::new(world);
    let notes = Arc::new(Notes::new(&world));
    let (result, events) = applied(&world, &notes, &["a"], &["tcp-port"]).await;
    assert_eq!(result.outcome, RepairOutcome::Fixed { login: true });
    let attempts = events.iter().filter_map(|e| match e {
        RepairEvent::Verifying { attempt, .. } => Some(*attempt),
        _ => None,
    });
    assert_eq!(attempts.max(), Some(3));
}

#[tokio::test(start_paused = true)]
async fn what_never_passes_is_not_called_fixed() {
    let world = Fake::new();
    *world.tcp.lock().unwrap() = [Tcp::Refused { millis: 20 }].into();
    let world = Arc::new(world);
    let notes = Arc::new(Notes::new(&world));
    let (result, _) = applied(&world, &notes, &["a"], &["tcp-port"]).await;
    let RepairOutcome::NotVerified(why) = &result.outcome else { panic!("{:?}", result.outcome) };
    assert!(why.contains("tcp-port"), "{why}");
    // It is in force all the same, and the journal says that it was not verified.
    assert_eq!(notes.entries().unwrap()[0].state, EntryState::InForce);
    assert!(notes.lines.lock().unwrap().iter().any(|l| matches!(l.event, LineEvent::Ended { verified: false, .. })));
}

#[tokio::test(start_paused = true)]
async fn undo_goes_backwards_and_writes_before_it_acts() {
    let world = Arc::new(Fake::new());
    let notes = Arc::new(Notes::new(&world));
    applied(&world, &notes, &["a", "b"], &["tcp-port"]).await;
    world.log.lock().unwrap().clear();
    assert_eq!(taken_back(&world, &notes, "e1").await.outcome, RepairOutcome::Undone);
    assert_eq!(
        log(&world),
        [
            "write undo_begun",
            "perform b 400→644",
            "write undo_done",
            "write undo_begun",
            "perform a 400→644",
            "write undo_done",
            "write undone"
        ]
    );
    // Once only.
    assert!(matches!(taken_back(&world, &notes, "e1").await.outcome, RepairOutcome::Failed(_)));
    assert!(find_entry(notes.as_ref(), None).is_err());
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_fails_can_be_gone_on_with() {
    let mut world = Fake::new();
    world.refuses.insert("a 400→644".to_owned());
    let world = Arc::new(world);
    let notes = Arc::new(Notes::new(&world));
    applied(&world, &notes, &["a", "b"], &["tcp-port"]).await;
    assert!(matches!(taken_back(&world, &notes, "e1").await.outcome, RepairOutcome::Failed(_)));
    let entry = find_entry(notes.as_ref(), None).unwrap();
    let left: Vec<String> = undo_actions(&entry).iter().map(|(_, a, _)| name_of(a.as_ref().unwrap())).collect();
    assert_eq!(left, ["a 400→644"]);
}

/// A repair of file a that ends with a start, applied; every undo of the file fails in this way.
async fn applied_with_a_start(refusal: FailureKind, foreseen: bool) -> (Arc<Fake>, Arc<Notes>) {
    let mut world = Fake::new();
    world.refuses.insert("a 400→644".to_owned());
    world.refusal = refusal;
    if foreseen {
        world.foreseen.insert("a 400→644".to_owned());
    }
    let world = Arc::new(world);
    let notes = Arc::new(Notes::new(&world));
    let mut plan = plan(&["a"], &["tcp-port"]);
    let start = |instance: &str| Action::StartInstance { region: "r".to_owned(), instance: instance.to_owned() };
    plan.steps.extend(["i-1", "i-2"].map(|i| Step::deed(format!("start {i}"), "", None, start(i))));
    let (out, _events) = unbounded_channel();
    apply(means(&world, &notes, out), Confirmed::after_consent(plan, None).unwrap(), false).await;
    world.log.lock().unwrap().clear();
    (world, notes)
}

#[tokio::test(start_paused = true)]
async fn what_would_be_refused_is_seen_before_anything_is_undone() {
    let (world, notes) = applied_with_a_start(FailureKind::Refused, true).await;
    let RepairOutcome::Failed(failure) = taken_back(&world, &notes, "e1").await.outcome else { panic!("undone") };
    assert_eq!(failure.reason, "it is foreseen");
    assert!(failure.next.contains("nothing was changed"), "{}", failure.next);
    assert_eq!(log(&world), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_an_undo_stopped_runs_again_when_the_rest_is_refused() {
    let (world, notes) = applied_with_a_start(FailureKind::Refused, false).await;
    for _ in 0..2 {
        world.log.lock().unwrap().clear();
        let outcome = taken_back(&world, &notes, "e1").await.outcome;
        let RepairOutcome::Failed(failure) = outcome else { panic!("undone") };
        assert!(failure.next.contains("started again"), "{}", failure.next);
        assert_eq!(performed(&world), ["stop i-2", "stop i-1", "a 400→644", "start i-1", "start i-2"]);
        let entry = notes.entries().unwrap().remove(0);
        assert_eq!(entry.state, EntryState::InForce);
        let left: Vec<String> =
            undo_actions(&entry).iter().map(|(_, undo, _)| name_of(undo.as_ref().unwrap())).collect();
        assert_eq!(left, ["stop i-2", "stop i-1", "a 400→644"], "a later undo does all of it");
    }
    // A deed that failed in the middle may have changed something: nothing is started on top of that.
    let (world, notes) = applied_with_a_start(FailureKind::Failed, false).await;
    taken_back(&world, &notes, "e1").await;
    assert_eq!(performed(&world), ["stop i-2", "stop i-1", "a 400→644"]);
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_cannot_be_written_is_not_done() {
    let world = Arc::new(Fake::new());
    let notes = Arc::new(Notes::new(&world));
    applied(&world, &notes, &["a"], &["tcp-port"]).await;
    world.log.lock().unwrap().clear();
    *notes.room.lock().unwrap() = 0;
    assert!(matches!(taken_back(&world, &notes, "e1").await.outcome, RepairOutcome::Failed(_)));
    assert_eq!(log(&world), Vec::<String>::new());
}

#[test]
fn only_consent_makes_a_plan_that_can_be_applied() {
    let mut refused = plan(&["a"], &[]);
    refused.gates.push(Gate::new("x", GateState::Refuse, "no"));
    assert_eq!(Confirmed::after_consent(refused, None).map(|_| ()), Err("no".to_owned()));
    let mut typed = plan(&["a"], &[]);
    typed.consent = Consent::Type("i-1".to_owned());
    assert!(Confirmed::after_consent(typed.clone(), None).is_err());
    assert!(Confirmed::after_consent(typed.clone(), Some("i-2")).is_err());
    assert!(Confirmed::after_consent(typed, Some(" i-1 ")).is_ok());
}

/// A repair of three files whose process was killed after so many lines of the journal were written.
async fn cut_short(lines: usize) -> (Arc<Fake>, Arc<Notes>) {
    let world = Arc::new(Fake::new());
    let notes = Arc::new(Notes::new(&world));
    applied(&world, &notes, &["a", "b", "c"], &["tcp-port"]).await;
    notes.lines.lock().unwrap().truncate(lines);
    world.log.lock().unwrap().clear();
    (world, notes)
}

fn performed(world: &Fake) -> Vec<String> {
    log(world).into_iter().filter_map(|l| l.strip_prefix("perform ").map(str::to_owned)).collect()
}

#[tokio::test(start_paused = true)]
async fn wherever_it_was_cut_short_the_rest_is_done_and_nothing_twice() {
    // begun, then (begun, done) for each of three steps, then ended.
    for lines in 1..=7 {
        let (world, notes) = cut_short(lines).await;
        let entry = find_interrupted(notes.as_ref(), None).unwrap();
        let (out, _events) = unbounded_channel();
        let result = resume(means(&world, &notes, out), entry).await;
        assert_eq!(result.outcome, RepairOutcome::Fixed { login: true }, "cut after {lines} lines");
        let done = (lines - 1) / 2;
        let wanted: Vec<String> = ["a", "b", "c"][done..].iter().map(|f| format!("{f} 644→400")).collect();
        assert_eq!(performed(&world), wanted, "cut after {lines} lines");
        assert_eq!(notes.entries().unwrap()[0].state, EntryState::InForce);
    }
}

#[tokio::test(start_paused = true)]
async fn wherever_it_was_cut_short_all_that_was_done_is_taken_back() {
    for lines in 1..=8 {
        let (world, notes) = cut_short(lines).await;
        let result = taken_back(&world, &notes, "e1").await;
        assert_eq!(result.outcome, RepairOutcome::Undone, "cut after {lines} lines");
        // A step that was begun is taken back too: its undo looks first.
        let begun = (lines / 2).min(3);
        let mut wanted: Vec<String> = ["a", "b", "c"][..begun].iter().map(|f| format!("{f} 400→644")).collect();
        wanted.reverse();
        assert_eq!(performed(&world), wanted, "cut after {lines} lines");
        assert_eq!(notes.entries().unwrap()[0].state, EntryState::Undone);
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_or_was_taken_back_is_not_gone_on_with() {
    let world = Arc::new(Fake::new());
    let notes = Arc::new(Notes::new(&world));
    applied(&world, &notes, &["a"], &["tcp-port"]).await;
    assert!(find_interrupted(notes.as_ref(), None).is_err());
    let entry = find_interrupted(notes.as_ref(), Some("e1")).unwrap();
    let (out, _events) = unbounded_channel();
    let result = resume(means(&world, &notes, out), entry).await;
    assert!(matches!(result.outcome, RepairOutcome::Failed(f) if f.reason.contains("come to its end")));
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_the_middle_says_what_is_in_force_and_how_to_go_back() {
    let mut world = Fake::new();
    world.refuses.insert("b 644→400".to_owned());
    let world = Arc::new(world);
    let notes = Arc::new(Notes::new(&world));
    let (result, _) = applied(&world, &notes, &["a", "b"], &["tcp-port"]).await;
    let RepairOutcome::Failed(failure) = result.outcome else { panic!("{:?}", result.outcome) };
    assert!(failure.next.contains("in force: did a 644→400."), "{}", failure.next);
    assert!(failure.next.contains("port22 undo e1") && failure.next.contains("port22 resume e1"), "{}", failure.next);
}

#[tokio::test(start_paused = true)]
async fn what_an_attempt_that_was_cut_short_may_have_done_stays_open_when_the_next_one_fails() {
    let mut world = Fake::new();
    world.refuses.insert("a 644→400".to_owned());
    let world = Arc::new(world);
    let notes = Arc::new(Notes::new(&world));
    let plan = plan(&["a", "b"], &["tcp-port"]);
    let entry = notes.begin(&plan).unwrap();
    let action = plan.steps[0].action.clone().unwrap();
    notes.append(&entry, LineEvent::StepBegun { step: 0, action }).unwrap();
    let (out, _events) = unbounded_channel();
    let result = resume(means(&world, &notes, out), find_interrupted(notes.as_ref(), None).unwrap()).await;
    let RepairOutcome::Failed(failure) = result.outcome else { panic!("{:?}", result.outcome) };
    assert!(failure.outcome_unknown && failure.next.contains("Nobody knows whether step 1 was done"), "{failure:?}");
    assert_eq!(notes.entries().unwrap()[0].open_step.as_ref().map(|(step, _)| *step), Some(0));
    assert_eq!(taken_back(&world, &notes, &entry).await.outcome, RepairOutcome::Undone);
    assert_eq!(performed(&world).last().map(String::as_str), Some("a 400→644"));
}

#[tokio::test(start_paused = true)]
async fn a_step_that_leaves_no_reverse_is_looked_at_before_it_is_taken_back() {
    let stop = Action::StopInstance { region: "r".to_owned(), instance: "i-1".to_owned() };
    let start = Action::StartInstance { region: "r".to_owned(), instance: "i-1".to_owned() };
    let done = Performed { text: "stopped".to_owned(), undo: Some(start), changed: true, ..Performed::default() };
    for (settled, outcome, deeds) in [
        (Settled::NotDone, "undone", 0),
        (Settled::Done(done), "undone", 1),
        (Settled::CannotTell("no answer".to_owned()), "failed", 0),
    ] {
        let mut world = Fake::new();
        world.settled = settled;
        let world = Arc::new(world);
        let notes = Arc::new(Notes::new(&world));
        let entry = notes.begin(&plan(&[], &[])).unwrap();
        notes.append(&entry, LineEvent::StepBegun { step: 0, action: stop.clone() }).unwrap();
        let result = taken_back(&world, &notes, &entry).await;
        let said = if matches!(result.outcome, RepairOutcome::Undone) { "undone" } else { "failed" };
        assert_eq!((said, performed(&world).len()), (outcome, deeds));
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_the_packets_do_not_follow_yet_is_named_as_that() {
    let world = Arc::new(Fake::new());
    *world.tcp.lock().unwrap() = [Tcp::TimedOut { after_ms: 5000 }].into();
    let notes = Arc::new(Notes::new(&world));
    let (result, _) = applied(&world, &notes, &["a"], &["key-permissions"]).await;
    let after = result.after.unwrap();
    let named = |verify: &str, failing: &[String], began: Instant| {
        let after = not_everywhere_yet(&plan(&["a"], &[verify]), after.clone(), failing, began);
        after.diagnosis.causes.first().is_some_and(|c| c.id == "change-not-yet-effective")
    };
    let now = Instant::now();
    assert!(named("security-group", &[], now));
    assert!(!named("key-permissions", &[], now), "packets do not follow the mode of a file");
    assert!(!named("security-group", &["security-group: no rule".to_owned()], now), "it does not read as made");
    tokio::time::advance(Duration::from_secs(31)).await;
    assert!(!named("security-group", &[], now), "half a minute is enough for it");
}

#[tokio::test(start_paused = true)]
async fn a_system_that_is_silent_after_a_start_is_given_time() {
    for (silent, minutes, works) in [(1, 12..14, false), (70, 4..12, true), (0, 0..1, true)] {
        let world = Arc::new(Fake::new());
        {
            let mut tcp = world.tcp.lock().unwrap();
            tcp.clear();
            tcp.extend((0..silent).map(|_| Tcp::TimedOut { after_ms: 5000 }));
            tcp.extend(works.then_some(Tcp::Connected { millis: 20 }));
        }
        let notes = Arc::new(Notes::new(&world));
        let plan = Plan { downtime: true, promises_login: true, ..plan(&["a"], &[]) };
        let (out, _events) = unbounded_channel();
        let began = Instant::now();
        let result = apply(means(&world, &notes, out), Confirmed::after_consent(plan, None).unwrap(), false).await;
        assert_eq!(matches!(result.outcome, RepairOutcome::Fixed { login: true }), works, "{:?}", result.outcome);
        let took = began.elapsed().as_secs() / 60;
        assert!(minutes.contains(&took), "{silent}: {took} minutes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_for_a_world_that_has_changed_is_not_applied() {
    let world = Arc::new(Fake::new());
    let notes = Arc::new(Notes::new(&world));
    let (out, mut events) = unbounded_channel();
    // The key file that the plan was made for is not there any more when the world is read again.
    let confirmed = Confirmed::after_consent(plan(&["a"], &["tcp-port"]), None).unwrap();
    let result = apply(means(&world, &notes, out), confirmed, true).await;
    assert!(
        matches!(&result.outcome, RepairOutcome::Stale(_))
            || matches!(&result.outcome, RepairOutcome::Failed(f) if f.reason.contains("has changed")),
        "{:?}",
        result.outcome
    );
    assert!(performed(&world).is_empty() && notes.lines.lock().unwrap().is_empty());
    let first = events.try_recv().unwrap();
    assert!(matches!(first, RepairEvent::Step { index: 0, state: StepState::Running }), "it is told what goes on");
}
