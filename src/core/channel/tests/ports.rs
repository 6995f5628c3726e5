//! Port sessions: one stream, one at a time, many.

use super::*;
use crate::core::channel::smux::{self, Command, Frame, Parser};

const NEW: &str = "3.3.987.0";

fn port(version: &str, kind: &str) -> World {
    World::new(Wanted::Port, Opening::port(version, kind))
}

fn smux() -> World {
    port(NEW, "LocalPortForwarding")
}

/// What the agent got, as smux.
fn frames(world: &World) -> Vec<Frame> {
    let mut parser = Parser::default();
    let mut bytes = Bytes::from(world.input());
    std::iter::from_fn(|| parser.next(&mut bytes).expect("smux")).collect()
}

fn flags(world: &World) -> Vec<Flag> {
    world.agent.input.iter().filter(|(c, _)| *c == Content::Flag).filter_map(|(_, b)| Flag::read(b)).collect()
}

#[test]
fn versions_decide_the_shape() {
    for (version, kind, shape) in [
        ("3.3.987.0", "", Shape::Raw),
        ("3.3.987.0", "LocalPortForwarding", Shape::Smux { keep_alive: false }),
        ("3.1.1511.0", "LocalPortForwarding", Shape::Smux { keep_alive: true }),
        ("3.0.196.0", "LocalPortForwarding", Shape::Basic),
        ("unknown", "LocalPortForwarding", Shape::Basic),
    ] {
        let mut world = port(version, kind);
        world.pass(ms(50));
        assert_eq!(world.session.shape(), Some(shape), "{version} {kind}");
    }
}

#[test]
fn a_raw_stream_carries_bytes_as_they_are_and_ends_with_its_flag() {
    let mut world = port(NEW, "");
    let id = world.session.open(world.now).expect("a stream");
    world.session.write(world.now, id, b"\n");
    world.pass(ms(50));
    assert_eq!(world.input(), b"\n", "no byte of a port is changed");
    assert!(world.session.open(world.now).is_none());
    let long = vec![5; 3000];
    assert_eq!(world.session.write(world.now, id, &long), Write::Bytes(3000));
    world.session.close(world.now, id);
    world.pass(ms(100));
    assert_eq!(world.input().len(), 3001, "what was written is sent before the end");
    assert_eq!(flags(&world), [Flag::Terminate]);
    let closed = world.agent.control(Kind::Closed, b"{}");
    world.deliver([closed]);
    assert_eq!(world.ends_within(ms(50)), End::Ours);
    assert!(!world.session.needs_terminate());
}

#[test]
fn what_comes_before_anybody_asks_is_kept() {
    let mut world = port(NEW, "");
    world.pass(ms(50));
    world.output(b"SSH-2.0-x\r\n");
    world.pass(ms(50));
    let closed = world.agent.control(Kind::Closed, b"{}");
    world.deliver([closed]);
    world.ends_within(ms(50));
    let id = world.session.open(world.now).expect("the stream");
    assert_eq!(world.read(id), b"SSH-2.0-x\r\n");
    assert_eq!(world.session.read(world.now, id, &mut [0; 4]), Read::End);
    assert!(world.session.open(world.now).is_none());
}

#[test]
fn an_unanswered_end_asks_for_the_api() {
    let mut world = port(NEW, "");
    let id = world.session.open(world.now).expect("a stream");
    world.pass(ms(50));
    world.session.close(world.now, id);
    assert_eq!(world.ends_within(ms(2100)), End::Ours);
    assert!(world.session.needs_terminate());
}

