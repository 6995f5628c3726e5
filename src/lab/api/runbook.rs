//! Automation: the text of a runbook, and its runs, started, shown and stopped.
//!
//! How a run goes on is told in `automation`. Answers as the Systems Manager API reference has it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::Problem;
use super::ssm::{self, Reply, seconds, text};
use crate::lab::automation::{self, RESCUE, Run, Step, TROUBLESHOOT};
use crate::lab::ids::time_text;
use crate::lab::world::World;

/// The text of a document. Those of Automation have their parameters and steps in it.
pub(super) fn get_document(request: &Value) -> Reply {
    let name = text(request, "Name")?;
    let (name, kind, parameters) = ssm::known_document(name)?;
    if request["DocumentFormat"].as_str().is_some_and(|format| format != "JSON") {
        return Err(Problem::new("UnsupportedOperation", "The practice account keeps its documents as JSON."));
    }
    let all: Map<String, Value> = parameters
        .iter()
        .map(|(name, kind, default, allowed)| {
            let mut one = json!({ "type": kind, "description": "(Practice account)" });
            if let Some(default) = default {
                one["default"] = json!(default);
            }
            if !allowed.is_empty() {
                one["allowedValues"] = json!(allowed);
            }
            ((*name).to_owned(), one)
        })
        .collect();
    let steps: Vec<Value> = automation::steps_of(name)
        .iter()
        .map(|act| json!({ "name": act.name(), "action": act.action(), "inputs": {} }))
        .collect();
    let content = json!({
        "schemaVersion": if kind == "Automation" { "0.3" } else { "2.2" },
        "description": format!("{name}, as the practice account has it"),
        "parameters": all,
        "mainSteps": steps,
    });
    Ok(json!({
        "Name": name,
        "DocumentVersion": "1",
        "Status": "Active",
        "Content": content.to_string(),
        "DocumentType": kind,
        "DocumentFormat": "JSON",
    }))
}

fn invalid(why: impl Into<String>) -> Problem {
    Problem::new("InvalidAutomationExecutionParametersException", why)
}

/// Starts a runbook; the same token with the same parameters names the run that it has started before.
pub(super) fn start(world: &mut World, request: &Value) -> Reply {
    let name = text(request, "DocumentName")?;
    if name != TROUBLESHOOT {
        let why = format!(
            "Automation Definition for Account: {}, Name: {name}, Version: $DEFAULT cannot be found.",
            world.account
        );
        return Err(Problem::new("AutomationDefinitionNotFoundException", why));
    }
    let (_, _, known) = ssm::known_document(name)?;
    let mut given: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, values) in request["Parameters"].as_object().into_iter().flatten() {
        let values = values.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        given.insert(name.clone(), values);
    }
    for (parameter, values) in &given {
        let spec = known.iter().find(|(name, ..)| name == parameter);
        let (_, _, _, allowed) = spec.ok_or_else(|| {
            invalid(format!("Parameters [{parameter}] are not supported for document with name {name}."))
        })?;
        if let Some(bad) = values.iter().find(|value| !allowed.is_empty() && !allowed.contains(&value.as_str())) {
            return Err(invalid(format!(
                "Parameter \"{parameter}\" has value \"{bad}\" not matching the allowed values."
            )));
        }
    }
    if let Some((missing, ..)) =
        known.iter().find(|(name, _, default, _)| default.is_none() && !given.contains_key(*name))
    {
        return Err(invalid(format!("Required parameters [{missing}] are not provided.")));
    }
    let token = request["ClientToken"].as_str().unwrap_or_default().to_lowercase();
    if !token.is_empty() && (token.len() != 36 || !token.chars().all(|c| c == '-' || c.is_ascii_hexdigit())) {
        return Err(Problem::new(
            "ValidationException",
            "1 validation error detected: Value at 'clientToken' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-fA-F0-9]{8}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{12}",
        ));
    }
    for (name, _, default, _) in known {
        if let Some(default) = default.filter(|default| !default.is_empty()) {
            given.entry((*name).to_owned()).or_insert_with(|| vec![default.to_owned()]);
        }
    }
    if let Some(earlier) = world.automations.iter().find(|run| !token.is_empty() && run.token == token) {
        if earlier.parameters == given {
            return Ok(json!({ "AutomationExecutionId": earlier.id }));
        }
        return Err(Problem::new("IdempotentParameterMismatch", "The token was used with other parameters."));
    }
    let instance = given.get("InstanceId").and_then(|values| values.first()).cloned().unwrap_or_default();
    let id = automation::start(world, TROUBLESHOOT, &instance, given, &token, None);
    Ok(json!({ "AutomationExecutionId": id }))
}

/// Stops a run; what it did stays.
pub(super) fn stop(world: &mut World, request: &Value) -> Reply {
    let id = text(request, "AutomationExecutionId")?.to_owned();
    let run = world.automations.iter().find(|run| run.id == id).ok_or_else(|| missing(&id))?;
    if !run.goes_on() {
        let why = format!("Automation execution {id} is in a final state: {}.", run.status);
        return Err(Problem::new("InvalidAutomationStatusUpdateException", why));
    }
    automation::cancel(world, &id);
    Ok(json!({}))
}

fn missing(id: &str) -> Problem {
    Problem::new("AutomationExecutionNotFoundException", format!("Automation {id} does not exist."))
}

