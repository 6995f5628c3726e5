//! The volume swap: snapshot, helper, stop, over to the helper, repair, back, start.
//!
//! Everything that can be done while the instance runs is done before it stops. The order of the steps is the state
//! machine: each step looks first, so that a rescue that was cut short goes on where it stood.

use super::{FIX, Words, gates, layout, size};
use crate::core::diagnosis::Diagnosis;
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::facts::local::KeyFileState;
use crate::core::facts::prepared::{HelperImage, Rescue, RootVolume};
use crate::core::fixes::ssm_role;
use crate::core::fixes::stop::Around;
use crate::core::plan::volume::{Helper, Put, Repair, RescueJob, Spot, VolumeAction};
use crate::core::plan::{Choice, Choices, Consent, Gate, GateState, Plan, Risk, Step};
use crate::core::text::shell_quote;
use crate::core::{rescue, rules};

/// Where the helper gets the volume. On Nitro the guest shows it under another name: the script goes by its serial.
const AT_HELPER: &str = "/dev/sdf";
/// Minutes until a helper's agent is online: boot and registration.
const HELPER_WAIT: u64 = 10;
/// Minutes until a snapshot is complete: the first one of a large volume takes long.
const SNAPSHOT_WAIT: u64 = 180;

/// IAM actions besides those for a role of its own.
const PERMISSIONS: &[&str] = &[
    "ec2:AttachVolume",
    "ec2:CreateSnapshot",
    "ec2:CreateTags",
    "ec2:DeleteTags",
    "ec2:DescribeAddresses",
    "ec2:DescribeImages",
    "ec2:DescribeInstanceTypeOfferings",
    "ec2:DescribeInstances",
    "ec2:DescribeSnapshots",
    "ec2:DescribeVolumes",
    "ec2:DetachVolume",
    "ec2:ModifyInstanceAttribute",
    "ec2:RunInstances",
    "ec2:StartInstances",
    "ec2:StopInstances",
    "ec2:TerminateInstances",
    "iam:PassRole",
    "ssm:DescribeInstanceInformation",
    "ssm:GetCommandInvocation",
    "ssm:GetParameter",
    "ssm:SendCommand",
];

/// Plans the swap.
pub(super) fn plan(
    facts: &Facts,
    choices: &Choices,
    ground: &Rescue,
    root: &RootVolume,
    spot: &Spot,
    around: Around,
) -> Result<Plan, String> {
    let instance = facts.instance().ok_or("the instance is not known")?;
    let image = ground.image.value().ok_or_else(|| match ground.image.why_not() {
        Some(why) => format!("no image for a helper instance is known: {}", why.text()),
        None => "no image for a helper instance is known".to_owned(),
    })?;
    let subnet =
        instance.subnet_id.clone().ok_or("the subnet of the instance is not known: a helper must be in its zone")?;
    let seen = rules::judge(facts);
    let (job, mut choice) = job(facts, choices, &seen)?;
    let mut plan = Plan {
        gates: gates::ladder(&seen),
        risk: Risk::High,
        downtime: true,
        reversible: false,
        consent: Consent::Type(instance.id.clone()),
        account: facts.account(),
        promises_login: true,
        cost: format!(
            "about 20 minutes, 5 to 10 of them without the instance; a {} for that time (some cents); a snapshot of at most {} GiB (about 0.05 USD per GiB and month) until you delete it",
            image.instance_type,
            size(ground)
        ),
        ..Plan::new(
            FIX,
            format!("repair the root volume {} of {} on a helper instance", root.id, instance.label()),
            instance.id.clone(),
            instance.label(),
        )
    };
    let mut permissions: Vec<String> = PERMISSIONS.iter().map(|p| (*p).to_owned()).collect();
    permissions.extend(around.permissions.iter().cloned());
    let (before, after) = around.into_plan(&mut plan);
    plan.gates.extend(gates::not_mended(&seen));
    plan.gates.push(gates::encryption(root));
    plan.gates.push(layout::gate(facts));
    plan.gates.extend(own_gates(facts, &seen, image, &job));
    let words = Words { region: &instance.region };
    let region = instance.region.clone();
    plan.steps.push(Step::deed(
        format!("make a snapshot of {} as it is now: it is kept", root.id),
        words.ec2(&format!(
            "create-snapshot --volume-id {} --description 'port22: before the rescue of {}'",
            root.id, instance.id
        )),
        Some(format!("it is kept; {} deletes it", words.ec2("delete-snapshot --snapshot-id ${snapshot}"))),
        VolumeAction::Snapshot { region: region.clone(), volume: root.id.clone(), instance: instance.id.clone() },
    ));
    let profile = ssm_role::choose_profile(&mut plan, facts, choices, &region);
    let helper = helper(instance, image, subnet, profile);
    while_it_runs(&mut plan, &words, &helper);
    plan.steps.extend(before);
    swap(&mut plan, &words, instance, root, spot, job, after);
    plan.steps.push(Step::look(
        "run the diagnosis again: the login must work",
        format!("port22 diagnose {}", shell_quote(&instance.id)),
    ));
    choice.append(&mut plan.choices);
    plan.choices = choice;
    permissions.extend(ssm_role::permissions(&plan));
    if root.encrypted {
        permissions
            .extend(["kms:CreateGrant", "kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext"].map(str::to_owned));
    }
    permissions.sort();
    permissions.dedup();
    plan.permissions = permissions;
    Ok(plan)
}

