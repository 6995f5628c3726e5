//! Writes a private key in another form into a new file.
//!
//! Must not change or overwrite any file that is there, and must not let the key or its passphrase out by another way
//! than that file.

use super::files;
use crate::core::key::inspect;
use crate::core::plan::{Action, KeyForm, LocalAction};
use crate::edge::convert;
use crate::edge::keys::load_private;
use crate::edge::passphrase;
use crate::edge::tcp::os_words;
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::world::{Performed, Settled};
use std::io::ErrorKind;
use std::path::Path;
use zeroize::Zeroizing;

/// A conversion, as the action says it.
pub(super) struct Conversion {
    pub from: String,
    pub sha256: String,
    pub to: String,
    pub form: KeyForm,
}

impl Conversion {
    fn performed(&self, text: String, bytes: &[u8]) -> Performed {
        let undo = LocalAction::RemoveFile { path: self.to.clone(), sha256: files::sha256(bytes) };
        Performed { text, undo: Some(Action::Local(undo)), changed: true, ..Performed::default() }
    }

    /// The new file, when an attempt that was cut short has made it: the same key in the wanted form.
    fn made(&self) -> Option<Zeroizing<Vec<u8>>> {
        let bytes = files::content(Path::new(&self.to)).ok().flatten().map(Zeroizing::new)?;
        let (found, original) = (inspect(&bytes), inspect(&load_private(&self.from).ok().map(Zeroizing::new)?));
        let same = found.public.is_some() && found.public == original.public;
        (self.form.is_that_of(&found) && same).then_some(bytes)
    }

    /// Writes the copy, or finds it written.
    pub(super) async fn perform(self, token: String) -> Result<Performed, Failure> {
        let doing = format!("write {} in {} to {}", self.from, self.form.title(), self.to);
        let refuse = |reason: String, next: &str| Err(Failure::new(FailureKind::Refused, doing.as_str(), reason, next));
        let bytes = load_private(&self.from).map(Zeroizing::new);
        let bytes = bytes.map_err(|reason| Failure::failed(&doing, reason, "look at the file"))?;
        if files::sha256(&bytes) != self.sha256 {
            return refuse(format!("{} was changed after the plan was made", self.from), "run the same command again");
        }
        if Path::new(&self.to).symlink_metadata().is_ok() {
            return match self.made() {
                Some(made) => {
                    files::sweep(Path::new(&self.to), &token);
                    Ok(self.performed(format!("{} was written already", self.to), &made))
                }
                None => refuse(
                    format!("{} is there now, and is not overwritten", self.to),
                    "move it away, or run the same command again for another name",
                ),
            };
        }
        let secret = if inspect(&bytes).encrypted && self.form != KeyForm::Clean {
            Some(passphrase::get(&self.from).await.map_err(|reason| {
                Failure::new(FailureKind::Refused, doing.as_str(), reason, "run the same command again")
            })?)
        } else {
            None
        };
        let work =
            tokio::task::spawn_blocking(move || self.write(&bytes, secret.as_deref().map(String::as_str), &token));
        match work.await {
            Ok(Ok(performed)) => Ok(performed),
            Ok(Err((reason, next))) => Err(Failure::failed(doing, reason, next)),
            Err(error) => Err(Failure::failed(doing, error.to_string(), "report this as a bug")),
        }
    }

    fn write(&self, bytes: &[u8], secret: Option<&str>, token: &str) -> Result<Performed, (String, &'static str)> {
        let name = Path::new(&self.from).file_stem().unwrap_or_default().to_string_lossy();
        let out = convert::convert(bytes, self.form, secret, &name)
            .map_err(|trouble| (trouble.text(), "PuTTYgen may know more: load the file there"))?;
        let made = files::make(Path::new(&self.to), &out, 0o600, token);
        made.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => (format!("{} is there now, and is not overwritten", self.to), "move it away"),
            _ => (os_words(&error), "look at the rights of the directory"),
        })?;
        let end = if inspect(&out).encrypted { ", with the same passphrase" } else { "" };
        Ok(self.performed(format!("{} is written in {}, mode 0600{end}", self.to, self.form.title()), &out))
    }

    /// What became of it.
    pub(super) fn settle(&self, token: &str) -> Settled {
        let to = Path::new(&self.to);
        if to.symlink_metadata().is_err() {
            // A new file that took no place yet holds the key: it is not left behind.
            let left = files::left_beside(to, token).and_then(|path| Some((files::content(&path).ok()??, path)));
            return left.map_or(Settled::NotDone, |(bytes, path)| {
                let path = path.display().to_string();
                let undo =
                    LocalAction::RemoveFile { path: path.clone(), sha256: files::sha256(&Zeroizing::new(bytes)) };
                let text = format!("{} was not written yet; {path} is left", self.to);
                Settled::Done(Performed {
                    text,
                    undo: Some(Action::Local(undo)),
                    changed: true,
                    ..Performed::default()
                })
            });
        }
        match self.made() {
            Some(made) => Settled::Done(self.performed(format!("{} was written", self.to), &made)),
            None => Settled::CannotTell(format!("{} is there, and it is not the copy", self.to)),
        }
    }
}
