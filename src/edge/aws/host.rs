//! Reads about the machine itself: type, credits, load, volumes, protection, user data, spot, Windows password.
//!
//! User data and the Windows password leave only as a description. Must not judge.

use super::client::Aws;
use super::{convert, error, metrics};
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::facts::host::{Automation, Machine, SpotRequest, UserData, Volume, WindowsPassword};
use crate::core::facts::local::{KeyFileState, KeyProbe};
use crate::core::probe::ProbeId;
use crate::core::text::shorten;
use crate::core::user_data;
use crate::edge::keys;
use crate::engine::world::Observation;
use aws_sdk_ec2::types::{Filter, InstanceAttributeName};
use base64::Engine as _;

/// Letters of a failure message that are kept.
const MESSAGE: usize = 400;
/// Automations that are looked at: the latest ones.
const AUTOMATIONS: i32 = 20;

impl Aws {
    /// One of the probes about the machine.
    pub(super) async fn about_host(&self, probe: ProbeId, facts: &Facts, doing: String) -> Vec<Observation> {
        let Some(instance) = facts.instance() else { return Vec::new() };
        vec![match probe {
            ProbeId::Machine => Observation::Machine(self.machine(instance, doing).await),
            ProbeId::CreditMode => Observation::CreditMode(self.credit_mode(instance, doing).await),
            ProbeId::Metrics => Observation::Metrics(metrics::read(self, instance, facts.now, &doing).await),
            ProbeId::Volumes => Observation::Volumes(self.volumes(instance, doing).await),
            ProbeId::StopProtection => Observation::StopProtection(self.stop_protected(instance, doing).await),
            ProbeId::UserData => Observation::UserData(self.user_data(instance, doing).await),
            ProbeId::Spot => Observation::Spot(self.spot(instance, doing).await),
            ProbeId::WindowsPassword => {
                Observation::WindowsPassword(self.windows_password(instance, &facts.local.keys, doing).await)
            }
            ProbeId::Automations => Observation::Automations(self.automations(instance, doing).await),
            _ => return Vec::new(),
        }]
    }

    async fn machine(&self, instance: &Instance, doing: String) -> Fact<Machine> {
        let name = instance.instance_type.clone();
        let call = self.ec2(&instance.region).describe_instance_types().instance_types(name.as_str().into());
        match call.send().await {
            Ok(answer) => match answer.instance_types().first() {
                Some(t) => Fact::known(
                    Machine {
                        name: name.clone(),
                        hypervisor: t.hypervisor().map(|h| h.as_str().to_owned()),
                        bare_metal: t.bare_metal().unwrap_or(false),
                        burstable: t.burstable_performance_supported().unwrap_or(false),
                        instance_storage: t.instance_storage_supported().unwrap_or(false),
                    },
                    format!("DescribeInstanceTypes {name}"),
                ),
                None => Fact::unknown(Why::failed(doing, "the type is not in the answer")),
            },
            Err(e) => error::fact(&e, ProbeId::Machine, &doing),
        }
    }

    async fn credit_mode(&self, instance: &Instance, doing: String) -> Fact<String> {
        let call = self.ec2(&instance.region).describe_instance_credit_specifications().instance_ids(&instance.id);
        match call.send().await {
            Ok(answer) => match answer.instance_credit_specifications().first().and_then(|s| s.cpu_credits()) {
                Some(mode) => {
                    Fact::known(mode.to_owned(), format!("DescribeInstanceCreditSpecifications {}", instance.id))
                }
                None => Fact::unknown(Why::failed(doing, "the instance is not in the answer")),
            },
            Err(e) => error::fact(&e, ProbeId::CreditMode, &doing),
        }
    }

