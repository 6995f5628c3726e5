//! Frames of smux version 1: 8 bytes of header, little-endian, then the payload. They lie in the byte stream of a port
//! session without regard to its messages.
//!
//! Total: any bytes give frames or a protocol error. Must not know streams. Source: xtaci/smux `frame.go`.

use bytes::{Buf as _, Bytes, BytesMut};

/// Bytes before the payload.
pub const HEADER: usize = 8;
const VERSION: u8 = 1;

/// What a frame does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Opens a stream.
    Open,
    /// Closes it, both ways.
    Close,
    /// Carries its bytes.
    Data,
    /// Keeps the session alive.
    Nothing,
}

/// A frame, or the part of one's payload that has come.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it does.
    pub command: Command,
    /// Its stream; 0 for keep-alive.
    pub stream: u32,
    /// Payload of [`Command::Data`].
    pub payload: Bytes,
}

/// Writes a frame; a payload longer than 65535 bytes is cut.
pub fn write(command: Command, stream: u32, payload: &[u8]) -> Bytes {
    let number = match command {
        Command::Open => 0,
        Command::Close => 1,
        Command::Data => 2,
        Command::Nothing => 3,
    };
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    let mut out = BytesMut::with_capacity(HEADER + usize::from(length));
    out.extend_from_slice(&[VERSION, number]);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&stream.to_le_bytes());
    out.extend_from_slice(&payload[..usize::from(length)]);
    out.freeze()
}

/// The bytes are no smux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// Another version than 1.
    Version(u8),
    /// A command that does not exist.
    Command(u8),
}

impl std::fmt::Display for Bad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version(version) => write!(f, "a multiplexing frame of version {version}"),
            Self::Command(command) => write!(f, "a multiplexing frame with the unknown command {command}"),
        }
    }
}

/// Reads frames from pieces of a byte stream. Payload is handed out as it comes, so nothing but a header is kept.
#[derive(Default)]
pub struct Parser {
    header: Vec<u8>,
    /// Stream and remaining payload of the frame that is being read.
    open: Option<(u32, Command, usize)>,
}

impl Parser {
    /// The next frame, or part of one, at the start of `bytes`, which is taken off; `None` when more bytes are needed.
    pub fn next(&mut self, bytes: &mut Bytes) -> Result<Option<Frame>, Bad> {
        loop {
            if let Some((stream, command, left)) = self.open {
                if bytes.is_empty() {
                    return Ok(None);
                }
                let payload = bytes.split_to(left.min(bytes.len()));
                let left = left - payload.len();
                self.open = (left > 0).then_some((stream, command, left));
                // Only data has a payload that means something.
                if command == Command::Data {
                    return Ok(Some(Frame { command, stream, payload }));
                }
                continue;
            }
            let missing = HEADER - self.header.len();
            self.header.extend_from_slice(&bytes[..missing.min(bytes.len())]);
            bytes.advance(missing.min(bytes.len()));
            let [version, number, l0, l1, s0, s1, s2, s3] = self.header[..] else { return Ok(None) };
            self.header.clear();
            if version != VERSION {
                return Err(Bad::Version(version));
            }
            let command = match number {
                0 => Command::Open,
                1 => Command::Close,
                2 => Command::Data,
                3 => Command::Nothing,
                other => return Err(Bad::Command(other)),
            };
            let stream = u32::from_le_bytes([s0, s1, s2, s3]);
            let length = usize::from(u16::from_le_bytes([l0, l1]));
            self.open = (length > 0).then_some((stream, command, length));
            if command != Command::Data {
                return Ok(Some(Frame { command, stream, payload: Bytes::new() }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(parser: &mut Parser, bytes: &[u8]) -> Result<Vec<Frame>, Bad> {
        let mut bytes = Bytes::copy_from_slice(bytes);
        let mut out = Vec::new();
        while let Some(frame) = parser.next(&mut bytes)? {
            out.push(frame);
        }
        assert!(bytes.is_empty());
        Ok(out)
    }

    #[test]
    fn a_frame_is_little_endian() {
        assert_eq!(write(Command::Data, 3, b"hi").as_ref(), [1, 2, 2, 0, 3, 0, 0, 0, b'h', b'i']);
        assert_eq!(write(Command::Open, 0x0102_0304, b"").as_ref(), [1, 0, 0, 0, 4, 3, 2, 1]);
    }

    #[test]
    fn frames_are_read_at_any_cut() {
        let stream = [
            write(Command::Open, 3, b""),
            write(Command::Data, 3, b"hello"),
            write(Command::Nothing, 0, b"xx"),
            write(Command::Data, 3, b""),
            write(Command::Close, 3, b""),
        ]
        .concat();
        for cut in 0..=stream.len() {
            let mut parser = Parser::default();
            let mut frames = all(&mut parser, &stream[..cut]).expect("frames");
            frames.extend(all(&mut parser, &stream[cut..]).expect("frames"));
            let data: Vec<u8> = frames.iter().flat_map(|f| f.payload.to_vec()).collect();
            assert_eq!(data, b"hello");
            let commands: Vec<_> = frames.iter().map(|f| f.command).filter(|c| *c != Command::Data).collect();
            assert_eq!(commands, [Command::Open, Command::Nothing, Command::Close], "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_smux_is_said() {
        assert_eq!(all(&mut Parser::default(), b"SSH-2.0-x"), Err(Bad::Version(b'S')));
        assert_eq!(all(&mut Parser::default(), &[1, 4, 0, 0, 3, 0, 0, 0]), Err(Bad::Command(4)));
    }

    proptest! {
        #[test]
        fn any_bytes_give_frames_or_an_error(bytes in proptest::collection::vec(0u8..6, 0..300)) {
            let _ = all(&mut Parser::default(), &bytes);
        }
    }
}
