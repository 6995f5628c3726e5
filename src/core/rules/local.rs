//! The key files of the login: there, readable, private, whole.
//!
//! Pure judgement over what was read. Which of them ssh would offer is in [`super::offering`], what the
//! server says to them in [`super::auth`].

use super::offering::{agent_keys, deciding, locked, offered, stale_pub, usable};
use super::{View, versions};
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::facts::Facts;
use crate::core::facts::local::{KeyFileState, KeyProbe};
use crate::core::facts::wire::Answer;
use crate::core::key::{self, KeyFile, KeyFormat};

/// Checks `key-file`, `key-format`, `key-permissions`, `key-passphrase`.
pub fn checks(view: &View<'_>) -> Vec<CheckResult> {
    let facts = view.facts;
    vec![key_file(facts), key_format(facts), key_permissions(facts), key_passphrase(facts)]
}

/// What is wrong with one key file for OpenSSH, if anything: cause id, words.
pub fn trouble(probe: &KeyProbe) -> Option<(&'static str, String)> {
    let path = &probe.path;
    match probe.file.value()? {
        KeyFileState::Missing if probe.origin == "default" => None,
        KeyFileState::Missing => Some(("key-file-missing", format!("{path} does not exist"))),
        KeyFileState::NotAFile { what } => Some(("key-file-missing", format!("{path} is {what}, not a key file"))),
        KeyFileState::Unreadable { reason, .. } => {
            Some(("key-unreadable-owner", format!("{path} cannot be read: {reason}")))
        }
        KeyFileState::TooLarge { bytes } => {
            Some(("key-file-damaged", format!("{path} has {bytes} bytes: no key is that large")))
        }
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

/// The same, and what this very client cannot read.
pub fn trouble_here(facts: &Facts, probe: &KeyProbe) -> Option<(&'static str, String)> {
    trouble(probe).or_else(|| {
        let text = format!("{} is Ed25519 in PKCS#8, which your ssh is too old to read", probe.path);
        versions::too_new_for_client(facts, probe).then_some(("key-ed25519-pkcs8-old-client", text))
    })
}

fn content_trouble(path: &str, key: &KeyFile) -> Option<(&'static str, String)> {
    match key.format {
        KeyFormat::Ppk { version } => Some((
            "key-format-ppk-with-openssh",
            format!("{path} is a PuTTY key (PPK version {version}); OpenSSH cannot read it"),
        )),
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

/// Whether the server refused every key that it was asked about.
fn all_refused(facts: &Facts) -> bool {
    !facts.wire.offers.is_empty() && facts.wire.offers.iter().all(|o| o.answer == Answer::Refused)
}

/// The description of a key that was read.
pub fn key_of(probe: &KeyProbe) -> Option<&KeyFile> {
    match probe.file.value()? {
        KeyFileState::Read { key, .. } => Some(key),
        _ => None,
    }
}

/// Checks over key files: fails when one of the named causes applies to a file that was given with `-i`, or to
/// the only ones there are; a configured file among good ones may fail in peace.
fn over_keys(facts: &Facts, id: &str, causes: &[&str], good: impl Fn(&KeyProbe) -> String) -> CheckResult {
    let keys: Vec<&KeyProbe> = facts
        .local
        .keys
        .iter()
        .filter(|k| !(k.origin == "default" && matches!(k.file.value(), Some(KeyFileState::Missing))))
        .collect();
    if keys.is_empty() {
        return CheckResult::unclear(id, "no key file is given (-i), and none of ssh's default files exists");
    }
    let bad: Vec<(&KeyProbe, String)> =
        keys.iter().filter_map(|k| trouble(k).filter(|(c, _)| causes.contains(c)).map(|(_, t)| (*k, t))).collect();
    let good_one = keys.iter().any(|k| key_of(k).is_some() && trouble(k).is_none());
    if let Some((probe, text)) = bad.iter().find(|(k, _)| k.origin == "-i" || !good_one) {
        return CheckResult::fail(id, text.clone()).seen(text.clone(), format!("file {}", probe.path));
    }
    let free = |k: &&&KeyProbe| key_of(k).is_some() && !bad.iter().any(|(b, _)| b.path == k.path);
    match keys.iter().find(free) {
        Some(probe) => {
            let text = good(probe);
            CheckResult::pass(id, text.clone()).seen(text, format!("file {}", probe.path))
        }
        None => CheckResult::skipped(id, "no key file could be read"),
    }
}

fn key_file(facts: &Facts) -> CheckResult {
    over_keys(facts, "key-file", &["key-file-missing", "key-unreadable-owner"], |k| {
        format!("{} exists and can be read", k.path)
    })
}

fn key_format(facts: &Facts) -> CheckResult {
    let causes = ["key-format-ppk-with-openssh", "key-file-is-public", "key-file-damaged", "key-type-unsupported"];
    over_keys(facts, "key-format", &causes, |k| {
        let kind = key_of(k).and_then(|k| k.algorithm.clone()).unwrap_or_else(|| "a key".to_owned());
        format!("{} is {kind} in a form that OpenSSH reads", k.path)
    })
}

fn key_permissions(facts: &Facts) -> CheckResult {
    over_keys(facts, "key-permissions", &["key-perms-open", "key-perms-unfixable-fs"], |k| match k.file.value() {
        Some(KeyFileState::Read { mode, .. }) => {
            format!("{} has mode {:04o}: only you may read it", k.path, mode & 0o7777)
        }
        _ => "only you may read it".to_owned(),
    })
}

fn key_passphrase(facts: &Facts) -> CheckResult {
    let id = "key-passphrase";
    let keys: Vec<(&KeyProbe, &KeyFile)> = facts.local.keys.iter().filter_map(|k| key_of(k).map(|f| (k, f))).collect();
    // One key that needs no typing is enough.
    let open = keys.iter().find(|(k, key)| usable(k) && !locked(facts, key));
    match open.or(keys.first()) {
        None => CheckResult::skipped(id, "no key file could be read"),
        Some((probe, key)) if locked(facts, key) => CheckResult::fail(
            id,
            format!(
                "{} is protected by a passphrase, and no agent holds it: ssh asks for it, scripts fail",
                probe.path
            ),
        ),
        Some((probe, key)) if key.encrypted => {
            CheckResult::pass(id, format!("{} has a passphrase, and the agent holds the key", probe.path))
        }
        Some((probe, _)) => CheckResult::pass(id, format!("{} has no passphrase", probe.path)),
    }
}

/// Causes on the client side.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let mut out = Vec::new();
    let agent_has_keys = !agent_keys(facts).is_empty();
    let deciding: Vec<&KeyProbe> = deciding(facts).collect();
    for probe in &facts.local.keys {
        let found = trouble(probe).or_else(|| {
            stale_pub(probe).then(|| {
                (
                    "stale-pub-file",
                    format!("{0}.pub is not the public half of {0}: ssh offers the wrong key", probe.path),
                )
            })
        });
        let Some((id, text)) = found else { continue };
        // A file that the user named is what they mean to log in with; one of several configured ones may fail
        // in peace, and so may all of them while the agent holds keys that nobody has tried.
        let stops = deciding.iter().any(|d| d.path == probe.path) && (probe.origin == "-i" || !agent_has_keys);
        // The good ones among the named files were refused: then the file in trouble may have been the right one.
        let certainty = match (stops, probe.origin == "-i" && all_refused(facts) && !offered(facts, probe)) {
            (true, _) => Certainty::Proven,
            (false, true) => Certainty::Likely,
            (false, false) => Certainty::Possible,
        };
        let finding = Finding::new(id, certainty, text, format!("file {}", probe.path));
        out.push(if stops {
            finding
        } else {
            finding.would_prove("a login with this key alone: ssh -o IdentitiesOnly=yes -i FILE")
        });
    }
    versions::old_for_key(facts, &mut out);
    for probe in facts.local.keys.iter().filter(|p| usable(p)) {
        let Some(key) = key_of(probe).filter(|k| locked(facts, k)) else { continue };
        let other_key = facts.local.keys.iter().any(|p| usable(p) && key_of(p).is_some_and(|k| !locked(facts, k)));
        // The public half is asked about first: ssh wants no passphrase for a key that the server refuses.
        let refused = facts.wire.offers.iter().any(|o| o.key.as_ref() == Some(&probe.path))
            && !facts.wire.offers.iter().any(|o| o.key.as_ref() == Some(&probe.path) && o.answer != Answer::Refused);
        let certainty = if other_key || refused || (probe.origin != "-i" && agent_has_keys) {
            Certainty::Possible
        } else {
            Certainty::Proven
        };
        let kind = key.algorithm.as_deref().unwrap_or("key");
        let finding = Finding::new(
            "key-passphrase-needed",
            certainty,
            format!("{} ({kind}) is encrypted, and no agent holds it", probe.path),
            format!("file {}", probe.path),
        );
        out.push(if certainty == Certainty::Proven {
            finding
        } else {
            finding.would_prove("a login with this key alone: ssh -o IdentitiesOnly=yes -i FILE")
        });
    }
    versions::putty(view, &mut out);
    out
}
