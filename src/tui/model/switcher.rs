//! The choice of another profile or Region, and what a change of it leaves behind.

use super::Row;
use crate::engine::failure::Failure;
use crate::engine::scope::{Profile, Scope};
use std::collections::HashMap;

/// The popup in which a profile or Region is chosen.
#[derive(Debug, Default)]
pub struct Switcher {
    /// Its number: answers to an earlier question change nothing.
    pub ask: u64,
    /// Filter.
    pub query: String,
    /// Selected row.
    pub cursor: usize,
    /// Whether the user has moved the selection; before that it stays at the top.
    pub moved: bool,
    /// The profiles; `None` until they are read, or where there are none to choose from.
    pub profiles: Option<Result<Vec<Profile>, Failure>>,
    /// The Regions that are switched on; `None` while they are asked for.
    pub regions: Option<Result<Vec<String>, Failure>>,
}

/// What is listed, and how to return to what was listed before.
#[derive(Debug, Default)]
pub struct Standing {
    /// What is listed.
    pub scope: Scope,
    /// Profiles as the program was started with them; `None` until the first change.
    pub started: Option<ProfileNames>,
    /// The list before the last change, until the new one has something to show.
    pub before: Option<Box<Before>>,
}

/// A profile, as the header shows it and as commands name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileNames {
    /// For the header: the environment's as well.
    pub shown: Option<String>,
    /// For commands: only where it was named.
    pub named: Option<String>,
}

/// A list that was left.
#[derive(Debug)]
pub struct Before {
    /// What was listed.
    pub scope: Scope,
    /// Its profile.
    pub names: ProfileNames,
    /// The instances.
    pub rows: Vec<Row>,
    /// Their places.
    pub by_id: HashMap<String, usize>,
    /// Filter text.
    pub filter: String,
    /// Selected instance.
    pub selected: Option<String>,
    /// Account id.
    pub account: Option<String>,
    /// Regions.
    pub regions: Vec<String>,
    /// What could not be listed.
    pub failures: Vec<Failure>,
    /// Whether the list was complete.
    pub done: bool,
}
