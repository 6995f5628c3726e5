//! Private-key files: what a file is, what is wrong with it, which programs would load it, and
//! which public key it belongs to.
//!
//! Pure and total: any bytes give an answer, nothing is decrypted, no passphrase is tried, and no
//! private number leaves this module. Used by the key-file probe (`edge`), which calls
//! [`inspect`], by the key rules, which read [`KeyFile`], and by the fix that writes a clean copy,
//! which uses [`normalise`].
//!
//! "A good key" and "a key that the user's program loads" are different questions: [`KeyFile::damage`]
//! lists what is unusual, [`KeyFile::loads_in`] says who minds.

mod content;
mod damage;
mod der;
mod fingerprint;
mod format;
mod num;
mod ppk;
mod public;
mod strict;
mod wire;
pub mod write;

#[cfg(test)]
mod tests;

pub use damage::Damage;
pub use fingerprint::matches_fingerprint;
pub use public::{public_of, same_public};

use format::{Reading, Shape};
use serde::{Deserialize, Serialize};

/// What a key file is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyFile {
    /// Its format.
    pub format: KeyFormat,
    /// Whether a passphrase is needed.
    pub encrypted: bool,
    /// `ssh-rsa`, `ssh-ed25519`, `ecdsa-sha2-nistp256`, ….
    pub algorithm: Option<String>,
    /// Size in bits, as `ssh-keygen -l` prints it.
    pub bits: Option<u32>,
    /// Comment, when it can be read without a passphrase.
    pub comment: Option<String>,
    /// Public half as `type base64`; also of an encrypted key where the format keeps it in clear.
    pub public: Option<String>,
    /// `SHA256:…` of the public half, as `ssh-keygen -l` prints it.
    pub sha256: Option<String>,
    /// Every `KeyFingerprint` that EC2 could show for this key; see [`matches_fingerprint`].
    pub ec2_fingerprints: Vec<String>,
    /// What is unusual about the file; not all of it matters to every program.
    pub damage: Vec<Damage>,
    /// Which programs would read the file as it is (with its passphrase, if it has one).
    pub loads_in: LoadsIn,
    /// Whether a clean copy (see [`normalise`]) would load in OpenSSH.
    pub repairable: bool,
    /// Why the key inside cannot be used, for a file that is a key but a broken or unusable one.
    pub parse_error: Option<String>,
}

/// The format of a key file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyFormat {
    /// OpenSSH's own: `BEGIN OPENSSH PRIVATE KEY`.
    OpenSsh,
    /// RSA in OpenSSL's traditional form: `BEGIN RSA PRIVATE KEY`; what EC2 hands out.
    Pkcs1,
    /// `BEGIN PRIVATE KEY`.
    Pkcs8,
    /// `BEGIN ENCRYPTED PRIVATE KEY`.
    Pkcs8Encrypted,
    /// ECDSA in OpenSSL's traditional form: `BEGIN EC PRIVATE KEY`.
    Sec1,
    /// DSA in OpenSSL's traditional form: `BEGIN DSA PRIVATE KEY`.
    Dsa,
    /// PuTTY's own.
    Ppk {
        /// Version that the first line names; 3 needs PuTTY 0.75.
        version: u8,
    },
    /// Public key in one line, as in authorized_keys.
    PublicOpenSsh,
    /// Public key as RFC 4716 has it: `BEGIN SSH2 PUBLIC KEY`.
    PublicRfc4716,
    /// Public key as OpenSSL writes it: `BEGIN PUBLIC KEY`.
    PublicSpki,
    /// X.509 or OpenSSH certificate.
    Certificate,
    /// Nothing is in the file.
    #[default]
    Empty,
    /// No key that is known here.
    Unknown,
}

impl KeyFormat {
    /// Whether it is a format of private keys.
    pub fn is_private(self) -> bool {
        matches!(
            self,
            Self::OpenSsh
                | Self::Pkcs1
                | Self::Pkcs8
                | Self::Pkcs8Encrypted
                | Self::Sec1
                | Self::Dsa
                | Self::Ppk { .. }
        )
    }

    /// Whether it is a public key or a certificate: nothing that can log in.
    pub fn is_public(self) -> bool {
        matches!(self, Self::PublicOpenSsh | Self::PublicRfc4716 | Self::PublicSpki | Self::Certificate)
    }

