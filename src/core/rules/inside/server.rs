//! sshd itself: whether it runs, on which port, with which settings for this user.

use super::{Look, files};
use crate::core::cause::{Certainty, Finding};
use crate::core::facts::inside::{End, Listener, PathState, Unit};
use crate::core::facts::local::KeyFileState;
use crate::core::inside::patterns::{glob, host};
use std::net::IpAddr;

/// Settings of this length may have been cut by the script.
const CUT: usize = 880;

pub(super) fn findings(look: &Look<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    if look.may_lack_sshd() {
        out.extend(not_listening(look));
    }
    out.extend(privsep_gone(look));
    if look.has_settings() && !look.name.is_empty() {
        if !look.known {
            out.extend(revoked(look));
            out.extend(pubkey(look));
            out.extend(key_types(look));
        }
        if look.user.is_some() {
            out.extend(allow_deny(look));
        }
        out.extend(root(look));
    }
    // A key that lies in a file needs no command.
    if !look.known && !files::found(look) {
        out.extend(key_command(look));
    }
    out
}

fn is_sshd(listener: &Listener) -> bool {
    listener.program.contains("sshd") || matches!(listener.program.as_str(), "dropbear" | "tinysshd")
}

fn is_loopback(address: &str) -> bool {
    let bare = address.split('%').next().unwrap_or(address);
    bare.parse::<IpAddr>().is_ok_and(|a| a.to_canonical().is_loopback()) || bare == "localhost"
}

/// Sockets on which sshd, or a socket unit for it, waits for logins. Its sessions also listen, for forwarded ports:
/// on loopback and on no port of its configuration.
fn doors<'a>(look: &Look<'a>) -> Vec<&'a Listener> {
    let sshd = &look.inside.sshd;
    let configured: Vec<u16> = sshd.all("port").filter_map(|p| p.parse().ok()).collect();
    let sockets: Vec<u16> = sshd
        .unit_lines
        .iter()
        .filter_map(|l| l.split_once("ListenStream="))
        .filter_map(|(_, at)| at.rsplit(':').next().and_then(|p| p.trim().parse().ok()))
        .collect();
    let socket_active = sshd.units.iter().any(|u| u.name.ends_with(".socket") && u.active == "active");
    look.inside
        .listeners
        .iter()
        .flatten()
        .filter(|l| {
            if is_sshd(l) {
                return !is_loopback(&l.address) || configured.contains(&l.port) || l.port == look.port;
            }
            let manager = matches!(l.program.as_str(), "systemd" | "init" | "inetd" | "xinetd");
            manager
                && (sockets.contains(&l.port) || (socket_active && configured.contains(&l.port)) || l.port == look.port)
        })
        .collect()
}

fn unit<'a>(look: &Look<'a>, name: &str) -> Option<&'a Unit> {
    look.inside.sshd.units.iter().find(|u| u.name == name)
}

/// The unit that runs sshd: `ssh` on Debian and Ubuntu, `sshd` elsewhere.
fn service<'a>(look: &Look<'a>) -> Option<&'a Unit> {
    let live = |u: &&Unit| u.active != "inactive" || u.file_state == "enabled";
    let both: Vec<&Unit> = ["ssh.service", "sshd.service"].into_iter().filter_map(|n| unit(look, n)).collect();
    both.iter().copied().find(live).or_else(|| both.first().copied())
}

