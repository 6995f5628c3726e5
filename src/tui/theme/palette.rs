//! The colours of each theme, by meaning.
//!
//! Terminals with 256 colours and with all colours get the same ones: those of xterm's cube and greys (16 to 255), which
//! a palette of the user's does not change, so that contrasts can be promised and are tested. Terminals with sixteen get
//! the nearest there are. Must not know what is drawn.

use crate::core::settings::ThemeName;
use ratatui::style::Color;

/// How many colours the terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// The sixteen of ANSI, as the user's palette has them.
    #[default]
    Sixteen,
    /// xterm's 256.
    Indexed,
    /// All of them.
    Rgb,
}

impl Depth {
    /// What the environment says of the terminal: `COLORTERM`, else `TERM`.
    pub fn of(environment: impl Fn(&str) -> Option<String>) -> Self {
        let of = |name| environment(name).unwrap_or_default().to_ascii_lowercase();
        if ["truecolor", "24bit"].contains(&of("COLORTERM").as_str()) {
            return Self::Rgb;
        }
        let term = of("TERM");
        let many = ["256color", "direct", "kitty", "alacritty", "ghostty", "foot", "wezterm"];
        if many.iter().any(|word| term.contains(word)) { Self::Indexed } else { Self::Sixteen }
    }
}

/// What a colour means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The ground below everything.
    Ground,
    /// Ordinary text.
    Text,
    /// Text beside the point.
    Muted,
    /// What belongs to the program: keys, focus, commands.
    Accent,
    /// Good.
    Good,
    /// Bad.
    Bad,
    /// With care.
    Warn,
}

/// Colours in the order of [`Meaning`]: xterm's numbers, and the nearest of the sixteen.
struct Palette {
    many: [u8; 7],
    sixteen: [Color; 7],
}

const DARK: Palette = Palette {
    many: [233, 252, 246, 80, 114, 203, 221],
    // The ground, the text and the muted text are the terminal's own.
    sixteen: TERMINAL,
};

const LIGHT: Palette = Palette {
    many: [255, 235, 241, 24, 22, 124, 94],
    sixteen: [Color::White, Color::Black, Color::DarkGray, Color::Blue, Color::Green, Color::Red, Color::Magenta],
};

const HIGH_CONTRAST: Palette = Palette {
    many: [16, 231, 252, 51, 46, 210, 226],
    sixteen: [
        Color::Black,
        Color::White,
        Color::Gray,
        Color::LightCyan,
        Color::LightGreen,
        Color::LightRed,
        Color::LightYellow,
    ],
};

const COLOUR_BLIND: Palette = Palette {
    many: [233, 252, 246, 135, 81, 208, 228],
    sixteen: [
        Color::Black,
        Color::White,
        Color::Gray,
        Color::LightMagenta,
        Color::LightBlue,
        Color::LightRed,
        Color::LightYellow,
    ],
};

const TERMINAL: [Color; 7] =
    [Color::Reset, Color::Reset, Color::Reset, Color::Cyan, Color::Green, Color::Red, Color::Yellow];

/// The colour of a meaning in a theme; `Reset` is the terminal's own.
pub fn color(name: ThemeName, depth: Depth, meaning: Meaning) -> Color {
    let palette = match name {
        ThemeName::None => return Color::Reset,
        ThemeName::Terminal => return TERMINAL[meaning as usize],
        ThemeName::Dark => DARK,
        ThemeName::Light => LIGHT,
        ThemeName::HighContrast => HIGH_CONTRAST,
        ThemeName::ColourBlind => COLOUR_BLIND,
    };
    let number = palette.many[meaning as usize];
    match depth {
        Depth::Sixteen => palette.sixteen[meaning as usize],
        Depth::Indexed => Color::Indexed(number),
        Depth::Rgb => {
            let (red, green, blue) = rgb(number);
            Color::Rgb(red, green, blue)
        }
    }
}

/// What xterm shows for a number from 16 on: a cube of six steps each, then greys (xterm, 256colres.pl).
pub const fn rgb(number: u8) -> (u8, u8, u8) {
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    if number >= 232 {
        let grey = 8 + 10 * (number - 232);
        return (grey, grey, grey);
    }
    let at = number.saturating_sub(16);
    (STEPS[(at / 36) as usize], STEPS[(at / 6 % 6) as usize], STEPS[(at % 6) as usize])
}

#[cfg(test)]
mod tests;
