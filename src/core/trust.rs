//! Whether a login may go on with the host key that a server shows.
//!
//! Stricter than ssh's question, for nobody can be asked here: a key that known_hosts does not have is taken only where
//! something else vouches for it, and that is said. A changed or revoked key is never taken. Pure.

use crate::core::facts::Facts;
use crate::core::facts::local::JumpHost;
use crate::core::facts::wire::SshServer;
use crate::core::rules::host_key::{Standing, standing};
use crate::core::target::SSH_PORT;
use crate::core::text::shell_quote;

/// What the way to the server proves of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouch {
    /// Nothing: packets on a network.
    Nothing,
    /// The agent of Systems Manager on the instance itself makes the connection, to its own loopback address.
    Agent,
}

/// Whether to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// known_hosts has the key.
    Known,
    /// It has not, and this vouches for it: to be told to the user.
    Vouched(String),
    /// Not to be trusted: why, and what to do next.
    No {
        /// Why not.
        reason: String,
        /// What to do next.
        next: String,
    },
}

impl Trust {
    /// Whether to go on.
    pub fn is_good(&self) -> bool {
        !matches!(self, Self::No { .. })
    }
}

/// Judges the host key in the facts (`wire.ssh`) beside their known_hosts, console log and look inside.
pub fn judge(facts: &Facts, vouch: Vouch) -> Trust {
    let Some(SshServer::Ready { host_key, host_key_type, .. }) = facts.wire.ssh.value() else {
        return no("the server showed no host key", "try again");
    };
    let key = format!("{host_key_type} {host_key}");
    let target = shell_quote(facts.instance().map_or(facts.target.name.as_str(), |i| i.id.as_str()));
    let Some((stands, proof)) = standing(facts) else {
        let why = facts.local.known_hosts.why_not().map(|w| w.text()).unwrap_or_default();
        return no(
            &format!("known_hosts could not be read, so the host key {key} cannot be compared: {why}"),
            "mend it",
        );
    };
    let update =
        format!("port22 fix known-hosts-update {target} compares it with the console log and updates the file");
    match (stands, proof) {
        (Standing::Known, _) => Trust::Known,
        (Standing::Special(at), _) => no(&format!("the server shows {key}, and {at}"), "use ssh itself, which decides"),
        (Standing::Changed, Some(proof)) => no(
            &format!("known_hosts has another host key than {key}, though this one is the instance's own: {proof}"),
            &update,
        ),
        (Standing::Changed, None) => no(
            &format!("known_hosts has another host key than {key}: the host has made new keys, or another one answers"),
            &update,
        ),
        (Standing::New, proof) => {
            let strict = facts.local.config.value().and_then(|c| c.strict_host_key_checking.as_deref());
            match (strict, proof, vouch) {
                (Some("yes" | "true"), ..) => {
                    no(&format!("known_hosts has no host key {key}, and StrictHostKeyChecking is yes"), &update)
                }
                (_, Some(proof), _) => Trust::Vouched(format!("the host key {key} is new to known_hosts; {proof}")),
                (Some(word @ ("accept-new" | "no" | "off" | "false")), ..) => {
                    Trust::Vouched(format!("the host key {key} is new to known_hosts (StrictHostKeyChecking {word})"))
                }
                (_, _, Vouch::Agent) => Trust::Vouched(format!(
                    "the host key {key} is new to known_hosts; the agent on the instance itself connects to it"
                )),
                _ => no(
                    &format!("known_hosts has no host key of this host, and nothing vouches for {key}"),
                    &format!("{update}; or trust it once with -o StrictHostKeyChecking=accept-new"),
                ),
            }
        }
    }
}

/// Why a jump host is not to be trusted, and what to do next; `None` where it is, and where it showed no host key. Options
/// of the login do not count at a jump host, so what to do is said for its own Host block.
pub fn of_hop(host: &JumpHost) -> Option<(String, String)> {
    let facts = host.login.as_ref()?.facts();
    let Some(SshServer::Ready { host_key, .. }) = facts.wire.ssh.value() else { return None };
    let Trust::No { reason, .. } = judge(&facts, Vouch::Nothing) else { return None };
    let reason = format!("at the jump host {}: {reason}", host.name);
    let way = host.before.join(",");
    let ssh = match way.as_str() {
        "" => format!("ssh {}", by_name(&facts)),
        way => format!("ssh -J {} {}", shell_quote(way), by_name(&facts)),
    };
    let next = match standing(&facts) {
        None => "make the file readable, then try again".to_owned(),
        Some((Standing::New, _)) => {
            format!("log in to it with {ssh} once: compare the key with {host_key} from a source that you trust")
        }
        Some((Standing::Special(_), _)) => format!("try {ssh}, which decides"),
        Some(_) => format!(
            "do not go on before you know that {host_key} is its own key; then take the old one out with ssh-keygen -R"
        ),
    };
    Some((reason, next))
}

/// The jump host as an argument of ssh.
fn by_name(facts: &Facts) -> String {
    let target = &facts.target;
    let at = target.user.as_ref().map(|user| format!("{user}@{}", target.name)).unwrap_or(target.name.clone());
    match target.port {
        Some(port) if port != SSH_PORT => format!("-p {port} {}", shell_quote(&at)),
        _ => shell_quote(&at),
    }
}

