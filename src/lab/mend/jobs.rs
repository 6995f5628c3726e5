//! The repairs, one function each. A reason that begins with a word of the scripts means that nothing is done.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Asked, Told};
use crate::lab::scenario::{Daemon, HostKeys, KeyFile, OsSpec, Unit};
use crate::lab::world::{Instance, Node, User};

fn home(user: &User) -> String {
    if user.uid == 0 { "/root".to_owned() } else { format!("/home/{}", user.name) }
}

/// The number of the user that is asked about, whose home must be there.
fn account(instance: &Instance, asked: &Asked) -> Result<usize, String> {
    let name = asked.get("USER");
    let at = instance.users.iter().position(|u| u.name == name).ok_or_else(|| format!("no-such-user {name}"))?;
    if instance.os.home_unmounted && instance.users[at].uid != 0 {
        return Err("home-not-mounted /home".to_owned());
    }
    Ok(at)
}

/// Whether sshd reads the usual file.
fn usual_file(instance: &Instance) -> bool {
    let file = instance.sshd.authorized_keys_file.as_deref();
    file.is_none_or(|words| words.split_whitespace().any(|word| word.ends_with(".ssh/authorized_keys")))
}

/// What sshd asks of one path: an owner that is root or the user, no write right for others, the user's own rights.
fn trust(node: &mut Node, user: &str, path: &str, need: u32, debian: bool, told: &mut Told) {
    let name = |owner: &str| if owner == "root" { "0:0" } else { "1000:1000" };
    let mine = node.owner == user;
    let readable = if mine { node.mode >> 6 & need == need } else { node.mode & need == need };
    if (node.owner != "root" && !mine) || (node.owner == "root" && user != "root" && !readable) {
        told.lines.push(format!("before {:o} {} {path}", node.mode, node.owner));
        told.did(format!("owner {} {} {path}", if node.owner == "root" { "0:0" } else { "1050:1050" }, name(user)));
        user.clone_into(&mut node.owner);
    }
    // Debian bears with the user's own group.
    let group = if debian && node.owner == user { 0 } else { 0o020 };
    let want = (node.mode & !(0o002 | group)) | if node.owner == user { need << 6 } else { 0 };
    if want != node.mode {
        told.lines.push(format!("before {:o} {} {path}", node.mode, node.owner));
        told.did(format!("mode {:o} {want:o} {path}", node.mode));
        node.mode = want;
    }
}

/// The way to the key file, and the file.
fn open_way(instance: &mut Instance, at: usize, debian: bool, told: &mut Told) -> Result<(), String> {
    let strict = instance.sshd.strict_modes;
    let user = &mut instance.users[at];
    let (name, home) = (user.name.clone(), home(user));
    let root = user.uid == 0;
    if user.form == KeyFile::Directory {
        return Err(format!("not-a-file {home}/.ssh/authorized_keys"));
    }
    if !root && instance.parent_mode & 1 == 0 {
        told.did(format!("mode {:o} {:o} /home", instance.parent_mode, instance.parent_mode | 1));
        instance.parent_mode |= 1;
    }
    if strict {
        trust(&mut user.home, &name, &home, 1, debian, told);
        trust(&mut user.ssh, &name, &format!("{home}/.ssh"), 1, debian, told);
    }
    if user.form == KeyFile::Absent && user.added.is_empty() {
        return Err(format!("no-key-file {home}/.ssh/authorized_keys"));
    }
    if strict {
        let path = format!("{home}/.ssh/authorized_keys");
        let changes = told.did.len();
        trust(&mut user.file, &name, &path, 4, debian, told);
        if instance.os.immutable && told.did.len() > changes {
            told.lines.push(format!("attribute i {path}"));
        }
    }
    if let Some(label) = instance.os.selinux.clone().filter(|label| label != "ssh_home_t" && !root) {
        let of = |kind: &str| format!("unconfined_u:object_r:{kind}:s0");
        told.did(format!("label {} {} {home}/.ssh/authorized_keys", of(&label), of("ssh_home_t")));
        instance.os.selinux = Some("ssh_home_t".to_owned());
    }
    Ok(())
}

