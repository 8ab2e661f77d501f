//! The choice itself.

use std::time::Duration;

use super::{
    case::{BATCH_GUESS, BATCH_MIN, Case, HYBRID_MAX, Latency, MANY, SINGLES, STALE},
    choice::{Choice, Reason, Side, Way},
    estimate::Quantile,
    explore::{EXPLORE_MIN, explore, probe},
};
use crate::task::{Purpose, Strategy};

/// How these tasks are asked.
///
/// In this order:
/// 1. what was asked for (`individual`, `batch`, `hybrid`), and a model without a batch mode;
/// 2. a deadline that leaves no time to wait for a batch (see [`Choice::rescue_after`]): singly;
/// 3. until latencies are known: up to 9 singly, from 10 a batch, and a hybrid at 10 to 30 whose deadline
///    is nearer than a batch's latency (60 s until one was seen);
/// 4. once known: interactive work takes what takes less time, by the half of the samples, with a
///    deadline by nine of ten. Bulk takes what costs less among what meets the deadline; at equal or
///    unknown prices what takes less time;
/// 5. a way that was not taken for more than 10 choices is tried again where that could change a choice
///    and costs little: up to 5 singly beside a batch, or 2 by batch beside single calls, and asked
///    singly as well when those should be back. [`Reason::Explores`] says so.
///
/// A batch of fewer than 2 goes singly. A hybrid's first 5 go singly.
///
/// ```
/// # use tidegate::{plan::{decide, Case, Way}, task::Strategy};
/// let case = Case { items: 9, mode: Strategy::Auto, ..Case::default() };
/// assert_eq!(decide(&case).strategy, Way::Individual);
/// assert_eq!(decide(&Case { items: 10, ..case }).strategy, Way::Batch);
/// ```
pub fn decide(case: &Case) -> Choice {
    let items = case.items;
    if case.mode == Strategy::Individual {
        return singly(case, forced(case));
    }
    if !case.has_batch {
        return singly(case, Reason::NoBatchMode);
    }
    if items < BATCH_MIN {
        return singly(case, Reason::TooFew { items });
    }
    match case.mode {
        Strategy::Individual | Strategy::Batch => batch(case, forced(case)),
        Strategy::Hybrid => hybrid(case, SINGLES, forced(case)),
        Strategy::Auto => auto(case),
    }
}

fn forced(case: &Case) -> Reason {
    Reason::Forced { mode: case.mode }
}

fn auto(case: &Case) -> Choice {
    if let Some(within) = case.within
        && !has_time(case, case.items)
    {
        return singly(case, Reason::NoTimeForBatch { within });
    }
    let Some(batches) = case.batch else {
        return without_batch(case);
    };
    let chosen = match cheaper(case) {
        Some(Side::Batch) => cheaper_batch(case, &batches),
        Some(Side::Individual) => cheaper_singly(case, &batches),
        None => faster(case, &batches),
    };
    let Some(chosen) = chosen else {
        return default(case);
    };
    explore(case, &batches, &chosen).unwrap_or(chosen)
}

/// Which costs less, where that is what counts and both prices are known.
pub(super) fn cheaper(case: &Case) -> Option<Side> {
    let (single, batch) = prices(case)?;
    match case.purpose {
        Purpose::Interactive => None,
        Purpose::Bulk if batch < single => Some(Side::Batch),
        Purpose::Bulk if single < batch => Some(Side::Individual),
        Purpose::Bulk => None,
    }
}

pub(super) fn prices(case: &Case) -> Option<(u64, u64)> {
    case.individual_microusd.zip(case.batch_microusd)
}

fn is_cheaper(case: &Case) -> Reason {
    let (individual_microusd, batch_microusd) = prices(case).unwrap_or_default();
    Reason::Cheaper {
        individual_microusd,
        batch_microusd,
    }
}

/// A batch costs less: it is taken unless it would be late and single calls would be sooner.
fn cheaper_batch(case: &Case, batches: &Latency) -> Option<Choice> {
    let cheaper = Quantile::NineOfTen.of(batches);
    match case.within {
        Some(within) if cheaper > within => {
            let singles = case.singly_guessed(case.items, Quantile::NineOfTen);
            Some(match singles < cheaper {
                true => singly(case, Reason::InTime { within, cheaper }),
                false => batch(case, less_time(case, singles, cheaper)),
            })
        }
        _ => Some(batch(case, is_cheaper(case))),
    }
}

