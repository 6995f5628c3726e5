//! The catalogue: words, order and links from `assets/`, checked when loaded.
//!
//! It names checks, causes and fixes; it contains no conditions. Judgement is in `rules`.
//! The words of other languages are in [`japanese`]; what a team lays over both is in [`crate::core::team`].

pub mod japanese;

use crate::core::ami::ImageUser;
use crate::core::plan::Risk;
use crate::core::words::{self, Lang};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

const CAUSES: &str = include_str!("../../assets/causes.toml");
const CHECKS: &str = include_str!("../../assets/checks.toml");
const FIXES: &str = include_str!("../../assets/fixes.toml");
const SYMPTOMS: &str = include_str!("../../assets/symptoms.toml");
const TREES: &str = include_str!("../../assets/trees.toml");
const GLOSSARY: &str = include_str!("../../assets/glossary.toml");

/// What a team adds to a cause, a check or a fix in files of its own. Empty in the embedded catalogue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Added {
    /// What to do next, one step a line; shown, never run.
    pub next: Vec<String>,
    /// The team's page about it; `https`.
    pub runbook: Option<String>,
}

/// Words about a root cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CauseWords {
    /// `local`, `client`, `vpc`, `instance`, `os`, `aws`, `windows`.
    pub layer: String,
    /// One line.
    pub title: String,
    /// Two or three sentences: what is wrong and why it stops the login.
    pub explain: String,
    /// How it is proven.
    pub proven_by: String,
    /// Fix ids, least disruptive first.
    #[serde(default)]
    pub fixes: Vec<String>,
    /// What to do by hand, one step a line; shell or aws CLI where it can be.
    #[serde(default)]
    pub by_hand: Vec<String>,
    /// Check that fails when this is the cause; a walk that ends elsewhere is led there.
    #[serde(default)]
    pub check: Option<String>,
    /// Page to read.
    #[serde(default)]
    pub link: Option<String>,
    /// What the team adds.
    #[serde(skip)]
    pub added: Added,
}

/// Words about a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckWords {
    /// One line, as a statement that is true when the check passes.
    pub title: String,
    /// Why it matters.
    pub why: String,
    /// What a pass rules out.
    pub rules_out: String,
    /// How to do it by hand.
    pub by_hand: String,
    /// Where it is seen in the AWS console: what is clicked, one after the other.
    #[serde(default)]
    pub console: Option<String>,
    /// Question to the user when no probe can answer, to be answered with yes or no; yes is a pass.
    #[serde(default)]
    pub question: Option<String>,
    /// Cause that a "no" makes likely.
    #[serde(default)]
    pub no_means: Option<String>,
    /// Page to read.
    #[serde(default)]
    pub link: Option<String>,
    /// What the team adds.
    #[serde(skip)]
    pub added: Added,
}

/// Words about a fix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixWords {
    /// One line, beginning with a verb.
    pub title: String,
    /// What it does and what it touches.
    pub explain: String,
    /// Risk.
    pub risk: Risk,
    /// Whether logins or services are interrupted.
    pub downtime: bool,
    /// Whether it can be taken back.
    pub reversible: bool,
    /// How to do it by hand.
    pub by_hand: String,
    /// IAM actions it needs.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// What is often advised instead, and why it is not done.
    #[serde(default)]
    pub teaching: Option<String>,
    /// What the team adds.
    #[serde(skip)]
    pub added: Added,
}

/// Words about a symptom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SymptomWords {
    /// `ssh` or `console`.
    pub kind: String,
    /// As a person would say it.
    pub title: String,
    /// What the message proves.
    pub proves: String,
    /// Place in the list of the start screen; 0 hides it there.
    #[serde(default)]
    pub order: u32,
}

/// One node of a decision tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Check that is asked.
    pub check: String,
    /// Where to go on when it passes: a check of this tree, `cause:ID`, `door:ID` or `end:TEXT`.
    pub pass: String,
    /// Where to go on when it fails.
    pub fail: String,
    /// Where to go on when the facts do not tell (also when it is skipped or does not apply).
    pub unknown: String,
}

