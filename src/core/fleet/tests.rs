use super::*;
use crate::core::cause::Certainty;
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::aws::{Caller, Instance, InstanceStatus, Interface, InterfaceAddress, SsmAgent, Subnet};
use crate::core::facts::doors::ConnectEndpoint;
use crate::core::facts::local::SshConfig;
use crate::core::facts::wire::{SshServer, Tcp};
use crate::core::rules;
use crate::core::vpc::types::{
    AclEntry, InternetGateway, NetworkAcl, Route, RouteDestination, RouteTable, RouteTarget, SecurityGroup, SgPeer,
    SgRule,
};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    is: String,
    says: Option<String>,
    groups: Option<Vec<String>>,
    subnet: Option<String>,
    public: Option<String>,
    state: Option<String>,
    platform: Option<String>,
    agent: Option<String>,
    status: Option<String>,
    source: Option<String>,
    jump: Option<String>,
    port: Option<u16>,
    tcp: Option<String>,
    banner: Option<String>,
    #[serde(default)]
    endpoint: bool,
    #[serde(default)]
    denied: Vec<String>,
}

const CLIENT: &str = "203.0.113.10";
const VPC: &str = "vpc-1";

fn group(id: &str, peers: &[SgPeer]) -> SecurityGroup {
    let inbound = peers.iter().map(|peer| SgRule {
        rule_id: None,
        protocol: "tcp".into(),
        from_port: Some(22),
        to_port: Some(22),
        peer: peer.clone(),
        description: None,
    });
    let all = SgRule { protocol: "-1".into(), from_port: None, to_port: None, ..inbound_all() };
    SecurityGroup {
        id: id.into(),
        name: id.into(),
        vpc_id: Some(VPC.into()),
        inbound: inbound.collect(),
        outbound: vec![all],
    }
}

fn inbound_all() -> SgRule {
    SgRule {
        rule_id: None,
        protocol: "-1".into(),
        from_port: None,
        to_port: None,
        peer: cidr("0.0.0.0/0"),
        description: None,
    }
}

fn cidr(text: &str) -> SgPeer {
    SgPeer::Cidr(text.parse().unwrap())
}

fn acl(id: &str, subnets: &[&str], deny_22: bool) -> NetworkAcl {
    let entry = |number, egress, allow, ports| AclEntry {
        number,
        egress,
        allow,
        protocol: if ports == Some((22, 22)) { "6".into() } else { "-1".into() },
        cidr: "0.0.0.0/0".parse().unwrap(),
        ports,
        icmp: None,
    };
    let mut entries = vec![entry(100, false, true, None), entry(100, true, true, None)];
    if deny_22 {
        entries.push(entry(50, false, false, Some((22, 22))));
    }
    let subnets = subnets.iter().map(|s| (*s).to_owned()).collect();
    NetworkAcl { id: id.into(), vpc_id: Some(VPC.into()), subnets, entries, ..NetworkAcl::default() }
}

fn table(id: &str, vpc: &str, main: bool, subnets: &[&str], target: RouteTarget) -> RouteTable {
    let route = |net: &str, target| Route {
        destination: RouteDestination::Cidr(net.parse().unwrap()),
        target,
        active: true,
        propagated: false,
    };
    RouteTable {
        id: id.into(),
        vpc_id: Some(vpc.into()),
        main,
        subnets: subnets.iter().map(|s| (*s).to_owned()).collect(),
        routes: vec![route("10.0.0.0/16", RouteTarget::Local), route("0.0.0.0/0", target)],
        ..RouteTable::default()
    }
}

