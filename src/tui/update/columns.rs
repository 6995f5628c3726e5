//! Columns and order of the instance list, chosen by keys.
//!
//! The order of all rows is kept in the model and made anew only when it is asked for, or when rows arrive.

use crate::core::settings::column::{Column, Sort};
use crate::tui::keys::Action;
use crate::tui::layout::{self, columns::fitted};
use crate::tui::model::{ColumnBox, Model, Overlay, Start, order};
use crate::tui::update::start::{keep, selected_id, step};
use std::collections::BTreeSet;

/// Most tags that are offered: an account may have thousands.
const TAGS: usize = 200;

/// Makes the order of all rows anew.
pub fn reorder(start: &mut Start) {
    start.order = if start.sort.by.is_some() { order(&start.rows, &start.sort) } else { Vec::new() };
}

/// Every row, in the order chosen.
pub fn everything(start: &Start) -> Vec<u32> {
    if start.order.len() == start.rows.len() { start.order.clone() } else { (0..start.rows.len() as u32).collect() }
}

/// Puts the rows that are shown into the order chosen; the selected one stays selected, on its line.
pub fn resort(model: &mut Model) {
    let selected = selected_id(model);
    let start = &mut model.start;
    reorder(start);
    let all = everything(start);
    if start.shown.len() == start.rows.len() {
        start.shown = all;
    } else {
        let mut through = vec![false; start.rows.len()];
        start.shown.iter().for_each(|at| through[*at as usize] = true);
        start.shown = all.into_iter().filter(|at| through[*at as usize]).collect();
    }
    keep(model, selected.as_deref());
}

/// Something arrived by which the list may be sorted.
pub fn learned(model: &mut Model, about: &Column) {
    if model.start.sort.by.as_ref() == Some(about) && !model.start.is_ranked() {
        resort(model);
    }
}

/// The columns on the screen.
fn seen(model: &Model) -> Vec<Column> {
    let inner = layout::start(model.size).instances.width.saturating_sub(2);
    fitted(&model.start.columns, inner, model.start.regions.len() > 1).into_iter().map(|(column, _)| column).collect()
}

/// Does a key of the list that is about its order.
pub fn sort(model: &mut Model, action: Action) {
    let columns = seen(model);
    let start = &mut model.start;
    let at = start.sort.by.as_ref().and_then(|by| columns.iter().position(|c| c == by));
    let next = match (action, at) {
        (Action::Reverse, _) => {
            start.sort.descending ^= true;
            return sorted(model);
        }
        (Action::SortNext, None) if start.sort.by.is_none() => columns.first(),
        (Action::SortNext, Some(at)) => columns.get(at + 1),
        (Action::SortBefore, None) if start.sort.by.is_none() => columns.last(),
        (Action::SortBefore, Some(at)) => at.checked_sub(1).and_then(|at| columns.get(at)),
        // Sorted by what is not on the screen: back to the order of arrival.
        _ => None,
    };
    start.sort = Sort { by: next.cloned(), descending: false };
    sorted(model);
}

fn sorted(model: &mut Model) {
    model.start.by_match = false;
    resort(model);
}

/// Opens the columns to choose from.
pub fn open(model: &mut Model) {
    let mut rows: Vec<(Column, bool)> = match model.start.columns.as_slice() {
        [] => seen(model).into_iter().map(|column| (column, true)).collect(),
        chosen => chosen.iter().map(|column| (column.clone(), true)).collect(),
    };
    let tags: BTreeSet<&str> =
        model.start.rows.iter().flat_map(|row| row.instance.tags.keys()).map(String::as_str).collect();
    let tags = tags.into_iter().filter(|key| *key != "Name").take(TAGS).map(|key| Column::Tag(key.to_owned()));
    let others: Vec<Column> = Column::FIXED.into_iter().chain(tags).collect();
    for column in others {
        // A name that no settings file could hold is not offered.
        if !rows.iter().any(|(known, _)| *known == column) && column.to_string().parse() == Ok(column.clone()) {
            rows.push((column, false));
        }
    }
    model.overlays.push(Overlay::Columns(ColumnBox { rows, cursor: 0 }));
}

/// Does an action of the popup; what is chosen is seen at once.
pub fn act(model: &mut Model, action: Action) {
    if action == Action::Back {
        model.overlays.pop();
        return;
    }
    let Some(Overlay::Columns(choice)) = model.overlays.last_mut() else { return };
    let total = choice.rows.len();
    match action {
        Action::Toggle => {
            if let Some((_, chosen)) = choice.rows.get_mut(choice.cursor) {
                *chosen ^= true;
            }
        }
        Action::Earlier if choice.cursor > 0 => {
            choice.rows.swap(choice.cursor, choice.cursor - 1);
            choice.cursor -= 1;
        }
        Action::Later if choice.cursor + 1 < total => {
            choice.rows.swap(choice.cursor, choice.cursor + 1);
            choice.cursor += 1;
        }
        Action::SortNext => {
            let Some((column, _)) = choice.rows.get(choice.cursor).cloned() else { return };
            let sort = &mut model.start.sort;
            let again = sort.by.as_ref() == Some(&column);
            *sort = Sort { descending: again && !sort.descending, by: Some(column) };
            return sorted(model);
        }
        Action::Again => {
            model.overlays.pop();
            model.start.columns.clear();
            return open(model);
        }
        _ => {
            choice.cursor = step(choice.cursor, total, 8, action);
            return;
        }
    }
    model.start.columns = choice.rows.iter().filter(|(_, chosen)| *chosen).map(|(column, _)| column.clone()).collect();
}

/// What is chosen, as lines of the settings file.
pub fn as_settings(start: &Start) -> String {
    let quoted = |text: String| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let columns: Vec<String> = start.columns.iter().map(|column| quoted(column.to_string())).collect();
    let columns = if columns.is_empty() { String::new() } else { format!("columns = [{}]\n", columns.join(", ")) };
    format!("{columns}sort = {}", quoted(start.sort.to_string()))
}
