//! Reports of a snapshot: joins what `core::report` needs.

use crate::core::facts::Facts;
use crate::core::report::{self, Run};
use crate::core::rules;
use crate::engine::event::{ProbeState, Snapshot};

/// Calls, times, and the slowest probe behind every check.
pub fn run_of(snapshot: &Snapshot) -> Run {
    let took = |probe| {
        snapshot.probes.iter().find(|(id, _)| *id == probe).map_or(0, |(_, state)| match state {
            ProbeState::Ended { millis, .. } => *millis,
            _ => 0,
        })
    };
    let check_millis = rules::CHECKS
        .iter()
        .map(|(id, probes)| ((*id).to_owned(), probes.iter().map(|p| took(*p)).max().unwrap_or(0)))
        .collect();
    Run { api_calls: snapshot.api_calls, millis: snapshot.millis, check_millis }
}

/// The contract's JSON.
pub fn json(snapshot: &Snapshot) -> serde_json::Value {
    report::json(&snapshot.facts, &snapshot.diagnosis, &run_of(snapshot))
}

/// Markdown.
pub fn markdown(snapshot: &Snapshot) -> String {
    report::markdown(&snapshot.facts, &snapshot.diagnosis, &run_of(snapshot))
}

/// One screen of text.
pub fn text(snapshot: &Snapshot, ascii: bool) -> String {
    report::text(&snapshot.facts, &snapshot.diagnosis, &run_of(snapshot), ascii)
}

/// The answer in a few lines.
pub fn brief(snapshot: &Snapshot) -> Vec<String> {
    report::brief(&snapshot.facts, &snapshot.diagnosis)
}

/// The ssh command that logs in.
pub fn ssh_command(facts: &Facts) -> String {
    report::ssh_command(facts)
}
