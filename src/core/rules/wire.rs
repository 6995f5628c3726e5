//! What TCP and SSH showed: port, banner, host key; the path and the symptom seen.

use super::{View, auth, crypto, host_key, instance, jump, network};
use crate::core::cause::{Certainty, Finding};
use crate::core::check::{CheckResult, Hop, HopId, HopState};
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::wire::{SshServer, Tcp, UsualPort};
use crate::core::recognise::Kind;
use crate::core::target::SSH_PORT;
use crate::core::text::millis;

/// Checks `tcp-port`, `ssh-banner`, `host-key`.
pub fn checks(view: &View<'_>) -> Vec<CheckResult> {
    vec![tcp(view.facts), banner(view.facts), host_key::check(view)]
}

fn dialled(facts: &Facts) -> String {
    if let (Some(onward), Some(jump)) = (&facts.wire.onward, facts.local.jump.value()) {
        return format!("{}:{} (through {})", onward.host, onward.port, jump.name);
    }
    match (facts.wire.address, facts.wire.port) {
        (Some(address), Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
        _ => "the target".to_owned(),
    }
}

fn tcp(facts: &Facts) -> CheckResult {
    let id = "tcp-port";
    let source = facts.wire.tcp.source().to_owned();
    let at = dialled(facts);
    match &facts.wire.tcp {
        Fact::Known { value: Tcp::Connected { millis: ms }, .. } => {
            CheckResult::pass(id, format!("{at} answers after {}", millis(*ms)))
                .seen(format!("connected in {}", millis(*ms)), source)
        }
        Fact::Known { value: Tcp::Refused { millis: ms }, .. } => {
            CheckResult::fail(id, format!("{at} refuses: a reset came back after {}", millis(*ms)))
                .seen("connection refused", source)
        }
        Fact::Known { value: Tcp::TimedOut { after_ms }, .. } => {
            CheckResult::fail(id, format!("no answer from {at} in {}", millis(*after_ms))).seen("no answer", source)
        }
        Fact::Known { value: Tcp::Unreachable { reason }, .. } => {
            CheckResult::fail(id, format!("{at} cannot be reached: {reason}")).seen(reason.clone(), source)
        }
        other => CheckResult::cannot_tell(id, &other.why_not().unwrap_or(Why::needs("an address"))),
    }
}

fn banner(facts: &Facts) -> CheckResult {
    let id = "ssh-banner";
    if !matches!(facts.wire.tcp.value(), Some(Tcp::Connected { .. })) {
        return CheckResult::skipped(id, "needs a TCP connection");
    }
    let source = facts.wire.ssh.source().to_owned();
    if let Some((words, from)) = crypto::words(facts) {
        return CheckResult::fail(id, format!("an SSH server answers, and your client cannot agree with it: {words}"))
            .seen(words, from);
    }
    match &facts.wire.ssh {
        Fact::Known { value: SshServer::Ready { banner, .. }, .. } => {
            CheckResult::pass(id, format!("an SSH server answers: {banner}")).seen(banner.clone(), source)
        }
        Fact::Known { value: SshServer::NotSsh { first_bytes }, .. } => {
            CheckResult::fail(id, "something else than SSH answers on this port")
                .seen(format!("first bytes: {first_bytes}"), source)
        }
        Fact::Known { value: SshServer::BannerTimeout { after_ms }, .. } => {
            CheckResult::fail(id, format!("the port accepts, then says nothing for {}", millis(*after_ms)))
                .seen("no identification string", source)
        }
        Fact::Known { value: SshServer::ClosedBeforeBanner { reason }, .. } => {
            CheckResult::fail(id, "the server closes the connection before its identification")
                .seen(if reason.is_empty() { "closed".to_owned() } else { reason.clone() }, source)
        }
        Fact::Known { value: SshServer::KexFailed { banner, reason }, .. } if is_ours_alone(facts, reason) => {
            let text = format!("the key exchange of this program fails with {banner} ({reason}); your ssh's need not");
            CheckResult::unclear(id, text).seen(reason.clone(), source)
        }
        Fact::Known { value: SshServer::KexFailed { banner, reason }, .. } => {
            CheckResult::fail(id, format!("{banner} answers, but the key exchange fails: {reason}"))
                .seen(reason.clone(), source)
        }
        other => CheckResult::cannot_tell(id, &other.why_not().unwrap_or(Why::needs("a TCP connection"))),
    }
}

/// Causes that TCP and SSH show before any login.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let mut out = Vec::new();
    if let Some(Tcp::Refused { .. }) = facts.wire.tcp.value() {
        refused(view, &mut out);
    }
    let source = facts.wire.ssh.source();
    match facts.wire.ssh.value() {
        Some(SshServer::NotSsh { first_bytes }) => out.push(Finding::new(
            "non-ssh-service-on-port",
            Certainty::Proven,
            format!("the first bytes from {} are: {first_bytes}", dialled(facts)),
            source,
        )),
        Some(SshServer::BannerTimeout { after_ms }) => {
            let text = format!("{} accepts the connection and stays silent for {}", dialled(facts), millis(*after_ms));
            for id in ["cpu-or-memory-overload", "disk-full"] {
                out.push(
                    Finding::new(id, Certainty::Possible, text.clone(), source)
                        .would_prove("CPU metrics, the console log, or a look inside through Session Manager"),
                );
            }
            if instance::may_be_booting(facts) {
                out.push(
                    Finding::new("boot-in-progress", Certainty::Likely, text, source)
                        .would_prove("the same probe in some minutes"),
                );
            }
        }
        Some(SshServer::ClosedBeforeBanner { reason }) => closed_early(reason, source, &mut out),
        Some(SshServer::KexFailed { reason, .. }) => kex_failed(facts, reason, source, &mut out),
        _ => {}
    }
    out.extend(host_key::findings(view));
    out
}

