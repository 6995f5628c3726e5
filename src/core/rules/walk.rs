//! The walk through a symptom's decision tree, from the checks' answers.
//!
//! Step by step it ends where the judgement of all facts at once ends: a tree's leaf is the usual cause behind its
//! question, and where the evidence names another one, that one is the end.

use super::View;
use crate::core::catalogue::{self, Catalogue};
use crate::core::cause::{Certainty, Finding};
use crate::core::check::{CheckResult, Verdict};
use crate::core::diagnosis::TreeStep;

/// Walks the tree of the symptom; ends at a leaf. Never longer than the tree and one step more.
/// `causes` are those of the judgement, the one to act on first.
pub fn walk(view: &View<'_>, symptom: Option<&str>, checks: &[CheckResult], causes: &[Finding]) -> Vec<TreeStep> {
    let catalogue = catalogue::get();
    let Some(tree) = catalogue.tree(symptom) else { return Vec::new() };
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
            steps.extend(ending(view, catalogue, node.check.as_str(), next, checks, causes));
            break;
        }
        at = tree.nodes.iter().find(|n| n.check == *next);
    }
    steps
}

/// The leaf, or what the evidence says instead.
fn ending(
    view: &View<'_>,
    catalogue: &Catalogue,
    asked: &str,
    leaf: &str,
    checks: &[CheckResult],
    causes: &[Finding],
) -> Vec<TreeStep> {
    let step = |at: String, verdict| TreeStep { at, verdict };
    // A door to look further is the better end as long as nothing is proven.
    let enough = |c: &&Finding| {
        super::rank::explains(view, c) && (!leaf.starts_with("door:") || c.certainty == Certainty::Proven)
    };
    let explained: Vec<&Finding> = causes.iter().filter(enough).collect();
    let named = leaf.strip_prefix("cause:");
    if explained.is_empty() || named.is_some_and(|id| explained.iter().any(|c| c.id == id)) {
        return vec![step(leaf.to_owned(), None)];
    }
    let check_of = |c: &Finding| catalogue.causes.get(&c.id).and_then(|w| w.check.clone());
    // Another cause behind the same question comes before the first of all.
    let same = explained.iter().find(|c| named.is_some() && check_of(c).as_deref() == Some(asked));
    let Some(cause) = same.or(explained.first()) else { return vec![step(leaf.to_owned(), None)] };
    let mut out = Vec::new();
    if let Some(check) = check_of(cause).filter(|c| c != asked)
        && super::verdict(checks, &check) == Some(Verdict::Fail)
    {
        out.push(step(check, Some(Verdict::Fail)));
    }
    out.push(step(format!("cause:{}", cause.id), None));
    out
}
