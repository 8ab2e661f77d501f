//! What waits and what it may use, as counts and means.

use super::Pool;
use crate::route::{Policy, Prices};

/// All that a forecast looks at. Places in one list stand for its things in another.
#[derive(Clone, Debug, Default)]
pub struct Ahead {
    /// Limits, by what is left of them and how it comes back.
    pub pools: Vec<Pool>,
    /// Models of any ladder.
    pub models: Vec<ModelAhead>,
    /// Runs.
    pub runs: Vec<RunAhead>,
    /// Lanes with what waits in them.
    pub lanes: Vec<LaneAhead>,
}

/// One model.
#[derive(Clone, Debug)]
pub struct ModelAhead {
    /// Its provider entry.
    pub provider: String,
    /// Its limits.
    pub pools: Vec<usize>,
    /// Seconds until it may be called: 0 now, more in a cooldown. `None`: not before a person acts.
    pub opens_in: Option<f64>,
    /// Mean seconds of a call.
    pub latency: f64,
    /// What it costs, as far as that is known.
    pub prices: Prices,
}

/// One run.
#[derive(Clone, Debug)]
pub struct RunAhead {
    /// Its share beside other runs.
    pub weight: f64,
    /// The share of each tier; 1 where it does not say.
    pub mix: Vec<f64>,
    /// Limits of its worker, its budget, the budget of the day, the slots of the fleet.
    pub pools: Vec<usize>,
    /// Calls under way.
    pub in_flight: u64,
}

/// What waits in a lane.
#[derive(Clone, Debug)]
pub struct LaneAhead {
    /// Its run.
    pub run: usize,
    /// Its tier.
    pub tier: usize,
    /// Lower goes first.
    pub component_priority: i32,
    /// Models, the primary first.
    pub ladder: Vec<usize>,
    /// How its tasks take their fallbacks.
    pub policy: Policy,
    /// Seconds for which a better model is waited for.
    pub patience: f64,
    /// Tasks that wait.
    pub tasks: u64,
    /// How many of them travel together in a call; at least 1.
    pub pack: u64,
    /// Mean input tokens of one.
    pub input: f64,
    /// Mean output tokens, per rung.
    pub output: Vec<f64>,
}

impl LaneAhead {
    /// Calls that its tasks need: the last pack may be smaller.
    pub(super) fn calls(&self) -> u64 {
        self.tasks.div_ceil(self.pack.max(1))
    }

    /// Tasks of a call, on average.
    fn tasks_of_a_call(&self) -> f64 {
        self.tasks as f64 / self.calls().max(1) as f64
    }

    /// Input tokens of a call.
    pub(super) fn input_of_a_call(&self) -> f64 {
        self.input * self.tasks_of_a_call()
    }

    /// Output tokens of a call of a rung.
    pub(super) fn output_of_a_call(&self, rung: usize) -> f64 {
        self.output[rung] * self.tasks_of_a_call()
    }

    /// Micro-dollars of one call of a rung. `None`: a price is not known.
    pub(super) fn cost(&self, rung: usize, prices: Prices) -> Option<f64> {
        let (input, output) = (prices.input? as f64, prices.output? as f64);
        let of_tokens = self.input_of_a_call() * input + self.output_of_a_call(rung) * output;
        Some(of_tokens / 1e6)
    }
}
