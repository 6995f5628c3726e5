//! Causes about the dialled address itself.

use super::{Probe, View};
use crate::core::cause::{Certainty, Finding};
use crate::core::facts::local::SshConfig;
use crate::core::target::TargetKind;
use crate::core::text::list;
use crate::core::vpc::path::{PublicDecision, Role, Way, public_addresses};
use crate::core::vpc::route::{RouteDecision, carries_connections};
use crate::core::vpc::types::RouteTarget;
use crate::core::vpc::{Family, is_private, through_jump};
use std::net::IpAddr;

pub(super) fn findings(view: &View) -> Vec<Finding> {
    let mut all = Vec::new();
    all.extend(no_public_ip(view));
    if let Some(foreign) = not_an_address_of_it(view) {
        let changed = changed_since(view, &foreign);
        all.push(foreign);
        all.extend(changed);
    }
    all.extend(private_address_from_outside(view));
    all.extend(no_ipv6_here(view));
    all
}

fn interface(view: &View) -> (String, String) {
    match &view.path.owner {
        Some(owner) if owner.interface.id.is_empty() => ("the interface".to_owned(), owner.source.clone()),
        Some(owner) => (owner.interface.id.clone(), owner.source.clone()),
        None => ("the interface".to_owned(), String::new()),
    }
}

