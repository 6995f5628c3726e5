//! What a file says: each table is read, its ids are looked up, and what is right is collected. Trees are put together in
//! [`super::trees`], when all files are read.

use super::problem::{Place, Problem, quoted};
use super::reader::{
    COMMAND, ENDING, NAME, PARAGRAPH, Reader, Refused, SENTENCE, SYMPTOM, TITLE, Text, is_id, key_at, near,
};
use super::{CauseWords, CheckWords, Source, SymptomWords, Team};
use crate::core::ami::ImageUser;
use crate::core::catalogue::Catalogue;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::de::DeTable;

/// Tables of a file.
const TABLES: [&str; 9] = ["cause", "check", "fix", "symptom", "word", "link", "tree", "insert", "user"];
/// Most next steps, commands by hand, and the like.
const STEPS: usize = 8;

/// A node with its places.
#[derive(Debug)]
pub(super) struct PlacedNode {
    pub check: Text,
    /// Where it goes on when it passes, fails, and is not known.
    pub to: [Text; 3],
}

/// A tree with its places.
#[derive(Debug)]
pub(super) struct PlacedTree {
    pub symptoms: Vec<Text>,
    pub nodes: Vec<PlacedNode>,
    pub place: Place,
    /// A way of it could not be read: how its nodes hang together cannot be told.
    pub broken: bool,
    /// A node has no name: what leads nowhere may lead to it.
    pub lost: bool,
}

/// A node to put into trees, with its places.
#[derive(Debug)]
pub(super) struct PlacedInsert {
    pub symptoms: Vec<Text>,
    pub check: Text,
    pub before: Option<Text>,
    pub to: [Option<Text>; 3],
}

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub team: Team,
    pub problems: Vec<Problem>,
    /// A file could not be read to its end.
    pub torn: bool,
    /// Where each id stands first, by kind.
    seen: BTreeMap<(&'static str, String), Place>,
    pub trees: Vec<PlacedTree>,
    pub inserts: Vec<PlacedInsert>,
    /// The team's own questions and symptoms.
    pub questions: BTreeMap<String, Place>,
    pub symptoms: BTreeMap<String, Place>,
}

/// Reads one file.
pub(super) fn file(source: &Source, base: &Catalogue, all: &mut Collected) {
    let text = match Reader::text_of(source) {
        Ok(text) => text,
        Err(problem) => {
            all.problems.push(*problem);
            all.torn = true;
            return;
        }
    };
    let mut reader = Reader::new(&source.name, text);
    let document = reader.document();
    let table = document.get_ref();
    reader.keys(table, "a file", &TABLES, &[]);
    for (key, value) in table {
        let name: &str = key.get_ref();
        match name {
            "tree" | "insert" | "user" => {
                for (at, entry) in reader.tables(value, name) {
                    match name {
                        "tree" => tree(&mut reader, &at, entry, all),
                        "insert" => insert(&mut reader, &at, entry, all),
                        _ => user(&mut reader, &at, entry, all),
                    }
                }
            }
            "link" => {
                if let Some(kinds) = reader.table(value, "link") {
                    links(&mut reader, kinds, base, all);
                }
            }
            _ if TABLES.contains(&name) => {
                let Some(entries) = reader.table(value, &format!("{name}.ID")) else { continue };
                for (id, words) in entries {
                    let here = format!("{name}.{}", id.get_ref());
                    let Some(words) = reader.table(words, &here) else { continue };
                    let (id, at) = (id.get_ref().to_string(), id.span());
                    match name {
                        "cause" => cause(&mut reader, &at, &id, words, base, all),
                        "check" => check(&mut reader, &at, &id, words, base, all),
                        "fix" => fix(&mut reader, &at, &id, words, base, all),
                        "symptom" => symptom(&mut reader, &at, &id, words, base, all),
                        _ => word(&mut reader, &at, &id, words, base, all),
                    }
                }
            }
            _ => {}
        }
    }
    all.torn |= reader.torn;
    all.problems.append(&mut reader.problems);
}

fn values(texts: Option<Vec<Text>>) -> Vec<String> {
    texts.unwrap_or_default().into_iter().map(|t| t.value).collect()
}

fn value(text: Option<Text>) -> Option<String> {
    text.map(|t| t.value)
}

/// Notes an id that stands somewhere already; whether it is the first.
fn first(reader: &mut Reader<'_>, at: &Range<usize>, kind: &'static str, id: &str, all: &mut Collected) -> bool {
    let place = reader.place(at.start);
    match all.seen.get(&(kind, id.to_owned())) {
        Some(before) => {
            let what = format!("{kind} '{}' is there twice: first in {}:{}", quoted(id), before.file, before.line);
            reader.note(at, what, "put both into one");
            false
        }
        None => {
            all.seen.insert((kind, id.to_owned()), place);
            true
        }
    }
}

