//! `ssm-role-attach`: gives the instance's agent the rights to register, through the role it has or through a profile.
//!
//! The least change first: a policy added to the role that is there, then a profile of the account that serves this
//! already, and a role of its own last. A profile that is there is never replaced: applications live by it.

use crate::core::facts::Facts;
use crate::core::facts::prepared::ManagingProfile;
use crate::core::plan::access::AccessAction;
use crate::core::plan::{Action, Choice, Choices, Gate, GateState, Plan, Risk, Step};
use crate::core::text::shell_quote;

/// Policy of AWS with which an agent may register and hold its channels (Systems Manager User Guide, "Configure
/// instance permissions").
const POLICY: &str = "AmazonSSMManagedInstanceCore";
/// Role and profile that are made where the account has none.
pub(super) const OWN: &str = "port22-ssm-managed";
/// How long the agent's back-off may keep it from asking again (5 to 30 minutes).
const WAIT: u64 = 35;

/// Plans the rights of the agent. Fails when the instance, its profile or that profile's role are not known.
pub fn plan(facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    let instance = facts.instance().ok_or("the instance is not known")?;
    let region = &instance.region;
    let mut plan = Plan {
        risk: Risk::Medium,
        verify: vec!["ssm-agent".to_owned()],
        account: facts.account(),
        ..Plan::new("ssm-role-attach", "", instance.id.clone(), instance.label())
    };
    if facts.agent_is_online() {
        plan.title = "nothing to change: the agent is online".to_owned();
        plan.gates.push(Gate::new("needed", GateState::Ok, "the SSM agent is online: its credentials suffice"));
        return Ok(plan);
    }
    plan.gates.extend(gates(facts));
    let arn = policy_arn(facts);
    if let Some(profile_arn) = &instance.profile_arn {
        let profile = profile_arn.rsplit('/').next().unwrap_or_default();
        let role = facts.doors.role.value().ok_or_else(|| {
            let why = facts.doors.role.why_not().map_or_else(|| "it was not read".to_owned(), |w| w.text());
            format!("the role of instance profile {profile} is not known: {why}")
        })?;
        if let Some(role) = role {
            let has = facts.doors.policies.value().is_some_and(|p| p.attached.iter().any(|(_, a)| *a == arn));
            if has {
                plan.title = format!("nothing to change: role {} has {POLICY}", role.name);
                plan.gates.push(Gate::new(
                    "needed",
                    GateState::Ok,
                    format!("role {} has {POLICY}; what keeps the agent away is something else", role.name),
                ));
                return Ok(plan);
            }
            plan.title = format!("add {POLICY} to role {}", role.name);
            plan.gates.push(Gate::new(
                "shared",
                GateState::Warn,
                format!("every instance and program that uses role {} gets these rights", role.name),
            ));
            plan.steps.push(attach(region, &role.name, &arn));
        } else {
            plan.title = format!("put a role into instance profile {profile}");
            own_role(&mut plan, region, &arn);
            plan.steps.push(add_role(region, profile));
        }
    } else {
        with_profile(&mut plan, facts, choices);
    }
    plan.steps.push(Step::deed(
        "wait until the agent is online (its back-off can take 30 minutes; a reboot or a restart of the agent is sooner)",
        format!(
            "aws ssm describe-instance-information --region {region} --filters Key=InstanceIds,Values={}",
            instance.id
        ),
        None,
        Action::Access(AccessAction::AwaitAgent {
            region: region.clone(),
            instance: instance.id.clone(),
            minutes: WAIT,
        }),
    ));
    plan.steps.push(Step::look("look at the agent again", format!("port22 diagnose {}", shell_quote(&instance.id))));
    plan.permissions = permissions(&plan);
    Ok(plan)
}

