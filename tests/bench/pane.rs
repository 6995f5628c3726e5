//! The terminal of the pane, measured: `cargo bench --bench pane`. No test: a busy machine must fail nothing.
//!
//! - 100 MB of plain lines, of coloured lines and of a full-screen program through the emulator, in the chunks in which a
//!   session reads them, with a frame copied every 16 ms as the screen asks for them
//! - the longest time between two looks at anything else: what a key can have to wait for

use port22::tui::pane::emulator::Emulator;
use std::hint::black_box;
use std::time::{Duration, Instant};

const TOTAL: usize = 100_000_000;
const CHUNK: usize = 16 * 1024;

fn main() {
    let lines = b"The quick brown fox jumps over the lazy dog, and over it again, until it is over.\r\n".repeat(200);
    let colours =
        b"\x1b[1;34mdrwxr-xr-x\x1b[0m 2 root root \x1b[38;5;208m4096\x1b[0m Nov 21 09:00 \x1b[32mssh\x1b[0m\r\n"
            .repeat(200);
    let mut screens = Vec::new();
    for row in 1..=40 {
        screens.extend(format!("\x1b[{row};1H\x1b[K\x1b[7mrow {row}\x1b[m │ 日本 {}", "x".repeat(80)).bytes());
    }
    for (name, sample) in [("plain lines", lines), ("coloured lines", colours), ("full screen", screens)] {
        let mut emulator = Emulator::new((120, 40));
        let (begun, mut drawn) = (Instant::now(), Instant::now());
        let (mut frames, mut longest, mut sent) = (0_u32, Duration::ZERO, 0);
        let mut source = sample.iter().copied().cycle();
        let mut feeding = Duration::ZERO;
        while sent < TOTAL {
            let chunk: Vec<u8> = source.by_ref().take(CHUNK).collect();
            let turn = Instant::now();
            emulator.feed(black_box(&chunk));
            if drawn.elapsed() >= Duration::from_millis(16) {
                black_box(emulator.frame());
                (frames, drawn) = (frames + 1, Instant::now());
            }
            let took = turn.elapsed();
            feeding += took;
            longest = longest.max(took);
            sent += chunk.len();
        }
        #[allow(clippy::cast_precision_loss, reason = "a rate to read")]
        let rate = TOTAL as f64 / 1e6 / feeding.as_secs_f64();
        println!(
            "{name}: {rate:.0} MB/s ({feeding:.2?} of {:.2?}), {frames} frames, longest turn {longest:.2?}",
            begun.elapsed()
        );
    }
}
