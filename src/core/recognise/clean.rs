//! Takes a paste apart: removes what terminals, mail programs and forums add to a text.
//!
//! Pure and total: any input gives an answer, in time linear in its length. It must not judge what
//! the text means. Used by the recognisers, and by every place that shows untrusted text (banners,
//! tag names, logs).

use regex::Regex;
use std::sync::LazyLock;

/// Bytes kept of the beginning of a long text.
const HEAD: usize = 64 * 1024;
/// Bytes kept of the end of a long text: the end tells how it went.
const TAIL: usize = 256 * 1024;
/// An unterminated string sequence (OSC, DCS) is given up after so many characters.
const LONGEST_STRING: usize = 4096;
/// Lines are cut to this many bytes.
const LONGEST_LINE: usize = 32 * 1024;

/// The part of a text that is considered: all of it, or its beginning and its end.
pub fn cap(text: &str) -> std::borrow::Cow<'_, str> {
    if text.len() <= HEAD + TAIL {
        return text.into();
    }
    let head = text.floor_char_boundary(HEAD);
    let tail = text.ceil_char_boundary(text.len() - TAIL);
    format!("{}\n{}", &text[..head], &text[tail..]).into()
}

/// Removes control sequences (ANSI, OSC, C0, C1), CR, BOM, zero-width and bidirectional controls.
/// Keeps line ends; a tab becomes a space, a lone CR a line end. Safe to show in a terminal.
pub fn strip_controls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\u{9b}' => skip_csi(&mut chars),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut chars),
            '\n' | '\u{2028}' | '\u{2029}' | '\u{85}' => out.push('\n'),
            '\r' => {
                while chars.peek() == Some(&'\r') {
                    chars.next();
                }
                if chars.peek() != Some(&'\n') {
                    out.push('\n');
                }
            }
            '\t' | '\u{b}' | '\u{c}' => out.push(' '),
            c if c.is_control() || is_invisible(c) => {}
            c => out.push(c),
        }
    }
    out
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn skip_escape(chars: &mut Chars) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            skip_csi(chars);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            chars.next();
            skip_string(chars);
        }
        _ => {
            while matches!(chars.peek(), Some(' '..='/')) {
                chars.next();
            }
            if matches!(chars.peek(), Some('0'..='~')) {
                chars.next();
            }
        }
    }
}

fn skip_csi(chars: &mut Chars) {
    while matches!(chars.peek(), Some(' '..='?')) {
        chars.next();
    }
    if matches!(chars.peek(), Some('@'..='~')) {
        chars.next();
    }
}

/// Skips to BEL or ST. A string that does not end on its line is a torn one: the line stays.
fn skip_string(chars: &mut Chars) {
    let mut ahead = chars.clone();
    for _ in 0..LONGEST_STRING {
        match ahead.next() {
            Some('\u{7}' | '\u{9c}') => {
                *chars = ahead;
                return;
            }
            Some('\u{1b}') => {
                if ahead.peek() == Some(&'\\') {
                    ahead.next();
                }
                *chars = ahead;
                return;
            }
            Some('\n') | None => return,
            Some(_) => {}
        }
    }
}

static STAMP: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"^(?x: (?:[.<>!*]\ )? \[? \d{4}[-/]\d\d[-/]\d\d [T\ ] \d\d:\d\d:\d\d (?:[.,]\d+)? (?:Z|\ ?[+-]\d\d:?\d\d)? \]? (?:[:\ ]|$)\ ?
          | \[ \d\d:\d\d:\d\d (?:[.,]\d+)? \] \ ?
          | \d\d:\d\d:\d\d (?:[.,]\d+)? \ +
          | (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\ [\ \d]\d\ \d\d:\d\d:\d\d\ )",
    )
    .ok()
});
/// What logging libraries put before a message: `ERROR [main] deploy - `, `- deploy - ERROR - `. A
/// name with dots stays: it tells the library that speaks.
static LOG_PREFIX: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"^(?x: (?:TRACE|DEBUG|INFO|WARN|WARNING|ERROR|FATAL)\ +(?:\[[^\]]{1,40}\]\ +)?[\w$/-]{1,60}\ +-\ +
          | -\ +\w{1,60}\ +-\ +(?:TRACE|DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL)\ +-\ +)",
    )
    .ok()
});
/// Colour codes whose ESC was lost on the way through a web form.
static TORN_COLOUR: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\[(?:\d{1,3};){0,5}\d{1,3}m").ok());

/// Strips ANSI, OSC, C0 and C1 sequences, CR, BOM, zero-width and bidirectional controls, code
/// fences, quote marks and time stamps, and joins again the lines that a terminal cut at 80 columns.
pub fn clean(text: &str) -> String {
    let plain = lines(text);
    let mut out = String::with_capacity(text.len().min(HEAD + TAIL));
    for (i, line) in plain.iter().enumerate() {
        out.push_str(&line.text);
        let joins = line.wrapped && plain.get(i + 1).is_some_and(|n| continues(&n.text));
        if i + 1 < plain.len() && !joins {
            out.push('\n');
        }
    }
    out
}

fn continues(next: &str) -> bool {
    !next.is_empty() && !["debug1:", "debug2:", "debug3:", "$ ", "PS C:"].iter().any(|p| next.starts_with(p))
}

/// A line without its decoration.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub text: String,
    /// It fills a terminal of 80 columns to the last cell: the next line may continue its last word.
    pub wrapped: bool,
}

