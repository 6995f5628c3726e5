//! Styles by meaning, in the colours of a theme; glyphs, and ASCII on request.
//!
//! Colour is never the only sign: every state has a glyph and a word besides.

pub mod palette;

use crate::core::settings::ThemeName;
use crate::core::words::{self, Lang};
pub use palette::Depth;
use palette::Meaning;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Theme {
    /// Whether colours are used.
    pub color: bool,
    /// Whether only ASCII is drawn.
    pub ascii: bool,
    /// Which colours.
    pub name: ThemeName,
    /// How many of them the terminal shows.
    pub depth: Depth,
}

impl Theme {
    /// Whether a colour appears anywhere.
    pub fn has_colors(self) -> bool {
        self.color && self.name != ThemeName::None
    }

    fn color(self, meaning: Meaning) -> Color {
        if self.has_colors() { palette::color(self.name, self.depth, meaning) } else { Color::Reset }
    }

    fn fg(self, meaning: Meaning) -> Style {
        match self.color(meaning) {
            Color::Reset => Style::new(),
            color => Style::new().fg(color),
        }
    }

    /// What lies below everything: the colours of a cell on which nothing is drawn.
    pub fn base(self) -> Style {
        Style::new().fg(self.color(Meaning::Text)).bg(self.color(Meaning::Ground))
    }

    /// Ordinary text.
    pub fn text(self) -> Style {
        Style::new()
    }

    /// Text beside the point: labels, hints, what does not apply.
    pub fn muted(self) -> Style {
        // How faint a terminal makes "dim" nobody knows: a colour of its own is better where there is one.
        match self.color(Meaning::Muted) {
            Color::Reset => Style::new().add_modifier(Modifier::DIM),
            color => Style::new().fg(color),
        }
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
        self.fg(Meaning::Accent)
    }

    /// A key in the footer or in a list of choices.
    pub fn key(self) -> Style {
        self.accent().add_modifier(Modifier::BOLD)
    }

    /// Good.
    pub fn good(self) -> Style {
        self.fg(Meaning::Good)
    }

    /// Bad.
    pub fn bad(self) -> Style {
        self.fg(Meaning::Bad).add_modifier(Modifier::BOLD)
    }

    /// Neither, or with care.
    pub fn warn(self) -> Style {
        self.fg(Meaning::Warn)
    }

    /// A command to copy.
    pub fn code(self) -> Style {
        self.fg(Meaning::Accent)
    }

    /// The selected row of the pane that has the keys, or of another one. Reversed it is in the colours of ordinary text
    /// alone: those of its cells were chosen for the ground.
    pub fn selected(self, focused: bool) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD);
        if focused { style.add_modifier(Modifier::REVERSED).fg(self.color(Meaning::Text)) } else { style }
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
        let theme = Theme::default();
        for style in [theme.good(), theme.bad(), theme.warn(), theme.key(), theme.badge()] {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }
}
