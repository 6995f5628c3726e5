//! Rules of security groups: added, changed, removed.
//!
//! Must not open anything to a whole network, and must not touch a rule that was changed since the plan was made.

use super::{STEP_TAG, TAG, dry, step_tags};
use crate::core::plan::{Action, Allowed, Gate, GateState};
use crate::edge::aws::client::Aws;
use crate::edge::aws::{convert, error};
use crate::engine::failure::Failure;
use crate::engine::world::{Performed, StepContext};
use aws_sdk_ec2::types::{
    Filter, IpPermission, IpRange, Ipv6Range, ResourceType, SecurityGroupRule, SecurityGroupRuleRequest,
    SecurityGroupRuleUpdate,
};
use ipnet::IpNet;

const AUTHORIZE: &str = "ec2:AuthorizeSecurityGroupIngress";
const REVOKE: &str = "ec2:RevokeSecurityGroupIngress";
const MODIFY: &str = "ec2:ModifySecurityGroupRules";

impl Aws {
    pub(super) async fn authorize(
        &self,
        region: &str,
        group: &str,
        permission: &IpPermission,
        cidr: IpNet,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let doing = format!("add a rule for {cidr} to {group} in {region}");
        let asked = Some(Allowed {
            protocol: permission.ip_protocol().unwrap_or_default().to_owned(),
            from_port: permission.from_port().unwrap_or(-1),
            to_port: permission.to_port().unwrap_or(-1),
            cidr,
        });
        let tags = step_tags(ResourceType::SecurityGroupRule, step);
        let call = self
            .ec2_once(region)
            .authorize_security_group_ingress()
            .group_id(group)
            .ip_permissions(permission.clone())
            .tag_specifications(tags);
        match call.send().await {
            Ok(answer) => {
                let added = answer.security_group_rules().first();
                let rule = added.and_then(|r| r.security_group_rule_id()).map(str::to_owned);
                // In AWS's own words, with which it is compared later.
                let seen = added.and_then(allowed).or(asked);
                let undo = rule.clone().map(|rule| Action::RevokeIngress {
                    region: region.to_owned(),
                    group: group.to_owned(),
                    rule,
                    seen,
                });
                Ok(Performed {
                    text: format!("rule {} added to {group} for {cidr}", rule.as_deref().unwrap_or("(id not told)")),
                    undo,
                    changed: true,
                    ..Performed::default()
                })
            }
            Err(e) if error::code(&e) == "InvalidPermission.Duplicate" => {
                // An attempt of this step that was cut short may have added it.
                let ours = if step.again { self.rule_of_step(region, group, &step.token, &doing).await? } else { None };
                Ok(match ours {
                    Some(rule) => Performed {
                        text: format!("rule {rule} was added to {group} for {cidr}"),
                        undo: Some(Action::RevokeIngress {
                            region: region.to_owned(),
                            group: group.to_owned(),
                            rule,
                            seen: asked,
                        }),
                        changed: true,
                        ..Performed::default()
                    },
                    None => Performed {
                        text: format!("{group} already has this rule for {cidr}; nothing was changed"),
                        ..Performed::default()
                    },
                })
            }
            Err(e) => Err(error::failure(&e, AUTHORIZE, &doing)),
        }
    }

