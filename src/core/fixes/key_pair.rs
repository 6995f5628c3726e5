//! `key-pair-import`: the public half of the user's key as an EC2 key pair; or a new pair; or one deleted.

use crate::core::facts::Facts;
use crate::core::facts::aws::{Instance, KeyPair};
use crate::core::facts::local::{KeyFileState, KeyProbe};
use crate::core::facts::own_files::KeyPairs;
use crate::core::key::{KeyFile, matches_fingerprint, public_of, same_public};
use crate::core::plan::{Action, Choice, Choices, Consent, Gate, GateState, KeyPairAction, Plan, Risk, Step};
use crate::core::text::shell_quote;

/// Key pairs per Region (quota; EC2 User Guide, "Amazon EC2 key pairs").
const QUOTA: usize = 5000;

/// Plans to import the public half of the first key file, to create a pair, or to delete one, as chosen. None of it
/// changes an instance that exists. Fails when the instance's Region or the Region's key pairs are not known.
pub fn plan(facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    let instance = facts.instance().ok_or("the instance is not known, and with it the Region of the key pair")?;
    let known = facts.prepared.key_pairs.value().ok_or_else(|| match facts.prepared.key_pairs.why_not() {
        Some(why) => format!("the key pairs could not be read: {}", why.text()),
        None => "the key pairs were not read".to_owned(),
    })?;
    let what = Choice::new(
        "what",
        "What shall be done with key pairs?",
        &[
            ("import", "import the public half of your key"),
            ("create", "let EC2 create a new pair, and save its private half"),
            ("delete", "delete EC2's copy of the public half of your key"),
        ],
        choices,
    );
    let chosen = what.chosen.clone();
    let mut plan = Plan {
        account: facts.account(),
        choices: vec![what],
        ..Plan::new("key-pair-import", "", instance.id.clone(), instance.label())
    };
    match chosen.as_str() {
        "create" => create(instance, known, choices, &mut plan)?,
        "delete" => delete(facts, instance, known, &mut plan)?,
        _ => import(facts, instance, known, &mut plan)?,
    }
    if !plan.steps.is_empty() {
        plan.gates.push(Gate::new(
            "instance",
            GateState::Warn,
            format!(
                "{} does not change: a key pair counts at launch only; remote-add-key puts a key there",
                instance.id
            ),
        ));
        let command = format!("aws ec2 describe-key-pairs --region {} --include-public-key", instance.region);
        plan.steps.push(Step::look("look at the key pairs of the Region", command));
    }
    Ok(plan)
}

/// The first key file that was read.
fn first(facts: &Facts) -> Option<(&KeyProbe, &KeyFile, Option<&str>)> {
    facts.local.keys.iter().find_map(|probe| match probe.file.value() {
        Some(KeyFileState::Read { key, pub_file, .. }) => Some((probe, &**key, pub_file.as_deref())),
        _ => None,
    })
}

/// The public half of a key file, from the file or from the `.pub` beside it.
fn public_half(facts: &Facts) -> Result<(&KeyProbe, &KeyFile, String), String> {
    let (probe, key, beside) = first(facts).ok_or("no key file could be read: name it with -i FILE")?;
    let line = key.public.as_deref().or(beside).and_then(public_of).map(|(line, _)| line);
    let line = line.ok_or_else(|| {
        format!("{0} does not tell its public half: ssh-keygen -y -f {0} > {0}.pub writes it beside", probe.path)
    })?;
    Ok((probe, key, line))
}

fn is_pair(pair: &KeyPair, key: &KeyFile, public: &str) -> Option<bool> {
    if let Some(theirs) = &pair.public_key {
        return Some(same_public(theirs, public));
    }
    pair.fingerprint.as_deref().and_then(|print| matches_fingerprint(key, print))
}

