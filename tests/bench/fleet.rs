//! A fleet of 5,000 instances, measured: `cargo bench --bench fleet`. No test: a busy machine must fail nothing.
//!
//! - `fleet/judge/5000`: every instance judged from the lists of its Region
//! - `fleet/run/5000`: the engine from the first list to the last row, in a world that answers at once and dials nobody
//! - `fleet/key-and-frame/5000`: one key in the list on the screen, and the frame after it (aim: under 16 ms)
//! - `fleet/rows-and-frame/5000`: fifty changed rows grouped anew, and the frame after them

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use port22::core::fact::{Fact, Why};
use port22::core::facts::aws::{Caller, Instance, InstanceStatus, Interface, InterfaceAddress, SsmAgent, Subnet};
use port22::core::facts::inside::Inside;
use port22::core::facts::local::SshConfig;
use port22::core::fleet::{Asked, Index, Knock, Place, RegionFacts, Row, Seen, row};
use port22::core::vpc::types::{
    AclEntry, InternetGateway, NetworkAcl, Route, RouteDestination, RouteTable, RouteTarget, SecurityGroup, SgPeer,
    SgRule,
};
use port22::engine::fleet::{FleetEvent, FleetWorld, Whom, Wish, run};
use port22::tui::model::{Model, Screen};
use port22::tui::msg::Msg;
use port22::tui::update::update;
use port22::tui::{Settings, view};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

const COUNT: u32 = 5_000;
/// Subnets, each with a table and an ACL, and security groups of the Region.
const SUBNETS: u32 = 60;
const GROUPS: u32 = 400;

fn instance(n: u32) -> Instance {
    let private: IpAddr = Ipv4Addr::from(0x0a00_0000 + n).into();
    let public: Option<IpAddr> = (!n.is_multiple_of(3)).then(|| Ipv4Addr::from(0xc612_0000 + n).into());
    let group = format!("sg-{}", n % GROUPS);
    let subnet = format!("subnet-{}", n % SUBNETS);
    Instance {
        id: format!("i-{n:017x}"),
        name: Some(format!("web-{n}")),
        region: "eu-west-1".to_owned(),
        state: "running".to_owned(),
        private_ip: Some(private),
        public_ip: public,
        vpc_id: Some("vpc-1".to_owned()),
        subnet_id: Some(subnet.clone()),
        groups: vec![(group.clone(), group.clone())],
        interfaces: vec![Interface {
            id: format!("eni-{n:017x}"),
            subnet_id: Some(subnet),
            vpc_id: Some("vpc-1".to_owned()),
            addresses: vec![InterfaceAddress { private, public, primary: true }],
            groups: vec![group],
            ..Interface::default()
        }],
        launched: Some(1_700_000_000),
        ..Instance::default()
    }
}

fn lists() -> RegionFacts {
    let all: ipnet::IpNet = "0.0.0.0/0".parse().expect("a range");
    let rule = |n: u32| SgRule {
        rule_id: None,
        protocol: "tcp".to_owned(),
        from_port: Some(22),
        to_port: Some(22),
        peer: SgPeer::Cidr(if n.is_multiple_of(4) { all } else { "198.51.100.0/24".parse().expect("a range") }),
        description: None,
    };
    let entry = |egress| AclEntry {
        number: 100,
        egress,
        allow: true,
        protocol: "-1".to_owned(),
        cidr: all,
        ports: None,
        icmp: None,
    };
    let route = || Route {
        destination: RouteDestination::Cidr(all),
        target: RouteTarget::InternetGateway("igw-1".to_owned()),
        active: true,
        propagated: false,
    };
    let status = InstanceStatus { system: "ok".to_owned(), instance: "ok".to_owned(), ..InstanceStatus::default() };
    let agent = SsmAgent { ping: "Online".to_owned(), ..SsmAgent::default() };
    let id = |n: u32| format!("i-{n:017x}");
    let groups = (0..GROUPS).map(|n| SecurityGroup {
        id: format!("sg-{n}"),
        inbound: (0..10).map(|_| rule(n)).collect(),
        ..SecurityGroup::default()
    });
    let acls = (0..SUBNETS).map(|n| NetworkAcl {
        id: format!("acl-{n}"),
        subnets: vec![format!("subnet-{n}")],
        entries: vec![entry(false), entry(true)],
        ..NetworkAcl::default()
    });
    let tables = (0..SUBNETS).map(|n| RouteTable {
        id: format!("rtb-{n}"),
        vpc_id: Some("vpc-1".to_owned()),
        main: n == 0,
        subnets: vec![format!("subnet-{n}")],
        routes: vec![route()],
        ..RouteTable::default()
    });
    let subnets =
        (0..SUBNETS).map(|n| Subnet { id: format!("subnet-{n}"), vpc_id: "vpc-1".to_owned(), ..Subnet::default() });
    RegionFacts {
        caller: Fact::known(Caller { account: "111122223333".to_owned(), ..Caller::default() }, "bench"),
        status: Fact::known((0..COUNT).map(|n| (id(n), status.clone())).collect::<BTreeMap<_, _>>(), "bench"),
        groups: Fact::known(groups.collect(), "bench"),
        acls: Fact::known(acls.collect(), "bench"),
        route_tables: Fact::known(tables.collect(), "bench"),
        internet_gateways: Fact::known(
            vec![InternetGateway { id: "igw-1".to_owned(), attached_to: Some("vpc-1".to_owned()) }],
            "bench",
        ),
        subnets: Fact::known(subnets.collect(), "bench"),
        prefix_lists: Fact::NotAsked,
        agents: Fact::known((0..COUNT).step_by(2).map(|n| (id(n), agent.clone())).collect::<BTreeMap<_, _>>(), "bench"),
        connect_endpoints: Fact::known(Vec::new(), "bench"),
    }
}

