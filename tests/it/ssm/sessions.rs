//! Sessions on a good line.

use super::*;
use port22::core::channel::end::{End, Notice};
use port22::core::channel::message::Flag;
use port22::core::channel::wire::Shape;
use port22::edge::channel::{Ports, Shell};
use std::io::ErrorKind;

const SHELL: &str = "printf '$ '; while read -r line; do [ \"$line\" = exit ] && exit; echo \"got $line\"; done";

async fn until(reader: &mut (impl tokio::io::AsyncRead + Unpin), end: &str) -> String {
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).ends_with(end) {
        let byte = within(10, reader.read_u8()).await.expect("more");
        text.push(byte);
    }
    String::from_utf8(text).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_answers_and_ends() {
    let fake = service(Opening::Plain, Backend::Shell(SHELL.to_owned()), Faults::default()).await;
    let shell = Shell::of(begin(&fake, Wanted::Shell)).expect("a shell");
    shell.resize(100, 30);
    let (stream, _, handle) = shell.into_parts();
    let (mut output, mut keys) = tokio::io::split(stream);
    until(&mut output, "$ ").await;
    keys.write_all(b"hello\n").await.expect("typed");
    assert_eq!(until(&mut output, "\n").await, "got hello\n");
    assert_eq!(fake.seen(|s| s.sizes.clone()), [r#"{"cols":100,"rows":30}"#]);
    keys.write_all(b"exit\n").await.expect("typed");
    let mut rest = String::new();
    within(10, output.read_to_string(&mut rest)).await.expect("the end");
    let outcome = within(10, handle.wait()).await;
    assert!(outcome.end.is_normal(), "{}", outcome.end);
    assert!(!fake.seen(|s| s.calls.contains(&"TerminateSession".to_owned())), "it has ended by itself");
    let error = keys.write_all(b"late").await.expect_err("nobody is there");
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_shell_is_ended_at_the_service() {
    let fake = service(Opening::Plain, Backend::Shell(SHELL.to_owned()), Faults::default()).await;
    let shell = Shell::of(begin(&fake, Wanted::Shell)).expect("a shell");
    let (mut stream, errors, handle) = shell.into_parts();
    until(&mut stream, "$ ").await;
    drop((stream, errors, handle));
    let ended = async {
        while !fake.seen(|s| s.calls.contains(&"TerminateSession".to_owned())) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(5, ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_connections_share_a_port_session() {
    let fake = service(smux(), Backend::Smux(echo().await), Faults::default()).await;
    let ports = Ports::of(begin(&fake, Wanted::Port));
    // Before the handshake is over, too.
    let trips = (1..=8).map(|n| round_trip(ports.open().expect("a connection"), n * 40_000));
    within(60, futures_util::future::join_all(trips)).await;
    assert_eq!(ports.handle().running().await, Ok(Shape::Smux { keep_alive: false }));
    assert_eq!(ports.handle().agent_version(), NEW);
    let outcome = within(10, ports.close()).await;
    assert_eq!(outcome.end, End::Ours);
    assert_eq!(fake.seen(|s| s.flags.clone()), [Flag::Terminate]);
    assert!(!fake.seen(|s| s.calls.contains(&"TerminateSession".to_owned())), "the flag was enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_session_is_one_connection() {
    let fake = service(raw(), Backend::Dial(echo().await), Faults::default()).await;
    let ports = Ports::of(begin(&fake, Wanted::Port));
    within(60, round_trip(ports.open().expect("the connection"), 500_000)).await;
    assert!(ports.open().is_err());
    let outcome = within(10, ports.wait()).await;
    assert_eq!(outcome.end, End::Ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_port_is_an_error_of_its_connection() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("its address")
    };
    let fake = service(smux(), Backend::Smux(closed), Faults::default()).await;
    let ports = Ports::of(begin(&fake, Wanted::Port));
    let mut stream = ports.open().expect("a connection");
    let error = within(10, stream.read_u8()).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let handle = ports.handle();
    assert_eq!(within(5, handle.notice()).await, Some(Notice::PortRefused));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reply_to_a_request_whose_sender_has_stopped_is_not_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut request = [0; 5];
        stream.read_exact(&mut request).await.expect("a request");
        tokio::time::sleep(Duration::from_millis(600)).await;
        stream.write_all(b"late reply").await.expect("a reply");
    });
    let fake = service(smux(), Backend::Smux(address), Faults::default()).await;
    let ports = Ports::of(begin(&fake, Wanted::Port));
    let mut stream = ports.open().expect("a connection");
    stream.write_all(b"hello").await.expect("taken");
    stream.shutdown().await.expect("shut");
    let mut reply = String::new();
    within(10, stream.read_to_string(&mut reply)).await.expect("the end");
    assert_eq!(reply, "late reply");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_frame_holds_the_token_and_every_dial_is_signed() {
    let faults = Faults { cuts: vec![6], ..Faults::default() };
    let fake = service(raw(), Backend::Dial(echo().await), faults).await;
    let ports = Ports::of(begin(&fake, Wanted::Port));
    within(30, round_trip(ports.open().expect("the connection"), 20_000)).await;
    fake.seen(|seen| {
        assert_eq!((seen.upgrades.len(), seen.openings.len()), (2, 2));
        for (at, (path, headers)) in seen.upgrades.iter().enumerate() {
            // Byte for byte, and the new address of the second opening.
            assert_eq!(
                path,
                &format!("/v1/data-channel/user-0a1b?role=publish_subscribe&cell-number=A{}+/b==", at + 1)
            );
            assert!(headers.contains_key("authorization") && !headers.contains_key("origin"));
            assert!(!headers.contains_key("sec-websocket-extensions"));
        }
        let [first, second] = &seen.openings[..] else { panic!("two openings") };
        assert_eq!(first["ClientVersion"], "1.2.764.0");
        assert_eq!(first["ClientId"], second["ClientId"]);
        assert_ne!(first["RequestId"], second["RequestId"]);
        assert_eq!((&first["TokenValue"], &second["TokenValue"]), (&"token-1".into(), &"token-2".into()));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_rests_loses_nothing() {
    let fake = service(smux(), Backend::Smux(echo().await), Faults::default()).await;
    let ports = Ports::of(begin(&fake, Wanted::Port));
    let (mut reader, mut writer) = tokio::io::split(ports.open().expect("a connection"));
    let sent = bytes(3 << 20);
    let all = sent.clone();
    let writing = tokio::spawn(async move { writer.write_all(&all).await.map(|()| writer) });
    // Longer than two missed pings and the limit of an unanswered message.
    tokio::time::sleep(Duration::from_secs(7)).await;
    let mut got = vec![0; sent.len()];
    within(60, reader.read_exact(&mut got)).await.expect("all comes back");
    assert!(got == sent, "the bytes differ");
    writing.await.expect("no panic").expect("all was taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_echoed_while_much_is_shown() {
    const TOTAL: usize = 8_000_000;
    let fake = service(Opening::Plain, Backend::Flood(TOTAL), Faults::default()).await;
    let (stream, _, handle) = Shell::of(begin(&fake, Wanted::Shell)).expect("a shell").into_parts();
    within(10, handle.running()).await.expect("a shell");
    let (mut output, mut keys) = tokio::io::split(stream);
    keys.write_all(b"d").await.expect("typed");
    let (mut buffer, mut shown, mut echoed_at) = (vec![0; 64 * 1024], 0, None);
    while shown < TOTAL {
        let count = within(30, output.read(&mut buffer)).await.expect("output");
        assert!(count > 0, "it ended after {shown} bytes");
        if shown == 0 {
            keys.write_all(b"k").await.expect("typed");
        }
        let echoes = buffer[..count].iter().filter(|byte| **byte == b'K').count();
        if echoes > 0 {
            echoed_at = Some(shown);
        }
        shown += count - echoes;
    }
    // What had been sent before the key comes before its echo; not all that comes.
    assert!(echoed_at.is_some_and(|at| at < TOTAL * 9 / 10), "echoed after {echoed_at:?} of {TOTAL} bytes");
}
