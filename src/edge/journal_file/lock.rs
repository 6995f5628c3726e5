//! One repair at a time for each subject, among all processes of a user.
//!
//! The lock is the kernel's (flock(2)) on a file named after the subject, so that it ends with the
//! process however that ends. Lock files are never removed: removing one while another process waits
//! for it would let two in.

use crate::core::text::hex;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Error;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The locks that this process holds, by entry.
#[derive(Debug)]
pub(super) struct Locks {
    directory: PathBuf,
    held: Mutex<HashMap<String, Held>>,
}

#[derive(Debug)]
struct Held {
    /// The lock ends when the file is closed.
    _file: File,
    /// Whether the line that closes the entry gives it free.
    until_closed: bool,
}

impl Locks {
    /// Locks in a directory, which is made when the first one is taken.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, held: Mutex::default() }
    }

    /// Takes the lock of a subject; `None` when somebody has it.
    pub fn take(&self, subject: &str) -> Result<Option<File>, Error> {
        super::make_directory(&self.directory)?;
        let path = self.directory.join(file_name(subject));
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps a lock until [`Self::end`].
    pub fn keep(&self, entry: &str, file: File) {
        self.held().insert(entry.to_owned(), Held { _file: file, until_closed: false });
    }

    /// Keeps a lock until [`Self::close`] or [`Self::end`].
    pub fn keep_until_closed(&self, entry: &str, file: File) {
        self.held().insert(entry.to_owned(), Held { _file: file, until_closed: true });
    }

    /// Whether this process has the lock of an entry.
    pub fn holds(&self, entry: &str) -> bool {
        self.held().contains_key(entry)
    }

    /// Gives a lock free that was kept until the entry closes.
    pub fn close(&self, entry: &str) {
        self.held().retain(|held, lock| held != entry || !lock.until_closed);
    }

    /// Gives the lock of an entry free.
    pub fn end(&self, entry: &str) {
        self.held().remove(entry);
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A subject can be a path: a hash names the file, and a readable beginning helps people.
fn file_name(subject: &str) -> String {
    let readable: String = subject.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
    let hash = hex(&Sha256::digest(subject.as_bytes())[..8]);
    format!("{readable}.{hash}.lock")
}
