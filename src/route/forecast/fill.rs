//! Shares what there is among all that want it, the first choices first.
//!
//! Weighted progressive filling (D. Bertsekas and R. Gallager, "Data Networks", 1992, section 6.5.2): all
//! get more in proportion to their weights until something runs out for some; the others go on.

use super::{Ahead, pool::TINY};
use crate::limits::Dimension;

/// One lane on one model of its ladder.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) lane: usize,
    pub(super) rung: usize,
    pub(super) model: usize,
    /// How much a call takes of each pool.
    pub(super) needs: Vec<(usize, f64)>,
    /// Micro-dollars of a call. `None`: a price is not known.
    pub(super) cost: Option<f64>,
    /// Calls started.
    pub(super) started: f64,
}

impl Flow {
    /// Every lane on every model of its ladder that it may ever have.
    pub(super) fn all(ahead: &Ahead) -> Vec<Self> {
        let lanes = ahead.lanes.iter().enumerate();
        let places = lanes.flat_map(|(number, lane)| {
            let rungs = lane.ladder.iter().enumerate();
            rungs.map(move |(rung, &model)| (number, rung, model))
        });
        places
            .filter_map(|(lane, rung, model)| Self::new(ahead, lane, rung, model))
            .collect()
    }

    /// `None`: a budget must hold, and the price is not known.
    fn new(ahead: &Ahead, number: usize, rung: usize, model: usize) -> Option<Self> {
        let (lane, it) = (&ahead.lanes[number], &ahead.models[model]);
        let cost = lane.cost(rung, it.prices);
        let need = |pool: usize| {
            Some(match ahead.pools[pool].dimension {
                Dimension::Requests => 1.0,
                Dimension::InputTokens => lane.input_of_a_call(),
                Dimension::OutputTokens => lane.output_of_a_call(rung),
                Dimension::TotalTokens => lane.input_of_a_call() + lane.output_of_a_call(rung),
                Dimension::Concurrency => it.latency,
                Dimension::Money => cost?,
            })
        };
        let pools = it.pools.iter().chain(&ahead.runs[lane.run].pools);
        let needs = pools.map(|&pool| Some((pool, need(pool)?)));
        Some(Self {
            lane: number,
            rung,
            model,
            needs: needs.collect::<Option<_>>()?,
            cost,
            started: 0.0,
        })
    }
}

/// Somebody who wants a part: which flow, when its turn comes, and how much of it beside others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    pub(super) flow: usize,
    pub(super) turn: u32,
    pub(super) weight: f64,
}

/// How much each wanting flow gets, while each pool gives so much at most, and each lane takes so much
/// at most.
pub(super) fn fill(
    flows: &[Flow],
    wants: &[Want],
    pools: &mut [f64],
    lanes: &mut [f64],
) -> Vec<(usize, f64)> {
    let mut turns: Vec<u32> = wants.iter().map(|want| want.turn).collect();
    turns.sort_unstable();
    turns.dedup();
    let mut given: Vec<(usize, f64)> = wants.iter().map(|want| (want.flow, 0.0)).collect();
    for turn in turns {
        // each round ends at least one pool or lane
        for _ in 0..=pools.len() + lanes.len() {
            let active: Vec<usize> = (0..wants.len())
                .filter(|&it| {
                    wants[it].turn == turn && may_grow(&flows[wants[it].flow], pools, lanes)
                })
                .collect();
            let step = longest_step(flows, wants, &active, pools, lanes);
            if active.is_empty() || !step.is_finite() {
                break;
            }
            for it in active {
                let (flow, amount) = (&flows[wants[it].flow], wants[it].weight * step);
                given[it].1 += amount;
                lanes[flow.lane] -= amount;
                for &(pool, need) in &flow.needs {
                    pools[pool] -= amount * need;
                }
            }
        }
    }
    given
}

fn may_grow(flow: &Flow, pools: &[f64], lanes: &[f64]) -> bool {
    let has = |&(pool, need): &(usize, f64)| need == 0.0 || pools[pool] > TINY;
    lanes[flow.lane] > TINY && flow.needs.iter().all(has)
}

fn longest_step(
    flows: &[Flow],
    wants: &[Want],
    active: &[usize],
    pools: &[f64],
    lanes: &[f64],
) -> f64 {
    let mut of_pool = vec![0.0; pools.len()];
    let mut of_lane = vec![0.0; lanes.len()];
    for want in active.iter().map(|&it| wants[it]) {
        let flow = &flows[want.flow];
        of_lane[flow.lane] += want.weight;
        for &(pool, need) in &flow.needs {
            of_pool[pool] += want.weight * need;
        }
    }
    let both = pools.iter().zip(&of_pool).chain(lanes.iter().zip(&of_lane));
    let bounded = both.filter(|(_, taken)| **taken > 0.0);
    bounded
        .map(|(left, taken)| left / taken)
        .fold(f64::INFINITY, f64::min)
}
