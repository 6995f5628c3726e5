//! The client side: ssh configuration, names, key files.

use super::View;
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::local::{KeyFileState, KeyProbe};
use crate::core::key::{self, KeyFile, KeyFormat};
use crate::core::target::TargetKind;

/// Checks `ssh-config`, `name-resolves`, `key-file`, `key-format`, `key-permissions`, `key-passphrase`.
pub fn checks(view: &View<'_>) -> Vec<CheckResult> {
    let facts = view.facts;
    vec![ssh_config(facts), name_resolves(facts), key_file(facts), key_format(facts), key_permissions(facts), key_passphrase(facts)]
}

fn ssh_config(facts: &Facts) -> CheckResult {
    let id = "ssh-config";
    match &facts.local.config {
        Fact::Known { value, source } if value.matched => {
            let mut set = Vec::new();
            set.extend(value.hostname.as_ref().map(|h| format!("HostName {h}")));
            set.extend(value.user.as_ref().map(|u| format!("User {u}")));
            set.extend(value.port.map(|p| format!("Port {p}")));
            set.extend(value.proxy_jump.as_ref().map(|j| format!("ProxyJump {j}")));
            set.extend(value.proxy_command.as_ref().map(|c| format!("ProxyCommand {c}")));
            CheckResult::pass(id, format!("your ssh configuration sets {}", set.join(", "))).seen(set.join(", "), source.clone())
        }
        Fact::Known { .. } => CheckResult::pass(id, "your ssh configuration says nothing about this host"),
        Fact::Unknown { why: why @ Why::Failed { .. } } => CheckResult::fail(id, why.text()),
        other => CheckResult::cannot_tell(id, &other.why_not().unwrap_or(Why::needs("ssh"))),
    }
}

fn name_resolves(facts: &Facts) -> CheckResult {
    let id = "name-resolves";
    if matches!(facts.target.kind(), TargetKind::InstanceId | TargetKind::Address(_)) {
        return CheckResult::not_applicable(id, "the target is no DNS name");
    }
    match &facts.local.dns {
        Fact::Known { value, source } if !value.is_empty() => {
            let all = value.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            CheckResult::pass(id, format!("the name resolves to {all}")).seen(all, source.clone())
        }
        _ if facts.instance().is_some_and(|i| i.name.as_deref() == Some(&facts.target.name)) => CheckResult::not_applicable(id, "the target is a Name tag"),
        Fact::Known { .. } => CheckResult::fail(id, "the name has no address"),
        other => CheckResult::cannot_tell(id, &other.why_not().unwrap_or(Why::needs("a name"))),
    }
}

/// What is wrong with one key file for OpenSSH, if anything: cause id, words.
pub fn trouble(probe: &KeyProbe) -> Option<(&'static str, String)> {
    let path = &probe.path;
    match probe.file.value()? {
        KeyFileState::Missing if probe.origin == "default" => None,
        KeyFileState::Missing => Some(("key-file-missing", format!("{path} does not exist"))),
        KeyFileState::NotAFile { what } => Some(("key-file-missing", format!("{path} is {what}, not a key file"))),
        KeyFileState::Unreadable { reason, .. } => Some(("key-unreadable-owner", format!("{path} cannot be read: {reason}"))),
        KeyFileState::TooLarge { bytes } => Some(("key-file-damaged", format!("{path} has {bytes} bytes: no key is that large"))),
        KeyFileState::Read { mode, owner, me, modeless_fs, key, .. } => {
            if let Some(wrong) = content_trouble(path, key) {
                return Some(wrong);
            }
            if !key::mode_too_open(*mode, *owner, *me) {
                return None;
            }
            let text = format!("{path} has mode {:04o}: others may read it, so ssh ignores the key", mode & 0o7777);
            Some(match modeless_fs {
                Some(fs) => ("key-perms-unfixable-fs", format!("{text}; its file system ({fs}) keeps no modes")),
                None => ("key-perms-open", text),
            })
        }
    }
}

fn content_trouble(path: &str, key: &KeyFile) -> Option<(&'static str, String)> {
    match key.format {
        KeyFormat::Ppk { version } => Some(("key-format-ppk-with-openssh", format!("{path} is a PuTTY key (PPK version {version}); OpenSSH cannot read it"))),
        KeyFormat::PublicOpenSsh | KeyFormat::PublicRfc4716 | KeyFormat::PublicSpki | KeyFormat::Certificate => {
            Some(("key-file-is-public", format!("{path} holds a public key or certificate, not the private key")))
        }
        _ if !key.loads_in.openssh && key.format.is_private() && !key.is_damaged_for_openssh() => {
            let what = key.parse_error.clone().unwrap_or_else(|| "OpenSSH has no such type any more".to_owned());
            Some(("key-type-unsupported", format!("{path} is a key that ssh does not use: {what}")))
        }
        _ if !key.loads_in.openssh => {
            let what = if key.damage.is_empty() {
                key.parse_error.clone().unwrap_or_else(|| "it is not a private key".to_owned())
            } else {
                key.damage.iter().map(|d| d.says()).collect::<Vec<_>>().join(", ")
            };
            Some(("key-file-damaged", format!("{path} cannot be read as a key: {what}")))
        }
        _ => None,
    }
}

/// Whether ssh itself would load and offer this file.
pub fn usable(probe: &KeyProbe) -> bool {
    matches!(probe.file.value(), Some(KeyFileState::Read { .. })) && trouble(probe).is_none()
}

/// The description of a key that was read.
pub fn key_of(probe: &KeyProbe) -> Option<&KeyFile> {
    match probe.file.value()? {
        KeyFileState::Read { key, .. } => Some(key),
        _ => None,
    }
}

