//! `port22 shell`: a terminal in, on this terminal or in a pipe, as ssh behaves.
//!
//! stdout carries what the remote side shows, and nothing else; stderr what it says there, and our own lines. The exit
//! status is the remote command's where the door tells one, and 255 when the connection failed. Nothing that is typed or
//! shown is recorded or logged. Must not judge which door is open: the diagnosis does.

mod carry;
mod escape;
mod screen;

use super::args::{Cli, ShellArgs};
use super::input;
use super::output::{self, Exit};
use crate::core::diagnosis::{self, Diagnosis, DoorState};
use crate::core::facts::Facts;
use crate::core::probe::ProbeId;
use crate::core::target::{Target, TargetKind};
use crate::edge::RealWorld;
use crate::edge::terminal::plugin;
use crate::engine::diagnose::{self, Request};
use crate::engine::event::{RunId, Snapshot};
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::terminal::{Door, Wish};
use crate::engine::world::World;
use screen::Screen;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Exit status when the connection failed, as ssh has it.
const FAILED: u8 = 255;
/// Longest opening of a door, when `--timeout` does not say.
const OPENING: u64 = 90;

/// Opens a terminal and stays until it ends.
pub async fn run(cli: &Cli, args: &ShellArgs) -> Result<Exit, Failure> {
    match Box::pin(open(cli, args)).await {
        // A target that does not exist, or a wish that cannot be: as everywhere in this program.
        Err(failure) if failure.kind == FailureKind::Failed => {
            output::note(&format!("port22: {failure}"));
            Ok(Exit::Remote(FAILED))
        }
        other => other,
    }
}

async fn open(cli: &Cli, args: &ShellArgs) -> Result<Exit, Failure> {
    let target = input::target(&args.target, &args.ssh, &cli.global)?;
    let door = args.door.map(Door::from);
    let plugin = plugin_wanted(args, door)?;
    let world = Arc::new(input::world(&cli.global).await);
    let command = (!args.command.is_empty()).then(|| args.command.join(" "));
    let tty = std::io::stdin().is_terminal() && !args.no_tty && (args.tty || command.is_none());
    let (door, facts) = match door.or(plugin.then_some(Door::Ssm)) {
        Some(door) => (door, gather(cli, target, &world, door).await?),
        None => choose(cli, target, &world).await?,
    };
    let size = if tty { Some(screen::size()) } else { None };
    let wish = Wish { door, facts, size, command, plugin };
    if plugin {
        let status = plugin::run(&world, &wish).await?;
        return Ok(Exit::Remote(status));
    }
    let limit = Duration::from_secs(cli.global.timeout.unwrap_or(OPENING));
    let opened = timeout(limit, world.terminal(wish)).await.unwrap_or_else(|_| {
        let doing = format!("open {} of {}", name(door), args.target);
        Err(Failure::failed(doing, "it did not open in time", format!("port22 diagnose {} tells why", args.target)))
    })?;
    let screen =
        match tty {
            true => Some(Screen::take().map_err(|e| {
                Failure::failed("use this terminal", e.to_string(), "port22 shell -T takes it as a pipe")
            })?),
            false => None,
        };
    Ok(Exit::Remote(carry::carry(opened, screen).await))
}

fn plugin_wanted(args: &ShellArgs, door: Option<Door>) -> Result<bool, Failure> {
    if args.use_plugin && door.is_some_and(|door| door != Door::Ssm) {
        return Err(Failure::usage(
            "use AWS's plug-in",
            "it is for Session Manager only",
            "leave out --use-plugin, or take --door ssm",
        ));
    }
    Ok(args.use_plugin)
}

/// What people call a door.
fn name(door: Door) -> &'static str {
    match door {
        Door::Ssh => "SSH",
        Door::Ssm => "Session Manager",
        Door::Eic => "EC2 Instance Connect",
        Door::Eice => "the EC2 Instance Connect Endpoint",
        Door::Serial => "the serial console",
    }
}

/// What a door needs to know of the target, when the door is said. Nothing is dialled for it.
fn needed(door: Door) -> Vec<ProbeId> {
    let login = [ProbeId::Dns, ProbeId::Keys, ProbeId::Agent, ProbeId::KnownHosts, ProbeId::Image];
    let mut probes = vec![ProbeId::SshConfig, ProbeId::Instance];
    match door {
        Door::Ssm => {}
        Door::Ssh | Door::Eic => probes.extend(login),
        Door::Eice => {
            probes.extend(login);
            probes.push(ProbeId::ConnectEndpoints);
        }
        Door::Serial => probes.extend([ProbeId::Image, ProbeId::Machine, ProbeId::SerialAccess]),
    }
    probes
}

