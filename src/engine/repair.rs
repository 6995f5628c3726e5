//! A repair: a confirmed plan is journaled, applied, verified; and taken back.
//!
//! The only caller of [`World::perform`]. Every deed is in the journal before it is done.

use crate::core::check::Verdict;
use crate::core::diagnosis::Overall;
use crate::core::facts::Facts;
use crate::core::facts::wire::Tcp;
use crate::core::plan::{Action, Confirmed, Plan};
use crate::core::probe::ProbeId;
use crate::core::rules;
use crate::engine::diagnose::{self, Request};
use crate::engine::event::{RepairEvent, RepairOutcome, RepairResult, RunId, Snapshot, StepState};
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::journal::{Entry, EntryState, Journal, LineEvent};
use crate::engine::world::World;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

/// How often the failed checks are run again while a change spreads (security groups take seconds).
const ATTEMPTS: u32 = 3;
/// Pause between the attempts.
const PAUSE: Duration = Duration::from_secs(2);

/// Applies a confirmed plan: journal, steps, then the failed checks again.
pub async fn apply(
    world: Arc<dyn World>,
    journal: Arc<dyn Journal>,
    plan: Confirmed,
    request: Request,
    run: RunId,
    out: UnboundedSender<RepairEvent>,
) -> RepairResult {
    let plan = plan.plan().clone();
    let entry = match journal.begin(&plan) {
        Ok(entry) => entry,
        Err(failure) => {
            return finish(
                &out,
                RepairResult { entry: None, plan, outcome: RepairOutcome::Failed(failure), after: None },
            );
        }
    };
    let outcome = steps(&world, &journal, &entry, &plan, &out).await;
    if let Err(failure) = outcome {
        journal.end(&entry);
        return finish(
            &out,
            RepairResult { entry: Some(entry), plan, outcome: RepairOutcome::Failed(failure), after: None },
        );
    }
    let (outcome, after) = verify(&world, &plan, &request, run, &out).await;
    let text = match &outcome {
        RepairOutcome::Fixed { login: true } => "applied; the checks pass and the login works".to_owned(),
        RepairOutcome::Fixed { login: false } => "applied; the checks that raised the cause pass".to_owned(),
        RepairOutcome::NotVerified(why) => format!("applied, not verified: {why}"),
        RepairOutcome::Failed(failure) => failure.to_string(),
        RepairOutcome::Undone => "undone".to_owned(),
    };
    let verified = matches!(outcome, RepairOutcome::Fixed { .. });
    let written = journal.append(&entry, LineEvent::Ended { verified, text });
    journal.end(&entry);
    let outcome = match written {
        Ok(()) => outcome,
        Err(failure) => RepairOutcome::NotVerified(format!(
            "the change is made, but the journal could not be closed: {}",
            failure.reason
        )),
    };
    finish(&out, RepairResult { entry: Some(entry), plan, outcome, after: Some(after) })
}

async fn steps(
    world: &Arc<dyn World>,
    journal: &Arc<dyn Journal>,
    entry: &str,
    plan: &Plan,
    out: &UnboundedSender<RepairEvent>,
) -> Result<(), Failure> {
    for (index, step) in plan.steps.iter().enumerate() {
        let Some(action) = &step.action else { continue };
        let tell = |state: StepState| {
            let _ = out.send(RepairEvent::Step { index, state });
        };
        tell(StepState::Running);
        journal.append(entry, LineEvent::StepBegun { step: index, action: action.clone() })?;
        match world.perform(action.clone()).await {
            Ok(done) => {
                tell(StepState::Done(done.text.clone()));
                let line = LineEvent::StepDone {
                    step: index,
                    text: done.text.clone(),
                    undo: done.undo,
                    changed: done.changed,
                };
                journal.append(entry, line).map_err(|e| {
                    let back = step.undo.clone().unwrap_or_else(|| "it cannot be taken back by a command".to_owned());
                    Failure::failed(
                        format!("write down that the change is made ({})", done.text),
                        e.reason,
                        format!("the change IS made; to take it back by hand: {back}"),
                    )
                })?;
            }
            Err(failure) => {
                tell(StepState::Failed(failure.reason.clone()));
                // What failed matters more than that it could not be written down.
                let _ = journal.append(entry, LineEvent::StepFailed { step: index, failure: failure.clone() });
                return Err(failure);
            }
        }
    }
    Ok(())
}

