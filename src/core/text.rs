//! Small text helpers shared by reports and rules.
//!
//! Must not hold judgement, and must not know a terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Shows a duration in milliseconds as people read it: `340 ms`, `5 s`, `2.5 s`, `3 min`.
pub fn millis(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..120_000 if ms.is_multiple_of(1000) => format!("{} s", ms / 1000),
        1000..120_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min", ms / 60_000),
    }
}

/// Quotes a word for a POSIX shell, so that a shown command can be pasted as it is.
pub fn shell_quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    bytes.iter().for_each(|byte| out.push_str(&format!("{byte:02x}")));
    out
}

/// The bytes of hexadecimal digits, with white space around them; `None` for anything else.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let pairs = text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    text.len().is_multiple_of(2).then(|| pairs.collect())?
}

/// Year, month and day of days since 1970 (Howard Hinnant, "chrono-compatible low-level date algorithms").
pub fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A moment as `2026-11-21 09:52 UTC`.
pub fn utc(unix: i64) -> String {
    let rest = unix.rem_euclid(86_400);
    let (year, month, day) = civil(unix.div_euclid(86_400));
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", rest / 3600, rest % 3600 / 60)
}

/// Joins words as "a, b and c".
pub fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [head @ .., last] => format!("{} and {last}", head.join(", ")),
    }
}

/// Cuts a text to `max` terminal cells (a letter of Japanese has two), ending in `…` when something was cut.
pub fn shorten(text: &str, max: usize) -> String {
    if text.width() <= max {
        return text.to_owned();
    }
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used < max
    };
    let mut out: String = text.chars().take_while(fits).collect();
    out.push('…');
    out
}

/// A text with blanks behind it up to `cells` terminal cells, for columns.
pub fn pad(text: &str, cells: usize) -> String {
    format!("{text}{}", " ".repeat(cells.saturating_sub(text.width())))
}

/// Whether a text fits a pattern with `*` (any text) and `?` (any character); `same` says whether another character of
/// the pattern stands for one of the text. At worst the product of both lengths.
pub fn wildcard(pattern: &str, text: &str, same: impl Fn(char, char) -> bool) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut back) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '?' || same(*c, text[t]) => (p, t) = (p + 1, t + 1),
            _ => match back {
                Some((after, from)) => {
                    back = Some((after, from + 1));
                    (p, t) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_naturally() {
        assert_eq!(millis(340), "340 ms");
        assert_eq!(millis(5000), "5 s");
        assert_eq!(millis(2540), "2.5 s");
        assert_eq!(millis(180_000), "3 min");
    }

    #[test]
    fn columns_are_measured_in_cells() {
        assert_eq!(shorten("web-server", 5), "web-…");
        assert_eq!(shorten("日本語サーバ", 5), "日本…");
        assert_eq!(shorten("日本", 4), "日本");
        assert_eq!(pad("日本", 6) + "|", "日本  |");
        assert_eq!(pad("web-server", 3), "web-server");
    }

    #[test]
    fn quoting_survives_quotes_and_spaces() {
        assert_eq!(shell_quote("~/.ssh/a.pem"), "~/.ssh/a.pem");
        assert_eq!(shell_quote("it's here"), r"'it'\''s here'");
        assert_eq!(shell_quote(""), "''");
    }
}
