//! A paste as one searchable line, and the small pattern language of the tables.
//!
//! Must not know what any message means. Used by the recognisers alone.

use super::clean::{self, Line};

/// Bytes that a `*` in a pattern may bridge.
const GAP: usize = 140;

/// Cleaned text with line ends and runs of blanks as one space, so that a message that was wrapped
/// somewhere is found all the same.
pub struct Flat {
    /// As printed.
    pub text: String,
    /// The same bytes with ASCII letters in lower case, and `x` for the letters of host names: a host
    /// may be called `old-bastion` or `auth-failed`.
    pub lower: String,
    starts: Vec<usize>,
    grams: Grams,
}

impl Flat {
    /// `join` glues lines together that fill 80 columns; without it they are parted by a space.
    pub fn new(lines: &[Line], join: bool) -> Self {
        let mut text = String::new();
        let mut starts = Vec::with_capacity(lines.len());
        let mut glue = false;
        for line in lines {
            if !glue {
                if !text.is_empty() && !text.ends_with(' ') {
                    text.push(' ');
                }
                starts.push(text.len());
            }
            push_words(&mut text, line.text.trim_start());
            glue = join && line.wrapped;
        }
        let lower = mask_hosts(text.to_ascii_lowercase());
        let grams = Grams::of(&lower);
        Self { text, lower, starts, grams }
    }

    /// Both readings of a text: wrapped lines glued, and parted by a space. The second is `None`
    /// if it would be the same.
    pub fn both(text: &str) -> (Self, Option<Self>) {
        Self::readings(&clean::lines(text))
    }

    /// The same of a client's output, without what a journal puts before each line.
    pub fn of_client(text: &str) -> (Self, Option<Self>) {
        let mut lines = clean::lines(text);
        for i in 0..lines.len() {
            let line = &mut lines[i];
            let whole = line.text.trim_start().len();
            let told = without_logger(without_icon(line.text.trim_start())).len();
            line.text.drain(..line.text.len() - told);
            // A line with a logger's prefix of its own does not continue the one above.
            if told < whole && i > 0 {
                lines[i - 1].wrapped = false;
            }
        }
        Self::readings(&lines)
    }

    fn readings(lines: &[Line]) -> (Self, Option<Self>) {
        let wrapped = lines.iter().any(|l| l.wrapped);
        (Self::new(lines, true), wrapped.then(|| Self::new(lines, false)))
    }

    /// The number of the line around a position, from 0.
    pub fn line_index(&self, pos: usize) -> usize {
        self.starts.partition_point(|s| *s <= pos).saturating_sub(1)
    }

    fn line_end(&self, index: usize) -> usize {
        self.starts.get(index + 1).copied().unwrap_or(self.text.len())
    }

    /// Where the line around a position begins and ends.
    pub fn line_bounds(&self, pos: usize) -> (usize, usize) {
        let index = self.line_index(pos);
        (self.starts.get(index).copied().unwrap_or(0), self.line_end(index))
    }

    /// The line around a position.
    pub fn line_at(&self, pos: usize) -> &str {
        let index = self.line_index(pos);
        let start = self.starts.get(index).copied().unwrap_or(0);
        self.text.get(start..self.line_end(index)).unwrap_or_default().trim()
    }

