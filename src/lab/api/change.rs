//! Changes of the network: ACL entries, routes, gateways, and tags.

use ipnet::IpNet;

use super::params::Params;
use super::{Outcome, Problem, take_tags, write_tags};
use crate::lab::world::{Entry, Gateway, Route, World};
use crate::lab::xml::Xml;

fn exists(world: &World, id: &str) -> bool {
    world.instance(id).is_some()
        || world.groups.iter().any(|group| group.id == id)
        || world.rules.iter().any(|rule| rule.id == id)
        || world.vpcs.iter().any(|vpc| vpc.id == id)
        || world.subnets.iter().any(|subnet| subnet.id == id)
        || world.nacls.iter().any(|nacl| nacl.id == id)
        || world.route_tables.iter().any(|table| table.id == id)
        || world.gateways.iter().any(|gateway| gateway.id == id)
        || world.addresses.iter().any(|address| address.allocation == id)
        || world.key_pairs.iter().any(|known| known.id == id)
        || world.imported.iter().any(|known| known.id == id)
        || world.instances.iter().any(|instance| instance.volume == id)
        || world.snapshots.iter().any(|snapshot| snapshot.id == id)
        || world.owner_of(id).is_some()
        || world.nats.iter().any(|nat| nat.id == id)
        || world.links.iter().any(|link| link.id == id)
}

fn tag_targets(world: &World, params: &Params) -> Result<Vec<String>, Problem> {
    let ids = params.list("ResourceId");
    match ids.iter().find(|id| !exists(world, id)) {
        Some(bad) => Err(Problem::new("InvalidID", format!("The ID '{bad}' is not valid"))),
        None => Ok(ids),
    }
}

pub(super) fn create_tags(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let ids = tag_targets(world, params)?;
    if dry {
        return Err(Problem::dry_run());
    }
    for id in ids {
        for number in params.indices("Tag") {
            let key = params.required(&format!("Tag.{number}.Key"))?.to_owned();
            let value = params.get(&format!("Tag.{number}.Value")).unwrap_or_default().to_owned();
            world.tag(&id, &key, &value);
        }
    }
    xml.put("return", true);
    Ok(())
}

pub(super) fn delete_tags(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let ids = tag_targets(world, params)?;
    if dry {
        return Err(Problem::dry_run());
    }
    for id in ids {
        for number in params.indices("Tag") {
            let key = params.required(&format!("Tag.{number}.Key"))?;
            if let Some(tags) = world.tags.get_mut(&id) {
                tags.remove(key);
            }
        }
    }
    xml.put("return", true);
    Ok(())
}

fn nacl_at(world: &World, params: &Params) -> Result<usize, Problem> {
    let id = params.required("NetworkAclId")?;
    world
        .nacls
        .iter()
        .position(|nacl| nacl.id == id)
        .ok_or_else(|| Problem::new("InvalidNetworkAclID.NotFound", format!("The networkAcl ID '{id}' does not exist")))
}

fn entry(params: &Params) -> Result<Entry, Problem> {
    let number = params.number("RuleNumber")?.unwrap_or_default();
    if !(1..=32766).contains(&number) {
        return Err(Problem::new(
            "InvalidParameterValue",
            format!("Value ({number}) for parameter ruleNumber is invalid. It must be between 1 and 32766."),
        ));
    }
    let text = params.get("CidrBlock").or_else(|| params.get("Ipv6CidrBlock")).unwrap_or_default();
    let cidr: IpNet = text.parse().map_err(|_| {
        Problem::new(
            "InvalidParameterValue",
            format!("Value ({text}) for parameter cidrBlock is invalid. This is not a valid CIDR block."),
        )
    })?;
    let protocol = match params.required("Protocol")? {
        "tcp" => "6",
        "udp" => "17",
        "icmp" => "1",
        "all" => "-1",
        other => other,
    }
    .to_owned();
    let ports = match (params.number("PortRange.From")?, params.number("PortRange.To")?) {
        (Some(from), Some(to)) => Some((from, to)),
        _ if protocol == "6" || protocol == "17" => {
            return Err(Problem::new("MissingParameter", "The request must contain the parameter PortRange"));
        }
        _ => None,
    };
    let icmp = params.number("Icmp.Type")?.zip(params.number("Icmp.Code")?);
    let allow = params.required("RuleAction")? == "allow";
    Ok(Entry { number, egress: params.flag("Egress"), allow, protocol, ports, icmp, cidr: cidr.trunc() })
}

fn entry_at(world: &World, nacl: usize, number: i32, egress: bool) -> Option<usize> {
    world.nacls[nacl].entries.iter().position(|entry| (entry.number, entry.egress) == (number, egress))
}

