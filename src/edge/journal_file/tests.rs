//! The journal on a real disk.

use super::*;
use crate::core::plan::{Action, Outputs, Risk, Step};
use crate::engine::journal::EntryState;
use std::os::unix::fs::MetadataExt;
use tempfile::TempDir;

fn plan(subject: &str) -> Plan {
    let action = Action::ModifyIngress {
        region: "eu-west-1".to_owned(),
        group: "sg-1".to_owned(),
        rule: "sgr-1".to_owned(),
        protocol: "tcp".to_owned(),
        from_port: 22,
        to_port: 22,
        from: "203.0.113.7/32".parse().unwrap(),
        to: "203.0.113.8/32".parse().unwrap(),
        description: None,
    };
    let step =
        Step {
            text: "change the rule".to_owned(), command: "aws ec2 …".to_owned(), undo: None, action: Some(action)
        };
    Plan { steps: vec![step], risk: Risk::Medium, ..Plan::new("sg-allow-my-ip", "let me in", subject, subject) }
}

fn begun_step() -> LineEvent {
    LineEvent::StepBegun { step: 0, action: plan("x").steps[0].action.clone().unwrap() }
}

fn done_step() -> LineEvent {
    LineEvent::StepDone { step: 0, text: "done".to_owned(), undo: None, changed: true, outputs: Outputs::new() }
}

fn ended() -> LineEvent {
    LineEvent::Ended { verified: true, text: "fixed".to_owned() }
}

/// A state directory that is not there yet.
fn journal() -> (TempDir, JournalFile) {
    let dir = tempfile::tempdir().unwrap();
    let journal = JournalFile::new(dir.path().join("state/port22"));
    (dir, journal)
}

fn other(journal: &JournalFile) -> JournalFile {
    JournalFile::new(journal.directory.clone())
}

#[test]
fn what_is_written_is_read_by_the_next_process() {
    let (_dir, journal) = journal();
    assert_eq!(journal.entries(), Ok(Vec::new()));
    let entry = journal.begin(&plan("i-1")).unwrap();
    for event in [begun_step(), done_step(), ended()] {
        journal.append(&entry, event).unwrap();
    }
    journal.end(&entry);
    let [found] = other(&journal).entries().unwrap().try_into().unwrap();
    assert_eq!((found.id, found.plan, found.state, found.done.len()), (entry, plan("i-1"), EntryState::InForce, 1));
    assert_eq!(found.text, "fixed");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&journal.path()), mode(&journal.directory)), (0o600, 0o700));
}

#[test]
fn a_torn_line_costs_only_itself() {
    let (_dir, journal) = journal();
    let entry = journal.begin(&plan("i-1")).unwrap();
    journal.append(&entry, begun_step()).unwrap();
    let whole = std::fs::read(journal.path()).unwrap();
    for torn in
        [b"{\"entry\":\"2026".as_slice(), b"{\"entry\":\"x\",\"at\":1,\"event\":\"of-the-future\"}\n", b"\xff\n\n{}\n"]
    {
        std::fs::write(journal.path(), [&whole, torn].concat()).unwrap();
        journal.append(&entry, done_step()).unwrap();
        let [found] = journal.entries().unwrap().try_into().unwrap();
        assert_eq!(
            (found.state, found.open_step, found.done.len()),
            (EntryState::Interrupted, None, 1),
            "{}",
            torn.escape_ascii()
        );
    }
}

#[test]
fn a_subject_is_repaired_by_one_at_a_time() {
    let (_dir, journal) = journal();
    let other = other(&journal);
    let entry = journal.begin(&plan("/home/me/.ssh/a key.pem")).unwrap();
    let refused = other.begin(&plan("/home/me/.ssh/a key.pem")).unwrap_err();
    assert_eq!(
        (refused.kind, refused.reason.as_str()),
        (FailureKind::Refused, "another port22 is repairing /home/me/.ssh/a key.pem")
    );
    assert_eq!(journal.begin(&plan("/home/me/.ssh/a key.pem")).unwrap_err().kind, FailureKind::Refused);
    let different = other.begin(&plan("i-2")).unwrap();
    assert_ne!(different, entry);
    journal.end(&entry);
    assert!(other.begin(&plan("/home/me/.ssh/a key.pem")).is_ok());
    assert_eq!(journal.entries().unwrap().len(), 3, "a refused begin leaves no line");
}

#[test]
fn undo_locks_too_and_frees_when_it_is_through() {
    let (_dir, journal) = journal();
    let entry = journal.begin(&plan("i-1")).unwrap();
    for event in [begun_step(), done_step(), ended()] {
        journal.append(&entry, event).unwrap();
    }
    assert_eq!(other(&journal).append(&entry, LineEvent::Undone).unwrap_err().kind, FailureKind::Refused);
    journal.end(&entry);
    let (one, two) = (other(&journal), other(&journal));
    let undo = LineEvent::UndoBegun { step: 0, action: plan("x").steps[0].action.clone().unwrap() };
    one.append(&entry, undo.clone()).unwrap();
    assert_eq!(two.append(&entry, undo.clone()).unwrap_err().kind, FailureKind::Refused);
    one.append(&entry, LineEvent::UndoDone { step: 0, text: "undone".to_owned() }).unwrap();
    one.append(&entry, LineEvent::Undone).unwrap();
    let next = two.begin(&plan("i-1")).unwrap();
    assert_eq!(one.append(&entry, undo).unwrap_err().kind, FailureKind::Refused);
    two.end(&next);
    assert_eq!(journal.entries().unwrap()[0].state, EntryState::Undone);
}

#[test]
fn ids_are_in_order_of_time_and_unique() {
    assert_eq!(stamp(0), "19700101-000000");
    assert_eq!(stamp(951_782_399), "20000228-235959");
    assert_eq!(stamp(951_782_400), "20000229-000000");
    assert_eq!(stamp(1_795_253_415), "20261121-093015");
    assert_eq!(stamp(4_107_542_400), "21000301-000000");
    let now = 1_795_253_415;
    assert_eq!(next_id(now, None), "20261121-093015-1");
    assert_eq!(next_id(now, Some("20261121-093014-7")), "20261121-093015-1");
    assert_eq!(next_id(now, Some("20261121-093015-9")), "20261121-093015-10");
    assert_eq!(next_id(now, Some("20270101-000000-1")), "20270101-000000-2");
    assert_eq!(next_id(now, Some("nonsense")), "20261121-093015-1");
}

#[test]
fn a_directory_that_cannot_be_made_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let failure = JournalFile::new(file.join("state")).begin(&plan("i-1")).unwrap_err();
    assert_eq!((failure.kind, failure.reason.as_str()), (FailureKind::Failed, "Not a directory"));
    assert!(failure.next.contains("make "), "{failure}");
}
