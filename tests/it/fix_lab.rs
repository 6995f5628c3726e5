//! Fixes against the practice account over HTTP: applied, verified, undone; killed at every step, then gone on with or
//! taken back.

use crate::lab_cli::{Serving, serve};
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What the journal file holds, line by line.
pub fn lines(lab: &Serving) -> Vec<Value> {
    let path: PathBuf = lab.home.path().join("state/port22/journal.jsonl");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

pub fn count(lab: &Serving, event: &str) -> usize {
    lines(lab).iter().filter(|line| line["event"] == event).count()
}

/// What a diagnosis sees of a host: its causes, and how its checks went.
fn seen(lab: &Serving, name: &str) -> (Vec<String>, Vec<String>) {
    let report = lab.diagnose_with(name, &["--timeout", "2"]);
    let checks = report.json["checks"].as_array().into_iter().flatten();
    (report.causes(), checks.map(|c| format!("{} {}", c["id"], c["verdict"])).collect())
}

/// A fix of a lesson, and what its plan is to be built with.
pub struct Lesson<'a> {
    pub fix: &'a str,
    pub name: &'a str,
    pub more: &'a [&'a str],
    /// Whether it takes back everything, so that the host is as before.
    pub reversible: bool,
}

impl Lesson<'_> {
    /// Runs the fix and kills it with SIGKILL when the step with this number (from 1) was begun. False when the fix has
    /// fewer steps.
    fn killed_at(&self, lab: &Serving, step: usize) -> bool {
        let words = lab.fix_arguments(self.fix, self.name, &[self.more, &["--yes", "--timeout", "2"]].concat());
        Self::kill(lab, &words, step)
    }

    /// The same for any words of a fix.
    pub fn kill(lab: &Serving, words: &[&str], step: usize) -> bool {
        let mut child = lab.home.start(words);
        let began = Instant::now();
        loop {
            let done = child.try_wait().expect("its state").is_some();
            if count(lab, "step_begun") >= step {
                child.kill().expect("killed");
                child.wait().expect("its end");
                // It may have come to its end in the same moment.
                return count(lab, "ended") == 0;
            }
            if done {
                return false;
            }
            assert!(began.elapsed() < Duration::from_mins(2), "{words:?} hangs");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Kills the fix at every step; then it is gone on with and taken back, and once more taken back at once.
    pub fn survives_every_kill(&self) {
        assert!(self.reversible, "each round begins with the host as it was");
        let lab = serve(&["--scenario", self.name, "--delay", "40", "--transition", "120"]);
        let before = seen(&lab, self.name);
        for step in 1..=20 {
            let journal = lab.home.path().join("state/port22/journal.jsonl");
            let fresh = || {
                let _ = std::fs::remove_file(&journal);
            };
            fresh();
            if !self.killed_at(&lab, step) {
                assert!(step > 1, "{} was never killed", self.fix);
                return;
            }
            let what = format!("{} killed in step {step}", self.fix);
            let resumed = lab.home.run(&["resume", "--yes", "--json", "--timeout", "2"]);
            assert_eq!(resumed.exit, 0, "{what}, gone on with: {resumed:#?}");
            assert_eq!(resumed.json()["verified"], true, "{what}: {resumed:#?}");
            assert_eq!(count(&lab, "ended"), 1, "{what}");
            lab.home.run(&["undo", "--yes"]).exits(0);
            assert_eq!(seen(&lab, self.name), before, "{what}, gone on with and taken back");

            fresh();
            if self.killed_at(&lab, step) {
                let undone = lab.home.run(&["undo", "--yes", "--json"]);
                // A first step that was not done leaves nothing to take back.
                assert!(undone.exit == 0 || count(&lab, "step_done") == 0, "{what}, taken back: {undone:#?}");
                assert_eq!(seen(&lab, self.name), before, "{what}, taken back");
            }
        }
        panic!("{} has more than twenty steps", self.fix);
    }

    /// Previews, applies, verifies and takes back.
    pub fn works(&self) -> Value {
        let lab = serve(&["--scenario", self.name, "--transition", "120"]);
        let before = seen(&lab, self.name);
        let plan = lab.fix(self.fix, self.name, &[self.more, &["--dry-run", "--json"]].concat()).exits(0).json();
        crate::contract::check_plan(&plan);
        assert_eq!((lines(&lab).len(), seen(&lab, self.name)), (0, before.clone()), "a preview changes nothing");
        let done =
            lab.fix(self.fix, self.name, &[self.more, &["--yes", "--json", "--timeout", "2"]].concat()).exits(0).json();
        assert_eq!((&done["applied"], &done["verified"]), (&true.into(), &true.into()), "{done}");
        if self.reversible {
            lab.home.run(&["undo", "--yes"]).exits(0);
            assert_eq!(seen(&lab, self.name), before, "{} of {} taken back", self.fix, self.name);
        }
        done
    }
}

const ROLE: Lesson<'_> =
    Lesson { fix: "ssm-role-attach", name: "web-ssmnorole", more: &["--choose", "profile=new"], reversible: true };

#[test]
fn a_role_for_systems_manager_is_made_or_joined() {
    ROLE.works();
    Lesson { more: &[], ..ROLE }.works();
    // A role that is there gets the policy, and only that is taken back.
    Lesson { name: "web-ssmpolicy", more: &[], ..ROLE }.works();
}

#[test]
fn a_role_that_is_being_made_survives_every_kill() {
    ROLE.survives_every_kill();
}
