//! The sessions of this process that are not over, so that the program can end them before it ends itself.
//!
//! A session that is left to itself lives on at the service until the account's idle time-out, and its shell with it. Must
//! not decide when the program ends: its command line calls [`end_all`] last.

use super::shared::Shared;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Those of this process.
static ALL: UnderWay = UnderWay::new();

/// Something that has to come to its end: counts as under way as long as it lives.
pub(super) struct Here(&'static UnderWay);

impl Drop for Here {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.count = state.count.saturating_sub(1);
        state.sessions.retain(|session| session.strong_count() > 0);
        drop(state);
        self.0.fewer.notify_waiters();
    }
}

/// Counts a call that may begin a session.
pub(super) fn call() -> Here {
    ALL.enter()
}

/// Counts a session; one that begins after [`end_all`] is ended at once.
pub(super) fn session(shared: &Arc<Shared>) -> Here {
    let here = ALL.enter();
    let mut state = ALL.lock();
    state.sessions.push(Arc::downgrade(shared));
    let ending = state.ending;
    drop(state);
    if ending {
        shared.close();
    }
    here
}

/// Ends every session of this process and waits until each is over, also at the service, for no longer than this. Gives
/// whether all are. For the end of the program: later sessions are ended as they begin.
pub async fn end_all(limit: Duration) -> bool {
    let sessions: Vec<Weak<Shared>> = {
        let mut state = ALL.lock();
        state.ending = true;
        state.sessions.clone()
    };
    sessions.iter().filter_map(Weak::upgrade).for_each(|session| session.close());
    timeout(limit, ALL.none()).await.is_ok()
}

struct UnderWay {
    state: Mutex<State>,
    fewer: Notify,
}

struct State {
    count: usize,
    sessions: Vec<Weak<Shared>>,
    ending: bool,
}

impl UnderWay {
    const fn new() -> Self {
        let state = State { count: 0, sessions: Vec::new(), ending: false };
        Self { state: Mutex::new(state), fewer: Notify::const_new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&'static self) -> Here {
        self.lock().count += 1;
        Here(self)
    }

    /// Waits until nothing is under way.
    async fn none(&self) {
        loop {
            let fewer = self.fewer.notified();
            tokio::pin!(fewer);
            // Listens before it looks: what ends between the two is not missed.
            fewer.as_mut().enable();
            if self.lock().count == 0 {
                return;
            }
            fewer.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_wait_ends_with_the_last_one() {
        static SOME: UnderWay = UnderWay::new();
        SOME.none().await;
        let (one, two) = (SOME.enter(), SOME.enter());
        drop(one);
        let second = Duration::from_secs(1);
        assert!(timeout(second, SOME.none()).await.is_err());
        let (ended, ()) = tokio::join!(timeout(second, SOME.none()), async { drop(two) });
        assert!(ended.is_ok());
    }
}
