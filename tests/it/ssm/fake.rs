//! A Session Manager service for tests, on loopback: the control plane over HTTP, the data channel over a WebSocket, and
//! behind it an agent with a shell without a terminal, an echo, or real TCP connections. Faults are injected on the way.

use super::agent::{Agent, Opening};
use super::channel::message::{Content, Flag, Kind};
use super::channel::smux::{self, Command as Mux, Parser};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// What the session's bytes reach.
#[derive(Debug, Clone)]
pub enum Backend {
    /// Everything comes back.
    Echo,
    /// `sh -c` with this script; its end closes the session.
    Shell(String),
    /// This many bytes of standard error, then a line of output, then the end.
    Errors(usize),
    /// One TCP connection.
    Dial(SocketAddr),
    /// A TCP connection for each stream.
    Smux(SocketAddr),
    /// A terminal that answers each byte with `K`, and `d` with this many bytes besides.
    Flood(usize),
    /// Nothing answers, ever.
    Silent,
}

/// What goes wrong. Counters go over all frames of both directions, handshake included.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Every nth frame is lost, comes twice, comes after the next one, or late. 0 is never.
    pub lose: usize,
    pub double: usize,
    pub swap: usize,
    pub late: usize,
    /// The connection is cut after each of these numbers of frames; with a close frame of this code if there is one.
    pub cuts: Vec<usize>,
    pub code: Option<u16>,
    /// Garbage, a wrong digest, and an impossible length are sent before every nth frame to the client.
    pub garbage: usize,
    /// The agent goes away after this many frames: the service answers with a pause.
    pub leaves: Option<usize>,
    /// Status instead of an upgrade, for this many dials after the first `allow`.
    pub refuse: Option<(u16, usize)>,
    pub allow: usize,
    /// The control plane's answer to ResumeSession instead of a token: the error's type, or "" for an empty token.
    pub resume: Option<String>,
    /// Every connection after the first gets garbage and a pause, and is closed.
    pub fickle: bool,
    /// StartSession is answered only after this time; the session is there at once.
    pub slow_start: Duration,
}

/// What the service saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Names of control-plane calls, in order.
    pub calls: Vec<String>,
    /// Bodies of StartSession.
    pub starts: Vec<Value>,
    /// Request path and headers of each upgrade.
    pub upgrades: Vec<(String, BTreeMap<String, String>)>,
    /// Opening texts.
    pub openings: Vec<Value>,
    /// Sizes that the agent took.
    pub sizes: Vec<String>,
    pub flags: Vec<Flag>,
    pub duplicates: usize,
    pub frames: usize,
}

pub struct Script {
    pub opening: Opening,
    pub backend: Backend,
    pub faults: Faults,
    /// Speak TLS, under this name.
    pub tls: Option<Tls>,
}

#[derive(Clone)]
pub struct Tls {
    pub name: String,
    pub acceptor: tokio_rustls::TlsAcceptor,
}

struct Inner {
    script: Script,
    seen: Mutex<Seen>,
    tokens: Mutex<(u64, BTreeSet<String>)>,
    socket: SocketAddr,
    connections: Sender<Connection>,
}

struct Connection {
    from_client: Receiver<Bytes>,
    to_client: Sender<Option<Bytes>>,
}

pub struct Fake {
    /// Of the control plane.
    pub endpoint: String,
    inner: Arc<Inner>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Fake {
    pub async fn start(script: Script) -> Self {
        let control = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let socket = small().expect("a port");
        let endpoint = format!("http://{}", control.local_addr().expect("its address"));
        let (connections, attached) = mpsc::channel(8);
        let inner = Arc::new(Inner {
            script,
            seen: Mutex::default(),
            tokens: Mutex::default(),
            socket: socket.local_addr().expect("its address"),
            connections,
        });
        let tasks = vec![
            tokio::spawn(serve_control(Arc::clone(&inner), control)),
            tokio::spawn(serve_sockets(Arc::clone(&inner), socket)),
            tokio::spawn(instance(Arc::clone(&inner), attached)),
        ];
        Self { endpoint, inner, tasks }
    }

    pub fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.inner.seen.lock().expect("no panic"))
    }

    /// A token and an address, as StartSession gives them.
    pub fn grant(&self) -> (String, String) {
        self.inner.grant()
    }

    /// An answer of ResumeSession: address and token, or the error's type.
    pub fn resume(&self) -> Result<(String, String), String> {
        self.inner.seen.lock().expect("no panic").calls.push("ResumeSession".to_owned());
        self.inner.script.faults.resume.clone().map_or_else(|| Ok(self.grant()), Err)
    }

    pub fn terminate(&self) {
        self.inner.seen.lock().expect("no panic").calls.push("TerminateSession".to_owned());
    }
}