#[test]
fn the_remote_close_of_a_raw_stream_is_its_end() {
    let mut world = port(NEW, "");
    let id = world.session.open(world.now).expect("a stream");
    world.pass(ms(50));
    world.output(b"last words");
    let closed = world.agent.control(Kind::Closed, br#"{"Output":""}"#);
    world.deliver([closed]);
    world.ends_within(ms(50));
    assert_eq!(world.read(id), b"last words");
    assert_eq!(world.session.read(world.now, id, &mut [0; 4]), Read::End);
}

#[test]
fn a_shell_in_place_of_a_port_gets_no_byte() {
    let actions =
        serde_json::json!([{ "ActionType": "SessionType", "ActionParameters": { "SessionType": "Standard_Stream" } }]);
    let mut world = World::new(Wanted::Port, Opening::Handshake { version: NEW.to_owned(), actions });
    let id = world.session.open(world.now).expect("a stream");
    world.session.write(world.now, id, b"rm -rf\n");
    let end = world.ends_within(ms(100));
    assert_eq!(end, End::OtherKind { kind: "Standard_Stream".to_owned() });
    assert!(world.input().is_empty());
}

#[test]
fn basic_sessions_take_connections_in_turn() {
    let mut world = port("3.0.196.0", "LocalPortForwarding");
    let (one, two) = (world.session.open(world.now).expect("one"), world.session.open(world.now).expect("two"));
    world.session.write(world.now, one, b"1");
    world.pass(ms(50));
    assert_eq!(world.session.read(world.now, two, &mut [0; 4]), Read::Refused, "one at a time");
    world.session.close(world.now, two);
    world.session.close(world.now, one);
    let next = world.session.open(world.now).expect("the next");
    world.session.write(world.now, next, b"2");
    world.pass(ms(50));
    assert_eq!(world.input(), b"12");
    assert_eq!(flags(&world), [Flag::DisconnectToPort]);
    world.session.terminate(world.now);
    world.pass(ms(50));
    assert_eq!(flags(&world), [Flag::DisconnectToPort, Flag::Terminate]);
}

#[test]
fn streams_share_a_session() {
    let mut world = smux();
    let (a, b) = (world.session.open(world.now).expect("a"), world.session.open(world.now).expect("b"));
    assert_eq!((a, b), (3, 5));
    world.session.write(world.now, a, &[1; 5000]);
    world.session.write(world.now, b, &[2; 5000]);
    world.pass(ms(100));
    let got = frames(&world);
    assert_eq!(
        got[..2].iter().map(|f| (f.command, f.stream)).collect::<Vec<_>>(),
        [(Command::Open, 3), (Command::Open, 5)]
    );
    let of = |id| got.iter().filter(|f| f.stream == id).map(|f| f.payload.len()).sum::<usize>();
    assert_eq!((of(3), of(5)), (5000, 5000));
    // In turns: neither waits for all of the other.
    let firsts: Vec<_> = got.iter().filter(|f| f.command == Command::Data).take(4).map(|f| f.stream).collect();
    assert_eq!(firsts, [3, 5, 3, 5]);
    // A frame over two messages, two frames in one, and one for nobody.
    let reply = [
        smux::write(Command::Data, 5, &[7; 2000]),
        smux::write(Command::Data, 99, b"nobody"),
        smux::write(Command::Data, 3, b"short"),
        smux::write(Command::Close, 5, b""),
    ]
    .concat();
    world.output(&reply);
    world.pass(ms(50));
    assert_eq!((world.read(a), world.read(b)), (b"short".to_vec(), vec![7; 2000]));
    assert_eq!(world.session.read(world.now, b, &mut [0; 4]), Read::End);
    assert_eq!(world.session.read(world.now, a, &mut [0; 4]), Read::Wait);
    assert_eq!(world.session.write(world.now, b, b"late"), Write::Broken);
    assert_eq!(frames(&world).last().map(|f| (f.command, f.stream)), Some((Command::Close, 5)));
}

#[test]
fn a_local_end_of_sending_waits_for_the_remote() {
    let mut world = smux();
    let id = world.session.open(world.now).expect("a stream");
    world.session.write(world.now, id, b"GET /\n");
    world.session.end_of_sending(world.now, id);
    world.pass(s(9));
    assert!(!frames(&world).iter().any(|f| f.command == Command::Close), "the reply would be lost");
    world.output(&smux::write(Command::Data, id, b"200"));
    world.pass(s(9));
    world.output(&smux::write(Command::Data, id, b" OK"));
    world.pass(ms(50));
    assert_eq!(world.read(id), b"200 OK");
    world.pass(s(11));
    assert_eq!(frames(&world).last().map(|f| f.command), Some(Command::Close));
    assert_eq!(world.session.read(world.now, id, &mut [0; 4]), Read::End);
}

#[test]
fn a_refused_destination_is_said_of_its_stream_only() {
    for flag_first in [true, false] {
        let mut world = smux();
        let (a, b) = (world.session.open(world.now).expect("a"), world.session.open(world.now).expect("b"));
        world.pass(ms(50));
        let flag = Flag::ConnectToPortError.bytes();
        let close = smux::write(Command::Close, b, b"");
        if flag_first {
            let frame = world.agent.send(world.now, Content::Flag, &flag);
            world.deliver([frame]);
            world.output(&close);
        } else {
            world.output(&close);
            let frame = world.agent.send(world.now, Content::Flag, &flag);
            world.deliver([frame]);
        }
        world.pass(ms(50));
        assert_eq!(world.session.read(world.now, b, &mut [0; 4]), Read::Refused, "flag first: {flag_first}");
        assert_eq!(world.session.read(world.now, a, &mut [0; 4]), Read::Wait);
        assert_eq!(world.notices, [Notice::PortRefused]);
        assert!(world.session.end().is_none());
    }
}

#[test]
fn a_reader_that_stopped_loses_its_stream_when_others_wait() {
    let mut world = smux();
    let (a, b) = (world.session.open(world.now).expect("a"), world.session.open(world.now).expect("b"));
    world.pass(ms(50));
    for _ in 0..9 {
        world.output(&smux::write(Command::Data, a, &vec![1; 32_768]));
    }
    world.pass(ms(500));
    assert!(!world.session.wants_frames());
    world.pass(s(11));
    assert!(world.session.wants_frames(), "the others go on");
    world.output(&smux::write(Command::Data, b, b"mine"));
    world.pass(ms(100));
    assert_eq!(world.read(b), b"mine");
    assert!(world.read(a).len() >= 256 * 1024);
    assert_eq!(world.session.read(world.now, a, &mut [0; 4]), Read::Reset);
}

#[test]
fn a_single_slow_reader_is_waited_for() {
    let mut world = smux();
    let id = world.session.open(world.now).expect("a stream");
    world.pass(ms(50));
    for _ in 0..9 {
        world.output(&smux::write(Command::Data, id, &vec![1; 32_768]));
    }
    world.pass(s(60));
    assert_eq!(world.read(id).len(), 9 * 32_768);
    assert_eq!(world.session.read(world.now, id, &mut [0; 4]), Read::Wait);
}

#[test]
fn old_agents_get_keep_alive_frames_and_new_ones_none() {
    for (version, expected) in [("3.1.1511.0", 3), ("3.1.1512.0", 0)] {
        let mut world = port(version, "LocalPortForwarding");
        world.pass(s(35));
        let nothing = frames(&world).iter().filter(|f| f.command == Command::Nothing).count();
        assert_eq!(nothing, expected, "{version}");
    }
}

#[test]
fn bytes_that_are_no_smux_end_the_session() {
    let mut world = smux();
    let id = world.session.open(world.now).expect("a stream");
    world.pass(ms(50));
    world.output(b"SSH-2.0-OpenSSH");
    let end = world.ends_within(ms(100));
    assert!(matches!(&end, End::Broken { what } if what.contains("version 83")), "{end}");
    assert_eq!(world.session.read(world.now, id, &mut [0; 4]), Read::Reset);
    assert!(world.session.needs_terminate());
}

#[test]
fn a_stream_that_was_dropped_early_is_never_opened() {
    let mut world = smux();
    let id = world.session.open(world.now).expect("a stream");
    world.session.close(world.now, id);
    world.pass(ms(50));
    assert!(frames(&world).is_empty());
    let opened: Vec<_> = (0..300).filter_map(|_| world.session.open(world.now)).collect();
    assert_eq!(opened.len(), 256);
}

#[test]
fn a_full_buffer_makes_the_writer_wait() {
    let mut world = smux();
    let id = world.session.open(world.now).expect("a stream");
    world.pass(ms(50));
    world.cut();
    let mut written = 0;
    while let Write::Bytes(count) = world.session.write(world.now, id, &[3; 10_000]) {
        written += count;
    }
    // The window of messages and the stream's own buffer.
    assert!((300_000..400_000).contains(&written), "{written}");
    world.pass(s(400));
    assert!(world.session.end().is_none(), "a gap in the connection is no fault of the agent");
    world.connect();
    world.pass(s(2));
    assert_eq!(frames(&world).iter().map(|f| f.payload.len()).sum::<usize>(), written);
}
