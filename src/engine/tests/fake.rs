//! A world and a journal that are data.

use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::aws::{Caller, Image, Instance, InstanceStatus, KeyPair, Subnet};
use crate::core::facts::doors::{RolePolicies, SerialAccess, SessionProof};
use crate::core::facts::host::{Machine, Metrics, WindowsPassword};
use crate::core::facts::inside::Inside;
use crate::core::facts::local::{JumpHost, KnownHosts, SshConfig};
use crate::core::facts::prepared::Prepared;
use crate::core::facts::wire::{Answer, Budget, Offer, SshServer, Tcp};
use crate::core::plan::{Action, Plan, Step};
use crate::core::probe::ProbeId;
use crate::core::vpc::types::{SecurityGroup, SgPeer, SgRule};
use crate::engine::diagnose::Request;
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::inventory::InventoryEvent;
use crate::engine::journal::{self, Entry, Journal, Line, LineEvent};
use crate::engine::world::{Observation, Performed, Settled, StepContext, World};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

pub(super) const ADDRESS: &str = "203.0.113.7";

/// What a probe of the fake world does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Answers.
    Well,
    /// Says why it cannot.
    Badly,
    /// Never answers.
    Hangs,
    /// Comes back without any observation.
    Nothing,
}

pub(super) struct Fake {
    pub(super) how: BTreeMap<ProbeId, How>,
    pub(super) millis: BTreeMap<ProbeId, u64>,
    /// Outcomes of one TCP connect after the other; the last one stays.
    pub(super) tcp: Mutex<VecDeque<Tcp>>,
    /// Whether the instance is found without an image, a key pair, groups.
    pub(super) bare: bool,
    pub(super) group_names_list: bool,
    /// What comes of the jump host.
    pub(super) jump: JumpHost,
    pub(super) proxy_command: Option<String>,
    /// Probes with the milliseconds at which they began and were dropped or ended.
    pub(super) begun: Mutex<Vec<(ProbeId, u64)>>,
    pub(super) ended: Arc<Mutex<Vec<(ProbeId, u64)>>>,
    /// What happened, in order: shared with the journal.
    pub(super) log: Arc<Mutex<Vec<String>>>,
    /// Deeds that fail.
    pub(super) refuses: BTreeSet<String>,
    /// Kind of their failure.
    pub(super) refusal: FailureKind,
    /// Undos that are known to be refused ahead of time.
    pub(super) foreseen: BTreeSet<String>,
    /// What became of a step without an answer.
    pub(super) settled: Settled,
    started: Instant,
    calls: AtomicU64,
}

impl Fake {
    pub(super) fn new() -> Self {
        Self {
            how: BTreeMap::new(),
            millis: BTreeMap::new(),
            tcp: Mutex::new(VecDeque::from([Tcp::Connected { millis: 20 }])),
            bare: false,
            group_names_list: false,
            jump: JumpHost::default(),
            proxy_command: None,
            begun: Mutex::default(),
            ended: Arc::default(),
            log: Arc::default(),
            refuses: BTreeSet::new(),
            refusal: FailureKind::Failed,
            foreseen: BTreeSet::new(),
            settled: Settled::NotDone,
            started: Instant::now(),
            calls: AtomicU64::new(0),
        }
    }

    pub(super) fn began(&self, probe: ProbeId) -> Option<u64> {
        self.begun.lock().unwrap().iter().find(|(p, _)| *p == probe).map(|(_, at)| *at)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap()
    }

