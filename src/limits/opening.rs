//! When a limit has room again, if nothing else happens: the pure twin of `limit_opens_at_v2`.

use super::{Book, Dimension, Limit, MINUTE_US, Window, bucket, room};

/// When something opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// At this moment; now, or one that has passed: it is open.
    At(i64),
    /// When a call in flight ends: as good as now.
    Soon,
    /// Not before a person acts.
    Never,
}

impl Opening {
    /// Whether it is open at this moment, or will be within moments.
    pub fn is_by(self, moment: i64) -> bool {
        match self {
            Self::At(at) => at <= moment,
            Self::Soon => true,
            Self::Never => false,
        }
    }

    /// The later of two: what waits for both.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, _) | (_, Self::Never) => Self::Never,
            (Self::At(one), Self::At(two)) => Self::At(one.max(two)),
            (Self::At(at), Self::Soon) | (Self::Soon, Self::At(at)) => Self::At(at),
            (Self::Soon, Self::Soon) => Self::Soon,
        }
    }
}

/// When the limit has room for `need` again, as far as its book tells; a need larger than the whole
/// limit waits for all of it.
pub fn opens_at(limit: &Limit, book: &Book, need: u64, now: i64) -> Opening {
    let need = need.min(limit.size);
    if limit.size == 0 {
        return Opening::Never;
    }
    if limit.dimension == Dimension::Concurrency {
        return Opening::Soon;
    }
    if room(limit, book, now, true) >= need {
        return Opening::At(now);
    }
    match limit.window {
        Window::Run | Window::None => Opening::Never,
        Window::Day { ends_at, .. } => Opening::At(ends_at),
        Window::Minute => {
            let dripped = has_dripped_in(limit, book, need).unwrap_or(now);
            let left = has_left_the_window(limit, book, need, now).unwrap_or(now);
            Opening::At(now.max(dripped).max(left))
        }
    }
}

/// When the bucket holds so much. `None`: it is none, or was never touched.
fn has_dripped_in(limit: &Limit, book: &Book, need: u64) -> Option<i64> {
    let burst = limit.burst?;
    let holds = bucket::capacity(burst, limit.size, limit.guard_ms);
    let spare = i128::from(holds) - i128::from(need.min(burst));
    let early = bucket::rounded(spare as f64 * 60.0 / limit.size as f64 * 1e6);
    Some(bucket::full_at(limit, book)?.saturating_sub(early))
}

/// When enough of the oldest debits has left the window. `None`: it has room, as far as debits go.
fn has_left_the_window(limit: &Limit, book: &Book, need: u64, now: i64) -> Option<i64> {
    let start = limit.window.start(limit, now);
    let allowed = i64::try_from(limit.size - need).unwrap_or(i64::MAX);
    if book.debited_after(start) <= allowed {
        return None;
    }
    let in_window = book.debits.iter().filter(|entry| entry.at > start);
    in_window
        .map(|entry| entry.at)
        .find(|&at| book.debited_after(at) <= allowed)
        .map(|at| {
            at.saturating_add(MINUTE_US)
                .saturating_add(limit.guard_us())
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::Booking;

    proptest! {
        #[test]
        fn a_minute_opens_when_it_is_said_to_and_not_a_moment_before(
            size in 1_u64..100,
            burst in prop::option::of(1_u64..60),
            steps in prop::collection::vec((1_i64..20_000, 1_i64..30), 1..20),
            later in 0_i64..90_000,
        ) {
            let limit = Limit { burst: burst.map(|it| it.min(size)), guard_ms: 0, ..Limit::per_minute(size) };
            let mut book = Book::default();
            let mut at = 0;
            for (step, amount) in steps {
                at += step * 1_000;
                let amount = amount.min(i64::try_from(room(&limit, &book, at, false)).unwrap());
                if amount > 0 {
                    book.debits.push(Booking { at, amount });
                }
            }
            let now = at + later * 1_000;
            let Opening::At(opens) = opens_at(&limit, &book, 1, now) else { panic!("a minute ends") };
            prop_assert!(room(&limit, &book, opens, false) >= 1);
            // a millionth of a call is let pass, and a drop is rounded to the microsecond
            prop_assert!(opens == now || room(&limit, &book, opens - 62, false) == 0);
        }
    }

    #[test]
    fn what_only_a_person_can_open_never_opens_by_itself() {
        let spent = Book {
            debits: vec![Booking { at: 0, amount: 5 }],
            ..Book::default()
        };
        let budget = Limit {
            dimension: Dimension::Money,
            window: Window::Run,
            ..Limit::per_minute(5)
        };
        assert_eq!(opens_at(&budget, &spent, 1, 9), Opening::Never);
        assert_eq!(
            opens_at(&Limit::per_minute(0), &spent, 1, 9),
            Opening::Never
        );
        let day = Window::Day {
            began_at: -1,
            ends_at: 77,
        };
        let quota = Limit {
            window: day,
            ..Limit::per_minute(5)
        };
        assert_eq!(opens_at(&quota, &spent, 1, 9), Opening::At(77));
    }
}
