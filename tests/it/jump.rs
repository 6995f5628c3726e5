//! A login over jump hosts: real OpenSSH servers on loopback, the instance behind them in moto.
//!
//! A server of a normal user lets only that user in; asked about a key it answers for all. The instance's image is the
//! one whose user is root, so that a container's run sees the inner login too.

use crate::host::{Place, closed, sshd};
use crate::moto::{Moto, Spec, World};
use crate::program::{Home, Report};
use crate::sshd::{Sshd, keygen, me};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A home whose ssh_config has Host blocks for jump hosts, and keys for them and for the instance.
struct Way {
    home: Home,
    gate_key: PathBuf,
    key: PathBuf,
}

impl Way {
    fn new() -> Self {
        let home = Home::with(Moto::shared());
        let (gate_key, key) = (home.key("gate.pem"), home.key("web.pem"));
        Self { home, gate_key, key }
    }

    /// A jump host that takes the gate's key, with more lines for its configuration.
    fn gate(&self, more: &str) -> (Sshd, Place) {
        let ip = crate::host::address();
        let sshd = Sshd::start(&[&self.gate_key], &format!("ListenAddress {ip}\n{more}")).expect("sshd is needed");
        assert!(sshd.wait_for("Server listening", 2), "{}", sshd.text());
        let place = Place { ip, port: sshd.port };
        (sshd, place)
    }

    /// Puts lines before the home's configuration.
    fn block(&self, text: &str) {
        let path = self.home.path().join("ssh_config");
        let own = fs::read_to_string(&path).expect("ssh_config");
        fs::write(&path, format!("{text}\nHost *\n{own}")).expect("ssh_config");
    }

    fn host(&self, name: &str, place: Place, key: &Path, more: &str) {
        let (Place { ip, port }, me, key) = (place, me(), key.display());
        self.block(&format!(
            "Host {name}\n  HostName {ip}\n  Port {port}\n  User {me}\n  IdentityFile {key}\n  IdentitiesOnly yes\n{more}"
        ));
    }

    fn world(&self, name: &str, place: Place) -> World {
        Moto::shared().build(&Spec { young: true, ..Spec::new(name, place).key(&self.key) })
    }

    /// By the address: a Name tag or an id would mean the private one, which nothing here may dial.
    fn over(&self, jump: &str, world: &World) -> Report {
        self.home.report(&world.place.ip.to_string(), world, &["-i", &self.key.display().to_string(), "-J", jump])
    }

    fn known(&self, text: &str) {
        fs::write(self.home.path().join("known_hosts"), text).expect("known_hosts");
    }
}

/// `[address]:port` and the public half of a key file, as known_hosts has them.
fn known_line(place: Place, key: &Path) -> String {
    let public = fs::read_to_string(format!("{}.pub", key.display())).expect("a public key");
    format!("[{}]:{} {}", place.ip, place.port, public.split(' ').take(2).collect::<Vec<_>>().join(" "))
}

#[test]
fn a_login_over_a_jump_host_works_with_one_login_and_no_session_there() {
    let way = Way::new();
    let (gate, at) = way.gate("");
    let (inner, place) = sshd(&[&way.key]);
    way.host("gate", at, &way.gate_key, "");
    let world = way.world("behind", place);
    let report = way.over("gate", &world);
    assert_eq!((report.exit, &report.json["verdict"]), (0, &"healthy".into()), "{}", report.brief());
    for check in ["jump-host", "tcp-port", "ssh-banner", "server-takes-key"] {
        assert_eq!(report.check(check).0, "pass", "{check}: {}", report.brief());
    }
    assert!(report.check("tcp-port").1.contains("through gate"), "{}", report.brief());
    assert!(gate.wait_for("do_cleanup", 1), "{}", gate.text());
    let counts = ["Connection from", "Accepted publickey", "server_request_direct_tcpip", "Starting session"];
    assert_eq!(counts.map(|text| gate.lines(text)), [1, 1, 1, 0], "{}", gate.text());
    assert!(inner.wait_for("do_cleanup", 1), "{}", inner.text());
    assert_eq!(inner.lines("Connection from"), 1, "{}", inner.text());
}

#[test]
fn beside_an_emulator_no_jump_host_is_asked_for_an_address_that_may_be_a_strangers() {
    let way = Way::new();
    let (gate, at) = way.gate("");
    let (_inner, place) = sshd(&[&way.key]);
    way.host("gate", at, &way.gate_key, "");
    let world = way.world("stranger", place);
    let report = way.home.report(&world.instance, &world, &["-J", "gate"]);
    let (verdict, reason) = report.check("tcp-port");
    assert!(verdict == "cannot_tell" && reason.contains("10.77.1."), "the id means the private address: {reason}");
    assert!(gate.wait_for("Accepted publickey", 1), "{}", gate.text());
    assert_eq!(gate.lines("direct_tcpip"), 0, "{}", gate.text());
}

