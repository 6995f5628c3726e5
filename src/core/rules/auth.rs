//! The login: what the server said to the keys, and what is likely inside.
//!
//! Pure judgement. User names are in [`super::user`], the launch key in [`super::launch_key`], which keys ssh would
//! bring at all in [`super::offering`].

use super::launch_key::{
    in_boot_log, is_launch_candidate, is_launch_key, key_lost, key_matches, matching_key, mismatch,
};
use super::offering::{Candidate, deciding, keys_are_off, locked, order, unasked, would_offer};
use super::user::{forced_root, others_refused, root_refused, user_finding, user_name};
use super::{View, agent, config, crypto, host_key, local, pasted, versions};
use crate::core::cause::{Certainty, Finding};
use crate::core::check::{CheckResult, Hop, HopId, HopState, Verdict};
use crate::core::facts::Facts;
use crate::core::facts::local::KeyProbe;
use crate::core::facts::wire::{Answer, Offer, SshServer};

pub use super::user::better_user;

/// Symptoms in which the server was reached and said no to a login.
pub(super) const LOGIN_SYMPTOMS: &[&str] =
    &["refused_key", "permission_denied", "no_supported_auth", "too_many_failures", "wrong_login_user"];

/// Checks `key-matches`, `user-name`, `server-takes-key`, `login-files`.
pub fn checks(view: &View<'_>) -> Vec<CheckResult> {
    vec![key_matches(view), user_name(view), server_takes_key(view), login_files(view)]
}

/// Whether ssh would log in: the server took a key for the user, and the client would really offer that key.
pub fn login_works(view: &View<'_>) -> bool {
    let facts = view.facts;
    let Some(user) = view.user() else { return false };
    // Keys that the user named and of which ssh can use none are what they ask about, even if another one works.
    // With one good key among them ssh warns about the others and logs in.
    if deciding(facts).any(|k| k.origin == "-i") {
        return false;
    }
    if crypto::stops(facts)
        || host_key::blocks(view)
        || config::hanging_socket(facts).is_some()
        || pasted::ends_session(facts)
        || pasted::stops_client(view)
    {
        return false;
    }
    facts.wire.offers.iter().filter(|o| o.user == user && would_offer(facts, o)).any(|o| match o.answer {
        _ if versions::stops(facts, o) => false,
        Answer::LoggedIn => !forced_root(view, &user) || others_refused(facts),
        // Nothing was signed: what comes after the signature was not seen.
        Answer::WouldAccept => {
            !offer_locked(facts, o)
                && !forced_root(view, &user)
                && !agent::refuses_to_sign(facts, o)
                && !pasted::ends_after_signature(facts)
        }
        _ => false,
    })
}

fn offer_locked(facts: &Facts, offer: &Offer) -> bool {
    facts
        .local
        .keys
        .iter()
        .filter(|k| Some(&k.path) == offer.key.as_ref())
        .filter_map(local::key_of)
        .any(|k| locked(facts, k))
}

/// Offers for the login user, and whether the server knows any of the keys.
pub(super) fn for_user<'a>(facts: &'a Facts, user: &str) -> (Vec<&'a Offer>, bool) {
    let offers: Vec<&Offer> = facts.wire.offers.iter().filter(|o| o.user == user).collect();
    let known = offers.iter().any(|o| o.answer.key_is_known());
    (offers, known)
}

