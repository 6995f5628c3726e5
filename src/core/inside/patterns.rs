//! Patterns of sshd and of TCP wrappers, and whether they match this user or address.
//!
//! Three answers: a host name in a pattern cannot be judged here, because nothing is looked up.

use ipnet::IpNet;
use std::net::IpAddr;

/// Whether a pattern with `*` and `?` matches a text (OpenSSH match.c). Linear in both lengths multiplied at worst.
pub fn glob(pattern: &str, text: &str) -> bool {
    crate::core::text::wildcard(pattern, text, |p, t| p == t)
}

/// Whether one host pattern of sshd (`from=`, `user@host`) matches an address; `None` when it is a name, which only
/// a look-up could tell.
pub fn host(pattern: &str, address: Option<IpAddr>) -> Option<bool> {
    if pattern == "*" {
        return Some(true);
    }
    let address = address?;
    if let Ok(net) = pattern.parse::<IpNet>() {
        return Some(net.contains(&address));
    }
    if let Ok(one) = pattern.parse::<IpAddr>() {
        return Some(one == address);
    }
    if glob(pattern, &address.to_string()) {
        return Some(true);
    }
    // Only digits, dots and wild cards: an address that does not match. Else a name.
    let numeric = pattern.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '*' | '?' | '/'))
        && pattern.chars().any(|c| c == '.' || c == ':');
    numeric.then_some(false)
}

/// Whether a comma list of host patterns, some with `!`, lets an address through (OpenSSH match_hostname, match_cidr).
pub fn host_list(list: &str, address: Option<IpAddr>) -> Option<bool> {
    let mut found = Some(false);
    for pattern in list.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (refuses, pattern) = pattern.strip_prefix('!').map_or((false, pattern), |p| (true, p));
        match host(pattern, address) {
            Some(true) if refuses => return Some(false),
            Some(true) if found == Some(false) => found = Some(true),
            None if found == Some(false) || refuses => found = None,
            _ => {}
        }
    }
    found
}

/// Whether a line of hosts.allow or hosts.deny (hosts_access(5)) is about sshd and this client.
pub fn wrapper(line: &str, address: Option<IpAddr>) -> Option<bool> {
    let (daemons, rest) = line.split_once(':').unwrap_or((line, ""));
    let daemon = |w: &str| w.eq_ignore_ascii_case("ALL") || w == "sshd" || w.starts_with("sshd@");
    let (named, except) = split_except(daemons);
    if !words(named).any(daemon) || words(except).any(daemon) {
        return Some(false);
    }
    // Addresses of IPv6 stand in brackets, so a colon outside of them ends the list.
    let mut depth = 0;
    let end = rest.find(|c| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        c == ':' && depth <= 0
    });
    let (clients, except) = split_except(&rest[..end.unwrap_or(rest.len())]);
    let any = |list: &str| {
        let answers: Vec<Option<bool>> = words(list).map(|w| client(w, address)).collect();
        if answers.contains(&Some(true)) {
            Some(true)
        } else if answers.contains(&None) {
            None
        } else {
            Some(false)
        }
    };
    match (any(clients), any(except)) {
        (Some(false), _) | (_, Some(true)) => Some(false),
        (Some(true), Some(false)) => Some(true),
        _ => None,
    }
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ', '\t']).filter(|w| !w.is_empty())
}

fn split_except(list: &str) -> (&str, &str) {
    list.split_once(" EXCEPT ").unwrap_or((list, ""))
}

fn client(word: &str, address: Option<IpAddr>) -> Option<bool> {
    match word.to_ascii_uppercase().as_str() {
        "ALL" => return Some(true),
        "LOCAL" | "KNOWN" | "UNKNOWN" | "PARANOID" => return None,
        _ => {}
    }
    let address = address?;
    let bare = word.replace(['[', ']'], "");
    if let Some((net, mask)) = bare.split_once('/')
        && let (Ok(net), Ok(mask)) = (net.parse::<std::net::Ipv4Addr>(), mask.parse::<std::net::Ipv4Addr>())
    {
        let IpAddr::V4(address) = address else { return Some(false) };
        return Some(u32::from(address) & u32::from(mask) == u32::from(net));
    }
    if let Some(start) = bare.strip_suffix('.')
        && start.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    {
        return Some(address.to_string().starts_with(&bare));
    }
    if bare.starts_with('.') || bare.starts_with('@') || bare.starts_with('/') {
        return None;
    }
    host(&bare, Some(address))
}

/// Whether sshd(8), AUTHORIZED_KEYS FILE FORMAT, has an option of this name (in lower case).
pub fn is_option(name: &str) -> bool {
    const VALUES: [&str; 11] = [
        "cert-authority",
        "command",
        "environment",
        "expiry-time",
        "from",
        "permitlisten",
        "permitopen",
        "principals",
        "restrict",
        "tunnel",
        "zos-key-ring-label",
    ];
    const SWITCHES: [&str; 7] = [
        "agent-forwarding",
        "port-forwarding",
        "pty",
        "touch-required",
        "user-rc",
        "verify-required",
        "x11-forwarding",
    ];
    VALUES.contains(&name) || SWITCHES.contains(&name.strip_prefix("no-").unwrap_or(name))
}
