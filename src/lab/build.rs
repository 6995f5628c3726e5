//! Makes the account from the scenario files.
//!
//! Used by `Lab::start`. Must not invent anything that the files do not say, except what EC2 adds
//! by itself: default NACL rules, egress rules, local routes, interfaces and volumes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ipnet::{IpNet, Ipv4Net};

use super::console;
use super::ids;
use super::keys::{self, Pair};
use super::scenario::{EntrySpec, InstanceSpec, KeyFile, Port, PublicSpec, RootSpec, RuleSpec, Spec};
use super::world::{
    Address, ConnectEndpoint, Denial, Entry, Face, Gateway, Group, Image, Instance, KeyPair, Link, Nacl, Nat, Node,
    PrefixList, Role, Root, Route, RouteTable, Rule, Source, State, Subnet, Throttle, User, Vpc, VpcEndpoint, World,
};

/// 2025-09-01 07:30 UTC, when the story's instances were launched.
const LAUNCHED: u64 = 1_756_711_800;
/// How much later those were started again that were stopped in between.
const RESTARTED: Duration = Duration::from_hours(61 * 24);

/// Adds everything of one file to the account. `alone` is true if the lesson runs by itself.
pub(super) fn add(world: &mut World, spec: &Spec, alone: bool) -> Result<(), String> {
    let launched = UNIX_EPOCH + Duration::from_secs(LAUNCHED);
    for item in &spec.vpc {
        let id = world.id("vpc", &item.name);
        world.tag(&id, "Name", &item.name);
        let cidr = cidr(world, &item.cidr)?;
        let block_public = item.block_public.clone().unwrap_or_else(|| "off".to_owned());
        world.vpcs.push(Vpc { id: id.clone(), cidr, block_public });
        // Every VPC comes with a default ACL that lets everything through.
        let nacl = world.id("acl", &format!("default of {}", item.name));
        let entries = [false, true]
            .into_iter()
            .flat_map(|egress| [entry_all(100, egress, true), entry_all(32767, egress, false)]);
        world.nacls.push(Nacl { id: nacl, vpc: id, default: true, entries: entries.collect(), subnets: Vec::new() });
    }
    for item in &spec.subnet {
        let (id, vpc) = (world.id("subnet", &item.name), world.id("vpc", &item.vpc));
        world.tag(&id, "Name", &item.name);
        let cidr = cidr(world, &item.cidr)?;
        let association = world.id("aclassoc", &item.name);
        let default = world
            .nacls
            .iter_mut()
            .find(|nacl| nacl.default && nacl.vpc == vpc)
            .ok_or_else(|| format!("subnet {}: no VPC {}", item.name, item.vpc))?;
        default.subnets.push((association, id.clone()));
        world.subnets.push(Subnet { id, vpc, cidr, auto_public: item.auto_public });
    }
    for item in &spec.gateway {
        let id = world.id(if item.egress_only { "eigw" } else { "igw" }, &item.name);
        world.tag(&id, "Name", &item.name);
        let vpc = item.vpc.as_ref().map(|vpc| world.id("vpc", vpc));
        world.gateways.push(Gateway { id, vpc, egress_only: item.egress_only });
    }
    add_links(world, spec)?;
    for item in &spec.route_table {
        let (id, vpc) = (world.id("rtb", &item.name), world.id("vpc", &item.vpc));
        world.tag(&id, "Name", &item.name);
        let local = world
            .vpcs
            .iter()
            .find(|known| known.id == vpc)
            .ok_or_else(|| format!("route table {}: no VPC {}", item.name, item.vpc))?
            .cidr;
        let mut routes = vec![Route { to: IpNet::V4(local), via: "local".to_owned(), created: false }];
        if let Some(gateway) = &item.gateway {
            routes.push(Route { to: IpNet::V4(Ipv4Net::default()), via: world.id("igw", gateway), created: true });
        }
        for route in &item.route {
            let to = route.to.parse().map_err(|_| format!("bad block {}", route.to))?;
            let (kind, name) = route.via.split_once(':').ok_or_else(|| format!("bad route target {}", route.via))?;
            routes.push(Route { to, via: world.id(kind, name), created: true });
        }
        let mut associations = Vec::new();
        if item.main {
            associations.push((world.id("rtbassoc", &item.name), None));
        }
        for subnet in &item.subnets {
            associations.push((world.id("rtbassoc", subnet), Some(world.id("subnet", subnet))));
        }
        world.route_tables.push(RouteTable { id, vpc, routes, associations });
    }
    for item in &spec.nacl {
        let id = world.id("acl", &item.name);
        world.tag(&id, "Name", &item.name);
        let mut entries = vec![entry_all(32767, false, false), entry_all(32767, true, false)];
        for entry in &item.entry {
            entries.push(make_entry(world, entry)?);
        }
        let mut subnets = Vec::new();
        for subnet in &item.subnets {
            let subnet = world.id("subnet", subnet);
            for other in &mut world.nacls {
                other.subnets.retain(|(_, bound)| *bound != subnet);
            }
            subnets.push((world.id("aclassoc", &format!("{} {subnet}", item.name)), subnet));
        }
        let vpc = world.id("vpc", &item.vpc);
        world.nacls.push(Nacl { id, vpc, default: false, entries, subnets });
    }
    for item in &spec.group {
        let id = world.id("sg", &item.name);
        world.tag(&id, "Name", &item.name);
        let vpc = world.id("vpc", &item.vpc);
        world.groups.push(Group {
            id: id.clone(),
            name: item.name.clone(),
            vpc,
            description: item.description.clone(),
        });
        for (number, rule) in item.ingress.iter().enumerate() {
            let rule = make_rule(world, &id, &format!("{} {number}", item.name), rule)?;
            world.rules.push(rule);
        }
        if let Some(rules) = &item.egress {
            for (number, rule) in rules.iter().enumerate() {
                let rule = make_rule(world, &id, &format!("{} egress {number}", item.name), rule)?;
                world.rules.push(Rule { egress: true, ..rule });
            }
            continue;
        }
        let egress = Rule {
            id: world.id("sgr", &format!("{} egress", item.name)),
            group: id,
            egress: true,
            protocol: "-1".to_owned(),
            from: -1,
            to: -1,
            source: Source::Net(IpNet::V4(Ipv4Net::default())),
            description: None,
        };
        world.rules.push(egress);
    }
    for item in &spec.key_pair {
        let pair = if item.rsa { Pair::rsa(&item.name, item.other)? } else { Pair::ed25519(world.seed, &item.name)? };
        let id = world.id("key", &item.name);
        let days = Duration::from_hours(40 * 24);
        let created = if item.later { launched + days } else { launched - days };
        world.key_pairs.push(KeyPair { id, pair, created, deleted: item.deleted });
    }
    for item in &spec.image {
        let id = world.id("ami", &item.name);
        world.images.push(Image { id, spec: item.clone() });
    }
    for item in &spec.role {
        let inline = item.inline.iter().map(|inline| (inline.name.clone(), inline.document.clone())).collect();
        world.roles.push(Role { name: item.name.clone(), attached: item.attached.clone(), inline, tags: Vec::new() });
    }
    for item in spec.neighbour.iter().chain(&spec.instance) {
        let mut instance = make_instance(world, item, launched)?;
        if let Some(client) = spec.client {
            instance.client = client;
        }
        if item.machine.root == RootSpec::Helper {
            let helper = spec.neighbour.first().ok_or_else(|| format!("{}: no neighbour has its volume", item.name))?;
            instance.root = Root::At(world.id("i", &helper.name), "/dev/sdf".to_owned());
        }
        world.instances.push(instance);
    }
    let own = spec.instance.as_ref().map(|item| world.id("i", &item.name));
    for item in &spec.denial {
        let about = match &item.vpc {
            _ if alone => None,
            Some(vpc) => Some(world.id("vpc", vpc)),
            None => own.clone(),
        };
        world.denials.push(Denial { action: item.action.clone(), about, reason: item.reason });
    }
    if spec.api.throttle > 0 {
        let about = if alone { None } else { own };
        let action = spec.api.throttle_action.clone();
        world.throttles.push(Throttle { action, about, times: spec.api.throttle, seen: BTreeMap::new() });
    }
    if let (true, Some(on)) = (alone, spec.serial_console) {
        world.serial_console = on;
    }
    Ok(())
}

