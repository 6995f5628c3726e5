//! Key pairs, images, Regions and tags, read only.

use std::time::SystemTime;

use super::params::{Params, like};
use super::{Outcome, Problem, write_tags};
use crate::lab::ids::time_text;
use crate::lab::world::World;
use crate::lab::xml::Xml;

pub(super) fn key_pairs(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let (names, ids) = (params.list("KeyName"), params.list("KeyPairId"));
    let all = all_pairs(world);
    if let Some(bad) = names.iter().find(|name| !all.iter().any(|known| known.name == **name)) {
        return Err(Problem::new("InvalidKeyPair.NotFound", format!("The key pair '{bad}' does not exist")));
    }
    if let Some(bad) = ids.iter().find(|id| !all.iter().any(|known| known.id == **id)) {
        return Err(Problem::new("InvalidKeyPair.NotFound", format!("The key pair id '{bad}' does not exist")));
    }
    let wanted = all
        .iter()
        .filter(|known| names.is_empty() || names.iter().any(|n| n == known.name))
        .filter(|known| ids.is_empty() || ids.iter().any(|i| i == known.id));
    let found = params.select(
        world,
        wanted,
        |known| known.id,
        |known, name| {
            Some(match name {
                "key-pair-id" => vec![known.id.to_owned()],
                "key-name" => vec![known.name.to_owned()],
                "fingerprint" => vec![known.fingerprint.clone()],
                _ => return None,
            })
        },
    )?;
    let public = params.flag("IncludePublicKey");
    xml.list("keySet", found, |xml, known| {
        xml.put("keyPairId", known.id)
            .put("keyName", known.name)
            .put("keyFingerprint", &known.fingerprint)
            .put("keyType", known.kind);
        write_tags(world, known.id, xml);
        if public {
            xml.put("publicKey", &known.line);
        }
        xml.put("createTime", time_text(known.created));
    });
    Ok(())
}

/// A key pair as it is shown, whoever made it.
struct Shown<'a> {
    id: &'a str,
    name: &'a str,
    fingerprint: String,
    kind: &'static str,
    line: String,
    created: SystemTime,
}

fn all_pairs(world: &World) -> Vec<Shown<'_>> {
    let made = world.key_pairs.iter().filter(|known| !known.deleted).map(|known| Shown {
        id: &known.id,
        name: &known.pair.name,
        fingerprint: known.pair.fingerprint(),
        kind: known.pair.kind(),
        line: known.pair.public_line(),
        created: known.created,
    });
    let imported = world.imported.iter().map(|known| Shown {
        id: &known.id,
        name: &known.name,
        fingerprint: known.fingerprint.clone(),
        kind: known.kind,
        line: known.line.clone(),
        created: known.created,
    });
    made.chain(imported).collect()
}

pub(super) fn images(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let (ids, owners) = (params.list("ImageId"), params.list("Owner"));
    if let Some(bad) = ids.iter().find(|id| !world.images.iter().any(|image| image.id == **id)) {
        return Err(Problem::new("InvalidAMIID.NotFound", format!("The image id '[{bad}]' does not exist")));
    }
    let wanted = world.images.iter().filter(|image| ids.is_empty() || ids.contains(&image.id)).filter(|image| {
        owners.is_empty()
            || owners.contains(&image.spec.owner)
            || image.spec.alias.as_ref().is_some_and(|alias| owners.contains(alias))
    });
    let found = params.select(
        world,
        wanted,
        |image| &image.id,
        |image, name| {
            Some(match name {
                "image-id" => vec![image.id.clone()],
                "name" => vec![image.spec.title.clone()],
                "owner-id" => vec![image.spec.owner.clone()],
                "owner-alias" => image.spec.alias.clone().into_iter().collect(),
                "architecture" => vec!["x86_64".to_owned()],
                "state" => vec!["available".to_owned()],
                "platform" => image.spec.windows.then(|| "windows".to_owned()).into_iter().collect(),
                _ => return None,
            })
        },
    )?;
    xml.list("imagesSet", found, |xml, image| {
        let spec = &image.spec;
        let place = spec.alias.as_ref().unwrap_or(&spec.owner);
        xml.put("imageId", &image.id)
            .put("imageLocation", format!("{place}/{}", spec.title))
            .put("imageState", "available")
            .put("imageOwnerId", &spec.owner)
            .put("creationDate", "2025-08-18T19:32:11.000Z")
            .put("isPublic", true)
            .put("architecture", "x86_64")
            .put("imageType", "machine");
        if spec.windows {
            xml.put("platform", "windows");
        }
        xml.put("platformDetails", if spec.windows { "Windows" } else { "Linux/UNIX" })
            .put("usageOperation", if spec.windows { "RunInstances:0002" } else { "RunInstances" })
            .put_some("imageOwnerAlias", spec.alias.as_ref())
            .put("name", &spec.title)
            .put("description", &spec.description)
            .put("rootDeviceType", "ebs")
            .put("rootDeviceName", &spec.root_device);
        xml.list("blockDeviceMapping", [()], |xml, ()| {
            xml.put("deviceName", &spec.root_device).group("ebs", |xml| {
                xml.put("snapshotId", image.id.replacen("ami-", "snap-", 1))
                    .put("volumeSize", 8)
                    .put("deleteOnTermination", true)
                    .put("volumeType", "gp3")
                    .put("encrypted", false);
            });
        });
        xml.put("virtualizationType", "hvm").put("hypervisor", "xen").put("enaSupport", true);
        write_tags(world, &image.id, xml);
    });
    Ok(())
}

