//! When it all will be done: the rule of the claim run forward over what waits.
//!
//! A simulation of flows, from event to event. Between two events every model is called at a steady
//! pace; an event is a window that lets something back in, a bucket or window that runs empty, a
//! midnight, the end of a cooldown, or a lane that has nothing left. What is simulated is counts of
//! lanes, never single tasks, so a million tasks cost what ten do. Owns: [`Ahead`], [`forecast`],
//! [`Forecast`]. Never: I/O, a clock, chance.
//!
//! It knows nothing of failures, of work that comes later, and of latencies but their mean: calls at
//! once are a pace of `size / latency`, as if calls ended evenly. Under limits per minute and day it is
//! exact to the call, and never too early.

mod ahead;
mod events;
mod fill;
mod pool;
mod simulate;
mod turns;

pub use ahead::{Ahead, LaneAhead, ModelAhead, RunAhead};
pub use pool::Pool;
pub use simulate::forecast;

/// What is to be expected, if nothing fails and nothing comes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forecast {
    /// Per run of [`Ahead::runs`].
    pub runs: Vec<RunForecast>,
    /// Calls per model of [`Ahead::models`].
    pub calls: Vec<u64>,
    /// The limit that held tasks back for the longest time. `None`: none did.
    pub binding: Option<Binding>,
}

/// What is to be expected of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RunForecast {
    /// Seconds until its last answer. `None`: not before a person acts.
    pub seconds: Option<f64>,
    /// Micro-dollars of what waits. `None`: a price is not known.
    pub cost_microusd: Option<u64>,
}

/// A limit that holds tasks back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Binding {
    /// The model whose calls wait.
    pub model: usize,
    /// The limit that they wait for, of [`Ahead::pools`].
    pub pool: usize,
    /// For how many seconds.
    pub seconds: f64,
}
