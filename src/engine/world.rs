//! The outside world as the engine sees it: observe, perform, list.
//!
//! `edge` implements it for AWS and OpenSSH; tests implement it with data. Engine code never names `edge`.

use crate::core::fact::Fact;
use crate::core::facts::Facts;
use crate::core::facts::prepared::Prepared;
use crate::core::facts::{aws, doors, host, inside, local, wire};
use crate::core::kexinit::KexLists;
use crate::core::plan::{Action, Outputs, Plan};
use crate::core::probe::ProbeId;
use crate::core::target::Target;
use crate::core::vpc::types::{InternetGateway, NetworkAcl, RouteTable, SecurityGroup};
use crate::engine::failure::Failure;
use crate::engine::fleet::FleetWorld;
use crate::engine::inventory::InventoryEvent;
use crate::engine::scope::{Scope, ScopeEvent};
use crate::engine::secret::Secret;
use crate::engine::terminal::{Opened, Wish};
use futures_util::future::BoxFuture;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

/// What a probe found; [`Observation::apply`] writes it into the facts.
#[derive(Debug, Clone)]
pub enum Observation {
    /// Effective ssh configuration.
    SshConfig(Fact<local::SshConfig>),
    /// Resolved addresses.
    Dns(Fact<Vec<IpAddr>>),
    /// Own address.
    SourceIp(Fact<IpAddr>),
    /// Key files of the login, and others found beside.
    Keys(Vec<local::KeyProbe>, Vec<local::KeyProbe>),
    /// Agent.
    Agent(Fact<Vec<local::AgentKey>>),
    /// known_hosts.
    KnownHosts(Fact<local::KnownHosts>),
    /// Caller.
    Caller(Fact<aws::Caller>),
    /// Instance, and the region it was found in.
    Instance(Fact<aws::Instance>),
    /// Status checks.
    Status(Fact<aws::InstanceStatus>),
    /// Interfaces.
    Interfaces(Fact<Vec<aws::Interface>>),
    /// Security groups.
    Groups(Fact<Vec<SecurityGroup>>),
    /// Network ACLs.
    Acls(Fact<Vec<NetworkAcl>>),
    /// Route tables.
    RouteTables(Fact<Vec<RouteTable>>),
    /// Internet gateways.
    Gateways(Fact<Vec<InternetGateway>>),
    /// Subnet.
    Subnet(Fact<aws::Subnet>),
    /// Prefix lists.
    PrefixLists(Fact<BTreeMap<String, Vec<IpNet>>>),
    /// Key pair.
    KeyPair(Fact<Option<aws::KeyPair>>),
    /// Image.
    Image(Fact<Option<aws::Image>>),
    /// Console output.
    Console(Fact<String>),
    /// SSM agent.
    Ssm(Fact<Option<aws::SsmAgent>>),
    /// Instance type.
    Machine(Fact<host::Machine>),
    /// CPU-credit mode.
    CreditMode(Fact<String>),
    /// Metrics.
    Metrics(Fact<host::Metrics>),
    /// Volumes.
    Volumes(Fact<Vec<host::Volume>>),
    /// Stop protection.
    StopProtection(Fact<bool>),
    /// User data, described.
    UserData(Fact<Option<host::UserData>>),
    /// Spot request.
    Spot(Fact<Option<host::SpotRequest>>),
    /// Windows password, described.
    WindowsPassword(Fact<host::WindowsPassword>),
    /// Automations that ended badly.
    Automations(Fact<Vec<host::Automation>>),
    /// Session Manager's view of the agent.
    Connection(Fact<String>),
    /// Default Host Management.
    HostManagement(Fact<Option<String>>),
    /// VPC endpoints.
    Endpoints(Fact<Vec<doors::VpcEndpoint>>),
    /// Role of the profile.
    Role(Fact<Option<doors::Role>>),
    /// What the role may do.
    RolePolicies(Fact<doors::RolePolicies>),
    /// Instance Connect Endpoints.
    ConnectEndpoints(Fact<Vec<doors::ConnectEndpoint>>),
    /// Groups of the endpoints.
    EndpointGroups(Fact<Vec<SecurityGroup>>),
    /// Serial console switch.
    SerialAccess(Fact<doors::SerialAccess>),
    /// A session that was opened and ended.
    Session(Fact<doors::SessionProof>),
    /// Version line of the local client.
    SshVersion(Fact<String>),
    /// Shared connection.
    Control(Fact<Option<local::ControlSocket>>),
    /// Jump host.
    Jump(Box<Fact<local::JumpHost>>),
    /// A look inside.
    Inside(Box<Fact<inside::Inside>>),
    /// What a jump host made of the connection to the target.
    Onward(wire::Onward),
    /// TCP connect.
    Tcp(IpAddr, u16, Fact<wire::Tcp>),
    /// The usual port beside the one in question; comes after [`Self::Tcp`], which forgets that of an earlier look.
    UsualPort(Fact<wire::UsualPort>),
    /// SSH.
    Ssh(Fact<wire::SshServer>, Vec<wire::Offer>, wire::Budget),
    /// Algorithms of the SSH server; comes after [`Self::Ssh`], which forgets those of an earlier look.
    ServerLists(Option<KexLists>),
}

