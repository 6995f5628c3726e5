//! The instance as AWS sees it: found, running, healthy, and what its console log says.
//!
//! Must not judge the machine's load, its volumes or the right to look: siblings do.

use super::{View, root};
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::wire::{Answer, SshServer, Tcp};
use crate::core::target::TargetKind;

/// Seconds after a start in which a refusal or silence is normal.
const BOOT_SECONDS: i64 = 300;

/// Checks `instance-found`, `instance-running`, `status-checks`.
pub fn checks(view: &View<'_>) -> Vec<CheckResult> {
    vec![found(view.facts), running(view.facts), status(view.facts)]
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

/// Whether the instance was started so recently that it may still boot.
pub fn may_be_booting(facts: &Facts) -> bool {
    let young = facts
        .instance()
        .and_then(|i| i.launched)
        .is_some_and(|t| facts.now > 0 && (0..BOOT_SECONDS).contains(&(facts.now - t)));
    let starting = facts.aws.status.value().is_some_and(|s| s.system == "initializing" || s.instance == "initializing");
    facts.instance().is_some_and(|i| i.state == "running") && (young || starting)
}

/// Causes in the instance's state and in its console log.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let mut out = Vec::new();
    root::before_start(view, &mut out);
    state_findings(view, &mut out);
    root::beside(view, &mut out);
    out.extend(super::contained::finding(view));
    out.extend(user_data_failed(view));
    if !matches!(facts.wire.ssh.value(), Some(SshServer::Ready { .. })) {
        status_findings(facts, &mut out);
        console_findings(view, &mut out);
    }
    elsewhere(facts, &mut out);
    out
}

fn state_findings(view: &View<'_>, out: &mut Vec<Finding>) {
    let facts = view.facts;
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
    root::after_state(view, &text, out);
}

fn status_findings(facts: &Facts, out: &mut Vec<Finding>) {
    if facts.instance().is_none_or(|i| i.state != "running") {
        return;
    }
    let Some(status) = facts.aws.status.value() else {
        by_metric(facts, out);
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
            let finding = match failing_for(facts, id) {
                Some(minutes) => {
                    finding.and(format!("its metric has failed for {minutes} minutes"), facts.host.metrics.source())
                }
                None => finding,
            };
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

/// Minutes for which the metric of a status check has failed.
fn failing_for(facts: &Facts, id: &str) -> Option<i64> {
    let metrics = facts.host.metrics.value()?;
    match id {
        "system-status-impaired" => super::machine::failing_minutes(facts, &metrics.system_failed),
        "instance-status-impaired" => super::machine::failing_minutes(facts, &metrics.instance_failed),
        _ => None,
    }
}

/// Where the status may not be read, its metric tells the same, some minutes later.
fn by_metric(facts: &Facts, out: &mut Vec<Finding>) {
    for (id, name) in [
        ("system-status-impaired", "StatusCheckFailed_System"),
        ("instance-status-impaired", "StatusCheckFailed_Instance"),
    ] {
        if let Some(minutes) = failing_for(facts, id) {
            let text = format!("{name} has been 1 for {minutes} minutes");
            out.push(
                Finding::new(id, Certainty::Likely, text, facts.host.metrics.source())
                    .would_prove("the status check itself (ec2 describe-instance-status)"),
            );
        }
    }
}

/// A failed first boot may have left out the user or the key; more than that the log does not tell, unless the user
/// data was to make the very account that the login asks for and the server refuses.
fn user_data_failed(view: &View<'_>) -> Option<Finding> {
    let console = view.console.as_ref().filter(|c| c.causes.iter().any(|id| id == "user-data-failed"))?;
    let line = console.evidence.first().cloned().unwrap_or_else(|| console.explanation.clone());
    let facts = view.facts;
    let user = view.user().unwrap_or_default();
    let data = facts.host.user_data.value().and_then(Option::as_ref);
    let refused = facts.wire.offers.iter().any(|o| o.user == user && o.answer == Answer::Refused)
        && !facts.wire.offers.iter().any(|o| o.user == user && o.answer.key_is_known());
    let made = data.is_some_and(|d| d.makes_users.contains(&user)) && refused;
    let certainty = if made { Certainty::Likely } else { Certainty::Possible };
    let text = format!("the console log says: {line}");
    let finding = Finding::new("user-data-failed", certainty, text, view.console_source())
        .would_prove("/var/log/cloud-init-output.log inside, and whether user and key are there");
    Some(if made {
        finding.and(format!("the user data was to make {user}"), facts.host.user_data.source())
    } else {
        finding
    })
}

fn console_findings(view: &View<'_>, out: &mut Vec<Finding>) {
    let Some(console) = &view.console else { return };
    let facts = view.facts;
    let greets = matches!(facts.wire.ssh.value(), Some(SshServer::Ready { .. }));
    // A console log shows the last boot, not this minute: it makes likely, the failed probe does not prove it.
    let failing =
        matches!(facts.wire.tcp.value(), Some(Tcp::TimedOut { .. } | Tcp::Refused { .. } | Tcp::Connected { .. }));
    // But where the guest answers no ARP now and no packet either, what its boot ended with is still so.
    let dead = facts.aws.status.value().is_some_and(|s| s.instance == "impaired")
        && facts.dialled_own_address()
        && matches!(facts.wire.tcp.value(), Some(Tcp::TimedOut { .. }))
        && facts.aws.console.is_known();
    for id in console.causes.iter().filter(|id| !matches!(id.as_str(), "instance-without-keypair" | "user-data-failed"))
    {
        // A log that breaks off may be an old snapshot: that the system still boots takes a start of late.
        if id == "boot-in-progress" && console.evidence.is_empty() && !may_be_booting(facts) {
            continue;
        }
        if greets && ends_before_sshd(id) {
            continue;
        }
        let line = console.evidence.first().cloned().unwrap_or_else(|| console.explanation.clone());
        let text = format!("the console log says: {line}");
        out.push(if dead && ends_boot(id) {
            Finding::new(id, Certainty::Proven, text, view.console_source())
                .and("the instance status check is impaired", facts.aws.status.source())
        } else {
            let certainty = if failing && !greets { Certainty::Likely } else { Certainty::Possible };
            Finding::new(id, certainty, text, view.console_source())
                .would_prove("a fresh console log or screenshot, or a look inside through Session Manager")
        });
    }
}

/// Whether a boot that ends so leaves a guest without a network.
fn ends_boot(id: &str) -> bool {
    matches!(id, "kernel-panic" | "fstab-emergency-mode" | "boot-device-missing" | "guest-network-failed")
}

/// Whether an SSH server that greets refutes it.
fn ends_before_sshd(id: &str) -> bool {
    ends_boot(id)
        || super::rank::stage(id) == super::rank::Stage::Server && !matches!(id, "disk-full" | "cpu-or-memory-overload")
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
