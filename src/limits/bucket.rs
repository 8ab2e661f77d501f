//! The bucket: at most a burst at once, and the rest evenly.
//!
//! The generic cell rate algorithm (ITU-T I.371): what is kept is the moment at which the bucket will
//! be full again. The burst is made smaller by what may refill during the guard, since calls may
//! arrive closer together than they were granted by that much.

use super::{Book, Limit, MINUTE_US};

/// How many may start at once: the burst, less what may refill during the guard, at least half of it.
///
/// ```
/// # use tidegate::limits::capacity;
/// assert_eq!(capacity(10, 60, 1_000), 9, "one refills in the guard of a second");
/// assert_eq!(capacity(10, 6_000, 1_000), 5, "never less than half");
/// ```
pub fn capacity(burst: u64, size: u64, guard_ms: u32) -> u64 {
    let refills = (u128::from(size) * u128::from(guard_ms)).div_ceil(60_000);
    let refills = u64::try_from(refills).unwrap_or(u64::MAX);
    burst.div_ceil(2).max(burst.saturating_sub(refills))
}

/// When it is full again, to the microsecond, each step rounded as Postgres does. `None`: nothing
/// was ever poured from it.
pub(super) fn full_at(limit: &Limit, book: &Book) -> Option<i64> {
    let mut full_at: Option<i64> = None;
    for entry in book.poured() {
        let from = full_at.map_or(entry.at, |full| full.max(entry.at));
        full_at = Some(from.saturating_add(refill_us(limit, entry.amount)));
    }
    full_at
}

/// How long so much takes to drip in; nothing ever does into a bucket of nothing.
fn refill_us(limit: &Limit, amount: i64) -> i64 {
    if limit.size == 0 {
        return 0;
    }
    rounded(amount as f64 * 60.0 / limit.size as f64 * 1e6)
}

/// What it holds now, in calls or tokens; below zero after more was poured from it than it held. `None`:
/// the limit is no bucket.
pub fn level(limit: &Limit, book: &Book, now: i64) -> Option<f64> {
    let millionths = level_millionths(limit, book, now)?;
    Some(millionths as f64 / MINUTE_US as f64)
}

/// The whole part of it, as the claim counts: a millionth of a call is let pass.
pub(super) fn whole(limit: &Limit, book: &Book, now: i64) -> Option<i64> {
    let millionths = level_millionths(limit, book, now)?;
    i64::try_from((millionths + 60).div_euclid(i128::from(MINUTE_US))).ok()
}

/// In units of a sixty-millionth, so that nothing is rounded.
fn level_millionths(limit: &Limit, book: &Book, now: i64) -> Option<i128> {
    let holds = capacity(limit.burst?, limit.size, limit.guard_ms);
    let until_full = full_at(limit, book).map_or(0, |full| full.saturating_sub(now).max(0));
    let missing = i128::from(until_full) * i128::from(limit.size);
    Some(i128::from(holds) * i128::from(MINUTE_US) - missing)
}

/// Half to even, as Postgres rounds a number of seconds to microseconds.
#[expect(clippy::cast_possible_truncation, reason = "saturates")]
pub(super) fn rounded(us: f64) -> i64 {
    us.round_ties_even() as i64
}
