//! A terminal through Session Manager.
//!
//! A shell is the account's default document and always has a terminal on the instance, also when there is none here: then
//! line ends are typed as Enter, and the end of the input as the end-of-file character. A command without a terminal is run
//! by a POSIX shell (PowerShell on Windows), has no standard input, and tells its exit status. Must not judge why an agent is
//! away: `port22 diagnose` does.

use crate::core::facts::Facts;
use crate::core::target::TargetKind;
use crate::edge::RealWorld;
use crate::edge::channel::{Errors, Failed, Handle, Outcome, PortStream, Program, open_shell, resize};
use crate::engine::failure::Failure;
use crate::engine::terminal::{Control, End, Opened, Wish};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, ReadHalf, WriteHalf,
};
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Bytes of a pipe that are typed at once, and that may wait.
const CHUNK: usize = 4096;
/// Enter.
const ENTER: u8 = b'\r';
/// End of file, as a terminal's line discipline and the shells' line editors read it.
const END_OF_FILE: u8 = 4;
/// First and longest quiet time before the end of file is typed again: a program that was not a shell may have taken it,
/// or a terminal that changed its mode meanwhile.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Quiet time in all after which nothing more is typed, so that the service's idle time-out may end what is left.
const PATIENCE: Duration = Duration::from_mins(20);

impl RealWorld {
    /// Opens a Session Manager session and waits until the agent runs it.
    pub(super) async fn ssm_terminal(&self, wish: &Wish) -> Result<Opened, Failure> {
        let facts = &wish.facts;
        let doing = format!("open a Session Manager session on {}", facts.target.name);
        let (id, region) = node(facts, self.regions()).ok_or_else(|| unknown(&doing, facts))?;
        if wish.plugin {
            return Err(Failure::usage(
                &doing,
                "AWS's plug-in takes a terminal of its own",
                "port22 shell --use-plugin TARGET runs it",
            ));
        }
        let plain = wish.command.as_deref().filter(|_| wish.size.is_none()).map(|c| words(c, facts.is_windows()));
        let program = match (&plain, &wish.command) {
            (Some(plain), _) => Program::Plain(plain),
            (None, Some(command)) => Program::Terminal(command),
            (None, None) => Program::Login,
        };
        let next = || format!("port22 diagnose {} tells why", facts.target.name);
        let shell = open_shell(self.aws(), &region, &id, program).await.map_err(|failed| match failed {
            Failed::NotConnected { .. } => Failure::failed(&doing, failed.to_string(), next()),
            Failed::Why(_) => Failure::failed(&doing, failed.to_string(), "correct this, and try again"),
        })?;
        if let Some((columns, rows)) = wish.size {
            shell.resize(columns, rows);
        }
        let name = facts.instance().and_then(|i| i.name.clone()).unwrap_or_else(|| id.clone());
        let kind = match (wish.size, program) {
            (_, Program::Plain(_)) => Kind::Plain,
            (None, _) => Kind::Pipe { windows: facts.is_windows() },
            (Some(_), _) => Kind::Terminal,
        };
        let (stream, errors, handle) = shell.into_parts();
        // A command that says nothing may have ended before it was seen to run.
        if let Err(end) = handle.running().await
            && !end.is_normal()
        {
            return Err(Failure::failed(&doing, end.to_string(), next()));
        }
        Ok(opened(format!("Session Manager, {name}"), kind, stream, errors, handle))
    }
}

/// The failure for a target that cannot be named to the service.
pub(super) fn unknown(doing: &str, facts: &Facts) -> Failure {
    let why = facts.aws.instance.why_not().map(|why| why.text());
    let why = why.unwrap_or_else(|| "its instance id and Region are not known".to_owned());
    Failure::usage(doing, why, "give the instance id and --region")
}

/// Instance (or managed node) and Region. An id in the only Region needs nothing else.
pub(super) fn node(facts: &Facts, regions: &[String]) -> Option<(String, String)> {
    if let Some(instance) = facts.instance() {
        return Some((instance.id.clone(), instance.region.clone()));
    }
    let id = facts.target.kind() == TargetKind::InstanceId || facts.target.name.starts_with("mi-");
    let ((Some(region), ..) | (None, Some(region), _) | (None, None, [region])) =
        (&facts.target.region, &facts.aws.region, regions)
    else {
        return None;
    };
    id.then(|| (facts.target.name.clone(), region.clone()))
}

