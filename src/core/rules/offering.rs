//! Which keys ssh would bring to the server, and in which order; which of them the server is asked about.
//!
//! Follows OpenSSH's `pubkey_prepare` (sshconnect2.c). What the server says to a key is judged in [`super::auth`].

use super::launch_key::is_launch_candidate;
use super::local::{key_of, trouble};
use super::versions;
use crate::core::facts::Facts;
use crate::core::facts::local::{AgentKey, KeyFileState, KeyProbe};
use crate::core::facts::wire::Offer;
use crate::core::key::{self, KeyFile};

/// Keys with which sshd ends a session before the next one has its turn (`MaxAuthTries` is 6, sshd_config(5)).
const TOO_MANY: usize = 6;

/// A key that can be offered.
#[derive(Debug, Clone, Copy)]
pub enum Candidate<'a> {
    /// From a file; the agent may hold it too.
    File(&'a KeyProbe),
    /// From the agent alone.
    Agent(&'a AgentKey),
}

impl<'a> Candidate<'a> {
    /// Path of the file, or what the agent calls the key.
    pub fn label(self) -> String {
        match self {
            Self::File(probe) => probe.path.clone(),
            Self::Agent(key) => key.label(),
        }
    }

    /// `SHA256:…`.
    pub fn fingerprint(self) -> Option<&'a str> {
        match self {
            Self::File(probe) => key_of(probe).and_then(|key| key.sha256.as_deref()),
            Self::Agent(key) => Some(&key.fingerprint),
        }
    }

    /// Whether an offer was about this key.
    pub(super) fn is_in(self, offer: &Offer) -> bool {
        offer.key.as_deref() == Some(self.label().as_str())
            || (offer.fingerprint.is_some() && offer.fingerprint.as_deref() == self.fingerprint())
    }

    fn is_named(self) -> bool {
        matches!(self, Self::File(probe) if probe.origin == "-i")
    }
}

/// Whether ssh itself would load and offer this file.
pub fn usable(probe: &KeyProbe) -> bool {
    matches!(probe.file.value(), Some(KeyFileState::Read { .. })) && trouble(probe).is_none() && !stale_pub(probe)
}

/// Whether another key's public half lies beside the file as `F.pub`. ssh offers what `F.pub` says and never
/// looks at the private file when that is refused (OpenSSH authfile.c, sshkey_load_public).
pub fn stale_pub(probe: &KeyProbe) -> bool {
    match probe.file.value() {
        Some(KeyFileState::Read { key, pub_file: Some(beside), .. }) => {
            key.public.as_ref().is_some_and(|mine| !key::same_public(mine, beside))
        }
        _ => false,
    }
}

/// Keys of the agent; none when there is no agent.
pub fn agent_keys(facts: &Facts) -> &[AgentKey] {
    facts.local.agent.value().map_or(&[], Vec::as_slice)
}

/// Whether the agent holds the key of a file. Then the agent signs, and ssh never needs the private file: its
/// mode, its passphrase, or that only the public half is there, stop nothing.
pub fn in_agent(facts: &Facts, key: &KeyFile) -> bool {
    key.sha256.is_some() && agent_keys(facts).iter().any(|a| Some(&a.fingerprint) == key.sha256.as_ref())
}

/// Whether ssh would bring this file's key to the server: from the file, or from the agent.
pub fn offered(facts: &Facts, probe: &KeyProbe) -> bool {
    let from_file = usable(probe) && !versions::too_new_for_client(facts, probe);
    !stale_pub(probe) && (from_file || key_of(probe).is_some_and(|key| in_agent(facts, key)))
}

/// Whether only configured keys are offered (`IdentitiesOnly`).
pub fn only_files(facts: &Facts) -> bool {
    facts.local.config.value().is_some_and(|c| c.identities_only)
}

/// Whether the configuration keeps ssh from offering any key.
pub fn keys_are_off(facts: &Facts) -> bool {
    facts.local.config.value().is_some_and(|c| c.pubkey_off)
}

/// Everything that ssh would offer, in its order: keys that files and agent have in common, the rest of the
/// agent unless `IdentitiesOnly` is set, the rest of the files.
pub fn order(facts: &Facts) -> Vec<Candidate<'_>> {
    arrange(facts, |probe| offered(facts, probe))
}

