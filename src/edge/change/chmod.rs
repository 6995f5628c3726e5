//! Sets the mode of a file.
//!
//! Only for a deed of a confirmed plan. Must not touch a file that is not what the plan was made for.

use crate::core::plan::Action;
use crate::core::text::shell_quote;
use crate::edge::keys::expand;
use crate::edge::tcp::os_words;
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::world::{Performed, Settled};
use rustix::fs::OFlags;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Permission bits of `st_mode`.
const BITS: u32 = 0o7777;

/// Sets the mode of `path` to `to` if it still is `from` and the file is the user's own, and looks
/// again, because some file systems take a mode and forget it. A link's target counts, as it does for
/// ssh (OpenSSH authfile.c, `sshkey_perm_ok`). A file that already has the mode is left alone, and counts as changed only
/// `again`: an attempt of the same step that was cut short may have done it.
pub fn perform(path: &str, from: u32, to: u32, again: bool) -> Result<Performed, Failure> {
    let doing = format!("chmod {to:04o} {}", shell_quote(path));
    let file_path = expand(path);
    let seen = std::fs::metadata(&file_path)
        .map_err(|error| failed(&doing, &os_words(&error), "look at the path and at the rights of its directories"))?;
    check(&seen, from, to, &doing)?;
    let mode = seen.mode() & BITS;
    if mode == to {
        return Ok(done(path, from, to, format!("{path} already has mode {to:04o}"), again));
    }
    change(&file_path, &seen, to).map_err(|reason| {
        failed(&doing, &reason, "copy the key to a directory of your own, such as ~/.ssh, and use the copy")
    })?;
    let now =
        std::fs::metadata(&file_path).map_err(|error| failed(&doing, &os_words(&error), "look at the file"))?.mode()
            & BITS;
    if now != to {
        let reason = format!("chmod has no effect on this filesystem: the mode is still {now:04o}");
        return Err(failed(&doing, &reason, "copy the key to ~/.ssh, where modes count, and use the copy"));
    }
    Ok(done(path, from, to, format!("{path} had mode {mode:04o} and has {to:04o} now"), true))
}

/// Looks what became of it: with the wanted mode it was done, with the former one not.
pub fn settle(path: &str, from: u32, to: u32) -> Settled {
    match std::fs::metadata(expand(path)).map(|seen| seen.mode() & BITS) {
        Ok(mode) if mode == to => Settled::Done(done(path, from, to, format!("{path} has mode {to:04o}"), true)),
        Ok(mode) if mode == from => Settled::NotDone,
        Ok(mode) => Settled::CannotTell(format!("{path} has mode {mode:04o}, neither the former nor the wanted one")),
        Err(error) => Settled::CannotTell(format!("{path}: {}", os_words(&error))),
    }
}

fn done(path: &str, from: u32, to: u32, text: String, changed: bool) -> Performed {
    let undo = changed.then(|| Action::Chmod { path: path.to_owned(), from: to, to: from });
    Performed { text, undo, changed, ..Performed::default() }
}

/// Whether the file is the one that the plan was made for.
fn check(seen: &Metadata, from: u32, to: u32, doing: &str) -> Result<(), Failure> {
    let refuse = |reason: String, next: &str| Err(Failure::new(FailureKind::Refused, doing, reason, next));
    let me = rustix::process::geteuid().as_raw();
    let mode = seen.mode() & BITS;
    if !seen.is_file() {
        return refuse("it is no regular file".to_owned(), "give the path of the key file");
    }
    if seen.uid() != me {
        return refuse(
            format!("the file belongs to uid {}, and you are {me}", seen.uid()),
            "copy the file, so that the copy is yours",
        );
    }
    if mode != from && mode != to {
        return refuse(
            format!("the mode was {from:04o} when the plan was made and is {mode:04o} now"),
            "diagnose again",
        );
    }
    Ok(())
}

