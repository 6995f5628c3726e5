//! known_hosts: the host keys that the client remembers for a target.
//!
//! Reads only: nothing here adds, changes or removes a line. Which lines match is OpenSSH's rule
//! (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"; hostfile.c, match.c). Used by the known_hosts probe.

use crate::core::fact::{Fact, Why};
use crate::core::facts::local::{KnownHost, KnownHosts};
use crate::core::facts::own_files::KnownLine;
use crate::edge::keys::expand;
use crate::edge::tcp::os_words;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use std::io::{ErrorKind, Read as _};

/// Files that ssh reads when the configuration names none (ssh_config(5), `UserKnownHostsFile`,
/// `GlobalKnownHostsFile`).
pub const DEFAULT_FILES: [&str; 4] =
    ["~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];

/// Files are read up to this size.
const LONGEST: u64 = 32 * 1024 * 1024;

/// Lines for any of `names` (name, address) at `port`, in the given files or, if none are given, the
/// default ones. A `HostKeyAlias` stands for name and port: look it up alone, with port 22. Lines
/// marked `@revoked` or `@cert-authority` are no remembered host keys: they come in lists of their own.
pub async fn lookup(names: &[String], port: u16, files: &[String]) -> Fact<KnownHosts> {
    let names: Vec<String> = names.iter().map(|name| entry_name(name, port)).collect();
    let files: Vec<String> = if files.is_empty() { DEFAULT_FILES.map(str::to_owned).into() } else { files.to_vec() };
    let work = move || read_all(&names, &files);
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Fact::unknown(Why::failed("reading known_hosts", error.to_string())))
}

fn read_all(names: &[String], files: &[String]) -> Fact<KnownHosts> {
    let mut found = KnownHosts::default();
    for file in files.iter().filter(|file| *file != "none" && !file.is_empty()) {
        // A named pipe would never end.
        if expand(file).metadata().is_ok_and(|seen| !seen.is_file() && !seen.is_dir()) {
            continue;
        }
        let text = std::fs::File::open(expand(file)).and_then(|opened| {
            let mut bytes = Vec::new();
            opened.take(LONGEST).read_to_end(&mut bytes).map(|_| bytes)
        });
        match text {
            Ok(bytes) => {
                for (marker, line) in search(&String::from_utf8_lossy(&bytes), names, file) {
                    match marker {
                        Marker::None => found.entries.push(line),
                        Marker::Revoked => found.revoked.push(line),
                        Marker::Authority => found.authorities.push(line),
                    }
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => {
                return Fact::unknown(Why::failed(format!("reading {file}"), os_words(&error)));
            }
        }
    }
    Fact::known(found, files.join(", "))
}

/// Every line of a text that ssh would take for one of the names, marked ones too.
pub(super) fn lines_for(text: &str, names: &[String]) -> Vec<KnownLine> {
    let line = |(index, line): (usize, &str)| {
        let mut words = line.split_ascii_whitespace().peekable();
        let marked = words.peek()?.starts_with('@');
        if marked {
            words.next();
        }
        let hosts = words.next().filter(|word| !word.starts_with('#'))?;
        if !names.iter().any(|name| is_for(hosts, name)) {
            return None;
        }
        let (algorithm, blob) = (words.next()?, words.next()?);
        Some(KnownLine { number: index + 1, hosts: hosts.to_owned(), key: format!("{algorithm} {blob}"), marked })
    };
    text.lines().enumerate().filter_map(line).collect()
}

/// The name as known_hosts has it: small letters, and `[name]:port` unless the port is 22.
pub(super) fn entry_name(name: &str, port: u16) -> String {
    let name = name.trim_matches(['[', ']']).to_ascii_lowercase();
    if port == crate::core::target::SSH_PORT { name } else { format!("[{name}]:{port}") }
}

/// What a line is, besides a host key (sshd(8): "an optional marker").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marker {
    None,
    Revoked,
    Authority,
}

/// Lines of one file's text that match any of the names.
fn search(text: &str, names: &[String], file: &str) -> Vec<(Marker, KnownHost)> {
    text.lines()
        .enumerate()
        .filter_map(|(index, line)| {
            entry(line, names).map(|(marker, algorithm, fingerprint)| {
                (marker, KnownHost { file: file.to_owned(), line: index + 1, algorithm, fingerprint })
            })
        })
        .collect()
}

/// Marker, key type and fingerprint of a line, if it is for any of the names.
fn entry(line: &str, names: &[String]) -> Option<(Marker, String, String)> {
    let mut words = line.split_ascii_whitespace().peekable();
    let marker = match *words.peek()? {
        "@revoked" => Marker::Revoked,
        "@cert-authority" => Marker::Authority,
        _ => Marker::None,
    };
    if marker != Marker::None {
        words.next();
    }
    let hosts = words.next().filter(|word| !word.starts_with('#') && !word.starts_with('@'))?;
    if !names.iter().any(|name| is_for(hosts, name)) {
        return None;
    }
    let algorithm = words.next()?;
    let blob = STANDARD.decode(words.next()?).ok()?;
    // The blob begins with its own type; a line of protocol 1 (bits, exponent, modulus) does not.
    let named = blob.get(4..4 + algorithm.len()).is_some_and(|inner| inner == algorithm.as_bytes());
    named.then(|| (marker, algorithm.to_owned(), format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&blob)))))
}

