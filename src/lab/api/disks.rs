//! Volumes that are detached, and snapshots.

use std::time::SystemTime;

use super::instances::check_ids;
use super::params::Params;
use super::{Outcome, Problem, write_tags};
use crate::lab::ids::time_text;
use crate::lab::world::{Root, Snapshot, State, World};
use crate::lab::xml::Xml;

fn no_volume(id: &str) -> Problem {
    Problem::new("InvalidVolume.NotFound", format!("The volume '{id}' does not exist."))
}

pub(super) fn detach_volume(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let volume = params.required("VolumeId")?.to_owned();
    let owner = world.instances.iter().find(|known| known.volume == volume).ok_or_else(|| no_volume(&volume))?;
    let (holder, device) = match &owner.root {
        Root::Attached => (owner.id.clone(), super::machine::device(world, owner)),
        Root::At(other, device) => (other.clone(), device.clone()),
        Root::Detached => {
            return Err(Problem::new("IncorrectState", format!("Volume '{volume}' is in the 'available' state.")));
        }
    };
    let wanted = |name: &str, have: &str| params.get(name).is_none_or(|wanted| wanted == have);
    if !wanted("InstanceId", &holder) || !wanted("Device", &device) {
        let message = format!("The volume '{volume}' is not attached to the specified instance and device.");
        return Err(Problem::new("InvalidAttachment.NotFound", message));
    }
    if dry {
        return Err(Problem::dry_run());
    }
    if owner.root == Root::Attached && owner.state != State::Stopped {
        let message = format!("Unable to detach root volume '{volume}' from instance '{holder}'");
        return Err(Problem::new("OperationNotPermitted", message));
    }
    if let Some(owner) = world.instances.iter_mut().find(|known| known.volume == volume) {
        owner.root = Root::Detached;
    }
    xml.put("volumeId", volume)
        .put("instanceId", holder)
        .put("device", device)
        .put("status", "detaching")
        .put("attachTime", time_text(SystemTime::now()));
    Ok(())
}

/// The tags of a request for one kind of resource.
pub(super) fn tags_for(params: &Params, kind: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for number in params.indices("TagSpecification") {
        let base = format!("TagSpecification.{number}");
        if params.get(&format!("{base}.ResourceType")) != Some(kind) {
            continue;
        }
        for at in params.indices(&format!("{base}.Tag")) {
            let part = |name: &str| params.get(&format!("{base}.Tag.{at}.{name}")).unwrap_or_default().to_owned();
            out.push((part("Key"), part("Value")));
        }
    }
    out
}

fn write(world: &World, snapshot: &Snapshot, xml: &mut Xml) {
    let complete = SystemTime::now() >= snapshot.begun + world.transition;
    xml.put("snapshotId", &snapshot.id)
        .put("volumeId", &snapshot.volume)
        .put("status", if complete { "completed" } else { "pending" })
        .put("startTime", time_text(snapshot.begun))
        .put("progress", if complete { "100%" } else { "37%" })
        .put("ownerId", &world.account)
        .put("volumeSize", 8)
        .put("description", &snapshot.description)
        .put("encrypted", false)
        .put("storageTier", "standard");
    write_tags(world, &snapshot.id, xml);
}

pub(super) fn create_snapshot(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let volume = params.required("VolumeId")?.to_owned();
    if !world.instances.iter().any(|known| known.volume == volume && known.state != State::Terminated) {
        return Err(no_volume(&volume));
    }
    if dry {
        return Err(Problem::dry_run());
    }
    let description = params.get("Description").unwrap_or_default().to_owned();
    let id = world.fresh_id("snap");
    for (key, value) in tags_for(params, "snapshot") {
        world.tag(&id, &key, &value);
    }
    let snapshot = Snapshot { id, volume, description, begun: SystemTime::now() };
    write(world, &snapshot, xml);
    world.snapshots.push(snapshot);
    Ok(())
}

pub(super) fn snapshots(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let ids = params.list("SnapshotId");
    if let Some(bad) = ids.iter().find(|id| !world.snapshots.iter().any(|known| known.id == **id)) {
        return Err(Problem::new("InvalidSnapshot.NotFound", format!("The snapshot '{bad}' does not exist.")));
    }
    let wanted = world.snapshots.iter().filter(|known| ids.is_empty() || ids.contains(&known.id));
    let found = params.select(
        world,
        wanted,
        |snapshot| &snapshot.id,
        |snapshot, name| {
            Some(match name {
                "snapshot-id" => vec![snapshot.id.clone()],
                "volume-id" => vec![snapshot.volume.clone()],
                "description" => vec![snapshot.description.clone()],
                _ => return None,
            })
        },
    )?;
    let (page, next) = params.page(found, 1000)?;
    xml.list("snapshotSet", page, |xml, snapshot| write(world, snapshot, xml));
    xml.put_some("nextToken", next);
    Ok(())
}

/// `DeleteOnTermination` of mappings, as ModifyInstanceAttribute names them; `None` when it names none.
pub(super) fn mappings(world: &mut World, id: &str, params: &Params, dry: bool) -> Option<Outcome> {
    let numbers = params.indices("BlockDeviceMapping");
    if numbers.is_empty() {
        return None;
    }
    Some(set_mappings(world, id, &numbers, params, dry))
}

fn set_mappings(world: &mut World, id: &str, numbers: &[u32], params: &Params, dry: bool) -> Outcome {
    check_ids(world, &[id.to_owned()])?;
    let mut wanted = Vec::new();
    for number in numbers {
        let base = format!("BlockDeviceMapping.{number}.");
        let device = params.required(&format!("{base}DeviceName"))?.to_owned();
        let on = params.flag(&format!("{base}Ebs.DeleteOnTermination"));
        let found = world.instances.iter().position(|known| match &known.root {
            Root::Attached => known.id == id && super::machine::device(world, known) == device,
            Root::At(other, place) => other == id && *place == device,
            Root::Detached => false,
        });
        let at = found.ok_or_else(|| {
            let message = format!("No device is currently mapped at {device}");
            Problem::new("InvalidInstanceAttributeValue", message)
        })?;
        wanted.push((at, on));
    }
    if dry {
        return Err(Problem::dry_run());
    }
    for (at, on) in wanted {
        world.instances[at].delete_root = on;
    }
    Ok(())
}
