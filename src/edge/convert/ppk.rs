//! PuTTY's key files, versions 2 and 3, read and written with their passphrase (PuTTY manual, appendix C).
//!
//! Version 3 derives its keys with Argon2, version 2 with SHA-1. Must not be more lenient than PuTTY: a file whose MAC
//! does not fit is not read.

use super::{Trouble, other};
use crate::core::key::normalise;
use crate::core::text::{hex, unhex};
use argon2::{Algorithm as Argon2Kind, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use ssh_key::encoding::{Decode as _, Encode as _};
use ssh_key::private::{EcdsaKeypair, Ed25519Keypair, Ed25519PrivateKey, KeypairData, RsaKeypair, RsaPrivateKey};
use ssh_key::public::KeyData;
use ssh_key::{Cipher, Mpint, PrivateKey, PublicKey};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Memory in KiB, passes and lanes that are asked of whoever guesses a passphrase: PuTTYgen's own defaults, with a fixed
/// number of passes where it measures 100 ms.
const ARGON2: (u32, u32, u32) = (8192, 13, 1);
/// Most memory in KiB that a file may ask of us; PuTTYgen's default is 8 MiB.
const MOST_MEMORY: u32 = 1024 * 1024;
/// Most passes that a file may ask of us.
const MOST_PASSES: u32 = 10_000;
const BLOCK: usize = 16;

/// Keys derived from a passphrase.
struct Secrets {
    cipher: Zeroizing<Vec<u8>>,
    iv: Zeroizing<Vec<u8>>,
    mac: Zeroizing<Vec<u8>>,
}

/// Fields of a file, as it has them.
struct Fields {
    version: u8,
    algorithm: Vec<u8>,
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    public: Vec<u8>,
    private: Zeroizing<Vec<u8>>,
}

impl Fields {
    fn value(&self, name: &str) -> &[u8] {
        self.values.get(name.as_bytes()).map(Vec::as_slice).unwrap_or_default()
    }

    fn number(&self, name: &str) -> Result<u32, Trouble> {
        let text = std::str::from_utf8(self.value(name)).ok().and_then(|text| text.trim().parse().ok());
        text.ok_or_else(|| other(format!("its line {name} is missing or damaged")))
    }
}

fn damaged() -> Trouble {
    other("a line of it is missing or damaged")
}

/// Reads a PPK file.
pub(super) fn read(bytes: &[u8], passphrase: Option<&str>) -> Result<PrivateKey, Trouble> {
    // As it is first: the comment may be in another encoding than UTF-8, and the MAC covers its bytes.
    match read_exactly(bytes, passphrase) {
        Ok(key) => Ok(key),
        Err(first) => read_exactly(&normalise(bytes), passphrase).map_err(|_| first),
    }
}

fn read_exactly(bytes: &[u8], passphrase: Option<&str>) -> Result<PrivateKey, Trouble> {
    let mut fields = fields(bytes)?;
    let encrypted = match fields.value("Encryption") {
        b"none" => false,
        b"aes256-cbc" => true,
        _ => return Err(other("it is encrypted in a way that PuTTY does not know")),
    };
    let secrets = if encrypted {
        let secrets = opening(&fields, passphrase.ok_or(Trouble::Locked)?)?;
        let plain = Cipher::Aes256Cbc.decrypt(&secrets.cipher, &secrets.iv, &mut fields.private, None);
        plain.map_err(|_| damaged())?;
        secrets
    } else {
        without_passphrase(fields.version)
    };
    let found = mac(&fields, &secrets.mac);
    let wanted = std::str::from_utf8(fields.value("Private-MAC")).unwrap_or_default().trim();
    if !hex(&found).eq_ignore_ascii_case(wanted) {
        return Err(if encrypted {
            Trouble::WrongPassphrase
        } else {
            other("its checksum (Private-MAC) does not fit: it was changed or cut")
        });
    }
    let mut public = PublicKey::from_bytes(&fields.public).map_err(|_| other("its public half cannot be read"))?;
    let comment = String::from_utf8_lossy(fields.value("Comment")).into_owned();
    public.set_comment(comment.clone());
    let pair = pair(&fields.private, &public)?;
    PrivateKey::new(pair, comment).map_err(|_| other("its two halves do not belong together"))
}

/// Takes the lines apart.
fn fields(bytes: &[u8]) -> Result<Fields, Trouble> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut lines = bytes.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let split = |line: &[u8]| -> Option<(Vec<u8>, Vec<u8>)> {
        let at = line.iter().position(|b| *b == b':')?;
        Some((line[..at].to_vec(), line[at + 1..].strip_prefix(b" ").unwrap_or(&line[at + 1..]).to_vec()))
    };
    let (head, algorithm) = lines.next().and_then(split).ok_or_else(damaged)?;
    let version = match head.as_slice() {
        b"PuTTY-User-Key-File-2" => 2,
        b"PuTTY-User-Key-File-3" => 3,
        b"PuTTY-User-Key-File-1" => {
            return Err(other(
                "it is of version 1, which PuTTY itself stopped writing in 2002: open and save it there",
            ));
        }
        _ => return Err(damaged()),
    };
    let mut out =
        Fields { version, algorithm, values: BTreeMap::new(), public: Vec::new(), private: Zeroizing::default() };
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let (name, value) = split(line).ok_or_else(damaged)?;
        if name == b"Public-Lines" || name == b"Private-Lines" {
            let count: usize =
                std::str::from_utf8(&value).ok().and_then(|v| v.trim().parse().ok()).ok_or_else(damaged)?;
            let mut body = Zeroizing::new(Vec::new());
            for _ in 0..count.min(1000) {
                body.extend_from_slice(lines.next().ok_or_else(damaged)?);
            }
            let data = STANDARD.decode(&*body).map_err(|_| damaged())?;
            if name == b"Public-Lines" { out.public = data } else { out.private = Zeroizing::new(data) }
        } else {
            out.values.insert(name, value);
        }
    }
    Ok(out)
}

