//! The client side: ssh configuration, names, key files.

use super::View;
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::local::{KeyFileState, KeyProbe};
use crate::core::facts::wire::Answer;
use crate::core::key::{self, KeyFile, KeyFormat};
use crate::core::target::TargetKind;

/// Checks `ssh-config`, `name-resolves`, `key-file`, `key-format`, `key-permissions`, `key-passphrase`.
pub fn checks(view: &View<'_>) -> Vec<CheckResult> {
    let facts = view.facts;
    vec![
        ssh_config(facts),
        name_resolves(facts),
        key_file(facts),
        key_format(facts),
        key_permissions(facts),
        key_passphrase(facts),
    ]
}

fn ssh_config(facts: &Facts) -> CheckResult {
    let id = "ssh-config";
    if no_host_name(facts) {
        return CheckResult::not_applicable(id, "ssh cannot be asked about a name with blanks");
    }
    match &facts.local.config {
        Fact::Known { value, source } if value.matched => {
            let mut set = Vec::new();
            set.extend(value.hostname.as_ref().map(|h| format!("HostName {h}")));
            set.extend(value.user.as_ref().map(|u| format!("User {u}")));
            set.extend(value.port.map(|p| format!("Port {p}")));
            set.extend(value.proxy_jump.as_ref().map(|j| format!("ProxyJump {j}")));
            set.extend(value.proxy_command.as_ref().map(|c| format!("ProxyCommand {c}")));
            CheckResult::pass(id, format!("your ssh configuration sets {}", set.join(", ")))
                .seen(set.join(", "), source.clone())
        }
        Fact::Known { .. } => CheckResult::pass(id, "your ssh configuration says nothing about this host"),
        Fact::Unknown { why: why @ Why::Failed { doing, .. } } if !doing.starts_with("starting") => {
            CheckResult::fail(id, why.text())
        }
        other => CheckResult::cannot_tell(id, &other.why_not().unwrap_or(Why::needs("ssh"))),
    }
}

