//! `instance-reboot`: asks the operating system to boot again.

use super::parts::{fails, heals_all, instance, look, plan_for, refuse};
use super::stop::around_reboot;
use crate::core::facts::Facts;
use crate::core::plan::{Choices, Gate, GateState, Plan, PowerAction, Risk, Step};

/// Plans a reboot. Fails with one sentence when the instance is not known.
pub fn plan(facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    let instance = instance(facts)?;
    let mut plan = Plan {
        risk: Risk::Medium,
        downtime: true,
        reversible: false,
        verify: vec!["instance-running".to_owned()],
        permissions: vec!["ec2:RebootInstances".to_owned(), "ec2:DescribeInstances".to_owned()],
        promises_login: heals_all(facts, "instance-reboot"),
        ..plan_for("instance-reboot", facts, instance)
    };
    if instance.state != "running" {
        let why = format!("the instance is {}: only a running one is rebooted (instance-start)", instance.state);
        return Ok(refuse(plan, "state", "the instance is not rebooted", why));
    }
    if fails(facts, "status-checks") {
        plan.verify.push("status-checks".to_owned());
    }
    if facts.aws.status.value().is_some_and(|s| s.system == "impaired") {
        let why = "the system status check fails: the fault is in the host, where a reboot stays; stop and start moves (instance-stop-start)";
        plan.gates.push(Gate::new("host", GateState::Warn, why));
    }
    let around = around_reboot(facts, choices, instance);
    plan.gates.extend(around.gates);
    plan.gates.push(Gate::new(
        "downtime",
        GateState::Warn,
        "everything that runs is interrupted; a system that does not shut down by itself is reset after some minutes",
    ));
    plan.gates.push(Gate::new("kept", GateState::Ok, "addresses, volumes, instance store and the host stay"));
    plan.choices = around.choices;
    plan.permissions.extend(around.permissions);
    plan.title = format!("reboot {}", instance.label());
    let (region, id) = (instance.region.clone(), instance.id.clone());
    plan.steps = around.before;
    plan.steps.push(Step::deed(
        format!("reboot {id}"),
        format!("aws ec2 reboot-instances --region {region} --instance-ids {id}"),
        None,
        PowerAction::Reboot { region, instance: id },
    ));
    plan.steps.extend(around.after);
    plan.steps.push(look("wait until it has booted, then log in", instance));
    Ok(plan)
}
