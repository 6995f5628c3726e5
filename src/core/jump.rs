//! The way of a login over other hosts: which jump hosts, in which order, and what they are asked for.
//!
//! Reads the words of ssh_config(5) only. Must not look anything up; `edge` dials, `rules` judges.

mod aws;

pub use aws::{AwsDoor, AwsWay};

use crate::core::facts::Facts;
use crate::core::facts::local::SshConfig;
use crate::core::target::TargetKind;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A jump host as ssh reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hop {
    /// As configured.
    pub name: String,
    /// User, when one is named.
    pub user: Option<String>,
    /// Host name or alias.
    pub host: String,
    /// Port, when one is named.
    pub port: Option<u16>,
    /// Key files that a `ProxyCommand ssh -W` names with `-i`: `ProxyJump` names none.
    pub keys: Vec<String>,
    /// Options of a `ProxyCommand ssh -W` (`-o`).
    pub options: Vec<String>,
    /// Configuration file of a `ProxyCommand ssh -W` (`-F`).
    pub config_file: Option<String>,
}

/// How a login comes to its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Straight.
    Direct,
    /// Over these hosts, the nearest first.
    Hops(Vec<Hop>),
    /// Through a door of AWS, which this program opens itself as the user's ProxyCommand would.
    Aws(AwsWay),
    /// Over a program of the user's, which only ssh runs.
    Command(String),
    /// What is written is no list of hosts.
    Unreadable(String),
}

/// `[user@]host[:port]` or `ssh://[user@]host[:port]` (ssh_config(5), `ProxyJump`).
pub fn parse(text: &str) -> Option<Hop> {
    let name = text.trim();
    let text = name.strip_prefix("ssh://").unwrap_or(name).trim_end_matches('/');
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, text),
    };
    let (host, port) = match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        // Two colons without brackets are an IPv6 address.
        None => match rest.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (rest, None),
        },
    };
    let port = port.map(str::parse).transpose().ok()?;
    (!host.is_empty()).then(|| Hop { name: name.to_owned(), user, host: host.to_owned(), port, ..Hop::default() })
}

/// The way to the target of the facts: `-J`, else the configuration's `ProxyJump`, else its `ProxyCommand`.
pub fn way(facts: &Facts) -> Way {
    let set = |text: Option<&String>| text.filter(|t| !t.trim().is_empty()).cloned();
    let config = facts.local.config.value();
    let named = set(facts.target.jump.as_ref()).or_else(|| set(config.and_then(|c| c.proxy_jump.as_ref())));
    match named {
        Some(list) if list.trim().eq_ignore_ascii_case("none") => Way::Direct,
        Some(list) => hops(&list),
        None => config.map_or(Way::Direct, |c| match by_command(c, facts.user()) {
            Way::Command(command) => {
                let known = aws::read(&command, c, &facts.target.name, facts.target.port);
                known.map_or(Way::Command(command), Way::Aws)
            }
            other => other,
        }),
    }
}

/// The way to a jump host itself, as its own configuration has it: a list, a command, or straight.
pub fn way_of(config: &SshConfig, user: Option<&str>) -> Way {
    match config.proxy_jump.as_deref() {
        Some(list) => hops(list),
        None => by_command(config, user),
    }
}

fn hops(list: &str) -> Way {
    let all: Option<Vec<Hop>> = list.split(',').map(parse).collect();
    all.map_or_else(|| Way::Unreadable(list.to_owned()), Way::Hops)
}

fn by_command(config: &SshConfig, user: Option<&str>) -> Way {
    match config.proxy_command.as_deref().map(str::trim) {
        None | Some("" | "none") => Way::Direct,
        Some(command) => forwarder(command, user).map_or_else(|| Way::Command(command.to_owned()), Way::Hops),
    }
}

