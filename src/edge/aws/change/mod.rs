//! The changes: each the exact API call that the plan showed. Called by `engine::repair` only.
//!
//! Every deed looks first: what the plan saw must still be so, and what an interrupted attempt of the same step made is
//! found again by its token. Must not retry a change whose outcome is unknown.

mod access;
mod acl;
mod addresses;
mod gateways;
mod groups;
mod key_pair;
mod network;
mod power;
mod routes;
mod runbook;
mod standing;
mod user_data;
mod volume;

use crate::core::plan::volume::VolumeAction;
use crate::core::plan::{Action, Gate, GateState, Plan};
use crate::edge::aws::client::Aws;
use crate::edge::aws::error;
use crate::engine::failure::Failure;
use crate::engine::world::{Performed, Settled, StepContext};
use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use std::time::Duration;

/// Marks what this program made.
const TAG: (&str, &str) = ("created-by", "port22");
/// Key of the tag that names the step which made something.
const STEP_TAG: &str = "port22-step";
/// Limit of each question before a change.
const QUESTION: Duration = Duration::from_secs(15);

impl Aws {
    /// Performs an AWS action; `None` when the action is not one of AWS.
    pub async fn perform(&self, action: &Action, step: &StepContext) -> Option<Result<Performed, Failure>> {
        Some(match action {
            Action::AuthorizeIngress { region, group, protocol, from_port, to_port, cidr, description } => {
                let permission = groups::permission(protocol, *from_port, *to_port, *cidr, Some(description));
                self.authorize(region, group, &permission, *cidr, step).await
            }
            Action::RevokeIngress { region, group, rule, seen } => {
                self.revoke(region, group, rule, seen.as_ref()).await
            }
            Action::RevokeOwn { .. } => self.revoke_own(action, Some(step)).await,
            Action::ModifyIngress { .. } => self.modify(action, step.again).await,
            Action::StartInstance { region, instance } => self.set_running(region, instance, true, step).await,
            Action::StopInstance { region, instance } => self.set_running(region, instance, false, step).await,
            Action::Access(deed) => self.perform_access(deed, step).await,
            Action::Network(deed) => self.network(deed, step).await,
            Action::Power(deed) => self.power(deed, step).await,
            Action::KeyPair(action) => self.key_pair_deed(action, step).await,
            Action::UserData(deed) => self.user_data_deed(deed, step).await,
            Action::Volume(deed) => self.perform_volume(deed, step).await,
            Action::Chmod { .. } | Action::Local(_) | Action::Remote(_) => return None,
        })
    }

