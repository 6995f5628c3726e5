//! Drawing by cells: frames that join, rows that are cut, paragraphs that wrap.
//!
//! Every text is cleaned here ([`safe`]) before it reaches the buffer.

use crate::core::plan::Risk;
use crate::core::words::tr;
use crate::tui::keys;
use crate::tui::model::{Model, Severity};
use crate::tui::text::{fit, safe, width, wrap};
use crate::tui::theme::{Mark, Theme};
use crate::tui::update::notify;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// A buffer with a theme.
pub struct Pen<'a> {
    /// Where is drawn.
    pub buffer: &'a mut Buffer,
    /// With which styles.
    pub theme: Theme,
    /// The whole terminal.
    pub area: Rect,
}

/// A piece of a line.
pub type Span<'a> = (&'a str, Style);

impl Pen<'_> {
    /// Draws a text, cut to `max` cells; returns the cells used.
    pub fn put(&mut self, x: u16, y: u16, max: u16, text: &str, style: Style) -> u16 {
        if y >= self.area.height || x >= self.area.width {
            return 0;
        }
        let max = max.min(self.area.width - x);
        let text = safe(text);
        let text = fit(&text, usize::from(max));
        self.buffer.set_stringn(x, y, &text, usize::from(max), style);
        width(&text) as u16
    }

    /// Draws pieces one after another; returns the cells used.
    pub fn spans(&mut self, x: u16, y: u16, max: u16, spans: &[Span]) -> u16 {
        let mut used = 0;
        for (text, style) in spans {
            if used >= max {
                break;
            }
            used += self.put(x + used, y, max - used, text, *style);
        }
        used
    }

    /// Draws a text that ends before `end`; returns its first column.
    pub fn put_right(&mut self, end: u16, y: u16, max: u16, text: &str, style: Style) -> u16 {
        let text = safe(text);
        let text = fit(&text, usize::from(max)).into_owned();
        let x = end.saturating_sub(width(&text) as u16);
        self.put(x, y, max, &text, style);
        x
    }

    /// Draws a wrapped text, ending in `…` when there is no room for all of it; returns the lines used.
    pub fn paragraph(&mut self, area: Rect, text: &str, style: Style) -> u16 {
        let lines = wrap(text, usize::from(area.width));
        for (at, line) in lines.iter().enumerate().take(usize::from(area.height)) {
            let last = at + 1 == usize::from(area.height) && at + 1 < lines.len();
            let room = usize::from(area.width).saturating_sub(2);
            let line = if last { format!("{} …", fit(line, room).trim_end_matches('…')) } else { line.clone() };
            self.put(area.x, area.y + at as u16, area.width, &line, style);
        }
        (lines.len() as u16).min(area.height)
    }

    /// Empties an area. A letter of two cells that reaches into it from the left goes with it: its second half would
    /// cover what is drawn there.
    pub fn clear(&mut self, area: Rect) {
        for y in area.top()..area.bottom().min(self.area.height) {
            if area.left() > 0 && width(self.buffer[(area.left() - 1, y)].symbol()) > 1 {
                self.buffer[(area.left() - 1, y)].set_symbol(" ");
            }
            for x in area.left()..area.right().min(self.area.width) {
                self.buffer[(x, y)].reset();
                self.buffer[(x, y)].set_style(self.theme.base());
            }
        }
    }

    /// Lays a style over a row.
    pub fn shade(&mut self, x: u16, y: u16, w: u16, style: Style) {
        self.buffer.set_style(Rect::new(x, y, w, 1).intersection(self.area), style);
    }

    /// Draws a frame with a title at the left and one at the right; returns the inside.
    pub fn frame(&mut self, area: Rect, title: &str, right: &str, focused: bool) -> Rect {
        let style = self.theme.frame(focused);
        let (l, t, r, b) = (area.left(), area.top(), area.right() - 1, area.bottom() - 1);
        let line = "─".repeat(usize::from(area.width.saturating_sub(2)));
        for y in [t, b] {
            self.put(l + 1, y, area.width.saturating_sub(2), &line, style);
        }
        for y in t + 1..b {
            self.put(l, y, 1, "│", style);
            self.put(r, y, 1, "│", style);
        }
        for (x, y, corner) in [(l, t, "┌"), (r, t, "┐"), (l, b, "└"), (r, b, "┘")] {
            self.put(x, y, 1, corner, style);
        }
        self.titles(area, t, title, right, focused);
        Rect::new(l + 1, t + 1, area.width.saturating_sub(2), area.height.saturating_sub(2))
    }

    /// Draws a line across a frame, with titles.
    pub fn divider(&mut self, area: Rect, y: u16, title: &str, right: &str, focused: bool) {
        let style = self.theme.frame(focused);
        let line = "─".repeat(usize::from(area.width.saturating_sub(2)));
        self.put(area.left(), y, 1, "├", style);
        self.put(area.left() + 1, y, area.width - 2, &line, style);
        self.put(area.right() - 1, y, 1, "┤", style);
        self.titles(area, y, title, right, focused);
    }

    /// Draws a line over all columns, with a title at the left and words in a style at the right.
    pub fn rule(&mut self, y: u16, title: &str, right: Span, focused: bool) {
        let (style, w) = (self.theme.frame(focused), self.area.width);
        self.put(0, y, w, &"─".repeat(usize::from(w)), style);
        let words = safe(right.0).into_owned();
        let room = (w / 2).saturating_sub(4);
        let words = fit(&words, usize::from(if title.is_empty() { w - 4 } else { room })).into_owned();
        let end = if words.is_empty() { w } else { w - width(&words) as u16 - 4 };
        if !words.is_empty() {
            self.put(end, y, w - end, &format!(" {words} "), right.1);
        }
        if !title.is_empty() {
            let clean = safe(title);
            let cut = fit(&clean, usize::from(end.saturating_sub(6)));
            let style = if focused { self.theme.key() } else { self.theme.strong() };
            self.put(2, y, end.saturating_sub(2), &format!(" {cut} "), style);
        }
    }

    fn titles(&mut self, area: Rect, y: u16, title: &str, right: &str, focused: bool) {
        let room = area.width.saturating_sub(4);
        let style = if focused { self.theme.key() } else { self.theme.strong() };
        let right = safe(right).into_owned();
        let right_width = if right.is_empty() { 0 } else { width(&right) as u16 + 3 };
        if !title.is_empty() {
            let clean = safe(title);
            let cut = fit(&clean, usize::from(room.saturating_sub(right_width)));
            self.put(area.left() + 1, y, room + 2, &format!(" {cut} "), style);
        }
        if !right.is_empty() && right_width < room {
            self.put_right(area.right() - 1, y, room, &format!(" {right} "), self.theme.muted());
        }
    }

    /// Shows at the right edge of a frame that there is more above or below.
    pub fn more(&mut self, inside: Rect, above: bool, below: bool) {
        let x = inside.right();
        let style = self.theme.key();
        if above {
            self.put(x, inside.top(), 1, "↑", style);
        }
        if below && inside.height > 0 {
            self.put(x, inside.bottom() - 1, 1, "↓", style);
        }
    }

    /// Draws a mark.
    pub fn mark(&mut self, x: u16, y: u16, mark: Mark) {
        let style = self.theme.mark(mark);
        self.put(x, y, 1, mark.glyph(), style);
    }

    /// Draws styled lines into an area, from line `scroll` on, and says at the edge whether there
    /// is more.
    pub fn lines(&mut self, area: Rect, lines: &[(String, Style)], scroll: usize) {
        let rows = usize::from(area.height);
        let scroll = scroll.min(lines.len().saturating_sub(rows));
        for (at, (line, style)) in lines.iter().skip(scroll).take(rows).enumerate() {
            self.put(area.x, area.y + at as u16, area.width, line, *style);
        }
        self.more(area, scroll > 0, scroll + rows < lines.len());
    }
}

