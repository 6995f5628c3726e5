//! `route-to-igw`: a way for answers to the client through the VPC's internet gateway.
//!
//! Never takes a route that works away from what it leads to: a private subnet is one by design.

use super::parts::{instance, look, nothing, plan_for, refuse, some, way};
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::plan::{Choices, Gate, GateState, NetworkAction, Plan, Risk, Step};
use crate::core::vpc::route::{route_text, target_text};
use crate::core::vpc::types::{RouteDestination, RouteTable, RouteTarget};
use crate::core::vpc::{IgwDecision, PathResult, PublicDecision, RouteDecision, Way};
use ipnet::IpNet;

const NEXT: &str =
    "use a door that needs no public route: Session Manager, an Instance Connect Endpoint, a VPN or a bastion";

/// Plans a default route to the internet gateway, or gives a blackhole that gateway as its target.
/// Fails with one sentence when route tables, gateways or the client's address are not known.
pub fn plan(facts: &Facts, _choices: &Choices) -> Result<Plan, String> {
    let instance = instance(facts)?;
    let (path, source) = way(facts)?;
    let plan = Plan {
        risk: Risk::High,
        verify: vec!["route-to-client".to_owned()],
        permissions: ["ec2:CreateRoute", "ec2:ReplaceRoute", "ec2:DeleteRoute", "ec2:DescribeRouteTables"]
            .map(str::to_owned)
            .into(),
        ..plan_for("route-to-igw", facts, instance)
    };
    if path.way == Way::Private {
        let why = format!("{source} comes over a private network, and an internet gateway is not on that way; {NEXT}");
        return Ok(refuse(plan, "way", "no route is added", why));
    }
    let everything: IpNet = path.family.everything().parse().map_err(|_| "no default route".to_owned())?;
    let (table, destination, before) = match &path.route {
        RouteDecision::Unknown { why } => return Err(format!("the route to the client is not known: {}", why.text())),
        RouteDecision::Missing { table } => (table.id.clone(), everything, None),
        RouteDecision::Blackhole { table, route } => match &route.destination {
            RouteDestination::Cidr(net) => (table.id.clone(), *net, Some(target_text(&route.target).to_owned())),
            RouteDestination::PrefixList(list) => {
                let why = format!(
                    "the blackhole is for the prefix list {list}, which others fill: its owner must say where it leads now"
                );
                return Ok(refuse(plan, "route", "no route is added", why));
            }
        },
        RouteDecision::Via { table, route } => {
            let text = format!("{}: {}", table.id, route_text(route));
            return Ok(match &route.target {
                RouteTarget::InternetGateway(_) => nothing(plan, format!("the route is there ({text})")),
                other => refuse(plan, "route", "a route that works is not replaced", live(&text, other)),
            });
        }
    };
    let gateway = match &path.igw {
        IgwDecision::Attached { id } => id.clone(),
        IgwDecision::NotAttached { vpc, .. } => {
            let why = format!("{vpc} has no internet gateway attached: apply igw-attach first");
            return Ok(refuse(plan, "gateway", "no gateway to lead a route to", why));
        }
        IgwDecision::Unknown { why } => return Err(format!("the internet gateway is not known: {}", why.text())),
        IgwDecision::NotNeeded => return Err("no internet gateway is on the way to this address".to_owned()),
    };
    // A blackhole to the very gateway that is attached: AWS sets it right by itself.
    if before.as_deref() == Some(gateway.as_str()) {
        return Ok(nothing(plan, format!("{table} leads {destination} to {gateway} already")));
    }
    let tables = facts.aws.route_tables.value().map(Vec::as_slice).unwrap_or_default();
    let seen = tables.iter().find(|t| t.id == table).ok_or_else(|| format!("the route table {table} is not known"))?;
    Ok(filled(plan, instance, &path, seen, &Change { destination, before, gateway }))
}

struct Change {
    destination: IpNet,
    before: Option<String>,
    gateway: String,
}

fn filled(mut plan: Plan, instance: &Instance, path: &PathResult, table: &RouteTable, change: &Change) -> Plan {
    let Change { destination, before, gateway } = change;
    plan.title = match before {
        Some(old) => format!("lead {destination} of {} to {gateway} instead of {old}, which is gone", label(table)),
        None => format!("lead {destination} of {} to {gateway}", label(table)),
    };
    plan.gates = gates(path, table, before.as_deref());
    plan.steps.push(step(&instance.region, table, change));
    plan.steps.push(look("wait until the route is seen, then run the failed checks again", instance));
    plan
}

