//! Commands of the catalogue that are meant for a shell inside the instance.
//!
//! The by-hand texts mix what is done here (`aws …`, `ssh …`) with what is done inside; only the latter may be offered at
//! the prompt of a session. Pure; must not run anything.

use crate::core::catalogue;
use crate::core::facts::Facts;
use crate::core::report::fill;
use crate::core::words::Lang;

/// A command to try inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// One line, without control characters.
    pub command: String,
    /// What the catalogue says beside it.
    pub note: String,
}

/// Programs of the client's side: such a line is never meant for the instance, wherever it stands.
const CLIENT: [&str; 13] = [
    "aws",
    "ssh",
    "ssh-keygen",
    "ssh-keyscan",
    "ssh-add",
    "scp",
    "port22",
    "nc",
    "curl",
    "dig",
    "ping",
    "puttygen",
    "session-manager-plugin",
];

/// What to try inside about a cause: its own commands, then those of its fixes; each once, with what is known put in.
pub fn for_cause(cause: &str, facts: &Facts) -> Vec<Suggestion> {
    // Where a command belongs is told by the English comments; what is shown beside it may be another language.
    let (words, shown) = (catalogue::of(Lang::En), catalogue::get());
    let (Some(own), Some(own_shown)) = (words.causes.get(cause), shown.causes.get(cause)) else { return Vec::new() };
    let lines = own.by_hand.iter().map(String::as_str).zip(own_shown.by_hand.iter().map(String::as_str));
    let fixes = own.fixes.iter().filter_map(|id| Some((words.fixes.get(id)?, shown.fixes.get(id)?)));
    let theirs = fixes.flat_map(|(f, shown)| inside(f.by_hand.lines().zip(shown.by_hand.lines())));
    let own = inside(lines);
    let mut out: Vec<Suggestion> = Vec::new();
    for found in own.into_iter().chain(theirs) {
        let filled = Suggestion { command: one_line(&fill(&found.command, facts)), note: found.note };
        if !filled.command.is_empty() && !out.iter().any(|s| s.command == filled.command) {
            out.push(filled);
        }
    }
    out
}

/// The lines of a by-hand text that are meant for the inside: those after a line that says `then inside`, and from a line
/// whose comment begins with `inside` on. Never lines of the client's own programs, and never comments alone.
///
/// Each line comes in English, by which it is judged, and in the language of the words.
pub fn inside<'a>(lines: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Suggestion> {
    let mut entered = false;
    let mut out = Vec::new();
    for (line, shown) in lines {
        let (command, note) = split(line);
        if note.starts_with("then inside") {
            entered = true;
            continue;
        }
        let here = note.strip_prefix("or ").unwrap_or(note).strip_prefix("inside");
        let here = here.filter(|rest| !rest.starts_with(char::is_alphanumeric));
        // "or inside" names another place for this one line; the next lines stay where they were.
        entered |= here.is_some() && note.starts_with("inside");
        let program = command.split_whitespace().next().unwrap_or_default();
        let client = CLIENT.contains(&program);
        if (entered || here.is_some()) && !client && !command.is_empty() {
            let english = here.unwrap_or(note).trim_start_matches([',', ';', ':', ' ']);
            let note = if shown == line { english } else { split(shown).1 };
            out.push(Suggestion { command: command.to_owned(), note: note.to_owned() });
        }
    }
    out
}

/// A command, and the comment behind it.
fn split(line: &str) -> (&str, &str) {
    let line = line.trim();
    if let Some(note) = line.strip_prefix('#') {
        return ("", note.trim());
    }
    // Two spaces: a # of the command itself has at most one before it.
    match line.split_once("  #") {
        Some((command, note)) => (command.trim_end(), note.trim()),
        None => (line, ""),
    }
}

/// A text as one line that no terminal acts on: line ends become spaces, control characters go. At the prompt it waits
/// for the user's Enter.
pub fn one_line(text: &str) -> String {
    let clean = crate::core::recognise::strip_controls(text);
    clean.split('\n').map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Cases {
        case: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        name: String,
        lines: Vec<String>,
        inside: Vec<[String; 2]>,
    }

    #[test]
    fn what_is_meant_for_the_inside() {
        let cases: Cases = toml::from_str(include_str!("../../tests/cases/pane/inside.toml")).expect("well formed");
        for case in cases.case {
            let found = inside(case.lines.iter().map(|l| (l.as_str(), l.as_str())));
            let found: Vec<[String; 2]> = found.into_iter().map(|s| [s.command, s.note]).collect();
            assert_eq!(found, case.inside, "{}", case.name);
        }
    }

    #[test]
    fn the_same_commands_are_offered_in_every_language() {
        let facts = Facts::default();
        for id in catalogue::get().causes.keys() {
            let commands = |lang| {
                let all = crate::core::words::in_language(lang, || for_cause(id, &facts));
                all.into_iter().map(|s| s.command).collect::<Vec<_>>()
            };
            assert_eq!(commands(Lang::En), commands(Lang::Ja), "{id}");
        }
    }

    #[test]
    fn nothing_of_the_client_is_ever_offered_inside() {
        let facts = Facts::default();
        for id in catalogue::get().causes.keys() {
            for s in for_cause(id, &facts) {
                let program = s.command.split_whitespace().next().unwrap_or_default();
                assert!(!CLIENT.contains(&program), "{id}: {}", s.command);
                assert!(!s.command.contains(['\n', '\r', '\u{1b}']), "{id}: {}", s.command);
            }
        }
        assert!(for_cause("sshd-not-listening", &facts).iter().any(|s| s.command.starts_with("sudo sshd -t")));
        assert!(for_cause("sg-no-rule", &facts).is_empty(), "what is wrong outside is not mended inside");
    }

    #[test]
    fn a_suggestion_is_one_line_without_control_characters() {
        assert_eq!(one_line("sudo sshd -t\r\nrm x\u{1b}[2J\u{7}"), "sudo sshd -t rm x");
    }
}
