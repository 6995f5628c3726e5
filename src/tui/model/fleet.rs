//! The fleet on the screen: rows as they come, grouped by cause.

use crate::core::fleet::{Group, Row};
use crate::engine::event::RunId;
use crate::engine::failure::Failure;
use crate::engine::fleet::Progress;
use std::collections::{BTreeMap, HashMap};

/// The fleet screen.
#[derive(Debug, Default)]
pub struct FleetList {
    /// Its number; answers of other runs change nothing.
    pub run: RunId,
    /// Every instance, in the order of arrival.
    pub rows: Vec<Row>,
    /// What the filter looks at, for each row.
    pub words: Vec<String>,
    /// Place of an instance in `rows`, by Region and id.
    pub by_id: HashMap<(String, String), usize>,
    /// Rows that the filter lets through, by cause.
    pub groups: Vec<Group>,
    /// What is shown, line by line.
    pub lines: Vec<Line>,
    /// Groups that the user opened (true) or folded.
    pub chosen: BTreeMap<String, bool>,
    /// Whether there is more than the screen holds: then the causes come first, and their rows are folded.
    pub overview: bool,
    /// Selected line.
    pub cursor: usize,
    /// First line on the screen.
    pub offset: usize,
    /// Whether the user has moved the selection; before that it stays at the top.
    pub moved: bool,
    /// Filter text.
    pub filter: String,
    /// Whether the filter has the keys.
    pub filtering: bool,
    /// How far it is.
    pub progress: Progress,
    /// Whether the run has ended.
    pub ended: bool,
    /// Regions that could not be listed.
    pub failures: Vec<Failure>,
    /// Whether the run looks inside.
    pub inside: bool,
}

/// A line of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// The heading of a group, by its place.
    Group(usize),
    /// A row, by its place.
    Row(usize),
}

impl FleetList {
    /// Whether the rows of a group are shown. What a filter lets through is looked for, so it is shown.
    pub fn is_open(&self, key: &str) -> bool {
        self.chosen.get(key).copied().unwrap_or(!self.overview || !self.filter.is_empty())
    }

    /// The selected line.
    pub fn selected(&self) -> Option<Line> {
        self.lines.get(self.cursor).copied()
    }

    /// The group that the selected line is in.
    pub fn selected_group(&self) -> Option<&Group> {
        let upto = self.lines.get(..=self.cursor)?;
        upto.iter().rev().find_map(|line| match line {
            Line::Group(at) => self.groups.get(*at),
            Line::Row(_) => None,
        })
    }

    /// The selected instance.
    pub fn selected_row(&self) -> Option<&Row> {
        match self.selected()? {
            Line::Row(at) => self.rows.get(at),
            Line::Group(_) => None,
        }
    }
}
