//! The state of the practice account: what exists, and how it changes with time.
//!
//! Used by `build` (which fills it), `api` (which reads and changes it), `reach` (which judges a
//! packet) and `host` (which acts on that). Must not do I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant, SystemTime};

use ipnet::{IpNet, Ipv4Net};

use super::ids;
use super::keys::Pair;
use super::scenario::{Daemon, ImageSpec};

/// The whole account in its one Region.
pub(super) struct World {
    pub seed: u64,
    pub region: String,
    pub zone: String,
    pub account: String,
    pub caller: String,
    /// Where the user sits in the story.
    pub client: Ipv4Addr,
    pub ssh_port: u16,
    /// The second octet of public addresses; private ones have 100 more.
    pub net: u8,
    pub transition: Duration,
    pub vpcs: Vec<Vpc>,
    pub subnets: Vec<Subnet>,
    pub groups: Vec<Group>,
    pub rules: Vec<Rule>,
    pub nacls: Vec<Nacl>,
    pub route_tables: Vec<RouteTable>,
    pub gateways: Vec<Gateway>,
    pub instances: Vec<Instance>,
    pub addresses: Vec<Address>,
    pub key_pairs: Vec<KeyPair>,
    pub images: Vec<Image>,
    pub denials: Vec<Denial>,
    pub tags: BTreeMap<String, BTreeMap<String, String>>,
    /// Every address that any host of this account has or had: none of them may answer by chance.
    pub known: BTreeSet<Ipv4Addr>,
    counter: u64,
}

pub(super) struct Vpc {
    pub id: String,
    pub cidr: Ipv4Net,
}

pub(super) struct Subnet {
    pub id: String,
    pub vpc: String,
    pub cidr: Ipv4Net,
    pub auto_public: bool,
}

pub(super) struct Group {
    pub id: String,
    pub name: String,
    pub vpc: String,
    pub description: String,
}

/// One security group rule with one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub id: String,
    pub group: String,
    pub egress: bool,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, `-1` or a number.
    pub protocol: String,
    /// −1 where the protocol has no ports.
    pub from: i32,
    pub to: i32,
    pub source: Source,
    pub description: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Net(IpNet),
    Group(String),
    PrefixList(String),
}

pub(super) struct Nacl {
    pub id: String,
    pub vpc: String,
    pub default: bool,
    pub entries: Vec<Entry>,
    /// Association id and subnet id.
    pub subnets: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub number: i32,
    pub egress: bool,
    pub allow: bool,
    /// A number as text.
    pub protocol: String,
    pub ports: Option<(i32, i32)>,
    pub icmp: Option<(i32, i32)>,
    pub cidr: IpNet,
}

pub(super) struct RouteTable {
    pub id: String,
    pub vpc: String,
    pub routes: Vec<Route>,
    /// Association id and subnet id; `None` is the main association.
    pub associations: Vec<(String, Option<String>)>,
}

#[derive(Clone)]
pub(super) struct Route {
    pub to: Ipv4Net,
    /// `local` or a gateway's id.
    pub via: String,
    pub created: bool,
}

pub(super) struct Gateway {
    pub id: String,
    pub vpc: Option<String>,
}

/// An Elastic IP address.
pub(super) struct Address {
    pub allocation: String,
    pub ip: Ipv4Addr,
    /// Association id and instance id.
    pub bound: Option<(String, String)>,
}

pub(super) struct KeyPair {
    pub id: String,
    pub pair: Pair,
    pub created: SystemTime,
}

pub(super) struct Image {
    pub id: String,
    pub spec: ImageSpec,
}

/// An action that the caller may not perform.
pub(super) struct Denial {
    pub action: String,
    /// Only requests that name something of this VPC; every request if `None`.
    pub vpc: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Pending(Instant),
    Running,
    Stopping(Instant),
    Stopped,
    Terminated,
}