impl Observation {
    /// Writes the observation into the facts.
    pub fn apply(self, facts: &mut Facts) {
        match self {
            Self::SshConfig(fact) => facts.local.config = fact,
            Self::Dns(fact) => facts.local.dns = fact,
            Self::SourceIp(fact) => facts.local.source_ip = fact,
            Self::Keys(keys, others) => (facts.local.keys, facts.local.other_keys) = (keys, others),
            Self::Agent(fact) => facts.local.agent = fact,
            Self::KnownHosts(fact) => facts.local.known_hosts = fact,
            Self::Caller(fact) => facts.aws.caller = fact,
            Self::Instance(fact) => {
                if let Some(instance) = fact.value() {
                    facts.aws.region = Some(instance.region.clone());
                }
                facts.aws.instance = fact;
            }
            Self::Status(fact) => facts.aws.status = fact,
            Self::Interfaces(fact) => facts.aws.interfaces = fact,
            Self::Groups(fact) => facts.aws.groups = fact,
            Self::Acls(fact) => facts.aws.acls = fact,
            Self::RouteTables(fact) => facts.aws.route_tables = fact,
            Self::Gateways(fact) => facts.aws.internet_gateways = fact,
            Self::Subnet(fact) => facts.aws.subnet = fact,
            Self::PrefixLists(fact) => facts.aws.prefix_lists = fact,
            Self::KeyPair(fact) => facts.aws.key_pair = fact,
            Self::Image(fact) => facts.aws.image = fact,
            Self::Console(fact) => facts.aws.console = fact,
            Self::Ssm(fact) => facts.aws.ssm = fact,
            Self::Machine(fact) => facts.host.machine = fact,
            Self::CreditMode(fact) => facts.host.credit_mode = fact,
            Self::Metrics(fact) => facts.host.metrics = fact,
            Self::Volumes(fact) => facts.host.volumes = fact,
            Self::StopProtection(fact) => facts.host.stop_protected = fact,
            Self::UserData(fact) => facts.host.user_data = fact,
            Self::Spot(fact) => facts.host.spot = fact,
            Self::WindowsPassword(fact) => facts.host.windows = fact,
            Self::Automations(fact) => facts.host.automations = fact,
            Self::Connection(fact) => facts.doors.connection = fact,
            Self::HostManagement(fact) => facts.doors.host_management = fact,
            Self::Endpoints(fact) => facts.doors.endpoints = fact,
            Self::Role(fact) => facts.doors.role = fact,
            Self::RolePolicies(fact) => facts.doors.policies = fact,
            Self::ConnectEndpoints(fact) => facts.doors.connect_endpoints = fact,
            Self::EndpointGroups(fact) => facts.doors.endpoint_groups = fact,
            Self::SerialAccess(fact) => facts.doors.serial = fact,
            Self::Session(fact) => facts.doors.session = fact,
            Self::SshVersion(fact) => facts.local.ssh_version = fact,
            Self::Control(fact) => facts.local.control = fact,
            Self::Jump(fact) => facts.local.jump = *fact,
            Self::Inside(fact) => facts.inside = *fact,
            Self::Onward(said) => facts.wire.onward = Some(said),
            Self::Tcp(address, port, fact) => {
                (facts.wire.address, facts.wire.port, facts.wire.tcp) = (Some(address), Some(port), fact);
                facts.wire.usual = Fact::NotAsked;
            }
            Self::UsualPort(fact) => facts.wire.usual = fact,
            Self::Ssh(server, offers, budget) => {
                (facts.wire.ssh, facts.wire.offers, facts.wire.budget) = (server, offers, budget);
                facts.wire.offers_of_server = None;
            }
            Self::ServerLists(lists) => facts.wire.offers_of_server = lists,
        }
    }
}

/// What a performed action left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Performed {
    /// What was done, with the ids that the service returned.
    pub text: String,
    /// The deed that takes it back, when it can be taken back.
    pub undo: Option<Action>,
    /// Whether something is left that an undo would have to take back. False when the world already was as wanted,
    /// and for what leaves nothing behind (a reboot, a wait).
    pub changed: bool,
    /// What later steps need of it, by name.
    pub outputs: Outputs,
}

