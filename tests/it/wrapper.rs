//! `port22 ssh`: ssh's output, status, signals and stops as without it; the reason only where an instance refuses.

use crate::lab_cli::serve;
use crate::program::{Home, PORT22};
use crate::sshd::{Sshd, free_port, me};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn run(mut command: Command, home: &Path, input: &[u8]) -> Output {
    command.env("HOME", home).env("AWS_EC2_METADATA_DISABLED", "true").env_remove("SSH_AUTH_SOCK");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a program");
    let mut to = child.stdin.take().expect("its input");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || drop(to.write_all(&input)));
    let out = child.wait_with_output().expect("its end");
    writer.join().expect("the writer");
    out
}

/// The same arguments with ssh alone and through port22.
fn both(home: &Path, arguments: &[&str], input: &[u8]) -> (Output, Output) {
    let mut alone = Command::new("ssh");
    alone.args(arguments);
    let mut wrapped = Command::new(PORT22);
    wrapped.arg("ssh").args(arguments);
    (run(alone, home, input), run(wrapped, home, input))
}

#[test]
fn output_input_and_status_are_those_of_ssh() {
    let home = Home::new();
    let key = home.key("mine");
    let Some(sshd) = Sshd::start(&[&key], "") else { return };
    let (key, port, host) = (key.display().to_string(), sshd.port.to_string(), format!("{}@127.0.0.1", me()));
    let login = ["-F", "none", "-i", &key, "-p", &port, "-o", "StrictHostKeyChecking=no"];
    let login = [&login[..], &["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", &host]].concat();
    for (command, status) in [
        ("printf 'out\\0\\377'; printf 'err\\033[1m' >&2; exit 7", 7),
        ("cat", 0),
        ("exit 255", 255),
        ("head -c 300000 /dev/zero | tee /dev/stderr", 0),
    ] {
        let (alone, wrapped) = both(home.path(), &[&login[..], &[command]].concat(), b"typed \x00 \xff");
        assert_eq!(wrapped.status.code(), Some(status), "{command}");
        assert_eq!((alone.status, &alone.stdout, &alone.stderr), (wrapped.status, &wrapped.stdout, &wrapped.stderr));
    }
    let (alone, wrapped) = both(home.path(), &["-V"], b"");
    assert_eq!((alone.status, alone.stdout, alone.stderr), (wrapped.status, wrapped.stdout, wrapped.stderr));
    // Usage errors are ssh's own, and so is a host that is none of the account's.
    let nowhere = free_port().to_string();
    for words in [&["-p"][..], &["-o", "ConnectTimeout=5", "-F", "none", "-p", &nowhere, "127.0.0.1", "true"]] {
        let (alone, wrapped) = both(home.path(), words, b"");
        assert_eq!(alone.status, wrapped.status);
        assert_eq!(String::from_utf8_lossy(&alone.stderr), String::from_utf8_lossy(&wrapped.stderr));
    }
}

#[test]
fn a_refused_login_to_an_instance_is_explained_below_what_ssh_said() {
    let lab = serve(&[]);
    for (name, cause) in [("web-refused", "sshd-not-listening"), ("web-keymode", "key-perms-open")] {
        let alone = lab.home.run_other("ssh", &["-F", &lab.config, name, "true"]);
        let wrapped = lab.home.run(&["--source-ip", &lab.source, "ssh", "-F", &lab.config, name, "true"]).exits(255);
        let told = wrapped.stderr.strip_prefix(&alone.stderr).unwrap_or_else(|| panic!("{}", wrapped.stderr));
        let lines: Vec<&str> = told.lines().collect();
        assert!((2..=4).contains(&lines.len()) && lines.iter().all(|l| l.starts_with("port22: ")), "{told}");
        assert!(lines[0].contains(name) && lines[0].contains(cause), "{told}");
        assert_eq!(wrapped.stdout, "");
    }
    // A login that works is left alone.
    let wrapped = lab.home.run(&["ssh", "-F", &lab.config, "web-healthy", "true"]).exits(0);
    assert_eq!((wrapped.stdout.as_str(), wrapped.stderr.as_str()), ("", ""));
}

/// A program of ours named ssh, which the wrapper finds first.
fn with_own_ssh(home: &Home, script: &str) -> Command {
    let path = home.file("ssh", format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("its mode");
    let mut command = Command::new(PORT22);
    let search = format!("{}:{}", home.path().display(), std::env::var("PATH").unwrap_or_default());
    command.args(["ssh", "web-1"]).env("PATH", search).env("HOME", home.path()).stdin(Stdio::null());
    command
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The state letter of a process (proc(5)).
#[cfg(target_os = "linux")]
fn state(pid: &str) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('?')
}

fn signal(pid: &str, name: &str) {
    assert!(Command::new("kill").args([name, pid]).status().expect("kill").success());
}

fn pid_of(home: &Home, child: &mut Child) -> String {
    let file = home.path().join("pid");
    until("ssh starts", || {
        child.try_wait().expect("its state").is_none() && file.metadata().is_ok_and(|m| m.len() > 1)
    });
    fs::read_to_string(file).expect("a process id").trim().to_owned()
}

#[test]
#[cfg(target_os = "linux")]
fn signals_reach_ssh_and_a_stop_of_ssh_stops_the_wrapper() {
    let home = Home::new();
    let mut child = with_own_ssh(&home, "echo $$ > \"$HOME/pid\"; exec sleep 60").spawn().expect("port22");
    let (ours, ssh) = (child.id().to_string(), pid_of(&home, &mut child));
    signal(&ssh, "-TSTP");
    until("the wrapper stops, too", || state(&ours) == 'T');
    signal(&ours, "-CONT");
    until("and goes on", || state(&ours) != 'T');
    signal(&ssh, "-CONT");
    until("ssh goes on", || state(&ssh) != 'T');
    signal(&ours, "-TERM");
    // 128 and the number of the signal, as shells have it.
    let status = child.wait().expect("its end");
    assert_eq!((status.code(), status.signal()), (Some(143), None));
    assert_eq!(state(&ssh), '?', "ssh is gone");
}

#[test]
fn a_shared_connection_that_goes_on_in_the_background_is_not_waited_for() {
    let home = Home::new();
    let script = "sh -c 'echo $$ > \"$HOME/pid\"; exec sleep 60' & while ! [ -s \"$HOME/pid\" ]; do :; done; echo told >&2; exit 3";
    let mut command = with_own_ssh(&home, script);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("port22");
    assert_eq!(child.wait().expect("its end").code(), Some(3));
    let mut told = [0; 5];
    child.stderr.take().expect("messages").read_exact(&mut told).expect("five bytes");
    assert_eq!(&told, b"told\n");
    signal(fs::read_to_string(home.path().join("pid")).expect("a process id").trim(), "-KILL");
}
