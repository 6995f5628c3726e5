//! Algorithms: what the user's ssh and the server have in common, by the negotiation of RFC 4253, section 7.1.
//!
//! This program offers more than ssh does, so a server that it gets along with may still be one that ssh refuses.
//! Pure judgement over two sets of lists; where one of them is not known, nothing is concluded. Compression is left
//! out: ssh always offers `none` too. Signatures of the user's key are judged in [`super::versions`].

use super::{View, pasted};
use crate::core::cause::{Certainty, Finding};
use crate::core::facts::Facts;
use crate::core::facts::local::ClientAlgorithms;
use crate::core::kexinit::KexLists;
use crate::core::recognise::Kind;
use crate::core::text::shorten;

/// Characters of a list that are shown.
const SHOWN: usize = 400;

/// Programs in a pasted text that run the user's own ssh, or that are no SSH clients. All others may have their own
/// algorithms.
const RUN_SSH: [&str; 15] = [
    "openssh", "unknown", "rsync", "git", "ansible", "sshfs", "sshpass", "mosh", "autossh", "sshuttle", "awscli", "nc",
    "ping", "telnet", "sshd-log",
];

/// A kind of algorithm of which the two sides share none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// What ssh calls the kind, and what the server offers: `no matching cipher found. Their offer: aes256-cbc`.
    pub words: String,
    /// What the user's ssh offers.
    yours: String,
}

/// Both sides' lists; `None` when one is not known, or the user asks about another program than ssh.
fn lists(facts: &Facts) -> Option<(&ClientAlgorithms, &KexLists)> {
    let asked = facts.paste.as_ref().filter(|paste| paste.kind == Kind::Ssh);
    if asked.is_some_and(|paste| !RUN_SSH.contains(&paste.client.as_str())) {
        return None;
    }
    Some((&facts.local.config.value()?.algorithms, facts.wire.offers_of_server.as_ref()?))
}

/// The algorithm that both sides would use: the first of the client's that the server has too.
fn chosen<'a>(yours: &'a [String], theirs: &[String]) -> Option<&'a str> {
    // A family of GSSAPI methods stands for all mechanisms, whose names the client adds.
    let is = |mine: &str, other: &str| {
        mine == other || (mine.starts_with("gss-") && mine.ends_with('-') && other.starts_with(mine))
    };
    yours.iter().map(String::as_str).find(|mine| theirs.iter().any(|other| is(mine, other)))
}

/// Whether a cipher protects the packets' integrity itself, so that no MAC is negotiated (RFC 5647 as OpenSSH has it;
/// OpenSSH PROTOCOL.chacha20poly1305).
fn is_aead(cipher: &str) -> bool {
    let name = cipher.split('@').next().unwrap_or(cipher);
    matches!(name, "chacha20-poly1305" | "aes128-gcm" | "aes256-gcm")
}

/// What the two sides do not share, in the order in which ssh looks: it ends at the first.
pub(super) fn gaps(facts: &Facts) -> Vec<Gap> {
    let Some((mine, theirs)) = lists(facts) else { return Vec::new() };
    let mut out: Vec<Gap> = Vec::new();
    // A list that ssh did not tell is not known to lack anything.
    let mut look = |kind: &str, mine: &[String], theirs: &[String]| {
        if !mine.is_empty() && chosen(mine, theirs).is_none() {
            let offer = if theirs.is_empty() { "nothing".to_owned() } else { shorten(&theirs.join(","), SHOWN) };
            let words = format!("no matching {kind} found. Their offer: {offer}");
            let gap = Gap { words, yours: shorten(&mine.join(","), SHOWN) };
            if !out.contains(&gap) {
                out.push(gap);
            }
        }
    };
    look("key exchange method", &mine.kex, &theirs.kex);
    look("host key type", &mine.host_keys, &theirs.host_keys);
    let ways =
        [(&theirs.ciphers.to_client, &theirs.macs.to_client), (&theirs.ciphers.to_server, &theirs.macs.to_server)];
    for (ciphers, macs) in ways {
        look("cipher", &mine.ciphers, ciphers);
        if chosen(&mine.ciphers, ciphers).is_some_and(|cipher| !is_aead(cipher)) {
            look("MAC", &mine.macs, macs);
        }
    }
    out
}

/// Whether the user's ssh and the server agree on everything; `None` when that is not known.
pub(super) fn agree(facts: &Facts) -> Option<bool> {
    let (mine, _) = lists(facts)?;
    let complete = [&mine.kex, &mine.host_keys, &mine.ciphers, &mine.macs].iter().all(|list| !list.is_empty());
    if gaps(facts).is_empty() { complete.then_some(true) } else { Some(false) }
}

/// Whether the user's client gets no further than the negotiation, however far this program gets.
pub(super) fn stops(facts: &Facts) -> bool {
    words(facts).is_some()
}

/// What ssh would say, or what the user's client said, when there is nothing in common; and where that comes from.
pub(super) fn words(facts: &Facts) -> Option<(String, &str)> {
    let by_lists = gaps(facts).into_iter().next().map(|gap| (gap.words, facts.wire.ssh.source()));
    by_lists.or_else(|| pasted::no_algorithm(facts).map(|line| (line.to_owned(), "pasted text")))
}

/// The cause, with every kind of algorithm that is not shared.
pub(super) fn finding(view: &View<'_>) -> Option<Finding> {
    let facts = view.facts;
    let mut gaps = gaps(facts).into_iter();
    let (server, client) = (facts.wire.ssh.source(), facts.local.config.source());
    let yours = |gap: &Gap| format!("your ssh offers: {}", gap.yours);
    let first = gaps.next()?;
    let beginning =
        Finding::new("crypto-mismatch", Certainty::Proven, first.words.clone(), server).and(yours(&first), client);
    Some(gaps.fold(beginning, |finding, gap| finding.and(gap.words.clone(), server).and(yours(&gap), client)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<String> {
        list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn the_first_of_the_clients_names_is_chosen() {
        assert_eq!(chosen(&names("a,b,c"), &names("c,b")), Some("b"));
        assert_eq!(chosen(&names("a"), &names("aa,b")), None);
        assert_eq!(chosen(&names("a"), &[]), None);
        assert_eq!(
            chosen(&names("gss-gex-sha1-"), &names("gss-gex-sha1-toWM5Slw5Ew8Mqkay+al2g==")),
            Some("gss-gex-sha1-")
        );
        assert_eq!(chosen(&names("gss-gex-sha1-x"), &names("gss-gex-sha1-xy")), None);
    }

    #[test]
    fn ciphers_that_need_no_mac_are_known() {
        for cipher in ["chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com", "aes256-gcm@openssh.com"] {
            assert!(is_aead(cipher), "{cipher}");
        }
        for cipher in ["aes256-ctr", "aes256-cbc", "rijndael-cbc@lysator.liu.se", "aes192-gcm-like"] {
            assert!(!is_aead(cipher), "{cipher}");
        }
    }
}
