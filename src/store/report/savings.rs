//! What choosing between single calls and batches came to, beside always the one and always the other. How
//! saved is meant says `23_savings.sql`; `None`: not known, and never 0.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::store::{Store, StoreError};

/// What single calls and batches of a run came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Saved {
    /// Calls that asked singly; a pack is one.
    pub individual_calls: i64,
    /// Tasks asked so.
    pub individual_items: i64,
    /// Tasks answered so.
    pub individual_items_answered: i64,
    /// Micro-dollars, those under way at their worst.
    pub individual_cost_microusd: Option<i64>,
    /// Batches at providers.
    pub batches: i64,
    /// Tasks asked by them.
    pub batch_items: i64,
    /// Tasks answered by them.
    pub batch_items_answered: i64,
    /// Asked by them, and not yet back.
    pub batch_items_open: i64,
    /// Micro-dollars, those under way at their worst.
    pub batch_cost_microusd: Option<i64>,
    /// Milliseconds from when the run was loaded to its end.
    pub took_ms: Option<i64>,
    /// What all would have taken singly.
    pub individual_takes_ms: Option<i64>,
    /// What a batch of all would have taken.
    pub batch_takes_ms: Option<i64>,
    /// Micro-dollars less than had all been asked singly.
    pub money_saved_against_individual_microusd: Option<i64>,
    /// The same, had all been asked by batch.
    pub money_saved_against_batch_microusd: Option<i64>,
    /// Milliseconds less than had all been asked singly.
    pub time_saved_against_individual_ms: Option<i64>,
    /// The same, had all been asked by batch.
    pub time_saved_against_batch_ms: Option<i64>,
    /// How often it was chosen.
    pub decisions: i64,
    /// The newest 20 of these choices.
    pub last_decisions: Vec<Decided>,
}

/// A choice, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// When.
    pub at: DateTime<Utc>,
    /// The component; empty: the worker is one step.
    pub component: String,
    /// The model that it is about.
    pub model: String,
    /// Tasks that waited.
    pub items: i64,
    /// individual, batch or hybrid.
    pub strategy: String,
    /// How many of them go singly.
    pub singles: i64,
    /// Why.
    pub reason: String,
}

/// What was saved on a day (UTC), of a worker and a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SavedRow {
    /// The day.
    pub day: NaiveDate,
    /// The worker.
    pub worker: String,
    /// The model.
    pub model: String,
    /// As [`Saved`] has it, and so all that follow.
    pub individual_calls: i64,
    /// Tasks asked singly.
    pub individual_items: i64,
    /// Tasks answered so.
    pub individual_items_answered: i64,
    /// What single calls cost.
    pub individual_cost_microusd: Option<i64>,
    /// Batches at providers.
    pub batches: i64,
    /// Tasks asked by them.
    pub batch_items: i64,
    /// Tasks answered by them.
    pub batch_items_answered: i64,
    /// Asked by them, and not yet back.
    pub batch_items_open: i64,
    /// What they cost.
    pub batch_cost_microusd: Option<i64>,
    /// Micro-dollars less than had all been asked singly.
    pub money_saved_against_individual_microusd: Option<i64>,
    /// The same, had all been asked by batch.
    pub money_saved_against_batch_microusd: Option<i64>,
    /// Milliseconds less than had all been asked singly.
    pub time_saved_against_individual_ms: Option<i64>,
    /// The same, had all been asked by batch.
    pub time_saved_against_batch_ms: Option<i64>,
}

impl Store {
    /// What was saved on each of the last so many days (UTC, today is one), the newest first. Reads each call
    /// of runs in which it was chosen.
    ///
    /// # Errors
    /// As every statement.
    pub async fn savings(&self, days: i32) -> Result<Vec<SavedRow>, StoreError> {
        Ok(sqlx::query_as!(
            SavedRow,
            r#"select day as "day!", worker as "worker!", model as "model!", individual_calls as "individual_calls!",
                      individual_items as "individual_items!", individual_items_answered as "individual_items_answered!",
                      individual_cost_microusd, batches as "batches!", batch_items as "batch_items!",
                      batch_items_answered as "batch_items_answered!", batch_items_open as "batch_items_open!", batch_cost_microusd,
                      money_saved_against_individual_microusd, money_saved_against_batch_microusd,
                      time_saved_against_individual_ms, time_saved_against_batch_ms
                 from tidegate.strategy_savings where day > (now() at time zone 'utc')::date - $1::int order by day desc, worker, model"#,
            days
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
