//! One diagnosis: probes in waves, a judgement after every answer.
//!
//! Wave 1 asks what needs nothing (client side, caller, instance, and TCP when the address is known);
//! wave 2 asks everything that needs the instance, all at once; only prefix lists make a third.
//! Must not judge: `core::diagnosis::judge` does.

use crate::core::diagnosis::{Diagnosis, judge};
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::jump::{Way, inner, way};
use crate::core::probe::ProbeId;
use crate::core::recognise::Recognised;
use crate::core::target::{Target, TargetKind};
use crate::core::vpc::types::{RouteDestination, SgPeer};
use crate::engine::event::{ProbeState, RunId, Snapshot};
use crate::engine::world::{Observation, World};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

mod deeper;
pub use deeper::endpoint_groups;

/// What to diagnose.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// What the user wants to log in to.
    pub target: Target,
    /// Symptom id, when told.
    pub symptom: Option<String>,
    /// Pasted text, recognised.
    pub paste: Option<Recognised>,
    /// Answers to questions, by check id: `yes` or `no`.
    pub answers: BTreeMap<String, String>,
    /// Seconds since 1970.
    pub now: i64,
    /// Longest time for any probe; `None` keeps each probe's own limit.
    pub limit: Option<Duration>,
    /// Consent to a look inside the operating system: a session, a read-only script.
    pub inside: bool,
    /// Only these probes are run; all of them when empty.
    pub only: Vec<ProbeId>,
}

/// The time limit of a probe.
pub fn limit_of(probe: ProbeId, request: &Request) -> Duration {
    let own = Duration::from_secs(match probe {
        ProbeId::SshConfig => 8,
        ProbeId::Dns | ProbeId::Keys | ProbeId::Agent | ProbeId::KnownHosts => 3,
        ProbeId::SourceIp => 4,
        // The edge's connect limit is one second less, so that it can say "timed out" itself.
        ProbeId::Tcp => 6,
        ProbeId::Ssh => 20,
        ProbeId::Caller => 10,
        // Delivery by Systems Manager, the script's own limit, and the answer.
        ProbeId::Inside => 100,
        ProbeId::Session => 10,
        // Room for the SDK's own retries when AWS asks to slow down.
        _ => 20,
    });
    request.limit.map_or(own, |limit| own.min(limit))
}

/// What a probe must wait for.
enum Ready {
    Now,
    Later,
    /// Will never be possible, or is not needed.
    Never(Option<Why>),
}

/// How many times its limit a probe may take while AWS asks it to slow down: waiting is no failure.
const PATIENCE: u32 = 2;

/// Runs a probe within its limit, or a multiple of it while AWS asks to slow down.
async fn within(limit: Duration, world: &dyn World, probe: ProbeId, facts: Arc<Facts>) -> Option<Vec<Observation>> {
    let mut observing = world.observe(probe, facts);
    for _ in 0..PATIENCE {
        if let Ok(seen) = tokio::time::timeout(limit, &mut observing).await {
            return Some(seen);
        }
        if !world.slowed().contains(&probe) {
            break;
        }
    }
    None
}

/// How often it is looked whether a probe waits because AWS asked to slow down.
const LOOK: Duration = Duration::from_millis(250);

/// Ends when the set of probes that wait for AWS has changed, with the change written into the states.
async fn slowed_down(world: &dyn World, states: &mut BTreeMap<ProbeId, ProbeState>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let now = world.slowed();
        let mut changed = false;
        for (probe, state) in states.iter_mut() {
            if let ProbeState::Running { slowed, .. } = state {
                let waits = now.contains(probe);
                changed |= *slowed != waits;
                *slowed = waits;
            }
        }
        if changed {
            return;
        }
    }
}

