//! The tunnel of an EC2 Instance Connect Endpoint: a TCP connection to a private address, inside a WebSocket.
//!
//! The request is a pre-signed URL, as the AWS CLI makes it (customizations/ec2instanceconnect, `eicesigner.py`); binary
//! frames carry the bytes, one tunnel one connection. Must not retry, and must not log what passes.
//!
//! Source of the limits: EC2 User Guide, "EC2 Instance Connect Endpoint": ports 22 and 3389, an hour at most.

use super::address::Address;
use super::dial::{self, Stream, limits};
use crate::core::fact::Why;
use crate::core::recognise::strip_controls;
use crate::core::text::shorten;
use crate::edge::aws::{Aws, error};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use futures_util::{Sink as _, Stream as _};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::http::Response;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// Bytes of one frame, at most: what AWS's own client sends.
const FRAME: usize = 65_000;
/// How long a signed URL holds.
const SIGNED_FOR: Duration = Duration::from_mins(1);
/// TCP, TLS and upgrade together. The endpoint answers the upgrade before it dials the instance.
const DIAL: Duration = Duration::from_secs(10);
/// Longest error document that is read.
const DOCUMENT: usize = 16 * 1024;
/// The action that a policy must allow.
const ACTION: &str = "ec2-instance-connect:OpenTunnel";

/// Where a tunnel leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lead {
    /// `eice-…`.
    pub endpoint: String,
    /// Its DNS name; with a port where it is on this machine.
    pub dns: String,
    /// Region of the signature.
    pub region: String,
    /// Private address of the instance.
    pub address: IpAddr,
    /// Port of the instance.
    pub port: u16,
}

impl Lead {
    fn doing(&self) -> String {
        format!("open a tunnel to {} port {} at {}", self.address, self.port, self.endpoint)
    }

    /// The address without a signature.
    fn url(&self) -> String {
        // Without TLS only on this machine, where an emulator is: `Address` refuses it elsewhere.
        let local = Address::tunnel(&format!("ws://{}/", self.dns)).is_ok_and(|a| a.is_loopback());
        let scheme = if local { "ws" } else { "wss" };
        let query = [
            ("instanceConnectEndpointId", self.endpoint.clone()),
            ("remotePort", self.port.to_string()),
            ("privateIpAddress", self.address.to_string()),
        ];
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        format!("{scheme}://{}/openTunnel?{}", self.dns, query.join("&"))
    }
}

/// A text in a query (RFC 3986, unreserved characters stay).
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Signs an address for a minute.
fn signed(url: &str, region: &str, credentials: Credentials, now: SystemTime) -> Result<String, String> {
    let identity = credentials.into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(SIGNED_FOR);
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("ec2-instance-connect")
        .time(now)
        .settings(settings)
        .build()
        .map_err(|e| e.to_string())?
        .into();
    let request = SignableRequest::new("GET", url, std::iter::empty(), SignableBody::Bytes(b""));
    let signed = request.and_then(|request| sign(request, &params)).map_err(|e| e.to_string())?;
    let (_, query) = signed.into_parts().0.into_parts();
    Ok(query.iter().fold(url.to_owned(), |url, (name, value)| format!("{url}&{name}={}", encoded(value))))
}

/// Opens a tunnel. That it is open does not mean that the instance answers: a refusal comes as the end of the stream.
pub async fn open(aws: &Aws, lead: &Lead) -> Result<Tunnel, Why> {
    let doing = lead.doing();
    let failed = |reason: String| Why::failed(&doing, reason);
    let url = lead.url();
    let address = Address::tunnel(&url).map_err(failed)?;
    if aws.is_emulated() && !address.is_loopback() {
        let why = format!("AWS's own EC2 endpoint: {} may be a stranger's, and is not dialled", address.host);
        return Err(Why::needs(why));
    }
    let provider = aws.credentials().ok_or_else(|| Why::needs("AWS credentials"))?;
    let credentials = provider
        .provide_credentials()
        .await
        .map_err(|_| Why::Credentials { reason: "the credential chain gives none".to_owned() })?;
    let url = signed(&url, &lead.region, credentials, SystemTime::now()).map_err(failed)?;
    match tokio::time::timeout(DIAL, dialled(&address, &url, &doing)).await {
        Ok(opened) => opened,
        Err(_) => Err(failed(format!("no answer from {} within {} s", address.host, DIAL.as_secs()))),
    }
}

