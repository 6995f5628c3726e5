//! The form of a case, and the facts that it stands for.

mod jump;
mod more;

use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::aws::{Image, InstanceStatus, KeyPair, SsmAgent};
use crate::core::facts::local::{
    AgentKey, ClientAlgorithms, ControlSocket, JumpHost, KeyFileState, KeyProbe, KnownHost, KnownHosts, SshConfig,
};
use crate::core::facts::wire::{Answer, Budget, Offer, SshServer, Tcp, UsualPort};
use crate::core::kexinit::{BothWays, KexLists};
use crate::core::key::{self, KeyFile};
use crate::core::recognise;
// What a case says in `net` is a case of the network's.
use crate::core::rules::network::tests::case as network_case;
use serde::Deserialize;
use std::collections::BTreeMap;

/// When the run begins.
const NOW: i64 = 1_800_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) case: Vec<Case>,
}

/// One case. What is left out is a running Amazon Linux instance with open network, launched long ago with
/// the key pair of `rsa`, which nobody has dialled yet.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    /// A case of the network's builder, which is the base.
    #[serde(default)]
    net: toml::Table,
    user: Option<String>,
    port: Option<u16>,
    /// `ORIGIN PATH CONTENT [MODE]`; contents: see [`content`].
    #[serde(default)]
    keys: Vec<String>,
    /// Files found beside, in the same form.
    #[serde(default)]
    others: Vec<String>,
    /// Contents whose keys the agent holds, and `stranger` for another key each; `dead` alone for a socket that nobody answers.
    agent: Option<Vec<String>>,
    ssh_version: Option<String>,
    /// `ok`, `invalid`, or settings such as `user=x`, `port=2222`, `only`, `jump=x`, `strict=yes`, `no-keys`, `sha1=no`.
    config: Option<String>,
    /// `OUTCOME [WORDS]` of the jump host, at a public address; `in-vpc OUTCOME` at a private one.
    jump: Option<String>,
    /// The login to the jump host, and what it made of the connection to the target: see [`jump::Login`].
    jump_login: Option<jump::Login>,
    /// `alive`, `hangs`, `dead`: what the control socket does.
    control: Option<String>,
    /// `same`, `changed`, `other-type`, `revoked`, `authority`, `none`.
    known_host: Option<String>,
    /// Content of the key pair named at launch, `none` when launched without, `deleted`, `denied`; `+new` when created after the instance.
    #[serde(default = "rsa")]
    pair: String,
    /// `al2023`, `ubuntu`, `bottlerocket`, `windows`, `debian`, `bionic`, `flatcar`, `nixos`, `unknown`, `denied`.
    #[serde(default = "al2023")]
    image: String,
    state: Option<String>,
    state_reason: Option<String>,
    #[serde(default)]
    transition: Option<String>,
    instance_type: Option<String>,
    /// Seconds since the last start.
    age: Option<i64>,
    /// Seconds since the first launch.
    #[serde(default)]
    first_launch: Option<i64>,
    /// Addresses that the name resolves to.
    #[serde(default)]
    dns: Vec<std::net::IpAddr>,
    /// Name of the image instead of the usual one.
    #[serde(default)]
    image_name: Option<String>,
    /// `system instance [ebs]`.
    status: Option<String>,
    #[serde(default)]
    events: Vec<String>,
    console: Option<String>,
    /// `PING` of the agent; `never`.
    ssm: Option<String>,
    /// AWS facts that are refused; `all`, `credentials`, `not-found`.
    #[serde(default)]
    denied: Vec<String>,
    /// `connected`, `refused`, `timed_out`, `unreachable`.
    tcp: Option<String>,
    /// What answers on port 22 beside the port in question: `ssh`, `other`, `closed`.
    usual: Option<String>,
    /// `ready [BANNER]`, `not-ssh TEXT`, `silent`, `closed TEXT`, `kex TEXT`.
    ssh: Option<String>,
    /// `USER PATH|none ANSWER [TEXT]`, with the methods left over in front of ANSWER as `methods=a,b`.
    #[serde(default)]
    offers: Vec<String>,
    /// What the server offers, `KIND=a,b` for `kex`, `key`, `cipher`, `mac` (`cipher<` and `mac<` for the way to the
    /// client alone); what is not named is as OpenSSH 9 has it.
    server_lists: Option<String>,
    /// What the user's ssh offers, in the same form; `KIND=` for a list that it did not tell. Needs `config`.
    client_lists: Option<String>,
    /// What the instance printed at a look inside.
    inside: Option<Inside>,
    symptom: Option<String>,
    paste: Option<String>,
    /// The program that printed the paste, where the recogniser is not what is tested.
    client: Option<String>,
    #[serde(default)]
    answers: BTreeMap<String, String>,
    /// Machine, doors and what else the instance has: see [`more::More`].
    #[serde(default)]
    more: more::More,

    pub(super) verdict: String,
    /// All causes, `id certainty`, in order.
    pub(super) causes: Option<Vec<String>>,
    pub(super) first: Option<String>,
    #[serde(default)]
    pub(super) never: Vec<String>,
    pub(super) seen: Option<String>,
    #[serde(default)]
    pub(super) checks: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) doors: BTreeMap<String, String>,
    /// The first open door.
    pub(super) way_in: Option<String>,
    #[serde(default)]
    pub(super) hops: BTreeMap<String, String>,
    pub(super) leaf: Option<String>,
    pub(super) suggests: Option<String>,
    pub(super) tries: Option<String>,
    #[serde(default)]
    pub(super) says: Vec<String>,
}