fn refused(view: &View<'_>, out: &mut Vec<Finding>) {
    let facts = view.facts;
    let source = facts.wire.tcp.source();
    let at = dialled(facts);
    let mine = facts.dialled_own_address();
    let running = facts.instance().is_some_and(|i| i.state == "running");
    let impaired = facts.aws.status.value().is_some_and(|s| s.system == "impaired" || s.instance == "impaired");
    if facts.instance().is_some() && !mine && facts.target.address.is_none() {
        // Another host answered: `network` names the wrong address.
        return;
    }
    if !running && facts.instance().is_some() {
        return;
    }
    if let (true, Some(UsualPort::Ssh { banner })) = (mine, facts.wire.usual.value()) {
        let text = format!("{at} refuses, and an SSH server answers on port {SSH_PORT} of the same address: {banner}");
        let finding = Finding::new("sshd-other-port-or-address", Certainty::Proven, text, facts.wire.usual.source());
        out.push(finding.and(format!("connection refused by {at}"), source));
        return;
    }
    let booting = instance::may_be_booting(facts);
    // Without the status checks it may still be booting, or hang.
    let settled = !booting && facts.aws.status.is_known();
    // fail2ban rejects with an ICMP message that looks like a reset.
    let banned = facts.symptom().is_some_and(|s| auth::LOGIN_SYMPTOMS.contains(&s));
    let sure = mine && running && !impaired && settled && !banned;
    let certainty = if sure { Certainty::Proven } else { Certainty::Likely };
    let finding = Finding::new(
        "sshd-not-listening",
        certainty,
        format!("{at} answers with a reset: the packet arrives and nothing listens there"),
        source,
    );
    let finding = match facts.aws.status.value() {
        Some(status) if running => finding.and(
            format!("the instance runs; status checks: system {}, instance {}", status.system, status.instance),
            facts.aws.status.source(),
        ),
        _ => finding,
    };
    out.push(if certainty == Certainty::Proven {
        finding
    } else {
        finding.would_prove("the instance's state and status checks")
    });
    if banned {
        let text = format!("the server answered your logins a moment ago, and now {at} refuses every connection");
        out.push(
            Finding::new("fail2ban-ban", Certainty::Possible, text, source)
                .would_prove("a connection from another address, or fail2ban-client status sshd inside"),
        );
    }
    out.push(
        Finding::new(
            "sshd-other-port-or-address",
            Certainty::Possible,
            format!("sshd may listen on another port than {}", facts.port()),
            source,
        )
        .would_prove("ss -ltnp inside the instance (Session Manager)"),
    );
}

/// Whether the key exchange hung: the small first packets came through, and then nothing more.
fn is_silence(reason: &str) -> bool {
    reason.starts_with("no answer within")
}

/// Whether the connection ended in the key exchange.
fn is_end(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    ["closed the connection", "connection reset", "broken pipe"].iter().any(|words| reason.contains(words))
}

/// Whether the key exchange failed because this program, unlike the user's ssh, lacks the server's algorithms.
fn is_ours_alone(facts: &Facts, reason: &str) -> bool {
    !is_silence(reason) && !is_end(reason) && crypto::agree(facts) == Some(true)
}

/// The banner came, the key exchange did not end well.
fn kex_failed(facts: &Facts, reason: &str, source: &str, out: &mut Vec<Finding>) {
    if is_silence(reason) {
        let text = format!(
            "{} sends its banner, and nothing comes after the large packets of the key exchange: {reason}",
            dialled(facts)
        );
        out.push(Finding::new("mtu-blackhole", Certainty::Likely, text.clone(), source).would_prove(
            "ping -M do -s 1472 ADDRESS gets no answer where ping -s 500 does; or the login works with a smaller MTU",
        ));
        out.push(
            Finding::new("cpu-or-memory-overload", Certainty::Possible, text, source)
                .would_prove("CPU metrics, the console log, or a look inside through Session Manager"),
        );
    } else if is_end(reason) {
        closed_early(reason, source, out);
    } else if crypto::agree(facts).is_none() {
        out.push(
            Finding::new("crypto-mismatch", Certainty::Likely, reason, source)
                .would_prove("what your own ssh client prints after 'Unable to negotiate'"),
        );
    }
}

