//! A port session over loopback, measured: `cargo bench --bench channel`. No test: a busy machine must fail nothing.
//!
//! - 100 MB down and up through a multiplexed port session, beside a plain socket
//! - the echo of one key through the same session, alone and while 100 MB come down
//!
//! Both ends run in this process, and the service is that of the tests: a real agent sends at most about 1 MB/s.

#[path = "../it/ssm/agent.rs"]
#[allow(dead_code, reason = "the tests open in more ways")]
mod agent;
#[path = "../it/ssm/fake.rs"]
#[allow(dead_code, reason = "the tests look at more of it")]
mod fake;

use agent::Opening;
use fake::{Backend, Fake, Faults, Script};
use port22::core::channel;
use port22::core::channel::wire::Wanted;
use port22::edge::channel::{Grant, Ports, Service, ServiceError, Timing, Token, start};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const TOTAL: u64 = 100_000_000;
const KEYS: usize = 200;

/// A service that is never asked again.
struct Once;

impl Service for Once {
    async fn resume(&self) -> Result<Grant, ServiceError> {
        Err(ServiceError { text: "the connection broke".to_owned(), last: true })
    }

    async fn terminate(&self) {}

    async fn sign(&self, _: &str) -> Result<Vec<(String, String)>, ServiceError> {
        Ok(Vec::new())
    }

    fn is_custom(&self) -> bool {
        true
    }
}

/// The first byte says what a connection wants: `d` all bytes down, `u` to send them up, `e` an echo.
async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                let _ = match stream.read_u8().await {
                    Ok(b'd') => tokio::io::copy(&mut tokio::io::repeat(b'x').take(TOTAL), &mut stream).await,
                    Ok(b'u') => {
                        let got = tokio::io::copy(&mut (&mut stream).take(TOTAL), &mut tokio::io::sink()).await;
                        let _ = stream.write_u8(b'!').await;
                        got
                    }
                    _ => {
                        let (mut reader, mut writer) = stream.split();
                        tokio::io::copy(&mut reader, &mut writer).await
                    }
                };
            });
        }
    });
    address
}

async fn down(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Duration {
    let begun = Instant::now();
    stream.write_u8(b'd').await.expect("taken");
    let got = tokio::io::copy(&mut stream.take(TOTAL), &mut tokio::io::sink()).await.expect("bytes");
    assert_eq!(got, TOTAL);
    begun.elapsed()
}

async fn up(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Duration {
    let begun = Instant::now();
    stream.write_u8(b'u').await.expect("taken");
    tokio::io::copy(&mut tokio::io::repeat(b'x').take(TOTAL), &mut stream).await.expect("taken");
    assert_eq!(stream.read_u8().await.expect("the end"), b'!');
    begun.elapsed()
}

/// Echo times of single keys, sorted.
async fn keys(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Vec<Duration> {
    stream.write_u8(b'e').await.expect("taken");
    let mut times = Vec::new();
    for _ in 0..KEYS {
        let begun = Instant::now();
        stream.write_u8(b'k').await.expect("taken");
        stream.read_u8().await.expect("an echo");
        times.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times.sort();
    times
}

#[expect(clippy::cast_precision_loss, reason = "megabytes")]
fn tell(what: &str, time: Duration) {
    println!("{what:<36} {:>8.1} MB/s", TOTAL as f64 / 1e6 / time.as_secs_f64());
}

fn tell_keys(what: &str, times: &[Duration]) {
    let (median, worst) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("{what:<36} median {median:>9.1?}, 99th of 100 {worst:>9.1?}");
}

#[tokio::main]
async fn main() {
    let server = server().await;
    let plain = || async { TcpStream::connect(server).await.expect("a connection") };
    let opening = Opening::port("3.3.987.0", "LocalPortForwarding");
    let fake =
        Fake::start(Script { opening, backend: Backend::Smux(server), faults: Faults::default(), tls: None }).await;
    let (url, token) = fake.grant();
    let handle = start(Wanted::Port, Once, Grant { url, token: Token::new(token) }, Timing::default());
    let ports = Ports::of(handle);
    let open = || ports.open().expect("a connection");
    tell("plain socket, down", down(plain().await).await);
    tell("plain socket, up", up(plain().await).await);
    tell("port session, down", down(open()).await);
    tell("port session, up", up(open()).await);
    let socket = plain().await;
    let _ = socket.set_nodelay(true);
    tell_keys("key echo, plain socket", &keys(socket).await);
    tell_keys("key echo, port session", &keys(open()).await);
    let (time, times) = tokio::join!(down(open()), keys(open()));
    tell_keys("key echo, while 100 MB come down", &times);
    tell("port session, down, with keys", time);
    ports.close().await;
}
