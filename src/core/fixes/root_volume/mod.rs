//! `root-volume-rescue`: the last resort. The root volume goes to a helper instance, is repaired there and comes back
//! under its recorded name; or a root volume that an earlier attempt lost is put back.
//!
//! Must not guess which volume was the root, and must not hide the cheaper doors that are open.

mod gates;
mod layout;
mod reattach;
mod swap;

use crate::core::facts::Facts;
use crate::core::facts::prepared::Rescue;
use crate::core::fixes::stop::{self, Power};
use crate::core::plan::volume::Spot;
use crate::core::plan::{Choices, Plan};
use crate::core::text::shell_quote;

/// Fix id.
const FIX: &str = "root-volume-rescue";

/// Plans the rescue. Fails with one sentence where instance, volume or zone are not known.
pub fn plan(facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    let instance = facts.instance().ok_or("the instance is not known: its root volume cannot be moved")?;
    let ground = facts.prepared.rescue.value().ok_or_else(|| match facts.prepared.rescue.why_not() {
        Some(why) => format!("the root volume could not be looked at: {}", why.text()),
        None => "the root volume was not looked at".to_owned(),
    })?;
    let ran = instance.state == "running";
    let power = match &ground.root {
        Some(_) => Power { stops: ran, starts: true, undo_stops: !ran, brings_root: false },
        None => Power { stops: false, starts: true, undo_stops: true, brings_root: true },
    };
    let around = stop::around(facts, choices, instance, power);
    if let Some(plan) = gates::hopeless(facts, ground, &around) {
        return Ok(plan);
    }
    let device = instance.root_device_name.as_deref().ok_or("AWS does not tell the instance's root device name")?;
    let spot = Spot { instance: instance.id.clone(), device: device.to_owned() };
    match &ground.root {
        Some(root) => swap::plan(facts, choices, ground, root, &spot, around),
        None if instance.state == "stopped" => reattach::plan(facts, choices, ground, &spot, around),
        None => Err(format!("AWS shows no volume as {device}, and the instance is {}", instance.state)),
    }
}

/// Names of an instance's place in commands.
struct Words<'a> {
    region: &'a str,
}

impl Words<'_> {
    fn ec2(&self, rest: &str) -> String {
        format!("aws ec2 {rest} --region {}", shell_quote(self.region))
    }

    fn power(&self, instance: &str, up: bool) -> String {
        let (verb, state) = if up { ("start", "running") } else { ("stop", "stopped") };
        format!(
            "{} && {}",
            self.ec2(&format!("{verb}-instances --instance-ids {instance}")),
            self.ec2(&format!("wait instance-{state} --instance-ids {instance}"))
        )
    }

    fn detach(&self, volume: &str) -> String {
        format!(
            "{} && {}",
            self.ec2(&format!("detach-volume --volume-id {volume}")),
            self.ec2(&format!("wait volume-available --volume-ids {volume}"))
        )
    }

    fn attach(&self, volume: &str, spot: &Spot) -> String {
        format!(
            "{} && {}",
            self.ec2(&format!(
                "attach-volume --volume-id {volume} --instance-id {} --device {}",
                spot.instance,
                shell_quote(&spot.device)
            )),
            self.ec2(&format!("wait volume-in-use --volume-ids {volume}"))
        )
    }

    fn delete_with(&self, spot: &Spot, on: bool) -> String {
        let mapping = format!("DeviceName={},Ebs={{DeleteOnTermination={on}}}", spot.device);
        self.ec2(&format!(
            "modify-instance-attribute --instance-id {} --block-device-mappings {}",
            spot.instance,
            shell_quote(&mapping)
        ))
    }
}

/// GiB and key of a volume, in words.
fn size(ground: &Rescue) -> i32 {
    ground.root.as_ref().map_or(0, |r| r.size)
}

#[cfg(test)]
mod tests;
