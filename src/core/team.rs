//! What a team lays over the catalogue: own trees, words of causes, login users of its images, links to its runbooks.
//!
//! A team's files can change words, order, user names and links, and ask questions of the user. They cannot change what
//! counts as proven, which fixes exist, or what a fix runs: there are no keys for that, and an answer to a question of
//! the team raises no cause. Every text is checked to be safe for a terminal before it is taken.
//!
//! Pure: [`read`] is given the texts of the files, and finds all that is wrong with them, each thing with its line and
//! column; [`Team::lay`] lays the rest over a catalogue. Must not read files, and takes nothing from a directory in which
//! anything is wrong.

mod entries;
mod lay;
mod problem;
mod reader;
mod trees;

pub use problem::Problem;

use crate::core::ami::ImageUser;
use crate::core::catalogue::{Catalogue, Tree};
use entries::Collected;
use std::collections::BTreeMap;

/// Longest file that is read, in bytes.
pub const LARGEST: usize = 1024 * 1024;
/// Most files of a directory.
pub const MOST: usize = 200;

/// A file of a team's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name in the directory.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// Words of a cause that a team writes anew; `None` and empty leave them as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct CauseWords {
    title: Option<String>,
    explain: Option<String>,
    by_hand: Option<Vec<String>>,
    next: Vec<String>,
    /// Fixes of this cause that are offered before the others.
    first: Vec<String>,
}

/// Words of a check, or a question of the team.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct CheckWords {
    title: Option<String>,
    why: Option<String>,
    rules_out: Option<String>,
    by_hand: Option<String>,
    /// Only for an own check.
    question: Option<String>,
    next: Vec<String>,
}

/// Words of a symptom, or a symptom of the team.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct SymptomWords {
    title: Option<String>,
    proves: Option<String>,
    order: Option<u32>,
}

/// A node that is put before one of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Insert {
    symptoms: Vec<String>,
    check: String,
    /// The node that it is put before; the first of the tree when not said.
    before: Option<String>,
    /// Where to go on; with the node that it is put before when not said.
    pass: Option<String>,
    fail: Option<String>,
    unknown: Option<String>,
}

/// Everything that a team's files say. Made by [`read`] alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Team {
    causes: BTreeMap<String, CauseWords>,
    checks: BTreeMap<String, CheckWords>,
    /// Next steps by fix.
    fixes: BTreeMap<String, Vec<String>>,
    symptoms: BTreeMap<String, SymptomWords>,
    /// Title and meaning by glossary id.
    words: BTreeMap<String, (Option<String>, Option<String>)>,
    trees: Vec<Tree>,
    inserts: Vec<Insert>,
    users: Vec<ImageUser>,
    /// Runbooks by kind (`cause`, `check`, `fix`) and id.
    links: BTreeMap<(&'static str, String), String>,
}

/// How much a team's files say, for a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Causes with words or next steps.
    pub causes: usize,
    /// Questions of the team.
    pub questions: usize,
    /// Symptoms of the team.
    pub symptoms: usize,
    /// Trees, and nodes put into trees.
    pub trees: usize,
    /// Images with a login user.
    pub users: usize,
    /// Links.
    pub links: usize,
}

impl Team {
    /// How much it says; `base` tells what is the team's own.
    pub fn counts(&self, base: &Catalogue) -> Counts {
        Counts {
            causes: self.causes.len(),
            questions: self.checks.keys().filter(|id| !base.checks.contains_key(*id)).count(),
            symptoms: self.symptoms.keys().filter(|id| !base.symptoms.contains_key(*id)).count(),
            trees: self.trees.len() + self.inserts.len(),
            users: self.users.len(),
            links: self.links.len(),
        }
    }
}

/// Reads a team's files against the embedded English catalogue. Every problem is found, in the order of files and lines.
pub fn read(files: &[Source], base: &Catalogue) -> Result<Team, Vec<Problem>> {
    let mut all = Collected::default();
    for file in files {
        entries::file(file, base, &mut all);
    }
    // Where a file could not be read to its end, what others refer to may stand in the lost part.
    if !all.torn {
        trees::check(base, &mut all);
    }
    let mut problems = all.problems;
    if problems.is_empty() {
        return Ok(all.team);
    }
    problems.sort();
    problems.dedup();
    Err(problems)
}

#[cfg(test)]
mod tests;
