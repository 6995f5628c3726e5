//! Recognises an EC2 console log: the last boot in it, its fault, and what it names.
//!
//! The log ends where the instance stopped talking: the worst fault of the last boot that the same
//! boot did not overcome decides, and a boot that came to its end without one is healthy. It must
//! not judge the network path.

mod boot;
mod cloud;
mod facts;
mod good;
mod kind;
mod services;
mod table;
mod text;
mod units;

use super::flat::Flat;
use super::{Extract, Kind, Recognised, explain};
use good::{FINISHED, GOOD, KERNEL_RUNS, NETWORK_RUNS, ROOT_FOUND, SSHD_RUNS};
use regex::Regex;
use std::sync::LazyLock;
use table::{Fault, Phase};

pub use kind::looks_like_console;
pub use text::last_boot;

/// From this rank on a fault is worth naming beside the deciding one.
const SERIOUS: u8 = 60;
/// Bytes around a sign, within its line, that may say that it is harmless.
const NEAR: usize = 400;
/// Lines that are shown for the answer.
const MOST_EVIDENCE: usize = 4;

/// `ci-info: | ens5 | True | 172.31.5.9 |`: an interface with an address, in cloud-init's table. A
/// link-local one (`fe80::`) does not count.
static ADDRESS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"\bci-info: \|? ?e\w+ \|? ?true \|? ?(?:\d+\.\d+\.\d+\.\d+|[23][0-9a-f]{3}:|f[cd][0-9a-f]{2}:)").ok()
});
/// The row of the loopback device in the same table.
static LOOPBACK: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\bci-info: \|? ?lo \|? ?true \|? ?127\.0\.0\.1").ok());
/// cloud-init's table shows no device with an address.
static NO_ADDRESS: Fault = Fault {
    symptom: "network_failure",
    cause: "guest-network-failed",
    also: &["cloud_init_failure"],
    phase: Phase::Network,
    signs: &[],
};

/// A sign of a fault, found in the log.
struct Found {
    fault: &'static Fault,
    rank: u8,
    pos: usize,
}

/// Recognises a console log, as EC2 gives it or as it was pasted.
pub fn recognise(text: &str) -> Recognised {
    let log = text::unpack(text);
    let (whole, _) = Flat::both(&log);
    let (flat, _) = Flat::both(&text::last_boot(&log));
    let found = standing(&flat);
    let best = found.iter().max_by_key(|f| (f.rank, f.pos)).map(|f| f.fault);
    let good = GOOD.iter().any(|p| !flat.find(p, 1).is_empty());
    let (mut symptom, mut also) = match best {
        Some(fault) => (fault.symptom, fault.also.iter().map(|a| (*a).to_owned()).collect()),
        None if good => ("healthy", Vec::new()),
        None => ("other", Vec::new()),
    };
    let ignition = found.iter().any(|f| f.rank > 80 && f.fault.symptom == "cloud_init_failure");
    let emergency =
        found.iter().any(|f| f.fault.symptom == "fstab_emergency" || f.fault.also.contains(&"fstab_emergency"));
    if symptom == "bootloader" && ignition && emergency {
        // Ignition stops a first boot in the initramfs' emergency shell: the root is not at fault.
        symptom = "fstab_emergency";
        also = vec!["bootloader".to_owned()];
    }
    if symptom == "bootloader" && flat.contains("kernel panic") {
        also.push("kernel_panic".to_owned());
    }
    for other in found.iter().filter(|f| f.rank >= SERIOUS && f.fault.symptom != symptom) {
        if other.fault.symptom != "other" && !also.iter().any(|a| a == other.fault.symptom) {
            also.push(other.fault.symptom.to_owned());
        }
    }
    let (causes, evidence) = explained(&flat, &found, symptom, ignition);
    let keys = facts::authorized_keys(&whole);
    let mut causes: Vec<String> = causes.into_iter().map(str::to_owned).collect();
    // A boot that went well and says that its user has no key at all.
    if keys.none && (flat.contains("datasourcenone") || symptom == "healthy" && keys.fingerprints.is_empty()) {
        causes.push("instance-without-keypair".to_owned());
    }
    if symptom == "other" && causes.is_empty() && is_cut_short(&flat) {
        causes.push("boot-in-progress".to_owned());
    }
    Recognised {
        kind: Kind::Console,
        symptom: symptom.to_owned(),
        also,
        client: "unknown".to_owned(),
        extract: Extract::default(),
        explanation: explanation(symptom, &causes).to_owned(),
        login_user_hint: None,
        command: None,
        causes,
        host_keys: facts::host_keys(&whole),
        console_user: keys.user,
        console_key_fingerprints: keys.fingerprints,
        evidence,
        host_public_keys: facts::host_public_keys(&whole),
        os_name: facts::os_name(&whole),
        client_version: None,
    }
}

