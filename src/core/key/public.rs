//! Public keys: the OpenSSH one-line form, RFC 4716 and SPKI.
//!
//! A public key is held as its wire blob (RFC 4253, section 6.6): the form that every fingerprint
//! and comparison starts from. Nothing here touches private halves.

use super::der::{self, BIT_STRING, Der, OID, SEQUENCE};
use super::wire::{Wire, put_string, put_unsigned};
use super::{Problem, content, fingerprint};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT};

/// The algorithm that a wire blob names, such as `ssh-ed25519`.
pub(super) fn algorithm(blob: &[u8]) -> Option<&str> {
    Wire::new(blob).text().ok().filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()))
}

/// `type base64` of a wire blob, as it stands in authorized_keys.
pub(super) fn line(blob: &[u8]) -> Option<String> {
    Some(format!("{} {}", algorithm(blob)?, STANDARD.encode(blob)))
}

/// Size of the key in bits, as `ssh-keygen -l` prints it.
pub(super) fn bits(blob: &[u8]) -> Option<u32> {
    let mut wire = Wire::new(blob);
    let number_bits = |digits: &[u8]| {
        let first = digits.first()?;
        Some(u32::try_from(digits.len()).ok()? * 8 - first.leading_zeros())
    };
    match wire.text().ok()? {
        "ssh-ed25519" | "sk-ssh-ed25519@openssh.com" => Some(256),
        "ssh-rsa" => {
            wire.unsigned().ok()?;
            number_bits(wire.unsigned().ok()?)
        }
        "ssh-dss" => number_bits(wire.unsigned().ok()?),
        "ecdsa-sha2-nistp256" | "sk-ecdsa-sha2-nistp256@openssh.com" => Some(256),
        "ecdsa-sha2-nistp384" => Some(384),
        "ecdsa-sha2-nistp521" => Some(521),
        _ => None,
    }
}

/// Reads `[options] type base64 [comment]` into the wire blob and the comment.
pub(super) fn parse_line(text: &str) -> Option<(Vec<u8>, Option<String>)> {
    let mut words = text.split_ascii_whitespace().peekable();
    while let Some(word) = words.next() {
        let Some(next) = words.peek() else { break };
        if !next.starts_with("AAAA") {
            continue;
        }
        let Ok(blob) = STANDARD_PAD_INDIFFERENT.decode(next) else {
            continue;
        };
        if algorithm(&blob) == Some(word) {
            words.next();
            let comment = words.collect::<Vec<_>>().join(" ");
            return Some((blob, Some(comment).filter(|c| !c.is_empty())));
        }
    }
    None
}

/// Reads the body of an RFC 4716 public key: header lines, then base64.
pub(super) fn parse_rfc4716(body: &str) -> (Option<Vec<u8>>, Option<String>) {
    let mut comment = None;
    let mut data = String::new();
    let mut continued = false;
    for line in body.lines().map(str::trim) {
        let header = line.split_once(':');
        if continued || header.is_some() {
            if let Some((name, value)) = header
                && name.eq_ignore_ascii_case("comment")
            {
                comment = Some(value.trim().trim_matches('"').to_owned());
            }
            continued = line.ends_with('\\');
        } else {
            data.push_str(line);
        }
    }
    let blob = STANDARD_PAD_INDIFFERENT.decode(data).ok().filter(|blob| algorithm(blob).is_some());
    (blob, comment.filter(|c| !c.is_empty()))
}

/// Reads a SubjectPublicKeyInfo (RFC 5280) into the wire blob.
pub(super) fn parse_spki(data: &[u8]) -> Result<Vec<u8>, Problem> {
    let mut info = Der::new(Der::new(data).expect(SEQUENCE)?);
    let mut algorithm = Der::new(info.expect(SEQUENCE)?);
    let oid = algorithm.expect(OID)?;
    let [0, key @ ..] = info.expect(BIT_STRING)? else {
        return Err(Problem::Bad("the public key inside is not whole bytes"));
    };
    match oid {
        content::OID_RSA => parse_rsa_public(key),
        content::OID_ED25519 if key.len() == 32 => Ok(ed25519(key)),
        content::OID_EC => {
            let curve =
                content::curve(algorithm.expect(OID)?).ok_or(Problem::Unsupported("its curve is not used in SSH"))?;
            Ok(ecdsa(curve, key))
        }
        _ => Err(Problem::Unsupported("its key type is not used in SSH")),
    }
}

/// Reads an `RSAPublicKey` (RFC 8017) into the wire blob.
pub(super) fn parse_rsa_public(data: &[u8]) -> Result<Vec<u8>, Problem> {
    let mut numbers = Der::new(Der::new(data).expect(SEQUENCE)?);
    let n = numbers.unsigned()?;
    Ok(rsa(n, numbers.unsigned()?))
}

/// Wire blob of an RSA key.
pub(super) fn rsa(n: &[u8], e: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    put_string(&mut blob, b"ssh-rsa");
    put_unsigned(&mut blob, e);
    put_unsigned(&mut blob, n);
    blob
}

/// Wire blob of an Ed25519 key.
pub(super) fn ed25519(point: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    put_string(&mut blob, b"ssh-ed25519");
    put_string(&mut blob, point);
    blob
}

/// Wire blob of an ECDSA key on `curve` (`nistp256`, …).
pub(super) fn ecdsa(curve: &str, point: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    put_string(&mut blob, format!("ecdsa-sha2-{curve}").as_bytes());
    put_string(&mut blob, curve.as_bytes());
    put_string(&mut blob, point);
    blob
}

/// SubjectPublicKeyInfo of a wire blob; RSA and Ed25519 only, the types that EC2 knows.
pub(super) fn spki(blob: &[u8]) -> Option<Vec<u8>> {
    let mut wire = Wire::new(blob);
    let bit_string = |key: &[u8]| der::element(BIT_STRING, &[&[0], key].concat());
    match wire.text().ok()? {
        "ssh-rsa" => {
            let e = wire.unsigned().ok()?;
            let n = wire.unsigned().ok()?;
            let key = der::element(SEQUENCE, &[der::unsigned(n), der::unsigned(e)].concat());
            Some(der::element(SEQUENCE, &[content::rsa_algorithm(), bit_string(&key)].concat()))
        }
        "ssh-ed25519" => {
            let key = wire.string().ok()?;
            let algorithm = der::element(SEQUENCE, &der::element(OID, content::OID_ED25519));
            Some(der::element(SEQUENCE, &[algorithm, bit_string(key)].concat()))
        }
        _ => None,
    }
}

/// Reads one line of a `.pub` or authorized_keys file: `type base64` without options and comment,
/// and its fingerprint `SHA256:…`. `None` when it is no public key.
pub fn public_of(openssh_line: &str) -> Option<(String, String)> {
    let (blob, _) = parse_line(openssh_line)?;
    Some((line(&blob)?, fingerprint::sha256(&blob)))
}

/// Whether two OpenSSH public lines hold the same key: type and data, whatever the comments and
/// options. Two lines that cannot be read are not the same.
pub fn same_public(a: &str, b: &str) -> bool {
    matches!((parse_line(a), parse_line(b)), (Some((a, _)), Some((b, _))) if a == b)
}
