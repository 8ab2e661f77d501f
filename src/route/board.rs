//! All that a claim looks at, at one moment, as values.
//!
//! Places in one list of the board stand for its things in another: `models[lane.ladder[0]]`.

use uuid::Uuid;

use crate::limits::{Dimension, Opening};

/// Lanes that hold anything and may be claimed from, and what their models may take now.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// The moment, in microseconds.
    pub now: i64,
    /// Limits of models, workers, runs and days, in order of their number.
    pub limits: Vec<Limit>,
    /// Models of any ladder.
    pub models: Vec<Model>,
    /// Runs that are active, whose worker is not paused, and that do not rest.
    pub runs: Vec<Run>,
    /// Lanes of these runs.
    pub lanes: Vec<Lane>,
    /// The process that asks holds a suspect already: it takes no other.
    pub holds_suspect: bool,
}

/// One limit, by what is left of it.
#[derive(Clone, Debug)]
pub struct Limit {
    /// What it counts.
    pub dimension: Dimension,
    /// How much there may be of it: what a larger task needs is all of it.
    pub size: u64,
    /// What may be granted now (`limits::room`).
    pub room: u64,
    /// When it has room for a call (`limits::opens_at`).
    pub opens: Opening,
    /// It counts a minute: only such a limit keeps room for a large task, a day would be blocked for too
    /// long.
    pub is_per_minute: bool,
    /// The task that others leave room: one of an active run that was passed over for longer than
    /// [`HOLD_AFTER`](super::HOLD_AFTER), and not for as long as [`HOLD_FOR`](super::HOLD_FOR).
    pub hold: Option<Hold>,
}

impl Limit {
    /// Whether it keeps room for a task that is larger than what is left of it.
    pub(super) fn keeps_room(&self) -> bool {
        self.is_per_minute && self.dimension.counts_tokens()
    }
}

/// Room that is kept for a large task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The task.
    pub task: Uuid,
    /// How much.
    pub need: u64,
}

/// One model.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its provider entry: an `auto` lane is patient before it crosses to another.
    pub provider: String,
    /// Its limits, in order of their number.
    pub limits: Vec<usize>,
    /// Why it may not be called, and until when: parked or without a key for ever, in a cooldown until
    /// its end, `Soon` while a probe is under way. `None`: only its limits may close it.
    pub closed: Option<Opening>,
    /// Calls that the gate after a cooldown lets through (`limits::Cooldown::left`). `None`: no gate.
    pub gate: Option<u32>,
    /// The end of a cooldown, in microseconds, after which no call has come back yet. `None`: there is none.
    pub asked_since: Option<i64>,
    /// What it costs, as far as it is known: a budget holds only where both are.
    pub prices: Prices,
}

/// Micro-dollars per million tokens. `None`: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// Of what is asked.
    pub input: Option<u64>,
    /// Of what is answered.
    pub output: Option<u64>,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its id, which orders runs of one tier.
    pub id: Uuid,
    /// Its share beside other runs.
    pub weight: f64,
    /// The share of each tier; 1 where it does not say.
    pub mix: Vec<f64>,
    /// Limits of the run and of its worker besides those of the models: the worker's calls at once, the
    /// budgets of run and day.
    pub limits: Vec<usize>,
    /// How many its pacing lets start now. `None`: it has none.
    pub allowance: Option<u32>,
}

/// The tasks of one run, component, tier and ladder.
#[derive(Clone, Debug)]
pub struct Lane {
    /// Its run.
    pub run: usize,
    /// Its tier, from 0.
    pub tier: usize,
    /// Lower goes first.
    pub component_priority: i32,
    /// Models, the primary first.
    pub ladder: Vec<usize>,
    /// How its tasks take their fallbacks.
    pub policy: Policy,
    /// How long a better model is waited for, in microseconds.
    pub patience: i64,
    /// Output tokens that are reserved, per rung.
    pub est_output: Vec<u32>,
    /// Tokens of the longest answer: money is reserved for it, and of total tokens at least so many.
    /// `None`: it is not known.
    pub max_output: Option<u32>,
    /// How many of its tasks travel in one call.
    pub pack: Pack,
    /// What waits, in any order.
    pub tasks: Vec<Task>,
}

