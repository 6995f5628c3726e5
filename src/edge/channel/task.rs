//! The socket's task: connect, carry frames, take the session up again when the connection breaks, end it cleanly.
//!
//! Decides nothing about the protocol. Reading and writing go on side by side, so that a full connection in one
//! direction never stops the other. Nothing that is typed, shown or secret is logged.

use super::Timing;
use super::address::Address;
use super::dial::{Buffers, Socket, dial};
use super::service::{Grant, Service};
use super::shared::{Outcome, Shared};
use crate::core::channel::end::{End, Notice};
use crate::core::channel::payload;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// Frames that are written before the connection is flushed.
const BATCH: usize = 64;
/// Bytes of the same.
const BATCH_BYTES: usize = 64 * 1024;
/// How often the clock looks when nothing else does.
const LOOK: Duration = Duration::from_secs(1);

pub(super) struct Task<S> {
    pub shared: Arc<Shared>,
    pub service: S,
    pub timing: Timing,
    pub client_id: [u8; 16],
    /// What the system may hold of the connection; as it likes when nothing is said.
    pub buffers: Option<Buffers>,
}

/// How a connection went.
enum Left {
    /// The session is over.
    Ended,
    /// It broke, for this reason.
    Broke(String),
}

impl<S: Service> Task<S> {
    /// Runs the session to its end.
    pub(super) async fn run(self, first: Grant) {
        self.carry(first).await;
        self.finish().await;
    }

    async fn carry(&self, first: Grant) {
        let mut url = first.url.clone();
        let mut grant = Some(first);
        let mut connected_once = false;
        // Since when there has been no good connection, and the wait before the next try.
        let mut since = Instant::now();
        let mut wait = self.timing.retry;
        loop {
            let opened = match grant.take() {
                Some(grant) => self.or_close(self.open(&url, grant)).await,
                None => match self.or_close(self.service.resume()).await {
                    Some(Ok(new)) => {
                        // A new address names the cell that holds the session now.
                        if !new.url.is_empty() {
                            url.clone_from(&new.url);
                        }
                        self.or_close(self.open(&url, new)).await
                    }
                    Some(Err(error)) if error.last => return self.give_up(error.text),
                    Some(Err(error)) => Some(Err(error.text)),
                    None => None,
                },
            };
            let why = match opened {
                None => return self.end_unconnected(),
                Some(Ok(socket)) => {
                    if std::mem::replace(&mut connected_once, true) {
                        self.shared.tell(Notice::Reconnected);
                    }
                    let opened = Instant::now();
                    let left = self.serve(socket).await;
                    let mut state = self.shared.lock();
                    let rested = state.session.rested(self.shared.now());
                    state.session.lost();
                    // A connection on which the session moved on, or that lasted with nothing owed, was a good one. Mere
                    // frames are not enough: who sends one and closes would be tried again for ever.
                    if state.carried > opened || rested >= self.timing.good {
                        (since, wait) = (Instant::now(), self.timing.retry);
                    }
                    match left {
                        Left::Ended => return,
                        Left::Broke(why) => why,
                    }
                }
                Some(Err(why)) => why,
            };
            let limit = if connected_once { self.timing.resume } else { self.timing.first };
            if since.elapsed() >= limit {
                return self.give_up(why);
            }
            if connected_once {
                self.shared.tell(Notice::Reconnecting { why });
            }
            // Up to twice as long, so that many clients do not come back at once.
            let jitter = wait.mul_f64(rand::random::<f64>());
            if self.or_close(sleep(wait + jitter)).await.is_none() || self.is_over() {
                return self.end_unconnected();
            }
            wait = (wait * 2).min(self.timing.longest_retry);
        }
    }

    /// Waits for something, or for a handle to ask for the end, which gives `None`.
    async fn or_close<T>(&self, what: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(what);
        loop {
            if self.shared.is_closing() {
                return None;
            }
            tokio::select! {
                out = &mut what => return Some(out),
                () = self.shared.closing.notified() => {}
            }
        }
    }

    fn is_over(&self) -> bool {
        let now = self.shared.now();
        let session = &mut self.shared.lock().session;
        session.tick(now);
        session.end().is_some()
    }

    fn give_up(&self, why: String) {
        self.shared.lock().session.give_up(self.shared.now(), End::Lost { why });
    }

    fn end_unconnected(&self) {
        self.shared.lock().session.give_up(self.shared.now(), End::Ours);
    }

    /// Dials and sends the token.
    async fn open(&self, url: &str, grant: Grant) -> Result<Socket, String> {
        let address = Address::read(url, self.service.is_custom())?;
        let headers =
            if address.is_presigned() { Vec::new() } else { self.service.sign(url).await.map_err(|e| e.text)? };
        let mut socket = dial(&address, &headers, self.buffers, self.timing.dial).await?;
        let request_id = self.shared.lock().session.uuid();
        let text = payload::open_message(grant.token.reveal(), &request_id, &self.client_id);
        let opening = async {
            socket.send(Message::text(text)).await?;
            socket.send(Message::Ping(Bytes::from_static(b"keepalive"))).await
        };
        let sent = timeout(self.timing.dial, opening).await;
        sent.map_err(|_| "the data channel takes no bytes".to_owned())?.map_err(|e| e.to_string())?;
        Ok(socket)
    }

