//! The evaluation against a second, deliberately simple one, on generated rules and packets.

use super::flow::{Family, Flow, Protocol, Sources, is_private};
use super::nacl::{AclDecision, inbound, outbound};
use super::route::{RouteDecision, TableRef, decide as decide_route};
use super::security_group::{SgDecision, SgQuestion, decide as decide_group};
use super::types::{
    AclEntry, NetworkAcl, Route, RouteDestination, RouteTable, RouteTarget, SecurityGroup, SgPeer, SgRule,
};
use crate::core::fact::Fact;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses from a small world, so that ranges and packets meet often.
fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        4 => (0_u8..4, 0_u8..4).prop_map(|(a, b)| IpAddr::V4(Ipv4Addr::new(203, 0, a * 64, b * 64 + 1))),
        1 => any::<u32>().prop_map(|n| IpAddr::V4(n.into())),
        3 => (0_u16..4, 0_u16..4).prop_map(|(a, b)| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, a, 0, 0, 0, 0, b))),
        // An IPv4 address written as IPv6: must never be mixed up with the IPv4 one.
        1 => Just(IpAddr::V6(Ipv4Addr::new(203, 0, 0, 1).to_ipv6_mapped())),
    ]
}

fn range() -> impl Strategy<Value = IpNet> {
    (address(), 0_u8..=128).prop_map(|(address, bits)| match address {
        IpAddr::V4(v4) => IpNet::V4(Ipv4Net::new(v4, [0, 1, 8, 16, 18, 24, 26, 32][usize::from(bits % 8)]).unwrap()),
        IpAddr::V6(v6) => IpNet::V6(Ipv6Net::new(v6, [0, 1, 16, 32, 48, 64, 126, 128][usize::from(bits % 8)]).unwrap()),
    })
}

/// Bit by bit, without the library that the code under test uses.
fn inside(net: &IpNet, address: IpAddr) -> bool {
    let bits = |a: IpAddr| -> Vec<bool> {
        match a {
            IpAddr::V4(v4) => v4.octets().iter().flat_map(|b| (0..8).rev().map(move |i| b >> i & 1 == 1)).collect(),
            IpAddr::V6(v6) => v6.octets().iter().flat_map(|b| (0..8).rev().map(move |i| b >> i & 1 == 1)).collect(),
        }
    };
    let (a, b) = (bits(net.addr()), bits(address));
    a.len() == b.len() && a.iter().zip(&b).take(usize::from(net.prefix_len())).all(|(x, y)| x == y)
}

fn protocol() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["tcp", "6", "udp", "17", "-1", "icmp", "1", "icmpv6", "58", "50"]).prop_map(str::to_owned)
}

fn is_tcp(text: &str) -> bool {
    ["tcp", "6", "-1"].contains(&text)
}

fn ports() -> impl Strategy<Value = Option<(u16, u16)>> {
    prop::sample::select(vec![
        None,
        Some((22, 22)),
        Some((0, 65535)),
        Some((23, 1023)),
        Some((20, 25)),
        Some((1024, 65535)),
        Some((32768, 60999)),
        Some((1000, 2000)),
        Some((2000, 40000)),
        Some((65535, 65535)),
    ])
}

fn sg_rule() -> impl Strategy<Value = SgRule> {
    let peer = prop_oneof![
        6 => range().prop_map(SgPeer::Cidr),
        1 => Just(SgPeer::PrefixList("pl-known".to_owned())),
        1 => Just(SgPeer::Group { id: "sg-other".to_owned(), account: None, stale: false }),
    ];
    (protocol(), ports(), peer).prop_map(|(protocol, ports, peer)| SgRule {
        rule_id: None,
        from_port: ports.map(|p| i32::from(p.0)),
        to_port: ports.map(|p| i32::from(p.1)),
        protocol,
        peer,
        description: None,
    })
}

fn acl_entry() -> impl Strategy<Value = AclEntry> {
    (1_i32..200, any::<bool>(), any::<bool>(), protocol(), range(), ports()).prop_map(
        |(number, egress, allow, protocol, cidr, ports)| AclEntry {
            number,
            egress,
            allow,
            protocol,
            cidr,
            ports,
            icmp: None,
        },
    )
}

