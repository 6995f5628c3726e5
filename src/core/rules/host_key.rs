//! The server's host key beside known_hosts, the console log, and how strict ssh was told to be.
//!
//! Follows OpenSSH's `check_host_key` (sshconnect.c). Pure comparison: nothing is trusted or forgotten here.

use super::View;
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::fact::Why;
use crate::core::facts::Facts;
use crate::core::facts::local::KnownHost;
use crate::core::facts::wire::SshServer;

/// How the server's host key compares with what is known of it.
pub(super) enum HostKey {
    /// Nothing is known of this type.
    New,
    /// It is the known one.
    Same,
    /// A certificate authority is trusted for the host: whether the host has a certificate of it was not asked.
    Authority(String),
    /// It is marked `@revoked` at this place.
    Revoked(String),
    /// Differs from this entry; true when the console log shows the new key.
    Changed(String, bool),
}

/// What ssh does about a key that is new or changed (`StrictHostKeyChecking`, ssh_config(5)).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// A new key is refused.
    Yes,
    /// A new key is asked about, or taken.
    Usual,
    /// Even a changed key does not stop ssh.
    Off,
}

fn strictness(facts: &Facts) -> Strictness {
    match facts.local.config.value().and_then(|c| c.strict_host_key_checking.as_deref()) {
        Some("yes" | "true") => Strictness::Yes,
        Some("no" | "off" | "false") => Strictness::Off,
        _ => Strictness::Usual,
    }
}

fn place(entry: &KnownHost) -> String {
    format!("{}:{}", entry.file, entry.line)
}

/// What proves that a host key (`SHA256:…`) is the instance's own: the console log prints it, or a look inside by Systems
/// Manager found it. A look by a login does not count: it went to the very server that is in question.
fn proof(view: &View<'_>, host_key: &str) -> Option<(String, String)> {
    if view.console.as_ref().is_some_and(|c| c.host_keys.iter().any(|k| k == host_key)) {
        return Some(("the console log prints the new fingerprint".to_owned(), view.console_source().to_owned()));
    }
    let inside = &view.facts.inside;
    let found = inside.value()?.host_keys.iter().find(|k| k.fingerprint == host_key)?;
    let by_manager = inside.source().ends_with("by Run Command");
    by_manager.then(|| (format!("inside, {} has the new fingerprint", found.path), inside.source().to_owned()))
}

/// How the server's host key stands, for a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// known_hosts has it.
    Known,
    /// known_hosts has no other of its type.
    New,
    /// known_hosts has another of its type.
    Changed,
    /// It is marked `@revoked`, or only a certificate authority is trusted: at this place.
    Special(String),
}

/// How the server's host key stands, and what proves that it is the instance's own; `None` when no server answered, or
/// known_hosts could not be read.
pub fn standing(facts: &Facts) -> Option<(Standing, Option<String>)> {
    let view = View::new(facts);
    let Some(SshServer::Ready { host_key, .. }) = facts.wire.ssh.value() else { return None };
    let standing = match compare(&view)? {
        HostKey::Same => Standing::Known,
        HostKey::New => Standing::New,
        HostKey::Changed(..) => Standing::Changed,
        HostKey::Revoked(at) => Standing::Special(format!("{at} marks it as @revoked")),
        HostKey::Authority(at) => Standing::Special(format!("{at} trusts a certificate authority instead")),
    };
    let proof = proof(&view, host_key).map(|(text, source)| format!("{text} ({source})"));
    Some((standing, proof))
}

/// Fingerprints that the boot log prints, for a plan that says what else was seen.
pub fn printed(facts: &Facts) -> Vec<String> {
    View::new(facts).console.map(|c| c.host_keys).unwrap_or_default()
}

/// Compares; `None` when either side is not known.
pub(super) fn compare(view: &View<'_>) -> Option<HostKey> {
    let Some(SshServer::Ready { host_key, host_key_type, .. }) = view.facts.wire.ssh.value() else { return None };
    let known = view.facts.local.known_hosts.value()?;
    if let Some(entry) = known.revoked.iter().find(|e| e.fingerprint == *host_key) {
        return Some(HostKey::Revoked(place(entry)));
    }
    if known.entries.iter().any(|e| e.fingerprint == *host_key) {
        return Some(HostKey::Same);
    }
    if let Some(entry) = known.authorities.first() {
        return Some(HostKey::Authority(place(entry)));
    }
    let kind = |algorithm: &str| {
        if algorithm.starts_with("rsa-sha2") || algorithm == "ssh-rsa" {
            "rsa".to_owned()
        } else {
            algorithm.to_owned()
        }
    };
    let Some(other) = known.entries.iter().find(|e| kind(&e.algorithm) == kind(host_key_type)) else {
        return Some(HostKey::New);
    };
    let proven = proof(view, host_key).is_some();
    Some(HostKey::Changed(place(other), proven))
}

/// What speaks against the host key, in words, and whether ssh stops there; `None` when nothing does.
pub(super) fn against(view: &View<'_>) -> Option<(String, bool)> {
    let words = match (compare(view)?, strictness(view.facts)) {
        (HostKey::Revoked(at), _) => format!("{at} marks it as @revoked"),
        (HostKey::Changed(at, _), _) => format!("{at} has another one"),
        (HostKey::New, Strictness::Yes) => "no known_hosts file has it (StrictHostKeyChecking yes)".to_owned(),
        _ => return None,
    };
    Some((words, blocks(view)))
}

