//! The Auto Scaling group of an instance: what it does to a member that stops, and how it is kept from it.

use super::Around;
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::facts::prepared::net::ScalingMember;
use crate::core::fixes::parts::some;
use crate::core::plan::{Choice, Choices, GateState, PowerAction, Step};
use crate::core::text::shell_quote;

/// Processes that would replace a stopped instance, or disturb it (Auto Scaling User Guide, "Suspend-resume processes").
const PROCESSES: [&str; 4] = ["HealthCheck", "ReplaceUnhealthy", "Terminate", "AZRebalance"];

/// How much the group must be kept from its member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// It is stopped: the group surely replaces it if nothing is done.
    Must {
        /// An undo of the ended plan stops it once more.
        undo_stops: bool,
    },
    /// It fails its checks for a moment.
    May,
}

/// The Auto Scaling group, and how it is kept from its member.
pub(super) fn judge(out: &mut Around, facts: &Facts, choices: &Choices, instance: &Instance, need: Need) {
    let must = need != Need::May;
    let reopens = need == Need::Must { undo_stops: true };
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
            serve_again(instance, group, reopens),
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
            let (step, back) = suspend(instance, group, &names, reopens);
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

fn serve_again(instance: &Instance, group: &str, reopens: bool) -> Step {
    let (region, id) = (instance.region.clone(), instance.id.clone());
    let command = format!(
        "aws autoscaling exit-standby --region {region} --instance-ids {id} --auto-scaling-group-name {}",
        shell_quote(group)
    );
    let action = PowerAction::ExitStandby { region, instance: id, group: group.to_owned(), reopens };
    let undo = reopens.then(|| format!("{} --should-decrement-desired-capacity", command.replace("exit-", "enter-")));
    Step::deed(format!("let it serve again in {group}"), command, undo, action)
}

fn suspend(instance: &Instance, group: &str, processes: &[String], reopens: bool) -> (Step, Step) {
    let region = instance.region.clone();
    let place = format!(
        "--region {region} --auto-scaling-group-name {} --scaling-processes {}",
        shell_quote(group),
        processes.join(" ")
    );
    let suspend = format!("aws autoscaling suspend-processes {place}");
    let resume = format!("aws autoscaling resume-processes {place}");
    let (group, processes) = (group.to_owned(), processes.to_vec());
    let step = Step::deed(
        format!("suspend {} of {group}", some(&processes)),
        suspend.clone(),
        Some(resume.clone()),
        PowerAction::SuspendProcesses { region: region.clone(), group: group.clone(), processes: processes.clone() },
    );
    let text = format!("resume {} of {group}", some(&processes));
    let back = Step::deed(
        text,
        resume,
        reopens.then_some(suspend),
        PowerAction::ResumeProcesses { region, group, processes, reopens },
    );
    (step, back)
}
