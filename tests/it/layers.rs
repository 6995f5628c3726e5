//! What each layer may name. Read from the sources, tests inside them left out.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// Every Rust file below a directory, tests of their own file left out.
fn files(below: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).expect("a directory").map(|e| e.expect("an entry").path()) {
        if entry.is_dir() {
            if !entry.ends_with("tests") {
                files(&entry, into);
            }
        } else if entry.extension().is_some_and(|e| e == "rs") && !entry.ends_with("tests.rs") {
            into.push(entry);
        }
    }
}

/// The lines of a file that are code of the program: no comments, and nothing after `#[cfg(test)]`.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).expect("a source file");
    let program = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines =
        program.lines().enumerate().map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default().to_owned()));
    lines.filter(|(_, line)| !line.trim().is_empty()).collect()
}

/// Fails when code of a layer names one of these, as a path or in a `use` with braces.
#[track_caller]
fn forbid(layer: &str, names: &[&str]) {
    let mut all = Vec::new();
    files(&Path::new(ROOT).join(layer), &mut all);
    assert!(!all.is_empty(), "no sources of {layer}");
    let mut found = Vec::new();
    for path in &all {
        for (number, line) in code(path) {
            for name in names.iter().filter(|name| mentions(&line, name)) {
                found.push(format!("{}:{number}: {layer} names {name}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Whether a line has this path: not as a part of a longer word, and also with `{` after its last `::`.
fn mentions(line: &str, name: &str) -> bool {
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let whole = line.match_indices(name).any(|(at, _)| {
        let open = name.ends_with("::") || name.ends_with('!') || !letter(line[at + name.len()..].chars().next());
        open && !letter(line[..at].chars().next_back())
    });
    let grouped = name.rsplit_once("::").is_some_and(|(parent, last)| {
        let inside = line.split_once(&format!("{parent}::{{")).map(|(_, rest)| rest);
        inside.is_some_and(|rest| rest.split([',', '}', ' ']).any(|word| word.split("::").next() == Some(last)))
    });
    whole || grouped
}

fn with<'a>(common: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [common, more].concat()
}

const SDK: &[&str] =
    &["aws_config::", "aws_sdk_ec2", "aws_sdk_ssm", "aws_sdk_sts", "aws_smithy_http_client", "aws_smithy_types"];
const TERMINAL: &[&str] = &["ratatui", "crossterm"];

#[test]
fn core_is_pure() {
    let layers = ["crate::engine", "crate::edge", "crate::tui", "crate::lab", "crate::cli"];
    let effects = [
        "tokio::",
        "hyper::",
        "russh::",
        "rustix::",
        "std::fs",
        "std::env",
        "std::process",
        "std::thread",
        "std::io",
        "SystemTime",
        "Instant",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "ToSocketAddrs",
        "println!",
        "print!",
        "eprintln!",
        "eprint!",
        "async fn",
        "async move",
    ];
    forbid("core", &with(&with(&layers, &effects), &with(SDK, TERMINAL)));
}

#[test]
fn engine_never_names_edge() {
    let layers = [
        "crate::edge",
        "crate::tui",
        "crate::cli",
        "crate::lab",
        "russh::",
        "std::fs",
        "TcpStream",
        "println!",
        "eprintln!",
    ];
    forbid("engine", &with(&with(&layers, SDK), TERMINAL));
}

#[test]
fn edge_names_no_screen_and_no_lab() {
    let layers = ["crate::tui", "crate::cli", "crate::lab", "println!", "eprintln!"];
    forbid("edge", &with(&layers, TERMINAL));
}

#[test]
fn screens_name_no_edge() {
    let layers = ["crate::edge", "crate::cli", "crate::lab", "russh::", "println!"];
    forbid("tui", &with(&layers, SDK));
}

#[test]
fn update_and_view_have_no_effects() {
    for part in ["tui/update", "tui/view"] {
        forbid(
            part,
            &[
                "std::fs",
                "std::env",
                "std::process",
                "std::thread",
                "tokio::",
                "Instant::now",
                "SystemTime",
                "crate::engine::repair::apply",
                "crate::engine::diagnose::run",
            ],
        );
    }
}

#[test]
fn the_lab_shares_no_code_with_what_it_tests() {
    let layers = ["crate::core", "crate::engine", "crate::edge", "crate::tui", "crate::cli"];
    forbid("lab", &with(&with(&layers, SDK), TERMINAL));
}

#[test]
fn the_reader_of_these_lines_sees_them() {
    assert!(mentions("use crate::edge::tcp;", "crate::edge"));
    assert!(mentions("use crate::{core, edge::tcp};", "crate::edge"));
    assert!(mentions("    let now = std::time::Instant::now();", "Instant"));
    assert!(!mentions("use crate::edgeless;", "crate::edge"));
    assert!(!mentions("let Instantly = 1;", "Instant"));
    assert!(mentions("aws_config::load().await", "aws_config::"));
}