impl State {
    /// The code and name of the API.
    pub fn words(self) -> (u32, &'static str) {
        match self {
            Self::Pending(_) => (0, "pending"),
            Self::Running => (16, "running"),
            Self::Stopping(_) => (64, "stopping"),
            Self::Stopped => (80, "stopped"),
            Self::Terminated => (48, "terminated"),
        }
    }
}

pub(super) struct Instance {
    pub id: String,
    pub name: String,
    pub image: String,
    pub key: Option<String>,
    pub subnet: String,
    pub vpc: String,
    pub groups: Vec<String>,
    pub private: Ipv4Addr,
    pub public: Option<Ipv4Addr>,
    /// A public address is given at each start.
    pub auto_public: bool,
    pub state: State,
    pub launched: SystemTime,
    pub first_launched: SystemTime,
    /// Until then the operating system is starting and nothing answers.
    pub booting: Option<Instant>,
    /// Until then the status checks say "initializing".
    pub initializing: Option<Instant>,
    pub state_reason: Option<(String, String)>,
    pub ssm: bool,
    pub reservation: String,
    pub interface: String,
    pub volume: String,
    pub daemon: Daemon,
    pub strict_modes: bool,
    pub allow_users: Vec<String>,
    pub max_auth_tries: usize,
    pub users: Vec<User>,
    pub host_key: Pair,
    pub first_boot_console: String,
}

/// A login account inside a host.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub name: String,
    pub uid: u32,
    pub home: Node,
    pub ssh: Node,
    pub file: Node,
    /// Keys in authorized_keys, as SSH sends them.
    pub keys: Vec<Vec<u8>>,
    /// The text of a forced command that only tells the right user name.
    pub only_told: Option<String>,
}

/// Owner and mode of a file or directory inside a host. Its group is the owner's own.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub owner: String,
    pub mode: u32,
}

impl Instance {
    /// What a boot puts right: an overloaded host has its time back, a broken one stays broken.
    fn freshen(&mut self) {
        if matches!(self.daemon, Daemon::Silent | Daemon::Closed) {
            self.daemon = Daemon::Up;
        }
    }
}

impl World {
    /// An account without anything, for Regions other than the story's.
    pub fn empty(seed: u64, region: &str, account: &str, caller: &str) -> Self {
        Self {
            seed,
            region: region.to_owned(),
            zone: format!("{region}a"),
            account: account.to_owned(),
            caller: caller.to_owned(),
            client: Ipv4Addr::new(203, 0, 113, 10),
            ssh_port: 22,
            net: 22,
            transition: Duration::ZERO,
            vpcs: Vec::new(),
            subnets: Vec::new(),
            groups: Vec::new(),
            rules: Vec::new(),
            nacls: Vec::new(),
            route_tables: Vec::new(),
            gateways: Vec::new(),
            instances: Vec::new(),
            addresses: Vec::new(),
            key_pairs: Vec::new(),
            images: Vec::new(),
            denials: Vec::new(),
            tags: BTreeMap::new(),
            known: BTreeSet::new(),
            counter: 0,
        }
    }

    /// The id of a thing that a scenario file names.
    pub fn id(&self, prefix: &str, name: &str) -> String {
        ids::id(self.seed, prefix, name)
    }

    /// The id of a thing made later.
    pub fn fresh_id(&mut self, prefix: &str) -> String {
        self.counter += 1;
        ids::id(self.seed, prefix, &format!("made later {}", self.counter))
    }

    /// A public address that nothing had before.
    pub fn fresh_address(&mut self) -> Ipv4Addr {
        let mut last = 10_u8;
        let mut third = 200_u8;
        loop {
            let address = Ipv4Addr::new(127, self.net, third, last);
            if self.known.insert(address) {
                return address;
            }
            last = last.wrapping_add(1);
            if last == 250 {
                last = 10;
                third = third.wrapping_add(1);
            }
        }
    }

