//! One end of the data channel: handshake, numbered messages, acknowledgements, pause, time limits.
//!
//! A state machine without I/O and clock: frames and times go in, frames and events come out. What the bytes of a
//! session mean (a terminal, one TCP stream, many) is not known here. `now` is the time since the session began.

use super::end::{End, Notice};
use super::message::{Content, Flag, Kind, Message};
use super::payload::{self, Action, HandshakeRequest};
use super::receiver::Incoming;
use super::sender::Outgoing;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::collections::VecDeque;
use std::time::Duration;

/// Acknowledgements that may wait to be sent. Further ones are not made: the agent sends again, and is answered then.
/// Reading must not stop for them, or two ends that each wait for the other to read would wait for ever.
const WAITING_ACKS: usize = 16 * 1024;
/// Acknowledgements that are sent in a row while a message of ours waits.
const ACKS_IN_ROW: usize = 16;
/// How often the oldest message is tried while the service says that the agent is away: the word that it is back can be
/// lost like any other.
const PROBE: Duration = Duration::from_secs(10);
/// Agents above this speak smux.
const SMUX: [u32; 4] = [3, 0, 196, 0];
/// Agents above this want no smux keep-alive, which would hold off the idle time-out.
const NO_KEEP_ALIVE: [u32; 4] = [3, 1, 1511, 0];
/// Agents above this understand the flag that ends a session.
const TERMINATE_FLAG: [u32; 4] = [2, 3, 722, 0];

/// What was asked for in StartSession.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A terminal, or a command.
    Shell,
    /// A port.
    Port,
}

/// What the agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A terminal or a command.
    Shell,
    /// One TCP stream for the whole session (`AWS-StartSSHSession`).
    Raw,
    /// One TCP stream at a time (old agents).
    Basic,
    /// Many TCP streams.
    Smux {
        /// Whether keep-alive frames must be sent.
        keep_alive: bool,
    },
}

/// How long what is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The first message after opening.
    pub first: Duration,
    /// The first output of a shell whose agent has given another sign of life.
    pub slow_shell: Duration,
    /// The end of the handshake after our answer.
    pub handshake: Duration,
    /// An acknowledgement, before the user is told.
    pub tell: Duration,
    /// An acknowledgement, before the session is given up.
    pub give_up: Duration,
    /// The agent's return, while the service says that it is away.
    pub away: Duration,
    /// The service's close after our own end of a port session.
    pub closing: Duration,
    /// A port's last bytes after its local side stopped sending.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(30),
            slow_shell: Duration::from_mins(2),
            handshake: Duration::from_secs(20),
            tell: Duration::from_secs(5),
            give_up: Duration::from_mins(3),
            away: Duration::from_mins(5),
            closing: Duration::from_secs(2),
            linger: Duration::from_secs(10),
        }
    }
}

/// What the agent did.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Data may flow.
    Running(Shape),
    /// Bytes of the session.
    Data(Bytes),
    /// Standard error of a command with separate streams.
    Stderr(Bytes),
    /// Exit status of such a command.
    ExitCode(i32),
    /// A flag of a port session.
    Flag(Flag),
    /// Something to tell.
    Notice(Notice),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No stream message has come.
    Opening,
    /// The request was answered at this time.
    Handshake(Duration),
    Running,
}

/// The channel.
pub struct Wire {
    wanted: Wanted,
    limits: Limits,
    /// Milliseconds since the epoch when the session began.
    epoch: u64,
    ids: StdRng,
    outgoing: Outgoing,
    incoming: Incoming,
    /// Acknowledgements that wait to be sent.
    acks: VecDeque<Bytes>,
    /// How many went out since the last message.
    acks_in_row: usize,
    events: VecDeque<Event>,
    phase: Phase,
    shape: Shape,
    agent: String,
    asked_kms: bool,
    /// Since when there is a connection.
    connected: Option<Duration>,
    heard: bool,
    paused: Option<Duration>,
    /// When the oldest message was tried last during the pause, and whether it is to be sent now.
    probed: Duration,
    probe: bool,
    told: bool,
    end: Option<End>,
    /// Our own end was asked for.
    ending: bool,
    /// Terminal size, and whether it must be sent.
    size: Option<(u16, u16)>,
    size_due: bool,
    size_early: bool,
    bad: u64,
}

