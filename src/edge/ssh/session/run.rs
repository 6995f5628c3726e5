//! Runs one script over a connection: a look inside or a repair where no SSM agent is, with the user's consent.
//!
//! Must not be used where the host key contradicts known_hosts, and keeps nothing of what it hears but the
//! script's own output, up to a limit.

use super::{Pace, Session, no_answer};
use crate::core::fact::Why;
use crate::core::recognise::strip_controls;
use crate::core::text::shorten;
use crate::edge::remote::Unrun;
use crate::edge::ssh::key::Offered;
use russh::ChannelMsg;
use russh::client::AuthResult;
use russh::keys::PrivateKeyWithHashAlg;
use std::sync::Arc;
use tokio::time::timeout;

/// Bytes of output that are kept: a little more than the script may print.
const LONGEST: usize = 64 * 1024;

impl Session {
    /// Logs in and runs `script` as root, by sudo where the user is not root; gives its standard output.
    pub async fn run(
        &mut self,
        user: &str,
        key: &Offered,
        script: &str,
        what: &str,
        pace: Pace,
    ) -> Result<String, Unrun> {
        let doing = format!("run {what} as {user} over SSH");
        self.log_in(user, key, &doing).await.map_err(Unrun::not)?;
        let late = |limit| Why::failed(&doing, no_answer(limit));
        let limit = pace.next();
        let mut channel = match timeout(limit, self.handle.channel_open_session()).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(e)) => return Err(Unrun::not(Why::failed(&doing, super::words(&e)))),
            Err(_) => return Err(Unrun::not(late(limit))),
        };
        // -n: never ask for a password that nobody is there to type.
        let command = if user == "root" { "sh -s" } else { "sudo -n sh -s" };
        let lost = |e: russh::Error| Unrun::perhaps(Why::failed(&doing, super::words(&e)));
        channel.exec(true, command).await.map_err(lost)?;
        channel.data_bytes(script.as_bytes().to_vec()).await.map_err(lost)?;
        channel.eof().await.map_err(lost)?;
        let (mut out, mut errors, mut status) = (Vec::new(), Vec::new(), None);
        let limit = pace.next();
        let listen = async {
            while let Some(message) = channel.wait().await {
                match message {
                    ChannelMsg::Data { data } if out.len() < LONGEST => out.extend_from_slice(&data),
                    ChannelMsg::ExtendedData { data, .. } if errors.len() < 1024 => errors.extend_from_slice(&data),
                    ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
                    ChannelMsg::Close => break,
                    _ => {}
                }
            }
        };
        if timeout(limit, listen).await.is_err() {
            return Err(Unrun::perhaps(late(limit)));
        }
        if out.is_empty() {
            let said = shorten(&strip_controls(&String::from_utf8_lossy(&errors)).replace('\n', " "), 160);
            let how = status.map_or_else(|| "the server ended it".to_owned(), |s| format!("it ended with status {s}"));
            let why = Why::failed(&doing, format!("{how} {said}").trim_end().to_owned());
            // Every script begins with a line of output: without one sudo or the shell refused.
            return Err(Unrun { why, begun: status.is_none() });
        }
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    async fn log_in(&mut self, user: &str, key: &Offered, doing: &str) -> Result<(), Why> {
        let Some(private) = &key.private else {
            return Err(Why::needs("a private key that can be used without a passphrase"));
        };
        let hash = if key.public.algorithm().is_rsa() { self.rsa_hash().await } else { None };
        let signer = PrivateKeyWithHashAlg::new(Arc::new(private.clone()), hash);
        let limit = self.pace.next();
        match timeout(limit, self.handle.authenticate_publickey(user, signer)).await {
            Ok(Ok(AuthResult::Success)) => Ok(()),
            Ok(Ok(AuthResult::Failure { .. })) => Err(Why::failed(doing, "the server refused the login")),
            Ok(Err(e)) => Err(Why::failed(doing, super::words(&e))),
            Err(_) => Err(Why::failed(doing, no_answer(limit))),
        }
    }
}