fn no_entry(number: i32) -> Problem {
    Problem::new(
        "InvalidNetworkAclEntry.NotFound",
        format!("The network acl entry identified by {number} does not exist"),
    )
}

pub(super) fn create_entry(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let at = nacl_at(world, params)?;
    let entry = entry(params)?;
    if entry_at(world, at, entry.number, entry.egress).is_some() {
        return Err(Problem::new(
            "NetworkAclEntryAlreadyExists",
            format!("The network acl entry identified by {} already exists.", entry.number),
        ));
    }
    if dry {
        return Err(Problem::dry_run());
    }
    world.nacls[at].entries.push(entry);
    xml.put("return", true);
    Ok(())
}

pub(super) fn replace_entry(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let at = nacl_at(world, params)?;
    let entry = entry(params)?;
    let old = entry_at(world, at, entry.number, entry.egress).ok_or_else(|| no_entry(entry.number))?;
    if dry {
        return Err(Problem::dry_run());
    }
    world.nacls[at].entries[old] = entry;
    xml.put("return", true);
    Ok(())
}

pub(super) fn delete_entry(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let at = nacl_at(world, params)?;
    let number = params.number("RuleNumber")?.unwrap_or_default();
    if number >= 32767 {
        return Err(Problem::new("InvalidParameterValue", "The default rule of a network acl cannot be deleted."));
    }
    let old = entry_at(world, at, number, params.flag("Egress")).ok_or_else(|| no_entry(number))?;
    if dry {
        return Err(Problem::dry_run());
    }
    world.nacls[at].entries.remove(old);
    xml.put("return", true);
    Ok(())
}

fn table_at(world: &World, params: &Params) -> Result<usize, Problem> {
    let id = params.required("RouteTableId")?;
    world
        .route_tables
        .iter()
        .position(|table| table.id == id)
        .ok_or_else(|| Problem::new("InvalidRouteTableID.NotFound", format!("The routeTable ID '{id}' does not exist")))
}

fn destination(params: &Params) -> Result<IpNet, Problem> {
    let text = match params.get("DestinationIpv6CidrBlock") {
        Some(text) => text,
        None => params.required("DestinationCidrBlock")?,
    };
    text.parse::<IpNet>().map(|net| net.trunc()).map_err(|_| {
        Problem::new(
            "InvalidParameterValue",
            format!("Value ({text}) for parameter destinationCidrBlock is invalid. This is not a valid CIDR block."),
        )
    })
}

/// The target of a route: an internet gateway of this VPC, a NAT gateway, or a link of this VPC.
fn gateway_for(world: &World, params: &Params, vpc: &str) -> Result<String, Problem> {
    if let Some(id) = params.get("NatGatewayId") {
        let known = world.nats.iter().any(|nat| nat.id == id);
        let message = format!("The natGateway ID '{id}' does not exist");
        return if known { Ok(id.to_owned()) } else { Err(Problem::new("InvalidNatGatewayID.NotFound", message)) };
    }
    if let Some(id) = params.get("TransitGatewayId").or_else(|| params.get("VpcPeeringConnectionId")) {
        let known = world.links.iter().any(|link| link.id == id && link.vpc == vpc);
        let message = format!("The ID '{id}' does not exist or is not attached to this VPC");
        return if known { Ok(id.to_owned()) } else { Err(Problem::new("InvalidParameterValue", message)) };
    }
    let id = params.required("GatewayId")?;
    let gateway =
        world.gateways.iter().find(|gateway| gateway.id == id).ok_or_else(|| {
            Problem::new("InvalidGatewayID.NotFound", format!("The gateway ID '{id}' does not exist"))
        })?;
    if gateway.vpc.as_deref() == Some(vpc) {
        Ok(id.to_owned())
    } else {
        Err(Problem::new(
            "InvalidParameterValue",
            format!("route table and network gateway {id} belong to different networks"),
        ))
    }
}

pub(super) fn create_route(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let at = table_at(world, params)?;
    let to = destination(params)?;
    let via = gateway_for(world, params, &world.route_tables[at].vpc)?;
    if world.route_tables[at].routes.iter().any(|route| route.to == to) {
        return Err(Problem::new("RouteAlreadyExists", format!("The route identified by {to} already exists.")));
    }
    if dry {
        return Err(Problem::dry_run());
    }
    world.route_tables[at].routes.push(Route { to, via, created: true });
    xml.put("return", true);
    Ok(())
}

fn route_at(world: &World, table: usize, to: IpNet) -> Result<usize, Problem> {
    let routes = &world.route_tables[table].routes;
    match routes.iter().position(|route| route.to == to) {
        Some(at) if routes[at].created => Ok(at),
        Some(_) => Err(Problem::new("InvalidParameterValue", format!("cannot change the local route {to}"))),
        None => Err(Problem::new(
            "InvalidRoute.NotFound",
            format!("no route with destination-cidr-block {to} in route table {}", world.route_tables[table].id),
        )),
    }
}

