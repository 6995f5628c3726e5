//! DescribeInstances and what hangs on an instance: status, interface, volume, console.

use std::net::Ipv4Addr;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::params::Params;
use super::{Outcome, Problem, write_tags};
use crate::lab::build::{mac, private_name, public_name};
use crate::lab::ids::time_text;
use crate::lab::world::{Instance, State, World};
use crate::lab::xml::Xml;

/// Checks ids given by the caller. One bad id fails the whole call.
pub(super) fn check_ids(world: &World, ids: &[String]) -> Outcome {
    let malformed = |id: &&String| {
        let digits = id.strip_prefix("i-").unwrap_or_default();
        !matches!(digits.len(), 8 | 17) || !digits.chars().all(|c| c.is_ascii_hexdigit())
    };
    if let Some(bad) = ids.iter().find(malformed) {
        return Err(Problem::new("InvalidInstanceID.Malformed", format!("Invalid id: \"{bad}\"")));
    }
    let missing: Vec<_> = ids.iter().filter(|id| world.instance(id).is_none()).map(String::as_str).collect();
    match missing.as_slice() {
        [] => Ok(()),
        [one] => Err(Problem::new("InvalidInstanceID.NotFound", format!("The instance ID '{one}' does not exist"))),
        many => Err(Problem::new(
            "InvalidInstanceID.NotFound",
            format!("The instance IDs '{}' do not exist", many.join(", ")),
        )),
    }
}

fn words(address: Option<Ipv4Addr>) -> Vec<String> {
    address.iter().map(ToString::to_string).collect()
}

fn filter(world: &World, instance: &Instance, name: &str) -> Option<Vec<String>> {
    let public_names = || instance.public.iter().map(|ip| public_name(&world.region, *ip)).collect();
    let private_names = || vec![private_name(&world.region, instance.private)];
    Some(match name {
        "instance-id" | "attachment.instance-id" => vec![instance.id.clone()],
        "ip-address"
        | "association.public-ip"
        | "addresses.association.public-ip"
        | "network-interface.association.public-ip"
        | "network-interface.addresses.association.public-ip" => words(instance.public),
        "private-ip-address" | "addresses.private-ip-address" | "network-interface.addresses.private-ip-address" => {
            words(Some(instance.private))
        }
        "dns-name" | "association.public-dns-name" => public_names(),
        "private-dns-name" | "network-interface.private-dns-name" => private_names(),
        "ipv6-address" | "ipv6-addresses.ipv6-address" | "network-interface.ipv6-addresses.ipv6-address" => Vec::new(),
        "instance-state-name" => vec![instance.state.words().1.to_owned()],
        "instance-state-code" => vec![instance.state.words().0.to_string()],
        "vpc-id" | "network-interface.vpc-id" => vec![instance.vpc.clone()],
        "subnet-id" | "network-interface.subnet-id" => vec![instance.subnet.clone()],
        "key-name" => instance.key.clone().into_iter().collect(),
        "image-id" => vec![instance.image.clone()],
        "instance-type" => vec!["t3.micro".to_owned()],
        "architecture" => vec!["x86_64".to_owned()],
        "availability-zone" => vec![world.zone.clone()],
        "reservation-id" => vec![instance.reservation.clone()],
        "owner-id" => vec![world.account.clone()],
        "instance.group-id" | "network-interface.group-id" | "group-id" => instance.groups.clone(),
        "network-interface-id" | "network-interface.network-interface-id" => {
            vec![instance.interface.clone()]
        }
        "status" => vec!["in-use".to_owned()],
        "platform" => windows(world, instance).then(|| "windows".to_owned()).into_iter().collect(),
        "root-device-type" => vec!["ebs".to_owned()],
        _ => return None,
    })
}

fn windows(world: &World, instance: &Instance) -> bool {
    world.image_of(instance).is_some_and(|image| image.spec.windows)
}