#[test]
fn a_proxy_command_that_only_forwards_is_a_jump_host_and_others_are_not_run() {
    let way = Way::new();
    let (_gate, at) = way.gate("");
    let (_inner, place) = sshd(&[&way.key]);
    let world = way.world("forwarder", place);
    let keep = fs::read_to_string(way.home.path().join("ssh_config")).expect("ssh_config");
    way.host("gate", at, &way.gate_key, "");
    way.block(&format!("Host {}\n  ProxyCommand ssh -q -W %h:%p gate", place.ip));
    let report = way.home.diagnose(&place.ip.to_string(), &world, &way.key);
    assert_eq!(report.exit, 0, "{}", report.brief());
    fs::write(way.home.path().join("ssh_config"), keep).expect("ssh_config");
    let ran = way.home.path().join("ran");
    way.block(&format!("Host {}\n  ProxyCommand touch {} %h %p", place.ip, ran.display()));
    let report = way.home.diagnose(&place.ip.to_string(), &world, &way.key);
    assert_eq!(report.check("tcp-port").0, "cannot_tell", "{}", report.brief());
    let (verdict, reason) = report.check("jump-host");
    assert_eq!(verdict, "cannot_tell", "{}", report.brief());
    assert!(reason.contains("ProxyCommand (touch "), "{reason}");
    assert!(!ran.exists(), "the user's program was run");
}

#[test]
fn two_jump_hosts_are_passed_one_through_the_other() {
    let way = Way::new();
    let ((first, near), (second, far)) = (way.gate(""), way.gate(""));
    let (_inner, place) = sshd(&[&way.key]);
    way.host("near", near, &way.gate_key, "");
    way.host("far", far, &way.gate_key, "");
    let world = way.world("chain", place);
    let report = way.over("near,far", &world);
    assert_eq!(report.exit, 0, "{}", report.brief());
    for gate in [&first, &second] {
        assert!(gate.wait_for("server_request_direct_tcpip", 1), "{}", gate.text());
        assert_eq!((gate.lines("Accepted publickey"), gate.lines("Starting session")), (1, 0), "{}", gate.text());
    }
    // The same way, written in the second one's own Host block.
    way.block("Host far\n  ProxyJump near");
    assert_eq!(way.over("far", &world).exit, 0);
    // And the second one refuses: it is named, and what came before it.
    let stranger = way.home.key("stranger.pem");
    way.host("far2", far, &stranger, "");
    let report = way.over("near,far2", &world);
    report.finds("proxyjump-broken proven", 1).names("proxyjump-broken", &["far2", "refuses"]);
}

#[test]
fn the_jump_host_refuses_the_key_of_its_host_block() {
    let way = Way::new();
    let (gate, at) = way.gate("");
    let (inner, place) = sshd(&[&way.key]);
    // The instance's key, given by -i, would open the gate, and ssh does not bring it there.
    let stranger = way.home.key("stranger.pem");
    way.host("gate", at, &stranger, "");
    let world = way.world("refused", place);
    let key = way.gate_key.display().to_string();
    let report = way.home.report(&world.place.ip.to_string(), &world, &["-i", &key, "-J", "gate"]);
    report.finds("proxyjump-broken proven", 1);
    let me = me();
    report.names("proxyjump-broken", &[&format!("refuses {me} with {}", stranger.display()), "-i ", "does not count"]);
    assert_eq!(report.json["symptom"], "proxy_failure");
    assert_eq!((report.check("jump-host").0, report.check("tcp-port").0), ("fail", "cannot_tell"));
    assert!(gate.wait_for("userauth-request for user", 1), "{}", gate.text());
    assert_eq!(gate.lines("Accepted publickey"), 0, "{}", gate.text());
    assert_eq!(inner.lines("Connection from"), 0, "{}", inner.text());
}

#[test]
fn the_jump_host_forwards_nothing() {
    for (name, more) in [("no-forwarding", "AllowTcpForwarding no"), ("not-there", "PermitOpen 192.0.2.1:22")] {
        let way = Way::new();
        let (_gate, at) = way.gate(more);
        let (inner, place) = sshd(&[&way.key]);
        way.host("gate", at, &way.gate_key, "");
        let world = way.world(name, place);
        let report = way.over("gate", &world);
        report.finds("proxyjump-broken proven", 1).names("proxyjump-broken", &["AllowTcpForwarding", "lets you in"]);
        assert_eq!(inner.lines("Connection from"), 0, "{more}: {}", inner.text());
    }
}

