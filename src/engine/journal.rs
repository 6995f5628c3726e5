//! The durable record of every change, written before the change is made.
//!
//! The shapes and the trait; the file is kept by `edge`. Must not perform anything.

use crate::core::plan::{Action, Outputs, Plan, filled};
use crate::engine::failure::Failure;
use serde::{Deserialize, Serialize};

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Entry that the line belongs to.
    pub entry: String,
    /// Seconds since 1970.
    pub at: i64,
    /// What happened.
    #[serde(flatten)]
    pub event: LineEvent,
}

/// What a journal line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LineEvent {
    /// A confirmed plan is about to be applied. Written before anything is touched.
    Begun {
        /// The plan as confirmed.
        plan: Box<Plan>,
    },
    /// A step is about to be done.
    StepBegun {
        /// Index in the plan.
        step: usize,
        /// The deed.
        action: Action,
    },
    /// A step is done.
    StepDone {
        /// Index in the plan.
        step: usize,
        /// What the service said.
        text: String,
        /// The deed that takes it back.
        undo: Option<Action>,
        /// Whether something is left that an undo would have to take back.
        changed: bool,
        /// What later steps need of it.
        #[serde(default, skip_serializing_if = "Outputs::is_empty")]
        outputs: Outputs,
    },
    /// A step failed.
    StepFailed {
        /// Index in the plan.
        step: usize,
        /// Why.
        failure: Failure,
    },
    /// All steps are done; whether the checks passed afterwards.
    Ended {
        /// Whether the checks that raised the cause passed.
        verified: bool,
        /// One sentence.
        text: String,
    },
    /// The undo of a step is about to be done.
    UndoBegun {
        /// Index in the plan.
        step: usize,
        /// The deed.
        action: Action,
    },
    /// The undo of a step is done.
    UndoDone {
        /// Index in the plan.
        step: usize,
        /// What the service said.
        text: String,
    },
    /// The undo of a step failed.
    UndoFailed {
        /// Index in the plan.
        step: usize,
        /// Why.
        failure: Failure,
    },
    /// Everything of the entry is taken back.
    Undone,
}

/// Whether a change is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryState {
    /// Begun, and neither ended nor undone: the process was stopped in the middle.
    Interrupted,
    /// Applied and not taken back.
    InForce,
    /// A step failed; what was done before it is in force.
    Failed,
    /// Taken back.
    Undone,
}

/// An entry: all lines of one repair, summed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Id, in order of time.
    pub id: String,
    /// Begin, seconds since 1970.
    pub at: i64,
    /// Plan.
    pub plan: Plan,
    /// State.
    pub state: EntryState,
    /// Done steps with their undo, in order; a step that was undone is left out, and so is what came after it.
    pub done: Vec<DoneStep>,
    /// A step that was begun and of which nobody knows whether it was done.
    pub open_step: Option<(usize, Action)>,
    /// What the done steps made.
    pub outputs: Outputs,
    /// Last sentence.
    pub text: String,
}

/// A done step of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneStep {
    /// Index in the plan.
    pub step: usize,
    /// What the service said.
    pub text: String,
    /// The deed that takes it back.
    pub undo: Option<Action>,
    /// Whether the world changed.
    pub changed: bool,
}

impl Entry {
    /// What is in force of it, oldest first: step, words, and the command that takes it back by hand where there is one.
    pub fn in_force(&self) -> Vec<(usize, &str, Option<String>)> {
        let changed = self.done.iter().filter(|d| d.changed);
        changed.map(|d| (d.step, d.text.as_str(), self.by_hand(d.step))).collect()
    }

    /// The step of which nobody knows whether it was done: its index, its words, and the command that takes it back by
    /// hand where there is one.
    pub fn unknown(&self) -> Option<(usize, &str, Option<String>)> {
        let (step, _) = self.open_step.as_ref()?;
        let words = self.plan.steps.get(*step).map_or("", |s| s.text.as_str());
        Some((*step, words, self.by_hand(*step)))
    }