fn server_takes_key(view: &View<'_>) -> CheckResult {
    let id = "server-takes-key";
    let facts = view.facts;
    if !matches!(facts.wire.ssh.value(), Some(SshServer::Ready { .. })) {
        return CheckResult::skipped(id, "needs an SSH server that answers");
    }
    let Some(user) = view.user().or_else(|| facts.wire.offers.first().map(|o| o.user.clone())) else {
        return CheckResult::unclear(id, "no user name to ask with");
    };
    let (offers, _) = for_user(facts, &user);
    let source = facts.wire.ssh.source().to_owned();
    let budget = format!("{} of {} attempts used", facts.wire.budget.used, facts.wire.budget.cap);
    if let Some(offer) = offers.iter().find(|o| matches!(o.answer, Answer::LoggedIn | Answer::WouldAccept)) {
        let key = offer.key.as_deref().unwrap_or("your key");
        let how = if offer.answer == Answer::LoggedIn { "logged in" } else { "the server would take the key" };
        return CheckResult::pass(id, format!("{how} as {user} with {key}")).seen(budget, source);
    }
    if let Some((offer, reason)) = offers.iter().find_map(|o| match &o.answer {
        Answer::AcceptedThenRefused { reason } => Some((o, reason)),
        _ => None,
    }) {
        let key = offer.key.as_deref().unwrap_or("your key");
        return CheckResult::fail(id, format!("the server knows {key} and then refuses {user}: {reason}"))
            .seen(budget, source);
    }
    let refused: Vec<&&Offer> = offers.iter().filter(|o| o.answer == Answer::Refused && o.key.is_some()).collect();
    match refused.first() {
        Some(offer) => {
            let methods = if offer.methods.is_empty() { "nothing".to_owned() } else { offer.methods.join(", ") };
            CheckResult::fail(
                id,
                format!(
                    "the server refuses {} for {user}; it still offers: {methods}",
                    offer.key.as_deref().unwrap_or("the key")
                ),
            )
            .seen(budget, source)
        }
        None => match offers.iter().find_map(|o| match &o.answer {
            Answer::Failed { reason } => Some(reason),
            _ => None,
        }) {
            Some(reason) => CheckResult::unclear(id, format!("the question was not answered: {reason}")),
            None => CheckResult::unclear(id, "no key to ask with: name one with -i"),
        },
    }
}

fn login_files(view: &View<'_>) -> CheckResult {
    let id = "login-files";
    let facts = view.facts;
    if login_works(view) || view.user().is_some_and(|u| for_user(facts, &u).1) {
        return CheckResult::pass(id, "the server found your key in authorized_keys");
    }
    if !matches!(facts.wire.ssh.value(), Some(SshServer::Ready { .. })) {
        return CheckResult::skipped(id, "needs an SSH server that answers");
    }
    if facts.inside.is_known() {
        return CheckResult::not_applicable(id, "looked inside: the checks of the look say it");
    }
    CheckResult::unclear(id, "home, .ssh and authorized_keys can only be seen from inside (Session Manager)")
}

/// Causes of a refused login.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let mut out = Vec::new();
    let user = view.user();
    let known = user.as_deref().is_some_and(|u| for_user(facts, u).1);
    let asked = facts.wire.offers.iter().any(|o| o.key.is_some() && matches!(o.answer, Answer::Refused));
    let told = facts.symptom().is_some_and(|s| LOGIN_SYMPTOMS.contains(&s));
    if let Some(finding) = user_finding(view, asked || told) {
        out.push(finding);
    }
    out.extend(root_refused(view));
    account_findings(view, &mut out);
    methods(view, &mut out);
    if known {
        return out;
    }
    no_key(facts, told, &mut out);
    let mismatch = mismatch(view, asked && !unasked(facts), told);
    let wrong_user = out.iter().any(|f| f.id == "wrong-user-name" && f.certainty >= Certainty::Likely);
    let mismatched = mismatch.is_some();
    if let Some(mismatch) = mismatch {
        let lost = key_lost(view, &mismatch);
        out.push(mismatch);
        out.extend(lost);
    }
    let disabled = out.iter().any(|f| f.id == "pubkey-disabled" && f.certainty == Certainty::Proven);
    let right_key_refused = asked && !wrong_user && !mismatched && !disabled;
    if right_key_refused || (told && !asked && !wrong_user && !mismatched && facts.wire.offers.is_empty()) {
        inside(view, right_key_refused, &mut out);
    }
    out
}

/// The key was taken, the login was not: the account stage.
fn account_findings(view: &View<'_>, out: &mut Vec<Finding>) {
    let source = view.facts.wire.ssh.source();
    for offer in &view.facts.wire.offers {
        let Answer::AcceptedThenRefused { reason } = &offer.answer else { continue };
        if reason.starts_with("Please login as") {
            continue;
        }
        let said = format!("{} {}", offer.banner.as_deref().unwrap_or_default(), reason).to_ascii_lowercase();
        let text = format!("the server took the key and then refused {}: {reason}", offer.user);
        // pam_nologin prints the file's text: "System is booting up." or "System is going down." (systemd), or the owner's own.
        let (id, certainty) = if said.contains("booting up") {
            ("boot-in-progress", Certainty::Proven)
        } else if said.contains("going down") || said.contains("pam_nologin") {
            ("nologin-file", Certainty::Proven)
        } else if said.contains("the server wants more than the key") {
            ("pubkey-disabled", Certainty::Likely)
        } else if said.contains("account has expired") {
            ("account-expired", Certainty::Proven)
        } else if said.contains("password change") || said.contains("password has expired") {
            ("password-change-forced", Certainty::Likely)
        } else {
            ("pam-denies", Certainty::Likely)
        };
        let finding = Finding::new(id, certainty, text.clone(), source);
        out.push(if certainty == Certainty::Proven {
            finding
        } else {
            finding.would_prove("sshd's log inside the instance (Session Manager)")
        });
        if id == "pam-denies" {
            for other in ["account-expired", "nologin-file", "account-locked"] {
                out.push(
                    Finding::new(other, Certainty::Possible, text.clone(), source)
                        .would_prove("sshd's log inside the instance (Session Manager)"),
                );
            }
        }
    }
}