fn region() -> RegionFacts {
    let known = "lists";
    let subnet = |id: &str, net: &str| Subnet {
        id: id.into(),
        vpc_id: VPC.into(),
        cidr: Some(net.parse().unwrap()),
        ..Subnet::default()
    };
    let gateway = || RouteTarget::InternetGateway("igw-1".into());
    RegionFacts {
        caller: Fact::known(Caller { account: "111122223333".into(), ..Caller::default() }, known),
        status: Fact::known(BTreeMap::new(), known),
        groups: Fact::known(
            vec![
                group("sg-open", &[cidr("0.0.0.0/0")]),
                group("sg-office", &[cidr("198.51.100.0/24")]),
                group("sg-list", &[SgPeer::PrefixList("pl-1".into())]),
                group("sg-none", &[]),
                group("sg-inside", &[cidr("10.0.0.0/8")]),
                group("sg-endpoint", &[]),
            ],
            known,
        ),
        // The first ones are another VPC's, and must not be taken.
        acls: Fact::known(
            vec![
                acl("acl-z", &["subnet-z"], true),
                acl("acl-d", &["subnet-d"], true),
                acl("acl-a", &["subnet-a", "subnet-p"], false),
            ],
            known,
        ),
        route_tables: Fact::known(
            vec![
                table("rtb-z", "vpc-z", true, &["subnet-z"], RouteTarget::Nat("nat-z".into())),
                table("rtb-m", VPC, true, &[], gateway()),
                table("rtb-p", VPC, false, &["subnet-p"], RouteTarget::Nat("nat-1".into())),
            ],
            known,
        ),
        internet_gateways: Fact::known(
            vec![InternetGateway { id: "igw-1".into(), attached_to: Some(VPC.into()) }],
            known,
        ),
        subnets: Fact::known(
            vec![
                subnet("subnet-z", "10.9.0.0/24"),
                subnet("subnet-a", "10.0.1.0/24"),
                subnet("subnet-p", "10.0.2.0/24"),
                subnet("subnet-d", "10.0.3.0/24"),
            ],
            known,
        ),
        prefix_lists: Fact::known(BTreeMap::from([("pl-1".into(), vec!["203.0.113.0/24".parse().unwrap()])]), known),
        agents: Fact::known(BTreeMap::new(), known),
        connect_endpoints: Fact::known(Vec::new(), known),
    }
}

fn instance(case: &Case) -> Instance {
    let public = case.public.as_deref().unwrap_or("198.51.100.77").parse().ok();
    let private = "10.0.1.10".parse().unwrap();
    let subnet = case.subnet.clone().unwrap_or_else(|| "subnet-a".into());
    let groups = case.groups.clone().unwrap_or_else(|| vec!["sg-open".into()]);
    Instance {
        id: "i-0123456789abcdef0".into(),
        name: Some("web".into()),
        region: "eu-west-1".into(),
        state: case.state.clone().unwrap_or_else(|| "running".into()),
        platform: case.platform.clone(),
        private_ip: Some(private),
        public_ip: public,
        vpc_id: Some(VPC.into()),
        subnet_id: Some(subnet.clone()),
        groups: groups.iter().map(|g| (g.clone(), g.clone())).collect(),
        interfaces: vec![Interface {
            id: "eni-1".into(),
            subnet_id: Some(subnet),
            vpc_id: Some(VPC.into()),
            addresses: vec![InterfaceAddress { private, public, primary: true }],
            groups,
            ..Interface::default()
        }],
        launched: Some(1_700_000_000),
        ..Instance::default()
    }
}

fn deny<T>(fact: &mut Fact<T>, action: &str) {
    *fact = Fact::unknown(Why::Denied { action: action.into(), reason: String::new() });
}

