//! The socket of a shared connection (`ControlPath`): is a master behind it, and does it answer.
//!
//! Asks `ssh -O check`, which talks to the socket and never to the network. Must not close or remove anything.

use crate::core::fact::{Fact, Why};
use crate::core::facts::local::ControlSocket;
use crate::edge::keys::expand;
use crate::edge::ssh_config::{find, run};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// What is behind a control path that ssh has expanded; `None` when no socket is there.
pub async fn check(path: &str) -> Fact<Option<ControlSocket>> {
    let Some(ssh) = find("ssh", std::env::var_os("PATH")) else {
        return Fact::unknown(Why::NotFound { what: "program ssh in PATH".to_owned() });
    };
    check_by(&ssh, path).await
}

async fn check_by(ssh: &Path, path: &str) -> Fact<Option<ControlSocket>> {
    let source = format!("ssh -O check -S {path}");
    let is_socket = expand(path).metadata().is_ok_and(|seen| seen.file_type().is_socket());
    if !is_socket {
        return Fact::known(None, source);
    }
    // The path is expanded already; ssh would expand what is left of `%`. No file is read, so nothing else counts.
    let literal = path.replace('%', "%%");
    let arguments = ["-F", "none", "-O", "check", "-S", &literal, "--", "localhost"].map(Into::into);
    let socket = |alive, hangs, words: String| Some(ControlSocket { path: path.to_owned(), alive, hangs, words });
    match run(ssh, &arguments).await {
        Ok(done) => {
            let words = done.errors.lines().next().unwrap_or_default().trim().to_owned();
            Fact::known(socket(done.success, false, words), source)
        }
        Err(Why::TimedOut { after_ms, .. }) => {
            let words = format!("no answer within {}", crate::core::text::millis(after_ms));
            Fact::known(socket(false, true, words), source)
        }
        Err(why) => Fact::unknown(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// What is said of a path; nothing when there is no ssh to ask.
    async fn said(path: &Path) -> Option<Fact<Option<ControlSocket>>> {
        let ssh = find("ssh", std::env::var_os("PATH"));
        assert!(ssh.is_some() || std::env::var_os("CI").is_none(), "ssh is needed: install openssh-client");
        Some(check_by(&ssh?, path.to_str().unwrap()).await)
    }

    #[tokio::test]
    async fn no_socket_is_no_shared_connection() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("none");
        let Some(fact) = said(&path).await else { return };
        assert_eq!(fact.value(), Some(&None));
        std::fs::write(&path, "").unwrap();
        assert_eq!(said(&path).await.unwrap().value(), Some(&None), "a file is no socket");
    }

    #[tokio::test]
    async fn a_socket_that_nobody_listens_at_is_dead_and_does_not_hang() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("100%dead");
        drop(UnixListener::bind(&path).unwrap());
        let Some(fact) = said(&path).await else { return };
        let socket = fact.value().unwrap().clone().unwrap();
        assert_eq!((socket.alive, socket.hangs), (false, false), "{socket:?}");
        assert!(socket.words.contains("Connection refused"), "{socket:?}");
        assert!(path.exists(), "nothing is removed");
    }

    #[tokio::test]
    async fn a_socket_that_says_nothing_hangs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hangs");
        let _listener = UnixListener::bind(&path).unwrap();
        let Some(fact) = said(&path).await else { return };
        let socket = fact.value().unwrap().clone().unwrap();
        assert_eq!((socket.alive, socket.hangs), (false, true), "{socket:?}");
    }
}