/// Whether the first word of a line is for a name: hashed, or a list of patterns of which one matches
/// and no negated one does.
fn is_for(hosts: &str, name: &str) -> bool {
    if let Some(hashed) = hosts.strip_prefix("|1|") {
        return is_hash_of(hashed, name);
    }
    let mut matched = false;
    for pattern in hosts.split(',') {
        let (pattern, negated) = pattern.strip_prefix('!').map_or((pattern, false), |pattern| (pattern, true));
        if matches(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes()) {
            if negated {
                return false;
            }
            matched = true;
        }
    }
    matched
}

/// `salt|hash`, both base64: HMAC-SHA1 of the name with the salt as key (`ssh-keygen -H`).
fn is_hash_of(hashed: &str, name: &str) -> bool {
    let Some((salt, hash)) = hashed.split_once('|') else {
        return false;
    };
    let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else {
        return false;
    };
    hmac_sha1(&salt, name.as_bytes())[..] == hash[..]
}

/// HMAC (RFC 2104) with SHA-1.
fn hmac_sha1(key: &[u8], message: &[u8]) -> [u8; 20] {
    const BLOCK: usize = 64;
    let mut padded = [0; BLOCK];
    if key.len() > BLOCK {
        padded[..20].copy_from_slice(&Sha1::digest(key));
    } else {
        padded[..key.len()].copy_from_slice(key);
    }
    let inner = Sha1::new().chain_update(padded.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha1::new().chain_update(padded.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

/// `*` stands for any text, `?` for one character (OpenSSH match.c). Linear in practice: on a mismatch
/// it goes back to the last `*` only.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK2pr+Bfus1hvPof4Wb/plZCzSbqadHH0u+/f4ODtKnE";

    /// Line numbers that match a name.
    fn lines(text: &str, name: &str, port: u16) -> Vec<usize> {
        let found = search(text, &[entry_name(name, port)], "f").into_iter();
        found.filter(|(marker, _)| *marker == Marker::None).map(|(_, entry)| entry.line).collect()
    }

    /// Line numbers of marked lines that match a name.
    fn marked(text: &str, name: &str) -> Vec<(Marker, usize)> {
        let found = search(text, &[entry_name(name, 22)], "f").into_iter();
        found.filter(|(marker, _)| *marker != Marker::None).map(|(marker, entry)| (marker, entry.line)).collect()
    }

    #[test]
    fn names_ports_and_patterns_are_matched_as_ssh_does() {
        let text = [
            "# a comment",
            "",
            &format!("web,203.0.113.7 {KEY} comment"),
            &format!("[web]:2222 {KEY}"),
            &format!("*.example.com,!bad.example.com {KEY}"),
            &format!("@revoked web {KEY}"),
            &format!("@cert-authority * {KEY}"),
            &format!("  WEB? {KEY}"),
            "web ssh-ed25519 not-base64",
            "web 1024 35 1234567",
            "web",
        ]
        .join("\r\n");
        assert_eq!(lines(&text, "web", 22), [3]);
        assert_eq!(lines(&text, "Web", 2222), [4]);
        assert_eq!(lines(&text, "203.0.113.7", 22), [3]);
        assert_eq!(lines(&text, "203.0.113.7", 2222), [0; 0]);
        assert_eq!(lines(&text, "a.example.com", 22), [5]);
        assert_eq!(lines(&text, "bad.example.com", 22), [0; 0]);
        assert_eq!(lines(&text, "web1", 22), [8]);
        assert_eq!(lines(&text, "web12", 22), [0; 0]);
        assert_eq!(marked(&text, "web"), [(Marker::Revoked, 6), (Marker::Authority, 7)]);
        assert_eq!(marked(&text, "other"), [(Marker::Authority, 7)]);
    }

    #[test]
    fn hashed_names_are_found() {
        // Made with `ssh-keygen -H` from the lines `web …` and `[2001:db8::1]:2222 …`.
        let text = format!(
            "|1|kLkekov2YFQ4IpevGewBYlxs2go=|2lWhl7Z+PaOeqSP5pl+/IRJWVoc= {KEY}\n|1|YP8/eTJ93bGyDvUzOo+OJ7bMS94=|0Lt0V8+eerxadvsku0x8+Tz4LLk= {KEY}\n|1|broken {KEY}\n"
        );
        assert_eq!(lines(&text, "web", 22), [1]);
        assert_eq!(lines(&text, "2001:db8::1", 2222), [2]);
        assert_eq!(lines(&text, "[2001:db8::1]", 2222), [2]);
        assert_eq!(lines(&text, "2001:db8::1", 22), [0; 0]);
    }

    #[test]
    fn the_fingerprint_is_that_of_ssh_keygen() {
        let found = search(&format!("web {KEY}"), &["web".to_owned()], "~/.ssh/known_hosts");
        let wanted = KnownHost {
            file: "~/.ssh/known_hosts".to_owned(),
            line: 1,
            algorithm: "ssh-ed25519".to_owned(),
            fingerprint: "SHA256:wX9j+SP2h7N0y1ZKQdM3E2rXGeJIBFZbmJjfvWeAgd0".to_owned(),
        };
        assert_eq!(found, [(Marker::None, wanted)]);
    }

    #[test]
    fn hmac_agrees_with_the_examples_of_rfc_2202() {
        let hex = |bytes: [u8; 20]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        assert_eq!(hex(hmac_sha1(&[0x0b; 20], b"Hi There")), "b617318655057264e28bc0b6fb378c8ef146be00");
        assert_eq!(
            hex(hmac_sha1(b"Jefe", b"what do ya want for nothing?")),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
        assert_eq!(
            hex(hmac_sha1(&[0xaa; 80], b"Test Using Larger Than Block-Size Key - Hash Key First")),
            "aa4ae5e15272d00e95705637ce8a3b55ed402112"
        );
    }

    #[tokio::test]
    async fn files_are_read_in_order_and_missing_ones_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("one"), format!("other {KEY}\nweb {KEY}\n")).unwrap();
        std::fs::write(path("two"), format!("web {KEY}\n")).unwrap();
        let files = [path("one"), path("none"), path("two"), "none".to_owned()];
        let fact = lookup(&["web".to_owned(), "203.0.113.7".to_owned()], 22, &files).await;
        let found: Vec<_> =
            fact.value().unwrap().entries.iter().map(|entry| (entry.file.clone(), entry.line)).collect();
        assert_eq!(found, [(path("one"), 2), (path("two"), 1)]);
        let unreadable = lookup(&["web".to_owned()], 22, &[dir.path().to_str().unwrap().to_owned()]).await;
        assert!(unreadable.why_not().is_some(), "a directory is no file: {unreadable:?}");
    }
}
