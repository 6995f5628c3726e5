//! Carries bytes between this process and an open terminal, until the end.
//!
//! Reading, writing, sizes and signals go on side by side: none waits for another. Must not keep what passes.

use super::FAILED;
use super::escape::{Escapes, Typed};
use super::screen::{self, Modes, Screen};
use crate::engine::terminal::{Control, End, Opened};
use crate::signals::Signals;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// Bytes that are moved at once.
const CHUNK: usize = 32 * 1024;
/// A window that is being dragged has many sizes: the one counts that stays so long.
const DRAGGED: Duration = Duration::from_millis(100);
/// Longest orderly end after we hung up.
const GOODBYE: Duration = Duration::from_secs(3);
/// Longest last words on this terminal: one that takes no bytes must not keep the program.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// What a shell gives for a program that wrote to a closed pipe (128 + SIGPIPE).
const BROKEN_PIPE: u8 = 141;

const HELP: &str = "Escapes, after Enter:
 ~.  leave, and end the session
 ~~  the character ~
 ~?  this help";

/// Why it is over.
enum Over {
    /// The remote side ended it.
    There(End),
    /// The user left, or this terminal is gone.
    Left,
    /// A signal came.
    Signal(u8),
    /// Nobody reads our output any more.
    NobodyReads,
}

/// Carries until the end; gives the exit status. `screen` is this terminal, where there is one.
pub async fn carry(opened: Opened, screen: Option<Screen>, signals: &mut Signals) -> u8 {
    let Opened { title, mut input, output, errors, control } = opened;
    let (tty, modes) = (screen.is_some(), Mutex::new(Modes::default()));
    let look = std::io::stdout().is_terminal();
    let shown = async {
        let looked = |bytes: &[u8]| {
            if look {
                modes.lock().unwrap_or_else(PoisonError::into_inner).look(bytes);
            }
        };
        let beside = async {
            if let Some(mut errors) = errors {
                // What nobody reads is thrown away: left unread, it would stop the output on its way.
                if copy(&mut errors, tokio::io::stderr(), |_| ()).await.is_err() {
                    let _ = copy(&mut errors, tokio::io::sink(), |_| ()).await;
                }
            }
            Ok::<(), NobodyReads>(())
        };
        // Without a reader of the output the command's other words are not waited for.
        match tokio::try_join!(copy(output, tokio::io::stdout(), looked), beside) {
            Ok(_) => Over::There(control.ended().await),
            Err(NobodyReads) => Over::NobodyReads,
        }
    };
    let over = tokio::select! {
        over = shown => over,
        over = typed(&mut input, tty) => over,
        signal = signals.next() => Over::Signal(signal),
        () = sizes(control.as_ref(), tty) => Over::Left,
        () = told(&control) => Over::Left,
    };
    let end = match &over {
        Over::There(end) => end.clone(),
        _ => {
            control.hang_up();
            timeout(GOODBYE, control.ended()).await.unwrap_or_default()
        }
    };
    // First of all: whatever follows may have to wait for a terminal that takes no bytes.
    drop(screen);
    if tty {
        let undo = modes.lock().unwrap_or_else(PoisonError::into_inner).undo();
        let closed = end.trouble.is_none().then(|| format!("port22: {title}: closed"));
        last_words(undo, closed).await;
    }
    match over {
        Over::There(end) => status(&end),
        Over::Left => FAILED,
        Over::Signal(number) => 128 + number,
        Over::NobodyReads => BROKEN_PIPE,
    }
}

/// Puts the modes of this terminal back and says that it is over, as far as it takes bytes.
async fn last_words(undo: String, closed: Option<String>) {
    let said = async {
        let mut stdout = tokio::io::stdout();
        let _ = stdout.write_all(undo.as_bytes()).await;
        let _ = stdout.flush().await;
        if let Some(closed) = closed {
            let _ = tokio::task::spawn_blocking(move || screen::note(&closed)).await;
        }
    };
    let _ = timeout(LAST_WORDS, said).await;
}

/// The exit status of an end, as ssh gives it; what went wrong is told.
fn status(end: &End) -> u8 {
    if let Some(trouble) = &end.trouble {
        screen::note(&format!("port22: {trouble}"));
        return FAILED;
    }
    if let Some(signal) = &end.signal {
        screen::note(&format!("port22: the remote command was ended by a signal ({signal})"));
        return FAILED;
    }
    // The system keeps eight bits of it, here as there.
    end.status.map_or(0, |status| u8::try_from(status & 0xff).unwrap_or(FAILED))
}

/// The reader of our output has gone.
struct NobodyReads;

/// Copies and flushes each piece. An end of the session that is no good one is told by the session.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut look: impl FnMut(&[u8]),
) -> Result<(), NobodyReads> {
    let mut buffer = vec![0; CHUNK];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        look(&buffer[..count]);
        to.write_all(&buffer[..count]).await.map_err(|_| NobodyReads)?;
        to.flush().await.map_err(|_| NobodyReads)?;
    }
    Ok(())
}

/// Sends what is typed, or what comes through a pipe and then its end. Ends when the user leaves.
async fn typed(to: &mut (impl AsyncWrite + Unpin), tty: bool) -> Over {
    let (mut from, mut buffer, mut escapes) = (tokio::io::stdin(), vec![0; CHUNK], Escapes::default());
    loop {
        let count = match from.read(&mut buffer).await {
            Ok(count @ 1..) => count,
            // A terminal that is gone; ssh ends then, too.
            _ if tty => return Over::Left,
            _ => break,
        };
        let typed = if tty { escapes.take(&buffer[..count]) } else { Typed::Keys(buffer[..count].to_vec()) };
        let (keys, leave) = match typed {
            Typed::Keys(keys) => (keys, false),
            Typed::Leave(keys) => (keys, true),
            Typed::Help(keys) => {
                screen::note(HELP);
                (keys, false)
            }
        };
        if leave {
            return Over::Left;
        }
        // A side that takes no more will tell its end.
        if to.write_all(&keys).await.is_err() || to.flush().await.is_err() {
            return std::future::pending().await;
        }
    }
    let _ = to.shutdown().await;
    std::future::pending().await
}

/// Shows what is worth telling while it lasts.
async fn told(control: &Arc<dyn Control>) {
    while let Some(notice) = control.notice().await {
        screen::note(&format!("port22: {notice}"));
    }
    std::future::pending::<()>().await;
}

/// Tells the remote side each new size of this terminal.
async fn sizes(control: &dyn Control, tty: bool) {
    #[cfg(unix)]
    if tty {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut changed) = signal(SignalKind::window_change()) {
            let mut last = screen::size();
            // It may have changed since the door was asked.
            control.resize(last.0, last.1);
            while changed.recv().await.is_some() {
                while timeout(DRAGGED, changed.recv()).await.is_ok_and(|more| more.is_some()) {}
                let now = screen::size();
                if now != last {
                    control.resize(now.0, now.1);
                    last = now;
                }
            }
        }
    }
    let _ = (control, tty);
    std::future::pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_is_that_of_ssh() {
        assert_eq!(status(&End::default()), 0);
        assert_eq!(status(&End { status: Some(3), ..End::default() }), 3);
        assert_eq!(status(&End { status: Some(256 + 7), ..End::default() }), 7);
        assert_eq!(status(&End { signal: Some("TERM".to_owned()), ..End::default() }), 255);
        assert_eq!(status(&End { trouble: Some("gone".to_owned()), ..End::default() }), 255);
    }
}