/// What connects a VPC with the world besides internet gateways, and the lists that rules refer to.
fn add_links(world: &mut World, spec: &Spec) -> Result<(), String> {
    for item in &spec.nat {
        let (id, subnet) = (world.id("nat", &item.name), world.id("subnet", &item.subnet));
        world.tag(&id, "Name", &item.name);
        let vpc = vpc_of(world, &subnet).ok_or_else(|| format!("NAT gateway {}: no subnet", item.name))?;
        let (public, private) = (address(world.net, &item.address)?, address(world.net + 100, &item.address)?);
        world.known.extend([public, private]);
        world.nats.push(Nat { id, vpc, subnet, public, private, state: item.state.clone() });
    }
    for (kind, item) in
        spec.peering.iter().map(|item| ("pcx", item)).chain(spec.transit.iter().map(|item| ("tgw", item)))
    {
        let (id, vpc) = (world.id(kind, &item.name), world.id("vpc", &item.vpc));
        world.tag(&id, "Name", &item.name);
        let peer = item.peer.parse().map_err(|_| format!("bad block {}", item.peer))?;
        world.links.push(Link { id, name: item.name.clone(), vpc, peer, state: item.state.clone() });
    }
    for item in &spec.prefix_list {
        let entries = item.entries.iter().map(|text| text.parse().map_err(|_| format!("bad block {text}")));
        let entries = entries.collect::<Result<_, _>>()?;
        let owner = item.owner.clone().unwrap_or_else(|| world.account.clone());
        world.prefix_lists.push(PrefixList { id: world.id("pl", &item.name), name: item.name.clone(), owner, entries });
    }
    for item in &spec.vpc_endpoint {
        let ids = |kind: &str, names: &[String]| names.iter().map(|name| world.id(kind, name)).collect();
        let endpoint = VpcEndpoint {
            id: world.id("vpce", &item.name),
            vpc: world.id("vpc", &item.vpc),
            service: format!("com.amazonaws.{}.{}", world.region, item.service),
            subnets: ids("subnet", &item.subnets),
            groups: ids("sg", &item.groups),
            private_dns: item.private_dns,
            state: item.state.clone(),
        };
        world.vpc_endpoints.push(endpoint);
    }
    for item in &spec.connect_endpoint {
        let subnet = world.id("subnet", &item.subnet);
        let endpoint = ConnectEndpoint {
            id: world.id("eice", &item.name),
            vpc: vpc_of(world, &subnet).ok_or_else(|| format!("endpoint {}: no subnet", item.name))?,
            subnet,
            address: address(world.net + 100, &item.address)?,
            groups: item.groups.iter().map(|name| world.id("sg", name)).collect(),
            state: item.state.clone(),
            message: item.message.clone(),
            preserve_client_ip: item.preserve_client_ip,
        };
        world.connect_endpoints.push(endpoint);
    }
    Ok(())
}

