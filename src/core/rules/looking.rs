//! The right and the way to look: credentials, denials, clock, throttling, endpoints.
//!
//! They hinder the looking, not the login. Must not judge the instance.

use super::View;
use super::about::{Asked, asked};
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;

/// Check `aws-credentials`.
pub(super) fn credentials(facts: &Facts) -> CheckResult {
    let id = "aws-credentials";
    let unusable = |why: &Why| matches!(why, Why::Credentials { .. } | Why::Clock { .. });
    match &facts.aws.caller {
        Fact::Known { value, source } => {
            CheckResult::pass(id, format!("you are {} in account {}", value.arn, value.account))
                .seen(value.arn.clone(), source.clone())
        }
        Fact::Unknown { why } if unusable(why) && !facts.aws.instance.is_known() => CheckResult::fail(id, why.text()),
        other => match facts.aws.instance.why_not() {
            Some(why) if unusable(&why) => CheckResult::fail(id, why.text()),
            // A read that was answered proves the credentials, whatever STS says (its endpoint may be out of reach).
            None => CheckResult::pass(id, "EC2 answers to them"),
            Some(_) => CheckResult::cannot_tell(id, &other.why_not().unwrap_or(Why::needs("AWS"))),
        },
    }
}

/// Why the facts that an SSH login needs are not known.
fn whys(facts: &Facts) -> Vec<Why> {
    let aws = &facts.aws;
    let all = [
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
    ];
    all.into_iter().flatten().collect()
}

/// Why the facts about the machine and the other doors are not known.
fn deeper_whys(facts: &Facts) -> Vec<Why> {
    let (host, doors) = (&facts.host, &facts.doors);
    let all = [
        host.machine.why_not(),
        host.credit_mode.why_not(),
        host.metrics.why_not(),
        host.volumes.why_not(),
        host.stop_protected.why_not(),
        host.user_data.why_not(),
        host.spot.why_not(),
        host.windows.why_not(),
        host.automations.why_not(),
        doors.connection.why_not(),
        doors.host_management.why_not(),
        doors.endpoints.why_not(),
        doors.role.why_not(),
        doors.policies.why_not(),
        doors.connect_endpoints.why_not(),
        doors.endpoint_groups.why_not(),
        doors.serial.why_not(),
    ];
    all.into_iter().flatten().collect()
}

/// Whatever kept the facts of an SSH diagnosis from being known; with a question about a door, also the others.
pub(super) fn findings(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let mut all = whys(facts);
    if asked(facts) != Asked::Ssh {
        all.extend(deeper_whys(facts));
    }
    let mut out = from_whys(&all, facts.aws.instance.is_known());
    out.extend(pasted_denial(facts));
    out
}

/// What kept the facts about machine and doors from being known: told when nothing else explains the failure.
pub(super) fn deeper(view: &View<'_>) -> Vec<Finding> {
    from_whys(&deeper_whys(view.facts), true)
}

fn from_whys(whys: &[Why], instance_known: bool) -> Vec<Finding> {
    let mut out = Vec::new();
    let proven = |id: &str, text: String, source: &str| Finding::new(id, Certainty::Proven, text, source);
    let mut denied: Option<Finding> = None;
    let mut ruled: Option<Finding> = None;
    let mut seen: Vec<&Why> = Vec::new();
    for why in whys {
        if seen.contains(&why) {
            continue;
        }
        seen.push(why);
        match why {
            Why::Credentials { .. } if !instance_known && !has(&out, "credentials-missing-or-expired") => {
                out.push(proven("credentials-missing-or-expired", why.text(), "AWS credential chain"));
            }
            Why::Clock { .. } if !has(&out, "clock-skew") => {
                out.push(proven("clock-skew", why.text(), "the service's answer"));
            }
            Why::Throttled { code, .. } if !has(&out, "api-throttled") => {
                out.push(proven("api-throttled", why.text(), code));
            }
            Why::Endpoint { doing, .. } if !has(&out, "api-endpoint-unreachable") => {
                out.push(proven("api-endpoint-unreachable", why.text(), doing));
            }
            Why::Denied { action, reason } => {
                let text = format!("not allowed: {action} {reason}").trim_end().to_owned();
                denied = Some(match denied {
                    None => proven("iam-denied-read", text.clone(), action),
                    Some(finding) => finding.and(text.clone(), action.clone()),
                });
                if from_above(reason) {
                    ruled = Some(match ruled {
                        None => proven("scp-or-boundary-deny", text, action),
                        Some(finding) => finding.and(text, action.clone()),
                    });
                }
            }
            _ => {}
        }
    }
    out.extend(ruled);
    out.extend(denied);
    out
}

fn has(found: &[Finding], id: &str) -> bool {
    found.iter().any(|f| f.id == id)
}

/// Whether a denial's reason clause names a rule above the account's own permissions, or an explicit deny
/// (IAM User Guide, "Troubleshoot access denied error messages").
pub fn from_above(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    ["service control policy", "resource control policy", "permissions boundary", "explicit deny", "session policy"]
        .iter()
        .any(|clause| reason.contains(clause))
}

/// The denial of a change, for a repair that was refused: `action` is the IAM action, `reason` the service's clause.
pub fn denied_fix(action: &str, reason: &str) -> Finding {
    let id = if from_above(reason) { "scp-or-boundary-deny" } else { "iam-denied-fix" };
    Finding::new(id, Certainty::Proven, format!("not allowed: {action} {reason}").trim_end().to_owned(), action)
}

/// A denial in the pasted text: of a reading call, of a change, or by a rule above.
fn pasted_denial(facts: &Facts) -> Option<Finding> {
    let line = super::about::pasted(facts, &["not authorized to perform", "unauthorizedoperation", "accessdenied"])?;
    let after = |start: &str| line.split(start).nth(1).and_then(|rest| rest.split_whitespace().next());
    let action = after("not authorized to perform: ")?.trim_end_matches(['.', ',']).to_owned();
    // `ssm:StartSession` and its kin are the door's own cause.
    if super::ssm::is_session_action(&action) {
        return None;
    }
    let reason = line.split_once("because ").map(|(_, r)| r).or_else(|| line.split_once("with an ").map(|(_, r)| r));
    let verb = action.split(':').nth(1).unwrap_or_default();
    let reads = ["Describe", "Get", "List", "Search", "View"].iter().any(|start| verb.starts_with(start));
    let mut finding = denied_fix(&action, reason.unwrap_or_default());
    if reads && finding.id == "iam-denied-fix" {
        "iam-denied-read".clone_into(&mut finding.id);
    }
    for evidence in &mut finding.evidence {
        "pasted text".clone_into(&mut evidence.source);
    }
    Some(finding)
}

/// A change that reads as made while the probe is as before, so soon that it may not work everywhere yet
/// (VPC User Guide: rules apply "as quickly as possible, with a small delay").
///
/// Times in seconds since 1970. `None` when it is not so, or no longer: then look for another cause.
pub fn not_yet_effective(changed_at: i64, now: i64, reads_as_changed: bool, probe_as_before: bool) -> Option<Finding> {
    let since = now - changed_at;
    if !reads_as_changed || !probe_as_before || !(0..30).contains(&since) {
        return None;
    }
    let text = format!("AWS shows the change, made {since} s ago, and the probe is still as before");
    Some(
        Finding::new("change-not-yet-effective", Certainty::Likely, text, "the setting, read again")
            .would_prove("the same probe 30 seconds after the change"),
    )
}
