//! How long each way would take.

use std::time::Duration;

use super::case::{CALL_GUESS, Case, Latency};

/// Which of the samples counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantile {
    /// The usual one.
    Half,
    /// Where a deadline binds: nine of ten end by then.
    NineOfTen,
}

impl Quantile {
    pub(super) fn of(self, latency: &Latency) -> Duration {
        match self {
            Self::Half => latency.p50,
            Self::NineOfTen => latency.p90.max(latency.p50),
        }
    }
}

impl Case {
    /// So many tasks singly: rounds of `parallel`, the last as long as the slowest of its calls, and not
    /// sooner than the limits of a minute let the last one begin. `None`: no call was seen yet.
    pub(super) fn singly(&self, items: u32, by: Quantile) -> Option<Duration> {
        Some(self.rounds(items, &self.individual?, by))
    }

    /// The same, by a guess where no call was seen yet.
    pub(super) fn singly_guessed(&self, items: u32, by: Quantile) -> Duration {
        let guess = Latency {
            p50: CALL_GUESS,
            p90: CALL_GUESS,
            samples: 0,
            age: 0,
        };
        self.rounds(items, &self.individual.unwrap_or(guess), by)
    }

    fn rounds(&self, items: u32, latency: &Latency, by: Quantile) -> Duration {
        if items == 0 {
            return Duration::ZERO;
        }
        // of several at once the slowest counts: nearer to p90 than to the half
        let last = match items {
            1 => by.of(latency),
            _ => Quantile::NineOfTen.of(latency),
        };
        let rounds = items.div_ceil(self.parallel.max(1));
        let free = by
            .of(latency)
            .saturating_mul(rounds - 1)
            .saturating_add(last);
        free.max(self.last_begins(items).saturating_add(by.of(latency)))
    }

    /// When the limits of a minute let the last of so many calls begin: whole minutes' worth go at once.
    fn last_begins(&self, items: u32) -> Duration {
        let minutes = self
            .per_minute
            .map_or(0, |per_minute| items.saturating_sub(1) / per_minute.max(1));
        Duration::from_secs(60).saturating_mul(minutes)
    }

    /// The limit that slows single calls, if one does.
    pub(super) fn binding(&self, items: u32) -> Option<u32> {
        let free = Self {
            per_minute: None,
            ..self.clone()
        };
        let slows = self.singly(items, Quantile::Half) > free.singly(items, Quantile::Half);
        self.per_minute.filter(|_| slows)
    }

    /// After how long a batch of so many must be given up so that what is not back, at worst all of it,
    /// still ends in time when it is asked singly. `None`: there is no deadline. Zero: there is no time
    /// for a batch.
    pub(super) fn rescue_after(&self, batched: u32) -> Option<Duration> {
        let within = self.within?;
        let singly = self.singly_guessed(batched, Quantile::NineOfTen);
        // a quarter more: what is asked then has retries and other work before it
        Some(within.saturating_sub(singly.saturating_mul(5) / 4))
    }
}