pub(super) fn replace_route(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let at = table_at(world, params)?;
    let route = route_at(world, at, destination(params)?)?;
    let via = gateway_for(world, params, &world.route_tables[at].vpc)?;
    if dry {
        return Err(Problem::dry_run());
    }
    world.route_tables[at].routes[route].via = via;
    xml.put("return", true);
    Ok(())
}

pub(super) fn delete_route(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let at = table_at(world, params)?;
    let route = route_at(world, at, destination(params)?)?;
    if dry {
        return Err(Problem::dry_run());
    }
    world.route_tables[at].routes.remove(route);
    xml.put("return", true);
    Ok(())
}

/// Internet gateways per Region; the real default is 5, of which the stories use some.
const GATEWAY_QUOTA: usize = 20;

pub(super) fn create_gateway(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    if world.gateways.iter().filter(|gateway| !gateway.egress_only).count() >= GATEWAY_QUOTA {
        let message = "The maximum number of internet gateways has been reached.";
        return Err(Problem::new("InternetGatewayLimitExceeded", message));
    }
    if dry {
        return Err(Problem::dry_run());
    }
    let id = world.fresh_id("igw");
    take_tags(world, params, &id);
    world.gateways.push(Gateway { id: id.clone(), vpc: None, egress_only: false });
    let owner = world.account.clone();
    xml.group("internetGateway", |xml| {
        xml.put("internetGatewayId", &id).put("ownerId", &owner);
        xml.list("attachmentSet", [(); 0], |_, ()| {});
        write_tags(world, &id, xml);
    });
    Ok(())
}

pub(super) fn delete_gateway(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let id = params.required("InternetGatewayId")?.to_owned();
    let at = world.gateways.iter().position(|gateway| gateway.id == id && !gateway.egress_only).ok_or_else(|| {
        Problem::new("InvalidInternetGatewayID.NotFound", format!("The internetGateway ID '{id}' does not exist"))
    })?;
    if world.gateways[at].vpc.is_some() {
        let message = format!("The internetGateway '{id}' has dependencies and cannot be deleted.");
        return Err(Problem::new("DependencyViolation", message));
    }
    if dry {
        return Err(Problem::dry_run());
    }
    world.gateways.remove(at);
    world.tags.remove(&id);
    xml.put("return", true);
    Ok(())
}

fn gateway_and_vpc(world: &World, params: &Params) -> Result<(usize, String), Problem> {
    let (id, vpc) = (params.required("InternetGatewayId")?, params.required("VpcId")?);
    let at = world.gateways.iter().position(|gateway| gateway.id == id).ok_or_else(|| {
        Problem::new("InvalidInternetGatewayID.NotFound", format!("The internetGateway ID '{id}' does not exist"))
    })?;
    if world.vpcs.iter().any(|known| known.id == vpc) {
        Ok((at, vpc.to_owned()))
    } else {
        Err(Problem::new("InvalidVpcID.NotFound", format!("The vpc ID '{vpc}' does not exist")))
    }
}

pub(super) fn attach_gateway(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let (at, vpc) = gateway_and_vpc(world, params)?;
    let id = world.gateways[at].id.clone();
    if let Some(other) = &world.gateways[at].vpc {
        let message = format!("resource {id} is already attached to network {other}");
        return Err(Problem::new("Resource.AlreadyAssociated", message));
    }
    if world.gateways.iter().any(|gateway| gateway.vpc.as_ref() == Some(&vpc)) {
        let message = format!("Network {vpc} already has an internet gateway attached");
        return Err(Problem::new("InvalidParameterValue", message));
    }
    if dry {
        return Err(Problem::dry_run());
    }
    world.gateways[at].vpc = Some(vpc);
    xml.put("return", true);
    Ok(())
}

pub(super) fn detach_gateway(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let (at, vpc) = gateway_and_vpc(world, params)?;
    if world.gateways[at].vpc.as_ref() != Some(&vpc) {
        let message = format!("resource {} is not attached to network {vpc}", world.gateways[at].id);
        return Err(Problem::new("Gateway.NotAttached", message));
    }
    if world.instances.iter().any(|instance| instance.vpc == vpc && instance.public.is_some()) {
        let message = format!(
            "Network {vpc} has some mapped public address(es). Please unmap those public address(es) before detaching the gateway."
        );
        return Err(Problem::new("DependencyViolation", message));
    }
    if dry {
        return Err(Problem::dry_run());
    }
    world.gateways[at].vpc = None;
    xml.put("return", true);
    Ok(())
}
