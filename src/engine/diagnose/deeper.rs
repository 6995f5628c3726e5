//! When the probes about the machine and the other doors may run.
//!
//! Nearly all are of the second wave. A third is needed only where an answer names what to ask next:
//! the endpoints' security groups, the role's policies, and the looks inside, which also need consent.
//! Must not judge.

use super::{Ready, ended};
use crate::core::fact::Why;
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::probe::ProbeId;
use crate::engine::event::ProbeState;
use std::collections::BTreeMap;

/// Whether one of these probes may run now.
pub(super) fn ready(probe: ProbeId, facts: &Facts, states: &BTreeMap<ProbeId, ProbeState>) -> Ready {
    if probe.needs_consent() && !facts.inside_agreed {
        return Ready::Never(Some(Why::needs("your consent to look inside (--inside)")));
    }
    let Some(instance) = facts.instance() else {
        return if ended(states, ProbeId::Instance) {
            Ready::Never(Some(Why::needs("the instance, which could not be read")))
        } else {
            Ready::Later
        };
    };
    let running = instance.state == "running";
    let windows = instance.platform.as_deref() == Some("windows");
    let only = |wanted: bool| if wanted { Ready::Now } else { Ready::Never(None) };
    match probe {
        ProbeId::Machine | ProbeId::StopProtection | ProbeId::UserData | ProbeId::SerialAccess => {
            only(instance.state != "terminated")
        }
        ProbeId::CreditMode => only(running && is_burstable(&instance.instance_type)),
        ProbeId::Metrics => only(running),
        // A running instance has its volumes; what is wrong with them shows when it does not run.
        ProbeId::Volumes => only(!running && instance.state != "terminated"),
        ProbeId::Spot => only(instance.lifecycle.as_deref() == Some("spot")),
        ProbeId::WindowsPassword => {
            if windows && !ended(states, ProbeId::Keys) {
                return Ready::Later;
            }
            only(windows && running)
        }
        ProbeId::Automations => only(!running && root_is_gone(instance)),
        ProbeId::Connection | ProbeId::HostManagement => only(running),
        ProbeId::Endpoints | ProbeId::ConnectEndpoints => only(running && instance.vpc_id.is_some()),
        ProbeId::Role => only(running && instance.profile_arn.is_some()),
        ProbeId::RolePolicies => {
            if !ended(states, ProbeId::Role) || !ended(states, ProbeId::Ssm) {
                return Ready::Later;
            }
            // Where the agent is online its role is good enough.
            only(!facts.agent_is_online() && facts.doors.role.value().is_some_and(Option::is_some))
        }
        ProbeId::EndpointGroups => {
            if !ended(states, ProbeId::Endpoints) || !ended(states, ProbeId::ConnectEndpoints) {
                return Ready::Later;
            }
            only(!endpoint_groups(facts).is_empty())
        }
        ProbeId::Session => {
            if !ended(states, ProbeId::Ssm) {
                return Ready::Later;
            }
            online_or(facts, "an SSM agent that is online")
        }
        ProbeId::Inside => {
            // The SSH probe may find a user who can log in, and must not be disturbed by a second login.
            if [ProbeId::Ssm, ProbeId::Ssh, ProbeId::Keys, ProbeId::Tcp].iter().any(|p| !ended(states, *p)) {
                return Ready::Later;
            }
            only(running && !windows)
        }
        _ => Ready::Never(None),
    }
}

fn online_or(facts: &Facts, what: &str) -> Ready {
    if facts.agent_is_online() { Ready::Now } else { Ready::Never(Some(Why::needs(what))) }
}

/// Security groups that endpoints of the VPC carry and that are not known yet.
pub fn endpoint_groups(facts: &Facts) -> Vec<String> {
    let of_ssm = facts.doors.endpoints.value().into_iter().flatten().filter(|e| serves_ssm(&e.service));
    let of_ssm = of_ssm.flat_map(|e| e.groups.iter());
    let of_tunnels = facts.doors.connect_endpoints.value().into_iter().flatten().flat_map(|e| e.groups.iter());
    let mut all: Vec<String> = of_ssm.chain(of_tunnels).cloned().collect();
    all.sort();
    all.dedup();
    all
}

/// Whether an endpoint service is one that the SSM agent talks to (Systems Manager User Guide, "VPC endpoints").
fn serves_ssm(service: &str) -> bool {
    [".ssm", ".ssmmessages", ".ec2messages"].iter().any(|end| service.ends_with(end))
}

/// T types run on CPU credits (EC2 User Guide, burstable performance instances).
fn is_burstable(instance_type: &str) -> bool {
    ["t2.", "t3.", "t3a.", "t4g."].iter().any(|start| instance_type.starts_with(start))
}

/// Whether an EBS-backed instance has nothing at its root device name.
fn root_is_gone(instance: &Instance) -> bool {
    instance.root_device_type.as_deref() == Some("ebs")
        && instance.root_device_name.is_some()
        && instance.root_volume.is_none()
        && instance.other_root.is_none()
}
