//! Local work: tasks that ask no model are taken and settled without admission and without a call.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Executor, Store, StoreError, claim::TaskBody};

/// What a process asks for.
#[derive(Clone, Debug)]
pub struct LocalRequest {
    /// The process, whose lease must hold.
    pub process: Uuid,
    /// Tasks it can work on at once from now: 1 to 10,000.
    pub slots: u32,
    /// Drawn at random for this claim: with the epoch it is the claim's identity.
    pub nonce: i64,
    /// Workers whose handler this process brought.
    pub programs: Vec<String>,
    /// Workers it serves. `None`: all.
    pub workers: Option<Vec<String>>,
    /// Only tasks whose answer is kept already: there is nothing to do for them, so that they need no slot.
    pub kept: bool,
}

/// One local task taken.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalTask {
    /// The task.
    pub task: Uuid,
    /// Its worker.
    pub worker: String,
    /// The worker definition it belongs to.
    pub definition: Vec<u8>,
    /// Its item's id or key.
    pub item: Option<String>,
    /// Its lane.
    pub lane: i32,
    /// Its priority.
    pub priority: f64,
    /// This attempt, from 1.
    pub attempt: i32,
    /// Attempts it may have.
    pub max_attempts: i32,
    /// Raised at every claim; fences every write.
    pub epoch: i32,
    /// The claim's nonce; fences every write.
    pub nonce: i64,
    /// Milliseconds of work and back-off so far.
    pub spent_ms: i64,
    /// When it was taken, by the database's clock.
    pub granted_at: DateTime<Utc>,
    /// How long the attempt may take, in milliseconds.
    pub timeout_ms: i32,
    /// The item's version, for the sink; known once its body was read.
    pub version: Option<String>,
    /// It is not worth starting any more.
    pub expired: bool,
    /// Its payload, unless that is large or stands in `items`: see [`Store::bodies`].
    pub payload: Option<String>,
    /// Its component; empty for a worker of one step.
    pub component: String,
    /// Its answer, where that was kept already: there is nothing to do but to store it.
    pub hit: Option<Hit>,
}

/// An answer that was kept already, and who gave it.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// JSON text, byte for byte.
    pub answer: String,
    /// The model that answered.
    pub model: String,
    /// That model as its provider names it.
    pub model_version: Option<String>,
}

impl LocalTask {
    /// Its body, where it came with the claim.
    pub fn body(&self) -> Option<TaskBody> {
        Some(TaskBody {
            task: self.task,
            item: self.item.clone().unwrap_or_else(|| self.task.to_string()),
            body: self.payload.clone()?,
            version: None,
        })
    }
}

/// Local tasks that are done, column by column, in ascending order of their ids.
#[derive(Clone, Debug, Default)]
pub struct LocalDone {
    tasks: Vec<Uuid>,
    nonces: Vec<i64>,
    epochs: Vec<i32>,
    answers: Vec<String>,
    spent_ms: Vec<i32>,
    lanes: Vec<i32>,
    priorities: Vec<f64>,
    items: Vec<(Option<String>, Option<String>)>,
    granted_at: Vec<DateTime<Utc>>,
    models: Vec<Option<String>>,
    versions: Vec<Option<String>>,
}

/// What became of local tasks that were done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalFates {
    /// Late ones that completed their task.
    pub salvaged: u64,
    /// Late ones whose task somebody else had ended.
    pub superseded: u64,
    /// Those that the sink refused: their tasks failed, their answers stay.
    pub refused: Vec<Uuid>,
}

impl LocalFates {
    /// Of so many salvaged and superseded, without a sink.
    pub fn of((salvaged, superseded): (u64, u64)) -> Self {
        Self {
            salvaged,
            superseded,
            refused: Vec::new(),
        }
    }
}

/// A local task's answer, as its sink gets it.
#[derive(Clone, Debug)]
pub(super) struct LocalAnswer {
    pub(super) task: Uuid,
    pub(super) item: Option<String>,
    pub(super) version: Option<String>,
    pub(super) answer: String,
    pub(super) model: Option<String>,
    pub(super) finished_at: DateTime<Utc>,
}

