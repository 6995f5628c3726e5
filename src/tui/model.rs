//! What is known and chosen. Plain data; changed by [`crate::tui::update`] alone.
//!
//! A state that makes no sense should not be writable: a fix is in exactly one [`Phase`], the
//! screens are a stack, what lies on top of a screen is a stack of [`Overlay`]s.

mod columns;
mod fix;
pub mod fleet;
mod notices;
mod popup;
pub mod practice;
mod shell;
mod start;
pub mod switcher;

pub use columns::{ColumnBox, cell, heading, natural, order};
pub use fix::{Fixing, Phase, StepRow};
pub use notices::{Focus, Notice, Notices, Notify, Severity};
pub use popup::{Field, Form, Overlay, Part, PasteBox, Reading};
pub use shell::{ShellFinding, ShellMode, ShellPhase, Shelling};
pub use start::{Pane, Row, Start, Symptoms};

use crate::core::diagnosis::Diagnosis;
use crate::core::facts::host::Sample;
use crate::core::report::compare::Outline;
use crate::core::series::{self, Series};
use crate::core::settings::ThemeName;
use crate::core::settings::column::{Column, Sort};
use crate::core::target::Target;
use crate::engine::diagnose::Request;
use crate::engine::event::{RunId, Snapshot};
use crate::engine::failure::Failure;
use crate::engine::journal::Entry;
use crate::engine::report::Form as ReportForm;
use crate::tui::keys::Context;
use crate::tui::theme::Depth;
use std::collections::BTreeMap;

/// How the program was started.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Draw ASCII only (`--ascii`).
    pub ascii: bool,
    /// Use colours (not with `NO_COLOR` or `--no-color`).
    pub color: bool,
    /// Which colours.
    pub theme: ThemeName,
    /// How many of them the terminal shows.
    pub depth: Depth,
    /// Whether the mouse wheel is listened to.
    pub mouse: bool,
    /// Whether diagnoses begin guided.
    pub guided: bool,
    /// Columns of the instance list; as wide as the screen allows when empty.
    pub columns: Vec<Column>,
    /// Order of the instance list.
    pub sort: Sort,
    /// The settings file, as people name it.
    pub settings_file: String,
    /// Change nothing (`--read-only`).
    pub read_only: bool,
    /// The practice account is being used.
    pub lab: bool,
    /// Its lessons, where it has any.
    pub practice: Option<practice::Practice>,
    /// AWS profile, for the header.
    pub profile: Option<String>,
    /// Start straight in this diagnosis.
    pub target: Option<Request>,
    /// How the end of something long is told to a user who looks elsewhere.
    pub notify: Notify,
    /// ssh options that apply to every picked instance: user, port, keys, configuration file,
    /// client address.
    pub base: Target,
    /// What is said when the screen opens.
    pub notice: Option<String>,
}

/// The moment, as the last message told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clock {
    /// Milliseconds since the program began.
    pub ms: u64,
    /// Seconds since 1970.
    pub unix: i64,
}

/// Everything.
#[derive(Debug)]
pub struct Model {
    /// How the program was started.
    pub settings: Settings,
    /// Terminal size: columns, rows.
    pub size: (u16, u16),
    /// The moment.
    pub clock: Clock,
    /// The start screen; always there, under all others.
    pub start: Start,
    /// Screens above the start screen; the last one is seen.
    pub stack: Vec<Screen>,
    /// What lies on top of the screen; the last one has the keys.
    pub overlays: Vec<Overlay>,
    /// One line in place of the footer, for some seconds or until the next key; and those before it.
    pub notices: Notices,
    /// Whether the user looks at the terminal.
    pub focus: Focus,
    /// Whether diagnoses are shown as guided steps.
    pub guided: bool,
    /// Number of the next run.
    pub next_run: u64,
    /// How the report was wanted last.
    pub export: Wanted,
    /// The practice account's lessons; `None` elsewhere.
    pub practice: Option<practice::Practice>,
}

/// How a report is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Its form.
    pub form: ReportForm,
    /// Whether what tells who and where is replaced by placeholders.
    pub redacted: bool,
}

impl Wanted {
    /// The file that it is written to, in the current directory.
    pub fn file(self) -> &'static str {
        match self.form {
            ReportForm::Markdown => "port22-report.md",
            ReportForm::Json => "port22-report.json",
            ReportForm::Text => "port22-report.txt",
        }
    }
}

/// A screen above the start screen.
#[derive(Debug)]
pub enum Screen {
    /// A diagnosis, as triage or guided.
    Diagnosis(Box<Diagnosing>),
    /// A fix or an undo.
    Fix(Box<Fixing>),
    /// Ways in.
    Doors {
        /// Selected row.
        cursor: usize,
    },
    /// Every instance, by cause.
    Fleet(Box<fleet::FleetList>),
    /// Changes made.
    Journal(JournalList),
    /// A terminal on the instance.
    Shell(Box<Shelling>),
}

