//! Colours and glyphs: sixteen colours, none with `NO_COLOR`, ASCII on request.
//!
//! Colour is never the only sign: every state has a glyph and a word besides.

use crate::core::words::{self, Lang};
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

/// The states that have a glyph of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Passed, open, done.
    Pass,
    /// Failed, blocked, refused.
    Fail,
    /// Cannot tell.
    Unknown,
    /// Skipped, closed without fault.
    Skipped,
    /// Not begun.
    Waiting,
    /// Runs; the number turns the spinner.
    Running(u64),
    /// Worth knowing.
    Warn,
}

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

impl Mark {
    /// The glyph, one cell wide.
    pub fn glyph(self) -> &'static str {
        match self {
            Self::Pass => "✓",
            Self::Fail => "✗",
            Self::Unknown => "?",
            Self::Skipped => "–",
            Self::Waiting => "·",
            Self::Running(at) => SPINNER[(at % 10) as usize],
            Self::Warn => "!",
        }
    }
}

/// Styles by meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Whether colours are used.
    pub color: bool,
    /// Whether only ASCII is drawn.
    pub ascii: bool,
}

impl Theme {
    fn fg(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    /// Ordinary text.
    pub fn text(self) -> Style {
        Style::new()
    }

    /// Text beside the point: labels, hints, what does not apply.
    pub fn muted(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// Text that is to be read first.
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The name of the program in the header.
    pub fn badge(self) -> Style {
        self.accent().add_modifier(Modifier::BOLD | Modifier::REVERSED)
    }

    /// What belongs to the program itself: keys, focus.
    pub fn accent(self) -> Style {
        self.fg(Color::Cyan)
    }

    /// A key in the footer or in a list of choices.
    pub fn key(self) -> Style {
        self.accent().add_modifier(Modifier::BOLD)
    }

    /// Good.
    pub fn good(self) -> Style {
        self.fg(Color::Green)
    }

    /// Bad.
    pub fn bad(self) -> Style {
        self.fg(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// Neither, or with care.
    pub fn warn(self) -> Style {
        self.fg(Color::Yellow)
    }

    /// A command to copy.
    pub fn code(self) -> Style {
        self.fg(Color::Cyan)
    }

    /// The selected row of the pane that has the keys, or of another one.
    pub fn selected(self, focused: bool) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD);
        if focused { style.add_modifier(Modifier::REVERSED) } else { style }
    }

    /// A frame, with or without the keys.
    pub fn frame(self, focused: bool) -> Style {
        if focused { self.accent() } else { self.muted() }
    }

    /// The style of a mark.
    pub fn mark(self, mark: Mark) -> Style {
        match mark {
            Mark::Pass => self.good(),
            Mark::Fail => self.bad(),
            Mark::Unknown | Mark::Warn => self.warn(),
            Mark::Skipped | Mark::Waiting => self.muted(),
            Mark::Running(_) => self.accent(),
        }
    }
}

/// Replaces everything on the screen that is not ASCII. Done once, at the end of a frame, so that
/// no other code needs two sets of glyphs.
pub fn to_ascii(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        // Who asks for Japanese by name has its letters; the frames and marks around them are ASCII then.
        if cell.symbol().is_ascii() || (words::lang() == Lang::Ja && crate::tui::text::width(cell.symbol()) == 2) {
            continue;
        }
        let plain = cell.symbol().chars().next().map_or(" ", ascii_of);
        cell.set_symbol(plain);
    }
}

fn ascii_of(c: char) -> &'static str {
    match c {
        '─' | '–' | '—' | '━' | '‐' | '‑' => "-",
        '│' | '┃' => "|",
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' | '✓' => "+",
        '✗' | '×' => "x",
        '·' | '…' | '•' => ".",
        '▸' | '→' | '›' | '»' => ">",
        '←' | '‹' | '«' => "<",
        '↑' => "^",
        '↓' => "v",
        '█' => "#",
        '▁' => "_",
        '▂' => ".",
        '▃' => "-",
        '▄' => "~",
        '▅' => "=",
        '▆' => "+",
        '▇' => "*",
        '▌' => "_",
        '’' | '‘' => "'",
        '“' | '”' => "\"",
        '⠋' | '⠼' | '⠇' => "|",
        '⠙' | '⠴' | '⠏' => "/",
        '⠹' | '⠦' => "-",
        '⠸' | '⠧' => "\\",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;

    #[test]
    fn every_mark_has_its_own_ascii_sign() {
        let marks = [Mark::Pass, Mark::Fail, Mark::Unknown, Mark::Skipped, Mark::Waiting];
        let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 1));
        for (x, mark) in marks.iter().enumerate() {
            buffer.set_string(x as u16, 0, mark.glyph(), Style::new());
        }
        buffer.set_string(5, 0, "日", Style::new());
        to_ascii(&mut buffer);
        let line: String = buffer.content.iter().map(ratatui::buffer::Cell::symbol).collect();
        assert_eq!(line, "+x?-.?  ");
        buffer.set_string(5, 0, "日", Style::new());
        words::in_language(Lang::Ja, || to_ascii(&mut buffer));
        assert_eq!(buffer[(5, 0)].symbol(), "日");
    }

    #[test]
    fn without_colour_no_style_has_one() {
        let theme = Theme { color: false, ascii: false };
        for style in [theme.good(), theme.bad(), theme.warn(), theme.key(), theme.badge()] {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }
}