fn not_listening(look: &Look<'_>) -> Vec<Finding> {
    let (inside, port) = (look.inside, look.port);
    let sshd = &inside.sshd;
    if sshd.looked
        && sshd.path.is_none()
        && sshd.others.is_empty()
        && inside.listeners.as_ref().is_some_and(|all| !all.iter().any(is_sshd))
    {
        return vec![look.finding(
            "sshd-not-installed-or-disabled",
            Certainty::Proven,
            "no SSH server is installed on the instance",
            "look for sshd",
        )];
    }
    let Some(all) = &inside.listeners else { return Vec::new() };
    // A socket whose program is not known may well be sshd's.
    if all.iter().any(|l| l.port == port && l.program == "?" && !is_loopback(&l.address)) {
        return Vec::new();
    }
    // Without programs, and not as root, sshd on another port would not have been recognised.
    if inside.listen_tool.as_deref() == Some("proc") || inside.uid != Some(0) {
        if !doors(look).is_empty() || taken(look, all).is_some() {
            return Vec::new();
        }
        let finding = look
            .finding(
                "sshd-not-listening",
                Certainty::Likely,
                format!("nothing listens on port {port}"),
                "/proc/net/tcp",
            )
            .would_prove("ss -ltnp, inside");
        return vec![finding];
    }
    let waiting = doors(look);
    if waiting.iter().any(|l| l.port == port && !is_loopback(&l.address)) {
        return elsewhere(look, &waiting).into_iter().collect();
    }
    if !waiting.is_empty() {
        let mut at: Vec<String> = waiting.iter().map(|l| format!("{} port {}", l.address, l.port)).collect();
        at.sort();
        at.dedup();
        let text =
            format!("sshd listens on {}, and not on port {port} for others than the instance itself", at.join(", "));
        let mut out = vec![look.finding("sshd-other-port-or-address", Certainty::Proven, text, "listening sockets")];
        out.extend(taken(look, all));
        return out;
    }
    why_not(look, all)
}

/// sshd has the port, but perhaps not at the address that is dialled.
fn elsewhere(look: &Look<'_>, waiting: &[&Listener]) -> Option<Finding> {
    let instance = look.view.facts.instance()?;
    let here: Vec<&&Listener> = waiting.iter().filter(|l| l.port == look.port).collect();
    let all = |a: &str| matches!(a, "*" | "0.0.0.0" | "::" | "?");
    let own = |a: &str| a.parse::<IpAddr>().is_ok_and(|a| instance.addresses().contains(&a));
    if here.iter().any(|l| all(&l.address) || own(&l.address)) {
        return None;
    }
    let at: Vec<&str> = here.iter().map(|l| l.address.as_str()).collect();
    Some(
        look.finding(
            "sshd-other-port-or-address",
            Certainty::Likely,
            format!("sshd listens on {} only, which is no address of the instance that EC2 knows", at.join(", ")),
            "listening sockets",
        )
        .would_prove("ss -ltnp and ip address, inside"),
    )
}

/// Another program has the port that sshd wants.
fn taken(look: &Look<'_>, all: &[Listener]) -> Option<Finding> {
    let port = look.port;
    let wanted: Vec<&str> = look.inside.sshd.all("port").collect();
    let wants = wanted.is_empty() && port == 22 || wanted.contains(&port.to_string().as_str());
    let other = all.iter().find(|l| {
        l.port == port && !is_sshd(l) && !matches!(l.program.as_str(), "?" | "systemd" | "init" | "inetd" | "xinetd")
    })?;
    let pid = other.pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    wants.then(|| {
        look.finding(
            "port-in-use",
            Certainty::Proven,
            format!("port {port}, which sshd is configured for, belongs to {}{pid}", other.program),
            "listening sockets",
        )
    })
}

/// Nothing of sshd listens: why.
fn why_not(look: &Look<'_>, all: &[Listener]) -> Vec<Finding> {
    let inside = look.inside;
    let sshd = &inside.sshd;
    let mut out = Vec::new();
    if let Some(found) = taken(look, all) {
        return vec![found];
    }
    let said: Vec<&str> =
        sshd.test.iter().filter(|(code, _)| *code != 0).flat_map(|(_, s)| s.iter().map(String::as_str)).collect();
    let logged = |piece: &str| inside.log.iter().rev().find(|l| look.this_boot(l.at) && l.text.contains(piece));
    if let Some(path) = &sshd.not_to_be_run {
        out.push(look.finding(
            "sshd-not-installed-or-disabled",
            Certainty::Proven,
            format!("{path} keeps sshd from starting"),
            "stat",
        ));
    }
    let told = match () {
        () if said.iter().any(|l| l.contains("no hostkeys available") || l.contains("load host key")) => {
            host_keys(look, &said)
        }
        () if said.iter().any(|l| is_privsep(l)) => privsep(look, &said),
        () => config(look, &said),
    };
    out.extend(told);
    out.extend(disabled(look));
    if out.is_empty() {
        let state = service(look).map_or_else(
            || sshd.rc.first().cloned().unwrap_or_else(|| "its service was not seen".to_owned()),
            |u| format!("{} is {} ({}, result {})", u.name, u.active, u.sub, u.result),
        );
        let socket = ["ssh.socket", "sshd.socket"].into_iter().find_map(|n| unit(look, n));
        let state = match socket {
            Some(s) => format!("{state}; {} is {} (result {})", s.name, s.active, s.result),
            None => state,
        };
        out.push(look.finding(
            "sshd-not-listening",
            Certainty::Proven,
            format!("no SSH server listens on any port; {state}"),
            "listening sockets",
        ));
        if let Some(line) = logged("Address already in use") {
            out.push(
                look.finding("port-in-use", Certainty::Likely, line.text.clone(), "sshd's log")
                    .would_prove("ss -ltnp shows who has the port"),
            );
        }
    }
    out
}

