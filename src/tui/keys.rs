//! The one table of keys: context, key, action, words, and when it works.
//!
//! The rows are in [`table`]. Dispatch, footer, help page, command palette and README all read it, so that they cannot
//! disagree. Must not act: `update` does what an [`Action`] says.

mod palette;
mod table;

pub use palette::PALETTE;
pub use table::TABLE;

use crate::core::settings::ThemeName;
use crate::core::words::tr;
use crate::engine::report::Form;
use crate::tui::effect::Place;
use crate::tui::model::Model;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::fmt::Write;

/// Where a key is pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Context {
    /// Everywhere except where text is typed and on popups.
    Common,
    /// Really everywhere.
    Always,
    /// Start: instance list.
    Instances,
    /// Start: filter of the instance list.
    Filter,
    /// Start: symptom list.
    Symptoms,
    /// A recognised paste.
    Paste,
    /// Typing a text to recognise.
    Entry,
    /// Login details.
    Form,
    /// Diagnosis, triage.
    Diagnosis,
    /// Diagnosis, guided.
    Guided,
    /// A question of the diagnosis.
    Ask,
    /// Fix or undo.
    Fix,
    /// Fix, typing the instance id.
    Consent,
    /// Fix, typing the passphrase of a key file.
    Secret,
    /// Ways in.
    Doors,
    /// Every instance, by cause.
    Fleet,
    /// Fleet: filter.
    FleetFilter,
    /// Changes made.
    Journal,
    /// Something to read.
    Read,
    /// The keys.
    Help,
    /// Command palette.
    Palette,
    /// Another profile or Region.
    Switcher,
    /// Leave while a change is being made?
    Leave,
    /// May port22 look inside?
    Inside,
    /// The report: in which form, and where to.
    Export,
    /// Columns of the instance list.
    Columns,
    /// A session: the keys are the other side's.
    Shell,
    /// After the escape key of a session.
    ShellKeys,
    /// The scroll-back of a session.
    ShellScroll,
    /// A terminal that is not open: opening, ended, failed.
    ShellOver,
    /// End the session?
    EndShell,
    /// The story of a lesson.
    Lesson,
    /// Which cause has the lesson?
    NameCause,
    /// A lesson was solved.
    Solved,
}

impl Context {
    /// Whether printable keys are text here.
    pub fn is_text(self) -> bool {
        matches!(
            self,
            Self::Filter
                | Self::Symptoms
                | Self::Entry
                | Self::Form
                | Self::Consent
                | Self::Secret
                | Self::Palette
                | Self::Switcher
                | Self::FleetFilter
        )
    }

    /// Whether it lies on top of a screen.
    pub fn is_overlay(self) -> bool {
        matches!(
            self,
            Self::Paste
                | Self::Entry
                | Self::Form
                | Self::Read
                | Self::Help
                | Self::Palette
                | Self::Switcher
                | Self::Leave
                | Self::Inside
                | Self::Export
                | Self::Columns
                | Self::EndShell
                | Self::Lesson
                | Self::NameCause
                | Self::Solved
        )
    }

    /// Whether keys belong to the other side here, so that none of the common ones works.
    pub fn is_shell(self) -> bool {
        matches!(self, Self::Shell | Self::ShellKeys | Self::ShellScroll)
    }