pub(super) fn permissions(instance: &mut Instance, asked: &Asked, debian: bool, told: &mut Told) -> Result<(), String> {
    let at = account(instance, asked)?;
    match open_way(instance, at, debian, told) {
        // What could be repaired is repaired, although there is no file yet.
        Err(reason) if reason.starts_with("no-key-file") && !told.did.is_empty() => Ok(()),
        other => other,
    }
}

pub(super) fn add_key(instance: &mut Instance, asked: &Asked, debian: bool, told: &mut Told) -> Result<(), String> {
    let at = account(instance, asked)?;
    let data = |text: &str| STANDARD.decode(text).ok().filter(|blob| !blob.is_empty());
    let blob = asked.get("KEY").split_whitespace().nth(1).and_then(data).ok_or("no-key")?;
    let old = data(asked.get("OLD"));
    let usual = usual_file(instance);
    let immutable = instance.os.immutable;
    let user = &mut instance.users[at];
    let path = if usual {
        format!("{}/.ssh/authorized_keys", home(user))
    } else {
        let words = instance.sshd.authorized_keys_file.clone().unwrap_or_default();
        let first = words.split_whitespace().next().unwrap_or("none");
        if first == "none" {
            return Err("no-key-file none".to_owned());
        }
        first.replace("%u", &user.name).replace("%h", &home(user))
    };
    if user.form == KeyFile::Directory {
        return Err(format!("not-a-file {path}"));
    }
    let there = user.form == KeyFile::Good && usual && user.keys.contains(&blob);
    let limits = ["from=\"", "expiry-time=\"", "command=\""].iter().any(|option| user.options.contains(option));
    if there && limits {
        return Err("limited".to_owned());
    }
    if !(there || user.added.contains(&blob)) {
        if immutable {
            told.lines.push(format!("attribute i {path}"));
        }
        if user.form == KeyFile::Absent {
            user.form = KeyFile::Good;
            user.keys.clear();
            user.file = Node { owner: user.name.clone(), mode: 0o600 };
            told.lines.push(format!("before - {path}"));
            told.did(format!("made {path}"));
        }
        user.added.push(blob.clone());
        told.did(format!("key-added {path}"));
    }
    if let Some(old) = old.filter(|old| *old != blob) {
        let count = user.keys.len() + user.added.len();
        user.keys.retain(|key| *key != old);
        user.added.retain(|key| *key != old);
        if user.keys.len() + user.added.len() < count {
            told.did(format!("key-removed {path}"));
        }
    }
    open_way(instance, at, debian, told)
}

/// Dates, lock and shell of the login user.
fn login_values(os: &mut OsSpec, use_pam: bool, user: &str, told: &mut Told) {
    let before = told.did.len();
    if std::mem::take(&mut os.expired) {
        told.did(format!("value expire {user} 20300 -"));
    }
    if std::mem::take(&mut os.change_password) {
        told.did(format!("value lastchg {user} 0 20590"));
    }
    if os.locked && !use_pam {
        os.locked = false;
        told.did(format!("value lock {user} !! *"));
    }
    if os.shell_missing || os.shell.ends_with("nologin") || os.shell.ends_with("/false") {
        told.did(format!("value shell {user} {} /bin/bash", os.shell));
        (os.shell, os.shell_missing) = ("/bin/bash".to_owned(), false);
    }
    if told.did.len() > before {
        os.log.clear();
    }
}

