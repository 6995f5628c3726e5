//! Security groups and their rules, read and changed.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::params::Params;
use super::{Outcome, Problem, write_tags};
use crate::lab::world::{Group, Rule, Source, World};
use crate::lab::xml::Xml;

fn check_ids(world: &World, ids: &[String]) -> Outcome {
    match ids.iter().find(|id| !world.groups.iter().any(|group| group.id == **id)) {
        None => Ok(()),
        Some(bad) if !bad.starts_with("sg-") => {
            Err(Problem::new("InvalidGroupId.Malformed", format!("Invalid id: \"{bad}\" (expecting \"sg-...\")")))
        }
        Some(bad) => Err(Problem::new("InvalidGroup.NotFound", format!("The security group '{bad}' does not exist"))),
    }
}

pub(super) fn groups(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let (ids, names) = (params.list("GroupId"), params.list("GroupName"));
    check_ids(world, &ids)?;
    let wanted = world
        .groups
        .iter()
        .filter(|group| ids.is_empty() || ids.contains(&group.id))
        .filter(|group| names.is_empty() || names.contains(&group.name))
        .filter(|group| !hidden(world, "ec2:DescribeSecurityGroups", group));
    let found = params.select(
        world,
        wanted,
        |group| &group.id,
        |group, name| {
            Some(match name {
                "group-id" => vec![group.id.clone()],
                "group-name" => vec![group.name.clone()],
                "vpc-id" => vec![group.vpc.clone()],
                "description" => vec![group.description.clone()],
                "owner-id" => vec![world.account.clone()],
                _ => return None,
            })
        },
    )?;
    let (page, next) = params.page(found, 1000)?;
    xml.list("securityGroupInfo", page, |xml, group| {
        xml.put("ownerId", &world.account)
            .put("groupName", &group.name)
            .put("groupDescription", &group.description)
            .put("groupId", &group.id)
            .put("vpcId", &group.vpc);
        for (element, egress) in [("ipPermissions", false), ("ipPermissionsEgress", true)] {
            write_permissions(world, group, egress, element, xml);
        }
        write_tags(world, &group.id, xml);
        xml.put("securityGroupArn", arn(world, "security-group", &group.id));
    });
    xml.put_some("nextToken", next);
    Ok(())
}

/// Groups that a denial keeps from being seen are not listed to a caller who did not name them.
fn hidden(world: &World, action: &str, group: &Group) -> bool {
    world
        .denials
        .iter()
        .any(|denial| denial.action == action && denial.about.as_ref().is_some_and(|about| *about == group.vpc))
}

fn arn(world: &World, kind: &str, id: &str) -> String {
    format!("arn:aws:ec2:{}:{}:{kind}/{id}", world.region, world.account)
}

/// The API shows rules merged by protocol and ports.
fn write_permissions(world: &World, group: &Group, egress: bool, element: &'static str, xml: &mut Xml) {
    let mut merged: BTreeMap<(&str, i32, i32), Vec<&Rule>> = BTreeMap::new();
    for rule in world.rules.iter().filter(|rule| rule.group == group.id && rule.egress == egress) {
        merged.entry((&rule.protocol, rule.from, rule.to)).or_default().push(rule);
    }
    xml.list(element, merged, |xml, ((protocol, from, to), rules)| {
        xml.put("ipProtocol", protocol);
        if protocol != "-1" {
            xml.put("fromPort", from).put("toPort", to);
        }
        let of = |pick: fn(&Source) -> bool| rules.iter().filter(move |rule| pick(&rule.source));
        xml.list("groups", of(|source| matches!(source, Source::Group(_))), |xml, rule| {
            if let Source::Group(id) = &rule.source {
                xml.put("userId", &world.account).put("groupId", id);
            }
            xml.put_some("description", rule.description.as_ref());
        });
        xml.list("ipRanges", of(|source| matches!(source, Source::Net(IpNet::V4(_)))), |xml, rule| {
            if let Source::Net(net) = &rule.source {
                xml.put("cidrIp", net);
            }
            xml.put_some("description", rule.description.as_ref());
        });
        xml.list("ipv6Ranges", of(|source| matches!(source, Source::Net(IpNet::V6(_)))), |xml, rule| {
            if let Source::Net(net) = &rule.source {
                xml.put("cidrIpv6", net);
            }
            xml.put_some("description", rule.description.as_ref());
        });
        xml.list("prefixListIds", of(|source| matches!(source, Source::PrefixList(_))), |xml, rule| {
            if let Source::PrefixList(id) = &rule.source {
                xml.put("prefixListId", id);
            }
            xml.put_some("description", rule.description.as_ref());
        });
    });
}

