//! Reads for the rescue of a root volume: the volume, or what may have been it, and an image for a helper.
//!
//! Must not change anything.

use super::client::Aws;
use super::error;
use crate::core::fact::{Fact, Why};
use crate::core::facts::aws::Instance;
use crate::core::facts::prepared::{HelperImage, LostRoot, Rescue, RootVolume};
use aws_sdk_ec2::types::{Filter, Instance as SdkInstance, LocationType, ProductCodeValues, Volume};
use std::collections::BTreeMap;

/// Tag that a volume carries while it is away from its instance.
pub(super) const ROOT_OF: &str = "port22-root-of";
/// Small types, the usual ones first, and the word for their architecture in names of public parameters.
const TYPES: &[(&str, &str)] =
    &[("t3.micro", "x86_64"), ("t3a.micro", "x86_64"), ("t4g.micro", "arm64"), ("t2.micro", "x86_64")];
/// Public parameters with an Amazon Linux 2023 that has the agent (Systems Manager User Guide, "Calling AMI public
/// parameters"). The second is another image, with another root.
const PARAMETERS: &[&str] = &["al2023-ami-kernel-default-", "al2023-ami-kernel-6.12-"];
/// Seconds between the launch of an instance and the making of its root volume.
const SAME_TIME: i64 = 300;

fn filter(name: &str, values: &[&str]) -> Filter {
    Filter::builder().name(name).set_values(Some(values.iter().map(|v| (*v).to_owned()).collect())).build()
}

impl Aws {
    /// What a rescue works with.
    pub(crate) async fn rescue_ground(&self, instance: &Instance) -> Fact<Rescue> {
        let doing = format!("read the root volume of {}", instance.id);
        let client = self.ec2(&instance.region);
        let asked = client.describe_instances().instance_ids(&instance.id).send().await;
        let found = match asked {
            Ok(answer) => answer.reservations().first().and_then(|r| r.instances().first()).cloned(),
            Err(e) => return Fact::unknown(error::why(&e, "ec2:DescribeInstances", &doing)),
        };
        let Some(seen) = found else { return Fact::unknown(Why::failed(doing, "AWS does not show the instance")) };
        let Some(zone) = seen.placement().and_then(|p| p.availability_zone()).map(str::to_owned) else {
            return Fact::unknown(Why::failed(doing, "AWS does not tell its Availability Zone"));
        };
        let (root, lost, image) = tokio::join!(
            self.root_volume(instance, &seen),
            self.lost_roots(instance, &seen, &zone),
            self.helper_image(instance, &zone),
        );
        let root = match root {
            Ok(root) => root,
            Err(why) => return Fact::unknown(why),
        };
        let codes = seen.product_codes().iter();
        let product_codes = codes
            .filter(|c| c.product_code_type() == Some(&ProductCodeValues::Marketplace))
            .filter_map(|c| c.product_code_id().map(str::to_owned))
            .collect();
        Fact::known(Rescue { zone, product_codes, root, lost, image }, format!("DescribeInstances {}", instance.id))
    }

    async fn root_volume(&self, instance: &Instance, seen: &SdkInstance) -> Result<Option<RootVolume>, Why> {
        let mapping = seen.block_device_mappings().iter().find(|m| m.device_name() == seen.root_device_name());
        let Some(ebs) = mapping.and_then(|m| m.ebs()) else { return Ok(None) };
        let Some(id) = ebs.volume_id() else { return Ok(None) };
        let doing = format!("read the volume {id}");
        let asked = self.ec2(&instance.region).describe_volumes().volume_ids(id).send().await;
        let answer = asked.map_err(|e| error::why(&e, "ec2:DescribeVolumes", &doing))?;
        let volume = answer.volumes().first().ok_or_else(|| Why::failed(doing, "AWS does not show it"))?;
        Ok(Some(RootVolume {
            id: id.to_owned(),
            size: volume.size().unwrap_or_default(),
            delete_with: ebs.delete_on_termination().unwrap_or(false),
            encrypted: volume.encrypted().unwrap_or(false),
            kms_key: volume.kms_key_id().map(str::to_owned),
        }))
    }

