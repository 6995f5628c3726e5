//! The catalogue against the code: every id that a rule, a check or the design names has its words.

use crate::contract::{CONSOLE_SYMPTOMS, SSH_SYMPTOMS};
use port22::core::catalogue::Catalogue;
use port22::core::{fixes, rules};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Fix ids of the contract.
const FIXES: &[&str] = &[
    "key-chmod",
    "key-convert",
    "known-hosts-update",
    "ssh-config-entry",
    "sg-allow-my-ip",
    "nacl-allow-my-ip",
    "route-to-igw",
    "igw-attach",
    "eip-associate",
    "instance-start",
    "instance-reboot",
    "instance-stop-start",
    "ssm-role-attach",
    "ssm-shell",
    "remote-repair-permissions",
    "remote-sshd-repair",
    "remote-add-key",
    "eic-push-key",
    "troubleshoot-ssh-runbook",
    "user-data-repair",
    "user-data-restore",
    "key-pair-import",
    "root-volume-rescue",
    "icmp-allow-my-ip",
    "rdp-allow-my-ip",
    "serial-console",
];

/// Causes of the first slice.
const CAUSES: &[&str] = &[
    "key-file-missing",
    "key-perms-open",
    "key-format-ppk-with-openssh",
    "key-file-is-public",
    "key-file-damaged",
    "key-passphrase-needed",
    "key-mismatch",
    "wrong-user-name",
    "instance-not-running",
    "no-public-ip",
    "sg-no-rule",
    "sg-source-ip-changed",
    "nacl-inbound-deny",
    "nacl-outbound-ephemeral",
    "route-missing-igw",
    "igw-not-attached",
    "sshd-not-listening",
    "home-perms",
    "ssh-dir-perms",
    "authkeys-perms",
    "credentials-missing-or-expired",
    "iam-denied-read",
];

fn load() -> Catalogue {
    Catalogue::load().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_link_in_it_holds() {
    assert_eq!(load().problems(), Vec::<String>::new());
}

#[test]
fn checks_and_their_words_are_the_same_set() {
    let words: BTreeSet<String> = load().checks.into_keys().collect();
    let asked: BTreeSet<String> = rules::CHECKS.iter().map(|(id, _)| (*id).to_owned()).collect();
    assert_eq!(words, asked);
    assert_eq!(asked.len(), rules::CHECKS.len(), "an id twice");
    // What no probe can tell is asked of the user.
    let catalogue = Catalogue::load().expect("the catalogue");
    let asked = |id: &str| catalogue.checks.get(id).is_some_and(|c| c.question.is_some());
    assert!(rules::CHECKS.iter().all(|(id, probes)| !probes.is_empty() || asked(id)));
}

#[test]
fn every_id_of_the_contract_has_words() {
    let catalogue = load();
    for (ids, kind) in [(SSH_SYMPTOMS, "ssh"), (CONSOLE_SYMPTOMS, "console")] {
        for id in ids {
            // "other" is one word for both.
            let found = catalogue.symptoms.get(*id).is_some_and(|s| s.kind == kind || *id == "other");
            assert!(found, "no {kind} symptom {id}");
        }
    }
    for id in FIXES {
        assert!(catalogue.fixes.contains_key(*id), "no fix {id}");
    }
    for id in CAUSES {
        assert!(catalogue.causes.contains_key(*id), "no cause {id}");
    }
    for id in fixes::all() {
        assert!(FIXES.contains(&id), "{id} is applied, and not in the contract");
    }
}

#[test]
fn every_cause_that_a_rule_names_has_words() {
    let catalogue = load();
    let mut missing = BTreeSet::new();
    let mut seen = 0;
    let mut all = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core/rules"), &mut all);
    for (path, text) in &all {
        for id in named_causes(text) {
            seen += 1;
            // The stages of causes are told by how their ids begin.
            let family = path.ends_with("rank.rs") && catalogue.causes.keys().any(|known| known.starts_with(&id));
            if !catalogue.causes.contains_key(&id) && !family && !FIXES.contains(&id.as_str()) {
                missing.insert(id);
            }
        }
    }
    assert!(seen > 50, "only {seen} ids are found in the rules: does this test still read them?");
    assert!(missing.is_empty(), "{missing:?}");
}

fn sources(below: &Path, into: &mut Vec<(PathBuf, String)>) {
    for path in fs::read_dir(below).expect("a directory").map(|e| e.expect("an entry").path()) {
        if path.is_dir() && !path.ends_with("tests") {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            into.push((path, text));
        }
    }
}

/// Texts in the code that have the form of an id and are no id of a check, probe, door or gate.
fn named_causes(text: &str) -> Vec<String> {
    let checks: BTreeSet<&str> = rules::CHECKS.iter().map(|(id, _)| *id).collect();
    let program = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let after = [
        "Finding::new(\"",
        "=> (\"",
        "Some((\"",
        "=> \"",
        "return (\"",
        "{ \"",
        "    (\"",
        "    \"",
        "[\"",
        " | \"",
        ", \"",
    ];
    let mut ids = Vec::new();
    for line in program.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for start in after {
            for rest in line.split(start).skip(1) {
                let id = rest.split('"').next().unwrap_or_default();
                let form = id.contains('-')
                    && id.len() > 4
                    && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
                if form && !checks.contains(id) && !NO_CAUSES.contains(&id) {
                    ids.push(id.to_owned());
                }
            }
        }
    }
    ids
}

