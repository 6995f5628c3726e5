//! Session Manager's data channel: the service's door (a WebSocket) and the agent behind it.
//!
//! Used by `http`, which hands over upgrade requests. Written from the public sources of amazon-ssm-agent and
//! session-manager-plugin; shares no code with the client that is practised on. The upgrade's signature is looked at as
//! little as any other's: the token opens the channel, once.

mod channel;
mod frame;
mod mux;
mod program;
mod record;
#[cfg(test)]
mod tests;

use super::Shared;
use super::managed;
use super::world::World;
use bytes::Bytes;
use channel::Channel;
use frame::content;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use program::{Out, Program};
pub(super) use record::SessionRecord;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode};

/// Where data channels are.
pub(super) const PATH: &str = "/v1/data-channel/";
/// The agent's version, as DescribeInstanceInformation has it.
pub(super) const AGENT: &str = "3.3.2299.0";
/// How long the token is waited for.
const OPENING: Duration = Duration::from_secs(10);
/// How long the answer to the agent's first question is waited for.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// A session in which nothing is sent, or that nobody has joined again, ends (the default preference).
const IDLE: Duration = Duration::from_mins(20);
/// How often the account is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Frames that wait for the connection.
const WAITING: usize = 64;
/// Longest frame that is taken.
const LONGEST: usize = 1 << 20;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// The agents at work: where further connections to their sessions go.
#[derive(Default)]
pub(super) struct Running(Mutex<HashMap<String, mpsc::UnboundedSender<Socket>>>);

/// Answers the request for a data channel.
pub(super) fn upgrade(mut request: Request<Incoming>, shared: &Arc<Shared>) -> Response<Full<Bytes>> {
    let refuse = |status| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response
    };
    let id = request.uri().path().trim_start_matches(PATH).to_owned();
    if !shared.world().sessions.contains_key(&id) {
        return refuse(StatusCode::FORBIDDEN);
    }
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes())) else {
        return refuse(StatusCode::BAD_REQUEST);
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let shared = shared.clone();
    tokio::spawn(async move {
        let stop = shared.stop.clone();
        let work = async {
            let Ok(upgraded) = upgraded.await else { return };
            let config = WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
            join(shared, id, socket).await;
        };
        tokio::select! { () = work => {}, () = stop.cancelled() => {} }
    });
    let mut response = refuse(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(value) = HeaderValue::from_str(&key) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, value);
    }
    response
}

/// Checks the token, and hands the connection to the session's agent, which begins with the first one.
async fn join(shared: Arc<Shared>, id: String, mut socket: Socket) {
    let Ok(Some(Ok(first))) = timeout(OPENING, socket.next()).await else { return };
    let opening: Value = first.to_text().ok().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let token = opening["TokenValue"].as_str().unwrap_or_default();
    let record = {
        let mut world = shared.world();
        let known = world.sessions.get_mut(&id).filter(|record| record.token.as_deref() == Some(token));
        known.map(|record| {
            record.token = None;
            record.joined = true;
            record.clone()
        })
    };
    let Some(record) = record else {
        let close = CloseFrame { code: CloseCode::Policy, reason: "".into() };
        let _ = socket.close(Some(close)).await;
        return;
    };
    let (sender, receiver) = mpsc::unbounded_channel();
    {
        let mut running = shared.running.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, sender| !sender.is_closed());
        let socket = match running.get(&id) {
            Some(agent) => match agent.send(socket) {
                Ok(()) => return,
                Err(mpsc::error::SendError(socket)) => socket,
            },
            None => socket,
        };
        let _ = sender.send(socket);
        running.insert(id.clone(), sender);
    }
    agent(&shared, &id, &record, receiver).await;
    shared.world().sessions.remove(&id);
}

/// A connection, as the agent sees it.
struct Line {
    from: SplitStream<Socket>,
    to: mpsc::Sender<Message>,
}

impl Line {
    fn new(socket: Socket) -> Self {
        let (sink, from) = socket.split();
        let (to, frames) = mpsc::channel(WAITING);
        tokio::spawn(write(sink, frames));
        Self { from, to }
    }
}

async fn write(mut sink: SplitSink<Socket, Message>, mut frames: mpsc::Receiver<Message>) {
    while let Some(first) = frames.recv().await {
        let mut next = Some(first);
        while let Some(frame) = next {
            if sink.feed(frame).await.is_err() {
                return;
            }
            next = frames.try_recv().ok();
        }
        if sink.flush().await.is_err() {
            return;
        }
    }
    let _ = sink.close().await;
}

