//! Session Manager sessions against a service made for these tests.

mod agent;
mod aws;
mod cli;
mod fake;
mod faults;
mod sessions;
mod shell;

use agent::Opening;
use fake::{Backend, Fake, Faults, Script};
use port22::core::channel;
use port22::core::channel::wire::{Limits, Wanted};
use port22::edge::channel::{Grant, Handle, Service, ServiceError, Timing, Token, start};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// The control plane without AWS's client.
struct Direct(Arc<Fake>);

impl Service for Direct {
    async fn resume(&self) -> Result<Grant, ServiceError> {
        match self.0.resume() {
            Ok((url, token)) => Ok(Grant { url, token: Token::new(token) }),
            Err(kind) => Err(ServiceError { last: kind != "ExpiredTokenException", text: format!("refused: {kind}") }),
        }
    }

    async fn terminate(&self) {
        self.0.terminate();
    }

    async fn sign(&self, _: &str) -> Result<Vec<(String, String)>, ServiceError> {
        Ok(vec![("authorization".to_owned(), "AWS4-HMAC-SHA256 test".to_owned())])
    }

    fn is_custom(&self) -> bool {
        true
    }
}

/// Limits that a test can wait for.
fn quick() -> Timing {
    Timing {
        dial: Duration::from_secs(5),
        retry: Duration::from_millis(20),
        longest_retry: Duration::from_millis(200),
        resume: Duration::from_secs(3),
        ping: Duration::from_secs(2),
        first: Duration::from_secs(1),
        limits: Limits {
            first: Duration::from_secs(2),
            slow_shell: Duration::from_secs(4),
            handshake: Duration::from_secs(2),
            tell: Duration::from_millis(500),
            give_up: Duration::from_secs(3),
            away: Duration::from_secs(3),
            closing: Duration::from_secs(1),
            linger: Duration::from_secs(1),
        },
        ..Timing::default()
    }
}

async fn service(opening: Opening, backend: Backend, faults: Faults) -> Arc<Fake> {
    Arc::new(Fake::start(Script { opening, backend, faults, tls: None }).await)
}

fn begin(fake: &Arc<Fake>, wanted: Wanted) -> Handle {
    let (url, token) = fake.grant();
    start(wanted, Direct(Arc::clone(fake)), Grant { url, token: Token::new(token) }, quick())
}

const NEW: &str = "3.3.987.0";

fn smux() -> Opening {
    Opening::port(NEW, "LocalPortForwarding")
}

fn raw() -> Opening {
    Opening::port(NEW, "")
}

/// A TCP server that sends everything back, until its client is done.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    address
}

/// Bytes whose place can be told from their value.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|n| u8::try_from((n * 31 + n / 251) % 251).expect("a byte")).collect()
}

/// Sends these bytes through an echo and compares what comes back.
async fn round_trip(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send, count: usize) {
    let sent = bytes(count);
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut got = vec![0; count];
    let (wrote, read) = tokio::join!(writer.write_all(&sent), reader.read_exact(&mut got));
    wrote.expect("all is taken");
    read.expect("all comes back");
    assert!(got == sent, "the bytes differ");
}

/// A test must not hang.
async fn within<T>(limit: u64, what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(limit), what).await.expect("it hangs")
}
