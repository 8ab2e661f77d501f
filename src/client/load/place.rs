//! In which tier each item is, known by its score and little of its id.

use std::cmp::Ordering;

use sha2::{Digest, Sha256};

/// What the rank of an item follows from.
pub(super) struct Placed {
    score: f64,
    /// The beginning of its id, which decides among equals.
    id: [u8; 16],
}

impl Placed {
    pub(super) fn of(score: f64, id: &str) -> Self {
        let mut first = [0; 16];
        for (to, from) in first.iter_mut().zip(id.bytes()) {
            *to = from;
        }
        Self { score, id: first }
    }
}

/// The tier of each item: the best first.
pub(super) fn tiers_of(items: &[Placed], tiers: &[u64]) -> Vec<usize> {
    let better = |one: &usize, other: &usize| -> Ordering {
        let (one, other) = (&items[*one], &items[*other]);
        let by_score = other.score.total_cmp(&one.score);
        by_score.then_with(|| one.id.cmp(&other.id))
    };
    let mut ranked: Vec<usize> = (0..items.len()).collect();
    ranked.sort_by(better);
    let sizes = tiers.iter().enumerate();
    let in_order = sizes.flat_map(|(tier, size)| {
        let size = usize::try_from(*size).unwrap_or(usize::MAX);
        std::iter::repeat_n(tier, size)
    });
    let mut tier_of = vec![0; items.len()];
    for (item, tier) in ranked.into_iter().zip(in_order) {
        tier_of[item] = tier;
    }
    tier_of
}

/// Enough of an id's hash to tell ids apart, in little memory.
pub(super) fn short_hash(id: &str) -> [u8; 16] {
    let hash = Sha256::digest(id.as_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(&hash[..16]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_in_the_first_tier_and_among_equals_the_id_decides() {
        let items = [(1.0, "a"), (3.0, "z"), (3.0, "b"), (2.0, "c")];
        let items = items.map(|(score, id)| Placed::of(score, id));
        assert_eq!(tiers_of(&items, &[1, 2, 1]), [2, 1, 0, 1]);
        assert_eq!(tiers_of(&[], &[0, 0]), [0; 0]);
    }
}
