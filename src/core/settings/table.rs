//! The one table of keys: name, kind, default, option, environment, words.
//!
//! Parser, schema, `port22 settings` and README read it, so that they cannot disagree. Data and the check of one value;
//! must not know where a value stands in a file.

use super::Value;
use super::column::{Column, Sort};
use std::collections::BTreeSet;

/// Which values a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The schema's own number.
    Schema,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// On or off.
    Flag,
    /// A whole number between these, both included.
    Whole {
        /// Least.
        min: i64,
        /// Greatest.
        max: i64,
    },
    /// A name or a path: not empty, in one line.
    Text,
    /// Several names: at least one, none twice.
    Texts,
    /// Columns of the instance list: at least one, none twice.
    Columns,
    /// What the instance list is sorted by.
    Sort,
}

/// A key of the settings.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name in the file.
    pub name: &'static str,
    /// Its values.
    pub kind: Kind,
    /// The default as it is written in the file; empty where the program decides by itself.
    pub default: &'static str,
    /// What the program does without it, where there is no default value.
    pub otherwise: &'static str,
    /// Its option on the command line; empty when there is none.
    pub option: &'static str,
    /// Its environment variables, the strongest first. Those of AWS are read by the AWS SDK itself.
    pub environment: &'static [&'static str],
    /// What it does.
    pub help: &'static str,
    /// Another spelling of this key, for a single value.
    pub instead_of: Option<&'static str>,
}

const fn key(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    option: &'static str,
    environment: &'static [&'static str],
    help: &'static str,
) -> Key {
    Key { name, kind, default, otherwise: "", option, environment, help, instead_of: None }
}

/// All keys.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("schema", Kind::Schema, "", "", &[], "Version of this file's schema"),
    key("theme", Kind::Choice(&["dark", "light", "high-contrast", "colour-blind", "terminal", "none"]), "dark",
        "--theme", &["PORT22_THEME", "NO_COLOR"], "Colours of the full screen"),
    Key { otherwise: "the locale's", ..key("lang", Kind::Choice(&["auto", "en", "ja"]), "auto",
        "--lang", &["PORT22_LANG"], "Language of the words; auto is the locale's") },
    key("mouse", Kind::Flag, "false", "--mouse", &["PORT22_MOUSE"],
        "Whether the mouse wheel moves in the full screen; the terminal then selects text with Shift only"),
    key("ascii", Kind::Flag, "false", "--ascii", &["PORT22_ASCII"], "Plain ASCII instead of symbols"),
    Key { otherwise: "that of the AWS configuration", ..key("regions", Kind::Texts, "",
        "--region", &["PORT22_REGIONS", "AWS_REGION", "AWS_DEFAULT_REGION"], "AWS Regions") },
    Key { instead_of: Some("regions"), ..key("region", Kind::Text, "",
        "", &[], "One AWS Region; another word for regions with one name") },
    Key { otherwise: "that of the AWS configuration", ..key("profile", Kind::Text, "",
        "--profile", &["PORT22_PROFILE", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"], "AWS profile") },
    Key { otherwise: "name, state, address, way in; more where there is room", ..key("columns", Kind::Columns, "",
        "--columns", &["PORT22_COLUMNS"], "Columns of the instance list, in their order") },
    key("sort", Kind::Sort, "arrival",
        "--sort", &["PORT22_SORT"], "What the instance list is sorted by: a column, with - before it the greatest first"),
    Key { otherwise: "each probe has its own limit", ..key("timeout", Kind::Whole { min: 1, max: 3600 }, "",
        "--timeout", &["PORT22_TIMEOUT"], "Longest time of any probe, seconds") },
    key("mode", Kind::Choice(&["triage", "guided"]), "triage",
        "--mode", &["PORT22_MODE"], "How a diagnosis begins: everything at once, or one question at a time"),
    key("notify", Kind::Choice(&["away", "off", "bell", "terminal"]), "away",
        "--notify", &["PORT22_NOTIFY"], "How the end of something long is told: a bell when you look elsewhere, never, a bell, a message (OSC 9)"),
    Key { otherwise: "the built-in ones alone", ..key("assets", Kind::Text, "",
        "--assets", &["PORT22_ASSETS"], "Directory with words and trees of your own; relative to the file that names it") },
];

/// What is wrong with a value, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Which of several values.
    pub at: Option<usize>,
    /// What is wrong.
    pub reason: String,
    /// What is allowed.
    pub next: String,
}

/// A key by its name.
pub fn key_of(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|k| k.name == name)
}