/// The keys for a file that exists.
fn opening(fields: &Fields, passphrase: &str) -> Result<Secrets, Trouble> {
    if fields.version == 2 {
        return Ok(old_secrets(passphrase));
    }
    let kind = match fields.value("Key-Derivation") {
        b"Argon2id" => Argon2Kind::Argon2id,
        b"Argon2i" => Argon2Kind::Argon2i,
        b"Argon2d" => Argon2Kind::Argon2d,
        _ => return Err(other("its passphrase is derived in a way that PuTTY does not know")),
    };
    let (memory, passes, lanes) =
        (fields.number("Argon2-Memory")?, fields.number("Argon2-Passes")?, fields.number("Argon2-Parallelism")?);
    if memory > MOST_MEMORY || passes > MOST_PASSES {
        return Err(other(format!("opening it would take {memory} KiB of memory and {passes} passes: too much")));
    }
    let salt = std::str::from_utf8(fields.value("Argon2-Salt")).ok().and_then(unhex).ok_or_else(damaged)?;
    new_secrets(kind, (memory, passes, lanes), &salt, passphrase)
}

/// Version 2: two SHA-1 in a row make the key, and the vector is zero.
fn old_secrets(passphrase: &str) -> Secrets {
    let half = |number: u8| Sha1::new().chain_update([0, 0, 0, number]).chain_update(passphrase).finalize();
    let mut cipher = Zeroizing::new(half(0).to_vec());
    cipher.extend_from_slice(&half(1));
    cipher.truncate(32);
    let mac = Sha1::new().chain_update(OLD_MAC).chain_update(passphrase).finalize().to_vec();
    Secrets { cipher, iv: Zeroizing::new(vec![0; BLOCK]), mac: Zeroizing::new(mac) }
}

const OLD_MAC: &str = "putty-private-key-file-mac-key";

/// Version 3: Argon2 makes all three in one.
fn new_secrets(
    kind: Argon2Kind,
    (memory, passes, lanes): (u32, u32, u32),
    salt: &[u8],
    passphrase: &str,
) -> Result<Secrets, Trouble> {
    let params = Params::new(memory, passes, lanes, None).map_err(|e| other(format!("its Argon2 lines: {e}")))?;
    let mut all = Zeroizing::new(vec![0; 80]);
    let argon2 = Argon2::new(kind, Version::V0x13, params);
    argon2.hash_password_into(passphrase.as_bytes(), salt, &mut all).map_err(|e| other(e.to_string()))?;
    let part = |range: std::ops::Range<usize>| Zeroizing::new(all[range].to_vec());
    Ok(Secrets { cipher: part(0..32), iv: part(32..48), mac: part(48..80) })
}

