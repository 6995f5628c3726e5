//! `sg-allow-my-ip`: lets the client's one address in, never a whole network.

use crate::core::facts::Facts;
use crate::core::plan::{Action, Choices, Gate, GateState, Plan, Risk, Step};
use crate::core::rules::network;
use crate::core::text::shell_quote;
use crate::core::vpc::types::{SecurityGroup, SgPeer, SgRule};
use crate::core::vpc::{self, SgDecision};
use ipnet::IpNet;
use std::net::IpAddr;

/// Plans to replace the address of the rule that was meant for this client, or to add a rule for its `/32` or `/128`.
/// Fails with one sentence when the client's address, the interface or its groups are not known.
pub fn plan(facts: &Facts, _choices: &Choices) -> Result<Plan, String> {
    let instance = facts.instance().ok_or("the instance is not known: its security groups cannot be found")?;
    // Behind a jump host the instance sees that host, not you.
    let source = if vpc::through_jump(facts) {
        vpc::flow_of(facts).source.ok_or(
            "the login goes over a jump host, and the address by which the instance sees it is not known: pass --source-ip ADDRESS",
        )?
    } else {
        facts.source_ip().ok_or("your address as the instance sees it is not known: pass --source-ip ADDRESS")?
    };
    let all = facts.aws.groups.value().ok_or_else(|| match facts.aws.groups.why_not() {
        Some(why) => format!("the security groups could not be read: {}", why.text()),
        None => "the security groups were not read".to_owned(),
    })?;
    let path = vpc::evaluate(facts, &vpc::flow_of(facts));
    let ids = path.owner.as_ref().map(|o| o.interface.groups.clone()).filter(|g| !g.is_empty());
    let ids = ids.unwrap_or_else(|| instance.groups.iter().map(|(id, _)| id.clone()).collect());
    let groups: Vec<&SecurityGroup> = ids.iter().filter_map(|id| all.iter().find(|g| g.id == *id)).collect();
    let port = facts.port();
    let net = IpNet::from(source);
    let mut gates = vec![address_gate(source)];
    let mut plan = Plan {
        verify: vec!["security-group".to_owned()],
        account: facts.aws.caller.value().map(|c| c.account.clone()),
        ..Plan::new("sg-allow-my-ip", "", instance.id.clone(), instance.label())
    };
    if let SgDecision::Allowed { .. } = path.group {
        plan.title = format!("nothing to change: {net} may already reach port {port}");
        gates.push(Gate::new("needed", GateState::Ok, format!("a rule already lets {net} reach port {port}")));
        plan.gates = gates;
        return Ok(plan);
    }
    let region = instance.region.clone();
    if let Some((group, rule, old)) = stale_rule(&groups, facts) {
        plan.title = format!(
            "replace {old} by {net} in rule {} of {}",
            rule.rule_id.as_deref().unwrap_or_default(),
            label(group)
        );
        plan.steps.push(replace(&region, group, &rule, old, net, port));
        plan.permissions = vec!["ec2:ModifySecurityGroupRules".to_owned(), "ec2:DescribeSecurityGroupRules".to_owned()];
        gates.push(Gate::new(
            "replaces",
            GateState::Warn,
            format!(
                "{old}{} is let in no more",
                rule.description.as_ref().map(|d| format!(" (\"{d}\")")).unwrap_or_default()
            ),
        ));
    } else {
        let group = groups.first().ok_or("no security group of the interface is known")?;
        plan.risk = Risk::Medium;
        plan.title = format!("let {net} reach port {port} in {}", label(group));
        plan.steps.push(add(&region, group, net, port));
        plan.permissions =
            vec!["ec2:AuthorizeSecurityGroupIngress".to_owned(), "ec2:RevokeSecurityGroupIngress".to_owned()];
        if group.inbound.len() >= 60 {
            gates.push(Gate::new(
                "quota",
                GateState::Warn,
                format!("{} already has {} inbound rules; the default quota is 60", group.id, group.inbound.len()),
            ));
        }
    }
    plan.steps.push(Step::look(
        "wait until the rule is seen, then run the failed checks again",
        format!("port22 diagnose {}", shell_quote(&instance.id)),
    ));
    plan.gates = gates;
    Ok(plan)
}

