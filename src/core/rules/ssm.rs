//! Session Manager: agent, role, way out, metadata service, the caller's own right and plugin.
//!
//! A chain of which every link must hold; each broken link is a cause of its own. It says nothing about
//! SSH. Must not judge the way of the login.

mod egress;
mod role;

pub use role::NEEDED;

use super::View;
use super::about::{Asked, asked, pasted};
use crate::core::ami::Confidence;
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::diagnosis::DoorState;
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;

/// What is known of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Agent {
    /// Online, and nothing speaks against it.
    Online,
    /// Online, but Session Manager has no channel to it.
    NoChannel,
    /// It was online once.
    Lost,
    /// It has never registered.
    Never,
    /// AWS did not tell.
    Unknown,
}

fn agent(facts: &Facts) -> Agent {
    let no_channel = facts.doors.connection.value().is_some_and(|c| c.eq_ignore_ascii_case("notconnected"));
    match facts.aws.ssm.value() {
        Some(Some(agent)) if agent.ping == "Online" && no_channel => Agent::NoChannel,
        Some(Some(agent)) if agent.ping == "Online" => Agent::Online,
        Some(Some(_)) => Agent::Lost,
        Some(None) => Agent::Never,
        None => Agent::Unknown,
    }
}

/// Whether an IAM action is one that opens a session or runs a command.
pub(super) fn is_session_action(action: &str) -> bool {
    let action = action.to_ascii_lowercase();
    ["ssm:startsession", "ssm:sendcommand", "ssm:resumesession", "ssmmessages:"].iter().any(|a| action.starts_with(a))
}

/// Checks `ssm-agent`, `ssm-role`, `ssm-path`.
pub(super) fn checks(view: &View<'_>) -> Vec<CheckResult> {
    vec![agent_check(view), role::check(view), egress::check(view)]
}

fn agent_check(view: &View<'_>) -> CheckResult {
    let id = "ssm-agent";
    let facts = view.facts;
    match &facts.aws.ssm {
        Fact::Known { value: Some(agent), source } if agent.ping == "Online" => {
            let version = format!("agent {}", agent.version.as_deref().unwrap_or("of unknown version"));
            if self::agent(facts) == Agent::NoChannel {
                return CheckResult::fail(id, "the SSM agent is online, but Session Manager has no channel to it")
                    .seen("GetConnectionStatus notconnected", facts.doors.connection.source());
            }
            let text = if asked(facts) == Asked::Ssm {
                "the SSM agent is online: Session Manager reaches the instance now"
            } else {
                "the SSM agent is online"
            };
            CheckResult::pass(id, text).seen(version, source.clone())
        }
        Fact::Known { value: Some(agent), source } => {
            CheckResult::fail(id, format!("the SSM agent is {}", agent.ping)).seen(agent.ping.clone(), source.clone())
        }
        Fact::Known { value: None, source } => {
            CheckResult::fail(id, "the SSM agent has never registered").seen("not in the list", source.clone())
        }
        other => CheckResult::cannot_tell(id, &other.why_not().unwrap_or(Why::needs("Systems Manager"))),
    }
}

/// Causes of a Session Manager that does not reach the instance, or not for this caller.
pub(super) fn findings(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let mut out = here(facts);
    if !view.running() {
        return out;
    }
    let agent = agent(facts);
    match agent {
        Agent::Online => {
            // Opened from here: nothing is left to explain.
            if asked(facts) == Asked::Ssm && out.is_empty() && !facts.doors.session.is_known() {
                out.push(
                    Finding::new(
                        "wrong-region-or-account",
                        Certainty::Possible,
                        "the SSM agent is online in this Region and account: the command that failed may have asked another",
                        facts.aws.ssm.source(),
                    )
                    .would_prove("the Region and profile of the command that failed"),
                );
            }
        }
        Agent::Unknown if asked(facts) != Asked::Ssm => {}
        _ => chain(view, agent, &mut out),
    }
    out
}

/// What is wrong on the caller's side: the text that was pasted, or a session that was tried.
fn here(facts: &Facts) -> Vec<Finding> {
    let mut out = Vec::new();
    if facts.symptom() == Some("ssm_plugin_missing") {
        let line = facts.paste.as_ref().filter(|p| p.symptom == "ssm_plugin_missing").and_then(|p| p.evidence.first());
        out.push(match line {
            Some(line) => Finding::new("ssm-plugin-missing", Certainty::Proven, line.clone(), "pasted text"),
            None => Finding::new(
                "ssm-plugin-missing",
                Certainty::Likely,
                "the symptom given says that the plugin was not found",
                "your symptom",
            )
            .would_prove("session-manager-plugin --version on this machine"),
        });
    }
    if let Fact::Unknown { why: Why::Denied { action, reason } } = &facts.doors.session {
        let text = format!("not allowed: {action} {reason}").trim_end().to_owned();
        out.push(Finding::new("ssm-caller-denied", Certainty::Proven, text, action));
    } else if let Some(line) = denied_line(facts) {
        out.push(Finding::new("ssm-caller-denied", Certainty::Proven, line, "pasted text"));
    }
    out
}

/// The pasted line in which AWS denies the caller a session or command.
fn denied_line(facts: &Facts) -> Option<String> {
    let line = pasted(
        facts,
        &[
            "ssm:startsession",
            "ssm:sendcommand",
            "ssm:resumesession",
            "startsession operation",
            "sendcommand operation",
        ],
    )?;
    let lower = line.to_lowercase();
    let denied = lower.contains("not authorized") || lower.contains("accessdenied") || lower.contains("access denied");
    denied.then_some(line)
}

