//! The guest's own packet filter: what happens to a new connection from the client to the port.
//!
//! Rules are walked as netfilter does. A rule that is not understood makes everything after it "cannot tell", so a
//! drop is claimed only when every rule before it surely does not match.

use super::patterns::host;
use crate::core::facts::inside::Inside;
use std::net::IpAddr;

/// What a filter does with the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It lets it in.
    Accept,
    /// It drops or rejects it, by the rule or policy named.
    Block {
        /// The rule as printed.
        rule: String,
    },
    /// Its rules do not tell; the rule that may decide.
    Unclear {
        /// The rule as printed.
        rule: String,
    },
}

/// One rule, read as far as it matters.
struct Rule<'a> {
    /// Whether it is about the connection: `None` when that cannot be told.
    matches: Option<bool>,
    /// What it does then.
    target: Target<'a>,
    /// As printed.
    text: &'a str,
}

enum Target<'a> {
    Accept,
    Block,
    Return,
    Jump(&'a str),
    Go(&'a str),
    Nothing,
    Unknown,
}

/// Jumps that are followed into each other; netfilter forbids loops.
const DEPTH: usize = 16;

/// Rules that are looked at in all.
const STEPS: usize = 2000;

struct Walk<'a> {
    chains: Vec<(&'a str, Vec<Rule<'a>>)>,
    steps: usize,
    unclear: Option<String>,
}

enum Outcome {
    Done(Fate),
    Fell,
}

impl<'a> Walk<'a> {
    fn chain(&mut self, name: &str, depth: usize) -> Outcome {
        let Some(at) = self.chains.iter().position(|(n, _)| *n == name) else {
            self.doubt(name);
            return Outcome::Fell;
        };
        for nth in 0..self.chains[at].1.len() {
            self.steps += 1;
            if depth > DEPTH || self.steps > STEPS {
                self.doubt("too many rules");
                return Outcome::Fell;
            }
            let rule = &self.chains[at].1[nth];
            let text: &'a str = rule.text;
            let Some(sure) = rule.matches else {
                if !matches!(rule.target, Target::Nothing) {
                    self.doubt(text);
                }
                continue;
            };
            if !sure {
                continue;
            }
            match rule.target {
                Target::Accept => return Outcome::Done(Fate::Accept),
                Target::Block => return Outcome::Done(Fate::Block { rule: text.to_owned() }),
                Target::Return => return Outcome::Fell,
                Target::Nothing => {}
                Target::Unknown => self.doubt(text),
                Target::Jump(to) => {
                    if let done @ Outcome::Done(_) = self.chain(to, depth + 1) {
                        return done;
                    }
                }
                Target::Go(to) => return self.chain(to, depth + 1),
            }
        }
        Outcome::Fell
    }

    fn doubt(&mut self, rule: &str) {
        self.unclear.get_or_insert_with(|| rule.to_owned());
    }
}

/// A drop is only as sure as what came before it.
fn sure(walk: &Walk<'_>, fate: Fate) -> Fate {
    match &walk.unclear {
        Some(rule) => Fate::Unclear { rule: rule.clone() },
        None => fate,
    }
}

