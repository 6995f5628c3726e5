//! The reads of wave 2: everything that hangs on the instance. One call (with all its pages) each.

use super::client::Aws;
use super::{convert, error};
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::aws::{Caller, Instance};
use crate::core::probe::ProbeId;
use crate::engine::world::Observation;
use aws_sdk_ec2::error::SdkError;
use aws_sdk_ec2::types::Filter;
use base64::Engine as _;
use ipnet::IpNet;
use std::collections::BTreeMap;

fn filter(name: &str, value: impl Into<String>) -> Filter {
    Filter::builder().name(name).values(value).build()
}

fn doing(probe: ProbeId, instance: &Instance) -> String {
    format!("{} of {} in {}", probe.title(), instance.id, instance.region)
}

/// Collects all pages of a call, or returns the fact that says why not.
macro_rules! all_pages {
    ($call:expr, $items:ident, $probe:expr, $doing:expr) => {{
        let mut pages = $call.into_paginator().send();
        let mut out = Vec::new();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => out.extend(page.$items().iter().cloned()),
                Err(e) => return error::fact(&e, $probe, &$doing),
            }
        }
        out
    }};
}

impl Aws {
    /// Who is asking.
    pub async fn caller(&self) -> Fact<Caller> {
        match self.sts().get_caller_identity().send().await {
            Ok(answer) => {
                let caller = Caller {
                    account: answer.account().unwrap_or_default().to_owned(),
                    arn: answer.arn().unwrap_or_default().to_owned(),
                };
                Fact::known(caller, "GetCallerIdentity")
            }
            Err(e) => error::fact(&e, ProbeId::Caller, "ask AWS who you are"),
        }
    }

    /// One of the probes that need the instance; an empty list for a probe that is none.
    pub async fn about_instance(&self, probe: ProbeId, facts: &Facts) -> Vec<Observation> {
        let Some(instance) = facts.instance() else { return Vec::new() };
        let doing = doing(probe, instance);
        vec![match probe {
            ProbeId::Status => Observation::Status(self.status(instance, doing).await),
            ProbeId::Interfaces => Observation::Interfaces(self.interfaces(instance, doing).await),
            ProbeId::SecurityGroups => Observation::Groups(self.groups(instance, doing).await),
            ProbeId::NetworkAcls => Observation::Acls(self.acls(instance, doing).await),
            ProbeId::RouteTables => Observation::RouteTables(self.route_tables(instance, doing).await),
            ProbeId::InternetGateways => Observation::Gateways(self.gateways(instance, doing).await),
            ProbeId::Subnet => Observation::Subnet(self.subnet(instance, doing).await),
            ProbeId::PrefixLists => Observation::PrefixLists(
                self.prefix_list_entries(&instance.region, crate::engine::diagnose::prefix_lists(facts), doing).await,
            ),
            ProbeId::KeyPair => Observation::KeyPair(self.key_pair(instance, doing).await),
            ProbeId::Image => Observation::Image(self.image(instance, doing).await),
            ProbeId::Console => Observation::Console(self.console(instance, doing).await),
            ProbeId::Ssm => Observation::Ssm(self.ssm_agent(instance, doing).await),
            ProbeId::Connection
            | ProbeId::HostManagement
            | ProbeId::Endpoints
            | ProbeId::Role
            | ProbeId::RolePolicies
            | ProbeId::ConnectEndpoints
            | ProbeId::EndpointGroups
            | ProbeId::SerialAccess => return self.about_doors(probe, facts, doing).await,
            _ => return self.about_host(probe, facts, doing).await,
        }]
    }

    async fn status(&self, instance: &Instance, doing: String) -> Fact<crate::core::facts::aws::InstanceStatus> {
        let call = self
            .ec2(&instance.region)
            .describe_instance_status()
            .instance_ids(&instance.id)
            .include_all_instances(true);
        match call.send().await {
            Ok(answer) => match answer.instance_statuses().first() {
                Some(status) => Fact::known(convert::status(status), format!("DescribeInstanceStatus {}", instance.id)),
                None => Fact::unknown(Why::failed(doing, "AWS has no status for the instance yet")),
            },
            Err(e) => error::fact(&e, ProbeId::Status, &doing),
        }
    }

