//! Numbered messages in their order: what is next, what is held back, what has come already.
//!
//! Decides what is acknowledged; must not look into payloads.

use super::message::Message;
use std::collections::BTreeMap;

/// Most messages that are held back; plugin and agent count so, too.
const HELD: usize = 10_000;
/// Most bytes that are held back.
const HELD_BYTES: usize = 10 << 20;

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whether it is to be acknowledged. Duplicates are, again: the agent resends only its oldest message, so one lost
    /// acknowledgement would hold up everything behind it.
    pub acknowledge: bool,
    /// Messages that are next, in order.
    pub ready: Vec<Message>,
}

/// The receiving side of one direction.
#[derive(Default)]
pub struct Incoming {
    expected: i64,
    held: BTreeMap<i64, Message>,
    bytes: usize,
}

impl Incoming {
    /// Takes a message as it comes. Its number counts as delivered from here on, whatever becomes of the
    /// acknowledgement: else a cut connection would deliver it twice.
    pub fn take(&mut self, message: Message) -> Taken {
        let number = message.sequence;
        if number < 0 {
            return Taken { acknowledge: false, ready: Vec::new() };
        }
        if number < self.expected || self.held.contains_key(&number) {
            return Taken { acknowledge: true, ready: Vec::new() };
        }
        if number > self.expected {
            let room = self.held.len() < HELD && self.bytes + message.payload.len() <= HELD_BYTES;
            if room {
                self.bytes += message.payload.len();
                self.held.insert(number, message);
            }
            return Taken { acknowledge: room, ready: Vec::new() };
        }
        let mut ready = vec![message];
        self.expected = self.expected.saturating_add(1);
        while let Some(message) = self.held.remove(&self.expected) {
            self.bytes -= message.payload.len();
            ready.push(message);
            self.expected = self.expected.saturating_add(1);
        }
        Taken { acknowledge: true, ready }
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{Content, Kind};
    use super::*;

    fn message(sequence: i64, bytes: usize) -> Message {
        let payload = vec![0; bytes].into();
        Message { kind: Kind::Output, created: 1, sequence, flags: 0, id: [0; 16], content: Content::Data, payload }
    }

    fn numbers(taken: &Taken) -> Vec<i64> {
        taken.ready.iter().map(|m| m.sequence).collect()
    }

    #[test]
    fn order_is_restored_and_duplicates_are_acknowledged_again() {
        let mut incoming = Incoming::default();
        for (number, acknowledge, ready) in [
            (2, true, vec![]),
            (2, true, vec![]),
            (1, true, vec![]),
            (0, true, vec![0, 1, 2]),
            (1, true, vec![]),
            (-1, false, vec![]),
            (3, true, vec![3]),
        ] {
            let taken = incoming.take(message(number, 4));
            assert_eq!((taken.acknowledge, numbers(&taken)), (acknowledge, ready), "{number}");
        }
        assert_eq!(incoming.bytes, 0);
    }

    #[test]
    fn what_does_not_fit_is_neither_kept_nor_acknowledged() {
        let mut incoming = Incoming::default();
        let large = 60_000;
        let fit = HELD_BYTES / large;
        for number in 1..=i64::try_from(fit).expect("small") {
            assert!(incoming.take(message(number, large)).acknowledge);
        }
        assert!(!incoming.take(message(5000, large)).acknowledge);
        assert_eq!(incoming.take(message(0, large)).ready.len(), fit + 1);
        let mut small = Incoming::default();
        let last = i64::try_from(HELD).expect("small");
        assert!((1..=last).all(|n| small.take(message(n, 0)).acknowledge));
        assert!(!small.take(message(last + 1, 0)).acknowledge);
        assert!(!small.take(message(i64::MAX, 0)).acknowledge);
    }
}
