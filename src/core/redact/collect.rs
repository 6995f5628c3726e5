//! The names that one report could tell: read from its facts, for [`super::hide`].
//!
//! Walks the facts by the names of their fields, so that a fact that is added later is covered when it uses the same
//! words. Must not look at prose: that is the business of forms in [`super::hide`].

use super::hide::{Hide, Kind};
use crate::core::facts::Facts;
use crate::core::rules;
use serde_json::Value;

/// Placeholders for everything that these facts name; the target comes first, so that it is number 1 of each kind.
pub fn of(facts: &Facts) -> Hide {
    let instance = facts.instance();
    let mut first: Vec<(Kind, String)> = Vec::new();
    let address = facts.wire.address.filter(|a| !a.is_unspecified()).or_else(|| facts.address());
    let addresses = [address, facts.source_ip()].into_iter().flatten();
    first.extend(addresses.map(|a| (Kind::Ip, a.to_canonical().to_string())));
    first.extend(instance.and_then(|i| i.name.clone()).map(|n| (Kind::Name, n)));
    first.extend(rules::login_user(facts).map(|u| (Kind::User, u)));
    let mut hide = Hide::new(first);
    if let Some(instance) = instance {
        hide.know_id(&instance.id);
    }
    for key in &facts.local.keys {
        hide.know_file(&key.path);
    }
    // What a team calls its images and its files tells who it is.
    for of_team in &crate::core::catalogue::get().users {
        hide.know_file(of_team.place.rsplit_once(':').map_or(of_team.place.as_str(), |(file, _)| file));
        hide.know_more(of_team.title.clone().map(|title| (Kind::Name, title)));
        hide.know_more(of_team.users.iter().map(|user| (Kind::User, user.clone())));
    }
    let mut found = Vec::new();
    if let Ok(value) = serde_json::to_value(facts) {
        walk(&value, &mut Vec::new(), &mut found);
    }
    hide.know_all(found);
    hide
}

/// What was found at a field.
#[derive(Debug)]
pub enum Found {
    /// A name.
    Name(Kind, String),
    /// An id of a resource.
    Id(String),
    /// A file of the user's.
    File(String),
}

impl Hide {
    /// Knows all of these, in order.
    fn know_all(&mut self, found: Vec<Found>) {
        let mut names = Vec::new();
        for one in found {
            match one {
                Found::Id(id) => self.know_id(&id),
                Found::File(path) => self.know_file(&path),
                Found::Name(kind, name) => names.push((kind, name)),
            }
        }
        self.know_more(names);
    }
}

/// Prefixes of resource ids.
const PREFIXES: &[&str] = &[
    "i", "mi", "vpc", "subnet", "sg", "sgr", "eni", "ami", "vol", "snap", "igw", "eigw", "nat", "vgw", "tgw", "rtb",
    "acl", "eice", "vpce", "pl", "key", "pcx", "lgw", "cagw", "sir", "eipalloc", "eipassoc", "rtbassoc", "aclassoc",
    "lt",
];

fn is_id(text: &str, field: &str) -> bool {
    let Some((prefix, rest)) = text.split_once('-') else { return false };
    let sure = rest.bytes().any(|b| b.is_ascii_digit())
        || field == "id"
        || field.ends_with("_id")
        || ["groups", "group", "subnets", "subnet", "root_volume", "source_instance"].contains(&field);
    PREFIXES.contains(&prefix) && sure && !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn walk(value: &Value, path: &mut Vec<String>, out: &mut Vec<Found>) {
    match value {
        Value::String(text) => leaf(text, path, out),
        Value::Array(all) => all.iter().for_each(|v| walk(v, path, out)),
        Value::Object(all) => {
            for (field, inner) in all {
                // Names of prefix lists are the names of fields here.
                if is_id(field, "id") {
                    out.push(Found::Id(field.clone()));
                }
                path.push(field.clone());
                walk(inner, path, out);
                path.pop();
            }
        }
        _ => {}
    }
}

fn leaf(text: &str, path: &[String], out: &mut Vec<Found>) {
    // `value` is the wrapping of a fact: the field around it names it.
    let field = path.iter().rev().map(String::as_str).find(|f| *f != "value").unwrap_or_default();
    let within = |name: &str| path.iter().any(|p| p == name);
    if is_id(text, field) {
        out.push(Found::Id(text.to_owned()));
        return;
    }
    let name = |kind: Kind| Found::Name(kind, text.to_owned());
    match field {
        "account" | "owner_id" if text.bytes().all(|b| b.is_ascii_digit()) => out.push(name(Kind::Account)),
        "arn" | "profile_arn" => {
            out.extend(text.rsplit('/').next().filter(|n| *n != text).map(|n| Found::Name(Kind::Name, n.to_owned())));
        }
        "user" | "users" | "default_user" | "makes_users" | "windows_user" | "login_user_hint" | "console_user" => {
            out.push(name(Kind::User));
        }
        "host" | "hostname" | "public_dns" | "private_dns" | "dns" | "host_key_alias" => out.push(name(Kind::Host)),
        "proxy_jump" | "jump" | "before" => out.extend(text.split(',').flat_map(hop)),
        "name" if within("target") || within("jump") => out.extend(hop(text)),
        "name" if within("aws") && !(within("image") && is_public(text)) => out.push(name(Kind::Name)),
        "name" | "profile" if within("doors") => out.push(name(Kind::Name)),
        "key_name" | "Name" | "comment" | "description" => out.push(name(Kind::Name)),
        "groups" if within("aws") => out.push(name(Kind::Name)),
        "tags" => out.push(name(Kind::Name)),
        _ if within("tags") && field.starts_with("aws:") => out.push(name(Kind::Name)),
        "path" | "pub_file" | "identity_files" | "certificate_files" | "key_path" | "config_file" | "control_path"
            if !within("inside") =>
        {
            out.push(Found::File(text.to_owned()));
        }
        "keys" | "key" if !within("inside") && looks_like_file(text) => out.push(Found::File(text.to_owned())),
        _ => {}
    }
}

/// Names of public images say what system it is.
fn is_public(image: &str) -> bool {
    ["al2023-ami", "amzn2-ami", "ubuntu/images", "debian-", "RHEL-", "Windows_Server", "suse-"]
        .iter()
        .any(|p| image.starts_with(p))
}

fn looks_like_file(text: &str) -> bool {
    !text.contains(' ') && (text.contains('/') || text.contains('\\') || text.contains('.') || text.len() < 40)
}

/// `user@host:port`, also as a URL.
fn hop(text: &str) -> Vec<Found> {
    let text = text.trim().trim_start_matches("ssh://");
    let (user, host) = match text.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, text),
    };
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.contains(':') => name,
        _ => host,
    };
    if is_id(host, "id") {
        return vec![Found::Id(host.to_owned())];
    }
    let user = user.map(|u| Found::Name(Kind::User, u.to_owned()));
    user.into_iter().chain([Found::Name(Kind::Host, host.to_owned())]).collect()
}
