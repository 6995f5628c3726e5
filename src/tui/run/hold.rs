//! The terminal in our hands: taken once, given back on every way out, also after a panic or a signal.

use crate::tui::pane::session;
use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste, EnableFocusChange,
    EnableMouseCapture,
};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the terminal is in our hands.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Whether the mouse is, too.
static MOUSE: AtomicBool = AtomicBool::new(false);

/// Wakes the loop when a task panicked.
pub(super) static CRASHED: tokio::sync::Notify = tokio::sync::Notify::const_new();

/// Whether the terminal is still in our hands: a panic in any task gives it back.
pub(super) fn is_ours() -> bool {
    TAKEN.load(Ordering::SeqCst)
}

/// Holds the terminal; gives it back when dropped.
pub(super) struct Guard;

impl Guard {
    /// Takes the terminal: raw mode, the other screen, pastes told as such, and the mouse where that is wished.
    pub(super) fn take(mouse: bool) -> io::Result<Self> {
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let guard = Self;
        execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange, cursor::Hide)?;
        if mouse {
            MOUSE.store(true, Ordering::SeqCst);
            execute!(io::stdout(), EnableMouseCapture)?;
        }
        Ok(guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        give_back();
    }
}

/// Restores the terminal, once. Errors are not worth telling: there is nowhere left to tell them.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        if MOUSE.swap(false, Ordering::SeqCst) {
            let _ = execute!(io::stdout(), DisableMouseCapture);
        }
        let _ = execute!(io::stdout(), DisableFocusChange, DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
    }
}

/// A panic in any task gives the terminal back first, so that its message can be read; the loop
/// then ends with an error.
pub(super) fn hook_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if session::is_guarded() {
                return;
            }
            give_back();
            before(info);
            CRASHED.notify_one();
        }));
    });
}
