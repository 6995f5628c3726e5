//! Puts placeholders in the place of what tells who and where: a report can then be shown to strangers.
//!
//! The same thing has the same placeholder everywhere in one report (`203.0.113.7` is `IP-1` in the headline, in the
//! evidence and in the command), so that relations can still be read. Replaced are account ids and what ARNs name,
//! addresses, ids of AWS resources, names of hosts, users, instances, groups, keys and roles, key files, fingerprints.
//! Ports, ranges that mean everybody, symptoms, causes, Regions and the login names that every image of a
//! distribution has (`ec2-user`) stay: they are what the report is about.
//!
//! Two sources: names that the facts hold ([`super::collect`]), and what has the form of an identifier. Replaced is in
//! one pass, so that a placeholder is never read as a name. Must not judge anything.

use regex::Regex;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::LazyLock;

/// What a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Twelve digits.
    Account,
    /// IPv4 or IPv6.
    Ip,
    /// A name in DNS or ssh_config.
    Host,
    /// A login name.
    User,
    /// A key file, or another file of the user's own.
    Key,
    /// A Name tag, a group's, key pair's or role's name, a comment.
    Name,
    /// A key's fingerprint.
    Fingerprint,
}

impl Kind {
    const fn label(self) -> &'static str {
        match self {
            Self::Account => "ACCOUNT",
            Self::Ip => "IP",
            Self::Host => "HOST",
            Self::User => "USER",
            Self::Key => "KEY",
            Self::Name => "NAME",
            Self::Fingerprint => "FINGERPRINT",
        }
    }
}

/// Names that say nothing about anybody: logins of public images, and what AWS itself calls things.
static COMMON: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let families = crate::core::ami::families().unwrap_or_default();
    let of_images = families.into_iter().flat_map(|f| f.users);
    // Words of this program: where a rule's description is "ssh", every sentence would lose its words to no use.
    let words =
        ["ssh", "main", "public", "private", "internet", "port", "key", "instance", "server", "login", "all", "any"];
    let others = ["root", "administrator", "ssm-user", "ec2-instance-connect", "nobody", "default", "sshd"];
    of_images.chain(others.into_iter().chain(words).map(str::to_owned)).map(|u| u.to_lowercase()).collect()
});

struct Forms {
    arn: Regex,
    resource: Regex,
    dns: Regex,
    dashed: Regex,
    account: Regex,
    fingerprint: Regex,
    home: Regex,
    login: Regex,
}

