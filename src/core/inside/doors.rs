//! Ways to run a script as root on an instance, from what the diagnosis has seen.
//!
//! Must not open any: a door that is listed here was seen to be open, or may be tried with a pushed key.

use crate::core::facts::Facts;
use crate::core::facts::local::KeyFileState;
use crate::core::facts::wire::{Answer, SshServer, Tcp};
use crate::core::jump::{Way, inner, way};
use crate::core::plan::{Dial, Door, Over};
use crate::core::rules;
use crate::core::target::SSH_PORT;

/// The doors that are open, in the order of disturbance: Systems Manager (no login at all), a login that works, a key of
/// 60 seconds by EC2 Instance Connect.
pub fn doors(facts: &Facts) -> Vec<Door> {
    let agent = facts.agent_is_online().then_some(Door::Agent);
    agent.into_iter().chain(login(facts)).chain(push(facts)).collect()
}

/// Where the probe came through, with the host keys that known_hosts has for it and the jump hosts on the way; `None`
/// when nothing answered there.
pub fn dial(facts: &Facts) -> Option<Dial> {
    facts.wire.tcp.value().filter(|tcp| matches!(tcp, Tcp::Connected { .. }))?;
    let over = match way(facts) {
        Way::Hops(hops) => Some(Over { hops, host: inner(facts)?.0, config_file: facts.target.config_file.clone() }),
        // What came through past a program of the user's came straight.
        Way::Direct | Way::Command(_) | Way::Unreadable(_) => None,
        // Behind a door of AWS the address is none that can be dialled from here.
        Way::Aws(_) => return None,
    };
    let hosts = facts.local.known_hosts.value();
    Some(Dial {
        address: facts.wire.address?,
        port: facts.wire.port.unwrap_or(SSH_PORT),
        known: hosts
            .map(|h| h.entries.iter().map(|e| (e.algorithm.clone(), e.fingerprint.clone())).collect())
            .unwrap_or_default(),
        over,
        revoked: hosts.map(|h| h.revoked.iter().map(|e| e.fingerprint.clone()).collect()).unwrap_or_default(),
    })
}

/// A user who was let in or would be, with the key file that does it without a passphrase.
fn login(facts: &Facts) -> Option<Door> {
    let taken = |o: &&crate::core::facts::wire::Offer| matches!(o.answer, Answer::LoggedIn | Answer::WouldAccept);
    let offer = facts.wire.offers.iter().filter(taken).find(|o| o.key.is_some())?;
    let probe = facts.local.keys.iter().find(|k| Some(&k.path) == offer.key.as_ref())?;
    let Some(KeyFileState::Read { key, .. }) = probe.file.value() else { return None };
    if key.encrypted || !key.is_usable_key() || !rules::offering::usable(probe) {
        return None;
    }
    Some(Door::Login { user: offer.user.clone(), key: probe.path.clone(), dial: dial(facts)? })
}

/// Whether a pushed key can be tried: the server talks, and the image may carry the package.
fn push(facts: &Facts) -> Option<Door> {
    let talks = matches!(facts.wire.ssh.value(), Some(SshServer::Ready { .. }));
    if !talks || !rules::may_carry_instance_connect(facts) {
        return None;
    }
    let user = rules::default_user(facts).or_else(|| rules::login_user(facts))?;
    Some(Door::Push { user, dial: dial(facts)? })
}
