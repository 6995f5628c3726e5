//! What EC2 tells about the machine itself: type, credits, volumes, attributes, spot request, password, console.

use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::instances::check_ids;
use super::params::Params;
use super::{Outcome, Problem, write_tags};
use crate::lab::ids::time_text;
use crate::lab::scenario::PasswordSpec;
use crate::lab::world::{Instance, Root, State, World};
use crate::lab::xml::Xml;

/// Families: what their names begin with, whether they run on Nitro, and have local disks.
const FAMILIES: &[(&str, bool, bool)] = &[
    ("t2.", false, false),
    ("t3.", true, false),
    ("t3a.", true, false),
    ("t4g.", true, false),
    ("m4.", false, false),
    ("m5.", true, false),
    ("m5d.", true, true),
    ("m7g.", true, false),
    ("c5.", true, false),
    ("i3.", false, true),
];

fn family(kind: &str) -> Option<&'static (&'static str, bool, bool)> {
    FAMILIES.iter().find(|(start, ..)| kind.starts_with(start))
}

/// True for types built on Nitro, which have a serial console.
pub(super) fn is_nitro(kind: &str) -> bool {
    family(kind).is_none_or(|(_, nitro, _)| *nitro)
}

pub(super) fn types(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let wanted = params.list("InstanceType");
    if let Some(bad) = wanted.iter().find(|name| family(name).is_none()) {
        return Err(Problem::new(
            "InvalidInstanceType",
            format!("The following supplied instance types do not exist: [{bad}]"),
        ));
    }
    let mut kinds: Vec<String> =
        if wanted.is_empty() { world.instances.iter().map(|known| known.kind().to_owned()).collect() } else { wanted };
    kinds.sort();
    kinds.dedup();
    let (page, next) = params.page(kinds, 100)?;
    xml.list("instanceTypeSet", page, |xml, kind| {
        let (start, nitro, disks) = family(&kind).copied().unwrap_or(("", true, false));
        xml.put("instanceType", &kind)
            .put("currentGeneration", nitro)
            .put("bareMetal", false)
            .put("hypervisor", if nitro { "nitro" } else { "xen" })
            .put("instanceStorageSupported", disks)
            .put("burstablePerformanceSupported", start.starts_with('t'))
            .put("hibernationSupported", !disks);
        if disks {
            xml.group("instanceStorageInfo", |xml| {
                xml.put("totalSizeInGB", 75);
                xml.list("disks", [("ssd", 75, 1)], |xml, (kind, size, count)| {
                    xml.put("sizeInGB", size).put("count", count).put("type", kind);
                });
            });
        }
    });
    xml.put_some("nextToken", next);
    Ok(())
}

pub(super) fn credits(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    params.ids_or_pages("InstanceId")?;
    let ids = params.list("InstanceId");
    check_ids(world, &ids)?;
    let wanted = world.instances.iter().filter(|instance| ids.is_empty() || ids.contains(&instance.id));
    let found = params.select(
        world,
        wanted.filter(|instance| instance.burstable()),
        |instance| &instance.id,
        |instance, name| (name == "instance-id").then(|| vec![instance.id.clone()]),
    )?;
    xml.list("instanceCreditSpecificationSet", found, |xml, instance| {
        xml.put("instanceId", &instance.id).put("cpuCredits", &instance.machine.credits);
    });
    Ok(())
}

pub(super) fn modify_credits(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let mut changes = Vec::new();
    for number in params.indices("InstanceCreditSpecification") {
        let base = format!("InstanceCreditSpecification.{number}.");
        let id = params.required(&format!("{base}InstanceId"))?.to_owned();
        let mode = params.required(&format!("{base}CpuCredits"))?.to_owned();
        if !matches!(mode.as_str(), "standard" | "unlimited") {
            return Err(Problem::new("InvalidParameterValue", format!("Invalid value '{mode}' for CpuCredits")));
        }
        changes.push((id, mode));
    }
    if changes.is_empty() {
        let message = "The request must contain the parameter InstanceCreditSpecification";
        return Err(Problem::new("MissingParameter", message));
    }
    if dry {
        return Err(Problem::dry_run());
    }
    let (good, bad): (Vec<_>, Vec<_>) =
        changes.into_iter().partition(|(id, _)| world.instance(id).is_some_and(Instance::burstable));
    for (id, mode) in &good {
        if let Some(instance) = world.instance_mut(id) {
            instance.machine.credits.clone_from(mode);
            // With unlimited credits a throttled machine has its time back.
            if mode == "unlimited" && instance.machine.credit_balance.last().is_some_and(|left| *left < 1.0) {
                instance.freshen(false);
            }
        }
    }
    xml.list("successfulInstanceCreditSpecificationSet", &good, |xml, (id, _)| {
        xml.put("instanceId", id);
    });
    xml.list("unsuccessfulInstanceCreditSpecificationSet", &bad, |xml, (id, _)| {
        xml.put("instanceId", id).group("error", |xml| {
            xml.put("code", "InstanceCreditSpecification.NotSupported")
                .put("message", "The instance type does not support credits.");
        });
    });
    Ok(())
}

