//! How many rows each list has at a terminal size. Shared by `update`, which clamps selections and
//! scrolling, and `view`, which draws.

pub mod columns;

use crate::tui::model::Shelling;
use ratatui::layout::Rect;

/// The smallest terminal that is drawn.
pub const SMALLEST: (u16, u16) = (80, 24);

/// From this width the screens get more columns.
pub const WIDE: u16 = 110;

/// Whether a terminal is large enough.
pub fn large_enough(size: (u16, u16)) -> bool {
    size.0 >= SMALLEST.0 && size.1 >= SMALLEST.1
}

/// The panes of the start screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartLayout {
    /// Instance list with its frame.
    pub instances: Rect,
    /// Symptom list with its frame.
    pub symptoms: Rect,
    /// Rows below the divider on both sides.
    pub detail_rows: u16,
}

/// Lays the start screen out.
pub fn start(size: (u16, u16)) -> StartLayout {
    let (w, h) = size;
    let right = if w >= WIDE { 40 } else { 29 };
    let body = h.saturating_sub(2);
    let detail_rows = if h >= 36 { 6 } else { 4 };
    StartLayout {
        instances: Rect::new(0, 1, w.saturating_sub(right), body),
        symptoms: Rect::new(w.saturating_sub(right), 1, right, body),
        detail_rows,
    }
}

/// Rows of the instance list (without frame, column heads and detail).
pub fn instance_rows(size: (u16, u16)) -> usize {
    let l = start(size);
    usize::from(l.instances.height.saturating_sub(l.detail_rows + 4))
}

/// Rows of the symptom list (without frame, filter and note).
pub fn symptom_rows(size: (u16, u16)) -> usize {
    let l = start(size);
    usize::from(l.symptoms.height.saturating_sub(l.detail_rows + 4))
}

/// The parts of the pane's screen, from top to bottom: header, finding, commands, a rule, the terminal, footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShellLayout {
    /// Lines of the finding, below the header.
    pub finding: Rect,
    /// Lines of the commands.
    pub commands: Rect,
    /// Row of the rule above the terminal; `None` when it has the whole screen.
    pub rule: Option<u16>,
    /// The terminal.
    pub terminal: Rect,
}

/// Lays the pane's screen out. The terminal has all columns, so that zooming changes none of them.
pub fn shell((w, h): (u16, u16), s: &Shelling) -> ShellLayout {
    if s.zoom {
        let none = Rect::new(0, 0, w, 0);
        return ShellLayout {
            finding: none,
            commands: none,
            rule: None,
            terminal: Rect::new(0, 0, w, h.saturating_sub(1)),
        };
    }
    let high = h >= 36;
    let evidence = if high { s.finding.evidence.len().min(2) as u16 } else { 0 };
    // One line says so when there are none.
    let commands = s.commands.len().clamp(1, if high { 6 } else { 3 }) as u16;
    let finding = Rect::new(0, 1, w, 1 + evidence);
    let commands = Rect::new(0, finding.bottom(), w, commands);
    let top = commands.bottom() + 1;
    ShellLayout {
        finding,
        commands,
        rule: Some(commands.bottom()),
        terminal: Rect::new(0, top, w, h.saturating_sub(top + 1)),
    }
}

/// Columns and rows of the terminal in the pane.
pub fn shell_size(size: (u16, u16), s: &Shelling) -> (u16, u16) {
    let terminal = shell(size, s).terminal;
    (terminal.width.max(1), terminal.height.max(1))
}

/// Rows of a list on a screen with header, footer and a frame.
pub fn list_rows(size: (u16, u16)) -> usize {
    usize::from(size.1.saturating_sub(5))
}

/// Moves `offset` as little as possible so that `cursor` is on the screen.
pub fn follow(cursor: usize, offset: usize, rows: usize, total: usize) -> usize {
    let rows = rows.max(1);
    let offset = offset.min(total.saturating_sub(rows));
    if cursor < offset {
        cursor
    } else if cursor >= offset + rows {
        cursor + 1 - rows
    } else {
        offset
    }
}

/// A box in the middle of the screen.
pub fn popup(size: (u16, u16), width: u16, height: u16) -> Rect {
    let w = width.min(size.0.saturating_sub(4));
    let h = height.min(size.1.saturating_sub(2));
    Rect::new((size.0 - w) / 2, (size.1 - h) / 2, w, h)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrolling_moves_only_when_the_cursor_leaves() {
        assert_eq!(follow(3, 0, 5, 10), 0);
        assert_eq!(follow(5, 0, 5, 10), 1);
        assert_eq!(follow(2, 4, 5, 10), 2);
        assert_eq!(follow(9, 9, 5, 10), 5);
        assert_eq!(follow(0, 7, 5, 3), 0);
    }

    #[test]
    fn the_smallest_terminal_has_room_for_a_list() {
        assert!(instance_rows(SMALLEST) >= 8, "{}", instance_rows(SMALLEST));
        assert!(!large_enough((79, 24)) && !large_enough((80, 23)));
    }
}
