//! The instance as AWS sees it: found, running, healthy. And the caller's right to ask.

use super::View;
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::wire::{SshServer, Tcp};
use crate::core::target::TargetKind;

/// Seconds after a start in which a refusal or silence is normal.
const BOOT_SECONDS: i64 = 300;

/// Checks `aws-credentials`, `instance-found`, `instance-running`, `status-checks`, `ssm-agent`.
pub fn checks(view: &View<'_>) -> Vec<CheckResult> {
    vec![credentials(view.facts), found(view.facts), running(view.facts), status(view.facts), ssm(view.facts)]
}

fn credentials(facts: &Facts) -> CheckResult {
    let id = "aws-credentials";
    match &facts.aws.caller {
        Fact::Known { value, source } => {
            CheckResult::pass(id, format!("you are {} in account {}", value.arn, value.account))
                .seen(value.arn.clone(), source.clone())
        }
        Fact::Unknown { why: why @ Why::Credentials { .. } } if !facts.aws.instance.is_known() => {
            CheckResult::fail(id, why.text())
        }
        _ if matches!(facts.aws.instance.why_not(), Some(Why::Credentials { .. })) => {
            CheckResult::fail(id, facts.aws.instance.why_not().map(|w| w.text()).unwrap_or_default())
        }
        // A read that was answered proves the credentials, whatever STS says (its endpoint may be out of reach).
        _ if facts.aws.instance.is_known() => CheckResult::pass(id, "EC2 answers to them"),
        other => CheckResult::cannot_tell(id, &other.why_not().unwrap_or(Why::needs("AWS"))),
    }
}

fn found(facts: &Facts) -> CheckResult {
    let id = "instance-found";
    match &facts.aws.instance {
        Fact::Known { value, source } => {
            CheckResult::pass(id, format!("{} in {}", value.label(), value.region)).seen(value.label(), source.clone())
        }
        Fact::Unknown { why: why @ Why::NotFound { .. } } => CheckResult::fail(id, why.text()),
        other => CheckResult::cannot_tell(id, &other.why_not().unwrap_or(Why::needs("AWS"))),
    }
}

fn running(facts: &Facts) -> CheckResult {
    let id = "instance-running";
    let source = facts.aws.instance.source().to_owned();
    match facts.instance() {
        Some(i) if i.state == "running" => {
            CheckResult::pass(id, "the instance is running").seen(format!("state {}", i.state), source)
        }
        Some(i) => {
            let since = i.transition_reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
            CheckResult::fail(id, format!("the instance is {}{since}", i.state))
                .seen(format!("state {}", i.state), source)
        }
        None => CheckResult::cannot_tell(id, &facts.aws.instance.why_not().unwrap_or(Why::needs("the instance"))),
    }
}

fn status(facts: &Facts) -> CheckResult {
    let id = "status-checks";
    if facts.instance().is_some_and(|i| i.state != "running") {
        return CheckResult::skipped(id, "the instance is not running");
    }
    match &facts.aws.status {
        Fact::Known { value, source } => {
            let all =
                [("system", Some(&value.system)), ("instance", Some(&value.instance)), ("volumes", value.ebs.as_ref())];
            let words = all
                .iter()
                .filter_map(|(n, s)| s.filter(|s| !s.is_empty()).map(|s| format!("{n} {s}")))
                .collect::<Vec<_>>()
                .join(", ");
            let any = |word: &str| all.iter().any(|(_, s)| s.is_some_and(|s| s == word));
            if any("impaired") {
                CheckResult::fail(id, words.clone()).seen(words, source.clone())
            } else if any("initializing") || any("insufficient-data") {
                CheckResult::unclear(id, format!("{words}: AWS needs some minutes after a start"))
                    .seen(words, source.clone())
            } else {
                CheckResult::pass(id, words.clone()).seen(words, source.clone())
            }
        }
        other => CheckResult::cannot_tell(id, &other.why_not().unwrap_or(Why::needs("the status checks"))),
    }
}

