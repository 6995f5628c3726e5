//! Causes that the practice account cannot act out, because they lie in the client's machine: a file system without
//! modes, a key of another owner, a resolver with an old record, a client without IPv6, an agent that will not sign.
//! Each is really made, in namespaces of its own, and the instance is the practice account's healthy one.
//!
//! Where the kernel does not let this user make one, the test says so in a sentence and ends.

use crate::lab_cli::{Serving, serve, serve_through};
use crate::program::{Home, Report};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const HEALTHY: &str = "web-healthy";

/// Whether a program ends well; `false` comes with a sentence.
fn works(program: &[&str], what: &str) -> bool {
    let ended = Command::new(program[0]).args(&program[1..]).stdin(Stdio::null()).output();
    let good = ended.as_ref().is_ok_and(|out| out.status.success());
    if !good {
        eprintln!("skipped: {what}: {ended:?}");
    }
    good
}

impl Serving {
    fn key(&self) -> PathBuf {
        Path::new(&self.config).with_file_name("keys").join("practice.pem")
    }

    /// The practice account's ssh_config with other words in it, as a file of its own.
    fn config_with(&self, from: &str, to: &str) -> String {
        let text = fs::read_to_string(&self.config).expect("ssh_config");
        assert!(text.contains(from), "{from} in {text}");
        let own = self.home.path().join("own_config");
        fs::write(&own, text.replace(from, to)).expect("a file");
        own.display().to_string()
    }

    fn healthy(&self, home: &Home, config: &str, more: &[&str], said: &[u8]) -> Report {
        let fixed = ["diagnose", HEALTHY, "--json", "-F", config, "--source-ip", &self.source];
        Report::read(home.run_with(&[&fixed[..], more].concat(), said))
    }
}

/// The block of the healthy host in an ssh_config.
fn block(config: &str) -> String {
    let text = fs::read_to_string(config).expect("ssh_config");
    let found = text.split("\nHost ").find(|b| b.lines().next().is_some_and(|l| l.contains(HEALTHY)));
    found.expect("a block").to_owned()
}

#[test]
fn a_key_on_a_file_system_without_modes() {
    if !works(&["unshare", "-rm", "true"], "no mount namespace can be made") {
        return;
    }
    let mut lab = serve(&["--scenario", HEALTHY]);
    let mount = lab.home.path().join("shared");
    fs::create_dir(&mount).expect("a directory");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/modeless.py").display().to_string();
    let (at, key) = (mount.display().to_string(), lab.key().display().to_string());
    let through = ["unshare", "-rm", "python3", &script, &at, &key];
    let tried = Command::new(through[0]).args(&through[1..]).arg("true").output().expect("python3");
    if tried.status.code() == Some(77) {
        eprintln!("skipped: {}", String::from_utf8_lossy(&tried.stderr));
        return;
    }
    lab.home = std::mem::replace(&mut lab.home, Home::new()).through(&through);
    let shared = mount.join("practice.pem").display().to_string();
    let report = lab.healthy(&lab.home, &lab.config, &["-i", &shared], b"");
    report.finds("key-perms-unfixable-fs proven", 1).names("key-perms-unfixable-fs", &[&shared, "0777", "vmhgfs"]);
    assert_eq!(report.json["symptom"], "unprotected_key");
}

#[test]
fn a_key_that_belongs_to_another_user() {
    if !works(&["unshare", "-r", "true"], "no user namespace can be made") {
        return;
    }
    let mut lab = serve(&["--scenario", HEALTHY]);
    let theirs = lab.home.file("theirs.pem", fs::read(lab.key()).expect("the key"));
    // A user that the namespace does not know: its root is nobody to this file.
    if let Err(error) = std::os::unix::fs::chown(&theirs, Some(12_345), Some(12_345)) {
        eprintln!("skipped: a file of another user takes root: {error}");
        return;
    }
    let config = lab.config_with(&lab.key().display().to_string(), &theirs.display().to_string());
    lab.home = std::mem::replace(&mut lab.home, Home::new()).through(&["unshare", "-r"]);
    let report = lab.healthy(&lab.home, &config, &[], b"");
    report.finds("key-unreadable-owner proven", 1).names("key-unreadable-owner", &["theirs.pem", "Permission denied"]);
}

