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
    /// The root volume, and what a helper would be made of (`root-volume-rescue`).
    pub rescue: Fact<Rescue>,
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
    /// The latest copy of a repair that was taken back: its undo has put the user data back.
    pub taken_back: Option<SavedUserData>,
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

/// What a rescue of the root volume works with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rescue {
    /// Availability zone of the instance: volumes do not leave theirs.
    pub zone: String,
    /// AWS Marketplace product codes of the instance.
    pub product_codes: Vec<String>,
    /// The volume at the root device name; `None` when there is none.
    pub root: Option<RootVolume>,
    /// Volumes that may have been the root, when there is none.
    pub lost: Fact<Vec<LostRoot>>,
    /// Image of a helper.
    pub image: Fact<HelperImage>,
}

/// The root volume of an instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RootVolume {
    /// `vol-…`.
    pub id: String,
    /// GiB.
    pub size: i32,
    /// Whether it is deleted with the instance.
    pub delete_with: bool,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// ARN of its KMS key.
    pub kms_key: Option<String>,
}

/// A volume that may have been the root of an instance that has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LostRoot {
    /// `vol-…`.
    pub id: String,
    /// GiB.
    pub size: i32,
    /// Instance that has it now, and under which device name.
    pub holder: Option<(String, String)>,
    /// Why it is thought to be the root, in words.
    pub because: Vec<String>,
    /// Whether that leaves no doubt: our own mark, or made of the image's root snapshot when the instance was launched.
    pub sure: bool,
}

/// An image to launch a helper from, with a type of its architecture that the zone has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HelperImage {
    /// `ami-…`.
    pub id: String,
    /// Public parameter that names it.
    pub parameter: String,
    /// `t3.micro`, ….
    pub instance_type: String,
    /// Whether the instance was launched from the same image: then both disks have the same identifiers.
    pub same_as_instance: bool,
}