impl Wire {
    /// A channel that is not connected. `seed` makes the ids, `epoch` is the time of day in milliseconds since 1970.
    pub fn new(wanted: Wanted, seed: [u8; 32], epoch: u64, limits: Limits) -> Self {
        Self {
            wanted,
            limits,
            epoch: epoch.max(1),
            ids: StdRng::from_seed(seed),
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            acks: VecDeque::new(),
            acks_in_row: 0,
            events: VecDeque::new(),
            phase: Phase::Opening,
            shape: if wanted == Wanted::Shell { Shape::Shell } else { Shape::Raw },
            agent: String::new(),
            asked_kms: false,
            connected: None,
            heard: false,
            paused: None,
            probed: Duration::ZERO,
            probe: false,
            told: false,
            end: None,
            ending: false,
            size: None,
            size_due: false,
            size_early: false,
            bad: 0,
        }
    }

    /// A new UUID (version 4).
    pub fn uuid(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        self.ids.fill_bytes(&mut id);
        id[6] = id[6] & 0x0f | 0x40;
        id[8] = id[8] & 0x3f | 0x80;
        id
    }

    fn date(&self, now: Duration) -> u64 {
        self.epoch.saturating_add(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
    }

    /// The channel is open: what was not acknowledged goes out again.
    pub fn connected(&mut self, now: Duration) {
        self.connected = Some(now);
        self.paused = None;
        self.outgoing.restart(now);
        if let Phase::Handshake(since) = &mut self.phase {
            *since = now;
        }
        self.size_due = self.size.is_some();
        self.size_early = false;
        self.offer_size(now);
    }

    /// The connection broke. Everything is kept.
    pub fn lost(&mut self) {
        self.connected = None;
        self.paused = None;
    }

    /// Whether data may flow.
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running && self.end.is_none()
    }

    /// Messages of data that may be added now; none before the handshake is complete, since the agent would
    /// acknowledge them and throw them away.
    pub fn room(&self) -> usize {
        if self.is_running() { self.outgoing.room() } else { 0 }
    }

