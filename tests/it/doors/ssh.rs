//! A terminal by SSH: pty, size, exit status, signals, host keys, jump hosts, a connection that dies.

use super::{facts, soon, type_line, until, world};
use crate::sshd::{Sshd, keygen, me};
use port22::core::facts::Facts;
use port22::engine::failure::Failure;
use port22::engine::terminal::{Door, End, Opened, Wish};
use port22::engine::world::World as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A server with a key that it takes, and known_hosts that know it.
struct Host {
    dir: TempDir,
    sshd: Sshd,
    key: PathBuf,
}

impl Host {
    fn new(more: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let key = keygen(dir.path(), "key", &["-t", "ed25519"], "");
        let sshd = Sshd::start(&[&key], more).expect("sshd is needed");
        let host = Self { dir, sshd, key };
        host.know(host.sshd.port, &host.sshd.host_key("ed25519"));
        host
    }

    fn known_hosts(&self) -> PathBuf {
        self.dir.path().join("known_hosts")
    }

    fn know(&self, port: u16, key: &Path) {
        let public = fs::read_to_string(format!("{}.pub", key.display())).expect("a public key");
        let public: Vec<&str> = public.split(' ').take(2).collect();
        fs::write(self.known_hosts(), format!("[127.0.0.1]:{port} {}\n", public.join(" "))).expect("known_hosts");
    }

    async fn facts(&self, port: u16) -> Facts {
        facts(port, &self.known_hosts(), Some(&self.key)).await
    }

    async fn open(&self, size: Option<(u16, u16)>, command: Option<&str>) -> Result<Opened, Failure> {
        Box::pin(open(self.facts(self.sshd.port).await, size, command)).await
    }
}

async fn open(facts: Facts, size: Option<(u16, u16)>, command: Option<&str>) -> Result<Opened, Failure> {
    let command = command.map(str::to_owned);
    let wish = Wish { door: Door::Ssh, facts: Arc::new(facts), size, command, plugin: false };
    soon("opening", world().await.terminal(wish)).await
}

async fn run(host: &Host, command: &str) -> (Vec<u8>, Vec<u8>, End) {
    let mut opened = Box::pin(host.open(None, Some(command))).await.expect("a session");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut errors = opened.errors.take().expect("standard error apart");
    let both = async { tokio::join!(opened.output.read_to_end(&mut out), errors.read_to_end(&mut err)) };
    let (first, second) = soon("output", both).await;
    assert!(first.is_ok() && second.is_ok());
    (out, err, soon("end", opened.control.ended()).await)
}

#[tokio::test]
async fn a_shell_has_a_terminal_of_the_wanted_size_and_an_exit_status() {
    let host = Host::new("");
    let mut opened = Box::pin(host.open(Some((91, 33)), None)).await.expect("a terminal");
    assert!(opened.errors.is_none() && opened.title.contains("SSH"), "{opened:?}");
    type_line(&mut opened, "stty size; echo \"te\"\"rm=$TERM\"").await;
    let seen = until(&mut opened.output, "term=").await;
    assert!(seen.contains("33 91"), "{seen}");
    opened.control.resize(101, 44);
    // The size goes before the next keys.
    type_line(&mut opened, "sleep 0.3; stty size; echo do\"\"ne").await;
    let seen = until(&mut opened.output, "done").await;
    assert!(seen.contains("44 101"), "{seen}");
    type_line(&mut opened, "exit 7").await;
    let end = soon("end", opened.control.ended()).await;
    assert_eq!(end, End { status: Some(7), ..End::default() });
    assert_eq!(soon("the same end", opened.control.ended()).await, end);
    assert_eq!(soon("notices", opened.control.notice()).await, None);
}

#[tokio::test]
async fn a_command_keeps_its_streams_apart_and_tells_its_status_or_signal() {
    let host = Host::new("");
    let (out, err, end) = Box::pin(run(&host, "echo out; echo err >&2; exit 3")).await;
    // A server that logs what it does writes there too.
    assert_eq!((out.as_slice(), err.ends_with(b"err\n")), (&b"out\n"[..], true));
    assert_eq!(end, End { status: Some(3), ..End::default() });
    let (_, _, end) = Box::pin(run(&host, "kill -TERM $$")).await;
    assert_eq!(end, End { signal: Some("TERM".to_owned()), ..End::default() });
}

