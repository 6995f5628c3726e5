//! Route tables: which one a subnet uses, and which of its routes an address takes.
//!
//! Source: VPC User Guide, "Subnet route tables" and "Route priority".

use crate::core::fact::Why;
use crate::core::vpc::flow::{Family, Sources, is_private};
use crate::core::vpc::security_group::{PrefixLists, entries, needs_source, unexpanded};
use crate::core::vpc::types::{Route, RouteDestination, RouteTable, RouteTarget};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Which way answers to the client take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum RouteDecision {
    /// By this route.
    Via {
        /// The table.
        table: TableRef,
        /// The route.
        route: Route,
    },
    /// By this route, whose target is gone: dropped.
    Blackhole {
        /// The table.
        table: TableRef,
        /// The route.
        route: Route,
    },
    /// No route matches: dropped.
    Missing {
        /// The table.
        table: TableRef,
    },
    /// The facts do not tell.
    Unknown {
        /// Why.
        why: Why,
    },
}

/// A route table and how the subnet came to use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRef {
    /// `rtb-…`.
    pub id: String,
    /// Whether it is used because it is the main table and the subnet has no other.
    pub main: bool,
}

impl TableRef {
    /// `rtb-… (main table)`.
    pub fn text(&self) -> String {
        if self.main { format!("{} (the VPC's main table)", self.id) } else { self.id.clone() }
    }
}

/// The table of a subnet: the associated one, else the main one of its VPC.
pub fn table_of<'a>(
    tables: &'a [RouteTable],
    subnet: &str,
    vpc: Option<&str>,
) -> Result<(&'a RouteTable, TableRef), Why> {
    let own = tables.iter().find(|t| t.subnets.iter().any(|s| s == subnet));
    let in_vpc = |t: &&RouteTable| match (vpc, t.vpc_id.as_deref()) {
        (Some(vpc), Some(of)) => vpc == of,
        _ => true,
    };
    let found = own.map(|t| (t, false)).or_else(|| tables.iter().filter(in_vpc).find(|t| t.main).map(|t| (t, true)));
    match found {
        Some((table, main)) => Ok((table, TableRef { id: table.id.clone(), main })),
        None => Err(Why::needs(format!("the route table of {subnet}"))),
    }
}

/// The most specific route of a table for an address, among those whose destination is known.
///
/// Local routes win over everything but a more specific static route to something that inspects
/// (interface, endpoint, NAT). On equal length a static range wins over a prefix list, and both
/// over a propagated route.
pub fn best<'a>(table: &'a RouteTable, lists: &PrefixLists, address: IpAddr) -> Option<&'a Route> {
    let length = |route: &Route| -> Option<u8> {
        match &route.destination {
            RouteDestination::Cidr(net) => net.contains(&address).then(|| net.prefix_len()),
            RouteDestination::PrefixList(id) => {
                entries(lists, id)?.iter().filter(|n| n.contains(&address)).map(IpNet::prefix_len).max()
            }
        }
    };
    let rank = |route: &Route| match (&route.destination, route.propagated) {
        (_, true) => 0_u8,
        (RouteDestination::PrefixList(_), false) => 1,
        (RouteDestination::Cidr(_), false) => 2,
    };
    let local = table.routes.iter().filter(|r| r.target == RouteTarget::Local).filter_map(length).max();
    let may_override = |route: &Route| {
        !route.propagated
            && matches!(route.target, RouteTarget::Appliance(_) | RouteTarget::Endpoint(_) | RouteTarget::Nat(_))
    };
    let mut found: Option<(&Route, (u8, bool, u8))> = None;
    for route in &table.routes {
        let Some(length) = length(route) else {
            continue;
        };
        let is_local = route.target == RouteTarget::Local;
        if local.is_some() && !is_local && !may_override(route) {
            continue;
        }
        let key = (length, is_local, rank(route));
        if found.is_none_or(|(_, best)| key > best) {
            found = Some((route, key));
        }
    }
    found.map(|(route, _)| route)
}

/// The way of answers to these sources.
///
/// For an unknown internet client the default route is judged.
pub fn decide(table: &RouteTable, name: TableRef, lists: &PrefixLists, sources: Sources) -> RouteDecision {
    match sources {
        Sources::One(address) => for_one(table, name, lists, address),
        Sources::Internet(family) => for_internet(table, name, lists, family),
        Sources::Any(_) => {
            let mut nets: Vec<&IpNet> = Vec::new();
            for route in &table.routes {
                match &route.destination {
                    RouteDestination::Cidr(net) => nets.push(net),
                    RouteDestination::PrefixList(id) => {
                        nets.extend(entries(lists, id).unwrap_or_default());
                    }
                }
            }
            let mut all = sources.points(nets).into_iter().map(|p| for_one(table, name.clone(), lists, p));
            match all.next() {
                Some(first) if all.all(|d| d == first) => first,
                _ => RouteDecision::Unknown { why: needs_source() },
            }
        }
    }
}

