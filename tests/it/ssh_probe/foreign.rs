//! The SSH probe against servers that are no OpenSSH: scripts on loopback.

use super::{HERE, dir, me, request};
use crate::sshd::{Sshd, keygen};
use port22::core::facts::wire::{Answer, SshServer};
use port22::edge::ssh;
use russh::server::{self, Auth, PublicKeyOffer, VerifiedPublicKey};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A server that answers one connection with a script.
async fn scripted<F, R>(script: F) -> u16
where
    F: FnOnce(TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        script(stream).await;
    });
    port
}

/// What the probe says about a server that sends `text`, and then closes or stays.
async fn greeted(text: &'static str, stays: bool) -> SshServer {
    let port = scripted(move |mut stream| async move {
        stream.write_all(text.as_bytes()).await.unwrap();
        if stays {
            let _ = stream.read_to_end(&mut Vec::new()).await;
        } else {
            // Read what the client sent, so that the close is orderly and no reset.
            let _ = stream.read(&mut [0; 256]).await;
        }
    })
    .await;
    let mut asked = request(port, &["x"], &[]);
    asked.banner_limit = Duration::from_millis(if stays { 300 } else { 20_000 });
    let (server, offers, budget) = ssh::probe(asked).await;
    assert_eq!((offers.len(), budget.used), (0, 0));
    server.value().unwrap_or_else(|| panic!("{server:?}")).clone()
}

#[tokio::test]
async fn servers_that_are_not_ssh_are_told_apart() {
    let closed = |reason: &str| SshServer::ClosedBeforeBanner { reason: reason.to_owned() };
    let foreign = |first_bytes: &str| SshServer::NotSsh { first_bytes: first_bytes.to_owned() };
    assert_eq!(greeted("", true).await, SshServer::BannerTimeout { after_ms: 300 });
    assert_eq!(greeted("SSH-2.0-half", true).await, SshServer::BannerTimeout { after_ms: 300 });
    assert_eq!(greeted("", false).await, closed(""));
    assert_eq!(greeted("Not allowed at this time\r\n", false).await, closed("Not allowed at this time"));
    assert_eq!(greeted("Exceeded MaxStartups\r\n", false).await, closed("Exceeded MaxStartups"));
    assert_eq!(
        greeted("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", false).await,
        foreign("HTTP/1.1 400 Bad Request")
    );
    assert_eq!(greeted("what is this\r\n", true).await, foreign("what is this"));
    assert_eq!(greeted("\u{15}\u{3}\u{1}\0\u{2}", true).await, foreign(r"\x15\x03\x01\x00\x02"));
    let old = SshServer::KexFailed {
        banner: "SSH-1.5-old".to_owned(),
        reason: "the server does not speak version 2 of the protocol".to_owned(),
    };
    assert_eq!(greeted("SSH-1.5-old\r\n", false).await, old);
    let SshServer::KexFailed { banner, reason } = greeted("SSH-2.0-x\r\n", false).await else {
        panic!("no key exchange was possible")
    };
    assert_eq!(banner, "SSH-2.0-x");
    assert!(!reason.is_empty());
}

#[tokio::test]
async fn silence_after_the_banner_is_a_failed_key_exchange() {
    assert_eq!(
        greeted("SSH-2.0-mute\r\n", true).await,
        SshServer::KexFailed { banner: "SSH-2.0-mute".to_owned(), reason: "no answer within 300 ms".to_owned() }
    );
}

#[tokio::test]
async fn lines_before_the_banner_are_passed_over() {
    let dir = dir();
    let known = keygen(dir.path(), "known", &["-t", "ed25519"], "");
    let Some(sshd) = Sshd::start(&[&known], "") else {
        return;
    };
    let behind = sshd.port;
    let port = scripted(move |mut stream| async move {
        stream.write_all("This system is monitored.\r\n\r\n".repeat(12).as_bytes()).await.unwrap();
        let mut server = TcpStream::connect((HERE, behind)).await.unwrap();
        let _ = copy_bidirectional(&mut stream, &mut server).await;
    })
    .await;
    let (server, offers, _) = ssh::probe(request(port, &[&me()], &[&known])).await;
    assert!(matches!(server.value(), Some(SshServer::Ready { .. })), "{server:?}");
    assert_eq!(offers[0].answer, Answer::WouldAccept, "{offers:?}");
}

/// A server that takes every key and ends the connection once it has seen a signature, as sshd does
/// when PAM's account stage refuses (expired account, /etc/nologin).
struct ThenRefuses;

impl server::Handler for ThenRefuses {
    type Error = russh::Error;

    async fn authentication_banner(&mut self) -> Result<Option<String>, Self::Error> {
        Ok(Some("For guests only".to_owned()))
    }

    async fn auth_publickey_offered(&mut self, _: &str, _: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        Err(russh::Error::Disconnect)
    }
}

#[tokio::test]
async fn an_end_after_the_signature_is_not_a_refused_key() {
    let dir = dir();
    let key = keygen(dir.path(), "key", &["-t", "ed25519"], "");
    let host = keygen(dir.path(), "host", &["-t", "ed25519"], "");
    let host = russh::keys::load_secret_key(host, None).unwrap();
    let port = scripted(move |stream| async move {
        let config = server::Config { keys: vec![host], ..Default::default() };
        let running = server::run_stream(std::sync::Arc::new(config), stream, ThenRefuses).await.unwrap();
        let _ = running.await;
    })
    .await;
    let mut asked = request(port, &["guest"], &[&key]);
    asked.sign = true;
    let (_, offers, _) = ssh::probe(asked).await;
    let [offer] = offers.as_slice() else { panic!("{offers:?}") };
    assert_eq!(offer.answer, Answer::AcceptedThenRefused { reason: "the server closed the connection".to_owned() });
    assert_eq!(offer.banner.as_deref(), Some("For guests only"));
}

#[tokio::test]
async fn all_answers_together_have_a_limit() {
    let port = scripted(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let mut asked = request(port, &[], &[]);
    asked.total_limit = Duration::from_millis(200);
    let (server, _, _) = ssh::probe(asked).await;
    assert!(matches!(server.value(), Some(SshServer::BannerTimeout { after_ms: ..=200 })), "{server:?}");
}

#[tokio::test]
async fn a_closed_port_is_no_ssh_fact() {
    // Bound and not listening: nobody else can take the port meanwhile.
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind((HERE, 0).into()).unwrap();
    let port = closed.local_addr().unwrap().port();
    let (server, offers, budget) = ssh::probe(request(port, &["x"], &[])).await;
    assert!(server.why_not().is_some_and(|why| why.text().contains("connection refused")), "{server:?}");
    assert_eq!((offers.len(), budget.used), (0, 0));
}
