//! The signals that end the program, for what has something to put in order before: a command, the full screen.
//!
//! From [`Signals::listen`] on none of them ends the process by itself. Must not put anything in order: who listens does.

/// Interrupt, quit, terminate and hang-up.
pub struct Signals {
    #[cfg(unix)]
    all: [Option<tokio::signal::unix::Signal>; 4],
}

impl Signals {
    /// Listens from now on; must be called in a runtime. A signal that cannot be listened to keeps its usual effect.
    pub fn listen() -> Self {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let kinds = [SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate(), SignalKind::hangup()];
            Self { all: kinds.map(|kind| signal(kind).ok()) }
        }
        #[cfg(not(unix))]
        Self {}
    }

    /// Waits for the next one; gives its number. Cancelling it loses none.
    pub async fn next(&mut self) -> u8 {
        #[cfg(unix)]
        {
            /// Of [`Signals::all`], in their order (POSIX, `kill`).
            const NUMBERS: [u8; 4] = [2, 3, 15, 1];
            std::future::poll_fn(|cx| {
                for (signal, number) in self.all.iter_mut().zip(NUMBERS) {
                    if let Some(signal) = signal
                        && let std::task::Poll::Ready(Some(())) = signal.poll_recv(cx)
                    {
                        return std::task::Poll::Ready(number);
                    }
                }
                std::task::Poll::Pending
            })
            .await
        }
        #[cfg(not(unix))]
        match tokio::signal::ctrl_c().await {
            Ok(()) => 2,
            Err(_) => std::future::pending().await,
        }
    }
}