async fn dialled(address: &Address, url: &str, doing: &str) -> Result<Tunnel, Why> {
    let failed = |reason: String| Why::failed(doing, reason);
    let stream = dial::connected(address, None).await.map_err(failed)?;
    let (back, lent) = oneshot::channel();
    let stream = Lent { stream: Some(stream), back: Some(back) };
    match client_async_with_config(url, stream, Some(limits())).await {
        Ok((socket, _)) => Ok(Tunnel { socket, rest: Bytes::new(), ended: false }),
        Err(Error::Http(answer)) => {
            let document = document(&answer, lent.await.ok()).await;
            Err(refused(answer.status().as_u16(), &document, doing))
        }
        Err(Error::Io(e)) => Err(failed(format!("{}: {e}", address.host))),
        Err(e) => Err(failed(format!("{}: {e}", address.host))),
    }
}

/// What the endpoint answered instead of an upgrade: what came with the head, and the rest of it.
async fn document(answer: &Response<Option<Vec<u8>>>, stream: Option<Stream>) -> Vec<u8> {
    let mut body = answer.body().clone().unwrap_or_default();
    let length = answer.headers().get("content-length").and_then(|l| l.to_str().ok()?.parse::<usize>().ok());
    let wanted = length.unwrap_or_default().min(DOCUMENT);
    if let Some(mut stream) = stream {
        let read = async { while body.len() < wanted && matches!(stream.read_buf(&mut body).await, Ok(1..)) {} };
        let _ = tokio::time::timeout(Duration::from_secs(2), read).await;
    }
    body.truncate(DOCUMENT);
    body
}

/// The refusal in AWS's own words: `{"ErrorCode":"…","Message":"…"}`.
fn refused(status: u16, document: &[u8], doing: &str) -> Why {
    let json: serde_json::Value = serde_json::from_slice(document).unwrap_or_default();
    let field = |names: [&str; 3]| names.iter().find_map(|n| json.get(n).and_then(|v| v.as_str())).map(str::to_owned);
    let code = field(["ErrorCode", "errorCode", "__type"]).unwrap_or_default();
    let message = field(["Message", "message", "errorMessage"]).unwrap_or_default();
    let message = shorten(&strip_controls(&message).replace('\n', " "), 400);
    if code.is_empty() && message.is_empty() {
        return match status {
            401 | 403 => Why::Denied {
                action: ACTION.to_owned(),
                reason: format!("the endpoint answered with {status} and no reason"),
            },
            _ => Why::failed(doing, format!("the endpoint answered with {status} and no reason")),
        };
    }
    error::by_code(&code, &message, status, ACTION, doing)
}

/// A stream that comes back when the upgrade fails: the library keeps only what it has read of the answer.
struct Lent {
    stream: Option<Stream>,
    back: Option<oneshot::Sender<Stream>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(stream), Some(back)) = (self.stream.take(), self.back.take()) {
            let _ = back.send(stream);
        }
    }
}

