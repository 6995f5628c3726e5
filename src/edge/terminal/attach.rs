//! A session of an SSH login as a terminal: pty, shell or command, size, exit status, end.
//!
//! RFC 4254, section 6. Must not log or keep what passes, and must not know which door led here.

use crate::edge::ssh::{Login, Tunnel};
use crate::engine::terminal::{Control, End, Opened};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Pty, Sig, client::Msg};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};
use tokio::sync::{Mutex as AsyncMutex, mpsc, watch};
use tokio::time::timeout;

/// Limit of each answer before the shell runs.
const ANSWER: Duration = Duration::from_secs(15);
/// Output that waits for its reader; what is more waits on the other side.
const WAITING: usize = 64 * 1024;
/// How long a server may take to end a session that was hung up.
const HANG_UP: Duration = Duration::from_secs(2);

/// What is wanted of the session.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// What to call it.
    pub title: String,
    /// Columns and rows; no terminal without.
    pub size: Option<(u16, u16)>,
    /// Command instead of a shell.
    pub command: Option<String>,
    /// To be told to the user first.
    pub notices: Vec<String>,
    /// The login to the jump host that the connection goes through.
    pub jump: Option<Arc<Tunnel>>,
}

enum Order {
    Resize(u16, u16),
    HangUp,
}

/// Opens a session on a login. The error is for the user.
pub(super) async fn attach(login: Login, wanted: Wanted) -> Result<Opened, String> {
    let channel = login.channel(ANSWER).await?;
    let (mut read, write) = channel.split();
    let ended = |e: russh::Error| format!("the connection ended: {e}");
    if let Some((columns, rows)) = wanted.size {
        let modes = [(Pty::IUTF8, 1)];
        let term = term();
        write.request_pty(true, &term, columns.into(), rows.into(), 0, 0, &modes).await.map_err(ended)?;
        confirmed(&mut read, &login, "a terminal").await?;
    }
    match &wanted.command {
        Some(command) => write.exec(true, command.as_bytes()).await.map_err(ended)?,
        None => write.request_shell(true).await.map_err(ended)?,
    }
    let what = if wanted.command.is_some() { "the command" } else { "a shell" };
    let early = confirmed(&mut read, &login, what).await?;
    let (output, out) = tokio::io::duplex(WAITING);
    let (errors, err) = if wanted.size.is_none() {
        let (errors, err) = tokio::io::duplex(WAITING);
        (Some(errors), Some(err))
    } else {
        (None, None)
    };
    let (orders, ordered) = mpsc::unbounded_channel();
    let (notify, notices) = mpsc::unbounded_channel();
    for text in wanted.notices {
        let _ = notify.send(text);
    }
    let (told, end) = watch::channel(None);
    let input = write.make_writer();
    let pump = Pump { out: Some(out), err, login, write, _jump: wanted.jump, _notify: notify };
    tokio::spawn(async move {
        let end = pump.run(read, early, ordered).await;
        let _ = told.send(Some(end));
    });
    let holder = Arc::new(Holder(orders));
    Ok(Opened {
        title: wanted.title,
        input: Box::new(Held { inner: input, _holder: Arc::clone(&holder) }),
        output: Box::new(Held { inner: output, _holder: Arc::clone(&holder) }),
        errors: errors.map(|errors| -> Box<dyn AsyncRead + Send + Unpin> {
            Box::new(Held { inner: errors, _holder: Arc::clone(&holder) })
        }),
        control: Arc::new(Handle { holder, end, notices: AsyncMutex::new(notices), size: Mutex::new(wanted.size) }),
    })
}

/// The kind of terminal that the remote programs are told of: the user's own where hosts know it as a rule, else the one
/// that nearly every terminal understands.
fn term() -> String {
    let own = std::env::var("TERM").unwrap_or_default();
    let known = ["xterm", "xterm-color", "xterm-256color", "screen", "screen-256color", "linux", "vt100", "vt220"];
    if known.contains(&own.as_str()) { own } else { "xterm-256color".to_owned() }
}

/// Waits for the answer to a request; gives what came beside it.
async fn confirmed(read: &mut ChannelReadHalf, login: &Login, what: &str) -> Result<Vec<ChannelMsg>, String> {
    let mut early = Vec::new();
    let answer = async {
        loop {
            match read.wait().await {
                Some(ChannelMsg::Success) => return Ok(()),
                Some(ChannelMsg::Failure) => return Err(format!("the server refuses {what}")),
                Some(ChannelMsg::Close) | None => {
                    return Err(format!("the server ended the session before {what}: {}", login.last_words()));
                }
                Some(ChannelMsg::WindowAdjusted { .. }) => {}
                Some(other) => early.push(other),
            }
        }
    };
    match timeout(ANSWER, answer).await {
        Ok(Ok(())) => Ok(early),
        Ok(Err(reason)) => Err(reason),
        Err(_) => Err(format!("the server did not answer to {what} within {} s", ANSWER.as_secs())),
    }
}

