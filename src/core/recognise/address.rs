//! The address, login name and key file of a message whose words no pattern knows.
//!
//! A text that names one login (`user@host`) or one address names the host, whatever the program around
//! it says. Two different ones name none: a wrong host is worse than no host. Must not look at
//! a server's log, where the address is the client's. Used by `ssh.rs` after the patterns.

use super::Extract;
use super::extract::{is_server_log, key};
use super::flat::{Flat, is_host_name};

/// Symptoms whose text is about one machine that was to be reached.
const ABOUT_A_HOST: &[&str] = &[
    "timeout",
    "connection_refused",
    "connection_reset",
    "no_route",
    "dns_failure",
    "host_key_changed",
    "host_key_unknown",
    "refused_key",
    "too_many_failures",
    "no_supported_auth",
    "permission_denied",
    "unprotected_key",
    "invalid_key_format",
    "passphrase_needed",
    "wrong_login_user",
    "algorithm_mismatch",
    "account_locked_or_expired",
    "booting_nologin",
    "shell_or_home_missing",
    "ping_failure",
    "banner_timeout",
    "not_ssh_server",
    "session_dropped",
    "agent_error",
    "key_file_missing",
    "success",
];
/// Names before `@` and behind it that belong to algorithms and addresses of mail.
const VENDORS: &[&str] = &["openssh.com", "libssh.org", "ssh.com", "liu.se", "putty.projects.tartarus.org"];

/// Fills what is still open.
pub fn fill(flat: &Flat, symptom: &str, evidence: &[String], out: &mut Extract) {
    if !ABOUT_A_HOST.contains(&symptom) {
        return;
    }
    logins(flat, out);
    if out.host.is_none()
        && let Some((host, port)) = one_address(flat)
    {
        out.host = Some(host);
        out.port = out.port.or(port);
    }
    if out.host.is_none() {
        out.host = one_name(evidence);
    }
    if out.key_path.is_none() {
        out.key_path = tried_key(flat);
    }
    if out.user.is_none() {
        out.user = user_of_server_log(flat);
    }
}

/// `user@host` anywhere: of the host that is known already, or of the only one.
fn logins(flat: &Flat, out: &mut Extract) {
    if out.user.is_some() && out.host.is_some() {
        return;
    }
    let mut found: Vec<(&str, &str)> = Vec::new();
    for (at, _) in flat.text.match_indices('@').take(400) {
        let user_at = flat.text[..at]
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)))
            .map_or(0, |i| i + flat.text[i..].chars().next().map_or(1, char::len_utf8));
        let rest = &flat.text[at + 1..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".-".contains(c))).unwrap_or(rest.len());
        let (user, host) = (&flat.text[user_at..at], rest[..end].trim_end_matches('.'));
        let address = is_address(host);
        let fits = user.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && user.len() < 65
            && (address || is_host_name(host))
            && !VENDORS.iter().any(|v| host.ends_with(v))
            && !is_server_log(flat, at);
        if fits && !found.contains(&(user, host)) {
            found.push((user, host));
        }
    }
    let wanted = match &out.host {
        Some(host) => found.iter().find(|(_, h)| h == host).map(|f| f.1),
        None => found.first().map(|f| f.1).filter(|host| found.iter().all(|(_, h)| h == host)),
    };
    let Some(wanted) = wanted else { return };
    let mut users = found.iter().filter(|(_, h)| *h == wanted).map(|(u, _)| *u);
    let (one, more) = (users.next(), users.next());
    if out.user.is_none() && more.is_none() {
        out.user = one.map(str::to_owned);
    }
    out.host = out.host.take().or_else(|| Some(wanted.to_owned()));
}

fn is_address(text: &str) -> bool {
    text.parse::<std::net::Ipv4Addr>().is_ok()
}

