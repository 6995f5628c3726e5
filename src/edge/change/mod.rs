//! Changes on this machine, each for a deed of a confirmed plan.
//!
//! Must not touch a file that is not what the plan was made for, and must not write outside the user's own files.

#[cfg(any(windows, test))]
mod acl;
mod chmod;
pub(in crate::edge) mod files;
mod key;
mod prove;

use crate::core::plan::{Action, LocalAction};
use crate::engine::failure::Failure;
use crate::engine::world::{Performed, Settled, StepContext};
use files::Editing;

/// Performs a local action; `None` when the action is not a local one.
pub async fn perform(action: &Action, step: &StepContext) -> Option<Result<Performed, Failure>> {
    match action {
        Action::Chmod { path, from, to } => Some(set_mode(path, *from, *to, step.again).await),
        Action::Local(local) => Some(do_local(local, step).await),
        _ => None,
    }
}

/// Looks what became of a local action of which no answer is known; `None` when the action is not a local one.
pub fn settle(action: &Action, step: &StepContext) -> Option<Settled> {
    let token = files::token(step);
    match action {
        Action::Chmod { path, from, to } => Some(chmod::settle(path, *from, *to)),
        Action::Local(local) => Some(match local {
            LocalAction::ConvertKey { from, sha256, to, form } => conversion(from, sha256, to, *form).settle(&token),
            LocalAction::EditFile { path, before, edit, backup, mode } => {
                Editing { path, before: before.as_deref(), edit, backup, mode: *mode }.settle(&token)
            }
            LocalAction::ProveConfig { .. } => Settled::NotDone,
            _ => Settled::CannotTell("look at the file".to_owned()),
        }),
        _ => None,
    }
}

fn conversion(from: &str, sha256: &str, to: &str, form: crate::core::plan::KeyForm) -> key::Conversion {
    key::Conversion { from: from.to_owned(), sha256: sha256.to_owned(), to: to.to_owned(), form }
}

async fn do_local(action: &LocalAction, step: &StepContext) -> Result<Performed, Failure> {
    let token = files::token(step);
    if let LocalAction::ConvertKey { from, sha256, to, form } = action {
        return conversion(from, sha256, to, *form).perform(token).await;
    }
    if let LocalAction::ProveConfig { config_file, name, wants } = action {
        return prove::config(config_file.as_deref(), name, wants).await;
    }
    let action = action.clone();
    let work = tokio::task::spawn_blocking(move || match &action {
        LocalAction::RemoveFile { path, sha256 } => files::remove(path, sha256),
        LocalAction::EditFile { path, before, edit, backup, mode } => {
            Editing { path, before: before.as_deref(), edit, backup, mode: *mode }.perform(&token)
        }
        LocalAction::RestoreFile { path, after, before, edit, backup } => {
            let editing = Editing { path, before: before.as_deref(), edit, backup, mode: 0o600 };
            files::restore(&editing, after, &token)
        }
        #[cfg(windows)]
        LocalAction::SetAcl { path, user, backup } => acl::set(&acl::icacls, path, user, backup),
        #[cfg(windows)]
        LocalAction::RestoreAcl { path, backup } => acl::restore(&acl::icacls, path, backup),
        _ => Err(Failure::usage("change a file", "this system has no such change", "report this as a bug")),
    });
    work.await.unwrap_or_else(|e| Err(Failure::failed("change a file", e.to_string(), "run the diagnosis again")))
}

async fn set_mode(path: &str, from: u32, to: u32, again: bool) -> Result<Performed, Failure> {
    let file = path.to_owned();
    let done = tokio::task::spawn_blocking(move || chmod::perform(&file, from, to, again)).await;
    done.map_err(|e| Failure::failed(format!("set the mode of {path}"), e.to_string(), "run the diagnosis again"))?
}
