//! Trees of a team, and nodes that it puts into the embedded trees: every way through them must end.

use super::Insert;
use super::entries::{Collected, PlacedInsert, PlacedNode, PlacedTree, unknown_checks};
use super::lay;
use super::problem::{Place, Problem, quoted};
use super::reader::Text;
use crate::core::catalogue::{Catalogue, Node, Tree};
use std::collections::{BTreeMap, BTreeSet};

/// Ways in that a tree may end with.
const DOORS: [&str; 7] = ["ssh", "ssm", "eic", "eice", "serial", "user-data", "rescue"];

/// Where the parts of a tree stand in the team's files, by check: the check, and its ways on.
type Places<'a> = BTreeMap<&'a str, (&'a Place, [Option<&'a Place>; 3])>;

/// Checks trees and inserts, and puts what is right into the team.
pub(super) fn check(base: &Catalogue, all: &mut Collected) {
    unknown_checks(base, all);
    let symptoms: BTreeSet<&str> =
        base.symptoms.iter().filter(|(_, s)| s.kind == "ssh").map(|(id, _)| id.as_str()).collect();
    let symptoms: BTreeSet<&str> = symptoms.into_iter().chain(all.symptoms.keys().map(String::as_str)).collect();
    let checks: BTreeSet<&str> = base.checks.keys().chain(all.questions.keys()).map(String::as_str).collect();
    let known = Known { base, symptoms, checks };
    let mut problems = Vec::new();
    let mut trees: Vec<Tree> = Vec::new();
    for tree in &all.trees {
        known.symptoms(&tree.symptoms, &mut problems);
        trees.push(plain(tree));
        let places = tree.nodes.iter().map(places_of).collect();
        let nodes = &trees[trees.len() - 1].nodes;
        known.nodes(nodes, &places, &tree.place, tree.lost, &mut problems);
        if !tree.broken {
            Known::joints(nodes, &places, &tree.place, &mut problems);
        }
    }
    let mut with_trees = base.clone();
    lay::trees(&mut with_trees, &trees);
    let mut inserts: Vec<Insert> = Vec::new();
    let mut asked: BTreeMap<String, Vec<&PlacedInsert>> = BTreeMap::new();
    for insert in &all.inserts {
        known.symptoms(insert.symptoms.iter().filter(|s| s.value != "*"), &mut problems);
        let chosen = known.chosen(insert, &with_trees, &mut problems);
        for symptom in &chosen {
            asked.entry(symptom.clone()).or_default().push(insert);
        }
        inserts.push(plain_insert(insert, chosen));
    }
    let before = problems.len();
    for (symptom, own) in &asked {
        known.tree_with_inserts(symptom, own, &with_trees, &all.trees, &mut problems);
    }
    // One insert into many trees is wrong once, not in each of them.
    let mut told = BTreeSet::new();
    let mut at = 0;
    problems.retain(|p| {
        at += 1;
        at <= before || told.insert((p.file.clone(), p.line, p.column))
    });
    let mut used: BTreeSet<&str> = trees.iter().flat_map(|t| &t.nodes).map(|n| n.check.as_str()).collect();
    used.extend(inserts.iter().map(|i| i.check.as_str()));
    for (id, place) in all.questions.iter().filter(|(id, _)| !used.contains(id.as_str())) {
        let what = format!("check '{id}' is never asked");
        problems.push(Problem::new(place, what, "put it into a tree with [[insert]] or [[tree]], or take it out"));
    }
    for (id, place) in &all.symptoms {
        if !trees.iter().any(|t| t.symptoms.contains(id)) {
            let what = format!("symptom '{id}' has no tree");
            problems.push(Problem::new(place, what, format!("add a [[tree]] with symptoms = [\"{id}\"]")));
        }
    }
    all.problems.append(&mut problems);
    all.team.trees = trees;
    all.team.inserts = inserts;
}

fn plain(tree: &PlacedTree) -> Tree {
    let node = |n: &PlacedNode| {
        let [pass, fail, unknown] = &n.to;
        Node {
            check: n.check.value.clone(),
            pass: pass.value.clone(),
            fail: fail.value.clone(),
            unknown: unknown.value.clone(),
        }
    };
    Tree {
        symptoms: tree.symptoms.iter().map(|s| s.value.clone()).collect(),
        nodes: tree.nodes.iter().map(node).collect(),
    }
}

fn plain_insert(insert: &PlacedInsert, symptoms: Vec<String>) -> Insert {
    let [pass, fail, unknown] = insert.to.each_ref().map(|to| to.as_ref().map(|t| t.value.clone()));
    let before = insert.before.as_ref().map(|t| t.value.clone());
    Insert { symptoms, check: insert.check.value.clone(), before, pass, fail, unknown }
}