fn write_groups(world: &World, instance: &Instance, xml: &mut Xml) {
    xml.list("groupSet", &instance.groups, |xml, id| {
        let name = world.groups.iter().find(|group| group.id == *id).map(|group| &group.name);
        xml.put("groupId", id).put_some("groupName", name);
    });
}

fn write_association(world: &World, instance: &Instance, ids: bool, xml: &mut Xml) {
    let Some(ip) = instance.public else {
        return;
    };
    let elastic = world.elastic_of(&instance.id);
    xml.group("association", |xml| {
        xml.put("publicIp", ip).put("publicDnsName", public_name(&world.region, ip));
        xml.put("ipOwnerId", if elastic.is_some() { &world.account } else { "amazon" });
        if let (true, Some(address)) = (ids, elastic) {
            xml.put("allocationId", &address.allocation);
            xml.put_some("associationId", address.bound.as_ref().map(|(id, _)| id));
        }
    });
}

fn write_interface(world: &World, instance: &Instance, described: bool, xml: &mut Xml) {
    xml.put("networkInterfaceId", &instance.interface).put("subnetId", &instance.subnet).put("vpcId", &instance.vpc);
    if described {
        xml.put("availabilityZone", &world.zone);
    }
    xml.put("description", "").put("ownerId", &world.account);
    if described {
        xml.put("requesterManaged", false);
    }
    xml.put("status", "in-use")
        .put("macAddress", mac(world, instance))
        .put("privateIpAddress", instance.private)
        .put("privateDnsName", private_name(&world.region, instance.private))
        .put("sourceDestCheck", true);
    write_groups(world, instance, xml);
    xml.group("attachment", |xml| {
        xml.put("attachmentId", instance.interface.replacen("eni-", "eni-attach-", 1));
        if described {
            xml.put("instanceId", &instance.id).put("instanceOwnerId", &world.account);
        }
        xml.put("deviceIndex", 0)
            .put("status", "attached")
            .put("attachTime", time_text(instance.first_launched))
            .put("deleteOnTermination", true)
            .put("networkCardIndex", 0);
    });
    write_association(world, instance, described, xml);
    xml.list("privateIpAddressesSet", [()], |xml, ()| {
        xml.put("privateIpAddress", instance.private)
            .put("privateDnsName", private_name(&world.region, instance.private))
            .put("primary", true);
        write_association(world, instance, described, xml);
    });
    xml.list("ipv6AddressesSet", [(); 0], |_, ()| {}).put("interfaceType", "interface");
    if described {
        write_tags(world, &instance.interface, xml);
    }
}

