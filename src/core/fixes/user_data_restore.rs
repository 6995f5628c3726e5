//! `user-data-restore`: puts the user data back that a repair had saved.

use super::stop::{Power, around, plainly};
use super::user_data_repair::{PERMISSIONS, Steps, state};
use crate::core::facts::Facts;
use crate::core::facts::prepared::{SavedUserData, UserDataState};
use crate::core::facts::wire::Answer;
use crate::core::plan::{Choices, Consent, Gate, GateState, Plan, Risk, Step};
use crate::core::text::shell_quote;

/// Plans to stop the instance, put the saved user data back, and start it if it ran. Fails with one sentence where
/// the instance or its user data of now are not known.
pub fn plan(facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    let instance = facts.instance().ok_or("the instance is not known: its user data cannot be set")?;
    let state = state(facts)?;
    let mut plan = Plan {
        risk: Risk::High,
        downtime: instance.state == "running",
        consent: Consent::Type(instance.id.clone()),
        permissions: PERMISSIONS.iter().filter(|p| !p.contains("Console")).map(|p| (*p).to_owned()).collect(),
        account: facts.account(),
        ..Plan::new("user-data-restore", "put the saved user data back", instance.id.clone(), instance.label())
    };
    if let (None, Some(back)) = (&state.saved, &state.taken_back) {
        plan.gates = vec![taken_back(state, back)];
        if plan.refused().is_none() {
            plan.title = "nothing to put back: the user data is your own".to_owned();
        }
        return Ok(plan);
    }
    let Some(saved) = &state.saved else {
        let why = format!(
            "no repair in this journal has saved user data of {}; port22 journal lists what was changed",
            instance.id
        );
        plan.gates = vec![Gate::new("saved", GateState::Refuse, why)];
        return Ok(plan);
    };
    plan.title = format!("put the user data back that {} saved", saved.entry);
    if state.sha256 == saved.sha256 {
        plan.title = "nothing to put back: the user data is your own".to_owned();
        plan.gates = vec![Gate::new(
            "needed",
            GateState::Ok,
            format!("the user data is the one that {} saved, byte for byte", saved.entry),
        )];
        return Ok(plan);
    }
    plan.gates.push(if state.repair.as_deref() == Some(&saved.nonce) {
        Gate::new(
            "user-data",
            GateState::Ok,
            format!("the user data is the repair of {}, which did its work", saved.entry),
        )
    } else {
        Gate::new(
            "user-data",
            GateState::Refuse,
            format!(
                "somebody has set other user data since {}, and it is not overwritten; the copy of yours is {}",
                saved.entry, saved.file
            ),
        )
    });
    // A login that works before works afterwards; and what ran runs again.
    plan.promises_login = instance.state == "running" && logs_in(facts);
    if instance.state == "running" {
        plan.verify = vec!["instance-running".to_owned()];
    }
    let ran = instance.state == "running";
    plan.gates.extend(plainly(instance));
    let power = Power { stops: ran, starts: ran, ..Power::default() };
    let (before, after) = around(facts, choices, instance, power).into_plan(&mut plan);
    let mut steps = Steps { region: &instance.region, instance: &instance.id, list: before };
    if ran {
        steps.power(false, true);
    }
    steps.restore(saved.file.clone(), saved.sha256.clone(), saved.nonce.clone());
    if ran {
        steps.power(true, false);
        plan.cost = "a stop and a start: about 5 minutes without the instance".to_owned();
    }
    plan.steps = steps.list;
    plan.steps.extend(after);
    plan.steps.push(Step::look("look at the instance again", format!("port22 diagnose {}", shell_quote(&instance.id))));
    Ok(plan)
}

/// What an undo of the repair has left: it has put the user data back.
fn taken_back(state: &UserDataState, back: &SavedUserData) -> Gate {
    if state.sha256 == back.sha256 {
        let text = format!(
            "the repair {} was taken back: the user data is the one that it had saved, byte for byte",
            back.entry
        );
        return Gate::new("needed", GateState::Ok, text);
    }
    let text = format!(
        "the repair {} was taken back, which put your user data back; somebody has set other user data since, and it is not overwritten; the copy of yours is {}",
        back.entry, back.file
    );
    Gate::new("saved", GateState::Refuse, text)
}

/// Whether the login that the user wants works now.
fn logs_in(facts: &Facts) -> bool {
    facts.wire.offers.iter().any(|offer| offer.answer == Answer::LoggedIn)
}
