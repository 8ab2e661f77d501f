//! Numbers for progress and summaries: one statement each, for the runs that are watched.

use serde::Serialize;
use uuid::Uuid;

use super::{Store, StoreError};

/// Where the tasks of some runs stand, by tier.
#[derive(Clone, Debug, Serialize)]
pub struct TierCount {
    /// The tier.
    pub tier: i16,
    /// Its tasks.
    pub total: i64,
    /// Blocked, scheduled or ready.
    pub waiting: i64,
    /// Running or in a batch.
    pub running: i64,
    /// Answered.
    pub done: i64,
    /// Failed.
    pub failed: i64,
    /// Cancelled.
    pub cancelled: i64,
}

/// How often each model answered, by tier.
#[derive(Clone, Debug, Serialize)]
pub struct ModelCount {
    /// The tier.
    pub tier: i16,
    /// The model.
    pub model: String,
    /// Tasks it answered.
    pub done: i64,
    /// Whether it is the tier's primary for those tasks.
    pub primary: bool,
}

/// What the calls of some runs came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CallCount {
    /// Calls sent.
    pub calls: i64,
    /// Calls that brought an accepted answer.
    pub ok: i64,
    /// Calls refused by a limit.
    pub rate_limited: i64,
    /// Calls whose outcome is not known (yet).
    pub open: i64,
    /// Attempts beyond the first.
    pub retries: i64,
    /// Tokens asked.
    pub input_tokens: i64,
    /// Tokens answered, thinking included.
    pub output_tokens: i64,
    /// Micro-dollars, estimates included.
    pub cost_microusd: i64,
    /// The part of it that is estimated.
    pub cost_estimated_microusd: i64,
    /// Some call went to a model without a known price.
    pub price_unknown: bool,
}

impl Store {
    /// Where the tasks of these runs stand, by tier.
    ///
    /// # Errors
    /// As every statement.
    pub async fn tier_counts(&self, runs: &[Uuid]) -> Result<Vec<TierCount>, StoreError> {
        Ok(sqlx::query_as!(
            TierCount,
            r#"select tier, count(*) as "total!",
                      count(*) filter (where state in ('blocked', 'scheduled', 'ready')) as "waiting!",
                      count(*) filter (where state in ('running', 'in_batch')) as "running!",
                      count(*) filter (where state = 'done') as "done!",
                      count(*) filter (where state = 'failed') as "failed!",
                      count(*) filter (where state = 'cancelled') as "cancelled!"
                 from tidegate.tasks where run_id = any($1) group by tier order by tier"#,
            runs
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Which models answered the tasks of these runs.
    ///
    /// # Errors
    /// As every statement.
    pub async fn model_counts(&self, runs: &[Uuid]) -> Result<Vec<ModelCount>, StoreError> {
        Ok(sqlx::query_as!(
            ModelCount,
            r#"select tier, model_used as "model!", count(*) as "done!", (model_used = model) as "primary!"
                 from tidegate.tasks where run_id = any($1) and state = 'done' and model_used is not null
                group by tier, model_used, model order by tier, count(*) desc"#,
            runs
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// What the calls of these runs came to.
    ///
    /// # Errors
    /// As every statement.
    pub async fn call_counts(&self, runs: &[Uuid]) -> Result<CallCount, StoreError> {
        Ok(sqlx::query_as!(
            CallCount,
            r#"select count(*) filter (where c.sent) as "calls!",
                      count(*) filter (where c.outcome = 'ok') as "ok!",
                      count(*) filter (where c.outcome = 'rate_limited') as "rate_limited!",
                      count(*) filter (where c.ended_at is null and c.sent) as "open!",
                      count(*) filter (where c.attempt > 1 and c.sent) as "retries!",
                      coalesce(sum(c.input_tokens), 0)::bigint as "input_tokens!",
                      coalesce(sum(c.output_tokens + coalesce(c.thought_tokens, 0)), 0)::bigint as "output_tokens!",
                      coalesce(sum(case when not c.sent then 0 when c.ended_at is null then c.est_cost_microusd
                                        else coalesce(c.cost_microusd, 0) end), 0)::bigint as "cost_microusd!",
                      coalesce(sum(case when c.sent and c.ended_at is null then c.est_cost_microusd
                                        when c.cost_estimated then c.cost_microusd else 0 end), 0)::bigint as "cost_estimated_microusd!",
                      coalesce(bool_or(m.input_price_microusd is null), false) as "price_unknown!"
                 from tidegate.calls c join tidegate.models m on m.model = c.model
                where c.run_id = any($1)"#,
            runs
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Failed tasks of these runs, grouped by cause, most first.
    ///
    /// # Errors
    /// As every statement.
    pub async fn failures(&self, runs: &[Uuid]) -> Result<Vec<Failure>, StoreError> {
        Ok(sqlx::query_as!(
            Failure,
            r#"select coalesce(error_class, '') as "class!", sum(tasks)::bigint as "tasks!", coalesce(min(example), '') as "example!",
                      (array_agg(example_task))[1] as "task!"
                 from tidegate.failures where run_id = any($1) group by error_class order by sum(tasks) desc limit 10"#,
            runs
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// How many tasks wait for what, by run and tier.
    ///
    /// # Errors
    /// As every statement.
    pub async fn wait_counts(&self) -> Result<Vec<WaitCount>, StoreError> {
        Ok(sqlx::query_as!(
            WaitCount,
            r#"select run_id as "run_id!", worker as "worker!", tier as "tier!", state as "state!",
                      coalesce(reason, 'its turn') as "reason!", until, tasks as "tasks!"
                 from tidegate.wait_counts order by run_id, tier, state, tasks desc limit 200"#
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Processes alive: `(id, host, pid, role, slots, in flight, seconds since the last heartbeat)`.
    ///
    /// # Errors
    /// As every statement.
    pub async fn processes(&self) -> Result<Vec<ProcessRow>, StoreError> {
        Ok(sqlx::query_as!(
            ProcessRow,
            r#"select p.id, p.role, p.host, p.pid, p.slots,
                      (select count(*) from tidegate.running r where r.process_id = p.id) as "in_flight!",
                      extract(epoch from clock_timestamp() - p.heartbeat_at)::float8 as "silent_seconds!"
                 from tidegate.processes p
                where p.stopped_at is null and p.lost_at is null and p.lease_until > clock_timestamp() order by p.id"#
        )
        .fetch_all(&self.pool)
        .await?)
    }
}

/// Failed tasks of one cause.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// A fixed word.
    pub class: String,
    /// How many.
    pub tasks: i64,
    /// The reason of one of them.
    pub example: String,
    /// One of them.
    pub task: Uuid,
}

/// Tasks that wait for one reason.
#[derive(Clone, Debug, Serialize)]
pub struct WaitCount {
    /// Their run.
    pub run_id: Uuid,
    /// The worker's name.
    pub worker: String,
    /// Their tier.
    pub tier: i16,
    /// ready or scheduled.
    pub state: String,
    /// What for.
    pub reason: String,
    /// Until when, as far as that is known.
    pub until: Option<chrono::DateTime<chrono::Utc>>,
    /// How many.
    pub tasks: i64,
}

/// A process alive.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessRow {
    /// Its id: one per start.
    pub id: Uuid,
    /// work, run or ask.
    pub role: String,
    /// Where it runs.
    pub host: String,
    /// Its process number there.
    pub pid: i32,
    /// Calls it makes at once.
    pub slots: i32,
    /// Calls it makes now.
    pub in_flight: i64,
    /// Seconds since it was last heard of.
    pub silent_seconds: f64,
}
