//! Home, .ssh and authorized_keys: what sshd makes of each file that it reads for the user, and of the offered key.

use super::lines::{Held, Offered, held, holds, offered};
use super::{Look, missing};
use crate::core::cause::{Certainty, Finding};
use crate::core::facts::inside::{KeyFileInside, Passwd, PathState};
use crate::core::facts::local::KeyFileState;
use crate::core::inside::strict::{self, Strict, closed_directory, may, resolved};
use crate::core::key;
use crate::core::rules::launch_key::same_print;

/// Bytes of a key file that the script reads.
const READ: u64 = 300_000;
/// SELinux types that sshd may read keys from (`sshd_selinux(8)`).
const KEY_TYPES: [&str; 4] = ["ssh_home_t", "sshd_key_t", "nfs_t", "cifs_t"];
/// Types that files have which nobody labelled.
const UNLABELLED: [&str; 5] = ["default_t", "unlabeled_t", "file_t", "etc_runtime_t", "root_t"];

/// What sshd can do with one file.
enum Way {
    /// It reads it.
    Open,
    /// Nothing is there.
    Missing,
    /// It refuses it for this reason.
    Bad(Box<Finding>),
    /// A state that is needed was not seen.
    Unknown,
}

pub(super) fn findings(look: &Look<'_>) -> Vec<Finding> {
    let Some(user) = look.user else { return Vec::new() };
    let files: Vec<&KeyFileInside> = look.inside.key_files.iter().filter(|f| f.used).collect();
    let keys = offered(look);
    let judged: Vec<(&KeyFileInside, Way, Held)> =
        files.iter().map(|f| (*f, way(look, user, f), held(look, f, &keys))).collect();
    // One good line in a file that sshd reads is all that a login needs.
    if judged.iter().any(|(_, way, held)| matches!((way, held), (Way::Open, Held::Good(_)))) {
        return Vec::new();
    }
    let mut out = Vec::new();
    out.extend(unmounted(look, user));
    let none = look.inside.sshd.setting("authorizedkeysfile") == Some("none");
    // Without the names of the files nothing is known about them.
    if files.is_empty() && !none {
        return out;
    }
    if none || judged.iter().all(|(f, way, _)| matches!(way, Way::Missing) && outside(user, &f.path)) {
        out.extend(moved(look, user, none, &keys));
        return out;
    }
    let open: Vec<&(&KeyFileInside, Way, Held)> =
        judged.iter().filter(|(_, way, _)| matches!(way, Way::Open)).collect();
    let entries = |f: &KeyFileInside| f.entries.iter().any(|l| l.kind.is_some()) || f.more > 0;
    for (file, way, held) in &judged {
        if let Way::Bad(finding) = way {
            // With another file that sshd reads, this one is the cause only when the key lies here.
            let mut finding = (**finding).clone();
            let other = open.iter().any(|(f, _, _)| entries(f));
            if other
                && !matches!(held, Held::Good(_))
                && finding.certainty == Certainty::Proven
                && shares_no_home(&finding)
            {
                finding.certainty = Certainty::Likely;
                finding = finding.would_prove(format!("the offered key is in {}", file.path));
            }
            out.push(finding);
        }
    }
    for (_, _, held) in &judged {
        if let Held::Spoilt(finding) = held {
            out.push((**finding).clone());
        }
    }
    if judged.iter().all(|(_, way, _)| matches!(way, Way::Missing)) {
        // The key lies in the usual file, and sshd reads one of another name.
        let elsewhere = moved(look, user, false, &keys);
        if elsewhere.is_some() {
            out.extend(elsewhere);
        } else if !out.iter().any(|f| f.id == "home-not-mounted" && f.certainty == Certainty::Proven) {
            out.extend(no_file(look, user, &files));
        }
        return out;
    }
    let spoilt = judged.iter().any(|(_, _, held)| matches!(held, Held::Spoilt(_)));
    let unread = judged.iter().any(|(_, way, _)| matches!(way, Way::Unknown));
    let good = judged.iter().any(|(_, _, held)| matches!(held, Held::Good(_)));
    if !spoilt && !unread && !good {
        let there: Vec<&KeyFileInside> =
            judged.iter().filter(|(_, way, _)| !matches!(way, Way::Missing)).map(|(f, _, _)| *f).collect();
        out.extend(absent(look, &there, &keys));
    }
    out.extend(moved(look, user, false, &keys));
    out.extend(immutable(look, user, &out));
    out
}

