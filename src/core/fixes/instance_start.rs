//! `instance-start`: starts a stopped instance.

use super::parts::{heals_all, instance, login_by_id, look, nothing, plan_for, refuse};
use super::stop::around_start;
use crate::core::facts::Facts;
use crate::core::plan::{Action, Choices, GateState, Plan, Risk, Step};

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
    plan.gates = around_start(facts, instance).gates;
    if plan.gates.iter().any(|g| g.id == "public-address" && g.state != GateState::Ok) {
        plan.login = Some(login_by_id(facts, instance));
    }
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
