//! What client and server are too old, or too strict, for: key formats, key types, signatures, dead programs.
//!
//! Pure judgement over version lines, banners and the paste. Whether the server knows the key is judged in
//! [`super::auth`]; here only whether the user's own client could use it.

use super::View;
use super::local::key_of;
use super::offering::{Candidate, deciding, order, usable};
use crate::core::cause::{Certainty, Finding};
use crate::core::facts::Facts;
use crate::core::facts::wire::{Answer, Offer, SshServer};
use crate::core::key::KeyFormat;
use crate::core::recognise::Recognised;

/// OpenSSH that reads and makes Ed25519 keys (release notes of 6.5).
const ED25519_SINCE: (u32, u32) = (6, 5);
/// OpenSSH that signs RSA with SHA-2 (release notes of 7.2; RFC 8332).
const RSA_SHA2_SINCE: (u32, u32) = (7, 2);
/// OpenSSH that no longer allows RSA signatures with SHA-1 (release notes of 8.8).
const SHA1_OFF_SINCE: (u32, u32) = (8, 8);
/// OpenSSH that reads Ed25519 in PKCS#8.
const PKCS8_SINCE: (u32, u32) = (9, 6);
/// Bits below which a strict server refuses an RSA key (`RequiredRSASize` of the crypto policies of Enterprise Linux 9).
const STRICT_RSA_BITS: u32 = 2048;

/// Programs that read PuTTY's key format.
const PUTTY: [&str; 7] = ["putty", "plink", "pscp", "psftp", "winscp", "filezilla", "kitty"];

/// Version of the ssh in question, when it is OpenSSH: the one that printed the paste, else the one of this machine.
pub fn client(facts: &Facts) -> Option<(u32, u32)> {
    openssh_version(told(facts).or(facts.local.ssh_version.value().map(String::as_str))?)
}

/// The version line of the paste: people ask from another machine than the one where it fails.
fn told(facts: &Facts) -> Option<&str> {
    facts.paste.as_ref().and_then(|p| p.client_version.as_deref())
}

/// Where the version of the ssh in question is known from.
fn client_source(facts: &Facts) -> &str {
    if told(facts).is_some() { "pasted text" } else { facts.local.ssh_version.source() }
}

/// Version of the server, when its banner says OpenSSH.
fn server(facts: &Facts) -> Option<(u32, u32)> {
    match facts.wire.ssh.value()? {
        SshServer::Ready { banner, .. } | SshServer::KexFailed { banner, .. } => openssh_version(banner),
        _ => None,
    }
}

