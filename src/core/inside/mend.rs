//! Repair scripts with their values put in front, and the reading of what they print.
//!
//! Nothing unchecked may reach the shell: every value is held against a narrow form first, and quoted too. What the
//! scripts may change is said in the head of each (assets/remote).

mod words;

use super::script::{is_key, pack};
use crate::core::plan::Job;
use std::net::IpAddr;

/// Version of the output that this program reads.
pub const VERSION: u32 = 1;

const FRAME: &str = include_str!("../../../assets/remote/frame.sh");
const ACCOUNT: &str = include_str!("../../../assets/remote/account.sh");
const VALUES: &str = include_str!("../../../assets/remote/values.sh");
const SERVICE: &str = include_str!("../../../assets/remote/service.sh");
const PERMISSIONS: &str = include_str!("../../../assets/remote/permissions.sh");
const ADD_KEY: &str = include_str!("../../../assets/remote/add-key.sh");
const SSHD: &str = include_str!("../../../assets/remote/sshd.sh");
const UNDO: &str = include_str!("../../../assets/remote/undo.sh");

/// Longest comment of a key.
const MAX_COMMENT: usize = 80;

/// What a script is run for.
#[derive(Debug, Clone, Copy)]
pub enum Errand<'a> {
    /// A repair.
    Do(&'a Job),
    /// Take the repair of this token back.
    TakeBack,
    /// Only tell whether the repair of this token was made.
    Status,
}

impl Errand<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::Do(job) => job.name(),
            Self::TakeBack => "undo",
            Self::Status => "status",
        }
    }
}

/// Whether a user name can be put into a script (`useradd` takes no other by default).
pub fn is_user(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
        && name.len() <= 32
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

/// A public key as it is written into authorized_keys: `type base64 comment`, with a comment that no shell and no
/// terminal can misread. `None` when it is no public key.
pub fn key_line(line: &str, comment: &str) -> Option<String> {
    let (bare, _) = crate::core::key::public_of(line)?;
    let word = |c: char| if c.is_ascii_alphanumeric() || "@._:+=/-".contains(c) { c } else { '_' };
    let own: String = line.split_whitespace().skip(2).collect::<Vec<_>>().join("_");
    let comment: String = if own.is_empty() { comment } else { &own }.chars().take(MAX_COMMENT).map(word).collect();
    Some(format!("{bare} {comment}").trim_end().to_owned())
}

/// Whether a text is `type base64` with at most a comment of harmless letters.
fn is_key_line(text: &str) -> bool {
    let mut words = text.splitn(3, ' ');
    let (Some(kind), Some(blob)) = (words.next(), words.next()) else { return false };
    let comment = words.next().unwrap_or_default();
    is_key(&format!("{kind} {blob}"))
        && comment.len() <= MAX_COMMENT
        && comment.bytes().all(|b| b.is_ascii_alphanumeric() || b"@._:+=/-".contains(&b))
}

/// The script to run as root for an errand; `token` names its record on the instance. Fails with what is wrong with a
/// value.
pub fn script(errand: Errand<'_>, token: &str) -> Result<String, String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if token.is_empty() || token.len() > 80 || !token.bytes().all(good) {
        return Err(format!("'{}' is no name of a change", token.escape_default()));
    }
    let mut out = String::with_capacity(32 * 1024);
    let mut set = |name: &str, value: &str| out.push_str(&format!("P22_{name}='{value}'\n"));
    set("JOB", errand.name());
    set("TOKEN", token);
    let user = |name: &str| {
        if is_user(name) {
            Ok(())
        } else {
            Err(format!("'{}' is no user name that a script may be given", name.escape_default()))
        }
    };
    let address = |a: &Option<IpAddr>| a.map(|a| a.to_canonical().to_string()).unwrap_or_default();
    let parts: &[&str] = match errand {
        Errand::Do(Job::Permissions { user: name, address: from }) => {
            user(name)?;
            set("USER", name);
            set("ADDR", &address(from));
            &[FRAME, ACCOUNT, PERMISSIONS]
        }
        Errand::Do(Job::AddKey { user: name, address: from, key, replace }) => {
            user(name)?;
            if !is_key_line(key) {
                return Err("the key is no public key that a script may be given".to_owned());
            }
            let old = replace.as_deref().unwrap_or_default();
            if !old.is_empty() && !is_key(&format!("ssh-key {old}")) {
                return Err("the key to be replaced is no public key".to_owned());
            }
            set("USER", name);
            set("ADDR", &address(from));
            set("KEY", key);
            set("OLD", old);
            &[FRAME, ACCOUNT, ADD_KEY]
        }
        Errand::Do(Job::Sshd { user: name, address: from, port, own, let_in, firewall }) => {
            if let Some(name) = name {
                user(name)?;
            }
            if *port == 0 {
                return Err("sshd cannot listen at port 0".to_owned());
            }
            set("USER", name.as_deref().unwrap_or_default());
            set("ADDR", &address(from));
            set("PORT", &port.to_string());
            set("OWN", &address(own));
            set("LET", if *let_in { "yes" } else { "no" });
            set("FW", if *firewall { "yes" } else { "no" });
            &[FRAME, SERVICE, VALUES, SSHD]
        }
        Errand::TakeBack | Errand::Status => &[FRAME, SERVICE, VALUES, UNDO],
    };
    // A function holds it all, so that a script that arrives cut runs nothing.
    out.push_str("p22_main() {\n");
    for part in parts {
        pack(part, &mut out);
    }
    out.push_str("}\np22_main </dev/null 2>/dev/null\n");
    Ok(out)
}