fn places_of(node: &PlacedNode) -> (&str, (&Place, [Option<&Place>; 3])) {
    (node.check.value.as_str(), (&node.check.place, node.to.each_ref().map(|t| Some(&t.place))))
}

struct Known<'a> {
    base: &'a Catalogue,
    symptoms: BTreeSet<&'a str>,
    checks: BTreeSet<&'a str>,
}

impl Known<'_> {
    fn symptoms<'t>(&self, named: impl IntoIterator<Item = &'t Text>, problems: &mut Vec<Problem>) {
        for symptom in named.into_iter().filter(|s| !self.symptoms.contains(s.value.as_str())) {
            let of_console = self.base.symptoms.contains_key(&symptom.value);
            let what = if of_console {
                format!("symptom '{}' is one of console logs, which have no tree", symptom.value)
            } else {
                format!("there is no symptom '{}'", quoted(&symptom.value))
            };
            let known = self.symptoms.iter().copied();
            let next = "see port22 explain for all ids";
            problems.push(Problem::unknown(&symptom.place, what, &symptom.value, known, next));
        }
    }

    /// The symptoms whose trees an insert is for. `*` is every tree that has the node it is put before.
    fn chosen(&self, insert: &PlacedInsert, trees: &Catalogue, problems: &mut Vec<Problem>) -> Vec<String> {
        let nodes = |symptom: &str| lay::exact(trees, symptom).map(|t| t.nodes.as_slice()).unwrap_or_default();
        let has = |symptom: &str| {
            let before = insert.before.as_ref();
            before.is_none_or(|b| nodes(symptom).iter().any(|n| n.check == b.value))
        };
        let mut out: Vec<String> = Vec::new();
        for named in &insert.symptoms {
            if named.value == "*" {
                // Nothing is wrong with a login that works: it is not asked about.
                let all = self.symptoms.iter().filter(|s| **s != "success" && has(s));
                out.extend(all.map(|s| (*s).to_owned()));
            } else if has(&named.value) {
                out.push(named.value.clone());
            } else if let (Some(before), true) = (&insert.before, self.symptoms.contains(named.value.as_str())) {
                let what = format!("the tree of {} has no node '{}'", named.value, quoted(&before.value));
                let known = nodes(&named.value).iter().map(|n| n.check.as_str());
                let next = "see port22 explain SYMPTOM for the checks of its tree";
                problems.push(Problem::unknown(&before.place, what, &before.value, known, next));
            }
        }
        out.sort();
        out.dedup();
        if let (Some(before), true) = (&insert.before, insert.symptoms.iter().any(|s| s.value == "*") && out.is_empty())
        {
            let what = format!("no tree has a node '{}'", quoted(&before.value));
            let known = trees.trees.iter().flat_map(|t| &t.nodes).map(|n| n.check.as_str());
            problems.push(Problem::unknown(&before.place, what, &before.value, known, "see port22 explain SYMPTOM"));
        }
        out
    }

    /// Checks a tree with everything that is put into it.
    fn tree_with_inserts(
        &self,
        symptom: &str,
        own: &[&PlacedInsert],
        trees: &Catalogue,
        placed: &[PlacedTree],
        problems: &mut Vec<Problem>,
    ) {
        let Some(tree) = lay::exact(trees, symptom) else { return };
        let of_team = placed.iter().find(|t| t.symptoms.iter().any(|s| s.value == symptom));
        let (broken, lost) = of_team.map_or((false, false), |t| (t.broken, t.lost));
        let mut nodes = tree.nodes.clone();
        let mut places: Places<'_> = BTreeMap::new();
        // A tree of the team itself has its own places.
        let theirs = placed.iter().filter(|t| t.symptoms.iter().any(|s| s.value == symptom)).flat_map(|t| &t.nodes);
        places.extend(theirs.map(places_of));
        for insert in own {
            let check = &insert.check;
            if nodes.iter().any(|n| n.check == check.value) {
                let what = format!("the tree of {symptom} asks '{}' already", quoted(&check.value));
                problems.push(Problem::new(&check.place, what, "take it out, or name the other symptoms alone"));
                continue;
            }
            places.insert(&check.value, (&check.place, insert.to.each_ref().map(|t| t.as_ref().map(|t| &t.place))));
            lay::put(&mut nodes, &plain_insert(insert, Vec::new()));
        }
        if let Some(first) = own.first() {
            self.nodes(&nodes, &places, &first.check.place, lost, problems);
            if !broken {
                Self::joints(&nodes, &places, &first.check.place, problems);
            }
        }
    }

    /// Every check is known and asked once, every way leads to a node or an end.
    fn nodes(&self, nodes: &[Node], places: &Places<'_>, whole: &Place, lost: bool, problems: &mut Vec<Problem>) {
        let here: Vec<&str> = nodes.iter().map(|n| n.check.as_str()).collect();
        for (at, node) in nodes.iter().enumerate() {
            let Some((place, ways)) = places.get(node.check.as_str()) else { continue };
            if !self.checks.contains(node.check.as_str()) {
                let what = format!("there is no check '{}'", quoted(&node.check));
                let next = "define it with [check.ID] and a question";
                problems.push(Problem::unknown(place, what, &node.check, self.checks.iter().copied(), next));
            }
            if here[..at].contains(&node.check.as_str()) {
                let what = format!("'{}' is asked twice in this tree", quoted(&node.check));
                problems.push(Problem::new(whole, what, "keep one of the nodes"));
            }
            for (to, place) in [&node.pass, &node.fail, &node.unknown].into_iter().zip(ways) {
                let Some(place) = place else { continue };
                // What a way leads to may be the node that could not be read.
                if !lost || to.contains(':') {
                    self.way(to, place, &here, problems);
                }
            }
        }
    }

    /// No way goes round, and every node is reached.
    fn joints(nodes: &[Node], places: &Places<'_>, whole: &Place, problems: &mut Vec<Problem>) {
        let reached = round(nodes, places, whole, problems);
        for node in nodes.iter().filter(|n| !reached.contains(n.check.as_str())) {
            let (place, what) = match places.get(node.check.as_str()) {
                Some((place, _)) => (*place, format!("'{}' is never reached", quoted(&node.check))),
                None => (whole, format!("with this, '{}' of the tree is never reached", node.check)),
            };
            problems.push(Problem::new(place, what, "let a node lead to it, or take it out"));
        }
    }

    /// One way on.
    fn way(&self, to: &str, place: &Place, here: &[&str], problems: &mut Vec<Problem>) {
        let next = "write a check of this tree, cause:ID, door:ID or end:TEXT";
        match to.split_once(':') {
            Some(("cause", id)) if !self.base.causes.contains_key(id) => {
                let what = format!("there is no cause '{}'", quoted(id));
                let known = self.base.causes.keys().map(String::as_str);
                problems.push(Problem::unknown(place, what, id, known, "see port22 explain for all ids"));
            }
            Some(("door", id)) if !DOORS.contains(&id) => {
                let what = format!("there is no way in '{}'", quoted(id));
                problems.push(Problem::unknown(place, what, id, DOORS, next));
            }
            Some(("cause" | "door" | "end", _)) => {}
            Some((kind, _)) => {
                let what = format!("'{}:' is no kind of end", quoted(kind));
                problems.push(Problem::unknown(place, what, kind, ["cause", "door", "end"], next));
            }
            None if here.contains(&to) => {}
            None => {
                let what = format!("a dead end: '{}' is no node of this tree", quoted(to));
                problems.push(Problem::unknown(place, what, to, here.iter().copied(), next));
            }
        }
    }
}