#[test]
fn nobody_listens_behind_the_jump_host() {
    let way = Way::new();
    let (_gate, at) = way.gate("");
    way.host("gate", at, &way.gate_key, "");
    // Not one that may still boot.
    let world = Moto::shared().build(&Spec::new("behind-closed", closed()));
    let report = way.over("gate", &world);
    assert!(report.first().starts_with("sshd-not-listening "), "{}", report.brief());
    assert!(!report.causes().iter().any(|c| c.starts_with("proxyjump-broken")), "{}", report.brief());
    assert_eq!((report.check("jump-host").0, report.check("tcp-port").0), ("pass", "fail"), "{}", report.brief());
    assert_eq!(report.json["symptom"], "proxy_failure");
}

#[test]
fn nothing_is_offered_to_a_jump_host_whose_key_changed_or_is_revoked() {
    for revoked in [false, true] {
        let way = Way::new();
        let (gate, at) = way.gate("");
        let (_inner, place) = sshd(&[&way.key]);
        way.host("gate", at, &way.gate_key, "");
        let line = if revoked {
            let own = known_line(at, &gate.host_key("ed25519"));
            format!("@revoked {own}\n{own}\n")
        } else {
            format!("{}\n", known_line(at, &way.key))
        };
        way.known(&line);
        let world = way.world(if revoked { "gate-revoked" } else { "gate-changed" }, place);
        let report = way.over("gate", &world);
        report.finds("proxyjump-broken proven", 1).names("proxyjump-broken", &["ssh refuses to go on"]);
        assert!(gate.wait_for("do_cleanup", 1), "{}", gate.text());
        assert_eq!(gate.lines("userauth-request"), 0, "{}", gate.text());
    }
}

#[test]
fn nothing_is_offered_behind_the_jump_host_to_a_server_whose_key_changed() {
    let way = Way::new();
    let (_gate, at) = way.gate("");
    let (inner, place) = sshd(&[&way.key]);
    way.host("gate", at, &way.gate_key, "");
    way.known(&format!("{}\n", known_line(place, &way.gate_key)));
    let world = way.world("inner-key", place);
    let report = way.over("gate", &world);
    report.finds("host-key-changed-unverified proven", 1);
    assert!(inner.wait_for("do_cleanup", 1), "{}", inner.text());
    assert_eq!(inner.lines("userauth-request"), 0, "{}", inner.text());
}

#[test]
fn the_key_behind_the_jump_host_is_refused() {
    let way = Way::new();
    let (_gate, at) = way.gate("");
    let other = way.home.key("other.pem");
    let (_inner, place) = sshd(&[&other]);
    way.host("gate", at, &way.gate_key, "");
    let world = way.world("inner-refused", place);
    let report = way.over("gate", &world);
    assert_eq!(report.exit, 1, "{}", report.brief());
    assert!(!report.causes().iter().any(|c| c.starts_with("proxyjump-broken")), "{}", report.brief());
    assert_eq!((report.check("jump-host").0, report.check("server-takes-key").0), ("pass", "fail"));
}

/// An agent in the foreground, ended with the test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_agent_signs_for_the_jump_host() {
    let mut way = Way::new();
    let locked = keygen(way.home.path(), "locked.pem", &["-t", "ed25519"], "secret words");
    let open = way.home.path().join("open.pem");
    fs::copy(&locked, &open).expect("a copy");
    let status =
        Command::new("ssh-keygen").args(["-q", "-p", "-P", "secret words", "-N", "", "-f"]).arg(&open).status();
    assert!(status.expect("ssh-keygen").success());
    way.gate_key.clone_from(&locked);
    let (gate, at) = way.gate("");
    let (_inner, place) = sshd(&[&way.key]);
    way.host("gate", at, &locked, "");
    let world = way.world("agent", place);
    // Nobody can unlock it here: the gate would take it, and that is all that can be said.
    let report = way.over("gate", &world);
    assert_eq!((report.exit, report.check("jump-host").0), (3, "cannot_tell"), "{}", report.brief());
    assert_eq!(gate.lines("Accepted publickey"), 0, "{}", gate.text());
    let socket = way.home.path().join("agent");
    let child = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn();
    let _agent = Agent(child.expect("ssh-agent is needed: install openssh-client"));
    let begun = Instant::now();
    while !socket.exists() && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let added = Command::new("ssh-add").arg("-q").arg(&open).env("SSH_AUTH_SOCK", &socket).status();
    assert!(added.expect("ssh-add").success());
    way.home = way.home.set("SSH_AUTH_SOCK", &socket.display().to_string());
    let report = way.over("gate", &world);
    assert_eq!(report.exit, 0, "{}", report.brief());
    assert!(gate.wait_for("Accepted publickey", 1), "{}", gate.text());
}