fn acl() -> impl Strategy<Value = NetworkAcl> {
    prop::collection::vec(acl_entry(), 0..8).prop_map(|mut entries| {
        // Numbers are unique in each direction, as AWS keeps them.
        let mut seen = Vec::new();
        entries.retain(|e| {
            let new = !seen.contains(&(e.egress, e.number));
            seen.push((e.egress, e.number));
            new
        });
        NetworkAcl { id: "acl-1".to_owned(), entries, ..NetworkAcl::default() }
    })
}

fn acl_allows(acl: &NetworkAcl, egress: bool, peer: IpAddr, port: u16) -> bool {
    for number in 1..200 {
        for entry in &acl.entries {
            let port_fits = entry.protocol == "-1" || entry.ports.is_none_or(|(low, high)| low <= port && port <= high);
            if entry.number == number
                && entry.egress == egress
                && is_tcp(&entry.protocol)
                && inside(&entry.cidr, peer)
                && port_fits
            {
                return entry.allow;
            }
        }
    }
    false
}

fn flow(source: IpAddr) -> Flow {
    Flow { source: Some(source), address: None, port: 22, protocol: Protocol::Tcp }
}

fn lists() -> Fact<BTreeMap<String, Vec<IpNet>>> {
    let known = vec!["203.0.64.0/18".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()];
    Fact::known(BTreeMap::from([("pl-known".to_owned(), known)]), "GetManagedPrefixListEntries")
}

fn group_admits(rules: &[SgRule], source: IpAddr) -> bool {
    let known = ["203.0.64.0/18".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()];
    rules.iter().any(|rule| {
        let port = rule.protocol == "-1"
            || rule.from_port.is_none_or(|low| low <= 22 && rule.to_port.is_some_and(|high| 22 <= high));
        let peer = match &rule.peer {
            SgPeer::Cidr(net) => inside(net, source),
            SgPeer::PrefixList(_) => known.iter().any(|net| inside(net, source)),
            SgPeer::Group { .. } => false,
        };
        is_tcp(&rule.protocol) && port && peer
    })
}

fn ask(rules: &[SgRule], sources: Sources, flow: &Flow) -> SgDecision {
    let half = rules.len() / 2;
    let group = |id: &str, rules: &[SgRule]| SecurityGroup {
        id: id.to_owned(),
        inbound: rules.to_vec(),
        ..SecurityGroup::default()
    };
    let groups = [group("sg-a", &rules[..half]), group("sg-b", &rules[half..]), group("sg-c", &[everything()])];
    let ids = ["sg-a".to_owned(), "sg-b".to_owned()];
    decide_group(&groups, &ids, SgQuestion { flow, sources, from_inside: false, members: None, lists: &lists() })
}

/// A rule that would admit everybody, in a group that the interface does not carry.
fn everything() -> SgRule {
    SgRule {
        rule_id: None,
        protocol: "-1".to_owned(),
        from_port: None,
        to_port: None,
        peer: SgPeer::Cidr("0.0.0.0/0".parse().unwrap()),
        description: None,
    }
}

/// Addresses at and beside the borders of ranges, where a wrong decision would show.
fn samples(nets: &[IpNet], family: Family) -> Vec<IpAddr> {
    let v4 = |n: u32| IpAddr::V4(n.into());
    let v6 = |n: u128| IpAddr::V6(n.into());
    let mut all = vec![v4(0x0100_0000), v4(0xcb00_7101), v4(0x7f00_0001), v6(0x2000 << 112), v6(0x2001_0db8 << 96)];
    for net in nets {
        match (net.network(), net.broadcast()) {
            (IpAddr::V4(low), IpAddr::V4(high)) => {
                let (low, high) = (u32::from(low), u32::from(high));
                all.extend([v4(low), v4(high), v4(low.saturating_sub(1)), v4(high.saturating_add(1))]);
            }
            (IpAddr::V6(low), IpAddr::V6(high)) => {
                let (low, high) = (u128::from(low), u128::from(high));
                all.extend([v6(low), v6(high), v6(low.saturating_sub(1)), v6(high.saturating_add(1))]);
            }
            _ => {}
        }
    }
    all.retain(|a| Family::of(*a) == family);
    all
}

