//! `instance-stop-start`: moves the instance to another host.

use super::parts::{fails, heals_all, instance, login_by_id, look, plan_for, refuse};
use super::stop::{Power, around};
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::plan::{Action, Choice, Choices, Consent, GateState, Plan, PowerAction, Risk, Step};

/// Plans a stop and a start, with what must be out of the way before and put back after.
/// Fails with one sentence when the instance is not known.
pub fn plan(facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    let instance = instance(facts)?;
    let mut plan = Plan {
        risk: Risk::High,
        downtime: true,
        reversible: false,
        verify: vec!["instance-running".to_owned()],
        consent: Consent::Type(instance.id.clone()),
        permissions: ["ec2:StopInstances", "ec2:StartInstances", "ec2:DescribeInstances"].map(str::to_owned).into(),
        promises_login: heals_all(facts, "instance-stop-start"),
        cost: "some minutes without the instance".to_owned(),
        ..plan_for("instance-stop-start", facts, instance)
    };
    match instance.state.as_str() {
        "running" => {}
        "stopped" | "stopping" => {
            let why = format!("the instance is {}: it only has to be started (instance-start)", instance.state);
            return Ok(refuse(plan, "state", "there is nothing to stop", why));
        }
        other => {
            let why = format!("the instance is {other}: it cannot be stopped now");
            return Ok(refuse(plan, "state", "the instance is not stopped", why));
        }
    }
    if fails(facts, "status-checks") {
        plan.verify.push("status-checks".to_owned());
    }
    let around = around(facts, choices, instance, Power { stops: true, starts: true, ..Power::default() });
    if around.gates.iter().any(|g| g.id == "public-address" && g.state != GateState::Ok) {
        plan.login = Some(login_by_id(facts, instance));
    }
    plan.gates = around.gates;
    plan.choices = around.choices;
    plan.permissions.extend(around.permissions);
    plan.title = format!("stop and start {}", instance.label());
    plan.steps = around.before;
    plan.steps.push(stop(instance, hibernates(&mut plan.choices, choices, instance)));
    plan.steps.push(start(instance));
    plan.steps.extend(around.after);
    plan.steps.push(look("wait until it has booted, then log in", instance));
    Ok(plan)
}

/// Whether the user wants the memory kept, where the instance can.
fn hibernates(all: &mut Vec<Choice>, choices: &Choices, instance: &Instance) -> bool {
    if !instance.hibernation {
        return false;
    }
    let options = [
        ("stop", "a plain stop: the start is a new boot"),
        ("hibernate", "keep the memory: programs go on, and nothing that only a boot mends is mended"),
    ];
    let choice = Choice::new("stop", "How is it stopped?", &options, choices);
    let keeps = choice.chosen == "hibernate";
    all.push(choice);
    keeps
}

fn stop(instance: &Instance, hibernate: bool) -> Step {
    let (region, id) = (instance.region.clone(), instance.id.clone());
    let place = format!("--region {region} --instance-ids {id}");
    let (flag, word) = if hibernate { (" --hibernate", "hibernate") } else { ("", "stop") };
    let action = if hibernate {
        PowerAction::Hibernate { region, instance: id.clone() }.into()
    } else {
        Action::StopInstance { region, instance: id.clone() }
    };
    Step::deed(
        format!("{word} {id} and wait until it is stopped"),
        format!("aws ec2 stop-instances {place}{flag} && aws ec2 wait instance-stopped {place}"),
        Some(format!("aws ec2 start-instances {place}")),
        action,
    )
}

fn start(instance: &Instance) -> Step {
    let (region, id) = (instance.region.clone(), instance.id.clone());
    let place = format!("--region {region} --instance-ids {id}");
    Step::deed(
        format!("start {id} and wait until it runs"),
        format!("aws ec2 start-instances {place} && aws ec2 wait instance-running {place}"),
        None,
        PowerAction::StartAgain { region, instance: id },
    )
}
