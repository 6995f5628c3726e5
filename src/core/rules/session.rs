//! Symptoms that a login which works does not answer: a session that dropped, a shell that ends at once.
//!
//! Pure judgement over the symptom and what the wire shows now.

use super::View;
use crate::core::cause::{Certainty, Finding};
use crate::core::facts::Facts;

/// Seconds since a start in which a session that ended may have ended with the machine.
const RESTARTED: i64 = 3600;

/// The answer to the symptom, where the login works now.
pub fn answer(view: &View<'_>) -> Vec<Finding> {
    idle(view.facts).into_iter().chain(no_shell(view.facts)).collect()
}

/// What comes after a login that the server lets in.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    no_shell(view.facts).into_iter().collect()
}

/// The user tells of a session that ends at once, and the server lets them in: what comes after the login.
fn no_shell(facts: &Facts) -> Option<Finding> {
    let told = facts.symptom.as_deref() == Some("shell_or_home_missing");
    let offer = facts.wire.offers.iter().find(|o| told && o.answer.key_is_known())?;
    let text = format!("the server knows the key for {}, and you see the session end at once", offer.user);
    Some(
        Finding::new("shell-nologin", Certainty::Likely, text, facts.wire.ssh.source())
            .would_prove("getent passwd USER inside the instance (Session Manager): its last field"),
    )
}

/// An established session ended, and a new one can be opened.
fn idle(facts: &Facts) -> Option<Finding> {
    if facts.symptom() != Some("session_dropped") {
        return None;
    }
    let age = facts.instance().and_then(|i| i.launched).map(|t| facts.now - t);
    if facts.now > 0 && age.is_some_and(|age| (0..RESTARTED).contains(&age)) {
        return None;
    }
    let seen = facts.paste.as_ref().and_then(|p| p.evidence.first().cloned());
    let text = seen.unwrap_or_else(|| "an established session ended".to_owned());
    Some(
        Finding::new("session-idle-dropped", Certainty::Likely, text, "what you saw")
            .and("a login works now, so the network, sshd and your key are in order", facts.wire.ssh.source())
            .would_prove("a session with ServerAliveInterval 60 that stays open while nobody types"),
    )
}
