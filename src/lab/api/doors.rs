//! What stands beside the internet gateway: endpoints, links to other networks, prefix lists, the serial console.

use super::params::Params;
use super::{Outcome, Problem, write_tags};
use crate::lab::ids::{self, time_text};
use crate::lab::world::{Link, World};
use crate::lab::xml::Xml;

/// Fails for the first id that is not known.
fn check<'a>(ids: &[String], code: &'static str, known: impl Iterator<Item = &'a str> + Clone) -> Outcome {
    match ids.iter().find(|id| !known.clone().any(|known| known == **id)) {
        Some(bad) => Err(Problem::new(code, format!("The ID '{bad}' does not exist"))),
        None => Ok(()),
    }
}

/// When the things of this file were made.
fn made(world: &World) -> String {
    world.instances.first().map_or_else(String::new, |instance| time_text(instance.first_launched))
}

pub(super) fn vpc_endpoints(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let ids = params.list("VpcEndpointId");
    check(&ids, "InvalidVpcEndpointId.NotFound", world.vpc_endpoints.iter().map(|known| known.id.as_str()))?;
    let wanted = world.vpc_endpoints.iter().filter(|known| ids.is_empty() || ids.contains(&known.id));
    let gateway = |service: &str| matches!(service.rsplit('.').next(), Some("s3" | "dynamodb"));
    let found = params.select(
        world,
        wanted,
        |known| &known.id,
        |known, name| {
            Some(match name {
                "vpc-endpoint-id" => vec![known.id.clone()],
                "vpc-id" => vec![known.vpc.clone()],
                "service-name" => vec![known.service.clone()],
                "vpc-endpoint-state" => vec![known.state.clone()],
                "vpc-endpoint-type" => {
                    vec![if gateway(&known.service) { "Gateway" } else { "Interface" }.to_owned()]
                }
                _ => return None,
            })
        },
    )?;
    let (page, next) = params.page(found, 1000)?;
    xml.list("vpcEndpointSet", page, |xml, known| {
        xml.put("vpcEndpointId", &known.id)
            .put("vpcEndpointType", if gateway(&known.service) { "Gateway" } else { "Interface" })
            .put("vpcId", &known.vpc)
            .put("serviceName", &known.service)
            .put("state", &known.state);
        xml.list("routeTableIdSet", [(); 0], |_, ()| {});
        xml.list("subnetIdSet", &known.subnets, |xml, id| {
            xml.text(id);
        });
        xml.list("groupSet", &known.groups, |xml, id| {
            let name = world.groups.iter().find(|group| group.id == *id).map(|group| &group.name);
            xml.put("groupId", id).put_some("groupName", name);
        });
        xml.put("privateDnsEnabled", known.private_dns).put("requesterManaged", false);
        xml.put("creationTimestamp", made(world)).put("ownerId", &world.account);
        write_tags(world, &known.id, xml);
    });
    xml.put_some("nextToken", next);
    Ok(())
}

pub(super) fn connect_endpoints(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let ids = params.list("InstanceConnectEndpointId");
    let known = world.connect_endpoints.iter().map(|known| known.id.as_str());
    check(&ids, "InvalidInstanceConnectEndpointId.NotFound", known)?;
    let wanted = world.connect_endpoints.iter().filter(|known| ids.is_empty() || ids.contains(&known.id));
    let found = params.select(
        world,
        wanted,
        |known| &known.id,
        |known, name| {
            Some(match name {
                "instance-connect-endpoint-id" => vec![known.id.clone()],
                "vpc-id" => vec![known.vpc.clone()],
                "subnet-id" => vec![known.subnet.clone()],
                "state" => vec![known.state.clone()],
                _ => return None,
            })
        },
    )?;
    // At most five per Region: they are one page.
    xml.list("instanceConnectEndpointSet", found, |xml, known| {
        let name = world.endpoint.map_or_else(
            || format!("{}.a1b2c3d4.ec2-instance-connect-endpoint.{}.amazonaws.com", known.id, world.region),
            |at| at.to_string(),
        );
        xml.put("ownerId", &world.account)
            .put("instanceConnectEndpointId", &known.id)
            .put(
                "instanceConnectEndpointArn",
                format!("arn:aws:ec2:{}:{}:instance-connect-endpoint/{}", world.region, world.account, known.id),
            )
            .put("state", &known.state)
            .put_some("stateMessage", known.message.as_ref())
            .put("dnsName", name);
        xml.list("networkInterfaceIdSet", [known.id.replacen("eice-", "eni-", 1)], |xml, id| {
            xml.text(id);
        });
        xml.put("vpcId", &known.vpc)
            .put("availabilityZone", &world.zone)
            .put("createdAt", made(world))
            .put("subnetId", &known.subnet)
            .put("preserveClientIp", known.preserve_client_ip);
        xml.list("securityGroupIdSet", &known.groups, |xml, id| {
            xml.text(id);
        });
        write_tags(world, &known.id, xml);
        xml.put("ipAddressType", "ipv4");
    });
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "all actions have one signature")]
pub(super) fn serial_console(world: &World, _params: &Params, xml: &mut Xml) -> Outcome {
    xml.put("serialConsoleAccessEnabled", world.serial_console).put("managedBy", "account");
    Ok(())
}

