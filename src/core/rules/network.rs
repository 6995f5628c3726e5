//! Checks and causes of the network layer: from the client to the interface.
//!
//! Joins what AWS says about the way ([`crate::core::vpc`]) with what the TCP probe saw. A packet
//! that arrived disproves every cause here, whatever the rules seem to say. Must not judge
//! the host behind the interface, beyond naming it when everything before it is open.

mod address;
mod group;
mod show;
mod way;

use crate::core::cause::{Certainty, Finding};
use crate::core::check::{CheckResult, Hop};
use crate::core::facts::Facts;
use crate::core::facts::wire::Tcp;
use crate::core::vpc::path::{PathResult, Role, Way, evaluate, public_addresses};
use crate::core::vpc::route::RouteDecision;
use crate::core::vpc::types::RouteTarget;
use crate::core::vpc::{RuleRef, flow_of, jump_peer, through_jump};
use std::net::IpAddr;

/// All causes of the network layer that the facts support; the one to act on first comes first.
pub fn findings(facts: &Facts) -> Vec<Finding> {
    let view = View::new(facts);
    match &view.probe {
        Probe::Arrived(_) => Vec::new(),
        Probe::Elsewhere { answered: true, .. } => address::findings(&view),
        _ => {
            let mut all = address::findings(&view);
            all.extend(way::gateway(&view));
            all.extend(way::routes(&view));
            all.extend(way::acl(&view));
            all.extend(group::finding(&view));
            all.extend(way::appliance(&view));
            all.extend(way::other_interface(&view));
            all.extend(way::nothing_in_the_way(&view));
            all
        }
    }
}

/// The checks of the network layer, in the order of the way.
pub fn checks(facts: &Facts) -> Vec<CheckResult> {
    show::checks(&View::new(facts))
}

/// The hops from the client to the interface.
pub fn hops(facts: &Facts) -> Vec<Hop> {
    show::hops(&View::new(facts))
}

/// Whether AWS is seen to let the login's packets through everywhere.
pub fn all_open(facts: &Facts) -> bool {
    way::all_open(&View::new(facts))
}

/// The rule that admits the client's former address: what the fix of `sg-source-ip-changed` replaces.
pub fn former_rule(facts: &Facts) -> Option<RuleRef> {
    group::former(&View::new(facts))
}

/// What the TCP probe says about this way.
#[derive(Debug, Clone, PartialEq)]
enum Probe {
    /// Nothing: not done, or not on this way.
    None,
    /// The packet reached the instance: the handshake was done, or refused.
    Arrived(Seen),
    /// No answer.
    Silent(Seen),
    /// Answered by an error on the way, or not sent at all.
    Unreachable(Seen),
    /// The probed address is not the instance's.
    Elsewhere {
        /// Whether something answered there.
        answered: bool,
        /// What was seen.
        seen: Seen,
    },
}

/// Text and source of an observation.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    text: String,
    source: String,
}

/// The evaluated way and the probe, for all rules of this layer.
struct View<'a> {
    facts: &'a Facts,
    path: PathResult,
    probe: Probe,
}

impl<'a> View<'a> {
    fn new(facts: &'a Facts) -> Self {
        let path = evaluate(facts, &flow_of(facts));
        let probe = probe(facts, &path);
        Self { facts, path, probe }
    }

    fn role(&self) -> Role {
        self.path.owner.as_ref().map_or(Role::NotOwned, |o| o.role)
    }

    fn running(&self) -> bool {
        self.facts.instance().is_some_and(|i| i.state == "running")
    }

