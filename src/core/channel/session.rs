//! A whole session without I/O and clock: the channel and the streams on it.
//!
//! In: frames, user's bytes, sizes, times, the connection's comings and goings. Out: frames, bytes for the user, the
//! next deadline, notices, and the end with its reason. All buffers are bounded: [`Session::wants_frames`] says when the
//! connection must hold back, [`Write::Wait`] when the user must. `now` is the time since the session began.

use super::end::{End, Notice};
use super::message::Flag;
use super::streams::{Id, Out, Read, Streams, Write};
use super::wire::{Event, Limits, Shape, Wanted, Wire};
use bytes::{Buf as _, Bytes};
use std::collections::VecDeque;
use std::time::Duration;

/// Most notices that are kept for a reader who does not come.
const NOTICES: usize = 64;
/// Most standard error that is kept unread before the connection is no longer read.
const STDERR: usize = 2 << 20;

/// A session.
pub struct Session {
    wire: Wire,
    streams: Streams,
    stderr: VecDeque<Bytes>,
    stderr_bytes: usize,
    notices: VecDeque<Notice>,
    exit_code: Option<i32>,
    shape: Option<Shape>,
    limits: Limits,
    /// When our own end was asked for.
    closing: Option<Duration>,
    terminate: bool,
    told_streams: bool,
    /// The connection has been held back: answers may lie in it.
    held: bool,
}

impl Session {
    /// A session that has been started and is not connected. `seed` makes the ids, `epoch` is the time of day in
    /// milliseconds since 1970.
    pub fn new(wanted: Wanted, seed: [u8; 32], epoch: u64, limits: Limits) -> Self {
        let shape = (wanted == Wanted::Shell).then_some(Shape::Shell);
        Self {
            wire: Wire::new(wanted, seed, epoch, limits),
            streams: Streams::new(shape, limits.linger),
            stderr: VecDeque::new(),
            stderr_bytes: 0,
            notices: VecDeque::new(),
            exit_code: None,
            shape: None,
            limits,
            closing: None,
            terminate: false,
            told_streams: false,
            held: false,
        }
    }

    /// A new UUID.
    pub fn uuid(&mut self) -> [u8; 16] {
        self.wire.uuid()
    }

    /// The channel is open.
    pub fn connected(&mut self, now: Duration) {
        self.wire.connected(now);
        self.settle(now);
    }

    /// The connection broke; everything is kept for the next one.
    pub fn lost(&mut self) {
        self.wire.lost();
    }

    /// A frame came. Says whether the session moved on by it: junk, a pause or a repetition does not count.
    pub fn frame(&mut self, now: Duration, frame: &Bytes) -> bool {
        let moved = self.wire.frame(now, frame);
        while let Some(event) = self.wire.event() {
            self.happened(now, event);
        }
        self.held |= !self.wants_frames();
        self.settle(now);
        moved
    }

    /// How long this connection has been there with nothing that the agent owed on it.
    pub fn rested(&self, now: Duration) -> Duration {
        self.wire.rested(now)
    }

    fn happened(&mut self, now: Duration, event: Event) {
        match event {
            Event::Running(shape) => {
                self.shape = Some(shape);
                self.streams.set_shape(now, shape);
            }
            Event::Data(bytes) => {
                if let Err(bad) = self.streams.incoming(now, bytes) {
                    self.wire.finish(End::Broken { what: bad.to_string() });
                    self.terminate = true;
                }
            }
            Event::Stderr(bytes) => {
                self.stderr_bytes += bytes.len();
                self.stderr.push_back(bytes);
            }
            Event::ExitCode(code) => self.exit_code = Some(code),
            Event::Flag(Flag::ConnectToPortError) => {
                self.streams.port_refused();
                self.notice(Notice::PortRefused);
            }
            Event::Flag(Flag::DisconnectToPort | Flag::Terminate) => {}
            Event::Notice(notice) => self.notice(notice),
        }
    }

    /// Adds something to tell; the oldest goes when nobody reads them.
    pub fn notice(&mut self, notice: Notice) {
        if self.notices.len() >= NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
    }

    /// The next thing to tell.
    pub fn next_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Moves the user's bytes into messages, and tells the streams of the end.
    fn settle(&mut self, now: Duration) {
        while self.wire.room() > 0
            && let Some(out) = self.streams.outgoing()
        {
            match out {
                Out::Data(bytes) => self.wire.send(now, self.key(bytes)),
                Out::Flag(Flag::Terminate) => {
                    self.closing.get_or_insert(now);
                    self.wire.expect_close();
                    if self.wire.knows_terminate() {
                        self.wire.send_flag(now, Flag::Terminate);
                    } else {
                        self.terminate = true;
                    }
                }
                Out::Flag(flag) => self.wire.send_flag(now, flag),
            }
        }
        if let Some(end) = self.wire.end()
            && !self.told_streams
        {
            self.told_streams = true;
            // The service's close is how the end of the only stream is told.
            let whole = matches!(end, End::Closed { .. } | End::Ours);
            self.streams.end(whole);
        }
    }

