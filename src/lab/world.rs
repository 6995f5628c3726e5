//! The state of the practice account: what exists, and how it changes with time.
//!
//! Used by `build` (which fills it), `api` (which reads and changes it), `reach` (which judges a
//! packet) and `host` (which acts on that). Must not do I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use super::automation;
use super::ids;
use super::keys::Pair;
use super::scenario::{ImageSpec, Reason};
use super::session::SessionRecord;

mod machine;
mod network;

pub(super) use self::machine::{Face, Instance, Node, Root, State, User};
pub(super) use self::network::{
    Address, ConnectEndpoint, Entry, Gateway, Group, Link, Nacl, Nat, PrefixList, Route, RouteTable, Rule, Source,
    Subnet, Vpc, VpcEndpoint,
};

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
    pub nats: Vec<Nat>,
    /// Peering connections and transit gateway attachments.
    pub links: Vec<Link>,
    pub prefix_lists: Vec<PrefixList>,
    pub vpc_endpoints: Vec<VpcEndpoint>,
    pub connect_endpoints: Vec<ConnectEndpoint>,
    pub roles: Vec<Role>,
    pub profiles: Vec<Profile>,
    pub instances: Vec<Instance>,
    pub snapshots: Vec<Snapshot>,
    pub addresses: Vec<Address>,
    pub key_pairs: Vec<KeyPair>,
    pub imported: Vec<ImportedPair>,
    pub images: Vec<Image>,
    pub denials: Vec<Denial>,
    pub throttles: Vec<Throttle>,
    /// The account switch of the serial console.
    pub serial_console: bool,
    /// Keys pushed to serial consoles: instance, key as SSH sends it, and until when.
    pub serial_keys: Vec<(String, Vec<u8>, Instant)>,
    /// Instances at whose serial console somebody is.
    pub serial_sessions: BTreeSet<String>,
    /// Where the account's endpoint listens: tunnels are opened there too.
    pub endpoint: Option<SocketAddr>,
    /// What the Auto Scaling groups were told.
    pub scaling: Scaling,
    /// What was run through Systems Manager, by command id.
    pub commands: BTreeMap<String, CommandRun>,
    /// Runbooks that were started, oldest first.
    pub automations: Vec<automation::Run>,
    /// Sessions of Session Manager that have not ended.
    pub sessions: BTreeMap<String, SessionRecord>,
    /// Where their data channels are: `ws://ADDRESS:PORT`.
    pub channel: String,
    pub tags: BTreeMap<String, BTreeMap<String, String>>,
    /// Every address that any host of this account has or had: none of them may answer by chance.
    pub known: BTreeSet<Ipv4Addr>,
    counter: u64,
}

pub(super) struct KeyPair {
    pub id: String,
    pub pair: Pair,
    pub created: SystemTime,
    /// EC2 does not know it any more.
    pub deleted: bool,
}

/// A public half that the user brought.
pub(super) struct ImportedPair {
    pub id: String,
    pub name: String,
    /// As DescribeKeyPairs shows it.
    pub line: String,
    pub fingerprint: String,
    /// `rsa` or `ed25519`.
    pub kind: &'static str,
    pub created: SystemTime,
}

pub(super) struct Image {
    pub id: String,
    pub spec: ImageSpec,
}

/// An action that the caller may not perform.
pub(super) struct Denial {
    pub action: String,
    /// Only requests that name one of these, or something in this VPC; every request if `None`.
    pub about: Option<String>,
    pub reason: Reason,
}

/// Requests that are turned away before they are answered.
pub(super) struct Throttle {
    /// Only this action.
    pub action: Option<String>,
    /// Only requests that name this instance.
    pub about: Option<String>,
    /// How often an action is turned away before it is answered.
    pub times: u32,
    /// Of each action how often it was turned away, and when it was answered last.
    pub seen: BTreeMap<String, (u32, Option<Instant>)>,
}

/// A role for instances; its instance profile has the same name.
pub(super) struct Role {
    pub name: String,
    /// Names of AWS's own policies.
    pub attached: Vec<String>,
    /// Name and JSON document.
    pub inline: Vec<(String, String)>,
    pub tags: Vec<(String, String)>,
}

/// An instance profile that was made by a call; that of a story's role has the role's name and is not listed.
pub(super) struct Profile {
    pub name: String,
    pub role: Option<String>,
    pub tags: Vec<(String, String)>,
}

/// What Auto Scaling groups were told about their members and processes.
#[derive(Default)]
pub(super) struct Scaling {
    /// Instances in standby.
    pub standby: BTreeSet<String>,
    /// Suspended processes of each group.
    pub suspended: BTreeMap<String, BTreeSet<String>>,
}

