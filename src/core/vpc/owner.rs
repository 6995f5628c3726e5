//! Which interface a packet is for.
//!
//! Must not judge; the evaluation asks here first.

use crate::core::fact::Why;
use crate::core::facts::Facts;
use crate::core::facts::aws::{Interface, InterfaceAddress};
use crate::core::vpc::flow::is_private;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What the dialled address is to the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Role {
    /// A public IPv4 address associated with a private one of the interface.
    Public {
        /// The private address.
        private: IpAddr,
    },
    /// A private IPv4 address.
    Private,
    /// An IPv6 address.
    Ipv6,
    /// No address of this instance.
    NotOwned,
    /// There is no address to dial.
    Nothing,
}

/// The interface that owns the dialled address, or the primary one in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Owner {
    /// The interface.
    pub interface: Interface,
    /// What the address is to it.
    pub role: Role,
    /// Whether it is the primary interface.
    pub primary: bool,
    /// API call and object that the interface comes from.
    pub source: String,
}

/// The interfaces of the instance, and the call that told them.
///
/// `DescribeNetworkInterfaces` is preferred; the instance's own list stands in for it.
pub fn interfaces_of(facts: &Facts) -> Result<(Vec<Interface>, String), Why> {
    let instance = facts.instance();
    if let Some(list) = facts.aws.interfaces.value().filter(|list| !list.is_empty()) {
        let first = list.first().map(|i| i.id.clone()).unwrap_or_default();
        return Ok((list.clone(), format!("DescribeNetworkInterfaces {first}")));
    }
    let Some(instance) = instance else {
        let why = facts.aws.instance.why_not().or_else(|| facts.aws.interfaces.why_not());
        return Err(why.unwrap_or_else(|| Why::needs("the instance's interfaces")));
    };
    let source = format!("DescribeInstances {}", instance.id);
    if !instance.interfaces.is_empty() {
        return Ok((instance.interfaces.clone(), source));
    }
    let Some(private) = instance.private_ip else {
        return Err(Why::needs("an interface: the instance shows none"));
    };
    let only = Interface {
        subnet_id: instance.subnet_id.clone(),
        vpc_id: instance.vpc_id.clone(),
        addresses: vec![InterfaceAddress { private, public: instance.public_ip, primary: true }],
        groups: instance.groups.iter().map(|(id, _)| id.clone()).collect(),
        ..Interface::default()
    };
    Ok((vec![only], source))
}

/// The interface that owns an address; the primary one when none does.
pub fn owner_of(facts: &Facts, address: Option<IpAddr>) -> Result<Owner, Why> {
    let (mut interfaces, source) = interfaces_of(facts)?;
    interfaces.sort_by_key(|i| i.device_index);
    let source = |i: &Interface| match source.split_once(' ') {
        Some((call @ "DescribeNetworkInterfaces", _)) => format!("{call} {}", i.id),
        _ => source.clone(),
    };
    let Some(primary) = interfaces.first().cloned().map(|i| completed(facts, i)) else {
        return Err(Why::needs("the instance's interfaces"));
    };
    let Some(address) = address else {
        let source = source(&primary);
        return Ok(Owner { interface: primary, role: Role::Nothing, primary: true, source });
    };
    for (index, interface) in interfaces.iter().enumerate() {
        if let Some(role) = role_of(interface, address) {
            let interface = if index == 0 { primary } else { interface.clone() };
            return Ok(Owner { source: source(&interface), interface, role, primary: index == 0 });
        }
    }
    let role = role_on_instance(facts, &primary, address);
    let source = source(&primary);
    Ok(Owner { interface: primary, role, primary: true, source })
}

/// Fills gaps of the primary interface from the instance.
fn completed(facts: &Facts, mut interface: Interface) -> Interface {
    if let Some(instance) = facts.instance() {
        interface.subnet_id = interface.subnet_id.or_else(|| instance.subnet_id.clone());
        interface.vpc_id = interface.vpc_id.or_else(|| instance.vpc_id.clone());
        if interface.groups.is_empty() {
            interface.groups = instance.groups.iter().map(|(id, _)| id.clone()).collect();
        }
    }
    interface
}

fn role_of(interface: &Interface, address: IpAddr) -> Option<Role> {
    if let Some(pair) = interface.addresses.iter().find(|a| a.public == Some(address)) {
        return Some(Role::Public { private: pair.private });
    }
    if interface.ipv6.contains(&address) {
        return Some(Role::Ipv6);
    }
    interface.addresses.iter().any(|a| a.private == address).then_some(Role::Private)
}

fn role_on_instance(facts: &Facts, primary: &Interface, address: IpAddr) -> Role {
    let Some(instance) = facts.instance() else {
        return Role::NotOwned;
    };
    let private = primary.addresses.iter().find(|a| a.primary).or(primary.addresses.first()).map(|a| a.private);
    match private.or(instance.private_ip) {
        Some(private) if instance.public_ip == Some(address) => Role::Public { private },
        _ if instance.private_ip == Some(address) => Role::Private,
        _ => Role::NotOwned,
    }
}

/// Addresses that an internet client can dial.
pub fn public_addresses(facts: &Facts) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = Vec::new();
    if let Ok((interfaces, _)) = interfaces_of(facts) {
        for interface in &interfaces {
            all.extend(interface.addresses.iter().filter_map(|a| a.public));
            all.extend(interface.ipv6.iter().filter(|a| !is_private(**a)));
        }
    }
    all.extend(facts.instance().and_then(|i| i.public_ip));
    all.sort();
    all.dedup();
    all
}
