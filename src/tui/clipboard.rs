//! The clipboard: by the desktop's own program, or by the terminal (OSC 52).
//!
//! A program of the desktop is sure where there is a desktop; the terminal reaches the user's own clipboard over any
//! number of ssh connections, but may refuse without a word. Which program fits is decided from the environment alone,
//! in [`programs`]; running it blocks, so it belongs in a task of its own.

use base64::Engine as _;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Most bytes that are sent to a terminal: hterm and others take 100,000 bytes of a sequence, which is so much text in base64.
pub const LONGEST: usize = 74_994;

/// How long a program may take: those of a desktop go on in the background once they have the text.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a text was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By this program.
    Program(&'static str),
    /// By the terminal; whether it did it, it does not say.
    Terminal,
    /// Not at all: a terminal takes no text of that length.
    TooLong,
}

/// A program that fills the clipboard from its standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// Its name on PATH.
    pub name: &'static str,
    /// Its arguments.
    pub arguments: &'static [&'static str],
}

const WL_COPY: Program = Program { name: "wl-copy", arguments: &[] };
const XCLIP: Program = Program { name: "xclip", arguments: &["-selection", "clipboard", "-in"] };
const XSEL: Program = Program { name: "xsel", arguments: &["--clipboard", "--input"] };
const PBCOPY: Program = Program { name: "pbcopy", arguments: &[] };
const CLIP_EXE: Program = Program { name: "clip.exe", arguments: &[] };

/// The programs that fit this session, the best first. Over ssh only what X forwarding reaches: another program would
/// fill the clipboard of the machine at the far end, where nobody looks.
pub fn programs(environment: impl Fn(&str) -> Option<OsString>, mac: bool) -> Vec<Program> {
    let set = |name: &str| environment(name).is_some_and(|v| !v.is_empty());
    let remote = set("SSH_CONNECTION") || set("SSH_TTY");
    let mut out = Vec::new();
    if !remote && set("WAYLAND_DISPLAY") {
        out.push(WL_COPY);
    }
    if set("DISPLAY") && !mac {
        out.extend([XCLIP, XSEL]);
    }
    if !remote && mac {
        out.push(PBCOPY);
    }
    if !remote && (set("WSL_DISTRO_NAME") || set("WSL_INTEROP")) {
        out.push(CLIP_EXE);
    }
    out
}

/// Where a program is on a PATH, if it is a file that may be run.
fn on_path(name: &str, path: &OsString) -> Option<PathBuf> {
    std::env::split_paths(path).filter(|d| d.is_absolute()).map(|d| d.join(name)).find(|p| is_program(p))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// Copies by the first program that is there and does it; its name. Blocks for at most some seconds.
pub fn copy_by_program(text: &str, environment: impl Fn(&str) -> Option<OsString>) -> Option<&'static str> {
    let path = environment("PATH")?;
    let fitting = programs(&environment, cfg!(target_os = "macos")).into_iter();
    fitting
        .filter_map(|p| Some((p, on_path(p.name, &path)?)))
        .find(|(p, file)| fed(*p, file, text))
        .map(|(p, _)| p.name)
}

