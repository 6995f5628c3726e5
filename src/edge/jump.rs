//! The jump hosts of a login: each is dialled and logged in to as ssh would, the next one through it.
//!
//! By its own Host block each: `-i` and `-o` of the login do not count there (ssh starts itself for a jump host, with
//! the same `-F`). One authentication per jump host; no session, no command. Used by the jump-host probe.

use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::facts::local::{AgentKey, JumpHost, JumpLogin, LocalFacts};
use crate::core::facts::wire::{Onward, SshServer, Tcp};
use crate::core::jump::{AwsWay, Hop, Way, way_of};
use crate::core::recognise::strip_controls;
use crate::core::rules::offering::keys_to_offer;
use crate::core::target::{SSH_PORT, Target};
use crate::core::trust::{self, Vouch};
use crate::edge::ssh::{Heard, SshRequest, Stream, Through, Tunnel, log_in, over_tcp};
use crate::edge::{RealWorld, agent, dns, known_hosts, ssh_config, tcp};
use futures_util::future::BoxFuture;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Addresses that are dialled, at most: ssh tries all, this probe has not the time.
const MOST: usize = 2;
/// Jump hosts on one way, at most.
const LONGEST: usize = 8;
/// Keys that one jump host is asked about, at most: sshd ends a login at its sixth (`MaxAuthTries`).
const KEYS: u32 = 5;

/// Limits at each jump host.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Each connect.
    pub connect: Duration,
    /// Each answer of a server: greeting, key exchange, each key.
    pub answer: Duration,
    /// The login as a whole.
    pub login: Duration,
}

/// Says of each jump host, by the facts of its login with the host key in them, whether keys may be offered to it. One
/// whose key contradicts known_hosts, or is revoked, is offered none whatever this says.
pub type Judge = fn(&Facts) -> bool;

/// The judge of a diagnosis, and of what does the same as one: the login tells what the jump host lets through, and ends.
pub const PASSING: Judge = |_| true;

/// The judge of a login that lasts, with the user's own bytes in it: each host key must be one that may be trusted.
pub const LASTING: Judge = |facts| trust::judge(facts, Vouch::Nothing).is_good();