/// A boot that had begun, came to no end and shows no fault: it may still have been going on.
fn is_cut_short(flat: &Flat) -> bool {
    const BEGUN: &[&str] = &["linux version ", "] booting linux on", "seabios (version"];
    BEGUN.iter().any(|words| flat.contains(words))
}

/// What the symptom proves; where no symptom fits, what the cause says.
fn explanation(symptom: &str, causes: &[String]) -> &'static str {
    match (symptom, causes.first().map(String::as_str)) {
        ("other", Some("ebs-status-impaired")) => {
            "The kernel reports errors or stalls of a disk. Check the volume's status and its file system."
        }
        ("other", Some("home-not-mounted")) => {
            "A home directory could not be mounted: keys that lie in it are not found. Mount it, then log in again."
        }
        ("other", Some("nologin-file")) => {
            "The system did not open itself to users: only root may log in until the nologin file is gone."
        }
        ("other", Some("boot-in-progress")) => {
            "The boot had not come to its end when this log was written. Wait, and look again."
        }
        _ => explain::console(symptom),
    }
}

/// Root causes and lines of the deciding symptom's faults, the most specific first.
fn explained(flat: &Flat, found: &[Found], symptom: &str, ignition: bool) -> (Vec<&'static str>, Vec<String>) {
    let mut deciding: Vec<&Found> = found.iter().filter(|f| f.fault.symptom == symptom).collect();
    if ignition && symptom == "fstab_emergency" {
        deciding.extend(found.iter().filter(|f| f.rank > 80 && f.fault.symptom == "cloud_init_failure"));
    }
    deciding.sort_by_key(|f| (std::cmp::Reverse(f.rank), f.pos));
    let mut causes: Vec<&'static str> = Vec::new();
    let mut evidence: Vec<String> = Vec::new();
    for f in deciding {
        if !f.fault.cause.is_empty() && !causes.contains(&f.fault.cause) {
            causes.push(f.fault.cause);
        }
        let line = super::super::text::shorten(flat.line_at(f.pos), 300);
        if !evidence.contains(&line) && evidence.len() < MOST_EVIDENCE {
            evidence.push(line);
        }
    }
    let more = match symptom {
        "sshd_failed" if causes.is_empty() => Some("sshd-config-invalid"),
        "kernel_panic" if !causes.contains(&"kernel-panic") => {
            causes.insert(0, "kernel-panic");
            None
        }
        "kernel_panic" if flat.contains("out of memory") => Some("cpu-or-memory-overload"),
        "fstab_emergency" if !causes.contains(&"fstab-emergency-mode") => Some("fstab-emergency-mode"),
        _ => None,
    };
    causes.extend(more);
    for small in found.iter().filter(|f| matches!(f.fault.cause, "home-not-mounted" | "nologin-file")) {
        if symptom == "fstab_emergency" && !causes.contains(&small.fault.cause) {
            causes.push(small.fault.cause);
        }
    }
    (causes, evidence)
}