    pub(super) async fn revoke(
        &self,
        region: &str,
        group: &str,
        rule: &str,
        seen: Option<&Allowed>,
    ) -> Result<Performed, Failure> {
        let doing = format!("remove rule {rule} from {group} in {region}");
        if let Some(seen) = seen {
            let by_id = self.ec2(region).describe_security_group_rules().security_group_rule_ids(rule).send().await;
            let now = match by_id {
                Ok(answer) => answer.security_group_rules().first().cloned(),
                // A rule that was just added may not be listed yet: the call itself tells.
                Err(e) if error::code(&e) == "InvalidSecurityGroupRuleId.NotFound" => None,
                Err(e) => return Err(error::failure(&e, "ec2:DescribeSecurityGroupRules", &doing)),
            };
            if let Some(now) = now
                && allowed(&now).as_ref() != Some(seen)
            {
                let is = allowed(&now).map_or_else(|| "something else".to_owned(), |now| now.to_string());
                return Err(Failure::failed(
                    doing,
                    format!("the rule allowed {seen} when it was added, and allows {is} now: it was changed since"),
                    format!(
                        "undo that change first (port22 journal), or, if nobody needs the rule: aws ec2 \
                         revoke-security-group-ingress --region {region} --group-id {group} --security-group-rule-ids {rule}"
                    ),
                ));
            }
        }
        match self
            .ec2_once(region)
            .revoke_security_group_ingress()
            .group_id(group)
            .security_group_rule_ids(rule)
            .send()
            .await
        {
            Ok(_) => Ok(Performed {
                text: format!("rule {rule} removed from {group}"),
                undo: None,
                changed: true,
                ..Performed::default()
            }),
            Err(e)
                if matches!(error::code(&e), "InvalidPermission.NotFound" | "InvalidSecurityGroupRuleId.NotFound") =>
            {
                Ok(Performed {
                    text: format!("rule {rule} is already gone from {group}"),
                    undo: None,
                    changed: false,
                    ..Performed::default()
                })
            }
            Err(e) => Err(error::failure(&e, REVOKE, &doing)),
        }
    }