/// What a role cannot mend.
fn gates(facts: &Facts) -> Vec<Gate> {
    let mut out = Vec::new();
    let state = facts.instance().map(|i| i.state.clone()).unwrap_or_default();
    if state != "running" {
        out.push(Gate::new(
            "running",
            GateState::Refuse,
            format!("the instance is {state}: its agent cannot register"),
        ));
    }
    if facts.instance().is_some_and(|i| i.imds_enabled == Some(false)) {
        out.push(Gate::new(
            "metadata",
            GateState::Refuse,
            "the metadata service is off, so no role reaches the agent: turn it on first (imds-disabled)",
        ));
    }
    if let Some(by) = facts.instance().and_then(|i| i.managed_by.clone()) {
        out.push(Gate::new("managed", GateState::Refuse, format!("{by} manages the instance and refuses changes")));
    }
    if let Some(Some(role)) = facts.doors.host_management.value() {
        out.push(Gate::new(
            "host-management",
            GateState::Warn,
            format!("Default Host Management gives agents {role}: a profile of its own is only needed where the agent is older than 3.2.582.0 or IMDSv2 is off"),
        ));
    }
    out.push(Gate::new(
        "permission",
        GateState::Warn,
        "IAM has no DryRun: whether you may do this is seen when it is done",
    ));
    out
}

/// ARN of the policy in the caller's partition.
pub fn policy_arn(facts: &Facts) -> String {
    format!("arn:{}:iam::aws:policy/{POLICY}", facts.partition())
}

/// Which profile is to be used: one of the account's that serves this, or one of our own. The steps that make it, where
/// it is not there yet, are put into the plan; so is a gate where programs on the instance get more than they need.
pub(super) fn choose_profile(plan: &mut Plan, facts: &Facts, choices: &Choices, region: &str) -> String {
    let found = facts.prepared.managing_profiles.value().map(Vec::as_slice).unwrap_or_default();
    let mut fitting: Vec<&ManagingProfile> = found.iter().collect();
    // The one that gives the least besides.
    fitting.sort_by_key(|p| (p.policies.len(), p.profile.clone()));
    let mut options: Vec<(String, String)> = fitting
        .iter()
        .map(|p| {
            let others: Vec<&str> = p.policies.iter().map(String::as_str).filter(|n| *n != POLICY).collect();
            let besides =
                if others.is_empty() { "and nothing else".to_owned() } else { format!("and {}", others.join(", ")) };
            (p.profile.clone(), format!("profile {} of the account, with {POLICY} {besides}", p.profile))
        })
        .collect();
    let own = ("new".to_owned(), format!("a new role and profile {OWN} with {POLICY} only"));
    // A profile that gives more than is needed is not the default.
    let narrow = fitting.first().is_some_and(|p| p.policies.iter().all(|n| n == POLICY));
    options.insert(usize::from(narrow), own);
    let shown: Vec<(&str, &str)> = options.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let choice = Choice::new("profile", "which instance profile?", &shown, choices);
    let profile = if choice.chosen == "new" { OWN.to_owned() } else { choice.chosen.clone() };
    if choice.chosen == "new" && !found.iter().any(|p| p.profile == OWN) {
        own_role(plan, region, &policy_arn(facts));
        plan.steps.push(Step::deed(
            format!("make instance profile {OWN}"),
            format!("aws iam create-instance-profile --instance-profile-name {OWN}"),
            Some(format!("aws iam delete-instance-profile --instance-profile-name {OWN}")),
            Action::Access(AccessAction::CreateProfile { region: region.to_owned(), profile: OWN.to_owned() }),
        ));
        plan.steps.push(add_role(region, OWN));
    }
    if let (Some(wide), true) = (fitting.iter().find(|p| p.profile == profile), profile != OWN) {
        let others: Vec<&str> = wide.policies.iter().map(String::as_str).filter(|n| *n != POLICY).collect();
        if !others.is_empty() {
            let text = format!("programs on the instance get {} too", others.join(", "));
            plan.gates.push(Gate::new("rights", GateState::Warn, text));
        }
    }
    if options.len() > 1 {
        plan.choices.push(choice);
    }
    profile
}

