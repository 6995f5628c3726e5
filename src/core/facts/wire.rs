//! What the wire tells: TCP and SSH as seen from this client.
//!
//! Facts only; what a refused connection proves is said in `rules`.

use crate::core::fact::Fact;
use crate::core::kexinit::KexLists;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The probes of the wire.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct WireFacts {
    /// Address that was dialled.
    pub address: Option<IpAddr>,
    /// Port that was dialled.
    pub port: Option<u16>,
    /// TCP connect.
    pub tcp: Fact<Tcp>,
    /// What answers on port 22 of the same address, looked at where another port refuses or keeps silent.
    #[serde(default)]
    pub usual: Fact<UsualPort>,
    /// Server banner, key exchange and host key.
    pub ssh: Fact<SshServer>,
    /// Algorithms that the server offers, from its first packet; `None` when that was not seen.
    #[serde(default)]
    pub offers_of_server: Option<KexLists>,
    /// What the server said to each user and key, in the order asked.
    pub offers: Vec<Offer>,
    /// How the budget of authentication attempts was used.
    pub budget: Budget,
    /// What the last jump host made of the connection to the target; `None` without one.
    #[serde(default)]
    pub onward: Option<Onward>,
}

/// What a jump host made of a connection that it was asked for (RFC 4254, section 7.2).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Onward {
    /// Host that it was asked to connect to.
    pub host: String,
    /// Port.
    pub port: u16,
    /// `open`, `prohibited`, `failed`, `no_answer` (neither yes nor no within the limit), `ended`.
    pub outcome: String,
    /// The jump host's words, cleaned.
    pub words: String,
}

/// Outcome of a TCP connect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Tcp {
    /// Handshake done.
    Connected {
        /// Time it took.
        millis: u64,
    },
    /// A reset answered the SYN.
    Refused {
        /// Time it took.
        millis: u64,
    },
    /// No answer within the limit.
    TimedOut {
        /// The limit.
        after_ms: u64,
    },
    /// An ICMP answer or the own host said that there is no way.
    Unreachable {
        /// The operating system's words.
        reason: String,
    },
}

/// What answers on the usual port of SSH.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum UsualPort {
    /// An SSH server.
    Ssh {
        /// Identification string (RFC 4253, section 4.2), cleaned.
        banner: String,
    },
    /// Something that does not greet as an SSH server does, or not in time.
    Other,
    /// Nothing takes the connection.
    Closed,
}

/// What the SSH server told before authentication.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum SshServer {
    /// Key exchange done.
    Ready {
        /// Identification string (RFC 4253, section 4.2), cleaned.
        banner: String,
        /// Algorithm of the host key.
        host_key_type: String,
        /// `SHA256:…` of the host key.
        host_key: String,
    },
    /// The first bytes are no SSH identification.
    NotSsh {
        /// The first bytes, cleaned.
        first_bytes: String,
    },
    /// Connected, then silence.
    BannerTimeout {
        /// The limit.
        after_ms: u64,
    },
    /// Connected, then closed or reset before the banner.
    ClosedBeforeBanner {
        /// Words of the operating system, empty for an orderly close.
        reason: String,
    },
    /// Banner came, key exchange failed.
    KexFailed {
        /// Identification string.
        banner: String,
        /// The library's words.
        reason: String,
    },
}

/// One question "would you take this key for this user", and the server's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// User that was asked for.
    pub user: String,
    /// Key file; `None` for the "none" method that only lists methods.
    pub key: Option<String>,
    /// `SHA256:…` of the offered public key.
    pub fingerprint: Option<String>,
    /// The answer.
    pub answer: Answer,
    /// Methods that the server still offers.
    pub methods: Vec<String>,
    /// Authentication banner (RFC 4252, section 5.4), cleaned.
    pub banner: Option<String>,
}

/// The server's answer to an offered key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// The login succeeded.
    LoggedIn,
    /// The server would take the key (SSH_MSG_USERAUTH_PK_OK, RFC 4252 section 7); nothing was signed.
    WouldAccept,
    /// The server took the key and then refused the login (account stage).
    AcceptedThenRefused {
        /// What the server said.
        reason: String,
    },
    /// The server does not take the key.
    Refused,
    /// The server closed the connection, or answered something else.
    Failed {
        /// What happened.
        reason: String,
    },
}

impl Answer {
    /// Whether the server knows the key for this user.
    pub fn key_is_known(&self) -> bool {
        matches!(self, Self::LoggedIn | Self::WouldAccept | Self::AcceptedThenRefused { .. })
    }
}

/// Connections that offered something, against the cap (OpenSSH MaxAuthTries, PerSourcePenalties, fail2ban).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Attempts made.
    pub used: u32,
    /// The cap.
    pub cap: u32,
}