/// The hosts of `ssh … -W %h:%p HOST`, which does what `ProxyJump` does. Anything that a shell would have to read
/// (quotes, variables, pipes) is no such command here.
fn forwarder(command: &str, user: Option<&str>) -> Option<Vec<Hop>> {
    if command.contains(['\'', '"', '\\', '$', '`', '|', '&', ';', '<', '>', '(', ')', '*', '?', '#']) {
        return None;
    }
    let mut words = command.split_whitespace().peekable();
    if words.peek() == Some(&"exec") {
        words.next();
    }
    if words.next()?.rsplit('/').next() != Some("ssh") {
        return None;
    }
    let (mut found, mut before, mut host, mut forwards) = (Hop::default(), Vec::new(), None, false);
    while let Some(word) = words.next() {
        let Some(flags) = word.strip_prefix('-').filter(|f| !f.is_empty() && *f != "-") else {
            if word != "--" {
                // A second word would be a command to run there.
                if host.replace(word).is_some() {
                    return None;
                }
            }
            continue;
        };
        for (at, flag) in flags.char_indices() {
            if "qAaTxXYnNvC46kt".contains(flag) {
                continue;
            }
            let rest = &flags[at + flag.len_utf8()..];
            let value = if rest.is_empty() { words.next()? } else { rest };
            match flag {
                'W' => forwards = matches!(value, "%h:%p" | "[%h]:%p"),
                'i' => found.keys.push(value.to_owned()),
                'l' => found.user = Some(value.to_owned()),
                'p' => found.port = Some(value.parse().ok()?),
                'F' => found.config_file = Some(value.to_owned()),
                'o' => found.options.push(value.to_owned()),
                'J' => match hops(value) {
                    Way::Hops(hops) => before = hops,
                    _ => return None,
                },
                _ => return None,
            }
            break;
        }
    }
    let host = host.filter(|_| forwards)?;
    let host = if host.contains("%r") { host.replace("%r", user?) } else { host.to_owned() };
    let named = parse(&host)?;
    // ssh reads host:port only in the form of an address ("ssh://"); what is left with % is for ssh to expand.
    let texts = [&named.host, found.config_file.as_ref().unwrap_or(&named.host)];
    if texts.iter().any(|t| t.contains('%')) || found.keys.iter().any(|k| k.contains('%')) {
        return None;
    }
    let user = named.user.or(found.user);
    before.push(Hop { name: named.name, user, host: named.host, port: named.port.or(found.port), ..found });
    Some(before)
}

/// What the last jump host is asked to connect to: the name or address that ssh would pass on, and the address that
/// it is, as far as this side can know. A Name tag or an instance id is no host: it stands for the private address.
pub fn inner(facts: &Facts) -> Option<(String, Option<IpAddr>)> {
    let of = |address: IpAddr| (address.to_string(), Some(address));
    if let Some(address) = facts.target.address {
        return Some(of(address));
    }
    if let TargetKind::Address(address) = facts.target.kind() {
        return Some(of(address));
    }
    let config = facts.local.config.value();
    let named = config.and_then(|c| c.hostname.clone()).or_else(|| match facts.target.kind() {
        TargetKind::Ec2Dns => Some(facts.target.name.clone()),
        // What no Name tag is, is a host's name.
        TargetKind::Name if facts.instance().is_none_or(|i| i.name.as_deref() != Some(&facts.target.name)) => {
            Some(facts.target.name.clone())
        }
        _ => None,
    });
    match named {
        Some(name) => match name.parse() {
            Ok(address) => Some(of(address)),
            Err(_) => Some((name.clone(), behind_name(facts, &name))),
        },
        None => facts.instance().and_then(|i| i.private_ip.or_else(|| i.best_address())).map(of),
    }
}

