//! SSH probe: banner, host key, and "would you take this key for this user?".
//!
//! Must not write known_hosts, open a session or run a command, and must not try more than it was
//! allowed to: servers count attempts (OpenSSH `MaxAuthTries`, `PerSourcePenalties`; fail2ban). One
//! connection per user name, several keys over the same one. A key is asked about without a signature
//! (RFC 4252, section 7): the server answers whether it would take it, and nobody is logged in. The
//! host key is accepted whatever it is, because nothing secret is sent; what it means is said in `rules`.
//! Over a jump host the connection is a channel of a [`Tunnel`]: to that host there is one login, without a session.
//!
//! Used by the SSH probe of [`super::RealWorld`].

mod algorithms;
mod banner;
mod key;
mod login;
mod session;
mod tap;
mod tunnel;
mod watch;

pub use login::{Login, enter};
pub use tunnel::{Tunnel, log_in};

use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::wire::{Answer, Budget, Offer, SshServer, Tcp};
use crate::core::kexinit::KexLists;
use crate::core::text;
use crate::edge::remote::Unrun;
use crate::edge::tcp;
use key::Offered;
use session::{Opened, Pace, Session};
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tap::Tap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Exchanges identification strings over a new connection: the server's, or what came instead of it.
pub(super) async fn greeting(stream: &mut TcpStream, limit: Duration) -> Result<String, SshServer> {
    banner::exchange(stream, algorithms::CLIENT, limit).await.map(|found| found.text)
}

/// Exchanges identification strings over an open connection, and gives one on which a login finds them still to come.
/// Nobody is named and nothing is offered. The error says what came instead of the server's.
pub(super) async fn greeted(mut stream: Stream, limit: Duration) -> Result<Stream, String> {
    let found = banner::exchange(&mut stream, algorithms::CLIENT, limit).await.map_err(|server| no_session(&server))?;
    let sent = algorithms::CLIENT.len() + "\r\n".len();
    Ok(Box::new(banner::Replay::new(stream, found.from_here, sent, Tap::default())))
}

/// The stream from its beginning on, of which `first` was read already.
pub(super) fn played_back(stream: Stream, first: Vec<u8>) -> Stream {
    Box::new(banner::Replay::new(stream, first, 0, Tap::default()))
}

/// Attempts that one probe may make, if nothing else is said.
pub const DEFAULT_CAP: u32 = 3;

/// Bytes both ways: a socket, or a channel of a jump host.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// An open connection, of whatever kind.
pub type Stream = Box<dyn Duplex>;

/// A socket as a [`Stream`]. Questions are small and each waits for its answer, so nothing is held back.
pub fn over_tcp(socket: TcpStream) -> Stream {
    let _ = socket.set_nodelay(true);
    Box::new(socket)
}

/// Where connections to the server come from, when not from a socket of this machine.
#[derive(Debug, Clone)]
pub struct Through {
    /// The login to the last jump host.
    pub tunnel: Arc<Tunnel>,
    /// Host that it is asked to connect to.
    pub host: String,
}

/// What to ask an SSH server.
#[derive(Debug, Clone)]
pub struct SshRequest {
    /// Address to dial.
    pub address: IpAddr,
    /// Port to dial.
    pub port: u16,
    /// The user to log in as, then at most one alternative that is asked for only if the first one was
    /// refused every key.
    pub users: Vec<String>,
    /// Keys in the order in which a client would offer them.
    pub keys: Vec<SshKey>,
    /// Whether to complete the login of the first user with a signature where the server takes a key
    /// that can be used without passphrase.
    pub sign: bool,
    /// Attempts over all users.
    pub cap: u32,
    /// Limit of the TCP connect.
    pub connect_limit: Duration,
    /// Limit of each answer of the server: banner, key exchange, each key.
    pub banner_limit: Duration,
    /// Limit of everything together: what is known by then is the answer.
    pub total_limit: Duration,
    /// Host key types that known_hosts has for the target (`ssh-ed25519`, …): asked for first, as
    /// OpenSSH does, so that the host key can be compared with the known one.
    pub known_types: Vec<String>,
    /// Host keys that known_hosts has for the target: algorithm and fingerprint.
    pub known: Vec<(String, String)>,
    /// Fingerprints of host keys that known_hosts marks as revoked.
    pub revoked: Vec<String>,
    /// Ask about the other user even when the first one's key was taken (root on cloud images).
    pub ask_both: bool,
    /// Consent to open a session as root, to hear who cloud images want to log in.
    pub inside: bool,
    /// The jump host that connects, if one does: then `address` only names the server.
    pub through: Option<Through>,
    /// Socket of the agent that may sign for keys whose private half is not given; without it nobody is asked to.
    pub agent: Option<OsString>,
    /// The connection is for a terminal: it may be idle for hours, and a server that is gone is noticed.
    pub lasting: bool,
}