pub(super) fn volumes(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    params.ids_or_pages("VolumeId")?;
    let ids = params.list("VolumeId");
    if let Some(bad) = ids.iter().find(|id| !world.instances.iter().any(|instance| instance.volume == **id)) {
        return Err(Problem::new("InvalidVolume.NotFound", format!("The volume '{bad}' does not exist.")));
    }
    // A volume goes with a terminated instance.
    let wanted = world
        .instances
        .iter()
        .filter(|instance| instance.state != State::Terminated)
        .filter(|instance| ids.is_empty() || ids.contains(&instance.volume));
    let found = params.select(
        world,
        wanted,
        |instance| &instance.volume,
        |instance, name| {
            Some(match name {
                "attachment.instance-id" => holder(instance).into_iter().collect(),
                "attachment.device" => vec![place(world, instance)],
                "snapshot-id" => vec![snapshot(instance)],
                "availability-zone" => vec![world.zone.clone()],
                "volume-id" => vec![instance.volume.clone()],
                "encrypted" => vec![instance.machine.encrypted.to_string()],
                "status" => vec![if instance.root == Root::Detached { "available" } else { "in-use" }.to_owned()],
                _ => return None,
            })
        },
    )?;
    let (page, next) = params.page(found, 1000)?;
    xml.list("volumeSet", page, |xml, instance| {
        xml.put("volumeId", &instance.volume)
            .put("size", 8)
            .put("snapshotId", snapshot(instance))
            .put("availabilityZone", &world.zone)
            .put("status", if instance.root == Root::Detached { "available" } else { "in-use" })
            .put("createTime", time_text(instance.first_launched));
        xml.list("attachmentSet", holder(instance), |xml, holder| {
            xml.put("volumeId", &instance.volume)
                .put("instanceId", holder)
                .put("device", place(world, instance))
                .put("status", "attached")
                .put("attachTime", time_text(instance.first_launched))
                .put("deleteOnTermination", instance.delete_root);
        });
        write_tags(world, &instance.volume, xml);
        xml.put("volumeType", "gp3").put("iops", 3000).put("encrypted", instance.machine.encrypted);
        if instance.machine.encrypted {
            xml.put("kmsKeyId", format!("arn:aws:kms:{}:{}:key/practice", world.region, world.account));
        }
        xml.put("multiAttachEnabled", false);
    });
    xml.put_some("nextToken", next);
    Ok(())
}

/// The instance that has this one's root volume.
fn holder(instance: &Instance) -> Option<String> {
    match &instance.root {
        Root::Attached => Some(instance.id.clone()),
        Root::Detached => None,
        Root::At(other, _) => Some(other.clone()),
    }
}

/// The device name under which the root volume is attached.
fn place(world: &World, instance: &Instance) -> String {
    match &instance.root {
        Root::At(_, place) => place.clone(),
        Root::Attached | Root::Detached => device(world, instance),
    }
}

/// The snapshot of its image that a root volume is made of.
fn snapshot(instance: &Instance) -> String {
    instance.image.replacen("ami-", "snap-", 1)
}

/// The device name of the root volume.
pub(super) fn device(world: &World, instance: &Instance) -> String {
    world.image_of(instance).map_or("/dev/sda1", |image| image.spec.root_device.as_str()).to_owned()
}

