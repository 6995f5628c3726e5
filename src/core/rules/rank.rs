//! Which cause to act on first.
//!
//! A finding that explains what the wire showed comes before one that does not; then certainty; then
//! the stage of the login, as an ssh client meets them. Causes of other doors and obstacles of repairs stand
//! aside, behind every cause of the login, unless the user asks about that door.

use super::about::{Asked, asked, concerns, fits_question, remote_desktop};
use super::{View, crypto};
use crate::core::cause::{Certainty, Finding};
use crate::core::facts::local::{KeyFileState, KeyProbe};
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
    /// Another door than SSH is closed; the login is not concerned.
    Door,
    /// A repair is hindered, or must be thought over.
    Obstacle,
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
        | "root-volume-kms-denied"
        | "root-volume-detached"
        | "runbook-interrupted" => Stage::State,
        "stop-protected"
        | "asg-managed"
        | "imds-disabled"
        | "scheduled-event"
        | "runbook-precondition-failed"
        | "user-data-repair-ineffective"
        | "iam-denied-fix"
        | "change-not-yet-effective"
        | "key-compromised"
        | "ami-baked-foreign-key" => Stage::Obstacle,
        id if ["ssm-", "eic-", "eice-", "serial-", "windows-password-", "icmp-"]
            .iter()
            .any(|start| id.starts_with(start)) =>
        {
            Stage::Door
        }
        "rdp-not-listening" => Stage::Network,
        "sshd-not-listening"
        | "non-ssh-service-on-port"
        | "cpu-or-memory-overload"
        | "cpu-credits-exhausted"
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

/// Whether a finding is enough to say "cause found": likely or proven, and about what the user asks
/// (or about credentials and clock, without which nothing can be looked at).
pub fn explains(view: &View<'_>, finding: &Finding) -> bool {
    finding.certainty >= Certainty::Likely
        && match finding.id.as_str() {
            "credentials-missing-or-expired" => true,
            "clock-skew" if view.facts.instance().is_none() => true,
            id => fits_question(view, id),
        }
}

/// Whether a finding closes the way by SSH: likely or proven, and a cause of the login's failure.
pub fn stops_login(finding: &Finding) -> bool {
    finding.certainty >= Certainty::Likely
        && !matches!(stage(&finding.id), Stage::Looking | Stage::Door | Stage::Obstacle)
}

