//! DescribeInstances, the status of instances, and their interfaces.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::params::Params;
use super::{Outcome, Problem, machine, profile, write_tags};
use crate::lab::build::{mac, private_name, public_name};
use crate::lab::ids::time_text;
use crate::lab::world::{Instance, Root, State, World};
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
        | "network-interface.addresses.association.public-ip" => {
            let second = instance.second.as_ref().and_then(|face| face.public);
            if name == "ip-address" { words(instance.public) } else { [words(instance.public), words(second)].concat() }
        }
        "private-ip-address" | "addresses.private-ip-address" | "network-interface.addresses.private-ip-address" => {
            let second = instance.second.as_ref().map(|face| face.private);
            [words(Some(instance.private)), words(second)].concat()
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
        "instance-type" => vec![instance.kind().to_owned()],
        "architecture" => vec!["x86_64".to_owned()],
        "availability-zone" => vec![world.zone.clone()],
        "reservation-id" => vec![instance.reservation.clone()],
        "client-token" => vec![instance.client_token.clone()],
        "owner-id" => vec![world.account.clone()],
        "instance.group-id" | "network-interface.group-id" | "group-id" => {
            let second = instance.second.iter().flat_map(|face| face.groups.clone());
            instance.groups.iter().cloned().chain(second).collect()
        }
        "network-interface-id" | "network-interface.network-interface-id" => {
            let second = instance.second.as_ref().map(|face| face.id.clone());
            std::iter::once(instance.interface.clone()).chain(second).collect()
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

fn write_groups(world: &World, groups: &[String], xml: &mut Xml) {
    xml.list("groupSet", groups, |xml, id| {
        let name = world.groups.iter().find(|group| group.id == *id).map(|group| &group.name);
        xml.put("groupId", id).put_some("groupName", name);
    });
}

/// An interface, of an instance or of an Instance Connect Endpoint.
struct Card<'a> {
    id: String,
    subnet: &'a str,
    vpc: &'a str,
    groups: &'a [String],
    private: Ipv4Addr,
    public: Option<Ipv4Addr>,
    index: u8,
    instance: Option<&'a Instance>,
}

/// The interfaces of an instance, the primary one first.
fn cards(instance: &Instance) -> impl Iterator<Item = Card<'_>> {
    let primary = Card {
        id: instance.interface.clone(),
        subnet: &instance.subnet,
        vpc: &instance.vpc,
        groups: &instance.groups,
        private: instance.private,
        public: instance.public,
        index: 0,
        instance: Some(instance),
    };
    let second = instance.second.as_ref().map(|face| Card {
        id: face.id.clone(),
        subnet: &face.subnet,
        vpc: &instance.vpc,
        groups: &face.groups,
        private: face.private,
        public: face.public,
        index: 1,
        instance: Some(instance),
    });
    std::iter::once(primary).chain(second)
}

fn write_association(world: &World, card: &Card<'_>, ids: bool, xml: &mut Xml) {
    let Some(ip) = card.public else {
        return;
    };
    let elastic = card.instance.filter(|_| card.index == 0).and_then(|instance| world.elastic_of(&instance.id));
    xml.group("association", |xml| {
        xml.put("publicIp", ip).put("publicDnsName", public_name(&world.region, ip));
        xml.put("ipOwnerId", if elastic.is_some() { &world.account } else { "amazon" });
        if let (true, Some(address)) = (ids, elastic) {
            xml.put("allocationId", &address.allocation);
            xml.put_some("associationId", address.bound.as_ref().map(|(id, _)| id));
        }
    });
}

