//! What ssh makes of its configuration and of the target's name: overrides, the jump host, a shared connection.
//!
//! Pure judgement over `ssh -G`, the resolver's answer and the two small probes of jump host and control socket.

use super::offering::{agent_keys, only_files, order};
use super::{View, auth, launch_key, offering};
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::local::{ControlSocket, JumpHost, SshConfig};
use crate::core::facts::wire::{Answer, SshServer, Tcp};
use crate::core::target::{SSH_PORT, TargetKind};
use std::net::IpAddr;

/// Checks `ssh-config`, `name-resolves`, `jump-host`.
pub fn checks(view: &View<'_>) -> Vec<CheckResult> {
    vec![ssh_config(view.facts), name_resolves(view.facts), jump_host(view.facts)]
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

fn jump_host(facts: &Facts) -> CheckResult {
    let id = "jump-host";
    match &facts.local.jump {
        Fact::Known { value, source } => {
            let (works, text) = jump_words(value);
            let check = if works { CheckResult::pass(id, text.clone()) } else { CheckResult::fail(id, text.clone()) };
            check.seen(if value.words.is_empty() { text } else { value.words.clone() }, source.clone())
        }
        Fact::Unknown { why } => CheckResult::cannot_tell(id, why),
        Fact::NotAsked => CheckResult::not_applicable(id, "the login goes over no jump host that is known"),
    }
}

/// Whether the jump host greets as an SSH server, and what it did in words.
fn jump_words(jump: &JumpHost) -> (bool, String) {
    let at = match jump.address {
        Some(address) => format!("{} ({})", jump.name, std::net::SocketAddr::new(address, jump.port)),
        None => jump.name.clone(),
    };
    match jump.outcome.as_str() {
        "ssh" => (true, format!("the jump host {at} answers as an SSH server")),
        "refused" => (false, format!("the jump host {at} refuses the connection")),
        "timed_out" => (false, format!("the jump host {at} does not answer")),
        "no_address" => (false, format!("the jump host {at} has no address")),
        "not_ssh" => (false, format!("something else than SSH answers at the jump host {at}")),
        "silent" => (false, format!("the jump host {at} takes the connection and says nothing")),
        _ => (false, format!("the jump host {at} cannot be reached")),
    }
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
    out.extend(jump(facts));
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
        if silent {
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

/// The step over the jump host, tried alone.
fn jump(facts: &Facts) -> Option<Finding> {
    let jump = facts.local.jump.value()?;
    let source = facts.local.jump.source();
    let (works, text) = jump_words(jump);
    let id = "proxyjump-broken";
    if works {
        // The bastion answers: what fails is the way from it to the target.
        let paste = facts.paste.as_ref().filter(|p| p.symptom == "proxy_failure")?;
        let line = paste.evidence.iter().find(|line| is_beyond_jump(line))?;
        return Some(
            Finding::new(id, Certainty::Likely, format!("{text}, and ssh said: {line}"), source)
                .and("the instance's security group must let the jump host's private address in, not yours", source)
                .would_prove("a TCP connect to the instance's private address, made on the jump host"),
        );
    }
    Some(match jump.outcome.as_str() {
        "refused" | "timed_out" | "unreachable" | "no_address" | "not_ssh" => {
            let finding = Finding::new(id, Certainty::Proven, text, source);
            if jump.words.is_empty() { finding } else { finding.and(jump.words.clone(), source) }
        }
        _ => Finding::new(id, Certainty::Likely, text, source)
            .would_prove(format!("a login to the jump host alone: ssh {}", jump.name)),
    })
}

/// Whether a line is what ssh prints when the jump host cannot open the connection to the target.
fn is_beyond_jump(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    ["stdio forwarding failed", "open failed: connect failed", "administratively prohibited"]
        .iter()
        .any(|words| line.contains(words))
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
