//! Runs of Automation: AWSSupport-TroubleshootSSH and what it calls, step by step, as time goes on.
//!
//! Used by `world` (which lets time pass) and by `api::runbook` (which starts, shows and stops runs). Must not do I/O.
//! Sources: Systems Manager Automation runbook reference, AWSSupport-TroubleshootSSH and AWSSupport-ExecuteEC2Rescue.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use super::ids;
use super::managed::{self, Presence};
use super::mend::ec2rescue;
use super::scenario::{Daemon, HostKeys, Unit};
use super::world::{Root, Snapshot, State, World};

/// The runbook that can be started here.
pub(super) const TROUBLESHOOT: &str = "AWSSupport-TroubleshootSSH";
/// The runbook that it calls for an instance without an agent.
pub(super) const RESCUE: &str = "AWSSupport-ExecuteEC2Rescue";

/// One step's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    AssertManaged,
    Install,
    Troubleshoot,
    AssertAllowOffline,
    AssertFix,
    AssertSubnet,
    Offline,
    AssertNotEncrypted,
    Helper,
    Stop,
    Backup,
    Detach,
    Rescue,
    Attach,
    Restore,
    CleanUp,
}

/// The steps of each runbook, in the document's order.
pub(super) fn steps_of(document: &str) -> &'static [Act] {
    match document {
        TROUBLESHOOT => &[
            Act::AssertManaged,
            Act::Install,
            Act::Troubleshoot,
            Act::AssertAllowOffline,
            Act::AssertFix,
            Act::AssertSubnet,
            Act::Offline,
        ],
        RESCUE => &[
            Act::AssertNotEncrypted,
            Act::Helper,
            Act::Stop,
            Act::Backup,
            Act::Detach,
            Act::Rescue,
            Act::Attach,
            Act::Restore,
            Act::CleanUp,
        ],
        _ => &[],
    }
}

impl Act {
    /// The step's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::AssertManaged => "assertInstanceIsManaged",
            Self::Install => "installEC2Rescue",
            Self::Troubleshoot => "troubleshootSSH",
            Self::AssertAllowOffline => "assertAllowOffline",
            Self::AssertFix => "assertActionIsFixAll",
            Self::AssertSubnet => "assertSubnetId",
            Self::Offline => "troubleshootSSHOffline",
            Self::AssertNotEncrypted => "assertRootVolumeIsNotEncrypted",
            Self::Helper => "launchEC2RescueInstance",
            Self::Stop => "stopInstance",
            Self::Backup => "createBackupImage",
            Self::Detach => "detachInstanceRootVolume",
            Self::Rescue => "runEC2Rescue",
            Self::Attach => "reattachInstanceRootVolume",
            Self::Restore => "restoreInstanceInitialState",
            Self::CleanUp => "deleteEC2RescueStack",
        }
    }

    /// What kind of step it is.
    pub fn action(self) -> &'static str {
        match self {
            Self::AssertManaged
            | Self::AssertAllowOffline
            | Self::AssertFix
            | Self::AssertSubnet
            | Self::AssertNotEncrypted => "aws:assertAwsResourceProperty",
            Self::Install | Self::Troubleshoot | Self::Rescue => "aws:runCommand",
            Self::Offline => "aws:executeAutomation",
            Self::Helper => "aws:createStack",
            Self::Stop | Self::Restore => "aws:changeInstanceState",
            Self::Backup => "aws:createImage",
            Self::Detach | Self::Attach => "aws:executeAwsApi",
            Self::CleanUp => "aws:deleteStack",
        }
    }

    fn lasts(self, transition: Duration) -> Duration {
        if self.action() == "aws:assertAwsResourceProperty" { transition / 10 } else { transition }
    }
}

/// A step that was begun.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub act: Act,
    pub status: &'static str,
    pub begun: SystemTime,
    pub ended: Option<SystemTime>,
    pub message: Option<String>,
    pub output: Option<String>,
}

/// One run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub id: String,
    /// Token of the call that started it; empty for one that another run started.
    pub token: String,
    pub document: &'static str,
    pub instance: String,
    pub parameters: BTreeMap<String, Vec<String>>,
    /// The run that started it.
    pub parent: Option<String>,
    pub begun: SystemTime,
    pub ended: Option<SystemTime>,
    pub status: &'static str,
    pub message: Option<String>,
    pub steps: Vec<Step>,
    /// When the current step is over.
    until: Instant,
    /// The instance ran when this run began.
    ran: bool,
}

impl Run {
    /// True while it goes on.
    pub fn goes_on(&self) -> bool {
        self.ended.is_none()
    }

    /// What was given for a parameter.
    pub fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).and_then(|values| values.first()).map_or("", String::as_str)
    }

    fn end(&mut self, status: &'static str) {
        self.status = status;
        self.ended = Some(SystemTime::now());
    }
}

/// What comes after a step.
enum Then {
    Go(Act),
    /// The step has failed; the document goes on with another one, if it names one.
    Failed(String, Option<Act>),
    /// Not over yet.
    Wait,
    End,
}

