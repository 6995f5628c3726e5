//! Reads for the plans of the network and power fixes, beyond what a diagnosis reads.
//!
//! Reads and converts; must not judge.

use super::client::Aws;
use super::{convert, error, scaling};
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::facts::prepared::net::{ElasticAddress, PowerFacts};
use crate::core::probe::ProbeId;
use crate::core::vpc::types::InternetGateway;
use crate::engine::world::Observation;
use aws_sdk_ec2::types::{Address, Filter, InstanceAttributeName, InstanceTypeInfo, Tag};

fn name(tags: &[Tag]) -> Option<String> {
    tags.iter().find(|t| t.key() == Some("Name")).and_then(|t| convert::text(t.value()))
}

impl Aws {
    /// Internet gateways of the Region with their names.
    pub async fn all_gateways(&self, region: &str) -> Fact<Vec<(InternetGateway, Option<String>)>> {
        let doing = format!("list the internet gateways in {region}");
        let mut pages = self.ec2(region).describe_internet_gateways().into_paginator().send();
        let mut out = Vec::new();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => {
                    out.extend(page.internet_gateways().iter().map(|g| (convert::gateway(g), name(g.tags()))));
                }
                Err(e) => return Fact::unknown(error::why(&e, "ec2:DescribeInternetGateways", &doing)),
            }
        }
        Fact::known(out, "DescribeInternetGateways")
    }

    /// Public addresses that are mapped in a VPC, each with the instance or interface that has it.
    pub async fn mapped_addresses(&self, region: &str, vpc: &str) -> Fact<Vec<String>> {
        let doing = format!("list the public addresses in {vpc}");
        let by_vpc = Filter::builder().name("vpc-id").values(vpc).build();
        let mut pages = self.ec2(region).describe_network_interfaces().filters(by_vpc).into_paginator().send();
        let mut out = Vec::new();
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                Err(e) => return Fact::unknown(error::why(&e, "ec2:DescribeNetworkInterfaces", &doing)),
            };
            for interface in page.network_interfaces() {
                let owner = interface.attachment().and_then(|a| a.instance_id()).or(interface.network_interface_id());
                let all = interface.private_ip_addresses().iter().filter_map(|a| a.association()?.public_ip());
                out.extend(all.map(|public| format!("{public} of {}", owner.unwrap_or_default())));
            }
        }
        Fact::known(out, format!("DescribeNetworkInterfaces {vpc}"))
    }

    /// Elastic IP addresses of the Region.
    pub async fn elastic_addresses(&self, region: &str) -> Fact<Vec<ElasticAddress>> {
        let doing = format!("list the Elastic IP addresses in {region}");
        match self.ec2(region).describe_addresses().send().await {
            Ok(answer) => Fact::known(answer.addresses().iter().filter_map(elastic).collect(), "DescribeAddresses"),
            Err(e) => Fact::unknown(error::why(&e, "ec2:DescribeAddresses", &doing)),
        }
    }

    /// What stands around a stop or start.
    pub async fn power_facts(&self, instance: &Instance, facts: &Facts) -> PowerFacts {
        let protection = async {
            let seen = self.about_instance(ProbeId::StopProtection, facts).await;
            seen.into_iter().find_map(|o| if let Observation::StopProtection(fact) = o { Some(fact) } else { None })
        };
        let spot = async {
            if instance.lifecycle.as_deref() != Some("spot") {
                return None;
            }
            let seen = self.about_instance(ProbeId::Spot, facts).await;
            seen.into_iter().find_map(|o| if let Observation::Spot(fact) = o { Some(fact) } else { None })
        };
        let (stop_protected, spot, shutdown, local_disks, scaling) = tokio::join!(
            protection,
            spot,
            self.shutdown_behavior(instance),
            self.local_disks(instance),
            scaling::read(self, &instance.region, &instance.id)
        );
        PowerFacts {
            stop_protected: stop_protected.unwrap_or_default(),
            spot: spot.unwrap_or_default(),
            shutdown,
            local_disks,
            scaling,
        }
    }

    async fn shutdown_behavior(&self, instance: &Instance) -> Fact<String> {
        let doing = format!("read what a shutdown from inside does to {}", instance.id);
        let call = self.ec2(&instance.region).describe_instance_attribute().instance_id(&instance.id);
        match call.attribute(InstanceAttributeName::InstanceInitiatedShutdownBehavior).send().await {
            Ok(answer) => match answer.instance_initiated_shutdown_behavior().and_then(|b| convert::text(b.value())) {
                Some(value) => Fact::known(value, "DescribeInstanceAttribute instanceInitiatedShutdownBehavior"),
                None => Fact::unknown(Why::failed(doing, "the answer does not name it")),
            },
            Err(e) => Fact::unknown(error::why(&e, "ec2:DescribeInstanceAttribute", &doing)),
        }
    }

    async fn local_disks(&self, instance: &Instance) -> Fact<Vec<String>> {
        let kind = instance.instance_type.as_str();
        let doing = format!("read the instance type {kind} in {}", instance.region);
        match self.ec2(&instance.region).describe_instance_types().instance_types(kind.into()).send().await {
            Ok(answer) => match answer.instance_types().first() {
                Some(found) => Fact::known(disks(found), format!("DescribeInstanceTypes {kind}")),
                None => Fact::unknown(Why::failed(doing, "the type is not in the answer")),
            },
            Err(e) => Fact::unknown(error::why(&e, "ec2:DescribeInstanceTypes", &doing)),
        }
    }
}

/// `2 × 475 GB ssd`; empty for a type without instance store.
fn disks(kind: &InstanceTypeInfo) -> Vec<String> {
    if kind.instance_storage_supported() != Some(true) {
        return Vec::new();
    }
    let info = kind.instance_storage_info();
    let named: Vec<String> = info
        .into_iter()
        .flat_map(aws_sdk_ec2::types::InstanceStorageInfo::disks)
        .map(|d| {
            let kind = d.r#type().map_or("disk", aws_sdk_ec2::types::DiskType::as_str);
            format!("{} × {} GB {kind}", d.count().unwrap_or(1), d.size_in_gb().unwrap_or_default())
        })
        .collect();
    if named.is_empty() { vec!["its local disks".to_owned()] } else { named }
}

fn elastic(from: &Address) -> Option<ElasticAddress> {
    Some(ElasticAddress {
        allocation: convert::text(from.allocation_id())?,
        address: from.public_ip()?.parse().ok()?,
        name: name(from.tags()),
        private: from.private_ip_address().and_then(|a| a.parse().ok()),
        interface: convert::text(from.network_interface_id()),
        in_use: [from.association_id(), from.instance_id(), from.network_interface_id()]
            .into_iter()
            .flatten()
            .any(|id| !id.is_empty()),
        managed_by: from.service_managed().map(|s| s.as_str().to_owned()),
        border_group: convert::text(from.network_border_group()),
    })
}
