//! The session against the instance's side, over a simulated line in simulated time.

#[path = "../../../tests/it/ssm/agent.rs"]
mod agent;

use super::end::{End, Notice};
use super::message::{Content, Flag, Kind, Message};
use super::session::Session;
use super::streams::{Id, Read, Write};
use super::wire::{Limits, Shape, Wanted};
use crate::core::channel;
use agent::{Agent, Opening};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;

mod lossy;
mod ports;
mod shell;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn s(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// What the line does with one frame.
#[derive(Debug, Clone, Copy)]
struct Fate {
    copies: u8,
    delay: u64,
}

const GOOD: Fate = Fate { copies: 1, delay: 5 };

/// Session, agent, and the line between them.
struct World {
    now: Duration,
    session: Session,
    agent: Agent,
    up: bool,
    /// Frames under way, by arrival: to the agent or not.
    line: BTreeMap<(Duration, u64), (bool, Bytes)>,
    count: u64,
    /// What becomes of the nth frame; good ones come after the list.
    fates: Vec<Fate>,
    notices: Vec<Notice>,
}

impl World {
    fn new(wanted: Wanted, opening: Opening) -> Self {
        let session = Session::new(wanted, [7; 32], 1_800_000_000_000, Limits::default());
        let mut world = Self {
            now: ms(0),
            session,
            agent: Agent::new(opening),
            up: false,
            line: BTreeMap::new(),
            count: 0,
            fates: Vec::new(),
            notices: Vec::new(),
        };
        world.connect();
        let first = world.agent.start(world.now);
        world.deliver(first);
        world
    }

    fn connect(&mut self) {
        self.up = true;
        self.session.connected(self.now);
    }

    /// The connection breaks, and everything under way is gone.
    fn cut(&mut self) {
        self.up = false;
        self.line.clear();
        self.session.lost();
    }

    fn post(&mut self, to_agent: bool, frame: Bytes) {
        let at = usize::try_from(self.count).expect("small");
        let fate = self.fates.get(at).copied().unwrap_or(GOOD);
        for copy in 0..fate.copies {
            self.count += 1;
            let at = self.now + ms(fate.delay) * (u32::from(copy) + 1);
            self.line.insert((at, self.count), (to_agent, frame.clone()));
        }
        self.count += u64::from(fate.copies == 0);
    }

    fn deliver(&mut self, frames: impl IntoIterator<Item = Bytes>) {
        for frame in frames {
            if self.up {
                self.post(false, frame);
            }
        }
    }

    fn output(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(1024) {
            let frame = self.agent.send(self.now, Content::Data, piece);
            self.deliver([frame]);
        }
    }

    /// One millisecond passes.
    fn step(&mut self) {
        self.now += ms(1);
        while let Some(entry) = self.line.first_entry()
            && entry.key().0 <= self.now
        {
            let (to_agent, frame) = entry.remove();
            if to_agent {
                let answers = self.agent.frame(self.now, &frame);
                self.deliver(answers);
            } else {
                self.session.frame(self.now, &frame);
            }
        }
        if let Some(frame) = self.agent.tick(self.now) {
            self.deliver([frame]);
        }
        if self.session.deadline().is_some_and(|at| at <= self.now) {
            self.session.tick(self.now);
        }
        while self.up
            && let Some(frame) = self.session.transmit(self.now)
        {
            self.post(true, frame);
        }
        self.notices.extend(std::iter::from_fn(|| self.session.next_notice()));
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.step();
        }
    }

    fn read(&mut self, id: Id) -> Vec<u8> {
        let (mut out, mut buffer) = (Vec::new(), [0; 4096]);
        while let Read::Bytes(count) = self.session.read(self.now, id, &mut buffer) {
            out.extend_from_slice(&buffer[..count]);
        }
        out
    }

    fn ends_within(&mut self, limit: Duration) -> End {
        let until = self.now + limit;
        while self.now < until {
            self.step();
            if let Some(end) = self.session.end() {
                return end.clone();
            }
        }
        panic!("the session did not end within {limit:?}");
    }

    fn input_length(&self) -> usize {
        self.agent.input.iter().filter(|(c, _)| *c == Content::Data).map(|(_, b)| b.len()).sum()
    }

    fn input(&self) -> Vec<u8> {
        self.agent.input.iter().filter(|(c, _)| *c == Content::Data).flat_map(|(_, b)| b.to_vec()).collect()
    }
}