fn ssm(facts: &Facts) -> CheckResult {
    let id = "ssm-agent";
    match &facts.aws.ssm {
        Fact::Known { value: Some(agent), source } if agent.ping == "Online" => {
            CheckResult::pass(id, "the SSM agent is online")
                .seen(format!("agent {}", agent.version.as_deref().unwrap_or("of unknown version")), source.clone())
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

/// Whether the instance was started so recently that it may still boot.
pub fn may_be_booting(facts: &Facts) -> bool {
    let young = facts
        .instance()
        .and_then(|i| i.launched)
        .is_some_and(|t| facts.now > 0 && (0..BOOT_SECONDS).contains(&(facts.now - t)));
    let starting = facts.aws.status.value().is_some_and(|s| s.system == "initializing" || s.instance == "initializing");
    facts.instance().is_some_and(|i| i.state == "running") && (young || starting)
}

/// Causes in the instance's state, in its console log, and in the right to look.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let mut out = Vec::new();
    state_findings(facts, &mut out);
    if !matches!(facts.wire.ssh.value(), Some(SshServer::Ready { .. })) {
        status_findings(facts, &mut out);
        console_findings(view, &mut out);
    }
    windows(view, &mut out);
    elsewhere(facts, &mut out);
    looking(facts, &mut out);
    out
}

fn state_findings(facts: &Facts, out: &mut Vec<Finding>) {
    let Some(instance) = facts.instance() else { return };
    let reasons: Vec<String> =
        [&instance.transition_reason, &instance.state_reason].into_iter().flatten().cloned().collect();
    let text = format!(
        "{} is {}{}",
        instance.label(),
        instance.state,
        if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) }
    );
    let source = facts.aws.instance.source();
    let id = match instance.state.as_str() {
        "terminated" | "shutting-down" => "instance-terminated",
        "pending" => "boot-in-progress",
        "stopped" | "stopping"
            if instance.state_reason.as_deref().is_some_and(|r| r.contains("UserInitiatedHibernate")) =>
        {
            "hibernated"
        }
        "stopped" | "stopping" => "instance-not-running",
        _ => return,
    };
    out.push(Finding::new(id, Certainty::Proven, text.clone(), source));
    let reason = reasons.join(" ");
    if reason.contains("Server.SpotInstance") {
        out.push(Finding::new("spot-interrupted", Certainty::Proven, text, source));
    } else if instance.state == "stopped" && reason.contains("Client.InternalError") {
        // Often, not always: EC2 says the same of other faults while it starts an instance.
        out.push(Finding::new("root-volume-kms-denied", Certainty::Likely, text, source).would_prove("whether the root volume is encrypted with a key that may not be used (ec2 describe-volumes, kms describe-key)"));
    }
}

fn status_findings(facts: &Facts, out: &mut Vec<Finding>) {
    let Some(status) = facts.aws.status.value().filter(|_| facts.instance().is_some_and(|i| i.state == "running"))
    else {
        return;
    };
    let source = facts.aws.status.source();
    // An impaired check and a silent port of the same host together leave one explanation; without the probe,
    // or when this machine itself has no way out, it is likely. Stuck volumes do not silence TCP.
    let own = facts.dialled_own_address();
    let seen = own && matches!(facts.wire.tcp.value(), Some(Tcp::TimedOut { .. }));
    for (word, id) in [
        (Some(&status.system), "system-status-impaired"),
        (Some(&status.instance), "instance-status-impaired"),
        (status.ebs.as_ref(), "ebs-status-impaired"),
    ] {
        if word.is_some_and(|w| w == "impaired") {
            let proven = seen && id != "ebs-status-impaired";
            let finding = Finding::new(
                id,
                if proven { Certainty::Proven } else { Certainty::Likely },
                "the status check is impaired",
                source,
            );
            out.push(if proven {
                finding
            } else {
                finding.would_prove("a TCP connect to its address that gets no answer, and the console log")
            });
        }
    }
    // A past event stays in the list for up to a week.
    let past = |text: &str| text.starts_with("[Completed]") || text.starts_with("[Canceled]");
    for (code, description, _) in status.events.iter().filter(|(_, d, _)| !past(d)) {
        out.push(
            Finding::new("scheduled-event", Certainty::Possible, format!("{code}: {description}"), source)
                .would_prove("whether the instance answers after the event"),
        );
    }
    if may_be_booting(facts) && !matches!(facts.wire.tcp.value(), Some(Tcp::Connected { .. }) | None) {
        out.push(
            Finding::new(
                "boot-in-progress",
                Certainty::Likely,
                "the instance was started less than 5 minutes ago",
                facts.aws.instance.source(),
            )
            .would_prove("the same probe in some minutes"),
        );
    }
}

fn console_findings(view: &View<'_>, out: &mut Vec<Finding>) {
    let Some(console) = &view.console else { return };
    // A console log shows the last boot, not this minute: it makes likely, the failed probe does not prove it.
    let failing =
        matches!(view.facts.wire.tcp.value(), Some(Tcp::TimedOut { .. } | Tcp::Refused { .. } | Tcp::Connected { .. }));
    let certainty = if failing { Certainty::Likely } else { Certainty::Possible };
    for id in console.causes.iter().filter(|id| !matches!(id.as_str(), "instance-without-keypair" | "user-data-failed"))
    {
        let line = console.evidence.first().cloned().unwrap_or_else(|| console.explanation.clone());
        out.push(
            Finding::new(id, certainty, format!("the console log says: {line}"), view.console_source())
                .would_prove("a fresh console log or screenshot, or a look inside through Session Manager"),
        );
    }
}

