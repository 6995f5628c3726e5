//! What a plan that stops and starts the instance is held up by, or must say before it is confirmed.
//!
//! A reason that AWS or the group itself would give for refusing is a `refuse`; what is lost or changes is a `warn`.
//! Source: EC2 User Guide, "Stop and start Amazon EC2 instances"; Auto Scaling User Guide, "Health checks".

use crate::core::fact::Fact;
use crate::core::facts::Facts;
use crate::core::plan::{Gate, GateState};
use crate::core::rules::gates;

/// Tags of services that watch over the instance: who, and what they may do when it stops.
const WATCHED: &[(&str, &str)] = &[
    ("aws:elasticmapreduce:job-flow-id", "EMR replaces a node that stops"),
    ("elasticbeanstalk:environment-id", "Elastic Beanstalk replaces an instance that stops"),
    (
        "aws:ec2launchtemplate:id",
        "its launch template keeps its own user data: instances launched later are not changed",
    ),
    ("aws:cloudformation:stack-name", "CloudFormation reports changed user data as drift until it is put back"),
    ("aws:ec2:fleet-id", "its fleet may replace an instance that stops"),
];
/// Beginnings of tag names of container platforms.
const PLATFORMS: &[(&str, &str)] =
    &[("kubernetes.io/cluster/", "Kubernetes"), ("eks:", "EKS"), ("karpenter.sh/", "Karpenter"), ("aws:ecs", "ECS")];

/// The gates of a stop and a start.
pub fn of_a_stop(facts: &Facts) -> Vec<Gate> {
    let Some(instance) = facts.instance() else { return Vec::new() };
    let mut all: Vec<Gate> =
        gates::against_stop(facts).into_iter().map(|why| Gate::new("stop", GateState::Refuse, why)).collect();
    let state = instance.state.as_str();
    if !matches!(state, "running" | "stopped" | "terminated" | "shutting-down") {
        all.push(Gate::new(
            "state",
            GateState::Refuse,
            format!("the instance is {state}: wait until it runs or stands"),
        ));
    }
    if gates::root_is_gone(facts) {
        all.push(Gate::new(
            "root-volume",
            GateState::Refuse,
            "no root volume is attached, so it could not be started (root-volume-detached)",
        ));
    }
    if let Some(reason) = instance.state_reason.as_deref().filter(|r| r.contains("UserInitiatedHibernate"))
        && state == "stopped"
    {
        all.push(Gate::new(
            "hibernated",
            GateState::Refuse,
            format!("it hibernates ({reason}): a start resumes its memory and boots nothing"),
        ));
    }
    if all.is_empty() {
        all.push(Gate::new("stop", GateState::Ok, "nothing that is known forbids a stop and a start"));
    }
    if state == "running" {
        all.extend(while_it_runs(facts));
    }
    let said = |text: &str| Gate::new("watched", GateState::Warn, text);
    all.extend(WATCHED.iter().filter(|(tag, _)| instance.tags.contains_key(*tag)).map(|(_, text)| said(text)));
    let platform = PLATFORMS.iter().find(|(start, _)| instance.tags.keys().any(|tag| tag.starts_with(start)));
    all.extend(
        platform.map(|(_, name)| said(&format!("{name} may replace a node that stops: replacing it is the usual way"))),
    );
    all
}

/// What a running instance loses by a stop, and what is not known about it.
fn while_it_runs(facts: &Facts) -> Vec<Gate> {
    let Some(instance) = facts.instance() else { return Vec::new() };
    let mut all = Vec::new();
    all.extend(stop_protection(facts));
    if instance.lifecycle.as_deref() == Some("spot") && !facts.host.spot.is_known() {
        all.push(Gate::new(
            "spot",
            GateState::Warn,
            "a Spot Instance: only one of a persistent request can be stopped, and it may not start again for want of capacity",
        ));
    }
    all.extend(address(facts, &facts.prepared.elastic));
    all.extend(local_disks(facts));
    if instance.hibernation {
        all.push(Gate::new(
            "hibernation",
            GateState::Ok,
            "hibernation is on for it; it is stopped plainly, so that it boots afresh",
        ));
    }
    all.push(Gate::new(
        "capacity",
        GateState::Warn,
        "where the zone has no capacity for its type at that moment, it stays stopped until there is some (InsufficientInstanceCapacity)",
    ));
    all
}

/// Said where it is not known whether stop protection is on.
pub(super) fn stop_protection(facts: &Facts) -> Option<Gate> {
    let protected = &facts.host.stop_protected;
    let why = protected.why_not().map_or_else(|| "it was not asked".to_owned(), |w| w.text());
    let text = format!("cannot tell whether stop protection is on: {why}");
    (!protected.is_known()).then(|| Gate::new("stop-protection", GateState::Warn, text))
}

/// What a stop does to the public address; `elastic` is whether that is an Elastic IP. `None` without an address.
pub(super) fn address(facts: &Facts, elastic: &Fact<bool>) -> Option<Gate> {
    let address = facts.instance()?.public_ip?;
    Some(match elastic.value() {
        Some(true) => Gate::new("address", GateState::Ok, format!("{address} is an Elastic IP and stays")),
        Some(false) => Gate::new(
            "address",
            GateState::Warn,
            format!(
                "{address} is not an Elastic IP: the instance gets another public address, and DNS records, known_hosts and allow-lists that name it must follow"
            ),
        ),
        None => Gate::new(
            "address",
            GateState::Warn,
            format!("cannot tell whether {address} is an Elastic IP: else it changes with the stop"),
        ),
    })
}

/// What a stop does to local disks; `None` where there are none.
pub(super) fn local_disks(facts: &Facts) -> Option<Gate> {
    let text = match facts.host.machine.value() {
        Some(machine) if machine.instance_storage => {
            format!("{} has local disks: what lies on them is lost by a stop", machine.name)
        }
        Some(_) => return None,
        None => "cannot tell whether it has local disks, whose data a stop loses".to_owned(),
    };
    Some(Gate::new("local-disks", GateState::Warn, text))
}
