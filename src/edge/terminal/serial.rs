//! The door "serial": the EC2 serial console, over SSH to the Region's host with a pushed key.
//!
//! What must be there first is looked at first: the account's switch, the instance's type and state. The host key is the
//! one that AWS publishes for the Region. Must not switch the console on: that is the account's decision.
//!
//! With another endpoint than AWS's own for EC2 Instance Connect (an emulator on this machine), the console is looked for
//! at the endpoint's own host and port, or at `PORT22_SERIAL_CONSOLE` (HOST:PORT); both on this machine only, and
//! known_hosts must have the host key.

use super::eic::denied;
use super::gather::{complete, no_instance};
use super::login::{self, NoneTaken, Place, Who, tells_why};
use super::ssh::label;
use crate::core::fact::Why;
use crate::core::facts::aws::Instance;
use crate::core::probe::ProbeId;
use crate::core::recognise::strip_controls;
use crate::core::rules;
use crate::core::serial_console;
use crate::core::target::SSH_PORT;
use crate::core::trust::Vouch;
use crate::edge::aws::{Aws, error};
use crate::edge::remote::fresh;
use crate::edge::ssh::over_tcp;
use crate::edge::{RealWorld, dns, tcp};
use crate::engine::failure::Failure;
use crate::engine::terminal::{Opened, Wish};
use aws_sdk_ec2instanceconnect::error::ProvideErrorMetadata as _;
use std::net::IpAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// Where the console of an emulator is.
pub(super) const VARIABLE: &str = "PORT22_SERIAL_CONSOLE";
/// Limit of each connect.
const CONNECT: Duration = Duration::from_secs(8);
/// The console has no size of its own; the other side wants one.
const SIZE: (u16, u16) = (80, 24);

const NONE_TAKEN: NoneTaken = NoneTaken {
    reason: "the serial console did not take the pushed key",
    next: "try again: the key holds for 60 seconds",
};

/// Opens the terminal.
pub(super) async fn open(world: &RealWorld, wish: &Wish) -> Result<Opened, Failure> {
    let facts = complete(world, &wish.facts, &[ProbeId::SshConfig, ProbeId::Instance]).await;
    let facts = complete(world, &facts, &[ProbeId::Machine, ProbeId::SerialAccess]).await;
    let doing = format!("open the serial console of {}", label(&facts));
    let Some(instance) = facts.instance().cloned() else { return Err(no_instance(&facts, &doing)) };
    if wish.command.is_some() {
        let why = "the serial console is a screen and a keyboard: it runs no command";
        return Err(Failure::usage(doing, why, "leave out the command, or take another door"));
    }
    if let Some((why, next)) = rules::serial_obstacle(&facts) {
        return Err(Failure::failed(doing, why, next));
    }
    let (host, port, published) =
        place(world.aws(), &instance.region).map_err(|why| Failure::failed(&doing, why, ""))?;
    let (address, stream) = connect(&host, port).await.map_err(|why| {
        let next = "it needs a way out to port 22 of that host: another network, or the console in the browser";
        Failure::failed(&doing, why, next)
    })?;
    let (key, public) = fresh().map_err(|why| denied(&doing, &why))?;
    push(world.aws(), &instance, &public).await.map_err(|(why, next)| match why {
        Why::Denied { .. } => denied(&doing, &why),
        _ => Failure::failed(&doing, why.text(), next.unwrap_or_else(|| tells_why(&facts))),
    })?;
    let place = Place {
        stream: over_tcp(stream),
        at: (address, port),
        names: vec![host],
        port,
        vouch: Vouch::Nothing,
        published,
        jump: None,
    };
    let who =
        Who { user: serial_console::user(&instance.id), keys: vec![key], agent: None, none_taken: Some(NONE_TAKEN) };
    let title = format!("Serial console, {}", label(&facts));
    let wish = Wish { size: Some(wish.size.unwrap_or(SIZE)), ..wish.clone() };
    Box::pin(login::open(world, facts, &wish, place, who, title)).await
}