/// The lines of a text, each without control sequences, quote marks, fences and time stamps.
pub fn lines(text: &str) -> Vec<Line> {
    let plain = strip_controls(&cap(text));
    let mut out = Vec::new();
    for raw in plain.split('\n') {
        if let Some(parts) = of_syslog(raw) {
            out.extend(parts.split('\n').filter_map(line));
            continue;
        }
        match unpacked(raw) {
            Some(parts) => out.extend(parts.split('\n').filter_map(line)),
            None => out.extend(line(raw)),
        }
    }
    out
}

/// A line in which syslog wrote control characters as `#011` (tab), `#012` (line end), `#015` (CR), `#033`
/// (escape); `None` for any other.
fn of_syslog(raw: &str) -> Option<String> {
    let written = ["#011", "#012", "#015", "#033["].iter().any(|mark| raw.contains(mark));
    if !written || !raw.contains("]: ") && !raw.contains("]:#0") || raw.len() > LONGEST_LINE {
        return None;
    }
    let text = raw.replace("#011", " ").replace("#012", "\n").replace("#015", "").replace("#033[", "\u{1b}[");
    Some(strip_controls(&text))
}

/// The lines of a message that a log keeps in a JSON string, each on its own; `None` for a line that
/// is no such log or keeps no line ends.
fn unpacked(raw: &str) -> Option<String> {
    let json = raw.trim_start().starts_with(['{', '[']) && raw.contains("\":") || raw.contains("=> {\"");
    if !json || !raw.contains("\\n") || raw.len() > LONGEST_LINE {
        return None;
    }
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some('r' | 't')) => out.push(' '),
            ('\\', Some(&next @ ('"' | '/' | '\\'))) => out.push(next),
            // A value begins or ends: what it says stands at the beginning of a line.
            ('"', Some(':' | '}' | ',')) => {
                out.push(c);
                if chars.peek() != Some(&':') {
                    out.push('\n');
                }
                continue;
            }
            ('"', _) if out.ends_with("\": ") || out.ends_with("\":") => {
                out.push(c);
                if value_is_long(&chars) {
                    out.push('\n');
                }
                continue;
            }
            (c, _) => {
                out.push(c);
                continue;
            }
        }
        chars.next();
    }
    Some(strip_controls(&out.replace("\\u001b", "\u{1b}").replace("u001b[", "\u{1b}[")))
}

/// Whether the JSON string that begins here is a message rather than a word.
fn value_is_long(chars: &Chars) -> bool {
    let mut escaped = false;
    for (i, c) in chars.clone().take(25).enumerate() {
        if c == '"' && !escaped {
            return i > 24;
        }
        escaped = c == '\\' && !escaped;
    }
    true
}

fn line(raw: &str) -> Option<Line> {
    let raw = &raw[..raw.floor_char_boundary(raw.len().min(LONGEST_LINE))];
    let coloured = match TORN_COLOUR.as_ref() {
        Some(re) if raw.contains('[') => re.replace_all(raw, ""),
        _ => raw.into(),
    };
    let plain = unescape(coloured.as_ref());
    let mut rest: &str = plain.as_ref();
    let mut wrapped = is_full(rest);
    for _ in 0..5 {
        let before = rest;
        rest = unquote(rest);
        wrapped |= is_full(rest);
        if let Some(found) = STAMP.as_ref().and_then(|re| re.find(rest)) {
            rest = &rest[found.end()..];
        }
        if let Some(found) = LOG_PREFIX.as_ref().and_then(|re| re.find(rest)) {
            rest = &rest[found.end()..];
        }
        wrapped |= is_full(rest);
        if rest.len() == before.len() {
            break;
        }
    }
    let trimmed = rest.trim();
    if trimmed.starts_with("```") || trimmed.starts_with("~~~") {
        let inner = trimmed.trim_matches(['`', '~']);
        if inner.is_empty() || inner.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return None;
        }
        rest = inner;
    } else {
        rest = rest.strip_suffix("```").unwrap_or(rest);
    }
    Some(Line { text: rest.trim_end().to_owned(), wrapped })
}

