//! One opening of the data channel: TCP (through a proxy), TLS, upgrade.
//!
//! Nothing here retries, and the token is not known here. TLS is rustls on aws-lc-rs with the system's roots, as the SDK
//! has it.

use super::address::Address;
use hyper_util::client::proxy::matcher::Matcher;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, Uri};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Error};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// Longest WebSocket frame that is taken; one that is too long for a message is dropped, not the connection.
const LONGEST: usize = 1 << 20;
/// Longest answer of a proxy.
const PROXY_ANSWER: usize = 8 * 1024;

/// What the system may hold of a connection, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buffers {
    /// Received ahead of the reader.
    pub receive: u32,
    /// Taken ahead to be sent; as much as it likes when nothing is said.
    pub send: Option<u32>,
}

/// An open connection.
pub(super) type Socket = WebSocketStream<Stream>;

/// Opens a connection; `headers` sign the request. `buffers` bounds what the system holds of the
/// connection (`None`: as much as it likes). `limit` is for all of it. The error is for the user.
pub(super) async fn dial(
    address: &Address,
    headers: &[(String, String)],
    buffers: Option<Buffers>,
    limit: Duration,
) -> Result<Socket, String> {
    let opened = tokio::time::timeout(limit, open(address, headers, buffers)).await;
    opened.unwrap_or_else(|_| Err(format!("no connection to {} within {} s", address.host, limit.as_secs_f32())))
}

/// TCP (through a proxy) and TLS, without the upgrade. The error is for the user.
pub(super) async fn connected(address: &Address, buffers: Option<Buffers>) -> Result<Stream, String> {
    let tcp = connect(address, buffers).await?;
    // Keys are single small messages: waiting for more would be felt.
    let _ = tcp.set_nodelay(true);
    Ok(if address.secure { Stream::Tls(Box::new(secure(address, tcp).await?)) } else { Stream::Plain(tcp) })
}

/// Limits of the frames that are taken.
pub(super) fn limits() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST))
}

async fn open(address: &Address, headers: &[(String, String)], buffers: Option<Buffers>) -> Result<Socket, String> {
    let stream = connected(address, buffers).await?;
    let mut request = address.url.as_str().into_client_request().map_err(|e| said(address, &e))?;
    for (name, value) in headers {
        let name = HeaderName::try_from(name).map_err(|_| "the signature has a bad header".to_owned())?;
        let value = HeaderValue::try_from(value).map_err(|_| "the signature has a bad header".to_owned())?;
        request.headers_mut().insert(name, value);
    }
    let (socket, _) = client_async_with_config(request, stream, Some(limits())).await.map_err(|e| said(address, &e))?;
    Ok(socket)
}

fn said(address: &Address, error: &Error) -> String {
    match error {
        Error::Http(answer) if matches!(answer.status().as_u16(), 401 | 403) => format!(
            "AWS refused the data channel ({} from {}): the signature, this machine's clock, or a policy without ssmmessages",
            answer.status().as_u16(),
            address.host
        ),
        Error::Http(answer) => format!("{} answered the data channel with {}", address.host, answer.status().as_u16()),
        Error::Io(e) => format!("{}: {e}", address.host),
        Error::Protocol(tungstenite::error::ProtocolError::HandshakeIncomplete) => {
            format!("{} closed the connection before the data channel was open", address.host)
        }
        other => format!("{}: {other}", address.host),
    }
}

async fn connect(address: &Address, buffers: Option<Buffers>) -> Result<TcpStream, String> {
    let scheme = if address.secure { "https" } else { "http" };
    let bracketed = if address.host.contains(':') { format!("[{}]", address.host) } else { address.host.clone() };
    let uri: Option<Uri> = format!("{scheme}://{bracketed}:{}/", address.port).parse().ok();
    let proxy = uri.filter(|_| !address.is_loopback()).and_then(|uri| Matcher::from_env().intercept(&uri));
    let Some(proxy) = proxy else {
        return tcp(&address.host, address.port, buffers).await;
    };
    if proxy.uri().scheme_str() != Some("http") {
        return Err(format!("the proxy {} is not an HTTP proxy, the only kind that is spoken", shown(proxy.uri())));
    }
    let (host, port) = (proxy.uri().host().unwrap_or_default(), proxy.uri().port_u16().unwrap_or(80));
    let by = |e: String| format!("through the proxy {}: {e}", shown(proxy.uri()));
    let mut stream = tcp(host.trim_start_matches('[').trim_end_matches(']'), port, buffers).await.map_err(by)?;
    let authorization = proxy.basic_auth().and_then(|value| value.to_str().ok());
    tunnel(&mut stream, &format!("{bracketed}:{}", address.port), authorization).await.map_err(by)?;
    Ok(stream)
}

/// A proxy's address without the password that it may hold.
fn shown(uri: &Uri) -> String {
    format!("{}:{}", uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(80))
}

/// Tries the addresses of a host one after another.
async fn tcp(host: &str, port: u16, buffers: Option<Buffers>) -> Result<TcpStream, String> {
    let told = |e: io::Error| format!("no connection to {host}:{port}: {e}");
    let mut last = io::Error::other("the name has no address");
    for address in tokio::net::lookup_host((host, port)).await.map_err(told)? {
        match tcp_to(address, buffers).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(told(last))
}

async fn tcp_to(address: SocketAddr, buffers: Option<Buffers>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(Buffers { receive, send }) = buffers {
        // Without it the connection works as well, and keys wait longer behind a long output.
        let _ = socket.set_recv_buffer_size(receive);
        if let Some(bytes) = send {
            let _ = socket.set_send_buffer_size(bytes);
        }
    }
    socket.connect(address).await
}

/// Asks a proxy for a tunnel (RFC 9110, CONNECT).
async fn tunnel(stream: &mut TcpStream, to: &str, authorization: Option<&str>) -> Result<(), String> {
    let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
    if let Some(value) = authorization {
        request.push_str(&format!("Proxy-Authorization: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|e| e.to_string())?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        // Byte by byte: what follows the answer belongs to the tunnel.
        let byte = stream.read_u8().await.map_err(|_| "it closed the connection".to_owned())?;
        answer.push(byte);
        if answer.len() > PROXY_ANSWER {
            return Err("its answer is too long".to_owned());
        }
    }
    let line = String::from_utf8_lossy(&answer);
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).unwrap_or_default();
    match status.parse::<u16>() {
        Ok(200..300) => Ok(()),
        Ok(407) => Err("it wants a user and password (407)".to_owned()),
        Ok(other) => Err(format!("it refused the connection ({other})")),
        Err(_) => Err("its answer is not HTTP".to_owned()),
    }
}

async fn secure(address: &Address, tcp: TcpStream) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
    // Reading the system's certificates is file work.
    let config = tokio::task::spawn_blocking(tls_config).await.map_err(|e| e.to_string())??;
    let name = ServerName::try_from(address.host.clone()).map_err(|_| format!("{} is no host name", address.host))?;
    TlsConnector::from(config).connect(name, tcp).await.map_err(|e| format!("TLS with {}: {e}", address.host))
}

fn tls_config() -> Result<Arc<ClientConfig>, String> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err("this system has no root certificates".to_owned());
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    Ok(Arc::clone(CONFIG.get_or_init(|| config)))
}

/// TCP with or without TLS.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
