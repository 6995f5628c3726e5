//! A diagnosis: everything that is judged from one set of facts.
//!
//! `judge` is pure and quick (well under 5 ms), so `engine` calls it after every observation.

use crate::core::cause::Finding;
use crate::core::check::{CheckResult, Hop};
use crate::core::facts::Facts;
use serde::{Deserialize, Serialize};

/// The overall answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overall {
    /// At least one cause is proven or likely.
    CauseFound,
    /// The login works.
    Healthy,
    /// Neither.
    Inconclusive,
}

/// A way in, and whether it is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Door {
    /// `ssh`, `ssm`, `eic`, `eice`, `serial`, `user-data`, `rescue`.
    pub id: String,
    /// `open`, `closed`, `unknown`.
    pub state: DoorState,
    /// Why.
    pub why: String,
    /// Downtime, data at risk, minutes.
    pub cost: String,
    /// The command line that takes it elsewhere, where the facts tell enough for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// The door to take: the cheapest one that is open. Doors stand in the order of their cost.
pub fn recommended(doors: &[Door]) -> Option<&Door> {
    doors.iter().find(|d| d.state == DoorState::Open)
}

/// State of a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoorState {
    /// Can be taken now.
    Open,
    /// Cannot.
    Closed,
    /// The facts do not tell.
    Unknown,
}

/// One step of the walk through the decision tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TreeStep {
    /// Check that was asked, or the leaf that was reached (`cause:…`, `door:…`, `end:…`).
    pub at: String,
    /// The answer there; `None` at a leaf.
    pub verdict: Option<crate::core::check::Verdict>,
}

/// Everything judged from one set of facts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Symptom that the walk began with: told, recognised, or seen on the wire.
    pub symptom: Option<String>,
    /// The overall answer.
    pub overall: Overall,
    /// Causes, the one to act on first.
    pub causes: Vec<Finding>,
    /// All checks in the order of the path.
    pub checks: Vec<CheckResult>,
    /// The packet path.
    pub path: Vec<Hop>,
    /// The walk.
    pub tree: Vec<TreeStep>,
    /// Ways in.
    pub doors: Vec<Door>,
}

/// Judges a set of facts.
pub fn judge(facts: &Facts) -> Diagnosis {
    crate::core::rules::judge(facts)
}