/// What is to be repaired, with the choices about it.
fn job(facts: &Facts, choices: &Choices, seen: &Diagnosis) -> Result<(RescueJob, Vec<Choice>), String> {
    let login = ("login", "owner and rights of home, .ssh and authorized_keys, and your key");
    let fstab = ("fstab", "mounts of /etc/fstab that may fail: the system boots without them (nofail)");
    let mounts = seen.causes.iter().any(|c| c.id == "fstab-emergency-mode");
    let options = if mounts { [fstab, login] } else { [login, fstab] };
    let repair = Choice::new("repair", "what is to be repaired on the disk?", &options, choices);
    if repair.chosen == "fstab" {
        return Ok((RescueJob::Fstab, vec![repair]));
    }
    let user = rules::login_user(facts).ok_or("the login user is not known: name it as USER@TARGET, or with -l")?;
    if !rescue::is_user(&user) {
        return Err(format!("the user name {user} has characters that are not put into a script"));
    }
    let Some(public) = given(facts).map(rescue::line).transpose()? else {
        return Ok((RescueJob::Login { user, key: None }, vec![repair]));
    };
    let key = Choice::new(
        "key",
        "add the public half of your key to authorized_keys?",
        &[("add", "add it, where it is not there yet"), ("leave", "only repair modes and owners")],
        choices,
    );
    let public = (key.chosen == "add").then_some(public);
    Ok((RescueJob::Login { user, key: public }, vec![repair, key]))
}

/// Public half of the first `-i`.
fn given(facts: &Facts) -> Option<&str> {
    let probe = facts.local.keys.iter().find(|k| k.origin == "-i")?;
    match probe.file.value()? {
        KeyFileState::Read { key, .. } => key.public.as_deref(),
        _ => None,
    }
}

