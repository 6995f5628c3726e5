//! What a look inside a host shows: the output that the look's script would print on such a host.
//!
//! The script itself cannot run here, for the hosts are only told of. Its output is made from the same state that
//! `sshd` judges by, in the script's own order and form (`port22-inside 1`). Used by `api`. Must not change anything.

mod files;
mod server;

use super::scenario::Firewall;
use super::world::{Instance, User, World};

/// The output ends before Systems Manager would cut it.
const ROOM: usize = 23_800;

/// True for a script that looks inside.
pub(super) fn is_look(script: &str) -> bool {
    script.contains("port22-inside")
}

/// What the script was told: `P22_USER='ec2-user'` and so on, each on a line of its own.
struct Asked {
    user: String,
    addr: String,
    port: String,
    /// Base64 of the keys, without the type.
    keys: Vec<String>,
}

impl Asked {
    fn read(script: &str) -> Self {
        let value = |name: &str| {
            let line = script.lines().find_map(|line| {
                let words = line.trim().trim_start_matches("export ").strip_prefix(name)?.strip_prefix('=')?;
                // Several assignments may share a line.
                let quote = words.chars().next().filter(|first| matches!(first, '\'' | '"'));
                Some(match quote {
                    Some(quote) => words[1..].split(quote).next().unwrap_or_default().to_owned(),
                    None => words.split([' ', ';']).next().unwrap_or_default().to_owned(),
                })
            });
            line.unwrap_or_default()
        };
        let keys = (1..=4).map(|number| value(&format!("P22_KEY{number}")));
        let keys = keys.filter_map(|key| Some(key.split_whitespace().nth(1)?.trim_end_matches('=').to_owned()));
        Self { user: value("P22_USER"), addr: value("P22_ADDR"), port: value("P22_PORT"), keys: keys.collect() }
    }
}

/// One host, and what the parts of the look have in common.
struct Host<'a> {
    world: &'a World,
    instance: &'a Instance,
    asked: Asked,
    family: &'a str,
    /// The account that was asked about.
    user: Option<&'a User>,
    now: u64,
}

impl Host<'_> {
    fn debian(&self) -> bool {
        matches!(self.family, "debian" | "ubuntu")
    }

    fn home(&self) -> Option<String> {
        self.user.map(|user| if user.uid == 0 { "/root".to_owned() } else { format!("/home/{}", user.name) })
    }

    /// The faults of a scenario are those of the default user.
    fn faulty(&self) -> bool {
        self.user.is_some_and(|user| user.uid != 0)
    }

    fn host_name(&self) -> String {
        format!("ip-{}", self.instance.private.to_string().replace('.', "-"))
    }
}

/// The whole output.
pub(super) fn look(world: &World, instance: &Instance, script: &str) -> String {
    let asked = Asked::read(script);
    let family = world.image_of(instance).map_or("al2023", |image| image.spec.family.as_str());
    let user = instance.users.iter().find(|user| user.name == asked.user);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |age| age.as_secs());
    let host = Host { world, instance, asked, family, user, now };
    let mut lines = Vec::new();
    system(&host, &mut lines);
    account(&host, &mut lines);
    server::listeners(&host, &mut lines);
    server::settings(&host, &mut lines);
    files::paths(&host, &mut lines);
    files::labels(&host, &mut lines);
    files::keys(&host, &mut lines);
    extras(&host, &mut lines);
    room(&host, &mut lines);
    filters(&host, &mut lines);
    server::log(&host, &mut lines);
    let (mut out, mut shown, mut cut) = ("port22-inside 1\n".to_owned(), 0, 0);
    for line in lines {
        if out.len() + line.len() + 1 > ROOM {
            cut += 1;
        } else {
            out.push_str(&line);
            out.push('\n');
            shown += 1;
        }
    }
    out + &format!("port22-inside-end {shown} {cut} whole\n")
}

fn system(host: &Host<'_>, out: &mut Vec<String>) {
    let asked = &host.asked;
    out.push(format!("at {}", host.now));
    out.push("up 1041420".to_owned());
    out.push("zone +0000".to_owned());
    out.push("uid 0".to_owned());
    out.push("kernel Linux 6.1.147-172.266".to_owned());
    out.push(format!("ask.user {}", asked.user));
    out.push(format!("ask.addr {}", asked.addr));
    out.push(format!("ask.port {}", asked.port));
    out.push("timeout new".to_owned());
    let (id, version, like) = match host.family {
        "ubuntu" => ("ubuntu", "24.04", "debian"),
        "debian" => ("debian", "12", ""),
        "rhel" => ("rhel", "9.4", "fedora"),
        _ => ("amzn", "2023", "fedora"),
    };
    let pretty = host.world.image_of(host.instance).map_or("Linux", |image| image.spec.pretty.as_str());
    out.push(format!("os.name {pretty}"));
    out.push(format!("os.id {id}"));
    out.push(format!("os.version {version}"));
    if !like.is_empty() {
        out.push(format!("os.like {like}"));
    }
    out.push("init systemd".to_owned());
    let failed = server::failed(host);
    out.push(format!("system {}", if failed.is_empty() { "running" } else { "degraded" }));
    out.push(format!("failed {} {}", failed.len(), failed.join(" ")).trim_end().to_owned());
}