    async fn interfaces(&self, instance: &Instance, doing: String) -> Fact<Vec<crate::core::facts::aws::Interface>> {
        let call = self
            .ec2(&instance.region)
            .describe_network_interfaces()
            .filters(filter("attachment.instance-id", &instance.id));
        let found = all_pages!(call, network_interfaces, ProbeId::Interfaces, doing);
        Fact::known(
            found.iter().map(convert::interface).collect(),
            format!("DescribeNetworkInterfaces of {}", instance.id),
        )
    }

    async fn groups(&self, instance: &Instance, doing: String) -> Fact<Vec<crate::core::vpc::types::SecurityGroup>> {
        let mut ids: Vec<String> = instance
            .groups
            .iter()
            .map(|(id, _)| id.clone())
            .chain(instance.interfaces.iter().flat_map(|i| i.groups.iter().cloned()))
            .collect();
        ids.sort();
        ids.dedup();
        let client = self.ec2(&instance.region);
        let by_ids = Filter::builder().name("group-id").set_values(Some(ids.clone())).build();
        let rules = async {
            let mut pages = client.describe_security_group_rules().filters(by_ids.clone()).into_paginator().send();
            let mut out = Vec::new();
            // Rule ids are a convenience: without them the rules themselves still tell everything.
            while let Some(Ok(page)) = pages.next().await {
                out.extend(page.security_group_rules().iter().cloned());
            }
            out
        };
        let groups = async {
            let mut pages = client.describe_security_groups().filters(by_ids.clone()).into_paginator().send();
            let mut out = Vec::new();
            while let Some(page) = pages.next().await {
                out.extend(page?.security_groups().iter().cloned());
            }
            Ok::<_, SdkError<_, _>>(out)
        };
        let (rules, groups) = tokio::join!(rules, groups);
        match groups {
            Ok(groups) => Fact::known(
                groups.iter().map(|g| convert::group(g, &rules)).collect(),
                format!("DescribeSecurityGroups {}", ids.join(" ")),
            ),
            Err(e) => error::fact(&e, ProbeId::SecurityGroups, &doing),
        }
    }

    async fn acls(&self, instance: &Instance, doing: String) -> Fact<Vec<crate::core::vpc::types::NetworkAcl>> {
        let vpc = instance.vpc_id.as_deref().unwrap_or_default();
        let found = all_pages!(
            self.ec2(&instance.region).describe_network_acls().filters(filter("vpc-id", vpc)),
            network_acls,
            ProbeId::NetworkAcls,
            doing
        );
        Fact::known(found.iter().map(convert::acl).collect(), format!("DescribeNetworkAcls of {vpc}"))
    }

    async fn route_tables(&self, instance: &Instance, doing: String) -> Fact<Vec<crate::core::vpc::types::RouteTable>> {
        // All tables of the VPC: the main one is needed when the subnet has none of its own, and a second call would be a third wave.
        let vpc = instance.vpc_id.as_deref().unwrap_or_default();
        let found = all_pages!(
            self.ec2(&instance.region).describe_route_tables().filters(filter("vpc-id", vpc)),
            route_tables,
            ProbeId::RouteTables,
            doing
        );
        Fact::known(found.iter().map(convert::route_table).collect(), format!("DescribeRouteTables of {vpc}"))
    }

    async fn gateways(
        &self,
        instance: &Instance,
        doing: String,
    ) -> Fact<Vec<crate::core::vpc::types::InternetGateway>> {
        let vpc = instance.vpc_id.as_deref().unwrap_or_default();
        let call = self.ec2(&instance.region).describe_internet_gateways().filters(filter("attachment.vpc-id", vpc));
        let found = all_pages!(call, internet_gateways, ProbeId::InternetGateways, doing);
        Fact::known(found.iter().map(convert::gateway).collect(), format!("DescribeInternetGateways of {vpc}"))
    }

    async fn subnet(&self, instance: &Instance, doing: String) -> Fact<crate::core::facts::aws::Subnet> {
        let id = instance.subnet_id.as_deref().unwrap_or_default();
        match self.ec2(&instance.region).describe_subnets().subnet_ids(id).send().await {
            Ok(answer) => match answer.subnets().first() {
                Some(subnet) => Fact::known(convert::subnet(subnet), format!("DescribeSubnets {id}")),
                None => Fact::unknown(Why::failed(doing, "the subnet is not in the answer")),
            },
            Err(e) => error::fact(&e, ProbeId::Subnet, &doing),
        }
    }

