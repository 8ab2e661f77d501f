//! Fetching: claims for all free slots, and starts a call for each task taken. `local` takes what calls no model.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

mod local;

use super::{
    Shared, TROUBLE_PAUSE_MAX,
    call::Call,
    fallback::{self, Fallbacks},
    heartbeat::Lease,
    member::Member,
    nonce, pause,
    settle::Outcome,
};
use local::Kept;

use crate::store::{
    StoreError,
    claim::{ClaimRequest, TaskBody},
};

/// No claim outlives its statement's and its locks' time limits.
const UNHEARD_FOR: Duration = Duration::from_secs(75);

/// A claim that took so many may have left packs for the next.
const PACKED_MAX: usize = 1_000;

/// Processes that wait for the same moment come one after the other within so long.
const OPENING_JITTER: Duration = Duration::from_millis(20);

/// What one turn came to.
struct Turn {
    /// Tasks taken.
    taken: usize,
    /// There is probably more to take at once.
    more: bool,
}

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
    /// One batch of kept answers at a time is handed on: a slow database holds the next back.
    handing: Arc<Semaphore>,
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
            handing: Arc::new(Semaphore::new(1)),
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
                Ok(Turn { more: true, .. }) => continue,
                Ok(Turn { taken: 0, .. }) => {
                    self.idle = (self.idle * 2).min(self.shared.wakes.idle_pause_max())
                }
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

    /// One claim of each sort, for all free slots.
    async fn turn(&mut self, free: usize) -> Result<Turn, StoreError> {
        self.release_unheard().await?;
        if !self.lease.holds() {
            return Err(StoreError::NoAnswer);
        }
        // by turns, so that neither sort takes all slots for ever
        self.local_first = !self.local_first;
        let (mut started, mut kept) = (0, Kept::default());
        for local in [self.local_first, !self.local_first] {
            if started < free {
                started += match local {
                    true => self.take_local(free - started, &mut kept).await?,
                    false => self.take(free - started).await?,
                };
            }
        }
        Ok(Turn {
            taken: started + kept.taken,
            more: started == free || kept.more,
        })
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
            tasks: None,
        };
        let claim = self.shared.store.claim_to_read(&request).await;
        let (claim, reading) = self.heard(request.nonce, claim)?;
        let claimed = claim.tasks;
        if claim.put_aside > 0 || claimed.len() >= PACKED_MAX {
            // what stood behind those may be taken now
            self.shared.wakes.ready.notify_one();
        }
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
                deliver(&outcomes, outcome, &broken).await;
            }
            drop(slot);
        });
    }

    /// Waits for a notification, the end of a call, the moment at which limits open, or the jittered poll.
    async fn rest(&self, stop: &CancellationToken, opening: Option<Duration>) {
        let polled = self.idle.mul_f64(0.5 + rand::random::<f64>());
        let jitter = OPENING_JITTER.mul_f64(rand::random());
        let pause = opening.map_or(polled, |opening| {
            (opening + jitter).min(polled.max(self.shared.settings.poll))
        });
        // where no limit says when it opens, an end of a call may be what is waited for
        let ended = async {
            match opening {
                None => self.shared.wakes.settled.notified().await,
                Some(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.shared.wakes.ready.notified() => {}
            () = ended => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn deliver(outcomes: &mpsc::Sender<Outcome>, outcome: Outcome, broken: &CancellationToken) {
    if outcomes.send(outcome).await.is_err() {
        tracing::error!("an outcome could not be handed on: its task will be rescued");
        broken.cancel();
    }
}
