//! The popup in which another profile or Region is chosen.

use crate::core::words::{tr, tr_with};
use crate::tui::layout::popup;
use crate::tui::model::Model;
use crate::tui::model::switcher::Switcher;
use crate::tui::update::switcher::{ROWS, is_now, rows};
use crate::tui::view::start::selected_style;
use crate::tui::view::widgets::Pen;

/// Cells of the first column.
const SORT: u16 = 9;
/// Cells of the name.
const NAME: u16 = 30;

/// Draws the popup.
pub fn draw(model: &Model, switcher: &Switcher, pen: &mut Pen) {
    let theme = pen.theme;
    let rows = rows(model, switcher);
    let area = popup((pen.area.width, pen.area.height), 76, ROWS as u16 + 6);
    pen.clear(area);
    let inside = pen.frame(area, tr("Profile and Region"), tr("their instances are listed"), true);
    pen.spans(
        inside.x + 1,
        inside.y,
        inside.width - 2,
        &[("/", theme.key()), (&switcher.query, theme.strong()), ("▌", theme.key())],
    );
    let height = usize::from(inside.height.saturating_sub(4)).min(ROWS);
    let offset = (switcher.cursor + 1).saturating_sub(height);
    let list = ratatui::layout::Rect::new(inside.x, inside.y + 1, inside.width, height as u16);
    for (line, choice) in rows.iter().skip(offset).take(height).enumerate() {
        let y = list.y + line as u16;
        let mut x = list.x + 2;
        pen.put(x, y, SORT, choice.sort(), theme.muted());
        x += SORT + 1;
        pen.put(x, y, NAME, &choice.name(), theme.text());
        x += NAME + 1;
        let now = if is_now(model, choice) { tr("now") } else { "" };
        let right = crate::tui::text::width(now) as u16;
        pen.put(x, y, (list.right() - x).saturating_sub(right + 2), &choice.about(), theme.muted());
        pen.put_right(list.right() - 1, y, right, now, theme.good());
        if offset + line == switcher.cursor {
            pen.put(list.x, y, 1, "▸", theme.key());
            pen.shade(list.x, y, list.width, selected_style(theme, true));
        }
    }
    if rows.is_empty() {
        pen.put(list.x + 2, list.y, list.width - 3, tr("no profile or Region like that"), theme.muted());
    }
    pen.more(list, offset > 0, offset + height < rows.len());
    let note = ratatui::layout::Rect::new(inside.x + 1, inside.bottom() - 2, inside.width - 2, 2);
    let (text, style) = note_of(switcher);
    pen.paragraph(note, &text, if style { theme.warn() } else { theme.muted() });
}

/// What is to be said below the list, and whether it is a warning.
fn note_of(switcher: &Switcher) -> (String, bool) {
    let failed = |failure: &crate::engine::failure::Failure| {
        tr_with(
            "Could not {doing}: {reason}; {next}.",
            &[("doing", &failure.doing), ("reason", &failure.reason), ("next", &failure.next)],
        )
    };
    match (&switcher.profiles, &switcher.regions) {
        (Some(Err(failure)), _) | (_, Some(Err(failure))) => (failed(failure), true),
        (_, None) => (tr("Asking which Regions are switched on …").to_owned(), false),
        _ => (tr("A profile is listed in its own Region; a Region with the profile of now.").to_owned(), false),
    }
}
