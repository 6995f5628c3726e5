//! One SSH connection: key exchange, then questions about keys.
//!
//! Must not open a channel. The private half of a key is used for one signature, and only after the
//! server said that it takes the key.

use super::banner::{self, Replay};
use super::{SshKey, SshRequest};
use crate::core::facts::wire::{Answer, Offer, SshServer};
use crate::core::key::normalise;
use crate::core::recognise::strip_controls;
use crate::core::text;
use crate::edge::tcp::{os_words, whole_millis};
use russh::client::{self, AuthResult, DisconnectReason, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode as _;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PublicKey, PublicKeyOrCertificate, decode_secret_key};
use russh::{AlgorithmKind, Disconnect, MethodSet, Preferred, SendError, SshId, cipher, kex, mac};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// The own identification (RFC 4253, section 4.2).
const CLIENT: &str = concat!("SSH-2.0-port22_", env!("CARGO_PKG_VERSION"));
/// A connection on which nothing came for so long ends by itself, even if nobody waits for it any more.
const ABANDONED: Duration = Duration::from_mins(1);
/// What is said about an end without words.
const CLOSED: &str = "the server closed the connection";
/// Limit of the good-bye.
const CLOSE: Duration = Duration::from_secs(1);
/// Authentication banners that are kept, and characters of each: they come from a stranger.
const MOST_BANNERS: usize = 8;
const LONGEST_BANNER: usize = 2000;

/// A key that can be offered.
pub(super) struct Offered {
    /// File.
    pub path: String,
    /// `SHA256:…`.
    pub fingerprint: String,
    public: PublicKey,
    private: Option<PrivateKey>,
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
        Some(Self { path: key.path.clone(), fingerprint: public.fingerprint(HashAlg::Sha256).to_string(), public, private })
    }
}

/// Decodes a private key that needs no passphrase.
fn private_key(bytes: &[u8]) -> Option<PrivateKey> {
    let clean = normalise(bytes);
    let text = std::str::from_utf8(&clean).ok()?;
    decode_secret_key(text, None).ok().filter(|key| !key.is_encrypted())
}

/// What the handler saw; written by the connection's task.
#[derive(Debug)]
struct Seen {
    /// Type and fingerprint.
    host_key: Option<(String, String)>,
    /// Authentication banners since the last question.
    banners: Vec<String>,
    /// How many of them had come when a signature was made; none explains anything without one.
    banners_before_signature: usize,
    /// Whether the connection ended.
    ended: bool,
    /// What was said about its end: by the server, or by the operating system.
    last_words: Option<String>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { host_key: None, banners: Vec::new(), banners_before_signature: usize::MAX, ended: false, last_words: None }
    }
}

/// Notes what happens on a connection.
struct Watcher(Arc<Mutex<Seen>>);

impl Watcher {
    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut lock(&self.0));
    }
}

impl client::Handler for Watcher {
    type Error = russh::Error;

    async fn auth_banner(&mut self, banner: &str, _: &mut client::Session) -> Result<(), Self::Error> {
        let banner = text::shorten(strip_controls(banner).trim(), LONGEST_BANNER);
        self.note(|seen| {
            if seen.banners.len() < MOST_BANNERS && !banner.is_empty() {
                seen.banners.push(banner);
            }
        });
        Ok(())
    }

    /// Takes any key: nothing secret is sent, and the caller compares the fingerprint.
    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let key = key.public_key();
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        self.note(|seen| seen.host_key = Some((key.algorithm().to_string(), fingerprint)));
        Ok(true)
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Self::Error>) -> Result<(), Self::Error> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                let words = strip_controls(&info.message).replace('\n', " ").trim().to_owned();
                self.note(|seen| (seen.ended, seen.last_words) = (true, Some(words).filter(|words| !words.is_empty())));
                Ok(())
            }
            // The server offers no method any more; its answer was passed on before.
            DisconnectReason::Error(error @ russh::Error::NoAuthMethod) => Err(error),
            DisconnectReason::Error(error) => {
                let words = words(&error);
                self.note(|seen| (seen.ended, seen.last_words) = (true, Some(words).filter(|words| words != CLOSED)));
                Err(error)
            }
        }
    }
}

/// How opening a connection ended.
pub(super) enum Opened {
    /// Key exchange is done.
    Ready(Session, SshServer),
    /// It is not, and this is why.
    Not(SshServer),
}

/// A connection after key exchange.
pub(super) struct Session {
    handle: Handle<Watcher>,
    seen: Arc<Mutex<Seen>>,
    pace: Pace,
    /// Identification string of the server.
    banner: String,
    /// Hash for RSA signatures, once it was found out.
    rsa_hash: Option<RsaHash>,
}

