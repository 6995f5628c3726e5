//! The form of a case, and the facts that it stands for.

use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::aws::{Instance, Interface, InterfaceAddress, Subnet};
use crate::core::facts::local::SshConfig;
use crate::core::facts::wire::Tcp;
use crate::core::target::Target;
use crate::core::vpc::types::{
    AclEntry, InternetGateway, NetworkAcl, Route, RouteDestination, RouteTable, RouteTarget, SecurityGroup, SgPeer,
    SgRule,
};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::core::rules) struct File {
    pub(in crate::core::rules) case: Vec<Case>,
}

/// One case. What is left out is a healthy instance in a default VPC, dialled by its public address.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::core::rules) struct Case {
    pub(in crate::core::rules) name: String,
    #[serde(default = "instance_id")]
    target: String,
    /// Client address; `told` when the user gave it.
    source: Option<String>,
    #[serde(default)]
    told: bool,
    port: Option<u16>,
    address: Option<String>,
    hostname: Option<String>,
    dns: Option<String>,
    jump: Option<String>,
    /// `timed_out`, `connected`, `refused`, `unreachable`; nothing when not probed.
    pub(in crate::core::rules) tcp: Option<String>,
    #[serde(default = "running")]
    state: String,
    #[serde(default = "one_interface")]
    interface: Vec<Card>,
    /// Rules of the group sg-web.
    inbound: Option<Vec<String>>,
    /// Rules of other groups.
    #[serde(default)]
    groups: BTreeMap<String, Vec<String>>,
    /// Entries of acl-1, which all subnets of the case use.
    acl: Option<Vec<String>>,
    /// Routes of the main table.
    routes: Option<Vec<String>>,
    /// Other tables: routes by `subnet-…` or `igw-…` that they are associated with.
    #[serde(default)]
    tables: BTreeMap<String, Vec<String>>,
    gateways: Option<Vec<String>>,
    #[serde(default)]
    lists: BTreeMap<String, Vec<String>>,
    bpa: Option<String>,
    /// Facts that AWS refuses to tell.
    #[serde(default)]
    pub(in crate::core::rules) denied: Vec<String>,
    /// `id certainty`, in order.
    pub(in crate::core::rules) findings: Vec<String>,
    #[serde(default)]
    pub(in crate::core::rules) checks: BTreeMap<String, String>,
    #[serde(default)]
    pub(in crate::core::rules) hops: BTreeMap<String, String>,
    /// Pieces that the evidence has to name.
    #[serde(default)]
    pub(in crate::core::rules) says: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::core::rules) struct Card {
    id: String,
    #[serde(default)]
    index: i32,
    #[serde(default = "subnet_id")]
    subnet: String,
    private: String,
    public: Option<String>,
    #[serde(default)]
    ipv6: Vec<String>,
    #[serde(default = "web")]
    groups: Vec<String>,
}

fn instance_id() -> String {
    "i-0a1b2c3d4e5f60718".to_owned()
}

fn running() -> String {
    "running".to_owned()
}

fn subnet_id() -> String {
    "subnet-a".to_owned()
}

fn web() -> Vec<String> {
    vec!["sg-web".to_owned()]
}

fn one_interface() -> Vec<Card> {
    vec![Card {
        id: "eni-1".to_owned(),
        index: 0,
        subnet: subnet_id(),
        private: "10.0.1.10".to_owned(),
        public: Some("203.0.113.7".to_owned()),
        ipv6: Vec::new(),
        groups: web(),
    }]
}

/// `tcp 22 198.51.100.4/32 home office`.
pub(in crate::core::rules) fn sg_rule(group: &str, number: usize, text: &str) -> SgRule {
    let mut words = text.split(' ');
    let (protocol, ports, peer) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let description = words.collect::<Vec<_>>().join(" ");
    let bound = |t: &str| t.parse().unwrap();
    let (from_port, to_port) = match ports.split_once('-') {
        _ if ports == "all" => (None, None),
        Some((low, high)) => (Some(bound(low)), Some(bound(high))),
        None => (Some(bound(ports)), Some(bound(ports))),
    };
    let peer = match peer.trim_end_matches('!') {
        id if id.starts_with("pl-") => SgPeer::PrefixList(id.to_owned()),
        id if id.starts_with("sg-") => SgPeer::Group { id: id.to_owned(), account: None, stale: peer.ends_with('!') },
        cidr => SgPeer::Cidr(cidr.parse().unwrap()),
    };
    let description = Some(description).filter(|d| !d.is_empty());
    SgRule {
        rule_id: Some(format!("sgr-{group}-{number}")),
        protocol: protocol.to_owned(),
        from_port,
        to_port,
        peer,
        description,
    }
}

