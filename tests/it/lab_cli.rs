//! The practice account from the command line: its list, its endpoint for other programs, and a
//! diagnosis and a fix against it over HTTP.

use crate::program::{Home, PORT22, Report};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

#[test]
fn the_scenarios_are_listed() {
    let home = Home::new();
    let list = home.run(&["lab", "list", "--json"]).exits(0).json();
    assert_eq!(list["schema"], 1);
    let scenarios = list["scenarios"].as_array().expect("scenarios");
    for one in scenarios {
        for field in ["id", "symptom", "title", "group", "story", "cause", "fix", "source_ip"] {
            assert!(one[field].as_str().is_some_and(|t| !t.is_empty()), "{field}: {one}");
        }
    }
    assert!(scenarios.len() >= 60, "{} scenarios", scenarios.len());
    assert!(scenarios.iter().all(|s| (1..=3).contains(&s["difficulty"].as_u64().unwrap_or_default())));
    assert!(scenarios.iter().all(|s| s["hints"].as_array().is_some_and(|hints| hints.len() >= 2)));
    for symptom in ["timeout", "connection_refused", "permission_denied", "unprotected_key", "success"] {
        assert!(scenarios.iter().any(|s| s["symptom"] == symptom), "no scenario for {symptom}");
    }
    let text = home.run(&["lab", "list"]).exits(0).stdout;
    assert_eq!(text.lines().count(), scenarios.len());
}

