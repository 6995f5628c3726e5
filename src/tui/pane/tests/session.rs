//! A session over an in-memory connection: typing, floods, notices, the end.

use crate::engine::event::RunId;
use crate::engine::failure::Failure;
use crate::engine::terminal::{Door, End, Wish};
use crate::tui::msg::Msg;
use crate::tui::pane::emulator::Scroll;
use crate::tui::pane::frame::Frame;
use crate::tui::pane::session::Handle;
use crate::tui::tests::fake::{Far, Terminals};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const RUN: RunId = RunId(7);

fn wish() -> Wish {
    Wish { door: Door::Ssm, facts: Arc::default(), size: Some((80, 17)), command: None, plugin: false }
}

fn text(frame: &Frame) -> String {
    let mut out = String::new();
    for row in 0..frame.rows {
        for column in 0..frame.columns {
            let cell = frame.cell(row, column).expect("a cell");
            out += if cell.has_contents() { cell.contents() } else { " " };
        }
        out.push('\n');
    }
    out
}

/// Opens a terminal in a fake world; gives its far side.
async fn open() -> (Handle, Far, UnboundedReceiver<Msg>) {
    let (world, mut doors) = Terminals::new(16 * 1024);
    let (out, mut told) = unbounded_channel();
    let handle = Handle::open(Arc::new(world), RUN, wish(), out);
    let far = doors.recv().await.expect("the door was asked for");
    assert!(matches!(told.recv().await, Some(Msg::ShellOpened { run: RUN, title }) if title == "a fake, web-1"));
    (handle, far, told)
}

async fn wait_for(handle: &mut Handle, wanted: &str) -> Arc<Frame> {
    let search = async {
        loop {
            let (run, frame) = handle.drawn().await;
            assert_eq!(run, RUN);
            if text(&frame).contains(wanted) {
                return frame;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), search).await.unwrap_or_else(|_| panic!("no {wanted:?}"))
}

#[tokio::test]
async fn what_is_typed_goes_there_and_what_comes_is_shown() {
    let (mut handle, mut far, _told) = open().await;
    far.stream.write_all(b"prompt> ").await.expect("written");
    assert_eq!(wait_for(&mut handle, "prompt>").await.cursor, Some((0, 8)));
    assert!(handle.send(b"id\r".to_vec()));
    let mut typed = [0; 3];
    far.stream.read_exact(&mut typed).await.expect("read");
    assert_eq!(&typed, b"id\r");
    // A question is answered on the same way.
    far.stream.write_all(b"\x1b[6n").await.expect("written");
    let mut answer = [0; 6];
    far.stream.read_exact(&mut answer).await.expect("read");
    assert_eq!(&answer, b"\x1b[1;9R");
}

#[tokio::test]
async fn a_resize_reaches_both_sides_and_a_scroll_only_the_view() {
    let (mut handle, mut far, _told) = open().await;
    handle.resize((100, 30));
    let frame = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            let (_, frame) = handle.drawn().await;
            if frame.columns == 100 {
                return frame;
            }
        }
    });
    assert_eq!(frame.await.expect("a frame").rows, 30);
    assert_eq!(far.sizes.recv().await, Some((100, 30)));
    for n in 0..200 {
        far.stream.write_all(format!("line {n}\r\n").as_bytes()).await.expect("written");
    }
    wait_for(&mut handle, "line 199").await;
    handle.scroll(Scroll::Lines(10));
    handle.scroll(Scroll::Lines(20));
    assert_eq!(wait_for(&mut handle, "line 141").await.offset, 30);
    handle.scroll(Scroll::Live);
    assert_eq!(wait_for(&mut handle, "line 199").await.offset, 0);
}

#[tokio::test]
async fn the_end_is_told_with_its_status_and_the_output_before_it_is_shown() {
    let (mut handle, mut far, mut told) = open().await;
    far.control.notice("reconnecting");
    assert!(matches!(told.recv().await, Some(Msg::ShellNotice { text, .. }) if text == "reconnecting"));
    far.stream.write_all(b"logout").await.expect("written");
    far.control.end(End { status: Some(3), ..End::default() });
    drop(far.stream);
    wait_for(&mut handle, "logout").await;
    let ended = tokio::time::timeout(Duration::from_secs(5), told.recv()).await.expect("in time");
    assert!(matches!(ended, Some(Msg::ShellEnded { end, .. }) if end.status == Some(3) && end.trouble.is_none()));
    // What was shown can still be looked at.
    handle.resize((80, 10));
    while wait_for(&mut handle, "logout").await.rows != 10 {}
}

