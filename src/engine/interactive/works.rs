//! The works beside who waits: while a list goes by batch, this process does for its worker what any process of
//! the fleet may do, so that none other is needed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    engine::{BatchSettings, Engine, Registry, Settings},
    provider::Provider,
    store::{self, Store},
};

/// Calls at once for what of a list is not asked by batch.
const SLOTS: u32 = 8;
/// How long files of a batch that was answered may take to be removed; what is left is for others.
const TIDYING: Duration = Duration::from_secs(2);
/// How often it is looked whether they are.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Lives of this process that work for lists, one a worker.
pub(super) struct Works {
    store: Store,
    database: store::Settings,
    providers: BTreeMap<String, Arc<dyn Provider>>,
    batches: BatchSettings,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    by_worker: HashMap<String, At>,
    /// Those that nobody needs any more, and may be about to end.
    ending: Vec<JoinHandle<()>>,
}

/// The work for one worker.
struct At {
    /// Lists that need it.
    lists: usize,
    /// Cancelled when none does any more.
    unneeded: CancellationToken,
    /// Cancelled where what they waited for did not come: it ends at once.
    left: CancellationToken,
    working: JoinHandle<()>,
}

/// A list that needs the work of its worker. Dropped, it was left without all its answers.
pub(super) struct Needed {
    works: Arc<Works>,
    worker: String,
    answered: bool,
}

impl Needed {
    /// It has all answers.
    pub(super) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Needed {
    fn drop(&mut self) {
        let mut open = self.works.lock();
        let Some(at) = open.by_worker.get_mut(&self.worker) else {
            return;
        };
        at.lists -= 1;
        if at.lists > 0 {
            return;
        }
        at.unneeded.cancel();
        if !self.answered {
            at.left.cancel();
        }
        if let Some(at) = open.by_worker.remove(&self.worker) {
            open.ending.retain(|it| !it.is_finished());
            open.ending.push(at.working);
        }
    }
}

impl Works {
    pub(super) fn new(
        store: Store,
        database: store::Settings,
        providers: BTreeMap<String, Arc<dyn Provider>>,
        batches: BatchSettings,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            database,
            providers,
            batches,
            open: Mutex::default(),
        })
    }

    /// The same with batches looked at otherwise.
    pub(super) fn with(&self, batches: BatchSettings) -> Arc<Self> {
        let (store, database) = (self.store.clone(), self.database.clone());
        Self::new(store, database, self.providers.clone(), batches)
    }

    /// Sees to it that this worker's tasks are worked on here as long as somebody needs it.
    pub(super) fn needed(self: &Arc<Self>, worker: &str) -> Needed {
        let mut open = self.lock();
        let at = open.by_worker.entry(worker.to_owned()).or_insert_with(|| {
            let (unneeded, left) = (CancellationToken::new(), CancellationToken::new());
            let work = self
                .clone()
                .work(worker.to_owned(), unneeded.clone(), left.clone());
            At {
                lists: 0,
                unneeded,
                left,
                working: tokio::spawn(work),
            }
        });
        at.lists += 1;
        Needed {
            works: self.clone(),
            worker: worker.to_owned(),
            answered: false,
        }
    }

    /// Waits until all work of here has ended.
    pub(super) async fn close(&self) {
        let ending = std::mem::take(&mut self.lock().ending);
        for work in ending {
            // one that panicked said so
            let _ = work.await;
        }
    }

    async fn work(
        self: Arc<Self>,
        worker: String,
        unneeded: CancellationToken,
        left: CancellationToken,
    ) {
        let engine = Engine::new(
            self.store.clone(),
            self.database.clone(),
            self.providers.clone(),
            Registry::new(),
            Settings {
                slots: SLOTS,
                workers: Some(vec![worker.clone()]),
                status: None,
                batches: self.batches,
                role: super::EMBED_WORKER,
                ..Settings::default()
            },
        );
        let stop = CancellationToken::new();
        let ending = async {
            unneeded.cancelled().await;
            tokio::select! {
                () = left.cancelled() => {}
                _ = tokio::time::timeout(TIDYING, self.tidied(&worker)) => {}
            }
            stop.cancel();
        };
        let (worked, ()) = tokio::join!(engine.run(stop.clone()), ending);
        if let Err(error) = worked {
            tracing::warn!(%error, worker, "a list is not worked on here any more; other processes may go on with it");
        }
    }

    /// Nothing of the worker's batches is left to do.
    async fn tidied(&self, worker: &str) {
        while self.store.has_batches(worker).await.unwrap_or(false) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // a panic elsewhere leaves it whole
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
