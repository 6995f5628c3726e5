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

fn rescue(at: &Path, program: &str, job: &str, user: &str, key: &str) -> String {
    let script = include_str!("../../assets/rescue.sh");
    let head = format!("P22_VOLUME='vol-0abc'\nP22_JOB='{job}'\nP22_USER='{user}'\nP22_KEY='{key}'\nP22_MARK='m1'\n");
    std::fs::write(at.join("script.sh"), head + script).expect("written");
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
