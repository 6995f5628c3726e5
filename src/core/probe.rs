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
    /// Instance type.
    Machine,
    /// CPU-credit mode of a burstable type.
    CreditMode,
    /// Numbers of the last hour.
    Metrics,
    /// Attached volumes.
    Volumes,
    /// Whether the API may stop it.
    StopProtection,
    /// What the user data says about logins.
    UserData,
    /// The spot request.
    Spot,
    /// The Windows password, and whether the key opens it.
    WindowsPassword,
    /// Support automations that ended badly.
    Automations,
    /// What Session Manager says of the agent.
    Connection,
    /// Default Host Management.
    HostManagement,
    /// VPC endpoints.
    Endpoints,
    /// Role of the instance profile.
    Role,
    /// What that role may do.
    RolePolicies,
    /// EC2 Instance Connect Endpoints.
    ConnectEndpoints,
    /// Security groups of the endpoints.
    EndpointGroups,
    /// Account switch of the serial console.
    SerialAccess,
    /// Version of the local ssh client.
    SshVersion,
    /// A shared connection's socket.
    Control,
    /// The jump hosts: dialled, and logged in to.
    Jump,
    /// Session Manager: a session really opened. Only with consent.
    Session,
    /// A look inside the operating system. Only with consent.
    Inside,
    /// TCP connect.
    Tcp,
    /// SSH banner, key exchange and key offers.
    Ssh,
}

impl ProbeId {
    /// All probes.
    pub const ALL: [Self; 44] = [
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
        Self::Machine,
        Self::CreditMode,
        Self::Metrics,
        Self::Volumes,
        Self::StopProtection,
        Self::UserData,
        Self::Spot,
        Self::WindowsPassword,
        Self::Automations,
        Self::Connection,
        Self::HostManagement,
        Self::Endpoints,
        Self::Role,
        Self::RolePolicies,
        Self::ConnectEndpoints,
        Self::EndpointGroups,
        Self::SerialAccess,
        Self::SshVersion,
        Self::Control,
        Self::Jump,
        Self::Tcp,
        Self::Ssh,
        Self::Session,
        Self::Inside,
    ];

    /// Whether the probe runs only when the user agreed to a look inside.
    pub fn needs_consent(self) -> bool {
        matches!(self, Self::Session | Self::Inside)
    }

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
            Self::Machine => "ec2:DescribeInstanceTypes",
            Self::CreditMode => "ec2:DescribeInstanceCreditSpecifications",
            Self::Metrics => "cloudwatch:GetMetricData",
            Self::Volumes => "ec2:DescribeVolumes",
            Self::StopProtection => "ec2:DescribeInstanceAttribute",
            Self::UserData => "ec2:DescribeInstanceAttribute",
            Self::Spot => "ec2:DescribeSpotInstanceRequests",
            Self::WindowsPassword => "ec2:GetPasswordData",
            Self::Automations => "ssm:DescribeAutomationExecutions",
            Self::Connection => "ssm:GetConnectionStatus",
            Self::HostManagement => "ssm:GetServiceSetting",
            Self::Endpoints => "ec2:DescribeVpcEndpoints",
            Self::Role => "iam:GetInstanceProfile",
            Self::RolePolicies => "iam:SimulatePrincipalPolicy",
            Self::ConnectEndpoints => "ec2:DescribeInstanceConnectEndpoints",
            Self::EndpointGroups => "ec2:DescribeSecurityGroups",
            Self::SerialAccess => "ec2:GetSerialConsoleAccessStatus",
            Self::Session => "ssm:StartSession",
            Self::Inside => "ssm:SendCommand",
            Self::SshConfig
            | Self::Dns
            | Self::SourceIp
            | Self::Keys
            | Self::Agent
            | Self::KnownHosts
            | Self::SshVersion
            | Self::Control
            | Self::Jump
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
            Self::Machine => "instance type",
            Self::CreditMode => "CPU-credit mode",
            Self::Metrics => "CPU and credits",
            Self::Volumes => "volumes",
            Self::StopProtection => "stop protection",
            Self::UserData => "user data",
            Self::Spot => "spot request",
            Self::WindowsPassword => "Windows password",
            Self::Automations => "support automations",
            Self::Connection => "Session Manager's view",
            Self::HostManagement => "Default Host Management",
            Self::Endpoints => "VPC endpoints",
            Self::Role => "instance role",
            Self::RolePolicies => "what the role may do",
            Self::ConnectEndpoints => "Instance Connect Endpoints",
            Self::EndpointGroups => "endpoints' security groups",
            Self::SerialAccess => "serial console switch",
            Self::SshVersion => "version of your ssh",
            Self::Control => "shared connection",
            Self::Jump => "jump host: dial, log in",
            Self::Session => "open a session, end it",
            Self::Inside => "look inside",
            Self::Tcp => "TCP connect",
            Self::Ssh => "SSH: banner, host key, your key",
        }
    }
}
