//! The tier of a rank: all items of a run, best first, cut by shares.

use super::{PriorityError, WHOLE_BP};

/// The share of each tier, in basis points; together they are a whole.
///
/// Rank r of N (from 1, best first) is in the first tier with r <= ceil(cumulative share x N), so
/// that rounding favours the better tier and a single item is tier 0 whatever the shares are.
///
/// ```
/// # use tidegate::priority::Shares;
/// let shares = Shares::new(vec![3_000, 5_000, 2_000])?;
/// assert_eq!(shares.ends(10), [3, 8, 10]);
/// assert_eq!((shares.tier(3, 10), shares.tier(4, 10), shares.tier(1, 1)), (0, 1, 0));
/// # Ok::<(), tidegate::priority::PriorityError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares(Vec<u32>);

impl Shares {
    /// Shares from tier 0 on. A share of 0 is allowed: nothing is ranked into that tier.
    ///
    /// # Errors
    /// [`PriorityError::NoTiers`] when empty, [`PriorityError::Shares`] when they do not sum to
    /// 10,000.
    pub fn new(shares_bp: Vec<u32>) -> Result<Self, PriorityError> {
        let sum_bp = shares_bp.iter().map(|&share| u64::from(share)).sum();
        if shares_bp.is_empty() {
            Err(PriorityError::NoTiers)
        } else if sum_bp != u64::from(WHOLE_BP) {
            Err(PriorityError::Shares { sum_bp })
        } else {
            Ok(Self(shares_bp))
        }
    }

    /// The last rank of each tier among `total` items: ceil(cumulative share x total), exactly.
    pub fn ends(&self, total: u64) -> Vec<u64> {
        let whole = u128::from(WHOLE_BP);
        let mut cumulative = 0;
        self.0
            .iter()
            .map(|&share| {
                cumulative += u128::from(share);
                u64::try_from((cumulative * u128::from(total)).div_ceil(whole))
                    .expect("a cumulative share is at most the whole, so its end at most `total`")
            })
            .collect()
    }

    /// The tier of one rank, counted from 1, among `total`. A rank beyond `total` is in the last.
    pub fn tier(&self, rank: u64, total: u64) -> usize {
        self.ends(total)
            .iter()
            .position(|&end| rank <= end)
            .unwrap_or(self.0.len() - 1)
    }

    /// The shares, in basis points, from tier 0 on.
    pub fn as_bp(&self) -> &[u32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One to six shares that sum to the whole, zeros among them.
    fn shares() -> impl Strategy<Value = Vec<u32>> {
        prop::collection::vec(0..=WHOLE_BP, 0..6).prop_map(|mut cuts| {
            cuts.push(0);
            cuts.push(WHOLE_BP);
            cuts.sort_unstable();
            cuts.windows(2).map(|pair| pair[1] - pair[0]).collect()
        })
    }

    /// The rule as fractions, with no rounding at all: r <= ceil(c x N / 10000) says the same as
    /// (r - 1) x 10000 < c x N.
    fn by_fractions(shares: &[u32], rank: u64, total: u64) -> usize {
        let reaches = |tier: usize| {
            let cumulative: u128 = shares[..=tier].iter().map(|&share| u128::from(share)).sum();
            u128::from(rank - 1) * 10_000 < cumulative * u128::from(total)
        };
        (0..shares.len())
            .find(|&tier| reaches(tier))
            .expect("the last one reaches all")
    }

    proptest! {
        #[test]
        fn every_rank_has_the_tier_of_the_fractions(bp in shares(), total in 1u64..400) {
            let shares = Shares::new(bp.clone()).unwrap();
            for rank in 1..=total {
                prop_assert_eq!(shares.tier(rank, total), by_fractions(&bp, rank, total));
            }
        }

        #[test]
        fn large_runs_are_exact_too(bp in shares(), total in 1u64..=u64::MAX, pick: prop::sample::Index) {
            let shares = Shares::new(bp.clone()).unwrap();
            let ends = shares.ends(total);
            prop_assert!(ends.is_sorted());
            prop_assert_eq!(ends.last(), Some(&total));
            let near = *pick.get(&ends);
            for rank in [near.saturating_sub(1), near, near.saturating_add(1)] {
                if (1..=total).contains(&rank) {
                    prop_assert_eq!(shares.tier(rank, total), by_fractions(&bp, rank, total));
                }
            }
        }

        #[test]
        fn a_single_item_is_in_the_first_tier_with_a_share(bp in shares()) {
            let first = bp.iter().position(|&share| share > 0);
            prop_assert_eq!(Some(Shares::new(bp).unwrap().tier(1, 1)), first);
        }
    }

    #[test]
    fn shares_must_make_a_whole() {
        assert_eq!(Shares::new(vec![]), Err(PriorityError::NoTiers));
        for (bp, sum_bp) in [(vec![3_000, 5_000], 8_000), (vec![10_000, 1], 10_001)] {
            assert_eq!(Shares::new(bp), Err(PriorityError::Shares { sum_bp }));
        }
    }
}
