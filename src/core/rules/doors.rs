//! All ways in, each open, closed because, or unknown; with what it costs.
//!
//! The order is that of cost: the first open one is the one to take. Each door's own rules decide; where a
//! door is closed by a cause of the catalogue, its words name the cause's id.

use super::View;
use super::{connect, gates, serial, ssm, tunnel};
use crate::core::ami::Confidence;
use crate::core::cause::Finding;
use crate::core::diagnosis::{Door, DoorState};
use crate::core::door_commands;
use crate::core::facts::wire::Tcp;

/// The list of doors, cheapest first.
pub fn doors(view: &View<'_>, works: bool, causes: &[Finding]) -> Vec<Door> {
    let told = |id: &str, (state, why): (DoorState, String), cost: &str| door(id, state, why, cost);
    let mut doors = vec![
        ssh(view, works, causes),
        told("ssm", ssm::door(view), "no downtime, no change, no open port; about 1 minute"),
        told("eic", connect::door(view), "no downtime, no lasting change: a key for 60 seconds; about 1 minute"),
        told(
            "eice",
            tunnel::door(view),
            "no downtime, no change where the VPC has an endpoint; making one takes about 5 minutes",
        ),
        told(
            "serial",
            serial_door(view),
            "no downtime, no change; needs a user with a password inside; about 2 minutes",
        ),
        user_data(view),
        rescue(view),
    ];
    for door in &mut doors {
        door.command = door_commands::line(&door.id, view.facts);
    }
    doors
}

fn door(id: &str, state: DoorState, why: impl Into<String>, cost: &str) -> Door {
    let why: String = why.into();
    let why = if why.is_empty() { "not asked".to_owned() } else { why };
    Door { id: id.to_owned(), state, why, cost: cost.to_owned(), command: None }
}

fn ssh(view: &View<'_>, works: bool, causes: &[Finding]) -> Door {
    let cost = "no downtime, no change";
    if works {
        return door("ssh", DoorState::Open, "the login works", cost);
    }
    match causes.iter().find(|c| super::rank::stops_login(c)) {
        Some(cause) => {
            let title =
                crate::core::catalogue::get().causes.get(&cause.id).map_or(cause.id.as_str(), |w| w.title.as_str());
            door("ssh", DoorState::Closed, format!("{title} ({})", cause.id), cost)
        }
        None if matches!(view.facts.wire.tcp.value(), Some(Tcp::Connected { .. })) => {
            door("ssh", DoorState::Unknown, "the port answers; the login was not proven", cost)
        }
        None => door("ssh", DoorState::Unknown, "not proven either way", cost),
    }
}

/// A login needs a password inside, which nothing from outside can tell: never more than unknown.
fn serial_door(view: &View<'_>) -> (DoorState, String) {
    let facts = view.facts;
    if facts.instance().is_none() {
        return (DoorState::Unknown, "needs the instance".to_owned());
    }
    if !view.running() {
        return (DoorState::Closed, "the instance is not running".to_owned());
    }
    let able = serial::supported(facts);
    if let Some((false, text, _)) = &able {
        return (DoorState::Closed, format!("{text} (serial-console-unsupported-type)"));
    }
    match (facts.doors.serial.value(), able) {
        (Some(access), _) if !access.enabled => {
            (DoorState::Closed, format!("{} (serial-console-disabled)", serial::disabled_text(facts)))
        }
        (Some(_), Some(_)) if serial::nobody_has_a_password(facts) => (
            DoorState::Closed,
            "no user inside has a password: only boot menu and messages are there (serial-console-no-password)"
                .to_owned(),
        ),
        (Some(_), Some((_, text, _))) if facts.inside.value().is_some_and(|i| i.account.with_password.is_some()) => {
            (DoorState::Open, format!("it is switched on, {text}, and a user inside has a password"))
        }
        (Some(_), Some((_, text, _))) => (
            DoorState::Unknown,
            format!(
                "it is switched on, and {text}: boot menu and messages are there; a login needs a user with a password"
            ),
        ),
        (Some(_), None) => (DoorState::Unknown, "it is switched on; whether this type has it is not known".to_owned()),
        (None, _) => (
            DoorState::Unknown,
            facts.doors.serial.why_not().map_or_else(|| "needs the account switch".to_owned(), |why| why.text()),
        ),
    }
}

