//! The key that the instance was launched with, beside the user's: EC2 key pair, fingerprints, console log.
//!
//! Four places know about the key: the file (or the agent), the EC2 key pair, the server's answer and the boot log.
//! Pure comparison. What the server says to a key is judged in [`super::auth`].

use super::offering::{Candidate, agent_keys, order};
use super::{View, local};
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::fact::{Evidence, Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::local::{AgentKey, KeyProbe};
use crate::core::facts::wire::Answer;
use crate::core::key::{self, KeyFile};
use crate::core::text::list;

/// Whether a local key is the EC2 key pair that the instance was launched with; `None` when that cannot be told.
pub fn is_launch_key(facts: &Facts, probe: &KeyProbe) -> Option<bool> {
    let pair = facts.aws.key_pair.value()?.as_ref()?;
    let key = local::key_of(probe)?;
    if let (Some(mine), Some(theirs)) = (&key.public, &pair.public_key) {
        return Some(key::same_public(mine, theirs));
    }
    pair.fingerprint.as_deref().and_then(|f| key::matches_fingerprint(key, f))
}

/// The same for a key of the agent, whose public half is all that there is.
pub(super) fn is_launch_agent_key(facts: &Facts, held: &AgentKey) -> Option<bool> {
    let pair = facts.aws.key_pair.value()?.as_ref()?;
    let described = described(held);
    if let (Some(mine), Some(theirs)) = (&described.public, &pair.public_key) {
        return Some(key::same_public(mine, theirs));
    }
    pair.fingerprint.as_deref().and_then(|f| key::matches_fingerprint(&described, f))
}

/// The same for whatever ssh would offer.
pub(super) fn is_launch_candidate(facts: &Facts, candidate: Candidate<'_>) -> Option<bool> {
    match candidate {
        Candidate::File(probe) => is_launch_key(facts, probe),
        Candidate::Agent(held) => is_launch_agent_key(facts, held),
    }
}

/// What a public half tells; without one, only the fingerprint that the agent gave.
fn described(held: &AgentKey) -> KeyFile {
    match &held.public {
        Some(line) => key::inspect(line.as_bytes()),
        None => KeyFile {
            sha256: Some(held.fingerprint.clone()),
            ec2_fingerprints: vec![held.fingerprint.trim_start_matches("SHA256:").to_owned()],
            ..KeyFile::default()
        },
    }
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
    let source = facts.aws.key_pair.source().to_owned();
    let print = pair.fingerprint.clone().unwrap_or_default();
    let read: Vec<&KeyProbe> = facts.local.keys.iter().filter(|k| local::key_of(k).is_some()).collect();
    let mine = read.iter().map(|k| Candidate::File(k)).chain(order(facts));
    if let Some(candidate) = mine.into_iter().find(|c| is_launch_candidate(facts, *c) == Some(true)) {
        let check = CheckResult::pass(id, format!("{} is the key pair {name}", candidate.label()))
            .seen(format!("{name} {print}"), source);
        return other_places(view, candidate).into_iter().fold(check, |check, e| check.seen(e.text, e.source));
    }
    if read.is_empty() {
        return CheckResult::skipped(id, "no key file could be read");
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

/// Whether the boot log lists the key of a file: it was installed at the first boot, whatever the key pair says.
pub(super) fn in_boot_log(view: &View<'_>, probe: &KeyProbe) -> bool {
    local::key_of(probe).and_then(|key| is_listed(&console_keys(view), key)) == Some(true)
}

/// What the boot log and the server say of a key, where they say anything.
fn other_places(view: &View<'_>, candidate: Candidate<'_>) -> Vec<Evidence> {
    let facts = view.facts;
    let mut out = Vec::new();
    let listed = console_keys(view);
    let key = match candidate {
        Candidate::File(probe) => local::key_of(probe).cloned(),
        Candidate::Agent(held) => Some(described(held)),
    };
    if let Some(told) = key.and_then(|key| is_listed(&listed, &key)) {
        let text = if told { "the boot log lists the key" } else { "the boot log lists other keys only" };
        out.push(Evidence::new(text, view.console_source()));
    }
    let answers = facts.wire.offers.iter().filter(|o| candidate.is_in(o));
    out.extend(answers.filter_map(|o| {
        let text = match &o.answer {
            answer if answer.key_is_known() => format!("the server knows it for {}", o.user),
            Answer::Refused => format!("the server refuses it for {}", o.user),
            _ => return None,
        };
        Some(Evidence::new(text, facts.wire.ssh.source()))
    }));
    out
}

/// The user has today's key of that name, which is younger than the instance, and the server refuses it. Only with a
/// list of what was installed: without one the pair may as well be older than its last import.
fn of_the_namesake(view: &View<'_>, name: &str, usable: &[&KeyProbe]) -> Option<Finding> {
    let listed = console_keys(view);
    let absent = usable.iter().filter_map(|k| local::key_of(k)).all(|key| is_listed(&listed, key) == Some(false));
    let text = format!(
        "{} is the key pair {name} of today, which was created after the instance: another one of the same name was put there",
        usable[0].path
    );
    absent.then(|| {
        Finding::new("keypair-name-reused", Certainty::Proven, text, view.facts.aws.key_pair.source())
            .and("the boot log lists other keys", view.console_source())
    })
}

/// The finding that the login's key is not the one that the instance was launched with.
pub(super) fn mismatch(view: &View<'_>, asked: bool, told: bool) -> Option<Finding> {
    let facts = view.facts;
    let pair = facts.aws.key_pair.value()?.as_ref()?;
    let usable: Vec<&KeyProbe> =
        facts.local.keys.iter().filter(|k| local::key_of(k).is_some_and(|k| k.public.is_some())).collect();
    if asked && namesake(facts) && usable.iter().any(|k| is_launch_key(facts, k) == Some(true)) {
        return of_the_namesake(view, &pair.name, &usable);
    }
    if usable.is_empty() || !usable.iter().all(|k| is_launch_key(facts, k) == Some(false)) {
        return None;
    }
    // The agent brings the right one.
    if order(facts).iter().any(|c| is_launch_candidate(facts, *c) == Some(true)) {
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
    let mine: Vec<Option<bool>> =
        usable.iter().filter_map(|k| local::key_of(k)).map(|key| is_listed(&listed, key)).collect();
    let absent = mine.iter().all(|told| *told == Some(false));
    if mine.contains(&Some(true)) {
        // What cloud-init put there at the first boot is not only the pair's key: this one was there too.
        return None;
    }
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
    } else if let Some(held) = agent_keys(facts).iter().find(|k| is_launch_agent_key(facts, k) == Some(true)) {
        let text = format!("{} is the matching key, and ssh does not offer it", held.label());
        finding = finding.and(text, facts.local.agent.source());
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

/// Whether a list of the boot log has a key; `None` without a list, or when one of its entries is of a form that
/// cannot be compared.
fn is_listed(listed: &[String], key: &KeyFile) -> Option<bool> {
    if listed.is_empty() {
        return None;
    }
    let compared: Vec<Option<bool>> = listed.iter().map(|print| compare_print(print, key)).collect();
    if compared.contains(&Some(true)) {
        return Some(true);
    }
    compared.iter().all(Option::is_some).then_some(false)
}

/// Compares a fingerprint as cloud-init prints it (hexadecimal pairs, SHA-256) or as ssh-keygen does with `SHA256:base64`.
pub(super) fn same_print(listed: &str, mine: &str) -> bool {
    use base64::Engine as _;
    let Some(raw) =
        mine.strip_prefix("SHA256:").and_then(|b| base64::engine::general_purpose::STANDARD_NO_PAD.decode(b).ok())
    else {
        return false;
    };
    let hex = raw.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":");
    let plain = |text: &str| text.trim_start_matches("SHA256:").trim_end_matches('=').to_owned();
    listed.eq_ignore_ascii_case(&hex) || plain(listed) == plain(mine)
}

/// The same with a key, also for the MD5 of the wire form that older versions print; `None` for a form that cannot be
/// compared.
fn compare_print(listed: &str, key: &KeyFile) -> Option<bool> {
    let mine = key.sha256.as_deref()?;
    match listed.split(':').count() {
        32 => Some(same_print(listed, mine)),
        16 => {
            // The list of forms has the MD5 of the wire form among others; a key without any was not read whole.
            let forms = &key.ec2_fingerprints;
            (forms.iter().any(|f| f.len() == listed.len()))
                .then(|| forms.iter().any(|f| f.eq_ignore_ascii_case(listed)))
        }
        _ => (listed.trim_start_matches("SHA256:").trim_end_matches('=').len() == mine.len() - "SHA256:".len())
            .then(|| same_print(listed, mine)),
    }
}

/// No private key on this machine belongs to the instance: what is left is to put another one there.
pub(super) fn key_lost(view: &View<'_>, mismatch: &Finding) -> Option<Finding> {
    let facts = view.facts;
    let refused = facts.wire.offers.iter().any(|o| o.answer == Answer::Refused);
    let compares = mismatch.id == "key-mismatch" && mismatch.certainty > Certainty::Possible;
    if !refused || !compares || matching_key(facts).is_some() {
        return None;
    }
    let files = facts.local.keys.iter().chain(&facts.local.other_keys).filter(|k| local::key_of(k).is_some());
    let compared: Vec<Option<bool>> = files
        .map(|k| is_launch_key(facts, k))
        .chain(agent_keys(facts).iter().map(|k| is_launch_agent_key(facts, k)))
        .collect();
    if compared.is_empty() || compared.iter().any(|told| *told != Some(false)) {
        return None;
    }
    let names: Vec<String> = facts.local.keys.iter().chain(&facts.local.other_keys).map(|k| k.path.clone()).collect();
    // Another machine may have the file: that none is here is all that was seen.
    Some(
        Finding::new(
            "key-lost",
            Certainty::Possible,
            format!("none of the {} keys found here is the instance's ({})", compared.len(), list(&names)),
            facts.aws.key_pair.source(),
        )
        .would_prove("a search on your other machines, in backups and with whoever launched the instance"),
    )
}