impl LocalDone {
    /// These tasks with their answers (JSON text) and the milliseconds they took.
    pub fn of(mut done: Vec<(LocalTask, String, i32)>) -> Self {
        // one order everywhere, so that two processes never wait for each other
        done.sort_by_key(|(task, ..)| task.task);
        let mut columns = Self::default();
        for (task, answer, spent_ms) in done {
            columns.tasks.push(task.task);
            columns.nonces.push(task.nonce);
            columns.epochs.push(task.epoch);
            columns.answers.push(answer);
            columns.spent_ms.push(spent_ms);
            columns.lanes.push(task.lane);
            columns.priorities.push(task.priority);
            columns.items.push((task.item, task.version));
            columns.granted_at.push(task.granted_at);
            let (model, version) = task.hit.map(|hit| (hit.model, hit.model_version)).unzip();
            columns.models.push(model);
            columns.versions.push(version.flatten());
        }
        columns
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Each alone.
    pub fn split(self) -> impl Iterator<Item = Self> {
        let mut answers = self.answers.into_iter();
        (0..self.tasks.len()).map(move |at| Self {
            tasks: vec![self.tasks[at]],
            nonces: vec![self.nonces[at]],
            epochs: vec![self.epochs[at]],
            answers: answers.next().into_iter().collect(),
            spent_ms: vec![self.spent_ms[at]],
            lanes: vec![self.lanes[at]],
            priorities: vec![self.priorities[at]],
            items: vec![self.items[at].clone()],
            granted_at: vec![self.granted_at[at]],
            models: vec![self.models[at].clone()],
            versions: vec![self.versions[at].clone()],
        })
    }

    /// As the sink gets them.
    pub(super) fn answers(&self) -> impl Iterator<Item = LocalAnswer> + '_ {
        (0..self.tasks.len()).map(|at| LocalAnswer {
            task: self.tasks[at],
            item: self.items[at].0.clone(),
            version: self.items[at].1.clone(),
            answer: self.answers[at].clone(),
            model: self.models[at].clone(),
            finished_at: self.granted_at[at]
                + chrono::Duration::milliseconds(self.spent_ms[at].into()),
        })
    }

    /// What identifies the claims.
    pub fn claims(&self) -> impl Iterator<Item = (Uuid, i64, i32)> + '_ {
        self.tasks
            .iter()
            .zip(&self.nonces)
            .zip(&self.epochs)
            .map(|((task, nonce), epoch)| (*task, *nonce, *epoch))
    }
}

impl Store {
    /// Takes up to `slots` local tasks. An empty answer is normal: nothing waits.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when the process was declared lost. When the connection broke, it
    /// is not known whether tasks were taken: see [`release_unheard`](Self::release_unheard).
    pub async fn claim_local(&self, request: &LocalRequest) -> Result<Vec<LocalTask>, StoreError> {
        let rows = sqlx::query!(
            r#"select o_task as "task!", o_item as item, o_lane as "lane!", o_priority as "priority!", o_attempt as "attempt!",
                      o_max_attempts as "max_attempts!", o_epoch as "epoch!", o_spent_ms as "spent_ms!", o_granted_at as "granted_at!",
                      o_call_timeout_ms as "timeout_ms!", o_definition as "definition!", o_worker as "worker!",
                      o_expired as "expired!", o_payload as payload, o_component as "component!", o_answer as answer, o_model as model,
                      o_model_version as model_version, o_version as version
                 from tidegate.claim_local_v3($1, $2, $3, $4, $5, $6)"#,
            request.process,
            i32::try_from(request.slots).unwrap_or(i32::MAX),
            request.nonce,
            &request.programs,
            request.workers.as_deref(),
            request.kept,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| LocalTask {
                task: row.task,
                worker: row.worker,
                definition: row.definition,
                item: row.item,
                lane: row.lane,
                priority: row.priority,
                attempt: row.attempt,
                max_attempts: row.max_attempts,
                epoch: row.epoch,
                nonce: request.nonce,
                spent_ms: row.spent_ms,
                granted_at: row.granted_at,
                timeout_ms: row.timeout_ms,
                version: row.version,
                expired: row.expired,
                payload: row.payload,
                component: row.component,
                hit: row.answer.zip(row.model).map(|(answer, model)| Hit {
                    answer,
                    model,
                    model_version: row.model_version,
                }),
            })
            .collect())
    }

    /// Writes down local tasks that are done, in one statement. Returns how many late ones were
    /// salvaged, and how many somebody else had ended.
    ///
    /// # Errors
    /// As every statement; nothing is written then, and the same call may be made again.
    pub async fn settle_local(
        &self,
        process: Uuid,
        done: &LocalDone,
    ) -> Result<(u64, u64), StoreError> {
        let fates = settle_local(&self.pool, process, done).await?;
        let salvaged = fates.iter().filter(|(_, fate)| fate == "salvaged").count() as u64;
        Ok((salvaged, fates.len() as u64 - salvaged))
    }
}

/// The tasks whose lease was lost, with what became of them.
pub(super) async fn settle_local<'e>(
    executor: impl Executor<'e>,
    process: Uuid,
    done: &LocalDone,
) -> Result<Vec<(Uuid, String)>, StoreError> {
    let rows = sqlx::query!(
        r#"select o_task as "task!", o_fate as "fate!" from tidegate.settle_local_v2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"#,
        process,
        &done.tasks,
        &done.nonces,
        &done.epochs,
        &done.answers,
        &done.spent_ms,
        &done.lanes,
        &done.priorities,
        &done.models as &[Option<String>],
        &done.versions as &[Option<String>],
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.task, row.fate)).collect())
}
