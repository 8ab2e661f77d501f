//! The works: loops that claim, call, settle, beat and care, in every `tidegate work` process.
//!
//! A handler never calls a provider: it says what to ask and judges what came back; this room owns
//! everything between. Every loop is a struct of what it needs with a bounded turn. Never: SQL, a
//! vendor's word, a lock or a connection held while a provider is called.

mod asked;
mod batches;
mod call;
mod choosing;
mod crowd;
mod fallback;
mod fetch;
mod heartbeat;
mod inputs;
mod interactive;
mod judging;
mod letter;
mod local;
mod maintenance;
mod member;
mod packing;
mod registry;
mod render;
mod settle;
mod status;
mod throttle;
mod together;
mod wake;

pub use interactive::{
    AskError, EmbedQuestion, EmbedSettings, EmbedTold, HowAsked, Interactive, Question, Told,
    VectorTold,
};
pub use registry::{Program, Registry};

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    provider::Provider,
    store::{self, Store, StoreError, cache::CacheBounds, process::Registration, retention::Keep},
};

/// How a process works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Calls at once. Default 32, range 1 to 10,000.
    pub slots: u32,
    /// How often a process looks for work that limits hold back. Default 200 ms.
    pub poll: Duration,
    /// How long it may be silent before others take its tasks. Default 60 s, at least 2 s.
    pub lease: Duration,
    /// How long a stop may take: calls under way get this long to end. Default 25 s.
    pub grace: Duration,
    /// Workers it serves. `None`: all.
    pub workers: Option<Vec<String>>,
    /// How answers are written down.
    pub settle: SettleSettings,
    /// How often it logs where its models stand. Default 60 s; `None`: never.
    pub status: Option<Duration>,
    /// How long what has ended is kept.
    pub keep: Keep,
    /// How much the cache of answers may hold.
    pub cache: CacheBounds,
    /// How provider batches are watched.
    pub batches: BatchSettings,
    /// Its role in `tidegate.processes`.
    pub role: &'static str,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slots: 32,
            poll: Duration::from_millis(200),
            lease: Duration::from_secs(60),
            grace: Duration::from_secs(25),
            workers: None,
            settle: SettleSettings::default(),
            status: Some(Duration::from_secs(60)),
            keep: Keep::default(),
            cache: CacheBounds::default(),
            batches: BatchSettings::default(),
            role: "work",
        }
    }
}

/// How answers are written down: in batches, since a commit costs as much for one as for hundreds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettleSettings {
    /// How long an answer may wait for others to be written with. Default 5 ms, 0 to 1 s.
    pub flush: Duration,
    /// Answers written by one statement at most. Default 500, 1 to 5,000.
    pub batch: usize,
    /// Free a slot only when its answer is durable: a crash then repeats no call but those under
    /// way. Default: a slot is free as soon as its call has ended.
    pub sync: bool,
}

impl Default for SettleSettings {
    fn default() -> Self {
        Self {
            flush: Duration::from_millis(5),
            batch: 500,
            sync: false,
        }
    }
}

/// How provider batches are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSettings {
    /// Least pause between two looks at a batch; it grows with the batch's age. Default 1 s, 10 ms to 1 h.
    pub poll: Duration,
    /// Longest pause between two looks. Default 60 s, at least `poll`, to 1 h.
    pub poll_max: Duration,
    /// How long a create of unknown outcome is looked for before it is made again. Default 60 s, 10 ms to 1 h.
    pub lookup: Duration,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(1),
            poll_max: Duration::from_secs(60),
            lookup: Duration::from_secs(60),
        }
    }
}

/// A grant that was not used within this time of its arrival is given back: the limits' guard
/// covers calls that are later than their grant by no more.
const GRANT_TTL: Duration = Duration::from_millis(400);
/// Of the grace, kept for giving back what did not end.
const GRACE_MARGIN: Duration = Duration::from_secs(2);
/// Longest pause after database trouble.
const TROUBLE_PAUSE_MAX: Duration = Duration::from_secs(5);

/// A process of the fleet.
pub struct Engine {
    store: Store,
    database: store::Settings,
    providers: BTreeMap<String, Arc<dyn Provider>>,
    registry: Registry,
    settings: Settings,
}

