//! Tasks that were taken for a later model of their ladder: told once a claim.
//!
//! Owns: the target `tidegate::fallback`. Never: a decision; the claim has chosen.

use std::collections::{BTreeMap, HashMap};

use crate::store::{Store, claim::Claimed};

/// First choices kept at most: lanes come and go with their runs.
const KEPT_MAX: usize = 10_000;

/// Knows the first choice of each lane it has met.
#[derive(Default)]
pub(super) struct Fallbacks {
    first: HashMap<i32, String>,
}

/// Tasks of one claim that were taken on a later rung: by lane and model, how many.
pub(super) type Taken = BTreeMap<(i32, String), usize>;

/// What of a claim is to be told.
pub(super) fn taken(claimed: &[Claimed]) -> Taken {
    let mut taken = Taken::new();
    for task in claimed.iter().filter(|task| task.rung > 1) {
        *taken.entry((task.lane, task.model.clone())).or_default() += 1;
    }
    taken
}

impl Fallbacks {
    /// Tells it: a line per model and first choice. What cannot be looked up is not told.
    pub(super) async fn tell(&mut self, store: &Store, taken: Taken) {
        let missing: Vec<i32> = taken
            .keys()
            .map(|(lane, _)| *lane)
            .filter(|lane| !self.first.contains_key(lane))
            .collect();
        if !missing.is_empty() {
            if self.first.len() + missing.len() > KEPT_MAX {
                self.first.clear();
            }
            let found = store.first_choices(&missing).await;
            self.first.extend(found.into_iter().flatten());
        }
        for ((first, model), count) in by_model(&self.first, taken) {
            tracing::info!(
                target: "tidegate::fallback",
                { model.name = %model, model.first = %first, tasks = count },
                "{count} tasks go to {model} instead of {first}"
            );
        }
    }
}

/// Lanes of the same first choice together.
fn by_model(first: &HashMap<i32, String>, taken: Taken) -> BTreeMap<(String, String), usize> {
    let mut sums = BTreeMap::new();
    for ((lane, model), count) in taken {
        if let Some(first) = first.get(&lane) {
            *sums.entry((first.clone(), model)).or_default() += count;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_of_one_first_choice_are_told_together() {
        let first = HashMap::from([
            (1, "a".to_owned()),
            (2, "a".to_owned()),
            (3, "b".to_owned()),
        ]);
        let taken = [((1, "c"), 2), ((2, "c"), 3), ((3, "c"), 1), ((4, "c"), 9)];
        let taken = taken.map(|((lane, model), count)| ((lane, model.to_owned()), count));
        let sums: Vec<_> = by_model(&first, taken.into()).into_iter().collect();
        let key = |first: &str| (first.to_owned(), "c".to_owned());
        assert_eq!(sums, [(key("a"), 5), (key("b"), 1)]);
    }
}
