//! ssh as a child: same terminal, signals handed on, stops and exit status as its own.

use super::Ended;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};
use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How much of the messages is kept: the reason stands at the end.
const KEPT: usize = 64 * 1024;
/// What ssh wrote last may still be under way when it has ended. Not longer: a shared connection that goes on in the
/// background keeps its standard error open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Runs ssh. What is `apart` takes this program's place, so that nothing at all stands between.
pub(super) fn ssh(words: &[OsString], apart: bool) -> io::Result<Ended> {
    let mut command = Command::new("ssh");
    command.args(words);
    if apart {
        return Err(command.exec());
    }
    // One thread: the signals; ssh is waited for, and its messages are passed on, in threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(attend(command));
    runtime.shutdown_background();
    ended
}

async fn attend(mut command: Command) -> io::Result<Ended> {
    // Before ssh is there, so that none is lost. Those of the keyboard reach ssh by themselves: it is in the terminal's
    // foreground, too; here they must only not end us before it.
    let mut keyboard = [signal(SignalKind::interrupt())?, signal(SignalKind::quit())?];
    let mut others = [
        (signal(SignalKind::terminate())?, Signal::TERM),
        (signal(SignalKind::hangup())?, Signal::HUP),
        (signal(SignalKind::user_defined1())?, Signal::USR1),
        (signal(SignalKind::user_defined2())?, Signal::USR2),
    ];
    let mut child = command.stderr(Stdio::piped()).spawn()?;
    let said = Arc::new(Mutex::new(Vec::new()));
    let over = child.stderr.take().map(|errors| pass_on(errors, Arc::clone(&said)));
    let pid =
        i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("no process id"))?;
    let mut waiting = tokio::task::spawn_blocking(move || wait(pid));
    let status = loop {
        let [interrupt, quit] = &mut keyboard;
        let [term, hup, usr1, usr2] = &mut others;
        let handed_on = tokio::select! {
            status = &mut waiting => break status.map_err(io::Error::other)??,
            _ = interrupt.recv() => continue,
            _ = quit.recv() => continue,
            _ = term.0.recv() => term.1,
            _ = hup.0.recv() => hup.1,
            _ = usr1.0.recv() => usr1.1,
            _ = usr2.0.recv() => usr2.1,
        };
        let _ = kill_process(pid, handed_on);
    };
    if let Some(over) = over {
        let _ = over.recv_timeout(LAST_WORDS);
    }
    let said = std::mem::take(&mut *said.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ended { status: u8::try_from(code).unwrap_or(super::FAILED), signalled: false, said },
        (None, signal) => {
            let number = signal.and_then(|s| u8::try_from(s).ok()).unwrap_or(0);
            Ended { status: 128u8.saturating_add(number), signalled: true, said }
        }
    })
}

/// Waits for ssh's end. When it is stopped (`~^Z`, Ctrl-Z), so are we: the shell would else go on waiting.
fn wait(pid: Pid) -> io::Result<WaitStatus> {
    loop {
        match waitpid(Some(pid), WaitOptions::UNTRACED) {
            Ok(Some((_, status))) if status.stopped() => {
                let _ = kill_process(rustix::process::getpid(), Signal::STOP);
            }
            Ok(Some((_, status))) => return Ok(status),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Passes messages on as they come, and keeps their end; tells when there are no more.
fn pass_on(mut errors: ChildStderr, kept: Arc<Mutex<Vec<u8>>>) -> mpsc::Receiver<()> {
    let (done, over) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            match errors.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    // A reader that is gone is ssh's matter: it is told at the next write, as without us.
                    let passed = io::stderr().write_all(&buffer[..count]);
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.extend_from_slice(&buffer[..count]);
                    let surplus = kept.len().saturating_sub(KEPT);
                    kept.drain(..surplus);
                    if passed.is_err() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let _ = done.send(());
    });
    over
}
