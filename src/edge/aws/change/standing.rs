//! What stands around a stop: stop protection, the Auto Scaling group; and the reboot.
//!
//! Must not resume a process or end a standby that others began.

use super::dry;
use crate::core::plan::{Action, Gate, PowerAction};
use crate::edge::aws::client::Aws;
use crate::edge::aws::{error, scaling};
use crate::engine::failure::Failure;
use crate::engine::world::{Performed, Settled, StepContext};
use aws_sdk_ec2::types::{AttributeBooleanValue, InstanceAttributeName};
use std::time::Duration;
use tokio::time::Instant;

/// How long a change of standby may take: connections are drained by load balancers, lifecycle hooks wait.
const LIMIT: Duration = Duration::from_mins(10);
/// Pause between looks at the member.
const PAUSE: Duration = Duration::from_secs(3);

impl Aws {
    /// Performs a deed of power.
    pub(super) async fn power(&self, action: &PowerAction, step: &StepContext) -> Result<Performed, Failure> {
        match action {
            PowerAction::Reboot { region, instance } => self.reboot(region, instance, step).await,
            PowerAction::Hibernate { region, instance } => self.hibernate(region, instance, step).await,
            PowerAction::StartAgain { region, instance } => {
                let done = self.set_running(region, instance, true, step).await?;
                // It ran before the repair: there is nothing to take back.
                Ok(Performed { undo: None, changed: false, ..done })
            }
            PowerAction::StopProtection { region, instance, on, back, reopens } => {
                let done = self.protect(region, instance, *on, *back, step).await?;
                Ok(reopened(done, action, *reopens))
            }
            PowerAction::EnterStandby { region, instance, group } => {
                self.enter_standby(region, instance, group, step).await
            }
            PowerAction::ExitStandby { region, instance, group, reopens } => {
                let done = self.exit_standby(region, instance, group, step).await?;
                Ok(reopened(done, action, *reopens))
            }
            PowerAction::SuspendProcesses { region, group, processes } => {
                self.suspend(region, group, processes, step).await
            }
            PowerAction::ResumeProcesses { region, group, processes, reopens } => {
                let done = self.resume(region, group, processes).await?;
                Ok(reopened(done, action, *reopens))
            }
        }
    }

    /// Looks what became of a deed of power.
    pub(super) async fn settle_deed(&self, action: &PowerAction) -> Settled {
        let nothing_left =
            || Settled::Done(Performed { text: "it leaves nothing behind".to_owned(), ..Performed::default() });
        let found = match action {
            PowerAction::Hibernate { region, instance } => return self.settle_power(region, instance, false).await,
            PowerAction::Reboot { .. }
            | PowerAction::StartAgain { .. }
            | PowerAction::StopProtection { back: true, reopens: false, .. }
            | PowerAction::ExitStandby { reopens: false, .. }
            | PowerAction::ResumeProcesses { reopens: false, .. } => return nothing_left(),
            PowerAction::ExitStandby { region, instance, group, .. } => {
                let now = self.lifecycle(region, instance, group).await;
                now.map(|now| (now != "Standby").then(|| reopened(Performed::default(), action, true)))
            }
            PowerAction::ResumeProcesses { region, group, processes, .. } => {
                let now = self.suspended(region, group, processes).await;
                now.map(|now| (now.len() < processes.len()).then(|| reopened(Performed::default(), action, true)))
            }
            PowerAction::StopProtection { region, instance, on, .. } => self
                .protected(region, instance)
                .await
                .map(|now| (now == *on).then(|| protection_set(region, instance, *on, false))),
            PowerAction::EnterStandby { region, instance, group } => {
                self.lifecycle(region, instance, group).await.map(|now| {
                    matches!(now.as_str(), "Standby" | "EnteringStandby").then(|| in_standby(region, instance, group))
                })
            }
            PowerAction::SuspendProcesses { region, group, processes } => self
                .suspended(region, group, processes)
                .await
                .map(|now| (now.len() == processes.len()).then(|| processes_suspended(region, group, processes))),
        };
        match found {
            Ok(Some(done)) => Settled::Done(done),
            Ok(None) => Settled::NotDone,
            Err(failure) => Settled::CannotTell(failure.reason),
        }
    }

    /// Whether the caller may do a deed of power; `None` where the API does not tell (Auto Scaling).
    pub(super) async fn dry_run_power(&self, action: &PowerAction) -> Option<Gate> {
        let (name, answer) = match action {
            PowerAction::Reboot { region, instance } => {
                let name = "ec2:RebootInstances";
                let call = self.ec2_once(region).reboot_instances().instance_ids(instance).dry_run(true);
                (name, dry(call.send().await.map(drop), name))
            }
            PowerAction::Hibernate { region, instance } => {
                let name = "ec2:StopInstances";
                let call = self.ec2_once(region).stop_instances().instance_ids(instance).hibernate(true);
                (name, dry(call.dry_run(true).send().await.map(drop), name))
            }
            PowerAction::StartAgain { region, instance } => {
                let name = "ec2:StartInstances";
                let call = self.ec2_once(region).start_instances().instance_ids(instance).dry_run(true);
                (name, dry(call.send().await.map(drop), name))
            }
            PowerAction::StopProtection { region, instance, on, back: false, .. } => {
                let name = "ec2:ModifyInstanceAttribute";
                let value = AttributeBooleanValue::builder().value(*on).build();
                let call = self.ec2_once(region).modify_instance_attribute().instance_id(instance);
                (name, dry(call.disable_api_stop(value).dry_run(true).send().await.map(drop), name))
            }
            _ => return None,
        };
        Some(answer.gate(name))
    }

