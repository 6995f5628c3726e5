//! The binary message of the data channel: 120 bytes of header, then the payload, big-endian.
//!
//! Total: any bytes give a message or a [`BadFrame`]. Must not know what a message means to a session.
//! Source: aws/session-manager-plugin `message/clientmessage.go`, `message/messageparser.go`; aws/amazon-ssm-agent
//! `contracts/agentmessage.go`.

use bytes::{BufMut as _, Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// Bytes before the payload.
pub const HEADER: usize = 120;
/// What the header says of its own length: it leaves out the last field, the payload's length.
const HEADER_LENGTH: u32 = 116;
/// Longest frame that is read, in bytes. The agent sends at most 1024 bytes of stream data at once; only texts are longer.
pub const LONGEST_FRAME: usize = 64 * 1024;
/// Most stream data in one message, in bytes. The agent's memory bounds count on it.
pub const LONGEST_DATA: usize = 1024;
/// Flag of the first message of a stream.
pub const SYN: u64 = 1;
/// Flags of an acknowledgement, as plugin and agent set them.
const ACK_FLAGS: u64 = 3;
const SCHEMA: u32 = 1;

/// What a message is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Client to agent, numbered and acknowledged.
    Input,
    /// Agent to client, numbered and acknowledged.
    Output,
    /// Says that one numbered message has come.
    Acknowledge,
    /// The session is over.
    Closed,
    /// The other side's data channel is not there.
    Pause,
    /// It is there again.
    Start,
    /// Never meant for a client: ignored.
    Other(String),
}

impl Kind {
    fn text(&self) -> &str {
        match self {
            Self::Input => "input_stream_data",
            Self::Output => "output_stream_data",
            Self::Acknowledge => "acknowledge",
            Self::Closed => "channel_closed",
            Self::Pause => "pause_publication",
            Self::Start => "start_publication",
            Self::Other(text) => text,
        }
    }

    /// Reads the padded field: agent and client pad with spaces, the service's own messages may have NULs.
    fn read(field: &[u8]) -> Option<Self> {
        let edge = |b: &u8| *b == b' ' || *b == 0;
        let start = field.iter().position(|b| !edge(b))?;
        let end = field.iter().rposition(|b| !edge(b))?;
        Some(match &field[start..=end] {
            b"input_stream_data" => Self::Input,
            b"output_stream_data" => Self::Output,
            b"acknowledge" => Self::Acknowledge,
            b"channel_closed" => Self::Closed,
            b"pause_publication" => Self::Pause,
            b"start_publication" => Self::Start,
            other => Self::Other(String::from_utf8_lossy(other).into_owned()),
        })
    }
}

/// What the payload of stream data holds (`PayloadType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Any data, in both directions.
    Data,
    /// `{"cols":…,"rows":…}`.
    Size,
    /// The agent names its version and what it wants done.
    HandshakeRequest,
    /// Our answer.
    HandshakeResponse,
    /// Data may flow.
    HandshakeComplete,
    /// Proof of the key of an encrypted session.
    Challenge,
    /// One big-endian u32, see [`Flag`].
    Flag,
    /// Standard error of a command that was run with separate streams.
    Stderr,
    /// `EXIT_CODE: n` of such a command.
    ExitCode,
    /// Not used by either side, or unknown.
    Other(u32),
}

impl Content {
    /// The number on the wire.
    pub fn number(self) -> u32 {
        match self {
            Self::Data => 1,
            Self::Size => 3,
            Self::HandshakeRequest => 5,
            Self::HandshakeResponse => 6,
            Self::HandshakeComplete => 7,
            Self::Challenge => 8,
            Self::Flag => 10,
            Self::Stderr => 11,
            Self::ExitCode => 12,
            Self::Other(number) => number,
        }
    }

    fn read(number: u32) -> Self {
        match number {
            1 => Self::Data,
            3 => Self::Size,
            5 => Self::HandshakeRequest,
            6 => Self::HandshakeResponse,
            7 => Self::HandshakeComplete,
            8 => Self::Challenge,
            10 => Self::Flag,
            11 => Self::Stderr,
            12 => Self::ExitCode,
            other => Self::Other(other),
        }
    }
}

