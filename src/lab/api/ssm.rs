//! Systems Manager: its list of nodes, settings, documents, automations. JSON in and out.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{Problem, commands, runbook, sessions, unknown};
use crate::lab::ids;
use crate::lab::managed::{self, Presence};
use crate::lab::session::AGENT;
use crate::lab::world::{Instance, World};

/// The result of one action.
pub(super) type Reply = Result<Value, Problem>;

const SETTING: &str = "/ssm/managed-instance/default-ec2-instance-management-role";

pub(super) fn run(world: &mut World, action: &str, body: &str) -> Reply {
    let request: Value = serde_json::from_str(body)
        .map_err(|error| Problem::new("SerializationException", format!("the request is no JSON: {error}")))?;
    match action {
        "DescribeInstanceInformation" => information(world, &request),
        "GetConnectionStatus" => connection(world, &request),
        "GetServiceSetting" => setting(world, &request),
        "GetParameter" => parameter(world, &request),
        "DescribeAutomationExecutions" => Ok(runbook::list(world, &request)),
        "GetAutomationExecution" => runbook::get(world, &request),
        "DescribeAutomationStepExecutions" => runbook::steps(world, &request),
        "StartAutomationExecution" => runbook::start(world, &request),
        "StopAutomationExecution" => runbook::stop(world, &request),
        "GetDocument" => runbook::get_document(&request),
        "DescribeDocument" => document(world, &request),
        "StartSession" => sessions::start(world, &request),
        "ResumeSession" => sessions::resume(world, &request),
        "TerminateSession" => sessions::terminate(world, &request),
        "DescribeSessions" => sessions::describe(world, &request),
        "SendCommand" => commands::send(world, &request),
        "ListCommandInvocations" => commands::invocations(world, &request),
        "GetCommandInvocation" => commands::invocation(world, &request),
        other => Err(unknown(other)),
    }
}

/// The public parameters that name the images of Amazon Linux 2023 with the agent.
fn parameter(world: &World, request: &Value) -> Reply {
    let name = text(request, "Name")?;
    let kind = name.strip_prefix("/aws/service/ami-amazon-linux-latest/");
    let image = match kind {
        Some("al2023-ami-kernel-default-x86_64" | "al2023-ami-kernel-6.1-x86_64") => Some("al2023"),
        Some("al2023-ami-kernel-6.12-x86_64") => Some("al2023-6.12"),
        _ => None,
    };
    let image = image.and_then(|wanted| world.images.iter().find(|known| known.spec.name == wanted));
    let image = image.ok_or_else(|| Problem::new("ParameterNotFound", ""))?;
    Ok(json!({ "Parameter": {
        "Name": name,
        "Type": "String",
        "Value": image.id,
        "Version": 1,
        "DataType": "text",
        "ARN": format!("arn:aws:ssm:{}::parameter{name}", world.region),
    }}))
}

/// A member of a request that must be there.
pub(super) fn text<'a>(request: &'a Value, name: &str) -> Result<&'a str, Problem> {
    request[name].as_str().filter(|text| !text.is_empty()).ok_or_else(|| {
        Problem::new("ValidationException", format!("1 validation error detected: {name} must not be null"))
    })
}

/// A time as the JSON protocol writes it.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