/// A name that no pair of the Region has.
fn free_name(base: &str, pairs: &[KeyPair], also: impl Fn(&str) -> bool) -> String {
    let plain: String =
        base.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    let plain = plain.trim_matches(['-', '.']);
    let plain = if plain.is_empty() { "port22" } else { plain };
    let names = std::iter::once(plain.to_owned()).chain((2..).map(|n| format!("{plain}-{n}")));
    let taken = |name: &str| pairs.iter().any(|p| p.name == name) || also(name);
    names.take(QUOTA + 2).find(|n| !taken(n)).unwrap_or_else(|| plain.to_owned())
}

fn quota(known: &KeyPairs, plan: &mut Plan) {
    if known.pairs.len() >= QUOTA {
        let why = format!("the Region has {} key pairs; {QUOTA} are allowed", known.pairs.len());
        plan.gates.push(Gate::new("quota", GateState::Refuse, why));
    }
}

fn import(facts: &Facts, instance: &Instance, known: &KeyPairs, plan: &mut Plan) -> Result<(), String> {
    let (probe, key, public) = public_half(facts)?;
    let path = &probe.path;
    if let Some(pair) = known.pairs.iter().find(|p| is_pair(p, key, &public) == Some(true)) {
        plan.title = format!("nothing to change: {path} is the key pair {}", pair.name);
        plan.gates.push(Gate::new("needed", GateState::Ok, format!("EC2 has the key of {path} as {}", pair.name)));
        return Ok(());
    }
    let kind = public.split(' ').next().unwrap_or_default();
    // EC2 User Guide, "Create a key pair"; the older page knows RSA only.
    if !matches!(kind, "ssh-rsa" | "ssh-ed25519") {
        let why = format!("{path} is {kind}: EC2 takes RSA and Ed25519 keys only");
        plan.gates.push(Gate::new("type", GateState::Refuse, why));
        return Ok(());
    }
    if kind == "ssh-rsa" && key.bits.is_some_and(|bits| ![1024, 2048, 4096].contains(&bits)) {
        let bits = key.bits.unwrap_or_default();
        let why = format!("{path} is RSA with {bits} bits: EC2's documentation names 1024, 2048 and 4096");
        plan.gates.push(Gate::new("type", GateState::Warn, why));
    }
    if kind == "ssh-ed25519" && facts.is_windows() {
        let why = "a Windows instance cannot be launched with an Ed25519 key pair: its password needs RSA";
        plan.gates.push(Gate::new("windows", GateState::Warn, why));
    }
    quota(known, plan);
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| if stem.is_empty() { name } else { stem });
    let name = free_name(stem, &known.pairs, |_| false);
    plan.title = format!("import the public half of {path} as key pair {name}");
    plan.permissions = ["ec2:ImportKeyPair", "ec2:DescribeKeyPairs", "ec2:CreateTags", "ec2:DeleteKeyPair"]
        .map(str::to_owned)
        .to_vec();
    plan.gates.push(Gate::new("private", GateState::Ok, "only the public half leaves this machine"));
    let region = &instance.region;
    plan.steps.push(Step::deed(
        format!("import {kind} {} as {name} in {region}", key.sha256.as_deref().unwrap_or_default()),
        format!(
            "aws ec2 import-key-pair --region {region} --key-name {name} --public-key-material \"$(printf %s {} | base64 -w0)\"",
            shell_quote(&public)
        ),
        Some(format!("aws ec2 delete-key-pair --region {region} --key-name {name}")),
        Action::KeyPair(KeyPairAction::Import { region: region.clone(), name, public }),
    ));
    Ok(())
}