impl SshRequest {
    /// A request that looks at banner and host key; users and keys are added by the caller.
    pub fn new(address: IpAddr, port: u16) -> Self {
        Self {
            address,
            port,
            users: Vec::new(),
            keys: Vec::new(),
            sign: false,
            cap: DEFAULT_CAP,
            connect_limit: Duration::from_secs(5),
            banner_limit: Duration::from_secs(8),
            total_limit: Duration::from_secs(18),
            known_types: Vec::new(),
            known: Vec::new(),
            revoked: Vec::new(),
            ask_both: false,
            inside: false,
            through: None,
            agent: None,
            lasting: false,
        }
    }
}

impl SshRequest {
    /// Takes over what known_hosts has for the target.
    pub fn expect_known(&mut self, facts: &Facts) {
        let Some(hosts) = facts.local.known_hosts.value() else { return };
        let known = &hosts.entries;
        self.revoked = hosts.revoked.iter().map(|e| e.fingerprint.clone()).collect();
        self.known_types = known.iter().map(|e| e.algorithm.clone()).collect();
        self.known = known.iter().map(|e| (e.algorithm.clone(), e.fingerprint.clone())).collect();
    }

    /// How a fact names this server.
    fn source(&self) -> String {
        match &self.through {
            Some(Through { tunnel, host }) => format!("SSH to {host}:{} through {}", self.port, tunnel.name()),
            None => format!("SSH to {}", SocketAddr::new(self.address, self.port)),
        }
    }

    /// Whether known_hosts has another key of the same type than the server shows, or revokes this one.
    fn contradicts(&self, server: &SshServer) -> bool {
        let SshServer::Ready { host_key, host_key_type, .. } = server else { return false };
        let same_type = |kind: &str| kind == host_key_type || (kind.contains("rsa") && host_key_type.contains("rsa"));
        let known = || self.known.iter().filter(|(kind, _)| same_type(kind));
        let differs = known().next().is_some() && !known().any(|(_, print)| print == host_key);
        differs || self.revoked.contains(host_key)
    }
}

/// A key to ask about.
#[derive(Clone)]
pub struct SshKey {
    /// File, or what the agent calls the key, as the user knows it.
    pub path: String,
    /// Public half, one OpenSSH line; without it the key cannot be offered.
    pub public: Option<String>,
    /// Content of the private key file, to sign with. Never shown, never kept.
    pub private: Option<Vec<u8>>,
    /// Whether the private half needs a passphrase: it is offered, and not used.
    pub encrypted: bool,
    /// Whether the agent holds it.
    pub held: bool,
}

impl std::fmt::Debug for SshKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let private = self.private.as_ref().map(|_| "…");
        f.debug_struct("SshKey")
            .field("path", &self.path)
            .field("public", &self.public)
            .field("private", &private)
            .field("encrypted", &self.encrypted)
            .field("held", &self.held)
            .finish()
    }
}

/// Dials and asks. Dropping the future closes the connection.
pub async fn probe(request: SshRequest) -> (Fact<SshServer>, Vec<Offer>, Budget) {
    let Heard { server, offers, budget, .. } = probe_over(None, request).await;
    (server, offers, budget)
}

/// What a probe heard.
#[derive(Debug)]
pub struct Heard {
    /// Banner, key exchange and host key of the first connection.
    pub server: Fact<SshServer>,
    /// Algorithms that the server offers, as its first packet lists them; `None` when that did not come whole.
    pub lists: Option<KexLists>,
    /// The server's answers, in the order asked.
    pub offers: Vec<Offer>,
    /// Attempts made.
    pub budget: Budget,
}