/// sshd finds no host key that it can use.
fn host_keys(look: &Look<'_>, said: &[&str]) -> Option<Finding> {
    let inside = look.inside;
    let line = said
        .iter()
        .find(|l| l.contains("no hostkeys available"))
        .or_else(|| said.iter().find(|l| l.contains("load host key")))?;
    let configured: Vec<&str> = inside.sshd.all("hostkey").collect();
    let mine = |p: &String| is_host_key(p) || configured.contains(&p.as_str());
    let kept: Vec<(&String, u32)> =
        inside.paths.iter().filter(|(p, _)| mine(p)).filter_map(|(p, s)| Some((p, s.mode()?))).collect();
    // RHEL lets the group ssh_keys read them, by a patch; everybody else's sshd says so of each file.
    if let Some((path, mode)) = kept.first().filter(|_| kept.iter().all(|(_, mode)| mode & 0o077 != 0)) {
        let text = format!("{path} has mode {:04o}: sshd uses no host key that others may read", mode & 0o7777);
        return Some(
            look.finding("hostkeys-perms", Certainty::Proven, text, "stat").and((*line).to_owned(), look.by("sshd -t")),
        );
    }
    let finding = look.finding("hostkeys-missing", Certainty::Proven, (*line).to_owned(), "sshd -t");
    Some(match kept.first() {
        Some((path, _)) => finding.and(format!("{path} is there, but sshd cannot use it"), look.by("stat")),
        None => finding,
    })
}

fn privsep(look: &Look<'_>, said: &[&str]) -> Option<Finding> {
    let line = said.iter().find(|l| is_privsep(l))?;
    // The service makes /run/sshd when it starts: alone, sshd -t misses it after every stop.
    let made_at_start = line.contains("Missing") && line.contains("/run/");
    let logged = look.inside.log.iter().rev().find(|l| look.this_boot(l.at) && is_privsep(&l.text));
    match logged {
        Some(entry) => Some(
            look.finding("privsep-dir", Certainty::Proven, entry.text.clone(), "sshd's log")
                .and(format!("still so: {line}"), look.by("sshd -t")),
        ),
        None if !made_at_start => Some(look.finding("privsep-dir", Certainty::Proven, (*line).to_owned(), "sshd -t")),
        None => None,
    }
}

/// A running sshd puts every session into the directory before anything is said: without it each one ends.
fn privsep_gone(look: &Look<'_>) -> Option<Finding> {
    let running = look.inside.listeners.iter().flatten().any(|l| l.port == look.port && is_sshd(l));
    let (code, said) = look.inside.sshd.test.as_ref()?;
    let line =
        said.iter().find(|l| is_privsep(l)).filter(|_| running && *code != 0 && !look.answered && !look.known)?;
    Some(look.finding(
        "privsep-dir",
        Certainty::Proven,
        format!("sshd runs, and every session fails: {line}"),
        "sshd -t",
    ))
}

