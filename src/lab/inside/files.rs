//! The part of a look that is about files: modes and owners, SELinux, what is in authorized_keys.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::Host;
use super::server;
use crate::lab::ids;
use crate::lab::scenario::{HostKeys, KeyFile};
use crate::lab::world::Node;

const DIRECTORY: u32 = 0x4000;
const REGULAR: u32 = 0x8000;

/// Where sshd looks for keys, and the usual place if that is another.
fn key_files(host: &Host<'_>) -> Vec<(String, bool)> {
    let Some(home) = host.home() else {
        return Vec::new();
    };
    let usual = format!("{home}/.ssh/authorized_keys");
    let told = host.instance.sshd.authorized_keys_file.as_ref().filter(|_| server::speaks(host));
    match told {
        None if host.debian() || !server::speaks(host) => {
            vec![(usual, true), (format!("{home}/.ssh/authorized_keys2"), true)]
        }
        None => vec![(usual, true)],
        Some(words) => {
            let mut all: Vec<(String, bool)> = words
                .split_whitespace()
                .filter(|word| *word != "none")
                .map(|word| word.replace("%u", &host.asked.user).replace("%h", &home))
                .map(|path| (if path.starts_with('/') { path } else { format!("{home}/{path}") }, true))
                .collect();
            if !all.iter().any(|(path, _)| *path == usual) {
                all.push((usual, false));
            }
            all
        }
    }
}

/// Type and mode, owner, group and size of a path; `None` if nothing is there.
fn stat(host: &Host<'_>, path: &str) -> Option<(u32, u32, u32, u32)> {
    let os = &host.instance.os;
    let id = |node: &Node| match &node.owner {
        owner if owner == "root" => 0,
        owner if host.user.is_some_and(|user| user.name == *owner) => host.user.map_or(0, |user| user.uid),
        _ => 1050,
    };
    let of = |kind: u32, node: &Node, size: u32| Some((kind | node.mode, id(node), id(node), size));
    let fixed = |mode: u32, size: u32| Some((mode, 0, 0, size));
    if let (Some(user), Some(home)) = (host.user, host.home()) {
        let gone = os.home_unmounted && host.faulty();
        if path == home {
            // An unmounted home leaves the directory above it empty.
            return if gone { None } else { of(DIRECTORY, &user.home, 4096) };
        }
        if path == format!("{home}/.ssh") {
            return if gone { None } else { of(DIRECTORY, &user.ssh, 29) };
        }
        if path == format!("{home}/.ssh/authorized_keys") {
            return match user.form {
                _ if gone => None,
                KeyFile::Absent => None,
                KeyFile::Directory => of(DIRECTORY, &user.file, 6),
                _ => of(REGULAR, &user.file, text(host).len() as u32),
            };
        }
    }
    match path {
        "/" => fixed(DIRECTORY | 0o755, 4096),
        "/home" => fixed(DIRECTORY | host.instance.parent_mode, 4096),
        "/etc/ssh/ssh_host_ed25519_key" => match os.host_keys {
            HostKeys::Missing => None,
            HostKeys::Good => fixed(REGULAR | 0o600, 399),
            HostKeys::Open => fixed(REGULAR | 0o666, 399),
        },
        "/bin/bash" | "/usr/bin/bash" | "/usr/sbin/nologin" | "/sbin/nologin" | "/bin/false" | "/usr/bin/false"
        | "/usr/bin/zsh" => (!(os.shell_missing && path == os.shell)).then_some((REGULAR | 0o755, 0, 0, 1_265_648)),
        path if path == server::privsep(host) => {
            if os.no_privsep {
                None
            } else {
                fixed(DIRECTORY | 0o711, 40)
            }
        }
        path if server::helper(host).is_some_and(|helper| helper == path) => fixed(REGULAR | 0o755, 1320),
        "/opt" | "/opt/aws" | "/opt/aws/bin" | "/usr" | "/usr/share" | "/usr/share/ec2-instance-connect" => {
            fixed(DIRECTORY | 0o755, 4096)
        }
        _ => None,
    }
}

fn ancestors(path: &str) -> Vec<String> {
    let mut all = vec![path.to_owned()];
    let mut rest = path;
    while let Some((parent, _)) = rest.rsplit_once('/') {
        if parent.is_empty() {
            break;
        }
        all.push(parent.to_owned());
        rest = parent;
    }
    all.push("/".to_owned());
    all
}