    /// The lines in their order, with their positions.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.starts.iter().enumerate().filter_map(|(i, s)| Some((*s, self.text.get(*s..self.line_end(i))?.trim())))
    }

    /// Whether the line at this position is a debug message of an OpenSSH client.
    pub fn is_debug(&self, pos: usize) -> bool {
        let line = self.line_at(pos);
        ["debug1:", "debug2:", "debug3:"].iter().any(|p| line.starts_with(p))
    }

    pub fn contains(&self, literal: &str) -> bool {
        self.grams.may_hold(literal) && self.lower.contains(literal)
    }

    /// Positions where the pattern occurs, at most `max` of the first ones and the last one.
    ///
    /// A pattern is lower-case text; `*` bridges up to 140 bytes, a leading `^` ties it to the
    /// beginning of a line, a trailing `$` to the end of one, `|` at either side to a word's edge.
    pub fn find(&self, pattern: &str, max: usize) -> Vec<usize> {
        let (pattern, at_start) = pattern.strip_prefix('^').map_or((pattern, false), |p| (p, true));
        let (pattern, at_end) = pattern.strip_suffix('$').map_or((pattern, false), |p| (p, true));
        let (pattern, edge_left) = pattern.strip_prefix('|').map_or((pattern, false), |p| (p, true));
        let (pattern, edge_right) = pattern.strip_suffix('|').map_or((pattern, false), |p| (p, true));
        let mut parts = pattern.split('*');
        let first = parts.next().unwrap_or_default();
        let rest: Vec<&str> = parts.collect();
        let mut found: Vec<usize> = Vec::new();
        if first.is_empty() || !pattern.split('*').all(|part| self.grams.may_hold(part)) {
            return found;
        }
        for (pos, _) in self.lower.match_indices(first) {
            let Some(end) = self.follow(pos + first.len(), &rest) else {
                continue;
            };
            let fits = (!at_start || self.starts.binary_search(&pos).is_ok())
                && (!at_end || self.ends_line(end))
                && (!edge_left || !self.lower[..pos].ends_with(word_char))
                && (!edge_right || !self.lower[end..].starts_with(word_char));
            if fits {
                if found.len() > max {
                    found.pop();
                }
                found.push(pos);
            }
        }
        found
    }

    fn follow(&self, mut at: usize, parts: &[&str]) -> Option<usize> {
        for part in parts {
            let limit = self.lower.floor_char_boundary((at + GAP + part.len()).min(self.lower.len()));
            let window = self.lower.get(at..limit)?;
            at += window.find(part)? + part.len();
        }
        Some(at)
    }

    fn ends_line(&self, pos: usize) -> bool {
        let rest = &self.lower[pos..];
        let rest = rest.strip_prefix('.').unwrap_or(rest).trim_start();
        let at = self.lower.len() - rest.len();
        rest.is_empty() || self.starts.binary_search(&at).is_ok()
    }
}

/// Whether a word is the full name of a host, and no name that messages of programs contain.
pub fn is_host_name(name: &str) -> bool {
    const TOP: &str = "com net org io jp dev internal local example invalid test cloud app info biz de fr uk cn us eu in \
        br kr ru co me ai";
    const KNOWN: &[&str] = &["amazon.com", "openssh.com", "libssh.org", "ubuntu.com", "github.com", "gitlab.com"];
    name.split_once('.').zip(name.rsplit_once('.')).is_some_and(|((first, _), (_, last))| {
        let top = |label: &str| TOP.split(' ').any(|t| t == label);
        top(last) && !top(first) && !KNOWN.iter().any(|k| name.ends_with(k))
    })
}

/// Puts `x` for the letters of names such as `old-bastion.example.org`.
fn mask_hosts(text: String) -> String {
    let mut bytes = text.into_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let end = at + bytes[at..].iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')).count();
        if end == at {
            at += 1;
            continue;
        }
        if is_host_name(std::str::from_utf8(&bytes[at..end]).unwrap_or_default().trim_end_matches('.')) {
            bytes[at..end].iter_mut().filter(|b| b.is_ascii_alphabetic() || **b == b'-').for_each(|b| *b = b'x');
        }
        at = end;
    }
    // Only ASCII letters were put for ASCII letters.
    String::from_utf8(bytes).unwrap_or_default()
}

/// Which four-byte sequences occur in a text: most of the tables' patterns are ruled out by it
/// without a search, so that the tables may grow.
struct Grams(Vec<u64>);

impl Grams {
    const BITS: usize = 1 << 16;

    fn slot(gram: [u8; 4]) -> usize {
        (u32::from_le_bytes(gram).wrapping_mul(0x9e37_79b1) >> 16) as usize
    }

    fn of(text: &str) -> Self {
        let mut bits = vec![0; Self::BITS / 64];
        for gram in text.as_bytes().array_windows::<4>() {
            let slot = Self::slot(*gram);
            bits[slot / 64] |= 1_u64 << (slot % 64);
        }
        Self(bits)
    }

    /// `false` if the text surely does not contain the part.
    fn may_hold(&self, part: &str) -> bool {
        part.as_bytes().array_windows::<4>().all(|gram| {
            let slot = Self::slot(*gram);
            self.0[slot / 64] >> (slot % 64) & 1 == 1
        })
    }
}

fn word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Takes off the icon, bullet or box line that a graphical client or a report puts before a line. The
/// marks of shell prompts stay.
fn without_icon(line: &str) -> &str {
    let icon = |c: char| {
        matches!(c, '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{2500}'..='\u{257f}' | '\u{25a0}'..='\u{27bf}'
            | '\u{2b00}'..='\u{2bff}' | '\u{1f300}'..='\u{1faff}' | '\u{fe0e}' | '\u{fe0f}' | '•')
            && !matches!(c, '❯' | '➜' | '✗' | '❮')
    };
    let rest = line.trim_start_matches(icon);
    if rest.len() == line.len() { line } else { rest.trim_start() }
}

