//! How long the real program needs for its first frame: `cargo bench --bench first_frame`. No test: a busy machine must
//! fail nothing.
//!
//! The program runs in a pseudo-terminal that `script` (util-linux) makes, against an endpoint on loopback that takes
//! connections and never answers. Measured is the time from the start of the program to the end of its first synchronized
//! update, which is a whole frame (aim: under 50 ms, in release).

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Starts measured; the first one, which reads the program from the disk, is told apart.
const STARTS: usize = 21;

/// Printed by the shell right before it becomes the program.
const GO: &[u8] = b"<go>";

/// The end of a synchronized update (DEC private mode 2026).
const WHOLE_FRAME: &[u8] = b"\x1b[?2026l";

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|w| w == wanted)
}

fn start(endpoint: &str, home: &str) -> Option<(Duration, usize)> {
    let program = env!("CARGO_BIN_EXE_port22");
    let line = format!("stty rows 40 cols 120; printf '<%s>' go; exec '{program}'");
    let mut child = Command::new("script")
        .args(["-q", "-f", "-e", "-c", &line, "/dev/null"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH")?)
        .env("TERM", "xterm-256color")
        .env("LANG", "C.UTF-8")
        .env("HOME", home)
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "none")
        .env("AWS_SECRET_ACCESS_KEY", "none")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let (mut input, mut output) = (child.stdin.take()?, child.stdout.take()?);
    let (mut seen, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    let (mut begun, mut end) = (None, None);
    while end.is_none() {
        let read = output.read(&mut buffer).ok().filter(|n| *n > 0)?;
        seen.extend_from_slice(&buffer[..read]);
        if begun.is_none() && find(&seen, GO).is_some() {
            begun = Some(Instant::now());
        }
        let frame = find(&seen, WHOLE_FRAME);
        end = begun.zip(frame).map(|(begun, at)| (begun.elapsed(), at));
    }
    // Leaves as a user does.
    input.write_all(b"q").ok()?;
    drop(input);
    while output.read(&mut buffer).is_ok_and(|n| n > 0) {}
    child.wait().ok()?;
    end
}

fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    // Whoever connects waits in the backlog.
    let home = std::env::temp_dir().join(format!("port22-first-frame-{}", std::process::id()));
    std::fs::create_dir_all(&home).expect("a directory");
    let mut took = Vec::new();
    for n in 0..STARTS {
        let Some((time, bytes)) = start(&endpoint, &home.to_string_lossy()) else {
            println!("first frame: cannot be measured; is `script` of util-linux installed?");
            break;
        };
        if n == 0 {
            println!("first frame: cold {time:.1?}, {bytes} bytes");
        } else {
            took.push(time);
        }
    }
    took.sort_unstable();
    if let (Some(least), Some(middle), Some(most)) = (took.first(), took.get(took.len() / 2), took.last()) {
        println!("first frame: {least:.1?} least, {middle:.1?} median, {most:.1?} most of {}", took.len());
    }
    let _ = std::fs::remove_dir_all(&home);
}
