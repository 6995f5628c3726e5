//! Many connections in one byte stream: frames of smux version 1, the agent's side.
//!
//! After github.com/xtaci/smux `frame.go`: version, command, length (u16), stream (u32), little-endian.

use bytes::{Bytes, BytesMut};

const HEADER: usize = 8;
const VERSION: u8 = 1;

pub(super) const OPEN: u8 = 0;
pub(super) const CLOSE: u8 = 1;
pub(super) const DATA: u8 = 2;
const NOTHING: u8 = 3;

/// A frame: command, stream, bytes.
pub(super) type Piece = (u8, u32, Bytes);

pub(super) fn write(command: u8, stream: u32, bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let mut out = vec![VERSION, command];
    out.extend(length.to_le_bytes());
    out.extend(stream.to_le_bytes());
    out.extend(&bytes[..usize::from(length)]);
    out
}

/// Puts frames together from the pieces in which they come.
#[derive(Default)]
pub(super) struct Reader(BytesMut);

impl Reader {
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole frame; an error for bytes that are none.
    pub fn next(&mut self) -> Result<Option<Piece>, ()> {
        let Some([version, command, low, high, id @ ..]) = self.0.first_chunk::<HEADER>().copied() else {
            return Ok(None);
        };
        if version != VERSION || command > NOTHING {
            return Err(());
        }
        let length = usize::from(u16::from_le_bytes([low, high]));
        if self.0.len() < HEADER + length {
            return Ok(None);
        }
        let mut whole = self.0.split_to(HEADER + length);
        Ok(Some((command, u32::from_le_bytes(id), whole.split_off(HEADER).freeze())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_put_together() {
        let mut reader = Reader::default();
        let bytes = [write(OPEN, 3, b""), write(DATA, 3, b"hello")].concat();
        let mut pieces = Vec::new();
        for byte in bytes {
            reader.push(&[byte]);
            pieces.extend(reader.next().expect("frames"));
        }
        assert_eq!(pieces, [(OPEN, 3, Bytes::new()), (DATA, 3, Bytes::from_static(b"hello"))]);
        reader.push(&[2; 8]);
        assert!(reader.next().is_err());
    }
}
