//! What a session offers to the program: a terminal, or connections through a port, as `AsyncRead` and `AsyncWrite`.
//!
//! Dropping the last handle ends the session in the background; [`Shell::close`] and [`Ports::close`] wait for it.

use super::shared::{Outcome, Shared};
use crate::core::channel::end::{End, Notice};
use crate::core::channel::streams::{Id, Read, Write};
use crate::core::channel::wire::Shape;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Ends the session when nobody holds it any more.
struct Holder(Arc<Shared>);

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What all handles of a session can do.
#[derive(Clone)]
pub struct Handle(Arc<Holder>);

impl Handle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(Arc::new(Holder(shared)))
    }

    fn shared(&self) -> &Shared {
        &self.0.0
    }

    /// Waits until something is there.
    async fn until<T>(&self, mut look: impl FnMut(&mut super::shared::State) -> Option<T>) -> T {
        loop {
            let news = self.shared().news.notified();
            tokio::pin!(news);
            // Listens before it looks: what happens between the two is not missed.
            news.as_mut().enable();
            if let Some(found) = look(&mut self.shared().lock()) {
                return found;
            }
            news.await;
        }
    }

    /// Waits for the end of the session; cancelling it changes nothing.
    pub async fn wait(&self) -> Outcome {
        self.until(|state| state.outcome.clone()).await
    }

    /// The next thing to tell the user; `None` when the session is over.
    pub async fn notice(&self) -> Option<Notice> {
        self.until(|state| match state.session.next_notice() {
            Some(notice) => Some(Some(notice)),
            None => state.outcome.is_some().then_some(None),
        })
        .await
    }

    /// Waits until data may flow; gives what the agent runs, or the end if that comes first.
    pub async fn running(&self) -> Result<Shape, End> {
        self.until(|state| match (state.session.shape(), &state.outcome) {
            (_, Some(outcome)) => Some(Err(outcome.end.clone())),
            (Some(shape), None) => Some(Ok(shape)),
            (None, None) => None,
        })
        .await
    }

    /// Version of the agent; empty when it named none, as in the usual shell.
    pub fn agent_version(&self) -> String {
        self.shared().lock().session.agent().to_owned()
    }

    /// Asks for the end; [`Self::wait`] tells when it has come.
    pub fn end(&self) {
        self.shared().close();
    }

    fn open(&self) -> io::Result<PortStream> {
        let now = self.shared().now();
        let mut state = self.shared().lock();
        let id = state.session.open(now);
        if let (None, Some(end)) = (id, state.session.end()) {
            return Err(io::Error::new(io::ErrorKind::NotConnected, end.to_string()));
        }
        drop(state);
        let id =
            id.ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "this session takes no further connection"))?;
        self.shared().to_writer.notify_one();
        Ok(PortStream { handle: self.clone(), id })
    }
}

/// A terminal on the instance, or a command.
pub struct Shell {
    handle: Handle,
    /// Keys and output.
    stream: PortStream,
}

impl Shell {
    /// The terminal of a session that was started as one; there is one only.
    pub fn of(handle: Handle) -> io::Result<Self> {
        Ok(Self { stream: handle.open()?, handle })
    }

    /// Tells the agent the terminal's size in characters. Repeated sizes are not sent; the caller holds back while a
    /// window is being dragged (about 100 ms).
    pub fn resize(&self, columns: u16, rows: u16) {
        resize(&self.handle, columns, rows);
    }

    /// Waits for the end.
    pub async fn wait(&self) -> Outcome {
        self.handle.wait().await
    }

    /// Ends the session and waits for it.
    pub async fn close(self) -> Outcome {
        self.handle.end();
        self.handle.wait().await
    }

    /// The parts: the terminal's bytes (split them with [`tokio::io::split`]), standard error of commands with separate
    /// streams, and the handle for the rest.
    pub fn into_parts(self) -> (PortStream, Errors, Handle) {
        (self.stream, Errors(self.handle.clone()), self.handle)
    }
}

