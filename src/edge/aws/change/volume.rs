//! Snapshots, helper instances, and volumes that are moved.
//!
//! Must not take a volume from where the plan did not see it, must not end an instance that it did not launch, and must
//! not detach by force.

mod helper;
mod put;

use self::put::Place;
use super::{Dry, TAG, dry};
use crate::core::plan::Action;
use crate::core::plan::volume::{Put, Repair, VolumeAction as Deed};
use crate::edge::aws::client::Aws;
use crate::edge::aws::error;
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::world::{Performed, Settled, StepContext};
use aws_sdk_ec2::types::{Filter, ResourceType, SnapshotState, Tag, TagSpecification};
use std::time::Duration;
use tokio::time::Instant;

/// Tag with the step that made something.
const STEP: &str = "port22-step";
/// Pause between looks at what moves.
const PAUSE: Duration = Duration::from_secs(2);
/// Pause between looks at a snapshot: it takes minutes.
const SNAPSHOT_PAUSE: Duration = Duration::from_secs(5);

fn done(text: impl Into<String>) -> Performed {
    Performed { text: text.into(), ..Performed::default() }
}

fn made(text: impl Into<String>, undo: Deed) -> Performed {
    Performed { text: text.into(), undo: Some(Action::Volume(undo)), changed: true, ..Performed::default() }
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

/// The tags of what a step makes.
fn tags(kind: ResourceType, step: &StepContext, more: &[(&str, &str)]) -> TagSpecification {
    let own = [tag(TAG.0, TAG.1), tag(STEP, &step.token)];
    let all = own.into_iter().chain(more.iter().map(|(k, v)| tag(k, v)));
    TagSpecification::builder().resource_type(kind).set_tags(Some(all.collect())).build()
}

fn by_step(step: &StepContext) -> Filter {
    Filter::builder().name(format!("tag:{STEP}")).values(&step.token).build()
}

impl Aws {
    /// Performs a deed about volumes.
    pub(super) async fn perform_volume(&self, deed: &Deed, step: &StepContext) -> Result<Performed, Failure> {
        match deed {
            Deed::Snapshot { region, volume, instance } => self.snapshot(region, volume, instance, step).await,
            Deed::AwaitSnapshot { region, snapshot, minutes } => {
                self.await_snapshot(region, snapshot, *minutes, step).await
            }
            Deed::KeepSnapshot { region, snapshot } => Ok(done(kept(region, snapshot))),
            Deed::Launch(helper) => self.launch(helper, step).await,
            Deed::Terminate { region, helper } => self.terminate(region, helper, step).await,
            Deed::AwaitHelper { region, helper, minutes } => self.await_helper(region, helper, *minutes, step).await,
            Deed::Power { region, instance, up, back } => self.run_for_rescue(region, instance, *up, *back, step).await,
            Deed::Put(put) => self.put(put, step).await,
            Deed::Repair(repair) => self.repair_disk(repair, step).await,
            Deed::KeepRepair { region, helper, snapshot, volume, instance } => {
                self.keep_repair(region, helper, snapshot, volume, instance).await
            }
        }
    }

    /// Looks what became of a deed of which no answer is known.
    pub(super) async fn settle_volume(&self, deed: &Deed, step: &StepContext) -> Settled {
        let looked = match deed {
            Deed::Snapshot { region, .. } => {
                self.snapshot_of(region, step).await.map(|found| found.map(|id| snapshot_made(region, &id)))
            }
            Deed::Launch(helper) => {
                let found = self.helper_of(&helper.region, step).await;
                found.map(|found| found.map(|id| helper::launched(&helper.region, &id)))
            }
            Deed::Power { region, instance, up, back: true } => self.state_of(region, instance).await.map(|state| {
                let here = if *up { ["pending", "running"] } else { ["stopping", "stopped"] };
                here.contains(&state.as_str()).then(|| powered(region, instance, *up, true, &state))
            }),
            Deed::Put(put) => self.settle_put(put).await,
            // It may have changed the disk: what that means is told when it is taken back.
            Deed::Repair(repair) => {
                Ok(Some(made(format!("{} may have been repaired, or in part", repair.volume), keep_repair(repair))))
            }
            // These leave nothing behind, or what they do is what an undo wants too.
            Deed::AwaitSnapshot { .. }
            | Deed::KeepSnapshot { .. }
            | Deed::Terminate { .. }
            | Deed::AwaitHelper { .. }
            | Deed::Power { .. }
            | Deed::KeepRepair { .. } => Ok(None),
        };
        match looked {
            Ok(Some(found)) => Settled::Done(found),
            Ok(None) => Settled::NotDone,
            Err(failure) => Settled::CannotTell(failure.reason),
        }
    }

    /// Whether the caller may do it: the action's name and what DryRun said; `None` where there is nothing to ask about
    /// yet.
    pub(super) async fn dry_run_volume(&self, deed: &Deed) -> Option<(&'static str, Dry)> {
        match deed {
            Deed::Snapshot { region, volume, .. } => {
                let asked = self.ec2_once(region).create_snapshot().volume_id(volume).dry_run(true).send().await;
                Some(("ec2:CreateSnapshot", dry(asked.map(drop), "ec2:CreateSnapshot")))
            }
            Deed::Launch(helper) => {
                let step = StepContext { token: "port22-dry-run".to_owned(), ..StepContext::default() };
                let asked = self.launch_call(helper, &step).dry_run(true).send().await;
                Some(("ec2:RunInstances", dry(asked.map(drop), "ec2:RunInstances")))
            }
            Deed::Power { region, instance, up: false, .. } => {
                let asked = self.ec2_once(region).stop_instances().instance_ids(instance).dry_run(true).send().await;
                Some(("ec2:StopInstances", dry(asked.map(drop), "ec2:StopInstances")))
            }
            Deed::Power { region, instance, up: true, .. } => {
                let asked = self.ec2_once(region).start_instances().instance_ids(instance).dry_run(true).send().await;
                Some(("ec2:StartInstances", dry(asked.map(drop), "ec2:StartInstances")))
            }
            Deed::Put(Put { region, volume, from, back: Some(_), .. }) if !from.is_empty() => {
                let call = self.ec2_once(region).detach_volume().volume_id(volume).instance_id(&from[0]);
                Some(("ec2:DetachVolume", dry(call.dry_run(true).send().await.map(drop), "ec2:DetachVolume")))
            }
            _ => None,
        }
    }

    /// The snapshot that a step has made.
    async fn snapshot_of(&self, region: &str, step: &StepContext) -> Result<Option<String>, Failure> {
        let call = self.ec2(region).describe_snapshots().owner_ids("self").filters(by_step(step));
        let answer = call
            .send()
            .await
            .map_err(|e| error::failure(&e, "ec2:DescribeSnapshots", "look for a snapshot that was made"))?;
        Ok(answer.snapshots().first().and_then(|s| s.snapshot_id()).map(str::to_owned))
    }

    async fn snapshot(
        &self,
        region: &str,
        volume: &str,
        instance: &str,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        if let Some(id) = self.snapshot_of(region, step).await? {
            return Ok(snapshot_made(region, &id));
        }
        let doing = format!("make a snapshot of {volume}");
        let answer = self
            .ec2_once(region)
            .create_snapshot()
            .volume_id(volume)
            .description(format!("port22: before the rescue of {instance}"))
            .tag_specifications(tags(ResourceType::Snapshot, step, &[("port22-root-of", instance)]))
            .send()
            .await
            .map_err(|e| error::failure(&e, "ec2:CreateSnapshot", &doing))?;
        let id = answer.snapshot_id().ok_or_else(|| {
            Failure::failed(
                &doing,
                "the answer names no snapshot",
                "look at the snapshots of the volume in the console",
            )
        })?;
        Ok(snapshot_made(region, id))
    }

    async fn await_snapshot(
        &self,
        region: &str,
        snapshot: &str,
        minutes: u64,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let doing = format!("wait until {snapshot} is complete");
        let began = Instant::now();
        loop {
            let asked = self.ec2(region).describe_snapshots().snapshot_ids(snapshot).send().await;
            let late = began.elapsed() > Duration::from_secs(minutes * 60);
            let seen = match &asked {
                Ok(answer) => answer.snapshots().first(),
                Err(e) if late => return Err(error::failure(e, "ec2:DescribeSnapshots", &doing)),
                Err(_) => None,
            };
            match seen.and_then(|s| s.state()) {
                Some(SnapshotState::Completed) => return Ok(done(format!("{snapshot} is complete"))),
                Some(SnapshotState::Error) => {
                    return Err(Failure::failed(
                        doing,
                        "AWS could not make the snapshot",
                        "nothing is stopped yet; look at the key of an encrypted volume, and make a new plan",
                    ));
                }
                _ => {}
            }
            if late {
                return Err(Failure::failed(
                    doing,
                    format!("it is not complete after {minutes} minutes"),
                    "nothing is stopped yet; it goes on in AWS",
                ));
            }
            let progress = seen.and_then(|s| s.progress()).unwrap_or("begun").to_owned();
            step.say(format!("{snapshot}: {progress}"));
            tokio::time::sleep(if began.elapsed() < SNAPSHOT_PAUSE { PAUSE } else { SNAPSHOT_PAUSE }).await;
        }
    }

    /// Starts or stops. What is to be taken back is so too where an attempt that was cut short has done it.
    async fn run_for_rescue(
        &self,
        region: &str,
        instance: &str,
        up: bool,
        back: bool,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let performed = self.set_running(region, instance, up, step).await?;
        Ok(powered(region, instance, up, back, &performed.text))
    }

    /// An undo of the repair itself: refused once the rescue has come to its end, for then nothing else is left to undo.
    /// A helper ends itself after some hours, so that its end alone says nothing: the volume is looked at first.
    async fn keep_repair(
        &self,
        region: &str,
        helper: &str,
        snapshot: &str,
        volume: &str,
        instance: &str,
    ) -> Result<Performed, Failure> {
        let back = if volume.is_empty() || instance.is_empty() {
            true
        } else {
            let place = self.place_of(region, volume).await?;
            matches!(place, Place::At { spot, going: false, .. } if spot.instance == instance)
        };
        if !back || self.helper_lives(region, helper).await? {
            return Ok(done(format!("what was repaired on the disk stays; {snapshot} has it as it was before")));
        }
        Err(Failure::new(
            FailureKind::Refused,
            "take the rescue back",
            format!(
                "it has come to its end: the disk is back at its instance, as it was repaired; {snapshot} has it as it was before"
            ),
            "a key that was added is the line with 'added-by-port22' in authorized_keys: take it out by a login; if the rescue was cut short, port22 resume starts the instance",
        ))
    }
}

fn keep_repair(repair: &Repair) -> Deed {
    Deed::KeepRepair {
        region: repair.region.clone(),
        helper: repair.helper.clone(),
        snapshot: repair.snapshot.clone(),
        volume: repair.volume.clone(),
        instance: repair.instance.clone(),
    }
}

fn kept(region: &str, snapshot: &str) -> String {
    format!("{snapshot} is kept; to delete it: aws ec2 delete-snapshot --region {region} --snapshot-id {snapshot}")
}

fn snapshot_made(region: &str, id: &str) -> Performed {
    let undo = Deed::KeepSnapshot { region: region.to_owned(), snapshot: id.to_owned() };
    let mut out = made(format!("snapshot {}", kept(region, id)), undo);
    out.outputs.insert("snapshot".to_owned(), id.to_owned());
    out
}

fn powered(region: &str, instance: &str, up: bool, back: bool, text: &str) -> Performed {
    if !back {
        return done(text);
    }
    let undo = Deed::Power { region: region.to_owned(), instance: instance.to_owned(), up: !up, back: false };
    made(text, undo)
}