/// Whether ssh stops at the host key.
pub(super) fn blocks(view: &View<'_>) -> bool {
    match (compare(view), strictness(view.facts)) {
        (Some(HostKey::Revoked(_)), _) | (Some(HostKey::New), Strictness::Yes) => true,
        (Some(HostKey::Changed(..)), strictness) => strictness != Strictness::Off,
        _ => false,
    }
}

/// The symptom that ssh shows when it stops at the host key.
pub(super) fn symptom(view: &View<'_>) -> Option<&'static str> {
    match compare(view) {
        _ if !blocks(view) => None,
        Some(HostKey::New) => Some("host_key_unknown"),
        _ => Some("host_key_changed"),
    }
}

/// What ssh still does with a changed key when it was told not to check (sshconnect.c: it goes on, and turns off
/// everything that an impostor could use).
const OFF: &str = "StrictHostKeyChecking no: ssh warns and goes on with keys, but without passwords, keyboard-interactive, \
agent, X11 and port forwarding";

/// Check `host-key`.
pub(super) fn check(view: &View<'_>) -> CheckResult {
    let id = "host-key";
    let facts = view.facts;
    let Some(SshServer::Ready { host_key, host_key_type, .. }) = facts.wire.ssh.value() else {
        return CheckResult::skipped(id, "needs an SSH server that answers");
    };
    let source = facts.wire.ssh.source().to_owned();
    let check = match (compare(view), strictness(facts)) {
        (Some(HostKey::Same), _) => CheckResult::pass(id, "the host key is the one in known_hosts"),
        (Some(HostKey::New), Strictness::Yes) => CheckResult::fail(
            id,
            "the host is new to known_hosts, and StrictHostKeyChecking yes refuses what is not there",
        ),
        (Some(HostKey::New), Strictness::Off) => CheckResult::pass(
            id,
            "the host is new to known_hosts: ssh adds it without a question (StrictHostKeyChecking no)",
        ),
        (Some(HostKey::New), Strictness::Usual) => {
            let asks =
                facts.local.config.value().and_then(|c| c.strict_host_key_checking.as_deref()) != Some("accept-new");
            let does = if asks { "asks once" } else { "adds it without a question (accept-new)" };
            CheckResult::pass(id, format!("the host is new to known_hosts: ssh {does}"))
        }
        (Some(HostKey::Authority(at)), _) => CheckResult::unclear(
            id,
            format!(
                "{at} trusts a certificate authority for this host: whether the host shows its certificate was not asked"
            ),
        ),
        (Some(HostKey::Revoked(at)), _) => {
            CheckResult::fail(id, format!("the host key is marked @revoked at {at}: ssh refuses it"))
        }
        (Some(HostKey::Changed(at, _)), Strictness::Off) => {
            CheckResult::fail(id, format!("the host key differs from {at}; {OFF}"))
        }
        (Some(HostKey::Changed(at, _)), _) => {
            CheckResult::fail(id, format!("the host key differs from {at}: ssh refuses to go on"))
        }
        (None, _) => {
            return CheckResult::cannot_tell(
                id,
                &facts.local.known_hosts.why_not().unwrap_or(Why::needs("known_hosts")),
            );
        }
    };
    check.seen(format!("{host_key_type} {host_key}"), source)
}

/// Causes at the host key.
pub(super) fn findings(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let source = facts.wire.ssh.source();
    let unverified = "host-key-changed-unverified";
    let finding = match compare(view) {
        Some(HostKey::Revoked(at)) => Finding::new(
            unverified,
            Certainty::Proven,
            format!("the server shows a host key that {at} marks as @revoked"),
            source,
        ),
        Some(HostKey::New) if blocks(view) => Finding::new(
            "ssh-config-overrides",
            Certainty::Likely,
            "StrictHostKeyChecking yes, and no known_hosts file has this host: ssh refuses it without a question",
            facts.local.config.source(),
        )
        .would_prove("ssh says: No host key is known for this host and you have requested strict checking"),
        Some(HostKey::Changed(at, proven)) => {
            let id = if proven { "host-key-changed-verified" } else { unverified };
            let stops = blocks(view);
            let text = format!("the server shows another host key than {at}");
            let finding = Finding::new(id, if stops { Certainty::Proven } else { Certainty::Possible }, text, source);
            let proof = match facts.wire.ssh.value() {
                Some(SshServer::Ready { host_key, .. }) if proven => proof(view, host_key),
                _ => None,
            };
            let finding = match proof {
                Some((text, source)) => finding.and(text, source),
                None => finding,
            };
            if stops {
                finding
            } else {
                finding.and(OFF, facts.local.config.source()).would_prove("a login that needs a password or forwarding")
            }
        }
        _ => return Vec::new(),
    };
    let printed = match (facts.wire.ssh.value(), &view.console) {
        // The boot log prints other keys than the server shows: another machine, or keys made anew since.
        (Some(SshServer::Ready { host_key, host_key_type, .. }), Some(console))
            if finding.id == unverified && !console.host_keys.is_empty() && !console.host_keys.contains(host_key) =>
        {
            Some(format!(
                "the console log prints {}, and not this {host_key_type} {host_key}",
                console.host_keys.join(", ")
            ))
        }
        _ => None,
    };
    vec![match printed {
        Some(text) => finding.and(text, view.console_source()),
        None => finding,
    }]
}
