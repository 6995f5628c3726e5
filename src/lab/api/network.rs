//! VPCs, subnets, ACLs, route tables, gateways and addresses, read only.

use super::params::Params;
use super::{Outcome, Problem, write_tags};
use crate::lab::world::World;
use crate::lab::xml::Xml;

/// Fails with `code` for the first id that is not known.
fn check<'a>(ids: &[String], code: &'static str, what: &str, known: impl Iterator<Item = &'a str> + Clone) -> Outcome {
    match ids.iter().find(|id| !known.clone().any(|known| known == **id)) {
        Some(bad) => Err(Problem::new(code, format!("The {what} ID '{bad}' does not exist"))),
        None => Ok(()),
    }
}

pub(super) fn nacls(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let ids = params.list("NetworkAclId");
    let known = world.nacls.iter().map(|nacl| nacl.id.as_str());
    check(&ids, "InvalidNetworkAclID.NotFound", "networkAcl", known)?;
    let wanted = world.nacls.iter().filter(|nacl| ids.is_empty() || ids.contains(&nacl.id));
    let found = params.select(
        world,
        wanted,
        |nacl| &nacl.id,
        |nacl, name| {
            Some(match name {
                "network-acl-id" => vec![nacl.id.clone()],
                "vpc-id" => vec![nacl.vpc.clone()],
                "default" => vec![nacl.default.to_string()],
                "association.subnet-id" => nacl.subnets.iter().map(|(_, subnet)| subnet.clone()).collect(),
                _ => return None,
            })
        },
    )?;
    let (page, next) = params.page(found, 1000)?;
    xml.list("networkAclSet", page, |xml, nacl| {
        xml.put("networkAclId", &nacl.id).put("vpcId", &nacl.vpc).put("default", nacl.default);
        xml.list("entrySet", &nacl.entries, |xml, entry| {
            xml.put("ruleNumber", entry.number)
                .put("protocol", &entry.protocol)
                .put("ruleAction", if entry.allow { "allow" } else { "deny" })
                .put("egress", entry.egress);
            match entry.cidr {
                ipnet::IpNet::V4(net) => xml.put("cidrBlock", net),
                ipnet::IpNet::V6(net) => xml.put("ipv6CidrBlock", net),
            };
            if let Some((kind, code)) = entry.icmp {
                xml.group("icmpTypeCode", |xml| {
                    xml.put("code", code).put("type", kind);
                });
            }
            if let Some((from, to)) = entry.ports {
                xml.group("portRange", |xml| {
                    xml.put("from", from).put("to", to);
                });
            }
        });
        xml.list("associationSet", &nacl.subnets, |xml, (association, subnet)| {
            xml.put("networkAclAssociationId", association).put("networkAclId", &nacl.id).put("subnetId", subnet);
        });
        write_tags(world, &nacl.id, xml);
        xml.put("ownerId", &world.account);
    });
    xml.put_some("nextToken", next);
    Ok(())
}

pub(super) fn route_tables(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let ids = params.list("RouteTableId");
    let known = world.route_tables.iter().map(|table| table.id.as_str());
    check(&ids, "InvalidRouteTableID.NotFound", "routeTable", known)?;
    let wanted = world.route_tables.iter().filter(|table| ids.is_empty() || ids.contains(&table.id));
    let found = params.select(
        world,
        wanted,
        |table| &table.id,
        |table, name| {
            Some(match name {
                "route-table-id" | "association.route-table-id" => vec![table.id.clone()],
                "vpc-id" => vec![table.vpc.clone()],
                "association.main" => {
                    table.associations.iter().map(|(_, subnet)| subnet.is_none().to_string()).collect()
                }
                // As in EC2: subnets that use the main table only implicitly are not listed.
                "association.subnet-id" => table.associations.iter().filter_map(|(_, subnet)| subnet.clone()).collect(),
                _ => return None,
            })
        },
    )?;
    let (page, next) = params.page(found, 100)?;
    xml.list("routeTableSet", page, |xml, table| {
        xml.put("routeTableId", &table.id).put("vpcId", &table.vpc);
        xml.list("routeSet", &table.routes, |xml, route| {
            match route.to {
                ipnet::IpNet::V4(net) => xml.put("destinationCidrBlock", net),
                ipnet::IpNet::V6(net) => xml.put("destinationIpv6CidrBlock", net),
            };
            xml.put(target(&route.via), &route.via);
            xml.put("state", if world.target_works(route, &table.vpc) { "active" } else { "blackhole" })
                .put("origin", if route.created { "CreateRoute" } else { "CreateRouteTable" });
        });
        xml.list("associationSet", &table.associations, |xml, (association, subnet)| {
            xml.put("routeTableAssociationId", association)
                .put("routeTableId", &table.id)
                .put_some("subnetId", subnet.as_ref())
                .put("main", subnet.is_none());
            xml.group("associationState", |xml| {
                xml.put("state", "associated");
            });
        });
        xml.list("propagatingVgwSet", [(); 0], |_, ()| {});
        write_tags(world, &table.id, xml);
        xml.put("ownerId", &world.account);
    });
    xml.put_some("nextToken", next);
    Ok(())
}