fn config(look: &Look<'_>, said: &[&str]) -> Option<Finding> {
    const WORDS: [&str; 10] = [
        ": line ",
        " line ",
        "terminating,",
        "Bad ",
        "nsupported option",
        "Directive ",
        "missing argument",
        "garbage",
        "set without",
        "sshd_config",
    ];
    let code = look.inside.sshd.test.as_ref().map_or(0, |(code, _)| *code);
    // Only root may read all that sshd reads; a command that was ended says nothing.
    if look.inside.uid != Some(0) || matches!(code, 0 | 124 | 137) {
        return None;
    }
    if let Some(line) = said.iter().find(|l| WORDS.iter().any(|w| l.contains(w))) {
        return Some(look.finding("sshd-config-invalid", Certainty::Proven, (*line).to_owned(), "sshd -t"));
    }
    let line = said.iter().find(|l| !l.trim().is_empty())?;
    Some(
        look.finding("sshd-config-invalid", Certainty::Likely, (*line).to_owned(), "sshd -t")
            .would_prove("sshd -t names a file and a line"),
    )
}

fn is_host_key(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with("ssh_host_") && name.ends_with("_key"))
}

fn is_privsep(line: &str) -> bool {
    line.contains("privilege separation directory")
        || line.contains("must be owned by root and not group or world-writable")
}

fn disabled(look: &Look<'_>) -> Option<Finding> {
    let id = "sshd-not-installed-or-disabled";
    let proven = |text: String, by: &str| Some(look.finding(id, Certainty::Proven, text, by));
    if let Some(unit) = service(look) {
        // Where a socket starts sshd, the service is disabled by design.
        let socket = ["ssh.socket", "sshd.socket"].into_iter().find_map(|n| self::unit(look, n));
        if unit.load == "masked" || unit.file_state == "masked" {
            return proven(format!("{} is masked", unit.name), "systemctl show");
        }
        let idle = unit.active == "inactive";
        if idle
            && unit.file_state == "disabled"
            && socket.is_none_or(|s| s.active != "active" && s.file_state != "enabled")
        {
            let also =
                socket.map_or_else(String::new, |s| format!(", and {} is {} ({})", s.name, s.file_state, s.active));
            return proven(format!("{} is disabled and not running{also}", unit.name), "systemctl show");
        }
        return None;
    }
    let rc = &look.inside.sshd.rc;
    if let Some(file) = rc.iter().find_map(|l| l.strip_prefix("sshd masked ")) {
        return proven(format!("sshd's unit is masked ({file} leads to /dev/null)"), "readlink");
    }
    let stopped = match look.inside.os.init.as_str() {
        "openrc" => rc.iter().any(|l| l == "sshd stopped") && !rc.iter().any(|l| l.starts_with("sshd enabled")),
        "rc" => rc.iter().any(|l| l.strip_prefix("sshd_enable ").is_some_and(|v| !v.eq_ignore_ascii_case("yes"))),
        "sysv" => !rc.iter().any(|l| l.starts_with("sshd enabled")) && look.inside.sshd.looked,
        _ => false,
    };
    if stopped { proven("sshd is not set to start at boot, and does not run".to_owned(), "init system") } else { None }
}

fn pubkey(look: &Look<'_>) -> Option<Finding> {
    let sshd = &look.inside.sshd;
    let proven = |text: String| Some(look.finding("pubkey-disabled", Certainty::Proven, text, "sshd -T -C"));
    if sshd.says_yes("pubkeyauthentication") == Some(false) {
        return proven(format!("sshd has pubkeyauthentication no for {}", look.name));
    }
    let methods = sshd.setting("authenticationmethods").filter(|m| *m != "any" && m.len() < CUT)?;
    let enough = methods.split_whitespace().any(|list| list == "publickey");
    (!enough)
        .then(|| proven(format!("sshd wants more than a key from {}: authenticationmethods {methods}", look.name)))?
}

