//! Deeds of the network: ACL entries, routes, internet gateways, Elastic IP addresses.
//!
//! Each names what the plan saw at that place. Nothing here performs anything.

use super::Action;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A TCP entry of a network ACL that allows one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclPass {
    /// Rule number, 1 to 32766.
    pub number: i32,
    /// Whether it is for outbound packets.
    pub egress: bool,
    /// One `/32` or `/128`.
    pub cidr: IpNet,
    /// First TCP port.
    pub from_port: u16,
    /// Last TCP port.
    pub to_port: u16,
}

/// A deed of the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum NetworkAction {
    /// `ec2:CreateNetworkAclEntry` at a number that was free.
    CreateEntry {
        /// Region.
        region: String,
        /// `acl-…`.
        acl: String,
        /// The entry.
        entry: AclPass,
    },
    /// `ec2:DeleteNetworkAclEntry`, if the entry still is this one.
    DeleteEntry {
        /// Region.
        region: String,
        /// `acl-…`.
        acl: String,
        /// The entry.
        entry: AclPass,
    },
    /// `ec2:CreateRoute` or, where a blackhole was seen, `ec2:ReplaceRoute`.
    PutRoute {
        /// Region.
        region: String,
        /// `rtb-…`.
        table: String,
        /// Destination.
        destination: IpNet,
        /// `igw-…`.
        gateway: String,
        /// Target of the blackhole that was seen there; `None` when there was no route.
        before: Option<String>,
    },
    /// Takes a [`NetworkAction::PutRoute`] back: the former target where AWS still takes it, else no route.
    TakeRoute {
        /// Region.
        region: String,
        /// `rtb-…`.
        table: String,
        /// Destination.
        destination: IpNet,
        /// `igw-…` that the route was given.
        gateway: String,
        /// Target that it had before.
        before: Option<String>,
    },
    /// `ec2:CreateInternetGateway`; tells `gateway`.
    CreateGateway {
        /// Region.
        region: String,
    },
    /// `ec2:DeleteInternetGateway`, one that port22 made.
    DeleteGateway {
        /// Region.
        region: String,
        /// `igw-…`.
        gateway: String,
    },
    /// `ec2:AttachInternetGateway`.
    AttachGateway {
        /// Region.
        region: String,
        /// `igw-…`.
        gateway: String,
        /// `vpc-…`.
        vpc: String,
    },
    /// `ec2:DetachInternetGateway`.
    DetachGateway {
        /// Region.
        region: String,
        /// `igw-…`.
        gateway: String,
        /// `vpc-…`.
        vpc: String,
    },
    /// `ec2:AllocateAddress`; tells `allocation` and `address`.
    AllocateAddress {
        /// Region.
        region: String,
    },
    /// `ec2:ReleaseAddress`, one that port22 allocated.
    ReleaseAddress {
        /// Region.
        region: String,
        /// `eipalloc-…`.
        allocation: String,
    },
    /// `ec2:AssociateAddress` with a private address of an interface.
    AssociateAddress {
        /// Region.
        region: String,
        /// `eipalloc-…`.
        allocation: String,
        /// `eni-…`.
        interface: String,
        /// Private address of the interface.
        private: IpAddr,
    },
    /// `ec2:DisassociateAddress`, if the address still is there.
    DisassociateAddress {
        /// Region.
        region: String,
        /// `eipalloc-…`.
        allocation: String,
        /// `eni-…`.
        interface: String,
        /// Private address of the interface.
        private: IpAddr,
    },
}

impl From<NetworkAction> for Action {
    fn from(action: NetworkAction) -> Self {
        Self::Network(action)
    }
}
