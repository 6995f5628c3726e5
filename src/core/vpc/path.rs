//! The whole way of a packet: which interface it is for, and what each hop does with it.
//!
//! Only what AWS says counts here; probes are brought in by `rules::network`.

use crate::core::check::Hop;
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::vpc::flow::{Family, Flow, Sources, is_private, jump_peer, through_jump};
use crate::core::vpc::hops::hops;
use crate::core::vpc::nacl::{self, AclDecision};
use crate::core::vpc::owner::owner_of;
pub use crate::core::vpc::owner::{Owner, Role, public_addresses};
use crate::core::vpc::route::{self, RouteDecision, route_text};
use crate::core::vpc::security_group::{self as sg, SgDecision, SgQuestion};
use crate::core::vpc::types::RouteTarget;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Over which network the packet comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Through the internet gateway.
    Internet,
    /// Inside the VPC, or by VPN, peering, transit gateway.
    Private,
}

/// Whether the address can be dialled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum PublicDecision {
    /// It is a public IPv4 address of the interface.
    Associated {
        /// Public address.
        public: IpAddr,
        /// Private address behind it.
        private: IpAddr,
    },
    /// It is an IPv6 address of the interface.
    Ipv6 {
        /// The address.
        address: IpAddr,
    },
    /// The private path needs none.
    NotNeeded,
    /// The instance has no public address.
    Missing,
    /// The dialled address is none of the instance's.
    NotOwned {
        /// Dialled address.
        address: IpAddr,
        /// Addresses that would lead to the instance.
        has: Vec<IpAddr>,
    },
    /// The facts do not tell.
    Unknown {
        /// Why.
        why: Why,
    },
}

/// Whether the VPC has its internet gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum IgwDecision {
    /// Attached.
    Attached {
        /// `igw-…`.
        id: String,
    },
    /// Not attached.
    NotAttached {
        /// VPC.
        vpc: String,
        /// The gateway that the route names.
        wanted: Option<String>,
    },
    /// The private path needs none.
    NotNeeded,
    /// The facts do not tell.
    Unknown {
        /// Why.
        why: Why,
    },
}

/// What VPC Block Public Access does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum BlockDecision {
    /// Nothing.
    Off,
    /// AWS did not say: it is not on unless somebody switched it on.
    NotSaid,
    /// It stops inbound connections.
    Blocks {
        /// `block-bidirectional` or `block-ingress`.
        mode: String,
        /// Subnet.
        subnet: String,
    },
    /// The private path does not meet it.
    NotNeeded,
    /// The facts do not tell.
    Unknown {
        /// Why.
        why: Why,
    },
}

/// The evaluated way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PathResult {
    /// The flow, IPv4-mapped addresses unfolded.
    pub flow: Flow,
    /// Interface; `None` when none is known.
    pub owner: Option<Owner>,
    /// IPv4 or IPv6.
    pub family: Family,
    /// Source that was judged: the flow's, when it is of the flow's family.
    pub source: Option<IpAddr>,
    /// Over which network.
    pub way: Way,
    /// Whether the way is private: no gateway or public address is needed.
    pub private_path: bool,
    /// Public address.
    pub public: PublicDecision,
    /// Internet gateway.
    pub igw: IgwDecision,
    /// Block Public Access.
    pub block: BlockDecision,
    /// Something that inspects inbound traffic between gateway and subnet: route and its table.
    pub inspected: Option<String>,
    /// Route of the answers.
    pub route: RouteDecision,
    /// ACL, packet that arrives.
    pub nacl_in: AclDecision,
    /// ACL, answer that leaves.
    pub nacl_out: AclDecision,
    /// Security groups.
    pub group: SgDecision,
    /// From client to interface.
    pub hops: Vec<Hop>,
}

/// Evaluates one flow.
pub fn evaluate(facts: &Facts, flow: &Flow) -> PathResult {
    let flow = flow.clone().canonical();
    match owner_of(facts, flow.address) {
        Ok(owner) => Evaluation::new(facts, flow, owner).run(),
        Err(why) => nothing_known(facts, flow, &why),
    }
}

struct Evaluation<'a> {
    facts: &'a Facts,
    flow: Flow,
    owner: Owner,
    family: Family,
    way: Way,
    source: Option<IpAddr>,
}

impl<'a> Evaluation<'a> {
    fn new(facts: &'a Facts, flow: Flow, owner: Owner) -> Self {
        let way = way_of(facts, &flow, owner.role);
        let family = flow.address.map_or(Family::V4, Family::of);
        let source = flow.source.filter(|s| Family::of(*s) == family);
        Self { facts, flow, owner, family, way, source }
    }

    fn sources(&self) -> Sources {
        match (self.source, self.way) {
            (Some(address), _) => Sources::One(address),
            (None, Way::Internet) => Sources::Internet(self.family),
            (None, Way::Private) => Sources::Any(self.family),
        }
    }

