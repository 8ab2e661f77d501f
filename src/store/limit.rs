//! Limits in full, for people: sizes and what they follow from, adjustments, cooldowns; set by hand.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{Store, StoreError};

/// A limit of a model as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct LimitRow {
    /// The name it is kept under; another than the model's where limits are shared.
    pub name: String,
    /// requests, input_tokens, output_tokens, total_tokens or concurrency.
    pub dimension: String,
    /// minute, day or none.
    pub window: String,
    /// What holds now.
    pub size: i64,
    /// What a person or the file said. `None`: nobody did.
    pub told: Option<i64>,
    /// What the provider said last.
    pub said: Option<i64>,
    /// When.
    pub said_at: Option<DateTime<Utc>>,
    /// What is left of it now.
    pub room: i64,
    /// sliding, fixed, bucket or unknown.
    pub counting: String,
    /// How many may start at once. `None`: the whole size.
    pub burst: Option<i64>,
    /// How late a call may arrive, in milliseconds.
    pub guard_ms: i32,
    /// file, hand or learned.
    pub source: String,
    /// What it follows from, in words.
    pub evidence: String,
    /// When it was last changed.
    pub changed_at: DateTime<Utc>,
    /// When it has room for one more.
    pub opens_at: Option<DateTime<Utc>>,
}

/// One change of a limit.
#[derive(Clone, Debug, Serialize)]
pub struct AdjustmentRow {
    /// When.
    pub at: DateTime<Utc>,
    /// Of which dimension.
    pub dimension: String,
    /// Of which window.
    pub window: String,
    /// size, cap, burst, guard or foreign.
    pub what: String,
    /// Before.
    pub old: Option<i64>,
    /// After.
    pub new: Option<i64>,
    /// What it followed from.
    pub reason: String,
}

/// How long the answers of a model to one worker are.
#[derive(Clone, Debug, Serialize)]
pub struct OutputRow {
    /// The worker.
    pub worker: String,
    /// Its component; empty: the worker is one step.
    pub component: String,
    /// Tokens that nine of ten answers stay below.
    pub tokens: i32,
    /// From how many answers.
    pub answers: i32,
    /// When it was found.
    pub at: DateTime<Utc>,
}

/// A model's last cooldown.
#[derive(Clone, Debug, Serialize)]
pub struct CooldownRow {
    /// Until when.
    pub until: DateTime<Utc>,
    /// Why.
    pub reason: String,
    /// Who saw it.
    pub who: String,
    /// Refusals in a row.
    pub strikes: i32,
    /// When the first call after it came back. `None`: none has.
    pub proven_at: Option<DateTime<Utc>>,
}

/// What waits for a model as its first choice.
#[derive(Clone, Debug, Serialize)]
pub struct ModelQueue {
    /// The model.
    pub model: String,
    /// Ready tasks.
    pub waiting: i64,
    /// The first of them.
    pub next_task: Option<Uuid>,
    /// Its worker.
    pub next_worker: Option<String>,
}

impl Store {
    /// The limits of a model, each with what it follows from.
    ///
    /// # Errors
    /// As every statement.
    pub async fn model_limits(&self, model: &str) -> Result<Vec<LimitRow>, StoreError> {
        Ok(sqlx::query_as!(
            LimitRow,
            r#"select s.name as "name!", s.dimension as "dimension!", s.window_kind as "window!", s.size as "size!", s.told, s.said,
                      s.said_at, s.room as "room!", s.counting as "counting!", s.burst, s.guard_ms as "guard_ms!",
                      s.source as "source!", coalesce(s.evidence, '') as "evidence!", s.changed_at as "changed_at!", s.opens_at
                 from tidegate.models m
                 join tidegate.model_limits ml on ml.model_id = m.model_id
                 join tidegate.limit_status s on s.limit_id = ml.limit_id
                where m.model = $1 order by s.window_kind desc, s.dimension desc"#,
            model
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// The newest changes of a model's limits.
    ///
    /// # Errors
    /// As every statement.
    pub async fn adjustments(
        &self,
        model: &str,
        limit: i64,
    ) -> Result<Vec<AdjustmentRow>, StoreError> {
        Ok(sqlx::query_as!(
            AdjustmentRow,
            "select a.at, l.dimension, l.window_kind as window, a.what, a.old, a.new, a.reason
               from tidegate.models m
               join tidegate.model_limits ml on ml.model_id = m.model_id
               join tidegate.limits l on l.limit_id = ml.limit_id
               join tidegate.limit_adjustments a on a.limit_id = l.limit_id
              where m.model = $1 order by a.at desc limit $2",
            model,
            limit
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// How long a model's answers are, by worker.
    ///
    /// # Errors
    /// As every statement.
    pub async fn output_quantiles(&self, model: &str) -> Result<Vec<OutputRow>, StoreError> {
        Ok(sqlx::query_as!(
            OutputRow,
            "select q.worker, q.component, q.tokens, q.answers, q.at
               from tidegate.output_quantiles q join tidegate.models m on m.model_id = q.model_id
              where m.model = $1 order by q.worker, q.component",
            model
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// The last cooldown of a model.
    ///
    /// # Errors
    /// As every statement.
    pub async fn cooldown(&self, model: &str) -> Result<Option<CooldownRow>, StoreError> {
        Ok(sqlx::query_as!(
            CooldownRow,
            r#"select c.until, c.reason, coalesce(c.who, '') as "who!", c.strikes, c.proven_at
                 from tidegate.models m
                 join tidegate.providers p on p.name = m.provider
                 join tidegate.model_cooldowns c on c.quota_scope = p.quota_scope and c.wire_name = m.wire_name
                where m.model = $1"#,
            model
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// How many tasks wait for each model as their first choice: of these models, or of all.
    ///
    /// # Errors
    /// As every statement.
    pub async fn model_queues(
        &self,
        only: Option<&[String]>,
    ) -> Result<Vec<ModelQueue>, StoreError> {
        Ok(sqlx::query_as!(
            ModelQueue,
            r#"select model as "model!", waiting as "waiting!", next_task, next_worker
                 from tidegate.model_queues where $1::text[] is null or model = any($1) order by model"#,
            only as _,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Sets limits and prices of a model by hand, those that are named; null takes one away. The next
    /// claim of every process obeys.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a model that is not there, [`StoreError::BadInput`] for what cannot
    /// be.
    pub async fn set_model(&self, model: &str, changes: &Value) -> Result<(), StoreError> {
        sqlx::query_scalar!(
            r#"select tidegate.set_model($1, $2)::text as done"#,
            model,
            changes
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(())
    }
}
