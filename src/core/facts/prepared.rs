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
    /// The user data of the instance, by its digest, and what the journal keeps of it (`user-data-repair`, `user-data-restore`).
    pub user_data: Fact<UserDataState>,
    /// Whether the public IPv4 is an Elastic IP, which stays over a stop (`ec2:DescribeAddresses`).
    pub elastic: Fact<bool>,
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

/// User data as a plan needs to know it: never its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserDataState {
    /// Directory of the journal, in which copies are kept.
    pub directory: String,
    /// SHA-256 of the raw user data of now, in hexadecimal digits.
    pub sha256: String,
    /// Its size in bytes; 0 when there is none.
    pub bytes: usize,
    /// The nonce, when it is a repair of this program and not somebody's own.
    pub repair: Option<String>,
    /// The latest copy that the journal keeps of this instance's own user data.
    pub saved: Option<SavedUserData>,
}

/// A copy of user data that an entry of the journal keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SavedUserData {
    /// Entry that saved it.
    pub entry: String,
    /// File with the base64 text as AWS gave it.
    pub file: String,
    /// SHA-256 of the decoded content.
    pub sha256: String,
    /// The nonce of the repair that replaced it.
    pub nonce: String,
}