fn account(host: &Host<'_>, out: &mut Vec<String>) {
    let os = &host.instance.os;
    if host.asked.user.is_empty() {
        return;
    }
    match host.user {
        None => {
            out.push("passwd.nss -".to_owned());
            out.push("passwd.file -".to_owned());
        }
        Some(user) => {
            let shell = if host.faulty() { os.shell.as_str() } else { "/bin/bash" };
            let home = host.home().unwrap_or_default();
            let entry = format!("{0}:{1}:{1}:{home}:{shell}", user.name, user.uid);
            out.push(format!("passwd.nss {entry}"));
            out.push(format!("passwd.file {entry}"));
            let (ids, names) = match (user.uid, host.debian()) {
                (0, _) => ("0".to_owned(), "root".to_owned()),
                (_, true) => ("1000 4 27".to_owned(), format!("{} adm sudo", user.name)),
                (_, false) => ("1000 4 10 190".to_owned(), format!("{} adm wheel systemd-journal", user.name)),
            };
            out.push(format!("groups {ids}"));
            out.push(format!("groupnames {names}"));
            let listed = ["/bin/bash", "/bin/sh", "/usr/bin/bash", "/usr/bin/zsh"].contains(&shell);
            out.push(format!("shells {}", if listed { "yes" } else { "no" }));
            let class = match (host.faulty() && os.locked, host.instance.password, host.instance.sshd.use_pam) {
                (true, ..) => "!!",
                (false, true, _) => "hash",
                (false, false, true) => "!!",
                (false, false, false) => "*",
            };
            let changed = if host.faulty() && os.change_password { 0 } else { 20332 };
            let expires = if host.faulty() && os.expired { "20300" } else { "-" };
            out.push(format!("shadow {class} {changed} 99999 - {expires}"));
        }
    }
    out.push(format!("passwords {}", u8::from(host.instance.password)));
    if os.nologin {
        out.push("nologin 1 /etc/nologin".to_owned());
    }
    out.push(format!("nsswitch {}", if host.debian() { "files systemd" } else { "sss files systemd" }));
}

fn extras(host: &Host<'_>, out: &mut Vec<String>) {
    let os = &host.instance.os;
    out.push("ssm 3.3.2299.0".to_owned());
    out.push(format!("cloudinit {}", if os.cloud_init_error { "error" } else { "done" }));
    let fips = host.instance.sshd.fips;
    out.push(format!("fips {}", u8::from(fips)));
    if !host.debian() {
        out.push(format!("cryptopolicy {}", if fips { "FIPS" } else { "DEFAULT" }));
    }
}

fn room(host: &Host<'_>, out: &mut Vec<String>) {
    let os = &host.instance.os;
    let kilobytes = 8_310_764_u64;
    let free = kilobytes * u64::from(100 - os.disk.min(100)) / 100;
    out.push(format!("df {} {free} /", os.disk));
    out.push("dfi 3 /".to_owned());
    out.push(format!("root rw {} /dev/nvme0n1p1", if host.debian() { "ext4" } else { "xfs" }));
    if host.home().is_some() {
        if os.home_unmounted && host.faulty() {
            out.push("fstab unmounted /dev/sdf xfs defaults,nofail /home".to_owned());
        }
        out.push(format!("home.on {} rw /", if host.debian() { "ext4" } else { "xfs" }));
    }
    out.push(format!("mem 967680 {} 0 0", os.memory * 1024));
    out.push(format!("load {:.2} {:.2} 2", os.load, os.load * 0.9));
    out.push(format!("oom {}", os.oom));
}

fn filters(host: &Host<'_>, out: &mut Vec<String>) {
    let (os, port) = (&host.instance.os, &host.asked.port);
    if let Some(firewall) = os.firewall {
        let last = match firewall {
            Firewall::Drop => "DROP",
            Firewall::Reject => "REJECT --reject-with tcp-reset",
        };
        out.push("fw iptables -P INPUT ACCEPT".to_owned());
        out.push("fw iptables -A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT".to_owned());
        out.push(format!("fw iptables -A INPUT -p tcp -m tcp --dport {port} -j {last}"));
    } else {
        out.push("fw iptables -P INPUT ACCEPT".to_owned());
    }
    if os.hosts_deny {
        out.push("hosts deny sshd: ALL".to_owned());
    }
    out.push(format!("libwrap {}", if host.debian() { "yes" } else { "no" }));
    if os.banned {
        out.push("fail2ban sshd 1 yes".to_owned());
    }
    if !host.debian() {
        out.push("faillock 0".to_owned());
    }
    out.push("pam sshd account required pam_nologin.so".to_owned());
    out.extend(os.pam.iter().map(|line| format!("pam {line}")));
    out.extend(os.access.iter().map(|line| format!("access.line {line}")));
}
