//! `port22 shell`: a terminal in, on this terminal or in a pipe, as ssh behaves.
//!
//! stdout carries what the remote side shows, and nothing else; stderr what it says there, and our own lines. The exit
//! status is the remote command's where the door tells one, and 255 when the connection failed. Nothing that is typed or
//! shown is recorded or logged. Must not judge which door is open: the diagnosis does.

mod carry;
mod escape;
pub mod screen;

use super::args::{Cli, ShellArgs};
use super::input;
use super::output::{self, Exit};
use crate::core::diagnosis::{self, Diagnosis, DoorState};
use crate::core::door_commands;
use crate::core::fact::Fact;
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::probe::ProbeId;
use crate::core::target::{Target, TargetKind};
use crate::edge::RealWorld;
use crate::edge::terminal::plugin;
use crate::engine::diagnose::{self, Request};
use crate::engine::event::{RunId, Snapshot};
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::terminal::{Door, Opened, Wish};
use crate::engine::world::World;
use crate::signals::Signals;
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
    let mut signals = Signals::listen();
    let opened = tokio::select! {
        opened = Box::pin(open(cli, args)) => opened,
        // What was begun is ended before the program is.
        signal = signals.next() => return Ok(Exit::Remote(128 + signal)),
    };
    let opened = match opened {
        Ok(Way::Terminal(opened, tty)) => terminal(opened, tty, &mut signals).await,
        Ok(Way::Plugin(session)) => session.run().await,
        Ok(Way::Printed) => return Ok(Exit::Ok),
        Err(failure) => Err(failure),
    };
    match opened {
        // A target that does not exist, or a wish that cannot be: as everywhere in this program.
        Err(failure) if failure.kind == FailureKind::Failed => {
            output::note(&format!("port22: {failure}"));
            Ok(Exit::Remote(FAILED))
        }
        other => other.map(Exit::Remote),
    }
}

/// What the arguments lead to.
enum Way {
    /// An open terminal, and whether this side is one, too.
    Terminal(Opened, bool),
    /// AWS's plug-in, which takes this terminal itself.
    Plugin(Box<plugin::Session>),
    /// Command lines, which are printed.
    Printed,
}

/// Carries the terminal to its end; gives the exit status.
async fn terminal(opened: Opened, tty: bool, signals: &mut Signals) -> Result<u8, Failure> {
    let taken = tty
        .then(Screen::take)
        .transpose()
        .map_err(|e| Failure::failed("use this terminal", e.to_string(), "port22 shell -T takes it as a pipe"))?;
    Ok(carry::carry(opened, taken, signals).await)
}

async fn open(cli: &Cli, args: &ShellArgs) -> Result<Way, Failure> {
    let target = input::target(&args.target, &args.ssh, &cli.global)?;
    let door = args.door.map(Door::from);
    let plugin = plugin_wanted(args, door)?;
    let world = Arc::new(input::world(&cli.global).await);
    let command = (!args.command.is_empty()).then(|| args.command.join(" "));
    let tty = std::io::stdin().is_terminal() && !args.no_tty && (args.tty || command.is_none());
    let size = tty.then(screen::size);
    let wish =
        |door, facts: &Arc<Facts>| Wish { door, facts: Arc::clone(facts), size, command: command.clone(), plugin };
    let opened = match door.or(plugin.then_some(Door::Ssm)) {
        Some(door) => {
            if cli.global.read_only && door.pushes_key() && !args.print {
                return Err(pushes_key(&args.target, &[door]));
            }
            let facts = gather(cli, target, &world, door).await?;
            if args.print {
                return print(door, &named(&facts, world.regions()), &args.target);
            }
            if plugin {
                let session = plugin::start(&world, &wish(door, &facts)).await?;
                return Ok(Way::Plugin(Box::new(session)));
            }
            enter(cli, &world, wish(door, &facts)).await?
        }
        None => {
            let (doors, facts) = choose(cli, target, &world).await?;
            let (last, others) = doors.split_last().ok_or_else(|| Failure::failed("find a way in", "none", ""))?;
            if args.print {
                return print(doors[0].0, &named(&facts, world.regions()), &args.target);
            }
            let mut opened = None;
            for (door, why) in others {
                through(*door, why);
                match enter(cli, &world, wish(*door, &facts)).await {
                    Ok(found) => {
                        opened = Some(found);
                        break;
                    }
                    Err(failure) => output::note(&format!("port22: {failure}")),
                }
            }
            if let Some(opened) = opened {
                opened
            } else {
                through(last.0, &last.1);
                enter(cli, &world, wish(last.0, &facts)).await?
            }
        }
    };
    Ok(Way::Terminal(opened, tty))
}

