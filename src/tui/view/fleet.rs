//! The fleet: who is reached by SSH from here, and the rest by cause.

use crate::core::catalogue;
use crate::core::cause::Certainty;
use crate::core::fleet::{Reach, Row, Tally};
use crate::core::text::millis;
use crate::core::words::{tr, tr_with};
use crate::tui::layout::WIDE;
use crate::tui::model::Model;
use crate::tui::model::fleet::{FleetList, Line};
use crate::tui::text::{fit_middle, width};
use crate::tui::theme::Mark;
use crate::tui::update::fleet::{DETAIL_ROWS, rows};
use crate::tui::view::start::selected_style;
use crate::tui::view::widgets::{Pen, header};
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Cells of the progress bar.
const BAR: usize = 24;

/// Draws the screen.
pub fn draw(model: &Model, list: &FleetList, pen: &mut Pen) {
    top(model, list, pen);
    progress(list, pen);
    let theme = pen.theme;
    let area = Rect::new(0, 2, pen.area.width, pen.area.height.saturating_sub(3));
    let right = match (list.filtering, list.filter.as_str()) {
        (true, filter) => format!("/{filter}▌"),
        (false, "") => String::new(),
        (false, filter) => format!("/{filter}"),
    };
    let inside = pen.frame(area, tr("Who is reached by SSH from here"), &right, true);
    let height = rows(model.size);
    let place = Rect::new(inside.x, inside.y, inside.width, height as u16);
    if list.lines.is_empty() {
        empty(list, pen, place);
    }
    let regions = list.rows.iter().any(|r| r.region != list.rows[0].region);
    for (at, line) in list.lines.iter().enumerate().skip(list.offset).take(height) {
        let y = inside.y + (at - list.offset) as u16;
        match *line {
            Line::Group(group) => heading(list, group, pen, y, inside),
            Line::Row(row) => self::row(&list.rows[row], pen, y, inside, regions),
        }
        if at == list.cursor {
            pen.put(inside.x, y, 1, "▸", theme.key());
            pen.shade(inside.x, y, inside.width, selected_style(theme, !list.filtering));
        }
    }
    pen.more(place, list.offset > 0, list.offset + height < list.lines.len());
    let y = inside.y + height as u16;
    let below = Rect::new(inside.x + 1, y + 1, inside.width - 2, DETAIL_ROWS);
    detail(list, pen, area, y, below);
}

fn top(model: &Model, list: &FleetList, pen: &mut Pen) {
    let theme = pen.theme;
    let profile = model.settings.profile.clone().unwrap_or_default();
    let you = model.start.source_ip.map(|ip| tr_with("you {address}", &[("address", &ip)])).unwrap_or_default();
    let lab = if model.settings.lab { tr("PRACTICE") } else { "" };
    let tally = Tally::of(&list.rows);
    let (yes, no, unknown) = (format!("{} ", tally.yes), format!("{} ", tally.no), format!("{} ", tally.unknown));
    header(
        pen,
        &[(tr(" Fleet "), theme.badge()), (lab, theme.warn()), (&profile, theme.strong()), (&you, theme.text())],
        &[
            ("✓ ", theme.good()),
            (&yes, theme.strong()),
            (tr("reached  "), theme.muted()),
            ("✗ ", theme.bad()),
            (&no, theme.strong()),
            (tr("not  "), theme.muted()),
            ("? ", theme.warn()),
            (&unknown, theme.strong()),
            (tr("unclear "), theme.muted()),
        ],
    );
}

fn progress(list: &FleetList, pen: &mut Pen) {
    let theme = pen.theme;
    let p = &list.progress;
    let mut parts: Vec<String> = Vec::new();
    let regions = if p.places.1 == 1 {
        tr_with("{done} of {total} Region", &[("done", &p.places.0), ("total", &p.places.1)])
    } else {
        tr_with("{done} of {total} Regions", &[("done", &p.places.0), ("total", &p.places.1)])
    };
    if list.ended {
        let time = millis(p.millis / 100 * 100);
        parts.push(if p.cancelled {
            tr_with("stopped after {time}", &[("time", &time)])
        } else {
            tr_with("done after {time}", &[("time", &time)])
        });
        parts.push(regions);
        parts.push(tr_with("{count} AWS calls", &[("count", &p.api_calls)]));
    } else {
        parts.push(regions);
    }
    if p.knocks.1 > 0 {
        parts.push(tr_with("{done} of {total} ports tried", &[("done", &p.knocks.0), ("total", &p.knocks.1)]));
    }
    if p.looks.1 > 0 {
        parts.push(tr_with("{done} of {total} looked into", &[("done", &p.looks.0), ("total", &p.looks.1)]));
    }
    if let Some(left) = p.left_ms.filter(|ms| !list.ended && *ms >= 1000) {
        parts.push(tr_with("{time} left", &[("time", &millis(left / 1000 * 1000))]));
    }
    let (done, all) = p.steps();
    let filled = (done * BAR).checked_div(all).unwrap_or(0);
    let mut x = 1;
    if !list.ended {
        let bar = "█".repeat(filled);
        x += pen.put(x, 1, BAR as u16, &bar, theme.accent());
        x += pen.put(x, 1, (BAR - filled) as u16, &"·".repeat(BAR - filled), theme.muted());
        x += 2;
    }
    let style = if list.ended { theme.muted() } else { theme.text() };
    let room = pen.area.width - x - 1;
    let failed = match list.failures.len() {
        0 => String::new(),
        1 => tr("1 Region could not be listed").to_owned(),
        n => tr_with("{count} Regions could not be listed", &[("count", &n)]),
    };
    let used = pen.put(x, 1, room, &parts.join("  "), style);
    if !failed.is_empty() && used + 3 < room {
        pen.put(x + used + 2, 1, room - used - 2, &failed, theme.warn());
    }
}

