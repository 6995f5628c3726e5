//! Fingerprints as EC2 and OpenSSH compute them.
//!
//! Which algorithm EC2 used depends on how it got the key, not on the file
//! ([EC2 User Guide, "Verify your key pair's fingerprint"](https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/verify-keys.html)),
//! so every form is computed. Comparing public keys is better than any of them.

use super::der::{self, INTEGER, OCTET_STRING, SEQUENCE};
use super::{KeyFile, content, public};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// `SHA256:…` of a wire blob, as `ssh-keygen -l` prints it.
pub(super) fn sha256(blob: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob)))
}

/// Lower-case hexadecimal pairs with colons between.
pub(super) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// PKCS#8 (RFC 5208) around the bytes of a PKCS#1 RSA private key, as they are: recomputing the
/// numbers could change their order, and with it the fingerprint.
fn pkcs8_of(pkcs1: &[u8]) -> Vec<u8> {
    let version = der::element(INTEGER, &[0]);
    der::element(SEQUENCE, &[version, content::rsa_algorithm(), der::element(OCTET_STRING, pkcs1)].concat())
}

/// SHA-1 of the PKCS#8 form of an RSA private key: EC2's fingerprint of a key that EC2 created.
pub(super) fn created_rsa(pkcs1: &[u8]) -> String {
    hex(&Sha1::digest(pkcs8_of(pkcs1)))
}

/// The fingerprints that need the public half alone: MD5 of the SPKI (imported RSA), SHA-256
/// (Ed25519), MD5 of the wire blob (as the API reference says), and the two forms that AWS
/// emulators give instead.
pub(super) fn public_forms(blob: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    let spki = public::spki(blob);
    if let Some(spki) = &spki {
        forms.push(hex(&Md5::digest(spki)));
    }
    forms.push(STANDARD_NO_PAD.encode(Sha256::digest(blob)));
    forms.push(hex(&Md5::digest(blob)));
    if let Some(spki) = &spki {
        forms.push(hex(&Sha1::digest(spki)));
        forms.push(hex(&Sha256::digest(spki)));
    }
    forms
}

/// The forms in which EC2 writes a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// 20 hexadecimal pairs: SHA-1.
    Sha1,
    /// 16 hexadecimal pairs: MD5.
    Md5,
    /// 32 hexadecimal pairs: SHA-256 of an emulator.
    HexSha256,
    /// Base64 of 32 bytes: SHA-256.
    Sha256,
}

/// Brings an EC2 fingerprint into the spelling of [`KeyFile::ec2_fingerprints`].
fn canonical(ec2: &str) -> Option<(Form, String)> {
    let text = ec2.trim();
    let pairs: Vec<&str> = text.split(':').collect();
    if pairs.iter().all(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit())) {
        let form = match pairs.len() {
            16 => Form::Md5,
            20 => Form::Sha1,
            32 => Form::HexSha256,
            _ => return None,
        };
        return Some((form, text.to_ascii_lowercase()));
    }
    if let Some(pairs) = text.strip_prefix("MD5:") {
        return canonical(pairs).filter(|(form, _)| *form == Form::Md5);
    }
    let text = text.strip_prefix("SHA256:").unwrap_or(text).trim_end_matches('=');
    (STANDARD_NO_PAD.decode(text).ok()?.len() == 32).then(|| (Form::Sha256, text.to_owned()))
}

/// Whether a key is the one with this EC2 `KeyFingerprint`, in any of its forms.
///
/// `None` when that cannot be told: the fingerprint is of no known form, the file gives no public
/// half, or the form needs the private half (SHA-1) and the file has none that is readable.
pub fn matches_fingerprint(key: &KeyFile, ec2: &str) -> Option<bool> {
    let (form, wanted) = canonical(ec2)?;
    if key.ec2_fingerprints.contains(&wanted) {
        return Some(true);
    }
    let algorithm = key.algorithm.as_deref()?;
    if key.public.is_none() && key.ec2_fingerprints.is_empty() {
        return None;
    }
    match form {
        // Only RSA keys have this form, and it needs the private half: the list then holds two of its length.
        Form::Sha1 if algorithm == "ssh-rsa" => {
            (key.ec2_fingerprints.iter().filter(|form| form.len() == wanted.len()).count() > 1).then_some(false)
        }
        _ => Some(false),
    }
}
