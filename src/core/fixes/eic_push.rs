//! `eic-push-key`: a public key for 60 seconds, and a login within them.

use super::remote::{running_gate, ssh_way, user};
use crate::core::facts::Facts;
use crate::core::facts::local::{KeyFileState, KeyProbe};
use crate::core::facts::wire::SshServer;
use crate::core::inside::doors;
use crate::core::key;
use crate::core::plan::{Choices, Gate, GateState, Plan, RemoteAction, Step};
use crate::core::rules;
use crate::core::text::shell_quote;

/// Plans to push the first usable `-i`, or a key made for this login. Fails with one sentence when instance or user are
/// not known or nothing answers where the login goes.
pub fn plan(facts: &Facts, _choices: &Choices) -> Result<Plan, String> {
    let instance = facts.instance().ok_or("the instance is not known: no key can be pushed to it")?;
    if facts.is_windows() {
        return Err(format!("{} runs Windows, which EC2 Instance Connect does not log in to", instance.id));
    }
    let user = user(facts)?;
    let mut plan = Plan {
        account: facts.account(),
        permissions: vec!["ec2-instance-connect:SendSSHPublicKey".to_owned(), "ec2:DescribeInstances".to_owned()],
        cost: "nothing; the key is forgotten after 60 seconds".to_owned(),
        ..Plan::new(
            "eic-push-key",
            format!("log in to {} as {user} with a key of 60 seconds", instance.label()),
            instance.id.clone(),
            instance.label(),
        )
    };
    plan.gates.push(running_gate(instance));
    let dial = doors::dial(facts);
    plan.gates.push(way_gate(facts, dial.is_some()));
    plan.gates.push(image_gate(facts));
    let probe = facts.local.keys.iter().find(|k| k.origin == "-i");
    let own = probe.filter(|k| takes(k)).map(|k| k.path.clone());
    if let (Some(probe), None) = (probe, &own) {
        plan.gates.push(Gate::new(
            "key",
            GateState::Warn,
            format!("{} cannot be pushed (Ed25519 or RSA of 2048 or 4096 bits, without passphrase): a key is made for this login instead", probe.path),
        ));
    }
    let Some(dial) = dial else { return Ok(plan) };
    let (file, what) = match &own {
        Some(path) => (path.clone(), format!("the public half of {path}")),
        None => ("KEY".to_owned(), "a key made for this login".to_owned()),
    };
    let quoted = shell_quote(&file);
    let (way, host) = ssh_way(&dial);
    plan.steps.push(Step::deed(
        format!("push {what} for {user} and log in with it; to make it last afterwards: port22 fix remote-add-key"),
        format!(
            "aws ec2-instance-connect send-ssh-public-key --region {} --instance-id {} --instance-os-user {user} --ssh-public-key \"$(ssh-keygen -y -f {quoted})\" && ssh {way}-o IdentitiesOnly=yes -i {quoted} -p {} {user}@{host}",
            instance.region, instance.id, dial.port
        ),
        Some("nothing to take back: the key is forgotten after 60 seconds".to_owned()),
        RemoteAction::PushKey {
            region: instance.region.clone(),
            instance: instance.id.clone(),
            user,
            key: own.clone(),
            dial,
        },
    ));
    // With the user's own key the diagnosis logs in again while the push holds.
    plan.promises_login = own.is_some();
    plan.steps.push(Step::look(
        "log in again as you would; then port22 fix remote-add-key makes the key last",
        format!("port22 diagnose {}", shell_quote(&instance.id)),
    ));
    Ok(plan)
}

fn way_gate(facts: &Facts, connected: bool) -> Gate {
    match facts.wire.ssh.value() {
        Some(SshServer::Ready { .. }) if connected => {
            Gate::new("way", GateState::Ok, "sshd answers where the login goes")
        }
        _ => Gate::new(
            "way",
            GateState::Refuse,
            "no sshd answers where the login goes: a pushed key needs an open way to it (repair the network or sshd first)",
        ),
    }
}

fn image_gate(facts: &Facts) -> Gate {
    if rules::may_carry_instance_connect(facts) {
        Gate::new("image", GateState::Ok, "the image may carry EC2 Instance Connect; the login shows whether it works")
    } else {
        Gate::new(
            "image",
            GateState::Warn,
            "the image comes without EC2 Instance Connect: somebody must have installed it",
        )
    }
}

/// Whether EC2 Instance Connect takes the key, and a login with it needs nobody's passphrase.
fn takes(probe: &KeyProbe) -> bool {
    let Some(KeyFileState::Read { key, .. }) = probe.file.value() else { return false };
    let Some((line, _)) = key.public.as_deref().and_then(key::public_of) else { return false };
    // RSA of 2048 bits has 372 characters of base64, one of 4096 has 716 (EC2 Instance Connect API, 80 to 4096 in all).
    let kind = line.starts_with("ssh-ed25519 ") || (line.starts_with("ssh-rsa ") && line.len() > 360);
    kind && key.is_usable_key() && !key.encrypted && rules::offering::usable(probe)
}
