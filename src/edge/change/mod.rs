//! Changes on this machine, each for a deed of a confirmed plan.
//!
//! Must not touch a file that is not what the plan was made for, and must not write outside the user's own files.

mod chmod;

use crate::core::plan::Action;
use crate::engine::failure::Failure;
use crate::engine::world::{Performed, Settled, StepContext};

/// Performs a local action; `None` when the action is not a local one.
pub async fn perform(action: &Action, _step: &StepContext) -> Option<Result<Performed, Failure>> {
    match action {
        Action::Chmod { path, from, to } => Some(set_mode(path, *from, *to).await),
        _ => None,
    }
}

/// Looks what became of a local action of which no answer is known; `None` when the action is not a local one.
pub async fn settle(action: &Action, _step: &StepContext) -> Option<Settled> {
    match action {
        Action::Chmod { .. } => Some(Settled::CannotTell("look at the mode of the file".to_owned())),
        _ => None,
    }
}

async fn set_mode(path: &str, from: u32, to: u32) -> Result<Performed, Failure> {
    let file = path.to_owned();
    let done = tokio::task::spawn_blocking(move || chmod::perform(&file, from, to)).await;
    let text = done
        .map_err(|e| Failure::failed(format!("set the mode of {path}"), e.to_string(), "run the diagnosis again"))??;
    let changed = !text.contains("already has mode");
    let undo = changed.then(|| Action::Chmod { path: path.to_owned(), from: to, to: from });
    Ok(Performed { text, undo, changed, ..Performed::default() })
}
