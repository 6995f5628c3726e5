//! The pane: keys in, effects and screens out.

use super::sample::*;
use crate::engine::event::RunId;
use crate::engine::failure::Failure;
use crate::engine::terminal::{Door, End};
use crate::tui::effect::{Effect, Typed};
use crate::tui::model::{Model, Overlay, Screen, ShellMode, ShellPhase};
use crate::tui::msg::Msg;
use crate::tui::pane::emulator::{Emulator, Scroll};
use crate::tui::update::update;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::sync::Arc;

const SIZE: (u16, u16) = (80, 24);

/// Output of a shell, with colours, a wide sign and a title that must go nowhere.
const OUTPUT: &[u8] = b"\x1b]0;gotcha\x07\x1b[?2004hsh-5.2$ ls --color /etc/ssh\r\n\x1b[1;34mssh_config.d\x1b[0m  sshd_config  \xe6\x97\xa5\xe6\x9c\xac.txt\r\n\x1b[7m inverse \x1b[0m \x1b[4munderlined\x1b[0m\r\nsh-5.2$ ";

/// The diagnosis of web-1 whose cause is mended inside.
fn blocked_inside(size: (u16, u16)) -> Model {
    let mut model = account(size);
    press(&mut model, "/web-1<enter>");
    let run = model.diagnosing().expect("a diagnosis").run;
    let mut told = snapshot(run, Story::Blocked);
    let mut diagnosis = (*told.diagnosis).clone();
    diagnosis.causes[0].id = "sshd-not-listening".into();
    diagnosis.causes[0].evidence[0].text = "203.0.113.7:22 refused the connection".into();
    told.diagnosis = Arc::new(diagnosis);
    update(&mut model, Msg::Learned(Box::new(told)));
    model
}

fn run_of(model: &Model) -> RunId {
    model.shell().expect("a pane").run
}

fn show(model: &mut Model, output: &[u8]) {
    let run = run_of(model);
    let mut emulator = Emulator::new(model.shell().expect("a pane").size);
    emulator.feed(output);
    update(model, Msg::ShellDrawn { run, frame: Arc::new(emulator.frame()) });
}

