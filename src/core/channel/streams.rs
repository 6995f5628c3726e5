//! The streams of a session: one terminal, one TCP stream, or many in smux frames, each with bounded buffers.
//!
//! Bytes and times in, bytes and flags out; no I/O, no clock. Numbers and acknowledgements are another layer's work.
//! smux version 1 has no window of its own and a full close only, hence two rules: a reader that has stopped while
//! others go on loses its stream, not the session; and a local end of sending is told to the agent only when the
//! remote has been quiet for a while, since the agent would discard what still comes.

use super::message::{Flag, LONGEST_DATA};
use super::smux::{self, Bad, Command, Parser};
use super::wire::Shape;
use bytes::{Buf as _, Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Received bytes of a stream above which the connection is no longer read.
pub const RECEIVE: usize = 256 * 1024;
/// Bytes of a stream that wait to be sent.
pub const SEND: usize = 64 * 1024;
/// Most streams at once.
const MOST: usize = 256;
/// smux's client begins here and takes every second number.
const FIRST: u32 = 3;
/// Keep-alive frames for agents that want them.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// A reader that takes nothing for so long while others wait loses its stream.
const STALLED: Duration = Duration::from_secs(10);

/// A stream's number.
pub type Id = u32;

/// What a read gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// So many bytes were copied.
    Bytes(usize),
    /// Nothing yet.
    Wait,
    /// There will be no more.
    End,
    /// The destination port refused the connection, or this session carries one stream only.
    Refused,
    /// Bytes are missing: the session broke, or this reader held up the others for too long.
    Reset,
}

/// What a write gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// So many bytes were taken.
    Bytes(usize),
    /// The buffer is full.
    Wait,
    /// The stream is over.
    Broken,
}

/// What goes to the agent.
#[derive(Debug, PartialEq, Eq)]
pub enum Out {
    /// At most [`LONGEST_DATA`] bytes.
    Data(Bytes),
    /// A flag.
    Flag(Flag),
}

#[derive(Default)]
struct Stream {
    receive: VecDeque<Bytes>,
    received: usize,
    send: VecDeque<u8>,
    /// Whether its smux frame that opens it was sent.
    opened: bool,
    /// Its bytes came before anybody asked for it.
    unclaimed: bool,
    /// The agent closed it.
    remote_end: bool,
    /// The last time a byte came, or the local side ended, whichever is later.
    quiet_since: Duration,
    /// The local side sends no more.
    ended: bool,
    /// The local side is gone: nothing is received any more.
    dropped: bool,
    refused: bool,
    /// Bytes are missing at its end.
    reset: bool,
    /// Any byte came.
    heard: bool,
    /// Since when the buffer has been full and its reader has taken nothing.
    full_since: Option<Duration>,
}

impl Stream {
    fn over(&self) -> bool {
        self.remote_end || self.refused
    }
}

/// All streams of a session.
pub struct Streams {
    shape: Option<Shape>,
    all: BTreeMap<Id, Stream>,
    next: Id,
    parser: Parser,
    /// Frames and flags that go before data.
    control: VecDeque<Out>,
    /// The last stream that sent, for turns.
    turn: Id,
    limit: usize,
    linger: Duration,
    /// The time of the last keep-alive frame.
    kept_alive: Duration,
    /// Connections that the agent could not make, whose stream has not been closed yet.
    refusals: usize,
    /// Nothing is carried any more.
    ended: bool,
}

impl Streams {
    /// No streams; `shape` is known at once for a terminal only. `linger` is how long the remote must be quiet before
    /// a stream that ended locally is closed.
    pub fn new(shape: Option<Shape>, linger: Duration) -> Self {
        Self {
            shape,
            all: BTreeMap::new(),
            next: FIRST,
            parser: Parser::default(),
            control: VecDeque::new(),
            turn: 0,
            limit: RECEIVE,
            linger,
            kept_alive: Duration::ZERO,
            refusals: 0,
            ended: false,
        }
    }