fn own_gates(facts: &Facts, seen: &Diagnosis, image: &HelperImage, job: &RescueJob) -> Vec<Gate> {
    let mut out = Vec::new();
    let named = facts.local.keys.iter().find(|k| k.origin == "-i");
    match (job, named) {
        (RescueJob::Login { key: None, .. }, Some(probe)) if given(facts).is_none() => out.push(Gate::new(
            "key",
            GateState::Warn,
            format!(
                "the public half of {} is not known, so no key is added: only modes and owners are repaired",
                probe.path
            ),
        )),
        (RescueJob::Login { key: None, .. }, None) => out.push(Gate::new(
            "key",
            GateState::Warn,
            "no key is added: name one with -i if the key is lost; only modes and owners are repaired",
        )),
        (RescueJob::Login { key: Some(_), user }, _) => out.push(Gate::new(
            "access",
            GateState::Warn,
            format!("whoever has the private half of the key can then log in as {user}"),
        )),
        _ => {}
    }
    out.push(if image.same_as_instance {
        Gate::new(
            "image",
            GateState::Warn,
            format!("the helper is launched from {}, as the instance was: it gets the volume only after it has booted, and must not be rebooted with it", image.id),
        )
    } else {
        Gate::new("image", GateState::Ok, format!("the helper is launched from {} ({}), another image than the instance's", image.id, image.parameter))
    });
    let path = seen.checks.iter().find(|c| c.id == "ssm-path");
    out.push(match path.map(|c| (c.verdict, &c.reason)) {
        Some((crate::core::check::Verdict::Pass, _)) => {
            Gate::new("way-out", GateState::Ok, "the subnet and groups of the instance let a helper reach Systems Manager")
        }
        Some((_, why)) => Gate::new(
            "way-out",
            GateState::Warn,
            format!("the helper stands in the instance's subnet with its groups and must reach Systems Manager on port 443: {why}; if it cannot, nothing is stopped"),
        ),
        None => Gate::new("way-out", GateState::Warn, "cannot tell whether a helper in the instance's subnet reaches Systems Manager; if it cannot, nothing is stopped"),
    });
    out.push(Gate::new(
        "undo",
        GateState::Warn,
        "an undo puts the volume back and ends the helper; what was repaired on the disk stays, and the snapshot has it as it was",
    ));
    out
}

fn helper(instance: &Instance, image: &HelperImage, subnet: String, profile: String) -> Helper {
    Helper {
        region: instance.region.clone(),
        instance: instance.id.clone(),
        image: image.id.clone(),
        instance_type: image.instance_type.clone(),
        subnet,
        groups: instance.groups.iter().map(|(id, _)| id.clone()).collect(),
        public: instance.public_ip.is_some(),
        profile,
    }
}

/// Helper and snapshot: the instance goes on running.
fn while_it_runs(plan: &mut Plan, words: &Words<'_>, helper: &Helper) {
    let region = helper.region.clone();
    plan.steps.push(Step::deed(
        format!(
            "launch a helper ({}, {}) in the subnet of the instance; it has no key pair, and terminates itself after 6 hours",
            helper.instance_type, helper.image
        ),
        words.ec2(&format!(
            "run-instances --image-id {} --instance-type {} --subnet-id {} --security-group-ids {}{} --iam-instance-profile Name={} --instance-initiated-shutdown-behavior terminate --metadata-options HttpTokens=required",
            helper.image,
            helper.instance_type,
            helper.subnet,
            helper.groups.join(" "),
            if helper.public { " --associate-public-ip-address" } else { "" },
            shell_quote(&helper.profile)
        )),
        Some(words.ec2("terminate-instances --instance-ids ${helper}")),
        VolumeAction::Launch(helper.clone()),
    ));
    plan.steps.push(Step::deed(
        "wait until the helper's agent is online: an instance that has not booted yet could boot from the volume",
        format!(
            "aws ssm describe-instance-information --region {} --filters Key=InstanceIds,Values=${{helper}}",
            shell_quote(&region)
        ),
        None,
        VolumeAction::AwaitHelper { region: region.clone(), helper: "${helper}".to_owned(), minutes: HELPER_WAIT },
    ));
    plan.steps.push(Step::deed(
        "wait until the snapshot is complete",
        words.ec2("wait snapshot-completed --snapshot-ids ${snapshot}"),
        None,
        VolumeAction::AwaitSnapshot { region, snapshot: "${snapshot}".to_owned(), minutes: SNAPSHOT_WAIT },
    ));
}