fn write_rule(world: &World, rule: &Rule, tags: bool, xml: &mut Xml) {
    xml.put("securityGroupRuleId", &rule.id)
        .put("groupId", &rule.group)
        .put("groupOwnerId", &world.account)
        .put("isEgress", rule.egress)
        .put("ipProtocol", &rule.protocol)
        .put("fromPort", rule.from)
        .put("toPort", rule.to);
    match &rule.source {
        Source::Net(IpNet::V4(net)) => {
            xml.put("cidrIpv4", net);
        }
        Source::Net(IpNet::V6(net)) => {
            xml.put("cidrIpv6", net);
        }
        Source::PrefixList(id) => {
            xml.put("prefixListId", id);
        }
        Source::Group(id) => {
            xml.group("referencedGroupInfo", |xml| {
                xml.put("groupId", id).put("userId", &world.account);
            });
        }
    }
    xml.put_some("description", rule.description.as_ref());
    if tags {
        write_tags(world, &rule.id, xml);
    }
    xml.put("securityGroupRuleArn", arn(world, "security-group-rule", &rule.id));
}

pub(super) fn rules(world: &World, params: &Params, xml: &mut Xml) -> Outcome {
    let ids = params.list("SecurityGroupRuleId");
    if let Some(bad) = ids.iter().find(|id| !world.rules.iter().any(|rule| rule.id == **id)) {
        return Err(Problem::new(
            "InvalidSecurityGroupRuleId.NotFound",
            format!("The security group rule ID '{bad}' does not exist"),
        ));
    }
    let seen = |rule: &&Rule| {
        let group = world.groups.iter().find(|group| group.id == rule.group);
        !group.is_some_and(|group| hidden(world, "ec2:DescribeSecurityGroupRules", group))
    };
    let wanted = world.rules.iter().filter(|rule| ids.is_empty() || ids.contains(&rule.id)).filter(seen);
    let found = params.select(
        world,
        wanted,
        |rule| &rule.id,
        |rule, name| {
            Some(match name {
                "group-id" => vec![rule.group.clone()],
                "security-group-rule-id" => vec![rule.id.clone()],
                _ => return None,
            })
        },
    )?;
    let (page, next) = params.page(found, 1000)?;
    xml.list("securityGroupRuleSet", page, |xml, rule| {
        write_rule(world, rule, true, xml);
    });
    xml.put_some("nextToken", next);
    Ok(())
}

fn group_of(world: &World, params: &Params) -> Result<String, Problem> {
    let id = match (params.get("GroupId"), params.get("GroupName")) {
        (Some(id), _) => id.to_owned(),
        (None, Some(name)) => {
            world.groups.iter().find(|group| group.name == name).map(|group| group.id.clone()).ok_or_else(|| {
                Problem::new("InvalidGroup.NotFound", format!("The security group '{name}' does not exist"))
            })?
        }
        (None, None) => {
            return Err(Problem::new(
                "MissingParameter",
                "The request must contain the parameter groupName or groupId",
            ));
        }
    };
    check_ids(world, std::slice::from_ref(&id))?;
    Ok(id)
}

fn cidr(text: &str) -> Result<Source, Problem> {
    let net: IpNet =
        text.parse().map_err(|_| Problem::new("InvalidParameterValue", format!("CIDR block {text} is malformed")))?;
    Ok(Source::Net(net.trunc()))
}

