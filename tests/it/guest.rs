//! `--inside` end to end: a real Debian guest whose files are really broken, a real sshd, a real login with the
//! ssh client, and then what `port22 diagnose --inside` makes of it.
//!
//! `guest.py` makes the guests (see there) in namespaces of its own, which needs root. Where that cannot be,
//! these tests fail and say so; who knows that sets `PORT22_TEST_NO_GUESTS=1`.

mod fixes;

use crate::host::Place;
use crate::moto::Moto;
use crate::program::{Home, Report};
use crate::sshd::keygen;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// The user of Debian's images, which is the one of these guests.
const USER: &str = "admin";

/// A line of tests/cases/guest/faults.toml, where the fields are explained.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    name: String,
    group: String,
    #[serde(default, rename = "break")]
    breaks: String,
    #[serde(default)]
    after: String,
    ssh: String,
    #[serde(default)]
    says: String,
    #[serde(default)]
    expect: String,
    #[serde(default)]
    or: Vec<String>,
    #[serde(default)]
    also: Vec<String>,
    /// Nothing is left that could prove it: no cause may then be called likely or proven.
    #[serde(default)]
    open: bool,
    #[serde(default = "user")]
    user: String,
    #[serde(default = "key")]
    key: String,
    #[serde(default = "port")]
    port: u16,
}

fn user() -> String {
    USER.to_owned()
}

fn key() -> String {
    "ed25519".to_owned()
}

fn port() -> u16 {
    22
}

#[derive(Deserialize)]
struct Table {
    fault: Vec<Fault>,
}

fn table() -> Vec<Fault> {
    let table: Table = toml::from_str(include_str!("../cases/guest/faults.toml")).expect("the table of faults");
    table.fault
}

/// Whether somebody wants to do without the guests.
fn left_out() -> bool {
    let out = std::env::var_os("PORT22_TEST_NO_GUESTS").is_some();
    if out {
        eprintln!("left out: PORT22_TEST_NO_GUESTS is set");
    }
    out
}

/// A place with one guest at a time, the endpoint that knows its instance, and a user's home.
struct Guests {
    moto: Moto,
    home: Home,
    keys: BTreeMap<&'static str, PathBuf>,
    next: Cell<u8>,
}

/// A guest that runs, and its instance.
struct Stage {
    world: crate::moto::World,
    key: PathBuf,
    target: String,
}

impl Guests {
    fn start() -> Self {
        let moto = Moto::of("guest.py");
        let home = Home::with(&moto).in_network_of(moto.process());
        let kinds: [(&str, &[&str]); 4] = [
            ("ed25519", &["-t", "ed25519"]),
            ("rsa", &["-t", "rsa", "-b", "2048"]),
            ("ecdsa", &["-t", "ecdsa"]),
            ("other", &["-t", "ed25519"]),
        ];
        let keys = kinds.map(|(kind, options)| (kind, keygen(home.path(), kind, options, "")));
        Self { moto, home, keys: BTreeMap::from(keys), next: Cell::new(1) }
    }

    fn key(&self, kind: &str) -> &Path {
        self.keys.get(kind).unwrap_or_else(|| panic!("no key of the kind {kind}"))
    }

    /// Ends the guest before and makes one with this fault, whose agent is `ssm` (empty: under no management).
    fn stage_with(&self, fault: &Fault, ssm: &str) -> Stage {
        self.stage_of(fault, ssm, "debian")
    }

