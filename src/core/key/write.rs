//! Writes private keys in OpenSSL's traditional forms, from their numbers.
//!
//! Pure: it puts numbers into containers and nothing else. The result is a private key: whoever asks for it writes it
//! with mode 0600 only. Used by the fix that converts a key file.

use super::content;
use super::der::{self, BIT_STRING, OCTET_STRING, OID, SEQUENCE};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Length of the lines of base64 in PEM (RFC 7468, section 2).
const LINE: usize = 64;

/// The numbers of an RSA private key, most significant byte first (RFC 8017, section 3.2).
#[derive(Clone, Copy)]
pub struct RsaNumbers<'a> {
    /// Modulus.
    pub n: &'a [u8],
    /// Public exponent.
    pub e: &'a [u8],
    /// Private exponent.
    pub d: &'a [u8],
    /// First prime.
    pub p: &'a [u8],
    /// Second prime.
    pub q: &'a [u8],
    /// `q^-1 mod p`.
    pub iqmp: &'a [u8],
}

/// `RSAPrivateKey` (RFC 8017, appendix A.1.2); `None` for numbers that no RSA key has.
pub fn pkcs1(key: RsaNumbers<'_>) -> Option<Vec<u8>> {
    content::rebuild_pkcs1(key.n, key.e, key.d, key.p, key.q, key.iqmp)
}

/// `ECPrivateKey` (RFC 5915) of one of the three curves that SSH uses, named as in `ecdsa-sha2-NAME`; `None` for another
/// curve. `point` is the public half, uncompressed.
pub fn sec1(curve: &str, scalar: &[u8], point: &[u8]) -> Option<Vec<u8>> {
    let (oid, length): (&[u8], usize) = match curve {
        "nistp256" => (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], 32),
        "nistp384" => (&[0x2b, 0x81, 0x04, 0x00, 0x22], 48),
        "nistp521" => (&[0x2b, 0x81, 0x04, 0x00, 0x23], 66),
        _ => return None,
    };
    // The scalar has the length of the field (RFC 5915, section 3).
    let digits = der::strip_zeros(scalar);
    let mut padded = vec![0; length.checked_sub(digits.len())?];
    padded.extend_from_slice(digits);
    let bits: Vec<u8> = std::iter::once(0).chain(point.iter().copied()).collect();
    let parts = [
        der::unsigned(&[1]),
        der::element(OCTET_STRING, &padded),
        der::element(0xa0, &der::element(OID, oid)),
        der::element(0xa1, &der::element(BIT_STRING, &bits)),
    ];
    Some(der::element(SEQUENCE, &parts.concat()))
}

/// A PEM block: label as in `BEGIN LABEL`, header lines (RFC 1421) of an encrypted one, content.
pub fn pem(label: &str, headers: &[String], content: &[u8]) -> String {
    let mut out = format!("-----BEGIN {label}-----\n");
    for header in headers {
        out.push_str(header);
        out.push('\n');
    }
    if !headers.is_empty() {
        out.push('\n');
    }
    let text = STANDARD.encode(content);
    for line in text.as_bytes().chunks(LINE) {
        out.extend(line.iter().map(|byte| char::from(*byte)));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}
