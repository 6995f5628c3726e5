//! The real world: joins the edge's parts into the engine's trait.

use super::aws::{Aws, AwsSettings, PROBE};
use super::fleet::RealFleet;
use super::ssh::{SshKey, SshRequest, Stream, Through, Tunnel};
use super::{
    agent, change, control, dns, jump, keys, known_hosts, passphrase, prepare, source_ip, ssh, ssh_config, tcp,
};
use super::{by_door, profiles, usual_port};
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::facts::local::{ControlSocket, JumpHost, KeyFileState, KeyProbe};
use crate::core::facts::prepared::Prepared;
use crate::core::jump::{Way, inner, way};
use crate::core::plan::{Action, Over, Plan};
use crate::core::probe::ProbeId;
use crate::core::rules;
use crate::core::rules::offering::Candidate;
use crate::core::target::{SSH_PORT, Target, TargetKind};
use crate::engine::failure::Failure;
use crate::engine::fleet::FleetWorld;
use crate::engine::inventory::InventoryEvent;
use crate::engine::scope::{Scope, ScopeEvent};
use crate::engine::secret::Secret;
use crate::engine::terminal::{Opened, Wish};
use crate::engine::world::{Observation, Performed, Settled, StepContext, World};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// Limits of the TCP connect and of each answer of the SSH server.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(8);
/// Limit of a session or a tunnel, greeting included.
const BY_DOOR: Duration = Duration::from_secs(14);
/// Limits at a jump host: two connects and a login must fit into the probe's twenty seconds.
const JUMP: jump::Limits =
    jump::Limits { connect: Duration::from_secs(3), answer: Duration::from_secs(6), login: Duration::from_secs(12) };

/// How the world is reached.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Profile, regions, endpoint.
    pub aws: AwsSettings,
    /// `--source-ip`: then nothing outside is asked for the client's own address.
    pub source_ip: Option<IpAddr>,
    /// `--timeout`: shortens the TCP and SSH limits.
    pub limit: Option<Duration>,
    /// `--read-only`: not even DryRun is asked.
    pub read_only: bool,
    /// Directory of the journal, where it is not the user's own (the practice account).
    pub state: Option<PathBuf>,
}

/// AWS, sockets and files.
pub struct RealWorld {
    aws: Aws,
    settings: Settings,
    /// The connection of the TCP probe, kept for the SSH probe: closing it unused would count as an
    /// attempt without authentication (OpenSSH PerSourcePenalties).
    open: Mutex<Option<(IpAddr, u16, Stream)>>,
    /// The login to the last jump host: its one authentication serves for all connections to the target.
    tunnel: Mutex<Option<Arc<Tunnel>>>,
}

impl RealWorld {
    /// Loads the AWS configuration; sends nothing.
    pub async fn new(settings: Settings) -> Self {
        Self { aws: Aws::load(&settings.aws).await, settings, open: Mutex::new(None), tunnel: Mutex::new(None) }
    }

    /// Regions that are asked.
    pub fn regions(&self) -> &[String] {
        self.aws.regions()
    }

    /// Whether nothing at all may be changed (`--read-only`).
    pub(super) fn read_only(&self) -> bool {
        self.settings.read_only
    }

    /// The AWS profile that was named (`--profile`).
    pub(super) fn profile(&self) -> Option<String> {
        self.settings.aws.profile.clone()
    }

    /// Directory of the journal.
    pub(super) fn state_directory(&self) -> Option<PathBuf> {
        self.settings.state.clone().or_else(super::journal_file::state_directory)
    }

    /// The AWS side.
    pub fn aws(&self) -> &Aws {
        &self.aws
    }

    /// The limit of one wait: a little less than the engine's for the probe, so that a wait that ends can still be told.
    fn limit(&self, own: Duration) -> Duration {
        self.settings.limit.map_or(own, |l| own.min(l * 4 / 5))
    }