/// Starts a run; its id.
pub(super) fn start(
    world: &mut World,
    document: &'static str,
    instance: &str,
    parameters: BTreeMap<String, Vec<String>>,
    token: &str,
    parent: Option<&str>,
) -> String {
    let name = world.fresh_id("run");
    let digits = ids::hex(&ids::bytes(world.seed, "automation", &name));
    let id =
        format!("{}-{}-4{}-8{}-{}", &digits[..8], &digits[8..12], &digits[13..16], &digits[17..20], &digits[20..32]);
    let ran = world.instance(instance).is_some_and(|known| known.state == State::Running);
    let run = Run {
        id: id.clone(),
        token: token.to_owned(),
        document,
        instance: instance.to_owned(),
        parameters,
        parent: parent.map(str::to_owned),
        begun: SystemTime::now(),
        ended: None,
        status: "InProgress",
        message: None,
        steps: Vec::new(),
        until: Instant::now(),
        ran,
    };
    world.automations.push(run);
    let index = world.automations.len() - 1;
    if let Some(first) = steps_of(document).first() {
        begin(world, index, *first);
    }
    id
}

/// Cancels a run and what it has started: what was done stays as it is.
pub(super) fn cancel(world: &mut World, id: &str) {
    let now = SystemTime::now();
    for run in &mut world.automations {
        if run.goes_on() && (run.id == id || run.parent.as_deref() == Some(id)) {
            if let Some(step) = run.steps.last_mut().filter(|step| step.ended.is_none()) {
                (step.status, step.ended) = ("Cancelled", Some(now));
            }
            run.end("Cancelled");
        }
    }
}

/// Carries out what time has brought, and tells when the next step ends.
pub(super) fn settle(world: &mut World, now: Instant) -> Option<Instant> {
    let mut index = 0;
    // A run may start another one, which stands behind it.
    while index < world.automations.len() {
        while world.automations[index].goes_on() && world.automations[index].until <= now {
            finish(world, index);
        }
        index += 1;
    }
    world.automations.iter().filter(|run| run.goes_on()).map(|run| run.until).min()
}

fn begin(world: &mut World, index: usize, act: Act) {
    let transition = world.transition;
    let run = &mut world.automations[index];
    run.until = Instant::now() + act.lasts(transition);
    let begun = SystemTime::now();
    run.steps.push(Step { act, status: "InProgress", begun, ended: None, message: None, output: None });
    let (id, instance) = (run.id.clone(), run.instance.clone());
    match act {
        Act::Stop if run.ran => world.stop(&instance, false, Instant::now()),
        Act::Offline => {
            let given = BTreeMap::from([
                ("UnreachableInstanceId".to_owned(), vec![instance.clone()]),
                ("SubnetId".to_owned(), vec!["SelectedInstanceSubnet".to_owned()]),
            ]);
            start(world, RESCUE, &instance, given, "", Some(&id));
        }
        _ => {}
    }
}

/// Ends the current step, and begins the next.
fn finish(world: &mut World, index: usize) {
    let (act, instance) = {
        let run = &world.automations[index];
        let Some(step) = run.steps.last() else { return };
        (step.act, run.instance.clone())
    };
    let (then, output) = perform(world, index, act, &instance);
    let transition = world.transition;
    let run = &mut world.automations[index];
    if matches!(then, Then::Wait) {
        run.until = Instant::now() + (transition / 10).max(Duration::from_millis(5));
        return;
    }
    let next = match then {
        Then::Go(next) => Some(next),
        Then::Failed(_, next) => next,
        Then::End | Then::Wait => None,
    };
    if let Some(step) = run.steps.last_mut() {
        step.ended = Some(SystemTime::now());
        step.output = output;
        match &then {
            Then::Failed(message, _) => (step.status, step.message) = ("Failed", Some(message.clone())),
            _ => step.status = "Success",
        }
    }
    match (next, then) {
        (Some(next), _) => begin(world, index, next),
        (None, Then::Failed(message, _)) => {
            run.message = Some(message);
            run.end("Failed");
        }
        (None, _) => run.end("Success"),
    }
}

fn failure(doing: &str, why: &str) -> String {
    format!(
        "Step fails when it is {doing}. {why} Please refer to Automation Service Troubleshooting Guide for more diagnosis details."
    )
}

fn asserted(good: bool, seen: &str, wanted: &str, next: Act, otherwise: Option<Act>) -> Then {
    if good {
        return Then::Go(next);
    }
    let why = format!(
        "Property value '{seen}' from the API output is not in the desired values. Desired values: ['{wanted}']."
    );
    Then::Failed(failure("Execute/Cancelling action", &why), otherwise)
}