fn vpc_of(world: &World, subnet: &str) -> Option<String> {
    world.subnets.iter().find(|known| known.id == subnet).map(|known| known.vpc.clone())
}

fn entry_all(number: i32, egress: bool, allow: bool) -> Entry {
    Entry {
        number,
        egress,
        allow,
        protocol: "-1".to_owned(),
        ports: None,
        icmp: None,
        cidr: IpNet::V4(Ipv4Net::default()),
    }
}

/// A private block: the file gives the last two octets and the length.
fn cidr(world: &World, text: &str) -> Result<Ipv4Net, String> {
    format!("127.{}.{text}", world.net + 100).parse().map_err(|_| format!("bad block {text}"))
}

fn address(first: u8, text: &str) -> Result<Ipv4Addr, String> {
    format!("127.{first}.{text}").parse().map_err(|_| format!("bad address {text}"))
}

fn port(world: &World, port: &Port) -> Result<i32, String> {
    match port {
        Port::Number(number) => Ok(*number),
        Port::Word(word) if word == "ssh" => Ok(i32::from(world.ssh_port)),
        Port::Word(word) => Err(format!("bad port {word}")),
    }
}

fn ports(world: &World, pair: Option<&[Port; 2]>) -> Result<Option<(i32, i32)>, String> {
    pair.map(|[low, high]| Ok((port(world, low)?, port(world, high)?))).transpose()
}