/// Undoes the escapes of HTML that a web form leaves behind.
fn unescape(line: &str) -> std::borrow::Cow<'_, str> {
    const MARKS: &[(&str, &str)] = &[
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&apos;", "'"),
        ("&nbsp;", " "),
        ("&#64;", "@"),
        ("<br>", " "),
        ("<br/>", " "),
        ("<br />", " "),
        ("&amp;", "&"),
    ];
    if !line.contains(['&', '<']) {
        return line.into();
    }
    MARKS.iter().fold(
        line.into(),
        |text: std::borrow::Cow<'_, str>, (from, to)| {
            if text.contains(from) { text.replace(from, to).into() } else { text }
        },
    )
}

/// Takes one quote mark (`> ` of mail and forums, `| ` of CI logs) off the beginning.
fn unquote(line: &str) -> &str {
    let body = line.trim_start();
    for mark in ['>', '|'] {
        if let Some(rest) = body.strip_prefix(mark) {
            if rest.is_empty() {
                return rest;
            }
            if let Some(rest) = rest.strip_prefix(' ') {
                return rest;
            }
            if mark == '>' && rest.starts_with('>') {
                return rest;
            }
        }
    }
    line
}

fn is_full(line: &str) -> bool {
    if line.ends_with(' ') || line.len() < 79 {
        return false;
    }
    let width: usize = line.chars().map(cells).sum();
    // A wide character that does not fit into the last cell goes to the next line.
    width == 80 || (width == 79 && line.chars().next_back().is_some_and(|c| cells(c) == 2))
}

/// Terminal cells of a character: two for East Asian wide ones.
fn cells(c: char) -> usize {
    let wide = matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}');
    if wide { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_go_and_words_stay() {
        let text = "\u{feff}\u{1b}[0;31mred\u{1b}[0m \u{1b}]0;title\u{7}a\tb\r\nc\u{200b}d\u{202e}e\u{9b}1mf";
        assert_eq!(strip_controls(text), "red a b\ncdef");
        assert_eq!(strip_controls("\u{1b}]0;torn\nnext"), "0;torn\nnext");
        assert_eq!(strip_controls("10%\r20%\r\r\nend"), "10%\n20%\nend");
    }

    #[test]
    fn decoration_of_forums_and_logs_goes() {
        let text = "```console\n> [12:00:01.100] > ssh: a\n2026-04-12T10:00:00.8Z ssh: b\n```";
        assert_eq!(clean(text), "ssh: a\nssh: b");
        assert_eq!(clean("2026/11/21 06:45:03 x"), "x");
        assert_eq!(clean("[1;31mred[0m"), "red");
        assert_eq!(clean("2026-11-21 10:00:00,123 ERROR [main] deploy - x"), "x");
        assert_eq!(
            clean(r#"{"level": "error", "msg": "first line of it\r\nssh: \"C:\\new\" is cut"}"#),
            "{\"level\": \"error\"\n, \"msg\": \"\nfirst line of it\nssh: \"C:\\new\" is cut\"\n}"
        );
        assert_eq!(clean("&gt; can&#39;t open &quot;a&quot; &amp; b"), "can't open \"a\" & b");
    }

    #[test]
    fn a_word_cut_at_80_columns_is_one_word_again() {
        let long = format!("{} Connection timed ou", "x".repeat(80 - 20));
        assert_eq!(long.len(), 80);
        assert!(clean(&format!("{long}\nt during banner")).ends_with("timed out during banner"));
        assert!(clean("short ou\nt").ends_with("ou\nt"));
    }

    #[test]
    fn long_texts_keep_both_ends() {
        let text = format!("first\n{}\nlast", "日本\n".repeat(200_000));
        let kept = clean(&text);
        assert!(kept.starts_with("first") && kept.ends_with("last") && kept.len() < HEAD + TAIL + 10);
    }
}