pub(super) fn paths(host: &Host<'_>, out: &mut Vec<String>) {
    let files = key_files(host);
    if !server::speaks(host) {
        out.push("akf.assumed yes".to_owned());
    }
    for (number, (path, used)) in files.iter().enumerate() {
        out.push(format!("{} {number} {path}", if *used { "akf" } else { "akf.unused" }));
    }
    let mut all = Vec::new();
    if let Some(home) = host.home() {
        for path in std::iter::once(&home).chain(files.iter().map(|(path, _)| path)) {
            if path == &home || stat(host, path).is_some() || stat(host, &ancestors(path)[1]).is_some() {
                out.push(format!("real {path} => {path}"));
            }
            all.extend(ancestors(path));
        }
    }
    let shell = if host.faulty() { host.instance.os.shell.as_str() } else { "/bin/bash" };
    // /bin and /sbin are links on every family here.
    let real = if shell.starts_with("/usr/") { shell.to_owned() } else { format!("/usr{shell}") };
    if host.user.is_some() && stat(host, shell).is_some() {
        out.push(format!("real {shell} => {real}"));
    }
    if let Some(helper) = server::helper(host) {
        out.push(format!("eic {helper}"));
    }
    all.push("/etc/ssh/ssh_host_ed25519_key".to_owned());
    if host.user.is_some() {
        all.push(shell.to_owned());
    }
    if let Some(helper) = server::helper(host).filter(|_| server::speaks(host)) {
        all.extend(ancestors(helper));
    }
    if host.user.is_some() {
        all.push(real);
    }
    for path in ["/run/sshd", "/var/empty/sshd", "/usr/share/empty.sshd", "/var/lib/empty", "/var/empty"] {
        all.push(path.to_owned());
    }
    let mut seen = Vec::new();
    let mut groups = Vec::new();
    for path in all {
        if seen.contains(&path) {
            continue;
        }
        match stat(host, &path) {
            Some((mode, uid, gid, size)) => {
                out.push(format!("path {mode:x} {uid} {gid} {size} 1756711841 {path}"));
                if !groups.contains(&gid) {
                    groups.push(gid);
                }
            }
            None => out.push(format!("path - {path}")),
        }
        seen.push(path);
    }
    for gid in groups {
        let name = match gid {
            0 => "root".to_owned(),
            1000 => host.user.map_or_else(|| "users".to_owned(), |user| user.name.clone()),
            _ => "ansible".to_owned(),
        };
        out.push(format!("grp {gid} {name} - {gid}"));
    }
    access(host, &files, out);
}

/// What the kernel lets the user themselves open.
fn access(host: &Host<'_>, files: &[(String, bool)], out: &mut Vec<String>) {
    let (Some(home), Some(user)) = (host.home(), host.user) else {
        return;
    };
    let may = |path: &str, bit: u32| {
        stat(host, path)
            .is_some_and(|(mode, uid, ..)| user.uid == 0 || mode >> (if uid == user.uid { 6 } else { 0 }) & bit != 0)
    };
    let way = |path: &str| ancestors(path).iter().skip(1).all(|path| may(path, 1));
    let word = |good: bool| if good { "yes" } else { "no" };
    out.push(format!("access {} {home}", word(may(&home, 1) && way(&home))));
    for (path, _) in files {
        out.push(format!("access {} {path}", word(may(path, 4) && way(path))));
    }
    if host.instance.os.immutable {
        out.push(format!("attr ----i---------e------- {home}/.ssh/authorized_keys"));
    }
}

pub(super) fn labels(host: &Host<'_>, out: &mut Vec<String>) {
    let os = &host.instance.os;
    let mode = match (&os.selinux, host.debian()) {
        (None, true) => {
            out.push("selinux none".to_owned());
            return;
        }
        (Some(_), _) => "enforcing",
        (None, false) => "permissive",
    };
    out.push(format!("selinux {mode}"));
    let Some(home) = host.home() else {
        return;
    };
    let file = os.selinux.as_deref().filter(|_| host.faulty()).unwrap_or("ssh_home_t");
    let all = [
        (home.clone(), "user_home_dir_t", "user_home_dir_t"),
        (format!("{home}/.ssh"), "ssh_home_t", "ssh_home_t"),
        (format!("{home}/.ssh/authorized_keys"), file, "ssh_home_t"),
    ];
    let there: Vec<_> = all.iter().filter(|(path, ..)| stat(host, path).is_some()).collect();
    for (path, have, _) in &there {
        out.push(format!("label unconfined_u:object_r:{have}:s0 {path}"));
    }
    for (path, _, want) in &there {
        out.push(format!("label.want unconfined_u:object_r:{want}:s0 {path}"));
    }
    if file != "ssh_home_t" && mode == "enforcing" {
        out.push(format!(
            "avc type=AVC msg=audit({}.117:418): avc:  denied  {{ read }} for  pid=2210 comm=\"sshd\" name=\"authorized_keys\" dev=\"nvme0n1p1\" ino=8409121 scontext=system_u:system_r:sshd_t:s0-s0:c0.c1023 tcontext=unconfined_u:object_r:{file}:s0 tclass=file permissive=0",
            host.now.saturating_sub(40)
        ));
    }
}

/// The type word and base64 of an installed key.
fn words(blob: &[u8]) -> (&'static str, String) {
    let rsa = blob.get(4..11) == Some(b"ssh-rsa");
    (if rsa { "ssh-rsa" } else { "ssh-ed25519" }, STANDARD.encode(blob))
}

/// What `write` makes of each key, one after the other.
fn each(keys: &[(&str, String)], write: impl Fn(&str, &str) -> String) -> String {
    keys.iter().map(|(kind, key)| write(kind, key)).collect::<Vec<_>>().concat()
}

