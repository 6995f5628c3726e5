//! Messages of the data channel, as bytes.
//!
//! Written from amazon-ssm-agent `agent/session/contracts/agentmessage.go`, without a look at the client under practice.
//! Must not know what a message is for.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes before the payload's length.
const LENGTH_AT: usize = 116;
/// Bytes before the payload.
const PAYLOAD_AT: usize = 120;
/// The client sends no longer ones.
const LONGEST: usize = 64 * 1024;

pub(super) const INPUT: &str = "input_stream_data";
pub(super) const OUTPUT: &str = "output_stream_data";
pub(super) const ACKNOWLEDGE: &str = "acknowledge";
pub(super) const CLOSED: &str = "channel_closed";
pub(super) const PAUSE: &str = "pause_publication";
pub(super) const START: &str = "start_publication";

/// What the payload of stream data holds.
pub(super) mod content {
    pub const DATA: u32 = 1;
    pub const SIZE: u32 = 3;
    pub const REQUEST: u32 = 5;
    pub const RESPONSE: u32 = 6;
    pub const COMPLETE: u32 = 7;
    pub const FLAG: u32 = 10;
    pub const ERRORS: u32 = 11;
    pub const EXIT_CODE: u32 = 12;
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub kind: String,
    pub number: i64,
    pub flags: u64,
    /// A UUID in its usual order.
    pub id: [u8; 16],
    pub content: u32,
    pub payload: Bytes,
}

impl Frame {
    /// A message that has no number.
    pub fn control(kind: &str, payload: impl Into<Bytes>) -> Self {
        Self { kind: kind.to_owned(), number: 0, flags: 0, id: rand::random(), content: 0, payload: payload.into() }
    }

    pub fn write(&self) -> Bytes {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |age| age.as_millis() as u64);
        let mut out = Vec::with_capacity(PAYLOAD_AT + self.payload.len());
        out.extend((LENGTH_AT as u32).to_be_bytes());
        out.extend(format!("{:<32.32}", self.kind).as_bytes());
        out.extend(1_u32.to_be_bytes());
        out.extend(now.to_be_bytes());
        out.extend(self.number.to_be_bytes());
        out.extend(self.flags.to_be_bytes());
        // The halves stand the other way round.
        out.extend(&self.id[8..]);
        out.extend(&self.id[..8]);
        out.extend(Sha256::digest(&self.payload));
        out.extend(self.content.to_be_bytes());
        out.extend((self.payload.len() as u32).to_be_bytes());
        out.extend(&self.payload);
        out.into()
    }

    /// Reads a message; `None` for one that the agent drops.
    pub fn read(bytes: &Bytes) -> Option<Self> {
        if bytes.len() < PAYLOAD_AT || bytes.len() > LONGEST {
            return None;
        }
        let word = |at: usize| bytes[at..].first_chunk::<4>().map(|word| u32::from_be_bytes(*word));
        let long = |at: usize| bytes[at..].first_chunk::<8>().map(|word| u64::from_be_bytes(*word));
        let payload = bytes.slice(PAYLOAD_AT..);
        let whole = word(0)? as usize == LENGTH_AT && word(LENGTH_AT)? as usize == payload.len();
        let digest = payload.is_empty() || bytes[80..112] == Sha256::digest(&payload)[..];
        if !whole || !digest || long(40)? == 0 {
            return None;
        }
        let kind = String::from_utf8_lossy(&bytes[4..36]);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&bytes[72..80]);
        id[8..].copy_from_slice(&bytes[64..72]);
        Some(Self {
            kind: kind.trim_matches([' ', '\0']).to_owned(),
            number: long(48)?.cast_signed(),
            flags: long(56)?,
            id,
            content: word(112)?,
            payload,
        })
    }

    /// A UUID as text.
    pub fn uuid(id: &[u8; 16]) -> String {
        let digits = crate::lab::ids::hex(id);
        let [a, b, c, d, e] = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
        format!("{a}-{b}-{c}-{d}-{e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_back_and_a_damaged_one_is_dropped() {
        let frame = Frame { number: 7, content: 1, ..Frame::control(OUTPUT, "hello") };
        let bytes = frame.write();
        assert_eq!(
            (bytes.len(), &bytes[..4], &bytes[4..22]),
            (125, &[0, 0, 0, 116][..], b"output_stream_data".as_slice())
        );
        assert_eq!(Frame::read(&bytes), Some(frame));
        for at in [0, 118, 85, 122] {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1;
            assert_eq!(Frame::read(&damaged.into()), None, "{at}");
        }
        assert_eq!(Frame::read(&bytes.slice(..60)), None);
    }
}
