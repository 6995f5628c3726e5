//! Draws the model. Read-only: what is selected, scrolled or clamped is decided by `update`.

pub mod columns;
pub mod diagnosis;
pub mod doors;
pub mod fix;
pub mod fleet;
pub mod guided;
pub mod help;
pub mod journal;
pub mod paste;
pub mod path;
pub mod popup;
pub mod practice;
pub mod shell;
pub mod start;
pub mod switcher;
pub mod widgets;

use crate::core::words::tr_with;
use crate::tui::layout;
use crate::tui::model::{Model, Overlay, Screen};
use crate::tui::theme::{Theme, to_ascii};
use ratatui::Frame;
use ratatui::layout::Rect;
use widgets::Pen;

/// Draws everything.
pub fn draw(model: &Model, frame: &mut Frame) {
    let settings = &model.settings;
    let theme = Theme { color: settings.color, ascii: settings.ascii, name: settings.theme, depth: settings.depth };
    let area = frame.area();
    let buffer = frame.buffer_mut();
    buffer.set_style(area, theme.base());
    let mut pen = Pen { buffer, theme, area };
    if layout::large_enough((area.width, area.height)) {
        screen(model, &mut pen);
    } else {
        too_small(&mut pen);
    }
    if theme.ascii {
        to_ascii(buffer);
    }
    if let Some(place) = shell::cursor(model) {
        frame.set_cursor_position(place);
    }
}

fn screen(model: &Model, pen: &mut Pen) {
    match model.stack.last() {
        None => start::draw(model, pen),
        Some(Screen::Diagnosis(d)) if model.guided => guided::draw(model, d, pen),
        Some(Screen::Diagnosis(d)) => diagnosis::draw(model, d, pen),
        Some(Screen::Fix(f)) => fix::draw(model, f, pen),
        Some(Screen::Doors { cursor }) => doors::draw(model, *cursor, pen),
        Some(Screen::Fleet(list)) => fleet::draw(model, list, pen),
        Some(Screen::Journal(list)) => journal::draw(model, list, pen),
        Some(Screen::Shell(s)) => shell::draw(model, s, pen),
    }
    for overlay in &model.overlays {
        match overlay {
            Overlay::Help { scroll } => help::help(model, *scroll, pen),
            Overlay::Palette { query, cursor } => help::palette(model, query, *cursor, pen),
            Overlay::Paste(paste) => paste::draw(model, paste, pen),
            Overlay::Entry { text } => popup::entry(text, pen),
            Overlay::Form(form) => popup::form(form, pen),
            Overlay::Read(reading) => popup::read(reading, pen),
            Overlay::Leave => popup::leave(model, pen),
            Overlay::EndShell => popup::end_shell(pen),
            Overlay::Inside if matches!(model.stack.last(), Some(Screen::Fleet(_))) => popup::inside_many(pen),
            Overlay::Inside => popup::inside(pen),
            Overlay::Export => popup::export(model, pen),
            Overlay::Switcher(s) => switcher::draw(model, s, pen),
            Overlay::Columns(choice) => columns::choose(model, choice, pen),
            Overlay::Lesson { .. } => practice::lesson(model, pen),
            Overlay::NameCause { cursor } => practice::causes(model, *cursor, pen),
            Overlay::Solved(told) => practice::solved(told, pen),
        }
    }
    widgets::footer(model, pen);
    shell::corner(model, pen);
}

fn too_small(pen: &mut Pen) {
    let (w, h) = (pen.area.width, pen.area.height);
    let text =
        tr_with("port22 needs 80 × 24 cells; this terminal has {width} × {height}.", &[("width", &w), ("height", &h)]);
    let lines = crate::tui::text::wrap(&text, usize::from(w.max(1)));
    let top = usize::from(h).saturating_sub(lines.len()) / 2;
    for (at, line) in lines.iter().enumerate().take(usize::from(h)) {
        let x = w.saturating_sub(crate::tui::text::width(line) as u16) / 2;
        let y = (top + at) as u16;
        if y < h {
            pen.put(x, y, w, line, pen.theme.strong());
        }
    }
}

/// The screen between header and footer.
pub fn body(pen: &Pen) -> Rect {
    Rect::new(0, 1, pen.area.width, pen.area.height.saturating_sub(2))
}
