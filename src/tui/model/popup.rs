//! What lies on top of a screen and has the keys until it is closed.

use super::switcher::Switcher;
use crate::core::recognise::Recognised;
use crate::core::target::Target;
use crate::tui::model::ColumnBox;
use crate::tui::model::practice::SolvedBox;

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
    /// Which columns the instance list has.
    Columns(ColumnBox),
    /// End the session that runs in the pane?
    EndShell,
    /// Another profile or Region.
    Switcher(Box<Switcher>),
    /// The story of a lesson, and its hints.
    Lesson {
        /// First line shown.
        scroll: usize,
    },
    /// Which cause has the lesson?
    NameCause {
        /// Selected row.
        cursor: usize,
    },
    /// A lesson was solved.
    Solved(Box<SolvedBox>),
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
