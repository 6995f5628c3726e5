//! What a scenario file says about one machine: what EC2 shows of it, its sshd, its accounts.
//!
//! Must hold no behaviour.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::inside::OsSpec;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct ImageSpec {
    pub name: String,
    pub title: String,
    pub description: String,
    pub owner: String,
    #[serde(default)]
    pub alias: Option<String>,
    /// The default user; empty for Windows.
    pub user: String,
    /// The family word: al2023, ubuntu, debian, windows …
    pub family: String,
    #[serde(default = "root_device")]
    pub root_device: String,
    /// What the login prompt and os-release say.
    pub pretty: String,
    pub banner: String,
    #[serde(default)]
    pub windows: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct InstanceSpec {
    pub name: String,
    pub image: String,
    /// The last two octets of its addresses, public and private.
    pub address: String,
    #[serde(default)]
    pub key: Option<String>,
    #[serde(default = "default_subnet")]
    pub subnet: String,
    #[serde(default = "default_groups")]
    pub groups: Vec<String>,
    #[serde(default)]
    pub public: PublicSpec,
    #[serde(default)]
    pub stopped: bool,
    /// A role that lets the agent of Systems Manager in.
    #[serde(default = "yes")]
    pub ssm: bool,
    #[serde(default)]
    pub sshd: SshdSpec,
    #[serde(default)]
    pub account: AccountSpec,
    #[serde(default)]
    pub client: ClientSpec,
    #[serde(default)]
    pub machine: MachineSpec,
    #[serde(default)]
    pub os: OsSpec,
    /// A second interface.
    #[serde(default)]
    pub second: Option<FaceSpec>,
}

/// An interface besides the primary one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct FaceSpec {
    /// The last two octets of its addresses.
    pub address: String,
    pub subnet: String,
    pub groups: Vec<String>,
    /// Has a public address of its own.
    #[serde(default = "yes")]
    pub public: bool,
}

/// How an instance gets its public address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::lab) enum PublicSpec {
    #[default]
    Auto,
    Elastic,
    None,
}

/// What EC2, CloudWatch and Systems Manager show of the machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::lab) struct MachineSpec {
    /// The instance type.
    pub kind: String,
    /// A role by name instead of the account's own one.
    pub role: Option<String>,
    pub agent: Agent,
    /// The metadata endpoint is on.
    pub imds: bool,
    /// It is another account's: the API of this one does not show it.
    pub foreign: bool,
    /// Windows listens for Remote Desktop.
    pub desktop: bool,
    /// It was stopped and started again after its first launch.
    pub restarted: bool,
    /// Terminated, with the record still shown.
    pub terminated: bool,
    /// Code and message of StateReason.
    pub reason: Option<[String; 2]>,
    pub hibernated: bool,
    pub hibernation: bool,
    pub stop_protected: bool,
    /// User data, as bytes: a client may set any.
    #[serde(deserialize_with = "bytes_of_text")]
    pub user_data: Option<Vec<u8>>,
    pub spot: Option<SpotSpec>,
    pub root: RootSpec,
    /// The root volume is encrypted with a key of the customer.
    pub encrypted: bool,
    /// Status checks that fail: `system`, `instance`, `ebs`.
    pub impaired: Vec<String>,
    /// The instance's checks are still running.
    pub initializing: bool,
    pub event: Vec<EventSpec>,
    /// What the serial port shows; the text of a good boot if absent.
    pub console: Option<String>,
    /// Added to the text of a good boot.
    pub console_more: Option<String>,
    /// `standard` or `unlimited`.
    pub credits: String,
    /// Percent, one value for each five minutes of the last hour; the last one goes on.
    pub cpu: Vec<f64>,
    /// CPUCreditBalance in the same way.
    pub credit_balance: Vec<f64>,
    /// `mem_used_percent` of the CloudWatch agent in the same way; empty where that agent does not run.
    pub memory_used: Vec<f64>,
    /// `disk_used_percent` of the CloudWatch agent.
    pub disk_used: Vec<f64>,
    pub tags: BTreeMap<String, String>,
    pub scaling_group: Option<String>,
    /// What puts the machine right.
    pub mended_by: Mend,
    pub password: PasswordSpec,
    pub automation: Vec<AutomationSpec>,
}

impl Default for MachineSpec {
    fn default() -> Self {
        Self {
            kind: "t3.micro".to_owned(),
            role: None,
            agent: Agent::Running,
            imds: true,
            foreign: false,
            desktop: true,
            restarted: false,
            terminated: false,
            reason: None,
            hibernated: false,
            hibernation: false,
            stop_protected: false,
            user_data: None,
            spot: None,
            root: RootSpec::Attached,
            encrypted: false,
            impaired: Vec::new(),
            initializing: false,
            event: Vec::new(),
            console: None,
            console_more: None,
            credits: "unlimited".to_owned(),
            cpu: vec![3.1, 2.4, 2.9],
            credit_balance: vec![144.0],
            memory_used: Vec::new(),
            disk_used: Vec::new(),
            tags: BTreeMap::new(),
            scaling_group: None,
            mended_by: Mend::Nothing,
            password: PasswordSpec::Ready,
            automation: Vec::new(),
        }
    }
}

/// The agent of Systems Manager in the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::lab) enum Agent {
    #[default]
    Running,
    /// It registered once and does not run now.
    Stopped,
    Missing,
}

/// What puts a broken machine right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::lab) enum Mend {
    #[default]
    Nothing,
    /// A reboot, and a stop and start as well.
    Reboot,
    /// Only a stop and start: another host.
    StopStart,
}

