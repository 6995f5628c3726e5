//! Takes terminal output apart into text and whole sequences.
//!
//! Strings (window titles, the clipboard, sixels and everything else between OSC, DCS, APC, PM or SOS and its end) are
//! dropped here: the pane uses none of them, and the parser behind keeps such a string in memory however long it gets.
//! Pure; holds at most [`LONGEST`] bytes.

/// Longest control sequence that is looked at; a longer one is dropped.
pub const LONGEST: usize = 256;

/// Longest string that is waited for. After that many bytes without an end it is taken for noise, and output is shown again.
const LONGEST_STRING: usize = 1 << 20;

/// A part of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text, with control characters other than escape and the two shifts.
    Run(&'a [u8]),
    /// Shift to the second character set (true) or the first one.
    Shift(bool),
    /// `ESC`, then these intermediate bytes and this last one.
    Escape(&'a [u8], u8),
    /// `ESC [`, then this, the last byte included.
    Csi(&'a [u8]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Ground,
    /// After ESC; intermediates are held.
    Escape,
    /// In a control sequence.
    Csi,
    /// In a control sequence that is dropped.
    CsiIgnored,
    /// In a string; whether BEL ends it.
    Text { bell: bool, length: usize },
    /// After this many bytes of [`EMOJI`].
    Emoji(usize),
}

/// The state between two readings.
#[derive(Debug, Default)]
pub struct Splitter {
    state: State,
    held: Vec<u8>,
}

const ESC: u8 = 0x1b;

/// U+FE0F asks for the coloured, wide form of the sign before it. It is dropped: terminals and the C library of the other
/// side count such a sign as narrow, and vt100 has no room for its second half in the last column.
const EMOJI: [u8; 3] = [0xef, 0xb8, 0x8f];

impl Splitter {
    /// Hands every part to `take`, in order. Parts that are cut off wait for the rest.
    pub fn split(&mut self, bytes: &[u8], mut take: impl FnMut(Piece)) {
        let mut at = 0;
        while at < bytes.len() {
            if self.state == State::Ground {
                let rest = &bytes[at..];
                let run = rest.iter().position(|b| matches!(b, 0x0e | 0x0f | 0x1b | 0xef)).unwrap_or(rest.len());
                if run > 0 {
                    take(Piece::Run(&rest[..run]));
                }
                match rest.get(run) {
                    Some(0x0e) => take(Piece::Shift(true)),
                    Some(0x0f) => take(Piece::Shift(false)),
                    Some(0xef) => self.state = State::Emoji(1),
                    Some(_) => self.begin(),
                    None => return,
                }
                at += run + 1;
            } else if let State::Emoji(seen) = self.state {
                if bytes[at] != EMOJI[seen] {
                    // Another sign with the same beginning; this byte is looked at again.
                    self.state = State::Ground;
                    take(Piece::Run(&EMOJI[..seen]));
                    continue;
                }
                self.state = if seen == 2 { State::Ground } else { State::Emoji(seen + 1) };
                at += 1;
            } else {
                self.byte(bytes[at], &mut take);
                at += 1;
            }
        }
    }

    fn begin(&mut self) {
        self.state = State::Escape;
        self.held.clear();
    }

    fn byte(&mut self, byte: u8, take: &mut impl FnMut(Piece)) {
        match (self.state, byte) {
            // Cancel, from anywhere; and a new sequence, which also ends a string (`ESC \`).
            (_, 0x18 | 0x1a) => self.state = State::Ground,
            (_, ESC) => self.begin(),
            (State::Text { bell: true, .. }, 0x07) => self.state = State::Ground,
            (State::Text { length, .. }, _) if length >= LONGEST_STRING => self.state = State::Ground,
            (State::Text { bell, length }, _) => self.state = State::Text { bell, length: length + 1 },
            // Control characters inside a sequence act at once.
            (_, 0x00..=0x1f) => take(Piece::Run(&[byte])),
            (_, 0x7f) => {}
            (State::Escape, 0x20..=0x2f) if self.held.len() < LONGEST => self.held.push(byte),
            (State::Escape, b'[') if self.held.is_empty() => self.state = State::Csi,
            (State::Escape, b']') if self.held.is_empty() => self.state = State::Text { bell: true, length: 0 },
            (State::Escape, b'P' | b'X' | b'^' | b'_') if self.held.is_empty() => {
                self.state = State::Text { bell: false, length: 0 };
            }
            (State::Escape, 0x30..=0x7e) => {
                self.state = State::Ground;
                take(Piece::Escape(&self.held, byte));
            }
            (State::Csi, 0x20..=0x3f) if self.held.len() < LONGEST => self.held.push(byte),
            (State::Csi, 0x40..=0x7e) => {
                self.held.push(byte);
                self.state = State::Ground;
                take(Piece::Csi(&self.held));
            }
            (State::Csi | State::CsiIgnored, 0x20..=0x3f) => self.state = State::CsiIgnored,
            (State::CsiIgnored, 0x40..=0x7e) => self.state = State::Ground,
            // A byte of UTF-8 in a sequence is noise: the sequence goes, the text goes on.
            (_, _) => {
                self.state = State::Ground;
                take(Piece::Run(&[byte]));
            }
        }
    }
}
