//! A model's limits and what was used of them. Pure: time comes in as `now_ms`.

use std::collections::VecDeque;

use serde::Serialize;

use super::pacific;
use super::settings::{ModelSettings, WindowKind};

/// The length of a provider's minute.
pub(super) const MINUTE_MS: u64 = 60_000;

/// The limits of one model. `None`: no limit; 0: not granted at all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Limits {
    pub(super) rpm: Option<u64>,
    pub(super) tpm: Option<u64>,
    pub(super) rpd: Option<u64>,
    pub(super) window: WindowKind,
    pub(super) burst: Option<u64>,
    pub(super) token_burst: Option<u64>,
}

impl From<&ModelSettings> for Limits {
    fn from(model: &ModelSettings) -> Self {
        Self {
            rpm: model.rpm,
            tpm: model.tpm,
            rpd: model.rpd,
            window: model.window,
            burst: model.burst,
            token_burst: model.token_burst,
        }
    }
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dimension {
    Requests,
    Tokens,
    Day,
}

/// One exhausted limit; `limit` is unknown when an outage refuses a model that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) dimension: Dimension,
    pub(super) limit: Option<u64>,
}

/// Why a call is not let in, and when it may pay to ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) violations: Vec<Violation>,
    pub(super) retry_ms: u64,
}

/// What was used of one model's limits.
#[derive(Debug)]
pub(super) struct Book {
    requests: Window,
    tokens: Window,
    day: i32,
    day_used: u64,
}

impl Book {
    pub(super) fn new(kind: WindowKind) -> Self {
        Self {
            requests: Window::new(kind),
            tokens: Window::new(kind),
            day: 0,
            day_used: 0,
        }
    }

    /// Judges a call that arrives now, and writes it down if it is let in.
    pub(super) fn admit(
        &mut self,
        limits: &Limits,
        now_ms: u64,
        tokens: u64,
    ) -> Result<(), Refusal> {
        self.turn_day(now_ms);
        match self.refusal(limits, now_ms, tokens) {
            Some(refusal) => Err(refusal),
            None => {
                self.count_request(limits, now_ms);
                if let Some(limit) = limits.tpm {
                    let room = capacity(limit, limits.token_burst, limits.window, limit);
                    self.tokens.take(now_ms, tokens, limit, room);
                }
                Ok(())
            }
        }
    }

    /// Counts a request without tokens: a call that is let in, or a refused one that eats quota.
    pub(super) fn count_request(&mut self, limits: &Limits, now_ms: u64) {
        self.turn_day(now_ms);
        self.day_used += 1;
        if let Some(limit) = limits.rpm {
            let room = request_capacity(limits, limit);
            self.requests.take(now_ms, 1, limit, room);
        }
    }

    fn turn_day(&mut self, now_ms: u64) {
        let today = pacific::day(now_ms);
        if today != self.day {
            self.day = today;
            self.day_used = 0;
        }
    }

    fn refusal(&mut self, limits: &Limits, now_ms: u64, tokens: u64) -> Option<Refusal> {
        let mut violations = Vec::new();
        let mut retry_ms = 0;
        let mut violated = |dimension, limit, wait: u64| {
            violations.push(Violation {
                dimension,
                limit: Some(limit),
            });
            retry_ms = retry_ms.max(wait);
        };
        if let Some(limit) = limits.rpd
            && self.day_used >= limit
        {
            // Gemini names a short delay here too: the quota's id tells the day, not the delay.
            violated(Dimension::Day, limit, rest_of_minute(now_ms));
        }
        if let Some(limit) = limits.rpm {
            let room = request_capacity(limits, limit);
            let wait = self.requests.wait_ms(now_ms, 1, limit, room);
            if wait > 0 {
                violated(Dimension::Requests, limit, wait);
            }
        }
        if let Some(limit) = limits.tpm {
            let room = capacity(limit, limits.token_burst, limits.window, limit);
            let wait = self.tokens.wait_ms(now_ms, tokens, limit, room);
            if wait > 0 {
                violated(Dimension::Tokens, limit, wait);
            }
        }
        (!violations.is_empty()).then_some(Refusal {
            violations,
            retry_ms,
        })
    }
}

/// How long the provider's current wall-clock minute still lasts; at least 1 ms.
pub(super) fn rest_of_minute(now_ms: u64) -> u64 {
    MINUTE_MS - now_ms % MINUTE_MS
}

fn request_capacity(limits: &Limits, rpm: u64) -> u64 {
    capacity(rpm, limits.burst, limits.window, rpm.div_ceil(6))
}

