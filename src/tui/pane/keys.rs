//! Keys as bytes, the way xterm sends them.
//!
//! Source: xterm's "Control Sequences" (ctlseqs), PC-style function keys. Pure.

use crate::tui::pane::frame::Modes;
use crossterm::event::{KeyCode, KeyEvent, KeyEventState, KeyModifiers};

/// What a key sends; `None` for keys that send nothing (Caps Lock, media keys).
pub fn encode(key: KeyEvent, modes: Modes) -> Option<Vec<u8>> {
    let modifiers = key.modifiers;
    if key.state.contains(KeyEventState::KEYPAD)
        && modes.application_keypad
        && modifiers.is_empty()
        && let Some(last) = keypad(key.code)
    {
        return Some(vec![0x1b, b'O', last]);
    }
    let bytes = match key.code {
        KeyCode::Char(c) => return Some(character(c, modifiers)),
        KeyCode::Enter => alt(modifiers, b"\r"),
        KeyCode::Tab if modifiers.contains(KeyModifiers::SHIFT) => b"\x1b[Z".to_vec(),
        KeyCode::Tab => alt(modifiers, b"\t"),
        KeyCode::BackTab => b"\x1b[Z".to_vec(),
        KeyCode::Backspace if modifiers.contains(KeyModifiers::CONTROL) => alt(modifiers, b"\x08"),
        KeyCode::Backspace => alt(modifiers, b"\x7f"),
        KeyCode::Esc => alt(modifiers, b"\x1b"),
        KeyCode::Null => vec![0],
        KeyCode::Up => cursor(b'A', modifiers, modes),
        KeyCode::Down => cursor(b'B', modifiers, modes),
        KeyCode::Right => cursor(b'C', modifiers, modes),
        KeyCode::Left => cursor(b'D', modifiers, modes),
        KeyCode::KeypadBegin => cursor(b'E', modifiers, modes),
        KeyCode::End => cursor(b'F', modifiers, modes),
        KeyCode::Home => cursor(b'H', modifiers, modes),
        KeyCode::Insert => tilde(2, modifiers),
        KeyCode::Delete => tilde(3, modifiers),
        KeyCode::PageUp => tilde(5, modifiers),
        KeyCode::PageDown => tilde(6, modifiers),
        KeyCode::F(n) => function(n, modifiers)?,
        _ => return None,
    };
    Some(bytes)
}

/// A character; with Ctrl the control character of its column in ASCII, with Alt an escape before it.
fn character(c: char, modifiers: KeyModifiers) -> Vec<u8> {
    let mut text = [0; 4];
    let control = if modifiers.contains(KeyModifiers::CONTROL) { control(c) } else { None };
    match control {
        Some(byte) => alt(modifiers, &[byte]),
        None => alt(modifiers, c.encode_utf8(&mut text).as_bytes()),
    }
}

/// The control character that a key with Ctrl stands for. Digits as VT220 and xterm have them.
fn control(c: char) -> Option<u8> {
    Some(match c {
        'a'..='z' | 'A'..='Z' => (c as u8) & 0x1f,
        ' ' | '@' | '2' => 0x00,
        '[' | '3' => 0x1b,
        '\\' | '4' => 0x1c,
        ']' | '5' => 0x1d,
        '^' | '~' | '6' => 0x1e,
        '_' | '/' | '-' | '7' => 0x1f,
        '?' | '8' => 0x7f,
        _ => return None,
    })
}

fn alt(modifiers: KeyModifiers, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 1);
    if modifiers.contains(KeyModifiers::ALT) {
        out.push(0x1b);
    }
    out.extend_from_slice(bytes);
    out
}

/// xterm's number of the modifiers: one more than the sum of Shift 1, Alt 2, Ctrl 4, Meta 8; `None` without any.
fn number(modifiers: KeyModifiers) -> Option<u8> {
    let weights =
        [(KeyModifiers::SHIFT, 1), (KeyModifiers::ALT, 2), (KeyModifiers::CONTROL, 4), (KeyModifiers::META, 8)];
    let sum: u8 = weights.iter().filter(|(m, _)| modifiers.contains(*m)).map(|(_, w)| w).sum();
    (sum > 0).then_some(sum + 1)
}

/// Arrows, Home and End: `SS3` in application mode, `CSI` else and with modifiers.
fn cursor(last: u8, modifiers: KeyModifiers, modes: Modes) -> Vec<u8> {
    match number(modifiers) {
        Some(n) => format!("\x1b[1;{n}{}", last as char).into_bytes(),
        None if modes.application_cursor => vec![0x1b, b'O', last],
        None => vec![0x1b, b'[', last],
    }
}

fn tilde(code: u8, modifiers: KeyModifiers) -> Vec<u8> {
    match number(modifiers) {
        Some(n) => format!("\x1b[{code};{n}~").into_bytes(),
        None => format!("\x1b[{code}~").into_bytes(),
    }
}

/// F1 to F4 are those of a VT100's keypad; from F5 on the numbers of a VT220, which have gaps.
fn function(n: u8, modifiers: KeyModifiers) -> Option<Vec<u8>> {
    const CODES: [u8; 16] = [15, 17, 18, 19, 20, 21, 23, 24, 25, 26, 28, 29, 31, 32, 33, 34];
    match n {
        1..=4 => {
            let last = b'P' + n - 1;
            Some(match number(modifiers) {
                Some(m) => format!("\x1b[1;{m}{}", last as char).into_bytes(),
                None => vec![0x1b, b'O', last],
            })
        }
        _ => CODES.get(usize::from(n).checked_sub(5)?).map(|code| tilde(*code, modifiers)),
    }
}

/// The last byte of a keypad key in application mode.
fn keypad(code: KeyCode) -> Option<u8> {
    Some(match code {
        KeyCode::Char(c @ '0'..='9') => b'p' + (c as u8 - b'0'),
        KeyCode::Char('*') => b'j',
        KeyCode::Char('+') => b'k',
        KeyCode::Char(',') => b'l',
        KeyCode::Char('-') => b'm',
        KeyCode::Char('.') => b'n',
        KeyCode::Char('/') => b'o',
        KeyCode::Char('=') => b'X',
        KeyCode::Enter => b'M',
        _ => return None,
    })
}