impl Inner {
    fn grant(&self) -> (String, String) {
        let place = match &self.script.tls {
            Some(tls) => format!("wss://{}:{}", tls.name, self.socket.port()),
            None => format!("ws://{}", self.socket),
        };
        let (count, tokens) = &mut *self.tokens.lock().expect("no panic");
        *count += 1;
        let token = format!("token-{count}");
        tokens.insert(token.clone());
        let url = format!("{place}/v1/data-channel/user-0a1b?role=publish_subscribe&cell-number=A{count}+/b==");
        (url, token)
    }
}

/// The control plane: one request a connection.
async fn serve_control(inner: Arc<Inner>, listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let inner = Arc::clone(&inner);
        tokio::spawn(async move {
            let mut request = Vec::new();
            let (head, body) = loop {
                let mut chunk = [0; 4096];
                let Ok(count @ 1..) = stream.read(&mut chunk).await else { return };
                request.extend_from_slice(&chunk[..count]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head
                    .lines()
                    .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
                if body.len() >= length.unwrap_or(0) {
                    break (head.to_owned(), body.to_owned());
                }
            };
            let target = head.lines().find_map(|l| l.split_once("AmazonSSM.").map(|(_, name)| name.trim().to_owned()));
            let operation = target.unwrap_or_default();
            let (status, answer) = control(&inner, &operation, &body);
            if operation == "StartSession" {
                tokio::time::sleep(inner.script.faults.slow_start).await;
            }
            let answer = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                answer.len()
            );
            let _ = stream.write_all(format!("{head}{answer}").as_bytes()).await;
        });
    }
}

fn control(inner: &Inner, operation: &str, body: &str) -> (u16, Value) {
    {
        let mut seen = inner.seen.lock().expect("no panic");
        seen.calls.push(operation.to_owned());
        if operation == "StartSession" {
            seen.starts.push(serde_json::from_str(body).unwrap_or_default());
        }
    }
    let granted = || {
        let (url, token) = inner.grant();
        (200, json!({ "SessionId": "user-0a1b", "StreamUrl": url, "TokenValue": token }))
    };
    match (operation, &inner.script.faults.resume) {
        ("StartSession", _) if body.contains("i-away") => {
            (400, json!({ "__type": "TargetNotConnected", "message": "i-away is not connected." }))
        }
        ("StartSession", _) | ("ResumeSession", None) => granted(),
        ("ResumeSession", Some(kind)) if kind.is_empty() => {
            (200, json!({ "SessionId": "user-0a1b", "TokenValue": "" }))
        }
        ("ResumeSession", Some(kind)) => (400, json!({ "__type": kind, "message": "no" })),
        ("TerminateSession", _) => (200, json!({ "SessionId": "user-0a1b" })),
        _ => (400, json!({ "__type": "InvalidAction" })),
    }
}

/// A listener whose connections queue little to be sent: what the system would take ahead on loopback is megabytes, which
/// no agent gets rid of at once, and hides what waits at the client.
fn small() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_send_buffer_size(128 * 1024)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(1024)
}

async fn serve_sockets(inner: Arc<Inner>, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let inner = Arc::clone(&inner);
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            match inner.script.tls.clone() {
                Some(tls) => {
                    if let Ok(stream) = tls.acceptor.accept(stream).await {
                        serve_socket(inner, stream).await;
                    }
                }
                None => serve_socket(inner, stream).await,
            }
        });
    }
}