    /// The same, launched from this image.
    fn stage_of(&self, fault: &Fault, ssm: &str, image: &str) -> Stage {
        let number = self.next.replace(self.next.get() + 1);
        let place = Place { ip: Ipv4Addr::new(127, 1, 0, number), port: fault.port };
        let public =
            |kind: &str| fs::read_to_string(format!("{}.pub", self.key(kind).display())).expect("a public key");
        let ids = self.moto.ask(&json!({
            "do": "stage", "fault": fault, "public": public(&fault.key), "other": public("other"),
            "address": place.ip.to_string(), "ssm": ssm, "image": image,
        }));
        let id = |name: &str| ids[name].as_str().expect(name).to_owned();
        let instance = id("instance");
        let target = if fault.user == USER { instance.clone() } else { format!("{}@{instance}", fault.user) };
        let (group, vpc, acl, table, interface) = (id("group"), id("vpc"), id("acl"), id("table"), id("interface"));
        let world = crate::moto::World { place, instance, group, vpc, acl, table, interface };
        // An address that is used again has another host key.
        let _ = fs::remove_file(self.home.path().join("known_hosts"));
        Stage { world, key: self.key(&fault.key).to_owned(), target }
    }

    fn stage(&self, fault: &Fault) -> Stage {
        self.stage_with(fault, "Online")
    }

    /// One login with the ssh client: whether it works, and what it printed.
    fn login(&self, stage: &Stage, user: &str) -> (bool, String) {
        let Place { ip, port } = stage.world.place;
        let key = stage.key.display().to_string();
        let answer =
            self.moto.ask(&json!({"do": "login", "address": ip.to_string(), "port": port, "user": user, "key": key}));
        (answer["works"] == true, answer["text"].as_str().unwrap_or_default().to_owned())
    }

    fn diagnose(&self, stage: &Stage, more: &[&str]) -> Report {
        let key = stage.key.display().to_string();
        self.home.report(&stage.target, &stage.world, &[&["-i", &key], more].concat())
    }

    /// Number of commands that were sent to instances.
    fn commands(&self) -> u64 {
        self.moto.ask(&json!({"do": "commands"})).as_u64().expect("a number")
    }

    /// Every file of the guest, but those that a login itself writes.
    fn files(&self) -> Vec<String> {
        let listing = self.moto.ask(&json!({"do": "listing"}));
        let lines = listing.as_str().expect("a listing").lines();
        lines.filter(|line| !line.starts_with("/var/log")).map(str::to_owned).collect()
    }

    /// What is wrong with the answer to one fault.
    fn wrong(&self, fault: &Fault) -> Option<String> {
        let stage = self.stage(fault);
        let (works, text) = self.login(&stage, &fault.user);
        if works != (fault.ssh == "works") || !text.contains(&fault.says) {
            return Some(format!("{}: the login is not as the table has it: {text}", fault.name));
        }
        let report = self.diagnose(&stage, &["--inside"]);
        let problem = if works { spared(&report) } else { blamed(fault, &report) };
        problem.map(|problem| format!("{}: {problem}\nssh: {text}\n{}", fault.name, report.brief()))
    }

    /// All faults of a group; every one that is judged wrongly is named.
    fn group(group: &str) {
        if left_out() {
            return;
        }
        let faults: Vec<Fault> = table().into_iter().filter(|fault| fault.group == group).collect();
        assert!(!faults.is_empty(), "no faults in the group {group}");
        // Most of the time is waiting for an answer of Systems Manager.
        let (left, right) = faults.split_at(faults.len() / 2);
        let half = |faults: &[Fault]| -> Vec<String> {
            let guests = Self::start();
            faults.iter().filter_map(|fault| guests.wrong(fault)).collect()
        };
        let wrong = std::thread::scope(|scope| {
            let other = scope.spawn(|| half(right));
            let mut wrong = half(left);
            wrong.extend(other.join().expect("the other half"));
            wrong
        });
        assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), faults.len(), wrong.join("\n\n"));
    }
}

/// A login that works raises nothing.
fn spared(report: &Report) -> Option<String> {
    let fine = report.exit == 0 && report.json["verdict"] == "healthy" && report.causes().is_empty();
    (!fine).then(|| format!("nothing is wrong, and the exit is {} with {:?}", report.exit, report.causes()))
}

