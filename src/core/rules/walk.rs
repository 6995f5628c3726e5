//! The walk through a symptom's decision tree, from the checks' answers.

use crate::core::catalogue;
use crate::core::check::{CheckResult, Verdict};
use crate::core::diagnosis::TreeStep;

/// Walks the tree of the symptom; ends at a leaf. Never longer than the tree.
pub fn walk(symptom: Option<&str>, checks: &[CheckResult]) -> Vec<TreeStep> {
    let Some(tree) = catalogue::get().tree(symptom) else { return Vec::new() };
    let mut steps = Vec::new();
    let mut at = tree.nodes.first();
    while let Some(node) = at {
        let verdict = super::verdict(checks, &node.check).unwrap_or(Verdict::CannotTell);
        steps.push(TreeStep { at: node.check.clone(), verdict: Some(verdict) });
        let next = match verdict {
            Verdict::Pass => &node.pass,
            Verdict::Fail => &node.fail,
            Verdict::CannotTell | Verdict::Skipped | Verdict::NotApplicable => &node.unknown,
        };
        if next.contains(':') || steps.len() > tree.nodes.len() {
            steps.push(TreeStep { at: next.clone(), verdict: None });
            break;
        }
        at = tree.nodes.iter().find(|n| n.check == *next);
    }
    steps
}
