//! What is known and chosen. Plain data; changed by [`crate::tui::update`] alone.
//!
//! A state that makes no sense should not be writable: a fix is in exactly one [`Phase`], the
//! screens are a stack, what lies on top of a screen is a stack of [`Overlay`]s.

pub mod fleet;

use crate::core::diagnosis::Diagnosis;
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::plan::{GateState, Plan};
use crate::core::recognise::Recognised;
use crate::core::report::compare::{Compared, Outline};
use crate::core::suggest::Suggestion;
use crate::core::target::Target;
use crate::engine::diagnose::Request;
use crate::engine::event::{RepairResult, RunId, Snapshot, StepState};
use crate::engine::failure::Failure;
use crate::engine::journal::Entry;
use crate::engine::report::Form as ReportForm;
use crate::engine::secret::Secret;
use crate::engine::terminal::{Door, End};
use crate::tui::keys::Context;
use crate::tui::pane::frame::Frame;
use nucleo_matcher::Utf32String;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

/// How the program was started.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Draw ASCII only (`--ascii`).
    pub ascii: bool,
    /// Use colours (not with `NO_COLOR` or `--no-color`).
    pub color: bool,
    /// Change nothing (`--read-only`).
    pub read_only: bool,
    /// The practice account is being used.
    pub lab: bool,
    /// AWS profile, for the header.
    pub profile: Option<String>,
    /// Start straight in this diagnosis.
    pub target: Option<Request>,
    /// ssh options that apply to every picked instance: user, port, keys, configuration file,
    /// client address.
    pub base: Target,
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
    /// One line in place of the footer, until the next key.
    pub notice: Option<String>,
    /// Whether diagnoses are shown as guided steps.
    pub guided: bool,
    /// Number of the next run.
    pub next_run: u64,
    /// How the report was wanted last.
    pub export: Wanted,
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

/// What lies on top of a screen.
#[derive(Debug)]
pub enum Overlay {
    /// The keys of the screen below.
    Help {
        /// First line shown.
        scroll: usize,
    },
    /// The actions of the screen below, with a filter.
    Palette {
        /// Filter.
        query: String,
        /// Selected row.
        cursor: usize,
    },
    /// What was recognised in a paste.
    Paste(Box<PasteBox>),
    /// Typing a text for terminals without bracketed paste.
    Entry {
        /// What was typed.
        text: String,
    },
    /// Login details.
    Form(Form),
    /// Something to read.
    Read(Reading),
    /// Leave while a change is being made?
    Leave,
    /// May port22 look inside the operating system?
    Inside,
    /// In which form the report is written, and where to.
    Export,
    /// End the session that runs in the pane?
    EndShell,
}

/// Which pane of the start screen has the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pane {
    /// The instance list.
    #[default]
    Instances,
    /// The filter of the instance list.
    Filter,
    /// The symptom list, which filters as one types.
    Symptoms,
}

/// The start screen.
#[derive(Debug, Default)]
pub struct Start {
    /// Number of the current listing.
    pub load: u64,
    /// Every instance, in the order of arrival.
    pub rows: Vec<Row>,
    /// Place of an instance in `rows`.
    pub by_id: HashMap<String, usize>,
    /// Places in `rows` of what the filter lets through, in the order shown.
    pub shown: Vec<u32>,
    /// Filter text.
    pub filter: String,
    /// Filter text that `shown` was ranked by; empty when `shown` is every row.
    pub ranked_by: String,
    /// Selected row of `shown`.
    pub cursor: usize,
    /// First row of `shown` on the screen.
    pub offset: usize,
    /// Which pane has the keys.
    pub pane: Pane,
    /// The symptom list.
    pub symptoms: Symptoms,
    /// A paste that waits for its instance.
    pub paste: Option<Recognised>,
    /// Account id.
    pub account: Option<String>,
    /// Regions.
    pub regions: Vec<String>,
    /// The client's own public address.
    pub source_ip: Option<IpAddr>,
    /// Regions that could not be listed.
    pub failures: Vec<Failure>,
    /// Whether the list is complete.
    pub done: bool,
}