fn judged(case: &Case) -> Row {
    let instance = instance(case);
    let mut lists = region();
    let word = case.status.clone().unwrap_or_else(|| "ok".into());
    let status = InstanceStatus { system: "ok".into(), instance: word, ..InstanceStatus::default() };
    lists.status = Fact::known(BTreeMap::from([(instance.id.clone(), status)]), "lists");
    if let Some(ping) = &case.agent {
        let agent = SsmAgent { ping: ping.clone(), ..SsmAgent::default() };
        lists.agents = Fact::known(BTreeMap::from([(instance.id.clone(), agent)]), "lists");
    }
    if case.endpoint {
        let endpoint = ConnectEndpoint {
            id: "eice-1".into(),
            state: "create-complete".into(),
            subnet: Some("subnet-p".into()),
            addresses: vec!["10.0.2.7/32".parse().unwrap()],
            groups: vec!["sg-endpoint".into()],
            ..ConnectEndpoint::default()
        };
        lists.connect_endpoints = Fact::known(vec![(VPC.into(), endpoint)], "lists");
    }
    for name in &case.denied {
        match name.as_str() {
            "groups" => deny(&mut lists.groups, "ec2:DescribeSecurityGroups"),
            "prefix_lists" => deny(&mut lists.prefix_lists, "ec2:GetManagedPrefixListEntries"),
            "status" => deny(&mut lists.status, "ec2:DescribeInstanceStatus"),
            "agents" => deny(&mut lists.agents, "ssm:DescribeInstanceInformation"),
            "connect_endpoints" => deny(&mut lists.connect_endpoints, "ec2:DescribeInstanceConnectEndpoints"),
            other => panic!("nothing is called {other}"),
        }
    }
    let tcp = case.tcp.as_deref().map(|tcp| match tcp {
        "connected" => Tcp::Connected { millis: 20 },
        "refused" => Tcp::Refused { millis: 20 },
        "timed_out" => Tcp::TimedOut { after_ms: 3000 },
        other => panic!("no outcome is called {other}"),
    });
    let greeting = match (&tcp, &case.banner) {
        (_, Some(banner)) => Some(Greeting::Ssh(banner.clone())),
        (Some(Tcp::Connected { .. }), None) => Some(Greeting::Other(SshServer::BannerTimeout { after_ms: 5000 })),
        _ => None,
    };
    let source_ip = match case.source.as_deref() {
        Some("none") => Fact::unknown(Why::needs("--source-ip")),
        other => Fact::known(other.unwrap_or(CLIENT).parse().unwrap(), "told"),
    };
    let config = SshConfig { port: case.port, proxy_jump: case.jump.clone(), ..SshConfig::default() };
    let seen = Seen {
        source_ip,
        config: Fact::known(config, "ssh configuration"),
        knock: tcp.map(|tcp| Knock { tcp: Fact::known(tcp, "TCP connect"), greeting }),
        inside: Fact::NotAsked,
    };
    let place = Place { profile: Some("prod".into()), region: "eu-west-1".into() };
    row(&place, &instance, &Index::new(lists), &Asked { now: 1_800_000_000, ..Asked::default() }, &seen)
}

