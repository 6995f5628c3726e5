//! The jump host: whether it answers, lets the user in, and connects to the target.
//!
//! The login to it is judged by the same rules as any other, on facts of its own. What is wrong behind it is a cause of
//! the network, the server or the login; here it is only said that the step from the jump host is the one that fails.

use super::offering::{order, unasked};
use super::{View, crypto, host_key, local, network, rank};
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::fact::Fact;
use crate::core::facts::Facts;
use crate::core::facts::local::{JumpHost, JumpLogin, KeyProbe};
use crate::core::facts::wire::{Answer, Onward, SshServer, Tcp};
use crate::core::jump::{AwsDoor, AwsWay, Way, way};
use crate::core::text::list;

const ID: &str = "proxyjump-broken";

/// How far one step leads.
enum Step {
    /// On to the next.
    Open(String),
    /// Not on, for this reason; what was seen beside it.
    Broken(Certainty, String, Vec<String>),
    /// The facts do not tell.
    Unclear(String),
}

/// Check `jump-host`.
pub(super) fn check(facts: &Facts) -> CheckResult {
    let id = "jump-host";
    match &facts.local.jump {
        Fact::Known { value, source } => {
            let (check, text) = match step(facts, value) {
                Step::Open(text) => (CheckResult::pass(id, text.clone()), text),
                Step::Broken(Certainty::Possible, text, _) | Step::Unclear(text) => {
                    (CheckResult::unclear(id, text.clone()), text)
                }
                Step::Broken(_, text, _) => (CheckResult::fail(id, text.clone()), text),
            };
            check.seen(if value.words.is_empty() { text } else { value.words.clone() }, source.clone())
        }
        Fact::Unknown { why } => CheckResult::cannot_tell(id, why),
        Fact::NotAsked => match way(facts) {
            Way::Aws(way) => by_door(facts, &way),
            Way::Command(command) => CheckResult::unclear(
                id,
                format!("cannot tell: the login goes through your ProxyCommand ({command}), which only ssh runs"),
            ),
            _ => CheckResult::not_applicable(id, "the login goes over no jump host that is known"),
        },
    }
}

/// A way through a door of AWS: what came of it when this program opened the same door.
fn by_door(facts: &Facts, way: &AwsWay) -> CheckResult {
    let id = "jump-host";
    let door = match way.door {
        AwsDoor::Ssm => "Session Manager",
        AwsDoor::Eice => "an EC2 Instance Connect Endpoint",
    };
    match &facts.wire.tcp {
        Fact::Known { source, .. } => {
            let text = format!("the login goes through {door} to port {} of {}", way.port, way.target);
            CheckResult::pass(id, text).seen(format!("your ProxyCommand: {}", way.command), source.clone())
        }
        Fact::Unknown { why } => CheckResult::cannot_tell(id, why),
        Fact::NotAsked => CheckResult::not_applicable(id, format!("the login goes through {door}, over no jump host")),
    }
}

/// Causes at the jump host, and between it and the target.
pub(super) fn findings(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let Some(jump) = facts.local.jump.value() else { return Vec::new() };
    let login = jump.login.as_ref().map_or("", |l| l.wire.ssh.source());
    let source = if login.is_empty() { facts.local.jump.source() } else { login };
    let found = match step(facts, jump) {
        Step::Broken(certainty, text, more) => {
            let finding = Finding::new(ID, certainty, text, source);
            let finding = more.into_iter().fold(finding, |f, text| f.and(text, source));
            let finding = match facts.wire.onward.is_none().then(|| jump.instance.value()).flatten() {
                Some(i) if i.state != "running" => {
                    finding.and(format!("the jump host is {}, which is {}", i.label(), i.state), jump.instance.source())
                }
                _ => finding,
            };
            Some(match certainty {
                Certainty::Proven => finding,
                _ => finding.would_prove(format!("a login to the jump host alone: ssh {}", jump.name)),
            })
        }
        Step::Open(text) => match &facts.wire.onward {
            Some(onward) => beyond(view, jump, onward),
            None => told_beyond(facts, &text),
        },
        Step::Unclear(_) => None,
    };
    found.into_iter().collect()
}

