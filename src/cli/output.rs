//! Exit codes and the one shape of an error.

use crate::core::recognise::strip_controls;
use crate::engine::failure::{Failure, FailureKind};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// Exit status of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// As wished: 0.
    Ok,
    /// A cause was found, or a fix failed or was not verified: 1.
    Found,
    /// Bad usage or could not run at all: 2.
    Usage,
    /// Inconclusive, or not recognised: 3.
    Unclear,
    /// Refused by a safety gate: 4.
    Refused,
    /// Not confirmed: 5.
    NotConfirmed,
    /// The status of a remote command, or of ssh's kind.
    Remote(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Found => 1,
            Exit::Usage => 2,
            Exit::Unclear => 3,
            Exit::Refused => 4,
            Exit::NotConfirmed => 5,
            Exit::Remote(status) => status,
        })
    }
}

/// Prints a failure: to stderr, and as JSON to stdout when JSON was asked for.
pub fn report(failure: &Failure, json: bool) -> Exit {
    if json {
        print_json(&serde_json::json!({"schema": 1, "error": failure}));
    }
    note(&format!("port22: {failure}"));
    match failure.kind {
        FailureKind::Usage => Exit::Usage,
        FailureKind::Failed => Exit::Found,
        FailureKind::Refused => Exit::Refused,
        FailureKind::NotConfirmed => Exit::NotConfirmed,
    }
}

/// Prints a result line to stdout. A reader that closed the pipe is no error.
pub fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", strip_controls(text));
}

/// Prints a line to stderr. One that cannot be written is no reason to stop in the middle of a change.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", strip_controls(text));
}

/// Asks on stderr, without a line end.
pub fn ask(text: &str) {
    let _ = write!(std::io::stderr(), "{}", strip_controls(text));
    let _ = std::io::stderr().flush();
}

/// Prints JSON, indented for people.
pub fn print_json(value: &serde_json::Value) {
    print(&serde_json::to_string_pretty(&clean(value)).unwrap_or_default());
}

/// Takes control and direction characters out of every string: JSON is read by people, too.
fn clean(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(strip_controls(text)),
        Value::Array(all) => Value::Array(all.iter().map(clean).collect()),
        Value::Object(all) => Value::Object(all.iter().map(|(k, v)| (k.clone(), clean(v))).collect()),
        other => other.clone(),
    }
}

/// Prints a progress line to stderr, when somebody watches.
pub fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        note(text);
    }
}
