//! EC2 Instance Connect: the pushed key, the package inside, and the console's browser client.
//!
//! A successful push proves nothing, so nothing here is proven by it. The way to the port is `network`'s.

use super::View;
use super::about::pasted;
use crate::core::ami::Confidence;
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::diagnosis::DoorState;
use crate::core::fact::Why;
use crate::core::facts::wire::{SshServer, Tcp};
use crate::core::vpc::security_group::covers;
use crate::core::vpc::types::{SgPeer, SgRule};
use crate::core::vpc::{Family, flow_of, is_private};

/// Whether the image carries the package, and why; `None` when that is not known.
///
/// Ubuntu carries it from 20.04 on (EC2 User Guide, "Install EC2 Instance Connect").
pub(super) fn carried(view: &View<'_>) -> Option<(bool, String)> {
    let guess = view.family.as_ref()?;
    let family = &guess.family;
    let agent = view.facts.aws.ssm.value().and_then(Option::as_ref);
    let image = view.facts.aws.image.value().and_then(Option::as_ref).and_then(|i| i.name.clone());
    let reported =
        agent.filter(|a| a.platform_name.as_deref() == Some("Ubuntu")).and_then(|a| a.platform_version.clone());
    let named = || {
        let name = image.unwrap_or_default();
        let at = name.find("-14.04").or_else(|| name.find("-16.04")).or_else(|| name.find("-18.04"));
        at.and_then(|at| name.get(at + 1..at + 6).map(str::to_owned))
    };
    if family.id == "ubuntu"
        && let Some(version) = reported.or_else(named)
        && version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major < 20)
    {
        return Some((false, format!("Ubuntu {version} comes without EC2 Instance Connect")));
    }
    let sure = guess.confidence == Confidence::Sure;
    match family.eic_preinstalled {
        Some(true) => Some((true, format!("{} carries EC2 Instance Connect", family.title))),
        Some(false) if sure => Some((false, format!("{} comes without EC2 Instance Connect", family.title))),
        _ => None,
    }
}

/// Check `instance-connect`.
pub(super) fn check(view: &View<'_>) -> CheckResult {
    let id = "instance-connect";
    if view.facts.instance().is_none() {
        return CheckResult::cannot_tell(id, &Why::needs("the instance"));
    }
    if super::gates::metadata_off(view.facts) {
        return CheckResult::fail(id, "the metadata service is off, so no pushed key arrives")
            .seen("HttpEndpoint disabled", view.facts.aws.instance.source());
    }
    let source = || if view.facts.aws.image.is_known() { view.facts.aws.image.source() } else { "the image's family" };
    match carried(view) {
        Some((true, text)) => CheckResult::pass(id, text.clone()).seen(text, source()),
        Some((false, text)) => {
            CheckResult::unclear(id, format!("cannot tell: {text}, unless it was installed")).seen(text, source())
        }
        None => CheckResult::unclear(id, "cannot tell: the image does not say whether it carries EC2 Instance Connect"),
    }
}

/// Causes of a push that did not open the way.
pub(super) fn findings(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    if facts.symptom() != Some("eic_error") || !view.running() {
        return Vec::new();
    }
    let mut out = Vec::new();
    out.extend(console_is_kept_out(view));
    let carried = carried(view);
    if let Some((false, text)) = &carried {
        out.push(
            Finding::new("eic-agent-missing", Certainty::Likely, text.clone(), "the image's family")
                .would_prove("sshd -T | grep -i authorizedkeyscommand inside the instance (Session Manager)"),
        );
    }
    let answers = matches!(facts.wire.ssh.value(), Some(SshServer::Ready { .. }));
    if carried.is_none_or(|(yes, _)| yes) && answers && !super::gates::metadata_off(facts) {
        out.push(wrong_push(view));
    }
    out
}

/// The server answers and asks for pushed keys, so the key that was pushed was too old or for another user.
fn wrong_push(view: &View<'_>) -> Finding {
    let facts = view.facts;
    let id = "eic-push-expired-or-wrong-user";
    let user = facts.user().map(str::to_owned).or_else(|| facts.paste.as_ref().and_then(|p| p.extract.user.clone()));
    let sure = view.family.as_ref().filter(|f| f.confidence != Confidence::Guess);
    match (user, sure) {
        (Some(user), Some(guess)) if !guess.family.users.contains(&user) && !view.names_user(&user) => {
            let text = format!(
                "the user is {user}, and {} is logged in to as {}",
                guess.family.title,
                guess.family.users.join(" or ")
            );
            Finding::new(id, Certainty::Likely, text, "the image's family")
        }
        _ => Finding::new(
            id,
            Certainty::Possible,
            "an SSH server answers: a pushed key is valid for 60 seconds and for one user only",
            facts.wire.ssh.source(),
        ),
    }
    .would_prove("another push for the image's user, and a login within a minute")
}

