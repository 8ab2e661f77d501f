//! A case for `plan::decide` out of what is known, and what of a choice is kept: for lanes that wait for a
//! choice (`batches::choose`) and for lists that somebody waits for (`interactive`).

use std::time::Duration;

use serde_json::{Value, json};

use super::Shared;
use crate::{
    plan::{Case, Choice, Latency, Reason},
    provider::Provider,
    store::batch::facts::Facts,
    task::{Purpose, Strategy},
};

/// Calls at once that are counted on where nothing is known (R22).
const PARALLEL: u32 = 5;

/// What is to be asked, and how.
pub(super) struct Asks {
    pub(super) items: u32,
    pub(super) mode: Strategy,
    pub(super) purpose: Purpose,
    pub(super) within: Option<Duration>,
    /// How many travel in one call: what counts is calls.
    pub(super) pack: u32,
}

/// The case of what is asked, by what is known; `slots`: calls at once of this process.
pub(super) fn case(asks: &Asks, facts: &Facts, slots: u32) -> Case {
    let latency = |p50: Option<i64>, p90: Option<i64>, samples: Option<i32>, age: i64| {
        let span = |ms: i64| Duration::from_millis(ms.unsigned_abs());
        Some(Latency {
            p50: span(p50?),
            p90: span(p90?),
            samples: samples?.unsigned_abs(),
            age: narrow(age),
        })
    };
    let pack = asks.pack.max(1);
    Case {
        items: asks.items,
        mode: asks.mode,
        purpose: asks.purpose,
        within: asks.within,
        individual: latency(
            facts.ind_p50,
            facts.ind_p90,
            facts.ind_samples,
            facts.ind_age,
        ),
        batch: latency(
            facts.batch_p50,
            facts.batch_p90,
            facts.batch_samples,
            facts.batch_age,
        ),
        decisions: narrow(facts.decisions),
        parallel: facts
            .at_once
            .map_or(PARALLEL, narrow)
            .clamp(PARALLEL, slots.max(PARALLEL))
            .saturating_mul(pack),
        per_minute: facts.per_minute.map(|it| narrow(it).saturating_mul(pack)),
        has_batch: facts.model_id.is_some(),
        individual_microusd: facts.single_microusd.map(i64::unsigned_abs),
        batch_microusd: facts.batch_microusd.map(i64::unsigned_abs),
    }
}

/// A number of the database's as a plan takes it.
pub(super) fn narrow(n: i64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Why it was chosen so, in one line.
pub(super) fn reason(facts: &Facts, choice: &Choice) -> String {
    match (&choice.reason, &facts.note) {
        (Reason::NoBatchMode, Some(note)) => format!("{}: {note}", choice.reason),
        _ => choice.reason.to_string(),
    }
}

/// What the choice looked at and what it came to, for who asks later.
pub(super) fn written(case: &Case, choice: &Choice) -> Value {
    json!({
        "known": {
            "within_s": case.within.map(|it| it.as_secs_f64()),
            "individual": case.individual,
            "batch": case.batch,
            "decisions": case.decisions,
            "parallel": case.parallel,
            "per_minute": case.per_minute,
            "has_batch": case.has_batch,
        },
        "choice": choice,
    })
}

/// Whether this process has a key for the model that would be asked first; where all are parked, none is
/// needed.
pub(super) fn has_key(shared: &Shared, facts: &Facts) -> bool {
    let provider = facts.provider.as_deref();
    provider.is_none_or(|entry| shared.providers.contains_key(entry))
}

/// Items that the provider of the model for batches takes in one. `None`: it has no Batch API.
pub(super) fn batch_items(shared: &Shared, facts: &Facts) -> Option<usize> {
    let (entry, _) = facts.model.as_deref()?.split_once('/')?;
    let provider: &dyn Provider = shared.providers.get(entry)?.as_ref();
    Some(provider.batches()?.bounds().items)
}
