//! The tasks of an open terminal: one reads and draws, one writes.
//!
//! Nothing here can grow: output is read only as fast as it is drawn (the connection pushes back), frames replace each
//! other, what is typed waits within [`INPUT`]. The loop of the program only ever takes the newest frame. Must not log
//! or keep a byte of what is typed or shown.

use crate::engine::event::RunId;
use crate::engine::failure::Failure;
use crate::engine::terminal::{Control, End, Opened, Wish};
use crate::engine::world::World;
use crate::tui::msg::Msg;
use crate::tui::pane::emulator::{Emulator, Scroll};
use crate::tui::pane::frame::Frame;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a door may take to open. Doors have tighter limits of their own; this one is for a door that forgets them.
pub const OPENING: Duration = Duration::from_mins(2);

/// Between two frames: about 60 a second.
const FRAME: Duration = Duration::from_millis(16);

/// Output that is taken in between two looks at everything else, in bytes.
const CHUNK: usize = 16 * 1024;

/// What may wait to be sent, in bytes.
const INPUT: usize = 4 << 20;

/// How long the other side gets for an orderly end.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long output may still come after the end was told.
const REST: Duration = Duration::from_secs(1);

/// An open or opening terminal. Ends when dropped.
pub struct Handle {
    run: RunId,
    input: Arc<Input>,
    wants: Arc<Wants>,
    frames: Option<watch::Receiver<Arc<Frame>>>,
    token: CancellationToken,
    task: Option<JoinHandle<()>>,
}

/// What the task is to do, apart from input. Wishes replace or add up; they never queue.
#[derive(Default)]
struct Wants {
    now: Mutex<Want>,
    changed: Notify,
}

#[derive(Default)]
struct Want {
    size: Option<(u16, u16)>,
    scroll: Vec<Scroll>,
}

/// The way to the other side, with an account of what waits in it.
struct Input {
    queue: UnboundedSender<Vec<u8>>,
    waiting: AtomicUsize,
}

impl Input {
    /// Queues bytes; false when there is no room.
    fn send(&self, bytes: Vec<u8>, room: usize) -> bool {
        let length = bytes.len();
        if self.waiting.load(Ordering::Acquire) + length > room {
            return false;
        }
        self.waiting.fetch_add(length, Ordering::AcqRel);
        self.queue.send(bytes).is_ok()
    }
}

impl Handle {
    /// Opens a terminal; what becomes of it comes as messages of `run`, what it shows through [`Self::drawn`].
    pub fn open(world: Arc<dyn World>, run: RunId, wish: Wish, out: UnboundedSender<Msg>) -> Self {
        let (queue, typed) = unbounded_channel();
        let input = Arc::new(Input { queue, waiting: AtomicUsize::new(0) });
        let wants = Arc::new(Wants::default());
        let (shown, frames) = watch::channel(Arc::new(Frame::default()));
        let token = CancellationToken::new();
        let size = wish.size.unwrap_or((80, 24));
        let session = Session {
            run,
            out,
            shown,
            input: Arc::clone(&input),
            wants: Arc::clone(&wants),
            token: token.clone(),
            emulator: Emulator::new(size),
            size,
            due: None,
            drawn: None,
        };
        let task = tokio::spawn(session.open(world, wish, typed));
        Self { run, input, wants, frames: Some(frames), token, task: Some(task) }
    }

    /// Its number.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Sends what was typed; false when the other side takes nothing and no more can wait.
    pub fn send(&self, bytes: Vec<u8>) -> bool {
        self.input.send(bytes, INPUT)
    }

    /// The pane has another size.
    pub fn resize(&self, size: (u16, u16)) {
        self.wants.now.lock().unwrap_or_else(PoisonError::into_inner).size = Some(size);
        self.wants.changed.notify_one();
    }

