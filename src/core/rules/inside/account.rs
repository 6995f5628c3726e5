//! The account: whether it exists, may log in, and has a shell.

use super::{Look, is_absent};
use crate::core::cause::{Certainty, Finding};
use crate::core::facts::inside::{Lookup, PathState};
use crate::core::inside::strict::resolved;

/// Shells that end every login at once.
const NO_LOGIN: [&str; 4] = ["nologin", "false", "true", "sync"];

/// How long after the boot a nologin file is systemd's own, in seconds.
const BOOTING: i64 = 900;

pub(super) fn findings(look: &Look<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    if let Some(found) = absent(look) {
        return vec![found];
    }
    if look.user.is_none() {
        if look.inside.account.nss == Lookup::Failed && !look.name.is_empty() {
            out.push(
                look.finding(
                    "pam-denies",
                    Certainty::Likely,
                    format!("the name services do not answer who {} is ({})", look.name, sources(look)),
                    "getent passwd",
                )
                .would_prove("getent passwd USER ends without an answer while sssd or LDAP is down"),
            );
        }
        return out;
    }
    out.extend(shadow(look));
    out.extend(shell(look));
    out.extend(nologin(look));
    out.extend(pam(look));
    out
}

fn sources(look: &Look<'_>) -> String {
    look.inside.account.nsswitch.clone().unwrap_or_else(|| "nsswitch not known".to_owned())
}

fn absent(look: &Look<'_>) -> Option<Finding> {
    if !is_absent(look) || look.known {
        return None;
    }
    let name = look.name;
    // Names that sssd or LDAP should know are absent while those are down.
    let remote = look.inside.sshd.units.iter().find(|u| u.name == "sssd.service" && u.active != "active");
    if let Some(unit) = remote.filter(|_| sources(look).contains("sss")) {
        return Some(
            look.finding(
                "pam-denies",
                Certainty::Likely,
                format!(
                    "nobody knows {name}, and sssd.service, which is asked for users ({}), is {}",
                    sources(look),
                    unit.active
                ),
                "getent passwd",
            )
            .would_prove("getent passwd USER once sssd runs"),
        );
    }
    let default = look.view.default_user().or_else(|| default_of(&look.inside.os.id).map(str::to_owned));
    let text = format!("there is no user {name} on the instance (name services: {})", sources(look));
    Some(match default {
        Some(default) if default == name => look
            .finding("user-deleted", Certainty::Proven, text, "getent passwd")
            .and(format!("{name} is the first user of such an image ({})", look.inside.os.name), look.by("os-release")),
        Some(_) => look.finding("wrong-user-name", Certainty::Proven, text, "getent passwd"),
        None => look
            .finding("wrong-user-name", Certainty::Likely, text, "getent passwd")
            .would_prove("the name of the image's first user"),
    })
}

/// The first user of a distribution's own images, by `ID` of os-release; `None` when images differ.
fn default_of(os: &str) -> Option<&'static str> {
    Some(match os {
        "amzn" | "rhel" | "almalinux" | "sles" | "opensuse-leap" | "ol" | "freebsd" => "ec2-user",
        "ubuntu" => "ubuntu",
        "debian" => "admin",
        "fedora" => "fedora",
        "rocky" => "rocky",
        "alpine" => "alpine",
        "arch" => "arch",
        "kali" => "kali",
        _ => return None,
    })
}

fn shadow(look: &Look<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    let (Some(shadow), Some(today)) = (&look.inside.account.shadow, look.today()) else { return out };
    let (name, pam) = (look.name, look.uses_pam());
    let mut add = |id: &str, certainty: Certainty, text: String| {
        let finding = look.finding(id, certainty, text, "shadow");
        out.push(if certainty == Certainty::Proven {
            finding
        } else {
            finding.would_prove("sshd's log line at a login of this user")
        });
    };
    let locked = shadow.class.starts_with('!');
    if locked && !look.known {
        let text = format!("the password field of {name} begins with ! ({}), and sshd works without PAM", shadow.class);
        match pam {
            Some(false) => add("account-locked", Certainty::Proven, text),
            None if without_pam(look) => add("account-locked", Certainty::Likely, text),
            None | Some(true) => {}
        }
    } else if shadow.class == "LOCKED" && !look.known {
        // FreeBSD: sshd's own check without PAM; with PAM it is pam_unix that refuses.
        let certainty = if pam == Some(false) { Certainty::Proven } else { Certainty::Likely };
        add("account-locked", certainty, format!("the account {name} is locked (*LOCKED*)"));
    }
    let expired = shadow.expires.filter(|day| *day >= 0 && *day < today);
    if let Some(day) = expired {
        add(
            "account-expired",
            Certainty::Proven,
            format!("the account {name} expired on day {day} after 1970 (today is day {today})"),
        );
    }
    if pam != Some(true) || expired.is_some() {
        return out;
    }
    let Some(changed) = shadow.last_change else { return out };
    // pam_unix can be told not to mind the age of a password that was not used.
    let ignored = look.inside.pam.iter().any(|l| l.contains("no_pass_expiry"));
    let limit = shadow.max.filter(|max| *max >= 0 && *max < 10_000 && !ignored);
    let age = today - changed;
    if changed == 0 {
        add(
            "password-change-forced",
            Certainty::Proven,
            format!("{name} must change the password at the next login (last change is day 0)"),
        );
    } else if let Some(max) = limit.filter(|max| age > *max) {
        let idle = shadow.inactive.filter(|days| *days >= 0);
        if idle.is_some_and(|days| age > max + days) {
            add(
                "account-expired",
                Certainty::Proven,
                format!(
                    "the password of {name} is {age} days old: it expired after {max}, and the account {} days later",
                    idle.unwrap_or(0)
                ),
            );
        } else {
            add(
                "password-change-forced",
                Certainty::Proven,
                format!("the password of {name} is {age} days old and expires after {max}: it must be changed first"),
            );
        }
    }
    out
}

