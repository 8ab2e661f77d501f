//! What came of a batch, stored by chunks: each item leaves the batch in the transaction that settles its
//! task, so that a kill at any line loses and doubles nothing.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

use super::{Door, Next, OWNED_FOR, Step, hand::ON_THE_WAY};
use crate::{
    engine::{
        asked::Asked,
        member::{failure_of, rejected},
        registry::Compiled,
        settle::Outcome,
    },
    llm::{BatchAnswer, BatchLine, CallError, EmbedParams, Reply},
    store::{StoreError, batch::Batch},
};

/// Lines that are settled together.
const CHUNK: usize = 500;
/// Failures in a row after which a file of results is given up.
const GIVE_UP_AFTER: i32 = 12;

/// What lines came to.
#[derive(Default)]
struct Counted {
    failed: i32,
    unknown: i32,
}

impl Step {
    pub(super) async fn ingest(&self, door: Door<'_>, batch: &Batch) -> Result<Next, StoreError> {
        let store = &self.shared.store;
        let outcome = batch.outcome.as_deref().unwrap_or_default();
        if matches!(outcome, "refused" | "empty") {
            // nothing of it was sent; whoever gave it back may have been cut short
            let (process, why) = (self.owner.process, "nothing of its batch was sent");
            let class = "batch_refused";
            store.give_back_batch(process, batch.id, class, why).await?;
            self.shared.wakes.ready.notify_one();
        } else if store.run_definition(batch.run_id).await?.is_some() {
            if let Some(next) = self.take_in(door, batch, outcome).await? {
                return Ok(next);
            }
        } else {
            // its run was deleted: of what it was paid for the worst case stays
            store.forget_unheard(batch.id, true).await?;
        }
        store.batch_stored(self.owner).await?;
        Ok(Next::Go("stored"))
    }

    /// What a batch that was sent brought, and what becomes of the rest. `None`: all is stored.
    async fn take_in(
        &self,
        door: Door<'_>,
        batch: &Batch,
        outcome: &str,
    ) -> Result<Option<Next>, StoreError> {
        let store = &self.shared.store;
        let room = Arc::new(Semaphore::new(ON_THE_WAY));
        let mut unread = false;
        if !batch.outputs.is_empty() {
            let Some(compiled) = self.compiled(batch).await? else {
                return Ok(Some(Next::Later));
            };
            for output in &batch.outputs {
                match self.read(door, batch, &compiled, output, &room).await? {
                    Ok(()) => {}
                    // what was read is stored; the file is read again
                    Err(error) if batch.fails < GIVE_UP_AFTER => {
                        self.all_written(&room).await?;
                        return self.put_off(batch, &error).await.map(Some);
                    }
                    Err(error) => {
                        tracing::warn!(batch.id = %batch.id, %error, "results of a batch cannot be read; what is missing is asked again");
                        unread = true;
                    }
                }
            }
        }
        self.all_written(&room).await?;
        let (class, why) = match outcome {
            "succeeded" => ("batch_missing", "its batch ended without a line for it"),
            "expired" => ("batch_expired", "its batch expired before it was through"),
            "cancelled" => (
                "batch_cancelled",
                "its batch was cancelled before it was through",
            ),
            "lost" => (
                "batch_lost",
                "its provider does not know its batch any more",
            ),
            _ => ("batch_failed", "its batch failed before it was through"),
        };
        // what has no line in the files of a batch that was cut off was not done; else nobody knows
        let billed = unread || batch.outputs.is_empty() || matches!(outcome, "succeeded" | "lost");
        self.fail_all(batch, class, why, billed).await?;
        store.forget_unheard(batch.id, billed).await?;
        Ok(None)
    }

    /// What is asked of vectors, where the batch asks for such.
    async fn embeds(
        &self,
        batch: &Batch,
        compiled: &Compiled,
    ) -> Result<Option<EmbedParams>, StoreError> {
        if !batch.embeds {
            return Ok(None);
        }
        let store = &self.shared.store;
        let first = store.batch_items(batch.id, i32::MIN, 1, None).await?;
        let prepared = self.prepared(compiled, first).await?.pop();
        Ok(prepared.and_then(|it| it.ok()?.asked.request.embed))
    }