static FORMS: LazyLock<Forms> = LazyLock::new(|| {
    let build = |p: &str| Regex::new(p).expect("a constant pattern");
    Forms {
        // Amazon Resource Names: arn:partition:service:region:account:resource.
        arn: build(r#"^arn:aws[a-z-]*:[a-z0-9-]*:[a-z0-9-]*:([0-9]*|aws):([^\s"'<>|)\],;]+)"#),
        // Resource ids have 8 or 17 hexadecimal digits (EC2 user guide, "Resource IDs").
        resource: build(r"^([a-z]{1,10})-([0-9a-f]{17}|[0-9a-f]{8})"),
        dns: build(
            r"(?i)^[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:compute(?:-1)?\.amazonaws\.com(?:\.cn)?|compute\.internal|ec2\.internal)",
        ),
        // Host names that EC2 makes of addresses.
        dashed: build(r"(?i)^(?:ip|ec2)-(?:[0-9]{1,3}-){3}[0-9]{1,3}"),
        account: build(r"^[0-9]{12}"),
        fingerprint: build(r"^(?:SHA256:[A-Za-z0-9+/]{43}=?|(?i:MD5:)?(?:[0-9A-Fa-f]{2}:){15,31}[0-9A-Fa-f]{2})"),
        home: build(r#"^(/home/|/Users/|(?i:[a-z]:\\Users\\))([^\s/\\"':]+)"#),
        login: build(r"^([A-Za-z0-9._%+-]+)@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)"),
    }
});

/// Placeholders of one report.
#[derive(Debug, Default)]
pub struct Hide {
    /// Names to replace, by their first character in lower case; the longest first.
    known: BTreeMap<char, Vec<(String, String)>>,
    numbers: RefCell<BTreeMap<(String, String), usize>>,
}

impl Hide {
    /// Placeholders for known names, in this order; what has the form of an identifier is found in the text.
    pub fn new(names: impl IntoIterator<Item = (Kind, String)>) -> Self {
        let mut hide = Self::default();
        hide.know_more(names);
        hide
    }

    /// Knows more names, in this order.
    pub fn know_more(&mut self, names: impl IntoIterator<Item = (Kind, String)>) {
        for (kind, name) in names {
            self.know(kind, &name);
        }
    }

    fn know(&mut self, kind: Kind, name: &str) {
        let name = name.trim();
        // One letter is no name that could be told from the words around it, and a short number is none either.
        if name.chars().count() < 2 || (name.len() < 6 && name.bytes().all(|b| b.is_ascii_digit())) || is_common(name) {
            return;
        }
        if let Some(ip) = address(name) {
            if !means_everybody(ip) {
                self.placeholder(Kind::Ip.label(), &ip.to_string());
            }
            return;
        }
        let placeholder = self.placeholder(kind.label(), name);
        self.add(name, &placeholder);
        // The forms in which a name is written elsewhere: in a shell command, cleaned, quoted.
        for other in [
            crate::core::text::shell_quote(name).trim_matches('\'').to_owned(),
            crate::core::recognise::strip_controls(name).trim().to_owned(),
            format!("{name:?}").trim_matches('"').to_owned(),
        ] {
            if other != name && other.chars().count() > 1 {
                self.add(&other, &placeholder);
            }
        }
    }

    /// A file: its path, its name, and its name without ending are the same.
    pub fn know_file(&mut self, path: &str) {
        let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        // Names that ssh itself gives to key files tell nothing.
        let usual = |name: &str| name.starts_with("id_") || name.starts_with("ssh_host_") || name == "config";
        if path.chars().count() < 2 || matches!(path, "none" | "/dev/null") {
            return;
        }
        let placeholder = self.placeholder(Kind::Key.label(), path);
        self.add(path, &placeholder);
        for part in [name, stem].into_iter().filter(|p| p.chars().count() > 1 && !usual(p) && !is_common(p)) {
            self.add(part, &placeholder);
        }
    }

    /// An id of an AWS resource, in whatever form.
    pub fn know_id(&mut self, id: &str) {
        let prefix = id.split('-').next().unwrap_or_default();
        let placeholder = self.placeholder(resource_label(prefix), id);
        self.add(id, &placeholder);
    }

    fn add(&mut self, name: &str, placeholder: &str) {
        let Some(first) = name.chars().next() else { return };
        let all = self.known.entry(first.to_ascii_lowercase()).or_default();
        if all.iter().all(|(n, _)| !n.eq_ignore_ascii_case(name)) {
            all.push((name.to_owned(), placeholder.to_owned()));
            all.sort_by_key(|(n, _)| std::cmp::Reverse(n.len()));
        }
    }

    fn placeholder(&self, label: &str, original: &str) -> String {
        let mut numbers = self.numbers.borrow_mut();
        let next = numbers.keys().filter(|(l, _)| l == label).count() + 1;
        let number = *numbers.entry((label.to_owned(), original.to_lowercase())).or_insert(next);
        format!("{label}-{number}")
    }

    /// The text with placeholders; secrets by form are taken out as well.
    pub fn text(&self, text: &str) -> String {
        let text = super::secrets(text);
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        let mut before = ' ';
        while let Some(c) = text[at..].chars().next() {
            let rest = &text[at..];
            match self.found(rest, before) {
                Some((length, placeholder)) => {
                    out.push_str(&placeholder);
                    at += length;
                    before = text[..at].chars().next_back().unwrap_or(' ');
                }
                None => {
                    out.push(c);
                    at += c.len_utf8();
                    before = c;
                }
            }
        }
        out
    }

    /// The same for every text in a JSON value; names of fields stay.
    pub fn json(&self, value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) => *text = self.text(text),
            serde_json::Value::Array(all) => all.iter_mut().for_each(|v| self.json(v)),
            serde_json::Value::Object(all) => all.values_mut().for_each(|v| self.json(v)),
            _ => {}
        }
    }

    /// What begins here, if it is to be replaced: its length in bytes and what stands for it.
    fn found(&self, rest: &str, before: char) -> Option<(usize, String)> {
        let word_begins = !before.is_ascii_alphanumeric();
        if word_begins && let Some(found) = self.login(rest) {
            return Some(found);
        }
        if let Some(found) = self.name(rest, before) {
            return Some(found);
        }
        if !word_begins {
            return None;
        }
        let forms = &*FORMS;
        if let Some(found) = forms.arn.captures(rest) {
            return Some(self.arn(rest, &found));
        }
        if let Some(found) = forms.fingerprint.find(rest).filter(|f| ends(rest, f.end())) {
            return Some((found.end(), self.placeholder(Kind::Fingerprint.label(), found.as_str())));
        }
        if let Some(found) = forms.dns.find(rest).or_else(|| forms.dashed.find(rest)).filter(|f| ends(rest, f.end())) {
            return Some((found.end(), self.placeholder(Kind::Host.label(), found.as_str())));
        }
        if let Some(found) = forms.resource.captures(rest).filter(|f| ends(rest, f[0].len())) {
            return Some((found[0].len(), self.placeholder(resource_label(&found[1]), &found[0])));
        }
        if let Some(found) = forms.account.find(rest).filter(|f| ends(rest, f.end())) {
            return Some((found.end(), self.placeholder(Kind::Account.label(), found.as_str())));
        }
        if let Some(found) = forms.home.captures(rest).filter(|f| !is_common(&f[2])) {
            return Some((found[0].len(), format!("{}{}", &found[1], self.named(Kind::User, &found[2]))));
        }
        self.ip(rest)
    }

    /// The longest known name that begins here and is no part of a longer word.
    fn name(&self, rest: &str, before: char) -> Option<(usize, String)> {
        let first = rest.chars().next()?;
        let joined = first.is_ascii_alphanumeric() && before.is_ascii_alphanumeric();
        self.known.get(&first.to_ascii_lowercase())?.iter().filter(|_| !joined).find_map(|(name, placeholder)| {
            let head = rest.get(..name.len())?;
            (head.eq_ignore_ascii_case(name) && ends(rest, name.len())).then(|| (name.len(), placeholder.clone()))
        })
    }

    /// The placeholder of a name that is known, or gets one now.
    fn named(&self, kind: Kind, name: &str) -> String {
        match self.name(name, ' ') {
            Some((length, placeholder)) if length == name.len() => placeholder,
            _ => self.placeholder(kind.label(), name),
        }
    }

    /// `user@host`: a login or a comment of a key. Algorithms and units are written so, too.
    fn login(&self, rest: &str) -> Option<(usize, String)> {
        let found = FORMS.login.captures(rest)?;
        let (user, host) = (&found[1], &found[2]);
        let algorithm = ["openssh.com", "libssh.org", "lysator.liu.se", "ssh.com"].contains(&host);
        let unit = [".service", ".socket", ".slice", ".scope"].iter().any(|end| host.ends_with(end));
        let to_fill_in = host.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        if algorithm || unit || to_fill_in {
            return None;
        }
        let user_hidden = if is_common(user) { user.to_owned() } else { self.named(Kind::User, user) };
        // What follows the @ has its own forms: an address, a resource, a name.
        if address(host).is_some() || FORMS.resource.is_match(host) {
            return Some((user.len() + 1, format!("{user_hidden}@")));
        }
        Some((found[0].len(), format!("{user_hidden}@{}", self.named(Kind::Host, host))))
    }

    fn arn(&self, rest: &str, found: &regex::Captures<'_>) -> (usize, String) {
        let whole = found[0].trim_end_matches(['.', ':']);
        let (account, resource) = (&found[1], found[2].trim_end_matches(['.', ':']));
        let head = &rest[..found.get(1).map_or(0, |account| account.start())];
        // What AWS itself owns is the same for everybody.
        if account == "aws" || (account.is_empty() && !head.contains(":s3:")) {
            return (whole.len(), whole.to_owned());
        }
        let hidden = if account.is_empty() { String::new() } else { self.placeholder(Kind::Account.label(), account) };
        let resource = match resource.split_once(['/', ':']) {
            Some((kind, name)) => {
                let separator = &resource[kind.len()..=kind.len()];
                let id = FORMS.resource.captures(name).filter(|f| f[0].len() == name.len());
                let name =
                    id.map_or_else(|| self.named(Kind::Name, name), |f| self.placeholder(resource_label(&f[1]), name));
                format!("{kind}{separator}{name}")
            }
            None => resource.split_once('-').map_or_else(|| self.named(Kind::Name, resource), |_| self.text(resource)),
        };
        (whole.len(), format!("{head}{hidden}:{resource}"))
    }

    /// An address, with a port or a prefix length behind it or not.
    fn ip(&self, rest: &str) -> Option<(usize, String)> {
        let run = |more: &dyn Fn(char) -> bool| rest.find(|c: char| !more(c)).unwrap_or(rest.len());
        let of = |length: usize| {
            let text = rest[..length].trim_end_matches('.');
            let cut = text.strip_suffix(':').unwrap_or(text);
            address(text).map(|ip| (text.len(), ip)).or_else(|| address(cut).map(|ip| (cut.len(), ip)))
        };
        let four = run(&|c| c.is_ascii_digit() || c == '.');
        let six = run(&|c| c.is_ascii_hexdigit() || c == ':' || c == '.');
        let (length, ip) = of(six).or_else(|| of(four)).filter(|(length, _)| ends(rest, *length))?;
        if means_everybody(ip) {
            return Some((length, rest[..length].to_owned()));
        }
        Some((length, self.placeholder(Kind::Ip.label(), &ip.to_string())))
    }
}

