//! Batches as people see them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::store::{Store, StoreError};

/// A batch as lists show it.
#[derive(Clone, Debug, Serialize)]
pub struct BatchRow {
    /// Its id.
    pub id: Uuid,
    /// The run of its tasks.
    pub run_id: Uuid,
    /// Their worker.
    pub worker: String,
    /// Their component.
    pub component: String,
    /// The model.
    pub model: String,
    /// intended, creating, submitted, ended, stored, over.
    pub state: String,
    /// How it ended.
    pub outcome: Option<String>,
    /// Items that it was formed of.
    pub items: i32,
    /// Items that are through, as the provider tells.
    pub through: Option<i64>,
    /// Items whose task is not back.
    pub waiting: i64,
    /// Items answered.
    pub answered: i64,
    /// Items that failed.
    pub failed: i32,
    /// Items without a line.
    pub missing: i32,
    /// Lines that belong to no item.
    pub unknown: i32,
    /// Items that were asked one by one for want of time.
    pub rescued: i32,
    /// The provider's id.
    pub remote_id: Option<String>,
    /// The provider's word for where it stands.
    pub remote_state: Option<String>,
    /// By which it is found at the provider.
    pub token: String,
    /// When it was formed.
    pub created_at: DateTime<Utc>,
    /// When it was created at the provider.
    pub submitted_at: Option<DateTime<Utc>>,
    /// When it was over there.
    pub ended_at: Option<DateTime<Utc>>,
    /// When the next step is due.
    pub next_at: Option<DateTime<Utc>>,
    /// Micro-dollars.
    pub cost_microusd: i64,
    /// Why it was formed.
    pub reason: Option<String>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// A batch of ours that a provider lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownBatch {
    /// Its token.
    pub token: String,
    /// The provider's id, as it was written down.
    pub remote_id: Option<String>,
    /// Nothing is wanted of it any more.
    pub through: bool,
}

/// A choice as lists show it.
#[derive(Clone, Debug, Serialize)]
pub struct DecisionRow {
    /// Its id.
    pub id: Uuid,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// The run.
    pub run_id: Option<Uuid>,
    /// The worker.
    pub worker: String,
    /// The component.
    pub component: String,
    /// The model that it is about.
    pub model: String,
    /// Tasks that waited.
    pub items: i32,
    /// What was asked for.
    pub mode: String,
    /// What the answers are for.
    pub purpose: String,
    /// What was chosen.
    pub strategy: String,
    /// How many go singly.
    pub singles: i32,
    /// Why.
    pub reason: String,
    /// What was known.
    pub facts: serde_json::Value,
}

impl Store {
    /// Choices, the newest first: of this run, or all.
    ///
    /// # Errors
    /// As every statement.
    pub async fn decisions(
        &self,
        run: Option<Uuid>,
        most: i64,
    ) -> Result<Vec<DecisionRow>, StoreError> {
        Ok(sqlx::query_as!(
            DecisionRow,
            "select id, at, run_id, worker, component, model, items, mode, purpose, strategy, singles, reason, facts
               from tidegate.strategy_decisions where $1::uuid is null or run_id = $1 order by at desc, id desc limit $2",
            run,
            most,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Batches, the newest first: of this run, or all; `open`: those that are not over; `only`: this one.
    ///
    /// # Errors
    /// As every statement.
    pub async fn batch_rows(
        &self,
        run: Option<Uuid>,
        only: Option<Uuid>,
        open: bool,
        most: i64,
    ) -> Result<Vec<BatchRow>, StoreError> {
        Ok(sqlx::query_as!(
            BatchRow,
            r#"select b.id, b.run_id, b.worker, b.component, b.model, b.state, b.outcome, b.items, b.through,
                      (select count(*) from tidegate.batch_items i where i.batch_id = b.id and i.waits) as "waiting!",
                      c.answered as "answered!", b.failed, b.missing, b.unknown, b.rescued, b.remote_id, b.remote_state, b.token,
                      b.created_at, b.submitted_at, b.ended_at, case when b.state <> 'over' then b.next_at end as next_at,
                      c.cost as "cost_microusd!", d.reason as "reason?", b.last_error
                 from tidegate.provider_batches b
                 left join tidegate.strategy_decisions d on d.id = b.decision
                 cross join lateral (
                   select coalesce(sum(c.cost_microusd), 0)::bigint as cost, count(*) filter (where c.outcome in ('ok', 'superseded')) as answered
                     from tidegate.calls c where c.run_id = b.run_id and c.batch_id = b.id) c
                where ($1::uuid is null or b.run_id = $1) and ($2::uuid is null or b.id = $2) and (not $3 or b.state <> 'over')
                order by b.created_at desc, b.id desc limit $4"#,
            run,
            only,
            open,
            most,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Asks for an end of a batch: whoever does its next step cancels it at the provider. `false`: it is over, or
    /// there is none.
    ///
    /// # Errors
    /// As every statement.
    pub async fn cancel_batch(&self, batch: Uuid) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update tidegate.provider_batches set cancel_wanted = true, next_at = least(next_at, clock_timestamp())
              where id = $1 and state in ('intended', 'creating', 'submitted')",
            batch
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Our batches, of these tokens that a provider lists; the others are not of this database.
    ///
    /// # Errors
    /// As every statement.
    pub async fn known_batches(&self, tokens: &[String]) -> Result<Vec<KnownBatch>, StoreError> {
        Ok(sqlx::query_as!(
            KnownBatch,
            r#"select token, remote_id, state in ('stored', 'over') as "through!" from tidegate.provider_batches where token = any($1)"#,
            tokens
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
