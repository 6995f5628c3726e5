//! Text that fits: cleaned of control sequences, measured in terminal cells, cut and wrapped.
//!
//! Everything that comes from servers, tags or files goes through here before it is drawn.

use crate::core::recognise::strip_controls;
pub use crate::core::text::utc;
use crate::core::words::{tr, tr_with};
use std::borrow::Cow;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A text without control sequences, on one line.
pub fn safe(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| (' '..='~').contains(&c)) {
        return Cow::Borrowed(text);
    }
    let clean = strip_controls(text);
    Cow::Owned(clean.replace('\n', " "))
}

/// Width in terminal cells.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Cuts a text to `max` cells, ending in `…` when something was cut.
pub fn fit(text: &str, max: usize) -> Cow<'_, str> {
    if text.width() <= max {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > max {
            break;
        }
        used += w;
        out.push(c);
    }
    if max > 0 {
        out.push('…');
    }
    Cow::Owned(out)
}

/// Cuts out of the middle, so that the beginning and the end of an id or path stay.
pub fn fit_middle(text: &str, max: usize) -> String {
    let total = text.width();
    if total <= max || max < 5 {
        return fit(text, max).into_owned();
    }
    let tail = (max - 1) / 2;
    let head = fit(text, max - tail).into_owned();
    let mut end: Vec<char> = Vec::new();
    let mut used = 0;
    for c in text.chars().rev() {
        let w = c.width().unwrap_or(0);
        if used + w > tail {
            break;
        }
        used += w;
        end.push(c);
    }
    head + &end.into_iter().rev().collect::<String>()
}

/// The end of a text, as much of it as fits into `max` cells.
pub fn fit_end(text: &str, max: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices().rev() {
        used += c.width().unwrap_or(0);
        if used > max {
            return &text[at + c.len_utf8()..];
        }
    }
    text
}

/// Characters that never begin a line (JIS X 4051): closing brackets, commas, stops, small kana, marks of length.
const NOT_FIRST: &str = "、。，．・：；？！゛゜ヽヾゝゞ々ー’”）〕］｝〉》」』】°′″℃％‰ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ…‥,.:;?!)]}%";

/// Characters that never end a line: opening brackets.
const NOT_LAST: &str = "‘“（〔［｛〈《「『【([{";

/// Whether a line may be broken between two characters of a word: beside a character of a script that is written without
/// spaces, which are the wide ones.
fn may_break(before: char, after: char) -> bool {
    let wide = |c: char| c.width().unwrap_or(0) == 2;
    (wide(before) || wide(after)) && !NOT_FIRST.contains(after) && !NOT_LAST.contains(before)
}

/// A word in pieces that are not broken; one piece for words of scripts with spaces.
fn pieces(word: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let (mut start, mut before) = (0, None);
    for (at, c) in word.char_indices() {
        if before.is_some_and(|b| may_break(b, c)) {
            out.push(&word[start..at]);
            start = at;
        }
        before = Some(c);
    }
    out.push(&word[start..]);
    out
}

/// Breaks a text into lines of at most `max` cells: at spaces, between the characters of scripts without spaces, and
/// elsewhere only when a word is longer than a line. Line ends of the text are kept.
pub fn wrap(text: &str, max: usize) -> Vec<String> {
    let max = max.max(1);
    let mut out = Vec::new();
    for paragraph in strip_controls(text).split('\n') {
        let indent: String = paragraph.chars().take_while(|c| *c == ' ').collect();
        let indent = fit(&indent, max / 2).into_owned();
        let mut line = indent.clone();
        let mut fresh = true;
        let mut gap = 0;
        for word in paragraph.trim_start().split(' ') {
            gap += 1;
            if word.is_empty() {
                continue;
            }
            for piece in pieces(word) {
                // Columns inside a line keep their distance; at a line's end it goes.
                let space = if fresh { 0 } else { std::mem::take(&mut gap) };
                gap = 0;
                if line.width() + space + piece.width() <= max {
                    line.extend(std::iter::repeat_n(' ', space));
                    line.push_str(piece);
                    fresh = false;
                    continue;
                }
                if !fresh {
                    out.push(std::mem::replace(&mut line, indent.clone()));
                }
                for c in piece.chars() {
                    if line.width() + c.width().unwrap_or(0) > max {
                        out.push(std::mem::replace(&mut line, indent.clone()));
                    }
                    line.push(c);
                }
                fresh = false;
            }
        }
        out.push(line);
    }
    out
}

