//! What happened in a run, for whoever shows it.
//!
//! Every event carries its run id, so that late answers of an earlier run change nothing.

use crate::core::diagnosis::Diagnosis;
use crate::core::facts::Facts;
use crate::core::plan::Plan;
use crate::core::probe::ProbeId;
use crate::engine::failure::Failure;
use std::sync::Arc;

/// Number of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct RunId(pub u64);

/// Where a probe stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeState {
    /// Waits for what it needs.
    Waiting,
    /// Runs since this many milliseconds after the start of the run, with this limit.
    Running {
        /// Start, milliseconds since the start of the run.
        since_ms: u64,
        /// Limit in milliseconds.
        limit_ms: u64,
        /// AWS asked to slow down, and the next attempt waits for its turn.
        slowed: bool,
    },
    /// Ended after so many milliseconds; `note` says why nothing is known, if so.
    Ended {
        /// Duration in milliseconds.
        millis: u64,
        /// Why there is no answer.
        note: Option<String>,
    },
    /// Not needed in this run.
    NotNeeded,
}

/// The state of a diagnosis at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Run.
    pub run: RunId,
    /// Facts so far.
    pub facts: Arc<Facts>,
    /// What they mean so far.
    pub diagnosis: Arc<Diagnosis>,
    /// Every probe.
    pub probes: Vec<(ProbeId, ProbeState)>,
    /// AWS calls so far.
    pub api_calls: u64,
    /// Milliseconds since the start.
    pub millis: u64,
    /// Whether the run has ended.
    pub finished: bool,
    /// Whether the user cancelled it.
    pub cancelled: bool,
}

/// State of one step of a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepState {
    /// Not begun.
    Waiting,
    /// Being done.
    Running,
    /// Done, with what the service said.
    Done(String),
    /// Failed, with the reason.
    Failed(String),
}

/// Progress of a repair.
#[derive(Debug, Clone)]
pub enum RepairEvent {
    /// A step changed its state.
    Step {
        /// Index in the plan.
        index: usize,
        /// New state.
        state: StepState,
    },
    /// A running step tells what goes on.
    Progress {
        /// Index in the plan.
        index: usize,
        /// In words.
        text: String,
    },
    /// The checks that raised the cause run again.
    Verifying {
        /// Which attempt, from 1.
        attempt: u32,
        /// The diagnosis so far.
        snapshot: Snapshot,
    },
    /// The end.
    Ended(RepairResult),
}

/// How a repair ended.
#[derive(Debug, Clone)]
pub struct RepairResult {
    /// Journal entry.
    pub entry: Option<String>,
    /// The plan.
    pub plan: Plan,
    /// What happened.
    pub outcome: RepairOutcome,
    /// The diagnosis afterwards.
    pub after: Option<Snapshot>,
}

/// What a repair came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepairOutcome {
    /// Applied, and the checks that raised the cause pass.
    Fixed {
        /// Whether the login itself works now.
        login: bool,
    },
    /// Applied; what still fails or cannot be told.
    NotVerified(String),
    /// A step failed; what was changed before is named.
    Failed(Failure),
    /// Nothing was done: the world has changed since the plan was shown, and this is the plan for it now.
    Stale(Box<Plan>),
    /// The undo was done.
    Undone,
}
