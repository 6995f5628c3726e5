//! The terminal: output in, cells out.
//!
//! vt100 keeps the grid. What it does not know, and programs inside use, is put in its words here: line drawing, tabs
//! back and forth, insert mode, no wrapping, the older names of modes. Questions of the other side (where is the cursor?)
//! are answered; those whose answer could carry text of its own choosing (the title, the clipboard) never. The mouse stays
//! with the local terminal. Pure.

use crate::tui::pane::frame::{Frame, Modes};
use crate::tui::pane::stream::{Piece, Splitter};
use std::num::NonZeroU16;
use unicode_width::UnicodeWidthChar;

/// Lines of scroll-back.
const HISTORY: usize = 10_000;

/// What the scroll-back may take in memory, at the width it began with: on wide terminals it has fewer lines.
const HISTORY_BYTES: usize = 32 << 20;

/// Bytes of answers that wait to be fetched. A flood of questions gets no more.
const ANSWERS: usize = 4096;

/// Smallest grid. Below it the parser's handling of wide characters has no room.
const SMALLEST: (u16, u16) = (8, 2);

/// A move of the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scroll {
    /// Lines back (positive) or forth.
    Lines(i32),
    /// To the oldest line.
    Oldest,
    /// To what is there now.
    Live,
}

/// A terminal.
pub struct Emulator {
    parser: vt100::Parser,
    splitter: Splitter,
    answers: Vec<u8>,
    own: Own,
}

/// State that vt100 does not keep.
#[derive(Debug, Clone, Copy)]
struct Own {
    /// Whether the first and the second character set are line drawing.
    drawing: [bool; 2],
    /// Which of them is in use.
    shifted: bool,
    /// The same, as the cursor was saved.
    saved: ([bool; 2], bool),
    /// Insert mode (IRM).
    insert: bool,
    /// Whether a full line goes on in the next one (DECAWM).
    wraps: bool,
    /// Begin of a character whose end has not come.
    partial: ([u8; 4], usize),
}

impl Default for Own {
    fn default() -> Self {
        Self {
            drawing: [false; 2],
            shifted: false,
            saved: ([false; 2], false),
            insert: false,
            wraps: true,
            partial: ([0; 4], 0),
        }
    }
}

fn sized(columns: u16, rows: u16) -> (NonZeroU16, NonZeroU16) {
    let rows = NonZeroU16::new(rows.max(SMALLEST.1)).unwrap_or(vt100::Parser::DEFAULT_ROWS);
    let columns = NonZeroU16::new(columns.max(SMALLEST.0)).unwrap_or(vt100::Parser::DEFAULT_COLS);
    (rows, columns)
}

impl Emulator {
    /// An empty terminal.
    pub fn new((columns, rows): (u16, u16)) -> Self {
        let (rows, columns) = sized(columns, rows);
        let line = usize::from(columns.get()) * size_of::<vt100::Cell>();
        let history = HISTORY.min(HISTORY_BYTES / line);
        Self {
            parser: vt100::Parser::new(rows, columns, history),
            splitter: Splitter::default(),
            answers: Vec::new(),
            own: Own::default(),
        }
    }