/// The only IPv4 address of the text, or the only one that is named with port 22.
fn one_address(flat: &Flat) -> Option<(String, Option<u16>)> {
    let text = flat.text.as_str();
    let mut found: Vec<(&str, Option<u16>)> = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find(|c: char| c.is_ascii_digit()).map(|i| at + i) {
        let length = text[start..].find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len() - start);
        let end = start + length;
        at = end;
        let word = text[start..end].trim_end_matches('.');
        if word.len() < 7 || !is_address(word) || !is_remote(word) || !stands_alone(text, start, start + word.len()) {
            continue;
        }
        if is_server_log(flat, start) {
            continue;
        }
        let port = port_behind(&text[start + word.len()..]);
        match found.iter_mut().find(|(w, _)| *w == word) {
            Some((_, known)) => *known = known.or(port),
            None => found.push((word, port)),
        }
        if found.len() > 8 {
            return None;
        }
    }
    let one = if let [one] = found[..] {
        one
    } else {
        let mut at_22 = found.iter().filter(|(_, port)| *port == Some(22));
        at_22.next().filter(|_| at_22.next().is_none()).copied()?
    };
    Some((one.0.to_owned(), one.1))
}

/// An address that a packet can be sent to from another machine.
fn is_remote(word: &str) -> bool {
    word.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| {
        !(ip.is_loopback() || ip.is_unspecified() || ip.is_link_local() || ip.is_multicast() || ip.octets()[0] >= 224)
            && ip.octets()[0] != 0
    })
}

/// No part of a longer word, no network, no version, and not where somebody came from.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let before = &text[..start];
    let after = &text[end..];
    let word =
        before.trim_end_matches([' ', '=', ':', '(', '[']).rsplit([' ', ',', '(', '[']).next().unwrap_or_default();
    let word = word.trim_end_matches([':', '=']).to_ascii_lowercase();
    let slash = after.strip_prefix('/').is_some_and(|a| a.starts_with(|c: char| c.is_ascii_digit()));
    let open = before.chars().next_back().is_none_or(|c| !(c.is_ascii_alphanumeric() || "_-.".contains(c)));
    let close = after.chars().next().is_none_or(|c| !(c.is_ascii_alphanumeric() || "_-".contains(c)));
    const ORIGIN: &[&str] =
        &["from", "version", "client", "rhost", "listen", "local", "source", "src", "ver", "v", "release", "mask"];
    let left = before.len() >= 20 && {
        let tail = before[before.floor_char_boundary(before.len() - 20)..].to_ascii_lowercase();
        ["disconnecting from ", "disconnected from ", " disconnect from "].iter().any(|w| tail.ends_with(w))
    };
    open && close && !slash && (left || !ORIGIN.contains(&word.as_str()))
}

/// `:22`, ` port 22`, `", 22`, `" 22`, ` 22/tcp` directly behind an address.
fn port_behind(rest: &str) -> Option<u16> {
    let rest = rest.trim_start_matches(['"', '\'', ']', ')']);
    let rest = rest
        .strip_prefix(':')
        .or_else(|| rest.strip_prefix(" port "))
        .or_else(|| rest.strip_prefix(", port "))
        .or_else(|| rest.strip_prefix(", port="))
        .or_else(|| rest.strip_prefix(", "))
        .or_else(|| rest.strip_prefix(','))?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    // A clock or a longer number is no port.
    let after = rest[digits..].chars().next();
    if digits > 5
        || after.is_some_and(|c| {
            c.is_ascii_alphabetic() || c == '.' && rest[digits + 1..].starts_with(|c: char| c.is_ascii_digit())
        })
    {
        return None;
    }
    rest[..digits].parse().ok().filter(|p| *p != 0)
}

