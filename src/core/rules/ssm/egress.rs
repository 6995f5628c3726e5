//! Whether the instance reaches Systems Manager on port 443: by the internet, or by interface endpoints.
//!
//! Where an endpoint with private DNS exists, the service's name leads to it and to nothing else, so its
//! groups decide even where a NAT gateway is open. What lies behind a transit gateway, a peering or an
//! appliance cannot be seen.

use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::diagnosis::DoorState;
use crate::core::fact::Why;
use crate::core::facts::aws::Interface;
use crate::core::facts::doors::VpcEndpoint;
use crate::core::rules::View;
use crate::core::vpc::owner::{interfaces_of, owner_of};
use crate::core::vpc::route::{best, route_text, table_of};
use crate::core::vpc::toward::{Gate, Peer, Side, acl_leaving, groups};
use crate::core::vpc::types::{Route, RouteDestination, RouteTable, RouteTarget};
use std::net::IpAddr;

/// Services that the agent must reach; `ec2messages` only for agents before 3.3.40.
const SERVICES: [&str; 2] = ["ssm", "ssmmessages"];

/// The port of HTTPS.
const HTTPS: u16 = 443;

/// An address of AWS's public range, which stands for the services' public addresses in a route table.
const PUBLIC: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(52, 94, 0, 1));

/// One way, judged: open, closed or unknown, in words.
type Judged = (Gate, String);

/// Check `ssm-path`.
pub(super) fn check(view: &View<'_>) -> CheckResult {
    let id = "ssm-path";
    let (gate, text) = way(view);
    let source = "DescribeRouteTables, DescribeVpcEndpoints, DescribeSecurityGroups";
    match gate {
        _ if super::agent(view.facts) == super::Agent::Online => {
            CheckResult::pass(id, "the agent is online, so it gets out")
                .seen("PingStatus Online", view.facts.aws.ssm.source())
        }
        Gate::Open => CheckResult::pass(id, text.clone()).seen(text, source),
        Gate::Closed => CheckResult::fail(id, text.clone()).seen(text, source),
        Gate::Unknown => CheckResult::unclear(id, format!("cannot tell: {text}")),
    }
}

/// State for the rules that ask whether this link holds.
pub(super) fn state(view: &View<'_>) -> (DoorState, String) {
    let (gate, text) = way(view);
    let state = match gate {
        Gate::Open => DoorState::Open,
        Gate::Closed => DoorState::Closed,
        Gate::Unknown => DoorState::Unknown,
    };
    (state, text)
}

/// The cause, when there is no way out.
pub(super) fn finding(view: &View<'_>) -> Option<Finding> {
    let (gate, text) = way(view);
    (gate == Gate::Closed).then(|| {
        Finding::new(
            "ssm-no-egress",
            Certainty::Proven,
            text,
            "DescribeRouteTables, DescribeVpcEndpoints, DescribeSecurityGroups",
        )
    })
}

fn way(view: &View<'_>) -> Judged {
    let facts = view.facts;
    if facts.instance().is_none() {
        return (Gate::Unknown, "it needs the instance".to_owned());
    }
    let Ok(owner) = owner_of(facts, None) else {
        return (Gate::Unknown, "it needs the instance's interfaces".to_owned());
    };
    let card = owner.interface;
    let internet = internet(view, &card);
    let Some(endpoints) = facts.doors.endpoints.value() else {
        let why = facts.doors.endpoints.why_not().unwrap_or(Why::needs("the VPC endpoints")).text();
        return match internet.0 {
            Gate::Open => internet,
            _ => (Gate::Unknown, format!("{}; whether the VPC has endpoints is not known: {why}", internet.1)),
        };
    };
    let all: Vec<Judged> =
        SERVICES.iter().map(|service| by_service(view, &card, endpoints, service, &internet)).collect();
    let gate = all.iter().fold(Gate::Open, |gate, (next, _)| gate.and(*next));
    // What both services share is said once.
    let mut said: Vec<&str> = Vec::new();
    for part in all.iter().filter(|(g, _)| *g == gate).flat_map(|(_, text)| text.split("; ")) {
        if !said.contains(&part) {
            said.push(part);
        }
    }
    let text = said.join("; ");
    let elsewhere = interfaces_of(facts).is_ok_and(|(cards, _)| cards.iter().any(|c| c.subnet_id != card.subnet_id));
    match gate {
        // The guest may go out by another interface.
        Gate::Closed if elsewhere => (Gate::Unknown, format!("{text}; it has interfaces in other subnets too")),
        gate => (gate, text),
    }
}

