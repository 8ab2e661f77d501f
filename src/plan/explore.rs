//! Learning: the way that is not taken is tried again where that could change a choice and costs little.

use std::time::Duration;

use super::{
    case::{BATCH_MIN, Case, Latency, SINGLES, STALE},
    choice::{Choice, Reason, Side, Way},
    decide::{cheaper, hybrid, prices},
    estimate::Quantile,
};
use crate::task::Purpose;

/// The way that was not chosen, tried again by a hybrid, if that could change a choice and costs little.
pub(super) fn explore(case: &Case, batches: &Latency, chosen: &Choice) -> Option<Choice> {
    let by_price = cheaper(case).is_some();
    // without a deadline nobody asks how long the dearer way would take
    if case.items < EXPLORE_MIN || (by_price && case.within.is_none()) {
        return None;
    }
    match chosen.strategy {
        Way::Hybrid => None,
        Way::Batch => {
            let age = case.individual.map(|it| it.age);
            let side = Side::Individual;
            let singles = affordable(case, batches)?;
            let is_due = age.is_none_or(|age| age > STALE);
            is_due.then(|| hybrid(case, singles, Reason::Explores { side, age }))
        }
        Way::Individual => (batches.age > STALE).then(|| probe(case, Some(batches.age))),
    }
}

/// All singly but 2, which go by batch and are asked singly too once the others should be back: what
/// is learned costs one call's time and the price of 2 tasks.
pub(super) fn probe(case: &Case, age: Option<u32>) -> Choice {
    let side = Side::Batch;
    let choice = hybrid(case, case.items - BATCH_MIN, Reason::Explores { side, age });
    let others = case.singly_guessed(choice.singles, Quantile::Half);
    Choice {
        rescue_after: Some(choice.rescue_after.unwrap_or(others).min(others)),
        ..choice
    }
}

/// How many singles beside a batch cost little, up to 5: at most a twentieth more of the money that
/// bulk spends, and no time as far as is known. `None`: not even one.
fn affordable(case: &Case, batches: &Latency) -> Option<u32> {
    let in_time = match case.singly(SINGLES, Quantile::Half) {
        Some(singles) if singles > batches.p50 => 1,
        _ => SINGLES,
    };
    let more_time = case
        .individual
        .map_or(0.0, |it| spread(it.p50, batches.p50, it.age));
    if in_time == 1 && more_time > 1.0 / EXPLORING as f64 {
        return None;
    }
    match prices(case) {
        Some((single, batch)) if case.purpose == Purpose::Bulk && single > batch => {
            let singles = u64::from(case.items).saturating_mul(batch) / EXPLORING;
            let singles = singles / (single - batch);
            let singles = u32::try_from(singles).map_or(in_time, |it| it.min(in_time));
            (singles > 0).then_some(singles)
        }
        _ => Some(in_time),
    }
}

/// The part that one way takes longer than the other, spread over the choices since it was looked at.
fn spread(longer: Duration, than: Duration, age: u32) -> f64 {
    let more = longer.saturating_sub(than).as_secs_f64();
    more / than.as_secs_f64().max(0.001) / f64::from(age.max(1))
}

/// Exploring may cost the part of one in so many.
const EXPLORING: u64 = 20;
/// Fewer are not explored with: 5 go singly and 2 by batch.
pub(super) const EXPLORE_MIN: u32 = SINGLES + BATCH_MIN;
