//! AMI families: which operating system an instance runs and who logs in there.
//!
//! Data (`assets/ami.toml`) holds owners, names and users; this module holds the order of trust.
//! It must not decide what a wrong user name means: the rules do. Used by the authentication,
//! door and instance rules.
//!
//! Strongest first: what the running system says of itself (the SSM agent, the console log), then
//! the image (owner *and* name are sure; one of them is likely: anyone may name an image
//! `ubuntu/…`, and one account may publish several systems), then the platform that is billed, and
//! at last words in the image's own name, which are a guess.

use crate::core::facts::aws::{Image, Instance, SsmAgent};
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

#[cfg(test)]
mod tests;

/// The data, as it is in the program.
const DATA: &str = include_str!("../../assets/ami.toml");

/// A family of images with the same default users.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Family {
    /// Short name, such as `amazon-linux-2023`.
    pub id: String,
    /// Name for people.
    pub title: String,
    /// Users to log in as, the default one first.
    pub users: Vec<String>,
    /// What else must be known of it, one or two sentences.
    pub note: Option<String>,
    /// Whether an SSH server answers as delivered.
    pub sshd: bool,
    /// Whether it is Windows.
    pub windows: bool,
    /// Whether cloud-init reads user data, so that user data can repair it.
    pub cloud_init: bool,
    /// Whether the SSM agent is there as delivered; `None` when that differs or is not known.
    pub ssm_preinstalled: Option<bool>,
    /// Whether EC2 Instance Connect is there as delivered; `None` when that differs or is not known.
    pub eic_preinstalled: Option<bool>,
}

/// How far a guess can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Words in a name or description.
    Guess,
    /// One good sign that could mislead.
    Likely,
    /// The system itself says so, or publisher and name agree.
    Sure,
}

/// A family and why it is thought to be that one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guess {
    /// The family; its users are narrowed down where the console log names the user.
    pub family: Family,
    /// How sure that is.
    pub confidence: Confidence,
    /// The sign, as a sentence for the user.
    pub because: String,
}

/// A login user that a team names for images of its own. Every sign that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageUser {
    /// Image name: `*` any text, `?` any character, `#` a digit; case counts not.
    pub name: Option<String>,
    /// Account that owns the image.
    pub owner: Option<String>,
    /// Image id.
    pub ami: Option<String>,
    /// Who logs in, the default first; never empty.
    pub users: Vec<String>,
    /// What the image is called in sentences.
    pub title: Option<String>,
    /// Where that is written, for the user: file and line.
    pub place: String,
}

impl ImageUser {
    /// Whether it speaks of this image. What is not known of the image fits nothing.
    pub fn fits(&self, image: Option<&Image>, instance: &Instance) -> bool {
        let location = image.and_then(|i| i.location.as_deref()).and_then(|location| location.split_once('/'));
        let name = image.and_then(|i| i.name.as_deref()).filter(|n| !n.is_empty()).or(location.map(|(_, name)| name));
        let owner = image.and_then(|i| i.owner_id.as_deref()).or(location.map(|(owner, _)| owner));
        let id = image.map(|i| i.id.as_str()).or(instance.image_id.as_deref());
        self.name.as_deref().is_none_or(|pattern| name.is_some_and(|name| fits(pattern, name)))
            && self.owner.as_deref().is_none_or(|wanted| owner == Some(wanted))
            && self.ami.as_deref().is_none_or(|wanted| id == Some(wanted))
            && (self.name.is_some() || self.owner.is_some() || self.ami.is_some())
    }
}

/// An entry of the data.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    title: String,
    users: Vec<String>,
    note: Option<String>,
    #[serde(default = "yes")]
    sshd: bool,
    #[serde(default)]
    windows: bool,
    #[serde(default = "yes")]
    cloud_init: bool,
    ssm_preinstalled: Option<bool>,
    eic_preinstalled: Option<bool>,
    #[serde(rename = "match")]
    signs: Signs,
}