/// Protocol and ports under a prefix of parameter names.
fn traffic(params: &Params, prefix: &str) -> Result<(String, i32, i32), Problem> {
    let protocol = match params.get(&format!("{prefix}IpProtocol")).unwrap_or("-1") {
        "6" => "tcp",
        "17" => "udp",
        "1" => "icmp",
        "58" => "icmpv6",
        other => other,
    }
    .to_owned();
    if protocol == "-1" {
        return Ok((protocol, -1, -1));
    }
    let port = |name: &str| params.number(&format!("{prefix}{name}"));
    match (port("FromPort")?, port("ToPort")?) {
        (Some(from), Some(to)) if matches!(protocol.as_str(), "icmp" | "icmpv6") => Ok((protocol, from, to)),
        (Some(from), Some(to)) if (0..=65535).contains(&from) && (from..=65535).contains(&to) => {
            Ok((protocol, from, to))
        }
        (Some(from), Some(to)) => {
            Err(Problem::new("InvalidParameterValue", format!("Invalid value for portRange: {from}-{to}")))
        }
        _ if protocol == "tcp" || protocol == "udp" => Err(Problem::new(
            "InvalidParameterValue",
            format!(
                "Invalid value 'Must specify both from and to ports with {}.' for portRange.",
                protocol.to_uppercase()
            ),
        )),
        _ => Ok((protocol, -1, -1)),
    }
}

/// The rules that a request describes, without ids.
fn described(params: &Params, group: &str) -> Result<Vec<Rule>, Problem> {
    let make = |(protocol, from, to): &(String, i32, i32), source, description: Option<&str>| Rule {
        id: String::new(),
        group: group.to_owned(),
        egress: false,
        protocol: protocol.clone(),
        from: *from,
        to: *to,
        source,
        description: description.map(str::to_owned),
    };
    let mut rules = Vec::new();
    if let Some(text) = params.get("CidrIp") {
        rules.push(make(&traffic(params, "")?, cidr(text)?, None));
    }
    for number in params.indices("IpPermissions") {
        let prefix = format!("IpPermissions.{number}.");
        let traffic = traffic(params, &prefix)?;
        let kinds: [(&str, &str); 4] = [
            ("IpRanges", "CidrIp"),
            ("Ipv6Ranges", "CidrIpv6"),
            ("PrefixListIds", "PrefixListId"),
            ("Groups", "GroupId"),
        ];
        for (list, field) in kinds {
            for item in params.indices(&format!("{prefix}{list}")) {
                let base = format!("{prefix}{list}.{item}.");
                let value = params.required(&format!("{base}{field}"))?;
                let source = match list {
                    "PrefixListIds" => Source::PrefixList(value.to_owned()),
                    "Groups" => Source::Group(value.to_owned()),
                    _ => cidr(value)?,
                };
                rules.push(make(&traffic, source, params.get(&format!("{base}Description"))));
            }
        }
    }
    if rules.is_empty() {
        return Err(Problem::new("MissingParameter", "The request must contain the parameter ipPermissions"));
    }
    Ok(rules)
}

/// Two rules are the same if they let the same traffic in; descriptions do not count.
fn same(left: &Rule, right: &Rule) -> bool {
    left.group == right.group
        && left.egress == right.egress
        && (&left.protocol, left.from, left.to) == (&right.protocol, right.from, right.to)
        && left.source == right.source
}

fn in_words(rule: &Rule) -> String {
    let peer = match &rule.source {
        Source::Net(net) => net.to_string(),
        Source::Group(id) | Source::PrefixList(id) => id.clone(),
    };
    let protocol = if rule.protocol == "-1" { "ALL".to_owned() } else { rule.protocol.to_uppercase() };
    format!("peer: {peer}, {protocol}, from port: {}, to port: {}, ALLOW", rule.from, rule.to)
}

pub(super) fn authorize(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let group = group_of(world, params)?;
    let mut rules = described(params, &group)?;
    if dry {
        return Err(Problem::dry_run());
    }
    if let Some(known) = rules.iter().find(|rule| world.rules.iter().any(|known| same(known, rule))) {
        return Err(Problem::new(
            "InvalidPermission.Duplicate",
            format!("the specified rule \"{}\" already exists", in_words(known)),
        ));
    }
    let inbound = world.rules.iter().filter(|rule| rule.group == group && !rule.egress).count();
    if inbound + rules.len() > 60 {
        return Err(Problem::new(
            "RulesPerSecurityGroupLimitExceeded",
            "The maximum number of rules per security group has been reached.",
        ));
    }
    for rule in &mut rules {
        rule.id = world.fresh_id("sgr");
        for number in params.indices("TagSpecification") {
            let base = format!("TagSpecification.{number}.Tag");
            for tag in params.indices(&base) {
                let key = params.get(&format!("{base}.{tag}.Key")).unwrap_or_default().to_owned();
                let value = params.get(&format!("{base}.{tag}.Value")).unwrap_or_default().to_owned();
                world.tag(&rule.id, &key, &value);
            }
        }
    }
    xml.put("return", true);
    let world_view = &*world;
    xml.list("securityGroupRuleSet", &rules, |xml, rule| {
        write_rule(world_view, rule, true, xml);
    });
    world.rules.extend(rules);
    Ok(())
}

