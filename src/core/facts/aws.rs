//! What AWS tells about an instance and its network.
//!
//! Plain data in AWS's own words; the SDK's types stay in `edge`. Source of the field meanings:
//! the EC2 API reference, 2016-11-15.

use crate::core::fact::Fact;
use crate::core::vpc::types::{InternetGateway, NetworkAcl, RouteTable, SecurityGroup};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Everything that AWS tells.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AwsFacts {
    /// Region that was asked.
    pub region: Option<String>,
    /// Who is asking (`sts:GetCallerIdentity`).
    pub caller: Fact<Caller>,
    /// The instance (`ec2:DescribeInstances`).
    pub instance: Fact<Instance>,
    /// Status checks and events (`ec2:DescribeInstanceStatus`).
    pub status: Fact<InstanceStatus>,
    /// Interfaces (`ec2:DescribeNetworkInterfaces`); sharper than what the instance itself lists.
    pub interfaces: Fact<Vec<Interface>>,
    /// Security groups of the interfaces (`ec2:DescribeSecurityGroups`).
    pub groups: Fact<Vec<SecurityGroup>>,
    /// Network ACLs of the VPC (`ec2:DescribeNetworkAcls`).
    pub acls: Fact<Vec<NetworkAcl>>,
    /// Route tables of the VPC (`ec2:DescribeRouteTables`).
    pub route_tables: Fact<Vec<RouteTable>>,
    /// Internet gateways attached to the VPC (`ec2:DescribeInternetGateways`).
    pub internet_gateways: Fact<Vec<InternetGateway>>,
    /// Subnet of the interface (`ec2:DescribeSubnets`).
    pub subnet: Fact<Subnet>,
    /// Entries of the prefix lists that rules and routes name (`ec2:GetManagedPrefixListEntries`).
    pub prefix_lists: Fact<BTreeMap<String, Vec<IpNet>>>,
    /// The EC2 key pair named at launch; `None` when it is deleted (`ec2:DescribeKeyPairs`).
    pub key_pair: Fact<Option<KeyPair>>,
    /// The image; `None` when it is gone (`ec2:DescribeImages`).
    pub image: Fact<Option<Image>>,
    /// Console output, decoded (`ec2:GetConsoleOutput`).
    pub console: Fact<String>,
    /// The SSM agent; `None` when it never registered (`ssm:DescribeInstanceInformation`).
    pub ssm: Fact<Option<SsmAgent>>,
}

/// The caller's identity.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Caller {
    /// Twelve-digit account id.
    pub account: String,
    /// ARN of the user or role.
    pub arn: String,
}

/// An instance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Instance {
    /// `i-…`.
    pub id: String,
    /// Name tag.
    pub name: Option<String>,
    /// Region it was found in.
    pub region: String,
    /// `running`, `stopped`, … as the low byte of `State.Code` says.
    pub state: String,
    /// `StateReason.Code` and message.
    pub state_reason: Option<String>,
    /// `StateTransitionReason`, free text with a time.
    pub transition_reason: Option<String>,
    /// `t3.micro`, ….
    pub instance_type: String,
    /// `ami-…`.
    pub image_id: Option<String>,
    /// EC2 key pair named at launch.
    pub key_name: Option<String>,
    /// `windows`, or nothing.
    pub platform: Option<String>,
    /// `Linux/UNIX`, `Red Hat Enterprise Linux`, ….
    pub platform_details: Option<String>,
    /// `x86_64`, `arm64`, ….
    pub architecture: Option<String>,
    /// Primary private IPv4.
    pub private_ip: Option<IpAddr>,
    /// Primary public IPv4.
    pub public_ip: Option<IpAddr>,
    /// Public DNS name.
    pub public_dns: Option<String>,
    /// Private DNS name.
    pub private_dns: Option<String>,
    /// Availability zone.
    pub zone: Option<String>,
    /// VPC.
    pub vpc_id: Option<String>,
    /// Subnet of the primary interface.
    pub subnet_id: Option<String>,
    /// Interfaces as the instance lists them.
    pub interfaces: Vec<Interface>,
    /// Security groups of the primary interface: id and name.
    pub groups: Vec<(String, String)>,
    /// `ebs` or `instance-store`.
    pub root_device_type: Option<String>,
    /// `/dev/xvda`, ….
    pub root_device_name: Option<String>,
    /// Attachment time of the root volume, seconds since 1970: a lower bound of the first launch that survives stop and start.
    pub root_attached: Option<i64>,
    /// Volume at the root device name; `None` when nothing is attached there.
    pub root_volume: Option<String>,
    /// Device name of a volume that looks like a root, where the root device name has none: attached under a wrong name.
    pub other_root: Option<String>,
    /// `spot`, `scheduled` or nothing.
    pub lifecycle: Option<String>,
    /// Whether it was started with hibernation on.
    pub hibernation: bool,
    /// Service that manages the instance (`Operator.Principal`), when one does.
    pub managed_by: Option<String>,
    /// Last start, seconds since 1970.
    pub launched: Option<i64>,
    /// ARN of the instance profile.
    pub profile_arn: Option<String>,
    /// Whether the metadata service answers (`MetadataOptions.HttpEndpoint`).
    pub imds_enabled: Option<bool>,
    /// All tags.
    pub tags: BTreeMap<String, String>,
}

