//! The embedded practice account: an AWS endpoint and SSH hosts on loopback, in this process.
//!
//! For learning and for tests: the program under practice gets an endpoint URL, credentials, an
//! ssh_config and key files, and works unmodified. What its fixes change is real: a rule added to a
//! security group makes the host's port answer.
//!
//! Used by `cli` and by tests. It must share no code with `core`, `engine`, `edge` or `tui`: a
//! misunderstanding of AWS or OpenSSH would otherwise cancel itself out. It binds addresses of
//! 127.0.0.0/8 only, writes into its own temporary directory only, and runs nothing.
//!
//! | module | what |
//! |---|---|
//! | `scenario` | the lesson files |
//! | `build`, `world` | the account made from them and its state |
//! | `reach` | whether a packet comes through |
//! | `managed`, `policy` | whether Systems Manager knows an instance, and what its role may do |
//! | `inside` | what a look inside a host shows |
//! | `host`, `sshd`, `shell` | listeners, logins, a small shell |
//! | `http`, `api`, `xml` | the endpoint |
//! | `session` | the data channels of Session Manager, and the agent behind them |
//! | `tunnel`, `serial` | Instance Connect Endpoints and the serial console, at the endpoint's port |
//! | `record` | what was changed by whom, for who asks whether a lesson is solved |
//! | `keys`, `bignum`, `ids`, `console`, `home` | key pairs, ids and times, console text, the user's files |

mod api;
mod automation;
mod bignum;
mod build;
mod cloud_init;
mod console;
mod home;
mod host;
mod http;
mod ids;
mod inside;
mod keys;
mod managed;
mod mend;
mod policy;
mod reach;
mod record;
mod rescue;
mod scenario;
mod script;
mod serial;
mod session;
mod shell;
mod sshd;
#[cfg(test)]
mod tests;
mod tunnel;
mod world;
mod xml;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use scenario::ScenarioInfo;
use world::World;

/// The Region and account of the story; both are fictitious.
const REGION: &str = "us-east-1";
const ACCOUNT: &str = "111122223333";
/// Where the user sits in the story, if a lesson does not say otherwise.
const USER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const CALLER: &str = "arn:aws:iam::111122223333:user/practice";

/// The second octets that labs on one machine share out among themselves.
const NETWORKS: std::ops::RangeInclusive<u8> = 22..=99;

/// How the practice account is to be.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// Only this lesson (and a healthy host beside it); all lessons if `None`.
    pub scenario: Option<String>,
    /// The TCP port of the AWS endpoint; any free one if `None`.
    pub port: Option<u16>,
    /// How long every API call takes at least.
    pub delay: Duration,
    /// How long an instance is pending or stopping.
    pub transition: Duration,
    /// Ids, keys, host keys and addresses follow from it. Addresses are others where another account on this machine
    /// has taken them.
    pub seed: u64,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self { scenario: None, port: None, delay: Duration::ZERO, transition: Duration::from_millis(1500), seed: 0 }
    }
}

/// What the endpoint and the hosts have in common.
pub(crate) struct Shared {
    world: Mutex<World>,
    /// The other Regions: the same account without anything in it.
    elsewhere: Mutex<World>,
    /// Told after every change of the world.
    changed: Notify,
    delay: Duration,
    /// What is the matter with the API.
    api: scenario::ApiSpec,
    ssh_port: u16,
    requests: AtomicU64,
    /// What the practising user's programs are told about the account, without `calls`.
    about: serde_json::Value,
    /// Calls that changed something, oldest first.
    calls: Mutex<Vec<record::Made>>,
    /// The agents that serve sessions.
    running: session::Running,
    /// The lab has ended.
    stop: CancellationToken,
}

impl Shared {
    /// The account's state. A panic elsewhere does not make it unusable.
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elsewhere(&self) -> MutexGuard<'_, World> {
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// AWS's clock.
    fn now(&self) -> SystemTime {
        let off = Duration::from_secs(self.api.clock_ahead.unsigned_abs());
        if self.api.clock_ahead < 0 { SystemTime::now() - off } else { SystemTime::now() + off }
    }

    fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }
}

/// A running practice account. It ends when it is dropped.
pub struct Lab {
    home: home::Home,
    /// What a client is told: the listener, but in the lesson where nobody listens.
    endpoint: String,
    source: IpAddr,
    shared: Arc<Shared>,
    scenarios: Vec<ScenarioInfo>,
    environment: Vec<(String, String)>,
    tasks: Vec<JoinHandle<()>>,
    /// Holds the network number against other labs on this machine.
    _guard: std::net::TcpListener,
}

impl Lab {
    /// Starts the endpoint and all hosts; everything listens when this returns.
    ///
    /// # Errors
    /// An unknown lesson, a port that is taken, or no loopback addresses to be had: one sentence.
    pub async fn start(options: LabOptions) -> Result<Self, String> {
        let specs = scenario::all()?;
        let alone = options.scenario.is_some();
        let chosen: Vec<_> = match &options.scenario {
            None => specs,
            Some(name) if specs.iter().any(|spec| spec.id == *name) => {
                specs.into_iter().filter(|spec| spec.id == *name || spec.id == "web-healthy").collect()
            }
            Some(name) => {
                return Err(format!("there is no practice scenario {name}: `port22 lab list` shows them"));
            }
        };
        let (guard, net, ssh_port) = claim_network(options.seed)?;
        let account = scenario::account()?;
        let mut world = World::empty(options.seed, REGION, ACCOUNT, CALLER);
        (world.net, world.ssh_port, world.transition) = (net, ssh_port, options.transition);
        build::add(&mut world, &account, alone)?;
        for spec in &chosen {
            build::add(&mut world, spec, alone)?;
        }
        let mut home = home::Home::create()?;
        for spec in std::iter::once(&account).chain(&chosen) {
            for file in &spec.file {
                home.key_file(&world, file)?;
            }
        }
        // One lesson alone may spoil the whole API, and has the user elsewhere.
        let own = chosen.iter().find(|spec| alone && options.scenario.as_ref() == Some(&spec.id));
        let api = own.map(|spec| spec.api.clone()).unwrap_or_default();
        let source = IpAddr::V4(own.and_then(|spec| spec.client).unwrap_or(USER));
        let instances: Vec<_> = chosen.iter().flat_map(|spec| spec.instance.iter().chain(&spec.neighbour)).collect();
        home.client_files(&world, &instances, alone)?;
        // The user's files know it; nobody in this account does.
        world.instances.retain(|instance| !instance.machine.foreign);
        let (config, credentials) = home.aws_files(REGION)?;

        let place = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port.unwrap_or(0)));
        let listener = TcpListener::bind(place)
            .await
            .map_err(|error| format!("the practice endpoint cannot listen on {place}: {error}"))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        world.channel = format!("ws://{address}");
        home.know_console(&serial::host_key(world.seed)?, address)?;
        world.endpoint = Some(address);
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            elsewhere: Mutex::new(World::empty(options.seed, "elsewhere", ACCOUNT, CALLER)),
            changed: Notify::new(),
            delay: options.delay.max(Duration::from_millis(api.delay)),
            api: api.clone(),
            ssh_port,
            requests: AtomicU64::new(1),
            about: record::about(&options, &home.config(), source),
            calls: Mutex::default(),
            running: session::Running::default(),
            stop: CancellationToken::new(),
        });
        let mut hosts = host::Hosts::new(shared.clone());
        let next = hosts.apply().await;
        let tasks = vec![tokio::spawn(hosts.run(next)), tokio::spawn(http::serve(listener, shared.clone()))];
        let scenarios = chosen.iter().map(|spec| scenario::info(spec, options.seed)).collect::<Result<_, _>>()?;
        let endpoint = if api.unreachable {
            // The address that claims the network: nobody listens there at this port.
            format!("http://127.{net}.255.254:{}", if ssh_port == 443 { 80 } else { 443 })
        } else {
            format!("http://{address}")
        };
        let environment = environment(&endpoint, &config, &credentials);
        Ok(Self { endpoint, source, home, shared, scenarios, environment, tasks, _guard: guard })
    }

    /// The URL of the AWS endpoint.
    pub fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    /// The directory of the practising user: `ssh_config`, `known_hosts`, `keys/`.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The ssh_config file, for `ssh -F`.
    pub fn config_file(&self) -> PathBuf {
        self.home.config()
    }

    /// The user's address in the story, as the instances see it.
    pub fn source_ip(&self) -> IpAddr {
        self.source
    }

    /// The port on which the hosts' sshd listens: 22 where that can be bound, else 2222.
    pub fn ssh_port(&self) -> u16 {
        self.shared.ssh_port
    }

    /// Environment variables that lead AWS tools to this account and away from any other.
    pub fn environment(&self) -> Vec<(String, String)> {
        self.environment.clone()
    }

    /// The lessons of this account.
    pub fn scenarios(&self) -> Vec<ScenarioInfo> {
        self.scenarios.clone()
    }

    /// Ends the lab: all listeners are closed when this returns, and the home directory is gone.
    pub async fn stop(mut self) {
        self.shared.stop.cancel();
        for task in std::mem::take(&mut self.tasks) {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// All lessons that the program carries, in the account of the default seed.
///
/// # Errors
/// A lesson file that does not parse; a test keeps that from happening.
pub fn scenario_list() -> Result<Vec<ScenarioInfo>, String> {
    scenario_list_of(LabOptions::default().seed)
}

/// The same, in the account of another seed: ids of instances differ.
///
/// # Errors
/// As [`scenario_list`].
pub fn scenario_list_of(seed: u64) -> Result<Vec<ScenarioInfo>, String> {
    scenario::all()?.iter().map(|spec| scenario::info(spec, seed)).collect()
}

/// Where an account of this seed looks for its network first. That of the default seed begins with the first one.
fn first_network(seed: u64) -> u8 {
    let count = NETWORKS.end() - NETWORKS.start() + 1;
    if seed == 0 { *NETWORKS.start() } else { NETWORKS.start() + ids::bytes(seed, "network", "")[0] % count }
}

/// Finds a network number that no other lab on this machine uses, and the hosts' port.
fn claim_network(seed: u64) -> Result<(std::net::TcpListener, u8, u16), String> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    let first = first_network(seed);
    for port in [22, 2222] {
        for net in (first..=*NETWORKS.end()).chain(*NETWORKS.start()..first) {
            match std::net::TcpListener::bind((Ipv4Addr::new(127, net, 255, 254), port)) {
                Ok(guard) => return Ok((guard, net, port)),
                Err(error) => {
                    let taken = error.kind() == io::ErrorKind::AddrInUse;
                    last = error;
                    if !taken {
                        break;
                    }
                }
            }
        }
    }
    Err(format!("the practice hosts cannot listen on 127.22.0.0/16, port 22 or 2222: {last}"))
}

fn environment(url: &str, config: &Path, credentials: &Path) -> Vec<(String, String)> {
    let config = config.display().to_string();
    let credentials = credentials.display().to_string();
    [
        ("AWS_ENDPOINT_URL", url),
        ("AWS_ENDPOINT_URL_EC2", url),
        ("AWS_ENDPOINT_URL_SSM", url),
        ("AWS_ENDPOINT_URL_STS", url),
        ("AWS_ENDPOINT_URL_IAM", url),
        ("AWS_ENDPOINT_URL_CLOUDWATCH", url),
        ("AWS_ENDPOINT_URL_AUTO_SCALING", url),
        ("AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT", url),
        ("AWS_ACCESS_KEY_ID", "practice"),
        ("AWS_SECRET_ACCESS_KEY", "practice"),
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_PROFILE", "default"),
        ("AWS_CONFIG_FILE", &config),
        ("AWS_SHARED_CREDENTIALS_FILE", &credentials),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("NO_PROXY", "127.0.0.1,localhost"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}