impl Key {
    /// Whether it has a value in force by itself: not the schema's number, not another spelling.
    pub fn is_kept(&self) -> bool {
        self.kind != Kind::Schema && self.instead_of.is_none()
    }

    /// The default, read as a word of the environment would be.
    pub fn default_value(&self) -> Option<Value> {
        if self.default.is_empty() { None } else { self.of_words(self.default).ok() }
    }

    /// Which values it takes, in words.
    pub fn takes(&self) -> String {
        match self.kind {
            Kind::Schema => format!("the number {}", super::SCHEMA),
            Kind::Choice(all) => all.join(", "),
            Kind::Flag => "true or false".to_owned(),
            Kind::Whole { min, max } => format!("a whole number from {min} to {max}"),
            Kind::Text => "a text that is not empty".to_owned(),
            Kind::Texts => "a list of texts".to_owned(),
            Kind::Columns => format!("a list of {}", Column::names().join(", ")),
            Kind::Sort => format!("arrival, or one of {}, also with - before it", Column::names().join(", ")),
        }
    }

    fn wrong(&self, at: Option<usize>, reason: impl Into<String>) -> Wrong {
        Wrong { at, reason: reason.into(), next: format!("write {}", self.takes()) }
    }

    /// Checks a value.
    pub fn check(&self, value: &Value) -> Result<(), Wrong> {
        let wrong = |reason: String| Err(self.wrong(None, reason));
        match (self.kind, value) {
            (Kind::Schema, Value::Whole(super::SCHEMA)) | (Kind::Flag, Value::Flag(_)) => Ok(()),
            (Kind::Schema, Value::Whole(number)) => Err(Wrong {
                at: None,
                reason: format!("schema {number} is not known here"),
                next: format!("this port22 reads schema {}: install a newer one, or write that number", super::SCHEMA),
            }),
            (Kind::Choice(all), Value::Text(text)) if all.contains(&text.as_str()) => Ok(()),
            (Kind::Choice(all), Value::Text(text)) => Err(self.unknown(None, text, all.iter().copied())),
            (Kind::Whole { min, max }, Value::Whole(number)) if (min..=max).contains(number) => Ok(()),
            (Kind::Whole { .. }, Value::Whole(number)) => wrong(format!("{number} is out of range")),
            (Kind::Text, Value::Text(text)) => self.name(None, text),
            (Kind::Sort, Value::Text(text)) if text.parse::<Sort>().is_ok() => Ok(()),
            (Kind::Sort, Value::Text(text)) => {
                let (sign, name) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
                let names: Vec<String> = Column::FIXED.iter().map(|c| format!("{sign}{c}")).collect();
                let known = names.iter().map(String::as_str).chain(["arrival"]);
                Err(self.unknown(None, &format!("{sign}{name}"), known))
            }
            (Kind::Texts | Kind::Columns, Value::Texts(all)) => self.several(all),
            _ => wrong(format!("'{value}' is of the wrong kind")),
        }
    }