    /// Moves the view.
    pub fn scroll(&self, by: Scroll) {
        let mut want = self.wants.now.lock().unwrap_or_else(PoisonError::into_inner);
        match (want.scroll.last_mut(), by) {
            (Some(Scroll::Lines(sum)), Scroll::Lines(n)) => *sum = sum.saturating_add(n),
            (_, Scroll::Oldest | Scroll::Live) => want.scroll = vec![by],
            _ => want.scroll.push(by),
        }
        drop(want);
        self.wants.changed.notify_one();
    }

    /// Waits for the next frame: the newest one at that moment. Never returns once the terminal is gone.
    pub async fn drawn(&mut self) -> (RunId, Arc<Frame>) {
        if let Some(frames) = &mut self.frames {
            if frames.changed().await.is_ok() {
                return (self.run, Arc::clone(&frames.borrow_and_update()));
            }
            self.frames = None;
        }
        std::future::pending().await
    }

    /// Ends the session in order, within a time limit.
    pub async fn close(mut self) {
        self.token.cancel();
        if let Some(task) = self.task.take() {
            let _ = tokio::time::timeout(FAREWELL + REST, task).await;
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

struct Session {
    run: RunId,
    out: UnboundedSender<Msg>,
    shown: watch::Sender<Arc<Frame>>,
    input: Arc<Input>,
    wants: Arc<Wants>,
    token: CancellationToken,
    emulator: Emulator,
    size: (u16, u16),
    /// When the next frame is due; `None` when nothing has changed.
    due: Option<Instant>,
    /// When the last one was drawn.
    drawn: Option<Instant>,
}

impl Session {
    async fn open(mut self, world: Arc<dyn World>, wish: Wish, typed: UnboundedReceiver<Vec<u8>>) {
        let (run, doing) = (self.run, format!("open a terminal through {}", wish.door.id()));
        let token = self.token.clone();
        let opened = tokio::select! {
            opened = tokio::time::timeout(OPENING, world.terminal(wish)) => opened.unwrap_or_else(|_| {
                let reason = format!("no answer within {} s", OPENING.as_secs());
                Err(Failure::failed(doing, reason, "try again, or take another way in"))
            }),
            () = token.cancelled() => return,
        };
        let opened = match opened {
            Ok(opened) => opened,
            Err(failure) => {
                let _ = self.out.send(Msg::ShellFailed { run, failure });
                return;
            }
        };
        let Opened { title, input, output, errors, control } = opened;
        let _ = self.out.send(Msg::ShellOpened { run, title });
        let writer = tokio::spawn(write(input, typed, Arc::clone(&self.input)));
        let end = self.read(output, errors, &*control).await;
        writer.abort();
        let Some(end) = end else {
            control.hang_up();
            let _ = tokio::time::timeout(FAREWELL, control.ended()).await;
            return;
        };
        drop(control);
        self.draw();
        let _ = self.out.send(Msg::ShellEnded { run, end });
        // What was shown can still be scrolled and resized.
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                () = self.wants.changed.notified() => {}
            }
            self.obey(None);
            self.draw();
        }
    }

    /// Reads until the end; `None` when the user has left.
    async fn read(
        &mut self,
        mut output: Box<dyn AsyncRead + Send + Unpin>,
        errors: Option<Box<dyn AsyncRead + Send + Unpin>>,
        control: &dyn Control,
    ) -> Option<End> {
        let (mut buffer, mut beside) = (vec![0; CHUNK], vec![0; CHUNK]);
        let mut errors = errors;
        let (mut open, mut told) = (true, None);
        let (mut notice, mut notices) = (control.notice(), true);
        let mut ended = control.ended();
        // Runs from the moment on at which one of "output is over" and "the end is told" has come.
        let rest = tokio::time::sleep(REST);
        tokio::pin!(rest);
        // A resize while the door was opening.
        self.obey(Some(control));
        loop {
            let due = self.due;
            tokio::select! {
                () = self.token.cancelled() => return None,
                () = self.wants.changed.notified() => self.obey(Some(control)),
                () = until(due) => self.draw(),
                said = &mut notice, if notices => match said {
                    Some(text) => {
                        let _ = self.out.send(Msg::ShellNotice { run: self.run, text });
                        notice = control.notice();
                    }
                    None => notices = false,
                },
                end = &mut ended, if told.is_none() => {
                    told = Some(end);
                    rest.as_mut().reset(Instant::now() + REST);
                }
                read = output.read(&mut buffer), if open => match read {
                    Ok(length) if length > 0 => self.show(&buffer[..length]).await,
                    _ => {
                        open = false;
                        rest.as_mut().reset(Instant::now() + REST);
                    }
                },
                read = read_or_wait(errors.as_mut(), &mut beside) => match read {
                    Ok(length) if length > 0 => self.show(&beside[..length]).await,
                    _ => errors = None,
                },
                // The end was told and the output stays open, or the other way round.
                () = &mut rest, if told.is_some() || !open => {
                    let lost = || End { trouble: Some("the connection ended without a word".to_owned()), ..End::default() };
                    return Some(told.unwrap_or_else(lost));
                }
            }
            if !open && let Some(end) = told.take() {
                return Some(end);
            }
        }
    }

    /// Takes output in, and lets others have their turn.
    async fn show(&mut self, bytes: &[u8]) {
        if guarded(|| self.emulator.feed(bytes)).is_err() {
            self.emulator = Emulator::new(self.size);
            let text = "the output confused the terminal; it was cleared".to_owned();
            let _ = self.out.send(Msg::ShellNotice { run: self.run, text });
        }
        let answers = self.emulator.answers();
        if !answers.is_empty() {
            // Answers only while the way is free: a flood of questions shall not fill it.
            self.input.send(answers, CHUNK);
        }
        let now = Instant::now();
        // At once after a pause (an echo), else when the last frame is old enough.
        let earliest = self.drawn.map_or(now, |last| last + FRAME);
        if earliest <= now {
            self.draw();
        } else {
            self.due = Some(earliest);
        }
        tokio::task::yield_now().await;
    }

    /// Does what the user wants of the view.
    fn obey(&mut self, control: Option<&dyn Control>) {
        let want = std::mem::take(&mut *self.wants.now.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(size) = want.size.filter(|size| *size != self.size) {
            self.size = size;
            if guarded(|| self.emulator.resize(size)).is_err() {
                self.emulator = Emulator::new(size);
            }
            if let Some(control) = control {
                control.resize(size.0, size.1);
            }
        }
        for by in want.scroll {
            self.emulator.scroll(by);
        }
        self.due = Some(Instant::now());
    }

    fn draw(&mut self) {
        self.due = None;
        self.drawn = Some(Instant::now());
        self.shown.send_replace(Arc::new(self.emulator.frame()));
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn read_or_wait(from: Option<&mut Box<dyn AsyncRead + Send + Unpin>>, into: &mut [u8]) -> std::io::Result<usize> {
    match from {
        Some(from) => from.read(into).await,
        None => std::future::pending().await,
    }
}

/// Sends what is typed, in order. A connection that takes nothing holds this task alone.
async fn write(mut to: Box<dyn AsyncWrite + Send + Unpin>, mut typed: UnboundedReceiver<Vec<u8>>, account: Arc<Input>) {
    while let Some(bytes) = typed.recv().await {
        let sent = to.write_all(&bytes).await;
        account.waiting.fetch_sub(bytes.len(), Ordering::AcqRel);
        if sent.is_err() || (typed.is_empty() && to.flush().await.is_err()) {
            return;
        }
    }
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread is caught and answered here: then it is no reason to give the terminal back.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Runs the parser on untrusted output; a mistake in it clears the pane and ends nothing else.
fn guarded(work: impl FnOnce()) -> std::thread::Result<()> {
    GUARDED.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(false);
    result
}