/// Changes the very file that was looked at.
fn change(path: &Path, seen: &Metadata, to: u32) -> Result<(), String> {
    let opened = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path);
    match opened {
        Ok(file) => {
            same_file(&file, seen)?;
            file.set_permissions(Permissions::from_mode(to)).map_err(|error| os_words(&error))
        }
        // An own file without read permission can be changed by name only.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            std::fs::set_permissions(path, Permissions::from_mode(to)).map_err(|error| os_words(&error))
        }
        Err(error) => Err(os_words(&error)),
    }
}

fn same_file(file: &File, seen: &Metadata) -> Result<(), String> {
    let opened = file.metadata().map_err(|error| os_words(&error))?;
    if (opened.dev(), opened.ino()) == (seen.dev(), seen.ino()) {
        Ok(())
    } else {
        Err("the file was replaced meanwhile".to_owned())
    }
}

fn failed(doing: &str, reason: &str, next: &str) -> Failure {
    Failure::failed(doing, reason, next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn file(dir: &Path, mode: u32) -> String {
        let path = dir.join("a key.pem");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn mode(path: &str) -> u32 {
        fs::metadata(path).unwrap().mode() & BITS
    }

    #[test]
    fn the_mode_is_set_and_a_second_time_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path(), 0o644);
        let back = Some(Action::Chmod { path: path.clone(), from: 0o600, to: 0o644 });
        let first = perform(&path, 0o644, 0o600, false).unwrap();
        assert_eq!(first.text, format!("{path} had mode 0644 and has 0600 now"));
        assert_eq!((mode(&path), first.changed, &first.undo), (0o600, true, &back));
        let second = perform(&path, 0o644, 0o600, false).unwrap();
        assert_eq!(second.text, format!("{path} already has mode 0600"));
        assert_eq!((second.changed, second.undo), (false, None), "somebody else did it");
        let resumed = perform(&path, 0o644, 0o600, true).unwrap();
        assert_eq!((resumed.changed, &resumed.undo), (true, &back), "the attempt that was cut short did it");
        assert!(perform(&path, 0o600, 0o644, false).unwrap().changed);
        assert_eq!(mode(&path), 0o644);
    }

    #[test]
    fn what_became_of_it_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path(), 0o644);
        assert_eq!(settle(&path, 0o644, 0o400), Settled::NotDone);
        assert!(matches!(settle(&path, 0o664, 0o644), Settled::Done(done) if done.undo.is_some()));
        assert!(matches!(settle(&path, 0o664, 0o400), Settled::CannotTell(_)));
        assert!(matches!(settle("/nonexistent/key", 0o664, 0o400), Settled::CannotTell(_)));
    }

    #[test]
    fn an_own_file_that_nobody_may_read_can_be_repaired() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path(), 0o022);
        assert!(perform(&path, 0o022, 0o600, false).is_ok());
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn another_state_than_planned_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path(), 0o666);
        let refused = perform(&path, 0o644, 0o600, false).unwrap_err();
        assert_eq!(refused.kind, FailureKind::Refused);
        assert_eq!(refused.reason, "the mode was 0644 when the plan was made and is 0666 now");
        assert_eq!(mode(&path), 0o666);
        let directory = perform(dir.path().to_str().unwrap(), 0o700, 0o600, false).unwrap_err();
        assert_eq!((directory.kind, directory.reason.as_str()), (FailureKind::Refused, "it is no regular file"));
        let missing = perform("/nonexistent/key", 0o644, 0o600, false).unwrap_err();
        assert_eq!((missing.kind, missing.reason.as_str()), (FailureKind::Failed, "No such file or directory"));
        assert_eq!(missing.doing, "chmod 0600 /nonexistent/key");
    }

    #[test]
    fn the_target_of_a_link_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path(), 0o644);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(perform(link.to_str().unwrap(), 0o644, 0o400, false).is_ok());
        assert_eq!(mode(&path), 0o400);
    }
}
