//! Reading what the script printed: one fact a line, first word what it is.
//!
//! Total and tolerant: a line that is not understood is left out, a field that is missing stays empty. Linear in
//! the length of the text, and bounded: of very long outputs only the beginning is read.

use super::time;
use crate::core::facts::inside::{
    End, Fstab, Group, HostKey, Inside, KeyFileInside, KeyLine, Listener, LogLine, Lookup, Passwd, PathState, Shadow,
    Unit,
};
use crate::core::key;

/// Characters that are read: more than the script prints, for doors without a limit.
const MAX_TEXT: usize = 64 * 1024;

/// Items that a list may have.
const MAX_ITEMS: usize = 400;

/// Reads an output. Says in [`Inside::version`] and [`Inside::end`] whether it is the right one and whole.
pub fn parse(text: &str) -> Inside {
    let mut out = Inside::default();
    let (mut up, mut read) = (None, 0_usize);
    for line in text.lines() {
        read += line.len() + 1;
        if read > MAX_TEXT {
            out.left_out += 1;
            continue;
        }
        let line: String = line.trim_end().chars().map(|c| if is_shown(c) { c } else { '?' }).collect();
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let rest = rest.trim();
        match word {
            "port22-inside" => out.version = rest.parse().unwrap_or(0),
            "port22-inside-end" => {
                let words: Vec<&str> = rest.split(' ').collect();
                out.left_out += words.get(1).and_then(|w| w.parse::<u32>().ok()).unwrap_or(0);
                out.end = if words.get(2) == Some(&"whole") { End::Whole } else { End::Broken };
            }
            "up" => up = rest.parse::<i64>().ok(),
            _ => one(&mut out, word, rest),
        }
    }
    for file in &mut out.key_files {
        count_lost(file);
    }
    if out.boot.is_none() {
        out.boot = out.at.zip(up).and_then(|(at, up)| at.checked_sub(up));
    }
    out
}

/// Lines of a key file that were printed and lost on the way are not listed either.
fn count_lost(file: &mut KeyFileInside) {
    let other = |l: &&KeyLine| {
        l.defects.iter().any(|d| matches!(d.as_str(), "private" | "rfc4716"))
            || (l.kind.is_none() && l.defects == ["bom"])
    };
    let listed = file.entries.iter().filter(|l| !other(l)).count();
    // Without the closing count nobody knows how many there were.
    let all = file.keys.map_or(listed + usize::from(file.read), |n| n as usize);
    file.more = file.more.max(u32::try_from(all.saturating_sub(listed)).unwrap_or(u32::MAX));
}

/// Characters that may reach a screen: no controls, nothing that turns the writing direction.
fn is_shown(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn owned(text: &str) -> String {
    text.to_owned()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|t| !t.is_empty() && t != "-")
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().take(MAX_ITEMS).map(owned).collect()
}

fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() < MAX_ITEMS {
        list.push(item);
    }
}

/// The first `n` words, and what follows them.
fn fields(text: &str, n: usize) -> Option<(Vec<&str>, &str)> {
    let mut rest = text;
    let mut out = Vec::with_capacity(n);
    for _ in 0..n {
        if rest.is_empty() {
            return None;
        }
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        out.push(word);
        rest = after;
    }
    Some((out, rest))
}

fn one(out: &mut Inside, word: &str, rest: &str) {
    match word.split_once('.').map_or(word, |(head, _)| head) {
        "os" | "kernel" | "init" | "fips" | "cryptopolicy" | "system" | "failed" => system(out, word, rest),
        "passwd" | "groups" | "groupnames" | "shells" | "shadow" | "passwords" | "nologin" | "nsswitch" => {
            account(out, word, rest);
        }
        "sshd" | "daemon" | "T" | "conf" | "notrun" | "unit" | "rc" | "libwrap" | "revoked" => server(out, word, rest),
        "akf" | "ak" => keys(out, word, rest),
        "df" | "dfi" | "root" | "home" | "fstab" | "mem" | "load" | "oom" => resources(out, word, rest),
        "fw" | "nft" | "ufw" | "firewalld" | "hosts" | "fail2ban" => firewall(out, word, rest),
        "log" | "logf" if word != "log.from" => log(out, word, rest),
        _ => rest_of_it(out, word, rest),
    }
}

