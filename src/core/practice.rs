//! Practice: what a lesson asks for, what was done about it, and what that is worth.
//!
//! For the practice account alone; nothing of it judges a real instance. [`score`] turns what somebody did into points,
//! [`progress`] what was solved into a record, [`hand`] calls made by hand into how disruptive they were. Must not reach
//! the account: whether a login works is told by who tried it.

pub mod hand;
pub mod progress;
pub mod score;

use crate::core::catalogue;
use serde::Serialize;
use std::collections::BTreeSet;

/// A lesson of the practice account, as far as its screens and its score need it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lesson {
    /// Its id, the argument of `port22 lab`.
    pub id: String,
    /// One line.
    pub title: String,
    /// Symptom id.
    pub symptom: String,
    /// What it practises.
    pub group: String,
    /// 1 (easy) to 3.
    pub difficulty: u8,
    /// What happened.
    pub story: String,
    /// From a nudge to nearly the answer.
    pub hints: Vec<String>,
    /// The right cause id; "none" where nothing is wrong.
    pub cause: String,
    /// Cause ids that are true as well.
    pub also: Vec<String>,
    /// The fix id that restores the login; "none" where no plan does.
    pub fix: String,
    /// Id of the instance that it is about.
    pub instance: String,
    /// Name tag of that instance.
    pub name: String,
    /// Whether it turns on the words of another client, which is not here, or is not acted out in this account: a login
    /// from here tells nothing.
    pub elsewhere: bool,
}

/// What solves a lesson.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The login works.
    Login,
    /// The lesson's cause is gone: it is about another way in than a login by SSH.
    CauseGone,
    /// The cause is named: no plan mends it, or nothing is wrong.
    Named,
}

/// Cause id that stands for "nothing is wrong".
pub const NOTHING: &str = "none";

/// Fix ids that are no plan: nothing, or a door through which the user works by hand.
const NO_PLAN: [&str; 3] = ["none", "ssm-shell", "serial-console"];

/// Symptoms of other things than a login by SSH.
const OTHER_WAYS: [&str; 6] =
    ["rdp_error", "ssm_not_connected", "ssm_plugin_missing", "ping_failure", "eic_error", "aws_credentials"];

impl Lesson {
    /// What solves it. A login that works solves any lesson whose symptom is one of SSH, whatever its goal.
    pub fn goal(&self) -> Goal {
        if NO_PLAN.contains(&self.fix.as_str()) || self.elsewhere {
            Goal::Named
        } else if OTHER_WAYS.contains(&self.symptom.as_str()) {
            Goal::CauseGone
        } else {
            Goal::Login
        }
    }

    /// Whether a login that works shows that it is solved: its fault stops logins. A host on which nothing is wrong, or
    /// whose other doors are closed, could be logged in to from the beginning.
    pub fn is_about_login(&self) -> bool {
        self.cause != NOTHING
            && self.symptom != "success"
            && !self.elsewhere
            && !OTHER_WAYS.contains(&self.symptom.as_str())
    }

    /// Whether this cause is right.
    pub fn is_right(&self, cause: &str) -> bool {
        self.cause == cause || self.also.iter().any(|also| also == cause)
    }

    /// Causes to choose from, by title: every end of the symptom's tree, the right one, and that nothing is wrong.
    pub fn candidates(&self) -> Vec<String> {
        let words = catalogue::get();
        let ends = words.tree(Some(&self.symptom)).map(|tree| tree.nodes.as_slice()).unwrap_or_default();
        let ends = ends.iter().flat_map(|node| [&node.pass, &node.fail, &node.unknown]);
        let mut ids: BTreeSet<String> = ends.filter_map(|end| end.strip_prefix("cause:")).map(str::to_owned).collect();
        ids.extend([self.cause.clone(), NOTHING.to_owned()]);
        ids.retain(|id| id == NOTHING || words.causes.contains_key(id));
        let mut ids: Vec<String> = ids.into_iter().collect();
        ids.sort_by_key(|id| (id == NOTHING, words.causes.get(id).map(|cause| cause.title.to_lowercase())));
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lesson(symptom: &str, cause: &str, fix: &str) -> Lesson {
        let text = str::to_owned;
        Lesson { symptom: text(symptom), cause: text(cause), fix: text(fix), ..Lesson::default() }
    }

    #[test]
    fn what_solves_a_lesson() {
        for (symptom, cause, fix, goal, by_login) in [
            ("timeout", "sg-no-rule", "sg-allow-my-ip", Goal::Login, true),
            ("rdp_error", "rdp-not-allowed", "rdp-allow-my-ip", Goal::CauseGone, false),
            ("timeout", "kernel-panic", "serial-console", Goal::Named, true),
            ("ssm_not_connected", "ssm-agent-not-running", "ssm-shell", Goal::Named, false),
            ("aws_credentials", "aws-credentials-expired", "none", Goal::Named, false),
            ("success", "none", "none", Goal::Named, false),
        ] {
            let lesson = lesson(symptom, cause, fix);
            assert_eq!((lesson.goal(), lesson.is_about_login()), (goal, by_login), "{symptom} {fix}");
            let elsewhere = Lesson { elsewhere: true, ..lesson };
            assert_eq!((elsewhere.goal(), elsewhere.is_about_login()), (Goal::Named, false), "{symptom} {fix}");
        }
    }

    #[test]
    fn the_right_cause_can_be_chosen_and_so_can_nothing() {
        let lesson = lesson("timeout", "sg-no-rule", "sg-allow-my-ip");
        let all = lesson.candidates();
        assert!(all.iter().any(|id| id == "sg-no-rule") && all.len() > 8, "{all:?}");
        assert_eq!(all.last().map(String::as_str), Some(NOTHING));
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert!(lesson.is_right("sg-no-rule") && !lesson.is_right("nacl-inbound-deny"));
    }
}
