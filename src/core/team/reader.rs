//! Reads the tables of one file, and notes what is wrong with keys and values. Must not know which ids exist.

use super::Source;
use super::problem::{Place, Problem, nearest, quoted};
use crate::core::recognise::strip_controls;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};
use unicode_width::UnicodeWidthStr;

/// A text with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub value: String,
    pub place: Place,
}

/// How long a text may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    /// Cells of the terminal, of each line.
    pub cells: usize,
    /// Most lines; 1 where line ends become blanks, as the screen breaks such a text itself.
    pub lines: usize,
}

/// A title, which stands in one line of 80 cells beside a mark and a word.
pub(super) const TITLE: Limit = Limit { cells: 64, lines: 1 };
/// A symptom of the start screen.
pub(super) const SYMPTOM: Limit = Limit { cells: 50, lines: 1 };
/// A paragraph.
pub(super) const PARAGRAPH: Limit = Limit { cells: 400, lines: 1 };
/// A question, or a step.
pub(super) const SENTENCE: Limit = Limit { cells: 200, lines: 1 };
/// Where a tree ends, or the meaning of a word.
pub(super) const ENDING: Limit = Limit { cells: 240, lines: 1 };
/// Commands.
pub(super) const COMMAND: Limit = Limit { cells: 320, lines: 8 };
/// Ids, patterns.
pub(super) const NAME: Limit = Limit { cells: 128, lines: 1 };
/// Addresses of pages.
pub(super) const LINK: Limit = Limit { cells: 200, lines: 1 };

/// Why a key that one might expect is not taken.
pub(super) type Refused = (&'static str, &'static str);