/// What a step does when its time is over, and what it prints.
fn perform(world: &mut World, index: usize, act: Act, id: &str) -> (Then, Option<String>) {
    let run = &world.automations[index];
    let fix = run.parameter("Action").eq_ignore_ascii_case("FixAll");
    let state = world.instance(id).map(|known| known.state);
    let presence = world.instance(id).map_or(Presence::Absent, |known| managed::presence(world, known));
    let encrypted = world.instance(id).is_some_and(|known| known.machine.encrypted);
    let plain = |then: Then| (then, None);
    match act {
        Act::AssertManaged => {
            let seen = if presence == Presence::Online { "Online" } else { "null" };
            let online = presence == Presence::Online;
            plain(asserted(online, seen, "Online", Act::Install, Some(Act::AssertAllowOffline)))
        }
        Act::Install | Act::Troubleshoot if presence != Presence::Online => {
            let why =
                format!("Instance {id} is not in a valid state: the command could not be delivered (Undeliverable).");
            plain(Then::Failed(failure("Execute/Cancelling action", &why), None))
        }
        Act::Install => {
            // The package is built for these alone (EC2Rescue for Linux, "Prerequisites").
            let family = world.instance(id).and_then(|known| world.image_of(known)).map(|i| i.spec.family.clone());
            let family = family.unwrap_or_default();
            if ["al2023", "al2", "ubuntu", "rhel", "suse", "centos"].contains(&family.as_str()) {
                return plain(Then::Go(Act::Troubleshoot));
            }
            let why = "Command returns Failed: Failed to find platform: AWSEC2Rescue-Linux has no package for this operating system.";
            plain(Then::Failed(failure("Polling action status", why), None))
        }
        Act::Troubleshoot => (Then::End, Some(ec2rescue::run(world, id, fix))),
        Act::AssertAllowOffline => {
            let given = run.parameter("AllowOffline").to_owned();
            plain(asserted(given == "True", &given, "True", Act::AssertFix, None))
        }
        Act::AssertFix => {
            let given = run.parameter("Action").to_owned();
            plain(asserted(fix, &given, "FixAll", Act::AssertSubnet, None))
        }
        Act::AssertSubnet => plain(Then::Go(Act::Offline)),
        Act::Offline => {
            let own = run.id.clone();
            let child = world.automations.iter().find(|known| known.parent.as_deref() == Some(own.as_str()));
            match child {
                Some(child) if child.goes_on() => plain(Then::Wait),
                Some(child) if child.status == "Success" => {
                    let output = child.steps.iter().find(|step| step.act == Act::Rescue).and_then(|s| s.output.clone());
                    (Then::End, output)
                }
                Some(child) => {
                    let said = child.message.clone().unwrap_or_default();
                    let why =
                        format!("Failed to run automation with executionId: {} {} : {said}", child.id, child.status);
                    plain(Then::Failed(failure("Polling action status", &why), None))
                }
                None => plain(Then::Failed(failure("Execute/Cancelling action", "No automation was started."), None)),
            }
        }
        Act::AssertNotEncrypted => {
            plain(asserted(!encrypted, if encrypted { "True" } else { "False" }, "False", Act::Helper, None))
        }
        _ if matches!(state, None | Some(State::Terminated)) => {
            let why = format!("The instance ID '{id}' is in state terminated.");
            plain(Then::Failed(failure("Execute/Cancelling action", &why), None))
        }
        Act::Helper => plain(Then::Go(Act::Stop)),
        Act::Stop => plain(if state == Some(State::Stopped) { Then::Go(Act::Backup) } else { Then::Wait }),
        Act::Backup => {
            let (snapshot, image) = (world.fresh_id("snap"), world.fresh_id("ami"));
            let volume = world.instance(id).map(|known| known.volume.clone()).unwrap_or_default();
            let description = format!("Created by CreateImage({id}) for {image}");
            world.snapshots.push(Snapshot { id: snapshot, volume, description, begun: SystemTime::now() });
            (Then::Go(Act::Detach), Some(image))
        }
        Act::Detach => {
            set_root(world, id, Root::Detached);
            plain(Then::Go(Act::Rescue))
        }
        Act::Rescue => (Then::Go(Act::Attach), Some(ec2rescue::run(world, id, true))),
        Act::Attach => {
            set_root(world, id, Root::Attached);
            plain(Then::Go(Act::Restore))
        }
        Act::Restore => {
            if run.ran && state == Some(State::Stopped) {
                world.start(id, Instant::now());
                boot(world, id);
            }
            plain(Then::Go(Act::CleanUp))
        }
        Act::CleanUp => plain(Then::End),
    }
}

fn set_root(world: &mut World, id: &str, root: Root) {
    if let Some(instance) = world.instance_mut(id) {
        instance.root = root;
    }
}

/// sshd starts at a boot where its unit is enabled and nothing is wrong with what it reads.
fn boot(world: &mut World, id: &str) {
    let Some(instance) = world.instance_mut(id) else { return };
    let os = &instance.os;
    let enabled = matches!(os.unit, Unit::Active | Unit::Inactive | Unit::Failed);
    let good = os.config_error.is_none() && !os.no_privsep && os.host_keys == HostKeys::Good;
    if enabled && good && os.port_taken_by.is_none() && instance.sshd.daemon == Daemon::Down {
        (instance.os.unit, instance.sshd.daemon) = (Unit::Active, Daemon::Up);
    }
}