fn write_interface(world: &World, card: &Card<'_>, described: bool, xml: &mut Xml) {
    xml.put("networkInterfaceId", &card.id).put("subnetId", card.subnet).put("vpcId", card.vpc);
    if described {
        xml.put("availabilityZone", &world.zone);
    }
    xml.put("description", if card.instance.is_some() { "" } else { "EC2 Instance Connect Endpoint" });
    xml.put("ownerId", &world.account);
    if described {
        xml.put("requesterManaged", card.instance.is_none());
    }
    xml.put("status", "in-use")
        .put("macAddress", mac(world, &card.id))
        .put("privateIpAddress", card.private)
        .put("privateDnsName", private_name(&world.region, card.private))
        .put("sourceDestCheck", true);
    write_groups(world, card.groups, xml);
    xml.group("attachment", |xml| {
        xml.put("attachmentId", card.id.replacen("eni-", "eni-attach-", 1));
        if let (true, Some(instance)) = (described, card.instance) {
            xml.put("instanceId", &instance.id).put("instanceOwnerId", &world.account);
        }
        xml.put("deviceIndex", card.index).put("status", "attached");
        xml.put_some("attachTime", card.instance.map(|instance| time_text(instance.first_launched)));
        xml.put("deleteOnTermination", true).put("networkCardIndex", 0);
    });
    write_association(world, card, described, xml);
    xml.list("privateIpAddressesSet", [()], |xml, ()| {
        xml.put("privateIpAddress", card.private)
            .put("privateDnsName", private_name(&world.region, card.private))
            .put("primary", true);
        write_association(world, card, described, xml);
    });
    let kind = if card.instance.is_some() { "interface" } else { "ec2_instance_connect_endpoint" };
    xml.list("ipv6AddressesSet", [(); 0], |_, ()| {}).put("interfaceType", kind);
    if described {
        write_tags(world, &card.id, xml);
    }
}

