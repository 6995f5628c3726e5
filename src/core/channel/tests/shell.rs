//! Terminals: with and without a handshake, silence, pause, close.

use super::*;
use serde_json::json;

fn shell() -> World {
    World::new(Wanted::Shell, Opening::Plain)
}

fn running() -> (World, Id) {
    let mut world = shell();
    let id = world.session.open(world.now).expect("a stream");
    world.output(b"$ ");
    world.pass(ms(50));
    assert_eq!(world.read(id), b"$ ");
    (world, id)
}

#[test]
fn the_usual_shell_begins_with_its_first_output_and_gets_the_size_then() {
    let mut world = shell();
    let id = world.session.open(world.now).expect("a stream");
    world.session.resize(world.now, 0, 0);
    world.session.resize(world.now, 120, 40);
    assert_eq!(world.session.write(world.now, id, b"early"), Write::Bytes(5));
    world.pass(ms(500));
    assert!(world.agent.sizes.is_empty() && world.input().is_empty(), "nothing is sent before the agent speaks");
    world.output(b"$ ");
    world.pass(ms(50));
    assert_eq!(world.agent.sizes, [r#"{"cols":120,"rows":40}"#]);
    assert_eq!(world.input(), b"early");
    assert_eq!(world.session.shape(), Some(Shape::Shell));
    world.session.resize(world.now, 80, 24);
    world.pass(ms(20));
    assert_eq!(world.agent.sizes.len(), 2);
    assert!(world.session.open(world.now).is_none(), "a terminal is one stream");
}

#[test]
fn a_shell_that_is_over_at_once_is_still_read() {
    let mut world = shell();
    world.output(b"This account is not available.\r\n");
    let closed = world.agent.control(Kind::Closed, b"{}");
    world.deliver([closed]);
    world.ends_within(ms(50));
    let id = world.session.open(world.now).expect("the terminal");
    assert_eq!(world.read(id), b"This account is not available.\r\n");
}

#[test]
fn a_key_does_not_wait_behind_the_acknowledgements_of_a_long_output() {
    let (mut world, id) = running();
    let output: Vec<_> = (0..1000).map(|_| world.agent.send(world.now, Content::Data, &[b'x'; 1024])).collect();
    for frame in &output {
        world.session.frame(world.now, frame);
    }
    assert_eq!(world.session.write(world.now, id, b"k"), Write::Bytes(1));
    let sent: Vec<_> = std::iter::from_fn(|| world.session.transmit(world.now)).collect();
    assert_eq!(sent.len(), 1001, "a thousand acknowledgements and a key");
    let key = sent.iter().position(|frame| Message::parse(frame).expect("a message").kind == Kind::Input);
    assert!(key.is_some_and(|at| at < 20), "{key:?}");
}

#[test]
fn a_lone_line_end_is_enter() {
    let (mut world, id) = running();
    world.session.write(world.now, id, b"\n");
    world.pass(ms(20));
    world.session.write(world.now, id, b"ls\n");
    world.pass(ms(20));
    assert_eq!(world.input(), b"\rls\n");
}

#[test]
fn a_shell_with_a_handshake_gets_nothing_but_the_answer_before_it_is_complete() {
    let actions = json!([{ "ActionType": "SessionType", "ActionParameters": { "SessionType": "Standard_Stream" } }]);
    let mut world = World::new(Wanted::Shell, Opening::Handshake { version: "3.3.987.0".to_owned(), actions });
    let id = world.session.open(world.now).expect("a stream");
    world.session.resize(world.now, 80, 24);
    world.session.write(world.now, id, b"ls\r");
    world.pass(ms(60));
    assert_eq!(world.input(), b"ls\r");
    assert_eq!(world.agent.sizes.len(), 1);
    assert_eq!(world.session.agent(), "3.3.987.0");
}

#[test]
fn a_slow_shell_gets_its_size_after_a_while_and_again_when_it_speaks() {
    let mut world = shell();
    world.session.resize(world.now, 80, 24);
    world.pass(s(6));
    assert_eq!(world.agent.sizes.len(), 1);
    world.pass(s(30));
    assert!(world.session.end().is_none(), "the acknowledgement is a sign of life");
    world.output(b"$ ");
    world.pass(ms(50));
    assert_eq!(world.agent.sizes.len(), 2);
}

#[test]
fn an_agent_that_says_nothing_ends_the_wait() {
    let mut world = shell();
    assert_eq!(world.ends_within(s(31)), End::Silent);
    let mut half = World::new(Wanted::Shell, Opening::Plain);
    half.session.resize(half.now, 80, 24);
    half.pass(s(6));
    assert_eq!(half.ends_within(s(121)), End::Silent);
}

#[test]
fn an_account_that_demands_kms_is_told_what_to_do() {
    let actions = json!([
        { "ActionType": "SessionType", "ActionParameters": { "SessionType": "Standard_Stream" } },
        { "ActionType": "KMSEncryption", "ActionParameters": { "KMSKeyId": "arn:aws:kms:eu-west-1:1:key/a" } },
    ]);
    let mut world = World::new(Wanted::Shell, Opening::Handshake { version: "3.3.987.0".to_owned(), actions });
    let end = world.ends_within(s(1));
    assert_eq!(end, End::KmsDemanded);
    assert!(end.to_string().contains("KMS") && !end.is_normal());
    let answer = world.agent.response.expect("an answer");
    assert_eq!(answer["ProcessedClientActions"][1]["ActionStatus"], 2);
}

#[test]
fn an_agent_that_stops_in_the_handshake_ends_the_wait() {
    let actions = json!([{ "ActionType": "SessionType", "ActionParameters": { "SessionType": "Standard_Stream" } }]);
    let mut world = World::new(Wanted::Shell, Opening::Handshake { version: "3.3.987.0".to_owned(), actions });
    world.pass(ms(7));
    // The answer reaches nobody.
    world.fates = vec![Fate { copies: 0, delay: 0 }; 100_000];
    assert_eq!(world.ends_within(s(21)), End::Handshake);
}

#[test]
fn what_came_before_the_close_is_still_read() {
    let (mut world, id) = running();
    world.output(b"logout\r\n");
    let closed = world.agent.control(Kind::Closed, br#"{"Output":"\u001b[1mbye"}"#);
    world.deliver([closed]);
    let end = world.ends_within(ms(50));
    assert_eq!(end, End::Closed { output: "bye".to_owned() });
    assert_eq!(world.session.write(world.now, id, b"x"), Write::Broken);
    assert_eq!(world.read(id), b"logout\r\n");
    assert_eq!(world.session.read(world.now, id, &mut [0; 9]), Read::End);
    assert_eq!(world.session.deadline(), None);
}

#[test]
fn a_pause_holds_input_back_and_is_told() {
    let (mut world, id) = running();
    let pause = world.agent.control(Kind::Pause, b"");
    world.deliver([pause]);
    world.pass(ms(20));
    world.session.write(world.now, id, b"held");
    world.pass(s(6));
    assert!(world.input().is_empty());
    assert_eq!(world.notices, [Notice::AgentAway]);
    let start = world.agent.control(Kind::Start, b"");
    world.deliver([start]);
    world.pass(ms(50));
    assert_eq!(world.input(), b"held");
    assert_eq!(world.notices, [Notice::AgentAway, Notice::Answering]);
    let pause = world.agent.control(Kind::Pause, b"");
    world.deliver([pause]);
    assert_eq!(world.ends_within(s(301)), End::AgentAway);
}

#[test]
fn a_lost_end_of_a_pause_does_not_hold_for_ever() {
    let (mut world, id) = running();
    let pause = world.agent.control(Kind::Pause, b"");
    world.deliver([pause]);
    world.pass(ms(20));
    world.session.write(world.now, id, b"held");
    world.pass(s(11));
    assert_eq!(world.input(), b"held");
}

#[test]
fn an_agent_that_stops_answering_is_told_and_then_given_up() {
    let (mut world, id) = running();
    world.session.write(world.now, id, b"x");
    world.agent.ready_at = s(1_000_000);
    world.pass(s(6));
    assert_eq!(world.notices, [Notice::NotAnswering]);
    assert_eq!(world.ends_within(s(180)), End::AgentStopped);
}

#[test]
fn a_shell_that_is_not_ready_gets_its_input_when_it_is() {
    let (mut world, id) = running();
    world.agent.ready_at = world.now + s(3);
    world.session.write(world.now, id, b"a");
    world.pass(ms(100));
    world.session.write(world.now, id, b"b");
    world.pass(s(5));
    assert_eq!(world.input(), b"ab");
}

#[test]
fn a_reader_that_stops_holds_the_connection_and_loses_nothing() {
    let (mut world, id) = running();
    let big = vec![b'x'; 3 << 20];
    let mut sent = 0;
    // The line is not read while the session wants no frames, as a socket is not.
    while world.session.wants_frames() && sent < big.len() {
        world.output(&big[sent..sent + 64 * 1024]);
        sent += 64 * 1024;
        world.pass(ms(10));
    }
    assert!(sent < big.len(), "it never held back");
    world.session.write(world.now, id, b"typed");
    while let Some(frame) = world.session.transmit(world.now) {
        world.agent.frame(world.now, &frame);
    }
    // The acknowledgement lies in the socket for long.
    world.now += s(600);
    world.session.tick(world.now);
    assert!(world.session.end().is_none(), "nobody is to blame while the reader rests");
    assert_eq!(world.read(id).len(), sent);
    assert!(world.session.wants_frames());
    world.session.tick(world.now);
    assert!(world.session.end().is_none(), "nor right after");
    world.pass(s(5));
    assert_eq!((world.session.end(), world.input()), (None, b"typed".to_vec()));
}

#[test]
fn acknowledgements_that_cannot_be_sent_are_bounded_and_never_stop_the_reading() {
    let (mut world, id) = running();
    let frames: Vec<_> = (0..20_000).map(|_| world.agent.send(world.now, Content::Data, b"x")).collect();
    for frame in &frames {
        world.session.frame(world.now, frame);
        assert!(world.session.wants_frames());
    }
    assert_eq!(world.read(id).len(), 20_000);
    let acks = std::iter::from_fn(|| world.session.transmit(world.now)).count();
    assert_eq!(acks, 16 * 1024);
    world.session.frame(world.now, &frames[19_999]);
    assert!(world.session.transmit(world.now).is_some(), "what is sent again is answered then");
    assert!(world.read(id).is_empty());
}

#[test]
fn a_connection_is_good_by_what_moves_on_or_by_rest_and_not_by_frames() {
    let (mut world, id) = running();
    world.pass(s(40));
    assert!(world.session.rested(world.now) >= s(40), "nothing is owed");
    let said = world.agent.send(world.now, Content::Data, b"x");
    assert!(world.session.frame(world.now, &said));
    assert!(!world.session.frame(world.now, &said), "a repetition");
    let pause = world.agent.control(Kind::Pause, b"");
    for junk in [Bytes::from_static(b"junk"), pause] {
        assert!(!world.session.frame(world.now, &junk));
    }
    let rested = world.session.rested(world.now);
    world.pass(s(60));
    assert_eq!(world.session.rested(world.now), rested, "the agent owes its return");
    // A new connection on which nobody answers what was typed: lasting proves nothing.
    world.cut();
    assert_eq!(world.session.write(world.now, id, b"typed"), Write::Bytes(5));
    world.session.connected(world.now);
    let typed = std::iter::from_fn(|| world.session.transmit(world.now)).last().expect("a frame");
    assert_eq!(world.session.rested(world.now + s(60)), ms(0));
    let answers = world.agent.frame(world.now, &typed);
    let moved: Vec<bool> = answers.iter().chain(&answers).map(|ack| world.session.frame(world.now, ack)).collect();
    assert_eq!(moved, [true, false]);
    assert_eq!(world.session.rested(world.now + s(60)), s(60));
}

#[test]
fn commands_have_standard_error_and_an_exit_status() {
    let (mut world, id) = running();
    let frames = [
        world.agent.send(world.now, Content::Stderr, b"oops"),
        world.agent.send(world.now, Content::ExitCode, b"EXIT_CODE: 4"),
    ];
    world.deliver(frames);
    world.pass(ms(20));
    let mut buffer = [0; 9];
    assert_eq!(world.session.read_stderr(&mut buffer), Read::Bytes(4));
    assert_eq!(&buffer[..4], b"oops");
    assert_eq!((world.session.exit_code(), world.read(id)), (Some(4), Vec::new()));
}

#[test]
fn our_own_end_of_a_shell_needs_the_api() {
    let (mut world, _) = running();
    world.session.terminate(world.now);
    assert_eq!(world.session.end(), Some(&End::Ours));
    assert!(world.session.needs_terminate());
}

#[test]
fn bad_frames_change_nothing() {
    let (mut world, id) = running();
    let good = world.agent.send(world.now, Content::Data, b"x");
    let mut huge = Message::parse(&good).expect("a message").frame().to_vec();
    world.agent.spoil = 3;
    for byte in [b"a", b"b", b"c"] {
        world.output(byte);
    }
    huge[116] = 0xff;
    world.deliver([Bytes::from(huge), Bytes::from_static(b"garbage"), Bytes::new()]);
    world.pass(s(3));
    assert_eq!(world.read(id), b"xabc");
    assert_eq!(world.session.bad_frames(), 6);
    assert!(world.session.end().is_none());
}
