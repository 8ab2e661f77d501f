//! The mix of tiers in a claim: 4 : 5 : 1 of each ten, exact on average for any number of slots.
//!
//! Systematic sampling (W. G. and L. H. Madow, "On the Theory of Systematic Sampling", Annals of
//! Mathematical Statistics 15, 1944; in population genetics "stochastic universal sampling",
//! J. E. Baker, 1987): lay the shares end to end on a line of length `slots`, put down a comb with
//! teeth one apart and one random offset, and count the teeth in each share. Every count is its
//! share's floor or ceiling, their sum is always `slots`, and the mean over offsets is the share.

use super::PriorityError;

/// How many of the slots of one claim each tier gets, in proportion.
///
/// ```
/// # use tidegate::priority::Mix;
/// let mix = Mix::new(vec![4, 5, 1])?;
/// assert_eq!(mix.quota(10, 0.7), [4, 5, 1]); // whole: the offset changes nothing
/// assert_eq!(mix.quota(1, 0.0), [0, 0, 1]);
/// assert_eq!(mix.quota(1, 0.3), [0, 1, 0]);
/// assert_eq!(mix.quota(1, 0.9), [1, 0, 0]);
/// # Ok::<(), tidegate::priority::PriorityError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix(Vec<u32>);

impl Mix {
    /// Weights from tier 0 on.
    ///
    /// # Errors
    /// [`PriorityError::NoTiers`] when empty, [`PriorityError::Starved`] when one is 0.
    pub fn new(weights: Vec<u32>) -> Result<Self, PriorityError> {
        if weights.is_empty() {
            return Err(PriorityError::NoTiers);
        }
        match weights.iter().position(|&weight| weight == 0) {
            Some(tier) => Err(PriorityError::Starved { tier }),
            None => Ok(Self(weights)),
        }
    }

    /// The slots of each tier, when all of them have work. `offset` is in `[0, 1)`.
    pub fn quota(&self, slots: u32, offset: f64) -> Vec<u32> {
        quota(&self.0, slots, offset)
    }

    /// The same, when only some tiers have work: what the empty ones would have had goes to the
    /// others in proportion. A tier that `has_work` does not name is empty.
    pub fn quota_among(&self, has_work: &[bool], slots: u32, offset: f64) -> Vec<u32> {
        let present = |tier: usize| has_work.get(tier).copied().unwrap_or(false);
        let weights: Vec<u32> = self
            .0
            .iter()
            .enumerate()
            .map(|(t, &w)| if present(t) { w } else { 0 })
            .collect();
        quota(&weights, slots, offset)
    }

    /// The weights, from tier 0 on.
    pub fn weights(&self) -> &[u32] {
        &self.0
    }
}

/// Shares `slots` out among any list of weights by systematic sampling.
///
/// Entry k gets floor(a(k) + offset) - floor(a(k-1) + offset), where a(k) = slots x (weights up to
/// k) / (all weights). The whole part of a(k) is kept in integers, so that a mix which comes out
/// whole is whole whatever the offset. A weight of 0 gets nothing; all 0 (or none) gives all 0.
/// `offset` is in `[0, 1)`; what lies outside is brought there, and NaN counts as 0.
pub fn quota(weights: &[u32], slots: u32, offset: f64) -> Vec<u32> {
    let offset = if offset.is_finite() {
        offset.clamp(0.0, BELOW_ONE)
    } else {
        0.0
    };
    let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    if total == 0 {
        return vec![0; weights.len()];
    }
    let mut cumulative = 0;
    let mut given = 0;
    weights
        .iter()
        .map(|&weight| {
            cumulative += u64::from(weight);
            let end = floor_of_end(slots, cumulative, total, offset);
            let share = end - given;
            given = end;
            share
        })
        .collect()
}

/// floor(slots x cumulative / total + offset).
fn floor_of_end(slots: u32, cumulative: u64, total: u64, offset: f64) -> u32 {
    let product = u128::from(slots) * u128::from(cumulative);
    let whole = u32::try_from(product / u128::from(total))
        .expect("a cumulative weight is at most the total, so its end at most `slots`");
    let rest = product % u128::from(total);
    whole + u32::from(rest as f64 / total as f64 + offset >= 1.0)
}

/// The largest number below 1.
const BELOW_ONE: f64 = 1.0 - f64::EPSILON / 2.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_slots_are_given_and_each_share_is_its_floor_or_ceiling(
            weights in prop::collection::vec(0u32..1_000, 1..8),
            slots in 0u32..5_000,
            offset in 0.0f64..1.0,
        ) {
            let total: u64 = weights.iter().map(|&w| u64::from(w)).sum();
            let given = quota(&weights, slots, offset);
            if total == 0 {
                prop_assert!(given.iter().all(|&share| share == 0));
                return Ok(());
            }
            prop_assert_eq!(given.iter().sum::<u32>(), slots);
            for (&weight, &share) in weights.iter().zip(&given) {
                let product = u64::from(slots) * u64::from(weight);
                prop_assert!(u64::from(share) >= product / total);
                prop_assert!(u64::from(share) <= product.div_ceil(total));
            }
        }

        #[test]
        fn it_is_exact_on_average(
            weights in prop::collection::vec(1u32..12, 1..5),
            slots in 1u32..25,
        ) {
            // Offsets at the middle of each of `total` equal steps see every fraction exactly.
            let total: u32 = weights.iter().sum();
            let mut sums = vec![0; weights.len()];
            for step in 0..total {
                let offset = (f64::from(step) + 0.5) / f64::from(total);
                for (sum, share) in sums.iter_mut().zip(quota(&weights, slots, offset)) {
                    *sum += share;
                }
            }
            let wanted: Vec<u32> = weights.iter().map(|&weight| weight * slots).collect();
            prop_assert_eq!(sums, wanted);
        }

        #[test]
        fn ten_slots_of_the_default_mix_are_whole(offset in 0.0f64..1.0) {
            prop_assert_eq!(Mix::new(vec![4, 5, 1]).unwrap().quota(10, offset), [4, 5, 1]);
        }
    }

    #[test]
    fn the_share_of_an_empty_tier_goes_to_the_others() {
        let mix = Mix::new(vec![4, 5, 1]).unwrap();
        assert_eq!(mix.quota_among(&[true, false, true], 10, 0.5), [8, 0, 2]);
        assert_eq!(mix.quota_among(&[false, false, true], 7, 0.0), [0, 0, 7]);
        assert_eq!(mix.quota_among(&[], 7, 0.0), [0, 0, 0]);
    }

    #[test]
    fn odd_offsets_do_no_harm() {
        for offset in [f64::NAN, f64::INFINITY, -1.0, 1.0, 7.0] {
            assert_eq!(quota(&[1, 2], 4, offset).iter().sum::<u32>(), 4);
        }
        assert_eq!(
            quota(&[u32::MAX; 3], u32::MAX, 0.5)
                .iter()
                .map(|&s| u64::from(s))
                .sum::<u64>(),
            u64::from(u32::MAX)
        );
    }

    #[test]
    fn a_mix_starves_nobody() {
        assert_eq!(Mix::new(vec![]), Err(PriorityError::NoTiers));
        assert_eq!(
            Mix::new(vec![4, 0]),
            Err(PriorityError::Starved { tier: 1 })
        );
    }
}