    /// Opens a stream. `None` when there are too many, or the session carries only one, which is in use.
    pub fn open(&mut self, now: Duration) -> Option<Id> {
        let waiting = self.all.iter_mut().find(|(_, stream)| stream.unclaimed);
        if let Some((id, stream)) = waiting {
            stream.unclaimed = false;
            stream.quiet_since = now;
            return Some(*id);
        }
        let single = self.shape.is_some_and(|shape| !matches!(shape, Shape::Smux { .. }));
        if self.ended || self.all.len() >= MOST || single && !self.all.is_empty() {
            return None;
        }
        // One TCP stream for the whole session: there is no second.
        if self.next != FIRST && matches!(self.shape, Some(Shape::Raw | Shape::Shell)) {
            return None;
        }
        let id = self.next;
        self.next = self.next.checked_add(2)?;
        self.all.insert(id, Stream { quiet_since: now, ..Stream::default() });
        Some(id)
    }

    /// Keeps what comes for a stream that nobody has asked for yet: a shell's prompt, a server's greeting.
    fn expect_stream(&mut self) {
        if self.all.is_empty() && self.next == FIRST {
            self.all.insert(FIRST, Stream { unclaimed: true, ..Stream::default() });
            self.next += 2;
        }
    }

    /// The agent said what it runs.
    pub fn set_shape(&mut self, now: Duration, shape: Shape) {
        self.shape = Some(shape);
        self.kept_alive = now;
        if !matches!(shape, Shape::Smux { .. }) {
            self.expect_stream();
            // Only the first of those that were opened early has a connection.
            self.all.values_mut().skip(1).for_each(|stream| stream.refused = true);
        }
    }

    fn is_smux(&self) -> bool {
        matches!(self.shape, Some(Shape::Smux { .. }))
    }

    /// Bytes from the agent.
    pub fn incoming(&mut self, now: Duration, mut bytes: Bytes) -> Result<(), Bad> {
        if !self.is_smux() {
            let first = self.all.values_mut().next();
            if let Some(stream) = first.filter(|stream| !stream.dropped && !stream.over()) {
                Self::receive(stream, self.limit, now, bytes);
            }
            return Ok(());
        }
        while let Some(frame) = self.parser.next(&mut bytes)? {
            let Some(stream) = self.all.get_mut(&frame.stream) else { continue };
            match frame.command {
                Command::Data if !stream.remote_end && !stream.dropped => {
                    Self::receive(stream, self.limit, now, frame.payload);
                }
                Command::Close if !stream.remote_end => {
                    stream.remote_end = true;
                    if !stream.heard && self.refusals > 0 {
                        self.refusals -= 1;
                        stream.refused = true;
                    }
                    // Go's side answers a close with its own, and so do we: else it keeps the stream.
                    stream.send.clear();
                    let opened = stream.opened;
                    if opened {
                        self.control.push_back(Out::Data(smux::write(Command::Close, frame.stream, b"")));
                    }
                    if stream.dropped {
                        self.all.remove(&frame.stream);
                    }
                }
                Command::Data | Command::Close | Command::Open | Command::Nothing => {}
            }
        }
        Ok(())
    }

    fn receive(stream: &mut Stream, limit: usize, now: Duration, bytes: Bytes) {
        stream.heard = true;
        stream.quiet_since = now;
        stream.received += bytes.len();
        if !bytes.is_empty() {
            stream.receive.push_back(bytes);
        }
        if stream.received >= limit && stream.full_since.is_none() {
            stream.full_since = Some(now);
        }
    }

    /// The agent could not connect to the destination.
    pub fn port_refused(&mut self) {
        if self.is_smux() {
            // Its stream is closed next, or was just now.
            let closed = self.all.values_mut().rfind(|s| s.remote_end && !s.heard && !s.refused);
            match closed {
                Some(stream) => stream.refused = true,
                None => self.refusals += 1,
            }
        } else if let Some(stream) = self.all.values_mut().next() {
            stream.refused = true;
        }
    }

    /// Whether more may be received: no stream's buffer is full.
    pub fn has_room(&self) -> bool {
        self.all.values().all(|stream| stream.received < self.limit || stream.over())
    }