fn arrange(facts: &Facts, wanted: impl Fn(&KeyProbe) -> bool) -> Vec<Candidate<'_>> {
    if keys_are_off(facts) {
        return Vec::new();
    }
    let mut files: Vec<&KeyProbe> = facts.local.keys.iter().filter(|k| wanted(k)).collect();
    let (mut common, mut rest) = (Vec::new(), Vec::new());
    for held in agent_keys(facts) {
        let same = |probe: &&KeyProbe| key_of(probe).and_then(|k| k.sha256.as_ref()) == Some(&held.fingerprint);
        match files.iter().position(same) {
            Some(at) => common.push(Candidate::File(files.remove(at))),
            None if !only_files(facts) => rest.push(Candidate::Agent(held)),
            None => {}
        }
    }
    common.into_iter().chain(rest).chain(files.into_iter().map(Candidate::File)).collect()
}

/// Whether sshd would end the session before a key has its turn.
fn is_late(facts: &Facts, is_it: impl Fn(&Candidate<'_>) -> bool) -> bool {
    order(facts).iter().position(is_it).is_some_and(|at| at >= TOO_MANY)
}

/// Whether the keys before this file use up the server's attempts.
pub fn crowded_out(facts: &Facts, probe: &KeyProbe) -> bool {
    is_late(facts, |c| matches!(c, Candidate::File(file) if file.path == probe.path))
}

/// Whether ssh would bring the key of an offer, in time; `true` for the question without a key.
pub fn would_offer(facts: &Facts, offer: &Offer) -> bool {
    offer.key.is_none() || order(facts).iter().position(|c| c.is_in(offer)).is_some_and(|at| at < TOO_MANY)
}

/// Whether the keys that ssh offers before it are too many for the key of an offer.
pub fn is_crowded(facts: &Facts, offer: &Offer) -> bool {
    offer.key.is_some() && is_late(facts, |c| c.is_in(offer))
}

/// Whether the agent must sign for the key of an offer, because ssh cannot use a file for it.
pub fn agent_signs(facts: &Facts, offer: &Offer) -> bool {
    order(facts).iter().find(|c| c.is_in(offer)).is_some_and(|c| match c {
        Candidate::Agent(_) => true,
        Candidate::File(probe) => key_of(probe).is_some_and(|key| in_agent(facts, key)),
    })
}

/// Keys that ssh would offer and the server was not asked about: a refusal of the others proves less. Of the agent's
/// keys only those count that may be the instance's: most agents hold more keys than a probe may try.
pub fn unasked(facts: &Facts) -> bool {
    let counts = |c: &Candidate<'_>| match c {
        Candidate::File(_) => true,
        Candidate::Agent(_) => is_launch_candidate(facts, *c) != Some(false),
    };
    order(facts).into_iter().filter(counts).any(|c| !facts.wire.offers.iter().any(|o| c.is_in(o)))
}

/// The keys to ask the server about, within the cap: the launch key first, then the files that were named,
/// then ssh's own order; one attempt is kept for the other user name, if there is one.
///
/// A named file is what the user asks about, even where ssh would offer the agent's keys before it.
pub fn keys_to_offer(facts: &Facts, users: usize, cap: u32) -> Vec<Candidate<'_>> {
    let known = |c: &Candidate<'_>| match c {
        Candidate::File(probe) => key_of(probe).is_some_and(|k| k.public.is_some()),
        Candidate::Agent(key) => key.public.is_some(),
    };
    // A file that ssh would not load is asked about too: whether it is the right key decides what to do about it.
    let mut keys: Vec<Candidate<'_>> = arrange(facts, |probe| key_of(probe).is_some());
    if keys_are_off(facts) {
        keys = facts.local.keys.iter().map(Candidate::File).collect();
    }
    keys.retain(known);
    keys.sort_by_key(|c| (is_launch_candidate(facts, *c) != Some(true), !c.is_named()));
    let kept = usize::from(users > 1);
    keys.truncate((cap as usize).saturating_sub(kept).max(1));
    keys
}

