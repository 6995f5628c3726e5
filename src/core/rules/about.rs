//! What the symptom is about: the login by SSH, or another door.
//!
//! Causes of another door never explain a failed SSH login; they count when the user asks about that door.
//! Must not look for causes.

use super::View;
use super::rank::{Stage, stage};
use crate::core::facts::Facts;
use crate::core::vpc::path::public_addresses;

/// What the user asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The login by SSH.
    Ssh,
    /// Session Manager.
    Ssm,
    /// EC2 Instance Connect or its endpoint, or the serial console.
    Connect,
    /// Remote Desktop.
    Rdp,
    /// Ping.
    Ping,
    /// The AWS API itself.
    Aws,
}

/// What the symptom, told or pasted, is about.
pub fn asked(facts: &Facts) -> Asked {
    match facts.symptom() {
        Some("ssm_not_connected" | "ssm_plugin_missing") => Asked::Ssm,
        Some("eic_error") => Asked::Connect,
        Some("rdp_error") => Asked::Rdp,
        Some("ping_failure") => Asked::Ping,
        Some("aws_credentials") => Asked::Aws,
        _ => Asked::Ssh,
    }
}

/// Whether Remote Desktop is asked about, and the port in question is not that of SSH.
pub fn remote_desktop(facts: &Facts) -> bool {
    asked(facts) == Asked::Rdp && facts.port() != crate::core::target::SSH_PORT
}

/// Whether the symptom itself shows that an SSH server answered.
pub fn ssh_was_seen(facts: &Facts) -> bool {
    facts.symptom().is_some_and(|symptom| {
        [
            "host_key_changed",
            "host_key_unknown",
            "refused_key",
            "too_many_failures",
            "no_supported_auth",
            "permission_denied",
            "wrong_login_user",
            "algorithm_mismatch",
            "account_locked_or_expired",
            "booting_nologin",
            "shell_or_home_missing",
            "session_dropped",
        ]
        .contains(&symptom)
    })
}

/// Whether the pasted text has one of these pieces, in its deciding lines; case counts not.
pub fn pasted(facts: &Facts, pieces: &[&str]) -> Option<String> {
    let lines = facts.paste.as_ref().map(|p| p.evidence.as_slice()).unwrap_or_default();
    let has = |line: &&String| {
        let line = line.to_lowercase();
        pieces.iter().any(|piece| line.contains(piece))
    };
    lines.iter().find(has).cloned()
}

/// Whether a cause of a door (or of a repair, or of the looking) is what the user asks about.
pub fn concerns(view: &View<'_>, id: &str) -> bool {
    let facts = view.facts;
    match asked(facts) {
        Asked::Ssh => false,
        Asked::Ssm => id.starts_with("ssm-"),
        Asked::Connect => match id {
            "imds-disabled" => true,
            _ if id.starts_with("eic-") => !serial(facts),
            _ if id.starts_with("eice-") => !serial(facts) && through_endpoint(facts),
            _ => id.starts_with("serial-") && serial(facts),
        },
        Asked::Rdp => id.starts_with("windows-password-") || id.starts_with("rdp-"),
        Asked::Ping => id.starts_with("icmp-"),
        Asked::Aws => stage(id) == Stage::Looking || matches!(id, "ssm-caller-denied" | "iam-denied-fix"),
    }
}

/// Whether a cause of this stage can be what the user asks about at all.
pub fn fits_question(view: &View<'_>, id: &str) -> bool {
    match stage(id) {
        Stage::Looking | Stage::Door | Stage::Obstacle => concerns(view, id),
        Stage::State => true,
        Stage::Config => asked(view.facts) != Asked::Ssm,
        Stage::Network => asked(view.facts) != Asked::Ssm || id.starts_with("wrong-region"),
        // A pushed key stands in for one's own.
        Stage::KeyFile => !matches!(asked(view.facts), Asked::Ssm | Asked::Rdp | Asked::Connect),
        Stage::Server | Stage::HostKey | Stage::Login => !matches!(asked(view.facts), Asked::Ssm | Asked::Rdp),
    }
}

/// Whether the failed connection went through an Instance Connect Endpoint: it says so, or there is no other way.
fn through_endpoint(facts: &Facts) -> bool {
    let said = ["endpoint", "opentunnel", "open-tunnel", "websocket", "eice-", "tunnel"];
    pasted(facts, &said).is_some() || (facts.instance().is_some() && public_addresses(facts).is_empty())
}

/// Whether the failed connection was to the serial console.
fn serial(facts: &Facts) -> bool {
    pasted(facts, &["serialconsole", "serial console", "serial-console", "ec2instancetypeinvalid"]).is_some()
}
