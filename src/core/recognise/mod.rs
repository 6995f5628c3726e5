//! Recognises what people paste: the output of SSH clients and tools, and EC2 console logs.
//!
//! Pure and total: any text gives an answer, in time linear in its length, without a panic. The
//! recognisers know programs' own words (`tables`), never a particular sample, and say `other`
//! rather than guess. They do not look at the world: probes do. Used by `identify`, by the start
//! screen, by `port22 ssh`, and (console) by the checks on an instance's console output.

mod address;
mod causes;
mod clean;
mod command_line;
mod console;
mod elsewhere;
mod explain;
mod extract;
mod flat;
mod login;
mod loose;
mod names;
mod probe;
mod ssh;
mod tables;
#[cfg(test)]
mod tests;

pub use clean::{clean, strip_controls};
pub use command_line::{SshCommand, command_line};
pub use console::last_boot;

use serde::{Deserialize, Serialize};

/// What kind of text it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Output of a client or tool (or a server's log) around a login.
    Ssh,
    /// The console log of an instance.
    Console,
}

/// What the text names. A field that it does not name is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Extract {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_path: Option<String>,
    /// As printed: `0644`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_mode: Option<String>,
    /// The authentication methods that the server still offers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<String>>,
}

/// The answer to a paste.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recognised {
    pub kind: Kind,
    /// A symptom id of the contract; `other` if none.
    pub symptom: String,
    /// Symptoms that the same words leave open.
    pub also: Vec<String>,
    /// The program that printed it (`openssh`, `putty`, …); `unknown` if nothing tells.
    pub client: String,
    pub extract: Extract,
    /// One or two sentences: what the message proves, and where to look.
    pub explanation: String,
    /// X of `Please login as the user "X"`.
    pub login_user_hint: Option<String>,
    /// The command line that was pasted with the message.
    pub command: Option<SshCommand>,
    /// Root-cause ids that the text itself proves or names best.
    pub causes: Vec<String>,
    /// SHA256 fingerprints of the host's keys that a console log prints.
    pub host_keys: Vec<String>,
    /// The user of a console log's authorized-keys table.
    pub console_user: Option<String>,
    /// Fingerprints of that table, hex, as printed (SHA-256, or MD5 in old logs).
    pub console_key_fingerprints: Vec<String>,
    /// The deciding lines, cleaned.
    pub evidence: Vec<String>,
    /// The host's public keys that a console log prints whole (`ssh-ed25519 AAAA…`, no comment).
    #[serde(default)]
    pub host_public_keys: Vec<String>,
    /// The operating system's name in a console log's login banner or greeting.
    #[serde(default)]
    pub os_name: Option<String>,
    /// The version line of the ssh that printed the text (`OpenSSH_9.6p1 …`), as `ssh -v` and `ssh -V` write it.
    #[serde(default)]
    pub client_version: Option<String>,
}

/// Recognises a text; `forced` says what kind it is, otherwise the text decides.
pub fn identify(text: &str, forced: Option<Kind>) -> Recognised {
    match forced.unwrap_or_else(|| if console::looks_like_console(text) { Kind::Console } else { Kind::Ssh }) {
        Kind::Ssh => ssh(text),
        Kind::Console => console(text),
    }
}

/// Recognises the output of a client, tool or server log.
pub fn ssh(text: &str) -> Recognised {
    ssh::recognise(text)
}

/// Recognises an instance's console log. With several boots in it, the last one counts.
pub fn console(text: &str) -> Recognised {
    console::recognise(text)
}
