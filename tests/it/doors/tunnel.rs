//! The tunnel of an Instance Connect Endpoint against a fake: bytes, refusals in AWS's words, ends that are none.

use super::{PATIENCE, facts, soon, until, world};
use crate::sshd::{Sshd, keygen};
use futures_util::{SinkExt as _, StreamExt as _};
use port22::core::fact::Fact;
use port22::core::facts::aws::Instance;
use port22::core::facts::doors::ConnectEndpoint;
use port22::edge::channel::eice::{Lead, Tunnel};
use port22::engine::failure::Failure;
use port22::engine::terminal::{Door, Wish};
use port22::engine::world::World as _;
use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

fn lead(port: u16) -> Lead {
    Lead {
        endpoint: "eice-0123456789abcdef0".to_owned(),
        dns: format!("127.0.0.1:{port}"),
        region: "eu-west-1".to_owned(),
        address: "10.0.1.5".parse().unwrap(),
        port: 22,
    }
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    (listener, port)
}

/// An endpoint that opens one tunnel and does this with it; gives its port, and the query of the request.
pub(super) async fn endpoint<F>(
    then: impl FnOnce(WebSocketStream<TcpStream>) -> F + Send + 'static,
) -> (u16, tokio::task::JoinHandle<String>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (listener, port) = listen().await;
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        let mut query = String::new();
        #[expect(clippy::result_large_err, reason = "the callback's signature is the library's")]
        let noted = |request: &Request, response: Response| {
            query = request.uri().to_string();
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, noted).await.expect("an upgrade");
        then(socket).await;
        query
    });
    (port, task)
}

/// An endpoint that answers the request with this, the head first and the rest a little later.
async fn answering(head: &'static str, body: &'static str) -> u16 {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") && stream.read_buf(&mut seen).await.is_ok_and(|count| count > 0) {}
        let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
        let _ = stream.write_all(head.as_bytes()).await;
        tokio::time::sleep(Duration::from_millis(80)).await;
        let _ = stream.write_all(body.as_bytes()).await;
        tokio::time::sleep(PATIENCE).await;
    });
    port
}

async fn open(port: u16) -> Result<Tunnel, Failure> {
    Box::pin(soon("a tunnel", async { world().await.tunnel(&lead(port), "web").await })).await
}

