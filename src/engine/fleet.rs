//! Fleet triage: the lists of every Region and profile at once, each instance judged as they arrive, then short
//! probes of the ports, and where the user agreed a look inside through Systems Manager.
//!
//! The number of API calls depends on the pages of the lists, never on the instances. Must not judge:
//! [`crate::core::fleet::row`] does. Probes are limited in number and rate, for the network's and the servers' sake.

use crate::core::fact::{Fact, Why};
use crate::core::facts::aws::Instance;
use crate::core::facts::inside::Inside;
use crate::core::facts::local::SshConfig;
use crate::core::fleet::{self, Asked, Index, Knock, Place, Reach, RegionFacts, Row, Seen};
use crate::core::inside::{self, Params};
use crate::engine::failure::Failure;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::{self, StreamExt};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Regions and profiles that are listed at once.
const PLACES_AT_ONCE: usize = 8;
/// Connections that are open at once.
const KNOCKS_AT_ONCE: usize = 50;
/// Connections that are begun in a second.
const KNOCKS_A_SECOND: u32 = 50;
/// Instances that are judged in one go, before the next rows are told.
const CHUNK: usize = 250;
/// Time between two words on the progress.
const TELL: Duration = Duration::from_millis(200);

/// What is to be found out.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// What is asked of every instance.
    pub asked: Asked,
    /// Whether ports are tried.
    pub probe: bool,
    /// Consent to a look inside, and at whom; `None` without it.
    pub inside: Option<Whom>,
}

/// At which instances a look inside is wished.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Whom {
    /// Every running one whose agent is online.
    #[default]
    Everyone,
    /// Those with a tag: key and value.
    Tag(String, String),
}

/// The outside world, as far as a fleet needs it.
pub trait FleetWorld: Send + Sync + 'static {
    /// The Regions and profiles to look at.
    fn places(&self) -> Vec<Place>;

    /// The lists of a Region. Never fails: what could not be read becomes an unknown fact.
    fn lists(&self, place: Place) -> BoxFuture<'_, RegionFacts>;

    /// The instances of a Region, page by page.
    fn instances(&self, place: Place, out: UnboundedSender<Vec<Instance>>) -> BoxFuture<'_, Result<(), Why>>;

    /// The client's own address towards a target.
    fn source_ip(&self, target: Option<IpAddr>) -> BoxFuture<'_, Fact<IpAddr>>;

    /// What the user's ssh configuration says of an instance; starts no program.
    fn config(&self, instance: &Instance) -> Fact<SshConfig>;

    /// Whether an address may be dialled at all.
    fn may_knock(&self, address: IpAddr) -> bool;

    /// Connects once, reads the greeting, and leaves.
    fn knock(&self, address: IpAddr, port: u16) -> BoxFuture<'_, Knock>;

    /// Runs a read-only script on these instances of a Region by Run Command, and tells each answer as it comes.
    /// Nothing is told of an instance of which nothing is heard.
    fn look(
        &self,
        place: Place,
        ids: Vec<String>,
        whom: Whom,
        script: String,
        out: UnboundedSender<(String, Fact<Inside>)>,
    ) -> BoxFuture<'_, ()>;

    /// AWS calls made so far.
    fn api_calls(&self) -> u64;
}

/// A part of the answer.
#[derive(Debug, Clone)]
pub enum FleetEvent {
    /// New or changed rows, and whether each is final.
    Rows(Vec<(Row, bool)>),
    /// A Region could not be listed.
    Failed(Failure),
    /// How far it is.
    Progress(Progress),
    /// Nothing more comes.
    Ended(Progress),
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Regions and profiles listed, of all.
    pub places: (usize, usize),
    /// Instances judged.
    pub judged: usize,
    /// Ports tried, of all to try.
    pub knocks: (usize, usize),
    /// Looks inside that answered, of all.
    pub looks: (usize, usize),
    /// AWS calls made.
    pub api_calls: u64,
    /// Milliseconds since the begin.
    pub millis: u64,
    /// Milliseconds that are likely left; `None` while nobody knows.
    pub left_ms: Option<u64>,
    /// Whether the user cancelled it.
    pub cancelled: bool,
}

