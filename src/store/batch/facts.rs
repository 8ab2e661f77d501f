//! What is known of models, for who chooses how tasks are asked; and choices that are about no lane.

use serde_json::Value;
use uuid::Uuid;

use crate::{
    store::{Store, StoreError},
    task::{Purpose, Strategy},
};

/// What is known of a ladder for which it is to be chosen how its tasks are asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The first model of its ladder.
    pub first_model: String,
    /// The provider entry of the first that is not parked. `None`: all are.
    pub provider: Option<String>,
    /// The first that is not parked, if it may be asked by batch. `None`: there is no batch mode.
    pub model_id: Option<i32>,
    /// Its name.
    pub model: Option<String>,
    /// Its place in the ladder, from 1.
    pub rung: Option<i16>,
    /// Why there is no batch mode, where that is known.
    pub note: Option<String>,
    /// Another batch may be enqueued now.
    pub has_room: Option<bool>,
    /// Half of the single calls took no longer, in milliseconds.
    pub ind_p50: Option<i64>,
    /// Nine of ten took no longer.
    pub ind_p90: Option<i64>,
    /// From so many.
    pub ind_samples: Option<i32>,
    /// Choices for the model since the last one that asked singly.
    pub ind_age: i64,
    /// The same of batches.
    pub batch_p50: Option<i64>,
    /// The same of batches.
    pub batch_p90: Option<i64>,
    /// The same of batches.
    pub batch_samples: Option<i32>,
    /// Choices since the last one that asked by batch.
    pub batch_age: i64,
    /// Choices made for the model so far (1,000 at most are counted).
    pub decisions: i64,
    /// Requests per minute of the first model.
    pub per_minute: Option<i64>,
    /// Calls at once of the first model.
    pub at_once: Option<i64>,
    /// What a single call for one may cost, in micro-dollars, rounded up.
    pub single_microusd: Option<i64>,
    /// What it costs in a batch, rounded down: what is cheaper by less than a micro-dollar is cheaper all
    /// the same.
    pub batch_microusd: Option<i64>,
}

/// A choice for a list of tasks that somebody waits for, to be written down.
#[derive(Clone, Debug)]
pub struct ChosenList<'a> {
    /// Its id.
    pub id: Uuid,
    /// The run that its tasks go to.
    pub run: Uuid,
    /// Its worker.
    pub worker: &'a str,
    /// The model that it is about.
    pub model: &'a str,
    /// Tasks that it is about.
    pub items: usize,
    /// What was asked for.
    pub mode: Strategy,
    /// What answers are wanted for.
    pub purpose: Purpose,
    /// individual, batch or hybrid.
    pub strategy: &'a str,
    /// How many of them go one by one.
    pub singles: u32,
    /// Why, in one line.
    pub reason: &'a str,
    /// What was known, for who asks later.
    pub facts: Value,
}

impl Store {
    /// What is known of this ladder, for tasks of so many tokens in and out. `None`: its first model is not
    /// known.
    ///
    /// # Errors
    /// As every statement.
    pub async fn facts(
        &self,
        ladder: &[i32],
        tokens: (i32, i32),
    ) -> Result<Option<Facts>, StoreError> {
        Ok(
            sqlx::query_file_as!(Facts, "src/store/sql/facts.sql", ladder, tokens.0, tokens.1)
                .fetch_optional(&self.pool)
                .await?,
        )
    }

    /// Writes a choice for a list down.
    ///
    /// # Errors
    /// As every statement.
    pub async fn note_choice(&self, chosen: &ChosenList<'_>) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into tidegate.strategy_decisions (id, run_id, worker, model, items, mode, purpose, strategy, singles, reason, facts)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            chosen.id,
            chosen.run,
            chosen.worker,
            chosen.model,
            i32::try_from(chosen.items).unwrap_or(i32::MAX),
            chosen.mode.as_str(),
            chosen.purpose.as_str(),
            chosen.strategy,
            i32::try_from(chosen.singles).unwrap_or(i32::MAX),
            chosen.reason,
            chosen.facts,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
