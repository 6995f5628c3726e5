//! What stands in the way of a rescue, what it costs, and which cheaper doors are open.
//!
//! A reason that AWS would give for refusing is a `refuse`; what is lost or changes is a `warn`.
//! Source: EC2 User Guide, "Stop and start Amazon EC2 instances", "Detach an Amazon EBS volume from an EC2 instance".

use super::FIX;
use crate::core::diagnosis::{Diagnosis, DoorState};
use crate::core::facts::Facts;
use crate::core::facts::prepared::{Rescue, RootVolume};
use crate::core::fixes::gates;
use crate::core::plan::{Gate, GateState, Plan, Risk};
use crate::core::rules::gates::against_stop;

/// Doors that are cheaper, and the fix that goes through each.
const CHEAPER: &[(&str, &str)] = &[
    ("ssm", "remote-add-key, remote-repair-permissions, remote-sshd-repair"),
    ("eic", "eic-push-key"),
    ("eice", "eic-push-key"),
    ("user-data", "user-data-repair"),
];

/// Causes that a repair of the login files or of fstab does not mend.
const NOT_MENDED: &[&str] =
    &["kernel-panic", "boot-device-missing", "guest-network-failed", "disk-full", "root-volume-kms-denied"];

/// Tags of what would replace or keep watch over an instance that stops.
const WATCHED: &[(&str, &str)] = &[
    ("aws:elasticmapreduce:", "EMR"),
    ("elasticbeanstalk:", "Elastic Beanstalk"),
    ("aws:ec2:fleet-id", "its fleet"),
    ("kubernetes.io/cluster/", "Kubernetes"),
    ("eks:", "EKS"),
    ("karpenter.sh/", "Karpenter"),
    ("aws:ecs", "ECS"),
];

fn refuse(id: &str, why: impl Into<String>) -> Gate {
    Gate::new(id, GateState::Refuse, why)
}

fn warn(id: &str, why: impl Into<String>) -> Gate {
    Gate::new(id, GateState::Warn, why)
}

/// A plan without steps, where no rescue of this kind is possible whatever else is known.
pub(super) fn hopeless(facts: &Facts, ground: &Rescue) -> Option<Plan> {
    let instance = facts.instance()?;
    let mut gates: Vec<Gate> = against_stop(facts).into_iter().map(|why| refuse("stop", why)).collect();
    if facts.is_windows() {
        gates.push(refuse("system", "this repair is for Linux; for Windows there is AWSSupport-ResetAccess"));
    }
    if !matches!(instance.state.as_str(), "running" | "stopped" | "terminated" | "shutting-down") {
        gates.push(refuse("state", format!("the instance is {}: wait until it runs or stands", instance.state)));
    }
    if !ground.product_codes.is_empty() {
        gates.push(refuse(
            "marketplace",
            format!(
                "its volume carries AWS Marketplace product codes ({}): AWS attaches it to a stopped helper only, which then may boot from it; do it by hand with care (port22 explain {FIX})",
                ground.product_codes.join(", ")
            ),
        ));
    }
    if gates.is_empty() {
        return None;
    }
    Some(Plan {
        gates,
        risk: Risk::High,
        account: facts.account(),
        ..Plan::new(
            FIX,
            format!("the root volume of {} stays where it is", instance.id),
            instance.id.clone(),
            instance.label(),
        )
    })
}

/// The cheaper doors that are open, least disruptive first: the ladder above this last rung.
pub(super) fn ladder(seen: &Diagnosis) -> Vec<Gate> {
    let mut out: Vec<Gate> = Vec::new();
    for door in seen.doors.iter().filter(|d| d.state == DoorState::Open) {
        if door.id == "ssh" {
            out.push(warn("cheaper", "the login works: nothing on the disk keeps you out"));
        }
        if let Some((_, fixes)) = CHEAPER.iter().find(|(id, _)| *id == door.id) {
            out.push(warn("cheaper", format!("a cheaper door is open, {}: {} ({fixes})", door.id, door.cost)));
        }
    }
    if out.is_empty() {
        out.push(Gate::new("cheaper", GateState::Ok, "no cheaper door is known to be open"));
    }
    out
}

/// Causes that this does not mend.
pub(super) fn not_mended(seen: &Diagnosis) -> Vec<Gate> {
    let found = seen.causes.iter().filter(|c| NOT_MENDED.contains(&c.id.as_str()));
    found
        .map(|c| {
            warn(
                "not-mended",
                format!("{} is not mended by this: it repairs login files, or the mounts of fstab", c.id),
            )
        })
        .collect()
}

/// What a stop loses, and who may object.
pub(super) fn of_the_stop(facts: &Facts, ground: &Rescue) -> Vec<Gate> {
    let Some(instance) = facts.instance() else { return Vec::new() };
    let mut out = Vec::new();
    for (_, name) in WATCHED.iter().filter(|(start, _)| instance.tags.keys().any(|t| t.starts_with(start))) {
        out.push(warn("watched", format!("{name} may replace an instance that stops")));
    }
    if instance.state != "running" {
        out.push(Gate::new("stop", GateState::Ok, "the instance is stopped already"));
        return out;
    }
    out.extend(gates::stop_protection(facts));
    out.extend(gates::address(facts, &ground.elastic));
    out.extend(gates::local_disks(facts));
    if instance.lifecycle.as_deref() == Some("spot") {
        out.push(warn("spot", "a Spot Instance that is stopped starts again only when there is capacity for it"));
    }
    if out.is_empty() {
        out.push(Gate::new("stop", GateState::Ok, "nothing that is known forbids a stop"));
    }
    out
}

/// Whether the helper can be given an encrypted volume.
pub(super) fn encryption(root: &RootVolume) -> Gate {
    match (&root.kms_key, root.encrypted) {
        (_, false) => Gate::new("encryption", GateState::Ok, format!("{} is not encrypted", root.id)),
        (key, true) => warn(
            "encryption",
            format!(
                "{} is encrypted{}: you need kms:CreateGrant, kms:Decrypt and kms:GenerateDataKeyWithoutPlaintext for that key, or the volume does not attach",
                root.id,
                key.as_ref().map(|k| format!(" with {k}")).unwrap_or_default()
            ),
        ),
    }
}