/// Runs a program with the text on its standard input; whether it said that it has it.
fn fed(program: Program, file: &Path, text: &str) -> bool {
    let mut command = Command::new(file);
    command.args(program.arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // It may have to live longer than this program: signals of our terminal are not for it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let Ok(mut child) = command.spawn() else { return false };
    let bytes = if program == CLIP_EXE {
        // Windows takes UTF-16 with its mark, and an 8-bit code page otherwise.
        std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
    } else {
        text.as_bytes().to_vec()
    };
    let Some(mut input) = child.stdin.take() else { return false };
    // A program that reads nothing must not hold us up: the pipe is filled by a thread of its own.
    let writer = std::thread::spawn(move || input.write_all(&bytes).is_ok());
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success() && writer.join().unwrap_or(false),
            Ok(None) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(10)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

/// What a terminal is sent (OSC 52), `None` when the text is too long for one. In tmux the sequence goes twice: for
/// `set-clipboard on`, and wrapped for `allow-passthrough on`; what is not allowed is ignored. GNU screen passes on
/// strings of at most 768 bytes, so it gets pieces.
pub fn sequence(text: &str, environment: impl Fn(&str) -> Option<OsString>) -> Option<String> {
    let set = |name: &str| environment(name).is_some_and(|v| !v.is_empty());
    if text.len() > LONGEST {
        return None;
    }
    let encoded = base64::engine::general_purpose::STANDARD.encode(text);
    let plain = format!("\x1b]52;c;{encoded}\x07");
    if set("TMUX") {
        let wrapped = plain.replace('\x1b', "\x1b\x1b");
        return Some(format!("{plain}\x1bPtmux;{wrapped}\x1b\\"));
    }
    if set("STY") {
        let pieces: Vec<&str> =
            plain.as_bytes().chunks(PIECE).filter_map(|piece| std::str::from_utf8(piece).ok()).collect();
        return Some(format!("\x1bP{}\x1b\\", pieces.join("\x1b\\\x1bP")));
    }
    Some(plain)
}

/// Bytes of a string that GNU screen passes on.
const PIECE: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(of: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<OsString> {
        move |name| of.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v))
    }

    fn names(of: &'static [(&'static str, &'static str)], mac: bool) -> Vec<&'static str> {
        programs(environment(of), mac).iter().map(|p| p.name).collect()
    }

    #[test]
    fn the_session_chooses_the_program() {
        assert_eq!(names(&[("WAYLAND_DISPLAY", "wayland-0"), ("DISPLAY", ":0")], false), ["wl-copy", "xclip", "xsel"]);
        assert_eq!(names(&[("DISPLAY", ":0")], false), ["xclip", "xsel"]);
        assert_eq!(names(&[("DISPLAY", "")], false), [""; 0]);
        assert_eq!(names(&[], true), ["pbcopy"]);
        assert_eq!(names(&[("WSL_DISTRO_NAME", "Ubuntu")], false), ["clip.exe"]);
        // Over ssh only a forwarded display is the user's own.
        let over_ssh: &[(&str, &str)] =
            &[("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22"), ("WAYLAND_DISPLAY", "wayland-0"), ("WSL_INTEROP", "/x")];
        assert_eq!(names(over_ssh, true), [""; 0]);
        assert_eq!(names(&[("SSH_TTY", "/dev/pts/1"), ("DISPLAY", "localhost:10.0")], false), ["xclip", "xsel"]);
    }

    fn decoded(sequence: &str) -> String {
        let body = sequence.strip_prefix("\x1b]52;c;").and_then(|s| s.strip_suffix('\x07')).expect("OSC 52");
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(body).expect("base64")).expect("UTF-8")
    }

    #[test]
    fn a_terminal_gets_the_text_and_a_multiplexer_passes_it_on() {
        let text = "ssh ec2-user@203.0.113.7 日本\n".repeat(60);
        let plain = sequence(&text, environment(&[])).expect("short enough");
        assert_eq!(decoded(&plain), text);
        let tmux = sequence(&text, environment(&[("TMUX", "/tmp/tmux-1/default,1,0")])).expect("short enough");
        let (first, rest) = tmux.split_at(plain.len());
        assert_eq!(first, plain);
        let inner = rest.strip_prefix("\x1bPtmux;").and_then(|r| r.strip_suffix("\x1b\\")).expect("passthrough");
        assert_eq!(inner.replace("\x1b\x1b", "\x1b"), plain);
        let screen = sequence(&text, environment(&[("STY", "1.pts-0")])).expect("short enough");
        let pieces: Vec<&str> = screen.split("\x1b\\").filter_map(|p| p.strip_prefix("\x1bP")).collect();
        assert!(pieces.len() > 1 && pieces.iter().all(|p| p.len() <= PIECE));
        assert_eq!(pieces.concat(), plain);
    }

    #[test]
    fn a_long_text_is_refused_and_the_longest_is_not() {
        assert!(sequence(&"x".repeat(LONGEST + 1), environment(&[])).is_none());
        assert!(sequence(&"x".repeat(LONGEST), environment(&[])).is_some_and(|s| s.len() <= 100_008));
    }

    #[cfg(unix)]
    #[test]
    fn a_program_gets_the_text_and_one_that_fails_or_hangs_gives_way_to_the_next() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a directory");
        let put = |name: &str, script: &str| {
            let file = dir.path().join(name);
            std::fs::write(&file, script).expect("written");
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("mode");
        };
        let out = dir.path().join("clipboard");
        put("wl-copy", "#!/bin/sh\nexit 1\n");
        put(
            "xclip",
            &format!("#!/bin/sh\n[ \"$*\" = \"-selection clipboard -in\" ] && exec /bin/cat > '{}'\n", out.display()),
        );
        let path = dir.path().as_os_str().to_owned();
        let session = |name: &str| match name {
            "PATH" => Some(path.clone()),
            "WAYLAND_DISPLAY" | "DISPLAY" => Some(OsString::from("x")),
            _ => None,
        };
        assert_eq!(copy_by_program("one\ntwo", session), Some("xclip"));
        assert_eq!(std::fs::read_to_string(&out).expect("copied"), "one\ntwo");
        put("xclip", "#!/bin/sh\nexec /bin/sleep 30\n");
        let begun = Instant::now();
        assert_eq!(copy_by_program(&"x".repeat(1 << 20), session), None);
        assert!(begun.elapsed() < Duration::from_secs(20), "a program that hangs is not waited for");
        assert_eq!(copy_by_program("x", |name| (name == "DISPLAY").then(|| OsString::from(":0"))), None);
    }
}
