//! Sessions over loopback, measured: `cargo bench --bench channel`. No test: a busy machine must fail nothing.
//!
//! - 100 MB down and up through a multiplexed port session, and down through a shell, beside a plain socket
//! - the echo of one key through the same sessions, alone and while 100 MB come down (wanted: under 50 ms)
//! - the memory that all of it took
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
use port22::edge::channel::{Grant, Ports, Service, ServiceError, Shell, Timing, Token, start};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const TOTAL: u64 = 100_000_000;
const KEYS: usize = 200;
/// An echo that is not felt.
const FELT: Duration = Duration::from_millis(50);

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
    echoes(&mut stream, |count| count < KEYS).await
}

/// The same of keys that are pressed while something else goes on, and the time that this took.
async fn keys_meanwhile(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    meanwhile: impl Future<Output = Duration>,
) -> (Duration, Vec<Duration>) {
    stream.write_u8(b'e').await.expect("taken");
    // The connection is made before.
    echoes(&mut stream, |count| count < 1).await;
    let over = AtomicBool::new(false);
    let whole = async {
        let time = meanwhile.await;
        over.store(true, Ordering::Relaxed);
        time
    };
    tokio::join!(whole, echoes(&mut stream, |_| !over.load(Ordering::Relaxed)))
}

async fn echoes(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), more: impl Fn(usize) -> bool) -> Vec<Duration> {
    let mut times = Vec::new();
    while more(times.len()) {
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
    if times.is_empty() {
        return println!("{what:<36} none came back in time");
    }
    let (median, worst) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    let (last, felt) = (times[times.len() - 1], times.iter().filter(|time| **time >= FELT).count());
    println!("{what:<36} p50 {median:>9.1?}, p99 {worst:>9.1?}, longest {last:>9.1?}, {felt} of {} felt", times.len());
}

/// Most memory that this process has had, in MB.
fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

/// Reads a shell's output, and presses a key whenever the last one has been echoed; until `total` bytes have come, or
/// `KEYS` echoes when there is no total. Gives the time of all and the sorted times of the echoes.
async fn shell(stream: impl AsyncRead + AsyncWrite + Unpin, total: Option<u64>) -> (Duration, Vec<Duration>) {
    let (mut output, mut keys) = tokio::io::split(stream);
    let (mut buffer, mut got, mut times) = (vec![0; 64 * 1024], 0, Vec::new());
    let begun = Instant::now();
    if total.is_some() {
        keys.write_u8(b'd').await.expect("taken");
    }
    let mut pressed = None;
    let mut next = Instant::now();
    while total.map_or(times.len() < KEYS, |total| got < total) {
        if pressed.is_none() && Instant::now() >= next {
            keys.write_u8(b'k').await.expect("taken");
            pressed = Some(Instant::now());
        }
        let pause = Duration::from_millis(5);
        let Ok(count) = tokio::time::timeout(pause, output.read(&mut buffer)).await else { continue };
        let bytes = &buffer[..count.expect("output")];
        assert!(!bytes.is_empty(), "the shell has ended");
        let echoes = bytes.iter().filter(|byte| **byte == b'K').count();
        got += (bytes.len() - echoes) as u64;
        if let Some(at) = pressed.take_if(|_| echoes > 0) {
            times.push(at.elapsed());
            next = Instant::now() + pause;
        }
    }
    times.sort();
    (begun.elapsed(), times)
}

/// A shell session whose service answers keys, and sends all bytes when it is asked to.
async fn flood() -> (Fake, Shell) {
    let backend = Backend::Flood(usize::try_from(TOTAL).expect("a size"));
    let fake = Fake::start(Script { opening: Opening::Plain, backend, faults: Faults::default(), tls: None }).await;
    let (url, token) = fake.grant();
    let handle = start(Wanted::Shell, Once, Grant { url, token: Token::new(token) }, Timing::default());
    let shell = Shell::of(handle).expect("a shell");
    shell.resize(80, 24);
    (fake, shell)
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
    let (time, times) = keys_meanwhile(open(), down(open())).await;
    tell_keys("key echo, while 100 MB come down", &times);
    tell("port session, down, with keys", time);
    ports.close().await;
    let (_fake, opened) = flood().await;
    let (stream, _, handle) = opened.into_parts();
    handle.running().await.expect("a shell");
    tell_keys("key echo, shell", &shell(stream, None).await.1);
    let (_fake, opened) = flood().await;
    let (stream, _, handle) = opened.into_parts();
    handle.running().await.expect("a shell");
    let (time, times) = shell(stream, Some(TOTAL)).await;
    tell_keys("key echo, while 100 MB are shown", &times);
    tell("shell, down, with keys", time);
    if let Some(megabytes) = memory() {
        println!("{:<36} {megabytes:>8} MB, service and plain sockets with it", "most memory");
    }
}
