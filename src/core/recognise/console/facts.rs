//! Facts that a console log prints: host keys, the authorized-keys table, the system's name.
//!
//! Reads only; it must not judge whether the boot went well. Shapes: cloud-init's
//! `cc_ssh_authkey_fingerprints.py` and `cc_keys_to_console.py`, ssh-keygen, the issue files of
//! agetty, Ignition's and SUSE's `SSH host key:` lines.

use super::super::flat::Flat;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use regex::Regex;
use std::sync::LazyLock;

/// Long texts of untrusted origin name no more keys than this.
const MOST_KEYS: usize = 64;

static FINGERPRINT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\bSHA256:[A-Za-z0-9+/]{43}").ok());
static PUBLIC_KEY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"\b(ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp(?:256|384|521)) (AAAA[A-Za-z0-9+/]{40,2000}={0,2})").ok()
});
static TABLE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"[Aa]uthorized keys? from \S+ for user ([A-Za-z_][A-Za-z0-9_.-]*)\+*").ok());
static NO_KEYS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)no authorized ssh keys fingerprints found for user ([A-Za-z_][A-Za-z0-9_.-]*[A-Za-z0-9_-]|[A-Za-z_])",
    )
    .ok()
});
static IGNITION_USER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)wrote ssh authorized keys file for user: ?([a-z_][a-z0-9_.-]*[a-z0-9_-]|[a-z_])").ok()
});
static HEX: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\b(?:[0-9a-f]{2}:){15,31}[0-9a-f]{2}\b").ok());
/// `Ubuntu 24.04.1 LTS ip-10-0-0-9 ttyS0`: agetty's issue on Debian's family.
static ISSUE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^([A-Z][A-Za-z]+(?: GNU/Linux)? [A-Za-z0-9 ./()-]{0,60}?) \S+ (?:ttyS|ttyAMA|tty|hvc)\d+$").ok()
});
/// `Welcome to Amazon Linux 2023.6.20241010!`: systemd's greeting.
static WELCOME: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\bWelcome to ([A-Z][^!<>]{2,80})!").ok());
/// Systems that put more on the line of their name.
static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?x)^(?: (?:\S+\ )?OsProductName:\ (?P<windows>Windows\ [\w\ .]{2,60})
          | <<<\ Welcome\ to\ (?P<nixos>NixOS\ \S+)
          | (?P<arch>Arch\ Linux)\ \S+\ \(tty
          | Welcome\ to\ (?P<suse>(?:SUSE|openSUSE)\ [A-Za-z0-9\ .]{2,60}?)\ +(?:\(\w+\)\ )?-\ Kernel
          | Welcome\ to\ (?P<alpine>Alpine\ Linux\ [0-9._a-z]+)
          | (?P<freebsd>FreeBSD\ \d+\.\d+-\S+))",
    )
    .ok()
});

/// Fingerprints of host keys as printed: cloud-init's list, `SSH host key:` lines, and what
/// ssh-keygen says when the keys are made. Never those of users' keys in sshd's log.
pub fn host_keys(flat: &Flat) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut inside = false;
    let mut made = false;
    for (_, line) in flat.lines() {
        if line.contains("BEGIN SSH HOST KEY FINGERPRINTS") {
            inside = true;
        }
        let listed =
            inside || made || line.contains(" root@") || line.to_ascii_lowercase().contains("ssh host key: sha");
        if listed
            && !line.contains("sshd")
            && let Some(re) = FINGERPRINT.as_ref()
        {
            for found in re.find_iter(line) {
                if out.len() < MOST_KEYS && !out.iter().any(|o| o == found.as_str()) {
                    out.push(found.as_str().to_owned());
                }
            }
        }
        if ["END SSH HOST KEY FINGERPRINTS", "BEGIN SSH HOST KEY KEYS", "Cloud-init v."]
            .iter()
            .any(|w| line.contains(w))
        {
            inside = false;
        }
        made = line.ends_with("The key fingerprint is:");
    }
    out
}

/// The host's public keys (`ssh-ed25519 AAAA…`, without comment) between cloud-init's KEYS marks,
/// each checked to be of the type that it says.
pub fn host_public_keys(flat: &Flat) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut inside = false;
    for (_, line) in flat.lines() {
        inside |= line.contains("BEGIN SSH HOST KEY KEYS");
        if inside && let Some(re) = PUBLIC_KEY.as_ref() {
            for key in re.captures_iter(line) {
                let (kind, body) = (key.get(1).map_or("", |m| m.as_str()), key.get(2).map_or("", |m| m.as_str()));
                let whole = format!("{kind} {body}");
                if out.len() < MOST_KEYS && is_of_type(kind, body) && !out.contains(&whole) {
                    out.push(whole);
                }
            }
        }
        if line.contains("END SSH HOST KEY KEYS") {
            inside = false;
        }
    }
    out
}