pub(super) fn sshd(
    instance: &mut Instance,
    asked: &Asked,
    usual: u16,
    debian: bool,
    told: &mut Told,
) -> Result<(), String> {
    let os = &mut instance.os;
    if os.unit == Unit::Absent {
        return Err("not-installed".to_owned());
    }
    if let Some(other) = &os.port_taken_by {
        return Err(format!("port-in-use {other}"));
    }
    if let Some(text) = os.config_error.take() {
        let first = text.lines().next().unwrap_or_default();
        let (file, rest) = first.split_once(' ').unwrap_or((first, ""));
        let line: String = rest.chars().filter(char::is_ascii_digit).collect();
        if line.is_empty() {
            return Err(format!("config-error {first}"));
        }
        let word = first.rsplit(' ').next().unwrap_or_default().to_lowercase();
        told.did(format!("line-disabled {}:{line} {word}", file.trim_end_matches(':')));
    }
    if std::mem::take(&mut os.no_privsep) {
        told.did(format!("made {}", if debian { "/run/sshd" } else { "/usr/share/empty.sshd" }));
    }
    let key = "/etc/ssh/ssh_host_ed25519_key";
    match std::mem::replace(&mut os.host_keys, HostKeys::Good) {
        HostKeys::Good => {}
        // The practice host makes the key again that it had: its users' known_hosts stay right.
        HostKeys::Missing => told.did(format!("host-key {key} SHA256:{}", instance.host_key.sha256())),
        HostKeys::Open => told.did(format!("mode 666 600 {key}")),
    }
    let user = asked.get("USER").to_owned();
    if os.nologin && user != "root" {
        os.nologin = false;
        // A practice host tells its log as if it were written just now: what is over would look new.
        os.log.clear();
        told.did("removed /etc/nologin");
    }
    let sshd = &mut instance.sshd;
    let port: u16 = asked.get("PORT").parse().unwrap_or(usual);
    let mut settings = Vec::new();
    if sshd.port.unwrap_or(usual) != port {
        settings.push(format!("Port {port}"));
        sshd.port = Some(port).filter(|port| *port != usual);
    }
    if asked.get("LET") == "yes" && !user.is_empty() && user != "root" {
        if !sshd.allow_users.is_empty() && !sshd.allow_users.contains(&user) {
            sshd.allow_users.push(user.clone());
            settings.push(format!("AllowUsers {}", sshd.allow_users.join(" ")));
        }
        if sshd.deny_users.contains(&user) {
            sshd.deny_users.retain(|name| *name != user);
            settings.push("DenyUsers port22-nobody".to_owned());
        }
        if !sshd.pubkey {
            sshd.pubkey = true;
            settings.push("PubkeyAuthentication yes".to_owned());
        }
        let read = sshd.authorized_keys_file.as_deref();
        let moved = read.filter(|words| !words.contains(".ssh/authorized_keys")).map(str::to_owned);
        let there = instance.users.iter().any(|u| u.name == user && u.form != KeyFile::Absent && !u.keys.is_empty());
        if let (Some(words), true) = (moved, there) {
            let words = format!("{} .ssh/authorized_keys", words.replace("none", "")).trim().to_owned();
            settings.push(format!("AuthorizedKeysFile {words}"));
            sshd.authorized_keys_file = Some(words);
        }
    }
    if asked.get("LET") == "yes" && !user.is_empty() && user != "root" {
        login_values(&mut instance.os, sshd.use_pam, &user, told);
    }
    let address = asked.get("ADDR");
    if instance.os.hosts_deny && !address.is_empty() {
        instance.os.hosts_deny = false;
        instance.os.log.clear();
        told.did(format!("allowed {address} /etc/hosts.allow"));
        sshd.daemon = Daemon::Up;
    }
    if asked.get("FW") == "yes" && !address.is_empty() && instance.os.firewall.take().is_some() {
        told.did(format!("value iptables {address},{port} - there"));
        told.lines.push("note until-boot".to_owned());
        sshd.daemon = Daemon::Up;
    }
    if !settings.is_empty() {
        told.did(format!("configured /etc/ssh/sshd_config.d/00-{}.conf", asked.get("TOKEN")));
        told.lines.extend(settings.iter().map(|line| format!("added {line}")));
    }
    let os = &mut instance.os;
    // What its own packet filter refuses looks from outside as if nobody listened.
    let running = os.unit == Unit::Active && (sshd.daemon != Daemon::Down || os.firewall.is_some());
    if running {
        if !settings.is_empty() {
            told.did("service reloaded");
        }
        return Ok(());
    }
    if os.unit == Unit::Masked {
        told.did("unmasked /etc/systemd/system/sshd.service");
    }
    if matches!(os.unit, Unit::Masked | Unit::Disabled) {
        told.did("service enabled");
    }
    told.did("service started");
    os.unit = Unit::Active;
    sshd.daemon = Daemon::Up;
    Ok(())
}
