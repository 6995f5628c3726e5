//! Network objects of a VPC in AWS's own words, as far as the path needs them.
//!
//! Plain data; the evaluation is in the sibling modules.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A security group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecurityGroup {
    /// `sg-…`.
    pub id: String,
    /// Name.
    pub name: String,
    /// VPC.
    pub vpc_id: Option<String>,
    /// Inbound rules, one entry per source.
    pub inbound: Vec<SgRule>,
    /// Outbound rules, one entry per destination.
    pub outbound: Vec<SgRule>,
}

/// One rule of a security group with one source (or destination).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SgRule {
    /// `sgr-…`, when it could be read.
    #[serde(default)]
    pub rule_id: Option<String>,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, a number as text, or `-1` for everything.
    pub protocol: String,
    /// First port, or ICMP type; absent or -1 means all.
    #[serde(default)]
    pub from_port: Option<i32>,
    /// Last port, or ICMP code; absent or -1 means all.
    #[serde(default)]
    pub to_port: Option<i32>,
    /// Who is meant.
    pub peer: SgPeer,
    /// Description.
    #[serde(default)]
    pub description: Option<String>,
}

/// Source of an inbound rule, or destination of an outbound one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SgPeer {
    /// An IPv4 or IPv6 range.
    Cidr(IpNet),
    /// A managed prefix list, `pl-…`.
    PrefixList(String),
    /// Interfaces that carry this group, by their private addresses.
    Group {
        /// `sg-…`.
        id: String,
        /// Account of the group, when it is another one.
        #[serde(default)]
        account: Option<String>,
        /// Whether the peering connection is gone.
        #[serde(default)]
        stale: bool,
    },
}

/// A network ACL.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkAcl {
    /// `acl-…`.
    pub id: String,
    /// Name tag.
    pub name: Option<String>,
    /// VPC.
    pub vpc_id: Option<String>,
    /// Whether it is the VPC's default one.
    pub is_default: bool,
    /// Subnets that use it.
    pub subnets: Vec<String>,
    /// Entries in any order; the evaluation sorts them by number.
    pub entries: Vec<AclEntry>,
}

/// One entry of a network ACL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AclEntry {
    /// Rule number; 32767 is the closing deny.
    pub number: i32,
    /// Whether it is for outbound packets.
    pub egress: bool,
    /// Whether it allows.
    pub allow: bool,
    /// Protocol number as text; `-1` is everything.
    pub protocol: String,
    /// Range of addresses.
    pub cidr: IpNet,
    /// Ports, inclusive; absent means all.
    #[serde(default)]
    pub ports: Option<(u16, u16)>,
    /// ICMP type and code, -1 for all.
    #[serde(default)]
    pub icmp: Option<(i32, i32)>,
}

/// A route table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteTable {
    /// `rtb-…`.
    pub id: String,
    /// Name tag.
    pub name: Option<String>,
    /// VPC.
    pub vpc_id: Option<String>,
    /// Whether it is the VPC's main table.
    pub main: bool,
    /// Subnets associated with it, in state `associated`.
    pub subnets: Vec<String>,
    /// Gateways associated with it (ingress routing).
    pub gateways: Vec<String>,
    /// Routes.
    pub routes: Vec<Route>,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Destination.
    pub destination: RouteDestination,
    /// Target.
    pub target: RouteTarget,
    /// Whether the state is `active`; false for `blackhole` (and `filtered`).
    pub active: bool,
    /// Whether it was propagated by a virtual private gateway.
    #[serde(default)]
    pub propagated: bool,
}

/// Destination of a route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteDestination {
    /// An IPv4 or IPv6 range.
    Cidr(IpNet),
    /// A managed prefix list.
    PrefixList(String),
}

/// Target of a route, by kind, with its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteTarget {
    /// The VPC itself.
    Local,
    /// `igw-…`.
    InternetGateway(String),
    /// `eigw-…`: IPv6, outbound only.
    EgressOnlyGateway(String),
    /// `nat-…`: outbound only.
    Nat(String),
    /// `tgw-…`.
    TransitGateway(String),
    /// `pcx-…`.
    Peering(String),
    /// `vgw-…`.
    VpnGateway(String),
    /// `vpce-…`: gateway or Gateway Load Balancer endpoint.
    Endpoint(String),
    /// `eni-…` or `i-…`: an appliance.
    Appliance(String),
    /// Carrier gateway, local gateway, core network.
    Other(String),
}

/// An internet gateway.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InternetGateway {
    /// `igw-…`.
    pub id: String,
    /// VPC it is attached to, when the attachment is available.
    pub attached_to: Option<String>,
}
