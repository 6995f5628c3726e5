//! Roles and instance profiles.
//!
//! Must not touch a role or profile that it did not make, but for the one policy that the plan names; must not replace
//! a profile that is there.

use super::TAG;
use crate::core::plan::Action;
use crate::core::plan::access::AccessAction as Deed;
use crate::core::recognise::strip_controls;
use crate::edge::aws::client::Aws;
use crate::edge::aws::error;
use crate::engine::failure::Failure;
use crate::engine::world::{Performed, Settled, StepContext};
use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_iam::types::Tag;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// Tag with the step that made something.
const STEP: &str = "port22-step";
/// How long a new profile may take until EC2 knows it (IAM User Guide: changes are not visible at once).
const SPREAD: Duration = Duration::from_secs(90);
/// Pause between looks.
const PAUSE: Duration = Duration::from_secs(5);
/// The trust that lets EC2 instances take a role.
const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

/// What is left of a step that had nothing to do.
fn unchanged(text: impl Into<String>) -> Performed {
    Performed { text: text.into(), ..Performed::default() }
}

fn made(text: impl Into<String>, undo: Deed) -> Performed {
    Performed { text: text.into(), undo: Some(Action::Access(undo)), changed: true, ..Performed::default() }
}

/// What is as wanted already: an attempt of this step that was cut short may have done it; else somebody else did.
fn already(text: impl Into<String>, undo: Deed, step: &StepContext) -> Performed {
    if step.again { made(text, undo) } else { unchanged(text) }
}

/// Makes what IAM knows by a name, unless it is there. `made_by` gives the token of the step that made what is there;
/// the call's error says whether there was such a thing already.
async fn create<'a>(
    what: &str,
    undo: Deed,
    step: &StepContext,
    made_by: impl Fn() -> BoxFuture<'a, Result<Option<String>, Failure>>,
    call: impl Future<Output = Result<(), (bool, Failure)>>,
) -> Result<Performed, Failure> {
    let found = |by: &str| {
        if by == step.token {
            made(format!("{what} is made"), undo.clone())
        } else {
            unchanged(format!("{what} is there already"))
        }
    };
    if let Some(by) = made_by().await? {
        return Ok(found(&by));
    }
    match call.await {
        Ok(()) => Ok(made(format!("{what} is made"), undo)),
        Err((false, failure)) => Err(failure),
        // IAM shows what was made a moment later: it may be what an attempt that was cut short has made.
        Err((true, failure)) => match made_by().await {
            Ok(Some(by)) => Ok(found(&by)),
            _ => Err(failure.after_asking()),
        },
    }
}

/// Why something was not made, and whether that is because there is such a thing already.
fn refused<E, R>(error: &SdkError<E, R>, action: &str, doing: &str) -> (bool, Failure)
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    (error::code(error) == "EntityAlreadyExists", error::failure(error, action, doing))
}

/// A tag that cannot be built is a bug of this program, told as one.
fn tags(step: &StepContext) -> Result<Vec<Tag>, Failure> {
    [(TAG.0, TAG.1), (STEP, step.token.as_str())]
        .into_iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect::<Result<_, _>>()
        .map_err(|e| Failure::usage("tag what is made", e.to_string(), "report this as a bug"))
}

