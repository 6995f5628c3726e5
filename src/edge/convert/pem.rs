//! Keys between BEGIN and END lines.
//!
//! Reading is russh's, but for OpenSSL's traditional encryption, of which it knows one cipher. Must not be asked about
//! PuTTY's form.

use super::{Trouble, other};
use crate::core::key::normalise;
use crate::core::key::write::{self, RsaNumbers};
use crate::core::text::{hex, unhex};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use russh::keys::decode_secret_key;
use ssh_key::private::{EcdsaKeypair, KeypairData};
use ssh_key::{Cipher, PrivateKey};
use zeroize::Zeroizing;

/// Reads a key; the passphrase only where it is encrypted.
pub(super) fn read(bytes: &[u8], passphrase: Option<&str>) -> Result<PrivateKey, Trouble> {
    let clean = Zeroizing::new(normalise(bytes));
    let text = std::str::from_utf8(&clean).map_err(|_| other("it is no text"))?;
    let opened;
    let (text, passphrase) = match (dek_info(text), passphrase) {
        (Some((cipher, iv)), Some(passphrase)) => {
            opened = decrypt(text, cipher, iv, passphrase)?;
            (opened.as_str(), None)
        }
        (_, passphrase) => (text, passphrase),
    };
    match decode_secret_key(text, passphrase) {
        Ok(key) if key.is_encrypted() => Err(Trouble::Locked),
        Ok(key) => Ok(key),
        Err(_) if passphrase.is_some() => Err(Trouble::WrongPassphrase),
        Err(error) => Err(other(format!("the key inside cannot be read ({error})"))),
    }
}

/// Cipher and initialisation vector of a traditionally encrypted key (RFC 1421, section 4.6.1.3).
fn dek_info(text: &str) -> Option<(&str, &str)> {
    text.lines().find_map(|line| line.strip_prefix("DEK-Info: "))?.split_once(',')
}

/// The same block without encryption.
fn decrypt(text: &str, cipher: &str, iv: &str, passphrase: &str) -> Result<Zeroizing<String>, Trouble> {
    let kind = match cipher {
        "AES-128-CBC" => Cipher::Aes128Cbc,
        "AES-192-CBC" => Cipher::Aes192Cbc,
        "AES-256-CBC" => Cipher::Aes256Cbc,
        _ => {
            return Err(other(format!(
                "it is encrypted with {cipher}, which is not read here: ssh-keygen -p -f on a copy of it writes OpenSSH's form"
            )));
        }
    };
    let label = text.lines().find_map(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
    let label = label.ok_or_else(|| other("it has no BEGIN line"))?;
    let iv = unhex(iv.trim()).filter(|iv| iv.len() == 16).ok_or_else(|| other("its DEK-Info line is damaged"))?;
    let body: String =
        text.lines().filter(|line| !line.starts_with("-----") && !line.contains(':')).flat_map(str::chars).collect();
    let mut data = Zeroizing::new(STANDARD.decode(body.trim()).map_err(|_| other("its base64 is damaged"))?);
    let key = derive(passphrase, &iv, kind.key_and_iv_size().map_or(16, |(key, _)| key));
    kind.decrypt(&key, &iv, &mut data, None).map_err(|_| other("its length is wrong"))?;
    // The padding says whether the passphrase was right (PKCS#7), and then the structure does.
    let pad = data.last().copied().map_or(0, usize::from);
    let whole = (1..=16).contains(&pad)
        && data.len() > pad
        && data[data.len() - pad..].iter().all(|b| usize::from(*b) == pad)
        && data.first() == Some(&0x30);
    if !whole {
        return Err(Trouble::WrongPassphrase);
    }
    Ok(Zeroizing::new(write::pem(label, &[], &data[..data.len() - pad])))
}

/// OpenSSL's `EVP_BytesToKey` with MD5 and one round, as traditional PEM has it.
fn derive(passphrase: &str, iv: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::new());
    let mut last: Vec<u8> = Vec::new();
    while out.len() < length {
        last = Md5::new().chain_update(&last).chain_update(passphrase).chain_update(&iv[..8]).finalize().to_vec();
        out.extend_from_slice(&last);
    }
    out.truncate(length);
    out
}

/// Writes PKCS#1 for RSA and SEC 1 for ECDSA, as `ssh-keygen -m PEM` does; Ed25519 has no such form.
pub(super) fn write(key: &PrivateKey, passphrase: Option<&str>) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let (label, der) = match key.key_data() {
        KeypairData::Rsa(pair) => {
            let (public, private) = (pair.public(), pair.private());
            let numbers = RsaNumbers {
                n: public.n().as_bytes(),
                e: public.e().as_bytes(),
                d: private.d().as_bytes(),
                p: private.p().as_bytes(),
                q: private.q().as_bytes(),
                iqmp: private.iqmp().as_bytes(),
            };
            ("RSA PRIVATE KEY", write::pkcs1(numbers))
        }
        KeypairData::Ecdsa(pair) => {
            let point = match pair {
                EcdsaKeypair::NistP256 { public, .. } => public.as_bytes(),
                EcdsaKeypair::NistP384 { public, .. } => public.as_bytes(),
                EcdsaKeypair::NistP521 { public, .. } => public.as_bytes(),
            };
            ("EC PRIVATE KEY", write::sec1(pair.curve().as_str(), pair.private_key_bytes(), point))
        }
        KeypairData::Ed25519(_) => return Err(other("an Ed25519 key has no PEM form that older programs read")),
        _ => return Err(other("a key of this type has no PEM form")),
    };
    let mut der = Zeroizing::new(der.ok_or_else(|| other("its numbers are not those of a key"))?);
    let Some(passphrase) = passphrase else {
        return Ok(Zeroizing::new(write::pem(label, &[], &der).into_bytes()));
    };
    let iv: [u8; 16] = rand::random();
    let pad = 16 - der.len() % 16;
    der.extend(std::iter::repeat_n(pad as u8, pad));
    let secret = derive(passphrase, &iv, 16);
    Cipher::Aes128Cbc.encrypt(&secret, &iv, &mut der).map_err(|e| other(e.to_string()))?;
    let hex = hex(&iv).to_ascii_uppercase();
    let headers = ["Proc-Type: 4,ENCRYPTED".to_owned(), format!("DEK-Info: AES-128-CBC,{hex}")];
    Ok(Zeroizing::new(write::pem(label, &headers, &der).into_bytes()))
}
