//! The hosts' SSH ports: one listener per address, re-made whenever the account's state changes.
//!
//! Used by `Lab`. Must bind loopback addresses only. A packet filter cannot be had without root, so
//! a host that packets do not reach is a listening socket whose queue of accepted connections is
//! full: Linux then drops further SYNs, and a client sees a real time-out.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(unix)]
use std::os::fd::OwnedFd as Owned;
#[cfg(windows)]
use std::os::windows::io::OwnedSocket as Owned;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Shared;
use super::reach::{self, Mode, Place};
use super::sshd;

/// How long to wait before a port is tried again that could not be bound.
const RETRY: Duration = Duration::from_millis(50);

/// How long the web server waits for a client that says nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a web server on the wrong port says.
const HTTP_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nServer: nginx/1.26.2\r\nContent-Type: text/html\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// The second packet of a Remote Desktop connection, X.224 Connection Confirm: TLS, please (MS-RDPBCGR 2.2.1.2).
const RDP_CONFIRM: [u8; 19] = [3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, 2, 0, 8, 0, 1, 0, 0, 0];

/// sshd hangs up on a client that has not logged in by then (LoginGraceTime).
const GRACE: Duration = Duration::from_mins(2);

/// Bytes on the way between an agent and a port.
const PIPE: usize = 64 * 1024;

/// One address and what runs there now.
struct Host {
    mode: Mode,
    instance: Option<String>,
    task: Option<JoinHandle<()>>,
    /// Kept over changes, so that no packet meets a closed port in between.
    listener: Option<Arc<TcpListener>>,
    /// The connection that fills the queue of a listener that never accepts.
    filler: Option<TcpStream>,
}

/// All hosts of the lab.
pub(super) struct Hosts {
    shared: Arc<Shared>,
    running: HashMap<Place, Host>,
    /// Per instance: turned to true when its power goes.
    power: HashMap<String, watch::Sender<bool>>,
}

impl Hosts {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, running: HashMap::new(), power: HashMap::new() }
    }

    /// Brings all listeners in line with the account. Returns when to look again.
    pub async fn apply(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let (next, plan, off) = {
            let mut world = self.shared.world();
            let next = world.settle(now);
            let off: Vec<String> =
                world.instances.iter().filter(|instance| !instance.up()).map(|instance| instance.id.clone()).collect();
            (next, reach::plan(&world), off)
        };
        for instance in off {
            if let Some(power) = self.power.remove(&instance) {
                let _ = power.send(true);
            }
        }
        let mut retry = false;
        for (address, mode, instance) in changes(&self.running, plan) {
            retry |= self.set(address, mode, instance).await.is_err();
        }
        if retry { Some(next.unwrap_or(now + RETRY).min(now + RETRY)) } else { next }
    }

    /// Applies changes for as long as the task lives.
    pub async fn run(mut self, mut next: Option<Instant>) {
        let shared = self.shared.clone();
        loop {
            let wait = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shared.changed.notified() => {}
                () = wait => {}
            }
            next = self.apply().await;
        }
    }

    async fn set(&mut self, address: Place, mode: Mode, instance: Option<String>) -> io::Result<()> {
        let mut kept = None;
        if let Some(mut old) = self.running.remove(&address) {
            if let Some(task) = old.task.take() {
                task.abort();
                let _ = task.await;
            }
            kept = old.listener.take().and_then(Arc::into_inner);
        }
        let place = SocketAddr::from(address);
        let mut host = Host { mode, instance: instance.clone(), task: None, listener: None, filler: None };
        match mode {
            Mode::Refused => {}
            Mode::Blocked => {
                host.listener = Some(Arc::new(listen(place, 0, kept)?));
                // If somebody else is in the queue already, it is full without the filler.
                let filler = tokio::time::timeout(RETRY, TcpStream::connect(place)).await;
                host.filler = filler.ok().and_then(Result::ok);
            }
            Mode::Sshd | Mode::Silent | Mode::Http | Mode::Closed | Mode::Penalty | Mode::Stall | Mode::Rdp => {
                let listener = Arc::new(listen(place, 128, kept)?);
                let instance = instance.unwrap_or_default();
                let power = self.power_of(&instance);
                let work = accept(listener.clone(), mode, self.shared.clone(), instance, power);
                host.listener = Some(listener);
                host.task = Some(tokio::spawn(work));
            }
        }
        self.running.insert(address, host);
        Ok(())
    }

    fn power_of(&mut self, instance: &str) -> watch::Receiver<bool> {
        self.power.entry(instance.to_owned()).or_insert_with(|| watch::channel(false).0).subscribe()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in self.running.values_mut() {
            if let Some(task) = host.task.take() {
                task.abort();
            }
        }
        for power in self.power.values() {
            let _ = power.send(true);
        }
    }
}

