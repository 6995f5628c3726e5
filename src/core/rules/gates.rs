//! What stands in the way of a repair that stops the instance, and the metadata service.
//!
//! Obstacles are no causes of a failed login: they are told where a repair would meet them.

use super::View;
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::fact::Why;
use crate::core::facts::Facts;

/// The Auto Scaling group of the instance. Tags that begin with `aws:` cannot be set by users.
pub(super) fn auto_scaling_group(facts: &Facts) -> Option<&str> {
    facts.instance()?.tags.get("aws:autoscaling:groupName").map(String::as_str)
}

/// Whether the instance is a one-time Spot Instance, which cannot be stopped.
pub(super) fn one_time_spot(facts: &Facts) -> bool {
    facts.host.spot.value().and_then(Option::as_ref).is_some_and(|r| r.kind == "one-time")
}

/// Whether the metadata service is known to be off.
pub fn metadata_off(facts: &Facts) -> bool {
    facts.instance().is_some_and(|i| i.imds_enabled == Some(false))
}

/// Whether an EBS-backed instance is known to have no root volume: it could not be started.
pub fn root_is_gone(facts: &Facts) -> bool {
    super::root::root_is_gone(facts)
}

/// Why the instance cannot, or must not, be stopped: each reason with its cause id. Empty for a stopped one.
pub fn against_stop(facts: &Facts) -> Vec<String> {
    let Some(instance) = facts.instance() else { return Vec::new() };
    let mut out = Vec::new();
    if instance.root_device_type.as_deref() == Some("instance-store") {
        out.push("an instance-store root cannot be stopped or detached".to_owned());
    }
    if matches!(instance.state.as_str(), "terminated" | "shutting-down") {
        out.push("the instance is terminated".to_owned());
    }
    if let Some(service) = &instance.managed_by {
        out.push(format!("{service} manages the instance, and AWS refuses changes by others"));
    }
    if instance.state == "stopped" {
        return out;
    }
    if facts.host.stop_protected.value() == Some(&true) {
        out.push("stop protection is on: its owner must lift it first (stop-protected)".to_owned());
    }
    if let Some(group) = auto_scaling_group(facts) {
        out.push(format!("Auto Scaling group {group} would replace it: put it in standby first (asg-managed)"));
    }
    if one_time_spot(facts) {
        out.push("a one-time Spot Instance cannot be stopped".to_owned());
    }
    out
}

/// Checks `stop-gates` and `metadata-service`.
pub(super) fn checks(view: &View<'_>) -> Vec<CheckResult> {
    let facts = view.facts;
    let source = facts.aws.instance.source().to_owned();
    let Some(instance) = facts.instance() else {
        return ["stop-gates", "metadata-service"]
            .map(|id| CheckResult::cannot_tell(id, &Why::needs("the instance")))
            .into();
    };
    let against = against_stop(facts);
    let gates = if !against.is_empty() {
        CheckResult::fail("stop-gates", against.join("; ")).seen(against.join("; "), source.clone())
    } else if instance.state == "stopped" {
        CheckResult::not_applicable("stop-gates", "the instance is stopped already")
    } else if facts.host.stop_protected.is_known() {
        CheckResult::pass("stop-gates", "nothing forbids a stop").seen("disableApiStop false", source.clone())
    } else {
        let why = facts.host.stop_protected.why_not().unwrap_or(Why::needs("the stop protection"));
        CheckResult::cannot_tell("stop-gates", &why)
    };
    let metadata = match instance.imds_enabled {
        Some(true) => {
            CheckResult::pass("metadata-service", "the metadata service is on").seen("HttpEndpoint enabled", source)
        }
        Some(false) => {
            CheckResult::fail("metadata-service", "the metadata service is off").seen("HttpEndpoint disabled", source)
        }
        None => CheckResult::unclear("metadata-service", "cannot tell: AWS did not say whether the service is on"),
    };
    vec![gates, metadata]
}

/// Obstacles as findings; which are shown is decided where they are ranked.
pub(super) fn findings(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let Some(instance) = facts.instance() else { return Vec::new() };
    let source = facts.aws.instance.source();
    let mut out = Vec::new();
    let runs = instance.state == "running";
    if runs && facts.host.stop_protected.value() == Some(&true) {
        let source = facts.host.stop_protected.source();
        out.push(Finding::new("stop-protected", Certainty::Proven, "the attribute disableApiStop is true", source));
    }
    if let Some(group) = auto_scaling_group(facts).filter(|_| runs) {
        let text = format!("tag aws:autoscaling:groupName is {group}");
        out.push(Finding::new("asg-managed", Certainty::Proven, text, source));
    }
    if metadata_off(facts) && runs {
        let text = "MetadataOptions.HttpEndpoint is disabled";
        out.push(Finding::new("imds-disabled", Certainty::Proven, text, source));
    }
    out.extend(repair_by_user_data(view));
    out
}

/// What an earlier repair by user data said of itself on the console.
fn repair_by_user_data(view: &View<'_>) -> Option<Finding> {
    let console = view.facts.aws.console.value()?;
    let line = console.lines().rev().find(|line| line.contains("sshfix["))?;
    let said = line[line.find("sshfix[")?..].trim();
    let failed = said.split_once("] ").is_some_and(|(_, words)| words.starts_with("FAIL"));
    let text = format!("the repair says: {}", crate::core::text::shorten(said, 200));
    failed
        .then(|| Finding::new("user-data-repair-ineffective", Certainty::Proven, text, view.facts.aws.console.source()))
}

/// Whether a repair by user data left its mark `sshfix[NONCE]` on the console; what `repair` asks after the start.
///
/// `started_at` and `now` in seconds since 1970. `None` while there is still time (ten minutes from the start,
/// as a snapshot of the console can be that late), or when the mark says that it worked.
pub fn repair_left_no_mark(console: Option<&str>, nonce: &str, started_at: i64, now: i64) -> Option<Finding> {
    let mark = format!("sshfix[{nonce}] ");
    let said = console.and_then(|text| text.lines().rev().find_map(|l| l.split_once(&mark).map(|(_, words)| words)));
    let proven =
        |text: String| Some(Finding::new("user-data-repair-ineffective", Certainty::Proven, text, "GetConsoleOutput"));
    match said {
        Some(words) if words.starts_with("FAIL") => proven(format!("the repair says: {}", words.trim())),
        Some(_) => None,
        None if now - started_at < 600 => None,
        None if console.is_some() => {
            let text = "ten minutes after the start the console log does not show the repair's mark";
            Some(
                Finding::new("user-data-repair-ineffective", Certainty::Likely, text, "GetConsoleOutput")
                    .would_prove("/var/log/cloud-init-output.log inside the instance"),
            )
        }
        None => None,
    }
}