/// An output of the script: a healthy one of a distribution, without the lines that begin with a piece of `minus`,
/// with those of `plus` before its end. `@rsa@`, `@ed@`, `@ecdsa@` stand for the data of the tests' keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Inside {
    /// `al2023`, `ubuntu`, `debian`, `rhel9`, `alpine`, `freebsd`; `denied`.
    base: String,
    #[serde(default)]
    minus: Vec<String>,
    #[serde(default)]
    plus: Vec<String>,
}

fn inside(case: &Inside) -> Fact<crate::core::facts::inside::Inside> {
    let base = match case.base.as_str() {
        "al2023" => include_str!("../../../../tests/cases/inside/base-al2023.txt"),
        "ubuntu" => include_str!("../../../../tests/cases/inside/base-ubuntu.txt"),
        "debian" => include_str!("../../../../tests/cases/inside/base-debian.txt"),
        "rhel9" => include_str!("../../../../tests/cases/inside/base-rhel9.txt"),
        "alpine" => include_str!("../../../../tests/cases/inside/base-alpine.txt"),
        "freebsd" => include_str!("../../../../tests/cases/inside/base-freebsd.txt"),
        "denied" => return refused("ssm:SendCommand"),
        other => panic!("no such base: {other}"),
    };
    for piece in &case.minus {
        assert!(base.lines().any(|l| l.starts_with(piece.as_str())), "no line begins with {piece:?}");
    }
    let (end, rest): (Vec<&str>, Vec<&str>) = base
        .lines()
        .filter(|l| !case.minus.iter().any(|piece| l.starts_with(piece.as_str())))
        .partition(|l| l.starts_with("port22-inside-end"));
    let mut text = [rest, case.plus.iter().map(String::as_str).collect(), end].concat().join("\n");
    for name in ["rsa", "ed", "ecdsa"] {
        let line = content(name).public.unwrap();
        text = text.replace(&format!("@{name}@"), line.split(' ').nth(1).unwrap());
    }
    Fact::known(crate::core::inside::parse(&text), "SSM")
}

fn rsa() -> String {
    "rsa".to_owned()
}

fn al2023() -> String {
    "al2023".to_owned()
}

