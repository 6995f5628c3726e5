//! What a role may do, as far as its policies tell.
//!
//! The simulator's answers come first; without them the documents are read. Whatever cannot be decided
//! from the text alone (a condition, a narrow resource, a policy that was not read) is "cannot tell",
//! never "allowed" or "refused". Service control policies, boundaries and sessions are not seen here.
//!
//! Source: IAM User Guide, "Policy evaluation logic" and "IAM JSON policy elements".

use crate::core::facts::doors::RolePolicies;
use serde_json::Value;

#[cfg(test)]
mod tests;

/// Whether an action is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Allowed, and by what.
    Allowed(String),
    /// Not allowed, and why: nothing allows it, or a statement denies it.
    Refused(String),
    /// The simulator refuses it, and what could speak against that was not read: very likely not allowed.
    Doubtful(String),
    /// The policies do not tell, and why.
    Unknown(String),
}

/// What one document says about an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// Nothing.
    Nothing,
    /// An unconditional allow for every resource.
    Allow,
    /// An unconditional deny for every resource.
    Deny,
    /// An allow that depends on a condition or resource.
    PerhapsAllow,
    /// A deny that depends on a condition or resource.
    PerhapsDeny,
    /// It is no policy that can be read.
    Unreadable,
}

/// AWS-managed policies whose content concerning Systems Manager agents is known: name, and the patterns
/// of allowed actions (AWS Managed Policy Reference). A policy that grants nothing of it has no pattern.
const MANAGED: &[(&str, &[&str])] = &[
    ("AmazonSSMManagedInstanceCore", &["ssm:UpdateInstanceInformation", "ssmmessages:*", "ec2messages:*"]),
    ("AmazonSSMManagedEC2InstanceDefaultPolicy", &["ssm:UpdateInstanceInformation", "ssmmessages:*", "ec2messages:*"]),
    ("AmazonEC2RoleforSSM", &["ssm:UpdateInstanceInformation", "ssmmessages:*", "ec2messages:*"]),
    ("AmazonSSMFullAccess", &["ssm:*", "ssmmessages:*", "ec2messages:*"]),
    ("AdministratorAccess", &["*"]),
    ("PowerUserAccess", &["ssm:*", "ssmmessages:*", "ec2messages:*"]),
    ("CloudWatchAgentServerPolicy", &[]),
    ("CloudWatchAgentAdminPolicy", &[]),
    ("CloudWatchLogsFullAccess", &[]),
    ("AmazonS3ReadOnlyAccess", &[]),
    ("AmazonS3FullAccess", &[]),
    ("AmazonEC2ContainerRegistryReadOnly", &[]),
    ("AmazonEC2ContainerRegistryPowerUser", &[]),
    ("AmazonEC2ContainerServiceforEC2Role", &[]),
    ("AmazonEC2ReadOnlyAccess", &[]),
    ("AmazonEC2FullAccess", &[]),
    ("AmazonDynamoDBFullAccess", &[]),
    ("AmazonDynamoDBReadOnlyAccess", &[]),
    ("AmazonSQSFullAccess", &[]),
    ("AmazonEKSWorkerNodePolicy", &[]),
    ("AmazonEKS_CNI_Policy", &[]),
    ("AmazonSSMReadOnlyAccess", &[]),
    ("AmazonSSMPatchAssociation", &[]),
    ("AmazonSSMDirectoryServiceAccess", &[]),
    ("AWSXRayDaemonWriteAccess", &[]),
    ("SecretsManagerReadWrite", &[]),
    ("ReadOnlyAccess", &[]),
    ("ViewOnlyAccess", &[]),
];

/// Whether a role's policies allow an action.
pub fn may(policies: &RolePolicies, action: &str) -> Answer {
    let simulated = policies.simulated.iter().find(|(asked, _)| asked.eq_ignore_ascii_case(action));
    let read = by_documents(policies, action);
    let simulator = format!("the policy simulator refuses {action}");
    match (simulated, read) {
        (Some((_, true)), _) => Answer::Allowed("the policy simulator".to_owned()),
        (Some((_, false)), _) if nothing_read(policies) => Answer::Refused(simulator),
        // The simulator has no request: what depends on a condition or a resource it refuses, and IAM may not.
        (Some((_, false)), Answer::Unknown(why)) if conditional(policies, action) => Answer::Unknown(why),
        (Some((_, false)), Answer::Unknown(why)) => Answer::Doubtful(format!("{simulator}; {why}")),
        // A permissions boundary, which is not among the documents, would do that.
        (Some((_, false)), Answer::Allowed(by)) => Answer::Doubtful(format!("{simulator}, though {by} allows it")),
        (Some((_, false)), _) => Answer::Refused(simulator),
        (None, _) if nothing_read(policies) && !policies.simulated.is_empty() => {
            Answer::Unknown(format!("the policy simulator was not asked about {action}"))
        }
        (None, read) => read,
    }
}

