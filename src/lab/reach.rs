//! Whether a packet from the user's address comes to a host's SSH port, and what answers there.
//!
//! This is the lab's own small network: written from the VPC documentation, without a look at the
//! rules that the program under practice uses. Used by `host` only. Must not change anything.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::scenario::Daemon;
use super::world::{ConnectEndpoint, Instance, Nacl, Rule, Source, Subnet, World};

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
    /// The same, with a word about a penalty.
    Penalty,
    /// A banner, and nothing after it.
    Stall,
    /// Remote Desktop.
    Rdp,
}

/// The port of Remote Desktop.
const RDP_PORT: u16 = 3389;

/// A few ports from which Linux, macOS and Windows clients start connections: a rule that lets
/// only some of them through is not good enough for a user.
const CLIENT_PORTS: [i32; 5] = [32768, 45000, 49152, 60999, 65535];

/// An address and a port.
pub(super) type Place = (Ipv4Addr, u16);

/// One way to a host: the interface's address and what filters in front of it.
struct Way<'a> {
    instance: &'a Instance,
    subnet: &'a str,
    groups: &'a [String],
    /// Over the internet, to the public address.
    public: bool,
}

/// For every address and port of the account how it behaves now and which instance is behind it.
pub(super) fn plan(world: &World) -> BTreeMap<Place, (Mode, Option<String>)> {
    let blocked = (Mode::Blocked, None);
    let mut plan: BTreeMap<_, _> =
        world.known.iter().map(|address| ((*address, world.ssh_port), blocked.clone())).collect();
    for instance in &world.instances {
        let primary = |public| Way { instance, subnet: &instance.subnet, groups: &instance.groups, public };
        let mut ways = Vec::new();
        if let Some(address) = instance.public {
            ways.push((address, primary(true)));
        }
        if instance.client.is_private() {
            ways.push((instance.private, primary(false)));
        }
        if let Some(face) = &instance.second
            && let Some(address) = face.public
        {
            ways.push((address, Way { instance, subnet: &face.subnet, groups: &face.groups, public: true }));
        }
        for (address, way) in ways {
            let desktop = is_windows(world, instance).then_some(RDP_PORT);
            for port in [Some(world.ssh_port), instance.sshd.port, desktop].into_iter().flatten() {
                plan.insert((address, port), (mode(world, &way, port), Some(instance.id.clone())));
            }
        }
    }
    plan
}

fn mode(world: &World, way: &Way<'_>, port: u16) -> Mode {
    match passes(world, way, port) {
        true if port == RDP_PORT && is_windows(world, way.instance) => {
            if way.instance.machine.desktop {
                Mode::Rdp
            } else {
                Mode::Refused
            }
        }
        true => answer(way, port, world.ssh_port),
        false => Mode::Blocked,
    }
}

fn is_windows(world: &World, instance: &Instance) -> bool {
    world.image_of(instance).is_some_and(|image| image.spec.windows)
}

/// What a connection from one host to a private address of its VPC meets, and which instance is there.
pub(super) fn onward(world: &World, from: &Instance, to: Ipv4Addr, port: u16) -> Option<(Mode, String)> {
    let target = world.instances.iter().find(|instance| instance.private == to && instance.vpc == from.vpc)?;
    let peer = IpAddr::V4(from.private);
    let number = i32::from(port);
    let through = |own: &Instance, other: &Instance, egress_port: i32| {
        let peer = IpAddr::V4(other.private);
        own.subnet == other.subnet
            || world.nacl_of(&own.subnet).is_some_and(|nacl| {
                nacl_allows(nacl, own.id != target.id, peer, egress_port)
                    && nacl_allows(nacl, own.id == target.id, peer, CLIENT_PORTS[0])
            })
    };
    let open = target.up()
        && through(from, target, number)
        && through(target, from, number)
        && inbound(world, &target.groups).any(|rule| rule_allows(world, rule, peer, &from.groups, number));
    let way = Way { instance: target, subnet: &target.subnet, groups: &target.groups, public: false };
    Some((if open { answer(&way, port, world.ssh_port) } else { Mode::Blocked }, target.id.clone()))
}

