//! What the program has to say beside its screens: one line in the footer's place, and a list to read it again.

use super::Clock;
pub use crate::core::settings::Notify;
use crate::engine::event::RunId;
use std::collections::VecDeque;

/// Messages that are kept.
const KEPT: usize = 100;

/// How long a message stays, in milliseconds: time to notice it, and to read each letter.
const NOTICE_MS: u64 = 4_000;
const LETTER_MS: u64 = 50;

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Good to know.
    Note,
    /// Something was done.
    Good,
    /// Something is not as one may think.
    Warn,
    /// Something failed.
    Bad,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How much it matters.
    pub severity: Severity,
    /// Its text, in one line.
    pub text: String,
    /// When it was told, in seconds since 1970.
    pub unix: i64,
    /// Until when it is shown, on the model's clock.
    pub until_ms: u64,
}

/// Messages: the one that is shown, and those that were.
#[derive(Debug, Default)]
pub struct Notices {
    all: VecDeque<Notice>,
    shown: bool,
    /// The fix whose plan was said to be old.
    pub aged: Option<RunId>,
}

impl Notices {
    /// Shows a message, in place of the one that is shown.
    pub fn tell(&mut self, clock: Clock, severity: Severity, text: String) {
        let letters = text.chars().count() as u64;
        let factor = if matches!(severity, Severity::Warn | Severity::Bad) { 2 } else { 1 };
        let until_ms = clock.ms + factor * (NOTICE_MS + LETTER_MS * letters);
        // What is said again and again is one line of the list.
        if self.all.back().is_some_and(|last| last.text == text) {
            self.all.pop_back();
        }
        self.all.push_back(Notice { severity, text, unix: clock.unix, until_ms });
        if self.all.len() > KEPT {
            self.all.pop_front();
        }
        self.shown = true;
    }

    /// The message that is shown.
    pub fn shown(&self) -> Option<&Notice> {
        self.all.back().filter(|_| self.shown)
    }

    /// Takes the message off the screen; it stays in the list.
    pub fn hide(&mut self) {
        self.shown = false;
    }

    /// Takes it off the screen when its time is over.
    pub fn expire(&mut self, ms: u64) {
        self.shown &= self.all.back().is_some_and(|n| ms < n.until_ms);
    }

    /// All that were told, oldest first.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Notice> {
        self.all.iter()
    }
}

/// Whether the user looks at the terminal, as far as it tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Focus {
    /// It has not told.
    #[default]
    Unknown,
    /// It has the focus.
    Here,
    /// Another window has it.
    Away,
}
