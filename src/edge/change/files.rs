//! Own files: made, edited with a copy kept, removed, restored.
//!
//! Every write goes to a new file beside the old one first, which then takes its place: a process that is killed leaves
//! the old content or the new one. Must not touch a file that is not as the plan saw it, and must not write over a file
//! that it was to make.

use crate::core::plan::{Action, Edit, LocalAction};
use crate::core::text::hex;
use crate::edge::tcp::os_words;
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::world::{Performed, Settled, StepContext};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Error, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Text files of a user are not longer.
const LONGEST: u64 = 32 * 1024 * 1024;

/// SHA-256 of a file's content, in hexadecimal digits.
pub(in crate::edge) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The content of a file; `None` when there is none.
pub(in crate::edge) fn content(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::metadata(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(error),
        Ok(seen) if !seen.is_file() => return Err(Error::other("it is no regular file")),
        Ok(seen) if seen.len() > LONGEST => return Err(Error::other("it is far too long")),
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Where a path leads in the end: a link to a file stays a link.
fn place(path: &str) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path))
}

/// A name for the file that is written first; the same for every attempt of a step.
fn beside(path: &Path, token: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{token}"))
}

/// Removes what an attempt of the step that was killed has left beside a path; whether there was something.
pub(in crate::edge) fn sweep(path: &Path, token: &str) -> bool {
    fs::remove_file(beside(path, token.trim_end_matches("-undo"))).is_ok()
}

/// The file that an attempt of the step that was killed has left beside a path, if there is one.
pub(in crate::edge) fn left_beside(path: &Path, token: &str) -> Option<PathBuf> {
    let left = beside(path, token);
    left.symlink_metadata().is_ok().then_some(left)
}

/// Writes a new file whole, with this mode from the beginning on, and sees to it that it is on the disk.
fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    // The umask may have taken bits away, and some file systems set their own.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_directory(path: &Path) {
    if let Some(Ok(directory)) = path.parent().map(File::open) {
        let _ = directory.sync_all();
    }
}

/// Makes a file that must not be there yet.
pub(in crate::edge) fn make(path: &Path, bytes: &[u8], mode: u32, token: &str) -> Result<(), Error> {
    let first = beside(path, token);
    let made = write_whole(&first, bytes, mode).and_then(|()| match fs::hard_link(&first, path) {
        // File systems without hard links: the name is taken, and only then written to.
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
            file.write_all(bytes)?;
            file.sync_all()
        }
        done => done,
    });
    let _ = fs::remove_file(&first);
    sync_directory(path);
    made
}

/// Puts new content in the place of a file, or makes it.
fn replace(path: &Path, bytes: &[u8], mode: u32, token: &str) -> Result<(), Error> {
    let first = beside(path, token);
    let done = write_whole(&first, bytes, mode).and_then(|()| fs::rename(&first, path));
    if done.is_err() {
        let _ = fs::remove_file(&first);
    }
    sync_directory(path);
    done
}

fn mode_of(path: &Path, otherwise: u32) -> u32 {
    fs::metadata(path).map_or(otherwise, |seen| seen.permissions().mode() & 0o7777)
}

fn failed(doing: &str, error: &Error) -> Failure {
    Failure::failed(doing, os_words(error), "look at the file and at the rights of its directory")
}

fn refused(doing: &str, reason: impl Into<String>, next: &str) -> Failure {
    Failure::new(FailureKind::Refused, doing, reason, next)
}

/// An edit of a file, as the action says it.
pub(super) struct Editing<'a> {
    pub path: &'a str,
    pub before: Option<&'a str>,
    pub edit: &'a Edit,
    pub backup: &'a str,
    pub mode: u32,
}

/// What an edit finds.
enum Found {
    /// The file is as the plan saw it.
    AsSeen(Vec<u8>),
    /// The edit was done already; the digest of what is there.
    Done(String),
    /// Something else.
    Other,
}

