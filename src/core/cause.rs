//! A root cause as a finding of this run: its id, how certain it is, and the evidence.
//!
//! The words about a cause (title, explanation, fixes) are in the catalogue, not here.

use crate::core::fact::Evidence;
use serde::{Deserialize, Serialize};

/// How certain a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// Fits the facts, as others do.
    Possible,
    /// Fits the facts best; no direct observation.
    Likely,
    /// Directly observed: a rule id, a log line, mode bits, a probe with one explanation.
    Proven,
}

/// One root cause of this run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Root-cause id of the catalogue.
    pub id: String,
    /// How certain.
    pub certainty: Certainty,
    /// What was seen, most telling first.
    pub evidence: Vec<Evidence>,
    /// What would prove it, when it is not proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_prove: Option<String>,
}

impl Finding {
    /// A finding with one line of evidence.
    pub fn new(id: &str, certainty: Certainty, text: impl Into<String>, source: impl Into<String>) -> Self {
        Self { id: id.to_owned(), certainty, evidence: vec![Evidence::new(text, source)], would_prove: None }
    }

    /// Adds a line of evidence.
    #[must_use]
    pub fn and(mut self, text: impl Into<String>, source: impl Into<String>) -> Self {
        self.evidence.push(Evidence::new(text, source));
        self
    }

    /// Says what would prove it.
    #[must_use]
    pub fn would_prove(mut self, what: impl Into<String>) -> Self {
        self.would_prove = Some(what.into());
        self
    }
}