    /// Whether it is one of OpenSSL's older forms, one label for each key type.
    fn is_traditional(self) -> bool {
        matches!(self, Self::Pkcs1 | Self::Sec1 | Self::Dsa)
    }

    /// What it is, in a few words.
    pub fn title(self) -> &'static str {
        match self {
            Self::OpenSsh => "OpenSSH private key",
            Self::Pkcs1 => "PEM (PKCS#1) RSA private key",
            Self::Pkcs8 => "PEM (PKCS#8) private key",
            Self::Pkcs8Encrypted => "PEM (PKCS#8) private key with passphrase",
            Self::Sec1 => "PEM (SEC 1) ECDSA private key",
            Self::Dsa => "PEM DSA private key",
            Self::Ppk { version: 1 } => "PuTTY private key, version 1",
            Self::Ppk { version: 2 } => "PuTTY private key, version 2",
            Self::Ppk { .. } => "PuTTY private key, version 3",
            Self::PublicOpenSsh => "OpenSSH public key",
            Self::PublicRfc4716 => "RFC 4716 public key",
            Self::PublicSpki => "PEM public key",
            Self::Certificate => "certificate",
            Self::Empty => "empty file",
            Self::Unknown => "no key",
        }
    }
}

/// Which programs would read a file as it is, given its passphrase if it has one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadsIn {
    /// OpenSSH 9.6 and newer.
    pub openssh: bool,
    /// OpenSSH before 9.6, which does not know Ed25519 in PKCS#8.
    pub openssh_before_9_6: bool,
    /// PuTTY, as a key to log in with (not what PuTTYgen can import).
    pub putty: bool,
}

impl KeyFile {
    /// Whether it is a private key that OpenSSH refuses because the file is damaged; not because
    /// it is PuTTY's, a public key, or of a kind that OpenSSH does not know.
    pub fn is_damaged_for_openssh(&self) -> bool {
        let ppk = matches!(self.format, KeyFormat::Ppk { .. });
        let lost = self.damage.iter().any(|damage| damage.is_loss());
        match self.format {
            KeyFormat::Empty => true,
            KeyFormat::Unknown => lost || self.damage.contains(&Damage::RichText),
            format if format.is_private() && !ppk => !self.loads_in.openssh && (self.repairable || lost),
            _ => ppk && lost,
        }
    }

    /// Whether the private half is there and whole, as far as can be told without a passphrase.
    pub fn is_usable_key(&self) -> bool {
        self.format.is_private() && self.parse_error.is_none()
    }
}

/// Why a container holds no usable key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Problem {
    /// It ends too early.
    Short,
    /// It is damaged: the words say where.
    Bad(&'static str),
    /// It is whole, but nothing that SSH uses: the words say why.
    Unsupported(&'static str),
}

impl Problem {
    fn text(self) -> &'static str {
        match self {
            Self::Short => "the key is cut off",
            Self::Bad(text) | Self::Unsupported(text) => text,
        }
    }
}

/// Describes a key file. Total: any bytes give an answer.
pub fn inspect(bytes: &[u8]) -> KeyFile {
    let Reading { shape, damage } = format::read(bytes);
    let mut key = KeyFile { damage, ..KeyFile::default() };
    describe(&shape, &mut key);
    key.loads_in = loads_in(bytes);
    if key.format.is_private() && !matches!(key.format, KeyFormat::Ppk { .. }) {
        let clean = loads_in(&format::render(&shape));
        key.repairable = clean.openssh;
        if clean.openssh && !key.loads_in.openssh && key.damage.iter().all(|damage| *damage == Damage::TrailingText) {
            key.damage.push(Damage::LineLengths);
        }
    }
    if bytes.len() > format::MAX_BYTES {
        key.parse_error = Some("the file is far larger than any key".to_owned());
        key.loads_in = LoadsIn::default();
    }
    key
}

/// A clean copy of a key file: right encoding, line ends, line lengths and marker lines. Parsers
/// can read it where a key is in the file at all; other content comes back as plain text.
///
/// The result holds what the file holds, private key included: write it with mode 0600 only.
pub fn normalise(bytes: &[u8]) -> Vec<u8> {
    format::render(&format::read(bytes).shape)
}

