//! AWS's runbooks: started, followed, found again, stopped.
//!
//! Must not start one twice for one step, and must not stop one that has an instance's root volume in its hands. Source:
//! Systems Manager API reference, `StartAutomationExecution` (ClientToken), `GetAutomationExecution`,
//! `StopAutomationExecution`.

use crate::core::plan::Action;
use crate::core::plan::access::AccessAction as Deed;
use crate::core::recognise::strip_controls;
use crate::core::text::{hex, shorten};
use crate::edge::aws::client::Aws;
use crate::edge::aws::error;
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::world::{Performed, Settled, StepContext};
use aws_sdk_ssm::types::{
    AutomationExecution, AutomationExecutionFilter, AutomationExecutionFilterKey, StepExecution, StopType,
};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// Pauses between looks at a run; the last one is kept. A run of some minutes is looked at every 5 seconds.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(3), Duration::from_secs(5)];
/// How long a run that is told to stop may take for it.
const STOPS: Duration = Duration::from_mins(2);
/// How far this machine's clock may be ahead of AWS's, which gives a run its time (SigV4 takes 5 minutes).
const SKEW: i64 = 300;
/// Kind of a step that only looks at a condition.
const ASSERTS: &str = "aws:assertAwsResourceProperty";
/// Kind of a step that runs another runbook.
const CALLS: &str = "aws:executeAutomation";

/// A UUID made of a token: the form that `ClientToken` wants.
fn uuid(token: &str) -> String {
    let digits = hex(&Sha256::digest(token)[..16]);
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])
}

fn started(region: &str, document: &str, id: &str, changes: bool) -> Performed {
    let undo = Deed::StopRunbook { region: region.to_owned(), execution: id.to_owned() };
    Performed {
        text: format!("{document} runs as {id}"),
        undo: changes.then_some(Action::Access(undo)),
        changed: changes,
        outputs: [("execution".to_owned(), id.to_owned())].into(),
    }
}

/// Whether a run with these parameters may change something: with `CheckAll` it only looks.
fn may_change(parameters: &BTreeMap<String, Vec<String>>) -> bool {
    !parameters.get("Action").is_some_and(|values| values.iter().all(|v| v.eq_ignore_ascii_case("CheckAll")))
}

impl Aws {
    /// Starts a runbook. A step that is done again gives AWS the same token, which then names the run of the first time.
    pub(super) async fn start_runbook(
        &self,
        region: &str,
        document: &str,
        parameters: &BTreeMap<String, Vec<String>>,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let doing = format!("start {document}");
        let call = self
            .ssm_once(region)
            .start_automation_execution()
            .document_name(document)
            .set_parameters(Some(parameters.clone().into_iter().collect()))
            .client_token(uuid(&step.token));
        let answer = call.send().await.map_err(|e| error::failure(&e, "ssm:StartAutomationExecution", &doing))?;
        let id = answer.automation_execution_id().unwrap_or_default();
        Ok(started(region, document, id, may_change(parameters)))
    }

    /// Looks for the run of a step of which no answer is known: no list tells a run's token, so it is known by document,
    /// parameters and time.
    pub(super) async fn settle_runbook(
        &self,
        region: &str,
        document: &str,
        parameters: &BTreeMap<String, Vec<String>>,
        step: &StepContext,
    ) -> Settled {
        if !may_change(parameters) {
            // A run that only looks leaves nothing to take back.
            return Settled::NotDone;
        }
        let Some(since) = begun(&step.token) else {
            return Settled::CannotTell(format!("look at the runs of {document} in Systems Manager, Automation"));
        };
        match self.runs_like(region, document, parameters, since).await {
            Err(failure) => Settled::CannotTell(failure.reason),
            Ok(found) => {
                let going: Vec<&str> = found.iter().filter(|(_, ended)| !ended).map(|(id, _)| id.as_str()).collect();
                match (going.as_slice(), found.first()) {
                    ([], None) => Settled::NotDone,
                    // Of those that have ended the latest: whether it is beyond recall is looked at before anything else.
                    ([], Some((id, _))) => Settled::Done(started(region, document, id, true)),
                    ([id], _) => Settled::Done(started(region, document, id, true)),
                    (more, _) => {
                        Settled::CannotTell(format!("several runs of {document} are like it: {}", more.join(", ")))
                    }
                }
            }
        }
    }

