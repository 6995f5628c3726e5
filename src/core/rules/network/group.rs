//! Which cause it is when no security-group rule admits the client.

use super::View;
use crate::core::cause::Finding;
use crate::core::target::RDP_PORT;
use crate::core::vpc::flow::{Flow, Protocol};
use crate::core::vpc::hops::denial_text;
use crate::core::vpc::security_group::{RuleRef, SgDecision, covers, entries, is_everything, port_range};
use crate::core::vpc::types::{SgPeer, SgRule};
use crate::core::vpc::{Family, is_private, through_jump};
use ipnet::IpNet;
use std::net::IpAddr;

/// Ports on which people put a second SSH server.
const SSH_LIKE: [i32; 12] = [22, 222, 1022, 2022, 2200, 2222, 2223, 10022, 20022, 22000, 22022, 22222];

/// Words in descriptions of rules that are about one person's address.
const PERSONAL: [&str; 12] = [
    "my ip",
    "my-ip",
    "myip",
    "my address",
    "home",
    "laptop",
    "personal",
    "workstation",
    "'s ip",
    "dev machine",
    "desktop",
    "temp",
];

/// Words in descriptions of rules that are about a machine or a site.
const MACHINE: [&str; 15] = [
    "bastion", "jump", "monitor", "nagios", "jenkins", "github", "gitlab", "runner", "deploy", "scanner", "nat", "vpn",
    "balancer", "proxy", "backup",
];

/// The one rule that was made for the client's former address.
pub(super) fn former(view: &View) -> Option<RuleRef> {
    let SgDecision::Denied { groups } = &view.path.group else {
        return None;
    };
    let ids: Vec<&str> = groups.iter().map(|(id, _)| id.as_str()).collect();
    let rules = rules_of(view, &ids);
    let covering: Vec<&RuleRef> = rules.iter().filter(|r| covers(&r.rule, &view.path.flow, view.path.family)).collect();
    old_address(view, &covering).cloned()
}

pub(super) fn finding(view: &View) -> Option<Finding> {
    let SgDecision::Denied { groups } = &view.path.group else {
        return None;
    };
    let ids: Vec<&str> = groups.iter().map(|(id, _)| id.as_str()).collect();
    let source = format!("DescribeSecurityGroups {}", ids.join(" "));
    let rules = rules_of(view, &ids);
    let flow = &view.path.flow;
    let covering: Vec<&RuleRef> = rules.iter().filter(|r| covers(&r.rule, flow, view.path.family)).collect();
    let (id, telling) = classify(view, &rules, &covering);
    let mut finding = Finding::new(id, view.certainty(), denial_text(&view.path, groups), source.clone());
    for rule in telling {
        finding = finding.and(note(&rule.text(), id, view), source.clone());
    }
    Some(view.with_silence(finding))
}

fn note(text: &str, id: &str, view: &View) -> String {
    match id {
        "sg-source-ip-changed" => format!("{text}, but the client is {}", view.client()),
        "sg-wrong-family" => format!("{text}, but the connection is {}", view.path.family.name()),
        "sg-wrong-port" => format!("{text}, but the login goes to port {}", view.path.flow.port),
        "sg-ref-not-applicable" => {
            format!("{text}: a group only admits private addresses of its members")
        }
        _ => text.to_owned(),
    }
}

fn rules_of(view: &View, ids: &[&str]) -> Vec<RuleRef> {
    let groups = view.facts.aws.groups.value().map(Vec::as_slice).unwrap_or_default();
    groups
        .iter()
        .filter(|g| ids.contains(&g.id.as_str()))
        .flat_map(|g| {
            g.inbound.iter().map(|rule| RuleRef {
                group_id: g.id.clone(),
                group_name: g.name.clone(),
                rule: rule.clone(),
            })
        })
        .collect()
}

