//! Fetching what calls no model: local work into slots; tasks whose answer is kept already past them, since
//! nothing is left to do but to store it.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::{Fetcher, deliver};
use crate::{
    engine::{inputs, local::LocalRun, nonce},
    store::{
        StoreError,
        claim::TaskBody,
        local::{LocalRequest, LocalTask},
    },
    task::Answer,
};

/// Tasks taken at once whose answer is kept already: as many as are worth one statement of a settle, and
/// few enough that long answers fit into memory.
const KEPT_AT_ONCE: u32 = 300;

/// What was taken without a slot, since its answer is kept already.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) taken: usize,
    /// There may be thousands.
    pub(super) more: bool,
}

impl Fetcher {
    /// Tasks that call none. Returns how many were started in slots.
    pub(super) async fn take_local(
        &mut self,
        slots: usize,
        kept: &mut Kept,
    ) -> Result<usize, StoreError> {
        let claimed = self.claim_local(slots, false).await?;
        let full = claimed.len() == slots;
        let (hits, own): (Vec<_>, Vec<_>) = claimed.into_iter().partition(|it| it.hit.is_some());
        let started = own.len();
        self.start_local(own).await;
        // where there were some, there may be thousands: these need no slot
        kept.more = full && !hits.is_empty();
        kept.taken = hits.len();
        self.hand_on(hits).await;
        if kept.more {
            let hits = self.claim_local(KEPT_AT_ONCE as usize, true).await?;
            kept.taken += hits.len();
            self.hand_on(hits).await;
        }
        Ok(started)
    }

    async fn claim_local(&mut self, most: usize, kept: bool) -> Result<Vec<LocalTask>, StoreError> {
        let request = LocalRequest {
            process: self.process,
            slots: u32::try_from(most).unwrap_or(u32::MAX),
            nonce: nonce(),
            programs: self.shared.registry.programs().keys().cloned().collect(),
            workers: self.shared.settings.workers.clone(),
            kept,
        };
        let claimed = self.shared.store.claim_local(&request).await;
        self.heard(request.nonce, claimed)
    }

    async fn start_local(&self, tasks: Vec<LocalTask>) {
        let without_body = |task: &&LocalTask| task.payload.is_none() && !task.expired;
        let ids: Vec<Uuid> = tasks
            .iter()
            .filter(without_body)
            .map(|task| task.task)
            .collect();
        let (mut bodies, bodies_were_read) = match ids.is_empty() {
            true => (HashMap::new(), true),
            false => self.bodies(&ids).await,
        };
        let steps = tasks.iter().filter(|task| !task.component.is_empty());
        let steps: Vec<Uuid> = steps.map(|task| task.task).collect();
        let mut results = inputs::of(&self.shared.store, &steps).await;
        if let Err(error) = &results {
            tracing::warn!(%error, "could not read what steps need");
        }
        for task in tasks {
            let body = task.body().or_else(|| bodies.remove(&task.task));
            // who is no step reads nobody's
            let results = match &mut results {
                Ok(results) => Some(results.remove(&task.task).unwrap_or_default()),
                Err(_) => task.component.is_empty().then(BTreeMap::new),
            };
            let run = self.local_run(task, body, results, bodies_were_read);
            self.start(async move { vec![run.run().await] }).await;
        }
    }

    fn local_run(
        &self,
        task: LocalTask,
        body: Option<TaskBody>,
        results: Option<BTreeMap<String, Answer>>,
        bodies_were_read: bool,
    ) -> LocalRun {
        LocalRun {
            shared: self.shared.clone(),
            process: self.process,
            lease: self.lease.clone(),
            task,
            body,
            results,
            bodies_were_read,
        }
    }

    /// Hands on tasks whose answer is kept already, together and without a slot, when those before
    /// them are.
    async fn hand_on(&self, hits: Vec<LocalTask>) {
        if hits.is_empty() {
            return;
        }
        let Ok(place) = self.handing.clone().acquire_owned().await else {
            return; // never closed
        };
        let runs: Vec<LocalRun> = hits
            .into_iter()
            .map(|task| self.local_run(task, None, None, true))
            .collect();
        let (outcomes, broken) = (self.outcomes.clone(), self.shared.broken.clone());
        self.shared.calls.spawn(async move {
            for run in runs {
                deliver(&outcomes, run.run().await, &broken).await;
            }
            drop(place);
        });
    }
}
