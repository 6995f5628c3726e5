//! Any schedule of loss, duplicates, reordering and cuts: both ends get exactly the bytes, in order.

use super::*;
use proptest::prelude::*;

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => (1u64..30).prop_map(|delay| Fate { copies: 1, delay }),
        2 => Just(Fate { copies: 0, delay: 0 }),
        1 => (1u64..300).prop_map(|delay| Fate { copies: 2, delay }),
        1 => (100u64..900).prop_map(|delay| Fate { copies: 1, delay }),
    ]
}

/// Sends both ways over such a line; gives how long it took.
fn exchange(
    kind: Option<&str>,
    up: &[u8],
    down: &[u8],
    fates: Vec<Fate>,
    cuts: &[u64],
) -> Result<Duration, TestCaseError> {
    let (wanted, opening) = match kind {
        None => (Wanted::Shell, Opening::Plain),
        Some(kind) => (Wanted::Port, Opening::port("3.3.987.0", kind)),
    };
    let mut world = World::new(wanted, opening);
    world.fates = fates;
    world.agent.ready_at = ms(700);
    let id = world.session.open(world.now).expect("a stream");
    let (mut written, mut got, mut said) = (0, Vec::new(), false);
    while world.now < s(120) {
        world.step();
        let at = u64::try_from(world.now.as_millis()).expect("small");
        if cuts.contains(&at) {
            world.cut();
        } else if !world.up && at.is_multiple_of(500) {
            world.connect();
        }
        if let Write::Bytes(count) = world.session.write(world.now, id, &up[written..up.len().min(written + 3000)]) {
            written += count;
        }
        if !said && world.agent.is_open() {
            said = true;
            world.output(down);
        }
        got.extend(world.read(id));
        if got.len() >= down.len() && world.input_length() >= up.len() && world.agent.unanswered.is_empty() {
            break;
        }
    }
    prop_assert_eq!(world.session.end(), None);
    prop_assert!(got == down, "{} of {} bytes came down", got.len(), down.len());
    prop_assert!(world.input() == up, "{} of {} bytes came up", world.input().len(), up.len());
    prop_assert_eq!(world.agent.unanswered.len(), 0);
    Ok(world.now)
}

fn bytes(count: usize, seed: u8) -> Vec<u8> {
    (0..count).map(|n| u8::try_from((n * 31 + n / 251) % 251).expect("a byte").wrapping_add(seed)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn both_ends_get_exactly_the_bytes(
        fates in proptest::collection::vec(fate(), 0..400),
        cuts in proptest::collection::vec(1u64..6000, 0..4),
        (up, down) in (1usize..40_000, 1usize..40_000),
        shell in any::<bool>(),
    ) {
        let kind = if shell { None } else { Some("") };
        exchange(kind, &bytes(up, 1), &bytes(down, 2), fates, &cuts)?;
    }
}

/// An acknowledgement that was lost, and a message behind it that must be resent: the case in which clients that do
/// not acknowledge duplicates again hang for good.
#[test]
fn a_lost_acknowledgement_holds_nothing_up() {
    let mut fates = vec![GOOD; 40];
    // Every second frame of the first ones is lost, in both directions.
    fates.iter_mut().step_by(2).for_each(|fate| fate.copies = 0);
    let took = exchange(None, &bytes(9000, 1), &bytes(9000, 2), fates, &[]).expect("all bytes");
    assert!(took < s(10), "{took:?}");
}

#[test]
fn a_cut_under_load_delivers_nothing_twice() {
    let took =
        exchange(Some(""), &bytes(300_000, 1), &bytes(300_000, 2), Vec::new(), &[730, 760, 1200]).expect("all bytes");
    assert!(took < s(10), "{took:?}");
}

#[test]
fn one_loss_in_twenty_is_quick() {
    let mut fates = vec![GOOD; 4000];
    fates.iter_mut().step_by(20).for_each(|fate| fate.copies = 0);
    let took = exchange(Some(""), &bytes(400_000, 1), b"x", fates, &[]).expect("all bytes");
    assert!(took < s(10), "{took:?}");
}
