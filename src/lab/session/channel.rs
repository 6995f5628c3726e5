//! The agent's end of the data channel: numbers, acknowledgements, sending again.
//!
//! Constants after amazon-ssm-agent `agent/session/config/config.go` and `datachannel/datachannel.go`. Must not know what
//! the bytes mean.

use super::frame::{ACKNOWLEDGE, Frame, INPUT, OUTPUT, content};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Longest payload of a stream message.
pub(super) const LONGEST: usize = 1024;
/// An unanswered message is sent again after this time.
const AGAIN: Duration = Duration::from_millis(250);
/// Messages that may be on the way, unanswered. The agent has no such bound; its memory is larger.
const WINDOW: usize = 1000;
/// Messages of the client that wait for their turn.
const WAITING: usize = 256;

struct Sent {
    number: i64,
    frame: Bytes,
    at: Instant,
}

/// A message of the client, in order.
pub(super) struct Said {
    pub content: u32,
    pub payload: Bytes,
}

/// Both directions.
#[derive(Default)]
pub(super) struct Channel {
    next: i64,
    unanswered: VecDeque<Sent>,
    expected: i64,
    early: BTreeMap<i64, Said>,
    /// Frames for the client.
    frames: VecDeque<Bytes>,
}

impl Channel {
    /// Whether another message of data may be sent.
    pub fn has_room(&self) -> bool {
        self.unanswered.len() < WINDOW
    }

    /// Whether the client has everything.
    pub fn is_settled(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// Sends stream data, in pieces.
    pub fn send(&mut self, kind: u32, bytes: &[u8]) {
        for piece in bytes.chunks(LONGEST) {
            let number = self.next;
            self.next += 1;
            let payload = Bytes::copy_from_slice(piece);
            // The first message of the agent opens the stream.
            let flags = u64::from(number == 0);
            let frame = Frame { number, flags, content: kind, ..Frame::control(OUTPUT, payload) }.write();
            self.unanswered.push_back(Sent { number, frame: frame.clone(), at: Instant::now() });
            self.frames.push_back(frame);
        }
    }

    /// Sends a message without a number.
    pub fn send_control(&mut self, kind: &str, payload: String) {
        self.frames.push_back(Frame::control(kind, payload).write());
    }

    /// The next frame for the client.
    pub fn frame(&mut self) -> Option<Bytes> {
        self.frames.pop_front()
    }

    /// Whether there is one.
    pub fn has_frame(&self) -> bool {
        !self.frames.is_empty()
    }

    /// The connection is another one: what waits for an answer goes out again.
    pub fn restart(&mut self) {
        self.frames.clear();
        let now = Instant::now();
        for sent in &mut self.unanswered {
            sent.at = now;
            self.frames.push_back(sent.frame.clone());
        }
    }

    /// Takes a frame of the client.
    pub fn take(&mut self, bytes: &Bytes) {
        let Some(frame) = Frame::read(bytes) else { return };
        match frame.kind.as_str() {
            ACKNOWLEDGE => {
                let answer: Value = serde_json::from_slice(&frame.payload).unwrap_or_default();
                if let Some(number) = answer["AcknowledgedMessageSequenceNumber"].as_i64() {
                    self.unanswered.retain(|sent| sent.number != number);
                }
            }
            INPUT => {
                let new = frame.number >= self.expected;
                if new && self.early.len() >= WAITING && !self.early.contains_key(&frame.number) {
                    // It comes again.
                    return;
                }
                let answer = json!({
                    "AcknowledgedMessageType": INPUT,
                    "AcknowledgedMessageId": Frame::uuid(&frame.id),
                    "AcknowledgedMessageSequenceNumber": frame.number,
                    "IsSequentialMessage": true,
                });
                let answer = Frame { flags: 3, ..Frame::control(ACKNOWLEDGE, answer.to_string()) };
                self.frames.push_back(answer.write());
                if new {
                    self.early.insert(frame.number, Said { content: frame.content, payload: frame.payload });
                }
            }
            _ => {}
        }
    }

    /// The client's next message, once its turn has come.
    pub fn said(&mut self) -> Option<Said> {
        let said = self.early.remove(&self.expected)?;
        self.expected += 1;
        Some(said)
    }

    /// Sends the oldest unanswered message again, when its time has come.
    pub fn tick(&mut self) {
        if let Some(oldest) = self.unanswered.front_mut().filter(|sent| sent.at.elapsed() >= AGAIN) {
            oldest.at = Instant::now();
            self.frames.push_back(oldest.frame.clone());
        }
    }

    /// The beginning of a session that needs to agree on things first.
    pub fn ask(&mut self, version: &str, kind: &str, properties: &Value) {
        let request = json!({
            "AgentVersion": version,
            "RequestedClientActions": [{
                "ActionType": "SessionType",
                "ActionParameters": { "SessionType": kind, "Properties": properties },
            }],
        });
        self.send(content::REQUEST, request.to_string().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(number: i64, text: &'static str) -> Bytes {
        Frame { number, content: content::DATA, ..Frame::control(INPUT, text) }.write()
    }

    fn kinds(channel: &mut Channel) -> Vec<String> {
        std::iter::from_fn(|| channel.frame()).map(|bytes| Frame::read(&bytes).expect("a message").kind).collect()
    }

    #[test]
    fn messages_are_answered_once_more_and_taken_once() {
        let mut channel = Channel::default();
        for bytes in [input(1, "b"), input(0, "a"), input(0, "a"), input(1, "b")] {
            channel.take(&bytes);
        }
        let said: Vec<_> = std::iter::from_fn(|| channel.said()).map(|said| said.payload).collect();
        assert_eq!(said, ["a", "b"]);
        assert_eq!(kinds(&mut channel), [ACKNOWLEDGE; 4]);
        channel.take(&input(0, "a"));
        assert!(channel.said().is_none());
        assert_eq!(kinds(&mut channel), [ACKNOWLEDGE]);
    }

    #[test]
    fn what_is_not_answered_goes_out_again_on_a_new_connection() {
        let mut channel = Channel::default();
        channel.send(content::DATA, &[b'x'; 2500]);
        assert_eq!(kinds(&mut channel).len(), 3);
        let answer = json!({ "AcknowledgedMessageSequenceNumber": 1 });
        channel.take(&Frame::control(ACKNOWLEDGE, answer.to_string()).write());
        channel.restart();
        assert_eq!(kinds(&mut channel).len(), 2);
        assert!(!channel.is_settled());
    }
}
