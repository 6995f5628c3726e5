//! A volume to be at a place, or at none.
//!
//! Must not call a move "not done" once AWS was asked for a part of it: an undo would then leave the volume where it is.

use super::{PAUSE, done, made};
use crate::core::plan::volume::{Put, Spot, VolumeAction as Deed};
use crate::core::text::shell_quote;
use crate::edge::aws::client::Aws;
use crate::edge::aws::error;
use crate::edge::aws::rescue::ROOT_OF;
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::world::{Performed, StepContext};
use aws_sdk_ec2::types::{
    EbsInstanceBlockDeviceSpecification, InstanceBlockDeviceMappingSpecification, Tag, VolumeAttachmentState,
};
use std::time::Duration;
use tokio::time::Instant;

/// How long AWS may take to detach or attach: seconds as a rule; until the file system is unmounted at worst.
const LIMIT: Duration = Duration::from_mins(5);

/// Where a volume is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Attached to nothing.
    Nowhere,
    /// At an instance; `settled` when it neither comes nor goes.
    At { spot: Spot, settled: bool, going: bool },
}

impl Place {
    fn is(&self, to: Option<&Spot>) -> bool {
        match (self, to) {
            (Self::Nowhere, None) => true,
            (Self::At { spot, settled: true, .. }, Some(to)) => spot == to,
            _ => false,
        }
    }
}

impl Aws {
    pub(super) async fn place_of(&self, region: &str, volume: &str) -> Result<Place, Failure> {
        let doing = format!("see where {volume} is");
        let answer = self.ec2(region).describe_volumes().volume_ids(volume).send().await;
        let answer = answer.map_err(|e| error::failure(&e, "ec2:DescribeVolumes", &doing))?;
        let found = answer
            .volumes()
            .first()
            .ok_or_else(|| Failure::failed(&doing, "AWS does not show it", "look for it in the console"))?;
        let attached = found.attachments().iter().find(|a| a.state() != Some(&VolumeAttachmentState::Detached));
        let Some(at) = attached else { return Ok(Place::Nowhere) };
        let spot = Spot {
            instance: at.instance_id().unwrap_or_default().to_owned(),
            device: at.device().unwrap_or_default().to_owned(),
        };
        let going = matches!(at.state(), Some(VolumeAttachmentState::Detaching | VolumeAttachmentState::Busy));
        Ok(Place::At { spot, settled: at.state() == Some(&VolumeAttachmentState::Attached), going })
    }

    /// What became of a volume that was to be moved.
    pub(super) async fn settle_put(&self, put: &Put) -> Result<Option<Performed>, Failure> {
        let Some(back) = &put.back else { return Ok(None) };
        let place = self.place_of(&put.region, &put.volume).await?;
        let untouched = match (&place, &back.to) {
            (Place::Nowhere, None) => true,
            (Place::At { spot, settled: true, .. }, Some(from)) => spot == from,
            _ => false,
        };
        Ok((!untouched).then(|| made(format!("{} was moved", put.volume), Deed::Put((**back).clone()))))
    }

    /// Moves a volume as far as it is not there yet.
    pub(super) async fn put(&self, put: &Put, step: &StepContext) -> Result<Performed, Failure> {
        let mut asked = false;
        let moved = self.moved(put, &mut asked, step).await;
        moved.map_err(|failure| if asked { failure.after_asking() } else { failure })
    }

    /// The same; tells whether AWS was asked for a part of it.
    async fn moved(&self, put: &Put, asked: &mut bool, step: &StepContext) -> Result<Performed, Failure> {
        let to = put.to.as_ref();
        let doing = match to {
            Some(spot) => format!("attach {} to {} as {}", put.volume, spot.instance, spot.device),
            None => format!("detach {}", put.volume),
        };
        if let Some(instance) = &put.stop {
            self.set_running(&put.region, instance, false, step).await?;
        }
        let place = self.place_of(&put.region, &put.volume).await?;
        if !place.is(to) {
            self.detach_from(put, place, &doing, asked, step).await?;
            if let Some(spot) = to {
                self.attach_at(put, spot, &doing, asked, step).await?;
            }
        }
        let mut text = match to {
            Some(spot) => format!("{} is attached to {} as {}", put.volume, spot.instance, spot.device),
            None => format!("{} is detached", put.volume),
        };
        if let (Some(spot), Some(on)) = (to, put.delete_with) {
            // The volume is where it belongs, and the instance can start: this does not hold it up.
            if let Err(failure) = self.delete_with(&put.region, spot, on).await {
                text.push_str(&format!(
                    "; DeleteOnTermination could not be set to {on} ({}): aws ec2 modify-instance-attribute --region {} --instance-id {} --block-device-mappings {}",
                    failure.reason,
                    put.region,
                    spot.instance,
                    shell_quote(&format!("DeviceName={},Ebs={{DeleteOnTermination={on}}}", spot.device)),
                ));
            }
            self.mark(put, None).await;
        }
        Ok(match &put.back {
            Some(back) => made(text, Deed::Put((**back).clone())),
            None => done(text),
        })
    }