    /// The rule that a step of the journal added.
    async fn rule_of_step(
        &self,
        region: &str,
        group: &str,
        token: &str,
        doing: &str,
    ) -> Result<Option<String>, Failure> {
        let by_group = Filter::builder().name("group-id").values(group).build();
        let mut pages = self.ec2(region).describe_security_group_rules().filters(by_group).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| error::failure(&e, "ec2:DescribeSecurityGroupRules", doing))?;
            let ours = |r: &&aws_sdk_ec2::types::SecurityGroupRule| {
                r.tags().iter().any(|t| t.key() == Some(STEP_TAG) && t.value() == Some(token))
            };
            if let Some(rule) = page.security_group_rules().iter().find(ours) {
                return Ok(rule.security_group_rule_id().map(str::to_owned));
            }
        }
        Ok(None)
    }

    /// Removes our own rule of an interrupted step, if it is there. With the step that takes it back only the rule
    /// which that very step added counts.
    pub(super) async fn revoke_own(&self, action: &Action, step: Option<&StepContext>) -> Result<Performed, Failure> {
        let Action::RevokeOwn { region, group, protocol, from_port, to_port, cidr } = action else {
            return Err(Failure::usage("remove our rule", "another action was given", "report this"));
        };
        let doing = format!("look for our rule for {cidr} in {group} in {region}");
        let by_group = Filter::builder().name("group-id").values(group).build();
        let mut pages = self.ec2(region).describe_security_group_rules().filters(by_group).into_paginator().send();
        let mut ours = None;
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| error::failure(&e, "ec2:DescribeSecurityGroupRules", &doing))?;
            ours = ours.or_else(|| {
                let rule = page.security_group_rules().iter().find(|r| {
                    let net = convert::cidr(r.cidr_ipv4()).or_else(|| convert::cidr(r.cidr_ipv6()));
                    let (key, value) = match step {
                        Some(step) => (STEP_TAG, step.token.trim_end_matches("-undo")),
                        None => TAG,
                    };
                    let tagged = r.tags().iter().any(|t| t.key() == Some(key) && t.value() == Some(value));
                    let same = r.ip_protocol() == Some(protocol)
                        && r.from_port() == Some(*from_port)
                        && r.to_port() == Some(*to_port);
                    r.is_egress() != Some(true) && tagged && same && net == Some(*cidr)
                });
                rule.and_then(|r| r.security_group_rule_id()).map(str::to_owned)
            });
        }
        match ours {
            Some(rule) => self.revoke(region, group, &rule, None).await,
            None => Ok(Performed {
                text: format!("{group} holds no rule of ours for {cidr}: the step was not done"),
                undo: None,
                changed: false,
                ..Performed::default()
            }),
        }
    }

    pub(super) async fn modify(&self, action: &Action, again: bool) -> Result<Performed, Failure> {
        let Action::ModifyIngress { region, group, rule, protocol, from_port, to_port, from, to, description } = action
        else {
            return Err(Failure::usage("modify a rule", "another action was given", "report this"));
        };
        let doing = format!("change rule {rule} of {group} in {region} from {from} to {to}");
        let client = self.ec2(region);
        // The plan was built on the address that the rule had then: look again, so that somebody else's change is not overwritten.
        let by_id = client.describe_security_group_rules().security_group_rule_ids(rule).send().await;
        let now = match by_id {
            Ok(answer) => answer
                .security_group_rules()
                .first()
                .filter(|r| {
                    r.ip_protocol() == Some(protocol)
                        && r.from_port() == Some(*from_port)
                        && r.to_port() == Some(*to_port)
                })
                .and_then(|r| convert::cidr(r.cidr_ipv4()).or_else(|| convert::cidr(r.cidr_ipv6()))),
            Err(e) => return Err(error::failure(&e, "ec2:DescribeSecurityGroupRules", &doing)),
        };
        if now == Some(*to) {
            return Ok(Performed {
                text: format!("rule {rule} already allows {to}"),
                // An attempt of this step that was cut short may have changed it.
                undo: if again { action.reverse() } else { None },
                changed: again,
                ..Performed::default()
            });
        }
        if now != Some(*from) {
            let seen = now.map_or_else(|| "gone, or for another port".to_owned(), |n| format!("for {n} now"));
            return Err(Failure::failed(
                doing,
                format!("the rule is {seen}: it was changed after the plan was made"),
                "run the diagnosis again for a fresh plan",
            ));
        }
        let update = rule_with(rule, protocol, (*from_port, *to_port), *to, description.clone());
        match self
            .ec2_once(region)
            .modify_security_group_rules()
            .group_id(group)
            .security_group_rules(update)
            .send()
            .await
        {
            Ok(_) => {
                let mut undo = action.clone();
                if let Action::ModifyIngress { from: f, to: t, .. } = &mut undo {
                    std::mem::swap(f, t);
                }
                Ok(Performed {
                    text: format!("rule {rule} of {group} allows {to} instead of {from}"),
                    undo: Some(undo),
                    changed: true,
                    ..Performed::default()
                })
            }
            Err(e) => Err(error::failure(&e, MODIFY, &doing)),
        }
    }

    pub(super) async fn dry_run_group(&self, action: &Action) -> Option<Gate> {
        let (name, answer) = match action {
            Action::AuthorizeIngress { region, group, protocol, from_port, to_port, cidr, description } => {
                let permission = permission(protocol, *from_port, *to_port, *cidr, Some(description));
                let call = self
                    .ec2_once(region)
                    .authorize_security_group_ingress()
                    .group_id(group)
                    .ip_permissions(permission)
                    .tag_specifications(step_tags(ResourceType::SecurityGroupRule, &StepContext::default()))
                    .dry_run(true);
                let answer = call.send().await;
                if let Ok(done) = &answer {
                    let rule = done.security_group_rules().first().and_then(|r| r.security_group_rule_id());
                    let undo = rule.map(|rule| Action::RevokeIngress {
                        region: region.clone(),
                        group: group.clone(),
                        rule: rule.to_owned(),
                        seen: None,
                    });
                    return Some(self.take_back_dry_run(undo.or_else(|| action.reverse()), AUTHORIZE).await);
                }
                (AUTHORIZE, dry(answer.map(drop), AUTHORIZE))
            }
            Action::ModifyIngress { region, group, rule, protocol, from_port, to_port, to, .. } => {
                let update = rule_with(rule, protocol, (*from_port, *to_port), *to, None);
                let call = self
                    .ec2_once(region)
                    .modify_security_group_rules()
                    .group_id(group)
                    .security_group_rules(update)
                    .dry_run(true);
                let answer = call.send().await;
                if answer.is_ok() {
                    return Some(self.take_back_dry_run(action.reverse(), MODIFY).await);
                }
                (MODIFY, dry(answer.map(drop), MODIFY))
            }
            _ => return None,
        };
        Some(answer.gate(name))
    }

    /// An endpoint that performs what was only asked about is no AWS; its change is taken back at once.
    async fn take_back_dry_run(&self, undo: Option<Action>, name: &str) -> Gate {
        let undone = match undo {
            Some(Action::RevokeIngress { region, group, rule, .. }) => self.revoke(&region, &group, &rule, None).await,
            Some(modify @ Action::ModifyIngress { .. }) => self.modify(&modify, false).await,
            Some(own) => self.revoke_own(&own, None).await,
            None => Err(Failure::failed("take it back", "there is no way", "")),
        };
        let end = match undone {
            Ok(done) => format!("it was taken back ({})", done.text),
            Err(failure) => format!("taking it back failed: {}", failure.reason),
        };
        Gate::new("permission", GateState::Refuse, format!("the endpoint ignores DryRun and performed {name}; {end}"))
    }

    pub(super) async fn shared(&self, region: &str, group: &str, subject: &str) -> Gate {
        let by_group = Filter::builder().name("group-id").values(group).build();
        let mut pages = self.ec2(region).describe_network_interfaces().filters(by_group).into_paginator().send();
        let mut others: Vec<String> = Vec::new();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => others.extend(page.network_interfaces().iter().filter_map(|i| {
                    let instance = i.attachment().and_then(|a| a.instance_id());
                    (instance != Some(subject))
                        .then(|| instance.or_else(|| i.network_interface_id()).unwrap_or_default().to_owned())
                })),
                Err(e) => {
                    let why = error::why(&e, "ec2:DescribeNetworkInterfaces", "see who else uses the group");
                    return Gate::new(
                        "shared",
                        GateState::Warn,
                        format!("cannot tell who else uses {group}: {}", why.text()),
                    );
                }
            }
        }
        others.sort();
        others.dedup();
        match others.len() {
            0 => Gate::new("shared", GateState::Ok, format!("{group} is used by this instance only")),
            n => {
                let names = others.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
                let more = if n > 4 { ", …" } else { "" };
                Gate::new("shared", GateState::Warn, format!("{group} is also used by {n} more: {names}{more}"))
            }
        }
    }
}