/// A line for a shell in the words that the agent splits: it runs them without a shell, on Windows as arguments of
/// PowerShell (amazon-ssm-agent, `StartCommandExecutor`).
pub(super) fn words(command: &str, windows: bool) -> String {
    let quoted = format!("'{}'", command.replace('\'', r"'\''"));
    if windows { quoted } else { format!("sh -c {quoted}") }
}

/// How keys and end are to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A terminal here, too.
    Terminal,
    /// A terminal there, and a pipe here.
    Pipe {
        /// Where the end-of-file character ends no shell.
        windows: bool,
    },
    /// A command without a terminal.
    Plain,
}

fn opened(title: String, kind: Kind, stream: PortStream, errors: Errors, handle: Handle) -> Opened {
    let (reader, writer) = tokio::io::split(stream);
    let (say, said) = mpsc::unbounded_channel();
    let heard = Arc::new(Mutex::new(Instant::now()));
    let over = CancellationToken::new();
    let guard = Arc::new(over.clone().drop_guard());
    let input: Box<dyn AsyncWrite + Send + Unpin> = match kind {
        Kind::Terminal => Box::new(writer),
        Kind::Plain => Box::new(NoInput { told: Some(say) }),
        Kind::Pipe { windows } => {
            let (keys, typed) = tokio::io::duplex(CHUNK);
            let heard = Arc::clone(&heard);
            tokio::spawn(async move {
                tokio::select! {
                    () = over.cancelled() => {}
                    _ = type_in(typed, writer, &heard, windows) => {}
                }
            });
            Box::new(keys)
        }
    };
    let (apart, beside): (Option<Box<dyn AsyncRead + Send + Unpin>>, _) =
        if kind == Kind::Plain { (Some(Box::new(errors)), None) } else { (None, Some(errors)) };
    let output = Box::new(Output { reader, beside, heard, _guard: Arc::clone(&guard) });
    let control = Link { handle, said: AsyncMutex::new(said), plain: kind == Kind::Plain, _guard: guard };
    Opened { title, input, output, errors: apart, control: Arc::new(control) }
}

/// Types what comes through a pipe, then its end.
async fn type_in(
    mut from: DuplexStream,
    mut to: WriteHalf<PortStream>,
    heard: &Mutex<Instant>,
    windows: bool,
) -> io::Result<()> {
    let (mut buffer, mut last) = (vec![0; CHUNK], ENTER);
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        let keys = keys(&buffer[..count], &mut last);
        to.write_all(&keys).await?;
        to.flush().await?;
    }
    let end: &[u8] = if windows { b"exit\r" } else { &[END_OF_FILE] };
    if last != ENTER {
        to.write_all(&[ENTER]).await?;
    }
    to.write_all(end).await?;
    to.flush().await?;
    let (mut gap, begun) = (AGAIN.0, Instant::now());
    while !windows && begun.elapsed() < PATIENCE {
        let quiet = heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed().min(begun.elapsed());
        if quiet < gap {
            sleep(gap.checked_sub(quiet).unwrap()).await;
            continue;
        }
        to.write_all(end).await?;
        to.flush().await?;
        sleep(gap).await;
        gap = (gap * 2).min(AGAIN.1);
    }
    Ok(())
}

/// Line ends as Enter; `last` is the byte before, in and out.
fn keys(text: &[u8], last: &mut u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut before = *last;
    for byte in text {
        match byte {
            b'\n' if before == b'\r' => {}
            b'\n' => out.push(ENTER),
            other => out.push(*other),
        }
        before = *byte;
    }
    *last = if before == b'\n' { ENTER } else { before };
    out
}

/// What the session shows. Standard error that a terminal should not have comes with it.
struct Output {
    reader: ReadHalf<PortStream>,
    beside: Option<Errors>,
    heard: Arc<Mutex<Instant>>,
    _guard: Arc<DropGuard>,
}

impl AsyncRead for Output {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Some(errors) = &mut self.beside {
            let read = Pin::new(errors).poll_read(cx, buffer);
            if read.is_ready() && buffer.filled().len() > before {
                return read;
            }
        }
        ready!(Pin::new(&mut self.reader).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        Poll::Ready(Ok(()))
    }
}

