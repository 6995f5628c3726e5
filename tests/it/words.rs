//! Words in every language: no phrase without translation, no translation without phrase, the same parts in both.

use port22::core::probe::ProbeId;
use port22::core::words::{self, Lang};
use port22::tui::keys::TABLE;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A call of `tr`, `tr_with` or `phrase` with a literal: where, the phrase, and the names of the parts given.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    place: String,
    phrase: String,
    parts: Option<BTreeSet<String>>,
}

/// Reads a string literal at the start of a text; gives its value and what follows.
fn literal(text: &str) -> Option<(String, &str)> {
    let mut chars = text.strip_prefix('"')?.char_indices();
    let mut out = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[at + 2..])),
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                // A line that goes on: the line's end and the next one's indent are not part of it.
                '\n' => {
                    let rest = &text[at + 3..];
                    let skipped = rest.len() - rest.trim_start().len();
                    (0..rest[..skipped].chars().count()).for_each(|_| _ = chars.next());
                }
                other => out.push(other),
            },
            c => out.push(c),
        }
    }
    None
}

/// The text up to the parenthesis that closes the one before it; literals may hold parentheses.
fn arguments(text: &str) -> &str {
    let (mut depth, mut at) = (0, 0);
    while let Some(c) = text[at..].chars().next() {
        match c {
            '"' => match literal(&text[at..]) {
                Some((_, rest)) => {
                    at = text.len() - rest.len();
                    continue;
                }
                None => return text,
            },
            '(' => depth += 1,
            ')' if depth == 0 => return &text[..at],
            ')' => depth -= 1,
            _ => {}
        }
        at += c.len_utf8();
    }
    text
}