fn switch(world: &mut World, xml: &mut Xml, dry: bool, on: bool) -> Outcome {
    if dry {
        return Err(Problem::dry_run());
    }
    world.serial_console = on;
    xml.put("serialConsoleAccessEnabled", on);
    Ok(())
}

pub(super) fn enable_serial_console(world: &mut World, _params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    switch(world, xml, dry, true)
}

pub(super) fn disable_serial_console(world: &mut World, _params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    switch(world, xml, dry, false)
}

fn links<'a>(world: &'a World, kind: &'a str) -> impl Iterator<Item = &'a Link> + Clone {
    world.links.iter().filter(move |link| link.id.starts_with(kind))
}

pub(super) fn peerings(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let ids = params.list("VpcPeeringConnectionId");
    check(&ids, "InvalidVpcPeeringConnectionID.NotFound", links(world, "pcx-").map(|link| link.id.as_str()))?;
    let wanted = links(world, "pcx-").filter(|link| ids.is_empty() || ids.contains(&link.id));
    let found = params.select(
        world,
        wanted,
        |link| &link.id,
        |link, name| {
            Some(match name {
                "vpc-peering-connection-id" => vec![link.id.clone()],
                "requester-vpc-info.vpc-id" => vec![link.vpc.clone()],
                "accepter-vpc-info.vpc-id" => vec![other_side(world, link)],
                "status-code" => vec![link.state.clone()],
                _ => return None,
            })
        },
    )?;
    let (page, next) = params.page(found, 1000)?;
    xml.list("vpcPeeringConnectionSet", page, |xml, link| {
        let own = world.vpcs.iter().find(|vpc| vpc.id == link.vpc).map(|vpc| vpc.cidr.to_string());
        xml.put("vpcPeeringConnectionId", &link.id);
        for (element, vpc, cidr) in [
            ("requesterVpcInfo", link.vpc.clone(), own.unwrap_or_default()),
            ("accepterVpcInfo", other_side(world, link), link.peer.to_string()),
        ] {
            xml.group(element, |xml| {
                xml.put("ownerId", &world.account).put("vpcId", vpc).put("cidrBlock", &cidr);
                xml.list("cidrBlockSet", [&cidr], |xml, cidr| {
                    xml.put("cidrBlock", cidr);
                });
                xml.put("region", &world.region);
            });
        }
        xml.group("status", |xml| {
            xml.put("code", &link.state).put("message", &link.state);
        });
        write_tags(world, &link.id, xml);
    });
    xml.put_some("nextToken", next);
    Ok(())
}

/// The id of the VPC beyond a link.
fn other_side(world: &World, link: &Link) -> String {
    ids::id(world.seed, "vpc", &format!("beyond {}", link.name))
}

pub(super) fn transit(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let attachment = |link: &Link| link.id.replacen("tgw-", "tgw-attach-", 1);
    let ids = params.list("TransitGatewayAttachmentIds");
    let wanted = links(world, "tgw-").filter(|link| ids.is_empty() || ids.contains(&attachment(link)));
    let found = params.select(
        world,
        wanted,
        |link| &link.id,
        |link, name| {
            Some(match name {
                "transit-gateway-id" => vec![link.id.clone()],
                "transit-gateway-attachment-id" => vec![attachment(link)],
                "resource-id" => vec![link.vpc.clone()],
                "resource-type" => vec!["vpc".to_owned()],
                "state" => vec![link.state.clone()],
                _ => return None,
            })
        },
    )?;
    let (page, next) = params.page(found, 1000)?;
    xml.list("transitGatewayAttachments", page, |xml, link| {
        xml.put("transitGatewayAttachmentId", attachment(link))
            .put("transitGatewayId", &link.id)
            .put("transitGatewayOwnerId", &world.account)
            .put("resourceOwnerId", &world.account)
            .put("resourceType", "vpc")
            .put("resourceId", &link.vpc)
            .put("state", &link.state)
            .put("creationTime", made(world));
        write_tags(world, &link.id, xml);
    });
    xml.put_some("nextToken", next);
    Ok(())
}

