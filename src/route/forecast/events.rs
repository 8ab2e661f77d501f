//! What happens next, and what passes until then.

use super::{
    Binding,
    fill::fill,
    pool::Pool,
    simulate::{SLACK, Simulation, part_of_a_call},
};

impl Simulation<'_> {
    /// Lets time pass to the next event. `false`: all is done, or nothing more ever happens.
    pub(super) fn advance(&mut self) -> bool {
        if self.ended.iter().all(Option::is_some) {
            return false;
        }
        let mut paces: Vec<f64> = self.pools.iter().map(|it| it.pace(self.at)).collect();
        let wants = self.wants(&paces, &self.wanted());
        let waits = |ended: &Option<f64>| if ended.is_some() { 0.0 } else { f64::INFINITY };
        let mut lanes: Vec<f64> = self.ended.iter().map(waits).collect();
        let mut of_flow = vec![0.0; self.flows.len()];
        let mut of_pool = vec![0.0; self.pools.len()];
        for (flow, rate) in fill(&self.flows, &wants, &mut paces, &mut lanes) {
            of_flow[flow] = rate;
            for &(pool, need) in &self.flows[flow].needs {
                of_pool[pool] += rate * need;
            }
        }
        let to = self.next_event(&of_flow, &of_pool);
        if to > HORIZON {
            return false;
        }
        self.note_what_holds_back(to);
        for (flow, rate) in of_flow.iter().enumerate() {
            self.start(flow, rate * (to - self.at));
        }
        for (pool, rate) in self.pools.iter_mut().zip(&of_pool) {
            pool.advance(self.at, to, *rate);
        }
        self.at = to;
        true
    }

    fn next_event(&self, of_flow: &[f64], of_pool: &[f64]) -> f64 {
        let pools = self.pools.iter().zip(of_pool);
        let pools = pools.map(|(pool, rate)| pool.next_change(self.at, *rate));
        let models = self.ahead.models.iter().filter_map(|it| it.opens_in);
        // from then on a better model opens within the patience
        let patience = self.flows.iter().filter_map(|it| {
            let opens = self.opens(it.model)?;
            Some(opens - self.ahead.lanes[it.lane].patience)
        });
        let lanes = (0..self.ended.len()).filter_map(|it| self.end_of(it, of_flow));
        let all = pools.chain(models).chain(patience).chain(lanes);
        let next = all.filter(|it| *it > self.at).fold(f64::INFINITY, f64::min);
        // never stuck on a moment that rounding puts just before
        next.max(self.at + STEP_MIN)
    }

    /// When all tasks of a lane will have been started at these rates: whole calls, not their parts.
    fn end_of(&self, lane: usize, of_flow: &[f64]) -> Option<f64> {
        if self.ended[lane].is_some() {
            return None;
        }
        let uses =
            |(flow, it): &(usize, &super::fill::Flow)| it.started > 0.0 || of_flow[*flow] > 0.0;
        let rate: f64 = self.of_lane(lane).map(|(flow, _)| of_flow[flow]).sum();
        if rate <= 0.0 {
            return None;
        }
        let pace_of = |model: usize| -> f64 {
            let flows = self.flows.iter().zip(of_flow);
            flows
                .filter(|(it, _)| it.model == model)
                .map(|(_, rate)| rate)
                .sum()
        };
        let count = self.ahead.lanes[lane].calls() as f64;
        let started: f64 = self.of_lane(lane).map(|(_, flow)| flow.started).sum();
        let soonest = ((count - started) / rate).max(0.0);
        let mut moments = vec![soonest];
        for (_, flow) in self.of_lane(lane).filter(uses) {
            let (begun, pace) = (self.begun[flow.model], pace_of(flow.model));
            let next = (begun + pace * soonest + SLACK).floor();
            let whole = (1..=3).map(|more| (next + f64::from(more) - begun) / pace);
            moments.extend(whole.filter(|it| it.is_finite()));
        }
        moments.sort_by(f64::total_cmp);
        let is_end = |after: f64| {
            let whole = self.of_lane(lane).filter(uses).map(|(flow, it)| {
                let begun = self.begun[it.model] + pace_of(it.model) * after;
                it.started + of_flow[flow] * after - part_of_a_call(begun)
            });
            whole.sum::<f64>() >= count - SLACK
        };
        let first = moments.iter().copied().find(|after| is_end(*after));
        Some(self.at + first.or(moments.last().copied())?)
    }

    /// For each lane that waits: the limit for which its first choice does.
    fn note_what_holds_back(&mut self, until: f64) {
        for lane in (0..self.ended.len()).filter(|it| self.ended[*it].is_none()) {
            let Some((model, pool)) = self.holds_back(lane) else {
                continue;
            };
            let seconds = until - self.at;
            let mut known = self.held_back.iter_mut();
            match known.find(|it| (it.model, it.pool) == (model, pool)) {
                Some(held) => held.seconds += seconds,
                None => self.held_back.push(Binding {
                    model,
                    pool,
                    seconds,
                }),
            }
        }
    }

    fn holds_back(&self, lane: usize) -> Option<(usize, usize)> {
        self.of_lane(lane).find_map(|(_, flow)| {
            let empty = |it: &&(usize, f64)| it.1 > 0.0 && self.pools[it.0].is_empty();
            let pace = |it: &(usize, f64)| Pool::pace(&self.pools[it.0], self.at) / it.1;
            let empty = flow.needs.iter().filter(empty);
            let slowest = empty.min_by(|one, other| pace(one).total_cmp(&pace(other)))?;
            Some((flow.model, slowest.0))
        })
    }
}

/// Seconds; later is never.
const HORIZON: f64 = 3_650.0 * 86_400.0;
/// Seconds that pass at least between two events.
pub(super) const STEP_MIN: f64 = 1e-7;
