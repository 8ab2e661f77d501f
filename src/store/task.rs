//! Tasks for people: listed, shown, explained.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Store, StoreError};

/// Which tasks are meant. `None`: any.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// In this state.
    pub state: Option<String>,
    /// Of this run.
    pub run: Option<Uuid>,
    /// Of this worker.
    pub worker: Option<String>,
    /// Of this component.
    pub component: Option<String>,
    /// Of this tier.
    pub tier: Option<i16>,
    /// With this error class.
    pub error_class: Option<String>,
    /// Of this item.
    pub item: Option<String>,
}

/// A task as lists show it: the columns of `tidegate.tasks`.
#[derive(Clone, Debug, Serialize)]
pub struct TaskRow {
    /// Its id.
    pub id: Uuid,
    /// Its run.
    pub run_id: Uuid,
    /// The worker's name.
    pub worker: String,
    /// The step of the worker it belongs to; empty: the worker is one step.
    pub component: String,
    /// Its item.
    pub item_id: Option<String>,
    /// Its category.
    pub category: Option<String>,
    /// Its tier.
    pub tier: i16,
    /// Its priority, higher first.
    pub priority: f64,
    /// Assigned primary.
    pub model: Option<String>,
    /// The rest of its ladder.
    pub fallback_models: Vec<String>,
    /// The model that answered.
    pub model_used: Option<String>,
    /// Where it stands.
    pub state: String,
    /// Charged calls.
    pub attempts: i32,
    /// Calls it may have.
    pub max_attempts: i32,
    /// Times given back unspent.
    pub deferrals: i32,
    /// Deaths of processes that held it.
    pub rescues: i32,
    /// Times taken.
    pub claims: i32,
    /// Raised by each retry by hand.
    pub generation: i32,
    /// When it is tried again.
    pub run_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last taken.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// A fixed word for its last failure.
    pub error_class: Option<String>,
    /// Its last failure in words.
    pub last_error: Option<String>,
    /// Input tokens estimated.
    pub est_tokens: i32,
}

/// An attempt of a task.
#[derive(Clone, Debug, Serialize)]
pub struct AttemptRow {
    /// Generation it belongs to.
    pub generation: i32,
    /// Its number.
    pub attempt: i32,
    /// The model called.
    pub model: String,
    /// running, ok, failed, lost, released, superseded or cancelled.
    pub outcome: String,
    /// Whether it counts.
    pub charged: bool,
    /// A fixed word for its failure.
    pub error_class: Option<String>,
    /// Its failure in words.
    pub error: Option<String>,
    /// When its call was granted.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Tokens asked.
    pub input_tokens: Option<i64>,
    /// Tokens answered.
    pub output_tokens: Option<i64>,
    /// Micro-dollars.
    pub cost_microusd: Option<i64>,
    /// Milliseconds of the call.
    pub latency_ms: Option<i32>,
}

/// Why a task waits.
#[derive(Clone, Debug, Serialize)]
pub struct WaitRow {
    /// The task.
    pub task_id: Uuid,
    /// Where it stands.
    pub state: String,
    /// Why.
    pub reason: String,
    /// Until when, as far as that is known.
    pub until: Option<DateTime<Utc>>,
    /// What sort of reason: run, worker, budget, worker_limit, pacing, models, better_model or turn.
    /// `None`: it is not ready.
    pub kind: Option<String>,
    /// Tasks of its lane that come before it.
    pub ahead: i64,
    /// Input tokens of its prompt, estimated.
    pub est_tokens: i32,
    /// How it takes its fallbacks: auto, ladder, spread or patient.
    pub policy: Option<String>,
    /// How long it waits for a better model, in milliseconds.
    pub patience_ms: Option<i32>,
    /// The models of its ladder, in order, as a claim would judge them for it now.
    pub ladder: Vec<RungRow>,
}

/// A model of a task's ladder, as a claim would judge it for this task.
#[derive(Clone, Debug, Serialize)]
pub struct RungRow {
    /// The model.
    pub model: String,
    /// Why it cannot take the task now. `None`: it has room for it.
    pub closed_by: Option<String>,
    /// Until when, as far as that is known.
    pub until: Option<DateTime<Utc>>,
    /// What the task needs of the limit that binds.
    pub need: Option<i64>,
    /// What is left of that.
    pub room: Option<i64>,
    /// How large that is.
    pub size: Option<i64>,
    /// It has room, and no better one is waited for.
    pub takable: bool,
    /// Tasks that wait for it as their first choice.
    pub waiting: i64,
    /// The first of those: what would start next on it, but for the fair share.
    pub next_task: Option<Uuid>,
}

