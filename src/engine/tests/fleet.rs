//! The fleet against a world of data, on a paused clock: streams, limits, cancellation, looks inside.

use crate::core::fact::{Fact, Why};
use crate::core::facts::aws::{Caller, Instance, Interface, InterfaceAddress, SsmAgent, Subnet};
use crate::core::facts::inside::Inside;
use crate::core::facts::local::SshConfig;
use crate::core::facts::wire::Tcp;
use crate::core::fleet::{Greeting, Knock, Place, Reach, RegionFacts, Row};
use crate::core::vpc::types::{
    AclEntry, InternetGateway, NetworkAcl, Route, RouteDestination, RouteTable, RouteTarget, SecurityGroup, SgPeer,
    SgRule,
};
use crate::engine::fleet::{FleetEvent, FleetWorld, Progress, Whom, Wish, run};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Regions of some instances each. Those with an even number are let in by their group.
struct Herd {
    regions: Vec<&'static str>,
    each: u32,
    /// A Region whose instances may not be listed.
    denied: Option<&'static str>,
    /// Whether a connection ever answers.
    hangs: bool,
    calls: AtomicU64,
    open: AtomicUsize,
    most: AtomicUsize,
    /// When each connection began, and to whom.
    knocked: Mutex<Vec<(Instant, IpAddr)>>,
    looks: Mutex<Vec<Vec<String>>>,
}

impl Herd {
    fn new(regions: &[&'static str], each: u32) -> Self {
        Self {
            regions: regions.to_vec(),
            each,
            denied: None,
            hangs: false,
            calls: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            knocked: Mutex::default(),
            looks: Mutex::default(),
        }
    }

    fn instance(region: &str, n: u32) -> Instance {
        let private: IpAddr = Ipv4Addr::from(0x0a00_0100 + n).into();
        let public: Option<IpAddr> = Some(Ipv4Addr::from(0xc633_6400 + n).into());
        let group = if n.is_multiple_of(2) { "sg-open" } else { "sg-none" };
        Instance {
            id: format!("i-{region}-{n}"),
            region: region.to_owned(),
            state: if n % 10 == 9 { "stopped" } else { "running" }.to_owned(),
            private_ip: Some(private),
            public_ip: public.filter(|_| n % 10 != 9),
            vpc_id: Some("vpc-1".to_owned()),
            subnet_id: Some("subnet-1".to_owned()),
            groups: vec![(group.to_owned(), group.to_owned())],
            interfaces: vec![Interface {
                subnet_id: Some("subnet-1".to_owned()),
                vpc_id: Some("vpc-1".to_owned()),
                addresses: vec![InterfaceAddress { private, public, primary: true }],
                groups: vec![group.to_owned()],
                ..Interface::default()
            }],
            ..Instance::default()
        }
    }
}

fn lists(region: &str, each: u32) -> RegionFacts {
    let all: ipnet::IpNet = "0.0.0.0/0".parse().unwrap();
    let rule = SgRule {
        rule_id: None,
        protocol: "tcp".to_owned(),
        from_port: Some(22),
        to_port: Some(22),
        peer: SgPeer::Cidr(all),
        description: None,
    };
    let group = |id: &str, inbound| SecurityGroup { id: id.to_owned(), inbound, ..SecurityGroup::default() };
    let entry = |egress| AclEntry {
        number: 100,
        egress,
        allow: true,
        protocol: "-1".to_owned(),
        cidr: all,
        ports: None,
        icmp: None,
    };
    let route = Route {
        destination: RouteDestination::Cidr(all),
        target: RouteTarget::InternetGateway("igw-1".to_owned()),
        active: true,
        propagated: false,
    };
    let online = |n| (format!("i-{region}-{n}"), SsmAgent { ping: "Online".to_owned(), ..SsmAgent::default() });
    let known = "fake";
    RegionFacts {
        caller: Fact::known(Caller { account: "111122223333".to_owned(), ..Caller::default() }, known),
        status: Fact::unknown(Why::needs("nothing")),
        groups: Fact::known(vec![group("sg-open", vec![rule]), group("sg-none", Vec::new())], known),
        acls: Fact::known(
            vec![NetworkAcl {
                subnets: vec!["subnet-1".to_owned()],
                entries: vec![entry(false), entry(true)],
                ..NetworkAcl::default()
            }],
            known,
        ),
        route_tables: Fact::known(
            vec![RouteTable {
                vpc_id: Some("vpc-1".to_owned()),
                main: true,
                routes: vec![route],
                ..RouteTable::default()
            }],
            known,
        ),
        internet_gateways: Fact::known(
            vec![InternetGateway { id: "igw-1".to_owned(), attached_to: Some("vpc-1".to_owned()) }],
            known,
        ),
        subnets: Fact::known(
            vec![Subnet { id: "subnet-1".to_owned(), vpc_id: "vpc-1".to_owned(), ..Subnet::default() }],
            known,
        ),
        prefix_lists: Fact::NotAsked,
        // Every fifth has an agent.
        agents: Fact::known((0..each).step_by(5).map(online).collect::<BTreeMap<_, _>>(), known),
        connect_endpoints: Fact::known(Vec::new(), known),
    }
}

impl FleetWorld for Herd {
    fn places(&self) -> Vec<Place> {
        self.regions.iter().map(|r| Place { profile: None, region: (*r).to_owned() }).collect()
    }