fn rest_of_it(out: &mut Inside, word: &str, rest: &str) {
    match word {
        "at" => out.at = rest.parse().ok(),
        "boot" => out.boot = rest.parse().ok(),
        "zone" => out.zone_minutes = time::zone(rest).unwrap_or(0),
        "uid" => out.uid = rest.parse().ok(),
        "ask.user" => rest.clone_into(&mut out.asked.user),
        "ask.addr" => rest.clone_into(&mut out.asked.address),
        "ask.port" => out.asked.port = rest.parse().unwrap_or(0),
        "notool" => push(&mut out.no_tool, owned(rest)),
        "slow" | "late" => push(&mut out.slow, owned(rest)),
        "listen" => listener(out, rest),
        "listen.tool" => {
            out.listeners.get_or_insert_default();
            out.listen_tool = some(rest);
        }
        "path" => path(out, rest),
        "real" => {
            if let Some((name, real)) = rest.split_once(" => ") {
                out.real.insert(owned(name), owned(real));
            }
        }
        "access" => match rest.split_once(' ') {
            Some(("yes", path)) => drop(out.access.insert(owned(path), true)),
            Some(("no", path)) => drop(out.access.insert(owned(path), false)),
            _ => {}
        },
        "attr" => {
            if let Some((flags, path)) = rest.split_once(' ') {
                out.flags.insert(owned(path), owned(flags));
            }
        }
        "grp" => group(out, rest),
        "selinux" => rest.clone_into(&mut out.selinux.mode),
        "label" | "label.want" => {
            if let Some((context, path)) = rest.split_once(' ') {
                let into = if word == "label" { &mut out.selinux.labels } else { &mut out.selinux.wanted };
                into.insert(owned(path), owned(context));
            }
        }
        "avc" => push(&mut out.selinux.denials, owned(rest)),
        "hostkey" => {
            if let Some((f, path)) = fields(rest, 3) {
                let kind = owned(f[2].trim_matches(['(', ')']));
                push(&mut out.host_keys, HostKey { path: owned(path), kind, fingerprint: owned(f[1]) });
            }
        }
        "pam" => push(&mut out.pam, owned(rest)),
        "access.line" => push(&mut out.access_conf, owned(rest)),
        "faillock" => out.faillock = rest.parse().ok(),
        "eic" => out.ec2.instance_connect = some(rest),
        "akc.user" => {
            if let Some((exists, name)) = rest.split_once(' ') {
                out.ec2.command_user = Some((owned(name), exists == "yes"));
            }
        }
        "ssm" => out.ec2.ssm_agent = some(rest),
        "cloudinit" => out.ec2.cloud_init = some(rest),
        "log.from" => out.log_from = some(rest),
        _ => {}
    }
}

fn system(out: &mut Inside, word: &str, rest: &str) {
    match word {
        "os.id" => rest.clone_into(&mut out.os.id),
        "os.version" => rest.clone_into(&mut out.os.version),
        "os.like" => out.os.like = words(rest),
        "os.name" => rest.clone_into(&mut out.os.name),
        "kernel" => rest.clone_into(&mut out.os.kernel),
        "init" => rest.clone_into(&mut out.os.init),
        "fips" => out.os.fips = Some(rest == "1"),
        "cryptopolicy" => out.os.crypto_policy = some(rest),
        "system" => out.system_state = some(rest),
        "failed" => {
            let mut all = words(rest).into_iter();
            out.failed_units = all.next().and_then(|n| n.parse().ok()).map(|n| (n, all.collect()));
        }
        _ => {}
    }
}

