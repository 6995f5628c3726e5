//! The rescue script itself, by two shells, on a real file system; a mount namespace of its own keeps it apart. Needs
//! root for the loop device; elsewhere it says so.

#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDh4T9C8zFgGfB6uF6yT0YcPpXp5vYdQ9q0m3E0pC3yq";
const MAKE: &str = r#"
set -e
cd "$1"; truncate -s 64M disk.img
mkdir -p src/etc/selinux src/home/new src/home/open/.ssh bin
printf 'new:x:1234:1235::/home/new:/bin/sh\nopen:x:1300:1300::/home/open:/bin/sh\nfar:x:1400:1400::/data/far:/bin/sh\nlink:x:1500:1500::/home/link:/bin/sh\nodd:x:1:1::/usr/odd:/bin/sh\n' > src/etc/passwd
printf '# c\nUUID=1 / ext4 defaults 0 1\n/dev/sdf   /data  ext4  defaults,noatime 0 2\nUUID=3 none swap sw 0 0\n' > src/etc/fstab
echo SELINUX=enforcing > src/etc/selinux/config
ln -s /tmp src/home/link
printf 'ssh-rsa AAAAold old' > src/home/open/.ssh/authorized_keys
chmod 777 src/home/open; chmod 755 src/home/open/.ssh; chmod 664 src/home/open/.ssh/authorized_keys
mkfs.ext4 -q -d src disk.img
cat > bin/lsblk <<'X'
#!/bin/sh
case "$*" in *SERIAL*) echo "/dev/other vol0zzz"; echo "$FAKE vol0abc" ;; *) echo "$FAKE 67108864" ;; esac
X
chmod +x bin/lsblk
"#;
const RUN: &str = r#"
cd "$1"; export FAKE="$(losetup -f --show disk.img)" PATH="$1/bin:$PATH"
"$2" script.sh; grep port22-rescue /proc/mounts && echo STILL-MOUNTED
losetup -d "$FAKE"
"#;