    async fn source_ip(&self, facts: &Facts) -> Fact<IpAddr> {
        // A loopback or private target sees the address of the own interface; only the internet sees another one.
        let target = facts.address();
        if let Some(address) = target.filter(|a| crate::core::vpc::is_private(*a) || a.is_loopback()) {
            return match source_ip::local_address_towards(address) {
                Some(own) => Fact::known(own, "the own interface towards the target"),
                None => Fact::unknown(Why::failed("find the own address", "there is no route to the target")),
            };
        }
        if self.aws.is_emulated() {
            return Fact::unknown(Why::needs(
                "--source-ip: the EC2 endpoint is not AWS's own, so nothing outside is asked",
            ));
        }
        match target {
            Some(address) if address.is_ipv6() => source_ip::own_ipv6(address),
            target => source_ip::checkip(target).await,
        }
    }

    async fn control(facts: &Facts) -> Fact<Option<ControlSocket>> {
        match facts.local.config.value().and_then(|c| c.control_path.as_deref()) {
            Some(path) => control::check(path).await,
            None => Fact::NotAsked,
        }
    }

    fn jump_limits(&self) -> jump::Limits {
        jump::Limits {
            connect: self.limit(JUMP.connect),
            answer: self.limit(JUMP.answer),
            login: self.limit(JUMP.login),
        }
    }

    /// Goes a way over jump hosts for a deed of a confirmed plan, as the diagnosis went it; the caller leaves the last one
    /// in good order. Fails with why the way ends before the target.
    pub(super) async fn go_over(&self, over: &Over, address: IpAddr) -> Result<Through, Why> {
        let emulated = self.aws.is_emulated();
        if emulated && !address.is_loopback() {
            let host = &over.host;
            return Err(Why::needs(format!(
                "AWS's own EC2 endpoint: {host} may be a stranger's, and is not connected to"
            )));
        }
        let target = Target { config_file: over.config_file.clone(), ..Target::default() };
        let nobody = |_| -> BoxFuture<'_, Fact<Instance>> { async { Fact::NotAsked }.boxed() };
        let (fact, tunnel) =
            jump::probe(over.hops.clone(), &target, emulated, self.jump_limits(), &nobody, jump::PASSING).await;
        if let Some(tunnel) = tunnel {
            return Ok(Through { tunnel: Arc::new(tunnel), host: over.host.clone() });
        }
        let Some(host) = fact.value() else { return Err(fact.why_not().unwrap_or(Why::needs("the jump host"))) };
        let reason = match host.outcome.as_str() {
            "ssh" => "it does not let the login in".to_owned(),
            outcome if host.words.is_empty() => outcome.replace('_', " "),
            _ => host.words.clone(),
        };
        Err(Why::failed(format!("log in to the jump host {}", host.name), reason))
    }

    async fn jump(&self, facts: &Facts) -> Fact<JumpHost> {
        let hops = match way(facts) {
            Way::Hops(hops) => hops,
            Way::Unreadable(list) => return Fact::unknown(jump::unreadable(&list)),
            Way::Direct | Way::Aws(_) | Way::Command(_) => return Fact::NotAsked,
        };
        self.leave_jump_host().await;
        let limits = self.jump_limits();
        let region = facts.target.region.as_deref();
        let owner = |address| -> BoxFuture<'_, Fact<Instance>> { self.aws.owner_of(address, region).boxed() };
        let (fact, tunnel) =
            jump::probe(hops, &facts.target, self.aws.is_emulated(), limits, &owner, jump::PASSING).await;
        *self.tunnel.lock().unwrap_or_else(PoisonError::into_inner) = tunnel.map(Arc::new);
        fact
    }

    /// How connections to the target go through the last jump host, when one let us in.
    pub(super) fn through(&self, facts: &Facts) -> Option<Through> {
        let tunnel = self.tunnel.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let (host, _) = inner(facts).filter(|_| matches!(way(facts), Way::Hops(_)))?;
        Some(Through { tunnel, host })
    }

    /// Leaves the jump host in good order once nothing more is asked of it.
    pub(super) async fn leave_jump_host(&self) {
        let tunnel = self.tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(tunnel) = tunnel {
            tunnel.close().await;
        }
    }

