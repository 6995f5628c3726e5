//! A terminal on the other side, through whichever door: what the pane and `port22 shell` know of it.
//!
//! `edge` opens one ([`crate::engine::world::World::terminal`]); here is only its shape. Must not record, log or look into
//! what is typed or shown.

use crate::core::facts::Facts;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// A way in that gives a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// SSH with the user's own key.
    Ssh,
    /// Session Manager.
    Ssm,
    /// SSH with a key that EC2 Instance Connect pushed for 60 seconds.
    Eic,
    /// SSH through an EC2 Instance Connect Endpoint.
    Eice,
    /// The EC2 serial console.
    Serial,
}

impl Door {
    /// All, the cheapest first.
    pub const ALL: [Self; 5] = [Self::Ssh, Self::Ssm, Self::Eic, Self::Eice, Self::Serial];

    /// Id, as in the contract (`--door`, `doors[].id`).
    pub fn id(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Ssm => "ssm",
            Self::Eic => "eic",
            Self::Eice => "eice",
            Self::Serial => "serial",
        }
    }

    /// The door with this id; user data and rescue give no terminal.
    pub fn of(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.id() == id)
    }

    /// IAM actions that taking the door needs, besides the checks' own reads. The target is found by
    /// `ec2:DescribeInstances`; what runs on the instance's side needs its own role.
    ///
    /// Sources: Systems Manager User Guide, "Additional sample IAM policies for Session Manager" (`ssmmessages` for the
    /// signed data channel); EC2 User Guide, "Grant IAM permissions for EC2 Instance Connect", "Grant permissions to use
    /// EC2 Instance Connect Endpoint", "Configure IAM permissions" (serial console).
    pub fn permissions(self) -> &'static [&'static str] {
        match self {
            Self::Ssh => &[],
            Self::Ssm => {
                &["ssm:ResumeSession", "ssm:StartSession", "ssm:TerminateSession", "ssmmessages:OpenDataChannel"]
            }
            Self::Eic => &["ec2-instance-connect:SendSSHPublicKey"],
            Self::Eice => &["ec2-instance-connect:OpenTunnel", "ec2-instance-connect:SendSSHPublicKey"],
            Self::Serial => &["ec2-instance-connect:SendSerialConsoleSSHPublicKey"],
        }
    }

    /// Whether taking the door puts a key of ours onto the instance, or its console, if only for a minute: a change, which
    /// `--read-only` refuses.
    pub fn pushes_key(self) -> bool {
        matches!(self, Self::Eic | Self::Eice | Self::Serial)
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The way in.
    pub door: Door,
    /// What is known of the target; a login uses its user, address and keys.
    pub facts: Arc<Facts>,
    /// Columns and rows of the terminal; `None` asks for no terminal, as `ssh` without one does in a pipe.
    pub size: Option<(u16, u16)>,
    /// Command instead of a shell, as ssh sends it: one line for the remote shell.
    pub command: Option<String>,
    /// Run AWS's session-manager-plugin instead of our own client, where it is installed ([`Door::Ssm`] only).
    pub plugin: bool,
}

/// How a terminal ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct End {
    /// Exit status of the remote command, where the door tells one.
    pub status: Option<u32>,
    /// Signal that ended the remote command, without `SIG`.
    pub signal: Option<String>,
    /// What went wrong, in one sentence; `None` for an orderly end.
    pub trouble: Option<String>,
}

/// What can be done beside reading and writing. Dropping the last handle ends the session.
pub trait Control: Send + Sync {
    /// The terminal has another size, in characters.
    fn resize(&self, columns: u16, rows: u16);

    /// Waits for the next thing to tell the user (reconnecting, reconnected); `None` when there will be none.
    fn notice(&self) -> BoxFuture<'_, Option<String>>;

    /// Waits for the end; may be asked again.
    fn ended(&self) -> BoxFuture<'_, End>;

    /// Asks for the end; [`Self::ended`] tells when it has come.
    fn hang_up(&self);
}

/// An open terminal.
pub struct Opened {
    /// What to call it: `Session Manager, web-1`.
    pub title: String,
    /// Keys.
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    /// Output; its end is told by [`Control::ended`] too.
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    /// Standard error, where the door keeps it apart.
    pub errors: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// The rest.
    pub control: Arc<dyn Control>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("title", &self.title).finish_non_exhaustive()
    }
}
