//! A login that is kept: for the connections that a jump host makes, and for a terminal.
//!
//! One authentication, with the keys of the request in their order until one is taken; nothing is offered to a server
//! that the caller does not trust. Must not write known_hosts, and must not read what passes through a channel.

use super::session::{Opened, Pace, Session};
use super::tap::Tap;
use super::watch::{CLOSED, Seen, Watcher, lock, words};
use super::{Asking, Heard, SshRequest, Stream, offered};
use crate::core::fact::Fact;
use crate::core::facts::wire::{Answer, Budget, SshServer};
use crate::core::text;
use crate::edge::tcp::whole_millis;
use russh::client::{Handle, Msg};
use russh::{Channel, Disconnect};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;

/// Limit of the good-bye.
const GOODBYE: Duration = Duration::from_secs(1);

/// A server that let us in. Dropping it, and every channel of it, ends the connection.
pub struct Login {
    pub(super) handle: Handle<Watcher>,
    pub(super) seen: Arc<Mutex<Seen>>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// Logs in over an open connection: the first user of the request, its keys in order until one is taken. `trusted` is
/// asked about the server before any key is named; where it says no, nothing is offered. The login is there when the
/// server let the user in; otherwise what was heard tells why not.
pub async fn enter(
    stream: Stream,
    request: &SshRequest,
    trusted: impl FnOnce(&SshServer) -> bool + Send,
) -> (Heard, Option<Login>) {
    let (pace, tap) = (Pace::new(request.banner_limit, request.total_limit), Tap::default());
    let budget = Budget { used: 0, cap: request.cap };
    let mut asking = Asking { offers: Vec::new(), budget, pace, request };
    let (mut session, server) = match Session::open(stream, request, pace, &tap).await {
        Opened::Ready(session, server) => (session, server),
        Opened::Not(server) => {
            let server = Fact::known(server, request.source());
            return (Heard { server, lists: tap.lists(), offers: asking.offers, budget: asking.budget }, None);
        }
    };
    let keys = offered(&request.keys);
    match request.users.first() {
        Some(user) if trusted(&server) => {
            if keys.is_empty() {
                asking.ask_methods(&mut session, user).await;
            } else {
                asking.ask_keys(&mut session, user, &keys, true).await;
            }
        }
        _ => {}
    }
    let heard = Heard {
        server: Fact::known(server, request.source()),
        lists: tap.lists(),
        offers: asking.offers,
        budget: asking.budget,
    };
    if heard.offers.iter().any(|offer| offer.answer == Answer::LoggedIn) {
        let (handle, seen) = session.into_parts();
        return (heard, Some(Login { handle, seen }));
    }
    session.close().await;
    (heard, None)
}

impl Login {
    /// Opens a channel for one session (RFC 4254, section 6.1). The error is for the user.
    pub async fn channel(&self, limit: Duration) -> Result<Channel<Msg>, String> {
        match timeout(limit, self.handle.channel_open_session()).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => {
                let refusal = lock(&self.seen).refusal.take().map(|(_, words)| words).filter(|w| !w.is_empty());
                Err(match refusal {
                    Some(said) => format!("the server opens no session: {said}"),
                    None => format!("the server opens no session: {}", words(&error)),
                })
            }
            Err(_) => Err(format!("the server opened no session within {}", text::millis(whole_millis(limit)))),
        }
    }

    /// Why the connection ended: the last words of the server or of the operating system.
    pub fn last_words(&self) -> String {
        lock(&self.seen).last_words.clone().unwrap_or_else(|| CLOSED.to_owned())
    }

    /// Says good-bye, so that the server's log shows an orderly end.
    pub async fn close(&self) {
        let bye = self.handle.disconnect(Disconnect::ByApplication, "port22 has seen enough", "en");
        let _ = timeout(GOODBYE, bye).await;
    }
}
