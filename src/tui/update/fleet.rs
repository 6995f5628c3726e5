//! The fleet screen: rows as they come, grouped by cause.
//!
//! The selection never jumps under the user's hand: whatever arrives or moves to another group, the selected
//! instance stays selected, on its line.

use crate::core::fleet::{self, Asked, Row};
use crate::core::target::Target;
use crate::engine::diagnose::Request;
use crate::engine::event::RunId;
use crate::engine::fleet::{FleetEvent, Whom, Wish};
use crate::tui::effect::Effect;
use crate::tui::keys::Action;
use crate::tui::layout;
use crate::tui::model::fleet::{FleetList, Line};
use crate::tui::model::{Model, Overlay, Screen};
use crate::tui::text::safe;
use crate::tui::update::start::step;
use crate::tui::update::{diagnosis, leave_screen};

/// Rows of the screen below the list: a line between, and the selected row's detail.
pub const DETAIL_ROWS: u16 = 4;

/// Lines of the list: without header, progress, frame and detail.
pub fn rows(size: (u16, u16)) -> usize {
    usize::from(size.1.saturating_sub(5 + DETAIL_ROWS + 1))
}

/// Opens the screen and begins to look.
pub fn open(model: &mut Model) -> Vec<Effect> {
    if fleet_mut(model).is_some() {
        return Vec::new();
    }
    model.stack.push(Screen::Fleet(Box::default()));
    begin(model, false)
}

/// Looks again, inside as well where the user agreed.
pub fn begin(model: &mut Model, inside: bool) -> Vec<Effect> {
    let run = model.new_run();
    let base = model.settings.base.clone();
    let asked = Asked {
        port: base.port,
        user: base.user.clone(),
        jump: base.jump.clone(),
        source_ip: base.source_ip,
        now: model.clock.unix,
    };
    let wish = Wish { asked, probe: true, inside: inside.then_some(Whom::Everyone) };
    let Some(list) = fleet_mut(model) else { return Vec::new() };
    let before = list.run;
    // What was found stays on the screen until it is found anew.
    list.run = run;
    list.ended = false;
    list.inside = inside;
    list.progress = crate::engine::fleet::Progress::default();
    list.failures.clear();
    vec![Effect::Cancel { run: before }, Effect::Fleet { run, wish: Box::new(wish), base: Box::new(base) }]
}

/// The fleet screen, wherever it is in the stack.
fn fleet_mut(model: &mut Model) -> Option<&mut FleetList> {
    model.stack.iter_mut().rev().find_map(|s| match s {
        Screen::Fleet(list) => Some(&mut **list),
        _ => None,
    })
}

/// A part of the answer arrived.
pub fn arrived(model: &mut Model, run: RunId, event: FleetEvent) {
    let height = rows(model.size);
    let Some(list) = fleet_mut(model).filter(|list| list.run == run) else { return };
    match event {
        FleetEvent::Rows(told) => {
            for (row, _) in told {
                let words = words(&row);
                let key = (row.region.clone(), row.id.clone());
                match list.by_id.get(&key) {
                    Some(at) => (list.rows[*at], list.words[*at]) = (row, words),
                    None => {
                        list.by_id.insert(key, list.rows.len());
                        list.rows.push(row);
                        list.words.push(words);
                    }
                }
            }
            arrange(list, height);
        }
        FleetEvent::Failed(failure) => list.failures.push(failure),
        FleetEvent::Progress(progress) => list.progress = progress,
        FleetEvent::Ended(progress) => (list.progress, list.ended) = (progress, true),
    }
}

/// What the filter looks at, in small letters.
fn words(row: &Row) -> String {
    let address = row.address.map(|a| a.to_string()).unwrap_or_default();
    let parts = [
        row.label(),
        &row.id,
        &row.region,
        &row.state,
        &address,
        row.door.as_deref().unwrap_or_default(),
        row.cause.as_deref().unwrap_or_default(),
        &fleet::title_of(row),
    ];
    safe(&parts.join(" ")).to_lowercase()
}

/// What a line is, whatever its place.
#[derive(PartialEq, Eq)]
enum Known {
    Group(String),
    Row(String, String),
}

