//! The script that repairs a root volume on a helper instance: its parameters, and what it said.
//!
//! Nothing unchecked may reach the shell. Must not call a repair done whose output has no end.

use crate::core::key;
use crate::core::plan::volume::RescueJob;

/// The script as it is kept.
const SCRIPT: &str = include_str!("../../assets/rescue.sh");

/// First line of its output.
const VERSION: &str = "port22-rescue 1";

/// The script for a volume. `mark` names the file that a former `/etc/fstab` is kept in. Fails with what cannot be put
/// into a script.
pub fn script(volume: &str, job: &RescueJob, mark: &str) -> Result<String, String> {
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !volume.starts_with("vol-") || !plain(volume) {
        return Err(format!("{volume} is no volume id"));
    }
    if !plain(mark) {
        return Err("the mark of the repair has odd characters".to_owned());
    }
    let (word, user, key) = match job {
        RescueJob::Fstab => ("fstab", "", String::new()),
        RescueJob::Login { user, key } => {
            ("login", user.as_str(), key.as_deref().map(line).transpose()?.unwrap_or_default())
        }
    };
    if word == "login" && !is_user(user) {
        return Err(format!("the user name {user} has characters that are not put into a script"));
    }
    Ok(format!(
        "P22_VOLUME='{volume}'\nP22_JOB='{word}'\nP22_USER='{user}'\nP22_KEY='{key}'\nP22_MARK='{mark}'\n{SCRIPT}"
    ))
}

/// A Linux user name as `useradd` takes it; dots and capitals, which directories have, too.
pub fn is_user(name: &str) -> bool {
    let first = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let more = |b: u8| first(b) || matches!(b, b'-' | b'.');
    (1..=32).contains(&name.len()) && name.bytes().next().is_some_and(first) && name.bytes().all(more)
}

/// A public key as `type base64`; fails where it is none.
pub fn line(public: &str) -> Result<String, String> {
    let (line, _) = key::public_of(public).ok_or("the public key cannot be read")?;
    let line: String = line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b' ' | b'-' | b'@' | b'.');
    if line.bytes().all(plain) { Ok(line) } else { Err("the public key has odd characters".to_owned()) }
}

/// What the script said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Partition of the root and its file system.
    pub root: Option<String>,
    /// What was changed, in words.
    pub did: Vec<String>,
    /// What is worth knowing, in words.
    pub notes: Vec<String>,
}

impl Report {
    /// One line.
    pub fn text(&self) -> String {
        let root = self.root.as_deref().map_or_else(String::new, |r| format!("on {r}: "));
        let did = if self.did.is_empty() { "nothing had to be changed".to_owned() } else { self.did.join("; ") };
        let notes = self.notes.iter().fold(String::new(), |all, note| all + &format!(" ({note})"));
        format!("{root}{did}{notes}")
    }
}

/// Reads the output. Fails with a sentence: the repair was not done, or not to its end.
pub fn read(output: &str) -> Result<Report, String> {
    let mut lines = output.lines().map(str::trim_end).skip_while(|l| *l != VERSION);
    if lines.next().is_none() {
        return Err("the rescue script did not begin: its output has no first line".to_owned());
    }
    let mut out = Report::default();
    let mut failed = None;
    let mut ended = false;
    for line in lines {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "root" => out.root = Some(rest.replace(' ', ", ")),
            "did" => out.did.push(deed(rest)),
            "note" if rest == "key-has-options" => out.notes.push(
                "the key is there a second time, with options in front, which sshd takes first where that line comes first".to_owned(),
            ),
            "fail" => failed = failed.or_else(|| Some(failure(rest))),
            "END" => {
                ended = true;
                break;
            }
            _ => {}
        }
    }
    match failed {
        Some(why) if out.did.is_empty() => Err(why),
        Some(why) => Err(format!("{why}; done before that: {}", out.did.join("; "))),
        None if !ended => Err("the output of the rescue script breaks off: nobody knows what it did".to_owned()),
        None => Ok(out),
    }
}

/// A change in words.
fn deed(rest: &str) -> String {
    let words: Vec<&str> = rest.split_whitespace().collect();
    match words.as_slice() {
        ["key-added", file, ..] => format!("the key is added to {file}"),
        ["mode", path, from, to] => format!("mode of {path} from {from} to {to}"),
        ["owner", path, from, to] => format!("owner of {path} from {from} to {to}"),
        ["made", path] => format!("{path} is made"),
        ["nofail", place] => format!("the mount {place} may fail at boot now"),
        ["saved", file] => format!("the former file is kept as {file}"),
        ["relabel-at-boot", ..] => "SELinux labels all files at the next boot, which takes some minutes".to_owned(),
        ["file-system-mended", part] => format!("the file system of {part} was mended"),
        _ => rest.to_owned(),
    }
}

