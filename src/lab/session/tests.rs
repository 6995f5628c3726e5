//! The service's door and the agent, met with a plain WebSocket client.

use super::frame::{ACKNOWLEDGE, CLOSED, Frame, INPUT, OUTPUT, content};
use crate::lab::{Lab, LabOptions};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

type Client = WebSocketStream<TcpStream>;

async fn lab() -> Lab {
    Lab::start(LabOptions::default()).await.expect("a lab")
}

/// An action of Systems Manager: status and answer.
async fn call(lab: &Lab, action: &str, body: &Value) -> (u16, Value) {
    let address = lab.endpoint().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).await.expect("the endpoint");
    let body = body.to_string();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nX-Amz-Target: AmazonSSM.{action}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let status = answer.get(9..12).and_then(|code| code.parse().ok()).expect("a status");
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    (status, serde_json::from_str(body).unwrap_or_default())
}

fn web_healthy(lab: &Lab) -> String {
    lab.shared.world().instances.iter().find(|i| i.name == "web-healthy").expect("an instance").id.clone()
}

async fn dial(url: &str) -> Client {
    let address = url.trim_start_matches("ws://").split('/').next().expect("an address");
    let stream = TcpStream::connect(address).await.expect("the endpoint");
    client_async(url, stream).await.expect("an upgrade").0
}

async fn open(started: &Value) -> Client {
    let mut socket = dial(started["StreamUrl"].as_str().expect("an address")).await;
    let opening = json!({ "MessageSchemaVersion": "1.0", "TokenValue": started["TokenValue"] });
    socket.send(Message::text(opening.to_string())).await.expect("taken");
    socket
}

async fn start(lab: &Lab, more: Value) -> Value {
    let mut request = json!({ "Target": web_healthy(lab) });
    request.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    let (status, started) = call(lab, "StartSession", &request).await;
    assert_eq!(status, 200, "{started}");
    started
}

/// The next message, acknowledged where it is stream data.
async fn next(socket: &mut Client) -> Frame {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("it hangs");
        let Message::Binary(bytes) = message.expect("more").expect("a frame") else { continue };
        let frame = Frame::read(&bytes).expect("a message");
        if frame.kind == OUTPUT {
            let answer = json!({ "AcknowledgedMessageSequenceNumber": frame.number });
            send(socket, Frame::control(ACKNOWLEDGE, answer.to_string())).await;
        }
        if frame.kind != ACKNOWLEDGE {
            return frame;
        }
    }
}

async fn send(socket: &mut Client, frame: Frame) {
    socket.send(Message::Binary(frame.write())).await.expect("taken");
}

async fn say(socket: &mut Client, number: i64, kind: u32, payload: impl Into<Bytes>) {
    send(socket, Frame { number, content: kind, ..Frame::control(INPUT, payload) }).await;
}

