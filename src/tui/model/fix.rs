//! A fix or an undo on the screen: in exactly one [`Phase`].

use crate::core::facts::Facts;
use crate::core::plan::{GateState, Plan};
use crate::core::report::compare::Compared;
use crate::engine::diagnose::Request;
use crate::engine::event::{RepairResult, RunId, Snapshot, StepState};
use crate::engine::journal::Entry;
use crate::engine::secret::Secret;
use std::sync::Arc;

/// A fix or an undo on the screen.
#[derive(Debug)]
pub struct Fixing {
    /// Its number.
    pub run: RunId,
    /// Fix id.
    pub fix: String,
    /// Journal entry that is taken back; `None` for a fix.
    pub undo: Option<String>,
    /// The diagnosis to verify with.
    pub request: Request,
    /// What the plan is built from.
    pub facts: Arc<Facts>,
    /// Where it stands.
    pub phase: Phase,
    /// First line shown.
    pub scroll: usize,
    /// When the plan came.
    pub planned_ms: u64,
    /// The entry that is gone on with; `None` for a new repair.
    pub resume: Option<Box<Entry>>,
    /// The passphrase that is being typed.
    pub secret: Secret,
    /// What the repair changed in the diagnosis, once it is over.
    pub compared: Option<Compared>,
}

/// Where a fix stands.
#[derive(Debug)]
pub enum Phase {
    /// The plan is being built and looked at.
    Planning,
    /// There is no plan; the reason.
    NoPlan(String),
    /// The plan is shown; nothing was changed.
    Preview {
        /// The plan.
        plan: Box<Plan>,
        /// What was typed for consent.
        typed: String,
    },
    /// Steps are being done.
    Running {
        /// The plan.
        plan: Box<Plan>,
        /// Its steps.
        steps: Vec<StepRow>,
    },
    /// The checks that raised the cause run again.
    Verifying {
        /// The plan.
        plan: Box<Plan>,
        /// Its steps.
        steps: Vec<StepRow>,
        /// Attempt, from 1.
        attempt: u32,
        /// The diagnosis so far.
        snapshot: Box<Snapshot>,
    },
    /// It is over.
    Ended {
        /// How it ended.
        result: Box<RepairResult>,
        /// Its steps.
        steps: Vec<StepRow>,
    },
}

/// A step and its times on the model's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRow {
    /// Its state.
    pub state: StepState,
    /// Begin.
    pub began_ms: u64,
    /// End.
    pub ended_ms: u64,
    /// What it told last while it runs.
    pub told: String,
}

impl Fixing {
    /// Whether steps are being done or verified.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running { .. } | Phase::Verifying { .. })
    }

    /// Whether consent is a word to type.
    pub fn wants_typing(&self, plan: &Plan) -> bool {
        self.undo.is_none() && plan.refused().is_none() && matches!(plan.consent, crate::core::plan::Consent::Type(_))
    }

    /// The key file whose passphrase is to be typed before the plan can be applied.
    pub fn wants_passphrase<'a>(&self, plan: &'a Plan) -> Option<&'a str> {
        // A wrong one refuses the plan: it can be typed again. Any other refusal cannot be typed away.
        let hopeless = plan.gates.iter().any(|g| g.state == GateState::Refuse && g.id != "passphrase");
        plan.passphrase.as_deref().filter(|_| self.undo.is_none() && !hopeless)
    }

    /// The plan, if there is one.
    pub fn plan(&self) -> Option<&Plan> {
        match &self.phase {
            Phase::Planning | Phase::NoPlan(_) => None,
            Phase::Preview { plan, .. } | Phase::Running { plan, .. } | Phase::Verifying { plan, .. } => Some(plan),
            Phase::Ended { result, .. } => Some(&result.plan),
        }
    }
}

impl StepRow {
    /// Steps of a plan before the first one.
    pub fn waiting(count: usize) -> Vec<Self> {
        vec![Self { state: StepState::Waiting, began_ms: 0, ended_ms: 0, told: String::new() }; count]
    }
}
