//! From an intent to a batch at the provider: rendered, uploaded, created; and found again where it is not
//! known whether it was created.

use uuid::Uuid;

use super::{Door, Next, Step, again, next_look, spool::Spool, token};
use crate::{
    engine::settle::Outcome,
    llm::{BatchDraft, CallError, RemoteBatch},
    store::{StoreError, batch::Batch},
};

/// Items that are read and rendered together.
const CHUNK: i64 = 500;

/// What rendering came to.
enum Rendered {
    /// All lines; whether they ask for vectors.
    File(Spool, bool),
    /// This machine could not write it.
    Disk(std::io::Error),
    /// Nobody here can read the definition.
    Unreadable,
}

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
            CallError::RateLimited { .. } if !batch.proven => self
                .without_mode(batch, &words)
                .await
                .map(|()| Next::Go("ended")),
            CallError::RateLimited { retry_after, .. } => {
                let rest = store.rest_batches(&batch.model, retry_after).await?;
                tracing::info!({ model.name = %batch.model }, "no batch is enqueued for {rest:?}: {words}");
                store.batch_not_created(self.owner, rest, &words).await?;
                Ok(Next::Later)
            }
            CallError::KeyRefused { .. } | CallError::NoMoney { .. } => {
                store.park_provider(&batch.provider, &error.brief()).await?;
                self.refused("not_sent", &words).await
            }
            CallError::ModelGone { .. } => self
                .without_mode(batch, &words)
                .await
                .map(|()| Next::Go("ended")),
            CallError::Rejected {
                status: 404 | 405 | 501,
                ..
            } => self
                .without_mode(batch, &words)
                .await
                .map(|()| Next::Go("ended")),
            // its file may have gone meanwhile: it is uploaded again, once
            CallError::Rejected { status: 400, .. } if batch.proven && batch.fails == 0 => {
                store.batch_without_file(self.owner, &words).await?;
                Ok(Next::Later)
            }
            _ if !batch.proven => self
                .without_mode(batch, &words)
                .await
                .map(|()| Next::Go("ended")),
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

    /// Renders and uploads; else what is next.
    async fn upload(
        &self,
        door: Door<'_>,
        batch: &Batch,
    ) -> Result<Result<(String, bool), Next>, StoreError> {
        let store = &self.shared.store;
        if batch.began
            && let Err(error) = self.remove_uploads(door, batch).await
        {
            return self.put_off(batch, &error).await.map(Err);
        }
        let (mut spool, embeds) = match self.render(door, batch).await? {
            Rendered::File(spool, embeds) => (spool, embeds),
            Rendered::Unreadable => {
                return self
                    .refused("definition", "its definition cannot be read")
                    .await
                    .map(Err);
            }
            Rendered::Disk(error) => return self.no_disk(batch, &error).await.map(Err),
        };
        if spool.lines() == 0 {
            store
                .batch_ended(self.owner, "empty", "", &[], None)
                .await?;
            return Ok(Err(Next::Go("ended")));
        }
        let path = match spool.finish() {
            Ok(path) => path.to_owned(),
            Err(error) => return self.no_disk(batch, &error).await.map(Err),
        };
        self.keep().await?;
        store.batch_began(self.owner, embeds).await?;
        let mut keeping = tokio::time::interval(super::OWNED_FOR / 4);
        let uploading = door.upload(&batch.token, &path);
        tokio::pin!(uploading);
        let uploaded = loop {
            tokio::select! {
                uploaded = &mut uploading => break uploaded,
                _ = keeping.tick() => self.keep().await?,
            }
        };
        match uploaded {
            Ok(file) => {
                store.batch_uploaded(self.owner, &file).await?;
                Ok(Ok((file, embeds)))
            }
            Err(error @ (CallError::KeyRefused { .. } | CallError::NoMoney { .. })) => {
                store.park_provider(&batch.provider, &error.brief()).await?;
                self.refused("not_sent", &error.to_string()).await.map(Err)
            }
            Err(
                error @ (CallError::ModelGone { .. }
                | CallError::Rejected {
                    status: 404 | 405 | 501,
                    ..
                }),
            ) => {
                self.without_mode(batch, &error.to_string()).await?;
                Ok(Err(Next::Go("ended")))
            }
            Err(error @ CallError::Rejected { .. }) if batch.fails < 3 => {
                self.put_off(batch, &error).await.map(Err)
            }
            Err(error @ CallError::Rejected { .. }) => {
                self.halved(batch, &error.to_string()).await.map(Err)
            }
            Err(error) => self.put_off(batch, &error).await.map(Err),
        }
    }

    async fn no_disk(&self, batch: &Batch, error: &std::io::Error) -> Result<Next, StoreError> {
        let message = format!("a batch's file cannot be written to this machine's disk: {error}");
        self.put_off(batch, &CallError::Exhausted { message }).await
    }

    /// All lines of a batch, on disk. What asks nothing leaves it; what does not fit becomes another batch.
    async fn render(&self, door: Door<'_>, batch: &Batch) -> Result<Rendered, StoreError> {
        let Some(compiled) = self.compiled(batch).await? else {
            return Ok(Rendered::Unreadable);
        };
        let wire_name = batch.model.split_once('/').unwrap_or_default().1;
        let most = door.bounds().bytes;
        let mut spool = match Spool::new() {
            Ok(spool) => spool,
            Err(error) => return Ok(Rendered::Disk(error)),
        };
        let (mut after, mut embeds) = (i32::MIN, None);
        loop {
            let items = self
                .shared
                .store
                .batch_items(batch.id, after, CHUNK, None)
                .await?;
            let Some(last) = items.last() else {
                return Ok(Rendered::File(spool, embeds.unwrap_or(false)));
            };
            let last = last.n;
            let mut gone = Vec::new();
            for prepared in self.prepared(&compiled, items).await? {
                let prepared = match prepared {
                    Ok(prepared) => prepared,
                    Err(outcome) => {
                        gone.push(*outcome);
                        continue;
                    }
                };
                if *embeds.get_or_insert(prepared.asked.request.embed.is_some())
                    != prepared.asked.request.embed.is_some()
                {
                    let words = "asks for a vector where others ask for text, or the other way";
                    let outcome = prepared.asked.member.refused("input", words);
                    gone.push(outcome.in_batch(batch.id));
                    continue;
                }
                let key = prepared.asked.member.claimed.task.to_string();
                let line = door.line(wire_name, &key, &prepared.asked.request);
                if spool.has_room(&line, most) {
                    if let Err(error) = spool.push(&line) {
                        return Ok(Rendered::Disk(error));
                    }
                } else if spool.lines() == 0 {
                    let words = "is larger than its provider takes in a batch";
                    let outcome = prepared.asked.member.refused("too_large", words);
                    gone.push(outcome.in_batch(batch.id));
                } else {
                    let rest = Uuid::now_v7();
                    let before = prepared.n - 1;
                    self.shared
                        .store
                        .split_batch(batch, rest, &token(rest), Some(before))
                        .await?;
                    self.hand_on(gone).await;
                    return Ok(Rendered::File(spool, embeds.unwrap_or(false)));
                }
            }
            self.hand_on(gone).await;
            self.keep().await?;
            after = last;
        }
    }

    /// Outcomes on their way to be written.
    pub(super) async fn hand_on(&self, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            if self.outcomes.send(outcome).await.is_err() {
                tracing::error!("an outcome of a batch could not be handed on; it is read again");
            }
        }
    }

    /// Files of this batch that an owner before uploaded and did not write down.
    pub(super) async fn remove_uploads(
        &self,
        door: Door<'_>,
        batch: &Batch,
    ) -> Result<(), CallError> {
        let files = door.files().await?;
        for file in files
            .into_iter()
            .filter(|file| file.token.as_deref() == Some(&batch.token))
        {
            door.remove_file(&file.id).await?;
        }
        Ok(())
    }

    /// Looks for a batch of which it is not known whether it was created.
    pub(super) async fn find(&self, door: Door<'_>, batch: &Batch) -> Result<Next, StoreError> {
        let store = &self.shared.store;
        let lookup = self.shared.settings.batches.lookup;
        let listed = match door.list().await {
            Ok(listed) => listed,
            Err(error) => return self.put_off(batch, &error).await,
        };
        let mut ours = listed
            .into_iter()
            .filter(|remote| remote.token.as_deref() == Some(&batch.token));
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