/// `in 100 allow 6 22 0.0.0.0/0`.
fn acl_entry(text: &str) -> AclEntry {
    let words: Vec<&str> = text.split(' ').collect();
    let [direction, number, action, protocol, ports, cidr] = words[..] else { panic!("not an entry: {text}") };
    let ports = match ports.split_once('-') {
        _ if ports == "all" => None,
        Some((low, high)) => Some((low.parse().unwrap(), high.parse().unwrap())),
        None => Some((ports.parse().unwrap(), ports.parse().unwrap())),
    };
    AclEntry {
        number: number.parse().unwrap(),
        egress: direction == "out",
        allow: action == "allow",
        protocol: protocol.to_owned(),
        cidr: cidr.parse().unwrap(),
        ports,
        icmp: None,
    }
}

/// `0.0.0.0/0 igw-1`, then `blackhole` or `propagated`.
fn route(text: &str) -> Route {
    let words: Vec<&str> = text.split(' ').collect();
    let id = words[1].to_owned();
    let target = match words[1].split('-').next().unwrap() {
        "local" => RouteTarget::Local,
        "igw" => RouteTarget::InternetGateway(id),
        "eigw" => RouteTarget::EgressOnlyGateway(id),
        "nat" => RouteTarget::Nat(id),
        "tgw" => RouteTarget::TransitGateway(id),
        "pcx" => RouteTarget::Peering(id),
        "vgw" => RouteTarget::VpnGateway(id),
        "vpce" => RouteTarget::Endpoint(id),
        "eni" => RouteTarget::Appliance(id),
        _ => RouteTarget::Other(id),
    };
    let destination = if words[0].starts_with("pl-") {
        RouteDestination::PrefixList(words[0].to_owned())
    } else {
        RouteDestination::Cidr(words[0].parse().unwrap())
    };
    Route { destination, target, active: !words.contains(&"blackhole"), propagated: words.contains(&"propagated") }
}

fn routes(texts: &[String]) -> Vec<Route> {
    texts.iter().map(|t| route(t)).collect()
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|t| (*t).to_owned()).collect()
}

fn card(card: &Card) -> Interface {
    Interface {
        id: card.id.clone(),
        device_index: card.index,
        subnet_id: Some(card.subnet.clone()),
        vpc_id: Some("vpc-1".to_owned()),
        addresses: vec![InterfaceAddress {
            private: card.private.parse().unwrap(),
            public: card.public.as_ref().map(|p| p.parse().unwrap()),
            primary: true,
        }],
        ipv6: card.ipv6.iter().map(|a| a.parse().unwrap()).collect(),
        groups: card.groups.clone(),
        managed: false,
    }
}

fn told<T>(case: &Case, name: &str, action: &str, value: T) -> Fact<T> {
    if case.denied.iter().any(|d| d == name) {
        return Fact::unknown(Why::Denied { action: format!("ec2:{action}"), reason: String::new() });
    }
    Fact::known(value, action)
}

pub(in crate::core::rules) fn facts(case: &Case) -> Facts {
    let mut facts = Facts { target: Target::parse(&case.target).unwrap(), ..Facts::default() };
    facts.target.port = case.port;
    facts.target.jump.clone_from(&case.jump);
    facts.target.address = case.address.as_ref().map(|a| a.parse().unwrap());
    if let Some(source) = &case.source {
        if case.told {
            facts.target.source_ip = Some(source.parse().unwrap());
        } else {
            facts.local.source_ip = Fact::known(source.parse().unwrap(), "checkip");
        }
    }
    if case.hostname.is_some() {
        facts.local.config =
            Fact::known(SshConfig { hostname: case.hostname.clone(), ..SshConfig::default() }, "ssh_config");
    }
    if let Some(address) = &case.dns {
        facts.local.dns = Fact::known(vec![address.parse().unwrap()], "DNS");
    }
    let cards: Vec<Interface> = case.interface.iter().map(card).collect();
    let first = &cards[0];
    let instance = Instance {
        id: instance_id(),
        state: case.state.clone(),
        private_ip: first.addresses.first().map(|a| a.private),
        public_ip: first.addresses.first().and_then(|a| a.public),
        vpc_id: first.vpc_id.clone(),
        subnet_id: first.subnet_id.clone(),
        interfaces: cards.clone(),
        ..Instance::default()
    };
    let subnets: Vec<String> = cards.iter().filter_map(|c| c.subnet_id.clone()).collect();
    network(case, &mut facts, subnets);
    facts.aws.instance = told(case, "instance", "DescribeInstances", instance);
    facts.aws.interfaces = told(case, "interfaces", "DescribeNetworkInterfaces", cards);
    facts.wire.address = facts.address();
    facts.wire.port = Some(facts.port());
    let tcp = |outcome: &str| match outcome {
        "timed_out" => Tcp::TimedOut { after_ms: 5000 },
        "connected" => Tcp::Connected { millis: 20 },
        "refused" => Tcp::Refused { millis: 20 },
        "unreachable" => Tcp::Unreachable { reason: "No route to host (os error 113)".to_owned() },
        other => panic!("no such outcome: {other}"),
    };
    if let Some(outcome) = &case.tcp {
        facts.wire.tcp = Fact::known(tcp(outcome), "TCP connect");
    }
    facts
}

