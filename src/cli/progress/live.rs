//! Where runs stand while they are worked, gathered so that watching costs little: the kept counts at every
//! look, and what reads each task or call no more often than it takes a twentieth of the time.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::pace::look_rest;
use crate::cli::{CliError, memory};
use crate::client::{BindingLimit, Expected, expected};
use crate::store::{
    Store, StoreError,
    model::ModelStatus,
    report::{Calls, Groups, Stand, TierStand},
    stats::CallCount,
};

/// Categories told one by one; the rest stands together.
const CATEGORIES: i32 = 8;

/// Looks again and again.
pub(super) struct Watched {
    store: Store,
    runs: Vec<Uuid>,
    models: Vec<String>,
    began: Instant,
    first: Option<First>,
    groups: Look<Groups>,
    calls: Look<Calls>,
    ahead: Look<Ahead>,
}

/// What had been done when the watch began.
#[derive(Clone, Copy, Debug)]
struct First {
    ended: i64,
    tokens: i64,
}

/// What is ahead, and what is closed.
#[derive(Clone, Debug)]
struct Ahead {
    expected: Expected,
    closed: Vec<ModelStatus>,
}

/// The last answer to a question that is dear, and when it may be asked again.
#[derive(Debug)]
struct Look<T> {
    told: Option<(Instant, T)>,
    rests_until: Option<Instant>,
}

/// Where the runs stand now.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Live {
    /// The run; of several the first.
    pub(super) run_id: Option<Uuid>,
    /// Seconds since the watch began.
    pub(super) elapsed_seconds: f64,
    /// Its tiers and their sum are of this moment, components and categories as of the last look.
    #[serde(flatten)]
    pub(super) groups: Groups,
    /// As of the last look.
    #[serde(flatten)]
    pub(super) calls: CallCount,
    /// Tokens asked and answered per second, since the watch began.
    pub(super) tokens_per_second: f64,
    /// Items ended per hour, since the watch began.
    pub(super) items_per_hour: f64,
    /// Seconds until the last answer, under present limits; of local work at this pace. `None`: nobody
    /// knows, or somebody must act.
    pub(super) eta_seconds: Option<f64>,
    /// Some of it stands in a batch or is held for one, and it is not known how long that takes.
    pub(super) is_batch_end_unknown: bool,
    /// What holds it back for the longest time.
    pub(super) binding: Option<BindingLimit>,
    /// Models that are closed now, why and for how long.
    pub(super) closed: Vec<Closed>,
    /// What this process holds.
    pub(super) memory_bytes: Option<u64>,
    /// The most it held.
    pub(super) memory_peak_bytes: Option<u64>,
    /// Seconds since tasks were grouped, and calls summed up: as old as that is what they say.
    pub(super) groups_age_seconds: f64,
    pub(super) calls_age_seconds: f64,
    /// The run goes on.
    #[serde(rename = "final")]
    pub(super) is_final: bool,
}

/// A model that is closed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Closed {
    /// Its name.
    pub(super) model: String,
    /// Why.
    pub(super) reason: String,
    /// For so long. `None`: nobody knows.
    pub(super) wait_seconds: Option<f64>,
    /// Until a person opens it.
    pub(super) is_parked: bool,
}

impl Watched {
    pub(super) fn of(store: &Store, runs: Vec<Uuid>, models: Vec<String>) -> Self {
        Self {
            store: store.clone(),
            runs,
            models,
            began: Instant::now(),
            first: None,
            groups: Look::new(),
            calls: Look::new(),
            ahead: Look::new(),
        }
    }

    /// Looks once.
    pub(super) async fn look(&mut self) -> Result<Live, CliError> {
        let (store, runs) = (&self.store, &self.runs);
        let tiers = store.tier_stands(runs).await?;
        let groups = async || store.run_groups(runs, CATEGORIES).await;
        self.groups.again(groups).await?;
        self.calls
            .again(async || store.run_calls(runs).await)
            .await?;
        let models = &self.models;
        let ahead = async || {
            let status = store.model_status(Some(models)).await?;
            Ok(Ahead {
                expected: expected(store).await?,
                closed: status
                    .into_iter()
                    .filter(|it| it.closed_by.is_some())
                    .collect(),
            })
        };
        self.ahead.again(ahead).await?;
        Ok(self.told(tiers))
    }