    /// The TCP connect that the last jump host makes.
    async fn tcp_through(&self, facts: &Facts) -> Vec<Observation> {
        let (Some(Through { tunnel, host }), Some((_, address))) = (self.through(facts), inner(facts)) else {
            return Vec::new();
        };
        let (address, port) = (address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), facts.port());
        if self.aws.is_emulated() && !address.is_loopback() && facts.target.address.is_none() {
            let why = Why::needs(format!(
                "AWS's own EC2 endpoint: {host} may be a stranger's, and no jump host is asked to connect there"
            ));
            return vec![Observation::Tcp(address, port, Fact::unknown(why))];
        }
        let begun = Instant::now();
        let (said, stream) = tunnel.open(&host, port, self.limit(CONNECT)).await;
        let tcp = jump::tcp_of(&said, tcp::whole_millis(begun.elapsed()));
        if stream.is_none() {
            self.leave_jump_host().await;
        }
        let source = format!("TCP connect to {host}:{port} through {}", tunnel.name());
        let words = if said.words.is_empty() { &said.outcome } else { &said.words };
        let why = Why::failed(&source, format!("the jump host says: {words}"));
        let fact = tcp.map_or(Fact::unknown(why), |tcp| Fact::known(tcp, source));
        if let Some(stream) = stream {
            *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some((address, port, stream));
        }
        vec![Observation::Onward(said), Observation::Tcp(address, port, fact)]
    }

    async fn tcp(&self, facts: &Facts) -> Vec<Observation> {
        match way(facts) {
            Way::Hops(_) => return self.tcp_through(facts).await,
            Way::Aws(way) => {
                let limit = self.limit(BY_DOOR);
                let (address, fact, stream) = Box::pin(by_door::tcp(self, facts, &way, limit)).await;
                if let Some(stream) = stream {
                    *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some((address, way.port, stream));
                }
                return vec![Observation::Tcp(address, way.port, fact)];
            }
            Way::Direct | Way::Command(_) | Way::Unreadable(_) => {}
        }
        let Some(address) = facts.address() else { return Vec::new() };
        let port = facts.port();
        if self.aws.is_emulated() && !address.is_loopback() && facts.target.address.is_none() {
            let why = Why::needs(format!(
                "--address: the EC2 endpoint is not AWS's own, so {address} may belong to a stranger and is not dialled"
            ));
            return vec![Observation::Tcp(address, port, Fact::unknown(why))];
        }
        let limit = self.limit(CONNECT);
        let (fact, stream, usual) = if port == SSH_PORT || facts.symptom() == Some("rdp_error") {
            let (fact, stream) = tcp::connect(address, port, limit).await;
            (fact, stream, Fact::NotAsked)
        } else {
            usual_port::beside(tcp::connect(address, port, limit), address, limit).await
        };
        if let Some(stream) = stream {
            *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some((address, port, ssh::over_tcp(stream)));
        }
        vec![Observation::Tcp(address, port, fact), Observation::UsualPort(usual)]
    }

    async fn ssh(&self, facts: &Facts) -> Vec<Observation> {
        let Some(address) = facts.wire.address else { return Vec::new() };
        let port = facts.wire.port.unwrap_or(SSH_PORT);
        let kept = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stream = kept.filter(|(a, p, _)| *a == address && *p == port).map(|(_, _, s)| s);
        let by_door = matches!(way(facts), Way::Aws(_));
        if by_door && stream.is_none() {
            return Vec::new();
        }
        let mut request = SshRequest::new(address, port);
        request.users = rules::users_to_try(facts);
        if by_door {
            // There is one connection, and no address that leads there from here.
            request.users.truncate(1);
        }
        request.connect_limit = self.limit(CONNECT);
        request.banner_limit = self.limit(ANSWER);
        request.sign = true;
        if let Some(limit) = self.settings.limit {
            request.total_limit = request.total_limit.min(limit);
        }
        request.expect_known(facts);
        request.through = self.through(facts);
        request.inside = facts.inside_agreed;
        request.ask_both = request.users.first().is_some_and(|user| user == "root");
        let candidates = rules::offering::keys_to_offer(facts, request.users.len(), request.cap);
        request.keys.extend(candidates.into_iter().filter_map(Self::ssh_key));
        let heard = ssh::probe_over(stream, request).await;
        if !facts.inside_agreed {
            self.leave_jump_host().await;
        }
        vec![Observation::Ssh(heard.server, heard.offers, heard.budget), Observation::ServerLists(heard.lists)]
    }

    async fn known_hosts(&self, facts: &Facts) -> Fact<crate::core::facts::local::KnownHosts> {
        // OpenSSH puts no port to an alias.
        let alias = facts.local.config.value().is_some_and(|c| c.host_key_alias.is_some());
        let port = if alias { crate::core::target::SSH_PORT } else { facts.port() };
        known_hosts::lookup(&host_names(facts), port, &known_hosts_files(facts)).await
    }

    pub(super) fn ssh_key(candidate: Candidate<'_>) -> Option<SshKey> {
        match candidate {
            Candidate::File(probe) => Self::file_key(probe),
            // Asked about only: whether the agent signs without a question to the user cannot be known before.
            Candidate::Agent(key) => {
                let public = Some(key.public.clone()?);
                Some(SshKey { path: key.label(), public, private: None, encrypted: false, held: true })
            }
        }
    }

    fn file_key(probe: &KeyProbe) -> Option<SshKey> {
        let Some(KeyFileState::Read { key, .. }) = probe.file.value() else { return None };
        let public = key.public.clone()?;
        // The private half signs only where ssh itself would load the file.
        let private =
            if rules::offering::usable(probe) && !key.encrypted { keys::load_private(&probe.path).ok() } else { None };
        Some(SshKey { path: probe.path.clone(), public: Some(public), private, encrypted: key.encrypted, held: false })
    }

    /// Paths of the keys that a login would use, with their origin.
    async fn key_paths(facts: &Facts) -> Vec<(String, String)> {
        let mut paths: Vec<(String, String)> = facts.target.keys.iter().map(|k| (k.clone(), "-i".to_owned())).collect();
        if let Some(config) = facts.local.config.value() {
            paths.extend(
                config
                    .identity_files
                    .iter()
                    .filter(|f| !facts.target.keys.contains(f))
                    .map(|f| (f.clone(), "ssh_config".to_owned())),
            );
        }
        if let (true, Some(path)) = (paths.is_empty(), facts.paste.as_ref().and_then(|p| p.extract.key_path.clone())) {
            paths.push((path, "paste".to_owned()));
        }
        if paths.is_empty() {
            paths.extend(keys::defaults().await);
        }
        paths
    }

    /// The key files of a login, described.
    pub(super) async fn keys_of_login(facts: &Facts) -> Vec<KeyProbe> {
        keys::probe(&Self::key_paths(facts).await).await
    }

    async fn keys(&self, facts: &Facts) -> Vec<Observation> {
        let paths = Self::key_paths(facts).await;
        let names: Vec<String> = paths.iter().map(|(path, _)| path.clone()).collect();
        let directories = keys::directories(&names);
        let (own, near) = tokio::join!(keys::probe(&paths), keys::nearby(&directories, &names));
        vec![Observation::Keys(own, near)]
    }

    async fn dns(&self, facts: &Facts) -> Fact<Vec<IpAddr>> {
        let config = facts.local.config.value().and_then(|c| c.hostname.clone());
        let name = config.unwrap_or_else(|| facts.target.name.clone());
        if name.parse::<IpAddr>().is_ok()
            || matches!(facts.target.kind(), TargetKind::InstanceId | TargetKind::Address(_))
        {
            return Fact::NotAsked;
        }
        if self.aws.is_emulated() && name != "localhost" {
            return Fact::unknown(Why::needs("--address: the EC2 endpoint is not AWS's own, so no resolver is asked"));
        }
        dns::lookup(&name).await
    }
}

