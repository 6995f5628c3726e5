//! What ssh makes of its configuration and of the target's name: overrides, the jump host, a shared connection.
//!
//! Pure judgement over `ssh -G`, the resolver's answer and the small probe of the control socket; the jump host is [`super::jump`]'s.

use super::offering::{agent_keys, only_files, order};
use super::{View, auth, jump, launch_key, offering};
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::local::{ControlSocket, SshConfig};
use crate::core::facts::wire::{Answer, SshServer, Tcp, UsualPort};
use crate::core::target::{SSH_PORT, TargetKind};
use std::net::IpAddr;

/// Checks `ssh-config`, `name-resolves`, `jump-host`.
pub fn checks(view: &View<'_>) -> Vec<CheckResult> {
    vec![ssh_config(view.facts), name_resolves(view.facts), jump::check(view.facts)]
}

fn ssh_config(facts: &Facts) -> CheckResult {
    let id = "ssh-config";
    if no_host_name(facts) {
        return CheckResult::not_applicable(id, "ssh cannot be asked about a name with blanks");
    }
    match &facts.local.config {
        Fact::Known { value, source } => {
            let set = settings(value);
            if set.is_empty() {
                return CheckResult::pass(id, "your ssh configuration says nothing about this host");
            }
            CheckResult::pass(id, format!("your ssh configuration sets {}", set.join(", ")))
                .seen(set.join(", "), source.clone())
        }
        Fact::Unknown { why: why @ Why::Failed { doing, .. } } if !doing.starts_with("starting") => {
            CheckResult::fail(id, why.text())
        }
        other => CheckResult::cannot_tell(id, &other.why_not().unwrap_or(Why::needs("ssh"))),
    }
}

/// What the configuration sets for the target, as it would be written in the file.
fn settings(config: &SshConfig) -> Vec<String> {
    let mut set = Vec::new();
    set.extend(config.hostname.as_ref().map(|h| format!("HostName {h}")));
    set.extend(config.user.as_ref().map(|u| format!("User {u}")));
    set.extend(config.port.map(|p| format!("Port {p}")));
    set.extend(config.proxy_jump.as_ref().map(|j| format!("ProxyJump {j}")));
    set.extend(config.proxy_command.as_ref().map(|c| format!("ProxyCommand {c}")));
    set.extend(config.pubkey_off.then(|| "PubkeyAuthentication no".to_owned()));
    set.extend(config.strict_host_key_checking.as_ref().map(|s| format!("StrictHostKeyChecking {s}")));
    set.extend(config.control_path.as_ref().map(|p| format!("ControlPath {p}")));
    set.extend(config.identity_agent.as_ref().map(|a| format!("IdentityAgent {a}")));
    set
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
            let stale = stale_name(facts).map(|mine| format!("the name leads to {all}, and the instance has {mine}"));
            let check = match stale {
                Some(reason) => CheckResult::fail(id, reason),
                None => CheckResult::pass(id, format!("the name resolves to {all}")),
            };
            check.seen(all, source.clone())
        }
        _ if facts.instance().is_some_and(|i| i.name.as_deref() == Some(&facts.target.name)) => {
            CheckResult::not_applicable(id, "the target is a Name tag")
        }
        Fact::Known { .. } => CheckResult::fail(id, "the name has no address"),
        other => CheckResult::cannot_tell(id, &other.why_not().unwrap_or(Why::needs("a name"))),
    }
}