    /// A name that is not known; the nearest known one is offered.
    fn unknown<'a>(&self, at: Option<usize>, name: &str, known: impl Iterator<Item = &'a str>) -> Wrong {
        let meant = nearest(name, known).map(|n| format!("did you mean '{n}'? ")).unwrap_or_default();
        Wrong { at, reason: format!("'{name}' is not known"), next: format!("{meant}write {}", self.takes()) }
    }

    fn name(&self, at: Option<usize>, text: &str) -> Result<(), Wrong> {
        if text.trim().is_empty() {
            return Err(self.wrong(at, "it is empty"));
        }
        if text.chars().any(char::is_control) {
            return Err(self.wrong(at, "it holds a control character"));
        }
        Ok(())
    }

    fn several(&self, all: &[String]) -> Result<(), Wrong> {
        if all.is_empty() {
            return Err(Wrong {
                at: None,
                reason: "the list is empty".to_owned(),
                next: "name at least one, or leave the key out".to_owned(),
            });
        }
        let mut seen = BTreeSet::new();
        for (at, text) in all.iter().enumerate() {
            if self.kind == Kind::Columns && text.parse::<Column>().is_err() {
                let names: Vec<String> = Column::FIXED.iter().map(ToString::to_string).collect();
                return Err(self.unknown(Some(at), text, names.iter().map(String::as_str)));
            }
            self.name(Some(at), text)?;
            if !seen.insert(text) {
                let next = "name it once".to_owned();
                return Err(Wrong { at: Some(at), reason: format!("'{text}' stands there twice"), next });
            }
        }
        Ok(())
    }

    /// Reads a value from the words of an environment variable or an option; several are separated by commas.
    pub fn of_words(&self, text: &str) -> Result<Value, Wrong> {
        let value = match self.kind {
            Kind::Flag => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Value::Flag(true),
                "false" | "no" | "off" | "0" => Value::Flag(false),
                _ => return Err(self.wrong(None, format!("'{text}' is neither"))),
            },
            Kind::Whole { .. } | Kind::Schema => match text.trim().parse() {
                Ok(number) => Value::Whole(number),
                Err(_) => return Err(self.wrong(None, format!("'{text}' is no whole number"))),
            },
            Kind::Texts | Kind::Columns => {
                let all = text.split(',').map(str::trim).filter(|t| !t.is_empty());
                Value::Texts(all.map(str::to_owned).collect())
            }
            Kind::Choice(_) | Kind::Sort => Value::Text(text.trim().to_owned()),
            Kind::Text => Value::Text(text.to_owned()),
        };
        self.check(&value).map(|()| value)
    }
}

/// Words that people write for a key.
const MEANT: &[(&str, &str)] = &[
    ("color", "theme"),
    ("colour", "theme"),
    ("colors", "theme"),
    ("colours", "theme"),
    ("language", "lang"),
    ("locale", "lang"),
    ("guided", "mode"),
    ("triage", "mode"),
    ("bell", "notify"),
    ("notifications", "notify"),
    ("order", "sort"),
    ("limit", "timeout"),
    ("version", "schema"),
];

/// The key that was meant by a name.
pub fn meant(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    let said = MEANT.iter().find(|(word, _)| *word == lower).map(|(_, key)| *key);
    said.or_else(|| nearest(&lower, KEYS.iter().map(|k| k.name)))
}

/// The name that differs least, if it differs little.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).max(1);
    let lower = name.to_lowercase();
    known.map(|k| (distance(&lower, k), k)).filter(|(far, _)| *far <= limit).min_by_key(|(far, _)| *far).map(|(_, k)| k)
}

/// Letters to put in, take out, change or swap with their neighbour to make one word of another (optimal string
/// alignment). Texts longer than any name are far from all of them.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let best = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                if swapped { best.min(rows[i - 2][j - 2] + 1) } else { best }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_allowed_and_every_key_can_be_overruled() {
        for key in KEYS {
            assert!(key.default.is_empty() || key.default_value().is_some(), "{}", key.name);
            if key.is_kept() {
                assert!(!key.default.is_empty() || !key.otherwise.is_empty(), "{}", key.name);
                assert!(key.option.starts_with("--"), "{}", key.name);
                assert!(key.environment[0].starts_with("PORT22_"), "{}", key.name);
            }
        }
    }

    #[test]
    fn a_slip_of_the_hand_is_understood_and_a_far_word_is_not() {
        assert_eq!(meant("them"), Some("theme"));
        assert_eq!(meant("Colour"), Some("theme"));
        assert_eq!(meant("porfile"), Some("profile"));
        assert_eq!(meant("column"), Some("columns"));
        assert_eq!(meant("xyzzy"), None);
        assert_eq!((distance("ab", "ba"), distance("", "abc"), distance("kitten", "sitting")), (1, 3, 3));
    }

    #[test]
    fn words_of_the_environment_are_read_by_kind() {
        let of = |name, text| key_of(name).unwrap().of_words(text);
        assert_eq!(of("ascii", "ON"), Ok(Value::Flag(true)));
        assert_eq!(of("timeout", " 30 "), Ok(Value::Whole(30)));
        assert_eq!(
            of("regions", "eu-west-1, us-east-1,"),
            Ok(Value::Texts(vec!["eu-west-1".into(), "us-east-1".into()]))
        );
        assert!(of("timeout", "0").is_err() && of("timeout", "soon").is_err() && of("ascii", "maybe").is_err());
        assert!(of("columns", "name,nmae").unwrap_err().next.contains("did you mean 'name'"));
        assert!(of("regions", ",").is_err() && of("profile", " ").is_err());
    }
}