/// Whether the configuration's own lines say so, where sshd could not.
fn without_pam(look: &Look<'_>) -> bool {
    look.inside.sshd.lines.iter().any(|l| l.to_ascii_lowercase().ends_with("usepam no"))
}

fn shell(look: &Look<'_>) -> Option<Finding> {
    let entry = look.user?;
    let shell = if entry.shell.is_empty() { "/bin/sh" } else { &entry.shell };
    let chroot = look.inside.sshd.setting("chrootdirectory").is_some_and(|d| d != "none");
    let base = shell.rsplit('/').next().unwrap_or(shell);
    if NO_LOGIN.contains(&base) {
        return Some(look.finding(
            "shell-nologin",
            Certainty::Proven,
            format!("the shell of {} is {shell}, which ends every login at once", entry.name),
            "passwd",
        ));
    }
    if chroot {
        return None;
    }
    let what = match look.inside.paths.get(&resolved(look.inside, shell))? {
        PathState::Missing => "does not exist",
        state @ PathState::There { mode, .. } if !state.is_file() || mode & 0o111 == 0 => "cannot be executed",
        _ => return None,
    };
    Some(look.finding(
        "shell-missing",
        Certainty::Proven,
        format!("the shell of {}, {shell}, {what}", entry.name),
        "stat",
    ))
}

fn nologin(look: &Look<'_>) -> Option<Finding> {
    let entry = look.user.filter(|e| e.uid != 0)?;
    let file = look.inside.account.nologin.first()?;
    let pam = look.uses_pam();
    let stack = look.inside.pam.iter().any(|l| l.contains("pam_nologin") && !l.starts_with("common-auth"));
    let state = look.inside.system_state.as_deref().unwrap_or_default();
    let up = look.inside.at.zip(look.inside.boot).map(|(at, boot)| at - boot);
    let text = format!("{} exists: only root may log in", file.0);
    // systemd makes /run/nologin early in the boot and takes it away at its end.
    if state == "starting"
        && up.is_some_and(|s| s < BOOTING)
        && look.inside.account.nologin.iter().all(|(p, _)| p != "/etc/nologin")
    {
        let text = format!("{text}; systemd still boots, for {} s", up.unwrap_or(0));
        return Some(look.finding("boot-in-progress", Certainty::Proven, text, "systemctl is-system-running"));
    }
    let etc = look.inside.account.nologin.iter().any(|(p, _)| p == "/etc/nologin");
    let decides = match pam {
        Some(true) => stack,
        Some(false) => etc || look.inside.os.kernel.starts_with("FreeBSD"),
        None => false,
    };
    let finding = if decides {
        look.finding("nologin-file", Certainty::Proven, text, "stat")
    } else if pam == Some(false) {
        return None;
    } else {
        look.finding("nologin-file", Certainty::Likely, text, "stat")
            .would_prove(format!("sshd refuses {} at the account stage", entry.name))
    };
    Some(if state == "stopping" {
        finding.and("the instance is going down", look.by("systemctl is-system-running"))
    } else {
        finding
    })
}

/// What PAM could refuse without a word in the log yet.
fn pam(look: &Look<'_>) -> Option<Finding> {
    let failures = look.inside.faillock.filter(|n| *n >= 3)?;
    let account = look
        .inside
        .pam
        .iter()
        .any(|l| l.contains("account") && (l.contains("pam_faillock") || l.contains("pam_tally2")));
    (account && look.uses_pam() == Some(true) && !look.known).then(|| {
        look.finding(
            "pam-denies",
            Certainty::Possible,
            format!("{failures} failed logins of {} are counted against the account", look.name),
            "faillock",
        )
        .would_prove("sshd's log line: Access denied by PAM account configuration")
    })
}

pub(super) fn summary(look: &Look<'_>) -> Result<String, String> {
    if look.name.is_empty() {
        return Err("the look was taken without a user name, or for another user".to_owned());
    }
    let Some(entry) = look.user else {
        return Err(format!("who {} is was not answered", look.name));
    };
    if look.inside.account.shadow.is_none() {
        return Err(format!("{} exists; whether the account is locked or expired was not seen", entry.name));
    }
    let shell = if entry.shell.is_empty() { "/bin/sh" } else { &entry.shell };
    Ok(format!("{} (uid {}) exists, with home {} and shell {shell}", entry.name, entry.uid, entry.home))
}