/// What may be used at once: the whole limit, but in a bucket its burst.
fn capacity(limit: u64, burst: Option<u64>, kind: WindowKind, default_burst: u64) -> u64 {
    match kind {
        WindowKind::Bucket if limit > 0 => burst.unwrap_or(default_burst).max(1),
        _ => limit,
    }
}

/// Amounts of the last 60 s, one entry a millisecond at most: memory has a ceiling.
#[derive(Debug, Default)]
pub(super) struct Recent {
    entries: VecDeque<(u64, u64)>,
    sum: u64,
}

impl Recent {
    /// Adds an amount and says what the 60 s that end now hold.
    pub(super) fn add(&mut self, now_ms: u64, amount: u64) -> u64 {
        self.expire(now_ms);
        match self.entries.back_mut() {
            Some((at, sum)) if *at == now_ms => *sum = sum.saturating_add(amount),
            _ => self.entries.push_back((now_ms, amount)),
        }
        self.sum = self.sum.saturating_add(amount);
        self.sum
    }

    fn expire(&mut self, now_ms: u64) {
        while let Some(&(at, amount)) = self.entries.front() {
            if now_ms < at.saturating_add(MINUTE_MS) {
                break;
            }
            self.entries.pop_front();
            self.sum -= amount;
        }
    }

    /// When enough has left the window for `amount` more; 0 if it fits now.
    fn wait_ms(&mut self, now_ms: u64, amount: u64, limit: u64) -> u64 {
        self.expire(now_ms);
        let mut used = self.sum;
        if used.saturating_add(amount) <= limit {
            return 0;
        }
        for (at, gone) in &self.entries {
            used -= gone;
            if used.saturating_add(amount) <= limit {
                return at + MINUTE_MS - now_ms;
            }
        }
        MINUTE_MS
    }
}

/// One limit's use, counted one way.
#[derive(Debug)]
enum Window {
    /// The wall-clock minute.
    Fixed { minute: u64, used: u64 },
    /// The last 60 s.
    Sliding(Recent),
    /// A bucket (GCRA), kept as debt in sixty-thousandths of a unit: `limit` of them flow off per
    /// millisecond, so that the arithmetic is exact.
    Bucket { debt: u64, at_ms: u64 },
}

impl Window {
    fn new(kind: WindowKind) -> Self {
        match kind {
            WindowKind::Fixed => Self::Fixed { minute: 0, used: 0 },
            WindowKind::Sliding => Self::Sliding(Recent::default()),
            WindowKind::Bucket => Self::Bucket { debt: 0, at_ms: 0 },
        }
    }

    /// How long until `amount` fits; 0 if it does now. What never fits is told to wait a minute.
    fn wait_ms(&mut self, now_ms: u64, amount: u64, limit: u64, room: u64) -> u64 {
        self.advance(now_ms, limit);
        if limit == 0 {
            return rest_of_minute(now_ms);
        }
        match self {
            Self::Fixed { used, .. } if used.saturating_add(amount) <= room => 0,
            Self::Fixed { .. } => rest_of_minute(now_ms),
            Self::Sliding(recent) => recent.wait_ms(now_ms, amount, room),
            Self::Bucket { .. } if amount > room => MINUTE_MS,
            Self::Bucket { debt, .. } => debt
                .saturating_add(amount.saturating_mul(MINUTE_MS))
                .saturating_sub(room.saturating_mul(MINUTE_MS))
                .div_ceil(limit),
        }
    }

    fn take(&mut self, now_ms: u64, amount: u64, limit: u64, room: u64) {
        self.advance(now_ms, limit);
        match self {
            Self::Fixed { used, .. } => *used = used.saturating_add(amount),
            Self::Sliding(recent) => {
                recent.add(now_ms, amount);
            }
            // A refused call can empty the bucket, never dig below its bottom.
            Self::Bucket { debt, .. } => {
                *debt = debt
                    .saturating_add(amount.saturating_mul(MINUTE_MS))
                    .min(room.saturating_mul(MINUTE_MS));
            }
        }
    }

    fn advance(&mut self, now_ms: u64, limit: u64) {
        match self {
            Self::Fixed { minute, used } => {
                let this = now_ms / MINUTE_MS;
                if this != *minute {
                    *minute = this;
                    *used = 0;
                }
            }
            Self::Sliding(recent) => recent.expire(now_ms),
            Self::Bucket { debt, at_ms } => {
                let passed = now_ms.saturating_sub(*at_ms);
                *debt = debt.saturating_sub(passed.saturating_mul(limit));
                *at_ms = now_ms;
            }
        }
    }
}

#[cfg(test)]
mod tests {
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
}