impl Editing<'_> {
    fn look(&self) -> Result<Found, Error> {
        let now = content(Path::new(self.path))?;
        let digest = now.as_deref().map(sha256);
        if digest.as_deref() == self.before {
            return Ok(Found::AsSeen(now.unwrap_or_default()));
        }
        let old = match self.before {
            None => Vec::new(),
            Some(before) => match content(Path::new(self.backup))?.filter(|kept| sha256(kept) == before) {
                Some(kept) => kept,
                None => return Ok(Found::Other),
            },
        };
        let done = now.is_some_and(|now| now == self.edit.apply(&old));
        Ok(digest.filter(|_| done).map_or(Found::Other, Found::Done))
    }

    fn performed(&self, text: String, after: String) -> Performed {
        let undo = LocalAction::RestoreFile {
            path: self.path.to_owned(),
            after,
            before: self.before.map(str::to_owned),
            edit: self.edit.clone(),
            backup: self.backup.to_owned(),
        };
        Performed { text, undo: Some(Action::Local(undo)), changed: true, ..Performed::default() }
    }

    /// Edits the file.
    pub(super) fn perform(&self, token: &str) -> Result<Performed, Failure> {
        let doing = format!("edit {}", self.path);
        let target = place(self.path);
        match self.look().map_err(|e| failed(&doing, &e))? {
            Found::Done(after) => {
                self.sweep(token);
                Ok(self.performed(format!("{} was edited already", self.path), after))
            }
            Found::Other => Err(refused(
                &doing,
                "the file was changed after the plan was made",
                "nothing was changed; run the same command again for a fresh plan",
            )),
            Found::AsSeen(old) => {
                let new = self.edit.apply(&old);
                if self.before.is_some() {
                    let backup = Path::new(self.backup);
                    let kept = content(backup).map_err(|e| failed(&doing, &e))?;
                    if kept.as_deref().map(sha256).as_deref() != self.before {
                        let mode = mode_of(&target, self.mode) & 0o600;
                        make(backup, &old, mode | 0o400, token)
                            .map_err(|e| failed(&format!("keep a copy of {}", self.path), &e))?;
                    }
                } else if let Some(directory) = target.parent().filter(|d| !d.exists()) {
                    // As ssh makes ~/.ssh: for its owner alone.
                    let mut builder = fs::DirBuilder::new();
                    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
                    builder.create(directory).map_err(|e| failed(&format!("make {}", directory.display()), &e))?;
                }
                let written = if self.before.is_some() {
                    replace(&target, &new, mode_of(&target, self.mode), token)
                } else {
                    make(&target, &new, self.mode, token)
                };
                written.map_err(|e| failed(&doing, &e))?;
                let text = match self.before {
                    Some(_) => format!("{} is changed; {} is the copy of before", self.path, self.backup),
                    None => format!("{} is written", self.path),
                };
                Ok(self.performed(text, sha256(&new)))
            }
        }
    }

    /// Removes what an attempt that was killed has left: new files that took no place yet, and the copy of a file that
    /// is as before. Whether there was something.
    fn sweep(&self, token: &str) -> bool {
        let (target, backup) = (place(self.path), Path::new(self.backup));
        let new = sweep(&target, token);
        sweep(backup, token) || new
    }

    /// Whether an attempt that was killed before it changed the file has left something beside it.
    fn left(&self, token: &str) -> bool {
        let (target, backup) = (place(self.path), Path::new(self.backup));
        left_beside(&target, token).is_some()
            || left_beside(backup, token).is_some()
            || self.before.is_some() && self.kept().is_some()
    }

    /// The copy of before, if it is that.
    fn kept(&self) -> Option<Vec<u8>> {
        content(Path::new(self.backup)).ok().flatten().filter(|kept| Some(sha256(kept).as_str()) == self.before)
    }

    /// What became of it.
    pub(super) fn settle(&self, token: &str) -> Settled {
        match self.look() {
            Ok(Found::Done(after)) => Settled::Done(self.performed(format!("{} was edited", self.path), after)),
            // The undo finds the file as before, and removes what is left beside it.
            Ok(Found::AsSeen(old)) if self.left(token) => {
                let text = format!("{} was not edited yet; a copy is left beside it", self.path);
                Settled::Done(self.performed(text, sha256(&old)))
            }
            Ok(Found::AsSeen(_)) => Settled::NotDone,
            Ok(Found::Other) => Settled::CannotTell(format!("{} is neither as before nor as planned", self.path)),
            Err(error) => Settled::CannotTell(os_words(&error)),
        }
    }
}