/// How long ago something was, in the largest unit that says it.
pub fn ago(then: i64, now: i64) -> String {
    let seconds = now.saturating_sub(then).max(0);
    match seconds {
        0..60 => tr("just now").to_owned(),
        60..3600 => tr_with("{n} min ago", &[("n", &(seconds / 60))]),
        3600..86_400 => tr_with("{n} h ago", &[("n", &(seconds / 3600))]),
        86_400..172_800 => tr_with("{n} day ago", &[("n", &1)]),
        172_800..5_184_000 => tr_with("{n} days ago", &[("n", &(seconds / 86_400))]),
        5_184_000..63_072_000 => tr_with("{n} months ago", &[("n", &(seconds / 2_592_000))]),
        _ => tr_with("{n} years ago", &[("n", &(seconds / 31_536_000))]),
    }
}

/// Seconds with one decimal, for times that are still running.
pub fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

/// A running time and its limit: `3.1 / 6 s`.
pub fn of_limit(ms: u64, limit_ms: u64) -> String {
    format!("{}.{} / {} s", ms / 1000, ms % 1000 / 100, limit_ms.div_ceil(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_by_cells_not_by_characters() {
        assert_eq!(fit("web-server", 5), "web-…");
        assert_eq!(fit("日本語サーバ", 5), "日本…");
        assert_eq!(fit("日本", 4), "日本");
        assert_eq!(fit("abc", 0), "");
        assert_eq!(fit_middle("i-0a1b2c3d4e5f60718", 11), "i-0a1…60718");
    }

    #[test]
    fn control_sequences_never_reach_the_screen() {
        assert_eq!(safe("a\u{1b}[31mb\nc\u{7}"), "ab c");
        assert!(wrap("a\u{1b}]0;x\u{7}b", 10).join("").chars().all(|c| !c.is_control()));
    }

    #[test]
    fn japanese_is_broken_between_characters_but_not_before_a_stop() {
        assert_eq!(wrap("接続が拒否される。", 16), ["接続が拒否され", "る。"]);
        assert_eq!(wrap("次に「接続」を選ぶ", 6), ["次に", "「接", "続」を", "選ぶ"]);
        // The mark of length stays with the character before it, and an option is one piece.
        assert_eq!(wrap("ポート 22 の SSH サーバー", 10), ["ポート 22", "の SSH ", "サーバー"].map(str::trim_end));
        assert_eq!(wrap("キーは-iで指定", 8), ["キーは-i", "で指定"]);
        for max in 2..30 {
            for line in wrap("ファイル (~/.ssh/config) の「Host」ブロックが、ユーザーとポートを変えています。", max)
            {
                assert!(width(&line) <= max, "{max}: {line}");
                assert!(max < 16 || !line.starts_with(['、', '。', '」', ')', 'ー', 'ッ']), "{max}: {line}");
            }
        }
    }

    #[test]
    fn the_end_of_a_text_is_measured_in_cells() {
        assert_eq!(fit_end("~/鍵/本番.pem", 8), "本番.pem");
        assert_eq!(fit_end("~/鍵/本番.pem", 7), "番.pem");
        assert_eq!(fit_end("abc", 9), "abc");
        assert_eq!(fit_end("abc", 0), "");
    }

    #[test]
    fn wrapping_keeps_words_and_breaks_only_what_is_too_long() {
        assert_eq!(wrap("no rule of web-sg matches", 10), ["no rule of", "web-sg", "matches"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("a\n  b c", 10), ["a", "  b c"]);
        assert_eq!(wrap("user a   host b", 15), ["user a   host b"]);
        assert_eq!(wrap("user a   host b", 10), ["user a", "host b"]);
        assert_eq!(wrap("", 10), [""]);
        for line in wrap("日本語日本語 x", 5) {
            assert!(width(&line) <= 5, "{line}");
        }
    }

    #[test]
    fn moments_are_civil_dates() {
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(1_709_210_096), "2024-02-29 12:34 UTC");
        assert_eq!(ago(1000, 1030), "just now");
        assert_eq!(ago(0, 3 * 86_400 + 5), "3 days ago");
    }
}