fn open(mut model: Model) -> Model {
    let effects = press(&mut model, "s");
    let run = run_of(&model);
    let [Effect::OpenShell { run: asked, wish }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((*asked, wish.door, wish.size), (run, Door::Ssm, Some(model.shell().expect("a pane").size)));
    update(&mut model, Msg::ShellOpened { run, title: "Session Manager, web-1".into() });
    show(&mut model, OUTPUT);
    model
}

fn typed(effects: &[Effect]) -> Vec<u8> {
    effects
        .iter()
        .flat_map(|e| match e {
            Effect::ShellInput { typed: Typed(bytes), .. } => bytes.clone(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn ctrl(model: &mut Model, c: char) -> Vec<Effect> {
    update(model, Msg::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL)))
}

/// The panes that are kept as snapshots.
pub fn all(size: (u16, u16)) -> Vec<(&'static str, Model)> {
    let opening = {
        let mut model = blocked_inside(size);
        press(&mut model, "s");
        update(&mut model, Msg::Clock { ms: 6500, unix: NOW + 6 });
        model
    };
    let keys = {
        let mut model = open(blocked_inside(size));
        press(&mut model, "<ctrl-]>j");
        model
    };
    let zoomed = {
        let mut model = open(blocked_inside(size));
        press(&mut model, "<ctrl-]>z");
        show(&mut model, OUTPUT);
        model
    };
    let told = {
        let mut model = open(diagnosed(size, Story::Blocked));
        let run = run_of(&model);
        update(&mut model, Msg::ShellNotice { run, text: "the connection broke: reconnecting …".into() });
        model
    };
    let ended = {
        let mut model = open(blocked_inside(size));
        let run = run_of(&model);
        update(&mut model, Msg::ShellEnded { run, end: End { status: Some(130), ..End::default() } });
        model
    };
    let failed = {
        let mut model = blocked_inside(size);
        press(&mut model, "s");
        let run = run_of(&model);
        let failure = Failure::failed(
            "open a Session Manager session on web-1",
            "TargetNotConnected: i-0a1b2c3d4e5f60718 is not connected.",
            "port22 diagnose web-1 tells why",
        );
        update(&mut model, Msg::ShellFailed { run, failure });
        model
    };
    let leaving = {
        let mut model = open(blocked_inside(size));
        press(&mut model, "<ctrl-]>q");
        model
    };
    let help = {
        let mut model = open(blocked_inside(size));
        press(&mut model, "<ctrl-]>?");
        model
    };
    vec![
        ("shell_opening", opening),
        ("shell", open(blocked_inside(size))),
        ("shell_keys", keys),
        ("shell_zoomed", zoomed),
        ("shell_told", told),
        ("shell_ended", ended),
        ("shell_failed", failed),
        ("shell_leaving", leaving),
        ("shell_help", help),
    ]
}

#[test]
fn every_key_goes_to_the_other_side_but_one() {
    let mut model = open(blocked_inside(SIZE));
    assert_eq!(typed(&press(&mut model, "sudo q?:u/<enter><esc><tab><backspace>")), b"sudo q?:u/\r\x1b\t\x7f");
    assert_eq!(typed(&ctrl(&mut model, 'c')), b"\x03");
    assert_eq!(typed(&press(&mut model, "<f1><up>")), b"\x1bOP\x1b[A");
    assert!(model.overlays.is_empty());
    // The other side asks for other arrows.
    show(&mut model, b"\x1b[?1h");
    assert_eq!(typed(&press(&mut model, "<up>")), b"\x1bOA");
    // crossterm names Ctrl-] after the digit on the same byte.
    for escape in [']', '5'] {
        assert!(ctrl(&mut model, escape).is_empty());
        assert_eq!(model.shell().expect("a pane").mode, ShellMode::Keys);
        assert_eq!(typed(&ctrl(&mut model, escape)), b"\x1d");
        assert_eq!(model.shell().expect("a pane").mode, ShellMode::Remote);
    }
    // A key that is none of port22's is not sent either.
    assert!(press(&mut model, "<ctrl-]>x").is_empty());
    assert!(model.notices.shown().is_some());
    assert_eq!(typed(&press(&mut model, "x")), b"x");
}

#[test]
fn suggested_commands_are_put_at_the_prompt_and_never_run() {
    let mut model = open(blocked_inside(SIZE));
    let commands: Vec<String> = model.shell().expect("a pane").commands.iter().map(|s| s.command.clone()).collect();
    assert!(commands.len() >= 2, "{commands:?}");
    // The other side has asked for brackets.
    let wrapped = |n: usize| format!("\x1b[200~{}\x1b[201~", commands[n]).into_bytes();
    assert_eq!(typed(&press(&mut model, "<ctrl-]>c")), wrapped(0));
    assert_eq!(typed(&press(&mut model, "<ctrl-]>c")), wrapped(1), "the mark goes on");
    assert_eq!(typed(&press(&mut model, "<ctrl-]>1")), wrapped(0));
    assert_eq!(typed(&press(&mut model, "<ctrl-]>kc")), wrapped(0), "chosen with the arrows");
    show(&mut model, b"$ ");
    let plain = typed(&press(&mut model, "<ctrl-]>2"));
    assert_eq!(plain, commands[1].as_bytes());
    assert!(!plain.contains(&b'\r') && !plain.contains(&b'\n'));
    // Nothing is offered for what is wrong outside.
    let mut model = open(diagnosed(SIZE, Story::Blocked));
    assert!(press(&mut model, "<ctrl-]>c").is_empty());
    assert!(screen(&model).contains("Nothing is to be mended inside"));
}

#[test]
fn a_paste_goes_to_the_other_side_in_its_brackets() {
    let mut model = open(blocked_inside(SIZE));
    let paste = |model: &mut Model, text: &str| update(model, Msg::Pasted(text.into()));
    assert_eq!(typed(&paste(&mut model, "a\nb\u{1b}[201~")), b"\x1b[200~a\rb[201~\x1b[201~");
    show(&mut model, b"$ ");
    assert_eq!(typed(&paste(&mut model, "Permission denied (publickey).\n")), b"Permission denied (publickey).\r");
    press(&mut model, "<ctrl-]>q");
    assert!(paste(&mut model, "y").is_empty(), "a question is open");
}

#[test]
fn zoom_and_size_are_told_and_columns_stay() {
    let mut model = open(blocked_inside(SIZE));
    let small = model.shell().expect("a pane").size;
    assert_eq!(small, (80, 17));
    let effects = press(&mut model, "<ctrl-]>z");
    assert!(matches!(effects[..], [Effect::ShellResize { size: (80, 23), .. }]), "{effects:?}");
    assert!(!screen(&model).contains("CAUSE"));
    let effects = press(&mut model, "<ctrl-]>z");
    assert!(matches!(effects[..], [Effect::ShellResize { size, .. }] if size == small), "{effects:?}");
    assert!(screen(&model).contains("CAUSE"));
    let effects = update(&mut model, Msg::Resized(120, 40));
    assert!(matches!(effects[..], [Effect::ShellResize { size: (120, 31), .. }]), "{effects:?}");
    assert!(update(&mut model, Msg::Resized(120, 40)).is_empty());
}

#[test]
fn the_scroll_back_has_its_own_keys_and_ends_with_esc() {
    let mut model = open(blocked_inside(SIZE));
    assert!(press(&mut model, "<ctrl-]>[").is_empty());
    assert_eq!(model.notices.shown().map(|n| &*n.text), Some("Nothing has scrolled off yet."));
    show(&mut model, &b"line\r\n".repeat(100));
    let scroll = |effects: &[Effect]| match effects {
        [Effect::ShellScroll { by, .. }] => *by,
        other => panic!("{other:?}"),
    };
    assert!(matches!(scroll(&press(&mut model, "<ctrl-]>[")), Scroll::Lines(1..)));
    assert_eq!(scroll(&press(&mut model, "<pageup>")), Scroll::Lines(16));
    assert_eq!(scroll(&press(&mut model, "j")), Scroll::Lines(-1));
    assert_eq!(scroll(&press(&mut model, "g")), Scroll::Oldest);
    assert!(screen(&model).contains("scrolled back 0 of 84 lines"));
    assert_eq!(scroll(&press(&mut model, "<esc>")), Scroll::Live);
    assert_eq!(typed(&press(&mut model, "q")), b"q");
    // A pager on the other side has its own.
    show(&mut model, b"\x1b[?1049hless");
    press(&mut model, "<ctrl-]><pageup>");
    assert_eq!(model.shell().expect("a pane").mode, ShellMode::Remote);
}

#[test]
fn the_wheel_moves_in_lists_and_scrolls_the_pane_and_is_never_typed() {
    let mut model = blocked_inside(SIZE);
    let before = screen(&model);
    let wheel = |model: &mut Model, up| update(model, Msg::Wheel { up });
    assert!(wheel(&mut model, false).is_empty());
    assert_ne!(screen(&model), before, "as the key does");
    assert!(wheel(&mut model, true).is_empty());
    assert_eq!(screen(&model), before);
    let mut model = open(model);
    show(&mut model, &b"line\r\n".repeat(100));
    assert!(wheel(&mut model, false).is_empty(), "there is nothing below");
    assert!(matches!(wheel(&mut model, true)[..], [Effect::ShellScroll { by: Scroll::Lines(1..), .. }]));
    assert_eq!(model.shell().expect("a pane").mode, ShellMode::Scroll);
    assert!(matches!(wheel(&mut model, false)[..], [Effect::ShellScroll { by: Scroll::Lines(-3), .. }]));
}

#[test]
fn leaving_asks_while_it_runs_and_returns_to_the_same_place() {
    let mut model = blocked_inside(SIZE);
    press(&mut model, "jjj");
    let before = screen(&model);
    let mut model = open(model);
    assert!(press(&mut model, "<ctrl-]>q<esc>").is_empty());
    assert_eq!(model.shell().expect("still there").mode, ShellMode::Keys);
    press(&mut model, "<esc>");
    let run = run_of(&model);
    let effects = press(&mut model, "<ctrl-]>qy");
    assert!(matches!(effects[..], [Effect::CloseShell { run: r }] if r == run), "{effects:?}");
    assert!(model.notices.shown().is_some_and(|n| n.text.contains("r runs the checks again")));
    model.notices.hide();
    assert_eq!(screen(&model), before);
    // Late news of a pane that is gone change nothing.
    update(&mut model, Msg::ShellEnded { run, end: End::default() });
    assert_eq!(screen(&model), before);
    // The guided step, too.
    press(&mut model, "g<enter><enter>");
    let before = screen(&model);
    let mut model = open(model);
    let run = run_of(&model);
    update(&mut model, Msg::ShellEnded { run, end: End { status: Some(0), ..End::default() } });
    assert!(screen(&model).contains("ended, exit status 0"));
    press(&mut model, "<enter>");
    model.notices.hide();
    assert_eq!(screen(&model), before);
}

#[test]
fn what_could_not_be_opened_can_be_tried_again() {
    let mut model = blocked_inside(SIZE);
    press(&mut model, "s");
    let run = run_of(&model);
    assert!(model.wants_tick(), "the waiting time is shown");
    update(&mut model, Msg::ShellFailed { run, failure: Failure::failed("open it", "no agent", "start the agent") });
    let text = screen(&model);
    assert!(text.contains("Could not open it") && text.contains("no agent") && text.contains("next: start the agent"));
    assert!(!model.wants_tick());
    let effects = press(&mut model, "r");
    let new = run_of(&model);
    assert!(new != run);
    let asked = matches!(&effects[..], [Effect::CloseShell { run: a }, Effect::OpenShell { run: b, .. }] if *a == run && *b == new);
    assert!(asked, "{effects:?}");
    // Esc while it opens stops it.
    let effects = press(&mut model, "<esc>");
    assert!(matches!(effects[..], [Effect::CloseShell { run: r }] if r == new), "{effects:?}");
    assert!(matches!(model.stack.last(), Some(Screen::Diagnosis(_))));
}

#[test]
fn doors_and_fixes_that_are_a_way_in_open_it() {
    let mut model = diagnosed(SIZE, Story::Blocked);
    // The second thing offered for a missing rule is Session Manager; it is no change.
    let effects = press(&mut model, "2");
    assert!(matches!(&effects[..], [Effect::OpenShell { wish, .. }] if wish.door == Door::Ssm), "{effects:?}");
    press(&mut model, "<esc>d");
    // A closed door is described; one that is open or unknown is taken; a rescue gives no terminal.
    assert!(press(&mut model, "<enter>").is_empty());
    assert!(matches!(model.overlays.last(), Some(Overlay::Read(_))));
    let effects = press(&mut model, "<esc>jj<enter>");
    assert!(matches!(&effects[..], [Effect::OpenShell { wish, .. }] if wish.door == Door::Eic), "{effects:?}");
    press(&mut model, "<esc>");
    assert!(matches!(model.stack.last(), Some(Screen::Doors { cursor: 2 })), "back to the same row");
    assert!(press(&mut model, "h").is_empty());
    assert!(matches!(model.overlays.last(), Some(Overlay::Read(_))));
    assert!(press(&mut model, "<esc>j<enter>").is_empty());
}

#[test]
fn read_only_pushes_no_key() {
    let mut model = diagnosed(SIZE, Story::Blocked);
    model.settings.read_only = true;
    assert!(press(&mut model, "djj<enter>").is_empty());
    assert!(screen(&model).contains("read-only: this way in pushes a key"));
    assert!(press(&mut model, "r").is_empty());
    press(&mut model, "<esc>k");
    let effects = press(&mut model, "<enter>");
    assert!(matches!(&effects[..], [Effect::OpenShell { wish, .. }] if wish.door == Door::Ssm), "{effects:?}");
}

#[test]
fn leaving_the_program_asks_while_a_session_runs() {
    let mut model = open(blocked_inside(SIZE));
    press(&mut model, "<ctrl-]>?");
    assert!(press(&mut model, "<ctrl-c>").is_empty());
    assert!(screen(&model).contains("A session runs in the pane"));
    let effects = press(&mut model, "y");
    assert!(matches!(effects[..], [Effect::Quit]), "{effects:?}");
}

#[test]
fn nothing_typed_or_shown_can_be_printed() {
    let mut model = open(blocked_inside(SIZE));
    let effects = press(&mut model, "hunter2");
    let frame = model.shell().and_then(|s| s.frame.clone()).expect("a frame");
    let run = run_of(&model);
    let drawn = Msg::ShellDrawn { run, frame };
    let key = Msg::Key(KeyEvent::new(KeyCode::Char('h'), KeyModifiers::NONE));
    let text = format!("{effects:?} {drawn:?} {key:?} {:?} {model:?}", Msg::Pasted("hunter2".into()));
    assert!(text.contains("Typed(…)") && text.contains("Frame(80x17)"));
    assert!(!text.contains("hunter2") && !text.contains("Char('h')") && !text.contains("104"), "{text}");
    assert!(!text.contains("inverse"), "what is shown");
}

#[test]
fn hostile_output_stays_inside_its_cells() {
    let mut model = open(blocked_inside(SIZE));
    let frame = screen(&model);
    let above: Vec<&str> = frame.lines().take(6).collect();
    show(&mut model, "\u{1b}[2J\u{1b}[1;1Hx\u{202e}abc\u{200b}\u{9b}31m\u{1b}]0;t\u{7}\u{1b}[999;78Hend".as_bytes());
    for cell in cells(&model) {
        assert!(cell.symbol().chars().all(|c| !c.is_control() && c != '\u{202e}'), "{:?}", cell.symbol());
    }
    let now = screen(&model);
    assert_eq!(now.lines().take(6).collect::<Vec<_>>(), above);
    assert!(now.lines().nth(22).is_some_and(|l| l.ends_with("end")));
    // A frame of another size than the pane has (on its way while the window changes) is cut.
    let run = run_of(&model);
    let mut large = Emulator::new((200, 60));
    large.feed(&b"0123456789".repeat(1000));
    update(&mut model, Msg::ShellDrawn { run, frame: Arc::new(large.frame()) });
    assert_eq!(screen(&model).lines().count(), 24);
    assert_eq!(model.shell().expect("a pane").phase, ShellPhase::Open);
}