/// What iptables does with a new TCP connection; `None` when it has no rules at all.
pub fn iptables(rules: &[String], cut: bool, address: Option<IpAddr>, port: u16) -> Option<Fate> {
    if rules.is_empty() {
        return None;
    }
    let mut walk = Walk { chains: Vec::new(), steps: 0, unclear: None };
    let mut policy = "ACCEPT";
    for rule in rules {
        let words: Vec<&str> = rule.split_whitespace().collect();
        match words.as_slice() {
            ["-P", "INPUT", given, ..] => policy = given,
            ["-A", chain, rest @ ..] => {
                let read = read_iptables(rule, rest, address, port);
                match walk.chains.iter_mut().find(|(name, _)| name == chain) {
                    Some((_, list)) => list.push(read),
                    None => walk.chains.push((chain, vec![read])),
                }
            }
            // An empty chain of one's own: jumps to it fall through.
            ["-N", chain] if !walk.chains.iter().any(|(name, _)| name == chain) => {
                walk.chains.push((chain, Vec::new()));
            }
            _ => {}
        }
    }
    // Chains whose rules are all about other ports were left out with them: nothing in them decides.
    let missing: Vec<&str> = walk
        .chains
        .iter()
        .flat_map(|(_, list)| list.iter())
        .filter_map(|rule| match rule.target {
            Target::Jump(to) | Target::Go(to) => Some(to),
            _ => None,
        })
        .collect();
    for name in missing {
        if !walk.chains.iter().any(|(n, _)| *n == name) {
            walk.chains.push((name, Vec::new()));
        }
    }
    if cut {
        walk.doubt("the list of rules is not complete");
    }
    let fate = if walk.chains.iter().any(|(n, _)| *n == "INPUT") { walk.chain("INPUT", 0) } else { Outcome::Fell };
    let fate = match fate {
        Outcome::Done(fate) => fate,
        Outcome::Fell if policy == "ACCEPT" => Fate::Accept,
        Outcome::Fell => Fate::Block { rule: format!("-P INPUT {policy}") },
    };
    Some(sure(&walk, fate))
}