    fn seen(&self, probe: ProbeId, facts: &Facts) -> Vec<Observation> {
        let why = || Why::failed(probe.title(), "the test says so");
        let bad = self.how.get(&probe) == Some(&How::Badly);
        macro_rules! fact {
            ($value:expr) => {
                if bad { Fact::unknown(why()) } else { Fact::known($value, "fake") }
            };
        }
        let address = ADDRESS.parse().unwrap();
        let list = || SgRule {
            rule_id: None,
            protocol: "tcp".to_owned(),
            from_port: Some(22),
            to_port: Some(22),
            peer: SgPeer::PrefixList("pl-1".to_owned()),
            description: None,
        };
        vec![match probe {
            ProbeId::SshConfig => Observation::SshConfig(fact!(SshConfig {
                proxy_command: self.proxy_command.clone(),
                ..SshConfig::default()
            })),
            ProbeId::Dns => Observation::Dns(fact!(vec![])),
            ProbeId::SourceIp => Observation::SourceIp(fact!("198.51.100.7".parse().unwrap())),
            ProbeId::Keys => Observation::Keys(Vec::new(), Vec::new()),
            ProbeId::Agent => Observation::Agent(fact!(Vec::new())),
            ProbeId::KnownHosts => Observation::KnownHosts(fact!(KnownHosts::default())),
            ProbeId::Caller => Observation::Caller(fact!(Caller::default())),
            ProbeId::Instance => Observation::Instance(fact!(self.instance())),
            ProbeId::Status => Observation::Status(fact!(InstanceStatus::default())),
            ProbeId::Interfaces => Observation::Interfaces(fact!(Vec::new())),
            ProbeId::SecurityGroups => Observation::Groups(fact!(vec![SecurityGroup {
                id: "sg-1".to_owned(),
                inbound: if self.group_names_list { vec![list()] } else { vec![] },
                ..SecurityGroup::default()
            }])),
            ProbeId::NetworkAcls => Observation::Acls(fact!(Vec::new())),
            ProbeId::RouteTables => Observation::RouteTables(fact!(Vec::new())),
            ProbeId::InternetGateways => Observation::Gateways(fact!(Vec::new())),
            ProbeId::Subnet => Observation::Subnet(fact!(Subnet::default())),
            ProbeId::PrefixLists => Observation::PrefixLists(fact!(BTreeMap::new())),
            ProbeId::KeyPair => Observation::KeyPair(fact!(Some(KeyPair::default()))),
            ProbeId::Image => Observation::Image(fact!(Some(Image::default()))),
            ProbeId::Console => Observation::Console(fact!(String::new())),
            ProbeId::Ssm => Observation::Ssm(fact!(None)),
            ProbeId::Machine => Observation::Machine(fact!(Machine::default())),
            ProbeId::CreditMode => Observation::CreditMode(fact!("standard".to_owned())),
            ProbeId::Metrics => Observation::Metrics(fact!(Metrics::default())),
            ProbeId::Volumes => Observation::Volumes(fact!(Vec::new())),
            ProbeId::StopProtection => Observation::StopProtection(fact!(false)),
            ProbeId::UserData => Observation::UserData(fact!(None)),
            ProbeId::Spot => Observation::Spot(fact!(None)),
            ProbeId::WindowsPassword => Observation::WindowsPassword(fact!(WindowsPassword::default())),
            ProbeId::Automations => Observation::Automations(fact!(Vec::new())),
            ProbeId::Connection => Observation::Connection(fact!("notconnected".to_owned())),
            ProbeId::HostManagement => Observation::HostManagement(fact!(None)),
            ProbeId::Endpoints => Observation::Endpoints(fact!(Vec::new())),
            ProbeId::Role => Observation::Role(fact!(None)),
            ProbeId::RolePolicies => Observation::RolePolicies(fact!(RolePolicies::default())),
            ProbeId::ConnectEndpoints => Observation::ConnectEndpoints(fact!(Vec::new())),
            ProbeId::EndpointGroups => Observation::EndpointGroups(fact!(Vec::new())),
            ProbeId::SerialAccess => Observation::SerialAccess(fact!(SerialAccess::default())),
            ProbeId::Session => Observation::Session(fact!(SessionProof::default())),
            ProbeId::SshVersion => Observation::SshVersion(fact!("OpenSSH_9.6p1".to_owned())),
            ProbeId::Control => Observation::Control(fact!(None)),
            ProbeId::Jump => Observation::Jump(Box::new(fact!(self.jump.clone()))),
            ProbeId::Inside => Observation::Inside(Box::new(fact!(Inside::default()))),
            ProbeId::Tcp => {
                let mut next = self.tcp.lock().unwrap();
                let tcp = if next.len() > 1 { next.pop_front() } else { next.front().cloned() };
                Observation::Tcp(facts.address().unwrap_or(address), 22, fact!(tcp.unwrap()))
            }
            ProbeId::Ssh => {
                let server = SshServer::Ready {
                    banner: "SSH-2.0-OpenSSH_9.6".to_owned(),
                    host_key_type: "ssh-ed25519".to_owned(),
                    host_key: "SHA256:h".to_owned(),
                };
                let offer = Offer {
                    user: "ec2-user".to_owned(),
                    key: None,
                    fingerprint: None,
                    answer: Answer::LoggedIn,
                    methods: Vec::new(),
                    banner: None,
                };
                Observation::Ssh(fact!(server), if bad { vec![] } else { vec![offer] }, Budget { used: 1, cap: 3 })
            }
        }]
    }

