//! The shares of a claim: a cell is one tier of one run.
//!
//! Systematic sampling (W. G. and L. H. Madow, "On the Theory of Systematic Sampling", Annals of
//! Mathematical Statistics 15, 1944), as in `priority::quota`, here with shares that are no whole
//! numbers, step by step as the claim does it.

use super::Board;

/// One tier of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cell {
    /// The run.
    pub(super) run: usize,
    /// The tier.
    pub(super) tier: usize,
    /// Its part of all slots, while others want theirs.
    pub(super) share: f64,
}

/// The cells that hold a lane with an open model, by tier, then by run: the run's part of all runs'
/// weight, and of that the tier's part of its mix.
pub(super) fn cells(board: &Board) -> Vec<Cell> {
    let mut places: Vec<(usize, usize)> = board
        .lanes
        .iter()
        .filter(|lane| lane.ladder.iter().any(|&model| board.is_open(model)))
        .map(|lane| (lane.tier, lane.run))
        .collect();
    places.sort_by_key(|&(tier, run)| (tier, board.runs[run].id));
    places.dedup();
    let tiers_of = |run| places.iter().filter(|place| place.1 == run).count() as f64;
    let mix = |(tier, run): (usize, usize)| board.runs[run].mix.get(tier).copied().unwrap_or(1.0);
    let weights: f64 = places
        .iter()
        .map(|&(_, run)| board.runs[run].weight / tiers_of(run))
        .sum();
    places
        .iter()
        .map(|&(tier, run)| {
            let others = places.iter().filter(|place| place.1 == run);
            let mixes: f64 = others.map(|&place| mix(place)).sum();
            Cell {
                run,
                tier,
                share: board.runs[run].weight / weights * mix((tier, run)) / mixes,
            }
        })
        .collect()
}

/// Deals slots by the cells' shares; `None`: nobody wants any. Each gets its share's floor or ceiling,
/// together they get all, and on average over `offset` in `[0, 1)` exactly their shares.
pub(super) fn deal(cells: &[Cell], slots: u32, offset: f64) -> Option<Vec<u32>> {
    let total: f64 = cells.iter().map(|cell| cell.share).sum();
    if total <= 0.0 {
        return None;
    }
    let (mut end, mut given) = (0.0, 0);
    let dealt = cells.iter().enumerate().map(|(place, cell)| {
        end += cell.share / total * f64::from(slots);
        let floor = whole(end + offset);
        // the last one takes the rounding, so that all slots are dealt
        let until = if place + 1 == cells.len() {
            floor.max(slots)
        } else {
            floor
        };
        let quota = until.saturating_sub(given);
        given = until;
        quota
    });
    Some(dealt.collect())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of slots, which is never negative"
)]
fn whole(slots: f64) -> u32 {
    slots.floor() as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(shares: &[f64]) -> Vec<Cell> {
        let cell = |share: &f64| Cell {
            run: 0,
            tier: 0,
            share: *share,
        };
        shares.iter().map(cell).collect()
    }

    proptest! {
        #[test]
        fn all_slots_are_dealt_and_each_gets_about_its_share(
            shares in prop::collection::vec(0.01_f64..9.0, 1..8),
            slots in 0_u32..500,
            offset in 0.0_f64..1.0,
        ) {
            let dealt = deal(&of(&shares), slots, offset).expect("shares");
            prop_assert_eq!(dealt.iter().sum::<u32>(), slots);
            let total: f64 = shares.iter().sum();
            for (share, quota) in shares.iter().zip(dealt) {
                let exact = share / total * f64::from(slots);
                prop_assert!((f64::from(quota) - exact).abs() < 1.0 + 1e-6);
            }
        }
    }

    #[test]
    fn ten_slots_of_four_to_five_to_one() {
        assert_eq!(deal(&of(&[4.0, 5.0, 1.0]), 10, 0.4), Some(vec![4, 5, 1]));
        assert_eq!(deal(&of(&[4.0, 0.0, 0.0]), 3, 0.4), Some(vec![3, 0, 0]));
        assert_eq!(deal(&of(&[0.0]), 3, 0.4), None);
    }
}
