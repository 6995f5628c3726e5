//! A key that is asked about, and the signature that completes a login.
//!
//! The private half is used for one signature, and only after the server said that it takes the key.

use super::SshKey;
use super::watch::{Seen, lock};
use crate::core::key::normalise;
use crate::core::recognise::strip_controls;
use russh::SendError;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode as _;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{HashAlg, PrivateKey, PublicKey, decode_secret_key};
use std::ffi::OsStr;
use std::sync::Mutex;

/// A key that can be offered.
pub(super) struct Offered {
    /// File.
    pub path: String,
    /// `SHA256:…`.
    pub fingerprint: String,
    /// Public half.
    pub public: PublicKey,
    /// Private half, if it can sign.
    pub private: Option<PrivateKey>,
    /// Whether the agent holds it.
    pub held: bool,
}

impl Offered {
    /// Reads the public half, and the private one where it can be used for a signature. `None` when
    /// there is no public half that the library knows.
    pub fn read(key: &SshKey) -> Option<Self> {
        let private = key.private.as_deref().filter(|_| !key.encrypted).and_then(private_key);
        let public = match &key.public {
            Some(line) => PublicKey::from_openssh(line.trim()).ok()?,
            None => private.as_ref()?.public_key().clone(),
        };
        // OpenSSH does the same: it offers the public half and signs only with the private key that belongs to it.
        let private = private.filter(|private| private.public_key().key_data() == public.key_data());
        Some(Self {
            path: key.path.clone(),
            fingerprint: public.fingerprint(HashAlg::Sha256).to_string(),
            public,
            private,
            held: key.held,
        })
    }
}

/// Decodes a private key that needs no passphrase.
fn private_key(bytes: &[u8]) -> Option<PrivateKey> {
    let clean = normalise(bytes);
    let text = std::str::from_utf8(&clean).ok()?;
    decode_secret_key(text, None).ok().filter(|key| !key.is_encrypted())
}

/// Signs, or does not, after the server said that it takes the key: the library calls a signer then only.
pub(super) struct Asker<'a> {
    /// To sign with, if a signature is wanted.
    pub key: Option<&'a PrivateKey>,
    /// Socket of the agent to sign with, if a signature is wanted of it.
    pub agent: Option<&'a OsStr>,
    /// What the agent said instead of a signature.
    pub agent_said: Option<String>,
    /// Where to note when the signature was made.
    pub seen: &'a Mutex<Seen>,
    /// Whether the server said that it takes the key.
    pub taken: bool,
    /// Whether a signature was made.
    pub signed: bool,
}

/// There is no signature: the connection ended, or none was wanted.
#[derive(Debug)]
pub(super) struct AskError;

impl From<SendError> for AskError {
    fn from(_: SendError) -> Self {
        Self
    }
}

impl russh::Signer for Asker<'_> {
    type Error = AskError;

    async fn auth_sign(
        &mut self,
        identity: &AgentIdentity,
        hash: Option<HashAlg>,
        mut data: Vec<u8>,
    ) -> Result<Vec<u8>, AskError> {
        self.taken = true;
        if let (None, Some(socket)) = (self.key, self.agent) {
            return self.sign_by_agent(socket, identity, hash, data).await;
        }
        let key = self.key.ok_or(AskError)?;
        let signature = match key.key_data() {
            KeypairData::Rsa(pair) => (pair, hash).try_sign(&data),
            pair => pair.try_sign(&data),
        };
        signature.map_err(|_| AskError)?.encode_prefixed(&mut data).map_err(|_| AskError)?;
        self.note();
        Ok(data)
    }
}

impl Asker<'_> {
    fn note(&mut self) {
        self.signed = true;
        let mut seen = lock(self.seen);
        seen.banners_before_signature = seen.banners.len();
    }

    /// The agent may ask its user first, or want a token to be touched: the caller's limit ends that.
    async fn sign_by_agent(
        &mut self,
        socket: &OsStr,
        identity: &AgentIdentity,
        hash: Option<HashAlg>,
        data: Vec<u8>,
    ) -> Result<Vec<u8>, AskError> {
        let answer = match AgentClient::connect_uds(socket).await {
            Ok(mut agent) => agent.sign_request(identity, hash, data).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(signed) => {
                self.note();
                Ok(signed)
            }
            Err(error) => {
                self.agent_said = Some(strip_controls(&error.to_string()).replace('\n', " "));
                Err(AskError)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK2pr+Bfus1hvPof4Wb/plZCzSbqadHH0u+/f4ODtKnE someone@here";

    fn key(public: Option<&str>) -> SshKey {
        SshKey { path: "k".to_owned(), public: public.map(str::to_owned), private: None, encrypted: false, held: false }
    }

    #[test]
    fn only_keys_with_a_public_half_can_be_offered() {
        let offered = Offered::read(&key(Some(PUBLIC))).expect("a public line");
        assert!(offered.fingerprint.starts_with("SHA256:"));
        assert!(offered.private.is_none());
        assert!(Offered::read(&key(None)).is_none());
        assert!(Offered::read(&key(Some("ssh-ed25519 AAAA"))).is_none());
    }
}