/// Takes off what a journal or a log puts before a line of a client: `runner deploy.sh[4111]: `. The
/// programs whose own logs tell of logins keep their name.
fn without_logger(line: &str) -> &str {
    const SPEAK: &[&str] =
        &["sshd", "dropbear", "autossh", "su", "sudo", "login", "systemd", "kernel", "cloud-init", "amazon-ssm-agent"];
    let head = &line[..line.floor_char_boundary(line.len().min(120))];
    let debug = ["debug1: ", "debug2: ", "debug3: "].iter().filter_map(|d| head.find(d)).min();
    if let Some(at) = debug
        && head[..at].trim_end().ends_with([':', ']', '|', '>', '-'])
    {
        return &line[at..];
    }
    let Some((tag, rest)) = line.split_once("]: ") else { return line };
    let Some((name, pid)) = tag.rsplit_once('[') else { return line };
    let words: Vec<&str> = name.split(' ').collect();
    let known = words.last().is_some_and(|n| {
        SPEAK.contains(n) || n.starts_with("sshd-") || n.starts_with("amazon-") || super::elsewhere::is_daemon(n)
    });
    let fits = words.len() == 2
        && !known
        && (1..=8).contains(&pid.len())
        && pid.bytes().all(|b| b.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./ ".contains(&b));
    if fits { rest } else { line }
}

/// Appends a line with single blanks, plain quotes, and JSON's escapes undone.
fn push_words(out: &mut String, line: &str) {
    let mut chars = line.chars().peekable();
    let mut blank = false;
    while let Some(c) = chars.next() {
        let c = match c {
            '\u{2018}' | '\u{2019}' | '\u{201b}' => '\'',
            '\u{201c}' | '\u{201d}' | '\u{201f}' => '"',
            '\u{2026}' => '…',
            '\\' if matches!(chars.peek(), Some('"' | '\'')) => continue,
            '\\' if chars.peek() == Some(&'r') && is_escaped_newline(&chars) => {
                for _ in 0..3 {
                    chars.next();
                }
                ' '
            }
            '\\' if chars.peek() == Some(&'n') && out.ends_with(['.', ')', '"', '!', '@', ']']) => {
                chars.next();
                ' '
            }
            c => c,
        };
        if c.is_whitespace() {
            blank = true;
            continue;
        }
        if blank && !out.is_empty() && !out.ends_with(' ') {
            out.push(' ');
        }
        blank = false;
        out.push(c);
    }
    if blank {
        out.push(' ');
    }
}

fn is_escaped_newline(chars: &std::iter::Peekable<std::str::Chars>) -> bool {
    let mut ahead = chars.clone();
    ahead.next() == Some('r') && ahead.next() == Some('\\') && ahead.next() == Some('n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(text: &str) -> Flat {
        Flat::both(text).0
    }

    #[test]
    fn patterns_bridge_gaps_and_lines() {
        let f = flat("Load key \"a.pem\": bad\npermissions\nend");
        assert_eq!(f.find("load key*bad permissions", 3), [0]);
        assert!(f.find("^permissions", 3).len() == 1 && f.find("^bad", 3).is_empty());
        assert!(f.find("permissions$", 3).len() == 1 && f.find("load$", 3).is_empty());
        assert!(f.find("|perm|", 3).is_empty());
        assert_eq!(f.line_at(f.find("permissions", 1)[0]), "permissions");
    }

    #[test]
    fn json_escapes_are_undone() {
        let f = flat(r#""msg": "Load key \"/k\": bad\r\nPermission denied.\nX""#);
        assert_eq!(f.text, r#""msg": "Load key "/k": bad Permission denied. X""#);
        assert_eq!(flat(r"C:\nice\router").text, r"C:\nice\router");
    }

    #[test]
    fn host_names_say_nothing() {
        let f =
            flat("lookup old-bastion.example.org: com.jcraft.jsch.JSchException in key.pem of 日本 a.b-c.internal.");
        assert_eq!(
            f.lower,
            "lookup xxxxxxxxxxx.xxxxxxx.xxx: com.jcraft.jsch.jschexception in key.pem of 日本 x.xxx.xxxxxxxx."
        );
        assert_eq!(f.lower.len(), f.text.len());
    }

    #[test]
    fn many_hits_keep_the_last() {
        let f = flat(&"no\n".repeat(100));
        let hits = f.find("no", 2);
        assert_eq!((hits.len(), hits[2]), (3, 99 * 3));
    }
}