pub(super) fn attach_volume(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let (volume, id) = (params.required("VolumeId")?.to_owned(), params.required("InstanceId")?.to_owned());
    let place = params.required("Device")?.to_owned();
    check_ids(world, std::slice::from_ref(&id))?;
    let Some(owner) = world.instances.iter().find(|instance| instance.volume == volume) else {
        return Err(Problem::new("InvalidVolume.NotFound", format!("The volume '{volume}' does not exist.")));
    };
    if owner.root != Root::Detached {
        return Err(Problem::new("VolumeInUse", format!("{volume} is already attached to an instance")));
    }
    let root = owner.id == id && device(world, owner) == place;
    let taken = |known: &Instance| match &known.root {
        Root::Attached => known.id == id && device(world, known) == place,
        Root::At(holder, there) => *holder == id && *there == place,
        Root::Detached => false,
    };
    if world.instances.iter().any(taken) {
        let message = format!("Invalid value '{place}' for unixDevice. Attachment point {place} is already in use");
        return Err(Problem::new("InvalidParameterValue", message));
    }
    if !matches!(super::power::state(world, &id), State::Running | State::Stopped) {
        return Err(Problem::new("IncorrectState", format!("Instance '{id}' is not 'running'.")));
    }
    if dry {
        return Err(Problem::dry_run());
    }
    if let Some(owner) = world.instances.iter_mut().find(|instance| instance.volume == volume) {
        owner.root = if root { Root::Attached } else { Root::At(id.clone(), place.clone()) };
        // Of an attachment by hand.
        owner.delete_root = false;
    }
    xml.put("volumeId", volume)
        .put("instanceId", id)
        .put("device", place)
        .put("status", "attaching")
        .put("attachTime", time_text(SystemTime::now()));
    Ok(())
}

pub(super) fn attribute(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let id = params.required("InstanceId")?;
    check_ids(world, &[id.to_owned()])?;
    let name = params.required("Attribute")?;
    let Some(instance) = world.instance(id) else {
        return Ok(());
    };
    let machine = &instance.machine;
    xml.put("instanceId", id);
    let value: (&'static str, Option<String>) = match name {
        "userData" => ("userData", machine.user_data.as_ref().map(|text| STANDARD.encode(text))),
        "disableApiStop" => ("disableApiStop", Some(machine.stop_protected.to_string())),
        "disableApiTermination" => ("disableApiTermination", Some("false".to_owned())),
        "instanceType" => ("instanceType", Some(machine.kind.clone())),
        "instanceInitiatedShutdownBehavior" => ("instanceInitiatedShutdownBehavior", Some("stop".to_owned())),
        "rootDeviceName" => ("rootDeviceName", Some(device(world, instance))),
        "enaSupport" => ("enaSupport", Some("true".to_owned())),
        "sourceDestCheck" => ("sourceDestCheck", Some("true".to_owned())),
        other => {
            return Err(Problem::new(
                "InvalidParameterValue",
                format!("Value ({other}) for parameter attribute is invalid. Unknown attribute."),
            ));
        }
    };
    xml.group(value.0, |xml| {
        xml.put_some("value", value.1);
    });
    Ok(())
}

pub(super) fn modify_attribute(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let id = params.required("InstanceId")?.to_owned();
    check_ids(world, std::slice::from_ref(&id))?;
    if let Some(outcome) = super::disks::mappings(world, &id, params, dry) {
        outcome?;
        xml.put("return", true);
        return Ok(());
    }
    let data = match params.get("UserData.Value") {
        None => None,
        Some(text) => {
            let bytes = STANDARD.decode(text).map_err(|_| {
                Problem::new("InvalidParameterValue", "Invalid BASE64 encoding of user data.".to_owned())
            })?;
            if bytes.len() > 16_384 {
                return Err(Problem::new("InvalidParameterValue", "User data is limited to 16384 bytes"));
            }
            Some(bytes)
        }
    };
    let stop = params.get("DisableApiStop.Value").map(|value| value == "true");
    if data.is_none() && stop.is_none() {
        return Err(Problem::new("InvalidParameterCombination", "No attributes specified."));
    }
    // Whoever only asks is told of the permission, whatever the state.
    if dry {
        return Err(Problem::dry_run());
    }
    if data.is_some() && world.instance(&id).is_some_and(|instance| instance.state != State::Stopped) {
        let message = format!("The instance '{id}' is not in the 'stopped' state.");
        return Err(Problem::new("IncorrectInstanceState", message));
    }
    if let Some(instance) = world.instance_mut(&id) {
        if let Some(text) = data {
            instance.machine.user_data = (!text.is_empty()).then_some(text);
        }
        if let Some(stop) = stop {
            instance.machine.stop_protected = stop;
        }
    }
    xml.put("return", true);
    Ok(())
}

pub(super) fn modify_metadata(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let id = params.required("InstanceId")?.to_owned();
    check_ids(world, std::slice::from_ref(&id))?;
    if dry {
        return Err(Problem::dry_run());
    }
    if let (Some(instance), Some(endpoint)) = (world.instance_mut(&id), params.get("HttpEndpoint")) {
        instance.machine.imds = endpoint == "enabled";
    }
    xml.put("instanceId", &id);
    if let Some(instance) = world.instance(&id) {
        xml.group("instanceMetadataOptions", |xml| metadata(instance, xml));
    }
    Ok(())
}