/// Asks AWS which instance has an address.
pub type Owner<'a> = &'a (dyn Fn(IpAddr) -> BoxFuture<'a, Fact<Instance>> + Send + Sync);

/// Goes the way over the jump hosts as far as it leads. `only_here` keeps strangers from being dialled: then loopback
/// addresses alone are, and no resolver is asked. The tunnel is there when the last one let us in; the way ends at the
/// first one that `judge` says no to.
pub async fn probe(
    hops: Vec<Hop>,
    target: &Target,
    only_here: bool,
    limits: Limits,
    owner: Owner<'_>,
    judge: Judge,
) -> (Fact<JumpHost>, Option<Tunnel>) {
    let mut steps = match steps(hops, target).await {
        Ok(steps) => steps,
        Err(why) => return (Fact::unknown(why), None),
    };
    let count = steps.len();
    let (mut tunnel, mut before): (Option<Arc<Tunnel>>, Vec<String>) = (None, Vec::new());
    for (at, step) in steps.iter_mut().enumerate() {
        let mut found = JumpHost {
            name: step.hop.name.clone(),
            port: step.port,
            before: before.clone(),
            last: at + 1 == count,
            ..JumpHost::default()
        };
        let (stream, source) = match &tunnel {
            None => dial(&mut found, &step.host, only_here, limits.connect).await,
            Some(tunnel) => onward(&mut found, tunnel, &step.host, limits.connect).await,
        };
        let asked = async {
            match found.address.filter(|_| found.last) {
                Some(address) => owner(address).await,
                None => Fact::NotAsked,
            }
        };
        let stream = match stream {
            Ok(Some(stream)) => stream,
            Ok(None) => {
                found.instance = asked.await;
                return (Fact::known(found, source), None);
            }
            Err(why) => return (Fact::unknown(why), None),
        };
        step.through = tunnel.take().map(|tunnel| Through { tunnel, host: step.host.clone() });
        let (instance, (heard, open)) =
            tokio::join!(asked, Box::pin(step.log_in(stream, found.address, limits, judge)));
        found.instance = instance;
        (found.outcome, found.words) = greeting(heard.server.value());
        step.login.wire.address = found.address;
        step.login.wire.port = Some(step.port);
        step.login.wire.ssh = heard.server;
        step.login.wire.offers_of_server = heard.lists;
        (step.login.wire.offers, step.login.wire.budget) = (heard.offers, heard.budget);
        found.login = Some(Box::new(step.login.clone()));
        match open {
            Some(open) if found.last => return (Fact::known(found, source), Some(open)),
            Some(open) => {
                before.push(found.name);
                tunnel = Some(Arc::new(open));
            }
            None => return (Fact::known(found, source), None),
        }
    }
    (Fact::unknown(Why::needs("a jump host")), None)
}

/// One jump host with what ssh would bring there.
struct Step {
    hop: Hop,
    host: String,
    port: u16,
    login: JumpLogin,
    agent: Option<std::ffi::OsString>,
    through: Option<Through>,
}

/// The jump hosts with their settings. Only the nearest one's own `ProxyJump` counts: to the others ssh is told the way.
async fn steps(mut hops: Vec<Hop>, target: &Target) -> Result<Vec<Step>, Why> {
    let mut steps: Vec<Step> = Vec::new();
    while let Some(hop) = hops.pop() {
        let step = Box::pin(prepare(hop, target)).await?;
        if hops.is_empty() {
            let config = step.login.local.config.value().cloned().unwrap_or_default();
            match way_of(&config, step.login.target.user.as_deref()) {
                Way::Direct => {}
                Way::Hops(own) => hops = own,
                Way::Command(command) | Way::Aws(AwsWay { command, .. }) => {
                    return Err(Why::needs(format!(
                        "a probe through the ProxyCommand of the jump host {} ({command}), which only ssh runs",
                        step.hop.name
                    )));
                }
                Way::Unreadable(list) => return Err(unreadable(&list)),
            }
        }
        steps.push(step);
        if steps.len() + hops.len() > LONGEST {
            return Err(Why::failed("following the jump hosts", "they lead to one another without end"));
        }
    }
    steps.reverse();
    Ok(steps)
}

/// Why a list of jump hosts leads nowhere.
pub fn unreadable(list: &str) -> Why {
    Why::failed("reading the jump host", format!("'{list}' is no list of [user@]host[:port]"))
}

/// Reads what ssh would use for a jump host: its Host block, keys, agent and known_hosts.
async fn prepare(hop: Hop, target: &Target) -> Result<Step, Why> {
    let mut own = Target {
        name: hop.host.clone(),
        user: hop.user.clone(),
        port: hop.port,
        keys: hop.keys.clone(),
        options: hop.options.clone(),
        config_file: hop.config_file.clone().or_else(|| target.config_file.clone()),
        ..Target::default()
    };
    let config = ssh_config::effective(&own).await;
    if let Some(why) = config.why_not() {
        return Err(why);
    }
    let set = config.value().cloned().unwrap_or_default();
    let host = set.hostname.clone().unwrap_or_else(|| hop.host.clone());
    let port = hop.port.or(set.port).unwrap_or(SSH_PORT);
    // Without a word from anybody ssh logs in as the user of this machine.
    own.user = own.user.or_else(|| set.user.clone());
    if own.user.is_none() {
        own.user = own_name().await;
    }
    own.port = Some(port);
    let alias = set.host_key_alias.clone();
    let (name, at) = alias.map_or((host.clone(), port), |alias| (alias, SSH_PORT));
    let mut facts = Facts { target: own, ..Facts::default() };
    facts.local.config = config;
    let names = [name];
    let (keys, agent, known) = tokio::join!(
        RealWorld::keys_of_login(&facts),
        agent::list(set.identity_agent.as_deref()),
        known_hosts::lookup(&names, at, &set.known_hosts_files),
    );
    let beside = |key: &crate::core::facts::local::KeyProbe| {
        crate::edge::keys::expand(&format!("{}-cert.pub", key.path)).exists()
    };
    let certificate = !set.certificate_files.is_empty() || keys.iter().any(beside);
    let local = LocalFacts { config: facts.local.config, keys, agent, known_hosts: known, ..LocalFacts::default() };
    let agent = agent::socket_of(set.identity_agent.as_deref());
    let login = JumpLogin { target: facts.target, local, certificate, ..JumpLogin::default() };
    Ok(Step { hop, host, port, login, agent, through: None })
}

/// The name of the user who runs this program.
async fn own_name() -> Option<String> {
    let id = ssh_config::find("id", std::env::var_os("PATH"))?;
    let done = ssh_config::run(&id, &["-un".into()]).await.ok().filter(|done| done.success)?;
    Some(done.output.trim().to_owned()).filter(|name| !name.is_empty())
}

impl Step {
    async fn log_in(
        &self,
        stream: Stream,
        address: Option<IpAddr>,
        limits: Limits,
        judge: Judge,
    ) -> (Heard, Option<Tunnel>) {
        let facts = self.login.facts();
        // The address only names the server in messages: the connection is open.
        let mut request = SshRequest::new(address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), self.port);
        request.users.extend(self.login.target.user.clone());
        request.cap = KEYS;
        (request.banner_limit, request.total_limit) = (limits.answer, limits.login);
        request.expect_known(&facts);
        request.through.clone_from(&self.through);
        request.agent.clone_from(&self.agent);
        let held: &[AgentKey] = facts.local.agent.value().map_or(&[], Vec::as_slice);
        // Keys that ssh would not bring are not asked about: this login is ssh's own.
        let would = crate::core::rules::offering::order(&facts);
        let brought = |label: &str| would.iter().any(|c| c.label() == label);
        let keys = keys_to_offer(&facts, 1, KEYS).into_iter().filter(|c| brought(&c.label()));
        request.keys = keys
            .filter_map(|candidate| {
                let of_agent = held.iter().any(|key| Some(key.fingerprint.as_str()) == candidate.fingerprint());
                RealWorld::ssh_key(candidate).map(|key| crate::edge::ssh::SshKey { held: of_agent, ..key })
            })
            .collect();
        let trusted = |server: &SshServer| {
            let mut facts = self.login.facts();
            facts.wire.ssh = Fact::known(server.clone(), "SSH");
            judge(&facts)
        };
        log_in(stream, request, &self.hop.name, trusted).await
    }
}

