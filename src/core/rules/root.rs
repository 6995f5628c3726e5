//! Why a stopped instance stopped, or cannot start: spot, encryption key, root volume, half-done repairs.
//!
//! Must not judge a running instance.

use super::View;
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::fact::Why;
use crate::core::facts::Facts;
use crate::core::facts::host::Automation;

/// Whether an EBS-backed instance has nothing at its root device name. Only a stopped one tells.
pub(super) fn root_is_gone(facts: &Facts) -> bool {
    facts.instance().is_some_and(|i| {
        i.state == "stopped"
            && i.root_device_type.as_deref() == Some("ebs")
            && i.root_device_name.is_some()
            && i.root_volume.is_none()
            && i.other_root.is_none()
    })
}

/// Check `root-volume`.
pub(super) fn check(view: &View<'_>) -> CheckResult {
    let id = "root-volume";
    let Some(instance) = view.facts.instance() else {
        return CheckResult::cannot_tell(id, &Why::needs("the instance"));
    };
    let source = view.facts.aws.instance.source().to_owned();
    let device = instance.root_device_name.as_deref().unwrap_or("its root device");
    match (instance.root_device_type.as_deref(), &instance.root_volume) {
        (Some("instance-store"), _) => CheckResult::not_applicable(id, "the root is an instance store"),
        (_, Some(volume)) => CheckResult::pass(id, format!("{volume} is attached as {device}"))
            .seen(format!("{volume} at {device}"), source),
        _ if root_is_gone(view.facts) => CheckResult::fail(id, format!("no volume is attached as {device}"))
            .seen(format!("nothing at {device}"), source),
        _ => CheckResult::unclear(id, "cannot tell: AWS shows no volume of the root device in this state"),
    }
}

/// What must be repaired before the instance can start: comes before the state itself.
pub(super) fn before_start(view: &View<'_>, out: &mut Vec<Finding>) {
    let facts = view.facts;
    wrong_name(facts, out);
    let Some(instance) = facts.instance().filter(|_| root_is_gone(facts)) else { return };
    let device = instance.root_device_name.clone().unwrap_or_default();
    let source = facts.aws.instance.source();
    let ended: Vec<&Automation> =
        facts.host.automations.value().into_iter().flatten().filter(|a| !is_precondition(a)).collect();
    let moved = ended.iter().find(|a| moves_volumes(a)).or(ended.first());
    if let Some(run) = moved {
        let certainty = if moves_volumes(run) { Certainty::Proven } else { Certainty::Likely };
        let finding =
            Finding::new("runbook-interrupted", certainty, automation_text(run), facts.host.automations.source())
                .and(format!("nothing is attached as {device}"), source);
        out.push(if certainty == Certainty::Proven {
            finding
        } else {
            finding.would_prove("the step of the automation that detached the volume (ssm get-automation-execution)")
        });
    }
    let text = format!("{} is stopped, and no volume is attached as {device}", instance.label());
    out.push(Finding::new("root-volume-detached", Certainty::Proven, text, source));
}

/// A root volume that was put back under another name: the start would fail. Nobody knows it for a root.
fn wrong_name(facts: &Facts, out: &mut Vec<Finding>) {
    let Some(instance) = facts.instance().filter(|i| i.state == "stopped" && i.root_volume.is_none()) else { return };
    let (Some(wanted), Some(other)) = (&instance.root_device_name, &instance.other_root) else { return };
    let text = format!("a volume is attached as {other}, and the root device is {wanted}");
    out.push(
        Finding::new("root-volume-detached", Certainty::Possible, text, facts.aws.instance.source())
            .would_prove("a start that fails with: does not have a volume attached at root"),
    );
}

