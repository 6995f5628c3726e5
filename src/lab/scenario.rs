//! What the scenario files say: the story for the user and the pieces they add to the account.
//!
//! Used by `world` to build the account and by the program to list the lessons. Must hold no
//! behaviour: what follows from a piece is decided in `world`, `reach` and `host`.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::keys::Format;

pub(super) use self::inside::{Firewall, HostKeys, OsSpec, Unit};
pub(super) use self::machine::{
    Agent, Daemon, ImageSpec, InstanceSpec, KeyFile, MachineSpec, Mend, PasswordSpec, PublicSpec, RootSpec, SshdSpec,
};
pub(super) use self::network::{
    ConnectEndpointSpec, EntrySpec, GatewaySpec, GroupSpec, LinkSpec, NaclSpec, NatSpec, Port, PrefixListSpec,
    RouteTableSpec, RuleSpec, SubnetSpec, VpcEndpointSpec, VpcSpec,
};

mod inside;
mod machine;
mod network;

/// What every account has.
const ACCOUNT: &str = include_str!("../../assets/lab/account.toml");

macro_rules! scenario_files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../assets/lab/", $name, ".toml")))),*]
    };
}

/// The lessons.
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
    "web-family",
    "web-sgport",
    "web-sgref",
    "web-prefix",
    "web-prefixok",
    "web-blackhole",
    "web-nat",
    "web-bpa",
    "web-partial",
    "web-eni",
    "web-eniok",
    "web-peered",
    "web-peering",
    "web-tgw",
    "web-appliance",
    "web-contained",
    "web-terminated",
    "web-system",
    "web-ebs",
    "web-panic",
    "web-fstab",
    "web-diskfull",
    "web-guestnet",
    "web-boot",
    "web-oom",
    "web-credits",
    "web-hibernated",
    "web-spot",
    "web-detached",
    "web-rescue",
    "web-kms",
    "web-booting",
    "web-protected",
    "web-config",
    "web-hostkeys",
    "web-hostkeymode",
    "web-privsep",
    "web-portinuse",
    "web-otherport",
    "web-port",
    "web-masked",
    "web-hostsdeny",
    "web-guestfw",
    "web-reject",
    "web-banned",
    "web-penalty",
    "web-oldssh",
    "web-fips",
    "web-mtu",
    "web-bottlerocket",
    "web-unreadable",
    "web-traverse",
    "web-nofile",
    "web-emptyfile",
    "web-wrapped",
    "web-rfc",
    "web-joined",
    "web-notafile",
    "web-from",
    "web-keyexpired",
    "web-selinux",
    "web-locked",
    "web-expired",
    "web-chage",
    "web-noshell",
    "web-nologinshell",
    "web-nologin",
    "web-deny",
    "web-nopubkey",
    "web-movedkeys",
    "web-pam",
    "web-homemount",
    "web-renamed",
    "web-root",
    "web-tolerant",
    "web-elastic",
    "web-namesake",
    "web-keylost",
    "web-stalepub",
    "web-override",
    "web-badconfig",
    "web-noagent",
    "web-control",
    "web-jump",
    "web-ssmnorole",
    "web-ssmpolicy",
    "web-ssmboundary",
    "web-ssmegress",
    "web-ssmendpoint",
    "web-ssmagent",
    "web-ssmimds",
    "web-ssmdenied",
    "web-eicemissing",
    "web-eiceblocked",
    "web-eicefailed",
    "web-serialoff",
    "web-serialxen",
    "web-winpass",
    "web-winkey",
    "web-winrdp",
    "web-throttled",
    "web-busy",
    "web-slow",
    "web-expiredtoken",
    "web-clock",
    "web-offline",
    "web-scp",
    "web-nofix",
    "web-two",
    "web-twokeys",
    "web-twosteps",
    "web-twofiles",
    "web-twousers",
    "web-ping",
    "web-hostkeynew",
    "web-eicagent",
    "web-akc",
    "web-userdata",
    "web-behind",
    "web-jumpinner",
    "web-restarted",
    "web-putty",
    "web-oldputty",
    "web-winacl",
    "web-pkcs8",
    "web-oldclient",
    "web-mindterm",
    "web-egress",
    "web-elsewhere",
    "web-ssmunknown",
    "web-ssmplugin",
    "web-precondition",
    "web-eicimds",
    "web-eicuser",
    "web-eicbrowser",
    "web-serialpw",
    "web-winnordp",
    "web-idle",
    "web-baked",
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
    /// What it practises: `network`, `machine`, `server`, `login`, `key`, `client`, `doors`, `windows`, `account` or
    /// `healthy`.
    pub group: String,
    /// 1 (easy) to 3.
    pub difficulty: u8,
    /// What happened, told to the user.
    pub story: String,
    /// One at a time, from a nudge to nearly the answer.
    pub hints: Vec<String>,
    /// The cause id that a right diagnosis names; "none" where the login works.
    pub cause: String,
    /// Further cause ids that are true as well.
    pub also: Vec<String>,
    /// True if only a look inside the operating system proves the cause.
    pub inside: bool,
    /// The address that the instance sees: what `--source-ip` is to say.
    pub source_ip: String,
    /// True if it is acted out only where it runs alone: it concerns the whole API or the whole ssh_config.
    pub alone: bool,
    /// The fix id that restores the login; "none" where nothing needs fixing or nothing can.
    pub fix: String,
    /// What the user's client printed, where the lesson turns on its words; empty elsewhere. It is to be pasted: to
    /// `port22 diagnose` by its standard input.
    pub said: String,
}