/// Host, port and published host key of a Region's console.
fn place(aws: &Aws, region: &str) -> Result<(String, u16, Option<String>), String> {
    let named = std::env::var(VARIABLE).ok().filter(|v| !v.is_empty());
    let custom = aws.custom_instance_connect();
    if custom.is_none() && named.is_none() {
        if aws.is_emulated() {
            return Err("the EC2 endpoint is not AWS's own: it has no serial console".to_owned());
        }
        let place = serial_console::place(region);
        return Ok((place.host, SSH_PORT, place.fingerprint));
    }
    let (host, port) = match (&named, &custom) {
        (Some(named), _) => authority(named),
        (None, Some(url)) => authority(url.split_once("://").map_or(url, |(_, rest)| rest)),
        (None, None) => None,
    }
    .ok_or_else(|| format!("{VARIABLE} is no HOST:PORT"))?;
    if !(host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())) {
        return Err(format!("the serial console of an emulator is looked for on this machine only, not at {host}"));
    }
    Ok((host, port, None))
}

/// `HOST:PORT` at the beginning of a text.
fn authority(text: &str) -> Option<(String, u16)> {
    let text = text.split(['/', '?']).next()?;
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some((host.to_owned(), port.parse().ok()?)).filter(|(host, _)| !host.is_empty())
}

async fn connect(host: &str, port: u16) -> Result<(IpAddr, TcpStream), String> {
    let found = dns::lookup(host).await;
    let Some(addresses) = found.value() else {
        return Err(found.why_not().map(|why| why.text()).unwrap_or_default());
    };
    let mut last = format!("{host} has no address");
    for address in addresses.iter().take(2) {
        let (fact, stream) = tcp::connect(*address, port, CONNECT).await;
        match stream {
            Some(stream) => return Ok((*address, stream)),
            None => last = format!("{host} ({address}) port {port}: {}", super::ssh::unconnected(&fact)),
        }
    }
    Err(last)
}

/// Pushes the key for the only port there is. The error is the reason, and what to do where that is known.
async fn push(aws: &Aws, instance: &Instance, public: &str) -> Result<(), (Why, Option<String>)> {
    let doing = format!("push a key to the serial console of {}", instance.label());
    let call = aws.instance_connect(&instance.region).send_serial_console_ssh_public_key();
    let answer = call.instance_id(&instance.id).serial_port(0).ssh_public_key(public).send().await;
    match answer {
        Ok(answer) if answer.success() => Ok(()),
        Ok(_) => Err((Why::failed(doing, "the service did not take the key"), None)),
        Err(e) => {
            let said = e.as_service_error().and_then(|e| e.message()).map(strip_controls).unwrap_or_default();
            let why = |text: &str| {
                let said = if said.is_empty() { String::new() } else { format!(" ({})", said.replace('\n', " ")) };
                Why::failed(&doing, format!("{text}{said}"))
            };
            Err(match error::code(&e) {
                "SerialConsoleAccessDisabledException" => (
                    why("the serial console is switched off in this account and Region (serial-console-disabled)"),
                    Some("an administrator switches it on: aws ec2 enable-serial-console-access".to_owned()),
                ),
                "SerialConsoleSessionLimitExceededException" => (
                    why("somebody is at this serial console already: there is one session for each instance"),
                    Some("wait until it ends; 30 seconds after that it is free again".to_owned()),
                ),
                "SerialConsoleSessionUnavailableException" => {
                    (why("the serial console is not available now"), Some("try again in a minute".to_owned()))
                }
                "SerialConsoleSessionUnsupportedException" => (
                    why("this instance offers no serial console until it was rebooted"),
                    Some("port22 fix instance-reboot, then try again".to_owned()),
                ),
                "EC2InstanceTypeInvalidException" => (
                    why("this instance type has no serial console (serial-console-unsupported-type)"),
                    Some("take another way in".to_owned()),
                ),
                "EC2InstanceStateInvalidException" | "EC2InstanceUnavailableException" => {
                    (why("the instance is not running, or not reachable by the service"), None)
                }
                _ => (error::why(&e, "ec2-instance-connect:SendSerialConsoleSSHPublicKey", &doing), None),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_an_emulator_is_read() {
        assert_eq!(authority("127.0.0.1:5601/x"), Some(("127.0.0.1".to_owned(), 5601)));
        assert_eq!(authority("[::1]:22"), Some(("::1".to_owned(), 22)));
        for text in ["", "127.0.0.1", ":22", "host:port"] {
            assert_eq!(authority(text), None, "{text}");
        }
    }
}
