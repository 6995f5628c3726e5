//! Actions that the command palette alone offers: too seldom for a key of their own.
//!
//! Data alone, in the form of the key table.

use super::{Action, Binding, Context};
use crate::core::settings::ThemeName;
use crate::core::words::phrase;
use crate::tui::model::Model;

const fn theme(name: ThemeName, help: &'static str, when: fn(&Model) -> bool) -> Binding {
    Binding { context: Context::Common, keys: "", action: Action::Theme(name), label: name.name(), help, rank: 0, when }
}

/// All of them; none for what is chosen already.
pub const PALETTE: &[Binding] = &[
    theme(ThemeName::Dark, phrase("theme dark: light words on a dark ground"), |m| m.theme() != ThemeName::Dark),
    theme(ThemeName::Light, phrase("theme light: dark words on a light ground"), |m| m.theme() != ThemeName::Light),
    theme(ThemeName::HighContrast, phrase("theme high-contrast: black, white and strong tones"), |m| {
        m.theme() != ThemeName::HighContrast
    }),
    theme(ThemeName::ColourBlind, phrase("theme colour-blind: blue and orange, not green and red"), |m| {
        m.theme() != ThemeName::ColourBlind
    }),
    theme(ThemeName::Terminal, phrase("theme terminal: the terminal's own sixteen colours"), |m| {
        m.theme() != ThemeName::Terminal
    }),
    theme(ThemeName::None, phrase("theme none: no colours"), |m| m.theme() != ThemeName::None),
];