#[tokio::test]
async fn standard_input_ends_and_megabytes_come_back_whole() {
    let host = Host::new("");
    let mut opened = Box::pin(host.open(None, Some("cat"))).await.expect("a session");
    let sent: Vec<u8> = (0..6_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (mut input, mut output) = (opened.input, opened.output);
    let typed = async {
        input.write_all(&sent).await.expect("taken");
        input.shutdown().await.expect("ended");
    };
    let mut back = Vec::new();
    let read = output.read_to_end(&mut back);
    let ((), read) = soon("6 MB there and back", async { tokio::join!(typed, read) }).await;
    assert!(read.is_ok() && back == sent, "{} of {} bytes", back.len(), sent.len());
    assert_eq!(soon("end", opened.control.ended()).await.status, Some(0));
    opened.errors.take();
}

#[tokio::test]
async fn a_foreign_host_key_is_shown_no_key() {
    let host = Host::new("");
    let other = keygen(host.dir.path(), "other", &["-t", "ed25519"], "");
    host.know(host.sshd.port, &other);
    let failure = Box::pin(host.open(None, Some("true"))).await.expect_err("another host key");
    assert!(failure.reason.contains("another host key"), "{failure}");
    assert!(failure.next.contains("known-hosts-update"), "{failure}");
    assert!(host.sshd.wait_for("Connection from", 1));
    assert_eq!(host.sshd.lines("userauth-request"), 0, "{}", host.sshd.text());
}

#[tokio::test]
async fn an_unknown_host_key_is_not_taken_in_silence() {
    let host = Host::new("");
    fs::write(host.known_hosts(), "").expect("known_hosts");
    let failure = Box::pin(host.open(None, Some("true"))).await.expect_err("an unknown host key");
    assert!(failure.reason.contains("nothing vouches"), "{failure}");
    assert_eq!(host.sshd.lines("userauth-request"), 0, "{}", host.sshd.text());
    let mut facts = host.facts(host.sshd.port).await;
    let port22::core::fact::Fact::Known { value, .. } = &mut facts.local.config else { panic!() };
    value.strict_host_key_checking = Some("accept-new".to_owned());
    let opened = Box::pin(open(facts, None, Some("true"))).await.expect("the user said so");
    let notice = soon("notice", opened.control.notice()).await.expect("it is told");
    assert!(notice.contains("new to known_hosts"), "{notice}");
    assert_eq!(soon("end", opened.control.ended()).await.status, Some(0));
    assert_eq!(fs::read_to_string(host.known_hosts()).expect("known_hosts"), "", "nothing is written");
}

#[tokio::test]
async fn a_refused_key_and_a_closed_port_are_told_in_a_sentence() {
    let host = Host::new("");
    let stranger = keygen(host.dir.path(), "stranger", &["-t", "ed25519"], "");
    let facts = super::facts(host.sshd.port, &host.known_hosts(), Some(&stranger)).await;
    let failure = Box::pin(open(facts, None, None)).await.expect_err("a key that is not there");
    assert!(failure.reason.contains("takes none of the keys") && failure.reason.contains("stranger"), "{failure}");
    let facts = super::facts(crate::sshd::free_port(), &host.known_hosts(), Some(&host.key)).await;
    let failure = Box::pin(open(facts, None, None)).await.expect_err("a closed port");
    assert!(failure.reason.contains("refused") && failure.next.contains("port22 diagnose"), "{failure}");
}

/// Passes bytes on to a port until the sender is dropped.
async fn relay(to: u16) -> (u16, tokio::sync::oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let (cut, cutting) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        let (mut here, _) = listener.accept().await.expect("a client");
        let mut there = TcpStream::connect(("127.0.0.1", to)).await.expect("the server");
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut here, &mut there) => {}
            _ = cutting => {}
        }
    });
    (port, cut)
}