/// The same over a connection that is already open (see [`tcp::connect`]); a second user gets its own.
pub async fn probe_over(stream: Option<Stream>, request: SshRequest) -> Heard {
    let (pace, tap) = (Pace::new(request.banner_limit, request.total_limit), Tap::default());
    let mut asking =
        Asking { offers: Vec::new(), budget: Budget { used: 0, cap: request.cap }, pace, request: &request };
    let server = asking.first(stream, &tap).await;
    Heard { server, lists: tap.lists(), offers: asking.offers, budget: asking.budget }
}

/// Runs a script as root by a login of `user` with the first key of the request, whose private half must be there. The
/// user has agreed to it. A host key that contradicts known_hosts ends it before anything is sent.
pub async fn run_script(request: SshRequest, user: &str, script: &str) -> Result<String, Why> {
    run_for(request, user, script, "the read-only script").await.map_err(|unrun| unrun.why)
}

/// The same, for a script that `what` names; says whether one that gave no output may have run.
pub(super) async fn run_for(request: SshRequest, user: &str, script: &str, what: &str) -> Result<String, Unrun> {
    let pace = Pace::new(request.total_limit, request.total_limit);
    let keys = offered(&request.keys);
    let Some(key) = keys.first() else { return Err(Unrun::not(Why::needs("a key to log in with"))) };
    let asking = Asking { offers: Vec::new(), budget: Budget { used: 0, cap: 1 }, pace, request: &request };
    let stream = asking.dial().await.map_err(Unrun::not)?;
    let (mut session, server) = match Session::open(stream, &request, pace, &Tap::default()).await {
        Opened::Ready(session, server) => (session, server),
        Opened::Not(server) => return Err(Unrun::not(Why::failed("log in over SSH", no_session(&server)))),
    };
    if request.contradicts(&server) {
        session.close().await;
        return Err(Unrun::not(Why::needs("a host key that agrees with known_hosts")));
    }
    let result = session.run(user, key, script, what, pace).await;
    session.close().await;
    result
}

/// The host key of a server, as `type base64`: nobody is named, nothing is offered. It proves nothing by itself.
pub async fn host_key(request: SshRequest) -> Result<String, Why> {
    let pace = Pace::new(request.banner_limit, request.total_limit);
    let asking = Asking { offers: Vec::new(), budget: Budget { used: 0, cap: 0 }, pace, request: &request };
    let stream = asking.dial().await?;
    match Session::open(stream, &request, pace, &Tap::default()).await {
        Opened::Ready(session, _) => {
            let line = session.host_line.clone();
            session.close().await;
            line.ok_or_else(|| Why::failed("read the host key", "it is of a type that is not known"))
        }
        Opened::Not(server) => Err(Why::failed("read the host key", no_session(&server))),
    }
}

/// One probe while it runs.
struct Asking<'a> {
    request: &'a SshRequest,
    pace: Pace,
    offers: Vec<Offer>,
    budget: Budget,
}