/// The server lists what may be tried: public keys are not in the list.
fn methods(view: &View<'_>, out: &mut Vec<Finding>) {
    let facts = view.facts;
    let Some(user) = view.user() else { return };
    let (offers, known) = for_user(facts, &user);
    let without = |methods: &[String]| !methods.iter().any(|m| m == "publickey");
    let proof = "sshd -T inside the instance (Session Manager)";
    if let Some(offer) =
        offers.iter().find(|o| o.answer == Answer::Refused && !o.methods.is_empty() && without(&o.methods))
    {
        let text = format!("for {user} the server offers {}, and no public keys", offer.methods.join(", "));
        // Asked without any key, the list is the server's whole answer (RFC 4252, section 5.2).
        let certainty = if offer.key.is_none() { Certainty::Proven } else { Certainty::Likely };
        let finding = Finding::new("pubkey-disabled", certainty, text, facts.wire.ssh.source());
        out.push(if offer.key.is_none() { finding } else { finding.would_prove(proof) });
    } else if let Some(listed) = facts.paste.as_ref().and_then(|p| p.extract.methods.as_ref())
        && offers.is_empty()
        && !known
        && without(listed)
    {
        let text = if listed.is_empty() {
            "the server offers no method at all".to_owned()
        } else {
            format!("the server offers {} only", listed.join(", "))
        };
        out.push(Finding::new("pubkey-disabled", Certainty::Likely, text, "pasted text").would_prove(proof));
    }
}

fn no_key(facts: &Facts, told: bool, out: &mut Vec<Finding>) {
    let none = facts
        .local
        .keys
        .iter()
        .all(|k| !matches!(k.file.value(), Some(crate::core::facts::local::KeyFileState::Read { .. })));
    let named = facts.local.keys.iter().any(|k| k.origin != "default");
    let agent_empty = facts.local.agent.value().is_none_or(Vec::is_empty);
    let wanted = told || matches!(facts.wire.ssh.value(), Some(SshServer::Ready { .. }));
    if none && !named && agent_empty && wanted {
        let finding = Finding::new(
            "key-file-missing",
            Certainty::Likely,
            "no key file is named (-i, IdentityFile), none of ssh's default files exists, and no agent holds a key",
            "your ssh configuration",
        )
        .would_prove("a login with the private key of this instance: ssh -i FILE");
        out.push(match matching_key(facts) {
            Some(other) => {
                finding.and(format!("{} matches the instance's key pair", other.path), facts.aws.key_pair.source())
            }
            None => finding,
        });
    }
}

/// A right key for a right user is refused: what is inside. Likely until someone looks.
fn inside(view: &View<'_>, seen: bool, out: &mut Vec<Finding>) {
    let facts = view.facts;
    let user = view.user().unwrap_or_else(|| "the user".to_owned());
    let refused = |k: &KeyProbe| {
        !seen
            || facts
                .wire
                .offers
                .iter()
                .any(|o| o.user == user && o.key.as_ref() == Some(&k.path) && o.answer == Answer::Refused)
    };
    let from_agent = |c: &Candidate<'_>| {
        is_launch_candidate(facts, *c) == Some(true)
            && (!seen || facts.wire.offers.iter().any(|o| o.user == user && c.is_in(o) && o.answer == Answer::Refused))
    };
    let installed = |k: &KeyProbe| is_launch_key(facts, k) == Some(true) || in_boot_log(view, k);
    let matched = facts.local.keys.iter().any(|k| installed(k) && refused(k)) || order(facts).iter().any(from_agent);
    let sure_user = view.names_user(&user) && view.knows_users();
    let certainty = if seen && matched && sure_user && !unasked(facts) && !versions::fips_explains(facts) {
        Certainty::Likely
    } else {
        Certainty::Possible
    };
    let source = match (seen, &facts.paste) {
        (true, _) => facts.wire.ssh.source(),
        (false, Some(_)) => "pasted text",
        (false, None) => "what you saw",
    };
    let text = if matched {
        format!("the server refuses the right key for {user}")
    } else {
        format!("the server refuses the key for {user}")
    };
    let proof = "stat of home, .ssh and authorized_keys, or sshd's log, inside the instance (Session Manager)";
    for id in ["home-perms", "ssh-dir-perms", "authkeys-perms"] {
        out.push(Finding::new(id, certainty, text.clone(), source).would_prove(proof));
    }
    for id in ["authkeys-key-absent", "authkeys-missing", "sshd-allow-deny"] {
        out.push(Finding::new(id, Certainty::Possible, text.clone(), source).would_prove(proof));
    }
    if facts.instance().is_some_and(|i| i.key_name.is_none()) {
        out.push(
            Finding::new(
                "instance-without-keypair",
                Certainty::Likely,
                "the instance was launched without a key pair",
                facts.aws.instance.source(),
            )
            .would_prove(proof),
        );
    }
}