/// The facts for a door that was said.
async fn gather(cli: &Cli, target: Target, world: &Arc<RealWorld>, door: Door) -> Result<Arc<Facts>, Failure> {
    // An id in the only Region needs no question, and no right to ask one.
    let id = target.kind() == TargetKind::InstanceId || target.name.starts_with("mi-");
    if door == Door::Ssm && id && world.regions().len() == 1 {
        return Ok(Arc::new(Facts { target, ..Facts::default() }));
    }
    let request = Request { only: needed(door), inside: false, ..input::request(target, &cli.global) };
    let (out, _) = unbounded_channel();
    let world: Arc<dyn World> = Arc::clone(world) as Arc<dyn World>;
    let snapshot = diagnose::run(world, request, RunId(1), out, CancellationToken::new()).await;
    match input::unknown_target(&snapshot.facts) {
        Some(failure) => Err(failure),
        None => Ok(snapshot.facts),
    }
}

/// The cheapest open door, by a diagnosis that ends as soon as it is known.
async fn choose(cli: &Cli, target: Target, world: &Arc<RealWorld>) -> Result<(Door, Arc<Facts>), Failure> {
    let name_of = target.name.clone();
    let request = Request { inside: false, ..input::request(target, &cli.global) };
    let (out, mut snapshots) = unbounded_channel::<Snapshot>();
    let cancel = CancellationToken::new();
    let world: Arc<dyn World> = Arc::clone(world) as Arc<dyn World>;
    let running = diagnose::run(world, request, RunId(1), out, cancel.clone());
    let watching = async {
        while let Some(snapshot) = snapshots.recv().await {
            if let Some(door) = settled(&snapshot.diagnosis) {
                cancel.cancel();
                return Some((door, snapshot));
            }
        }
        None
    };
    let (last, early) = tokio::join!(running, watching);
    let (door, snapshot) = match early {
        Some(found) => found,
        None => {
            if let Some(failure) = input::unknown_target(&last.facts) {
                return Err(failure);
            }
            let door = best(&last.diagnosis).ok_or_else(|| nothing_open(&name_of, &last.diagnosis))?;
            (door, last)
        }
    };
    let why = snapshot.diagnosis.doors.iter().find(|d| d.id == door.id());
    let (state, why) = why.map_or((DoorState::Unknown, String::new()), |d| (d.state, d.why.clone()));
    let doubt = if state == DoorState::Open { "" } else { "not proven open: " };
    output::note(&format!("port22: through {} ({doubt}{why})", name(door)));
    Ok((door, snapshot.facts))
}

/// The doors that give a terminal, in the order of their cost.
fn with_terminal(diagnosis: &Diagnosis) -> Vec<diagnosis::Door> {
    diagnosis.doors.iter().filter(|d| Door::of(&d.id).is_some()).cloned().collect()
}

/// The cheapest open door, when no cheaper one may still turn out to be open.
fn settled(diagnosis: &Diagnosis) -> Option<Door> {
    let doors = with_terminal(diagnosis);
    let first = doors.iter().find(|d| d.state != DoorState::Closed)?;
    Door::of(&first.id).filter(|_| first.state == DoorState::Open)
}

/// The cheapest open door of a diagnosis that has ended; else the first that is not known to be closed.
fn best(diagnosis: &Diagnosis) -> Option<Door> {
    let doors = with_terminal(diagnosis);
    let unknown = || doors.iter().find(|d| d.state == DoorState::Unknown);
    Door::of(&diagnosis::recommended(&doors).or_else(unknown)?.id)
}

fn nothing_open(name: &str, diagnosis: &Diagnosis) -> Failure {
    let all: Vec<String> = with_terminal(diagnosis).iter().map(|d| format!("{}: {}", d.id, d.why)).collect();
    Failure::failed(
        format!("find a way into {name}"),
        format!("every door is closed\n  {}", all.join("\n  ")),
        format!("port22 diagnose {name} tells what to mend"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnosis(states: [(&str, DoorState); 4]) -> Diagnosis {
        let mut out = diagnosis::judge(&Facts::default());
        out.doors = states
            .map(|(id, state)| diagnosis::Door { id: id.to_owned(), state, why: String::new(), cost: String::new() })
            .to_vec();
        out
    }

    #[test]
    fn the_cheapest_open_door_that_gives_a_terminal_is_taken() {
        use DoorState::{Closed, Open, Unknown};
        let with =
            |ssh, ssm, serial, rescue| diagnosis([("ssh", ssh), ("ssm", ssm), ("serial", serial), ("rescue", rescue)]);
        // SSH may still turn out to work.
        let early = with(Unknown, Open, Closed, Open);
        assert_eq!((settled(&early), best(&early)), (None, Some(Door::Ssm)));
        let sure = with(Closed, Open, Closed, Open);
        assert_eq!((settled(&sure), best(&sure)), (Some(Door::Ssm), Some(Door::Ssm)));
        let doubtful = with(Closed, Closed, Unknown, Open);
        assert_eq!((settled(&doubtful), best(&doubtful)), (None, Some(Door::Serial)));
        let none = with(Closed, Closed, Closed, Open);
        assert_eq!((settled(&none), best(&none)), (None, None));
        assert!(nothing_open("web-1", &none).reason.contains("every door is closed\n  ssh: "));
    }
}