    fn told(&mut self, tiers: Vec<TierStand>) -> Live {
        let (groups_age, groups) = self.groups.last();
        let (calls_age, calls) = self.calls.last();
        let (_, ahead) = self.ahead.last();
        let sum = Stand::sum(tiers.iter().map(|it| &it.stand));
        let tokens = calls
            .as_ref()
            .map_or(0, |it| it.all.input_tokens + it.all.output_tokens);
        let first = *self.first.get_or_insert(First {
            ended: sum.ended(),
            tokens,
        });
        let elapsed = self.began.elapsed();
        let per_second =
            |new: i64, within: Duration| new.max(0) as f64 / within.as_secs_f64().max(1.0);
        let pace = per_second(sum.ended() - first.ended, elapsed);
        let left = sum.total - sum.ended();
        let foreseen = ahead.as_ref().map(|it| {
            let of_ours = it
                .expected
                .runs
                .iter()
                .filter(|run| self.runs.contains(&run.run_id));
            of_ours.map(|run| run.seconds).collect::<Vec<_>>()
        });
        let is_batch_end_unknown = left > 0
            && ahead.as_ref().is_some_and(|it| {
                let ours = |run: &Uuid| it.expected.run(*run);
                let mut runs = self.runs.iter().filter_map(ours);
                runs.any(|run| run.is_batch_end_unknown)
            });
        let eta_seconds = match foreseen {
            _ if left == 0 => None,
            Some(runs) if !runs.is_empty() => runs
                .into_iter()
                .collect::<Option<Vec<f64>>>()
                .map(|all| all.into_iter().fold(0.0, f64::max)),
            // nothing of it waits for a model: at its own pace
            _ => (pace > 0.0).then(|| left as f64 / pace),
        };
        let is_held = eta_seconds.is_some();
        Live {
            run_id: self.runs.first().copied(),
            elapsed_seconds: elapsed.as_secs_f64(),
            tokens_per_second: per_second(tokens - first.tokens, elapsed.saturating_sub(calls_age)),
            items_per_hour: pace * 3600.0,
            eta_seconds,
            is_batch_end_unknown,
            binding: ahead
                .as_ref()
                .filter(|_| is_held)
                .and_then(|it| it.expected.binding.clone()),
            closed: ahead
                .iter()
                .flat_map(|it| &it.closed)
                .map(Closed::of)
                .collect(),
            memory_bytes: memory::held_kb(std::process::id()).map(|kb| kb * 1024),
            memory_peak_bytes: memory::peak_kb(std::process::id()).map(|kb| kb * 1024),
            groups_age_seconds: groups_age.as_secs_f64(),
            calls_age_seconds: calls_age.as_secs_f64(),
            groups: Groups {
                tiers,
                sum,
                ..groups.unwrap_or_default()
            },
            calls: calls.map(|it| it.all).unwrap_or_default(),
            is_final: false,
        }
    }
}

impl<T: Clone> Look<T> {
    fn new() -> Self {
        Self {
            told: None,
            rests_until: None,
        }
    }

    /// Asks, unless it was asked so lately that it would take more than its share of the time.
    async fn again(
        &mut self,
        ask: impl AsyncFnOnce() -> Result<T, StoreError>,
    ) -> Result<(), StoreError> {
        let began = Instant::now();
        if self.rests_until.is_some_and(|until| began < until) {
            return Ok(());
        }
        let told = ask().await;
        let now = Instant::now();
        // one that fails takes its time too
        self.rests_until = Some(now + look_rest(now - began));
        self.told = Some((now, told?));
        Ok(())
    }

    fn last(&self) -> (Duration, Option<T>) {
        match &self.told {
            Some((at, told)) => (at.elapsed(), Some(told.clone())),
            None => (Duration::ZERO, None),
        }
    }
}

impl Closed {
    fn of(model: &ModelStatus) -> Self {
        let reason = model.closed_by.clone().unwrap_or_default();
        Self {
            model: model.model.clone(),
            is_parked: reason.starts_with("model parked") || reason.starts_with("provider parked"),
            reason,
            wait_seconds: model.wait_seconds,
        }
    }
}
