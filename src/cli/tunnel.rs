//! `port22 proxy` and `port22 forward`: a port of an instance through Session Manager, without a plug-in, or through an
//! EC2 Instance Connect Endpoint.
//!
//! stdout of `proxy` carries the bytes of the port and nothing else; that of `forward` begins with the address it
//! listens on. Both end their session when they are stopped (Ctrl-C, SIGQUIT, SIGTERM, SIGHUP), also while it is opened.
//! Must not judge why a target is not connected: `port22 diagnose` does.

use super::args::{Cli, Door, ForwardArgs, ProxyArgs};
use super::input;
use super::output::{self, Exit};
use crate::core::facts::Facts;
use crate::core::probe::ProbeId;
use crate::core::target::TargetKind;
use crate::edge::RealWorld;
use crate::edge::channel::eice::Lead;
use crate::edge::channel::{Failed, Handle, PortTarget, Ports, open_port};
use crate::engine::failure::Failure;
use crate::engine::world::World as _;
use crate::signals::Signals;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Bytes that are moved at once.
const CHUNK: usize = 16 * 1024;
/// The port's last words after standard input has ended: no close of one direction can be told to the agent.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Bytes between standard input and output and a port.
pub async fn proxy(cli: &Cli, args: &ProxyArgs) -> Result<Exit, Failure> {
    let doing = format!("connect to port {} of {}", args.port, args.target);
    let mut signals = Signals::listen();
    if args.door == Some(Door::Eice) {
        return Box::pin(proxy_by_endpoint(cli, args, &doing, &mut signals)).await;
    }
    let opened =
        Box::pin(unless(&mut signals, open(cli, &args.target, &PortTarget::Ssh { port: args.port }, &doing))).await;
    let Some(ports) = opened.transpose()? else { return Ok(Exit::Ok) };
    let stream = ports.open().map_err(|e| Failure::failed(&doing, e.to_string(), "try again"))?;
    let notices = tokio::spawn(tell(ports.handle()));
    let moved = joined(stream, true, &mut signals).await;
    let outcome = ports.close().await;
    notices.abort();
    match moved {
        _ if outcome.end.is_normal() => Ok(Exit::Ok),
        _ => Err(Failure::failed(&doing, outcome.end.to_string(), next(&args.target))),
    }
}

/// The same through the VPC's EC2 Instance Connect Endpoint.
async fn proxy_by_endpoint(cli: &Cli, args: &ProxyArgs, doing: &str, signals: &mut Signals) -> Result<Exit, Failure> {
    let opened = async {
        let (world, lead) = Box::pin(lead(cli, &args.target, args.port)).await?;
        world.tunnel(&lead, &args.target).await
    };
    let Some(tunnel) = Box::pin(unless(signals, opened)).await.transpose()? else { return Ok(Exit::Ok) };
    match joined(tunnel, false, signals).await {
        Ok(()) => Ok(Exit::Ok),
        Err(e) => Err(Failure::failed(doing, e.to_string(), next(&args.target))),
    }
}

/// What comes of `work`; nothing when the program is to end before. What `work` has begun is ended with the program.
async fn unless<T>(signals: &mut Signals, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        _ = signals.next() => None,
    }
}

/// Moves bytes between standard input and output and a stream until the stream ends, or pauses after the input has ended,
/// or the program is to end. `half`: the stream can be told the end of the input alone; otherwise that would end the
/// other direction too.
async fn joined(stream: impl AsyncRead + AsyncWrite, half: bool, signals: &mut Signals) -> io::Result<()> {
    let (mut down, mut up) = tokio::io::split(stream);
    let (said, over) = oneshot::channel();
    // Beside the other direction, never after it: a reader of our output may wait for what we have not read yet.
    let typed = async {
        let _ = copy(&mut tokio::io::stdin(), &mut up).await;
        if half {
            let _ = up.shutdown().await;
        }
        let _ = said.send(());
        std::future::pending::<()>().await;
    };
    let moved = tokio::select! {
        moved = shown(&mut down, over) => moved,
        () = typed => Ok(()),
        _ = signals.next() => Ok(()),
    };
    if !half {
        let _ = timeout(LAST_WORDS, up.shutdown()).await;
    }
    moved
}

/// Where the tunnels of the target's endpoint go.
async fn lead(cli: &Cli, name: &str, port: u16) -> Result<(RealWorld, Lead), Failure> {
    let world = input::world(&cli.global).await;
    let target = input::target(name, &super::args::SshArgs::default(), &cli.global)?;
    let lead = Box::pin(world.tunnel_lead(&Facts { target, ..Facts::default() }, port)).await?;
    Ok((world, lead))
}

