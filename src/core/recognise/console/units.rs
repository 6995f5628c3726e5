//! Units that systemd could not start, mount or wait for, sorted by what they are for.
//!
//! systemd cuts the middle out of long names (`networking…ce - Raise network interfaces`) and has
//! changed its wording with every version, so names are told by their words, within their line. It
//! must not judge how the boot ended.

use super::super::flat::Flat;
use super::table::{Fault, Phase};

/// Bytes of a line that a unit's name may fill.
const LONGEST_NAME: usize = 140;
/// A log repeats itself: no more places of one wording than these are looked at.
const MOST_PLACES: usize = 200;
/// A start job that has run so many seconds is what the boot waits for.
const LONG_WAIT: u64 = 60;
/// A network that is awaited so many seconds has no answer yet.
const SHORT_WAIT: u64 = 15;

const fn fault(symptom: &'static str, cause: &'static str, also: &'static [&'static str], phase: Phase) -> Fault {
    Fault { symptom, cause, also, phase, signs: &[] }
}

static SSHD: Fault = fault("sshd_failed", "", &[], Phase::Sshd);
static SSHD_KEYS: Fault = fault("sshd_failed", "hostkeys-missing", &[], Phase::Sshd);
static SSHD_SOCKET: Fault = fault("sshd_failed", "port-in-use", &[], Phase::Sshd);
static NETWORK: Fault = fault("network_failure", "guest-network-failed", &[], Phase::Network);
/// The network was still awaited when the log ended; a boot that ended has overcome it.
static NETWORK_WAIT: Fault = fault("network_failure", "guest-network-failed", &["other"], Phase::Mount);
static CLOUD: Fault = fault("cloud_init_failure", "user-data-failed", &[], Phase::Lasting);
static IGNITION: Fault =
    fault("cloud_init_failure", "user-data-failed", &["fstab_emergency", "bootloader"], Phase::Root);
static ROOT: Fault = fault("bootloader", "boot-device-missing", &["fstab_emergency"], Phase::Root);
static MOUNT: Fault = fault("fstab_emergency", "fstab-emergency-mode", &[], Phase::Mount);
static HOME: Fault = fault("other", "home-not-mounted", &["fstab_emergency"], Phase::Lasting);
static SESSIONS: Fault = fault("other", "nologin-file", &["booting_nologin"], Phase::Lasting);
static WAITING: Fault = fault("other", "boot-in-progress", &[], Phase::Mount);

/// Mount points of the kernel's own file systems and of packages: a failure costs one feature.
const SMALL_MOUNTS: &[&str] = &[
    "mount unit for",
    "huge pages",
    "debug file",
    "posix message",
    "arbitrary exec",
    "rpc pipe",
    "nfsd config",
    "/sys",
    "kernel ",
    "fuse control",
    "/proc",
    "/snap",
    "temporary directory",
    "/run/",
    "/dev/",
    "cgroup",
];
const NETWORK_WORDS: &[&str] = &[
    "raise network interfaces",
    "network.serv",
    "networking",
    "network service",
    "network configuration",
    "network manager",
    "networkmanager",
    "systemd-networkd.",
    "wicked",
    "bring up/down networking",
    "dhcp client",
    "dhcpcd",
    "dhclient",
    "netplan",
    "ifup@",
    "ifup for ",
    "network interface",
    "netctl",
];
const NOT_NETWORK: &[&str] =
    &["name resolution", "resolved", "dispatch", "network time", "network file", "policy", "statistics", "firewall"];
const CLOUD_WORDS: &[&str] = &[
    "cloud-init",
    "cloud-config",
    "cloud-final",
    "cloudinit",
    "cloud user/final",
    "settings specified in cloud",
    "metadata service crawler",
    "userdata",
    "user-data",
    "user data",
    "amazon-init",
    "early-boot-config",
];