/// By what a family is known.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Signs {
    owners: Vec<String>,
    owners_alone: Vec<String>,
    names: Vec<String>,
    ssm: Vec<String>,
    banners: Vec<String>,
    details: Vec<String>,
    built_on: Vec<String>,
    hints: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    family: Vec<Entry>,
}

fn yes() -> bool {
    true
}

impl Entry {
    fn family(&self) -> Family {
        Family {
            id: self.id.clone(),
            title: self.title.clone(),
            users: self.users.clone(),
            note: self.note.clone(),
            sshd: self.sshd,
            windows: self.windows,
            cloud_init: self.cloud_init,
            ssm_preinstalled: self.ssm_preinstalled,
            eic_preinstalled: self.eic_preinstalled,
        }
    }

    fn guess(&self, confidence: Confidence, because: String) -> Guess {
        Guess { family: self.family(), confidence, because }
    }

    /// Whether this family's images may report themselves as that one.
    fn may_call_itself(&self, other: &Entry) -> bool {
        self.id == other.id || self.signs.built_on.contains(&other.id)
    }
}

/// The parsed data; the error names what is wrong with it.
fn entries() -> Result<&'static [Entry], &'static str> {
    static ENTRIES: OnceLock<Result<Vec<Entry>, String>> = OnceLock::new();
    ENTRIES.get_or_init(|| parse(DATA)).as_deref().map_err(String::as_str)
}

/// Reads and checks the data.
fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let data: Data = toml::from_str(text).map_err(|error| format!("ami.toml: {error}"))?;
    let mut alone: Vec<&String> = Vec::new();
    for (at, entry) in data.family.iter().enumerate() {
        let id = &entry.id;
        let fail = |what: String| Err(format!("ami.toml: family {id}: {what}"));
        if data.family[..at].iter().any(|other| other.id == *id) {
            return fail("is there twice".to_owned());
        }
        if entry.users.is_empty() || entry.users.iter().any(String::is_empty) {
            return fail("has no user".to_owned());
        }
        let signs = &entry.signs;
        if let Some(owner) = signs
            .owners
            .iter()
            .chain(&signs.owners_alone)
            .find(|o| o.len() != 12 || !o.bytes().all(|b| b.is_ascii_digit()))
        {
            return fail(format!("{owner} is no account"));
        }
        if let Some(owner) = signs.owners_alone.iter().find(|owner| alone.contains(owner)) {
            return fail(format!("{owner} alone already means another family"));
        }
        alone.extend(&signs.owners_alone);
        if let Some(base) = signs.built_on.iter().find(|base| data.family.iter().all(|other| other.id != **base)) {
            return fail(format!("is built on {base}, which is not there"));
        }
    }
    Ok(data.family)
}

/// Every family that is known, for lists and help.
pub fn families() -> Result<Vec<Family>, String> {
    entries().map(|entries| entries.iter().map(Entry::family).collect()).map_err(str::to_owned)
}

/// Whether a text fits a pattern: `*` any text, `?` any character, `#` a digit; case counts not.
fn fits(pattern: &str, text: &str) -> bool {
    let same = |p: char, t: char| p == t || (p == '#' && t.is_ascii_digit());
    crate::core::text::wildcard(&pattern.to_lowercase(), &text.to_lowercase(), same)
}

fn any_fits(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| fits(pattern, text))
}

