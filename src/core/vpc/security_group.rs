//! Security groups: the union of all rules of all groups of one interface, allow only.
//!
//! Source: EC2 User Guide, "Security group rules" and "Security group referencing".

use crate::core::fact::{Fact, Why};
use crate::core::vpc::flow::{Flow, Protocol, Sources};
use crate::core::vpc::types::{SecurityGroup, SgPeer, SgRule};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A rule and the group that it is in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleRef {
    /// `sg-…`.
    pub group_id: String,
    /// Name of the group.
    pub group_name: String,
    /// The rule.
    pub rule: SgRule,
}

/// What the security groups of an interface do with a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum SgDecision {
    /// A rule admits it.
    Allowed {
        /// The first rule that does.
        by: Box<RuleRef>,
    },
    /// No rule of any group admits it.
    Denied {
        /// The groups that were looked through: id and name.
        groups: Vec<(String, String)>,
    },
    /// The facts do not tell.
    Unknown {
        /// Why.
        why: Why,
    },
}

/// Entries of prefix lists, by id.
pub type PrefixLists = Fact<BTreeMap<String, Vec<IpNet>>>;

/// What is asked of the groups.
#[derive(Debug, Clone, Copy)]
pub struct SgQuestion<'a> {
    /// The flow.
    pub flow: &'a Flow,
    /// Who may have sent it.
    pub sources: Sources,
    /// Whether it may come from a private address of an interface, as group references need it.
    pub from_inside: bool,
    /// Groups that the source's interface is in, when it is known to be one of the VPC's.
    pub members: Option<&'a [String]>,
    /// Expanded prefix lists.
    pub lists: &'a PrefixLists,
}

/// How one rule meets one source.
#[derive(Debug, Clone, PartialEq)]
enum Match {
    Yes,
    No,
    Perhaps(Why),
}

/// Evaluates the groups with these ids.
pub fn decide(groups: &[SecurityGroup], ids: &[String], question: SgQuestion) -> SgDecision {
    let mut mine: Vec<&SecurityGroup> = Vec::new();
    let mut missing = None;
    for id in ids {
        match groups.iter().find(|g| &g.id == id) {
            Some(group) => mine.push(group),
            None => missing = Some(Why::needs(format!("the rules of security group {id}"))),
        }
    }
    if ids.is_empty() {
        return SgDecision::Unknown { why: Why::needs("the security groups of the interface") };
    }
    let rules: Vec<(&SecurityGroup, &SgRule)> = mine
        .iter()
        .flat_map(|g| g.inbound.iter().map(move |r| (*g, r)))
        .filter(|(_, r)| covers(r, question.flow, question.sources.family()))
        .collect();
    let mut ranges: Vec<&IpNet> = Vec::new();
    for (_, rule) in &rules {
        match &rule.peer {
            SgPeer::Cidr(net) => ranges.push(net),
            SgPeer::PrefixList(id) => {
                ranges.extend(entries(question.lists, id).unwrap_or_default());
            }
            SgPeer::Group { .. } => {}
        }
    }
    let mut admitted: Option<RuleRef> = None;
    let mut refused = false;
    let mut unclear = None;
    for point in question.sources.points(ranges) {
        match at(&rules, point, question) {
            Ok(by) => admitted = admitted.or(Some(by)),
            Err(None) => refused = true,
            Err(Some(why)) => unclear = Some(why),
        }
    }
    match (admitted, refused, unclear) {
        (Some(by), false, None) => SgDecision::Allowed { by: Box::new(by) },
        (None, _, None) => match missing {
            Some(why) => SgDecision::Unknown { why },
            None => SgDecision::Denied { groups: mine.iter().map(|g| (g.id.clone(), g.name.clone())).collect() },
        },
        (None, _, Some(why)) => SgDecision::Unknown { why },
        (Some(_), ..) => SgDecision::Unknown { why: needs_source() },
    }
}

/// The reason of every decision that would differ from client to client.
pub fn needs_source() -> Why {
    Why::needs("the client's address")
}

fn at(rules: &[(&SecurityGroup, &SgRule)], source: IpAddr, question: SgQuestion) -> Result<RuleRef, Option<Why>> {
    let mut perhaps = None;
    for (group, rule) in rules {
        match peer_matches(&rule.peer, source, question) {
            Match::Yes => {
                return Ok(RuleRef {
                    group_id: group.id.clone(),
                    group_name: group.name.clone(),
                    rule: (*rule).clone(),
                });
            }
            Match::No => {}
            Match::Perhaps(why) => perhaps = perhaps.or(Some(why)),
        }
    }
    Err(perhaps)
}