/// One file while it is read.
pub(super) struct Reader<'a> {
    pub name: &'a str,
    pub text: &'a str,
    /// Its end could not be read: what is missing may stand there.
    pub torn: bool,
    pub problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// The text of a file; the problem when it is none.
    pub fn text_of(file: &Source) -> Result<&str, Box<Problem>> {
        let name = file.name.as_str();
        if file.bytes.len() > super::LARGEST {
            let place = Place { file: file.name.clone(), line: 1, column: 1 };
            let what = format!("the file is longer than {} KiB", super::LARGEST / 1024);
            return Err(Box::new(Problem::new(&place, what, "split it")));
        }
        std::str::from_utf8(&file.bytes).map_err(|error| {
            let valid = String::from_utf8_lossy(&file.bytes[..error.valid_up_to()]);
            let place = Place::of(name, &valid, valid.len());
            Box::new(Problem::new(&place, "the file is not UTF-8 from here on", "save it as UTF-8"))
        })
    }

    pub fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text, torn: false, problems: Vec::new() }
    }

    /// The document, as far as it can be read.
    pub fn document(&mut self) -> Spanned<DeTable<'a>> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        self.torn = !errors.is_empty();
        for error in errors {
            let place = self.place(error.span().map_or(0, |s| s.start));
            let what = format!("this is not TOML: {}", quoted(error.message()));
            self.problems.push(Problem::new(&place, what, "see https://toml.io for what may stand here"));
        }
        document
    }

    pub fn place(&self, at: usize) -> Place {
        Place::of(self.name, self.text, at)
    }

    pub fn note(&mut self, at: &Range<usize>, message: impl Into<String>, next: impl Into<String>) {
        let place = self.place(at.start);
        self.problems.push(Problem::new(&place, message, next));
    }

    /// Something that should be there, or be of another kind; not noted in a file that could not be read to its end: the
    /// reader puts something else in the place of what it did not understand.
    pub fn missing(&mut self, at: &Range<usize>, message: impl Into<String>, next: impl Into<String>) {
        if !self.torn {
            self.note(at, message, next);
        }
    }

    /// Notes every key that is not taken here.
    pub fn keys(&mut self, table: &DeTable<'_>, here: &str, taken: &[&str], refused: &[Refused]) {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if taken.contains(&name) {
                continue;
            }
            let place = self.place(key.span().start);
            if let Some((_, why)) = refused.iter().find(|(known, _)| *known == name) {
                self.problems.push(Problem {
                    allowed: taken.iter().map(|k| (*k).to_owned()).collect(),
                    ..Problem::new(&place, format!("{here} takes no key '{name}': {why}"), "take it out")
                });
            } else {
                let what = format!("{here} takes no key '{}'", quoted(name));
                self.problems.push(Problem::unknown(&place, what, name, taken.iter().copied(), "take it out"));
            }
        }
    }

    /// A value as a table.
    pub fn table<'t, 'i>(&mut self, value: &'t Spanned<DeValue<'i>>, here: &str) -> Option<&'t DeTable<'i>> {
        let found = value.get_ref().as_table();
        if found.is_none() {
            let what = format!("{here} is a table, and here is a {}", value.get_ref().type_str());
            self.missing(&value.span(), what, format!("begin it with [{here}]"));
        }
        found
    }

    /// A value as an array of tables.
    pub fn tables<'t, 'i>(
        &mut self,
        value: &'t Spanned<DeValue<'i>>,
        here: &str,
    ) -> Vec<(Range<usize>, &'t DeTable<'i>)> {
        let Some(array) = value.get_ref().as_array() else {
            let what = format!("{here} is a list of tables, and here is a {}", value.get_ref().type_str());
            self.missing(&value.span(), what, format!("begin each with [[{here}]]"));
            return Vec::new();
        };
        let mut out = Vec::new();
        for one in array {
            match one.get_ref().as_table() {
                Some(table) => out.push((one.span(), table)),
                None => {
                    self.note(
                        &one.span(),
                        format!("{here} is a list of tables"),
                        format!("begin each with [[{here}]]"),
                    );
                }
            }
        }
        out
    }

    /// A text under a key; `None` when it is not there or not right.
    pub fn text(&mut self, table: &DeTable<'_>, key: &str, limit: Limit) -> Option<Text> {
        let value = table.get(key)?;
        self.string(value, key, limit)
    }

    /// A text that must be there. `at` is where its absence is noted, `place` what it is missing from.
    pub fn need(
        &mut self,
        table: &DeTable<'_>,
        at: &Range<usize>,
        here: &str,
        key: &str,
        limit: Limit,
    ) -> Option<Text> {
        if !table.contains_key(key) {
            self.missing(at, format!("{here} has no '{key}'"), format!("add a line {key} = \"…\""));
        }
        self.text(table, key, limit)
    }

    /// Texts under a key.
    pub fn texts(&mut self, table: &DeTable<'_>, key: &str, limit: Limit, most: usize) -> Option<Vec<Text>> {
        let value = table.get(key)?;
        let Some(array) = value.get_ref().as_array() else {
            let what = format!("'{key}' is a list of texts, and here is a {}", value.get_ref().type_str());
            self.missing(&value.span(), what, format!("write {key} = [\"…\", \"…\"]"));
            return None;
        };
        if array.len() > most {
            let what = format!("'{key}' has {} entries, and {most} have room on the screen", array.len());
            self.note(&value.span(), what, "leave out the least useful ones, or link to a page");
        }
        Some(array.iter().filter_map(|one| self.string(one, key, limit)).collect())
    }

    /// A whole number from 0.
    pub fn number(&mut self, table: &DeTable<'_>, key: &str, most: u32) -> Option<u32> {
        let value = table.get(key)?;
        let found = value.get_ref().as_integer().and_then(|n| u32::from_str_radix(n.as_str(), n.radix()).ok());
        let found = found.filter(|n| *n <= most);
        if found.is_none() {
            self.missing(
                &value.span(),
                format!("'{key}' is a whole number from 0 to {most}"),
                format!("write {key} = 1"),
            );
        }
        found
    }

    /// A value as a text that is safe to show and fits.
    pub fn string(&mut self, value: &Spanned<DeValue<'_>>, key: &str, limit: Limit) -> Option<Text> {
        let at = value.span();
        let Some(text) = value.get_ref().as_str() else {
            let what = format!("'{key}' is a text, and here is a {}", value.get_ref().type_str());
            self.missing(&at, what, "put it in quotes");
            return None;
        };
        let text = text.trim();
        let clean = strip_controls(text);
        if clean != text {
            self.note(&at, format!("'{key}' holds control characters, which a terminal would act on"), "take them out");
            return None;
        }
        if text.is_empty() {
            self.note(&at, format!("'{key}' is empty"), "write something, or take the line out");
            return None;
        }
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() > limit.lines && limit.lines > 1 {
            let what = format!("'{key}' has {} lines, and {} have room on the screen", lines.len(), limit.lines);
            self.note(&at, what, "make it shorter, or link to a page");
        }
        let text = if limit.lines == 1 { lines.join(" ") } else { text.to_owned() };
        let widest = text.lines().map(UnicodeWidthStr::width).max().unwrap_or_default();
        if widest > limit.cells {
            let what = format!("'{key}' takes {widest} cells of the screen, and {} is the most", limit.cells);
            self.note(&at, what, "make it shorter");
        }
        Some(Text { value: text, place: self.place(at.start) })
    }

    /// An https address that is safe to show and to open.
    pub fn link(&mut self, value: &Spanned<DeValue<'_>>, key: &str) -> Option<Text> {
        let found = self.string(value, key, LINK)?;
        if let Some(why) = not_a_link(&found.value) {
            let what = format!("'{}' is no link that is taken: {why}", quoted(&found.value));
            self.problems.push(Problem::new(&found.place, what, "write https://host/path"));
            return None;
        }
        Some(found)
    }
}

