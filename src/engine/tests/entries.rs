//! Lines of the journal, summed up.

use super::fake::plan;
use crate::core::plan::{Action, Outputs};
use crate::engine::failure::Failure;
use crate::engine::journal::{Entry, EntryState, Line, LineEvent, entries};

fn chmod() -> Action {
    Action::Chmod { path: "a".to_owned(), from: 0o644, to: 0o400 }
}

fn sum(events: Vec<LineEvent>) -> Vec<Entry> {
    let line = |event| Line { entry: "e1".to_owned(), at: 9, event };
    entries(&events.into_iter().map(line).collect::<Vec<_>>())
}

fn begun() -> LineEvent {
    LineEvent::Begun { plan: Box::new(plan(&["a", "b"], &[])) }
}

fn step(step: usize) -> [LineEvent; 2] {
    [
        LineEvent::StepBegun { step, action: chmod() },
        LineEvent::StepDone {
            step,
            text: format!("done {step}"),
            undo: Some(chmod()),
            changed: true,
            outputs: Outputs::new(),
        },
    ]
}

fn failure() -> Failure {
    Failure::failed("chmod a", "denied", "own the file")
}

#[test]
fn the_state_of_an_entry_follows_its_lines() {
    let ended = || LineEvent::Ended { verified: true, text: "all good".to_owned() };
    let mut lines = vec![begun()];
    let state = |lines: &[LineEvent]| {
        let all = sum(lines.to_vec());
        assert_eq!(all.len(), 1);
        (all[0].state, all[0].done.len(), all[0].open_step.is_some(), all[0].text.clone())
    };
    assert_eq!(
        state(&lines),
        (EntryState::Interrupted, 0, false, "interrupted before anything was changed".to_owned())
    );
    let [first, second] = step(0);
    lines.push(first);
    assert_eq!(state(&lines), (EntryState::Interrupted, 0, true, "interrupted in step 1".to_owned()));
    lines.push(second);
    assert_eq!(state(&lines), (EntryState::Interrupted, 1, false, "done 0".to_owned()));
    let mut failed = lines.clone();
    failed.extend([
        LineEvent::StepBegun { step: 1, action: chmod() },
        LineEvent::StepFailed { step: 1, failure: failure() },
    ]);
    assert_eq!(state(&failed), (EntryState::Failed, 1, false, "step 2 failed: denied".to_owned()));
    lines.extend(step(1));
    lines.push(ended());
    assert_eq!(state(&lines), (EntryState::InForce, 2, false, "all good".to_owned()));
    lines.extend([
        LineEvent::UndoBegun { step: 1, action: chmod() },
        LineEvent::UndoDone { step: 1, text: "back".to_owned() },
    ]);
    assert_eq!(state(&lines), (EntryState::InForce, 1, false, "back".to_owned()));
    lines.extend([
        LineEvent::UndoBegun { step: 0, action: chmod() },
        LineEvent::UndoFailed { step: 0, failure: failure() },
    ]);
    assert_eq!(state(&lines), (EntryState::InForce, 1, false, "undo of step 1 failed: denied".to_owned()));
    lines.push(LineEvent::Undone);
    assert_eq!(state(&lines), (EntryState::Undone, 0, false, "undone".to_owned()));
}

#[test]
fn what_came_after_an_undone_step_is_to_be_done_again() {
    let mut lines = vec![begun()];
    for index in 0..4 {
        let [first, mut second] = step(index);
        // The second and the last leave nothing behind: a wait, a start.
        if let LineEvent::StepDone { undo, changed, .. } = &mut second
            && index % 2 == 1
        {
            (*undo, *changed) = (None, false);
        }
        lines.extend([first, second]);
    }
    lines.extend([
        LineEvent::StepBegun { step: 4, action: chmod() },
        LineEvent::StepFailed { step: 4, failure: Failure { outcome_unknown: true, ..failure() } },
    ]);
    let left = |lines: &[LineEvent]| {
        let entry = sum(lines.to_vec()).remove(0);
        assert_eq!(entry.way_on().as_deref(), Some("port22 resume e1"));
        (entry.done.iter().map(|d| d.step).collect::<Vec<_>>(), entry.open_step.map(|(open, _)| open))
    };
    assert_eq!(left(&lines), (vec![0, 1, 2, 3], Some(4)));
    // The open step was looked at and found not done; the undo goes on with the one before it, and fails then.
    lines.extend([
        LineEvent::UndoBegun { step: 2, action: chmod() },
        LineEvent::UndoDone { step: 2, text: "back".to_owned() },
        LineEvent::UndoBegun { step: 0, action: chmod() },
        LineEvent::UndoFailed { step: 0, failure: failure() },
    ]);
    assert_eq!(left(&lines), (vec![0, 1], None));
}

#[test]
fn lines_without_a_begin_are_passed_over_and_entries_keep_apart() {
    let line = |entry: &str, event| Line { entry: entry.to_owned(), at: 1, event };
    let [a, b] = step(0);
    let lines = [
        line("lost", LineEvent::Undone),
        line("e1", begun()),
        line("e2", begun()),
        line("e2", a),
        line("e2", b),
        line("e1", LineEvent::Undone),
    ];
    let all = entries(&lines);
    let got: Vec<(&str, EntryState, usize)> = all.iter().map(|e| (e.id.as_str(), e.state, e.done.len())).collect();
    assert_eq!(got, [("e1", EntryState::Undone, 0), ("e2", EntryState::Interrupted, 1)]);
}

#[test]
fn a_line_survives_the_way_through_a_file() {
    let [first, second] = step(3);
    for event in [
        begun(),
        first,
        second,
        LineEvent::StepFailed { step: 0, failure: failure() },
        LineEvent::Ended { verified: false, text: "x\ny".to_owned() },
        LineEvent::Undone,
    ] {
        let line = Line { entry: "e1".to_owned(), at: 1_800_000_000, event };
        let text = serde_json::to_string(&line).unwrap();
        assert!(!text.contains('\n'));
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    }
}
