//! The key that the instance was launched with, beside the user's: EC2 key pair, fingerprints, console log.
//!
//! Pure comparison. What the server says to a key is judged in [`super::auth`].

use super::{View, local};
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::local::KeyProbe;
use crate::core::key;

/// Whether a local key is the EC2 key pair that the instance was launched with; `None` when that cannot be told.
pub(super) fn is_launch_key(facts: &Facts, probe: &KeyProbe) -> Option<bool> {
    let pair = facts.aws.key_pair.value()?.as_ref()?;
    let key = local::key_of(probe)?;
    if let (Some(mine), Some(theirs)) = (&key.public, &pair.public_key) {
        return Some(key::same_public(mine, theirs));
    }
    pair.fingerprint.as_deref().and_then(|f| key::matches_fingerprint(key, f))
}

/// A local private key, other than those used, that is the launch key.
pub(super) fn matching_key(facts: &Facts) -> Option<&KeyProbe> {
    facts.local.other_keys.iter().find(|k| is_launch_key(facts, k) == Some(true))
}

/// Key pair created after the instance was first launched: another one of the same name.
fn namesake(facts: &Facts) -> bool {
    let created = facts.aws.key_pair.value().and_then(Option::as_ref).and_then(|k| k.created);
    let first = facts.instance().and_then(|i| i.root_attached.or(i.launched));
    matches!((created, first), (Some(created), Some(first)) if created > first + 60)
}

/// Check `key-matches`.
pub(super) fn key_matches(view: &View<'_>) -> CheckResult {
    let id = "key-matches";
    let facts = view.facts;
    let Some(instance) = facts.instance() else { return CheckResult::cannot_tell(id, &Why::needs("the instance")) };
    let Some(name) = &instance.key_name else {
        return CheckResult::not_applicable(id, "the instance was launched without a key pair");
    };
    let pair = match &facts.aws.key_pair {
        Fact::Known { value: Some(pair), .. } => pair,
        Fact::Known { value: None, .. } => {
            return CheckResult::unclear(
                id,
                format!("the key pair {name} is deleted from EC2 (logins still work with its private key)"),
            );
        }
        other => return CheckResult::cannot_tell(id, &other.why_not().unwrap_or(Why::needs("the key pair"))),
    };
    let read: Vec<&KeyProbe> = facts.local.keys.iter().filter(|k| local::key_of(k).is_some()).collect();
    if read.is_empty() {
        return CheckResult::skipped(id, "no key file could be read");
    }
    let source = facts.aws.key_pair.source().to_owned();
    let print = pair.fingerprint.clone().unwrap_or_default();
    if let Some(probe) = read.iter().find(|k| is_launch_key(facts, k) == Some(true)) {
        return CheckResult::pass(id, format!("{} is the key pair {name}", probe.path))
            .seen(format!("{name} {print}"), source);
    }
    if read.iter().all(|k| is_launch_key(facts, k) == Some(false)) {
        let other = matching_key(facts).map(|k| format!("; {} is", k.path)).unwrap_or_default();
        return CheckResult::fail(
            id,
            format!("{} is not the key pair {name} that the instance was launched with{other}", read[0].path),
        )
        .seen(format!("{name} {print}"), source);
    }
    CheckResult::unclear(id, format!("the file tells too little to compare it with the key pair {name}"))
}

/// The finding that the login's key is not the one that the instance was launched with.
pub(super) fn mismatch(view: &View<'_>, asked: bool, told: bool) -> Option<Finding> {
    let facts = view.facts;
    let pair = facts.aws.key_pair.value()?.as_ref()?;
    let usable: Vec<&KeyProbe> =
        facts.local.keys.iter().filter(|k| local::key_of(k).is_some_and(|k| k.public.is_some())).collect();
    if usable.is_empty() || !usable.iter().all(|k| is_launch_key(facts, k) == Some(false)) {
        return None;
    }
    let source = facts.aws.key_pair.source();
    let path = &usable[0].path;
    if namesake(facts) {
        let text = format!(
            "the key pair {} in EC2 was created after the instance: another one of the same name, so {path} may still be right",
            pair.name
        );
        return Some(
            Finding::new(
                "keypair-name-reused",
                if asked { Certainty::Likely } else { Certainty::Possible },
                text,
                source,
            )
            .would_prove("the fingerprints in the console log's authorized-keys table"),
        );
    }
    let listed = console_keys(view);
    let mine: Vec<String> = usable.iter().filter_map(|k| local::key_of(k)?.sha256.clone()).collect();
    let absent = !listed.is_empty() && listed.iter().all(|l| !mine.iter().any(|m| same_print(l, m)));
    // The pair only says what was injected at first boot. That the server refuses, and that the boot log
    // lists other keys for the same user, leave one explanation; without the log it is likely.
    let certainty = match (asked, absent) {
        (true, true) => Certainty::Proven,
        (true, false) => Certainty::Likely,
        (false, _) if told => Certainty::Likely,
        _ => Certainty::Possible,
    };
    let print = pair.fingerprint.as_deref().unwrap_or("no fingerprint");
    let mut finding = Finding::new(
        "key-mismatch",
        certainty,
        format!("{path} is not the key pair {} ({print}) that the instance was launched with", pair.name),
        source,
    );
    if asked {
        finding = finding
            .and(format!("the server refuses it for {}", view.user().unwrap_or_default()), facts.wire.ssh.source());
    }
    if absent {
        finding = finding.and("the console log lists other keys for the user", view.console_source());
    }
    if let Some(other) = matching_key(facts) {
        finding = finding.and(format!("{} is the matching key", other.path), format!("file {}", other.path));
    }
    if finding.certainty != Certainty::Proven {
        finding = finding
            .would_prove("a login with the matching private key, or a look into authorized_keys (Session Manager)");
    }
    Some(finding)
}

fn console_keys(view: &View<'_>) -> Vec<String> {
    let Some(console) = &view.console else { return Vec::new() };
    if console.console_user.is_some() && console.console_user != view.user() {
        return Vec::new();
    }
    console.console_key_fingerprints.clone()
}

/// Compares a fingerprint as cloud-init prints it (hex with colons, SHA-256) with `SHA256:base64`.
fn same_print(listed: &str, mine: &str) -> bool {
    use base64::Engine as _;
    let Some(raw) =
        mine.strip_prefix("SHA256:").and_then(|b| base64::engine::general_purpose::STANDARD_NO_PAD.decode(b).ok())
    else {
        return false;
    };
    let hex = raw.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":");
    listed.eq_ignore_ascii_case(&hex) || listed.trim_start_matches("SHA256:") == mine.trim_start_matches("SHA256:")
}
