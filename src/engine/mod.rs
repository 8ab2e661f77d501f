//! The works: loops that claim, call, settle, beat and care, in every `tidegate work` process.
//!
//! A handler never calls a provider: it says what to ask and judges what came back; this room owns
//! everything between. Every loop is a struct of what it needs with a bounded turn. Never: SQL, a
//! vendor's word, a lock or a connection held while a provider is called.

mod call;
mod fetch;
mod heartbeat;
mod maintenance;
mod registry;
mod settle;

pub use registry::Registry;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    provider::Provider,
    store::{self, Store, StoreError, process::Registration},
    task::new_id,
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
            role: "work",
        }
    }
}

/// A grant that was not used within this time of its arrival is given back: the limits' guard
/// covers calls that are later than their grant by no more.
const GRANT_TTL: Duration = Duration::from_secs(1);
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
    wake: Arc<Notify>,
    /// Cancelled when calls under way are to be given back.
    abandon: CancellationToken,
    calls: TaskTracker,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worked {
    /// Tasks it answered.
    pub done: u64,
    /// Tasks it ended without an answer.
    pub failed: u64,
    /// Tasks it gave back at its stop.
    pub released: u64,
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
    /// Only what waiting cannot heal: a schema that is not there, missing rights.
    pub async fn run(self, stop: CancellationToken) -> Result<Worked, StoreError> {
        let shared = Arc::new(Shared {
            store: self.store,
            providers: self.providers,
            registry: self.registry,
            slots: Arc::new(Semaphore::new(self.settings.slots as usize)),
            settings: self.settings,
            wake: Arc::new(Notify::new()),
            abandon: CancellationToken::new(),
            calls: TaskTracker::new(),
        });
        let (outcomes, settling) = mpsc::channel(shared.settings.slots as usize * 2);
        let settler = tokio::spawn(settle::Settler::new(shared.clone()).run(settling));
        let listening = stop.child_token();
        let listener = tokio::spawn(listen(shared.clone(), listening.clone()));

        let mut result = Ok(());
        while !stop.is_cancelled() {
            match Self::live_once(&shared, &self.database, &outcomes, &stop).await {
                Ok(()) => {}
                Err(error) if error.is_passing() => pause(&stop, &error, TROUBLE_PAUSE_MAX).await,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        listening.cancel();
        drop(outcomes);
        let worked = settler.await.unwrap_or_default();
        // the listener ends by its token; its outcome does not matter
        let _ = listener.await;
        result.map(|()| worked)
    }

    /// One life under one process id: from its registration until it stops or is declared lost.
    async fn live_once(
        shared: &Arc<Shared>,
        database: &store::Settings,
        outcomes: &mpsc::Sender<settle::Outcome>,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let process = Registration {
            id: new_id(),
            role: shared.settings.role,
            host: hostname(),
            pid: std::process::id(),
            slots: shared.settings.slots,
            lease: shared.settings.lease,
        };
        shared.store.register(&process).await?;
        tracing::info!(process.id = %process.id, process.slots = process.slots, "working");
        let ended = stop.child_token();
        let lease = heartbeat::Lease::new(shared.settings.lease);
        let beating = CancellationToken::new();
        let heart = tokio::spawn(
            heartbeat::Heart::new(database.clone(), process.id, lease.clone())
                .run(beating.clone(), ended.clone()),
        );
        let care = tokio::spawn(
            maintenance::Caretaker::new(shared.clone(), lease.clone()).run(ended.clone()),
        );
        let fetched = fetch::Fetcher::new(shared.clone(), process.id, lease, outcomes.clone())
            .run(&ended)
            .await;
        let stopping = stop.is_cancelled();
        ended.cancel();
        if stopping {
            shared.drain().await;
        }
        beating.cancel();
        // both end by their tokens
        let _ = heart.await;
        let _ = care.await;
        if stopping {
            let store = shared.store.clone();
            let closing = Duration::from_secs(1);
            // best effort: without it, the lease ends by itself
            let _ =
                tokio::time::timeout(closing, async move { store.unregister(process.id).await })
                    .await;
        }
        fetched
    }
}

impl Shared {
    /// Lets calls under way end, and gives back what did not within the grace.
    async fn drain(&self) {
        let patience = self.settings.grace.saturating_sub(GRACE_MARGIN);
        self.calls.close();
        if tokio::time::timeout(patience, self.calls.wait())
            .await
            .is_err()
        {
            self.abandon.cancel();
            self.calls.wait().await;
        }
        // all slots free means every outcome was handed on; the settler writes the rest
    }
}

/// Keeps a listener up: wakes shorten waits, the poll finds everything without them.
async fn listen(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            heard = shared.store.listen(&shared.wake) => {
                if let Err(error) = heard {
                    tracing::debug!(%error, "listening broke off; the poll goes on");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TROUBLE_PAUSE_MAX) => {}
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

fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// A claim's identity: random, so that a database restored to an earlier state cannot confuse two.
fn nonce() -> i64 {
    rand::random()
}

/// The id under which outcomes are settled once a process's own life is over.
type ProcessId = Uuid;
