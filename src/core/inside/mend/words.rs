//! What the scripts say in short words, in sentences for people.
//!
//! Must not judge: a word that is not known is shown as it is.

use super::Mended;

/// A change, such as `mode 777 755 /home/admin`.
pub(super) fn did(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["mode", before, after, path] => format!("mode of {path}: {before:0>4} → {after:0>4}"),
        ["owner", before, after, path] => format!("owner of {path}: {before} → {after}"),
        ["label", before, after, path] => format!("SELinux context of {path}: {before} → {after}"),
        ["made", path] => format!("made {path}"),
        ["made", path, "from", from] => format!("made {path} from {from}"),
        ["key-added", path] => format!("added the key to {path}"),
        ["key-removed", path] => format!("took the former key out of {path}"),
        ["host-key", path, print] => format!("made the host key {path} ({print})"),
        ["host-key", path] => format!("made the host key {path}"),
        ["line-disabled", at, rest @ ..] => format!("disabled line {at} ({})", rest.join(" ")),
        ["removed", path] => format!("removed {path}"),
        ["unmasked", path] => format!("unmasked the service ({path})"),
        ["configured", path] => format!("wrote settings into {path}"),
        ["service", "started"] => "started sshd".to_owned(),
        ["service", "enabled"] => "enabled sshd at boot".to_owned(),
        ["service", "reloaded"] => "reloaded sshd (open sessions stay)".to_owned(),
        ["allowed", address, path] => format!("let {address} pass in {path}"),
        ["value", "expire", user, ..] => format!("the account of {user} has no end any more"),
        ["value", "lastchg", user, ..] => format!("the password of {user} counts as changed today"),
        ["value", "lock", user, ..] => format!("the account of {user} is not locked any more, and has no password"),
        ["value", "shell", user, old, new] => format!("shell of {user}: {old} → {new}"),
        ["value", filter, place, ..] => {
            let (address, port) = place.split_once(',').unwrap_or((place, "?"));
            format!("the packet filter ({}) lets {address} pass at port {port}", filter.replace(':', " "))
        }
        ["back", name, "of", whom] => format!("put back {name} of {whom}"),
        ["back", path] => format!("put back {path}"),
        _ => text.to_owned(),
    }
}

/// Something worth knowing.
pub(super) fn note(word: &str, text: &str) -> String {
    match (word, text.split(' ').collect::<Vec<_>>().as_slice()) {
        ("attribute", [flags, path]) => {
            format!("{path} has the attribute {flags} (chattr): taken off for the change and put back after it")
        }
        ("note", ["last-line-ended", path]) => format!("the last line of {path} had no end, and has one now"),
        ("note", ["assumed", files]) => format!("sshd does not tell its AuthorizedKeysFile; assumed {files}"),
        ("note", ["left", "authenticationmethods"]) => {
            "sshd asks for more than a key on purpose (AuthenticationMethods): left".to_owned()
        }
        ("note", ["left", path]) => format!("{path} is left: the system is starting or going down"),
        ("note", ["until-boot"]) => "a rule of the packet filter holds until the next boot only".to_owned(),
        ("note", ["left-lock", user]) => {
            format!("the account of {user} is locked before a password, which an undo could not set back: left")
        }
        ("added", _) => format!("setting: {text}"),
        ("left", _) => format!("not put back: {text}"),
        _ => text.to_owned(),
    }
}

/// Why a script did nothing.
pub(super) fn reason(text: &str, mended: &Mended) -> String {
    let (word, about) = text.split_once(' ').unwrap_or((text, ""));
    match word {
        "no-such-user" => format!("there is no user {about} on the instance"),
        "odd-home" => format!("the home directory of the user is '{about}', which is no one's own"),
        "odd-path" => "a path has characters that a script must not touch".to_owned(),
        "home-not-mounted" => format!("{about} is in fstab and not mounted: what is beneath it is not the user's home"),
        "no-home" => format!("there is no home directory {about}"),
        "no-key-file" if about.trim() == "none" => {
            "sshd is told to read no authorized_keys file (AuthorizedKeysFile none)".to_owned()
        }
        "no-key-file" => format!("there is no key file ({about}): remote-add-key makes one"),
        "no-directory" => format!("there is no directory {about} for the file that sshd reads"),
        "link" => format!("{about} is a symbolic link, and root does not follow a link that a user can change"),
        "several-names" => format!("{about} has several names (hard links): what is done to it is done to the others"),
        "not-a-file" => format!("{about} is no regular file: look at it and move it aside"),
        "limited" => {
            "the key is there already, with options that limit it (from=, command= or expiry-time=): they were set on \
             purpose, so they are changed by hand"
                .to_owned()
        }
        "immutable" => format!("the attribute that forbids changes cannot be taken off {about}"),
        "no-backup" => {
            "what is there cannot be written down in /var/lib/port22: the disk is full or read-only".to_owned()
        }
        "cannot-change-mode" => {
            format!("the mode of {about} cannot be changed (its filesystem keeps none, or is read-only)")
        }
        "cannot-change-owner" => format!("the owner of {about} cannot be changed (network or read-only filesystem)"),
        "cannot-make" | "cannot-write" => format!("{about} cannot be written (full or read-only disk, quota)"),
        "not-installed" => "sshd is not installed: install the package openssh-server".to_owned(),
        "no-ssh-keygen" => "there is no ssh-keygen that could make host keys".to_owned(),
        "no-config" => "/etc/ssh/sshd_config is gone, and the package left no copy of it".to_owned(),
        "port-in-use" => format!("{about} listens at the port: stop it, or move one of both to another port"),
        "restricts" => {
            let (at, keyword) = about.split_once(' ').unwrap_or((about, ""));
            format!(
                "sshd cannot read {at}, and without that line ({keyword}) more would be allowed than was meant: correct it by hand"
            )
        }
        "config-error" => format!("sshd does not accept its configuration: {about}"),
        "cannot-reload" => "sshd could not be reloaded".to_owned(),
        "cannot-enable" => "the service could not be enabled".to_owned(),
        "not-listening" => format!("sshd does not listen at port {about} after its start: its log says why"),
        "cannot-set" => format!("{about} cannot be set (an account of another directory, or a tool that is missing)"),
        "changed-since" => {
            let left: Vec<&str> = mended.notes.iter().filter_map(|n| n.strip_prefix("not put back: ")).collect();
            format!("somebody changed it since: {}", left.join(", "))
        }
        "no-record" => "the record of the change is gone from /var/lib/port22 (another root volume?)".to_owned(),
        "earlier-attempt" => "an attempt that was cut short could not be put back".to_owned(),
        _ => text.to_owned(),
    }
}
