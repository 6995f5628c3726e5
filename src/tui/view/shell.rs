//! The pane: what was found and what to try above, the terminal below.
//!
//! Of the other side's output only cells are drawn, each cleaned: nothing of it can move the real cursor or reach beyond
//! the pane.

use crate::core::cause::Certainty;
use crate::core::words::{tr, tr_with};
use crate::tui::layout;
use crate::tui::model::{Diagnosing, Model, ShellMode, ShellPhase, Shelling};
use crate::tui::pane::frame::Frame;
use crate::tui::text::{of_limit, safe, width};
use crate::tui::theme::{Mark, Theme};
use crate::tui::update::guided::door_title;
use crate::tui::view::diagnosis::top;
use crate::tui::view::popup;
use crate::tui::view::widgets::Pen;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier, Style};

/// Draws the screen.
pub fn draw(model: &Model, s: &Shelling, pen: &mut Pen) {
    let parts = layout::shell(model.size, s);
    if let Some(y) = parts.rule {
        if let Some(d) = model.diagnosing() {
            above(model, d, s, pen, parts);
        }
        let title = if s.title.is_empty() { door_title(s.door.id()) } else { &s.title };
        let theme = pen.theme;
        let (words, style) = state(s, theme);
        pen.rule(y, title, (&words, style), s.phase == ShellPhase::Open && s.mode == ShellMode::Remote);
    }
    if let Some(frame) = &s.frame {
        terminal(frame, parts.terminal, pen);
    }
    match &s.phase {
        ShellPhase::Opening => {
            let t = parts.terminal;
            let waited = of_limit(
                model.clock.ms.saturating_sub(s.began_ms),
                crate::tui::pane::session::OPENING.as_millis() as u64,
            );
            let text = tr_with("Opening {door} …  ", &[("door", &door_title(s.door.id()))]);
            pen.mark(2, t.y + 1, Mark::Running(model.clock.ms / 100));
            pen.spans(4, t.y + 1, t.width - 5, &[(&text, pen.theme.text()), (&waited, pen.theme.key())]);
        }
        ShellPhase::Failed(failure) => popup::failure(failure, pen),
        ShellPhase::Open | ShellPhase::Ended(_) => {}
    }
}

/// Without a rule, what is to be told of the terminal takes the end of the last line.
pub fn corner(model: &Model, pen: &mut Pen) {
    if let Some(s) = model.shell().filter(|s| s.zoom && model.notices.shown().is_none()) {
        let theme = pen.theme;
        let (words, style) = state(s, theme);
        let (w, y) = (pen.area.width, pen.area.height - 1);
        pen.put_right(w - 1, y, w / 2, &words, style);
    }
}

/// Header, finding and commands.
fn above(model: &Model, d: &Diagnosing, s: &Shelling, pen: &mut Pen, parts: layout::ShellLayout) {
    let theme = pen.theme;
    top(model, d, pen);
    let (word, style) = match s.finding.certainty {
        Some(Certainty::Proven) => (tr("CAUSE proven  "), theme.bad()),
        Some(Certainty::Likely) => (tr("MOST LIKELY  "), theme.warn()),
        Some(Certainty::Possible) => (tr("POSSIBLE  "), theme.warn()),
        None => ("", theme.text()),
    };
    let f = parts.finding;
    pen.spans(1, f.y, f.width - 2, &[(word, style), (&s.finding.title, theme.strong())]);
    for (at, text) in s.finding.evidence.iter().enumerate().take(usize::from(f.height) - 1) {
        pen.put(3, f.y + 1 + at as u16, f.width - 4, text, theme.text());
    }
    let c = parts.commands;
    if s.commands.is_empty() {
        let text = match s.finding.certainty {
            Some(_) => tr("Nothing is to be mended inside for this cause."),
            None => tr("Ctrl-] is the key of port22."),
        };
        pen.put(3, c.y, c.width - 4, text, theme.muted());
        return;
    }
    let rows = usize::from(c.height);
    // The marked one is seen, with the next one where there is room.
    let offset = (s.marked + 2).saturating_sub(rows).min(s.commands.len().saturating_sub(rows));
    for (line, suggestion) in s.commands.iter().enumerate().skip(offset).take(rows) {
        let y = c.y + (line - offset) as u16;
        let marked = line == s.marked;
        let number = if line < 9 { format!("{} ", line + 1) } else { "  ".to_owned() };
        if marked {
            pen.put(1, y, 1, "▸", theme.key());
        }
        pen.put(3, y, 2, &number, theme.key());
        let note = if suggestion.note.is_empty() { String::new() } else { format!("   {}", suggestion.note) };
        // The command is worth more than the note beside it.
        let room = c.width - 7;
        let used = pen.put(5, y, room, &suggestion.command, theme.code());
        if usize::from(used) + width(&note) <= usize::from(room) {
            pen.put(5 + used, y, room - used, &note, theme.muted());
        }
    }
    let inside = Rect::new(c.x, c.y, c.width - 1, c.height);
    pen.more(inside, offset > 0, offset + rows < s.commands.len());
}