/// Copies the port's bytes to standard output until they end, or until they pause after standard input is `over`.
async fn shown(down: &mut (impl AsyncRead + Unpin), mut over: oneshot::Receiver<()>) -> io::Result<()> {
    let (mut buffer, mut out, mut last) = (vec![0; CHUNK], tokio::io::stdout(), false);
    loop {
        let count = tokio::select! {
            read = down.read(&mut buffer) => read?,
            _ = &mut over, if !last => {
                last = true;
                continue;
            }
            () = tokio::time::sleep(LAST_WORDS), if last => return Ok(()),
        };
        if count == 0 {
            return Ok(());
        }
        out.write_all(&buffer[..count]).await?;
        out.flush().await?;
    }
}

/// Copies and flushes each piece: a key must not wait for the next one.
async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..count]).await?;
        to.flush().await?;
    }
}

/// A local port that leads to one of the instance, or of a host that it reaches.
pub async fn forward(cli: &Cli, args: &ForwardArgs) -> Result<Exit, Failure> {
    let way = Way::read(&args.way).map_err(|reason| {
        Failure::usage(format!("read '{}'", args.way), reason, "port22 forward TARGET [LOCALPORT:][HOST:]PORT")
    })?;
    let doing = format!("forward {} through {}", args.way, args.target);
    let taken = |e: io::Error| Failure::usage(&doing, format!("port {}: {e}", way.local), "name another local port");
    // Before the session: a port that is in use is the more frequent mistake.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, way.local)).await.map_err(taken)?;
    let address = listener.local_addr().map_err(taken)?;
    let mut signals = Signals::listen();
    if args.door == Some(Door::Eice) {
        return Box::pin(forward_by_endpoint(cli, args, &way, listener, &doing, &mut signals)).await;
    }
    let target = PortTarget::Forward { host: way.host.clone(), port: way.port };
    let opened = Box::pin(unless(&mut signals, open(cli, &args.target, &target, &doing))).await;
    let Some(ports) = opened.transpose()? else { return Ok(Exit::Ok) };
    let handle = ports.handle();
    let failed = |reason: String| Failure::failed(&doing, reason, next(&args.target));
    let Some(running) = unless(&mut signals, handle.running()).await else {
        ports.close().await;
        return Ok(Exit::Ok);
    };
    running.map_err(|end| failed(end.to_string()))?;
    output::print(&address.to_string());
    let notices = tokio::spawn(tell(handle.clone()));
    let outcome = loop {
        tokio::select! {
            local = accepted(&listener) => connect(&ports, local),
            outcome = handle.wait() => break outcome,
            _ = signals.next() => break ports.close().await,
        }
    };
    notices.abort();
    if outcome.end.is_normal() { Ok(Exit::Ok) } else { Err(failed(outcome.end.to_string())) }
}

/// A local port that leads to one of the instance: a tunnel for each connection.
async fn forward_by_endpoint(
    cli: &Cli,
    args: &ForwardArgs,
    way: &Way,
    listener: TcpListener,
    doing: &str,
    signals: &mut Signals,
) -> Result<Exit, Failure> {
    if way.host.is_some() {
        let why = "an EC2 Instance Connect Endpoint leads to the instance itself, to no host behind it";
        return Err(Failure::usage(doing, why, "leave out the host, or take --door ssm"));
    }
    let found = unless(signals, Box::pin(lead(cli, &args.target, way.port))).await;
    let Some((world, lead)) = found.transpose()? else { return Ok(Exit::Ok) };
    let world = Arc::new(world);
    let address = listener.local_addr().map_err(|e| Failure::usage(doing, e.to_string(), "name another local port"))?;
    output::print(&address.to_string());
    loop {
        let Some(mut local) = unless(signals, accepted(&listener)).await else { return Ok(Exit::Ok) };
        let (world, lead, target) = (Arc::clone(&world), lead.clone(), args.target.clone());
        tokio::spawn(async move {
            let _ = local.set_nodelay(true);
            match world.tunnel(&lead, &target).await {
                Ok(mut tunnel) => {
                    if let Err(e) = tokio::io::copy_bidirectional(&mut local, &mut tunnel).await {
                        output::note(&format!("port22: {e}"));
                    }
                }
                Err(failure) => output::note(&format!("port22: {failure}")),
            }
        });
    }
}