/// Keys that sshd is told to refuse; without the list it refuses all (sshd_config(5), RevokedKeys).
fn revoked(look: &Look<'_>) -> Option<Finding> {
    let list = look.inside.sshd.setting("revokedkeys").filter(|f| *f != "none")?;
    let id = "pubkey-disabled";
    if look.inside.paths.get(list) == Some(&PathState::Missing) {
        let text = format!("revokedkeys names {list}, which does not exist: sshd then refuses every key");
        return Some(look.finding(id, Certainty::Proven, text, "stat"));
    }
    let asked = crate::core::inside::offered_keys(look.view.facts).len();
    let all = asked > 0 && (1..=asked).all(|n| look.inside.sshd.revoked.iter().any(|r| usize::from(*r) == n));
    all.then(|| {
        look.finding(id, Certainty::Proven, format!("the list of revoked keys {list} holds your key"), "ssh-keygen -Q")
    })
}

/// What a key needs: an algorithm of its kind that sshd accepts, and enough bits.
fn key_types(look: &Look<'_>) -> Option<Finding> {
    let sshd = &look.inside.sshd;
    let accepted = sshd
        .setting("pubkeyacceptedalgorithms")
        .or_else(|| sshd.setting("pubkeyacceptedkeytypes"))
        .filter(|list| list.len() < CUT)?;
    let has = |name: &str| accepted.split(',').any(|a| glob(a, name));
    let least: u32 = sshd.setting("requiredrsasize").and_then(|v| v.parse().ok()).unwrap_or(0);
    let mut first = None;
    for probe in &look.view.facts.local.keys {
        let Some(KeyFileState::Read { key, .. }) = probe.file.value() else { continue };
        let Some(kind) = key.algorithm.as_deref() else { continue };
        let path = &probe.path;
        let trouble = match kind {
            "ssh-rsa" if !["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"].into_iter().any(has) => {
                Some(("key-type-unsupported", format!("sshd accepts no RSA signature, and {path} is an RSA key")))
            }
            "ssh-rsa" if key.bits.is_some_and(|bits| bits < least) => Some((
                "key-type-unsupported",
                format!("{path} has {} bits, and sshd requires {least} (requiredrsasize)", key.bits.unwrap_or(0)),
            )),
            "ssh-ed25519" if !has(kind) && look.inside.os.fips == Some(true) => Some((
                "fips-ed25519",
                format!("the instance is in FIPS mode, which refuses Ed25519, and {path} is such a key"),
            )),
            kind if kind != "ssh-rsa" && !has(kind) => {
                Some(("key-type-unsupported", format!("sshd does not accept keys of type {kind}, such as {path}")))
            }
            _ => None,
        };
        // One key that sshd could take is enough.
        let found = trouble?;
        first.get_or_insert(found);
    }
    let (id, text) = first?;
    let finding = look.finding(id, Certainty::Proven, text, "sshd -T -C");
    Some(match &look.inside.os.crypto_policy {
        Some(policy) => finding.and(format!("crypto policy {policy}"), look.by("/etc/crypto-policies")),
        None => finding,
    })
}

/// `user[@host]` as sshd reads it; `None` when the host is a name.
fn user_pattern(look: &Look<'_>, pattern: &str) -> Option<bool> {
    let (user, at) = pattern.rsplit_once('@').map_or((pattern, None), |(u, h)| (u, Some(h)));
    if !glob(user, look.name) {
        return Some(false);
    }
    at.map_or(Some(true), |h| host(h, look.address))
}

