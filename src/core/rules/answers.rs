//! The user's answers, where no probe can tell. An answer never proves: it makes likely.

use crate::core::catalogue;
use crate::core::cause::{Certainty, Finding};
use crate::core::check::{CheckResult, Verdict};
use crate::core::facts::Facts;

/// Source of what the user said.
pub const SOURCE: &str = "your answer";

/// Replaces "cannot tell" by the user's answer.
pub fn apply(facts: &Facts, checks: &mut [CheckResult]) {
    for check in checks.iter_mut().filter(|c| c.verdict == Verdict::CannotTell) {
        match facts.answers.get(&check.id).map(String::as_str) {
            Some("yes") => {
                check.verdict = Verdict::Pass;
                check.reason = format!("you said so ({})", check.reason);
            }
            Some("no") => {
                check.verdict = Verdict::Fail;
                check.reason = format!("you said that it is not so ({})", check.reason);
            }
            _ => {}
        }
    }
}

/// Causes that a "no" makes likely.
pub fn findings(facts: &Facts, checks: &[CheckResult]) -> Vec<Finding> {
    let words = &catalogue::get().checks;
    checks
        .iter()
        .filter(|c| c.verdict == Verdict::Fail && facts.answers.get(&c.id).is_some_and(|a| a == "no"))
        .filter_map(|c| {
            let check = words.get(&c.id)?;
            let cause = check.no_means.as_ref()?;
            let question = check.question.as_deref().unwrap_or_default();
            let finding = Finding::new(cause, Certainty::Likely, format!("you answered no to: {question}"), SOURCE);
            Some(match catalogue::get().causes.get(cause) {
                Some(words) => finding.would_prove(words.proven_by.clone()),
                None => finding,
            })
        })
        .collect()
}

/// Checks that no probe can answer, only the user: `key-private`, `keys-known`.
pub fn statements(facts: &Facts) -> Vec<CheckResult> {
    let words = [
        ("key-private", "only you can tell whether somebody else has the private key"),
        ("keys-known", "only you can tell whether every key that may log in is known to you"),
    ];
    let ask = |(id, text): (&str, &str)| match facts.instance() {
        Some(_) => CheckResult::unclear(id, text),
        None => CheckResult::not_applicable(id, "there is no instance to ask about"),
    };
    words.map(ask).into()
}

/// Questions of the team in the tree of the symptom. What is answered chooses the way through the tree; it raises no
/// cause.
pub fn questions_of_the_team(symptom: Option<&str>) -> Vec<CheckResult> {
    let words = catalogue::get();
    let nodes = words.tree(symptom).map(|t| t.nodes.as_slice()).unwrap_or_default();
    let own = nodes.iter().map(|n| n.check.as_str()).filter(|id| words.questions.iter().any(|q| q == id));
    own.map(|id| CheckResult::unclear(id, "only you can tell: a question of your team")).collect()
}
