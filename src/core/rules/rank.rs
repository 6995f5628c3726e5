//! Which cause to act on first.
//!
//! A finding that explains what the wire showed comes before one that does not; then certainty; then
//! the stage of the login, as an ssh client meets them.

use super::View;
use crate::core::cause::{Certainty, Finding};
use crate::core::facts::wire::{SshServer, Tcp};

/// Stage of a login at which a cause bites, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Configuration and name of the target.
    Config,
    /// The instance does not run, or not yet.
    State,
    /// Packets do not arrive.
    Network,
    /// Nothing or the wrong thing listens.
    Server,
    /// The server's identity.
    HostKey,
    /// The key file cannot be used.
    KeyFile,
    /// The server refuses user or key.
    Login,
    /// Only the looking is hindered, not the login.
    Looking,
}

/// The stage of a cause id.
pub fn stage(id: &str) -> Stage {
    match id {
        "ssh-config-invalid"
        | "ssh-config-overrides"
        | "dns-stale"
        | "wrong-target-address"
        | "public-ip-changed"
        | "stale-control-socket"
        | "client-too-old"
        | "obsolete-client"
        | "proxyjump-broken" => Stage::Config,
        "instance-not-running"
        | "instance-terminated"
        | "boot-in-progress"
        | "hibernated"
        | "system-status-impaired"
        | "instance-status-impaired"
        | "ebs-status-impaired"
        | "rdp-not-ssh"
        | "kernel-panic"
        | "fstab-emergency-mode"
        | "boot-device-missing"
        | "guest-network-failed"
        | "spot-interrupted"
        | "scheduled-event" => Stage::State,
        "sshd-not-listening"
        | "non-ssh-service-on-port"
        | "cpu-or-memory-overload"
        | "disk-full"
        | "sshd-config-invalid"
        | "hostkeys-missing"
        | "privsep-dir"
        | "sshd-not-installed-or-disabled"
        | "sshd-other-port-or-address"
        | "maxstartups"
        | "persource-penalty"
        | "hosts-deny"
        | "crypto-mismatch"
        | "mtu-blackhole"
        | "os-has-no-sshd"
        | "port-in-use"
        | "user-data-failed"
        | "fail2ban-ban" => Stage::Server,
        "host-key-changed-verified" | "host-key-changed-unverified" => Stage::HostKey,
        "key-file-missing"
        | "key-perms-open"
        | "key-perms-unfixable-fs"
        | "key-unreadable-owner"
        | "key-format-ppk-with-openssh"
        | "key-format-pem-with-putty"
        | "key-file-damaged"
        | "key-file-is-public"
        | "key-ed25519-pkcs8-old-client"
        | "key-passphrase-needed"
        | "ppk-version-too-new"
        | "key-acl-open-windows"
        | "agent-unavailable"
        | "agent-sign-failed"
        | "stale-pub-file" => Stage::KeyFile,
        "credentials-missing-or-expired"
        | "iam-denied-read"
        | "api-throttled"
        | "api-endpoint-unreachable"
        | "clock-skew"
        | "scp-or-boundary-deny" => Stage::Looking,
        id if is_network(id) => Stage::Network,
        _ => Stage::Login,
    }
}

fn is_network(id: &str) -> bool {
    [
        "sg-",
        "nacl-",
        "route-",
        "igw-",
        "no-public-ip",
        "vpc-bpa",
        "ipv6-path",
        "appliance-",
        "eni-",
        "client-egress",
        "peering-",
        "guest-firewall",
        "wrong-region",
        "instance-contained",
    ]
    .iter()
    .any(|start| id.starts_with(start))
}

/// Whether a finding is enough to say "cause found": likely or proven, and about the login itself
/// (or about credentials, without which nothing can be looked at).
pub fn explains(finding: &Finding) -> bool {
    finding.certainty >= Certainty::Likely
        && (stage(&finding.id) != Stage::Looking || finding.id == "credentials-missing-or-expired")
}

/// The stage at which the login was seen to fail; `None` when nothing was seen.
pub fn failing_stage(view: &View<'_>) -> Option<Stage> {
    match view.facts.wire.tcp.value() {
        Some(Tcp::TimedOut { .. } | Tcp::Unreachable { .. }) => Some(Stage::Network),
        Some(Tcp::Refused { .. }) => Some(Stage::Server),
        Some(Tcp::Connected { .. }) => match view.facts.wire.ssh.value() {
            Some(SshServer::Ready { .. }) => Some(Stage::Login),
            Some(_) => Some(Stage::Server),
            None => None,
        },
        None => None,
    }
}

/// Whether a finding can explain a failure at a stage.
fn fits(finding: &Finding, failing: Option<Stage>) -> bool {
    let at = stage(&finding.id);
    match failing {
        None => at != Stage::Looking,
        Some(Stage::Network) => matches!(at, Stage::Config | Stage::State | Stage::Network),
        Some(Stage::Server) => matches!(at, Stage::Config | Stage::State | Stage::Server),
        // "System is booting up" is said at the account stage, after the key was taken.
        Some(_) => {
            matches!(at, Stage::Config | Stage::HostKey | Stage::KeyFile | Stage::Login)
                || finding.id == "boot-in-progress"
        }
    }
}

/// Joins equal findings and orders them, the one to act on first.
pub fn rank(view: &View<'_>, found: Vec<Finding>, works: bool) -> Vec<Finding> {
    if works {
        return Vec::new();
    }
    let mut out: Vec<Finding> = Vec::new();
    for finding in found {
        match out.iter_mut().find(|f| f.id == finding.id) {
            Some(same) => {
                if finding.certainty > same.certainty {
                    same.certainty = finding.certainty;
                    same.evidence.splice(0..0, finding.evidence);
                    same.would_prove = finding.would_prove;
                } else {
                    same.evidence.extend(
                        finding.evidence.into_iter().filter(|e| !same.evidence.contains(e)).collect::<Vec<_>>(),
                    );
                }
            }
            None => out.push(finding),
        }
    }
    let failing = failing_stage(view);
    let proven = |f: &Finding| f.certainty == Certainty::Proven;
    if out.iter().any(|f| proven(f) && fits(f, failing)) {
        // Guesses beside a proof only distract; proofs of other stages stay.
        out.retain(|f| f.certainty != Certainty::Possible);
    }
    out.sort_by_key(|f| {
        let first = fits(f, failing) && f.certainty >= Certainty::Likely;
        (!first, std::cmp::Reverse(f.certainty), stage(&f.id))
    });
    out
}
