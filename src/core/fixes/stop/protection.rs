//! Stop protection: lifted for a stop and set again, where the user wants it so.

use super::{Around, Power};
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::plan::{Choice, Choices, GateState, PowerAction, Step};

/// Whether it is on, and whether the user wants it lifted meanwhile.
pub(super) fn judge(out: &mut Around, facts: &Facts, choices: &Choices, instance: &Instance, power: Power) {
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
        // The plan itself stops nothing.
        Some(true) if !power.stops => out.gate(
            "stop-protection",
            GateState::Warn,
            "stop protection is on: an undo could not stop the instance again before its owner lifts it",
        ),
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
                out.before.push(protect(instance, false, false, false));
                out.after.insert(0, protect(instance, true, true, power.undo_stops));
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

fn protect(instance: &Instance, on: bool, back: bool, reopens: bool) -> Step {
    let (region, id) = (instance.region.clone(), instance.id.clone());
    let command = |on: bool| {
        let flag = if on { "--disable-api-stop" } else { "--no-disable-api-stop" };
        format!("aws ec2 modify-instance-attribute --region {region} --instance-id {id} {flag}")
    };
    Step::deed(
        if on { "set stop protection again" } else { "lift stop protection" },
        command(on),
        (!back || reopens).then(|| command(!on)),
        PowerAction::StopProtection { region: region.clone(), instance: id.clone(), on, back, reopens },
    )
}