/// The addresses that behave differently in the plan.
fn changes(
    hosts: &HashMap<Place, Host>,
    plan: BTreeMap<Place, (Mode, Option<String>)>,
) -> Vec<(Place, Mode, Option<String>)> {
    plan.into_iter()
        .filter(|(address, (mode, instance))| {
            hosts
                .get(address)
                .is_none_or(|host| host.mode != *mode || (*mode != Mode::Blocked && host.instance != *instance))
        })
        .map(|(address, (mode, instance))| (address, mode, instance))
        .collect()
}

/// A listening socket with a queue of this length, made anew or from the one that was there: Linux
/// takes a second `listen` as a change of the length. With 0, it holds one connection and drops the
/// SYNs of all others.
fn listen(place: SocketAddr, backlog: u32, kept: Option<TcpListener>) -> io::Result<TcpListener> {
    if !place.ip().is_loopback() {
        return Err(io::Error::other("the lab listens on loopback addresses only"));
    }
    let socket = if let Some(listener) = kept {
        TcpSocket::from_std_stream(std::net::TcpStream::from(Owned::from(listener.into_std()?)))
    } else {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(place)?;
        socket
    };
    socket.listen(backlog)
}

async fn accept(
    listener: Arc<TcpListener>,
    mode: Mode,
    shared: Arc<Shared>,
    instance: String,
    power: watch::Receiver<bool>,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, or the peer has gone: go on after a moment.
            tokio::time::sleep(RETRY).await;
            continue;
        };
        let (shared, instance, power) = (shared.clone(), instance.clone(), power.clone());
        let _ = stream.set_nodelay(true);
        tokio::spawn(meet(stream, mode, shared, instance, power));
    }
}

/// A connection from within an instance, as its agent makes it: to a port of its own, or of a host of its VPC. The error
/// is in the words of the agent's system calls.
pub(super) async fn open_inside(
    shared: &Arc<Shared>,
    instance: &str,
    host: Option<&str>,
    port: u16,
    power: watch::Receiver<bool>,
) -> Result<DuplexStream, String> {
    let refused = |place: &str| Err(format!("dial tcp {place}:{port}: connect: connection refused"));
    let (mode, instance) = {
        let world = shared.world();
        let Some(here) = world.instance(instance).filter(|instance| instance.up()) else {
            return refused("127.0.0.1");
        };
        let own =
            host.is_none_or(|host| host == "localhost" || host == "127.0.0.1" || host == here.private.to_string());
        if own {
            (reach::inside(&world, here, port), here.id.clone())
        } else {
            let host = host.unwrap_or_default();
            let Ok(address) = host.parse() else {
                return Err(format!("dial tcp: lookup {host}: no such host"));
            };
            reach::onward(&world, here, address, port).unwrap_or((Mode::Blocked, String::new()))
        }
    };
    match mode {
        Mode::Refused => refused(host.unwrap_or("127.0.0.1")),
        Mode::Blocked => {
            tokio::time::sleep(sshd::LOST_FOR).await;
            Err(format!("dial tcp {}:{port}: connect: connection timed out", host.unwrap_or_default()))
        }
        mode => {
            let (near, far) = tokio::io::duplex(PIPE);
            tokio::spawn(meet(far, mode, shared.clone(), instance, power));
            Ok(near)
        }
    }
}

/// What a client meets on a connection that was made.
async fn meet<S>(mut stream: S, mode: Mode, shared: Arc<Shared>, instance: String, mut power: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match mode {
        Mode::Sshd => sshd::serve(stream, shared, instance, power).await,
        Mode::Http => {
            // A web server waits for a request; an SSH client greets at once.
            let mut heard = [0_u8; 1024];
            let _ = tokio::time::timeout(PATIENCE, stream.read(&mut heard)).await;
            let _ = stream.write_all(HTTP_ANSWER).await;
            let _ = stream.shutdown().await;
            let _ = tokio::time::timeout(PATIENCE, stream.read(&mut heard)).await;
        }
        Mode::Rdp => {
            // It waits for a request; what would follow the confirmation is not acted out.
            let mut heard = [0_u8; 256];
            let asked = async { matches!(stream.read(&mut heard).await, Ok(1..)) && heard[0] == 3 };
            let asked = tokio::select! {
                asked = asked => asked,
                () = sshd::power_off(&mut power) => false,
            };
            if asked {
                let _ = stream.write_all(&RDP_CONFIRM).await;
                let _ = tokio::time::timeout(PATIENCE, stream.read(&mut heard)).await;
            }
        }
        Mode::Penalty => {
            let _ = stream.write_all(b"Not allowed at this time\r\n").await;
        }
        Mode::Silent | Mode::Stall => {
            if mode == Mode::Stall {
                let _ = stream.write_all(sshd::greeting(&shared, &instance).as_bytes()).await;
            }
            let mut heard = [0_u8; 256];
            let listen = async { while matches!(stream.read(&mut heard).await, Ok(1..)) {} };
            let grace = if mode == Mode::Stall { GRACE } else { Duration::MAX };
            tokio::select! {
                () = listen => {}
                () = tokio::time::sleep(grace) => {}
                () = sshd::power_off(&mut power) => {}
            }
        }
        Mode::Closed | Mode::Blocked | Mode::Refused => {}
    }
}
