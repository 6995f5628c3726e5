//! What [`crate::tui::update`] asks for: deeds as data, performed by [`crate::tui::run`].
//!
//! Must not hold closures: an effect can be compared, logged and asserted on.

use crate::core::facts::Facts;
use crate::core::fleet::Row;
use crate::core::plan::{Choices, Confirmed};
use crate::core::practice::progress::Solved;
use crate::core::report::compare::Outline;
use crate::core::target::Target;
use crate::engine::diagnose::Request;
use crate::engine::event::{RunId, Snapshot};
use crate::engine::fleet::Wish as FleetWish;
use crate::engine::journal::Entry;
use crate::engine::scope::Scope;
use crate::engine::secret::Secret;
use crate::engine::terminal::Wish;
use crate::tui::model::Wanted;
use crate::tui::pane::emulator::Scroll;
use std::sync::Arc;

/// One deed outside the model.
#[derive(Debug, Clone)]
pub enum Effect {
    /// List the instances; answers carry the same number.
    LoadInventory {
        /// Number of the listing, so that pages of an earlier one are told apart.
        load: u64,
    },
    /// Ask which profiles and Regions one may change to; answers carry the same number.
    LoadScopes {
        /// Number of the question.
        ask: u64,
    },
    /// What follows is about another profile or other Regions.
    ChangeScope(Scope),
    /// Call a user who looks elsewhere.
    Bell(Bell),
    /// Start a diagnosis.
    Diagnose {
        /// Its number.
        run: RunId,
        /// What to diagnose.
        request: Box<Request>,
    },
    /// Stop a diagnosis.
    Cancel {
        /// Its number.
        run: RunId,
    },
    /// Keep the passphrase of a key file for the plan that follows.
    KeepPassphrase {
        /// The key file.
        file: String,
        /// What was typed.
        passphrase: Secret,
    },
    /// Build the plan of a fix and look before the change.
    Plan {
        /// Number of the fix screen.
        run: RunId,
        /// Fix id.
        fix: String,
        /// What the plan is built from.
        facts: Arc<Facts>,
        /// What the user chose among the ways that the plan offers.
        choices: Choices,
    },
    /// Apply a plan that the user has seen and said yes to.
    Apply {
        /// Number of the fix screen.
        run: RunId,
        /// The plan.
        plan: Box<Confirmed>,
        /// The diagnosis to verify with.
        request: Box<Request>,
        /// Whether the plan was on the screen for so long that the world is read again first.
        reread: bool,
    },
    /// Take a journal entry back.
    Undo {
        /// Number of the fix screen.
        run: RunId,
        /// Journal entry.
        entry: String,
        /// Whom it was for.
        request: Box<Request>,
    },
    /// Go on with a repair that was cut short.
    Resume {
        /// Number of the fix screen.
        run: RunId,
        /// The entry.
        entry: Box<Entry>,
        /// Whom it was for.
        request: Box<Request>,
    },
    /// Look at the fleet.
    Fleet {
        /// Its number.
        run: RunId,
        /// What is to be found out.
        wish: Box<FleetWish>,
        /// The ssh options that apply to every instance.
        base: Box<Target>,
    },
    /// Write rows of the fleet into the current directory, as JSON lines and as CSV.
    ExportFleet(Vec<Row>),
    /// Read the journal.
    LoadJournal,
    /// Put a text on the clipboard: by the desktop's own program where there is one, else by the terminal.
    Copy(String),
    /// Put a text on the clipboard of the terminal (OSC 52).
    CopyByTerminal(String),
    /// Write the report of a diagnosis.
    Export(Box<Export>),
    /// Open a terminal; one that is open ends.
    OpenShell {
        /// Its number.
        run: RunId,
        /// Which.
        wish: Box<Wish>,
    },
    /// Send what was typed.
    ShellInput {
        /// Number of the terminal.
        run: RunId,
        /// The bytes.
        typed: Typed,
    },
    /// The pane has another size.
    ShellResize {
        /// Number of the terminal.
        run: RunId,
        /// Columns and rows.
        size: (u16, u16),
    },
    /// Move the view of a terminal.
    ShellScroll {
        /// Its number.
        run: RunId,
        /// How.
        by: Scroll,
    },
    /// End a terminal.
    CloseShell {
        /// Its number.
        run: RunId,
    },
    /// Keep a lesson that was solved.
    KeepSolved(Box<Solved>),
    /// Leave the program.
    Quit,
}

/// A report to write.
#[derive(Debug, Clone)]
pub struct Export {
    /// What is known.
    pub snapshot: Box<Snapshot>,
    /// What was judged before the last repair.
    pub before: Option<Box<Outline>>,
    /// Its form.
    pub wanted: Wanted,
    /// Where to.
    pub place: Place,
    /// Whether its text is ASCII only.
    pub ascii: bool,
}

/// How a user who looks elsewhere is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bell {
    /// The terminal's bell.
    Sound,
    /// A message of the terminal (OSC 9).
    Message(String),
}

/// Where a report goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// A file in the current directory.
    File,
    /// The clipboard.
    Clipboard,
}

/// Bytes for the other side. They may be a password: not even their number is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Typed(pub Vec<u8>);

impl std::fmt::Debug for Typed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Typed(…)")
    }
}
