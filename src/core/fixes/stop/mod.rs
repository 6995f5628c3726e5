//! What stands around a stop or a start: reasons against it, what it loses, and the steps that make room for it and put
//! things back.
//!
//! The one place that judges this for every fix that stops, starts or reboots an instance. Pure; an unknown fact is
//! said, never taken for "nothing there". Source: EC2 User Guide, "Stop and start Amazon EC2 instances"; Auto Scaling
//! User Guide, "Health checks", "Temporarily remove instances".

mod lost;
mod protection;
mod scaling;
mod start;

use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::plan::{Choice, Choices, Gate, GateState, Plan, Step};
use crate::core::rules::gates::root_is_gone;

/// What goes around a stop.
#[derive(Debug, Default)]
pub struct Around {
    /// Gates.
    pub gates: Vec<Gate>,
    /// What the user may choose.
    pub choices: Vec<Choice>,
    /// Steps before the first stop.
    pub before: Vec<Step>,
    /// Steps after the last start, the last obstacle first.
    pub after: Vec<Step>,
    /// IAM actions of these steps.
    pub permissions: Vec<String>,
}

/// What a plan does with the power of an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Power {
    /// It stops the instance, at once or in between.
    pub stops: bool,
    /// It leaves the instance running.
    pub starts: bool,
    /// An undo of the plan that came to its end stops the instance: what was put back by then must make room again.
    pub undo_stops: bool,
    /// It attaches a root volume before it starts the instance.
    pub brings_root: bool,
}

impl Around {
    fn gate(&mut self, id: &str, state: GateState, why: impl Into<String>) {
        self.gates.push(Gate::new(id, state, why));
    }

    fn allow(&mut self, actions: &[&str]) {
        self.permissions.extend(actions.iter().map(|a| (*a).to_owned()));
    }

    /// Puts gates, choices and permissions into a plan; the steps that go before and after are given back.
    pub fn into_plan(self, plan: &mut Plan) -> (Vec<Step>, Vec<Step>) {
        plan.gates.extend(self.gates);
        plan.choices.extend(self.choices);
        let new = self.permissions.into_iter().filter(|p| !plan.permissions.contains(p)).collect::<Vec<_>>();
        plan.permissions.extend(new);
        (self.before, self.after)
    }
}

/// Everything around what a plan does with the power of an instance. Needs `prepared.power` and
/// `prepared.net.addresses`.
pub fn around(facts: &Facts, choices: &Choices, instance: &Instance, power: Power) -> Around {
    let mut out = Around::default();
    managed(&mut out, instance);
    let runs = instance.state == "running";
    if !runs && instance.state != "stopped" {
        let why = match instance.state.as_str() {
            "terminated" | "shutting-down" => "the instance is terminated".to_owned(),
            other => format!("the instance is {other}: wait until it runs or stands"),
        };
        out.gate("state", GateState::Refuse, why);
        return out;
    }
    if instance.root_device_type.as_deref() == Some("instance-store") {
        out.gate(
            "root",
            GateState::Refuse,
            "its root is on instance store: it cannot be stopped, only rebooted or terminated",
        );
    }
    if power.starts && !power.brings_root {
        out.gates.extend(rootless(facts, instance));
        out.gates.extend(hibernated(instance));
    }
    let cycles = runs && power.stops;
    if cycles {
        spot(&mut out, facts, instance);
    }
    if power.stops || power.undo_stops {
        protection::judge(&mut out, facts, choices, instance, power);
    }
    if power.stops || power.starts {
        let need = scaling::Need::Must { undo_stops: power.undo_stops };
        scaling::judge(&mut out, facts, choices, instance, need);
    }
    if cycles {
        lost::disks(&mut out, facts, instance);
        lost::address(&mut out, facts, instance);
        lost::shutdown(&mut out, facts);
        events(&mut out, facts, true);
    } else if !runs && power.starts {
        out.gates.extend(start::gates(facts, instance));
    }
    if power.starts || cycles {
        let zone = facts.aws.subnet.value().and_then(|s| s.zone.clone()).unwrap_or_else(|| "its zone".to_owned());
        out.gate(
            "capacity",
            GateState::Warn,
            format!(
                "AWS may lack capacity for {} in {zone} at the start: then the instance stays stopped",
                instance.instance_type
            ),
        );
    }
    out
}

/// Everything around a start of a stopped instance, and nothing else. Needs `prepared.power` and
/// `prepared.net.addresses`.
pub fn around_start(facts: &Facts, instance: &Instance) -> Around {
    let mut out = Around::default();
    managed(&mut out, instance);
    out.gates.extend(rootless(facts, instance));
    out.gates.extend(start::group(facts));
    out.gates.extend(start::gates(facts, instance));
    out
}

/// Everything around a reboot of a running instance. Needs `prepared.power`.
pub fn around_reboot(facts: &Facts, choices: &Choices, instance: &Instance) -> Around {
    let mut out = Around::default();
    managed(&mut out, instance);
    scaling::judge(&mut out, facts, choices, instance, scaling::Need::May);
    events(&mut out, facts, false);
    out
}

