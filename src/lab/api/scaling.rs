//! Auto Scaling: which instances belong to a group.

use super::params::Params;
use super::{Outcome, unknown};
use crate::lab::world::World;
use crate::lab::xml::Xml;

pub(super) fn run(world: &World, action: &str, params: &Params, xml: &mut Xml) -> Outcome {
    if action != "DescribeAutoScalingInstances" {
        return Err(unknown(action));
    }
    let ids = params.members("InstanceIds");
    let found = world
        .instances
        .iter()
        .filter(|instance| ids.is_empty() || ids.contains(&instance.id))
        .filter_map(|instance| Some((instance, instance.machine.scaling_group.as_ref()?)));
    xml.members("AutoScalingInstances", found, |xml, (instance, group)| {
        xml.put("InstanceId", &instance.id)
            .put("InstanceType", instance.kind())
            .put("AutoScalingGroupName", group)
            .put("AvailabilityZone", &world.zone)
            .put("LifecycleState", "InService")
            .put("HealthStatus", "HEALTHY")
            .put("ProtectedFromScaleIn", false);
    });
    Ok(())
}