/// The jump host as people want to read it.
fn label(jump: &JumpHost) -> String {
    match jump.address {
        Some(address) if !jump.name.contains(&address.to_string()) => {
            format!("{} ({})", jump.name, std::net::SocketAddr::new(address, jump.port))
        }
        _ => jump.name.clone(),
    }
}

fn step(facts: &Facts, jump: &JumpHost) -> Step {
    let at = label(jump);
    let broken = |certainty, text: String| {
        let words = Some(jump.words.clone()).filter(|w| !w.is_empty());
        let through = (!jump.before.is_empty()).then(|| format!("it is reached through {}", list(&jump.before)));
        Step::Broken(certainty, text, words.into_iter().chain(through).collect())
    };
    let proven = Certainty::Proven;
    match (jump.outcome.as_str(), &jump.login) {
        ("ssh", None) => Step::Open(format!("the jump host {at} answers as an SSH server")),
        ("ssh", Some(login)) => logged_in(facts, &at, login),
        ("refused", _) => broken(proven, format!("the jump host {at} refuses the connection")),
        ("timed_out", _) => broken(proven, format!("the jump host {at} does not answer")),
        ("no_address", _) => broken(proven, format!("the jump host {at} has no address")),
        ("not_ssh", _) => broken(proven, format!("something else than SSH answers at the jump host {at}")),
        ("unreachable", _) => broken(proven, format!("the jump host {at} cannot be reached")),
        ("prohibited", _) => {
            let before = jump.before.last().cloned().unwrap_or_default();
            broken(proven, format!("the jump host {before} lets nobody connect through it to {at}"))
        }
        ("silent", _) => broken(Certainty::Likely, format!("the jump host {at} takes the connection and says nothing")),
        _ => broken(Certainty::Likely, format!("the jump host {at} cannot be reached")),
    }
}

/// Whether the login to the jump host works, as ssh would make it.
fn logged_in(facts: &Facts, at: &str, login: &JumpLogin) -> Step {
    let own = login.facts();
    let view = View::new(&own);
    let broken = |certainty, text: String| Step::Broken(certainty, text, Vec::new());
    if let Some((words, _)) = crypto::words(&own) {
        return broken(Certainty::Proven, format!("your ssh and the jump host {at} cannot agree: {words}"));
    }
    let (host_key, host_key_type) = match own.wire.ssh.value() {
        Some(SshServer::Ready { host_key, host_key_type, .. }) => (host_key, host_key_type),
        Some(SshServer::KexFailed { .. }) if crypto::agree(&own) == Some(true) => {
            return Step::Unclear(format!(
                "the key exchange of this program fails with the jump host {at}; your ssh's need not"
            ));
        }
        Some(SshServer::KexFailed { reason, .. }) => {
            return broken(Certainty::Likely, format!("the key exchange with the jump host {at} fails: {reason}"));
        }
        _ => return Step::Unclear(format!("the jump host {at} was not asked further")),
    };
    if let Some((known, stops)) = host_key::against(&view) {
        let text = format!("the jump host {at} shows {host_key_type} {host_key}, and {known}");
        return if stops {
            let certain = !known.starts_with("no known_hosts");
            broken(if certain { Certainty::Proven } else { Certainty::Likely }, text + ": ssh refuses to go on")
        } else {
            Step::Unclear(text + ": no key was shown to it")
        };
    }
    if jump_was_open(&own) {
        return Step::Open(format!("the jump host {at} lets {} in", user_of(&own)));
    }
    answered(facts, at, &own, login.certificate)
}

fn jump_was_open(own: &Facts) -> bool {
    own.wire.offers.iter().any(|o| o.answer == Answer::LoggedIn)
}

fn user_of(own: &Facts) -> &str {
    own.target.user.as_deref().unwrap_or("nobody")
}