    async fn reboot(&self, region: &str, instance: &str, step: &StepContext) -> Result<Performed, Failure> {
        let doing = format!("reboot {instance} in {region}");
        let state = self.state_of(region, instance).await?;
        if state != "running" {
            let reason = format!("the instance is {state}: only a running one is rebooted");
            return Err(Failure::failed(doing, reason, "run the diagnosis again for a fresh plan"));
        }
        match self.ec2_once(region).reboot_instances().instance_ids(instance).send().await {
            Ok(_) => {
                step.say("a system that does not shut down by itself is reset after some minutes");
                Ok(Performed { text: format!("{instance} was asked to reboot"), ..Performed::default() })
            }
            Err(e) => Err(error::failure(&e, "ec2:RebootInstances", &doing)),
        }
    }

    async fn protected(&self, region: &str, instance: &str) -> Result<bool, Failure> {
        let doing = format!("read the stop protection of {instance} in {region}");
        let call = self.ec2(region).describe_instance_attribute().instance_id(instance);
        let answer = call.attribute(InstanceAttributeName::DisableApiStop).send().await;
        let answer = answer.map_err(|e| error::failure(&e, "ec2:DescribeInstanceAttribute", &doing))?;
        let value = answer.disable_api_stop().and_then(AttributeBooleanValue::value);
        value.ok_or_else(|| Failure::failed(doing, "the answer does not name it", "look at it in the console"))
    }

    async fn protect(
        &self,
        region: &str,
        instance: &str,
        on: bool,
        back: bool,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let doing = format!("{} the stop protection of {instance} in {region}", if on { "set" } else { "lift" });
        if self.protected(region, instance).await? == on {
            return Ok(Performed { changed: step.again && !back, ..protection_set(region, instance, on, back) });
        }
        let value = AttributeBooleanValue::builder().value(on).build();
        let call = self.ec2_once(region).modify_instance_attribute().instance_id(instance).disable_api_stop(value);
        match call.send().await {
            Ok(_) => Ok(protection_set(region, instance, on, back)),
            Err(e) => Err(error::failure(&e, "ec2:ModifyInstanceAttribute", &doing)),
        }
    }

    /// State of a member in its group; fails when it is in another one or in none.
    async fn lifecycle(&self, region: &str, instance: &str, group: &str) -> Result<String, Failure> {
        let doing = format!("read the state of {instance} in the Auto Scaling group {group}");
        match scaling::member(self, region, instance, &doing).await {
            Ok(Some(member)) if member.group == group => Ok(member.lifecycle),
            Ok(_) => Err(Failure::failed(doing, "it is no member of this group any more", "run the diagnosis again")),
            Err(why) => Err(Failure { outcome_unknown: false, ..scaling::failure(why, &doing) }),
        }
    }