/// One data channel, from the upgrade to its end.
async fn serve_socket(inner: Arc<Inner>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let seen = Arc::clone(&inner);
    #[expect(clippy::result_large_err, reason = "the type of the library")]
    let look = move |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let mut seen_now = seen.seen.lock().expect("no panic");
        let text =
            |v: &tokio_tungstenite::tungstenite::http::HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
        let headers = request.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        seen_now.upgrades.push((request.uri().to_string(), headers));
        let faults = &seen.script.faults;
        match faults.refuse {
            Some((status, times)) if (faults.allow + 1..=faults.allow + times).contains(&seen_now.upgrades.len()) => {
                let mut refusal = ErrorResponse::new(None);
                *refusal.status_mut() = StatusCode::from_u16(status).expect("a status");
                Err(refusal)
            }
            _ => Ok(response),
        }
    };
    let Ok(socket) = accept_hdr_async(stream, look).await else { return };
    let (mut sink, mut stream) = socket.split();
    let Some(Ok(Message::Text(opening))) = stream.next().await else { return };
    let opening: Value = serde_json::from_str(&opening).expect("json");
    let token = opening["TokenValue"].as_str().unwrap_or_default().to_owned();
    inner.seen.lock().expect("no panic").openings.push(opening);
    // Each token opens the channel once.
    if !inner.tokens.lock().expect("no panic").1.remove(&token) {
        return;
    }
    let (to_agent, from_client) = mpsc::channel(256);
    let (to_client, mut frames) = mpsc::channel::<Option<Bytes>>(256);
    if inner.connections.send(Connection { from_client, to_client }).await.is_err() {
        return;
    }
    let writer = async {
        while let Some(first) = frames.recv().await {
            let mut next = Some(first);
            while let Some(frame) = next {
                let Some(bytes) = frame else {
                    if let Some(code) = inner.script.faults.code {
                        let close = CloseFrame { code: CloseCode::from(code), reason: "Bye".into() };
                        let _ = sink.send(Message::Close(Some(close))).await;
                    }
                    return;
                };
                if sink.feed(Message::Binary(bytes)).await.is_err() {
                    return;
                }
                next = frames.try_recv().ok();
            }
            if sink.flush().await.is_err() {
                return;
            }
        }
    };
    let reader = async {
        while let Some(Ok(message)) = stream.next().await {
            if let Message::Binary(bytes) = message
                && to_agent.send(bytes).await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! { () = writer => {}, () = reader => {} }
}

/// Bytes of the backend for the agent.
enum Said {
    Data(Content, Vec<u8>),
    Flag(Flag),
    End,
}

/// The instance: one agent, whatever becomes of the connections.
async fn instance(inner: Arc<Inner>, mut attached: Receiver<Connection>) {
    let began = Instant::now();
    let faults = inner.script.faults.clone();
    let mut line = Line { faults, connection: None, used: false, count: 0, held: None, late: Vec::new() };
    let mut agent = Agent::new(inner.script.opening.clone());
    // Little, as an agent reads no further ahead than it can send.
    let (said, mut from_backend) = mpsc::channel::<Said>(16);
    let mut backend: Option<Running> = None;
    let mut started = false;
    let mut ending = false;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    loop {
        let now = began.elapsed();
        let mut answers = tokio::select! {
            Some(connection) = attached.recv() => {
                line.connection = Some(connection);
                line.held = None;
                if std::mem::replace(&mut line.used, true) && line.faults.fickle {
                    line.write(Some(b"garbage".as_slice().into())).await;
                    let pause = agent.control(Kind::Pause, b"");
                    line.write(Some(pause)).await;
                    line.write(None).await;
                }
                if started || matches!(inner.script.backend, Backend::Silent) {
                    Vec::new()
                } else {
                    started = true;
                    agent.start(now)
                }
            }
            frame = line.next() => match frame {
                Some(frame) if line.fate() => agent.frame(now, &frame),
                Some(_) => vec![],
                None => { line.connection = None; vec![] }
            },
            Some(said) = from_backend.recv() => match said {
                Said::Data(content, bytes) => bytes.chunks(1024).map(|piece| agent.send(now, content, piece)).collect(),
                Said::Flag(flag) => vec![agent.send(now, Content::Flag, &flag.bytes())],
                Said::End => {
                    ending = true;
                    Vec::new()
                }
            },
            _ = tick.tick() => {
                line.send_late(now).await;
                agent.tick(now).into_iter().collect()
            }
        };
        // An agent reads beside what it sends: acknowledgements never wait for its output.
        while let Some(frame) = line.waiting() {
            if line.fate() {
                answers.extend(agent.frame(now, &frame));
            }
        }
        if backend.is_none() && started && agent.is_open() {
            backend = Some(Running::start(&inner.script.backend, said.clone()).await);
        }
        let mut gone = false;
        while let Some((content, bytes)) = agent.input.pop_front() {
            if content == Content::Flag {
                let flag = Flag::read(&bytes).expect("a flag");
                inner.seen.lock().expect("no panic").flags.push(flag);
                gone |= flag == Flag::Terminate;
            } else if let Some(running) = &mut backend {
                running.take(bytes).await;
            }
        }
        {
            let mut seen = inner.seen.lock().expect("no panic");
            seen.sizes.clone_from(&agent.sizes);
            (seen.duplicates, seen.frames) = (agent.duplicates, line.count);
        }
        for frame in answers {
            line.send(now, frame, &mut agent).await;
        }
        if gone {
            let closed = agent.control(Kind::Closed, br#"{"Output":""}"#);
            line.send(now, closed, &mut agent).await;
        }
        // The agent tells its end when everything has been answered; the service does not lose what it says itself.
        if ending && agent.unanswered.is_empty() && line.connection.is_some() {
            ending = false;
            let closed = agent.control(Kind::Closed, br#"{"MessageType":"channel_closed","Output":""}"#);
            line.write(Some(closed)).await;
        }
    }
}

/// The way between service and client, with its faults.
struct Line {
    faults: Faults,
    connection: Option<Connection>,
    /// There has been a connection.
    used: bool,
    count: usize,
    /// A frame that goes after the next one.
    held: Option<Bytes>,
    late: Vec<(Duration, Bytes)>,
}

impl Line {
    async fn next(&mut self) -> Option<Bytes> {
        match &mut self.connection {
            Some(connection) => connection.from_client.recv().await,
            None => std::future::pending().await,
        }
    }

    /// A frame that has come already.
    fn waiting(&mut self) -> Option<Bytes> {
        self.connection.as_mut()?.from_client.try_recv().ok()
    }

    fn every(&self, nth: usize) -> bool {
        nth > 0 && self.count.is_multiple_of(nth)
    }

    /// Counts a frame of the client; says whether it arrives.
    fn fate(&mut self) -> bool {
        self.count += 1;
        !self.every(self.faults.lose) && self.faults.leaves.is_none_or(|last| self.count <= last)
    }

    async fn write(&mut self, frame: Option<Bytes>) {
        let over = frame.is_none();
        if let Some(connection) = &self.connection {
            let _ = connection.to_client.send(frame).await;
        }
        if over {
            self.connection = None;
        }
    }

    async fn send(&mut self, now: Duration, frame: Bytes, agent: &mut Agent) {
        self.count += 1;
        if self.faults.leaves.is_some_and(|last| self.count > last) {
            let pause = agent.control(Kind::Pause, b"");
            return self.write(Some(pause)).await;
        }
        // One connection is cut once.
        if self.connection.is_some() && self.faults.cuts.first().is_some_and(|at| self.count >= *at) {
            self.faults.cuts.remove(0);
            return self.write(None).await;
        }
        if self.every(self.faults.garbage) {
            let mut digest = frame.to_vec();
            digest[85] ^= 1;
            let mut length = frame.to_vec();
            length[116..120].copy_from_slice(&[0xff; 4]);
            let long = vec![b'x'; 70_000];
            for bad in [b"garbage".to_vec(), digest, length, vec![0; 120], Vec::new(), long] {
                self.write(Some(bad.into())).await;
            }
        }
        if self.every(self.faults.lose) {
            return;
        }
        if self.every(self.faults.late) {
            self.late.push((now + Duration::from_millis(400), frame));
            return;
        }
        if self.every(self.faults.swap) && self.held.is_none() {
            self.held = Some(frame);
            return;
        }
        if self.every(self.faults.double) {
            self.write(Some(frame.clone())).await;
        }
        self.write(Some(frame)).await;
        if let Some(held) = self.held.take() {
            self.write(Some(held)).await;
        }
    }

    async fn send_late(&mut self, now: Duration) {
        if let Some(held) = self.held.take() {
            self.write(Some(held)).await;
        }
        let (due, late): (Vec<_>, _) = std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= now);
        self.late = late;
        for (_, frame) in due {
            self.write(Some(frame)).await;
        }
    }
}

/// A backend at work.
enum Running {
    Echo(Sender<Said>),
    Flood(usize, Sender<Said>),
    /// Standard input, or a connection. Without a bound: the instance must go on reading what comes back.
    Pipe(UnboundedSender<Bytes>),
    Smux {
        to: SocketAddr,
        parser: Parser,
        streams: BTreeMap<u32, UnboundedSender<Bytes>>,
        said: Sender<Said>,
    },
    Silent,
}

impl Running {
    async fn start(backend: &Backend, said: Sender<Said>) -> Self {
        match backend {
            Backend::Echo => {
                let _ = said.send(Said::Data(Content::Data, b"ready\n".to_vec())).await;
                Self::Echo(said)
            }
            Backend::Flood(bytes) => {
                let _ = said.send(Said::Data(Content::Data, b"\n".to_vec())).await;
                Self::Flood(*bytes, said)
            }
            Backend::Silent => Self::Silent,
            Backend::Smux(to) => Self::Smux { to: *to, parser: Parser::default(), streams: BTreeMap::new(), said },
            &Backend::Errors(count) => {
                tokio::spawn(async move {
                    for _ in 0..count.div_ceil(1024) {
                        let _ = said.send(Said::Data(Content::Stderr, vec![b'e'; 1024])).await;
                    }
                    let _ = said.send(Said::Data(Content::Data, b"out\n".to_vec())).await;
                    let _ = said.send(Said::End).await;
                });
                Self::Silent
            }
            Backend::Shell(script) => {
                let mut command = tokio::process::Command::new("sh");
                command.arg("-c").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
                let mut child = command.spawn().expect("a shell");
                let (mut stdin, mut stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
                let (input, mut typed) = mpsc::unbounded_channel::<Bytes>();
                tokio::spawn(async move {
                    while let Some(bytes) = typed.recv().await {
                        let _ = stdin.write_all(&bytes).await;
                    }
                });
                tokio::spawn(async move {
                    let mut buffer = vec![0; 1024];
                    while let Ok(count @ 1..) = stdout.read(&mut buffer).await {
                        let _ = said.send(Said::Data(Content::Data, buffer[..count].to_vec())).await;
                    }
                    let _ = child.wait().await;
                    let _ = said.send(Said::End).await;
                });
                Self::Pipe(input)
            }
            Backend::Dial(to) => {
                let (mut reader, mut writer) = TcpStream::connect(to).await.expect("a connection").into_split();
                let (input, mut typed) = mpsc::unbounded_channel::<Bytes>();
                tokio::spawn(async move {
                    while let Some(bytes) = typed.recv().await {
                        let _ = writer.write_all(&bytes).await;
                    }
                });
                tokio::spawn(async move {
                    let mut buffer = vec![0; 1024];
                    while let Ok(count @ 1..) = reader.read(&mut buffer).await {
                        let _ = said.send(Said::Data(Content::Data, buffer[..count].to_vec())).await;
                    }
                    let _ = said.send(Said::End).await;
                });
                Self::Pipe(input)
            }
        }
    }

    async fn take(&mut self, mut bytes: Bytes) {
        match self {
            Self::Silent => {}
            Self::Echo(said) => {
                let _ = said.send(Said::Data(Content::Data, bytes.to_vec())).await;
            }
            Self::Flood(total, said) => {
                for byte in bytes {
                    if byte == b'd' {
                        let (said, mut left) = (said.clone(), *total);
                        tokio::spawn(async move {
                            while left > 0 {
                                let piece = left.min(1024);
                                left -= piece;
                                let _ = said.send(Said::Data(Content::Data, vec![b'x'; piece])).await;
                            }
                        });
                    } else {
                        let said = said.clone();
                        // The agent must not wait for itself.
                        tokio::spawn(async move { said.send(Said::Data(Content::Data, b"K".to_vec())).await });
                    }
                }
            }
            Self::Pipe(input) => {
                let _ = input.send(bytes);
            }
            Self::Smux { to, parser, streams, said } => {
                while let Some(frame) = parser.next(&mut bytes).expect("smux") {
                    match frame.command {
                        Mux::Open => {
                            let (input, typed) = mpsc::unbounded_channel();
                            streams.insert(frame.stream, input);
                            tokio::spawn(stream(*to, frame.stream, typed, said.clone()));
                        }
                        Mux::Close => {
                            streams.remove(&frame.stream);
                        }
                        Mux::Data => {
                            if let Some(input) = streams.get(&frame.stream) {
                                let _ = input.send(frame.payload);
                            }
                        }
                        Mux::Nothing => {}
                    }
                }
            }
        }
    }
}

/// One stream's connection, closed both ways as soon as either side is done.
async fn stream(to: SocketAddr, id: u32, mut typed: UnboundedReceiver<Bytes>, said: Sender<Said>) {
    let data = |frame: Bytes| Said::Data(Content::Data, frame.to_vec());
    if let Ok(connection) = TcpStream::connect(to).await {
        let _ = connection.set_nodelay(true);
        let (mut reader, mut writer) = connection.into_split();
        let up = async {
            while let Some(bytes) = typed.recv().await {
                if writer.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        };
        let down = async {
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(count @ 1..) = reader.read(&mut buffer).await {
                let _ = said.send(data(smux::write(Mux::Data, id, &buffer[..count]))).await;
            }
        };
        tokio::select! { () = up => {}, () = down => {} }
    } else {
        let _ = said.send(Said::Flag(Flag::ConnectToPortError)).await;
    }
    let _ = said.send(data(smux::write(Mux::Close, id, b""))).await;
}