/// Outcome and words of what a server greeted with.
fn greeting(server: Option<&SshServer>) -> (String, String) {
    let (outcome, words) = match server {
        Some(SshServer::Ready { banner, .. } | SshServer::KexFailed { banner, .. }) => ("ssh", banner.clone()),
        Some(SshServer::NotSsh { first_bytes }) => ("not_ssh", first_bytes.clone()),
        Some(SshServer::BannerTimeout { after_ms }) => {
            ("silent", format!("no greeting within {}", crate::core::text::millis(*after_ms)))
        }
        Some(SshServer::ClosedBeforeBanner { reason }) if !reason.is_empty() => ("silent", reason.clone()),
        _ => ("silent", "it closed the connection".to_owned()),
    };
    (outcome.to_owned(), words)
}

/// A connection, nothing when the outcome is written down, or why it cannot be told; and where it was asked.
type Dialled = (Result<Option<Stream>, Why>, String);

/// Dials the nearest jump host, until one address takes the connection; what the last one said is the outcome otherwise.
async fn dial(found: &mut JumpHost, host: &str, only_here: bool, limit: Duration) -> Dialled {
    let mut source = format!("name look-up of {host}");
    if only_here && host.parse::<IpAddr>().is_err() && host != "localhost" {
        let why = Why::needs("AWS's own EC2 endpoint: with another one no resolver is asked");
        return (Err(why), source);
    }
    let addresses = match dns::lookup(host).await {
        Fact::Known { value, .. } => value,
        Fact::Unknown { why: Why::NotFound { what } } => {
            (found.outcome, found.words) = ("no_address".to_owned(), format!("there is no {what}"));
            return (Ok(None), source);
        }
        other => return (Err(other.why_not().unwrap_or(Why::needs("an address"))), source),
    };
    let mut last = Err(Why::needs("an address of the jump host"));
    for address in addresses.iter().take(MOST) {
        if only_here && !address.is_loopback() {
            let why = format!("AWS's own EC2 endpoint: {address} may belong to a stranger and is not dialled");
            return (Err(Why::needs(why)), source);
        }
        source = format!("TCP connect to {}", SocketAddr::new(*address, found.port));
        found.address = Some(*address);
        let (fact, stream) = tcp::connect(*address, found.port, limit).await;
        if let Some(stream) = stream {
            return (Ok(Some(over_tcp(stream))), source);
        }
        let (outcome, words) = match fact {
            Fact::Known { value: Tcp::Refused { .. }, .. } => ("refused", "connection refused".to_owned()),
            Fact::Known { value: Tcp::TimedOut { after_ms }, .. } => {
                ("timed_out", format!("no answer in {}", crate::core::text::millis(after_ms)))
            }
            Fact::Known { value: Tcp::Unreachable { reason }, .. } => ("unreachable", reason),
            fact => {
                last = Err(fact.why_not().unwrap_or(Why::needs("a TCP connection")));
                continue;
            }
        };
        (found.outcome, found.words) = (outcome.to_owned(), words);
        last = Ok(None);
    }
    (last, source)
}