/// Notes an id that nobody knows.
fn unknown<'a>(
    reader: &mut Reader<'_>,
    at: &Range<usize>,
    kind: &str,
    id: &str,
    known: impl Iterator<Item = &'a String>,
) {
    let place = reader.place(at.start);
    let what = format!("there is no {kind} '{}'", quoted(id));
    let known = known.map(String::as_str);
    reader.problems.push(Problem::unknown(&place, what, id, known, "see port22 explain for all ids"));
}

fn empty(reader: &mut Reader<'_>, at: &Range<usize>, words: &DeTable<'_>, here: &str) {
    if words.is_empty() {
        reader.missing(at, format!("{here} says nothing"), "write something under it, or take it out");
    }
}

const CAUSE_KEYS: [&str; 5] = ["title", "explain", "by_hand", "next", "first"];
const CAUSE_REFUSED: &[Refused] = &[
    ("proven_by", "what proves a cause is decided by port22"),
    ("layer", "where a cause stands is decided by port22"),
    ("check", "which check shows a cause is decided by port22"),
    ("fixes", "which fixes exist is decided by port22; 'first' chooses their order"),
    ("link", "links stand under [link.cause]"),
    ("runbook", "links stand under [link.cause]"),
];

fn cause(r: &mut Reader<'_>, at: &Range<usize>, id: &str, words: &DeTable<'_>, base: &Catalogue, all: &mut Collected) {
    let here = format!("cause '{}'", quoted(id));
    r.keys(words, &here, &CAUSE_KEYS, CAUSE_REFUSED);
    let found = CauseWords {
        title: value(r.text(words, "title", TITLE)),
        explain: value(r.text(words, "explain", PARAGRAPH)),
        by_hand: r.texts(words, "by_hand", SENTENCE, STEPS).map(|t| values(Some(t))),
        next: values(r.texts(words, "next", SENTENCE, STEPS)),
        first: match base.causes.get(id) {
            Some(known) => order(r, words, &known.fixes, id),
            None => Vec::new(),
        },
    };
    if !base.causes.contains_key(id) {
        return unknown(r, at, "cause", id, base.causes.keys());
    }
    empty(r, at, words, &here);
    if first(r, at, "cause", id, all) {
        all.team.causes.insert(id.to_owned(), found);
    }
}

/// The fixes that stand first; only those that the cause has.
fn order(r: &mut Reader<'_>, words: &DeTable<'_>, fixes: &[String], id: &str) -> Vec<String> {
    let named = r.texts(words, "first", NAME, STEPS).unwrap_or_default();
    for fix in named.iter().filter(|f| !fixes.contains(&f.value)) {
        let what = format!("'{}' is no fix of cause {id}, and a team gives it no other", quoted(&fix.value));
        let known = fixes.iter().map(String::as_str);
        r.problems.push(Problem::unknown(&fix.place, what, &fix.value, known, "take it out"));
    }
    named.into_iter().map(|t| t.value).collect()
}

const CHECK_KEYS: [&str; 6] = ["title", "why", "rules_out", "by_hand", "next", "question"];
const CHECK_REFUSED: &[Refused] = &[
    ("no_means", "an answer to a question of your team chooses the way through the tree; it raises no cause"),
    ("link", "links stand under [link.check]"),
    ("runbook", "links stand under [link.check]"),
];

