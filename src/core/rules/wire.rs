//! What TCP and SSH showed: port, banner, host key; the path and the symptom seen.

use super::{View, auth, instance, network};
use crate::core::cause::{Certainty, Finding};
use crate::core::check::{CheckResult, Hop, HopId, HopState};
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::wire::{SshServer, Tcp};
use crate::core::recognise::Kind;
use crate::core::text::millis;

/// Checks `tcp-port`, `ssh-banner`, `host-key`.
pub fn checks(view: &View<'_>) -> Vec<CheckResult> {
    vec![tcp(view.facts), banner(view.facts), host_key(view)]
}

fn dialled(facts: &Facts) -> String {
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
        Fact::Known { value: SshServer::KexFailed { banner, reason }, .. } => {
            CheckResult::fail(id, format!("{banner} answers, but the key exchange fails: {reason}"))
                .seen(reason.clone(), source)
        }
        other => CheckResult::cannot_tell(id, &other.why_not().unwrap_or(Why::needs("a TCP connection"))),
    }
}

/// How the server's host key compares with what is known of it.
enum HostKey {
    New,
    Same,
    /// Differs from this entry; true when the console log shows the new key.
    Changed(String, bool),
}

fn compare_host_key(view: &View<'_>) -> Option<HostKey> {
    let Some(SshServer::Ready { host_key, host_key_type, .. }) = view.facts.wire.ssh.value() else { return None };
    let known = view.facts.local.known_hosts.value()?;
    if known.entries.iter().any(|e| e.fingerprint == *host_key) {
        return Some(HostKey::Same);
    }
    let kind = |algorithm: &str| {
        if algorithm.starts_with("rsa-sha2") || algorithm == "ssh-rsa" {
            "rsa".to_owned()
        } else {
            algorithm.to_owned()
        }
    };
    let Some(other) = known.entries.iter().find(|e| kind(&e.algorithm) == kind(host_key_type)) else {
        return Some(HostKey::New);
    };
    let proven = view.console.as_ref().is_some_and(|c| c.host_keys.contains(host_key));
    Some(HostKey::Changed(format!("{}:{}", other.file, other.line), proven))
}

fn host_key(view: &View<'_>) -> CheckResult {
    let id = "host-key";
    let facts = view.facts;
    let Some(SshServer::Ready { host_key, host_key_type, .. }) = facts.wire.ssh.value() else {
        return CheckResult::skipped(id, "needs an SSH server that answers");
    };
    let source = facts.wire.ssh.source().to_owned();
    match compare_host_key(view) {
        Some(HostKey::Same) => CheckResult::pass(id, "the host key is the one in known_hosts")
            .seen(format!("{host_key_type} {host_key}"), source),
        Some(HostKey::New) => CheckResult::pass(id, "the host is new to known_hosts: ssh asks once")
            .seen(format!("{host_key_type} {host_key}"), source),
        Some(HostKey::Changed(at, _)) => {
            CheckResult::fail(id, format!("the host key differs from {at}: ssh refuses to go on"))
                .seen(format!("{host_key_type} {host_key}"), source)
        }
        None => CheckResult::cannot_tell(id, &facts.local.known_hosts.why_not().unwrap_or(Why::needs("known_hosts"))),
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
        Some(SshServer::KexFailed { reason, .. }) => {
            out.push(
                Finding::new("crypto-mismatch", Certainty::Likely, reason.clone(), source)
                    .would_prove("what your own ssh client prints after 'Unable to negotiate'"),
            );
        }
        _ => {}
    }
    if let Some(HostKey::Changed(at, proven)) = compare_host_key(view) {
        let id = if proven { "host-key-changed-verified" } else { "host-key-changed-unverified" };
        let finding =
            Finding::new(id, Certainty::Proven, format!("the server shows another host key than {at}"), source);
        out.push(if proven {
            finding.and("the console log prints the new fingerprint", view.console_source())
        } else {
            finding
        });
    }
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
    let booting = instance::may_be_booting(facts);
    // Without the status checks it may still be booting, or hang.
    let settled = !booting && facts.aws.status.is_known();
    let certainty = if mine && running && !impaired && settled { Certainty::Proven } else { Certainty::Likely };
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

fn closed_early(reason: &str, source: &str, out: &mut Vec<Finding>) {
    let text = if reason.is_empty() {
        "the server closed the connection before its identification string".to_owned()
    } else {
        format!("the server closed the connection: {reason}")
    };
    let lower = reason.to_ascii_lowercase();
    if lower.contains("not allowed at this time") {
        out.push(Finding::new("persource-penalty", Certainty::Proven, text, source));
    } else if lower.contains("maxstartups") {
        out.push(Finding::new("maxstartups", Certainty::Proven, text, source));
    } else {
        for id in ["hosts-deny", "maxstartups", "persource-penalty", "fail2ban-ban"] {
            out.push(
                Finding::new(id, Certainty::Possible, text.clone(), source)
                    .would_prove("sshd's own log inside the instance (Session Manager)"),
            );
        }
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
        (_, Some(SshServer::Ready { banner, .. })) => Hop::new(HopId::Sshd, HopState::Open, banner.clone()),
        (Some(Tcp::Connected { .. }), Some(_)) => Hop::new(HopId::Sshd, HopState::Blocked, banner_reason(facts)),
        (Some(Tcp::TimedOut { .. } | Tcp::Unreachable { .. }), _) => {
            Hop::new(HopId::Sshd, HopState::NotReached, "no packet comes back")
        }
        _ => Hop::new(HopId::Sshd, if arrived { HopState::Unknown } else { HopState::NotReached }, "not asked"),
    });
    hops.push(if works {
        Hop::new(HopId::Auth, HopState::Open, "the server takes your key")
    } else if !matches!(facts.wire.ssh.value(), Some(SshServer::Ready { .. })) {
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
    let seen = match facts.wire.tcp.value()? {
        Tcp::TimedOut { .. } => "timeout",
        Tcp::Refused { .. } => "connection_refused",
        Tcp::Unreachable { .. } => "no_route",
        Tcp::Connected { .. } => match facts.wire.ssh.value()? {
            SshServer::NotSsh { .. } => "not_ssh_server",
            SshServer::BannerTimeout { .. } => "banner_timeout",
            SshServer::ClosedBeforeBanner { .. } => "connection_reset",
            SshServer::KexFailed { .. } => "algorithm_mismatch",
            // ssh compares the host key before it looks at any key file.
            SshServer::Ready { .. } if matches!(compare_host_key(view), Some(HostKey::Changed(..))) => {
                "host_key_changed"
            }
            SshServer::Ready { .. } => auth::symptom(facts)?,
        },
    };
    Some(seen.to_owned())
}
