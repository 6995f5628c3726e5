//! Causes on the way: gateway, Block Public Access, routes, network ACL, appliances, interfaces,
//! and what is left when nothing is in the way.

use super::{Probe, View};
use crate::core::cause::{Certainty, Finding};
use crate::core::check::{HopId, HopState};
use crate::core::text::list;
use crate::core::vpc::hops::{nacl_state, route_state, usual_ports_open};
use crate::core::vpc::nacl::{AclDecision, ranges};
use crate::core::vpc::path::{BlockDecision, IgwDecision, PublicDecision, Role, Way, evaluate};
use crate::core::vpc::route::{RouteDecision, TableRef, route_text};
use crate::core::vpc::security_group::SgDecision;
use crate::core::vpc::types::{RouteDestination, RouteTarget};
use crate::core::vpc::{Family, Flow, through_jump};

/// Gateway and Block Public Access.
pub(super) fn gateway(view: &View) -> Vec<Finding> {
    let mut all = Vec::new();
    if let IgwDecision::NotAttached { vpc, wanted } = &view.path.igw {
        let text = match wanted {
            Some(id) => {
                format!("{id}, which the route to the client names, is not attached to {vpc}")
            }
            None => format!("no internet gateway is attached to {vpc}"),
        };
        let finding =
            Finding::new("igw-not-attached", Certainty::Proven, text, format!("DescribeInternetGateways {vpc}"));
        all.push(view.with_silence(finding));
    }
    if let BlockDecision::Blocks { mode, subnet } = &view.path.block {
        let text = format!("VPC Block Public Access of {subnet} is {mode}: the internet gateway lets no connection in");
        let finding = Finding::new("vpc-bpa-blocks", Certainty::Proven, text, format!("DescribeSubnets {subnet}"));
        all.push(view.with_silence(finding));
    }
    all
}

/// The route of the answers.
pub(super) fn routes(view: &View) -> Option<Finding> {
    let path = &view.path;
    let source = |table: &TableRef| format!("DescribeRouteTables {}", table.id);
    let subnet =
        path.owner.as_ref().and_then(|o| o.interface.subnet_id.clone()).unwrap_or_else(|| "the subnet".to_owned());
    let finding = match (&path.route, path.way) {
        (RouteDecision::Missing { table }, Way::Internet) => {
            let id = if only_ipv4_is_routed(view, table) { "ipv6-path-incomplete" } else { "route-missing-igw" };
            let text = format!("{} of {subnet} has no route for {}", table.text(), wanted_destination(view));
            Finding::new(id, Certainty::Proven, text, source(table))
        }
        (RouteDecision::Missing { table }, Way::Private) => {
            let text = format!("{} of {subnet} has no route back to {}", table.text(), view.client());
            Finding::new("peering-or-tgw-route-missing", view.certainty(), text, source(table))
        }
        (RouteDecision::Blackhole { table, route }, _) => {
            let text = format!("{}: {} is a blackhole, its target is gone", table.text(), route_text(route));
            Finding::new("route-blackhole", view.certainty(), text, source(table))
        }
        (RouteDecision::Via { table, route }, way) => {
            let text = format!("{} of {subnet}: answers to {} take {}", table.text(), view.client(), route_text(route));
            match (&route.target, way) {
                (RouteTarget::Nat(_) | RouteTarget::EgressOnlyGateway(_), Way::Internet) => Finding::new(
                    "route-via-nat-or-eigw",
                    Certainty::Proven,
                    format!("{text}: no connection comes in that way"),
                    source(table),
                ),
                (
                    RouteTarget::TransitGateway(_) | RouteTarget::Peering(_) | RouteTarget::VpnGateway(_),
                    Way::Internet,
                ) => Finding::new(
                    "route-missing-igw",
                    Certainty::Likely,
                    format!("{text}, not an internet gateway"),
                    source(table),
                )
                .would_prove("a reachability analysis from the internet gateway to the interface"),
                (
                    RouteTarget::Nat(_) | RouteTarget::EgressOnlyGateway(_) | RouteTarget::InternetGateway(_),
                    Way::Private,
                ) if path.source.is_some_and(crate::core::vpc::is_private) => Finding::new(
                    "peering-or-tgw-route-missing",
                    view.certainty(),
                    format!("{text}: not a way to a private address"),
                    source(table),
                ),
                _ => return None,
            }
        }
        (RouteDecision::Unknown { .. }, _) => return None,
    };
    Some(view.with_silence(finding))
}

fn wanted_destination(view: &View) -> String {
    match view.path.source {
        Some(client) => format!("{client} (nor {})", view.path.family.everything()),
        None => view.path.family.everything().to_owned(),
    }
}