/// Whether a finding is about one file alone, not about a directory that all key files share.
fn shares_no_home(finding: &Finding) -> bool {
    matches!(finding.id.as_str(), "authkeys-perms" | "authkeys-unreadable" | "authkeys-not-file" | "selinux-context")
}

fn outside(user: &Passwd, path: &str) -> bool {
    !path.strip_prefix(user.home.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'))
}

/// The offered key lies in ~/.ssh/authorized_keys, and sshd reads other files only.
fn moved(look: &Look<'_>, user: &Passwd, none: bool, keys: &[Offered]) -> Option<Finding> {
    let setting = look.inside.sshd.setting("authorizedkeysfile")?;
    let usual = look.inside.key_files.iter().find(|f| !f.used);
    let there = usual.is_some_and(|f| !missing(look, &f.path) && !f.entries.is_empty());
    let mine = usual.is_some_and(|f| f.entries.iter().any(|l| holds(look, l, keys)));
    let inside_home = |f: &KeyFileInside| f.used && !outside(user, &f.path);
    let usual_is_empty = usual.is_none_or(|f| f.entries.is_empty());
    // Files of another name below home: a cause only when the usual one has keys.
    if usual_is_empty && look.inside.key_files.iter().any(inside_home) {
        return None;
    }
    // The key lies where sshd looks, too: what keeps it from being taken is something else.
    let used = || look.inside.key_files.iter().filter(|f| f.used);
    if used().any(|f| f.entries.iter().any(|l| holds(look, l, keys))) {
        return None;
    }
    let used_missing = used().all(|f| missing(look, &f.path));
    if !(none || mine || (there && used_missing) || (used_missing && usual.is_some())) || key_sources(look) {
        return None;
    }
    let text = format!("sshd looks for keys of {} in {setting}, not in {}/.ssh/authorized_keys", user.name, user.home);
    let finding = look.finding("authkeysfile-moved", Certainty::Proven, text, "sshd -T -C");
    Some(match usual.filter(|_| mine) {
        Some(f) => {
            finding.and(format!("{} holds the offered key, and is not read", f.path), look.by("authorized_keys"))
        }
        None => finding,
    })
}

/// Whether keys may also come from a certificate authority or another command than EC2 Instance Connect's.
fn key_sources(look: &Look<'_>) -> bool {
    let sshd = &look.inside.sshd;
    let set = |name: &str| sshd.setting(name).filter(|v| *v != "none" && !v.is_empty());
    set("trustedusercakeys").is_some()
        || set("authorizedkeyscommand").is_some_and(|c| !c.contains("eic_run_authorized_keys"))
}

fn way(look: &Look<'_>, user: &Passwd, file: &KeyFileInside) -> Way {
    let inside = look.inside;
    if missing(look, &file.path)
        || missing(look, strict::parent(&file.path).unwrap_or("/"))
        || missing(look, &user.home)
    {
        return Way::Missing;
    }
    let real = resolved(inside, &file.path);
    // sshd opens the file as the user, before anything else.
    let access = inside.access.get(&file.path).or_else(|| inside.access.get(&real)).copied();
    let closed = closed_directory(inside, user, &file.path);
    let state = inside.paths.get(&real).copied().unwrap_or(PathState::Unknown);
    let unreadable = !may(inside, user, &state, 0o4);
    if user.uid != 0 && access != Some(true) && (closed.is_some() || unreadable) {
        let said = look.inside.log.iter().rev().find(|l| {
            look.this_boot(l.at)
                && l.text.contains(&file.path)
                && l.text.contains("authorized keys")
                && l.text.contains("Permission denied")
        });
        let sure = access == Some(false) || said.is_some();
        let finding = match &closed {
            Some(dir) => look.finding(
                "home-not-traversable",
                certainty(sure),
                format!("{} may not enter {dir} ({})", user.name, shown(inside, dir)),
                "stat",
            ),
            None => look.finding(
                "authkeys-unreadable",
                certainty(sure),
                format!("{} may not read {} ({})", user.name, real, shown(inside, &real)),
                "stat",
            ),
        };
        let finding = match said {
            Some(l) => finding.and(format!("{} ({})", l.text, look.ago(l.at)), look.by("sshd's log")),
            None if sure => finding,
            None => finding.would_prove(format!("a test as {}: test -r {}", user.name, file.path)),
        };
        return Way::Bad(Box::new(finding));
    }
    if access == Some(false) && user.uid != 0 && state.is_file() {
        // Modes are all right, and still the kernel says no: a network file system, or rights beyond modes.
        return Way::Bad(Box::new(look.finding(
            "authkeys-unreadable",
            Certainty::Proven,
            format!("{} cannot read {}, although its mode allows it", user.name, file.path),
            "test -r as the user",
        )));
    }
    match strict::judge(inside, user, &file.path) {
        Strict::Missing => return Way::Missing,
        Strict::NotRegular { path } => {
            return Way::Bad(Box::new(look.finding(
                "authkeys-not-file",
                Certainty::Proven,
                format!("{path} is no regular file ({})", shown(inside, &path)),
                "stat",
            )));
        }
        Strict::Unknown { .. } => return Way::Unknown,
        Strict::Refused { path, why } if look.inside.sshd.says_yes("strictmodes") != Some(false) && !relaxed(look) => {
            return Way::Bad(Box::new(refused(look, user, &path, &real, &why)));
        }
        Strict::Refused { .. } | Strict::Trusted => {}
    }
    match label(look, user, &file.path) {
        Some(finding) => Way::Bad(Box::new(finding)),
        None => Way::Open,
    }
}

/// Proven when it was directly seen, else likely.
pub(super) fn certainty(sure: bool) -> Certainty {
    if sure { Certainty::Proven } else { Certainty::Likely }
}

/// Whether the configuration's own lines switch StrictModes off, where sshd could not say.
fn relaxed(look: &Look<'_>) -> bool {
    look.inside.sshd.lines.iter().any(|l| l.to_ascii_lowercase().contains("strictmodes no"))
}

fn shown(inside: &crate::core::facts::inside::Inside, path: &str) -> String {
    match inside.paths.get(path) {
        Some(PathState::There { mode, uid, gid, .. }) => {
            format!("mode {:04o}, owner uid {uid}, group {gid}", mode & 0o7777)
        }
        Some(PathState::Missing) => "missing".to_owned(),
        _ => "not seen".to_owned(),
    }
}

fn refused(look: &Look<'_>, user: &Passwd, path: &str, file: &str, why: &str) -> Finding {
    let home = resolved(look.inside, &user.home);
    let id = if path == file {
        "authkeys-perms"
    } else if path == home || (path.len() < home.len() && home.starts_with(path)) {
        "home-perms"
    } else {
        "ssh-dir-perms"
    };
    // Settings that sshd did not tell could switch the test off.
    let sure = look.has_settings();
    let finding = look.finding(id, certainty(sure), format!("{path}: {why}"), "stat");
    let line = look
        .inside
        .log
        .iter()
        .rev()
        .find(|l| look.this_boot(l.at) && l.text.contains("bad ownership or modes") && l.text.ends_with(path));
    let finding = match line {
        Some(l) => finding.and(format!("{} ({})", l.text, look.ago(l.at)), look.by("sshd's log")),
        None => finding,
    };
    if sure { finding } else { finding.would_prove("sshd -T shows strictmodes yes") }
}

fn label(look: &Look<'_>, user: &Passwd, file: &str) -> Option<Finding> {
    let linux = &look.inside.selinux;
    if linux.mode != "enforcing" {
        return None;
    }
    let kind = |context: &String| context.split(':').nth(2).map(str::to_owned);
    let dir = format!("{}/.ssh", user.home);
    let denied = linux
        .denials
        .iter()
        .rev()
        .find(|l| ["authorized_keys", "\".ssh\"", "name=\".ssh"].iter().any(|n| l.contains(n)));
    for path in [file, dir.as_str()] {
        let Some(found) = linux.labels.get(path).and_then(kind) else { continue };
        let wanted = linux.wanted.get(path).and_then(kind);
        if KEY_TYPES.contains(&found.as_str()) || wanted.as_ref() == Some(&found) {
            continue;
        }
        let sure = UNLABELLED.contains(&found.as_str()) || denied.is_some_and(|l| l.contains(&found));
        let text = format!(
            "{path} has the SELinux type {found}, and sshd needs {}",
            wanted.as_deref().unwrap_or("ssh_home_t")
        );
        let mut finding = look.finding("selinux-context", certainty(sure), text, "ls -Z");
        if let Some(line) = denied {
            finding = finding.and(line.clone(), look.by("audit log"));
        }
        return Some(if sure { finding } else { finding.would_prove("an AVC denial of sshd for this file") });
    }
    None
}

fn unmounted(look: &Look<'_>, user: &Passwd) -> Option<Finding> {
    let entry = look.inside.resources.fstab.iter().find(|f| !f.mounted)?;
    let later = ["noauto", "automount"].iter().any(|o| entry.options.contains(o));
    let sure = !later && (missing(look, &user.home) || missing(look, &format!("{}/.ssh", user.home)));
    let finding = look.finding(
        "home-not-mounted",
        certainty(sure),
        format!("{} ({}) is not mounted on {}, where the home of {} is", entry.source, entry.kind, entry.at, user.name),
        "fstab and mounts",
    );
    Some(if sure { finding } else { finding.would_prove("the key is found once the volume is mounted") })
}

fn no_file(look: &Look<'_>, user: &Passwd, files: &[&KeyFileInside]) -> Option<Finding> {
    let first = files.first()?;
    let text = if missing(look, &user.home) {
        format!("the home directory {} does not exist", user.home)
    } else {
        format!("there is no {}", first.path)
    };
    let sure = !key_sources(look) && (look.has_settings() || !look.inside.sshd.lines.is_empty());
    let finding = look.finding("authkeys-missing", certainty(sure), text, "stat");
    Some(if sure { finding } else { finding.would_prove("sshd has no other source of keys: sshd -T") })
}

/// Files can be read, and none has the key.
fn absent(look: &Look<'_>, files: &[&KeyFileInside], keys: &[Offered]) -> Vec<Finding> {
    let mut out = Vec::new();
    let read: Vec<&&KeyFileInside> = files.iter().filter(|f| f.read).collect();
    let Some(first) = read.first() else { return out };
    let lines = || read.iter().flat_map(|f| &f.entries);
    let sound = lines().filter(|l| l.kind.is_some() && l.sound != Some(false)).count();
    let more: u32 = read.iter().map(|f| f.more).sum();
    let broken = lines().find(|l| {
        l.kind.is_none()
            || l.sound == Some(false)
            || l.defects.iter().any(|d| matches!(d.as_str(), "joined" | "html" | "rfc4716" | "badbase64"))
    });
    let source = key_sources(look);
    let damage = broken.map(|l| {
        let joined = l.defects.iter().any(|d| d == "joined");
        let what = if joined {
            "two keys on one line".to_owned()
        } else if l.defects.iter().any(|d| d != "crlf") {
            l.defects.iter().filter(|d| *d != "crlf").cloned().collect::<Vec<_>>().join(", ")
        } else {
            "no whole key".to_owned()
        };
        let id = if joined { "authkeys-joined-line" } else { "authkeys-garbled" };
        (id, format!("{} line {} is no key that sshd reads: {what}", first.path, l.line))
    });
    if sound == 0 && more == 0 {
        out.push(match damage {
            // Nothing in the file is a key, so nothing there can let anybody in.
            Some((id, text)) => look.finding(id, certainty(!source), text, "authorized_keys"),
            None => look.finding(
                "authkeys-empty",
                certainty(!source),
                format!("{} has no key ({} lines)", first.path, first.lines),
                "authorized_keys",
            ),
        });
        for finding in out.iter_mut().filter(|f| f.certainty < Certainty::Proven) {
            finding.would_prove = Some("sshd has no other source of keys: sshd -T".to_owned());
        }
        return out;
    }
    if keys.is_empty() {
        if let Some((id, text)) = damage {
            out.push(
                look.finding(id, Certainty::Possible, text, "authorized_keys")
                    .would_prove("the public half of your key is in that line"),
            );
        }
        return out;
    }
    // Lines whose data was not handed over may hold it.
    let large = |f: &&&KeyFileInside| matches!(look.inside.paths.get(&resolved(look.inside, &f.path)), Some(PathState::There { size, .. }) if *size > READ);
    let unseen = read.iter().any(large)
        || more > 0
        || lines().any(|l| l.kind.is_some() && l.fingerprint.is_none() && l.sound.is_none());
    let unasked = look.view.facts.local.keys.iter().any(|k| {
        matches!(k.file.value(), Some(KeyFileState::Read { key, .. }) if key.sha256.is_none() && key.format.is_private())
    });
    let sure = !source && !unseen && !unasked;
    let labels: Vec<String> = keys.iter().take(3).map(|k| format!("{} ({})", k.label, k.fingerprint)).collect();
    let mut finding = look.finding(
        "authkeys-key-absent",
        certainty(sure),
        format!("{} has {} key(s), and none is {}", first.path, sound as u64 + u64::from(more), labels.join(" or ")),
        "authorized_keys",
    );
    for line in lines().filter(|l| l.kind.is_some()).take(4) {
        if let Some(fingerprint) = &line.fingerprint {
            finding = finding.and(
                format!("line {}: {} {fingerprint}", line.line, line.kind.as_deref().unwrap_or("key")),
                look.by("authorized_keys"),
            );
        }
    }
    out.push(if sure {
        finding
    } else {
        finding.would_prove("sshd's log at LogLevel VERBOSE: Failed publickey with this fingerprint")
    });
    if let Some((id, text)) = damage {
        out.push(
            look.finding(id, Certainty::Possible, text, "authorized_keys")
                .would_prove("the public half of your key is in that line"),
        );
    }
    out.extend(foreign(look, first));
    out
}

/// Keys that are neither yours nor the launch key's, while the launch key is not there: an image's own. Likely where
/// the table of the first boot lists one of them: nobody had logged in by then.
fn foreign(look: &Look<'_>, file: &KeyFileInside) -> Option<Finding> {
    let pair = look.view.facts.aws.key_pair.value()?.as_ref()?;
    let (_, launch) = key::public_of(pair.public_key.as_deref()?)?;
    let all: Vec<&String> = file.entries.iter().filter_map(|l| l.fingerprint.as_ref()).collect();
    if all.is_empty() || all.contains(&&launch) {
        return None;
    }
    let console = look.view.console.as_ref().filter(|c| c.console_user.as_deref() == Some(look.name));
    let listed = console.map(|c| c.console_key_fingerprints.as_slice()).unwrap_or_default();
    let first = all.iter().find(|mine| listed.iter().any(|print| same_print(print, mine)));
    let certainty = if first.is_some() { Certainty::Likely } else { Certainty::Possible };
    let text = format!("{} has {} key(s), and the launch key is not among them", file.path, all.len());
    let finding = look.finding("ami-baked-foreign-key", certainty, text, "authorized_keys");
    let finding = match first {
        Some(print) => finding.and(format!("{print} was there at the first boot"), look.view.console_source()),
        None => finding,
    };
    Some(finding.would_prove("the owner of each line"))
}

/// The flag stops a repair, not a login: it is named when there is something to repair.
fn immutable(look: &Look<'_>, user: &Passwd, found: &[Finding]) -> Option<Finding> {
    let repair = found.iter().any(|f| f.certainty >= Certainty::Likely && f.id != "authkeys-from-restriction");
    let dir = user.home.trim_end_matches('/');
    let ours = |path: &str| {
        path == dir || path.starts_with(&format!("{dir}/.ssh")) || look.inside.key_files.iter().any(|f| f.path == path)
    };
    let (path, flags) = look.inside.flags.iter().find(|(path, _)| ours(path))?;
    repair.then(|| {
        look.finding(
            "immutable-flag",
            Certainty::Proven,
            format!("{path} has the flags {flags}: no repair can change it"),
            "lsattr",
        )
    })
}

/// Whether a file that sshd reads lets an offered key in.
pub(super) fn found(look: &Look<'_>) -> bool {
    let Some(user) = look.user else { return false };
    let keys = offered(look);
    let good = |f: &&KeyFileInside| matches!((way(look, user, f), held(look, f, &keys)), (Way::Open, Held::Good(_)));
    look.inside.key_files.iter().filter(|f| f.used).any(|f| good(&f))
}

pub(super) fn summary(look: &Look<'_>) -> Result<String, String> {
    if look.known {
        return Ok("the server found the key of this user".to_owned());
    }
    let Some(user) = look.user else { return Err("without the account its files cannot be judged".to_owned()) };
    let keys = offered(look);
    let files: Vec<&KeyFileInside> = look.inside.key_files.iter().filter(|f| f.used).collect();
    for file in &files {
        if let (Way::Open, Held::Good(line)) = (way(look, user, file), held(look, file, &keys)) {
            return Ok(format!("sshd reads {}, and your key is in line {line}", file.path));
        }
    }
    match files.iter().find(|f| matches!(way(look, user, f), Way::Open)) {
        Some(file) => Err(format!("sshd reads {}; whether your key is in it cannot be told", file.path)),
        None => Err("no key file that sshd reads was seen".to_owned()),
    }
}
