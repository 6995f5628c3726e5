//! Deeds about rights: roles, instance profiles, and AWS's own repair runbooks.
//!
//! Data only. Each names exactly what it makes or joins, so that only that is taken back.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One deed about rights, or a runbook. `region` is that of the instance; IAM itself is global.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum AccessAction {
    /// `iam:CreateRole` that EC2 instances may take.
    CreateRole {
        /// Region.
        region: String,
        /// Name.
        role: String,
    },
    /// `iam:DeleteRole`; one that is used meanwhile stays.
    DeleteRole {
        /// Region.
        region: String,
        /// Name.
        role: String,
    },
    /// `iam:AttachRolePolicy`.
    AttachPolicy {
        /// Region.
        region: String,
        /// Role name.
        role: String,
        /// Policy ARN.
        policy: String,
    },
    /// `iam:DetachRolePolicy`.
    DetachPolicy {
        /// Region.
        region: String,
        /// Role name.
        role: String,
        /// Policy ARN.
        policy: String,
    },
    /// `iam:CreateInstanceProfile`.
    CreateProfile {
        /// Region.
        region: String,
        /// Name.
        profile: String,
    },
    /// `iam:DeleteInstanceProfile`; one that is used meanwhile stays.
    DeleteProfile {
        /// Region.
        region: String,
        /// Name.
        profile: String,
    },
    /// `iam:AddRoleToInstanceProfile`.
    AddRole {
        /// Region.
        region: String,
        /// Profile name.
        profile: String,
        /// Role name.
        role: String,
    },
    /// `iam:RemoveRoleFromInstanceProfile`.
    RemoveRole {
        /// Region.
        region: String,
        /// Profile name.
        profile: String,
        /// Role name.
        role: String,
    },
    /// `ec2:AssociateIamInstanceProfile`, for an instance without one.
    Associate {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
        /// Profile name.
        profile: String,
    },
    /// `ec2:DisassociateIamInstanceProfile`, if the instance still has this profile.
    Disassociate {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
        /// Profile name.
        profile: String,
    },
    /// Waits until the agent is online.
    AwaitAgent {
        /// Region.
        region: String,
        /// `i-…`.
        instance: String,
        /// Longest wait, minutes.
        minutes: u64,
    },
    /// `ssm:StartAutomationExecution`; gives `execution`.
    StartRunbook {
        /// Region.
        region: String,
        /// Document.
        document: String,
        /// Parameters, as the document names them.
        parameters: BTreeMap<String, Vec<String>>,
    },
    /// Follows a runbook step by step to its end.
    FollowRunbook {
        /// Region.
        region: String,
        /// Execution id.
        execution: String,
        /// Longest wait, minutes.
        minutes: u64,
    },
    /// `ssm:StopAutomationExecution` of one that an earlier step started, where that harms nothing.
    StopRunbook {
        /// Region.
        region: String,
        /// Execution id.
        execution: String,
    },
}
