//! The help page of a screen and the command palette, both from the key table.

use crate::core::words::{tr, tr_with};
use crate::tui::keys::{self, Context, TABLE};
use crate::tui::layout::popup;
use crate::tui::model::Model;
use crate::tui::text::width;
use crate::tui::update::overlay::palette_rows;
use crate::tui::view::start::selected_style;
use crate::tui::view::widgets::Pen;
use ratatui::layout::Rect;
use ratatui::style::Style;

fn keys_of(keys: &str) -> String {
    keys.split(' ').map(keys::shown).collect::<Vec<_>>().join(" ")
}

/// Draws the help page.
pub fn help(model: &Model, scroll: usize, pen: &mut Pen) {
    let theme = pen.theme;
    let context = model.screen_context();
    let area = popup((pen.area.width, pen.area.height), 76, pen.area.height - 2);
    pen.clear(area);
    let inside = pen.frame(
        area,
        &tr_with("Keys: {screen}", &[("screen", &context.title())]),
        tr("what works now is bright"),
        true,
    );
    let mut lines: Vec<(String, Style)> = Vec::new();
    for (section, title) in [(context, ""), (Context::Common, tr("On every screen")), (Context::Always, "")] {
        if context.is_shell() && section != context {
            continue;
        }
        if section == Context::Common && (context.is_text() || context.is_overlay()) {
            continue;
        }
        if !title.is_empty() {
            lines.push((String::new(), theme.text()));
            lines.push((title.to_owned(), theme.key()));
        }
        for b in TABLE.iter().filter(|b| b.context == section) {
            let style = if (b.when)(model) { theme.text() } else { theme.muted() };
            let keys = keys_of(b.keys);
            let gap = " ".repeat(16usize.saturating_sub(width(&keys)));
            lines.push((format!("{keys}{gap}  {}", tr(b.help)), style));
        }
    }
    lines.push((String::new(), theme.text()));
    lines.push((tr("Signs").to_owned(), theme.key()));
    lines.push((tr("✓ pass   ✗ fail   ? cannot tell   – skipped   · waiting   ! note").to_owned(), theme.text()));
    pen.lines(Rect::new(inside.x + 2, inside.y, inside.width - 3, inside.height), &lines, scroll);
}

/// Draws the command palette.
pub fn palette(model: &Model, query: &str, cursor: usize, pen: &mut Pen) {
    let theme = pen.theme;
    let rows = palette_rows(model, query);
    let area = popup((pen.area.width, pen.area.height), 70, 16);
    pen.clear(area);
    let inside = pen.frame(area, tr("Do what?"), "", true);
    pen.spans(
        inside.x + 1,
        inside.y,
        inside.width - 2,
        &[(": ", theme.key()), (query, theme.strong()), ("▌", theme.key())],
    );
    let height = usize::from(inside.height) - 1;
    let offset = cursor.saturating_sub(height - 1);
    for (line, b) in rows.iter().skip(offset).take(height).enumerate() {
        let y = inside.y + 1 + line as u16;
        let key = keys::shown(b.keys.split(' ').next().unwrap_or_default());
        pen.put(inside.x + 2, y, inside.width - 14, tr(b.help), theme.text());
        pen.put_right(inside.right() - 1, y, 10, &key, theme.key());
        if offset + line == cursor {
            pen.put(inside.x, y, 1, "▸", theme.key());
            pen.shade(inside.x, y, inside.width, selected_style(theme, true));
        }
    }
    if rows.is_empty() {
        pen.put(inside.x + 2, inside.y + 1, inside.width - 3, tr("no action like that"), theme.muted());
    }
}