fn empty(list: &FleetList, pen: &mut Pen, area: Rect) {
    let theme = pen.theme;
    let area = Rect::new(area.x + 2, area.y + 1, area.width - 4, area.height.saturating_sub(1));
    match (list.ended, list.failures.first()) {
        _ if !list.rows.is_empty() => {
            pen.paragraph(area, tr("Nothing matches the filter."), theme.muted());
        }
        (_, Some(failure)) => {
            pen.paragraph(area, &failure.to_string(), theme.warn());
        }
        (true, None) => {
            pen.paragraph(area, tr("There are no instances here."), theme.text());
        }
        (false, None) => {
            pen.paragraph(area, tr("Reading the lists of every Region …"), theme.muted());
        }
    }
}

fn mark(reach: Reach) -> Mark {
    match reach {
        Reach::Yes => Mark::Pass,
        Reach::No => Mark::Fail,
        Reach::Unknown => Mark::Unknown,
    }
}

fn heading(list: &FleetList, group: usize, pen: &mut Pen, y: u16, inside: Rect) {
    let theme = pen.theme;
    let group = &list.groups[group];
    let folded = if list.is_open(&group.key) { "" } else { " …" };
    pen.mark(inside.x + 2, y, mark(group.reachable));
    let text = format!("{} × {}{folded}", group.rows.len(), group.title);
    pen.put(inside.x + 4, y, inside.width - 5, &text, theme.strong());
}

/// A column: its text, its cells, its style.
type Cell = (String, u16, Style);

fn row(row: &Row, pen: &mut Pen, y: u16, inside: Rect, regions: bool) {
    let theme = pen.theme;
    let wide = inside.width + 2 >= WIDE;
    let address = row.address.map_or_else(|| "–".to_owned(), |a| a.to_string());
    let mut cells: Vec<Cell> = Vec::new();
    if wide {
        cells.push((row.id.clone(), 19, theme.muted()));
    }
    cells.push((row.state.clone(), 8, theme.muted()));
    if regions {
        cells.push((row.region.clone(), 14, theme.muted()));
    }
    cells.push((fit_middle(&address, 15), 15, theme.text()));
    cells.push((door(row), 8, if row.door.is_some() { theme.good() } else { theme.muted() }));
    cells.push((certainty(row), 8, theme.muted()));
    let fixed: u16 = cells.iter().map(|(_, w, _)| w + 1).sum();
    let room = inside.width.saturating_sub(fixed + 5);
    let mut x = inside.x + 4;
    pen.put(x, y, room, row.label(), theme.text());
    x += room + 1;
    for (text, cells, style) in cells {
        pen.put(x, y, cells, &text, style);
        x += cells + 1;
    }
}

/// The way in that is open besides SSH itself.
fn door(row: &Row) -> String {
    match row.door.as_deref() {
        Some("ssh") => "ssh".to_owned(),
        Some(other) => tr_with("by {door}", &[("door", &other)]),
        None => "–".to_owned(),
    }
}

fn certainty(row: &Row) -> String {
    match row.certainty {
        Some(Certainty::Proven) => tr("proven"),
        Some(Certainty::Likely) => tr("likely"),
        Some(Certainty::Possible) => tr("possible"),
        None => "",
    }
    .to_owned()
}

fn detail(list: &FleetList, pen: &mut Pen, area: Rect, y: u16, below: Rect) {
    let theme = pen.theme;
    if let Some(row) = list.selected_row() {
        let right = format!("{}  {}", row.region, row.account.as_deref().unwrap_or_default());
        let title = if row.name.is_some() { format!("{}  {}", row.label(), row.id) } else { row.id.clone() };
        let room = usize::from(area.width).saturating_sub(width(right.trim()) + 8);
        pen.divider(area, y, &crate::tui::text::fit(&title, room), right.trim(), true);
        pen.paragraph(below, &row.detail, theme.text());
        return;
    }
    match list.selected_group() {
        Some(group) => {
            let id = group.rows.first().and_then(|at| list.rows.get(*at)).and_then(|row| row.cause.as_deref());
            pen.divider(area, y, &group.title, id.unwrap_or_default(), true);
            let words = id.and_then(|id| catalogue::get().causes.get(id)).map(|w| w.explain.as_str());
            let text = words.unwrap_or(match group.reachable {
                Reach::Yes => tr("A login can begin here. Enter on one of them asks about user and key."),
                Reach::No => tr("The address was dialled and did not answer, and nothing that AWS tells explains it."),
                Reach::Unknown => tr("Enter on one of them runs the whole diagnosis."),
            });
            pen.paragraph(below, text, theme.text());
        }
        None => pen.divider(area, y, "", "", true),
    }
}
