//! Headings of the instance list, and the popup in which its columns are chosen.

use crate::core::settings::column::Column;
use crate::core::words::{tr, tr_with};
use crate::tui::layout::popup;
use crate::tui::model::{ColumnBox, Model, heading};
use crate::tui::text::{fit, width};
use crate::tui::view::start::selected_style;
use crate::tui::view::widgets::Pen;

/// A heading, with an arrow when the list is sorted by it.
pub fn head(model: &Model, column: &Column, w: u16) -> String {
    let (sort, text) = (&model.start.sort, heading(column));
    if sort.by.as_ref() != Some(column) {
        return text.to_owned();
    }
    let arrow = if sort.descending { "↓" } else { "↑" };
    let gap = if width(text) + 2 > usize::from(w) { "" } else { " " };
    format!("{}{gap}{arrow}", fit(text, usize::from(w).saturating_sub(1)))
}

/// What the frame says beside its title: the order by a column that is not shown, and how many columns are not.
pub fn beside(model: &Model, shown: &[(Column, u16)]) -> String {
    let start = &model.start;
    let mut parts = Vec::new();
    if let Some(by) = start.sort.by.as_ref().filter(|by| !shown.iter().any(|(column, _)| column == *by)) {
        let arrow = if start.sort.descending { "↓" } else { "↑" };
        parts.push(format!("{} {arrow}", heading(by)));
    }
    let hidden = start.columns.len().saturating_sub(shown.len());
    if hidden > 0 && !start.columns.is_empty() {
        parts.push(tr_with("{count} not shown", &[("count", &hidden)]));
    }
    parts.join("  ")
}

/// Draws the columns to choose from.
pub fn choose(model: &Model, choice: &ColumnBox, pen: &mut Pen) {
    let theme = pen.theme;
    let rows = choice.rows.len();
    let area = popup((pen.area.width, pen.area.height), 46, rows as u16 + 3);
    pen.clear(area);
    let inside = pen.frame(area, tr("Columns"), "", true);
    let height = usize::from(inside.height) - 1;
    let offset = choice.cursor.saturating_sub(height - 1);
    for (line, (column, chosen)) in choice.rows.iter().skip(offset).take(height).enumerate() {
        let y = inside.y + line as u16;
        let (mark, style) = if *chosen { ("✓", theme.good()) } else { ("·", theme.muted()) };
        pen.put(inside.x + 2, y, 1, mark, style);
        let room = inside.width - 5;
        let name = column.to_string();
        // A tag's key is its heading, and may be as long as the popup.
        let tag = matches!(column, Column::Tag(_));
        pen.put(inside.x + 4, y, room, &head(model, column, room), theme.text());
        if name != heading(column) && !tag {
            pen.put_right(inside.right() - 1, y, room / 2, &name, theme.muted());
        }
        if offset + line == choice.cursor {
            pen.put(inside.x, y, 1, "▸", theme.key());
            pen.shade(inside.x, y, inside.width, selected_style(theme, true));
        }
    }
    let body = ratatui::layout::Rect { height: inside.height - 1, ..inside };
    pen.more(body, offset > 0, offset + height < rows);
    let note = if choice.rows.iter().any(|(_, chosen)| *chosen) {
        tr("← → move the column, s sorts by it")
    } else {
        tr("none chosen: as wide as the screen allows")
    };
    pen.put(inside.x + 1, inside.bottom() - 1, inside.width - 2, note, theme.muted());
}