fn and(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

/// Whether any of several answers is yes: unknown when none is and one cannot be told.
fn any_of(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let all: Vec<Option<bool>> = answers.collect();
    if all.contains(&Some(true)) {
        return Some(true);
    }
    if all.contains(&None) { None } else { Some(false) }
}

fn port_list(list: &str, port: u16) -> Option<bool> {
    let mut any = false;
    for item in list.split(',').map(str::trim).filter(|i| !i.is_empty()) {
        let (low, high) = item.split_once([':', '-']).unwrap_or((item, item));
        let number = |text: &str| match text {
            "ssh" => Some(22),
            text => text.parse::<u16>().ok(),
        };
        any |= (number(low)?..=number(high)?).contains(&port);
    }
    Some(any)
}

fn read_iptables<'a>(text: &'a str, words: &[&'a str], address: Option<IpAddr>, port: u16) -> Rule<'a> {
    let mut matches = Some(true);
    let mut target = Target::Nothing;
    let mut not = false;
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        if word == "!" {
            not = true;
            continue;
        }
        let mut value = || words.next().unwrap_or_default();
        let answer = match word {
            "-p" => Some(Some(matches!(value(), "tcp" | "all" | "6"))),
            "-s" => Some(host(value(), address)),
            // The connection comes from outside, by an interface whose name is not known here.
            "-i" => Some(if value() == "lo" { Some(false) } else { None }),
            "--dport" | "--dports" | "--destination-port" => Some(port_list(value(), port)),
            "--ctstate" | "--state" => Some(Some(value().split(',').any(|s| s == "NEW"))),
            "--dst-type" => Some(Some(value() == "LOCAL")),
            "-m" => {
                let known = ["tcp", "conntrack", "state", "multiport", "addrtype", "comment", "limit"];
                if known.contains(&value()) { Some(Some(true)) } else { Some(None) }
            }
            "--limit" => {
                value();
                Some(None)
            }
            "-j" | "-g" => {
                let to = value();
                target = match to {
                    "ACCEPT" => Target::Accept,
                    "DROP" | "REJECT" => Target::Block,
                    "RETURN" => Target::Return,
                    "LOG" | "NFLOG" | "ULOG" | "MARK" | "CONNMARK" | "AUDIT" | "TRACE" | "CT" => Target::Nothing,
                    "QUEUE" | "NFQUEUE" | "TARPIT" | "SYNPROXY" => Target::Unknown,
                    chain if word == "-g" => Target::Go(chain),
                    chain => Target::Jump(chain),
                };
                // What follows are the target's own options.
                break;
            }
            "--limit-burst" | "--icmp-type" | "--comment" => {
                value();
                None
            }
            "--tcp-flags" | "-d" | "-o" => {
                value();
                Some(None)
            }
            _ => Some(None),
        };
        if let Some(answer) = answer {
            matches = and(matches, if not { answer.map(|a| !a) } else { answer });
        }
        not = false;
    }
    Rule { matches, target, text }
}

/// What nftables' own tables do; `None` when no base chain looks at incoming packets. Lines are `FAMILY TABLE CHAIN RULE`.
pub fn nft(lines: &[String], sets: &[(String, bool)], cut: bool, address: Option<IpAddr>, port: u16) -> Option<Fate> {
    // Chains with their rules, by table.
    type Chains<'l> = Vec<(&'l str, Vec<&'l str>)>;
    let mut tables: Vec<(String, Chains<'_>)> = Vec::new();
    for line in lines {
        let mut words = line.splitn(4, ' ');
        let (Some(family), Some(table), Some(chain), Some(rule)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let name = format!("{family} {table}");
        let at = tables.iter().position(|(n, _)| *n == name).unwrap_or_else(|| {
            tables.push((name, Vec::new()));
            tables.len() - 1
        });
        let chains = &mut tables[at].1;
        match chains.iter_mut().find(|(n, _)| *n == chain) {
            Some((_, list)) => list.push(rule),
            None => chains.push((chain, vec![rule])),
        }
    }
    let v6 = address.is_some_and(|a| a.is_ipv6());
    let mut worst: Option<Fate> = None;
    for (name, chains) in &tables {
        let family = name.split(' ').next().unwrap_or_default();
        if !matches!(family, "inet" | "ip" | "ip6") || (family == "ip6" && !v6) || (family == "ip" && v6) {
            continue;
        }
        for (base, list) in chains {
            let Some(head) = list.iter().find(|r| r.starts_with("type filter hook input")) else { continue };
            let mut walk = Walk { chains: Vec::new(), steps: 0, unclear: None };
            for (chain, list) in chains {
                let rules = list.iter().filter(|r| !r.starts_with("type ") && !r.starts_with("policy "));
                walk.chains.push((chain, rules.map(|r| read_nft(r, (name, sets), address, port)).collect()));
            }
            if cut {
                walk.doubt("the list of rules is not complete");
            }
            let fate = match walk.chain(base, 0) {
                Outcome::Done(fate) => fate,
                Outcome::Fell if head.contains("policy drop") => Fate::Block { rule: format!("{name} {base}: {head}") },
                Outcome::Fell => Fate::Accept,
            };
            let fate = sure(&walk, fate);
            // Every base chain must let it through: one that surely drops decides.
            let rank = |f: &Fate| match f {
                Fate::Block { .. } => 2,
                Fate::Unclear { .. } => 1,
                Fate::Accept => 0,
            };
            if worst.as_ref().is_none_or(|w| rank(&fate) > rank(w)) {
                worst = Some(fate);
            }
        }
    }
    worst
}

/// The words of a set `{ a, b }` or of one value, as a comma list; the second is what follows.
fn set<'w, 'a>(words: &'w [&'a str]) -> (String, &'w [&'a str]) {
    if words.first() != Some(&"{") {
        return (words.first().map(|w| (*w).to_owned()).unwrap_or_default(), words.get(1..).unwrap_or_default());
    }
    let end = words.iter().position(|w| *w == "}").unwrap_or(words.len());
    (words[1..end].concat(), words.get(end + 1..).unwrap_or_default())
}

fn read_nft<'a>(
    text: &'a str,
    (table, sets): (&str, &[(String, bool)]),
    address: Option<IpAddr>,
    port: u16,
) -> Rule<'a> {
    let all: Vec<&'a str> = text.split_whitespace().collect();
    let mut words = all.as_slice();
    let mut matches = Some(true);
    let mut target = Target::Nothing;
    while let Some(first) = words.first().copied() {
        let answer: Option<bool>;
        match (first, words.get(1).copied().unwrap_or_default()) {
            ("tcp" | "th", "dport") => {
                let not = words.get(2) == Some(&"!=");
                let (list, rest) = set(&words[if not { 3 } else { 2 }.min(words.len())..]);
                let found = if list.starts_with('@') { None } else { port_list(&list, port) };
                answer = if not { found.map(|f| !f) } else { found };
                words = rest;
            }
            ("ip" | "ip6", "saddr") => {
                let not = words.get(2) == Some(&"!=");
                let (list, rest) = set(&words[if not { 3 } else { 2 }.min(words.len())..]);
                let same = address.map(|a| a.is_ipv6() == (first == "ip6"));
                let found = if list.starts_with('@') {
                    sets.iter().find(|(of, _)| *of == format!("{table} {list}")).map(|(_, holds)| *holds)
                } else {
                    any_of(list.split(',').map(|p| host(p, address)))
                };
                answer = and(same, if not { found.map(|f| !f) } else { found });
                words = rest;
            }
            ("ct", "state") => {
                if words.get(2) == Some(&"vmap") {
                    let (list, rest) = set(words.get(3..).unwrap_or_default());
                    words = rest;
                    // `established : accept, related : accept, invalid : drop`: new connections go on, unless named.
                    answer = if list.contains("new") { None } else { Some(false) };
                } else {
                    let (list, rest) = set(words.get(2..).unwrap_or_default());
                    answer = Some(list.split(',').any(|s| s == "new"));
                    words = rest;
                }
            }
            ("iif" | "iifname", name) => {
                answer = if name.trim_matches('"') == "lo" { Some(false) } else { None };
                words = words.get(2..).unwrap_or_default();
            }
            ("udp" | "icmp" | "icmpv6" | "igmp", _) => {
                answer = Some(false);
                words = words.get(1..).unwrap_or_default();
            }
            ("meta", "l4proto") | ("ip", "protocol") | ("ip6", "nexthdr") => {
                let (list, rest) = set(words.get(2..).unwrap_or_default());
                answer = Some(list.split(',').any(|p| p == "tcp" || p == "6"));
                words = rest;
            }
            ("meta", "nfproto") => {
                let wanted = words.get(2).copied().unwrap_or_default();
                answer = address.map(|a| a.is_ipv6() == (wanted == "ipv6"));
                words = words.get(3..).unwrap_or_default();
            }
            ("counter", "packets") => {
                answer = Some(true);
                words = words.get(5..).unwrap_or_default();
            }
            ("counter", _) => {
                answer = Some(true);
                words = &words[1..];
            }
            ("log" | "comment", _) => break,
            ("accept", _) => {
                target = Target::Accept;
                break;
            }
            ("drop" | "reject", _) => {
                target = Target::Block;
                break;
            }
            ("return", _) => {
                target = Target::Return;
                break;
            }
            ("jump", to) => {
                target = Target::Jump(to);
                break;
            }
            ("goto", to) => {
                target = Target::Go(to);
                break;
            }
            _ => {
                // What is not known may match or not, and may do anything at its end.
                matches = and(matches, None);
                target = ending(&all);
                break;
            }
        }
        matches = and(matches, answer);
    }
    Rule { matches, target, text }
}

