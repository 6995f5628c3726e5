//! Windows: Remote Desktop instead of SSH, and the password of the first boot.
//!
//! The way to port 3389 is `network`'s, as for any port. The password itself is never seen here.

use super::View;
use super::about::{Asked, asked, ssh_was_seen};
use super::instance::may_be_booting;
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::fact::{Fact, Why};
use crate::core::facts::wire::{SshServer, Tcp};
use crate::core::target::SSH_PORT;

/// Seconds in which Windows makes its password at the first boot (EC2 User Guide: up to 15 minutes).
const PASSWORD_SECONDS: i64 = 900;

/// Check `windows-password`.
pub(super) fn check(view: &View<'_>) -> CheckResult {
    let id = "windows-password";
    let facts = view.facts;
    if facts.instance().is_some() && !facts.is_windows() {
        return CheckResult::not_applicable(id, "the instance does not run Windows");
    }
    match &facts.host.windows {
        Fact::Known { value, source } if !value.ready => {
            CheckResult::fail(id, "EC2 has no password for this instance").seen("PasswordData is empty", source.clone())
        }
        Fact::Known { value, source } => match value.opens {
            Some(true) => CheckResult::pass(id, "your key opens the password").seen("decrypted", source.clone()),
            Some(false) => {
                CheckResult::fail(id, "your key does not open the password").seen("decrypting fails", source.clone())
            }
            None => CheckResult::unclear(id, "cannot tell: it needs the RSA key of the launch (-i FILE)"),
        },
        other => CheckResult::cannot_tell(id, &other.why_not().unwrap_or(Why::needs("the password data"))),
    }
}

/// Causes of Windows.
pub(super) fn findings(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let mut out = Vec::new();
    if !facts.is_windows() {
        no_sshd(view, &mut out);
        return out;
    }
    if facts.port() == SSH_PORT && !matches!(facts.wire.ssh.value(), Some(SshServer::Ready { .. })) {
        out.push(not_ssh(view));
    }
    if let (Asked::Rdp, Some(Tcp::Refused { .. })) = (asked(facts), facts.wire.tcp.value())
        && facts.wire.port == Some(facts.port())
        && facts.dialled_own_address()
        && view.running()
        && !may_be_booting(facts)
    {
        let text = format!("port {} answers with a reset: the packet arrives and nothing listens there", facts.port());
        let finding = Finding::new("rdp-not-listening", Certainty::Proven, text, facts.wire.tcp.source());
        // Without the time of the start it may still be booting.
        let old = facts.instance().is_some_and(|i| i.launched.is_some());
        out.push(if old {
            finding
        } else {
            Finding { certainty: Certainty::Likely, ..finding }.would_prove("the same refusal some minutes later")
        });
    }
    if view.running() {
        out.extend(password(view));
    }
    out
}

/// Windows can run OpenSSH: only what port 22 says proves that it does not. A silent port may be a closed group.
fn not_ssh(view: &View<'_>) -> Finding {
    let facts = view.facts;
    let source = facts.aws.instance.source();
    let refused = matches!(facts.wire.tcp.value(), Some(Tcp::Refused { .. })) && facts.dialled_own_address();
    if refused && !may_be_booting(facts) && !ssh_was_seen(facts) {
        return Finding::new(
            "rdp-not-ssh",
            Certainty::Proven,
            "the instance runs Windows, and nothing listens on port 22",
            source,
        );
    }
    if ssh_was_seen(facts) || matches!(facts.wire.tcp.value(), Some(Tcp::Connected { .. })) {
        return Finding::new(
            "rdp-not-ssh",
            Certainty::Possible,
            "the instance runs Windows, and no SSH server has answered on port 22",
            source,
        )
        .would_prove("get-service sshd inside the instance (Session Manager)");
    }
    Finding::new(
        "rdp-not-ssh",
        Certainty::Likely,
        "the instance runs Windows, whose images come without an SSH server",
        source,
    )
    .would_prove("a connection to port 22 that is refused, or get-service sshd inside")
}

/// Other systems without an SSH server.
fn no_sshd(view: &View<'_>, out: &mut Vec<Finding>) {
    let Some(guess) = view.family.as_ref().filter(|f| !f.family.sshd && !f.family.windows) else { return };
    if matches!(view.facts.wire.tcp.value(), Some(Tcp::Refused { .. } | Tcp::TimedOut { .. })) {
        out.push(
            Finding::new("os-has-no-sshd", Certainty::Likely, guess.because.clone(), "DescribeImages")
                .would_prove("Session Manager, or the operating system's own admin container"),
        );
    }
}

fn password(view: &View<'_>) -> Option<Finding> {
    let facts = view.facts;
    let Fact::Known { value, source } = &facts.host.windows else { return None };
    if value.ready {
        return (value.opens == Some(false)).then(|| {
            let text = "the password of the first boot is there, and the key given does not decrypt it";
            Finding::new("windows-password-key-mismatch", Certainty::Proven, text, source)
        });
    }
    let age = facts.instance().and_then(|i| i.launched).map(|t| facts.now - t).filter(|a| *a >= 0);
    Some(match age {
        Some(age) if age < PASSWORD_SECONDS => {
            let text = format!("PasswordData is empty, {} minutes after the start", age / 60);
            Finding::new("windows-password-not-ready", Certainty::Proven, text, source)
        }
        // An image with a password of its own never makes one, and its login works all the same.
        _ => Finding::new("windows-password-not-ready", Certainty::Likely, "PasswordData is empty", source)
            .would_prove("whether the image makes a password at its first boot (EC2Launch settings)"),
    })
}