    /// Carries frames until the session ends or the connection breaks.
    async fn serve(&self, socket: Socket) -> Left {
        let (mut sink, mut stream) = socket.split();
        let ping = AtomicBool::new(false);
        {
            let mut state = self.shared.lock();
            state.heard = Instant::now();
            state.session.connected(self.shared.now());
        }
        let left = tokio::select! {
            left = self.read(&mut stream) => left,
            left = self.write(&mut sink, &ping) => left,
            left = self.clock(&ping) => left,
        };
        if matches!(left, Left::Ended) {
            let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
            let _ = timeout(self.timing.goodbye, sink.send(Message::Close(Some(close)))).await;
        }
        left
    }

    async fn read(&self, stream: &mut SplitStream<Socket>) -> Left {
        loop {
            let (wants, ended) = {
                let state = self.shared.lock();
                (state.session.wants_frames(), state.session.end().is_some())
            };
            if ended {
                return Left::Ended;
            }
            if !wants {
                self.shared.to_reader.notified().await;
                continue;
            }
            let bytes = match stream.next().await {
                Some(Ok(Message::Binary(bytes))) => bytes,
                Some(Ok(Message::Text(text))) => text.into(),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                    // The answer to a ping waits in the socket until somebody writes.
                    self.shared.lock().heard = Instant::now();
                    self.shared.to_writer.notify_one();
                    continue;
                }
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or(1005, |frame| u16::from(frame.code));
                    return self.broke(format!("the service closed it with code {code}"));
                }
                Some(Err(e)) => return self.broke(e.to_string()),
                None => return self.broke("the service closed it".to_owned()),
            };
            let mut state = self.shared.lock();
            state.heard = Instant::now();
            if state.session.frame(self.shared.now(), &bytes) {
                state.carried = state.heard;
            }
            self.shared.wake(&mut state);
            drop(state);
            self.shared.to_writer.notify_one();
        }
    }

    /// Begins our own end, once a handle has asked for it.
    fn heed_close(&self) {
        if self.shared.is_closing() {
            let mut state = self.shared.lock();
            state.session.terminate(self.shared.now());
            self.shared.wake(&mut state);
        }
    }

    /// A break after the end is no break.
    fn broke(&self, why: String) -> Left {
        if self.shared.lock().session.end().is_some() { Left::Ended } else { Left::Broke(why) }
    }

    async fn write(&self, sink: &mut SplitSink<Socket, Message>, ping: &AtomicBool) -> Left {
        loop {
            self.heed_close();
            let (mut frames, mut bytes) = (Vec::new(), 0);
            let deadline = {
                let mut state = self.shared.lock();
                let now = self.shared.now();
                if state.session.deadline().is_some_and(|at| at <= now) {
                    state.session.tick(now);
                    self.shared.wake(&mut state);
                }
                while frames.len() < BATCH
                    && bytes < BATCH_BYTES
                    && let Some(frame) = state.session.transmit(now)
                {
                    bytes += frame.len();
                    frames.push(frame);
                }
                if frames.is_empty() && state.session.end().is_some() {
                    return Left::Ended;
                }
                state.session.deadline()
            };
            let idle = frames.is_empty();
            let sent = async {
                for frame in frames {
                    sink.feed(Message::Binary(frame)).await?;
                }
                if ping.swap(false, Ordering::SeqCst) {
                    sink.feed(Message::Ping(Bytes::from_static(b"keepalive"))).await?;
                }
                sink.flush().await
            };
            if let Err(e) = sent.await {
                return self.broke(e.to_string());
            }
            if !idle {
                continue;
            }
            // Never at once: a deadline in the past must not spin.
            let soon = Instant::now() + Duration::from_millis(1);
            let until = deadline.map_or(soon + LOOK, |at| self.shared.at(at).max(soon));
            tokio::select! {
                () = self.shared.to_writer.notified() => {}
                () = self.shared.closing.notified() => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// Pings, notices a dead connection, and lets time pass while the connection takes no bytes.
    async fn clock(&self, ping: &AtomicBool) -> Left {
        let mut pinged = Instant::now();
        let look = LOOK.min(self.timing.ping / 4);
        loop {
            sleep(look).await;
            self.heed_close();
            let (silent, ended) = {
                let mut state = self.shared.lock();
                let now = self.shared.now();
                if state.session.deadline().is_some_and(|at| at <= now) {
                    state.session.tick(now);
                    self.shared.wake(&mut state);
                }
                if !state.session.wants_frames() {
                    // Nobody reads, so nobody can hear.
                    state.heard = Instant::now();
                }
                (state.heard.elapsed(), state.session.end().is_some())
            };
            if ended {
                return Left::Ended;
            }
            if silent >= self.timing.ping * 2 + self.timing.ping / 2 {
                return self.broke("two pings were not answered".to_owned());
            }
            if pinged.elapsed() >= self.timing.ping {
                pinged = Instant::now();
                ping.store(true, Ordering::SeqCst);
                self.shared.to_writer.notify_one();
            }
        }
    }

    /// Ends the session at the service where the channel did not, then lets the handles know.
    async fn finish(self) {
        let orphan = {
            let state = self.shared.lock();
            let ended_there = match state.session.end() {
                Some(End::Closed { .. }) => true,
                Some(End::Ours) => !state.session.needs_terminate(),
                _ => false,
            };
            !ended_there
        };
        if orphan {
            // The shell would live on until the idle time-out.
            let _ = timeout(self.timing.goodbye, self.service.terminate()).await;
        }
        let mut state = self.shared.lock();
        let end = state.session.end().cloned().unwrap_or(End::Ours);
        state.outcome = Some(Outcome { end, exit_code: state.session.exit_code() });
        self.shared.wake(&mut state);
    }
}