/// Payload of [`Content::Flag`]; port sessions only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// To the agent: the local connection is gone, drop yours too.
    DisconnectToPort,
    /// To the agent: end the session.
    Terminate,
    /// From the agent: the destination port cannot be connected to.
    ConnectToPortError,
}

impl Flag {
    /// The payload.
    pub fn bytes(self) -> [u8; 4] {
        let number: u32 = match self {
            Self::DisconnectToPort => 1,
            Self::Terminate => 2,
            Self::ConnectToPortError => 3,
        };
        number.to_be_bytes()
    }

    /// Reads a payload; `None` for a flag that does not exist.
    pub fn read(payload: &[u8]) -> Option<Self> {
        match payload {
            [0, 0, 0, 1] => Some(Self::DisconnectToPort),
            [0, 0, 0, 2] => Some(Self::Terminate),
            [0, 0, 0, 3] => Some(Self::ConnectToPortError),
            _ => None,
        }
    }
}

/// One message. Shown without its payload, which is what somebody typed or saw.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is for.
    pub kind: Kind,
    /// When it was made, in milliseconds since the epoch; never 0.
    pub created: u64,
    /// Its number in its direction's stream; 0 in messages that have none.
    pub sequence: i64,
    /// Bit 0 SYN, bit 1 FIN.
    pub flags: u64,
    /// UUID.
    pub id: [u8; 16],
    /// What the payload holds; [`Content::Other`]`(0)` in messages that are no stream data.
    pub content: Content,
    /// The payload.
    pub payload: Bytes,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("kind", &self.kind)
            .field("sequence", &self.sequence)
            .field("content", &self.content)
            .field("bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// Why bytes are no message. Such a frame is dropped without an acknowledgement, so that its sender sends it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadFrame {
    /// Shorter than a header.
    TooShort {
        /// Bytes that came.
        length: usize,
    },
    /// Longer than [`LONGEST_FRAME`].
    TooLong {
        /// Bytes that came.
        length: usize,
    },
    /// The header names another length than 116.
    HeaderLength(u32),
    /// The payload's length is not that of the bytes that follow.
    PayloadLength {
        /// What the header says.
        said: u32,
        /// What came.
        there: usize,
    },
    /// The message type is empty.
    NoKind,
    /// The creation date is 0.
    NoDate,
    /// The payload's SHA-256 is another one.
    Digest,
}

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { length } => write!(f, "a frame of {length} bytes is shorter than its header"),
            Self::TooLong { length } => write!(f, "a frame of {length} bytes is longer than any the agent sends"),
            Self::HeaderLength(said) => write!(f, "a frame claims a header of {said} bytes"),
            Self::PayloadLength { said, there } => write!(f, "a frame claims {said} bytes of payload and has {there}"),
            Self::NoKind => f.write_str("a frame names no message type"),
            Self::NoDate => f.write_str("a frame has no creation date"),
            Self::Digest => f.write_str("a frame's payload does not fit its digest"),
        }
    }
}

/// The bytes of a field.
fn field<const N: usize>(frame: &[u8], at: usize) -> Option<[u8; N]> {
    frame.get(at..)?.first_chunk().copied()
}