/// Whether the table lets IPv4 out by an internet gateway, and only IPv6 is missing.
fn only_ipv4_is_routed(view: &View, table: &TableRef) -> bool {
    let tables = view.facts.aws.route_tables.value().map(Vec::as_slice).unwrap_or_default();
    view.path.family == Family::V6
        && tables.iter().filter(|t| t.id == table.id).flat_map(|t| &t.routes).any(|r| {
            matches!(r.target, RouteTarget::InternetGateway(_))
                && matches!(&r.destination, RouteDestination::Cidr(net) if Family::of_net(net) == Family::V4 && net.prefix_len() == 0)
        })
}

/// The network ACL, both directions.
pub(super) fn acl(view: &View) -> Vec<Finding> {
    let mut all = Vec::new();
    let source = |acl: &str| format!("DescribeNetworkAcls {acl}");
    if let AclDecision::Denied { acl, .. } = &view.path.nacl_in {
        let finding = Finding::new("nacl-inbound-deny", view.certainty(), view.path.nacl_in.text(), source(acl));
        all.push(view.with_silence(finding));
    }
    match &view.path.nacl_out {
        AclDecision::Denied { acl, .. } => {
            let text = format!("{}: answers to the client are dropped", view.path.nacl_out.text());
            let finding = Finding::new("nacl-outbound-ephemeral", view.certainty(), text, source(acl));
            all.push(view.with_silence(finding));
        }
        AclDecision::Partial { acl, closed, .. } => {
            let usual = usual_ports_open(closed);
            let silent = matches!(view.probe, Probe::Silent(_));
            if silent || !usual {
                let certainty = if usual { Certainty::Possible } else { Certainty::Likely };
                let finding =
                    Finding::new("nacl-outbound-ephemeral", certainty, view.path.nacl_out.text(), source(acl))
                        .would_prove(format!("the client's port as the instance sees it lies in {}", ranges(closed)));
                all.push(view.with_silence(finding));
            }
        }
        _ => {}
    }
    all
}

/// Something that inspects the traffic and whose rules cannot be seen.
pub(super) fn appliance(view: &View) -> Option<Finding> {
    let (text, source) = match (&view.path.route, &view.path.inspected) {
        (RouteDecision::Via { table, route }, _)
            if matches!(route.target, RouteTarget::Endpoint(_) | RouteTarget::Appliance(_)) =>
        {
            (
                format!("answers go through an appliance: {}", view.path.route.text()),
                format!("DescribeRouteTables {}", table.id),
            )
        }
        (_, Some(text)) => {
            let table = text.split(' ').next().unwrap_or_default();
            (
                format!("packets from the gateway go through an appliance: {text}"),
                format!("DescribeRouteTables {table}"),
            )
        }
        _ => return None,
    };
    let only_suspect = matches!(view.probe, Probe::Silent(_)) && !anything_blocks(view);
    let certainty = if only_suspect { Certainty::Likely } else { Certainty::Possible };
    let finding = Finding::new("appliance-in-path", certainty, text, source)
        .would_prove("the appliance's own rules and logs, or a reachability analysis");
    Some(view.with_silence(finding))
}

fn anything_blocks(view: &View) -> bool {
    view.path.hops.iter().any(|h| h.state == HopState::Blocked)
}

/// The dialled address sits on a secondary interface with other rules than the primary one.
pub(super) fn other_interface(view: &View) -> Option<Finding> {
    let owner = view.path.owner.as_ref().filter(|o| !o.primary)?;
    let primary = evaluate(view.facts, &Flow { address: None, ..view.path.flow.clone() });
    let primary = primary.owner?;
    let alike = |role: Role| {
        matches!(
            (owner.role, role),
            (Role::Public { .. }, Role::Public { .. }) | (Role::Private, Role::Private) | (Role::Ipv6, Role::Ipv6)
        )
    };
    let candidates = primary
        .interface
        .addresses
        .iter()
        .flat_map(|a| a.public.into_iter().chain([a.private]))
        .chain(primary.interface.ipv6.iter().copied());
    let better = candidates.into_iter().find(|address| {
        let path = evaluate(view.facts, &Flow { address: Some(*address), ..view.path.flow.clone() });
        let open = path.hops.iter().filter(|h| h.hop != HopId::Client).all(|h| h.state == HopState::Open);
        open && path.owner.is_some_and(|o| o.primary && alike(o.role))
    });
    let address = view.path.flow.address?;
    let stopped = matches!(view.path.group, SgDecision::Denied { .. })
        || nacl_state(&view.path) == HopState::Blocked
        || route_state(&view.path) == HopState::Blocked;
    let index = owner.interface.device_index;
    if let (true, Some(better)) = (stopped, better) {
        let text = format!(
            "{address} belongs to {} (device {index}), whose groups or subnet stop the client; {better} on {} lets it in",
            owner.interface.id, primary.interface.id
        );
        return Some(view.with_silence(Finding::new("eni-mismatch", view.certainty(), text, owner.source.clone())));
    }
    if !stopped && all_open(view) && matches!(view.probe, Probe::Silent(_)) {
        let text = format!(
            "{address} belongs to {} (device {index}): the guest may answer by its primary interface",
            owner.interface.id
        );
        let finding = Finding::new("eni-mismatch", Certainty::Possible, text, owner.source.clone())
            .would_prove("an answer from the primary interface's address, or the guest's routing rules");
        return Some(view.with_silence(finding));
    }
    None
}

