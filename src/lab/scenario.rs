//! What the scenario files say: the story for the user and the pieces they add to the account.
//!
//! Used by `world` to build the account and by the program to list the lessons. Must hold no
//! behaviour: what follows from a piece is decided in `world`, `reach` and `host`.

use serde::{Deserialize, Serialize};

use super::keys::Format;

/// What every account has.
const ACCOUNT: &str = include_str!("../../assets/lab/account.toml");

macro_rules! scenario_files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../assets/lab/", $name, ".toml")))),*]
    };
}

/// The lessons, easiest first within their symptom.
const FILES: &[(&str, &str)] = scenario_files![
    "web-healthy",
    "web-timeout",
    "web-moved",
    "web-nacl",
    "web-ephemeral",
    "web-noroute",
    "web-noigw",
    "web-nopublicip",
    "web-stopped",
    "web-oldaddress",
    "web-keymode",
    "web-user",
    "web-key",
    "web-nokeyfile",
    "web-passphrase",
    "web-agent",
    "web-hostkey",
    "web-nokeypair",
    "web-keyabsent",
    "web-allowusers",
    "web-perms",
    "web-sshdir",
    "web-authkeys",
    "web-ppk",
    "web-public",
    "web-damaged",
    "web-refused",
    "web-silent",
    "web-http",
    "web-reset",
    "web-denied",
    "web-windows",
];

/// One lesson, for lists and for the guided mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScenarioInfo {
    /// The file's name and the argument of `port22 lab`.
    pub id: String,
    /// One line.
    pub title: String,
    /// A symptom id.
    pub symptom: String,
    /// The Name tag of the instance it is about.
    pub instance_name: String,
    /// That instance's id in the account made from the default seed.
    pub instance_id: String,
    /// 1 (easy) to 5.
    pub difficulty: u8,
    /// What happened, told to the user.
    pub story: String,
    /// One at a time, from a nudge to nearly the answer.
    pub hints: Vec<String>,
    /// The cause id that a right diagnosis names; "none" where the login works.
    pub cause: String,
    /// The fix id that restores the login; "none" where nothing needs fixing or nothing can.
    pub fix: String,
}