fn check(r: &mut Reader<'_>, at: &Range<usize>, id: &str, words: &DeTable<'_>, base: &Catalogue, all: &mut Collected) {
    let here = format!("check '{}'", quoted(id));
    r.keys(words, &here, &CHECK_KEYS, CHECK_REFUSED);
    let own = !base.checks.contains_key(id);
    let found = CheckWords {
        title: value(r.text(words, "title", TITLE)),
        why: value(r.text(words, "why", PARAGRAPH)),
        rules_out: value(r.text(words, "rules_out", PARAGRAPH)),
        by_hand: value(r.text(words, "by_hand", COMMAND)),
        question: value(r.text(words, "question", SENTENCE)),
        next: values(r.texts(words, "next", SENTENCE, STEPS)),
    };
    empty(r, at, words, &here);
    if own {
        if !words.contains_key("question") {
            let place = r.place(at.start);
            let what = format!("there is no check '{}', and a check of your own has a question", quoted(id));
            let near = near(id, base.checks.keys()).map(str::to_owned);
            let next = match &near {
                Some(near) => format!("write {near}, or add question = \"…\", which the user answers with yes or no"),
                None => "add question = \"…\", which the user answers with yes or no".to_owned(),
            };
            r.problems.push(Problem { nearest: near, ..Problem::new(&place, what, next) });
            return;
        }
        for key in ["title", "why"].into_iter().filter(|k| !words.contains_key(*k)) {
            r.missing(at, format!("{here} has no '{key}'"), format!("add a line {key} = \"…\""));
        }
        if !is_id(id, '-') {
            r.note(at, format!("'{}' is no id of a check", quoted(id)), "use lower-case letters, digits and -");
        }
        let place = r.place(at.start);
        all.questions.entry(id.to_owned()).or_insert(place);
    } else if words.contains_key("question") {
        let at = key_at(words, "question");
        r.note(&at, format!("{here} is answered by port22: only a check of your own has a question"), "take it out");
    }
    if first(r, at, "check", id, all) {
        all.team.checks.insert(id.to_owned(), found);
    }
}

const SAYS_WHAT_IT_DOES: &str = "the words of a fix say what it will do to your account, so they are port22's own";
const FIX_REFUSED: &[Refused] = &[
    ("title", SAYS_WHAT_IT_DOES),
    ("explain", SAYS_WHAT_IT_DOES),
    ("by_hand", SAYS_WHAT_IT_DOES),
    ("teaching", SAYS_WHAT_IT_DOES),
    ("risk", SAYS_WHAT_IT_DOES),
    ("downtime", SAYS_WHAT_IT_DOES),
    ("reversible", SAYS_WHAT_IT_DOES),
    ("permissions", SAYS_WHAT_IT_DOES),
    ("command", "what a fix runs is decided by port22"),
    ("commands", "what a fix runs is decided by port22"),
    ("steps", "what a fix runs is decided by port22"),
    ("link", "links stand under [link.fix]"),
    ("runbook", "links stand under [link.fix]"),
];

fn fix(r: &mut Reader<'_>, at: &Range<usize>, id: &str, words: &DeTable<'_>, base: &Catalogue, all: &mut Collected) {
    let here = format!("fix '{}'", quoted(id));
    r.keys(words, &here, &["next"], FIX_REFUSED);
    let next = values(r.texts(words, "next", SENTENCE, STEPS));
    if !base.fixes.contains_key(id) {
        return unknown(r, at, "fix", id, base.fixes.keys());
    }
    empty(r, at, words, &here);
    if first(r, at, "fix", id, all) {
        all.team.fixes.insert(id.to_owned(), next);
    }
}

fn symptom(
    r: &mut Reader<'_>,
    at: &Range<usize>,
    id: &str,
    words: &DeTable<'_>,
    base: &Catalogue,
    all: &mut Collected,
) {
    let here = format!("symptom '{}'", quoted(id));
    let own = !base.symptoms.contains_key(id);
    let proves: &[Refused] = &[("proves", "what a message proves is decided by port22")];
    r.keys(
        words,
        &here,
        if own { &["title", "proves", "order"] } else { &["title", "order"] },
        if own { &[] } else { proves },
    );
    let found = SymptomWords {
        title: value(r.text(words, "title", SYMPTOM)),
        proves: value(r.text(words, "proves", PARAGRAPH)),
        order: r.number(words, "order", 999),
    };
    empty(r, at, words, &here);
    if own {
        // Without a title it is a slip of the pen rather than a symptom of the team.
        if !words.contains_key("title") {
            return unknown(r, at, "symptom", id, base.symptoms.keys());
        }
        if !words.contains_key("proves") {
            r.missing(
                at,
                format!("{here} has no 'proves'"),
                "add a line proves = \"…\": what it tells about the trouble",
            );
        }
        if !is_id(id, '_') {
            r.note(at, format!("'{}' is no id of a symptom", quoted(id)), "use lower-case letters, digits and _");
        }
        let place = r.place(at.start);
        all.symptoms.entry(id.to_owned()).or_insert(place);
    }
    if first(r, at, "symptom", id, all) {
        all.team.symptoms.insert(id.to_owned(), found);
    }
}