/// Runs a diagnosis to its end, sending a snapshot whenever something was learned.
pub async fn run(
    world: Arc<dyn World>,
    request: Request,
    run: RunId,
    out: UnboundedSender<Snapshot>,
    cancel: CancellationToken,
) -> Snapshot {
    let started = Instant::now();
    let calls_before = world.api_calls();
    let mut facts = Facts {
        target: request.target.clone(),
        symptom: request.symptom.clone(),
        paste: request.paste.clone(),
        answers: request.answers.clone(),
        now: request.now,
        inside_agreed: request.inside,
        ..Facts::default()
    };
    let asked = |probe: &ProbeId| request.only.is_empty() || request.only.contains(probe);
    let first = |probe| (probe, if asked(&probe) { ProbeState::Waiting } else { ProbeState::NotNeeded });
    let mut states: BTreeMap<ProbeId, ProbeState> = ProbeId::ALL.into_iter().map(first).collect();
    let mut running = FuturesUnordered::new();
    let mut cancelled = false;
    loop {
        let shared = Arc::new(facts.clone());
        // Twice: that a probe is not needed may be all that an earlier one in the list waits for (known_hosts for TCP).
        for probe in ProbeId::ALL.into_iter().chain(ProbeId::ALL) {
            if cancelled || states[&probe] != ProbeState::Waiting {
                continue;
            }
            match ready(probe, &facts, &states) {
                Ready::Later => {}
                Ready::Never(why) => {
                    if let Some(why) = why {
                        unknown(probe, &facts, &why).into_iter().for_each(|o| o.apply(&mut facts));
                    }
                    states.insert(probe, ProbeState::NotNeeded);
                }
                Ready::Now => {
                    let mut limit = limit_of(probe, &request);
                    // A session or a tunnel takes more than a connect.
                    if probe == ProbeId::Tcp && matches!(way(&facts), Way::Aws(_)) {
                        limit = limit_of(ProbeId::Ssh, &request);
                    }
                    let since_ms = elapsed(started);
                    states.insert(probe, ProbeState::Running { since_ms, limit_ms: millis(limit), slowed: false });
                    let (world, facts) = (Arc::clone(&world), Arc::clone(&shared));
                    running.push(async move {
                        let begun = Instant::now();
                        let answer = within(limit, world.as_ref(), probe, Arc::clone(&facts)).await;
                        let seen = answer.unwrap_or_else(|| {
                            let doing = probe.title().to_owned();
                            let why = if world.slowed().contains(&probe) {
                                Why::Throttled { doing, code: "RequestLimitExceeded".to_owned() }
                            } else {
                                Why::TimedOut { doing, after_ms: millis(limit) }
                            };
                            unknown(probe, &facts, &why)
                        });
                        (probe, seen, elapsed(begun))
                    });
                }
            }
        }
        facts.pending = states
            .iter()
            .filter(|(_, s)| matches!(s, ProbeState::Waiting | ProbeState::Running { .. }))
            .map(|(p, _)| *p)
            .collect();
        let diagnosis = Arc::new(judge(&facts));
        let finished = running.is_empty();
        let snapshot = Snapshot {
            run,
            facts: Arc::new(facts.clone()),
            diagnosis,
            probes: states.iter().map(|(id, state)| (*id, state.clone())).collect(),
            api_calls: world.api_calls() - calls_before,
            millis: elapsed(started),
            finished,
            cancelled,
        };
        // Nobody listening is no reason to stop: the caller gets the last snapshot as the result.
        let _ = out.send(snapshot.clone());
        if finished {
            return snapshot;
        }
        tokio::select! {
            () = cancel.cancelled(), if !cancelled => {
                cancelled = true;
                running.clear();
                for (probe, state) in &mut states {
                    if matches!(state, ProbeState::Waiting | ProbeState::Running { .. }) {
                        unknown(*probe, &facts.clone(), &Why::Cancelled).into_iter().for_each(|o| o.apply(&mut facts));
                        *state = ProbeState::NotNeeded;
                    }
                }
            }
            () = slowed_down(world.as_ref(), &mut states) => {}
            Some((probe, seen, took)) = running.next() => {
                seen.into_iter().for_each(|o| o.apply(&mut facts));
                states.insert(probe, ProbeState::Ended { millis: took, note: note_of(probe, &facts) });
            }
        }
    }
}

/// Judges recorded facts without any probe.
pub fn replay(facts: Facts) -> (Facts, Diagnosis) {
    let diagnosis = judge(&facts);
    (facts, diagnosis)
}