    fn instance(&self) -> Instance {
        let some = |text: &str| Some(text.to_owned()).filter(|_| !self.bare);
        Instance {
            id: "i-0a1b2c3d4e5f60718".to_owned(),
            region: "eu-west-1".to_owned(),
            state: "running".to_owned(),
            public_ip: Some(ADDRESS.parse().unwrap()).filter(|_| !self.bare),
            vpc_id: some("vpc-1"),
            subnet_id: some("subnet-1"),
            image_id: some("ami-1"),
            key_name: some("web"),
            groups: if self.bare { vec![] } else { vec![("sg-1".to_owned(), "web".to_owned())] },
            ..Instance::default()
        }
    }
}

/// Notes the end of a probe, whether it answered or was dropped.
struct Mark(Arc<Mutex<Vec<(ProbeId, u64)>>>, ProbeId, Instant);

impl Drop for Mark {
    fn drop(&mut self) {
        self.0.lock().unwrap().push((self.1, u64::try_from(self.2.elapsed().as_millis()).unwrap()));
    }
}

impl World for Fake {
    fn observe(&self, probe: ProbeId, facts: Arc<Facts>) -> BoxFuture<'_, Vec<Observation>> {
        async move {
            let _mark = Mark(Arc::clone(&self.ended), probe, self.started);
            self.begun.lock().unwrap().push((probe, self.now()));
            if probe.is_aws() {
                self.calls.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(self.millis.get(&probe).copied().unwrap_or(10))).await;
            match self.how.get(&probe) {
                Some(How::Hangs) => std::future::pending().await,
                Some(How::Nothing) => Vec::new(),
                _ => self.seen(probe, &facts),
            }
        }
        .boxed()
    }

    fn inventory(&self, _out: UnboundedSender<InventoryEvent>) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }

    fn preflight(&self, plan: Plan) -> BoxFuture<'_, Plan> {
        async { plan }.boxed()
    }

    fn prepare(&self, _fix: &str, _facts: Arc<Facts>) -> BoxFuture<'_, Prepared> {
        async { Prepared::default() }.boxed()
    }

    fn foresee(&self, undo: Action) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            let name = name_of(&undo);
            if self.foreseen.contains(&name) {
                return Err(Failure::new(FailureKind::Refused, format!("do {name}"), "it is foreseen", ""));
            }
            Ok(())
        }
        .boxed()
    }

    fn settle(&self, action: Action, _step: StepContext) -> BoxFuture<'_, Settled> {
        self.log.lock().unwrap().push(format!("settle {}", name_of(&action)));
        async { self.settled.clone() }.boxed()
    }

    fn perform(&self, action: Action, _step: StepContext) -> BoxFuture<'_, Result<Performed, Failure>> {
        async move {
            let name = name_of(&action);
            self.log.lock().unwrap().push(format!("perform {name}"));
            if self.refuses.contains(&name) {
                return Err(Failure::new(self.refusal, format!("do {name}"), "the test says so", "try again"));
            }
            Ok(Performed {
                text: format!("did {name}"),
                undo: Some(opposite(&action)),
                changed: true,
                ..Performed::default()
            })
        }
        .boxed()
    }

    fn api_calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