/// Text until it ends with this.
async fn until(socket: &mut Client, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let frame = next(socket).await;
        assert_eq!((frame.kind.as_str(), frame.content), (OUTPUT, content::DATA), "{frame:?}");
        text.push_str(std::str::from_utf8(&frame.payload).expect("text"));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_answers_knows_its_size_and_ends() {
    let lab = lab().await;
    let started = start(&lab, json!({})).await;
    let mut socket = open(&started).await;
    until(&mut socket, "sh-5.2$ ").await;
    say(&mut socket, 0, content::SIZE, r#"{"cols":132,"rows":43}"#).await;
    say(&mut socket, 1, content::DATA, "stty size\r").await;
    assert!(until(&mut socket, "sh-5.2$ ").await.contains("\r\n43 132\r\n"));
    say(&mut socket, 2, content::DATA, "whoami\r").await;
    assert!(until(&mut socket, "sh-5.2$ ").await.contains("\r\nssm-user\r\n"));
    say(&mut socket, 3, content::DATA, "exit\r").await;
    let closed = loop {
        let frame = next(&mut socket).await;
        if frame.kind != OUTPUT {
            break frame;
        }
    };
    assert_eq!(closed.kind, CLOSED);
    let (status, gone) = call(&lab, "ResumeSession", &json!({ "SessionId": started["SessionId"] })).await;
    assert_eq!((status, &gone["__type"]), (400, &"DoesNotExistException".into()));
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_outlives_its_connection_and_a_token_opens_once() {
    let lab = lab().await;
    let started = start(&lab, json!({})).await;
    let mut first = open(&started).await;
    until(&mut first, "sh-5.2$ ").await;
    drop(first);
    // The token has been used.
    let mut stranger = open(&started).await;
    let said = tokio::time::timeout(Duration::from_secs(10), stranger.next()).await.expect("it hangs");
    assert!(matches!(said, Some(Ok(Message::Close(_)))), "{said:?}");
    let (status, resumed) = call(&lab, "ResumeSession", &json!({ "SessionId": started["SessionId"] })).await;
    assert_eq!(status, 200);
    assert_ne!(resumed["TokenValue"], started["TokenValue"]);
    let mut second = open(&resumed).await;
    say(&mut second, 0, content::DATA, "hostname\r").await;
    assert!(until(&mut second, "sh-5.2$ ").await.contains("ip-"));
    call(&lab, "TerminateSession", &json!({ "SessionId": started["SessionId"] })).await;
    assert_eq!(next(&mut second).await.kind, CLOSED);
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_tells_its_output_errors_and_status() {
    let lab = lab().await;
    let command = "sh -c 'echo out; nonsense; exit 3'";
    let parameters = json!({ "command": [command], "separateOutputStream": ["True"] });
    let more = json!({ "DocumentName": "AWS-StartNonInteractiveCommand", "Parameters": parameters });
    let mut socket = open(&start(&lab, more).await).await;
    assert_eq!(next(&mut socket).await.content, content::REQUEST);
    let response = json!({ "ClientVersion": "1.2.764.0", "ProcessedClientActions": [
        { "ActionType": "SessionType", "ActionStatus": 1, "ActionResult": null, "Error": "" },
    ]});
    say(&mut socket, 0, content::RESPONSE, response.to_string()).await;
    assert_eq!(next(&mut socket).await.content, content::COMPLETE);
    let mut seen = Vec::new();
    loop {
        let frame = next(&mut socket).await;
        if frame.kind == CLOSED {
            break;
        }
        seen.push((frame.content, String::from_utf8(frame.payload.to_vec()).expect("text")));
    }
    let of = |kind: u32| seen.iter().filter(|(k, _)| *k == kind).map(|(_, text)| text.as_str()).collect::<String>();
    assert_eq!(of(content::DATA), "out\n");
    assert!(of(content::ERRORS).contains("nonsense: command not found"), "{seen:?}");
    assert_eq!(of(content::EXIT_CODE), "EXIT_CODE: 3");
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_away_or_asks_badly_is_told() {
    let lab = lab().await;
    let target = web_healthy(&lab);
    for (request, kind) in [
        (json!({ "Target": "i-00000000000000000" }), "TargetNotConnected"),
        (json!({ "Target": target, "DocumentName": "AWS-RunShellScript" }), "InvalidDocument"),
        (json!({ "Target": target, "DocumentName": "None-Such" }), "InvalidDocument"),
        (json!({ "Target": target, "DocumentName": "AWS-StartInteractiveCommand" }), "InvalidParameters"),
        (
            json!({ "Target": target, "DocumentName": "AWS-StartSSHSession", "Parameters": { "portNumber": ["x"] } }),
            "InvalidParameters",
        ),
        (
            json!({ "Target": target, "DocumentName": "AWS-StartSSHSession", "Parameters": { "portNumber": "22" } }),
            "SerializationException",
        ),
        (json!({ "Target": target, "Parameters": { "portNumber": ["22"] } }), "InvalidParameters"),
    ] {
        let (status, answer) = call(&lab, "StartSession", &request).await;
        assert_eq!((status, &answer["__type"]), (400, &kind.into()), "{request}");
    }
    let stranger = "ws://HOST/v1/data-channel/nobody".replace("HOST", lab.endpoint().trim_start_matches("http://"));
    let address = lab.endpoint().trim_start_matches("http://").to_owned();
    let stream = TcpStream::connect(address).await.expect("the endpoint");
    assert!(client_async(stranger, stream).await.is_err());
    lab.stop().await;
}
