//! Start, stop, reboot.

use std::time::Instant;

use super::instances::check_ids;
use super::params::Params;
use super::{Outcome, Problem};
use crate::lab::world::{Root, State, World};
use crate::lab::xml::Xml;

fn targets(world: &World, params: &Params, dry: bool) -> Result<Vec<String>, Problem> {
    let ids = params.list("InstanceId");
    if ids.is_empty() {
        return Err(Problem::new("MissingParameter", "The request must contain the parameter InstanceId"));
    }
    check_ids(world, &ids)?;
    if dry { Err(Problem::dry_run()) } else { Ok(ids) }
}

fn wrong_state(id: &str, what: &str) -> Problem {
    Problem::new(
        "IncorrectInstanceState",
        format!("The instance '{id}' is not in a state from which it can be {what}."),
    )
}

pub(super) fn write_change(xml: &mut Xml, changes: &[(String, State, State)]) {
    xml.list("instancesSet", changes, |xml, (id, before, after)| {
        xml.put("instanceId", id);
        for (element, state) in [("currentState", after), ("previousState", before)] {
            let (code, name) = state.words();
            xml.group(element, |xml| {
                xml.put("code", code).put("name", name);
            });
        }
    });
}

pub(super) fn state(world: &World, id: &str) -> State {
    world.instance(id).map_or(State::Terminated, |instance| instance.state)
}

pub(super) fn start(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let ids = targets(world, params, dry)?;
    if let Some(bad) = ids.iter().find(|id| matches!(state(world, id), State::Stopping(_) | State::Terminated)) {
        return Err(wrong_state(bad, "started"));
    }
    for id in &ids {
        let Some(instance) = world.instance(id).filter(|instance| instance.state == State::Stopped) else {
            continue;
        };
        let stopped_by_spot =
            |status: &str| status.starts_with("instance-stopped-") && status != "instance-stopped-by-user";
        if instance.machine.spot.as_ref().is_some_and(|spot| stopped_by_spot(&spot.status)) {
            let message = format!(
                "You can't start the Spot Instance '{id}' because the associated Spot Instance request is not in an appropriate state to support start."
            );
            return Err(Problem::new("IncorrectSpotRequestState", message));
        }
        if instance.root != Root::Attached {
            let device = super::machine::device(world, instance);
            let message = format!(
                "Invalid value '{id}' for instanceId. Instance does not have a volume attached at root ({device})"
            );
            return Err(Problem::new("IncorrectInstanceState", message));
        }
    }
    let mut changes = Vec::new();
    for id in ids {
        let before = state(world, &id);
        if before == State::Stopped {
            world.start(&id, Instant::now());
        }
        let after = state(world, &id);
        changes.push((id, before, after));
    }
    write_change(xml, &changes);
    Ok(())
}

pub(super) fn stop(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let ids = targets(world, params, dry)?;
    if let Some(bad) = ids.iter().find(|id| state(world, id) == State::Terminated) {
        return Err(wrong_state(bad, "stopped"));
    }
    for id in &ids {
        let Some(instance) = world.instance(id) else {
            continue;
        };
        if params.flag("Hibernate") && !instance.machine.hibernation {
            let message = format!("The instance '{id}' is not enabled for hibernation.");
            return Err(Problem::new("UnsupportedHibernationConfiguration", message));
        }
        if instance.machine.stop_protected {
            let message = format!(
                "The instance '{id}' may not be stopped. Modify its 'disableApiStop' instance attribute and try again."
            );
            return Err(Problem::new("OperationNotPermitted", message));
        }
        if instance.machine.spot.as_ref().is_some_and(|spot| spot.kind == "one-time") {
            let message = format!(
                "You can't stop the Spot Instance '{id}' because it is associated with a one-time Spot Instance request. You can only stop Spot Instances associated with persistent Spot Instance requests."
            );
            return Err(Problem::new("UnsupportedOperation", message));
        }
    }
    let mut changes = Vec::new();
    for id in ids {
        let before = state(world, &id);
        if matches!(before, State::Running | State::Pending(_)) {
            world.stop(&id, params.flag("Hibernate"), Instant::now());
        }
        let after = state(world, &id);
        changes.push((id, before, after));
    }
    write_change(xml, &changes);
    Ok(())
}

pub(super) fn reboot(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let ids = targets(world, params, dry)?;
    if let Some(bad) = ids.iter().find(|id| state(world, id) != State::Running) {
        return Err(wrong_state(bad, "rebooted"));
    }
    for id in ids {
        world.reboot(&id, Instant::now());
    }
    xml.put("return", true);
    Ok(())
}
