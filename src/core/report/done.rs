//! What was changed for a target, as a report tells it: the journal's entries in plain words.

use super::md;
use crate::core::redact::hide::Hide;
use crate::core::text::utc;
use crate::core::words::{tr, tr_with};
use serde::Serialize;

/// One repair of the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Done {
    /// Journal entry.
    pub entry: String,
    /// Begin, seconds since 1970.
    pub at: i64,
    /// Fix id.
    pub fix: String,
    /// What it does to what.
    pub title: String,
    /// `in_force`, `undone`, `interrupted` or `failed`.
    pub state: String,
    /// The journal's last sentence about it.
    pub text: String,
    /// The steps that are in force or of which nobody knows.
    pub steps: Vec<DoneStep>,
    /// The command that takes everything back; `None` when nothing is left to take back.
    pub undo: Option<String>,
}

/// One step of a repair.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DoneStep {
    /// What it does.
    pub text: String,
    /// What the service said; `None` when nobody knows whether it was done.
    pub result: Option<String>,
    /// The command that takes it back by hand.
    pub undo: Option<String>,
}

impl Done {
    /// Without what tells who and where.
    #[must_use]
    pub fn hidden(mut self, hide: &Hide) -> Self {
        self.title = hide.text(&self.title);
        self.text = hide.text(&self.text);
        for step in &mut self.steps {
            step.text = hide.text(&step.text);
            step.result = step.result.take().map(|r| hide.text(&r));
            step.undo = step.undo.take().map(|u| hide.text(&u));
        }
        self
    }

    fn state(&self) -> &'static str {
        match self.state.as_str() {
            "in_force" => tr("in force"),
            "undone" => tr("undone"),
            "interrupted" => tr("interrupted"),
            _ => tr("failed"),
        }
    }
}

/// How many repairs one screen of text names; the journal has them all.
const SHOWN: usize = 3;

/// The newest repairs in a line each, with the way back; nothing when there were none.
pub(super) fn push_text(done: &[Done], lines: &mut Vec<String>) {
    if done.is_empty() {
        return;
    }
    lines.push(String::new());
    lines.push(tr("Changed by port22:").to_owned());
    for one in done.iter().rev().take(SHOWN) {
        lines.push(format!("  {}  {} ({})", utc(one.at), one.title, one.state()));
        lines.extend(one.undo.iter().map(|u| tr_with("    take it back: {command}", &[("command", u)])));
    }
    if done.len() > SHOWN {
        let count = done.len() - SHOWN;
        lines.push(tr_with("  {count} more: port22 journal", &[("count", &count)]));
    }
}

/// All repairs with their steps, as Markdown.
pub(super) fn push_markdown(done: &[Done], out: &mut String) {
    if done.is_empty() {
        return;
    }
    out.push_str(&format!("\n## {}\n\n", tr("Steps done")));
    for one in done {
        out.push_str(&format!(
            "- **{}** (`{}`, {}, {}, {})\n",
            md(&one.title),
            code(&one.fix),
            code(&one.entry),
            utc(one.at),
            one.state()
        ));
        for (nth, step) in one.steps.iter().enumerate() {
            let result = match &step.result {
                Some(result) => md(result),
                None => tr("nobody knows whether it was done").to_owned(),
            };
            out.push_str(&format!("  {}. {}: {result}\n", nth + 1, md(&step.text)));
            if let Some(undo) = &step.undo {
                out.push_str(&format!(
                    "     - {}\n",
                    tr_with("undo by hand: `{command}`", &[("command", &code(undo))])
                ));
            }
        }
        match &one.undo {
            Some(undo) => {
                out.push_str(&format!("  - {}\n", tr_with("undo: `{command}`", &[("command", &code(undo))])));
            }
            None => out.push_str(&format!("  - {}\n", md(&one.text))),
        }
    }
}

/// Text inside a code span: one line, without what would end it.
fn code(text: &str) -> String {
    crate::core::recognise::strip_controls(text).replace(['`', '\n'], " ")
}