/// What the jump host said to user and keys, when it did not let us in.
fn answered(facts: &Facts, at: &str, own: &Facts, certificate: bool) -> Step {
    let user = user_of(own);
    let offers = &own.wire.offers;
    if own.local.config.value().is_some_and(|c| c.pubkey_off) {
        return Step::Unclear(format!("your ssh brings no key to the jump host {at} (PubkeyAuthentication no)"));
    }
    let key = |o: &crate::core::facts::wire::Offer| o.key.clone().unwrap_or_else(|| "no key".to_owned());
    for offer in offers {
        match &offer.answer {
            // A second factor is the user's to give.
            Answer::AcceptedThenRefused { .. } if offer.methods.iter().any(|m| m != "publickey") => {
                return Step::Unclear(format!(
                    "the jump host {at} takes {} for {user} and wants more than that ({}), so nothing behind it was asked",
                    key(offer),
                    offer.methods.join(", ")
                ));
            }
            Answer::Failed { reason } if reason.starts_with("the agent did not sign: no answer") => {
                return Step::Unclear(format!(
                    "the jump host {at} takes {} for {user}, and {reason}: it may wait for your consent or a touch",
                    key(offer)
                ));
            }
            Answer::AcceptedThenRefused { reason } => {
                let text = format!("the jump host {at} knows {} and then refuses {user}: {reason}", key(offer));
                return Step::Broken(Certainty::Proven, text, Vec::new());
            }
            Answer::WouldAccept => {
                return Step::Unclear(format!(
                    "the jump host {at} takes {} for {user}; only you can unlock it, so nothing behind it was asked",
                    key(offer)
                ));
            }
            Answer::Failed { reason } => {
                let text = format!("the login to the jump host {at} as {user} with {} fails: {reason}", key(offer));
                return Step::Broken(Certainty::Likely, text, Vec::new());
            }
            Answer::LoggedIn | Answer::Refused => {}
        }
    }
    let refused: Vec<String> = offers.iter().filter(|o| o.key.is_some()).map(key).collect();
    let methods: Vec<String> = offers.last().map(|o| o.methods.clone()).unwrap_or_default();
    let typed = methods.iter().any(|m| m != "publickey");
    let left = unasked(own) || certificate;
    let mut more = Vec::new();
    let own_name = own.local.config.value().is_none_or(|c| c.user.is_none());
    let named = facts.local.jump.value().is_some_and(|j| j.name.contains('@'));
    if own_name && !named {
        more.push(format!("no User is set for the jump host, so ssh logs in as {user}"));
    }
    let given = |k: &&KeyProbe| k.origin == "-i" && own.local.keys.iter().all(|probe| probe.path != k.path);
    if let Some(key) = facts.local.keys.iter().find(given) {
        more.push(format!("-i {} does not count for the jump host: it needs a Host block of its own", key.path));
    }
    let troubles = own.local.keys.iter().filter_map(local::trouble);
    more.extend(troubles.map(|(_, text)| text));
    let certainty = match (typed, left) {
        (true, _) => Certainty::Possible,
        (false, true) => Certainty::Likely,
        (false, false) => Certainty::Proven,
    };
    if refused.is_empty() {
        if offers.is_empty() || !order(own).is_empty() {
            return Step::Unclear(format!("the jump host {at} answers; there was no key that it could be asked about"));
        }
        return Step::Broken(certainty, format!("your ssh has no key that it could bring to the jump host {at}"), more);
    }
    if typed {
        more.push(format!("it still offers: {}", methods.join(", ")));
    }
    Step::Broken(certainty, format!("the jump host {at} refuses {user} with {}", list(&refused)), more)
}