/// Whether AWS lets the packet and its answer through everywhere.
pub(super) fn all_open(view: &View) -> bool {
    let path = &view.path;
    let address = matches!(
        path.public,
        PublicDecision::Associated { .. } | PublicDecision::Ipv6 { .. } | PublicDecision::NotNeeded
    );
    let gateway = matches!(path.igw, IgwDecision::Attached { .. } | IgwDecision::NotNeeded) && path.inspected.is_none();
    let access = matches!(path.block, BlockDecision::Off | BlockDecision::NotSaid | BlockDecision::NotNeeded);
    let rules = matches!(path.group, SgDecision::Allowed { .. });
    address && gateway && access && rules && route_state(path) == HopState::Open && nacl_state(path) == HopState::Open
}

/// Everything is open and still nothing answers: the guest, the client's side, or what lies between.
pub(super) fn nothing_in_the_way(view: &View) -> Vec<Finding> {
    // Another address than the instance's was probed (`--address`): its silence is its own.
    let foreign = view.facts.probes_elsewhere();
    if foreign || !view.running() || !all_open(view) {
        return Vec::new();
    }
    let impaired = view.facts.aws.status.value().is_some_and(|s| {
        [&s.system, &s.instance].iter().any(|state| matches!(state.as_str(), "impaired" | "initializing"))
    });
    match &view.probe {
        Probe::Silent(_) if !impaired => silent(view),
        Probe::Unreachable(seen)
            if view.path.way == Way::Internet && view.path.family == Family::V4 && is_host_answer(&seen.text) =>
        {
            let text = format!(
                "{}: security groups and network ACLs drop silently, so a firewall sent this answer",
                seen.text
            );
            vec![
                Finding::new("guest-firewall", Certainty::Possible, text, seen.source.clone())
                    .would_prove("the firewall rules inside the instance"),
            ]
        }
        _ => Vec::new(),
    }
}

fn is_host_answer(text: &str) -> bool {
    let text = text.to_lowercase();
    text.contains("no route to host") || text.contains("host unreachable") || text.contains("prohibited")
}

fn silent(view: &View) -> Vec<Finding> {
    let mut all = Vec::new();
    let source = match &view.probe {
        Probe::Silent(seen) => seen.source.clone(),
        _ => String::new(),
    };
    if let (RouteDecision::Via { table, route }, Way::Private) = (&view.path.route, view.path.way)
        && !matches!(route.target, RouteTarget::Local)
    {
        let text = format!("{}: what lies behind it cannot be seen", view.path.route.text());
        let finding = Finding::new(
            "peering-or-tgw-route-missing",
            Certainty::Possible,
            text,
            format!("DescribeRouteTables {}", table.id),
        )
        .would_prove("the routes on the other side of the connection");
        all.push(view.with_silence(finding));
    }
    let passed: Vec<String> = view
        .path
        .hops
        .iter()
        .filter(|h| matches!(h.hop, HopId::Route | HopId::Nacl | HopId::SecurityGroup))
        .map(|h| h.detail.clone())
        .collect();
    let allowed = format!("AWS lets the packet through ({}), and nothing answers", list(&passed));
    let guest = Finding::new(
        "guest-firewall",
        Certainty::Possible,
        allowed,
        "DescribeSecurityGroups, DescribeNetworkAcls, DescribeRouteTables",
    )
    .would_prove("the firewall rules inside the instance, through another way in");
    all.push(view.with_silence(guest));
    // It is the jump host that dials: what its own groups let out is said with it.
    if through_jump(view.facts) {
        return all;
    }
    let mut egress = Finding::new(
        "client-egress-blocked",
        Certainty::Possible,
        format!(
            "AWS lets the packet in, and no answer comes: the network of this client may drop outgoing {}",
            view.path.flow.what()
        ),
        source,
    );
    egress = egress.would_prove(
        "a connection from here to another SSH server that is known to answer, or from another network to this one",
    );
    all.push(egress);
    all
}
