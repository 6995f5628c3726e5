//! The start screen: instances at the left, symptoms at the right, the selected ones explained.

use crate::core::catalogue;
use crate::core::facts::aws::Instance;
use crate::core::settings::column::Column;
use crate::core::words::{tr, tr_with};
use crate::tui::layout::{self, columns::fitted};
use crate::tui::model::practice::Practice;
use crate::tui::model::{Model, Pane, Row, cell};
use crate::tui::text::{ago, fit_middle};
use crate::tui::theme::Theme;
use crate::tui::update::start::{chosen_symptom, symptom_title, typed_target};
use crate::tui::update::switcher;
use crate::tui::view::columns::{beside, head};
use crate::tui::view::widgets::{Pen, header};
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Draws the screen.
pub fn draw(model: &Model, pen: &mut Pen) {
    top(model, pen);
    let layout = layout::start(model.size);
    instances(model, pen, layout.instances, layout.detail_rows);
    symptoms(model, pen, layout.symptoms, layout.detail_rows);
}

fn top(model: &Model, pen: &mut Pen) {
    let theme = pen.theme;
    let start = &model.start;
    let profile = model.settings.profile.clone().unwrap_or_default();
    let region = match start.regions.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        many => tr_with("{count} regions", &[("count", &many.len())]),
    };
    let account = start.account.clone().unwrap_or_default();
    let you = start.source_ip.map(|ip| tr_with("you {address}", &[("address", &ip)])).unwrap_or_default();
    let lab = if model.settings.lab { tr("PRACTICE") } else { "" };
    let safe_mode = if model.settings.read_only { tr("read-only") } else { "" };
    let guided = if model.guided { tr("guided  ") } else { "" };
    header(
        pen,
        &[
            (" port22 ", theme.badge()),
            (lab, theme.warn()),
            (&profile, theme.strong()),
            (&region, theme.text()),
            (&account, theme.text()),
            (&you, theme.text()),
            (safe_mode, theme.warn()),
        ],
        &[(guided, theme.key()), ("?", theme.key()), (tr(" help "), theme.muted())],
    );
}

fn instances(model: &Model, pen: &mut Pen, area: Rect, detail_rows: u16) {
    let theme = pen.theme;
    let start = &model.start;
    let focused = start.pane != Pane::Symptoms;
    let title = match (start.rows.len(), start.filter.is_empty()) {
        (0, _) if !start.done => tr("Instances  reading …").to_owned(),
        (n, true) if start.done => tr_with("Instances  {count}", &[("count", &n)]),
        (n, true) => tr_with("Instances  {count} so far …", &[("count", &n)]),
        (n, false) => tr_with("Instances  {shown} of {count}", &[("shown", &start.shown.len()), ("count", &n)]),
    };
    let columns = fitted(&start.columns, area.width.saturating_sub(2), start.regions.len() > 1);
    let right = match (start.pane, start.filter.as_str()) {
        (Pane::Filter, text) => format!("/{text}▌"),
        (_, "") => beside(model, &columns),
        (_, text) => format!("/{text}"),
    };
    let inside = pen.frame(area, &title, &right, focused);
    let mut x = inside.x + 2;
    for (column, w) in &columns {
        let style = if start.sort.by.as_ref() == Some(column) { theme.strong() } else { theme.muted() };
        pen.put(x, inside.y, *w, &head(model, column, *w), style);
        x += w + 1;
    }
    let rows = layout::instance_rows(model.size);
    let list = Rect::new(inside.x, inside.y + 1, inside.width, rows as u16);
    if start.shown.is_empty() {
        empty(model, pen, list);
    }
    for (line, at) in start.shown.iter().skip(start.offset).take(rows).enumerate() {
        let Some(row) = start.rows.get(*at as usize) else { continue };
        let selected = start.offset + line == start.cursor;
        instance_row(pen, list, line as u16, (row, model.clock.unix), &columns, selected, focused);
        if model.practice.as_ref().is_some_and(|practice| practice.points(row).is_some()) {
            pen.put(list.x + 1, list.y + line as u16, 1, "✓", theme.good());
        }
    }
    pen.more(list, start.offset > 0, start.offset + rows < start.shown.len());
    let y = area.bottom() - 2 - detail_rows;
    let name = model.selected_row().and_then(|r| r.instance.name.clone()).unwrap_or_default();
    let id = model.selected_row().map(|r| r.instance.id.clone()).unwrap_or_default();
    pen.divider(area, y, if name.is_empty() { &id } else { &name }, if name.is_empty() { "" } else { &id }, focused);
    if let Some(row) = model.selected_row() {
        detail(pen, Rect::new(inside.x + 1, y + 1, inside.width - 2, detail_rows), row, model.clock.unix);
    }
}

