//! How the root lies on its volume, as far as that can be known before the instance is stopped.
//!
//! The rescue opens a plain ext, xfs or btrfs file system on the volume or one of its partitions, and nothing else. What
//! is not known is said, never taken for plain.

use super::FIX;
use crate::core::ami::Confidence;
use crate::core::facts::Facts;
use crate::core::plan::{Gate, GateState};
use crate::core::rules;

/// Systems whose root a Linux helper cannot mend, with the reason.
const OTHER_SYSTEMS: &[(&str, &str)] = &[
    ("freebsd", "its root is UFS or ZFS, which a Linux helper does not write"),
    ("bottlerocket", "its root is sealed (dm-verity): one that was changed does not boot"),
    ("macos", "its root is APFS, which a Linux helper does not open"),
];
/// File systems that the rescue script opens.
const OPENED: &[&str] = &["ext2", "ext3", "ext4", "xfs", "btrfs"];

/// What is known of the layout.
#[derive(Debug, PartialEq, Eq)]
enum Layout {
    /// A file system that the script opens, on a partition or the whole volume; seen so, in words.
    Plain(String),
    /// Something that it does not open; in words.
    Other(String),
    /// A sign of something that it may not open.
    Perhaps(String),
    /// Nothing tells.
    Unknown,
}

/// The gate of it.
pub(super) fn gate(facts: &Facts) -> Gate {
    let later = "what lies on the disk is found out when the helper looks, after the stop; if it is no plain ext, xfs or btrfs, nothing is changed there, and port22 undo puts the volume back and starts the instance";
    match layout(facts) {
        Layout::Plain(seen) => Gate::new("layout", GateState::Ok, seen),
        Layout::Other(why) => Gate::new(
            "layout",
            GateState::Refuse,
            format!(
                "{why}: this repair does not open it, so nothing is stopped; do it by hand on a helper (port22 explain {FIX})"
            ),
        ),
        Layout::Perhaps(why) => Gate::new("layout", GateState::Warn, format!("{why}; {later}")),
        Layout::Unknown => Gate::new("layout", GateState::Warn, later),
    }
}

fn layout(facts: &Facts) -> Layout {
    // The disk of now, seen from inside.
    if let Some((kind, device)) = facts.inside.value().and_then(|i| i.resources.root_on.as_ref()) {
        return mounted(kind, device);
    }
    let console = facts.aws.console.value().map(String::as_str).unwrap_or_default();
    let said = on_the_console(console);
    if said != Layout::Unknown {
        return said;
    }
    let guess = rules::View::new(facts).family;
    let known = |id: &str| OTHER_SYSTEMS.iter().find(|(other, _)| *other == id);
    match guess.as_ref().and_then(|g| known(&g.family.id).map(|(_, why)| (g, *why))) {
        Some((g, why)) if g.confidence == Confidence::Sure => Layout::Other(format!("{}: {why}", g.family.title)),
        Some((g, why)) => Layout::Perhaps(format!("it looks like {}: {why}", g.family.title)),
        None => Layout::Unknown,
    }
}

/// By type and device of the mounted root.
fn mounted(kind: &str, device: &str) -> Layout {
    let seen = format!("the root is {kind} on {device}");
    let name = device.strip_prefix("/dev/").unwrap_or_default();
    if name.starts_with("mapper/") || name.starts_with("dm-") {
        return Layout::Other(format!("{seen}, an LVM volume or an encrypted one"));
    }
    if name.starts_with("md") {
        return Layout::Other(format!("{seen}, a RAID"));
    }
    // `/dev/root` and `overlay` name no disk.
    let disk = ["nvme", "xvd", "sd", "vd"].iter().any(|start| name.starts_with(start));
    match (OPENED.contains(&kind), disk) {
        (true, true) => Layout::Plain(seen),
        (false, true) => Layout::Other(format!("{seen}, a file system of another kind")),
        _ if kind == "zfs" => Layout::Other(seen),
        _ => Layout::Unknown,
    }
}