/// One run with its steps; a story's own run otherwise.
pub(super) fn get(world: &World, request: &Value) -> Reply {
    let id = text(request, "AutomationExecutionId")?;
    let Some(run) = world.automations.iter().find(|run| run.id == id) else {
        return ssm::automation(world, request);
    };
    let mut one = summary(world, run);
    let steps: Vec<Value> = run.steps.iter().map(step).collect();
    let begun: Vec<&str> = run.steps.iter().map(|step| step.act.name()).collect();
    let later = automation::steps_of(run.document).iter().filter(|act| run.goes_on() && !begun.contains(&act.name()));
    let pending = later.map(|act| json!({ "StepName": act.name(), "Action": act.action(), "StepStatus": "Pending" }));
    one["StepExecutions"] = steps.into_iter().chain(pending).collect();
    one["StepExecutionsTruncated"] = json!(false);
    one["Parameters"] = json!(run.parameters);
    Ok(json!({ "AutomationExecution": one }))
}

/// The steps of a run alone.
pub(super) fn steps(world: &World, request: &Value) -> Reply {
    let whole = get(world, request)?;
    Ok(json!({ "StepExecutions": whole["AutomationExecution"]["StepExecutions"] }))
}

/// All runs, the latest first, with those that the stories tell of.
pub(super) fn list(world: &World, request: &Value) -> Value {
    let filters = ssm::filters(request);
    let fits = |run: &&Run| {
        filters.iter().all(|(key, values)| match *key {
            "ExecutionStatus" => values.contains(&run.status),
            "ExecutionId" => values.contains(&run.id.as_str()),
            "DocumentNamePrefix" => values.iter().any(|prefix| run.document.starts_with(prefix)),
            "ParentExecutionId" => run.parent.as_deref().is_some_and(|parent| values.contains(&parent)),
            // Times are compared as they are written: ISO 8601 in UTC.
            "StartTimeAfter" => values.iter().all(|at| time_text(run.begun).as_str() >= *at),
            "StartTimeBefore" => values.iter().all(|at| time_text(run.begun).as_str() <= *at),
            "TargetResourceGroup" => false,
            _ => true,
        })
    };
    let mut all: Vec<Value> = world.automations.iter().rev().filter(fits).map(|run| summary(world, run)).collect();
    let told = ssm::automations(world, request);
    let begun = |one: &Value| {
        time_text(UNIX_EPOCH + Duration::from_secs(one["ExecutionStartTime"].as_u64().unwrap_or_default()))
    };
    let late = |one: &&Value| {
        filters
            .iter()
            .filter(|(key, _)| *key == "StartTimeAfter")
            .all(|(_, at)| at.iter().all(|at| begun(one).as_str() >= *at))
    };
    all.extend(told["AutomationExecutionMetadataList"].as_array().into_iter().flatten().filter(late).cloned());
    json!({ "AutomationExecutionMetadataList": all })
}

/// What a list shows of a run.
fn summary(world: &World, run: &Run) -> Value {
    let mut outputs = BTreeMap::new();
    if run.document == TROUBLESHOOT {
        for name in ["troubleshootSSH", "troubleshootSSHOffline", "troubleshootSSHOfflineWithSubnetId"] {
            let said = run.steps.iter().find(|step| step.act.name() == name).and_then(|step| step.output.clone());
            let none = || "No output available yet because the step is not successfully executed".to_owned();
            outputs.insert(format!("{name}.Output"), vec![said.unwrap_or_else(none)]);
        }
    }
    let mut one = json!({
        "AutomationExecutionId": run.id,
        "DocumentName": run.document,
        "DocumentVersion": "1",
        "AutomationExecutionStatus": run.status,
        "ExecutionStartTime": seconds(run.begun),
        "ExecutedBy": world.caller,
        "Mode": "Auto",
        "Target": run.instance,
        "Targets": [],
        "ResolvedTargets": { "ParameterValues": [], "Truncated": false },
        "AutomationType": "Local",
        "Outputs": outputs,
    });
    if let Some(step) = run.steps.last() {
        one["CurrentStepName"] = json!(step.act.name());
        one["CurrentAction"] = json!(step.act.action());
    }
    for (name, value) in [("FailureMessage", &run.message), ("ParentAutomationExecutionId", &run.parent)] {
        if let Some(value) = value {
            one[name] = json!(value);
        }
    }
    if let Some(ended) = run.ended {
        one["ExecutionEndTime"] = json!(seconds(ended));
    }
    one
}

fn step(step: &Step) -> Value {
    let mut one = json!({
        "StepName": step.act.name(),
        "Action": step.act.action(),
        "StepStatus": step.status,
        "StepExecutionId": format!("{}-{}", step.act.name(), millis(step.begun).as_millis()),
        "ExecutionStartTime": seconds(step.begun),
    });
    if let Some(ended) = step.ended {
        one["ExecutionEndTime"] = json!(seconds(ended));
    }
    if let Some(message) = &step.message {
        one["FailureMessage"] = json!(message);
    }
    if let Some(output) = &step.output {
        one["Outputs"] = json!({ "Output": [output] });
    }
    if step.act == automation::Act::Offline {
        one["Inputs"] = json!({ "DocumentName": format!("\"{RESCUE}\"") });
    }
    one
}

fn millis(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