fn no(reason: &str, next: &str) -> Trust {
    Trust::No { reason: reason.to_owned(), next: next.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fact::{Fact, Why};
    use crate::core::facts::local::{JumpLogin, KnownHost, KnownHosts, SshConfig};

    const PRINT: &str = "SHA256:wX9j+SP2h7N0y1ZKQdM3E2rXGeJIBFZbmJjfvWeAgd0";

    fn facts(known: &[(&str, &str)], strict: Option<&str>) -> Facts {
        let mut facts = Facts::default();
        facts.target.name = "web 1".to_owned();
        facts.wire.ssh = Fact::known(
            SshServer::Ready {
                banner: "SSH-2.0-OpenSSH_9.6".to_owned(),
                host_key_type: "ssh-ed25519".to_owned(),
                host_key: PRINT.to_owned(),
            },
            "SSH",
        );
        let entry = |(kind, print): &(&str, &str)| KnownHost {
            file: "known_hosts".to_owned(),
            line: 1,
            algorithm: (*kind).to_owned(),
            fingerprint: (*print).to_owned(),
        };
        let entries = known.iter().map(entry).collect();
        facts.local.known_hosts = Fact::known(KnownHosts { entries, ..KnownHosts::default() }, "known_hosts");
        let strict_host_key_checking = strict.map(str::to_owned);
        facts.local.config = Fact::known(SshConfig { strict_host_key_checking, ..SshConfig::default() }, "ssh -G");
        facts
    }

    fn refused(facts: &Facts, vouch: Vouch) -> String {
        match judge(facts, vouch) {
            Trust::No { reason, next } => format!("{reason} | {next}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_known_key_is_taken_and_a_changed_one_never() {
        assert_eq!(judge(&facts(&[("ssh-ed25519", PRINT)], None), Vouch::Nothing), Trust::Known);
        let mut changed = facts(&[("ssh-ed25519", "SHA256:other")], Some("accept-new"));
        for vouch in [Vouch::Nothing, Vouch::Agent] {
            assert!(refused(&changed, vouch).contains("another host key"));
        }
        // The console log of the instance prints the new key: still the user's to say.
        changed.aws.console = Fact::known(console(), "GetConsoleOutput");
        let said = refused(&changed, Vouch::Nothing);
        assert!(said.contains("the instance's own") && said.contains("known-hosts-update 'web 1'"), "{said}");
        let mut revoked = facts(&[("ssh-ed25519", PRINT)], None);
        let Fact::Known { value, .. } = &mut revoked.local.known_hosts else { panic!() };
        value.revoked = value.entries.clone();
        assert!(refused(&revoked, Vouch::Agent).contains("@revoked"));
    }

    fn console() -> String {
        format!(
            "[   11.1] cloud-init[1234]: Cloud-init v. 24.1 running 'modules:final'\n<14>cloud-init: -----BEGIN SSH HOST KEY FINGERPRINTS-----\n<14>cloud-init: 256 {PRINT} root@web (ED25519)\n<14>cloud-init: -----END SSH HOST KEY FINGERPRINTS-----\n"
        )
    }

    #[test]
    fn a_new_key_needs_somebody_who_vouches_for_it() {
        let said = refused(&facts(&[], None), Vouch::Nothing);
        assert!(said.contains("nothing vouches") && said.contains("accept-new"), "{said}");
        assert!(refused(&facts(&[], Some("ask")), Vouch::Nothing).contains("nothing vouches"));
        let vouched = |facts: &Facts, vouch| match judge(facts, vouch) {
            Trust::Vouched(why) => why,
            other => panic!("{other:?}"),
        };
        assert!(vouched(&facts(&[], None), Vouch::Agent).contains("agent on the instance"));
        assert!(vouched(&facts(&[], Some("accept-new")), Vouch::Nothing).contains("accept-new"));
        let mut printed = facts(&[], None);
        printed.aws.console = Fact::known(console(), "GetConsoleOutput");
        assert!(vouched(&printed, Vouch::Nothing).contains("console log"));
        assert!(refused(&facts(&[], Some("yes")), Vouch::Agent).contains("StrictHostKeyChecking is yes"));
    }

    /// A jump host with this login, reached through another one.
    fn hop(facts: &Facts) -> JumpHost {
        let login = JumpLogin {
            target: facts.target.clone(),
            local: facts.local.clone(),
            wire: facts.wire.clone(),
            ..JumpLogin::default()
        };
        let before = vec!["outer".to_owned()];
        JumpHost { name: "gate".to_owned(), before, login: Some(Box::new(login)), ..JumpHost::default() }
    }

    #[test]
    fn a_jump_host_is_named_with_its_key_and_what_to_do() {
        let said = |facts: &Facts| of_hop(&hop(facts)).unwrap_or_default();
        assert_eq!(said(&facts(&[("ssh-ed25519", PRINT)], None)), <(String, String)>::default());
        assert_eq!(said(&facts(&[], Some("accept-new"))), <(String, String)>::default());
        let mut unread = facts(&[], None);
        unread.local.known_hosts = Fact::unknown(Why::failed("reading known_hosts", "permission denied"));
        #[allow(clippy::useless_vec, reason = "an array of facts is too large for a stack")]
        for (facts, why, what) in vec![
            (facts(&[], None), "nothing vouches", "ssh -J outer 'web 1' once"),
            (facts(&[], Some("yes")), "StrictHostKeyChecking is yes", "compare the key"),
            (facts(&[("ssh-ed25519", "SHA256:other")], Some("no")), "another host key", "ssh-keygen -R"),
            (unread, "permission denied", "make the file readable"),
        ] {
            let (reason, next) = said(&facts);
            assert!(reason.starts_with("at the jump host gate: ") && reason.contains(PRINT), "{reason}");
            assert!(reason.contains(why) && next.contains(what), "{reason} | {next}");
            assert!(!next.contains("-o "), "options do not count there: {next}");
        }
    }

    #[test]
    fn unreadable_known_hosts_are_no_empty_ones() {
        let mut facts = facts(&[], Some("accept-new"));
        facts.local.known_hosts = Fact::unknown(Why::failed("reading known_hosts", "permission denied"));
        assert!(refused(&facts, Vouch::Agent).contains("permission denied"));
    }
}