/// RFC 4253: the key begins with its type's length and name. A body that was torn does not decode
/// to whole fields.
fn is_of_type(kind: &str, body: &str) -> bool {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let Ok(bytes) = GeneralPurpose::new(&STANDARD, config).decode(body) else { return false };
    let mut rest = bytes.as_slice();
    let mut first = true;
    while !rest.is_empty() {
        let Some((size, tail)) = rest.split_first_chunk::<4>() else { return false };
        let Some((field, tail)) = tail.split_at_checked(u32::from_be_bytes(*size) as usize) else { return false };
        if first && field != kind.as_bytes() {
            return false;
        }
        first = false;
        rest = tail;
    }
    !first
}

/// What the authorized-keys table says.
#[derive(Debug, Default)]
pub struct Keys {
    /// The login name that the table is for.
    pub user: Option<String>,
    /// Hexadecimal with colons: SHA-256, or MD5 in old logs.
    pub fingerprints: Vec<String>,
    /// It says that the user has no key.
    pub none: bool,
}

/// User and fingerprints of cloud-init's authorized-keys table. Of several tables the last one that
/// is not root's counts.
pub fn authorized_keys(flat: &Flat) -> Keys {
    let mut best = Keys::default();
    let mut now = Keys::default();
    for (_, line) in flat.lines() {
        let capture = |re: &Option<Regex>| {
            re.as_ref().and_then(|re| re.captures(line)).and_then(|c| Some(c.get(1)?.as_str().to_owned()))
        };
        if let Some(user) = capture(&TABLE) {
            best = better(best, std::mem::replace(&mut now, Keys { user: Some(user), ..Keys::default() }));
        } else if line.contains("no authorized")
            && let Some(user) = capture(&NO_KEYS)
        {
            best = better(best, std::mem::replace(&mut now, Keys { user: Some(user), none: true, ..Keys::default() }));
        } else if let Some(user) = capture(&IGNITION_USER) {
            best = better(best, std::mem::replace(&mut now, Keys { user: Some(user), ..Keys::default() }));
        }
        if (line.contains("ci-info") || line.starts_with("ssh-"))
            && ["ssh-", "ecdsa-", "sk-"].iter().any(|t| line.contains(t))
            && let Some(print) = table_print(line)
            && now.fingerprints.len() < MOST_KEYS
        {
            now.fingerprints.push(print);
        }
    }
    better(best, now)
}

fn better(old: Keys, new: Keys) -> Keys {
    let is_root = |keys: &Keys| keys.user.as_deref() == Some("root");
    match (&old.user, &new.user) {
        (Some(_), None) => Keys { fingerprints: [old.fingerprints, new.fingerprints].concat(), ..old },
        (Some(_), Some(_)) if (is_root(&new) && !is_root(&old)) || (new.none && !old.none) => old,
        (None, Some(_)) if new.fingerprints.is_empty() => Keys { fingerprints: old.fingerprints, ..new },
        _ => new,
    }
}

/// A row's fingerprint as hexadecimal; newer tables may print base64.
fn table_print(line: &str) -> Option<String> {
    if let Some(found) = HEX.as_ref().and_then(|re| re.find(line)) {
        return Some(found.as_str().to_owned());
    }
    let word = FINGERPRINT.as_ref()?.find(line)?.as_str().strip_prefix("SHA256:")?;
    let bytes = base64::engine::general_purpose::STANDARD_NO_PAD.decode(word).ok()?;
    Some(bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":"))
}

/// The operating system's name as its login banner or systemd's greeting gives it; the last one.
pub fn os_name(flat: &Flat) -> Option<String> {
    let mut banner = None;
    let mut greeting = None;
    let mut before = "";
    for (_, line) in flat.lines() {
        if let Some(found) = ISSUE.as_ref().and_then(|re| re.captures(line)).and_then(|c| c.get(1)) {
            banner = Some(found.as_str().to_owned());
        } else if let Some(captures) = NAMED.as_ref().and_then(|re| re.captures(line)) {
            let named = captures.iter().skip(1).flatten().next();
            banner = named.map(|m| m.as_str().trim().to_owned()).or(banner);
        } else if line.starts_with("Kernel ") && line.contains(" on an ") && looks_like_name(before) {
            banner = Some(before.strip_prefix("Welcome to ").unwrap_or(before).to_owned());
        } else if let Some(found) = WELCOME.as_ref().and_then(|re| re.captures(line)).and_then(|c| c.get(1)) {
            let name = found.as_str().split(" dracut-").next().unwrap_or_default().trim();
            if !name.contains("GRUB") && !name.starts_with("emergency") && looks_like_name(name) {
                greeting = Some(name.to_owned());
            }
        }
        if !line.is_empty() {
            before = line;
        }
    }
    banner.or(greeting)
}

fn looks_like_name(line: &str) -> bool {
    line.len() < 80
        && line.starts_with(|c: char| c.is_ascii_uppercase())
        && line.chars().all(|c| c.is_ascii_alphanumeric() || " .()/-_:".contains(c))
}
