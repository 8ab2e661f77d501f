//! From an intent to a batch at the provider: created over its file, and found again where it is not known
//! whether it was.

use uuid::Uuid;

use super::{Door, Next, Step, again, is_of, next_look, token};
use crate::{
    llm::{BatchDraft, CallError, RemoteBatch},
    store::{StoreError, batch::Batch},
};

impl Step {
    pub(super) async fn submit(&self, door: Door<'_>, batch: &Batch) -> Result<Next, StoreError> {
        let store = &self.shared.store;
        if batch.cancel_wanted {
            return self
                .refused("batch_cancelled", "nobody wants it any more")
                .await;
        }
        let (file, embeds) = match &batch.input_file {
            // uploaded by whoever owned it before
            Some(file) => (file.clone(), batch.embeds),
            None => match self.upload(door, batch).await? {
                Ok(uploaded) => uploaded,
                Err(next) => return Ok(next),
            },
        };
        store.batch_creating(self.owner).await?;
        let draft = BatchDraft {
            wire_name: batch.model.split_once('/').unwrap_or_default().1,
            embeds,
            token: &batch.token,
            file: &file,
        };
        match door.create(&draft).await {
            Ok(remote) => self.created(batch, &remote).await,
            Err(error) => self.not_created(batch, error).await,
        }
    }

    async fn created(&self, batch: &Batch, remote: &RemoteBatch) -> Result<Next, StoreError> {
        let next = next_look(std::time::Duration::ZERO, &self.shared.settings.batches);
        self.shared
            .store
            .batch_submitted(self.owner, &remote.id, next)
            .await?;
        tracing::info!(batch.id = %batch.id, batch.remote = %remote.id, items = batch.items, model = batch.model, "a batch is at its provider");
        Ok(Next::Later)
    }

    /// What a create that was not answered with a batch means.
    async fn not_created(&self, batch: &Batch, error: CallError) -> Result<Next, StoreError> {
        let store = &self.shared.store;
        if let Some(next) = self.shut_out(batch, &error).await? {
            return Ok(next);
        }
        let words = error.to_string();
        match error {
            // it may be there: it is looked for before it is asked for again
            CallError::Unknown { .. }
            | CallError::Failed { .. }
            | CallError::Overloaded { .. }
            | CallError::Damaged { .. } => {
                tracing::warn!(batch.id = %batch.id, error = %words, "it is not known whether a batch was created; it is looked for");
                store
                    .batch_put_off(self.owner, self.shared.settings.batches.lookup / 2, &words)
                    .await?;
                Ok(Next::Later)
            }
            CallError::Unreachable { .. } | CallError::Exhausted { .. } => {
                store
                    .batch_not_created(self.owner, again(batch.fails), &words)
                    .await?;
                Ok(Next::Later)
            }
            // a free tier says of every batch that its quota is spent
            CallError::RateLimited { .. } if !batch.proven => {
                self.without_mode(batch, &words).await
            }
            CallError::RateLimited { retry_after, .. } => {
                let rest = store.rest_batches(&batch.model, retry_after).await?;
                tracing::info!({ model.name = %batch.model }, "no batch is enqueued for {rest:?}: {words}");
                store.batch_not_created(self.owner, rest, &words).await?;
                Ok(Next::Later)
            }
            // its file may have gone meanwhile: it is uploaded again, once
            CallError::Rejected { status: 400, .. } if batch.proven && batch.fails == 0 => {
                store.batch_without_file(self.owner, &words).await?;
                Ok(Next::Later)
            }
            _ if !batch.proven => self.without_mode(batch, &words).await,
            _ => self.halved(batch, &words).await,
        }
    }

    /// Refused for what is in it: two halves are tried; of one alone the item is at fault.
    pub(super) async fn halved(&self, batch: &Batch, why: &str) -> Result<Next, StoreError> {
        let store = &self.shared.store;
        let waiting = store.batch_items(batch.id, i32::MIN, 2, None).await?;
        if waiting.len() < 2 {
            self.fail_all(batch, "rejected", why, false).await?;
            store
                .batch_ended(self.owner, "refused", "", &[], Some(why))
                .await?;
            return Ok(Next::Go("ended"));
        }
        let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
        store
            .split_batch(batch, second, &token(second), None)
            .await?;
        store
            .split_batch(batch, first, &token(first), Some(i32::MIN))
            .await?;
        tracing::info!(batch.id = %batch.id, "a batch was refused for what is in it; its halves are tried: {why}");
        store
            .batch_ended(self.owner, "refused", "", &[], Some(why))
            .await?;
        Ok(Next::Go("ended"))
    }

    /// Looks for a batch of which it is not known whether it was created.
    pub(super) async fn find(&self, door: Door<'_>, batch: &Batch) -> Result<Next, StoreError> {
        let store = &self.shared.store;
        let lookup = self.shared.settings.batches.lookup;
        let listed = match door.list().await {
            Ok(listed) => listed,
            Err(error) => return self.put_off(batch, &error).await,
        };
        let mut ours = listed.into_iter().filter(|it| is_of(batch, it));
        if let Some(found) = ours.next() {
            tracing::info!(batch.id = %batch.id, batch.remote = %found.id, "a batch of unknown outcome was found");
            for twin in ours {
                // two creates were heard: one goes on
                if let Err(error) = door.cancel(&twin.id).await {
                    tracing::warn!(batch.remote = %twin.id, %error, "a doubled batch could not be cancelled; it is tried again at its end");
                }
            }
            return self.created(batch, &found).await;
        }
        let waited = batch.creating_ms.unwrap_or(0).unsigned_abs();
        if batch.looks >= 1 && u128::from(waited) >= lookup.as_millis() {
            tracing::info!(batch.id = %batch.id, "it was looked for twice and is not there: it is created again");
            store
                .batch_not_created(self.owner, std::time::Duration::ZERO, "was not created")
                .await?;
        } else {
            store.batch_not_found(self.owner, lookup / 2).await?;
        }
        Ok(Next::Later)
    }
}