fn known(list: &FleetList, line: Line) -> Option<Known> {
    match line {
        Line::Group(at) => list.groups.get(at).map(|g| Known::Group(g.key.clone())),
        Line::Row(at) => list.rows.get(at).map(|r| Known::Row(r.region.clone(), r.id.clone())),
    }
}

/// Groups the rows anew, keeping the selected line selected and where it is.
fn arrange(list: &mut FleetList, height: usize) {
    let selected = list.selected().and_then(|line| known(list, line)).filter(|_| list.moved);
    let line = list.cursor.saturating_sub(list.offset);
    let wanted: Vec<String> = list.filter.to_lowercase().split_whitespace().map(str::to_owned).collect();
    let words = &list.words;
    list.groups = fleet::groups(&list.rows, |at, _| wanted.iter().all(|word| words[at].contains(word)));
    // Once the user has moved, nothing folds under the hand.
    list.overview |= !list.moved && list.filter.is_empty() && list.groups.len() + list.rows.len() > height;
    let mut lines = Vec::with_capacity(list.lines.len());
    for (at, group) in list.groups.iter().enumerate() {
        lines.push(Line::Group(at));
        if list.is_open(&group.key) {
            lines.extend(group.rows.iter().map(|row| Line::Row(*row)));
        }
    }
    list.lines = lines;
    let place = selected.and_then(|wanted| {
        let same = |line: &Line| match (*line, &wanted) {
            (Line::Group(at), Known::Group(key)) => list.groups[at].key == *key,
            (Line::Row(at), Known::Row(region, id)) => list.rows[at].id == *id && list.rows[at].region == *region,
            _ => false,
        };
        list.lines.iter().position(same)
    });
    if let Some(place) = place {
        list.cursor = place;
        list.offset = place.saturating_sub(line);
    }
    clamp(list, height);
}

fn clamp(list: &mut FleetList, height: usize) {
    list.cursor = list.cursor.min(list.lines.len().saturating_sub(1));
    list.offset = layout::follow(list.cursor, list.offset, height, list.lines.len());
}

/// The terminal has another size.
pub fn resized(model: &mut Model) {
    let height = rows(model.size);
    if let Some(list) = fleet_mut(model) {
        clamp(list, height);
    }
}

/// The filter was edited.
pub fn filtered(model: &mut Model) {
    let height = rows(model.size);
    if let Some(list) = fleet_mut(model) {
        (list.cursor, list.offset, list.moved) = (0, 0, false);
        arrange(list, height);
    }
}

/// Does an action of the screen.
pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    let height = rows(model.size);
    let Some(Screen::Fleet(list)) = model.stack.last_mut() else { return Vec::new() };
    match action {
        Action::Filter => list.filtering = true,
        Action::Accept if list.filtering => list.filtering = false,
        Action::Back if list.filtering || !list.filter.is_empty() => {
            list.filtering = false;
            list.filter.clear();
            list.moved = true;
            arrange(list, height);
        }
        Action::Back => {
            let run = list.run;
            leave_screen(model);
            return vec![Effect::Cancel { run }];
        }
        Action::Stop => return vec![Effect::Cancel { run: list.run }],
        Action::Again => {
            let inside = list.inside;
            return begin(model, inside);
        }
        Action::Inside => model.overlays.push(Overlay::Inside),
        Action::Export => return vec![Effect::ExportFleet(shown(list))],
        Action::Accept => match list.selected() {
            Some(Line::Row(at)) => {
                let row = &list.rows[at];
                let (name, region) = (row.id.clone(), Some(row.region.clone()));
                let target = Target { name, region, ..model.settings.base.clone() };
                return diagnosis::open(model, Request { target, ..Request::default() });
            }
            Some(Line::Group(at)) => {
                let key = list.groups[at].key.clone();
                let open = list.is_open(&key);
                list.chosen.insert(key, !open);
                list.moved = true;
                arrange(list, height);
            }
            None => {}
        },
        _ => {
            list.moved = true;
            list.cursor = step(list.cursor, list.lines.len(), height, action);
            clamp(list, height);
        }
    }
    Vec::new()
}

/// The rows that the filter lets through, in the order of the screen.
fn shown(list: &FleetList) -> Vec<Row> {
    list.groups.iter().flat_map(|g| &g.rows).filter_map(|at| list.rows.get(*at)).cloned().collect()
}