fn account(out: &mut Inside, word: &str, rest: &str) {
    let account = &mut out.account;
    let day = |word: &str| word.parse::<i64>().ok();
    match word {
        "passwd.nss" => account.nss = lookup(rest),
        "passwd.file" => account.file = lookup(rest),
        "groups" => account.groups = rest.split_whitespace().filter_map(|w| w.parse().ok()).take(MAX_ITEMS).collect(),
        "groupnames" => account.group_names = words(rest),
        "shells" => account.in_shells = Some(rest == "yes"),
        "shadow" => {
            if let Some((f, _)) = fields(rest, 5) {
                account.shadow = Some(Shadow {
                    class: owned(f[0]),
                    last_change: day(f[1]),
                    max: day(f[2]),
                    inactive: day(f[3]),
                    expires: day(f[4]),
                });
            }
        }
        // FreeBSD counts seconds, and 0 means never.
        "shadow.bsd" => {
            if let Some((f, _)) = fields(rest, 3) {
                let days = |word: &str| day(word).filter(|s| *s > 0).map(|s| s / 86_400);
                account.shadow = Some(Shadow { class: owned(f[0]), expires: days(f[2]), ..Shadow::default() });
            }
        }
        "passwords" => account.with_password = rest.parse().ok(),
        "nologin" => {
            if let Some((lines, path)) = rest.split_once(' ') {
                push(&mut account.nologin, (owned(path), lines != "0"));
            }
        }
        "nsswitch" => account.nsswitch = some(rest),
        _ => {}
    }
}

fn lookup(rest: &str) -> Lookup {
    match rest {
        "-" => return Lookup::Absent,
        "?" => return Lookup::Failed,
        _ => {}
    }
    let mut f = rest.splitn(5, ':');
    let mut next = || f.next().map(owned);
    let entry = (|| {
        Some(Passwd {
            name: next()?,
            uid: next()?.parse().ok()?,
            gid: next()?.parse().ok()?,
            home: next()?,
            shell: next().unwrap_or_default(),
        })
    })();
    entry.map_or(Lookup::Failed, Lookup::Found)
}

fn server(out: &mut Inside, word: &str, rest: &str) {
    let sshd = &mut out.sshd;
    match word {
        "sshd.path" => {
            sshd.looked = true;
            sshd.path = some(rest);
        }
        "sshd.version" => sshd.version = some(rest),
        "sshd.other" => push(&mut sshd.others, owned(rest)),
        "daemon" => push(&mut sshd.daemons, owned(rest)),
        "sshd.test" => sshd.test = rest.parse().ok().map(|code| (code, Vec::new())),
        "sshd.says" => {
            if let Some((_, said)) = &mut sshd.test {
                push(said, owned(rest));
            }
        }
        "sshd.T" => sshd.dump = rest.parse().ok().map(|code| (code, Vec::new())),
        "sshd.Tsays" => {
            if let Some((_, said)) = &mut sshd.dump {
                push(said, owned(rest));
            }
        }
        "T" => {
            let (key, value) = rest.split_once(' ').unwrap_or((rest, ""));
            push(&mut sshd.settings, (key.to_ascii_lowercase(), owned(value)));
        }
        "conf" => push(&mut sshd.lines, owned(rest)),
        "revoked" => sshd.revoked.extend(rest.parse::<u8>().ok().filter(|_| sshd.revoked.len() < 4)),
        "notrun" => sshd.not_to_be_run = some(rest),
        "rc" => push(&mut sshd.rc, owned(rest)),
        "libwrap" => sshd.libwrap = Some(rest == "yes"),
        "unit.line" => push(&mut sshd.unit_lines, owned(rest)),
        "unit" => {
            if let Some((f, id)) = fields(rest, 8) {
                let unit = Unit {
                    name: owned(f[0]),
                    id: if id == "-" || id.is_empty() { owned(f[0]) } else { owned(id) },
                    load: owned(f[1]),
                    active: owned(f[2]),
                    sub: owned(f[3]),
                    file_state: owned(f[4]),
                    result: owned(f[5]),
                    status: owned(f[6]),
                    since: f[7].parse().unwrap_or(0),
                };
                push(&mut sshd.units, unit);
            }
        }
        _ => {}
    }
}

fn listener(out: &mut Inside, rest: &str) {
    let Some((f, more)) = fields(rest, 3) else { return };
    let Ok(port) = f[1].parse() else { return };
    let found = Listener { address: owned(f[0]), port, program: owned(f[2]), pid: more.trim().parse().ok() };
    push(out.listeners.get_or_insert_default(), found);
}

