//! Care: promote what is due, rescue what died, end runs, keep the books small. Any process may do
//! it, safely twice at once.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Shared, heartbeat::Lease, render, status::Status, wake::CROWD_PAUSE};
use crate::store::StoreError;

/// How often due tasks are looked for.
const PROMOTE_EVERY: Duration = Duration::from_millis(250);
/// How often ended runs are closed.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// How often counts of runs are summed up, and attempts past their deadline are looked for.
const SUM_EVERY: Duration = Duration::from_secs(15);
/// How often partitions are made and the book is trimmed.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(60);

/// Statements of one trimming of the cache, a thousand answers each.
const TRIM_STEPS: u32 = 100;

/// One of possibly many.
pub(super) struct Caretaker {
    shared: Arc<Shared>,
    lease: Lease,
    tidied: Option<Instant>,
    rescued: Option<Instant>,
    summed: Option<Instant>,
    kept: Option<Instant>,
    /// Retention is under way.
    retaining: bool,
    status: Status,
}

impl Caretaker {
    pub(super) fn new(shared: Arc<Shared>, lease: Lease) -> Self {
        Self {
            status: Status::new(shared.settings.status),
            shared,
            lease,
            tidied: None,
            rescued: None,
            summed: None,
            kept: None,
            retaining: false,
        }
    }

    /// Cares until told to stop.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.turn().await {
                tracing::debug!(%error, "care was cut short; the next turn goes on");
            }
            let every = if self.shared.wakes.crowd.is_there() {
                CROWD_PAUSE
            } else {
                PROMOTE_EVERY
            };
            let pause = every.mul_f64(0.5 + rand::random::<f64>());
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.shared.wakes.care.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn housekeeping(&self) -> Result<(), StoreError> {
        self.shared.store.housekeeping().await?;
        self.trim_cache().await?;
        self.shared
            .store
            .tidy_history(&self.shared.settings.keep)
            .await
    }

    /// A few steps: what is left is for the next time, or for another process.
    async fn trim_cache(&self) -> Result<(), StoreError> {
        for _ in 0..TRIM_STEPS {
            let gone = self
                .shared
                .store
                .trim_cache(&self.shared.settings.cache)
                .await?;
            if gone == 0 {
                break;
            }
            tracing::info!(target: "tidegate::cache", answers = gone, "the cache was full: forgot those used longest ago");
        }
        Ok(())
    }

    async fn turn(&mut self) -> Result<(), StoreError> {
        let store = &self.shared.store;
        // first: nothing below can write where the day has no partition
        let kept = is_due(&mut self.kept, HOUSEKEEPING_EVERY);
        if kept && let Err(error) = self.housekeeping().await {
            tracing::warn!(%error, "housekeeping failed; it is tried again in a minute");
        }
        // a step a turn: never a long statement, never a long transaction
        if kept || self.retaining {
            self.retaining = store.retain(&self.shared.settings.keep).await?;
        }
        if store.promote().await? > 0 {
            self.shared.wakes.ready.notify_one();
        }
        while store.settle_needs().await? > 0 {}
        if store.free_followers().await? > 0 {
            self.shared.wakes.ready.notify_one();
        }
        while render::turn(&self.shared).await? > 0 {
            self.shared.wakes.ready.notify_one();
        }
        // who could not beat for a while must not judge others' silence
        let rescue_every = (self.lease.grace() / 2).max(PROMOTE_EVERY);
        if self.lease.healthy_for() >= self.lease.grace() && is_due(&mut self.rescued, rescue_every)
        {
            let overdue = is_due(&mut self.summed, SUM_EVERY);
            if overdue {
                store.sum_counts().await?;
                store.learn_outputs().await?;
            }
            let rescued = store.rescue(self.lease.grace(), overdue).await?;
            if rescued > 0 {
                tracing::info!(tasks = rescued, "took back what lost processes held");
                self.shared.wakes.ready.notify_one();
            }
        }
        if is_due(&mut self.tidied, TIDY_EVERY) {
            store.finish_runs().await?;
            self.status.turn(store).await?;
        }
        store.learn().await?;
        Ok(())
    }
}

/// Whether so much time passed since the last time it was due.
fn is_due(last: &mut Option<Instant>, every: Duration) -> bool {
    let due = last.is_none_or(|at| at.elapsed() >= every);
    if due {
        *last = Some(Instant::now());
    }
    due
}
