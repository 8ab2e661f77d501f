//! Workers known by name: registered with their lanes, paused, listed.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Store, StoreError,
    load::{Routing, Saving},
    run::{Asking, Pacing},
};

/// A worker to be made known.
#[derive(Clone, Debug)]
pub struct NewWorker {
    /// Its name.
    pub name: String,
    /// Its version, for people.
    pub version: String,
    /// The identity of its definition.
    pub hash: Vec<u8>,
    /// The definition as it is kept, JSON text.
    pub folder_json: String,
    /// What it asks of models; `None`: local work.
    pub ladders: Option<Vec<Vec<i32>>>,
    /// Only processes that bring a handler of its name take its tasks.
    pub program: bool,
    /// Attempts a task may have, where it says nothing itself.
    pub max_attempts: i32,
    /// Weight of each tier in a claim.
    pub mix: Vec<f32>,
    /// Output tokens reserved per call, until it is known how long answers are.
    pub est_output: i32,
    /// Tokens of the longest answer, for which money is reserved. `None`: not bounded.
    pub max_output: Option<i32>,
    /// How its tasks take their fallbacks.
    pub routing: Routing,
    /// How its claims are spread over time.
    pub pacing: Pacing,
    /// How its tasks are asked.
    pub asking: Asking,
    /// How long one attempt may take, in milliseconds.
    pub timeout_ms: i32,
    /// How its tasks spare calls.
    pub saving: Saving,
}

/// A worker as the database knows it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct WorkerRow {
    /// Its name.
    pub worker: String,
    /// The version of its definition.
    pub version: String,
    /// Whether it asks no model.
    pub local: bool,
    /// How many tiers it has.
    pub tiers: i32,
    /// The standing run that tasks enqueued one by one belong to.
    pub run_id: Uuid,
    /// Why it is paused. `None`: it is not.
    pub paused: Option<String>,
    /// Since when.
    pub paused_since: Option<DateTime<Utc>>,
    /// Since when this definition is in force.
    pub registered_at: DateTime<Utc>,
}

impl Store {
    /// Makes a worker known by name: tasks may be enqueued for it. A definition that is in force
    /// already changes nothing; a new one takes the place of the former for tasks enqueued from now.
    /// Returns the standing run.
    ///
    /// # Errors
    /// As every statement.
    pub async fn register_worker(&self, worker: &NewWorker) -> Result<Uuid, StoreError> {
        self.put_definition(
            &worker.hash,
            &worker.name,
            &worker.version,
            &worker.folder_json,
        )
        .await?;
        // Postgres has no ragged arrays: ladders are padded with 0
        let longest = worker
            .ladders
            .iter()
            .flatten()
            .map(Vec::len)
            .max()
            .unwrap_or(0);
        let flat: Vec<i32> = worker
            .ladders
            .iter()
            .flatten()
            .flat_map(|ladder| {
                let padding = std::iter::repeat_n(0, longest - ladder.len());
                ladder.iter().copied().chain(padding)
            })
            .collect();
        Ok(sqlx::query_scalar!(
            r#"select tidegate.register_worker_v4($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25) as "run!""#,
            worker.name,
            worker.hash,
            crate::task::new_id(),
            worker.ladders.is_none(),
            worker.program,
            worker.max_attempts,
            &worker.mix,
            &flat,
            i32::try_from(longest).unwrap_or(0),
            worker.est_output,
            worker.timeout_ms,
            worker.max_output,
            worker.routing.policy,
            worker.routing.patience_ms,
            worker.pacing.stagger_ms,
            worker.pacing.cool_after,
            worker.pacing.cool_ms,
            worker.saving.pack_size,
            worker.saving.pack_tokens,
            worker.saving.cache_s,
            worker.saving.cache_version,
            worker.saving.prompt_hash.as_deref(),
            worker.asking.strategy.as_str(),
            worker.asking.purpose.as_str(),
            worker.asking.within_s,
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Workers known by name, by name.
    ///
    /// # Errors
    /// As every statement.
    pub async fn workers(&self) -> Result<Vec<WorkerRow>, StoreError> {
        Ok(sqlx::query_as!(
            WorkerRow,
            r#"select w.worker, d.version, w.local, array_length(w.lanes, 1) as "tiers!", w.run_id, z.reason as "paused?",
                      z.since as "paused_since?", w.registered_at
                 from tidegate.workers w
                 join tidegate.worker_definitions d on d.hash = w.definition_hash
                 left join tidegate.worker_pauses z on z.worker = w.worker
                order by w.worker"#
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Takes no more tasks of this worker, in whatever run. `false`: it was paused already.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a worker that nobody knows.
    pub async fn pause_worker(&self, worker: &str, reason: &str) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select tidegate.pause_worker($1, $2) as "paused!""#,
            worker,
            reason
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Takes tasks of this worker again. `false`: it was not paused.
    ///
    /// # Errors
    /// As every statement.
    pub async fn resume_worker(&self, worker: &str) -> Result<bool, StoreError> {
        Ok(
            sqlx::query_scalar!(r#"select tidegate.resume_worker($1) as "resumed!""#, worker)
                .fetch_one(&self.pool)
                .await?,
        )
    }
}
