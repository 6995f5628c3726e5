//! Key material of the practice account: key pairs as EC2 makes them, the files a user would have
//! downloaded, fingerprints as EC2 prints them, and the hosts' own keys.
//!
//! Must not be used to check what the rest of the program computes by calling into it: formats and
//! fingerprints are written here a second time on purpose.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use ssh_key::private::{Ed25519Keypair, KeypairData, RsaKeypair, RsaPrivateKey};
use ssh_key::public::RsaPublicKey;
use ssh_key::{Cipher, Kdf, LineEnding, Mpint, PrivateKey};

use super::ids;

/// The numbers of an RSA key, hexadecimal.
#[derive(Deserialize)]
struct RsaNumbers {
    n: String,
    e: String,
    d: String,
    p: String,
    q: String,
    dp: String,
    dq: String,
    iqmp: String,
}

/// A key pair: the private half, and for RSA the PKCS#1 DER that EC2 hands out.
#[derive(Clone)]
pub(super) struct Pair {
    pub name: String,
    pub private: PrivateKey,
    pkcs1: Option<Vec<u8>>,
}

/// How a key file in the user's home is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// As EC2 hands it out: PKCS#1 for RSA, OpenSSH for Ed25519.
    #[default]
    Pem,
    /// PuTTY's own format, version 3, without a passphrase.
    Ppk,
    /// The public half in one line.
    Public,
    /// As `Pem`, cut off in the middle.
    Truncated,
    /// OpenSSH's own format with the passphrase "practice".
    Encrypted,
    /// PKCS#8, as `openssl genpkey` writes it. Ed25519 only.
    Pkcs8,
}

impl Pair {
    /// An Ed25519 pair made from the seed.
    pub fn ed25519(seed: u64, name: &str) -> Result<Self, String> {
        let pair = Ed25519Keypair::from_seed(&ids::bytes(seed, "key", name));
        let private = PrivateKey::new(KeypairData::from(pair), name).map_err(|error| error.to_string())?;
        Ok(Self { name: name.to_owned(), private, pkcs1: None })
    }

    /// One of the account's two RSA pairs, the same for every seed.
    pub fn rsa(name: &str, other: bool) -> Result<Self, String> {
        let text = if other {
            include_str!("../../assets/lab/rsa-other.toml")
        } else {
            include_str!("../../assets/lab/rsa.toml")
        };
        let numbers: RsaNumbers = toml::from_str(text).map_err(|error| error.to_string())?;
        let number = |text: &str| unhex(text);
        let positive = |text: &str| -> Result<Mpint, String> { Ok(Mpint::from_positive_bytes(&unhex(text)?)) };
        let public = RsaPublicKey::new(positive(&numbers.e)?, positive(&numbers.n)?).map_err(|e| e.to_string())?;
        let secret = RsaPrivateKey::new(
            positive(&numbers.d)?,
            positive(&numbers.iqmp)?,
            positive(&numbers.p)?,
            positive(&numbers.q)?,
        )
        .map_err(|error| error.to_string())?;
        let pair = RsaKeypair::new(public, secret).map_err(|error| error.to_string())?;
        let private = PrivateKey::new(KeypairData::from(pair), name).map_err(|error| error.to_string())?;
        let mut body = der(0x02, &[0]);
        for text in
            [&numbers.n, &numbers.e, &numbers.d, &numbers.p, &numbers.q, &numbers.dp, &numbers.dq, &numbers.iqmp]
        {
            body.extend(der_integer(&number(text)?));
        }
        Ok(Self { name: name.to_owned(), private, pkcs1: Some(der(0x30, &body)) })
    }

