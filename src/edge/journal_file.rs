//! The journal as a file: one line of JSON for each thing that happened to a repair.
//!
//! Append-only, and on the disk before the caller goes on: a crash in the middle of a repair must leave
//! the record of what was begun. Must not perform or judge anything. Used by `engine::repair` and the
//! journal commands through [`Journal`].

mod lock;

use crate::core::plan::Plan;
use crate::core::text::{civil, shell_quote};
use crate::edge::tcp::os_words;
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::journal::{Entry, Journal, Line, LineEvent, entries};
use lock::Locks;
use rustix::fs::{FlockOperation, flock};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Error, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Name of the file in the state directory.
const FILE: &str = "journal.jsonl";

/// The user's state directory (`XDG_STATE_HOME/port22`, or the platform's own); `None` without a home directory.
pub fn state_directory() -> Option<PathBuf> {
    let dirs = directories::ProjectDirs::from("", "", "port22")?;
    Some(dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir()).to_path_buf())
}

/// The journal in a state directory (`$XDG_STATE_HOME/port22`).
#[derive(Debug)]
pub struct JournalFile {
    directory: PathBuf,
    locks: Locks,
}

impl JournalFile {
    /// A journal in a directory, which is made when the first line is written.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        Self { locks: Locks::new(directory.join("locks")), directory }
    }

    /// Path of the file.
    pub fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// Every line that can be read, oldest first. A line that cannot (torn by a crash, or written by a
    /// newer version) is passed over.
    fn lines(&self) -> Result<Vec<Line>, Error> {
        let bytes = match std::fs::read(self.path()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        Ok(parse(&bytes, &self.path()))
    }

    /// Opens the file for one more line, and keeps other processes from writing until it is closed.
    fn open(&self) -> Result<File, Error> {
        make_directory(&self.directory)?;
        let path = self.path();
        let new = !path.exists();
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        if new {
            sync_directory(&self.directory)?;
        }
        Ok(file)
    }

    /// Writes one line, and returns only when it is on the disk.
    fn write(file: &mut File, line: &Line) -> Result<(), Error> {
        let mut bytes = Vec::new();
        if !ends_with_line_end(file)? {
            bytes.push(b'\n');
        }
        serde_json::to_writer(&mut bytes, line)?;
        bytes.push(b'\n');
        file.write_all(&bytes)?;
        file.sync_all()
    }

    fn unwritable(&self, error: &Error) -> Failure {
        let path = self.path().display().to_string();
        Failure::failed(
            format!("write the journal {path}"),
            os_words(error),
            format!(
                "nothing is changed without a journal: make {} writable",
                shell_quote(&self.directory.display().to_string())
            ),
        )
    }

    /// The plan's subject of an entry.
    fn subject_of(&self, entry: &str) -> Result<Option<String>, Error> {
        let found = self.lines()?.into_iter().find_map(|line| match line.event {
            LineEvent::Begun { plan } if line.entry == entry => Some(plan.subject),
            _ => None,
        });
        Ok(found)
    }
}

impl Journal for JournalFile {
    fn begin(&self, plan: &Plan) -> Result<String, Failure> {
        let locked = self.locks.take(&plan.subject).map_err(|error| self.unwritable(&error))?;
        let Some(locked) = locked else {
            return Err(busy(&plan.subject));
        };
        let begun = || -> Result<String, Error> {
            let mut file = self.open()?;
            let now = now();
            let lines = self.lines()?;
            let last = lines.iter().rev().find(|line| matches!(line.event, LineEvent::Begun { .. }));
            let entry = next_id(now, last.map(|line| line.entry.as_str()));
            Self::write(
                &mut file,
                &Line { entry: entry.clone(), at: now, event: LineEvent::Begun { plan: Box::new(plan.clone()) } },
            )?;
            Ok(entry)
        };
        let entry = begun().map_err(|error| self.unwritable(&error))?;
        self.locks.keep(&entry, locked);
        Ok(entry)
    }

    /// An entry that this process has not begun (undo, resume) is locked at its first line, and given
    /// free by [`Journal::end`] or by the line that closes it.
    fn append(&self, entry: &str, event: LineEvent) -> Result<(), Failure> {
        let subject = if self.locks.holds(entry) {
            None
        } else {
            self.subject_of(entry).map_err(|error| self.unwritable(&error))?
        };
        if let Some(subject) = subject {
            match self.locks.take(&subject).map_err(|error| self.unwritable(&error))? {
                Some(locked) => self.locks.keep_until_closed(entry, locked),
                None => return Err(busy(&subject)),
            }
        }
        let closes = matches!(
            event,
            LineEvent::Ended { .. } | LineEvent::Undone | LineEvent::UndoFailed { .. } | LineEvent::StepFailed { .. }
        );
        let line = Line { entry: entry.to_owned(), at: now(), event };
        let written = self.open().and_then(|mut file| Self::write(&mut file, &line));
        if closes || written.is_err() {
            self.locks.close(entry);
        }
        written.map_err(|error| self.unwritable(&error))
    }

    fn end(&self, entry: &str) {
        self.locks.end(entry);
    }

    fn entries(&self) -> Result<Vec<Entry>, Failure> {
        let lines = self.lines().map_err(|error| {
            Failure::failed(
                format!("read the journal {}", self.path().display()),
                os_words(&error),
                "look at the rights of the file",
            )
        })?;
        Ok(entries(&lines))
    }
}

fn busy(subject: &str) -> Failure {
    let doing = format!("repair {subject}");
    Failure::new(
        FailureKind::Refused,
        doing,
        format!("another port22 is repairing {subject}"),
        "wait until it has ended, then look at 'port22 journal'",
    )
}

/// Reads lines; what is no line of a journal is passed over with a warning.
fn parse(bytes: &[u8], path: &Path) -> Vec<Line> {
    let mut out = Vec::new();
    for (index, text) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if text.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice(text) {
            Ok(line) => out.push(line),
            Err(error) => tracing::warn!("{}:{}: not a line of the journal: {error}", path.display(), index + 1),
        }
    }
    out
}

/// Whether the next line can follow directly: the file is empty or its last line is whole.
fn ends_with_line_end(file: &mut File) -> Result<bool, Error> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Makes a directory that is for the user alone, and its parents.
fn make_directory(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_directory)
}

/// The name of a new file is on the disk only after its directory is.
fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path)?.sync_all()
}

/// Seconds since 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| i64::try_from(passed.as_secs()).unwrap_or(i64::MAX))
}

/// The id after `last`: time (UTC) and a number, such as `20261121-093015-1`. It never goes back, even
/// when the clock does.
fn next_id(now: i64, last: Option<&str>) -> String {
    let time = stamp(now);
    match last.and_then(|id| id.rsplit_once('-')).and_then(|(time, number)| Some((time, number.parse::<u64>().ok()?))) {
        Some((last_time, number)) if last_time >= time.as_str() => {
            format!("{last_time}-{}", number + 1)
        }
        _ => format!("{time}-1"),
    }
}

/// `YYYYMMDD-HHMMSS` in UTC.
fn stamp(seconds: i64) -> String {
    let rest = seconds.rem_euclid(86_400);
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    format!("{year:04}{month:02}{day:02}-{:02}{:02}{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests;
