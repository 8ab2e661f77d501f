//! I3: attempts are recorded and bounded.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{History, Violation};

/// A claim raises the epoch: as many epochs as claims stand in the attempts.
pub(super) fn every_claim_has_an_attempt(history: &History) -> Vec<Violation> {
    let mut epochs: BTreeMap<Uuid, BTreeSet<i32>> = BTreeMap::new();
    for attempt in &history.attempts {
        epochs
            .entry(attempt.task)
            .or_default()
            .insert(attempt.epoch);
    }
    let tasks = history.tasks.iter().filter_map(|task| {
        let recorded = epochs.get(&task.id).map_or(0, BTreeSet::len);
        (i32::try_from(recorded) != Ok(task.claims)).then(|| {
            let what = format!(
                "was claimed {} times, and has {recorded} attempts",
                task.claims
            );
            Violation::of("I3", task.id, what)
        })
    });
    tasks.collect()
}

/// Charged attempts of a generation are no more than it may have. A late answer is no attempt of
/// its own: it has the epoch of the one that was given up.
pub(super) fn attempts_are_bounded(history: &History) -> Vec<Violation> {
    let mut charged: BTreeMap<(Uuid, i32), BTreeSet<i32>> = BTreeMap::new();
    for attempt in history.attempts.iter().filter(|attempt| attempt.charged) {
        let place = (attempt.task, attempt.generation);
        charged.entry(place).or_default().insert(attempt.epoch);
    }
    let mut broken = Vec::new();
    for task in &history.tasks {
        let over = |count: i32| count > task.max_attempts;
        let most = (1..=task.generation)
            .filter_map(|generation| charged.get(&(task.id, generation)))
            .map(|epochs| i32::try_from(epochs.len()).unwrap_or(i32::MAX))
            .max();
        if over(task.attempts) || most.is_some_and(over) {
            let what = format!(
                "may have {} attempts; it counts {}, and {} are charged",
                task.max_attempts,
                task.attempts,
                most.unwrap_or(0)
            );
            broken.push(Violation::of("I3", task.id, what));
        }
    }
    broken
}
