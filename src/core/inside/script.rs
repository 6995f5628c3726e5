//! The script with its parameters put in front.
//!
//! Nothing unchecked may reach the shell: every parameter is held against a narrow form first, and quoted too.

use crate::core::facts::Facts;
use crate::core::facts::local::KeyFileState;
use crate::core::key;
use std::net::IpAddr;

/// The script as it is kept.
const SCRIPT: &str = include_str!("../../../assets/inside.sh");

/// Characters of output that Systems Manager hands over for a command (SSM User Guide, "Run Command").
pub const MAX_OUTPUT: usize = 24_000;

/// Keys that may be asked about.
const MAX_KEYS: usize = 4;

/// Characters of a public key's data: an RSA key of 16384 bits has 2744.
const MAX_BLOB: usize = 2800;

/// What the script is asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    /// Login user.
    pub user: Option<String>,
    /// Client address as the instance sees it.
    pub address: Option<IpAddr>,
    /// Port of the login.
    pub port: u16,
    /// Public keys, `type base64`, without comments; 4 at most.
    pub keys: Vec<String>,
}

/// The keys that a login would offer and whose public half is known, `type base64`, those to look for first.
pub fn offered_keys(facts: &Facts) -> Vec<String> {
    let named = facts.local.keys.iter().filter(|k| k.origin == "-i");
    let others = facts.local.keys.iter().filter(|k| k.origin != "-i");
    let mut out: Vec<String> = Vec::new();
    for probe in named.chain(others) {
        let Some(KeyFileState::Read { key, .. }) = probe.file.value() else { continue };
        // The comment stays here, and what cannot be read as one public key is not asked about.
        let line = key.public.as_deref().and_then(key::public_of).map(|(line, _)| line);
        if let Some(line) = line.filter(|l| !out.contains(l)) {
            out.push(line);
        }
    }
    out.truncate(MAX_KEYS);
    out
}

/// What to ask the script about a target.
pub fn params(facts: &Facts, user: Option<&str>) -> Params {
    // Behind a jump host it is that host's address that the instance sees.
    let through = crate::core::vpc::through_jump(facts);
    let address = if through { crate::core::vpc::flow_of(facts).source } else { facts.source_ip() };
    Params { user: user.map(str::to_owned), address, port: facts.port(), keys: offered_keys(facts) }
}

/// Whether a user name can be put into the script.
fn is_user(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    first
        && name.len() <= 32
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-'))
}

/// Whether a text is `type base64` and nothing else.
pub(super) fn is_key(text: &str) -> bool {
    let Some((kind, blob)) = text.split_once(' ') else { return false };
    let word =
        |s: &str, more: &[u8]| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b));
    kind.len() <= 64 && word(kind, b"-@.") && blob.len() <= MAX_BLOB && word(blob, b"+/=")
}

/// The script to run as root, asked about `params`; or what is wrong with them.
///
/// Comments and indentation are left out: Systems Manager limits the size of a command.
pub fn script(params: &Params) -> Result<String, String> {
    if let Some(user) = params.user.as_deref().filter(|u| !is_user(u)) {
        return Err(format!("'{}' is no user name that can be looked for inside", user.escape_default()));
    }
    if params.port == 0 {
        return Err("port 0 cannot be looked for inside".to_owned());
    }
    if params.keys.len() > MAX_KEYS {
        return Err(format!("{} keys are too many to look for inside: {MAX_KEYS} at most", params.keys.len()));
    }
    if let Some(key) = params.keys.iter().find(|k| !is_key(k)) {
        let start: String = key.chars().take(20).collect();
        return Err(format!("'{}…' is no public key", start.escape_default()));
    }
    let mut out = String::with_capacity(SCRIPT.len());
    let mut set = |name: &str, value: &str| out.push_str(&format!("P22_{name}='{value}'\n"));
    set("USER", params.user.as_deref().unwrap_or_default());
    set("ADDR", &params.address.map(|a| a.to_canonical().to_string()).unwrap_or_default());
    set("PORT", &params.port.to_string());
    for (nth, key) in params.keys.iter().enumerate() {
        set(&format!("KEY{}", nth + 1), key);
    }
    pack(SCRIPT, &mut out);
    Ok(out)
}

/// Appends a script without its comments and indentation.
pub(super) fn pack(script: &str, out: &mut String) {
    for line in script.lines() {
        let line = line.trim_start();
        if !line.is_empty() && !line.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        }
    }
}