/// An instance id that these credentials do not see here: it may be elsewhere, or gone for more than an hour.
fn elsewhere(facts: &Facts, out: &mut Vec<Finding>) {
    let Fact::Unknown { why: why @ Why::NotFound { .. } } = &facts.aws.instance else { return };
    if facts.wire.tcp.value().is_some_and(|tcp| matches!(tcp, Tcp::Connected { .. } | Tcp::Refused { .. })) {
        return;
    }
    let by_id = facts.target.kind() == TargetKind::InstanceId;
    let certainty = if by_id { Certainty::Likely } else { Certainty::Possible };
    out.push(
        Finding::new("wrong-region-or-account", certainty, why.text(), "DescribeInstances")
            .would_prove("the same search in the other Regions and accounts"),
    );
}

fn windows(view: &View<'_>, out: &mut Vec<Finding>) {
    let facts = view.facts;
    let windows = facts.instance().is_some_and(|i| i.platform.as_deref() == Some("windows"));
    let refused = matches!(facts.wire.tcp.value(), Some(Tcp::Refused { .. })) && facts.dialled_own_address();
    if windows && facts.port() == 22 && !matches!(facts.wire.ssh.value(), Some(SshServer::Ready { .. })) {
        // Windows can run OpenSSH: only what port 22 says proves that it does not. A silent port may be a closed group.
        out.push(if refused && !may_be_booting(facts) {
            Finding::new(
                "rdp-not-ssh",
                Certainty::Proven,
                "the instance runs Windows, and nothing listens on port 22",
                facts.aws.instance.source(),
            )
        } else if matches!(facts.wire.tcp.value(), Some(Tcp::Connected { .. })) {
            Finding::new(
                "rdp-not-ssh",
                Certainty::Possible,
                "the instance runs Windows, and no SSH server has answered on port 22",
                facts.aws.instance.source(),
            )
            .would_prove("get-service sshd inside the instance (Session Manager)")
        } else {
            Finding::new(
                "rdp-not-ssh",
                Certainty::Likely,
                "the instance runs Windows, whose images come without an SSH server",
                facts.aws.instance.source(),
            )
            .would_prove("a connection to port 22 that is refused, or get-service sshd inside")
        });
    } else if view.family.as_ref().is_some_and(|f| !f.family.sshd && !f.family.windows)
        && matches!(facts.wire.tcp.value(), Some(Tcp::Refused { .. } | Tcp::TimedOut { .. }))
    {
        let because = view.family.as_ref().map(|f| f.because.clone()).unwrap_or_default();
        out.push(
            Finding::new("os-has-no-sshd", Certainty::Likely, because, "DescribeImages")
                .would_prove("Session Manager, or the operating system's own admin container"),
        );
    }
}

/// Every AWS fact that was refused: the missing actions, and whether the credentials are the trouble.
fn looking(facts: &Facts, out: &mut Vec<Finding>) {
    let aws = &facts.aws;
    let whys: Vec<Why> = [
        aws.caller.why_not(),
        aws.instance.why_not(),
        aws.status.why_not(),
        aws.interfaces.why_not(),
        aws.groups.why_not(),
        aws.acls.why_not(),
        aws.route_tables.why_not(),
        aws.internet_gateways.why_not(),
        aws.subnet.why_not(),
        aws.prefix_lists.why_not(),
        aws.key_pair.why_not(),
        aws.image.why_not(),
        aws.console.why_not(),
        aws.ssm.why_not(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let credentials = whys.iter().find(|w| matches!(w, Why::Credentials { .. }));
    if let (Some(why), false) = (credentials, aws.instance.is_known()) {
        out.push(Finding::new("credentials-missing-or-expired", Certainty::Proven, why.text(), "AWS credential chain"));
    }
    let mut denied = whys.iter().filter_map(|w| match w {
        Why::Denied { action, reason } => Some((action.clone(), reason.clone())),
        _ => None,
    });
    if let Some((action, reason)) = denied.next() {
        let first = Finding::new(
            "iam-denied-read",
            Certainty::Proven,
            format!("not allowed: {action} {reason}").trim_end().to_owned(),
            action.clone(),
        );
        out.push(denied.fold(first, |f, (action, reason)| {
            f.and(format!("not allowed: {action} {reason}").trim_end().to_owned(), action)
        }));
    }
}