#[tokio::test]
async fn a_connection_that_dies_without_a_word_ends_the_session() {
    let (_handle, far, mut told) = open().await;
    drop(far.stream);
    let begun = Instant::now();
    let ended = tokio::time::timeout(Duration::from_secs(5), told.recv()).await.expect("in time");
    assert!(matches!(ended, Some(Msg::ShellEnded { end, .. }) if end.trouble.is_some()));
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn leaving_hangs_up() {
    let (handle, far, _told) = open().await;
    handle.close().await;
    assert!(far.control.was_hung_up());
    // Also when it is just dropped.
    let (handle, far, _told) = open().await;
    drop(handle);
    tokio::time::timeout(Duration::from_secs(5), far.control.hung_up()).await.expect("in time");
}

#[tokio::test]
async fn a_door_that_stays_closed_says_why() {
    let (world, _doors) = Terminals::refusing(Failure::failed("open it", "no agent", "start it"));
    let (out, mut told) = unbounded_channel();
    let _handle = Handle::open(Arc::new(world), RUN, wish(), out);
    assert!(matches!(told.recv().await, Some(Msg::ShellFailed { failure, .. }) if failure.reason == "no agent"));
}

#[tokio::test]
async fn an_other_side_that_takes_nothing_gets_no_endless_queue() {
    let (handle, _far, _told) = open().await;
    let mut queued = 0_usize;
    while handle.send(vec![b'x'; 100_000]) {
        queued += 100_000;
        assert!(queued < 8 << 20, "bounded");
        tokio::task::yield_now().await;
    }
    assert!(queued >= 4_000_000, "a paste of some megabytes has room: {queued}");
}

/// Bytes of the flood.
const FLOOD: usize = 24 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_echoed_while_a_flood_runs_and_frames_stay_few() {
    let (mut handle, far, _told) = open().await;
    let Far { stream, control: _control, sizes: _sizes } = far;
    let (mut from, mut to) = tokio::io::split(stream);
    let (echo, mut typed) = unbounded_channel::<Vec<u8>>();
    tokio::spawn(async move {
        let mut buffer = [0; 64];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            if echo.send(buffer[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    // A terminal's far side: lines without end, and between them the echo of what was typed.
    let flood = tokio::spawn(async move {
        let chunk = b"The quick brown fox jumps over the lazy dog, \x1b[32mand over\x1b[0m again.\r\n".repeat(60);
        let mut sent = 0;
        to.write_all(b"\x1b[2;17r\x1b[17;1H").await.expect("written");
        while sent < FLOOD {
            while let Ok(key) = typed.try_recv() {
                // The first row stands still, so that the echo is not scrolled off between two frames.
                let echo = [b"\x1b7\x1b[1;1H", key.as_slice(), b"\x1b8"];
                to.write_all(&echo.concat()).await.expect("written");
            }
            to.write_all(&chunk).await.expect("written");
            sent += chunk.len();
        }
        to.write_all(b"\r\nthe flood is over").await.expect("written");
        to
    });
    let begun = Instant::now();
    let (mut frames, mut longest, mut keys) = (0, Duration::ZERO, 0);
    let mut pressed: Option<(String, Instant)> = None;
    loop {
        let (_, frame) = tokio::time::timeout(Duration::from_secs(30), handle.drawn()).await.expect("frames go on");
        frames += 1;
        let seen = text(&frame);
        if seen.contains("the flood is over") {
            break;
        }
        assert!(frame.history <= 10_000);
        match &pressed {
            Some((key, at)) => {
                if seen.contains(key.as_str()) {
                    longest = longest.max(at.elapsed());
                    pressed = None;
                }
            }
            None => {
                keys += 1;
                let key = format!("k{keys:04}");
                assert!(handle.send(key.clone().into_bytes()));
                pressed = Some((key, Instant::now()));
            }
        }
    }
    let took = begun.elapsed();
    let most = took.as_millis() / 16 + 20;
    assert!(frames <= most, "{frames} frames in {took:?}");
    assert!(keys > 10, "keys got through");
    // 50 ms is the aim, on a machine of its own; tests share theirs with others.
    assert!(longest < Duration::from_millis(500), "{longest:?}");
    drop(flood.await.expect("the flood"));
}