fn instance_row(
    pen: &mut Pen,
    list: Rect,
    line: u16,
    (row, now): (&Row, i64),
    columns: &[(Column, u16)],
    selected: bool,
    focused: bool,
) {
    let theme = pen.theme;
    let y = list.y + line;
    let mut x = list.x + 2;
    for (column, w) in columns {
        let (text, style) = match (cell(row, column, now), column) {
            (None, _) => ("–".to_owned(), theme.muted()),
            (Some(state), Column::State) => {
                let style = state_style(theme, &state);
                (state, style)
            }
            // Both ends of an id or an address tell it from its neighbours.
            (
                Some(text),
                Column::Address
                | Column::PublicIp
                | Column::PrivateIp
                | Column::Id
                | Column::Vpc
                | Column::Subnet
                | Column::Image,
            ) => (fit_middle(&text, usize::from(*w)), theme.text()),
            (Some(text), _) => (text, theme.text()),
        };
        pen.put(x, y, *w, &text, style);
        x += w + 1;
    }
    if selected {
        pen.put(list.x, y, 1, "▸", theme.key());
        pen.shade(list.x, y, list.width, selected_style(theme, focused));
    }
}

/// The selected row keeps the colours of its cells only where it is not reversed.
pub fn selected_style(theme: Theme, focused: bool) -> Style {
    theme.selected(focused)
}

fn state_style(theme: Theme, state: &str) -> Style {
    match state {
        "running" => theme.good(),
        "stopped" | "terminated" => theme.muted(),
        _ => theme.warn(),
    }
}

fn empty(model: &Model, pen: &mut Pen, list: Rect) {
    let start = &model.start;
    let area = Rect::new(list.x + 2, list.y + 1, list.width - 4, list.height - 1);
    if let Some(target) = typed_target(model) {
        let text = tr_with(
            "No instance of the list matches.\nEnter diagnoses {name} as you typed it.",
            &[("name", &target.name)],
        );
        pen.paragraph(area, &text, pen.theme.text());
    } else if !start.filter.is_empty() && !start.rows.is_empty() {
        pen.paragraph(area, tr("No instance of the list matches. Esc clears the filter."), pen.theme.text());
    } else if let Some(failure) = start.failures.first() {
        let text = tr_with(
            "Could not {doing}: {reason}\n\n{next}\n\nYou can still type a target after / or paste an error.",
            &[("doing", &failure.doing), ("reason", &failure.reason), ("next", &failure.next)],
        );
        let used = pen.paragraph(area, &text, pen.theme.warn());
        way_back(model, pen, area, used);
    } else if start.done {
        let text = tr(
            "There is no instance here. Is it another region or profile? p changes to it.\n\nYou can still type a target after / or paste an error.",
        );
        let used = pen.paragraph(area, text, pen.theme.text());
        way_back(model, pen, area, used);
    } else {
        pen.paragraph(
            area,
            tr("Reading the instances of this account …\n\nYou need not wait: type a target after /, or paste an error."),
            pen.theme.muted(),
        );
    }
}

/// After a change of profile or Region that led to nothing: the key that takes it back.
fn way_back(model: &Model, pen: &mut Pen, area: Rect, used: u16) {
    let Some(place) = switcher::way_back(model).filter(|_| used + 1 < area.height) else { return };
    let place = tr_with(" back to {place}", &[("place", &place)]);
    pen.spans(area.x, area.y + used + 1, area.width, &[("Esc", pen.theme.key()), (&place, pen.theme.strong())]);
}

fn detail(pen: &mut Pen, area: Rect, row: &Row, now: i64) {
    let i = &row.instance;
    let mut lines: Vec<String> = Vec::new();
    let key = i.key_name.as_ref().map_or_else(|| tr("no key pair").to_owned(), |k| tr_with("key {key}", &[("key", k)]));
    let mut first = vec![i.instance_type.clone(), system(i), key];
    first.retain(|t| !t.is_empty());
    lines.push(first.join("  "));
    let groups: Vec<&str> =
        i.groups.iter().map(|(id, name)| if name.is_empty() { id.as_str() } else { name.as_str() }).collect();
    let mut second: Vec<String> = Vec::new();
    if !groups.is_empty() {
        second.push(format!("sg {}", groups.join(", ")));
    }
    second.extend(i.vpc_id.clone());
    second.extend(i.subnet_id.clone());
    lines.push(second.join("  "));
    let mut third: Vec<String> = Vec::new();
    third.extend(i.launched.map(|at| tr_with("started {ago}", &[("ago", &ago(at, now))])));
    third.extend(i.private_ip.map(|a| tr_with("private {address}", &[("address", &a)])));
    third.push(i.region.clone());
    lines.push(third.join("  "));
    let tags: Vec<String> = i.tags.iter().filter(|(k, _)| *k != "Name").map(|(k, v)| format!("{k}={v}")).collect();
    let hint = if row.hint.is_empty() {
        String::new()
    } else {
        tr_with("way in: {door} (a hint, not yet checked)", &[("door", &row.hint)])
    };
    lines.push(if area.height <= 4 && !hint.is_empty() { hint.clone() } else { tags.join("  ") });
    lines.push(hint);
    for (at, line) in lines.iter().enumerate().take(usize::from(area.height)) {
        let style = if at == 0 { pen.theme.text() } else { pen.theme.muted() };
        pen.put(area.x, area.y + at as u16, area.width, line, style);
    }
}