    /// A current Amazon Linux with the agent, other than the instance's image where there is one, and a type that the
    /// zone has.
    async fn helper_image(&self, instance: &Instance, zone: &str) -> Fact<HelperImage> {
        let doing = "choose an image for a helper instance";
        let names: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
        let call = self
            .ec2(&instance.region)
            .describe_instance_type_offerings()
            .location_type(LocationType::AvailabilityZone)
            .filters(filter("location", &[zone]))
            .filters(filter("instance-type", &names));
        let offered = match call.send().await {
            Ok(answer) => answer.instance_type_offerings().to_vec(),
            Err(e) => return Fact::unknown(error::why(&e, "ec2:DescribeInstanceTypeOfferings", doing)),
        };
        let has = |name: &str| offered.iter().any(|o| o.instance_type().is_some_and(|t| t.as_str() == name));
        let Some((kind, word)) = TYPES.iter().find(|(name, _)| has(name)) else {
            return Fact::unknown(Why::failed(doing, format!("{zone} offers none of {}", names.join(", "))));
        };
        let mut same = None;
        let mut why = Why::failed(doing, "no public parameter names one");
        for start in PARAMETERS {
            let parameter = format!("/aws/service/ami-amazon-linux-latest/{start}{word}");
            let asked = self.ssm(&instance.region).get_parameter().name(&parameter).send().await;
            let id = match asked {
                Ok(answer) => answer.parameter().and_then(|p| p.value()).unwrap_or_default().to_owned(),
                // What the first one gave serves too.
                Err(_) if same.is_some() => break,
                Err(e) => {
                    why = error::why(&e, "ssm:GetParameter", doing);
                    continue;
                }
            };
            if !id.starts_with("ami-") {
                continue;
            }
            let found = HelperImage {
                same_as_instance: instance.image_id.as_ref() == Some(&id),
                id,
                instance_type: (*kind).to_owned(),
                parameter: parameter.clone(),
            };
            if !found.same_as_instance {
                return Fact::known(found, format!("GetParameter {parameter}"));
            }
            same = Some(found);
        }
        match same {
            Some(found) => {
                let source = format!("GetParameter {}", found.parameter);
                Fact::known(found, source)
            }
            None => Fact::unknown(why),
        }
    }

    /// Volumes of the zone that may have been the root of a stopped instance without one.
    async fn lost_roots(&self, instance: &Instance, seen: &SdkInstance, zone: &str) -> Fact<Vec<LostRoot>> {
        let root = seen.root_device_name();
        let has = seen.block_device_mappings().iter().any(|m| m.device_name() == root);
        if instance.state != "stopped" || has {
            return Fact::NotAsked;
        }
        let doing = format!("look for the volume that was the root of {}", instance.id);
        let snapshot = match self.root_snapshot(instance).await {
            Ok(snapshot) => snapshot,
            Err(why) => return Fact::unknown(why),
        };
        let mut found: BTreeMap<String, Volume> = BTreeMap::new();
        let of_image = snapshot.as_deref().map(|s| filter("snapshot-id", &[s]));
        for one in [Some(filter(&format!("tag:{ROOT_OF}"), &[&instance.id])), of_image].into_iter().flatten() {
            let call = self.ec2(&instance.region).describe_volumes().filters(one);
            let mut pages = call.filters(filter("availability-zone", &[zone])).into_paginator().send();
            while let Some(page) = pages.next().await {
                match page {
                    Ok(page) => {
                        found
                            .extend(page.volumes().iter().filter_map(|v| Some((v.volume_id()?.to_owned(), v.clone()))));
                    }
                    Err(e) => return Fact::unknown(error::why(&e, "ec2:DescribeVolumes", &doing)),
                }
            }
        }
        let holders: Vec<String> =
            found.values().filter_map(|v| v.attachments().first()?.instance_id().map(str::to_owned)).collect();
        let roots = match self.root_devices(&instance.region, &holders).await {
            Ok(roots) => roots,
            Err(why) => return Fact::unknown(why),
        };
        let launched = seen
            .network_interfaces()
            .iter()
            .filter_map(|i| i.attachment())
            .find(|a| a.device_index() == Some(0))
            .and_then(|a| a.attach_time())
            .map(aws_smithy_types::DateTime::secs);
        let out = found.values().filter_map(|v| lost(instance, v, snapshot.as_deref(), launched, &roots)).collect();
        Fact::known(out, format!("DescribeVolumes in {zone}"))
    }

