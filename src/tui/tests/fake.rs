//! A world that knows one instance's name and answers nothing else; its terminals are in memory: the test is the far
//! side.

use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::facts::prepared::Prepared;
use crate::core::plan::{Action, Plan};
use crate::core::probe::ProbeId;
use crate::engine::failure::Failure;
use crate::engine::inventory::InventoryEvent;
use crate::engine::scope::Scope;
use crate::engine::terminal::{Control, End, Opened, Wish};
use crate::engine::world::{Observation, Performed, Settled, StepContext, World};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::io::DuplexStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, watch};

/// The far side of a terminal.
pub struct Far {
    /// What was typed, and what is to be shown.
    pub stream: DuplexStream,
    /// Notices and the end.
    pub control: Arc<FakeControl>,
    /// Sizes as they are told.
    pub sizes: UnboundedReceiver<(u16, u16)>,
}

/// A world whose every door gives such a terminal, or none.
pub struct Terminals {
    doors: UnboundedSender<Far>,
    buffer: usize,
    refusal: Option<Failure>,
    profile: Option<String>,
}

impl Terminals {
    /// A world, and the far sides of its terminals; `buffer` bytes fit into the connection.
    pub fn new(buffer: usize) -> (Self, UnboundedReceiver<Far>) {
        let (doors, opened) = unbounded_channel();
        (Self { doors, buffer, refusal: None, profile: None }, opened)
    }

    /// A world without terminals.
    pub fn none() -> Self {
        Self::refusing(Failure::failed("open it", "no terminal", "")).0
    }

    /// A world whose doors stay closed.
    pub fn refusing(failure: Failure) -> (Self, UnboundedReceiver<Far>) {
        let (world, opened) = Self::new(16);
        (Self { refusal: Some(failure), ..world }, opened)
    }
}

/// What a test says and sees of the connection.
pub struct FakeControl {
    notices: (UnboundedSender<String>, Mutex<UnboundedReceiver<String>>),
    end: watch::Sender<Option<End>>,
    hung_up: watch::Sender<bool>,
    sizes: UnboundedSender<(u16, u16)>,
}

impl FakeControl {
    /// Something to tell.
    pub fn notice(&self, text: &str) {
        let _ = self.notices.0.send(text.to_owned());
    }

    /// The end.
    pub fn end(&self, end: End) {
        self.end.send_replace(Some(end));
    }

    /// Whether the near side has asked for the end.
    pub fn was_hung_up(&self) -> bool {
        *self.hung_up.borrow()
    }

    /// Waits until it has.
    pub async fn hung_up(&self) {
        let _ = self.hung_up.subscribe().wait_for(|is| *is).await;
    }
}

impl Control for FakeControl {
    fn resize(&self, columns: u16, rows: u16) {
        let _ = self.sizes.send((columns, rows));
    }
    fn notice(&self) -> BoxFuture<'_, Option<String>> {
        async { self.notices.1.lock().await.recv().await }.boxed()
    }
    fn ended(&self) -> BoxFuture<'_, End> {
        async {
            let mut end = self.end.subscribe();
            let told = end.wait_for(Option::is_some).await;
            told.ok().and_then(|end| end.clone()).unwrap_or_default()
        }
        .boxed()
    }
    fn hang_up(&self) {
        self.hung_up.send_replace(true);
        self.end.send_replace(Some(End::default()));
    }
}

impl World for Terminals {
    fn observe(&self, probe: ProbeId, _: Arc<Facts>) -> BoxFuture<'_, Vec<Observation>> {
        let why = Why::needs("a world");
        let seen = match probe {
            ProbeId::SshConfig => Observation::SshConfig(Fact::unknown(why)),
            ProbeId::Instance => Observation::Instance(Fact::unknown(why)),
            ProbeId::Dns => Observation::Dns(Fact::unknown(why)),
            _ => return Box::pin(async { Vec::new() }),
        };
        Box::pin(async move { vec![seen] })
    }
    fn inventory(&self, out: UnboundedSender<InventoryEvent>) -> BoxFuture<'_, ()> {
        let of = self.profile.as_ref().map(|p| format!(" of {p}")).unwrap_or_default();
        let instance = Instance { id: "i-0a1b2c3d".into(), name: Some(format!("web-1{of}")), ..Default::default() };
        let _ = out.send(InventoryEvent::Page(vec![instance]));
        Box::pin(async {})
    }
    fn preflight(&self, plan: Plan) -> BoxFuture<'_, Plan> {
        Box::pin(async { plan })
    }
    fn prepare(&self, _: &str, _: Arc<Facts>) -> BoxFuture<'_, Prepared> {
        Box::pin(async { Prepared::default() })
    }
    fn perform(&self, _: Action, _: StepContext) -> BoxFuture<'_, Result<Performed, Failure>> {
        Box::pin(async { Ok(Performed::default()) })
    }
    fn settle(&self, _: Action, _: StepContext) -> BoxFuture<'_, Settled> {
        Box::pin(async { Settled::NotDone })
    }
    fn terminal(&self, _: Wish) -> BoxFuture<'_, Result<Opened, Failure>> {
        async {
            if let Some(failure) = &self.refusal {
                return Err(failure.clone());
            }
            let (near, stream) = tokio::io::duplex(self.buffer);
            let (output, input) = tokio::io::split(near);
            let (notices, sizes) = (unbounded_channel(), unbounded_channel());
            let control = Arc::new(FakeControl {
                notices: (notices.0, Mutex::new(notices.1)),
                end: watch::Sender::new(None),
                hung_up: watch::Sender::new(false),
                sizes: sizes.0,
            });
            let _ = self.doors.send(Far { stream, control: Arc::clone(&control), sizes: sizes.1 });
            Ok(Opened {
                title: "a fake, web-1".to_owned(),
                input: Box::new(input),
                output: Box::new(output),
                errors: None,
                control,
            })
        }
        .boxed()
    }
    fn with_scope(&self, scope: Scope) -> BoxFuture<'_, Option<Arc<dyn World>>> {
        let world = Self { profile: scope.profile, ..Self::none() };
        Box::pin(async move {
            tokio::task::yield_now().await;
            Some(Arc::new(world) as Arc<dyn World>)
        })
    }
    fn api_calls(&self) -> u64 {
        0
    }
}