/// An address in its canonical form; IPv4 inside IPv6 is IPv4.
fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// Addresses that belong to nobody: any, loopback, the metadata service.
fn means_everybody(ip: IpAddr) -> bool {
    ip.is_unspecified()
        || ip == IpAddr::from([127, 0, 0, 1])
        || ip == IpAddr::from([169, 254, 169, 254])
        || ip == IpAddr::from([255, 255, 255, 255])
        || ip == IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)
}

/// Whether a name says nothing about anybody.
fn is_common(name: &str) -> bool {
    COMMON.contains(&name.to_lowercase())
}

/// Whether no word goes on at this place.
fn ends(text: &str, at: usize) -> bool {
    let last = text[..at].chars().next_back().is_some_and(|c| c.is_ascii_alphanumeric());
    !(last && text[at..].chars().next().is_some_and(|c| c.is_ascii_alphanumeric()))
}

fn resource_label(prefix: &str) -> &str {
    match prefix {
        "i" | "mi" => "INSTANCE",
        "vpc" => "VPC",
        "subnet" => "SUBNET",
        "sg" => "SG",
        "sgr" => "RULE",
        "eni" => "ENI",
        "ami" => "IMAGE",
        "vol" => "VOLUME",
        "snap" => "SNAPSHOT",
        "igw" | "eigw" | "nat" | "vgw" | "tgw" => "GATEWAY",
        "rtb" => "ROUTES",
        "acl" => "NACL",
        "eice" | "vpce" => "ENDPOINT",
        _ => "RESOURCE",
    }
}

#[cfg(test)]
#[path = "hide_tests.rs"]
mod tests;