/// A lab that serves; its end is ours.
pub struct Serving {
    pub child: Child,
    pub config: String,
    pub source: String,
    pub home: Home,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts `lab serve` and takes over the environment that it prints.
pub fn serve(arguments: &[&str]) -> Serving {
    serve_through(&[], arguments)
}

/// The same, run by these words: a program that runs another one.
pub fn serve_through(through: &[&str], arguments: &[&str]) -> Serving {
    let own = Home::new();
    let mut words = through.iter().copied().chain([PORT22, "lab", "serve"]);
    let mut child = Command::new(words.next().expect("a program"))
        .args(words)
        .args(arguments)
        .env("HOME", own.path())
        .env("TMPDIR", own.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("port22");
    let mut home = own;
    let (mut config, mut source) = (String::new(), String::new());
    let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    for line in lines.map_while(Result::ok) {
        if let Some((name, value)) = line.strip_prefix("export ").and_then(|l| l.split_once('=')) {
            home = home.set(name, value.trim_matches('\''));
        } else if let Some(rest) = line.strip_prefix("# port22 diagnose ") {
            let words: Vec<&str> = rest.split(' ').map(|w| w.trim_matches('\'')).collect();
            let after = |flag: &str| words.iter().position(|w| *w == flag).map(|at| words[at + 1].to_owned());
            config = after("-F").expect("a configuration");
            source = after("--source-ip").expect("an address");
            break;
        } else if line.starts_with("http") {
            let address = line.trim_start_matches("http://");
            assert!(address.starts_with("127."), "the practice account serves loopback only: {line}");
        }
    }
    assert!(!config.is_empty(), "lab serve ended: {:?}", child.try_wait());
    Serving { child, config, source, home }
}

impl Serving {
    pub fn diagnose(&self, name: &str) -> Report {
        self.diagnose_with(name, &[])
    }

    pub fn diagnose_with(&self, name: &str, more: &[&str]) -> Report {
        let words = ["diagnose", name, "--json", "-F", &self.config, "--source-ip", &self.source];
        Report::read(self.home.run(&[&words, more].concat()))
    }

    pub fn fix(&self, fix: &str, name: &str, more: &[&str]) -> crate::program::Run {
        self.home.run(&self.fix_arguments(fix, name, more))
    }

    /// Path of one of the practising user's key files.
    pub fn key_file(&self, name: &str) -> String {
        let home = std::path::Path::new(&self.config).parent().expect("a directory");
        home.join("keys").join(name).display().to_string()
    }

    /// The words of `port22 fix …` against this lab.
    pub fn fix_arguments<'a>(&'a self, fix: &'a str, name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&["fix", fix, name, "-F", &self.config, "--source-ip", &self.source], more].concat()
    }
}

#[test]
fn a_served_lab_is_diagnosed_and_mended_over_http() {
    let lab = serve(&[]);
    let healthy = lab.diagnose("web-healthy");
    assert_eq!((healthy.exit, &healthy.json["verdict"]), (0, &"healthy".into()), "{}", healthy.brief());
    let behind = lab.diagnose("web-behind");
    assert_eq!((behind.exit, behind.check("jump-host").0), (0, "pass"), "{}", behind.brief());
    let mut wrong = Vec::new();
    for (name, cause) in [
        ("web-timeout", "sg-no-rule proven"),
        ("web-moved", "sg-source-ip-changed proven"),
        ("web-nacl", "nacl-inbound-deny proven"),
        ("web-ephemeral", "nacl-outbound-ephemeral proven"),
        ("web-noroute", "route-missing-igw proven"),
        ("web-noigw", "igw-not-attached proven"),
        // Its configuration dials the private address, which a VPN could reach.
        ("web-nopublicip", "no-public-ip likely"),
        ("web-refused", "sshd-not-listening proven"),
        ("web-keymode", "key-perms-open proven"),
        ("web-nokeyfile", "key-file-missing proven"),
        ("web-ppk", "key-format-ppk-with-openssh proven"),
        ("web-public", "key-file-is-public proven"),
        ("web-damaged", "key-file-damaged proven"),
        ("web-passphrase", "key-passphrase-needed proven"),
        ("web-user", "wrong-user-name proven"),
        ("web-stopped", "instance-not-running proven"),
        ("web-jump", "proxyjump-broken proven"),
        ("web-jumpinner", "proxyjump-broken proven"),
    ] {
        let report = lab.diagnose(name);
        if (report.first().as_str(), report.exit) != (cause, 1) {
            wrong.push(format!("{name}: {:?} and exit {} instead of {cause}", report.causes(), report.exit));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    let key = lab.diagnose("web-key");
    assert!(key.first().starts_with("key-mismatch "), "{}", key.brief());

    for (fix, name) in
        [("sg-allow-my-ip", "web-timeout"), ("sg-allow-my-ip", "web-moved"), ("key-chmod", "web-keymode")]
    {
        let done: Value = lab.fix(fix, name, &["--yes", "--json"]).exits(0).json();
        assert_eq!((&done["verified"], &done["login_works"]), (&true.into(), &true.into()), "{name}: {done}");
        assert_eq!(lab.diagnose(name).exit, 0, "{name}");
        lab.home.run(&["undo", "--yes"]).exits(0);
        assert_eq!(lab.diagnose(name).exit, 1, "{name}: the fault is back");
    }
}

/// A fix, its lesson, what more is asked for, and whether the fault is back after an undo.
type Lesson<'a> = (&'a str, &'a str, &'a [&'a str], bool);

/// Applies each fix, sees that the login works, takes it back and sees whether the fault is back.
fn mended(lab: &Serving, lessons: &[Lesson]) {
    for (fix, name, more, back) in lessons {
        let done: Value = lab.fix(fix, name, &[&["--yes", "--json"], *more].concat()).exits(0).json();
        assert_eq!((&done["verified"], &done["login_works"]), (&true.into(), &true.into()), "{fix} {name}: {done}");
        assert_eq!(lab.diagnose(name).exit, 0, "{name}");
        if *back {
            lab.home.run(&["undo", "--yes"]).exits(0);
            assert_eq!(lab.diagnose(name).exit, 1, "{name}: the fault is back");
        }
    }
}

#[test]
fn the_network_of_the_lab_is_mended_and_broken_again() {
    let lab = serve(&[]);
    mended(
        &lab,
        &[
            ("nacl-allow-my-ip", "web-nacl", &[], true),
            ("nacl-allow-my-ip", "web-partial", &[], true),
            ("route-to-igw", "web-noroute", &[], true),
            ("route-to-igw", "web-blackhole", &[], true),
            ("igw-attach", "web-noigw", &[], false),
        ],
    );
    // AWS detaches no gateway while a public address is mapped in its VPC.
    lab.home.run(&["undo", "--yes"]).exits(1).fails_with("public addresses");
    lab.fix("route-to-igw", "web-noigw", &["--yes"]).exits(0);

    let plan: Value =
        lab.fix("eip-associate", "web-nopublicip", &["--choose", "address=new", "--dry-run", "--json"]).exits(0).json();
    assert!(plan["gates"].to_string().contains("you may call ec2:AllocateAddress"), "{plan}");
    let done: Value =
        lab.fix("eip-associate", "web-nopublicip", &["--choose", "address=new", "--yes", "--json"]).exits(0).json();
    assert_eq!(done["verified"], true, "{done}");
    lab.home.run(&["undo", "--yes"]).exits(0);
    for (fix, name) in [("icmp-allow-my-ip", "web-ping"), ("rdp-allow-my-ip", "web-winrdp")] {
        let done: Value = lab.fix(fix, name, &["--yes", "--json"]).exits(0).json();
        assert_eq!(done["verified"], true, "{fix}: {done}");
        lab.home.run(&["undo", "--yes"]).exits(0);
    }
}

#[test]
fn machines_of_the_lab_are_started_rebooted_and_moved() {
    let lab = serve(&[]);
    let plan: Value = lab.fix("instance-start", "web-stopped", &["--dry-run", "--json"]).exits(0).json();
    assert_eq!(plan["promises_login"], true, "{plan}");
    mended(
        &lab,
        &[
            ("instance-start", "web-hibernated", &[], true),
            ("instance-reboot", "web-silent", &[], false),
            ("instance-stop-start", "web-system", &[], false),
            ("instance-stop-start", "web-protected", &["--choose", "stop-protection=lift"], false),
        ],
    );
    // Its public address is another one now: the login is proven by id, and the configuration holds the old one.
    let moved: Value = lab.fix("instance-stop-start", "web-oom", &["--yes", "--json"]).exits(0).json();
    assert_eq!((&moved["verified"], &moved["login_works"]), (&true.into(), &true.into()), "{moved}");
    for (fix, name, says) in [
        ("instance-start", "web-spot", "AWS alone starts it again"),
        ("instance-start", "web-detached", "no volume is attached"),
        ("instance-start", "web-terminated", "cannot be started"),
        ("instance-reboot", "web-stopped", "only a running one"),
    ] {
        lab.fix(fix, name, &["--yes"]).exits(4).fails_with(says);
    }
}

#[test]
fn one_scenario_alone_is_served() {
    let lab = serve(&["--scenario", "web-timeout"]);
    assert_eq!(lab.diagnose("web-timeout").first(), "sg-no-rule proven");
    lab.home.run(&["diagnose", "web-nacl", "-F", "none", "--source-ip", &lab.source]).exits(2).one_sentence();
}

#[test]
fn a_scenario_that_does_not_exist() {
    let home = Home::new();
    let run = home.run(&["lab", "serve", "--scenario", "web-nonsense"]).exits(2);
    assert!(run.one_sentence().contains("web-nonsense"), "{run:#?}");
}

#[test]
fn key_pairs_come_and_go_in_a_served_lab() {
    let lab = serve(&["--scenario", "web-healthy"]);
    let fix = |more: &[&str]| lab.fix("key-pair-import", "web-healthy", &[&["--yes", "--json"], more].concat());
    // The login's key is the launch key: EC2 has it.
    let known = fix(&[]).exits(0).json();
    assert_eq!(known["entry"], Value::Null, "{known}");
    let own = lab.home.key("my own.pem").display().to_string();
    let imported = fix(&["-i", &own]).exits(0).json();
    assert!(imported["steps"][0]["command"].as_str().is_some_and(|c| c.contains("--key-name my-own ")), "{imported}");
    let again = fix(&["-i", &own]).exits(0).json();
    assert_eq!(again["entry"], Value::Null, "{again}");
    lab.home.run(&["undo", "--yes"]).exits(0);
    let after = fix(&["-i", &own, "--dry-run"]).exits(0).json();
    assert!(!after["steps"].as_array().expect("steps").is_empty(), "the pair is gone again: {after}");

    for kind in ["ed25519", "rsa"] {
        let made = fix(&["--choose", "what=create", "--choose", &format!("type={kind}")]).exits(0).json();
        let path = std::path::PathBuf::from(made["created"][0].as_str().expect("a path"));
        let told = std::process::Command::new("ssh-keygen").args(["-y", "-f"]).arg(&path).output().expect("ssh-keygen");
        assert!(told.status.success(), "{kind}: {told:?}");
        let deleted = fix(&["--choose", "what=delete", "-i", &path.display().to_string()]).exits(0).json();
        assert!(deleted["title"].as_str().is_some_and(|t| t.starts_with("delete key pair")), "{deleted}");
        assert!(path.exists(), "the private half stays");
    }
    assert_eq!(lab.diagnose("web-healthy").exit, 0, "the instance has not changed");
}

#[test]
fn local_files_are_mended_for_a_served_lab() {
    let lab = serve(&[]);
    let fix = |fix: &str, name: &str, more: &[&str]| lab.fix(fix, name, &[&["--yes", "--json"], more].concat());
    let done = fix("key-convert", "web-ppk", &[]).exits(0).json();
    assert_eq!((&done["verified"], &done["login_works"]), (&true.into(), &true.into()), "{done}");
    let made = done["created"][0].as_str().expect("a path").to_owned();
    // The configuration still names the PPK: the next fix puts the copy there.
    assert_eq!(lab.diagnose("web-ppk").exit, 1);
    fix("ssh-config-entry", "web-ppk", &[]).exits(0);
    assert_eq!(lab.diagnose("web-ppk").exit, 0);
    lab.home.run(&["undo", "--yes"]).exits(0);
    lab.home.run(&["undo", "--yes"]).exits(0);
    assert!(!std::path::Path::new(&made).exists());

    // The console log prints the new key: it is proven.
    let done = fix("known-hosts-update", "web-hostkey", &[]).exits(0).json();
    assert_eq!((&done["verified"], &done["login_works"]), (&true.into(), &true.into()), "{done}");
    assert_eq!(lab.diagnose("web-hostkey").exit, 0);
    lab.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(lab.diagnose("web-hostkey").exit, 1, "the fault is back");

    let done = fix("ssh-config-entry", "web-healthy", &[]).exits(0).json();
    assert_eq!(done["login_works"], true, "{done}");
    lab.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(lab.diagnose("web-healthy").exit, 0);
}

#[test]
fn repairs_inside_change_a_served_host_and_are_taken_back() {
    let lab = serve(&[]);
    let mut wrong = Vec::new();
    for (name, fix, cause) in [
        ("web-perms", "remote-repair-permissions", "home-perms"),
        ("web-traverse", "remote-repair-permissions", "home-not-traversable"),
        ("web-selinux", "remote-repair-permissions", "selinux-context"),
        ("web-config", "remote-sshd-repair", "sshd-config-invalid"),
        ("web-hostkeys", "remote-sshd-repair", "hostkeys-missing"),
        ("web-masked", "remote-sshd-repair", "sshd-not-installed-or-disabled"),
        ("web-nologin", "remote-sshd-repair", "nologin-file"),
        ("web-allowusers", "remote-sshd-repair", "sshd-allow-deny"),
        ("web-emptyfile", "remote-add-key", "authkeys-empty"),
        ("web-joined", "remote-add-key", "authkeys-joined-line"),
    ] {
        let config = std::fs::read_to_string(&lab.config).expect("the configuration");
        let block = config.split("\nHost ").find(|b| b.lines().next().is_some_and(|l| l.contains(name))).expect(name);
        let key = block.split("IdentityFile \"").nth(1).and_then(|k| k.split('"').next()).expect("a key");
        let look = || {
            let words = ["diagnose", name, "--json", "--inside", "-F", &lab.config, "--source-ip", &lab.source];
            Report::read(lab.home.run(&words))
        };
        let broken = |report: &Report| report.causes().iter().any(|c| c.starts_with(cause));
        let before = look();
        let done = lab.fix(fix, name, &["-i", key, "--yes", "--json"]);
        let works = done.exit == 0 && done.json()["login_works"] == true;
        let again = lab.fix(fix, name, &["-i", key, "--yes", "--json"]);
        let silent = again.exit == 0 && again.json()["entry"] == Value::Null;
        let undone = lab.home.run(&["undo", "--yes"]);
        let after = look();
        if !broken(&before) || !works || !silent || undone.exit != 0 || before.causes() != after.causes() {
            wrong.push(format!("{name}: {:?}, {done:#?}, {silent}, {undone:?}, {:?}", before.causes(), after.causes()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What was limited on purpose stays so.
    let from = lab.fix("remote-add-key", "web-from", &["--yes"]);
    assert!(from.exit != 0, "{from:?}");
}