    fn lists(&self, place: Place) -> BoxFuture<'_, RegionFacts> {
        async move {
            self.calls.fetch_add(9, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(100)).await;
            lists(&place.region, self.each)
        }
        .boxed()
    }

    fn instances(&self, place: Place, out: UnboundedSender<Vec<Instance>>) -> BoxFuture<'_, Result<(), Why>> {
        async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            if self.denied == Some(place.region.as_str()) {
                return Err(Why::Denied { action: "ec2:DescribeInstances".to_owned(), reason: String::new() });
            }
            let all: Vec<Instance> = (0..self.each).map(|n| Self::instance(&place.region, n)).collect();
            for page in all.chunks(1000) {
                let _ = out.send(page.to_vec());
            }
            Ok(())
        }
        .boxed()
    }

    fn source_ip(&self, _: Option<IpAddr>) -> BoxFuture<'_, Fact<IpAddr>> {
        async { Fact::known("203.0.113.10".parse().unwrap(), "fake") }.boxed()
    }

    fn config(&self, _: &Instance) -> Fact<SshConfig> {
        Fact::NotAsked
    }

    fn may_knock(&self, _: IpAddr) -> bool {
        true
    }

    fn knock(&self, address: IpAddr, _: u16) -> BoxFuture<'_, Knock> {
        async move {
            self.knocked.lock().unwrap().push((Instant::now(), address));
            let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(open, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(if self.hangs { 3600 } else { 2 })).await;
            self.open.fetch_sub(1, Ordering::SeqCst);
            Knock {
                tcp: Fact::known(Tcp::Connected { millis: 9 }, "fake"),
                greeting: Some(Greeting::Ssh("SSH-2.0-fake".to_owned())),
            }
        }
        .boxed()
    }

    fn look(
        &self,
        _: Place,
        ids: Vec<String>,
        _: Whom,
        script: String,
        out: UnboundedSender<(String, Fact<Inside>)>,
    ) -> BoxFuture<'_, ()> {
        async move {
            assert!(script.contains("p22_main"));
            // Nothing is heard of the first one.
            for id in ids.iter().skip(1) {
                let _ = out.send((id.clone(), Fact::known(Inside::default(), "fake")));
            }
            self.looks.lock().unwrap().push(ids);
        }
        .boxed()
    }

    fn api_calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

struct Seen {
    rows: BTreeMap<String, Row>,
    settled: BTreeMap<String, usize>,
    failures: usize,
    end: Progress,
}