/// Runs the diagnosis again until the checks that raised the cause pass.
async fn verify(
    world: &Arc<dyn World>,
    plan: &Plan,
    request: &Request,
    run: RunId,
    out: &UnboundedSender<RepairEvent>,
) -> (RepairOutcome, Snapshot) {
    let look = plan.steps.iter().rposition(|s| s.action.is_none());
    if let Some(index) = look {
        let _ = out.send(RepairEvent::Step { index, state: StepState::Running });
    }
    let mut attempt = 1;
    loop {
        let (sender, mut receiver) = unbounded_channel::<Snapshot>();
        let diagnosis = diagnose::run(Arc::clone(world), request.clone(), run, sender, CancellationToken::new());
        let forward = async {
            while let Some(snapshot) = receiver.recv().await {
                let _ = out.send(RepairEvent::Verifying { attempt, snapshot });
            }
        };
        let (after, ()) = tokio::join!(diagnosis, forward);
        let failing: Vec<String> = plan
            .verify
            .iter()
            .filter(|id| !matches!(rules::verdict(&after.diagnosis.checks, id), Some(Verdict::Pass)))
            .map(|id| {
                after
                    .diagnosis
                    .checks
                    .iter()
                    .find(|c| c.id == **id)
                    .map_or_else(|| id.clone(), |c| format!("{id}: {}", c.reason))
            })
            .collect();
        let login = after.diagnosis.overall == Overall::Healthy;
        // The rule is seen at once, the packets follow some seconds later.
        let settling = matches!(after.facts.wire.tcp.value(), Some(Tcp::TimedOut { .. }))
            && plan.verify.iter().any(|v| v == "security-group");
        if login || attempt == ATTEMPTS || (failing.is_empty() && !settling) {
            let outcome = if failing.is_empty() {
                RepairOutcome::Fixed { login }
            } else {
                RepairOutcome::NotVerified(failing.join("; "))
            };
            if let Some(index) = look {
                let state = if failing.is_empty() {
                    StepState::Done("the checks pass".to_owned())
                } else {
                    StepState::Failed(failing.join("; "))
                };
                let _ = out.send(RepairEvent::Step { index, state });
            }
            return (outcome, after);
        }
        attempt += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

fn finish(out: &UnboundedSender<RepairEvent>, result: RepairResult) -> RepairResult {
    let _ = out.send(RepairEvent::Ended(result.clone()));
    result
}

/// The entry to take back: the named one, or the latest in force (or interrupted).
pub fn find_entry(journal: &dyn Journal, entry: Option<&str>) -> Result<Entry, Failure> {
    let all = journal.entries()?;
    let found = match entry {
        Some(id) => all.into_iter().find(|e| e.id == id),
        None => all
            .into_iter()
            .rev()
            .find(|e| e.state != EntryState::Undone && (e.open_step.is_some() || e.done.iter().any(|d| d.changed))),
    };
    found.ok_or_else(|| {
        let what = entry.map_or_else(|| "a change that is in force".to_owned(), |id| format!("the journal entry {id}"));
        Failure::usage(format!("find {what}"), "the journal has none", "port22 journal lists what was changed")
    })
}

/// What an undo of an entry would do, last step first. A step of which nobody knows whether it was
/// done is taken back by the plan's own undo where that is harmless, else named.
pub fn undo_actions(entry: &Entry) -> Vec<(usize, Action, String)> {
    let open = entry.open_step.iter().filter_map(|(step, action)| {
        Some((*step, action.reverse()?, "a step of which nobody knows whether it was done".to_owned()))
    });
    let done =
        entry.done.iter().rev().filter(|d| d.changed).filter_map(|d| Some((d.step, d.undo.clone()?, d.text.clone())));
    open.chain(done).collect()
}

/// Whether the caller is in the account that the plan was made for; the reason when not, or when that cannot be told.
async fn other_account(world: &Arc<dyn World>, plan: &Plan) -> Option<String> {
    let wanted = plan.account.as_ref()?;
    let seen = world.observe(ProbeId::Caller, Arc::new(Facts::default()));
    let seen = tokio::time::timeout(Duration::from_secs(15), seen).await.unwrap_or_default();
    let mut facts = Facts::default();
    seen.into_iter().for_each(|o| o.apply(&mut facts));
    match facts.aws.caller.value() {
        Some(caller) if caller.account == *wanted => None,
        Some(caller) => Some(format!("the change was made in account {wanted}, and you are in {}", caller.account)),
        None => Some(format!("it cannot be told whether you are in account {wanted}, where the change was made")),
    }
}

/// Takes an entry of the journal back, last step first.
pub async fn undo(
    world: Arc<dyn World>,
    journal: Arc<dyn Journal>,
    entry: String,
    out: UnboundedSender<RepairEvent>,
) -> RepairResult {
    let found = match find_entry(journal.as_ref(), Some(&entry)) {
        Ok(found) => found,
        Err(failure) => {
            return finish(
                &out,
                RepairResult {
                    entry: Some(entry),
                    plan: empty_plan(),
                    outcome: RepairOutcome::Failed(failure),
                    after: None,
                },
            );
        }
    };
    let plan = found.plan.clone();
    let end = |outcome| RepairResult { entry: Some(entry.clone()), plan: plan.clone(), outcome, after: None };
    if found.state == EntryState::Undone {
        let failure =
            Failure::usage(format!("undo {entry}"), "it is undone already", "port22 journal lists what is in force");
        return finish(&out, end(RepairOutcome::Failed(failure)));
    }
    if let Some((step, action)) = found.open_step.as_ref().filter(|(_, a)| a.reverse().is_none()) {
        let failure = Failure::new(
            FailureKind::Refused,
            format!("undo {entry}"),
            format!("nobody knows whether step {} was done: {action:?}", step + 1),
            "look at it in the console, and take it back by hand where it was done",
        );
        return finish(&out, end(RepairOutcome::Failed(failure)));
    }
    if let Some(reason) = other_account(&world, &found.plan).await {
        let failure = Failure::new(
            FailureKind::Refused,
            format!("undo {entry}"),
            reason,
            "choose the profile with which the change was made (--profile)",
        );
        return finish(&out, end(RepairOutcome::Failed(failure)));
    }
    if let Some(irreversible) = found.done.iter().find(|d| d.changed && d.undo.is_none()) {
        let failure = Failure::new(
            FailureKind::Refused,
            format!("undo {entry}"),
            format!("'{}' cannot be taken back by a call", irreversible.text),
            "the journal shows what was changed",
        );
        return finish(&out, end(RepairOutcome::Failed(failure)));
    }
    let mut outcome = Ok(());
    for (step, action, _) in undo_actions(&found) {
        let done = async {
            journal.append(&entry, LineEvent::UndoBegun { step, action: action.clone() })?;
            let _ = out.send(RepairEvent::Step { index: step, state: StepState::Running });
            world.perform(action).await
        };
        match done.await {
            Ok(done) => {
                let _ = out.send(RepairEvent::Step { index: step, state: StepState::Done(done.text.clone()) });
                outcome = journal.append(&entry, LineEvent::UndoDone { step, text: done.text });
            }
            Err(failure) => {
                let _ = out.send(RepairEvent::Step { index: step, state: StepState::Failed(failure.reason.clone()) });
                let _ = journal.append(&entry, LineEvent::UndoFailed { step, failure: failure.clone() });
                outcome = Err(failure);
            }
        }
        if outcome.is_err() {
            break;
        }
    }
    let outcome = match outcome.and_then(|()| journal.append(&entry, LineEvent::Undone)) {
        Ok(()) => RepairOutcome::Undone,
        Err(failure) => RepairOutcome::Failed(failure),
    };
    finish(&out, end(outcome))
}

fn empty_plan() -> Plan {
    Plan {
        fix: String::new(),
        title: String::new(),
        subject: String::new(),
        target: String::new(),
        gates: Vec::new(),
        steps: Vec::new(),
        risk: crate::core::plan::Risk::Low,
        downtime: false,
        reversible: true,
        verify: Vec::new(),
        consent: crate::core::plan::Consent::Yes,
        permissions: Vec::new(),
        account: None,
    }
}