/// The element of a route's target, by the kind of its id.
fn target(via: &str) -> &'static str {
    match via.split_once('-').map_or(via, |(kind, _)| kind) {
        "nat" => "natGatewayId",
        "pcx" => "vpcPeeringConnectionId",
        "tgw" => "transitGatewayId",
        "eigw" => "egressOnlyInternetGatewayId",
        "eni" => "networkInterfaceId",
        _ => "gatewayId",
    }
}

pub(super) fn gateways(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let ids = params.list("InternetGatewayId");
    let all = world.gateways.iter().filter(|gateway| !gateway.egress_only);
    let known = all.clone().map(|gateway| gateway.id.as_str());
    check(&ids, "InvalidInternetGatewayID.NotFound", "internetGateway", known)?;
    let wanted = all.filter(|gateway| ids.is_empty() || ids.contains(&gateway.id));
    let found = params.select(
        world,
        wanted,
        |gateway| &gateway.id,
        |gateway, name| {
            Some(match name {
                "internet-gateway-id" => vec![gateway.id.clone()],
                "attachment.vpc-id" => gateway.vpc.clone().into_iter().collect(),
                "attachment.state" => gateway.vpc.iter().map(|_| "available".to_owned()).collect(),
                _ => return None,
            })
        },
    )?;
    let (page, next) = params.page(found, 1000)?;
    xml.list("internetGatewaySet", page, |xml, gateway| {
        xml.put("internetGatewayId", &gateway.id).put("ownerId", &world.account);
        xml.list("attachmentSet", &gateway.vpc, |xml, vpc| {
            xml.put("vpcId", vpc).put("state", "available");
        });
        write_tags(world, &gateway.id, xml);
    });
    xml.put_some("nextToken", next);
    Ok(())
}

pub(super) fn subnets(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let ids = params.list("SubnetId");
    let known = world.subnets.iter().map(|subnet| subnet.id.as_str());
    check(&ids, "InvalidSubnetID.NotFound", "subnet", known)?;
    let wanted = world.subnets.iter().filter(|subnet| ids.is_empty() || ids.contains(&subnet.id));
    let found = params.select(
        world,
        wanted,
        |subnet| &subnet.id,
        |subnet, name| {
            Some(match name {
                "subnet-id" => vec![subnet.id.clone()],
                "vpc-id" => vec![subnet.vpc.clone()],
                "availability-zone" => vec![world.zone.clone()],
                "cidr-block" | "cidrBlock" => vec![subnet.cidr.to_string()],
                "state" => vec!["available".to_owned()],
                _ => return None,
            })
        },
    )?;
    let (page, next) = params.page(found, 1000)?;
    xml.list("subnetSet", page, |xml, subnet| {
        xml.put("subnetId", &subnet.id)
            .put("subnetArn", format!("arn:aws:ec2:{}:{}:subnet/{}", world.region, world.account, subnet.id))
            .put("state", "available")
            .put("ownerId", &world.account)
            .put("vpcId", &subnet.vpc)
            .put("cidrBlock", subnet.cidr)
            .put("availableIpAddressCount", 240)
            .put("availabilityZone", &world.zone)
            .put("availabilityZoneId", "use1-az1")
            .put("defaultForAz", false)
            .put("mapPublicIpOnLaunch", subnet.auto_public)
            .put("assignIpv6AddressOnCreation", false)
            .put("ipv6Native", false);
        write_block(world, &subnet.vpc, xml);
        write_tags(world, &subnet.id, xml);
    });
    xml.put_some("nextToken", next);
    Ok(())
}

pub(super) fn vpcs(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let ids = params.list("VpcId");
    check(&ids, "InvalidVpcID.NotFound", "vpc", world.vpcs.iter().map(|vpc| vpc.id.as_str()))?;
    let wanted = world.vpcs.iter().filter(|vpc| ids.is_empty() || ids.contains(&vpc.id));
    let found = params.select(
        world,
        wanted,
        |vpc| &vpc.id,
        |vpc, name| {
            Some(match name {
                "vpc-id" => vec![vpc.id.clone()],
                "cidr" | "cidr-block-association.cidr-block" => vec![vpc.cidr.to_string()],
                "is-default" | "isDefault" => vec!["false".to_owned()],
                "state" => vec!["available".to_owned()],
                _ => return None,
            })
        },
    )?;
    let (page, next) = params.page(found, 1000)?;
    xml.list("vpcSet", page, |xml, vpc| {
        xml.put("vpcId", &vpc.id).put("ownerId", &world.account).put("state", "available").put("cidrBlock", vpc.cidr);
        xml.list("cidrBlockAssociationSet", [()], |xml, ()| {
            xml.put("cidrBlock", vpc.cidr).put("associationId", vpc.id.replacen("vpc-", "vpc-cidr-assoc-", 1));
            xml.group("cidrBlockState", |xml| {
                xml.put("state", "associated");
            });
        });
        xml.put("dhcpOptionsId", "default").put("instanceTenancy", "default").put("isDefault", false);
        write_block(world, &vpc.id, xml);
        write_tags(world, &vpc.id, xml);
    });
    xml.put_some("nextToken", next);
    Ok(())
}