fn information(world: &World, request: &Value) -> Reply {
    let mut filters = filters(request);
    filters.extend(named(request, "InstanceInformationFilterList", ("key", "valueSet")));
    let mut found = Vec::new();
    for instance in &world.instances {
        let presence = managed::presence(world, instance);
        if presence == Presence::Absent {
            continue;
        }
        let one = node(world, instance, presence);
        let mut good = true;
        for (key, values) in &filters {
            let have = match *key {
                "InstanceIds" => instance.id.as_str(),
                "PingStatus" => one["PingStatus"].as_str().unwrap_or_default(),
                "PlatformTypes" => one["PlatformType"].as_str().unwrap_or_default(),
                "ResourceType" => "EC2Instance",
                other => {
                    let message = format!("The filter key {other} is not valid.");
                    return Err(Problem::new("InvalidFilterKey", message));
                }
            };
            good &= values.contains(&have);
        }
        if good {
            found.push(one);
        }
    }
    let start = match request["NextToken"].as_str() {
        None | Some("") => 0,
        Some(token) => token
            .strip_prefix("page-")
            .and_then(|at| at.parse::<usize>().ok())
            .ok_or_else(|| Problem::new("InvalidNextToken", "The specified token isn't valid."))?,
    };
    let size = request["MaxResults"].as_u64().map_or(50, |size| size.clamp(5, 50) as usize);
    let rest = found.len() > start + size;
    let page: Vec<_> = found.into_iter().skip(start).take(size).collect();
    let mut answer = json!({ "InstanceInformationList": page });
    if rest {
        answer["NextToken"] = json!(format!("page-{}", start + size));
    }
    Ok(answer)
}

fn node(world: &World, instance: &Instance, presence: Presence) -> Value {
    let image = world.image_of(instance).map(|image| &image.spec);
    let (platform, version) = match image.map(|image| image.family.as_str()) {
        Some("ubuntu") => ("Ubuntu", "24.04"),
        Some("debian") => ("Debian GNU/Linux", "12"),
        Some("rhel") => ("Red Hat Enterprise Linux", "9.4"),
        Some("bottlerocket") => ("Bottlerocket", "1.20.0"),
        Some("windows") => ("Microsoft Windows Server 2022 Datacenter", "10.0.20348"),
        _ => ("Amazon Linux", "2023"),
    };
    let online = presence == Presence::Online;
    let last = if online { SystemTime::now() } else { instance.launched };
    json!({
        "InstanceId": instance.id,
        "PingStatus": if online { "Online" } else { "ConnectionLost" },
        "LastPingDateTime": seconds(last),
        "AgentVersion": AGENT,
        "IsLatestVersion": true,
        "PlatformType": if image.is_some_and(|image| image.windows) { "Windows" } else { "Linux" },
        "PlatformName": platform,
        "PlatformVersion": version,
        "ResourceType": "EC2Instance",
        "IPAddress": instance.private.to_string(),
        "ComputerName": format!("ip-{}", instance.private.to_string().replace('.', "-")),
    })
}

fn connection(world: &World, request: &Value) -> Reply {
    let target = text(request, "Target")?;
    let connected = world.instance(target).is_some_and(|instance| managed::connected(world, instance));
    Ok(json!({ "Target": target, "Status": if connected { "connected" } else { "notconnected" } }))
}

/// Default Host Management is off in this account.
fn setting(world: &World, request: &Value) -> Reply {
    let id = text(request, "SettingId")?;
    if id != SETTING && !id.ends_with(&format!("servicesetting{SETTING}")) {
        return Err(Problem::new("ServiceSettingNotFound", format!("Setting {id} not found.")));
    }
    let (region, account) = (&world.region, &world.account);
    Ok(json!({ "ServiceSetting": {
        "ARN": format!("arn:aws:ssm:{region}:{account}:servicesetting{SETTING}"),
        "SettingId": SETTING,
        "SettingValue": "$None",
        "Status": "Default",
        "LastModifiedDate": 1_756_000_000,
        "LastModifiedUser": "System",
    }}))
}

/// The `Filters` of a request: their keys, each with its values.
pub(super) fn filters(request: &Value) -> Vec<(&str, Vec<&str>)> {
    named(request, "Filters", ("Key", "Values")).collect()
}

fn named<'a>(
    request: &'a Value,
    list: &str,
    (key, values): (&'static str, &'static str),
) -> impl Iterator<Item = (&'a str, Vec<&'a str>)> {
    request[list].as_array().into_iter().flatten().map(move |filter| {
        let values = filter[values].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        (filter[key].as_str().unwrap_or_default(), values)
    })
}