/// How many tasks travel in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pack {
    /// So many at most, at least 1.
    pub size: u32,
    /// Their input tokens together, at most.
    pub tokens: u64,
}

impl Default for Pack {
    /// Each alone.
    fn default() -> Self {
        Self {
            size: 1,
            tokens: u64::MAX,
        }
    }
}

/// How tasks take their fallbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// A ladder within a provider, patient before it crosses to another.
    Auto,
    /// The first model that is free.
    Ladder,
    /// All free models, in proportion to what they have left.
    Spread,
    /// A later model only where no earlier one opens within the patience.
    Patient,
}

/// One task that waits.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its id, which orders equals: ids grow with time, so the oldest goes first.
    pub id: Uuid,
    /// Higher goes first.
    pub priority: f64,
    /// Input tokens, estimated.
    pub est_input: u32,
    /// Charged calls per rung; missing ones are 0.
    pub tries: Vec<u16>,
    /// Deaths of processes that held it.
    pub rescues: u16,
    /// It was lost in a pack: with so many it travels at most. `None`: it was not.
    pub most: Option<u32>,
}

impl Board {
    /// Whether a model may be called now, as far as it goes for any task.
    pub(super) fn is_open(&self, model: usize) -> bool {
        let it = &self.models[model];
        let spent = |limit: &usize| self.limits[*limit].room == 0;
        it.closed.is_none() && it.gate != Some(0) && !it.limits.iter().any(spent)
    }

    /// When a model may be called again, as far as that is known; what only waits for a call in flight
    /// is as if it were now.
    pub(super) fn opens(&self, model: usize) -> Opening {
        let it = &self.models[model];
        let limits = it.limits.iter().map(|limit| self.limits[*limit].opens);
        let closed = it.closed.unwrap_or(Opening::At(self.now));
        limits.fold(closed, Opening::and)
    }

    /// A prompt larger than what a model takes in a whole window never passes there.
    pub(super) fn never_passes(&self, tokens: u64, model: usize) -> bool {
        let limits = &self.models[model].limits;
        limits.iter().any(|&limit| self.is_too_large(tokens, limit))
    }

    /// A quarter more is let pass: the estimate may be high.
    fn is_too_large(&self, tokens: u64, limit: usize) -> bool {
        let limit = &self.limits[limit];
        limit.dimension.counts_input() && u128::from(tokens) * 4 > u128::from(limit.size) * 5
    }

    /// Whether who is so patient still waits for the first call after a model's cooldown to come back.
    pub(super) fn is_asked_within(&self, patience: i64, model: usize) -> bool {
        let asked_since = self.models[model].asked_since;
        asked_since.is_none_or(|ended| ended.saturating_add(patience) >= self.now)
    }
}

impl Lane {
    /// Whether a rung's calls are not used up for this task.
    pub(super) fn may_try(&self, task: &Task, rung: usize) -> bool {
        task.tries.get(rung).copied().unwrap_or(0) < super::CALLS_PER_MODEL
    }

    /// The most that a call of this rung may cost, in micro-dollars, rounded up. `None`: a price is not
    /// known. Bounded, so that many can be summed.
    pub(super) fn worst_cost(&self, task: &Task, rung: usize, prices: Prices) -> Option<u64> {
        let output = self.max_output.unwrap_or(self.est_output[rung]);
        let millionths = u128::from(task.est_input) * u128::from(prices.input?)
            + u128::from(output) * u128::from(prices.output?);
        let cost = u64::try_from(millionths.div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Some(cost.min(WORST_COST))
    }
}

/// No call costs more, in micro-dollars.
const WORST_COST: u64 = 9_000_000_000_000_000;
