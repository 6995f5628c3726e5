//! The network layer as checks and hops.

use super::{Probe, Seen, View};
use crate::core::check::{CheckResult, Hop, HopId, HopState, Verdict};
use crate::core::text::list;
use crate::core::vpc::hops::{denial_text, route_state};
use crate::core::vpc::nacl::AclDecision;
use crate::core::vpc::path::{BlockDecision, IgwDecision, PublicDecision, Way};
use crate::core::vpc::route::{RouteDecision, route_text};
use crate::core::vpc::security_group::SgDecision;

/// Why gateway checks do not apply.
const PRIVATE: &str = "the path is private: no internet gateway or public address is on the way";

pub(super) fn checks(view: &View) -> Vec<CheckResult> {
    let all = vec![
        public_address(view),
        gateway(view),
        route(view),
        acl("nacl-inbound", &view.path.nacl_in),
        acl("nacl-outbound", &view.path.nacl_out),
        group(view),
        block(view),
    ];
    match &view.probe {
        Probe::Arrived(seen) => all.into_iter().map(|c| after_arrival(c, seen)).collect(),
        _ => all,
    }
}

/// A packet that arrived outweighs what the rules seem to say.
fn after_arrival(mut check: CheckResult, seen: &Seen) -> CheckResult {
    let reason = match check.verdict {
        Verdict::Fail => format!("cannot tell: by the rules it should not pass ({}), but {}", check.reason, seen.text),
        Verdict::CannotTell => seen.text.clone(),
        _ => return check,
    };
    check.verdict = if check.verdict == Verdict::Fail { Verdict::CannotTell } else { Verdict::Pass };
    check.reason = reason;
    check.seen(seen.text.clone(), seen.source.clone())
}

fn public_address(view: &View) -> CheckResult {
    let id = "public-address";
    let source = view.path.owner.as_ref().map(|o| o.source.clone()).unwrap_or_default();
    if view.forwarded() {
        return CheckResult::not_applicable(id, "the address dialled is a forwarder on this machine");
    }
    match &view.path.public {
        PublicDecision::NotNeeded => CheckResult::not_applicable(id, PRIVATE),
        PublicDecision::Unknown { why } => CheckResult::cannot_tell(id, why),
        PublicDecision::Associated { public, private } => {
            CheckResult::pass(id, format!("{public} is associated with the interface"))
                .seen(format!("{public} is associated with {private}"), source)
        }
        PublicDecision::Ipv6 { address } => CheckResult::pass(id, format!("{address} is an address of the interface"))
            .seen(format!("IPv6 address {address}"), source),
        PublicDecision::Missing => CheckResult::fail(id, "the instance has no public address")
            .seen("no public IPv4 address is associated and there is no IPv6 address", source),
        PublicDecision::NotOwned { address, has } => {
            let has: Vec<String> = has.iter().map(ToString::to_string).collect();
            let now = if has.is_empty() { "no public address".to_owned() } else { list(&has) };
            CheckResult::fail(id, format!("{address} is not an address of this instance"))
                .seen(format!("the instance has {now}"), source)
        }
    }
}

fn gateway(view: &View) -> CheckResult {
    let id = "igw-attached";
    match &view.path.igw {
        IgwDecision::NotNeeded => CheckResult::not_applicable(id, PRIVATE),
        IgwDecision::Unknown { why } => CheckResult::cannot_tell(id, why),
        IgwDecision::Attached { id: gateway } => CheckResult::pass(id, format!("{gateway} is attached"))
            .seen(format!("{gateway} is attached"), "DescribeInternetGateways"),
        IgwDecision::NotAttached { vpc, wanted } => {
            let text = match wanted {
                Some(gateway) => format!("{gateway} is not attached to {vpc}"),
                None => format!("no internet gateway is attached to {vpc}"),
            };
            CheckResult::fail(id, text.clone()).seen(text, format!("DescribeInternetGateways {vpc}"))
        }
    }
}

