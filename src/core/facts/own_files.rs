//! What plans for local files need to know of them: full paths, digests, what is free beside them.
//!
//! Must not hold key material, passphrases, or the content of files that are not port22's own.

use crate::core::facts::aws::KeyPair;

/// A key file that may be converted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyToConvert {
    /// As the login names it.
    pub path: String,
    /// In full.
    pub full: String,
    /// SHA-256 of its content, hexadecimal.
    pub sha256: String,
    /// Names in its directory that begin as its own does.
    pub beside: Vec<String>,
    /// The passphrase.
    pub passphrase: Passphrase,
}

/// What is known of the passphrase of a key file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Passphrase {
    /// It needs none.
    #[default]
    NotNeeded,
    /// It is at hand and opens the file; where it comes from.
    Opens(String),
    /// It is at hand and does not open the file; where it comes from.
    Wrong(String),
    /// A program will be asked for it; which.
    WillAsk(String),
    /// The user will be asked for it on the terminal; `again` when what was typed before does not open the file.
    ToType {
        /// Whether it was typed before.
        again: bool,
    },
    /// Nobody can be asked.
    Missing,
    /// The file cannot be opened, whatever the passphrase; why.
    Hopeless(String),
}

/// The host key that a server shows, and where ssh would look it up, for plans that write known_hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostKeyPlaces {
    /// The server's host key as `type base64`, when it was asked for and shown.
    pub shown: Option<String>,
    /// Why it is not known.
    pub why: String,
    /// Names as known_hosts has them, the one that ssh looks up first.
    pub names: Vec<String>,
    /// The files, in the order in which ssh reads them.
    pub files: Vec<KnownHostsFile>,
}

/// One known_hosts file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownHostsFile {
    /// Path in full.
    pub path: String,
    /// Whether it is the user's own.
    pub own: bool,
    /// SHA-256 of its content; `None`: there is no file.
    pub sha256: Option<String>,
    /// Lines for the names.
    pub lines: Vec<KnownLine>,
}

/// One line of a known_hosts file that is for the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownLine {
    /// Line number, from 1.
    pub number: usize,
    /// Its first word: names, patterns or a hash.
    pub hosts: String,
    /// Its key as `type base64`.
    pub key: String,
    /// Whether it is marked (`@revoked`, `@cert-authority`).
    pub marked: bool,
}

impl KnownLine {
    /// Whether its first word has patterns, so that it is for other hosts too.
    pub fn is_pattern(&self) -> bool {
        !self.hosts.starts_with('|') && self.hosts.contains(['*', '?', '!'])
    }
}

/// The user's ssh configuration, for plans that write it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigFiles {
    /// The configuration file in full.
    pub main: String,
    /// Its SHA-256; `None`: there is no file.
    pub main_sha256: Option<String>,
    /// Whether its first words include port22's own file.
    pub included: bool,
    /// Whether it is the user's own and may be written.
    pub writable: bool,
    /// port22's own file in full.
    pub own: String,
    /// Its content; `None`: there is no file. It holds Host blocks, no secrets.
    pub own_text: Option<String>,
    /// SHA-256 of that.
    pub own_sha256: Option<String>,
    /// Host keys as `type base64` that known_hosts has for the instance id as an alias.
    pub alias_keys: Vec<String>,
    /// Key files of the login in full, by the path that the login names.
    pub keys: Vec<(String, String)>,
    /// AWS profile in use, when one is named.
    pub profile: Option<String>,
    /// Whether the aws CLI and its Session Manager plugin are installed.
    pub session_tools: bool,
}

/// The key pairs of a Region, and what is in the way of a new file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeyPairs {
    /// Every pair, with its public half where EC2 tells it.
    pub pairs: Vec<KeyPair>,
    /// `~/.ssh` in full; empty without a home directory.
    pub ssh_dir: String,
    /// Names of the files there.
    pub names: Vec<String>,
}