#[tokio::test]
async fn a_connection_that_dies_is_told() {
    let host = Host::new("");
    let (port, cut) = relay(host.sshd.port).await;
    host.know(port, &host.sshd.host_key("ed25519"));
    let mut opened = Box::pin(open(host.facts(port).await, Some((80, 24)), None)).await.expect("a terminal");
    type_line(&mut opened, "echo up\"\"now").await;
    until(&mut opened.output, "upnow").await;
    drop(cut);
    let end = soon("end", opened.control.ended()).await;
    assert!(end.trouble.as_deref().is_some_and(|t| t.contains("connection is lost")), "{end:?}");
    let mut rest = Vec::new();
    soon("end of output", opened.output.read_to_end(&mut rest)).await.expect("an end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_up_ends_it_and_so_does_dropping_it() {
    let host = Host::new("");
    let opened = Box::pin(host.open(Some((80, 24)), None)).await.expect("a terminal");
    opened.control.hang_up();
    let end = soon("end", opened.control.ended()).await;
    assert_eq!(end.trouble, None, "{end:?}");
    let opened = Box::pin(host.open(None, Some("sleep 600"))).await.expect("a session");
    drop(opened);
    assert!(host.sshd.wait_for("Received disconnect", 2), "{}", host.sshd.text());
}

#[tokio::test]
async fn a_protected_key_needs_its_passphrase_and_says_so() {
    let host = Host::new("");
    let locked = keygen(host.dir.path(), "locked", &["-t", "ed25519"], "secret words");
    let sshd = Sshd::start(&[&locked], "").expect("sshd is needed");
    host.know(sshd.port, &sshd.host_key("ed25519"));
    let facts = super::facts(sshd.port, &host.known_hosts(), Some(&locked)).await;
    let failure = Box::pin(open(facts.clone(), None, Some("true"))).await.expect_err("a passphrase is needed");
    assert!(failure.reason.contains("passphrase") && failure.next.contains("ssh-add"), "{failure}");
    port22::edge::passphrase::keep(&locked.display().to_string(), "secret words".to_owned().into());
    let opened = Box::pin(open(facts, None, Some("exit 4"))).await.expect("the passphrase is at hand");
    assert_eq!(soon("end", opened.control.ended()).await.status, Some(4));
}

#[tokio::test]
async fn a_jump_host_is_gone_through() {
    let host = Host::new("");
    let gate = Sshd::start(&[&host.key], "").expect("sshd is needed");
    let config = host.dir.path().join("config");
    let (me, key, known) = (me(), host.key.display(), host.known_hosts());
    let text = format!(
        "Host gate\n  HostName 127.0.0.1\n  Port {}\n  User {me}\n  IdentityFile {key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n",
        gate.port,
        known.display()
    );
    fs::write(&config, text).expect("config");
    let mut facts = host.facts(host.sshd.port).await;
    facts.target.config_file = Some(config.display().to_string());
    facts.target.jump = Some("gate".to_owned());
    let failure = Box::pin(open(facts.clone(), None, Some("true"))).await.expect_err("the gate is unknown");
    assert!(failure.reason.contains("jump host gate") && failure.reason.contains("nothing vouches"), "{failure}");
    assert!(failure.reason.contains("SHA256:") && failure.next.contains("ssh "), "{failure}");
    assert_eq!(gate.lines("userauth-request"), 0, "{}", gate.text());
    let mut lines = fs::read_to_string(&known).expect("known_hosts");
    host.know(gate.port, &gate.host_key("ed25519"));
    lines.push_str(&fs::read_to_string(&known).expect("known_hosts"));
    fs::write(&known, lines).expect("known_hosts");
    let mut opened = Box::pin(open(facts, None, Some("echo through"))).await.expect("a session");
    let mut out = String::new();
    soon("output", opened.output.read_to_string(&mut out)).await.expect("output");
    assert_eq!(out, "through\n");
    assert_eq!(soon("end", opened.control.ended()).await.status, Some(0));
    assert!(gate.wait_for("server_request_direct_tcpip", 1), "{}", gate.text());
}

#[tokio::test]
async fn every_jump_host_is_trusted_before_a_key_is_shown() {
    let host = Host::new("");
    let [gate, inner] = [(), ()].map(|()| Sshd::start(&[&host.key], "").expect("sshd is needed"));
    let line = |sshd: &Sshd| {
        host.know(sshd.port, &sshd.host_key("ed25519"));
        fs::read_to_string(host.known_hosts()).expect("known_hosts")
    };
    // The last two on the way are known, and the first one is not.
    let lines = [&inner, &host.sshd].map(line).concat();
    fs::write(host.known_hosts(), lines).expect("known_hosts");
    let config = host.dir.path().join("config");
    let (me, key, known) = (me(), host.key.display(), host.known_hosts());
    let block = |name: &str, port: u16| {
        format!(
            "Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  User {me}\n  IdentityFile {key}\n  \
             IdentitiesOnly yes\n  UserKnownHostsFile {}\n",
            known.display()
        )
    };
    let mut facts = host.facts(host.sshd.port).await;
    facts.target.config_file = Some(config.display().to_string());
    facts.target.jump = Some("gate,inner".to_owned());
    for more in ["", "  StrictHostKeyChecking yes\n"] {
        let text = format!("{}{more}{}", block("gate", gate.port), block("inner", inner.port));
        fs::write(&config, text).expect("config");
        let failure = Box::pin(open(facts.clone(), None, Some("true"))).await.expect_err("the gate is unknown");
        assert!(failure.reason.contains("at the jump host gate") && failure.reason.contains("SHA256:"), "{failure}");
        assert!(failure.next.contains("ssh ") && failure.next.contains("gate"), "{failure}");
    }
    assert_eq!((gate.lines("userauth-request"), inner.lines("Connection from")), (0, 0), "{}", gate.text());
}
