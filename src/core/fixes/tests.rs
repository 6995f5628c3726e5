//! Plans of the network and power fixes: what they do, what they refuse, and what only looks alike.

use super::plan;
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::aws::{Instance, InstanceStatus, Interface, InterfaceAddress, Subnet};
use crate::core::facts::host::SpotRequest;
use crate::core::facts::prepared::net::{ElasticAddress, PowerFacts, ScalingMember};
use crate::core::plan::{Action, Choice, Choices, Consent, GateState, NetworkAction, Plan, PowerAction};
use crate::core::vpc::types::{
    AclEntry, InternetGateway, NetworkAcl, Route, RouteDestination, RouteTable, RouteTarget, SecurityGroup,
};

fn known<T>(value: T) -> Fact<T> {
    Fact::known(value, "test")
}

fn denied<T>() -> Fact<T> {
    Fact::unknown(Why::Denied { action: "ec2:X".to_owned(), reason: String::new() })
}

fn route(to: &str, target: RouteTarget, active: bool) -> Route {
    Route { destination: RouteDestination::Cidr(to.parse().unwrap()), target, active, propagated: false }
}

fn igw(id: &str, vpc: Option<&str>) -> InternetGateway {
    InternetGateway { id: id.to_owned(), attached_to: vpc.map(str::to_owned) }
}

/// A running instance with a public address, in a subnet whose table has these routes.
fn facts(routes: Vec<Route>) -> Facts {
    let interface = Interface {
        id: "eni-1".to_owned(),
        subnet_id: Some("subnet-1".to_owned()),
        vpc_id: Some("vpc-1".to_owned()),
        addresses: vec![InterfaceAddress {
            private: "10.0.0.5".parse().unwrap(),
            public: Some("198.51.100.5".parse().unwrap()),
            primary: true,
        }],
        groups: vec!["sg-1".to_owned()],
        ..Interface::default()
    };
    let mut facts = Facts { now: 1_800_000_000, ..Facts::default() };
    "i-1".clone_into(&mut facts.target.name);
    facts.target.source_ip = Some("203.0.113.10".parse().unwrap());
    facts.aws.instance = known(Instance {
        id: "i-1".to_owned(),
        region: "eu-west-1".to_owned(),
        state: "running".to_owned(),
        instance_type: "t3.micro".to_owned(),
        private_ip: Some("10.0.0.5".parse().unwrap()),
        public_ip: Some("198.51.100.5".parse().unwrap()),
        vpc_id: Some("vpc-1".to_owned()),
        subnet_id: Some("subnet-1".to_owned()),
        root_device_type: Some("ebs".to_owned()),
        interfaces: vec![interface.clone()],
        ..Instance::default()
    });
    facts.aws.interfaces = known(vec![interface]);
    facts.aws.groups = known(vec![SecurityGroup { id: "sg-1".to_owned(), ..SecurityGroup::default() }]);
    facts.aws.internet_gateways = known(vec![igw("igw-1", Some("vpc-1"))]);
    facts.aws.subnet = known(Subnet {
        id: "subnet-1".to_owned(),
        vpc_id: "vpc-1".to_owned(),
        zone: Some("eu-west-1a".to_owned()),
        ..Subnet::default()
    });
    let local = route("10.0.0.0/16", RouteTarget::Local, true);
    facts.aws.route_tables = known(vec![RouteTable {
        id: "rtb-1".to_owned(),
        vpc_id: Some("vpc-1".to_owned()),
        main: true,
        routes: [vec![local], routes].concat(),
        ..RouteTable::default()
    }]);
    facts.prepared.power = PowerFacts {
        stop_protected: known(false),
        spot: Fact::NotAsked,
        local_disks: known(Vec::new()),
        shutdown: known("stop".to_owned()),
        scaling: known(None),
    };
    facts.prepared.net.addresses = known(Vec::new());
    facts
}

fn edit(facts: &mut Facts, change: impl FnOnce(&mut Instance)) {
    if let Fact::Known { value, .. } = &mut facts.aws.instance {
        change(value);
    }
}

