//! `port22 shell` as a program: on a terminal of its own, and in pipes; against the practice account and the service that
//! has faults.

use super::cli::{ID, program, proxied as piped};
use super::*;
use crate::program::PORT22;
use port22::lab::{Lab, LabOptions};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::process::Command;

/// A lab, and a home for its user.
async fn lab() -> (Lab, TempDir) {
    let lab = Lab::start(LabOptions { transition: Duration::from_millis(300), ..LabOptions::default() });
    (lab.await.expect("a lab"), tempfile::tempdir().expect("a directory"))
}

fn in_lab(lab: &Lab, home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PORT22);
    let path = std::env::var("PATH").unwrap_or_default();
    command.args(arguments).env_clear().envs(lab.environment()).env("HOME", home).env("PATH", path).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command on a terminal of its own, through these steps. `None` without Python.
async fn on_terminal(command: &Command, steps: Value) -> Option<Value> {
    let plain = command.as_std();
    let mut driver = Command::new("python3");
    driver.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/ssm/terminal.py")).arg(steps.to_string());
    driver.arg(plain.get_program()).args(plain.get_args()).env_clear().env("TERM", "xterm").kill_on_drop(true);
    driver.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    let out = match driver.output().await {
        Ok(out) => out,
        Err(_) if std::env::var_os("CI").is_none() => return None,
        Err(e) => panic!("python3 is needed: {e}"),
    };
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(serde_json::from_slice(&out.stdout).expect("a report"))
}