/// Finds the family of an instance from everything that is known of it, or `None`.
///
/// `console_user` is the user whose authorized keys cloud-init printed at the first boot: where it
/// is known it replaces the family's users, because it was read from the instance itself.
pub fn identify(
    image: Option<&Image>,
    instance: &Instance,
    ssm: Option<&SsmAgent>,
    console_text: Option<&str>,
    console_user: Option<&str>,
) -> Option<Guess> {
    let entries = entries().ok()?;
    let by_image = image.and_then(|image| from_image(entries, image));
    let itself = ssm
        .and_then(|agent| from_ssm(entries, agent))
        .or_else(|| console_text.and_then(|text| from_console(entries, text)));
    let found = match (by_image, itself) {
        // The image is known more closely than the system inside it, such as Bitnami on Debian.
        (Some((entry, image)), Some((system, _))) if entry.id != system.id && entry.may_call_itself(system) => {
            match image.confidence {
                Confidence::Guess => Some((system, system.guess(Confidence::Likely, image.because))),
                _ => Some((entry, image)),
            }
        }
        (_, Some((system, own))) => {
            // A vendor's appliance may have any user, whatever it is built on.
            let vendor = image.is_some_and(|image| image.owner_alias.as_deref() == Some("aws-marketplace"));
            Some((system, system.guess(if vendor { Confidence::Likely } else { Confidence::Sure }, own)))
        }
        (by_image, None) => {
            let billed = from_platform(entries, image, instance);
            match (by_image, billed) {
                (Some(image), Some(billed)) if billed.1.confidence > image.1.confidence => Some(billed),
                (Some(image), _) => Some(image),
                (None, billed) => billed,
            }
        }
    };
    let guess = found.map(|(_, guess)| guess);
    match console_user.filter(|user| !user.is_empty() && *user != "root") {
        Some(user) => Some(with_console_user(guess, user)),
        None => guess,
    }
}

/// What the SSM agent says the system is.
fn from_ssm<'a>(entries: &'a [Entry], agent: &SsmAgent) -> Option<(&'a Entry, String)> {
    let name = agent.platform_name.as_deref().map(str::trim).filter(|name| !name.is_empty())?;
    let version = agent.platform_version.as_deref().unwrap_or_default().trim();
    let whole = format!("{name} {version}");
    // Coarse and fine names live in different entries: the first that fits is the finer one.
    let entry = entries.iter().find(|entry| any_fits(&entry.signs.ssm, whole.trim()))?;
    Some((entry, format!("The SSM agent reports {}.", whole.trim())))
}

/// What the console log says the system is; the last such line counts, it is of the latest boot.
fn from_console<'a>(entries: &'a [Entry], text: &str) -> Option<(&'a Entry, String)> {
    text.lines().rev().find_map(|line| {
        let line = plain_line(line);
        let entry = entries.iter().find(|entry| any_fits(&entry.signs.banners, &line))?;
        Some((entry, format!("The console log shows \"{}\".", crate::core::text::shorten(&line, 60))))
    })
}

/// A console line without escape sequences, kernel time, syslog tag and greeting.
fn plain_line(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                if chars.next_if_eq(&'[').is_some() {
                    while chars.next().is_some_and(|c| !c.is_ascii_alphabetic()) {}
                }
            }
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    let mut rest = out.trim();
    if let Some(after) = rest
        .strip_prefix('[')
        .and_then(|time| time.split_once(']'))
        .filter(|(time, _)| time.trim().parse::<f64>().is_ok())
    {
        rest = after.1.trim_start();
    }
    rest = rest.strip_prefix("systemd[1]: ").unwrap_or(rest);
    rest = rest.strip_prefix("Welcome to ").unwrap_or(rest);
    rest.trim_end_matches('!').trim().to_owned()
}

