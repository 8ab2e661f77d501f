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
    pub(super) used: u64,
    pub(super) requested: u64,
}

/// What is left of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) limit: u64,
    pub(super) remaining: u64,
    /// Until all of it is back, if nothing more is used.
    pub(super) reset_ms: u64,
}

/// What is left of a model's limits, of those that it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) requests: Option<Level>,
    pub(super) tokens: Option<Level>,
    pub(super) day: Option<Level>,
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

    /// What is left now.
    pub(super) fn standing(&mut self, limits: &Limits, now_ms: u64) -> Standing {
        self.turn_day(now_ms);
        let requests = limits.rpm.map(|limit| {
            let room = request_capacity(limits, limit);
            self.requests.level(now_ms, limit, room)
        });
        let tokens = limits.tpm.map(|limit| {
            let room = capacity(limit, limits.token_burst, limits.window, limit);
            self.tokens.level(now_ms, limit, room)
        });
        let day = limits.rpd.map(|limit| Level {
            limit,
            remaining: limit.saturating_sub(self.day_used),
            reset_ms: if self.day_used > 0 {
                pacific::rest_of_day(now_ms)
            } else {
                0
            },
        });
        Standing {
            requests,
            tokens,
            day,
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
        let mut violated = |dimension, (limit, used, requested), wait: u64| {
            violations.push(Violation {
                dimension,
                limit: Some(limit),
                used,
                requested,
            });
            retry_ms = retry_ms.max(wait);
        };
        if let Some(limit) = limits.rpd
            && self.day_used >= limit
        {
            // Gemini names a short delay here too: the quota's id tells the day, not the delay.
            let told = (limit, self.day_used, 1);
            violated(Dimension::Day, told, rest_of_minute(now_ms));
        }
        if let Some(limit) = limits.rpm {
            let room = request_capacity(limits, limit);
            let wait = self.requests.wait_ms(now_ms, 1, limit, room);
            if wait > 0 {
                let level = self.requests.level(now_ms, limit, room);
                violated(Dimension::Requests, (limit, level.used(), 1), wait);
            }
        }
        if let Some(limit) = limits.tpm {
            let room = capacity(limit, limits.token_burst, limits.window, limit);
            let wait = self.tokens.wait_ms(now_ms, tokens, limit, room);
            if wait > 0 {
                let level = self.tokens.level(now_ms, limit, room);
                violated(Dimension::Tokens, (limit, level.used(), tokens), wait);
            }
        }
        (!violations.is_empty()).then_some(Refusal {
            violations,
            retry_ms,
        })
    }
}

impl Level {
    fn used(&self) -> u64 {
        self.limit - self.remaining
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

    /// When the last of it has left the window.
    fn empty_in_ms(&self, now_ms: u64) -> u64 {
        let last = self.entries.back();
        last.map_or(0, |(at, _)| (at + MINUTE_MS).saturating_sub(now_ms))
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

    fn level(&mut self, now_ms: u64, limit: u64, room: u64) -> Level {
        self.advance(now_ms, limit);
        let (used, reset_ms) = match self {
            Self::Fixed { used: 0, .. } => (0, 0),
            Self::Fixed { used, .. } => (*used, rest_of_minute(now_ms)),
            Self::Sliding(recent) => (recent.sum, recent.empty_in_ms(now_ms)),
            Self::Bucket { debt, .. } => (debt.div_ceil(MINUTE_MS), debt.div_ceil(limit.max(1))),
        };
        Level {
            limit,
            remaining: room.min(limit).saturating_sub(used),
            reset_ms,
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
#[path = "limits_tests.rs"]
mod tests;