/// The metadata options of an instance.
pub(super) fn metadata(instance: &Instance, xml: &mut Xml) {
    xml.put("state", "applied")
        .put("httpTokens", "required")
        .put("httpPutResponseHopLimit", 2)
        .put("httpEndpoint", if instance.machine.imds { "enabled" } else { "disabled" })
        .put("instanceMetadataTags", "disabled");
}

/// The id of an instance's spot request.
pub(super) fn spot_id(instance: &Instance) -> String {
    // `sir-` and eight characters, unlike other ids.
    format!("sir-{}", &instance.id[instance.id.len() - 8..])
}

pub(super) fn spot_requests(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let ids = params.list("SpotInstanceRequestId");
    let all = world.instances.iter().filter(|instance| instance.machine.spot.is_some());
    if let Some(bad) = ids.iter().find(|id| !all.clone().any(|instance| spot_id(instance) == **id)) {
        return Err(Problem::new(
            "InvalidSpotInstanceRequestID.NotFound",
            format!("The spot instance request ID '{bad}' does not exist"),
        ));
    }
    let wanted = all.filter(|instance| ids.is_empty() || ids.contains(&spot_id(instance)));
    let found = params.select(
        world,
        wanted,
        |instance| &instance.id,
        |instance, name| {
            Some(match name {
                "instance-id" => vec![instance.id.clone()],
                "spot-instance-request-id" => vec![spot_id(instance)],
                "state" => instance.machine.spot.iter().map(|spot| spot.state.clone()).collect(),
                "status-code" => instance.machine.spot.iter().map(|spot| spot.status.clone()).collect(),
                _ => return None,
            })
        },
    )?;
    let (page, next) = params.page(found, 1000)?;
    xml.list("spotInstanceRequestSet", page, |xml, instance| {
        let Some(spot) = &instance.machine.spot else {
            return;
        };
        xml.put("spotInstanceRequestId", spot_id(instance))
            .put("type", &spot.kind)
            .put("state", &spot.state)
            .put("instanceId", &instance.id)
            .put("createTime", time_text(instance.first_launched))
            .put("productDescription", "Linux/UNIX")
            .put("instanceInterruptionBehavior", if spot.kind == "persistent" { "stop" } else { "terminate" });
        xml.group("status", |xml| {
            xml.put("code", &spot.status)
                .put("message", &spot.message)
                .put("updateTime", time_text(instance.launched + Duration::from_hours(9)));
        });
    });
    xml.put_some("nextToken", next);
    Ok(())
}

pub(super) fn password(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let id = params.required("InstanceId")?;
    check_ids(world, &[id.to_owned()])?;
    let Some(instance) = world.instance(id) else {
        return Ok(());
    };
    let windows = world.image_of(instance).is_some_and(|image| image.spec.windows);
    let ready = windows && instance.machine.password == PasswordSpec::Ready;
    let pair = instance.key.as_ref().and_then(|name| world.key_pairs.iter().find(|known| known.pair.name == *name));
    let sealed = pair.filter(|_| ready).and_then(|known| known.pair.seal(world.seed, b"Practice-4711!"));
    xml.put("instanceId", id).put("timestamp", time_text(instance.first_launched));
    xml.put("passwordData", sealed.map(|bytes| STANDARD.encode(bytes)).unwrap_or_default());
    Ok(())
}

pub(super) fn console_output(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let id = params.required("InstanceId")?;
    check_ids(world, &[id.to_owned()])?;
    let instance = world.instance(id);
    let nitro = instance.is_some_and(|instance| family(instance.kind()).is_some_and(|(_, nitro, _)| *nitro));
    if params.flag("Latest") && !nitro {
        let message = "This instance type does not support retrieving the latest console logs.";
        return Err(Problem::new("UnsupportedOperation", message));
    }
    xml.put("instanceId", id);
    xml.put_some("timestamp", instance.map(|instance| time_text(instance.launched)));
    xml.put_some("output", instance.map(|instance| STANDARD.encode(&instance.console)));
    Ok(())
}

pub(super) fn screenshot(world: &World, params: &Params, _xml: &mut Xml) -> Outcome {
    let id = params.required("InstanceId")?;
    check_ids(world, &[id.to_owned()])?;
    Err(Problem::new("UnsupportedOperation", "The practice account's machines have no screen."))
}