fn word(r: &mut Reader<'_>, at: &Range<usize>, id: &str, words: &DeTable<'_>, base: &Catalogue, all: &mut Collected) {
    let here = format!("word '{}'", quoted(id));
    r.keys(words, &here, &["title", "means"], &[]);
    let title = value(r.text(words, "title", TITLE));
    let means = value(r.text(words, "means", ENDING));
    if !base.glossary.contains_key(id) {
        for key in ["title", "means"].into_iter().filter(|k| !words.contains_key(*k)) {
            r.missing(at, format!("{here} is new and has no '{key}'"), format!("add a line {key} = \"…\""));
        }
        if !is_id(id, '-') {
            r.note(at, format!("'{}' is no id of a word", quoted(id)), "use lower-case letters, digits and -");
        }
    }
    if first(r, at, "word", id, all) {
        all.team.words.insert(id.to_owned(), (title, means));
    }
}

fn links(r: &mut Reader<'_>, kinds: &DeTable<'_>, base: &Catalogue, all: &mut Collected) {
    r.keys(kinds, "link", &["cause", "check", "fix"], &[]);
    for kind in ["cause", "check", "fix"] {
        let Some(table) = kinds.get(kind).and_then(|v| r.table(v, &format!("link.{kind}"))) else { continue };
        for (id, value) in table {
            let (name, at) = (id.get_ref().to_string(), id.span());
            let found = r.link(value, &name);
            let known = match kind {
                "cause" => base.causes.contains_key(&name),
                "fix" => base.fixes.contains_key(&name),
                // A question of the team may stand in a file that is not read yet.
                _ => true,
            };
            if !known {
                let ids: Vec<&String> =
                    if kind == "cause" { base.causes.keys().collect() } else { base.fixes.keys().collect() };
                unknown(r, &at, kind, &name, ids.into_iter());
                continue;
            }
            let twice = match kind {
                "cause" => "link of cause",
                "fix" => "link of fix",
                _ => "link of check",
            };
            if first(r, &at, twice, &name, all)
                && let Some(link) = found
            {
                all.team.links.insert((kind, name), link.value);
            }
        }
    }
}

/// Links and words of checks that are neither port22's nor the team's. Asked for when all files are read.
pub(super) fn unknown_checks(base: &Catalogue, all: &mut Collected) {
    let named = all.seen.iter().filter(|((kind, _), _)| *kind == "link of check");
    let mut found = Vec::new();
    for ((_, id), place) in named {
        if !base.checks.contains_key(id) && !all.questions.contains_key(id) {
            let known = base.checks.keys().chain(all.questions.keys()).map(String::as_str);
            let what = format!("there is no check '{}'", quoted(id));
            found.push(Problem::unknown(place, what, id, known, "see port22 explain for all ids"));
        }
    }
    all.problems.extend(found);
}

fn user(r: &mut Reader<'_>, at: &Range<usize>, entry: &DeTable<'_>, all: &mut Collected) {
    let here = "user";
    r.keys(entry, here, &["name", "owner", "ami", "user", "users", "title"], &[]);
    let name = r.text(entry, "name", NAME);
    let owner = r.text(entry, "owner", NAME);
    let ami = r.text(entry, "ami", NAME);
    let title = value(r.text(entry, "title", SYMPTOM));
    if !["name", "owner", "ami"].iter().any(|k| entry.contains_key(*k)) {
        r.missing(
            at,
            "user does not say of which image",
            "add name = \"pattern-*\", owner = \"account\" or ami = \"ami-…\"",
        );
    }
    if let Some(owner) = owner.as_ref().filter(|o| o.value.len() != 12 || !o.value.bytes().all(|b| b.is_ascii_digit()))
    {
        let what = format!("'{}' is no account", quoted(&owner.value));
        r.problems.push(Problem::new(&owner.place, what, "write its 12 digits, in quotes"));
    }
    let hex =
        |id: &str| id.strip_prefix("ami-").is_some_and(|h| h.len() >= 8 && h.bytes().all(|b| b.is_ascii_hexdigit()));
    if let Some(ami) = ami.as_ref().filter(|a| !hex(&a.value)) {
        let what = format!("'{}' is no image id", quoted(&ami.value));
        r.problems.push(Problem::new(&ami.place, what, "write ami- and its hexadecimal digits"));
    }
    if let Some(name) = name.as_ref().filter(|n| n.value.chars().all(|c| "*? ".contains(c))) {
        let what = "this name fits every image";
        r.problems.push(Problem::new(&name.place, what, "write the part that all of the images' names share"));
    }
    let mut users: Vec<Text> = r.text(entry, "user", NAME).into_iter().collect();
    users.extend(r.texts(entry, "users", NAME, STEPS).unwrap_or_default());
    if entry.contains_key("user") == entry.contains_key("users") {
        r.missing(at, "user says who logs in either by 'user' or by 'users'", "add user = \"NAME\"");
    }
    for login in users.iter().filter(|u| !is_login(&u.value)) {
        let what = format!("'{}' is no login name", quoted(&login.value));
        r.problems.push(Problem::new(&login.place, what, "use letters, digits, . _ and -, beginning with a letter"));
    }
    let signs: Vec<&str> = [&name, &owner, &ami].into_iter().flatten().map(|t| t.value.as_str()).collect();
    let place = r.place(at.start);
    if !signs.is_empty() && first(r, at, "user for an image", &signs.join(" "), all) && !users.is_empty() {
        all.team.users.push(ImageUser {
            name: value(name),
            owner: value(owner),
            ami: value(ami),
            users: values(Some(users)),
            title,
            place: format!("{}:{}", place.file, place.line),
        });
    }
}

