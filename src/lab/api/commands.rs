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
/// ListCommandInvocations gives so many (CommandPlugin.Output).
const LISTED: usize = 2_500;
/// Invocations of a page, unless it is said.
const PAGE: usize = 50;
/// Invocations are remembered by this many.
const KEPT: usize = 2_000;

pub(super) fn send(world: &mut World, request: &Value) -> Reply {
    let document = text(request, "DocumentName")?.to_owned();
    if document != "AWS-RunShellScript" {
        return Err(Problem::new("InvalidDocument", format!("document {document} does not exist in your account")));
    }
    let mut targets: Vec<String> = strings(&request["InstanceIds"]);
    // An instance that has lost its connection is a valid target: the command waits for it.
    let known =
        |id: &String| world.instance(id).is_some_and(|instance| managed::presence(world, instance) != Presence::Absent);
    for target in request["Targets"].as_array().into_iter().flatten() {
        let (key, values) = (target["Key"].as_str().unwrap_or_default(), strings(&target["Values"]));
        if values.len() > PAGE {
            let message = format!("Value at 'targets' failed to satisfy constraint: at most {PAGE} values");
            return Err(Problem::new("ValidationException", message));
        }
        if key.eq_ignore_ascii_case("InstanceIds") {
            // What is named by a target and is no managed node is left out.
            targets.extend(values.into_iter().filter(|id| known(id)));
        } else if let Some(tag) = key.strip_prefix("tag:") {
            let tagged = world.instances.iter().filter(|i| {
                let value = if tag == "Name" { Some(&i.name) } else { i.machine.tags.get(tag) };
                value.is_some_and(|value| values.contains(value)) && known(&i.id)
            });
            targets.extend(tagged.map(|i| i.id.clone()));
        }
    }
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
        "MaxConcurrency": request["MaxConcurrency"].as_str().unwrap_or("50"),
        "MaxErrors": request["MaxErrors"].as_str().unwrap_or("0"),
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
    let Standing { begun, ended, status, code } = standing(world, run);
    let done = matches!(status, "Success" | "Failed");
    let shown = |text: &str, limit: usize| if done { cut(text, limit) } else { String::new() };
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

/// How far a command is on one host.
struct Standing {
    begun: SystemTime,
    ended: SystemTime,
    status: &'static str,
    code: i32,
}

fn standing(world: &World, run: &CommandRun) -> Standing {
    // It starts at once and takes as long as anything in this account.
    let begun = run.at + Duration::from_millis(50);
    let ended = begun + world.transition / 10;
    let (status, code) = match run.code {
        WAITING => ("Pending", -1),
        _ if SystemTime::now() < ended => ("InProgress", -1),
        0 => ("Success", 0),
        code => ("Failed", code),
    };
    Standing { begun, ended, status, code }
}

fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mark = "\n---Output truncated---";
    text.chars().take(limit - mark.len()).collect::<String>() + mark
}

/// The invocations of a command, by pages; with details what they printed, cut short.
pub(super) fn invocations(world: &World, request: &Value) -> Reply {
    let id = text(request, "CommandId")?;
    let start = match request["NextToken"].as_str() {
        None | Some("") => 0,
        Some(token) => {
            token.parse::<usize>().map_err(|_| Problem::new("InvalidNextToken", "The specified token is not valid."))?
        }
    };
    let size = request["MaxResults"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(PAGE);
    if !(1..=PAGE).contains(&size) {
        return Err(Problem::new("ValidationException", format!("maxResults must be between 1 and {PAGE}")));
    }
    let details = request["Details"].as_bool().unwrap_or(false);
    let mut all: Vec<_> = world.commands.iter().filter(|(key, _)| key.split(' ').next() == Some(id)).collect();
    all.sort_by_key(|(key, _)| (*key).clone());
    let page = all.iter().skip(start).take(size).map(|(_, run)| {
        let Standing { begun, ended, status, code } = standing(world, run);
        let done = matches!(status, "Success" | "Failed");
        let plugin = json!({
            "Name": "aws:runShellScript",
            "Status": status,
            "StatusDetails": status,
            "ResponseCode": code,
            "ResponseStartDateTime": seconds(begun),
            "ResponseFinishDateTime": seconds(ended),
            "Output": if done { cut(&run.out, LISTED) } else { String::new() },
        });
        json!({
            "CommandId": id,
            "InstanceId": run.instance,
            "InstanceName": world.instance(&run.instance).map(|i| i.name.clone()).unwrap_or_default(),
            "Comment": "",
            "DocumentName": run.document,
            "DocumentVersion": "$DEFAULT",
            "RequestedDateTime": seconds(run.at),
            "Status": status,
            "StatusDetails": status,
            "CommandPlugins": if details { vec![plugin] } else { Vec::new() },
        })
    });
    let page: Vec<Value> = page.collect();
    let mut answer = json!({ "CommandInvocations": page });
    if start + size < all.len() {
        answer["NextToken"] = json!((start + size).to_string());
    }
    Ok(answer)
}
