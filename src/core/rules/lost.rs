//! Whether a private key that fits is on this machine at all.
//!
//! The comparison with one key file is `launch_key`'s; here it is about all that were found.

use super::View;
use super::launch_key::{is_launch_key, matching_key};
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::fact::Why;
use crate::core::facts::Facts;
use crate::core::facts::local::KeyFileState;
use crate::core::facts::wire::{Answer, SshServer};

/// How many files were compared with the launch key; `None` when one fits, or when not all could be compared.
fn compared_in_vain(facts: &Facts) -> Option<usize> {
    let all = facts.local.keys.iter().chain(&facts.local.other_keys);
    let mut compared = 0;
    for probe in all {
        match (probe.file.value(), is_launch_key(facts, probe)) {
            (Some(KeyFileState::Missing), _) => {}
            (_, Some(false)) => compared += 1,
            _ => return None,
        }
    }
    let agent = facts.local.agent.value().is_some_and(|keys| !keys.is_empty());
    let pair = facts.aws.key_pair.value().is_some_and(Option::is_some);
    (pair && !agent).then_some(compared)
}

/// Check `key-at-hand`.
pub(super) fn check(view: &View<'_>) -> CheckResult {
    let id = "key-at-hand";
    let facts = view.facts;
    let source = facts.aws.key_pair.source().to_owned();
    if let Some(offer) = facts.wire.offers.iter().find(|o| o.answer.key_is_known()) {
        let key = offer.key.clone().unwrap_or_else(|| "a key".to_owned());
        return CheckResult::pass(id, format!("the server knows {key}"));
    }
    let own = facts.local.keys.iter().find(|k| is_launch_key(facts, k) == Some(true)).or_else(|| matching_key(facts));
    if let Some(probe) = own {
        return CheckResult::pass(id, format!("{} is the key of the launch", probe.path))
            .seen(probe.path.clone(), source);
    }
    match compared_in_vain(facts) {
        Some(0) => CheckResult::unclear(id, "cannot tell: no private key was found on this machine"),
        Some(n) => {
            CheckResult::unclear(id, format!("cannot tell: none of {n} key files here fits; it may be elsewhere"))
                .seen(format!("{n} files compared"), source)
        }
        None => {
            let why = facts.aws.key_pair.why_not().unwrap_or(Why::needs("every key here to be compared"));
            CheckResult::cannot_tell(id, &why)
        }
    }
}

/// No file here fits: likely where the file that was named is gone, else one thought among others.
pub(super) fn finding(view: &View<'_>) -> Option<Finding> {
    let facts = view.facts;
    let compared = compared_in_vain(facts)?;
    let gone = facts.local.keys.iter().any(|k| k.origin != "default" && k.file.value() == Some(&KeyFileState::Missing));
    let refused = facts.wire.offers.iter().any(|o| o.answer == Answer::Refused);
    let at_login = matches!(facts.wire.ssh.value(), Some(SshServer::Ready { .. }));
    let certainty = match (gone, at_login && refused) {
        (true, _) if compared > 0 => Certainty::Likely,
        (_, true) if compared > 0 => Certainty::Possible,
        _ => return None,
    };
    let text = format!("none of the {compared} private keys found here is the key of the launch");
    Some(Finding::new("key-lost", certainty, text, facts.aws.key_pair.source()).would_prove(
        "a look in other places: other machines, backups, the password manager, Parameter Store (/ec2/keypair/)",
    ))
}

/// Keys that the image may have brought along: the first boot's table lists keys besides the launch key.
pub(super) fn foreign_keys(view: &View<'_>) -> Option<Finding> {
    let facts = view.facts;
    let listed = view.console.as_ref().map(|c| c.console_key_fingerprints.as_slice()).unwrap_or_default();
    let pair = facts.aws.key_pair.value()?.as_ref()?.public_key.as_deref()?;
    let launch = crate::core::key::inspect(pair.as_bytes()).sha256?;
    let mine = facts.local.keys.iter().chain(&facts.local.other_keys).filter_map(super::local::key_of);
    let mine: Vec<String> = mine.filter_map(|k| k.sha256.clone()).chain([launch.clone()]).collect();
    let known = |print: &String| mine.iter().any(|m| super::launch_key::same_print(print, m));
    let launched = listed.iter().any(|print| super::launch_key::same_print(print, &launch));
    let strange = listed.iter().find(|print| !known(print)).filter(|_| launched)?;
    let text = format!("authorized_keys had {} keys at the first boot, {strange} among them", listed.len());
    Some(
        Finding::new("ami-baked-foreign-key", Certainty::Possible, text, view.console_source())
            .would_prove("a look at each line of authorized_keys, and at the user data"),
    )
}
