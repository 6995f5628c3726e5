//! The lines of a key file: whether one of them lets an offered key in, and what spoils it when it does not.

use super::Look;
use super::files::certainty;
use crate::core::cause::{Certainty, Finding};
use crate::core::facts::inside::{KeyFileInside, KeyLine};
use crate::core::facts::local::KeyFileState;
use crate::core::inside::{expiry, offered_keys, patterns};
use crate::core::key;

/// What cloud-init puts before root's key, to name the right user.
const CLOUD_ROOT: [&str; 3] = ["no-port-forwarding", "no-agent-forwarding", "command"];

/// What a file holds for the offered keys.
pub(super) enum Held {
    /// A line that lets one of them in, as far as the line goes.
    Good(u32),
    /// A line with one of them that does not let it in.
    Spoilt(Box<Finding>),
    /// None of them.
    None,
}

/// A key that the login would offer: where it comes from, and its fingerprint.
pub(super) struct Offered {
    pub(super) label: String,
    pub(super) fingerprint: String,
}

pub(super) fn offered(look: &Look<'_>) -> Vec<Offered> {
    let facts = look.view.facts;
    let files = facts.local.keys.iter().filter_map(|probe| match probe.file.value() {
        Some(KeyFileState::Read { key, .. }) => {
            key.sha256.clone().map(|fingerprint| Offered { label: probe.path.clone(), fingerprint })
        }
        _ => None,
    });
    let only = facts.local.config.value().is_some_and(|c| c.identities_only);
    let agent = facts.local.agent.value().into_iter().flatten().filter(|_| !only);
    let agent =
        agent.map(|k| Offered { label: format!("agent key {}", k.comment), fingerprint: k.fingerprint.clone() });
    files.chain(agent).collect()
}

/// Fingerprint of the n-th key (from 1) that the script was asked about.
fn asked(look: &Look<'_>, nth: u8) -> Option<String> {
    let keys = offered_keys(look.view.facts);
    keys.get(usize::from(nth).checked_sub(1)?).and_then(|line| key::public_of(line)).map(|(_, fingerprint)| fingerprint)
}

pub(super) fn holds(look: &Look<'_>, line: &KeyLine, keys: &[Offered]) -> bool {
    let by_number = line.offered.and_then(|n| asked(look, n));
    let fingerprint = line.fingerprint.as_ref().or(by_number.as_ref());
    fingerprint.is_some_and(|f| keys.iter().any(|k| k.fingerprint == *f))
}
/// What a file holds for the offered keys. A good line counts over a spoilt one.
pub(super) fn held(look: &Look<'_>, file: &KeyFileInside, keys: &[Offered]) -> Held {
    let mut spoilt = None;
    for (nth, line) in file.entries.iter().enumerate() {
        let at = format!("{} line {}", file.path, line.line);
        let has = |defect: &str| line.defects.iter().any(|d| d == defect);
        if holds(look, line, keys) {
            match spoils(look, line, &at) {
                None => return Held::Good(line.line),
                Some(finding) => spoilt = spoilt.or(Some(finding)),
            }
        } else if let Some(n) = line.near {
            let next = file
                .entries
                .get(nth + 1)
                .is_some_and(|l| l.line == line.line + 1 && l.defects.iter().any(|d| d == "base64"));
            let (id, what) = if has("joined") {
                ("authkeys-joined-line", "two keys stand on one line, so neither is found")
            } else if next {
                ("authkeys-garbled", "the key is wrapped over two lines")
            } else if line.sound == Some(true) {
                continue;
            } else {
                ("authkeys-garbled", "the offered key is there, but not as one whole line")
            };
            let label = asked(look, n)
                .and_then(|f| keys.iter().find(|k| k.fingerprint == f))
                .map_or("the offered key", |k| k.label.as_str());
            spoilt = spoilt.or(Some(look.finding(
                id,
                Certainty::Proven,
                format!("{at}: {what} ({label})"),
                "authorized_keys",
            )));
        }
    }
    spoilt.map_or(Held::None, |finding| Held::Spoilt(Box::new(finding)))
}

/// Why a line with the offered key does not let it in; `None` when it does.
fn spoils(look: &Look<'_>, line: &KeyLine, at: &str) -> Option<Finding> {
    let has = |defect: &str| line.defects.iter().any(|d| d == defect);
    let garbled = |what: &str| {
        Some(look.finding(
            "authkeys-garbled",
            Certainty::Proven,
            format!("{at} has the key, but {what}"),
            "authorized_keys",
        ))
    };
    if has("bom") {
        return garbled("begins with a byte order mark, so sshd does not see its type");
    }
    if line.kind.is_none() || has("notype") {
        return garbled("not its type word in front");
    }
    if line.sound == Some(false) || has("badbase64") {
        return if has("joined") {
            Some(look.finding(
                "authkeys-joined-line",
                Certainty::Proven,
                format!("{at}: two keys stand on one line"),
                "authorized_keys",
            ))
        } else {
            garbled("its type or data is damaged")
        };
    }
    if has("html") {
        return garbled("with the escapes of a web page");
    }
    if let Some((name, _)) = line.options.iter().find(|(name, _)| !patterns::is_option(name)) {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let text = format!("{at} has the key behind the option {name}, which sshd does not know: it skips the line");
        let finding = look.finding("authkeys-garbled", certainty(!plain), text, "authorized_keys");
        // A newer sshd may know a word that is not known here.
        return Some(if plain { finding.would_prove("sshd at LogLevel DEBUG: bad key options") } else { finding });
    }
    let option = |name: &str| line.options.iter().find(|(n, _)| n == name);
    if option("cert-authority").is_some() {
        return Some(look.finding(
            "authkeys-key-absent",
            Certainty::Proven,
            format!("{at} has the key as a certificate authority only"),
            "authorized_keys",
        ));
    }
    if let Some((_, Some(list))) = option("from")
        && patterns::host_list(list, look.address) == Some(false)
        && look.address.is_some()
    {
        let client = look.address.map(|a| a.to_string()).unwrap_or_default();
        let said =
            look.inside.log.iter().rev().find(|l| {
                look.this_boot(l.at) && l.text.contains("not from a permitted host") && l.text.contains(&client)
            });
        let finding = look.finding(
            "authkeys-from-restriction",
            certainty(said.is_some()),
            format!("{at} allows the key from {list} only, and you come from {client}"),
            "authorized_keys",
        );
        return Some(match said {
            Some(l) => finding.and(format!("{} ({})", l.text, look.ago(l.at)), look.by("sshd's log")),
            None => finding.would_prove("sshd's log: correct key but not from a permitted host"),
        });
    }
    if let Some((_, Some(until))) = option("expiry-time")
        && let Some((at_time, now)) = expiry(until, look.inside.zone_minutes).zip(look.inside.at)
        && now > at_time
    {
        return Some(look.finding(
            "authkeys-expired-option",
            Certainty::Proven,
            format!("{at} held until {until} only (expiry-time)"),
            "authorized_keys",
        ));
    }
    let root = look.user.is_some_and(|u| u.uid == 0);
    if root && CLOUD_ROOT.iter().all(|name| option(name).is_some()) {
        let text = format!("{at} lets root's key run one command only, which on cloud images names the right user");
        return Some(look.finding("root-login-refused", Certainty::Proven, text, "authorized_keys"));
    }
    None
}