/// What is in a key file of the tests.
fn content(name: &str) -> KeyFile {
    let rsa: &[u8] = include_bytes!("../../../../tests/keys/rsa.pem");
    key::inspect(match name {
        "rsa" => rsa,
        "ed" => include_bytes!("../../../../tests/keys/ed25519_openssh"),
        "locked" => include_bytes!("../../../../tests/keys/ed25519_openssh_encrypted"),
        "pkcs8" => include_bytes!("../../../../tests/keys/ed25519_pkcs8.pem"),
        "ppk" => include_bytes!("../../../../tests/keys/rsa_v3.ppk"),
        "public" => include_bytes!("../../../../tests/keys/ed25519.pub"),
        "ecdsa" => include_bytes!("../../../../tests/keys/ecdsa.pem"),
        "cut" => &rsa[..400],
        "dsa" => include_bytes!("../../../../tests/cases/rules/dsa.pem"),
        other => panic!("no such key: {other}"),
    })
}

fn key_probe(text: &str) -> KeyProbe {
    let words: Vec<&str> = text.split(' ').collect();
    let read = |name: &str, modeless_fs: Option<String>, pub_file: Option<String>| KeyFileState::Read {
        mode: words.get(3).map_or(0o600, |m| u32::from_str_radix(m, 8).unwrap()),
        owner: 1000,
        me: 1000,
        modeless_fs,
        key: Box::new(content(name)),
        pub_file,
    };
    let state = match words[2] {
        "missing" => KeyFileState::Missing,
        "directory" => KeyFileState::NotAFile { what: "a directory".to_owned() },
        "unreadable" => KeyFileState::Unreadable { owner: Some(0), reason: "Permission denied".to_owned() },
        "huge" => KeyFileState::TooLarge { bytes: 9_000_000 },
        "on-vfat" => read("rsa", Some("vfat".to_owned()), None),
        "stale" => read("rsa", None, content("ed").public),
        "fresh" => read("rsa", None, content("rsa").public),
        name => read(name, None, None),
    };
    KeyProbe {
        path: words[1].to_owned(),
        origin: words[0].to_owned(),
        file: Fact::known(state, format!("file {}", words[1])),
    }
}

fn agent_key((nth, name): (usize, &String)) -> AgentKey {
    let fingerprint = match name.as_str() {
        "stranger" => format!("SHA256:stranger{nth}"),
        name => content(name).sha256.unwrap(),
    };
    let (algorithm, public) = match name.as_str() {
        "stranger" => ("ssh-ed25519".to_owned(), None),
        name => (content(name).algorithm.unwrap(), content(name).public),
    };
    AgentKey { fingerprint, algorithm, comment: name.clone(), public }
}

fn image(name: &str) -> Fact<Option<Image>> {
    let (owner, alias, title) = match name {
        "al2023" => ("137112412989", "amazon", "al2023-ami-2023.5.20240805.0-kernel-6.1-x86_64"),
        "ubuntu" => ("099720109477", "", "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20240801"),
        "debian" => ("136693071363", "", "debian-12-amd64-20240717-1811"),
        "rhel9" => ("309956199498", "", "RHEL-9.4.0_HVM-20240605-x86_64-82-Hourly2-GP3"),
        "freebsd" => ("782442783595", "", "FreeBSD 14.1-RELEASE-amd64 UEFI-PREFERRED base UFS"),
        "alpine" => ("538276064493", "", "alpine-3.20.2-x86_64-uefi-cloudinit-r0"),
        "bottlerocket" => ("092701018921", "amazon", "bottlerocket-aws-k8s-1.30-x86_64-v1.20.5-a3e8bda1"),
        "windows" => ("801119661308", "amazon", "Windows_Server-2022-English-Full-Base-2024.08.14"),
        "bionic" => ("099720109477", "", "ubuntu/images/hvm-ssd/ubuntu-bionic-18.04-amd64-server-20230607"),
        "flatcar" => ("075585003325", "", "Flatcar-stable-3975.2.0-hvm"),
        "nixos" => ("427812963091", "", "nixos/24.05.3345.1811c4fec88-x86_64-linux"),
        "unknown" => return Fact::known(None, "DescribeImages"),
        "denied" => return refused("ec2:DescribeImages"),
        other => panic!("no such image: {other}"),
    };
    let image = Image {
        id: "ami-1".to_owned(),
        name: Some(title.to_owned()),
        owner_id: Some(owner.to_owned()),
        owner_alias: Some(alias.to_owned()).filter(|a| !a.is_empty()),
        ..Image::default()
    };
    Fact::known(Some(image), "DescribeImages ami-1")
}

