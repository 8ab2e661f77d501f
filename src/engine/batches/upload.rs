//! The file of a batch: its items rendered, what does not fit divided off, and uploaded.

use uuid::Uuid;

use super::{Door, Next, OWNED_FOR, Step, spool::Spool, token};
use crate::{
    llm::CallError,
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
    /// Renders and uploads; else what is next.
    pub(super) async fn upload(
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
        let mut keeping = tokio::time::interval(OWNED_FOR / 4);
        let uploading = door.upload(&batch.token, &path);
        tokio::pin!(uploading);
        let uploaded = loop {
            tokio::select! {
                uploaded = &mut uploading => break uploaded,
                _ = keeping.tick() => self.keep().await?,
            }
        };
        let error = match uploaded {
            Ok(file) => {
                store.batch_uploaded(self.owner, &file).await?;
                return Ok(Ok((file, embeds)));
            }
            Err(error) => error,
        };
        if let Some(next) = self.shut_out(batch, &error).await? {
            return Ok(Err(next));
        }
        // what is refused again and again may be refused for what is in it
        let next = match error {
            CallError::Rejected { .. } if batch.fails >= 3 => {
                self.halved(batch, &error.to_string()).await?
            }
            _ => self.put_off(batch, &error).await?,
        };
        Ok(Err(next))
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
}