fn shell(script: &str, more: &[&str]) -> String {
    let out = Command::new("unshare").args(["-m", "sh", "-c", script, "sh"]).args(more).output().expect("unshare");
    assert!(out.status.success() || script == RUN, "{out:?}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn write(at: &Path, job: &str, user: &str, key: &str) {
    let script = include_str!("../../assets/rescue.sh");
    let head = format!("P22_VOLUME='vol-0abc'\nP22_JOB='{job}'\nP22_USER='{user}'\nP22_KEY='{key}'\nP22_MARK='m1'\n");
    std::fs::write(at.join("script.sh"), head + script).expect("written");
}

fn rescue(at: &Path, program: &str, job: &str, user: &str, key: &str) -> String {
    write(at, job, user, key);
    let out = shell(RUN, &[&at.display().to_string(), program]);
    assert!(out.starts_with("port22-rescue 1\n") && out.ends_with("END\n"), "{out}");
    out
}

fn debugfs(at: &Path, request: &str) -> String {
    let out = Command::new("debugfs").args(["-R", request]).arg(at.join("disk.img")).output().expect("debugfs");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
fn the_script_repairs_what_it_names_and_nothing_else() {
    if !Command::new("losetup").arg("-f").output().is_ok_and(|out| out.status.success()) {
        eprintln!("not tried: loop devices need root");
        return;
    }
    for program in ["dash", "bash"] {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path();
        shell(MAKE, &[&at.display().to_string()]);
        let first = rescue(at, program, "login", "new", KEY);
        for fact in ["did made /home/new/.ssh", "did key-added", "did owner /home/new/.ssh 0:0 1234:1235", "relabel"] {
            assert!(first.contains(fact), "{program}, {fact}: {first}");
        }
        let second = rescue(at, program, "login", "new", KEY);
        assert!(
            second.contains("key there") && !second.contains("\ndid "),
            "{program}: a second run is silent: {second}"
        );
        let open = rescue(at, program, "login", "open", KEY);
        assert!(open.contains("did mode /home/open 777 755"), "{program}: {open}");
        let keys = debugfs(at, "cat /home/open/.ssh/authorized_keys");
        assert_eq!(keys, format!("ssh-rsa AAAAold old\n{KEY} added-by-port22\n"), "{program}");
        let stat = debugfs(at, "stat /home/open/.ssh/authorized_keys");
        assert!(stat.contains("Mode:  0600") && stat.contains("User:  1300"), "{program}: {stat}");
        for (user, why) in [
            ("far", "fail home-elsewhere /data"),
            ("link", "fail symlink /home/link"),
            ("odd", "fail odd-home /usr/odd"),
            ("nobody", "fail no-such-user nobody"),
        ] {
            let refused = rescue(at, program, "login", user, KEY);
            assert!(refused.contains(why) && !refused.contains("\ndid "), "{program}, {user}: {refused}");
        }
        let fstab = rescue(at, program, "fstab", "", "");
        assert!(fstab.contains("did nofail /data"), "{program}: {fstab}");
        assert_eq!(
            debugfs(at, "cat /etc/fstab"),
            "# c\nUUID=1 / ext4 defaults 0 1\n/dev/sdf   /data  ext4  defaults,noatime,nofail 0 2\nUUID=3 none swap sw,nofail 0 0\n"
        );
        assert!(debugfs(at, "cat /etc/fstab.port22-m1").contains("defaults,noatime 0 2"), "{program}");
        assert!(rescue(at, program, "fstab", "", "").contains("fstab unchanged"), "{program}");
    }
}

/// Makes a file system on an image, the account in a subvolume where one is named, and a second image with the same
/// identifiers that is mounted beside it, as a helper of the same image has it.
const OTHER: &str = r#"
set -e
cd "$1"; kind=$2; sub=$3; truncate -s 400M disk.img; mkdir -p bin mnt twin
case $kind in xfs) mkfs.xfs -q disk.img ;; btrfs) mkfs.btrfs -q disk.img ;; esac
mount -o loop disk.img mnt
top=mnt
if [ -n "$sub" ]; then btrfs -q subvolume create "mnt/$sub"; top=mnt/$sub; fi
mkdir -p "$top/etc/selinux" "$top/home/new"
printf 'new:x:1234:1235::/home/new:/bin/sh\n' > "$top/etc/passwd"
printf '/dev/sdf /data xfs defaults 0 2\n' > "$top/etc/fstab"
chmod 777 "$top/home/new"
umount mnt
cat > bin/lsblk <<'X'
#!/bin/sh
case "$*" in *SERIAL*) echo "$FAKE vol0abc" ;; *) echo "$FAKE 419430400" ;; esac
X
chmod +x bin/lsblk
"#;
const RUN_OTHER: &str = r#"
cd "$1"; cp --sparse=always disk.img twin.img
# The helper's own root has the same identifiers. Btrfs takes two such disks for one, and is not tried so.
if [ "$3" = xfs ]; then mount -o loop twin.img twin || exit 1; fi
export FAKE="$(losetup -f --show disk.img)" PATH="$1/bin:$PATH"
"$2" script.sh; grep port22-rescue /proc/mounts && echo STILL-MOUNTED
losetup -d "$FAKE"
[ "$3" != xfs ] || umount twin
rm -f twin.img
"#;
const LOOK: &str = r#"
cd "$1"; mount -o "loop,ro$2" disk.img mnt || exit 1
stat -c '%a %u:%g %n' mnt/home/new mnt/home/new/.ssh mnt/home/new/.ssh/authorized_keys
cat mnt/home/new/.ssh/authorized_keys mnt/etc/fstab
umount mnt
"#;