fn refused<T>(action: &str) -> Fact<T> {
    Fact::unknown(Why::Denied { action: action.to_owned(), reason: String::new() })
}

fn pair(text: &str) -> Fact<Option<KeyPair>> {
    let (name, new) = text.strip_suffix("+new").map_or((text, false), |name| (name, true));
    match name {
        "none" => return Fact::unknown(Why::needs("a key pair, and the instance was launched without one")),
        "deleted" => return Fact::known(None, "DescribeKeyPairs"),
        "denied" => return refused("ec2:DescribeKeyPairs"),
        _ => {}
    }
    let created = if new { NOW - 1000 } else { NOW - 9_000_000 };
    let pair = KeyPair {
        name: "web".to_owned(),
        public_key: content(name).public,
        fingerprint: content(name).sha256,
        created: Some(created),
        ..KeyPair::default()
    };
    Fact::known(Some(pair), "DescribeKeyPairs web")
}

fn offer(text: &str) -> Offer {
    let mut words = text.splitn(3, ' ');
    let (user, key, rest) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let (methods, rest) = match rest.strip_prefix("methods=").and_then(|r| r.split_once(' ')) {
        Some((list, rest)) => (list.split(',').map(str::to_owned).collect(), rest),
        None => (vec!["publickey".to_owned()], rest),
    };
    let (answer, said) = rest.split_once(' ').unwrap_or((rest, ""));
    let reason = said.to_owned();
    let answer = match answer {
        "logged-in" => Answer::LoggedIn,
        "would-accept" => Answer::WouldAccept,
        "refused" => Answer::Refused,
        "then-refused" => Answer::AcceptedThenRefused { reason },
        "failed" => Answer::Failed { reason },
        other => panic!("no such answer: {other}"),
    };
    // `agent:CONTENT` is a key of the agent; other keys are files.
    let (key, fingerprint) = match key.strip_prefix("agent:") {
        Some(name) => {
            let held = agent_key((0, &name.to_owned()));
            (held.label(), Some(held.fingerprint))
        }
        None => (key.to_owned(), None),
    };
    Offer { user: user.to_owned(), key: Some(key).filter(|k| k != "none"), fingerprint, answer, methods, banner: None }
}

fn config(text: &str) -> Fact<SshConfig> {
    if text == "invalid" {
        return Fact::unknown(Why::failed(
            "reading the ssh configuration",
            "/home/me/.ssh/config: line 3: Bad configuration option: hostnam",
        ));
    }
    if text == "no-program" {
        return Fact::unknown(Why::failed("starting ssh", "Exec format error"));
    }
    let mut out = SshConfig::default();
    for word in text.split(' ').filter(|w| *w != "ok") {
        out.matched = true;
        match word.split_once('=') {
            Some(("user", value)) => out.user = Some(value.to_owned()),
            Some(("port", value)) => out.port = Some(value.parse().unwrap()),
            Some(("jump", value)) => out.proxy_jump = Some(value.to_owned()),
            Some(("hostname", value)) => out.hostname = Some(value.to_owned()),
            Some(("strict", value)) => out.strict_host_key_checking = Some(value.to_owned()),
            Some(("sha1", value)) => out.sha1_signatures = Some(value == "yes"),
            None if word == "only" => out.identities_only = true,
            None if word == "no-keys" => out.pubkey_off = true,
            _ => panic!("no such setting: {word}"),
        }
    }
    Fact::known(out, "ssh -G web")
}

