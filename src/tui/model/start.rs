//! The start screen: the instance list, its filter and the symptoms.

use super::switcher::Standing;
use crate::core::facts::aws::Instance;
use crate::core::recognise::Recognised;
use crate::core::settings::column::{Column, Sort};
use crate::engine::failure::Failure;
use nucleo_matcher::Utf32String;
use std::collections::HashMap;
use std::net::IpAddr;

/// Which pane of the start screen has the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pane {
    /// The instance list.
    #[default]
    Instances,
    /// The filter of the instance list.
    Filter,
    /// The symptom list, which filters as one types.
    Symptoms,
}

/// The start screen.
#[derive(Debug, Default)]
pub struct Start {
    /// Number of the current listing.
    pub load: u64,
    /// Every instance, in the order of arrival.
    pub rows: Vec<Row>,
    /// Place of an instance in `rows`.
    pub by_id: HashMap<String, usize>,
    /// Places in `rows` of what the filter lets through, in the order shown.
    pub shown: Vec<u32>,
    /// Filter text.
    pub filter: String,
    /// Filter text that `shown` was ranked by; empty when `shown` is every row.
    pub ranked_by: String,
    /// Whether `shown` is in the order of the best match, as after an edit of the filter, and not of `sort`.
    pub by_match: bool,
    /// Columns; as wide as the screen allows when empty.
    pub columns: Vec<Column>,
    /// The order chosen.
    pub sort: Sort,
    /// Places in `rows` of every row in that order; empty for the order of arrival.
    pub order: Vec<u32>,
    /// Selected row of `shown`.
    pub cursor: usize,
    /// First row of `shown` on the screen.
    pub offset: usize,
    /// Which pane has the keys.
    pub pane: Pane,
    /// The symptom list.
    pub symptoms: Symptoms,
    /// A paste that waits for its instance.
    pub paste: Option<Recognised>,
    /// Account id.
    pub account: Option<String>,
    /// Regions.
    pub regions: Vec<String>,
    /// The client's own public address.
    pub source_ip: Option<IpAddr>,
    /// Regions that could not be listed.
    pub failures: Vec<Failure>,
    /// Whether the list is complete.
    pub done: bool,
    /// Whose instances are listed.
    pub standing: Standing,
}

impl Start {
    /// Whether the best match of a filter stands first.
    pub fn is_ranked(&self) -> bool {
        self.by_match && !self.filter.trim().is_empty()
    }
}

/// One instance of the list.
#[derive(Debug, Default)]
pub struct Row {
    /// The instance.
    pub instance: Instance,
    /// Name, id and addresses, as the filter looks at them.
    pub known_by: Utf32String,
    /// Everything else that the filter looks at.
    pub about: Utf32String,
    /// Hint on the way in; empty while unknown.
    pub hint: String,
    /// What Systems Manager says of its agent; empty while unknown.
    pub agent: String,
    /// Listing that last named it.
    pub load: u64,
}

/// The symptom list.
#[derive(Debug, Default)]
pub struct Symptoms {
    /// Filter text.
    pub query: String,
    /// Symptom ids shown; `None` is "find out for me".
    pub shown: Vec<Option<&'static str>>,
    /// Selected row.
    pub cursor: usize,
    /// First row on the screen.
    pub offset: usize,
}
