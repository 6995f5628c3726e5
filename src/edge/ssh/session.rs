//! One SSH connection: key exchange, then questions about keys.
//!
//! Must not open a channel, but for root, whom cloud images tell in a session who to log in as; and for what a jump
//! host passes on ([`super::tunnel`]).

mod run;

use super::algorithms::{self, CLIENT, config, is_before_rsa_sha2};
use super::banner::{self, Replay};
use super::key::{AskError, Asker, Offered};
use super::tap::Tap;
use super::watch::{CLOSED, Seen, Watcher, lock, take, words};
use super::{SshRequest, Stream};
use crate::core::facts::wire::{Answer, Offer, SshServer};
use crate::core::recognise::strip_controls;
use crate::core::text;
use crate::edge::tcp::whole_millis;
use russh::client::{self, AuthResult, Handle};
use russh::keys::HashAlg;
use russh::{ChannelMsg, Disconnect, MethodSet};
use std::ffi::OsString;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Limit of the good-bye.
const CLOSE: Duration = Duration::from_secs(1);

/// How long root is listened to: the line comes at once, or never.
const ROOT: Duration = Duration::from_secs(3);

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
    /// The host key, as `type base64`.
    pub host_line: Option<String>,
    /// Hash for RSA signatures, once it was found out.
    rsa_hash: Option<RsaHash>,
    /// Consent to open a session as root.
    inside: bool,
    /// Socket of the agent that may sign.
    agent: Option<OsString>,
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
    /// Exchanges identification strings and keys; `tap` notes the algorithms that the server offers.
    pub async fn open(mut stream: Stream, request: &SshRequest, pace: Pace, tap: &Tap) -> Opened {
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
        let stream = Replay::new(stream, identification.from_here, CLIENT.len() + 2, tap.clone());
        let mut config = config(&request.known_types);
        if request.lasting {
            algorithms::lasting(&mut config);
        }
        let config = Arc::new(config);
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
        let noted = take(&seen);
        let Some((host_key_type, host_key)) = noted.host_key else {
            return failed("the server showed no host key".to_owned());
        };
        let server = SshServer::Ready { banner: banner.clone(), host_key_type, host_key };
        let (inside, agent) = (request.inside, request.agent.clone());
        Opened::Ready(
            Self { handle, seen, pace, banner, host_line: noted.host_line, rsa_hash: None, inside, agent },
            server,
        )
    }

    /// Asks whether the server takes a key for a user; completes the login if `sign` and if it can.
    pub async fn ask(&mut self, user: &str, key: &Offered, sign: bool) -> Offer {
        let hash = if key.public.algorithm().is_rsa() { self.rsa_hash().await } else { None };
        let mut asker = Asker {
            key: key.private.as_ref().filter(|_| sign),
            agent: self.agent.as_deref().filter(|_| sign && key.held),
            agent_said: None,
            seen: &self.seen,
            taken: false,
            signed: false,
        };
        let limit = self.pace.next();
        let question = self.handle.authenticate_publickey_with(user, key.public.clone(), hash, &mut asker);
        let result = timeout(limit, question).await;
        let (taken, signed, refusal) = (asker.taken, asker.signed, asker.agent_said);
        let mut methods = Vec::new();
        let answer = match result {
            Err(_) if signed => Answer::Failed { reason: format!("{} to the signature", no_answer(limit)) },
            Err(_) if taken => Answer::Failed { reason: format!("the agent did not sign: {}", no_answer(limit)) },
            Err(_) => Answer::Failed { reason: no_answer(limit) },
            Ok(Err(_)) if taken => match refusal {
                Some(said) => Answer::Failed { reason: format!("the agent did not sign: {said}") },
                None => Answer::WouldAccept,
            },
            Ok(Err(AskError)) => Answer::Failed { reason: self.ended() },
            Ok(Ok(AuthResult::Success)) if user == "root" && self.inside => self.as_root().await,
            Ok(Ok(AuthResult::Success)) => Answer::LoggedIn,
            Ok(Ok(AuthResult::Failure { remaining_methods, partial_success })) => {
                methods = names(&remaining_methods);
                let ended = methods.is_empty() && self.has_ended();
                match (ended, signed) {
                    (true, true) => Answer::AcceptedThenRefused { reason: self.ended() },
                    (true, false) => Answer::Failed { reason: self.ended() },
                    (false, true) if partial_success => Answer::AcceptedThenRefused {
                        reason: format!("the server wants more than the key: {}", text::list(&methods)),
                    },
                    (false, true) => Answer::AcceptedThenRefused {
                        reason: "the server refused the login after it had seen the signature".to_owned(),
                    },
                    (false, false) => Answer::Refused,
                }
            }
        };
        self.offer(user, Some(key), answer, methods)
    }

    /// Cloud images take root's key only to name the user to log in as: a forced command prints it and
    /// ends (cloud-init, `disable_root_opts`). Only a session shows that, so `true` is asked for, which
    /// the forced command replaces, and which changes nothing where root really may log in.
    async fn as_root(&mut self) -> Answer {
        let Ok(Ok(mut channel)) = timeout(self.pace.next(), self.handle.channel_open_session()).await else {
            return Answer::WouldAccept;
        };
        let mut said = Vec::new();
        let listen = async {
            if channel.exec(true, "true").await.is_err() {
                return;
            }
            while let Some(message) = channel.wait().await {
                match message {
                    ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. } => {
                        said.extend_from_slice(&data[..data.len().min(512)]);
                        // The forced command sleeps after its one line.
                        if said.contains(&b'\n') || said.len() > 1024 {
                            return;
                        }
                    }
                    ChannelMsg::ExitStatus { .. } | ChannelMsg::Close => return,
                    _ => {}
                }
            }
        };
        let _ = timeout(ROOT, listen).await;
        let said = strip_controls(&String::from_utf8_lossy(&said));
        match said.find("Please login as the user") {
            Some(at) => {
                Answer::AcceptedThenRefused { reason: said[at..].lines().next().unwrap_or_default().trim().to_owned() }
            }
            None => Answer::LoggedIn,
        }
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
                if methods.is_empty() && self.has_ended() {
                    Answer::Failed { reason: self.ended() }
                } else {
                    Answer::Refused
                }
            }
        };
        self.offer(user, None, answer, methods)
    }

    /// Ends the questions; the connection goes on as a jump host's.
    pub(super) fn into_parts(self) -> (Handle<Watcher>, Arc<Mutex<Seen>>) {
        (self.handle, self.seen)
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
        Offer {
            user: user.to_owned(),
            key: key.map(|key| key.path.clone()),
            fingerprint: key.map(|key| key.fingerprint.clone()),
            answer,
            methods,
            banner,
        }
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

fn names(methods: &MethodSet) -> Vec<String> {
    methods.iter().map(String::from).collect()
}
