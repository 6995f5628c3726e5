//! Deeds on this machine's own files: key files, known_hosts, ssh configuration.
//!
//! Each names what the plan saw of a file by its SHA-256. Must not hold key material or anything else that is secret:
//! plans are shown and journaled.

use super::edit::Edit;
use crate::core::key::{KeyFile, KeyFormat};
use serde::{Deserialize, Serialize};

/// A form of private keys that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyForm {
    /// OpenSSH's own.
    Openssh,
    /// OpenSSL's traditional one: PKCS#1 for RSA, SEC 1 for ECDSA.
    Pem,
    /// PuTTY's, version 2.
    Ppk2,
    /// PuTTY's, version 3 (PuTTY 0.75 and newer).
    Ppk3,
    /// The form that the file has, without what is damaged around the key.
    Clean,
}

impl KeyForm {
    /// What it is, in a few words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Openssh => "OpenSSH's form",
            Self::Pem => "PEM",
            Self::Ppk2 => "PuTTY's form, version 2",
            Self::Ppk3 => "PuTTY's form, version 3",
            Self::Clean => "a clean copy",
        }
    }

    /// The option of a choice.
    pub fn id(self) -> &'static str {
        match self {
            Self::Openssh => "openssh",
            Self::Pem => "pem",
            Self::Ppk2 => "ppk2",
            Self::Ppk3 => "ppk3",
            Self::Clean => "clean",
        }
    }

    /// Whether a file has this form, so that the programs of the form read it.
    pub fn is_that_of(self, key: &KeyFile) -> bool {
        match self {
            Self::Openssh => key.format == KeyFormat::OpenSsh && key.loads_in.openssh,
            Self::Pem => matches!(key.format, KeyFormat::Pkcs1 | KeyFormat::Sec1) && key.loads_in.openssh,
            Self::Ppk2 => key.format == KeyFormat::Ppk { version: 2 } && key.loads_in.putty,
            Self::Ppk3 => key.format == KeyFormat::Ppk { version: 3 } && key.loads_in.putty,
            Self::Clean => key.loads_in.openssh,
        }
    }

    /// Whether it is PuTTY's.
    pub fn is_putty(self) -> bool {
        matches!(self, Self::Ppk2 | Self::Ppk3)
    }
}

/// A deed on a local file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum LocalAction {
    /// Writes a private key in another form into a new file, mode 0600.
    ConvertKey {
        /// The original, which stays as it is.
        from: String,
        /// SHA-256 of the original, hexadecimal.
        sha256: String,
        /// The new file; nothing may be there.
        to: String,
        /// Form to write.
        form: KeyForm,
    },
    /// Removes a file that a step made, if nobody has changed it since.
    RemoveFile {
        /// The file.
        path: String,
        /// SHA-256 of what the step wrote.
        sha256: String,
    },
    /// Changes a text file, after a copy of it was put beside it.
    EditFile {
        /// The file.
        path: String,
        /// SHA-256 when the plan was made; `None`: there was no file.
        before: Option<String>,
        /// What is changed.
        edit: Edit,
        /// Where the copy is put; not used when there was no file.
        backup: String,
        /// Mode of a file that is made; one that exists keeps its own.
        mode: u32,
    },
    /// Takes an edit back.
    RestoreFile {
        /// The file.
        path: String,
        /// SHA-256 of what the edit wrote.
        after: String,
        /// SHA-256 before the edit; `None`: there was no file.
        before: Option<String>,
        /// What was changed: taken back alone where the file was changed otherwise too.
        edit: Edit,
        /// Where the copy is.
        backup: String,
    },
    /// Asks the user's ssh (`ssh -G`) whether it would do now what was written. Changes nothing.
    ProveConfig {
        /// Configuration file, when it is not the user's own.
        config_file: Option<String>,
        /// Name that would be typed.
        name: String,
        /// Setting in small letters and its value, as `ssh -G` prints them.
        wants: Vec<(String, String)>,
    },
    /// Windows: leaves the user alone with a right to read the file (`icacls`).
    SetAcl {
        /// The file.
        path: String,
        /// `DOMAIN\user`.
        user: String,
        /// Where the former access list is saved.
        backup: String,
    },
    /// Windows: puts a saved access list back.
    RestoreAcl {
        /// The file.
        path: String,
        /// Where it was saved.
        backup: String,
    },
}
