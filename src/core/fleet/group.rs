//! Rows grouped by cause, so that what an incident has in common is seen at once.

use super::row::{Reach, Row};
use crate::core::catalogue;
use crate::core::rules::rank::{Stage, stage};
use crate::core::words::{tr, tr_with};
use std::collections::HashMap;

/// Rows with the same answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What its rows share: see [`key_of`].
    pub key: String,
    /// One line for people.
    pub title: String,
    /// Whether they are reached.
    pub reachable: Reach,
    /// Places in the list of rows, in the order of that list.
    pub rows: Vec<usize>,
}

/// How many are reached, are not, and cannot be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Reached.
    pub yes: usize,
    /// Not reached.
    pub no: usize,
    /// Cannot tell.
    pub unknown: usize,
}

impl Tally {
    /// Counts rows.
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Self {
        let mut out = Self::default();
        for row in rows {
            match row.reachable {
                Reach::Yes => out.yes += 1,
                Reach::No => out.no += 1,
                Reach::Unknown => out.unknown += 1,
            }
        }
        out
    }

    /// All of them.
    pub fn all(self) -> usize {
        self.yes + self.no + self.unknown
    }
}

/// What groups a row: the answer and its cause; where nothing can be told, the reason.
pub fn key_of(row: &Row) -> String {
    match (&row.cause, row.reachable) {
        (Some(cause), Reach::Unknown) if hinders_looking(cause) => format!("unknown {cause} {}", row.detail),
        (Some(cause), reach) => format!("{} {cause}", reach.word()),
        (None, Reach::Unknown) => format!("unknown {}", row.detail),
        (None, Reach::No) => "no".to_owned(),
        (None, Reach::Yes) => format!("yes {}", row.certainty.is_some_and(|c| c == super::row::SEEN)),
    }
}

/// Whether a cause is that something could not be read.
fn hinders_looking(cause: &str) -> bool {
    stage(cause) == Stage::Looking
}

/// The title of a row's group.
pub fn title_of(row: &Row) -> String {
    let words = row.cause.as_ref().map(|id| catalogue::get().causes.get(id).map_or(id.as_str(), |w| w.title.as_str()));
    match (words, row.reachable) {
        (Some(title), Reach::Yes) => tr_with("Port open, but: {cause}", &[("cause", &title)]),
        (Some(title), Reach::Unknown) if !row.cause.as_deref().is_some_and(hinders_looking) => {
            tr_with("No greeting of SSH; perhaps: {cause}", &[("cause", &title)])
        }
        (_, Reach::Unknown) => {
            tr_with("Cannot tell: {why}", &[("why", &row.detail.strip_prefix("cannot tell: ").unwrap_or(&row.detail))])
        }
        (Some(title), Reach::No) => title.to_owned(),
        (None, Reach::No) => tr("No answer").to_owned(),
        (None, Reach::Yes) if row.certainty == Some(super::row::SEEN) => tr("SSH answers").to_owned(),
        (None, Reach::Yes) => tr("Rules and routes let you in, port not tried").to_owned(),
    }
}

/// Groups rows: what is not reached first, then what cannot be told, then what is reached; the largest group first.
/// `take` says which rows count.
pub fn groups(rows: &[Row], take: impl Fn(usize, &Row) -> bool) -> Vec<Group> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut out: Vec<Group> = Vec::new();
    for (at, row) in rows.iter().enumerate().filter(|(at, row)| take(*at, row)) {
        let key = key_of(row);
        let place = *places.entry(key).or_insert_with_key(|key| {
            out.push(Group { key: key.clone(), title: title_of(row), reachable: row.reachable, rows: Vec::new() });
            out.len() - 1
        });
        out[place].rows.push(at);
    }
    let order = |reach: Reach| match reach {
        Reach::No => 0,
        Reach::Unknown => 1,
        Reach::Yes => 2,
    };
    out.sort_by(|a, b| (order(a.reachable), b.rows.len(), &a.key).cmp(&(order(b.reachable), a.rows.len(), &b.key)));
    out
}