    /// The snapshot that the image's root is made of; `None` where the image is gone.
    async fn root_snapshot(&self, instance: &Instance) -> Result<Option<String>, Why> {
        let Some(image) = &instance.image_id else { return Ok(None) };
        let asked = self.ec2(&instance.region).describe_images().image_ids(image).include_deprecated(true).send().await;
        let answer = match asked {
            Ok(answer) => answer,
            Err(e) if error::code(&e).starts_with("InvalidAMIID") => return Ok(None),
            Err(e) => return Err(error::why(&e, "ec2:DescribeImages", &format!("read the image {image}"))),
        };
        let Some(image) = answer.images().first() else { return Ok(None) };
        let root = image.block_device_mappings().iter().find(|m| m.device_name() == image.root_device_name());
        Ok(root.and_then(|m| m.ebs()).and_then(|e| e.snapshot_id()).map(str::to_owned))
    }

    /// Root device names of instances.
    async fn root_devices(&self, region: &str, ids: &[String]) -> Result<BTreeMap<String, String>, Why> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let call = self
            .ec2(region)
            .describe_instances()
            .filters(Filter::builder().name("instance-id").set_values(Some(ids.to_vec())).build());
        let mut out = BTreeMap::new();
        let mut pages = call.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| error::why(&e, "ec2:DescribeInstances", "see who has a volume"))?;
            out.extend(
                page.reservations()
                    .iter()
                    .flat_map(aws_sdk_ec2::types::Reservation::instances)
                    .filter_map(|i| Some((i.instance_id()?.to_owned(), i.root_device_name()?.to_owned()))),
            );
        }
        Ok(out)
    }
}

/// A volume that may have been the root of an instance; `None` for one that is the root of another.
fn lost(
    instance: &Instance,
    volume: &Volume,
    snapshot: Option<&str>,
    launched: Option<i64>,
    roots: &BTreeMap<String, String>,
) -> Option<LostRoot> {
    let holder = volume
        .attachments()
        .first()
        .and_then(|a| Some((a.instance_id()?.to_owned(), a.device().unwrap_or_default().to_owned())));
    if holder.as_ref().is_some_and(|(id, device)| roots.get(id) == Some(device)) {
        return None;
    }
    let marked = volume.tags().iter().any(|t| t.key() == Some(ROOT_OF) && t.value() == Some(&instance.id));
    let same = snapshot.is_some() && volume.snapshot_id() == snapshot;
    let made = volume.create_time().map(aws_smithy_types::DateTime::secs);
    let then = matches!((made, launched), (Some(made), Some(launched)) if (made - launched).abs() <= SAME_TIME);
    let mut because = Vec::new();
    if marked {
        because.push("port22 marked it when it took it off".to_owned());
    }
    if same {
        because.push("it is made of the root snapshot of the instance's image".to_owned());
    }
    if then {
        because.push("it was made when the instance was launched".to_owned());
    }
    (marked || same).then(|| LostRoot {
        id: volume.volume_id().unwrap_or_default().to_owned(),
        size: volume.size().unwrap_or_default(),
        holder,
        because,
        sure: marked || (same && then),
    })
}