/// Whether the key needs a passphrase that no agent saves the user from typing.
pub fn locked(facts: &Facts, key: &KeyFile) -> bool {
    let in_agent = facts.local.agent.value().is_some_and(|all| all.iter().any(|a| Some(&a.fingerprint) == key.sha256.as_ref()));
    key.encrypted && !in_agent
}

/// Checks over key files: fails when the named causes apply to every key, passes when one key is free of them.
fn over_keys(facts: &Facts, id: &str, causes: &[&str], good: impl Fn(&KeyProbe) -> String) -> CheckResult {
    let keys: Vec<&KeyProbe> = facts.local.keys.iter().filter(|k| !(k.origin == "default" && matches!(k.file.value(), Some(KeyFileState::Missing)))).collect();
    if keys.is_empty() {
        return CheckResult::unclear(id, "no key file is given (-i), and none of ssh's default files exists");
    }
    let bad: Vec<(&KeyProbe, String)> = keys.iter().filter_map(|k| trouble(k).filter(|(c, _)| causes.contains(c)).map(|(_, t)| (*k, t))).collect();
    if let Some((probe, text)) = bad.first() {
        return CheckResult::fail(id, text.clone()).seen(text.clone(), format!("file {}", probe.path));
    }
    match keys.iter().find(|k| key_of(k).is_some()) {
        Some(probe) => {
            let text = good(probe);
            CheckResult::pass(id, text.clone()).seen(text, format!("file {}", probe.path))
        }
        None => CheckResult::skipped(id, "no key file could be read"),
    }
}

fn key_file(facts: &Facts) -> CheckResult {
    over_keys(facts, "key-file", &["key-file-missing", "key-unreadable-owner"], |k| format!("{} exists and can be read", k.path))
}

fn key_format(facts: &Facts) -> CheckResult {
    let causes = ["key-format-ppk-with-openssh", "key-file-is-public", "key-file-damaged", "key-ed25519-pkcs8-old-client"];
    over_keys(facts, "key-format", &causes, |k| {
        let kind = key_of(k).and_then(|k| k.algorithm.clone()).unwrap_or_else(|| "a key".to_owned());
        format!("{} is {kind} in a form that OpenSSH reads", k.path)
    })
}

fn key_permissions(facts: &Facts) -> CheckResult {
    over_keys(facts, "key-permissions", &["key-perms-open", "key-perms-unfixable-fs"], |k| match k.file.value() {
        Some(KeyFileState::Read { mode, .. }) => format!("{} has mode {:04o}: only you may read it", k.path, mode & 0o7777),
        _ => "only you may read it".to_owned(),
    })
}

fn key_passphrase(facts: &Facts) -> CheckResult {
    let id = "key-passphrase";
    let keys: Vec<(&KeyProbe, &KeyFile)> = facts.local.keys.iter().filter_map(|k| key_of(k).map(|f| (k, f))).collect();
    match keys.first() {
        None => CheckResult::skipped(id, "no key file could be read"),
        Some((probe, key)) if locked(facts, key) => {
            CheckResult::fail(id, format!("{} is protected by a passphrase, and no agent holds it: ssh asks for it, scripts fail", probe.path))
        }
        Some((probe, key)) if key.encrypted => CheckResult::pass(id, format!("{} has a passphrase, and the agent holds the key", probe.path)),
        Some((probe, _)) => CheckResult::pass(id, format!("{} has no passphrase", probe.path)),
    }
}

/// Causes on the client side.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let mut out = Vec::new();
    if let Fact::Unknown { why: why @ Why::Failed { .. } } = &facts.local.config {
        out.push(Finding::new("ssh-config-invalid", Certainty::Proven, why.text(), "ssh -G"));
    }
    let some_usable = facts.local.keys.iter().any(usable);
    for probe in &facts.local.keys {
        let Some((id, text)) = trouble(probe) else { continue };
        // A file that the user named is what they mean to log in with; one of several configured ones may fail in peace.
        let certainty = if probe.origin == "-i" || !some_usable { Certainty::Proven } else { Certainty::Possible };
        out.push(Finding::new(id, certainty, text, format!("file {}", probe.path)));
    }
    for probe in facts.local.keys.iter().filter(|p| usable(p)) {
        let Some(key) = key_of(probe).filter(|k| locked(facts, k)) else { continue };
        let certainty = if facts.local.keys.iter().any(|p| usable(p) && key_of(p).is_some_and(|k| !locked(facts, k))) { Certainty::Possible } else { Certainty::Proven };
        let kind = key.algorithm.as_deref().unwrap_or("key");
        out.push(Finding::new("key-passphrase-needed", certainty, format!("{} ({kind}) is encrypted, and no agent holds it", probe.path), format!("file {}", probe.path)));
    }
    putty(view, &mut out);
    out
}

/// PuTTY's own key troubles, when the paste says that PuTTY is the client.
fn putty(view: &View<'_>, out: &mut Vec<Finding>) {
    let facts = view.facts;
    let client = facts.paste.as_ref().map(|p| p.client.as_str()).unwrap_or_default();
    if !matches!(client, "putty" | "plink" | "pscp" | "psftp" | "winscp" | "filezilla" | "kitty") {
        return;
    }
    // PPK is right for PuTTY; PEM is not.
    out.retain(|f| f.id != "key-format-ppk-with-openssh");
    for probe in &facts.local.keys {
        if let Some(key) = key_of(probe).filter(|k| matches!(k.format, KeyFormat::Pkcs1 | KeyFormat::Pkcs8 | KeyFormat::OpenSsh) && k.parse_error.is_none()) {
            let kind = key.algorithm.as_deref().unwrap_or("key");
            out.push(Finding::new("key-format-pem-with-putty", Certainty::Likely, format!("{} ({kind}) is no PPK file, and the client is PuTTY", probe.path), format!("file {}", probe.path)));
        }
    }
}