impl Progress {
    /// Steps done, of all that are known.
    pub fn steps(&self) -> (usize, usize) {
        (self.places.0 + self.knocks.0 + self.looks.0, self.places.1 + self.knocks.1 + self.looks.1)
    }
}

#[derive(Default)]
struct Counters {
    places: AtomicUsize,
    judged: AtomicUsize,
    knocks: AtomicUsize,
    knocks_all: AtomicUsize,
    looks: AtomicUsize,
    looks_all: AtomicUsize,
    /// When the first port was tried, and the first look begun.
    begun: Mutex<(Option<Instant>, Option<Instant>)>,
}

/// One run over the fleet.
struct Run {
    world: Arc<dyn FleetWorld>,
    wish: Wish,
    out: UnboundedSender<FleetEvent>,
    counters: Counters,
    listing: Semaphore,
    knocking: Semaphore,
    /// The rate at which connections begin.
    rate: AsyncMutex<Interval>,
    places: usize,
    started: Instant,
    calls_before: u64,
}

/// An instance and what is known of it.
#[derive(Debug, Clone)]
struct Item {
    instance: Instance,
    seen: Seen,
    /// Where to knock.
    at: Option<(IpAddr, u16)>,
    row: Option<Row>,
    look: bool,
}

/// Looks at the whole fleet; everything learned goes to `out`, and the end of it is returned.
pub async fn run(
    world: Arc<dyn FleetWorld>,
    wish: Wish,
    out: UnboundedSender<FleetEvent>,
    cancel: CancellationToken,
) -> Progress {
    let mut rate = tokio::time::interval(Duration::from_secs(1) / KNOCKS_A_SECOND);
    // What was missed is not made up for by a burst.
    rate.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let places = world.places();
    let run = Run {
        calls_before: world.api_calls(),
        world,
        wish,
        out,
        counters: Counters::default(),
        listing: Semaphore::new(PLACES_AT_ONCE),
        knocking: Semaphore::new(KNOCKS_AT_ONCE),
        rate: AsyncMutex::new(rate),
        places: places.len(),
        started: Instant::now(),
    };
    let all = join_all(places.into_iter().map(|place| run.place(place)));
    let cancelled = tokio::select! {
        _ = all => false,
        () = cancel.cancelled() => true,
        () = run.tell() => false,
    };
    let end = Progress { cancelled, left_ms: Some(0), ..run.progress() };
    let _ = run.out.send(FleetEvent::Ended(end));
    end
}

impl Run {
    /// Tells the progress now and then, for ever.
    async fn tell(&self) {
        let mut last = None;
        loop {
            tokio::time::sleep(TELL).await;
            let now = self.progress();
            if last != Some(now.steps()) || now.steps().0 < now.steps().1 {
                last = Some(now.steps());
                let _ = self.out.send(FleetEvent::Progress(now));
            }
        }
    }

    fn progress(&self) -> Progress {
        let of = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let c = &self.counters;
        let knocks = (of(&c.knocks), of(&c.knocks_all));
        let looks = (of(&c.looks), of(&c.looks_all));
        let places = (of(&c.places), self.places);
        let (first_knock, first_look) = *c.begun.lock().unwrap_or_else(PoisonError::into_inner);
        // While Regions are still listed nobody knows how much there is.
        let left_ms = (places.0 == places.1).then(|| left(first_knock, knocks).max(left(first_look, looks)));
        Progress {
            places,
            judged: of(&c.judged),
            knocks,
            looks,
            api_calls: self.world.api_calls() - self.calls_before,
            millis: millis(self.started.elapsed()),
            left_ms: left_ms.flatten(),
            cancelled: false,
        }
    }