/// What a rule lets in; `None` where it names no addresses (a group, a prefix list).
fn allowed(rule: &SecurityGroupRule) -> Option<Allowed> {
    Some(Allowed {
        protocol: rule.ip_protocol()?.to_owned(),
        from_port: rule.from_port().unwrap_or(-1),
        to_port: rule.to_port().unwrap_or(-1),
        cidr: convert::cidr(rule.cidr_ipv4()).or_else(|| convert::cidr(rule.cidr_ipv6()))?,
    })
}

/// The rule as it is to be: the whole of it, for the API replaces what it had.
fn rule_with(
    rule: &str,
    protocol: &str,
    (from_port, to_port): (i32, i32),
    to: IpNet,
    description: Option<String>,
) -> SecurityGroupRuleUpdate {
    let request = SecurityGroupRuleRequest::builder()
        .ip_protocol(protocol)
        .from_port(from_port)
        .to_port(to_port)
        .set_description(description);
    let request = match to {
        IpNet::V4(net) => request.cidr_ipv4(net.to_string()),
        IpNet::V6(net) => request.cidr_ipv6(net.to_string()),
    };
    SecurityGroupRuleUpdate::builder().security_group_rule_id(rule).security_group_rule(request.build()).build()
}

pub(super) fn permission(
    protocol: &str,
    from_port: i32,
    to_port: i32,
    cidr: IpNet,
    description: Option<&str>,
) -> IpPermission {
    let base = IpPermission::builder().ip_protocol(protocol).from_port(from_port).to_port(to_port);
    match cidr {
        IpNet::V4(net) => base.ip_ranges(
            IpRange::builder().cidr_ip(net.to_string()).set_description(description.map(str::to_owned)).build(),
        ),
        IpNet::V6(net) => base.ipv6_ranges(
            Ipv6Range::builder().cidr_ipv6(net.to_string()).set_description(description.map(str::to_owned)).build(),
        ),
    }
    .build()
}
