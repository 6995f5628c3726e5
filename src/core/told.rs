//! What rules say, in the language of the words, as far as it is known.
//!
//! Rules put sentences together from facts, in English. The most frequent ones are told again here, from templates in
//! `assets/ja/told.toml`: what stands in the holes of the English sentence goes into the Japanese one. A sentence that no
//! template fits stays English. For screens and reports alone: must not be asked by anything that judges.

use crate::core::words::{self, Lang, lang};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

/// Templates: English with `{}` for what a rule puts in, Japanese with `{1}`, `{2}` … for the same in any order.
pub const JAPANESE: &str = include_str!("../../assets/ja/told.toml");

/// Fewest letters of a template besides its holes: a shorter one would fit sentences that mean something else.
pub const SHORTEST: usize = 4;

/// Words with which a part turns the meaning of its sentence round: "no rule of a allows b" is not "a rule of a allows b".
const TURNS: [&str; 9] = ["no", "not", "nothing", "nobody", "none", "neither", "never", "only", "nowhere"];

/// How deep a sentence may stand in another.
const DEPTH: usize = 3;

struct Template {
    /// What stands between the holes, from the beginning to the end of the sentence.
    parts: Vec<&'static str>,
    japanese: &'static str,
}

#[derive(Default)]
struct Known {
    /// Sentences without holes.
    whole: HashMap<&'static str, &'static str>,
    /// The others, the most telling first.
    templates: Vec<Template>,
}

/// All templates, English to Japanese; fails with line and reason.
pub fn load() -> Result<BTreeMap<String, String>, String> {
    toml::from_str(JAPANESE).map_err(|e| format!("assets/ja/told.toml: {e}"))
}

fn known() -> &'static Known {
    static TEXTS: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| load().unwrap_or_default());
    static KNOWN: LazyLock<Known> = LazyLock::new(|| {
        let mut known = Known::default();
        for (english, japanese) in &*TEXTS {
            let parts: Vec<&str> = english.split("{}").collect();
            if parts.len() == 1 {
                known.whole.insert(english, japanese);
            } else {
                known.templates.push(Template { parts, japanese });
            }
        }
        known.templates.sort_by_key(|t| std::cmp::Reverse(t.parts.iter().map(|p| p.len()).sum::<usize>()));
        known
    });
    &KNOWN
}

/// A sentence of a rule in the language of the words; as it is where it is not known.
pub fn told(sentence: &str) -> Cow<'_, str> {
    if lang() == Lang::En { Cow::Borrowed(sentence) } else { japanese(sentence, DEPTH) }
}

fn japanese(sentence: &str, depth: usize) -> Cow<'_, str> {
    let known = known();
    if let Some(found) = known.whole.get(sentence) {
        return Cow::Borrowed(found);
    }
    // What stands in a sentence may be a phrase of the screens, such as the name of a probe.
    if let Some(found) = words::japanese().get(sentence).filter(|_| depth < DEPTH) {
        return Cow::Borrowed(found);
    }
    if depth == 0 {
        return Cow::Borrowed(sentence);
    }
    for template in &known.templates {
        if let Some(held) = holes(&template.parts, sentence) {
            let held: Vec<Cow<'_, str>> = held.into_iter().map(|text| japanese(text, depth - 1)).collect();
            return Cow::Owned(put(template.japanese, &held));
        }
    }
    Cow::Borrowed(sentence)
}

/// Puts texts into `{1}`, `{2}` …, in one pass.
fn put(template: &str, held: &[Cow<'_, str>]) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let found = after.split_once('}').and_then(|(number, tail)| {
            let at = number.parse::<usize>().ok()?.checked_sub(1)?;
            Some((held.get(at)?, tail))
        });
        let Some((text, tail)) = found else {
            out.push('{');
            rest = after;
            continue;
        };
        out.push_str(text);
        rest = tail;
    }
    out + rest
}

/// Whether a part may stand in a hole: one that turns the meaning only where it is a sentence of its own.
fn may_hold(text: &str, before: &str, after: &str) -> bool {
    let own = before.ends_with(": ") || after.starts_with([':', ',', ';']);
    let first = text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    own || !TURNS.contains(&first.as_str())
}

/// What stands in the holes of a sentence, if it fits; a hole is never empty and ends where the next part first begins.
fn holes<'a>(parts: &[&str], sentence: &'a str) -> Option<Vec<&'a str>> {
    let (first, rest) = parts.split_first()?;
    let (last, middle) = rest.split_last()?;
    let mut left = sentence.strip_prefix(first)?.strip_suffix(last)?;
    let mut out = Vec::new();
    for part in middle {
        // The part after a hole may begin with what the hole ends with: the hole holds one letter at least.
        let begin = left.chars().next()?.len_utf8();
        let at = left[begin..].find(part)? + begin;
        out.push(&left[..at]);
        left = &left[at + part.len()..];
    }
    out.push(left);
    let each = out.iter().zip(parts.windows(2));
    let fits = !left.is_empty() && each.into_iter().all(|(text, around)| may_hold(text, around[0], around[1]));
    fits.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::words::in_language;

    #[test]
    fn a_sentence_is_told_with_what_it_holds() {
        let ja = |text: &str| in_language(Lang::Ja, || told(text).into_owned());
        assert_eq!(ja("igw-1 is attached to the moon"), "igw-1 is attached to the moon");
        assert_eq!(ja("igw-1 is attached"), "igw-1 はアタッチされています");
        assert_eq!(
            ja("no rule of web-sg matches TCP 22 from 203.0.113.10"),
            "web-sg に、203.0.113.10 からの TCP 22 に一致するルールがありません"
        );
        assert_eq!(ja("cannot tell: needs the instance"), "判定不能: インスタンスの情報が必要です");
        assert_eq!(
            ja("find the instance took longer than 20 s"),
            "インスタンスの検索 が 20 s 以内に終わりませんでした"
        );
        assert_eq!(told("igw-1 is attached"), "igw-1 is attached");
    }

    #[test]
    fn the_meaning_is_never_turned_round() {
        let ja = |text: &str| in_language(Lang::Ja, || told(text).into_owned());
        for text in ["no internet gateway is attached", "nothing exists and can be read", "No key has no passphrase"] {
            assert_eq!(ja(text), text);
        }
        assert_eq!(
            ja("no rule of web-sg allows 203.0.113.10 to tcp/22"),
            "no rule of web-sg allows 203.0.113.10 to tcp/22"
        );
        assert_eq!(ja("cannot tell: no such rule"), "判定不能: no such rule");
    }

    #[test]
    fn what_is_held_is_put_in_as_it_is() {
        assert_eq!(put("{2} and {1}, {3}", &["{2}".into(), "b".into()]), "b and {2}, {3}");
        assert_eq!(holes(&["", " of ", ""], "rule of a of b"), Some(vec!["rule", "a of b"]));
        assert_eq!(holes(&["no ", ""], "no "), None);
    }

    /// A template must be a sentence of the sources: rules are changed more often than their translations.
    #[test]
    fn templates_are_well_formed() {
        let all = load().expect("assets/ja/told.toml");
        assert!(all.len() > 100, "{}", all.len());
        for (english, japanese) in &all {
            let holes = english.matches("{}").count();
            let letters = english.replace("{}", "").trim().len();
            assert!(holes == 0 || letters >= SHORTEST, "{english:?} fits too much");
            for hole in 1..=holes {
                assert!(japanese.contains(&format!("{{{hole}}}")), "{english:?}: no {{{hole}}} in {japanese}");
            }
            assert!(!japanese.contains(&format!("{{{}}}", holes + 1)), "{english:?}: {japanese}");
        }
    }
}