/// The pieces of an account that one file adds. Names refer to names in any loaded file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Spec {
    pub id: String,
    pub title: String,
    pub symptom: String,
    /// The group of lessons it belongs to.
    pub topic: String,
    pub difficulty: u8,
    pub story: String,
    pub hints: Vec<String>,
    pub cause: String,
    pub also: Vec<String>,
    pub inside: bool,
    pub fix: String,
    /// What the client printed.
    pub said: String,
    /// The user's address in this story, if it is not the usual one.
    pub client: Option<Ipv4Addr>,
    /// What is the matter with the API.
    pub api: ApiSpec,
    /// The account switch of the serial console, where the lesson runs alone.
    pub serial_console: Option<bool>,
    pub instance: Option<InstanceSpec>,
    pub neighbour: Vec<InstanceSpec>,
    pub vpc: Vec<VpcSpec>,
    pub subnet: Vec<SubnetSpec>,
    pub group: Vec<GroupSpec>,
    pub nacl: Vec<NaclSpec>,
    pub route_table: Vec<RouteTableSpec>,
    pub gateway: Vec<GatewaySpec>,
    pub nat: Vec<NatSpec>,
    pub peering: Vec<LinkSpec>,
    pub transit: Vec<LinkSpec>,
    pub prefix_list: Vec<PrefixListSpec>,
    pub vpc_endpoint: Vec<VpcEndpointSpec>,
    pub connect_endpoint: Vec<ConnectEndpointSpec>,
    pub role: Vec<RoleSpec>,
    pub key_pair: Vec<KeyPairSpec>,
    pub file: Vec<FileSpec>,
    pub image: Vec<ImageSpec>,
    pub denial: Vec<DenialSpec>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyPairSpec {
    pub name: String,
    #[serde(default)]
    pub rsa: bool,
    /// The account's second RSA key: it has two.
    #[serde(default)]
    pub other: bool,
    /// Made after the instances were launched, under a name that was in use before.
    #[serde(default)]
    pub later: bool,
    /// Not in EC2: it was deleted there, or it is a user's own.
    #[serde(default)]
    pub deleted: bool,
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

/// An action that the caller may not perform.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DenialSpec {
    pub action: String,
    /// Deny only requests about this VPC's things, or about this lesson's instance if absent. Where the lesson runs
    /// alone: all requests.
    #[serde(default)]
    pub vpc: Option<String>,
    #[serde(default)]
    pub reason: Reason,
}

/// Why IAM says no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Reason {
    /// No policy of the user allows it.
    #[default]
    Identity,
    /// A service control policy of the organization denies it.
    Organization,
    /// The permissions boundary does not allow it.
    Boundary,
}

/// What is the matter with the API. Where all lessons run together it concerns requests about this lesson's instance;
/// credentials, clock and endpoint are wrong only where the lesson runs alone.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ApiSpec {
    /// Each action is turned away so many times, by all requests together, before it is answered.
    pub throttle: u32,
    /// Only this action is.
    pub throttle_action: Option<String>,
    pub expired_credentials: bool,
    /// Seconds by which AWS's clock is ahead of the user's.
    pub clock_ahead: i64,
    /// Nobody listens at the endpoint.
    pub unreachable: bool,
    /// Milliseconds that each answer takes.
    pub delay: u64,
}

impl ApiSpec {
    /// True if it concerns requests about any instance.
    fn spoils_all(&self) -> bool {
        self.expired_credentials || self.clock_ahead != 0 || self.unreachable || self.delay > 0
    }
}

/// A role for instances, with an instance profile of the same name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleSpec {
    pub name: String,
    /// Names of AWS's own policies.
    #[serde(default)]
    pub attached: Vec<String>,
    /// JSON documents of inline policies.
    #[serde(default)]
    pub inline: Vec<InlineSpec>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InlineSpec {
    pub name: String,
    pub document: String,
}

fn private_mode() -> u32 {
    0o600
}

/// The file that every account starts from.
pub(super) fn account() -> Result<Spec, String> {
    toml::from_str(ACCOUNT).map_err(|error| format!("account: {error}"))
}

/// The groups of lessons in the order in which they are shown.
const TOPICS: [&str; 10] =
    ["healthy", "network", "machine", "server", "login", "key", "client", "doors", "windows", "account"];

/// All lessons: by group, the easy ones first.
pub(super) fn all() -> Result<Vec<Spec>, String> {
    let mut all = Vec::new();
    for (name, text) in FILES {
        let spec: Spec = toml::from_str(text).map_err(|error| format!("scenario {name}: {error}"))?;
        if spec.id != *name {
            return Err(format!("scenario {name}: its id is {}", spec.id));
        }
        if !TOPICS.contains(&spec.topic.as_str()) {
            return Err(format!("scenario {name}: there is no group {}", spec.topic));
        }
        all.push(spec);
    }
    all.sort_by_key(|spec| (TOPICS.iter().position(|topic| *topic == spec.topic), spec.difficulty));
    Ok(all)
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
        group: spec.topic.clone(),
        difficulty: spec.difficulty,
        story: spec.story.trim().to_owned(),
        hints: spec.hints.clone(),
        cause: spec.cause.clone(),
        also: spec.also.clone(),
        inside: spec.inside,
        alone: spec.api.spoils_all()
            || spec.serial_console == Some(true)
            || spec.instance.as_ref().is_some_and(|instance| instance.client.broken.is_some()),
        source_ip: spec.client.unwrap_or(super::USER).to_string(),
        fix: spec.fix.clone(),
        said: spec.said.trim().to_owned(),
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
            assert!((1..=3).contains(&info.difficulty), "{}", info.id);
            for instance in spec.instance.iter().chain(&spec.neighbour) {
                assert!(names.insert(instance.name.clone()), "{} twice", instance.name);
                assert!(addresses.insert(instance.address.clone()), "{} twice", instance.address);
            }
        }
    }
}
