//! A fact: what one probe found out, or why it could not.
//!
//! Used by every rule. Must not judge: a fact says what was seen, never what it means.

use serde::{Deserialize, Serialize};

/// One observation of the world.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Fact<T> {
    /// No probe has asked (yet).
    #[default]
    NotAsked,
    /// A probe asked and got no answer that can be used.
    Unknown {
        /// Why there is no answer.
        why: Why,
    },
    /// A probe asked and was answered.
    Known {
        /// The answer.
        value: T,
        /// Where it comes from, as evidence shows it: an API call, a file, a connection.
        source: String,
    },
}

/// Why a fact is not known. Each kind has its own advice for the user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Why {
    /// AWS refused the call: `action` is the IAM action that is missing.
    Denied {
        /// IAM action, such as `ec2:DescribeSecurityGroups`.
        action: String,
        /// The reason clause of the service, cleaned of encoded blobs.
        reason: String,
    },
    /// There are no usable credentials.
    Credentials {
        /// What the credential chain or the service said.
        reason: String,
    },
    /// The time limit passed.
    TimedOut {
        /// What was waited for.
        doing: String,
        /// The limit, in milliseconds.
        after_ms: u64,
    },
    /// AWS asks to slow down, also after the retries.
    Throttled {
        /// What was tried.
        doing: String,
        /// The service's code, such as `RequestLimitExceeded`.
        code: String,
    },
    /// The service refused the signature because this machine's clock is off.
    Clock {
        /// Seconds by which this machine is ahead of the service (negative: behind).
        ahead_s: i64,
        /// The service's code and words.
        reason: String,
    },
    /// The endpoint could not be reached: name, proxy, TLS or connection.
    Endpoint {
        /// What was tried.
        doing: String,
        /// What went wrong.
        reason: String,
    },
    /// The user cancelled the run.
    Cancelled,
    /// The probe failed for another reason.
    Failed {
        /// What was tried.
        doing: String,
        /// What went wrong.
        reason: String,
    },
    /// Nothing has that name.
    NotFound {
        /// What was looked for, and where.
        what: String,
    },
    /// Several things have that name.
    Ambiguous {
        /// What was looked for.
        what: String,
        /// One line each.
        matches: Vec<String>,
    },
    /// Something must be known or given first.
    Needs {
        /// What is missing, in words that follow "needs".
        what: String,
    },
}

impl Why {
    /// One sentence fragment that follows "cannot tell: ".
    pub fn text(&self) -> String {
        match self {
            Self::Denied { action, reason } if reason.is_empty() => format!("not allowed to call {action}"),
            Self::Denied { action, reason } => format!("not allowed to call {action} ({reason})"),
            Self::Credentials { reason } => format!("no usable AWS credentials ({reason})"),
            Self::TimedOut { doing, after_ms } => {
                format!("{doing} took longer than {}", crate::core::text::millis(*after_ms))
            }
            Self::Throttled { doing, code } => {
                format!("{doing} failed: AWS asks to slow down ({code}), also after retries")
            }
            Self::Clock { ahead_s, reason } => {
                let way = if *ahead_s >= 0 { "ahead of" } else { "behind" };
                format!("this machine's clock is {} s {way} AWS's ({reason})", ahead_s.unsigned_abs())
            }
            Self::Endpoint { doing, reason } => {
                format!("{doing} failed: the AWS endpoint cannot be reached ({reason})")
            }
            Self::Cancelled => "cancelled".to_owned(),
            Self::Failed { doing, reason } => format!("{doing} failed: {reason}"),
            Self::NotFound { what } => format!("there is no {what}"),
            Self::Ambiguous { what, matches } => {
                format!("{} instances are named {what}: {}", matches.len(), matches.join("; "))
            }
            Self::Needs { what } => format!("needs {what}"),
        }
    }

    /// Shorthand for [`Why::Needs`].
    pub fn needs(what: impl Into<String>) -> Self {
        Self::Needs { what: what.into() }
    }

    /// Shorthand for [`Why::Failed`].
    pub fn failed(doing: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Failed { doing: doing.into(), reason: reason.into() }
    }
}

impl<T> Fact<T> {
    /// A known fact and where it comes from.
    pub fn known(value: T, source: impl Into<String>) -> Self {
        Self::Known { value, source: source.into() }
    }

    /// A fact that could not be found out.
    pub fn unknown(why: Why) -> Self {
        Self::Unknown { why }
    }

    /// The value, if known.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. } => Some(value),
            _ => None,
        }
    }

    /// Where the value comes from; empty when it is not known.
    pub fn source(&self) -> &str {
        match self {
            Self::Known { source, .. } => source,
            _ => "",
        }
    }

    /// Why the value is not known; `None` when it is.
    pub fn why_not(&self) -> Option<Why> {
        match self {
            Self::Known { .. } => None,
            Self::Unknown { why } => Some(why.clone()),
            Self::NotAsked => Some(Why::needs("a probe that was not run")),
        }
    }

    /// Whether the value is known.
    pub fn is_known(&self) -> bool {
        matches!(self, Self::Known { .. })
    }

    /// Whether any probe has answered, well or badly.
    pub fn is_asked(&self) -> bool {
        !matches!(self, Self::NotAsked)
    }

    /// Turns the value into another, keeping source and reasons.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Self::NotAsked => Fact::NotAsked,
            Self::Unknown { why } => Fact::Unknown { why },
            Self::Known { value, source } => Fact::Known { value: f(value), source },
        }
    }
}

/// One line of proof: what was seen, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was seen, with ids, numbers and times.
    pub text: String,
    /// The API call, file or connection it comes from.
    pub source: String,
}

impl Evidence {
    /// Joins a text and its source.
    pub fn new(text: impl Into<String>, source: impl Into<String>) -> Self {
        Self { text: text.into(), source: source.into() }
    }
}