/// Automations that the story tells of, each about its own instance.
pub(super) fn automations(world: &World, request: &Value) -> Value {
    let filters = filters(request);
    let mut list = Vec::new();
    for instance in &world.instances {
        for (number, run) in instance.machine.automation.iter().enumerate() {
            let fits = filters.iter().all(|(key, values)| match *key {
                "ExecutionStatus" => values.contains(&run.status.as_str()),
                "DocumentNamePrefix" => values.iter().any(|prefix| run.document.starts_with(prefix)),
                "TargetResourceGroup" | "ParentExecutionId" => false,
                _ => true,
            });
            if !fits {
                continue;
            }
            let begun = seconds(instance.launched) + 3600;
            list.push(json!({
                "AutomationExecutionId": execution(world, instance, number),
                "DocumentName": run.document,
                "DocumentVersion": "1",
                "AutomationExecutionStatus": run.status,
                "ExecutionStartTime": begun,
                "ExecutionEndTime": begun + 600,
                "ExecutedBy": world.caller,
                "CurrentStepName": run.step,
                "FailureMessage": run.message,
                "Mode": "Auto",
                "Target": instance.id,
                "Targets": [],
                "ResolvedTargets": { "ParameterValues": [], "Truncated": false },
                "AutomationType": "Local",
                "Outputs": {},
            }));
        }
    }
    json!({ "AutomationExecutionMetadataList": list })
}

/// One automation with what it was started with.
pub(super) fn automation(world: &World, request: &Value) -> Reply {
    let id = text(request, "AutomationExecutionId")?;
    let all = world.instances.iter().flat_map(|instance| {
        instance.machine.automation.iter().enumerate().map(move |(number, run)| (instance, number, run))
    });
    let (instance, _, run) =
        { all }.find(|(instance, number, _)| execution(world, instance, *number) == id).ok_or_else(|| {
            Problem::new("AutomationExecutionNotFoundException", format!("Automation {id} does not exist."))
        })?;
    let begun = seconds(instance.launched) + 3600;
    Ok(json!({ "AutomationExecution": {
        "AutomationExecutionId": id,
        "DocumentName": run.document,
        "DocumentVersion": "1",
        "AutomationExecutionStatus": run.status,
        "ExecutionStartTime": begun,
        "ExecutionEndTime": begun + 600,
        "ExecutedBy": world.caller,
        "Mode": "Auto",
        "Parameters": { "UnreachableInstanceId": [instance.id], "InstanceId": [instance.id] },
        "CurrentStepName": run.step,
        "FailureMessage": run.message,
        "StepExecutions": [{
            "StepName": run.step,
            "StepStatus": run.status,
            "FailureMessage": run.message,
        }],
        "StepExecutionsTruncated": false,
        "Outputs": {},
    }}))
}

fn execution(world: &World, instance: &Instance, number: usize) -> String {
    let digits = ids::hex(&ids::bytes(world.seed, "automation", &format!("{} {number}", instance.id)));
    format!("{}-{}-4{}-8{}-{}", &digits[..8], &digits[8..12], &digits[13..16], &digits[17..20], &digits[20..32])
}