#[test]
fn a_name_that_still_leads_to_the_old_address() {
    if !works(&["unshare", "-rm", "true"], "no mount namespace can be made") {
        return;
    }
    // Beside an emulator only this one name is looked up; here the resolver has another address for it. It is one of
    // the account's: the one that web-restarted gave back.
    let mut lab = serve(&[]);
    let text = fs::read_to_string(&lab.config).expect("ssh_config");
    let old = text.split("\nHost ").find(|b| b.contains(" web-restarted ")).expect("a block");
    let old = old.split_once("HostName ").and_then(|(_, rest)| rest.lines().next()).expect("an address");
    let hosts = lab.home.file("hosts", format!("{old} localhost\n"));
    let own = block(&lab.config);
    let address = own.split_once("HostName ").and_then(|(_, rest)| rest.lines().next()).expect("an address");
    let config = lab.config_with(&format!("HostName {address}\n"), "HostName localhost\n");
    let mount = format!("mount --bind {} /etc/hosts && exec \"$0\" \"$@\"", hosts.display());
    lab.home = std::mem::replace(&mut lab.home, Home::new()).through(&["unshare", "-rm", "sh", "-c", &mount]);
    let report = lab.healthy(&lab.home, &config, &[], b"");
    report.finds("dns-stale proven", 1).names("dns-stale", &[old, "what the name resolves to", address]);
    assert_eq!(report.json["symptom"], "timeout");
}

#[test]
fn an_ipv6_address_and_no_way_to_it() {
    let network = ["unshare", "-rn", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""];
    if !works(&[&network[..], &["true"]].concat(), "no network namespace can be made") {
        return;
    }
    // A machine of its own with the loopback interface alone: no packet to a strange address leaves it.
    let mut lab = serve_through(&network, &["--scenario", HEALTHY]);
    let process = lab.child.id().to_string();
    let there = ["nsenter", "-t", &process, "-U", "-n", "--preserve-credentials", "--"];
    lab.home = std::mem::replace(&mut lab.home, Home::new()).through(&there);
    let report = lab.healthy(&lab.home, &lab.config, &[], b"");
    assert_eq!(report.exit, 0, "{}", report.brief());
    let own = block(&lab.config);
    let address = own.split_once("HostName ").and_then(|(_, rest)| rest.lines().next()).expect("an address");
    let config = lab.config_with(&format!("HostName {address}\n"), "HostName 2001:db8::7\n");
    let ssh = Command::new(there[0])
        .args(&there[1..])
        .args(["ssh", "-F", &config, "-o", "BatchMode=yes", HEALTHY, "true"])
        .stdin(Stdio::null())
        .output()
        .expect("ssh");
    assert_eq!(ssh.status.code(), Some(255), "{ssh:?}");
    let report = lab.healthy(&lab.home, &config, &[], &ssh.stderr);
    report.finds("ipv6-path-incomplete proven", 1).names("ipv6-path-incomplete", &["2001:db8::7", "no IPv6 address"]);
    assert_eq!(report.json["symptom"], "no_route", "{}", report.brief());
}

#[test]
fn an_agent_that_will_not_sign() {
    let mut lab = serve(&["--scenario", HEALTHY]);
    let key = lab.home.file("held.pem", fs::read(lab.key()).expect("the key"));
    let public = Command::new("ssh-keygen").arg("-yf").arg(&key).output().expect("ssh-keygen");
    fs::write(key.with_extension("pem.pub"), public.stdout).expect("its public half");
    let socket = lab.home.path().join("agent");
    let agent = Command::new("ssh-agent")
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .env_remove("DISPLAY")
        .env("SSH_ASKPASS", "/bin/false")
        .stdout(Stdio::null())
        .spawn();
    assert!(agent.is_ok() || std::env::var_os("CI").is_none(), "ssh-agent is needed: install openssh-client");
    let Ok(mut agent) = agent else { return };
    for _ in 0..500 {
        if socket.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // -c: the agent asks somebody before each signature, and nobody is there to say yes.
    let added = Command::new("ssh-add").args(["-q", "-c"]).arg(&key).env("SSH_AUTH_SOCK", &socket).status();
    assert!(added.expect("ssh-add").success());
    fs::remove_file(&key).expect("only the agent has it now");
    let public = key.with_extension("pem.pub");
    fs::set_permissions(&public, fs::Permissions::from_mode(0o600)).expect("its mode");
    let config = lab.config_with(&lab.key().display().to_string(), &public.display().to_string());
    let ssh = Command::new("ssh")
        .args(["-F", &config, "-o", "BatchMode=yes", HEALTHY, "true"])
        .env("SSH_AUTH_SOCK", &socket)
        .stdin(Stdio::null())
        .output()
        .expect("ssh");
    assert_eq!(ssh.status.code(), Some(255), "{ssh:?}");
    let at = socket.display().to_string();
    lab.home = std::mem::replace(&mut lab.home, Home::new()).set("SSH_AUTH_SOCK", &at);
    let report = lab.healthy(&lab.home, &config, &[], &ssh.stderr);
    let said = String::from_utf8_lossy(&ssh.stderr).into_owned();
    report.finds("agent-sign-failed proven", 1).names("agent-sign-failed", &["agent refused operation"]);
    assert!(said.contains("agent refused operation"), "{said}");
    let _ = agent.kill();
    let _ = agent.wait();
}