/// Every call with a literal in a source text, its tests and comments left out.
fn calls(place: &str, text: &str) -> Vec<Call> {
    let program = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let plain: Vec<&str> = program.lines().map(|l| if l.trim_start().starts_with("//") { "" } else { l }).collect();
    let plain = plain.join("\n");
    let mut out = Vec::new();
    for (name, with_parts) in [("tr", false), ("tr_with", true), ("phrase", false)] {
        for (at, _) in plain.match_indices(&format!("{name}(")) {
            let before = plain[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let inside = plain[at + name.len() + 1..].trim_start();
            let Some((phrase, rest)) = literal(inside) else { continue };
            let given = with_parts.then(|| {
                let given = arguments(rest);
                given.split('(').skip(1).filter_map(|p| literal(p.trim_start())).map(|(name, _)| name).collect()
            });
            let line = plain[..at].lines().count();
            out.push(Call { place: format!("{place}:{line}"), phrase, parts: given });
        }
    }
    out
}

fn sources(below: &Path, into: &mut Vec<Call>) {
    for path in fs::read_dir(below).expect("a directory").map(|e| e.expect("an entry").path()) {
        if path.is_dir() {
            if !path.ends_with("tests") {
                sources(&path, into);
            }
        } else if path.extension().is_some_and(|e| e == "rs")
            && !path.ends_with("tests.rs")
            && !path.ends_with("core/words.rs")
        {
            into.extend(calls(&path.display().to_string(), &fs::read_to_string(&path).expect("a source file")));
        }
    }
}

/// All phrases: those of calls, those of the key table with its headings (tests run in English), and titles
/// of probes.
fn phrases() -> Vec<Call> {
    let mut all = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    for b in TABLE {
        for words in [b.label, b.help, b.context.title()].into_iter().filter(|w| !w.is_empty()) {
            all.push(Call { place: format!("key table: {}", b.keys), phrase: words.to_owned(), parts: None });
        }
    }
    for probe in ProbeId::ALL {
        all.push(Call { place: "probe titles".to_owned(), phrase: probe.title().to_owned(), parts: None });
    }
    all
}

#[test]
fn calls_are_found_as_they_are_written() {
    let text = "// tr(\"comment\")\nlet a = tr(\"a \\\"b\\\" (c)\");\nstr(\"no\"); tr(label);\ntr_with(\n    \"{n} of \\\n     {m}\\n\",\n    &[(\"n\", &f(\"x)\")), (\"m\", &2)],\n) + phrase(\"p\")\n#[cfg(test)]\nmod tests { tr(\"t\") }";
    let found = calls("x", text);
    let phrases: Vec<&str> = found.iter().map(|c| c.phrase.as_str()).collect();
    assert_eq!(phrases, ["a \"b\" (c)", "{n} of {m}\n", "p"]);
    assert_eq!(found[0].place, "x:2");
    let names = found[1].parts.as_ref().expect("parts");
    assert!(names.contains("n") && names.contains("m"), "{names:?}");
}

#[test]
fn every_phrase_is_translated_and_every_translation_is_used() {
    let translated = words::japanese();
    let all = phrases();
    assert!(all.len() > 100, "only {} phrases are found: does this test still read the sources?", all.len());
    let mut missing: BTreeMap<&str, &str> = BTreeMap::new();
    for call in all.iter().filter(|c| !translated.contains_key(&c.phrase)) {
        missing.insert(&call.phrase, &call.place);
    }
    let lines: Vec<String> = missing.iter().map(|(phrase, place)| format!("{phrase:?} = \"\"   # {place}")).collect();
    assert!(missing.is_empty(), "put these into assets/ja/screens.toml:\n{}", lines.join("\n"));
    let known: BTreeSet<&str> = all.iter().map(|c| c.phrase.as_str()).collect();
    let unused: Vec<&String> = translated.keys().filter(|k| !known.contains(k.as_str())).collect();
    assert!(unused.is_empty(), "no phrase of the sources: {unused:#?}");
}

#[test]
fn parts_are_the_same_in_call_and_languages() {
    for call in phrases() {
        let english = words::parts(&call.phrase);
        if let Some(given) = &call.parts {
            let missing: Vec<&&str> = english.iter().filter(|name| !given.contains(**name)).collect();
            assert!(missing.is_empty(), "{}: {:?} is given no {missing:?}", call.place, call.phrase);
        } else {
            assert!(english.is_empty(), "{}: {:?} has parts: tr_with", call.place, call.phrase);
        }
        let Some(japanese) = words::japanese().get(&call.phrase) else { continue };
        let mut names = words::parts(japanese);
        names.dedup();
        let mut once = english.clone();
        once.dedup();
        assert_eq!(names, once, "{}: {japanese}", call.place);
    }
}

/// A translation has Japanese letters, unless it is the same as the English (but for capitals) or made of parts alone.
#[test]
fn translations_are_japanese() {
    let japanese = |text: &str| {
        text.chars().any(|c| ('\u{3040}'..='\u{30ff}').contains(&c) || ('\u{4e00}'..='\u{9fff}').contains(&c))
    };
    let plain: Vec<_> = words::japanese().iter().filter(|(_, ja)| !japanese(ja)).collect();
    for (english, ja) in plain {
        assert!(english.eq_ignore_ascii_case(ja) || english.contains('{'), "{english:?} = {ja:?}");
    }
    assert_eq!(words::lang(), Lang::En, "tests run in English unless they say otherwise");
}

/// A template of a rule's sentence is a literal of the sources, whole or behind what is put before it: where a rule says
/// it in other words now, its translation would never be shown.
#[test]
fn templates_of_sentences_are_those_of_the_sources() {
    let mut texts = BTreeSet::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    literals(&source, &mut texts);
    assert!(texts.len() > 5000, "only {} literals are found", texts.len());
    let all = port22::core::told::load().expect("assets/ja/told.toml");
    let known = |text: &str| texts.contains(text);
    let lost: Vec<&String> = all
        .keys()
        .filter(|t| !known(t) && !t.strip_prefix("{}").is_some_and(known) && !known(&format!("{t}{{}}")))
        .collect();
    assert!(lost.is_empty(), "no rule says: {lost:#?}");
}

/// Every literal of the program, with `{}` for what is put in.
fn literals(below: &Path, into: &mut BTreeSet<String>) {
    for path in fs::read_dir(below).expect("a directory").map(|e| e.expect("an entry").path()) {
        if path.is_dir() {
            literals(&path, into);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        for (at, _) in text.match_indices('"') {
            let Some((found, _)) = literal(&text[at..]).filter(|(found, _)| found.len() < 400) else { continue };
            let mut plain = String::new();
            let mut rest = found.as_str();
            while let Some((before, after)) = rest.split_once('{') {
                plain.push_str(before);
                plain.push_str("{}");
                rest = after.split_once('}').map_or("", |(_, tail)| tail);
            }
            into.insert(plain + rest);
        }
    }
}
