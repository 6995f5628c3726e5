//! A terminal on the instance, in a pane of the screen.

use crate::core::facts::Facts;
use crate::core::suggest::Suggestion;
use crate::engine::event::RunId;
use crate::engine::failure::Failure;
use crate::engine::terminal::{Door, End};
use crate::tui::pane::frame::Frame;
use std::sync::Arc;

/// A terminal on the screen.
#[derive(Debug)]
pub struct Shelling {
    /// Its number.
    pub run: RunId,
    /// The way in.
    pub door: Door,
    /// What is known of the target.
    pub facts: Arc<Facts>,
    /// What to call it, once it is open.
    pub title: String,
    /// Where it stands.
    pub phase: ShellPhase,
    /// Who gets the keys.
    pub mode: ShellMode,
    /// Whether the terminal has the whole screen.
    pub zoom: bool,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// What it shows; `None` before the first output.
    pub frame: Option<Arc<Frame>>,
    /// What was told last about the connection, and when.
    pub told: Option<(String, u64)>,
    /// The finding that brought the user here.
    pub finding: ShellFinding,
    /// What to try inside.
    pub commands: Vec<Suggestion>,
    /// Which of them is next.
    pub marked: usize,
    /// When it was asked for, on the model's clock.
    pub began_ms: u64,
}

/// A finding as the pane shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShellFinding {
    /// How certain it is; `None` without a cause.
    pub certainty: Option<crate::core::cause::Certainty>,
    /// The cause in one line, or that there is none.
    pub title: String,
    /// What was seen.
    pub evidence: Vec<String>,
}

/// Where a terminal stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShellPhase {
    /// The door is being opened.
    Opening,
    /// It is open.
    Open,
    /// It is over.
    Ended(End),
    /// It could not be opened.
    Failed(Failure),
}

/// Who gets the keys of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShellMode {
    /// The other side.
    Remote,
    /// port22, for one key.
    Keys,
    /// The scroll-back.
    Scroll,
}