/// The next frame of the client; `None` when the connection is over.
async fn frame(line: &mut Option<Line>) -> Option<Bytes> {
    let Some(line) = line else { return std::future::pending().await };
    loop {
        match line.from.next().await? {
            Ok(Message::Binary(bytes)) => return Some(bytes),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// How far the beginning has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The client was asked at this time.
    Asked(Instant),
    Open,
}

/// What the account says of a session.
fn state(world: &World, id: &str, instance: &str) -> (bool, bool, bool) {
    let there = world.instance(instance);
    (
        world.sessions.contains_key(id),
        there.is_some_and(super::world::Instance::up),
        there.is_some_and(|instance| managed::connected(world, instance)),
    )
}

/// Runs a session to its end.
async fn agent(shared: &Arc<Shared>, id: &str, record: &SessionRecord, mut joining: mpsc::UnboundedReceiver<Socket>) {
    let (off, power) = watch::channel(false);
    let (mut channel, mut line, mut program) = (Channel::default(), None::<Line>, None::<Program>);
    let mut phase = Phase::Open;
    if record.shakes_hands() {
        channel.ask(AGENT, record.kind(), &record.properties());
        phase = Phase::Asked(Instant::now());
    }
    let (mut tick, mut moved) = (interval(LOOK), Instant::now());
    let (mut ending, mut dead, mut away) = (None::<String>, false, false);
    loop {
        if program.is_none() && phase == Phase::Open && line.is_some() {
            program = Some(Program::start(shared, record, power.clone()).await);
        }
        let paused = dead || away;
        if let Some(output) = ending.take_if(|_| channel.is_settled() && !channel.has_frame()) {
            return close(shared, line, id, record, &output).await;
        }
        let to = line.as_ref().map(|line| line.to.clone());
        let out = async {
            match &mut program {
                Some(program) => program.next().await,
                None => std::future::pending().await,
            }
        };
        let room = async {
            match &to {
                Some(to) => to.reserve().await.ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(socket) = joining.recv() => {
                line = Some(Line::new(socket));
                channel.restart();
                moved = Instant::now();
            }
            bytes = frame(&mut line) => match bytes {
                Some(_) if paused => channel.send_control(frame::PAUSE, String::new()),
                Some(bytes) => {
                    moved = Instant::now();
                    channel.take(&bytes);
                }
                None => line = None,
            },
            permit = room, if channel.has_frame() => match (permit, channel.frame()) {
                (Some(permit), Some(frame)) => permit.send(Message::Binary(frame)),
                _ => line = None,
            },
            out = out, if channel.has_room() && !paused && ending.is_none() => match out {
                Out::Bytes(kind, bytes) => {
                    moved = Instant::now();
                    channel.send(kind, &bytes);
                }
                Out::End(output) => ending = Some(output),
            },
            _ = tick.tick() => {
                let (known, up, connected) = state(&shared.world(), id, &record.instance);
                if !known {
                    return close(shared, line, id, record, "").await;
                }
                if !up && !dead {
                    // Its processes are gone, and do not come back with the power.
                    dead = true;
                    let _ = off.send(true);
                }
                if away && connected && !dead {
                    channel.send_control(frame::START, String::new());
                }
                away = !connected;
                if !paused {
                    channel.tick();
                }
                if moved.elapsed() >= IDLE {
                    return close(shared, line, id, record, "").await;
                }
                if let Phase::Asked(at) = phase && at.elapsed() >= HANDSHAKE {
                    let text = "Handshake timed out. Please ensure that you have the latest version of the session manager plugin.";
                    return close(shared, line, id, record, text).await;
                }
            }
        }
        while program.as_ref().is_none_or(Program::has_room)
            && let Some(said) = channel.said()
        {
            match (said.content, &mut program, phase) {
                (content::RESPONSE, _, Phase::Asked(_)) => {
                    if let Some(refused) = refusal(&said.payload) {
                        return close(shared, line, id, record, &refused).await;
                    }
                    channel.send(content::COMPLETE, br#"{"HandshakeTimeToComplete":1000000,"CustomerMessage":""}"#);
                    phase = Phase::Open;
                }
                // What comes before the end of the handshake is answered and lost.
                (content::FLAG, _, _) if said.payload[..] == [0, 0, 0, 2] => {
                    return close(shared, line, id, record, "").await;
                }
                (content::DATA, Some(program), Phase::Open) => program.take(&said.payload),
                (content::SIZE, Some(program), Phase::Open) => program.resize(&said.payload),
                _ => {}
            }
        }
    }
}

/// The words with which a handshake ends that the client did not agree to.
fn refusal(response: &[u8]) -> Option<String> {
    let response: Value = serde_json::from_slice(response).unwrap_or_default();
    response["ProcessedClientActions"].as_array().into_iter().flatten().find_map(|action| {
        let (kind, error) = (action["ActionType"].as_str()?, action["Error"].as_str().unwrap_or_default());
        let status = action["ActionStatus"].as_i64().unwrap_or_default();
        (status != 1).then(|| format!("{kind} failed on client with status {status} error: {error}"))
    })
}

/// Says that the session is over.
async fn close(shared: &Shared, line: Option<Line>, id: &str, record: &SessionRecord, output: &str) {
    // First: who is told that it is over must not find it.
    shared.world().sessions.remove(id);
    let Some(line) = line else { return };
    let text = json!({
        "MessageId": frame::Frame::uuid(&rand::random()),
        "CreatedDate": super::ids::time_text(std::time::SystemTime::now()),
        "DestinationId": record.instance,
        "SessionId": id,
        "MessageType": frame::CLOSED,
        "SchemaVersion": 1,
        "Output": output,
    });
    let frame = frame::Frame::control(frame::CLOSED, text.to_string()).write();
    let _ = line.to.send(Message::Binary(frame)).await;
    drop(line.to);
    // The client reads it, and closes.
    let mut from = line.from;
    let _ = timeout(Duration::from_secs(2), async { while let Some(Ok(_)) = from.next().await {} }).await;
}