/// By the kernel's command line of the latest boot, and by what asked for a passphrase.
fn on_the_console(text: &str) -> Layout {
    let boot = crate::core::recognise::last_boot(text);
    let line = boot.lines().rev().find(|l| l.contains("ommand line:") && l.contains("root="));
    let words: Vec<&str> = line.map(|l| l.split_whitespace().collect()).unwrap_or_default();
    let option = |name: &str| words.iter().rev().find_map(|w| w.strip_prefix(name));
    if let Some(root) = option("root=") {
        let shown = crate::core::text::shorten(root, 80);
        let name = root.strip_prefix("/dev/").unwrap_or_default();
        if name.starts_with("mapper/") || name.starts_with("dm-") {
            return Layout::Other(format!("it boots with root={shown}, an LVM volume or an encrypted one"));
        }
        if name.starts_with("md") || root.starts_with("zfs") || root.starts_with("ZFS=") {
            return Layout::Other(format!("it boots with root={shown}, a RAID or ZFS"));
        }
        // `/dev/VOLUME_GROUP/NAME`, which dracut was told to bring up.
        let activated = words.iter().filter_map(|w| w.strip_prefix("rd.lvm.lv="));
        if !name.is_empty() && activated.clone().any(|lv| lv == name) {
            return Layout::Other(format!("it boots with root={shown}, an LVM volume"));
        }
        // A name of a partition is one of no LVM volume; the identifier of a file system may be anywhere.
        let disk = ["nvme", "xvd", "sd", "vd"].iter().any(|start| name.starts_with(start));
        let sealed = words.iter().any(|w| w.starts_with("rd.luks.") || w.starts_with("rd.md."));
        if disk && !sealed {
            return Layout::Plain(format!("it boots with root={shown}, a partition"));
        }
        if sealed {
            return Layout::Perhaps(format!(
                "it boots with root={shown}, and with options for an encrypted disk or a RAID"
            ));
        }
        if activated.count() > 0 {
            return Layout::Perhaps(format!("it boots with root={shown}, and brings LVM volumes up"));
        }
    }
    let asked = ["Please enter passphrase for disk", "Enter passphrase for /dev/", "Cryptography Setup for"];
    match asked.iter().find(|words| boot.contains(**words)) {
        Some(words) => Layout::Perhaps(format!("a disk of it is encrypted inside (its console says '{words}')")),
        None => Layout::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fact::Fact;
    use crate::core::facts::inside::Inside;

    #[test]
    fn a_mounted_root_tells_its_layout() {
        for (kind, device) in
            [("ext4", "/dev/nvme0n1p1"), ("xfs", "/dev/xvda1"), ("btrfs", "/dev/sda3"), ("xfs", "/dev/xvda")]
        {
            assert!(matches!(mounted(kind, device), Layout::Plain(_)), "{kind} {device}");
        }
        for (kind, device) in [
            ("xfs", "/dev/mapper/rhel-root"),
            ("ext4", "/dev/dm-0"),
            ("ext4", "/dev/md127"),
            ("zfs", "rpool/ROOT/ubuntu"),
            ("f2fs", "/dev/nvme0n1p1"),
        ] {
            assert!(matches!(mounted(kind, device), Layout::Other(_)), "{kind} {device}");
        }
        for (kind, device) in [("ext4", "/dev/root"), ("overlay", "overlay")] {
            assert_eq!(mounted(kind, device), Layout::Unknown, "{kind} {device}");
        }
    }

    #[test]
    fn the_kernels_command_line_tells_as_much_as_it_names() {
        let line = |options: &str| {
            format!(
                "[    0.000000] Linux version 6.1\n[    0.000000] Kernel command line: BOOT_IMAGE=/vmlinuz {options} ro\n"
            )
        };
        let of = |options: &str| on_the_console(&line(options));
        assert!(matches!(of("root=/dev/mapper/rhel-root rd.lvm.lv=rhel/root"), Layout::Other(_)));
        assert!(matches!(of("root=/dev/vg_main/lv_root rd.lvm.lv=vg_main/lv_root"), Layout::Other(_)));
        assert!(matches!(of("root=/dev/xvda1 console=ttyS0"), Layout::Plain(_)));
        assert!(matches!(of("root=UUID=1234 rd.luks.uuid=luks-1"), Layout::Perhaps(_)));
        assert!(matches!(of("root=UUID=1234 rd.lvm.lv=rhel/swap"), Layout::Perhaps(_)));
        // A file system's identifier does not say what it lies in.
        assert_eq!(of("root=UUID=1234 console=ttyS0"), Layout::Unknown);
        // An earlier boot is not the disk of now.
        let twice = line("root=/dev/mapper/rhel-root") + &line("root=/dev/nvme0n1p1");
        assert!(matches!(on_the_console(&twice), Layout::Plain(_)), "{:?}", on_the_console(&twice));
        let asked = "[    4.1] systemd[1]: x\nPlease enter passphrase for disk data: ";
        assert!(matches!(on_the_console(asked), Layout::Perhaps(_)));
        assert_eq!(on_the_console(""), Layout::Unknown);
    }

    #[test]
    fn what_cannot_be_opened_refuses_and_what_is_not_known_is_said() {
        let mut facts = Facts::default();
        let unknown = gate(&facts);
        assert!(unknown.state == GateState::Warn && unknown.why.contains("undo puts the volume back"), "{unknown:?}");
        let mut inside = Inside::default();
        inside.resources.root_on = Some(("xfs".to_owned(), "/dev/mapper/ol-root".to_owned()));
        facts.inside = Fact::known(inside, "a look inside");
        assert_eq!(gate(&facts).state, GateState::Refuse);
    }
}
