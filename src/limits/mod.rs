//! How much of a limit is left: the executable specification of `limit_room_v1` in SQL.
//!
//! At run time SQL decides, in the claim's own transaction; a property test feeds both the same
//! books and compares. Owns: [`Limit`], [`Booking`], [`room`]. Never: I/O, a clock.
//!
//! No span of window and guard together gets more than the size, however it is placed: providers
//! count in fixed, sliding or bucket fashion and do not always say which, and a call may arrive up
//! to the guard after its grant. With a burst, besides, at most so many start at once and the rest
//! evenly: the generic cell rate algorithm (ITU-T I.371), with the burst made smaller by what may
//! refill during the guard, since arrivals may bunch by that much.

/// A limit per minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Requests or tokens per 60 s.
    pub size: u64,
    /// How many may start at once; `None`: all of them.
    pub burst: Option<u64>,
    /// How late a call may arrive after its grant, in milliseconds.
    pub guard_ms: u64,
}

/// One debit, at a moment in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booking {
    /// When.
    pub at_ms: i64,
    /// How much; negative where a call used less than was reserved.
    pub amount: i64,
}

const WINDOW_MS: i64 = 60_000;

/// What may be granted at `now_ms`, after these debits (oldest first).
///
/// ```
/// # use tidegate::limits::{room, Booking, Limit};
/// let limit = Limit { size: 60, burst: Some(10), guard_ms: 0 };
/// let spent = [Booking { at_ms: 0, amount: 10 }];
/// assert_eq!(room(limit, &[], 0), 10, "a full bucket");
/// assert_eq!(room(limit, &spent, 0), 0, "an empty one");
/// assert_eq!(room(limit, &spent, 3_000), 3, "one a second drips in");
/// ```
pub fn room(limit: Limit, debits: &[Booking], now_ms: i64) -> u64 {
    let in_window = window_room(limit, debits, now_ms);
    let in_bucket = limit
        .burst
        .map_or(in_window, |burst| bucket_room(limit, burst, debits, now_ms));
    u64::try_from(in_window.min(in_bucket)).unwrap_or(0)
}

fn window_room(limit: Limit, debits: &[Booking], now_ms: i64) -> i64 {
    let guard = i64::try_from(limit.guard_ms).unwrap_or(i64::MAX);
    let start = now_ms.saturating_sub(WINDOW_MS).saturating_sub(guard);
    let used: i64 = debits
        .iter()
        .filter(|d| d.at_ms > start)
        .map(|d| d.amount)
        .sum();
    i64::try_from(limit.size)
        .unwrap_or(i64::MAX)
        .saturating_sub(used)
}

fn bucket_room(limit: Limit, burst: u64, debits: &[Booking], now_ms: i64) -> i64 {
    let per_ms = limit.size as f64 / WINDOW_MS as f64;
    if per_ms <= 0.0 {
        return 0;
    }
    let refill = (limit.size as f64 * limit.guard_ms as f64 / WINDOW_MS as f64).ceil();
    let capacity = (burst as f64 / 2.0).ceil().max(burst as f64 - refill);
    let full_at = debits
        .iter()
        .filter(|d| d.amount > 0)
        .fold(f64::MIN, |full_at, debit| {
            full_at.max(debit.at_ms as f64) + debit.amount as f64 / per_ms
        });
    let missing = (full_at - now_ms as f64).max(0.0) * per_ms;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, and a burst is far below 2^52"
    )]
    let left = (capacity - missing + 1e-6).floor() as i64;
    left
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes all that may be taken at each moment.
    fn greedy(limit: Limit, moments: &[i64]) -> Vec<Booking> {
        let mut debits = Vec::new();
        for &at_ms in moments {
            let amount = i64::try_from(room(limit, &debits, at_ms)).expect("a small room");
            if amount > 0 {
                debits.push(Booking { at_ms, amount });
            }
        }
        debits
    }

    proptest! {
        #[test]
        fn no_window_however_placed_gets_more_than_the_size(
            size in 1_u64..500,
            burst in prop::option::of(1_u64..200),
            guard_ms in 0_u64..2_000,
            steps in prop::collection::vec(1_i64..5_000, 1..120),
            delays_permille in prop::collection::vec(0..=1000_i64, 120),
        ) {
            let limit = Limit { size, burst, guard_ms };
            let moments: Vec<i64> = steps.iter().scan(0, |at, step| { *at += step; Some(*at) }).collect();
            let mut arrivals: Vec<(i64, i64)> = greedy(limit, &moments)
                .iter()
                .zip(delays_permille)
                .map(|(d, share)| (d.at_ms + i64::try_from(guard_ms).unwrap() * share / 1000, d.amount))
                .collect();
            arrivals.sort_unstable();
            for &(start, _) in &arrivals {
                let sum: i64 = arrivals.iter().filter(|(at, _)| *at >= start && *at < start + WINDOW_MS).map(|(_, n)| n).sum();
                prop_assert!(sum <= i64::try_from(size).unwrap(), "{sum} of {size} from {start}");
            }
        }

        #[test]
        fn a_limit_of_nothing_grants_nothing(burst in prop::option::of(1_u64..9), now in 0_i64..1_000_000) {
            prop_assert_eq!(room(Limit { size: 0, burst, guard_ms: 0 }, &[], now), 0);
        }
    }
}