impl Lent {
    fn inner(self: Pin<&mut Self>) -> io::Result<Pin<&mut Stream>> {
        self.get_mut().stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for Lent {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Lent {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.inner()?.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_shutdown(cx)
    }
}

/// An open tunnel: the bytes of one TCP connection. There is no close of one direction: a shutdown ends both.
pub struct Tunnel {
    socket: WebSocketStream<Lent>,
    /// What of the last frame was not read yet.
    rest: Bytes,
    ended: bool,
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tunnel").finish_non_exhaustive()
    }
}

fn broken(error: Error) -> io::Error {
    match error {
        Error::Io(e) => e,
        Error::ConnectionClosed | Error::AlreadyClosed => {
            io::Error::new(io::ErrorKind::BrokenPipe, "the tunnel is closed")
        }
        other => io::Error::new(io::ErrorKind::ConnectionReset, format!("the tunnel broke: {other}")),
    }
}

/// How the endpoint words it that nothing answered its own connection, and what that means.
fn closing(reason: &str) -> io::Error {
    let said = shorten(&strip_controls(reason).replace('\n', " "), 200);
    if said.to_ascii_lowercase().contains("unable to connect to target") {
        let text = format!(
            "the endpoint says: {said}. Its way to the instance is closed (eice-sg-blocks), or nothing listens there"
        );
        return io::Error::new(io::ErrorKind::ConnectionRefused, text);
    }
    io::Error::new(io::ErrorKind::ConnectionAborted, format!("the endpoint ended the tunnel: {said}"))
}

impl AsyncRead for Tunnel {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.rest.is_empty() {
                let count = this.rest.len().min(buffer.remaining());
                buffer.put_slice(&this.rest.split_to(count));
                return Poll::Ready(Ok(()));
            }
            if this.ended || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            match ready!(Pin::new(&mut this.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => this.rest = bytes,
                // A ping's answer goes out with the next read or write.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Text(_))) => {
                    this.ended = true;
                    let error =
                        io::Error::new(io::ErrorKind::InvalidData, "the endpoint sent text, which no tunnel has");
                    return Poll::Ready(Err(error));
                }
                Some(Ok(Message::Close(frame))) => {
                    this.ended = true;
                    match frame {
                        Some(frame) if frame.code != CloseCode::Normal && frame.code != CloseCode::Status => {
                            return Poll::Ready(Err(closing(frame.reason.as_str())));
                        }
                        _ => return Poll::Ready(Ok(())),
                    }
                }
                None | Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) => {
                    this.ended = true;
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => {
                    this.ended = true;
                    return Poll::Ready(Err(broken(error)));
                }
            }
        }
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let socket = &mut self.get_mut().socket;
        ready!(Pin::new(&mut *socket).poll_ready(cx)).map_err(broken)?;
        let count = bytes.len().min(FRAME);
        let frame = Message::Binary(Bytes::copy_from_slice(&bytes[..count]));
        Pin::new(socket).start_send(frame).map_err(broken)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx).map_err(broken)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.get_mut().socket).poll_close(cx)) {
            Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(broken(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(dns: &str) -> Lead {
        Lead {
            endpoint: "eice-0123456789abcdef0".to_owned(),
            dns: dns.to_owned(),
            region: "eu-west-1".to_owned(),
            address: "10.0.1.5".parse().unwrap(),
            port: 22,
        }
    }

    /// Made with botocore 1.44 (`SigV4QueryAuth`), which the AWS CLI signs with.
    #[test]
    fn the_signature_is_that_of_the_aws_cli() {
        let host = "eice-0123456789abcdef0.b67b86ba.ec2-instance-connect-endpoint.eu-west-1.amazonaws.com";
        let url = lead(host).url();
        let now = SystemTime::UNIX_EPOCH + Duration::from_mins(29_920_912);
        let keys = |token: Option<&str>| {
            let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
            Credentials::new("AKIDEXAMPLE", secret, token.map(str::to_owned), None, "test")
        };
        let sorted = |url: &str| {
            let (path, query) = url.split_once('?').unwrap();
            let mut pairs: Vec<&str> = query.split('&').collect();
            pairs.sort_unstable();
            format!("{path}?{}", pairs.join("&"))
        };
        for (token, theirs) in [
            (None, "&X-Amz-Signature=9ed093d2df3654f693d9e87eac6a764040a600236352e6925b88301e15c5fd89"),
            (
                Some("a+b/c=="),
                "&X-Amz-Security-Token=a%2Bb%2Fc%3D%3D&X-Amz-Signature=46535ee3b30810b78a9da50cd48b2a275a7a5beba30729bb03cc480b0d944dc3",
            ),
        ] {
            let ours = signed(&url, "eu-west-1", keys(token), now).unwrap();
            let wanted = format!(
                "wss://{host}/openTunnel?instanceConnectEndpointId=eice-0123456789abcdef0&remotePort=22&privateIpAddress=10.0.1.5\
                 &X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261121%2Feu-west-1%2Fec2-instance-connect%2Faws4_request\
                 &X-Amz-Date=20261121T095200Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host{theirs}"
            );
            assert_eq!(sorted(&ours), sorted(&wanted));
        }
    }

    #[test]
    fn bytes_in_clear_stay_on_this_machine() {
        assert!(lead("127.0.0.1:5601").url().starts_with("ws://127.0.0.1:5601/openTunnel?"));
        assert!(lead("10.0.0.1:5601").url().starts_with("wss://"));
        for (host, good) in [
            ("eice-1.a.ec2-instance-connect-endpoint.eu-west-1.amazonaws.com", true),
            ("eice-1.fips.ec2-instance-connect-endpoint.us-gov-west-1.amazonaws.com", true),
            ("evil.example", false),
            ("amazonaws.com.evil.example", false),
            ("user@eice-1.amazonaws.com", false),
        ] {
            assert_eq!(Address::tunnel(&lead(host).url()).is_ok(), good, "{host}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_aws() {
        let port = br#"{"ErrorCode":"InvalidParameter","Message":"The specified RemotePort is not valid. Specify either 22 or 3389 as the RemotePort and retry your request."}"#;
        assert!(refused(400, port, "open a tunnel").text().contains("Specify either 22 or 3389"));
        let denied = br#"{"ErrorCode":"AccessDenied","Message":"User: arn:aws:iam::1:user/a is not authorized to perform: ec2-instance-connect:OpenTunnel"}"#;
        assert!(matches!(refused(403, denied, "x"), Why::Denied { action, .. } if action == ACTION));
        assert!(matches!(refused(403, b"<html>", "x"), Why::Denied { .. }));
        assert!(refused(503, b"", "open a tunnel").text().contains("503"));
    }

    #[test]
    fn a_target_that_does_not_answer_is_no_broken_tunnel() {
        assert_eq!(closing("Unable to connect to target").kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(closing("Maximum tunnel duration reached").kind(), io::ErrorKind::ConnectionAborted);
    }
}