/// The running instance's addresses, when the name leads to none of them. A loopback address is a forwarder's.
fn stale_name(facts: &Facts) -> Option<String> {
    // Behind a jump host it is that host's resolver that counts.
    let instance = facts.instance().filter(|i| i.state == "running" && !crate::core::vpc::through_jump(facts))?;
    let found = facts.local.dns.value()?;
    let own = instance.addresses();
    let foreign = !own.is_empty() && found.iter().all(|a| !own.contains(a) && !a.is_loopback());
    foreign.then(|| own.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

/// Causes in the configuration, the jump host and the shared connection.
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
    if let Some(config) = facts.local.config.value() {
        overrides(view, config, &mut out);
    }
    out.extend(jump::findings(view));
    out.extend(control(view));
    out
}

/// Settings that differ from what the instance needs.
fn overrides(view: &View<'_>, config: &SshConfig, out: &mut Vec<Finding>) {
    let facts = view.facts;
    let source = facts.local.config.source();
    let mut add = |certainty: Certainty, text: String| {
        let finding = Finding::new("ssh-config-overrides", certainty, text, source);
        out.push(match certainty {
            Certainty::Proven => finding,
            _ => finding.would_prove("a login that works with ssh -F none, with user, key and address given"),
        });
    };
    if config.pubkey_off {
        add(Certainty::Proven, "PubkeyAuthentication no: ssh offers no key to this host".to_owned());
    }
    if let (Some(user), None, Some(other)) = (&config.user, &facts.target.user, auth::better_user(view)) {
        let taken = facts.wire.offers.iter().any(|o| o.user == other && o.answer.key_is_known());
        let certainty = if taken { Certainty::Likely } else { Certainty::Possible };
        add(certainty, format!("the file sets User {user}, and the instance needs {other}"));
    }
    if let (Some(port), None) = (config.port.filter(|p| *p != SSH_PORT), facts.target.port) {
        let silent = matches!(facts.wire.tcp.value(), Some(Tcp::Refused { .. } | Tcp::TimedOut { .. }))
            || matches!(facts.wire.ssh.value(), Some(SshServer::NotSsh { .. }));
        if let (Some(UsualPort::Ssh { banner }), true) = (facts.wire.usual.value(), facts.dialled_own_address()) {
            let text = format!(
                "the file sets Port {port}, where no SSH server answers, and one answers on {SSH_PORT}: {banner}"
            );
            add(Certainty::Likely, text);
        } else if silent {
            // The owner may well have moved sshd there.
            let text = format!(
                "the file sets Port {port}, where no SSH server answers; sshd listens on {SSH_PORT} unless it was moved"
            );
            add(Certainty::Possible, text);
        }
    }
    if let Some(text) = other_host(facts, config) {
        add(Certainty::Likely, text);
    }
    if let Some(text) = withheld(facts) {
        let refused = facts.wire.offers.iter().any(|o| o.answer == Answer::Refused);
        add(if refused { Certainty::Likely } else { Certainty::Possible }, text);
    }
}

/// `HostName` sends ssh to an address that is neither the typed one nor the instance's.
fn other_host(facts: &Facts, config: &SshConfig) -> Option<String> {
    let dialled: IpAddr = config.hostname.as_deref()?.parse().ok()?;
    if facts.target.address.is_some() || dialled.is_loopback() && facts.dialled_own_address() {
        return None;
    }
    if let TargetKind::Address(typed) = facts.target.kind() {
        return (typed != dialled).then(|| format!("you give {typed}, and the file's HostName sends ssh to {dialled}"));
    }
    let instance = facts.instance().filter(|i| i.state == "running")?;
    let own = instance.addresses();
    let foreign = !own.is_empty() && !own.contains(&dialled);
    foreign.then(|| format!("the file's HostName sends ssh to {dialled}, which is no address of {}", instance.label()))
}

/// `IdentitiesOnly` keeps ssh from offering the agent's key that belongs to the instance.
fn withheld(facts: &Facts) -> Option<String> {
    if !only_files(facts) || order(facts).iter().any(|c| launch_key::is_launch_candidate(facts, *c) == Some(true)) {
        return None;
    }
    let held = agent_keys(facts).iter().find(|k| launch_key::is_launch_agent_key(facts, k) == Some(true))?;
    Some(format!("IdentitiesOnly yes: ssh does not offer {}, which is the instance's key pair", held.label()))
}

/// Whether a shared connection's socket takes ssh's question and never answers: ssh itself would wait for it.
pub fn hanging_socket(facts: &Facts) -> Option<&ControlSocket> {
    facts.local.control.value().and_then(Option::as_ref).filter(|c| c.hangs && !c.alive)
}

fn control(view: &View<'_>) -> Option<Finding> {
    let facts = view.facts;
    let socket = hanging_socket(facts)?;
    let text = format!("the control socket {} takes the connection and does not answer", socket.path);
    let source = facts.local.control.source();
    let without = facts.wire.offers.iter().find(|o| o.answer == Answer::LoggedIn && offering::would_offer(facts, o));
    Some(match without {
        Some(offer) => Finding::new("stale-control-socket", Certainty::Proven, text, source)
            .and(format!("without it the login as {} works", offer.user), facts.wire.ssh.source()),
        None => Finding::new("stale-control-socket", Certainty::Likely, text, source)
            .would_prove("a login that works without it: ssh -o ControlPath=none"),
    })
}