async fn look(world: &Arc<Herd>, wish: Wish, cancel_after: Option<Duration>) -> Seen {
    let (out, mut events) = unbounded_channel();
    let cancel = CancellationToken::new();
    if let Some(after) = cancel_after {
        let cancel = cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            cancel.cancel();
        });
    }
    let world: Arc<dyn FleetWorld> = Arc::clone(world) as _;
    let end = run(world, wish, out, cancel).await;
    let mut seen = Seen { rows: BTreeMap::new(), settled: BTreeMap::new(), failures: 0, end };
    while let Some(event) = events.recv().await {
        match event {
            FleetEvent::Rows(rows) => {
                for (row, settled) in rows {
                    *seen.settled.entry(row.id.clone()).or_default() += usize::from(settled);
                    seen.rows.insert(row.id.clone(), row);
                }
            }
            FleetEvent::Failed(_) => seen.failures += 1,
            FleetEvent::Progress(_) | FleetEvent::Ended(_) => {}
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn every_instance_is_settled_once_and_ports_are_tried_at_a_limited_rate() {
    let world = Arc::new(Herd::new(&["a", "b", "c"], 100));
    let seen = look(&world, Wish { probe: true, ..Wish::default() }, None).await;
    assert_eq!((seen.rows.len(), seen.end.judged), (300, 300));
    assert!(seen.settled.values().all(|n| *n == 1), "{:?}", seen.settled);
    // A tenth is stopped and is not dialled.
    assert_eq!(seen.end.knocks, (270, 270));
    assert_eq!(seen.end.looks, (0, 0));
    assert!(world.most.load(Ordering::SeqCst) <= 50, "{}", world.most.load(Ordering::SeqCst));
    let knocked = world.knocked.lock().unwrap();
    for (begin, _) in knocked.iter() {
        let within = |at: &Instant| *at >= *begin && at.duration_since(*begin) < Duration::from_secs(1);
        let second = knocked.iter().filter(|(at, _)| within(at)).count();
        assert!(second <= 51, "{second} in a second");
    }
    assert!(seen.rows.values().filter(|r| r.state == "running").all(|r| r.reachable == Reach::Yes));
    assert!(seen.rows.values().filter(|r| r.state == "stopped").all(|r| r.reachable == Reach::No));
}

#[tokio::test(start_paused = true)]
async fn what_the_rules_leave_open_is_tried_first() {
    let world = Arc::new(Herd::new(&["a"], 100));
    look(&world, Wish { probe: true, ..Wish::default() }, None).await;
    let knocked = world.knocked.lock().unwrap();
    let even = |(_, address): &(Instant, IpAddr)| matches!(address, IpAddr::V4(a) if a.octets()[3].is_multiple_of(2));
    assert!(knocked[..50].iter().all(even), "{knocked:?}");
    assert!(!knocked[50..].iter().any(even), "{knocked:?}");
}

#[tokio::test(start_paused = true)]
async fn the_calls_do_not_grow_with_the_instances() {
    let mut calls = Vec::new();
    for each in [10, 120] {
        let world = Arc::new(Herd::new(&["a", "b"], each));
        let seen = look(&world, Wish::default(), None).await;
        assert_eq!(seen.rows.len(), 2 * each as usize);
        assert!(world.knocked.lock().unwrap().is_empty(), "without --probe nobody is dialled");
        calls.push(seen.end.api_calls);
    }
    assert_eq!(calls, [20, 20]);
}

#[tokio::test(start_paused = true)]
async fn a_region_that_may_not_be_listed_does_not_hold_up_the_rest() {
    let world = Arc::new(Herd { denied: Some("b"), ..Herd::new(&["a", "b", "c"], 10) });
    let seen = look(&world, Wish::default(), None).await;
    assert_eq!((seen.rows.len(), seen.failures, seen.end.places), (20, 1, (3, 3)));
}

#[tokio::test(start_paused = true)]
async fn what_is_known_stays_when_it_is_stopped() {
    let world = Arc::new(Herd { hangs: true, ..Herd::new(&["a"], 100) });
    let begun = Instant::now();
    let seen = look(&world, Wish { probe: true, ..Wish::default() }, Some(Duration::from_secs(5))).await;
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert!(seen.end.cancelled);
    assert_eq!((seen.rows.len(), seen.end.knocks), (100, (0, 90)));
    // Judged by the lists, and not said to be final where a port was still to be tried.
    assert_eq!(seen.settled.values().sum::<usize>(), 10);
    assert_eq!(world.knocked.lock().unwrap().len(), 50);
}

#[tokio::test(start_paused = true)]
async fn only_with_consent_is_looked_inside_and_only_where_an_agent_is_online() {
    let world = Arc::new(Herd::new(&["a", "b"], 50));
    look(&world, Wish::default(), None).await;
    assert!(world.looks.lock().unwrap().is_empty());
    let seen = look(&world, Wish { inside: Some(Whom::Everyone), ..Wish::default() }, None).await;
    let looks = world.looks.lock().unwrap().clone();
    assert_eq!(looks.len(), 2, "one for each Region: {looks:?}");
    // Every fifth has an agent, and of those the stopped ones are left out.
    assert!(looks.iter().all(|ids| ids.len() == 10), "{looks:?}");
    assert_eq!(seen.end.looks, (20, 20));
    assert!(seen.settled.values().all(|n| *n == 1), "{:?}", seen.settled);
    let silent = &seen.rows[&looks[0][0]];
    assert!(silent.detail.contains("could not look inside"), "{}", silent.detail);
    let heard = &seen.rows[&looks[0][1]];
    assert!(heard.detail.contains("looked inside"), "{}", heard.detail);
    let tagged = Whom::Tag("team".to_owned(), "web".to_owned());
    drop(looks);
    look(&world, Wish { inside: Some(tagged), ..Wish::default() }, None).await;
    assert_eq!(world.looks.lock().unwrap().len(), 2, "none has the tag");
}
