//! Connections between two known ends inside a VPC, and connections that leave an instance.
//!
//! The way of the user's login is in [`super::path`]; here both ends are interfaces of AWS, so that group
//! references can be resolved. Must not judge what a closed end means.

use crate::core::vpc::flow::{Family, Flow, Protocol, Sources};
use crate::core::vpc::nacl::{self, AclDecision};
use crate::core::vpc::security_group::{PrefixLists, SgDecision, SgQuestion, decide};
use crate::core::vpc::types::{NetworkAcl, SecurityGroup, SgPeer};
use ipnet::IpNet;
use std::net::IpAddr;

/// Whether one end lets a connection pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It does.
    Open,
    /// It does not.
    Closed,
    /// The facts do not tell.
    Unknown,
}

impl Gate {
    /// What two gates on one way let pass together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Closed, _) | (_, Self::Closed) => Self::Closed,
            (Self::Open, Self::Open) => Self::Open,
            _ => Self::Unknown,
        }
    }
}

/// Which rules of the groups are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Those for packets that arrive.
    Inbound,
    /// Those for packets that leave.
    Outbound,
}

/// The other end of the connection.
#[derive(Debug, Clone, Copy)]
pub enum Peer<'a> {
    /// An interface in the VPC that carries these groups; its address, or a range that holds it, when known.
    Interface {
        /// Address, or the range of its subnet.
        at: Option<IpNet>,
        /// Security-group ids.
        groups: &'a [String],
    },
    /// An address of the internet, IPv4.
    Internet,
    /// One address that is no interface of this VPC.
    Address(IpAddr),
}

/// Asks the groups with these ids about a TCP connection to a port of the one end, from or to the other.
pub fn groups(
    all: &[SecurityGroup],
    ids: &[String],
    side: Side,
    peer: Peer<'_>,
    port: u16,
    lists: &PrefixLists,
) -> Gate {
    let everything = || "0.0.0.0/0".parse::<IpNet>().map(SgPeer::Cidr).ok();
    let mut mine: Vec<SecurityGroup> = all.iter().filter(|g| ids.contains(&g.id)).cloned().collect();
    for group in &mut mine {
        if side == Side::Outbound {
            group.inbound = std::mem::take(&mut group.outbound);
        }
        // Both ends are known, so a reference to a group either holds for the other end or does not.
        group.inbound.retain_mut(|rule| match (&rule.peer, peer) {
            (SgPeer::Group { id, stale, .. }, Peer::Interface { groups, .. }) => {
                let holds = !stale && groups.contains(id);
                everything().filter(|_| holds).map(|all| rule.peer = all).is_some()
            }
            (SgPeer::Group { .. }, _) => false,
            _ => true,
        });
    }
    let ask = |sources: Sources| {
        let flow = Flow { source: None, address: None, port, protocol: Protocol::Tcp };
        decide(&mine, ids, SgQuestion { flow: &flow, sources, from_inside: true, members: None, lists })
    };
    match peer {
        Peer::Internet => gate(&ask(Sources::Internet(Family::V4))),
        Peer::Address(address) => gate(&ask(Sources::One(address))),
        Peer::Interface { at: None, .. } => gate(&ask(Sources::Any(Family::V4))),
        Peer::Interface { at: Some(net), .. } => {
            // Rules only change at the borders of their ranges.
            let ranges: Vec<IpNet> = mine.iter().flat_map(|g| &g.inbound).filter_map(|r| cidr(&r.peer)).collect();
            let inside = |point: &IpAddr| net.contains(point);
            let points = Sources::Any(Family::of_net(&net)).points(&ranges);
            let mut gates =
                points.into_iter().filter(inside).chain([net.network()]).map(|p| gate(&ask(Sources::One(p))));
            let first = gates.next().unwrap_or(Gate::Unknown);
            if gates.all(|g| g == first) { first } else { Gate::Unknown }
        }
    }
}

fn cidr(peer: &SgPeer) -> Option<IpNet> {
    match peer {
        SgPeer::Cidr(net) => Some(*net),
        _ => None,
    }
}

fn gate(decision: &SgDecision) -> Gate {
    match decision {
        SgDecision::Allowed { .. } => Gate::Open,
        SgDecision::Denied { .. } => Gate::Closed,
        SgDecision::Unknown { .. } => Gate::Unknown,
    }
}

/// What a network ACL does with TCP connections that leave to a port on the internet, and with their answers.
pub fn acl_leaving(acl: &NetworkAcl, port: u16) -> Gate {
    // Seen from the other end: what leaves arrives there, and the answers leave from there.
    let mut mirror = acl.clone();
    mirror.entries.iter_mut().for_each(|entry| entry.egress = !entry.egress);
    let flow = Flow { source: None, address: None, port, protocol: Protocol::Tcp };
    let sources = Sources::Internet(Family::V4);
    acl_gate(&nacl::inbound(&mirror, &flow, sources)).and(acl_gate(&nacl::outbound(&mirror, &flow, sources)))
}

fn acl_gate(decision: &AclDecision) -> Gate {
    match decision {
        AclDecision::Allowed { .. } | AclDecision::SameSubnet => Gate::Open,
        AclDecision::Denied { .. } => Gate::Closed,
        AclDecision::Partial { .. } | AclDecision::Unknown { .. } => Gate::Unknown,
    }
}
