//! The journal: changes made, newest first, and what is known of the selected one.

use crate::core::words::tr;
use crate::engine::journal::{Entry, EntryState};
use crate::tui::model::{JournalList, Model};
use crate::tui::text::{ago, utc};
use crate::tui::theme::Mark;
use crate::tui::update::journal::{rows, selected};
use crate::tui::view::body;
use crate::tui::view::start::selected_style;
use crate::tui::view::widgets::{Pen, header, wrapped};
use ratatui::layout::Rect;
use ratatui::style::Style;

fn state(state: EntryState) -> (Mark, &'static str) {
    match state {
        EntryState::InForce => (Mark::Pass, tr("in force")),
        EntryState::Undone => (Mark::Skipped, tr("undone")),
        EntryState::Failed => (Mark::Fail, tr("failed")),
        EntryState::Interrupted => (Mark::Warn, tr("interrupted")),
    }
}

/// Draws the screen.
pub fn draw(model: &Model, list: &JournalList, pen: &mut Pen) {
    let theme = pen.theme;
    header(
        pen,
        &[(tr(" Journal "), theme.badge()), (tr("every change made by port22 on this machine"), theme.muted())],
        &[],
    );
    let area = body(pen);
    let inside = pen.frame(area, tr("Changes"), "", true);
    let entries = match &list.entries {
        None => {
            pen.put(inside.x + 2, inside.y + 1, inside.width - 4, tr("Reading …"), theme.muted());
            return;
        }
        Some(Err(failure)) => {
            pen.paragraph(
                Rect::new(inside.x + 2, inside.y + 1, inside.width - 4, 6),
                &failure.to_string(),
                theme.warn(),
            );
            return;
        }
        Some(Ok(entries)) if entries.is_empty() => {
            let text = tr("Nothing was changed yet. What a fix changes is written here before it is done.");
            pen.paragraph(Rect::new(inside.x + 2, inside.y + 1, inside.width - 4, 4), text, theme.text());
            return;
        }
        Some(Ok(entries)) => entries,
    };
    let height = rows(model.size);
    for (line, entry) in entries.iter().skip(list.offset).take(height).enumerate() {
        let y = inside.y + line as u16;
        let (mark, word) = state(entry.state);
        pen.mark(inside.x + 2, y, mark);
        pen.put(inside.x + 4, y, 11, word, theme.mark(mark));
        pen.put(inside.x + 16, y, 13, &ago(entry.at, model.clock.unix), theme.muted());
        pen.put(
            inside.x + 30,
            y,
            inside.width - 31,
            &format!("{}  {}", entry.plan.target, entry.plan.title),
            theme.text(),
        );
        if list.offset + line == list.cursor {
            pen.put(inside.x, y, 1, "▸", theme.key());
            pen.shade(inside.x, y, inside.width, selected_style(theme, true));
        }
    }
    let top = Rect::new(inside.x, inside.y, inside.width, height as u16);
    pen.more(top, list.offset > 0, list.offset + height < entries.len());
    let y = inside.y + height as u16;
    if let Some(entry) = selected(list) {
        pen.divider(area, y, &entry.plan.title, &entry.id, true);
        detail(pen, Rect::new(inside.x + 1, y + 1, inside.width - 2, area.bottom() - 2 - y), entry);
    }
}

fn detail(pen: &mut Pen, area: Rect, entry: &Entry) {
    let theme = pen.theme;
    let mut lines: Vec<(String, Style)> = Vec::new();
    lines.push((format!("{}   {}", utc(entry.at), entry.plan.target), theme.text()));
    if !entry.text.is_empty() {
        wrapped(&mut lines, &entry.text, area.width, "", theme.text());
    }
    for done in &entry.done {
        wrapped(&mut lines, &format!("✓ {}", done.text), area.width, "", theme.text());
        if done.undo.is_none() && done.changed {
            wrapped(&mut lines, tr("cannot be taken back by a call"), area.width, "  ", theme.warn());
        }
    }
    if entry.open_step.is_some() {
        wrapped(
            &mut lines,
            tr("A step was begun, and nobody knows whether it was done. g looks and goes on."),
            area.width,
            "",
            theme.warn(),
        );
    }
    pen.lines(area, &lines, 0);
}