fn choose(pairs: &[(&str, &str)]) -> Choices {
    pairs.iter().map(|(id, option)| ((*id).to_owned(), (*option).to_owned())).collect()
}

#[track_caller]
fn made(fix: &str, facts: &Facts, pairs: &[(&str, &str)]) -> Plan {
    let plan = plan(fix, facts, &choose(pairs)).unwrap();
    let words = &crate::core::catalogue::get().fixes[fix];
    for action in &plan.permissions {
        assert!(words.permissions.contains(action), "port22 policy --fix {fix} does not print {action}");
    }
    plan
}

fn deeds(plan: &Plan) -> Vec<Action> {
    plan.steps.iter().filter_map(|s| s.action.clone()).collect()
}

/// The gate that refuses, or a panic with the plan.
#[track_caller]
fn refused(plan: &Plan, gate: &str, says: &str) {
    let found = plan.refused().unwrap_or_else(|| panic!("not refused: {plan:#?}"));
    assert_eq!(found.id, gate, "{found:?}");
    assert!(found.why.contains(says), "{found:?}");
}

fn gate<'a>(plan: &'a Plan, id: &str) -> Option<(GateState, &'a str)> {
    plan.gates.iter().find(|g| g.id == id).map(|g| (g.state, g.why.as_str()))
}

#[test]
fn a_missing_route_is_made_and_a_blackhole_replaced() {
    let plan = made("route-to-igw", &facts(vec![]), &[]);
    let [Action::Network(NetworkAction::PutRoute { destination, gateway, before: None, .. })] = &deeds(&plan)[..]
    else {
        panic!("{plan:#?}");
    };
    assert_eq!((destination.to_string(), gateway.as_str()), ("0.0.0.0/0".to_owned(), "igw-1"));
    assert!(gate(&plan, "shared").unwrap().1.contains("every subnet of the VPC that has no table of its own"));
    let hole = route("203.0.113.0/24", RouteTarget::TransitGateway("tgw-1".to_owned()), false);
    let open = route("0.0.0.0/0", RouteTarget::InternetGateway("igw-1".to_owned()), true);
    let plan = made("route-to-igw", &facts(vec![hole, open.clone()]), &[]);
    let [Action::Network(NetworkAction::PutRoute { destination, before: Some(before), .. })] = &deeds(&plan)[..] else {
        panic!("{plan:#?}");
    };
    assert_eq!((destination.to_string(), before.as_str()), ("203.0.113.0/24".to_owned(), "tgw-1"));
    assert!(plan.steps[0].undo.as_ref().unwrap().contains("--transit-gateway-id tgw-1"));
    assert!(deeds(&made("route-to-igw", &facts(vec![open]), &[])).is_empty(), "nothing to do");
}

#[test]
fn a_route_that_works_is_left() {
    let targets = [
        (RouteTarget::Nat("nat-1".to_owned()), "private by design"),
        (RouteTarget::TransitGateway("tgw-1".to_owned()), "another network"),
        (RouteTarget::VpnGateway("vgw-1".to_owned()), "another network"),
        (RouteTarget::Endpoint("vpce-1".to_owned()), "inspects"),
    ];
    for (target, says) in targets {
        let plan = made("route-to-igw", &facts(vec![route("0.0.0.0/0", target, true)]), &[]);
        refused(&plan, "route", says);
        assert!(deeds(&plan).is_empty());
    }
    let mut unattached = facts(vec![]);
    unattached.aws.internet_gateways = known(Vec::new());
    refused(&made("route-to-igw", &unattached, &[]), "gateway", "igw-attach");
    let mut unknown = facts(vec![]);
    unknown.aws.route_tables = denied();
    assert!(plan("route-to-igw", &unknown, &Choices::new()).unwrap_err().contains("not allowed"));
}

#[test]
fn a_private_client_needs_no_gateway() {
    let mut facts = facts(vec![]);
    facts.target.source_ip = Some("10.9.0.1".parse().unwrap());
    "10.0.0.5".clone_into(&mut facts.target.name);
    refused(&made("route-to-igw", &facts, &[]), "way", "private network");
}

