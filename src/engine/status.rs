//! What a process logs of the fleet and of itself: where its models stand, at a set interval, and what it
//! did, at its end.
//!
//! Owns: the targets `tidegate::concurrency` and `tidegate::summary`. Never: a decision.

use std::time::Duration;

use tokio::time::Instant;

use super::Worked;
use crate::store::{Store, StoreError, model::ModelStatus};

/// Logs a line per model in use, every so often.
pub(super) struct Status {
    every: Option<Duration>,
    told: Instant,
}

impl Status {
    /// The first lines come when the first interval is over.
    pub(super) fn new(every: Option<Duration>) -> Self {
        Self {
            every,
            told: Instant::now(),
        }
    }

    /// Logs if it is time to.
    pub(super) async fn turn(&mut self, store: &Store) -> Result<(), StoreError> {
        if self.every.is_none_or(|every| self.told.elapsed() < every) {
            return Ok(());
        }
        self.told = Instant::now();
        let models = store.model_status(None).await?;
        models.iter().filter(|it| is_in_use(it)).for_each(tell);
        Ok(())
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
    } = *worked;
    tracing::info!(
        target: "tidegate::summary",
        done, failed, released, calls, refused,
        "{done} done, {failed} failed, {released} given back; {calls} calls, {refused} refused with 429"
    );
}
