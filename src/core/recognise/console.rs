//! Recognises an EC2 console log: the last boot in it, its fault, and what it names.
//!
//! The log ends where the instance stopped talking: the worst fault of the last boot decides, and a
//! boot that reached its login prompt without a fault is healthy. It must not judge the network path.

use super::console_table::{FAULTS, Fault, GOOD};
use super::flat::Flat;
use super::{Extract, Kind, Recognised, clean, explain};
use regex::Regex;
use std::sync::LazyLock;

/// Lines that begin a boot: kernel, firmware, boot loader.
const BOOT: &[&str] = &[
    "linux version ",
    "seabios (version",
    "uefi firmware (version",
    "amazon ec2 uefi",
    "openrc ",
    "] booting linux on",
];
/// Words that only a console log has.
const CONSOLE_WORDS: &[&str] = &[
    "linux version ",
    "systemd[1]:",
    "[ ok ]",
    "[failed]",
    "kernel panic",
    "cloud-init v.",
    "cloud-init[",
    "ci-info:",
    "begin ssh host key",
    "reached target",
    "bios-e820",
    "emergency mode",
    "dropping to a shell",
    "grub rescue>",
    "(initramfs)",
    "dracut",
    "oom-killer",
    " kernel: ",
    "out of memory: kill",
    "xenbus:",
    "seabios",
    "unable to mount root fs",
    "give root password",
    "[depend]",
    "relabel is required",
    "no bootable",
    "ext4-fs (",
    "xfs (",
    "systemd-journald[",
    "/var/lib/cloud/instance",
    "cloudinit.",
    "xc_dom_parse_image",
    "filesystem type is",
    "errno 28",
    "started openssh",
    "grub>",
    "no space left on device",
];
/// Words that only a client, a tool or a server's log has.
const CLIENT_WORDS: &[&str] = &[
    "ssh: connect to host",
    "permission denied (",
    "debug1: ",
    "putty",
    "jschexception",
    "sshd[",
    "sshd-session[",
    "last login:",
    "traceback (most",
    "network error:",
    "kex_exchange_identification",
    "scp: ",
    "$ ssh ",
    "$ scp ",
    "ps c:",
    "rsync",
    "'s password:",
    "fatal error:",
];

static FINGERPRINT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\bSHA256:[A-Za-z0-9+/]{43}=?").ok());
static TABLE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"[Aa]uthorized keys? from \S+ for user ([A-Za-z_][A-Za-z0-9_.-]*)\+*").ok());
static NO_KEYS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)no authorized ssh keys fingerprints found for user ([A-Za-z_][A-Za-z0-9_.-]*[A-Za-z0-9_-]|[A-Za-z_])",
    )
    .ok()
});
static HEX: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\b(?:[0-9a-f]{2}:){15,31}[0-9a-f]{2}\b").ok());
static STAMPED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\[ *\d+\.\d{6}\] ").ok());

/// Whether a text reads like a console log rather than like a client's output.
pub fn looks_like_console(text: &str) -> bool {
    let (flat, _) = Flat::both(text);
    let stamped = flat.lines().filter(|(_, l)| STAMPED.as_ref().is_some_and(|re| re.is_match(l))).take(3).count();
    let prompt = flat.lines().any(|(_, l)| {
        l.split_once(" login:").is_some_and(|(host, _)| !host.is_empty() && !host.contains(' '))
            && !l.starts_with("Last")
    });
    let words = CONSOLE_WORDS.iter().filter(|w| flat.contains(w)).count() + usize::from(prompt);
    let clients = CLIENT_WORDS.iter().filter(|w| flat.contains(w)).count();
    stamped + words > clients
}

/// A sign of a fault, found in the log.
struct Found {
    fault: &'static Fault,
    rank: u8,
    pos: usize,
}