/// Tells the agent the terminal's size in characters.
pub fn resize(handle: &Handle, columns: u16, rows: u16) {
    let shared = handle.shared();
    shared.lock().session.resize(shared.now(), columns, rows);
    shared.to_writer.notify_one();
}

/// A port of the instance, or of a host that it reaches.
pub struct Ports(Handle);

impl Ports {
    /// The port of a session that was started as one.
    pub fn of(handle: Handle) -> Self {
        Self(handle)
    }

    /// Opens a connection. It may be written at once. Fails when the session carries no further one.
    pub fn open(&self) -> io::Result<PortStream> {
        self.0.open()
    }

    /// The rest: notices, what the agent runs, the end.
    pub fn handle(&self) -> Handle {
        self.0.clone()
    }

    /// Waits for the end.
    pub async fn wait(&self) -> Outcome {
        self.0.wait().await
    }

    /// Ends the session, with all its connections, and waits for it.
    pub async fn close(self) -> Outcome {
        self.0.end();
        self.0.wait().await
    }
}

/// Bytes of a session: a connection through a port, or a terminal's keys and output. Dropping it closes the connection
/// after what was written; there is no close of one direction on this protocol, so a shutdown is told to the other side
/// only when that has been quiet for a while.
pub struct PortStream {
    handle: Handle,
    id: Id,
}

impl AsyncRead for PortStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let shared = self.handle.shared();
        let mut state = shared.lock();
        let held = !state.session.wants_frames();
        match state.session.read(shared.now(), self.id, buffer.initialize_unfilled()) {
            Read::Bytes(count) => {
                buffer.advance(count);
                if held && state.session.wants_frames() {
                    shared.to_reader.notify_one();
                    // Time limits were suspended meanwhile.
                    shared.to_writer.notify_one();
                }
                Poll::Ready(Ok(()))
            }
            Read::End => Poll::Ready(Ok(())),
            Read::Refused => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::ConnectionRefused,
                "the instance cannot connect to the destination port",
            ))),
            Read::Reset => {
                let why = state.session.end().map_or_else(
                    || "this connection was not read for too long while others waited".to_owned(),
                    ToString::to_string,
                );
                Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, why)))
            }
            Read::Wait => {
                state.waiting.readers.insert(self.id, cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for PortStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let shared = self.handle.shared();
        let mut state = shared.lock();
        match state.session.write(shared.now(), self.id, bytes) {
            Write::Bytes(count) => {
                shared.to_writer.notify_one();
                Poll::Ready(Ok(count))
            }
            Write::Wait => {
                state.waiting.writers.insert(self.id, cx.waker().clone());
                Poll::Pending
            }
            Write::Broken => Poll::Ready(Err(broken(&state))),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.handle.shared().lock();
        if state.session.is_flushed(self.id) {
            return Poll::Ready(Ok(()));
        }
        state.waiting.writers.insert(self.id, cx.waker().clone());
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = self.handle.shared();
        shared.lock().session.end_of_sending(shared.now(), self.id);
        shared.to_writer.notify_one();
        self.poll_flush(cx)
    }
}

fn broken(state: &super::shared::State) -> io::Error {
    let why = state.session.end().map_or_else(|| "the connection is closed".to_owned(), ToString::to_string);
    io::Error::new(io::ErrorKind::BrokenPipe, why)
}

impl Drop for PortStream {
    fn drop(&mut self) {
        let shared = self.handle.shared();
        let mut state = shared.lock();
        state.waiting.readers.remove(&self.id);
        state.waiting.writers.remove(&self.id);
        state.session.close(shared.now(), self.id);
        drop(state);
        shared.to_writer.notify_one();
        shared.to_reader.notify_one();
    }
}

/// Standard error of a command with separate streams.
pub struct Errors(Handle);

impl AsyncRead for Errors {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let shared = self.0.shared();
        let mut state = shared.lock();
        match state.session.read_stderr(buffer.initialize_unfilled()) {
            Read::Bytes(count) => {
                buffer.advance(count);
                shared.to_reader.notify_one();
            }
            Read::Wait => {
                state.waiting.errors = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Read::End | Read::Refused | Read::Reset => {}
        }
        Poll::Ready(Ok(()))
    }
}