/// What all loops of a process share.
struct Shared {
    store: Store,
    providers: BTreeMap<String, Arc<dyn Provider>>,
    registry: Registry,
    settings: Settings,
    slots: Arc<Semaphore>,
    wakes: wake::Wakes,
    /// Cancelled when calls under way are to be given back.
    abandon: CancellationToken,
    /// Cancelled by a part that broke: the process ends, and its tasks go to others.
    broken: CancellationToken,
    calls: TaskTracker,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worked {
    /// Tasks it answered.
    pub done: u64,
    /// Tasks it ended without an answer.
    pub failed: u64,
    /// Tasks it gave back: at its stop, or since their model was closed.
    pub released: u64,
    /// Calls it sent.
    pub calls: u64,
    /// Calls refused by a limit (429).
    pub refused: u64,
    /// Tasks answered out of provider batches, of those that it answered.
    pub by_batch: u64,
}

impl Engine {
    /// A process over this database, calling these providers by their entries' names.
    pub fn new(
        store: Store,
        database: store::Settings,
        providers: BTreeMap<String, Arc<dyn Provider>>,
        registry: Registry,
        settings: Settings,
    ) -> Self {
        Self {
            store,
            database,
            providers,
            registry,
            settings,
        }
    }

    /// Works until `stop`, then ends gracefully: nothing more is claimed, calls under way get the
    /// grace to end, the rest is given back unspent.
    ///
    /// A database that goes away is waited for. A process that was declared lost starts again under
    /// a new id.
    ///
    /// # Errors
    /// What waiting cannot heal: a schema that is not there, missing rights, a part of the process
    /// that broke. [`StoreError::NoAnswer`] when the grace was not enough to write everything down:
    /// what is left is rescued by others when the lease ends.
    pub async fn run(self, stop: CancellationToken) -> Result<Worked, StoreError> {
        // cancelled by the caller's stop, and by whatever part of the works breaks
        let ending = stop.child_token();
        let shared = Arc::new(Shared::new(
            self.store,
            self.providers,
            self.registry,
            self.settings,
            ending.clone(),
        ));
        let (outcomes, settling) = mpsc::channel(shared.settings.slots as usize * 2);
        let settler = settle::Settler::new(shared.clone());
        let watched = ending.clone().drop_guard();
        let settler = tokio::spawn(async move {
            // a settler that dies ends the process: nothing more may be paid for
            let _watched = watched;
            settler.run(settling).await
        });
        let listener = wake::Listener::new(
            shared.store.clone(),
            self.database.clone(),
            shared.wakes.clone(),
            shared.settings.lease,
        );
        let listener = tokio::spawn(listener.run(ending.clone()));

        let mut last = None;
        let mut result = Ok(());
        while !ending.is_cancelled() {
            match Life::begin(&shared, &self.database).await {
                Ok(mut life) => {
                    let slots = shared.settings.slots;
                    tracing::info!(process.id = %life.id, process.slots = slots, "working");
                    result = life.claim(&shared, &outcomes, &ending).await;
                    if ending.is_cancelled() {
                        last = Some(life);
                    } else {
                        // lost: what it held may be taken by others, and its late answers are salvaged
                        life.end(&shared, false).await;
                    }
                }
                Err(error) => result = Err(error),
            }
            match &result {
                Ok(()) => {}
                Err(error) if error.is_passing() => pause(&ending, error, TROUBLE_PAUSE_MAX).await,
                Err(_) => ending.cancel(),
            }
        }
        let broke = !stop.is_cancelled();
        let deadline = Instant::now() + shared.settings.grace;
        shared.drain(deadline).await;
        drop(outcomes);
        // the heart goes on beating until all that was paid for is written
        let worked = timeout_at(deadline, settler).await;
        if let Some(life) = last {
            life.end(&shared, worked.is_ok()).await;
        }
        listener.abort();
        if let Ok(Ok(worked)) = &worked {
            status::summary(worked);
        }
        match (worked, result) {
            (_, Err(error)) if !error.is_passing() => Err(error),
            (Ok(Ok(worked)), _) if !broke => Ok(worked),
            (Ok(_), _) => Err(StoreError::Broken),
            (Err(_), _) => Err(StoreError::NoAnswer),
        }
    }
}

/// One life under one process id: from its registration until it ends or is declared lost.
struct Life {
    id: Uuid,
    lease: heartbeat::Lease,
    /// Cancelled when this life is over.
    ended: CancellationToken,
    /// Cancelled when it need not beat any more.
    beating: CancellationToken,
    care: JoinHandle<()>,
}

/// A claim under way may take so long once the process is to end; what it took then is rescued.
const LAST_CLAIM: Duration = Duration::from_secs(5);
/// How long the last good-byes to the database may take.
const GOODBYE: Duration = Duration::from_secs(1);

impl Life {
    async fn begin(shared: &Arc<Shared>, database: &store::Settings) -> Result<Self, StoreError> {
        let settings = &shared.settings;
        let process = Registration::of_this_process(settings.role, settings.slots, settings.lease);
        let asked_at = Instant::now();
        shared.store.register(&process).await?;
        for (name, program) in shared.registry.programs() {
            shared
                .store
                .register_worker(&program.to_worker(name))
                .await?;
        }
        let (ended, beating) = (CancellationToken::new(), CancellationToken::new());
        let lease = heartbeat::Lease::new(shared.settings.lease, asked_at);
        let heart = heartbeat::Heart::new(
            shared.store.clone(),
            database.clone(),
            process.id,
            lease.clone(),
            shared.wakes.crowd.clone(),
        );
        // however the heart stops, this life is over
        heart
            .start(beating.clone(), ended.clone().drop_guard())
            .map_err(|error| {
                tracing::error!(%error, "the heart has no thread to beat on");
                StoreError::Broken
            })?;
        let caretaker = maintenance::Caretaker::new(shared.clone(), lease.clone());
        let care = tokio::spawn(caretaker.run(ended.clone()));
        Ok(Self {
            id: process.id,
            lease,
            ended,
            beating,
            care,
        })
    }

