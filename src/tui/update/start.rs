//! The start screen: the instance list as it arrives, its filter, the symptoms.
//!
//! The selection never jumps under the user's hand: rows are added at the end, and when a filter
//! ranks them anew the selected row stays selected and stays on its line.

use crate::core::catalogue;
use crate::core::facts::aws::Instance;
use crate::core::settings::column::Column;
use crate::core::target::Target;
use crate::core::words::{self, Lang, tr};
use crate::engine::diagnose::Request;
use crate::engine::inventory::InventoryEvent;
use crate::tui::effect::Effect;
use crate::tui::keys::Action;
use crate::tui::layout;
use crate::tui::model::{Model, Pane, Row, natural};
use crate::tui::text::safe;
use crate::tui::update::{columns, diagnosis, form, overlay, switcher};
use nucleo_matcher::pattern::{AtomKind, CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str, Utf32String};
use std::net::IpAddr;

/// Begins to read the list.
pub fn reload(model: &mut Model) -> Vec<Effect> {
    model.start.load += 1;
    model.start.done = false;
    model.start.failures.clear();
    vec![Effect::LoadInventory { load: model.start.load }]
}

/// A part of the list arrived.
pub fn arrived(model: &mut Model, load: u64, event: InventoryEvent) {
    let start = &mut model.start;
    if load != start.load {
        return;
    }
    match event {
        InventoryEvent::Caller { account, regions } => {
            start.account = Some(account);
            start.regions = regions;
        }
        InventoryEvent::SourceIp(ip) => start.source_ip = Some(ip),
        InventoryEvent::Hints(hints) => {
            for (id, hint) in hints {
                if let Some(row) = start.by_id.get(&id).and_then(|at| start.rows.get_mut(*at)) {
                    row.hint = safe(&hint).into_owned();
                }
            }
            columns::learned(model, &Column::WayIn);
        }
        InventoryEvent::Agents(agents) => {
            for (id, state) in agents {
                if let Some(row) = start.by_id.get(&id).and_then(|at| start.rows.get_mut(*at)) {
                    row.agent = safe(&state).into_owned();
                }
            }
            columns::learned(model, &Column::Ssm);
        }
        InventoryEvent::Failed(failure) => start.failures.push(failure),
        InventoryEvent::Page(instances) => page(model, instances),
        InventoryEvent::Done => {
            done(model);
            // There is something to see: nobody needs the way back.
            if !model.start.rows.is_empty() {
                model.start.standing.before = None;
            }
        }
    }
}

fn page(model: &mut Model, mut instances: Vec<Instance>) {
    let start = &mut model.start;
    instances.sort_by_cached_key(|i| {
        let name = i.name.clone().unwrap_or_default();
        (name.is_empty(), natural(&name), i.id.clone())
    });
    let first_new = start.rows.len();
    for instance in instances {
        let (known_by, about) = haystacks(&instance);
        if let Some(row) = start.by_id.get(&instance.id).and_then(|at| start.rows.get_mut(*at)) {
            (row.instance, row.known_by, row.about, row.load) = (instance, known_by, about, start.load);
            continue;
        }
        start.by_id.insert(instance.id.clone(), start.rows.len());
        start.rows.push(Row { instance, known_by, about, load: start.load, ..Row::default() });
    }
    if start.filter.is_empty() {
        start.shown.extend(first_new as u32..start.rows.len() as u32);
        if start.sort.by.is_some() {
            columns::resort(model);
        }
    } else {
        rank(model, false);
    }
}

/// The rows of an earlier list are back, with its filter.
pub fn restored(model: &mut Model, selected: Option<&str>) {
    let start = &mut model.start;
    start.ranked_by.clear();
    columns::reorder(start);
    start.shown = columns::everything(start);
    (start.cursor, start.offset) = (0, 0);
    if !start.filter.is_empty() {
        rank(model, false);
    }
    keep(model, selected);
}

