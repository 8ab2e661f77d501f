//! What may be granted of a limit now: the pure twin of `limit_room_v2`.

use super::{Book, Dimension, Limit, bucket};

/// What may be granted at `now`, after what its book says. `interactive`: what is kept back for
/// interactive calls may be used too.
///
/// No span of 60 s and the guard together gets more than the size, however it is placed; with a burst,
/// besides, at most so many start at once and the rest evenly. A day counts from its beginning, a run
/// all it ever used, calls at once those in flight.
///
/// ```
/// # use tidegate::limits::{room, Book, Booking, Limit, SECOND_US};
/// let limit = Limit { burst: Some(10), guard_ms: 0, ..Limit::per_minute(60) };
/// let spent = Book { debits: vec![Booking { at: 0, amount: 10 }], ..Book::default() };
/// assert_eq!(room(&limit, &Book::default(), 0, false), 10, "a full bucket");
/// assert_eq!(room(&limit, &spent, 0, false), 0, "an empty one");
/// assert_eq!(room(&limit, &spent, 3 * SECOND_US, false), 3, "one a second drips in");
/// ```
pub fn room(limit: &Limit, book: &Book, now: i64, interactive: bool) -> u64 {
    let size = i64::try_from(limit.size).unwrap_or(i64::MAX);
    let left = if limit.dimension == Dimension::Concurrency {
        size.saturating_sub(i64::try_from(book.in_flight).unwrap_or(i64::MAX))
    } else {
        let in_window = size.saturating_sub(book.used_after(limit.window.start(limit, now)));
        bucket::whole(limit, book, now).map_or(in_window, |held| held.min(in_window))
    };
    let kept = if interactive { 0 } else { limit.kept_back(now) };
    u64::try_from(left).unwrap_or(0).saturating_sub(kept)
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
