//! The simulator's clock: wall-clock milliseconds that never run backwards.

use std::time::SystemTime;

use tokio::time::Instant;

/// Reads the wall clock once and counts on from there, so that windows and the log are never
/// torn by a step of the system clock.
#[derive(Debug)]
pub(super) struct Clock {
    origin: Instant,
    origin_unix_ms: u64,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "a provider of its own: minutes and days are those of the wall clock, no database is near"
    )]
    pub(super) fn start() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            origin: Instant::now(),
            origin_unix_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Now, in milliseconds since 1970.
    pub(super) fn unix_ms(&self) -> u64 {
        let elapsed = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.origin_unix_ms.saturating_add(elapsed)
    }
}
