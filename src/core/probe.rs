//! The names of all probes, and what each may cost.
//!
//! Names only: `engine` schedules them, `edge` runs them. Rules use the names to say what a check needs.

use serde::{Deserialize, Serialize};

/// One read-only observation of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeId {
    /// Effective ssh configuration.
    SshConfig,
    /// Name look-up.
    Dns,
    /// The client's own public address.
    SourceIp,
    /// Key files.
    Keys,
    /// Keys in the agent.
    Agent,
    /// Lines of known_hosts.
    KnownHosts,
    /// The caller's identity.
    Caller,
    /// The instance.
    Instance,
    /// Status checks.
    Status,
    /// Network interfaces.
    Interfaces,
    /// Security groups and their rules.
    SecurityGroups,
    /// Network ACLs.
    NetworkAcls,
    /// Route tables.
    RouteTables,
    /// Internet gateways.
    InternetGateways,
    /// The subnet.
    Subnet,
    /// Prefix-list entries.
    PrefixLists,
    /// The EC2 key pair.
    KeyPair,
    /// The image.
    Image,
    /// Console output.
    Console,
    /// The SSM agent.
    Ssm,
    /// TCP connect.
    Tcp,
    /// SSH banner, key exchange and key offers.
    Ssh,
}

impl ProbeId {
    /// All probes.
    pub const ALL: [Self; 22] = [
        Self::SshConfig,
        Self::Dns,
        Self::SourceIp,
        Self::Keys,
        Self::Agent,
        Self::KnownHosts,
        Self::Caller,
        Self::Instance,
        Self::Status,
        Self::Interfaces,
        Self::SecurityGroups,
        Self::NetworkAcls,
        Self::RouteTables,
        Self::InternetGateways,
        Self::Subnet,
        Self::PrefixLists,
        Self::KeyPair,
        Self::Image,
        Self::Console,
        Self::Ssm,
        Self::Tcp,
        Self::Ssh,
    ];

    /// Whether the probe is an AWS call.
    pub fn is_aws(self) -> bool {
        self.action().is_some()
    }

    /// The IAM actions of the probe, the deciding one first.
    pub fn action(self) -> Option<&'static str> {
        Some(match self {
            Self::Caller => "sts:GetCallerIdentity",
            Self::Instance => "ec2:DescribeInstances",
            Self::Status => "ec2:DescribeInstanceStatus",
            Self::Interfaces => "ec2:DescribeNetworkInterfaces",
            Self::SecurityGroups => "ec2:DescribeSecurityGroups",
            Self::NetworkAcls => "ec2:DescribeNetworkAcls",
            Self::RouteTables => "ec2:DescribeRouteTables",
            Self::InternetGateways => "ec2:DescribeInternetGateways",
            Self::Subnet => "ec2:DescribeSubnets",
            Self::PrefixLists => "ec2:GetManagedPrefixListEntries",
            Self::KeyPair => "ec2:DescribeKeyPairs",
            Self::Image => "ec2:DescribeImages",
            Self::Console => "ec2:GetConsoleOutput",
            Self::Ssm => "ssm:DescribeInstanceInformation",
            Self::SshConfig
            | Self::Dns
            | Self::SourceIp
            | Self::Keys
            | Self::Agent
            | Self::KnownHosts
            | Self::Tcp
            | Self::Ssh => return None,
        })
    }

    /// What the screen says while it runs.
    pub fn title(self) -> &'static str {
        match self {
            Self::SshConfig => "read ssh configuration",
            Self::Dns => "look the name up",
            Self::SourceIp => "find your public address",
            Self::Keys => "read key files",
            Self::Agent => "ask the ssh agent",
            Self::KnownHosts => "read known_hosts",
            Self::Caller => "who are you to AWS",
            Self::Instance => "find the instance",
            Self::Status => "status checks",
            Self::Interfaces => "network interfaces",
            Self::SecurityGroups => "security groups",
            Self::NetworkAcls => "network ACLs",
            Self::RouteTables => "route tables",
            Self::InternetGateways => "internet gateways",
            Self::Subnet => "subnet",
            Self::PrefixLists => "prefix lists",
            Self::KeyPair => "EC2 key pair",
            Self::Image => "image",
            Self::Console => "console output",
            Self::Ssm => "SSM agent",
            Self::Tcp => "TCP connect",
            Self::Ssh => "SSH: banner, host key, your key",
        }
    }
}