    async fn wait_lifecycle(
        &self,
        (region, instance, group): (&str, &str, &str),
        wanted: &str,
        doing: &str,
        step: &StepContext,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        let mut told = String::new();
        loop {
            let now = self.lifecycle(region, instance, group).await;
            let seen = match now {
                Ok(now) if now == wanted => return Ok(()),
                Ok(now) if now.starts_with("Terminat") => {
                    let reason = format!("it is {now}: the group takes it away");
                    return Err(Failure::failed(doing, reason, "look at the group's activity history in the console"));
                }
                Ok(now) => now,
                Err(failure) => failure.reason,
            };
            if seen != told {
                step.say(format!("{instance} is {seen} in {group}"));
                told.clone_from(&seen);
            }
            if began.elapsed() > LIMIT {
                return Err(Failure {
                    // It was asked for, and may still come.
                    outcome_unknown: true,
                    ..Failure::failed(
                        doing,
                        format!("it is not {wanted} after 10 minutes ({seen})"),
                        "look at the group's activity history: a load balancer or a lifecycle hook may hold it",
                    )
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn enter_standby(
        &self,
        region: &str,
        instance: &str,
        group: &str,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let doing = format!("put {instance} in standby in {group}");
        let place = (region, instance, group);
        match self.lifecycle(region, instance, group).await?.as_str() {
            "Standby" => return Ok(Performed { changed: step.again, ..in_standby(region, instance, group) }),
            "EnteringStandby" => {
                self.wait_lifecycle(place, "Standby", &doing, step).await?;
                return Ok(Performed { changed: step.again, ..in_standby(region, instance, group) });
            }
            "InService" => {}
            other => {
                let reason = format!("it is {other}, and was InService when the plan was made");
                return Err(Failure::failed(doing, reason, "run the diagnosis again for a fresh plan"));
            }
        }
        scaling::enter_standby(self, region, instance, group, &doing).await?;
        self.wait_lifecycle(place, "Standby", &doing, step).await.map_err(Failure::after_asking)?;
        Ok(in_standby(region, instance, group))
    }

    async fn exit_standby(
        &self,
        region: &str,
        instance: &str,
        group: &str,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let doing = format!("let {instance} serve again in {group}");
        let text = format!("{instance} serves in {group}");
        let state = self.lifecycle(region, instance, group).await?;
        if state == "InService" {
            return Ok(Performed { text, ..Performed::default() });
        }
        if matches!(state.as_str(), "EnteringStandby" | "Standby") {
            self.wait_lifecycle((region, instance, group), "Standby", &doing, step).await?;
            scaling::exit_standby(self, region, instance, group, &doing).await?;
        }
        let back = self.wait_lifecycle((region, instance, group), "InService", &doing, step).await;
        back.map_err(Failure::after_asking)?;
        Ok(Performed { text, ..Performed::default() })
    }

    /// Those of these processes that are suspended now.
    async fn suspended(&self, region: &str, group: &str, processes: &[String]) -> Result<Vec<String>, Failure> {
        let doing = format!("read the Auto Scaling group {group} in {region}");
        match scaling::group(self, region, group, &doing).await {
            Ok(Some(now)) => Ok(processes.iter().filter(|p| now.suspended.contains(p)).cloned().collect()),
            Ok(None) => Err(Failure::failed(doing, "there is no such group any more", "run the diagnosis again")),
            Err(why) => Err(Failure { outcome_unknown: false, ..scaling::failure(why, &doing) }),
        }
    }

    async fn suspend(
        &self,
        region: &str,
        group: &str,
        processes: &[String],
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let doing = format!("suspend {} of {group}", processes.join(", "));
        let already = self.suspended(region, group, processes).await?;
        let missing: Vec<String> = processes.iter().filter(|p| !already.contains(p)).cloned().collect();
        if missing.is_empty() {
            return Ok(Performed { changed: step.again, ..processes_suspended(region, group, processes) });
        }
        scaling::processes(self, region, group, &missing, true, &doing).await?;
        // What somebody else suspended since the plan was made stays so; after an attempt of ours it is ours.
        let ours = if step.again { processes } else { &missing };
        Ok(processes_suspended(region, group, ours))
    }

    async fn resume(&self, region: &str, group: &str, processes: &[String]) -> Result<Performed, Failure> {
        let doing = format!("resume {} of {group}", processes.join(", "));
        let now = self.suspended(region, group, processes).await?;
        if !now.is_empty() {
            scaling::processes(self, region, group, &now, false, &doing).await?;
        }
        Ok(Performed { text: format!("{} of {group} run", processes.join(", ")), ..Performed::default() })
    }
}

/// What brings an obstacle back that made room for a stop: where an undo stops the instance once more, it must make room
/// again, and is brought back by the undo of the step before the stop.
fn reopened(done: Performed, action: &PowerAction, reopens: bool) -> Performed {
    if !reopens {
        return done;
    }
    let undo = match action.clone() {
        PowerAction::StopProtection { region, instance, on, .. } => {
            PowerAction::StopProtection { region, instance, on: !on, back: false, reopens: false }
        }
        PowerAction::ExitStandby { region, instance, group, .. } => {
            PowerAction::EnterStandby { region, instance, group }
        }
        PowerAction::ResumeProcesses { region, group, processes, .. } => {
            PowerAction::SuspendProcesses { region, group, processes }
        }
        other => other,
    };
    Performed { undo: Some(undo.into()), changed: true, ..done }
}

fn protection_set(region: &str, instance: &str, on: bool, back: bool) -> Performed {
    let (region, instance) = (region.to_owned(), instance.to_owned());
    Performed {
        text: format!("stop protection of {instance} is {}", if on { "on" } else { "off" }),
        undo: (!back)
            .then(|| PowerAction::StopProtection { region, instance, on: !on, back: true, reopens: false }.into()),
        changed: !back,
        ..Performed::default()
    }
}

fn in_standby(region: &str, instance: &str, group: &str) -> Performed {
    let (region, instance, group) = (region.to_owned(), instance.to_owned(), group.to_owned());
    Performed {
        text: format!("{instance} is in standby in {group}"),
        undo: Some(Action::from(PowerAction::ExitStandby { region, instance, group, reopens: false })),
        changed: true,
        ..Performed::default()
    }
}

fn processes_suspended(region: &str, group: &str, processes: &[String]) -> Performed {
    let text = format!("{} of {group} are suspended", processes.join(", "));
    let (region, group, processes) = (region.to_owned(), group.to_owned(), processes.to_vec());
    Performed {
        text,
        undo: Some(Action::from(PowerAction::ResumeProcesses { region, group, processes, reopens: false })),
        changed: true,
        ..Performed::default()
    }
}