pub(super) fn regions(_world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let wanted = params.list("RegionName");
    let regions = ["us-east-1", "us-west-2", "eu-west-1"];
    if let Some(bad) = wanted.iter().find(|name| !regions.contains(&name.as_str())) {
        return Err(Problem::new("InvalidParameterValue", format!("Invalid region provided: {bad}")));
    }
    let found = regions.into_iter().filter(|name| wanted.is_empty() || wanted.iter().any(|known| known == name));
    xml.list("regionInfo", found, |xml, name| {
        xml.put("regionName", name)
            .put("regionEndpoint", format!("ec2.{name}.amazonaws.com"))
            .put("optInStatus", "opt-in-not-required");
    });
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "all actions have one signature")]
pub(super) fn zones(world: &World, _params: &Params, xml: &mut Xml) -> Outcome {
    xml.list("availabilityZoneInfo", [()], |xml, ()| {
        xml.put("zoneName", &world.zone)
            .put("zoneId", "use1-az1")
            .put("zoneState", "available")
            .put("regionName", &world.region)
            .put("optInStatus", "opt-in-not-required")
            .put("zoneType", "availability-zone");
    });
    Ok(())
}

/// The resource type word of an id.
fn kind(id: &str) -> &'static str {
    match id.split('-').next().unwrap_or_default() {
        "i" => "instance",
        "vpc" => "vpc",
        "subnet" => "subnet",
        "sg" => "security-group",
        "sgr" => "security-group-rule",
        "acl" => "network-acl",
        "rtb" => "route-table",
        "igw" => "internet-gateway",
        "eipalloc" => "elastic-ip",
        "eni" => "network-interface",
        "vol" => "volume",
        "key" => "key-pair",
        _ => "image",
    }
}

pub(super) fn tags(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let filters = params.filters();
    let all = world.tags.iter().flat_map(|(id, tags)| tags.iter().map(move |(key, value)| (id, key, value)));
    let mut found = Vec::new();
    for (id, key, value) in all {
        let mut good = true;
        for filter in &filters {
            let have = match filter.name.as_str() {
                "resource-id" => id,
                "resource-type" => kind(id),
                "key" | "tag-key" => key,
                "value" | "tag-value" => value,
                other => {
                    return Err(Problem::new("InvalidParameterValue", format!("The filter '{other}' is invalid")));
                }
            };
            good &= filter.values.iter().any(|wanted| like(wanted, have));
        }
        if good {
            found.push((id, key, value));
        }
    }
    let (page, next) = params.page(found, 1000)?;
    xml.list("tagSet", page, |xml, (id, key, value)| {
        xml.put("resourceId", id).put("resourceType", kind(id)).put("key", key).put("value", value);
    });
    xml.put_some("nextToken", next);
    Ok(())
}
