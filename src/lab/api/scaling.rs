//! Auto Scaling: which instances belong to a group, standby, suspended processes.

use super::params::Params;
use super::{Outcome, Problem, unknown};
use crate::lab::world::{State, World};
use crate::lab::xml::Xml;

/// Processes of a group (Auto Scaling API reference, SuspendProcesses).
const PROCESSES: [&str; 9] = [
    "AZRebalance",
    "AddToLoadBalancer",
    "AlarmNotification",
    "HealthCheck",
    "InstanceRefresh",
    "Launch",
    "ReplaceUnhealthy",
    "ScheduledActions",
    "Terminate",
];

pub(super) fn run(world: &mut World, action: &str, params: &Params, xml: &mut Xml) -> Outcome {
    match action {
        "DescribeAutoScalingInstances" => {
            instances(world, params, xml);
            Ok(())
        }
        "DescribeAutoScalingGroups" => {
            groups(world, params, xml);
            Ok(())
        }
        "EnterStandby" => standby(world, params, xml, true),
        "ExitStandby" => standby(world, params, xml, false),
        "SuspendProcesses" => processes(world, params, true),
        "ResumeProcesses" => processes(world, params, false),
        _ => Err(unknown(action)),
    }
}

fn lifecycle(world: &World, id: &str) -> &'static str {
    if world.scaling.standby.contains(id) { "Standby" } else { "InService" }
}

fn instances(world: &World, params: &Params, xml: &mut Xml) {
    let ids = params.members("InstanceIds");
    let found = world
        .instances
        .iter()
        .filter(|instance| instance.state != State::Terminated)
        .filter(|instance| ids.is_empty() || ids.contains(&instance.id))
        .filter_map(|instance| Some((instance, instance.machine.scaling_group.as_ref()?)));
    xml.members("AutoScalingInstances", found, |xml, (instance, group)| {
        xml.put("InstanceId", &instance.id)
            .put("InstanceType", instance.kind())
            .put("AutoScalingGroupName", group)
            .put("AvailabilityZone", &world.zone)
            .put("LifecycleState", lifecycle(world, &instance.id))
            .put("HealthStatus", "HEALTHY")
            .put("ProtectedFromScaleIn", false);
    });
}

/// Ids of the members of a group.
fn members(world: &World, group: &str) -> Vec<String> {
    let of = |name: &Option<String>| name.as_deref() == Some(group);
    world.instances.iter().filter(|i| of(&i.machine.scaling_group)).map(|i| i.id.clone()).collect()
}

fn groups(world: &World, params: &Params, xml: &mut Xml) {
    let wanted = params.members("AutoScalingGroupNames");
    let mut names: Vec<String> = world.instances.iter().filter_map(|i| i.machine.scaling_group.clone()).collect();
    names.sort();
    names.dedup();
    names.retain(|name| wanted.is_empty() || wanted.contains(name));
    xml.members("AutoScalingGroups", names, |xml, name| {
        let ids = members(world, &name);
        let serving = ids.iter().filter(|id| !world.scaling.standby.contains(*id)).count();
        xml.put("AutoScalingGroupName", &name).put("MinSize", 0).put("MaxSize", 4).put("DesiredCapacity", serving);
        xml.members("Instances", ids, |xml, id| {
            xml.put("InstanceId", &id).put("LifecycleState", lifecycle(world, &id)).put("HealthStatus", "Healthy");
        });
        let suspended = world.scaling.suspended.get(&name).into_iter().flatten();
        xml.members("SuspendedProcesses", suspended, |xml, process| {
            xml.put("ProcessName", process).put("SuspensionReason", "User suspended");
        });
    });
}

fn invalid(message: String) -> Problem {
    Problem::new("ValidationError", message)
}

fn standby(world: &mut World, params: &Params, xml: &mut Xml, enter: bool) -> Outcome {
    let group = params.required("AutoScalingGroupName")?.to_owned();
    let known = members(world, &group);
    let ids = params.members("InstanceIds");
    for id in &ids {
        if !known.contains(id) {
            return Err(invalid(format!("The instance {id} is not part of Auto Scaling group {group}.")));
        }
        if world.scaling.standby.contains(id) == enter {
            let (is, wanted) = if enter { ("Standby", "InService") } else { ("InService", "Standby") };
            return Err(invalid(format!("The instance {id} is in {is} and not in {wanted}.")));
        }
    }
    if enter && params.get("ShouldDecrementDesiredCapacity").is_none() {
        return Err(invalid("ShouldDecrementDesiredCapacity is missing.".to_owned()));
    }
    for id in &ids {
        if enter {
            world.scaling.standby.insert(id.clone());
        } else {
            world.scaling.standby.remove(id);
        }
    }
    xml.members("Activities", ids, |xml, id| {
        xml.put("AutoScalingGroupName", &group)
            .put("Description", format!("Moving EC2 instance {id}"))
            .put("StatusCode", "InProgress");
    });
    Ok(())
}

fn processes(world: &mut World, params: &Params, suspend: bool) -> Outcome {
    let group = params.required("AutoScalingGroupName")?.to_owned();
    if members(world, &group).is_empty() {
        return Err(invalid(format!("AutoScalingGroup name not found - no such group: {group}")));
    }
    let mut names = params.members("ScalingProcesses");
    if let Some(bad) = names.iter().find(|name| !PROCESSES.contains(&name.as_str())) {
        return Err(invalid(format!("{bad} is not a valid scaling process")));
    }
    if names.is_empty() {
        names = PROCESSES.map(str::to_owned).into();
    }
    let known = world.scaling.suspended.entry(group).or_default();
    for name in names {
        if suspend {
            known.insert(name);
        } else {
            known.remove(&name);
        }
    }
    Ok(())
}