/// The step that a deed belongs to.
#[derive(Debug, Clone, Default)]
pub struct StepContext {
    /// Names this step of this journal entry and no other: `port22-ENTRY-STEP`. Client tokens and tags are made of it,
    /// so that what an interrupted attempt made is found again instead of made twice.
    pub token: String,
    /// Listens to what goes on while the step runs.
    pub tell: Option<UnboundedSender<String>>,
    /// Whether an attempt of this step was begun before and cut short: what is as wanted may be its doing.
    pub again: bool,
}

impl StepContext {
    /// The context of a step of an entry.
    pub fn new(entry: &str, step: usize) -> Self {
        Self { token: format!("port22-{entry}-{step}"), tell: None, again: false }
    }

    /// Says what goes on.
    pub fn say(&self, text: impl Into<String>) {
        if let Some(tell) = &self.tell {
            let _ = tell.send(text.into());
        }
    }
}

/// What became of a step that was begun, and of which no answer is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It was done.
    Done(Performed),
    /// It was not done.
    NotDone,
    /// It cannot be told, for this reason.
    CannotTell(String),
}

/// The outside world.
pub trait World: Send + Sync + 'static {
    /// Runs one probe. Never fails: what goes wrong becomes an unknown fact. The engine sets the time
    /// limit and drops the future to cancel it.
    fn observe(&self, probe: ProbeId, facts: Arc<Facts>) -> BoxFuture<'_, Vec<Observation>>;

    /// Lists instances, page by page, into `out`.
    fn inventory(&self, out: UnboundedSender<InventoryEvent>) -> BoxFuture<'_, ()>;

    /// Looks before a change: permission (DryRun where the API has it), who else is affected.
    /// Returns the plan with more gates.
    fn preflight(&self, plan: Plan) -> BoxFuture<'_, Plan>;

    /// Reads, before a plan is made, what a fix needs to know beyond the diagnosis. Read-only.
    fn prepare(&self, fix: &str, facts: Arc<Facts>) -> BoxFuture<'_, Prepared>;

    /// Performs one deed. Only `engine::repair` calls it. Looks first: a deed that was done already (by an attempt of
    /// the same step that was cut short) is not done twice.
    fn perform(&self, action: Action, step: StepContext) -> BoxFuture<'_, Result<Performed, Failure>>;

    /// Looks whether the deed that takes a step back would be refused, before an undo changes anything: what is undone
    /// ahead of it may stop an instance or open a protection. Read-only; fails as the deed would.
    fn foresee(&self, undo: Action) -> BoxFuture<'_, Result<(), Failure>> {
        let _ = undo;
        Box::pin(async { Ok(()) })
    }

    /// Looks what became of a step that was begun and of which no answer is known. Read-only.
    fn settle(&self, action: Action, step: StepContext) -> BoxFuture<'_, Settled>;

    /// Keeps the passphrase of a key file for as long as the program runs; the next plan and its steps use it.
    fn keep_passphrase(&self, _file: &str, _passphrase: Secret) {}

    /// Opens a terminal through a door. Changes nothing but what the door itself does (a session, a pushed key), and says
    /// what failed, and what to do next, when it cannot.
    fn terminal(&self, wish: Wish) -> BoxFuture<'_, Result<Opened, Failure>> {
        let doing = format!("open a terminal through {}", wish.door.id());
        Box::pin(async move { Err(Failure::failed(doing, "this world has no terminals", "take another way in")) })
    }

    /// The same profile and Regions as a fleet; `base` holds the ssh options that apply to every instance. `None` for a
    /// world that has none.
    fn fleet(&self, base: &Target) -> Option<Arc<dyn FleetWorld>> {
        let _ = base;
        None
    }

    /// Tells which profiles and Regions one may change to, into `out`: the profiles first, from files alone, then by one
    /// call the Regions that are switched on. Nothing for a world that knows no others.
    fn scopes(&self, _out: UnboundedSender<ScopeEvent>) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    /// The same world with another profile or other Regions; what the scope leaves open is as in this one. Sends nothing.
    /// `None` for a world that knows no others.
    fn with_scope(&self, _scope: Scope) -> BoxFuture<'_, Option<Arc<dyn World>>> {
        Box::pin(async { None })
    }

    /// AWS calls made so far.
    fn api_calls(&self) -> u64;

    /// Probes that AWS has asked to slow down and that wait for their next attempt.
    fn slowed(&self) -> Vec<ProbeId> {
        Vec::new()
    }
}
