//! One shape for every error that a user sees: popup, stderr and JSON are faces of it.

use serde::{Deserialize, Serialize};

/// What kind of failure it is; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Bad usage, or it could not run at all: exit 2.
    Usage,
    /// Something was tried and failed: exit 1.
    Failed,
    /// A safety gate refused: exit 4.
    Refused,
    /// The user did not confirm: exit 5.
    NotConfirmed,
}

/// What failed, while doing what, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Kind.
    pub kind: FailureKind,
    /// What was being done, to what: "read security groups of i-… in eu-west-1".
    pub doing: String,
    /// Why it did not work.
    pub reason: String,
    /// What to do next.
    pub next: String,
    /// Whether nobody knows if the deed was done (no answer came).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outcome_unknown: bool,
    /// Root-cause id, where the failure itself shows one (a denial: `iam-denied-fix`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

impl Failure {
    /// A failure of a kind.
    pub fn new(
        kind: FailureKind,
        doing: impl Into<String>,
        reason: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            doing: doing.into(),
            reason: reason.into(),
            next: next.into(),
            outcome_unknown: false,
            cause: None,
        }
    }

    /// The failure with the root cause that it shows.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The failure of a deed that was asked for already: nobody knows whether it was done, or how far.
    #[must_use]
    pub fn after_asking(mut self) -> Self {
        self.outcome_unknown = true;
        self
    }

    /// Bad usage.
    pub fn usage(doing: impl Into<String>, reason: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(FailureKind::Usage, doing, reason, next)
    }

    /// Something was tried and failed.
    pub fn failed(doing: impl Into<String>, reason: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(FailureKind::Failed, doing, reason, next)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "could not {}: {}", self.doing, self.reason)?;
        if let Some(cause) = &self.cause {
            write!(f, " ({cause})")?;
        }
        if !self.next.is_empty() {
            write!(f, "\nnext: {}", self.next)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
