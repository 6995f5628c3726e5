//! What the plans of the network and power fixes need to know beyond the diagnosis.
//!
//! Plain data in AWS's own words; read by `edge` for those fixes alone.

use crate::core::fact::Fact;
use crate::core::facts::host::SpotRequest;
use crate::core::vpc::types::InternetGateway;
use std::net::IpAddr;

/// For `igw-attach`, `eip-associate`, and whatever stops or starts an instance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NetFacts {
    /// Internet gateways of the Region, attached or not (`ec2:DescribeInternetGateways`), with their names.
    pub gateways: Fact<Vec<(InternetGateway, Option<String>)>>,
    /// Public addresses that are mapped in the VPC, with what has them (`ec2:DescribeNetworkInterfaces`).
    pub mapped: Fact<Vec<String>>,
    /// Elastic IP addresses of the Region (`ec2:DescribeAddresses`): the one fact that tells whether an address stays over
    /// a stop.
    pub addresses: Fact<Vec<ElasticAddress>>,
}

/// An Elastic IP address.
#[derive(Debug, Clone, PartialEq)]
pub struct ElasticAddress {
    /// `eipalloc-…`.
    pub allocation: String,
    /// The address.
    pub address: IpAddr,
    /// Name tag.
    pub name: Option<String>,
    /// Private address that it leads to; `None` when it is free.
    pub private: Option<IpAddr>,
    /// Interface that it is associated with.
    pub interface: Option<String>,
    /// Whether it is associated with anything.
    pub in_use: bool,
    /// Service that manages it, when one does.
    pub managed_by: Option<String>,
    /// Zones that it may be used in (`NetworkBorderGroup`): the Region, or a Local Zone's group.
    pub border_group: Option<String>,
}

/// For fixes that stop, start or reboot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PowerFacts {
    /// Whether the API may not stop it (`ec2:DescribeInstanceAttribute`, disableApiStop).
    pub stop_protected: Fact<bool>,
    /// The Spot request (`ec2:DescribeSpotInstanceRequests`); asked for Spot Instances only.
    pub spot: Fact<Option<SpotRequest>>,
    /// Volatile disks of the type, such as `1 × 75 GB ssd` (`ec2:DescribeInstanceTypes`); empty when it has none.
    pub local_disks: Fact<Vec<String>>,
    /// What a shutdown from inside does, `stop` or `terminate` (`ec2:DescribeInstanceAttribute`,
    /// instanceInitiatedShutdownBehavior).
    pub shutdown: Fact<String>,
    /// Membership in an Auto Scaling group (`autoscaling:DescribeAutoScalingInstances`); `None` when it is in none.
    pub scaling: Fact<Option<ScalingMember>>,
}

/// An instance in an Auto Scaling group.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScalingMember {
    /// Name of the group.
    pub group: String,
    /// `InService`, `Standby`, `Pending`, `Warmed:Stopped`, ….
    pub lifecycle: String,
    /// Smallest size of the group.
    pub min: Option<i32>,
    /// Desired size of the group.
    pub desired: Option<i32>,
    /// Processes that are suspended already.
    pub suspended: Vec<String>,
}
