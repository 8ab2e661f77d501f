//! The simulation: what may start starts, time passes to the next event, and so on.

use super::{
    Ahead, Binding, Forecast, RunForecast,
    fill::{Flow, fill},
    pool::{Pool, TINY},
};

/// Runs the claim's rule forward over what waits.
///
/// ```
/// # use tidegate::{limits::{Book, Limit}, route::{Policy, Prices}};
/// # use tidegate::route::forecast::{Ahead, LaneAhead, ModelAhead, Pool, RunAhead, forecast};
/// let limit = Limit { burst: Some(10), guard_ms: 0, ..Limit::per_minute(60) };
/// let ahead = Ahead {
///     pools: vec![Pool::of(&limit, &Book::default(), 0)],
///     models: vec![ModelAhead { provider: "p".into(), pools: vec![0], opens_in: Some(0.0), latency: 2.0, prices: Prices::default() }],
///     runs: vec![RunAhead { weight: 1.0, mix: vec![1.0], pools: vec![], in_flight: 0 }],
///     lanes: vec![LaneAhead {
///         run: 0, tier: 0, component_priority: 0, ladder: vec![0], policy: Policy::Auto, patience: 60.0,
///         tasks: 40, pack: 1, input: 100.0, output: vec![10.0],
///     }],
/// };
/// // ten at once, one a second for thirty seconds, and the last call takes two
/// let seconds = forecast(&ahead).runs[0].seconds.expect("an end");
/// assert!((seconds - 32.0).abs() < 1e-6);
/// ```
pub fn forecast(ahead: &Ahead) -> Forecast {
    let mut simulation = Simulation::new(ahead);
    for step in 0..STEPS_MAX {
        if step == STEPS_FINE {
            simulation.smooth();
        }
        simulation.start_what_may();
        if !simulation.advance() {
            break;
        }
    }
    simulation.forecast()
}

/// Where it all stands at one moment of the future.
pub(super) struct Simulation<'a> {
    pub(super) ahead: &'a Ahead,
    /// Seconds from now.
    pub(super) at: f64,
    pub(super) pools: Vec<Pool>,
    pub(super) flows: Vec<Flow>,
    /// The flows of each lane, by rung.
    flows_of: Vec<Vec<usize>>,
    /// Calls of each model, begun ones in part.
    pub(super) begun: Vec<f64>,
    /// When the last answer of each lane comes.
    pub(super) ended: Vec<Option<f64>>,
    /// How much too early ends may be that are found now.
    lag: f64,
    /// Seconds for which the first choice of some lane waited for a model's pool.
    pub(super) held_back: Vec<Binding>,
}

impl<'a> Simulation<'a> {
    fn new(ahead: &'a Ahead) -> Self {
        let flows = Flow::all(ahead);
        let of = |lane: usize| {
            (0..flows.len())
                .filter(|&it| flows[it].lane == lane)
                .collect()
        };
        let empty = |tasks: u64| (tasks == 0).then_some(0.0);
        Self {
            ahead,
            at: 0.0,
            pools: ahead.pools.clone(),
            flows_of: (0..ahead.lanes.len()).map(of).collect(),
            flows,
            begun: vec![0.0; ahead.models.len()],
            ended: ahead.lanes.iter().map(|lane| empty(lane.calls())).collect(),
            lag: 0.0,
            held_back: Vec::new(),
        }
    }

    fn smooth(&mut self) {
        let lags = self.pools.iter_mut().map(Pool::smooth);
        self.lag = lags.fold(0.0, f64::max);
    }

    /// What can be started at once is.
    fn start_what_may(&mut self) {
        // again, for a lane whose last calls are only begun: it takes whole ones elsewhere
        for _ in 0..=self.ahead.models.len() {
            let mut rooms: Vec<f64> = self.pools.iter().map(Pool::room).collect();
            let mut lanes = self.wanted();
            let wants = self.wants(&rooms, &lanes);
            let given = fill(&self.flows, &wants, &mut rooms, &mut lanes);
            let mut any = false;
            for (flow, amount) in given.into_iter().filter(|it| it.1 > 0.0) {
                any |= amount > TINY;
                self.start(flow, amount);
                for &(pool, need) in &self.flows[flow].needs {
                    self.pools[pool].take(self.at, amount * need);
                }
            }
            for lane in 0..self.ended.len() {
                self.end_if_all_started(lane);
            }
            if !any {
                break;
            }
        }
    }

