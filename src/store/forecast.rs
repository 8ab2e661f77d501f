//! What a forecast looks at: what waits, as counts, and the limits, models and runs it waits for.

use serde::Deserialize;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Store, StoreError};

/// What waits in active runs and what it may use, at one moment of the database's clock.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct AheadRows {
    /// Limits of the models, of the runs' workers, of the runs, and of the day.
    pub limits: Vec<LimitRow>,
    /// Models of all ladders.
    pub models: Vec<ModelRow>,
    /// Active runs that hold anything.
    pub runs: Vec<RunRow>,
    /// Their lanes.
    pub lanes: Vec<LaneRow>,
    /// What of them stands in batches or is held for one.
    pub by_batch: Vec<ByBatchRow>,
    /// Calls that the living processes make at once. `None`: there are none.
    pub slots: Option<u64>,
}

/// A limit with what was used of it.
#[derive(Clone, Debug, Deserialize)]
pub struct LimitRow {
    /// As `tidegate.limits.dimension` says.
    pub dimension: String,
    /// As `tidegate.limits.window_kind` says.
    pub window: String,
    /// How much there may be.
    pub size: u64,
    /// How many may start at once.
    pub burst: Option<u64>,
    /// In milliseconds.
    pub guard_ms: u32,
    /// Seconds since the last interactive call.
    pub interactive_ago: Option<f64>,
    /// Of a day: seconds until it ends.
    pub day_ends_in: Option<f64>,
    /// The worker whose calls at once it bounds.
    pub worker: Option<String>,
    /// The run whose budget it is.
    pub run: Option<Uuid>,
    /// Numbers of the models that it bounds.
    pub models: Vec<i32>,
    /// How much was used how many seconds ago, by whole seconds; of a window other than a minute in one.
    pub used: Vec<(f64, i64)>,
}

/// A model.
#[derive(Clone, Debug, Deserialize)]
pub struct ModelRow {
    /// Its number.
    pub id: i32,
    /// Its name.
    pub model: String,
    /// Its provider entry.
    pub provider: String,
    /// It or its provider is parked.
    pub parked: bool,
    /// Seconds until its cooldown ends.
    pub cooling: Option<f64>,
    /// Mean seconds of its answers in the last hour.
    pub latency: Option<f64>,
    /// Micro-dollars per million input tokens.
    pub input_price: Option<u64>,
    /// Micro-dollars per million output tokens.
    pub output_price: Option<u64>,
}

/// An active run.
#[derive(Clone, Debug, Deserialize)]
pub struct RunRow {
    /// Its id.
    pub id: Uuid,
    /// Its worker.
    pub worker: String,
    /// Its share beside others.
    pub weight: f64,
    /// The share of each tier.
    pub mix: Vec<f64>,
    /// Calls under way.
    pub in_flight: u64,
}

/// What waits in a lane.
#[derive(Clone, Debug, Deserialize)]
pub struct LaneRow {
    /// Its run.
    pub run: Uuid,
    /// Its tier.
    pub tier: usize,
    /// Lower goes first.
    pub component_priority: i32,
    /// Numbers of its models.
    pub ladder: Vec<i32>,
    /// As `tidegate.lanes.policy` says.
    pub policy: String,
    /// In milliseconds.
    pub patience_ms: u32,
    /// How many.
    pub tasks: u64,
    /// How many travel together in a call.
    pub pack: u64,
    /// Mean input tokens. `None`: nothing of it is ready yet.
    pub input: Option<f64>,
    /// Output tokens that are reserved, per rung.
    pub output: Vec<f64>,
}

/// What of a run stands in a batch, or a lane that is held for one.
#[derive(Clone, Debug, Deserialize)]
pub struct ByBatchRow {
    /// The run.
    pub run: Uuid,
    /// Seconds until it should be back. `None`: no batch of the model was seen, or this one takes longer than most.
    pub seconds: Option<f64>,
    /// Micro-dollars of what is not in a batch yet. `None`: a price is not known.
    pub cost: Option<u64>,
}

impl Store {
    /// What waits and what it may use; `models` are looked at too, as far as they are known. Reads kept
    /// counts, so that it costs the same for ten tasks and ten million.
    ///
    /// # Errors
    /// As every statement.
    pub async fn ahead(&self, models: &[String]) -> Result<AheadRows, StoreError> {
        let row = sqlx::query_file_scalar!("src/store/sql/ahead.sql", models)
            .fetch_one(&self.pool)
            .await?;
        Ok(row.0)
    }
}
