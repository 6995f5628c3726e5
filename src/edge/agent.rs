//! The ssh agent: which keys it holds.
//!
//! Lists only; must not ask for a signature, which could open a dialog. Used by the agent probe and for jump hosts.

use crate::core::fact::{Fact, Why};
use crate::core::facts::local::AgentKey;
use crate::core::recognise::strip_controls;
use crate::edge::keys::expand;
use crate::edge::tcp::whole_millis;
use russh::keys::HashAlg;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use std::ffi::OsString;
use std::time::Duration;
use tokio::time::timeout;

/// An agent answers at once, or hangs.
const LIMIT: Duration = Duration::from_secs(2);

/// Keys of the agent that `IdentityAgent` names, else of `SSH_AUTH_SOCK` (draft-ietf-sshm-ssh-agent,
/// `SSH_AGENTC_REQUEST_IDENTITIES`).
pub async fn list(identity_agent: Option<&str>) -> Fact<Vec<AgentKey>> {
    if identity_agent.is_some_and(|name| name.eq_ignore_ascii_case("none")) {
        return Fact::unknown(Why::needs("an agent (IdentityAgent is none)"));
    }
    list_at(socket(identity_agent, |name| std::env::var_os(name))).await
}

/// The socket of the agent that ssh would use; `None` when there is none.
pub fn socket_of(identity_agent: Option<&str>) -> Option<OsString> {
    if identity_agent.is_some_and(|name| name.eq_ignore_ascii_case("none")) {
        return None;
    }
    socket(identity_agent, |name| std::env::var_os(name)).filter(|socket| !socket.is_empty())
}

/// The socket that a setting means: a path, `$NAME` or `SSH_AUTH_SOCK` for a variable (ssh_config(5), `IdentityAgent`).
fn socket(identity_agent: Option<&str>, var: impl Fn(&str) -> Option<OsString>) -> Option<OsString> {
    match identity_agent {
        None | Some("SSH_AUTH_SOCK") => var("SSH_AUTH_SOCK"),
        Some(name) => match name.strip_prefix('$') {
            Some(variable) => var(variable.trim_start_matches('{').trim_end_matches('}')),
            None => Some(expand(name).into()),
        },
    }
}

/// Keys of the agent at a socket, as `IdentityAgent` or `SSH_AUTH_SOCK` name it.
pub async fn list_at(socket: Option<OsString>) -> Fact<Vec<AgentKey>> {
    let Some(socket) = socket.filter(|socket| !socket.is_empty()) else {
        return Fact::unknown(Why::needs("an agent (SSH_AUTH_SOCK is not set)"));
    };
    let name = socket.to_string_lossy().into_owned();
    let doing = format!("asking the agent at {name}");
    let answer = timeout(LIMIT, async { AgentClient::connect_uds(&socket).await?.request_identities().await }).await;
    match answer {
        Err(_) => Fact::unknown(Why::TimedOut { doing, after_ms: whole_millis(LIMIT) }),
        Ok(Err(russh::keys::Error::IO(error))) => Fact::unknown(Why::failed(doing, crate::edge::tcp::os_words(&error))),
        Ok(Err(error)) => Fact::unknown(Why::failed(doing, error.to_string())),
        Ok(Ok(identities)) => Fact::known(identities.iter().map(describe).collect(), format!("agent at {name}")),
    }
}

fn describe(identity: &AgentIdentity) -> AgentKey {
    let clean = |text: &str| strip_controls(text).replace('\n', " ").trim().to_owned();
    match identity {
        AgentIdentity::PublicKey { key, comment } => AgentKey {
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
            algorithm: clean(key.algorithm().as_str()),
            comment: clean(comment),
            public: key.to_openssh().ok().and_then(|line| type_and_blob(&line)),
        },
        // A certificate goes with the key that it certifies.
        AgentIdentity::Certificate { certificate, comment } => AgentKey {
            fingerprint: certificate.public_key().fingerprint(HashAlg::Sha256).to_string(),
            algorithm: clean(&certificate.algorithm().to_certificate_type()),
            comment: clean(comment),
            public: None,
        },
    }
}

/// The first two words of an OpenSSH public key: the comment is anybody's text.
fn type_and_blob(line: &str) -> Option<String> {
    let mut words = line.split_ascii_whitespace();
    Some(format!("{} {}", words.next()?, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    #[test]
    fn the_socket_is_the_one_that_ssh_would_use() {
        let var = |name: &str| (name == "SSH_AUTH_SOCK" || name == "OTHER").then(|| OsString::from(format!("/{name}")));
        let path = |setting: Option<&str>| socket(setting, var).map(|s| s.to_string_lossy().into_owned());
        assert_eq!(path(None).as_deref(), Some("/SSH_AUTH_SOCK"));
        assert_eq!(path(Some("SSH_AUTH_SOCK")).as_deref(), Some("/SSH_AUTH_SOCK"));
        assert_eq!(path(Some("$OTHER")).as_deref(), Some("/OTHER"));
        assert_eq!(path(Some("${OTHER}")).as_deref(), Some("/OTHER"));
        assert_eq!(path(Some("$UNSET")), None);
        assert_eq!(path(Some("/run/agent")).as_deref(), Some("/run/agent"));
    }

    #[tokio::test]
    async fn identity_agent_none_is_no_agent() {
        assert!(matches!(list(Some("none")).await, Fact::Unknown { why: Why::Needs { .. } }));
    }

    #[tokio::test]
    async fn no_agent_and_a_dead_socket_are_told_apart() {
        let none = list_at(None).await;
        assert_eq!(none.why_not().unwrap().text(), "needs an agent (SSH_AUTH_SOCK is not set)");
        assert_eq!(list_at(Some(OsString::new())).await, none);
        let dir = tempfile::tempdir().unwrap();
        let dead = dir.path().join("socket");
        drop(UnixListener::bind(&dead).unwrap());
        let text = list_at(Some(dead.into())).await.why_not().unwrap().text();
        assert!(text.ends_with("failed: Connection refused"), "{text}");
    }

    #[tokio::test]
    async fn keys_are_described() {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let blob = STANDARD.decode("AAAAC3NzaC1lZDI1NTE5AAAAIK2pr+Bfus1hvPof4Wb/plZCzSbqadHH0u+/f4ODtKnE").unwrap();
        let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
        // SSH_AGENT_IDENTITIES_ANSWER with one key.
        let body = [&[12, 0, 0, 0, 1], string(&blob).as_slice(), &string(b"me\x1b[1m@here\n")].concat();
        let agent = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 5];
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(&string(&body)).await.unwrap();
            request
        });
        let fact = list_at(Some(path.clone().into())).await;
        assert_eq!(agent.await.unwrap(), [0, 0, 0, 1, 11]);
        assert_eq!(fact.source(), format!("agent at {}", path.display()));
        let [key] = fact.value().unwrap().as_slice() else { panic!("{fact:?}") };
        assert_eq!((key.algorithm.as_str(), key.comment.as_str()), ("ssh-ed25519", "me@here"));
        assert!(key.fingerprint.starts_with("SHA256:") && key.fingerprint.len() == 50, "{}", key.fingerprint);
        let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK2pr+Bfus1hvPof4Wb/plZCzSbqadHH0u+/f4ODtKnE";
        assert_eq!(key.public.as_deref(), Some(line), "the public half, to ask a server about");
    }
}