/// A diagnosis on the screen.
#[derive(Debug)]
pub struct Diagnosing {
    /// What is diagnosed.
    pub request: Request,
    /// Its number; answers of other runs change nothing.
    pub run: RunId,
    /// What to call the target until the instance is known.
    pub label: String,
    /// What is known so far.
    pub snapshot: Option<Box<Snapshot>>,
    /// When that was, on the model's clock.
    pub received_ms: u64,
    /// When the run began, on the model's clock.
    pub began_ms: u64,
    /// Check chosen by the user; until then the telling one is shown.
    pub chosen: Option<String>,
    /// First line shown of the check's detail.
    pub detail_scroll: usize,
    /// Which of the causes is shown with its fixes.
    pub cause: usize,
    /// Check whose question is being asked.
    pub ask: Option<String>,
    /// Place in the guided walk.
    pub walk: Walk,
    /// What was judged before the last repair, to compare with.
    pub before: Option<Box<Outline>>,
    /// How long the TCP connect took in each run so far, in milliseconds.
    pub connects: Vec<Sample>,
}

/// Where the user is in the guided walk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walk {
    /// Index in the walk of the tree.
    pub at: usize,
    /// Whether the answer of this step is shown.
    pub revealed: bool,
    /// The user's guesses, by check id (practice account only).
    pub guesses: BTreeMap<String, bool>,
}

/// The journal on the screen.
#[derive(Debug, Default)]
pub struct JournalList {
    /// Entries, newest first; `None` until read.
    pub entries: Option<Result<Vec<Entry>, Failure>>,
    /// Selected row.
    pub cursor: usize,
    /// First row shown.
    pub offset: usize,
    /// An entry was taken back from here: what lies below shows the time before.
    pub undone: bool,
}

impl Model {
    /// The model before anything is known.
    pub fn new(mut settings: Settings, size: (u16, u16)) -> Self {
        let mut start = Start::default();
        start.symptoms.shown = crate::tui::update::start::symptom_list("");
        (start.columns, start.sort) = (settings.columns.clone(), settings.sort.clone());
        let mut notices = Notices::default();
        if let Some(text) = &settings.notice {
            notices.tell(Clock::default(), Severity::Warn, text.clone());
        }
        let practice = settings.practice.take();
        let guided = settings.guided || practice.as_ref().is_some_and(|practice| practice.guided);
        Self {
            settings,
            size,
            clock: Clock::default(),
            start,
            stack: Vec::new(),
            overlays: Vec::new(),
            notices,
            focus: Focus::default(),
            guided,
            next_run: 0,
            export: Wanted::default(),
            practice,
        }
    }

    /// Shows a message; it can be read again in the list of messages.
    pub fn say(&mut self, severity: Severity, text: impl Into<String>) {
        self.notices.tell(self.clock, severity, text.into());
    }

    /// A new number for a run.
    pub fn new_run(&mut self) -> RunId {
        self.next_run += 1;
        RunId(self.next_run)
    }

    /// The colours in use.
    pub fn theme(&self) -> ThemeName {
        if self.settings.color { self.settings.theme } else { ThemeName::None }
    }

    /// What the keys mean now.
    pub fn context(&self) -> Context {
        match self.overlays.last() {
            Some(Overlay::Help { .. }) => Context::Help,
            Some(Overlay::Palette { .. }) => Context::Palette,
            Some(Overlay::Paste(_)) => Context::Paste,
            Some(Overlay::Entry { .. }) => Context::Entry,
            Some(Overlay::Form(_)) => Context::Form,
            Some(Overlay::Read(_)) => Context::Read,
            Some(Overlay::Leave) => Context::Leave,
            Some(Overlay::Inside) => Context::Inside,
            Some(Overlay::Export) => Context::Export,
            Some(Overlay::Columns(_)) => Context::Columns,
            Some(Overlay::EndShell) => Context::EndShell,
            Some(Overlay::Switcher(_)) => Context::Switcher,
            Some(Overlay::Lesson { .. }) => Context::Lesson,
            Some(Overlay::NameCause { .. }) => Context::NameCause,
            Some(Overlay::Solved(_)) => Context::Solved,
            None => self.screen_context(),
        }
    }