/// Takes an edit back: the copy where nothing else was changed, else the edit alone.
pub(super) fn restore(editing: &Editing<'_>, after: &str, token: &str) -> Result<Performed, Failure> {
    let path = editing.path;
    let doing = format!("restore {path}");
    let told = |text: String, changed: bool| Ok(Performed { text, changed, ..Performed::default() });
    let target = place(path);
    let now = content(&target).map_err(|e| failed(&doing, &e))?;
    let digest = now.as_deref().map(sha256);
    if digest.as_deref() == editing.before {
        let copy = editing.before.is_some() && editing.kept().is_some() && fs::remove_file(editing.backup).is_ok();
        let swept = editing.sweep(token) || copy;
        return told(format!("{path} is as before already{}", if swept { "; its copy is removed" } else { "" }), swept);
    }
    let Some(before) = editing.before else {
        if digest.as_deref() != Some(after) {
            let next = "take out by hand what is not wanted";
            return Err(refused(&doing, "the file was changed since it was made", next));
        }
        fs::remove_file(&target).map_err(|e| failed(&doing, &e))?;
        return told(format!("{path} is removed: it was not there before"), true);
    };
    let backup = Path::new(editing.backup);
    let kept = content(backup).map_err(|e| failed(&doing, &e))?.filter(|kept| sha256(kept) == before);
    let Some(kept) = kept else {
        let reason = format!("its copy {} is gone or was changed", editing.backup);
        return Err(refused(&doing, reason, "take out by hand what is not wanted"));
    };
    let mode = mode_of(&target, 0o600);
    if digest.as_deref() == Some(after) {
        replace(&target, &kept, mode, token).map_err(|e| failed(&doing, &e))?;
        let _ = fs::remove_file(backup);
        return told(format!("{path} is as it was before"), true);
    }
    let Some(back) = now.and_then(|now| editing.edit.take_back(&now, &kept)) else {
        let reason = "the file was changed since, and the edit can no longer be told from the rest";
        return Err(refused(&doing, reason, &format!("the copy of before is {}", editing.backup)));
    };
    replace(&target, &back, mode, token).map_err(|e| failed(&doing, &e))?;
    told(
        format!("the edit of {path} is taken back; what else was changed since stays, and so does {}", editing.backup),
        true,
    )
}

/// Removes a file that a step made, if it still is what was made.
pub(in crate::edge) fn remove(path: &str, digest: &str) -> Result<Performed, Failure> {
    let doing = format!("remove {path}");
    match content(Path::new(path)).map_err(|e| failed(&doing, &e))? {
        None => Ok(Performed { text: format!("{path} is gone already"), ..Performed::default() }),
        Some(bytes) if sha256(&bytes) == digest => {
            fs::remove_file(path).map_err(|e| failed(&doing, &e))?;
            Ok(Performed { text: format!("{path} is removed"), changed: true, ..Performed::default() })
        }
        Some(_) => Err(refused(&doing, "it was changed since it was made", "remove it by hand if it is not wanted")),
    }
}