fn words(addresses: &[IpAddr]) -> String {
    list(&addresses.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn no_public_ip(view: &View) -> Option<Finding> {
    let none = match &view.path.public {
        PublicDecision::Missing => true,
        PublicDecision::NotOwned { has, address } => {
            has.is_empty() && !is_private(*address) && !view.forwarded() && !answered_elsewhere(view)
        }
        _ => false,
    };
    if !none || through_jump(view.facts) || !public_addresses(view.facts).is_empty() {
        return None;
    }
    let (id, source) = interface(view);
    let text = format!("{id} has no public IPv4 address and no IPv6 address: nothing on the internet can dial it");
    Some(Finding::new("no-public-ip", Certainty::Proven, text, source))
}

fn answered_elsewhere(view: &View) -> bool {
    matches!(view.probe, Probe::Elsewhere { answered: true, .. })
}

/// The address was given beside the instance, and is not one of its addresses.
fn not_an_address_of_it(view: &View) -> Option<Finding> {
    let PublicDecision::NotOwned { address, has } = &view.path.public else {
        return None;
    };
    let target = &view.facts.target;
    let found_otherwise =
        matches!(target.kind(), TargetKind::InstanceId | TargetKind::Name) || target.address.is_some();
    // Behind a jump host it is that host's resolver that counts.
    let elsewhere = through_jump(view.facts) && origin(view, *address) == BY_NAME;
    if view.forwarded() || !found_otherwise || elsewhere {
        return None;
    }
    let no_ipv6 = address.is_ipv6() && !has.iter().any(IpAddr::is_ipv6);
    let id = match (no_ipv6, origin(view, *address)) {
        (true, _) => "ipv6-path-incomplete",
        (false, BY_NAME) => "dns-stale",
        (false, _) => "wrong-target-address",
    };
    let certainty = if answered_elsewhere(view) { Certainty::Likely } else { Certainty::Proven };
    let now = match (has.is_empty(), no_ipv6) {
        (true, _) => "it has no public address now".to_owned(),
        (false, true) => format!("it has no IPv6 address, only {}", words(has)),
        (false, false) => format!("it has {} now", words(has)),
    };
    let label =
        view.facts.instance().map_or_else(|| "the instance".to_owned(), crate::core::facts::aws::Instance::label);
    let text = format!("{address} ({}) is not an address of {label}: {now}", origin(view, *address));
    let mut finding = Finding::new(id, certainty, text, interface(view).1);
    if let Probe::Elsewhere { seen, .. } = &view.probe {
        finding = finding.and(seen.text.clone(), seen.source.clone());
    }
    Some(match certainty {
        Certainty::Proven => finding,
        _ => finding
            .would_prove("the host key of what answers there differs from the one in this instance's console log"),
    })
}

/// Seconds after the first launch in which another start is still part of it.
const FIRST_LAUNCH: i64 = 300;

/// Why a public address is no longer the instance's: it was started again, and gave its old one back. Whether the old
/// one was that address is not recorded anywhere.
fn changed_since(view: &View, foreign: &Finding) -> Option<Finding> {
    let PublicDecision::NotOwned { address, .. } = &view.path.public else {
        return None;
    };
    let instance = view.facts.instance()?;
    let (first, last) = (instance.root_attached?, instance.launched?);
    if is_private(*address) || foreign.id == "ipv6-path-incomplete" || last <= first + FIRST_LAUNCH {
        return None;
    }
    let text = format!(
        "{} was stopped and started since its first launch, and public addresses that are no Elastic IPs change then",
        instance.label()
    );
    let source = view.facts.aws.instance.source();
    Some(
        Finding::new("public-ip-changed", Certainty::Likely, text, source)
            .would_prove(format!("{address} in the records of CloudTrail or AWS Config for this instance")),
    )
}

/// How the origin of an address that the resolver gave is named.
const BY_NAME: &str = "what the name resolves to";

fn origin(view: &View, address: IpAddr) -> &'static str {
    let facts = view.facts;
    let in_config = |c: &SshConfig| c.hostname.as_deref().and_then(|h| h.parse().ok()) == Some(address);
    if facts.target.address == Some(address) {
        "the address given"
    } else if facts.local.config.value().is_some_and(in_config) {
        "HostName in ssh_config"
    } else if facts.local.dns.value().is_some_and(|found| found.contains(&address)) {
        BY_NAME
    } else {
        "the address dialled"
    }
}

/// A private address is dialled by a client that seems to be outside.
fn private_address_from_outside(view: &View) -> Option<Finding> {
    let address = view.path.flow.address?;
    let (Probe::Silent(seen) | Probe::Unreachable(seen)) = &view.probe else {
        return None;
    };
    if view.role() != Role::Private || view.path.way != Way::Private || !view.running() || through_jump(view.facts) {
        return None;
    }
    let client = view.facts.source_ip();
    if client.is_some_and(is_private) || private_way_back(view) {
        return None;
    }
    let public: Vec<IpAddr> = public_addresses(view.facts);
    let certainty = if client.is_some() { Certainty::Likely } else { Certainty::Possible };
    let (id, rest) = if public.is_empty() {
        ("no-public-ip", "the instance has no public one".to_owned())
    } else {
        ("wrong-target-address", format!("from outside use {}", words(&public)))
    };
    let from = client.map_or_else(String::new, |c| format!(" and the client {c} is outside"));
    let text = format!("{address} is a private address{from}: {rest}");
    Some(
        Finding::new(id, certainty, text, interface(view).1)
            .and(seen.text.clone(), seen.source.clone())
            .would_prove("whether this machine is connected to the VPC by VPN, peering or Direct Connect"),
    )
}

/// Whether the told source has a private way back.
fn private_way_back(view: &View) -> bool {
    view.path.source.is_some()
        && matches!(&view.path.route, RouteDecision::Via { route, .. }
            if carries_connections(&route.target) && !matches!(route.target, RouteTarget::InternetGateway(_)))
}

/// An IPv6 address is dialled by a client that has no IPv6 way.
fn no_ipv6_here(view: &View) -> Option<Finding> {
    let Probe::Unreachable(seen) = &view.probe else {
        return None;
    };
    if view.path.family != Family::V6 || view.role() != Role::Ipv6 || view.path.source.is_some() {
        return None;
    }
    let finding = Finding::new("ipv6-path-incomplete", Certainty::Likely, seen.text.clone(), seen.source.clone());
    let finding = match view.path.flow.source.or_else(|| view.facts.source_ip()) {
        Some(v4) => finding
            .and(format!("only an IPv4 address of the client is known: {v4}"), view.facts.local.source_ip.source()),
        None => finding,
    };
    Some(finding.would_prove("whether this client reaches any other IPv6 address"))
}
