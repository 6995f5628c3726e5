//! Lays a team's words over a catalogue. Must not change what is judged: layers, proofs, fixes and their costs stay.

use super::{CauseWords, CheckWords, Insert, Team};
use crate::core::catalogue::{self, Added, Catalogue, Node, Tree, Word};

/// Where a symptom stands that says nothing of its place: behind those of the catalogue.
const LAST: u32 = 900;

/// Replaces a text when there is a new one.
fn put_text(text: &mut String, new: Option<&String>) {
    if let Some(new) = new {
        text.clone_from(new);
    }
}

impl Team {
    /// The catalogue with what the team says. In every language the team's words are those of its files.
    pub fn lay(&self, mut base: Catalogue) -> Catalogue {
        for (id, words) in &self.causes {
            if let Some(cause) = base.causes.get_mut(id) {
                lay_cause(cause, words);
            }
        }
        for (id, words) in &self.checks {
            match base.checks.get_mut(id) {
                Some(check) => lay_check(check, words),
                None => {
                    base.checks.insert(id.clone(), own_check(words));
                    base.questions.push(id.clone());
                }
            }
        }
        for (id, next) in &self.fixes {
            if let Some(fix) = base.fixes.get_mut(id) {
                fix.added.next.clone_from(next);
            }
        }
        for (id, words) in &self.symptoms {
            let known = base.symptoms.entry(id.clone()).or_insert_with(|| catalogue::SymptomWords {
                kind: "ssh".to_owned(),
                title: String::new(),
                proves: String::new(),
                order: LAST,
            });
            put_text(&mut known.title, words.title.as_ref());
            put_text(&mut known.proves, words.proves.as_ref());
            known.order = words.order.unwrap_or(known.order);
        }
        for (id, (title, means)) in &self.words {
            let empty = || Word { title: String::new(), means: String::new() };
            let known = base.glossary.entry(id.clone()).or_insert_with(empty);
            put_text(&mut known.title, title.as_ref());
            put_text(&mut known.means, means.as_ref());
        }
        for ((kind, id), link) in &self.links {
            let added: Option<&mut Added> = match *kind {
                "cause" => base.causes.get_mut(id).map(|w| &mut w.added),
                "check" => base.checks.get_mut(id).map(|w| &mut w.added),
                _ => base.fixes.get_mut(id).map(|w| &mut w.added),
            };
            if let Some(added) = added {
                added.runbook = Some(link.clone());
            }
        }
        trees(&mut base, &self.trees);
        for insert in &self.inserts {
            for symptom in &insert.symptoms {
                let Some(mut nodes) = exact(&base, symptom).map(|t| t.nodes.clone()) else { continue };
                put(&mut nodes, insert);
                give(&mut base, Tree { symptoms: vec![symptom.clone()], nodes });
            }
        }
        base.users.extend(self.users.iter().cloned());
        base
    }
}

fn lay_cause(cause: &mut catalogue::CauseWords, words: &CauseWords) {
    put_text(&mut cause.title, words.title.as_ref());
    put_text(&mut cause.explain, words.explain.as_ref());
    if let Some(by_hand) = &words.by_hand {
        cause.by_hand.clone_from(by_hand);
    }
    cause.added.next.clone_from(&words.next);
    // The same fixes in another order.
    let first = words.first.iter().filter(|f| cause.fixes.contains(f));
    let mut order: Vec<String> = Vec::new();
    for fix in first.chain(&cause.fixes) {
        if !order.contains(fix) {
            order.push(fix.clone());
        }
    }
    cause.fixes = order;
}

fn lay_check(check: &mut catalogue::CheckWords, words: &CheckWords) {
    put_text(&mut check.title, words.title.as_ref());
    put_text(&mut check.why, words.why.as_ref());
    put_text(&mut check.rules_out, words.rules_out.as_ref());
    put_text(&mut check.by_hand, words.by_hand.as_ref());
    check.added.next.clone_from(&words.next);
}

fn own_check(words: &CheckWords) -> catalogue::CheckWords {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    catalogue::CheckWords {
        title: text(&words.title),
        why: text(&words.why),
        rules_out: text(&words.rules_out),
        by_hand: text(&words.by_hand),
        console: None,
        question: words.question.clone(),
        no_means: None,
        link: None,
        added: Added { next: words.next.clone(), runbook: None },
    }
}

/// The tree that names a symptom; not the general one.
pub(super) fn exact<'a>(catalogue: &'a Catalogue, symptom: &str) -> Option<&'a Tree> {
    catalogue.trees.iter().find(|t| t.symptoms.iter().any(|s| s == symptom))
}

/// Puts the team's trees in the place of those that served their symptoms.
pub(super) fn trees(catalogue: &mut Catalogue, own: &[Tree]) {
    own.iter().for_each(|tree| give(catalogue, tree.clone()));
}

/// Gives symptoms a tree of their own.
fn give(catalogue: &mut Catalogue, tree: Tree) {
    for other in &mut catalogue.trees {
        other.symptoms.retain(|s| !tree.symptoms.contains(s));
    }
    catalogue.trees.retain(|t| !t.symptoms.is_empty());
    catalogue.trees.push(tree);
}

/// Puts a node before another: what led there leads to the new node first. Without such a node nothing is changed.
pub(super) fn put(nodes: &mut Vec<Node>, insert: &Insert) {
    let at = match &insert.before {
        Some(before) => nodes.iter().position(|n| n.check == *before),
        None => (!nodes.is_empty()).then_some(0),
    };
    let Some(at) = at else { return };
    let before = nodes[at].check.clone();
    for way in nodes.iter_mut().flat_map(|n| [&mut n.pass, &mut n.fail, &mut n.unknown]) {
        if *way == before {
            way.clone_from(&insert.check);
        }
    }
    let to = |way: &Option<String>| way.clone().unwrap_or_else(|| before.clone());
    let node = Node {
        check: insert.check.clone(),
        pass: to(&insert.pass),
        fail: to(&insert.fail),
        unknown: to(&insert.unknown),
    };
    // The first node is where a tree begins.
    nodes.insert(at, node);
}