#[test]
fn the_gateway_that_the_route_names_is_attached_first() {
    let hole = route("0.0.0.0/0", RouteTarget::InternetGateway("igw-9".to_owned()), false);
    let mut facts = facts(vec![hole]);
    facts.aws.internet_gateways = known(Vec::new());
    let all = vec![(igw("igw-2", None), None), (igw("igw-9", None), None), (igw("igw-3", Some("vpc-2")), None)];
    facts.prepared.net.gateways = known(all);
    let plan = made("igw-attach", &facts, &[]);
    let ids: Vec<&str> = plan.choices[0].options.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["igw-9", "igw-2", "new"]);
    assert_eq!((plan.verify.len(), plan.reversible), (1, false), "a mapped address stands against the undo");
    let plan = made("igw-attach", &facts, &[("gateway", "new")]);
    assert!(matches!(
        &deeds(&plan)[..],
        [Action::Network(NetworkAction::CreateGateway { .. }), Action::Network(NetworkAction::AttachGateway { gateway, .. })]
            if gateway == "${gateway}"
    ));
    assert!(plan.verify.is_empty() && gate(&plan, "route").unwrap().1.contains("igw-9"));
    facts.prepared.net.gateways = denied();
    let plan = made("igw-attach", &facts, &[]);
    assert_eq!((plan.choices[0].chosen.as_str(), gate(&plan, "free-gateways").unwrap().0), ("new", GateState::Warn));
}

fn elastic(id: &str) -> ElasticAddress {
    ElasticAddress {
        allocation: id.to_owned(),
        address: "192.0.2.7".parse().unwrap(),
        name: None,
        private: None,
        interface: None,
        in_use: false,
        managed_by: None,
        border_group: Some("eu-west-1".to_owned()),
    }
}

#[test]
fn only_addresses_that_are_free_are_offered() {
    let mut facts = facts(vec![]);
    facts.prepared.net.addresses = known(vec![
        ElasticAddress { in_use: true, ..elastic("eipalloc-used") },
        ElasticAddress { managed_by: Some("nat".to_owned()), ..elastic("eipalloc-service") },
        ElasticAddress { border_group: Some("eu-west-1-lhr-1".to_owned()), ..elastic("eipalloc-zone") },
        elastic("eipalloc-free"),
    ]);
    let plan = made("eip-associate", &facts, &[]);
    let ids: Vec<&str> = plan.choices[0].options.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["eipalloc-free", "new"]);
    assert_eq!((plan.downtime, gate(&plan, "released").unwrap().0), (true, GateState::Warn));
    let plan = made("eip-associate", &facts, &[("address", "new")]);
    assert_eq!((deeds(&plan).len(), gate(&plan, "cost").unwrap().0), (2, GateState::Warn));
    let here = ElasticAddress {
        interface: Some("eni-1".to_owned()),
        private: Some("10.0.0.5".parse().unwrap()),
        in_use: true,
        ..elastic("eipalloc-own")
    };
    facts.prepared.net.addresses = known(vec![here]);
    assert!(deeds(&made("eip-associate", &facts, &[])).is_empty());
}

#[test]
fn no_address_where_aws_refuses_one() {
    let mut detached = facts(vec![]);
    detached.aws.internet_gateways = known(Vec::new());
    refused(&made("eip-associate", &detached, &[]), "gateway", "igw-attach");
    let mut zone = facts(vec![]);
    zone.aws.subnet = known(Subnet { zone: Some("eu-west-1-lhr-1a".to_owned()), ..Subnet::default() });
    refused(&made("eip-associate", &zone, &[]), "zone", "network border group");
    let mut unknown = facts(vec![]);
    unknown.prepared.net.addresses = denied();
    assert!(plan("eip-associate", &unknown, &Choices::new()).is_err());
}

