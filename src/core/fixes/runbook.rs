//! `troubleshoot-ssh-runbook`: AWS's own repair, AWSSupport-TroubleshootSSH, with the parameters that its document has today.
//!
//! Source: Systems Manager Automation runbook reference, AWSSupport-TroubleshootSSH. AWS edits its documents, so names
//! and spellings of parameters are read at run time and only known ones are sent.

use crate::core::facts::Facts;
use crate::core::facts::prepared::Runbook;
use crate::core::plan::access::AccessAction;
use crate::core::plan::{Action, Choice, Choices, Consent, Gate, GateState, Plan, Risk, Step};
use crate::core::rules::gates::against_stop;
use crate::core::text::shell_quote;
use std::collections::BTreeMap;

/// The document.
pub const DOCUMENT: &str = "AWSSupport-TroubleshootSSH";

/// Plans a run of the runbook. Fails when the document cannot be read, or lacks what the run needs.
pub fn plan(facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    let instance = facts.instance().ok_or("the instance is not known")?;
    let region = &instance.region;
    let runbook = facts.prepared.runbook.value().ok_or_else(|| {
        let why = facts.prepared.runbook.why_not().map_or_else(|| "it was not read".to_owned(), |w| w.text());
        format!("{DOCUMENT} cannot be read: {why}")
    })?;
    let online = facts.agent_is_online();
    let action = Choice::new(
        "action",
        "only look, or repair?",
        &[
            ("check", "look and report, change nothing (CheckAll)"),
            ("fix", "repair what it finds, in the directories of all users (FixAll)"),
        ],
        choices,
    );
    let fix = action.chosen == "fix";
    let mut plan = Plan {
        account: facts.account(),
        reversible: !fix,
        risk: if fix { Risk::Medium } else { Risk::Low },
        promises_login: fix,
        permissions: [
            "StartAutomationExecution",
            "GetAutomationExecution",
            "DescribeAutomationExecutions",
            "StopAutomationExecution",
            "GetDocument",
            "DescribeDocument",
            "SendCommand",
            "ListCommands",
            "ListCommandInvocations",
            "DescribeInstanceInformation",
        ]
        .map(|a| format!("ssm:{a}"))
        .to_vec(),
        ..Plan::new("troubleshoot-ssh-runbook", "", instance.id.clone(), instance.label())
    };
    plan.gates.extend(gates(facts));
    let mut parameters = BTreeMap::new();
    set(&mut parameters, runbook, "InstanceId", &instance.id)?;
    set(&mut parameters, runbook, "Action", if fix { "FixAll" } else { "CheckAll" })?;
    let mut minutes = 15;
    if online {
        plan.title =
            format!("{} {} with {DOCUMENT}, without a restart", if fix { "repair" } else { "check" }, instance.id);
        plan.cost = "2 to 5 minutes; the automation's steps are free up to a monthly quota".to_owned();
    } else {
        let offline = Choice::new(
            "offline",
            "the agent is not online. May the runbook stop the instance?",
            &[
                ("no", "no: it can do nothing then"),
                ("yes", "yes: it stops the instance, makes an AMI and mends the root volume on a helper instance"),
            ],
            choices,
        );
        if offline.chosen == "yes" {
            set(&mut parameters, runbook, "AllowOffline", "True")?;
            plan.title = format!("repair {} with {DOCUMENT}, stopped, on a helper instance", instance.id);
            plan.downtime = true;
            plan.risk = Risk::High;
            plan.consent = Consent::Type(instance.id.clone());
            plan.cost =
                "15 to 30 minutes; the helper instance, and an AMI with its snapshots that is left behind".to_owned();
            minutes = 60;
            if !fix {
                let text = "offline it only works with FixAll: choose action=fix";
                plan.gates.push(Gate::new("offline", GateState::Refuse, text));
            }
            plan.gates.extend(offline_gates(facts));
        } else {
            plan.title = format!("{DOCUMENT} cannot reach {}", instance.id);
            let text = "the SSM agent is not online, and without its agent the runbook only works on a stopped instance: choose offline=yes, or attach a role first (ssm-role-attach)";
            plan.gates.push(Gate::new("agent", GateState::Refuse, text));
        }
        plan.choices.push(offline);
    }
    plan.choices.insert(0, action);
    // What is not set keeps the document's default; the plan says which these are.
    let defaults: Vec<String> = runbook
        .parameters
        .iter()
        .filter(|p| !parameters.contains_key(&p.name))
        .filter_map(|p| p.default.as_ref().filter(|d| !d.is_empty()).map(|d| format!("{}={d}", p.name)))
        .collect();
    if !defaults.is_empty() {
        plan.gates.push(Gate::new("defaults", GateState::Ok, format!("the document's own: {}", defaults.join(", "))));
    }
    if let Some(needed) = runbook.parameters.iter().find(|p| p.default.is_none() && !parameters.contains_key(&p.name)) {
        let text = format!("the document now needs {}, which port22 does not know: run it in the console", needed.name);
        plan.gates.push(Gate::new("parameters", GateState::Refuse, text));
    }
    if fix {
        let text = "an undo stops the run as long as its repair has not begun; what EC2Rescue has repaired no call takes back: old modes and copies of changed files are on the instance in /var/tmp/ec2rl";
        plan.gates.push(Gate::new("undo", GateState::Warn, text));
    }
    let shown = serde_json::to_string(&parameters).unwrap_or_default();
    plan.steps.push(Step::deed(
        format!("start {DOCUMENT}"),
        format!(
            "aws ssm start-automation-execution --region {region} --document-name {DOCUMENT} --parameters {}",
            shell_quote(&shown)
        ),
        fix.then(|| {
            format!(
                "aws ssm stop-automation-execution --region {region} --automation-execution-id ${{execution}} --type Cancel"
            )
        }),
        Action::Access(AccessAction::StartRunbook {
            region: region.clone(),
            document: DOCUMENT.to_owned(),
            parameters,
        }),
    ));
    plan.steps.push(Step::deed(
        "follow it step by step to its end",
        format!("aws ssm get-automation-execution --region {region} --automation-execution-id ${{execution}}"),
        None,
        Action::Access(AccessAction::FollowRunbook {
            region: region.clone(),
            execution: "${execution}".to_owned(),
            minutes,
        }),
    ));
    plan.steps.push(Step::look("try the login again", format!("port22 diagnose {}", shell_quote(&instance.id))));
    Ok(plan)
}