/// Says which door is taken, and why.
fn through(door: Door, why: &str) {
    output::note(&format!("port22: through {} ({why})", name(door)));
}

/// Opens a door, within a time limit.
async fn enter(cli: &Cli, world: &Arc<RealWorld>, wish: Wish) -> Result<Opened, Failure> {
    let limit = Duration::from_secs(cli.global.timeout.unwrap_or(OPENING));
    let (door, target) = (wish.door, wish.facts.target.name.clone());
    timeout(limit, world.terminal(wish)).await.unwrap_or_else(|_| {
        let doing = format!("open {} of {target}", name(door));
        Err(Failure::failed(doing, "it did not open in time", format!("port22 diagnose {target} tells why")))
    })
}

/// The safety gate of `--read-only`: these ways in push a key, and no other is open.
fn pushes_key(target: &str, doors: &[Door]) -> Failure {
    let (names, push): (Vec<_>, _) =
        (doors.iter().map(|door| name(*door)).collect(), if doors.len() == 1 { "pushes" } else { "push" });
    Failure::new(
        FailureKind::Refused,
        format!("open a terminal on {target}"),
        format!("read-only: {} {push} a key", names.join(", ")),
        "leave out --read-only, or take --door ssm or --door ssh",
    )
}

/// Whether a name is an id that Session Manager takes as it is: an instance's, or a managed node's.
fn is_node(target: &Target) -> bool {
    target.kind() == TargetKind::InstanceId || target.name.starts_with("mi-")
}

/// The facts, with what an id in the only Region says of itself when nobody was asked.
fn named(facts: &Facts, regions: &[String]) -> Facts {
    let mut facts = facts.clone();
    if let ([region], true, false) = (regions, is_node(&facts.target), facts.aws.instance.is_asked()) {
        let instance = Instance { id: facts.target.name.clone(), region: region.clone(), ..Instance::default() };
        facts.aws.instance = Fact::known(instance, "the command line");
    }
    facts
}