fn network(case: &Case, facts: &mut Facts, subnets: Vec<String>) {
    let inbound = case.inbound.clone().unwrap_or_else(|| strings(&["tcp 22 0.0.0.0/0", "tcp 443 0.0.0.0/0"]));
    let mut groups = case.groups.clone();
    groups.insert("sg-web".to_owned(), inbound);
    let groups = groups.iter().map(|(id, rules)| SecurityGroup {
        id: id.clone(),
        name: format!("name-of-{id}"),
        inbound: rules.iter().enumerate().map(|(n, text)| sg_rule(id, n, text)).collect(),
        // As EC2 makes it with every group.
        outbound: vec![sg_rule(id, 99, "-1 all 0.0.0.0/0")],
        ..SecurityGroup::default()
    });
    facts.aws.groups = told(case, "groups", "DescribeSecurityGroups", groups.collect());
    let open = || {
        strings(&[
            "in 100 allow -1 all 0.0.0.0/0",
            "out 100 allow -1 all 0.0.0.0/0",
            "in 101 allow -1 all ::/0",
            "out 101 allow -1 all ::/0",
        ])
    };
    let mut entries: Vec<AclEntry> = case.acl.clone().unwrap_or_else(open).iter().map(|t| acl_entry(t)).collect();
    entries.extend(["in 32767 deny -1 all 0.0.0.0/0", "out 32767 deny -1 all 0.0.0.0/0"].map(acl_entry));
    if case.acl.as_ref().is_some_and(Vec::is_empty) {
        entries.clear();
    }
    let acl = NetworkAcl {
        id: "acl-1".to_owned(),
        vpc_id: Some("vpc-1".to_owned()),
        subnets,
        entries,
        ..NetworkAcl::default()
    };
    facts.aws.acls = told(case, "acls", "DescribeNetworkAcls", vec![acl]);
    let main = case.routes.clone().unwrap_or_else(|| strings(&["10.0.0.0/16 local", "0.0.0.0/0 igw-1"]));
    let table = |id: String, texts: &[String]| RouteTable {
        id,
        vpc_id: Some("vpc-1".to_owned()),
        routes: routes(texts),
        ..RouteTable::default()
    };
    let mut tables = vec![
        RouteTable { main: true, vpc_id: Some("vpc-2".to_owned()), ..table("rtb-other".to_owned(), &[]) },
        RouteTable { main: true, ..table("rtb-main".to_owned(), &main) },
    ];
    for (owner, texts) in &case.tables {
        let mut table = table(format!("rtb-{owner}"), texts);
        if owner.starts_with("igw-") {
            table.gateways.push(owner.clone());
        } else {
            table.subnets.push(owner.clone());
        }
        tables.push(table);
    }
    facts.aws.route_tables = told(case, "route_tables", "DescribeRouteTables", tables);
    let gateways = case.gateways.clone().unwrap_or_else(|| strings(&["igw-1"]));
    let gateways =
        gateways.into_iter().map(|id| InternetGateway { id, attached_to: Some("vpc-1".to_owned()) }).collect();
    facts.aws.internet_gateways = told(case, "internet_gateways", "DescribeInternetGateways", gateways);
    let dialled = facts.address();
    let owner = case.interface.iter().find(|c| dialled.is_some_and(|d| c.public.as_deref() == Some(&d.to_string())));
    let subnet = owner.unwrap_or(&case.interface[0]).subnet.clone();
    let cidr = if subnet == "subnet-a" { "10.0.1.0/24" } else { "10.0.2.0/24" };
    let subnet = Subnet {
        id: subnet,
        vpc_id: "vpc-1".to_owned(),
        cidr: Some(cidr.parse().unwrap()),
        block_public_access: Some(case.bpa.clone().unwrap_or_else(|| "off".to_owned())),
        ..Subnet::default()
    };
    facts.aws.subnet = told(case, "subnet", "DescribeSubnets", subnet);
    let lists =
        case.lists.iter().map(|(id, nets)| (id.clone(), nets.iter().map(|n| n.parse().unwrap()).collect())).collect();
    facts.aws.prefix_lists = told(case, "prefix_lists", "GetManagedPrefixListEntries", lists);
}