/// One instance of the list.
#[derive(Debug)]
pub struct Row {
    /// The instance.
    pub instance: Instance,
    /// Name, id and addresses, as the filter looks at them.
    pub known_by: Utf32String,
    /// Everything else that the filter looks at.
    pub about: Utf32String,
    /// Hint on the way in; empty while unknown.
    pub hint: String,
    /// Listing that last named it.
    pub load: u64,
}

/// The symptom list.
#[derive(Debug, Default)]
pub struct Symptoms {
    /// Filter text.
    pub query: String,
    /// Symptom ids shown; `None` is "find out for me".
    pub shown: Vec<Option<&'static str>>,
    /// Selected row.
    pub cursor: usize,
    /// First row on the screen.
    pub offset: usize,
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

/// A fix or an undo on the screen.
#[derive(Debug)]
pub struct Fixing {
    /// Its number.
    pub run: RunId,
    /// Fix id.
    pub fix: String,
    /// Journal entry that is taken back; `None` for a fix.
    pub undo: Option<String>,
    /// The diagnosis to verify with.
    pub request: Request,
    /// What the plan is built from.
    pub facts: Arc<Facts>,
    /// Where it stands.
    pub phase: Phase,
    /// First line shown.
    pub scroll: usize,
    /// When the plan came.
    pub planned_ms: u64,
    /// The entry that is gone on with; `None` for a new repair.
    pub resume: Option<Box<Entry>>,
    /// The passphrase that is being typed.
    pub secret: Secret,
    /// What the repair changed in the diagnosis, once it is over.
    pub compared: Option<Compared>,
}

/// Where a fix stands.
#[derive(Debug)]
pub enum Phase {
    /// The plan is being built and looked at.
    Planning,
    /// There is no plan; the reason.
    NoPlan(String),
    /// The plan is shown; nothing was changed.
    Preview {
        /// The plan.
        plan: Box<Plan>,
        /// What was typed for consent.
        typed: String,
    },
    /// Steps are being done.
    Running {
        /// The plan.
        plan: Box<Plan>,
        /// Its steps.
        steps: Vec<StepRow>,
    },
    /// The checks that raised the cause run again.
    Verifying {
        /// The plan.
        plan: Box<Plan>,
        /// Its steps.
        steps: Vec<StepRow>,
        /// Attempt, from 1.
        attempt: u32,
        /// The diagnosis so far.
        snapshot: Box<Snapshot>,
    },
    /// It is over.
    Ended {
        /// How it ended.
        result: Box<RepairResult>,
        /// Its steps.
        steps: Vec<StepRow>,
    },
}

/// A step and its times on the model's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRow {
    /// Its state.
    pub state: StepState,
    /// Begin.
    pub began_ms: u64,
    /// End.
    pub ended_ms: u64,
    /// What it told last while it runs.
    pub told: String,
}

/// A terminal on the screen.
#[derive(Debug)]
pub struct Shelling {
    /// Its number.
    pub run: RunId,
    /// The way in.
    pub door: Door,
    /// What is known of the target.
    pub facts: Arc<Facts>,
    /// What to call it, once it is open.
    pub title: String,
    /// Where it stands.
    pub phase: ShellPhase,
    /// Who gets the keys.
    pub mode: ShellMode,
    /// Whether the terminal has the whole screen.
    pub zoom: bool,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// What it shows; `None` before the first output.
    pub frame: Option<Arc<Frame>>,
    /// What was told last about the connection, and when.
    pub told: Option<(String, u64)>,
    /// The finding that brought the user here.
    pub finding: ShellFinding,
    /// What to try inside.
    pub commands: Vec<Suggestion>,
    /// Which of them is next.
    pub marked: usize,
    /// When it was asked for, on the model's clock.
    pub began_ms: u64,
}