/// The decision tree of a symptom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    /// Symptom ids that it serves.
    pub symptoms: Vec<String>,
    /// Nodes; the first is the start.
    pub nodes: Vec<Node>,
}

/// A word of the glossary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Word {
    /// As written.
    pub title: String,
    /// What it means.
    pub means: String,
}

/// All assets.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// By cause id.
    pub causes: BTreeMap<String, CauseWords>,
    /// By check id.
    pub checks: BTreeMap<String, CheckWords>,
    /// By fix id.
    pub fixes: BTreeMap<String, FixWords>,
    /// By symptom id.
    pub symptoms: BTreeMap<String, SymptomWords>,
    /// Trees.
    pub trees: Vec<Tree>,
    /// By glossary id.
    pub glossary: BTreeMap<String, Word>,
    /// Login users of images that the team names, the first that fits counts. Empty in the embedded catalogue.
    pub users: Vec<ImageUser>,
    /// Checks that are questions of the team: only the user can answer them. Empty in the embedded catalogue.
    pub questions: Vec<String>,
}

#[derive(Deserialize)]
struct TreeFile {
    tree: Vec<Tree>,
}

/// The catalogue in the language of the words: the embedded one, with the team's words where the user has such. Tests
/// prove that the embedded one loads, that every link in it holds, and that every text is translated.
pub fn get() -> &'static Catalogue {
    of(words::lang())
}

/// The catalogue in a language: the same ids, links and commands, other words.
pub fn of(lang: Lang) -> &'static Catalogue {
    let laid = HERE.get().or_else(|| TEAM.get());
    laid.map_or_else(|| embedded(lang), |laid| laid.of(lang))
}

/// The embedded catalogue in a language, without anything of a team.
pub fn embedded(lang: Lang) -> &'static Catalogue {
    static ENGLISH: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::load().unwrap_or_default());
    static JAPANESE: LazyLock<Catalogue> =
        LazyLock::new(|| japanese::translate(ENGLISH.clone()).map_or_else(|_| ENGLISH.clone(), |t| t.catalogue));
    match lang {
        Lang::En => &ENGLISH,
        Lang::Ja => &JAPANESE,
    }
}

/// A catalogue in every language.
#[derive(Debug)]
pub struct Languages {
    english: Catalogue,
    japanese: Catalogue,
}

impl Languages {
    /// The embedded catalogue, changed in every language alike.
    pub fn laid(change: impl Fn(Catalogue) -> Catalogue) -> Self {
        Self { english: change(embedded(Lang::En).clone()), japanese: change(embedded(Lang::Ja).clone()) }
    }

    fn of(&self, lang: Lang) -> &Catalogue {
        match lang {
            Lang::En => &self.english,
            Lang::Ja => &self.japanese,
        }
    }
}

static TEAM: OnceLock<Languages> = OnceLock::new();

thread_local! {
    static HERE: Cell<Option<&'static Languages>> = const { Cell::new(None) };
}

/// Takes this catalogue for the whole process; for the program's start alone, once. A second call changes nothing.
pub fn take(languages: Languages) {
    let _ = TEAM.set(languages);
}

