//! A check: one question answered from facts alone.
//!
//! Must not probe. The list of all checks is in `rules`; their words are in the catalogue.

use crate::core::fact::{Evidence, Why};
use serde::{Deserialize, Serialize};

/// The answer to a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// Not as it should be.
    Fail,
    /// The facts do not tell.
    CannotTell,
    /// A check that it depends on failed.
    Skipped,
    /// The question does not arise here.
    NotApplicable,
}

/// A check and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// Check id.
    pub id: String,
    /// The answer.
    pub verdict: Verdict,
    /// One sentence: what was found, or why nothing was.
    pub reason: String,
    /// What was seen.
    pub evidence: Vec<Evidence>,
}

impl CheckResult {
    fn build(id: &str, verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { id: id.to_owned(), verdict, reason: reason.into(), evidence: Vec::new() }
    }

    /// The check passed.
    pub fn pass(id: &str, reason: impl Into<String>) -> Self {
        Self::build(id, Verdict::Pass, reason)
    }

    /// The check failed.
    pub fn fail(id: &str, reason: impl Into<String>) -> Self {
        Self::build(id, Verdict::Fail, reason)
    }

    /// The facts do not tell.
    pub fn cannot_tell(id: &str, why: &Why) -> Self {
        Self::build(id, Verdict::CannotTell, format!("cannot tell: {}", why.text()))
    }

    /// The facts do not tell, for a reason in words.
    pub fn unclear(id: &str, reason: impl Into<String>) -> Self {
        Self::build(id, Verdict::CannotTell, reason)
    }

    /// A parent failed.
    pub fn skipped(id: &str, reason: impl Into<String>) -> Self {
        Self::build(id, Verdict::Skipped, reason)
    }

    /// The question does not arise.
    pub fn not_applicable(id: &str, reason: impl Into<String>) -> Self {
        Self::build(id, Verdict::NotApplicable, reason)
    }

    /// Adds evidence.
    #[must_use]
    pub fn seen(mut self, text: impl Into<String>, source: impl Into<String>) -> Self {
        self.evidence.push(Evidence::new(text, source));
        self
    }
}

/// State of a hop on the way of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HopState {
    /// Lets the packet through.
    Open,
    /// Stops it, by itself.
    Blocked,
    /// The facts do not tell.
    Unknown,
    /// Could not be judged because of an earlier hop.
    NotReached,
}

/// The hops, in the order in which a packet meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HopId {
    /// The user's machine.
    Client,
    /// The internet, or the private network between.
    Internet,
    /// Internet gateway.
    Igw,
    /// Route table of the subnet.
    Route,
    /// Network ACL of the subnet.
    Nacl,
    /// Security groups of the interface.
    SecurityGroup,
    /// The interface, its addresses and the running instance behind it.
    Eni,
    /// The SSH server.
    Sshd,
    /// The login.
    Auth,
}

impl HopId {
    /// All hops in order.
    pub const ALL: [Self; 9] = [
        Self::Client,
        Self::Internet,
        Self::Igw,
        Self::Route,
        Self::Nacl,
        Self::SecurityGroup,
        Self::Eni,
        Self::Sshd,
        Self::Auth,
    ];
}

/// One hop and its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hop {
    /// Which.
    pub hop: HopId,
    /// Its state.
    pub state: HopState,
    /// One sentence with the deciding rule, route or reply.
    pub detail: String,
}

impl Hop {
    /// A hop with its state and detail.
    pub fn new(hop: HopId, state: HopState, detail: impl Into<String>) -> Self {
        Self { hop, state, detail: detail.into() }
    }
}