    /// Copies received bytes.
    pub fn read(&mut self, now: Duration, id: Id, into: &mut [u8]) -> Read {
        let Some(stream) = self.all.get_mut(&id) else { return Read::End };
        let mut copied = 0;
        while copied < into.len()
            && let Some(chunk) = stream.receive.front_mut()
        {
            let count = chunk.len().min(into.len() - copied);
            into[copied..copied + count].copy_from_slice(&chunk[..count]);
            chunk.advance(count);
            copied += count;
            if chunk.is_empty() {
                stream.receive.pop_front();
            }
        }
        stream.received -= copied;
        if copied > 0 {
            stream.full_since = (stream.received >= self.limit).then_some(now);
            return Read::Bytes(copied);
        }
        match stream {
            _ if into.is_empty() && !stream.receive.is_empty() => Read::Bytes(0),
            Stream { refused: true, .. } => Read::Refused,
            Stream { reset: true, .. } => Read::Reset,
            Stream { remote_end: true, .. } => Read::End,
            _ if self.ended => Read::End,
            _ => Read::Wait,
        }
    }

    /// Takes bytes to send.
    pub fn write(&mut self, id: Id, bytes: &[u8]) -> Write {
        if self.ended {
            return Write::Broken;
        }
        let Some(stream) = self.all.get_mut(&id).filter(|s| !s.over() && !s.ended) else { return Write::Broken };
        let count = bytes.len().min(SEND.saturating_sub(stream.send.len()));
        if count == 0 && !bytes.is_empty() {
            return Write::Wait;
        }
        stream.send.extend(&bytes[..count]);
        Write::Bytes(count)
    }

    /// Whether all bytes of a stream were handed out.
    pub fn is_flushed(&self, id: Id) -> bool {
        self.ended || self.all.get(&id).is_none_or(|stream| stream.over() || stream.send.is_empty())
    }

    /// The local side sends no more; the remote may go on.
    pub fn end_of_sending(&mut self, now: Duration, id: Id) {
        if let Some(stream) = self.all.get_mut(&id).filter(|stream| !stream.ended) {
            stream.ended = true;
            stream.quiet_since = now;
        }
    }

    /// The local side is gone. What it wrote is still sent; what comes is thrown away.
    pub fn close(&mut self, id: Id) {
        let Some(stream) = self.all.get_mut(&id) else { return };
        stream.ended = true;
        stream.dropped = true;
        stream.receive.clear();
        stream.received = 0;
        stream.full_since = None;
        self.settle();
    }