/// Stop, over, repair, back, start, end of the helper.
fn swap(
    plan: &mut Plan,
    words: &Words<'_>,
    instance: &Instance,
    root: &RootVolume,
    spot: &Spot,
    job: RescueJob,
    after: Vec<Step>,
) {
    let region = instance.region.clone();
    let ran = instance.state == "running";
    let at_helper = Spot { instance: "${helper}".to_owned(), device: AT_HELPER.to_owned() };
    let put = |to: Option<&Spot>, from: &str, back: Option<Put>| Put {
        region: region.clone(),
        volume: root.id.clone(),
        to: to.cloned(),
        from: vec![from.to_owned()],
        delete_with: None,
        stop: None,
        back: back.map(Box::new),
    };
    let home = Put {
        delete_with: Some(root.delete_with),
        stop: (!ran).then(|| instance.id.clone()),
        ..put(Some(spot), &at_helper.instance, None)
    };
    if ran {
        plan.steps.push(Step::deed(
            "stop the instance (plainly, never by force) and wait until it stands",
            words.power(&instance.id, false),
            Some(words.power(&instance.id, true)),
            VolumeAction::Power { region: region.clone(), instance: instance.id.clone(), up: false, back: true },
        ));
    }
    plan.steps.push(Step::deed(
        format!("detach {} from {}: recorded as {}", root.id, instance.id, spot.device),
        words.detach(&root.id),
        Some(format!("{} && {}", words.attach(&root.id, spot), words.delete_with(spot, root.delete_with))),
        VolumeAction::Put(put(None, &instance.id, Some(home.clone()))),
    ));
    plan.steps.push(Step::deed(
        format!("attach {} to the helper as {AT_HELPER}", root.id),
        words.attach(&root.id, &at_helper),
        Some(words.detach(&root.id)),
        VolumeAction::Put(put(Some(&at_helper), &instance.id, None)),
    ));
    let text = match &job {
        RescueJob::Login { user, key } => format!(
            "run the rescue script as root on the helper: home, .ssh and authorized_keys of {user} on that disk{}",
            if key.is_some() { ", and your key" } else { "" }
        ),
        RescueJob::Fstab => {
            "run the rescue script as root on the helper: nofail for the mounts of /etc/fstab that may fail".to_owned()
        }
    };
    plan.steps.push(Step::deed(
        text,
        format!("aws ssm send-command --region {} --instance-ids ${{helper}} --document-name AWS-RunShellScript --parameters commands=SCRIPT   # port22 explain {FIX} shows the steps by hand", shell_quote(&region)),
        None,
        VolumeAction::Repair(Repair {
            region: region.clone(),
            helper: at_helper.instance.clone(),
            volume: root.id.clone(),
            snapshot: "${snapshot}".to_owned(),
            instance: instance.id.clone(),
            job,
        }),
    ));
    plan.steps.push(Step::deed(
        format!("detach {} from the helper", root.id),
        words.detach(&root.id),
        None,
        VolumeAction::Put(put(None, &at_helper.instance, None)),
    ));
    plan.steps.push(Step::deed(
        format!(
            "attach {} to {} as exactly {}, and {} again",
            root.id,
            instance.id,
            spot.device,
            kept(root.delete_with)
        ),
        format!("{} && {}", words.attach(&root.id, spot), words.delete_with(spot, root.delete_with)),
        None,
        VolumeAction::Put(Put { stop: None, ..home }),
    ));
    plan.steps.push(Step::deed(
        "start the instance and wait until it runs",
        words.power(&instance.id, true),
        (!ran).then(|| words.power(&instance.id, false)),
        VolumeAction::Power { region: region.clone(), instance: instance.id.clone(), up: true, back: false },
    ));
    plan.steps.extend(after);
    plan.steps.push(Step::deed(
        "terminate the helper",
        words.ec2("terminate-instances --instance-ids ${helper}"),
        None,
        VolumeAction::Terminate { region, helper: at_helper.instance },
    ));
}

/// What becomes of the volume with the instance, in words.
pub(super) fn kept(delete_with: bool) -> &'static str {
    if delete_with { "let it be deleted with the instance" } else { "let it outlive the instance" }
}