fn by_service(
    view: &View<'_>,
    card: &Interface,
    endpoints: &[VpcEndpoint],
    service: &str,
    internet: &Judged,
) -> Judged {
    let facts = view.facts;
    let mine: Vec<&VpcEndpoint> = endpoints
        .iter()
        .filter(|e| e.service.ends_with(&format!(".{service}")) && e.kind.eq_ignore_ascii_case("interface"))
        .collect();
    let usable = mine.iter().find(|e| e.state.eq_ignore_ascii_case("available") && e.private_dns);
    let Some(endpoint) = usable else {
        let beside = match mine.first() {
            Some(e) if !e.private_dns => {
                format!("; {} for {service} has private DNS off, so its name does not lead there", e.id)
            }
            Some(e) => format!("; {} for {service} is {}", e.id, e.state),
            None if internet.0 == Gate::Open => String::new(),
            None => format!("; the VPC has no endpoint for {service}"),
        };
        return (internet.0, format!("{}{beside}", internet.1));
    };
    let peer =
        Peer::Interface { at: card.addresses.first().map(|a| ipnet::IpNet::from(a.private)), groups: &card.groups };
    let lists = &facts.aws.prefix_lists;
    let mut known = facts.doors.endpoint_groups.value().cloned().unwrap_or_default();
    known.extend(facts.aws.groups.value().cloned().unwrap_or_default());
    let into = groups(&known, &endpoint.groups, Side::Inbound, peer, HTTPS, lists);
    let there = Peer::Interface { at: None, groups: &endpoint.groups };
    let out = groups(&known, &card.groups, Side::Outbound, there, HTTPS, lists);
    let names = endpoint.groups.join(", ");
    match (into, out) {
        (Gate::Closed, _) => (
            Gate::Closed,
            format!("{} for {service}: its group {names} does not let 443 in from the instance", endpoint.id),
        ),
        (_, Gate::Closed) => (
            Gate::Closed,
            format!(
                "the instance's group {} does not let 443 out to {} ({service})",
                card.groups.join(", "),
                endpoint.id
            ),
        ),
        (Gate::Open, _) => (Gate::Open, format!("{} serves {service}", endpoint.id)),
        (Gate::Unknown, _) => {
            (Gate::Unknown, format!("whether {names} of {} lets 443 in from the instance is not known", endpoint.id))
        }
    }
}

/// The way of an HTTPS connection to a public address.
fn internet(view: &View<'_>, card: &Interface) -> Judged {
    let facts = view.facts;
    let (Some(tables), Some(subnet)) = (facts.aws.route_tables.value(), card.subnet_id.as_deref()) else {
        return (Gate::Unknown, "it needs the route tables".to_owned());
    };
    let Ok((table, name)) = table_of(tables, subnet, card.vpc_id.as_deref()) else {
        return (Gate::Unknown, format!("it needs the route table of {subnet}"));
    };
    let routed = routed(view, card, table, &name.text());
    if routed.0 != Gate::Open {
        return routed;
    }
    let all = facts.aws.groups.value().map(Vec::as_slice).unwrap_or_default();
    if groups(all, &card.groups, Side::Outbound, Peer::Internet, HTTPS, &facts.aws.prefix_lists) == Gate::Closed {
        return (Gate::Closed, format!("security group {} lets no 443 out", card.groups.join(", ")));
    }
    let acls = facts.aws.acls.value().map(Vec::as_slice).unwrap_or_default();
    if let Some(acl) = acls.iter().find(|a| a.subnets.iter().any(|s| s == subnet))
        && acl_leaving(acl, HTTPS) == Gate::Closed
    {
        return (Gate::Closed, format!("network ACL {} drops 443 on the way out, or the answers", acl.id));
    }
    routed
}

fn routed(view: &View<'_>, card: &Interface, table: &RouteTable, name: &str) -> Judged {
    let facts = view.facts;
    let lists = &facts.aws.prefix_lists;
    let blocked = facts.aws.subnet.value().and_then(|s| s.block_public_access.as_deref()).unwrap_or("off");
    let closed = |text: String| {
        // Endpoints of a central VPC are reached by private routes.
        match table.routes.iter().find(|r| r.active && is_private_way(&r.target)) {
            Some(other) => (Gate::Unknown, format!("{text}; what {} leads to cannot be seen", route_text(other))),
            None if !card.ipv6.is_empty() && table.routes.iter().any(leads_out_by_ipv6) => {
                (Gate::Unknown, format!("{text}; whether the agent goes out by IPv6 is not known"))
            }
            None => (Gate::Closed, text),
        }
    };
    let Some(route) = best(table, lists, PUBLIC) else {
        // A gateway endpoint (S3) is no way to Systems Manager; another list may hold its addresses.
        let perhaps = table.routes.iter().find(|r| {
            r.active
                && !matches!(r.target, RouteTarget::Local | RouteTarget::Endpoint(_))
                && match &r.destination {
                    RouteDestination::PrefixList(_) => true,
                    RouteDestination::Cidr(net) => net.addr().is_ipv4() && !crate::core::vpc::is_private(net.network()),
                }
        });
        return match perhaps {
            Some(other) => (Gate::Unknown, format!("{name} has no default route, only {}", route_text(other))),
            None => closed(format!("{name} has no route to the internet")),
        };
    };
    let text = format!("{name}: {}", route_text(route));
    if !route.active {
        return closed(format!("{text} is a blackhole"));
    }
    match &route.target {
        RouteTarget::InternetGateway(_) if blocked != "off" && !blocked.is_empty() => {
            closed(format!("{text}, and VPC Block Public Access is {blocked}"))
        }
        RouteTarget::InternetGateway(_) if card.addresses.iter().all(|a| a.public.is_none()) => {
            closed(format!("{text}, which needs a public address, and the interface has none"))
        }
        RouteTarget::InternetGateway(_) => (Gate::Open, text),
        RouteTarget::Nat(_) if blocked == "block-bidirectional" => {
            (Gate::Unknown, format!("{text}, and VPC Block Public Access is {blocked}"))
        }
        RouteTarget::Nat(_) => (Gate::Open, text),
        _ => (Gate::Unknown, format!("{text}: what lies behind it cannot be seen")),
    }
}

/// The agent uses IPv6 only where its dual-stack endpoints are configured.
fn leads_out_by_ipv6(route: &Route) -> bool {
    route.active
        && route.target != RouteTarget::Local
        && matches!(&route.destination, RouteDestination::Cidr(net) if net.addr().is_ipv6() && net.prefix_len() == 0)
}

fn is_private_way(target: &RouteTarget) -> bool {
    matches!(
        target,
        RouteTarget::TransitGateway(_)
            | RouteTarget::Peering(_)
            | RouteTarget::VpnGateway(_)
            | RouteTarget::Appliance(_)
            | RouteTarget::Other(_)
    )
}