/// Asks a jump host to connect to the next one.
async fn onward(found: &mut JumpHost, tunnel: &Tunnel, host: &str, limit: Duration) -> Dialled {
    let source = format!("connect to {host}:{} through {}", found.port, tunnel.name());
    found.address = host.parse().ok();
    let (said, stream) = tunnel.open(host, found.port, limit).await;
    if stream.is_some() {
        return (Ok(stream), source);
    }
    match tcp_of(&said, 0) {
        Some(Tcp::Refused { .. }) => "refused".clone_into(&mut found.outcome),
        Some(Tcp::TimedOut { .. }) => "timed_out".clone_into(&mut found.outcome),
        Some(_) => "unreachable".clone_into(&mut found.outcome),
        None if said.outcome == "prohibited" => "prohibited".clone_into(&mut found.outcome),
        None if said.outcome == "failed" => "no_address".clone_into(&mut found.outcome),
        None => return (Err(Why::failed(source.clone(), said.words)), source),
    }
    found.words = said.words;
    (Ok(None), source)
}

/// What a jump host's answer says about the TCP connection: its words are those of connect(2) (OpenSSH channels.c
/// passes `strerror` on). `None` when it did not come to a connect: forbidden, no such name, or the tunnel ended.
pub fn tcp_of(said: &Onward, millis: u64) -> Option<Tcp> {
    let words = said.words.to_ascii_lowercase();
    let unreachable = ["no route to host", "unreachable", "host is down", "permission denied", "not permitted"];
    match said.outcome.as_str() {
        "open" => Some(Tcp::Connected { millis }),
        "failed" if words.contains("refused") => Some(Tcp::Refused { millis }),
        // Silence of the jump host itself is not told apart: it answers when its own connect has ended.
        "no_answer" => Some(Tcp::TimedOut { after_ms: millis }),
        "failed" if words.contains("timed out") => Some(Tcp::TimedOut { after_ms: millis }),
        "failed" if unreachable.iter().any(|u| words.contains(u)) => {
            Some(Tcp::Unreachable { reason: strip_controls(&said.words) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::jump::parse;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpSocket};

    const LIMITS: Limits =
        Limits { connect: Duration::from_secs(5), answer: Duration::from_millis(400), login: Duration::from_secs(5) };

    async fn probed(names: &str, target: &Target) -> Fact<JumpHost> {
        let hops = names.split(',').map(|name| parse(name).unwrap()).collect();
        let nobody = |_| -> BoxFuture<'_, Fact<Instance>> { Box::pin(async { Fact::NotAsked }) };
        probe(hops, target, true, LIMITS, &nobody, PASSING).await.0
    }

    fn no_file() -> Target {
        Target { config_file: Some("none".to_owned()), ..Target::default() }
    }

    /// Probes a port of this host that greets with these bytes, and then waits.
    async fn greeted(bytes: &'static [u8], close: bool) -> JumpHost {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(bytes).await.unwrap();
            let mut heard = [0; 15];
            if !close {
                stream.read_exact(&mut heard).await.unwrap();
                assert!(heard.starts_with(b"SSH-2.0-port22_"), "{heard:?}");
            }
            (!close).then_some(stream)
        });
        let fact = probed(&format!("me@127.0.0.1:{port}"), &no_file()).await;
        let host = fact.value().unwrap_or_else(|| panic!("{fact:?}")).clone();
        drop(server.await.unwrap());
        assert_eq!((host.port, host.address), (port, Some("127.0.0.1".parse().unwrap())));
        host
    }

    #[tokio::test]
    async fn greetings_are_told_apart() {
        let host = greeted(b"Welcome\r\nSSH-2.0-OpenSSH_9.6\r\n", false).await;
        assert_eq!((host.outcome.as_str(), host.words.as_str()), ("ssh", "SSH-2.0-OpenSSH_9.6"));
        assert!(matches!(host.login.unwrap().wire.ssh.value(), Some(SshServer::KexFailed { .. })));
        assert_eq!(greeted(b"HTTP/1.1 400 Bad Request\r\n", false).await.outcome, "not_ssh");
        assert_eq!(greeted(b"", false).await.outcome, "silent");
        assert_eq!(greeted(b"", true).await.outcome, "silent");
    }

    #[tokio::test]
    async fn a_closed_port_refuses() {
        let closed = TcpSocket::new_v4().unwrap();
        closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = closed.local_addr().unwrap().port();
        let fact = probed(&format!("127.0.0.1:{port}"), &no_file()).await;
        assert_eq!(fact.value().map(|h| h.outcome.as_str()), Some("refused"), "{fact:?}");
    }

    #[tokio::test]
    async fn strangers_are_not_dialled_beside_an_emulator() {
        for name in ["203.0.113.9", "bastion.example.com"] {
            let fact = probed(name, &no_file()).await;
            assert!(matches!(fact, Fact::Unknown { why: Why::Needs { .. } }), "{name}: {fact:?}");
        }
    }

    #[tokio::test]
    async fn the_file_of_the_target_names_the_jump_host_and_the_jump_hosts_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        let closed = TcpSocket::new_v4().unwrap();
        closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = closed.local_addr().unwrap().port();
        let text = format!(
            "Host bastion\n  HostName 127.0.0.1\n  Port {port}\n  User gate\n  IdentityFile ~/gate.pem\n\
             Host far\n  HostName 10.0.0.1\n  ProxyJump bastion\n\
             Host round\n  ProxyJump about\nHost about\n  ProxyJump round\nHost by\n  ProxyCommand nc %h %p\n"
        );
        std::fs::write(&path, text).unwrap();
        let target = Target { config_file: path.to_str().map(str::to_owned), ..Target::default() };
        let fact = probed("me@bastion", &target).await;
        let host = fact.value().unwrap_or_else(|| panic!("{fact:?}"));
        assert_eq!((host.outcome.as_str(), host.port, host.name.as_str()), ("refused", port, "me@bastion"));
        assert!(host.last);
        let fact = probed("far", &target).await;
        let host = fact.value().unwrap_or_else(|| panic!("{fact:?}"));
        assert_eq!((host.name.as_str(), host.last), ("bastion", false), "the nearest comes first");
        for (name, words) in [("round", "without end"), ("by", "nc %h %p")] {
            let why = probed(name, &target).await.why_not().map(|w| w.text()).unwrap_or_default();
            assert!(why.contains(words), "{name}: {why}");
        }
    }

    #[test]
    fn words_of_the_jump_host_are_those_of_connect() {
        let said = |outcome: &str, words: &str| {
            tcp_of(&Onward { outcome: outcome.to_owned(), words: words.to_owned(), ..Onward::default() }, 7)
        };
        assert_eq!(said("failed", "Connection refused"), Some(Tcp::Refused { millis: 7 }));
        assert_eq!(said("failed", "Connection timed out"), Some(Tcp::TimedOut { after_ms: 7 }));
        assert_eq!(said("no_answer", ""), Some(Tcp::TimedOut { after_ms: 7 }));
        assert!(matches!(said("failed", "No route to host"), Some(Tcp::Unreachable { .. })));
        assert_eq!(said("failed", "Name or service not known"), None);
        assert_eq!(said("prohibited", "open failed"), None);
        assert_eq!(said("failed", ""), None);
    }
}
