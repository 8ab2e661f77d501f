//! Fetching: claims for all free slots, and starts a call for each task taken.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Shared, TROUBLE_PAUSE_MAX, call::Call, heartbeat::Lease, nonce, pause, settle::Outcome,
};
use crate::store::{
    StoreError,
    claim::{ClaimRequest, Claimed, TaskBody},
};

/// No claim outlives its statement's and its locks' time limits.
const UNHEARD_FOR: Duration = Duration::from_secs(75);

/// At most one claim in flight per process, for all its free slots.
pub(super) struct Fetcher {
    shared: Arc<Shared>,
    process: Uuid,
    lease: Lease,
    outcomes: mpsc::Sender<Outcome>,
    /// Claims whose answer was lost on the way: what they took is given back first.
    unheard: Vec<(i64, Instant)>,
    idle: Duration,
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
            self.rest(stop).await;
        }
        Ok(())
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

    /// One claim. Returns how many tasks were started.
    async fn turn(&mut self, free: usize) -> Result<usize, StoreError> {
        self.release_unheard().await?;
        if !self.lease.holds() {
            return Err(StoreError::NoAnswer);
        }
        let request = ClaimRequest {
            process: self.process,
            slots: u32::try_from(free).unwrap_or(u32::MAX),
            nonce: nonce(),
            providers: self.shared.providers.keys().cloned().collect(),
            workers: self.shared.settings.workers.clone(),
        };
        let claimed = match self.shared.store.claim(&request).await {
            Ok(claimed) => claimed,
            Err(error) => {
                if error.is_passing() {
                    self.unheard.push((request.nonce, Instant::now()));
                }
                return Err(error);
            }
        };
        let arrived_at = Instant::now();
        let taken = claimed.len();
        if taken > 0 {
            let ids: Vec<Uuid> = claimed.iter().map(|task| task.task).collect();
            let bodies = self.shared.store.bodies(&ids).await;
            self.start(claimed, bodies, arrived_at).await;
        }
        Ok(taken)
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

    async fn start(
        &self,
        claimed: Vec<Claimed>,
        bodies: Result<Vec<TaskBody>, StoreError>,
        arrived_at: Instant,
    ) {
        let bodies = bodies.map_err(|error| tracing::warn!(%error, "could not read the items"));
        let items_were_read = bodies.is_ok();
        let mut bodies: HashMap<Uuid, TaskBody> = bodies
            .unwrap_or_default()
            .into_iter()
            .map(|body| (body.task, body))
            .collect();
        for task in claimed {
            // a slot each; the claim asked for no more than were free
            let Ok(slot) = self.shared.slots.clone().acquire_owned().await else {
                return;
            };
            let call = Call {
                shared: self.shared.clone(),
                process: self.process,
                lease: self.lease.clone(),
                body: bodies.remove(&task.task),
                items_were_read,
                claimed: task,
                arrived_at,
            };
            let outcomes = self.outcomes.clone();
            let broken = self.shared.broken.clone();
            self.shared.calls.spawn(async move {
                let outcome = call.run().await;
                // the slot is free when the call has ended; a full channel holds the next claim back
                let sent = outcomes.send(outcome).await;
                drop(slot);
                if sent.is_err() {
                    tracing::error!("an outcome could not be handed on: its task will be rescued");
                    broken.cancel();
                }
            });
        }
    }

    /// Waits for a notification, or the jittered poll.
    async fn rest(&self, stop: &CancellationToken) {
        let pause = self.idle.mul_f64(0.5 + rand::random::<f64>());
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.shared.wakes.ready.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