/// Whether a document that was read allows the action on a condition.
fn conditional(policies: &RolePolicies, action: &str) -> bool {
    policies.inline.iter().chain(&policies.documents).any(|(_, text)| says(text, action) == Says::PerhapsAllow)
}

/// Whether only the simulator was asked, and no policy is known by name or text.
fn nothing_read(policies: &RolePolicies) -> bool {
    policies.attached.is_empty() && policies.inline.is_empty() && policies.documents.is_empty()
}

fn by_documents(policies: &RolePolicies, action: &str) -> Answer {
    let mut allowed = None;
    let mut unsure = None;
    let documents = policies.documents.iter().map(|(arn, text)| (last(arn), text));
    for (name, text) in policies.inline.iter().map(|(name, text)| (name.as_str(), text)).chain(documents) {
        match says(text, action) {
            Says::Deny => return Answer::Refused(format!("{name} denies {action}")),
            Says::Allow => allowed = allowed.or(Some(name.to_owned())),
            Says::PerhapsAllow => {
                unsure =
                    unsure.or(Some((false, format!("{name} allows {action} on a condition or for some resources"))));
            }
            Says::PerhapsDeny => {
                unsure = Some((true, format!("{name} denies {action} on a condition or for some resources")));
            }
            Says::Unreadable => unsure = Some((true, format!("{name} could not be read"))),
            Says::Nothing => {}
        }
    }
    for (name, arn) in &policies.attached {
        if policies.documents.iter().any(|(read, _)| read == arn) {
            continue;
        }
        match MANAGED.iter().find(|(known, _)| known == name).filter(|_| is_aws_managed(arn)) {
            Some((_, grants)) if grants.iter().any(|pattern| fits(pattern, action)) => {
                allowed = allowed.or(Some(name.clone()));
            }
            Some(_) => {}
            // What was not read may also deny; an AWS-managed policy hardly does.
            None => unsure = unsure.or(Some((!is_aws_managed(arn), format!("the content of {name} was not read")))),
        }
    }
    match (allowed, unsure) {
        (_, Some((true, why))) => Answer::Unknown(why),
        (Some(by), _) => Answer::Allowed(by),
        (None, Some((_, why))) => Answer::Unknown(why),
        (None, None) if nothing_read(policies) => {
            Answer::Refused(format!("the role has no policy at all, so nothing allows {action}"))
        }
        (None, None) => Answer::Refused(format!("no policy of the role allows {action}")),
    }
}

/// Whether an ARN is that of a policy that AWS keeps.
fn is_aws_managed(arn: &str) -> bool {
    arn.split(':').nth(4) == Some("aws")
}

fn last(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// What a policy document says about an action for any resource.
pub fn says(document: &str, action: &str) -> Says {
    let text = if document.trim_start().starts_with('%') { percent_decoded(document) } else { document.to_owned() };
    let Ok(policy) = serde_json::from_str::<Value>(&text) else { return Says::Unreadable };
    let statements = match policy.get("Statement") {
        Some(Value::Array(list)) => list.iter().collect(),
        Some(one @ Value::Object(_)) => vec![one],
        _ => return Says::Unreadable,
    };
    let mut found = Says::Nothing;
    for statement in statements {
        let Some(covers) = covers(statement, action) else { return Says::Unreadable };
        if !covers {
            continue;
        }
        let free = statement.get("Condition").is_none_or(|c| c.as_object().is_some_and(serde_json::Map::is_empty));
        let whole = statement.get("NotResource").is_none()
            && statement.get("Resource").is_none_or(|r| words(r).is_some_and(|w| w.contains(&"*")));
        let next = match (statement.get("Effect").and_then(Value::as_str), free && whole) {
            (Some("Deny"), true) => return Says::Deny,
            (Some("Deny"), false) => Says::PerhapsDeny,
            (Some("Allow"), true) => Says::Allow,
            (Some("Allow"), false) => Says::PerhapsAllow,
            _ => return Says::Unreadable,
        };
        let weight = |says: Says| match says {
            Says::Nothing => 0,
            Says::PerhapsAllow => 1,
            Says::Allow => 2,
            _ => 3,
        };
        if weight(next) > weight(found) {
            found = next;
        }
    }
    found
}

/// Whether a statement's actions cover this one; `None` when the statement has no form that is known.
fn covers(statement: &Value, action: &str) -> Option<bool> {
    match (statement.get("Action"), statement.get("NotAction")) {
        (Some(actions), None) => Some(words(actions)?.iter().any(|a| fits(a, action))),
        (None, Some(others)) => Some(!words(others)?.iter().any(|a| fits(a, action))),
        _ => None,
    }
}

fn words(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(one) => Some(vec![one]),
        Value::Array(list) => list.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// Whether a text fits a pattern with `*` (any text) and `?` (any character); case counts not.
fn fits(pattern: &str, text: &str) -> bool {
    crate::core::text::wildcard(&pattern.to_lowercase(), &text.to_lowercase(), |p, t| p == t)
}

/// IAM hands documents out URL-encoded (RFC 3986).
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        if let Some(byte) = hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