    /// Looks whether a deed that takes something back would be refused; only those that refuse for good are looked at.
    pub async fn foresee(&self, undo: &Action) -> Result<(), Failure> {
        match undo {
            Action::UserData(deed) => self.foresee_user_data(deed).await,
            // It only looks.
            Action::Volume(deed @ VolumeAction::KeepRepair { .. }) => {
                self.perform_volume(deed, &StepContext::default()).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Looks what became of an AWS action of which no answer is known; `None` when the action is not one of AWS.
    pub async fn settle(&self, action: &Action, step: &StepContext) -> Option<Settled> {
        Some(match action {
            Action::StartInstance { region, instance } => self.settle_power(region, instance, true).await,
            Action::StopInstance { region, instance } => self.settle_power(region, instance, false).await,
            Action::Access(deed) => self.settle_access(deed, step).await,
            Action::Network(deed) => self.settle_network(deed, step).await,
            Action::Power(deed) => self.settle_deed(deed).await,
            Action::KeyPair(action) => self.settle_key_pair(action, step).await,
            Action::UserData(deed) => self.settle_user_data(deed).await,
            Action::Volume(deed) => self.settle_volume(deed, step).await,
            Action::Chmod { .. } | Action::Local(_) | Action::Remote(_) => return None,
            _ => Settled::CannotTell("this change leaves no mark to look for".to_owned()),
        })
    }

    /// Asks DryRun where the API has it, and who else shares what the plan touches.
    /// With `quiet` nothing that is named a change is sent, not even as DryRun.
    pub async fn preflight(&self, mut plan: Plan, quiet: bool) -> Plan {
        let mut gates = Vec::new();
        for action in plan.steps.iter().filter_map(|s| s.action.as_ref()) {
            if quiet {
                gates.push(Gate::new(
                    "permission",
                    GateState::Warn,
                    "not asked whether you may make this call (--read-only)",
                ));
            } else {
                let late = || {
                    Some(Gate::new(
                        "permission",
                        GateState::Warn,
                        "cannot tell whether you may make this call: no answer",
                    ))
                };
                gates.extend(tokio::time::timeout(QUESTION, self.dry_run(action)).await.unwrap_or_else(|_| late()));
            }
            if let Action::AuthorizeIngress { region, group, .. } | Action::ModifyIngress { region, group, .. } = action
            {
                let shared = tokio::time::timeout(QUESTION, self.shared(region, group, &plan.subject)).await;
                gates.push(shared.unwrap_or_else(|_| {
                    Gate::new("shared", GateState::Warn, format!("cannot tell who else uses {group}: no answer"))
                }));
            }
        }
        // A plan may make the same call twice.
        for gate in gates {
            if !plan.gates.contains(&gate) {
                plan.gates.push(gate);
            }
        }
        plan
    }

    /// Whether the caller may do it, asked by DryRun; `None` where the API has none.
    async fn dry_run(&self, action: &Action) -> Option<Gate> {
        match action {
            Action::AuthorizeIngress { .. } | Action::ModifyIngress { .. } => self.dry_run_group(action).await,
            Action::KeyPair(action) => Some(self.dry_run_key_pair(action).await),
            Action::StartInstance { region, instance } => {
                let call = self.ec2_once(region).start_instances().instance_ids(instance).dry_run(true);
                Some(dry(call.send().await.map(drop), "ec2:StartInstances").gate("ec2:StartInstances"))
            }
            Action::StopInstance { region, instance } => {
                let call = self.ec2_once(region).stop_instances().instance_ids(instance).dry_run(true);
                Some(dry(call.send().await.map(drop), "ec2:StopInstances").gate("ec2:StopInstances"))
            }
            Action::Network(deed) => self.dry_run_network(deed).await,
            Action::Power(deed) => self.dry_run_power(deed).await,
            Action::UserData(deed) => self.dry_run_user_data(deed).await.map(|(name, said)| said.gate(name)),
            Action::Volume(deed) => self.dry_run_volume(deed).await.map(|(name, said)| said.gate(name)),
            _ => None,
        }
    }
}

/// The tags of what a step makes: who made it, and which step.
fn step_tags(kind: ResourceType, step: &StepContext) -> TagSpecification {
    TagSpecification::builder()
        .resource_type(kind)
        .tags(Tag::builder().key(TAG.0).value(TAG.1).build())
        .tags(Tag::builder().key(STEP_TAG).value(&step.token).build())
        .build()
}

/// Finds what this step made before it was cut short.
fn step_filter(step: &StepContext) -> Filter {
    Filter::builder().name(format!("tag:{STEP_TAG}")).values(&step.token).build()
}

/// What DryRun said.
enum Dry {
    Allowed,
    Done(String),
    Denied(String),
    Unclear(String),
}

impl Dry {
    /// The gate of it, for an action such as `ec2:StartInstances`.
    fn gate(self, name: &str) -> Gate {
        match self {
            Self::Allowed => Gate::new("permission", GateState::Ok, format!("you may call {name} (DryRun)")),
            Self::Done(text) => Gate::new("permission", GateState::Ok, text),
            Self::Denied(text) => Gate::new("permission", GateState::Refuse, text),
            Self::Unclear(text) => Gate::new("permission", GateState::Warn, text),
        }
    }
}

/// Reads the answer to a call with DryRun: EC2 answers with an error in any case.
fn dry<E>(answer: Result<(), aws_sdk_ec2::error::SdkError<E>>, action: &str) -> Dry
where
    E: aws_sdk_ec2::error::ProvideErrorMetadata + std::error::Error + 'static,
{
    match answer {
        Ok(()) => Dry::Unclear(format!("{action} did not answer to DryRun as documented")),
        Err(e) => match error::code(&e) {
            "DryRunOperation" => Dry::Allowed,
            "InvalidPermission.Duplicate" => Dry::Done("the rule is there already".to_owned()),
            _ => match error::why(&e, action, "ask for permission") {
                crate::core::fact::Why::Denied { action, reason } => {
                    Dry::Denied(format!("you are not allowed to call {action} {reason}").trim_end().to_owned())
                }
                other => Dry::Unclear(format!("cannot tell whether you may call {action}: {}", other.text())),
            },
        },
    }
}
