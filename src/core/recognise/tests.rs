//! Runs the recognisers over small texts made from the programs' own words.

use super::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct SshCases {
    case: Vec<SshCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SshCase {
    text: String,
    symptom: String,
    #[serde(default)]
    also: Vec<String>,
    client: Option<String>,
    hint: Option<String>,
    causes: Option<Vec<String>>,
    #[serde(default)]
    extract: toml::Table,
}

#[derive(Deserialize)]
struct ConsoleCases {
    case: Vec<ConsoleCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsoleCase {
    text: String,
    symptom: String,
    causes: Option<Vec<String>>,
    user: Option<String>,
    host_keys: Option<Vec<String>>,
    keys: Option<usize>,
    os: Option<String>,
    public_keys: Option<usize>,
    /// Too short to be told from a client's output.
    #[serde(default)]
    ssh: bool,
}

/// One file for each family of programs.
const SSH_FILES: &[&str] = &[
    include_str!("../../../tests/cases/recognise/ssh.toml"),
    include_str!("../../../tests/cases/recognise/ssh-openssh.toml"),
    include_str!("../../../tests/cases/recognise/ssh-putty.toml"),
    include_str!("../../../tests/cases/recognise/ssh-c-libraries.toml"),
    include_str!("../../../tests/cases/recognise/ssh-java.toml"),
    include_str!("../../../tests/cases/recognise/ssh-dotnet.toml"),
    include_str!("../../../tests/cases/recognise/ssh-go.toml"),
    include_str!("../../../tests/cases/recognise/ssh-ruby.toml"),
    include_str!("../../../tests/cases/recognise/ssh-rust-php.toml"),
    include_str!("../../../tests/cases/recognise/ssh-python.toml"),
    include_str!("../../../tests/cases/recognise/ssh-editors.toml"),
    include_str!("../../../tests/cases/recognise/ssh-aws.toml"),
    include_str!("../../../tests/cases/recognise/ssh-rdp.toml"),
    include_str!("../../../tests/cases/recognise/ssh-error-names.toml"),
    include_str!("../../../tests/cases/recognise/ssh-more-tools.toml"),
    include_str!("../../../tests/cases/recognise/ssh-elsewhere.toml"),
    include_str!("../../../tests/cases/recognise/ssh-ping.toml"),
    include_str!("../../../tests/cases/recognise/ssh-japanese.toml"),
    include_str!("../../../tests/cases/recognise/ssh-not-a-login.toml"),
    include_str!("../../../tests/cases/recognise/ssh-situations.toml"),
    include_str!("../../../tests/cases/recognise/ssh-wrappers.toml"),
    include_str!("../../../tests/cases/recognise/ssh-surroundings.toml"),
    include_str!("../../../tests/cases/recognise/ssh-languages.toml"),
    include_str!("../../../tests/cases/recognise/ssh-commands.toml"),
    include_str!("../../../tests/cases/recognise/ssh-causes.toml"),
    include_str!("../../../tests/cases/recognise/ssh-other-services.toml"),
    include_str!("../../../tests/cases/recognise/ssh-logged-in.toml"),
    include_str!("../../../tests/cases/recognise/ssh-addresses.toml"),
];

#[test]
fn ssh_cases() {
    let mut wrong = Vec::new();
    let cases: Vec<SshCase> =
        SSH_FILES.iter().flat_map(|file| toml::from_str::<SshCases>(file).unwrap().case).collect();
    assert!(cases.len() >= 1300);
    for case in cases {
        let answer = ssh(&case.text);
        let mut problems = Vec::new();
        if answer.symptom != case.symptom {
            problems.push(format!("symptom {} instead of {}", answer.symptom, case.symptom));
        }
        if !case.also.iter().all(|a| answer.also.contains(a)) {
            problems.push(format!("also {:?}", answer.also));
        }
        if case.client.as_ref().is_some_and(|c| *c != answer.client) {
            problems.push(format!("client {}", answer.client));
        }
        if case.hint.is_some() && case.hint != answer.login_user_hint {
            problems.push(format!("hint {:?}", answer.login_user_hint));
        }
        if case.causes.as_ref().is_some_and(|c| *c != answer.causes) {
            problems.push(format!("causes {:?}", answer.causes));
        }
        let named = toml::Table::try_from(&answer.extract).unwrap();
        for (field, value) in &case.extract {
            if named.get(field) != Some(value) {
                problems.push(format!("{field} {:?} instead of {value:?}", named.get(field)));
            }
        }
        if !problems.is_empty() {
            wrong.push(format!("{:?}: {}", case.text, problems.join("; ")));
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn surroundings_change_no_answer() {
    let quoted = |t: &str| t.lines().flat_map(|l| ["> \u{1b}[0;31m", l, "\u{1b}[0m\r\n"]).collect::<String>();
    let logged = |t: &str| t.lines().flat_map(|l| ["2026-11-21T10:00:00.123Z ", l, "\n"]).collect::<String>();
    let fenced = |t: &str| format!("EC2に接続しようとすると以下のエラーが出て困っています。\n```console\n{t}\n```\n");
    let named = |t: &str| t.replace("203.0.113.10", "old-bastion.auth-failed.example.org");
    let cases = SSH_FILES.iter().flat_map(|file| toml::from_str::<SshCases>(file).unwrap().case);
    let mut wrong = Vec::new();
    for case in cases.step_by(4) {
        for text in [quoted(&case.text), logged(&case.text), fenced(&case.text), named(&case.text)] {
            let answer = ssh(&text);
            if answer.symptom != case.symptom && !case.also.contains(&answer.symptom) {
                wrong.push(format!("{text:?}: {} instead of {}", answer.symptom, case.symptom));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn console_cases() {
    let cases: ConsoleCases = toml::from_str(include_str!("../../../tests/cases/recognise/console.toml")).unwrap();
    for case in cases.case {
        let answer = console(&case.text);
        assert_eq!(answer.symptom, case.symptom, "{:?} {:?}", case.text, answer.evidence);
        for cause in case.causes.iter().flatten() {
            assert!(answer.causes.contains(cause), "{:?} {:?}", case.text, answer.causes);
        }
        if case.causes.as_ref().is_some_and(Vec::is_empty) {
            assert!(answer.causes.is_empty(), "{:?} {:?}", case.text, answer.causes);
        }
        if case.user.is_some() {
            assert_eq!(answer.console_user, case.user, "{:?}", case.text);
        }
        if let Some(keys) = case.host_keys {
            assert_eq!(answer.host_keys, keys, "{:?}", case.text);
        }
        if let Some(keys) = case.keys {
            assert_eq!(answer.console_key_fingerprints.len(), keys, "{:?}", case.text);
        }
        if case.os.is_some() {
            assert_eq!(answer.os_name, case.os, "{:?}", case.text);
        }
        if let Some(keys) = case.public_keys {
            assert_eq!(answer.host_public_keys.len(), keys, "{:?}", case.text);
        }
        assert_eq!(
            identify(&case.text, None).kind,
            if case.ssh { Kind::Ssh } else { Kind::Console },
            "{:?}",
            case.text
        );
    }
}

#[test]
fn the_last_boot_counts() {
    let boot = |end: &str| {
        use std::fmt::Write;
        let mut log = String::from("[    0.000000] Linux version 6.1.0 (builder@example)\n");
        for i in 0..90 {
            writeln!(log, "[    0.{i:06}] pci 0000:00:00.0: probed").unwrap();
        }
        log + end
    };
    let broken = boot("You are in emergency mode.\n");
    let good = boot("ip-10-0-0-9 login: \n");
    assert_eq!(console(&format!("{broken}{good}")).symptom, "healthy");
    assert_eq!(console(&format!("{good}{broken}")).symptom, "fstab_emergency");
}

#[test]
fn the_kind_is_told_by_the_text() {
    let kind = |t: &str| identify(t, None).kind;
    assert_eq!(kind("[    0.000000] Linux version 6.1.0\n[  OK  ] Reached target Multi-User System."), Kind::Console);
    assert_eq!(kind("You are in emergency mode."), Kind::Console);
    assert_eq!(kind("ssh: connect to host a port 22: Connection refused"), Kind::Ssh);
    assert_eq!(kind("Last login: Mon Jan  5 10:00:00 2026 from 198.51.100.9"), Kind::Ssh);
    assert_eq!(kind(""), Kind::Ssh);
}

#[test]
fn anything_gives_an_answer() {
    let mut state: u64 = 0x2545_f491_4f6c_dd1d;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let words = [
        "ssh ",
        "-i ",
        "user@",
        "[",
        "]:",
        "\u{1b}[",
        "\u{1b}]",
        "Permission denied (",
        "日本",
        "\\r\\n",
        "\"",
        "debug1: ",
        "\n",
        "SHA256:",
        "port 99999",
    ];
    for round in 0..200_usize {
        let bytes: Vec<u8> = (0..round * 5).map(|_| random() as u8).collect();
        let mixed: String = (0..round).map(|_| words[random() as usize % words.len()]).collect();
        for text in [String::from_utf8_lossy(&bytes).into_owned(), mixed] {
            let answer = identify(&text, None);
            assert!(!answer.symptom.is_empty() && !answer.explanation.is_empty());
            assert!(!strip_controls(&text).contains('\u{1b}'));
            console(&text);
            command_line(&text);
        }
    }
}

#[test]
fn a_huge_text_is_cut_not_read() {
    let text = format!("{}\nssh: connect to host 198.51.100.1 port 22: Connection refused", "x y\n".repeat(2_000_000));
    assert_eq!(ssh(&text).symptom, "connection_refused");
    let long_line = "a".repeat(8_000_000);
    assert_eq!(ssh(&long_line).symptom, "other");
}
