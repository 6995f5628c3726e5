//! The decisions of one way as hops: state, and one sentence with what decides.
//!
//! Must not decide anything itself; the decisions are made in the sibling modules.

use crate::core::check::{Hop, HopId, HopState};
use crate::core::fact::Why;
use crate::core::facts::Facts;
use crate::core::vpc::flow::Family;
use crate::core::vpc::nacl::AclDecision;
use crate::core::vpc::path::{BlockDecision, IgwDecision, PathResult, PublicDecision, Way};
use crate::core::vpc::route::RouteDecision;
use crate::core::vpc::security_group::{self as sg, SgDecision};
use crate::core::vpc::types::RouteTarget;

/// The hops as the decisions make them.
pub(super) fn hops(facts: &Facts, path: &PathResult) -> Vec<Hop> {
    vec![
        client_hop(path),
        Hop::new(
            HopId::Internet,
            HopState::Open,
            match path.way {
                Way::Internet => "over the internet",
                Way::Private => "over a private network",
            },
        ),
        igw_hop(path),
        route_hop(path),
        nacl_hop(path),
        group_hop(path),
        eni_hop(facts, path),
    ]
}

fn client_hop(path: &PathResult) -> Hop {
    match (path.source, path.flow.source) {
        (Some(source), _) => Hop::new(HopId::Client, HopState::Open, format!("from {source}")),
        (None, Some(other)) => Hop::new(
            HopId::Client,
            HopState::Unknown,
            format!(
                "only the client's {} address is known ({other}); this is {}",
                Family::of(other).name(),
                path.family.name()
            ),
        ),
        (None, None) => Hop::new(HopId::Client, HopState::Open, "the client's address is not known"),
    }
}

fn cannot_tell(why: &Why) -> String {
    format!("cannot tell: {}", why.text())
}

fn igw_hop(path: &PathResult) -> Hop {
    let (state, detail) = match (&path.igw, &path.block) {
        (IgwDecision::NotNeeded, _) => (HopState::Open, "not on the way: private path".to_owned()),
        (IgwDecision::NotAttached { vpc, wanted: Some(id) }, _) => {
            (HopState::Blocked, format!("{id} is not attached to {vpc}"))
        }
        (IgwDecision::NotAttached { vpc, wanted: None }, _) => {
            (HopState::Blocked, format!("{vpc} has no attached internet gateway"))
        }
        (_, BlockDecision::Blocks { mode, subnet }) => {
            (HopState::Blocked, format!("VPC Block Public Access of {subnet} is {mode}"))
        }
        (IgwDecision::Unknown { why }, _) | (_, BlockDecision::Unknown { why }) => {
            (HopState::Unknown, cannot_tell(why))
        }
        (IgwDecision::Attached { .. }, _) if path.inspected.is_some() => {
            (HopState::Unknown, format!("inspected on the way: {}", path.inspected.as_deref().unwrap_or_default()))
        }
        (IgwDecision::Attached { id }, _) => (HopState::Open, format!("{id} is attached")),
    };
    Hop::new(HopId::Igw, state, detail)
}

/// State that a route gives to its hop.
pub fn route_state(path: &PathResult) -> HopState {
    match (&path.route, path.way) {
        (RouteDecision::Unknown { .. }, _) => HopState::Unknown,
        (RouteDecision::Missing { .. } | RouteDecision::Blackhole { .. }, _) => HopState::Blocked,
        (RouteDecision::Via { route, .. }, way) => match (&route.target, way) {
            (RouteTarget::Local, _) => HopState::Open,
            (RouteTarget::InternetGateway(_), Way::Internet) => HopState::Open,
            (RouteTarget::InternetGateway(_), Way::Private) => HopState::Blocked,
            (RouteTarget::Nat(_) | RouteTarget::EgressOnlyGateway(_), _) => HopState::Blocked,
            (RouteTarget::TransitGateway(_) | RouteTarget::Peering(_) | RouteTarget::VpnGateway(_), Way::Private) => {
                HopState::Open
            }
            _ => HopState::Unknown,
        },
    }
}

fn route_hop(path: &PathResult) -> Hop {
    let note = match (&path.route, path.way) {
        (RouteDecision::Via { route, .. }, way) => match (&route.target, way) {
            (RouteTarget::Nat(_), _) => ": a NAT gateway lets no connection in",
            (RouteTarget::EgressOnlyGateway(_), _) => ": an egress-only gateway lets no connection in",
            (RouteTarget::Endpoint(_) | RouteTarget::Appliance(_), _) => {
                ": what it does with the packet cannot be seen"
            }
            (RouteTarget::InternetGateway(_), Way::Private) => ": no way back to a private address",
            (RouteTarget::TransitGateway(_) | RouteTarget::Peering(_) | RouteTarget::VpnGateway(_), Way::Internet) => {
                ": answers do not leave by an internet gateway"
            }
            (RouteTarget::Other(_), _) => ": what lies behind it cannot be seen",
            _ => "",
        },
        _ => "",
    };
    Hop::new(HopId::Route, route_state(path), format!("{}{note}", path.route.text()))
}

