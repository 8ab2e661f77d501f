//! Settle: write down once what became of claimed tasks, the user's sink in the same transaction.

mod local;
mod rows;
mod sink;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::{Store, StoreError, link::Conn};
use crate::task::Answer;
use rows::{DoneRow, OpenRow};
use sink::{SinkRow, apply_sink};

/// An accepted answer of a claimed task.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The claim's identity and where the row stands.
    pub claim: ClaimKey,
    /// The item's id, for the sink.
    pub item: Option<String>,
    /// The item's version, for the sink.
    pub version: Option<String>,
    /// The accepted answer, stored byte for byte.
    pub answer: Answer,
    /// What the call used.
    pub spent: Spent,
    /// The exact model that answered, as the provider names it.
    pub model_version: Option<String>,
    /// The provider's id of the answer.
    pub response_id: Option<String>,
    /// It stands for its pack's call though it was not claimed so, or does not though it was: the one that
    /// was to lead was not asked. `None`: as it was claimed.
    pub leads: Option<bool>,
}

/// A claimed task whose attempt brought no answer.
#[derive(Clone, Debug)]
pub struct Unanswered {
    /// The claim's identity.
    pub claim: ClaimKey,
    /// What becomes of the task.
    pub fate: Fate,
    /// Ask this model no more for this task.
    pub exhaust_rung: bool,
    /// A fixed word.
    pub error_class: String,
    /// The reason in words.
    pub error: String,
    /// `false`: it is certain that nothing was sent.
    pub sent: bool,
    /// HTTP status, if one came.
    pub http_status: Option<u16>,
    /// It was lost in a pack: with so many it travels at most from now on.
    pub pack_most: Option<u16>,
    /// It stands for its pack's call though it was not claimed so, or does not though it was: the one that
    /// was to lead was not asked. `None`: as it was claimed.
    pub leads: Option<bool>,
    /// What the call used.
    pub spent: Spent,
}

/// What becomes of a task whose attempt brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Back to ready; no attempt is spent.
    Release,
    /// Tried again after so many milliseconds; an attempt is spent.
    Reschedule {
        /// Back-off in milliseconds.
        delay_ms: i64,
    },
    /// Ended.
    Fail,
    /// Not worth starting any more: cancelled; no attempt is spent.
    Expire,
}

/// What identifies a claim, and the call made under it.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimKey {
    /// The task.
    pub task: Uuid,
    /// Drawn by the claim.
    pub nonce: i64,
    /// Raised by the claim.
    pub epoch: i32,
    /// Its number.
    pub attempt: i32,
    /// The task's lane.
    pub lane: i32,
    /// The task's priority.
    pub priority: f64,
    /// The model called.
    pub model: String,
    /// Its number in the database.
    pub model_id: i32,
    /// The call.
    pub call: Uuid,
    /// When it was granted.
    pub granted_at: DateTime<Utc>,
}

impl From<&super::claim::Claimed> for ClaimKey {
    fn from(claimed: &super::claim::Claimed) -> Self {
        Self {
            task: claimed.task,
            nonce: claimed.nonce,
            epoch: claimed.epoch,
            attempt: claimed.attempt,
            lane: claimed.lane,
            priority: claimed.priority,
            model: claimed.model.clone(),
            model_id: claimed.model_id,
            call: claimed.call,
            granted_at: claimed.granted_at,
        }
    }
}

impl From<&super::local::LocalTask> for ClaimKey {
    /// Local work has no call.
    fn from(task: &super::local::LocalTask) -> Self {
        Self {
            task: task.task,
            nonce: task.nonce,
            epoch: task.epoch,
            attempt: task.attempt,
            lane: task.lane,
            priority: task.priority,
            model: String::new(),
            model_id: 0,
            call: Uuid::nil(),
            granted_at: task.granted_at,
        }
    }
}

/// What a call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Tokens, where the provider counted them.
    pub usage: Option<crate::llm::Usage>,
    /// Micro-dollars. `None`: no price is known.
    pub cost_microusd: Option<i64>,
    /// Whether the cost is an estimate.
    pub estimated: bool,
    /// From sending to the last byte, in milliseconds.
    pub latency_ms: i32,
}

/// What became of an accepted answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Stored; the task is done.
    Done,
    /// The lease was lost, but the task waited again: the late answer completed it.
    Salvaged,
    /// Somebody else ended the task: only the cost was kept.
    Superseded,
    /// Stored, but the user's sink refused it: the task failed with class `sink`.
    SinkFailed,
}

impl Store {
    /// Stores accepted answers of one worker definition in one transaction, its sink included.
    ///
    /// When the sink refuses the batch, each answer is tried alone, so that one bad row fails alone.
    /// Runs to its end even if the caller goes away.
    ///
    /// # Errors
    /// As every statement; nothing is stored then, and the same call may be made again.
    pub async fn settle_done(
        &self,
        process: Uuid,
        answers: Vec<Answered>,
        sink: Option<String>,
    ) -> Result<Vec<(Uuid, Settled)>, StoreError> {
        self.settle_done_of(process, None, answers, sink).await
    }

    /// The same of answers that came back in a provider batch: their tasks leave it in the same transaction.
    ///
    /// # Errors
    /// As [`settle_done`](Self::settle_done).
    pub async fn settle_done_batch(
        &self,
        process: Uuid,
        batch: Uuid,
        answers: Vec<Answered>,
        sink: Option<String>,
    ) -> Result<Vec<(Uuid, Settled)>, StoreError> {
        self.settle_done_of(process, Some(batch), answers, sink)
            .await
    }

