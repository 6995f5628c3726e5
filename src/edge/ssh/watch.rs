//! What happens on a connection, noted by the library's task and read by the one that asks.
//!
//! Takes any host key: nothing secret is sent before the caller has compared the fingerprint.

use crate::core::recognise::strip_controls;
use crate::core::text;
use crate::edge::tcp::os_words;
use russh::client::{self, DisconnectReason};
use russh::keys::{HashAlg, PublicKeyOrCertificate};
use russh::{AlgorithmKind, ChannelId, ChannelOpenFailure};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What is said about an end without words.
pub(super) const CLOSED: &str = "the server closed the connection";
/// Authentication banners that are kept, and characters of each: they come from a stranger.
const MOST_BANNERS: usize = 8;
const LONGEST_BANNER: usize = 2000;
/// Characters of a refusal's words.
const LONGEST_REFUSAL: usize = 300;

/// What the handler saw; written by the connection's task.
#[derive(Debug)]
pub(super) struct Seen {
    /// Type and fingerprint.
    pub host_key: Option<(String, String)>,
    /// The host key itself, as `type base64`.
    pub host_line: Option<String>,
    /// Authentication banners since the last question.
    pub banners: Vec<String>,
    /// How many of them had come when a signature was made; none explains anything without one.
    pub banners_before_signature: usize,
    /// Whether the connection ended.
    pub ended: bool,
    /// What was said about its end: by the server, or by the operating system.
    pub last_words: Option<String>,
    /// Reason and words with which a channel was refused.
    pub refusal: Option<(ChannelOpenFailure, String)>,
    /// Woken when a channel was refused: the library tells the asker before it tells the words.
    pub refused: Arc<Notify>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            host_key: None,
            host_line: None,
            banners: Vec::new(),
            banners_before_signature: usize::MAX,
            ended: false,
            last_words: None,
            refusal: None,
            refused: Arc::default(),
        }
    }
}

/// Notes what happens on a connection.
pub(super) struct Watcher(pub Arc<Mutex<Seen>>);

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
        let line = key.to_openssh().ok().map(|l| l.split(' ').take(2).collect::<Vec<_>>().join(" "));
        self.note(|seen| {
            seen.host_key = Some((key.algorithm().to_string(), fingerprint));
            seen.host_line = line;
        });
        Ok(true)
    }

    async fn channel_open_failure(
        &mut self,
        _: ChannelId,
        reason: ChannelOpenFailure,
        description: &str,
        _: &str,
        _: &mut client::Session,
    ) -> Result<(), Self::Error> {
        let words = text::shorten(strip_controls(description).replace('\n', " ").trim(), LONGEST_REFUSAL);
        self.note(|seen| {
            seen.refusal = Some((reason, words));
            seen.refused.notify_one();
        });
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Self::Error>) -> Result<(), Self::Error> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                let words = strip_controls(&info.message).replace('\n', " ").trim().to_owned();
                self.note(|seen| {
                    seen.ended = true;
                    seen.last_words = Some(words).filter(|words| !words.is_empty());
                });
                Ok(())
            }
            // The server offers no method any more; its answer was passed on before.
            DisconnectReason::Error(error @ russh::Error::NoAuthMethod) => Err(error),
            DisconnectReason::Error(error) => {
                let words = words(&error);
                self.note(|seen| {
                    seen.ended = true;
                    seen.last_words = Some(words).filter(|words| words != CLOSED);
                });
                Err(error)
            }
        }
    }
}

/// Everything that was noted; begins anew.
pub(super) fn take(seen: &Mutex<Seen>) -> Seen {
    std::mem::take(&mut *lock(seen))
}

/// What was noted so far.
pub(super) fn lock<T>(seen: &Mutex<T>) -> MutexGuard<'_, T> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The library's error in words that ssh users know.
pub(super) fn words(error: &russh::Error) -> String {
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

    #[test]
    fn a_missing_algorithm_is_told_in_words_of_ssh() {
        let error = russh::Error::NoCommonAlgo {
            kind: AlgorithmKind::Key,
            ours: Vec::new(),
            theirs: vec!["ssh-dss".to_owned()],
        };
        assert_eq!(words(&error), "no matching host key type found; their offer: ssh-dss");
    }
}