/// Sets a parameter in the spelling that the document allows; fails when the document has no such parameter.
fn set(to: &mut BTreeMap<String, Vec<String>>, runbook: &Runbook, name: &str, value: &str) -> Result<(), String> {
    let parameter = runbook
        .parameters
        .iter()
        .find(|p| p.name == name)
        .ok_or_else(|| format!("{DOCUMENT} has no parameter {name} any more: run it in the console"))?;
    let spelled = parameter.allowed.iter().find(|a| a.eq_ignore_ascii_case(value));
    if spelled.is_none() && !parameter.allowed.is_empty() {
        let allowed = parameter.allowed.join(", ");
        return Err(format!("{DOCUMENT} does not take {name}={value} any more, only {allowed}"));
    }
    to.insert(name.to_owned(), vec![spelled.map_or(value, String::as_str).to_owned()]);
    Ok(())
}

fn gates(facts: &Facts) -> Vec<Gate> {
    let mut out = Vec::new();
    if facts.is_windows() {
        out.push(Gate::new("platform", GateState::Refuse, "the runbook is for Linux; this is a Windows instance"));
    }
    let family = facts.instance().and_then(|i| i.platform_details.clone()).unwrap_or_default();
    let image = facts.aws.image.value().and_then(Option::as_ref).and_then(|i| i.name.clone()).unwrap_or_default();
    let named = format!("{family} {image}").to_lowercase();
    if ["debian", "rocky", "alma", "fedora", "freebsd", "bottlerocket"].iter().any(|f| named.contains(f)) {
        out.push(Gate::new(
            "platform",
            GateState::Warn,
            "EC2Rescue is made for Amazon Linux, Ubuntu, RHEL, SUSE and CentOS; it may refuse this system",
        ));
    }
    out.push(Gate::new(
        "limits",
        GateState::Ok,
        "it looks at sshd, host keys and the login files of users under /home; not at the user name, your key, SELinux, firewalls or the network",
    ));
    out
}

/// What stands against the way over a helper instance.
fn offline_gates(facts: &Facts) -> Vec<Gate> {
    let mut out: Vec<Gate> =
        against_stop(facts).into_iter().map(|why| Gate::new("stop", GateState::Refuse, why)).collect();
    let root = facts.instance().and_then(|i| i.root_volume.as_deref());
    let volume = facts.host.volumes.value().and_then(|all| all.iter().find(|v| Some(v.id.as_str()) == root));
    match volume {
        Some(volume) if volume.encrypted => out.push(Gate::new(
            "encrypted",
            GateState::Refuse,
            "the root volume is encrypted: the runbook's offline way refuses it (use root-volume-rescue)",
        )),
        None => out.push(Gate::new(
            "encrypted",
            GateState::Warn,
            "it is not known whether the root volume is encrypted: then the runbook refuses",
        )),
        Some(_) => {}
    }
    if facts.host.machine.value().is_some_and(|m| m.instance_storage) {
        out.push(Gate::new("instance-store", GateState::Warn, "data on instance store volumes is lost"));
    }
    out.push(Gate::new("address", GateState::Warn, "a public address that is no Elastic IP changes"));
    out.push(Gate::new(
        "rights",
        GateState::Warn,
        "offline it acts with your own rights in EC2, CloudFormation, Lambda and IAM as well: AWSSupport-ExecuteEC2Rescue's page lists them; without them the run fails",
    ));
    out
}