/// A unit's failure: its fault, rank, and position.
pub type Failure = (&'static Fault, u8, usize);

/// The failures of units in a log.
pub fn failures(flat: &Flat) -> Vec<Failure> {
    let mut out = Vec::new();
    let mut each = |words: &str, judge: fn(&str) -> Vec<(&'static Fault, u8)>| {
        let places = flat.lower.match_indices(words).map(|(pos, _)| pos);
        // The last ones tell how it ended.
        let all: Vec<usize> = places.collect();
        for pos in &all[all.len().saturating_sub(MOST_PLACES)..] {
            let name = name_at(flat, pos + words.len());
            out.extend(judge(name).into_iter().map(|(fault, rank)| (fault, rank, *pos)));
        }
    };
    each("failed to start ", not_started);
    each("dependency failed for ", dependency);
    each("failed to mount ", not_mounted);
    each("failed to listen on ", |name| if is_ssh(name) { vec![(&SSHD_SOCKET, 76)] } else { Vec::new() });
    each("a start job is running for ", waiting);
    each(" job ", |name| match name.split_once("/start running ") {
        Some((unit, times)) if !unit.contains(' ') => waiting(&format!("{unit} {times}")),
        _ => Vec::new(),
    });
    out
}

/// The name that begins here, to the end of its line.
fn name_at(flat: &Flat, start: usize) -> &str {
    let end = flat.line_bounds(start).1.min(start + LONGEST_NAME);
    let end = flat.lower.floor_char_boundary(end);
    let name = flat.lower.get(start..end).unwrap_or_default();
    let stops = ["see 'systemctl", " [ ok ]", " [failed]", " systemd[1]:", ". "];
    let cut = stops.iter().filter_map(|s| name.find(s)).min().unwrap_or(name.len());
    name[..cut].trim()
}

fn any(name: &str, words: &[&str]) -> bool {
    words.iter().any(|w| name.contains(w))
}

fn is_ssh(name: &str) -> bool {
    let words = ["openbsd secure shell", "openssh", "secure shell", "ssh daemon", "ssh server", "sshd.", "sshd server"];
    (any(name, &words) || name.starts_with("ssh.") || name.starts_with("sshd") || name == "ssh")
        && !any(name, &["per-connection", "per connection", "agent", "harvest", "tunnel", "unix-local", "vsock"])
}

fn is_network(name: &str) -> bool {
    any(name, NETWORK_WORDS) && !any(name, NOT_NETWORK)
}

fn is_wait_online(name: &str) -> bool {
    any(name, &["wait for network", "wait-online", "networkd-w", "network is online", "network to be configured"])
}

fn not_started(name: &str) -> Vec<(&'static Fault, u8)> {
    let one = |fault, rank| vec![(fault, rank)];
    if any(name, &["keygen", "key generation", "host keys", "host key generation", "ssh keys"])
        && (name.contains("ssh") || name.contains("server"))
    {
        one(&SSHD_KEYS, 74)
    } else if is_ssh(name) {
        one(&SSHD, 76)
    } else if is_wait_online(name) {
        one(&NETWORK, 68)
    } else if name.contains("ignition") {
        one(&IGNITION, 87)
    } else if any(name, CLOUD_WORDS) {
        one(&CLOUD, 60)
    } else if is_network(name) {
        one(&NETWORK, 72)
    } else if any(name, &["switch root", "switch-root", "initrd-switch"]) {
        one(&ROOT, 92)
    } else if any(name, &["file system check", "systemd-fsck"]) {
        one(&MOUNT, 86)
    } else if any(name, &["remount root", "systemd-remount-fs"]) {
        one(&MOUNT, 54)
    } else if any(
        name,
        &["dracut initqueue", "dracut pre-mount", "dracut mount hook", "dracut-initqueue", "dracut-mount"],
    ) {
        one(&ROOT, 90)
    } else if any(name, &["cryptography setup", "systemd-cryptsetup"]) {
        one(&MOUNT, 58)
    } else if any(name, &["permit user sessions", "user-sessions"]) {
        one(&SESSIONS, 44)
    } else {
        Vec::new()
    }
}

fn dependency(name: &str) -> Vec<(&'static Fault, u8)> {
    let one = |fault, rank| vec![(fault, rank)];
    if any(name, &["/sysroot", "sysroot.mount", "initrd root", "initrd-root", "initrd default", "initrd.target"]) {
        one(&ROOT, 90)
    } else if any(name, &["local file systems", "local-fs.target"]) && !name.contains("pre") {
        one(&MOUNT, 84)
    } else if name.contains("ignition") {
        one(&IGNITION, 61)
    } else if name.starts_with('/') || name.contains(".mount - ") || name.contains("file system check") {
        not_mounted(name).into_iter().map(|(fault, rank)| (fault, rank.min(50))).collect()
    } else if is_ssh(name) {
        one(&SSHD, 66)
    } else if is_network(name) {
        one(&NETWORK, 66)
    } else {
        Vec::new()
    }
}

fn not_mounted(name: &str) -> Vec<(&'static Fault, u8)> {
    if name.contains("sysroot") {
        return vec![(&ROOT, 90)];
    }
    if SMALL_MOUNTS.iter().any(|w| name.starts_with(w) || name.contains(&format!("- {w}"))) {
        return Vec::new();
    }
    let home = name.starts_with("/home") || name.starts_with("home.mount") || name.starts_with("home-");
    if home { vec![(&MOUNT, 50), (&HOME, 42)] } else { vec![(&MOUNT, 50)] }
}

/// `/dev/disk/by-uuid/… (1min 5s / 1min 30s)`: what the boot waits for, and for how long.
fn waiting(name: &str) -> Vec<(&'static Fault, u8)> {
    let Some((what, times)) = name.rsplit_once('(') else { return Vec::new() };
    let elapsed: u64 = times.split('/').next().unwrap_or_default().split_whitespace().map(seconds).sum();
    let network = is_network(what) || is_wait_online(what);
    if elapsed < LONG_WAIT {
        return if network && elapsed >= SHORT_WAIT { vec![(&NETWORK_WAIT, 40)] } else { Vec::new() };
    }
    if network {
        vec![(&NETWORK, 64)]
    } else if any(what, &["/dev/", "dev-", "disk-by", ".device"]) && !what.contains("tty") {
        vec![(&MOUNT, 56)]
    } else {
        vec![(&WAITING, 32)]
    }
}

/// `1min`, `5s`: one part of systemd's time spans.
fn seconds(part: &str) -> u64 {
    let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = part[..digits].parse().unwrap_or(0);
    match part[digits..].trim_end_matches(')') {
        "s" => number,
        "min" => number.saturating_mul(60),
        "h" => number.saturating_mul(3600),
        "d" => number.saturating_mul(86_400),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Option<(&'static str, &'static str)> {
        failures(&Flat::both(text).0).first().map(|(fault, _, _)| (fault.symptom, fault.cause))
    }

    #[test]
    fn units_are_told_by_their_words() {
        for (text, wanted) in [
            ("[FAILED] Failed to start OpenBSD Secure Shell server.", Some(("sshd_failed", ""))),
            ("[FAILED] Failed to start ssh.servic…- OpenBSD Secure Shell server.", Some(("sshd_failed", ""))),
            ("Failed to start OpenSSH ed25519 Server Key Generation.", Some(("sshd_failed", "hostkeys-missing"))),
            ("Failed to start OpenSSH per-connection server daemon (198.51.100.9:1).", None),
            (
                "Failed to start networking…ce - Raise network interfaces.",
                Some(("network_failure", "guest-network-failed")),
            ),
            ("Failed to start Network Name Resolution.", None),
            ("[FAILED] Failed to start Crash recovery kernel arming.\n         Starting Network Manager...", None),
            ("[FAILED] Failed to mount Mount unit for core18, revision 2253.", None),
            ("[FAILED] Failed to mount /data.", Some(("fstab_emergency", "fstab-emergency-mode"))),
            ("[DEPEND] Dependency failed for sysroot.mount - /sysroot.", Some(("bootloader", "boot-device-missing"))),
            ("[DEPEND] Dependency failed for Local File Systems (Pre).", None),
            (
                "A start job is running for Wait for Network to be Configured (1min 5s / 2min)",
                Some(("network_failure", "guest-network-failed")),
            ),
            ("A start job is running for /dev/disk/by-uuid/1-2 (59s / 1min 30s)", None),
            (
                "A start job is running for /dev/disk/by-uuid/1-2 (1h 2min / no limit)",
                Some(("fstab_emergency", "fstab-emergency-mode")),
            ),
            (
                "[***   ] Job networking.service/start running (1min 16s / 5min 18s)",
                Some(("network_failure", "guest-network-failed")),
            ),
            ("[FAILED] Failed to start Permit User Sessions.", Some(("other", "nologin-file"))),
        ] {
            assert_eq!(first(text), wanted, "{text}");
        }
    }
}
