//! Whether a text is a console log or a client's output.
//!
//! Counts words; the recognisers are asked only where the words leave it open.

use super::super::flat::Flat;
use super::text;
use regex::Regex;
use std::sync::LazyLock;

/// Words that only a console log has.
const CONSOLE_WORDS: &[&str] = &[
    "linux version ",
    "systemd[1]:",
    "[ ok ]",
    "[failed]",
    "[ time ]",
    "[depend]",
    "kernel panic",
    "cloud-init v.",
    "cloud-init[",
    "ci-info:",
    "begin ssh host key",
    "reached target",
    "bios-e820",
    "emergency mode",
    "emergency shell",
    "maintenance shell",
    "for maintenance",
    "dropping to a shell",
    "dropping you to a shell",
    "grub rescue>",
    "grub rescue >",
    "entering rescue mode",
    "grubdom>",
    "minimal bash-like line",
    "you need to load the kernel",
    "error: file '/boot/",
    "error: file `/boot/",
    "(initramfs)",
    "begin: mounting root",
    "begin: running /scripts",
    "please unlock disk",
    "dracut",
    "/run/initramfs/",
    "stage 1 of the boot",
    "nixos stage 1",
    "trying to mount anyway",
    "oom-killer",
    " kernel: ",
    "out of memory: kill",
    "soft lockup",
    "blocked for more than",
    "xenbus:",
    "seabios",
    "unable to mount root fs",
    "give root password",
    "relabel is required",
    "relabeling could take",
    "no bootable",
    "ext4-fs (",
    "ext4-fs error",
    "xfs (",
    "buffer i/o error",
    "[/sbin/fsck",
    "fsck died",
    "fsck from util-linux",
    "check forced",
    "lost page write",
    "runaway loop modprobe",
    "systemd-journald[",
    "/var/lib/cloud/instance",
    "cloudinit.",
    "[cloudinit]",
    "bad things to come",
    "py[warning]: ",
    "py[error]: ",
    "used fallback datasource",
    "datasourceec2",
    "169.254.169.254/",
    "ignition has failed",
    "ignition[",
    "xc_dom_parse_image",
    "filesystem type is",
    "errno 28",
    "started openssh",
    "failed to start",
    ".service: failed with result",
    "entered failed state",
    "no hostkeys available",
    "could not load host key: /etc/ssh/",
    "unable to load host key: /",
    "missing privilege separation directory",
    "/etc/ssh/ssh_host_",
    "grub>",
    "no space left on device",
    "windows is ready to use",
    "windows sysprep",
    "rdpcertificate-",
    "ec2 agent: ec2config",
    "launch: ec2 launch",
    "ec2launch: ",
    "ec2launchv2",
    "meta-data accessibility",
    "is starting up linux",
    "freebsd is a registered",
    "root file system: /dev",
    "starting cron",
    "init: entering runlevel",
    "networkmanager[",
    "gnu grub",
    "systemd-udevd[",
    "dhclient[",
    "systemd-networkd",
    "fsck failed",
    "sulogin",
    "/start running (",
    "a start job is running",
    "start_image() returned",
    "initramfs",
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
    "ssh-keygen ",
    "warning: remote host identification",
    // The address of the serial console's SSH gateway: what follows is a session, not a boot.
    "serial-console.ec2-instance-connect.",
];

static STAMPED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\[ *\d+\.\d{6}\] ").ok());

/// Whether a text reads like a console log rather than like a client's output.
pub fn looks_like_console(text: &str) -> bool {
    let (flat, _) = Flat::both(&text::unpack(text));
    let stamped = flat.lines().filter(|(_, l)| STAMPED.as_ref().is_some_and(|re| re.is_match(l))).take(3).count();
    let prompt = flat.lines().any(|(_, l)| {
        l.split_once(" login:").is_some_and(|(host, _)| !host.is_empty() && !host.contains(' '))
            && !l.starts_with("Last")
    });
    let words = CONSOLE_WORDS.iter().filter(|w| flat.contains(w)).count() + usize::from(prompt);
    let clients = CLIENT_WORDS.iter().filter(|w| flat.contains(w)).count();
    let counted = stamped + words;
    counted > clients || (counted == clients && only_a_console_says(text))
}

/// Where the words leave it open: a fault that a console log names and no client's output.
fn only_a_console_says(text: &str) -> bool {
    let told = |symptom: &str| !matches!(symptom, "other" | "healthy");
    told(&super::recognise(text).symptom) && !told(&super::super::ssh::recognise(text).symptom)
}
