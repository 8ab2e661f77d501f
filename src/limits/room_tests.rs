use proptest::prelude::*;

use crate::limits::{Book, Booking, Dimension, Limit, MINUTE_US, SECOND_US, Window, reserve, room};

fn a_limit(size: u64, burst: Option<u64>, guard_ms: u32) -> Limit {
    Limit {
        burst,
        guard_ms,
        ..Limit::per_minute(size)
    }
}

/// Takes all that may be taken at each moment.
fn greedy(limit: &Limit, moments: &[i64]) -> Book {
    let mut book = Book::default();
    for &at in moments {
        let amount = i64::try_from(room(limit, &book, at, false)).expect("a small room");
        if amount > 0 {
            book.debits.push(Booking { at, amount });
        }
    }
    book
}

proptest! {
    #[test]
    fn no_window_however_placed_gets_more_than_the_size(
        size in 1_u64..500,
        burst in prop::option::of(1_u64..200),
        guard_ms in 0_u32..2_000,
        steps in prop::collection::vec(1_i64..5_000, 1..120),
        delays_permille in prop::collection::vec(0..=1000_i64, 120),
    ) {
        let limit = a_limit(size, burst, guard_ms);
        let moments: Vec<i64> = steps.iter().scan(0, |at, step| { *at += step * 1_000; Some(*at) }).collect();
        let mut arrivals: Vec<(i64, i64)> = greedy(&limit, &moments)
            .debits
            .iter()
            .zip(delays_permille)
            .map(|(d, share)| (d.at + i64::from(guard_ms) * share, d.amount))
            .collect();
        arrivals.sort_unstable();
        for &(start, _) in &arrivals {
            let sum: i64 = arrivals.iter().filter(|(at, _)| *at >= start && *at < start + MINUTE_US).map(|(_, n)| n).sum();
            prop_assert!(sum <= i64::try_from(size).unwrap(), "{sum} of {size} from {start}");
        }
    }

    #[test]
    fn a_limit_of_nothing_grants_nothing(burst in prop::option::of(1_u64..9), now in 0_i64..1_000_000_000) {
        prop_assert_eq!(room(&a_limit(0, burst, 0), &Book::default(), now, true), 0);
    }

    #[test]
    fn the_reserve_is_a_twentieth_at_least_one_and_never_over_half(size in 0_u64..1_000_000) {
        let kept = reserve(size);
        prop_assert!(kept <= size / 2);
        prop_assert!(size < 2 || kept >= 1 && kept >= size / 20);
        prop_assert!(kept <= 1 || kept <= size.div_ceil(20));
    }

    #[test]
    fn what_is_kept_back_is_for_interactive_calls_and_ends_after_ten_minutes(size in 2_u64..500, since in 0_i64..1_300) {
        let limit = Limit { interactive_at: Some(0), ..a_limit(size, None, 0) };
        let now = since * SECOND_US;
        let kept = if since <= 600 { reserve(size) } else { 0 };
        prop_assert_eq!(room(&limit, &Book::default(), now, true), size);
        prop_assert_eq!(room(&limit, &Book::default(), now, false), size - kept);
    }
}

#[test]
fn a_correction_leaves_the_window_with_the_call_that_it_corrects() {
    let limit = Limit {
        dimension: Dimension::TotalTokens,
        ..a_limit(1_000, None, 0)
    };
    let book = Book {
        debits: vec![Booking { at: 0, amount: 600 }],
        corrections: vec![Booking {
            at: 0,
            amount: -200,
        }],
        ..Book::default()
    };
    assert_eq!(room(&limit, &book, SECOND_US, false), 600);
    assert_eq!(room(&limit, &book, MINUTE_US, false), 1_000);
}

#[test]
fn a_day_counts_from_its_beginning_a_run_everything_and_calls_at_once_those_in_flight() {
    let book = Book {
        debits: vec![
            Booking { at: 5, amount: 7 },
            Booking { at: 10, amount: 1 },
            Booking { at: 11, amount: 2 },
        ],
        in_flight: 4,
        ..Book::default()
    };
    let of = |dimension, window| Limit {
        dimension,
        window,
        ..a_limit(20, None, 0)
    };
    let day = of(
        Dimension::Requests,
        Window::Day {
            began_at: 10,
            ends_at: 99,
        },
    );
    let now = 10 * MINUTE_US;
    assert_eq!(room(&day, &book, now, false), 18);
    assert_eq!(
        room(&of(Dimension::Money, Window::Run), &book, now, false),
        10
    );
    let at_once = of(Dimension::Concurrency, Window::None);
    assert_eq!(room(&at_once, &book, now, false), 16);
}

#[test]
fn what_others_use_empties_window_and_bucket_alike() {
    let limit = a_limit(60, Some(10), 0);
    let book = Book {
        foreign: vec![Booking { at: 0, amount: 8 }],
        ..Book::default()
    };
    assert_eq!(room(&limit, &book, 0, false), 2);
    assert_eq!(room(&limit, &book, 4 * SECOND_US, false), 6);
}
