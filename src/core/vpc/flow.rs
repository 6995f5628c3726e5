//! The packet in question: who sends it, to which address, port and protocol.
//!
//! Also the arithmetic of address ranges that all hops share. Must not look at rules.

use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::facts::local::JumpHost;
use crate::core::vpc::owner::{Role, owner_of};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// First port of the range from which clients and NAT devices take source ports (AWS: VPC User
/// Guide, "Ephemeral ports").
pub const EPHEMERAL_FIRST: u16 = 1024;

/// What a packet carries, as far as rules look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP; the port is in the flow.
    Tcp,
    /// ICMP or, in an IPv6 flow, ICMPv6.
    Icmp {
        /// Type: 8 is echo request, 128 in IPv6.
        kind: u8,
        /// Code.
        code: u8,
    },
}

/// IPv4 or IPv6: rules of the one never match packets of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Family of a range.
    pub fn of_net(net: &IpNet) -> Self {
        if matches!(net, IpNet::V4(_)) { Self::V4 } else { Self::V6 }
    }

    /// `IPv4` or `IPv6`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// The range of everything.
    pub fn everything(self) -> &'static str {
        match self {
            Self::V4 => "0.0.0.0/0",
            Self::V6 => "::/0",
        }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

impl Protocol {
    /// Echo request, as `ping` sends it.
    pub fn ping(family: Family) -> Self {
        Self::Icmp { kind: if family == Family::V4 { 8 } else { 128 }, code: 0 }
    }

    /// Whether a rule's protocol covers this one. Takes names and IANA numbers; `-1` is everything.
    pub fn covered_by(self, family: Family, rule: &str) -> bool {
        let rule = rule.trim().to_ascii_lowercase();
        match rule.as_str() {
            "-1" | "all" => true,
            "tcp" | "6" => self == Self::Tcp,
            "icmp" | "1" => matches!(self, Self::Icmp { .. }) && family == Family::V4,
            "icmpv6" | "58" => matches!(self, Self::Icmp { .. }) && family == Family::V6,
            _ => false,
        }
    }

    /// What answers it: the same for TCP, echo reply for an echo request.
    #[must_use]
    pub fn reply(self) -> Self {
        match self {
            Self::Icmp { kind: 8, code } => Self::Icmp { kind: 0, code },
            Self::Icmp { kind: 128, code } => Self::Icmp { kind: 129, code },
            other => other,
        }
    }
}

/// The flow that is evaluated: the packet that opens the connection, and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Client address that the instance sees; `None` when it is not known.
    pub source: Option<IpAddr>,
    /// Address that the user dials: public, private or IPv6; `None` when there is none to dial.
    pub address: Option<IpAddr>,
    /// Destination port.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

impl Flow {
    /// `tcp/22` or `icmp type 8`.
    pub fn what(&self) -> String {
        match self.protocol {
            Protocol::Tcp => format!("tcp/{}", self.port),
            Protocol::Icmp { kind, .. } => format!("icmp type {kind}"),
        }
    }

    /// IPv4-mapped addresses as the IPv4 addresses that they are on the wire.
    #[must_use]
    pub fn canonical(mut self) -> Self {
        self.source = self.source.map(|a| a.to_canonical());
        self.address = self.address.map(|a| a.to_canonical());
        self
    }
}

/// The flow of the login that the facts are about.
///
/// The source is left out where it cannot be the one that the instance sees: behind a jump host it
/// is the jump host's, and on a private network it is not the client's public address.
pub fn flow_of(facts: &Facts) -> Flow {
    // Without an answer the probe's address may be a placeholder.
    let dialled = facts.wire.address.filter(|a| facts.wire.tcp.is_known() && !a.is_unspecified());
    let shown = || crate::core::vpc::path::public_addresses(facts).first().copied();
    // `--address` says where to probe (a tunnel, a test host); what AWS is asked about stays the
    // instance's own address.
    let stands_in = facts.probes_elsewhere();
    let own = || facts.instance().and_then(crate::core::facts::aws::Instance::best_address);
    let dialled = if stands_in { own() } else { dialled };
    let address = dialled.or_else(|| facts.address().filter(|_| !stands_in)).or_else(shown).map(|a| a.to_canonical());
    let inside = address.is_some_and(|a| is_inside(facts, a));
    let fits = |source: &IpAddr| address.is_none_or(|a| is_private(a) == is_private(*source));
    let found = facts.local.source_ip.value().copied().map(|a| a.to_canonical());
    let found = found.filter(|source| fits(source) && !through_jump(facts));
    // What is told is the client's own address: an instance that stands between shows another one.
    let told =
        facts.target.source_ip.filter(|told| !through_jump(facts) || address.is_none() || inside == is_private(*told));
    let source = match jump_peer(facts) {
        Some(peer) => address.and_then(|to| peer_source(peer, to, inside)),
        None => told.or(found).or_else(|| jump_source(facts).filter(|source| address.is_some() && fits(source))),
    };
    Flow { source, address, port: facts.port(), protocol: Protocol::Tcp }.canonical()
}

