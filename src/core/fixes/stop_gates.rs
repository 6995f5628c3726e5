//! What stands around a stop: reasons against it, and the steps that make room for it and put things back.
//!
//! Shared by the fixes that stop an instance. Pure; an unknown fact is said, never taken for "nothing there".

use super::parts::some;
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::facts::prepared::net::ScalingMember;
use crate::core::plan::{Choice, Choices, Gate, GateState, PowerAction, Step};
use crate::core::text::shell_quote;

/// Processes that would replace a stopped instance, or disturb it (Auto Scaling User Guide, "Suspend-resume processes").
const PROCESSES: [&str; 4] = ["HealthCheck", "ReplaceUnhealthy", "Terminate", "AZRebalance"];

/// What goes around a stop.
#[derive(Debug, Default)]
pub struct Around {
    /// Gates.
    pub gates: Vec<Gate>,
    /// What the user may choose.
    pub choices: Vec<Choice>,
    /// Steps before the stop.
    pub before: Vec<Step>,
    /// Steps after the start, the last obstacle first.
    pub after: Vec<Step>,
    /// IAM actions of these steps.
    pub permissions: Vec<String>,
}

impl Around {
    fn gate(&mut self, id: &str, state: GateState, why: impl Into<String>) {
        self.gates.push(Gate::new(id, state, why));
    }

    fn allow(&mut self, actions: &[&str]) {
        self.permissions.extend(actions.iter().map(|a| (*a).to_owned()));
    }
}

/// Everything around a stop and start of a running instance. Needs `prepared.power` and `prepared.net.addresses`.
pub fn around_stop(facts: &Facts, choices: &Choices, instance: &Instance) -> Around {
    let mut out = Around::default();
    forbidden(&mut out, facts, instance);
    protection(&mut out, facts, choices, instance);
    scaling(&mut out, facts, choices, instance, true);
    lost(&mut out, facts, instance);
    address(&mut out, facts, instance);
    let zone = facts.aws.subnet.value().and_then(|s| s.zone.clone()).unwrap_or_else(|| "its zone".to_owned());
    out.gate(
        "capacity",
        GateState::Warn,
        format!(
            "AWS may lack capacity for {} in {zone} at the start: then the instance stays stopped",
            instance.instance_type
        ),
    );
    events(&mut out, facts, true);
    out
}

/// Everything around a reboot of a running instance. Needs `prepared.power`.
pub fn around_reboot(facts: &Facts, choices: &Choices, instance: &Instance) -> Around {
    let mut out = Around::default();
    managed(&mut out, instance);
    scaling(&mut out, facts, choices, instance, false);
    events(&mut out, facts, false);
    out
}

/// Refuses an instance that a service manages, and names those that run on top of one.
pub fn managed(out: &mut Around, instance: &Instance) {
    if let Some(service) = &instance.managed_by {
        out.gate(
            "managed",
            GateState::Refuse,
            format!("{service} manages the instance, and AWS refuses changes by others"),
        );
    }
    let owner = instance.tags.keys().find_map(|key| match key.as_str() {
        "aws:elasticmapreduce:job-flow-id" => Some("an EMR cluster"),
        "elasticbeanstalk:environment-id" => Some("an Elastic Beanstalk environment"),
        "eks:cluster-name" | "aws:eks:cluster-name" => Some("an EKS cluster"),
        key if key.starts_with("karpenter.sh/") => Some("Karpenter"),
        key if key.starts_with("kubernetes.io/cluster/") => Some("a Kubernetes cluster"),
        _ => None,
    });
    if let Some(owner) = owner {
        out.gate(
            "managed",
            GateState::Warn,
            format!("it is a node of {owner}: replacing the node is mostly better than repairing it"),
        );
    }
}