/// The stage at which the login was seen to fail; `None` when nothing was seen.
pub fn failing_stage(view: &View<'_>) -> Option<Stage> {
    match view.facts.wire.tcp.value() {
        Some(Tcp::TimedOut { .. } | Tcp::Unreachable { .. }) => Some(Stage::Network),
        Some(Tcp::Refused { .. }) => Some(Stage::Server),
        Some(Tcp::Connected { .. }) => match view.facts.wire.ssh.value() {
            // ssh ends in the negotiation, however far the probe came.
            Some(SshServer::Ready { .. }) if crypto::stops(view.facts) => Some(Stage::Server),
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
    let mut out = joined(found);
    if works {
        // The login is not in question any more; another door may be.
        out.retain(|f| is_aside(&f.id) && f.certainty >= Certainty::Likely && concerns(view, &f.id));
    } else {
        if remote_desktop(view.facts) {
            // What a Remote Desktop server says to an SSH client proves nothing.
            out.retain(|f| !matches!(stage(&f.id), Stage::Server | Stage::HostKey | Stage::KeyFile | Stage::Login));
        }
        if asked(view.facts) == Asked::Connect {
            // A pushed key stands in for one's own.
            out.retain(|f| stage(&f.id) != Stage::KeyFile);
        }
        put_aside(view, &mut out);
    }
    let failing = failing_stage(view);
    let fitting = |f: &Finding| {
        if is_aside(&f.id) {
            concerns(view, &f.id) && (comes_first(view, f) || failing != Some(Stage::Network))
        } else {
            fits(f, failing)
        }
    };
    if out.iter().any(|f| f.certainty == Certainty::Proven && fitting(f)) {
        // Guesses beside a proof only distract; proofs of other stages stay.
        out.retain(|f| f.certainty != Certainty::Possible);
    }
    out.sort_by_key(|f| {
        let first = fitting(f) && f.certainty >= Certainty::Likely;
        let group = match () {
            () if f.id == "instance-contained" && f.certainty >= Certainty::Likely => 0,
            () if comes_first(view, f) => 1,
            () if matches!(stage(&f.id), Stage::Door | Stage::Obstacle) && !concerns(view, &f.id) => 3,
            () => 2,
        };
        // Windows on port 22: that no rule lets 22 in is true, and would be repaired in vain. And what the
        // message itself says comes before what would be met next.
        let leads = matches!(f.id.as_str(), "rdp-not-ssh" | "ssm-plugin-missing") && f.certainty == Certainty::Likely;
        let weight = if leads { Certainty::Proven } else { f.certainty };
        // "Not registered" only says that one of its reasons holds.
        let general = f.id == "ssm-not-registered";
        (group, general, !first, std::cmp::Reverse(weight), stage(&f.id))
    });
    specific_first(view, &mut out);
    out
}

/// Whether the reasons for a state lead, where that depends on more than the two.
fn leads(view: &View<'_>, state: &str) -> bool {
    let facts = view.facts;
    match state {
        // Who does not ask about the agent can type the passphrase.
        "key-passphrase-needed" => facts.symptom() == Some("agent_error"),
        // In a name that was typed just now a slip is likelier than a lost key.
        "key-file-missing" => {
            let typed = |k: &KeyProbe| k.origin == "-i" && k.file.value() == Some(&KeyFileState::Missing);
            !facts.local.keys.iter().any(typed)
        }
        _ => true,
    }
}

/// A state, and the reasons for it that say what to do: where one of them is at least likely, it comes before.
const REASONS: &[(&str, &[&str])] = &[
    ("instance-not-running", &["hibernated", "spot-interrupted", "root-volume-kms-denied", "root-volume-detached"]),
    (
        "instance-status-impaired",
        &["kernel-panic", "fstab-emergency-mode", "boot-device-missing", "guest-network-failed"],
    ),
    ("sg-no-rule", &["eni-mismatch"]),
    ("sshd-not-listening", &["os-has-no-sshd"]),
    ("sshd-other-port-or-address", &["ssh-config-overrides"]),
    ("non-ssh-service-on-port", &["port-in-use"]),
    ("instance-without-keypair", &["eic-agent-missing", "eic-push-expired-or-wrong-user"]),
    // The next stop would change the address again: an Elastic IP is the repair.
    ("wrong-target-address", &["public-ip-changed"]),
    ("wrong-user-name", &["root-login-refused", "user-data-failed"]),
    ("key-passphrase-needed", &["agent-unavailable"]),
    ("key-file-missing", &["key-lost"]),
];

fn specific_first(view: &View<'_>, out: &mut Vec<Finding>) {
    for (general, reasons) in REASONS {
        if !leads(view, general) {
            continue;
        }
        let Some(at) = out.iter().position(|f| f.id == *general) else { continue };
        let is_reason = |f: &Finding| reasons.contains(&f.id.as_str()) && f.certainty >= Certainty::Likely;
        // What stands between them has nothing to do with it and stays behind.
        let mut place = at;
        for from in at + 1..out.len() {
            if is_reason(&out[from]) {
                let reason = out.remove(from);
                out.insert(place, reason);
                place += 1;
            }
        }
    }
}

fn joined(found: Vec<Finding>) -> Vec<Finding> {
    let mut out: Vec<Finding> = Vec::new();
    for finding in found {
        match out.iter_mut().find(|f| f.id == finding.id) {
            Some(same) if finding.certainty > same.certainty => {
                same.certainty = finding.certainty;
                same.evidence.splice(0..0, finding.evidence);
                same.would_prove = finding.would_prove;
            }
            Some(same) => {
                let new = finding.evidence.into_iter().filter(|e| !same.evidence.contains(e)).collect::<Vec<_>>();
                same.evidence.extend(new);
            }
            None => out.push(finding),
        }
    }
    out
}

/// Whether a cause is not one of the login.
fn is_aside(id: &str) -> bool {
    matches!(stage(id), Stage::Door | Stage::Obstacle | Stage::Looking)
}

/// Whether a finding answers the question asked, which is not about the way of SSH.
fn comes_first(view: &View<'_>, finding: &Finding) -> bool {
    let id = finding.id.as_str();
    match asked(view.facts) {
        Asked::Ssh | Asked::Rdp => false,
        Asked::Ssm if stage(id) == Stage::State => finding.certainty >= Certainty::Likely,
        // A push needs the way of SSH, so what closes that comes before.
        Asked::Connect => !id.starts_with("eic-") && id != "imds-disabled" && concerns(view, id),
        Asked::Ssm | Asked::Ping | Asked::Aws => is_aside(id) && concerns(view, id),
    }
}

/// Lowers what is not asked about: doors besides SSH, and obstacles of repairs.
///
/// A closed door is worth a thought only while nothing explains the failure; an obstacle where a cause was
/// found that is repaired by a stop. What the user said is kept.
fn put_aside(view: &View<'_>, out: &mut Vec<Finding>) {
    let explained = out.iter().any(|f| explains(view, f));
    let stops = out.iter().any(|f| explains(view, f) && repaired_by_stop(&f.id));
    let said = |f: &Finding| f.evidence.iter().any(|e| e.source == super::answers::SOURCE);
    // Who repairs authorized_keys has its strange keys before the eyes.
    let in_files = out.iter().any(|f| explains(view, f) && f.id.starts_with("authkeys-"));
    let beside = |f: &Finding| in_files && f.id == "ami-baked-foreign-key" && f.certainty >= Certainty::Likely;
    out.retain(|f| match stage(&f.id) {
        _ if concerns(view, &f.id) || said(f) || beside(f) => true,
        Stage::Door => !explained,
        Stage::Obstacle => !explained || stops,
        _ => true,
    });
    for finding in out.iter_mut().filter(|f| !concerns(view, &f.id) && !said(f) && !beside(f)) {
        let lower = match stage(&finding.id) {
            Stage::Door => true,
            Stage::Obstacle => !stops,
            _ => false,
        };
        if lower && finding.certainty > Certainty::Possible {
            finding.certainty = Certainty::Possible;
            finding
                .would_prove
                .get_or_insert_with(|| "nothing more: it is so, but it does not stop the login".to_owned());
        }
    }
    // What neither stops the login nor was asked about is told where the doors are listed, and only there.
    out.retain(|f| {
        let aside =
            stage(&f.id) == Stage::Door || matches!(f.id.as_str(), "stop-protected" | "asg-managed" | "imds-disabled");
        !aside
            || asked(view.facts) != Asked::Ssh
            || concerns(view, &f.id)
            || said(f)
            || f.certainty > Certainty::Possible
    });
}

/// Whether the catalogue names a fix for a cause that stops the instance, or may (AWS's runbook, where it works offline).
fn repaired_by_stop(id: &str) -> bool {
    let stops = ["instance-stop-start", "user-data-repair", "root-volume-rescue", "troubleshoot-ssh-runbook"];
    let words = crate::core::catalogue::get().causes.get(id);
    words.is_some_and(|w| w.fixes.iter().any(|fix| stops.contains(&fix.as_str())))
}