/// The host key that the server of a case shows.
const HOST_KEY: &str = "SHA256:0123456789abcdefghijABCDEFGHIJ0123456789abc";

/// Another fingerprint.
const OLDER: &str = "SHA256:older";

fn server(text: &str) -> SshServer {
    let (kind, said) = text.split_once(' ').unwrap_or((text, ""));
    let banner = if kind == "ready" && !said.is_empty() { said } else { "SSH-2.0-OpenSSH_9.6" }.to_owned();
    let said = said.to_owned();
    match kind {
        "ready" => SshServer::Ready { banner, host_key_type: "ssh-ed25519".to_owned(), host_key: HOST_KEY.to_owned() },
        "not-ssh" => SshServer::NotSsh { first_bytes: said },
        "silent" => SshServer::BannerTimeout { after_ms: 8000 },
        "closed" => SshServer::ClosedBeforeBanner { reason: said },
        "kex" => SshServer::KexFailed { banner, reason: said },
        other => panic!("no such server: {other}"),
    }
}

pub(super) fn facts(case: &Case) -> Facts {
    let mut net = case.net.clone();
    net.insert("name".to_owned(), case.name.clone().into());
    net.insert("findings".to_owned(), toml::Value::Array(Vec::new()));
    net.entry("source").or_insert_with(|| "198.51.100.7".into());
    let base: network_case::Case = net.try_into().unwrap_or_else(|e| panic!("{}: net: {e}", case.name));
    let mut facts = network_case::facts(&base);
    facts.now = NOW;
    facts.target.user.clone_from(&case.user);
    facts.target.port = case.port;
    facts.symptom.clone_from(&case.symptom);
    facts.answers.clone_from(&case.answers);
    facts.paste = case.paste.as_ref().map(|text| recognise::identify(text, None));
    if let (Some(paste), Some(client)) = (&mut facts.paste, &case.client) {
        paste.client.clone_from(client);
    }
    local(case, &mut facts);
    aws(case, &mut facts);
    more::apply(&case.more, &mut facts);
    wire(case, &mut facts);
    if let Some(login) = &case.jump_login {
        jump::apply(login, &mut facts);
    }
    facts.inside = case.inside.as_ref().map_or(Fact::NotAsked, inside);
    facts
}

/// The defaults of OpenSSH 9, shortened, and the changes that a case names.
fn algorithms(changes: &str) -> (ClientAlgorithms, KexLists) {
    let names = |list: &str| list.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let mut kex = names("curve25519-sha256,ecdh-sha2-nistp256,diffie-hellman-group14-sha256");
    let mut host_keys = names("ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256");
    let ciphers = names("chacha20-poly1305@openssh.com,aes128-ctr,aes256-ctr,aes256-gcm@openssh.com");
    let macs = names("umac-64-etm@openssh.com,hmac-sha2-256,hmac-sha1");
    let both = |list: &[String]| BothWays { to_server: list.to_vec(), to_client: list.to_vec() };
    let (mut ciphers, mut macs) = (both(&ciphers), both(&macs));
    for (kind, list) in changes.split_whitespace().filter_map(|word| word.split_once('=')) {
        let list = names(list);
        match kind {
            "kex" => kex = list,
            "key" => host_keys = list,
            "cipher" => ciphers = both(&list),
            "cipher<" => ciphers.to_client = list,
            "mac" => macs = both(&list),
            "mac<" => macs.to_client = list,
            other => panic!("no such kind of algorithm: {other}"),
        }
    }
    let client = ClientAlgorithms {
        kex: kex.clone(),
        host_keys: host_keys.clone(),
        ciphers: ciphers.to_server.clone(),
        macs: macs.to_server.clone(),
    };
    (client, KexLists { kex, host_keys, ciphers, macs, compression: both(&names("none,zlib@openssh.com")) })
}