pub(super) fn vpc_attribute(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let id = params.required("VpcId")?;
    check(&[id.to_owned()], "InvalidVpcID.NotFound", "vpc", world.vpcs.iter().map(|vpc| vpc.id.as_str()))?;
    let element = match params.required("Attribute")? {
        "enableDnsSupport" => "enableDnsSupport",
        "enableDnsHostnames" => "enableDnsHostnames",
        other => {
            return Err(Problem::new("InvalidParameterValue", format!("Unknown attribute {other}")));
        }
    };
    xml.put("vpcId", id).group(element, |xml| {
        xml.put("value", true);
    });
    Ok(())
}

/// How Block Public Access works in a VPC.
fn write_block(world: &World, vpc: &str, xml: &mut Xml) {
    let mode = world.vpcs.iter().find(|known| known.id == vpc).map_or("off", |known| known.block_public.as_str());
    xml.group("blockPublicAccessStates", |xml| {
        xml.put("internetGatewayBlockMode", mode);
    });
}

/// The account's mode is the strictest of its VPCs; the others are excluded from it.
fn account_mode(world: &World) -> &str {
    let modes = || world.vpcs.iter().map(|vpc| vpc.block_public.as_str());
    modes().find(|mode| *mode == "block-bidirectional").or_else(|| modes().find(|mode| *mode != "off")).unwrap_or("off")
}

#[expect(clippy::unnecessary_wraps, reason = "all actions have one signature")]
pub(super) fn block_public_access(world: &World, _params: &Params, xml: &mut Xml) -> Outcome {
    let mode = account_mode(world);
    xml.group("vpcBlockPublicAccessOptions", |xml| {
        xml.put("awsAccountId", &world.account)
            .put("awsRegion", &world.region)
            .put("state", if mode == "off" { "default-state" } else { "update-complete" })
            .put("internetGatewayBlockMode", mode)
            .put("managedBy", "account")
            .put("exclusionsAllowed", "allowed");
    });
    Ok(())
}

pub(super) fn exclusions(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let open = world.vpcs.iter().filter(|vpc| vpc.block_public == "off" && account_mode(world) != "off").collect();
    let (page, next) = params.page::<&crate::lab::world::Vpc>(open, 1000)?;
    xml.list("vpcBlockPublicAccessExclusionSet", page, |xml, vpc| {
        xml.put("exclusionId", vpc.id.replacen("vpc-", "vpcbpa-exclude-", 1))
            .put("internetGatewayExclusionMode", "allow-bidirectional")
            .put("resourceArn", format!("arn:aws:ec2:{}:{}:vpc/{}", world.region, world.account, vpc.id))
            .put("state", "create-complete");
    });
    xml.put_some("nextToken", next);
    Ok(())
}

pub(super) fn addresses(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let ids = params.list("AllocationId");
    let known = world.addresses.iter().map(|address| address.allocation.as_str());
    check(&ids, "InvalidAllocationID.NotFound", "allocation", known)?;
    let ips = params.list("PublicIp");
    if let Some(bad) = ips.iter().find(|ip| !world.addresses.iter().any(|address| address.ip.to_string() == **ip)) {
        return Err(Problem::new("InvalidAddress.NotFound", format!("Address '{bad}' not found.")));
    }
    let wanted = world
        .addresses
        .iter()
        .filter(|address| ids.is_empty() || ids.contains(&address.allocation))
        .filter(|address| ips.is_empty() || ips.contains(&address.ip.to_string()));
    let found = params.select(
        world,
        wanted,
        |address| &address.allocation,
        |address, name| {
            let bound = address.bound.as_ref();
            let instance = bound.and_then(|(_, id)| world.instance(id));
            Some(match name {
                "allocation-id" => vec![address.allocation.clone()],
                "public-ip" => vec![address.ip.to_string()],
                "instance-id" => bound.map(|(_, id)| id.clone()).into_iter().collect(),
                "association-id" => bound.map(|(id, _)| id.clone()).into_iter().collect(),
                "network-interface-id" => instance.map(|found| found.interface.clone()).into_iter().collect(),
                "private-ip-address" => instance.map(|found| found.private.to_string()).into_iter().collect(),
                "domain" => vec!["vpc".to_owned()],
                _ => return None,
            })
        },
    )?;
    xml.list("addressesSet", found, |xml, address| {
        xml.put("publicIp", address.ip).put("allocationId", &address.allocation).put("domain", "vpc");
        if let Some((association, id)) = &address.bound {
            xml.put("instanceId", id).put("associationId", association);
            if let Some(instance) = world.instance(id) {
                xml.put("networkInterfaceId", &instance.interface)
                    .put("networkInterfaceOwnerId", &world.account)
                    .put("privateIpAddress", instance.private);
            }
        }
        write_tags(world, &address.allocation, xml);
        xml.put("publicIpv4Pool", "amazon").put("networkBorderGroup", &world.region);
    });
    Ok(())
}
