//! Handing on what became of a batch's items, to be written by the settler: no more at once than it writes, and
//! waited for until it is durable.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::{OWNED_FOR, Step};
use crate::{
    engine::{
        member::{Failed, Member},
        settle::Outcome,
    },
    llm::Verdict,
    store::{StoreError, batch::Batch},
};

/// Items on their way to be written, at most.
pub(super) const ON_THE_WAY: usize = 2_000;
/// Items that are read together.
const CHUNK: i64 = 500;

impl Step {
    /// Outcomes on their way to be written.
    pub(super) async fn hand_on(&self, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            if self.outcomes.send(outcome).await.is_err() {
                tracing::error!("an outcome of a batch could not be handed on; it is read again");
            }
        }
    }

    /// Everything that was handed on is durable.
    pub(super) async fn all_written(&self, room: &Semaphore) -> Result<(), StoreError> {
        let all = u32::try_from(ON_THE_WAY).unwrap_or(u32::MAX);
        loop {
            match tokio::time::timeout(OWNED_FOR / 4, room.acquire_many(all)).await {
                Ok(_) => return Ok(()),
                Err(_) => self.keep().await?,
            }
        }
    }

    /// Hands one on; `room` bounds how many are on their way.
    pub(super) async fn hand_on_bounded(
        &self,
        mut outcome: Outcome,
        room: &Arc<Semaphore>,
    ) -> Result<(), StoreError> {
        let permit = loop {
            match tokio::time::timeout(OWNED_FOR / 4, room.clone().acquire_owned()).await {
                Ok(Ok(permit)) => break permit,
                Ok(Err(_)) => return Err(StoreError::Broken),
                Err(_) => self.keep().await?,
            }
        };
        outcome.slot = Some(Arc::new(permit));
        self.hand_on(vec![outcome]).await;
        Ok(())
    }

    /// All items that still wait in a batch brought nothing, for this reason: they are tried again, as after
    /// any failure that passes; what was refused for what it is fails. `billed`: they may have been paid for.
    pub(super) async fn fail_all(
        &self,
        batch: &Batch,
        class: &str,
        why: &str,
        billed: bool,
    ) -> Result<(), StoreError> {
        let store = &self.shared.store;
        let room = Arc::new(Semaphore::new(ON_THE_WAY));
        let verdict = match class {
            "rejected" => Verdict::GiveUp,
            _ => Verdict::Retry { after: None },
        };
        let mut after = i32::MIN;
        loop {
            let items = store.batch_items(batch.id, after, CHUNK, None).await?;
            let Some(last) = items.last() else {
                return self.all_written(&room).await;
            };
            after = last.n;
            let missing = i32::try_from(items.len()).unwrap_or(i32::MAX);
            for item in items {
                let member = Member {
                    process: self.owner.process,
                    claimed: item.claimed,
                    body: None,
                    needed: Vec::new(),
                };
                let failed = Failed {
                    verdict,
                    sent: true,
                    may_have_cost: billed,
                    ..Failed::unsent(class, why)
                };
                let outcome = member.failed(failed, Duration::ZERO).in_batch(batch.id);
                self.hand_on_bounded(outcome, &room).await?;
            }
            store.count_batch(batch.id, 0, missing, 0).await?;
            self.keep().await?;
        }
    }
}