#[track_caller]
fn shows(report: &Value, text: &str) {
    assert!(report["shown"].as_str().is_some_and(|shown| shown.contains(text)), "no {text:?} in {report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_raw_follows_the_window_and_is_given_back() {
    let (lab, home) = lab().await;
    let command = in_lab(&lab, home.path(), &["shell", "web-healthy", "--door", "ssm"]);
    let steps = json!([
        ["wait", "sh-5.2$ "],
        ["type", "stty size\r"],
        ["wait", "\r\n30 100\r\n"],
        ["size", 40, 132],
        ["freeze", 0.5],
        ["type", "stty size\r"],
        ["wait", "\r\n40 132\r\n"],
        // Ctrl-C is the remote side's.
        ["type", "half\u{3}"],
        ["wait", "^C\r\nsh-5.2$ "],
        ["type", "~/none\r"],
        ["wait", "~/none: command not found"],
        ["type", "exit 3\r"],
    ]);
    let Some(report) = on_terminal(&command, steps).await else { return };
    assert_eq!((&report["raw"], &report["restored"]), (&true.into(), &true.into()), "{report}");
    // A shell of Session Manager tells no status.
    assert_eq!(report["status"], 0, "{report}");
    shows(&report, "Session Manager, web-healthy: closed");
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_given_back_however_it_ends() {
    let (lab, home) = lab().await;
    let command = in_lab(&lab, home.path(), &["shell", "web-healthy", "--door", "ssm"]);
    for (last, status) in [
        (json!(["signal", "TERM"]), 143),
        (json!(["signal", "HUP"]), 129),
        (json!(["signal", "QUIT"]), 131),
        (json!(["type", "\r~."]), 255),
    ] {
        let Some(report) = on_terminal(&command, json!([["wait", "sh-5.2$ "], last])).await else { return };
        assert_eq!((&report["status"], &report["restored"]), (&json!(status), &true.into()), "{last}: {report}");
    }
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_dies_leaves_a_usable_terminal() {
    let home = tempfile::tempdir().expect("a directory");
    let screen = "printf '\\033[?1049h\\033[?25l\\033[?1000h full screen'; while read -r line; do echo \"$line\"; done";
    let faults = Faults { cuts: vec![14], resume: Some("DoesNotExistException".to_owned()), ..Faults::default() };
    let fake = service(Opening::Plain, Backend::Shell(screen.to_owned()), faults).await;
    let command = program(&fake, home.path(), &["shell", ID, "--door", "ssm"]);
    let mut steps = vec![json!(["wait", "full screen"])];
    steps.extend((0..8).flat_map(|_| [json!(["type", "key\r"]), json!(["freeze", 0.1])]));
    let Some(report) = on_terminal(&command, steps.into()).await else { return };
    assert_eq!((&report["raw"], &report["restored"]), (&true.into(), &true.into()), "{report}");
    assert_eq!(report["status"], 255, "{report}");
    shows(&report, "\u{1b}[?25h\u{1b}[?1000l\u{1b}[?1049l");
    shows(&report, "could not be taken up again: the session does not exist any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_cut_goes_on_in_the_terminal() {
    let home = tempfile::tempdir().expect("a directory");
    let script = "printf 'ready$ '; while read -r line; do [ \"$line\" = exit ] && exit; echo \"got $line\"; done";
    let faults = Faults { cuts: vec![9, 20], code: Some(1000), lose: 13, ..Faults::default() };
    let fake = service(Opening::Plain, Backend::Shell(script.to_owned()), faults).await;
    let command = program(&fake, home.path(), &["shell", ID, "--door", "ssm"]);
    let mut steps = vec![json!(["wait", "ready$ "])];
    // A line feed ends a line for a shell without a terminal.
    for n in 0..12 {
        steps.extend([json!(["type", format!("line {n}\u{a}")]), json!(["wait", format!("got line {n}")])]);
    }
    steps.push(json!(["type", "exit\u{a}"]));
    let Some(report) = on_terminal(&command, steps.into()).await else { return };
    assert_eq!((&report["status"], &report["restored"]), (&0.into(), &true.into()), "{report}");
    shows(&report, "connected again");
    assert!(fake.seen(|s| s.calls.contains(&"ResumeSession".to_owned())), "it was not cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_gives_its_output_its_errors_and_its_status() {
    let (lab, home) = lab().await;
    for (line, status, out, err) in [
        ("echo 'a b'; exit 7", 7, "a b\n", ""),
        ("seq 3000", 0, "1\n2\n3\n", ""),
        ("nonsense", 127, "", "nonsense: command not found\n"),
    ] {
        let command = in_lab(&lab, home.path(), &["shell", "web-healthy", "--door", "ssm", "--", line]);
        let (exit, stdout, stderr) = piped(command, b"").await;
        let stdout = String::from_utf8(stdout).expect("text");
        assert!(stdout.starts_with(out) && stderr.ends_with(err), "{line}: {stdout:?} {stderr:?}");
        assert_eq!(exit, Some(status), "{line}: {stderr}");
        assert!(line != "seq 3000" || stdout.ends_with("\n2999\n3000\n"), "{} bytes", stdout.len());
    }
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_no_input_and_an_unknown_status_is_no_success() {
    let home = tempfile::tempdir().expect("a directory");
    let actions =
        json!([{ "ActionType": "SessionType", "ActionParameters": { "SessionType": "NonInteractiveCommands" } }]);
    let opening = Opening::Handshake { version: NEW.to_owned(), actions };
    let fake = service(opening, Backend::Shell("echo out; sleep 1".to_owned()), Faults::default()).await;
    let command = program(&fake, home.path(), &["shell", ID, "--door", "ssm", "--", "it's", "|", "wc"]);
    let (exit, stdout, stderr) = piped(command, b"not taken").await;
    assert_eq!((exit, stdout.as_slice()), (Some(255), b"out\n".as_slice()), "{stderr}");
    assert!(stderr.contains("no standard input") && stderr.contains("did not tell its exit status"), "{stderr}");
    // The agent splits words and runs no shell.
    let words = r"sh -c 'it'\''s | wc'";
    assert_eq!(fake.seen(|s| s.starts[0]["Parameters"]["command"][0].clone()), words);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_is_typed_and_its_end_ends_the_shell() {
    let (lab, home) = lab().await;
    let command = in_lab(&lab, home.path(), &["shell", "web-healthy", "--door", "ssm"]);
    let (exit, stdout, stderr) = piped(command, b"whoami\nhostname").await;
    let stdout = String::from_utf8(stdout).expect("text");
    assert_eq!((exit, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.contains("\r\nssm-user\r\n") && stdout.contains("\r\nip-"), "{stdout}");
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cheapest_open_door_is_found_and_named() {
    let (lab, home) = lab().await;
    let config = lab.config_file().display().to_string();
    let source = lab.source_ip().to_string();
    let words = ["shell", "web-timeout", "-F", &config, "--source-ip", &source, "--read-only", "--", "id", "-u"];
    let (exit, stdout, stderr) = piped(in_lab(&lab, home.path(), &words), b"").await;
    assert_eq!((exit, stdout.as_slice()), (Some(0), b"1001\n".as_slice()), "{stderr}");
    assert_eq!(stderr, "port22: through Session Manager (the SSM agent is online)\n");
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_opened_is_said() {
    let (lab, home) = lab().await;
    for (words, status, said) in [
        (vec!["shell", "web-ssmnorole", "--door", "ssm"], 255, "is not connected to Session Manager"),
        (vec!["shell", "nobody-has-this", "--door", "ssm"], 2, "nobody-has-this"),
        (
            vec!["shell", "web-healthy", "--door", "serial", "--read-only"],
            4,
            "read-only: the serial console pushes a key",
        ),
        (
            vec!["shell", "web-healthy", "--door", "eic", "--read-only"],
            4,
            "read-only: EC2 Instance Connect pushes a key",
        ),
        (vec!["shell", "web-healthy", "--door", "none"], 2, "possible values"),
        (vec!["shell", "web-healthy", "--door", "ssh", "--use-plugin"], 2, "it is for Session Manager only"),
    ] {
        let (exit, stdout, stderr) = piped(in_lab(&lab, home.path(), &words), b"").await;
        assert_eq!((exit, stdout.len()), (Some(status), 0), "{words:?}: {stderr}");
        assert!(stderr.contains(said), "{words:?}: {stderr}");
    }
    let mut command = in_lab(&lab, home.path(), &["shell", "web-healthy", "--use-plugin"]);
    command.env("PATH", home.path());
    let (exit, _, stderr) = piped(command, b"").await;
    assert_eq!(exit, Some(2));
    assert!(stderr.contains("session-manager-plugin is not installed"), "{stderr}");
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_demands_kms_is_named() {
    let home = tempfile::tempdir().expect("a directory");
    let actions = json!([
        { "ActionType": "SessionType", "ActionParameters": { "SessionType": "Standard_Stream" } },
        { "ActionType": "KMSEncryption", "ActionParameters": { "KMSKeyId": "k" } },
    ]);
    let opening = Opening::Handshake { version: NEW.to_owned(), actions };
    let fake = service(opening, Backend::Echo, Faults::default()).await;
    let (exit, stdout, stderr) = piped(program(&fake, home.path(), &["shell", ID, "--door", "ssm"]), b"").await;
    assert_eq!((exit, stdout.len()), (Some(255), 0));
    assert!(stderr.contains("KMS") && stderr.contains("--use-plugin"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plug_in_gets_what_the_aws_cli_gives_it() {
    let home = tempfile::tempdir().expect("a directory");
    let fake = service(Opening::Plain, Backend::Echo, Faults::default()).await;
    let plugin = home.path().join("session-manager-plugin");
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && { echo 1.2.764.0; exit; }\n\
        for word; do echo \"[$word]\"; done; echo \"$AWS_SSM_START_SESSION_RESPONSE\"; cat; exit 5\n";
    std::fs::write(&plugin, script).expect("a file");
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o700)).expect("its mode");
    let mut command = program(&fake, home.path(), &["shell", ID, "--use-plugin"]);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", home.path().display()));
    let (exit, stdout, stderr) = piped(command, b"typed").await;
    let stdout = String::from_utf8(stdout).expect("text");
    assert_eq!(exit, Some(5), "{stdout}{stderr}");
    let request = format!(r#"[{{"Reason":"port22","Target":"{ID}"}}]"#);
    let expected = [
        "[AWS_SSM_START_SESSION_RESPONSE]",
        "[eu-west-1]",
        "[StartSession]",
        "[]",
        &request,
        &format!("[{}]", fake.endpoint),
    ];
    assert!(stdout.lines().take(6).eq(expected), "{stdout}");
    assert!(stdout.contains(r#""TokenValue":"token-1""#) && stdout.ends_with("typed"), "{stdout}");
    assert_eq!(fake.seen(|s| s.calls.clone()), ["StartSession", "TerminateSession"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_leaves_ends_the_session() {
    let home = tempfile::tempdir().expect("a directory");
    let fake = service(Opening::Plain, Backend::Shell("yes".to_owned()), Faults::default()).await;
    let mut child = program(&fake, home.path(), &["shell", ID, "--door", "ssm"]).spawn().expect("port22");
    let mut stdout = child.stdout.take().expect("piped");
    let mut some = [0; 100];
    within(20, stdout.read_exact(&mut some)).await.expect("output");
    drop(stdout);
    let status = within(20, child.wait()).await.expect("its end");
    assert_eq!(status.code(), Some(141));
    assert!(fake.seen(|s| s.calls.contains(&"TerminateSession".to_owned())), "the shell would live on");
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_goes_through_the_practice_accounts_agent() {
    let (lab, home) = lab().await;
    let config = lab.config_file().display().to_string();
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", &config, "-o", "BatchMode=yes", "-o", &format!("ProxyCommand={PORT22} proxy web-healthy %p")]);
    ssh.args(["web-healthy", "whoami; seq 2000"]).env_clear().envs(lab.environment()).env("HOME", home.path());
    ssh.env("PATH", std::env::var("PATH").unwrap_or_default()).kill_on_drop(true).stdin(Stdio::null());
    let out = within(60, ssh.output()).await.expect("ssh");
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.starts_with("ec2-user\n1\n2\n") && text.ends_with("\n2000\n"), "{} bytes", text.len());
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forward_reaches_the_practice_hosts_ports() {
    let (lab, home) = lab().await;
    let port = lab.ssh_port().to_string();
    let mut child = in_lab(&lab, home.path(), &["forward", "web-healthy", &port]).spawn().expect("port22");
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stdout.take().expect("piped")));
    let line = within(30, lines.next_line()).await.expect("a line").expect("an address");
    for _ in 0..3 {
        let mut stream = tokio::net::TcpStream::connect(&line).await.expect("a connection");
        let mut greeting = [0; 8];
        within(10, stream.read_exact(&mut greeting)).await.expect("a greeting");
        assert_eq!(&greeting, b"SSH-2.0-");
    }
    child.kill().await.expect("ended");
    lab.stop().await;
}

/// What the agent says before a command with separate streams.
fn plain_command() -> Opening {
    let actions =
        json!([{ "ActionType": "SessionType", "ActionParameters": { "SessionType": "NonInteractiveCommands" } }]);
    Opening::Handshake { version: NEW.to_owned(), actions }
}

fn kill(name: &str, child: &tokio::process::Child) {
    let pid = child.id().expect("a process").to_string();
    assert!(std::process::Command::new("kill").args([name, &pid]).status().expect("kill").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_takes_no_bytes_is_given_back() {
    let home = tempfile::tempdir().expect("a directory");
    let fake = service(Opening::Plain, Backend::Shell("echo ready; yes".to_owned()), Faults::default()).await;
    let command = program(&fake, home.path(), &["shell", ID, "--door", "ssm"]);
    // Nobody reads what is shown from the freeze on: the terminal is full.
    let steps = json!([["wait", "ready"], ["freeze", 1.5], ["signal", "TERM"], ["given", 15]]);
    let Some(report) = on_terminal(&command, steps).await else { return };
    let of = |name: &str| report[name].clone();
    assert_eq!((of("raw"), of("given"), of("status")), (true.into(), true.into(), 143.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_output_nobody_reads_any_more_is_over() {
    let home = tempfile::tempdir().expect("a directory");
    // Its standard error stays open and silent.
    let script = "echo first; sleep 1; while echo more; do sleep 0.2; done";
    let fake = service(plain_command(), Backend::Shell(script.to_owned()), Faults::default()).await;
    let mut child = program(&fake, home.path(), &["shell", ID, "--door", "ssm", "--", "x"]).spawn().expect("port22");
    let mut stdout = child.stdout.take().expect("piped");
    let mut line = [0; 6];
    within(20, stdout.read_exact(&mut line)).await.expect("a line");
    drop(stdout);
    let status = within(20, child.wait()).await.expect("its end");
    assert_eq!((&line, status.code()), (b"first\n", Some(141)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_goes_on_when_nobody_reads_its_errors() {
    let home = tempfile::tempdir().expect("a directory");
    let fake = service(plain_command(), Backend::Errors(5 << 20), Faults::default()).await;
    let mut child = program(&fake, home.path(), &["shell", ID, "--door", "ssm", "--", "x"]).spawn().expect("port22");
    drop(child.stderr.take());
    let mut out = Vec::new();
    within(40, child.stdout.take().expect("piped").read_to_end(&mut out)).await.expect("its output");
    assert_eq!(String::from_utf8_lossy(&out), "out\n");
    within(10, child.wait()).await.expect("its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_that_is_stopped_leaves_no_session() {
    let home = tempfile::tempdir().expect("a directory");
    let slow = Faults { slow_start: Duration::from_millis(1500), ..Faults::default() };
    // Before the service has answered, and before the agent has.
    for (faults, joined) in [(slow, false), (Faults::default(), true)] {
        for (signal, exit) in [("-TERM", 143), ("-INT", 130), ("-QUIT", 131), ("-HUP", 129)] {
            let fake = service(Opening::Plain, Backend::Silent, faults.clone()).await;
            let child = program(&fake, home.path(), &["shell", ID, "--door", "ssm"]).spawn().expect("port22");
            let begun = async {
                while fake.seen(|s| if joined { s.openings.is_empty() } else { s.calls.is_empty() }) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            within(20, begun).await;
            kill(signal, &child);
            let out = within(15, child.wait_with_output()).await.expect("its end");
            assert_eq!(out.status.code(), Some(exit), "{}", String::from_utf8_lossy(&out.stderr));
            let calls = fake.seen(|s| s.calls.clone());
            assert_eq!(calls, ["StartSession", "TerminateSession"], "{signal}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_that_takes_too_long_leaves_no_session() {
    let home = tempfile::tempdir().expect("a directory");
    for faults in [Faults { slow_start: Duration::from_millis(2500), ..Faults::default() }, Faults::default()] {
        let fake = service(Opening::Plain, Backend::Silent, faults).await;
        let command = program(&fake, home.path(), &["shell", ID, "--door", "ssm", "--timeout", "1"]);
        let (exit, _, stderr) = piped(command, b"").await;
        assert_eq!(exit, Some(255), "{stderr}");
        assert!(stderr.contains("it did not open in time"), "{stderr}");
        assert_eq!(fake.seen(|s| s.calls.clone()), ["StartSession", "TerminateSession"]);
    }
}
