//! Whether a packet from the user's address comes to a host's SSH port, and what answers there.
//!
//! This is the lab's own small network: written from the VPC documentation, without a look at the
//! rules that the program under practice uses. Used by `host` only. Must not change anything.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::scenario::Daemon;
use super::world::{Instance, Nacl, Source, State, World};

/// How an address behaves on the SSH port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Packets vanish.
    Blocked,
    /// The kernel answers with a reset.
    Refused,
    /// sshd.
    Sshd,
    /// Connections are accepted and nothing is said.
    Silent,
    /// A web server.
    Http,
    /// Connections are accepted and closed.
    Closed,
}

/// A few ports from which Linux, macOS and Windows clients start connections: a rule that lets
/// only some of them through is not good enough for a user.
const CLIENT_PORTS: [i32; 5] = [32768, 45000, 49152, 60999, 65535];

/// For every address of the account how it behaves now and which instance is behind it.
pub(super) fn plan(world: &World) -> BTreeMap<Ipv4Addr, (Mode, Option<String>)> {
    let mut plan: BTreeMap<_, _> = world.known.iter().map(|address| (*address, (Mode::Blocked, None))).collect();
    for instance in &world.instances {
        if let Some(public) = instance.public {
            plan.insert(public, (mode(world, instance), Some(instance.id.clone())));
        }
    }
    plan
}

fn mode(world: &World, instance: &Instance) -> Mode {
    if !passes(world, instance, world.ssh_port) {
        return Mode::Blocked;
    }
    match instance.daemon {
        Daemon::Up => Mode::Sshd,
        Daemon::Down => Mode::Refused,
        Daemon::Dropped => Mode::Blocked,
        Daemon::Silent => Mode::Silent,
        Daemon::Http => Mode::Http,
        Daemon::Closed => Mode::Closed,
    }
}

/// True if a TCP connection from the user's address to this port of the public address comes
/// through, both ways.
pub(super) fn passes(world: &World, instance: &Instance, port: u16) -> bool {
    let client = world.client_ip();
    let port = i32::from(port);
    instance.state == State::Running
        && instance.booting.is_none()
        && instance.public.is_some()
        && routed(world, instance)
        && world.nacl_of(&instance.subnet).is_some_and(|nacl| {
            nacl_allows(nacl, false, client, port)
                && CLIENT_PORTS.iter().all(|reply| nacl_allows(nacl, true, client, *reply))
        })
        && group_allows(world, instance, client, port)
}

/// The way back to the client must lead through an internet gateway attached to the VPC.
fn routed(world: &World, instance: &Instance) -> bool {
    let Some(subnet) = world.subnets.iter().find(|subnet| subnet.id == instance.subnet) else {
        return false;
    };
    let Some(table) = world.routes_of(subnet) else {
        return false;
    };
    let best =
        table.routes.iter().filter(|route| route.to.contains(&world.client)).max_by_key(|route| route.to.prefix_len());
    best.is_some_and(|route| {
        world
            .gateways
            .iter()
            .any(|gateway| gateway.id == route.via && gateway.vpc.as_deref() == Some(subnet.vpc.as_str()))
    })
}

/// First match in the order of the numbers; nothing matched is a denial.
fn nacl_allows(nacl: &Nacl, egress: bool, peer: IpAddr, port: i32) -> bool {
    let mut entries: Vec<_> = nacl.entries.iter().filter(|entry| entry.egress == egress).collect();
    entries.sort_by_key(|entry| entry.number);
    entries
        .into_iter()
        .find(|entry| {
            let protocol = match entry.protocol.as_str() {
                "-1" => true,
                "6" => entry.ports.is_none_or(|(low, high)| low <= port && port <= high),
                _ => false,
            };
            protocol && entry.cidr.contains(&peer)
        })
        .is_some_and(|entry| entry.allow)
}

/// Any rule of any group of the interface.
fn group_allows(world: &World, instance: &Instance, peer: IpAddr, port: i32) -> bool {
    world.rules.iter().filter(|rule| !rule.egress && instance.groups.contains(&rule.group)).any(|rule| {
        let protocol = match rule.protocol.as_str() {
            "-1" => true,
            "tcp" | "6" => rule.from <= port && port <= rule.to,
            _ => false,
        };
        // A group as the source means private addresses of its members; the user has none.
        protocol && matches!(&rule.source, Source::Net(net) if net.contains(&peer))
    })
}
