//! What the client side tells: key files, ssh_config, agent, known_hosts, own address.
//!
//! Facts only. Private key material never enters: a key file is described, not held.

use crate::core::fact::Fact;
use crate::core::key::KeyFile;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The client side.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LocalFacts {
    /// Effective ssh configuration for the target.
    pub config: Fact<SshConfig>,
    /// Addresses of the target's name.
    pub dns: Fact<Vec<IpAddr>>,
    /// The client's own address as the instance sees it.
    pub source_ip: Fact<IpAddr>,
    /// Every key file that the login would use, in order.
    pub keys: Vec<KeyProbe>,
    /// Other private keys found beside (`~/.ssh`): path and public half, for "the matching file is …".
    pub other_keys: Vec<KeyProbe>,
    /// Keys in the agent, as fingerprints.
    pub agent: Fact<Vec<AgentKey>>,
    /// Entries of known_hosts for the target.
    pub known_hosts: Fact<KnownHosts>,
    /// Version line of the local ssh client.
    pub ssh_version: Fact<String>,
    /// The socket of a shared connection that ssh would use (`ControlPath`); `None` when none is configured or there is none.
    #[serde(default)]
    pub control: Fact<Option<ControlSocket>>,
    /// The jump host at which the way ended, or the last one, when the configuration or `-J` names any.
    #[serde(default)]
    pub jump: Fact<JumpHost>,
}

/// A ControlMaster socket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ControlSocket {
    /// Path, as ssh expands it.
    pub path: String,
    /// What `ssh -O check` says: a master answers.
    pub alive: bool,
    /// Whether something takes the connection and then says nothing: ssh would wait for it.
    pub hangs: bool,
    /// The words of ssh, cleaned.
    pub words: String,
}

/// What the way over the jump hosts told, at the host where it ended or at the last one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JumpHost {
    /// As configured: `[user@]host[:port]`.
    pub name: String,
    /// Address that was dialled, when the name has one.
    pub address: Option<IpAddr>,
    /// Port.
    pub port: u16,
    /// `ssh` (it greets as an SSH server), `refused`, `timed_out`, `unreachable`, `no_address`, `not_ssh`, `silent`;
    /// `prohibited` when the jump host before it may not connect there.
    pub outcome: String,
    /// The operating system's or the server's words.
    pub words: String,
    /// Jump hosts that let the login pass before this one, the nearest first.
    pub before: Vec<String>,
    /// Whether the login goes from here to the target.
    pub last: bool,
    /// The login to it, once it greeted as an SSH server.
    pub login: Option<Box<JumpLogin>>,
    /// The instance that it is, where the account has it (`ec2:DescribeInstances`).
    pub instance: Fact<super::aws::Instance>,
}

/// The login to a jump host: what ssh brings there by its own Host block, and what the server said.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JumpLogin {
    /// Host, user and port as ssh has them for the jump host.
    pub target: crate::core::target::Target,
    /// Configuration, keys, agent and known_hosts for it.
    pub local: LocalFacts,
    /// Whether ssh may bring a certificate (`CertificateFile`, `KEY-cert.pub`), which was not asked about.
    pub certificate: bool,
    /// Banner, host key, and the answers to the keys.
    pub wire: super::wire::WireFacts,
}

impl JumpLogin {
    /// The login alone, as facts that the rules can read: without an instance, and without a clock.
    pub fn facts(&self) -> super::Facts {
        super::Facts {
            target: self.target.clone(),
            local: self.local.clone(),
            wire: self.wire.clone(),
            ..super::Facts::default()
        }
    }
}

impl JumpHost {
    /// Whether the login to it succeeded, so that it can be asked to connect further.
    pub fn is_open(&self) -> bool {
        let logged_in = |l: &JumpLogin| l.wire.offers.iter().any(|o| o.answer == super::wire::Answer::LoggedIn);
        self.login.as_deref().is_some_and(logged_in)
    }
}

/// One key file and what was read from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyProbe {
    /// As typed or as ssh_config names it.
    pub path: String,
    /// Where the path comes from: `-i`, `ssh_config`, `default`.
    pub origin: String,
    /// What the file is.
    pub file: Fact<KeyFileState>,
}