    /// The command that takes it back.
    pub fn way_back(&self) -> Option<String> {
        let something = self.open_step.is_some() || self.done.iter().any(|d| d.changed);
        (self.state != EntryState::Undone && something).then(|| format!("port22 undo {}", self.id))
    }

    /// The command that goes on with it.
    pub fn way_on(&self) -> Option<String> {
        matches!(self.state, EntryState::Interrupted | EntryState::Failed).then(|| format!("port22 resume {}", self.id))
    }

    /// The command that takes a step back by hand, with the names of what the steps made.
    pub fn by_hand(&self, step: usize) -> Option<String> {
        let command = self.plan.steps.get(step)?.undo.as_ref()?;
        Some(filled(command, &self.outputs).unwrap_or_else(|_| command.clone()))
    }
}

/// Sums lines up into entries, oldest first. Lines of an entry whose begin is missing are passed over.
pub fn entries(lines: &[Line]) -> Vec<Entry> {
    let mut out: Vec<Entry> = Vec::new();
    for line in lines {
        if let LineEvent::Begun { plan } = &line.event {
            out.push(Entry {
                id: line.entry.clone(),
                at: line.at,
                plan: (**plan).clone(),
                state: EntryState::Interrupted,
                done: Vec::new(),
                open_step: None,
                outputs: Outputs::new(),
                text: "interrupted before anything was changed".to_owned(),
            });
            continue;
        }
        let Some(entry) = out.iter_mut().find(|e| e.id == line.entry) else { continue };
        match &line.event {
            LineEvent::Begun { .. } => {}
            LineEvent::StepBegun { step, action } => {
                entry.open_step = Some((*step, action.clone()));
                entry.state = EntryState::Interrupted;
                entry.text = format!("interrupted in step {}", step + 1);
            }
            LineEvent::StepDone { step, text, undo, changed, outputs } => {
                entry.open_step = None;
                entry.outputs.extend(outputs.clone());
                entry.state = EntryState::Interrupted;
                // A resumed repair may come to a step again.
                entry.done.retain(|d| d.step != *step);
                entry.text.clone_from(text);
                entry.done.push(DoneStep { step: *step, text: text.clone(), undo: undo.clone(), changed: *changed });
            }
            LineEvent::StepFailed { step, failure } => {
                // Without an answer nobody knows whether the step was done.
                if !failure.outcome_unknown {
                    entry.open_step = None;
                }
                entry.state = EntryState::Failed;
                entry.text = format!("step {} failed: {}", step + 1, failure.reason);
            }
            LineEvent::Ended { text, .. } => {
                entry.state = EntryState::InForce;
                entry.text.clone_from(text);
            }
            LineEvent::UndoBegun { .. } => {}
            LineEvent::UndoDone { step, text } => {
                // An undo goes last first: what came after this step is taken back or left nothing behind, and a
                // repair that is gone on with needs it again (a start, an attach, a wait).
                entry.done.retain(|d| d.step < *step);
                if entry.open_step.as_ref().is_some_and(|(open, _)| open >= step) {
                    entry.open_step = None;
                }
                entry.text.clone_from(text);
            }
            LineEvent::UndoFailed { step, failure } => {
                entry.text = format!("undo of step {} failed: {}", step + 1, failure.reason);
            }
            LineEvent::Undone => {
                entry.state = EntryState::Undone;
                entry.done.clear();
                entry.open_step = None;
                "undone".clone_into(&mut entry.text);
            }
        }
    }
    out
}

/// Where lines are kept.
pub trait Journal: Send + Sync + 'static {
    /// Begins an entry: takes the lock of the plan's subject and writes the first line, durably.
    /// Fails when another process repairs the same subject.
    fn begin(&self, plan: &Plan) -> Result<String, Failure>;

    /// Appends a line durably (fsync) before it returns.
    fn append(&self, entry: &str, event: LineEvent) -> Result<(), Failure>;

    /// Releases the lock of an entry.
    fn end(&self, entry: &str);

    /// All entries, oldest first.
    fn entries(&self) -> Result<Vec<Entry>, Failure>;
}
