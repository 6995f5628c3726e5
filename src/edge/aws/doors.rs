//! Reads about the other doors: Session Manager, Instance Connect Endpoints, serial console.
//!
//! One call (with all its pages) each, except the role's policies, which take what the caller may read. Must not judge.

use super::client::Aws;
use super::{convert, error};
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::facts::doors::{ConnectEndpoint, Role, RolePolicies, SerialAccess, VpcEndpoint};
use crate::core::probe::ProbeId;
use crate::core::vpc::types::SecurityGroup;
use crate::engine::world::Observation;
use aws_sdk_ec2::types::Filter;
use std::collections::BTreeMap;

/// Default Host Management Configuration (Systems Manager User Guide, "fleet-manager-default-host-management").
const HOST_MANAGEMENT: &str = "/ssm/managed-instance/default-ec2-instance-management-role";
/// Documents of own policies that are read at most.
const DOCUMENTS: usize = 10;

impl Aws {
    /// One of the probes about the doors.
    pub(super) async fn about_doors(&self, probe: ProbeId, facts: &Facts, doing: String) -> Vec<Observation> {
        let Some(instance) = facts.instance() else { return Vec::new() };
        vec![match probe {
            ProbeId::Connection => Observation::Connection(self.connection(instance, doing).await),
            ProbeId::HostManagement => Observation::HostManagement(self.host_management(instance, doing).await),
            ProbeId::Endpoints => Observation::Endpoints(self.endpoints(instance, doing).await),
            ProbeId::Role => Observation::Role(self.role(instance, doing).await),
            ProbeId::RolePolicies => {
                let role = facts.doors.role.value().and_then(Option::as_ref);
                Observation::RolePolicies(match role {
                    Some(role) => self.role_policies(instance, role, doing).await,
                    None => Fact::unknown(Why::needs("the role of the instance profile")),
                })
            }
            ProbeId::ConnectEndpoints => Observation::ConnectEndpoints(self.connect_endpoints(instance, doing).await),
            ProbeId::EndpointGroups => {
                let ids = crate::engine::diagnose::endpoint_groups(facts);
                Observation::EndpointGroups(self.groups_by_id(instance, ids, doing).await)
            }
            ProbeId::SerialAccess => Observation::SerialAccess(self.serial_access(instance, doing).await),
            _ => return Vec::new(),
        }]
    }

    async fn connection(&self, instance: &Instance, doing: String) -> Fact<String> {
        match self.ssm(&instance.region).get_connection_status().target(&instance.id).send().await {
            Ok(answer) => match answer.status() {
                Some(status) => Fact::known(status.as_str().to_owned(), format!("GetConnectionStatus {}", instance.id)),
                None => Fact::unknown(Why::failed(doing, "the answer names no status")),
            },
            Err(e) => error::fact(&e, ProbeId::Connection, &doing),
        }
    }

    async fn host_management(&self, instance: &Instance, doing: String) -> Fact<Option<String>> {
        match self.ssm(&instance.region).get_service_setting().setting_id(HOST_MANAGEMENT).send().await {
            Ok(answer) => {
                let setting = answer.service_setting();
                let customized = setting.and_then(|s| s.status()).is_some_and(|s| s == "Customized");
                let role = setting.and_then(|s| convert::text(s.setting_value()));
                let role = role.filter(|value| customized && !value.eq_ignore_ascii_case("$None"));
                Fact::known(role, "GetServiceSetting default-ec2-instance-management-role")
            }
            // The setting does not exist where nobody ever turned it on.
            Err(e) if error::code(&e) == "ServiceSettingNotFound" => {
                Fact::known(None, "GetServiceSetting default-ec2-instance-management-role")
            }
            Err(e) => error::fact(&e, ProbeId::HostManagement, &doing),
        }
    }