fn write_instance(world: &World, instance: &Instance, xml: &mut Xml) {
    let image = world.image_of(instance).map(|image| &image.spec);
    let device = image.map_or("/dev/sda1", |image| image.root_device.as_str());
    let (code, state) = instance.state.words();
    xml.put("instanceId", &instance.id).put("imageId", &instance.image);
    xml.group("instanceState", |xml| {
        xml.put("code", code).put("name", state);
    });
    xml.put("privateDnsName", private_name(&world.region, instance.private));
    xml.put("dnsName", instance.public.map(|ip| public_name(&world.region, ip)).unwrap_or_default());
    xml.put("reason", instance.state_reason.as_ref().map_or("", |_| "User initiated"));
    xml.put_some("keyName", instance.key.as_ref());
    xml.put("amiLaunchIndex", 0)
        .list("productCodes", [(); 0], |_, ()| {})
        .put("instanceType", "t3.micro")
        .put("launchTime", time_text(instance.launched));
    xml.group("placement", |xml| {
        xml.put("availabilityZone", &world.zone).put("groupName", "").put("tenancy", "default");
    });
    if windows(world, instance) {
        xml.put("platform", "windows");
    }
    xml.group("monitoring", |xml| {
        xml.put("state", "disabled");
    });
    xml.put("subnetId", &instance.subnet)
        .put("vpcId", &instance.vpc)
        .put("privateIpAddress", instance.private)
        .put_some("ipAddress", instance.public)
        .put("sourceDestCheck", true);
    write_groups(world, instance, xml);
    if let Some((code, message)) = &instance.state_reason {
        xml.group("stateReason", |xml| {
            xml.put("code", code).put("message", message);
        });
    }
    xml.put("architecture", "x86_64").put("rootDeviceType", "ebs").put("rootDeviceName", device);
    xml.list("blockDeviceMapping", [()], |xml, ()| {
        xml.put("deviceName", device).group("ebs", |xml| {
            xml.put("volumeId", &instance.volume)
                .put("status", "attached")
                .put("attachTime", time_text(instance.first_launched))
                .put("deleteOnTermination", true);
        });
    });
    xml.put("virtualizationType", "hvm").put("clientToken", "");
    write_tags(world, &instance.id, xml);
    xml.put("hypervisor", "xen");
    xml.list("networkInterfaceSet", [()], |xml, ()| {
        write_interface(world, instance, false, xml);
    });
    xml.put("ebsOptimized", false).put("enaSupport", true);
    if instance.ssm {
        xml.group("iamInstanceProfile", |xml| {
            xml.put("arn", format!("arn:aws:iam::{}:instance-profile/practice-ssm", world.account))
                .put("id", "AIPAPRACTICE0000PROF1");
        });
    }
    xml.group("cpuOptions", |xml| {
        xml.put("coreCount", 1).put("threadsPerCore", 2);
    });
    xml.group("metadataOptions", |xml| {
        xml.put("state", "applied")
            .put("httpTokens", "required")
            .put("httpPutResponseHopLimit", 2)
            .put("httpEndpoint", "enabled")
            .put("instanceMetadataTags", "disabled");
    });
    let (platform, operation) =
        if windows(world, instance) { ("Windows", "RunInstances:0002") } else { ("Linux/UNIX", "RunInstances") };
    xml.put("platformDetails", platform).put("usageOperation", operation);
}

fn chosen<'a>(world: &'a World, params: &Params) -> Result<Vec<&'a Instance>, Problem> {
    params.ids_or_pages("InstanceId")?;
    let ids = params.list("InstanceId");
    check_ids(world, &ids)?;
    let wanted = world.instances.iter().filter(|instance| ids.is_empty() || ids.contains(&instance.id));
    params.select(world, wanted, |instance| &instance.id, |instance, name| filter(world, instance, name))
}

pub(super) fn instances(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let (page, next) = params.page(chosen(world, params)?, 5)?;
    xml.list("reservationSet", page, |xml, instance| {
        xml.put("reservationId", &instance.reservation).put("ownerId", &world.account);
        xml.list("groupSet", [(); 0], |_, ()| {});
        xml.list("instancesSet", [()], |xml, ()| {
            write_instance(world, instance, xml);
        });
    });
    xml.put_some("nextToken", next);
    Ok(())
}

pub(super) fn status(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let all = params.flag("IncludeAllInstances");
    params.ids_or_pages("InstanceId")?;
    let ids = params.list("InstanceId");
    check_ids(world, &ids)?;
    let wanted = world
        .instances
        .iter()
        .filter(|instance| ids.is_empty() || ids.contains(&instance.id))
        .filter(|instance| all || instance.state == State::Running);
    let found =
        params.select(world, wanted, |instance| &instance.id, |instance, name| filter(world, instance, name))?;
    let (page, next) = params.page(found, 5)?;
    xml.list("instanceStatusSet", page, |xml, instance| {
        let (code, state) = instance.state.words();
        let (summary, detail) = if instance.state == State::Running {
            if instance.initializing.is_some() { ("initializing", "initializing") } else { ("ok", "passed") }
        } else {
            ("not-applicable", "")
        };
        xml.put("instanceId", &instance.id).put("availabilityZone", &world.zone);
        xml.group("instanceState", |xml| {
            xml.put("code", code).put("name", state);
        });
        for name in ["systemStatus", "instanceStatus", "attachedEbsStatus"] {
            xml.group(name, |xml| {
                xml.put("status", summary);
                if !detail.is_empty() {
                    xml.list("details", [()], |xml, ()| {
                        xml.put("name", "reachability").put("status", detail);
                    });
                }
            });
        }
    });
    xml.put_some("nextToken", next);
    Ok(())
}

