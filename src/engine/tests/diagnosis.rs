//! Which probe runs when, and how a run ends.

use super::fake::{Fake, How, request};
use crate::core::fact::{Fact, Why};
use crate::core::facts::local::{JumpHost, JumpLogin};
use crate::core::facts::wire::{Answer, Offer};
use crate::core::probe::ProbeId;
use crate::engine::diagnose::{Request, limit_of, run};
use crate::engine::event::{ProbeState, RunId, Snapshot};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

const WAVE_2: [ProbeId; 19] = [
    ProbeId::Status,
    ProbeId::Interfaces,
    ProbeId::SecurityGroups,
    ProbeId::NetworkAcls,
    ProbeId::RouteTables,
    ProbeId::InternetGateways,
    ProbeId::Subnet,
    ProbeId::KeyPair,
    ProbeId::Image,
    ProbeId::Console,
    ProbeId::Ssm,
    ProbeId::Machine,
    ProbeId::Metrics,
    ProbeId::StopProtection,
    ProbeId::UserData,
    ProbeId::Connection,
    ProbeId::HostManagement,
    ProbeId::Endpoints,
    ProbeId::ConnectEndpoints,
];
const ID: &str = "i-0a1b2c3d4e5f60718";

async fn diagnose(world: &Arc<Fake>, request: Request) -> (Snapshot, Vec<Snapshot>) {
    let (out, mut events) = unbounded_channel();
    let last = run(Arc::clone(world) as Arc<_>, request, RunId(7), out, CancellationToken::new()).await;
    let mut seen = Vec::new();
    while let Ok(snapshot) = events.try_recv() {
        seen.push(snapshot);
    }
    (last, seen)
}

fn state(snapshot: &Snapshot, probe: ProbeId) -> &ProbeState {
    &snapshot.probes.iter().find(|(p, _)| *p == probe).unwrap().1
}

#[tokio::test(start_paused = true)]
async fn wave_two_starts_together_when_the_instance_is_known() {
    let mut world = Fake::new();
    world.millis.insert(ProbeId::Instance, 300);
    let world = Arc::new(world);
    let (last, _) = diagnose(&world, request(ID)).await;
    // The configuration of ssh takes 10 ms, then the instance is asked for.
    for probe in WAVE_2 {
        assert_eq!(world.began(probe), Some(310), "{probe:?}");
    }
    assert_eq!(world.began(ProbeId::Caller), Some(0));
    assert_eq!(world.began(ProbeId::PrefixLists), None);
    assert_eq!(last.api_calls, 22);
    assert!(last.finished && !last.cancelled);
}

#[tokio::test(start_paused = true)]
async fn prefix_lists_are_the_only_third_wave() {
    let mut world = Fake::new();
    world.group_names_list = true;
    world.millis.insert(ProbeId::RouteTables, 200);
    let world = Arc::new(world);
    diagnose(&world, request(ID)).await;
    assert_eq!(world.began(ProbeId::PrefixLists), Some(220));
    let late: Vec<ProbeId> =
        world.begun.lock().unwrap().iter().filter(|(p, at)| p.is_aws() && *at > 20).map(|(p, _)| *p).collect();
    assert_eq!(late, [ProbeId::PrefixLists]);
}