impl Asking<'_> {
    /// The connection of the first user, then that of the alternative.
    async fn first(&mut self, stream: Option<Stream>, tap: &Tap) -> Fact<SshServer> {
        let request = self.request;
        let stream = match stream {
            Some(stream) => stream,
            None => match self.dial().await {
                Ok(stream) => stream,
                Err(why) => return Fact::unknown(why),
            },
        };
        let source = request.source();
        let (mut session, server) = match Session::open(stream, request, self.pace, tap).await {
            Opened::Ready(session, server) => (session, server),
            Opened::Not(server) => return Fact::known(server, source),
        };
        let keys = offered(&request.keys);
        // Where ssh would refuse the host key, nothing is signed; behind a jump host no key is shown either.
        let foreign = request.contradicts(&server);
        let sign = request.sign && !foreign;
        let ask = !foreign || request.through.is_none();
        if let Some(user) = request.users.first().filter(|_| ask) {
            if keys.is_empty() {
                self.ask_methods(&mut session, user).await;
            } else {
                self.ask_keys(&mut session, user, &keys, sign).await;
            }
        }
        session.close().await;
        let refused = !self.offers.is_empty() && self.offers.iter().all(|offer| offer.answer == Answer::Refused);
        // Cloud images take root's key only to name another user: that root is let in proves little.
        if let (Some(user), Some(key), true) = (request.users.get(1), keys.first(), refused || request.ask_both) {
            self.second(user, key).await;
        }
        Fact::known(server, source)
    }

    /// The alternative user, with the first key only, on a connection of its own: sshd forgets nothing
    /// of the first user's attempts and refuses a change of user name within a connection.
    async fn second(&mut self, user: &str, key: &Offered) {
        if self.budget.used >= self.budget.cap || self.request.users.first().is_some_and(|first| first == user) {
            return;
        }
        let failed = match self.dial().await {
            Err(why) => why.text(),
            Ok(stream) => match Session::open(stream, self.request, self.pace, &Tap::default()).await {
                Opened::Ready(mut session, _) => {
                    self.ask_keys(&mut session, user, std::slice::from_ref(key), false).await;
                    session.close().await;
                    return;
                }
                Opened::Not(server) => no_session(&server),
            },
        };
        self.offers.push(Offer {
            user: user.to_owned(),
            key: Some(key.path.clone()),
            fingerprint: Some(key.fingerprint.clone()),
            answer: Answer::Failed { reason: failed },
            methods: Vec::new(),
            banner: None,
        });
    }

    /// Offers keys until one is taken, the budget is spent or the server ends the connection.
    async fn ask_keys(&mut self, session: &mut Session, user: &str, keys: &[Offered], sign: bool) {
        for key in keys {
            if self.budget.used >= self.budget.cap {
                return;
            }
            self.budget.used += 1;
            let offer = session.ask(user, key, sign).await;
            let go_on = offer.answer == Answer::Refused && offer.methods.iter().any(|method| method == "publickey");
            self.offers.push(offer);
            if !go_on {
                return;
            }
        }
    }

    /// Without any key: one "none", to learn the methods.
    async fn ask_methods(&mut self, session: &mut Session, user: &str) {
        if self.budget.used < self.budget.cap {
            self.budget.used += 1;
            self.offers.push(session.ask_none(user).await);
        }
    }

    async fn dial(&self) -> Result<Stream, Why> {
        let request = self.request;
        if let Some(Through { tunnel, host }) = &request.through {
            let (onward, stream) = tunnel.open(host, request.port, request.connect_limit).await;
            return stream.ok_or_else(|| Why::failed(format!("connect to {host} through the jump host"), onward.words));
        }
        let (fact, stream) = tcp::connect(request.address, request.port, request.connect_limit).await;
        let doing = format!("TCP connect to {}", SocketAddr::new(request.address, request.port));
        match (stream, fact) {
            (Some(stream), _) => Ok(over_tcp(stream)),
            (None, Fact::Known { value: Tcp::TimedOut { after_ms }, .. }) => Err(Why::TimedOut { doing, after_ms }),
            (None, Fact::Known { value: Tcp::Refused { .. }, .. }) => Err(Why::failed(doing, "connection refused")),
            (None, Fact::Known { value: Tcp::Unreachable { reason }, .. }) => Err(Why::failed(doing, reason)),
            (None, fact) => Err(fact.why_not().unwrap_or_else(|| Why::failed(doing, "no connection"))),
        }
    }
}

/// Keys that can be offered, each once.
fn offered(keys: &[SshKey]) -> Vec<Offered> {
    let mut out: Vec<Offered> = Vec::new();
    for key in keys {
        let Some(key) = Offered::read(key) else {
            continue;
        };
        if out.iter().all(|other| other.fingerprint != key.fingerprint) {
            out.push(key);
        }
    }
    out
}

/// Why a connection came to no login attempt, in words.
pub(super) fn no_session(server: &SshServer) -> String {
    match server {
        SshServer::Ready { .. } => String::new(),
        SshServer::NotSsh { first_bytes } => format!("the answer is not SSH: {first_bytes}"),
        SshServer::BannerTimeout { after_ms } => {
            format!("no banner within {}", text::millis(*after_ms))
        }
        SshServer::ClosedBeforeBanner { reason } if reason.is_empty() => {
            "the server closed the connection before its banner".to_owned()
        }
        SshServer::ClosedBeforeBanner { reason } => {
            format!("the server closed the connection before its banner: {reason}")
        }
        SshServer::KexFailed { reason, .. } => format!("key exchange failed: {reason}"),
    }
}
