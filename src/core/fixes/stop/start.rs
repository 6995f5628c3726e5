//! Reasons against a start of a stopped instance, and what it changes.

use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::plan::{Gate, GateState};

/// Statuses of a Spot request whose instance only AWS starts again (EC2 User Guide, "Spot request status codes").
const SPOT_STOPPED: [&str; 5] = [
    "instance-stopped-by-price",
    "instance-stopped-no-capacity",
    "instance-stopped-capacity-oversubscribed",
    "instance-stopped-by-service",
    "marked-for-stop",
];

/// The Spot request, why it was stopped, and the public address.
pub(super) fn gates(facts: &Facts, instance: &Instance) -> Vec<Gate> {
    spot(facts, instance).into_iter().chain(reason(instance)).chain([address(facts, instance)]).collect()
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

/// What the group does with a stopped member that is only started.
pub(super) fn group(facts: &Facts) -> Option<Gate> {
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