    /// Takes away the streams that are gone and have nothing to send, and tells the agent.
    fn settle(&mut self) {
        let Some(shape) = self.shape else {
            // Nobody has heard of them.
            self.all.retain(|_, stream| !(stream.dropped && stream.send.is_empty()));
            return;
        };
        let gone = |stream: &Stream| stream.dropped && (stream.send.is_empty() || stream.over());
        let ids: Vec<Id> = self.all.iter().filter(|(_, stream)| gone(stream)).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(stream) = self.all.remove(&id) else { continue };
            match shape {
                Shape::Smux { .. } if stream.opened && !stream.remote_end => {
                    self.control.push_back(Out::Data(smux::write(Command::Close, id, b"")));
                }
                Shape::Basic if !stream.over() => self.control.push_back(Out::Flag(Flag::DisconnectToPort)),
                Shape::Raw if !stream.refused => self.terminate(),
                Shape::Raw | Shape::Shell | Shape::Basic | Shape::Smux { .. } => {}
            }
        }
    }

    /// Ends a port session: the agent is told, and nothing else is sent.
    pub fn terminate(&mut self) {
        if !self.ended && self.shape != Some(Shape::Shell) {
            self.control.push_back(Out::Flag(Flag::Terminate));
        }
        self.ended = true;
    }

    /// Whether nothing is carried any more.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// No more comes and nothing is sent: what was received may still be read. `whole` says whether it is all there was.
    pub fn end(&mut self, whole: bool) {
        self.ended = true;
        self.control.clear();
        let smux = self.is_smux();
        let open = self.all.values_mut().filter(|stream| !stream.over());
        open.for_each(|stream| stream.reset = !whole || smux && stream.opened && !stream.ended);
    }

    /// The next piece for the agent.
    pub fn outgoing(&mut self) -> Option<Out> {
        let shape = self.shape?;
        if let Some(out) = self.control.pop_front() {
            return Some(out);
        }
        if self.ended {
            return None;
        }
        let smux = matches!(shape, Shape::Smux { .. });
        let unopened = self.all.iter_mut().find(|(_, stream)| smux && !stream.opened && !stream.dropped);
        if let Some((id, stream)) = unopened {
            stream.opened = true;
            return Some(Out::Data(smux::write(Command::Open, *id, b"")));
        }
        let ready = |stream: &Stream| !stream.send.is_empty() && !stream.over();
        let after = self.all.range(self.turn.saturating_add(1)..).find(|(_, s)| ready(s));
        let id = *after.or_else(|| self.all.iter().find(|(_, s)| ready(s)))?.0;
        self.turn = id;
        let stream = self.all.get_mut(&id)?;
        let most = if smux { LONGEST_DATA - smux::HEADER } else { LONGEST_DATA };
        let mut data = BytesMut::with_capacity(most);
        data.extend(stream.send.drain(..stream.send.len().min(most)));
        let out = if smux { smux::write(Command::Data, id, &data) } else { data.freeze() };
        if stream.send.is_empty() {
            self.settle();
        }
        Some(Out::Data(out))
    }

    /// Whether [`Self::outgoing`] has something.
    pub fn has_outgoing(&self) -> bool {
        let smux = self.is_smux();
        self.shape.is_some()
            && (!self.control.is_empty()
                || !self.ended
                    && self.all.values().any(|s| !s.send.is_empty() && !s.over() || smux && !s.opened && !s.dropped))
    }

    /// Lets time pass: keep-alive, streams that ended locally, readers that stopped.
    pub fn tick(&mut self, now: Duration) {
        if self.shape == (Some(Shape::Smux { keep_alive: true })) && now >= self.kept_alive + KEEP_ALIVE {
            self.kept_alive = now;
            if self.control.is_empty() {
                self.control.push_back(Out::Data(smux::write(Command::Nothing, 0, b"")));
            }
        }
        if self.shape.is_none_or(|shape| shape == Shape::Shell) {
            return;
        }
        let others = self.all.len() > 1;
        let linger = self.linger;
        let mut over = Vec::new();
        for (id, stream) in &self.all {
            let lingered = stream.ended && !stream.dropped && !stream.over() && stream.send.is_empty();
            let stalled = others && stream.full_since.is_some_and(|since| now >= since + STALLED);
            if lingered && now >= stream.quiet_since + linger || stalled {
                over.push((*id, stalled));
            }
        }
        for (id, stalled) in over {
            self.close_from_here(id, stalled);
        }
    }

    /// Closes a stream whose owner may still read what has come.
    fn close_from_here(&mut self, id: Id, reset: bool) {
        let Some(shape) = self.shape else { return };
        let Some(stream) = self.all.get_mut(&id).filter(|stream| !stream.over()) else { return };
        stream.remote_end = true;
        stream.reset = reset;
        stream.full_since = None;
        match shape {
            Shape::Smux { .. } => {
                if stream.opened {
                    self.control.push_back(Out::Data(smux::write(Command::Close, id, b"")));
                }
            }
            Shape::Basic => self.control.push_back(Out::Flag(Flag::DisconnectToPort)),
            Shape::Raw => self.terminate(),
            Shape::Shell => {}
        }
    }

    /// When [`Self::tick`] has something to do.
    pub fn deadline(&self) -> Option<Duration> {
        let shape = self.shape.filter(|shape| *shape != Shape::Shell)?;
        let alive = (shape == Shape::Smux { keep_alive: true }).then(|| self.kept_alive + KEEP_ALIVE);
        let others = self.all.len() > 1;
        let of_streams = self.all.values().filter(|stream| !stream.over()).filter_map(|stream| {
            let lingering = stream.ended && !stream.dropped && stream.send.is_empty();
            let linger = lingering.then(|| stream.quiet_since + self.linger);
            let stalled = stream.full_since.filter(|_| others).map(|since| since + STALLED);
            [linger, stalled].into_iter().flatten().min()
        });
        alive.into_iter().chain(of_streams).min()
    }
}
