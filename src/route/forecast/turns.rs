//! Who may start something, whose turn comes when, and how much of what there is each may have.

use super::{
    LaneAhead,
    events::STEP_MIN,
    fill::{Flow, Want},
    pool::TINY,
    simulate::Simulation,
};
use crate::route::Policy;

impl Simulation<'_> {
    /// First choices first, then the rest; of one cell the components in order. `gives`: what each pool
    /// can give, for those who spread. `left`: what each lane still wants.
    pub(super) fn wants(&self, gives: &[f64], left: &[f64]) -> Vec<Want> {
        let lanes = 0..self.ended.len();
        let shares: Vec<(f64, u32)> = lanes
            .map(|lane| (self.share(lane, left), self.components_before(lane)))
            .collect();
        let flows = self.flows.iter().enumerate();
        let may_start = flows.filter(|(_, flow)| self.may_start(flow));
        may_start
            .map(|(number, flow)| {
                let (share, components_before) = shares[flow.lane];
                let spreads = self.ahead.lanes[flow.lane].policy == Policy::Spread;
                let rung = if spreads { 0 } else { flow.rung };
                let rung = u32::try_from(rung).unwrap_or(u32::MAX);
                Want {
                    flow: number,
                    turn: rung.saturating_mul(TURNS) + components_before,
                    weight: share
                        * if spreads {
                            what_it_can_have(flow, gives)
                        } else {
                            1.0
                        },
                }
            })
            .collect()
    }

    fn may_start(&self, flow: &Flow) -> bool {
        let lane = &self.ahead.lanes[flow.lane];
        let model = &self.ahead.models[flow.model];
        let is_open = model.opens_in.is_some_and(|it| it <= self.at + STEP_MIN);
        if self.ended[flow.lane].is_some() || !is_open {
            return false;
        }
        let is_worth_waiting = |&earlier: &usize| {
            let crosses = self.ahead.models[earlier].provider != model.provider;
            (lane.policy == Policy::Patient || crosses)
                && self
                    .opens(earlier)
                    .is_some_and(|it| it <= self.at + lane.patience)
        };
        match lane.policy {
            Policy::Ladder | Policy::Spread => true,
            Policy::Auto | Policy::Patient => {
                !lane.ladder[..flow.rung].iter().any(is_worth_waiting)
            }
        }
    }

    /// When a model may be called again. `None`: not by itself.
    pub(super) fn opens(&self, model: usize) -> Option<f64> {
        let it = &self.ahead.models[model];
        let pools = it.pools.iter().map(|&pool| self.pools[pool].opens(self.at));
        let model = it.opens_in.map(|it| it.max(self.at));
        pools.fold(model, |all, one| Some(all?.max(one?)))
    }

    /// A lane's part: of its run's weight its tier's part of the mix, and of that by how much waits.
    fn share(&self, lane: usize, left: &[f64]) -> f64 {
        let it = &self.ahead.lanes[lane];
        let run = &self.ahead.runs[it.run];
        let mix = |tier: usize| run.mix.get(tier).copied().unwrap_or(1.0);
        let lanes = self.ahead.lanes.iter().enumerate();
        let of_run: Vec<(usize, &LaneAhead)> = lanes
            .filter(|(number, other)| self.ended[*number].is_none() && other.run == it.run)
            .collect();
        let mut tiers: Vec<usize> = of_run.iter().map(|(_, other)| other.tier).collect();
        tiers.sort_unstable();
        tiers.dedup();
        let mixes: f64 = tiers.into_iter().map(mix).sum();
        let of_cell = of_run.iter().filter(|(_, other)| other.tier == it.tier);
        let waiting: f64 = of_cell.map(|(number, _)| left[*number].max(TINY)).sum();
        run.weight * mix(it.tier) / mixes.max(TINY) * left[lane].max(TINY) / waiting.max(TINY)
    }

    /// How many lanes of other components of its cell go before this one.
    fn components_before(&self, lane: usize) -> u32 {
        let it = &self.ahead.lanes[lane];
        let lanes = self.ahead.lanes.iter().enumerate();
        let before = lanes.filter(|(number, other)| {
            self.ended[*number].is_none()
                && (other.run, other.tier) == (it.run, it.tier)
                && other.component_priority < it.component_priority
        });
        u32::try_from(before.count()).map_or(TURNS - 1, |it| it.min(TURNS - 1))
    }
}

/// In calls, by the narrowest of its pools.
fn what_it_can_have(flow: &Flow, gives: &[f64]) -> f64 {
    let needs = flow.needs.iter().filter(|(_, need)| *need > 0.0);
    let calls = needs.map(|&(pool, need)| gives[pool] / need);
    let least = calls.fold(f64::INFINITY, f64::min);
    if least.is_finite() {
        least.max(TINY)
    } else {
        1.0
    }
}

/// Turns of components within a rung.
const TURNS: u32 = 1_000;