fn create(instance: &Instance, known: &KeyPairs, choices: &Choices, plan: &mut Plan) -> Result<(), String> {
    if known.ssh_dir.is_empty() {
        return Err("there is no home directory to save the private half in: set HOME".to_owned());
    }
    let rsa = ("rsa", "RSA, 2048 bits: also for Windows and FIPS");
    let ed = ("ed25519", "Ed25519: short and fast");
    let windows = instance.platform.as_deref() == Some("windows");
    let kinds: &[(&str, &str)] = if windows { &[rsa] } else { &[ed, rsa] };
    let kind = Choice::new("type", "Which type shall the new pair have?", kinds, choices);
    let chosen = kind.chosen.clone();
    plan.choices.push(kind);
    quota(known, plan);
    let base = format!("{}-key", instance.name.as_deref().unwrap_or(&instance.id));
    let name = free_name(&base, &known.pairs, |n| known.names.iter().any(|f| *f == format!("{n}.pem")));
    let path = format!("{}/{name}.pem", known.ssh_dir);
    let region = &instance.region;
    plan.title = format!("create key pair {name}, private half in {path}");
    plan.created = vec![path.clone()];
    plan.permissions = ["ec2:CreateKeyPair", "ec2:DescribeKeyPairs", "ec2:CreateTags", "ec2:DeleteKeyPair"]
        .map(str::to_owned)
        .to_vec();
    plan.gates.push(Gate::new(
        "once",
        GateState::Warn,
        format!("EC2 hands the private half out once and keeps no copy: {path} will be the only one"),
    ));
    let quoted = shell_quote(&path);
    plan.steps.push(Step::deed(
        format!("create {chosen} key pair {name} in {region} and save its private half in {path}, mode 0600"),
        format!(
            "(umask 077 && aws ec2 create-key-pair --region {region} --key-name {name} --key-type {chosen} --query KeyMaterial --output text > {quoted})"
        ),
        Some(format!("aws ec2 delete-key-pair --region {region} --key-name {name} && rm {quoted}")),
        Action::KeyPair(KeyPairAction::Create { region: region.clone(), name, kind: chosen, path }),
    ));
    Ok(())
}

fn delete(facts: &Facts, instance: &Instance, known: &KeyPairs, plan: &mut Plan) -> Result<(), String> {
    let (probe, key, public) = public_half(facts)?;
    let Some(pair) = known.pairs.iter().find(|p| is_pair(p, key, &public) == Some(true)) else {
        plan.title = format!("nothing to delete: EC2 has no key pair of {}", probe.path);
        let why = format!("no key pair of {} is the key of {}", instance.region, probe.path);
        plan.gates.push(Gate::new("needed", GateState::Ok, why));
        return Ok(());
    };
    let (name, region) = (&pair.name, &instance.region);
    plan.title = format!("delete key pair {name} from EC2");
    plan.consent = Consent::Type(instance.id.clone());
    plan.risk = Risk::Medium;
    plan.reversible = pair.public_key.is_some();
    plan.permissions = ["ec2:DeleteKeyPair", "ec2:DescribeKeyPairs", "ec2:ImportKeyPair"].map(str::to_owned).to_vec();
    plan.gates.push(Gate::new(
        "launches",
        GateState::Warn,
        format!(
            "launch templates, launch configurations and Auto Scaling groups that name {name} can launch nothing any more"
        ),
    ));
    plan.gates.push(Gate::new(
        "keys",
        GateState::Ok,
        format!("{} and the public halves on instances stay: logins go on working", probe.path),
    ));
    plan.steps.push(Step::deed(
        format!("delete key pair {name} in {region}"),
        format!("aws ec2 delete-key-pair --region {region} --key-name {}", shell_quote(name)),
        pair.public_key.as_ref().map(|public| {
            format!(
                "aws ec2 import-key-pair --region {region} --key-name {} --public-key-material \"$(printf %s {} | base64 -w0)\"",
                shell_quote(name),
                shell_quote(public)
            )
        }),
        Action::KeyPair(KeyPairAction::Delete {
            region: region.clone(),
            name: name.clone(),
            id: pair.id.clone(),
            public: pair.public_key.as_deref().and_then(public_of).map(|(line, _)| line),
            file: None,
        }),
    ));
    Ok(())
}
