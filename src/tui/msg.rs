//! What happened, as [`crate::tui::update`] hears it. Named in the past tense, ordered by one queue.

use crate::core::plan::Plan;
use crate::engine::event::{RepairEvent, RunId, Snapshot};
use crate::engine::failure::Failure;
use crate::engine::fleet::FleetEvent;
use crate::engine::inventory::InventoryEvent;
use crate::engine::journal::Entry;
use crossterm::event::KeyEvent;

/// One happening.
#[derive(Debug, Clone)]
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
}