    /// The entries of prefix lists by id; those that could be read, or why none could.
    pub(super) async fn prefix_list_entries(
        &self,
        region: &str,
        ids: Vec<String>,
        doing: String,
    ) -> Fact<BTreeMap<String, Vec<IpNet>>> {
        let client = self.ec2(region);
        let calls = ids.iter().cloned().map(|id| {
            let client = client.clone();
            async move {
                let mut pages = client.get_managed_prefix_list_entries().prefix_list_id(&id).into_paginator().send();
                let mut out = Vec::new();
                while let Some(page) = pages.next().await {
                    out.extend(page?.entries().iter().filter_map(|e| convert::cidr(e.cidr())));
                }
                Ok::<_, SdkError<_, _>>((id, out))
            }
        });
        let mut all = BTreeMap::new();
        let mut problem = None;
        for answer in futures_util::future::join_all(calls).await {
            match answer {
                Ok((id, entries)) => {
                    all.insert(id, entries);
                }
                Err(e) => problem = Some(error::fact(&e, ProbeId::PrefixLists, &doing)),
            }
        }
        match problem {
            Some(problem) if all.is_empty() => problem,
            _ => Fact::known(all, format!("GetManagedPrefixListEntries {}", ids.join(" "))),
        }
    }

    async fn key_pair(&self, instance: &Instance, doing: String) -> Fact<Option<crate::core::facts::aws::KeyPair>> {
        let name = instance.key_name.as_deref().unwrap_or_default();
        let source = format!("DescribeKeyPairs {name}");
        match self.ec2(&instance.region).describe_key_pairs().key_names(name).include_public_key(true).send().await {
            Ok(answer) => Fact::known(
                answer.key_pairs().iter().find(|k| k.key_name() == Some(name)).map(convert::key_pair),
                source,
            ),
            Err(e) if error::code(&e) == "InvalidKeyPair.NotFound" => Fact::known(None, source),
            Err(e) => error::fact(&e, ProbeId::KeyPair, &doing),
        }
    }

    async fn image(&self, instance: &Instance, doing: String) -> Fact<Option<crate::core::facts::aws::Image>> {
        let id = instance.image_id.as_deref().unwrap_or_default();
        let source = format!("DescribeImages {id}");
        // Without both flags an old image is simply missing from the answer.
        match self
            .ec2(&instance.region)
            .describe_images()
            .image_ids(id)
            .include_deprecated(true)
            .include_disabled(true)
            .send()
            .await
        {
            Ok(answer) => Fact::known(answer.images().first().map(convert::image), source),
            Err(e) if error::code(&e).starts_with("InvalidAMIID") => Fact::known(None, source),
            Err(e) => error::fact(&e, ProbeId::Image, &doing),
        }
    }

    async fn console(&self, instance: &Instance, doing: String) -> Fact<String> {
        match self.ec2(&instance.region).get_console_output().instance_id(&instance.id).send().await {
            Ok(answer) => {
                let raw = base64::engine::general_purpose::STANDARD
                    .decode(answer.output().unwrap_or_default().split_whitespace().collect::<String>());
                match raw {
                    Ok(bytes) if bytes.is_empty() => Fact::unknown(Why::failed(
                        doing,
                        "the console log is empty (AWS fills it some minutes after a start)",
                    )),
                    Ok(bytes) => Fact::known(
                        // Boot scripts print passwords and keys; nothing of the kind goes further.
                        crate::core::redact::secrets(&String::from_utf8_lossy(&bytes)),
                        format!("GetConsoleOutput {}", instance.id),
                    ),
                    Err(_) => Fact::unknown(Why::failed(doing, "the answer is not base64")),
                }
            }
            Err(e) => error::fact(&e, ProbeId::Console, &doing),
        }
    }

    async fn ssm_agent(&self, instance: &Instance, doing: String) -> Fact<Option<crate::core::facts::aws::SsmAgent>> {
        let by_id = aws_sdk_ssm::types::InstanceInformationStringFilter::builder()
            .key("InstanceIds")
            .values(&instance.id)
            .build();
        let by_id = match by_id {
            Ok(filter) => filter,
            Err(e) => return Fact::unknown(Why::failed(doing, e.to_string())),
        };
        match self.ssm(&instance.region).describe_instance_information().filters(by_id).send().await {
            Ok(answer) => {
                let found = answer.instance_information_list().iter().find(|i| i.instance_id() == Some(&instance.id));
                Fact::known(found.map(convert::ssm_agent), format!("DescribeInstanceInformation {}", instance.id))
            }
            Err(e) => error::fact(&e, ProbeId::Ssm, &doing),
        }
    }
}
