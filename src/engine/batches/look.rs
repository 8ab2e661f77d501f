//! Looking at a batch that is at its provider.

use std::time::Duration;

use super::{Door, Next, Step, is_of, next_look};
use crate::{
    llm::{BatchFailure, BatchState, CallError, RemoteBatch},
    store::{
        StoreError,
        batch::{Batch, end::Looked},
    },
};

/// A batch that is through without a file of results is looked at so often again: some tell of their end
/// before the file is there.
const LATE_FILE_LOOKS: i32 = 20;

impl Step {
    pub(super) async fn look(&self, door: Door<'_>, batch: &Batch) -> Result<Next, StoreError> {
        let store = &self.shared.store;
        let Some(id) = batch.remote_id.as_deref() else {
            return self.lost(batch).await;
        };
        if batch.cancel_wanted && !batch.cancelled {
            match door.cancel(id).await {
                Ok(()) | Err(CallError::Rejected { .. }) => {
                    store.batch_cancelled(self.owner).await?;
                }
                Err(error) => {
                    tracing::debug!(batch.id = %batch.id, %error, "could not be cancelled; tried again");
                }
            }
        }
        let remote = match door.look(id).await {
            Ok(remote) => remote,
            Err(CallError::Rejected { status: 404, .. } | CallError::ModelGone { .. }) => {
                return self.gone(door, batch).await;
            }
            Err(error) => return self.put_off(batch, &error).await,
        };
        match &remote.state {
            BatchState::Waiting | BatchState::Running => self.under_way(batch, &remote).await,
            BatchState::Succeeded if remote.outputs.is_empty() && batch.fails < LATE_FILE_LOOKS => {
                let next = self.shared.settings.batches.poll;
                let words = "it is through, and its results are not there yet";
                store.batch_put_off(self.owner, next, words).await?;
                Ok(Next::Later)
            }
            BatchState::Succeeded => self.ended("succeeded", &remote, None).await,
            BatchState::Expired => self.ended("expired", &remote, None).await,
            BatchState::Cancelled => self.ended("cancelled", &remote, None).await,
            BatchState::Failed(failure) => self.failed(batch, &remote, failure).await,
        }
    }

    async fn under_way(&self, batch: &Batch, remote: &RemoteBatch) -> Result<Next, StoreError> {
        let age = Duration::from_millis(batch.age_ms.unsigned_abs());
        let looked = Looked {
            word: &remote.state_word,
            through: remote.through.and_then(|n| i64::try_from(n).ok()),
            next: next_look(age, &self.shared.settings.batches),
        };
        self.shared.store.batch_looked(self.owner, &looked).await?;
        Ok(Next::Later)
    }

    async fn ended(
        &self,
        outcome: &str,
        remote: &RemoteBatch,
        why: Option<&str>,
    ) -> Result<Next, StoreError> {
        let word = &remote.state_word;
        self.shared
            .store
            .batch_ended(self.owner, outcome, word, &remote.outputs, why)
            .await?;
        Ok(Next::Go("ended"))
    }

    async fn failed(
        &self,
        batch: &Batch,
        remote: &RemoteBatch,
        failure: &BatchFailure,
    ) -> Result<Next, StoreError> {
        let store = &self.shared.store;
        let why = failure.message.as_str();
        if !remote.outputs.is_empty() {
            return self.ended("failed", remote, Some(why)).await;
        }
        if failure.over_limit {
            let rest = store.rest_batches(&batch.model, None).await?;
            tracing::info!({ model.name = %batch.model }, "no batch is enqueued for {rest:?}: {why}");
            return self.refused("batch_limit", why).await;
        }
        if failure.bad_input {
            return self.halved(batch, why).await;
        }
        self.ended("failed", remote, Some(why)).await
    }

    /// The provider does not know it any more: perhaps under another id.
    async fn gone(&self, door: Door<'_>, batch: &Batch) -> Result<Next, StoreError> {
        let listed = match door.list().await {
            Ok(listed) => listed,
            Err(error) => return self.put_off(batch, &error).await,
        };
        let twin = listed.into_iter().find(|remote| {
            is_of(batch, remote) && Some(remote.id.as_str()) != batch.remote_id.as_deref()
        });
        match twin {
            Some(twin) => {
                let poll = self.shared.settings.batches.poll;
                let store = &self.shared.store;
                store.batch_is(self.owner, &twin.id, poll).await?;
                Ok(Next::Later)
            }
            None => self.lost(batch).await,
        }
    }

    async fn lost(&self, batch: &Batch) -> Result<Next, StoreError> {
        tracing::warn!(batch.id = %batch.id, "the provider does not know this batch any more; its tasks are asked again");
        let why = "its provider does not know it any more";
        self.shared
            .store
            .batch_ended(self.owner, "lost", "", &[], Some(why))
            .await?;
        Ok(Next::Go("ended"))
    }
}