    pub fn instance(&self, id: &str) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.id == id)
    }

    pub fn instance_mut(&mut self, id: &str) -> Option<&mut Instance> {
        self.instances.iter_mut().find(|instance| instance.id == id)
    }

    pub fn image_of(&self, instance: &Instance) -> Option<&Image> {
        self.images.iter().find(|image| image.id == instance.image)
    }

    pub fn tag(&mut self, resource: &str, key: &str, value: &str) {
        self.tags.entry(resource.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
    }

    /// The Elastic IP bound to an instance.
    pub fn elastic_of(&self, instance: &str) -> Option<&Address> {
        self.addresses.iter().find(|address| address.bound.as_ref().is_some_and(|(_, bound)| bound == instance))
    }

    /// Carries out what time has brought, and tells when the next thing will happen.
    pub fn settle(&mut self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let mut later = |at: Instant| next = Some(next.map_or(at, |old| old.min(at)));
        for instance in &mut self.instances {
            match instance.state {
                State::Pending(until) if until <= now => instance.state = State::Running,
                State::Stopping(until) if until <= now => instance.state = State::Stopped,
                State::Pending(until) | State::Stopping(until) => later(until),
                State::Running | State::Stopped | State::Terminated => {}
            }
            for slot in [&mut instance.booting, &mut instance.initializing] {
                match *slot {
                    Some(until) if until <= now => *slot = None,
                    Some(until) => later(until),
                    None => {}
                }
            }
        }
        next
    }

    /// Starts a stopped instance: pending, then a boot, then running.
    pub fn start(&mut self, id: &str, now: Instant) {
        let transition = self.transition;
        let elastic = self.elastic_of(id).map(|address| address.ip);
        let auto = self.instance(id).is_some_and(|instance| instance.auto_public);
        let address = elastic.or_else(|| auto.then(|| self.fresh_address()));
        if let Some(instance) = self.instance_mut(id) {
            instance.state = State::Pending(now + transition);
            instance.booting = Some(now + transition + transition / 2);
            instance.initializing = Some(now + transition * 3);
            instance.launched = SystemTime::now();
            instance.state_reason = None;
            instance.public = address;
            instance.freshen();
        }
    }

    /// Stops a running instance; an automatic public address is given back at once.
    pub fn stop(&mut self, id: &str, now: Instant) {
        let transition = self.transition;
        let elastic = self.elastic_of(id).map(|address| address.ip);
        if let Some(instance) = self.instance_mut(id) {
            instance.state = State::Stopping(now + transition);
            instance.booting = None;
            instance.initializing = None;
            instance.public = elastic;
            instance.state_reason = Some((
                "Client.UserInitiatedShutdown".to_owned(),
                "Client.UserInitiatedShutdown: User initiated shutdown".to_owned(),
            ));
        }
    }

    /// Restarts the operating system; the state stays "running".
    pub fn reboot(&mut self, id: &str, now: Instant) {
        let transition = self.transition;
        if let Some(instance) = self.instance_mut(id) {
            instance.booting = Some(now + transition);
            instance.freshen();
        }
    }

    /// The route table that is in force for a subnet: its own, else the VPC's main one.
    pub fn routes_of(&self, subnet: &Subnet) -> Option<&RouteTable> {
        let own = self
            .route_tables
            .iter()
            .find(|table| table.associations.iter().any(|(_, bound)| bound.as_deref() == Some(subnet.id.as_str())));
        own.or_else(|| {
            self.route_tables
                .iter()
                .find(|table| table.vpc == subnet.vpc && table.associations.iter().any(|(_, bound)| bound.is_none()))
        })
    }

    /// The network ACL of a subnet.
    pub fn nacl_of(&self, subnet: &str) -> Option<&Nacl> {
        self.nacls.iter().find(|nacl| nacl.subnets.iter().any(|(_, bound)| bound == subnet))
    }

    /// The client's address as an [`IpAddr`].
    pub fn client_ip(&self) -> IpAddr {
        IpAddr::V4(self.client)
    }
}