pub(super) fn attribute(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let id = params.required("InstanceId")?;
    check_ids(world, &[id.to_owned()])?;
    let name = params.required("Attribute")?;
    xml.put("instanceId", id);
    let value: (&'static str, Option<String>) = match name {
        "userData" => ("userData", None),
        "disableApiStop" => ("disableApiStop", Some("false".to_owned())),
        "disableApiTermination" => ("disableApiTermination", Some("false".to_owned())),
        "instanceType" => ("instanceType", Some("t3.micro".to_owned())),
        "instanceInitiatedShutdownBehavior" => ("instanceInitiatedShutdownBehavior", Some("stop".to_owned())),
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

pub(super) fn interfaces(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    params.ids_or_pages("NetworkInterfaceId")?;
    let ids = params.list("NetworkInterfaceId");
    if let Some(bad) = ids.iter().find(|id| !world.instances.iter().any(|instance| instance.interface == **id)) {
        return Err(Problem::new(
            "InvalidNetworkInterfaceID.NotFound",
            format!("The networkInterface ID '{bad}' does not exist"),
        ));
    }
    let wanted = world.instances.iter().filter(|instance| ids.is_empty() || ids.contains(&instance.interface));
    let found =
        params.select(world, wanted, |instance| &instance.interface, |instance, name| filter(world, instance, name))?;
    let (page, next) = params.page(found, 1000)?;
    xml.list("networkInterfaceSet", page, |xml, instance| {
        write_interface(world, instance, true, xml);
    });
    xml.put_some("nextToken", next);
    Ok(())
}

pub(super) fn volumes(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    params.ids_or_pages("VolumeId")?;
    let ids = params.list("VolumeId");
    if let Some(bad) = ids.iter().find(|id| !world.instances.iter().any(|instance| instance.volume == **id)) {
        return Err(Problem::new("InvalidVolume.NotFound", format!("The volume '{bad}' does not exist.")));
    }
    let wanted = world.instances.iter().filter(|instance| ids.is_empty() || ids.contains(&instance.volume));
    let found = params.select(
        world,
        wanted,
        |instance| &instance.volume,
        |instance, name| {
            Some(match name {
                "attachment.instance-id" => vec![instance.id.clone()],
                "volume-id" => vec![instance.volume.clone()],
                "status" => vec!["in-use".to_owned()],
                _ => return None,
            })
        },
    )?;
    let (page, next) = params.page(found, 1000)?;
    xml.list("volumeSet", page, |xml, instance| {
        let device = world.image_of(instance).map_or("/dev/sda1", |image| image.spec.root_device.as_str());
        xml.put("volumeId", &instance.volume)
            .put("size", 8)
            .put("snapshotId", instance.image.replacen("ami-", "snap-", 1))
            .put("availabilityZone", &world.zone)
            .put("status", "in-use")
            .put("createTime", time_text(instance.first_launched));
        xml.list("attachmentSet", [()], |xml, ()| {
            xml.put("volumeId", &instance.volume)
                .put("instanceId", &instance.id)
                .put("device", device)
                .put("status", "attached")
                .put("attachTime", time_text(instance.first_launched))
                .put("deleteOnTermination", true);
        });
        write_tags(world, &instance.volume, xml);
        xml.put("volumeType", "gp3").put("iops", 3000).put("encrypted", false).put("multiAttachEnabled", false);
    });
    xml.put_some("nextToken", next);
    Ok(())
}

pub(super) fn console_output(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let id = params.required("InstanceId")?;
    check_ids(world, &[id.to_owned()])?;
    let instance = world.instance(id);
    xml.put("instanceId", id);
    xml.put_some("timestamp", instance.map(|instance| time_text(instance.launched)));
    xml.put_some("output", instance.map(|instance| STANDARD.encode(&instance.first_boot_console)));
    Ok(())
}
