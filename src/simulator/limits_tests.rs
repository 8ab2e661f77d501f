use proptest::prelude::*;

use super::*;

const NOON: u64 = 1_795_348_800_000;

fn limits(window: WindowKind) -> Limits {
    Limits {
        rpm: Some(3),
        tpm: None,
        rpd: None,
        window,
        burst: None,
        token_burst: None,
    }
}

fn admit(book: &mut Book, limits: &Limits, now_ms: u64) -> Result<(), u64> {
    book.admit(limits, now_ms, 10)
        .map_err(|refusal| refusal.retry_ms)
}

#[test]
fn a_fixed_window_opens_with_the_wall_clock_minute() {
    let limits = limits(WindowKind::Fixed);
    let mut book = Book::new(WindowKind::Fixed);
    for _ in 0..3 {
        assert_eq!(admit(&mut book, &limits, NOON + 59_000), Ok(()));
    }
    assert_eq!(admit(&mut book, &limits, NOON + 59_000), Err(1000));
    assert_eq!(admit(&mut book, &limits, NOON + 60_000), Ok(()));
}

#[test]
fn a_sliding_window_opens_when_its_oldest_call_leaves() {
    let limits = limits(WindowKind::Sliding);
    let mut book = Book::new(WindowKind::Sliding);
    for at in [0, 10_000, 20_000] {
        assert_eq!(admit(&mut book, &limits, NOON + at), Ok(()));
    }
    assert_eq!(admit(&mut book, &limits, NOON + 30_000), Err(30_000));
    assert_eq!(admit(&mut book, &limits, NOON + 59_999), Err(1));
    assert_eq!(admit(&mut book, &limits, NOON + 60_000), Ok(()));
    assert_eq!(admit(&mut book, &limits, NOON + 60_000), Err(10_000));
}

#[test]
fn a_bucket_gives_its_burst_and_then_an_even_trickle() {
    let limits = Limits {
        burst: Some(2),
        ..limits(WindowKind::Bucket)
    };
    let mut book = Book::new(WindowKind::Bucket);
    assert_eq!(admit(&mut book, &limits, NOON), Ok(()));
    assert_eq!(admit(&mut book, &limits, NOON), Ok(()));
    assert_eq!(admit(&mut book, &limits, NOON), Err(20_000));
    assert_eq!(admit(&mut book, &limits, NOON + 19_999), Err(1));
    assert_eq!(admit(&mut book, &limits, NOON + 20_000), Ok(()));
    assert_eq!(admit(&mut book, &limits, NOON + 20_000), Err(20_000));
}

#[test]
fn a_limit_of_zero_is_never_open() {
    for window in [WindowKind::Fixed, WindowKind::Sliding, WindowKind::Bucket] {
        let limits = Limits {
            rpm: Some(0),
            ..limits(window)
        };
        let mut book = Book::new(window);
        assert!(admit(&mut book, &limits, NOON).is_err());
        assert!(admit(&mut book, &limits, NOON + 3_600_000).is_err());
    }
}

#[test]
fn every_exhausted_limit_is_named() {
    let limits = Limits {
        rpm: Some(1),
        tpm: Some(10),
        rpd: Some(1),
        ..limits(WindowKind::Fixed)
    };
    let mut book = Book::new(WindowKind::Fixed);
    assert_eq!(admit(&mut book, &limits, NOON), Ok(()));
    let refusal = book.admit(&limits, NOON + 1, 1).unwrap_err();
    let named: Vec<_> = refusal.violations.iter().map(|v| v.dimension).collect();
    assert_eq!(
        named,
        [Dimension::Day, Dimension::Requests, Dimension::Tokens]
    );
}

#[test]
fn a_request_above_the_token_limit_never_passes() {
    for window in [WindowKind::Fixed, WindowKind::Sliding, WindowKind::Bucket] {
        let limits = Limits {
            rpm: None,
            tpm: Some(9),
            ..limits(window)
        };
        let mut book = Book::new(window);
        assert!(admit(&mut book, &limits, NOON).is_err());
        assert!(admit(&mut book, &limits, NOON + 600_000).is_err());
    }
}