fn forbidden(out: &mut Around, facts: &Facts, instance: &Instance) {
    managed(out, instance);
    if instance.root_device_type.as_deref() == Some("instance-store") {
        out.gate(
            "root",
            GateState::Refuse,
            "its root is on instance store: it cannot be stopped, only rebooted or terminated",
        );
    }
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

fn protection(out: &mut Around, facts: &Facts, choices: &Choices, instance: &Instance) {
    let known = &facts.prepared.power.stop_protected;
    match known.value() {
        Some(false) => out.gate("stop-protection", GateState::Ok, "stop protection is off"),
        None => {
            let why = known.why_not().map_or_else(|| "it was not read".to_owned(), |w| w.text());
            out.gate(
                "stop-protection",
                GateState::Warn,
                format!("cannot tell whether stop protection is on ({why}): AWS refuses the stop if it is"),
            );
        }
        Some(true) => {
            let options = [
                ("keep", "leave it on: then the instance cannot be stopped"),
                ("lift", "switch it off for the stop, and on again after the start"),
            ];
            let choice = Choice::new("stop-protection", "Stop protection is on", &options, choices);
            if choice.chosen == "lift" {
                out.gate(
                    "stop-protection",
                    GateState::Warn,
                    "stop protection is on: somebody set it on purpose; it is lifted and set again",
                );
                out.before.push(protect(instance, false, false));
                out.after.insert(0, protect(instance, true, true));
                out.allow(&["ec2:ModifyInstanceAttribute", "ec2:DescribeInstanceAttribute"]);
            } else {
                out.gate(
                    "stop-protection",
                    GateState::Refuse,
                    "stop protection is on: ask its owner, then choose stop-protection=lift",
                );
            }
            out.choices.push(choice);
        }
    }
}

fn protect(instance: &Instance, on: bool, back: bool) -> Step {
    let (region, id) = (instance.region.clone(), instance.id.clone());
    let command = |on: bool| {
        let flag = if on { "--disable-api-stop" } else { "--no-disable-api-stop" };
        format!("aws ec2 modify-instance-attribute --region {region} --instance-id {id} {flag}")
    };
    Step::deed(
        if on { "set stop protection again" } else { "lift stop protection" },
        command(on),
        (!back).then(|| command(!on)),
        PowerAction::StopProtection { region: region.clone(), instance: id.clone(), on, back },
    )
}

/// The Auto Scaling group. `must` is whether the group surely replaces the instance if nothing is done.
fn scaling(out: &mut Around, facts: &Facts, choices: &Choices, instance: &Instance, must: bool) {
    let tag = instance.tags.get("aws:autoscaling:groupName");
    let known = &facts.prepared.power.scaling;
    let member = match (known.value(), tag) {
        (Some(Some(member)), _) => member,
        (Some(None), _) => return out.gate("scaling", GateState::Ok, "it is in no Auto Scaling group"),
        (None, Some(group)) => {
            let state = if must { GateState::Refuse } else { GateState::Warn };
            let why = known.why_not().map_or_else(|| "its state there was not read".to_owned(), |w| w.text());
            return out.gate(
                "scaling",
                state,
                format!(
                    "its tag names the Auto Scaling group {group}, which replaces members that are unhealthy; {why}"
                ),
            );
        }
        (None, None) => {
            return out.gate("scaling", GateState::Ok, "no tag of an Auto Scaling group (AWS sets it on every member)");
        }
    };
    let group = &member.group;
    match member.lifecycle.as_str() {
        "Standby" => {
            return out.gate("scaling", GateState::Ok, format!("it is in standby in {group}, which leaves it alone"));
        }
        "InService" => {}
        other => {
            let why = format!(
                "it is {other} in the Auto Scaling group {group}, which is about to do something with it: wait, or replace it"
            );
            return out.gate("scaling", GateState::Refuse, why);
        }
    }
    let (options, note) = ways(member, must);
    let words: Vec<(&str, &str)> = options.iter().map(|(id, text)| (*id, text.as_str())).collect();
    let choice = Choice::new("scaling", format!("It serves in the Auto Scaling group {group}"), &words, choices);
    let does = if must {
        "terminates and replaces a stopped member"
    } else {
        "may replace a member that fails its checks meanwhile"
    };
    let (step, back, actions) = match choice.chosen.as_str() {
        "standby" => (
            standby(instance, group),
            serve_again(instance, group),
            ["autoscaling:EnterStandby", "autoscaling:ExitStandby"],
        ),
        "suspend" => {
            let names: Vec<String> = PROCESSES
                .iter()
                .filter(|p| !member.suspended.iter().any(|s| s == *p))
                .map(|p| (*p).to_owned())
                .collect();
            if names.is_empty() {
                out.choices.push(choice);
                return out.gate("scaling", GateState::Ok, format!("{group} has its processes suspended already"));
            }
            let (step, back) = suspend(instance, group, &names);
            (step, back, ["autoscaling:SuspendProcesses", "autoscaling:ResumeProcesses"])
        }
        _ => {
            out.choices.push(choice);
            return out.gate("scaling", GateState::Warn, format!("{group} {does}"));
        }
    };
    out.gate("scaling", GateState::Warn, format!("{group} {does}: {}{note}", choice.text_of_chosen()));
    out.choices.push(choice);
    out.before.push(step);
    // What was done last before the stop is undone first after the start.
    out.after.insert(0, back);
    out.allow(&actions);
    out.allow(&["autoscaling:DescribeAutoScalingInstances", "autoscaling:DescribeAutoScalingGroups"]);
}

/// The ways to keep a group from replacing its member, the best first, and what is to be said about them.
fn ways(member: &ScalingMember, must: bool) -> (Vec<(&'static str, String)>, String) {
    let suspend =
        ("suspend", "suspend the processes of the group that would replace it, for all its members".to_owned());
    let standby = (
        "standby",
        "put it in standby meanwhile: the group wants one less, and takes it from its load balancers".to_owned(),
    );
    let room = match (member.min, member.desired) {
        (Some(min), Some(desired)) => desired > min,
        // AWS refuses it where there is no room; nothing is changed then.
        _ => true,
    };
    let note = if room {
        String::new()
    } else {
        format!(" (standby is not possible: the group wants {} and must not go below)", member.min.unwrap_or_default())
    };
    let mut out = if room { vec![standby, suspend] } else { vec![suspend] };
    if !must {
        out.insert(0, ("leave", "leave the group as it is".to_owned()));
    }
    (out, note)
}

fn standby(instance: &Instance, group: &str) -> Step {
    let (region, id) = (instance.region.clone(), instance.id.clone());
    let place = format!("--region {region} --instance-ids {id} --auto-scaling-group-name {}", shell_quote(group));
    Step::deed(
        format!("put it in standby in {group}"),
        format!("aws autoscaling enter-standby {place} --should-decrement-desired-capacity"),
        Some(format!("aws autoscaling exit-standby {place}")),
        PowerAction::EnterStandby { region, instance: id, group: group.to_owned() },
    )
}

fn serve_again(instance: &Instance, group: &str) -> Step {
    let (region, id) = (instance.region.clone(), instance.id.clone());
    let command = format!(
        "aws autoscaling exit-standby --region {region} --instance-ids {id} --auto-scaling-group-name {}",
        shell_quote(group)
    );
    let action = PowerAction::ExitStandby { region, instance: id, group: group.to_owned() };
    Step::deed(format!("let it serve again in {group}"), command, None, action)
}

fn suspend(instance: &Instance, group: &str, processes: &[String]) -> (Step, Step) {
    let region = instance.region.clone();
    let place = format!(
        "--region {region} --auto-scaling-group-name {} --scaling-processes {}",
        shell_quote(group),
        processes.join(" ")
    );
    let resume = format!("aws autoscaling resume-processes {place}");
    let (group, processes) = (group.to_owned(), processes.to_vec());
    let step = Step::deed(
        format!("suspend {} of {group}", some(&processes)),
        format!("aws autoscaling suspend-processes {place}"),
        Some(resume.clone()),
        PowerAction::SuspendProcesses { region: region.clone(), group: group.clone(), processes: processes.clone() },
    );
    let text = format!("resume {} of {group}", some(&processes));
    (step, Step::deed(text, resume, None, PowerAction::ResumeProcesses { region, group, processes }))
}

fn lost(out: &mut Around, facts: &Facts, instance: &Instance) {
    let disks = &facts.prepared.power.local_disks;
    match disks.value() {
        Some(all) if all.is_empty() => {}
        Some(all) => out.gate(
            "instance-store",
            GateState::Warn,
            format!("everything on its instance store is lost: {} of {}", all.join(", "), instance.instance_type),
        ),
        None => {
            let why = disks.why_not().map_or_else(|| "the type was not read".to_owned(), |w| w.text());
            out.gate(
                "instance-store",
                GateState::Warn,
                format!(
                    "cannot tell whether {} has instance store, whose data would be lost ({why})",
                    instance.instance_type
                ),
            );
        }
    }
    if instance.instance_type.starts_with("mac") {
        out.gate(
            "mac",
            GateState::Warn,
            "a Mac host is scrubbed after a stop: it cannot be started again for one to three hours",
        );
    }
}

/// What becomes of the public address over a stop.
fn address(out: &mut Around, facts: &Facts, instance: &Instance) {
    let Some(public) = instance.public_ip else { return };
    let addresses = &facts.prepared.net.addresses;
    match addresses.value() {
        Some(all) if all.iter().any(|a| a.address == public) => {
            out.gate("public-address", GateState::Ok, format!("the Elastic IP address {public} stays"));
        }
        known => {
            let doubt =
                if known.is_some() { "" } else { " unless it is an Elastic IP address, which could not be read" };
            let second =
                if instance.interfaces.len() > 1 { ", and with several interfaces AWS may assign none" } else { "" };
            out.gate(
                "public-address",
                GateState::Warn,
                format!("the public address {public} is given back and another one comes{doubt}{second}: Route 53 records, allow-lists and known_hosts entries that hold it go stale (eip-associate first keeps an address)"),
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
