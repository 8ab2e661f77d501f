//! Fetching: claims for all free slots, and starts a call for each task taken.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Shared, TROUBLE_PAUSE_MAX,
    call::Call,
    fallback::{self, Fallbacks},
    heartbeat::Lease,
    local::LocalRun,
    member::Member,
    nonce, pause,
    settle::Outcome,
};
use crate::store::{
    StoreError,
    claim::{ClaimRequest, TaskBody},
    local::{LocalRequest, LocalTask},
};

/// No claim outlives its statement's and its locks' time limits.
const UNHEARD_FOR: Duration = Duration::from_secs(75);

/// Processes that wait for the same moment come one after the other within so long.
const OPENING_JITTER: Duration = Duration::from_millis(20);

/// At most one claim in flight per process, for all its free slots.
pub(super) struct Fetcher {
    shared: Arc<Shared>,
    process: Uuid,
    lease: Lease,
    outcomes: mpsc::Sender<Outcome>,
    /// Claims whose answer was lost on the way: what they took is given back first.
    unheard: Vec<(i64, Instant)>,
    idle: Duration,
    local_first: bool,
    fallbacks: Fallbacks,
}

impl Fetcher {
    pub(super) fn new(
        shared: Arc<Shared>,
        process: Uuid,
        lease: Lease,
        outcomes: mpsc::Sender<Outcome>,
    ) -> Self {
        let idle = shared.settings.poll;
        Self {
            shared,
            process,
            lease,
            outcomes,
            unheard: Vec::new(),
            idle,
            local_first: false,
            fallbacks: Fallbacks::default(),
        }
    }