/// The only full name of a host in the deciding lines.
fn one_name(evidence: &[String]) -> Option<String> {
    let mut found: Vec<&str> = Vec::new();
    for line in evidence {
        let mut before = '\u{20}';
        for word in line.split(|c: char| !(c.is_ascii_alphanumeric() || ".-_@/\\".contains(c))) {
            let name = word.trim_matches('.');
            let plain = !word.contains(['@', '/', '\\', '_']) && before != '/';
            if plain && name.split('.').count() > 1 && is_host_name(name) && !found.contains(&name) {
                found.push(name);
            }
            before = word.chars().next_back().unwrap_or(' ');
        }
    }
    match found[..] {
        [one] => Some(one.to_owned()),
        _ => None,
    }
}

/// The user whose login sshd's own log tells of, if it tells of one alone.
fn user_of_server_log(flat: &Flat) -> Option<String> {
    const BEFORE: &[&str] = &["authenticating user ", "publickey for ", "password for ", "User ", "for user "];
    let mut found: Vec<&str> = Vec::new();
    for (pos, line) in flat.lines().filter(|(_, line)| line.contains("sshd")) {
        let Some((_, rest)) = BEFORE.iter().find_map(|b| line.split_once(b)).filter(|_| is_server_log(flat, pos))
        else {
            continue;
        };
        let name = rest.split(' ').next().unwrap_or_default();
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) && !name.is_empty();
        // "invalid user admin" is mostly a stranger.
        if plain && name != "invalid" && !line.contains("invalid user ") && !found.contains(&name) {
            found.push(name);
        }
    }
    match found[..] {
        [one] => Some(one.to_owned()),
        _ => None,
    }
}

/// The key file that ssh's debug lines show as tried: the one that was asked for, or the only one.
fn tried_key(flat: &Flat) -> Option<String> {
    const TRIED: &[&str] = &["Trying private key: ", "Offering public key: ", "Will attempt key: "];
    let mut found: Vec<&str> = Vec::new();
    let mut asked: Vec<&str> = Vec::new();
    for (_, line) in flat.lines() {
        let Some(rest) = TRIED.iter().find_map(|t| line.split_once(t)).map(|(_, rest)| rest) else { continue };
        let path = rest.split(" RSA ").flat_map(|r| r.split(" ED25519")).flat_map(|r| r.split(" ECDSA")).next()?.trim();
        let path = path.split(" explicit").next().unwrap_or(path).trim();
        if !path.contains(['/', '\\', '.']) || path.contains('@') {
            continue;
        }
        if rest.contains(" explicit") && !asked.contains(&path) {
            asked.push(path);
        }
        if !found.contains(&path) {
            found.push(path);
        }
    }
    match (&asked[..], &found[..]) {
        ([one], _) | ([], [one]) => key(one),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Extract {
        let mut out = Extract::default();
        fill(&Flat::of_client(text).0, "timeout", &[text.to_owned()], &mut out);
        out
    }

    #[test]
    fn the_only_login_or_address_is_the_host() {
        let e = filled("repo at sftp:ubuntu@203.0.113.9:/srv cannot be opened");
        assert_eq!((e.user.as_deref(), e.host.as_deref()), (Some("ubuntu"), Some("203.0.113.9")));
        let e = filled("Error: no answer, tcp://203.0.113.9:2222.");
        assert_eq!((e.host.as_deref(), e.port), (Some("203.0.113.9"), Some(2222)));
        assert_eq!(filled("no answer of web1.example.net").host.as_deref(), Some("web1.example.net"));
        assert_eq!(filled("203.0.113.9 or 203.0.113.10").host, None);
        assert_eq!(filled("203.0.113.9:22 behind 198.51.100.1").host.as_deref(), Some("203.0.113.9"));
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        for text in [
            "chacha20-poly1305@openssh.com timed out",
            "Last login: today from 203.0.113.9",
            "version 9.1.0.2 timed out",
            "127.0.0.1:22 timed out",
            "10.0.0.0/16 timed out",
            "see https://help.example.com/ssh",
            "in Deploy.java at com.example.net.Run",
        ] {
            assert_eq!(filled(text).host, None, "{text}");
        }
    }
}