    fn run(self) -> PathResult {
        let route = self.route();
        let igw = self.igw(&route);
        let (nacl_in, nacl_out) = self.nacl(&route);
        let group = self.group(&route);
        let mut result = PathResult {
            family: self.family,
            source: self.source,
            way: self.way,
            private_path: self.way == Way::Private,
            public: self.public(),
            inspected: self.inspected(&igw),
            block: self.block(),
            igw,
            route,
            nacl_in,
            nacl_out,
            group,
            hops: Vec::new(),
            flow: self.flow,
            owner: Some(self.owner),
        };
        result.hops = hops(self.facts, &result);
        result
    }

    fn public(&self) -> PublicDecision {
        if self.way == Way::Private && self.owner.role != Role::NotOwned {
            return PublicDecision::NotNeeded;
        }
        let state = self.facts.instance().map(|i| i.state.as_str());
        let settled = match state {
            Some("running") => Ok(()),
            Some(state) => Err(Why::needs(format!(
                "the instance to run: it is {state}, and an automatically assigned public address is only held while it runs"
            ))),
            None => Err(Why::needs("the state of the instance")),
        };
        match (self.owner.role, self.flow.address, settled) {
            (Role::Public { private }, Some(public), _) => PublicDecision::Associated { public, private },
            (Role::Ipv6, Some(address), _) => PublicDecision::Ipv6 { address },
            (_, _, Err(why)) => PublicDecision::Unknown { why },
            (Role::NotOwned, Some(address), Ok(())) => {
                PublicDecision::NotOwned { address, has: public_addresses(self.facts) }
            }
            _ => PublicDecision::Missing,
        }
    }

    fn subnet(&self) -> Option<&str> {
        self.owner.interface.subnet_id.as_deref()
    }

    fn vpc(&self) -> Option<&str> {
        let facts = self.facts;
        self.owner
            .interface
            .vpc_id
            .as_deref()
            .or_else(|| facts.instance().and_then(|i| i.vpc_id.as_deref()))
            .or_else(|| facts.aws.subnet.value().map(|s| s.vpc_id.as_str()).filter(|v| !v.is_empty()))
    }

    fn route(&self) -> RouteDecision {
        let Some(tables) = self.facts.aws.route_tables.value() else {
            return RouteDecision::Unknown { why: why(&self.facts.aws.route_tables, "the route tables") };
        };
        let Some(subnet) = self.subnet() else {
            return RouteDecision::Unknown { why: Why::needs("the subnet of the interface") };
        };
        match route::table_of(tables, subnet, self.vpc()) {
            Ok((table, name)) => route::decide(table, name, &self.facts.aws.prefix_lists, self.sources()),
            Err(why) => RouteDecision::Unknown { why },
        }
    }

    fn igw(&self, route: &RouteDecision) -> IgwDecision {
        if self.way == Way::Private {
            return IgwDecision::NotNeeded;
        }
        let Some(gateways) = self.facts.aws.internet_gateways.value() else {
            return IgwDecision::Unknown { why: why(&self.facts.aws.internet_gateways, "the internet gateways") };
        };
        let Some(vpc) = self.vpc() else {
            return IgwDecision::Unknown { why: Why::needs("the VPC of the interface") };
        };
        let wanted = match route {
            RouteDecision::Via { route, .. } => match &route.target {
                RouteTarget::InternetGateway(id) => Some(id.clone()),
                _ => None,
            },
            _ => None,
        };
        let mut attached = gateways.iter().filter(|g| g.attached_to.as_deref() == Some(vpc));
        let found = match &wanted {
            Some(id) => attached.find(|g| &g.id == id),
            None => attached.next(),
        };
        match found {
            Some(gateway) => IgwDecision::Attached { id: gateway.id.clone() },
            None => IgwDecision::NotAttached { vpc: vpc.to_owned(), wanted },
        }
    }

    fn inspected(&self, igw: &IgwDecision) -> Option<String> {
        let (IgwDecision::Attached { id }, Some(tables)) = (igw, self.facts.aws.route_tables.value()) else {
            return None;
        };
        let table = tables.iter().find(|t| t.gateways.contains(id))?;
        let inside = match self.owner.role {
            Role::Public { private } => Some(private),
            Role::Ipv6 => self.flow.address,
            _ => self.owner.interface.addresses.first().map(|a| a.private),
        }?;
        let route = route::best(table, &self.facts.aws.prefix_lists, inside)?;
        matches!(route.target, RouteTarget::Appliance(_) | RouteTarget::Endpoint(_))
            .then(|| format!("{} of {id}: {}", table.id, route_text(route)))
    }