/// Hash of an RSA signature; `None` is SHA-1 (RFC 8332).
#[derive(Clone, Copy)]
struct RsaHash(Option<HashAlg>);

/// How long to wait: for one answer, and for all of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    each: Duration,
    until: Instant,
}

impl Pace {
    /// Begins now.
    pub fn new(each: Duration, all: Duration) -> Self {
        Self { each, until: Instant::now() + all }
    }

    /// Limit of the next answer.
    pub fn next(self) -> Duration {
        self.each.min(self.until.saturating_duration_since(Instant::now()))
    }
}

impl Session {
    /// Exchanges identification strings and keys.
    pub async fn open(mut stream: TcpStream, request: &SshRequest, pace: Pace) -> Opened {
        // Questions are small and each waits for its answer.
        let _ = stream.set_nodelay(true);
        let identification = match banner::exchange(&mut stream, CLIENT, pace.next()).await {
            Ok(identification) => identification,
            Err(server) => return Opened::Not(server),
        };
        let banner = identification.text;
        let failed = |reason: String| Opened::Not(SshServer::KexFailed { banner: banner.clone(), reason });
        if !banner.starts_with("SSH-2.0-") && !banner.starts_with("SSH-1.99-") {
            return failed("the server does not speak version 2 of the protocol".to_owned());
        }
        let seen = Arc::new(Mutex::new(Seen::default()));
        let stream = Replay::new(stream, identification.from_here, CLIENT.len() + 2);
        let config = Arc::new(config(&request.known_types));
        let connect = client::connect_stream(config, stream, Watcher(Arc::clone(&seen)));
        let limit = pace.next();
        let handle = match timeout(limit, connect).await {
            Err(_) => return failed(no_answer(limit)),
            Ok(Err(error)) => {
                let said = take(&seen).last_words;
                return failed(said.unwrap_or_else(|| words(&error)));
            }
            Ok(Ok(handle)) => handle,
        };
        let Some((host_key_type, host_key)) = take(&seen).host_key else {
            return failed("the server showed no host key".to_owned());
        };
        let server = SshServer::Ready { banner: banner.clone(), host_key_type, host_key };
        Opened::Ready(Self { handle, seen, pace, banner, rsa_hash: None }, server)
    }

    /// Asks whether the server takes a key for a user; completes the login if `sign` and if it can.
    pub async fn ask(&mut self, user: &str, key: &Offered, sign: bool) -> Offer {
        let hash = if key.public.algorithm().is_rsa() { self.rsa_hash().await } else { None };
        let mut asker = Asker { key: key.private.as_ref().filter(|_| sign), seen: &self.seen, taken: false, signed: false };
        let limit = self.pace.next();
        let question = self.handle.authenticate_publickey_with(user, key.public.clone(), hash, &mut asker);
        let result = timeout(limit, question).await;
        let (taken, signed) = (asker.taken, asker.signed);
        let mut methods = Vec::new();
        let answer = match result {
            Err(_) if signed => Answer::Failed { reason: format!("{} to the signature", no_answer(limit)) },
            Err(_) => Answer::Failed { reason: no_answer(limit) },
            Ok(Err(_)) if taken => Answer::WouldAccept,
            Ok(Err(AskError)) => Answer::Failed { reason: self.ended() },
            Ok(Ok(AuthResult::Success)) => Answer::LoggedIn,
            Ok(Ok(AuthResult::Failure { remaining_methods, partial_success })) => {
                methods = names(&remaining_methods);
                let ended = methods.is_empty() && self.has_ended();
                match (ended, signed) {
                    (true, true) => Answer::AcceptedThenRefused { reason: self.ended() },
                    (true, false) => Answer::Failed { reason: self.ended() },
                    (false, true) if partial_success => Answer::AcceptedThenRefused { reason: format!("the server wants more than the key: {}", text::list(&methods)) },
                    (false, true) => Answer::AcceptedThenRefused { reason: "the server refused the login after it had seen the signature".to_owned() },
                    (false, false) => Answer::Refused,
                }
            }
        };
        self.offer(user, Some(key), answer, methods)
    }

    /// Asks for the methods, without any key.
    pub async fn ask_none(&mut self, user: &str) -> Offer {
        let limit = self.pace.next();
        let result = timeout(limit, self.handle.authenticate_none(user)).await;
        let mut methods = Vec::new();
        let answer = match result {
            Err(_) => Answer::Failed { reason: no_answer(limit) },
            Ok(Err(_)) => Answer::Failed { reason: self.ended() },
            Ok(Ok(AuthResult::Success)) => Answer::LoggedIn,
            Ok(Ok(AuthResult::Failure { remaining_methods, .. })) => {
                methods = names(&remaining_methods);
                if methods.is_empty() && self.has_ended() { Answer::Failed { reason: self.ended() } } else { Answer::Refused }
            }
        };
        self.offer(user, None, answer, methods)
    }