    async fn endpoints(&self, instance: &Instance, doing: String) -> Fact<Vec<VpcEndpoint>> {
        let vpc = instance.vpc_id.as_deref().unwrap_or_default();
        let of_vpc = Filter::builder().name("vpc-id").values(vpc).build();
        let mut pages = self.ec2(&instance.region).describe_vpc_endpoints().filters(of_vpc).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => found.extend(page.vpc_endpoints().iter().map(|e| VpcEndpoint {
                    id: e.vpc_endpoint_id().unwrap_or_default().to_owned(),
                    service: e.service_name().unwrap_or_default().to_owned(),
                    kind: e.vpc_endpoint_type().map(|t| t.as_str().to_owned()).unwrap_or_default(),
                    state: e.state().map(|s| s.as_str().to_owned()).unwrap_or_default(),
                    private_dns: e.private_dns_enabled().unwrap_or(false),
                    subnets: e.subnet_ids().to_vec(),
                    groups: e.groups().iter().filter_map(|g| convert::text(g.group_id())).collect(),
                })),
                Err(e) => return error::fact(&e, ProbeId::Endpoints, &doing),
            }
        }
        Fact::known(found, format!("DescribeVpcEndpoints of {vpc}"))
    }

    async fn role(&self, instance: &Instance, doing: String) -> Fact<Option<Role>> {
        let arn = instance.profile_arn.as_deref().unwrap_or_default();
        let profile = arn.rsplit('/').next().unwrap_or_default();
        let source = format!("GetInstanceProfile {profile}");
        match self.iam(&instance.region).get_instance_profile().instance_profile_name(profile).send().await {
            Ok(answer) => {
                let role = answer.instance_profile().and_then(|p| p.roles().first()).map(|r| Role {
                    name: r.role_name().to_owned(),
                    arn: r.arn().to_owned(),
                    profile: profile.to_owned(),
                });
                Fact::known(role, source)
            }
            Err(e) if error::code(&e) == "NoSuchEntity" => Fact::known(None, source),
            Err(e) => error::fact(&e, ProbeId::Role, &doing),
        }
    }

    /// The simulator's answers, and beside them the policies' names; documents only where the simulator is silent.
    async fn role_policies(&self, instance: &Instance, role: &Role, doing: String) -> Fact<RolePolicies> {
        let client = self.iam(&instance.region);
        let simulate = client
            .simulate_principal_policy()
            .policy_source_arn(&role.arn)
            .set_action_names(Some(crate::core::rules::AGENT_ACTIONS.iter().map(|a| (*a).to_owned()).collect()))
            .send();
        let attached = client.list_attached_role_policies().role_name(&role.name).send();
        let inline = client.list_role_policies().role_name(&role.name).send();
        let (simulated, attached, inline) = tokio::join!(simulate, attached, inline);
        let mut out = RolePolicies::default();
        let mut first_error = None;
        match simulated {
            Ok(answer) => {
                out.simulated = answer
                    .evaluation_results()
                    .iter()
                    .map(|r| (r.eval_action_name().to_owned(), r.eval_decision().as_str() == "allowed"))
                    .collect::<BTreeMap<_, _>>();
            }
            Err(e) => first_error = Some(error::why(&e, "iam:SimulatePrincipalPolicy", &doing)),
        }
        let listed = attached.is_ok() && inline.is_ok();
        match attached {
            Ok(answer) => {
                let pair = |p: &aws_sdk_iam::types::AttachedPolicy| {
                    Some((p.policy_name()?.to_owned(), p.policy_arn()?.to_owned()))
                };
                out.attached = answer.attached_policies().iter().filter_map(pair).collect();
            }
            Err(e) => first_error = Some(error::why(&e, "iam:ListAttachedRolePolicies", &doing)),
        }
        let inline_names = match inline {
            Ok(answer) => answer.policy_names().to_vec(),
            Err(e) => {
                first_error = Some(error::why(&e, "iam:ListRolePolicies", &doing));
                Vec::new()
            }
        };
        if out.simulated.is_empty() {
            if !listed {
                return Fact::unknown(first_error.unwrap_or_else(|| Why::needs("the role's policies")));
            }
            // A policy that cannot be read could allow everything: then nothing is known.
            if let Err(why) = self.documents(&client, &role.name, &inline_names, &mut out, &doing).await {
                return Fact::unknown(why);
            }
        }
        Fact::known(out, format!("policies of role {}", role.name))
    }

    async fn documents(
        &self,
        client: &aws_sdk_iam::Client,
        role: &str,
        inline: &[String],
        out: &mut RolePolicies,
        doing: &str,
    ) -> Result<(), Why> {
        for name in inline.iter().take(DOCUMENTS) {
            match client.get_role_policy().role_name(role).policy_name(name).send().await {
                Ok(answer) => out.inline.push((name.clone(), answer.policy_document().to_owned())),
                Err(e) => return Err(error::why(&e, "iam:GetRolePolicy", doing)),
            }
        }
        let own: Vec<String> =
            out.attached.iter().map(|(_, arn)| arn.clone()).filter(|arn| !arn.contains("::aws:policy/")).collect();
        for arn in own.into_iter().take(DOCUMENTS) {
            let version = match client.get_policy().policy_arn(&arn).send().await {
                Ok(answer) => answer.policy().and_then(|p| p.default_version_id()).unwrap_or("v1").to_owned(),
                Err(e) => return Err(error::why(&e, "iam:GetPolicy", doing)),
            };
            match client.get_policy_version().policy_arn(&arn).version_id(version).send().await {
                Ok(answer) => {
                    let document = answer.policy_version().and_then(|v| v.document()).unwrap_or_default();
                    out.documents.push((arn, document.to_owned()));
                }
                Err(e) => return Err(error::why(&e, "iam:GetPolicyVersion", doing)),
            }
        }
        Ok(())
    }

    async fn connect_endpoints(&self, instance: &Instance, doing: String) -> Fact<Vec<ConnectEndpoint>> {
        let vpc = instance.vpc_id.as_deref().unwrap_or_default();
        let of_vpc = Filter::builder().name("vpc-id").values(vpc).build();
        let call = self.ec2(&instance.region).describe_instance_connect_endpoints().filters(of_vpc);
        let mut pages = call.into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => found.extend(page.instance_connect_endpoints().iter().map(convert::connect_endpoint)),
                Err(e) => return error::fact(&e, ProbeId::ConnectEndpoints, &doing),
            }
        }
        Fact::known(found, format!("DescribeInstanceConnectEndpoints of {vpc}"))
    }

    async fn groups_by_id(&self, instance: &Instance, ids: Vec<String>, doing: String) -> Fact<Vec<SecurityGroup>> {
        let by_id = Filter::builder().name("group-id").set_values(Some(ids.clone())).build();
        let mut pages = self.ec2(&instance.region).describe_security_groups().filters(by_id).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => found.extend(page.security_groups().iter().map(|g| convert::group(g, &[]))),
                Err(e) => return error::fact(&e, ProbeId::EndpointGroups, &doing),
            }
        }
        Fact::known(found, format!("DescribeSecurityGroups {}", ids.join(" ")))
    }

    async fn serial_access(&self, instance: &Instance, doing: String) -> Fact<SerialAccess> {
        match self.ec2(&instance.region).get_serial_console_access_status().send().await {
            Ok(answer) => match answer.serial_console_access_enabled() {
                Some(enabled) => Fact::known(
                    SerialAccess { enabled, managed_by: answer.managed_by().map(|m| m.as_str().to_owned()) },
                    format!("GetSerialConsoleAccessStatus in {}", instance.region),
                ),
                None => Fact::unknown(Why::failed(doing, "the answer does not say")),
            },
            Err(e) => error::fact(&e, ProbeId::SerialAccess, &doing),
        }
    }
}
