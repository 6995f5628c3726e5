//! Popups: help, palette, paste, text entry, form, reading, leave.

use crate::core::catalogue;
use crate::core::door_commands;
use crate::core::settings::ThemeName;
use crate::core::told::told;
use crate::core::words::{self, Lang, tr, tr_with};
use crate::tui::effect::Effect;
use crate::tui::keys::{self, Action, Binding, Context};
use crate::tui::model::{Model, Overlay, Part, Reading, Screen, Severity};
use crate::tui::text::safe;
use crate::tui::update::start::step;
use crate::tui::update::{columns, diagnosis, fleet, form, guided, paste, practice, shell, switcher};
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};

/// Opens or closes the help page.
pub fn toggle_help(model: &mut Model) {
    if matches!(model.overlays.last(), Some(Overlay::Help { .. })) {
        model.overlays.pop();
    } else {
        model.overlays.push(Overlay::Help { scroll: 0 });
    }
}

/// Other colours, from the next frame on.
pub fn use_theme(model: &mut Model, name: ThemeName) {
    (model.settings.theme, model.settings.color) = (name, name != ThemeName::None);
    let text = tr_with(
        "To keep it: theme = \"{name}\" in {file}",
        &[("name", &name.name()), ("file", &model.settings.settings_file)],
    );
    model.say(Severity::Note, text);
}

/// Opens the box in which a text can be typed.
pub fn open_entry(model: &mut Model) {
    model.overlays.push(Overlay::Entry { text: String::new() });
}

/// Does an action of the popup that has the keys.
pub fn act(model: &mut Model, context: Context, action: Action) -> Vec<Effect> {
    match (context, action) {
        (Context::Lesson | Context::NameCause | Context::Solved, _) => return practice::act(model, context, action),
        (Context::Form, _) => return form::act(model, action),
        (Context::Switcher, _) => return switcher::act(model, action),
        (Context::Columns, _) => columns::act(model, action),
        (Context::Palette, Action::Accept) => return palette_run(model),
        (Context::Palette, Action::Up | Action::Down) => palette_move(model, action),
        (Context::Paste, Action::Accept) => return paste::accept(model),
        (Context::Paste, Action::NextPane) => paste::change(model),
        (Context::Entry, Action::Accept) => entered(model),
        (Context::Entry, Action::Yes) => next_line(model),
        (Context::Inside, Action::Yes) => return look_inside(model),
        (Context::Export, Action::ReportForm(form)) => model.export.form = form,
        (Context::Export, Action::Redact) => model.export.redacted ^= true,
        (Context::Export, Action::ReportTo(place)) => return diagnosis::export(model, place),
        (Context::EndShell, Action::Yes) => {
            model.overlays.pop();
            return shell::leave(model);
        }
        (_, Action::ScrollDown) => scroll(model, 2),
        (_, Action::ScrollUp) => scroll(model, -2),
        (_, Action::Back) => {
            model.overlays.pop();
        }
        _ => {}
    }
    Vec::new()
}

/// The user agreed: the diagnosis runs again, with the look inside.
fn look_inside(model: &mut Model) -> Vec<Effect> {
    model.overlays.pop();
    if matches!(model.stack.last(), Some(Screen::Fleet(_))) {
        return fleet::begin(model, true);
    }
    if let Some(d) = model.diagnosing_mut() {
        d.request.inside = true;
    }
    diagnosis::again(model)
}

fn scroll(model: &mut Model, by: isize) {
    if let Some(Overlay::Help { scroll } | Overlay::Read(Reading { scroll, .. })) = model.overlays.last_mut() {
        *scroll = scroll.saturating_add_signed(by).min(500);
    }
}

fn entered(model: &mut Model) {
    let Some(Overlay::Entry { text }) = model.overlays.last() else { return };
    let text = text.clone();
    if text.trim().is_empty() {
        model.overlays.pop();
    } else {
        paste::recognise(model, &text);
    }
}