#[test]
fn an_ipv6_client_gets_a_128() {
    let mut facts = facts(vec![]);
    facts.target.source_ip = Some("2001:db8::7".parse().unwrap());
    if let Fact::Known { value, .. } = &mut facts.aws.interfaces {
        value[0].ipv6 = vec!["2001:db8:1::5".parse().unwrap()];
    }
    "2001:db8:1::5".clone_into(&mut facts.target.name);
    let plan = made("sg-allow-my-ip", &facts, &[("expiry", "1d")]);
    let [Action::AuthorizeIngress { cidr, description, .. }] = &deeds(&plan)[..] else { panic!("{plan:#?}") };
    assert_eq!((cidr.to_string(), plan.expires), ("2001:db8::7/128".to_owned(), Some(1_800_086_400)));
    assert!(description.ends_with("until 2027-01-16 08:00 UTC"), "{description}");
    assert!(plan.steps[0].undo.as_ref().unwrap().contains("CidrIpv6=2001:db8::7/128"), "{:?}", plan.steps[0].undo);
    // Made again later, it does the same.
    facts.now += 600;
    assert!(made("sg-allow-my-ip", &facts, &[("expiry", "1d")]).does_as(&plan));
    let ping = made("icmp-allow-my-ip", &facts, &[]);
    assert!(
        matches!(&deeds(&ping)[..], [Action::AuthorizeIngress { protocol, from_port: 128, to_port: -1, .. }] if protocol == "icmpv6")
    );
    let deny = AclEntry {
        number: 10,
        egress: false,
        allow: false,
        protocol: "-1".to_owned(),
        cidr: "::/0".parse().unwrap(),
        ports: None,
        icmp: None,
    };
    facts.aws.acls = known(vec![NetworkAcl {
        id: "acl-1".to_owned(),
        subnets: vec!["subnet-1".to_owned(), "subnet-2".to_owned()],
        entries: vec![deny],
        ..NetworkAcl::default()
    }]);
    let plan = made("nacl-allow-my-ip", &facts, &[]);
    assert_eq!(deeds(&plan).len(), 2, "answers have no entry either");
    assert!(
        plan.steps[0].command.contains("--ipv6-cidr-block 2001:db8::7/128")
            && plan.steps[0].command.contains("--rule-number 9 ")
    );
    assert!(gate(&plan, "shared").unwrap().1.contains("subnet-2"));
}

#[test]
fn what_must_not_be_stopped_is_not() {
    let stop = |change: &dyn Fn(&mut Facts), gate: &str, says: &str| {
        let mut facts = facts(vec![]);
        change(&mut facts);
        refused(&made("instance-stop-start", &facts, &[]), gate, says);
    };
    let spot = |kind: &str| {
        known(Some(SpotRequest { kind: kind.to_owned(), status: "fulfilled".to_owned(), ..SpotRequest::default() }))
    };
    stop(&|f| edit(f, |i| i.root_device_type = Some("instance-store".to_owned())), "root", "instance store");
    stop(&|f| edit(f, |i| i.managed_by = Some("eks.amazonaws.com".to_owned())), "managed", "eks");
    stop(&|f| edit(f, |i| i.state = "terminated".to_owned()), "state", "terminated");
    stop(&|f| edit(f, |i| i.state = "stopped".to_owned()), "state", "instance-start");
    stop(&|f| f.prepared.power.stop_protected = known(true), "stop-protection", "lift");
    stop(
        &|f| {
            edit(f, |i| i.lifecycle = Some("spot".to_owned()));
            f.prepared.power.spot = spot("one-time");
        },
        "spot",
        "one-time",
    );
    stop(
        &|f| {
            edit(f, |i| drop(i.tags.insert("aws:autoscaling:groupName".to_owned(), "web".to_owned())));
            f.prepared.power.scaling = denied();
        },
        "scaling",
        "web",
    );
    let mut persistent = facts(vec![]);
    edit(&mut persistent, |i| i.lifecycle = Some("spot".to_owned()));
    persistent.prepared.power.spot = spot("persistent");
    let plan = made("instance-stop-start", &persistent, &[]);
    assert_eq!((plan.refused(), gate(&plan, "spot").unwrap().0), (None, GateState::Warn));
    assert_eq!(plan.consent, Consent::Type("i-1".to_owned()));
}

