//! The door "eic": a key that is made for this login, pushed by EC2 Instance Connect, and forgotten with it.
//!
//! The key lives 60 seconds in the metadata of the instance (EC2 Instance Connect API, SendSSHPublicKey); it is pushed only
//! when the server has answered, and when all that takes time beside the login is done. Must not push twice, and must not use another key.

use super::gather::{complete, no_instance};
use super::login::{self, NoneTaken, Who};
use super::ssh::{NEEDS, dial, label, user};
use crate::core::fact::Why;
use crate::core::facts::Facts;
use crate::core::probe::ProbeId;
use crate::core::rules::looking;
use crate::edge::RealWorld;
use crate::edge::remote::fresh;
use crate::edge::ssh::SshKey;
use crate::engine::failure::Failure;
use crate::engine::terminal::{Opened, Wish};

/// sshd says only that it does not take the key.
const NONE_TAKEN: NoneTaken = NoneTaken {
    reason: "sshd did not take the pushed key: EC2 Instance Connect is not installed inside or does not work, or there is \
             no such user",
    next: "try another user (user@…), your own key, or Session Manager",
};

/// Opens the terminal.
pub(super) async fn open(world: &RealWorld, wish: &Wish) -> Result<Opened, Failure> {
    let facts = complete(world, &wish.facts, &NEEDS).await;
    let facts = complete(world, &facts, &[ProbeId::Image]).await;
    let user = user(&facts);
    pushable(&facts, "push a key")?;
    let place = Box::pin(dial(world, &facts)).await?;
    let title = format!("EC2 Instance Connect, {}", label(&facts));
    let (facts, place) = Box::pin(login::greeted(world, facts, place, &title)).await?;
    let key = push(world, &facts, &user).await?;
    let who = Who { user, keys: vec![key], agent: None, none_taken: Some(NONE_TAKEN) };
    Box::pin(login::open(world, facts, wish, place, who, title)).await
}

/// Whether a key can be pushed at all.
pub(super) fn pushable(facts: &Facts, doing: &str) -> Result<(), Failure> {
    let Some(instance) = facts.instance() else { return Err(no_instance(facts, doing)) };
    let doing = format!("{doing} to {}", instance.label());
    if instance.state != "running" {
        return Err(Failure::failed(doing, format!("it is {}", instance.state), "port22 fix instance-start"));
    }
    if facts.is_windows() {
        let next = "take Session Manager, or Remote Desktop through port22 forward";
        return Err(Failure::failed(doing, "it runs Windows, which EC2 Instance Connect does not log in to", next));
    }
    if instance.imds_enabled == Some(false) {
        let why = "its metadata service is off, so no pushed key arrives (imds-disabled)";
        return Err(Failure::failed(doing, why, "use your own key, or Session Manager"));
    }
    Ok(())
}

/// Makes a key and pushes its public half.
pub(super) async fn push(world: &RealWorld, facts: &Facts, user: &str) -> Result<SshKey, Failure> {
    let instance = facts.instance().ok_or_else(|| no_instance(facts, "push a key"))?;
    let doing = format!("push a key of 60 seconds for {user} to {}", instance.label());
    let (key, public) = fresh().map_err(|why| denied(&doing, &why))?;
    world.aws().push_key(&instance.region, &instance.id, user, &public).await.map_err(|why| denied(&doing, &why))?;
    Ok(key)
}

/// A refusal of the API, with the permission that is missing.
pub(super) fn denied(doing: &str, why: &Why) -> Failure {
    let mut failure = Failure::failed(doing, why.text(), "run the diagnosis again: it says which doors are open");
    if let Why::Denied { action, reason } = why {
        failure.next = format!("ask for the permission {action} (port22 policy prints it)");
        failure.cause = Some(looking::denied_fix(action, reason).id);
    }
    failure
}
