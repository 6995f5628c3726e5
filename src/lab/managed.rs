//! Whether Systems Manager knows an instance: it follows from role, metadata service, way out and agent.
//!
//! Used by `api`. Sources: Systems Manager User Guide, "Troubleshooting managed node availability" and "Setting up
//! Session Manager".

use super::policy::{self, Decision};
use super::reach;
use super::scenario::Agent;
use super::world::{Instance, World};

/// What Systems Manager says of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Online,
    /// It registered once; its pings have stopped.
    Lost,
    /// It is not in the list.
    Absent,
}

/// The state of an instance's agent. Stopped instances leave the list.
pub(super) fn presence(world: &World, instance: &Instance) -> Presence {
    let role = instance.role.as_deref().and_then(|name| policy::role_in_profile(world, name));
    let may = |action: &str| role.is_some_and(|role| policy::decide(role, action) == Decision::Allowed);
    if instance.machine.agent == Agent::Missing || instance.state != super::world::State::Running {
        return Presence::Absent;
    }
    if !may("ssm:UpdateInstanceInformation") || !reach::reaches_systems_manager(world, instance) {
        return Presence::Absent;
    }
    let channel = may("ssmmessages:CreateControlChannel") || may("ec2messages:GetMessages");
    // Without a machine that works, or credentials, pings stop; the record stays.
    let ill = instance.machine.impaired.iter().any(|check| check != "ebs");
    if instance.machine.agent == Agent::Stopped || !instance.machine.imds || !instance.up() || ill || !channel {
        Presence::Lost
    } else {
        Presence::Online
    }
}

/// Whether Session Manager can open a session: its own channel must be allowed.
pub(super) fn connected(world: &World, instance: &Instance) -> bool {
    let role = instance.role.as_deref().and_then(|name| policy::role_in_profile(world, name));
    let may = |action: &str| role.is_some_and(|role| policy::decide(role, action) == Decision::Allowed);
    presence(world, instance) == Presence::Online
        && may("ssmmessages:CreateControlChannel")
        && may("ssmmessages:OpenDataChannel")
}