    fn block(&self) -> BlockDecision {
        if self.way == Way::Private {
            return BlockDecision::NotNeeded;
        }
        let Some(subnet) = self.facts.aws.subnet.value() else {
            return BlockDecision::Unknown { why: why(&self.facts.aws.subnet, "the subnet") };
        };
        if self.subnet().is_some_and(|id| !subnet.id.is_empty() && id != subnet.id) {
            return BlockDecision::Unknown { why: Why::needs("the subnet of the interface") };
        }
        match subnet.block_public_access.as_deref() {
            None | Some("") => BlockDecision::NotSaid,
            Some("off") => BlockDecision::Off,
            Some(mode) => BlockDecision::Blocks { mode: mode.to_owned(), subnet: subnet.id.clone() },
        }
    }

    fn nacl(&self, route: &RouteDecision) -> (AclDecision, AclDecision) {
        let both = |why: Why| (AclDecision::Unknown { why: why.clone() }, AclDecision::Unknown { why });
        let Some(subnet) = self.subnet() else {
            return both(Why::needs("the subnet of the interface"));
        };
        let same = self.same_subnet(subnet, route);
        if same == Some(true) {
            return (AclDecision::SameSubnet, AclDecision::SameSubnet);
        }
        let Some(acls) = self.facts.aws.acls.value() else {
            return both(why(&self.facts.aws.acls, "the network ACLs"));
        };
        let Some(acl) = acls.iter().find(|a| a.subnets.iter().any(|s| s == subnet)) else {
            return both(Why::needs(format!("the network ACL of {subnet}")));
        };
        // Inside the subnet the ACL is not met, so only "allowed" holds for every case.
        let settled = |decision| match decision {
            AclDecision::Denied { .. } | AclDecision::Partial { .. } if same.is_none() => AclDecision::Unknown {
                why: self.facts.aws.subnet.why_not().filter(|_| self.source.is_some()).unwrap_or_else(sg::needs_source),
            },
            other => other,
        };
        (
            settled(nacl::inbound(acl, &self.flow, self.sources())),
            settled(nacl::outbound(acl, &self.flow, self.sources())),
        )
    }

    /// Whether the client is in the interface's own subnet; `None` when that is not known.
    fn same_subnet(&self, id: &str, route: &RouteDecision) -> Option<bool> {
        if self.way == Way::Internet && (self.family == Family::V4 || self.source.is_none()) {
            return Some(false);
        }
        match route {
            RouteDecision::Via { route, .. } | RouteDecision::Blackhole { route, .. }
                if route.target != RouteTarget::Local =>
            {
                return Some(false);
            }
            RouteDecision::Missing { .. } => return Some(false),
            _ => {}
        }
        let range = self.facts.aws.subnet.value().filter(|s| s.id == id).and_then(|s| s.cidr)?;
        let source = self.source?;
        (Family::of_net(&range) == self.family).then(|| range.contains(&source))
    }

    fn group(&self, route: &RouteDecision) -> SgDecision {
        let Some(groups) = self.facts.aws.groups.value() else {
            return SgDecision::Unknown { why: why(&self.facts.aws.groups, "the security groups") };
        };
        let local = matches!(route, RouteDecision::Via { route, .. } if route.target == RouteTarget::Local);
        let from_inside = self.way == Way::Private || (self.family == Family::V6 && local);
        // Of an instance in between it is known which groups it is in.
        let members = jump_peer(self.facts)
            .filter(|peer| self.source.is_some() && self.source == peer.private_ip)
            .map(|peer| peer.groups.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>());
        let question = SgQuestion {
            flow: &self.flow,
            sources: self.sources(),
            from_inside,
            members: members.as_deref(),
            lists: &self.facts.aws.prefix_lists,
        };
        sg::decide(groups, &self.owner.interface.groups, question)
    }
}

fn way_of(facts: &Facts, flow: &Flow, role: Role) -> Way {
    let private = match role {
        Role::Public { .. } => false,
        Role::Private => true,
        Role::Ipv6 | Role::NotOwned => flow.address.is_some_and(is_private),
        Role::Nothing => flow.source.is_some_and(is_private) || through_jump(facts),
    };
    if private { Way::Private } else { Way::Internet }
}

fn why<T>(fact: &Fact<T>, what: &str) -> Why {
    match fact {
        Fact::Unknown { why } => why.clone(),
        _ => Why::needs(what),
    }
}

fn nothing_known(facts: &Facts, flow: Flow, why: &Why) -> PathResult {
    let way = way_of(facts, &flow, Role::NotOwned);
    let family = flow.address.map_or(Family::V4, Family::of);
    let why = || why.clone();
    let mut result = PathResult {
        family,
        source: flow.source.filter(|s| Family::of(*s) == family),
        way,
        private_path: way == Way::Private,
        public: PublicDecision::Unknown { why: why() },
        igw: IgwDecision::Unknown { why: why() },
        block: BlockDecision::Unknown { why: why() },
        inspected: None,
        route: RouteDecision::Unknown { why: why() },
        nacl_in: AclDecision::Unknown { why: why() },
        nacl_out: AclDecision::Unknown { why: why() },
        group: SgDecision::Unknown { why: why() },
        hops: Vec::new(),
        owner: None,
        flow,
    };
    result.hops = hops(facts, &result);
    result
}