fn place() -> Place {
    Place { profile: None, region: "eu-west-1".to_owned() }
}

fn own() -> Fact<IpAddr> {
    Fact::known(Ipv4Addr::new(203, 0, 113, 10).into(), "bench")
}

fn judged() -> Vec<Row> {
    let (index, asked) = (Index::new(lists()), Asked { now: 1_800_000_000, ..Asked::default() });
    let seen = Seen { source_ip: own(), ..Seen::default() };
    (0..COUNT).map(|n| row(&place(), &instance(n), &index, &asked, &seen)).collect()
}

struct AtOnce;

impl FleetWorld for AtOnce {
    fn places(&self) -> Vec<Place> {
        vec![place()]
    }
    fn lists(&self, _: Place) -> BoxFuture<'_, RegionFacts> {
        async { lists() }.boxed()
    }
    fn instances(&self, _: Place, out: UnboundedSender<Vec<Instance>>) -> BoxFuture<'_, Result<(), Why>> {
        async move {
            for first in (0..COUNT).step_by(1000) {
                let _ = out.send((first..first + 1000).map(instance).collect());
            }
            Ok(())
        }
        .boxed()
    }
    fn source_ip(&self, _: Option<IpAddr>) -> BoxFuture<'_, Fact<IpAddr>> {
        async { own() }.boxed()
    }
    fn config(&self, _: &Instance) -> Fact<SshConfig> {
        Fact::NotAsked
    }
    fn may_knock(&self, _: IpAddr) -> bool {
        false
    }
    fn knock(&self, _: IpAddr, _: u16) -> BoxFuture<'_, Knock> {
        async { Knock::default() }.boxed()
    }
    fn look(
        &self,
        _: Place,
        _: Vec<String>,
        _: Whom,
        _: String,
        _: UnboundedSender<(String, Fact<Inside>)>,
    ) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
    fn api_calls(&self) -> u64 {
        0
    }
}

fn judging(c: &mut Criterion) {
    let index = Index::new(lists());
    let asked = Asked { now: 1_800_000_000, ..Asked::default() };
    let seen = Seen { source_ip: own(), ..Seen::default() };
    let all: Vec<Instance> = (0..COUNT).map(instance).collect();
    let mut group = c.benchmark_group("fleet");
    group.sample_size(10);
    group.bench_function("judge/5000", |b| {
        b.iter(|| all.iter().map(|i| row(&place(), black_box(i), &index, &asked, &seen)).collect::<Vec<_>>());
    });
    let runtime = Runtime::new().expect("a runtime");
    group.bench_function("run/5000", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let (out, mut events) = unbounded_channel();
                let end = run(Arc::new(AtOnce), Wish { probe: true, ..Wish::default() }, out, CancellationToken::new());
                let end = end.await;
                assert_eq!(end.judged, COUNT as usize);
                let mut rows = 0;
                while let Some(event) = events.recv().await {
                    if let FleetEvent::Rows(some) = event {
                        rows += some.len();
                    }
                }
                rows
            })
        });
    });
    group.finish();
}

fn press(model: &mut Model, code: KeyCode) {
    update(model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)));
}

fn shown(rows: &[Row]) -> Model {
    let mut model = Model::new(Settings::default(), (120, 40));
    press(&mut model, KeyCode::Char('f'));
    tell(&mut model, rows.to_vec());
    press(&mut model, KeyCode::Enter);
    model
}

fn tell(model: &mut Model, rows: Vec<Row>) {
    let Some(Screen::Fleet(list)) = model.stack.last() else { return };
    let (run, rows) = (list.run, rows.into_iter().map(|row| (row, true)).collect());
    update(model, Msg::Fleet { run, event: FleetEvent::Rows(rows) });
}

fn showing(c: &mut Criterion) {
    let rows = judged();
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).expect("a screen");
    c.bench_function("fleet/key-and-frame/5000", |b| {
        b.iter_batched_ref(
            || shown(&rows),
            |model| {
                press(model, KeyCode::Down);
                terminal.draw(|frame| view::draw(model, frame)).expect("a frame");
            },
            BatchSize::LargeInput,
        );
    });
    c.bench_function("fleet/rows-and-frame/5000", |b| {
        b.iter_batched_ref(
            || shown(&rows),
            |model| {
                tell(model, rows[..50].to_vec());
                terminal.draw(|frame| view::draw(model, frame)).expect("a frame");
            },
            BatchSize::LargeInput,
        );
    });
}

criterion_group!(benches, judging, showing);
criterion_main!(benches);