fn allow_deny(look: &Look<'_>) -> Option<Finding> {
    if look.known {
        return None;
    }
    let sshd = &look.inside.sshd;
    let name = look.name;
    let patterns = |key: &'static str| sshd.all(key).flat_map(str::split_whitespace);
    let proven = |text: String| Some(look.finding("sshd-allow-deny", Certainty::Proven, text, "sshd -T -C"));
    let unsure = |text: String| {
        Some(
            look.finding("sshd-allow-deny", Certainty::Possible, text, "sshd -T -C")
                .would_prove("sshd's log: User … not allowed because"),
        )
    };
    if let Some(p) = patterns("denyusers").find(|p| user_pattern(look, p) == Some(true)) {
        return proven(format!("sshd refuses {name}: denyusers {p}"));
    }
    let allow: Vec<&str> = patterns("allowusers").collect();
    // A list of 30 may be longer than what was handed over.
    let whole = |n: usize| n < 30 && look.inside.left_out == 0 && look.inside.end == End::Whole;
    if !allow.is_empty() && whole(allow.len()) {
        let answers: Vec<Option<bool>> = allow.iter().map(|p| user_pattern(look, p)).collect();
        if !answers.contains(&Some(true)) {
            let text =
                format!("sshd allows only some users, and {name} is not among them: allowusers {}", allow.join(" "));
            return if answers.contains(&None) { unsure(text) } else { proven(text) };
        }
    }
    let groups = &look.inside.account.group_names;
    let mine = |p: &str| groups.iter().any(|g| glob(p, g));
    if groups.is_empty() {
        return None;
    }
    if let Some(p) = patterns("denygroups").find(|p| mine(p)) {
        return proven(format!("sshd refuses a group of {name}: denygroups {p}"));
    }
    let allow: Vec<&str> = patterns("allowgroups").collect();
    if !allow.is_empty() && whole(allow.len()) && !allow.iter().any(|p| mine(p)) {
        let text = format!(
            "sshd allows only some groups, and {name} is in none of them: allowgroups {} ({name}: {})",
            allow.join(" "),
            groups.join(" ")
        );
        return proven(text);
    }
    None
}

fn root(look: &Look<'_>) -> Option<Finding> {
    if look.user.is_none_or(|u| u.uid != 0) {
        return None;
    }
    let setting = look.inside.sshd.setting("permitrootlogin")?;
    (setting == "no")
        .then(|| look.finding("root-login-refused", Certainty::Proven, "sshd has permitrootlogin no", "sshd -T -C"))
}

/// The command that sshd asks for keys (EC2 Instance Connect, sssd): broken when sshd would not run it.
fn key_command(look: &Look<'_>) -> Option<Finding> {
    let program = look
        .inside
        .sshd
        .setting("authorizedkeyscommand")
        .and_then(|c| c.split_whitespace().next())
        .filter(|c| c.starts_with('/'))?;
    let state = |path: &str| look.inside.paths.get(path);
    let mut at = Some(program);
    while let Some(path) = at {
        let why = match state(path) {
            Some(PathState::Missing) => Some("does not exist".to_owned()),
            // safe_path of the program: only root may own it and what is above it.
            Some(s @ PathState::There { mode, uid, .. }) if !s.is_link() && (*uid != 0 || mode & 0o022 != 0) => {
                Some(format!("has mode {:04o} and owner uid {uid}: others than root may change it", mode & 0o7777))
            }
            _ => None,
        };
        if let Some(why) = why {
            return Some(look.finding(
                "akc-broken",
                Certainty::Proven,
                format!("sshd asks {program} for keys, and {path} {why}"),
                "stat",
            ));
        }
        at = crate::core::inside::strict::parent(path);
    }
    let (user, exists) = look.inside.ec2.command_user.as_ref()?;
    (!exists).then(|| {
        look.finding(
            "akc-broken",
            Certainty::Proven,
            format!("sshd is to run {program} as {user}, and there is no such user"),
            "getent passwd",
        )
    })
}

pub(super) fn summary(look: &Look<'_>) -> Result<String, String> {
    let sshd = &look.inside.sshd;
    let version = sshd.version.clone().unwrap_or_else(|| "sshd".to_owned());
    if look.may_lack_sshd() {
        match &look.inside.listeners {
            None => return Err("who listens was not seen".to_owned()),
            Some(all) if all.iter().any(|l| l.port == look.port && l.program == "?") => {
                return Err(format!("something listens on port {}; whether it is sshd was not seen", look.port));
            }
            Some(_) if doors(look).is_empty() => return Err("sshd was not seen to listen".to_owned()),
            Some(_) => {}
        }
    }
    match &sshd.test {
        Some((0, _)) if look.has_settings() => {
            Ok(format!("{version} listens on port {}, and its configuration is valid", look.port))
        }
        Some((0, _)) => Err(format!("{version} has a valid configuration, but did not show it")),
        Some((code, said)) => Err(format!(
            "sshd -t ended with {code}: {}; the running sshd still works with what it read before",
            said.first().map_or("without a word", String::as_str)
        )),
        None => Err("sshd's configuration was not tested".to_owned()),
    }
}