fn ended(states: &BTreeMap<ProbeId, ProbeState>, probe: ProbeId) -> bool {
    matches!(states[&probe], ProbeState::Ended { .. } | ProbeState::NotNeeded)
}

fn ready(probe: ProbeId, facts: &Facts, states: &BTreeMap<ProbeId, ProbeState>) -> Ready {
    let config_known = ended(states, ProbeId::SshConfig);
    let instance_known = ended(states, ProbeId::Instance);
    let with_instance = |present: fn(&crate::core::facts::aws::Instance) -> bool, what: &str| match facts.instance() {
        Some(instance) if present(instance) => Ready::Now,
        Some(_) => Ready::Never(Some(Why::needs(what))),
        None if instance_known => Ready::Never(Some(Why::needs("the instance, which could not be read"))),
        None => Ready::Later,
    };
    match probe {
        ProbeId::SshConfig | ProbeId::Caller | ProbeId::SshVersion => Ready::Now,
        // An alias of ssh_config stands for another name, which is then what EC2 is asked for; and it may name an agent.
        ProbeId::Instance | ProbeId::Dns | ProbeId::Keys | ProbeId::Agent if !config_known => Ready::Later,
        // A word without dots is most likely a Name tag: only when it is none is the resolver asked.
        ProbeId::Dns
            if facts.target.kind() == TargetKind::Name
                && !facts.target.name.contains('.')
                && !facts.local.config.value().is_some_and(|c| c.matched) =>
        {
            match facts.instance() {
                Some(_) => Ready::Never(None),
                None if instance_known => Ready::Now,
                None => Ready::Later,
            }
        }
        ProbeId::Instance | ProbeId::Dns | ProbeId::Keys | ProbeId::Agent => Ready::Now,
        ProbeId::SourceIp if facts.target.source_ip.is_some() => Ready::Never(None),
        // Which of the own addresses the instance sees depends on the family of its address, and on whether it is private.
        ProbeId::SourceIp if facts.address().is_none() && !(instance_known && ended(states, ProbeId::Dns)) => {
            Ready::Later
        }
        ProbeId::SourceIp => Ready::Now,
        ProbeId::Status | ProbeId::Interfaces | ProbeId::Ssm | ProbeId::Console => with_instance(|_| true, ""),
        ProbeId::SecurityGroups => with_instance(
            |i| !i.groups.is_empty() || i.interfaces.iter().any(|n| !n.groups.is_empty()),
            "security groups on the instance, and it has none",
        ),
        ProbeId::NetworkAcls | ProbeId::RouteTables | ProbeId::InternetGateways => {
            with_instance(|i| i.vpc_id.is_some(), "the VPC, and the instance has none any more")
        }
        ProbeId::Subnet => with_instance(|i| i.subnet_id.is_some(), "the subnet, and the instance has none any more"),
        ProbeId::KeyPair => {
            with_instance(|i| i.key_name.is_some(), "a key pair, and the instance was launched without one")
        }
        ProbeId::Image => with_instance(|i| i.image_id.is_some(), "an image id, and the instance has none"),
        ProbeId::Machine
        | ProbeId::CreditMode
        | ProbeId::Metrics
        | ProbeId::Volumes
        | ProbeId::StopProtection
        | ProbeId::UserData
        | ProbeId::Spot
        | ProbeId::WindowsPassword
        | ProbeId::Automations
        | ProbeId::Connection
        | ProbeId::HostManagement
        | ProbeId::Endpoints
        | ProbeId::Role
        | ProbeId::RolePolicies
        | ProbeId::ConnectEndpoints
        | ProbeId::EndpointGroups
        | ProbeId::SerialAccess
        | ProbeId::Session
        | ProbeId::Inside => deeper::ready(probe, facts, states),
        ProbeId::Control | ProbeId::Jump => match facts.local.config.value() {
            None if config_known => Ready::Never(Some(Why::needs("your ssh configuration, which could not be read"))),
            None => Ready::Later,
            Some(config) => {
                let asked = match probe {
                    ProbeId::Control => config.control_path.is_some(),
                    _ => matches!(way(facts), Way::Hops(_) | Way::Unreadable(_)),
                };
                if asked { Ready::Now } else { Ready::Never(None) }
            }
        },
        ProbeId::PrefixLists => {
            if !(ended(states, ProbeId::SecurityGroups) && ended(states, ProbeId::RouteTables)) {
                return Ready::Later;
            }
            if prefix_lists(facts).is_empty() { Ready::Never(None) } else { Ready::Now }
        }
        ProbeId::Tcp => {
            if !config_known {
                return Ready::Later;
            }
            match way(facts) {
                Way::Direct => {}
                // An id in a Region that the command names needs no question to AWS.
                Way::Aws(way) if way.region.is_some() || facts.instance().is_some() => return Ready::Now,
                Way::Aws(_) if instance_known => {
                    return Ready::Never(Some(Why::needs(
                        "the instance's Region, which your ProxyCommand does not name",
                    )));
                }
                Way::Aws(_) => return Ready::Later,
                Way::Command(command) => {
                    return Ready::Never(Some(Why::needs(format!(
                        "a probe through your ProxyCommand ({command}), which only ssh runs"
                    ))));
                }
                Way::Hops(_) | Way::Unreadable(_) if !ended(states, ProbeId::Jump) => return Ready::Later,
                Way::Hops(_) | Way::Unreadable(_) => return behind(facts, instance_known),
            }
            // Which port Remote Desktop means is known with the platform.
            if facts.symptom() == Some("rdp_error") && facts.target.port.is_none() && !instance_known {
                return Ready::Later;
            }
            // A Name tag is the instance's before it is the resolver's.
            if facts.target.kind() == TargetKind::Name && facts.target.address.is_none() && !instance_known {
                return Ready::Later;
            }
            // What ssh_config calls it decides, not the address that EC2 gives for the Name tag.
            if facts.has_host_name() && facts.target.address.is_none() && !ended(states, ProbeId::Dns) {
                return Ready::Later;
            }
            if facts.address().is_some() {
                return Ready::Now;
            }
            if instance_known && ended(states, ProbeId::Dns) {
                return Ready::Never(Some(Why::needs("an address to dial, and the target has none")));
            }
            Ready::Later
        }
        // Nobody has consented to look inside.
        ProbeId::KnownHosts => {
            // The configuration names the files, the port and the alias. Behind a jump host the address is the one that
            // it is asked for.
            let through = crate::core::vpc::through_jump(facts);
            if config_known && (ended(states, ProbeId::Tcp) || (facts.address().is_some() && !through)) {
                Ready::Now
            } else {
                Ready::Later
            }
        }
        ProbeId::Ssh => match facts.wire.tcp.value() {
            // The user name may come from the image, and the keys from the files.
            Some(crate::core::facts::wire::Tcp::Connected { .. })
                if ended(states, ProbeId::Keys)
                    && ended(states, ProbeId::Agent)
                    && ended(states, ProbeId::KnownHosts)
                    && instance_known
                    && [ProbeId::Image, ProbeId::KeyPair].iter().all(|p| ended(states, *p)) =>
            {
                Ready::Now
            }
            Some(crate::core::facts::wire::Tcp::Connected { .. }) => Ready::Later,
            Some(_) => Ready::Never(Some(Why::needs("a TCP connection"))),
            None if ended(states, ProbeId::Tcp) => Ready::Never(Some(Why::needs("a TCP connection"))),
            None => Ready::Later,
        },
    }
}