/// Notes every way that goes round; gives the nodes that are reached.
fn round<'n>(nodes: &'n [Node], places: &Places<'_>, whole: &Place, problems: &mut Vec<Problem>) -> BTreeSet<&'n str> {
    let find = |id: &str| nodes.iter().position(|n| n.check == id);
    let mut reached = BTreeSet::new();
    let mut left = BTreeSet::new();
    // The way from the first node, each with the next edge to look at. No recursion: a file may be long.
    let mut way: Vec<(usize, usize)> = Vec::new();
    if let Some(first) = nodes.first() {
        reached.insert(first.check.as_str());
        way.push((0, 0));
    }
    while let Some((at, edge)) = way.last_mut() {
        let node = &nodes[*at];
        let Some(to) = [&node.pass, &node.fail, &node.unknown].get(*edge).copied() else {
            left.insert(*at);
            way.pop();
            continue;
        };
        let taken = *edge;
        *edge += 1;
        let Some(next) = find(to) else { continue };
        if let Some(from) = way.iter().position(|(on, _)| *on == next) {
            let names: Vec<&str> = way[from..].iter().map(|(on, _)| nodes[*on].check.as_str()).collect();
            let what = format!("this goes round: {} → {to}", names.join(" → "));
            // The way back may be one of the tree's own; then a node that was put in stands on it.
            let ours = places.get(node.check.as_str()).and_then(|(_, ways)| ways[taken]);
            let on_it = || names.iter().find_map(|n| places.get(n)).map(|(place, _)| *place);
            let place = ours.or_else(on_it).unwrap_or(whole);
            problems.push(Problem::new(
                place,
                what,
                "lead to a later check, or end with cause:ID, door:ID or end:TEXT",
            ));
        } else if !left.contains(&next) {
            reached.insert(nodes[next].check.as_str());
            way.push((next, 0));
        }
    }
    reached
}