/// A Name tag with blanks is no host name: that ssh was not asked says nothing about its configuration.
fn no_host_name(facts: &Facts) -> bool {
    facts.target.name.chars().any(char::is_whitespace)
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
        _ if facts.instance().is_some_and(|i| i.name.as_deref() == Some(&facts.target.name)) => {
            CheckResult::not_applicable(id, "the target is a Name tag")
        }
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

/// Whether ssh itself would load and offer this file.
pub fn usable(probe: &KeyProbe) -> bool {
    matches!(probe.file.value(), Some(KeyFileState::Read { .. })) && trouble(probe).is_none() && !stale_pub(probe)
}

/// Whether another key's public half lies beside the file as `F.pub`. ssh offers what `F.pub` says and never
/// looks at the private file when that is refused (OpenSSH authfile.c, sshkey_load_public).
pub fn stale_pub(probe: &KeyProbe) -> bool {
    match probe.file.value() {
        Some(KeyFileState::Read { key, pub_file: Some(beside), .. }) => {
            key.public.as_ref().is_some_and(|mine| !key::same_public(mine, beside))
        }
        _ => false,
    }
}

/// Whether the agent holds the key of a file. Then the agent signs, and ssh never needs the private file: its
/// mode, its passphrase, or that only the public half is there, stop nothing.
pub fn in_agent(facts: &Facts, key: &KeyFile) -> bool {
    let held =
        facts.local.agent.value().is_some_and(|all| all.iter().any(|a| Some(&a.fingerprint) == key.sha256.as_ref()));
    held && key.sha256.is_some()
}

/// Whether ssh would bring this key to the server: from the file, or from the agent.
pub fn offered(facts: &Facts, probe: &KeyProbe) -> bool {
    !stale_pub(probe) && (usable(probe) || key_of(probe).is_some_and(|key| in_agent(facts, key)))
}

/// Keys with which sshd ends a session before the last one had its turn (MaxAuthTries is 6, sshd_config(5)).
const TOO_MANY: usize = 6;

/// Whether the agent's other keys use up the server's attempts before this file has its turn: ssh offers
/// keys that agent and files have in common first, then the rest of the agent, then the rest of the files.
pub fn crowded_out(facts: &Facts, probe: &KeyProbe) -> bool {
    let only_files = facts.local.config.value().is_some_and(|c| c.identities_only);
    let others = facts.local.agent.value().map_or(0, Vec::len);
    !only_files && others >= TOO_MANY && key_of(probe).is_some_and(|key| !in_agent(facts, key))
}

/// Files whose trouble can stop the login: those that were named with `-i`, or all when ssh can use none.
pub fn deciding(facts: &Facts) -> impl Iterator<Item = &KeyProbe> {
    let some_usable = facts.local.keys.iter().any(|k| offered(facts, k));
    let named = |k: &KeyProbe| k.origin == "-i";
    // Of several named files one good one is enough: ssh warns about the other and goes on.
    let named_good = facts.local.keys.iter().any(|k| named(k) && offered(facts, k));
    facts.local.keys.iter().filter(move |k| !offered(facts, k) && if named(k) { !named_good } else { !some_usable })
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

/// Whether the key needs a passphrase that no agent saves the user from typing.
pub fn locked(facts: &Facts, key: &KeyFile) -> bool {
    key.encrypted && !in_agent(facts, key)
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
    if let (Fact::Unknown { why: why @ Why::Failed { doing, .. } }, false) = (&facts.local.config, no_host_name(facts))
    {
        // A program that cannot be started says nothing about the files that it would have read.
        if !doing.starts_with("starting") {
            out.push(Finding::new("ssh-config-invalid", Certainty::Proven, why.text(), "ssh -G"));
        }
    }
    let agent_has_keys = facts.local.agent.value().is_some_and(|all| !all.is_empty());
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
    old_client(facts, &mut out);
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
    putty(view, &mut out);
    out
}

/// Ed25519 in PKCS#8, which ssh reads since 9.6: a trouble only for an older client.
fn old_client(facts: &Facts, out: &mut Vec<Finding>) {
    let version = facts.local.ssh_version.value().and_then(|line| openssh_version(line));
    let told = facts.symptom() == Some("invalid_key_format");
    for probe in facts.local.keys.iter().filter(|p| usable(p)) {
        let Some(key) = key_of(probe).filter(|k| k.loads_in.openssh && !k.loads_in.openssh_before_9_6) else {
            continue;
        };
        let certainty = match version {
            Some(version) if version >= (9, 6) => continue,
            Some(_) => Certainty::Proven,
            None if told => Certainty::Likely,
            None => continue,
        };
        let kind = key.algorithm.as_deref().unwrap_or("ssh-ed25519");
        let finding = Finding::new(
            "key-ed25519-pkcs8-old-client",
            certainty,
            format!("{} is {kind} in PKCS#8, which OpenSSH reads since 9.6 only", probe.path),
            format!("file {}", probe.path),
        );
        out.push(match version {
            Some((major, minor)) => {
                finding.and(format!("your ssh is OpenSSH {major}.{minor}"), facts.local.ssh_version.source())
            }
            None => finding.would_prove("ssh -V"),
        });
    }
}

/// Major and minor number in `OpenSSH_9.2p1 …`.
fn openssh_version(line: &str) -> Option<(u32, u32)> {
    let (_, rest) = line.split_once("OpenSSH_")?;
    let rest = rest.strip_prefix("for_Windows_").unwrap_or(rest);
    let (major, rest) = rest.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// PuTTY's own key troubles, when the paste says that PuTTY is the client.
fn putty(view: &View<'_>, out: &mut Vec<Finding>) {
    let facts = view.facts;
    let client = facts.paste.as_ref().map(|p| p.client.as_str()).unwrap_or_default();
    let names_it = facts.paste.as_ref().is_some_and(|p| p.causes.iter().any(|c| c == "key-format-pem-with-putty"));
    if !names_it && !matches!(client, "putty" | "plink" | "pscp" | "psftp" | "winscp" | "filezilla" | "kitty") {
        return;
    }
    // PPK is right for PuTTY; PEM is not.
    out.retain(|f| f.id != "key-format-ppk-with-openssh");
    for probe in &facts.local.keys {
        if let Some(key) = key_of(probe).filter(|k| {
            matches!(k.format, KeyFormat::Pkcs1 | KeyFormat::Pkcs8 | KeyFormat::OpenSsh) && k.parse_error.is_none()
        }) {
            let kind = key.algorithm.as_deref().unwrap_or("key");
            out.push(
                Finding::new(
                    "key-format-pem-with-putty",
                    Certainty::Likely,
                    format!("{} ({kind}) is no PPK file, and the client is PuTTY", probe.path),
                    format!("file {}", probe.path),
                )
                .would_prove("PuTTY says: Unable to use key file"),
            );
        }
    }
}
