//! `sg-allow-my-ip`, `rdp-allow-my-ip`, `icmp-allow-my-ip`: let the client's one address in, never a whole network.

use crate::core::facts::Facts;
use crate::core::plan::{Action, Choice, Choices, Gate, GateState, Plan, Risk, Step};
use crate::core::rules::network;
use crate::core::target::{RDP_PORT, Target};
use crate::core::text::{shell_quote, utc};
use crate::core::vpc::types::{SecurityGroup, SgPeer, SgRule};
use crate::core::vpc::{self, Family, Flow, Protocol, SgDecision};
use ipnet::IpNet;
use std::net::IpAddr;

/// Ways to end a rule: option, words, seconds.
const EXPIRY: [(&str, &str, i64); 5] = [
    ("none", "no end", 0),
    ("8h", "noted to end in 8 hours", 8 * 3600),
    ("1d", "noted to end in a day", 86_400),
    ("7d", "noted to end in a week", 7 * 86_400),
    ("30d", "noted to end in 30 days", 30 * 86_400),
];

/// What a rule lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    /// TCP to a port.
    Tcp(u16),
    /// Echo requests.
    Ping,
}

impl Service {
    /// Protocol, first and last port (ICMP: type and any code) as the API takes them.
    fn ports(self, net: IpNet) -> (&'static str, i32, i32) {
        match (self, net) {
            (Self::Tcp(port), _) => ("tcp", i32::from(port), i32::from(port)),
            (Self::Ping, IpNet::V4(_)) => ("icmp", 8, -1),
            (Self::Ping, IpNet::V6(_)) => ("icmpv6", 128, -1),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Tcp(port) => format!("port {port}"),
            Self::Ping => "it by ping".to_owned(),
        }
    }

    fn rule_text(self) -> String {
        match self {
            Self::Tcp(port) => format!("tcp {port}"),
            Self::Ping => "icmp echo request".to_owned(),
        }
    }
}

/// Plans `sg-allow-my-ip`: replaces the address of the rule that was meant for this client, or adds a rule for its `/32`
/// or `/128`. Fails with one sentence when the client's address, the interface or its groups are not known.
pub fn plan(facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    allow("sg-allow-my-ip", "ssh", Service::Tcp(facts.port()), facts, choices)
}

/// Plans `rdp-allow-my-ip`: a rule for TCP 3389. Fails as [`plan`] does.
pub fn remote_desktop(facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    let port = facts.target.port.filter(|_| facts.is_windows()).unwrap_or(RDP_PORT);
    let mut plan = allow("rdp-allow-my-ip", "remote desktop", Service::Tcp(port), facts, choices)?;
    // The checks that follow are about this port.
    plan.login = Some(Target { port: Some(port), ..facts.target.clone() });
    Ok(plan)
}

/// Plans `icmp-allow-my-ip`: a rule for echo requests. Fails as [`plan`] does.
pub fn ping(facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    allow("icmp-allow-my-ip", "ping", Service::Ping, facts, choices)
}

fn allow(fix: &str, what: &str, service: Service, facts: &Facts, choices: &Choices) -> Result<Plan, String> {
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
    let flow = vpc::flow_of(facts);
    let flow = match service {
        Service::Tcp(port) => Flow { port, ..flow },
        Service::Ping => Flow { protocol: Protocol::ping(flow.address.map_or(Family::of(source), Family::of)), ..flow },
    };
    let path = vpc::evaluate(facts, &flow);
    let ids = path.owner.as_ref().map(|o| o.interface.groups.clone()).filter(|g| !g.is_empty());
    let ids = ids.unwrap_or_else(|| instance.groups.iter().map(|(id, _)| id.clone()).collect());
    let groups: Vec<&SecurityGroup> = ids.iter().filter_map(|id| all.iter().find(|g| g.id == *id)).collect();
    let net = IpNet::from(source.to_canonical());
    let name = service.text();
    let mut gates = vec![address_gate(source)];
    let mut plan = Plan {
        verify: vec![if service == Service::Ping { "ping-path" } else { "security-group" }.to_owned()],
        account: facts.account(),
        ..Plan::new(fix, "", instance.id.clone(), instance.label())
    };
    if let SgDecision::Allowed { .. } = path.group {
        plan.title = format!("nothing to change: {net} may already reach {name}");
        gates.push(Gate::new("needed", GateState::Ok, format!("a rule already lets {net} reach {name}")));
        plan.gates = gates;
        return Ok(plan);
    }
    let region = instance.region.clone();
    let former = if fix == "sg-allow-my-ip" { stale_rule(&groups, facts) } else { None };
    if let (Some((group, rule, old)), Service::Tcp(port)) = (former, service) {
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
        if service != Service::Ping {
            plan.risk = Risk::Medium;
        }
        plan.title = format!("let {net} reach {name} in {}", label(group));
        let options = EXPIRY.map(|(id, text, _)| (id, text));
        let choice =
            Choice::new("expiry", "Until when? AWS ends no rule by itself: port22 journal tells", &options, choices);
        let seconds = EXPIRY.iter().find(|(id, ..)| *id == choice.chosen).map_or(0, |(.., s)| *s);
        plan.expires = (seconds > 0).then(|| facts.now + seconds);
        plan.choices.push(choice);
        let until = plan.expires.map(|at| format!(", until {}", utc(at))).unwrap_or_default();
        let description = format!("{what} from my address, added by port22{until}");
        plan.steps.push(add(&region, group, net, service, description));
        // The undo looks whether the rule is still what was added.
        plan.permissions = [
            "ec2:AuthorizeSecurityGroupIngress",
            "ec2:CreateTags",
            "ec2:RevokeSecurityGroupIngress",
            "ec2:DescribeSecurityGroupRules",
        ]
        .map(str::to_owned)
        .into();
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

pub(super) fn address_gate(source: IpAddr) -> Gate {
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

fn add(region: &str, group: &SecurityGroup, net: IpNet, service: Service, description: String) -> Step {
    let (protocol, from_port, to_port) = service.ports(net);
    let range = if net.addr().is_ipv4() {
        format!("IpRanges=[{{CidrIp={net},Description={}}}]", quote_inner(&description))
    } else {
        format!("Ipv6Ranges=[{{CidrIpv6={net},Description={}}}]", quote_inner(&description))
    };
    let permission = format!("IpProtocol={protocol},FromPort={from_port},ToPort={to_port},{range}");
    let bare = if net.addr().is_ipv4() {
        format!("IpRanges=[{{CidrIp={net}}}]")
    } else {
        format!("Ipv6Ranges=[{{CidrIpv6={net}}}]")
    };
    let back = match (service, net) {
        (Service::Tcp(port), IpNet::V4(_)) => format!("--protocol tcp --port {port} --cidr {net}"),
        _ => format!(
            "--ip-permissions {}",
            shell_quote(&format!("IpProtocol={protocol},FromPort={from_port},ToPort={to_port},{bare}"))
        ),
    };
    Step {
        text: format!("add a rule to {}: {} from {net}", label(group), service.rule_text()),
        command: format!(
            "aws ec2 authorize-security-group-ingress --region {region} --group-id {} --ip-permissions {}",
            group.id,
            shell_quote(&permission)
        ),
        undo: Some(format!("aws ec2 revoke-security-group-ingress --region {region} --group-id {} {back}", group.id)),
        action: Some(Action::AuthorizeIngress {
            region: region.to_owned(),
            group: group.id.clone(),
            protocol: protocol.to_owned(),
            from_port,
            to_port,
            cidr: net,
            description,
        }),
    }
}

/// Quotes a value inside the aws CLI's shorthand syntax.
fn quote_inner(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
