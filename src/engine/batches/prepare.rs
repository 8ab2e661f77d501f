//! Items of a batch made ready: their requests, or what becomes of those that ask nothing.

use std::sync::Arc;

use crate::{
    engine::{asked::Asked, member::Member, registry::Compiled, settle::Outcome},
    store::{
        StoreError,
        batch::{Batch, items::BatchItem},
    },
};

use super::Step;

/// An item that can be asked for, or judged.
pub(super) struct Prepared {
    /// Its place in the batch.
    pub(super) n: i32,
    pub(super) asked: Asked,
}

impl Step {
    /// What these items ask, in their order; or what becomes of one that asks nothing.
    pub(super) async fn prepared(
        &self,
        compiled: &Compiled,
        items: Vec<BatchItem>,
    ) -> Result<Vec<Result<Prepared, Box<Outcome>>>, StoreError> {
        let claimed: Vec<_> = items.iter().map(|it| it.claimed.clone()).collect();
        let mut bodies = self.shared.store.bodies_of(&claimed).await?;
        let mut prepared = Vec::with_capacity(items.len());
        for BatchItem { n, claimed, .. } in items {
            let task = claimed.task;
            let member = Member {
                process: self.owner.process,
                body: bodies.items.remove(&task),
                needed: bodies.needed.remove(&task).unwrap_or_default(),
                claimed,
            };
            prepared.push(match Asked::of(compiled, member) {
                Ok(asked) => Ok(Prepared { n, asked }),
                Err(outcome) => Err(Box::new(outcome.in_batch(self.owner.batch))),
            });
        }
        Ok(prepared)
    }

    /// The batch's definition, compiled. `None`: this process cannot read it; another may.
    pub(super) async fn compiled(
        &self,
        batch: &Batch,
    ) -> Result<Option<Arc<Compiled>>, StoreError> {
        let Some(run) = self.shared.store.run_definition(batch.run_id).await? else {
            return Ok(None);
        };
        let registry = &self.shared.registry;
        match registry.compiled(&self.shared.store, &run.hash).await {
            Ok(compiled) => Ok(Some(compiled)),
            Err(error) if error.is_passing() => Err(error),
            Err(error) => {
                self.shared.without_definition(&error);
                Ok(None)
            }
        }
    }
}
