//! `remote-add-key`: the public half of the first `-i` in the file that sshd reads for the login user.

use super::{Repair, instance, logs_in, nothing, user};
use crate::core::facts::Facts;
use crate::core::facts::local::{KeyFileState, KeyProbe};
use crate::core::inside::mend;
use crate::core::key;
use crate::core::plan::{Choice, Choices, Gate, GateState, Job, Plan, Risk};
use crate::core::rules;
use crate::core::text::shell_quote;

/// Plans to add the key, or to put it in the place of the key that the instance was launched with. Fails with one
/// sentence when instance, user or key are not known.
pub fn plan(facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    let instance = instance(facts)?;
    let user = user(facts)?;
    let probe = facts
        .local
        .keys
        .iter()
        .find(|k| k.origin == "-i")
        .ok_or("no key is named: pass the private key file, or its .pub, by -i")?;
    let public = public_half(probe)?;
    if logs_in(facts, &user) {
        return Ok(nothing("remote-add-key", instance, format!("the login as {user} with {} works", probe.path)));
    }
    let line = mend::key_line(&public, "added-by-port22").ok_or_else(|| no_public(probe))?;
    if line.starts_with("ssh-dss ") {
        return Err(format!("{} is a DSA key, which no current sshd takes: make an Ed25519 key", probe.path));
    }
    let former = former_key(facts, &public);
    let choice = former.as_ref().map(|_| {
        let options =
            [("add", "add it; the other keys stay"), ("replace", "put it in the place of the key pair's public key")];
        Choice::new("keys", "What is to become of the key that the instance was launched with?", &options, choices)
    });
    let replace = former.filter(|_| choice.as_ref().is_some_and(|c| c.chosen == "replace"));
    let file = format!("~{user}/.ssh/authorized_keys");
    let mut by_hand = vec![
        format!("install -d -m 700 -o {user} ~{user}/.ssh"),
        format!("[ -z \"$(tail -c1 {file})\" ] || echo >>{file}"),
        format!("echo {} >>{file}", shell_quote(&line)),
        format!("chown {user}: {file}; chmod 600 {file}"),
    ];
    let print = key::public_of(&public).map(|(_, print)| print).unwrap_or_default();
    let mut text = format!(
        "run a script as root: add the key {print} ({}) on a line of its own to the file that sshd reads for {user}, \
         unless it is there; make .ssh and the file where they are missing, and give them the owner and rights that sshd asks for",
        probe.path
    );
    if let Some(old) = &replace {
        text.push_str("; then take out the key that the instance was launched with");
        by_hand.push(format!("sed -i '\\#{old}#d' {file}"));
    }
    let repair = Repair {
        fix: "remote-add-key",
        title: format!("let the holder of {} log in as {user} to {}", probe.path, instance.label()),
        text,
        by_hand,
        job: Job::AddKey { user: user.clone(), address: facts.source_ip(), key: line, replace: replace.clone() },
    };
    let mut plan = repair.plan(facts, instance);
    plan.risk = Risk::Medium;
    plan.verify = vec!["inside-key-files".to_owned()];
    plan.gates.push(Gate::new(
        "access",
        GateState::Warn,
        format!("whoever has {} can then log in as {user}", probe.path),
    ));
    if replace.is_some() {
        plan.gates.push(Gate::new(
            "replaces",
            GateState::Warn,
            "whoever has the former key cannot log in any more (undo brings it back)".to_owned(),
        ));
    }
    plan.promises_login = can_sign(probe);
    plan.choices.extend(choice);
    Ok(plan)
}

/// The public half of a key file.
fn public_half(probe: &KeyProbe) -> Result<String, String> {
    match probe.file.value() {
        Some(KeyFileState::Read { key, .. }) => key.public.clone().ok_or_else(|| no_public(probe)),
        Some(KeyFileState::Missing) => Err(format!("there is no file {}", probe.path)),
        Some(KeyFileState::NotAFile { what }) => Err(format!("{} is {what}, not a key file", probe.path)),
        Some(KeyFileState::TooLarge { .. }) => Err(format!("{} is far too large for a key", probe.path)),
        Some(KeyFileState::Unreadable { reason, .. }) => Err(format!("{} cannot be read: {reason}", probe.path)),
        None => Err(format!("{} was not read", probe.path)),
    }
}

fn no_public(probe: &KeyProbe) -> String {
    format!("the public half of {} is not known: pass its .pub file by -i (ssh-keygen -y -f KEY prints it)", probe.path)
}

/// Whether a login with the file can be tried without a passphrase.
fn can_sign(probe: &KeyProbe) -> bool {
    let Some(KeyFileState::Read { key, .. }) = probe.file.value() else { return false };
    key.is_usable_key() && !key.encrypted && rules::offering::usable(probe)
}

/// Base64 of the public key of the instance's key pair, when it is another key than the new one.
fn former_key(facts: &Facts, public: &str) -> Option<String> {
    let pair = facts.aws.key_pair.value()?.as_ref()?;
    let former = pair.public_key.as_deref().filter(|former| !key::same_public(former, public))?;
    let (line, _) = key::public_of(former)?;
    line.split_whitespace().nth(1).map(str::to_owned)
}
