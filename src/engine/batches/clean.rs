//! Nothing is left behind at a provider: files and batches that are over are removed, and batches of ours
//! that nobody owns are found.

use std::{collections::HashSet, time::Duration};

use tokio::time::Instant;

use super::{Door, Next, Step, is_of};
use crate::{
    engine::Shared,
    llm::{CallError, RemoteBatch},
    store::{StoreError, batch::Batch},
};

/// Failures in a row after which what is left is left: files go by themselves within days.
const GIVE_UP_AFTER: i32 = 8;
/// It is looked whether a provider holds a batch of ours that should not be there: so many times as seldom as
/// one of unknown outcome is looked for (600 s).
const RECONCILE_TIMES: u32 = 10;

impl Step {
    pub(super) async fn clean(&self, door: Door<'_>, batch: &Batch) -> Result<Next, StoreError> {
        match self.removed(door, batch).await {
            Ok(()) => {}
            Err(error) if batch.fails < GIVE_UP_AFTER => return self.put_off(batch, &error).await,
            Err(error) => {
                tracing::warn!(batch.id = %batch.id, %error, "files of a batch could not be removed at its provider; they go by themselves");
            }
        }
        self.shared.store.batch_over(self.owner).await?;
        Ok(Next::Later)
    }

    async fn removed(&self, door: Door<'_>, batch: &Batch) -> Result<(), CallError> {
        for file in batch.input_file.iter().chain(&batch.outputs) {
            door.remove_file(file).await?;
        }
        if let Some(id) = &batch.remote_id {
            door.remove(id).await?;
        }
        if batch.began {
            // an upload that nobody wrote down, of an owner that was cut short
            self.remove_uploads(door, batch).await?;
        }
        // a create that was heard twice left a twin
        if batch.remote_id.is_some() || batch.creating_ms.is_some() {
            let twins = door.list().await?;
            for twin in twins
                .iter()
                .filter(|it| is_of(batch, it))
                .filter(|it| Some(&it.id) != batch.remote_id.as_ref())
            {
                end(door, twin).await?;
            }
        }
        Ok(())
    }
}

/// Cancels a batch that nobody wants, and removes it once it is over.
async fn end(door: Door<'_>, twin: &RemoteBatch) -> Result<(), CallError> {
    if !twin.state.is_final() {
        door.cancel(&twin.id).await?;
    }
    match door.remove(&twin.id).await {
        // under way still: it ends by itself
        Err(CallError::Rejected { .. }) => Ok(()),
        removed => removed,
    }
}

/// When providers were last looked at, and what was told of them.
pub(super) struct Reconciled {
    at: Instant,
    told: HashSet<String>,
}

impl Reconciled {
    pub(super) fn new() -> Self {
        Self {
            at: Instant::now(),
            told: HashSet::new(),
        }
    }

    /// Looks through the batches of each provider, now and then: of ours, one that is doubled is ended; one
    /// of another database is told once, and left alone.
    pub(super) async fn turn(&mut self, shared: &Shared) {
        let every: Duration = shared.settings.batches.lookup * RECONCILE_TIMES;
        if self.at.elapsed() < every {
            return;
        }
        self.at = Instant::now();
        for (entry, provider) in &shared.providers {
            let Some(door) = provider.batches() else {
                continue;
            };
            if let Err(words) = self.reconcile(shared, door).await {
                tracing::debug!(provider.name = %entry, "its batches could not be looked through: {words}");
            }
        }
    }

    async fn reconcile(&mut self, shared: &Shared, door: Door<'_>) -> Result<(), String> {
        let listed = door.list().await.map_err(|error| error.to_string())?;
        let ours: Vec<&RemoteBatch> = listed.iter().filter(|it| it.token.is_some()).collect();
        let tokens: Vec<String> = ours.iter().filter_map(|it| it.token.clone()).collect();
        if tokens.is_empty() {
            return Ok(());
        }
        let known = shared.store.known_batches(&tokens).await;
        let known = known.map_err(|error| error.to_string())?;
        for remote in ours {
            let row = known
                .iter()
                .find(|it| Some(&it.token) == remote.token.as_ref());
            let Some(row) = row else {
                if self.told.insert(remote.id.clone()) {
                    tracing::warn!(batch.remote = %remote.id, "a batch of another database is at this provider; it is left alone");
                }
                continue;
            };
            let doubled = row.remote_id.as_ref().is_some_and(|id| *id != remote.id);
            if (doubled || row.through) && !remote.state.is_final() {
                tracing::warn!(batch.remote = %remote.id, "a batch that is doubled, or that nobody waits for any more, is cancelled");
                door.cancel(&remote.id)
                    .await
                    .map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }
}
