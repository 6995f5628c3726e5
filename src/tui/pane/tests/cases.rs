//! Data cases of keys, pastes and screens, and output that means harm.

use crate::tui::pane::emulator::{Emulator, Scroll};
use crate::tui::pane::frame::{Frame, Modes};
use crate::tui::pane::keys::encode;
use crate::tui::pane::paste::{command, paste};
use crate::tui::pane::stream::{Piece, Splitter};
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyEventState, KeyModifiers};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Keys {
    case: Vec<KeyCase>,
}

#[derive(Deserialize)]
struct KeyCase {
    key: String,
    #[serde(default)]
    modes: String,
    #[serde(default)]
    pad: bool,
    bytes: Option<String>,
}

#[derive(Deserialize)]
struct Screens {
    case: Vec<ScreenCase>,
}

#[derive(Deserialize)]
struct ScreenCase {
    name: String,
    output: String,
    rows: Vec<String>,
    cursor: Option<(u16, u16)>,
    #[serde(default)]
    answer: String,
}

/// `\e` is escape, `\xNN` a byte; a backslash before anything else is one.
fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(tail) = rest.strip_prefix("\\e") {
            out.push(0x1b);
            rest = tail;
        } else if let Some((hex, tail)) = rest.strip_prefix("\\x").and_then(|r| r.split_at_checked(2)) {
            out.push(u8::from_str_radix(hex, 16).expect(text));
            rest = tail;
        } else {
            out.extend(c.to_string().bytes());
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

fn key(name: &str) -> KeyEvent {
    let mut modifiers = KeyModifiers::NONE;
    let mut rest = name;
    let known = [("ctrl-", KeyModifiers::CONTROL), ("alt-", KeyModifiers::ALT), ("shift-", KeyModifiers::SHIFT)];
    while let Some((tail, m)) = known.iter().find_map(|(p, m)| Some((rest.strip_prefix(p)?, m))) {
        modifiers |= *m;
        rest = tail;
    }
    let code = match rest {
        "insert" => KeyCode::Insert,
        "delete" => KeyCode::Delete,
        "capslock" => KeyCode::CapsLock,
        f if f.len() > 1 && f.starts_with('f') => KeyCode::F(f[1..].parse().expect(name)),
        _ => crate::tui::keys::parse(rest).expect(name).0,
    };
    KeyEvent::new(code, modifiers)
}

#[test]
fn keys_are_sent_as_xterm_does() {
    let cases: Keys = toml::from_str(include_str!("../../../../tests/cases/pane/keys.toml")).expect("well formed");
    for case in cases.case {
        let mut event = key(&case.key);
        if case.pad {
            event = KeyEvent::new_with_kind_and_state(
                event.code,
                event.modifiers,
                KeyEventKind::Press,
                KeyEventState::KEYPAD,
            );
        }
        let modes = Modes {
            application_cursor: case.modes.contains("cursor"),
            application_keypad: case.modes.contains("keypad"),
            ..Modes::default()
        };
        assert_eq!(encode(event, modes), case.bytes.as_deref().map(bytes), "{} {}", case.key, case.modes);
    }
}

fn rows(frame: &Frame) -> Vec<String> {
    let row = |r| {
        let mut line = String::new();
        for c in 0..frame.columns {
            let cell = frame.cell(r, c).expect("a cell");
            if !cell.is_wide_continuation() {
                line += if cell.has_contents() { cell.contents() } else { " " };
            }
        }
        line.trim_end().to_owned()
    };
    let mut all: Vec<String> = (0..frame.rows).map(row).collect();
    while all.last().is_some_and(String::is_empty) {
        all.pop();
    }
    all
}

#[test]
fn output_becomes_the_screen_that_programs_mean() {
    let cases: Screens = toml::from_str(include_str!("../../../../tests/cases/pane/screen.toml")).expect("well formed");
    for case in cases.case {
        let output = bytes(&case.output);
        let mut at_once = Emulator::new((20, 6));
        at_once.feed(&output);
        let mut byte_by_byte = Emulator::new((20, 6));
        output.iter().for_each(|b| byte_by_byte.feed(&[*b]));
        for mut emulator in [at_once, byte_by_byte] {
            let frame = emulator.frame();
            assert_eq!(rows(&frame), case.rows, "{}", case.name);
            if case.cursor.is_some() {
                assert_eq!(frame.cursor, case.cursor, "{}", case.name);
            }
            let answer = String::from_utf8(emulator.answers()).expect("text");
            assert_eq!(answer, String::from_utf8(bytes(&case.answer)).expect("text"), "{}", case.name);
        }
    }
}

#[test]
fn modes_come_with_the_frame() {
    let mut emulator = Emulator::new((20, 6));
    emulator.feed(b"\x1b[?1h\x1b=\x1b[?2004h\x1b[?25l\x1b[?1000h\x1b[?1006h");
    let frame = emulator.frame();
    let all = Modes { application_cursor: true, application_keypad: true, bracketed_paste: true, alternate: false };
    assert_eq!((frame.modes, frame.cursor), (all, None));
    emulator.feed(b"\x1b[?1l\x1b>\x1b[?2004l\x1b[?25h\x1b[?1049h");
    let frame = emulator.frame();
    assert_eq!(frame.modes, Modes { alternate: true, ..Modes::default() });
    assert!(frame.cursor.is_some());
}

#[test]
fn what_scrolls_off_can_be_seen_and_is_bounded() {
    let mut emulator = Emulator::new((20, 6));
    for n in 0..20_000 {
        emulator.feed(format!("line {n}\r\n").as_bytes());
    }
    assert_eq!(emulator.frame().history, 10_000);
    emulator.scroll(Scroll::Lines(3));
    let frame = emulator.frame();
    assert_eq!((rows(&frame)[0].as_str(), frame.offset, frame.cursor), ("line 19992", 3, None));
    // What arrives meanwhile does not move the view.
    emulator.feed(b"more\r\n");
    assert_eq!(rows(&emulator.frame())[0], "line 19992");
    emulator.scroll(Scroll::Oldest);
    assert_eq!(emulator.frame().offset, 10_000);
    emulator.scroll(Scroll::Live);
    assert_eq!((emulator.frame().offset, rows(&emulator.frame())[4].as_str()), (0, "more"));
    // A wide terminal keeps fewer lines, in the same memory.
    let mut wide = Emulator::new((1000, 6));
    wide.feed(&b"x\r\n".repeat(20_000));
    assert_eq!(wide.frame().history, (32 << 20) / (1000 * 32));
}

#[test]
fn a_string_without_an_end_is_not_kept_and_not_waited_for_for_ever() {
    let mut splitter = Splitter::default();
    let mut seen = Vec::new();
    splitter.split(b"a\x1b]52;c;", |p| seen.push(format!("{p:?}")));
    for _ in 0..2048 {
        splitter.split(&[b'A'; 1024], |p| {
            if let Piece::Run(text) = p {
                seen.push(format!("{} bytes", text.len()));
            }
        });
    }
    assert!(seen.len() > 1000, "after a megabyte the output is shown again: {}", seen.len());
    let mut long = Vec::from(&b"\x1b["[..]);
    long.extend(std::iter::repeat_n(b'1', 100_000));
    long.extend(b"mtext");
    let mut shown = Vec::new();
    splitter.split(&long, |p| {
        if let Piece::Run(text) = p {
            shown.extend_from_slice(text);
        }
    });
    assert_eq!(shown, b"text");
}

#[test]
fn pastes_can_press_no_key_but_enter_and_tab() {
    assert_eq!(paste("a\nb\r\nc\rd\te", false), b"a\rb\rc\rd\te");
    assert_eq!(paste("a\u{3}\u{1b}[201~rm\u{9b}x\u{7f}é", false), "a[201~rmxé".as_bytes());
    assert_eq!(paste("x\u{1b}[201~\ny", true), b"\x1b[200~x[201~\ry\x1b[201~");
    assert_eq!(paste("", true), b"");
}

#[test]
fn a_suggested_command_is_never_run() {
    assert_eq!(command("sudo sshd -t\nreboot\r\n", false), b"sudo sshd -t reboot");
    assert_eq!(command("id\u{4}\u{1b}[A\tx", true), b"\x1b[200~id x\x1b[201~");
}

#[test]
fn a_flood_of_questions_is_answered_within_bounds() {
    let mut emulator = Emulator::new((20, 6));
    emulator.feed(&b"\x1b[6n".repeat(100_000));
    assert!(emulator.answers().len() <= 4096);
}

/// Pieces of sequences, so that random output reaches deep.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 1..12),
        6 => (
            prop::sample::select(vec!["\x1b[", "\x1b[?", "\x1b[>"]),
            prop::collection::vec(prop_oneof![Just(0_u16), 1..30_u16, Just(65535)], 0..4),
            prop::sample::select(b"@ABCDEFGHIJKLMPSTXZ`abcdefghlmnrstu".to_vec()),
        )
            .prop_map(|(begin, numbers, last)| {
                let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
                let mut out = format!("{begin}{}", numbers.join(";")).into_bytes();
                out.push(last);
                out
            }),
        3 => prop::sample::select(vec!["\x1b7", "\x1b8", "\x1bM", "\x1bc", "\x1bD", "\x1bE", "\x1b(0", "\x1b(B", "\x0e", "\x0f"])
            .prop_map(|s| s.as_bytes().to_vec()),
        3 => prop::sample::select(vec!["日", "本語", "e\u{301}", "❤\u{fe0f}", "\u{fe0f}", "\u{200d}", "👩\u{200d}💻", "\u{17d8}", "\u{202e}"])
            .prop_map(|s| s.as_bytes().to_vec()),
        2 => prop::sample::select(vec!["\r\n", "\t", "\x08", "\x1b[?1049h", "\x1b[?1049l", "\x1b[4h", "\x1b[4l", "\x1b[?7l", "\x1b[?6h"])
            .prop_map(|s| s.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_output_breaks_the_terminal(
        parts in prop::collection::vec((noise(), (1_u16..30, 1_u16..12), -5_i32..5), 1..6),
    ) {
        let mut emulator = Emulator::new((20, 6));
        for (output, size, back) in parts {
            emulator.feed(&output);
            emulator.scroll(Scroll::Lines(back));
            emulator.feed(&output);
            emulator.resize(size);
            let frame = emulator.frame();
            prop_assert_eq!(frame.cells.len(), usize::from(frame.rows) * usize::from(frame.columns));
            prop_assert!(emulator.answers().iter().all(|b| *b == 0x1b || (0x20..0x7f).contains(b)));
            for cell in &frame.cells {
                prop_assert!(!cell.contents().chars().any(char::is_control));
            }
        }
    }
}