fn path(out: &mut Inside, rest: &str) {
    let Some((state, more)) = rest.split_once(' ') else { return };
    let state = match state {
        "-" => PathState::Missing,
        "!" => PathState::Denied,
        "?" => PathState::Unknown,
        mode => {
            let Some((f, path)) = fields(more, 4) else { return };
            let (Ok(mode), Ok(uid), Ok(gid)) = (u32::from_str_radix(mode, 16), f[0].parse(), f[1].parse()) else {
                return;
            };
            let there = PathState::There {
                mode,
                uid,
                gid,
                size: f[2].parse().unwrap_or(0),
                changed: f[3].parse().unwrap_or(0),
            };
            if out.paths.len() < MAX_ITEMS {
                out.paths.insert(owned(path), there);
            }
            return;
        }
    };
    if out.paths.len() < MAX_ITEMS {
        out.paths.insert(owned(more), state);
    }
}

fn group(out: &mut Inside, rest: &str) {
    let Some((f, _)) = fields(rest, 4) else { return };
    let Ok(gid) = f[0].parse() else { return };
    let list =
        |text: &str| -> Vec<String> { text.split(',').filter(|w| !w.is_empty() && *w != "-").map(owned).collect() };
    let primary = list(f[3]);
    let found = Group {
        gid,
        name: some(f[1]).unwrap_or_default(),
        members: list(f[2]),
        primary_of: primary.iter().map(|w| w.parse().ok()).collect(),
    };
    push(&mut out.groups, found);
}

fn keys(out: &mut Inside, word: &str, rest: &str) {
    match word {
        "akf" | "akf.unused" => {
            if let Some((_, path)) = rest.split_once(' ') {
                let file = KeyFileInside { path: owned(path), used: word == "akf", ..KeyFileInside::default() };
                push(&mut out.key_files, file);
            }
        }
        "ak.file" => {
            if let Some((f, _)) = fields(rest, 3)
                && let Some(file) = f[0].parse::<usize>().ok().and_then(|n| out.key_files.get_mut(n))
            {
                file.read = true;
                file.head = some(f[1]).unwrap_or_default();
                file.ends_line = some(f[2]).map(|last| last == "0a");
            }
        }
        "ak.lines" => {
            if let Some((f, _)) = fields(rest, 4)
                && let Some(file) = f[0].parse::<usize>().ok().and_then(|n| out.key_files.get_mut(n))
            {
                file.lines = f[1].parse().unwrap_or(0);
                file.keys = f[2].parse().ok();
                file.more = f[3].parse().unwrap_or(0);
            }
        }
        "ak" => {
            if let Some((f, options)) = fields(rest, 6)
                && let Some(file) = f[0].parse::<usize>().ok().and_then(|n| out.key_files.get_mut(n))
            {
                push(&mut file.entries, key_line(&f, options));
            }
        }
        _ => {}
    }
}

fn key_line(f: &[&str], options: &str) -> KeyLine {
    let kind = some(f[3]);
    let blob = some(f[4]).filter(|b| b != "...");
    let read = blob.as_ref().and_then(|blob| {
        // A line without its type word still has the key: the type stands in the data too.
        let kinds = ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"];
        match &kind {
            Some(kind) => key::public_of(&format!("{kind} {blob}")),
            None => kinds.iter().find_map(|kind| key::public_of(&format!("{kind} {blob}"))),
        }
    });
    let defects: Vec<String> = f[5].split(',').filter(|d| !d.is_empty() && *d != "-").map(owned).collect();
    let near = defects.iter().find_map(|d| d.strip_prefix("near")).and_then(|n| n.parse().ok());
    KeyLine {
        line: f[1].parse().unwrap_or(0),
        sound: blob.as_ref().map(|blob| read.is_some() && kind.as_ref().is_some_and(|kind| is_whole(kind, blob))),
        fingerprint: read.map(|(_, fingerprint)| fingerprint),
        kind,
        offered: f[2].parse().ok().filter(|n| *n > 0),
        near,
        defects: defects.into_iter().filter(|d| !d.starts_with("near")).collect(),
        options: options
            .split(';')
            .filter(|o| !o.is_empty() && *o != "-")
            .map(|o| o.split_once('=').map_or((owned(o), None), |(name, value)| (owned(name), Some(owned(value)))))
            .collect(),
    }
}

/// Whether the data of a key is all there: a piece of it can look right from its beginning.
fn is_whole(kind: &str, blob: &str) -> bool {
    let known = ["ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"];
    !known.contains(&kind) || ssh_key::PublicKey::from_openssh(&format!("{kind} {blob}")).is_ok()
}