/// The broken links between agent and Systems Manager.
fn chain(view: &View<'_>, agent: Agent, out: &mut Vec<Finding>) {
    let facts = view.facts;
    // Nobody but the user says that the agent is not connected.
    let told_only = agent == Agent::Unknown;
    let mut broken = Vec::new();
    if super::gates::metadata_off(facts) {
        let text = "MetadataOptions.HttpEndpoint is disabled: the agent gets no credentials";
        broken.push(Finding::new("ssm-imds-off", Certainty::Proven, text, facts.aws.instance.source()));
    }
    broken.extend(role::finding(view));
    broken.extend(egress::finding(view));
    if told_only {
        for finding in &mut broken {
            finding.certainty = finding.certainty.min(Certainty::Likely);
            finding.would_prove.get_or_insert_with(|| "what Systems Manager says of the agent".to_owned());
        }
    }
    let explained = broken.iter().any(|f| f.certainty >= Certainty::Likely);
    out.extend(broken);
    out.extend(no_agent(view, agent, explained));
    if agent == Agent::Never {
        let text = "DescribeInstanceInformation does not list the running instance";
        let finding = Finding::new("ssm-not-registered", Certainty::Proven, text, facts.aws.ssm.source());
        out.push(if super::instance::may_be_booting(facts) {
            Finding { certainty: Certainty::Likely, ..finding }.would_prove("the same look some minutes after the boot")
        } else {
            finding
        });
    }
}

/// What is left when the links around the agent hold, or when the image comes without an agent.
fn no_agent(view: &View<'_>, agent: Agent, explained: bool) -> Option<Finding> {
    let facts = view.facts;
    let id = "ssm-agent-missing-or-stopped";
    let without = view
        .family
        .as_ref()
        .filter(|f| f.confidence == Confidence::Sure && f.family.ssm_preinstalled == Some(false))
        .map(|f| format!("{} images come without an SSM agent", f.family.title));
    let links_hold = role::state(view).0 == DoorState::Open && egress::state(view).0 == DoorState::Open;
    let (certainty, text) = match agent {
        Agent::Lost if explained => {
            (Certainty::Possible, "the agent was online before, and lost its connection".to_owned())
        }
        Agent::Lost => (
            Certainty::Likely,
            "the agent was online before, and lost its connection while the instance runs".to_owned(),
        ),
        Agent::Never if without.is_some() => (Certainty::Likely, without.unwrap_or_default()),
        Agent::Never if links_hold && !super::instance::may_be_booting(facts) => {
            (Certainty::Likely, "role and way out are as they should be, and no agent has registered".to_owned())
        }
        Agent::NoChannel if !explained => {
            (Certainty::Possible, "the agent answers Systems Manager, and its session channel is closed".to_owned())
        }
        _ => return None,
    };
    Some(
        Finding::new(id, certainty, text, facts.aws.ssm.source())
            .would_prove("systemctl status amazon-ssm-agent and its log inside the instance (SSH, serial console)"),
    )
}

/// State of the door and why; the cause is named where it is closed.
pub(super) fn door(view: &View<'_>) -> (DoorState, String) {
    let facts = view.facts;
    if facts.instance().is_some() && !view.running() {
        // The list says Online for some minutes after a stop.
        return (DoorState::Closed, "the instance is not running".to_owned());
    }
    if facts.doors.session.is_known() {
        return (DoorState::Open, "a session was opened, and ended at once".to_owned());
    }
    if here(facts).iter().any(|f| f.id == "ssm-caller-denied") {
        return (DoorState::Closed, "you may not open a session (ssm-caller-denied)".to_owned());
    }
    let links = || -> String {
        let mut causes = Vec::new();
        if super::gates::metadata_off(facts) {
            causes.push("the metadata service is off (ssm-imds-off)".to_owned());
        }
        let all = role::finding(view).into_iter().chain(egress::finding(view));
        causes.extend(
            all.filter(|f| f.certainty >= Certainty::Likely).map(|f| format!("{} ({})", f.evidence[0].text, f.id)),
        );
        if causes.is_empty() { String::new() } else { format!(": {}", causes.join("; ")) }
    };
    match agent(facts) {
        Agent::Online => match &facts.doors.session {
            Fact::Unknown { why } if !matches!(why, Why::Needs { .. } | Why::Cancelled) => {
                (DoorState::Unknown, format!("the SSM agent is online, but no session could be opened: {}", why.text()))
            }
            _ => (DoorState::Open, "the SSM agent is online".to_owned()),
        },
        Agent::NoChannel => {
            (DoorState::Closed, format!("the SSM agent is online, but Session Manager says notconnected{}", links()))
        }
        Agent::Lost => {
            let ping = facts.aws.ssm.value().and_then(Option::as_ref).map(|a| a.ping.clone()).unwrap_or_default();
            (DoorState::Closed, format!("the SSM agent is {ping}{}", links()))
        }
        Agent::Never => {
            (DoorState::Closed, format!("the SSM agent has never registered (ssm-not-registered){}", links()))
        }
        Agent::Unknown => (DoorState::Unknown, facts.aws.ssm.why_not().map(|w| w.text()).unwrap_or_default()),
    }
}