/// A finding as the pane shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShellFinding {
    /// How certain it is; `None` without a cause.
    pub certainty: Option<crate::core::cause::Certainty>,
    /// The cause in one line, or that there is none.
    pub title: String,
    /// What was seen.
    pub evidence: Vec<String>,
}

/// Where a terminal stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShellPhase {
    /// The door is being opened.
    Opening,
    /// It is open.
    Open,
    /// It is over.
    Ended(End),
    /// It could not be opened.
    Failed(Failure),
}

/// Who gets the keys of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShellMode {
    /// The other side.
    Remote,
    /// port22, for one key.
    Keys,
    /// The scroll-back.
    Scroll,
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
}

/// What was recognised in a paste, and what Enter will do.
#[derive(Debug)]
pub struct PasteBox {
    /// What was recognised.
    pub found: Recognised,
    /// Instance of the list that the host belongs to.
    pub matched: Option<String>,
    /// Why there is no single instance, when a host was named.
    pub note: Option<String>,
    /// What would be diagnosed; `None` when the paste names nothing.
    pub target: Option<Target>,
}

/// Login details: a small form.
#[derive(Debug)]
pub struct Form {
    /// The fields.
    pub fields: Vec<Field>,
    /// Which field has the keys.
    pub cursor: usize,
    /// What is wrong with the input.
    pub error: Option<String>,
}

/// A field of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// What it is.
    pub label: &'static str,
    /// What it holds.
    pub value: String,
    /// What may be written there.
    pub hint: &'static str,
}

/// Something to read, and perhaps to copy.
#[derive(Debug)]
pub struct Reading {
    /// Heading.
    pub title: String,
    /// Paragraphs.
    pub parts: Vec<Part>,
    /// First line shown.
    pub scroll: usize,
    /// What `y` copies.
    pub copy: Option<String>,
}

/// A paragraph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A small heading.
    Head(String),
    /// Text.
    Text(String),
    /// Commands or console steps.
    Code(String),
}

impl Model {
    /// The model before anything is known.
    pub fn new(settings: Settings, size: (u16, u16)) -> Self {
        let mut start = Start::default();
        start.symptoms.shown = crate::tui::update::start::symptom_list("");
        Self {
            settings,
            size,
            clock: Clock::default(),
            start,
            stack: Vec::new(),
            overlays: Vec::new(),
            notice: None,
            guided: false,
            next_run: 0,
            export: Wanted::default(),
        }
    }

    /// A new number for a run.
    pub fn new_run(&mut self) -> RunId {
        self.next_run += 1;
        RunId(self.next_run)
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
            Some(Overlay::EndShell) => Context::EndShell,
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

impl Fixing {
    /// Whether steps are being done or verified.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running { .. } | Phase::Verifying { .. })
    }

    /// Whether consent is a word to type.
    pub fn wants_typing(&self, plan: &Plan) -> bool {
        self.undo.is_none() && plan.refused().is_none() && matches!(plan.consent, crate::core::plan::Consent::Type(_))
    }

    /// The key file whose passphrase is to be typed before the plan can be applied.
    pub fn wants_passphrase<'a>(&self, plan: &'a Plan) -> Option<&'a str> {
        // A wrong one refuses the plan: it can be typed again. Any other refusal cannot be typed away.
        let hopeless = plan.gates.iter().any(|g| g.state == GateState::Refuse && g.id != "passphrase");
        plan.passphrase.as_deref().filter(|_| self.undo.is_none() && !hopeless)
    }

    /// The plan, if there is one.
    pub fn plan(&self) -> Option<&Plan> {
        match &self.phase {
            Phase::Planning | Phase::NoPlan(_) => None,
            Phase::Preview { plan, .. } | Phase::Running { plan, .. } | Phase::Verifying { plan, .. } => Some(plan),
            Phase::Ended { result, .. } => Some(&result.plan),
        }
    }
}

impl StepRow {
    /// Steps of a plan before the first one.
    pub fn waiting(count: usize) -> Vec<Self> {
        vec![Self { state: StepState::Waiting, began_ms: 0, ended_ms: 0, told: String::new() }; count]
    }
}
