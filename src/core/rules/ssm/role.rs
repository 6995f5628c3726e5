//! Whether the SSM agent has credentials that suffice: instance profile, its role, or Default Host Management.

use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::diagnosis::DoorState;
use crate::core::fact::{Fact, Why};
use crate::core::iam::{Answer, may};
use crate::core::rules::View;

/// What an agent must be allowed: to register, and to hold its channels
/// (Systems Manager User Guide, "Configure instance permissions" and "Verify or add session permissions").
pub const NEEDED: [&str; 5] = [
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
];

/// What would prove that the agent has no other credentials.
const HOSTED: &str = "whether Default Host Management is on in this Region (ssm:GetServiceSetting)";

/// What is known of the agent's credentials.
enum Rights {
    /// They suffice: why, and source.
    Enough(String, String),
    /// There is no role; proven, or what would prove it.
    NoRole(String, String, Option<String>),
    /// The role lacks rights; proven, or what would prove it.
    Lacks(String, String, Option<String>),
    Unknown(Why),
}

fn rights(view: &View<'_>) -> Rights {
    let facts = view.facts;
    let Some(instance) = facts.instance() else { return Rights::Unknown(Why::needs("the instance")) };
    let hosted = &facts.doors.host_management;
    let by_host =
        |role: &String| Rights::Enough(format!("Default Host Management gives it {role}"), hosted.source().to_owned());
    let without = |text: &str, source: &str| match hosted {
        Fact::Known { value: Some(role), .. } => by_host(role),
        Fact::Known { value: None, .. } => {
            Rights::NoRole(format!("{text}, and Default Host Management is off"), source.to_owned(), None)
        }
        _ => Rights::NoRole(text.to_owned(), source.to_owned(), Some(HOSTED.to_owned())),
    };
    if instance.profile_arn.is_none() {
        return without("the instance has no instance profile", facts.aws.instance.source());
    }
    let role = match &facts.doors.role {
        Fact::Known { value: Some(role), .. } => role,
        Fact::Known { value: None, source } => return without("the instance profile has no role", source),
        other => return Rights::Unknown(other.why_not().unwrap_or(Why::needs("the role of the instance profile"))),
    };
    let Fact::Known { value: policies, source } = &facts.doors.policies else {
        return Rights::Unknown(facts.doors.policies.why_not().unwrap_or(Why::needs("the role's policies")));
    };
    let mut unsure = None;
    let mut doubt = false;
    let mut lacks = Vec::new();
    let mut by = String::new();
    for action in NEEDED {
        match may(policies, action) {
            Answer::Allowed(name) => by = name,
            Answer::Refused(why) => lacks.push((action, why)),
            Answer::Doubtful(why) => {
                doubt = true;
                lacks.push((action, why));
            }
            Answer::Unknown(why) => unsure = Some(why),
        }
    }
    // The agent only turns to Default Host Management when its own role may not register it.
    let by_default = lacks.iter().any(|(action, _)| *action == NEEDED[0]);
    if let (true, Some(Some(default))) = (by_default, hosted.value()) {
        return by_host(default);
    }
    let needs = match (by_default && !hosted.is_known(), doubt) {
        (true, _) => Some(HOSTED.to_owned()),
        (false, true) => Some("the text of all policies of the role, and its permissions boundary".to_owned()),
        (false, false) => None,
    };
    match (lacks.first(), unsure) {
        (Some((_, why)), _) => {
            let actions: Vec<String> = lacks.iter().map(|(action, _)| (*action).to_owned()).collect();
            let text = format!("role {} may not {}: {why}", role.name, crate::core::text::list(&actions));
            Rights::Lacks(text, source.clone(), needs)
        }
        (None, Some(why)) => Rights::Unknown(Why::needs(format!("to know more of role {}: {why}", role.name))),
        (None, None) => {
            Rights::Enough(format!("role {} may do what the agent needs ({by})", role.name), source.clone())
        }
    }
}

/// Check `ssm-role`.
pub(super) fn check(view: &View<'_>) -> CheckResult {
    let id = "ssm-role";
    match rights(view) {
        Rights::Enough(text, source) => CheckResult::pass(id, text.clone()).seen(text, source),
        // The role may have been taken away since, or given in another way: what counts is that it works.
        _ if online(view) => CheckResult::pass(id, "the agent is online, so its credentials suffice")
            .seen("PingStatus Online", view.facts.aws.ssm.source()),
        Rights::NoRole(text, source, None) | Rights::Lacks(text, source, None) => {
            CheckResult::fail(id, text.clone()).seen(text, source)
        }
        Rights::NoRole(text, source, Some(needs)) | Rights::Lacks(text, source, Some(needs)) => {
            CheckResult::unclear(id, format!("cannot tell: {text}; still to be known: {needs}")).seen(text, source)
        }
        Rights::Unknown(why) => CheckResult::cannot_tell(id, &why),
    }
}

fn online(view: &View<'_>) -> bool {
    super::agent(view.facts) == super::Agent::Online
}

/// State for the rules that ask whether this link holds.
pub(super) fn state(view: &View<'_>) -> (DoorState, String) {
    match rights(view) {
        Rights::Enough(text, _) => (DoorState::Open, text),
        Rights::NoRole(text, _, None) | Rights::Lacks(text, _, None) => (DoorState::Closed, text),
        Rights::NoRole(text, ..) | Rights::Lacks(text, ..) => (DoorState::Unknown, text),
        Rights::Unknown(why) => (DoorState::Unknown, why.text()),
    }
}

/// The cause, when the agent has no role or one that does not suffice.
pub(super) fn finding(view: &View<'_>) -> Option<Finding> {
    let (id, text, source, needs) = match rights(view) {
        Rights::NoRole(text, source, needs) => ("ssm-no-role", text, source, needs),
        Rights::Lacks(text, source, needs) => ("ssm-role-lacks-policy", text, source, needs),
        Rights::Enough(..) | Rights::Unknown(_) => return None,
    };
    Some(match needs {
        None => Finding::new(id, Certainty::Proven, text, source),
        Some(needs) => Finding::new(id, Certainty::Likely, text, source).would_prove(needs),
    })
}
