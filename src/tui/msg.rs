//! What happened, as [`crate::tui::update`] hears it. Named in the past tense, ordered by one queue.

use crate::core::plan::Plan;
use crate::engine::event::{RepairEvent, RunId, Snapshot};
use crate::engine::failure::Failure;
use crate::engine::fleet::FleetEvent;
use crate::engine::inventory::InventoryEvent;
use crate::engine::journal::Entry;
use crate::engine::scope::ScopeEvent;
use crate::engine::terminal::End;
use crate::tui::clipboard::Way;
use crate::tui::pane::frame::Frame;
use crossterm::event::KeyEvent;
use std::fmt;
use std::sync::Arc;

/// One happening.
#[derive(Clone)]
pub enum Msg {
    /// Time has passed; the only way in which the model learns of it.
    Clock {
        /// Milliseconds since the program began.
        ms: u64,
        /// Seconds since 1970.
        unix: i64,
    },
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse wheel was turned, by one notch.
    Wheel {
        /// Away from the user.
        up: bool,
    },
    /// A text was pasted (bracketed paste).
    Pasted(String),
    /// The terminal has another size.
    Resized(u16, u16),
    /// A part of the instance list arrived.
    Inventory {
        /// Number of the listing.
        load: u64,
        /// The part.
        event: InventoryEvent,
    },
    /// The terminal has the focus, or another window has it.
    Focused(bool),
    /// What one may change to became known.
    Scopes {
        /// Number of the question.
        ask: u64,
        /// Profiles or Regions.
        event: ScopeEvent,
    },
    /// A diagnosis learned something.
    Learned(Box<Snapshot>),
    /// A plan was built, or could not be.
    Planned {
        /// Number of the fix screen.
        run: RunId,
        /// The plan, or the reason in one sentence.
        plan: Result<Box<Plan>, String>,
    },
    /// A repair or undo went on.
    Repaired {
        /// Number of the fix screen.
        run: RunId,
        /// What happened.
        event: Box<RepairEvent>,
    },
    /// The fleet was learned of.
    Fleet {
        /// Number of the run.
        run: RunId,
        /// What was learned.
        event: FleetEvent,
    },
    /// The journal was read.
    JournalRead(Result<Vec<Entry>, Failure>),
    /// The report was written: its path, or why not.
    Exported(Result<String, String>),
    /// The report is made and wants to be copied.
    ReportMade(String),
    /// A text is on the clipboard: the first words of it, and which way it went.
    Copied {
        /// First line of the text.
        first: String,
        /// The way.
        way: Way,
    },
    /// A lesson that was solved could not be kept, and why.
    NotKept(String),
    /// The desktop's program failed; the terminal is to be asked.
    NotCopied {
        /// The text.
        text: String,
    },
    /// A terminal was opened.
    ShellOpened {
        /// Its number.
        run: RunId,
        /// What to call it.
        title: String,
    },
    /// A terminal could not be opened.
    ShellFailed {
        /// Its number.
        run: RunId,
        /// Why.
        failure: Failure,
    },
    /// A terminal shows something else.
    ShellDrawn {
        /// Its number.
        run: RunId,
        /// What it shows.
        frame: Arc<Frame>,
    },
    /// There is something to tell about the connection of a terminal.
    ShellNotice {
        /// Its number.
        run: RunId,
        /// What, in a few words.
        text: String,
    },
    /// A terminal ended.
    ShellEnded {
        /// Its number.
        run: RunId,
        /// How.
        end: End,
    },
}

/// The kind alone: keys and pastes may be passwords.
impl fmt::Debug for Msg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clock { .. } => "Clock",
            Self::Key(_) => "Key",
            Self::Wheel { .. } => "Wheel",
            Self::Pasted(_) => "Pasted",
            Self::Resized(..) => "Resized",
            Self::Inventory { .. } => "Inventory",
            Self::Fleet { .. } => "Fleet",
            Self::Focused(_) => "Focused",
            Self::Scopes { .. } => "Scopes",
            Self::Learned(_) => "Learned",
            Self::Planned { .. } => "Planned",
            Self::Repaired { .. } => "Repaired",
            Self::JournalRead(_) => "JournalRead",
            Self::Exported(_) => "Exported",
            Self::ReportMade(_) => "ReportMade",
            Self::Copied { .. } => "Copied",
            Self::NotCopied { .. } => "NotCopied",
            Self::NotKept(_) => "NotKept",
            Self::ShellOpened { .. } => "ShellOpened",
            Self::ShellFailed { .. } => "ShellFailed",
            Self::ShellDrawn { .. } => "ShellDrawn",
            Self::ShellNotice { .. } => "ShellNotice",
            Self::ShellEnded { .. } => "ShellEnded",
        })
    }
}