/// The command line of a door: the plainest on standard output, the others beside it.
fn print(door: Door, facts: &Facts, target: &str) -> Result<Way, Failure> {
    let lines = door_commands::lines(door.id(), facts);
    let Some(first) = lines.first() else {
        let why = facts.aws.instance.why_not().map_or_else(|| "the instance is not known".to_owned(), |why| why.text());
        let doing = format!("write the command line for {} of {target}", name(door));
        return Err(Failure::usage(doing, why, "give the instance id, and its Region with --region"));
    };
    output::print(&first.command);
    output::note(&format!("port22: {}", first.about));
    for line in lines.iter().skip(1) {
        output::note(&format!("port22: or, {}:\n{}", line.about, line.command));
    }
    Ok(Way::Printed)
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
    if door == Door::Ssm && is_node(&target) && world.regions().len() == 1 {
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

/// Doors to try, each with its reason: the cheapest open one first. By a diagnosis that ends as soon as that is known.
async fn choose(
    cli: &Cli,
    target: Target,
    world: &Arc<RealWorld>,
) -> Result<(Vec<(Door, String)>, Arc<Facts>), Failure> {
    let name_of = target.name.clone();
    let request = Request { inside: false, ..input::request(target, &cli.global) };
    let (out, mut snapshots) = unbounded_channel::<Snapshot>();
    let cancel = CancellationToken::new();
    let world: Arc<dyn World> = Arc::clone(world) as Arc<dyn World>;
    let running = diagnose::run(world, request, RunId(1), out, cancel.clone());
    let read_only = cli.global.read_only;
    let watching = async {
        while let Some(snapshot) = snapshots.recv().await {
            if is_settled(&snapshot.diagnosis, read_only) {
                cancel.cancel();
                return Some(snapshot);
            }
        }
        None
    };
    let (last, early) = tokio::join!(running, watching);
    let snapshot = early.unwrap_or(last);
    if let Some(failure) = input::unknown_target(&snapshot.facts) {
        return Err(failure);
    }
    let doors = to_try(&snapshot.diagnosis, read_only);
    if doors.is_empty() { Err(nothing_open(&name_of, &snapshot.diagnosis)) } else { Ok((doors, snapshot.facts)) }
}

/// The doors that give a terminal, in the order of their cost; read-only, those that push a key left out.
fn with_terminal(diagnosis: &Diagnosis, read_only: bool) -> Vec<(Door, &diagnosis::Door)> {
    let known = diagnosis.doors.iter().filter_map(|d| Some((Door::of(&d.id)?, d)));
    known.filter(|(door, _)| !(read_only && door.pushes_key())).collect()
}

/// Whether the cheapest open door is known: no cheaper one may still turn out to be open.
fn is_settled(diagnosis: &Diagnosis, read_only: bool) -> bool {
    let doors = with_terminal(diagnosis, read_only);
    doors.iter().find(|(_, d)| d.state != DoorState::Closed).is_some_and(|(_, d)| d.state == DoorState::Open)
}

/// The open doors; else the first that is not known to be closed.
fn to_try(diagnosis: &Diagnosis, read_only: bool) -> Vec<(Door, String)> {
    let doors = with_terminal(diagnosis, read_only);
    let open: Vec<_> = doors.iter().filter(|(_, d)| d.state == DoorState::Open).collect();
    if !open.is_empty() {
        return open.iter().map(|(door, d)| (*door, d.why.clone())).collect();
    }
    let unknown = doors.iter().find(|(_, d)| d.state == DoorState::Unknown);
    unknown.map(|(door, d)| (*door, format!("not proven open: {}", d.why))).into_iter().collect()
}

/// Why there is no door to try: those that are not closed push a key, or all are closed.
fn nothing_open(name: &str, diagnosis: &Diagnosis) -> Failure {
    let all = with_terminal(diagnosis, false);
    // Only a read-only session leaves out doors that are not closed.
    let left_out: Vec<Door> = all.iter().filter(|(_, d)| d.state != DoorState::Closed).map(|(door, _)| *door).collect();
    if !left_out.is_empty() {
        return pushes_key(name, &left_out);
    }
    let all: Vec<String> = all.iter().map(|(_, d)| format!("{}: {}", d.id, d.why)).collect();
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
            .map(|(id, state)| diagnosis::Door {
                id: id.to_owned(),
                state,
                why: String::new(),
                cost: String::new(),
                command: None,
            })
            .to_vec();
        out
    }

    #[test]
    fn the_cheapest_open_door_that_gives_a_terminal_is_taken() {
        use DoorState::{Closed, Open, Unknown};
        let with =
            |ssh, ssm, serial, rescue| diagnosis([("ssh", ssh), ("ssm", ssm), ("serial", serial), ("rescue", rescue)]);
        let tried =
            |d: &Diagnosis| (is_settled(d, false), to_try(d, false).iter().map(|(door, _)| *door).collect::<Vec<_>>());
        // SSH may still turn out to work.
        assert_eq!(tried(&with(Unknown, Open, Closed, Open)), (false, vec![Door::Ssm]));
        assert_eq!(tried(&with(Closed, Open, Closed, Open)), (true, vec![Door::Ssm]));
        assert_eq!(tried(&with(Open, Open, Open, Open)), (true, vec![Door::Ssh, Door::Ssm, Door::Serial]));
        assert_eq!(tried(&with(Closed, Closed, Unknown, Open)), (false, vec![Door::Serial]));
        let none = with(Closed, Closed, Closed, Open);
        assert_eq!(tried(&none), (false, Vec::new()));
        assert!(nothing_open("web-1", &none).reason.contains("every door is closed\n  ssh: "));
    }
    #[test]
    fn read_only_leaves_out_what_pushes_a_key() {
        use DoorState::{Closed, Open, Unknown};
        let with = |ssh, ssm, eic, serial| diagnosis([("ssh", ssh), ("ssm", ssm), ("eic", eic), ("serial", serial)]);
        let tried = |d: &Diagnosis| to_try(d, true).iter().map(|(door, _)| *door).collect::<Vec<_>>();
        assert_eq!(tried(&with(Open, Open, Open, Open)), [Door::Ssh, Door::Ssm]);
        // A way in that may not be taken is neither waited for nor tried.
        assert!(is_settled(&diagnosis([("eic", Unknown), ("ssm", Open), ("ssh", Closed), ("serial", Open)]), true));
        let pushing = with(Closed, Closed, Open, Unknown);
        assert_eq!((tried(&pushing), is_settled(&pushing, true)), (Vec::new(), false));
        let refused = nothing_open("web-1", &pushing);
        assert_eq!(refused.kind, FailureKind::Refused);
        assert!(refused.reason.contains("EC2 Instance Connect, the serial console push a key"), "{refused}");
        assert_eq!(nothing_open("web-1", &with(Closed, Closed, Closed, Closed)).kind, FailureKind::Failed);
    }

    #[test]
    fn a_managed_node_in_the_only_region_has_a_command_line() {
        let target = Target { name: "mi-0123456789abcdef0".to_owned(), ..Target::default() };
        let facts = named(&Facts { target, ..Facts::default() }, &["eu-west-1".to_owned()]);
        let lines = door_commands::lines(Door::Ssm.id(), &facts);
        let line = lines.first().map(|line| line.command.as_str()).unwrap_or_default();
        assert!(line.contains("mi-0123456789abcdef0") && line.contains("eu-west-1"), "{line}");
    }
}