/// Where the root volume is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::lab) enum RootSpec {
    #[default]
    Attached,
    /// Attached to nothing.
    Detached,
    /// Attached to the first neighbour.
    Helper,
}

/// What GetPasswordData gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::lab) enum PasswordSpec {
    /// Encrypted to the key pair of the instance.
    #[default]
    Ready,
    /// Nothing yet.
    Waiting,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct SpotSpec {
    /// `one-time` or `persistent`.
    pub kind: String,
    pub state: String,
    pub status: String,
    pub message: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct EventSpec {
    pub code: String,
    pub description: String,
    /// Hours from now.
    pub hours: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::lab) struct AutomationSpec {
    pub document: String,
    pub status: String,
    pub step: String,
    pub message: String,
}

/// What answers on the SSH port of a host that packets reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::lab) enum Daemon {
    /// sshd.
    #[default]
    Up,
    /// Nothing: the kernel refuses.
    Down,
    /// A firewall in the guest drops the packets.
    Dropped,
    /// The connection is accepted, but no banner comes.
    Silent,
    /// A web server.
    Http,
    /// The connection is accepted and closed before the banner.
    Closed,
    /// sshd punishes the address: it says so and hangs up.
    Penalty,
    /// The banner comes, large packets do not.
    Stall,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::lab) struct SshdSpec {
    pub daemon: Daemon,
    pub strict_modes: bool,
    pub allow_users: Vec<String>,
    pub deny_users: Vec<String>,
    pub max_auth_tries: usize,
    /// sshd listens here and not on the usual port.
    pub port: Option<u16>,
    /// Public keys are good for nothing.
    pub pubkey: bool,
    /// Where it looks for keys, if not in `.ssh/authorized_keys`.
    pub authorized_keys_file: Option<String>,
    pub permit_root: bool,
    pub use_pam: bool,
    /// Only key exchanges that clients have given up.
    pub old_kex: bool,
    /// Ed25519 is refused.
    pub fips: bool,
}

impl Default for SshdSpec {
    fn default() -> Self {
        Self {
            daemon: Daemon::Up,
            strict_modes: true,
            allow_users: Vec::new(),
            deny_users: Vec::new(),
            max_auth_tries: 6,
            port: None,
            pubkey: true,
            authorized_keys_file: None,
            permit_root: true,
            use_pam: true,
            old_kex: false,
            fips: false,
        }
    }
}

/// A story writes user data as text.
fn bytes_of_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(String::into_bytes))
}

/// What stands in the place of authorized_keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::lab) enum KeyFile {
    /// A file with one key on each line.
    #[default]
    Good,
    /// Nothing.
    Absent,
    /// A directory.
    Directory,
    /// The keys broken over several lines.
    Wrapped,
    /// Two keys on one line.
    Joined,
    /// The format of RFC 4716.
    Rfc4716,
}

/// The default user's files on the host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::lab) struct AccountSpec {
    /// The account's name, if it is not the image's default user.
    pub name: Option<String>,
    pub home_mode: u32,
    pub home_owner: Option<String>,
    pub ssh_mode: u32,
    pub file_mode: u32,
    pub file_owner: Option<String>,
    /// Key pairs in authorized_keys; the instance's own one if absent.
    pub keys: Option<Vec<String>>,
    /// Key pairs that the image had in authorized_keys before the first boot.
    pub baked: Vec<String>,
    /// The key pair of the first boot, if another one has its name now.
    pub launched_with: Option<String>,
    pub file: KeyFile,
    /// Options before each key: `from="…"`, `expiry-time="…"`.
    pub options: String,
    /// The mode of the directory above the home directory.
    pub parent_mode: u32,
    /// An account with a password, for the serial console.
    pub password: bool,
}

impl Default for AccountSpec {
    fn default() -> Self {
        Self {
            name: None,
            home_mode: 0o700,
            home_owner: None,
            ssh_mode: 0o700,
            file_mode: 0o600,
            file_owner: None,
            keys: None,
            baked: Vec::new(),
            launched_with: None,
            file: KeyFile::Good,
            options: String::new(),
            parent_mode: 0o755,
            password: false,
        }
    }
}

/// The block of the user's ssh_config.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::lab) struct ClientSpec {
    pub user: Option<String>,
    /// A file name in the key directory.
    pub key_file: Option<String>,
    /// Files that are offered before it.
    pub first_files: Vec<String>,
    /// The last two octets of the address in the block, if it is not the instance's own.
    pub address: Option<String>,
    /// It dials the private address.
    pub private: bool,
    /// known_hosts holds a key that the host no longer has.
    pub stale_host_key: bool,
    /// It names the port of sshd.
    pub port: Option<u16>,
    /// The user's own network lets no SSH packet out.
    pub walled: bool,
    /// The Name tag of a jump host.
    pub jump: Option<String>,
    /// Further lines of the block. `@HOME@` is the lab's home directory.
    pub lines: Vec<String>,
    /// A block that stands before all others for this host: it wins.
    pub before: Vec<String>,
    /// A line that ssh cannot read. Only where the lesson runs alone, for it breaks the whole file.
    pub broken: Option<String>,
    /// The socket of a shared connection whose master is suspended, by its name in the home directory.
    pub stuck_socket: Option<String>,
}

fn root_device() -> String {
    "/dev/sda1".to_owned()
}

fn default_subnet() -> String {
    "public".to_owned()
}

fn default_groups() -> Vec<String> {
    vec!["web".to_owned()]
}

fn yes() -> bool {
    true
}