#[test]
fn what_a_stop_costs_is_named() {
    let mut facts = facts(vec![]);
    facts.prepared.power.local_disks = known(vec!["1 × 75 GB ssd".to_owned()]);
    let plan = made("instance-stop-start", &facts, &[]);
    assert!(gate(&plan, "instance-store").unwrap().1.contains("1 × 75 GB ssd"));
    let (state, why) = gate(&plan, "public-address").unwrap();
    assert!(state == GateState::Warn && why.contains("Route 53") && why.contains("known_hosts"), "{why}");
    facts.prepared.net.addresses =
        known(vec![ElasticAddress { address: "198.51.100.5".parse().unwrap(), ..elastic("eipalloc-own") }]);
    assert_eq!(gate(&made("instance-stop-start", &facts, &[]), "public-address").unwrap().0, GateState::Ok);
    facts.prepared.net.addresses = denied();
    facts.prepared.power.local_disks = denied();
    let plan = made("instance-stop-start", &facts, &[]);
    assert!(gate(&plan, "public-address").unwrap().1.contains("could not be read"));
    assert!(gate(&plan, "instance-store").unwrap().1.contains("cannot tell"), "denied is never nothing there");
}

#[test]
fn a_group_is_kept_from_replacing_its_member() {
    let member = |lifecycle: &str, min, desired, suspended: &[&str]| {
        known(Some(ScalingMember {
            group: "web".to_owned(),
            lifecycle: lifecycle.to_owned(),
            min: Some(min),
            desired: Some(desired),
            suspended: suspended.iter().map(|s| (*s).to_owned()).collect(),
        }))
    };
    let mut facts = facts(vec![]);
    facts.prepared.power.scaling = member("InService", 1, 2, &[]);
    let plan = made("instance-stop-start", &facts, &[]);
    assert!(matches!(
        &deeds(&plan)[..],
        [
            Action::Power(PowerAction::EnterStandby { .. }),
            Action::StopInstance { .. },
            Action::Power(PowerAction::StartAgain { .. }),
            Action::Power(PowerAction::ExitStandby { .. })
        ]
    ));
    let plan = made("instance-stop-start", &facts, &[("scaling", "suspend")]);
    assert!(
        matches!(&deeds(&plan)[0], Action::Power(PowerAction::SuspendProcesses { processes, .. }) if processes.len() == 4)
    );
    // No room for one less: standby would be refused by AWS.
    facts.prepared.power.scaling = member("InService", 2, 2, &["AZRebalance"]);
    let plan = made("instance-stop-start", &facts, &[("scaling", "standby")]);
    assert!(
        matches!(&deeds(&plan)[0], Action::Power(PowerAction::SuspendProcesses { processes, .. }) if processes.len() == 3)
    );
    facts.prepared.power.scaling = member("Standby", 1, 1, &[]);
    assert_eq!(deeds(&made("instance-stop-start", &facts, &[])).len(), 2);
    facts.prepared.power.scaling = member("Warmed:Running", 1, 1, &[]);
    refused(&made("instance-stop-start", &facts, &[]), "scaling", "Warmed");
    // With stop protection too, what was done last is undone first.
    facts.prepared.power.scaling = member("InService", 0, 1, &[]);
    facts.prepared.power.stop_protected = known(true);
    let plan = made("instance-stop-start", &facts, &[("stop-protection", "lift")]);
    let all = deeds(&plan);
    assert!(matches!(&all[0], Action::Power(PowerAction::StopProtection { on: false, back: false, .. })));
    assert!(matches!(&all[4], Action::Power(PowerAction::ExitStandby { .. })));
    assert!(matches!(&all[5], Action::Power(PowerAction::StopProtection { on: true, back: true, .. })));
    // A reboot leaves the group alone unless told otherwise.
    facts.prepared.power.stop_protected = known(false);
    assert_eq!(deeds(&made("instance-reboot", &facts, &[])).len(), 1);
    assert_eq!(deeds(&made("instance-reboot", &facts, &[("scaling", "standby")])).len(), 3);
}