/// Whether this machine makes and mounts file systems of a kind.
fn mounts(kind: &str) -> bool {
    let tools = Command::new(format!("mkfs.{kind}")).arg("-V").output().is_ok_and(|out| out.status.success());
    let kernel = std::fs::read_to_string("/proc/filesystems").is_ok_and(|all| all.lines().any(|l| l.trim() == kind));
    let loops = Command::new("losetup").arg("-f").output().is_ok_and(|out| out.status.success());
    if !(tools && kernel && loops) {
        eprintln!("not tried: {kind} needs its tools ({tools}), the kernel ({kernel}) and loop devices ({loops})");
    }
    tools && kernel && loops
}

#[test]
fn xfs_and_btrfs_are_repaired_as_well() {
    for (kind, sub, options) in
        [("xfs", "", ",nouuid"), ("btrfs", "", ""), ("btrfs", "@", ",subvol=@"), ("btrfs", "root", ",subvol=root")]
    {
        if !mounts(kind) {
            continue;
        }
        for program in ["dash", "bash"] {
            let directory = tempfile::tempdir().expect("a directory");
            let at = directory.path();
            let place = at.display().to_string();
            let what = format!("{kind} {sub} {program}");
            shell(OTHER, &[&place, kind, sub]);
            let run = |job: &str, user: &str, key: &str| {
                write(at, job, user, key);
                let out = shell(RUN_OTHER, &[&place, program, kind]);
                assert!(out.starts_with("port22-rescue 1\n") && out.ends_with("END\n"), "{what}: {out}");
                out
            };
            let first = run("login", "new", KEY);
            assert!(first.contains(&format!(" {kind}\n")), "{what}: {first}");
            for fact in [
                "did made /home/new/.ssh",
                "did key-added",
                "did mode /home/new 777 755",
                "did owner /home/new 0 1234:1235",
            ] {
                assert!(first.contains(fact), "{what}, {fact}: {first}");
            }
            let second = run("login", "new", KEY);
            assert!(second.contains("key there") && !second.contains("\ndid "), "{what}: {second}");
            assert!(run("fstab", "", "").contains("did nofail /data"), "{what}");
            let seen = shell(LOOK, &[&place, options]);
            let home = "mnt/home/new";
            assert_eq!(
                seen,
                format!(
                    "755 1234:1235 {home}\n700 1234:1235 {home}/.ssh\n600 1234:1235 {home}/.ssh/authorized_keys\n{KEY} added-by-port22\n/dev/sdf /data xfs defaults,nofail 0 2\n"
                ),
                "{what}"
            );
        }
    }
}

#[test]
fn a_root_that_is_sealed_or_in_a_group_of_volumes_is_named_and_left() {
    if !mounts("ext4") {
        return;
    }
    // What cryptsetup writes first, seen by blkid itself; for LVM, whose label has a checksum, blkid's answer stands in.
    let sealed = "printf 'LUKS\\272\\276\\000\\002' | dd of=disk.img conv=notrunc status=none";
    let lvm = "printf '#!/bin/sh\\necho LVM2_member\\n' > bin/blkid; chmod +x bin/blkid";
    for (label, word) in [(sealed, "luks"), (lvm, "lvm")] {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path();
        let place = at.display().to_string();
        let make = format!(
            "set -e; cd \"$1\"; truncate -s 64M disk.img; mkdir bin; {label}\ncat > bin/lsblk <<'X'\n#!/bin/sh\ncase \"$*\" in *SERIAL*) echo \"$FAKE vol0abc\" ;; *) echo \"$FAKE 67108864\" ;; esac\nX\nchmod +x bin/lsblk"
        );
        let made = Command::new("unshare").args(["-m", "sh", "-c", &make, "sh", &place]).output().expect("unshare");
        assert!(made.status.success(), "{made:?}");
        let out = rescue(at, "dash", "login", "new", KEY);
        assert!(out.contains(&format!("fail {word} the root is in a {word} volume")), "{out}");
        assert!(!out.contains("\ndid "), "{out}");
    }
}