/// What is at a key path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "file", rename_all = "snake_case")]
pub enum KeyFileState {
    /// Nothing is there.
    Missing,
    /// It is a directory, a socket or another thing that is no regular file.
    NotAFile {
        /// What it is.
        what: String,
    },
    /// It may not be read.
    Unreadable {
        /// Owner's uid.
        owner: Option<u32>,
        /// The operating system's words.
        reason: String,
    },
    /// It is far larger than any key.
    TooLarge {
        /// Size in bytes.
        bytes: u64,
    },
    /// It was read.
    Read {
        /// Permission bits, `0o7777`.
        mode: u32,
        /// Owner's uid.
        owner: u32,
        /// Uid of this process.
        me: u32,
        /// File system type, when it is known to have no modes (vfat, exfat, drvfs, …).
        modeless_fs: Option<String>,
        /// What the content is.
        key: Box<KeyFile>,
        /// Public key in `F.pub` beside it, OpenSSH form without comment.
        pub_file: Option<String>,
    },
}

/// Effective client settings (`ssh -G`), those that decide a login.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SshConfig {
    /// `HostName`.
    pub hostname: Option<String>,
    /// `User`, only when the file sets it.
    pub user: Option<String>,
    /// `Port`, only when the file sets it.
    pub port: Option<u16>,
    /// `IdentityFile`, only those that the file sets.
    pub identity_files: Vec<String>,
    /// `CertificateFile`.
    pub certificate_files: Vec<String>,
    /// `IdentitiesOnly`.
    pub identities_only: bool,
    /// `ProxyJump`.
    pub proxy_jump: Option<String>,
    /// `ProxyCommand`.
    pub proxy_command: Option<String>,
    /// `HostKeyAlias`.
    pub host_key_alias: Option<String>,
    /// `UserKnownHostsFile`.
    pub known_hosts_files: Vec<String>,
    /// Whether any Host block names this target.
    pub matched: bool,
    /// `StrictHostKeyChecking`, only when it is not the default.
    pub strict_host_key_checking: Option<String>,
    /// `ControlPath`, expanded, when set.
    pub control_path: Option<String>,
    /// `PubkeyAuthentication no`.
    pub pubkey_off: bool,
    /// `IdentityAgent`, when set.
    pub identity_agent: Option<String>,
    /// Whether signatures with SHA-1 (`ssh-rsa`) are allowed (`PubkeyAcceptedAlgorithms`); `None` when that could not be asked.
    pub sha1_signatures: Option<bool>,
    /// Algorithms that the user's ssh offers to the target.
    pub algorithms: ClientAlgorithms,
}

/// Algorithms that the user's ssh would offer, best first, as `ssh -G` prints them after defaults, files and options.
/// An empty list is one that could not be asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientAlgorithms {
    /// `KexAlgorithms`; with `GSSAPIKeyExchange` also its families, which end in `-`.
    pub kex: Vec<String>,
    /// `HostKeyAlgorithms`.
    pub host_keys: Vec<String>,
    /// `Ciphers`.
    pub ciphers: Vec<String>,
    /// `MACs`.
    pub macs: Vec<String>,
}

/// A key in the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentKey {
    /// `SHA256:…`.
    pub fingerprint: String,
    /// `ssh-ed25519`, ….
    pub algorithm: String,
    /// Comment, cleaned.
    pub comment: String,
    /// Public half as `type base64`, to ask a server about; `None` for a certificate, which is another thing than its key.
    #[serde(default)]
    pub public: Option<String>,
}

impl AgentKey {
    /// What the key is called where a key file would be called by its path.
    pub fn label(&self) -> String {
        format!("agent key {}", if self.comment.is_empty() { &self.fingerprint } else { &self.comment })
    }
}

/// Lines of known_hosts that name the target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KnownHosts {
    /// File, line number, key type, `SHA256:…`.
    pub entries: Vec<KnownHost>,
    /// Lines marked `@revoked`: keys with which ssh refuses the host.
    #[serde(default)]
    pub revoked: Vec<KnownHost>,
    /// Lines marked `@cert-authority`: a host certificate signed by one of them is accepted.
    #[serde(default)]
    pub authorities: Vec<KnownHost>,
}

/// One line of known_hosts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownHost {
    /// File.
    pub file: String,
    /// Line number, from 1.
    pub line: usize,
    /// `ssh-ed25519`, ….
    pub algorithm: String,
    /// `SHA256:…`.
    pub fingerprint: String,
}