/// Enter in the text box: a new line; on an empty line the text is complete.
fn next_line(model: &mut Model) {
    let Some(Overlay::Entry { text }) = model.overlays.last_mut() else { return };
    if text.ends_with('\n') || text.is_empty() {
        entered(model);
    } else {
        text.push('\n');
    }
}

/// What the palette offers: everything that works now on the screen below.
pub fn palette_rows(model: &Model, query: &str) -> Vec<&'static Binding> {
    let context = model.screen_context();
    let offered = |b: &&Binding| {
        !matches!(
            b.action,
            Action::Up
                | Action::Down
                | Action::PageUp
                | Action::PageDown
                | Action::First
                | Action::Last
                | Action::ScrollDown
                | Action::ScrollUp
                | Action::Palette
        ) && (b.when)(model)
    };
    let common = keys::TABLE.iter().filter(|b| matches!(b.context, Context::Common));
    let mut all: Vec<&Binding> = Vec::new();
    let more = keys::PALETTE.iter();
    for b in keys::TABLE.iter().filter(|b| b.context == context).chain(common).chain(more).filter(offered) {
        if !all.iter().any(|a| a.action == b.action) {
            all.push(b);
        }
    }
    if query.trim().is_empty() {
        return all;
    }
    let pattern = Pattern::parse(query, CaseMatching::Ignore, Normalization::Smart);
    let mut matcher = Matcher::new(Config::DEFAULT);
    let mut buffer = Vec::new();
    let mut scored: Vec<(u32, &Binding)> = all
        .into_iter()
        .filter_map(|b| {
            // Whoever reads another language may know the English words too.
            let words = match words::lang() {
                Lang::En => format!("{} {}", b.label, b.help),
                Lang::Ja => format!("{} {} {} {}", tr(b.label), tr(b.help), b.label, b.help),
            };
            Some((pattern.score(Utf32Str::new(&words, &mut buffer), &mut matcher)?, b))
        })
        .collect();
    scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    scored.into_iter().map(|(_, b)| b).collect()
}

/// The palette's filter was edited.
pub fn palette_filtered(model: &mut Model) {
    if let Some(Overlay::Palette { cursor, .. }) = model.overlays.last_mut() {
        *cursor = 0;
    }
}

fn palette_move(model: &mut Model, action: Action) {
    let Some(Overlay::Palette { query, cursor }) = model.overlays.last() else { return };
    let next = step(*cursor, palette_rows(model, query).len(), 5, action);
    if let Some(Overlay::Palette { cursor, .. }) = model.overlays.last_mut() {
        *cursor = next;
    }
}

fn palette_run(model: &mut Model) -> Vec<Effect> {
    let Some(Overlay::Palette { query, cursor }) = model.overlays.last() else { return Vec::new() };
    let Some(chosen) = palette_rows(model, query).get(*cursor).copied() else { return Vec::new() };
    model.overlays.pop();
    let context = model.screen_context();
    super::act(model, context, chosen.action)
}

/// How to do a fix by hand.
pub fn fix_by_hand(model: &mut Model, id: &str) {
    let Some(words) = catalogue::get().fixes.get(id) else {
        model.say(Severity::Warn, tr_with("There are no words about {id} yet.", &[("id", &id)]));
        return;
    };
    let by_hand = filled(model, words.by_hand.trim());
    let mut parts =
        vec![Part::Text(words.explain.clone()), Part::Head(tr("By hand").into()), Part::Code(by_hand.clone())];
    parts.extend(super::diagnosis::of_the_team(&words.added));
    parts.extend([Part::Head(tr("Id").into()), Part::Text(id.to_owned())]);
    let reading = Reading { title: words.title.clone(), parts, scroll: 0, copy: Some(by_hand) };
    model.overlays.push(Overlay::Read(reading));
}

/// A by-hand text with what is known put in.
fn filled(model: &Model, text: &str) -> String {
    match model.diagnosing().and_then(|d| d.snapshot.as_ref()) {
        Some(snapshot) => crate::core::report::fill(text, &snapshot.facts),
        None => text.to_owned(),
    }
}