/// Major and minor number in `OpenSSH_9.2p1 …`.
fn openssh_version(line: &str) -> Option<(u32, u32)> {
    let (_, rest) = line.split_once("OpenSSH_")?;
    let rest = rest.strip_prefix("for_Windows_").unwrap_or(rest);
    let (major, rest) = rest.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The key type of a candidate.
fn kind(candidate: Candidate<'_>) -> Option<&str> {
    match candidate {
        Candidate::File(probe) => key_of(probe).and_then(|key| key.algorithm.as_deref()),
        Candidate::Agent(key) => Some(&key.algorithm),
    }
}

/// Why the user's ssh cannot log in with a key of this type although the server knows it.
struct Obstacle {
    id: &'static str,
    certainty: Certainty,
    text: String,
}

fn obstacle(facts: &Facts, key_type: &str) -> Option<Obstacle> {
    let (client, server) = (client(facts), server(facts));
    let name = |(major, minor): (u32, u32)| format!("OpenSSH {major}.{minor}");
    let rsa = key_type == "ssh-rsa";
    if let (true, Some(old)) = (rsa, server.filter(|v| *v < RSA_SHA2_SINCE)) {
        let allowed = facts.local.config.value().and_then(|c| c.sha1_signatures);
        let certainty = match (allowed, client) {
            (Some(false), _) => Certainty::Proven,
            (None, Some(version)) if version >= SHA1_OFF_SINCE => Certainty::Likely,
            _ => return None,
        };
        let text = format!(
            "the server is {} and knows RSA signatures with SHA-1 only, which your ssh refuses to make",
            name(old)
        );
        return Some(Obstacle { id: "sha1-signature-refused", certainty, text });
    }
    let old = client?;
    if key_type == "ssh-ed25519" && old < ED25519_SINCE {
        let text = format!("your ssh is {}: Ed25519 keys are known since 6.5", name(old));
        return Some(Obstacle { id: "client-too-old", certainty: Certainty::Proven, text });
    }
    if rsa && old < RSA_SHA2_SINCE && server.is_some_and(|v| v >= SHA1_OFF_SINCE) {
        let text = format!(
            "your ssh is {} and signs RSA with SHA-1 only, which the server ({}) no longer takes by default",
            name(old),
            server.map(name).unwrap_or_default()
        );
        return Some(Obstacle { id: "client-too-old", certainty: Certainty::Likely, text });
    }
    None
}

/// Whether the user's ssh could not use the key of an offer that the server takes from this probe.
pub fn stops(facts: &Facts, offer: &Offer) -> bool {
    order(facts)
        .into_iter()
        .filter(|c| offer.key.as_deref() == Some(&c.label()))
        .any(|c| kind(c).is_some_and(|k| obstacle(facts, k).is_some()))
}

/// Causes in versions and key types.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let mut out = Vec::new();
    let all = order(facts);
    let found: Vec<(Candidate<'_>, Obstacle)> =
        all.iter().filter_map(|c| kind(*c).and_then(|k| obstacle(facts, k)).map(|o| (*c, o))).collect();
    // A key that the server does not know is no loss when ssh cannot use it.
    let all_stopped = found.len() == all.len();
    for (candidate, Obstacle { id, certainty, text }) in found {
        let known = facts.wire.offers.iter().any(|o| o.key == Some(candidate.label()) && o.answer.key_is_known());
        let certainty = if known || all_stopped { certainty } else { Certainty::Possible };
        let source = if id == "client-too-old" { client_source(facts) } else { facts.wire.ssh.source() };
        let finding =
            Finding::new(id, certainty, text, source).and(format!("the key is {}", candidate.label()), "your keys");
        out.push(match certainty {
            Certainty::Proven => finding,
            _ => finding.would_prove("ssh -v says: no mutual signature algorithm; or a login with another type of key"),
        });
    }
    strict_server(view, &mut out);
    obsolete(facts, &mut out);
    out
}

/// A refused key of a type or size that strict servers do not take.
fn strict_server(view: &View<'_>, out: &mut Vec<Finding>) {
    let facts = view.facts;
    let refused =
        |c: &Candidate<'_>| facts.wire.offers.iter().any(|o| o.key == Some(c.label()) && o.answer == Answer::Refused);
    let source = facts.wire.ssh.source();
    for candidate in order(facts).into_iter().filter(refused) {
        let label = candidate.label();
        let bits = match candidate {
            Candidate::File(probe) => key_of(probe).and_then(|key| key.bits),
            Candidate::Agent(_) => None,
        };
        if let (Some("ssh-rsa"), Some(bits)) = (kind(candidate), bits.filter(|b| *b < STRICT_RSA_BITS)) {
            let text = format!(
                "the server refuses {label}, an RSA key of {bits} bits: many servers ask for {STRICT_RSA_BITS}"
            );
            out.push(
                Finding::new("key-type-unsupported", Certainty::Possible, text, source)
                    .would_prove("sshd's log inside: refusing RSA key: Invalid key length"),
            );
        }
        if kind(candidate) == Some("ssh-ed25519")
            && let Some((certainty, text, from)) = fips(facts)
        {
            out.push(
                Finding::new(
                    "fips-ed25519",
                    certainty,
                    format!("{text}, and the server refuses {label}, an Ed25519 key"),
                    source,
                )
                .and(text, from)
                .would_prove("a login with an RSA or ECDSA key, or fips-mode-setup --check inside"),
            );
        }
    }
}

/// Whether the boot log explains why an Ed25519 key is refused, which no look at the login's files would.
pub(super) fn fips_explains(facts: &Facts) -> bool {
    let ed = |o: &Offer| {
        o.answer == Answer::Refused && order(facts).iter().any(|c| c.is_in(o) && kind(*c) == Some("ssh-ed25519"))
    };
    facts.wire.offers.iter().any(ed) && fips(facts).is_some_and(|(certainty, ..)| certainty >= Certainty::Likely)
}

/// What tells that the instance runs in FIPS mode: the kernel's command line in the boot log, or the image's name.
fn fips(facts: &Facts) -> Option<(Certainty, String, String)> {
    let booted = |text: &&String| text.split_whitespace().any(|word| word == "fips=1");
    if let Some(line) = facts.aws.console.value().filter(booted) {
        let words = line.lines().find(|l| l.split_whitespace().any(|w| w == "fips=1")).unwrap_or_default();
        let text = format!("the instance was booted in FIPS mode ({})", crate::core::text::shorten(words.trim(), 120));
        return Some((Certainty::Likely, text, facts.aws.console.source().to_owned()));
    }
    let image = facts.aws.image.value()?.as_ref()?;
    let name = image.name.as_deref().filter(|name| name.to_ascii_lowercase().contains("fips"))?;
    Some((Certainty::Possible, format!("the image is called {name}"), facts.aws.image.source().to_owned()))
}

/// Clients that are gone, or too old for what AWS makes today.
fn obsolete(facts: &Facts, out: &mut Vec<Finding>) {
    let Some(paste) = &facts.paste else { return };
    let said = |words: &str| paste.evidence.iter().find(|line| line.to_ascii_lowercase().contains(words));
    let proof = "a login with a current client, with EC2 Instance Connect or with Session Manager";
    if let Some(line) = ["mindterm", "java applet", "npapi"].iter().find_map(|w| said(w)) {
        out.push(Finding::new("obsolete-client", Certainty::Proven, line.clone(), "pasted text"));
    } else if paste.client == "mindterm" {
        let text = "the text is MindTerm's, a Java applet that browsers and AWS no longer run";
        out.push(Finding::new("obsolete-client", Certainty::Likely, text, "pasted text").would_prove(proof));
    } else if let Some(line) = said("key format too new") {
        let text = format!("{line}: PuTTY reads version 3 since 0.75");
        out.push(Finding::new("obsolete-client", Certainty::Likely, text, "pasted text").would_prove(proof));
    }
}

/// Ed25519 in PKCS#8, which ssh reads since 9.6: a trouble only for an older client.
pub(super) fn old_for_key(facts: &Facts, out: &mut Vec<Finding>) {
    let version = client(facts);
    let told = facts.symptom() == Some("invalid_key_format");
    for probe in facts.local.keys.iter().filter(|p| usable(p)) {
        let Some(key) = key_of(probe).filter(|k| k.loads_in.openssh && !k.loads_in.openssh_before_9_6) else {
            continue;
        };
        let certainty = match version {
            Some(version) if version >= PKCS8_SINCE => continue,
            Some(_) if deciding(facts).any(|k| k.path == probe.path) => Certainty::Proven,
            Some(_) => Certainty::Possible,
            None if told => Certainty::Likely,
            None => continue,
        };
        let kind = key.algorithm.as_deref().unwrap_or("ssh-ed25519");
        let finding = Finding::new(
            "key-ed25519-pkcs8-old-client",
            certainty,
            format!("{} is {kind} in PKCS#8, which OpenSSH reads since 9.6 only", probe.path),
            format!("file {}", probe.path),
        );
        let finding = match version {
            Some((major, minor)) => finding.and(format!("your ssh is OpenSSH {major}.{minor}"), client_source(facts)),
            None => finding,
        };
        out.push(match (certainty, version) {
            (Certainty::Proven, _) => finding,
            (_, None) => finding.would_prove("ssh -V"),
            (_, Some(_)) => finding.would_prove("a login with this key alone: ssh -o IdentitiesOnly=yes -i FILE"),
        });
    }
}

/// Whether this ssh cannot read the file although it is whole: Ed25519 in PKCS#8 with a client before 9.6.
pub fn too_new_for_client(facts: &Facts, probe: &crate::core::facts::local::KeyProbe) -> bool {
    client(facts).is_some_and(|version| version < PKCS8_SINCE)
        && key_of(probe).is_some_and(|k| k.loads_in.openssh && !k.loads_in.openssh_before_9_6)
}

/// Whether the paste is of a program that reads PuTTY's key format: for that a PPK file is right.
pub fn reads_ppk(paste: &Recognised) -> bool {
    let says = |id: &str| paste.causes.iter().any(|c| c == id);
    PUTTY.contains(&paste.client.as_str()) || says("key-format-pem-with-putty") || says("ppk-version-too-new")
}

/// PuTTY's own key troubles, when the paste says that PuTTY is the client.
pub(super) fn putty(view: &View<'_>, out: &mut Vec<Finding>) {
    let facts = view.facts;
    if !facts.paste.as_ref().is_some_and(reads_ppk) {
        return;
    }
    // PPK is right for PuTTY; PEM is not.
    out.retain(|f| f.id != "key-format-ppk-with-openssh");
    for probe in &facts.local.keys {
        if let Some(key) = key_of(probe).filter(|k| {
            matches!(k.format, KeyFormat::Pkcs1 | KeyFormat::Pkcs8 | KeyFormat::OpenSsh) && k.parse_error.is_none()
        }) {
            let kind = key.algorithm.as_deref().unwrap_or("key");
            out.push(
                Finding::new(
                    "key-format-pem-with-putty",
                    Certainty::Likely,
                    format!("{} ({kind}) is no PPK file, and the client is PuTTY", probe.path),
                    format!("file {}", probe.path),
                )
                .would_prove("PuTTY says: Unable to use key file"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::openssh_version;

    #[test]
    fn versions_are_read_from_banners_and_version_lines() {
        for (text, version) in [
            ("OpenSSH_9.2p1 Debian-2+deb12u3, OpenSSL 3.0.15 3 Sep 2024", Some((9, 2))),
            ("OpenSSH_for_Windows_8.1p1, LibreSSL 3.0.2", Some((8, 1))),
            ("SSH-2.0-OpenSSH_6.6.1p1 Ubuntu-2ubuntu2", Some((6, 6))),
            ("SSH-2.0-OpenSSH_10.0", Some((10, 0))),
            ("SSH-2.0-dropbear_2019.78", None),
            ("Sun_SSH_1.1", None),
        ] {
            assert_eq!(openssh_version(text), version, "{text}");
        }
    }
}