    /// `ssh-ed25519` or `ssh-rsa`.
    pub fn algorithm(&self) -> &'static str {
        if self.pkcs1.is_some() { "ssh-rsa" } else { "ssh-ed25519" }
    }

    /// The type word of DescribeKeyPairs.
    pub fn kind(&self) -> &'static str {
        if self.pkcs1.is_some() { "rsa" } else { "ed25519" }
    }

    /// The public half as SSH sends it.
    pub fn blob(&self) -> Vec<u8> {
        self.private.public_key().to_bytes().unwrap_or_default()
    }

    /// One line for authorized_keys, with the pair's name as the comment, as EC2 writes it.
    pub fn public_line(&self) -> String {
        format!("{} {} {}", self.algorithm(), STANDARD.encode(self.blob()), self.name)
    }

    /// The fingerprint that EC2 shows for a pair it created: SHA-1 of the PKCS#8 DER for RSA,
    /// SHA-256 of the wire form for Ed25519 (EC2 User Guide, "verify-keys").
    pub fn fingerprint(&self) -> String {
        match &self.pkcs1 {
            Some(pkcs1) => colons(&Sha1::digest(pkcs8(pkcs1))),
            None => STANDARD.encode(Sha256::digest(self.blob())),
        }
    }

    /// Encrypts to an RSA public half: RSAES-PKCS1-v1_5 (RFC 8017), as EC2 does with Windows passwords. `None` for
    /// other keys. The padding follows from the seed.
    pub fn seal(&self, seed: u64, secret: &[u8]) -> Option<Vec<u8>> {
        let KeypairData::Rsa(pair) = self.private.key_data() else {
            return None;
        };
        let strip = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
        let (n, e) = (strip(pair.public().n().as_bytes()), strip(pair.public().e().as_bytes()));
        let mut block = vec![0, 2];
        let padding = (0_u32..).flat_map(|round| ids::bytes(seed, "padding", &round.to_string()));
        block.extend(padding.filter(|byte| *byte != 0).take(n.len().checked_sub(secret.len() + 3)?));
        block.push(0);
        block.extend(secret);
        Some(super::bignum::mod_pow(&block, &e, &n))
    }

    /// SHA-256 of the wire form as ssh-keygen prints it, without the prefix.
    pub fn sha256(&self) -> String {
        STANDARD.encode(Sha256::digest(self.blob())).trim_end_matches('=').to_owned()
    }

    /// SHA-256 of the wire form as cloud-init prints it: hexadecimal with colons.
    pub fn sha256_colons(&self) -> String {
        colons(&Sha256::digest(self.blob()))
    }

    /// The text of a key file.
    pub fn file(&self, format: Format) -> Result<String, String> {
        Ok(match format {
            Format::Public => format!("{}\n", self.public_line()),
            Format::Ppk => self.ppk()?,
            Format::Pem => self.pem()?,
            Format::Encrypted => self.encrypted()?,
            Format::Pkcs8 => self.pkcs8()?,
            Format::Truncated => {
                let text = self.pem()?;
                text[..text.len() / 2].to_owned()
            }
        })
    }

    fn pem(&self) -> Result<String, String> {
        match &self.pkcs1 {
            Some(pkcs1) => Ok(format!(
                "-----BEGIN RSA PRIVATE KEY-----\n{}-----END RSA PRIVATE KEY-----\n",
                lines(&STANDARD.encode(pkcs1), 64)
            )),
            None => {
                self.private.to_openssh(LineEnding::LF).map(|text| text.to_string()).map_err(|error| error.to_string())
            }
        }
    }

    /// Ed25519 in PKCS#8 (RFC 8410 section 7).
    fn pkcs8(&self) -> Result<String, String> {
        let KeypairData::Ed25519(pair) = self.private.key_data() else {
            return Err("no PKCS#8 form for this key type".to_owned());
        };
        let mut body = der(0x02, &[0]);
        body.extend([0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70]);
        body.extend(der(0x04, &der(0x04, &pair.private.to_bytes())));
        let text = lines(&STANDARD.encode(der(0x30, &body)), 64);
        Ok(format!("-----BEGIN PRIVATE KEY-----\n{text}-----END PRIVATE KEY-----\n"))
    }

    /// One round of the key derivation only: the passphrase is no secret, and tests are to be fast.
    fn encrypted(&self) -> Result<String, String> {
        let salt = Sha256::digest(self.blob())[..16].to_vec();
        let kdf = Kdf::Bcrypt { salt, rounds: 1 };
        let locked = self.private.encrypt_with(Cipher::Aes256Ctr, kdf, 0x7032_3270, "practice");
        locked
            .and_then(|key| key.to_openssh(LineEnding::LF))
            .map(|text| text.to_string())
            .map_err(|error| error.to_string())
    }

    /// PuTTY's format 3 without a passphrase (PuTTY manual, appendix C).
    fn ppk(&self) -> Result<String, String> {
        let mut secret = Vec::new();
        match self.private.key_data() {
            KeypairData::Ed25519(pair) => string(&mut secret, &pair.private.to_bytes()),
            KeypairData::Rsa(pair) => {
                let private = pair.private();
                for part in [private.d(), private.p(), private.q(), private.iqmp()] {
                    string(&mut secret, part.as_bytes());
                }
            }
            _ => return Err("no PPK form for this key type".to_owned()),
        }
        let (algorithm, public) = (self.algorithm(), self.blob());
        let mut signed = Vec::new();
        for part in [algorithm.as_bytes(), b"none", self.name.as_bytes(), &public, &secret] {
            string(&mut signed, part);
        }
        let (public, secret) = (lines(&STANDARD.encode(&public), 64), lines(&STANDARD.encode(&secret), 64));
        Ok(format!(
            "PuTTY-User-Key-File-3: {algorithm}\nEncryption: none\nComment: {}\nPublic-Lines: {}\n{public}Private-Lines: {}\n{secret}Private-MAC: {}\n",
            self.name,
            public.lines().count(),
            secret.lines().count(),
            ids::hex(&hmac_sha256(&[], &signed)),
        ))
    }
}