/// What the rules name besides causes: addresses, users, states, algorithms, words of descriptions.
const NO_CAUSES: &[&str] = &[
    "ec2-user",
    "shutting-down",
    "insufficient-data",
    "ssh-rsa",
    "ssh-ed25519",
    "my-ip",
    "eic-push-key",
    "rsa-sha2",
    "rsa-sha2-256",
    "rsa-sha2-512",
    "opensuse-leap",
    "no-port-forwarding",
    "no-agent-forwarding",
    // States and words of Instance Connect Endpoints, and fixes that stop an instance.
    "aes128-gcm",
    "aes256-gcm",
    "chacha20-poly1305",
    "sshd-log",
    "create-complete",
    "eice-",
    "instance-stop-start",
    "open-tunnel",
    "root-volume-rescue",
    "update-complete",
    "update-failed",
    "update-in-progress",
];

/// The table of all causes in the docs says what the catalogue says.
#[test]
fn the_table_of_causes_is_that_of_the_catalogue() {
    let catalogue = Catalogue::load().expect("the catalogue");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/causes.md");
    let table = table(&catalogue);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &table).expect("write assets/causes.md");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == table, "assets/causes.md is old: UPDATE_DOCS=1 cargo nextest run the_table_of_causes");
}

fn table(catalogue: &Catalogue) -> String {
    let layers = [
        ("local", "Your machine and key"),
        ("client", "Client configuration"),
        ("vpc", "Network and VPC"),
        ("instance", "Instance and hypervisor"),
        ("os", "Operating system and sshd"),
        ("aws", "AWS permissions and API"),
        ("windows", "Windows"),
    ];
    let mut out = String::from(
        "# Root causes\n\nMade from `assets/causes.toml` by a test; `port22 diagnose` names them by these ids. Fixes stand in the order of disruption, least first.\n",
    );
    for (layer, title) in layers {
        out.push_str(&format!("\n## {title}\n\n| cause | proven by | fixes |\n|---|---|---|\n"));
        for (id, cause) in catalogue.causes.iter().filter(|(_, c)| c.layer == layer) {
            let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
            let fixes = if cause.fixes.is_empty() { "by hand".to_owned() } else { cause.fixes.join(", ") };
            out.push_str(&format!("| **{id}**: {} | {} | {fixes} |\n", cell(&cause.title), cell(&cause.proven_by)));
        }
    }
    out
}
