//! The first jump host of a login: does it have an address, does its port answer, does it greet as an SSH server.
//!
//! Reads the greeting and sends nothing; must not offer it a key or go on through it. Used by the jump-host probe.

use crate::core::fact::{Fact, Why};
use crate::core::facts::local::JumpHost;
use crate::core::facts::wire::Tcp;
use crate::core::recognise::strip_controls;
use crate::core::target::{SSH_PORT, Target};
use crate::edge::{dns, ssh_config, tcp};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

/// Addresses that are dialled, at most: ssh tries all, this probe has ten seconds.
const MOST: usize = 2;
/// Bytes of a greeting that are read: a line of the identification is at most 255 long, some may come before.
const LONGEST: usize = 2048;

/// Limits of a connect and of the greeting.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Each connect.
    pub connect: Duration,
    /// The greeting.
    pub greeting: Duration,
}

/// A jump host as ssh reads it.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

/// `[user@]host[:port]` or `ssh://[user@]host[:port]` (ssh_config(5), `ProxyJump`).
fn parse(text: &str) -> Option<Named> {
    let text = text.trim().strip_prefix("ssh://").unwrap_or(text.trim()).trim_end_matches('/');
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, text),
    };
    let (host, port) = match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        // Two colons without brackets are an IPv6 address.
        None => match rest.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (rest, None),
        },
    };
    let port = port.map(str::parse).transpose().ok()?;
    (!host.is_empty()).then(|| Named { user, host: host.to_owned(), port })
}

/// Looks the jump host up in the user's configuration and dials it. `only_here` keeps strangers from being dialled:
/// then loopback addresses alone are, and no resolver is asked.
pub async fn probe(name: &str, target: &Target, only_here: bool, limits: Limits) -> Fact<JumpHost> {
    let Some(named) = parse(name) else {
        return Fact::unknown(Why::failed("reading the jump host", format!("'{name}' is no [user@]host[:port]")));
    };
    // ssh starts itself for the jump host: with the same file (-F), and without the options of the target.
    let own = Target {
        name: named.host.clone(),
        user: named.user,
        port: named.port,
        config_file: target.config_file.clone(),
        ..Target::default()
    };
    let config = ssh_config::effective(&own).await;
    if let Some(why) = config.why_not() {
        return Fact::unknown(why);
    }
    let config = config.value().cloned().unwrap_or_default();
    if config.proxy_jump.is_some() || config.proxy_command.is_some() {
        return Fact::unknown(Why::needs(
            "a probe through the proxy that your ssh configuration names for the jump host",
        ));
    }
    let host = config.hostname.unwrap_or(named.host);
    let port = named.port.or(config.port).unwrap_or(SSH_PORT);
    let found = JumpHost { name: name.to_owned(), port, ..JumpHost::default() };
    if only_here && host.parse::<IpAddr>().is_err() && host != "localhost" {
        return Fact::unknown(Why::needs("AWS's own EC2 endpoint: with another one no resolver is asked"));
    }
    match dns::lookup(&host).await {
        Fact::Known { value, .. } => dial(found, &value, only_here, limits).await,
        Fact::Unknown { why: Why::NotFound { what } } => {
            let found = JumpHost { outcome: "no_address".to_owned(), words: format!("there is no {what}"), ..found };
            Fact::known(found, format!("name look-up of {host}"))
        }
        other => Fact::unknown(other.why_not().unwrap_or(Why::needs("an address"))),
    }
}

/// Dials until one address takes the connection; what the last one said is the outcome otherwise.
async fn dial(found: JumpHost, addresses: &[IpAddr], only_here: bool, limits: Limits) -> Fact<JumpHost> {
    let mut last = Fact::unknown(Why::needs("an address of the jump host"));
    for address in addresses.iter().take(MOST) {
        if only_here && !address.is_loopback() {
            return Fact::unknown(Why::needs(format!(
                "AWS's own EC2 endpoint: {address} may belong to a stranger and is not dialled"
            )));
        }
        let source = format!("TCP connect to {}", SocketAddr::new(*address, found.port));
        let said = |outcome: &str, words: String| {
            let host = JumpHost { address: Some(*address), outcome: outcome.to_owned(), words, ..found.clone() };
            Fact::known(host, source.clone())
        };
        let (fact, stream) = tcp::connect(*address, found.port, limits.connect).await;
        last = match (stream, fact) {
            (Some(mut stream), _) => {
                let (outcome, words) = greeting(&mut stream, limits.greeting).await;
                return said(outcome, words);
            }
            (None, Fact::Known { value: Tcp::Refused { .. }, .. }) => said("refused", "connection refused".to_owned()),
            (None, Fact::Known { value: Tcp::TimedOut { after_ms }, .. }) => {
                said("timed_out", format!("no answer in {}", crate::core::text::millis(after_ms)))
            }
            (None, Fact::Known { value: Tcp::Unreachable { reason }, .. }) => said("unreachable", reason),
            (None, fact) => Fact::unknown(fact.why_not().unwrap_or(Why::needs("a TCP connection"))),
        };
    }
    last
}

