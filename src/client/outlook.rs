//! What tasks would ask before anybody asks it: how many calls, tokens, micro-dollars, and how long it takes.

use serde::Serialize;

use super::{BindingLimit, Expected, ModelCalls, expected_back};
use crate::store::{
    Store, StoreError,
    dry_run::{LaneOutlook, WouldAsk},
};

/// What an act would come to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Would {
    /// Tasks that would wait for their turn.
    pub tasks: i64,
    /// Calls, if none fails: of several tasks that travel together one. Local work and what the cache
    /// answers ask nothing.
    pub calls: i64,
    /// Those of them that may carry several tasks.
    pub packs: i64,
    /// Tasks that the cache would answer. `None`: nobody can say before their prompts are rendered.
    pub cache_hits_expected: Option<i64>,
    /// Tasks that ask what another of them asks too: that is asked once. `None`: it was not looked at.
    pub equal: Option<i64>,
    /// Input tokens of the calls, estimated.
    pub input_tokens: i64,
    /// Output tokens of the calls, as far as answers of the past tell.
    pub output_tokens_expected: Option<i64>,
    /// Micro-dollars, by the first model of each task. `None`: a price is not known.
    pub cost_microusd_expected: Option<i64>,
    /// Seconds until the last answer under present limits, beside what waits already. `None`: nothing is
    /// called, or somebody must act.
    pub eta_seconds: Option<f64>,
    /// The limit that binds for the longest time.
    pub binding: Option<BindingLimit>,
    /// Calls by model, with those of what waits already.
    pub calls_by_model: Vec<ModelCalls>,
}

/// Gathers what tasks would ask, a chunk of them at a time.
#[derive(Clone, Debug, Default)]
pub struct Gathering {
    /// Their lanes, each once.
    pub lanes: Vec<LaneOutlook>,
    /// Tasks whose sink alone would be applied again.
    pub by_sink: i64,
}

impl Gathering {
    /// Adds these.
    pub fn add(&mut self, would: WouldAsk) {
        self.by_sink += would.by_sink;
        for new in would.lanes.unwrap_or_default() {
            let is_same = |it: &&mut LaneOutlook| {
                (it.run, it.tier, &it.component, &it.ladder)
                    == (new.run, new.tier, &new.component, &new.ladder)
            };
            let Some(it) = self.lanes.iter_mut().find(is_same) else {
                self.lanes.push(new);
                continue;
            };
            it.tasks += new.tasks;
            it.cached += new.cached;
            it.input_tokens += new.input_tokens;
            it.output_tokens += new.output_tokens;
            it.cost_microusd = it.cost_microusd.zip(new.cost_microusd).map(|(a, b)| a + b);
        }
    }

    /// What it comes to, when it is put beside what waits already.
    ///
    /// # Errors
    /// As every statement.
    pub async fn put_back(&self, store: &Store) -> Result<Would, StoreError> {
        let asks = self.lanes.iter().any(|lane| !lane.ladder.is_empty());
        let expected = match asks {
            true => Some(expected_back(store, &self.lanes).await?),
            false => None,
        };
        Ok(self.would(expected.as_ref()))
    }

    /// The same under this forecast.
    pub fn would(&self, expected: Option<&Expected>) -> Would {
        let asking = || self.lanes.iter().filter(|lane| !lane.ladder.is_empty());
        let sum = |part: fn(&LaneOutlook) -> i64| asking().map(part).sum::<i64>();
        let ends = expected.map(|expected| {
            let runs = expected.runs.iter();
            let ours = runs.filter(|run| asking().any(|lane| lane.run == run.run_id));
            ours.map(|run| run.seconds).collect::<Option<Vec<f64>>>()
        });
        let ends = ends.flatten().filter(|ends| !ends.is_empty());
        Would {
            tasks: self.lanes.iter().map(|lane| lane.tasks).sum(),
            calls: sum(calls),
            packs: sum(|lane| if lane.pack > 1 { calls(lane) } else { 0 }),
            equal: None,
            cache_hits_expected: Some(sum(|lane| lane.cached)),
            input_tokens: sum(|lane| lane.input_tokens),
            output_tokens_expected: Some(sum(|lane| lane.output_tokens)),
            cost_microusd_expected: asking().map(|lane| lane.cost_microusd).sum(),
            eta_seconds: ends.map(|ends| ends.into_iter().fold(0.0, f64::max)),
            binding: expected.and_then(|it| it.binding.clone()),
            calls_by_model: expected.map(|it| it.calls.clone()).unwrap_or_default(),
        }
    }
}

/// Calls of a lane.
fn calls(lane: &LaneOutlook) -> i64 {
    let asking = (lane.tasks - lane.cached).max(0).unsigned_abs();
    asking
        .div_ceil(lane.pack.max(1))
        .try_into()
        .unwrap_or(i64::MAX)
}