fn ending<'a>(words: &[&'a str]) -> Target<'a> {
    for (nth, word) in words.iter().enumerate() {
        match *word {
            "accept" => return Target::Accept,
            "drop" | "reject" => return Target::Block,
            "jump" | "goto" => return words.get(nth + 1).map_or(Target::Unknown, |to| Target::Jump(to)),
            _ => {}
        }
    }
    Target::Unknown
}

/// What firewalld's active zone does; `None` while it does not run or its answer does not tell.
pub fn firewalld(lines: &[String], address: Option<IpAddr>, port: u16) -> Option<Fate> {
    let get = |name: &str| lines.iter().find_map(|l| l.strip_prefix(name)).map(str::trim);
    let zone = get("zone ")?.to_owned();
    let target = get("target:")?;
    if get("zones ").is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n > 1)) {
        return Some(Fate::Unclear { rule: "several zones are active".to_owned() });
    }
    let unclear = |rule: &str| Some(Fate::Unclear { rule: format!("zone {zone}: {rule}") });
    if target == "ACCEPT" {
        return Some(Fate::Accept);
    }
    let services: Vec<&str> = get("services:").unwrap_or_default().split_whitespace().collect();
    let ports = get("ports:").unwrap_or_default();
    let tcp = |p: &str| p.strip_suffix("/tcp").is_some_and(|p| port_list(p, port) == Some(true));
    let rich: Vec<&String> = lines.iter().filter(|l| l.starts_with("rule ")).collect();
    if let Some(rule) = rich.iter().find(|r| r.contains("reject") || r.contains("drop")) {
        let source = rule.split("address=\"").nth(1).and_then(|r| r.split('"').next());
        let about_port = rule.contains("service name=\"ssh\"")
            || rule.contains(&format!("port port=\"{port}\""))
            || !rule.contains("port port=") && !rule.contains("service name=");
        match (about_port, source.map_or(Some(true), |s| host(s, address))) {
            (true, Some(true)) => return Some(Fate::Block { rule: format!("zone {zone}: {rule}") }),
            (true, None) => return unclear(rule),
            _ => {}
        }
    }
    if (port == 22 && services.contains(&"ssh")) || ports.split_whitespace().any(tcp) {
        return Some(Fate::Accept);
    }
    if !rich.is_empty()
        || get("source-ports:").is_some_and(|s| !s.is_empty())
        || get("sources:").is_some_and(|s| !s.is_empty())
    {
        return unclear("its rich rules or sources may let the client in");
    }
    // Services other than ssh may stand for the port.
    if port != 22
        && services.iter().any(|s| !matches!(*s, "ssh" | "dhcpv6-client" | "cockpit" | "mdns" | "http" | "https"))
    {
        return unclear("one of its services may stand for the port");
    }
    Some(Fate::Block {
        rule: format!(
            "zone {zone} (target {target}): services {}; ports {}",
            or_none(&services.join(" ")),
            or_none(ports)
        ),
    })
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