/// What the server says by itself: outcome, and its words as one line.
async fn greeting<S: AsyncRead + Unpin>(stream: &mut S, limit: Duration) -> (&'static str, String) {
    let deadline = Instant::now() + limit;
    let mut seen = Vec::with_capacity(LONGEST);
    loop {
        let line = seen.split(|b| *b == b'\n').find(|line| line.starts_with(b"SSH-"));
        if let Some(line) = line.filter(|_| seen.ends_with(b"\n") || seen.len() >= LONGEST) {
            return ("ssh", one_line(line));
        }
        if seen.len() >= LONGEST {
            return ("not_ssh", one_line(&seen[..120]));
        }
        match timeout_at(deadline, stream.read_buf(&mut seen)).await {
            Ok(Ok(read)) if read > 0 => {}
            Ok(ended) if seen.is_empty() => {
                let words = ended.err().map_or_else(|| "it closed the connection".to_owned(), |e| tcp::os_words(&e));
                return ("silent", words);
            }
            Err(_) if seen.is_empty() => {
                let after = crate::core::text::millis(tcp::whole_millis(limit));
                return ("silent", format!("no greeting within {after}"));
            }
            _ if seen.starts_with(b"SSH-") => return ("ssh", one_line(&seen)),
            _ => return ("not_ssh", one_line(&seen[..seen.len().min(120)])),
        }
    }
}

fn one_line(bytes: &[u8]) -> String {
    strip_controls(&String::from_utf8_lossy(bytes)).replace('\n', " ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpSocket};

    const LIMITS: Limits = Limits { connect: Duration::from_secs(5), greeting: Duration::from_millis(400) };

    #[test]
    fn names_are_read_as_ssh_does() {
        let named = |user: Option<&str>, host: &str, port| {
            Some(Named { user: user.map(str::to_owned), host: host.to_owned(), port })
        };
        assert_eq!(parse("bastion"), named(None, "bastion", None));
        assert_eq!(parse("me@bastion:2222"), named(Some("me"), "bastion", Some(2222)));
        assert_eq!(parse("ssh://me@bastion:2222/"), named(Some("me"), "bastion", Some(2222)));
        assert_eq!(parse("me@[2001:db8::1]:22"), named(Some("me"), "2001:db8::1", Some(22)));
        assert_eq!(parse("2001:db8::1"), named(None, "2001:db8::1", None));
        assert_eq!(parse("me@"), None);
        assert_eq!(parse("bastion:ssh"), None);
    }

    /// Probes a port of this host that greets with these bytes, and then waits.
    async fn greeted(bytes: &'static [u8], close: bool) -> JumpHost {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(bytes).await.unwrap();
            if !close {
                let mut nothing = Vec::new();
                let _ = stream.read_to_end(&mut nothing).await;
                assert!(nothing.is_empty(), "nothing is sent to a jump host");
            }
        });
        let target = Target { config_file: Some("none".to_owned()), ..Target::default() };
        let fact = probe(&format!("me@127.0.0.1:{port}"), &target, true, LIMITS).await;
        let host = fact.value().unwrap_or_else(|| panic!("{fact:?}")).clone();
        server.await.unwrap();
        assert_eq!((host.port, host.address), (port, Some("127.0.0.1".parse().unwrap())));
        host
    }

    #[tokio::test]
    async fn greetings_are_told_apart() {
        let host = greeted(b"Welcome\r\nSSH-2.0-OpenSSH_9.6\r\n", false).await;
        assert_eq!((host.outcome.as_str(), host.words.as_str()), ("ssh", "SSH-2.0-OpenSSH_9.6"));
        assert_eq!(greeted(b"HTTP/1.1 400 Bad Request\r\n", false).await.outcome, "not_ssh");
        assert_eq!(greeted(b"", false).await.outcome, "silent");
        assert_eq!(greeted(b"", true).await.outcome, "silent");
    }

    #[tokio::test]
    async fn a_closed_port_refuses() {
        let closed = TcpSocket::new_v4().unwrap();
        closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = closed.local_addr().unwrap().port();
        let target = Target { config_file: Some("none".to_owned()), ..Target::default() };
        let fact = probe(&format!("127.0.0.1:{port}"), &target, true, LIMITS).await;
        assert_eq!(fact.value().map(|h| h.outcome.as_str()), Some("refused"), "{fact:?}");
    }

    #[tokio::test]
    async fn strangers_are_not_dialled_beside_an_emulator() {
        let target = Target { config_file: Some("none".to_owned()), ..Target::default() };
        for name in ["203.0.113.9", "bastion.example.com"] {
            let fact = probe(name, &target, true, LIMITS).await;
            assert!(matches!(fact, Fact::Unknown { why: Why::Needs { .. } }), "{name}: {fact:?}");
        }
    }

    #[tokio::test]
    async fn the_file_of_the_target_names_the_jump_host_and_its_own_proxy_stops_the_probe() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        let closed = TcpSocket::new_v4().unwrap();
        closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = closed.local_addr().unwrap().port();
        let text = format!(
            "Host bastion\n  HostName 127.0.0.1\n  Port {port}\nHost far\n  HostName 127.0.0.1\n  ProxyJump bastion\n"
        );
        std::fs::write(&path, text).unwrap();
        let target = Target { config_file: path.to_str().map(str::to_owned), ..Target::default() };
        let fact = probe("me@bastion", &target, true, LIMITS).await;
        let host = fact.value().unwrap_or_else(|| panic!("{fact:?}"));
        assert_eq!((host.outcome.as_str(), host.port, host.name.as_str()), ("refused", port, "me@bastion"));
        let fact = probe("far", &target, true, LIMITS).await;
        assert!(matches!(fact, Fact::Unknown { why: Why::Needs { .. } }), "{fact:?}");
    }
}