/// What the jump host made of the connection to the target.
fn beyond(view: &View<'_>, jump: &JumpHost, onward: &Onward) -> Option<Finding> {
    let facts = view.facts;
    let source = format!("connect to {}:{} through {}", onward.host, onward.port, jump.name);
    let to = format!("{}:{}", onward.host, onward.port);
    let said = |finding: Finding| {
        if onward.words.is_empty() { finding } else { finding.and(onward.words.clone(), source.clone()) }
    };
    match onward.outcome.as_str() {
        "prohibited" => {
            let text = format!(
                "the jump host {} lets you in and lets nobody connect through it to {to} (AllowTcpForwarding, PermitOpen, \
                 or an option of your key in its authorized_keys)",
                jump.name
            );
            return Some(said(Finding::new(ID, Certainty::Proven, text, source.clone())));
        }
        "failed" if facts.wire.tcp.value().is_none() => {
            let lower = onward.words.to_ascii_lowercase();
            let nowhere = ["name or service not known", "not known", "no address associated", "not found"];
            let certain = nowhere.iter().any(|w| lower.contains(w));
            let text = if certain {
                format!("the jump host {} does not know the name {}", jump.name, onward.host)
            } else {
                format!("the jump host {} cannot connect to {to}", jump.name)
            };
            let finding =
                Finding::new(ID, if certain { Certainty::Proven } else { Certainty::Likely }, text, source.clone());
            let finding = said(finding);
            return Some(if certain { finding } else { finding.would_prove(on_the_jump_host(&to)) });
        }
        _ => {}
    }
    match facts.wire.tcp.value()? {
        Tcp::TimedOut { .. } => no_answer(view, jump, &to, &source),
        Tcp::Unreachable { reason } => {
            let text = format!("the jump host {} cannot reach {to}: {reason}", jump.name);
            Some(Finding::new(ID, Certainty::Likely, text, source).would_prove(on_the_jump_host(&to)))
        }
        // By a name of its own resolver: nobody here knows which host that was.
        Tcp::Refused { .. } if facts.wire.address.is_none_or(|a| a.is_unspecified()) => {
            let text = format!("{to}, as the jump host {} finds it, refuses the connection", jump.name);
            Some(Finding::new(ID, Certainty::Likely, text, source).would_prove(on_the_jump_host(&to)))
        }
        _ => None,
    }
}

fn on_the_jump_host(to: &str) -> String {
    format!("a TCP connect to {to}, made on the jump host")
}

/// The target does not answer the jump host.
fn no_answer(view: &View<'_>, jump: &JumpHost, to: &str, source: &str) -> Option<Finding> {
    let facts = view.facts;
    // A stopped instance answers nobody.
    if facts.instance().is_some() && !view.running() {
        return None;
    }
    let text = format!("the jump host {} lets you in, and gets no answer from {to}", jump.name);
    let closes = |f: &Finding| f.certainty >= Certainty::Likely && rank::stage(&f.id) == rank::Stage::Network;
    let closed = network::findings(facts).into_iter().find(closes);
    if let Some(closed) = closed {
        let finding = Finding::new(ID, closed.certainty, text, source);
        let finding = closed.evidence.into_iter().fold(finding, |f, e| f.and(e.text, e.source));
        return Some(match closed.certainty {
            Certainty::Proven => finding,
            _ => finding.would_prove(on_the_jump_host(to)),
        });
    }
    let certainty = if network::all_open(facts) { Certainty::Possible } else { Certainty::Likely };
    Some(
        Finding::new(ID, certainty, text, source)
            .and("the instance's security group must let the jump host's private address in, not yours", source)
            .would_prove("the rules of the jump host's own groups for what leaves it, or a connect made there"),
    )
}

/// The jump host answers, and ssh said that it could not go on from there.
fn told_beyond(facts: &Facts, text: &str) -> Option<Finding> {
    let source = facts.local.jump.source();
    let paste = facts.paste.as_ref().filter(|p| p.symptom == "proxy_failure")?;
    let line = paste.evidence.iter().find(|line| is_beyond_jump(line))?;
    Some(
        Finding::new(ID, Certainty::Likely, format!("{text}, and ssh said: {line}"), source)
            .and("the instance's security group must let the jump host's private address in, not yours", source)
            .would_prove("a TCP connect to the instance's private address, made on the jump host"),
    )
}

/// Whether a line is what ssh prints when the jump host cannot open the connection to the target.
fn is_beyond_jump(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    ["stdio forwarding failed", "open failed: connect failed", "administratively prohibited"]
        .iter()
        .any(|words| line.contains(words))
}

/// The symptom that ssh shows when a step over the jump host fails: its last words are about the proxy.
pub(super) fn symptom(facts: &Facts) -> Option<&'static str> {
    let jump = facts.local.jump.value()?;
    let stopped = matches!(step(facts, jump), Step::Broken(certainty, ..) if certainty >= Certainty::Likely);
    let beyond = facts.wire.onward.as_ref().is_some_and(|o| o.outcome != "open");
    (stopped || beyond).then_some("proxy_failure")
}