impl Store {
    /// Tasks by filter, newest first.
    ///
    /// # Errors
    /// As every statement.
    pub async fn tasks(&self, filter: &TaskFilter, limit: i64) -> Result<Vec<TaskRow>, StoreError> {
        Ok(sqlx::query_as!(
            TaskRow,
            "select id, run_id, worker, component, item_id, category, tier, priority, model, fallback_models, model_used, state, attempts,
                    max_attempts, deferrals, rescues, claims, generation, run_at, created_at, started_at, finished_at, error_class,
                    last_error, est_tokens
               from tidegate.tasks
              where ($1::text is null or state = $1) and ($2::uuid is null or run_id = $2) and ($3::text is null or worker = $3)
                and ($4::smallint is null or tier = $4) and ($5::text is null or error_class = $5) and ($6::text is null or item_id = $6)
                and ($7::text is null or component = $7)
              order by id desc limit $8",
            filter.state,
            filter.run,
            filter.worker,
            filter.tier,
            filter.error_class,
            filter.item,
            filter.component,
            limit,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// One task.
    ///
    /// # Errors
    /// As every statement.
    pub async fn task(&self, id: Uuid) -> Result<Option<TaskRow>, StoreError> {
        Ok(sqlx::query_as!(
            TaskRow,
            "select id, run_id, worker, component, item_id, category, tier, priority, model, fallback_models, model_used, state, attempts,
                    max_attempts, deferrals, rescues, claims, generation, run_at, created_at, started_at, finished_at, error_class,
                    last_error, est_tokens
               from tidegate.tasks where id = $1",
            id
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// The attempts of a task, oldest first.
    ///
    /// # Errors
    /// As every statement.
    pub async fn attempts(&self, task: Uuid) -> Result<Vec<AttemptRow>, StoreError> {
        Ok(sqlx::query_as!(
            AttemptRow,
            r#"select a.generation as "generation!", a.attempt as "attempt!", coalesce(a.model, '') as "model!", a.outcome as "outcome!",
                      a.charged as "charged!", a.error_class, a.error, a.started_at as "started_at!", a.finished_at,
                      c.input_tokens, c.output_tokens, c.cost_microusd,
                      case when c.batch_id is null then c.latency_ms end as latency_ms
                 from tidegate.task_attempts a
                 left join tidegate.calls c on c.id = a.call_id and c.started_at = a.started_at
                where a.task_id = $1 order by a.started_at, a.epoch"#,
            task
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// The answer of a task, byte for byte.
    ///
    /// # Errors
    /// As every statement.
    pub async fn answer(&self, task: Uuid) -> Result<Option<Box<RawValue>>, StoreError> {
        let text = sqlx::query_scalar!(
            "select answer from tidegate.task_results where task_id = $1 order by generation desc limit 1",
            task
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(text.and_then(|text| RawValue::from_string(text).ok()))
    }

    /// Why a task waits, its own needs included. `None`: it does not wait.
    ///
    /// # Errors
    /// As every statement.
    pub async fn why(&self, task: Uuid) -> Result<Option<WaitRow>, StoreError> {
        let row = sqlx::query!(
            r#"select t.id, t.state, t.est_tokens, w.o_reason as "reason!", w.o_until as until, w.o_kind as kind,
                      case when n.ladder <> '{}' then n.policy end as policy, case when n.ladder <> '{}' then n.patience_ms end as patience_ms,
                      (select count(*) from tidegate.ready r
                        where r.lane = t.lane and (r.priority > t.priority or (r.priority = t.priority and r.id < t.id))
                          and t.state = 'ready') as "ahead!"
                 from tidegate.why_v1($1) w
                 join tidegate.tasks t on t.id = $1
                 join tidegate.lanes n on n.lane = t.lane"#,
            task
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        Ok(Some(WaitRow {
            task_id: row.id,
            state: row.state,
            reason: row.reason,
            until: row.until,
            kind: row.kind,
            ahead: row.ahead,
            est_tokens: row.est_tokens,
            policy: row.policy,
            patience_ms: row.patience_ms,
            ladder: self.rungs(task).await?,
        }))
    }

    async fn rungs(&self, task: Uuid) -> Result<Vec<RungRow>, StoreError> {
        Ok(sqlx::query_as!(
            RungRow,
            r#"select o_model as "model!", o_closed_by as closed_by, o_until as until, o_need as need, o_room as room, o_size as size,
                      o_takable as "takable!", o_waiting as "waiting!", o_next as next_task
                 from tidegate.task_rungs_v1($1) order by o_rung"#,
            task
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
