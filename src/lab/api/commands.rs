//! Run Command: what a script says on a host that is only told of.
//!
//! Nothing is run on this machine: see `script`.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::Problem;
use super::ssm::{Reply, seconds, text};
use crate::lab::ids::time_text;
use crate::lab::managed::{self, Presence};
use crate::lab::script;
use crate::lab::world::{CommandRun, World};

/// GetCommandInvocation gives so many characters of the output and the errors.
const LIMITS: (usize, usize) = (24_000, 8_000);
/// Commands are remembered by this many.
const KEPT: usize = 200;

pub(super) fn send(world: &mut World, request: &Value) -> Reply {
    let document = text(request, "DocumentName")?.to_owned();
    if document != "AWS-RunShellScript" {
        return Err(Problem::new("InvalidDocument", format!("document {document} does not exist in your account")));
    }
    let mut targets: Vec<String> = strings(&request["InstanceIds"]);
    for target in request["Targets"].as_array().into_iter().flatten() {
        if target["Key"].as_str().is_some_and(|key| key.eq_ignore_ascii_case("InstanceIds")) {
            targets.extend(strings(&target["Values"]));
        }
    }
    // An instance that has lost its connection is a valid target: the command waits for it.
    let known =
        |id: &String| world.instance(id).is_some_and(|instance| managed::presence(world, instance) != Presence::Absent);
    if targets.is_empty() || !targets.iter().all(known) {
        let message = format!("[{}] not in a valid state for account {}", targets.join(", "), world.account);
        return Err(Problem::new("InvalidInstanceId", format!("Instances {message}")));
    }
    let lines = strings(&request["Parameters"]["commands"]);
    if lines.is_empty() {
        return Err(Problem::new("InvalidParameters", "Parameter commands is required."));
    }
    let script = lines.join("\n");
    let id = uuid(world);
    let now = SystemTime::now();
    for target in &targets {
        let Some(instance) = world.instance(target) else {
            continue;
        };
        let ready = managed::presence(world, instance) == Presence::Online;
        let (out, err, code) =
            if ready { script::run(world, target, &script) } else { (String::new(), String::new(), WAITING) };
        let run = CommandRun { instance: target.clone(), document: document.clone(), out, err, code, at: now };
        world.commands.insert(format!("{id} {target}"), run);
    }
    while world.commands.len() > KEPT {
        let oldest = world.commands.iter().min_by_key(|(_, run)| run.at).map(|(key, _)| key.clone());
        world.commands.remove(&oldest.unwrap_or_default());
    }
    Ok(json!({ "Command": {
        "CommandId": id,
        "DocumentName": document,
        "DocumentVersion": "$DEFAULT",
        "Comment": request["Comment"].as_str().unwrap_or_default(),
        "Parameters": request["Parameters"],
        "InstanceIds": targets,
        "Targets": [],
        "RequestedDateTime": seconds(now),
        "ExpiresAfter": seconds(now + Duration::from_hours(2)),
        "Status": "Pending",
        "StatusDetails": "Pending",
        "TargetCount": targets.len(),
        "CompletedCount": 0,
        "ErrorCount": 0,
        "DeliveryTimedOutCount": 0,
        "MaxConcurrency": "50",
        "MaxErrors": "0",
        "TimeoutSeconds": request["TimeoutSeconds"].as_i64().unwrap_or(3600),
    }}))
}

/// The response code of a command that has not been delivered.
const WAITING: i32 = -1;

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn uuid(world: &mut World) -> String {
    let digits = world.fresh_id("command").repeat(2).replace(|letter: char| !letter.is_ascii_hexdigit(), "");
    format!("{}-{}-4{}-8{}-{}", &digits[..8], &digits[8..12], &digits[12..15], &digits[15..18], &digits[18..30])
}

pub(super) fn invocation(world: &World, request: &Value) -> Reply {
    let (id, instance) = (text(request, "CommandId")?, text(request, "InstanceId")?);
    let run = world
        .commands
        .get(&format!("{id} {instance}"))
        .ok_or_else(|| Problem::new("InvocationDoesNotExist", "An error occurred (InvocationDoesNotExist)"))?;
    // It starts at once and takes as long as anything in this account.
    let begun = run.at + Duration::from_millis(50);
    let ended = begun + world.transition / 10;
    let (status, code) = match run.code {
        WAITING => ("Pending", -1),
        _ if SystemTime::now() < ended => ("InProgress", -1),
        0 => ("Success", 0),
        code => ("Failed", code),
    };
    let done = matches!(status, "Success" | "Failed");
    let shown = |text: &str, limit: usize| {
        if !done {
            return String::new();
        }
        if text.chars().count() <= limit {
            return text.to_owned();
        }
        let mark = "\n---Output truncated---";
        text.chars().take(limit - mark.len()).collect::<String>() + mark
    };
    Ok(json!({
        "CommandId": id,
        "InstanceId": run.instance,
        "Comment": "",
        "DocumentName": run.document,
        "DocumentVersion": "$DEFAULT",
        "PluginName": "aws:runShellScript",
        "ResponseCode": code,
        "ExecutionStartDateTime": time_text(begun),
        "ExecutionElapsedTime": if done { "PT0.05S" } else { "" },
        "ExecutionEndDateTime": if done { time_text(ended) } else { String::new() },
        "Status": status,
        "StatusDetails": status,
        "StandardOutputContent": shown(&run.out, LIMITS.0),
        "StandardOutputUrl": "",
        "StandardErrorContent": shown(&run.err, LIMITS.1),
        "StandardErrorUrl": "",
        "CloudWatchOutputConfig": { "CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": false },
    }))
}
