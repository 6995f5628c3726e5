//! An instance that stands without its root volume: an earlier rescue stopped half-way. The volume is put back.
//!
//! Must not attach a volume of which only likelihood says that it was the root, unless the user names it.

use super::{FIX, Words, swap::kept};
use crate::core::facts::Facts;
use crate::core::facts::prepared::{LostRoot, Rescue};
use crate::core::fixes::stop::Around;
use crate::core::plan::volume::{Put, Spot, VolumeAction};
use crate::core::plan::{Choice, Choices, Consent, Gate, GateState, Plan, Risk, Step};
use crate::core::text::shell_quote;

/// IAM actions.
const PERMISSIONS: &[&str] = &[
    "ec2:AttachVolume",
    "ec2:DeleteTags",
    "ec2:DescribeImages",
    "ec2:DescribeInstances",
    "ec2:DescribeVolumes",
    "ec2:DetachVolume",
    "ec2:ModifyInstanceAttribute",
    "ec2:StartInstances",
    "ec2:StopInstances",
];

/// Plans to attach the lost root again, and to start.
pub(super) fn plan(
    facts: &Facts,
    choices: &Choices,
    ground: &Rescue,
    spot: &Spot,
    around: Around,
) -> Result<Plan, String> {
    let instance = facts.instance().ok_or("the instance is not known")?;
    let lost = ground.lost.value().ok_or_else(|| match ground.lost.why_not() {
        Some(why) => format!("cannot look for the volume that was the root: {}", why.text()),
        None => "nobody looked for the volume that was the root".to_owned(),
    })?;
    let mut plan = Plan {
        risk: Risk::High,
        verify: vec!["root-volume".to_owned()],
        consent: Consent::Type(instance.id.clone()),
        account: facts.account(),
        permissions: PERMISSIONS.iter().map(|p| (*p).to_owned()).collect(),
        downtime: true,
        ..Plan::new(
            FIX,
            format!("attach the root volume of {} again", instance.label()),
            instance.id.clone(),
            instance.label(),
        )
    };
    let named = choices.get("volume").and_then(|id| lost.iter().find(|v| v.id == *id));
    let sure: Vec<&LostRoot> = lost.iter().filter(|v| v.sure).collect();
    let volume = match (named, sure.as_slice()) {
        (Some(volume), _) => volume,
        (None, [one]) => *one,
        (None, none_or_many) => {
            plan.gates.push(Gate::new("volume", GateState::Refuse, doubt(lost, none_or_many.len(), &ground.zone)));
            return Ok(plan);
        }
    };
    if lost.len() > 1 || choices.contains_key("volume") {
        let mut all: Vec<&LostRoot> = vec![volume];
        all.extend(lost.iter().filter(|v| v.id != volume.id));
        let texts: Vec<String> = all.iter().map(|v| words(v)).collect();
        let options: Vec<(&str, &str)> = all.iter().zip(&texts).map(|(v, t)| (v.id.as_str(), t.as_str())).collect();
        plan.choices.push(Choice::new("volume", "which volume was the root?", &options, choices));
    }
    let state = if volume.sure { GateState::Ok } else { GateState::Warn };
    plan.gates.push(Gate::new("volume", state, words(volume)));
    if let Some((holder, _)) = &volume.holder {
        plan.gates.push(Gate::new(
            "holder",
            GateState::Warn,
            format!("{holder} has it now: whatever is at work on it there must be at its end, and the disk not mounted; else it does not let go"),
        ));
    }
    plan.title = format!("attach {} to {} again as {}, and start it", volume.id, instance.label(), spot.device);
    let (before, after) = around.into_plan(&mut plan);
    plan.steps.extend(before);
    steps(&mut plan, &instance.region, volume, spot);
    plan.steps.extend(after);
    plan.steps.push(Step::look("run the diagnosis again", format!("port22 diagnose {}", shell_quote(&instance.id))));
    Ok(plan)
}

fn steps(plan: &mut Plan, region: &str, volume: &LostRoot, spot: &Spot) {
    let words = Words { region };
    let holder =
        volume.holder.as_ref().map(|(instance, device)| Spot { instance: instance.clone(), device: device.clone() });
    let from: Vec<String> = holder.iter().map(|h| h.instance.clone()).collect();
    let back = Put {
        region: region.to_owned(),
        volume: volume.id.clone(),
        to: holder.clone(),
        from: vec![spot.instance.clone()],
        delete_with: None,
        stop: Some(spot.instance.clone()),
        back: None,
    };
    let detach = if holder.is_some() { format!("{} && ", words.detach(&volume.id)) } else { String::new() };
    plan.steps.push(Step::deed(
        format!(
            "{}attach {} to {} as exactly {}, and {}",
            holder.as_ref().map_or_else(String::new, |h| format!("detach it from {}, ", h.instance)),
            volume.id,
            spot.instance,
            spot.device,
            kept(true)
        ),
        format!("{detach}{} && {}", words.attach(&volume.id, spot), words.delete_with(spot, true)),
        Some(holder.as_ref().map_or_else(
            || words.detach(&volume.id),
            |h| format!("{} && {}", words.detach(&volume.id), words.attach(&volume.id, h)),
        )),
        VolumeAction::Put(Put {
            region: region.to_owned(),
            volume: volume.id.clone(),
            to: Some(spot.clone()),
            from,
            // As images have it for the root unless they say otherwise.
            delete_with: Some(true),
            stop: None,
            back: Some(Box::new(back)),
        }),
    ));
    plan.steps.push(Step::deed(
        "start the instance and wait until it runs",
        words.power(&spot.instance, true),
        Some(words.power(&spot.instance, false)),
        VolumeAction::Power { region: region.to_owned(), instance: spot.instance.clone(), up: true, back: true },
    ));
}

/// A volume and why it is thought to be the root.
fn words(volume: &LostRoot) -> String {
    let place =
        volume.holder.as_ref().map_or_else(|| "attached to nothing".to_owned(), |(i, d)| format!("at {i} as {d}"));
    format!("{}, {} GiB, {place}: {}", volume.id, volume.size, volume.because.join(", "))
}

fn doubt(lost: &[LostRoot], sure: usize, zone: &str) -> String {
    if lost.is_empty() {
        return format!(
            "no volume in {zone} looks like the root that is gone: it may be deleted; make one of a snapshot"
        );
    }
    let all: Vec<String> = lost.iter().map(words).collect();
    let why = if sure > 1 {
        "more than one volume may have been the root"
    } else {
        "no volume is surely the root that is gone"
    };
    format!("{why}; name it by --choose volume=VOLUME: {}", all.join("; "))
}