/// Why a text is no https address; `None` when it is one.
fn not_a_link(text: &str) -> Option<&'static str> {
    let Some(rest) = text.strip_prefix("https://") else {
        return Some("it does not begin with https://");
    };
    if !text.bytes().all(|b| b.is_ascii_graphic() && !b"\"'<>\\^`{|}".contains(&b)) {
        return Some("it holds characters that do not belong into an address");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Some("it holds a user name, which hides where it leads");
    }
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let label = |l: &str| {
        !l.is_empty()
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if !host.split('.').all(label) {
        return Some("its host name is not one");
    }
    (port.parse::<u16>().is_err()).then_some("its port is not a number")
}

/// Whether a text may be an id: lower-case letters, digits and a joint (`-` or `_`), beginning with a letter.
pub(super) fn is_id(text: &str, joint: char) -> bool {
    text.len() <= 40
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == joint)
        && !text.ends_with(joint)
}

/// Where a key of a table stands.
pub(super) fn key_at(table: &DeTable<'_>, key: &str) -> Range<usize> {
    let found: Option<(&Spanned<DeString<'_>>, _)> = table.get_key_value(key);
    found.map_or(0..0, |(k, _)| k.span())
}

/// The nearest of some ids.
pub(super) fn near<'a>(given: &str, known: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    let known: Vec<&str> = known.map(String::as_str).collect();
    nearest(given, &known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_addresses_are_links() {
        for good in ["https://wiki.example.com/ssh?x=1#top", "https://wiki", "https://10.0.0.1:8443/a_(b)"] {
            assert_eq!(not_a_link(good), None, "{good}");
        }
        for bad in [
            "http://wiki.example.com",
            "javascript:alert(1)",
            "https://",
            "https:///path",
            "https://user@wiki.example.com",
            "https://wiki.example.com:99999/",
            "https://wiki example.com",
            "https://wiki.example.com/\"x",
            "https://-wiki.example.com/",
            "https://wïki.example.com/",
        ] {
            assert!(not_a_link(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn ids_have_their_form() {
        assert!(is_id("vpn-on", '-') && is_id("vpn_login", '_') && is_id("a1", '-'));
        for bad in ["", "Vpn", "vpn_on", "vpn:on", "-vpn", "vpn-", "1vpn", "vpn on"] {
            assert!(!is_id(bad, '-'), "{bad}");
        }
    }
}