impl Aws {
    /// Performs a deed about rights, or a runbook.
    pub(super) async fn perform_access(&self, deed: &Deed, step: &StepContext) -> Result<Performed, Failure> {
        match deed {
            Deed::CreateRole { region, role } => self.create_role(region, role, step).await,
            Deed::DeleteRole { region, role } => {
                let doing = format!("delete role {role}");
                let answer = self.iam(region).delete_role().role_name(role).send().await;
                gone(answer.map(drop), "iam:DeleteRole", &doing, &format!("role {role}"))
            }
            Deed::AttachPolicy { region, role, policy } => {
                let undo = Deed::DetachPolicy { region: region.clone(), role: role.clone(), policy: policy.clone() };
                if self.attached(region, role).await?.contains(policy) {
                    return Ok(already(format!("role {role} has {policy} already"), undo, step));
                }
                let doing = format!("attach {policy} to role {role}");
                let call = self.iam_once(region).attach_role_policy().role_name(role).policy_arn(policy);
                call.send().await.map_err(|e| error::failure(&e, "iam:AttachRolePolicy", &doing))?;
                Ok(made(format!("{policy} is attached to role {role}"), undo))
            }
            Deed::DetachPolicy { region, role, policy } => {
                let doing = format!("detach {policy} from role {role}");
                let answer = self.iam(region).detach_role_policy().role_name(role).policy_arn(policy).send().await;
                gone(answer.map(drop), "iam:DetachRolePolicy", &doing, &format!("{policy} of role {role}"))
            }
            Deed::CreateProfile { region, profile } => self.create_profile(region, profile, step).await,
            Deed::DeleteProfile { region, profile } => {
                let doing = format!("delete instance profile {profile}");
                let answer = self.iam(region).delete_instance_profile().instance_profile_name(profile).send().await;
                gone(answer.map(drop), "iam:DeleteInstanceProfile", &doing, &format!("instance profile {profile}"))
            }
            Deed::AddRole { region, profile, role } => self.add_role(region, profile, role, step).await,
            Deed::RemoveRole { region, profile, role } => {
                let doing = format!("remove role {role} from instance profile {profile}");
                let client = self.iam(region);
                let call = client.remove_role_from_instance_profile().instance_profile_name(profile).role_name(role);
                let what = format!("role {role} in profile {profile}");
                gone(call.send().await.map(drop), "iam:RemoveRoleFromInstanceProfile", &doing, &what)
            }
            Deed::Associate { region, instance, profile } => self.associate(region, instance, profile, step).await,
            Deed::Disassociate { region, instance, profile } => self.disassociate(region, instance, profile).await,
            Deed::AwaitAgent { region, instance, minutes } => self.await_agent(region, instance, *minutes, step).await,
            Deed::StartRunbook { region, document, parameters } => {
                self.start_runbook(region, document, parameters, step).await
            }
            Deed::FollowRunbook { region, execution, minutes } => {
                self.follow_runbook(region, execution, *minutes, step).await
            }
            Deed::StopRunbook { region, execution } => self.stop_runbook(region, execution, step).await,
        }
    }

    /// Looks what became of a deed of which no answer is known.
    pub(super) async fn settle_access(&self, deed: &Deed, step: &StepContext) -> Settled {
        let looked = match deed {
            Deed::CreateRole { region, role } => self.role_made_by(region, role).await.map(|by| {
                (by.as_deref() == Some(&step.token))
                    .then(|| made(format!("role {role} was made"), delete_role(region, role)))
            }),
            Deed::CreateProfile { region, profile } => self.profile_made_by(region, profile).await.map(|by| {
                (by.as_deref() == Some(&step.token))
                    .then(|| made(format!("profile {profile} was made"), delete_profile(region, profile)))
            }),
            Deed::Associate { region, instance, profile } => self.profile_of(region, instance).await.map(|found| {
                found
                    .filter(|(_, name)| name == profile)
                    .map(|(association, _)| associated(region, instance, profile, Some(&association)))
            }),
            Deed::AttachPolicy { region, role, policy } => self.attached(region, role).await.map(|all| {
                let undo = Deed::DetachPolicy { region: region.clone(), role: role.clone(), policy: policy.clone() };
                all.contains(policy).then(|| made(format!("role {role} has {policy}"), undo))
            }),
            Deed::AddRole { region, profile, role } => self.role_in(region, profile).await.map(|found| {
                let undo = Deed::RemoveRole { region: region.clone(), profile: profile.clone(), role: role.clone() };
                (found.as_ref() == Some(role)).then(|| made(format!("profile {profile} has role {role}"), undo))
            }),
            // Waiting and following leave nothing behind.
            Deed::AwaitAgent { .. } | Deed::FollowRunbook { .. } => Ok(None),
            Deed::StartRunbook { region, document, parameters } => {
                return self.settle_runbook(region, document, parameters, step).await;
            }
            _ => return Settled::CannotTell("look at the role and the profile in the IAM console".to_owned()),
        };
        match looked {
            Ok(Some(done)) => Settled::Done(done),
            Ok(None) => Settled::NotDone,
            Err(failure) => Settled::CannotTell(failure.reason),
        }
    }

