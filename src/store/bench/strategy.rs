//! What `bench strategy` asks: the ledger of a run, batches by their tokens, and whether the books are whole.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::store::{Store, StoreError};

/// What the ledger holds of some runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Ledger {
    /// Rows: one for each task and try.
    pub calls: i64,
    /// Rows with an accepted answer.
    pub answered: i64,
    /// Of these, those that came by a batch.
    pub batched: i64,
    /// Rows whose end is not known.
    pub open: i64,
    /// Tokens asked, of those with an answer.
    pub input_tokens: i64,
    /// Tokens answered.
    pub output_tokens: i64,
    /// Micro-dollars of all rows.
    pub cost_microusd: i64,
}

/// What must be nothing when all runs are over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Leftovers {
    /// Batches that are not over.
    pub batches: i64,
    /// Tasks that a batch still owes.
    pub owed: i64,
    /// Tasks with two results.
    pub doubled: i64,
    /// Disagreements of the books.
    pub disagreements: i64,
}

impl Store {
    /// The ledger of these runs.
    ///
    /// # Errors
    /// As every statement.
    pub async fn run_ledger(&self, runs: &[Uuid]) -> Result<Ledger, StoreError> {
        Ok(sqlx::query_as(
            "select count(*) as calls, count(*) filter (where outcome = 'ok') as answered,
                    count(*) filter (where outcome = 'ok' and batch_id is not null) as batched,
                    count(*) filter (where ended_at is null) as open,
                    coalesce(sum(input_tokens) filter (where outcome = 'ok'), 0)::bigint as input_tokens,
                    coalesce(sum(output_tokens) filter (where outcome = 'ok'), 0)::bigint as output_tokens,
                    coalesce(sum(cost_microusd), 0)::bigint as cost_microusd
               from tidegate.calls where run_id = any ($1)",
        )
        .bind(runs)
        .fetch_one(&self.pool)
        .await?)
    }

    /// The tokens of all batches that are known here.
    ///
    /// # Errors
    /// As every statement.
    pub async fn batch_tokens(&self) -> Result<Vec<String>, StoreError> {
        Ok(
            sqlx::query_scalar("select token from tidegate.provider_batches")
                .fetch_all(&self.pool)
                .await?,
        )
    }

    /// What is left over. Reads everything.
    ///
    /// # Errors
    /// As every statement.
    pub async fn leftovers(&self) -> Result<Leftovers, StoreError> {
        Ok(sqlx::query_as(
            "select (select count(*) from tidegate.provider_batches where state <> 'over') as batches,
                    (select count(*) from tidegate.batch_items) as owed,
                    (select count(*) from (select from tidegate.task_results group by task_id, generation having count(*) > 1) z) as doubled,
                    (select count(*) from tidegate.audit_v1()) as disagreements",
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Batches that are not over.
    ///
    /// # Errors
    /// As every statement.
    pub async fn batches_under_way(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(
            "select count(*) from tidegate.provider_batches where state <> 'over'",
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// When the first batch of a run was formed, and when the last file was at its provider. `None`: not yet.
    ///
    /// # Errors
    /// As every statement.
    pub async fn batches_sent(
        &self,
        run: Uuid,
    ) -> Result<(Option<DateTime<Utc>>, Option<DateTime<Utc>>), StoreError> {
        Ok(sqlx::query_as(
            "select min(created_at), max(uploaded_at) from tidegate.provider_batches where run_id = $1",
        )
        .bind(run)
        .fetch_one(&self.pool)
        .await?)
    }

    /// How it was chosen first for a run: the strategy and the reason. `None`: nothing was to be chosen.
    ///
    /// # Errors
    /// As every statement.
    pub async fn choice_of(&self, run: Uuid) -> Result<Option<(String, String)>, StoreError> {
        Ok(sqlx::query_as(
            "select strategy, reason from tidegate.strategy_decisions where run_id = $1 order by at limit 1",
        )
        .bind(run)
        .fetch_optional(&self.pool)
        .await?)
    }
}