    /// The runs of a document with these parameters that were begun since then, latest first: id, and whether it has
    /// ended.
    async fn runs_like(
        &self,
        region: &str,
        document: &str,
        parameters: &BTreeMap<String, Vec<String>>,
        since: i64,
    ) -> Result<Vec<(String, bool)>, Failure> {
        let doing = format!("look for runs of {document}");
        let client = self.ssm(region);
        let filter = filter(AutomationExecutionFilterKey::DocumentNamePrefix, document, &doing)?;
        let mut pages = client.describe_automation_executions().filters(filter).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| error::failure(&e, "ssm:DescribeAutomationExecutions", &doing))?;
            let listed = page.automation_execution_metadata_list();
            let fresh = |at: Option<&DateTime>| at.is_none_or(|at| at.secs() >= since);
            let ours = listed.iter().filter(|m| m.document_name() == Some(document) && fresh(m.execution_start_time()));
            for id in ours.filter_map(|m| m.automation_execution_id()) {
                let run = self.run_now(region, id, &doing).await?;
                let same = |(name, values): (&String, &Vec<String>)| {
                    run.parameters().and_then(|all| all.get(name)).is_some_and(|there| there == values)
                };
                if parameters.iter().all(same) {
                    let status = run.automation_execution_status().map_or("", |s| s.as_str());
                    found.push((id.to_owned(), has_ended(status)));
                }
            }
            // The list is in order of time, latest first.
            if listed.iter().any(|m| !fresh(m.execution_start_time())) {
                break;
            }
        }
        Ok(found)
    }

    async fn run_now(&self, region: &str, execution: &str, doing: &str) -> Result<AutomationExecution, Failure> {
        let call = self.ssm(region).get_automation_execution().automation_execution_id(execution);
        let answer = call.send().await.map_err(|e| error::failure(&e, "ssm:GetAutomationExecution", doing))?;
        let run = answer.automation_execution().cloned();
        run.ok_or_else(|| Failure::failed(doing, "the answer tells nothing of it", "look at it in the console"))
    }

    /// Follows a run to its end, and says each step as it comes.
    pub(super) async fn follow_runbook(
        &self,
        region: &str,
        execution: &str,
        minutes: u64,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let doing = format!("follow the runbook {execution}");
        let began = Instant::now();
        let limit = Duration::from_secs(minutes * 60);
        let mut told = BTreeSet::new();
        let mut looks = 0;
        loop {
            let seen = self.run_now(region, execution, &doing).await;
            let run = match seen {
                Ok(run) => Some(run),
                Err(failure) if failure.cause.is_some() || began.elapsed() > limit => return Err(failure),
                // One look that fails says nothing about the run.
                Err(_) => None,
            };
            if let Some(run) = &run {
                let status = run.automation_execution_status().map_or("", |s| s.as_str());
                let ended = has_ended(status);
                for one in run.step_executions() {
                    let state = status_of(one);
                    let (name, state_words) = (one.step_name().unwrap_or_default(), words(one, state, ended));
                    if !matches!(state, "" | "Pending") && told.insert((name.to_owned(), state.to_owned())) {
                        step.say(format!("{name}: {state_words}"));
                    }
                    if one.action() == Some(CALLS) && state == "InProgress" {
                        self.tell_inner(region, execution, &mut told, step).await;
                    }
                }
                match status {
                    "Success" | "CompletedWithSuccess" => {
                        let lines = output_of(run);
                        for line in &lines {
                            step.say(line.clone());
                        }
                        let text = if lines.is_empty() {
                            "the runbook has ended, and printed nothing".to_owned()
                        } else {
                            shorten(&format!("the runbook has ended, and says: {}", lines.join(" / ")), 4000)
                        };
                        return Ok(Performed { text, ..Performed::default() });
                    }
                    _ if ended => return Err(ended_badly(run, region, execution, &doing)),
                    _ => {}
                }
            }
            if began.elapsed() > limit {
                return Err(Failure::failed(
                    doing,
                    format!("it still runs after {minutes} minutes"),
                    format!(
                        "it goes on in AWS: aws ssm get-automation-execution --region {region} --automation-execution-id {execution}"
                    ),
                ));
            }
            tokio::time::sleep(PAUSES[looks.min(PAUSES.len() - 1)]).await;
            looks += 1;
        }
    }

    /// Says at which step a runbook is that this one has called; nothing where that cannot be read.
    async fn tell_inner(
        &self,
        region: &str,
        execution: &str,
        told: &mut BTreeSet<(String, String)>,
        step: &StepContext,
    ) {
        let Ok(filter) = filter(AutomationExecutionFilterKey::ParentExecutionId, execution, "") else { return };
        let Ok(answer) = self.ssm(region).describe_automation_executions().filters(filter).send().await else { return };
        for inner in answer.automation_execution_metadata_list() {
            let (document, at) = (inner.document_name().unwrap_or_default(), inner.current_step_name());
            if let Some(at) = at.filter(|at| told.insert((document.to_owned(), (*at).to_owned()))) {
                step.say(format!("{document}: at {at}"));
            }
        }
    }

    /// Stops a run, where what it has done until then needs no taking back; refused where it does, with what to do.
    pub(super) async fn stop_runbook(
        &self,
        region: &str,
        execution: &str,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let doing = format!("stop the runbook {execution}");
        let began = Instant::now();
        let mut asked = false;
        loop {
            let run = self.run_now(region, execution, &doing).await?;
            let status = run.automation_execution_status().map_or("", |s| s.as_str());
            if let Some(refused) = beyond_recall(&run, region, execution, &doing) {
                return Err(refused);
            }
            if has_ended(status) {
                let text = if asked || status == "Cancelled" {
                    format!(
                        "{execution} is stopped before it changed anything of the login; EC2Rescue may stay installed"
                    )
                } else {
                    format!("{execution} has ended ({status}) and has changed nothing of the login")
                };
                return Ok(Performed { text, changed: asked, ..Performed::default() });
            }
            if !asked {
                let call = self.ssm_once(region).stop_automation_execution().automation_execution_id(execution);
                match call.r#type(StopType::Cancel).send().await {
                    Ok(_) => {}
                    // It ended in the same moment: the next look tells how.
                    Err(e) if error::code(&e) == "InvalidAutomationStatusUpdateException" => {}
                    Err(e) => return Err(error::failure(&e, "ssm:StopAutomationExecution", &doing)),
                }
                asked = true;
                step.say(format!("{execution} is told to stop"));
                continue;
            }
            if began.elapsed() > STOPS {
                let next = "look at it in Systems Manager, Automation; then undo again";
                return Err(Failure::failed(doing, format!("it is still {status}"), next));
            }
            tokio::time::sleep(PAUSES[0]).await;
        }
    }
}