    async fn read(
        &self,
        door: Door<'_>,
        batch: &Batch,
        compiled: &Compiled,
        output: &str,
        room: &Arc<Semaphore>,
    ) -> Result<Result<(), CallError>, StoreError> {
        let (sender, mut lines) = mpsc::channel::<BatchLine>(CHUNK);
        let embed = self.embeds(batch, compiled).await?;
        let reading = async {
            let read = door.results(output, embed.as_ref(), &sender).await;
            drop(sender);
            read
        };
        let settling = async {
            let mut seen = HashSet::new();
            let mut chunk = Vec::with_capacity(CHUNK);
            loop {
                let waiting = lines.recv_many(&mut chunk, CHUNK);
                let got = match tokio::time::timeout(OWNED_FOR / 4, waiting).await {
                    Ok(got) => got,
                    Err(_) => {
                        self.keep().await?;
                        continue;
                    }
                };
                if got == 0 {
                    return Ok(());
                }
                self.keep().await?;
                let lines = std::mem::take(&mut chunk);
                let counted = self.settle(batch, compiled, lines, &mut seen, room).await?;
                self.shared
                    .store
                    .count_batch(batch.id, counted.failed, 0, counted.unknown)
                    .await?;
            }
        };
        let (read, settled): (_, Result<(), StoreError>) = tokio::join!(reading, settling);
        settled?;
        Ok(read)
    }

    /// What lines say of the batch's items. A line of no item, or of one that had its line, says nothing.
    async fn settle(
        &self,
        batch: &Batch,
        compiled: &Compiled,
        lines: Vec<BatchLine>,
        seen: &mut HashSet<Uuid>,
        room: &Arc<Semaphore>,
    ) -> Result<Counted, StoreError> {
        let mut counted = Counted::default();
        let mut answers = HashMap::new();
        for line in lines {
            let task = line.key.as_deref().and_then(|key| key.parse::<Uuid>().ok());
            match task {
                Some(task) if seen.insert(task) => {
                    answers.insert(task, line.answer);
                }
                _ => counted.unknown += 1,
            }
        }
        let ids: Vec<Uuid> = answers.keys().copied().collect();
        let items = self
            .shared
            .store
            .batch_items(batch.id, i32::MIN, i64::MAX, Some(&ids))
            .await?;
        // those that are not there were settled before, or belong to nobody
        counted.unknown += i32::try_from(ids.len() - items.len()).unwrap_or(i32::MAX);
        for prepared in self.prepared(compiled, items).await? {
            let outcome = match prepared {
                Err(outcome) => *outcome,
                Ok(prepared) => {
                    let Some(answer) = answers.remove(&prepared.asked.member.claimed.task) else {
                        continue;
                    };
                    let (outcome, good) = judged(compiled, prepared.asked, answer);
                    counted.failed += i32::from(!good);
                    outcome
                }
            };
            self.hand_on_bounded(outcome.in_batch(batch.id), room)
                .await?;
        }
        Ok(counted)
    }
}

/// What an item's line comes to, and whether it is an answer.
fn judged(
    compiled: &Compiled,
    asked: Asked,
    answer: Result<BatchAnswer, CallError>,
) -> (Outcome, bool) {
    let Asked {
        member,
        item,
        request,
    } = asked;
    let reply = match answer {
        Ok(BatchAnswer::Text(reply)) => reply,
        Ok(BatchAnswer::Vector {
            embedding,
            usage,
            model_version,
        }) => Reply {
            text: embedding.answer(&request.embed.unwrap_or_default()),
            usage,
            model_version,
            response_id: None,
        },
        Err(error) => return (member.failed(failure_of(&error), Duration::ZERO), false),
    };
    match member.judged(compiled.handler.as_ref(), &item, &reply) {
        Ok(answer) => {
            let spent = member.spent(reply.usage, true, Duration::ZERO);
            let sink = compiled.sink.clone();
            (member.answered(sink, answer, &reply, spent), true)
        }
        Err(why) => {
            let failed = rejected(&why, reply.usage);
            (member.failed(failed, Duration::ZERO), false)
        }
    }
}
