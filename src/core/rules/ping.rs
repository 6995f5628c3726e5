//! Ping: whether AWS lets an echo request in, judged apart from the login.
//!
//! A failed ping says nothing about SSH; the answer to the question is what stops ICMP.

use super::View;
use super::about::{Asked, asked};
use crate::core::cause::{Certainty, Finding};
use crate::core::check::{CheckResult, HopState};
use crate::core::facts::wire::Tcp;
use crate::core::vpc::hops::{denial_text, nacl_state};
use crate::core::vpc::path::{PathResult, evaluate};
use crate::core::vpc::security_group::SgDecision;
use crate::core::vpc::{Family, Flow, Protocol, flow_of};

/// What AWS does with an echo request, and the deciding words.
enum Echo {
    Allowed,
    Dropped(String, String),
    Unknown(String),
}

fn path(view: &View<'_>) -> PathResult {
    let flow = flow_of(view.facts);
    let family = flow.address.map_or(Family::V4, Family::of);
    evaluate(view.facts, &Flow { protocol: Protocol::ping(family), ..flow })
}

fn echo(view: &View<'_>) -> Echo {
    let path = path(view);
    if let SgDecision::Denied { groups } = &path.group {
        let ids: Vec<&str> = groups.iter().map(|(id, _)| id.as_str()).collect();
        return Echo::Dropped(denial_text(&path, groups), format!("DescribeSecurityGroups {}", ids.join(" ")));
    }
    if nacl_state(&path) == HopState::Blocked {
        let text = format!("{}; {}", path.nacl_in.text(), path.nacl_out.text());
        return Echo::Dropped(text, "DescribeNetworkAcls".to_owned());
    }
    match &path.group {
        SgDecision::Unknown { why } => Echo::Unknown(why.text()),
        _ if nacl_state(&path) != HopState::Open => Echo::Unknown(path.nacl_in.text()),
        _ => Echo::Allowed,
    }
}

/// Check `ping-path`.
pub(super) fn check(view: &View<'_>) -> CheckResult {
    let id = "ping-path";
    if asked(view.facts) != Asked::Ping {
        return CheckResult::not_applicable(id, "ping is not asked about, and SSH does not need it");
    }
    match echo(view) {
        Echo::Allowed => CheckResult::pass(id, "security groups and network ACL let ping in")
            .seen("icmp echo is allowed", "DescribeSecurityGroups, DescribeNetworkAcls"),
        Echo::Dropped(text, source) => CheckResult::fail(id, text.clone()).seen(text, source),
        Echo::Unknown(text) => CheckResult::unclear(id, format!("cannot tell: {text}")),
    }
}

/// Why ping fails while TCP gets through.
pub(super) fn finding(view: &View<'_>) -> Option<Finding> {
    let facts = view.facts;
    let reached = matches!(facts.wire.tcp.value(), Some(Tcp::Connected { .. }));
    if asked(facts) != Asked::Ping || !reached {
        return None;
    }
    let id = "icmp-blocked-only";
    let port = format!("port {} answers", facts.wire.port.unwrap_or_else(|| facts.port()));
    let known = facts.instance().is_some() && facts.dialled_own_address();
    Some(match echo(view) {
        Echo::Dropped(text, source) if known => {
            Finding::new(id, Certainty::Proven, text, source).and(port, facts.wire.tcp.source())
        }
        Echo::Allowed if known => Finding::new(
            id,
            Certainty::Likely,
            "AWS lets ping in: a firewall inside the instance, as Windows has by default, or one on your side drops it",
            "DescribeSecurityGroups, DescribeNetworkAcls",
        )
        .and(port, facts.wire.tcp.source())
        .would_prove("the firewall rules inside the instance"),
        _ => Finding::new(id, Certainty::Likely, format!("{port}, and ping got no answer"), facts.wire.tcp.source())
            .would_prove("the ICMP rules of the security groups and the network ACL"),
    })
}
