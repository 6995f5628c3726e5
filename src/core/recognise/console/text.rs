//! The text of a console log: out of what it was pasted in, and cut to its last boot.
//!
//! Pure and total, linear in the text's length. It must not judge what the log says.

use super::super::clean;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use regex::Regex;
use std::borrow::Cow;
use std::sync::LazyLock;

/// Shorter runs of base64 letters are words.
const SHORTEST_BASE64: usize = 64;
/// base64 that is wrapped into shorter lines is not recognised.
const SHORTEST_LINE: usize = 40;
/// Lines before the first mark of a boot that may belong to it: firmware and loader say a few.
const PREAMBLE: usize = 60;

/// Colour codes whose escape character was printed (`^[`, `␛`, `\e`) or became a question mark.
static WRITTEN_ESCAPE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?:\^\[|\x{241b}|\\e|\\x1[bB]|\\033|\\u001[bB])\[[0-9;?]*[A-Za-z]|[?\x{fffd}]\[(?:\d{1,3};){0,5}\d{0,3}m",
    )
    .ok()
});
static STAMP: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\[ *(\d{1,9})\.\d{6}\]").ok());

/// The log itself: of the JSON that the aws CLI prints, of the API's XML, of base64, or of a text
/// whose line ends are written as `\r\n`. Other text comes back as it is.
pub fn unpack(text: &str) -> Cow<'_, str> {
    let capped = clean::cap(text);
    let inner = output_of_json(&capped).or_else(|| output_of_xml(&capped));
    let inner = match inner {
        Some(inner) => inner,
        None if has_written_line_ends(&capped) => unescape(&capped, false),
        None => match decode(&capped) {
            Some(decoded) => return plain(decoded.into()),
            None => return plain(capped),
        },
    };
    let decoded = decode(&inner);
    plain(decoded.unwrap_or(inner).into())
}

fn plain(text: Cow<'_, str>) -> Cow<'_, str> {
    match WRITTEN_ESCAPE.as_ref() {
        Some(re) if re.is_match(&text) => re.replace_all(&text, "").into_owned().into(),
        _ => text,
    }
}

/// The value of the key `Output`. A log that was cut ends without its quote mark.
fn output_of_json(text: &str) -> Option<String> {
    let key = text.find("\"Output\"")? + "\"Output\"".len();
    let value = text.get(key..)?.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    Some(unescape(value, true))
}

fn output_of_xml(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("<output>")?;
    Some(rest.split_once("</output>").map_or(rest, |(inner, _)| inner).to_owned())
}

fn has_written_line_ends(text: &str) -> bool {
    let written = text.matches("\\n").take(1000).count();
    written >= 3 && written > text.matches('\n').take(1000).count()
}

/// Undoes the escapes of JSON; `quoted` stops at the closing quote mark.
fn unescape(text: &str, quoted: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted => break,
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some('b' | 'f') | None => {}
                Some('u') => {
                    let digits: String = chars.clone().take(4).collect();
                    if let Some(c) = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32) {
                        out.push(c);
                        chars.nth(3);
                    }
                }
                Some(c @ ('"' | '\\' | '/')) => out.push(c),
                Some(c) => {
                    out.push('\\');
                    out.push(c);
                }
            },
            c => out.push(c),
        }
    }
    out
}

/// The text that base64 carries, with or without words and marks around it; `None` if the text is
/// something else. A torn end is dropped.
fn decode(text: &str) -> Option<String> {
    let mut letters = String::new();
    let mut size = 0;
    let mut inside = false;
    for line in text.lines() {
        let line = line.trim_matches(|c: char| c.is_whitespace() || "\"'`,>|".contains(c));
        size += line.len();
        let coded = line.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
        inside = coded && (inside || line.len() >= SHORTEST_LINE);
        if inside {
            letters.push_str(line.trim_end_matches('='));
        }
    }
    if letters.len() < SHORTEST_BASE64 || letters.len() * 2 < size {
        return None;
    }
    let decode = |letters: &str| STANDARD_NO_PAD.decode(letters).ok();
    let bytes = decode(&letters).or_else(|| decode(letters.get(..letters.len() / 4 * 4)?))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let strange = text.chars().filter(|c| *c == '\u{fffd}' || (c.is_control() && !c.is_ascii_whitespace())).count();
    (strange * 10 < text.chars().count()).then_some(text)
}

/// What a line announces, in the order of a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Firmware,
    Loader,
    Kernel,
    Init,
}

