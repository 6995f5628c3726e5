//! Name look-up through the system's resolver, as ssh does it.
//!
//! Must not judge the addresses. Used by the DNS probe.

use crate::core::fact::{Fact, Why};
use crate::edge::tcp::os_words;
use std::io::Error;
use std::net::IpAddr;

/// Addresses of a name, IPv4 first; an address is its own answer. Hosts file, search list and name
/// service are the system's (getaddrinfo(3)).
pub async fn lookup(name: &str) -> Fact<Vec<IpAddr>> {
    let name = name.trim_matches(['[', ']']);
    if let Ok(address) = name.parse() {
        return Fact::known(vec![address], "the target is an address");
    }
    if name.is_empty() || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Fact::unknown(Why::failed("look up the name", "it is no host name"));
    }
    match tokio::net::lookup_host((name, 0)).await {
        Ok(found) => match sorted(found.map(|socket| socket.ip())) {
            addresses if addresses.is_empty() => Fact::unknown(no_address(name, "")),
            addresses => Fact::known(addresses, format!("name look-up of {name}")),
        },
        Err(error) => Fact::unknown(why(name, &error)),
    }
}

/// Each address once, IPv4 first, else in the resolver's order.
fn sorted(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut out = Vec::new();
    for address in addresses {
        if !out.contains(&address) {
            out.push(address);
        }
    }
    out.sort_by_key(IpAddr::is_ipv6);
    out
}

/// Tells "there is no such name" from "nobody could be asked". The resolver's code is lost in the
/// standard library's error; its words (glibc, musl, macOS) are what is left.
fn why(name: &str, error: &Error) -> Why {
    let words = os_words(error);
    let words = words.strip_prefix("failed to lookup address information: ").unwrap_or(&words);
    let absent =
        ["not known", "No address associated", "nodename nor servname", "does not resolve", "Name does not exist"];
    if absent.iter().any(|text| words.contains(text)) {
        return no_address(name, words);
    }
    Why::failed(format!("name look-up of {name}"), words)
}

fn no_address(name: &str, words: &str) -> Why {
    let what = if words.is_empty() {
        format!("address for the name {name}")
    } else {
        format!("address for the name {name} ({words})")
    };
    Why::NotFound { what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_its_own_answer() {
        assert_eq!(lookup("203.0.113.7").await.value(), Some(&vec!["203.0.113.7".parse().unwrap()]));
        assert_eq!(lookup("[2001:db8::7]").await.value(), Some(&vec!["2001:db8::7".parse().unwrap()]));
        assert!(lookup("a b").await.why_not().is_some());
        assert!(lookup("").await.why_not().is_some());
    }

    #[tokio::test]
    async fn names_of_this_host_are_found() {
        let fact = lookup("localhost").await;
        assert!(fact.value().is_some_and(|found| found[0].is_loopback()), "{fact:?}");
    }

    #[test]
    fn addresses_come_once_and_version_4_first() {
        let given = ["2001:db8::1", "192.0.2.2", "192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        let wanted: Vec<IpAddr> = ["192.0.2.2", "192.0.2.1", "2001:db8::1"].map(|text| text.parse().unwrap()).into();
        assert_eq!(sorted(given.into_iter()), wanted);
    }

    #[test]
    fn a_missing_name_is_not_a_broken_resolver() {
        let of = |words: &str| why("web", &Error::other(format!("failed to lookup address information: {words}")));
        assert_eq!(
            of("Name or service not known").text(),
            "there is no address for the name web (Name or service not known)"
        );
        assert!(matches!(of("nodename nor servname provided, or not known"), Why::NotFound { .. }));
        assert!(matches!(of("Temporary failure in name resolution"), Why::Failed { .. }));
    }
}