/// The token of a step as a part of a file name.
pub(super) fn token(step: &StepContext) -> String {
    step.token.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn editing<'a>(path: &'a str, before: Option<&'a str>, edit: &'a Edit, backup: &'a str) -> Editing<'a> {
        Editing { path, before, edit, backup, mode: 0o600 }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut all: Vec<String> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        all.sort();
        all
    }

    #[test]
    fn a_file_is_made_with_its_directory_and_taken_away_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".ssh/config");
        let text = path.to_str().unwrap();
        let edit = Edit::Prepend { text: "Include x\n".to_owned() };
        let step = editing(text, None, &edit, "unused");
        assert!(matches!(step.settle("t"), Settled::NotDone));
        let done = step.perform("t").unwrap();
        assert_eq!((mode_of(&path, 0), mode_of(path.parent().unwrap(), 0)), (0o600, 0o700));
        assert_eq!(names(path.parent().unwrap()), ["config"], "nothing else is left behind");
        assert_eq!(step.perform("t").unwrap().undo, done.undo, "an attempt that was cut short is found done");
        let Some(Action::Local(LocalAction::RestoreFile { after, .. })) = done.undo else { panic!("no undo") };
        assert!(restore(&step, &after, "u").unwrap().changed);
        assert!(!path.exists());
        assert!(!restore(&step, &after, "u").unwrap().changed, "twice is once");
    }

    #[test]
    fn an_edit_keeps_mode_link_and_copy_and_refuses_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link, backup) = (dir.path().join("real"), dir.path().join("link"), dir.path().join("copy"));
        fs::write(&real, "one\ntwo\n").unwrap();
        fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let before = sha256(b"one\ntwo\n");
        let edit = Edit::Lines { drop: vec![1], append: vec!["new".to_owned()] };
        let step = editing(link.to_str().unwrap(), Some(&before), &edit, backup.to_str().unwrap());
        let done = step.perform("t").unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "two\nnew\n");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!((mode_of(&real, 0), mode_of(&backup, 0)), (0o640, 0o600));
        assert!(matches!(step.settle("t"), Settled::Done(_)));
        let Some(Action::Local(LocalAction::RestoreFile { after, .. })) = done.undo else { panic!("no undo") };
        restore(&step, &after, "u").unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "one\ntwo\n");
        assert_eq!(names(dir.path()), ["link", "real"], "the copy is gone when it is not needed");

        fs::write(&real, "somebody else\n").unwrap();
        assert_eq!(step.perform("t").unwrap_err().kind, FailureKind::Refused);
        assert!(matches!(step.settle("t"), Settled::CannotTell(_)));
        assert_eq!(fs::read_to_string(&real).unwrap(), "somebody else\n");
        assert!(!backup.exists());
    }

    #[test]
    fn a_step_that_was_killed_after_the_copy_is_done_again() {
        let dir = tempfile::tempdir().unwrap();
        let (path, backup) = (dir.path().join("f"), dir.path().join("copy"));
        fs::write(&path, "one\n").unwrap();
        fs::write(&backup, "one\n").unwrap();
        // What a process that was killed while it wrote leaves behind.
        fs::write(dir.path().join(".f.t"), "hal").unwrap();
        let before = sha256(b"one\n");
        let edit = Edit::Write { text: "two\n".to_owned() };
        let step = editing(path.to_str().unwrap(), Some(&before), &edit, backup.to_str().unwrap());
        let Settled::Done(left) = step.settle("t") else { panic!("what is left is not seen") };
        step.perform("t").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), names(dir.path()).len()), ("two\n", 2));

        // Taken back instead, nothing of it stays.
        fs::write(&path, "one\n").unwrap();
        fs::write(dir.path().join(".f.t"), "hal").unwrap();
        let Some(Action::Local(LocalAction::RestoreFile { after, .. })) = left.undo else { panic!("no undo") };
        assert!(restore(&step, &after, "t-undo").unwrap().changed);
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), names(dir.path())), ("one\n", vec!["f".to_owned()]));
        assert!(matches!(step.settle("t"), Settled::NotDone));
    }

    #[test]
    fn nothing_is_written_over_by_a_file_that_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        fs::write(&path, "mine").unwrap();
        assert_eq!(make(&path, b"new", 0o600, "t").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        assert_eq!(names(dir.path()), ["key.pem"]);
        assert_eq!(remove(path.to_str().unwrap(), "0000").unwrap_err().kind, FailureKind::Refused);
        assert!(remove(path.to_str().unwrap(), &sha256(b"mine")).unwrap().changed);
    }
}