/// The last hop, when the login does not work.
pub fn hop(view: &View<'_>) -> Hop {
    let facts = view.facts;
    if host_key::blocks(view) {
        return Hop::new(HopId::Auth, HopState::Blocked, host_key::check(view).reason);
    }
    let check = server_takes_key(view);
    if check.verdict == Verdict::Fail {
        return Hop::new(HopId::Auth, HopState::Blocked, check.reason);
    }
    if let Some((_, text)) = deciding(facts).find_map(|k| local::trouble_here(facts, k)) {
        return Hop::new(HopId::Auth, HopState::Blocked, text);
    }
    if check.verdict != Verdict::Pass {
        return Hop::new(HopId::Auth, HopState::Unknown, check.reason);
    }
    // The server takes the key, and still the login does not work: the first reason on this side.
    let here = [
        user_name(view),
        local::checks(view).into_iter().find(|c| c.id == "key-passphrase").unwrap_or_else(|| check.clone()),
    ];
    let reason = here
        .into_iter()
        .find(|c| c.verdict == Verdict::Fail)
        .map_or_else(|| "the server takes the key, but ssh would not bring it".to_owned(), |c| c.reason);
    Hop::new(HopId::Auth, HopState::Blocked, reason)
}

/// The symptom that the login shows.
pub fn symptom(facts: &Facts) -> Option<&'static str> {
    let works = facts
        .wire
        .offers
        .iter()
        .any(|o| o.answer == Answer::LoggedIn && would_offer(facts, o) && !versions::stops(facts, o));
    // What ssh says last counts: a file that it passes over is only a warning.
    let first = deciding(facts).filter(|_| !works).find_map(|k| local::trouble_here(facts, k)).map(|(id, _)| id);
    match first {
        Some("key-perms-open" | "key-perms-unfixable-fs") => return Some("unprotected_key"),
        Some("key-file-missing") => return Some("key_file_missing"),
        // ssh says nothing about such a file: the server's refusal is all that is printed.
        Some("key-file-is-public") => return Some("permission_denied"),
        Some("key-format-ppk-with-openssh" | "key-file-damaged" | "key-ed25519-pkcs8-old-client") => {
            return Some("invalid_key_format");
        }
        _ => {}
    }
    let refused =
        facts.wire.offers.iter().any(|o| matches!(o.answer, Answer::Refused | Answer::AcceptedThenRefused { .. }));
    let known = |o: &&Offer| o.answer.key_is_known();
    if works {
        return Some("success");
    }
    if keys_are_off(facts) && !facts.wire.offers.is_empty() {
        return Some("permission_denied");
    }
    if let Some(offer) = facts.wire.offers.iter().find(known) {
        let said = match &offer.answer {
            Answer::AcceptedThenRefused { reason } => {
                format!("{} {reason}", offer.banner.as_deref().unwrap_or_default()).to_ascii_lowercase()
            }
            _ => String::new(),
        };
        if said.contains("please login as") {
            return Some("wrong_login_user");
        } else if said.contains("booting up") || said.contains("pam_nologin") {
            return Some("booting_nologin");
        } else if said.contains("account has expired") {
            return Some("account_locked_or_expired");
        } else if !refused && super::offering::is_crowded(facts, offer) {
            return Some("too_many_failures");
        } else if !refused && offer_locked(facts, offer) {
            return Some("passphrase_needed");
        }
    }
    if refused { Some("permission_denied") } else { None }
}
