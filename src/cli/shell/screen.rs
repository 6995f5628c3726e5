//! This terminal in the hands of a remote side: raw mode, and what has to be put back.
//!
//! Given back on every way out: return, signal, a dead connection, a panic. What passes is looked at for mode switches
//! alone (the other screen, the mouse, bracketed paste), and nothing of it is kept.

use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the terminal is in our hands.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// A terminal that does not tell its size (DEC VT100).
const USUAL: (u16, u16) = (80, 24);

/// Columns and rows of this terminal.
pub fn size() -> (u16, u16) {
    crossterm::terminal::size().ok().filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or(USUAL)
}

/// Raw mode as long as it lives.
pub struct Screen(());

impl Screen {
    /// Takes the terminal.
    pub fn take() -> io::Result<Self> {
        hook_panics();
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        Ok(Self(()))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let _ = disable_raw_mode();
    }
}

/// A panic in any task gives the terminal back first, so that its message can be read.
fn hook_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            give_back();
            usual(info);
        }));
    });
}

/// Prints a line of our own to stderr; in raw mode a line end alone would not return to the first column.
pub fn note(text: &str) {
    let text = crate::core::recognise::strip_controls(text);
    let raw = TAKEN.load(Ordering::SeqCst) && io::stderr().is_terminal();
    let (before, after) = if raw { ("\r", "\r\n") } else { ("", "\n") };
    let text = if raw { text.replace('\n', "\r\n") } else { text };
    let _ = write!(io::stderr(), "{before}{text}{after}");
}

/// Private modes that a program which died leaves switched, and the usual state of each (xterm control sequences,
/// "DEC Private Mode Set").
const MODES: [(u16, bool); 15] = [
    // Cursor keys, wrapping, the cursor itself.
    (1, false),
    (7, true),
    (25, true),
    // The mouse, focus.
    (9, false),
    (1000, false),
    (1002, false),
    (1003, false),
    (1004, false),
    (1005, false),
    (1006, false),
    (1015, false),
    // The other screen.
    (47, false),
    (1047, false),
    (1049, false),
    // Bracketed paste.
    (2004, false),
];

/// Where in an escape sequence the output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Text,
    Escape,
    /// After `ESC [`.
    Bracket,
    /// After `ESC [ ?`.
    Private,
}

/// The modes that the remote side has switched.
#[derive(Debug)]
pub struct Modes {
    at: At,
    numbers: Vec<u16>,
    switched: BTreeSet<u16>,
    keypad: bool,
}

impl Default for Modes {
    fn default() -> Self {
        Self { at: At::Text, numbers: Vec::new(), switched: BTreeSet::new(), keypad: false }
    }
}

impl Modes {
    /// Looks at what is shown.
    pub fn look(&mut self, mut bytes: &[u8]) {
        loop {
            if self.at == At::Text {
                // Most of an output is text.
                let Some(escape) = bytes.iter().position(|b| *b == 0x1b) else { return };
                (bytes, self.at) = (&bytes[escape + 1..], At::Escape);
            }
            let Some((byte, rest)) = bytes.split_first() else { return };
            bytes = rest;
            self.at = match (self.at, byte) {
                (_, 0x1b) => At::Escape,
                (At::Escape, b'[') => At::Bracket,
                (At::Escape, b'=' | b'>') => {
                    self.keypad = *byte == b'=';
                    At::Text
                }
                // A reset of everything.
                (At::Escape, b'c') => {
                    self.switched.clear();
                    self.keypad = false;
                    At::Text
                }
                (At::Bracket, b'?') => {
                    self.numbers = vec![0];
                    At::Private
                }
                (At::Private, digit @ b'0'..=b'9') => {
                    if let Some(number) = self.numbers.last_mut() {
                        *number = number.saturating_mul(10).saturating_add(u16::from(digit - b'0'));
                    }
                    At::Private
                }
                (At::Private, b';') if self.numbers.len() < 32 => {
                    self.numbers.push(0);
                    At::Private
                }
                (At::Private, b'h' | b'l') => {
                    for number in std::mem::take(&mut self.numbers) {
                        if let Some((_, usual)) = MODES.iter().find(|(known, _)| *known == number) {
                            let on = *byte == b'h';
                            let _ =
                                if on == *usual { self.switched.remove(&number) } else { self.switched.insert(number) };
                        }
                    }
                    At::Text
                }
                _ => At::Text,
            };
        }
    }

    /// What puts back what is still switched; empty in good order.
    pub fn undo(&self) -> String {
        let mut out = String::new();
        for (number, usual) in MODES.iter().filter(|(number, _)| self.switched.contains(number)) {
            out.push_str(&format!("\x1b[?{number}{}", if *usual { 'h' } else { 'l' }));
        }
        if self.keypad {
            out.push_str("\x1b>");
        }
        if !out.is_empty() {
            // Colours, and the cursor below what was drawn.
            out.push_str("\x1b[0m\r\n");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_by(output: &[u8]) -> String {
        let mut modes = Modes::default();
        output.chunks(3).for_each(|piece| modes.look(piece));
        modes.undo()
    }

    #[test]
    fn what_a_dead_program_left_is_put_back() {
        assert_eq!(left_by(b"\x1b[?1049h\x1b[?1h\x1b=\x1b[2J text"), "\x1b[?1l\x1b[?1049l\x1b>\x1b[0m\r\n");
        assert_eq!(left_by(b"\x1b[?25l\x1b[?1000;1006h"), "\x1b[?25h\x1b[?1000l\x1b[?1006l\x1b[0m\r\n");
    }

    #[test]
    fn good_order_needs_nothing() {
        assert_eq!(left_by(b"\x1b[?1049h\x1b[?25l drawn \x1b[?25h\x1b[?1049l"), "");
        assert_eq!(left_by(b"\x1b[?2004h$ \x1b[?2004l\r\nlogout\r\n"), "");
        assert_eq!(left_by(b"\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b[?12h\x1b[?99999999h"), "");
        assert_eq!(left_by(b"\x1b[?1049h\x1bc"), "");
    }
}