fn said(row: &Row) -> String {
    let certainty = row.certainty.map(|c| serde_json::to_value(c).unwrap().as_str().unwrap().to_owned());
    let door = row.door.as_ref().map(|d| format!("by {d}"));
    let parts = [Some(row.reachable.word().to_owned()), row.cause.clone(), certainty, door];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_case_is_said_as_it_should_be() {
    let file: File = toml::from_str(include_str!("../../../tests/cases/fleet/rows.toml")).unwrap();
    let mut wrong = Vec::new();
    for case in &file.case {
        let row = judged(case);
        let said = said(&row);
        if said != case.is {
            wrong.push(format!("{}: {said} ({}), not {}", case.name, row.detail, case.is));
        }
        if case.says.as_ref().is_some_and(|words| !row.detail.contains(words)) {
            wrong.push(format!("{}: says '{}'", case.name, row.detail));
        }
        assert_eq!((row.account.as_deref(), row.profile.as_deref()), (Some("111122223333"), Some("prod")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is cut out of the lists judges as the whole lists do.
#[test]
fn the_facts_of_one_instance_judge_as_those_of_its_whole_region() {
    let file: File = toml::from_str(include_str!("../../../tests/cases/fleet/rows.toml")).unwrap();
    for case in file.case.iter().filter(|c| c.denied.is_empty() && c.agent.is_none() && !c.endpoint) {
        let instance = instance(case);
        let mut cut = Facts::default();
        cut.target.name = instance.id.clone();
        cut.target.source_ip = CLIENT.parse().ok();
        let mut whole = cut.clone();
        let lists = region();
        Index::new(lists.clone()).apply(&instance, &mut cut);
        whole.aws = cut.aws.clone();
        whole.aws.acls = lists.acls;
        whole.aws.route_tables = lists.route_tables;
        whole.aws.internet_gateways = lists.internet_gateways;
        let causes =
            |facts: &Facts| rules::judge(facts).causes.iter().map(|c| (c.id.clone(), c.certainty)).collect::<Vec<_>>();
        assert_eq!(causes(&cut), causes(&whole), "{}", case.name);
    }
}

fn told(name: &str, reachable: Reach, cause: Option<&str>, detail: &str) -> Row {
    Row {
        id: format!("i-{name}"),
        name: Some(name.into()),
        region: "eu-west-1".into(),
        account: Some("111122223333".into()),
        profile: None,
        state: "running".into(),
        address: CLIENT.parse().ok(),
        port: 22,
        reachable,
        door: None,
        cause: cause.map(str::to_owned),
        certainty: Some(Certainty::Proven),
        detail: detail.into(),
    }
}

#[test]
fn what_an_incident_has_in_common_comes_first() {
    let denied = |action: &str| format!("cannot tell: not allowed to call {action}");
    let rows = [
        told("a", Reach::Yes, None, "an SSH server answers"),
        told("b", Reach::No, Some("nacl-inbound-deny"), ""),
        told("c", Reach::No, Some("sg-no-rule"), "one rule"),
        told("d", Reach::Unknown, Some("iam-denied-read"), &denied("ec2:DescribeSecurityGroups")),
        told("e", Reach::No, Some("sg-no-rule"), "another rule"),
        told("f", Reach::Unknown, Some("iam-denied-read"), &denied("ec2:DescribeSubnets")),
        told("g", Reach::Yes, Some("disk-full"), ""),
    ];
    let all = groups(&rows, |_, _| true);
    let shown: Vec<String> = all.iter().map(|g| format!("{} × {}", g.rows.len(), g.title)).collect();
    assert_eq!(shown[0], "2 × No security group rule lets your address in");
    assert_eq!(all[0].rows, [2, 4]);
    // Two rights that are missing are two things to ask for.
    assert_eq!(shown[2], "1 × Cannot tell: not allowed to call ec2:DescribeSecurityGroups");
    assert_eq!(shown[3], "1 × Cannot tell: not allowed to call ec2:DescribeSubnets");
    assert_eq!(
        all.iter().map(|g| g.reachable).collect::<Vec<_>>(),
        [Reach::No, Reach::No, Reach::Unknown, Reach::Unknown, Reach::Yes, Reach::Yes]
    );
    assert_eq!(Tally::of(&rows), Tally { yes: 2, no: 3, unknown: 2 });
    assert_eq!(groups(&rows, |at, _| at == 4).len(), 1);
}

#[test]
fn lines_for_other_programs_carry_the_same_columns() {
    let row = told("web", Reach::No, Some("sg-no-rule"), "no rule, \"none\" at all\nreally");
    let json: serde_json::Value = serde_json::from_str(&json_line(&row)).unwrap();
    let names: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(names.len(), CSV_HEADER.split(',').count());
    assert!(CSV_HEADER.split(',').all(|name| names.iter().any(|n| *n == name)), "{names:?}");
    assert_eq!(
        (&json["schema"], &json["reachable"], &json["door"]),
        (&1.into(), &"no".into(), &serde_json::Value::Null)
    );
    assert!(json_line(&row).starts_with("{\"schema\":1,\"id\":\"i-web\",") && !json_line(&row).contains('\n'));
    let csv = csv_line(&row);
    assert!(csv.ends_with(",no,,sg-no-rule,proven,\"no rule, \"\"none\"\" at all really\""), "{csv}");
    assert_eq!(csv_line(&told("web", Reach::Yes, None, "x")).split(',').count(), names.len());
}

#[test]
fn a_name_is_no_formula() {
    for name in ["=HYPERLINK(\"http://x\")", "+1", "-1", "@SUM(A1)", " =1", "\t=1"] {
        let csv = csv_line(&told(name, Reach::Yes, None, "x"));
        let field = csv.split(',').nth(2).unwrap_or_default();
        assert!(field.starts_with("\"'"), "{name}: {csv}");
    }
    let evil = told("a\u{1b}[2Jb\r\nc", Reach::Yes, None, "x");
    for line in [csv_line(&evil), json_line(&evil)] {
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}