/// What the image says, by owner and name.
fn from_image<'a>(entries: &'a [Entry], image: &Image) -> Option<(&'a Entry, Guess)> {
    let location = image.location.as_deref().and_then(|location| location.split_once('/'));
    let name = image.name.as_deref().filter(|name| !name.is_empty()).or(location.map(|(_, name)| name));
    let owner = image.owner_id.as_deref().or(location.map(|(owner, _)| owner)).unwrap_or_default();
    let alias = image.owner_alias.as_deref().unwrap_or_default();
    let named: Vec<&Entry> = name
        .map(|name| entries.iter().filter(|entry| any_fits(&entry.signs.names, name)).collect())
        .unwrap_or_default();
    let shown = name.unwrap_or_default();
    let owns = |entry: &Entry| entry.signs.owners.iter().any(|known| known == owner);
    // AWS gives the alias "amazon" to itself and to publishers that it has verified; nobody can take it.
    if let Some(entry) = named.iter().copied().find(|entry| alias == "amazon" || owns(entry)) {
        return Some((
            entry,
            entry.guess(Confidence::Sure, format!("The image {shown} is published by {}.", publisher(owner, alias))),
        ));
    }
    if let Some(entry) = named.first().copied() {
        return Some((
            entry,
            entry.guess(
                Confidence::Likely,
                format!("The image is named {shown}, but its owner is not the publisher of {}.", entry.title),
            ),
        ));
    }
    if let Some(entry) = entries.iter().find(|entry| entry.signs.owners_alone.iter().any(|known| known == owner)) {
        return Some((
            entry,
            entry.guess(
                Confidence::Likely,
                format!("The image is published by account {owner}, which publishes {}.", entry.title),
            ),
        ));
    }
    let words = format!("{shown} {}", image.description.as_deref().unwrap_or_default()).to_lowercase();
    let hinted: Vec<&Entry> =
        entries.iter().filter(|entry| entry.signs.hints.iter().any(|hint| has_word(&words, hint))).collect();
    // Words of two systems with different users say nothing.
    match hinted.as_slice() {
        [entry, rest @ ..] if rest.iter().all(|other| other.users == entry.users) => Some((
            entry,
            entry.guess(Confidence::Guess, format!("The name or description of the image speaks of {}.", entry.title)),
        )),
        _ => None,
    }
}

/// Whether a text has these words, not as a part of longer ones; digits may follow.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        before.is_none_or(|c| !c.is_alphanumeric()) && after.is_none_or(|c| !c.is_alphabetic())
    })
}

fn publisher(owner: &str, alias: &str) -> String {
    match (owner, alias) {
        ("", alias) => alias.to_owned(),
        (owner, "" | "self") => format!("account {owner}"),
        (owner, alias) => format!("{alias} (account {owner})"),
    }
}

/// What the platform says: Windows and Mac are certain, what is billed is likely.
fn from_platform<'a>(entries: &'a [Entry], image: Option<&Image>, instance: &Instance) -> Option<(&'a Entry, Guess)> {
    let by_id = |id: &str| entries.iter().find(|entry| entry.id == id);
    let details = instance
        .platform_details
        .as_deref()
        .or(image.and_then(|image| image.platform_details.as_deref()))
        .unwrap_or_default();
    if instance.platform.as_deref().is_some_and(|platform| platform.eq_ignore_ascii_case("windows"))
        || details.starts_with("Windows")
    {
        let entry = by_id("windows")?;
        return Some((entry, entry.guess(Confidence::Sure, "EC2 reports the platform Windows.".to_owned())));
    }
    if instance.architecture.as_deref().is_some_and(|architecture| architecture.ends_with("_mac")) {
        let entry = by_id("macos")?;
        return Some((entry, entry.guess(Confidence::Sure, "EC2 reports the architecture of a Mac.".to_owned())));
    }
    let entry = entries.iter().find(|entry| any_fits(&entry.signs.details, details))?;
    Some((entry, entry.guess(Confidence::Likely, format!("EC2 bills the instance as {details}."))))
}

/// Puts the user that the console log names in place of the family's.
fn with_console_user(guess: Option<Guess>, user: &str) -> Guess {
    let because = format!("The console log lists the authorized keys of user {user}.");
    let family = match guess {
        Some(Guess { mut family, because: why, confidence }) => {
            if family.users.first().is_some_and(|first| first == user) {
                family.users = vec![user.to_owned()];
                return Guess {
                    family,
                    confidence: Confidence::Sure,
                    because: if confidence == Confidence::Sure { why } else { because },
                };
            }
            family.users = vec![user.to_owned()];
            family
        }
        None => Family {
            id: "unknown".to_owned(),
            title: "this image".to_owned(),
            users: vec![user.to_owned()],
            note: None,
            sshd: true,
            windows: false,
            // The table is printed by cloud-init.
            cloud_init: true,
            ssm_preinstalled: None,
            eic_preinstalled: None,
        },
    };
    Guess { family, confidence: Confidence::Sure, because }
}
