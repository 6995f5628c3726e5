//! What decides whether the other doors are open: Session Manager, Instance Connect and its endpoint, serial console.
//!
//! Plain data in AWS's own words; which door is open is judged in `rules::doors` and `rules::ssm`.

use crate::core::fact::Fact;
use crate::core::vpc::types::SecurityGroup;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything about the doors besides direct SSH.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DoorFacts {
    /// What Session Manager itself says of the agent: `connected` or `notconnected` (`ssm:GetConnectionStatus`).
    pub connection: Fact<String>,
    /// Role of Default Host Management; `None` when it is off (`ssm:GetServiceSetting`).
    pub host_management: Fact<Option<String>>,
    /// Endpoints of the VPC (`ec2:DescribeVpcEndpoints`).
    pub endpoints: Fact<Vec<VpcEndpoint>>,
    /// Role of the instance profile; `None` when the profile has none or is gone (`iam:GetInstanceProfile`).
    pub role: Fact<Option<Role>>,
    /// What that role may do (`iam:SimulatePrincipalPolicy`, or the policies themselves).
    pub policies: Fact<RolePolicies>,
    /// Instance Connect Endpoints of the VPC (`ec2:DescribeInstanceConnectEndpoints`).
    pub connect_endpoints: Fact<Vec<ConnectEndpoint>>,
    /// Security groups of both kinds of endpoint (`ec2:DescribeSecurityGroups`).
    pub endpoint_groups: Fact<Vec<SecurityGroup>>,
    /// Account switch of the serial console (`ec2:GetSerialConsoleAccessStatus`).
    pub serial: Fact<SerialAccess>,
    /// Whether a session was really opened (and ended at once); only with consent (`ssm:StartSession`).
    pub session: Fact<SessionProof>,
}

/// A VPC endpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VpcEndpoint {
    /// `vpce-…`.
    pub id: String,
    /// `com.amazonaws.REGION.ssm`, ….
    pub service: String,
    /// `Interface`, `Gateway`, ….
    pub kind: String,
    /// `available`, `pendingAcceptance`, … as the API writes it.
    pub state: String,
    /// Whether the service's public name leads to the endpoint inside the VPC.
    pub private_dns: bool,
    /// Subnets with an interface of it.
    pub subnets: Vec<String>,
    /// Security-group ids.
    pub groups: Vec<String>,
}

/// The role of an instance profile.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Role {
    /// Name.
    pub name: String,
    /// ARN.
    pub arn: String,
    /// Name of the instance profile.
    pub profile: String,
}

/// What a role may do, as far as it could be read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RolePolicies {
    /// Attached managed policies: name and ARN.
    pub attached: Vec<(String, String)>,
    /// Inline policies: name and JSON document.
    pub inline: Vec<(String, String)>,
    /// Documents of attached policies that are not AWS's own: ARN and JSON document.
    pub documents: Vec<(String, String)>,
    /// The simulator's answers: action and whether it is allowed. Empty when it was not allowed to be asked.
    pub simulated: BTreeMap<String, bool>,
}

/// An EC2 Instance Connect Endpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectEndpoint {
    /// `eice-…`.
    pub id: String,
    /// `create-complete`, `create-in-progress`, `create-failed`, `update-complete`, ….
    pub state: String,
    /// `StateMessage`, cleaned.
    pub message: Option<String>,
    /// Subnet.
    pub subnet: Option<String>,
    /// Private addresses of its interfaces, when known.
    pub addresses: Vec<IpNet>,
    /// Security-group ids.
    pub groups: Vec<String>,
    /// Whether the instance sees the client's own address.
    pub preserve_client_ip: bool,
    /// Name to open the tunnel at.
    pub dns: Option<String>,
    /// The same for those who must use FIPS endpoints.
    pub fips_dns: Option<String>,
}

/// Account switch of the EC2 serial console.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SerialAccess {
    /// Whether it is on in this account and Region.
    pub enabled: bool,
    /// `account` or `declarative-policy`: who may change it.
    pub managed_by: Option<String>,
}

/// The proof that Session Manager works for this caller: a session that was opened and ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionProof {
    /// Session id.
    pub id: String,
    /// Time until StartSession answered, in milliseconds.
    pub millis: u64,
}