    /// Heading of the help page and of README, in the language of the words.
    pub fn title(self) -> &'static str {
        tr(match self {
            Self::Common => "On every screen",
            Self::Always => "Always",
            Self::Instances => "Start: instances",
            Self::Filter => "Start: filter",
            Self::Symptoms => "Start: symptoms",
            Self::Paste => "Recognised paste",
            Self::Entry => "Type or paste a text",
            Self::Form => "Login details",
            Self::Diagnosis => "Diagnosis",
            Self::Guided => "Diagnosis, guided",
            Self::Ask => "A question to you",
            Self::Fix => "Fix",
            Self::Consent => "Fix: consent by typing",
            Self::Secret => "Fix: passphrase",
            Self::Doors => "Ways in",
            Self::Fleet => "Fleet",
            Self::FleetFilter => "Fleet: filter",
            Self::Journal => "Journal",
            Self::Read => "Reading",
            Self::Help => "Help",
            Self::Palette => "Command palette",
            Self::Switcher => "Profile and Region",
            Self::Leave => "Leave?",
            Self::Inside => "Look inside?",
            Self::Export => "Report",
            Self::Columns => "Columns",
            Self::Shell => "Shell",
            Self::ShellKeys => "Shell: after Ctrl-]",
            Self::ShellScroll => "Shell: scroll-back",
            Self::ShellOver => "Shell: opening or ended",
            Self::EndShell => "End the session?",
            Self::Lesson => "Lesson",
            Self::NameCause => "Name the cause",
            Self::Solved => "Lesson solved",
        })
    }
}

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Selection up.
    Up,
    /// Selection down.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To the first row.
    First,
    /// To the last row.
    Last,
    /// Next pane or field.
    NextPane,
    /// Back, close, cancel.
    Back,
    /// Go on: what Enter means on this screen.
    Accept,
    /// Choice number n of the cause panel, from 0.
    Choose(u8),
    /// Filter the list.
    Filter,
    /// Read the list or run the checks again.
    Again,
    /// Stop the checks that run, keeping what is known.
    Stop,
    /// Type or paste a text.
    Entry,
    /// Change user, port, keys, client address.
    Details,
    /// Guided or triage.
    Guided,
    /// Look inside the operating system, after consent.
    Inside,
    /// Ways in.
    Doors,
    /// Write the report: asks how.
    Export,
    /// The form of the report.
    ReportForm(Form),
    /// Placeholders in the report, or not.
    Redact,
    /// Write the report there.
    ReportTo(Place),
    /// Every instance of the Regions, by cause.
    Fleet,
    /// Journal.
    Journal,
    /// What was told.
    Messages,
    /// Another profile or Region.
    Switch,
    /// Back to the profile and Region before.
    SwitchBack,
    /// Answer the question of the selected check.
    Ask,
    /// Yes.
    Yes,
    /// No.
    No,
    /// Do not know.
    DontKnow,
    /// The next cause.
    NextCause,
    /// How to do it by hand.
    ByHand,
    /// The words on the screen.
    Glossary,
    /// What the cause means.
    Explain,
    /// Copy the shown command.
    Copy,
    /// Apply the plan.
    Apply,
    /// Go on with a repair that was cut short.
    Resume,
    /// The passphrase is typed.
    Passphrase,
    /// Another way of doing it, where the plan offers one.
    OtherWay,
    /// Undo.
    Undo,
    /// Scroll the detail down.
    ScrollDown,
    /// Scroll the detail up.
    ScrollUp,
    /// A terminal through a way in.
    Shell,
    /// port22's keys, for one key.
    ShellKeys,
    /// The terminal over the whole screen, and back.
    Zoom,
    /// Put the suggested command at the prompt.
    Suggest,
    /// Look at what has scrolled off.
    ScrollBack,
    /// Send the escape key through.
    SendEscape,
    /// End the session.
    EndShell,
    /// The story of the lesson.
    Lesson,
    /// The next hint.
    Hint,
    /// Name the cause.
    NameCause,
    /// Help.
    Help,
    /// Command palette.
    Palette,
    /// Choose the columns of the list.
    Columns,
    /// Sort by the next column, or by the selected one.
    SortNext,
    /// Sort by the column before.
    SortBefore,
    /// The other way round.
    Reverse,
    /// Choose or leave out.
    Toggle,
    /// One place to the front.
    Earlier,
    /// One place to the back.
    Later,
    /// Other colours.
    Theme(ThemeName),
    /// Leave the program.
    Leave,
    /// Leave the program although a change is being made.
    LeaveNow,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// Where.
    pub context: Context,
    /// Keys, separated by spaces; the first one is shown.
    pub keys: &'static str,
    /// What it does.
    pub action: Action,
    /// Words of the footer, in English; shown through [`tr`].
    pub label: &'static str,
    /// Words of the help page, in English; shown through [`tr`].
    pub help: &'static str,
    /// Place in the footer: 0 is never shown, 1 is dropped last when there is no room.
    pub rank: u8,
    /// Whether it works now.
    pub when: fn(&Model) -> bool,
}

/// The rows that apply in a context, in the order of dispatch: its own, then the common ones.
pub fn rows(context: Context) -> impl Iterator<Item = &'static Binding> {
    let (common, all) = (!context.is_text() && !context.is_overlay(), !context.is_shell());
    let own = TABLE.iter().filter(move |b| b.context == context);
    own.chain(
        TABLE.iter().filter(move |b| all && ((common && b.context == Context::Common) || b.context == Context::Always)),
    )
}

/// What a key does in a context now.
pub fn action(model: &Model, context: Context, key: KeyEvent) -> Option<Action> {
    let found = |b: &&Binding| b.keys.split(' ').any(|k| parse(k).is_some_and(|k| same(k, key))) && (b.when)(model);
    rows(context).find(found).map(|b| b.action)
}

/// What the footer shows: key, words, rank; in the order of the table.
pub fn footer(model: &Model) -> Vec<(&'static str, &'static str, u8)> {
    let context = model.context();
    let mut seen: Vec<Action> = Vec::new();
    let mut out = Vec::new();
    for b in rows(context).filter(|b| b.rank > 0 && !b.label.is_empty() && (b.when)(model)) {
        if !seen.contains(&b.action) {
            seen.push(b.action);
            out.push((b.keys.split(' ').next().unwrap_or_default(), tr(b.label), b.rank));
        }
    }
    out
}

