//! All ways in, each open, closed because, or unknown.

use super::View;
use crate::core::cause::Finding;
use crate::core::diagnosis::{Door, DoorState};
use crate::core::facts::wire::Tcp;

/// The list of doors, cheapest first.
pub fn doors(view: &View<'_>, works: bool, causes: &[Finding]) -> Vec<Door> {
    vec![ssh(view, works, causes), ssm(view), eic(view), eice(view), serial(view), user_data(view), rescue(view)]
}

fn door(id: &str, state: DoorState, why: impl Into<String>, cost: &str) -> Door {
    Door { id: id.to_owned(), state, why: why.into(), cost: cost.to_owned() }
}

fn ssh(view: &View<'_>, works: bool, causes: &[Finding]) -> Door {
    let cost = "no change";
    if works {
        return door("ssh", DoorState::Open, "the login works", cost);
    }
    match causes.first().filter(|c| super::rank::explains(c)) {
        Some(cause) => {
            let title =
                crate::core::catalogue::get().causes.get(&cause.id).map_or(cause.id.as_str(), |w| w.title.as_str());
            door("ssh", DoorState::Closed, title, cost)
        }
        None if matches!(view.facts.wire.tcp.value(), Some(Tcp::Connected { .. })) => {
            door("ssh", DoorState::Unknown, "the port answers; the login was not proven", cost)
        }
        None => door("ssh", DoorState::Unknown, "not proven either way", cost),
    }
}

fn ssm(view: &View<'_>) -> Door {
    let cost = "no change, no open port";
    if view.facts.instance().is_some() && !running(view) {
        // The list says Online for some minutes after a stop.
        return door("ssm", DoorState::Closed, "the instance is not running", cost);
    }
    match &view.facts.aws.ssm {
        crate::core::fact::Fact::Known { value: Some(agent), .. } if agent.ping == "Online" => {
            door("ssm", DoorState::Open, "the SSM agent is online", cost)
        }
        crate::core::fact::Fact::Known { value: Some(agent), .. } => {
            door("ssm", DoorState::Closed, format!("the SSM agent is {}", agent.ping), cost)
        }
        crate::core::fact::Fact::Known { value: None, .. } => {
            let profile = view.facts.instance().and_then(|i| i.profile_arn.as_ref());
            let why = if profile.is_none() {
                "the SSM agent has never registered, and the instance has no instance profile"
            } else {
                "the SSM agent has never registered"
            };
            door("ssm", DoorState::Closed, why, cost)
        }
        other => door("ssm", DoorState::Unknown, other.why_not().map(|w| w.text()).unwrap_or_default(), cost),
    }
}

fn running(view: &View<'_>) -> bool {
    view.facts.instance().is_some_and(|i| i.state == "running")
}

fn eic(view: &View<'_>) -> Door {
    let cost = "no lasting change: a key for 60 seconds";
    if view.facts.instance().is_none() {
        return door("eic", DoorState::Unknown, "needs the instance", cost);
    }
    if !running(view) {
        return door("eic", DoorState::Closed, "the instance is not running", cost);
    }
    match view.facts.wire.tcp.value() {
        Some(Tcp::Connected { .. }) => match view.family.as_ref().and_then(|f| f.family.eic_preinstalled) {
            Some(true) => door(
                "eic",
                DoorState::Unknown,
                "the port answers and this image carries EC2 Instance Connect; only a push proves it",
                cost,
            ),
            Some(false) => door(
                "eic",
                DoorState::Unknown,
                "this image does not carry EC2 Instance Connect unless it was installed",
                cost,
            ),
            None => {
                door("eic", DoorState::Unknown, "the image does not tell whether it carries EC2 Instance Connect", cost)
            }
        },
        Some(_) => door("eic", DoorState::Closed, "it needs the SSH port, which does not answer", cost),
        None => door("eic", DoorState::Unknown, "it needs the SSH port, which was not probed", cost),
    }
}

fn eice(view: &View<'_>) -> Door {
    let cost = "no change where the VPC has an endpoint; making one takes minutes";
    let why = if view.facts.instance().is_some() {
        "ask: aws ec2 describe-instance-connect-endpoints"
    } else {
        "needs the instance"
    };
    door("eice", DoorState::Unknown, why, cost)
}

fn serial(view: &View<'_>) -> Door {
    let cost = "no change; needs a user with a password inside";
    if view.facts.instance().is_some() && !running(view) {
        return door("serial", DoorState::Closed, "the instance is not running", cost);
    }
    // Xen types have no serial console (EC2 User Guide, ec2-serial-console-prerequisites).
    let xen =
        ["t1", "t2", "m1", "m2", "m3", "m4", "c1", "c3", "c4", "r3", "r4", "i2", "d2", "x1", "x1e", "p2", "p3", "g3"];
    let family = view.facts.instance().and_then(|i| i.instance_type.split('.').next()).unwrap_or_default();
    if xen.contains(&family) {
        return door("serial", DoorState::Closed, format!("{family} instances are not built on Nitro"), cost);
    }
    door("serial", DoorState::Unknown, "needs the account switch: aws ec2 get-serial-console-access-status", cost)
}

fn user_data(view: &View<'_>) -> Door {
    let cost = "stop and start: minutes of downtime, the public address may change";
    match view.facts.instance() {
        Some(i) if i.root_device_type.as_deref() == Some("instance-store") => {
            door("user-data", DoorState::Closed, "an instance-store root cannot be stopped", cost)
        }
        Some(_) => {
            door("user-data", DoorState::Unknown, "works where cloud-init runs; it repairs files, not firewalls", cost)
        }
        None => door("user-data", DoorState::Unknown, "needs the instance", cost),
    }
}

fn rescue(view: &View<'_>) -> Door {
    let cost = "stop, snapshot, helper instance: about half an hour of downtime";
    match view.facts.instance() {
        Some(i) if i.root_device_type.as_deref() == Some("instance-store") => {
            door("rescue", DoorState::Closed, "an instance-store root cannot be detached", cost)
        }
        Some(_) => door("rescue", DoorState::Unknown, "the last resort: the root volume on another instance", cost),
        None => door("rescue", DoorState::Unknown, "needs the instance", cost),
    }
}
