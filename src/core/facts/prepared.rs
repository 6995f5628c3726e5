//! What a plan of one fix needs to know beyond the diagnosis. Read by `World::prepare` for that fix alone.
//!
//! Must not hold secrets (user data, key material): plans are shown and journaled.

pub mod net;

use crate::core::fact::Fact;
use crate::core::facts::own_files::{ConfigFiles, HostKeyPlaces, KeyPairs, KeyToConvert};

/// Facts for plans; each is `NotAsked` unless the fix asks for it.
#[derive(Debug, Clone, Default)]
pub struct Prepared {
    /// Key files of the login, for `key-convert`.
    pub keys: Fact<Vec<KeyToConvert>>,
    /// Host key and known_hosts files, for `known-hosts-update` and `ssh-config-entry`.
    pub host_key: Fact<HostKeyPlaces>,
    /// ssh configuration, for `ssh-config-entry`.
    pub ssh_config: Fact<ConfigFiles>,
    /// Windows: `DOMAIN\\user` of whoever runs this, for `key-chmod`.
    pub windows_user: Option<String>,
    /// Key pairs of the Region, for `key-pair-import`.
    pub key_pairs: Fact<KeyPairs>,
    /// Instance profiles of the account whose role may register an agent (`ssm-role-attach`).
    pub managing_profiles: Fact<Vec<ManagingProfile>>,
    /// AWSSupport-TroubleshootSSH as it is today (`troubleshoot-ssh-runbook`).
    pub runbook: Fact<Runbook>,
    /// For the network fixes.
    pub net: net::NetFacts,
    /// For fixes that stop, start or reboot.
    pub power: net::PowerFacts,
}

/// An instance profile whose role has `AmazonSSMManagedInstanceCore`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManagingProfile {
    /// Name of the profile.
    pub profile: String,
    /// Name of its role.
    pub role: String,
    /// Names of all policies of the role, inline ones included.
    pub policies: Vec<String>,
}

/// A runbook's parameters, as `ssm:DescribeDocument` and its content tell them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runbook {
    /// Parameters in the document's order.
    pub parameters: Vec<RunbookParameter>,
}

/// One parameter of a runbook.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunbookParameter {
    /// Name.
    pub name: String,
    /// Default; `None` when it must be given.
    pub default: Option<String>,
    /// Values that it takes; empty when any, or when the document could not be read.
    pub allowed: Vec<String>,
}