/// Files whose trouble can stop the login: those that were named with `-i`, or all when ssh can use none.
pub fn deciding(facts: &Facts) -> impl Iterator<Item = &KeyProbe> {
    let some_usable = facts.local.keys.iter().any(|k| offered(facts, k));
    let named = |k: &KeyProbe| k.origin == "-i";
    // Of several named files one good one is enough: ssh warns about the other and goes on.
    let named_good = facts.local.keys.iter().any(|k| named(k) && offered(facts, k));
    facts.local.keys.iter().filter(move |k| !offered(facts, k) && if named(k) { !named_good } else { !some_usable })
}

/// Whether the key needs a passphrase that no agent saves the user from typing.
pub fn locked(facts: &Facts, key: &KeyFile) -> bool {
    key.encrypted && !in_agent(facts, key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fact::Fact;
    use crate::core::facts::local::SshConfig;

    fn file(origin: &str, path: &str, bytes: &[u8]) -> KeyProbe {
        let key = Box::new(key::inspect(bytes));
        let state = KeyFileState::Read { mode: 0o600, owner: 1, me: 1, modeless_fs: None, key, pub_file: None };
        KeyProbe { path: path.to_owned(), origin: origin.to_owned(), file: Fact::known(state, path) }
    }

    fn held(comment: &str, bytes: &[u8]) -> AgentKey {
        let key = key::inspect(bytes);
        AgentKey {
            fingerprint: key.sha256.unwrap(),
            algorithm: key.algorithm.unwrap(),
            comment: comment.to_owned(),
            public: key.public,
        }
    }

    const RSA: &[u8] = include_bytes!("../../../tests/keys/rsa.pem");
    const ED: &[u8] = include_bytes!("../../../tests/keys/ed25519_openssh");
    const ECDSA: &[u8] = include_bytes!("../../../tests/keys/ecdsa.pem");

    fn facts(keys: Vec<KeyProbe>, agent: Vec<AgentKey>, config: SshConfig) -> Facts {
        let mut facts = Facts::default();
        facts.local.keys = keys;
        facts.local.agent = Fact::known(agent, "agent");
        facts.local.config = Fact::known(config, "ssh -G");
        facts
    }

    fn labels(all: &[Candidate<'_>]) -> Vec<String> {
        all.iter().map(|c| c.label()).collect()
    }

    #[test]
    fn the_order_is_that_of_ssh() {
        let keys = || vec![file("ssh_config", "a", RSA), file("ssh_config", "b", ED)];
        let agent = || vec![held("other", ECDSA), held("mine", ED)];
        let all = facts(keys(), agent(), SshConfig::default());
        assert_eq!(labels(&order(&all)), ["b", "agent key other", "a"], "common ones, the agent's, the files'");
        let only = facts(keys(), agent(), SshConfig { identities_only: true, ..SshConfig::default() });
        assert_eq!(labels(&order(&only)), ["b", "a"]);
        let off = facts(keys(), agent(), SshConfig { pubkey_off: true, ..SshConfig::default() });
        assert!(order(&off).is_empty());
    }

    #[test]
    fn a_named_file_is_asked_about_before_the_agent_and_the_cap_holds() {
        let agent = || vec![held("one", ECDSA), held("two", ED)];
        let all = facts(vec![file("-i", "a", RSA)], agent(), SshConfig::default());
        assert_eq!(labels(&keys_to_offer(&all, 1, 3)), ["a", "agent key one", "agent key two"]);
        assert_eq!(labels(&keys_to_offer(&all, 2, 3)), ["a", "agent key one"], "one attempt is the other user's");
        let configured = facts(vec![file("ssh_config", "a", RSA)], agent(), SshConfig::default());
        assert_eq!(labels(&keys_to_offer(&configured, 1, 2)), ["agent key one", "agent key two"]);
        let alone = facts(Vec::new(), agent(), SshConfig { identities_only: true, ..SshConfig::default() });
        assert!(keys_to_offer(&alone, 1, 3).is_empty());
    }

    #[test]
    fn a_certificate_of_the_agent_is_offered_by_ssh_and_not_asked_about() {
        let certificate = AgentKey { public: None, ..held("cert", ED) };
        let all = facts(Vec::new(), vec![certificate], SshConfig::default());
        assert_eq!(labels(&order(&all)), ["agent key cert"]);
        assert!(keys_to_offer(&all, 1, 3).is_empty());
    }
}
