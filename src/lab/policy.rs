//! What the role of an instance may do, as IAM judges it: an explicit denial wins, then any permission.
//!
//! Used by `api` and `managed`. Knows of AWS's own policies only what the story needs; conditions and resources are
//! not looked at.

use serde_json::Value;

use super::world::{Role, World};

/// The actions of `AmazonSSMManagedInstanceCore` (its default version).
const MANAGED_INSTANCE_CORE: &[&str] = &[
    "ssm:DescribeAssociation",
    "ssm:GetDeployablePatchSnapshotForInstance",
    "ssm:GetDocument",
    "ssm:DescribeDocument",
    "ssm:GetManifest",
    "ssm:GetParameter",
    "ssm:GetParameters",
    "ssm:ListAssociations",
    "ssm:ListInstanceAssociations",
    "ssm:PutInventory",
    "ssm:PutComplianceItems",
    "ssm:PutConfigurePackageResult",
    "ssm:UpdateAssociationStatus",
    "ssm:UpdateInstanceAssociationStatus",
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
    "ec2messages:AcknowledgeMessage",
    "ec2messages:DeleteMessage",
    "ec2messages:FailMessage",
    "ec2messages:GetEndpoint",
    "ec2messages:GetMessages",
    "ec2messages:SendReply",
];

/// The answer to "may this role do that?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Allowed,
    ExplicitDeny,
    ImplicitDeny,
}

impl Decision {
    /// The word of the simulator.
    pub fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::ExplicitDeny => "explicitDeny",
            Self::ImplicitDeny => "implicitDeny",
        }
    }
}

/// Judges one action, such as `ssm:UpdateInstanceInformation`.
pub(super) fn decide(role: &Role, action: &str) -> Decision {
    let managed = role.attached.iter().any(|name| match name.as_str() {
        "AmazonSSMManagedInstanceCore" => MANAGED_INSTANCE_CORE.iter().any(|known| known.eq_ignore_ascii_case(action)),
        "AdministratorAccess" => true,
        _ => false,
    });
    let mut verdict = if managed { Decision::Allowed } else { Decision::ImplicitDeny };
    for (_, document) in &role.inline {
        let document: Value = serde_json::from_str(document).unwrap_or_default();
        for statement in many(&document["Statement"]) {
            if !many(&statement["Action"]).any(|pattern| pattern.as_str().is_some_and(|text| like(text, action))) {
                continue;
            }
            match statement["Effect"].as_str() {
                Some("Deny") => return Decision::ExplicitDeny,
                Some("Allow") => verdict = Decision::Allowed,
                _ => {}
            }
        }
    }
    verdict
}

/// A role by its name.
pub(super) fn role<'a>(world: &'a World, name: &str) -> Option<&'a Role> {
    world.roles.iter().find(|role| role.name == name)
}

/// Whether an instance profile of this name exists.
pub(super) fn is_profile(world: &World, name: &str) -> bool {
    // A role that was made by a call has tags, and a profile only when one was made too.
    world.profiles.iter().any(|known| known.name == name) || role(world, name).is_some_and(|role| role.tags.is_empty())
}

/// The role in an instance profile.
pub(super) fn role_in_profile<'a>(world: &'a World, name: &str) -> Option<&'a Role> {
    match world.profiles.iter().find(|known| known.name == name) {
        Some(profile) => profile.role.as_deref().and_then(|name| role(world, name)),
        None => role(world, name).filter(|_| is_profile(world, name)),
    }
}

/// IAM's documents write one thing without a list.
fn many(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(all) => Box::new(all.iter()),
        Value::Null => Box::new(std::iter::empty()),
        one => Box::new(std::iter::once(one)),
    }
}

/// Actions are compared without regard to case; `*` and `?` are wild cards.
fn like(pattern: &str, action: &str) -> bool {
    super::api::like(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explicit_denial_wins() {
        let document = r#"{"Statement":[{"Effect":"Allow","Action":"ssm:*"},{"Effect":"Deny","Action":["ssm:Get*"]}]}"#;
        let role =
            Role { name: "r".into(), attached: vec![], inline: vec![("p".into(), document.into())], tags: vec![] };
        assert_eq!(decide(&role, "ssm:UpdateInstanceInformation"), Decision::Allowed);
        assert_eq!(decide(&role, "ssm:GetParameter"), Decision::ExplicitDeny);
        assert_eq!(decide(&role, "ec2:DescribeInstances"), Decision::ImplicitDeny);
    }
}