/// Rows that a new reading did not name are gone.
fn done(model: &mut Model) {
    let start = &mut model.start;
    start.done = true;
    // Without the whole answer nobody knows what is gone.
    let stale = start.rows.iter().any(|r| r.load != start.load);
    if !stale || !start.failures.is_empty() {
        return;
    }
    let selected = selected_id(model);
    let start = &mut model.start;
    start.rows.retain(|r| r.load == start.load);
    start.by_id = start.rows.iter().enumerate().map(|(at, r)| (r.instance.id.clone(), at)).collect();
    columns::reorder(start);
    start.shown = columns::everything(start);
    keep(model, selected.as_deref());
    if !model.start.filter.is_empty() {
        rank(model, false);
    }
}

/// What the filter looks at: first what an instance is known by (name, id, addresses), then what
/// else is known about it.
fn haystacks(instance: &Instance) -> (Utf32String, Utf32String) {
    let mut known_by: Vec<String> = instance.name.iter().cloned().collect();
    known_by.push(instance.id.clone());
    known_by.extend(instance.addresses().iter().map(ToString::to_string));
    let mut about = vec![instance.state.clone(), instance.instance_type.clone(), instance.region.clone()];
    about.extend(instance.key_name.clone());
    about.extend(instance.groups.iter().map(|(_, name)| name.clone()));
    about.extend(instance.tags.iter().filter(|(k, _)| *k != "Name").map(|(k, v)| format!("{k}={v}")));
    let text = |words: Vec<String>| Utf32String::from(safe(&words.join(" ")).as_ref());
    (text(known_by), text(about))
}

/// A match in what an instance is known by outranks every match elsewhere.
const KNOWN_BY: u32 = 1 << 20;

/// The id of the selected instance.
pub fn selected_id(model: &Model) -> Option<String> {
    model.selected_row().map(|r| r.instance.id.clone())
}

/// The filter text was edited.
pub fn filtered(model: &mut Model) {
    rank(model, true);
}

/// Whether a filter is a number, an address or an id, which must stand as typed.
fn is_literal(text: &str) -> bool {
    text.starts_with("i-") || text.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ':')
}