/// The next local connection.
async fn accepted(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((local, _)) => return local,
            // Too many open files, as a rule: what is open may end.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Joins a local connection and a new one through the session.
fn connect(ports: &Ports, mut local: TcpStream) {
    let stream = match ports.open() {
        Ok(stream) => stream,
        Err(e) => return output::note(&format!("port22: {e}")),
    };
    tokio::spawn(async move {
        let _ = local.set_nodelay(true);
        let (mut reader, mut writer) = local.split();
        let (mut down, mut up) = tokio::io::split(stream);
        let sent = async {
            let _ = copy(&mut reader, &mut up).await;
            let _ = up.shutdown().await;
            // The remote's close ends both: there is no other.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = copy(&mut down, &mut writer) => {}
            () = sent => {}
        }
        let _ = writer.shutdown().await;
    });
}

/// Shows what is worth telling while a session lasts.
async fn tell(handle: Handle) {
    while let Some(notice) = handle.notice().await {
        output::note(&format!("port22: {notice}"));
    }
}

fn next(target: &str) -> String {
    format!("port22 diagnose {target} tells why")
}

/// Finds the target and starts a session.
async fn open(cli: &Cli, name: &str, port: &PortTarget, doing: &str) -> Result<Ports, Failure> {
    let world = input::world(&cli.global).await;
    let (id, region) = find(cli, name, &world, doing).await?;
    let limit = Duration::from_secs(cli.global.timeout.unwrap_or(60));
    match timeout(limit, open_port(world.aws(), &region, &id, port)).await {
        Ok(Ok(ports)) => Ok(ports),
        Ok(Err(failed @ Failed::NotConnected { .. })) => Err(Failure::failed(doing, failed.to_string(), next(name))),
        Ok(Err(failed)) => Err(Failure::failed(doing, failed.to_string(), "correct this, and try again")),
        Err(_) => Err(Failure::failed(doing, "the service did not answer in time", "try again")),
    }
}

/// Id and region of the target. An id in one region needs no question, and no right to ask one.
async fn find(cli: &Cli, name: &str, world: &RealWorld, doing: &str) -> Result<(String, String), Failure> {
    let target = input::target(name, &super::args::SshArgs::default(), &cli.global)?;
    if let [region] = world.regions()
        && (target.kind() == TargetKind::InstanceId || target.name.starts_with("mi-"))
    {
        return Ok((target.name, region.clone()));
    }
    let mut facts = Facts { target, ..Facts::default() };
    for probe in [ProbeId::SshConfig, ProbeId::Instance] {
        for observation in world.observe(probe, Arc::new(facts.clone())).await {
            observation.apply(&mut facts);
        }
    }
    let instance = facts.aws.instance;
    match (instance.value(), instance.why_not()) {
        (Some(found), _) => Ok((found.id.clone(), found.region.clone())),
        (None, why) => {
            let why = why.map(|why| why.text()).unwrap_or_default();
            Err(Failure::usage(doing, why, "give the instance id, and its Region with --region"))
        }
    }
}

/// `[LOCALPORT:][HOST:]PORT`.
#[derive(Debug, PartialEq, Eq)]
struct Way {
    /// 0 for any free one.
    local: u16,
    host: Option<String>,
    port: u16,
}

impl Way {
    fn read(text: &str) -> Result<Self, String> {
        let number = |part: &str| part.parse::<u16>().map_err(|_| format!("'{part}' is not a port"));
        let (rest, port) = text.rsplit_once(':').unwrap_or(("", text));
        let port = number(port)?;
        if port == 0 {
            return Err("port 0 is none".to_owned());
        }
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let (local, host) = match rest.split_once(':') {
            _ if rest.is_empty() => (0, ""),
            None if digits(rest) => (number(rest)?, ""),
            Some((first, host)) if digits(first) => (number(first)?, host),
            _ => (0, rest),
        };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err(format!("'{host}' is not a host; an IPv6 address stands in brackets"));
        }
        let host = bare.unwrap_or(host);
        if host.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("a host has no spaces".to_owned());
        }
        Ok(Self { local, host: Some(host.to_owned()).filter(|h| !h.is_empty()), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_read_as_ssh_reads_them() {
        for (text, local, host, port) in [
            ("80", 0, None, 80),
            ("8080:80", 8080, None, 80),
            ("db.internal:5432", 0, Some("db.internal"), 5432),
            ("15432:db.internal:5432", 15432, Some("db.internal"), 5432),
            ("9000:[fd00::1]:90", 9000, Some("fd00::1"), 90),
            ("[fd00::1]:90", 0, Some("fd00::1"), 90),
        ] {
            let way = Way { local, host: host.map(str::to_owned), port };
            assert_eq!(Way::read(text), Ok(way), "{text}");
        }
        for text in ["", ":", "0", "70000", "x", "80:", "70000:80", "1:fd00::1:90", "a b:80", "8080:0"] {
            assert!(Way::read(text).is_err(), "{text}");
        }
    }
}
