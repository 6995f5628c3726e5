//! After a repair: the checks that raised the cause run again, and the login where the plan promises one.
//!
//! Must not change anything, and must not call a repair good that was not seen to be.

use super::Means;
use crate::core::cause::Certainty;
use crate::core::check::Verdict;
use crate::core::diagnosis::Overall;
use crate::core::facts::wire::{SshServer, Tcp};
use crate::core::plan::{Action, Plan, PowerAction};
use crate::core::rules;
use crate::core::target::TargetKind;
use crate::engine::diagnose::{self, Request};
use crate::engine::event::{RepairEvent, RepairOutcome, Snapshot, StepState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often the failed checks are run again while a change spreads (security groups take seconds).
const ATTEMPTS: u32 = 3;
/// Pause between the attempts.
const PAUSE: Duration = Duration::from_secs(2);
/// How long an instance that was started may take until it lets somebody in: boot, cloud-init, sshd.
const BOOT: Duration = Duration::from_mins(4);
/// The same after a reboot: a system that does not shut down by itself is reset only after some minutes (EC2 User Guide,
/// "Reboot your instance").
const REBOOT: Duration = Duration::from_mins(8);
/// The same where no SSH server has greeted yet and nothing is proven to be in the way: a small or busy instance, a file
/// system check, or SELinux that labels all files.
const SLOW_BOOT: Duration = Duration::from_mins(12);
/// Pause between looks at an instance that boots.
const BOOT_PAUSE: Duration = Duration::from_secs(5);

/// Checks about what AWS tells at once and packets follow some seconds later.
const SPREADS: [&str; 6] =
    ["security-group", "nacl-inbound", "nacl-outbound", "route-to-client", "igw-attached", "public-address"];

/// The request that verifies: after a stop the instance has another public address, so it is found by its id.
fn request_for(plan: &Plan, request: &Request) -> Request {
    let mut request = request.clone();
    // The plan names a login that holds afterwards: by id where the address moves, with the port that it is about.
    if let Some(login) = &plan.login {
        request.target.clone_from(login);
    }
    // Whoever agreed to a script that changes something inside has agreed to one that looks at it afterwards.
    request.inside |= plan.steps.iter().filter_map(|s| s.action.as_ref()).any(Action::runs_inside);
    let by_address = matches!(request.target.kind(), TargetKind::Address(_) | TargetKind::Ec2Dns);
    if (plan.downtime || plan.boots()) && by_address && plan.subject.starts_with("i-") {
        request.target.name.clone_from(&plan.subject);
    }
    // Ping is judged only when it is asked about.
    if plan.verify.iter().any(|check| check == "ping-path") {
        request.symptom = Some("ping_failure".to_owned());
    }
    request
}

/// The instance's address of now, where something of the user's still names the one that it had before its stop. The
/// plan has told that the address changes; what it promised is a login.
fn moved_to(after: &Snapshot) -> Option<std::net::IpAddr> {
    let instance = after.facts.instance().filter(|i| i.state == "running")?;
    let dialled = after.facts.address()?;
    let address = instance.best_address()?;
    let through = after.facts.target.jump.is_some()
        || after.facts.local.config.value().is_some_and(|c| c.proxy_jump.is_some() || c.proxy_command.is_some());
    (!through && !instance.addresses().contains(&dialled)).then_some(address)
}

/// Runs the diagnosis again until the checks that raised the cause pass.
pub(super) async fn verify(means: &Means, plan: &Plan) -> (RepairOutcome, Snapshot) {
    let look = plan.steps.iter().rposition(|s| s.action.is_none());
    let tell = |state: StepState| {
        if let Some(index) = look {
            means.tell(RepairEvent::Step { index, state });
        }
    };
    tell(StepState::Running);
    let mut request = request_for(plan, &means.request);
    let began = Instant::now();
    let waits = plan.downtime || plan.boots();
    let boot = if reboots(plan) { REBOOT } else { BOOT };
    let mut attempt = 1;
    loop {
        let (sender, mut receiver) = unbounded_channel::<Snapshot>();
        let diagnosis =
            diagnose::run(Arc::clone(&means.world), request.clone(), means.run, sender, CancellationToken::new());
        let forward = async {
            while let Some(snapshot) = receiver.recv().await {
                means.tell(RepairEvent::Verifying { attempt, snapshot });
            }
        };
        let (after, ()) = tokio::join!(diagnosis, forward);
        let login = after.diagnosis.overall == Overall::Healthy;
        let failing = if login { Vec::new() } else { failing(plan, &after) };
        let boot = if may_come_up(&after) { SLOW_BOOT } else { boot };
        let last = if waits { began.elapsed() >= boot } else { attempt >= ATTEMPTS };
        if login
            || last
            || (failing.is_empty() && !plan.promises_login && !settling(plan, &after) && !booting(plan, &after))
        {
            let outcome = match (failing.is_empty(), login || !plan.promises_login) {
                (true, true) => RepairOutcome::Fixed { login },
                (true, false) => RepairOutcome::NotVerified(still(&after)),
                (false, _) => RepairOutcome::NotVerified(failing.join("; ")),
            };
            tell(match &outcome {
                RepairOutcome::Fixed { login: true } => StepState::Done("the login works".to_owned()),
                RepairOutcome::NotVerified(why) => StepState::Failed(why.clone()),
                _ => StepState::Done("the checks pass".to_owned()),
            });
            return (outcome, not_everywhere_yet(plan, after, &failing, began));
        }
        if plan.downtime && request.target.address.is_none() {
            request.target.address = moved_to(&after);
        }
        attempt += 1;
        tokio::time::sleep(if waits { BOOT_PAUSE } else { PAUSE }).await;
    }
}

/// A change that AWS shows and the packets do not follow yet is named as what it is.
pub(in crate::engine) fn not_everywhere_yet(
    plan: &Plan,
    mut after: Snapshot,
    failing: &[String],
    began: Instant,
) -> Snapshot {
    let since = i64::try_from(began.elapsed().as_secs()).unwrap_or(i64::MAX);
    // Something else that is proven to block explains it better.
    let as_before = settling(plan, &after) && after.diagnosis.causes.iter().all(|c| c.certainty < Certainty::Proven);
    if let Some(finding) = rules::looking::not_yet_effective(0, since, failing.is_empty(), as_before) {
        let diagnosis = Arc::make_mut(&mut after.diagnosis);
        diagnosis.overall = Overall::CauseFound;
        diagnosis.causes.insert(0, finding);
    }
    after
}

/// The checks of the plan that do not pass, with their reasons.
fn failing(plan: &Plan, after: &Snapshot) -> Vec<String> {
    let checks = &after.diagnosis.checks;
    plan.verify
        .iter()
        .filter(|id| !matches!(rules::verdict(checks, id), Some(Verdict::Pass)))
        .map(|id| checks.iter().find(|c| c.id == **id).map_or_else(|| id.clone(), |c| format!("{id}: {}", c.reason)))
        .collect()
}

/// The rule is seen at once, the packets follow some seconds later.
fn settling(plan: &Plan, after: &Snapshot) -> bool {
    matches!(after.facts.wire.tcp.value(), Some(Tcp::TimedOut { .. }))
        && plan.verify.iter().any(|v| SPREADS.contains(&v.as_str()))
}

/// Whether it is too early to judge: the system is still coming up.
fn booting(plan: &Plan, after: &Snapshot) -> bool {
    plan.boots() && after.diagnosis.causes.iter().any(|c| c.id == "boot-in-progress")
}

/// Whether it runs, is silent so far, and nothing tells surely that it stays so.
fn may_come_up(after: &Snapshot) -> bool {
    after.facts.instance().is_some_and(|i| i.state == "running")
        && !matches!(after.facts.wire.ssh.value(), Some(SshServer::Ready { .. }))
        && after.diagnosis.causes.iter().all(|c| c.certainty < Certainty::Proven || c.id == "boot-in-progress")
}

fn reboots(plan: &Plan) -> bool {
    let reboot = |a: &Action| matches!(a, Action::Power(PowerAction::Reboot { .. }));
    plan.steps.iter().filter_map(|s| s.action.as_ref()).any(reboot)
}

/// Why the promised login could not be seen to work.
fn still(after: &Snapshot) -> String {
    after
        .diagnosis
        .causes
        .first()
        .map_or_else(|| "the login could not be proven".to_owned(), |c| format!("the login still fails: {}", c.id))
}