/// The browser client of the console comes from AWS's addresses, not from the user's.
fn console_is_kept_out(view: &View<'_>) -> Option<Finding> {
    let facts = view.facts;
    let browser = [
        "failed to connect to your instance",
        "error establishing ssh connection to your instance",
        "ec2 instance connect is unable to connect",
        "インスタンスへの接続に失敗しました",
        "インスタンスへの ssh 接続の確立中にエラー",
    ];
    let line = pasted(facts, &browser);
    let groups = facts.aws.groups.value()?;
    let owner = crate::core::vpc::owner::owner_of(facts, facts.wire.address).ok()?;
    let flow = flow_of(facts);
    let rules: Vec<&SgRule> = groups
        .iter()
        .filter(|g| owner.interface.groups.contains(&g.id))
        .flat_map(|g| &g.inbound)
        .filter(|r| covers(r, &flow, Family::V4) || covers(r, &flow, Family::V6))
        .collect();
    // A prefix list may be the one of Instance Connect, and a wide range may hold its addresses.
    let may_hold = |rule: &&SgRule| match &rule.peer {
        SgPeer::PrefixList(_) => true,
        SgPeer::Cidr(net) => !is_private(net.network()) && net.max_prefix_len() - net.prefix_len() >= 3,
        SgPeer::Group { .. } => false,
    };
    let reached = matches!(facts.wire.tcp.value(), Some(Tcp::Connected { .. })) && facts.dialled_own_address();
    if rules.is_empty() || rules.iter().any(may_hold) || (line.is_none() && !reached) {
        return None;
    }
    let text = format!(
        "rules for {} admit only single or private addresses: {}",
        flow.what(),
        crate::core::text::list(&rules.iter().map(|r| crate::core::vpc::security_group::what(r)).collect::<Vec<_>>())
    );
    let source = format!("DescribeSecurityGroups {}", owner.interface.groups.join(" "));
    Some(match (line, reached) {
        (Some(line), true) => Finding::new("eic-prefix-list-not-allowed", Certainty::Proven, text, source)
            .and(line, "pasted text")
            .and("the port answers from here", facts.wire.tcp.source()),
        (Some(line), false) => Finding::new("eic-prefix-list-not-allowed", Certainty::Likely, text, source)
            .and(line, "pasted text")
            .would_prove("an ssh of your own that reaches the port"),
        (None, _) => Finding::new("eic-prefix-list-not-allowed", Certainty::Possible, text, source)
            .would_prove("whether it was the browser client of the console that failed"),
    })
}

/// State of the door and why.
pub(super) fn door(view: &View<'_>) -> (DoorState, String) {
    let facts = view.facts;
    if facts.instance().is_none() {
        return (DoorState::Unknown, "needs the instance".to_owned());
    }
    if !view.running() {
        return (DoorState::Closed, "the instance is not running".to_owned());
    }
    if super::gates::metadata_off(facts) {
        return (DoorState::Closed, "the metadata service is off, so no pushed key arrives (imds-disabled)".to_owned());
    }
    match facts.wire.tcp.value() {
        Some(Tcp::Connected { .. }) => match carried(view) {
            _ if matches!(facts.wire.ssh.value(), Some(s) if !matches!(s, SshServer::Ready { .. })) => {
                (DoorState::Closed, "it needs an SSH server that answers on the port".to_owned())
            }
            Some((true, text)) => (DoorState::Unknown, format!("the port answers and {text}; only a push proves it")),
            Some((false, text)) => (DoorState::Unknown, format!("{text}, unless it was installed (eic-agent-missing)")),
            None => (DoorState::Unknown, "the image does not tell whether it carries EC2 Instance Connect".to_owned()),
        },
        Some(_) => (DoorState::Closed, "it needs the SSH port, which does not answer".to_owned()),
        None => (DoorState::Unknown, "it needs the SSH port, which was not probed".to_owned()),
    }
}
