//! Taking a repair back, last step first.
//!
//! Must not guess: a step of which nobody knows whether it was done is looked at before it is taken back.

use super::{Means, Progress};
use crate::core::facts::Facts;
use crate::core::plan::{Action, Plan};
use crate::core::probe::ProbeId;
use crate::engine::event::{RepairEvent, RepairOutcome, RepairResult, StepState};
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::journal::{Entry, EntryState, Journal, LineEvent};
use crate::engine::world::{Settled, StepContext, World};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

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

/// The entry to go on with: the named one, or the latest that was cut short.
pub fn find_interrupted(journal: &dyn Journal, entry: Option<&str>) -> Result<Entry, Failure> {
    let all = journal.entries()?;
    let found = match entry {
        Some(id) => all.into_iter().find(|e| e.id == id),
        None => all.into_iter().rev().find(|e| matches!(e.state, EntryState::Interrupted | EntryState::Failed)),
    };
    found.ok_or_else(|| {
        let what =
            entry.map_or_else(|| "a repair that was cut short".to_owned(), |id| format!("the journal entry {id}"));
        Failure::usage(format!("find {what}"), "the journal has none", "port22 journal lists what was changed")
    })
}

/// What an undo of an entry would do, last step first, as it can be told from the journal alone: step, deed, words. The
/// deed for a step of which nobody knows whether it was done is `None` where that is found out by looking first.
pub fn undo_actions(entry: &Entry) -> Vec<(usize, Option<Action>, String)> {
    let open = entry
        .open_step
        .iter()
        .map(|(step, action)| (*step, action.reverse(), "a step of which nobody knows whether it was done".to_owned()));
    let done = entry.done.iter().rev().filter(|d| d.changed).map(|d| (d.step, d.undo.clone(), d.text.clone()));
    open.chain(done).collect()
}

/// Whether the caller is in the account that the plan was made for; the reason when not, or when that cannot be told.
pub(super) async fn other_account(world: &Arc<dyn World>, plan: &Plan) -> Option<String> {
    let wanted = plan.account.as_ref()?;
    let seen = world.observe(ProbeId::Caller, Arc::new(Facts::default()));
    let seen = tokio::time::timeout(Duration::from_secs(15), seen).await.unwrap_or_default();
    let mut facts = Facts::default();
    seen.into_iter().for_each(|o| o.apply(&mut facts));
    match facts.aws.caller.value() {
        Some(caller) if caller.account == *wanted => None,
        Some(caller) => Some(format!("the change was made in account {wanted}, and you are in {}", caller.account)),
        None => {
            let why = facts.aws.caller.why_not().map_or_else(|| "no answer".to_owned(), |why| why.text());
            Some(format!("it cannot be told whether you are in account {wanted}, where the change was made: {why}"))
        }
    }
}

/// A step that was begun and of which no answer is known, seen by looking: the deed that takes it back if it was done.
async fn settle(means: &Means, entry: &Entry) -> Result<Option<(usize, Option<Action>, String)>, Failure> {
    let Some((step, action)) = &entry.open_step else { return Ok(None) };
    if let Some(back) = action.reverse() {
        return Ok(Some((*step, Some(back), "a step of which nobody knows whether it was done".to_owned())));
    }
    match means.world.settle(action.clone(), StepContext::new(&entry.id, *step)).await {
        Settled::NotDone => Ok(None),
        Settled::Done(done) if !done.changed => Ok(None),
        Settled::Done(done) => Ok(Some((*step, done.undo, done.text))),
        Settled::CannotTell(reason) => {
            let text = entry.plan.steps.get(*step).map(|s| s.text.clone()).unwrap_or_default();
            Err(Failure::new(
                FailureKind::Refused,
                format!("undo {}", entry.id),
                format!("nobody knows whether step {} ({text}) was done: {reason}", step + 1),
                "look at it in the console, and take it back by hand where it was done",
            ))
        }
    }
}

/// Takes an entry of the journal back, last step first.
pub async fn undo(means: Means, entry: String) -> RepairResult {
    let found = match find_entry(means.journal.as_ref(), Some(&entry)) {
        Ok(found) => found,
        Err(failure) => {
            return means.finish(RepairResult {
                entry: Some(entry),
                plan: Plan::new("", "", "", ""),
                outcome: RepairOutcome::Failed(failure),
                after: None,
            });
        }
    };
    let outcome = match take_back(&means, &found).await {
        Ok(()) => RepairOutcome::Undone,
        Err(failure) => RepairOutcome::Failed(failure),
    };
    means.finish(RepairResult { entry: Some(entry), plan: found.plan, outcome, after: None })
}

