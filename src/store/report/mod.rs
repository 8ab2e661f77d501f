//! What runs came to: how their tasks stand, what their calls came to, and the report that is kept when a
//! run ends, so that it can be read when its calls and tasks are gone.

mod read;
pub mod savings;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use self::savings::Saved;
use super::stats::{CallCount, Failure, ModelCount};

/// Where some tasks stand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stand {
    /// Tasks.
    pub total: i64,
    /// Blocked, scheduled or ready.
    pub waiting: i64,
    /// Running or in a batch.
    pub running: i64,
    /// The part of these that is in a batch.
    pub in_batch: i64,
    /// Answered.
    pub done: i64,
    /// Failed.
    pub failed: i64,
    /// Cancelled.
    pub cancelled: i64,
    /// Done of those that are done or failed, from 0 to 1. `None`: none is.
    pub success_rate: Option<f64>,
}

impl Stand {
    /// Done, failed or cancelled.
    pub fn ended(&self) -> i64 {
        self.done + self.failed + self.cancelled
    }

    /// All of these together.
    pub fn sum<'a>(parts: impl Iterator<Item = &'a Self>) -> Self {
        let mut sum = parts.fold(Self::default(), |sum, it| Self {
            total: sum.total + it.total,
            waiting: sum.waiting + it.waiting,
            running: sum.running + it.running,
            in_batch: sum.in_batch + it.in_batch,
            done: sum.done + it.done,
            failed: sum.failed + it.failed,
            cancelled: sum.cancelled + it.cancelled,
            success_rate: None,
        });
        sum.success_rate = success_rate(sum.done, sum.failed);
        sum
    }
}

fn success_rate(done: i64, failed: i64) -> Option<f64> {
    (done + failed > 0).then(|| done as f64 / (done + failed) as f64)
}

/// Where the tasks of a tier stand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TierStand {
    /// The tier.
    pub tier: i16,
    /// Its tasks.
    #[serde(flatten)]
    pub stand: Stand,
}

/// Where the tasks of a component stand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ComponentStand {
    /// The component; empty: the worker is one step.
    pub component: String,
    /// Its tasks.
    #[serde(flatten)]
    pub stand: Stand,
}

/// Where the tasks of a category stand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CategoryStand {
    /// The category. `None`: items without one.
    pub category: Option<String>,
    /// Its tasks.
    #[serde(flatten)]
    pub stand: Stand,
}

/// Where the tasks of all other categories stand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OtherCategories {
    /// How many categories.
    pub categories: i64,
    /// Their tasks.
    #[serde(flatten)]
    pub stand: Stand,
}

/// How the tasks of some runs stand, grouped.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Groups {
    /// All of them.
    #[serde(flatten)]
    pub sum: Stand,
    /// Tasks answered by another model than their primary.
    pub fallbacks: i64,
    /// Tasks answered from the cache, without a call.
    pub cache_hits: i64,
    /// By tier.
    pub tiers: Vec<TierStand>,
    /// By component.
    pub components: Vec<ComponentStand>,
    /// The largest categories, by size. Empty: the source has none.
    pub categories: Vec<CategoryStand>,
    /// The rest of the categories.
    pub other_categories: Option<OtherCategories>,
    /// Which models answered, by tier.
    pub models: Vec<ModelCount>,
}

/// What the calls to a model came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelCalls {
    /// The model.
    pub model: String,
    /// The sums.
    #[serde(flatten)]
    pub sum: CallCount,
    /// Calls that brought no accepted answer, by class of failure.
    pub failed_by_class: std::collections::BTreeMap<String, i64>,
}

/// What the calls of some runs came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Calls {
    /// In all.
    pub all: CallCount,
    /// By model.
    pub by_model: Vec<ModelCalls>,
}

/// A process that worked for a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WhoWorked {
    /// Its id: one per start.
    pub process_id: Uuid,
    /// work, run or ask. `None`: it was forgotten before the report was made.
    pub role: Option<String>,
    /// Where it ran.
    pub host: Option<String>,
    /// Its process number there.
    pub pid: Option<i32>,
    /// Calls it made.
    pub calls: i64,
    /// Tasks it brought to their end.
    pub done: i64,
}

/// All figures of some runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// How their tasks stand.
    #[serde(flatten)]
    pub groups: Groups,
    /// What their calls came to.
    #[serde(flatten)]
    pub calls: CallCount,
    /// The same by model.
    pub calls_by_model: Vec<ModelCalls>,
    /// Why tasks failed, most first.
    pub failures: Vec<Failure>,
    /// Who worked, most first.
    pub processes: Vec<WhoWorked>,
}

/// A run in full.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunReport {
    /// Its id.
    pub run_id: Uuid,
    /// The worker's name.
    pub worker: String,
    /// The worker's version.
    pub version: Option<String>,
    /// loading, active, paused, done or cancelled.
    pub state: String,
    /// Where its items came from.
    pub source: String,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// When its source was read and ranked.
    pub loaded_at: Option<DateTime<Utc>>,
    /// When nothing of it was left.
    pub finished_at: Option<DateTime<Utc>>,
    /// Items of the source.
    pub items_total: i64,
    /// Items that waited in another run.
    pub items_skipped: i64,
    /// Items of which no prompt could be made.
    pub items_refused: i64,
    /// Seconds from its beginning to its end, or to now.
    pub seconds: f64,
    /// The same from when it was loaded. `None`: it is not.
    pub working_seconds: Option<f64>,
    /// When these figures were taken.
    pub made_at: DateTime<Utc>,
    /// The run has ended: these figures stay.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// The figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// What single calls and batches came to. `None`: nothing was chosen, it only ever asked one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<Saved>,
}
