//! The pieces of a network that a scenario file adds.
//!
//! Names refer to names in any loaded file. Must hold no behaviour.

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct VpcSpec {
    pub name: String,
    /// Without the first octet pair: "0.0/16".
    pub cidr: String,
    /// Block Public Access in this VPC: `block-bidirectional` or `block-ingress`.
    #[serde(default)]
    pub block_public: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct SubnetSpec {
    pub name: String,
    pub vpc: String,
    pub cidr: String,
    #[serde(default)]
    pub auto_public: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct GroupSpec {
    pub name: String,
    pub vpc: String,
    pub description: String,
    #[serde(default)]
    pub ingress: Vec<RuleSpec>,
    /// Everything if absent, as EC2 makes it.
    #[serde(default)]
    pub egress: Option<Vec<RuleSpec>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct RuleSpec {
    pub protocol: String,
    #[serde(default)]
    pub ports: Option<[Port; 2]>,
    /// A block, "group:NAME" or "prefix:NAME"; in an egress rule the destination.
    pub from: String,
    #[serde(default)]
    pub description: String,
}

/// A port number, or "ssh" for the port on which this lab's hosts listen.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(in crate::lab) enum Port {
    Number(i32),
    Word(String),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct NaclSpec {
    pub name: String,
    pub vpc: String,
    #[serde(default)]
    pub subnets: Vec<String>,
    #[serde(default)]
    pub entry: Vec<EntrySpec>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct EntrySpec {
    pub number: i32,
    #[serde(default)]
    pub egress: bool,
    pub allow: bool,
    pub protocol: String,
    #[serde(default)]
    pub ports: Option<[Port; 2]>,
    pub cidr: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct RouteTableSpec {
    pub name: String,
    pub vpc: String,
    #[serde(default)]
    pub main: bool,
    #[serde(default)]
    pub subnets: Vec<String>,
    /// The gateway of the default route.
    #[serde(default)]
    pub gateway: Option<String>,
    #[serde(default)]
    pub route: Vec<RouteSpec>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct RouteSpec {
    /// A block as it is: "10.50.0.0/16", "0.0.0.0/0", "::/0".
    pub to: String,
    /// "KIND:NAME" with the prefix of the target's ids: igw, nat, pcx, tgw, eigw, eni, vpce.
    pub via: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct GatewaySpec {
    pub name: String,
    #[serde(default)]
    pub vpc: Option<String>,
    /// Lets IPv6 out and nothing in.
    #[serde(default)]
    pub egress_only: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct NatSpec {
    pub name: String,
    pub subnet: String,
    /// The last two octets of its addresses.
    pub address: String,
    #[serde(default = "available")]
    pub state: String,
}

/// A peering connection (`pcx`) or a transit gateway attachment (`tgw`).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct LinkSpec {
    pub name: String,
    pub vpc: String,
    /// The network on the other side; it lies outside this account.
    pub peer: String,
    /// `active` or `available` where it works.
    pub state: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct PrefixListSpec {
    pub name: String,
    /// `AWS` for Amazon's own lists.
    #[serde(default)]
    pub owner: Option<String>,
    pub entries: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct VpcEndpointSpec {
    pub name: String,
    pub vpc: String,
    /// `ssm`, `ssmmessages`, `ec2messages`, `s3` ….
    pub service: String,
    #[serde(default)]
    pub subnets: Vec<String>,
    #[serde(default)]
    pub groups: Vec<String>,
    #[serde(default = "yes")]
    pub private_dns: bool,
    #[serde(default = "available")]
    pub state: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct ConnectEndpointSpec {
    pub name: String,
    pub subnet: String,
    #[serde(default)]
    pub groups: Vec<String>,
    /// The last two octets of its address.
    pub address: String,
    #[serde(default = "complete")]
    pub state: String,
    #[serde(default)]
    pub message: Option<String>,
    #[serde(default)]
    pub preserve_client_ip: bool,
}

fn available() -> String {
    "available".to_owned()
}

fn complete() -> String {
    "create-complete".to_owned()
}

fn yes() -> bool {
    true
}
