//! Reads a settings file. Every error has its line and column, what is wrong, and what to do.
//!
//! All errors of a file are told at once, in the order of the file. Must not read the file itself.

use super::table::{KEYS, Key, Kind, key_of, meant};
use super::{Given, Layer, Source, Value};
use std::fmt;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// An error of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub reason: String,
    /// What to do next.
    pub next: String,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.line, self.column, self.reason, self.next)
    }
}

/// Reads a file's text: what it says, or everything that is wrong with it.
pub fn parse(text: &str) -> Result<Layer, Vec<Trouble>> {
    // A mark of the encoding is no part of the text; nothing before it moves.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let span = error.span().unwrap_or_default();
            let reason = error.message().lines().collect::<Vec<_>>().join(", ");
            return Err(vec![at(text, &span, format!("not TOML: {reason}"), syntax_help(&reason))]);
        }
    };
    let mut layer = Layer::new();
    let mut troubles: Vec<(usize, Trouble)> = Vec::new();
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    for (name, value) in entries {
        let span = name.span();
        let mut tell = |span: &Range<usize>, reason, next| {
            troubles.push((span.start, at(text, span, reason, next)));
        };
        let Some(key) = key_of(name.get_ref()) else {
            tell(&span, format!("unknown key '{}'", shown(name.get_ref())), unknown_help(name.get_ref()));
            continue;
        };
        match read(key, &value) {
            Err((span, reason, next)) => tell(&span, format!("{}: {reason}", key.name), next),
            Ok(_) if key.kind == Kind::Schema => {}
            Ok(value) => {
                let kept = key.instead_of.unwrap_or(key.name);
                let value = match value {
                    Value::Text(one) if key.instead_of.is_some() => Value::Texts(vec![one]),
                    value => value,
                };
                if layer.contains_key(kept) {
                    tell(&span, format!("region and {kept} say the same"), "keep one of the two".to_owned());
                    continue;
                }
                let line = line_of(text, span.start);
                layer.insert(kept, Given { value: Some(value), from: Source::File { line } });
            }
        }
    }
    troubles.sort_by_key(|(start, _)| *start);
    if troubles.is_empty() { Ok(layer) } else { Err(troubles.into_iter().map(|(_, t)| t).collect()) }
}

/// A value of a key, or where it is wrong, why, and what to do.
fn read(key: &Key, value: &Spanned<DeValue>) -> Result<Value, (Range<usize>, String, String)> {
    let kind_of = |value: &DeValue| match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    let wrong_kind = |found: &Spanned<DeValue>, wanted: &str| {
        let next = format!("write {}", key.takes());
        (found.span(), format!("{} where {wanted} belongs", kind_of(found.get_ref())), next)
    };
    let mut places = Vec::new();
    let read = match (key.kind, value.get_ref()) {
        (Kind::Flag, DeValue::Boolean(on)) => Value::Flag(*on),
        (Kind::Flag, _) => return Err(wrong_kind(value, "true or false")),
        (Kind::Whole { .. } | Kind::Schema, DeValue::Integer(number)) => {
            match i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()) {
                Ok(number) => Value::Whole(number),
                Err(_) => {
                    let next = format!("write {}", key.takes());
                    return Err((value.span(), format!("{} is out of range", number.as_str()), next));
                }
            }
        }
        (Kind::Whole { .. } | Kind::Schema, _) => return Err(wrong_kind(value, "a whole number")),
        (Kind::Texts | Kind::Columns, DeValue::Array(all)) => {
            let mut texts = Vec::new();
            for one in all {
                let DeValue::String(text) = one.get_ref() else { return Err(wrong_kind(one, "a text")) };
                texts.push(text.to_string());
                places.push(one.span());
            }
            Value::Texts(texts)
        }
        (Kind::Texts | Kind::Columns, _) => return Err(wrong_kind(value, "a list")),
        (Kind::Choice(_) | Kind::Text | Kind::Sort, DeValue::String(text)) => Value::Text(text.to_string()),
        (Kind::Choice(_) | Kind::Text | Kind::Sort, _) => return Err(wrong_kind(value, "a text")),
    };
    match key.check(&read) {
        Ok(()) => Ok(read),
        Err(wrong) => {
            let place = wrong.at.and_then(|at| places.get(at).cloned()).unwrap_or_else(|| value.span());
            Err((place, shown(&wrong.reason), wrong.next))
        }
    }
}

/// A text of the file without its control characters, and not without end.
fn shown(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() > 120 { clean.chars().take(119).chain(['…']).collect() } else { clean }
}

fn unknown_help(name: &str) -> String {
    let all = || KEYS.iter().map(|k| k.name).collect::<Vec<_>>().join(", ");
    match meant(name) {
        Some(meant) => format!("did you mean '{meant}'?"),
        None => format!("take it out; there are {}", all()),
    }
}

fn syntax_help(reason: &str) -> String {
    if reason.contains("duplicate") {
        "keep one of the two".to_owned()
    } else {
        "write KEY = VALUE, one on each line; texts stand in quotation marks, and # begins a comment".to_owned()
    }
}

