//! Numbers for screens: who works, what waits for what, and what reports count by.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Store, StoreError};

/// How often each model answered, by tier.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallCount {
    /// Calls sent.
    pub calls: i64,
    /// Calls that brought an accepted answer.
    pub ok: i64,
    /// Calls that failed, refusals by a limit left out.
    pub calls_failed: i64,
    /// Calls refused by a limit.
    pub rate_limited: i64,
    /// Calls whose outcome is not known (yet).
    pub open: i64,
    /// Attempts beyond the first.
    pub retries: i64,
    /// Calls that asked for several items at once.
    pub packs: i64,
    /// Items of those.
    pub packed: i64,
    /// Items a pack. `None`: there was none.
    pub items_per_pack: Option<f64>,
    /// Tokens asked.
    pub input_tokens: i64,
    /// The part of them that came from the provider's prompt cache.
    pub cached_tokens: i64,
    /// Tokens answered, thinking included.
    pub output_tokens: i64,
    /// Micro-dollars, estimates included.
    pub cost_microusd: i64,
    /// The part of it that is estimated.
    pub cost_estimated_microusd: i64,
    /// Some call went to a model without a known price.
    pub price_unknown: bool,
    /// Mean milliseconds of the calls that brought an answer. `None`: none did.
    pub latency_ms_mean: Option<f64>,
}

impl Store {
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// A fixed word.
    pub class: String,
    /// How many.
    pub tasks: i64,
    /// The reason of the newest of them.
    pub example: String,
    /// The newest of them.
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