/// When the entry of a token was begun, seconds since 1970, with room for a clock that is wrong: tokens are
/// `port22-YYYYMMDD-HHMMSS-N-STEP`, in UTC.
fn begun(token: &str) -> Option<i64> {
    let mut parts = token.strip_prefix("port22-")?.split('-');
    let (date, time) = (parts.next()?, parts.next()?);
    let digits = |text: &str, long: usize| text.len() == long && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(date, 8) || !digits(time, 6) {
        return None;
    }
    let iso = format!("{}-{}-{}T{}:{}:{}Z", &date[..4], &date[4..6], &date[6..], &time[..2], &time[2..4], &time[4..]);
    DateTime::from_str(&iso, Format::DateTime).ok().map(|at| at.secs() - SKEW)
}

fn filter(key: AutomationExecutionFilterKey, value: &str, doing: &str) -> Result<AutomationExecutionFilter, Failure> {
    let built = AutomationExecutionFilter::builder().key(key).values(value).build();
    built.map_err(|e| Failure::usage(doing, e.to_string(), "report this as a bug"))
}

fn has_ended(status: &str) -> bool {
    matches!(
        status,
        "Success"
            | "CompletedWithSuccess"
            | "Failed"
            | "TimedOut"
            | "Cancelled"
            | "CompletedWithFailure"
            | "Rejected"
            | "Exited"
    )
}

fn status_of(step: &StepExecution) -> &str {
    step.step_status().map_or("", |s| s.as_str())
}

/// A step's state for people: a condition that is not met is no fault where the runbook has another way.
fn words(step: &StepExecution, status: &str, ended: bool) -> String {
    match status {
        "Failed" if step.action() == Some(ASSERTS) && !ended => "no; the runbook takes its other way".to_owned(),
        "InProgress" => "goes on".to_owned(),
        "Success" => "done".to_owned(),
        other => other.to_owned(),
    }
}