/// Lines about the host, and its relation to the key that it shows.
fn known_hosts(text: Option<&str>) -> KnownHosts {
    let entry = |algorithm: &str, fingerprint: &str| KnownHost {
        file: "~/.ssh/known_hosts".to_owned(),
        line: 4,
        algorithm: algorithm.to_owned(),
        fingerprint: fingerprint.to_owned(),
    };
    let mut known = KnownHosts::default();
    match text {
        Some("same") => known.entries.push(entry("ssh-ed25519", HOST_KEY)),
        Some("changed") => known.entries.push(entry("ssh-ed25519", OLDER)),
        Some("other-type") => known.entries.push(entry("ssh-rsa", OLDER)),
        Some("revoked") => known.revoked.push(entry("ssh-ed25519", HOST_KEY)),
        Some("authority") => known.authorities.push(entry("ssh-ed25519", OLDER)),
        _ => {}
    }
    known
}

fn local(case: &Case, facts: &mut Facts) {
    let local = &mut facts.local;
    local.keys = case.keys.iter().map(|k| key_probe(k)).collect();
    local.other_keys = case.others.iter().map(|k| key_probe(k)).collect();
    local.agent = match &case.agent {
        Some(keys) if keys == &["dead"] => {
            Fact::unknown(Why::failed("asking the agent at /tmp/agent.1", "Connection refused"))
        }
        Some(keys) => Fact::known(keys.iter().enumerate().map(agent_key).collect(), "ssh agent"),
        None => Fact::unknown(Why::needs("an agent (SSH_AUTH_SOCK is not set)")),
    };
    if let Some(line) = &case.ssh_version {
        local.ssh_version = Fact::known(line.clone(), "ssh -V");
    }
    if let Some(text) = &case.config {
        local.config = config(text);
    }
    if let (Some(changes), Fact::Known { value, .. }) = (&case.client_lists, &mut local.config) {
        value.algorithms = algorithms(changes).0;
    }
    local.known_hosts = Fact::known(known_hosts(case.known_host.as_deref()), "known_hosts");
    if let Some(text) = &case.jump {
        let (address, text) = match text.strip_prefix("in-vpc ") {
            Some(text) => ("10.0.9.22", text),
            None => ("198.51.100.22", text.as_str()),
        };
        let (outcome, words) = text.split_once(' ').unwrap_or((text, ""));
        let jump = JumpHost {
            name: "bastion".to_owned(),
            address: Some(address.parse().unwrap()),
            port: 22,
            outcome: outcome.to_owned(),
            words: words.to_owned(),
            ..JumpHost::default()
        };
        local.jump = Fact::known(jump, "TCP connect to the jump host");
    }
    if let Some(state) = &case.control {
        let socket = ControlSocket {
            path: "/home/me/.ssh/cm-1".to_owned(),
            alive: state == "alive",
            hangs: state == "hangs",
            words: String::new(),
        };
        local.control = Fact::known(Some(socket), "ssh -O check");
    }
    if !case.dns.is_empty() {
        local.dns = Fact::known(case.dns.clone(), "name look-up");
    }
}