fn route(view: &View) -> CheckResult {
    let id = "route-to-client";
    let hop = view.path.hops.iter().find(|h| h.hop == HopId::Route);
    let detail = hop.map(|h| h.detail.clone()).unwrap_or_default();
    let check = match (&view.path.route, route_state(&view.path)) {
        (RouteDecision::Unknown { why }, _) => return CheckResult::cannot_tell(id, why),
        (_, HopState::Open) => CheckResult::pass(id, detail),
        (_, HopState::Blocked) => CheckResult::fail(id, detail),
        _ => CheckResult::unclear(id, format!("cannot tell: {detail}")),
    };
    match &view.path.route {
        RouteDecision::Via { table, route } | RouteDecision::Blackhole { table, route } => {
            check.seen(route_text(route), format!("DescribeRouteTables {}", table.id))
        }
        RouteDecision::Missing { table } => {
            check.seen(format!("no route for {}", view.client()), format!("DescribeRouteTables {}", table.id))
        }
        RouteDecision::Unknown { .. } => check,
    }
}

fn acl(id: &str, decision: &AclDecision) -> CheckResult {
    let source = |acl: &str| format!("DescribeNetworkAcls {acl}");
    match decision {
        AclDecision::Allowed { acl, text, .. } => {
            CheckResult::pass(id, decision.text()).seen(text.clone(), source(acl))
        }
        AclDecision::SameSubnet => CheckResult::not_applicable(id, decision.text()),
        AclDecision::Denied { acl, text, .. } => CheckResult::fail(id, decision.text()).seen(text.clone(), source(acl)),
        AclDecision::Partial { acl, text, .. } => {
            CheckResult::unclear(id, format!("cannot tell: partly open: {}", decision.text()))
                .seen(text.clone(), source(acl))
        }
        AclDecision::Unknown { why } => CheckResult::cannot_tell(id, why),
    }
}

fn group(view: &View) -> CheckResult {
    let id = "security-group";
    match &view.path.group {
        SgDecision::Allowed { by } => {
            CheckResult::pass(id, by.text()).seen(by.text(), format!("DescribeSecurityGroups {}", by.group_id))
        }
        SgDecision::Denied { groups } => {
            let text = denial_text(&view.path, groups);
            let ids: Vec<&str> = groups.iter().map(|(id, _)| id.as_str()).collect();
            CheckResult::fail(id, text.clone()).seen(text, format!("DescribeSecurityGroups {}", ids.join(" ")))
        }
        SgDecision::Unknown { why } => CheckResult::cannot_tell(id, why),
    }
}

fn block(view: &View) -> CheckResult {
    let id = "block-public-access";
    match &view.path.block {
        BlockDecision::NotNeeded => CheckResult::not_applicable(id, PRIVATE),
        BlockDecision::Off => CheckResult::pass(id, "VPC Block Public Access is off for the subnet")
            .seen("InternetGatewayBlockMode off", "DescribeSubnets"),
        BlockDecision::NotSaid => {
            CheckResult::unclear(id, "cannot tell: AWS did not say whether VPC Block Public Access is on")
        }
        BlockDecision::Blocks { mode, subnet } => CheckResult::fail(id, format!("VPC Block Public Access is {mode}"))
            .seen(format!("InternetGatewayBlockMode {mode}"), format!("DescribeSubnets {subnet}")),
        BlockDecision::Unknown { why } => CheckResult::cannot_tell(id, why),
    }
}

pub(super) fn hops(view: &View) -> Vec<Hop> {
    let mut all = view.path.hops.clone();
    match &view.probe {
        Probe::Arrived(seen) => {
            for hop in &mut all {
                if hop.state != HopState::Open {
                    hop.state = HopState::Open;
                    hop.detail = format!("passed: {}", seen.text);
                }
            }
        }
        Probe::Silent(seen) if super::way::all_open(view) => {
            mark(&mut all, HopId::Internet, HopState::Unknown, format!("{}, though AWS lets it through", seen.text));
        }
        Probe::Unreachable(seen) => mark(&mut all, HopId::Internet, HopState::Unknown, seen.text.clone()),
        Probe::Elsewhere { seen, answered } => {
            let state = if *answered { HopState::Open } else { HopState::Unknown };
            mark(&mut all, HopId::Internet, state, format!("{}: not this instance", seen.text));
        }
        _ => {}
    }
    if view.path.way == Way::Internet && view.forwarded() {
        mark(&mut all, HopId::Client, HopState::Open, "through a forwarder on this machine".to_owned());
    }
    all
}

fn mark(hops: &mut [Hop], id: HopId, state: HopState, detail: String) {
    if let Some(hop) = hops.iter_mut().find(|h| h.hop == id) {
        hop.state = state;
        hop.detail = detail;
    }
}