/// Whether the last jump host can be asked to connect to the target.
fn behind(facts: &Facts, instance_known: bool) -> Ready {
    match facts.local.jump.value() {
        Some(jump) if !(jump.last && jump.is_open()) => {
            Ready::Never(Some(Why::needs(format!("a login to the jump host {}", jump.name))))
        }
        // A Name tag or an id stands for the instance's address.
        Some(_) if !instance_known => Ready::Later,
        Some(_) if inner(facts).is_none() => {
            Ready::Never(Some(Why::needs("an address to dial, and the target has none")))
        }
        Some(_) => Ready::Now,
        None => Ready::Never(Some(Why::needs("the jump host, and what comes of it is not known"))),
    }
}

/// Prefix lists that rules or routes name.
pub fn prefix_lists(facts: &Facts) -> Vec<String> {
    let groups = facts.aws.groups.value().into_iter().flatten();
    let rules = groups.flat_map(|g| g.inbound.iter()).filter_map(|r| match &r.peer {
        SgPeer::PrefixList(id) => Some(id.clone()),
        _ => None,
    });
    let routes = facts.aws.route_tables.value().into_iter().flatten().flat_map(|t| t.routes.iter()).filter_map(|r| {
        match &r.destination {
            RouteDestination::PrefixList(id) => Some(id.clone()),
            RouteDestination::Cidr(_) => None,
        }
    });
    let mut all: Vec<String> = rules.chain(routes).collect();
    all.sort();
    all.dedup();
    all
}

