//! A repair: a confirmed plan is journaled, applied, verified; taken up again when it was cut short; and taken back.
//!
//! The only caller of [`World::perform`]. Every deed is in the journal before it is done.

mod undo;
pub(super) mod verify;

pub use undo::{find_entry, find_interrupted, undo, undo_actions};

use crate::core::facts::Facts;
use crate::core::fixes;
use crate::core::plan::{Choices, Confirmed, Outputs, Plan};
use crate::engine::diagnose::{self, Request};
use crate::engine::event::{RepairEvent, RepairOutcome, RepairResult, RunId, Snapshot, StepState};
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::journal::{Entry, EntryState, Journal, LineEvent};
use crate::engine::world::{StepContext, World};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

/// Limit of each probe when a plan is made again: somebody waits for the repair to begin.
const REREAD: Duration = Duration::from_secs(5);

/// What a repair works with.
#[derive(Clone)]
pub struct Means {
    /// The world that is changed.
    pub world: Arc<dyn World>,
    /// The record of it.
    pub journal: Arc<dyn Journal>,
    /// Whom the repair is for: the diagnosis that verifies it.
    pub request: Request,
    /// Number of its events.
    pub run: RunId,
    /// Who listens.
    pub out: UnboundedSender<RepairEvent>,
}

impl Means {
    fn tell(&self, event: RepairEvent) {
        let _ = self.out.send(event);
    }

    fn finish(&self, result: RepairResult) -> RepairResult {
        self.tell(RepairEvent::Ended(result.clone()));
        result
    }
}

/// Builds the plan of a fix: what it needs to know beyond the diagnosis is read, then the plan is made, then
/// permissions are asked about (DryRun where the API has it). Fails with one sentence that says what is missing.
pub async fn plan(world: &dyn World, fix: &str, facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    let mut facts = facts.clone();
    facts.prepared = world.prepare(fix, Arc::new(facts.clone())).await;
    let plan = fixes::plan(fix, &facts, choices)?;
    Ok(world.preflight(plan).await)
}

/// Applies a confirmed plan: journal, steps, then the failed checks again.
///
/// With `reread` the world is read again first, and a plan that would be another one now is not applied: it may have
/// been on the screen for a while.
pub async fn apply(means: Means, plan: Confirmed, reread: bool) -> RepairResult {
    let mut plan = plan.plan().clone();
    plan.login.get_or_insert_with(|| means.request.target.clone());
    let end = |plan: Plan, entry: Option<String>, outcome| RepairResult { entry, plan, outcome, after: None };
    if reread {
        if let Some(index) = plan.steps.iter().position(|s| s.action.is_some()) {
            means.tell(RepairEvent::Step { index, state: StepState::Running });
            let text = "first a look whether the world still is as it was when the plan was shown".to_owned();
            means.tell(RepairEvent::Progress { index, text });
        }
        match Box::pin(again(&means, &plan)).await {
            Ok(fresh) if fresh.does_as(&plan) => {}
            Ok(fresh) => return means.finish(end(plan, None, RepairOutcome::Stale(Box::new(fresh)))),
            Err(reason) => {
                let failure = Failure::new(
                    FailureKind::Refused,
                    format!("apply {}", plan.fix),
                    format!(
                        "the world has changed since the plan was shown, and there is no plan for it now: {reason}"
                    ),
                    "run the diagnosis again",
                );
                return means.finish(end(plan, None, RepairOutcome::Failed(failure)));
            }
        }
    }
    match means.journal.begin(&plan) {
        Ok(entry) => Box::pin(carry_out(&means, entry, plan, &Progress::default())).await,
        Err(failure) => means.finish(end(plan, None, RepairOutcome::Failed(failure))),
    }
}

/// The plan as it would be made now.
async fn again(means: &Means, plan: &Plan) -> Result<Plan, String> {
    let (sender, _) = unbounded_channel::<Snapshot>();
    let mut request = means.request.clone();
    request.limit = Some(request.limit.map_or(REREAD, |limit| limit.min(REREAD)));
    let seen = diagnose::run(Arc::clone(&means.world), request, means.run, sender, CancellationToken::new()).await;
    self::plan(means.world.as_ref(), &plan.fix, &seen.facts, &plan.chosen()).await
}

/// Takes up a repair that was cut short: the step that was begun is looked at, what is left is done, and the end is
/// verified. Refused for an entry that has ended or was taken back.
pub async fn resume(means: Means, entry: Entry) -> RepairResult {
    let plan = entry.plan.clone();
    let end = |outcome| RepairResult { entry: Some(entry.id.clone()), plan: plan.clone(), outcome, after: None };
    let refuse = |reason: String, next: &str| {
        RepairOutcome::Failed(Failure::new(FailureKind::Refused, format!("resume {}", entry.id), reason, next))
    };
    match entry.state {
        EntryState::Interrupted | EntryState::Failed => {}
        EntryState::InForce => {
            return means.finish(end(refuse("it has come to its end".to_owned(), "port22 undo takes it back")));
        }
        EntryState::Undone => return means.finish(end(refuse("it was taken back".to_owned(), "make a new plan"))),
    }
    if let Some(reason) = undo::other_account(&means.world, &plan).await {
        return means.finish(end(refuse(reason, "choose the profile with which it was begun (--profile)")));
    }
    let progress = Progress {
        done: entry.done.iter().map(|d| d.step).collect(),
        outputs: entry.outputs.clone(),
        open: entry.open_step.as_ref().map(|(step, _)| *step),
    };
    Box::pin(carry_out(&means, entry.id.clone(), plan, &progress)).await
}