fn classify<'a>(view: &View, rules: &'a [RuleRef], covering: &[&'a RuleRef]) -> (&'static str, Vec<&'a RuleRef>) {
    if let Some(rule) = old_address(view, covering) {
        return ("sg-source-ip-changed", vec![rule]);
    }
    let other = view.path.family.other();
    let other_family = rules
        .iter()
        .find(|r| covers(&r.rule, &view.path.flow, other) && admits_everyone_or(&r.rule, other, view.path.flow.source));
    if let Some(rule) = other_family {
        return ("sg-wrong-family", vec![rule]);
    }
    let is_group = |r: &&RuleRef| matches!(r.rule.peer, SgPeer::Group { .. });
    if !covering.is_empty() && covering.iter().all(is_group) {
        return ("sg-ref-not-applicable", covering.iter().take(3).copied().collect());
    }
    if let Some(rule) = rules.iter().find(|r| other_port(view, &r.rule)) {
        return ("sg-wrong-port", vec![rule]);
    }
    ("sg-no-rule", covering.iter().take(3).copied().collect())
}

/// The one rule for exactly this port that was made for a single, different address.
fn old_address<'a>(view: &View, covering: &[&'a RuleRef]) -> Option<&'a RuleRef> {
    // A jump host's address is not the client's of another day.
    let client = view.path.source.filter(|_| !through_jump(view.facts))?;
    let fits = |rule: &SgRule| {
        let SgPeer::Cidr(net) = &rule.peer else {
            return false;
        };
        let exact = port_range(rule).is_some_and(|(low, high)| low == high) && !is_everything(&rule.protocol);
        let single = net.prefix_len() == net.max_prefix_len();
        exact
            && Family::of_net(net) == view.path.family
            && is_private(net.network()) == is_private(client)
            && !has_word(rule, &MACHINE)
            && (single || (has_word(rule, &PERSONAL) && net.prefix_len() > 0))
    };
    let all: Vec<&RuleRef> = covering.iter().filter(|r| fits(&r.rule)).copied().collect();
    let personal: Vec<&RuleRef> = all.iter().filter(|r| has_word(&r.rule, &PERSONAL)).copied().collect();
    match (all.as_slice(), personal.as_slice()) {
        ([only], _) | (_, [only]) => Some(only),
        _ => None,
    }
}

/// Whether a description has one of the words at the beginning of a word; short ones as a whole.
fn has_word(rule: &SgRule, words: &[&str]) -> bool {
    let text = rule.description.as_deref().unwrap_or_default().to_lowercase();
    let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    words.iter().any(|word| {
        text.match_indices(word).any(|(at, _)| {
            let begins = !word.starts_with(char::is_alphanumeric) || !letter(text[..at].chars().next_back());
            let ends = word.len() > 3 || !letter(text[at + word.len()..].chars().next());
            begins && ends
        })
    })
}

fn admits_everyone_or(rule: &SgRule, family: Family, client: Option<IpAddr>) -> bool {
    match &rule.peer {
        SgPeer::Cidr(net) if Family::of_net(net) == family => {
            net.prefix_len() == 0 || client.is_some_and(|c| Family::of(c) == family && net.contains(&c))
        }
        _ => false,
    }
}

/// Whether a rule admits the client to another port that is meant for SSH.
fn other_port(view: &View, rule: &SgRule) -> bool {
    let flow = &view.path.flow;
    if flow.protocol != Protocol::Tcp
        || is_everything(&rule.protocol)
        || !flow.protocol.covered_by(view.path.family, &rule.protocol)
    {
        return false;
    }
    let Some((low, high)) = port_range(rule) else {
        return false;
    };
    let here = |port: i32| (low..=high).contains(&port) && port != i32::from(flow.port);
    let meant = if flow.port == 22 {
        (high - low <= 10 && SSH_LIKE.iter().any(|p| here(*p))) || (low == high && has_word(rule, &["ssh", "sftp"]))
    } else {
        // A rule for SSH was not meant for Remote Desktop.
        flow.port != RDP_PORT && here(22) && high - low <= 10
    };
    let at = Flow { port: u16::try_from(low).unwrap_or_default(), ..flow.clone() };
    meant && at.port != 0 && admits(view, rule)
}

fn admits(view: &View, rule: &SgRule) -> bool {
    let contains = |net: &IpNet| match view.path.source {
        Some(client) => net.contains(&client),
        None => net.prefix_len() == 0 && Family::of_net(net) == view.path.family,
    };
    match &rule.peer {
        SgPeer::Cidr(net) => contains(net),
        SgPeer::PrefixList(id) => {
            entries(&view.facts.aws.prefix_lists, id).is_some_and(|nets| nets.iter().any(contains))
        }
        SgPeer::Group { .. } => false,
    }
}