#[tokio::test(start_paused = true)]
async fn an_address_is_dialled_without_waiting_for_aws() {
    let mut world = Fake::new();
    world.millis.insert(ProbeId::Instance, 5000);
    let world = Arc::new(world);
    diagnose(&world, request("203.0.113.7")).await;
    assert_eq!(world.began(ProbeId::Tcp), Some(10));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_is_unknown_after_its_limit() {
    for probe in [ProbeId::SshConfig, ProbeId::Instance, ProbeId::Tcp, ProbeId::Image, ProbeId::SourceIp] {
        let mut world = Fake::new();
        world.how.insert(probe, How::Hangs);
        let world = Arc::new(world);
        let (last, _) = diagnose(&world, request(ID)).await;
        let limit = u64::try_from(limit_of(probe, &request(ID)).as_millis()).unwrap();
        let ProbeState::Ended { millis, note: Some(note) } = state(&last, probe) else {
            panic!("{probe:?}: {:?}", state(&last, probe))
        };
        assert_eq!(*millis, limit, "{probe:?}");
        assert!(note.contains("took longer than"), "{probe:?}: {note}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_the_request_is_the_limit_of_every_probe() {
    let mut world = Fake::new();
    world.how.insert(ProbeId::Instance, How::Hangs);
    let world = Arc::new(world);
    let (last, _) = diagnose(&world, Request { limit: Some(Duration::from_millis(1500)), ..request(ID) }).await;
    let Fact::Unknown { why: Why::TimedOut { after_ms, .. } } = &last.facts.aws.instance else {
        panic!("{:?}", last.facts.aws.instance)
    };
    assert_eq!(*after_ms, 1500);
    assert_eq!(
        limit_of(ProbeId::Dns, &Request { limit: Some(Duration::from_mins(1)), ..Request::default() }),
        Duration::from_secs(3)
    );
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_at_once_and_says_so() {
    let mut world = Fake::new();
    world.how.insert(ProbeId::Instance, How::Hangs);
    let world = Arc::new(world);
    let (out, mut events) = unbounded_channel();
    let cancel = CancellationToken::new();
    let task = tokio::spawn(run(Arc::clone(&world) as Arc<_>, request(ID), RunId(3), out, cancel.clone()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    cancel.cancel();
    let last = task.await.unwrap();
    assert_eq!(last.millis, 500, "no time passes after the cancellation");
    assert!(last.cancelled && last.finished);
    assert_eq!(last.facts.aws.instance, Fact::unknown(Why::Cancelled));
    // What was known stays known, what ran was dropped.
    assert!(last.facts.local.config.is_known());
    assert!(world.ended.lock().unwrap().contains(&(ProbeId::Instance, 500)));
    assert!(last.probes.iter().all(|(_, s)| matches!(s, ProbeState::Ended { .. } | ProbeState::NotNeeded)));
    let mut count = 0;
    while let Some(snapshot) = events.recv().await {
        assert_eq!(snapshot.run, RunId(3));
        count += 1;
    }
    assert!(count > 3, "{count} snapshots");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_before_it_begins_ends() {
    let world = Arc::new(Fake::new());
    let cancel = CancellationToken::new();
    cancel.cancel();
    let (out, _events) = unbounded_channel();
    let last = run(Arc::clone(&world) as Arc<_>, request(ID), RunId(1), out, cancel).await;
    assert!(last.cancelled && last.finished && last.millis == 0);
}

#[tokio::test(start_paused = true)]
async fn every_observation_brings_a_snapshot_of_its_run() {
    let world = Arc::new(Fake::new());
    let (last, seen) = diagnose(&world, request(ID)).await;
    let ended = last.probes.iter().filter(|(_, s)| matches!(s, ProbeState::Ended { .. })).count();
    // One before the first answer, and one after each.
    assert_eq!(seen.len(), ended + 1);
    assert!(seen.iter().all(|s| s.run == RunId(7)));
    let count = |s: &Snapshot| s.probes.iter().filter(|(_, s)| matches!(s, ProbeState::Ended { .. })).count();
    assert!(seen.windows(2).all(|pair| count(&pair[1]) == count(&pair[0]) + 1));
    assert!(seen.iter().take(seen.len() - 1).all(|s| !s.finished));
    assert!(seen.last().unwrap().finished);
}

#[tokio::test(start_paused = true)]
async fn nobody_listening_is_no_reason_to_stop() {
    let world = Arc::new(Fake::new());
    let (out, events) = unbounded_channel();
    drop(events);
    let last = run(Arc::clone(&world) as Arc<_>, request(ID), RunId(1), out, CancellationToken::new()).await;
    assert!(last.finished && last.facts.wire.ssh.is_known());
}

#[tokio::test(start_paused = true)]
async fn a_bare_instance_needs_no_probe_for_what_it_has_not() {
    let mut world = Fake::new();
    world.bare = true;
    let world = Arc::new(world);
    let (last, _) = diagnose(&world, request(ID)).await;
    for probe in [
        ProbeId::SecurityGroups,
        ProbeId::NetworkAcls,
        ProbeId::Subnet,
        ProbeId::KeyPair,
        ProbeId::Image,
        ProbeId::Tcp,
        ProbeId::Ssh,
    ] {
        assert_eq!(state(&last, probe), &ProbeState::NotNeeded, "{probe:?}");
    }
    assert!(matches!(&last.facts.aws.key_pair, Fact::Unknown { why: Why::Needs { .. } }));
}

#[tokio::test(start_paused = true)]
async fn a_jump_host_is_not_gone_round() {
    let world = Arc::new(Fake::new());
    let mut asked = request("203.0.113.7");
    asked.target.jump = Some("bastion".to_owned());
    let (last, _) = diagnose(&world, asked).await;
    assert_eq!(world.began(ProbeId::Tcp), None);
    assert_eq!(state(&last, ProbeId::Tcp), &ProbeState::NotNeeded);
}

#[tokio::test(start_paused = true)]
async fn the_target_is_dialled_once_the_jump_host_let_us_in() {
    let mut world = Fake::new();
    world.millis.insert(ProbeId::Jump, 900);
    let mut login = JumpLogin::default();
    login.wire.offers.push(Offer {
        user: "gate".to_owned(),
        key: Some("gate.pem".to_owned()),
        fingerprint: None,
        answer: Answer::LoggedIn,
        methods: Vec::new(),
        banner: None,
    });
    let name = "bastion".to_owned();
    world.jump = JumpHost { name, last: true, login: Some(Box::new(login)), ..JumpHost::default() };
    let mut asked = request("203.0.113.7");
    asked.target.jump = Some("bastion".to_owned());
    let world = Arc::new(world);
    let (last, _) = diagnose(&world, asked.clone()).await;
    assert!(world.began(ProbeId::Tcp).is_some_and(|at| at >= 900), "{:?}", world.began(ProbeId::Tcp));
    assert!(matches!(state(&last, ProbeId::Ssh), ProbeState::Ended { .. }));
    // A jump host before others is not the one that leads to the target.
    let mut world = Fake::new();
    world.jump = JumpHost { last: false, ..last.facts.local.jump.value().unwrap().clone() };
    let world = Arc::new(world);
    diagnose(&world, asked).await;
    assert_eq!(world.began(ProbeId::Tcp), None);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_command_is_not_gone_round() {
    let mut world = Fake::new();
    world.proxy_command = Some("nc -x proxy %h %p".to_owned());
    let world = Arc::new(world);
    let (last, _) = diagnose(&world, request("203.0.113.7")).await;
    assert_eq!((world.began(ProbeId::Tcp), world.began(ProbeId::Jump)), (None, None));
    let why = last.facts.wire.tcp.why_not().unwrap().text();
    assert!(why.contains("ProxyCommand (nc -x proxy %h %p)"), "{why}");
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![4 => Just(How::Well), 2 => Just(How::Badly), 1 => Just(How::Hangs), 1 => Just(How::Nothing)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever fails, hangs or says nothing: the run ends in time, and every probe has ended or was not needed.
    #[test]
    fn every_run_ends(
        how in proptest::collection::vec(how(), ProbeId::ALL.len()),
        millis in proptest::collection::vec(0..3000_u64, ProbeId::ALL.len()),
        bare in any::<bool>(), list in any::<bool>(), by_address in any::<bool>(), stop in proptest::option::of(0..40_000_u64),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let last = runtime.block_on(async {
            let mut world = Fake::new();
            world.how = ProbeId::ALL.into_iter().zip(how).collect();
            world.millis = ProbeId::ALL.into_iter().zip(millis).collect();
            (world.bare, world.group_names_list) = (bare, list);
            let cancel = CancellationToken::new();
            let (out, _events) = unbounded_channel();
            let task = run(Arc::new(world), request(if by_address { "203.0.113.7" } else { ID }), RunId(1), out, cancel.clone());
            let stopper = async {
                match stop {
                    Some(at) => tokio::time::sleep(Duration::from_millis(at)).await,
                    None => std::future::pending().await,
                }
                cancel.cancel();
            };
            let both = async {
                tokio::pin!(task);
                tokio::select! {
                    last = &mut task => return last,
                    () = stopper => {}
                }
                task.await
            };
            tokio::time::timeout(Duration::from_mins(2), Box::pin(both)).await
        });
        let last = last.expect("the run hangs");
        prop_assert!(last.finished);
        for (probe, state) in &last.probes {
            prop_assert!(matches!(state, ProbeState::Ended { .. } | ProbeState::NotNeeded), "{:?}: {:?}", probe, state);
        }
        // The longest chain: configuration, instance, image, SSH.
        prop_assert!(last.millis <= 3000 + 15_000 + 15_000 + 20_000, "{} ms", last.millis);
    }
}