/// Amazon's documents with their parameters: name, type, default value, allowed values.
pub(super) type Parameter = (&'static str, &'static str, Option<&'static str>, &'static [&'static str]);

const TROUBLESHOOT_SSH: &[Parameter] = &[
    ("InstanceId", "String", None, &[]),
    ("Action", "String", Some("CheckAll"), &["CheckAll", "FixAll"]),
    ("AllowOffline", "String", Some("False"), &["True", "False"]),
    ("SubnetId", "String", Some("SelectedInstanceSubnet"), &[]),
    ("S3BucketName", "String", Some(""), &[]),
    ("AutomationAssumeRole", "String", Some(""), &[]),
];
const RESET_ACCESS: &[Parameter] = &[
    ("InstanceId", "String", None, &[]),
    ("EC2RescueInstanceType", "String", Some("t3.medium"), &["t3.medium", "t3.small", "t3.large"]),
    ("SubnetId", "String", Some("CreateNewVPC"), &[]),
    ("AutomationAssumeRole", "String", Some(""), &[]),
];
const RUN_SHELL: &[Parameter] = &[
    ("commands", "StringList", None, &[]),
    ("workingDirectory", "String", Some(""), &[]),
    ("executionTimeout", "String", Some("3600"), &[]),
];
const SSH_SESSION: &[Parameter] = &[("portNumber", "String", Some("22"), &[])];
const FORWARD: &[Parameter] =
    &[("portNumber", "String", Some("80"), &[]), ("localPortNumber", "String", Some("0"), &[])];
const FORWARD_TO_HOST: &[Parameter] = &[
    ("host", "String", None, &[]),
    ("portNumber", "String", Some("80"), &[]),
    ("localPortNumber", "String", Some("0"), &[]),
];
const INTERACTIVE: &[Parameter] = &[("command", "String", None, &[])];
const NON_INTERACTIVE: &[Parameter] = &[
    ("command", "String", None, &[]),
    ("separateOutputStream", "String", Some("False"), &["True", "False"]),
    ("stdOutSeparatorPrefix", "String", Some(""), &[]),
    ("stdErrSeparatorPrefix", "String", Some(""), &[]),
];
pub(super) const DOCUMENTS: &[(&str, &str, &[Parameter])] = &[
    ("AWSSupport-TroubleshootSSH", "Automation", TROUBLESHOOT_SSH),
    ("AWSSupport-ResetAccess", "Automation", RESET_ACCESS),
    ("AWS-RunShellScript", "Command", RUN_SHELL),
    ("AWS-StartSSHSession", "Session", SSH_SESSION),
    ("AWS-StartPortForwardingSession", "Session", FORWARD),
    ("AWS-StartPortForwardingSessionToRemoteHost", "Session", FORWARD_TO_HOST),
    ("AWS-StartInteractiveCommand", "Session", INTERACTIVE),
    ("AWS-StartNonInteractiveCommand", "Session", NON_INTERACTIVE),
    ("SSM-SessionManagerRunShell", "Session", &[]),
];

/// A document of this account: its name, kind and parameters.
pub(super) fn known_document(name: &str) -> Result<(&'static str, &'static str, &'static [Parameter]), Problem> {
    let found = DOCUMENTS.iter().find(|(known, ..)| *known == name);
    found.copied().ok_or_else(|| Problem::new("InvalidDocument", format!("Document with name {name} does not exist.")))
}

fn document(world: &World, request: &Value) -> Reply {
    let name = text(request, "Name")?;
    let (known, kind, parameters) = known_document(name)?;
    let parameters: Vec<_> = parameters
        .iter()
        .map(|(name, kind, default, allowed)| {
            let words = if allowed.is_empty() { String::new() } else { format!(" One of: {}.", allowed.join(", ")) };
            let mut one = json!({ "Name": name, "Type": kind, "Description": format!("(Practice account){words}") });
            if let Some(default) = default {
                one["DefaultValue"] = json!(default);
            }
            one
        })
        .collect();
    let owner = if known.starts_with("SSM-") { world.account.as_str() } else { "Amazon" };
    Ok(json!({ "Document": {
        "Name": known,
        "Owner": owner,
        "Status": "Active",
        "DocumentVersion": "1",
        "LatestVersion": "1",
        "DefaultVersion": "1",
        "DocumentType": kind,
        "SchemaVersion": match kind { "Automation" => "0.3", "Command" => "2.2", _ => "1.0" },
        "DocumentFormat": "JSON",
        "PlatformTypes": ["Linux", "Windows", "MacOS"],
        "Parameters": parameters,
        "Tags": [],
    }}))
}