/// A key as people read it: `Enter`, `Esc`, `↓`, `Ctrl-D`.
pub fn shown(key: &str) -> String {
    match key {
        "enter" => "Enter".to_owned(),
        "esc" => "Esc".to_owned(),
        "tab" => "Tab".to_owned(),
        "backtab" => "Shift-Tab".to_owned(),
        "up" => "↑".to_owned(),
        "down" => "↓".to_owned(),
        "left" => "←".to_owned(),
        "right" => "→".to_owned(),
        "pageup" => "PgUp".to_owned(),
        "pagedown" => "PgDn".to_owned(),
        "space" => "Space".to_owned(),
        "home" => "Home".to_owned(),
        "end" => "End".to_owned(),
        "backspace" => "Backspace".to_owned(),
        "f1" => "F1".to_owned(),
        key => match key.strip_prefix("ctrl-") {
            Some(rest) => format!("Ctrl-{}", rest.to_uppercase()),
            None => key.to_owned(),
        },
    }
}

/// Reads a key name of the table.
pub fn parse(name: &str) -> Option<(KeyCode, KeyModifiers)> {
    if let Some(rest) = name.strip_prefix("ctrl-") {
        return Some((parse(rest)?.0, KeyModifiers::CONTROL));
    }
    let code = match name {
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "tab" => KeyCode::Tab,
        "backtab" => KeyCode::BackTab,
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "pageup" => KeyCode::PageUp,
        "pagedown" => KeyCode::PageDown,
        "home" => KeyCode::Home,
        "end" => KeyCode::End,
        "backspace" => KeyCode::Backspace,
        "space" => KeyCode::Char(' '),
        "f1" => KeyCode::F(1),
        one => {
            let mut chars = one.chars();
            let c = chars.next()?;
            if chars.next().is_some() {
                return None;
            }
            KeyCode::Char(c)
        }
    };
    Some((code, KeyModifiers::NONE))
}

fn same((code, modifiers): (KeyCode, KeyModifiers), key: KeyEvent) -> bool {
    // Terminals send one byte for Ctrl-5 and Ctrl-], and crossterm names it after the digit.
    let key = match key.code {
        KeyCode::Char('5') if key.modifiers == KeyModifiers::CONTROL => {
            KeyEvent::new(KeyCode::Char(']'), key.modifiers)
        }
        _ => key,
    };
    // Terminals disagree on whether Shift is reported with a capital letter or with Shift-Tab.
    key.code == code && (key.modifiers - KeyModifiers::SHIFT) == modifiers
}

/// The table as Markdown, for README.
pub fn markdown() -> String {
    let mut out = String::new();
    let mut last = None;
    for b in TABLE {
        if last != Some(b.context) {
            let _ = write!(out, "\n**{}**\n\n| key | does |\n|---|---|\n", b.context.title());
            last = Some(b.context);
        }
        let keys: Vec<String> = b.keys.split(' ').map(|k| format!("`{}`", shown(k))).collect();
        let _ = writeln!(out, "| {} | {} |", keys.join(" "), tr(b.help));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::words::{Lang, in_language};

    #[test]
    fn every_key_can_be_read_and_every_row_has_words() {
        for b in TABLE {
            assert!(b.keys.split(' ').all(|k| parse(k).is_some()), "{}", b.keys);
            assert!(!b.help.is_empty(), "{}", b.keys);
        }
    }

    /// Keys that mean one thing now and another later; their conditions exclude each other.
    const IN_TURN: [(Context, &str); 12] = [
        (Context::Instances, "esc"),
        (Context::Diagnosis, "enter"),
        (Context::Diagnosis, "1"),
        (Context::Diagnosis, "esc"),
        (Context::Guided, "esc"),
        (Context::Fleet, "enter"),
        (Context::Fleet, "esc"),
        (Context::Fix, "esc"),
        (Context::Fix, "y"),
        (Context::Doors, "enter"),
        (Context::ShellOver, "esc"),
        (Context::ShellOver, "enter"),
    ];

    #[test]
    fn no_key_is_bound_twice_in_a_context() {
        let mut seen: Vec<(Context, &str)> = Vec::new();
        for b in TABLE {
            for key in b.keys.split(' ') {
                let here = (b.context, key);
                assert!(!seen.contains(&here) || IN_TURN.contains(&here), "{:?} {key}", b.context);
                seen.push(here);
            }
        }
    }

    #[test]
    fn text_contexts_bind_no_printable_key() {
        for b in TABLE.iter().filter(|b| b.context.is_text() || b.context == Context::Always) {
            for key in b.keys.split(' ') {
                let (code, modifiers) = parse(key).expect(key);
                let printable = matches!(code, KeyCode::Char(_)) && modifiers.is_empty();
                assert!(!printable, "{:?} {key}", b.context);
            }
        }
    }

    #[test]
    fn words_fit_the_help_page() {
        for b in TABLE {
            let column = b.keys.split(' ').map(|k| crate::tui::text::width(&shown(k)) + 1).sum::<usize>().max(18);
            for lang in [Lang::En, Lang::Ja] {
                let words = in_language(lang, || tr(b.help));
                assert!(column + crate::tui::text::width(words) <= 71, "{}: {words}", b.keys);
            }
        }
    }

    #[test]
    fn the_readme_table_names_every_context_once() {
        let text = markdown();
        assert_eq!(text.matches("**Diagnosis**").count(), 1);
        assert!(text.contains("| `Enter` `1` | do the first thing offered |"));
    }
}