    /// Says good-bye, so that the server's log shows an orderly end.
    pub async fn close(self) {
        let Self { handle, .. } = self;
        if handle.disconnect(Disconnect::ByApplication, "port22 has seen enough", "en").await.is_ok() {
            let _ = timeout(CLOSE, handle).await;
        }
    }

    fn offer(&self, user: &str, key: Option<&Offered>, answer: Answer, methods: Vec<String>) -> Offer {
        let banners = std::mem::take(&mut lock(&self.seen).banners);
        let banner = Some(banners.join("\n")).filter(|text| !text.is_empty());
        Offer { user: user.to_owned(), key: key.map(|key| key.path.clone()), fingerprint: key.map(|key| key.fingerprint.clone()), answer, methods, banner }
    }

    /// The hash for RSA signatures (RFC 8332): what the server says it takes (RFC 8308,
    /// `server-sig-algs`). OpenSSH before 7.2 says nothing and knows SHA-1 only.
    async fn rsa_hash(&mut self) -> Option<HashAlg> {
        if let Some(RsaHash(hash)) = self.rsa_hash {
            return hash;
        }
        let told = timeout(self.pace.next(), self.handle.best_supported_rsa_hash()).await;
        let hash = match told {
            Ok(Ok(Some(hash))) => hash,
            _ if is_before_rsa_sha2(&self.banner) => None,
            _ => Some(HashAlg::Sha512),
        };
        self.rsa_hash = Some(RsaHash(hash));
        hash
    }

    fn has_ended(&self) -> bool {
        lock(&self.seen).ended
    }

    /// Why the connection ended, in words.
    fn ended(&self) -> String {
        let seen = lock(&self.seen);
        // PAM's account stage explains itself in a banner after the signature (OpenSSH auth2.c).
        let explained = seen.banners.get(seen.banners_before_signature..).and_then(<[_]>::last);
        seen.last_words.as_ref().or(explained).map_or_else(|| CLOSED.to_owned(), ToOwned::to_owned)
    }
}

fn no_answer(limit: Duration) -> String {
    format!("no answer within {}", text::millis(whole_millis(limit)))
}

/// Signs, or does not, after the server said that it takes the key: the library calls a signer then only.
struct Asker<'a> {
    key: Option<&'a PrivateKey>,
    seen: &'a Mutex<Seen>,
    taken: bool,
    signed: bool,
}

/// There is no signature: the connection ended, or none was wanted.
#[derive(Debug)]
struct AskError;

impl From<SendError> for AskError {
    fn from(_: SendError) -> Self {
        Self
    }
}

impl russh::Signer for Asker<'_> {
    type Error = AskError;

    async fn auth_sign(&mut self, _: &AgentIdentity, hash: Option<HashAlg>, mut data: Vec<u8>) -> Result<Vec<u8>, AskError> {
        self.taken = true;
        let key = self.key.ok_or(AskError)?;
        let signature = match key.key_data() {
            KeypairData::Rsa(pair) => (pair, hash).try_sign(&data),
            pair => pair.try_sign(&data),
        };
        signature.map_err(|_| AskError)?.encode_prefixed(&mut data).map_err(|_| AskError)?;
        self.signed = true;
        let mut seen = lock(self.seen);
        seen.banners_before_signature = seen.banners.len();
        Ok(data)
    }
}

/// Broad preferences: the question is who is there, not whether its algorithms are modern. Old ones
/// come last. Known host key types come first, as OpenSSH has it (`order_hostkeyalgs` in sshconnect2.c).
fn config(known_types: &[String]) -> client::Config {
    let mut preferred = Preferred::DEFAULT;
    let extensions = [kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT];
    let old = [kex::ECDH_SHA2_NISTP256, kex::ECDH_SHA2_NISTP384, kex::ECDH_SHA2_NISTP521, kex::DH_GEX_SHA1, kex::DH_G14_SHA1, kex::DH_G1_SHA1];
    preferred.kex = Cow::Owned(preferred.kex.iter().copied().chain(old).chain(extensions).fold(Vec::new(), push_new));
    let old = [cipher::AES_128_GCM, cipher::AES_256_CBC, cipher::AES_192_CBC, cipher::AES_128_CBC];
    preferred.cipher = Cow::Owned(preferred.cipher.iter().copied().chain(old).fold(Vec::new(), push_new));
    let old = [mac::HMAC_SHA1_ETM, mac::HMAC_SHA1];
    preferred.mac = Cow::Owned(preferred.mac.iter().copied().chain(old).fold(Vec::new(), push_new));
    let mut host_keys: Vec<Algorithm> = preferred.key.to_vec();
    host_keys.sort_by_key(|algorithm| !known_types.iter().any(|known| is_of_type(algorithm, known)));
    preferred.key = Cow::Owned(host_keys);
    client::Config { client_id: SshId::Standard(Cow::Borrowed(CLIENT)), preferred, inactivity_timeout: Some(ABANDONED), ..client::Config::default() }
}