/// What a stop costs besides the time.
fn stop_cost(view: &View<'_>, time: &str) -> String {
    let facts = view.facts;
    let mut cost = match facts.instance() {
        Some(i) if i.state == "stopped" => format!("{time}; the instance is stopped already"),
        _ => format!("downtime: {time}"),
    };
    if facts.instance().is_some_and(|i| i.public_ip.is_some()) {
        cost.push_str("; the public address changes unless it is an Elastic IP");
    }
    if facts.host.machine.value().is_some_and(|m| m.instance_storage) {
        cost.push_str("; data on its local disks is lost");
    }
    if facts.instance().is_some_and(|i| i.hibernation) {
        cost.push_str("; stop it plainly, a hibernation is no fresh boot");
    }
    cost
}

fn user_data(view: &View<'_>) -> Door {
    let facts = view.facts;
    let cost = stop_cost(view, "stop and start, about 5 minutes");
    let told = |state: DoorState, why: String| door("user-data", state, why, &cost);
    let Some(instance) = facts.instance() else { return told(DoorState::Unknown, "needs the instance".to_owned()) };
    let against = gates::against_stop(facts);
    if !against.is_empty() {
        return told(DoorState::Closed, against.join("; "));
    }
    if gates::metadata_off(facts) {
        return told(
            DoorState::Closed,
            "the metadata service is off, so no user data arrives (imds-disabled)".to_owned(),
        );
    }
    if super::root::root_is_gone(facts) {
        return told(DoorState::Closed, "no root volume is attached (root-volume-detached)".to_owned());
    }
    // Ignition reads user data at the first boot only; Bottlerocket and Windows read other things.
    let sure = view.family.as_ref().filter(|f| f.confidence == Confidence::Sure);
    let ignition = facts.host.user_data.value().and_then(Option::as_ref).is_some_and(|u| u.kind == "ignition");
    match sure {
        Some(guess) if !guess.family.cloud_init => {
            let text = format!("{} does not run cloud-init, so user data repairs nothing", guess.family.title);
            return told(DoorState::Closed, text);
        }
        _ if ignition => {
            return told(
                DoorState::Closed,
                "its user data is for Ignition, which runs at the first boot only".to_owned(),
            );
        }
        _ => {}
    }
    let protection = facts.host.stop_protected.is_known() || instance.state == "stopped";
    let boots = !matches!(instance.state.as_str(), "pending" | "stopping");
    match sure {
        Some(guess) if protection && boots => {
            let text =
                format!("cloud-init of {} reads it at every boot; it repairs files, not firewalls", guess.family.title);
            told(DoorState::Open, text)
        }
        Some(_) => told(DoorState::Unknown, "whether it may be stopped is not known".to_owned()),
        None => told(DoorState::Unknown, "works where cloud-init runs; it repairs files, not firewalls".to_owned()),
    }
}

fn rescue(view: &View<'_>) -> Door {
    let facts = view.facts;
    let cost = stop_cost(view, "stop, snapshot and a helper instance, about 30 minutes");
    let told = |state: DoorState, why: String| door("rescue", state, why, &cost);
    let Some(instance) = facts.instance() else { return told(DoorState::Unknown, "needs the instance".to_owned()) };
    let against = gates::against_stop(facts);
    if !against.is_empty() {
        return told(DoorState::Closed, against.join("; "));
    }
    if super::root::root_is_gone(facts) {
        return told(
            DoorState::Open,
            "the root volume is off already: attach it again under its device name (root-volume-detached)".to_owned(),
        );
    }
    let protection = facts.host.stop_protected.is_known() || instance.state == "stopped";
    let root = instance.root_volume.as_ref();
    let encrypted = facts.host.volumes.value().into_iter().flatten().any(|v| Some(&v.id) == root && v.encrypted);
    let note = if encrypted { "; the helper needs the key of the encrypted volume" } else { "" };
    match (instance.root_device_type.as_deref(), protection) {
        (Some("ebs"), true) => {
            told(DoorState::Open, format!("the last resort: the root volume on another instance{note}"))
        }
        (Some("ebs"), false) => told(DoorState::Unknown, "whether it may be stopped is not known".to_owned()),
        _ => told(DoorState::Unknown, format!("the last resort: the root volume on another instance{note}")),
    }
}
