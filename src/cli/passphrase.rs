//! Asks for passphrases on the terminal, without showing them, before a plan is applied.
//!
//! Must not be asked for a preview, and must not print what is typed.

use super::output;
use crate::core::plan::Plan;
use crate::edge::passphrase::{self, Source};
use crate::engine::failure::{Failure, FailureKind};
use crate::engine::secret::LONGEST;
use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use zeroize::Zeroizing;

/// Asks for the passphrase that a plan needs and that only the terminal can tell.
pub fn gather(plan: &Plan) -> Result<(), Failure> {
    let Some(file) = plan.passphrase.as_deref().filter(|f| passphrase::source(f) == Some(Source::Terminal)) else {
        return Ok(());
    };
    let told = read(&format!("Enter passphrase for key '{file}': ")).map_err(|reason| {
        Failure::new(
            FailureKind::NotConfirmed,
            format!("ask for the passphrase of {file}"),
            reason,
            "nothing was changed",
        )
    })?;
    passphrase::keep(file, told);
    Ok(())
}

/// Puts the terminal back, whatever happens.
struct Raw;

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = disable_raw_mode();
    }
}

fn read(prompt: &str) -> Result<Zeroizing<String>, String> {
    output::ask(prompt);
    enable_raw_mode().map_err(|e| e.to_string())?;
    let raw = Raw;
    // Room for any passphrase: a text that grows leaves copies behind.
    let mut typed = Zeroizing::new(String::with_capacity(LONGEST));
    let told = loop {
        match crossterm::event::read().map_err(|e| e.to_string())? {
            Event::Key(key) if key.kind == KeyEventKind::Release => {}
            Event::Key(key) => match (key.code, key.modifiers.contains(KeyModifiers::CONTROL)) {
                (KeyCode::Enter, _) => break Ok(typed),
                (KeyCode::Esc, _) | (KeyCode::Char('c' | 'd'), true) => break Err("you gave none".to_owned()),
                (KeyCode::Char('u'), true) => typed.clear(),
                (KeyCode::Backspace, _) => drop(typed.pop()),
                (KeyCode::Char(c), false) => typed.push(c),
                _ => {}
            },
            Event::Paste(text) => typed.push_str(text.trim_end_matches(['\r', '\n'])),
            _ => {}
        }
    };
    drop(raw);
    output::note("");
    told
}