fn push_new<T: PartialEq>(mut list: Vec<T>, item: T) -> Vec<T> {
    if !list.contains(&item) {
        list.push(item);
    }
    list
}

/// Whether a signature algorithm goes with a key type: all RSA ones go with `ssh-rsa`.
fn is_of_type(algorithm: &Algorithm, key_type: &str) -> bool {
    if matches!(algorithm, Algorithm::Rsa { .. }) { key_type == "ssh-rsa" } else { algorithm.as_str() == key_type }
}

/// Whether a server is an OpenSSH that does not know RSA signatures with SHA-2 (added in 7.2).
fn is_before_rsa_sha2(banner: &str) -> bool {
    let Some((_, version)) = banner.split_once("OpenSSH_") else { return false };
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < (7, 2),
        _ => false,
    }
}

fn names(methods: &MethodSet) -> Vec<String> {
    methods.iter().map(String::from).collect()
}

fn take(seen: &Mutex<Seen>) -> Seen {
    std::mem::take(&mut *lock(seen))
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The library's error in words that ssh users know.
fn words(error: &russh::Error) -> String {
    use russh::Error;
    match error {
        Error::NoCommonAlgo { kind, theirs, .. } => {
            let kind = match kind {
                AlgorithmKind::Kex => "key exchange method",
                AlgorithmKind::Key => "host key type",
                AlgorithmKind::Cipher => "cipher",
                AlgorithmKind::Compression => "compression",
                AlgorithmKind::Mac => "MAC",
            };
            strip_controls(&format!("no matching {kind} found; their offer: {}", theirs.join(","))).replace('\n', " ")
        }
        Error::IO(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => CLOSED.to_owned(),
        Error::IO(error) => os_words(error),
        Error::Disconnect | Error::HUP => CLOSED.to_owned(),
        other => strip_controls(&other.to_string()).replace('\n', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK2pr+Bfus1hvPof4Wb/plZCzSbqadHH0u+/f4ODtKnE someone@here";

    fn key(public: Option<&str>) -> SshKey {
        SshKey { path: "k".to_owned(), public: public.map(str::to_owned), private: None, encrypted: false }
    }

    #[test]
    fn only_keys_with_a_public_half_can_be_offered() {
        let offered = Offered::read(&key(Some(PUBLIC))).expect("a public line");
        assert!(offered.fingerprint.starts_with("SHA256:"));
        assert!(offered.private.is_none());
        assert!(Offered::read(&key(None)).is_none());
        assert!(Offered::read(&key(Some("ssh-ed25519 AAAA"))).is_none());
    }

    #[test]
    fn known_host_key_types_come_first() {
        let first = |known: &str| config(&[known.to_owned()]).preferred.key[0].to_string();
        assert_eq!(first("ecdsa-sha2-nistp256"), "ecdsa-sha2-nistp256");
        assert_eq!(first("ssh-rsa"), "rsa-sha2-512");
        assert_eq!(first("unheard-of"), "ssh-ed25519");
    }

    #[test]
    fn old_algorithms_come_after_the_safe_ones() {
        let preferred = config(&[]).preferred;
        let at = |name: kex::Name| preferred.kex.iter().position(|n| *n == name).expect("in the list");
        assert!(at(kex::CURVE25519) < at(kex::DH_G14_SHA256) && at(kex::DH_G14_SHA256) < at(kex::DH_G1_SHA1));
        assert!(preferred.cipher.contains(&cipher::AES_128_CBC));
    }

    #[test]
    fn sha1_is_used_only_with_servers_that_know_nothing_else() {
        for (banner, old) in [("SSH-2.0-OpenSSH_6.6.1p1 Ubuntu-2ubuntu2", true), ("SSH-2.0-OpenSSH_7.1", true), ("SSH-2.0-OpenSSH_7.4", false), ("SSH-2.0-OpenSSH_10.0", false), ("SSH-2.0-dropbear_2019.78", false)] {
            assert_eq!(is_before_rsa_sha2(banner), old, "{banner}");
        }
    }

    #[test]
    fn a_missing_algorithm_is_told_in_words_of_ssh() {
        let error = russh::Error::NoCommonAlgo { kind: AlgorithmKind::Key, ours: Vec::new(), theirs: vec!["ssh-dss".to_owned()] };
        assert_eq!(words(&error), "no matching host key type found; their offer: ssh-dss");
    }
}
