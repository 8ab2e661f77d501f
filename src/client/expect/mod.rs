//! When what waits will be done, at what cost, and what holds it back: the forecast of `route` over
//! what the store says.

mod ahead;
mod limits;

use serde::Serialize;
use uuid::Uuid;

use crate::{
    definition::Definition,
    route::forecast::{Forecast, RunForecast, forecast},
    store::{
        Store, StoreError,
        dry_run::LaneOutlook,
        forecast::{ByBatchRow, LaneRow, RunRow},
        model::ModelRow,
    },
};

use super::Outlook;
use ahead::Gathered;

/// What is to be expected under present limits, if nothing fails and nothing comes.
#[derive(Clone, Debug, Serialize)]
pub struct Expected {
    /// Per active run that holds anything.
    pub runs: Vec<ExpectedRun>,
    /// What holds tasks back for the longest time. `None`: nothing does.
    pub binding: Option<BindingLimit>,
    /// Calls to come, by model; models without any are left out.
    pub calls: Vec<ModelCalls>,
}

/// What is to be expected of a run.
#[derive(Clone, Debug, Serialize)]
pub struct ExpectedRun {
    /// The run; of one that is only planned all zeros.
    pub run_id: Uuid,
    /// Seconds until its last answer. `None`: not before a person acts, or see `is_batch_end_unknown`.
    pub seconds: Option<f64>,
    /// Micro-dollars of what waits. `None`: a price is not known.
    pub cost_microusd: Option<u64>,
    /// Some of it stands in a batch or is held for one, and it is not known how long that takes.
    pub is_batch_end_unknown: bool,
}

/// The limit that binds.
#[derive(Clone, Debug, Serialize)]
pub struct BindingLimit {
    /// The model whose calls wait. `None`: all wait for it, as for a budget or free slots.
    pub model: Option<String>,
    /// In words: `requests per minute`.
    pub limit: String,
    /// For how many seconds.
    pub seconds: f64,
}

/// Calls of a model to come.
#[derive(Clone, Debug, Serialize)]
pub struct ModelCalls {
    /// The model.
    pub model: String,
    /// How many.
    pub calls: u64,
}

/// A run that is not made yet.
#[derive(Clone, Copy, Debug)]
pub struct Planned<'a> {
    /// What it is made by.
    pub definition: &'a Definition,
    /// What its source came to.
    pub outlook: &'a Outlook,
    /// Models of tidegate.toml, for those that the database does not know.
    pub models: &'a [ModelRow],
}

/// What is to be expected of all that waits.
///
/// # Errors
/// As every statement.
pub async fn expected(store: &Store) -> Result<Expected, StoreError> {
    let gathered = Gathered::of(store.ahead(&[]).await?);
    Ok(Expected::of(&gathered))
}

/// The same, with a run that is only planned; it is the last.
///
/// # Errors
/// As every statement.
pub async fn expected_with(store: &Store, planned: &Planned<'_>) -> Result<Expected, StoreError> {
    expected_instead(store, None, planned).await
}

/// The same, where what is planned takes the place of what waits of this run.
///
/// # Errors
/// As every statement.
pub async fn expected_instead(
    store: &Store,
    run: Option<Uuid>,
    planned: &Planned<'_>,
) -> Result<Expected, StoreError> {
    let mut rows = store.ahead(&planned.definition.models()).await?;
    rows.lanes.retain(|lane| Some(lane.run) != run);
    rows.runs.retain(|it| Some(it.id) != run);
    rows.by_batch.retain(|it| Some(it.run) != run);
    let mut gathered = Gathered::of(rows);
    gathered.plan(planned);
    Ok(Expected::of(&gathered))
}

/// The same, with these tasks put back where they were.
///
/// # Errors
/// As every statement.
pub async fn expected_back(store: &Store, lanes: &[LaneOutlook]) -> Result<Expected, StoreError> {
    let names: Vec<String> = lanes.iter().flat_map(|lane| lane.models.clone()).collect();
    let mut rows = store.ahead(&names).await?;
    let asking = lanes.iter().filter(|lane| !lane.ladder.is_empty());
    for lane in asking.filter(|lane| lane.tasks > lane.cached) {
        if !rows.runs.iter().any(|run| run.id == lane.run) {
            rows.runs.push(RunRow {
                id: lane.run,
                worker: lane.worker.clone(),
                weight: lane.weight,
                mix: lane.mix.clone(),
                in_flight: 0,
            });
        }
        rows.lanes.push(LaneRow {
            run: lane.run,
            tier: lane.tier,
            component_priority: lane.component_priority,
            ladder: lane.ladder.clone(),
            policy: lane.policy.clone(),
            patience_ms: lane.patience_ms,
            tasks: (lane.tasks - lane.cached).unsigned_abs(),
            pack: lane.pack,
            input: Some(lane.input_tokens as f64 / (lane.tasks - lane.cached).max(1) as f64),
            output: lane.output.clone(),
        });
    }
    Ok(Expected::of(&Gathered::of(rows)))
}

impl Expected {
    /// Of one run.
    pub fn run(&self, run: Uuid) -> Option<&ExpectedRun> {
        self.runs.iter().find(|it| it.run_id == run)
    }

    fn of(gathered: &Gathered) -> Self {
        let Forecast {
            runs,
            calls,
            binding,
        } = forecast(&gathered.ahead);
        let names = gathered.models.iter();
        let binding = binding.map(|it| BindingLimit {
            model: gathered.of_model[it.pool].then(|| gathered.models[it.model].clone()),
            limit: gathered.words[it.pool].clone(),
            seconds: it.seconds,
        });
        Self {
            runs: gathered
                .runs
                .iter()
                .zip(runs)
                .map(|(run, it)| of_run(*run, it, &gathered.by_batch))
                .collect(),
            binding,
            calls: names
                .zip(calls)
                .filter(|(_, calls)| *calls > 0)
                .map(|(model, calls)| ModelCalls {
                    model: model.clone(),
                    calls,
                })
                .collect(),
        }
    }
}

/// A run ends with the later of what is asked singly and what goes by batch.
fn of_run(run: Uuid, singly: RunForecast, by_batch: &[ByBatchRow]) -> ExpectedRun {
    let ours = || by_batch.iter().filter(|it| it.run == run);
    let batches = ours().try_fold(0.0, |all, it| Some(f64::max(all, it.seconds?)));
    let cost = ours().map(|it| it.cost).sum::<Option<u64>>();
    ExpectedRun {
        run_id: run,
        seconds: singly
            .seconds
            .zip(batches)
            .map(|(singly, batches)| singly.max(batches)),
        cost_microusd: singly
            .cost_microusd
            .zip(cost)
            .map(|(singly, cost)| singly.saturating_add(cost)),
        is_batch_end_unknown: singly.seconds.is_some() && batches.is_none(),
    }
}