/// Why a run cannot be taken back any more, if so: its repair has begun, or it has the instance's root volume.
fn beyond_recall(run: &AutomationExecution, region: &str, execution: &str, doing: &str) -> Option<Failure> {
    let given: BTreeMap<String, Vec<String>> =
        run.parameters().into_iter().flatten().map(|(name, values)| (name.clone(), values.clone())).collect();
    if !may_change(&given) {
        return None;
    }
    let begun = |one: &&StepExecution| !matches!(status_of(one), "" | "Pending");
    let steps: Vec<&StepExecution> = run.step_executions().iter().filter(begun).collect();
    let ended = has_ended(run.automation_execution_status().map_or("", |s| s.as_str()));
    let look = format!("aws ssm get-automation-execution --region {region} --automation-execution-id {execution}");
    if let (Some(inner), false) = (steps.iter().find(|s| s.action() == Some(CALLS)), ended) {
        return Some(Failure::new(
            FailureKind::Refused,
            doing,
            format!(
                "it is at {}: it stops the instance and moves its root volume, and stopped in the middle it can leave the instance without one",
                inner.step_name().unwrap_or_default()
            ),
            format!("wait for its end (port22 resume follows it): {look}"),
        ));
    }
    // Installing the tool changes nothing of a login.
    let repairs = |one: &&&StepExecution| {
        one.action() != Some(ASSERTS) && !one.step_name().is_some_and(|n| n.to_lowercase().starts_with("install"))
    };
    let repair = steps.iter().find(repairs)?;
    let name = repair.step_name().unwrap_or_default();
    let state = if ended { "has run" } else { "runs" };
    Some(Failure::new(
        FailureKind::Refused,
        doing,
        format!("its step {name} {state}, and no call takes back what EC2Rescue repairs"),
        format!(
            "what it did is in its output ({look}); old modes and copies of changed files are on the instance in /var/tmp/ec2rl"
        ),
    ))
}

/// What a run printed, line by line, without what could steer a terminal.
fn output_of(run: &AutomationExecution) -> Vec<String> {
    let mut all: Vec<(&String, String)> = run
        .outputs()
        .into_iter()
        .flatten()
        .filter(|(_, values)| values.iter().any(|v| !v.trim().is_empty() && !v.starts_with("No output available")))
        .map(|(name, values)| (name, strip_controls(&values.join("\n"))))
        .collect();
    all.sort();
    // Columns are of no use where lines are wrapped.
    let lines = all.iter().flat_map(|(_, text)| text.lines());
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|line| !line.is_empty()).collect()
}

/// A run that ended badly: an assertion that failed names a condition that the instance does not meet.
fn ended_badly(run: &AutomationExecution, region: &str, execution: &str, doing: &str) -> Failure {
    let status = run.automation_execution_status().map_or("", |s| s.as_str());
    // An assertion may fail and the document go on another way: the last step that failed ended it.
    let failed = run.step_executions().iter().rfind(|s| matches!(status_of(s), "Failed" | "TimedOut" | "Cancelled"));
    let step = failed.and_then(|s| s.step_name()).or(run.current_step_name()).unwrap_or_default();
    let message = failed.and_then(|s| s.failure_message()).or(run.failure_message()).unwrap_or_default();
    let message = shorten(&strip_controls(message).replace('\n', " "), 600);
    let asserted = failed.and_then(|s| s.action()).is_some_and(|a| a == ASSERTS) || condition(&message);
    let moved = run.step_executions().iter().any(|s| s.action() == Some(CALLS) && status_of(s) != "Pending");
    let said = if message.is_empty() { String::new() } else { format!(": {message}") };
    let look = format!("aws ssm get-automation-execution --region {region} --automation-execution-id {execution}");
    let next = if asserted {
        "the instance does not meet the runbook's condition, and nothing was repaired: choose other parameters, or another way (port22 explain root-volume-rescue)".to_owned()
    } else if moved {
        "look whether the instance has its root volume and runs: a run that was cut short can leave it without (port22 diagnose; cause runbook-interrupted)".to_owned()
    } else {
        format!(
            "the instance was not stopped; all that the run said: {look}. A new run needs a new plan (port22 fix troubleshoot-ssh-runbook)"
        )
    };
    let failure = Failure::failed(doing, format!("it is {status} at step {step}{said}"), next);
    match (asserted, moved) {
        (true, _) => failure.caused_by("runbook-precondition-failed"),
        (false, true) => failure.caused_by("runbook-interrupted"),
        (false, false) => failure,
    }
}

/// Whether a message tells of a condition that is not met, in the words of `aws:assertAwsResourceProperty`.
fn condition(message: &str) -> bool {
    message.contains("is not in the desired values") || message.contains("not in desired values")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_makes_the_same_uuid_each_time() {
        let one = uuid("port22-20261121-090000-1-2");
        assert_eq!(one, uuid("port22-20261121-090000-1-2"));
        assert_ne!(one, uuid("port22-20261121-090000-1-3"));
        let parts: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
    }

    #[test]
    fn a_token_tells_when_its_entry_was_begun() {
        assert_eq!(begun("port22-20261121-090000-1-0"), Some(1_795_251_600 - SKEW));
        for odd in ["port22-e1-0", "20261121-090000-1-0", "port22-2026112x-090000-1-0", "port22-20261121-99-1-0", ""] {
            assert_eq!(begun(odd), None, "{odd}");
        }
    }
}
