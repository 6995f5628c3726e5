//! The journal on the screen: what was changed, and the way to take it back.

use crate::engine::failure::Failure;
use crate::engine::journal::Entry;
use crate::tui::effect::Effect;
use crate::tui::keys::Action;
use crate::tui::layout;
use crate::tui::model::{JournalList, Model, Screen};
use crate::tui::update::start::step;
use crate::tui::update::{diagnosis, fix, leave_screen};

/// Rows of the list; the rest of the screen shows the selected entry.
pub fn rows(size: (u16, u16)) -> usize {
    (layout::list_rows(size) / 2).max(4)
}

/// Opens the journal.
pub fn open(model: &mut Model) -> Vec<Effect> {
    if !matches!(model.stack.last(), Some(Screen::Journal(_))) {
        model.stack.push(Screen::Journal(JournalList::default()));
    }
    vec![Effect::LoadJournal]
}

/// The journal was read.
pub fn read(model: &mut Model, entries: Result<Vec<Entry>, Failure>) {
    let rows = rows(model.size);
    for screen in &mut model.stack {
        if let Screen::Journal(list) = screen {
            let selected = selected(list).map(|e| e.id.clone());
            let entries = entries.clone().map(|mut all| {
                all.reverse();
                all
            });
            let total = entries.as_ref().map_or(0, Vec::len);
            let place = entries.as_ref().ok().and_then(|all| all.iter().position(|e| Some(&e.id) == selected.as_ref()));
            list.entries = Some(entries);
            list.cursor = place.unwrap_or(0);
            list.offset = layout::follow(list.cursor, list.offset, rows, total);
        }
    }
}

/// The selected entry.
pub fn selected(list: &JournalList) -> Option<&Entry> {
    list.entries.as_ref()?.as_ref().ok()?.get(list.cursor)
}

/// Does an action of the journal.
pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    let rows = rows(model.size);
    let Some(Screen::Journal(list)) = model.stack.last_mut() else { return Vec::new() };
    match action {
        Action::Back => {
            let undone = list.undone;
            leave_screen(model);
            if undone && matches!(model.stack.last(), Some(Screen::Diagnosis(_))) {
                // What it showed was before the undo.
                return diagnosis::again(model);
            }
        }
        Action::Again => return vec![Effect::LoadJournal],
        Action::Resume => {
            if let Some(entry) = selected(list).cloned() {
                fix::open_cut_short(model, &entry);
            }
        }
        Action::Undo => {
            if let Some(entry) = selected(list).cloned() {
                fix::open_entry(model, &entry);
            }
        }
        _ => {
            let total = list.entries.as_ref().and_then(|e| e.as_ref().ok()).map_or(0, Vec::len);
            list.cursor = step(list.cursor, total, rows, action);
            list.offset = layout::follow(list.cursor, list.offset, rows, total);
        }
    }
    Vec::new()
}