/// Takes the input of a command that can have none, and says so once.
struct NoInput {
    told: Option<mpsc::UnboundedSender<String>>,
}

impl AsyncWrite for NoInput {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(say) = self.told.take_if(|_| !bytes.is_empty()) {
            let _ = say.send("Session Manager gives a command no standard input: it was not sent".to_owned());
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The rest of an open session.
struct Link {
    handle: Handle,
    said: AsyncMutex<mpsc::UnboundedReceiver<String>>,
    plain: bool,
    _guard: Arc<DropGuard>,
}

impl Control for Link {
    fn resize(&self, columns: u16, rows: u16) {
        resize(&self.handle, columns, rows);
    }

    fn notice(&self) -> BoxFuture<'_, Option<String>> {
        async {
            let own = async { self.said.lock().await.recv().await };
            tokio::select! {
                Some(text) = own => Some(text),
                notice = self.handle.notice() => notice.map(|notice| notice.to_string()),
            }
        }
        .boxed()
    }

    fn ended(&self) -> BoxFuture<'_, End> {
        async { end(&self.handle.wait().await, self.plain) }.boxed()
    }

    fn hang_up(&self) {
        self.handle.end();
    }
}

/// The end in the words of a terminal. A command whose status is known has come to its own end, whatever the service says.
fn end(outcome: &Outcome, plain: bool) -> End {
    match outcome.exit_code {
        // Go's number for a process that a signal ended; which one is not told.
        Some(code) => match u32::try_from(code) {
            Ok(status) => End { status: Some(status), ..End::default() },
            Err(_) => End { signal: Some("unknown".to_owned()), ..End::default() },
        },
        None if !outcome.end.is_normal() => End { trouble: Some(outcome.end.to_string()), ..End::default() },
        None if plain && outcome.end != crate::core::channel::end::End::Ours => {
            let trouble = "the command ended, and the agent did not tell its exit status";
            End { trouble: Some(trouble.to_owned()), ..End::default() }
        }
        None => End::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::channel::end::End as Reason;

    #[test]
    fn line_ends_are_typed_as_enter() {
        let mut last = ENTER;
        assert_eq!(keys(b"a\nb\r\nc\r", &mut last), b"a\rb\rc\r");
        assert_eq!(last, ENTER);
        // The other half of a line end that was cut.
        assert_eq!(keys(b"\nd", &mut last), b"d");
        assert_eq!(last, b'd');
    }

    #[test]
    fn a_command_reaches_a_shell_whole() {
        assert_eq!(words("id", false), "sh -c 'id'");
        assert_eq!(words("echo 'a b' | wc", false), r"sh -c 'echo '\''a b'\'' | wc'");
        assert_eq!(words(r"dir C:\Users", true), r"'dir C:\Users'");
    }

    #[test]
    fn the_end_tells_what_is_known() {
        let closed = |output: &str| Reason::Closed { output: output.to_owned() };
        let of = |reason, exit_code, plain| end(&Outcome { end: reason, exit_code }, plain);
        assert_eq!(of(closed(""), Some(3), true).status, Some(3));
        assert_eq!(of(closed("said more"), Some(0), true), End { status: Some(0), ..End::default() });
        assert_eq!(of(closed(""), Some(-1), true).signal.as_deref(), Some("unknown"));
        assert_eq!(of(closed(""), None, false), End::default());
        assert_eq!(of(Reason::Ours, None, true), End::default());
        assert!(of(closed(""), None, true).trouble.is_some());
        assert_eq!(of(closed("idle"), None, false).trouble.as_deref(), Some("the session has ended: idle"));
    }

    #[test]
    fn a_node_is_known_by_its_facts_or_by_its_id() {
        let mut facts = Facts::default();
        facts.target.name = "mi-00000000000000000".to_owned();
        let one = ["eu-west-1".to_owned()];
        assert_eq!(node(&facts, &one), Some(("mi-00000000000000000".to_owned(), "eu-west-1".to_owned())));
        assert_eq!(node(&facts, &[]), None);
        facts.target.name = "web-1".to_owned();
        assert_eq!(node(&facts, &one), None);
    }
}