fn aws(case: &Case, facts: &mut Facts) {
    facts.aws.region = Some("eu-west-1".to_owned());
    if let Fact::Known { value: instance, source } = &mut facts.aws.instance {
        "DescribeInstances i-0a1b2c3d4e5f60718".clone_into(source);
        instance.region = "eu-west-1".to_owned();
        instance.launched = Some(NOW - case.age.unwrap_or(900_000));
        instance.root_attached = Some(NOW - case.first_launch.unwrap_or(900_000));
        instance.key_name = Some("web".to_owned()).filter(|_| case.pair != "none");
        instance.image_id = Some("ami-1".to_owned());
        instance.instance_type = case.instance_type.clone().unwrap_or_else(|| "t3.micro".to_owned());
        instance.platform = Some("windows".to_owned()).filter(|_| case.image == "windows");
        instance.state_reason.clone_from(&case.state_reason);
        instance.transition_reason.clone_from(&case.transition);
        if let Some(state) = &case.state {
            instance.state.clone_from(state);
        }
    }
    let words: Vec<&str> = case.status.as_deref().unwrap_or("ok ok").split(' ').collect();
    let event = |text: &String| {
        let (code, description) = text.split_once(' ').unwrap();
        (code.to_owned(), description.to_owned(), None)
    };
    let status = InstanceStatus {
        system: words[0].to_owned(),
        instance: words[1].to_owned(),
        ebs: words.get(2).map(|w| (*w).to_owned()),
        events: case.events.iter().map(event).collect(),
    };
    facts.aws.status = Fact::known(status, "DescribeInstanceStatus");
    facts.aws.image = image(&case.image);
    if let (Some(name), Fact::Known { value: Some(image), .. }) = (&case.image_name, &mut facts.aws.image) {
        image.name = Some(name.clone());
    }
    facts.aws.key_pair = pair(&case.pair);
    facts.aws.console = match &case.console {
        Some(text) => Fact::known(text.replace("HOSTKEY", HOST_KEY), "GetConsoleOutput"),
        None => Fact::unknown(Why::NotFound { what: "console output yet".to_owned() }),
    };
    facts.aws.ssm = match case.ssm.as_deref() {
        None => Fact::NotAsked,
        Some("never") => Fact::known(None, "DescribeInstanceInformation"),
        Some(ping) => {
            Fact::known(Some(SsmAgent { ping: ping.to_owned(), ..SsmAgent::default() }), "DescribeInstanceInformation")
        }
    };
    for what in &case.denied {
        let why = match what.as_str() {
            "credentials" => Why::Credentials { reason: "the token has expired".to_owned() },
            "not-found" => Why::NotFound { what: format!("instance '{}' in eu-west-1", facts.target.name) },
            _ => Why::Denied { action: "ec2:DescribeInstances".to_owned(), reason: String::new() },
        };
        match what.as_str() {
            "status" => facts.aws.status = refused("ec2:DescribeInstanceStatus"),
            "all" | "credentials" | "not-found" => {
                let (now, instance) = (facts.aws.region.take(), Fact::unknown(why.clone()));
                facts.aws = crate::core::facts::aws::AwsFacts { region: now, instance, ..Default::default() };
                facts.aws.caller = if what == "credentials" { Fact::unknown(why) } else { Fact::NotAsked };
                // The builder's address came from the instance.
                facts.wire.address = facts.address();
            }
            other => panic!("what is {other}?"),
        }
    }
}

fn wire(case: &Case, facts: &mut Facts) {
    facts.wire.port = Some(facts.port());
    let tcp = case.tcp.as_deref().or(case.ssh.as_ref().map(|_| "connected"));
    let tcp = tcp.map(|outcome| match outcome {
        "connected" => Tcp::Connected { millis: 20 },
        "refused" => Tcp::Refused { millis: 20 },
        "timed_out" => Tcp::TimedOut { after_ms: 5000 },
        "unreachable" => Tcp::Unreachable { reason: "No route to host".to_owned() },
        other => panic!("no such outcome: {other}"),
    });
    if let Some(tcp) = tcp {
        facts.wire.tcp = Fact::known(tcp, "TCP connect 203.0.113.7:22");
    }
    if let Some(word) = &case.usual {
        let usual = match word.as_str() {
            "ssh" => UsualPort::Ssh { banner: "SSH-2.0-OpenSSH_8.7".to_owned() },
            "other" => UsualPort::Other,
            "closed" => UsualPort::Closed,
            other => panic!("no such answer: {other}"),
        };
        facts.wire.usual = Fact::known(usual, "TCP connect to 203.0.113.7:22");
    }
    if let Some(text) = &case.ssh {
        facts.wire.ssh = Fact::known(server(text), "SSH to 203.0.113.7:22");
    }
    facts.wire.offers_of_server = case.server_lists.as_ref().map(|changes| algorithms(changes).1);
    facts.wire.offers = case.offers.iter().map(|o| offer(o)).collect();
    facts.wire.budget = Budget { used: u32::try_from(facts.wire.offers.len()).unwrap(), cap: 3 };
}