/// Why it stopped or does not start: comes after the state.
pub(super) fn after_state(view: &View<'_>, text: &str, out: &mut Vec<Finding>) {
    let facts = view.facts;
    let Some(instance) = facts.instance() else { return };
    let source = facts.aws.instance.source();
    let reason = [&instance.transition_reason, &instance.state_reason];
    let reason = reason.into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
    if reason.contains("Server.SpotInstance") {
        out.push(Finding::new("spot-interrupted", Certainty::Proven, text, source));
    }
    if let Some(request) = facts.host.spot.value().and_then(Option::as_ref).filter(|r| taken_back(&r.status)) {
        let said = format!("{} ({}) is {}: {}", request.id, request.kind, request.status, request.message);
        out.push(Finding::new("spot-interrupted", Certainty::Proven, said, facts.host.spot.source()));
    }
    if instance.state == "stopped" && reason.contains("Client.InternalError") {
        kms(view, text, out);
    }
}

/// Spot status codes that say AWS took the instance (EC2 User Guide, "Get the status of a Spot Instance request").
fn taken_back(status: &str) -> bool {
    (status.starts_with("instance-terminated-") || status.starts_with("instance-stopped-"))
        && !status.ends_with("-by-user")
        && !status.ends_with("-by-schedule")
}

/// EC2 says `Client.InternalError` of other faults too while it starts an instance, so this is never proven here.
fn kms(view: &View<'_>, text: &str, out: &mut Vec<Finding>) {
    let facts = view.facts;
    let root = facts.instance().and_then(|i| i.root_volume.as_deref());
    let volumes = facts.host.volumes.value();
    let volume = volumes.and_then(|all| all.iter().find(|v| Some(v.id.as_str()) == root));
    if volume.is_some_and(|v| !v.encrypted) {
        return;
    }
    let finding = Finding::new("root-volume-kms-denied", Certainty::Likely, text, facts.aws.instance.source());
    let finding = match volume {
        Some(v) => {
            let key = v.kms_key.as_ref().map(|k| format!(" with {k}")).unwrap_or_default();
            finding.and(format!("{} is encrypted{key}", v.id), facts.host.volumes.source())
        }
        None => finding,
    };
    out.push(finding.would_prove(
        "whether the root volume is encrypted with a key that may not be used (ec2 describe-volumes, kms describe-key)",
    ));
}

/// Spot instances that run but are about to be taken, and runbooks that refused: told beside the causes.
pub(super) fn beside(view: &View<'_>, out: &mut Vec<Finding>) {
    let facts = view.facts;
    if let Some(request) =
        facts.host.spot.value().and_then(Option::as_ref).filter(|r| r.status.starts_with("marked-for-"))
    {
        let said = format!("{} is {}: {}", request.id, request.status, request.message);
        out.push(
            Finding::new("spot-interrupted", Certainty::Possible, said, facts.host.spot.source())
                .would_prove("the state of the instance in two minutes"),
        );
    }
    for run in facts.host.automations.value().into_iter().flatten().filter(|a| is_precondition(a)) {
        let text = automation_text(run);
        out.push(Finding::new("runbook-precondition-failed", Certainty::Proven, text, facts.host.automations.source()));
    }
}

fn automation_text(run: &Automation) -> String {
    let step = run.step.as_ref().map(|s| format!(" at step {s}")).unwrap_or_default();
    let message = run.message.as_ref().map(|m| format!(": {m}")).unwrap_or_default();
    format!("{} {} ended as {}{step}{message}", run.document, run.id, run.status)
}

/// Whether it stopped at a step that tests a condition, so that it changed nothing.
fn is_precondition(run: &Automation) -> bool {
    let step = run.step.as_deref().unwrap_or_default().to_lowercase();
    let message = run.message.as_deref().unwrap_or_default().to_lowercase();
    step.starts_with("assert")
        || step.starts_with("verify")
        || message.contains("assertawsresourceproperty")
        || message.contains("not in desired values")
        || message.contains("is not in the desired values")
}

/// Whether it stopped at, or after, taking a volume off.
fn moves_volumes(run: &Automation) -> bool {
    let step = run.step.as_deref().unwrap_or_default().to_lowercase();
    // EC2Rescue runs on the helper, which has the volume by then.
    let words =
        ["detach", "attach", "offlinescript", "restoreinstance", "startinstance", "waitforstack", "runec2rescue"];
    words.iter().any(|word| step.contains(word))
}
