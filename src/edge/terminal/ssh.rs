//! The door "ssh": a login with the user's own keys, the way that ssh would go, jump hosts included.
//!
//! Must not run a ProxyCommand: only ssh does.

use super::gather::complete;
use super::login::{self, Place, Who, tells_why};
use crate::core::fact::Fact;
use crate::core::facts::Facts;
use crate::core::facts::wire::Tcp;
use crate::core::jump::{AwsDoor, Way, inner, way};
use crate::core::probe::ProbeId;
use crate::core::rules;
use crate::core::target::SSH_PORT;
use crate::core::text;
use crate::core::trust::{Vouch, of_hop};
use crate::edge::real_world::host_names;
use crate::edge::ssh::{Stream, Tunnel, over_tcp};
use crate::edge::{RealWorld, by_door, jump, tcp};
use crate::engine::failure::Failure;
use crate::engine::terminal::{Opened, Wish};
use futures_util::FutureExt as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

/// Limit of each connect.
const CONNECT: Duration = Duration::from_secs(8);
/// Limits at a jump host.
const JUMP: jump::Limits =
    jump::Limits { connect: CONNECT, answer: Duration::from_secs(15), login: Duration::from_secs(30) };

/// What a login as ssh would make it needs to know.
pub(super) const NEEDS: [ProbeId; 5] =
    [ProbeId::SshConfig, ProbeId::Instance, ProbeId::Dns, ProbeId::Keys, ProbeId::Agent];

/// Opens the terminal.
pub(super) async fn open(world: &RealWorld, wish: &Wish) -> Result<Opened, Failure> {
    let facts = complete(world, &wish.facts, &NEEDS).await;
    let user = user(&facts);
    let place = Box::pin(dial(world, &facts)).await?;
    let (keys, agent) = login::own_keys(&facts).await;
    let title = format!("SSH, {}", label(&facts));
    Box::pin(login::open(world, facts, wish, place, Who { user, keys, agent, none_taken: None }, title)).await
}

/// The user that a login uses: the one that was given, else the image's.
pub(super) fn user(facts: &Facts) -> String {
    rules::users_to_try(facts).into_iter().next().unwrap_or_else(|| "ec2-user".to_owned())
}

/// What to call the target.
pub(super) fn label(facts: &Facts) -> String {
    let named = facts.instance().map(|i| i.name.clone().unwrap_or_else(|| i.id.clone()));
    named.unwrap_or_else(|| facts.target.name.clone())
}

/// Connects to the server on the way that ssh would go.
pub(super) async fn dial(world: &RealWorld, facts: &Facts) -> Result<Place, Failure> {
    let port = facts.port();
    let alias = facts.local.config.value().is_some_and(|c| c.host_key_alias.is_some());
    let known_port = if alias { SSH_PORT } else { port };
    let doing = format!("connect to port {port} of {}", label(facts));
    let failed = |reason: String| Failure::failed(&doing, reason, tells_why(facts));
    match way(facts) {
        Way::Direct => {
            let address = facts.address().ok_or_else(|| failed("the target has no address to dial".to_owned()))?;
            if world.aws().is_emulated() && !address.is_loopback() && facts.target.address.is_none() {
                let why = format!("the EC2 endpoint is not AWS's own, so {address} may belong to a stranger");
                return Err(Failure::usage(&doing, why, "name the address to dial with --address"));
            }
            let (fact, stream) = tcp::connect(address, port, CONNECT).await;
            let stream = stream.ok_or_else(|| failed(unconnected(&fact)))?;
            let names = host_names(facts);
            let (at, stream) = ((address, port), over_tcp(stream));
            Ok(Place { stream, at, names, port: known_port, vouch: Vouch::Nothing, published: None, jump: None })
        }
        Way::Hops(hops) => {
            let nobody = |_| async { Fact::NotAsked }.boxed();
            let only_here = world.aws().is_emulated();
            let (fact, tunnel) = jump::probe(hops, &facts.target, only_here, JUMP, &nobody, jump::LASTING).await;
            let tunnel = Arc::new(tunnel.ok_or_else(|| match fact.value().and_then(of_hop) {
                Some((reason, next)) => Failure::failed(&doing, reason, next),
                None => failed(not_through(&fact)),
            })?);
            let (host, address) = inner(facts).ok_or_else(|| failed("the target has no address".to_owned()))?;
            let at = (address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), port);
            let stream = onward(world, &tunnel, (&host, address, port), facts).await.map_err(failed)?;
            let mut names = host_names(facts);
            names.extend([host].into_iter().filter(|_| !alias));
            names.dedup();
            let jump = Some(tunnel);
            Ok(Place { stream, at, names, port: known_port, vouch: Vouch::Nothing, published: None, jump })
        }
        Way::Aws(way) => {
            let (address, stream) =
                Box::pin(by_door::open(world, facts, &way)).await.map_err(|why| failed(why.text()))?;
            let vouch = if way.door == AwsDoor::Ssm { Vouch::Agent } else { Vouch::Nothing };
            let names = host_names(facts);
            let at = (address, way.port);
            Ok(Place { stream, at, names, port: known_port, vouch, published: None, jump: None })
        }
        Way::Command(command) => Err(Failure::failed(
            &doing,
            format!("the login goes through your ProxyCommand ({command}), which only ssh runs"),
            "run ssh itself, or take another way in",
        )),
        Way::Unreadable(list) => Err(failed(jump::unreadable(&list).text())),
    }
}

async fn onward(
    world: &RealWorld,
    tunnel: &Tunnel,
    (host, address, port): (&str, Option<IpAddr>, u16),
    facts: &Facts,
) -> Result<Stream, String> {
    let local = address.is_some_and(|a| a.is_loopback()) || facts.target.address.is_some();
    if world.aws().is_emulated() && !local {
        return Err(format!("the EC2 endpoint is not AWS's own, so {host} may belong to a stranger"));
    }
    let (said, stream) = tunnel.open(host, port, CONNECT).await;
    let words = if said.words.is_empty() { said.outcome } else { said.words };
    stream.ok_or_else(|| format!("the jump host {} does not connect to {host}:{port}: {words}", tunnel.name()))
}

/// Why nothing was connected.
pub(super) fn unconnected(fact: &Fact<Tcp>) -> String {
    match fact.value() {
        Some(Tcp::TimedOut { after_ms }) => format!("no answer within {}", text::millis(*after_ms)),
        Some(Tcp::Refused { .. }) => "the connection was refused: nothing listens there".to_owned(),
        Some(Tcp::Unreachable { reason }) => reason.clone(),
        _ => fact.why_not().map_or_else(|| "no connection".to_owned(), |why| why.text()),
    }
}

/// Why a jump host let nobody through.
fn not_through(fact: &Fact<crate::core::facts::local::JumpHost>) -> String {
    match fact.value() {
        Some(host) if host.outcome == "ssh" => format!("the jump host {} does not let you in", host.name),
        Some(host) => format!("the jump host {}: {} {}", host.name, host.outcome.replace('_', " "), host.words),
        None => fact.why_not().map_or_else(|| "the jump host is closed".to_owned(), |why| why.text()),
    }
}