/// Moves the output and carries out orders until the end.
struct Pump {
    out: Option<DuplexStream>,
    err: Option<DuplexStream>,
    login: Login,
    write: ChannelWriteHalf<Msg>,
    _jump: Option<Arc<Tunnel>>,
    /// Its end is the end of the notices.
    _notify: mpsc::UnboundedSender<String>,
}

impl Pump {
    async fn run(
        mut self,
        mut read: ChannelReadHalf,
        early: Vec<ChannelMsg>,
        mut ordered: mpsc::UnboundedReceiver<Order>,
    ) -> End {
        let mut end = End::default();
        let (mut out, mut err) = (self.out.take(), self.err.take());
        let orderly = {
            let moved = async {
                for message in early {
                    if take(message, &mut out, &mut err, &mut end).await {
                        return true;
                    }
                }
                while let Some(message) = read.wait().await {
                    if take(message, &mut out, &mut err, &mut end).await {
                        return true;
                    }
                }
                false
            };
            tokio::pin!(moved);
            loop {
                tokio::select! {
                    orderly = &mut moved => break Some(orderly),
                    order = ordered.recv() => match order {
                        Some(Order::Resize(columns, rows)) => {
                            let resized = self.write.window_change(columns.into(), rows.into(), 0, 0);
                            // Beside the output: the library takes no order while that waits for its reader.
                            tokio::select! {
                                _ = resized => {}
                                orderly = &mut moved => break Some(orderly),
                            }
                        }
                        Some(Order::HangUp) | None => {
                            let hung_up = async {
                                let _ = self.write.close().await;
                                moved.as_mut().await
                            };
                            let _ = timeout(HANG_UP, hung_up).await;
                            break None;
                        }
                    },
                }
            }
        };
        match orderly {
            Some(true) | None => self.login.close().await,
            // A server may leave without closing what it has ended.
            Some(false) if end.status.is_some() || end.signal.is_some() => {}
            Some(false) => end.trouble = Some(format!("the connection is lost: {}", self.login.last_words())),
        }
        end
    }
}

/// Takes one message; true when the session is over.
async fn take(
    message: ChannelMsg,
    out: &mut Option<DuplexStream>,
    err: &mut Option<DuplexStream>,
    end: &mut End,
) -> bool {
    match message {
        ChannelMsg::Data { data } => give(out, &data).await,
        // With a terminal there is one stream only.
        ChannelMsg::ExtendedData { data, .. } if err.is_some() => give(err, &data).await,
        ChannelMsg::ExtendedData { data, .. } => give(out, &data).await,
        ChannelMsg::ExitStatus { exit_status } => end.status = Some(exit_status),
        ChannelMsg::ExitSignal { signal_name, .. } => end.signal = Some(name(&signal_name)),
        ChannelMsg::Eof => (*out, *err) = (None, None),
        ChannelMsg::Close => return true,
        _ => {}
    }
    false
}

/// Hands output on; a reader that has gone is given no more.
async fn give(to: &mut Option<DuplexStream>, data: &[u8]) {
    if let Some(stream) = to
        && stream.write_all(data).await.is_err()
    {
        *to = None;
    }
}

fn name(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => crate::core::recognise::strip_controls(name),
        other => format!("{other:?}"),
    }
}

/// Hangs up when nobody holds any part of the terminal any more.
struct Holder(mpsc::UnboundedSender<Order>);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.send(Order::HangUp);
    }
}

struct Handle {
    holder: Arc<Holder>,
    end: watch::Receiver<Option<End>>,
    notices: AsyncMutex<mpsc::UnboundedReceiver<String>>,
    size: Mutex<Option<(u16, u16)>>,
}

impl Control for Handle {
    fn resize(&self, columns: u16, rows: u16) {
        let mut size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        if size.is_some_and(|old| old != (columns, rows)) {
            *size = Some((columns, rows));
            let _ = self.holder.0.send(Order::Resize(columns, rows));
        }
    }

    fn notice(&self) -> BoxFuture<'_, Option<String>> {
        async move { self.notices.lock().await.recv().await }.boxed()
    }

    fn ended(&self) -> BoxFuture<'_, End> {
        let mut end = self.end.clone();
        async move {
            match end.wait_for(Option::is_some).await {
                Ok(end) => end.clone().unwrap_or_default(),
                Err(_) => End { trouble: Some("the session's task ended".to_owned()), ..End::default() },
            }
        }
        .boxed()
    }

    fn hang_up(&self) {
        let _ = self.holder.0.send(Order::HangUp);
    }
}

/// A stream that keeps the session alive.
struct Held<T> {
    inner: T,
    _holder: Arc<Holder>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Held<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Held<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