/// The pieces of an account that one file adds. Names refer to names in any loaded file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Spec {
    pub id: String,
    pub title: String,
    pub symptom: String,
    pub difficulty: u8,
    pub story: String,
    pub hints: Vec<String>,
    pub cause: String,
    pub fix: String,
    pub instance: Option<InstanceSpec>,
    pub neighbour: Vec<InstanceSpec>,
    pub vpc: Vec<VpcSpec>,
    pub subnet: Vec<SubnetSpec>,
    pub group: Vec<GroupSpec>,
    pub nacl: Vec<NaclSpec>,
    pub route_table: Vec<RouteTableSpec>,
    pub gateway: Vec<GatewaySpec>,
    pub key_pair: Vec<KeyPairSpec>,
    pub file: Vec<FileSpec>,
    pub image: Vec<ImageSpec>,
    pub denial: Vec<DenialSpec>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VpcSpec {
    pub name: String,
    /// Without the first octet pair: "0.0/16".
    pub cidr: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubnetSpec {
    pub name: String,
    pub vpc: String,
    pub cidr: String,
    #[serde(default)]
    pub auto_public: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupSpec {
    pub name: String,
    pub vpc: String,
    pub description: String,
    #[serde(default)]
    pub ingress: Vec<RuleSpec>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleSpec {
    pub protocol: String,
    #[serde(default)]
    pub ports: Option<[Port; 2]>,
    pub from: String,
    #[serde(default)]
    pub description: String,
}

/// A port number, or "ssh" for the port on which this lab's hosts listen.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Port {
    Number(i32),
    Word(String),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NaclSpec {
    pub name: String,
    pub vpc: String,
    #[serde(default)]
    pub subnets: Vec<String>,
    #[serde(default)]
    pub entry: Vec<EntrySpec>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntrySpec {
    pub number: i32,
    #[serde(default)]
    pub egress: bool,
    pub allow: bool,
    pub protocol: String,
    #[serde(default)]
    pub ports: Option<[Port; 2]>,
    pub cidr: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteTableSpec {
    pub name: String,
    pub vpc: String,
    #[serde(default)]
    pub main: bool,
    #[serde(default)]
    pub subnets: Vec<String>,
    /// The gateway of the default route.
    #[serde(default)]
    pub gateway: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GatewaySpec {
    pub name: String,
    #[serde(default)]
    pub vpc: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyPairSpec {
    pub name: String,
    #[serde(default)]
    pub rsa: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileSpec {
    pub name: String,
    /// An EC2 key pair, or "local:NAME" for a key that EC2 does not know.
    pub pair: String,
    #[serde(default = "private_mode")]
    pub mode: u32,
    #[serde(default)]
    pub format: Format,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageSpec {
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
pub(super) struct DenialSpec {
    pub action: String,
    /// Deny only requests about this VPC's things; the whole account if the lesson runs alone.
    pub vpc: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InstanceSpec {
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
    #[serde(default = "yes")]
    pub ssm: bool,
    #[serde(default)]
    pub sshd: SshdSpec,
    #[serde(default)]
    pub account: AccountSpec,
    #[serde(default)]
    pub client: ClientSpec,
}

/// How an instance gets its public address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PublicSpec {
    #[default]
    Auto,
    Elastic,
    None,
}

/// What answers on the SSH port of a host that packets reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Daemon {
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
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SshdSpec {
    pub daemon: Daemon,
    pub strict_modes: bool,
    pub allow_users: Vec<String>,
    pub max_auth_tries: usize,
}

impl Default for SshdSpec {
    fn default() -> Self {
        Self { daemon: Daemon::Up, strict_modes: true, allow_users: Vec::new(), max_auth_tries: 6 }
    }
}

/// The default user's files on the host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AccountSpec {
    pub home_mode: u32,
    pub home_owner: Option<String>,
    pub ssh_mode: u32,
    pub file_mode: u32,
    pub file_owner: Option<String>,
    /// Key pairs in authorized_keys; the instance's own one if absent.
    pub keys: Option<Vec<String>>,
}

impl Default for AccountSpec {
    fn default() -> Self {
        Self { home_mode: 0o700, home_owner: None, ssh_mode: 0o700, file_mode: 0o600, file_owner: None, keys: None }
    }
}

/// The block of the user's ssh_config.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClientSpec {
    pub user: Option<String>,
    /// A file name in the key directory.
    pub key_file: Option<String>,
    /// Files that are offered before it.
    pub first_files: Vec<String>,
    /// The last two octets of the address in the block, if it is not the instance's own.
    pub address: Option<String>,
    /// known_hosts holds a key that the host no longer has.
    pub stale_host_key: bool,
}

fn private_mode() -> u32 {
    0o600
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

/// The file that every account starts from.
pub(super) fn account() -> Result<Spec, String> {
    toml::from_str(ACCOUNT).map_err(|error| format!("account: {error}"))
}

/// All lessons in their order.
pub(super) fn all() -> Result<Vec<Spec>, String> {
    FILES
        .iter()
        .map(|(name, text)| {
            let spec: Spec = toml::from_str(text).map_err(|error| format!("scenario {name}: {error}"))?;
            if spec.id == *name { Ok(spec) } else { Err(format!("scenario {name}: its id is {}", spec.id)) }
        })
        .collect()
}

/// The public face of a lesson in the account of `seed`.
pub(super) fn info(spec: &Spec, seed: u64) -> Result<ScenarioInfo, String> {
    let name = spec
        .instance
        .as_ref()
        .map(|instance| instance.name.clone())
        .ok_or_else(|| format!("scenario {}: it has no instance", spec.id))?;
    Ok(ScenarioInfo {
        id: spec.id.clone(),
        title: spec.title.clone(),
        symptom: spec.symptom.clone(),
        instance_id: super::ids::id(seed, "i", &name),
        instance_name: name,
        difficulty: spec.difficulty,
        story: spec.story.trim().to_owned(),
        hints: spec.hints.clone(),
        cause: spec.cause.clone(),
        fix: spec.fix.clone(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_lesson_is_complete() {
        let specs = all().unwrap();
        let mut names = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        for spec in &specs {
            let info = info(spec, 0).unwrap();
            assert!(!info.title.is_empty() && !info.symptom.is_empty(), "{}", info.id);
            assert!(!info.cause.is_empty() && !info.fix.is_empty(), "{}", info.id);
            assert!(info.story.len() > 60 && info.hints.len() >= 2, "{}", info.id);
            assert!((1..=5).contains(&info.difficulty), "{}", info.id);
            for instance in spec.instance.iter().chain(&spec.neighbour) {
                assert!(names.insert(instance.name.clone()), "{} twice", instance.name);
                assert!(addresses.insert(instance.address.clone()), "{} twice", instance.address);
            }
        }
    }
}