fn make_rule(world: &World, group: &str, name: &str, spec: &RuleSpec) -> Result<Rule, String> {
    let (from, to) = ports(world, spec.ports.as_ref())?.unwrap_or((-1, -1));
    let source = if let Some(named) = spec.from.strip_prefix("group:") {
        Source::Group(world.id("sg", named))
    } else if let Some(named) = spec.from.strip_prefix("prefix:") {
        Source::PrefixList(world.id("pl", named))
    } else {
        Source::Net(spec.from.parse().map_err(|_| format!("bad source {}", spec.from))?)
    };
    Ok(Rule {
        id: world.id("sgr", name),
        group: group.to_owned(),
        egress: false,
        protocol: spec.protocol.clone(),
        from,
        to,
        source,
        description: (!spec.description.is_empty()).then(|| spec.description.clone()),
    })
}

fn make_entry(world: &World, spec: &EntrySpec) -> Result<Entry, String> {
    Ok(Entry {
        number: spec.number,
        egress: spec.egress,
        allow: spec.allow,
        protocol: spec.protocol.clone(),
        ports: ports(world, spec.ports.as_ref())?,
        icmp: None,
        cidr: spec.cidr.parse().map_err(|_| format!("bad block {}", spec.cidr))?,
    })
}

fn make_instance(world: &mut World, spec: &InstanceSpec, launched: SystemTime) -> Result<Instance, String> {
    let id = world.id("i", &spec.name);
    let subnet_id = world.id("subnet", &spec.subnet);
    let subnet = world
        .subnets
        .iter()
        .find(|subnet| subnet.id == subnet_id)
        .ok_or_else(|| format!("{}: no subnet {}", spec.name, spec.subnet))?;
    let vpc = subnet.vpc.clone();
    let private = address(world.net + 100, &spec.address)?;
    if !subnet.cidr.contains(&private) {
        return Err(format!("{}: {private} is not in its subnet", spec.name));
    }
    let own = address(world.net, &spec.address)?;
    world.known.extend([own, private]);
    if let Some(old) = &spec.client.address {
        world.known.insert(address(world.net, old)?);
    }
    if spec.public == PublicSpec::Elastic {
        let bound = Some((world.id("eipassoc", &spec.name), id.clone()));
        let allocation = world.id("eipalloc", &spec.name);
        world.addresses.push(Address { allocation, ip: own, bound });
    }
    let auto_public = spec.public == PublicSpec::Auto;
    let public = match spec.public {
        PublicSpec::Elastic => Some(own),
        PublicSpec::Auto => (!spec.stopped && !spec.machine.terminated).then_some(own),
        PublicSpec::None => None,
    };
    let image_id = world.id("ami", &spec.image);
    let image = world
        .images
        .iter()
        .find(|image| image.id == image_id)
        .ok_or_else(|| format!("{}: no image {}", spec.name, spec.image))?
        .spec
        .clone();
    let pair = |name: &String| {
        world
            .key_pairs
            .iter()
            .find(|known| known.pair.name == *name)
            .map(|known| known.pair.clone())
            .ok_or_else(|| format!("{}: no key pair {name}", spec.name))
    };
    let injected = spec.account.launched_with.as_ref().or(spec.key.as_ref()).map(pair).transpose()?;
    let baked = spec.account.baked.iter().map(pair).collect::<Result<Vec<_>, _>>()?;
    let installed: Vec<Pair> = match &spec.account.keys {
        Some(names) => names.iter().map(pair).collect::<Result<_, _>>()?,
        None => baked.iter().chain(&injected).cloned().collect(),
    };
    let users = if image.windows || image.user.is_empty() {
        Vec::new()
    } else {
        let login = spec.account.name.clone().unwrap_or_else(|| image.user.clone());
        let told = format!("Please login as the user \"{0}\" rather than the user \"root\".", image.user);
        let node = |owner: &str, mode| Node { owner: owner.to_owned(), mode };
        let owner = |name: &Option<String>| name.clone().unwrap_or_else(|| login.clone());
        vec![
            User {
                name: login.clone(),
                uid: 1000,
                home: node(&owner(&spec.account.home_owner), spec.account.home_mode),
                ssh: node(&login, spec.account.ssh_mode),
                file: node(&owner(&spec.account.file_owner), spec.account.file_mode),
                keys: installed.iter().map(Pair::blob).collect(),
                added: Vec::new(),
                options: spec.account.options.clone(),
                form: spec.account.file,
                only_told: None,
            },
            User {
                name: "root".to_owned(),
                uid: 0,
                home: node("root", 0o700),
                ssh: node("root", 0o700),
                file: node("root", 0o600),
                keys: injected.iter().map(Pair::blob).collect(),
                added: Vec::new(),
                options: String::new(),
                form: KeyFile::Good,
                only_told: Some(told),
            },
        ]
    };
    let host_key = keys::host_key(world.seed, &spec.name)?;
    // A pair that another one has replaced since had the same name.
    let named = injected.as_ref().map(|pair| (pair, spec.key.as_deref().unwrap_or(&pair.name)));
    let good_console = console::first_boot(&image, private, named, &baked, &host_key);
    let console = console::text(&spec.machine, &good_console);
    world.tag(&id, "Name", &spec.name);
    for (key, value) in &spec.machine.tags {
        world.tag(&id, key, value);
    }
    let second = match &spec.second {
        None => None,
        Some(face) => {
            let (public, private) = (address(world.net, &face.address)?, address(world.net + 100, &face.address)?);
            world.known.extend([public, private]);
            Some(Face {
                id: world.id("eni", &format!("{} 1", spec.name)),
                subnet: world.id("subnet", &face.subnet),
                groups: face.groups.iter().map(|name| world.id("sg", name)).collect(),
                private,
                public: face.public.then_some(public),
            })
        }
    };
    let now = Instant::now();
    let initializing = if spec.machine.initializing { now + Duration::from_hours(1) } else { now };
    let state_reason = match &spec.machine.reason {
        Some([code, message]) => Some((code.clone(), message.clone())),
        None => (spec.stopped || spec.machine.terminated).then(|| {
            (
                "Client.UserInitiatedShutdown".to_owned(),
                "Client.UserInitiatedShutdown: User initiated shutdown".to_owned(),
            )
        }),
    };
    Ok(Instance {
        name: spec.name.clone(),
        image: image_id,
        key: spec.key.clone(),
        subnet: subnet_id,
        vpc,
        groups: spec.groups.iter().map(|name| world.id("sg", name)).collect(),
        private,
        public,
        auto_public,
        state: match (spec.machine.terminated, spec.stopped) {
            (true, _) => State::Terminated,
            (false, true) => State::Stopped,
            (false, false) => State::Running,
        },
        launched: if spec.machine.restarted { launched + RESTARTED } else { launched },
        first_launched: launched,
        booting: None,
        initializing: Some(initializing),
        state_reason,
        reservation: world.id("r", &spec.name),
        interface: world.id("eni", &spec.name),
        volume: world.id("vol", &spec.name),
        delete_root: true,
        client_token: String::new(),
        second,
        client: world.client,
        walled: spec.client.walled,
        role: match &spec.machine.role {
            Some(role) => Some(role.clone()),
            None => spec.ssm.then(|| "practice-ssm".to_owned()),
        },
        root: match spec.machine.root {
            RootSpec::Attached | RootSpec::Helper => Root::Attached,
            RootSpec::Detached => Root::Detached,
        },
        machine: spec.machine.clone(),
        sshd: spec.sshd.clone(),
        os: spec.os.clone(),
        parent_mode: spec.account.parent_mode,
        password: spec.account.password,
        users,
        pushed: Vec::new(),
        host_key,
        records: BTreeMap::new(),
        console,
        marks: BTreeSet::new(),
        good_console,
        id,
    })
}

/// The private DNS name in the IP form of VPCs.
pub(super) fn private_name(region: &str, address: Ipv4Addr) -> String {
    let dashed = address.to_string().replace('.', "-");
    if region == "us-east-1" {
        format!("ip-{dashed}.ec2.internal")
    } else {
        format!("ip-{dashed}.{region}.compute.internal")
    }
}

/// The public DNS name.
pub(super) fn public_name(region: &str, address: Ipv4Addr) -> String {
    let dashed = address.to_string().replace('.', "-");
    if region == "us-east-1" {
        format!("ec2-{dashed}.compute-1.amazonaws.com")
    } else {
        format!("ec2-{dashed}.{region}.compute.amazonaws.com")
    }
}

/// An interface's hardware address.
pub(super) fn mac(world: &World, interface: &str) -> String {
    ids::mac(world.seed, interface)
}

/// The public address that a scenario file means by the last two octets.
pub(super) fn public_for(world: &World, last: &str) -> Result<Ipv4Addr, String> {
    address(world.net, last)
}