fn system(i: &Instance) -> String {
    let arch = i.architecture.clone().filter(|a| a != "x86_64").unwrap_or_default();
    let platform = i.platform_details.clone().or(i.platform.clone()).unwrap_or_default();
    [platform, arch].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" ")
}

fn symptoms(model: &Model, pen: &mut Pen, area: Rect, detail_rows: u16) {
    let theme = pen.theme;
    let list = &model.start.symptoms;
    let focused = model.start.pane == Pane::Symptoms;
    let query = match (focused, list.query.is_empty()) {
        (true, _) => format!("{}▌", list.query),
        (false, true) => String::new(),
        (false, false) => list.query.clone(),
    };
    let inside = pen.frame(area, tr("What did you see?"), "", focused);
    let head = if query.is_empty() { tr("Tab, then type to find") } else { query.as_str() };
    let style = if query.is_empty() { theme.muted() } else { theme.strong() };
    pen.put(inside.x + 2, inside.y, inside.width - 3, head, style);
    let rows = layout::symptom_rows(model.size);
    let body = Rect::new(inside.x, inside.y + 1, inside.width, rows as u16);
    if list.shown.is_empty() {
        pen.put(body.x + 2, body.y, body.width - 3, tr("nothing like that; Esc clears"), theme.muted());
    }
    for (line, id) in list.shown.iter().skip(list.offset).take(rows).enumerate() {
        let y = body.y + line as u16;
        pen.put(body.x + 2, y, body.width - 3, symptom_title(id.as_deref()), theme.text());
        if list.offset + line == list.cursor {
            pen.put(body.x, y, 1, "▸", theme.key());
            pen.shade(body.x, y, body.width, selected_style(theme, focused));
        }
    }
    pen.more(body, list.offset > 0, list.offset + rows < list.shown.len());
    let y = area.bottom() - 2 - detail_rows;
    let note = Rect::new(inside.x + 1, y + 1, inside.width - 2, detail_rows);
    if let Some(paste) = &model.start.paste {
        pen.divider(area, y, tr("Pasted"), "", focused);
        let text = format!("{}: {}", paste.client, symptom_title(Some(&paste.symptom)));
        pen.paragraph(note, &tr_with("{paste}\nChoose the instance, Enter.", &[("paste", &text)]), theme.accent());
    } else if let Some(words) = chosen_symptom(model).and_then(|id| catalogue::get().symptoms.get(id)) {
        pen.divider(area, y, tr("What it proves"), "", focused);
        pen.paragraph(note, &words.proves, theme.muted());
    } else if let Some(failure) = model.start.failures.first().filter(|_| !model.start.rows.is_empty()) {
        pen.divider(area, y, tr("Not everything is listed"), "", focused);
        pen.paragraph(
            note,
            &tr_with("could not {doing}: {reason}", &[("doing", &failure.doing), ("reason", &failure.reason)]),
            theme.warn(),
        );
    } else if let Some(lesson) = model.lesson().filter(|_| model.stack.is_empty()) {
        let best = model.practice.as_ref().and_then(|practice| practice.progress.of(&lesson.id));
        let (solved, all) = model.practice.as_ref().map_or((0, 0), Practice::count);
        let points = match best {
            Some(best) => tr_with("✓ {points} points", &[("points", &best.points)]),
            None => tr_with("{solved} of {total} solved", &[("solved", &solved), ("total", &all)]),
        };
        pen.divider(area, y, tr("Lesson"), &points, focused);
        let text = tr_with("{lesson}. l tells the story.", &[("lesson", &lesson.title)]);
        pen.paragraph(note, &text, theme.muted());
    } else {
        pen.divider(area, y, "", "", focused);
        let text = tr("Paste the error or the ssh command anywhere: it picks the instance and symptom.");
        pen.paragraph(note, text, theme.muted());
    }
}