/// The fault comes first, all faults are named, and nothing else is called proven.
fn blamed(fault: &Fault, report: &Report) -> Option<String> {
    let found = report.list("causes");
    let text = |cause: &Value, field: &str| cause[field].as_str().unwrap_or_default().to_owned();
    let strong: Vec<String> = found.iter().filter(|c| c["certainty"] != "possible").map(|c| text(c, "id")).collect();
    if fault.open {
        let honest = report.exit == 3 && strong.is_empty();
        return (!honest)
            .then(|| format!("nothing can tell, and the exit is {} with {:?}", report.exit, report.causes()));
    }
    let expected = |id: &String| *id == fault.expect || fault.or.contains(id);
    if report.exit != 1 || !report.json["causes"][0]["id"].as_str().is_some_and(|id| expected(&id.to_owned())) {
        return Some(format!("expected {} first, found {:?}, exit {}", fault.expect, report.causes(), report.exit));
    }
    if !strong.iter().any(expected) {
        return Some(format!("{} is only possible: {:?}", fault.expect, report.causes()));
    }
    if let Some(missing) = fault.also.iter().find(|id| !strong.contains(id)) {
        return Some(format!("{missing} is not named: {:?}", report.causes()));
    }
    let proven = found.iter().filter(|c| c["certainty"] == "proven").map(|c| text(c, "id"));
    let wrong: Vec<String> = proven.filter(|id| !expected(id) && !fault.also.contains(id)).collect();
    (!wrong.is_empty()).then(|| format!("{wrong:?} is called proven, and is not so: {:?}", report.causes()))
}

#[test]
fn files_of_the_login_that_are_broken() {
    Guests::group("files");
}

#[test]
fn accounts_that_may_not_log_in() {
    Guests::group("account");
}

#[test]
fn servers_that_are_told_otherwise() {
    Guests::group("sshd");
}

#[test]
fn what_stands_before_the_server() {
    Guests::group("network");
}

#[test]
fn two_faults_at_once_are_both_named() {
    Guests::group("two");
}

#[test]
fn guests_with_nothing_wrong_raise_nothing() {
    Guests::group("healthy");
}

#[test]
fn the_table_names_causes_that_exist() {
    let ids = include_str!("../../assets/causes.toml");
    let all = table();
    for fault in &all {
        assert_eq!(all.iter().filter(|other| other.name == fault.name).count(), 1, "{} twice", fault.name);
        assert!(["works", "fails"].contains(&fault.ssh.as_str()), "{fault:?}");
        assert_eq!(fault.ssh == "works", fault.expect.is_empty(), "{fault:?}");
        for id in [&fault.expect].into_iter().filter(|id| !id.is_empty()).chain(&fault.or).chain(&fault.also) {
            assert!(ids.contains(&format!("\n[{id}]\n")), "{}: no cause {id}", fault.name);
        }
    }
}

/// A guest whose home is open to everybody, as something to find.
fn open_home() -> Fault {
    table().into_iter().find(|fault| fault.name == "home-777").expect("the fault home-777")
}

#[test]
fn nothing_is_written_and_nothing_is_left_running_inside() {
    if left_out() {
        return;
    }
    let guests = Guests::start();
    let stage = guests.stage(&open_home());
    let processes = || {
        let answer =
            guests.moto.ask(&json!({"do": "sh", "script": "ps -eo comm= | sort | grep -vxE 'ps|sort|grep|sh|sshd'"}));
        answer[0].as_str().expect("processes").to_owned()
    };
    let before = (guests.files(), processes());
    let report = guests.diagnose(&stage, &["--inside"]);
    report.finds("home-perms proven", 1);
    assert_eq!(guests.commands(), 1, "one command looks at everything");
    let after = (guests.files(), processes());
    let changed: Vec<_> = after.0.iter().filter(|line| !before.0.contains(line)).collect();
    assert_eq!((changed, before.0.len(), before.1), (vec![], after.0.len(), after.1));
    assert!(before.0.len() > 1000, "{} files are no system", before.0.len());
}