fn label(group: &SecurityGroup) -> String {
    if group.name.is_empty() { group.id.clone() } else { format!("{} ({})", group.name, group.id) }
}

fn address_gate(source: IpAddr) -> Gate {
    let shared = matches!(source, IpAddr::V4(a) if a.octets()[0] == 100 && (64..128).contains(&a.octets()[1]));
    if source.is_unspecified() || source.is_multicast() || matches!(source, IpAddr::V4(a) if a.is_broadcast()) {
        Gate::new("address", GateState::Refuse, format!("{source} is not the address of a client"))
    } else if shared {
        Gate::new(
            "address",
            GateState::Warn,
            format!("{source} is a carrier's shared address (RFC 6598): the instance sees another one"),
        )
    } else {
        Gate::new("address", GateState::Ok, format!("one address only: {}", IpNet::from(source)))
    }
}

/// The rule that was meant for this client before its address changed, as the finding names it.
fn stale_rule<'a>(groups: &[&'a SecurityGroup], facts: &Facts) -> Option<(&'a SecurityGroup, SgRule, IpNet)> {
    let former = network::former_rule(facts)?;
    let SgPeer::Cidr(net) = former.rule.peer else { return None };
    let group = groups.iter().find(|g| g.id == former.group_id)?;
    // Without its id the rule cannot be named to the API.
    former.rule.rule_id.is_some().then(|| (*group, former.rule.clone(), net))
}

fn replace(region: &str, group: &SecurityGroup, rule: &SgRule, old: IpNet, net: IpNet, port: u16) -> Step {
    let id = rule.rule_id.clone().unwrap_or_default();
    let command = |cidr: &IpNet| {
        let kind = if cidr.addr().is_ipv4() { "CidrIpv4" } else { "CidrIpv6" };
        let mut inner = format!("IpProtocol={},FromPort={port},ToPort={port},{kind}={cidr}", rule.protocol);
        if let Some(description) = &rule.description {
            inner.push_str(&format!(",Description={}", quote_inner(description)));
        }
        let change = format!("SecurityGroupRuleId={id},SecurityGroupRule={{{inner}}}");
        format!(
            "aws ec2 modify-security-group-rules --region {region} --group-id {} --security-group-rules {}",
            group.id,
            shell_quote(&change)
        )
    };
    Step {
        text: format!("change rule {id} of {}: {old} → {net}", label(group)),
        command: command(&net),
        undo: Some(command(&old)),
        action: Some(Action::ModifyIngress {
            region: region.to_owned(),
            group: group.id.clone(),
            rule: id.clone(),
            protocol: rule.protocol.clone(),
            from_port: i32::from(port),
            to_port: i32::from(port),
            from: old,
            to: net,
            description: rule.description.clone(),
        }),
    }
}

fn add(region: &str, group: &SecurityGroup, net: IpNet, port: u16) -> Step {
    let description = "ssh from my address, added by port22".to_owned();
    let range = if net.addr().is_ipv4() {
        format!("IpRanges=[{{CidrIp={net},Description={}}}]", quote_inner(&description))
    } else {
        format!("Ipv6Ranges=[{{CidrIpv6={net},Description={}}}]", quote_inner(&description))
    };
    let permission = format!("IpProtocol=tcp,FromPort={port},ToPort={port},{range}");
    Step {
        text: format!("add a rule to {}: tcp {port} from {net}", label(group)),
        command: format!(
            "aws ec2 authorize-security-group-ingress --region {region} --group-id {} --ip-permissions {}",
            group.id,
            shell_quote(&permission)
        ),
        undo: Some(format!(
            "aws ec2 revoke-security-group-ingress --region {region} --group-id {} --protocol tcp --port {port} --cidr {net}",
            group.id
        )),
        action: Some(Action::AuthorizeIngress {
            region: region.to_owned(),
            group: group.id.clone(),
            protocol: "tcp".to_owned(),
            from_port: i32::from(port),
            to_port: i32::from(port),
            cidr: net,
            description,
        }),
    }
}

/// Quotes a value inside the aws CLI's shorthand syntax.
fn quote_inner(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