/// An undo that failed in the middle: what is in force still, and the command that goes on with it.
fn still_in_force(mut failure: Failure, journal: &dyn Journal, entry: &str) -> Failure {
    let Some(entry) = journal.entries().ok().and_then(|all| all.into_iter().find(|e| e.id == entry)) else {
        return failure;
    };
    let left: Vec<&str> = entry.in_force().into_iter().map(|(_, text, _)| text).collect();
    let mut way = if left.is_empty() { String::new() } else { format!("still in force: {}. ", left.join("; ")) };
    way.push_str(&format!("Undo again: port22 undo {}", entry.id));
    failure.next = if failure.next.is_empty() { way } else { format!("{}. {way}", failure.next) };
    failure
}

/// An undo that was refused for good after it had stopped the instance or opened what protects it: these steps of the
/// plan are done once more, as they were in force, for every further undo would be refused at the same place.
async fn close_again(means: &Means, found: &Entry, undone: &BTreeSet<usize>, mut failure: Failure) -> Failure {
    let of_power =
        |step: &usize| found.plan.steps.get(*step).and_then(|s| s.action.as_ref()).is_some_and(Action::is_of_power);
    // Only a refusal has changed nothing itself.
    let refused = failure.kind == FailureKind::Refused && !failure.outcome_unknown;
    if !refused || undone.is_empty() || !undone.iter().all(of_power) {
        return failure;
    }
    let done = (0..found.plan.steps.len()).filter(|step| !undone.contains(step)).collect();
    let progress = Progress { done, outputs: found.outputs.clone(), open: None };
    let told = match Box::pin(super::steps(means, &found.id, &found.plan, &progress)).await {
        Ok(()) => {
            let text = format!("the undo was refused ({}); what it had opened was closed again", failure.reason);
            if found.state == EntryState::InForce {
                let _ = means.journal.append(&found.id, LineEvent::Ended { verified: false, text });
            }
            "what this undo had opened or stopped was closed and started again".to_owned()
        }
        Err(why) => format!(
            "what this undo had opened or stopped could not be brought back ({}): port22 resume {} does it",
            why.reason, found.id
        ),
    };
    failure.next = if failure.next.is_empty() { told } else { format!("{}. {told}", failure.next) };
    failure
}

async fn take_back(means: &Means, found: &Entry) -> Result<(), Failure> {
    let entry = &found.id;
    let refuse = |reason: String, next: &str| Failure::new(FailureKind::Refused, format!("undo {entry}"), reason, next);
    if found.state == EntryState::Undone {
        return Err(Failure::usage(
            format!("undo {entry}"),
            "it is undone already",
            "port22 journal lists what is in force",
        ));
    }
    if let Some(reason) = other_account(&means.world, &found.plan).await {
        let next = "use the profile with which the change was made (--profile), and try again when AWS answers; nothing was changed by this";
        return Err(refuse(reason, next));
    }
    let open = settle(means, found).await?;
    let done = found.done.iter().rev().filter(|d| d.changed).map(|d| (d.step, d.undo.clone(), d.text.clone()));
    let all: Vec<(usize, Option<Action>, String)> = open.into_iter().chain(done).collect();
    if let Some((_, _, text)) = all.iter().find(|(_, undo, _)| undo.is_none()) {
        return Err(refuse(format!("'{text}' cannot be taken back by a call"), "the journal shows what was changed"));
    }
    // What is undone first may stop the instance and open what protects it: for nothing, if the rest is refused.
    for undo in all.iter().filter_map(|(_, undo, _)| undo.as_ref()) {
        means.world.foresee(undo.clone()).await.map_err(|mut failure| {
            let next = "nothing was changed by this undo";
            failure.next = if failure.next.is_empty() { next.into() } else { format!("{}; {next}", failure.next) };
            failure
        })?;
    }
    let mut undone = BTreeSet::new();
    for (step, action, _) in all {
        let Some(action) = action else { continue };
        means.journal.append(entry, LineEvent::UndoBegun { step, action: action.clone() })?;
        means.tell(RepairEvent::Step { index: step, state: StepState::Running });
        // Its own token: what the undo makes is not what the step made.
        let context = StepContext { token: format!("port22-{entry}-{step}-undo"), ..StepContext::default() };
        match means.world.perform(action, context).await {
            Ok(done) => {
                means.tell(RepairEvent::Step { index: step, state: StepState::Done(done.text.clone()) });
                means.journal.append(entry, LineEvent::UndoDone { step, text: done.text })?;
                undone.insert(step);
            }
            Err(failure) => {
                means.tell(RepairEvent::Step { index: step, state: StepState::Failed(failure.reason.clone()) });
                // Before the line that ends the undo and gives the lock away.
                let failure = close_again(means, found, &undone, failure).await;
                let _ = means.journal.append(entry, LineEvent::UndoFailed { step, failure: failure.clone() });
                return Err(still_in_force(failure, means.journal.as_ref(), entry));
            }
        }
    }
    means.journal.append(entry, LineEvent::Undone)
}
