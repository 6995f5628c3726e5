//! `instance-start`: starts a stopped instance.

use super::parts::{fails, heals_all, instance, login_by_id, look, nothing, plan_for, refuse};
use super::stop_gates::{Around, managed};
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::plan::{Action, Choices, Gate, GateState, Plan, Risk, Step};

/// Statuses of a Spot request whose instance only AWS starts again (EC2 User Guide, "Spot request status codes").
const SPOT_STOPPED: [&str; 5] = [
    "instance-stopped-by-price",
    "instance-stopped-no-capacity",
    "instance-stopped-capacity-oversubscribed",
    "instance-stopped-by-service",
    "marked-for-stop",
];

/// Plans to start the instance and wait until it runs. Fails with one sentence when the instance is not known.
pub fn plan(facts: &Facts, _choices: &Choices) -> Result<Plan, String> {
    let instance = instance(facts)?;
    let mut plan = Plan {
        risk: Risk::Medium,
        verify: vec!["instance-running".to_owned()],
        permissions: ["ec2:StartInstances", "ec2:StopInstances", "ec2:DescribeInstances"].map(str::to_owned).into(),
        promises_login: heals_all(facts, "instance-start"),
        cost: format!("{} is charged while it runs", instance.instance_type),
        ..plan_for("instance-start", facts, instance)
    };
    let title = "the instance is not started";
    match instance.state.as_str() {
        "running" => return Ok(nothing(plan, "the instance is running")),
        "pending" => return Ok(nothing(plan, "the instance is starting")),
        "stopped" => {}
        "stopping" => {
            let why = "the instance is stopping: it can be started when it has stopped, in a minute or some more";
            return Ok(refuse(plan, "state", title, why));
        }
        other => return Ok(refuse(plan, "state", title, format!("the instance is {other}: it cannot be started"))),
    }
    let mut around = Around::default();
    managed(&mut around, instance);
    plan.gates = around.gates;
    plan.gates.extend(root(facts, instance));
    plan.gates.extend(spot(facts, instance));
    plan.gates.extend(group(facts));
    plan.gates.extend(reason(instance));
    let address = address(facts, instance);
    if address.state != GateState::Ok {
        plan.login = Some(login_by_id(facts, instance));
    }
    plan.gates.push(address);
    plan.title = format!("start {}", instance.label());
    let (region, id) = (instance.region.clone(), instance.id.clone());
    plan.steps.push(Step::deed(
        format!("start {id} and wait until it runs"),
        format!(
            "aws ec2 start-instances --region {region} --instance-ids {id} && aws ec2 wait instance-running --region {region} --instance-ids {id}"
        ),
        Some(format!("aws ec2 stop-instances --region {region} --instance-ids {id}")),
        Action::StartInstance { region, instance: id },
    ));
    let last = if plan.promises_login { "wait until it has booted, then log in" } else { "see that it runs" };
    plan.steps.push(look(last, instance));
    Ok(plan)
}

fn root(facts: &Facts, instance: &Instance) -> Option<Gate> {
    let device = instance.root_device_name.as_deref().unwrap_or("its root device name");
    fails(facts, "root-volume").then(|| {
        let why = format!(
            "no volume is attached at {device}, and AWS starts no instance without its root: attach it there first"
        );
        Gate::new("root", GateState::Refuse, why)
    })
}

fn spot(facts: &Facts, instance: &Instance) -> Option<Gate> {
    if instance.lifecycle.as_deref() != Some("spot") {
        return None;
    }
    let request = facts.prepared.power.spot.value().and_then(Option::as_ref)?;
    let own = !SPOT_STOPPED.contains(&request.status.as_str());
    Some(if own {
        Gate::new("spot", GateState::Warn, "a Spot Instance: it starts only while there is Spot capacity at its price")
    } else {
        let why = format!(
            "the Spot service stopped it ({}), and AWS alone starts it again when there is capacity: launch another instance, on demand where it must be now",
            request.status
        );
        Gate::new("spot", GateState::Refuse, why)
    })
}

fn group(facts: &Facts) -> Option<Gate> {
    let member = facts.prepared.power.scaling.value().and_then(Option::as_ref)?;
    Some(match member.lifecycle.as_str() {
        "Standby" => {
            Gate::new("scaling", GateState::Ok, format!("it is in standby in {}, which leaves it alone", member.group))
        }
        "InService" => {
            let why = format!(
                "the Auto Scaling group {} is about to replace it, as it does with stopped members",
                member.group
            );
            Gate::new("scaling", GateState::Warn, why)
        }
        other => {
            let why =
                format!("it is {other} in the Auto Scaling group {}, which starts and stops it itself", member.group);
            Gate::new("scaling", GateState::Refuse, why)
        }
    })
}

/// Why it was stopped, where that says something about a start.
fn reason(instance: &Instance) -> Option<Gate> {
    let code = instance.state_reason.as_deref().unwrap_or_default();
    let why = if code.contains("InsufficientInstanceCapacity") || code.contains("InsufficientHostCapacity") {
        "the last start failed for want of capacity: it may again"
    } else if code.starts_with("Client.InternalError") {
        "the last start ended with Client.InternalError: often the KMS key of its root volume cannot be used"
    } else if code.contains("UserInitiatedHibernate") {
        "it was hibernated: it goes on where it was, which is no boot"
    } else if code.contains("VolumeLimitExceeded") || code.contains("InvalidSnapshot") {
        "the last start failed because of its volumes: it may again"
    } else {
        return None;
    };
    Some(Gate::new("reason", GateState::Warn, why))
}

fn address(facts: &Facts, instance: &Instance) -> Gate {
    let addresses = facts.prepared.net.addresses.value();
    let own = |interface: &Option<String>| {
        interface.as_ref().is_some_and(|id| instance.interfaces.iter().any(|i| i.id == *id))
    };
    match addresses.and_then(|all| all.iter().find(|a| own(&a.interface))) {
        Some(elastic) => {
            Gate::new("public-address", GateState::Ok, format!("its Elastic IP address {} stays", elastic.address))
        }
        None => Gate::new(
            "public-address",
            GateState::Warn,
            "an automatic public address will be another one than before the stop: Route 53 records, allow-lists and known_hosts entries may hold the old one",
        ),
    }
}
