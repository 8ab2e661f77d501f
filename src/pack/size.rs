//! How many items travel together: fewer after trouble, more again when all goes well.
//!
//! Additive increase, multiplicative decrease: D.-M. Chiu and R. Jain, "Analysis of the increase and
//! decrease algorithms for congestion avoidance in computer networks", Computer Networks and ISDN
//! Systems 17 (1989). Trouble costs calls at once, so the size is halved on it; whether a larger
//! pack works can only be tried, so it grows by one.

use std::fmt;

/// A size and what came of it, counted since it last changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Items a pack; 1: each is asked alone. 0 counts as 1.
    pub size: u16,
    /// Calls made: packs, or at size 1 single items.
    pub packs: u64,
    /// Items in them.
    pub items: u64,
    /// Items that got no answer of their own out of them: missing, doubled, malformed, or refused by
    /// the schema. Not those of calls that failed as a whole for another reason.
    pub lost: u64,
}

/// Another size, from which counting begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Items a pack from now on, at least 1.
    pub size: u16,
    /// Why.
    pub reason: Reason,
}

/// Why a size changes. Its `Display` is a short line for people: `torn 12 of 40 items`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Too many items were lost.
    Torn {
        /// Items lost.
        lost: u64,
        /// Of so many.
        items: u64,
    },
    /// Hardly any was lost.
    Whole {
        /// Items lost.
        lost: u64,
        /// Of so many.
        items: u64,
    },
    /// Single calls went well, so that packs may be tried again.
    Alone {
        /// Calls that brought their answer.
        clean: u64,
    },
}

/// Whether another size is due. `most` is what the worker's folder asks for.
///
/// After 10 packs, or 4 if at least half of their items were lost: more than a quarter lost halves
/// the size. After 20 packs with less than a twentieth lost it grows by one, up to `most`. From 1 it
/// grows to 2 after 50 calls that brought their answer.
///
/// ```
/// # use tidegate::pack::{adapt, Change, Reason, State};
/// let torn = State { size: 5, packs: 10, items: 40, lost: 12 };
/// let change = adapt(&torn, 5).unwrap();
/// assert_eq!((change.size, change.reason.to_string()), (2, "torn 12 of 40 items".to_owned()));
/// ```
pub fn adapt(state: &State, most: u16) -> Option<Change> {
    let State {
        packs, items, lost, ..
    } = *state;
    let size = state.size.max(1);
    if size == 1 {
        let clean = items.saturating_sub(lost);
        let is_due = clean >= CLEAN_ALONE && most >= 2;
        return is_due.then_some(Change {
            size: 2,
            reason: Reason::Alone { clean },
        });
    }
    let is_judged = packs >= JUDGED || (packs >= JUDGED_BADLY && is_above(lost, items, HALF));
    if is_judged && lost > 0 && lost.saturating_mul(TORN_PARTS) > items {
        return Some(Change {
            size: after_torn(size),
            reason: Reason::Torn { lost, items },
        });
    }
    let is_whole = packs >= GROWN && lost.saturating_mul(WHOLE_PARTS) < items;
    (is_whole && size < most).then_some(Change {
        size: size + 1,
        reason: Reason::Whole { lost, items },
    })
}

/// With how many at most an item that was lost travels next: half as many, in the end alone.
///
/// ```
/// # use tidegate::pack::after_torn;
/// assert_eq!([5, 2, 1].map(after_torn), [2, 1, 1]);
/// ```
pub fn after_torn(size: u16) -> u16 {
    (size / 2).max(1)
}

/// Whether at least one in `parts` was lost.
fn is_above(lost: u64, items: u64, parts: u64) -> bool {
    lost > 0 && lost.saturating_mul(parts) >= items
}

/// Packs after which a size is judged.
const JUDGED: u64 = 10;
/// The same when at least half of the items were lost.
const JUDGED_BADLY: u64 = 4;
const HALF: u64 = 2;
/// More lost than one in so many: the size is halved.
const TORN_PARTS: u64 = 4;
/// Packs after which a size grows.
const GROWN: u64 = 20;
/// Fewer lost than one in so many: the size grows.
const WHOLE_PARTS: u64 = 20;
/// Answers to single items after which packs are tried again.
const CLEAN_ALONE: u64 = 50;

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torn { lost, items } => write!(out, "torn {lost} of {items} items"),
            Self::Whole { lost, items } => write!(out, "lost only {lost} of {items} items"),
            Self::Alone { clean } => write!(out, "answered {clean} items one by one"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn next(size: u16, packs: u64, lost: u64) -> Option<u16> {
        let items = packs * u64::from(size);
        let state = State {
            size,
            packs,
            items,
            lost,
        };
        adapt(&state, 5).map(|change| change.size)
    }

    #[test]
    fn sizes_change_at_their_bounds_and_not_before() {
        for (size, packs, lost, wanted) in [
            (5, 3, 15, None), // too early to tell
            (5, 4, 9, None),  // less than half, and only 4 packs
            (5, 4, 10, Some(2)),
            (4, 10, 10, None), // a quarter
            (4, 10, 11, Some(2)),
            (2, 10, 20, Some(1)),
            (4, 19, 0, None),
            (4, 20, 3, Some(5)),
            (4, 20, 4, None), // a twentieth
            (5, 20, 0, None), // as large as it may be
            (1, 49, 0, None),
            (1, 60, 11, None),
            (1, 60, 10, Some(2)),
            (1, 10, 10, None), // it cannot be smaller
            (0, 0, 0, None),
        ] {
            assert_eq!(next(size, packs, lost), wanted, "{size} {packs} {lost}");
        }
    }

    #[test]
    fn a_worker_that_asks_alone_stays_so() {
        let state = State {
            size: 1,
            packs: 90,
            items: 90,
            lost: 0,
        };
        assert_eq!(adapt(&state, 1), None);
        let words = adapt(&state, 5).unwrap().reason.to_string();
        assert_eq!(words, "answered 90 items one by one");
    }

    proptest! {
        #[test]
        fn a_size_stays_within_its_bounds(
            size: u16, packs: u64, items: u64, lost: u64, most: u16,
        ) {
            let state = State { size, packs, items, lost };
            if let Some(change) = adapt(&state, most) {
                prop_assert!(change.size >= 1 && change.size != size.max(1));
                prop_assert!(change.size < size || change.size <= most);
            }
        }
    }
}