impl Message {
    /// Reads one frame.
    ///
    /// `start_publication` and `pause_publication` are taken by their type alone: the service sends them with an
    /// incomplete header.
    pub fn parse(frame: &Bytes) -> Result<Self, BadFrame> {
        let length = frame.len();
        if length > LONGEST_FRAME {
            return Err(BadFrame::TooLong { length });
        }
        let short = BadFrame::TooShort { length };
        let kind = Kind::read(frame.get(4..36).ok_or(short.clone())?);
        if let Some(kind @ (Kind::Pause | Kind::Start)) = kind {
            let (id, payload) = ([0; 16], Bytes::new());
            return Ok(Self { kind, created: 1, sequence: 0, flags: 0, id, content: Content::Other(0), payload });
        }
        let long = |at| field::<8>(frame, at).ok_or(short.clone());
        let word = |at| field::<4>(frame, at).map(u32::from_be_bytes).ok_or(short.clone());
        let said = word(116)?;
        match word(0)? {
            HEADER_LENGTH => {}
            other => return Err(BadFrame::HeaderLength(other)),
        }
        let payload = frame.slice(HEADER..);
        if usize::try_from(said) != Ok(payload.len()) {
            return Err(BadFrame::PayloadLength { said, there: payload.len() });
        }
        let kind = kind.ok_or(BadFrame::NoKind)?;
        let created = u64::from_be_bytes(long(40)?);
        if created == 0 {
            return Err(BadFrame::NoDate);
        }
        if !payload.is_empty() && frame.get(80..112) != Some(Sha256::digest(&payload).as_slice()) {
            return Err(BadFrame::Digest);
        }
        let (second, first) = (long(64)?, long(72)?);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&first);
        id[8..].copy_from_slice(&second);
        Ok(Self {
            kind,
            created,
            sequence: i64::from_be_bytes(long(48)?),
            flags: u64::from_be_bytes(long(56)?),
            id,
            content: Content::read(word(112)?),
            payload,
        })
    }

    /// The frame. A type longer than its field is cut.
    pub fn frame(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER + self.payload.len());
        let mut kind = [b' '; 32];
        kind.iter_mut().zip(self.kind.text().bytes()).for_each(|(to, from)| *to = from);
        out.put_u32(HEADER_LENGTH);
        out.put_slice(&kind);
        out.put_u32(SCHEMA);
        out.put_u64(self.created);
        out.put_i64(self.sequence);
        out.put_u64(self.flags);
        out.put_slice(&self.id[8..]);
        out.put_slice(&self.id[..8]);
        out.put_slice(&Sha256::digest(&self.payload));
        out.put_u32(self.content.number());
        out.put_u32(u32::try_from(self.payload.len()).unwrap_or(u32::MAX));
        out.put_slice(&self.payload);
        out.freeze()
    }

    /// The acknowledgement of this message.
    #[must_use]
    pub fn acknowledgement(&self, id: [u8; 16], created: u64) -> Self {
        let payload = serde_json::json!({
            "AcknowledgedMessageType": self.kind.text(),
            "AcknowledgedMessageId": uuid_text(&self.id),
            "AcknowledgedMessageSequenceNumber": self.sequence,
            "IsSequentialMessage": true,
        });
        let content = Content::Other(0);
        let payload = Bytes::from(payload.to_string());
        Self { kind: Kind::Acknowledge, created, sequence: 0, flags: ACK_FLAGS, id, content, payload }
    }
}

