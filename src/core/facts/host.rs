//! What AWS tells about the machine itself beyond its state: type, credits, load, volumes, protection, spot.
//!
//! Plain data in AWS's own words. User data is described, never kept: it may hold secrets.

use crate::core::fact::Fact;
use serde::{Deserialize, Serialize};

/// Everything about the machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostFacts {
    /// The instance type (`ec2:DescribeInstanceTypes`).
    pub machine: Fact<Machine>,
    /// `standard` or `unlimited`, for burstable types (`ec2:DescribeInstanceCreditSpecifications`).
    pub credit_mode: Fact<String>,
    /// Numbers of the last hour (`cloudwatch:GetMetricData`).
    pub metrics: Fact<Metrics>,
    /// Attached volumes (`ec2:DescribeVolumes`).
    pub volumes: Fact<Vec<Volume>>,
    /// Whether the API may not stop it (`ec2:DescribeInstanceAttribute`, disableApiStop).
    pub stop_protected: Fact<bool>,
    /// What the user data says about logins; `None` when there is none (`ec2:DescribeInstanceAttribute`, userData).
    pub user_data: Fact<Option<UserData>>,
    /// The spot request (`ec2:DescribeSpotInstanceRequests`).
    pub spot: Fact<Option<SpotRequest>>,
    /// The Windows password (`ec2:GetPasswordData`).
    pub windows: Fact<WindowsPassword>,
    /// Support automations that ended badly on this instance (`ssm:DescribeAutomationExecutions`).
    pub automations: Fact<Vec<Automation>>,
}

/// An instance type.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// `t3.micro`, ….
    pub name: String,
    /// `nitro`, `xen`, or nothing for bare metal.
    pub hypervisor: Option<String>,
    /// Bare metal.
    pub bare_metal: bool,
    /// Runs on CPU credits.
    pub burstable: bool,
    /// Has volatile local disks.
    pub instance_storage: bool,
}

/// Time series of AWS/EC2, oldest first, of about the last hour.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metrics {
    /// `CPUUtilization`, percent (maximum of each period).
    pub cpu: Vec<Sample>,
    /// `CPUCreditBalance`, vCPU minutes.
    pub credits: Vec<Sample>,
    /// `StatusCheckFailed_System`, 0 or 1.
    pub system_failed: Vec<Sample>,
    /// `StatusCheckFailed_Instance`, 0 or 1.
    pub instance_failed: Vec<Sample>,
    /// `mem_used_percent` of the CloudWatch agent, when it runs.
    pub memory: Vec<Sample>,
    /// `disk_used_percent` of the CloudWatch agent (the fullest file system), when it runs.
    pub disk: Vec<Sample>,
}

/// One value at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since 1970.
    pub at: i64,
    /// In the metric's own unit.
    pub value: f64,
}

/// An EBS volume.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// `vol-…`.
    pub id: String,
    /// Device name at this instance.
    pub device: Option<String>,
    /// `in-use`, `available`, ….
    pub state: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// KMS key ARN.
    pub kms_key: Option<String>,
    /// Size in GiB.
    pub size: Option<i32>,
}

/// What user data says about logins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserData {
    /// Size in bytes.
    pub bytes: usize,
    /// `cloud-config`, `script`, `multipart`, `boothook`, `ignition`, `toml`, `powershell`, `gzip`, `other`.
    pub kind: String,
    /// The default user, when it renames it (`system_info.default_user.name`, or `users:` without `default`).
    pub default_user: Option<String>,
    /// Users that it is to make, besides that one (`users:`, `useradd`, `adduser`).
    pub makes_users: Vec<String>,
    /// SSH port that it sets, when it does.
    pub ssh_port: Option<u16>,
    /// Whether it turns the login of the default user off or removes its keys, in words.
    pub hinders_login: Option<String>,
}

/// A spot request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpotRequest {
    /// `sir-…`.
    pub id: String,
    /// `one-time` or `persistent`.
    pub kind: String,
    /// `instance-terminated-no-capacity`, `marked-for-stop`, `fulfilled`, ….
    pub status: String,
    /// The status message, cleaned.
    pub message: String,
}

/// The password that Windows encrypted at its first boot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowsPassword {
    /// Whether EC2 has one.
    pub ready: bool,
    /// Whether the given key opens it; `None` when no usable RSA key was given. The password itself is never kept.
    pub opens: Option<bool>,
}

/// A Systems Manager automation that did not end well.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Automation {
    /// Execution id.
    pub id: String,
    /// `AWSSupport-TroubleshootSSH`, ….
    pub document: String,
    /// `Failed`, `Cancelled`, `TimedOut`.
    pub status: String,
    /// Failure message, cleaned and cut.
    pub message: Option<String>,
    /// Step it stopped at.
    pub step: Option<String>,
}