/// A host's own key, made from the seed and the instance's name.
pub(super) fn host_key(seed: u64, instance: &str) -> Result<Pair, String> {
    let pair = Ed25519Keypair::from_seed(&ids::bytes(seed, "host key", instance));
    let private = PrivateKey::new(KeypairData::from(pair), "").map_err(|error| error.to_string())?;
    Ok(Pair { name: String::new(), private, pkcs1: None })
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    (0..text.len())
        .step_by(2)
        .map(|at| {
            text.get(at..at + 2)
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or_else(|| "a number of the practice key is not hexadecimal".to_owned())
        })
        .collect()
}

fn colons(data: &[u8]) -> String {
    data.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn lines(text: &str, width: usize) -> String {
    let mut out = String::new();
    for (at, letter) in text.chars().enumerate() {
        if at > 0 && at % width == 0 {
            out.push('\n');
        }
        out.push(letter);
    }
    out.push('\n');
    out
}

/// An SSH string: four bytes of length, then the bytes (RFC 4251 section 5).
fn string(out: &mut Vec<u8>, data: &[u8]) {
    out.extend((data.len() as u32).to_be_bytes());
    out.extend(data);
}

/// One DER element.
fn der(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    if body.len() < 128 {
        out.push(body.len() as u8);
    } else {
        let length = body.len().to_be_bytes();
        let first = length.iter().position(|byte| *byte != 0).unwrap_or(0);
        out.push(0x80 | (length.len() - first) as u8);
        out.extend(&length[first..]);
    }
    out.extend(body);
    out
}

fn der_integer(magnitude: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    if magnitude.first().is_none_or(|byte| byte & 0x80 != 0) {
        body.push(0);
    }
    body.extend(magnitude);
    der(0x02, &body)
}

/// PKCS#8 around a PKCS#1 private key (RFC 5958; the algorithm is rsaEncryption with NULL).
fn pkcs8(pkcs1: &[u8]) -> Vec<u8> {
    let mut body = der(0x02, &[0]);
    body.extend([0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00]);
    body.extend(der(0x04, pkcs1));
    der(0x30, &body)
}

/// HMAC (RFC 2104) for keys no longer than a block.
fn hmac_sha256(key: &[u8], data: &[u8]) -> [u8; 32] {
    let pad = |mask: u8| {
        let mut block = [mask; 64];
        for (slot, byte) in block.iter_mut().zip(key) {
            *slot ^= byte;
        }
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(data).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_carry_the_same_public_half() {
        for pair in [
            Pair::ed25519(7, "practice").unwrap(),
            Pair::rsa("legacy", false).unwrap(),
            Pair::rsa("old", true).unwrap(),
        ] {
            let ppk = PrivateKey::from_ppk(pair.file(Format::Ppk).unwrap(), None).unwrap();
            assert_eq!(ppk.public_key().key_data(), pair.private.public_key().key_data());
            let locked =
                russh::keys::decode_secret_key(&pair.file(Format::Encrypted).unwrap(), Some("practice")).unwrap();
            assert_eq!(locked.public_key().to_bytes().unwrap(), pair.blob());
            let read = russh::keys::decode_secret_key(&pair.file(Format::Pem).unwrap(), None).unwrap();
            assert_eq!(read.public_key().to_bytes().unwrap(), pair.blob());
            match pair.file(Format::Pkcs8) {
                Ok(text) => {
                    let read = russh::keys::decode_secret_key(&text, None).unwrap();
                    assert_eq!(read.public_key().to_bytes().unwrap(), pair.blob());
                }
                Err(_) => assert_eq!(pair.kind(), "rsa"),
            }
        }
    }

    #[test]
    fn fingerprints_have_the_lengths_of_ec2() {
        assert_eq!(Pair::rsa("legacy", false).unwrap().fingerprint().len(), 59);
        assert_eq!(Pair::ed25519(1, "practice").unwrap().fingerprint().len(), 44);
        // RFC 4231 test case 2.
        assert_eq!(
            ids::hex(&hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