#[test]
fn nobody_looks_inside_without_consent_or_without_an_agent() {
    if left_out() {
        return;
    }
    let guests = Guests::start();
    let stage = guests.stage(&open_home());
    let report = guests.diagnose(&stage, &[]);
    assert_eq!(guests.commands(), 0, "without --inside");
    assert!(report.causes().iter().all(|c| !c.ends_with("proven")), "nobody looked inside: {:?}", report.causes());
    for ssm in ["ConnectionLost", ""] {
        let stage = guests.stage_with(&open_home(), ssm);
        let report = guests.diagnose(&stage, &["--inside"]);
        assert_eq!(guests.commands(), 0, "the agent is {ssm:?}");
        assert_eq!(report.exit, 1, "{}", report.brief());
        assert!(report.causes().iter().all(|c| !c.starts_with("home-perms proven")), "{:?}", report.causes());
        assert!(report.stderr.is_empty() || !report.stderr.contains("panicked"), "{}", report.stderr);
    }
}

#[test]
fn where_no_agent_is_a_login_that_works_carries_the_look() {
    if left_out() {
        return;
    }
    let guests = Guests::start();
    let root = table().into_iter().find(|fault| fault.name == "root-in-nologin-times").expect("a login of root");
    let stage = guests.stage_with(&root, "");
    let report = guests.diagnose(&stage, &["--inside"]);
    assert_eq!(guests.commands(), 0, "nothing runs by an agent that is not there");
    assert_eq!(report.exit, 0, "{}", report.brief());
    let seen = report.list("checks").iter().find(|c| c["id"] == "inside-sshd").cloned().unwrap_or_default();
    assert_eq!(seen["verdict"], "pass", "{seen}");
    assert!(seen.to_string().contains("as root over SSH"), "{seen}");
}

/// Ubuntu's account, and what the package of EC2 Instance Connect does: a command that tells sshd the pushed keys of the
/// last minute. The guest has no sudo, so the account is root's by another name.
const CONNECT: &str = r#"
useradd -o -u 0 -g 0 -m -s /bin/sh ubuntu
printf '#!/bin/sh\n[ "$1" = -n ] && shift\nexec "$@"\n' > /usr/local/bin/sudo
printf '#!/bin/sh\nfind "/run/eic/$1" -newermt "-60 seconds" -exec cat {} +\n' > /usr/local/sbin/eic
chmod 755 /usr/local/bin/sudo /usr/local/sbin/eic
printf 'AuthorizedKeysCommand /usr/local/sbin/eic %%u\nAuthorizedKeysCommandUser root\n' > "$C"
"#;

#[test]
fn where_no_login_works_a_pushed_key_carries_the_look() {
    if left_out() {
        return;
    }
    let guests = Guests::start();
    let fault = Fault {
        name: "connect".to_owned(),
        breaks: CONNECT.to_owned(),
        user: user(),
        key: key(),
        port: port(),
        ..Fault::default()
    };
    let stage = guests.stage_of(&fault, "", "ubuntu");
    let pushed = || guests.moto.ask(&json!({"do": "pushed"}));
    // Without consent nothing is pushed.
    let report = guests.diagnose(&stage, &[]);
    assert_eq!(pushed(), json!([]), "{}", report.brief());
    assert_eq!(report.check("server-takes-key").0, "fail", "{}", report.brief());
    let report = guests.diagnose(&stage, &["--inside"]);
    assert_eq!(pushed(), json!(["ubuntu"]), "one push, for the image's user: {}", report.brief());
    assert_eq!(guests.commands(), 0, "nothing runs by an agent that is not there");
    let seen = report.list("checks").iter().find(|c| c["id"] == "inside-sshd").cloned().unwrap_or_default();
    assert!(seen.to_string().contains("as ubuntu with a key of 60 seconds"), "{seen}");
    // The look is a real one: the account has no authorized_keys of its own, which the command stands in for.
    report.finds("authkeys-missing likely", 1);
    let log =
        guests.moto.ask(&json!({"do": "sh", "script": "grep -c 'Accepted publickey for ubuntu' /var/log/auth.log"}));
    assert_eq!(log[0].as_str().map(str::trim), Some("1"), "one login: {log}");
}