impl Scaling {
    /// True if the group takes a stopped member for a sick one and terminates it (Auto Scaling User Guide, "Health
    /// checks for instances" and "Suspend-resume processes").
    fn replaces(&self, instance: &Instance) -> bool {
        let Some(group) = &instance.machine.scaling_group else {
            return false;
        };
        let off = |process: &str| self.suspended.get(group).is_some_and(|all| all.contains(process));
        !self.standby.contains(&instance.id) && !["HealthCheck", "ReplaceUnhealthy", "Terminate"].into_iter().any(off)
    }
}

/// A snapshot that was made by a call.
pub(super) struct Snapshot {
    pub id: String,
    pub volume: String,
    pub description: String,
    pub begun: SystemTime,
}

/// What a command of Systems Manager gave.
pub(super) struct CommandRun {
    pub instance: String,
    pub document: String,
    pub out: String,
    pub err: String,
    pub code: i32,
    pub at: SystemTime,
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
            client: super::USER,
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
            nats: Vec::new(),
            links: Vec::new(),
            prefix_lists: Vec::new(),
            vpc_endpoints: Vec::new(),
            connect_endpoints: Vec::new(),
            roles: Vec::new(),
            profiles: Vec::new(),
            instances: Vec::new(),
            snapshots: Vec::new(),
            addresses: Vec::new(),
            key_pairs: Vec::new(),
            imported: Vec::new(),
            images: Vec::new(),
            denials: Vec::new(),
            throttles: Vec::new(),
            serial_console: false,
            serial_keys: Vec::new(),
            serial_sessions: BTreeSet::new(),
            endpoint: None,
            scaling: Scaling::default(),
            commands: BTreeMap::new(),
            automations: Vec::new(),
            sessions: BTreeMap::new(),
            channel: String::new(),
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
        let mut next = automation::settle(self, now);
        let mut later = |at: Instant| next = Some(next.map_or(at, |old| old.min(at)));
        for instance in &mut self.instances {
            match instance.state {
                State::Pending(until) if until <= now => instance.state = State::Running,
                State::Stopping(until) if until <= now && self.scaling.replaces(instance) => {
                    instance.state = State::Terminated;
                }
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
            // Memory that was kept goes on where it was: that is no boot.
            if !std::mem::take(&mut instance.machine.hibernated) {
                instance.freshen(true);
                super::cloud_init::boot(instance);
            }
        }
    }

    /// Stops a running instance; an automatic public address is given back at once.
    pub fn stop(&mut self, id: &str, hibernate: bool, now: Instant) {
        let transition = self.transition;
        let elastic = self.elastic_of(id).map(|address| address.ip);
        if let Some(instance) = self.instance_mut(id) {
            instance.state = State::Stopping(now + transition);
            instance.booting = None;
            instance.initializing = None;
            instance.public = elastic;
            instance.machine.hibernated = hibernate;
            let (code, words) = if hibernate {
                ("Client.UserInitiatedHibernate", "User initiated hibernate")
            } else {
                ("Client.UserInitiatedShutdown", "User initiated shutdown")
            };
            instance.state_reason = Some((code.to_owned(), format!("{code}: {words}")));
        }
    }

    /// Restarts the operating system; the state stays "running".
    pub fn reboot(&mut self, id: &str, now: Instant) {
        let transition = self.transition;
        if let Some(instance) = self.instance_mut(id) {
            instance.booting = Some(now + transition);
            instance.freshen(false);
            super::cloud_init::boot(instance);
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

    /// The instance that an interface belongs to.
    pub fn owner_of(&self, interface: &str) -> Option<&Instance> {
        self.instances.iter().find(|instance| {
            instance.interface == interface || instance.second.as_ref().is_some_and(|face| face.id == interface)
        })
    }

    /// True if the target of a route exists and works in this VPC.
    pub fn target_works(&self, route: &Route, vpc: &str) -> bool {
        let via = route.via.as_str();
        match via.split_once('-').map_or(via, |(kind, _)| kind) {
            "local" | "vpce" => true,
            "igw" | "eigw" => self.gateways.iter().any(|known| known.id == via && known.vpc.as_deref() == Some(vpc)),
            "nat" => self.nats.iter().any(|nat| nat.id == via && nat.state == "available"),
            "pcx" | "tgw" => self.links.iter().any(|link| link.id == via && link.vpc == vpc && link.works()),
            "eni" => self.owner_of(via).is_some_and(|instance| instance.state == State::Running),
            _ => false,
        }
    }
}
