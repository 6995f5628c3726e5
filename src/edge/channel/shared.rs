//! The session between the socket's task and the user's handles: one lock, held for moments and never over an await.

use crate::core::channel::end::{End, Notice};
use crate::core::channel::session::Session;
use crate::core::channel::streams::Id;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How a session went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Why it is over.
    pub end: End,
    /// Exit status, of a command with separate streams only.
    pub exit_code: Option<i32>,
}

/// Who waits for what.
#[derive(Default)]
pub(super) struct Waiting {
    pub readers: BTreeMap<Id, Waker>,
    pub writers: BTreeMap<Id, Waker>,
    pub errors: Option<Waker>,
}

pub(super) struct State {
    pub session: Session,
    pub waiting: Waiting,
    /// When the service was heard last.
    pub heard: Instant,
    /// When a frame came last by which the session moved on.
    pub carried: Instant,
    /// The end, once the task has done all its work.
    pub outcome: Option<Outcome>,
}

/// See the module.
pub(super) struct Shared {
    state: Mutex<State>,
    began: Instant,
    /// There may be frames to send, or a new deadline.
    pub to_writer: Notify,
    /// There may be room to read.
    pub to_reader: Notify,
    /// Something happened that a handle may wait for: a notice, the beginning, the end.
    pub news: Notify,
    /// A handle asked for the end, or the last one is gone.
    pub closing: Notify,
    close: AtomicBool,
}

impl Shared {
    pub(super) fn new(session: Session) -> Self {
        let heard = Instant::now();
        let state = State { session, waiting: Waiting::default(), heard, carried: heard, outcome: None };
        Self {
            state: Mutex::new(state),
            began: heard,
            to_writer: Notify::new(),
            to_reader: Notify::new(),
            news: Notify::new(),
            closing: Notify::new(),
            close: AtomicBool::new(false),
        }
    }

    /// The state. A panic elsewhere does not take the session with it.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since the session began.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// The moment of a time of the session.
    pub(super) fn at(&self, time: Duration) -> Instant {
        self.began + time
    }

    /// Asks for the end.
    pub(super) fn close(&self) {
        self.close.store(true, Ordering::SeqCst);
        self.closing.notify_one();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.close.load(Ordering::SeqCst)
    }

    /// Wakes everybody who may go on after something came or time passed.
    pub(super) fn wake(&self, state: &mut State) {
        let waiting = std::mem::take(&mut state.waiting);
        waiting.readers.into_values().chain(waiting.writers.into_values()).chain(waiting.errors).for_each(Waker::wake);
        self.news.notify_waiters();
    }

    /// Adds something to tell.
    pub(super) fn tell(&self, notice: Notice) {
        self.lock().session.notice(notice);
        self.news.notify_waiters();
    }
}
