//! Batches at providers' Batch APIs: chosen, formed, and taken a step further by whichever process owns one
//! for the moment. Each step outside is preceded by a committed row that names it, so that any process can
//! go on where another died. Never: SQL, a vendor's word, a decision that could be pure (`plan`).

mod choose;
mod clean;
mod hand;
mod ingest;
mod look;
mod prepare;
mod spool;
mod submit;
mod upload;

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Shared, TROUBLE_PAUSE_MAX, heartbeat::Lease, settle::Outcome};
use crate::{
    llm::{CallError, RemoteBatch, TOKEN_PREFIX},
    provider::{Batches, Provider},
    store::{
        StoreError,
        batch::{Batch, step::Owner},
    },
};

/// How often it is looked for lanes that are to be chosen for, and for batches that are due, at least; where
/// batches are looked at more often, so often.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often latencies are summed up, and idle lanes are held again.
const TIDY_EVERY: Duration = Duration::from_secs(2);
/// Batches that a process takes a step further at once.
const AT_ONCE: usize = 4;
/// How long a batch is its owner's without a word of it.
const OWNED_FOR: Duration = Duration::from_secs(60);
/// Longest pause after a step that failed.
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// Chooses, forms, and takes batches further. One of possibly many.
pub(super) struct Batcher {
    shared: Arc<Shared>,
    process: Uuid,
    lease: Lease,
    outcomes: mpsc::Sender<Outcome>,
    steps: JoinSet<()>,
    tidied: Option<Instant>,
    reconciled: clean::Reconciled,
}

impl Batcher {
    pub(super) fn new(
        shared: Arc<Shared>,
        process: Uuid,
        lease: Lease,
        outcomes: mpsc::Sender<Outcome>,
    ) -> Self {
        Self {
            reconciled: clean::Reconciled::new(),
            shared,
            process,
            lease,
            outcomes,
            steps: JoinSet::new(),
            tidied: None,
        }
    }

    /// Goes on until told to stop; steps under way are then cut off between two of their writes, and others
    /// go on with them.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        if self.shared.providers.is_empty() {
            return;
        }
        let look_every = LOOK_EVERY.min(self.shared.settings.batches.poll);
        let mut pause = look_every;
        while !stop.is_cancelled() {
            pause = match self.turn().await {
                Ok(()) => look_every,
                Err(StoreError::LeaseLost) => return,
                Err(error) => {
                    tracing::debug!(%error, "batches were cut short; the next turn goes on");
                    (pause * 2).min(TROUBLE_PAUSE_MAX)
                }
            };
            let rest = pause.mul_f64(0.5 + rand::random::<f64>() / 2.0);
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.shared.wakes.batches.notified() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
        // what a step wrote it wrote; what it did not write is found by who goes on
        self.steps.shutdown().await;
    }

    async fn turn(&mut self) -> Result<(), StoreError> {
        if !self.lease.holds() {
            return Ok(());
        }
        let store = self.shared.store.clone();
        if self
            .tidied
            .is_none_or(|tidied| tidied.elapsed() >= TIDY_EVERY)
        {
            self.tidied = Some(Instant::now());
            store.learn_latencies().await?;
            store.hold_again().await?;
        }
        choose::turn(&self.shared, self.process).await?;
        if store.rescue_batches().await? > 0 {
            self.shared.wakes.ready.notify_one();
        }
        while self.steps.try_join_next().is_some() {}
        let providers: Vec<String> = self.shared.providers.keys().cloned().collect();
        while self.steps.len() < AT_ONCE {
            let workers = self.shared.settings.workers.as_deref();
            let Some(batch) = store
                .own_batch(self.process, &providers, workers, OWNED_FOR)
                .await?
            else {
                break;
            };
            self.start(batch);
        }
        self.reconciled.turn(&self.shared).await;
        Ok(())
    }

    fn start(&mut self, batch: Batch) {
        let Some(provider) = self.shared.providers.get(&batch.provider).cloned() else {
            return;
        };
        let step = Step {
            shared: self.shared.clone(),
            owner: Owner {
                batch: batch.id,
                process: self.process,
            },
            provider,
            outcomes: self.outcomes.clone(),
        };
        self.steps.spawn(async move {
            let id = batch.id;
            match step.run(batch).await {
                Ok(()) => {}
                Err(StoreError::LeaseLost) => {
                    tracing::debug!(batch.id = %id, "another process goes on with this batch");
                }
                Err(error) => {
                    tracing::warn!(batch.id = %id, %error, "a step of a batch was cut short; it is done again");
                    // best effort: else it is free when its owner's time is over
                    let _ = step.shared.store.let_batch_go(step.owner, step.shared.settings.batches.poll).await;
                }
            }
        });
    }
}

/// One owner's work on one batch.
struct Step {
    shared: Arc<Shared>,
    owner: Owner,
    provider: Arc<dyn Provider>,
    outcomes: mpsc::Sender<Outcome>,
}