fn line_of(text: &str, start: usize) -> usize {
    text.get(..start.min(text.len())).map_or(1, |before| before.matches('\n').count() + 1)
}

fn at(text: &str, span: &Range<usize>, reason: String, next: String) -> Trouble {
    let before = text.get(..span.start.min(text.len())).unwrap_or(text);
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Trouble { line: line_of(text, span.start), column, reason: shown(&reason), next }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::settings::schema;
    use serde::Deserialize;
    use serde_json::Value as Json;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Cases {
        case: Vec<Case>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        text: String,
        /// `line:column` of each error; none when the file is right.
        #[serde(default)]
        at: Vec<String>,
        /// What the errors say.
        #[serde(default)]
        says: Vec<String>,
        /// The error is one of TOML itself, of which a schema knows nothing.
        #[serde(default)]
        syntax: bool,
    }

    fn cases() -> Vec<Case> {
        let text = include_str!("../../../tests/cases/settings/files.toml");
        toml::from_str::<Cases>(text).expect("well formed").case
    }

    #[test]
    fn files_are_read_and_their_errors_told_by_line_and_column() {
        for case in cases() {
            let troubles = parse(&case.text).err().unwrap_or_default();
            let places: Vec<String> = troubles.iter().map(|t| format!("{}:{}", t.line, t.column)).collect();
            let words: Vec<String> = troubles.iter().map(ToString::to_string).collect();
            assert_eq!(places, case.at, "{}\n{words:?}", case.text);
            for said in &case.says {
                assert!(words.iter().any(|w| w.contains(said)), "{}\n{said:?} is not in {words:?}", case.text);
            }
            assert!(troubles.iter().all(|t| !t.next.is_empty()), "{words:?}");
        }
    }

    /// The words of JSON Schema that the schema uses; any other fails.
    fn allows(schema: &Json, value: &Json) -> bool {
        let list = |value: &Json| value.as_array().cloned().unwrap_or_default();
        schema.as_object().expect("a schema").iter().all(|(word, is)| match word.as_str() {
            "$schema" | "title" | "description" | "default" => true,
            "type" => match is.as_str().expect("a type") {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64(),
                other => panic!("type {other}"),
            },
            "const" => value == is,
            "enum" => list(is).contains(value),
            "minimum" => value.as_i64() >= is.as_i64(),
            "maximum" => value.as_i64() <= is.as_i64(),
            "pattern" => {
                let pattern = regex::Regex::new(is.as_str().expect("a pattern")).expect("a pattern that can be read");
                value.as_str().is_none_or(|text| pattern.is_match(text))
            }
            "items" => list(value).iter().all(|one| allows(is, one)),
            "minItems" => !value.is_array() || list(value).len() as u64 >= is.as_u64().expect("a number"),
            "uniqueItems" => {
                let all = list(value);
                all.iter().enumerate().all(|(at, one)| !all[..at].contains(one))
            }
            "properties" => {
                let known = is.as_object().expect("properties");
                let given = value.as_object().cloned().unwrap_or_default();
                given.iter().all(|(name, value)| known.get(name).is_none_or(|schema| allows(schema, value)))
            }
            "additionalProperties" => {
                assert_eq!(is, &Json::Bool(false));
                let known = schema["properties"].as_object().expect("properties");
                value.as_object().is_none_or(|given| given.keys().all(|name| known.contains_key(name)))
            }
            "required" => list(is).iter().all(|name| value.get(name.as_str().expect("a name")).is_some()),
            "not" => !allows(is, value),
            other => panic!("{other} is not judged here"),
        })
    }

    #[test]
    fn the_committed_schema_allows_what_the_parser_reads_and_nothing_else() {
        let schema: Json = serde_json::from_str(schema::COMMITTED).expect("JSON");
        let mut both = (0, 0);
        for case in cases().into_iter().filter(|c| !c.syntax) {
            let value: Json = toml::from_str(&case.text).expect("TOML");
            let reads = parse(&case.text).is_ok();
            assert_eq!(allows(&schema, &value), reads, "{}", case.text);
            both = (both.0 + usize::from(reads), both.1 + usize::from(!reads));
        }
        assert!(both.0 > 5 && both.1 > 15, "{both:?}");
    }

    #[test]
    fn every_key_of_the_table_is_in_the_cases_right_and_wrong() {
        for key in KEYS {
            let of = |right: bool| {
                cases().into_iter().any(|c| {
                    let names = c.text.lines().any(|l| l.trim_start().starts_with(&format!("{} =", key.name)));
                    names && c.at.is_empty() == right
                })
            };
            assert!(of(true) && of(false), "{}", key.name);
        }
    }

    #[test]
    fn nothing_makes_it_panic() {
        let whole = "schema = 1\ntheme = \"light\"\nregions = [\"eu-west-1\"]\n# é\ncolumns = [\"tag:é\"]\n";
        for end in (0..=whole.len()).filter(|end| whole.is_char_boundary(*end)) {
            let _ = parse(&whole[..end]);
        }
        let _ = parse(&"[".repeat(5000));
        let _ = parse("a = 99999999999999999999999999");
        assert!(parse("timeout = 99999999999999999999999999").is_err());
    }
}