/// How far an earlier attempt came.
#[derive(Debug, Default)]
struct Progress {
    /// Steps that are done.
    done: BTreeSet<usize>,
    /// What they made.
    outputs: Outputs,
    /// The step that was begun and of which no answer is known.
    open: Option<usize>,
}

/// Does the steps that are not done yet, verifies, and closes the entry.
async fn carry_out(means: &Means, entry: String, plan: Plan, progress: &Progress) -> RepairResult {
    if let Err(failure) = steps(means, &entry, &plan, progress).await {
        means.journal.end(&entry);
        let failure = with_way_back(failure, means.journal.as_ref(), &entry);
        return means.finish(RepairResult {
            entry: Some(entry),
            plan,
            outcome: RepairOutcome::Failed(failure),
            after: None,
        });
    }
    let (outcome, after) = verify::verify(means, &plan).await;
    let text = match &outcome {
        RepairOutcome::Fixed { login: true } => "applied; the checks pass and the login works".to_owned(),
        RepairOutcome::Fixed { login: false } => "applied; the checks that raised the cause pass".to_owned(),
        RepairOutcome::NotVerified(why) => format!("applied, not verified: {why}"),
        RepairOutcome::Failed(failure) => failure.to_string(),
        RepairOutcome::Stale(_) => "not applied".to_owned(),
        RepairOutcome::Undone => "undone".to_owned(),
    };
    let verified = matches!(outcome, RepairOutcome::Fixed { .. });
    let written = means.journal.append(&entry, LineEvent::Ended { verified, text });
    means.journal.end(&entry);
    let outcome = match written {
        Ok(()) => outcome,
        Err(failure) => RepairOutcome::NotVerified(format!(
            "the change is made, but the journal could not be closed: {}",
            failure.reason
        )),
    };
    means.finish(RepairResult { entry: Some(entry), plan, outcome, after: Some(after) })
}

/// What to do next after a failure in the middle: what is in force now, and how to go on or back.
fn with_way_back(mut failure: Failure, journal: &dyn Journal, entry: &str) -> Failure {
    let Some(entry) = journal.entries().ok().and_then(|all| all.into_iter().find(|e| e.id == entry)) else {
        return failure;
    };
    let left: Vec<String> = entry.done.iter().filter(|d| d.changed).map(|d| d.text.clone()).collect();
    if left.is_empty() && entry.open_step.is_none() {
        if !failure.next.is_empty() {
            failure.next.push_str("; ");
        }
        failure.next.push_str("nothing was changed");
        return failure;
    }
    let mut way = if left.is_empty() { String::new() } else { format!("in force: {}. ", left.join("; ")) };
    if let Some((step, _)) = &entry.open_step {
        way.push_str(&format!("Nobody knows whether step {} was done: both commands look first. ", step + 1));
    }
    way.push_str(&format!("Go back: port22 undo {0}. Go on: port22 resume {0}", entry.id));
    failure.next = if failure.next.is_empty() { way } else { format!("{}. {way}", failure.next) };
    failure
}

async fn steps(means: &Means, entry: &str, plan: &Plan, progress: &Progress) -> Result<(), Failure> {
    let mut outputs = progress.outputs.clone();
    for (index, step) in plan.steps.iter().enumerate() {
        let Some(action) = step.action.as_ref().filter(|_| !progress.done.contains(&index)) else { continue };
        let tell = |state: StepState| means.tell(RepairEvent::Step { index, state });
        let action = action.with_outputs(&outputs).map_err(|reason| {
            Failure::failed(format!("do step {} ({})", index + 1, step.text), reason, "report this as a bug")
        })?;
        tell(StepState::Running);
        means.journal.append(entry, LineEvent::StepBegun { step: index, action: action.clone() })?;
        let again = progress.open == Some(index);
        let context = StepContext { again, ..StepContext::new(entry, index) };
        match perform(means, context, index, action).await {
            Ok(performed) => {
                tell(StepState::Done(performed.text.clone()));
                outputs.extend(performed.outputs.clone());
                let line = LineEvent::StepDone {
                    step: index,
                    text: performed.text.clone(),
                    undo: performed.undo,
                    changed: performed.changed,
                    outputs: performed.outputs,
                };
                means.journal.append(entry, line).map_err(|e| {
                    let back = step.undo.clone().unwrap_or_else(|| "it cannot be taken back by a command".to_owned());
                    Failure::failed(
                        format!("write down that the change is made ({})", performed.text),
                        e.reason,
                        format!("the change IS made; to take it back by hand: {back}"),
                    )
                })?;
            }
            Err(mut failure) => {
                // The attempt that was cut short may have done it, whatever this one met.
                failure.outcome_unknown |= again;
                tell(StepState::Failed(failure.reason.clone()));
                // What failed matters more than that it could not be written down.
                let _ = means.journal.append(entry, LineEvent::StepFailed { step: index, failure: failure.clone() });
                return Err(failure);
            }
        }
    }
    Ok(())
}

/// Performs one deed, passing on what it tells meanwhile.
async fn perform(
    means: &Means,
    context: StepContext,
    index: usize,
    action: crate::core::plan::Action,
) -> Result<crate::engine::world::Performed, Failure> {
    let (tell, mut told) = unbounded_channel::<String>();
    let context = StepContext { tell: Some(tell), ..context };
    let performing = means.world.perform(action, context);
    let listening = async {
        while let Some(text) = told.recv().await {
            means.tell(RepairEvent::Progress { index, text });
        }
    };
    tokio::join!(performing, listening).0
}