    /// Claims until told to stop. `Ok`: stopped, or the lease was lost.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        let ended = self.claim_until(stop).await;
        if !self.unheard.is_empty() {
            // best effort: what is not found now is rescued with the lease
            let _ = self.release_unheard().await;
        }
        ended
    }

    async fn claim_until(&mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        while !stop.is_cancelled() {
            let Some(free) = self.free_slots(stop).await else {
                return Ok(());
            };
            match self.turn(free).await {
                Ok(taken) if taken == free => continue,
                Ok(0) => self.idle = (self.idle * 2).min(self.shared.wakes.idle_pause_max()),
                Ok(_) => self.idle = self.shared.settings.poll,
                Err(StoreError::LeaseLost) => return Ok(()),
                Err(error) if error.is_passing() => {
                    pause(stop, &error, TROUBLE_PAUSE_MAX).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            let opening = self.opening().await;
            self.rest(stop, opening).await;
        }
        Ok(())
    }

    /// How long until limits may let more through; `None`: it is not known to be soon.
    async fn opening(&self) -> Option<Duration> {
        if self.shared.providers.is_empty() {
            return None;
        }
        let providers: Vec<String> = self.shared.providers.keys().cloned().collect();
        let workers = self.shared.settings.workers.as_deref();
        // only a hint: the poll finds everything without it
        self.shared
            .store
            .next_opening(&providers, workers)
            .await
            .ok()?
    }

    /// How many calls can start now; waits for one to end where none can.
    async fn free_slots(&self, stop: &CancellationToken) -> Option<usize> {
        tokio::select! {
            () = stop.cancelled() => None,
            permit = self.shared.slots.acquire() => {
                drop(permit);
                Some(self.shared.slots.available_permits().max(1))
            }
        }
    }

    /// One claim of each sort, for all free slots. Returns how many tasks were started.
    async fn turn(&mut self, free: usize) -> Result<usize, StoreError> {
        self.release_unheard().await?;
        if !self.lease.holds() {
            return Err(StoreError::NoAnswer);
        }
        // by turns, so that neither sort takes all slots for ever
        self.local_first = !self.local_first;
        let mut taken = 0;
        for local in [self.local_first, !self.local_first] {
            if taken < free {
                taken += match local {
                    true => self.take_local(free - taken).await?,
                    false => self.take(free - taken).await?,
                };
            }
        }
        Ok(taken)
    }

    /// Tasks that call a model.
    async fn take(&mut self, slots: usize) -> Result<usize, StoreError> {
        if self.shared.providers.is_empty() {
            return Ok(0);
        }
        let request = ClaimRequest {
            process: self.process,
            slots: u32::try_from(slots).unwrap_or(u32::MAX),
            nonce: nonce(),
            providers: self.shared.providers.keys().cloned().collect(),
            workers: self.shared.settings.workers.clone(),
            task: None,
        };
        let claim = self.shared.store.claim_to_read(&request).await;
        let (claim, reading) = self.heard(request.nonce, claim)?;
        if claim.put_aside > 0 {
            // what stood behind those may be taken now
            self.shared.wakes.ready.notify_one();
        }
        let claimed = claim.tasks;
        // not from when it was asked for: a connection may have been waited for, and locks
        let arrived_at = Instant::now();
        // slots: a pack takes one
        let taken = claimed.iter().filter(|task| task.leads()).count();
        if taken > 0 {
            let later = fallback::taken(&claimed);
            let bodies = reading.bodies(&claimed).await;
            if let Err(error) = &bodies {
                tracing::warn!(%error, "could not read the items");
            }
            let items_were_read = bodies.is_ok();
            let mut bodies = bodies.unwrap_or_default();
            let packs = claimed.chunk_by(|one, next| one.pack.is_some() && one.pack == next.pack);
            for pack in packs {
                let members = pack.iter().map(|task| Member {
                    process: self.process,
                    body: bodies.items.remove(&task.task),
                    needed: bodies.needed.remove(&task.task).unwrap_or_default(),
                    claimed: task.clone(),
                });
                let call = Call {
                    shared: self.shared.clone(),
                    lease: self.lease.clone(),
                    members: members.collect(),
                    items_were_read,
                    arrived_at,
                };
                self.start(call.run()).await;
            }
            // when the calls are under way: nothing waits for what is only told
            self.fallbacks.tell(&self.shared.store, later).await;
        }
        Ok(taken)
    }

    /// Tasks that call none.
    async fn take_local(&mut self, slots: usize) -> Result<usize, StoreError> {
        let request = LocalRequest {
            process: self.process,
            slots: u32::try_from(slots).unwrap_or(u32::MAX),
            nonce: nonce(),
            programs: self.shared.registry.programs().keys().cloned().collect(),
            workers: self.shared.settings.workers.clone(),
        };
        let claimed = self.shared.store.claim_local(&request).await;
        let claimed = self.heard(request.nonce, claimed)?;
        let taken = claimed.len();
        let without_body =
            |task: &&LocalTask| task.payload.is_none() && task.hit.is_none() && !task.expired;
        let ids: Vec<Uuid> = claimed
            .iter()
            .filter(without_body)
            .map(|task| task.task)
            .collect();
        let (mut bodies, bodies_were_read) = match ids.is_empty() {
            true => (HashMap::new(), true),
            false => self.bodies(&ids).await,
        };
        for task in claimed {
            let run = LocalRun {
                shared: self.shared.clone(),
                process: self.process,
                lease: self.lease.clone(),
                body: task.body().or_else(|| bodies.remove(&task.task)),
                bodies_were_read,
                task,
            };
            self.start(async move { vec![run.run().await] }).await;
        }
        Ok(taken)
    }

    /// What a claim said; one whose answer was lost is remembered.
    fn heard<T>(&mut self, nonce: i64, said: Result<T, StoreError>) -> Result<T, StoreError> {
        if said.as_ref().is_err_and(StoreError::is_passing) {
            self.unheard.push((nonce, Instant::now()));
        }
        said
    }

    /// Bodies by task, and whether they could be read at all.
    async fn bodies(&self, ids: &[Uuid]) -> (HashMap<Uuid, TaskBody>, bool) {
        match self.shared.store.bodies(ids).await {
            Ok(bodies) => (
                bodies.into_iter().map(|body| (body.task, body)).collect(),
                true,
            ),
            Err(error) => {
                tracing::warn!(%error, "could not read the items");
                (HashMap::new(), false)
            }
        }
    }

    /// Gives back what claims took whose answer was lost. Such a claim may still be waiting for its
    /// locks and commit later: it is looked for until the server must have ended it.
    async fn release_unheard(&mut self) -> Result<(), StoreError> {
        let mut place = 0;
        while let Some(&(nonce, since)) = self.unheard.get(place) {
            match self
                .shared
                .store
                .release_unheard(self.process, nonce)
                .await?
            {
                0 if since.elapsed() < UNHEARD_FOR => place += 1,
                tasks => {
                    tracing::info!(tasks, "gave back what a lost answer had taken");
                    self.unheard.remove(place);
                }
            }
        }
        Ok(())
    }

    /// Starts one call in a slot of its own; the claim asked for no more than were free.
    async fn start(&self, work: impl Future<Output = Vec<Outcome>> + Send + 'static) {
        let Ok(slot) = self.shared.slots.clone().acquire_owned().await else {
            return;
        };
        let outcomes = self.outcomes.clone();
        let broken = self.shared.broken.clone();
        let sync = self.shared.settings.settle.sync;
        self.shared.calls.spawn(async move {
            // the slot is free when the call has ended; a full channel holds the next claim back
            let slot = Arc::new(slot);
            for mut outcome in work.await {
                outcome.slot = sync.then(|| slot.clone());
                if outcomes.send(outcome).await.is_err() {
                    tracing::error!("an outcome could not be handed on: its task will be rescued");
                    broken.cancel();
                }
            }
            drop(slot);
        });
    }

    /// Waits for a notification, the moment at which limits open, or the jittered poll.
    async fn rest(&self, stop: &CancellationToken, opening: Option<Duration>) {
        let polled = self.idle.mul_f64(0.5 + rand::random::<f64>());
        let jitter = OPENING_JITTER.mul_f64(rand::random());
        let pause = opening.map_or(polled, |opening| {
            (opening + jitter).min(polled.max(self.shared.settings.poll))
        });
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.shared.wakes.ready.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
