//! What stands in the way of a rescue, what it costs, and which cheaper doors are open.
//!
//! A reason that AWS would give for refusing is a `refuse`; what is lost or changes is a `warn`. The stop itself is judged
//! by `fixes::stop`. Source: EC2 User Guide, "Detach an Amazon EBS volume from an EC2 instance".

use super::FIX;
use crate::core::diagnosis::{Diagnosis, DoorState};
use crate::core::facts::Facts;
use crate::core::facts::prepared::{Rescue, RootVolume};
use crate::core::fixes::stop::Around;
use crate::core::plan::{Gate, GateState, Plan, Risk};

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

fn refuse(id: &str, why: impl Into<String>) -> Gate {
    Gate::new(id, GateState::Refuse, why)
}

fn warn(id: &str, why: impl Into<String>) -> Gate {
    Gate::new(id, GateState::Warn, why)
}

/// A plan without steps, where no rescue of this kind is possible whatever else is known.
pub(super) fn hopeless(facts: &Facts, ground: &Rescue, around: &Around) -> Option<Plan> {
    let instance = facts.instance()?;
    // What a choice lifts is no such reason.
    let lifted = |gate: &Gate| around.choices.iter().any(|c| c.id == gate.id);
    let refusals = around.gates.iter().filter(|g| g.state == GateState::Refuse && !lifted(g));
    let mut gates: Vec<Gate> = refusals.cloned().collect();
    if facts.is_windows() {
        gates.push(refuse("system", "this repair is for Linux; for Windows there is AWSSupport-ResetAccess"));
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