fn label(table: &RouteTable) -> String {
    table.name.as_ref().map_or_else(|| table.id.clone(), |name| format!("{name} ({})", table.id))
}

fn live(text: &str, target: &RouteTarget) -> String {
    let what = match target {
        RouteTarget::Nat(_) => "a NAT gateway: the subnet is private by design, connections only go out",
        RouteTarget::EgressOnlyGateway(_) => "an egress-only gateway: the subnet is private by design for IPv6",
        RouteTarget::TransitGateway(_) | RouteTarget::VpnGateway(_) | RouteTarget::Peering(_) => {
            "another network, by which others may depend on it"
        }
        RouteTarget::Appliance(_) | RouteTarget::Endpoint(_) => "something that inspects the traffic",
        RouteTarget::Local | RouteTarget::InternetGateway(_) | RouteTarget::Other(_) => "another target that works",
    };
    format!("the route leads to {what} ({text}); {NEXT}")
}

fn gates(path: &PathResult, table: &RouteTable, before: Option<&str>) -> Vec<Gate> {
    let subnet = path.owner.as_ref().and_then(|o| o.interface.subnet_id.clone()).unwrap_or_default();
    let mut who = table.subnets.clone();
    if !who.contains(&subnet) {
        who.insert(0, subnet);
    }
    let more = if table.main {
        " and every subnet of the VPC that has no table of its own (it is the main table)"
    } else {
        ""
    };
    let mut out = vec![Gate::new(
        "shared",
        GateState::Warn,
        format!("{} serves {}{more}: all of them become public-capable", table.id, some(&who)),
    )];
    if let Some(old) = before {
        out.push(Gate::new(
            "replaces",
            GateState::Warn,
            format!("the route led to {old}, which is gone: whoever removed it may have meant another target"),
        ));
    }
    if matches!(path.public, PublicDecision::Missing) {
        out.push(Gate::new(
            "public-address",
            GateState::Warn,
            "the instance has no public address: the route alone lets nobody in (eip-associate)",
        ));
    }
    out.push(Gate::new("private-doors", GateState::Ok, format!("or leave the subnet private: {NEXT}")));
    out
}

/// The option of the aws CLI that names a target.
fn option(target: &str) -> &'static str {
    match target.split('-').next().unwrap_or_default() {
        "nat" => "--nat-gateway-id",
        "tgw" => "--transit-gateway-id",
        "pcx" => "--vpc-peering-connection-id",
        "eni" => "--network-interface-id",
        "i" => "--instance-id",
        "eigw" => "--egress-only-internet-gateway-id",
        "vpce" => "--vpc-endpoint-id",
        "lgw" => "--local-gateway-id",
        "cagw" => "--carrier-gateway-id",
        _ if target.starts_with("arn:") => "--core-network-arn",
        _ => "--gateway-id",
    }
}

fn step(region: &str, table: &RouteTable, change: &Change) -> Step {
    let Change { destination, before, gateway } = change;
    let kind = if destination.addr().is_ipv4() { "--destination-cidr-block" } else { "--destination-ipv6-cidr-block" };
    let place = format!("--region {region} --route-table-id {} {kind} {destination}", table.id);
    let action = NetworkAction::PutRoute {
        region: region.to_owned(),
        table: table.id.clone(),
        destination: *destination,
        gateway: gateway.clone(),
        before: before.clone(),
    };
    match before {
        Some(old) => Step::deed(
            format!("lead {destination} of {} to {gateway} ({old} is gone)", label(table)),
            format!("aws ec2 replace-route {place} --gateway-id {gateway}"),
            Some(format!("aws ec2 replace-route {place} {} {old} || aws ec2 delete-route {place}", option(old))),
            action,
        ),
        None => Step::deed(
            format!("add to {}: {destination} to {gateway}", label(table)),
            format!("aws ec2 create-route {place} --gateway-id {gateway}"),
            Some(format!("aws ec2 delete-route {place}")),
            action,
        ),
    }
}
