//! Reads for plans: which profiles of the account serve an agent, and what a runbook takes today.
//!
//! Must not change anything.

use super::client::Aws;
use super::error;
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::prepared::{ManagingProfile, Runbook, RunbookParameter};
use aws_sdk_iam::types::EntityType;
use aws_sdk_ssm::types::DocumentFormat;
use futures_util::future::join_all;

/// Roles that are looked at.
const ROLES: usize = 8;

impl Aws {
    /// Instance profiles whose role has `AmazonSSMManagedInstanceCore`.
    pub(crate) async fn managing_profiles(&self, region: &str, facts: &Facts) -> Fact<Vec<ManagingProfile>> {
        let doing = "look for instance profiles that Systems Manager can use".to_owned();
        let policy = crate::core::fixes::ssm_role::policy_arn(facts);
        let client = self.iam(region);
        let listed = client.list_entities_for_policy().policy_arn(&policy).entity_filter(EntityType::Role).send().await;
        let roles: Vec<String> = match listed {
            Ok(answer) => {
                answer.policy_roles().iter().filter_map(|r| r.role_name().map(str::to_owned)).take(ROLES).collect()
            }
            // An account that never used the policy.
            Err(e) if error::code(&e) == "NoSuchEntity" => Vec::new(),
            Err(e) => return Fact::unknown(error::why(&e, "iam:ListEntitiesForPolicy", &doing)),
        };
        let looked = join_all(roles.iter().map(|role| self.profiles_of(region, role))).await;
        Fact::known(looked.into_iter().flatten().collect(), "ListEntitiesForPolicy AmazonSSMManagedInstanceCore")
    }

    /// The profiles of a role with all its policies; none where that cannot be read, so that it is not offered.
    async fn profiles_of(&self, region: &str, role: &str) -> Vec<ManagingProfile> {
        let client = self.iam(region);
        let (profiles, attached, inline) = tokio::join!(
            client.list_instance_profiles_for_role().role_name(role).send(),
            client.list_attached_role_policies().role_name(role).send(),
            client.list_role_policies().role_name(role).send(),
        );
        let (Ok(profiles), Ok(attached), Ok(inline)) = (profiles, attached, inline) else { return Vec::new() };
        let mut policies: Vec<String> =
            attached.attached_policies().iter().filter_map(|p| p.policy_name().map(str::to_owned)).collect();
        policies.extend(inline.policy_names().iter().cloned());
        profiles
            .instance_profiles()
            .iter()
            .map(|p| ManagingProfile {
                profile: p.instance_profile_name().to_owned(),
                role: role.to_owned(),
                policies: policies.clone(),
            })
            .collect()
    }

    /// The parameters of a runbook: from its text where that may be read, else from its description.
    pub(crate) async fn runbook(&self, region: &str, document: &str) -> Fact<Runbook> {
        let doing = format!("read the document {document}");
        let client = self.ssm(region);
        let whole = client.get_document().name(document).document_format(DocumentFormat::Json).send().await;
        if let Some(runbook) = whole.ok().and_then(|w| w.content().and_then(parameters)) {
            return Fact::known(runbook, format!("GetDocument {document}"));
        }
        match client.describe_document().name(document).send().await {
            Ok(answer) => {
                let all =
                    answer.document().map(aws_sdk_ssm::types::DocumentDescription::parameters).unwrap_or_default();
                let parameters = all
                    .iter()
                    .map(|p| RunbookParameter {
                        name: p.name().unwrap_or_default().to_owned(),
                        default: p.default_value().map(str::to_owned),
                        allowed: Vec::new(),
                    })
                    .collect();
                Fact::known(Runbook { parameters }, format!("DescribeDocument {document}"))
            }
            Err(e) if error::code(&e) == "InvalidDocument" => {
                Fact::unknown(Why::failed(doing, format!("{document} does not exist in {region}")))
            }
            Err(e) => Fact::unknown(error::why(&e, "ssm:DescribeDocument", &doing)),
        }
    }
}

/// The parameters in the text of a document (schema 0.3, JSON).
fn parameters(content: &str) -> Option<Runbook> {
    let value: serde_json::Value = serde_json::from_str(content).ok()?;
    let text = |v: &serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let all = value.get("parameters")?.as_object()?;
    let parameters = all
        .iter()
        .map(|(name, one)| RunbookParameter {
            name: name.clone(),
            default: one.get("default").map(text),
            allowed: one.get("allowedValues").and_then(|a| a.as_array()).into_iter().flatten().map(text).collect(),
        })
        .collect();
    Some(Runbook { parameters })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_tells_its_parameters_in_their_spelling() {
        let text = r#"{"schemaVersion":"0.3","parameters":{"AllowOffline":{"type":"String","default":"False","allowedValues":["True","False"]},"InstanceId":{"type":"String"}}}"#;
        let found = parameters(text).unwrap();
        let offline = found.parameters.iter().find(|p| p.name == "AllowOffline").unwrap();
        assert_eq!((offline.default.as_deref(), offline.allowed.len()), (Some("False"), 2));
        assert_eq!(found.parameters.iter().find(|p| p.name == "InstanceId").unwrap().default, None);
        assert!(parameters("schemaVersion: '0.3'").is_none());
    }
}
