//! The user data that repairs a login: one cloud-boothook, made from a template and three values.
//!
//! cloud-init runs a boothook at every boot in the network stage, before sshd, and touches nothing else for it: no
//! module list, no first-boot script (cloud-init documentation, "User-data formats", "Cloud boothook"). The script ends
//! itself by a marker named after its nonce once it has worked. It must hold no secret: everything on the
//! instance can read user data, and so can whoever may call `ec2:DescribeInstanceAttribute`.

use crate::core::text::hex;
use sha2::{Digest as _, Sha256};

/// The script; `@USER@`, `@PUBKEY@` and `@NONCE@` stand for the values, each inside single quotes.
const TEMPLATE: &str = include_str!("../../assets/user-data-repair.sh");
/// Bytes of raw user data that EC2 takes (User Guide, "Run commands when you launch an EC2 instance with user data input").
pub const LIMIT: usize = 16 * 1024;
/// What the public key that is added is called in authorized_keys.
const COMMENT: &str = "added-by-port22";

/// The script as it is before its values are put in, to be read.
pub fn template() -> &'static str {
    TEMPLATE
}

/// The user data, raw. Fails with a sentence when a value is not what may stand inside the script's quotes, or when
/// the whole is longer than EC2 takes.
pub fn body(user: &str, public_key: Option<&str>, nonce: &str) -> Result<Vec<u8>, String> {
    if !valid_user(user) {
        return Err(format!("'{user}' is no user name that a script may be given"));
    }
    if nonce.is_empty() || !nonce.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()) {
        return Err("the mark of the repair must be small letters and digits".to_owned());
    }
    let key = public_key.map(key_line).transpose()?.unwrap_or_default();
    let body = TEMPLATE.replace("@USER@", user).replace("@PUBKEY@", &key).replace("@NONCE@", nonce);
    if body.len() > LIMIT {
        return Err(format!("the repair would have {} bytes, and EC2 takes {LIMIT}", body.len()));
    }
    Ok(body.into_bytes())
}

/// Whether a text is a user name as `useradd` of every Linux takes it: `^[a-z_][a-z0-9_-]{0,31}$`.
pub fn valid_user(user: &str) -> bool {
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    user.len() <= 32
        && user.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
        && user.bytes().all(rest)
}

/// `type base64 comment` of a public key given as `type base64 [comment]`; the given comment is dropped.
fn key_line(public_key: &str) -> Result<String, String> {
    let mut words = public_key.split(' ');
    let (kind, blob) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let plain = |text: &str, more: &[u8]| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    if plain(kind, b"-@.") && plain(blob, b"+/=") {
        Ok(format!("{kind} {blob} {COMMENT}"))
    } else {
        Err("the public key is not of the form 'type base64'".to_owned())
    }
}

/// The nonce of user data that is such a repair, whoever made it; `None` for other user data.
pub fn nonce_of(raw: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(raw).ok()?;
    if !text.starts_with("#cloud-boothook\n") || !text.contains("sshfix[$N]") {
        return None;
    }
    let from = text.split_once(" N='")?.1;
    from.split_once('\'').map(|(nonce, _)| nonce.to_owned()).filter(|nonce| !nonce.is_empty())
}

/// SHA-256 of raw user data, 64 hexadecimal digits: how it is named where its content must not be.
pub fn digest(raw: &[u8]) -> String {
    hex(&Sha256::digest(raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMtUb/5YQ2O+0J9bWfTqkx1ZpZsV1v1m8XoKQJqfVv6P";

    #[test]
    fn the_repair_is_one_boothook_with_its_values_in_quotes() {
        let body = String::from_utf8(body("ec2-user", Some(&format!("{KEY} mia's laptop")), "a1b2").unwrap()).unwrap();
        assert!(body.starts_with("#cloud-boothook\n#!/bin/sh\nU='ec2-user'; K='ssh-ed25519 AAAA"), "{body}");
        assert!(body.contains(&format!("K='{KEY} added-by-port22'; N='a1b2';")), "{body}");
        assert!(!body.contains('@') && !body.contains("mia") && !body.contains("chown -R"), "{body}");
        assert!(body.len() < 4096 && body.ends_with("exit 0\n"));
        assert_eq!(nonce_of(body.as_bytes()).as_deref(), Some("a1b2"));
    }

    #[test]
    fn what_could_leave_the_quotes_is_refused() {
        for user in ["", "Admin", "a'b", "a b", "-a", "1a", "ec2-user\n", &"a".repeat(33), "admin;id"] {
            assert!(super::body(user, None, "a").is_err(), "{user:?}");
        }
        for key in ["", "ssh-rsa", "ssh-rsa AA'AA", "ssh-rsa\nAAAA x", "ssh-rsa $(id)", " AAAA"] {
            assert!(super::body("admin", Some(key), "a").is_err(), "{key:?}");
        }
        for nonce in ["", "A", "a-b", "a'"] {
            assert!(super::body("admin", None, nonce).is_err(), "{nonce:?}");
        }
        assert!(super::body("admin", None, "0a").is_ok());
    }

    #[test]
    fn a_key_that_makes_it_too_long_is_refused() {
        let key = format!("ssh-rsa {}", "A".repeat(LIMIT));
        assert!(super::body("admin", Some(&key), "a").unwrap_err().contains("16384"));
    }

    #[test]
    fn other_user_data_is_not_taken_for_a_repair() {
        assert_eq!(nonce_of(b"#cloud-boothook\n#!/bin/sh\nN='x' echo hello\n"), None);
        assert_eq!(nonce_of(b"#cloud-config\n# sshfix[$N] N='x'\n"), None);
        assert_eq!(nonce_of(&[0x1f, 0x8b, 8]), None);
        assert_eq!(digest(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