    /// The step that made a role, if one of ours did; fails where it cannot be read.
    async fn role_made_by(&self, region: &str, role: &str) -> Result<Option<String>, Failure> {
        match self.iam(region).get_role().role_name(role).send().await {
            Ok(answer) => Ok(answer
                .role()
                .map(|r| r.tags().iter().find(|t| t.key() == STEP).map_or_else(String::new, |t| t.value().to_owned()))),
            Err(e) if error::code(&e) == "NoSuchEntity" => Ok(None),
            Err(e) => Err(error::failure(&e, "iam:GetRole", &format!("look at role {role}"))),
        }
    }

    /// The step that made a profile, and an empty text for one that somebody else made.
    async fn profile_made_by(&self, region: &str, profile: &str) -> Result<Option<String>, Failure> {
        match self.iam(region).get_instance_profile().instance_profile_name(profile).send().await {
            Ok(answer) => Ok(answer
                .instance_profile()
                .map(|p| p.tags().iter().find(|t| t.key() == STEP).map_or_else(String::new, |t| t.value().to_owned()))),
            Err(e) if error::code(&e) == "NoSuchEntity" => Ok(None),
            Err(e) => Err(error::failure(&e, "iam:GetInstanceProfile", &format!("look at profile {profile}"))),
        }
    }

    async fn role_in(&self, region: &str, profile: &str) -> Result<Option<String>, Failure> {
        match self.iam(region).get_instance_profile().instance_profile_name(profile).send().await {
            Ok(answer) => {
                Ok(answer.instance_profile().and_then(|p| p.roles().first()).map(|r| r.role_name().to_owned()))
            }
            Err(e) if error::code(&e) == "NoSuchEntity" => Ok(None),
            Err(e) => Err(error::failure(&e, "iam:GetInstanceProfile", &format!("look at profile {profile}"))),
        }
    }