/// Said where an instance may hibernate, and a fix must have a boot.
pub fn plainly(instance: &Instance) -> Option<Gate> {
    let why = "hibernation is on for it; it is stopped plainly, so that it boots afresh";
    (instance.hibernation && instance.state == "running").then(|| Gate::new("hibernation", GateState::Ok, why))
}

/// Why an instance that hibernates can be neither booted afresh nor have its disk changed.
pub fn hibernated(instance: &Instance) -> Option<Gate> {
    let reason = instance.state_reason.as_deref().filter(|r| r.contains("UserInitiatedHibernate"))?;
    (instance.state == "stopped").then(|| {
        let why = format!(
            "it hibernates ({reason}): a start resumes its memory and boots nothing, and a disk that was changed meanwhile would be damaged; start it, and stop it plainly"
        );
        Gate::new("hibernated", GateState::Refuse, why)
    })
}

/// Why an instance without its root cannot be started.
pub fn rootless(facts: &Facts, instance: &Instance) -> Option<Gate> {
    let device = instance.root_device_name.as_deref().unwrap_or("its root device name");
    root_is_gone(facts).then(|| {
        let why = format!(
            "no volume is attached at {device}, and AWS starts no instance without its root: attach it there first (root-volume-detached)"
        );
        Gate::new("root", GateState::Refuse, why)
    })
}

/// Tags of those who watch over an instance, by their beginnings: who, and what is to be said.
const WATCHED: &[(&str, &str)] = &[
    ("aws:elasticmapreduce:", "it is a node of an EMR cluster, which replaces nodes that stop"),
    (
        "elasticbeanstalk:environment-id",
        "it belongs to an Elastic Beanstalk environment, which replaces instances that stop",
    ),
    ("aws:ec2:fleet-id", "its fleet may replace it when it stops"),
    ("eks:", "it is a node of an EKS cluster: replacing the node is mostly better than repairing it"),
    ("aws:eks:", "it is a node of an EKS cluster: replacing the node is mostly better than repairing it"),
    ("karpenter.sh/", "it is a node of Karpenter: replacing the node is mostly better than repairing it"),
    (
        "kubernetes.io/cluster/",
        "it is a node of a Kubernetes cluster: replacing the node is mostly better than repairing it",
    ),
    ("aws:ecs", "it is a container instance of ECS: replacing it is mostly better than repairing it"),
];

/// Refuses an instance that a service manages, and names those who watch over it.
fn managed(out: &mut Around, instance: &Instance) {
    if let Some(service) = &instance.managed_by {
        out.gate(
            "managed",
            GateState::Refuse,
            format!("{service} manages the instance, and AWS refuses changes by others"),
        );
    }
    // One is enough: such tags come in families.
    let owner = WATCHED.iter().find(|(start, _)| instance.tags.keys().any(|tag| tag.starts_with(start)));
    if let Some((_, why)) = owner {
        out.gate("managed", GateState::Warn, *why);
    }
}

/// Whether a running Spot Instance can be stopped.
fn spot(out: &mut Around, facts: &Facts, instance: &Instance) {
    if instance.lifecycle.as_deref() != Some("spot") {
        return;
    }
    match &facts.prepared.power.spot {
        spot if spot.is_known() => match spot.value().and_then(Option::as_ref) {
            Some(request) if request.kind == "persistent" => {
                out.gate(
                    "spot",
                    GateState::Warn,
                    "a persistent Spot Instance: it starts again only while there is Spot capacity at its price",
                );
            }
            Some(_) => out.gate("spot", GateState::Refuse, "a one-time Spot Instance cannot be stopped"),
            None => {
                out.gate("spot", GateState::Refuse, "a Spot Instance without a persistent request cannot be stopped");
            }
        },
        spot => {
            let why = spot.why_not().map_or_else(|| "it was not read".to_owned(), |w| w.text());
            out.gate(
                "spot",
                GateState::Warn,
                format!(
                    "cannot tell whether its Spot request is persistent ({why}): AWS refuses to stop a one-time one"
                ),
            );
        }
    }
}

/// Events that AWS has planned for the host.
fn events(out: &mut Around, facts: &Facts, moves: bool) {
    let past = |text: &str| text.starts_with("[Completed]") || text.starts_with("[Canceled]");
    let planned = facts.aws.status.value().into_iter().flat_map(|s| &s.events);
    for (code, text, _) in planned.filter(|(_, text, _)| !past(text)) {
        let (state, why) = match (moves, code.as_str()) {
            (true, _) => {
                (GateState::Ok, format!("the instance moves to another host, which settles the event {code} ({text})"))
            }
            (false, "instance-reboot") => (GateState::Ok, format!("a reboot settles the event {code} ({text})")),
            (false, _) => (
                GateState::Warn,
                format!("AWS has planned {code} ({text}): a reboot stays on this host, a stop and start moves"),
            ),
        };
        out.gate("event", state, why);
    }
}
