//! The instance's side of a data channel, for tests: what the real agent does, written apart from what is tested but for
//! the message format. It resends its oldest message only, throws away input during the handshake, and can be told to
//! leave input unanswered for a while.
//!
//! Time is passed in, as in what it tests. Used by the unit tests of the channel, too.

use super::channel::message::{Content, Kind, Message, SYN};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// After this an unanswered message is sent again.
const RESEND: Duration = Duration::from_millis(200);

/// What the agent opens with.
#[derive(Debug, Clone)]
pub enum Opening {
    /// The usual shell: no handshake.
    Plain,
    /// A handshake with this version and these actions.
    Handshake { version: String, actions: Value },
}

impl Opening {
    /// A port session as the service asks for it.
    pub fn port(version: &str, kind: &str) -> Self {
        let properties = json!({ "portNumber": "22", "localPortNumber": "0", "type": kind });
        let parameters = json!({ "SessionType": "Port", "Properties": properties });
        let actions = json!([{ "ActionType": "SessionType", "ActionParameters": parameters }]);
        Self::Handshake { version: version.to_owned(), actions }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Asked,
    Open,
}

pub struct Agent {
    opening: Opening,
    state: State,
    next: i64,
    /// Frames that were not acknowledged, and when they were sent last.
    pub unanswered: BTreeMap<i64, (Bytes, Duration)>,
    expected: i64,
    held: BTreeMap<i64, Message>,
    /// Input that was delivered, in order.
    pub input: VecDeque<(Content, Bytes)>,
    /// The client's answer to the handshake.
    pub response: Option<Value>,
    /// Until then input is left unanswered.
    pub ready_at: Duration,
    /// Digests are wrong in this many messages that are sent next.
    pub spoil: usize,
    /// Sizes that came while data flowed.
    pub sizes: Vec<String>,
    /// Duplicates that came.
    pub duplicates: usize,
    ids: u8,
}

impl Agent {
    pub fn new(opening: Opening) -> Self {
        let state = State::Waiting;
        let (unanswered, held, input) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new());
        let (response, sizes) = (None, Vec::new());
        Self {
            opening,
            state,
            next: 0,
            unanswered,
            expected: 0,
            held,
            input,
            response,
            ready_at: Duration::ZERO,
            spoil: 0,
            sizes,
            duplicates: 0,
            ids: 0,
        }
    }

    /// Begins the session: the first frame of a handshake; a plain one begins with its first output.
    pub fn start(&mut self, now: Duration) -> Vec<Bytes> {
        match self.opening.clone() {
            Opening::Plain => {
                self.state = State::Open;
                Vec::new()
            }
            Opening::Handshake { version, actions } => {
                self.state = State::Asked;
                let request = json!({ "AgentVersion": version, "RequestedClientActions": actions });
                vec![self.send(now, Content::HandshakeRequest, request.to_string().as_bytes())]
            }
        }
    }

    /// Numbers a message and keeps it until it is answered.
    pub fn send(&mut self, now: Duration, content: Content, payload: &[u8]) -> Bytes {
        let flags = if self.next == 0 { SYN } else { 0 };
        let frame = self.message(Kind::Output, self.next, flags, content, payload).frame();
        self.unanswered.insert(self.next, (frame.clone(), now));
        self.next += 1;
        if self.spoil > 0 {
            self.spoil -= 1;
            let mut bad = frame.to_vec();
            bad[80] ^= 0xff;
            return bad.into();
        }
        frame
    }

    /// A message without a number.
    pub fn control(&mut self, kind: Kind, payload: &[u8]) -> Bytes {
        self.message(kind, 0, 0, Content::Other(0), payload).frame()
    }

    fn message(&mut self, kind: Kind, sequence: i64, flags: u64, content: Content, payload: &[u8]) -> Message {
        self.ids = self.ids.wrapping_add(1);
        let payload = Bytes::copy_from_slice(payload);
        Message { kind, created: 1_700_000_000_000, sequence, flags, id: [self.ids; 16], content, payload }
    }

    /// Whether data may be sent.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Takes a frame of the client; gives what is to be sent.
    pub fn frame(&mut self, now: Duration, frame: &Bytes) -> Vec<Bytes> {
        let message = Message::parse(frame).expect("the client sends messages");
        match message.kind {
            Kind::Acknowledge => {
                let ack: Value = serde_json::from_slice(&message.payload).expect("an acknowledgement");
                let number = ack["AcknowledgedMessageSequenceNumber"].as_i64().expect("a number");
                assert_eq!((message.sequence, message.flags), (0, 3));
                self.unanswered.remove(&number);
                Vec::new()
            }
            Kind::Input => self.numbered(now, message),
            other => panic!("the client sent {other:?}"),
        }
    }

    fn numbered(&mut self, now: Duration, message: Message) -> Vec<Bytes> {
        assert!(message.payload.len() <= 1024 || message.content != Content::Data, "a message is too long");
        // The plug-in is not ready: the agent leaves this to resending.
        if message.sequence >= self.expected && self.is_open() && now < self.ready_at {
            return Vec::new();
        }
        let ack = message.acknowledgement([9; 16], 1).frame();
        let mut out = vec![ack];
        if message.sequence < self.expected || self.held.contains_key(&message.sequence) {
            self.duplicates += 1;
            return out;
        }
        self.held.insert(message.sequence, message);
        while let Some(message) = self.held.remove(&self.expected) {
            self.expected += 1;
            match (self.state, message.content) {
                (State::Asked, Content::HandshakeResponse) => {
                    let answer: Value = serde_json::from_slice(&message.payload).expect("json");
                    let statuses = answer["ProcessedClientActions"].as_array().expect("actions");
                    let accepted = statuses.iter().all(|action| action["ActionStatus"] == 1);
                    self.response = Some(answer.clone());
                    if accepted {
                        self.state = State::Open;
                        let done = br#"{"HandshakeTimeToComplete":1234567,"CustomerMessage":""}"#;
                        out.push(self.send(now, Content::HandshakeComplete, done));
                    } else {
                        let closed =
                            json!({ "MessageType": "channel_closed", "Output": "KMSEncryption failed on client" });
                        out.push(self.control(Kind::Closed, closed.to_string().as_bytes()));
                    }
                }
                // Acknowledged and thrown away, as the real agent does.
                (State::Asked | State::Waiting, _) => {}
                (State::Open, Content::Size) => {
                    self.sizes.push(String::from_utf8(message.payload.to_vec()).expect("text"));
                }
                (State::Open, content) => self.input.push_back((content, message.payload)),
            }
        }
        out
    }

    /// The oldest message, when its time is over.
    pub fn tick(&mut self, now: Duration) -> Option<Bytes> {
        let mut oldest = self.unanswered.first_entry()?;
        let (frame, sent) = oldest.get_mut();
        if now < *sent + RESEND {
            return None;
        }
        *sent = now;
        Some(frame.clone())
    }
}