    /// Claims and starts calls until the process is to end, or this life is over.
    async fn claim(
        &mut self,
        shared: &Arc<Shared>,
        outcomes: &mpsc::Sender<settle::Outcome>,
        ending: &CancellationToken,
    ) -> Result<(), StoreError> {
        let stop = CancellationToken::new();
        let fetcher = fetch::Fetcher::new(
            shared.clone(),
            self.id,
            self.lease.clone(),
            outcomes.clone(),
        );
        let batcher = self.batcher(shared, outcomes);
        let batching = tokio::spawn(batcher.run(stop.clone()));
        // however claiming ends: no step of a batch outlives it
        let _stopped = stop.clone().drop_guard();
        let fetching = fetcher.run(&stop);
        tokio::pin!(fetching);
        tokio::select! {
            fetched = &mut fetching => return fetched,
            () = ending.cancelled() => {}
            () = self.ended.cancelled() => {}
        }
        stop.cancel();
        let (fetched, _) = tokio::join!(
            tokio::time::timeout(LAST_CLAIM, fetching),
            tokio::time::timeout(LAST_CLAIM, batching)
        );
        fetched.unwrap_or(Ok(()))
    }

    /// Takes batches further in this life's name.
    fn batcher(
        &self,
        shared: &Arc<Shared>,
        outcomes: &mpsc::Sender<settle::Outcome>,
    ) -> batches::Batcher {
        batches::Batcher::new(
            shared.clone(),
            self.id,
            self.lease.clone(),
            outcomes.clone(),
        )
    }

    /// Ends it. `empty`: nothing it held is left to write.
    async fn end(self, shared: &Shared, empty: bool) {
        self.beating.cancel();
        self.ended.cancel();
        if empty && !self.lease.is_lost() {
            // best effort: without it, the lease ends by itself
            let _ = tokio::time::timeout(GOODBYE, shared.store.unregister(self.id)).await;
        }
        self.care.abort();
    }
}

impl Shared {
    /// What the loops of a process begin with; `broken` is cancelled by a part that breaks.
    fn new(
        store: Store,
        providers: BTreeMap<String, Arc<dyn Provider>>,
        registry: Registry,
        settings: Settings,
        broken: CancellationToken,
    ) -> Self {
        Self {
            store,
            providers,
            registry,
            slots: Arc::new(Semaphore::new(settings.slots as usize)),
            settings,
            wakes: wake::Wakes::default(),
            abandon: CancellationToken::new(),
            broken,
            calls: TaskTracker::new(),
        }
    }

    /// What becomes of tasks whose definition could not be read, as a class. One that no waiting brings was
    /// kept by a newer program, perhaps: its tasks are for others, and this process ends.
    fn without_definition(&self, error: &StoreError) -> &'static str {
        if error.is_passing() {
            return "not_sent";
        }
        tracing::error!(%error, "a worker's definition cannot be read; is this program older than the others?");
        self.broken.cancel();
        "definition"
    }

    /// Lets calls under way end, and gives back what did not, a margin before the deadline.
    async fn drain(&self, deadline: Instant) {
        self.calls.close();
        let patience = deadline - GRACE_MARGIN.min(self.settings.grace / 2);
        if timeout_at(patience, self.calls.wait()).await.is_err() {
            self.abandon.cancel();
            // what hangs even now is left to the lease
            let _ = timeout_at(deadline, self.calls.wait()).await;
        }
    }
}

/// Waits after trouble, or until stopped.
async fn pause(stop: &CancellationToken, error: &StoreError, longest: Duration) {
    tracing::warn!(%error, "the database is in trouble; trying again");
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(longest.mul_f64(0.2 + 0.3 * rand::random::<f64>())) => {}
    }
}

/// A claim's identity: random, so that a database restored to an earlier state cannot confuse two.
fn nonce() -> i64 {
    rand::random()
}

/// The id under which outcomes are settled once a process's own life is over.
type ProcessId = Uuid;