impl Instance {
    /// Name and id as people want to read them.
    pub fn label(&self) -> String {
        match &self.name {
            Some(name) => format!("{name} ({})", self.id),
            None => self.id.clone(),
        }
    }

    /// The public IPv4, else a global IPv6: what an internet client can dial.
    pub fn best_address(&self) -> Option<IpAddr> {
        self.public_ip
            .or_else(|| self.interfaces.iter().find_map(|i| i.addresses.iter().find_map(|a| a.public)))
            .or_else(|| self.interfaces.iter().find_map(|i| i.ipv6.first().copied()))
    }

    /// Every address that leads to this instance.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut all: Vec<IpAddr> = self.public_ip.into_iter().chain(self.private_ip).collect();
        for interface in &self.interfaces {
            all.extend(interface.addresses.iter().flat_map(|a| a.public.into_iter().chain([a.private])));
            all.extend(&interface.ipv6);
        }
        all.sort();
        all.dedup();
        all
    }
}

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// `eni-…`.
    pub id: String,
    /// 0 is the primary one.
    pub device_index: i32,
    /// Subnet.
    pub subnet_id: Option<String>,
    /// VPC.
    pub vpc_id: Option<String>,
    /// Private IPv4 addresses with their public ones.
    pub addresses: Vec<InterfaceAddress>,
    /// IPv6 addresses.
    pub ipv6: Vec<IpAddr>,
    /// Security-group ids.
    pub groups: Vec<String>,
    /// Whether a service manages it.
    pub managed: bool,
}

/// A private address of an interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InterfaceAddress {
    /// Private IPv4.
    pub private: IpAddr,
    /// Associated public IPv4.
    #[serde(default)]
    pub public: Option<IpAddr>,
    /// Whether it is the primary one of its interface.
    #[serde(default)]
    pub primary: bool,
}

/// Status checks of an instance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceStatus {
    /// `ok`, `impaired`, `initializing`, `insufficient-data`, `not-applicable`.
    pub system: String,
    /// The same for the guest.
    pub instance: String,
    /// The same for attached volumes.
    pub ebs: Option<String>,
    /// Upcoming events: code, description, not before (seconds since 1970).
    pub events: Vec<(String, String, Option<i64>)>,
}

/// A subnet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Subnet {
    /// `subnet-…`.
    pub id: String,
    /// VPC.
    pub vpc_id: String,
    /// Availability zone.
    pub zone: Option<String>,
    /// IPv4 range.
    pub cidr: Option<IpNet>,
    /// Effective VPC Block Public Access mode of the internet gateway: `off`, `block-bidirectional`, `block-ingress`.
    pub block_public_access: Option<String>,
}

/// An EC2 key pair.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyPair {
    /// Name.
    pub name: String,
    /// `key-…`.
    pub id: Option<String>,
    /// Fingerprint in one of EC2's three forms.
    pub fingerprint: Option<String>,
    /// `rsa` or `ed25519`.
    pub key_type: Option<String>,
    /// OpenSSH public key, when it was asked for and is known.
    pub public_key: Option<String>,
    /// Creation, seconds since 1970.
    pub created: Option<i64>,
}

/// An image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    /// `ami-…`.
    pub id: String,
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Owner account.
    pub owner_id: Option<String>,
    /// `amazon`, `aws-marketplace`, ….
    pub owner_alias: Option<String>,
    /// `owner/name`.
    pub location: Option<String>,
    /// Platform as billed.
    pub platform_details: Option<String>,
    /// Image that this one was copied from.
    pub source_image: Option<String>,
    /// Instance that this one was made from.
    pub source_instance: Option<String>,
}

/// The SSM agent of an instance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SsmAgent {
    /// `Online`, `ConnectionLost`, `Inactive`.
    pub ping: String,
    /// Last ping, seconds since 1970.
    pub last_ping: Option<i64>,
    /// Agent version.
    pub version: Option<String>,
    /// `Amazon Linux`, `Ubuntu`, ….
    pub platform_name: Option<String>,
    /// `2023`, `24.04`, ….
    pub platform_version: Option<String>,
}