/// What a connection from within a host to one of its own ports meets: no rule and no firewall stands between.
pub(super) fn inside(world: &World, instance: &Instance, port: u16) -> Mode {
    if port == RDP_PORT && is_windows(world, instance) {
        return if instance.machine.desktop { Mode::Rdp } else { Mode::Refused };
    }
    // Where this machine lends no port 22, the story's port 22 is another one.
    let port = if port == 22 && instance.sshd.port.is_none() { world.ssh_port } else { port };
    if instance.sshd.port.unwrap_or(world.ssh_port) != port {
        return Mode::Refused;
    }
    let way = Way { instance, subnet: &instance.subnet, groups: &instance.groups, public: false };
    match answer(&way, port, world.ssh_port) {
        Mode::Blocked => Mode::Sshd,
        mode => mode,
    }
}

/// What a connection from an Instance Connect Endpoint to a private address of its VPC meets.
pub(super) fn from_endpoint(
    world: &World,
    endpoint: &ConnectEndpoint,
    to: Ipv4Addr,
    port: u16,
) -> Option<(Mode, String)> {
    let target = world.instances.iter().find(|instance| instance.private == to && instance.vpc == endpoint.vpc)?;
    let number = i32::from(port);
    let (there, here) = (IpAddr::V4(target.private), IpAddr::V4(endpoint.address));
    let peer = if endpoint.preserve_client_ip { IpAddr::V4(target.client) } else { here };
    let groups: &[String] = if endpoint.preserve_client_ip { &[] } else { &endpoint.groups };
    let out = world.rules.iter().filter(|rule| rule.egress && endpoint.groups.contains(&rule.group));
    let acls = endpoint.subnet == target.subnet
        || [(&endpoint.subnet, there, true), (&target.subnet, here, false)].into_iter().all(|(subnet, peer, first)| {
            world.nacl_of(subnet).is_some_and(|nacl| {
                nacl_allows(nacl, first, peer, number) && nacl_allows(nacl, !first, peer, CLIENT_PORTS[0])
            })
        });
    let open = target.up()
        && acls
        && { out }.any(|rule| rule_allows(world, rule, there, &target.groups, number))
        && inbound(world, &target.groups).any(|rule| rule_allows(world, rule, peer, groups, number));
    let way = Way { instance: target, subnet: &target.subnet, groups: &target.groups, public: false };
    Some((if open { answer(&way, port, world.ssh_port) } else { Mode::Blocked }, target.id.clone()))
}

/// What is behind an open way.
fn answer(way: &Way<'_>, port: u16, usual: u16) -> Mode {
    let here = way.instance.sshd.port.unwrap_or(usual) == port;
    match way.instance.sshd.daemon {
        Daemon::Up if !here => Mode::Refused,
        Daemon::Up => Mode::Sshd,
        Daemon::Down => Mode::Refused,
        Daemon::Dropped => Mode::Blocked,
        Daemon::Silent => Mode::Silent,
        Daemon::Http => Mode::Http,
        Daemon::Closed => Mode::Closed,
        Daemon::Penalty => Mode::Penalty,
        Daemon::Stall => Mode::Stall,
    }
}

/// True if a TCP connection from the user's address to this port comes through, both ways.
fn passes(world: &World, way: &Way<'_>, port: u16) -> bool {
    let client = IpAddr::V4(way.instance.client);
    let port = i32::from(port);
    way.instance.up()
        && !way.instance.walled
        && way.public != way.instance.client.is_private()
        && routed(world, way)
        && world.nacl_of(way.subnet).is_some_and(|nacl| {
            nacl_allows(nacl, false, client, port)
                && CLIENT_PORTS.iter().all(|reply| nacl_allows(nacl, true, client, *reply))
        })
        && inbound(world, way.groups).any(|rule| rule_allows(world, rule, client, &[], port))
}

/// The way back to the client: over the internet it must lead through an internet gateway attached to the VPC, on a
/// private network through a link that works.
fn routed(world: &World, way: &Way<'_>) -> bool {
    let Some(subnet) = world.subnets.iter().find(|subnet| subnet.id == way.subnet) else {
        return false;
    };
    let Some(via) = next_hop(world, subnet, IpAddr::V4(way.instance.client)) else {
        return false;
    };
    if way.public {
        via.starts_with("igw-") && open_vpc(world, &subnet.vpc, &["off"])
    } else {
        via.starts_with("pcx-") || via.starts_with("tgw-")
    }
}