/// How to take a way in.
pub fn door(model: &mut Model, at: usize) {
    let Some(snapshot) = model.diagnosing().and_then(|d| d.snapshot.as_ref()) else { return };
    let Some(door) = snapshot.diagnosis.doors.get(at) else { return };
    let fix = match door.id.as_str() {
        "ssm" => Some("ssm-shell"),
        "eic" | "eice" => Some("eic-push-key"),
        "serial" => Some("serial-console"),
        "user-data" => Some("user-data-repair"),
        "rescue" => Some("root-volume-rescue"),
        _ => None,
    };
    let words = fix.and_then(|id| catalogue::get().fixes.get(id));
    let lines = door_commands::lines(&door.id, &snapshot.facts);
    let by_hand = match (door.command.clone(), words) {
        (Some(line), _) => line,
        (None, Some(words)) => crate::core::report::fill(words.by_hand.trim(), &snapshot.facts),
        (None, None) => crate::engine::report::ssh_command(&snapshot.facts),
    };
    let mut parts = vec![Part::Head(tr("State").into()), Part::Text(told(&door.why).into_owned())];
    if let Some(words) = words {
        parts.extend([Part::Head(tr("What it does").into()), Part::Text(words.explain.clone())]);
    }
    parts.extend([
        Part::Head(tr("What it costs").into()),
        Part::Text(door.cost.clone()),
        Part::Head(tr("By hand").into()),
        Part::Code(by_hand.clone()),
    ]);
    if let Some(first) = lines.first() {
        parts.push(Part::Text(first.about.to_owned()));
    }
    for line in lines.iter().skip(1) {
        parts.extend([Part::Code(line.command.clone()), Part::Text(line.about.to_owned())]);
    }
    let title = guided::door_title(&door.id).to_owned();
    model.overlays.push(Overlay::Read(Reading { title, parts, scroll: 0, copy: Some(by_hand) }));
}

/// The words on the screen, explained; all words when none is used.
pub fn glossary(model: &mut Model) {
    let seen = on_screen(model).to_lowercase();
    let words = &catalogue::get().glossary;
    let used: Vec<_> = words.values().filter(|w| seen.contains(&w.title.to_lowercase())).collect();
    let shown: Vec<_> = if used.is_empty() { words.values().collect() } else { used };
    let mut parts = Vec::new();
    for word in shown {
        parts.extend([Part::Head(word.title.clone()), Part::Text(word.means.clone())]);
    }
    model.overlays.push(Overlay::Read(Reading { title: tr("Words").to_owned(), parts, scroll: 0, copy: None }));
}

/// Texts of the diagnosis that the user reads now.
fn on_screen(model: &Model) -> String {
    let Some(d) = model.diagnosing() else { return String::new() };
    let Some(snapshot) = &d.snapshot else { return String::new() };
    let words = catalogue::get();
    let id = if model.guided {
        snapshot.diagnosis.tree.get(d.walk.at).map(|s| s.at.as_str())
    } else {
        super::diagnosis::selected(d, snapshot).map(|c| c.id.as_str())
    };
    let mut text = String::new();
    if let Some(check) = id.and_then(|id| words.checks.get(id)) {
        text += &[&*check.title, &check.why, &check.rules_out].join(" ");
    }
    if let Some(reason) = id.and_then(|id| snapshot.diagnosis.checks.iter().find(|c| c.id == id)) {
        text += &safe(&reason.reason);
    }
    // The cause would tell the end of a walk that goes on.
    let ends = id.is_none_or(|id| !words.checks.contains_key(id));
    if model.guided && !ends {
        return text;
    }
    if let Some(cause) = snapshot.diagnosis.causes.get(d.cause).and_then(|c| words.causes.get(&c.id)) {
        text += &cause.title;
        text += &cause.explain;
    }
    text
}