fn without_passphrase(version: u8) -> Secrets {
    let mac = if version == 2 { Sha1::digest(OLD_MAC).to_vec() } else { Vec::new() };
    Secrets { cipher: Zeroizing::default(), iv: Zeroizing::default(), mac: Zeroizing::new(mac) }
}

/// What `Private-MAC` must be. It covers the private half in clear, with its padding.
fn mac(fields: &Fields, key: &[u8]) -> Vec<u8> {
    let mut covered = Zeroizing::new(Vec::new());
    for part in [
        fields.algorithm.as_slice(),
        fields.value("Encryption"),
        fields.value("Comment"),
        &fields.public,
        &fields.private,
    ] {
        put(&mut covered, part);
    }
    if fields.version == 2 { hmac::<Sha1>(key, &covered) } else { hmac::<Sha256>(key, &covered) }
}

/// HMAC (RFC 2104) with a key of at most one block (64 bytes).
fn hmac<D: sha1::Digest>(key: &[u8], data: &[u8]) -> Vec<u8> {
    let padded = |pad: u8| -> Zeroizing<Vec<u8>> {
        Zeroizing::new((0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ pad).collect())
    };
    let inner = D::new().chain_update(&*padded(0x36)).chain_update(data).finalize();
    D::new().chain_update(&*padded(0x5c)).chain_update(inner).finalize().to_vec()
}

/// The private half: what it holds depends on the type that the public half names.
fn pair(private: &[u8], public: &PublicKey) -> Result<KeypairData, Trouble> {
    let wrong = || other("its private half cannot be read");
    let mut reader = private;
    let mut number = || Mpint::decode(&mut reader).map_err(|_| wrong());
    match public.key_data() {
        KeyData::Rsa(half) => {
            let (d, p, q, iqmp) = (number()?, number()?, number()?, number()?);
            let secret = RsaPrivateKey::new(d, iqmp, p, q).map_err(|_| wrong())?;
            Ok(KeypairData::Rsa(RsaKeypair::new(half.clone(), secret).map_err(|_| wrong())?))
        }
        KeyData::Ed25519(half) => {
            // Least significant byte first and without zeros at its end: no mpint, whatever it looks like.
            let mut reader = private;
            let digits = Zeroizing::new(Vec::<u8>::decode(&mut reader).map_err(|_| wrong())?);
            let mut seed = Zeroizing::new([0; Ed25519PrivateKey::BYTE_SIZE]);
            seed.get_mut(..digits.len()).ok_or_else(wrong)?.copy_from_slice(&digits);
            let made = Ed25519Keypair::from_seed(&seed);
            if made.public != *half {
                return Err(other("its private half does not belong to its public half"));
            }
            Ok(KeypairData::Ed25519(made))
        }
        KeyData::Ecdsa(_) => {
            let scalar = number()?;
            let scalar = scalar.as_positive_bytes().ok_or_else(wrong)?;
            ecdsa(public, scalar).map(KeypairData::Ecdsa)
        }
        _ => Err(other("its type is not one that OpenSSH uses today")),
    }
}

/// The pair of a scalar, through OpenSSH's own encoding: curve, point, scalar.
fn ecdsa(public: &PublicKey, scalar: &[u8]) -> Result<EcdsaKeypair, Trouble> {
    let blob = public.to_bytes().map_err(|e| other(e.to_string()))?;
    let mut rest = blob.as_slice();
    Vec::<u8>::decode(&mut rest).map_err(|e| other(e.to_string()))?;
    let mut whole = Zeroizing::new(rest.to_vec());
    // Zeros in front of a number are not written, but one where it would look negative.
    if scalar.first().is_some_and(|first| first & 0x80 != 0) {
        put(&mut whole, &[&[0], scalar].concat());
    } else {
        put(&mut whole, scalar);
    }
    let mut reader = whole.as_slice();
    EcdsaKeypair::decode(&mut reader).map_err(|_| other("its private half cannot be read"))
}

