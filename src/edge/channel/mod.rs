//! The Session Manager data channel on real sockets: terminals and ports without a plug-in.
//!
//! [`start`] takes what StartSession gave and a [`Service`] (AWS's control plane is in [`aws`]) and spawns one task,
//! which holds the connection; the protocol itself is `core::channel`. The interface for the rest of the program:
//!
//! - [`open_shell`] and [`open_port`]: StartSession and all that follows;
//! - [`Shell`]: the terminal's bytes as `AsyncRead + AsyncWrite`, size, end;
//! - [`Ports`] and [`PortStream`]: connections through a port, each `AsyncRead + AsyncWrite + Send + Unpin`, as russh's
//!   `connect_stream` takes them;
//! - [`Handle`]: notices for the user while it lasts, and the [`Outcome`].
//!
//! A broken connection (and the service's hourly close with code 1000) is taken up again with ResumeSession, for
//! minutes, with everything that was under way. Dropping the last handle ends the session; [`end_all`] ends them all and
//! waits for it.
//!
//! Must not log what is typed or shown, nor tokens. Must not judge why an agent is away.
//!
//! Weighed: aws-ssm-bridge 0.6.0, see `core::channel`. tokio-tungstenite without its own TLS, because its TLS features
//! would choose a crypto library a second time; hyper's upgrade would have needed a WebSocket codec of our own.

mod address;
pub mod aws;
mod dial;
pub mod eice;
mod handle;
mod service;
mod shared;
mod task;
mod under_way;

pub use aws::{Failed, PortTarget, Program, Started, open_port, open_shell, start_session, terminate_session};
pub use handle::{Errors, Handle, PortStream, Ports, Shell, resize};
pub use service::{Grant, Service, ServiceError, Token};
pub use shared::Outcome;
pub use under_way::end_all;

use crate::core::channel::session::Session;
use crate::core::channel::wire::{Limits, Wanted};
use dial::Buffers;
use shared::Shared;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use task::Task;

/// Time limits of the connection.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// TCP, TLS and upgrade, together.
    pub dial: Duration,
    /// The first connection, with its retries.
    pub first: Duration,
    /// First and longest wait between two tries; each is up to twice as long.
    pub retry: Duration,
    /// See `retry`.
    pub longest_retry: Duration,
    /// Tries to take a session up again, in all.
    pub resume: Duration,
    /// A connection that lasted so long, with nothing that the agent owed, was a good one.
    pub good: Duration,
    /// Between two pings; two without an answer mean that the connection is dead.
    pub ping: Duration,
    /// Each step of an orderly end.
    pub goodbye: Duration,
    /// Limits of the protocol.
    pub limits: Limits,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            dial: Duration::from_secs(10),
            first: Duration::from_secs(5),
            retry: Duration::from_millis(100),
            longest_retry: Duration::from_secs(5),
            resume: Duration::from_mins(10),
            good: Duration::from_secs(30),
            ping: Duration::from_secs(30),
            goodbye: Duration::from_secs(2),
            limits: Limits::default(),
        }
    }
}

/// Bytes of a terminal that the system may receive ahead of us, which Linux doubles. What waits there is shown before the
/// echo of a key: the megabytes that a system takes by itself are felt.
const SHELL_WINDOW: u32 = 128 * 1024;
/// Bytes that it may take ahead to be sent: acknowledgements, as a rule, which a key would wait behind.
const SHELL_SENT: u32 = 64 * 1024;
/// The same of ports, which must also fill a long way: 10 MB/s at a delay of 100 ms.
const PORT_WINDOW: u32 = 512 * 1024;

/// Whether the system grants so much to a socket (socket(7), `rmem_max`). A smaller grant would be worse than none: it
/// ends the kernel's own fitting of the window to the way.
fn may_receive(bytes: u32) -> bool {
    let most = std::fs::read_to_string("/proc/sys/net/core/rmem_max").ok();
    most.and_then(|text| text.trim().parse::<u64>().ok()).is_some_and(|most| most >= u64::from(bytes))
}

/// Runs a session that StartSession has begun; must be called in a tokio runtime.
pub fn start<S: Service>(wanted: Wanted, service: S, grant: Grant, timing: Timing) -> Handle {
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| u64::try_from(d.as_millis()).unwrap_or(1));
    let mut session = Session::new(wanted, rand::random(), epoch, timing.limits);
    let client_id = session.uuid();
    let shared = Arc::new(Shared::new(session));
    let here = under_way::session(&shared);
    let shell = Buffers { receive: SHELL_WINDOW, send: Some(SHELL_SENT) };
    let port = Buffers { receive: PORT_WINDOW, send: None };
    let buffers = if wanted == Wanted::Shell { Some(shell) } else { Some(port).filter(|_| may_receive(PORT_WINDOW)) };
    let task = Task { shared: Arc::clone(&shared), service, timing, client_id, buffers };
    tokio::spawn(async move {
        task.run(grant).await;
        drop(here);
    });
    Handle::new(shared)
}
