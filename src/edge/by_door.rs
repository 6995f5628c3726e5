//! A connection to the target through a door of AWS, as the user's ProxyCommand would make it.
//!
//! A port session of Session Manager, or a tunnel of an EC2 Instance Connect Endpoint; which one, and to which port, the
//! command says ([`crate::core::jump::AwsWay`]). Must not run the command, must not lead elsewhere, and must not judge.

use super::RealWorld;
use super::channel::{PortTarget, open_port};
use super::ssh::{Stream, played_back};
use super::tcp::whole_millis;
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::wire::Tcp;
use crate::core::jump::{AwsDoor, AwsWay};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

/// Opens the connection; the address only names the instance. That it is open does not mean that anything answers.
pub(super) async fn open(world: &RealWorld, facts: &Facts, way: &AwsWay) -> Result<(IpAddr, Stream), Why> {
    let own = world.profile().or_else(|| std::env::var("AWS_PROFILE").ok());
    if way.profile.is_some() && way.profile != own {
        let profile = way.profile.as_deref().unwrap_or_default();
        return Err(Why::needs(format!("--profile {profile}: your ProxyCommand takes that one ({})", way.command)));
    }
    let instance = facts.instance();
    let region = way.region.clone().or_else(|| instance.map(|i| i.region.clone()));
    let region = region.ok_or_else(|| Why::needs("the instance's Region"))?;
    let address = instance.and_then(|i| i.private_ip).unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let stream: Stream = match way.door {
        AwsDoor::Ssm => {
            let doing = format!("open a port session on {}", way.target);
            let port = PortTarget::Ssh { port: way.port };
            let ports = open_port(world.aws(), &region, &way.target, &port).await;
            let ports = ports.map_err(|failed| Why::failed(&doing, failed.to_string()))?;
            let stream = ports.open().map_err(|e| Why::failed(&doing, e.to_string()))?;
            ports.handle().running().await.map_err(|end| Why::failed(&doing, end.to_string()))?;
            Box::new(stream)
        }
        AwsDoor::Eice => {
            let doing = format!("open a tunnel to {}", way.target);
            let lead = Box::pin(world.tunnel_of(facts, way)).await?;
            let tunnel = world.tunnel(&lead, &facts.target.name).await;
            Box::new(tunnel.map_err(|failure| Why::failed(&doing, failure.reason))?)
        }
    };
    Ok((address, stream))
}

/// The same as a probe: what comes of the connection shows with the first byte, for an SSH server speaks first.
pub(super) async fn tcp(
    world: &RealWorld,
    facts: &Facts,
    way: &AwsWay,
    limit: Duration,
) -> (IpAddr, Fact<Tcp>, Option<Stream>) {
    let door = if way.door == AwsDoor::Ssm { "Session Manager" } else { "the EC2 Instance Connect Endpoint" };
    let source = format!("connection to port {} of {} through {door}", way.port, way.target);
    let nowhere = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let begun = Instant::now();
    let (address, mut stream) = match Box::pin(timeout(limit, open(world, facts, way))).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(why)) => return (nowhere, Fact::unknown(why), None),
        Err(_) => {
            let why = Why::TimedOut { doing: source, after_ms: whole_millis(limit) };
            return (nowhere, Fact::unknown(why), None);
        }
    };
    let mut first = vec![0; 1024];
    let left = limit.saturating_sub(begun.elapsed()).max(Duration::from_secs(1));
    let read = timeout(left, stream.read(&mut first)).await;
    let millis = whole_millis(begun.elapsed());
    let count = match read {
        // Silence is a matter of the greeting.
        Err(_) => 0,
        Ok(Ok(count)) => count,
        Ok(Err(e)) if e.kind() == ErrorKind::ConnectionRefused && way.door == AwsDoor::Ssm => {
            return (address, Fact::known(Tcp::Refused { millis }, source), None);
        }
        Ok(Err(e)) => return (address, Fact::unknown(Why::failed(source, e.to_string())), None),
    };
    first.truncate(count);
    (address, Fact::known(Tcp::Connected { millis }, source), Some(played_back(stream, first)))
}