    /// How certain a decision about the client's packets can be.
    ///
    /// A private source that nobody told is a guess: a VPN may show the instance another one.
    fn certainty(&self) -> Certainty {
        let guessed = self.path.way == Way::Private
            && self.path.source.is_some()
            && self.facts.target.source_ip.is_none()
            && !matches!(&self.path.route, RouteDecision::Via { route, .. } if route.target == RouteTarget::Local);
        // A jump host's address is where it was reached; it may go on from another one, unless it is an instance with
        // one interface. And a name is its resolver's matter.
        let by_name = self.facts.wire.onward.is_some() && self.facts.wire.address.is_none_or(|a| a.is_unspecified());
        let jumped = through_jump(self.facts)
            && self.path.source.is_some()
            && (by_name
                || match jump_peer(self.facts) {
                    Some(peer) => peer.interfaces.len() > 1,
                    None => self.facts.target.source_ip.is_none(),
                });
        let guessed = guessed && jump_peer(self.facts).is_none();
        if guessed || jumped { Certainty::Likely } else { Certainty::Proven }
    }

    /// Adds the silence of the probe to a finding that explains it, and what would make it certain.
    fn with_silence(&self, mut finding: Finding) -> Finding {
        if finding.certainty < Certainty::Proven && finding.would_prove.is_none() {
            finding = finding.would_prove("the client's address as the instance sees it (--source-ip)");
        }
        match &self.probe {
            Probe::Silent(seen) => finding.and(seen.text.clone(), seen.source.clone()),
            _ => finding,
        }
    }

    /// `198.51.100.7`, or words when it is not known.
    fn client(&self) -> String {
        self.path.source.map_or_else(|| format!("any {} client", self.path.family.name()), |s| s.to_string())
    }

    /// Whether the dialled address is that of a tunnel or forwarder on this machine.
    fn forwarded(&self) -> bool {
        forwarded(self.facts, &self.path)
    }
}

fn forwarded(facts: &Facts, path: &PathResult) -> bool {
    let Some(address) = path.flow.address.filter(IpAddr::is_loopback) else {
        return false;
    };
    let owned = path.owner.as_ref().is_some_and(|o| o.role != Role::NotOwned);
    let usual = address == IpAddr::from([127, 0, 0, 1]) || address.is_ipv6();
    !owned && (usual || !public_addresses(facts).iter().any(IpAddr::is_loopback))
}

fn probe(facts: &Facts, path: &PathResult) -> Probe {
    let wire = &facts.wire;
    let Some(tcp) = wire.tcp.value() else {
        return Probe::None;
    };
    if wire.port.is_some_and(|p| p != path.flow.port) {
        return Probe::None;
    }
    let address = wire.address.or(path.flow.address);
    let place = match address {
        Some(IpAddr::V6(v6)) => format!("[{v6}]:{}", path.flow.port),
        Some(address) => format!("{address}:{}", path.flow.port),
        None => format!("port {}", path.flow.port),
    };
    let place = wire.onward.as_ref().map_or(place, |o| format!("{}:{}, which the jump host dials,", o.host, o.port));
    let source = match wire.tcp.source() {
        "" => format!("TCP connect {place}"),
        source => source.to_owned(),
    };
    let seen = |text: String| Seen { text, source: source.clone() };
    let elsewhere = path.owner.as_ref().is_some_and(|o| o.role == Role::NotOwned) && !forwarded(facts, path);
    let (answered, seen) = match tcp {
        Tcp::Connected { .. } => (true, seen(format!("a TCP connection to {place} was made"))),
        Tcp::Refused { .. } => (true, seen(format!("{place} refused the TCP connection: the packet arrived"))),
        Tcp::TimedOut { after_ms } => {
            (false, seen(format!("no answer from {place} within {}", crate::core::text::millis(*after_ms))))
        }
        Tcp::Unreachable { reason } => {
            let seen = seen(format!("{place} cannot be reached: {reason}"));
            return if elsewhere { Probe::Elsewhere { answered: false, seen } } else { Probe::Unreachable(seen) };
        }
    };
    match (elsewhere, answered) {
        (true, _) => Probe::Elsewhere { answered, seen },
        (false, true) => Probe::Arrived(seen),
        // What this side dialled says nothing about a way through another host; what that host dialled does.
        (false, false) if through_jump(facts) && wire.onward.is_none() => Probe::None,
        (false, false) if forwarded(facts, path) => Probe::None,
        (false, false) => Probe::Silent(seen),
    }
}

#[cfg(test)]
pub(in crate::core::rules) mod tests;
