//! Private keys in other forms: opened with their passphrase, written again.
//!
//! Must not write to a file, must not print or log anything of a key, and must not take a passphrase off a key: what was
//! encrypted is encrypted again with the same one. Used by the deed that converts a key file.

mod pem;
mod ppk;

#[cfg(test)]
mod tests;

use crate::core::key::{KeyFormat, inspect, normalise};
use crate::core::plan::KeyForm;
use ssh_key::private::KeypairData;
use ssh_key::{LineEnding, PrivateKey};
use zeroize::Zeroizing;

/// Why a key could not be opened or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It needs a passphrase.
    Locked,
    /// The passphrase does not open it.
    WrongPassphrase,
    /// Anything else, in words.
    Other(String),
}

impl Trouble {
    /// In words, to follow "cannot be converted: ".
    pub fn text(&self) -> String {
        match self {
            Self::Locked => "it is protected by a passphrase".to_owned(),
            Self::WrongPassphrase => "the passphrase does not open it".to_owned(),
            Self::Other(text) => text.clone(),
        }
    }
}

fn other(text: impl Into<String>) -> Trouble {
    Trouble::Other(text.into())
}

/// Opens a private key of any form that is read here: OpenSSH's own, PKCS#1, PKCS#8, SEC 1, PPK 2 and 3. The result is
/// not encrypted and carries its comment where the form has one.
pub fn open(bytes: &[u8], passphrase: Option<&str>) -> Result<PrivateKey, Trouble> {
    let described = inspect(bytes);
    if !described.format.is_private() {
        return Err(other(format!("it is no private key ({})", described.format.title())));
    }
    if described.encrypted && passphrase.is_none() {
        return Err(Trouble::Locked);
    }
    let key = match described.format {
        KeyFormat::Ppk { .. } => ppk::read(bytes, passphrase)?,
        _ => pem::read(bytes, passphrase.filter(|_| described.encrypted))?,
    };
    // The public half that the file shows in clear is the one that the user knows.
    match (&described.public, key.public_key().to_openssh()) {
        (Some(shown), Ok(found)) if !crate::core::key::same_public(shown, &found) => {
            Err(other("its private half does not belong to its public half"))
        }
        _ => Ok(key),
    }
}

/// Writes a key in a form, encrypted when there is a passphrase. A form without place for a comment loses it; one with
/// place gets `name` when the key has none.
pub fn write(
    key: &PrivateKey,
    form: KeyForm,
    passphrase: Option<&str>,
    name: &str,
) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let mut key = key.clone();
    if key.comment().as_bytes().is_empty() {
        key.set_comment(name.chars().filter(|c| !c.is_control()).collect::<String>());
    }
    if matches!(key.key_data(), KeypairData::SkEd25519(_) | KeypairData::SkEcdsaSha2NistP256(_)) {
        return Err(other("the private half of a security key is in the device, not in the file"));
    }
    match form {
        KeyForm::Openssh => {
            let key = match passphrase {
                Some(passphrase) => key.encrypt(&mut rand::rng(), passphrase).map_err(|e| other(e.to_string()))?,
                None => key,
            };
            let text = key.to_openssh(LineEnding::LF).map_err(|e| other(e.to_string()))?;
            Ok(Zeroizing::new(text.as_bytes().to_vec()))
        }
        KeyForm::Pem => pem::write(&key, passphrase),
        KeyForm::Ppk2 => ppk::write(&key, 2, passphrase),
        KeyForm::Ppk3 => ppk::write(&key, 3, passphrase),
        KeyForm::Clean => Err(other("a clean copy keeps the form that the file has")),
    }
}

/// The content of a key file in another form; a clean copy needs no passphrase, since nothing is opened.
pub fn convert(
    bytes: &[u8],
    form: KeyForm,
    passphrase: Option<&str>,
    name: &str,
) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    if form == KeyForm::Clean {
        let out = Zeroizing::new(normalise(bytes));
        let fits = form.is_that_of(&inspect(&out));
        return if fits { Ok(out) } else { Err(other("a clean copy would not be read either")) };
    }
    let key = open(bytes, passphrase)?;
    let secret = passphrase.filter(|_| inspect(bytes).encrypted);
    let out = write(&key, form, secret, name)?;
    // Looked at as a client would, before anybody relies on it.
    let after = inspect(&out);
    let whole = form.is_that_of(&after) && after.encrypted == secret.is_some();
    if !whole || open(&out, secret)?.key_data() != key.key_data() {
        return Err(other("the copy is not the same key: report this as a bug"));
    }
    Ok(out)
}