/// Writes a PPK file, encrypted when there is a passphrase.
pub(super) fn write(key: &PrivateKey, version: u8, passphrase: Option<&str>) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let mut private = Zeroizing::new(Vec::new());
    let mut number = |digits: &Mpint| digits.encode(&mut *private).map_err(|e| other(e.to_string()));
    match key.key_data() {
        KeypairData::Rsa(pair) => {
            let half = pair.private();
            for digits in [half.d(), half.p(), half.q(), half.iqmp()] {
                number(digits)?;
            }
        }
        KeypairData::Ed25519(pair) => {
            let seed = Zeroizing::new(pair.private.to_bytes());
            let zeros = seed.iter().rev().take_while(|byte| **byte == 0).count();
            put(&mut private, &seed[..seed.len() - zeros]);
        }
        KeypairData::Ecdsa(pair) => {
            number(&Mpint::from_positive_bytes(pair.private_key_bytes()))?;
        }
        _ => return Err(other("PuTTY has no form for a key of this type")),
    }
    let algorithm = key.algorithm().as_str().as_bytes().to_vec();
    let comment: Vec<u8> = key.comment().as_bytes().iter().copied().filter(|b| !matches!(b, b'\n' | b'\r')).collect();
    let public = key.public_key().to_bytes().map_err(|e| other(e.to_string()))?;
    let salt: [u8; 16] = rand::random();
    let secrets = match (passphrase, version) {
        (None, _) => without_passphrase(version),
        (Some(passphrase), 2) => old_secrets(passphrase),
        (Some(passphrase), _) => new_secrets(Argon2Kind::Argon2id, ARGON2, &salt, passphrase)?,
    };
    if passphrase.is_some() {
        // PuTTY fills the last block with the SHA-1 of what stands before.
        let padding = Sha1::digest(&*private);
        let missing = private.len().next_multiple_of(BLOCK) - private.len();
        private.extend_from_slice(&padding[..missing]);
    }
    let encryption: &[u8] = if passphrase.is_some() { b"aes256-cbc" } else { b"none" };
    let values =
        BTreeMap::from([(b"Encryption".to_vec(), encryption.to_vec()), (b"Comment".to_vec(), comment.clone())]);
    let mut fields = Fields { version, algorithm, values, public, private };
    let mac = mac(&fields, &secrets.mac);
    if passphrase.is_some() {
        let hidden = Cipher::Aes256Cbc.encrypt(&secrets.cipher, &secrets.iv, &mut fields.private);
        hidden.map_err(|e| other(e.to_string()))?;
    }
    let mut out = Zeroizing::new(format!("PuTTY-User-Key-File-{version}: ").into_bytes());
    let mut line = |parts: &[&[u8]]| {
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out.push(b'\n');
    };
    line(&[&fields.algorithm]);
    line(&[b"Encryption: ", encryption]);
    line(&[b"Comment: ", &comment]);
    block(&mut line, "Public", &fields.public);
    if passphrase.is_some() && version == 3 {
        let (memory, passes, lanes) = ARGON2;
        line(&[b"Key-Derivation: Argon2id"]);
        for (name, value) in [("Memory", memory), ("Passes", passes), ("Parallelism", lanes)] {
            line(&[format!("Argon2-{name}: {value}").as_bytes()]);
        }
        line(&[b"Argon2-Salt: ", hex(&salt).as_bytes()]);
    }
    block(&mut line, "Private", &fields.private);
    line(&[b"Private-MAC: ", hex(&mac).as_bytes()]);
    Ok(out)
}

/// A block of base64 with the count of its lines.
fn block(line: &mut impl FnMut(&[&[u8]]), name: &str, data: &[u8]) {
    let text = Zeroizing::new(STANDARD.encode(data));
    line(&[format!("{name}-Lines: {}", text.len().div_ceil(64)).as_bytes()]);
    text.as_bytes().chunks(64).for_each(|part| line(&[part]));
}

fn put(out: &mut Vec<u8>, content: &[u8]) {
    out.extend_from_slice(&(content.len() as u32).to_be_bytes());
    out.extend_from_slice(content);
}