/// Ranks the rows by the filter. After an edit the best row is selected; after an arrival the
/// selected row stays where it is.
fn rank(model: &mut Model, edited: bool) {
    let selected = selected_id(model);
    let start = &mut model.start;
    if start.filter.trim().is_empty() {
        start.ranked_by.clear();
        start.shown = columns::everything(start);
        keep(model, selected.as_deref());
        return;
    }
    let text = start.filter.trim().to_owned();
    let text = text.as_str();
    let address: Option<IpAddr> = text.parse().ok();
    let pattern = |kind| Pattern::new(text, CaseMatching::Ignore, Normalization::Smart, kind);
    // Digits in the right order are not an address: numbers and ids must stand as typed.
    let literal = is_literal(text);
    // What a longer text matches, its beginning matched too: only those rows are looked at again.
    let before = start.ranked_by.as_str();
    let narrows = edited && !before.is_empty() && text.starts_with(before) && is_literal(before) == literal;
    let known_by = pattern(if literal { AtomKind::Substring } else { AtomKind::Fuzzy });
    let about = pattern(AtomKind::Substring);
    let mut matcher = Matcher::new(Config::DEFAULT);
    let mut scored: Vec<(u32, usize, u32)> = Vec::new();
    let all = 0..start.rows.len() as u32;
    let candidates: Vec<u32> = if narrows { std::mem::take(&mut start.shown) } else { all.collect() };
    for at in candidates {
        let Some(row) = start.rows.get(at as usize) else { continue };
        let score = match known_by.score(row.known_by.slice(..), &mut matcher) {
            Some(_) if address.is_some_and(|a| row.instance.addresses().contains(&a)) => Some(u32::MAX),
            Some(score) => Some(score + KNOWN_BY),
            None => about.score(row.about.slice(..), &mut matcher),
        };
        // Of equals the shorter name first: `web-1` before `web-12`.
        let name = row.instance.name.as_ref().map_or(usize::MAX, String::len);
        scored.extend(score.map(|score| (score, name, at)));
    }
    text.clone_into(&mut start.ranked_by);
    scored.sort_unstable_by(|a, b| b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    start.shown = scored.into_iter().map(|(_, _, at)| at).collect();
    if edited {
        (start.cursor, start.offset, start.by_match) = (0, 0, true);
        clamp(model);
    } else if start.sort.by.is_some() && !start.by_match {
        columns::resort(model);
    } else {
        keep(model, selected.as_deref());
    }
}

/// Selects an instance again, on the line where it was.
pub fn keep(model: &mut Model, id: Option<&str>) {
    let start = &mut model.start;
    let line = start.cursor.saturating_sub(start.offset);
    let place =
        id.and_then(|id| start.by_id.get(id)).and_then(|at| start.shown.iter().position(|s| *s as usize == *at));
    if let Some(place) = place {
        start.cursor = place;
        start.offset = place.saturating_sub(line);
    }
    clamp(model);
}

/// Keeps selections on the list and the list on the screen.
pub fn clamp(model: &mut Model) {
    let (rows, symptom_rows) = (layout::instance_rows(model.size), layout::symptom_rows(model.size));
    let start = &mut model.start;
    start.cursor = start.cursor.min(start.shown.len().saturating_sub(1));
    start.offset = layout::follow(start.cursor, start.offset, rows, start.shown.len());
    let list = &mut start.symptoms;
    list.cursor = list.cursor.min(list.shown.len().saturating_sub(1));
    list.offset = layout::follow(list.cursor, list.offset, symptom_rows, list.shown.len());
}

/// The symptoms that a text lets through; `None` is "find out for me".
pub fn symptom_list(query: &str) -> Vec<Option<&'static str>> {
    let mut all: Vec<(u32, &'static str)> =
        catalogue::get().symptoms.iter().filter(|(_, s)| s.order > 0).map(|(id, s)| (s.order, id.as_str())).collect();
    all.sort_unstable();
    let every = std::iter::once(None).chain(all.into_iter().map(|(_, id)| Some(id)));
    if query.trim().is_empty() {
        return every.collect();
    }
    let pattern = Pattern::parse(query, CaseMatching::Ignore, Normalization::Smart);
    let mut matcher = Matcher::new(Config::DEFAULT);
    let mut buffer = Vec::new();
    let mut scored: Vec<(u32, usize, Option<&'static str>)> = every
        .enumerate()
        .filter_map(|(at, id)| {
            let mut words = format!("{} {}", symptom_title(id), id.unwrap_or_default());
            if words::lang() != Lang::En {
                // The message that one has seen is English.
                let english = id.and_then(|id| catalogue::of(Lang::En).symptoms.get(id));
                words.extend(english.map(|s| format!(" {}", s.title)));
            }
            let score = pattern.score(Utf32Str::new(&words, &mut buffer), &mut matcher)?;
            Some((score, at, id))
        })
        .collect();
    scored.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    scored.into_iter().map(|(_, _, id)| id).collect()
}

/// A symptom as a person would say it.
pub fn symptom_title(id: Option<&str>) -> &str {
    match id {
        None => tr("find out for me"),
        Some(id) => catalogue::get().symptoms.get(id).map_or(id, |s| &s.title),
    }
}

/// The text over the symptoms was edited.
pub fn symptom_filtered(model: &mut Model) {
    let list = &mut model.start.symptoms;
    list.shown = symptom_list(&list.query);
    (list.cursor, list.offset) = (0, 0);
    clamp(model);
}

/// Selects a symptom in the list.
pub fn select_symptom(model: &mut Model, id: Option<&str>) {
    let list = &mut model.start.symptoms;
    list.query.clear();
    list.shown = symptom_list("");
    list.cursor = list.shown.iter().position(|s| s.as_deref() == id).unwrap_or(0);
    clamp(model);
}

/// The symptom that Enter would use.
pub fn chosen_symptom(model: &Model) -> Option<&'static str> {
    model.start.symptoms.shown.get(model.start.symptoms.cursor).copied().flatten()
}

/// The target that the filter text names by itself, when no instance matches it.
pub fn typed_target(model: &Model) -> Option<Target> {
    let text = model.start.filter.trim();
    if !model.start.shown.is_empty() || text.is_empty() || text.contains(' ') {
        return None;
    }
    let typed = Target::parse(text).ok()?;
    let base = model.settings.base.clone();
    Some(Target { name: typed.name, user: typed.user.or(base.user.clone()), ..base })
}

/// The login details given, for an instance of the list.
pub fn target_of(base: &Target, instance: &Instance) -> Target {
    Target { name: instance.id.clone(), region: Some(instance.region.clone()), ..base.clone() }
}

/// Does an action of the start screen.
pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    match action {
        Action::Accept => return diagnose(model),
        Action::Filter => model.start.pane = Pane::Filter,
        Action::NextPane => {
            model.start.pane = match model.start.pane {
                Pane::Symptoms => Pane::Instances,
                _ => Pane::Symptoms,
            }
        }
        Action::Entry => overlay::open_entry(model),
        Action::Details => form::open(model),
        Action::Columns => columns::open(model),
        Action::SortNext | Action::SortBefore | Action::Reverse => columns::sort(model, action),
        Action::Again => return reload(model),
        Action::Fleet => return super::fleet::open(model),
        Action::Switch => return switcher::open(model),
        Action::SwitchBack => return switcher::go_back(model),
        Action::Back => back(model),
        _ => moved(model, action),
    }
    Vec::new()
}

