//! `port22 ssh`: the user's own ssh, untouched; where the login to an instance of the account fails, why.
//!
//! Nothing stands between ssh and the user: it has their terminal, standard input and output; its messages pass through
//! at once, and only their end is kept, in memory. Until ssh has failed nothing is read, asked or sent. The exit status is
//! ssh's. Must not answer for ssh, and must not keep what a session shows.

#[cfg(unix)]
mod run;

use super::args::Cli;
use super::output;
use super::shell::screen::Screen;
use super::{input, journal, wizard};
use crate::core::recognise::{Recognised, identify};
use crate::core::ssh_args::{self, Kind, SshArgs};
use crate::core::target::Target;
use crate::engine::diagnose::{self, Request};
use crate::engine::event::{RunId, Snapshot};
use crate::engine::journal::Journal;
use crate::engine::report;
use crate::engine::world::World;
use crate::signals::Signals;
use futures_util::FutureExt;
use futures_util::future::ready;
use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// ssh's own exit status when something went wrong (ssh(1), EXIT STATUS).
const FAILED: u8 = 255;
/// Longest time of the quick checks; what is known then is told.
const QUICK: Duration = Duration::from_secs(8);
/// How long the wizard is offered.
const OFFER: Duration = Duration::from_secs(10);
/// How often the offer is looked at while it waits for a key.
const GLANCE: Duration = Duration::from_millis(200);

/// How ssh ended.
#[derive(Debug)]
struct Ended {
    /// Exit status, as a shell shows it.
    status: u8,
    /// Whether a signal ended it.
    signalled: bool,
    /// The end of its messages.
    said: Vec<u8>,
}

/// Runs ssh, and looks why it failed.
pub fn main(cli: &Cli, words: &[OsString]) -> ExitCode {
    let texts: Vec<String> = words.iter().map(|w| w.to_string_lossy().into_owned()).collect();
    let read = ssh_args::read(&texts);
    let ended = match run::ssh(words, read.kind == Kind::Apart) {
        Ok(ended) => ended,
        Err(error) => {
            output::note(&format!(
                "port22: ssh could not be started: {error}; install an OpenSSH client, or correct PATH"
            ));
            return ExitCode::from(127);
        }
    };
    if let (Some((target, paste)), false) = (worth_a_look(&read, &ended), ended.signalled) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        if let Ok(runtime) = runtime {
            runtime.block_on(look(cli, target, paste, !read.command));
            super::wind_up(runtime);
        }
    }
    ExitCode::from(ended.status)
}

/// The login that failed, and what ssh said of it. A remote command may end with 255, too: without a message of a login
/// that failed there is nothing to say.
fn worth_a_look(read: &SshArgs, ended: &Ended) -> Option<(Target, Recognised)> {
    let target = read.target.clone().filter(|_| ended.status == FAILED)?;
    let said = String::from_utf8_lossy(&ended.said);
    let found = identify(&said, Some(crate::core::recognise::Kind::Ssh));
    let none = ["other", "success", "session_dropped"].contains(&found.symptom.as_str());
    (!none).then_some((target, found))
}

/// Looks why, says so, and offers the wizard.
async fn look(cli: &Cli, mut target: Target, paste: Recognised, offer: bool) {
    // Where the team's words cannot be taken, port22's own explain.
    let _ = super::assets::take(cli);
    target.address = cli.global.address;
    target.source_ip = cli.global.source_ip;
    let request = Request { paste: Some(paste), ..input::request(target.clone(), &cli.global) };
    let world: Arc<dyn World> = Arc::new(input::world(&cli.global).await);
    let Some(snapshot) = quickly(Arc::clone(&world), request.clone()).await else { return };
    // Of hosts that are none of ours ssh has said all there is to say.
    if snapshot.facts.instance().is_none() {
        return;
    }
    for line in report::brief(&snapshot) {
        output::note(&format!("port22: {line}"));
    }
    let terminals =
        std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
    if !offer || !terminals || !wanted().await {
        return;
    }
    match journal::open() {
        Ok(journal) => {
            let journal: Arc<dyn Journal> = Arc::new(journal);
            if let Err(failure) =
                Box::pin(wizard::show(cli, ready(world).boxed(), journal, Target::default(), Some(request), None)).await
            {
                output::report(&failure, false);
            }
        }
        Err(failure) => drop(output::report(&failure, false)),
    }
}

/// The diagnosis as far as it comes in a short time; `None` when the user has no patience for it.
async fn quickly(world: Arc<dyn World>, request: Request) -> Option<Snapshot> {
    let shown = std::io::stderr().is_terminal();
    if shown {
        output::ask("port22: looking why (Ctrl-C leaves) …");
    }
    let token = CancellationToken::new();
    let (out, _snapshots) = tokio::sync::mpsc::unbounded_channel();
    let run = diagnose::run(world, request, RunId(1), out, token.clone());
    tokio::pin!(run);
    let snapshot = tokio::select! {
        snapshot = &mut run => Some(snapshot),
        _ = tokio::signal::ctrl_c() => None,
        () = tokio::time::sleep(QUICK) => {
            token.cancel();
            Some(run.await)
        }
    };
    if shown {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    snapshot
}

/// Whether the user presses the key that opens the wizard. A signal leaves, as any other key does; the terminal is given
/// back on every way out.
async fn wanted() -> bool {
    output::ask("port22: w opens the wizard with all of this filled in, any other key leaves ");
    let mut signals = Signals::listen();
    let Ok(screen) = Screen::take() else { return false };
    let over = Arc::new(AtomicBool::new(false));
    let heeded = Arc::clone(&over);
    let pressed = tokio::select! {
        pressed = tokio::task::spawn_blocking(move || is_pressed(&heeded)) => pressed.unwrap_or(false),
        _ = signals.next() => false,
    };
    over.store(true, Ordering::SeqCst);
    drop(screen);
    output::note("");
    pressed
}

/// Waits for a key, until the offer ends or is over.
fn is_pressed(over: &AtomicBool) -> bool {
    use crossterm::event::{Event, KeyCode, KeyEventKind, poll, read};
    let until = std::time::Instant::now() + OFFER;
    while let Some(left) = until.checked_duration_since(std::time::Instant::now())
        && !over.load(Ordering::SeqCst)
    {
        match poll(left.min(GLANCE)).and_then(|any| if any { read().map(Some) } else { Ok(None) }) {
            Ok(Some(Event::Key(key))) if key.kind == KeyEventKind::Press => return key.code == KeyCode::Char('w'),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    false
}

#[cfg(not(unix))]
mod run {
    //! ssh where there are no signals to hand on.

    use super::Ended;
    use std::ffi::OsString;
    use std::io::{self, Read as _, Write as _};
    use std::process::{Command, Stdio};

    /// Runs ssh; its messages are passed on and kept.
    pub(super) fn ssh(words: &[OsString], apart: bool) -> io::Result<Ended> {
        let mut command = Command::new("ssh");
        command.args(words);
        let mut said = Vec::new();
        let mut child = if apart { command.spawn()? } else { command.stderr(Stdio::piped()).spawn()? };
        if let Some(mut errors) = child.stderr.take() {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = errors.read(&mut buffer) {
                io::stderr().write_all(&buffer[..count])?;
                said.extend_from_slice(&buffer[..count]);
                let surplus = said.len().saturating_sub(64 * 1024);
                said.drain(..surplus);
            }
        }
        let status = child.wait()?.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(super::FAILED);
        Ok(Ended { status, signalled: false, said })
    }
}