const MARKS: &[(Mark, &str)] = &[
    (Mark::Firmware, "seabios (version"),
    (Mark::Firmware, "uefi firmware (version"),
    (Mark::Firmware, "amazon ec2 uefi"),
    (Mark::Firmware, "bdsdxe: "),
    (Mark::Firmware, "xen minimal os!"),
    (Mark::Firmware, "ipxe (http"),
    (Mark::Loader, "welcome to grub"),
    (Mark::Loader, "gnu grub"),
    (Mark::Loader, "efi stub:"),
    (Mark::Kernel, "] linux version "),
    (Mark::Kernel, "] booting linux on"),
    (Mark::Kernel, "copyright (c) 1992-"),
    (Mark::Init, "is starting up linux"),
    (Mark::Init, "init: version "),
];

fn mark(line: &str) -> Option<Mark> {
    let lower = line.to_ascii_lowercase();
    if lower.starts_with("linux version ") {
        return Some(Mark::Kernel);
    }
    MARKS.iter().find(|(_, words)| lower.contains(words)).map(|(mark, _)| *mark)
}

/// The part of the log that belongs to the last boot: a boot announces firmware, loader, kernel and
/// init in this order, and the kernel's clock starts at zero. A kernel that was started to write
/// down a crash belongs to the boot that crashed.
pub fn last_boot(text: &str) -> String {
    let plain = clean::strip_controls(text);
    let lines: Vec<&str> = plain.split('\n').collect();
    let mut starts = vec![0];
    let mut seen: Option<(Mark, usize)> = None;
    let mut clock: u64 = 0;
    for (i, line) in lines.iter().enumerate() {
        let stamp =
            STAMP.as_ref().and_then(|re| re.captures(line)).and_then(|c| c.get(1)?.as_str().parse::<u64>().ok());
        let reset = clock > 10 && stamp.is_some_and(|s| s < 2);
        let Some(found) = mark(line).or(reset.then_some(Mark::Kernel)) else {
            clock = clock.max(stamp.unwrap_or(0));
            continue;
        };
        let begins = reset
            || match seen {
                None => i > PREAMBLE || (i > 0 && found == Mark::Firmware),
                Some((last, at)) if found == last => found >= Mark::Kernel && i > at + 5,
                Some((last, _)) => found < last,
            };
        if begins {
            starts.push(i);
            seen = None;
            clock = 0;
        }
        seen = Some((seen.map_or(found, |(last, _)| last.max(found)), i));
        clock = clock.max(stamp.unwrap_or(0));
    }
    let mut start = starts.pop().unwrap_or(0);
    while lines[start..].iter().any(|l| l.contains("elfcorehdr="))
        && let Some(before) = starts.pop()
    {
        start = before;
        if start == 0 || !lines[start..].iter().take(PREAMBLE).any(|l| l.contains("elfcorehdr=")) {
            break;
        }
    }
    lines[start..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pasted_forms_give_the_log() {
        let log =
            "[    1.000000] EXT4-fs error\r\nhost \"x\" login: \r\nlast line of the log, long enough to be told\n";
        let json = serde_json::json!({"InstanceId": "i-0a1b2c3d4e5f60718", "Output": log}).to_string();
        assert_eq!(unpack(&json), log);
        assert_eq!(unpack(&json[..json.len() - 9]), &log[..log.len() - 6], "a cut one");
        let word = STANDARD_NO_PAD.encode(log);
        assert_eq!(unpack(&word), log);
        assert_eq!(unpack(&format!("{{\"Output\": \"{word}\"}}")), log);
        assert_eq!(unpack(&format!("<r><output>{word}</output></r>")), log);
        let wrapped: Vec<String> = word.as_bytes().chunks(64).map(|c| String::from_utf8_lossy(c).into()).collect();
        assert_eq!(unpack(&wrapped.join("\n")), log);
        assert_eq!(unpack(r"a\r\nb\nc\nd"), "a\r\nb\nc\nd");
        assert_eq!(unpack("[^[[0;32m OK ^[[0m] ?[0;1;39mx?[0m [?[0;1;31mFAILED?[0m]"), "[ OK ] x [FAILED]");
        assert_eq!(unpack(&format!("What is this?\n```\n> {}\n```\n", wrapped.join("\n> "))), log);
        for same in ["", "plain words", "C:\\new\\n", "a? [x]"] {
            assert_eq!(unpack(same), same);
        }
    }

    #[test]
    fn boots_are_told_apart() {
        let kernel = "[    0.000000] Linux version 6.1.0\n[    1.000000] x\n[   20.000000] y\n";
        let twice = format!("{kernel}one\n{kernel}two");
        assert_eq!(last_boot(&twice), format!("{kernel}two"));
        assert!(
            last_boot("SeaBIOS (version 1)\nGNU GRUB 2\n[    0.000000] Linux version 6\nend").starts_with("SeaBIOS")
        );
        assert!(last_boot("a\n[   99.000000] b\n[    0.100000] c\nd").starts_with("[    0.100000]"));
        let crash = format!("{kernel}[   30.000000] Kernel panic\n{}", kernel.replace("x\n", "elfcorehdr=1\n"));
        assert!(last_boot(&crash).contains("panic"));
    }
}