/// The content of authorized_keys.
fn text(host: &Host<'_>) -> String {
    let Some(user) = host.user else {
        return String::new();
    };
    let keys: Vec<_> = user.keys.iter().map(|blob| words(blob)).collect();
    let options = if user.options.is_empty() { String::new() } else { format!("{} ", user.options) };
    let added = user.added.iter().map(|blob| words(blob));
    let added = added.fold(String::new(), |all, (kind, key)| all + &format!("{kind} {key} added-by-port22\n"));
    let first = match user.form {
        KeyFile::Absent | KeyFile::Directory => String::new(),
        KeyFile::Good => each(&keys, |kind, key| format!("{options}{kind} {key} practice\n")),
        // A key was appended to a last line without an end.
        KeyFile::Joined => each(&keys, |kind, key| format!("{kind} {key}")) + "\n",
        KeyFile::Wrapped => each(&keys, |kind, key| {
            let (first, rest) = key.split_at(key.len().min(64));
            format!("{kind} {first}\n{rest} practice\n")
        }),
        KeyFile::Rfc4716 => each(&keys, |_, key| {
            format!("---- BEGIN SSH2 PUBLIC KEY ----\nComment: \"practice\"\n{key}\n---- END SSH2 PUBLIC KEY ----\n")
        }),
    };
    first + &added
}

pub(super) fn keys(host: &Host<'_>, out: &mut Vec<String>) {
    let files = key_files(host);
    for (number, (path, _)) in files.iter().enumerate() {
        let Some((mode, .., size)) = stat(host, path) else {
            continue;
        };
        if mode & 0xf000 != REGULAR {
            continue;
        }
        let content = text(host);
        if size == 0 || content.is_empty() {
            out.push(format!("ak.file {number} - -"));
            out.push(format!("ak.lines {number} 0 0 0"));
            continue;
        }
        let first = ids::hex(&content.as_bytes()[..content.len().min(4)]);
        let last = ids::hex(&content.as_bytes()[content.len() - 1..]);
        out.push(format!("ak.file {number} {first} {last}"));
        let mut total = 0;
        let mut lines = 0;
        for (at, line) in content.lines().enumerate() {
            lines = at + 1;
            let (shown, counts) = judged(host, line);
            total += usize::from(counts);
            out.push(format!("ak {number} {lines} {shown}"));
        }
        out.push(format!("ak.lines {number} {lines} {total} 0"));
    }
    if stat(host, "/etc/ssh/ssh_host_ed25519_key").is_some() {
        let print = host.instance.host_key.sha256();
        out.push(format!("hostkey 256 SHA256:{print} (ED25519) /etc/ssh/ssh_host_ed25519_key"));
    }
    if server::helper(host).is_some() && server::speaks(host) {
        let word = if host.instance.os.broken_helper { "no" } else { "yes" };
        out.push(format!("akc.user {word} ec2-instance-connect"));
    }
}

/// A line of authorized_keys as the look tells it: which of the asked keys it is, type, base64, what is odd, options.
fn judged(host: &Host<'_>, line: &str) -> (String, bool) {
    if line.starts_with("---- ") {
        return ("0 - - rfc4716 -".to_owned(), false);
    }
    let types = ["ssh-ed25519", "ssh-rsa"];
    let at = types.iter().filter_map(|kind| line.find(&format!("{kind} "))).min();
    let (mut kind, mut blob, mut odd, mut options) = ("-", "-".to_owned(), Vec::new(), "-".to_owned());
    if let Some(at) = at {
        if at > 0 {
            options = short(&line[..at]);
        }
        let mut words = line[at..].split_whitespace();
        let first = words.next().unwrap_or_default();
        kind = types.into_iter().find(|kind| *kind == first).unwrap_or("-");
        words.next().unwrap_or("-").clone_into(&mut blob);
        if types.iter().any(|kind| blob.ends_with(kind)) {
            odd.push("joined".to_owned());
        }
    } else if line.starts_with("AAAA") {
        odd.push("notype".to_owned());
        line.split_whitespace().next().unwrap_or("-").clone_into(&mut blob);
    } else {
        odd.push("garbled".to_owned());
    }
    let bare = blob.trim_end_matches('=').to_owned();
    let mut hit = 0;
    for (number, key) in host.asked.keys.iter().enumerate() {
        if *key == bare {
            hit = number + 1;
        } else if bare.starts_with(&key[..key.len().min(60)]) || line.contains(key.as_str()) {
            odd.push(format!("near{}", number + 1));
        }
    }
    let odd = if odd.is_empty() { "-".to_owned() } else { odd.join(",") };
    (format!("{hit} {kind} {blob} {odd} {options}"), true)
}

/// Names of options, with the values of those that decide.
fn short(options: &str) -> String {
    let mut all = Vec::new();
    let mut quoted = false;
    let parts = options.trim().split(|letter| {
        quoted ^= letter == '"';
        letter == ',' && !quoted
    });
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let name = name.to_lowercase();
        all.push(match name.as_str() {
            "from" | "expiry-time" => format!("{name}={}", value.replace(['"', ' ', ';'], "")),
            _ => name,
        });
    }
    all.join(";")
}