#[test]
fn the_day_opens_again_at_midnight_pacific() {
    let limits = Limits {
        rpm: None,
        rpd: Some(1),
        ..limits(WindowKind::Fixed)
    };
    let mut book = Book::new(WindowKind::Fixed);
    // 2026-01-15, 07:59 and 08:00 UTC.
    let eve = 1_768_463_940_000;
    assert_eq!(admit(&mut book, &limits, eve), Ok(()));
    assert_eq!(admit(&mut book, &limits, eve + 1000), Err(59_000));
    assert_eq!(admit(&mut book, &limits, eve + 60_000), Ok(()));
}

#[test]
fn a_refused_call_that_counts_keeps_the_window_shut() {
    let limits = limits(WindowKind::Sliding);
    let mut book = Book::new(WindowKind::Sliding);
    for _ in 0..3 {
        assert_eq!(admit(&mut book, &limits, NOON), Ok(()));
    }
    book.count_request(&limits, NOON + 50_000);
    book.count_request(&limits, NOON + 50_000);
    book.count_request(&limits, NOON + 50_000);
    assert_eq!(admit(&mut book, &limits, NOON + 60_000), Err(50_000));
}

/// Arrivals as gaps with token amounts.
fn arrivals() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((0_u64..9_000, 1_u64..60), 1..100)
}

/// The largest sum that any 60 s of these calls hold, by trying all.
fn peak(calls: &[(u64, u64)]) -> u64 {
    calls
        .iter()
        .map(|(start, _)| {
            calls
                .iter()
                .filter(|(at, _)| (*start..start + MINUTE_MS).contains(at))
                .map(|(_, amount)| amount)
                .sum()
        })
        .max()
        .unwrap_or(0)
}

proptest! {
    #[test]
    fn no_60_seconds_of_a_sliding_window_hold_more_than_the_limit(
        arrivals in arrivals(), rpm in 1_u64..40, tpm in 60_u64..400,
    ) {
        let limits = Limits { rpm: Some(rpm), tpm: Some(tpm), ..limits(WindowKind::Sliding) };
        let mut book = Book::new(WindowKind::Sliding);
        let (mut now, mut accepted) = (NOON, Vec::new());
        for (gap, tokens) in arrivals {
            now += gap;
            let before = accepted.clone();
            let let_in = book.admit(&limits, now, tokens).is_ok();
            accepted.push((now, tokens));
            let requests: Vec<_> = accepted.iter().map(|(at, _)| (*at, 1)).collect();
            prop_assert_eq!(let_in, peak(&requests) <= rpm && peak(&accepted) <= tpm);
            if !let_in {
                accepted = before;
            }
        }
    }

    #[test]
    fn the_named_delay_is_the_first_moment_that_is_open(
        arrivals in arrivals(), rpm in 1_u64..40, burst in 1_u64..9, kind in 0..3,
    ) {
        let window = [WindowKind::Fixed, WindowKind::Sliding, WindowKind::Bucket]
            [usize::try_from(kind).unwrap()];
        let limits = Limits { rpm: Some(rpm), burst: Some(burst), ..limits(window) };
        let mut book = Book::new(window);
        let mut now = NOON;
        for (gap, _) in arrivals {
            now += gap;
            if let Err(wait) = admit(&mut book, &limits, now) {
                prop_assert!(book.refusal(&limits, now + wait - 1, 1).is_some());
                now += wait;
                prop_assert_eq!(admit(&mut book, &limits, now), Ok(()));
            }
        }
    }

    #[test]
    fn the_peak_of_recent_is_the_peak_by_brute_force(arrivals in arrivals()) {
        let (mut now, mut seen, mut recent, mut most) = (NOON, Vec::new(), Recent::default(), 0);
        for (gap, tokens) in arrivals {
            now += gap;
            seen.push((now, tokens));
            most = most.max(recent.add(now, tokens));
        }
        prop_assert_eq!(most, peak(&seen));
    }
}