    /// A line end typed alone is Enter to a shell, as the official client sends it; never to a port.
    fn key(&self, bytes: Bytes) -> Bytes {
        let enter = self.shape == Some(Shape::Shell) && bytes.as_ref() == b"\n";
        if enter { Bytes::from_static(b"\r") } else { bytes }
    }

    /// Lets time pass; to be called at [`Self::deadline`].
    pub fn tick(&mut self, now: Duration) {
        let reading = self.wants_frames();
        if reading && std::mem::take(&mut self.held) {
            // What was not read meanwhile is nobody's delay.
            self.wire.excuse(now);
        }
        self.wire.tick(now, reading);
        while let Some(event) = self.wire.event() {
            self.happened(now, event);
        }
        self.streams.tick(now);
        if self.closing.is_some_and(|since| now >= since + self.limits.closing) {
            // The service did not answer our own end: the API must be asked.
            self.terminate = true;
            self.wire.finish(End::Ours);
        }
        self.settle(now);
    }

    /// When [`Self::tick`] must be called.
    pub fn deadline(&self) -> Option<Duration> {
        if self.end().is_some() {
            return None;
        }
        let closing = self.closing.map(|since| since + self.limits.closing);
        let parts = [self.wire.deadline(self.wants_frames()), self.streams.deadline(), closing];
        parts.into_iter().flatten().min()
    }

    /// The next frame for the connection.
    pub fn transmit(&mut self, now: Duration) -> Option<Bytes> {
        self.wire.transmit(now)
    }

    /// Whether frames may be read now. If not, the connection is the back-pressure.
    pub fn wants_frames(&self) -> bool {
        self.streams.has_room() && self.stderr_bytes < STDERR
    }

    /// Whether the session's document must be ended by the API, since the channel cannot.
    pub fn needs_terminate(&self) -> bool {
        self.terminate
    }

    /// Ends the session from here: a port session by its flag, what else by [`Self::needs_terminate`].
    pub fn terminate(&mut self, now: Duration) {
        if self.closing.is_some() || self.end().is_some() {
            return;
        }
        if self.wire.is_running() && self.wire.knows_terminate() {
            self.streams.terminate();
            self.closing = Some(now);
            self.wire.expect_close();
        } else {
            self.terminate = true;
            self.wire.finish(End::Ours);
        }
        self.settle(now);
    }

    /// Ends the session for a reason outside of the channel.
    pub fn give_up(&mut self, now: Duration, end: End) {
        self.terminate = true;
        self.wire.finish(end);
        self.settle(now);
    }

    /// Why the session is over. What was received may still be read.
    pub fn end(&self) -> Option<&End> {
        self.wire.end()
    }

    /// Exit status, of a command with separate streams only.
    pub fn exit_code(&self) -> Option<i32> {
        self.exit_code
    }

    /// What the agent runs, once it does.
    pub fn shape(&self) -> Option<Shape> {
        self.shape
    }

    /// Version of the agent; empty when unknown.
    pub fn agent(&self) -> &str {
        self.wire.agent()
    }

    /// Frames that were no messages so far.
    pub fn bad_frames(&self) -> u64 {
        self.wire.bad_frames()
    }

    /// Sets the terminal's size.
    pub fn resize(&mut self, now: Duration, columns: u16, rows: u16) {
        self.wire.resize(now, columns, rows);
    }

    /// Opens a stream: the terminal's, or a connection through the port. `None` when there can be no more.
    pub fn open(&mut self, now: Duration) -> Option<Id> {
        let id = self.streams.open(now)?;
        self.settle(now);
        Some(id)
    }

    /// Copies received bytes of a stream.
    pub fn read(&mut self, now: Duration, id: Id, into: &mut [u8]) -> Read {
        self.streams.read(now, id, into)
    }

    /// Copies received standard error.
    pub fn read_stderr(&mut self, into: &mut [u8]) -> Read {
        let Some(chunk) = self.stderr.front_mut() else {
            return if self.end().is_some() { Read::End } else { Read::Wait };
        };
        let count = chunk.len().min(into.len());
        into[..count].copy_from_slice(&chunk[..count]);
        chunk.advance(count);
        self.stderr_bytes -= count;
        if chunk.is_empty() {
            self.stderr.pop_front();
        }
        Read::Bytes(count)
    }

    /// Takes the user's bytes, as far as there is room.
    pub fn write(&mut self, now: Duration, id: Id, bytes: &[u8]) -> Write {
        let wrote = self.streams.write(id, bytes);
        self.settle(now);
        wrote
    }

    /// Whether all bytes of a stream are in messages.
    pub fn is_flushed(&self, id: Id) -> bool {
        self.streams.is_flushed(id)
    }

    /// The local side of a stream sends no more.
    pub fn end_of_sending(&mut self, now: Duration, id: Id) {
        self.streams.end_of_sending(now, id);
        self.settle(now);
    }

    /// The local side of a stream is gone.
    pub fn close(&mut self, now: Duration, id: Id) {
        self.streams.close(id);
        self.settle(now);
    }
}