/// An instance without a profile gets one.
fn with_profile(plan: &mut Plan, facts: &Facts, choices: &Choices) {
    let Some(instance) = facts.instance() else { return };
    let region = &instance.region;
    let profile = choose_profile(plan, facts, choices, region);
    plan.title = format!("give {} the instance profile {profile}", instance.id);
    plan.steps.push(Step::deed(
        format!("associate profile {profile} with {}", instance.id),
        format!(
            "aws ec2 associate-iam-instance-profile --region {region} --instance-id {} --iam-instance-profile Name={profile}",
            instance.id
        ),
        // As a question: the id is not known before, and the command must run as it stands also where a killed process
        // never wrote it down.
        Some(format!(
            "aws ec2 disassociate-iam-instance-profile --region {region} --association-id \"$(aws ec2 describe-iam-instance-profile-associations --region {region} --filters Name=instance-id,Values={} Name=state,Values=associated --query 'IamInstanceProfileAssociations[0].AssociationId' --output text)\"",
            instance.id
        )),
        Action::Access(AccessAction::Associate {
            region: region.clone(),
            instance: instance.id.clone(),
            profile,
        }),
    ));
}

fn own_role(plan: &mut Plan, region: &str, arn: &str) {
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
    plan.steps.push(Step::deed(
        format!("make role {OWN}, which EC2 instances may take"),
        format!("aws iam create-role --role-name {OWN} --assume-role-policy-document {}", shell_quote(trust)),
        Some(format!("aws iam delete-role --role-name {OWN}")),
        Action::Access(AccessAction::CreateRole { region: region.to_owned(), role: OWN.to_owned() }),
    ));
    plan.steps.push(attach(region, OWN, arn));
}

fn attach(region: &str, role: &str, arn: &str) -> Step {
    Step::deed(
        format!("attach {POLICY} to role {role}"),
        format!("aws iam attach-role-policy --role-name {role} --policy-arn {arn}"),
        Some(format!("aws iam detach-role-policy --role-name {role} --policy-arn {arn}")),
        Action::Access(AccessAction::AttachPolicy {
            region: region.to_owned(),
            role: role.to_owned(),
            policy: arn.to_owned(),
        }),
    )
}

fn add_role(region: &str, profile: &str) -> Step {
    Step::deed(
        format!("put role {OWN} into profile {profile}"),
        format!("aws iam add-role-to-instance-profile --instance-profile-name {profile} --role-name {OWN}"),
        Some(format!("aws iam remove-role-from-instance-profile --instance-profile-name {profile} --role-name {OWN}")),
        Action::Access(AccessAction::AddRole {
            region: region.to_owned(),
            profile: profile.to_owned(),
            role: OWN.to_owned(),
        }),
    )
}

/// The IAM actions of the steps about rights, and of their undo.
pub(super) fn permissions(plan: &Plan) -> Vec<String> {
    let mut out: Vec<&str> = Vec::new();
    for action in plan.steps.iter().filter_map(|s| s.action.as_ref()) {
        let Action::Access(deed) = action else { continue };
        out.extend(match deed {
            AccessAction::CreateRole { .. } => &["iam:CreateRole", "iam:TagRole", "iam:GetRole", "iam:DeleteRole"][..],
            AccessAction::AttachPolicy { .. } => {
                &["iam:AttachRolePolicy", "iam:ListAttachedRolePolicies", "iam:DetachRolePolicy"][..]
            }
            AccessAction::CreateProfile { .. } => &[
                "iam:CreateInstanceProfile",
                "iam:TagInstanceProfile",
                "iam:GetInstanceProfile",
                "iam:DeleteInstanceProfile",
            ][..],
            AccessAction::AddRole { .. } => {
                &["iam:AddRoleToInstanceProfile", "iam:PassRole", "iam:RemoveRoleFromInstanceProfile"][..]
            }
            AccessAction::Associate { .. } => &[
                "ec2:AssociateIamInstanceProfile",
                "ec2:DescribeIamInstanceProfileAssociations",
                "ec2:DisassociateIamInstanceProfile",
                "iam:PassRole",
            ][..],
            AccessAction::AwaitAgent { .. } => &["ssm:DescribeInstanceInformation"][..],
            _ => &[][..],
        });
    }
    let mut out: Vec<String> = out.into_iter().map(str::to_owned).collect();
    out.sort();
    out.dedup();
    out
}