/// The observation "not known, because …" of a probe.
fn unknown(probe: ProbeId, facts: &Facts, why: &Why) -> Vec<Observation> {
    let why = why.clone();
    vec![match probe {
        ProbeId::Inside => Observation::Inside(Box::new(Fact::unknown(why))),
        ProbeId::SshConfig => Observation::SshConfig(Fact::unknown(why)),
        ProbeId::Dns => Observation::Dns(Fact::unknown(why)),
        ProbeId::SourceIp => Observation::SourceIp(Fact::unknown(why)),
        ProbeId::Keys => Observation::Keys(Vec::new(), Vec::new()),
        ProbeId::Agent => Observation::Agent(Fact::unknown(why)),
        ProbeId::KnownHosts => Observation::KnownHosts(Fact::unknown(why)),
        ProbeId::Caller => Observation::Caller(Fact::unknown(why)),
        ProbeId::Instance => Observation::Instance(Fact::unknown(why)),
        ProbeId::Status => Observation::Status(Fact::unknown(why)),
        ProbeId::Interfaces => Observation::Interfaces(Fact::unknown(why)),
        ProbeId::SecurityGroups => Observation::Groups(Fact::unknown(why)),
        ProbeId::NetworkAcls => Observation::Acls(Fact::unknown(why)),
        ProbeId::RouteTables => Observation::RouteTables(Fact::unknown(why)),
        ProbeId::InternetGateways => Observation::Gateways(Fact::unknown(why)),
        ProbeId::Subnet => Observation::Subnet(Fact::unknown(why)),
        ProbeId::PrefixLists => Observation::PrefixLists(Fact::unknown(why)),
        ProbeId::KeyPair => Observation::KeyPair(Fact::unknown(why)),
        ProbeId::Image => Observation::Image(Fact::unknown(why)),
        ProbeId::Console => Observation::Console(Fact::unknown(why)),
        ProbeId::Ssm => Observation::Ssm(Fact::unknown(why)),
        ProbeId::Machine => Observation::Machine(Fact::unknown(why)),
        ProbeId::CreditMode => Observation::CreditMode(Fact::unknown(why)),
        ProbeId::Metrics => Observation::Metrics(Fact::unknown(why)),
        ProbeId::Volumes => Observation::Volumes(Fact::unknown(why)),
        ProbeId::StopProtection => Observation::StopProtection(Fact::unknown(why)),
        ProbeId::UserData => Observation::UserData(Fact::unknown(why)),
        ProbeId::Spot => Observation::Spot(Fact::unknown(why)),
        ProbeId::WindowsPassword => Observation::WindowsPassword(Fact::unknown(why)),
        ProbeId::Automations => Observation::Automations(Fact::unknown(why)),
        ProbeId::Connection => Observation::Connection(Fact::unknown(why)),
        ProbeId::HostManagement => Observation::HostManagement(Fact::unknown(why)),
        ProbeId::Endpoints => Observation::Endpoints(Fact::unknown(why)),
        ProbeId::Role => Observation::Role(Fact::unknown(why)),
        ProbeId::RolePolicies => Observation::RolePolicies(Fact::unknown(why)),
        ProbeId::ConnectEndpoints => Observation::ConnectEndpoints(Fact::unknown(why)),
        ProbeId::EndpointGroups => Observation::EndpointGroups(Fact::unknown(why)),
        ProbeId::SerialAccess => Observation::SerialAccess(Fact::unknown(why)),
        ProbeId::Session => Observation::Session(Fact::unknown(why)),
        ProbeId::SshVersion => Observation::SshVersion(Fact::unknown(why)),
        ProbeId::Control => Observation::Control(Fact::unknown(why)),
        ProbeId::Jump => Observation::Jump(Box::new(Fact::unknown(why))),
        ProbeId::Tcp => match facts.address() {
            Some(address) => Observation::Tcp(address, facts.port(), Fact::unknown(why)),
            None => return tcp_without_address(why),
        },
        ProbeId::Ssh => Observation::Ssh(Fact::unknown(why), Vec::new(), facts.wire.budget.clone()),
    }]
}