    async fn volumes(&self, instance: &Instance, doing: String) -> Fact<Vec<Volume>> {
        let attached = Filter::builder().name("attachment.instance-id").values(&instance.id).build();
        let mut pages = self.ec2(&instance.region).describe_volumes().filters(attached).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => found.extend(page.volumes().iter().map(|v| convert::volume(v, &instance.id))),
                Err(e) => return error::fact(&e, ProbeId::Volumes, &doing),
            }
        }
        Fact::known(found, format!("DescribeVolumes of {}", instance.id))
    }

    async fn stop_protected(&self, instance: &Instance, doing: String) -> Fact<bool> {
        let call = self
            .ec2(&instance.region)
            .describe_instance_attribute()
            .instance_id(&instance.id)
            .attribute(InstanceAttributeName::DisableApiStop);
        match call.send().await {
            Ok(answer) => match answer.disable_api_stop().and_then(aws_sdk_ec2::types::AttributeBooleanValue::value) {
                Some(value) => Fact::known(value, format!("DescribeInstanceAttribute disableApiStop {}", instance.id)),
                None => Fact::unknown(Why::failed(doing, "the answer does not name disableApiStop")),
            },
            Err(e) => error::fact(&e, ProbeId::StopProtection, &doing),
        }
    }

    async fn user_data(&self, instance: &Instance, doing: String) -> Fact<Option<UserData>> {
        let call = self
            .ec2(&instance.region)
            .describe_instance_attribute()
            .instance_id(&instance.id)
            .attribute(InstanceAttributeName::UserData);
        match call.send().await {
            Ok(answer) => {
                let encoded = answer.user_data().and_then(|u| u.value()).unwrap_or_default();
                let raw = base64::engine::general_purpose::STANDARD
                    .decode(encoded.split_whitespace().collect::<String>())
                    .unwrap_or_default();
                let described = (!raw.is_empty()).then(|| user_data::describe(&raw));
                Fact::known(described, format!("DescribeInstanceAttribute userData {}", instance.id))
            }
            Err(e) => error::fact(&e, ProbeId::UserData, &doing),
        }
    }

    async fn spot(&self, instance: &Instance, doing: String) -> Fact<Option<SpotRequest>> {
        let of_instance = Filter::builder().name("instance-id").values(&instance.id).build();
        match self.ec2(&instance.region).describe_spot_instance_requests().filters(of_instance).send().await {
            Ok(answer) => {
                let found = answer.spot_instance_requests().first().map(|r| SpotRequest {
                    id: r.spot_instance_request_id().unwrap_or_default().to_owned(),
                    kind: r.r#type().map(|t| t.as_str().to_owned()).unwrap_or_default(),
                    status: r.status().and_then(|s| s.code()).unwrap_or_default().to_owned(),
                    message: r.status().and_then(|s| convert::text(s.message())).unwrap_or_default(),
                });
                Fact::known(found, format!("DescribeSpotInstanceRequests of {}", instance.id))
            }
            Err(e) => error::fact(&e, ProbeId::Spot, &doing),
        }
    }

    async fn windows_password(&self, instance: &Instance, probes: &[KeyProbe], doing: String) -> Fact<WindowsPassword> {
        match self.ec2(&instance.region).get_password_data().instance_id(&instance.id).send().await {
            Ok(answer) => {
                let encoded: String = answer.password_data().unwrap_or_default().split_whitespace().collect();
                let sealed = base64::engine::general_purpose::STANDARD.decode(&encoded).unwrap_or_default();
                let ready = !sealed.is_empty();
                let opens = if ready { opens(sealed, probes).await } else { None };
                Fact::known(WindowsPassword { ready, opens }, format!("GetPasswordData {}", instance.id))
            }
            Err(e) => error::fact(&e, ProbeId::WindowsPassword, &doing),
        }
    }

    async fn automations(&self, instance: &Instance, doing: String) -> Fact<Vec<Automation>> {
        use aws_sdk_ssm::types::{AutomationExecutionFilter, AutomationExecutionFilterKey};
        let support = AutomationExecutionFilter::builder()
            .key(AutomationExecutionFilterKey::DocumentNamePrefix)
            .values("AWSSupport-")
            .build();
        let support = match support {
            Ok(filter) => filter,
            Err(e) => return Fact::unknown(Why::failed(doing, e.to_string())),
        };
        let client = self.ssm(&instance.region);
        let listed =
            match client.describe_automation_executions().filters(support).max_results(AUTOMATIONS).send().await {
                Ok(listed) => listed,
                Err(e) => return error::fact(&e, ProbeId::Automations, &doing),
            };
        let bad = |a: &&aws_sdk_ssm::types::AutomationExecutionMetadata| {
            a.automation_execution_status()
                .is_some_and(|s| matches!(s.as_str(), "Failed" | "Cancelled" | "TimedOut" | "CompletedWithFailure"))
        };
        let mut found = Vec::new();
        for metadata in listed.automation_execution_metadata_list().iter().filter(bad) {
            let Some(id) = metadata.automation_execution_id() else { continue };
            // Only the execution itself tells which instance it was for.
            let Ok(whole) = client.get_automation_execution().automation_execution_id(id).send().await else {
                continue;
            };
            let Some(execution) = whole.automation_execution() else { continue };
            let names_it = execution.parameters().is_some_and(|all| all.values().flatten().any(|v| *v == instance.id));
            if names_it {
                found.push(Automation {
                    id: id.to_owned(),
                    document: metadata.document_name().unwrap_or_default().to_owned(),
                    status: metadata.automation_execution_status().map(|s| s.as_str().to_owned()).unwrap_or_default(),
                    message: convert::text(execution.failure_message()).map(|m| shorten(&m, MESSAGE)),
                    step: convert::text(execution.current_step_name()),
                });
            }
        }
        Fact::known(found, "DescribeAutomationExecutions AWSSupport-")
    }
}

/// Whether one of the RSA keys opens the sealed password; `None` when there is none that could be tried.
async fn opens(sealed: Vec<u8>, probes: &[KeyProbe]) -> Option<bool> {
    let paths: Vec<String> = probes
        .iter()
        .filter(|p| matches!(p.file.value(), Some(KeyFileState::Read { key, .. }) if !key.encrypted))
        .map(|p| p.path.clone())
        .collect();
    // RSA on a few thousand bits takes milliseconds, too long for the UI's threads.
    let tried = tokio::task::spawn_blocking(move || {
        let mut any = None;
        for path in paths {
            let Some(key) = keys::load_private(&path).ok().and_then(|bytes| rsa_key(&bytes)) else { continue };
            // The clear text is dropped at once: only whether it opened is wanted.
            let opened = key.decrypt(rsa::Pkcs1v15Encrypt, &sealed).is_ok();
            any = Some(any.unwrap_or(false) || opened);
        }
        any
    });
    tried.await.unwrap_or(None)
}

fn rsa_key(bytes: &[u8]) -> Option<rsa::RsaPrivateKey> {
    let text = std::str::from_utf8(bytes).ok()?;
    let key = russh::keys::decode_secret_key(text.trim_start_matches('\u{feff}'), None).ok()?;
    let pair = key.key_data().rsa()?;
    rsa::RsaPrivateKey::try_from(pair).ok()
}
