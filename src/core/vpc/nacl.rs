//! Network ACLs: stateless, by ascending number, the first entry that matches decides.
//!
//! Source: VPC User Guide, "Control subnet traffic with network access control lists".

use crate::core::fact::Why;
use crate::core::vpc::flow::{EPHEMERAL_FIRST, Family, Flow, Protocol, Sources};
use crate::core::vpc::security_group::{is_everything, needs_source};
use crate::core::vpc::types::{AclEntry, NetworkAcl};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Numbers of the closing entries that the API shows for IPv4 and IPv6.
const CLOSING: [i32; 2] = [32767, 32768];

/// What a network ACL does with one direction of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum AclDecision {
    /// Let through.
    Allowed {
        /// `acl-…`.
        acl: String,
        /// Number of the deciding entry.
        entry: i32,
        /// `entry 100 allows tcp/22 from 0.0.0.0/0`.
        text: String,
    },
    /// Dropped.
    Denied {
        /// `acl-…`.
        acl: String,
        /// Number of the deciding entry; `None` for the closing deny.
        entry: Option<i32>,
        /// `entry 90 denies …` or `no entry matches …`.
        text: String,
    },
    /// Answers are let through to some of the client's possible ports only.
    Partial {
        /// `acl-…`.
        acl: String,
        /// Port ranges that are open.
        open: Vec<(u16, u16)>,
        /// Port ranges that are closed.
        closed: Vec<(u16, u16)>,
        /// One sentence with both.
        text: String,
    },
    /// Traffic inside one subnet does not meet the ACL.
    SameSubnet,
    /// The facts do not tell.
    Unknown {
        /// Why.
        why: Why,
    },
}

impl AclDecision {
    /// One sentence.
    pub fn text(&self) -> String {
        match self {
            Self::Allowed { acl, text, .. } | Self::Denied { acl, text, .. } | Self::Partial { acl, text, .. } => {
                format!("{acl}: {text}")
            }
            Self::SameSubnet => "the client is in the same subnet: the network ACL is not on the way".to_owned(),
            Self::Unknown { why } => format!("cannot tell: {}", why.text()),
        }
    }
}

/// One packet as an ACL sees it.
#[derive(Debug, Clone, Copy)]
struct Packet {
    egress: bool,
    peer: IpAddr,
    protocol: Protocol,
    port: u16,
}

/// Evaluates the packet that arrives.
pub fn inbound(acl: &NetworkAcl, flow: &Flow, sources: Sources) -> AclDecision {
    let what = flow.what();
    let mut decisions = points(acl, sources).into_iter().map(|peer| {
        let packet = Packet { egress: false, peer, protocol: flow.protocol, port: flow.port };
        one(acl, packet, &what)
    });
    let Some(first) = decisions.next() else {
        return AclDecision::Unknown { why: needs_source() };
    };
    if decisions.all(|d| same_verdict(&d, &first)) { first } else { AclDecision::Unknown { why: needs_source() } }
}

/// Evaluates the answer that leaves, to every port that a client may use.
pub fn outbound(acl: &NetworkAcl, flow: &Flow, sources: Sources) -> AclDecision {
    let mut decisions = points(acl, sources).into_iter().map(|peer| answer(acl, flow, peer));
    let Some(first) = decisions.next() else {
        return AclDecision::Unknown { why: needs_source() };
    };
    if decisions.all(|d| same_verdict(&d, &first)) { first } else { AclDecision::Unknown { why: needs_source() } }
}

fn same_verdict(a: &AclDecision, b: &AclDecision) -> bool {
    match (a, b) {
        (AclDecision::Allowed { .. }, AclDecision::Allowed { .. }) => true,
        (AclDecision::Denied { .. }, AclDecision::Denied { .. }) => true,
        (AclDecision::Partial { open: a, .. }, AclDecision::Partial { open: b, .. }) => a == b,
        _ => false,
    }
}

fn points(acl: &NetworkAcl, sources: Sources) -> Vec<IpAddr> {
    sources.points(acl.entries.iter().map(|e| &e.cidr))
}