/// A UUID as text: five groups of hexadecimal digits.
pub fn uuid_text(id: &[u8; 16]) -> String {
    // Made for each acknowledgement, so without the formatter.
    let digit = |four: u8| char::from_digit(u32::from(four), 16).unwrap_or('0');
    let mut out = String::with_capacity(36);
    for (at, byte) in id.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.extend([digit(byte >> 4), digit(byte & 15)]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: [u8; 16] =
        [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4d, 0xef, 0x81, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];

    fn sample() -> Message {
        Message {
            kind: Kind::Input,
            created: 1_700_000_000_000,
            sequence: 2,
            flags: 0,
            id: ID,
            content: Content::Data,
            payload: Bytes::from_static(b"ls\r"),
        }
    }

    /// Written down from the official client's serialiser.
    const EXAMPLE: &str = "00000074\
        696e7075745f73747265616d5f64617461202020202020202020202020202020\
        00000001\
        0000018bcfe56800\
        0000000000000002\
        0000000000000000\
        8123456789abcdef\
        0123456789ab4def\
        1d887ce0f8672e4914d9000e801cd74ecd805dd9366c0bc42dc16adc0197dc2f\
        00000001\
        00000003\
        6c730d";

    fn example() -> Bytes {
        let digit = |at: usize| u8::from_str_radix(&EXAMPLE[at..at + 2], 16).expect("hexadecimal");
        (0..EXAMPLE.len()).step_by(2).map(digit).collect()
    }

    fn changed(at: usize, to: u8) -> Result<Message, BadFrame> {
        let mut frame = sample().frame().to_vec();
        frame[at] = to;
        Message::parse(&frame.into())
    }

    #[test]
    fn the_frame_is_that_of_the_official_client() {
        assert_eq!(sample().frame(), example());
        assert_eq!(Message::parse(&example()), Ok(sample()));
    }

    #[test]
    fn each_broken_field_is_named() {
        assert_eq!(changed(0, 1), Err(BadFrame::HeaderLength(0x0100_0074)));
        assert_eq!(changed(3, 120), Err(BadFrame::HeaderLength(120)));
        assert_eq!(changed(116, 0xff), Err(BadFrame::PayloadLength { said: 0xff00_0003, there: 3 }));
        assert_eq!(changed(119, 2), Err(BadFrame::PayloadLength { said: 2, there: 3 }));
        assert_eq!(changed(120, b'L'), Err(BadFrame::Digest));
        assert_eq!(changed(80, 0), Err(BadFrame::Digest));
        assert_eq!(Message::parse(&sample().frame().slice(..119)), Err(BadFrame::TooShort { length: 119 }));
        assert_eq!(Message::parse(&Bytes::new()), Err(BadFrame::TooShort { length: 0 }));
        let long = Bytes::from(vec![0; LONGEST_FRAME + 1]);
        assert_eq!(Message::parse(&long), Err(BadFrame::TooLong { length: LONGEST_FRAME + 1 }));
        let undated = Message { created: 0, ..sample() };
        assert_eq!(Message::parse(&undated.frame()), Err(BadFrame::NoDate));
        let unnamed = Message { kind: Kind::Other(String::new()), ..sample() };
        assert_eq!(Message::parse(&unnamed.frame()), Err(BadFrame::NoKind));
    }

    #[test]
    fn types_padded_with_nul_and_publication_without_a_header_are_read() {
        let mut frame = sample().frame().to_vec();
        frame[4 + 17..36].fill(0);
        assert_eq!(Message::parse(&frame.into()), Ok(sample()));
        let mut start = vec![0; 36];
        start[4..21].copy_from_slice(b"start_publication");
        assert_eq!(Message::parse(&start.into()).map(|m| m.kind), Ok(Kind::Start));
    }

    #[test]
    fn an_acknowledgement_names_the_message_with_its_halves_in_order() {
        let ack = sample().acknowledgement([7; 16], 5);
        let text = std::str::from_utf8(&ack.payload).expect("text");
        assert!(text.contains(r#""AcknowledgedMessageId":"01234567-89ab-4def-8123-456789abcdef""#), "{text}");
        assert!(text.contains(r#""AcknowledgedMessageSequenceNumber":2"#), "{text}");
        assert_eq!((ack.sequence, ack.flags, ack.content.number()), (0, 3, 0));
    }

    #[test]
    fn what_was_typed_is_not_in_the_debug_text() {
        let text = format!("{:?}", sample());
        assert!(text.contains("bytes: 3") && !text.contains("ls"), "{text}");
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Message::parse(&bytes.into());
        }

        #[test]
        fn a_frame_with_some_bytes_changed_never_panics(
            changes in proptest::collection::vec((0usize..123, any::<u8>()), 1..12),
            cut in 0usize..124,
        ) {
            let mut frame = sample().frame().to_vec();
            changes.iter().for_each(|(at, to)| frame[*at] = *to);
            frame.truncate(cut);
            if let Ok(message) = Message::parse(&frame.into()) {
                prop_assert!(message.created != 0);
            }
        }

        #[test]
        fn what_is_written_is_read_back(
            payload in proptest::collection::vec(any::<u8>(), 0..2000),
            sequence in any::<i64>(), flags in any::<u64>(), id in any::<[u8; 16]>(), number in any::<u32>(),
            created in 1u64..,
        ) {
            let content = Content::read(number);
            let message =
                Message { kind: Kind::Output, created, sequence, flags, id, content, payload: payload.into() };
            prop_assert_eq!(Message::parse(&message.frame()), Ok(message));
        }
    }
}