/// Ports that common systems take first (Linux from 32768, Windows and macOS from 49152).
const USUAL_FIRST: u16 = 32768;

/// Whether closed answer ports leave the usual client ports open.
pub fn usual_ports_open(closed: &[(u16, u16)]) -> bool {
    let hit: u32 = closed
        .iter()
        .filter(|(_, high)| *high >= USUAL_FIRST)
        .map(|(low, high)| u32::from(*high) - u32::from(*low.max(&USUAL_FIRST)) + 1)
        .sum();
    hit <= 64
}

/// State that the ACL gives to its hop.
pub fn nacl_state(path: &PathResult) -> HopState {
    let state = |d: &AclDecision| match d {
        AclDecision::Allowed { .. } | AclDecision::SameSubnet => HopState::Open,
        AclDecision::Partial { closed, .. } if usual_ports_open(closed) => HopState::Open,
        AclDecision::Partial { .. } | AclDecision::Unknown { .. } => HopState::Unknown,
        AclDecision::Denied { .. } => HopState::Blocked,
    };
    let (inbound, outbound) = (state(&path.nacl_in), state(&path.nacl_out));
    [HopState::Blocked, HopState::Unknown]
        .into_iter()
        .find(|s| inbound == *s || outbound == *s)
        .unwrap_or(HopState::Open)
}

fn nacl_hop(path: &PathResult) -> Hop {
    let denied = |d: &AclDecision| matches!(d, AclDecision::Denied { .. });
    let open = |d: &AclDecision| matches!(d, AclDecision::Allowed { .. } | AclDecision::SameSubnet);
    let detail = match (&path.nacl_in, &path.nacl_out) {
        (a, b) if denied(a) && denied(b) && a != b => {
            format!("{}; answers: {}", a.text(), b.text())
        }
        (a, _) if denied(a) => a.text(),
        (_, b) if denied(b) => format!("answers: {}", b.text()),
        (a, b) if open(a) && !open(b) => b.text(),
        (a, _) => a.text(),
    };
    Hop::new(HopId::Nacl, nacl_state(path), detail)
}

fn group_hop(path: &PathResult) -> Hop {
    let (state, detail) = match &path.group {
        SgDecision::Allowed { by } => (HopState::Open, by.text()),
        SgDecision::Denied { groups } => (HopState::Blocked, denial_text(path, groups)),
        SgDecision::Unknown { why } => (HopState::Unknown, cannot_tell(why)),
    };
    Hop::new(HopId::SecurityGroup, state, detail)
}

/// `no rule of web-sg (sg-…) matches tcp/22 from 198.51.100.7`.
pub fn denial_text(path: &PathResult, groups: &[(String, String)]) -> String {
    let names: Vec<String> = groups.iter().map(|(id, name)| sg::group_label(id, name)).collect();
    let from = path.source.map_or_else(|| format!("any {} client", path.family.name()), |s| s.to_string());
    format!("no rule of {} matches {} from {from}", crate::core::text::list(&names), path.flow.what())
}

fn eni_hop(facts: &Facts, path: &PathResult) -> Hop {
    let state = facts.instance().map(|i| i.state.as_str());
    let id =
        path.owner.as_ref().map(|o| o.interface.id.as_str()).filter(|id| !id.is_empty()).unwrap_or("the interface");
    let (state, detail) = match (&path.public, state) {
        (_, Some(state)) if state != "running" && !state.is_empty() => {
            (HopState::Blocked, format!("the instance is {state}"))
        }
        (PublicDecision::Missing, _) => (HopState::Blocked, format!("{id} has no public address")),
        (PublicDecision::NotOwned { address, .. }, _) => {
            (HopState::Blocked, format!("{address} is not an address of this instance"))
        }
        (PublicDecision::Unknown { why }, _) => (HopState::Unknown, cannot_tell(why)),
        (_, None) => (HopState::Unknown, "cannot tell: needs the state of the instance".to_owned()),
        (PublicDecision::Associated { public, private }, _) => (HopState::Open, format!("{id} {public} → {private}")),
        (PublicDecision::Ipv6 { address }, _) => (HopState::Open, format!("{id} {address}")),
        (PublicDecision::NotNeeded, _) => {
            let address = path.flow.address.map(|a| a.to_string()).unwrap_or_default();
            (HopState::Open, format!("{id} {address}").trim_end().to_owned())
        }
    };
    Hop::new(HopId::Eni, state, detail)
}