    /// ARNs of the managed policies of a role.
    async fn attached(&self, region: &str, role: &str) -> Result<BTreeSet<String>, Failure> {
        let doing = format!("list the policies of role {role}");
        let client = self.iam(region);
        let mut pages = client.list_attached_role_policies().role_name(role).into_paginator().send();
        let mut out = BTreeSet::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| error::failure(&e, "iam:ListAttachedRolePolicies", &doing))?;
            out.extend(page.attached_policies().iter().filter_map(|p| p.policy_arn().map(str::to_owned)));
        }
        Ok(out)
    }

    async fn create_role(&self, region: &str, role: &str, step: &StepContext) -> Result<Performed, Failure> {
        let call = self
            .iam_once(region)
            .create_role()
            .role_name(role)
            .assume_role_policy_document(TRUST)
            .description("Lets Systems Manager manage EC2 instances; made by port22")
            .set_tags(Some(tags(step)?));
        let answer = async {
            let answer = call.send().await;
            answer.map(drop).map_err(|e| refused(&e, "iam:CreateRole", &format!("make role {role}")))
        };
        let made_by = || self.role_made_by(region, role).boxed();
        create(&format!("role {role}"), delete_role(region, role), step, made_by, answer).await
    }

    async fn create_profile(&self, region: &str, profile: &str, step: &StepContext) -> Result<Performed, Failure> {
        let call = self.iam_once(region).create_instance_profile().instance_profile_name(profile);
        let call = call.set_tags(Some(tags(step)?));
        let answer = async {
            let answer = call.send().await;
            let doing = format!("make instance profile {profile}");
            answer.map(drop).map_err(|e| refused(&e, "iam:CreateInstanceProfile", &doing))
        };
        let made_by = || self.profile_made_by(region, profile).boxed();
        create(&format!("profile {profile}"), delete_profile(region, profile), step, made_by, answer).await
    }

    async fn add_role(
        &self,
        region: &str,
        profile: &str,
        role: &str,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        let doing = format!("put role {role} into instance profile {profile}");
        let undo = Deed::RemoveRole { region: region.to_owned(), profile: profile.to_owned(), role: role.to_owned() };
        match self.role_in(region, profile).await? {
            Some(found) if found == role => {
                return Ok(already(format!("profile {profile} has role {role} already"), undo, step));
            }
            Some(other) => {
                return Err(Failure::failed(
                    doing,
                    format!("the profile has role {other} now: it was changed after the plan was made"),
                    "run the diagnosis again for a fresh plan",
                ));
            }
            None => {}
        }
        let client = self.iam_once(region);
        let call = client.add_role_to_instance_profile().instance_profile_name(profile).role_name(role);
        call.send().await.map_err(|e| error::failure(&e, "iam:AddRoleToInstanceProfile", &doing))?;
        Ok(made(format!("profile {profile} has role {role}"), undo))
    }

    /// The association of an instance: its id and the profile's name.
    async fn profile_of(&self, region: &str, instance: &str) -> Result<Option<(String, String)>, Failure> {
        use aws_sdk_ec2::types::Filter;
        let by_instance = Filter::builder().name("instance-id").values(instance).build();
        let doing = format!("look at the instance profile of {instance}");
        let answer = self.ec2(region).describe_iam_instance_profile_associations().filters(by_instance).send().await;
        let answer = answer.map_err(|e| error::failure(&e, "ec2:DescribeIamInstanceProfileAssociations", &doing))?;
        Ok(answer.iam_instance_profile_associations().iter().find_map(|a| {
            if !matches!(
                a.state().map(aws_sdk_ec2::types::IamInstanceProfileAssociationState::as_str),
                Some("associating" | "associated")
            ) {
                return None;
            }
            let name = a.iam_instance_profile()?.arn()?.rsplit('/').next()?.to_owned();
            Some((a.association_id()?.to_owned(), name))
        }))
    }

    async fn associate(
        &self,
        region: &str,
        instance: &str,
        profile: &str,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        use aws_sdk_ec2::types::IamInstanceProfileSpecification;
        let doing = format!("associate instance profile {profile} with {instance}");
        match self.profile_of(region, instance).await? {
            // Made by an attempt that was cut short: the plan saw an instance without a profile.
            Some((association, found)) if found == profile => {
                return Ok(associated(region, instance, profile, Some(&association)));
            }
            Some((_, other)) => {
                return Err(Failure::failed(
                    doing,
                    format!("the instance has profile {other} now: it was given one after the plan was made"),
                    "run the diagnosis again for a fresh plan",
                ));
            }
            None => {}
        }
        let began = Instant::now();
        loop {
            let spec = IamInstanceProfileSpecification::builder().name(profile).build();
            let call = self.ec2_once(region).associate_iam_instance_profile();
            match call.instance_id(instance).iam_instance_profile(spec).send().await {
                Ok(answer) => {
                    let made = answer.iam_instance_profile_association().and_then(|a| a.association_id());
                    return Ok(associated(region, instance, profile, made));
                }
                // A profile that was just made is not known everywhere at once.
                Err(e) if error::code(&e) == "InvalidParameterValue" && began.elapsed() < SPREAD => {
                    step.say(format!("EC2 does not know profile {profile} yet"));
                    tokio::time::sleep(PAUSE).await;
                }
                Err(e) => return Err(error::failure(&e, "ec2:AssociateIamInstanceProfile", &doing)),
            }
        }
    }

    async fn disassociate(&self, region: &str, instance: &str, profile: &str) -> Result<Performed, Failure> {
        let doing = format!("take instance profile {profile} from {instance}");
        match self.profile_of(region, instance).await? {
            Some((association, found)) if found == profile => {
                let answer =
                    self.ec2_once(region).disassociate_iam_instance_profile().association_id(association).send().await;
                answer.map_err(|e| error::failure(&e, "ec2:DisassociateIamInstanceProfile", &doing))?;
                Ok(Performed {
                    text: format!("{instance} has no instance profile any more"),
                    changed: true,
                    ..Performed::default()
                })
            }
            Some((_, other)) => Ok(unchanged(format!("{instance} has profile {other} now, which stays"))),
            None => Ok(unchanged(format!("{instance} has no instance profile"))),
        }
    }

    pub(super) async fn await_agent(
        &self,
        region: &str,
        instance: &str,
        minutes: u64,
        step: &StepContext,
    ) -> Result<Performed, Failure> {
        use aws_sdk_ssm::types::InstanceInformationStringFilter as Filter;
        let doing = format!("wait until the agent of {instance} is online");
        let began = Instant::now();
        let limit = Duration::from_secs(minutes * 60);
        loop {
            let by_id = Filter::builder().key("InstanceIds").values(instance).build();
            let by_id = by_id.map_err(|e| Failure::usage(&doing, e.to_string(), "report this as a bug"))?;
            let answer = self.ssm(region).describe_instance_information().filters(by_id).send().await;
            let seen = match &answer {
                Ok(answer) => answer
                    .instance_information_list()
                    .first()
                    .and_then(|i| i.ping_status())
                    .map_or("not registered", |p| p.as_str()),
                Err(e) if began.elapsed() > limit => {
                    return Err(error::failure(e, "ssm:DescribeInstanceInformation", &doing));
                }
                Err(_) => "no answer",
            };
            if seen == "Online" {
                return Ok(unchanged(format!("the agent of {instance} is online")));
            }
            if began.elapsed() > limit {
                return Err(Failure::failed(
                    doing,
                    format!("after {minutes} minutes it is: {seen}"),
                    "the rights are given; restart the agent or reboot the instance, and look for a way out to Systems Manager on port 443 (checks ssm-path, metadata-service)",
                ));
            }
            step.say(format!("{seen}; {} min of at most {minutes}", began.elapsed().as_secs() / 60));
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn delete_role(region: &str, role: &str) -> Deed {
    Deed::DeleteRole { region: region.to_owned(), role: role.to_owned() }
}

fn delete_profile(region: &str, profile: &str) -> Deed {
    Deed::DeleteProfile { region: region.to_owned(), profile: profile.to_owned() }
}

fn associated(region: &str, instance: &str, profile: &str, association: Option<&str>) -> Performed {
    let undo =
        Deed::Disassociate { region: region.to_owned(), instance: instance.to_owned(), profile: profile.to_owned() };
    Performed {
        // Named by the command that takes it back by hand.
        outputs: association.map(|id| ("association".to_owned(), id.to_owned())).into_iter().collect(),
        ..made(format!("{instance} has profile {profile}"), undo)
    }
}

/// A removal: what is gone already is fine, and what others use meanwhile stays, with IAM's words for what uses it.
fn gone<E>(
    answer: Result<(), aws_sdk_iam::error::SdkError<E>>,
    action: &str,
    doing: &str,
    what: &str,
) -> Result<Performed, Failure>
where
    E: aws_sdk_iam::error::ProvideErrorMetadata + std::error::Error + 'static,
{
    match answer {
        Ok(()) => Ok(Performed { text: format!("{what} is removed"), changed: true, ..Performed::default() }),
        Err(e) if error::code(&e) == "NoSuchEntity" => Ok(unchanged(format!("{what} is gone already"))),
        Err(e) if error::code(&e) == "DeleteConflict" => {
            let why = e.as_service_error().and_then(aws_sdk_iam::error::ProvideErrorMetadata::message);
            let why = why.map(|text| format!(" ({})", strip_controls(text))).unwrap_or_default();
            Ok(unchanged(format!("{what} stays: something else uses it now{why}")))
        }
        Err(e) => Err(error::failure(&e, action, doing)),
    }
}
