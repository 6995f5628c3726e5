//! What goes wrong, and what is said then. Every test has a time limit.

use super::*;
use port22::core::channel::end::{End, Notice};
use port22::edge::channel::{Outcome, Ports, Shell};
use serde_json::json;

/// A round trip through a line with these faults.
async fn survives(faults: Faults, count: usize) -> Arc<Fake> {
    let fake = service(smux(), Backend::Smux(echo().await), faults).await;
    let ports = Ports::of(begin(&fake, Wanted::Port));
    within(60, round_trip(ports.open().expect("a connection"), count)).await;
    fake
}

async fn ends(opening: Opening, backend: Backend, faults: Faults, wanted: Wanted) -> (Outcome, Arc<Fake>) {
    let fake = service(opening, backend, faults).await;
    let handle = begin(&fake, wanted);
    let shell = (wanted == Wanted::Shell).then(|| Shell::of(handle.clone()).expect("a shell"));
    if let Some(shell) = &shell {
        shell.resize(80, 24);
    }
    let outcome = within(20, handle.wait()).await;
    (outcome, fake)
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_frames_are_sent_again() {
    let fake = service(smux(), Backend::Smux(echo().await), Faults { lose: 7, ..Faults::default() }).await;
    let ports = Ports::of(begin(&fake, Wanted::Port));
    let stream = ports.open().expect("a connection");
    // Every seventh frame is lost, data and acknowledgements alike: without a second sending nothing comes through.
    within(60, round_trip(stream, 60_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doubled_swapped_and_late_frames_change_nothing() {
    survives(Faults { double: 3, ..Faults::default() }, 100_000).await;
    survives(Faults { swap: 5, ..Faults::default() }, 100_000).await;
    survives(Faults { late: 17, ..Faults::default() }, 60_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_at_once_changes_nothing() {
    let faults =
        Faults { lose: 19, double: 7, swap: 5, late: 31, garbage: 11, cuts: vec![40, 120, 121], ..Faults::default() };
    survives(faults, 60_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_wrong_digests_and_impossible_lengths_change_nothing() {
    survives(Faults { garbage: 2, ..Faults::default() }, 100_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cuts_under_load_are_mended() {
    for code in [None, Some(1000), Some(1011)] {
        let fake = survives(Faults { cuts: vec![3, 30, 200, 400], code, ..Faults::default() }, 300_000).await;
        assert_eq!(fake.seen(|s| s.calls.iter().filter(|c| *c == "ResumeSession").count()), 4, "{code:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_lives_through_a_cut_and_gets_its_size_again() {
    let faults = Faults { cuts: vec![8], code: Some(1000), ..Faults::default() };
    let fake = service(Opening::Plain, Backend::Echo, faults).await;
    let shell = Shell::of(begin(&fake, Wanted::Shell)).expect("a shell");
    shell.resize(80, 24);
    let (mut stream, _, handle) = shell.into_parts();
    let mut got = Vec::new();
    let mut expected = b"ready\n".to_vec();
    within(10, async {
        for n in 0..30u8 {
            stream.write_all(&[b'a' + n % 26]).await.expect("typed");
            expected.push(b'a' + n % 26);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        while got.len() < expected.len() {
            got.push(stream.read_u8().await.expect("an echo"));
        }
    })
    .await;
    assert_eq!(got, expected);
    assert!(fake.seen(|s| s.sizes.len()) >= 2);
    let mut notices = Vec::new();
    for _ in 0..2 {
        notices.extend(within(5, handle.notice()).await);
    }
    assert!(
        matches!(&notices[..], [Notice::Reconnecting { why }, Notice::Reconnected] if why.contains("1000")),
        "{notices:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_gone_ends_with_its_reason() {
    for (resume, words) in [("", "refused: "), ("DoesNotExistException", "DoesNotExistException")] {
        let faults = Faults { cuts: vec![4], resume: Some(resume.to_owned()), ..Faults::default() };
        let (outcome, _) = ends(Opening::Plain, Backend::Echo, faults, Wanted::Shell).await;
        assert!(matches!(&outcome.end, End::Lost { why } if why.contains(words)), "{}", outcome.end);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_credentials_are_tried_until_the_limit() {
    let faults = Faults { cuts: vec![4], resume: Some("ExpiredTokenException".to_owned()), ..Faults::default() };
    let (outcome, fake) = ends(Opening::Plain, Backend::Echo, faults, Wanted::Shell).await;
    assert!(matches!(&outcome.end, End::Lost { why } if why.contains("Expired")), "{}", outcome.end);
    assert!(fake.seen(|s| s.calls.iter().filter(|c| *c == "ResumeSession").count()) > 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_carry_only_junk_and_pauses_are_tried_until_the_limit() {
    let faults = Faults { cuts: vec![4], code: Some(1000), fickle: true, ..Faults::default() };
    let (outcome, fake) = ends(Opening::Plain, Backend::Echo, faults, Wanted::Shell).await;
    assert!(matches!(&outcome.end, End::Lost { .. }), "{}", outcome.end);
    let tries = fake.seen(|s| s.calls.iter().filter(|c| *c == "ResumeSession").count());
    // Three seconds, with waits that grow to 200 ms and more: a hundred would be no waiting at all.
    assert!((4..60).contains(&tries), "{tries}");
    assert!(fake.seen(|s| s.calls.contains(&"TerminateSession".to_owned())), "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_upgrade_says_who_refused() {
    let faults = Faults { refuse: Some((403, 100)), ..Faults::default() };
    let (outcome, fake) = ends(smux(), Backend::Echo, faults, Wanted::Port).await;
    assert!(outcome.end.to_string().contains("AWS refused the data channel (403"), "{}", outcome.end);
    assert!(fake.seen(|s| s.calls.contains(&"TerminateSession".to_owned())), "nothing is left behind");
    // A gateway that is busy once is tried again.
    let busy = Faults { refuse: Some((503, 2)), allow: 1, cuts: vec![20], ..Faults::default() };
    survives(busy, 50_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shells_output_comes_whole_and_once_through_every_fault() {
    let expected: String = (1..=4000).fold(String::new(), |out, n| out + &n.to_string() + "\n");
    for faults in [
        Faults { lose: 11, ..Faults::default() },
        Faults { double: 2, swap: 3, ..Faults::default() },
        Faults { late: 9, garbage: 4, ..Faults::default() },
        Faults { cuts: vec![4, 15, 16, 40], code: Some(1000), ..Faults::default() },
        Faults { lose: 13, double: 7, swap: 5, garbage: 11, cuts: vec![9, 30], ..Faults::default() },
    ] {
        let script = "read -r word; seq 4000; exit".to_owned();
        let fake = service(Opening::Plain, Backend::Shell(format!("printf '$ '; {script}")), faults.clone()).await;
        let shell = Shell::of(begin(&fake, Wanted::Shell)).expect("a shell");
        shell.resize(80, 24);
        let (mut stream, _, handle) = shell.into_parts();
        within(10, stream.write_all(b"go\n")).await.expect("typed");
        let mut text = String::new();
        within(60, stream.read_to_string(&mut text)).await.expect("the output");
        assert!(text.strip_prefix("$ ") == Some(&expected), "{faults:?}: {} bytes", text.len());
        assert!(within(10, handle.wait()).await.end.is_normal(), "{faults:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_says_nothing_is_named() {
    for wanted in [Wanted::Shell, Wanted::Port] {
        let (outcome, fake) = ends(Opening::Plain, Backend::Silent, Faults::default(), wanted).await;
        assert_eq!(outcome.end, End::Silent);
        assert!(fake.seen(|s| s.calls.contains(&"TerminateSession".to_owned())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_goes_away_is_named() {
    let fake = service(Opening::Plain, Backend::Echo, Faults { leaves: Some(30), ..Faults::default() }).await;
    let shell = Shell::of(begin(&fake, Wanted::Shell)).expect("a shell");
    let (stream, _, handle) = shell.into_parts();
    let (mut reader, mut writer) = tokio::io::split(stream);
    tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let outcome = within(20, handle.wait()).await;
    assert!(matches!(outcome.end, End::AgentAway | End::AgentStopped), "{}", outcome.end);
    let mut rest = Vec::new();
    let error = within(5, reader.read_to_end(&mut rest)).await.expect_err("bytes are missing");
    assert!(error.to_string().contains("agent"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kms_is_refused_with_advice() {
    let actions = json!([
        { "ActionType": "SessionType", "ActionParameters": { "SessionType": "Standard_Stream" } },
        { "ActionType": "KMSEncryption", "ActionParameters": { "KMSKeyId": "k" } },
    ]);
    let opening = Opening::Handshake { version: NEW.to_owned(), actions };
    let (outcome, _) = ends(opening, Backend::Echo, Faults::default(), Wanted::Shell).await;
    assert_eq!(outcome.end, End::KmsDemanded);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_is_heeded_while_the_connection_is_down() {
    let faults = Faults { cuts: vec![4], resume: Some("ExpiredTokenException".to_owned()), ..Faults::default() };
    let fake = service(Opening::Plain, Backend::Echo, faults).await;
    let shell = Shell::of(begin(&fake, Wanted::Shell)).expect("a shell");
    shell.resize(80, 24);
    let (stream, _, handle) = shell.into_parts();
    while !matches!(within(5, handle.notice()).await, Some(Notice::Reconnecting { .. })) {}
    handle.end();
    let outcome = within(5, handle.wait()).await;
    assert_eq!(outcome.end, End::Ours);
    assert!(fake.seen(|s| s.calls.contains(&"TerminateSession".to_owned())));
    drop(stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_a_stranger_gets_no_token() {
    let fake = service(Opening::Plain, Backend::Echo, Faults::default()).await;
    let grant = Grant { url: "ws://192.0.2.1/v1/data-channel/x".to_owned(), token: Token::new("t".to_owned()) };
    let handle = start(Wanted::Shell, Direct(Arc::clone(&fake)), grant, quick());
    // The next address, of ResumeSession, is good: so it is only the first that was refused.
    let shell = Shell::of(handle).expect("a shell");
    let (mut stream, _, _) = shell.into_parts();
    let mut text = [0; 6];
    within(5, stream.read_exact(&mut text)).await.expect("the session");
    assert_eq!(fake.seen(|s| s.openings[0]["TokenValue"].clone()), "token-1");
}
