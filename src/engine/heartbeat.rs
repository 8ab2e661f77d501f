//! The heartbeat: renews the lease on a connection of its own, and says when it is over.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::crowd::Crowd;
use crate::store::{self, Store, StoreError, process::Pulse};

/// How long this process may act, by its own steady clock: counted from before the last renewal
/// was asked for, so that it ends here no later than in the database.
#[derive(Clone)]
pub(super) struct Lease {
    length: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Copy)]
struct State {
    until: Instant,
    healthy_since: Instant,
    lost: bool,
}

impl Lease {
    /// A lease that was asked for at this moment.
    pub(super) fn new(length: Duration, now: Instant) -> Self {
        let state = State {
            until: now + length,
            healthy_since: now,
            lost: false,
        };
        Self {
            length,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Whether the process was declared lost.
    pub(super) fn is_lost(&self) -> bool {
        self.lock().lost
    }

    fn lose(&self) {
        self.lock().lost = true;
    }

    /// Whether a call may still be started.
    pub(super) fn holds(&self) -> bool {
        let state = self.lock();
        !state.lost && Instant::now() < state.until
    }

    /// How long its own heartbeats have succeeded without a gap.
    pub(super) fn healthy_for(&self) -> Duration {
        self.lock().healthy_since.elapsed()
    }

    /// Longest silence of others before they are declared lost, and of ourselves before we judge.
    pub(super) fn grace(&self) -> Duration {
        self.length / 4
    }

    fn renewed(&self, asked_at: Instant) {
        let mut state = self.lock();
        if asked_at > state.until {
            state.healthy_since = asked_at;
        }
        state.until = asked_at + self.length;
    }

    fn missed(&self) {
        self.lock().healthy_since = Instant::now();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // a panic elsewhere leaves two instants: whole at any moment
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Beats until told to stop.
pub(super) struct Heart {
    store: Store,
    database: store::Settings,
    process: Uuid,
    lease: Lease,
    crowd: Crowd,
}

impl Heart {
    pub(super) fn new(
        store: Store,
        database: store::Settings,
        process: Uuid,
        lease: Lease,
        crowd: Crowd,
    ) -> Self {
        Self {
            crowd,
            store,
            database,
            process,
            lease,
        }
    }

    /// Beats on a thread of its own, where nothing that is parsed or waited for elsewhere holds it
    /// up. `over` is dropped when it has stopped, however it did.
    ///
    /// # Errors
    /// When the machine gives no thread.
    pub(super) fn start<T: Send + 'static>(
        self,
        stop: CancellationToken,
        over: T,
    ) -> std::io::Result<()> {
        let beating = move || {
            let _over = over;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            match runtime {
                Ok(runtime) => runtime.block_on(self.run(stop)),
                Err(error) => {
                    tracing::error!(%error, "the heart cannot beat; trying again in a moment");
                    std::thread::sleep(PATIENCE_MIN);
                }
            }
        };
        std::thread::Builder::new()
            .name("heart".to_owned())
            .spawn(beating)
            .map(drop)
    }

    /// Renews until `stop`, or until the process was declared lost.
    async fn run(self, stop: CancellationToken) {
        let every = (self.lease.length / 4).max(Duration::from_millis(250));
        let mut pulse = None;
        while !stop.is_cancelled() {
            let beaten = tokio::select! {
                () = stop.cancelled() => return,
                beaten = self.beat(&mut pulse, every) => beaten,
            };
            let failed = beaten.is_err();
            match beaten {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!(process.id = %self.process, "declared lost: starting again under a new id");
                    self.lease.lose();
                    return;
                }
                Err(error) => {
                    self.lease.missed();
                    if error.is_full() {
                        self.crowd.seen();
                        self.store.keep_none(true);
                    }
                    // what happened to this connection happened to others
                    self.store.doubt();
                    tracing::warn!(%error, "heartbeat failed");
                }
            }
            let pause = if failed { every / 4 } else { every };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One renewal, bounded in time. `false`: declared lost.
    async fn beat(&self, pulse: &mut Option<Pulse>, every: Duration) -> Result<bool, StoreError> {
        let asked_at = Instant::now();
        let open = match pulse.take() {
            Some(open) => open,
            None => Pulse::open(&self.database).await?,
        };
        let patience = every.max(PATIENCE_MIN);
        let beaten = open.beat(self.process, self.lease.length, patience).await?;
        let Some(beaten) = beaten else {
            return Ok(false);
        };
        self.lease.renewed(asked_at);
        if beaten.crowded {
            self.crowd.seen();
        }
        self.store.keep_none(self.crowd.is_there());
        // where connections are few, none is kept for the next beat
        *pulse = (!self.crowd.is_there()).then_some(beaten.pulse);
        Ok(true)
    }
}

/// A renewal is given at least so long, however short the lease.
const PATIENCE_MIN: Duration = Duration::from_secs(2);