fn for_one(table: &RouteTable, name: TableRef, lists: &PrefixLists, address: IpAddr) -> RouteDecision {
    let found = judged(name, best(table, lists, address));
    let settles = |target: &RouteTarget| match target {
        RouteTarget::Local | RouteTarget::InternetGateway(_) => true,
        other => is_private(address) && carries_connections(other),
    };
    let open = matches!(&found, RouteDecision::Via { route, .. } if settles(&route.target));
    if open {
        return found;
    }
    // A list that could not be expanded may hold a better route. Gateway endpoints (S3, DynamoDB)
    // never hold clients, so they only count when nothing else is there.
    let nothing = matches!(found, RouteDecision::Missing { .. });
    match unexpanded_routes(table, lists).find(|(r, _)| nothing || !matches!(r.target, RouteTarget::Endpoint(_))) {
        Some((_, id)) => RouteDecision::Unknown { why: unexpanded(lists, id) },
        None => found,
    }
}

fn for_internet(table: &RouteTable, name: TableRef, lists: &PrefixLists, family: Family) -> RouteDecision {
    let default = table.routes.iter().filter(|r| match &r.destination {
        RouteDestination::Cidr(net) => net.prefix_len() == 0 && Family::of_net(net) == family,
        RouteDestination::PrefixList(_) => false,
    });
    let found = judged(name, default.max_by_key(|r| !r.propagated));
    let open = matches!(&found, RouteDecision::Via { route, .. } if carries_connections(&route.target));
    let some_clients =
        |net: &IpNet| Family::of_net(net) == family && net.prefix_len() > 0 && !is_private(net.network());
    let specific = table.routes.iter().any(|r| {
        r.active
            && carries_connections(&r.target)
            && r.target != RouteTarget::Local
            && match &r.destination {
                RouteDestination::Cidr(net) => some_clients(net),
                RouteDestination::PrefixList(id) => entries(lists, id).is_some_and(|n| n.iter().any(some_clients)),
            }
    });
    if open {
        return found;
    }
    if specific {
        return RouteDecision::Unknown { why: needs_source() };
    }
    let nothing = matches!(found, RouteDecision::Missing { .. });
    match unexpanded_routes(table, lists).find(|(r, _)| nothing || !matches!(r.target, RouteTarget::Endpoint(_))) {
        Some((_, id)) => RouteDecision::Unknown { why: unexpanded(lists, id) },
        None => found,
    }
}

fn unexpanded_routes<'a>(table: &'a RouteTable, lists: &'a PrefixLists) -> impl Iterator<Item = (&'a Route, &'a str)> {
    table.routes.iter().filter_map(move |r| match &r.destination {
        RouteDestination::PrefixList(id) if entries(lists, id).is_none() => Some((r, id.as_str())),
        _ => None,
    })
}

fn judged(table: TableRef, route: Option<&Route>) -> RouteDecision {
    match route {
        Some(route) if route.active => RouteDecision::Via { table, route: route.clone() },
        Some(route) => RouteDecision::Blackhole { table, route: route.clone() },
        None => RouteDecision::Missing { table },
    }
}

/// Whether connections from outside can come in where answers leave by this target.
pub fn carries_connections(target: &RouteTarget) -> bool {
    match target {
        RouteTarget::Local
        | RouteTarget::InternetGateway(_)
        | RouteTarget::TransitGateway(_)
        | RouteTarget::Peering(_)
        | RouteTarget::VpnGateway(_) => true,
        RouteTarget::EgressOnlyGateway(_)
        | RouteTarget::Nat(_)
        | RouteTarget::Endpoint(_)
        | RouteTarget::Appliance(_)
        | RouteTarget::Other(_) => false,
    }
}

/// `0.0.0.0/0 → igw-…`.
pub fn route_text(route: &Route) -> String {
    let destination = match &route.destination {
        RouteDestination::Cidr(net) => net.to_string(),
        RouteDestination::PrefixList(id) => id.clone(),
    };
    format!("{destination} → {}", target_text(&route.target))
}

/// Id of a target, or `local`.
pub fn target_text(target: &RouteTarget) -> &str {
    match target {
        RouteTarget::Local => "local",
        RouteTarget::InternetGateway(id)
        | RouteTarget::EgressOnlyGateway(id)
        | RouteTarget::Nat(id)
        | RouteTarget::TransitGateway(id)
        | RouteTarget::Peering(id)
        | RouteTarget::VpnGateway(id)
        | RouteTarget::Endpoint(id)
        | RouteTarget::Appliance(id)
        | RouteTarget::Other(id) => id,
    }
}

impl RouteDecision {
    /// One sentence.
    pub fn text(&self) -> String {
        match self {
            Self::Via { table, route } => format!("{}: {}", table.text(), route_text(route)),
            Self::Blackhole { table, route } => {
                format!("{}: {} is a blackhole", table.text(), route_text(route))
            }
            Self::Missing { table } => format!("{} has no route to the client", table.text()),
            Self::Unknown { why } => format!("cannot tell: {}", why.text()),
        }
    }
}
