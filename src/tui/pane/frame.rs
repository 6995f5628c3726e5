//! What is seen of a terminal at one moment: cells, cursor, modes. A copy, so that nobody waits for anybody.

use std::fmt;

/// Modes of the other side that change what keys and pastes send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Modes {
    /// Arrows send `SS3` (DECCKM).
    pub application_cursor: bool,
    /// The keypad sends sequences (DECKPAM).
    pub application_keypad: bool,
    /// A paste comes in brackets (mode 2004).
    pub bracketed_paste: bool,
    /// The alternate screen is shown (an editor, a pager): there is nothing to scroll back.
    pub alternate: bool,
}

/// What is seen.
#[derive(Clone, Default)]
pub struct Frame {
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
    /// Row by row, `columns` in each.
    pub cells: Vec<vt100::Cell>,
    /// Row and column of the cursor, where it is seen.
    pub cursor: Option<(u16, u16)>,
    /// Modes.
    pub modes: Modes,
    /// Lines that the view is scrolled back.
    pub offset: usize,
    /// Lines that can be scrolled back.
    pub history: usize,
}

impl Frame {
    /// A cell.
    pub fn cell(&self, row: u16, column: u16) -> Option<&vt100::Cell> {
        if column >= self.columns {
            return None;
        }
        self.cells.get(usize::from(row) * usize::from(self.columns) + usize::from(column))
    }
}

/// Without what is shown.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({}x{})", self.columns, self.rows)
    }
}
