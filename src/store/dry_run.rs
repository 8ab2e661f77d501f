//! What acts by hand would come to, before anything is done.

use serde::Deserialize;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Store, StoreError};

/// What tasks would ask.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct WouldAsk {
    /// How many.
    pub tasks: i64,
    /// Those that keep their answer: their sink would be applied again, without a call.
    pub by_sink: i64,
    /// Where they would wait.
    pub lanes: Option<Vec<LaneOutlook>>,
}

/// What tasks of a lane would ask.
#[derive(Clone, Debug, Deserialize)]
pub struct LaneOutlook {
    /// Its run.
    pub run: Uuid,
    /// The run's worker.
    pub worker: String,
    /// The run's share beside others.
    pub weight: f64,
    /// The share of each tier of the run.
    pub mix: Vec<f64>,
    /// Its tier.
    pub tier: usize,
    /// Its component.
    pub component: String,
    /// Lower goes first.
    pub component_priority: i32,
    /// Numbers of its models; empty: local work.
    pub ladder: Vec<i32>,
    /// Their names.
    pub models: Vec<String>,
    /// As `tidegate.lanes.policy` says.
    pub policy: String,
    /// In milliseconds.
    pub patience_ms: u32,
    /// How many tasks.
    pub tasks: i64,
    /// Those of them that the cache would answer.
    pub cached: i64,
    /// How many of them travel together in a call.
    pub pack: u64,
    /// Their input tokens.
    pub input_tokens: i64,
    /// Output tokens of a task, by model.
    pub output: Vec<f64>,
    /// Output tokens of all, by its first model.
    pub output_tokens: i64,
    /// Micro-dollars of all, by its first model. `None`: its price is not known.
    pub cost_microusd: Option<i64>,
}

impl Store {
    /// What putting these tasks back would come to.
    ///
    /// # Errors
    /// As every statement.
    pub async fn retry_outlook(&self, tasks: &[Uuid]) -> Result<WouldAsk, StoreError> {
        let row = sqlx::query_scalar!(
            r#"select tidegate.retry_outlook_v1($1) as "would!: Json<WouldAsk>""#,
            tasks
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(row.0)
    }

    /// What waits of a run, and what it would still ask.
    ///
    /// # Errors
    /// As every statement.
    pub async fn waiting_outlook(&self, run: Uuid) -> Result<WouldAsk, StoreError> {
        let row = sqlx::query_scalar!(
            r#"select tidegate.waiting_outlook_v1($1) as "would!: Json<WouldAsk>""#,
            run
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(row.0)
    }

    /// The components of a run, by name.
    ///
    /// # Errors
    /// As every statement.
    pub async fn components_of(&self, run: Uuid) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            "select distinct component from tidegate.lanes where run_id = $1 order by component",
            run
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