/// Fills in what the content tells.
fn describe(shape: &Shape, key: &mut KeyFile) {
    let content = match shape {
        Shape::Empty => {
            key.format = KeyFormat::Empty;
            key.parse_error = Some("the file is empty".to_owned());
            return;
        }
        Shape::Other(_) => {
            key.format = KeyFormat::Unknown;
            key.parse_error = Some("there is no key in the file".to_owned());
            return;
        }
        Shape::Ppk(text) => {
            key.format = ppk::version(text).map_or(KeyFormat::Unknown, |version| KeyFormat::Ppk { version });
            ppk::read(text)
        }
        Shape::PublicLine(line) => {
            let (blob, comment) = public::parse_line(line).unzip();
            let certificate = blob.as_deref().and_then(public::algorithm).is_some_and(|name| name.contains("-cert-v"));
            key.format = if certificate { KeyFormat::Certificate } else { KeyFormat::PublicOpenSsh };
            content::Content { blob, comment: comment.flatten(), ..content::Content::default() }
        }
        Shape::Block(block) => {
            key.format = format::block_format(block);
            let labelled = format::pem_format(&block.label);
            if key.format.is_private() && labelled != Some(key.format) {
                key.damage.push(Damage::WrongLabel);
            }
            match (key.format, &block.dek_info) {
                (KeyFormat::PublicRfc4716, _) => {
                    let (blob, comment) = public::parse_rfc4716(&block.text);
                    content::Content { blob, comment, ..content::Content::default() }
                }
                (KeyFormat::PublicSpki, _) => {
                    let blob = public::parse_spki(&block.data).or_else(|_| public::parse_rsa_public(&block.data));
                    content::Content { blob: blob.ok(), ..content::Content::default() }
                }
                (KeyFormat::Certificate, _) => content::Content::default(),
                (KeyFormat::Unknown, _) => {
                    let problem = Problem::Unsupported("there is no SSH key in the file");
                    content::Content { problem: Some(problem), ..content::Content::default() }
                }
                (_, Some(dek_info)) => content::encrypted_pem(dek_info, &block.data),
                (format, None) => content::read(format, &block.data),
            }
        }
    };
    key.encrypted = content.encrypted;
    key.comment = content.comment.map(|comment| comment.chars().filter(|c| !c.is_control()).collect());
    if let Some(problem) = content.problem {
        key.parse_error = Some(problem.text().to_owned());
        match problem {
            Problem::Short => key.damage.push(Damage::Truncated),
            Problem::Bad(_) => key.damage.push(Damage::Corrupt),
            Problem::Unsupported(_) => {}
        }
        key.damage.sort_unstable();
        key.damage.dedup();
    }
    if key.format.is_private() && content.blob.as_deref().and_then(public::algorithm) == Some("ssh-dss") {
        key.parse_error.get_or_insert_with(|| "DSA keys are no longer used in SSH".to_owned());
    }
    if let Some(blob) = &content.blob {
        key.algorithm = public::algorithm(blob).map(str::to_owned);
        key.bits = public::bits(blob);
        key.public = public::line(blob);
        key.sha256 = Some(fingerprint::sha256(blob));
        key.ec2_fingerprints = content.pkcs1.as_deref().map(fingerprint::created_rsa).into_iter().collect();
        key.ec2_fingerprints.extend(fingerprint::public_forms(blob));
    }
}

/// Asks the readers of the programs.
fn loads_in(bytes: &[u8]) -> LoadsIn {
    let putty = strict::putty(bytes).is_some_and(|content| content.problem.is_none());
    let Some((format, content)) = strict::openssh(bytes).filter(|(_, content)| content.problem.is_none()) else {
        return LoadsIn { putty, ..LoadsIn::default() };
    };
    let algorithm = content.blob.as_deref().and_then(public::algorithm);
    LoadsIn {
        // OpenSSH 10.0 has no DSA any more, and 9.8 was the last to be built with it by default.
        openssh: algorithm != Some("ssh-dss"),
        openssh_before_9_6: !(format == KeyFormat::Pkcs8 && algorithm == Some("ssh-ed25519")),
        putty,
    }
}

/// Whether OpenSSH refuses a private key for its mode: it is the user's own and others have any
/// right to it. Files of other owners are not checked (`sshkey_perm_ok` in authfile.c).
pub fn mode_too_open(mode: u32, owner: u32, me: u32) -> bool {
    owner == me && mode & 0o077 != 0
}