#[test]
fn a_reboot_that_cannot_help_says_so() {
    let mut facts = facts(vec![]);
    let event = ("instance-retirement".to_owned(), "The instance is on degraded hardware".to_owned(), None);
    let past = ("system-reboot".to_owned(), "[Completed] done".to_owned(), None);
    facts.aws.status = known(InstanceStatus {
        system: "impaired".to_owned(),
        instance: "ok".to_owned(),
        events: vec![event, past],
        ..InstanceStatus::default()
    });
    let plan = made("instance-reboot", &facts, &[]);
    assert!(gate(&plan, "host").unwrap().1.contains("instance-stop-start"));
    let events: Vec<_> = plan.gates.iter().filter(|g| g.id == "event").collect();
    assert_eq!((events.len(), events[0].state), (1, GateState::Warn));
    let plan = made("instance-stop-start", &facts, &[]);
    assert_eq!(gate(&plan, "event").unwrap().0, GateState::Ok);
    assert!(plan.verify.iter().any(|c| c == "status-checks"));
}

#[test]
fn a_memory_that_was_kept_is_a_choice() {
    let mut facts = facts(vec![]);
    assert!(made("instance-stop-start", &facts, &[]).choices.iter().all(|c| c.id != "stop"));
    edit(&mut facts, |i| i.hibernation = true);
    let all = deeds(&made("instance-stop-start", &facts, &[("stop", "hibernate")]));
    assert!(matches!(&all[0], Action::Power(PowerAction::Hibernate { .. })));
    assert!(matches!(&deeds(&made("instance-stop-start", &facts, &[]))[0], Action::StopInstance { .. }));
}

#[test]
fn a_start_promises_the_login_only_when_the_stop_is_all() {
    let open = route("0.0.0.0/0", RouteTarget::InternetGateway("igw-1".to_owned()), true);
    let mut stopped = facts(vec![open]);
    edit(&mut stopped, |i| i.state = "stopped".to_owned());
    // The group lets nobody in: a start alone does not bring the login back.
    let plan = made("instance-start", &stopped, &[]);
    assert!(!plan.promises_login && deeds(&plan).len() == 1, "{plan:#?}");
    for (state, refuses) in
        [("stopping", true), ("terminated", true), ("shutting-down", true), ("pending", false), ("running", false)]
    {
        edit(&mut stopped, |i| state.clone_into(&mut i.state));
        let plan = made("instance-start", &stopped, &[]);
        assert_eq!((plan.refused().is_some(), deeds(&plan).len()), (refuses, 0), "{state}");
    }
    edit(&mut stopped, |i| {
        i.state = "stopped".to_owned();
        i.lifecycle = Some("spot".to_owned());
    });
    for (status, refuses) in [("instance-stopped-no-capacity", true), ("instance-stopped-by-user", false)] {
        stopped.prepared.power.spot = known(Some(SpotRequest {
            kind: "persistent".to_owned(),
            status: status.to_owned(),
            ..SpotRequest::default()
        }));
        assert_eq!(made("instance-start", &stopped, &[]).refused().is_some(), refuses, "{status}");
    }
}

#[test]
fn what_cannot_be_chosen_is_told_and_not_replaced_by_the_default() {
    let mut plan = made("route-to-igw", &facts(vec![]), &[]);
    plan.choices = vec![Choice::new("restore", "when?", &[("later", "later"), ("now", "now")], &choose(&[]))];
    assert_eq!(plan.stranger_among(&choose(&[("restore", "now")])), None);
    assert_eq!(plan.stranger_among(&choose(&[])), None);
    let told = plan.stranger_among(&choose(&[("restore", "latr")])).unwrap();
    assert!(told.contains("'latr'") && told.contains("later, now"), "{told}");
    let told = plan.stranger_among(&choose(&[("volume", "vol-1")])).unwrap();
    assert!(told.contains("'volume'") && told.contains("restore"), "{told}");
    // Where there is nothing to do, nothing is offered either.
    plan.steps.clear();
    assert_eq!(plan.stranger_among(&choose(&[("volume", "vol-1")])), None);
}