    pub(super) fn start(&mut self, flow: usize, amount: f64) {
        self.flows[flow].started += amount;
        self.begun[self.flows[flow].model] += amount;
    }

    pub(super) fn of_lane(&self, lane: usize) -> impl Iterator<Item = (usize, &Flow)> {
        self.flows_of[lane].iter().map(|&it| (it, &self.flows[it]))
    }

    /// Calls of each lane that are not started yet; where all are, in parts, whole calls for what is
    /// missing.
    pub(super) fn wanted(&self) -> Vec<f64> {
        let wanted = |lane: usize| {
            if self.ended[lane].is_some() {
                return 0.0;
            }
            let count = self.ahead.lanes[lane].calls() as f64;
            let left = count - self.of_lane(lane).map(|(_, it)| it.started).sum::<f64>();
            if left > SLACK {
                left
            } else {
                (count - self.whole(lane) - SLACK).ceil().max(0.0)
            }
        };
        (0..self.ended.len()).map(wanted).collect()
    }

    /// Calls of a lane that are whole.
    fn whole(&self, lane: usize) -> f64 {
        let flows = self.of_lane(lane).filter(|(_, it)| it.started > 0.0);
        let whole = flows.map(|(_, it)| it.started - part_of_a_call(self.begun[it.model]));
        whole.sum()
    }

    fn end_if_all_started(&mut self, lane: usize) {
        let count = self.ahead.lanes[lane].calls() as f64;
        if self.ended[lane].is_some() || self.whole(lane) < count - SLACK {
            return;
        }
        let used = self.of_lane(lane).filter(|(_, it)| it.started > 0.0);
        let latencies = used.map(|(_, it)| self.ahead.models[it.model].latency);
        let slowest = latencies.fold(0.0, f64::max);
        self.ended[lane] = Some(self.at + self.lag + slowest);
    }

    fn forecast(self) -> Forecast {
        let ahead = self.ahead;
        // what is under way takes a call's time
        let slowest = ahead.models.iter().map(|it| it.latency).fold(0.0, f64::max);
        let runs = ahead.runs.iter().enumerate().map(|(number, run)| {
            let of_run = |lane: usize| ahead.lanes[lane].run == number;
            let ends = self.ended.iter().enumerate().filter(|it| of_run(it.0));
            let at_least = if run.in_flight > 0 { slowest } else { 0.0 };
            let used = self.flows.iter().filter(|it| it.started > TINY);
            let costs = used.filter(|it| of_run(it.lane));
            let cost = costs
                .map(|it| Some(it.cost? * it.started))
                .sum::<Option<f64>>();
            RunForecast {
                seconds: ends
                    .map(|(_, end)| *end)
                    .try_fold(at_least, |all, end| Some(f64::max(all, end?))),
                cost_microusd: cost.map(rounded),
            }
        });
        let longest = |one: &&Binding, other: &&Binding| one.seconds.total_cmp(&other.seconds);
        Forecast {
            runs: runs.collect(),
            calls: self.begun.iter().copied().map(rounded).collect(),
            binding: self.held_back.iter().max_by(longest).copied(),
        }
    }
}

/// The part of a call that is not whole.
pub(super) fn part_of_a_call(begun: f64) -> f64 {
    let part = begun - (begun + SLACK).floor();
    part.max(0.0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates"
)]
fn rounded(count: f64) -> u64 {
    count.round().max(0.0) as u64
}

/// Events that are simulated as they are; after them only the mean pace of minutes counts.
const STEPS_FINE: u32 = 3_000;
/// Events in all.
const STEPS_MAX: u32 = 4_000;
/// Part of a call that is as good as none.
pub(super) const SLACK: f64 = 1e-5;

#[cfg(test)]
#[path = "simulate_tests.rs"]
mod tests;
