//! What answers on port 22, where another port was asked for and does not connect.
//!
//! A setting that sends ssh to a wrong port is only told from a dead sshd by a look at the usual one. Must not look
//! there while the port in question may still answer: servers count connections without a login (sshd_config(5),
//! `PerSourcePenalties noauth`). Sends nothing.

use super::tcp;
use crate::core::fact::Fact;
use crate::core::facts::wire::{Tcp, UsualPort};
use crate::core::recognise::strip_controls;
use crate::core::target::SSH_PORT;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// How long the port in question may be silent before the usual one is looked at.
const SILENCE: Duration = Duration::from_millis(1500);
/// Longest identification string, line end included (RFC 4253, section 4.2).
const LONGEST: u64 = 255;

/// Waits for the connect to the port in question; when it refuses, or has been silent for a while, looks at the usual
/// port of the address, both within `limit` of their own.
pub(super) async fn beside(
    asked: impl Future<Output = (Fact<Tcp>, Option<TcpStream>)>,
    address: IpAddr,
    limit: Duration,
) -> (Fact<Tcp>, Option<TcpStream>, Fact<UsualPort>) {
    tokio::pin!(asked);
    if let Ok((fact, stream)) = timeout(SILENCE.min(limit), &mut asked).await {
        let usual = match fact.value() {
            Some(Tcp::Refused { .. }) => look(address, SSH_PORT, limit).await,
            _ => Fact::NotAsked,
        };
        return (fact, stream, usual);
    }
    let rest = limit.saturating_sub(SILENCE);
    let ((fact, stream), usual) = tokio::join!(asked, look(address, SSH_PORT, rest));
    // It was only slow.
    let usual = if stream.is_some() { Fact::NotAsked } else { usual };
    (fact, stream, usual)
}

async fn look(address: IpAddr, port: u16, limit: Duration) -> Fact<UsualPort> {
    let deadline = Instant::now() + limit;
    let source = format!("TCP connect to {}", SocketAddr::new(address, port));
    let (fact, stream) = tcp::connect(address, port, limit).await;
    let Some(stream) = stream else {
        return match fact.why_not() {
            Some(why) => Fact::unknown(why),
            None => Fact::known(UsualPort::Closed, source),
        };
    };
    let mut seen = Vec::new();
    let mut stream = stream.take(LONGEST);
    while !seen.contains(&b'\n') && matches!(timeout_at(deadline, stream.read_buf(&mut seen)).await, Ok(Ok(1..))) {}
    let line = seen.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let found = if line.starts_with(b"SSH-") {
        UsualPort::Ssh { banner: strip_controls(&String::from_utf8_lossy(line)).trim().to_owned() }
    } else {
        UsualPort::Other
    };
    Fact::known(found, source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpSocket};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const LIMIT: Duration = Duration::from_secs(3);

    async fn greeted(words: &'static [u8]) -> Option<UsualPort> {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(words).await.unwrap();
        });
        let fact = look(HERE, port, LIMIT).await;
        server.await.unwrap();
        fact.value().cloned()
    }

    #[tokio::test]
    async fn only_a_greeting_of_ssh_is_one() {
        let banner = "SSH-2.0-OpenSSH_9.6".to_owned();
        assert_eq!(greeted(b"SSH-2.0-OpenSSH_9.6\r\n").await, Some(UsualPort::Ssh { banner }));
        assert_eq!(greeted(b"HTTP/1.1 400 Bad Request\r\n").await, Some(UsualPort::Other));
        assert_eq!(greeted(b"").await, Some(UsualPort::Other));
        let closed = TcpSocket::new_v4().unwrap();
        closed.bind((HERE, 0).into()).unwrap();
        let port = closed.local_addr().unwrap().port();
        assert_eq!(look(HERE, port, LIMIT).await.value(), Some(&UsualPort::Closed));
    }

    #[tokio::test]
    async fn a_port_that_answers_needs_no_comparison() {
        let connected = Fact::known(Tcp::Connected { millis: 1 }, "TCP connect");
        let (fact, _, usual) = beside(async { (connected, None) }, HERE, LIMIT).await;
        assert!(matches!(fact.value(), Some(Tcp::Connected { .. })));
        assert_eq!(usual, Fact::NotAsked);
    }
}