fn peer_matches(peer: &SgPeer, source: IpAddr, question: SgQuestion) -> Match {
    match peer {
        SgPeer::Cidr(net) => yes_no(net.contains(&source)),
        SgPeer::PrefixList(id) => match entries(question.lists, id) {
            Some(nets) => yes_no(nets.iter().any(|n| n.contains(&source))),
            None => Match::Perhaps(unexpanded(question.lists, id)),
        },
        SgPeer::Group { stale: true, .. } => Match::No,
        SgPeer::Group { .. } if !question.from_inside => Match::No,
        SgPeer::Group { id, .. } => match question.members {
            Some(members) => yes_no(members.contains(id)),
            None => Match::Perhaps(Why::needs(format!("to know whether the client is in group {id}"))),
        },
    }
}

fn yes_no(yes: bool) -> Match {
    if yes { Match::Yes } else { Match::No }
}

/// Entries of a prefix list, if it was expanded.
pub fn entries<'a>(lists: &'a PrefixLists, id: &str) -> Option<&'a [IpNet]> {
    lists.value()?.get(id).map(Vec::as_slice)
}

/// Why a prefix list has no entries here.
pub fn unexpanded(lists: &PrefixLists, id: &str) -> Why {
    match lists {
        Fact::Unknown { why } => why.clone(),
        _ => Why::needs(format!("the entries of prefix list {id}")),
    }
}

/// Whether protocol and port of a rule cover the flow; the source is not looked at.
pub fn covers(rule: &SgRule, flow: &Flow, family: crate::core::vpc::flow::Family) -> bool {
    if !flow.protocol.covered_by(family, &rule.protocol) {
        return false;
    }
    if is_everything(&rule.protocol) {
        return true;
    }
    let all = |bound: Option<i32>| bound.is_none_or(|b| b == -1);
    match flow.protocol {
        Protocol::Tcp => port_range(rule).is_none_or(|(low, high)| (low..=high).contains(&i32::from(flow.port))),
        Protocol::Icmp { kind, code } => {
            (all(rule.from_port) || rule.from_port == Some(i32::from(kind)))
                && (all(rule.from_port) || all(rule.to_port) || rule.to_port == Some(i32::from(code)))
        }
    }
}

/// Whether a rule's protocol is "all traffic".
pub fn is_everything(protocol: &str) -> bool {
    matches!(protocol.trim(), "-1" | "all")
}

/// First and last port of a rule; `None` when it has no bounds.
pub fn port_range(rule: &SgRule) -> Option<(i32, i32)> {
    let low = rule.from_port.filter(|p| *p != -1)?;
    Some((low, rule.to_port.filter(|p| *p != -1).unwrap_or(low)))
}

impl RuleRef {
    /// `rule sgr-… of web-sg (sg-…) allows tcp/22 from 198.51.100.4/32 "home office"`.
    pub fn text(&self) -> String {
        let rule = self.rule.rule_id.as_deref().map_or_else(|| "a rule".to_owned(), |id| format!("rule {id}"));
        format!("{rule} of {} allows {}", group_label(&self.group_id, &self.group_name), what(&self.rule))
    }
}

/// `web-sg (sg-…)`.
pub fn group_label(id: &str, name: &str) -> String {
    if name.is_empty() { id.to_owned() } else { format!("{name} ({id})") }
}

/// `tcp/22 from 198.51.100.4/32 "home office"`.
pub fn what(rule: &SgRule) -> String {
    let note = rule.description.as_deref().filter(|d| !d.is_empty()).map_or_else(String::new, |d| format!(" \"{d}\""));
    format!("{} from {}{note}", service(rule), peer_text(&rule.peer))
}

/// `tcp/22`, `tcp/20-25`, `all traffic`.
pub fn service(rule: &SgRule) -> String {
    let protocol = match rule.protocol.trim() {
        "-1" | "all" => return "all traffic".to_owned(),
        "6" => "tcp",
        "17" => "udp",
        "1" => "icmp",
        "58" => "icmpv6",
        other => other,
    };
    match port_range(rule) {
        None => format!("{protocol}, all"),
        Some((low, high)) if low == high || protocol.starts_with("icmp") => {
            format!("{protocol}/{low}")
        }
        Some((low, high)) => format!("{protocol}/{low}-{high}"),
    }
}

/// `198.51.100.4/32`, `prefix list pl-…`, `members of group sg-…`.
pub fn peer_text(peer: &SgPeer) -> String {
    match peer {
        SgPeer::Cidr(net) => net.to_string(),
        SgPeer::PrefixList(id) => format!("prefix list {id}"),
        SgPeer::Group { id, stale, .. } => {
            format!("members of group {id}{}", if *stale { " (stale)" } else { "" })
        }
    }
}