/// What all of the guest's filters together do, and which one decides.
pub fn fate(inside: &Inside, address: Option<IpAddr>, port: u16) -> Option<(&'static str, Fate)> {
    let fw = &inside.firewall;
    let cut = |name: &str| fw.cut.iter().any(|c| c == name);
    let v6 = address.is_some_and(|a| a.is_ipv6());
    let tables = if v6 { (&fw.ip6tables, "ip6tables") } else { (&fw.iptables, "iptables") };
    let zone = firewalld(&fw.firewalld, address, port);
    let mut all: Vec<(&'static str, Option<Fate>)> = vec![(tables.1, iptables(tables.0, cut(tables.1), address, port))];
    // firewalld's own tables are its zones written out: the zones are the clearer answer.
    if zone.is_some() {
        all.push(("firewalld", zone));
    } else {
        // iptables over nftables shows the same rules twice; iptables' own list is the one that can be read.
        let twice = |l: &str| !tables.0.is_empty() && (l.starts_with("ip filter ") || l.starts_with("ip6 filter "));
        let own: Vec<String> = fw.nft.iter().filter(|l| !twice(l)).cloned().collect();
        all.push(("nftables", nft(&own, &fw.sets, cut("nft"), address, port)));
    }
    let pick = |want: fn(&Fate) -> bool| all.iter().find(|(_, f)| f.as_ref().is_some_and(want));
    let found = pick(|f| matches!(f, Fate::Block { .. }))
        .or_else(|| pick(|f| matches!(f, Fate::Unclear { .. })))
        .or_else(|| pick(|f| matches!(f, Fate::Accept)))?;
    found.1.clone().map(|fate| (found.0, fate))
}