fn tcp_without_address(why: Why) -> Vec<Observation> {
    // 0.0.0.0 is never dialled; it only carries the reason.
    vec![Observation::Tcp(std::net::Ipv4Addr::UNSPECIFIED.into(), 0, Fact::unknown(why))]
}

fn note_of(probe: ProbeId, facts: &Facts) -> Option<String> {
    let why = match probe {
        ProbeId::SshConfig => facts.local.config.why_not(),
        ProbeId::Dns => facts.local.dns.why_not(),
        ProbeId::SourceIp => facts.local.source_ip.why_not(),
        ProbeId::Keys => None,
        ProbeId::Agent => facts.local.agent.why_not(),
        ProbeId::KnownHosts => facts.local.known_hosts.why_not(),
        ProbeId::Caller => facts.aws.caller.why_not(),
        ProbeId::Instance => facts.aws.instance.why_not(),
        ProbeId::Status => facts.aws.status.why_not(),
        ProbeId::Interfaces => facts.aws.interfaces.why_not(),
        ProbeId::SecurityGroups => facts.aws.groups.why_not(),
        ProbeId::NetworkAcls => facts.aws.acls.why_not(),
        ProbeId::RouteTables => facts.aws.route_tables.why_not(),
        ProbeId::InternetGateways => facts.aws.internet_gateways.why_not(),
        ProbeId::Subnet => facts.aws.subnet.why_not(),
        ProbeId::PrefixLists => facts.aws.prefix_lists.why_not(),
        ProbeId::KeyPair => facts.aws.key_pair.why_not(),
        ProbeId::Image => facts.aws.image.why_not(),
        ProbeId::Console => facts.aws.console.why_not(),
        ProbeId::Ssm => facts.aws.ssm.why_not(),
        ProbeId::Machine => facts.host.machine.why_not(),
        ProbeId::CreditMode => facts.host.credit_mode.why_not(),
        ProbeId::Metrics => facts.host.metrics.why_not(),
        ProbeId::Volumes => facts.host.volumes.why_not(),
        ProbeId::StopProtection => facts.host.stop_protected.why_not(),
        ProbeId::UserData => facts.host.user_data.why_not(),
        ProbeId::Spot => facts.host.spot.why_not(),
        ProbeId::WindowsPassword => facts.host.windows.why_not(),
        ProbeId::Automations => facts.host.automations.why_not(),
        ProbeId::Connection => facts.doors.connection.why_not(),
        ProbeId::HostManagement => facts.doors.host_management.why_not(),
        ProbeId::Endpoints => facts.doors.endpoints.why_not(),
        ProbeId::Role => facts.doors.role.why_not(),
        ProbeId::RolePolicies => facts.doors.policies.why_not(),
        ProbeId::ConnectEndpoints => facts.doors.connect_endpoints.why_not(),
        ProbeId::EndpointGroups => facts.doors.endpoint_groups.why_not(),
        ProbeId::SerialAccess => facts.doors.serial.why_not(),
        ProbeId::Session => facts.doors.session.why_not(),
        ProbeId::Inside => facts.inside.why_not(),
        ProbeId::SshVersion => facts.local.ssh_version.why_not(),
        ProbeId::Control => facts.local.control.why_not(),
        ProbeId::Jump => facts.local.jump.why_not(),
        ProbeId::Tcp => facts.wire.tcp.why_not(),
        ProbeId::Ssh => facts.wire.ssh.why_not(),
    };
    why.map(|w| w.text())
}

fn elapsed(since: Instant) -> u64 {
    millis(since.elapsed())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