/// Why it stopped, in words.
fn failure(rest: &str) -> String {
    let (code, words) = rest.split_once(' ').unwrap_or((rest, ""));
    match code {
        "no-disk" => "the volume does not appear on the helper".to_owned(),
        "no-root" => "no file system on the volume looks like a root (no /etc/passwd)".to_owned(),
        "lvm" => "the root lies in an LVM volume, which this repair does not open: repair it by hand on the helper"
            .to_owned(),
        "luks" => "the root is encrypted inside (LUKS): it can only be opened by hand".to_owned(),
        "raid" | "zfs" => format!("the root lies in a {code} volume, which this repair does not open"),
        "not-mounted" => format!("its file system cannot be mounted: {words}"),
        "read-only" => format!("its file system is damaged: {words}"),
        "still-mounted" => format!("the helper does not let go of the volume: {words}"),
        "no-such-user" => format!("the system on it has no user {words} in /etc/passwd"),
        "odd-account" | "odd-home" => format!("the account's home cannot be repaired: {words}"),
        "home-elsewhere" => format!("the home directory is on another volume: {words}"),
        "symlink" => format!("{words} is a symbolic link, which is not followed from outside"),
        "no-fstab" => "there is no /etc/fstab on it".to_owned(),
        "not-written" => format!("it could not be written: {words}"),
        "not-set" => words.to_owned(),
        _ => format!("{code} {words}").trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDh4T9C8zFgGfB6uF6yT0YcPpXp5vYdQ9q0m3E0pC3yq";

    fn login(user: &str, key: Option<&str>) -> RescueJob {
        RescueJob::Login { user: user.to_owned(), key: key.map(str::to_owned) }
    }

    #[test]
    fn nothing_unchecked_reaches_the_shell() {
        let good = script("vol-0abc", &login("ec2-user", Some(KEY)), "m1").unwrap();
        assert!(
            good.starts_with("P22_VOLUME='vol-0abc'\nP22_JOB='login'\nP22_USER='ec2-user'\nP22_KEY='ssh-ed25519 AAAA")
        );
        for user in ["", "a'b", "a b", "$(id)", "-rf", "a\nb", "ü"] {
            assert!(script("vol-0abc", &login(user, None), "m1").is_err(), "{user}");
        }
        for volume in ["", "i-0abc", "vol-'x'", "vol-a b"] {
            assert!(script(volume, &RescueJob::Fstab, "m1").is_err(), "{volume}");
        }
        assert!(script("vol-0abc", &RescueJob::Fstab, "m'1").is_err());
        for key in ["", "ssh-ed25519", "ssh-ed25519 'AAAA'", "BEGIN"] {
            assert!(script("vol-0abc", &login("u", Some(key)), "m1").is_err(), "{key}");
        }
    }

    #[test]
    fn only_an_output_with_its_end_is_believed() {
        let whole = "port22-rescue 1\ndisk /dev/nvme1n1\nroot /dev/nvme1n1p1 xfs\ndid mode /home/u/.ssh 755 700\ndid key-added /home/u/.ssh/authorized_keys 81\nEND\n";
        let report = read(whole).unwrap();
        assert_eq!(
            report.text(),
            "on /dev/nvme1n1p1, xfs: mode of /home/u/.ssh from 755 to 700; the key is added to /home/u/.ssh/authorized_keys"
        );
        assert!(read("port22-rescue 1\ndid mode /x 1 2\n").unwrap_err().contains("breaks off"));
        assert!(read("").unwrap_err().contains("did not begin"));
        assert!(read("sh: 1: Syntax error\nEND\n").unwrap_err().contains("did not begin"));
        assert_eq!(read("port22-rescue 1\nkey there\nEND").unwrap().text(), "nothing had to be changed");
    }

    #[test]
    fn a_refusal_says_why_and_what_was_done_before() {
        let lvm = "port22-rescue 1\ndisk /dev/nvme1n1\nfail lvm the root is in a lvm volume\nEND";
        assert!(read(lvm).unwrap_err().contains("LVM"));
        let half = "port22-rescue 1\nroot a ext4\ndid made /home/u/.ssh\nfail not-written /home/u/.ssh/authorized_keys: 100% full\nEND";
        let why = read(half).unwrap_err();
        assert!(why.contains("100% full") && why.contains("/home/u/.ssh is made"), "{why}");
    }
}