fn back(model: &mut Model) {
    match model.start.pane {
        Pane::Symptoms if !model.start.symptoms.query.is_empty() => {
            let chosen = chosen_symptom(model);
            select_symptom(model, chosen);
        }
        Pane::Symptoms => model.start.pane = Pane::Instances,
        Pane::Filter | Pane::Instances => {
            if model.start.pane == Pane::Instances {
                model.start.paste = None;
            }
            model.start.filter.clear();
            model.start.pane = Pane::Instances;
            rank(model, false);
        }
    }
}

fn moved(model: &mut Model, action: Action) {
    let start = &mut model.start;
    let (cursor, total, page) = match start.pane {
        Pane::Symptoms => (&mut start.symptoms.cursor, start.symptoms.shown.len(), layout::symptom_rows(model.size)),
        _ => (&mut start.cursor, start.shown.len(), layout::instance_rows(model.size)),
    };
    *cursor = step(*cursor, total, page, action);
    clamp(model);
}

/// Where a selection goes.
pub fn step(cursor: usize, total: usize, page: usize, action: Action) -> usize {
    let last = total.saturating_sub(1);
    match action {
        Action::Up => cursor.saturating_sub(1),
        Action::Down => (cursor + 1).min(last),
        Action::PageUp => cursor.saturating_sub(page),
        Action::PageDown => (cursor + page).min(last),
        Action::First => 0,
        Action::Last => last,
        _ => cursor,
    }
}

fn diagnose(model: &mut Model) -> Vec<Effect> {
    let target = match model.selected_row() {
        Some(row) => target_of(&model.settings.base, &row.instance),
        None => match typed_target(model) {
            Some(target) => target,
            None => return Vec::new(),
        },
    };
    let paste = model.start.paste.take();
    let target = match &paste {
        Some(found) => crate::tui::update::paste::with_details(target, found),
        None => target,
    };
    let symptom = chosen_symptom(model).map(str::to_owned);
    diagnosis::open(model, Request { target, symptom, paste, ..Request::default() })
}
