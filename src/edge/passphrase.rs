//! Passphrases of key files: from the environment, from an askpass program, from the terminal.
//!
//! Must not take one from an argument, and must not print, log or write one. What was typed is kept for the process, by
//! path, and wiped at its end.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use zeroize::Zeroizing;

/// Variable that holds a passphrase.
pub const VARIABLE: &str = "PORT22_PASSPHRASE";
/// How long an askpass program may wait for the user.
const PATIENCE: Duration = Duration::from_mins(2);
/// No passphrase is longer.
const LONGEST: u64 = 4096;

static TYPED: Mutex<BTreeMap<String, Zeroizing<String>>> = Mutex::new(BTreeMap::new());
static TERMINAL: AtomicBool = AtomicBool::new(false);

/// Where a passphrase can come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Typed before.
    Typed,
    /// `PORT22_PASSPHRASE`.
    Variable,
    /// The program that `SSH_ASKPASS` names.
    Program(PathBuf),
    /// The terminal.
    Terminal,
}

/// Says that whoever runs this may ask on the terminal before a plan is applied.
pub fn may_ask_on_terminal() {
    TERMINAL.store(true, Ordering::Relaxed);
}

/// Keeps a passphrase that was typed for a file.
pub fn keep(path: &str, passphrase: Zeroizing<String>) {
    TYPED.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), passphrase);
}

/// Forgets what was typed for a file.
pub fn forget(path: &str) {
    TYPED.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
}

/// Where the passphrase of a file would come from; `None` when nobody can be asked. Asks nobody.
///
/// As ssh does (ssh(1), `SSH_ASKPASS_REQUIRE`): the program is asked where there is no terminal, or where it is preferred.
pub fn source(path: &str) -> Option<Source> {
    if TYPED.lock().unwrap_or_else(PoisonError::into_inner).contains_key(path) {
        return Some(Source::Typed);
    }
    if std::env::var_os(VARIABLE).is_some_and(|v| !v.is_empty()) {
        return Some(Source::Variable);
    }
    let require = std::env::var("SSH_ASKPASS_REQUIRE").unwrap_or_default();
    let program = std::env::var_os("SSH_ASKPASS").filter(|p| !p.is_empty() && require != "never").map(PathBuf::from);
    let terminal = TERMINAL.load(Ordering::Relaxed) && std::io::stdin().is_terminal();
    match program {
        Some(program) if !terminal || require == "force" || require == "prefer" => Some(Source::Program(program)),
        _ => terminal.then_some(Source::Terminal),
    }
}

/// The passphrase of a file; the error is in words for the user. Asks an askpass program, never the terminal: that is
/// asked before a plan is applied.
pub async fn get(path: &str) -> Result<Zeroizing<String>, String> {
    match source(path) {
        Some(Source::Typed) => {
            let kept = TYPED.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
            kept.ok_or_else(missing)
        }
        Some(Source::Variable) => std::env::var(VARIABLE).map(Zeroizing::new).map_err(|_| missing()),
        Some(Source::Program(program)) => ask(&program, path).await,
        Some(Source::Terminal) | None => Err(missing()),
    }
}

fn missing() -> String {
    format!(
        "it is protected by a passphrase and none is at hand: set {VARIABLE} or SSH_ASKPASS, or run it in a terminal"
    )
}

/// Runs an askpass program: the prompt is its argument, its first line is the passphrase.
async fn ask(program: &std::path::Path, path: &str) -> Result<Zeroizing<String>, String> {
    let name = program.display();
    let started = Command::new(program)
        .arg(format!("Enter passphrase for key '{path}': "))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = started.map_err(|e| format!("{name} (SSH_ASKPASS) cannot be started: {e}"))?;
    let mut answer = Zeroizing::new(String::new());
    let read = async {
        if let Some(out) = child.stdout.take() {
            out.take(LONGEST).read_to_string(&mut answer).await.map_err(|e| e.to_string())?;
        }
        child.wait().await.map_err(|e| e.to_string())
    };
    let ended = tokio::time::timeout(PATIENCE, read).await;
    match ended {
        Ok(Ok(status)) if status.success() => {
            let line = answer.lines().next().unwrap_or_default();
            Ok(Zeroizing::new(line.to_owned()))
        }
        Ok(Ok(_)) => Err(format!("{name} (SSH_ASKPASS) gave no passphrase")),
        Ok(Err(reason)) => Err(format!("{name} (SSH_ASKPASS) failed: {reason}")),
        Err(_) => Err(format!("{name} (SSH_ASKPASS) did not answer within 2 minutes")),
    }
}