/// The journal outlives the current directory: files are named in full before a plan is shown.
fn with_absolute_paths(mut plan: Plan) -> Plan {
    let absolute = |path: &str| std::path::absolute(keys::expand(path)).map(|p| p.display().to_string());
    for step in &mut plan.steps {
        if let Some(Action::Remote(action)) = &mut step.action {
            for path in action.key_files_mut() {
                if let Ok(full) = absolute(path) {
                    *path = full;
                }
            }
        }
        let Some(Action::Chmod { path, from, to }) = &mut step.action else { continue };
        if let Ok(full) = absolute(path) {
            let quoted = crate::core::text::shell_quote(&full);
            step.command = format!("chmod {to:04o} {quoted}");
            step.undo = Some(format!("chmod {from:04o} {quoted}"));
            plan.subject = format!("file {full}");
            *path = full;
        }
    }
    plan
}

/// Names under which ssh would look the host key up: the alias, else `HostName`, else what is typed. A Name tag is
/// typed by nobody: then it is the address. ssh no longer looks at the address besides (`CheckHostIP`, off since 8.5).
pub(super) fn host_names(facts: &Facts) -> Vec<String> {
    let config = facts.local.config.value();
    if let Some(named) = config.and_then(|c| c.host_key_alias.clone().or_else(|| c.hostname.clone())) {
        return vec![named];
    }
    // A ProxyCommand gets the name as it is typed, and no address stands for it.
    if matches!(way(facts), Way::Aws(_)) {
        return vec![facts.target.name.clone()];
    }
    // Behind a jump host it is what ssh lets that host connect to.
    let behind = facts.wire.address.filter(|a| facts.wire.onward.is_some() && !a.is_unspecified());
    let address = behind.or_else(|| facts.address()).map(|a| a.to_string());
    let typed = facts.target.name.clone();
    match facts.target.kind() {
        TargetKind::InstanceId => address.into_iter().collect(),
        TargetKind::Address(_) | TargetKind::Ec2Dns => vec![typed],
        TargetKind::Name if facts.local.dns.value().is_some_and(|found| !found.is_empty()) => vec![typed],
        TargetKind::Name => [Some(typed), address].into_iter().flatten().collect(),
    }
}