pub(super) fn revoke(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let group = group_of(world, params)?;
    let ids = params.list("SecurityGroupRuleId");
    let targets = if ids.is_empty() {
        let mut targets = Vec::new();
        for wanted in described(params, &group)? {
            match world.rules.iter().find(|known| same(known, &wanted)) {
                Some(known) => targets.push(known.id.clone()),
                None => {
                    return Err(Problem::new(
                        "InvalidPermission.NotFound",
                        "The specified rule does not exist in this security group.",
                    ));
                }
            }
        }
        targets
    } else {
        let here =
            |id: &&String| !world.rules.iter().any(|rule| rule.id == **id && rule.group == group && !rule.egress);
        if let Some(bad) = ids.iter().find(here) {
            return Err(Problem::new(
                "InvalidSecurityGroupRuleId.NotFound",
                format!("The security group rule ID '{bad}' does not exist"),
            ));
        }
        ids
    };
    if dry {
        return Err(Problem::dry_run());
    }
    let (gone, kept) = std::mem::take(&mut world.rules).into_iter().partition(|rule| targets.contains(&rule.id));
    world.rules = kept;
    let gone: Vec<Rule> = gone;
    xml.put("return", true);
    xml.list("revokedSecurityGroupRuleSet", &gone, |xml, rule| {
        xml.put("securityGroupRuleId", &rule.id)
            .put("groupId", &rule.group)
            .put("isEgress", rule.egress)
            .put("ipProtocol", &rule.protocol)
            .put("fromPort", rule.from)
            .put("toPort", rule.to);
        match &rule.source {
            Source::Net(IpNet::V4(net)) => xml.put("cidrIpv4", net),
            Source::Net(IpNet::V6(net)) => xml.put("cidrIpv6", net),
            Source::PrefixList(id) => xml.put("prefixListId", id),
            Source::Group(id) => xml.put("referencedGroupId", id),
        };
        xml.put_some("description", rule.description.as_ref());
    });
    Ok(())
}

pub(super) fn modify(world: &mut World, params: &Params, xml: &mut Xml, dry: bool) -> Outcome {
    let group = group_of(world, params)?;
    let mut changed = Vec::new();
    for number in params.indices("SecurityGroupRule") {
        let base = format!("SecurityGroupRule.{number}.");
        let id = params.required(&format!("{base}SecurityGroupRuleId"))?;
        let Some(at) = world.rules.iter().position(|rule| rule.id == id && rule.group == group) else {
            return Err(Problem::new(
                "InvalidSecurityGroupRuleId.NotFound",
                format!("The security group rule ID '{id}' does not exist"),
            ));
        };
        let base = format!("{base}SecurityGroupRule.");
        let get = |name: &str| params.get(&format!("{base}{name}"));
        let (protocol, from, to) = traffic(params, &base)?;
        let source = match (get("CidrIpv4").or_else(|| get("CidrIpv6")), get("PrefixListId"), get("ReferencedGroupId"))
        {
            (Some(text), None, None) => cidr(text)?,
            (None, Some(id), None) => Source::PrefixList(id.to_owned()),
            (None, None, Some(id)) => Source::Group(id.to_owned()),
            _ => {
                return Err(Problem::new(
                    "InvalidParameterCombination",
                    "Exactly one source must be given for a rule.",
                ));
            }
        };
        let rule = Rule {
            protocol,
            from,
            to,
            source,
            description: get("Description").map(str::to_owned),
            ..world.rules[at].clone()
        };
        changed.push((at, rule));
    }
    if changed.is_empty() {
        return Err(Problem::new("MissingParameter", "The request must contain the parameter SecurityGroupRules"));
    }
    if dry {
        return Err(Problem::dry_run());
    }
    for (at, rule) in changed {
        world.rules[at] = rule;
    }
    xml.put("return", true);
    Ok(())
}