/// Single calls cost less: they are taken unless they would be late and a batch would be sooner.
fn cheaper_singly(case: &Case, batches: &Latency) -> Option<Choice> {
    let cheaper = case.singly_guessed(case.items, Quantile::NineOfTen);
    let by_batch = Quantile::NineOfTen.of(batches);
    match case.within {
        Some(within) if cheaper > within && by_batch < cheaper => {
            Some(batch(case, Reason::InTime { within, cheaper }))
        }
        _ => Some(singly(case, is_cheaper(case))),
    }
}

/// What takes less time. `None`: it is not known how long calls take.
fn faster(case: &Case, batches: &Latency) -> Option<Choice> {
    let by = quantile(case);
    let (singles, batched) = (case.singly(case.items, by)?, by.of(batches));
    let reason = less_time(case, singles, batched);
    Some(match batched < singles {
        true => batch(case, reason),
        false => singly(case, reason),
    })
}

fn less_time(case: &Case, individual: Duration, batch: Duration) -> Reason {
    Reason::LessTime {
        individual,
        batch,
        per_minute: case.binding(case.items),
    }
}

/// A deadline is to be met nine times of ten; without one the usual time counts.
fn quantile(case: &Case) -> Quantile {
    match case.within {
        Some(_) => Quantile::NineOfTen,
        None => Quantile::Half,
    }
}

/// No batch of the model was seen. Where the defaults make none, one is tried after some choices: where
/// it would cost less, and where time decides.
fn without_batch(case: &Case) -> Choice {
    if case.items >= MANY || case.decisions < STALE {
        return default(case);
    }
    match cheaper(case) {
        Some(Side::Batch) => {
            let (side, age) = (Side::Batch, None);
            batch(case, Reason::Explores { side, age })
        }
        None if case.items >= EXPLORE_MIN => probe(case, None),
        _ => default(case),
    }
}

/// R22: until latencies are known, or those of calls where they count.
fn default(case: &Case) -> Choice {
    let items = case.items;
    if items < MANY {
        return singly(case, Reason::Few { items });
    }
    let takes = case
        .batch
        .map_or(BATCH_GUESS, |it| Quantile::NineOfTen.of(&it));
    match case.within {
        Some(within) if items <= HYBRID_MAX && within < takes => {
            let batch = takes;
            hybrid(case, SINGLES, Reason::DeadlineNearer { within, batch })
        }
        // time decides, and only calls are unknown: to learn of them costs none, beside a batch
        _ if case.batch.is_some() => {
            let (side, age) = (Side::Individual, None);
            hybrid(case, SINGLES, Reason::Explores { side, age })
        }
        _ => batch(case, Reason::Many { items }),
    }
}

/// Whether a batch of so many can be waited for: at least a tenth of the deadline is left before what
/// is not back must be asked singly.
fn has_time(case: &Case, batched: u32) -> bool {
    case.rescue_after(batched)
        .zip(case.within)
        .is_none_or(|(rescue, within)| rescue >= within / 10)
}

fn singly(case: &Case, reason: Reason) -> Choice {
    made(case, Way::Individual, case.items, reason)
}

fn batch(case: &Case, reason: Reason) -> Choice {
    made(case, Way::Batch, 0, reason)
}

/// The first so many singly; all, if fewer than 2 would be left.
pub(super) fn hybrid(case: &Case, singles: u32, reason: Reason) -> Choice {
    let items = case.items;
    if items < singles + BATCH_MIN {
        return singly(case, Reason::TooFew { items });
    }
    made(case, Way::Hybrid, singles, reason)
}

fn made(case: &Case, strategy: Way, singles: u32, reason: Reason) -> Choice {
    let by = quantile(case);
    let batch = case.batch.filter(|_| case.has_batch);
    let rescue_after = match strategy {
        Way::Individual => None,
        // who asked for a batch has one for half of the deadline at least
        _ if case.mode != Strategy::Auto => case
            .rescue_after(case.items - singles)
            .max(case.within.map(|within| within / 2)),
        _ => case.rescue_after(case.items - singles),
    };
    Choice {
        strategy,
        singles,
        reason,
        individual_takes: case.singly(case.items, by),
        batch_takes: batch.map(|it| by.of(&it)),
        rescue_after,
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