/// The instance's address that a name means for a host inside its VPC (VPC User Guide, "DNS attributes": the names that
/// EC2 gives resolve to the private address there).
fn behind_name(facts: &Facts, name: &str) -> Option<IpAddr> {
    let instance = facts.instance()?;
    let own = |dns: &Option<String>| dns.as_deref().is_some_and(|d| d.eq_ignore_ascii_case(name));
    // A public address found here may be a private one there; a private one is the same for both.
    let mine = |a: &&IpAddr| crate::core::vpc::is_private(**a) && instance.addresses().contains(a);
    let found = facts.local.dns.value().and_then(|all| all.iter().find(mine));
    if own(&instance.private_dns) { instance.private_ip } else { found.copied() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fact::Fact;

    #[test]
    fn names_are_read_as_ssh_does() {
        let named = |name: &str, user: Option<&str>, host: &str, port| {
            let (user, host) = (user.map(str::to_owned), host.to_owned());
            Some(Hop { name: name.to_owned(), user, host, port, ..Hop::default() })
        };
        for (text, user, host, port) in [
            ("bastion", None, "bastion", None),
            ("me@bastion:2222", Some("me"), "bastion", Some(2222)),
            ("ssh://me@bastion:2222/", Some("me"), "bastion", Some(2222)),
            ("me@[2001:db8::1]:22", Some("me"), "2001:db8::1", Some(22)),
            ("2001:db8::1", None, "2001:db8::1", None),
        ] {
            assert_eq!(parse(text), named(text, user, host, port));
        }
        assert_eq!(parse("me@"), None);
        assert_eq!(parse("bastion:ssh"), None);
    }

    fn config(jump: Option<&str>, command: Option<&str>) -> Facts {
        let mut facts = Facts::default();
        let (proxy_jump, proxy_command) = (jump.map(str::to_owned), command.map(str::to_owned));
        let config = SshConfig { proxy_jump, proxy_command, ..SshConfig::default() };
        facts.local.config = Fact::known(config, "ssh -G");
        facts
    }

    fn names(way: Way) -> Vec<String> {
        match way {
            Way::Hops(hops) => hops.into_iter().map(|h| h.host).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_option_comes_before_the_configuration() {
        let mut facts = config(Some("a,me@b:2"), None);
        assert_eq!(names(way(&facts)), ["a", "b"]);
        facts.target.jump = Some("c".to_owned());
        assert_eq!(names(way(&facts)), ["c"]);
        facts.target.jump = Some("none".to_owned());
        assert_eq!(way(&facts), Way::Direct);
        assert_eq!(way(&config(None, None)), Way::Direct);
        assert!(matches!(way(&config(Some("a,,b"), None)), Way::Unreadable(_)));
    }

    #[test]
    fn ssh_with_w_is_a_jump_host_and_other_commands_are_not() {
        let command = |text: &str| way(&config(None, Some(text)));
        let Way::Hops(hops) = command("ssh -q -i ~/b.pem -p2222 -l me -W %h:%p bastion") else { panic!() };
        assert_eq!((hops[0].host.as_str(), hops[0].port, hops[0].user.as_deref()), ("bastion", Some(2222), Some("me")));
        assert_eq!(hops[0].keys, ["~/b.pem"]);
        assert_eq!(names(command("exec /usr/bin/ssh -J a,b -qW [%h]:%p me@c")), ["a", "b", "c"]);
        for text in [
            "ssh bastion nc %h %p",
            "ssh -W %h:%p bastion nc",
            "nc -X 5 -x proxy:1080 %h %p",
            "sh -c \"aws ssm start-session --target %h\"",
            "ssh -W localhost:22 bastion",
            "ssh -W %h:%p $BASTION",
            "ssh -W %h:%p %r@bastion",
            "ssh -L 1:a:2 -W %h:%p bastion",
        ] {
            assert!(matches!(command(text), Way::Command(_)), "{text}: {:?}", command(text));
        }
        let mut facts = config(None, Some("ssh -W %h:%p %r@bastion"));
        facts.target.user = Some("root".to_owned());
        let Way::Hops(hops) = way(&facts) else { panic!() };
        assert_eq!(hops[0].user.as_deref(), Some("root"));
    }
}