    /// What the keys of the screen below all overlays mean.
    pub fn screen_context(&self) -> Context {
        match self.stack.last() {
            None => match self.start.pane {
                Pane::Instances => Context::Instances,
                Pane::Filter => Context::Filter,
                Pane::Symptoms => Context::Symptoms,
            },
            Some(Screen::Diagnosis(d)) if d.ask.is_some() => Context::Ask,
            Some(Screen::Diagnosis(_)) if self.guided => Context::Guided,
            Some(Screen::Diagnosis(_)) => Context::Diagnosis,
            Some(Screen::Fix(f)) => match &f.phase {
                Phase::Preview { plan, .. } if f.wants_passphrase(plan).is_some() && !self.settings.read_only => {
                    Context::Secret
                }
                Phase::Preview { plan, .. } if f.wants_typing(plan) && !self.settings.read_only => Context::Consent,
                _ => Context::Fix,
            },
            Some(Screen::Doors { .. }) => Context::Doors,
            Some(Screen::Fleet(list)) if list.filtering => Context::FleetFilter,
            Some(Screen::Fleet(_)) => Context::Fleet,
            Some(Screen::Journal(_)) => Context::Journal,
            Some(Screen::Shell(s)) => match (s.mode, &s.phase) {
                (ShellMode::Scroll, _) => Context::ShellScroll,
                (_, ShellPhase::Opening | ShellPhase::Ended(_) | ShellPhase::Failed(_)) => Context::ShellOver,
                (ShellMode::Remote, ShellPhase::Open) => Context::Shell,
                (ShellMode::Keys, ShellPhase::Open) => Context::ShellKeys,
            },
        }
    }

    /// The diagnosis that is seen, or lies below a fix or the doors.
    pub fn diagnosing(&self) -> Option<&Diagnosing> {
        self.stack.iter().rev().find_map(|s| match s {
            Screen::Diagnosis(d) => Some(&**d),
            _ => None,
        })
    }

    /// The same, to be changed.
    pub fn diagnosing_mut(&mut self) -> Option<&mut Diagnosing> {
        self.stack.iter_mut().rev().find_map(|s| match s {
            Screen::Diagnosis(d) => Some(&mut **d),
            _ => None,
        })
    }

    /// The fix that is seen.
    pub fn fixing(&self) -> Option<&Fixing> {
        match self.stack.last() {
            Some(Screen::Fix(f)) => Some(f),
            _ => None,
        }
    }

    /// The terminal that is seen.
    pub fn shell(&self) -> Option<&Shelling> {
        match self.stack.last() {
            Some(Screen::Shell(s)) => Some(s),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub fn shell_mut(&mut self) -> Option<&mut Shelling> {
        match self.stack.last_mut() {
            Some(Screen::Shell(s)) => Some(s),
            _ => None,
        }
    }

    /// Whether a session runs in the pane.
    pub fn is_in_session(&self) -> bool {
        self.stack.iter().any(|s| matches!(s, Screen::Shell(s) if s.phase == ShellPhase::Open))
    }

    /// Whether a change is being made right now.
    pub fn is_changing(&self) -> bool {
        self.stack.iter().any(|s| matches!(s, Screen::Fix(f) if f.is_running()))
    }

    /// Whether something with a shown time runs, so that the clock must tick.
    pub fn wants_tick(&self) -> bool {
        match self.stack.last() {
            Some(Screen::Diagnosis(d)) => !d.finished(),
            Some(Screen::Fix(f)) => f.is_running() || matches!(f.phase, Phase::Planning),
            Some(Screen::Shell(s)) => s.phase == ShellPhase::Opening,
            _ => false,
        }
    }

    /// The selected instance of the list.
    pub fn selected_row(&self) -> Option<&Row> {
        let at = *self.start.shown.get(self.start.cursor)?;
        self.start.rows.get(at as usize)
    }
}

impl Diagnosing {
    /// What is judged so far.
    pub fn diagnosis(&self) -> Option<&Diagnosis> {
        self.snapshot.as_ref().map(|s| &*s.diagnosis)
    }

    /// The numbers over time that a check looked at; of the connect those of the runs so far.
    pub fn numbers(&self, check: &str) -> Vec<Series> {
        let Some(snapshot) = &self.snapshot else { return Vec::new() };
        match check {
            "tcp-port" => Series::new("TCP connect", "ms", &self.connects).into_iter().collect(),
            check => series::of_check(check, &snapshot.facts),
        }
    }

    /// Whether the run has ended.
    pub fn finished(&self) -> bool {
        self.snapshot.as_ref().is_some_and(|s| s.finished)
    }

    /// Milliseconds since the run began, up to its end.
    pub fn elapsed(&self, clock: Clock) -> u64 {
        match &self.snapshot {
            Some(s) if s.finished => s.millis,
            Some(s) => s.millis + clock.ms.saturating_sub(self.received_ms),
            None => clock.ms.saturating_sub(self.began_ms),
        }
    }
}