    async fn place(&self, place: Place) {
        let (index, mut items) = {
            let Ok(_turn) = self.listing.acquire().await else { return };
            self.listed(&place).await
        };
        self.counters.places.fetch_add(1, Ordering::Relaxed);
        if self.wish.probe {
            self.knock_all(&place, &index, &mut items).await;
        }
        self.look(&place, &index, items).await;
    }

    /// The lists, then every page judged as it comes.
    async fn listed(&self, place: &Place) -> (Arc<Index>, Vec<Item>) {
        let (pages_out, mut pages) = unbounded_channel::<Vec<Instance>>();
        let listing = self.world.instances(place.clone(), pages_out);
        let judging = async {
            let index = Arc::new(Index::new(self.world.lists(place.clone()).await));
            let mut items: Vec<Item> = Vec::new();
            while let Some(page) = pages.recv().await {
                // What is gone is no part of the fleet; AWS lists it for an hour.
                let live = page.into_iter().filter(|i| !matches!(i.state.as_str(), "terminated" | "shutting-down"));
                let live: Vec<Instance> = live.collect();
                for chunk in live.chunks(CHUNK) {
                    items.extend(self.judged(place, &index, chunk).await);
                }
            }
            (index, items)
        };
        let (listed, judged) = tokio::join!(listing, judging);
        if let Err(why) = listed {
            let who = place.profile.as_ref().map(|p| format!(" with profile {p}")).unwrap_or_default();
            let doing = format!("list instances in {}{who}", place.region);
            let _ = self.out.send(FleetEvent::Failed(Failure::failed(doing, why.text(), next_step(&why))));
        }
        judged
    }

    /// Judges some instances and tells their rows.
    async fn judged(&self, place: &Place, index: &Arc<Index>, chunk: &[Instance]) -> Vec<Item> {
        let mut items = Vec::with_capacity(chunk.len());
        for instance in chunk {
            let config = self.world.config(instance);
            let address = fleet::address_of(instance, &self.wish.asked, &config);
            let source_ip = match self.wish.asked.source_ip {
                Some(_) => Fact::NotAsked,
                None => self.world.source_ip(address).await,
            };
            let seen = Seen { source_ip, config, ..Seen::default() };
            items.push(Item { instance: instance.clone(), seen, at: None, row: None, look: false });
        }
        let (place, index, asked) = (place.clone(), Arc::clone(index), self.wish.asked.clone());
        // A panic in there has been reported already.
        let mut items = tokio::task::spawn_blocking(move || {
            for item in &mut items {
                item.row = Some(fleet::row(&place, &item.instance, &index, &asked, &item.seen));
                item.at = fleet::to_knock(&item.instance, &index, &asked, &item.seen);
                item.look = item.instance.state == "running"
                    && item.instance.platform.as_deref() != Some("windows")
                    && index.agent(&item.instance.id).is_some_and(|agent| agent.ping == "Online");
            }
            items
        })
        .await
        .unwrap_or_default();
        for item in &mut items {
            item.at = item.at.filter(|(address, _)| self.wish.probe && self.world.may_knock(*address));
            item.look &= match &self.wish.inside {
                None => false,
                Some(Whom::Everyone) => true,
                Some(Whom::Tag(key, value)) => item.instance.tags.get(key) == Some(value),
            };
        }
        let knocks = items.iter().filter(|i| i.at.is_some()).count();
        let looks = items.iter().filter(|i| i.look).count();
        self.counters.judged.fetch_add(items.len(), Ordering::Relaxed);
        self.counters.knocks_all.fetch_add(knocks, Ordering::Relaxed);
        self.counters.looks_all.fetch_add(looks, Ordering::Relaxed);
        let rows = items.iter().filter_map(|i| Some((i.row.clone()?, i.at.is_none() && !i.look))).collect();
        let _ = self.out.send(FleetEvent::Rows(rows));
        items
    }