    /// Whether the agent has acknowledged everything.
    pub fn is_settled(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Version of the agent; empty in a session without a handshake.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// Whether the agent understands [`Flag::Terminate`].
    pub fn knows_terminate(&self) -> bool {
        self.shape != Shape::Shell && payload::newer(&self.agent, TERMINATE_FLAG)
    }

    /// Why the session is over.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Ends the session; the first reason stays.
    pub fn finish(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    /// The service's close will be the answer to our own end.
    pub fn expect_close(&mut self) {
        self.ending = true;
    }

    /// Frames that were no messages so far.
    pub fn bad_frames(&self) -> u64 {
        self.bad
    }

    /// What the agent did next.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Sets the terminal's size; sizes of 0 are not sent.
    pub fn resize(&mut self, now: Duration, columns: u16, rows: u16) {
        if self.size != Some((columns, rows)) {
            self.size = Some((columns, rows));
            self.size_due = true;
            self.offer_size(now);
        }
    }

    fn offer_size(&mut self, now: Duration) {
        // A size in the gap waits for a connection: only the last one counts.
        if self.size_due && self.shape == Shape::Shell && self.connected.is_some() && self.room() > 0 {
            self.send_size(now);
            self.size_due = false;
        }
    }

    fn send_size(&mut self, now: Duration) {
        let bytes = self.size.and_then(|(columns, rows)| payload::size(columns, rows));
        if let Some(bytes) = bytes {
            self.add(now, Content::Size, bytes);
        }
    }

    /// Adds a message of at most [`super::message::LONGEST_DATA`] bytes; only while there is [`Self::room`].
    pub fn send(&mut self, now: Duration, bytes: Bytes) {
        self.add(now, Content::Data, bytes);
    }

    /// Adds a flag.
    pub fn send_flag(&mut self, now: Duration, flag: Flag) {
        self.add(now, Content::Flag, Bytes::copy_from_slice(&flag.bytes()));
    }

    fn add(&mut self, now: Duration, content: Content, payload: Bytes) {
        let (created, sequence, id) = (self.date(now), self.outgoing.next(), self.uuid());
        let message = Message { kind: Kind::Input, created, sequence, flags: 0, id, content, payload };
        self.outgoing.add(now, message.frame());
    }

    /// The next frame for the connection.
    pub fn transmit(&mut self, now: Duration) -> Option<Bytes> {
        self.connected?;
        // While megabytes come, thousands of acknowledgements wait: a key must not wait behind all of them.
        if self.acks_in_row >= ACKS_IN_ROW
            && let Some(frame) = self.transmit_data(now)
        {
            self.acks_in_row = 0;
            return Some(frame);
        }
        if let Some(frame) = self.acks.pop_front() {
            self.acks_in_row = self.acks_in_row.saturating_add(1);
            return Some(frame);
        }
        self.transmit_data(now)
    }

    fn transmit_data(&mut self, now: Duration) -> Option<Bytes> {
        let held = self.paused.is_some() && !std::mem::take(&mut self.probe);
        if held { None } else { self.outgoing.transmit(now) }
    }

    /// Takes a frame. One that is no message is dropped, and its sender sends it again. Says whether the session moved on:
    /// by the next message of the agent, or by its answer to one of ours. Anybody can send frames that do neither.
    pub fn frame(&mut self, now: Duration, frame: &Bytes) -> bool {
        if self.end.is_some() {
            return false;
        }
        let Ok(message) = Message::parse(frame) else {
            self.bad = self.bad.saturating_add(1);
            return false;
        };
        let mut moved = false;
        match message.kind {
            Kind::Acknowledge => {
                self.lives(now);
                if let Some(number) = payload::acknowledged(&message.payload)
                    && self.outgoing.acknowledge(now, number)
                {
                    moved = true;
                    self.answered();
                }
            }
            Kind::Output => {
                self.lives(now);
                let ack = message.acknowledgement(self.uuid(), self.date(now));
                let taken = self.incoming.take(message);
                if taken.acknowledge && self.acks.len() < WAITING_ACKS {
                    self.acks.push_back(ack.frame());
                }
                moved = !taken.ready.is_empty();
                taken.ready.into_iter().for_each(|message| self.process(now, message));
            }
            Kind::Closed => {
                let output = payload::closed_output(&message.payload);
                self.finish(match () {
                    () if self.asked_kms => End::KmsDemanded,
                    () if self.ending => End::Ours,
                    () => End::Closed { output },
                });
            }
            Kind::Pause => {
                if self.paused.is_none() {
                    self.paused = Some(now);
                    (self.probed, self.probe) = (now, false);
                }
            }
            Kind::Start => self.lives(now),
            Kind::Input | Kind::Other(_) => {}
        }
        self.offer_size(now);
        moved
    }

    /// How long this connection has been there with nothing that the agent owed on it: no beginning of the session, no
    /// answer, no return. A connection on which it owes something proves nothing by lasting.
    pub fn rested(&self, now: Duration) -> Duration {
        let Some(since) = self.connected.filter(|_| self.phase == Phase::Running) else { return Duration::ZERO };
        let owed = [self.paused, self.outgoing.waiting_since()].into_iter().flatten().min();
        owed.unwrap_or(now).saturating_sub(since)
    }

    /// The agent is there.
    fn lives(&mut self, now: Duration) {
        self.heard = true;
        if self.paused.take().is_some() {
            self.outgoing.excuse(now);
            self.answered();
        }
    }

    fn answered(&mut self) {
        if std::mem::take(&mut self.told) {
            self.events.push_back(Event::Notice(Notice::Answering));
        }
    }

    fn process(&mut self, now: Duration, message: Message) {
        match message.content {
            Content::HandshakeRequest => self.requested(now, &message.payload),
            Content::HandshakeComplete => {
                let text = payload::customer_message(&message.payload);
                if !text.is_empty() {
                    self.events.push_back(Event::Notice(Notice::Message(text)));
                }
                self.run();
            }
            Content::Data | Content::Stderr | Content::ExitCode => {
                // No handshake: the usual shell. This very message belongs to it.
                if self.phase == Phase::Opening {
                    self.run();
                }
                match message.content {
                    Content::Data => self.events.push_back(Event::Data(message.payload)),
                    Content::Stderr => self.events.push_back(Event::Stderr(message.payload)),
                    _ => self.events.extend(payload::exit_code(&message.payload).map(Event::ExitCode)),
                }
            }
            Content::Flag => self.events.extend(Flag::read(&message.payload).map(Event::Flag)),
            Content::Size | Content::HandshakeResponse | Content::Challenge | Content::Other(_) => {}
        }
    }

    fn run(&mut self) {
        if self.phase != Phase::Running && self.end.is_none() {
            self.phase = Phase::Running;
            self.size_due = self.size.is_some();
            self.events.push_back(Event::Running(self.shape));
        }
    }

    fn requested(&mut self, now: Duration, payload: &[u8]) {
        if matches!(self.phase, Phase::Handshake(_)) {
            return;
        }
        let Some(request) = HandshakeRequest::read(payload) else {
            self.finish(End::Broken { what: "its handshake cannot be read".to_owned() });
            return;
        };
        let session = request.actions.iter().find_map(|action| match action {
            Action::SessionType { name, port_type } => Some((name.as_str(), port_type.as_str())),
            _ => None,
        });
        if let Some((name, port_type)) = session {
            let port = name == "Port";
            // Bytes for a port must never be typed into a shell.
            if port != (self.wanted == Wanted::Port) {
                self.finish(End::OtherKind { kind: super::payload::shown(name) });
                return;
            }
            self.shape = match port_type {
                _ if !port => Shape::Shell,
                "LocalPortForwarding" if payload::newer(&request.agent, SMUX) => {
                    Shape::Smux { keep_alive: !payload::newer(&request.agent, NO_KEEP_ALIVE) }
                }
                "LocalPortForwarding" => Shape::Basic,
                _ => Shape::Raw,
            };
        }
        self.asked_kms = request.wants_kms();
        self.phase = Phase::Handshake(now);
        self.add(now, Content::HandshakeResponse, request.response());
        self.agent = request.agent;
    }

    /// Starts the wait for acknowledgements anew.
    pub fn excuse(&mut self, now: Duration) {
        self.outgoing.excuse(now);
    }

    /// Lets time pass. `reading`: whether frames are being read; if not, no answer can be missed.
    pub fn tick(&mut self, now: Duration, reading: bool) {
        if self.end.is_some() {
            return;
        }
        let Some(since) = self.connected else { return };
        if !reading {
            return;
        }
        if let Some(paused) = self.paused {
            if now >= paused + self.away() {
                self.finish(End::AgentAway);
                return;
            }
            if now >= self.probed + PROBE && !self.outgoing.is_empty() {
                self.outgoing.expire(now);
                (self.probed, self.probe) = (now, true);
            }
            if !self.told && now >= paused + self.limits.tell {
                self.told = true;
                self.events.push_back(Event::Notice(Notice::AgentAway));
            }
            return;
        }
        match self.phase {
            Phase::Opening => {
                let limit = if self.heard { self.limits.slow_shell } else { self.limits.first };
                if now >= since + limit {
                    return self.finish(End::Silent);
                }
                if self.early_size(since).is_some_and(|at| now >= at) {
                    self.size_early = true;
                    self.send_size(now);
                }
            }
            Phase::Handshake(since) if now >= since + self.limits.handshake => {
                return self.finish(if self.asked_kms { End::KmsDemanded } else { End::Handshake });
            }
            Phase::Handshake(_) | Phase::Running => {}
        }
        self.outgoing.expire(now);
        if let Some(since) = self.outgoing.waiting_since() {
            if now >= since + self.limits.give_up {
                self.finish(End::AgentStopped);
            } else if !self.told && now >= since + self.limits.tell {
                self.told = true;
                self.events.push_back(Event::Notice(Notice::NotAnswering));
            }
        }
    }

    /// How long the agent may be away: not long before the session has begun.
    fn away(&self) -> Duration {
        if self.phase == Phase::Running { self.limits.away } else { self.limits.first }
    }

    /// When a shell that says nothing gets its terminal's size all the same: some agents' shells wait for it.
    fn early_size(&self, since: Duration) -> Option<Duration> {
        let wanted = self.wanted == Wanted::Shell && !self.size_early && self.size.is_some();
        (wanted && self.phase == Phase::Opening).then(|| since + self.limits.tell)
    }

    /// When [`Self::tick`] has something to do.
    pub fn deadline(&self, reading: bool) -> Option<Duration> {
        let since = self.connected.filter(|_| self.end.is_none() && reading)?;
        let tell = |since| (!self.told).then_some(since + self.limits.tell);
        if let Some(paused) = self.paused {
            let probe = (!self.outgoing.is_empty()).then_some(self.probed + PROBE);
            return [Some(paused + self.away()), tell(paused), probe].into_iter().flatten().min();
        }
        let phase = match self.phase {
            Phase::Opening => Some(since + if self.heard { self.limits.slow_shell } else { self.limits.first }),
            Phase::Handshake(since) => Some(since + self.limits.handshake),
            Phase::Running => None,
        };
        let waiting = self.outgoing.waiting_since();
        [
            phase,
            self.early_size(since),
            self.outgoing.deadline(),
            waiting.map(|since| since + self.limits.give_up),
            waiting.and_then(tell),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