fn answer(acl: &NetworkAcl, flow: &Flow, peer: IpAddr) -> AclDecision {
    let protocol = flow.protocol.reply();
    if protocol != Protocol::Tcp {
        return one(acl, Packet { egress: true, peer, protocol, port: 0 }, "the answer");
    }
    let mut open: Vec<(u16, u16)> = Vec::new();
    let mut closed: Vec<(u16, u16)> = Vec::new();
    let mut last = None;
    let starts = port_starts(acl);
    for (i, start) in starts.iter().enumerate() {
        let end = starts.get(i + 1).map_or(u16::MAX, |next| next - 1);
        let packet = Packet { egress: true, peer, protocol, port: *start };
        let decision = one(acl, packet, &format!("tcp/{EPHEMERAL_FIRST}-{}", u16::MAX));
        let side = if matches!(decision, AclDecision::Allowed { .. }) { &mut open } else { &mut closed };
        match side.last_mut() {
            Some(range) if u32::from(range.1) + 1 == u32::from(*start) => range.1 = end,
            _ => side.push((*start, end)),
        }
        last = last.or(Some(decision));
    }
    match last {
        Some(decision) if open.is_empty() || closed.is_empty() => decision,
        _ => AclDecision::Partial {
            acl: acl.id.clone(),
            text: format!("answers to {peer} may leave to ports {}, not to {}", ranges(&open), ranges(&closed)),
            open,
            closed,
        },
    }
}

/// First port of each stretch that the outbound entries cannot tell apart.
fn port_starts(acl: &NetworkAcl) -> Vec<u16> {
    let mut starts = vec![EPHEMERAL_FIRST];
    for (low, high) in acl.entries.iter().filter(|e| e.egress).filter_map(|e| e.ports) {
        starts.push(low);
        starts.extend(high.checked_add(1));
    }
    starts.retain(|p| *p >= EPHEMERAL_FIRST);
    starts.sort_unstable();
    starts.dedup();
    starts
}

fn one(acl: &NetworkAcl, packet: Packet, what: &str) -> AclDecision {
    let preposition = if packet.egress { "to" } else { "from" };
    let id = acl.id.clone();
    match first_match(acl, packet) {
        Some(entry) if entry.allow => AclDecision::Allowed {
            acl: id,
            entry: entry.number,
            text: format!("entry {} allows {} {preposition} {}", entry.number, service(entry), entry.cidr),
        },
        Some(entry) if !CLOSING.contains(&entry.number) => AclDecision::Denied {
            acl: id,
            entry: Some(entry.number),
            text: format!("entry {} denies {} {preposition} {}", entry.number, service(entry), entry.cidr),
        },
        _ => AclDecision::Denied {
            acl: id,
            entry: None,
            text: format!(
                "no {} entry matches {what} {preposition} {}: the closing * denies",
                if packet.egress { "outbound" } else { "inbound" },
                packet.peer
            ),
        },
    }
}

fn first_match(acl: &NetworkAcl, packet: Packet) -> Option<&AclEntry> {
    acl.entries.iter().filter(|e| e.egress == packet.egress && matches(e, packet)).min_by_key(|e| e.number)
}

fn matches(entry: &AclEntry, packet: Packet) -> bool {
    let family = Family::of(packet.peer);
    if !entry.cidr.contains(&packet.peer) || !packet.protocol.covered_by(family, &entry.protocol) {
        return false;
    }
    if is_everything(&entry.protocol) {
        return true;
    }
    match packet.protocol {
        Protocol::Tcp => entry.ports.is_none_or(|(low, high)| (low..=high).contains(&packet.port)),
        Protocol::Icmp { kind, code } => entry
            .icmp
            .is_none_or(|(t, c)| (t == -1 || t == i32::from(kind)) && (t == -1 || c == -1 || c == i32::from(code))),
    }
}

fn service(entry: &AclEntry) -> String {
    let protocol = match entry.protocol.trim() {
        "-1" | "all" => return "all traffic".to_owned(),
        "6" => "tcp",
        "17" => "udp",
        "1" => "icmp",
        "58" => "icmpv6",
        other => other,
    };
    match entry.ports {
        None => format!("{protocol}, all"),
        Some((low, high)) if low == high => format!("{protocol}/{low}"),
        Some((low, high)) => format!("{protocol}/{low}-{high}"),
    }
}

/// `1024-32767 and 61000-65535`.
pub fn ranges(all: &[(u16, u16)]) -> String {
    let words: Vec<String> =
        all.iter().map(|(low, high)| if low == high { low.to_string() } else { format!("{low}-{high}") }).collect();
    crate::core::text::list(&words)
}