/// Whether an internet client may have the address; written from the registries, not from the code.
fn client(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !is_private(address) && (1..224).contains(&v4.octets()[0]),
        IpAddr::V6(v6) => (0x2000..0x4000).contains(&v6.segments()[0]),
    }
}

fn family() -> impl Strategy<Value = Family> {
    prop::sample::select(vec![Family::V4, Family::V6])
}

fn route() -> impl Strategy<Value = Route> {
    let target = prop::sample::select(vec![
        RouteTarget::InternetGateway("igw-1".to_owned()),
        RouteTarget::Nat("nat-1".to_owned()),
        RouteTarget::TransitGateway("tgw-1".to_owned()),
        RouteTarget::Appliance("eni-9".to_owned()),
    ]);
    let destination = prop_oneof![
        6 => range().prop_map(|net| RouteDestination::Cidr(net.trunc())),
        1 => Just(RouteDestination::PrefixList("pl-known".to_owned())),
    ];
    (destination, target, any::<bool>(), any::<bool>()).prop_map(|(destination, target, active, propagated)| Route {
        destination,
        target,
        active,
        propagated,
    })
}

/// All routes for an address as (prefix length, kind), best first.
fn candidates(routes: &[Route], address: IpAddr) -> Vec<(u8, u8, &Route)> {
    let mut all = Vec::new();
    for route in routes {
        let nets = match &route.destination {
            RouteDestination::Cidr(net) => vec![*net],
            RouteDestination::PrefixList(_) => {
                vec!["203.0.64.0/18".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()]
            }
        };
        let kind = match (&route.destination, route.propagated) {
            (RouteDestination::Cidr(_), false) => 2,
            (RouteDestination::PrefixList(_), false) => 1,
            (_, true) => 0,
        };
        all.extend(nets.iter().filter(|n| inside(n, address)).map(|n| (n.prefix_len(), kind, route)));
    }
    all.sort_by_key(|(length, kind, _)| std::cmp::Reverse((*length, *kind)));
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn groups_admit_what_any_rule_admits(rules in prop::collection::vec(sg_rule(), 0..8), source in address()) {
        let decision = ask(&rules, Sources::One(source), &flow(source));
        let expected = group_admits(&rules, source);
        prop_assert_eq!(matches!(decision, SgDecision::Allowed { .. }), expected);
        prop_assert_eq!(matches!(decision, SgDecision::Denied { .. }), !expected);
    }

    #[test]
    fn groups_decide_for_an_unknown_client_only_what_holds_for_all(rules in prop::collection::vec(sg_rule(), 0..5), family in family()) {
        let packet = Flow { source: None, ..flow("203.0.113.1".parse().unwrap()) };
        let decision = ask(&rules, Sources::Internet(family), &packet);
        let mut nets: Vec<IpNet> = rules.iter().filter_map(|r| if let SgPeer::Cidr(net) = &r.peer { Some(*net) } else { None }).collect();
        nets.extend(["203.0.64.0/18".parse::<IpNet>().unwrap(), "2001:db8:1::/48".parse().unwrap()]);
        nets.extend(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"].map(|n| n.parse::<IpNet>().unwrap()));
        let seen: Vec<bool> = samples(&nets, family).into_iter().filter(|a| client(*a)).map(|a| group_admits(&rules, a)).collect();
        let expected = match (seen.contains(&true), seen.contains(&false)) {
            (true, false) => "allowed",
            (false, _) => "denied",
            (true, true) => "unknown",
        };
        let got = match decision {
            SgDecision::Allowed { .. } => "allowed",
            SgDecision::Denied { .. } => "denied",
            SgDecision::Unknown { .. } => "unknown",
        };
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn the_first_entry_that_matches_decides(acl in acl(), source in address()) {
        let decision = inbound(&acl, &flow(source), Sources::One(source));
        let expected = acl_allows(&acl, false, source, 22);
        prop_assert_eq!(matches!(decision, AclDecision::Allowed { .. }), expected);
        prop_assert_eq!(matches!(decision, AclDecision::Denied { .. }), !expected);
    }

    #[test]
    fn answers_are_judged_on_every_client_port(acl in acl(), source in address()) {
        let decision = outbound(&acl, &flow(source), Sources::One(source));
        let edges = [1024_u16, 1025, 1999, 2000, 2001, 32767, 32768, 40000, 40001, 60999, 61000, 65534, 65535];
        let open: Vec<bool> = edges.iter().map(|port| acl_allows(&acl, true, source, *port)).collect();
        match &decision {
            AclDecision::Allowed { .. } => prop_assert!(open.iter().all(|o| *o)),
            AclDecision::Denied { .. } => prop_assert!(open.iter().all(|o| !*o)),
            AclDecision::Partial { open: ranges, closed, .. } => {
                for (port, open) in edges.iter().zip(&open) {
                    prop_assert_eq!(ranges.iter().any(|(low, high)| low <= port && port <= high), *open);
                    prop_assert_eq!(closed.iter().any(|(low, high)| low <= port && port <= high), !*open);
                }
            }
            other => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn the_most_specific_route_is_taken(routes in prop::collection::vec(route(), 0..8), source in address()) {
        let table = RouteTable { id: "rtb-1".to_owned(), routes: routes.clone(), ..RouteTable::default() };
        let name = TableRef { id: "rtb-1".to_owned(), main: false };
        let decision = decide_route(&table, name, &lists(), Sources::One(source));
        let all = candidates(&routes, source);
        match (all.first(), decision) {
            (None, RouteDecision::Missing { .. }) => {}
            (Some((length, kind, _)), RouteDecision::Via { route, .. } | RouteDecision::Blackhole { route, .. }) => {
                // Two routes of equal rank cannot both exist in AWS: either is right.
                prop_assert!(all.iter().any(|(l, k, r)| (l, k) == (length, kind) && **r == route));
            }
            (expected, got) => prop_assert!(false, "{expected:?} {got:?}"),
        }
    }

    #[test]
    fn a_blackhole_is_never_open(routes in prop::collection::vec(route(), 1..8), source in address()) {
        let table = RouteTable { routes, ..RouteTable::default() };
        let name = TableRef { id: String::new(), main: true };
        match decide_route(&table, name, &lists(), Sources::One(source)) {
            RouteDecision::Via { route, .. } => prop_assert!(route.active),
            RouteDecision::Blackhole { route, .. } => prop_assert!(!route.active),
            _ => {}
        }
    }
}

#[test]
fn local_routes_win_over_longer_ones_that_do_not_inspect() {
    let route = |to: &str, target| Route {
        destination: RouteDestination::Cidr(to.parse().unwrap()),
        target,
        active: true,
        propagated: false,
    };
    let mut table = RouteTable {
        routes: vec![
            route("10.0.0.0/16", RouteTarget::Local),
            route("10.0.1.0/24", RouteTarget::VpnGateway("vgw-1".to_owned())),
        ],
        ..RouteTable::default()
    };
    let to =
        |table: &RouteTable| super::route::best(table, &lists(), "10.0.1.9".parse().unwrap()).map(|r| r.target.clone());
    assert_eq!(to(&table), Some(RouteTarget::Local));
    table.routes.push(route("10.0.1.0/24", RouteTarget::Appliance("eni-9".to_owned())));
    assert_eq!(to(&table), Some(RouteTarget::Appliance("eni-9".to_owned())));
}

#[test]
fn ping_needs_its_own_rules() {
    let rule = |protocol: &str, kind: i32| SgRule {
        rule_id: None,
        protocol: protocol.to_owned(),
        from_port: Some(kind),
        to_port: Some(-1),
        peer: SgPeer::Cidr("0.0.0.0/0".parse().unwrap()),
        description: None,
    };
    let ping = Flow { protocol: Protocol::ping(Family::V4), ..flow("203.0.113.9".parse().unwrap()) };
    let admitted = |r: SgRule| {
        matches!(ask(&[r], Sources::One("203.0.113.9".parse().unwrap()), &ping), SgDecision::Allowed { .. })
    };
    assert!(admitted(rule("icmp", 8)) && admitted(rule("1", -1)) && admitted(everything()));
    assert!(!admitted(rule("icmp", 0)) && !admitted(rule("icmpv6", 8)) && !admitted(rule("tcp", 8)));
}
