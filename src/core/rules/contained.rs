//! Whether somebody isolated the instance on purpose: then nothing is to be repaired, but somebody asked.
//!
//! Names and tags are hints that a person left; together with rules that let nothing in they tell.

use super::View;
use crate::core::cause::{Certainty, Finding};
use crate::core::facts::wire::Tcp;
use crate::core::vpc::owner::owner_of;
use crate::core::vpc::security_group::group_label;
use crate::core::vpc::types::SecurityGroup;

/// Words that people give to containment; the other kind also names ordinary private networks.
const STRONG: [&str; 6] = ["quarantin", "containment", "contained", "containec2", "forensic", "lockdown"];
const WEAK: [&str; 1] = ["isolat"];

/// The finding, if the instance looks contained.
pub(super) fn finding(view: &View<'_>) -> Option<Finding> {
    let facts = view.facts;
    let instance = facts.instance().filter(|i| i.state != "terminated")?;
    // A packet that arrived was not kept out.
    if matches!(facts.wire.tcp.value(), Some(Tcp::Connected { .. } | Tcp::Refused { .. }))
        && facts.dialled_own_address()
    {
        return None;
    }
    let ids = owner_of(facts, facts.wire.address).map(|o| o.interface.groups).unwrap_or_default();
    let all = facts.aws.groups.value().map(Vec::as_slice).unwrap_or_default();
    let mine: Vec<&SecurityGroup> = all.iter().filter(|g| ids.contains(&g.id)).collect();
    let known = !ids.is_empty() && mine.len() == ids.len();
    let nothing_in = known && mine.iter().all(|g| g.inbound.is_empty());
    let nothing = nothing_in && mine.iter().all(|g| g.outbound.is_empty());
    let named = |words: &[&str]| mine.iter().find(|g| has(&g.name, words)).map(|g| group_label(&g.id, &g.name));
    let tagged = instance.tags.iter().find(|(key, value)| {
        let off = ["false", "no", "0", "off", "none"].contains(&value.to_lowercase().as_str());
        !key.eq_ignore_ascii_case("name") && !off && (has(key, &STRONG) || has(value, &STRONG))
    });
    let group_source = format!("DescribeSecurityGroups {}", ids.join(" "));
    let rules = if nothing { "it has no rule at all, in or out" } else { "it lets nothing in" };
    if let Some(group) = named(&STRONG).filter(|_| nothing_in) {
        let text = format!("security group {group}: {rules}");
        let finding = Finding::new("instance-contained", Certainty::Proven, text, group_source);
        let finding = match tagged {
            Some((key, value)) => finding.and(format!("tag {key} = {value}"), facts.aws.instance.source()),
            None => finding,
        };
        // Only both together show intent; a name alone may be left over.
        return Some(if nothing || tagged.is_some() { finding } else { lower(finding, Certainty::Likely) });
    }
    if let Some((key, value)) = tagged {
        let text = format!("tag {key} = {value}");
        let finding = Finding::new("instance-contained", Certainty::Proven, text, facts.aws.instance.source());
        return Some(if nothing_in {
            lower(finding.and(format!("its security groups: {rules}"), group_source), Certainty::Likely)
        } else {
            lower(finding, Certainty::Possible)
        });
    }
    let group = named(&WEAK).or_else(|| mine.first().map(|g| group_label(&g.id, &g.name)))?;
    let certainty = if named(&WEAK).is_some() { Certainty::Likely } else { Certainty::Possible };
    let text = format!("security group {group}: {rules}");
    nothing.then(|| lower(Finding::new("instance-contained", certainty, text, group_source), certainty))
}

fn lower(mut finding: Finding, certainty: Certainty) -> Finding {
    finding.certainty = certainty;
    finding.would_prove(
        "the word of whoever changed the groups or tags (CloudTrail: ModifyNetworkInterfaceAttribute, CreateTags)",
    )
}

fn has(text: &str, words: &[&str]) -> bool {
    let text = text.to_lowercase();
    words.iter().any(|word| text.contains(word))
}