    /// Tries the ports: first those that the rules seem to leave open.
    async fn knock_all(&self, place: &Place, index: &Index, items: &mut [Item]) {
        let mut order: Vec<usize> = (0..items.len()).filter(|at| items[*at].at.is_some()).collect();
        order.sort_by_key(|at| items[*at].row.as_ref().is_some_and(|r| r.reachable == Reach::No));
        if order.is_empty() {
            return;
        }
        self.counters.begun.lock().unwrap_or_else(PoisonError::into_inner).0.get_or_insert_with(Instant::now);
        let knocks = order.into_iter().filter_map(|at| Some((at, items[at].at?)));
        let mut answers = stream::iter(knocks.collect::<Vec<_>>())
            .map(|(at, (address, port))| async move {
                let _turn = self.knocking.acquire().await;
                self.rate.lock().await.tick().await;
                (at, self.world.knock(address, port).await)
            })
            .buffer_unordered(KNOCKS_AT_ONCE);
        while let Some((at, knock)) = answers.next().await {
            let item = &mut items[at];
            item.seen.knock = Some(knock);
            self.counters.knocks.fetch_add(1, Ordering::Relaxed);
            self.again(place, index, item, !item.look);
        }
    }

    /// Judges an instance anew and tells its row.
    fn again(&self, place: &Place, index: &Index, item: &mut Item, settled: bool) {
        let row = fleet::row(place, &item.instance, index, &self.wish.asked, &item.seen);
        item.row = Some(row.clone());
        let _ = self.out.send(FleetEvent::Rows(vec![(row, settled)]));
    }

    /// The looks inside, and what they change.
    async fn look(&self, place: &Place, index: &Index, items: Vec<Item>) {
        let Some(whom) = self.wish.inside.clone() else { return };
        let mut items: HashMap<String, Item> =
            items.into_iter().filter(|i| i.look).map(|i| (i.instance.id.clone(), i)).collect();
        if items.is_empty() {
            return;
        }
        self.counters.begun.lock().unwrap_or_else(PoisonError::into_inner).1.get_or_insert_with(Instant::now);
        let asked = &self.wish.asked;
        let address = asked.source_ip.or_else(|| items.values().find_map(|i| i.seen.source_ip.value().copied()));
        let params = Params { user: asked.user.clone(), address, port: asked.port.unwrap_or(22), keys: Vec::new() };
        let script = match inside::script(&params) {
            Ok(script) => script,
            Err(reason) => {
                let failure = Failure::usage("make the read-only script", reason, "correct -l");
                let _ = self.out.send(FleetEvent::Failed(failure));
                String::new()
            }
        };
        let mut ids: Vec<String> = items.keys().cloned().collect();
        ids.sort();
        let (told, mut answers) = unbounded_channel();
        let looking = async {
            if !script.is_empty() {
                self.world.look(place.clone(), ids, whom, script, told).await;
            }
        };
        let reading = async {
            while let Some((id, inside)) = answers.recv().await {
                if let Some(mut item) = items.remove(&id) {
                    item.seen.inside = inside;
                    self.counters.looks.fetch_add(1, Ordering::Relaxed);
                    self.again(place, index, &mut item, true);
                }
            }
            items
        };
        let ((), rest) = tokio::join!(looking, reading);
        self.counters.looks.fetch_add(rest.len(), Ordering::Relaxed);
        for mut item in rest.into_values() {
            item.seen.inside = Fact::unknown(Why::needs("an answer of Run Command, and none came"));
            self.again(place, index, &mut item, true);
        }
    }
}

/// Milliseconds that are left at the present speed; zero when nothing is, nothing before something was done.
fn left(begun: Option<Instant>, (done, all): (usize, usize)) -> Option<u64> {
    if done >= all {
        return Some(0);
    }
    let each = millis(begun?.elapsed()).checked_div(u64::try_from(done).ok()?)?;
    Some(each * u64::try_from(all - done).ok()?)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn next_step(why: &Why) -> String {
    match why {
        Why::Denied { action, .. } => format!("ask for {action} (port22 policy prints all that is needed)"),
        Why::Credentials { .. } => "log in (aws sso login, aws configure), or choose --profile".to_owned(),
        _ => "check network, proxy and --region, and try again".to_owned(),
    }
}