/// The working target of the longest route to an address; a blackhole is no target.
fn next_hop(world: &World, subnet: &Subnet, to: IpAddr) -> Option<String> {
    let table = world.routes_of(subnet)?;
    let best = table.routes.iter().filter(|route| route.to.contains(&to)).max_by_key(|route| route.to.prefix_len())?;
    world.target_works(best, &table.vpc).then(|| best.via.clone())
}

/// True if Block Public Access is in one of these modes in a VPC.
fn open_vpc(world: &World, vpc: &str, modes: &[&str]) -> bool {
    world.vpcs.iter().any(|known| known.id == vpc && modes.contains(&known.block_public.as_str()))
}

/// True if the guest can open HTTPS connections to Systems Manager: over the internet, a NAT gateway, or interface
/// endpoints of the VPC with private DNS whose groups let it in.
pub(super) fn reaches_systems_manager(world: &World, instance: &Instance) -> bool {
    // Any public address of AWS; nothing is sent there.
    let service = IpAddr::V4(Ipv4Addr::new(52, 94, 0, 10));
    let Some(subnet) = world.subnets.iter().find(|subnet| subnet.id == instance.subnet) else {
        return false;
    };
    let through = |peer: IpAddr, own: &[String]| {
        let out = world.rules.iter().filter(|rule| rule.egress && instance.groups.contains(&rule.group));
        let nacl = world
            .nacl_of(&subnet.id)
            .is_some_and(|nacl| nacl_allows(nacl, true, peer, 443) && nacl_allows(nacl, false, peer, 45000));
        (peer_in(subnet, peer) || nacl) && { out }.any(|rule| rule_allows(world, rule, peer, own, 443))
    };
    let direct = next_hop(world, subnet, service).is_some_and(|via| {
        if via.starts_with("igw-") {
            return instance.public.is_some() && open_vpc(world, &subnet.vpc, &["off"]);
        }
        world.nats.iter().find(|nat| nat.id == via).is_some_and(|nat| {
            let outer = world.subnets.iter().find(|subnet| subnet.id == nat.subnet);
            open_vpc(world, &subnet.vpc, &["off", "block-ingress"])
                && outer.and_then(|subnet| next_hop(world, subnet, service)).is_some_and(|via| via.starts_with("igw-"))
        })
    });
    let endpoint = |name: &str| {
        world.vpc_endpoints.iter().any(|endpoint| {
            endpoint.vpc == subnet.vpc
                && endpoint.service.ends_with(&format!(".{name}"))
                && endpoint.state == "available"
                && endpoint.private_dns
                && inbound(world, &endpoint.groups)
                    .any(|rule| rule_allows(world, rule, IpAddr::V4(instance.private), &instance.groups, 443))
        })
    };
    // Within the VPC any private address stands for the endpoint's.
    (direct && through(service, &[]))
        || (endpoint("ssm") && endpoint("ssmmessages") && through(IpAddr::V4(instance.private), &instance.groups))
}

/// Traffic within a subnet does not cross its ACL.
fn peer_in(subnet: &Subnet, peer: IpAddr) -> bool {
    matches!(peer, IpAddr::V4(peer) if subnet.cidr.contains(&peer))
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

/// The inbound rules of these groups.
fn inbound<'a>(world: &'a World, groups: &'a [String]) -> impl Iterator<Item = &'a Rule> {
    world.rules.iter().filter(move |rule| !rule.egress && groups.contains(&rule.group))
}

/// True if a rule lets TCP to this port pass. `groups` are those of the peer; a peer outside has none: a group as the
/// source means private addresses of its members.
fn rule_allows(world: &World, rule: &Rule, peer: IpAddr, groups: &[String], port: i32) -> bool {
    let protocol = match rule.protocol.as_str() {
        "-1" => true,
        "tcp" | "6" => rule.from <= port && port <= rule.to,
        _ => false,
    };
    protocol
        && match &rule.source {
            Source::Net(net) => net.contains(&peer),
            Source::Group(id) => groups.contains(id),
            Source::PrefixList(id) => world
                .prefix_lists
                .iter()
                .any(|list| list.id == *id && list.entries.iter().any(|net| net.contains(&peer))),
        }
}