fn resources(out: &mut Inside, word: &str, rest: &str) {
    let into = &mut out.resources;
    let Some((f, tail)) = fields(rest, rest.split(' ').count().min(4)) else { return };
    let number = |n: usize| f.get(n).and_then(|w| w.parse::<u64>().ok());
    match word {
        "df" => {
            if let Some((f, at)) = fields(rest, 2)
                && let (Ok(used), Ok(free)) = (f[0].parse(), f[1].parse::<i64>())
            {
                push(&mut into.disks, (owned(at), used, u64::try_from(free).unwrap_or(0)));
            }
        }
        "dfi" => {
            if let Some((f, at)) = fields(rest, 1)
                && let Ok(used) = f[0].parse()
            {
                push(&mut into.inodes, (owned(at), used));
            }
        }
        "root" => {
            into.root_read_only = Some(f.first() == Some(&"ro"));
            if let [_, kind, device] = f[..] {
                into.root_on = Some((owned(kind), owned(device)));
            }
        }
        "home.on" => {
            if let Some((f, at)) = fields(rest, 2) {
                into.home_on = Some((owned(f[0]), f[1] == "ro", owned(at)));
            }
        }
        "fstab" if f.len() == 4 => push(
            &mut into.fstab,
            Fstab {
                mounted: f[0] == "mounted",
                source: owned(f[1]),
                kind: owned(f[2]),
                options: owned(f[3]),
                at: owned(tail),
            },
        ),
        "mem" => {
            into.memory = number(0).zip(number(1));
            into.swap = number(2).zip(number(3));
        }
        "load" => {
            let average = |n: usize| f.get(n).and_then(|w| w.parse::<f64>().ok()).filter(|l| l.is_finite());
            into.load = average(0).zip(average(1));
            into.processors = number(2).and_then(|n| u32::try_from(n).ok());
        }
        "oom" => into.oom_kills = rest.parse().ok(),
        _ => {}
    }
}

fn firewall(out: &mut Inside, word: &str, rest: &str) {
    let into = &mut out.firewall;
    let (kind, line) = rest.split_once(' ').unwrap_or((rest, ""));
    match word {
        "fw" => match kind {
            "iptables" => push(&mut into.iptables, owned(line)),
            "ip6tables" => push(&mut into.ip6tables, owned(line)),
            _ => push(&mut into.bsd, owned(rest)),
        },
        "fw.cut" => push(&mut into.cut, rest.trim_start_matches("fw ").to_owned()),
        "nft" => push(&mut into.nft, owned(rest)),
        "nft.in" => push(&mut into.sets, (owned(line), kind == "yes")),
        "ufw" => into.ufw = Some(rest == "yes"),
        "firewalld" => push(&mut into.firewalld, owned(rest)),
        "hosts" if kind == "allow" => push(&mut into.hosts_allow, owned(line)),
        "hosts" => push(&mut into.hosts_deny, owned(line)),
        "fail2ban" => {
            if let Some((f, _)) = fields(rest, 3) {
                push(&mut into.fail2ban, (owned(f[0]), f[1].parse().unwrap_or(0), f[2] == "yes"));
            }
        }
        _ => {}
    }
}

/// A line of the journal (`SECONDS.FRACTION HOST PROGRAM[PID]: TEXT`) or of a file.
fn log(out: &mut Inside, word: &str, rest: &str) {
    let stamped = if word == "log" {
        rest.split_once(' ').and_then(|(stamp, tail)| {
            let whole = stamp.split('.').next().unwrap_or(stamp);
            whole.parse::<i64>().ok().map(|at| (at, tail))
        })
    } else {
        time::of_log(rest, out.at, out.zone_minutes)
    };
    let (at, tail) = stamped.map_or((None, rest), |(at, tail)| (Some(at), tail));
    let program = tail.split_once(": ").map_or("", |(head, _)| head);
    // What is before the first ": " is host and program, unless the line has neither.
    let has_program = !program.is_empty() && program.split(' ').count() <= 2;
    let pid = program.rsplit_once('[').and_then(|(_, pid)| pid.trim_end_matches(']').parse().ok());
    let text = if has_program { tail[program.len() + 2..].trim() } else { tail.trim() };
    push(&mut out.log, LogLine { at, pid, text: owned(text) });
}