pub(super) fn write_instance(world: &World, instance: &Instance, xml: &mut Xml) {
    let image = world.image_of(instance).map(|image| &image.spec);
    let device = image.map_or("/dev/sda1", |image| image.root_device.as_str());
    let (code, state) = instance.state.words();
    xml.put("instanceId", &instance.id).put("imageId", &instance.image);
    xml.group("instanceState", |xml| {
        xml.put("code", code).put("name", state);
    });
    xml.put("privateDnsName", private_name(&world.region, instance.private));
    xml.put("dnsName", instance.public.map(|ip| public_name(&world.region, ip)).unwrap_or_default());
    xml.put("reason", instance.state_reason.as_ref().map_or("", |(_, message)| message.as_str()));
    xml.put_some("keyName", instance.key.as_ref());
    xml.put("amiLaunchIndex", 0)
        .list("productCodes", [(); 0], |_, ()| {})
        .put("instanceType", instance.kind())
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
    if instance.state == State::Terminated {
        // The record of an hour: no network any more.
        write_tags(world, &instance.id, xml);
        xml.put("rootDeviceType", "ebs").put("rootDeviceName", device).put("architecture", "x86_64");
        if let Some((code, message)) = &instance.state_reason {
            xml.group("stateReason", |xml| {
                xml.put("code", code).put("message", message);
            });
        }
        return;
    }
    xml.put("subnetId", &instance.subnet)
        .put("vpcId", &instance.vpc)
        .put("privateIpAddress", instance.private)
        .put_some("ipAddress", instance.public)
        .put("sourceDestCheck", true);
    write_groups(world, &instance.groups, xml);
    if let Some((code, message)) = &instance.state_reason {
        xml.group("stateReason", |xml| {
            xml.put("code", code).put("message", message);
        });
    }
    xml.put("architecture", "x86_64").put("rootDeviceType", "ebs").put("rootDeviceName", device);
    let own = (instance.root == Root::Attached).then_some((device, instance));
    let others = world.instances.iter().filter_map(|other| match &other.root {
        Root::At(holder, place) if *holder == instance.id => Some((place.as_str(), other)),
        _ => None,
    });
    xml.list("blockDeviceMapping", own.into_iter().chain(others), |xml, (device, owner)| {
        xml.put("deviceName", device).group("ebs", |xml| {
            xml.put("volumeId", &owner.volume)
                .put("status", "attached")
                .put("attachTime", time_text(instance.first_launched))
                .put("deleteOnTermination", owner.delete_root);
        });
    });
    xml.put("virtualizationType", "hvm").put("clientToken", &instance.client_token);
    write_tags(world, &instance.id, xml);
    xml.put("hypervisor", "xen");
    xml.list("networkInterfaceSet", cards(instance), |xml, card| {
        write_interface(world, &card, false, xml);
    });
    if instance.machine.spot.is_some() {
        xml.put("instanceLifecycle", "spot").put("spotInstanceRequestId", machine::spot_id(instance));
    }
    xml.put("ebsOptimized", false).put("enaSupport", true);
    if let Some(role) = &instance.role {
        xml.group("iamInstanceProfile", |xml| {
            xml.put("arn", profile::arn(world, role)).put("id", "AIPAPRACTICE0000PROF1");
        });
    }
    xml.group("hibernationOptions", |xml| {
        xml.put("configured", instance.machine.hibernation);
    });
    xml.group("cpuOptions", |xml| {
        xml.put("coreCount", 1).put("threadsPerCore", 2);
    });
    xml.group("metadataOptions", |xml| {
        machine::metadata(instance, xml);
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
    let (page, next) = params.page(chosen(world, params)?, 20)?;
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
    let (page, next) = params.page(found, 20)?;
    xml.list("instanceStatusSet", page, |xml, instance| {
        let (code, state) = instance.state.words();
        xml.put("instanceId", &instance.id).put("availabilityZone", &world.zone);
        xml.list("eventsSet", &instance.machine.event, |xml, event| {
            let start = std::time::SystemTime::now() + Duration::from_hours(event.hours);
            xml.put("instanceEventId", instance.id.replacen("i-", "instance-event-", 1))
                .put("code", &event.code)
                .put("description", &event.description)
                .put("notBefore", time_text(start))
                .put("notAfter", time_text(start + Duration::from_hours(2)));
        });
        xml.group("instanceState", |xml| {
            xml.put("code", code).put("name", state);
        });
        let checks = [("systemStatus", "system"), ("instanceStatus", "instance"), ("attachedEbsStatus", "ebs")];
        for (element, check) in checks {
            let impaired = instance.machine.impaired.iter().any(|known| known == check);
            let (summary, detail) = match instance.state {
                State::Running if instance.initializing.is_some() => ("initializing", "initializing"),
                State::Running if impaired => ("impaired", "failed"),
                State::Running => ("ok", "passed"),
                _ => ("not-applicable", ""),
            };
            xml.group(element, |xml| {
                xml.put("status", summary);
                if !detail.is_empty() {
                    xml.list("details", [()], |xml, ()| {
                        xml.put("name", "reachability").put("status", detail);
                        if impaired && detail == "failed" {
                            let since = std::time::SystemTime::now() - Duration::from_mins(42);
                            xml.put("impairedSince", time_text(since));
                        }
                    });
                }
            });
        }
    });
    xml.put_some("nextToken", next);
    Ok(())
}

pub(super) fn interfaces(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    params.ids_or_pages("NetworkInterfaceId")?;
    let ids = params.list("NetworkInterfaceId");
    let of_instances = world.instances.iter().filter(|instance| instance.state != State::Terminated).flat_map(cards);
    let of_endpoints = world.connect_endpoints.iter().map(|endpoint| Card {
        id: endpoint.id.replacen("eice-", "eni-", 1),
        subnet: &endpoint.subnet,
        vpc: &endpoint.vpc,
        groups: &endpoint.groups,
        private: endpoint.address,
        public: None,
        index: 0,
        instance: None,
    });
    let all: Vec<_> = of_instances.chain(of_endpoints).collect();
    if let Some(bad) = ids.iter().find(|id| !all.iter().any(|card| card.id == **id)) {
        return Err(Problem::new(
            "InvalidNetworkInterfaceID.NotFound",
            format!("The networkInterface ID '{bad}' does not exist"),
        ));
    }
    let wanted = all.iter().filter(|card| ids.is_empty() || ids.contains(&card.id));
    let found = params.select(world, wanted, |card| &card.id, |card, name| card_filter(world, card, name))?;
    let (page, next) = params.page(found, 1000)?;
    xml.list("networkInterfaceSet", page, |xml, card| {
        write_interface(world, card, true, xml);
    });
    xml.put_some("nextToken", next);
    Ok(())
}

fn card_filter(world: &World, card: &Card<'_>, name: &str) -> Option<Vec<String>> {
    let owner = card.instance.map(|instance| instance.id.clone());
    Some(match name {
        "network-interface-id" => vec![card.id.clone()],
        "attachment.instance-id" => owner.into_iter().collect(),
        "attachment.device-index" => vec![card.index.to_string()],
        "group-id" => card.groups.to_vec(),
        "subnet-id" => vec![card.subnet.to_owned()],
        "vpc-id" => vec![card.vpc.to_owned()],
        "private-ip-address" | "addresses.private-ip-address" => words(Some(card.private)),
        "association.public-ip" | "addresses.association.public-ip" => words(card.public),
        "association.public-dns-name" => card.public.iter().map(|ip| public_name(&world.region, *ip)).collect(),
        "private-dns-name" => vec![private_name(&world.region, card.private)],
        "ipv6-addresses.ipv6-address" => Vec::new(),
        "status" => vec!["in-use".to_owned()],
        "availability-zone" => vec![world.zone.clone()],
        "owner-id" => vec![world.account.clone()],
        _ => return None,
    })
}