fn closed_early(reason: &str, source: &str, out: &mut Vec<Finding>) {
    let text = if reason.is_empty() {
        "the server closed the connection before its identification string".to_owned()
    } else {
        format!("the server closed the connection: {reason}")
    };
    let lower = reason.to_ascii_lowercase();
    if lower.contains("not allowed at this time") {
        out.push(Finding::new("persource-penalty", Certainty::Proven, text, source));
        return;
    }
    if lower.contains("maxstartups") {
        out.push(Finding::new("maxstartups", Certainty::Proven, text, source));
        return;
    }
    // sshd closes in order when it drops a connection; a reset is libwrap's or a firewall's (domain: seen on Debian).
    let order = if lower.contains("reset") {
        ["hosts-deny", "fail2ban-ban", "persource-penalty", "maxstartups"]
    } else {
        ["maxstartups", "persource-penalty", "hosts-deny", "fail2ban-ban"]
    };
    for id in order {
        out.push(
            Finding::new(id, Certainty::Possible, text.clone(), source)
                .would_prove("sshd's own log inside the instance (Session Manager)"),
        );
    }
}

/// The whole path: the network's hops, the server, the login.
pub fn path(view: &View<'_>, works: bool) -> Vec<Hop> {
    let facts = view.facts;
    let mut hops = network::hops(facts);
    if let Some(instance) = facts.instance().filter(|i| i.state != "running")
        && let Some(eni) = hops.iter_mut().find(|h| h.hop == HopId::Eni)
    {
        *eni = Hop::new(HopId::Eni, HopState::Blocked, format!("the instance is {}", instance.state));
    }
    hops.retain(|h| h.hop < HopId::Sshd);
    let arrived = matches!(facts.wire.tcp.value(), Some(Tcp::Connected { .. } | Tcp::Refused { .. }));
    hops.push(match (facts.wire.tcp.value(), facts.wire.ssh.value()) {
        (Some(Tcp::Refused { .. }), _) => Hop::new(HopId::Sshd, HopState::Blocked, "nothing listens on the port"),
        _ if crypto::stops(facts) => Hop::new(HopId::Sshd, HopState::Blocked, banner_reason(facts)),
        (_, Some(SshServer::KexFailed { reason, .. })) if is_ours_alone(facts, reason) => {
            Hop::new(HopId::Sshd, HopState::Unknown, banner_reason(facts))
        }
        (_, Some(SshServer::Ready { banner, .. })) => Hop::new(HopId::Sshd, HopState::Open, banner.clone()),
        (Some(Tcp::Connected { .. }), Some(_)) => Hop::new(HopId::Sshd, HopState::Blocked, banner_reason(facts)),
        (Some(Tcp::TimedOut { .. } | Tcp::Unreachable { .. }), _) => {
            Hop::new(HopId::Sshd, HopState::NotReached, "no packet comes back")
        }
        _ => Hop::new(HopId::Sshd, if arrived { HopState::Unknown } else { HopState::NotReached }, "not asked"),
    });
    hops.push(if works {
        Hop::new(HopId::Auth, HopState::Open, "the server takes your key")
    } else if !matches!(facts.wire.ssh.value(), Some(SshServer::Ready { .. })) || crypto::stops(facts) {
        Hop::new(HopId::Auth, HopState::NotReached, "needs an SSH server that answers")
    } else {
        auth::hop(view)
    });
    hops
}

fn banner_reason(facts: &Facts) -> String {
    banner(facts).reason
}

/// The symptom to walk from: told or pasted, else what the wire shows.
pub fn symptom(view: &View<'_>) -> Option<String> {
    let facts = view.facts;
    // A pasted console log, or text that nobody knows, does not say what the client saw.
    let silent = facts.symptom.is_none()
        && facts.paste.as_ref().is_some_and(|p| p.kind == Kind::Console || p.symptom == "other");
    if let Some(told) = facts.symptom().filter(|_| !silent) {
        return Some(told.to_owned());
    }
    if let Some(symptom) = jump::symptom(facts) {
        return Some(symptom.to_owned());
    }
    let seen = match facts.wire.tcp.value()? {
        Tcp::TimedOut { .. } => "timeout",
        Tcp::Refused { .. } => "connection_refused",
        Tcp::Unreachable { .. } => "no_route",
        Tcp::Connected { .. } => match facts.wire.ssh.value()? {
            SshServer::NotSsh { .. } => "not_ssh_server",
            SshServer::BannerTimeout { .. } => "banner_timeout",
            SshServer::ClosedBeforeBanner { .. } => "connection_reset",
            _ if crypto::stops(facts) => "algorithm_mismatch",
            SshServer::KexFailed { reason, .. } if is_ours_alone(facts, reason) => return None,
            SshServer::KexFailed { reason, .. } if is_silence(reason) => "banner_timeout",
            SshServer::KexFailed { reason, .. } if is_end(reason) => "connection_reset",
            SshServer::KexFailed { .. } => "algorithm_mismatch",
            // ssh compares the host key before it looks at any key file.
            SshServer::Ready { .. } => match host_key::symptom(view) {
                Some(symptom) => symptom,
                None => auth::symptom(facts)?,
            },
        },
    };
    Some(seen.to_owned())
}