/// Whether there is more to do at once.
enum Next {
    /// In this state.
    Go(&'static str),
    /// Somebody looks again when it is due.
    Later,
}

impl Step {
    async fn run(&self, mut batch: Batch) -> Result<(), StoreError> {
        let Some(batches) = self.provider.batches() else {
            self.without_mode(&batch, "its provider has none").await?;
            return Ok(());
        };
        loop {
            let next = match batch.state.as_str() {
                "intended" => self.submit(batches, &batch).await?,
                "creating" => self.find(batches, &batch).await?,
                "submitted" => self.look(batches, &batch).await?,
                "ended" => self.ingest(batches, &batch).await?,
                _ => self.clean(batches, &batch).await?,
            };
            let Next::Go(state) = next else {
                return Ok(());
            };
            // what was written meanwhile counts, not what was read before
            let Some(now) = self.shared.store.owned_batch(self.owner).await? else {
                return Ok(());
            };
            debug_assert_eq!(now.state, state, "a step says what it wrote");
            batch = now;
        }
    }

    /// Owned on; a step that takes long says so in between.
    async fn keep(&self) -> Result<(), StoreError> {
        let store = &self.shared.store;
        match store
            .keep_batch(self.owner.batch, self.owner.process, OWNED_FOR)
            .await?
        {
            true => Ok(()),
            false => Err(StoreError::LeaseLost),
        }
    }

    /// The step is done again later.
    async fn put_off(&self, batch: &Batch, error: &CallError) -> Result<Next, StoreError> {
        let hint = match error {
            CallError::RateLimited { retry_after, .. }
            | CallError::Overloaded { retry_after, .. }
            | CallError::Failed { retry_after, .. } => *retry_after,
            _ => None,
        };
        let next = hint.unwrap_or_else(|| again(batch.fails));
        tracing::info!(batch.id = %batch.id, %error, "a step of a batch is done again in {next:?}");
        self.shared
            .store
            .batch_put_off(self.owner, next, &error.to_string())
            .await?;
        Ok(Next::Later)
    }

    /// Nothing of it will be asked by batch: what waits in it goes back, uncharged.
    async fn refused(&self, class: &str, why: &str) -> Result<Next, StoreError> {
        let store = &self.shared.store;
        store
            .batch_ended(self.owner, "refused", "", &[], Some(why))
            .await?;
        let tasks = store
            .give_back_batch(self.owner.process, self.owner.batch, class, why)
            .await?;
        tracing::info!(batch.id = %self.owner.batch, tasks, "a batch was refused, and its tasks are given back: {why}");
        self.shared.wakes.ready.notify_one();
        Ok(Next::Go("ended"))
    }

    /// The model has no batch mode: that is remembered, and its tasks are asked one by one.
    async fn without_mode(&self, batch: &Batch, why: &str) -> Result<Next, StoreError> {
        self.shared.store.no_batch_mode(&batch.model, why).await?;
        tracing::warn!({ model.name = %batch.model }, "has no batch mode, so its tasks are asked one by one: {why}");
        self.refused("no_batch_mode", why).await
    }

    /// What a refusal means that shuts batches out as a whole, whichever request met it: of the key, of money,
    /// of the batch mode. `None`: it is no such refusal.
    async fn shut_out(&self, batch: &Batch, error: &CallError) -> Result<Option<Next>, StoreError> {
        match error {
            CallError::KeyRefused { .. } | CallError::NoMoney { .. } => {
                let store = &self.shared.store;
                store.park_provider(&batch.provider, &error.brief()).await?;
                self.refused("not_sent", &error.to_string()).await.map(Some)
            }
            CallError::ModelGone { .. }
            | CallError::Rejected {
                status: 404 | 405 | 501,
                ..
            } => self.without_mode(batch, &error.to_string()).await.map(Some),
            _ => Ok(None),
        }
    }
}

/// A token by which a batch is found again at its provider.
pub(super) fn token(batch: Uuid) -> String {
    format!("{TOKEN_PREFIX}{}", batch.simple())
}

/// How long to wait after so many failures in a row.
fn again(fails: i32) -> Duration {
    let doubled = 2_u32.saturating_pow(fails.unsigned_abs().min(10));
    (Duration::from_secs(1) * doubled)
        .min(AGAIN_MAX)
        .mul_f64(0.75 + rand::random::<f64>() / 2.0)
}

/// How long until a batch of this age is looked at again: a fiftieth of its age, within bounds, so that
/// looking adds one per cent on average.
fn next_look(age: Duration, settings: &super::BatchSettings) -> Duration {
    (age / 50).clamp(settings.poll, settings.poll_max.max(settings.poll))
}

/// Whether what a provider lists is this batch, or a twin of it.
fn is_of(batch: &Batch, listed: &RemoteBatch) -> bool {
    listed.token.as_deref() == Some(&batch.token)
}

/// The Batch API that a batch is at.
type Door<'a> = &'a dyn Batches;
