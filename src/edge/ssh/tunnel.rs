//! A login to a jump host, and the connections that it is asked for.
//!
//! One authentication, with the keys that ssh itself would bring there; then only channels of type `direct-tcpip`
//! (RFC 4254, section 7.2), as `ssh -W` opens them. Must not open a session, run a command or ask for a listener, and
//! shows no key to a host whose host key contradicts known_hosts, or that the caller does not trust.

use super::login::{Login, enter};
use super::watch::{CLOSED, lock, words};
use super::{Heard, SshRequest, Stream};
use crate::core::facts::wire::{Onward, SshServer};
use crate::core::text;
use crate::edge::tcp::whole_millis;
use russh::{ChannelOpenFailure, Error};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long the words of a refusal may come after it: they are of the same packet.
const WORDS: Duration = Duration::from_millis(200);

/// A jump host that let us in. Dropping it ends the connection.
pub struct Tunnel {
    login: Login,
    name: String,
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tunnel").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Logs in to a jump host over an open connection: the first user of the request, its keys in order until one is taken.
/// Where known_hosts has another host key, or revokes it, or `trusted` says no to the server, nothing is offered. The
/// tunnel is there after a login.
pub async fn log_in(
    stream: Stream,
    request: SshRequest,
    name: &str,
    trusted: impl FnOnce(&SshServer) -> bool + Send,
) -> (Heard, Option<Tunnel>) {
    let (heard, login) = enter(stream, &request, |server| !request.contradicts(server) && trusted(server)).await;
    (heard, login.map(|login| Tunnel { login, name: name.to_owned() }))
}

impl Tunnel {
    /// The jump host as it is configured.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks the jump host to connect to a host, and waits for its answer up to `limit`.
    pub async fn open(&self, host: &str, port: u16, limit: Duration) -> (Onward, Option<Stream>) {
        let said =
            |outcome: &str, words: String| Onward { host: host.to_owned(), port, outcome: outcome.to_owned(), words };
        let refused = {
            let mut seen = lock(&self.login.seen);
            seen.refusal = None;
            // A late answer to an earlier question wakes nobody.
            seen.refused = Arc::default();
            Arc::clone(&seen.refused)
        };
        // The originator is for the server's log; ssh -W names the same.
        let asked = self.login.handle.channel_open_direct_tcpip(host, port.into(), "127.0.0.1", 0);
        match timeout(limit, asked).await {
            Err(_) => {
                let words = format!("no answer within {}", text::millis(whole_millis(limit)));
                (said("no_answer", words), None)
            }
            Ok(Ok(channel)) => (said("open", String::new()), Some(Box::new(channel.into_stream()))),
            Ok(Err(Error::ChannelOpenFailure(reason))) => {
                let _ = timeout(WORDS, refused.notified()).await;
                let words = lock(&self.login.seen).refusal.take().map(|(_, words)| words).unwrap_or_default();
                let outcome = match reason {
                    ChannelOpenFailure::ConnectFailed => "failed",
                    _ => "prohibited",
                };
                (said(outcome, words), None)
            }
            Ok(Err(error)) => {
                let last = lock(&self.login.seen).last_words.clone();
                let words = last.unwrap_or_else(|| words(&error));
                (said("ended", if words.is_empty() { CLOSED.to_owned() } else { words }), None)
            }
        }
    }

    /// Says good-bye, so that the jump host's log shows an orderly end.
    pub async fn close(&self) {
        self.login.close().await;
    }
}
