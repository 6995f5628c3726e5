//! PuTTY's key files, versions 1 to 3 (PuTTY manual, appendix C).
//!
//! The public half is always in clear. Whether the private half is whole is told by its MAC, which
//! needs no passphrase when it is not encrypted; with a passphrase nothing is tried.

use super::content::{self, Content};
use super::wire::{Wire, put_string};
use super::{Problem, fingerprint, public};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// What every PPK file begins with.
pub(super) const HEADER: &str = "PuTTY-User-Key-File-";

const DAMAGED: Problem = Problem::Bad("a line of it is missing or damaged");

/// The fields of a PPK file.
struct Fields<'a> {
    algorithm: &'a str,
    encryption: &'a str,
    comment: &'a str,
    public: Vec<u8>,
    private: Vec<u8>,
    mac: &'a str,
}

/// The format version that the first line names.
pub(super) fn version(text: &str) -> Option<u8> {
    let rest = text.strip_prefix(HEADER)?;
    rest[..rest.find(':')?].parse().ok()
}

/// Reads a clean PPK text: its first line is the header, lines end with LF.
pub(super) fn read(text: &str) -> Content {
    let mut content = Content::default();
    content.problem = read_into(text, &mut content).err();
    content
}

fn read_into(text: &str, content: &mut Content) -> Result<(), Problem> {
    let version = version(text).ok_or(Problem::Bad("its first line names no version"))?;
    let fields = fields(text, version, content)?;
    match fields.encryption {
        "none" => {}
        "aes256-cbc" => return Ok(()),
        _ => {
            return Err(Problem::Unsupported("it is encrypted in a way that PuTTY does not know"));
        }
    }
    // MAC key without a passphrase: SHA-1 of a fixed text in version 2, nothing in version 3.
    let mut covered = Vec::new();
    for part in [fields.algorithm.as_bytes(), b"none", fields.comment.as_bytes(), &fields.public, &fields.private] {
        put_string(&mut covered, part);
    }
    let mac = match version {
        2 => hmac::<Sha1>(&Sha1::digest(b"putty-private-key-file-mac-key"), &covered),
        3 => hmac::<Sha256>(&[], &covered),
        _ => return Ok(()),
    };
    if !fingerprint::hex(&mac).replace(':', "").eq_ignore_ascii_case(fields.mac) {
        return Err(Problem::Bad("its checksum (Private-MAC) does not fit: it was changed or cut"));
    }
    if fields.algorithm == "ssh-rsa" {
        content.pkcs1 = rsa(&fields.public, &fields.private).ok().flatten();
    }
    Ok(())
}

/// Takes the fields apart, in the order in which PuTTY insists on them; blank lines do not count.
/// What is in clear goes into `content` even if the rest is missing.
fn fields<'a>(text: &'a str, version: u8, content: &mut Content) -> Result<Fields<'a>, Problem> {
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let (_, algorithm) = text.lines().next().and_then(|line| line.split_once(": ")).ok_or(Problem::Short)?;
    value(&mut lines, &format!("{HEADER}{version}"))?;
    let encryption = value(&mut lines, "Encryption")?;
    content.encrypted = encryption != "none";
    let comment = value(&mut lines, "Comment")?;
    content.comment = Some(comment.to_owned()).filter(|comment| !comment.is_empty());
    let count = value(&mut lines, "Public-Lines")?;
    let public = block(&mut lines, count)?;
    if public::algorithm(&public) != Some(algorithm) {
        return Err(DAMAGED);
    }
    content.blob = Some(public.clone());
    if version == 3 && content.encrypted {
        value(&mut lines, "Key-Derivation")?;
        for name in ["Argon2-Memory", "Argon2-Passes", "Argon2-Parallelism"] {
            value(&mut lines, name)?.parse::<u32>().map_err(|_| DAMAGED)?;
        }
        hex_of(value(&mut lines, "Argon2-Salt")?, None)?;
    }
    let count = value(&mut lines, "Private-Lines")?;
    let private = block(&mut lines, count)?;
    let mac = value(&mut lines, if version == 1 { "Private-Hash" } else { "Private-MAC" })?;
    hex_of(mac, Some(if version == 3 { 64 } else { 40 }))?;
    Ok(Fields { algorithm, encryption, comment, public, private, mac })
}

/// The value of the next line, which must have this name.
fn value<'a>(lines: &mut impl Iterator<Item = &'a str>, name: &str) -> Result<&'a str, Problem> {
    let rest = lines.next().ok_or(Problem::Short)?.strip_prefix(name).ok_or(DAMAGED)?;
    rest.strip_prefix(": ").or_else(|| rest.strip_prefix(':').filter(|rest| rest.is_empty())).ok_or(DAMAGED)
}

/// Reads that many lines of base64.
fn block<'a>(lines: &mut impl Iterator<Item = &'a str>, count: &str) -> Result<Vec<u8>, Problem> {
    let count: usize = count.parse().map_err(|_| DAMAGED)?;
    let body: Vec<&str> = lines.take(count.min(10_000)).collect();
    if body.len() < count {
        return Err(Problem::Short);
    }
    STANDARD.decode(body.concat()).map_err(|_| DAMAGED)
}

/// Checks hexadecimal digits: how many there must be, or any even number.
fn hex_of(digits: &str, length: Option<usize>) -> Result<(), Problem> {
    if length.is_some_and(|length| digits.len() < length) {
        return Err(Problem::Short);
    }
    let right = length.is_none_or(|length| digits.len() == length) && digits.len().is_multiple_of(2);
    if right && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) { Ok(()) } else { Err(DAMAGED) }
}

/// The PKCS#1 structure of an RSA key: e and n are in the public half; d, p, q, iqmp in the other.
#[expect(clippy::many_single_char_names, reason = "the names of RFC 8017")]
fn rsa(public: &[u8], private: &[u8]) -> Result<Option<Vec<u8>>, Problem> {
    let (mut public, mut private) = (Wire::new(public), Wire::new(private));
    public.string()?;
    let (e, n) = (public.unsigned()?, public.unsigned()?);
    let (d, p, q, iqmp) = (private.unsigned()?, private.unsigned()?, private.unsigned()?, private.unsigned()?);
    Ok(content::rebuild_pkcs1(n, e, d, p, q, iqmp))
}

/// HMAC (RFC 2104) with a key of at most one block (64 bytes).
fn hmac<D: Digest>(key: &[u8], data: &[u8]) -> Vec<u8> {
    let padded = |pad: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ pad).collect() };
    let inner = D::new().chain_update(padded(0x36)).chain_update(data).finalize();
    D::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}