    /// Takes the volume from where it is, if that is where the plan saw it.
    async fn detach_from(
        &self,
        put: &Put,
        place: Place,
        doing: &str,
        asked: &mut bool,
        step: &StepContext,
    ) -> Result<(), Failure> {
        let Place::At { spot, going, .. } = place else { return Ok(()) };
        // Half-way to where it is to be.
        if put.to.as_ref() == Some(&spot) && !going {
            return Ok(());
        }
        if !put.from.contains(&spot.instance) && put.to.as_ref().is_none_or(|to| to.instance != spot.instance) {
            return Err(Failure::new(
                FailureKind::Refused,
                doing,
                format!("it is at {} as {}: somebody else moved it", spot.instance, spot.device),
                "look what that instance does with it; it is not taken from there",
            ));
        }
        if let Some(back) = put.back.as_ref().and_then(|b| b.to.as_ref()).filter(|_| put.to.is_none()) {
            self.mark(put, Some(&back.instance)).await;
        }
        if !going {
            let call = self.ec2_once(&put.region).detach_volume().volume_id(&put.volume);
            if let Err(e) = call.instance_id(&spot.instance).device(&spot.device).send().await {
                let failure = error::failure(&e, "ec2:DetachVolume", doing);
                *asked |= failure.outcome_unknown;
                // Between the look and the call it went by itself.
                match self.place_of(&put.region, &put.volume).await {
                    Ok(Place::Nowhere) => {}
                    _ => return Err(failure),
                }
            }
        }
        *asked = true;
        self.until(put, None, doing, step).await
    }

    async fn attach_at(
        &self,
        put: &Put,
        spot: &Spot,
        doing: &str,
        asked: &mut bool,
        step: &StepContext,
    ) -> Result<(), Failure> {
        if self.place_of(&put.region, &put.volume).await? == Place::Nowhere {
            let call = self.ec2_once(&put.region).attach_volume().volume_id(&put.volume);
            let answer = call.instance_id(&spot.instance).device(&spot.device).send().await;
            answer.map_err(|e| error::failure(&e, "ec2:AttachVolume", doing))?;
        }
        *asked = true;
        self.until(put, Some(spot), doing, step).await
    }

    async fn until(&self, put: &Put, to: Option<&Spot>, doing: &str, step: &StepContext) -> Result<(), Failure> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(300);
        loop {
            let seen = self.place_of(&put.region, &put.volume).await;
            match &seen {
                Ok(place) if place.is(to) => return Ok(()),
                Err(failure) if began.elapsed() > LIMIT => return Err(failure.clone()),
                _ => {}
            }
            if began.elapsed() > LIMIT {
                return Err(Failure::failed(
                    doing,
                    "it is not so after 5 minutes: the file system may still be mounted there",
                    "unmount it on the instance that has it, or stop that instance, and repeat",
                ));
            }
            step.say(match seen {
                Ok(Place::At { spot, going: true, .. }) => format!("{} leaves {}", put.volume, spot.instance),
                Ok(Place::At { spot, .. }) => format!("{} comes to {}", put.volume, spot.instance),
                Ok(Place::Nowhere) => format!("{} is available", put.volume),
                Err(failure) => failure.reason,
            });
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE);
        }
    }

    /// Sets whether the volume is deleted with the instance, where it is not so already.
    async fn delete_with(&self, region: &str, spot: &Spot, on: bool) -> Result<(), Failure> {
        let doing = format!("set DeleteOnTermination of {} at {} to {on}", spot.device, spot.instance);
        let answer = self.ec2(region).describe_instances().instance_ids(&spot.instance).send().await;
        let answer = answer.map_err(|e| error::failure(&e, "ec2:DescribeInstances", &doing))?;
        let mappings = answer
            .reservations()
            .iter()
            .flat_map(aws_sdk_ec2::types::Reservation::instances)
            .flat_map(aws_sdk_ec2::types::Instance::block_device_mappings);
        let now = mappings.filter(|m| m.device_name() == Some(&spot.device)).find_map(|m| m.ebs());
        if now.and_then(aws_sdk_ec2::types::EbsInstanceBlockDevice::delete_on_termination) == Some(on) {
            return Ok(());
        }
        let ebs = EbsInstanceBlockDeviceSpecification::builder().delete_on_termination(on).build();
        let mapping = InstanceBlockDeviceMappingSpecification::builder().device_name(&spot.device).ebs(ebs).build();
        let call = self.ec2(region).modify_instance_attribute().instance_id(&spot.instance);
        let asked = call.block_device_mappings(mapping).send().await;
        asked.map(drop).map_err(|e| error::failure(&e, "ec2:ModifyInstanceAttribute", &doing))
    }

    /// Marks a volume as the root of an instance while it is away, or takes the mark off. Only a help for whoever finds
    /// it later: a refusal is passed over.
    async fn mark(&self, put: &Put, of: Option<&str>) {
        let client = self.ec2(&put.region);
        if let Some(instance) = of {
            let tag = Tag::builder().key(ROOT_OF).value(instance).build();
            let _ = client.create_tags().resources(&put.volume).tags(tag).send().await;
        } else {
            let tag = Tag::builder().key(ROOT_OF).build();
            let _ = client.delete_tags().resources(&put.volume).tags(tag).send().await;
        }
    }
}
