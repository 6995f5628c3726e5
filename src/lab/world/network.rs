//! What a network of the practice account consists of. Plain data.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

pub(in crate::lab) struct Vpc {
    pub id: String,
    pub cidr: Ipv4Net,
    /// Block Public Access as it works here: `off`, `block-ingress`, `block-bidirectional`.
    pub block_public: String,
}

pub(in crate::lab) struct Subnet {
    pub id: String,
    pub vpc: String,
    pub cidr: Ipv4Net,
    pub auto_public: bool,
}

pub(in crate::lab) struct Group {
    pub id: String,
    pub name: String,
    pub vpc: String,
    pub description: String,
}

/// One security group rule with one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::lab) struct Rule {
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
pub(in crate::lab) enum Source {
    Net(IpNet),
    Group(String),
    PrefixList(String),
}

pub(in crate::lab) struct Nacl {
    pub id: String,
    pub vpc: String,
    pub default: bool,
    pub entries: Vec<Entry>,
    /// Association id and subnet id.
    pub subnets: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub(in crate::lab) struct Entry {
    pub number: i32,
    pub egress: bool,
    pub allow: bool,
    /// A number as text.
    pub protocol: String,
    pub ports: Option<(i32, i32)>,
    pub icmp: Option<(i32, i32)>,
    pub cidr: IpNet,
}

pub(in crate::lab) struct RouteTable {
    pub id: String,
    pub vpc: String,
    pub routes: Vec<Route>,
    /// Association id and subnet id; `None` is the main association.
    pub associations: Vec<(String, Option<String>)>,
}

#[derive(Clone)]
pub(in crate::lab) struct Route {
    pub to: IpNet,
    /// `local` or the id of a gateway, NAT gateway, link, interface or endpoint.
    pub via: String,
    pub created: bool,
}

pub(in crate::lab) struct Gateway {
    pub id: String,
    pub vpc: Option<String>,
    /// Lets IPv6 out and nothing in; its ids begin with `eigw`.
    pub egress_only: bool,
}

pub(in crate::lab) struct Nat {
    pub id: String,
    pub vpc: String,
    pub subnet: String,
    pub public: Ipv4Addr,
    pub private: Ipv4Addr,
    pub state: String,
}

/// A peering connection or a transit gateway attachment: the other side is outside this account.
pub(in crate::lab) struct Link {
    /// `pcx-…` or `tgw-…`.
    pub id: String,
    pub name: String,
    pub vpc: String,
    pub peer: IpNet,
    pub state: String,
}

impl Link {
    /// True if packets go through.
    pub fn works(&self) -> bool {
        matches!(self.state.as_str(), "active" | "available")
    }
}

pub(in crate::lab) struct PrefixList {
    pub id: String,
    pub name: String,
    pub owner: String,
    pub entries: Vec<IpNet>,
}

pub(in crate::lab) struct VpcEndpoint {
    pub id: String,
    pub vpc: String,
    /// `com.amazonaws.us-east-1.ssm`, ….
    pub service: String,
    pub subnets: Vec<String>,
    pub groups: Vec<String>,
    pub private_dns: bool,
    pub state: String,
}

pub(in crate::lab) struct ConnectEndpoint {
    pub id: String,
    pub vpc: String,
    pub subnet: String,
    pub address: Ipv4Addr,
    pub groups: Vec<String>,
    pub state: String,
    pub message: Option<String>,
    pub preserve_client_ip: bool,
}

/// An Elastic IP address.
pub(in crate::lab) struct Address {
    pub allocation: String,
    pub ip: Ipv4Addr,
    /// Association id and instance id.
    pub bound: Option<(String, String)>,
}