/// What is to be told about the terminal now.
fn state(s: &Shelling, theme: Theme) -> (String, Style) {
    if let Some(frame) = s.frame.as_ref().filter(|_| s.mode == ShellMode::Scroll) {
        return (
            tr_with("scrolled back {offset} of {total} lines", &[("offset", &frame.offset), ("total", &frame.history)]),
            theme.key(),
        );
    }
    match &s.phase {
        ShellPhase::Ended(end) => {
            let how = match (&end.trouble, &end.signal, end.status) {
                (Some(trouble), ..) => return (tr_with("ended: {trouble}", &[("trouble", trouble)]), theme.bad()),
                (None, Some(signal), _) => tr_with("ended by signal {signal}", &[("signal", &safe(signal))]),
                (None, None, Some(status)) => tr_with("ended, exit status {status}", &[("status", &status)]),
                (None, None, None) => tr("ended").to_owned(),
            };
            (how, theme.warn())
        }
        ShellPhase::Open if s.mode == ShellMode::Keys => (tr("port22 has the next key").to_owned(), theme.key()),
        ShellPhase::Open => match &s.told {
            Some((text, _)) => (text.clone(), theme.warn()),
            None => (String::new(), theme.text()),
        },
        ShellPhase::Opening | ShellPhase::Failed(_) => (String::new(), theme.text()),
    }
}

/// Paints a terminal into an area.
pub fn terminal(frame: &Frame, area: Rect, pen: &mut Pen) {
    let area = area.intersection(pen.area);
    for row in 0..area.height.min(frame.rows) {
        let mut column = 0;
        while column < area.width.min(frame.columns) {
            let Some(cell) = frame.cell(row, column) else { break };
            let wide = cell.is_wide() && column + 1 < area.width;
            let target = &mut pen.buffer[(area.x + column, area.y + row)];
            target.reset();
            put_symbol(target, cell, wide);
            target.set_style(style(cell, pen.theme));
            if wide {
                let next = &mut pen.buffer[(area.x + column + 1, area.y + row)];
                next.reset();
                next.set_style(style(cell, pen.theme));
            }
            column += 1 + u16::from(wide);
        }
    }
}

/// The text of a cell, if it is as wide as the grid believes: else what follows would move.
fn put_symbol(target: &mut ratatui::buffer::Cell, cell: &vt100::Cell, wide: bool) {
    let text = cell.contents();
    if text.is_empty() || cell.is_wide_continuation() {
        return;
    }
    let room = 1 + usize::from(wide);
    let clean = safe(text);
    if !clean.is_empty() && width(&clean) == room {
        target.set_symbol(&clean);
        return;
    }
    let mut first = [0; 4];
    match clean.chars().next() {
        Some(c) if width(c.encode_utf8(&mut first)) == room => {
            target.set_char(c);
        }
        Some(_) => {
            target.set_char('?');
        }
        None => {}
    }
}

fn style(cell: &vt100::Cell, theme: Theme) -> Style {
    let mut style = Style::new();
    if theme.has_colors() {
        style = style.fg(color(cell.fgcolor())).bg(color(cell.bgcolor()));
    }
    let attributes = [
        (cell.bold(), Modifier::BOLD),
        (cell.dim(), Modifier::DIM),
        (cell.italic(), Modifier::ITALIC),
        (cell.underline(), Modifier::UNDERLINED),
        (cell.inverse(), Modifier::REVERSED),
    ];
    attributes.iter().filter(|(on, _)| *on).fold(style, |style, (_, m)| style.add_modifier(*m))
}

fn color(color: vt100::Color) -> Color {
    match color {
        vt100::Color::Default => Color::Reset,
        vt100::Color::Idx(index) => Color::Indexed(index),
        vt100::Color::Rgb(r, g, b) => Color::Rgb(r, g, b),
    }
}

/// Where the real cursor belongs: into the terminal, while it has the keys.
pub fn cursor(model: &Model) -> Option<Position> {
    let s = model.shell().filter(|s| s.phase == ShellPhase::Open && s.mode == ShellMode::Remote)?;
    if !model.overlays.is_empty() || !layout::large_enough(model.size) {
        return None;
    }
    let (row, column) = s.frame.as_ref()?.cursor?;
    let area = layout::shell(model.size, s).terminal;
    (row < area.height && column < area.width).then(|| Position::new(area.x + column, area.y + row))
}
