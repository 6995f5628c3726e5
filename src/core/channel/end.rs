//! How a session ended and what is worth telling meanwhile, in words for the user.

use std::fmt;

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The service closed it: the shell exited, a time limit passed, somebody ended it, or the agent failed.
    Closed {
        /// The service's words, without control characters; mostly empty.
        output: String,
    },
    /// We ended it.
    Ours,
    /// The channel opened, and nothing came.
    Silent,
    /// The agent did not complete the handshake.
    Handshake,
    /// The account's preferences demand encryption with KMS, which is refused here.
    KmsDemanded,
    /// The agent runs another kind of session than the one that was asked for.
    OtherKind {
        /// What it says that it runs.
        kind: String,
    },
    /// The agent acknowledged nothing for too long.
    AgentStopped,
    /// The service said that the agent is not connected, for too long.
    AgentAway,
    /// The agent broke the protocol in a way that cannot be mended.
    Broken {
        /// What it did.
        what: String,
    },
    /// The connection broke and the session could not be taken up again.
    Lost {
        /// The last error.
        why: String,
    },
}

impl End {
    /// Whether nothing went wrong.
    pub fn is_normal(&self) -> bool {
        matches!(self, Self::Ours) || matches!(self, Self::Closed { output } if output.is_empty())
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { output } if output.is_empty() => f.write_str("the session has ended"),
            Self::Closed { output } => write!(f, "the session has ended: {output}"),
            Self::Ours => f.write_str("the session was ended from here"),
            Self::Silent => {
                f.write_str("the session was opened, but the agent on the instance sent nothing: it may be overloaded, restarting, or cut off from ssmmessages")
            }
            Self::Handshake => {
                f.write_str("the agent on the instance began the session and did not complete its handshake")
            }
            Self::KmsDemanded => f.write_str(
                "the account's Session Manager preferences demand encryption with a KMS key, which port22 does not speak: use AWS's plug-in (`port22 shell --use-plugin`), or SSH over Session Manager (`port22 proxy`), which is not affected",
            ),
            Self::OtherKind { kind } => write!(f, "the agent opened another kind of session than was asked for: {kind}"),
            Self::AgentStopped => f.write_str("the agent on the instance stopped answering"),
            Self::AgentAway => f.write_str("the agent on the instance is not connected to Session Manager any more"),
            Self::Broken { what } => write!(f, "the agent broke the protocol: {what}"),
            Self::Lost { why } => write!(f, "the connection broke and could not be taken up again: {why}"),
        }
    }
}

/// What is worth telling while a session lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The agent has acknowledged nothing for some seconds.
    NotAnswering,
    /// The service says that the agent is not connected.
    AgentAway,
    /// It answers again.
    Answering,
    /// Text of the account's owner or the agent, without control characters.
    Message(String),
    /// The destination port refused a connection of a port session.
    PortRefused,
    /// The connection broke; it is being taken up again.
    Reconnecting {
        /// The last error.
        why: String,
    },
    /// It was taken up again.
    Reconnected,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnswering => f.write_str("the agent on the instance does not answer"),
            Self::AgentAway => f.write_str("the agent on the instance is not connected; waiting for it"),
            Self::Answering => f.write_str("the agent answers again"),
            Self::Message(text) => f.write_str(text),
            Self::PortRefused => f.write_str("the instance cannot connect to the destination port"),
            Self::Reconnecting { why } => write!(f, "the connection broke ({why}); taking it up again"),
            Self::Reconnected => f.write_str("connected again"),
        }
    }
}