pub(super) fn nats(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let ids = params.list("NatGatewayId");
    check(&ids, "NatGatewayNotFound", world.nats.iter().map(|nat| nat.id.as_str()))?;
    let wanted = world.nats.iter().filter(|nat| ids.is_empty() || ids.contains(&nat.id));
    let found = params.select(
        world,
        wanted,
        |nat| &nat.id,
        |nat, name| {
            Some(match name {
                "nat-gateway-id" => vec![nat.id.clone()],
                "vpc-id" => vec![nat.vpc.clone()],
                "subnet-id" => vec![nat.subnet.clone()],
                "state" => vec![nat.state.clone()],
                _ => return None,
            })
        },
    )?;
    let (page, next) = params.page(found, 1000)?;
    xml.list("natGatewaySet", page, |xml, nat| {
        xml.put("natGatewayId", &nat.id)
            .put("subnetId", &nat.subnet)
            .put("vpcId", &nat.vpc)
            .put("state", &nat.state)
            .put("connectivityType", "public")
            .put("createTime", made(world));
        xml.list("natGatewayAddressSet", [()], |xml, ()| {
            xml.put("allocationId", nat.id.replacen("nat-", "eipalloc-", 1))
                .put("networkInterfaceId", nat.id.replacen("nat-", "eni-", 1))
                .put("privateIp", nat.private)
                .put("publicIp", nat.public)
                .put("isPrimary", true)
                .put("status", "succeeded");
        });
        write_tags(world, &nat.id, xml);
    });
    xml.put_some("nextToken", next);
    Ok(())
}

pub(super) fn egress_only(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let ids = params.list("EgressOnlyInternetGatewayId");
    let all = world.gateways.iter().filter(|gateway| gateway.egress_only);
    check(&ids, "InvalidGatewayID.NotFound", all.clone().map(|gateway| gateway.id.as_str()))?;
    let wanted = all.filter(|gateway| ids.is_empty() || ids.contains(&gateway.id));
    let found = params.select(world, wanted, |gateway| &gateway.id, |_, _| None)?;
    let (page, next) = params.page(found, 255)?;
    xml.list("egressOnlyInternetGatewaySet", page, |xml, gateway| {
        xml.put("egressOnlyInternetGatewayId", &gateway.id);
        xml.list("attachmentSet", &gateway.vpc, |xml, vpc| {
            xml.put("vpcId", vpc).put("state", "attached");
        });
        write_tags(world, &gateway.id, xml);
    });
    xml.put_some("nextToken", next);
    Ok(())
}

pub(super) fn prefix_lists(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let ids = params.list("PrefixListId");
    check(&ids, "InvalidPrefixListID.NotFound", world.prefix_lists.iter().map(|list| list.id.as_str()))?;
    let wanted = world.prefix_lists.iter().filter(|list| ids.is_empty() || ids.contains(&list.id));
    let found = params.select(
        world,
        wanted,
        |list| &list.id,
        |list, name| {
            Some(match name {
                "owner-id" => vec![list.owner.clone()],
                "prefix-list-id" => vec![list.id.clone()],
                "prefix-list-name" => vec![list.name.clone()],
                _ => return None,
            })
        },
    )?;
    xml.list("prefixListSet", found, |xml, list| {
        let six = list.entries.iter().all(|net| matches!(net, ipnet::IpNet::V6(_)));
        let arn_owner = if list.owner == "AWS" { "aws" } else { list.owner.as_str() };
        xml.put("prefixListId", &list.id)
            .put("addressFamily", if six { "IPv6" } else { "IPv4" })
            .put("state", "create-complete")
            .put("prefixListArn", format!("arn:aws:ec2:{}:{arn_owner}:prefix-list/{}", world.region, list.id))
            .put("prefixListName", &list.name)
            .put("maxEntries", list.entries.len().max(10))
            .put("version", 1)
            .put("ownerId", &list.owner);
        write_tags(world, &list.id, xml);
    });
    Ok(())
}

pub(super) fn prefix_entries(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let id = params.required("PrefixListId")?;
    let list = world.prefix_lists.iter().find(|list| list.id == id).ok_or_else(|| {
        Problem::new("InvalidPrefixListID.NotFound", format!("The prefix list ID '{id}' does not exist"))
    })?;
    xml.list("entrySet", &list.entries, |xml, net| {
        xml.put("cidr", net);
    });
    Ok(())
}