/// Whether a name may be a login: what `useradd` takes, and what Windows and directories have. Never an option of ssh.
fn is_login(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

const EDGES: [&str; 3] = ["pass", "fail", "unknown"];

/// Where a node goes on; an `end:` text has to fit.
fn edge(r: &mut Reader<'_>, table: &DeTable<'_>, key: &str) -> Option<Text> {
    let found = r.text(table, key, ENDING)?;
    if found.value.strip_prefix("end:").is_some_and(|text| text.trim().is_empty()) {
        r.problems.push(Problem::new(&found.place, "this end says nothing", "write what to do after end:"));
        return None;
    }
    Some(found)
}

fn tree(r: &mut Reader<'_>, at: &Range<usize>, entry: &DeTable<'_>, all: &mut Collected) {
    r.keys(entry, "tree", &["symptoms", "nodes"], &[]);
    for key in ["symptoms", "nodes"].into_iter().filter(|k| !entry.contains_key(*k)) {
        r.missing(at, format!("tree has no '{key}'"), format!("add a line {key} = […]"));
    }
    let symptoms = r.texts(entry, "symptoms", NAME, 64).unwrap_or_default();
    let rows = entry.get("nodes").map(|v| r.tables(v, "nodes")).unwrap_or_default();
    if rows.is_empty() && entry.contains_key("nodes") {
        r.missing(&key_at(entry, "nodes"), "tree has no nodes", "add { check = …, pass = …, fail = …, unknown = … }");
    }
    let mut nodes = Vec::new();
    let (mut broken, mut lost) = (false, false);
    for (at, row) in rows {
        r.keys(row, "node", &["check", "pass", "fail", "unknown"], &[]);
        let check = r.need(row, &at, "node", "check", NAME);
        let to = EDGES.map(|key| {
            if !row.contains_key(key) {
                r.missing(
                    &at,
                    format!("node has no '{key}'"),
                    format!("add {key} = a check of this tree, cause:ID, door:ID or end:TEXT"),
                );
            }
            edge(r, row, key)
        });
        broken |= to.iter().any(Option::is_none);
        let hole = || Text {
            value: "end:…".to_owned(),
            place: check.as_ref().map_or_else(Place::default, |c| c.place.clone()),
        };
        let to = to.map(|way| way.unwrap_or_else(hole));
        match check {
            Some(check) => nodes.push(PlacedNode { check, to }),
            None => lost = true,
        }
    }
    for symptom in &symptoms {
        let place = &symptom.place;
        match all.seen.get(&("tree of symptom", symptom.value.clone())) {
            Some(before) => {
                let what =
                    format!("symptom '{}' has a tree already, in {}:{}", symptom.value, before.file, before.line);
                r.problems.push(Problem::new(place, what, "keep one of the trees"));
            }
            None => {
                all.seen.insert(("tree of symptom", symptom.value.clone()), place.clone());
            }
        }
    }
    let place = r.place(at.start);
    all.trees.push(PlacedTree { symptoms, nodes, place, broken: broken || lost, lost });
}

fn insert(r: &mut Reader<'_>, at: &Range<usize>, entry: &DeTable<'_>, all: &mut Collected) {
    r.keys(entry, "insert", &["symptoms", "check", "before", "pass", "fail", "unknown"], &[]);
    if !entry.contains_key("symptoms") {
        r.missing(at, "insert has no 'symptoms'", "add symptoms = [\"timeout\"], or [\"*\"] for all trees");
    }
    let symptoms = r.texts(entry, "symptoms", NAME, 64).unwrap_or_default();
    let check = r.need(entry, at, "insert", "check", NAME);
    let before = r.text(entry, "before", NAME);
    let to = EDGES.map(|key| edge(r, entry, key));
    if let Some(check) = check {
        all.inserts.push(PlacedInsert { symptoms, check, before, to });
    }
}