fn opposite(action: &Action) -> Action {
    match action.clone() {
        Action::Chmod { path, from, to } => Action::Chmod { path, from: to, to: from },
        Action::StartInstance { region, instance } => Action::StopInstance { region, instance },
        other => other,
    }
}

/// `a 644→400` of a chmod.
pub(super) fn name_of(action: &Action) -> String {
    match action {
        Action::Chmod { path, from, to } => format!("{path} {from:o}→{to:o}"),
        Action::StartInstance { instance, .. } => format!("start {instance}"),
        Action::StopInstance { instance, .. } => format!("stop {instance}"),
        other => format!("{other:?}"),
    }
}

/// A journal in memory; what it writes is in the log.
pub(super) struct Notes {
    pub(super) lines: Mutex<Vec<Line>>,
    pub(super) log: Arc<Mutex<Vec<String>>>,
    /// Lines after which nothing can be written any more.
    pub(super) room: Mutex<usize>,
}

impl Notes {
    pub(super) fn new(world: &Fake) -> Self {
        Self { lines: Mutex::default(), log: Arc::clone(&world.log), room: Mutex::new(usize::MAX) }
    }

    fn write(&self, entry: &str, event: LineEvent) -> Result<(), Failure> {
        let mut room = self.room.lock().unwrap();
        if *room == 0 {
            return Err(Failure::failed("write the journal", "no space left on device", "make room"));
        }
        *room -= 1;
        let kind = serde_json::to_value(&event).unwrap()["event"].as_str().unwrap().to_owned();
        self.log.lock().unwrap().push(format!("write {kind}"));
        self.lines.lock().unwrap().push(Line { entry: entry.to_owned(), at: 1, event });
        Ok(())
    }
}

impl Journal for Notes {
    fn begin(&self, plan: &Plan) -> Result<String, Failure> {
        let id = format!(
            "e{}",
            self.lines.lock().unwrap().iter().filter(|l| matches!(l.event, LineEvent::Begun { .. })).count() + 1
        );
        self.write(&id, LineEvent::Begun { plan: Box::new(plan.clone()) })?;
        Ok(id)
    }

    fn append(&self, entry: &str, event: LineEvent) -> Result<(), Failure> {
        self.write(entry, event)
    }

    fn end(&self, _entry: &str) {
        self.log.lock().unwrap().push("unlock".to_owned());
    }

    fn entries(&self) -> Result<Vec<Entry>, Failure> {
        Ok(journal::entries(&self.lines.lock().unwrap()))
    }
}

/// A plan that changes the mode of each file, then looks.
pub(super) fn plan(files: &[&str], verify: &[&str]) -> Plan {
    let step = |path: &&str| Step {
        text: format!("chmod {path}"),
        command: format!("chmod 0400 {path}"),
        undo: Some(format!("chmod 0644 {path}")),
        action: Some(Action::Chmod { path: (*path).to_owned(), from: 0o644, to: 0o400 }),
    };
    let mut steps: Vec<Step> = files.iter().map(step).collect();
    steps.push(Step { text: "look again".to_owned(), command: "ls -l".to_owned(), undo: None, action: None });
    Plan {
        steps,
        verify: verify.iter().map(|v| (*v).to_owned()).collect(),
        ..Plan::new("key-chmod", "t", "file a", "a")
    }
}

pub(super) fn request(target: &str) -> Request {
    let mut request = Request {
        target: crate::core::target::Target::parse(target).unwrap(),
        now: 1_800_000_000,
        ..Request::default()
    };
    request.target.user = Some("ec2-user".to_owned());
    request
}