#[tokio::test]
async fn bytes_go_there_and_back_and_the_request_is_signed() {
    let (port, task) = endpoint(async |mut socket| {
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Binary(bytes) => {
                    assert!(bytes.len() <= 65_000);
                    if socket.send(Message::Binary(bytes)).await.is_err() {
                        return;
                    }
                }
                Message::Close(_) => return,
                _ => {}
            }
        }
    })
    .await;
    let tunnel = Box::pin(open(port)).await.expect("a tunnel");
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (mut down, mut up) = tokio::io::split(tunnel);
    let mut back = vec![0; sent.len()];
    let both = async {
        let (written, read) = tokio::join!(
            async {
                up.write_all(&sent).await?;
                up.flush().await
            },
            down.read_exact(&mut back)
        );
        written.expect("taken");
        read.expect("back");
        up.shutdown().await.expect("an end");
    };
    soon("3 MB", both).await;
    assert!(back == sent);
    let query = soon("the request", task).await.expect("the endpoint");
    for part in [
        "/openTunnel?instanceConnectEndpointId=eice-0123456789abcdef0&remotePort=22&privateIpAddress=10.0.1.5",
        "X-Amz-Expires=60",
        "X-Amz-SignedHeaders=host",
        "%2Feu-west-1%2Fec2-instance-connect%2Faws4_request",
    ] {
        assert!(query.contains(part), "{part}: {query}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_as_aws_words_it() {
    let port = answering("400 Bad Request", r#"{"ErrorCode":"InvalidParameter","Message":"The specified RemotePort is not valid. Specify either 22 or 3389 as the RemotePort and retry your request."}"#).await;
    let failure = Box::pin(open(port)).await.expect_err("a bad port");
    assert!(failure.reason.contains("Specify either 22 or 3389"), "{failure}");
    let port = answering("403 Forbidden", r#"{"ErrorCode":"AccessDenied","Message":"User: arn:aws:iam::111122223333:user/a is not authorized to perform: ec2-instance-connect:OpenTunnel because no identity-based policy allows it"}"#).await;
    let failure = Box::pin(open(port)).await.expect_err("denied");
    assert!(failure.next.contains("ec2-instance-connect:OpenTunnel"), "{failure}");
    assert_eq!(failure.cause.as_deref(), Some("iam-denied-fix"), "{failure}");
    let port = answering("503 Service Unavailable", "").await;
    let failure = Box::pin(open(port)).await.expect_err("no service");
    assert!(failure.reason.contains("503"), "{failure}");
    let (listener, port) = listen().await;
    drop(listener);
    let failure = Box::pin(open(port)).await.expect_err("nobody there");
    assert!(failure.reason.contains("no connection"), "{failure}");
}

#[tokio::test]
async fn ends_are_told_apart() {
    let close = |code: CloseCode, reason: &'static str| {
        async move |mut socket: WebSocketStream<TcpStream>| {
            let _ = socket.send(Message::Binary(vec![b'a'].into())).await;
            let _ = socket.close(Some(CloseFrame { code, reason: reason.into() })).await;
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    for (code, reason, kind) in [
        (CloseCode::Normal, "", None),
        (CloseCode::Error, "Unable to connect to target", Some(ErrorKind::ConnectionRefused)),
        (CloseCode::Policy, "Maximum duration reached", Some(ErrorKind::ConnectionAborted)),
    ] {
        let (port, _task) = endpoint(close(code, reason)).await;
        let mut tunnel = Box::pin(open(port)).await.expect("a tunnel");
        let mut seen = Vec::new();
        let end = soon("the end", tunnel.read_to_end(&mut seen)).await;
        assert_eq!(seen, b"a");
        assert_eq!(end.as_ref().err().map(std::io::Error::kind), kind, "{reason}");
        assert!(end.is_ok() || end.unwrap_err().to_string().contains(reason));
    }
}

#[tokio::test]
async fn a_cut_text_and_garbage_end_it_at_once() {
    let (port, _task) = endpoint(async |socket| drop(socket)).await;
    let mut tunnel = Box::pin(open(port)).await.expect("a tunnel");
    let mut seen = Vec::new();
    let end = soon("a cut", tunnel.read_to_end(&mut seen)).await;
    assert!(end.is_err(), "a cut is no orderly end");
    let (port, _task) = endpoint(async |mut socket| {
        let _ = socket.send(Message::Text("hello".into())).await;
        tokio::time::sleep(PATIENCE).await;
    })
    .await;
    let mut tunnel = Box::pin(open(port)).await.expect("a tunnel");
    let end = soon("text", tunnel.read_to_end(&mut seen)).await;
    assert_eq!(end.err().map(|e| e.kind()), Some(ErrorKind::InvalidData));
    let (port, _task) = endpoint(async |socket| {
        let mut raw = socket.into_inner();
        let _ = raw.write_all(&[0xff; 400]).await;
        tokio::time::sleep(PATIENCE).await;
    })
    .await;
    let mut tunnel = Box::pin(open(port)).await.expect("a tunnel");
    assert!(soon("garbage", tunnel.read_to_end(&mut seen)).await.is_err());
}

#[tokio::test]
async fn a_terminal_goes_through_it_with_the_users_own_key() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = keygen(dir.path(), "key", &["-t", "ed25519"], "");
    let sshd = Sshd::start(&[&key], "").expect("sshd is needed");
    let to = sshd.port;
    let (port, _task) = endpoint(async move |mut socket| {
        let mut there = TcpStream::connect(("127.0.0.1", to)).await.expect("sshd");
        let mut buffer = vec![0; 8192];
        loop {
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Binary(bytes))) => there.write_all(&bytes).await.expect("taken"),
                    Some(Ok(_)) => {}
                    _ => return,
                },
                read = there.read(&mut buffer) => match read {
                    Ok(count @ 1..) => {
                        if socket.send(Message::Binary(buffer[..count].to_vec().into())).await.is_err() {
                            return;
                        }
                    }
                    _ => {
                        let _ = socket.close(None).await;
                        return;
                    }
                },
            }
        }
    })
    .await;
    // known_hosts has it by its instance id: the private address is another host's elsewhere.
    let public = fs::read_to_string(format!("{}.pub", sshd.host_key("ed25519").display())).expect("a key");
    let known = dir.path().join("known_hosts");
    fs::write(&known, format!("i-0a1b2c3d4e5f60718 {public}")).expect("known_hosts");
    let mut facts = facts(22, &known, Some(&key)).await;
    facts.target.name = "i-0a1b2c3d4e5f60718".to_owned();
    let instance = Instance {
        id: facts.target.name.clone(),
        region: "eu-west-1".to_owned(),
        state: "running".to_owned(),
        private_ip: Some("10.0.1.5".parse().unwrap()),
        ..Instance::default()
    };
    facts.aws.instance = Fact::known(instance, "DescribeInstances");
    let made = ConnectEndpoint {
        id: "eice-0123456789abcdef0".to_owned(),
        state: "create-complete".to_owned(),
        dns: Some(format!("127.0.0.1:{port}")),
        ..ConnectEndpoint::default()
    };
    facts.doors.connect_endpoints = Fact::known(vec![made], "DescribeInstanceConnectEndpoints");
    facts.aws.image = Fact::known(None, "DescribeImages");
    let wish = Wish { door: Door::Eice, facts: Arc::new(facts), size: Some((80, 24)), command: None, plugin: false };
    let mut opened = soon("a terminal", world().await.terminal(wish)).await.expect("a terminal");
    super::type_line(&mut opened, "echo thr\"\"ough; exit 5").await;
    until(&mut opened.output, "through").await;
    assert_eq!(soon("end", opened.control.ended()).await.status, Some(5));
}