/// Runs something with a catalogue, on this thread only: for tests.
pub fn with<T>(languages: &'static Languages, run: impl FnOnce() -> T) -> T {
    struct Before(Option<&'static Languages>);
    impl Drop for Before {
        fn drop(&mut self) {
            HERE.set(self.0);
        }
    }
    let _before = Before(HERE.replace(Some(languages)));
    run()
}

impl Catalogue {
    /// Reads the embedded assets; fails with file, line and reason.
    pub fn load() -> Result<Self, String> {
        Ok(Self {
            causes: parse("causes.toml", CAUSES)?,
            checks: parse("checks.toml", CHECKS)?,
            fixes: parse("fixes.toml", FIXES)?,
            symptoms: parse("symptoms.toml", SYMPTOMS)?,
            trees: parse::<TreeFile>("trees.toml", TREES)?.tree,
            glossary: parse("glossary.toml", GLOSSARY)?,
            users: Vec::new(),
            questions: Vec::new(),
        })
    }

    /// The tree of a symptom, or the general one.
    pub fn tree(&self, symptom: Option<&str>) -> Option<&Tree> {
        let named = symptom.and_then(|s| self.trees.iter().find(|t| t.symptoms.iter().any(|x| x == s)));
        named.or_else(|| self.trees.iter().find(|t| t.symptoms.iter().any(|x| x == "other")))
    }

    /// Every broken link, one line each; empty when all hold.
    pub fn problems(&self) -> Vec<String> {
        let mut out = Vec::new();
        for (id, cause) in &self.causes {
            out.extend(
                cause.fixes.iter().filter(|f| !self.fixes.contains_key(*f)).map(|f| format!("cause {id}: no fix {f}")),
            );
            if !["local", "client", "vpc", "instance", "os", "aws", "windows"].contains(&cause.layer.as_str()) {
                out.push(format!("cause {id}: no layer {}", cause.layer));
            }
            if let Some(check) = cause.check.as_ref().filter(|c| !self.checks.contains_key(*c)) {
                out.push(format!("cause {id}: no check {check}"));
            }
            if cause.fixes.is_empty() && cause.by_hand.is_empty() {
                out.push(format!("cause {id}: neither a fix nor what to do by hand"));
            }
        }
        for (id, check) in &self.checks {
            if let Some(cause) = check.no_means.as_ref().filter(|c| !self.causes.contains_key(*c)) {
                out.push(format!("check {id}: no cause {cause}"));
            }
            if check.by_hand.contains("aws ") && check.console.is_none() && !self.questions.contains(id) {
                out.push(format!("check {id}: the aws CLI by hand, and no clicks in the console"));
            }
            // What is answered to a question of the team raises no cause.
            if check.question.is_some() != check.no_means.is_some() && !self.questions.contains(id) {
                out.push(format!("check {id}: question and no_means go together"));
            }
        }
        for tree in &self.trees {
            self.tree_problems(tree, &mut out);
        }
        for id in self.symptoms.iter().filter(|(_, s)| s.kind == "ssh").map(|(id, _)| id) {
            let trees = self.trees.iter().filter(|t| t.symptoms.contains(id)).count();
            if trees != 1 {
                out.push(format!("symptom {id}: {trees} trees"));
            }
        }
        out
    }

    fn tree_problems(&self, tree: &Tree, out: &mut Vec<String>) {
        let name = tree.symptoms.join("+");
        out.extend(
            tree.symptoms
                .iter()
                .filter(|s| !self.symptoms.contains_key(*s))
                .map(|s| format!("tree {name}: no symptom {s}")),
        );
        let mut reached = vec![tree.nodes.first().map(|n| n.check.as_str()).unwrap_or_default()];
        let mut next = 0;
        while let Some(at) = reached.get(next).copied() {
            next += 1;
            let Some(node) = tree.nodes.iter().find(|n| n.check == at) else {
                out.push(format!("tree {name}: no node {at}"));
                continue;
            };
            if !self.checks.contains_key(&node.check) {
                out.push(format!("tree {name}: no check {}", node.check));
            }
            for to in [&node.pass, &node.fail, &node.unknown] {
                match to.split_once(':') {
                    None if !reached.contains(&to.as_str()) => reached.push(to),
                    Some(("cause", id)) if !self.causes.contains_key(id) => {
                        out.push(format!("tree {name}, {at}: no cause {id}"));
                    }
                    Some((kind, _)) if !["cause", "door", "end"].contains(&kind) => {
                        out.push(format!("tree {name}, {at}: what is {to}?"));
                    }
                    _ => {}
                }
            }
        }
        out.extend(
            tree.nodes
                .iter()
                .filter(|n| !reached.contains(&n.check.as_str()))
                .map(|n| format!("tree {name}: {} is never reached", n.check)),
        );
    }
}

fn parse<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|e| format!("assets/{file}: {e}"))
}