/// The signs of faults that the boot did not overcome later.
fn standing(flat: &Flat) -> Vec<Found> {
    let last = |patterns: &[&str]| patterns.iter().filter_map(|p| flat.find(p, 1).pop()).max();
    let finished = last(FINISHED);
    let root = last(ROOT_FOUND).max(finished);
    let kernel = last(KERNEL_RUNS).max(finished);
    let sshd = last(SSHD_RUNS);
    let address = ADDRESS.as_ref().and_then(|re| re.find_iter(&flat.lower).last()).map(|m| m.start());
    let network = last(NETWORK_RUNS).max(address);
    let mut found = Vec::new();
    let tables = [boot::BOOT, table::KERNEL, services::SERVICES, cloud::CLOUD];
    for fault in tables.into_iter().flatten() {
        for (rank, pattern) in fault.signs {
            let places = flat.find(pattern, 3).into_iter().filter(|pos| !is_harmless(flat, *pos));
            found.extend(places.map(|pos| Found { fault, rank: *rank, pos }));
        }
    }
    let loopback = LOOPBACK.as_ref().and_then(|re| re.find_iter(&flat.lower).last()).map(|m| m.start());
    if let (Some(pos), None) = (loopback, address)
        && flat.lower[pos..].contains("route")
    {
        found.push(Found { fault: &NO_ADDRESS, rank: 58, pos });
    }
    found.extend(units::failures(flat).into_iter().map(|(fault, rank, pos)| Found { fault, rank, pos }));
    found.retain(|f| {
        let overcome = match f.fault.phase {
            Phase::Loader => kernel,
            Phase::Root => root,
            Phase::Mount => finished,
            Phase::Sshd => sshd,
            Phase::Network => network,
            Phase::Lasting => None,
        };
        overcome.is_none_or(|good| good < f.pos)
    });
    found
}

/// Messages that look like faults in healthy boots: cloud-init's locale module, drives of a virtual
/// machine without a medium, faults of a program (not the kernel), and IPv6 where there is none.
fn is_harmless(flat: &Flat, pos: usize) -> bool {
    let (start, end) = flat.line_bounds(pos);
    let start = flat.lower.floor_char_boundary(start.max(pos.saturating_sub(NEAR)));
    let line = &flat.lower[start..flat.lower.floor_char_boundary(end.min(pos + NEAR))];
    let any = |words: &[&str]| words.iter().any(|w| line.contains(w));
    any(&["running module locale", "update-locale", "mark the need to relabel", "autorelabel-m"])
        || (line.contains("py[warning]") && any(&["deprecated", "did not find either path /sys/class/dmi"]))
        || (line.contains("i/o error") && any(&["dev fd0", "dev sr0", "device fd0", "device sr0", "dev loop"]))
        || (line.contains("general protection") && any(&["traps: ", " ip:"]))
        || (line.contains("network is unreachable") && line.contains("::") && !line.contains("169.254.169.254"))
}

#[cfg(test)]
mod tests {
    use super::recognise;
    use proptest::prelude::*;

    /// Pieces that the readers of this module look for, whole and torn.
    const PIECES: &[&str] = &[
        "\n",
        "\r\r\n",
        "\\r\\n",
        "\u{1b}[0;1;31m",
        "?[0m",
        "\"Output\": \"",
        "<output>",
        "\\u00",
        "\\",
        "\"",
        "[    0.000000] Linux version ",
        "[ 9999.999999] ",
        "SeaBIOS (version",
        "elfcorehdr=",
        "Failed to start ",
        "ssh.service",
        "Dependency failed for ",
        "Failed to mount /home",
        "A start job is running for ",
        "(1min 5s / ",
        " Job a.service/start running (",
        "ci-info: | ens5 | True | 10.0.0.9 |",
        "ci-info: | lo | True | 127.0.0.1 |",
        "Authorized keys from /x for user root",
        "-----BEGIN SSH HOST KEY KEYS-----",
        "ssh-ed25519 AAAA",
        "-----BEGIN SSH HOST KEY FINGERPRINTS-----",
        "SHA256:",
        "Welcome to Ubuntu",
        "!",
        "Kernel 6 on an x",
        "日本…",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_log_gives_an_answer(pieces in proptest::collection::vec(0..PIECES.len(), 0..60), noise in ".{0,40}") {
            let text: String = pieces.iter().map(|i| PIECES[*i]).chain([noise.as_str()]).collect();
            let answer = recognise(&text);
            prop_assert!(!answer.symptom.is_empty() && !answer.explanation.is_empty());
            prop_assert!(!answer.also.contains(&answer.symptom));
        }
    }
}
