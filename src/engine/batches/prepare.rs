//! Items of a batch made ready: their requests, or why there is none.

use crate::{
    engine::{
        inputs,
        member::Member,
        registry::{Compiled, guarded},
        settle::Outcome,
    },
    llm::Request,
    store::{
        StoreError,
        batch::{Batch, items::BatchItem},
    },
    task::Item,
};

use super::Step;

/// An item that can be asked for, or judged.
pub(super) struct Prepared {
    /// Its place in the batch.
    pub(super) n: i32,
    pub(super) member: Member,
    pub(super) item: Item,
    pub(super) request: Request,
}

impl Step {
    /// What these items ask, in their order; or what becomes of one that asks nothing.
    pub(super) async fn prepared(
        &self,
        compiled: &Compiled,
        items: Vec<BatchItem>,
    ) -> Result<Vec<Result<Prepared, Outcome>>, StoreError> {
        let claimed: Vec<_> = items.iter().map(|it| it.claimed.clone()).collect();
        let mut bodies = self.shared.store.bodies_of(&claimed).await?;
        let prepare = |BatchItem { n, claimed, .. }| {
            let task = claimed.task;
            let member = Member {
                process: self.owner.process,
                body: bodies.items.remove(&task),
                needed: bodies.needed.remove(&task).unwrap_or_default(),
                claimed,
            };
            prepared(compiled, n, member).map_err(|outcome| outcome.in_batch(self.owner.batch))
        };
        Ok(items.into_iter().map(prepare).collect())
    }

    /// The batch's definition, compiled. `None`: this process cannot read it; another may.
    pub(super) async fn compiled(
        &self,
        batch: &Batch,
    ) -> Result<Option<std::sync::Arc<Compiled>>, StoreError> {
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

fn prepared(compiled: &Compiled, n: i32, mut member: Member) -> Result<Prepared, Outcome> {
    let Some(item) = member.item() else {
        return Err(member.refused("input", "its item is gone, or is not JSON"));
    };
    let results = inputs::by_component(std::mem::take(&mut member.needed));
    let component = &member.claimed.component;
    let item = match compiled.item(item.id, item.body, component, results) {
        Ok(item) => item,
        Err(words) => return Err(member.refused("input", &words)),
    };
    match guarded(|| compiled.handler.request(&item)) {
        Ok(Ok(request)) => Ok(Prepared {
            n,
            member,
            item,
            request,
        }),
        Ok(Err(error)) => Err(member.refused("input", &error.0)),
        Err(words) => Err(member.refused("panic", &words)),
    }
}