/// What a script did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// How it ended.
    pub end: End,
    /// What it changed, in words, in order.
    pub did: Vec<String>,
    /// How things were before, as the script wrote it down.
    pub before: Vec<String>,
    /// What is worth knowing besides, in words.
    pub notes: Vec<String>,
}

/// How a script ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Things were changed.
    Changed,
    /// Everything already was as wanted.
    Nothing,
    /// It could not be done, and nothing is changed, for this reason in words.
    Failed(String),
    /// It could not be done, and not everything could be put back.
    Stuck(String),
}

/// Reads the output of a script; fails with one sentence when it is not whole or not that script's.
pub fn parse(output: &str, errand: Errand<'_>, token: &str) -> Result<Mended, String> {
    let mut lines = output.lines().map(str::trim_end).skip_while(|l| !l.starts_with("port22-fix "));
    let head = lines.next().ok_or("the script did not begin: the shell printed something else, or nothing")?;
    if head != format!("port22-fix {VERSION} {} {token}", errand.name()) {
        return Err("the output is that of another script".to_owned());
    }
    let mut mended = Mended { end: End::Nothing, did: Vec::new(), before: Vec::new(), notes: Vec::new() };
    for line in lines {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "port22-fix-end" => {
                let mut words = rest.splitn(3, ' ');
                let state = words.next().unwrap_or_default();
                let reason = words.nth(1).unwrap_or_default();
                mended.end = match state {
                    "ok" => End::Changed,
                    "nothing" => End::Nothing,
                    "fail" => match reason.strip_prefix("not-put-back ") {
                        Some(reason) => End::Stuck(words::reason(reason, &mended)),
                        None => End::Failed(words::reason(reason, &mended)),
                    },
                    _ => return Err("the script's last line cannot be read".to_owned()),
                };
                return Ok(mended);
            }
            "did" => mended.did.push(words::did(rest)),
            "before" => mended.before.push(rest.to_owned()),
            "attribute" | "note" | "left" | "added" => mended.notes.push(words::note(word, rest)),
            _ => {}
        }
    }
    Err("the script did not come to its end".to_owned())
}

#[cfg(test)]
mod tests;
