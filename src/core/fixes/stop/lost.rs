//! What a stop loses or changes: local disks, the public address, and what a shutdown from inside would do.

use super::Around;
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::plan::GateState;
use std::net::IpAddr;

/// Instance store, and a Mac that is scrubbed.
pub(super) fn disks(out: &mut Around, facts: &Facts, instance: &Instance) {
    let disks = &facts.prepared.power.local_disks;
    match disks.value() {
        Some(all) if all.is_empty() => {}
        Some(all) => out.gate(
            "instance-store",
            GateState::Warn,
            format!("everything on its instance store is lost: {} of {}", all.join(", "), instance.instance_type),
        ),
        None => {
            let why = disks.why_not().map_or_else(|| "the type was not read".to_owned(), |w| w.text());
            out.gate(
                "instance-store",
                GateState::Warn,
                format!(
                    "cannot tell whether {} has instance store, whose data would be lost ({why})",
                    instance.instance_type
                ),
            );
        }
    }
    if instance.instance_type.starts_with("mac") {
        out.gate(
            "mac",
            GateState::Warn,
            "a Mac host is scrubbed after a stop: it cannot be started again for one to three hours",
        );
    }
}

/// What becomes of the public address over a stop.
pub(super) fn address(out: &mut Around, facts: &Facts, instance: &Instance) {
    let Some(public) = instance.public_ip else { return };
    let named = name_of(facts, instance, public)
        .map(|name| format!("; {name}, the name that you dial, leads to it and must follow"))
        .unwrap_or_default();
    let addresses = &facts.prepared.net.addresses;
    match addresses.value() {
        Some(all) if all.iter().any(|a| a.address == public) => {
            out.gate("public-address", GateState::Ok, format!("the Elastic IP address {public} stays"));
        }
        known => {
            let doubt =
                if known.is_some() { "" } else { " unless it is an Elastic IP address, which could not be read" };
            let second =
                if instance.interfaces.len() > 1 { ", and with several interfaces AWS may assign none" } else { "" };
            out.gate(
                "public-address",
                GateState::Warn,
                format!("the public address {public} is given back and another one comes{doubt}{second}: Route 53 records, allow-lists and known_hosts entries that hold it go stale (eip-associate first keeps an address){named}"),
            );
        }
    }
}

/// The DNS name of the login, where it leads to this address and does not follow by itself, as AWS's own names do.
fn name_of<'a>(facts: &'a Facts, instance: &Instance, public: IpAddr) -> Option<&'a str> {
    let config = facts.local.config.value().and_then(|c| c.hostname.as_deref());
    let name = config.unwrap_or(&facts.target.name);
    let own = name.ends_with(".amazonaws.com") || name.ends_with(".amazonaws.com.cn");
    let dns = name.contains('.') && name.parse::<IpAddr>().is_err() && !own && instance.name.as_deref() != Some(name);
    (dns && facts.local.dns.value()?.contains(&public)).then_some(name)
}

/// What a shutdown from inside would do: a stop through the API is none, but a repair by hand may be.
pub(super) fn shutdown(out: &mut Around, facts: &Facts) {
    if facts.prepared.power.shutdown.value().is_some_and(|does| does == "terminate") {
        out.gate(
            "shutdown",
            GateState::Warn,
            "a shutdown from inside terminates this instance (instanceInitiatedShutdownBehavior): it is stopped through the API only, and must not be shut down from inside meanwhile",
        );
    }
}