/// The only or last jump host, as far as the way is known to lead there.
fn last_jump(facts: &Facts) -> Option<&JumpHost> {
    let config = facts.local.config.value();
    let all = facts.target.jump.as_deref().or_else(|| config.and_then(|c| c.proxy_jump.as_deref()));
    let single = all.is_some_and(|list| !list.contains(','));
    facts.local.jump.value().filter(|jump| jump.last || (single && jump.login.is_none()))
}

/// The address from which the only jump host reaches a private target: its own, when that is private too. From a
/// public one nobody knows by which private address it goes on.
fn jump_source(facts: &Facts) -> Option<IpAddr> {
    last_jump(facts)?.address.filter(|a| is_private(*a))
}

/// The instance of the account that stands between the client and the target, when the last jump host is one.
pub fn jump_peer(facts: &Facts) -> Option<&Instance> {
    last_jump(facts).filter(|_| through_jump(facts))?.instance.value()
}

/// The address by which an instance shows itself to another address: its private one inside the VPC and over private
/// ways; towards a public address the public one, which the internet gateway puts in its place (VPC User Guide,
/// "Internet gateways"). Without one it goes out by a NAT gateway, whose address nobody tells here.
fn peer_source(peer: &Instance, to: IpAddr, inside: bool) -> Option<IpAddr> {
    match to {
        IpAddr::V4(_) if inside => peer.private_ip,
        IpAddr::V4(_) => peer.public_ip,
        IpAddr::V6(_) => peer.interfaces.iter().find_map(|i| i.ipv6.first().copied()),
    }
}

/// Whether an address is one inside a VPC: by its range, or because AWS says so.
fn is_inside(facts: &Facts, address: IpAddr) -> bool {
    is_private(address) || owner_of(facts, Some(address)).is_ok_and(|owner| owner.role == Role::Private)
}

/// Whether the login goes through another host.
pub fn through_jump(facts: &Facts) -> bool {
    let set = |text: &Option<String>| {
        text.as_deref().is_some_and(|t| !t.trim().is_empty() && !t.eq_ignore_ascii_case("none"))
    };
    let config = facts.local.config.value();
    set(&facts.target.jump) || config.is_some_and(|c| set(&c.proxy_jump) || set(&c.proxy_command))
}

/// Whether an address cannot cross the internet: RFC 1918, RFC 6598, link-local, RFC 4193.
///
/// A loopback address is not private here: it is what AWS says it is.
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Who may have sent the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sources {
    /// This address.
    One(IpAddr),
    /// Any internet client: an address that is routed publicly.
    Internet(Family),
    /// Any address at all.
    Any(Family),
}

/// Ranges that no internet client has (IANA special-purpose registries), except loopback.
const NOT_INTERNET: [(Ipv4Addr, u8); 7] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

impl Sources {
    /// Family of the addresses.
    pub fn family(self) -> Family {
        match self {
            Self::One(address) => Family::of(address),
            Self::Internet(family) | Self::Any(family) => family,
        }
    }

    /// One address for each stretch of addresses that the ranges cannot tell apart.
    ///
    /// Membership in the ranges only changes at their borders, so a decision that is the same at
    /// all of these points is the same for every address.
    pub fn points<'a>(self, ranges: impl IntoIterator<Item = &'a IpNet>) -> Vec<IpAddr> {
        let (family, internet) = match self {
            Self::One(address) => return vec![address],
            Self::Internet(family) => (family, true),
            Self::Any(family) => (family, false),
        };
        let mut points = Vec::new();
        match family {
            Family::V4 => {
                points.push(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                for (start, bits) in NOT_INTERNET {
                    let after = u64::from(u32::from(start)) + (1_u64 << (32 - u32::from(bits)));
                    points.extend(u32::try_from(after).ok().map(|n| IpAddr::V4(n.into())));
                }
            }
            Family::V6 => {
                points.push(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
                points.push(IpAddr::V6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0)));
            }
        }
        for range in ranges.into_iter().filter(|r| Family::of_net(r) == family) {
            points.push(range.network());
            points.extend(next(range.broadcast()));
        }
        points.retain(|p| !internet || is_internet(*p));
        points.sort();
        points.dedup();
        points
    }
}

fn is_internet(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !NOT_INTERNET.iter().any(|(start, bits)| {
            let shift = 32 - u32::from(*bits);
            u32::from(v4) >> shift == u32::from(*start) >> shift
        }),
        IpAddr::V6(v6) => v6.segments()[0] >> 13 == 1,
    }
}

fn next(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => u32::from(v4).checked_add(1).map(|n| IpAddr::V4(n.into())),
        IpAddr::V6(v6) => u128::from(v6).checked_add(1).map(|n| IpAddr::V6(n.into())),
    }
}
