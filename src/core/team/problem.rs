//! What is wrong in a team's file, and where. Must not know a terminal.

use crate::core::recognise::strip_controls;
use crate::core::text::shorten;
use serde::Serialize;

/// Longest piece of a file that is repeated in a message, in cells.
const QUOTED: usize = 60;
/// Longest list of what is allowed; longer ones are asked for with `port22 explain`.
const LISTED: usize = 16;

/// A place in a file, counted from 1; columns in characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub file: String,
    pub line: usize,
    pub column: usize,
}

impl Place {
    /// The place of a byte of a text.
    pub fn of(file: &str, text: &str, at: usize) -> Self {
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &text[..at];
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |n| n + 1);
        Self { file: file.to_owned(), line, column: before[start..].chars().count() + 1 }
    }
}

/// One error in a team's files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// File name in the directory.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What may stand there, where the list is short.
    pub allowed: Vec<String>,
    /// The nearest thing that may stand there.
    pub nearest: Option<String>,
    /// What to do.
    pub next: String,
}

impl Problem {
    pub(super) fn new(place: &Place, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            file: place.file.clone(),
            line: place.line,
            column: place.column,
            message: message.into(),
            allowed: Vec::new(),
            nearest: None,
            next: next.into(),
        }
    }

    /// The problem that `given` is none of `known`: with the nearest, and the list where it is short.
    pub(super) fn unknown<'a>(
        place: &Place,
        message: impl Into<String>,
        given: &str,
        known: impl IntoIterator<Item = &'a str>,
        next: impl Into<String>,
    ) -> Self {
        let mut known: Vec<&str> = known.into_iter().collect();
        known.sort_unstable();
        known.dedup();
        let mut out = Self::new(place, message, next);
        out.nearest = nearest(given, &known).map(str::to_owned);
        if let Some(nearest) = &out.nearest {
            out.next = format!("write {nearest}, or {}", out.next);
        }
        if known.len() <= LISTED {
            out.allowed = known.into_iter().map(str::to_owned).collect();
        }
        out
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if !self.allowed.is_empty() {
            write!(f, "\n    allowed: {}", self.allowed.join(", "))?;
        }
        write!(f, "\n    next: {}", self.next)
    }
}

/// A piece of a file as it may be shown in a message.
pub(super) fn quoted(text: &str) -> String {
    shorten(&strip_controls(text).replace('\n', " "), QUOTED)
}

/// The known word that a given one most probably means; `None` when none is near.
pub(super) fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let given = given.to_lowercase().replace('_', "-");
    let scored = known.iter().map(|k| {
        let word = k.to_lowercase().replace('_', "-");
        let inside = given.len() >= 4 && word.len() >= 4 && (word.contains(&given) || given.contains(&word));
        (distance(&given, &word).saturating_sub(usize::from(inside)), inside, *k)
    });
    let (steps, inside, found) = scored.min_by_key(|(steps, inside, k)| (*steps, !*inside, *k))?;
    let letters = given.chars().count().max(found.chars().count());
    (steps <= (letters / 3).max(1) || inside).then_some(found)
}

/// Letters to add, take away, change or swap until one word is the other (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(80).collect(), b.chars().take(80).collect());
    let width = b.len() + 1;
    let mut table = vec![0; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            table[i * width + j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = usize::from(a[i - 1] != b[j - 1]);
                let mut best = (table[(i - 1) * width + j] + 1)
                    .min(table[i * width + j - 1] + 1)
                    .min(table[(i - 1) * width + j - 1] + change);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(table[(i - 2) * width + j - 2] + 1);
                }
                best
            };
        }
    }
    table[a.len() * width + b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_one_that_could_be_meant() {
        let known = ["sg-no-rule", "nacl-deny", "route-missing", "ssm-agent"];
        assert_eq!(nearest("sg-no-rul", &known), Some("sg-no-rule"));
        assert_eq!(nearest("sg_no_rule", &known), Some("sg-no-rule"));
        assert_eq!(nearest("ssm-agnet", &known), Some("ssm-agent"));
        assert_eq!(nearest("rule", &known), Some("sg-no-rule"));
        assert_eq!(nearest("kubernetes", &known), None);
        assert_eq!(nearest("x", &[]), None);
        assert_eq!((distance("ab", "ba"), distance("", "abc"), distance("abc", "abc")), (1, 3, 0));
    }

    #[test]
    fn places_count_characters_from_one() {
        let text = "a = 1\n日本 = 2\n";
        let at = text.find('=').and_then(|first| text[first + 1..].find('=').map(|n| first + 1 + n));
        let place = Place::of("f", text, at.expect("two lines"));
        assert_eq!((place.line, place.column), (2, 4));
        assert_eq!(Place::of("f", text, 999).line, 3);
        assert_eq!(Place::of("f", "日", 1).column, 1, "in the middle of a character");
    }
}