pub(super) fn known_hosts_files(facts: &Facts) -> Vec<String> {
    facts.local.config.value().map(|c| c.known_hosts_files.clone()).unwrap_or_default()
}

impl World for RealWorld {
    fn keep_passphrase(&self, file: &str, passphrase: Secret) {
        passphrase::keep(file, passphrase.into_inner());
    }

    fn observe(&self, probe: ProbeId, facts: Arc<Facts>) -> BoxFuture<'_, Vec<Observation>> {
        let seen = async move {
            match probe {
                ProbeId::SshConfig => vec![Observation::SshConfig(ssh_config::effective(&facts.target).await)],
                ProbeId::Dns => vec![Observation::Dns(self.dns(&facts).await)],
                ProbeId::SourceIp => vec![Observation::SourceIp(self.source_ip(&facts).await)],
                ProbeId::Keys => self.keys(&facts).await,
                ProbeId::Agent => {
                    let named = facts.local.config.value().and_then(|c| c.identity_agent.as_deref());
                    vec![Observation::Agent(agent::list(named).await)]
                }
                ProbeId::SshVersion => vec![Observation::SshVersion(ssh_config::client_version().await)],
                ProbeId::Control => vec![Observation::Control(Self::control(&facts).await)],
                ProbeId::Jump => vec![Observation::Jump(Box::new(self.jump(&facts).await))],
                ProbeId::KnownHosts => vec![Observation::KnownHosts(self.known_hosts(&facts).await)],
                ProbeId::Caller => vec![Observation::Caller(self.aws.caller().await)],
                ProbeId::Instance => vec![Observation::Instance(self.aws.find(&facts).await)],
                ProbeId::Tcp => Box::pin(self.tcp(&facts)).await,
                ProbeId::Ssh => self.ssh(&facts).await,
                ProbeId::Inside => {
                    let seen = self.inside(&facts).await;
                    self.leave_jump_host().await;
                    vec![Observation::Inside(Box::new(seen))]
                }
                ProbeId::Session => match facts.instance() {
                    Some(instance) => vec![Observation::Session(self.aws.prove_session(instance).await)],
                    None => Vec::new(),
                },
                other => self.aws.about_instance(other, &facts).await,
            }
        };
        PROBE.scope(probe, seen).boxed()
    }

    fn inventory(&self, out: UnboundedSender<InventoryEvent>) -> BoxFuture<'_, ()> {
        async move {
            let source = match self.settings.source_ip {
                Some(source) => Some(source),
                None if self.aws.is_emulated() => None,
                None => source_ip::checkip(None).await.value().copied(),
            };
            if let Some(source) = source {
                let _ = out.send(InventoryEvent::SourceIp(source));
            }
            self.aws.list(source, &out).await;
            let _ = out.send(InventoryEvent::Done);
        }
        .boxed()
    }

    fn preflight(&self, plan: Plan) -> BoxFuture<'_, Plan> {
        self.aws.preflight(with_absolute_paths(plan), self.settings.read_only).boxed()
    }

    fn prepare(&self, fix: &str, facts: Arc<Facts>) -> BoxFuture<'_, Prepared> {
        let fix = fix.to_owned();
        async move { Box::pin(prepare::prepare(self, &fix, &facts)).await }.boxed()
    }

    fn perform(&self, action: Action, step: StepContext) -> BoxFuture<'_, Result<Performed, Failure>> {
        async move {
            if let Action::Remote(action) = &action {
                return self.perform_remote(action, &step).await;
            }
            if let Some(result) = change::perform(&action, &step).await {
                return result;
            }
            match self.aws.perform(&action, &step).await {
                Some(result) => result,
                None => Err(Failure::usage("perform an action", "nothing performs it", "report this as a bug")),
            }
        }
        .boxed()
    }

    fn foresee(&self, undo: Action) -> BoxFuture<'_, Result<(), Failure>> {
        async move { self.aws.foresee(&undo).await }.boxed()
    }

    fn settle(&self, action: Action, step: StepContext) -> BoxFuture<'_, Settled> {
        async move {
            if let Action::Remote(action) = &action {
                return self.settle_remote(action, &step).await;
            }
            if let Some(settled) = change::settle(&action, &step) {
                return settled;
            }
            let settled = self.aws.settle(&action, &step).await;
            settled.unwrap_or_else(|| Settled::CannotTell("nothing looks for it".to_owned()))
        }
        .boxed()
    }

    fn terminal(&self, wish: Wish) -> BoxFuture<'_, Result<Opened, Failure>> {
        async move { Box::pin(self.open_terminal(&wish)).await }.boxed()
    }

    fn fleet(&self, base: &Target) -> Option<Arc<dyn FleetWorld>> {
        let limit = self.settings.limit;
        Some(Arc::new(RealFleet::of(&self.aws, self.profile(), base.config_file.as_deref(), limit)))
    }

    fn scopes(&self, out: UnboundedSender<ScopeEvent>) -> BoxFuture<'_, ()> {
        async move {
            // The keys of the practice account are no profile's: there is no other account to go to.
            if self.settings.aws.keys.is_none() {
                let _ = out.send(ScopeEvent::Profiles(profiles::described().await));
            }
            let regions = self.aws.enabled_regions().await.map_err(|why| {
                let next = "the names that port22 knows are shown; ec2:DescribeRegions tells which are switched on";
                Failure::failed("list the Regions of the account", why.text(), next)
            });
            let _ = out.send(ScopeEvent::Regions(regions));
        }
        .boxed()
    }

    fn with_scope(&self, scope: Scope) -> BoxFuture<'_, Option<Arc<dyn World>>> {
        async move {
            let mut settings = self.settings.clone();
            if !scope.regions.is_empty() {
                settings.aws.regions = scope.regions;
            } else if scope.profile.is_some() {
                settings.aws.regions.clear();
            }
            settings.aws.profile = scope.profile.or(settings.aws.profile);
            let world: Arc<dyn World> = Arc::new(Self::new(settings).await);
            Some(world)
        }
        .boxed()
    }

    fn api_calls(&self) -> u64 {
        self.aws.calls()
    }

    fn slowed(&self) -> Vec<ProbeId> {
        self.aws.slowed()
    }
}