/// Lines of a text wrapped to a width, in one style.
pub fn wrapped(out: &mut Vec<(String, Style)>, text: &str, max: u16, indent: &str, style: Style) {
    let room = usize::from(max).saturating_sub(indent.len());
    out.extend(wrap(text, room).into_iter().map(|line| (format!("{indent}{line}"), style)));
}

/// Risk, as people read it.
pub fn risk_words(risk: Risk, downtime: bool, reversible: bool) -> String {
    let mut out = match risk {
        Risk::Low => tr("low risk"),
        Risk::Medium => tr("medium risk"),
        Risk::High => tr("high risk"),
    }
    .to_owned();
    if downtime {
        out += tr(", downtime");
    }
    out += if reversible { tr(", undoable") } else { tr(", not undoable") };
    out
}

/// The style of a risk.
pub fn risk_style(theme: Theme, risk: Risk) -> Style {
    match risk {
        Risk::Low => theme.good(),
        Risk::Medium => theme.warn(),
        Risk::High => theme.bad(),
    }
}

/// The last line: a notice, or the keys that work now.
pub fn footer(model: &Model, pen: &mut Pen) {
    let y = pen.area.height - 1;
    pen.clear(Rect::new(0, y, pen.area.width, 1));
    if let Some(notice) = model.notices.shown() {
        let mut x = 1;
        if let Some(mark) = notify::mark(notice.severity) {
            pen.mark(x, y, mark);
            x += 2;
        }
        let style = match notice.severity {
            Severity::Note | Severity::Good => pen.theme.accent(),
            Severity::Warn => pen.theme.warn(),
            Severity::Bad => pen.theme.bad(),
        };
        pen.put(x, y, pen.area.width - x - 1, &notice.text, style);
        return;
    }
    let mut keys = keys::footer(model);
    let size = |keys: &[(&str, &str, u8)]| -> usize {
        keys.iter().map(|(k, label, _)| width(&keys::shown(k)) + 1 + width(label) + 2).sum()
    };
    let room = usize::from(pen.area.width) - 1;
    while size(&keys) > room {
        let Some(last) = keys.iter().map(|k| k.2).max() else { break };
        let Some(at) = keys.iter().rposition(|k| k.2 == last) else { break };
        keys.remove(at);
    }
    let mut x = 1;
    for (key, label, _) in keys {
        x += pen.put(x, y, pen.area.width - x, &keys::shown(key), pen.theme.key()) + 1;
        x += pen.put(x, y, pen.area.width - x, label, pen.theme.muted()) + 2;
    }
}

/// The first line: the program, pieces with a gap between them, and what is at the right.
pub fn header(pen: &mut Pen, left: &[Span], right: &[Span]) {
    let total: usize = right.iter().map(|(t, _)| width(&safe(t))).sum::<usize>() + 1;
    let end = pen.area.width.saturating_sub(total as u16);
    let mut x = 0;
    for (text, style) in left {
        // A piece that would be cut to nothing is left out; two cells stay before what is at the right.
        if text.is_empty() || x + 6 > end {
            continue;
        }
        x += pen.put(x, 0, end - x - 2, text, *style) + 2;
    }
    let mut x = end;
    for (text, style) in right {
        x += pen.put(x, 0, pen.area.width - x, text, *style);
    }
}