pub fn recognise(text: &str) -> Recognised {
    let (whole, _) = Flat::both(text);
    let (flat, _) = Flat::both(&last_boot(&clean::cap(text)));
    let found = signs(&flat);
    let best = found.iter().max_by_key(|f| (f.rank, f.pos)).map(|f| f.fault);
    let good = GOOD.iter().any(|p| !flat.find(p, 1).is_empty());
    let (symptom, mut also) = match best {
        Some(fault) => (fault.symptom, fault.also.iter().map(|a| (*a).to_owned()).collect()),
        None if good => ("healthy", Vec::new()),
        None => ("other", Vec::new()),
    };
    if symptom == "bootloader" && flat.contains("kernel panic") {
        also.push("kernel_panic".to_owned());
    }
    let mut deciding: Vec<&Found> = found.iter().filter(|f| f.fault.symptom == symptom).collect();
    deciding.sort_by_key(|f| (std::cmp::Reverse(f.rank), f.pos));
    let mut causes: Vec<String> = Vec::new();
    let mut evidence: Vec<String> = Vec::new();
    for f in deciding {
        if !f.fault.cause.is_empty() && !causes.iter().any(|c| c == f.fault.cause) {
            causes.push(f.fault.cause.to_owned());
        }
        let line = super::super::text::shorten(flat.line_at(f.pos), 300);
        if !evidence.contains(&line) && evidence.len() < 4 {
            evidence.push(line);
        }
    }
    let (console_user, console_key_fingerprints, without) = authorized_keys(&whole);
    if symptom == "sshd_failed" && causes.is_empty() {
        causes.push("sshd-config-invalid".to_owned());
    }
    if symptom == "kernel_panic" && !causes.iter().any(|c| c == "kernel-panic") {
        causes.insert(0, "kernel-panic".to_owned());
    }
    if without && flat.contains("datasourcenone") {
        causes.push("instance-without-keypair".to_owned());
    }
    Recognised {
        kind: Kind::Console,
        symptom: symptom.to_owned(),
        also,
        client: "unknown".to_owned(),
        extract: Extract::default(),
        explanation: explain::console(symptom).to_owned(),
        login_user_hint: None,
        command: None,
        causes,
        host_keys: host_keys(&whole),
        console_user,
        console_key_fingerprints,
        evidence,
    }
}

fn signs(flat: &Flat) -> Vec<Found> {
    let mut found = Vec::new();
    for fault in FAULTS {
        for (rank, pattern) in fault.signs {
            let places = flat.find(pattern, 3).into_iter().filter(|pos| !is_harmless(flat, *pos));
            found.extend(places.map(|pos| Found { fault, rank: *rank, pos }));
        }
    }
    found
}

/// Messages that look like faults in every healthy boot.
fn is_harmless(flat: &Flat, pos: usize) -> bool {
    let line = flat.line_at(pos).to_ascii_lowercase();
    line.contains("running module locale") || line.contains("update-locale")
}

/// The part of the log that belongs to the last boot. The firmware's and the boot loader's words
/// before the kernel's first line belong to the same boot.
fn last_boot(text: &str) -> String {
    let plain = clean::strip_controls(text);
    let lines: Vec<&str> = plain.split('\n').collect();
    let mut start = 0;
    let mut last: Option<usize> = None;
    for (i, line) in lines.iter().enumerate() {
        let lower = line.to_ascii_lowercase();
        let kernel = lower.contains("[    0.000000] linux version") || lower.contains("[    0.000000] booting linux");
        let begins = kernel || BOOT.iter().any(|b| lower.contains(b)) && !lower.contains("cloud-init");
        if begins {
            // Firmware, boot loader and kernel announce one boot: they follow each other closely.
            if last.is_none_or(|l| i > l + 60) && i > 0 {
                start = i;
            }
            last = Some(i);
        }
    }
    lines[start..].join("\n")
}

/// The host keys' fingerprints: cloud-init's list between BEGIN and END, and what ssh-keygen says
/// when cloud-init makes the keys (`SHA256:… root@host`). Never those of users' keys in sshd's log.
fn host_keys(flat: &Flat) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut inside = false;
    for (_, line) in flat.lines() {
        if line.contains("BEGIN SSH HOST KEY FINGERPRINTS") {
            inside = true;
        } else if line.contains("END SSH HOST KEY FINGERPRINTS") {
            inside = false;
        }
        let listed = inside || (line.contains(" root@") && !line.contains("sshd"));
        if listed && let Some(found) = FINGERPRINT.as_ref().and_then(|re| re.find(line)) {
            let value = found.as_str().trim_end_matches('=').to_owned();
            if !out.contains(&value) {
                out.push(value);
            }
        }
    }
    out
}

/// User and fingerprints of cloud-init's authorized-keys table, and whether it says that the user
/// has no key.
fn authorized_keys(flat: &Flat) -> (Option<String>, Vec<String>, bool) {
    let mut user = None;
    let mut without = false;
    let mut fingerprints: Vec<String> = Vec::new();
    for (_, line) in flat.lines() {
        let capture = |re: &Option<Regex>| {
            re.as_ref().and_then(|re| re.captures(line)).and_then(|c| Some(c.get(1)?.as_str().to_owned()))
        };
        if let Some(name) = capture(&TABLE) {
            user = Some(name);
            without = false;
        } else if line.contains("no authorized")
            && let Some(name) = capture(&NO_KEYS)
        {
            user = user.or(Some(name));
            without = true;
        } else if line.contains("ci-info") || line.starts_with("ssh-") {
            let typed = ["ssh-", "ecdsa-", "sk-"].iter().any(|t| line.contains(t));
            if typed && let Some(found) = HEX.as_ref().and_then(|re| re.find(line)) {
                fingerprints.push(found.as_str().to_owned());
            }
        }
    }
    (user, fingerprints, without)
}