    async fn settle_done_of(
        &self,
        process: Uuid,
        batch: Option<Uuid>,
        answers: Vec<Answered>,
        sink: Option<String>,
    ) -> Result<Vec<(Uuid, Settled)>, StoreError> {
        let store = self.clone();
        // its own task: a transaction must never be dropped half-way: the pool would hand out the open one (sqlx 0.9)
        let settling = async move {
            store
                .settle_done_to_the_end(process, &answers, sink, batch)
                .await
        };
        tokio::spawn(settling)
            .await
            .map_err(|error| StoreError::Refused(format!("settle stopped: {error}")))?
    }

    async fn settle_done_to_the_end(
        &self,
        process: Uuid,
        answers: &[Answered],
        sink: Option<String>,
        batch: Option<Uuid>,
    ) -> Result<Vec<(Uuid, Settled)>, StoreError> {
        let meta: Vec<DoneRow<'_>> = answers.iter().map(DoneRow::from).collect();
        let texts: Vec<String> = answers.iter().map(|a| a.answer.get().to_owned()).collect();
        let mut transaction = self.pool.begin().await?;
        if let Some(batch) = batch {
            let tasks: Vec<Uuid> = answers.iter().map(|it| it.claim.task).collect();
            from_batch(&mut transaction, process, batch, &tasks, true).await?;
        }
        let mut fates = settle_rows(&mut transaction, process, &meta, &texts).await?;
        if fates.iter().any(|(_, fate)| *fate == Settled::Superseded) {
            // a rescue may have been moving the row while we waited for it: a new snapshot sees where
            let again = settle_rows(&mut transaction, process, &meta, &texts).await?;
            for ((_, fate), (_, second)) in fates.iter_mut().zip(again) {
                if second == Settled::Salvaged {
                    *fate = second;
                }
            }
        }
        if let Some(sink) = sink {
            let mut stored: Vec<SinkRow> = answers
                .iter()
                .zip(&fates)
                .filter(|(_, (_, fate))| *fate != Settled::Superseded)
                .map(|(answer, _)| SinkRow::from(answer))
                .collect();
            let refused = apply_sink(&mut transaction, &sink, &mut stored).await?;
            for (task, words) in &refused {
                sqlx::query!(
                    "select tidegate.settle_sink_failed_v1($1, $2, $3)",
                    process,
                    &[*task],
                    words,
                )
                .execute(&mut *transaction)
                .await?;
            }
            for (task, fate) in &mut fates {
                if *fate != Settled::Superseded && refused.iter().any(|(failed, _)| failed == task)
                {
                    *fate = Settled::SinkFailed;
                }
            }
        }
        transaction.commit().await?;
        Ok(fates)
    }

    /// Writes down attempts that brought no answer. Returns the tasks whose lease still held; of the
    /// others only the cost is kept.
    ///
    /// # Errors
    /// As every statement; nothing is written then, and the same call may be made again.
    pub async fn settle_open(
        &self,
        process: Uuid,
        attempts: &[Unanswered],
    ) -> Result<Vec<Uuid>, StoreError> {
        let meta: Vec<OpenRow<'_>> = attempts.iter().map(OpenRow::from).collect();
        Ok(sqlx::query_scalar!(
            r#"select tidegate.settle_open_v1($1, $2) as "id!""#,
            process,
            Json(meta) as _,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// The same of items of a provider batch that brought no answer: they leave it in the same transaction.
    ///
    /// # Errors
    /// As [`settle_open`](Self::settle_open).
    pub async fn settle_open_batch(
        &self,
        process: Uuid,
        batch: Uuid,
        attempts: Vec<Unanswered>,
    ) -> Result<Vec<Uuid>, StoreError> {
        let store = self.clone();
        // its own task, as above
        let settling = async move {
            let meta: Vec<OpenRow<'_>> = attempts.iter().map(OpenRow::from).collect();
            let tasks: Vec<Uuid> = attempts.iter().map(|it| it.claim.task).collect();
            let mut transaction = store.pool.begin().await?;
            from_batch(&mut transaction, process, batch, &tasks, false).await?;
            let held = sqlx::query_scalar!(
                r#"select tidegate.settle_open_v1($1, $2) as "id!""#,
                process,
                Json(meta) as _,
            )
            .fetch_all(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(held)
        };
        tokio::spawn(settling)
            .await
            .map_err(|error| StoreError::Refused(format!("settle stopped: {error}")))?
    }
}

/// Takes what came back out of its batch, into the book of what runs: there it is settled as all work.
async fn from_batch(
    connection: &mut Conn,
    process: Uuid,
    batch: Uuid,
    tasks: &[Uuid],
    take_over: bool,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"select tidegate.from_batch_v1($1, $2, $3, $4) as "id""#,
        process,
        batch,
        tasks,
        take_over,
    )
    .fetch_all(connection)
    .await?;
    Ok(())
}

/// One pass over the answers, in their order.
async fn settle_rows(
    connection: &mut Conn,
    process: Uuid,
    meta: &[DoneRow<'_>],
    texts: &[String],
) -> Result<Vec<(Uuid, Settled)>, StoreError> {
    let rows = sqlx::query!(
        r#"select o_task as "task!", o_fate as "fate!" from tidegate.settle_done_v1($1, $2, $3)"#,
        process,
        Json(meta) as _,
        texts,
    )
    .fetch_all(connection)
    .await?;
    Ok(meta
        .iter()
        .zip(rows)
        .map(|(answer, row)| {
            let fate = match row.fate.as_str() {
                "done" => Settled::Done,
                "salvaged" => Settled::Salvaged,
                _ => Settled::Superseded,
            };
            (answer.task, fate)
        })
        .collect())
}
