//! The shortest time in which any client can put N calls through models with limits. Pure.
//!
//! The client keeps every span of 60 s, however placed, within each limit (it cannot know where a
//! provider's minute begins), and the provider's own way of counting:
//!
//! - *sliding* and *fixed*: then nothing else binds. The whole size may start at once and again
//!   60 s later, so by `t` at most `size * (floor(t / 60) + 1)` calls have started.
//! - *bucket*: holds `burst` and refills evenly (the generic cell rate algorithm, ITU-T I.371). By
//!   `t` it has granted `burst + size * t / 60` at most, and the span of 60 s that began with the
//!   first call `size`. Who takes all it can has taken the size at `60 * (1 - burst / size)`, waits,
//!   and finds at 60 s the bucket full and the span empty, as at the start. So the grants repeat
//!   every 60 s: `size * floor(t / 60) + min(size, burst + size * (t mod 60) / 60)`.
//!
//! To start a call as early as it may never makes a later one wait longer, so each model's grants
//! are the most there can be at every moment, and models do not hinder each other: N calls have
//! started at the least `t` at which all grants together are N. The makespan ends with the last
//! answer: plus one latency (the median, as the last call's own is chance).

use std::time::Duration;

/// One limit per minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    /// Calls (or tokens) per 60 s.
    pub(super) size: u64,
    /// A bucket's burst; `None`: sliding or fixed.
    pub(super) burst: Option<u64>,
}

impl Quota {
    /// The most that can have been granted by this moment, which is included.
    pub(super) fn granted_by(self, at: Duration) -> u64 {
        let us = at.as_micros();
        let (whole, rest) = (us / MINUTE_US, us % MINUTE_US);
        let size = u128::from(self.size);
        let in_this_minute = self.burst.map_or(size, |burst| {
            size.min(u128::from(burst) + size * rest / MINUTE_US)
        });
        u64::try_from(whole * size + in_this_minute).unwrap_or(u64::MAX)
    }
}

/// When the last of so many can start; `None`: never, as all sizes are 0. To the microsecond.
pub(super) fn last_start(needed: u64, quotas: &[Quota]) -> Option<Duration> {
    let granted = |us: u64| -> u64 {
        let at = Duration::from_micros(us);
        let grants = quotas.iter().map(|quota| quota.granted_by(at));
        grants.fold(0, u64::saturating_add)
    };
    if needed == 0 {
        return Some(Duration::ZERO);
    }
    let per_minute = quotas.iter().map(|quota| quota.size).max()?.min(needed);
    let minutes = needed.checked_div(per_minute)?.saturating_add(1);
    let (mut early, mut late) = (0, minutes.checked_mul(60_000_000)?);
    while early < late {
        let middle = early + (late - early) / 2;
        if granted(middle) >= needed {
            late = middle;
        } else {
            early = middle + 1;
        }
    }
    Some(Duration::from_micros(late))
}

/// As [`last_start`] for a fleet that makes at most `slots` calls at once, each of which takes
/// `takes`: a bound, no exact figure, since it lets all models be one with the sum of their limits.
pub(super) fn last_start_with_slots(
    needed: u64,
    quotas: &[Quota],
    slots: u64,
    takes: Duration,
) -> Option<Duration> {
    let size: u64 = quotas.iter().map(|quota| quota.size).sum();
    let burst: Option<u64> = quotas.iter().map(|quota| quota.burst).sum();
    let exact = last_start(needed, quotas)?;
    let (size, slots) = (usize::try_from(size).ok()?, usize::try_from(slots).ok()?);
    let mut starts: Vec<f64> = Vec::new();
    // the bucket's theoretical arrival time, and how far ahead of it one may be
    let every = 60.0 / size as f64;
    let (mut arrival, ahead) = (0.0_f64, burst.map(|burst| (burst as f64 - 1.0) * every));
    for call in 0..usize::try_from(needed).ok()? {
        let before = |back: usize| call.checked_sub(back).map(|place| starts[place]);
        let mut at = before(1).unwrap_or(0.0);
        at = at.max(before(size).map_or(0.0, |earlier| earlier + 60.0));
        at = at.max(before(slots).map_or(0.0, |earlier| earlier + takes.as_secs_f64()));
        if let Some(ahead) = ahead {
            at = at.max(arrival - ahead);
            arrival = arrival.max(at) + every;
        }
        starts.push(at);
    }
    let bound = Duration::from_secs_f64(starts.last().copied().unwrap_or(0.0));
    Some(bound.max(exact))
}

const MINUTE_US: u128 = 60_000_000;

#[cfg(test)]
#[path = "optimum_tests.rs"]
mod tests;
