//! Deeds on EC2 key pairs. Must not hold private keys: a new one goes into a file and nowhere else.

use serde::{Deserialize, Serialize};

/// A deed on a key pair of one Region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum KeyPairAction {
    /// `ec2:ImportKeyPair`, then a look whether EC2 has the same key.
    Import {
        /// Region.
        region: String,
        /// Name of the pair.
        name: String,
        /// Public half as `type base64`.
        public: String,
    },
    /// `ec2:CreateKeyPair`: EC2 makes both halves, and hands the private one out once.
    Create {
        /// Region.
        region: String,
        /// Name of the pair.
        name: String,
        /// `rsa` or `ed25519`.
        kind: String,
        /// File for the private half, mode 0600; nothing may be there.
        path: String,
    },
    /// `ec2:DeleteKeyPair`, if it still is the pair that the plan saw.
    Delete {
        /// Region.
        region: String,
        /// Name of the pair.
        name: String,
        /// `key-…`, when known.
        id: Option<String>,
        /// Public half as `type base64`, when EC2 told it: with it the pair can be imported again.
        public: Option<String>,
        /// The private half that a step wrote, removed with the pair: path and SHA-256.
        file: Option<(String, String)>,
    },
}
