//! What a process logs of the fleet and of itself: where its models stand, at a set interval, and what it
//! did, at its end.
//!
//! Owns: the targets `tidegate::concurrency`, `tidegate::cache` and `tidegate::summary`. Never: a decision.

use std::time::Duration;

use tokio::time::Instant;

use super::Worked;
use crate::store::{Store, StoreError, model::ModelStatus};

/// Logs a line per model in use, every so often.
pub(super) struct Status {
    every: Option<Duration>,
    told: Instant,
    looked: Instant,
    cache: Option<CacheUse>,
}

/// What the cache of answers did so far, for all workers and processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct CacheUse {
    hits: i64,
    misses: i64,
}

impl Status {
    /// The first lines come when the first interval is over.
    pub(super) fn new(every: Option<Duration>) -> Self {
        Self {
            every,
            told: Instant::now(),
            looked: Instant::now(),
            cache: None,
        }
    }

    /// Logs if it is time to.
    pub(super) async fn turn(&mut self, store: &Store) -> Result<(), StoreError> {
        let Some(every) = self.every else {
            return Ok(());
        };
        if self.cache.is_none() || self.looked.elapsed() >= CACHE_EVERY {
            self.looked = Instant::now();
            self.tell_cache(store).await?;
        }
        if self.told.elapsed() < every {
            return Ok(());
        }
        self.told = Instant::now();
        let models = store.model_status(None).await?;
        models.iter().filter(|it| is_in_use(it)).for_each(tell);
        Ok(())
    }
}

impl Status {
    /// Logs what the cache did since the last look; nothing where it did nothing.
    async fn tell_cache(&mut self, store: &Store) -> Result<(), StoreError> {
        let rows = store.cache_stats().await?;
        let now = CacheUse {
            hits: rows.iter().map(|row| row.hits).sum(),
            misses: rows.iter().map(|row| row.misses).sum(),
        };
        let since = self.cache.replace(now).and_then(|before| now.since(before));
        if let Some(CacheUse { hits, misses }) = since {
            let entries: i64 = rows.iter().map(|row| row.entries).sum();
            tracing::info!(
                target: "tidegate::cache",
                hits, misses, entries,
                "{hits} answered from the cache and {misses} asked in the last minute; {entries} answers are kept"
            );
        }
        Ok(())
    }
}

impl CacheUse {
    /// `None`: nothing happened.
    fn since(self, before: Self) -> Option<Self> {
        let since = Self {
            hits: (self.hits - before.hits).max(0),
            misses: (self.misses - before.misses).max(0),
        };
        (since != Self::default()).then_some(since)
    }
}

/// It was called within the last minute, or is kept from it.
fn is_in_use(model: &ModelStatus) -> bool {
    model.calls_last_minute > 0 || model.in_flight > 0 || model.strikes > 0
}

fn tell(model: &ModelStatus) {
    let closed_by = model.closed_by.as_deref().unwrap_or("nothing");
    let until = model.until.map(|at| at.to_rfc3339());
    tracing::info!(
        target: "tidegate::concurrency",
        {
            model.name = %model.model,
            calls.last_minute = model.calls_last_minute,
            requests.per_minute = model.requests_per_minute,
            calls.in_flight = model.in_flight,
            concurrency = model.concurrency,
            closed.by = closed_by,
            closed.until = until,
            strikes = model.strikes,
        },
        "{}", words(model)
    );
}

/// `gemini/x: 12 of 60 calls in the last minute, 3 in flight of 5 at once; closed by cooldown: ...`.
fn words(model: &ModelStatus) -> String {
    let of = |limit: Option<i64>| limit.map_or(String::new(), |limit| format!(" of {limit}"));
    let mut text = format!(
        "{}: {}{} calls in the last minute, {}{} in flight",
        model.model,
        model.calls_last_minute,
        of(model.requests_per_minute),
        model.in_flight,
        of(model.concurrency),
    );
    if let Some(why) = &model.closed_by {
        text.push_str(&format!("; closed by {why}"));
        if let Some(seconds) = model.wait_seconds {
            text.push_str(&format!(" for {seconds:.1} s"));
        }
    }
    if model.strikes > 0 {
        text.push_str(&format!("; {} strikes", model.strikes));
    }
    text
}

/// One line at the end of a process.
pub(super) fn summary(worked: &Worked) {
    let Worked {
        done,
        failed,
        released,
        calls,
        refused,
        by_batch,
    } = *worked;
    let of_them = match by_batch {
        0 => String::new(),
        tasks => format!(" ({tasks} of them by batch)"),
    };
    tracing::info!(
        target: "tidegate::summary",
        done, failed, released, calls, refused, by_batch,
        "{done} done{of_them}, {failed} failed, {released} given back; {calls} calls, {refused} refused with 429"
    );
}

/// How often it is told what the cache did.
const CACHE_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_told_of_by_what_it_did_since_and_only_then() {
        let at = |hits, misses| CacheUse { hits, misses };
        assert_eq!(at(5, 7).since(at(2, 7)), Some(at(3, 0)));
        assert_eq!(at(5, 7).since(at(5, 7)), None);
        // somebody emptied the book meanwhile
        assert_eq!(at(1, 9).since(at(5, 7)), Some(at(0, 2)));
    }
}
