//! The catalogue in Japanese: the words of `assets/ja/`, laid over the English catalogue by id.
//!
//! Ids, order, links, fixes and commands stay those of the English files, which are the only place for them; of a command
//! only the comment after `#` is translated. Must not change what is judged or done.

use super::{Catalogue, parse};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

const CAUSES: &str = include_str!("../../../assets/ja/causes.toml");
const CHECKS: &str = include_str!("../../../assets/ja/checks.toml");
const FIXES: &str = include_str!("../../../assets/ja/fixes.toml");
const SYMPTOMS: &str = include_str!("../../../assets/ja/symptoms.toml");
const TREES: &str = include_str!("../../../assets/ja/trees.toml");
const GLOSSARY: &str = include_str!("../../../assets/ja/glossary.toml");
const COMMENTS: &str = include_str!("../../../assets/ja/comments.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cause {
    title: String,
    explain: String,
    proven_by: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    title: String,
    why: String,
    rules_out: String,
    question: Option<String>,
    console: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fix {
    title: String,
    explain: String,
    teaching: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Symptom {
    title: String,
    proves: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Word {
    title: String,
    means: String,
}

/// One text in both languages: where it is, English, Japanese.
pub type Pair = (String, String, String);

/// What was translated, and what is missing or left over.
#[derive(Debug, Default)]
pub struct Translation {
    /// The catalogue with Japanese words; English where one is missing.
    pub catalogue: Catalogue,
    /// Every text that was replaced.
    pub pairs: Vec<Pair>,
    /// One line for each text without translation and each translation without text; empty when complete.
    pub problems: Vec<String>,
}

impl Translation {
    fn put(&mut self, place: String, text: &mut String, japanese: String) {
        let english = std::mem::replace(text, japanese.clone());
        self.pairs.push((place, english, japanese));
    }

    fn put_option(&mut self, place: String, text: &mut Option<String>, japanese: Option<String>) {
        match (text.as_mut(), japanese) {
            (Some(text), Some(japanese)) => self.put(place, text, japanese),
            (None, None) => {}
            (Some(_), None) => self.problems.push(format!("{place}: no translation")),
            (None, Some(_)) => self.problems.push(format!("{place}: a translation of nothing")),
        }
    }

    /// Goes through two maps with the same ids.
    fn join<E, J>(
        &mut self,
        kind: &str,
        english: &mut BTreeMap<String, E>,
        mut japanese: BTreeMap<String, J>,
        mut each: impl FnMut(&mut Self, &str, &mut E, J),
    ) {
        for (id, words) in english {
            match japanese.remove(id) {
                Some(translated) => each(self, &format!("{kind} {id}"), words, translated),
                None => self.problems.push(format!("{kind} {id}: no translation")),
            }
        }
        self.problems.extend(japanese.into_keys().map(|id| format!("{kind} {id}: a translation of nothing")));
    }
}

/// Lays the Japanese words over the English catalogue; fails with file, line and reason when a file cannot be read.
pub fn translate(mut english: Catalogue) -> Result<Translation, String> {
    let mut out = Translation::default();
    out.join("cause", &mut english.causes, parse("ja/causes.toml", CAUSES)?, |out, id, words, ja: Cause| {
        out.put(format!("{id}, title"), &mut words.title, ja.title);
        out.put(format!("{id}, explain"), &mut words.explain, ja.explain);
        out.put(format!("{id}, proven_by"), &mut words.proven_by, ja.proven_by);
    });
    out.join("check", &mut english.checks, parse("ja/checks.toml", CHECKS)?, |out, id, words, ja: Check| {
        out.put(format!("{id}, title"), &mut words.title, ja.title);
        out.put(format!("{id}, why"), &mut words.why, ja.why);
        out.put(format!("{id}, rules_out"), &mut words.rules_out, ja.rules_out);
        out.put_option(format!("{id}, question"), &mut words.question, ja.question);
        out.put_option(format!("{id}, console"), &mut words.console, ja.console);
    });
    out.join("fix", &mut english.fixes, parse("ja/fixes.toml", FIXES)?, |out, id, words, ja: Fix| {
        out.put(format!("{id}, title"), &mut words.title, ja.title);
        out.put(format!("{id}, explain"), &mut words.explain, ja.explain);
        out.put_option(format!("{id}, teaching"), &mut words.teaching, ja.teaching);
    });
    out.join("symptom", &mut english.symptoms, parse("ja/symptoms.toml", SYMPTOMS)?, |out, id, words, ja: Symptom| {
        out.put(format!("{id}, title"), &mut words.title, ja.title);
        out.put(format!("{id}, proves"), &mut words.proves, ja.proves);
    });
    out.join("word", &mut english.glossary, parse("ja/glossary.toml", GLOSSARY)?, |out, id, words, ja: Word| {
        out.put(format!("{id}, title"), &mut words.title, ja.title);
        out.put(format!("{id}, means"), &mut words.means, ja.means);
    });
    endings(&mut out, &mut english, &parse("ja/trees.toml", TREES)?);
    comments(&mut out, &mut english, &parse("ja/comments.toml", COMMENTS)?);
    out.catalogue = english;
    Ok(out)
}

/// What a tree says where it ends without a cause.
fn endings(out: &mut Translation, catalogue: &mut Catalogue, texts: &BTreeMap<String, String>) {
    let mut used = BTreeSet::new();
    for node in catalogue.trees.iter_mut().flat_map(|t| &mut t.nodes) {
        for to in [&mut node.pass, &mut node.fail, &mut node.unknown] {
            let Some(english) = to.strip_prefix("end:").map(str::to_owned) else { continue };
            match texts.get(&english) {
                Some(japanese) => {
                    *to = format!("end:{japanese}");
                    if used.insert(english.clone()) {
                        out.pairs.push(("end of a tree".to_owned(), english, japanese.clone()));
                    }
                }
                None => out.problems.push(format!("end of a tree, no translation: {english}")),
            }
        }
    }
    let left = texts.keys().filter(|k| !used.contains(*k));
    out.problems.extend(left.map(|k| format!("end of a tree, a translation of nothing: {k}")));
}

/// The comments of commands to copy.
fn comments(out: &mut Translation, catalogue: &mut Catalogue, texts: &BTreeMap<String, String>) {
    let mut used = BTreeSet::new();
    let mut line = |out: &mut Translation, text: &str| {
        let Some((command, english)) = comment(text) else { return text.to_owned() };
        match texts.get(english) {
            Some(japanese) => {
                if used.insert(english.to_owned()) {
                    out.pairs.push(("comment".to_owned(), english.to_owned(), japanese.clone()));
                }
                format!("{command}{japanese}")
            }
            None => {
                out.problems.push(format!("comment, no translation: {english}"));
                text.to_owned()
            }
        }
    };
    for text in catalogue.causes.values_mut().flat_map(|c| &mut c.by_hand) {
        *text = line(out, text);
    }
    let checks = catalogue.checks.values_mut().map(|c| &mut c.by_hand);
    for text in checks.chain(catalogue.fixes.values_mut().map(|f| &mut f.by_hand)) {
        *text = text.split('\n').map(|l| line(out, l)).collect::<Vec<_>>().join("\n");
    }
    let left = texts.keys().filter(|k| !used.contains(*k));
    out.problems.extend(left.map(|k| format!("comment, a translation of nothing: {k}")));
}

/// A line's command with the `#` and what stands around it, and the comment.
fn comment(line: &str) -> Option<(&str, &str)> {
    let start = if line.trim_start().starts_with("# ") { line.find("# ")? } else { line.find(" # ")? + 1 };
    let text = line[start + 1..].trim_start();
    Some((&line[..line.len() - text.len()], text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translation() -> Translation {
        translate(Catalogue::load().expect("the catalogue")).expect("assets/ja")
    }

    #[test]
    fn everything_is_translated_and_nothing_is_left_over() {
        let found = translation();
        assert!(found.pairs.len() > 1000, "{}", found.pairs.len());
        assert!(found.problems.is_empty(), "{}", found.problems.join("\n"));
        assert_eq!(found.catalogue.problems(), Vec::<String>::new());
    }

    #[test]
    fn a_missing_text_and_one_too_many_are_told() {
        let mut english = Catalogue::load().expect("the catalogue");
        let words = english.causes.remove("sg-no-rule").expect("a cause");
        english.causes.insert("sg-new".to_owned(), words);
        english.checks.get_mut("user-name").expect("a check").question = None;
        english.fixes.get_mut("key-chmod").expect("a fix").by_hand = "chmod 600 KEY_FILE # new comment".to_owned();
        let problems = translate(english).expect("assets/ja").problems.join("\n");
        for part in [
            "cause sg-new: no translation",
            "cause sg-no-rule: a translation of nothing",
            "check user-name, question: a translation of nothing",
            "comment, no translation: new comment",
        ] {
            assert!(problems.contains(part), "{part}\n{problems}");
        }
    }

    /// What must be the same in every language: numbers, paths, options, names with capitals inside, placeholders.
    fn names(english: &str) -> Vec<String> {
        let edge = |c: char| c.is_whitespace() || ",;:()\"'“”|…".contains(c);
        let words = english.split(edge).map(|w| w.trim_matches(['.', '?', '!', '’']));
        let telling = |w: &&str| {
            w.chars().any(|c| c.is_ascii_digit() || "_/=<>~*@".contains(c))
                || w.chars().skip(1).any(|c| c.is_ascii_uppercase())
                || (w.len() > 1 && w.starts_with('-'))
        };
        let singular = |w: &str| {
            let plural = w.strip_suffix('s').filter(|w| w.chars().all(|c| c.is_ascii_uppercase()));
            plural.unwrap_or(w).to_owned()
        };
        words.filter(|w| !w.is_empty()).filter(telling).map(singular).collect()
    }

    #[test]
    fn numbers_names_and_placeholders_are_those_of_the_english_text() {
        assert_eq!(names("Wait 5 min, see /etc/hosts (ACLs, StrictModes)."), ["5", "/etc/hosts", "ACL", "StrictModes"]);
        let mut lost = Vec::new();
        for (place, english, japanese) in translation().pairs {
            lost.extend(
                names(&english)
                    .into_iter()
                    .filter(|n| !japanese.contains(n))
                    .map(|n| format!("{place}: {n}: {japanese}")),
            );
        }
        assert!(lost.is_empty(), "{}", lost.join("\n"));
    }

    #[test]
    fn words_are_japanese_and_written_alike() {
        let kana = |c: char| ('\u{3040}'..='\u{30ff}').contains(&c) || ('\u{4e00}'..='\u{9fff}').contains(&c);
        for (place, english, japanese) in translation().pairs {
            let name = place.contains(", title") || place == "comment";
            assert!(name || japanese.chars().any(kana), "{place}: {japanese}");
            for wrong in ["，", "．", "（", "）", "：", "？", "！", "　", ",、", "。。"] {
                assert!(!japanese.contains(wrong), "{place}: {wrong} in {japanese}");
            }
            let sentences = place.ends_with("explain") || place.ends_with("proves") || place.ends_with("why");
            assert!(!sentences || japanese.ends_with('。'), "{place}: {japanese}");
            assert_eq!(english.ends_with('?'), japanese.ends_with('?'), "{place}: {japanese}");
        }
    }

    #[test]
    fn of_a_command_only_the_comment_changes() {
        assert_eq!(comment("ls -l F      # with the full path"), Some(("ls -l F      # ", "with the full path")));
        assert_eq!(comment("# best: x"), Some(("# ", "best: x")));
        assert_eq!(comment("grep -v '^#' /etc/fstab"), None);
        let (english, japanese) = (Catalogue::load().expect("the catalogue"), translation().catalogue);
        let command = |line: &str| comment(line).map_or(line.to_owned(), |(command, _)| command.to_owned());
        for (id, cause) in &english.causes {
            let both = cause.by_hand.iter().zip(&japanese.causes[id].by_hand);
            both.for_each(|(a, b)| assert_eq!(command(a), command(b), "{id}"));
        }
        for (id, fix) in &english.fixes {
            let both = fix.by_hand.lines().zip(japanese.fixes[id].by_hand.lines());
            both.for_each(|(a, b)| assert_eq!(command(a), command(b), "{id}"));
        }
    }
}
