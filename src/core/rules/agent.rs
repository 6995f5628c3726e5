//! The ssh agent: there, answering, and not offering too many keys.
//!
//! Pure judgement. Must not assume that an agent signs: only that it lists a key was seen.

use super::View;
use super::local::key_of;
use super::offering::{agent_keys, agent_signs, crowded_out, is_crowded, locked, offered, order, usable};
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::local::KeyProbe;
use crate::core::facts::wire::{Answer, Offer, SshServer};

/// Check `agent`.
pub fn check(facts: &Facts) -> CheckResult {
    let id = "agent";
    match &facts.local.agent {
        Fact::Known { value, source } if value.is_empty() => {
            CheckResult::pass(id, "the agent answers, and holds no keys").seen("no keys", source.clone())
        }
        Fact::Known { value, source } => {
            let text = format!("the agent answers, and holds {}", count(value.len()));
            let labels =
                value.iter().map(|k| format!("{} {}", k.algorithm, k.fingerprint)).collect::<Vec<_>>().join(", ");
            CheckResult::pass(id, text).seen(labels, source.clone())
        }
        Fact::Unknown { why: why @ (Why::Failed { .. } | Why::TimedOut { .. }) } => CheckResult::fail(id, why.text()),
        Fact::Unknown { why: Why::Needs { .. } } => CheckResult::not_applicable(id, "no agent is set (SSH_AUTH_SOCK)"),
        other => CheckResult::cannot_tell(id, &other.why_not().unwrap_or(Why::needs("the agent"))),
    }
}

fn count(keys: usize) -> String {
    if keys == 1 { "1 key".to_owned() } else { format!("{keys} keys") }
}

/// Causes at the agent.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    unavailable(view.facts, &mut out);
    too_many_keys(view.facts, &mut out);
    out
}

/// Whether the user was told that the agent would not sign, and nothing but the agent could sign for the key of an
/// offer: that the server takes the key says then nothing about the login.
pub fn refuses_to_sign(facts: &Facts, offer: &Offer) -> bool {
    let told = facts.paste.as_ref().is_some_and(|p| p.causes.iter().any(|c| c == "agent-sign-failed"));
    told && offer.answer != Answer::LoggedIn && agent_signs(facts, offer)
}

/// An agent that was expected and is not there.
fn unavailable(facts: &Facts, out: &mut Vec<Finding>) {
    let id = "agent-unavailable";
    let source = "ssh agent";
    let proof = "ssh-add -l, with the agent that ssh uses";
    let told = facts.symptom() == Some("agent_error");
    // With a key that signs without it, the agent is not missed.
    let missed = !facts.local.keys.iter().any(|k| usable(k) && key_of(k).is_some_and(|key| !locked(facts, key)));
    // A server that was not reached has asked for no key yet.
    let missed =
        missed && (!facts.wire.tcp.is_asked() || matches!(facts.wire.ssh.value(), Some(SshServer::Ready { .. })));
    match &facts.local.agent {
        // A socket is named, and nobody answers there.
        Fact::Unknown { why: why @ (Why::Failed { .. } | Why::TimedOut { .. }) } if told || missed => {
            out.push(Finding::new(id, Certainty::Likely, why.text(), source).would_prove(proof));
        }
        Fact::Unknown { why: why @ Why::Needs { .. } } if told => {
            out.push(Finding::new(id, Certainty::Likely, why.text(), source).would_prove(proof));
        }
        Fact::Known { value, source } if value.is_empty() && told => {
            out.push(Finding::new(id, Certainty::Likely, "the agent holds no keys", source).would_prove(proof));
        }
        _ => {}
    }
}

/// Too many keys use up the server's attempts.
fn too_many_keys(facts: &Facts, out: &mut Vec<Finding>) {
    let id = "too-many-agent-keys";
    let told = facts.symptom() == Some("too_many_failures");
    let accepted =
        |k: &KeyProbe| facts.wire.offers.iter().any(|o| o.key.as_ref() == Some(&k.path) && o.answer.key_is_known());
    let proof = "ssh says: Too many authentication failures; or ssh -v counts the offered keys";
    let crowded = facts.local.keys.iter().find(|k| offered(facts, k) && crowded_out(facts, k) && (told || accepted(k)));
    let late = facts.wire.offers.iter().find(|o| o.answer.key_is_known() && is_crowded(facts, o));
    let agent = agent_keys(facts).len();
    if let Some(label) = crowded.map(|k| k.path.clone()).or_else(|| late.and_then(|o| o.key.clone())) {
        let before = order(facts).iter().position(|c| c.label() == label).unwrap_or(agent);
        let text = format!(
            "ssh offers {} before {label} (the agent holds {agent}); sshd ends the session after 6 (MaxAuthTries)",
            count(before)
        );
        let finding = Finding::new(
            id,
            if told { Certainty::Proven } else { Certainty::Likely },
            text,
            if agent > 0 { facts.local.agent.source() } else { "the keys that ssh is told to offer" },
        );
        out.push(if told { finding } else { finding.would_prove(proof) });
        return;
    }
    // The server ended this probe's own few questions so: its limit is lower than usual.
    let ended = facts.wire.offers.iter().find_map(|o| match &o.answer {
        Answer::Failed { reason } if reason.to_ascii_lowercase().contains("too many authentication failures") => {
            Some(reason)
        }
        _ => None,
    });
    let (text, source) = match (ended, told) {
        (Some(reason), _) => {
            let asked = count(facts.wire.offers.iter().filter(|o| o.key.is_some()).count());
            (format!("after {asked} the server said: {reason}"), facts.wire.ssh.source())
        }
        // The message itself says that too many keys were offered; whose they were is not seen here.
        (None, true) => ("the server said: too many authentication failures".to_owned(), "what you saw"),
        (None, false) => return,
    };
    out.push(Finding::new(id, Certainty::Likely, text, source).would_prove("ssh -v: the list of offered public keys"));
}
