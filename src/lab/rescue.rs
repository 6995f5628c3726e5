//! What the rescue script does to a volume that another machine holds: the host's model changes, and it says what the
//! script would say.
//!
//! Nothing is run on this machine. Used by `api`.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::scenario::{Daemon, KeyFile};
use super::world::{Instance, Root, World};

/// True for the script that repairs a disk.
pub(super) fn is_rescue(script: &str) -> bool {
    script.lines().any(|line| line.trim() == "# port22-rescue 1")
}

/// A variable that stands ahead of the script.
fn variable<'a>(script: &'a str, name: &str) -> &'a str {
    let line = script.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix("='"));
    line.and_then(|rest| rest.split('\'').next()).unwrap_or_default()
}

/// Runs it on a helper: what it prints.
pub(super) fn run(world: &mut World, helper: &str, script: &str) -> String {
    let mut out = "port22-rescue 1\n".to_owned();
    let volume = variable(script, "P22_VOLUME");
    let here = |known: &Instance| matches!(&known.root, Root::At(holder, _) if holder == helper);
    let Some(owner) = world.instances.iter_mut().find(|known| known.volume == volume && here(known)) else {
        let _ = write!(out, "fail no-disk no disk here has the serial number {}\nEND\n", volume.replace('-', ""));
        return out;
    };
    out.push_str("disk /dev/nvme1n1\nroot /dev/nvme1n1p1 xfs\n");
    let failed = match variable(script, "P22_JOB") {
        "login" => login(owner, variable(script, "P22_USER"), variable(script, "P22_KEY"), &mut out),
        "fstab" => fstab(owner, variable(script, "P22_MARK"), &mut out),
        other => Some(format!("bad-job {other}")),
    };
    if let Some(why) = failed {
        let _ = writeln!(out, "fail {why}");
    }
    out.push_str("END\n");
    out
}

fn login(owner: &mut Instance, name: &str, key: &str, out: &mut String) -> Option<String> {
    let Some(user) = owner.users.iter_mut().find(|user| user.name == name) else {
        return Some(format!("no-such-user {name}"));
    };
    let home = if user.uid == 0 { "/root".to_owned() } else { format!("/home/{name}") };
    let _ = writeln!(out, "account {0} {0} {home}", user.uid);
    if owner.parent_mode & 0o1 == 0 {
        owner.parent_mode |= 0o111;
        let _ = writeln!(out, "did mode /home 0 {:o}", owner.parent_mode);
    }
    if user.form == KeyFile::Absent {
        let _ = writeln!(out, "did made {home}/.ssh/authorized_keys");
        user.keys.clear();
        user.form = KeyFile::Good;
    }
    if user.form == KeyFile::Directory {
        return Some(format!("odd-home {home}/.ssh/authorized_keys is no regular file"));
    }
    if let Some(blob) = key.split_whitespace().nth(1).and_then(|data| STANDARD.decode(data).ok()) {
        if user.keys.contains(&blob) && user.form == KeyFile::Good && user.options.is_empty() {
            out.push_str("key there\n");
        } else {
            let _ = writeln!(out, "did key-added {home}/.ssh/authorized_keys 0");
            // Of a file that is broken, the new line is the one that is read.
            if user.form != KeyFile::Good {
                user.keys.clear();
                user.form = KeyFile::Good;
            }
            user.keys.push(blob);
        }
    }
    let wanted = [(&mut user.home, home.clone(), None), (&mut user.ssh, format!("{home}/.ssh"), Some(0o700))];
    let file = (&mut user.file, format!("{home}/.ssh/authorized_keys"), Some(0o600));
    for (node, path, mode) in wanted.into_iter().chain([file]) {
        let right = mode.unwrap_or((node.mode & !0o022) | 0o700);
        if node.mode != right {
            let _ = writeln!(out, "did mode {path} {:o} {right:o}", node.mode);
            node.mode = right;
        }
        if node.owner != name {
            let _ = writeln!(out, "did owner {path} {} {name}", node.owner);
            node.owner = name.to_owned();
        }
    }
    None
}

/// A machine that waits for a disk boots once the mount may fail.
fn fstab(owner: &mut Instance, mark: &str, out: &mut String) -> Option<String> {
    if !owner.console.contains("You are in emergency mode") {
        out.push_str("fstab unchanged\n");
        return None;
    }
    owner.console.clone_from(&owner.good_console);
    owner.machine.impaired.clear();
    owner.sshd.daemon = Daemon::Up;
    let _ = writeln!(out, "did nofail /data\ndid saved /etc/fstab.port22-{mark}");
    None
}