    /// Takes output in.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut splitter = std::mem::take(&mut self.splitter);
        splitter.split(bytes, |piece| self.take(piece));
        self.splitter = splitter;
    }

    /// The terminal has another size.
    pub fn resize(&mut self, (columns, rows): (u16, u16)) {
        let (rows, columns) = sized(columns, rows);
        self.parser.set_size(rows, columns);
    }

    /// Moves the view.
    pub fn scroll(&mut self, by: Scroll) {
        let screen = self.parser.screen_mut();
        let to = match by {
            Scroll::Lines(n) => screen.scrollback().saturating_add_signed(n as isize),
            Scroll::Oldest => usize::MAX,
            Scroll::Live => 0,
        };
        screen.set_scrollback(to);
    }

    /// What is to be sent back, once.
    pub fn answers(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.answers)
    }

    /// What is seen now.
    pub fn frame(&self) -> Frame {
        let screen = self.parser.screen();
        let (rows, columns) = screen.size();
        let (rows, columns) = (rows.get(), columns.get());
        let mut cells = Vec::with_capacity(usize::from(rows) * usize::from(columns));
        for row in 0..rows {
            cells.extend((0..columns).filter_map(|column| screen.cell(row, column)).cloned());
        }
        let (row, column) = screen.cursor_position();
        let seen = !screen.hide_cursor() && screen.scrollback() == 0;
        Frame {
            columns,
            rows,
            cells,
            cursor: seen.then_some((row.min(rows - 1), column.min(columns - 1))),
            modes: Modes {
                application_cursor: screen.application_cursor(),
                application_keypad: screen.application_keypad(),
                bracketed_paste: screen.bracketed_paste(),
                alternate: screen.alternate_screen(),
            },
            offset: screen.scrollback(),
            history: screen.scrollback_len(),
        }
    }

    fn take(&mut self, piece: Piece) {
        match piece {
            Piece::Run(bytes) if self.is_plain() => self.parser.process(bytes),
            Piece::Run(bytes) => bytes.iter().for_each(|b| self.slow(*b)),
            Piece::Shift(on) => self.own.shifted = on,
            Piece::Escape(intermediates, last) => self.escape(intermediates, last),
            Piece::Csi(body) => self.csi(body),
        }
    }

    /// Whether text needs nothing of what vt100 does not know.
    fn is_plain(&self) -> bool {
        !self.draws() && !self.own.insert && self.own.wraps && self.own.partial.1 == 0
    }

    fn draws(&self) -> bool {
        self.own.drawing[usize::from(self.own.shifted)]
    }

    /// Text character by character.
    fn slow(&mut self, byte: u8) {
        let (held, length) = &mut self.own.partial;
        if byte.is_ascii() {
            *length = 0;
            let c = if self.draws() { line_drawing(byte) } else { char::from(byte) };
            return self.put(c);
        }
        if *length == held.len() {
            *length = 0;
        }
        held[*length] = byte;
        *length += 1;
        match std::str::from_utf8(&held[..*length]) {
            Ok(text) => {
                let c = text.chars().next();
                *length = 0;
                if let Some(c) = c {
                    self.put(c);
                }
            }
            Err(error) if error.error_len().is_some() => *length = 0,
            Err(_) => {}
        }
    }

    fn put(&mut self, c: char) {
        let width = c.width().unwrap_or(0) as u16;
        if width > 0 {
            let (_, columns) = self.parser.screen().size();
            let (_, column) = self.parser.screen().cursor_position();
            if !self.own.wraps && column + width > columns.get() {
                self.say(&format!("\x1b[{}G", columns.get() - width + 1));
            }
            if self.own.insert {
                self.say(&format!("\x1b[{width}@"));
            }
        }
        let mut text = [0; 4];
        self.parser.process(c.encode_utf8(&mut text).as_bytes());
    }

    /// Gives vt100 a sequence in its own words.
    fn say(&mut self, sequence: &str) {
        self.parser.process(sequence.as_bytes());
    }

    fn answer(&mut self, text: &str) {
        if self.answers.len() + text.len() <= ANSWERS {
            self.answers.extend_from_slice(text.as_bytes());
        }
    }

    fn escape(&mut self, intermediates: &[u8], last: u8) {
        match (intermediates, last) {
            (b"(", set) => self.own.drawing[0] = set == b'0',
            (b")", set) => self.own.drawing[1] = set == b'0',
            ([], b'7') => {
                self.own.saved = (self.own.drawing, self.own.shifted);
                self.say("\x1b7");
            }
            ([], b'8') => {
                (self.own.drawing, self.own.shifted) = self.own.saved;
                self.say("\x1b8");
            }
            ([], b'D') => self.say("\n"),
            ([], b'E') => self.say("\r\n"),
            ([], b'Z') => self.attributes(),
            ([], b'c') => {
                self.own = Own::default();
                self.say("\x1bc");
            }
            ([], b'M' | b'=' | b'>') => self.parser.process(&[0x1b, last]),
            _ => {}
        }
    }

    /// What kind of terminal this is: a VT220 with colours.
    fn attributes(&mut self) {
        self.answer("\x1b[?62;22c");
    }

    fn csi(&mut self, body: &[u8]) {
        let Some((last, rest)) = body.split_last() else { return };
        let prefix = rest.first().copied().filter(|b| (0x3c..=0x3f).contains(b));
        let rest = &rest[usize::from(prefix.is_some())..];
        let end = rest.iter().position(|b| *b < 0x30).unwrap_or(rest.len());
        let (parameters, intermediates) = rest.split_at(end);
        let first = number(parameters.split(|b| *b == b';').next().unwrap_or_default());
        let count = first.max(1);
        let (rows, columns) = self.parser.screen().size();
        let (row, column) = self.parser.screen().cursor_position();
        let column = column.min(columns.get() - 1);
        match (prefix, intermediates, last) {
            (None, [], b'c') if first == 0 => self.attributes(),
            (Some(b'>'), [], b'c') if first == 0 => self.answer("\x1b[>1;0;0c"),
            (None, [], b'n') if first == 5 => self.answer("\x1b[0n"),
            (None, [], b'n') if first == 6 => self.answer(&format!("\x1b[{};{}R", row + 1, column + 1)),
            (Some(b'?'), [], b'n') if first == 6 => self.answer(&format!("\x1b[?{};{}R", row + 1, column + 1)),
            (None, [], b't') if first == 18 => self.answer(&format!("\x1b[8;{rows};{columns}t")),
            (Some(b'?'), b"$", b'p') => self.answer(&format!("\x1b[?{first};{}$y", self.mode(first))),
            (None, b"!", b'p') => {
                let saved = self.own.saved;
                self.own = Own { saved, ..Own::default() };
                self.say("\x1b[m\x1b[?1l\x1b>\x1b[?25h");
            }
            (None, [], b'I') => {
                let to = (column / 8).saturating_add(count).saturating_mul(8).min(columns.get() - 1);
                self.say(&format!("\x1b[{}G", to + 1));
            }
            (None, [], b'Z') => {
                let to = column.div_ceil(8).saturating_sub(count) * 8;
                self.say(&format!("\x1b[{}G", to + 1));
            }
            (None, [], b'a') => self.say(&format!("\x1b[{count}C")),
            (None, [], b'e') => self.say(&format!("\x1b[{count}B")),
            (None, [], b's') if parameters.is_empty() => self.escape(&[], b'7'),
            (None, [], b'u') if parameters.is_empty() => self.escape(&[], b'8'),
            (None, [], b'h' | b'l') if parameters.split(|b| *b == b';').any(|p| number(p) == 4) => {
                self.own.insert = *last == b'h';
            }
            (Some(b'?'), [], b'h' | b'l') => {
                parameters.split(|b| *b == b';').for_each(|p| self.private_mode(number(p), *last == b'h'));
            }
            // Repeated no more often than the screen has cells: three bytes shall not cost seconds.
            (None, [], b'b') => {
                let cells = u32::from(rows.get()) * u32::from(columns.get());
                self.say(&format!("\x1b[{}b", u32::from(count).min(cells)));
            }
            (
                None,
                [],
                b'@' | b'A'..=b'H' | b'J'..=b'M' | b'P' | b'S' | b'T' | b'X' | b'`' | b'd' | b'f' | b'm' | b'r',
            )
            | (Some(b'?'), [], b'J' | b'K') => {
                let mut whole = Vec::with_capacity(body.len() + 2);
                whole.extend_from_slice(b"\x1b[");
                whole.extend_from_slice(body);
                self.parser.process(&whole);
            }
            _ => {}
        }
    }

    fn private_mode(&mut self, mode: u16, on: bool) {
        let letter = if on { 'h' } else { 'l' };
        match mode {
            7 => self.own.wraps = on,
            1048 => self.escape(&[], if on { b'7' } else { b'8' }),
            47 | 1047 => self.say(&format!("\x1b[?47{letter}")),
            1 | 6 | 25 | 1049 | 2004 => self.say(&format!("\x1b[?{mode}{letter}")),
            // The mouse is the local terminal's; the rest changes nothing that is shown.
            _ => {}
        }
    }

    /// A mode as DECRPM tells it: 0 unknown, 1 set, 2 reset.
    fn mode(&self, mode: u16) -> u8 {
        let screen = self.parser.screen();
        let set = match mode {
            1 => screen.application_cursor(),
            7 => self.own.wraps,
            25 => !screen.hide_cursor(),
            47 | 1047 | 1049 => screen.alternate_screen(),
            2004 => screen.bracketed_paste(),
            _ => return 0,
        };
        if set { 1 } else { 2 }
    }
}

impl std::fmt::Debug for Emulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Emulator").finish_non_exhaustive()
    }
}

/// A parameter; 0 when there is none, the largest when it is too large.
fn number(parameter: &[u8]) -> u16 {
    let digits = parameter.iter().take_while(|b| b.is_ascii_digit());
    digits.fold(0_u16, |n, b| n.saturating_mul(10).saturating_add(u16::from(b - b'0')))
}

/// DEC special graphics, 0x5f to 0x7e. Source: VT220 programmer reference manual, table 2-4.
fn line_drawing(byte: u8) -> char {
    const SIGNS: [char; 32] = [
        ' ', '◆', '▒', '␉', '␌', '␍', '␊', '°', '±', '␤', '␋', '┘', '┐', '┌', '└', '┼', '⎺', '⎻', '─', '⎼', '⎽', '├',
        '┤', '┴', '┬', '│', '≤', '≥', 'π', '≠', '£', '·',
    ];
    match byte.checked_sub(0x5f).and_then(|at| SIGNS.get(usize::from(at))) {
        Some(sign) => *sign,
        None => char::from(byte),
    }
}
