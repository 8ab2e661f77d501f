//! From enqueue to the start of the handler, on an idle process, by one steady clock.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    CliError, WORKER,
    fleet::{Within, engine},
};
use crate::{
    client::Task,
    engine::{Program, Registry},
    store::{self, Store},
    task::{LocalError, typed},
};

/// Milliseconds at the half, at 99 of 100, and the longest.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(super) struct Latency {
    pub(super) tasks: usize,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
}

/// Enqueues so many a second, one by one, and sees when each starts.
pub(super) async fn measure(
    store: &Store,
    database: &store::Settings,
    per_second: u32,
    seconds: u32,
) -> Result<Latency, CliError> {
    let count = per_second as usize * seconds as usize;
    let started: Arc<Mutex<Vec<Option<Instant>>>> = Arc::new(Mutex::new(vec![None; count]));
    let seen = started.clone();
    let handler = typed(move |number: usize| {
        let now = moment();
        if let Some(place) = seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(number)
        {
            place.get_or_insert(now);
        }
        async { Ok::<_, LocalError>(()) }
    });
    let registry = Registry::new().with_program(WORKER, Program::new(handler));
    let within = Within::start(engine(store, database, registry, 100));
    // the first finds plans and connections cold
    let mut sent = Vec::with_capacity(count);
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while store.processes_alive("bench").await? == 0 {
        ticks.tick().await;
    }
    for number in 0..count {
        ticks.tick().await;
        let task = Task::new(WORKER, &number).map_err(|error| {
            CliError::input(error.to_string(), "this is a mistake in the bench")
        })?;
        sent.push(moment());
        task.enqueue(store.pool()).await?;
    }
    let all = || {
        let started = started.lock().unwrap_or_else(PoisonError::into_inner);
        started.iter().all(Option::is_some)
    };
    let waited = moment();
    while !all() && waited.elapsed() < store::bench::PATIENCE {
        ticks.tick().await;
    }
    within.stop().await?;
    let started = started.lock().unwrap_or_else(PoisonError::into_inner);
    let mut took: Vec<f64> = sent
        .iter()
        .zip(started.iter())
        .filter_map(|(sent, started)| {
            Some(started.as_ref()?.duration_since(*sent).as_secs_f64() * 1_000.0)
        })
        .collect();
    took.sort_by(f64::total_cmp);
    let at = |percent: usize| {
        let place = (took.len() * percent).div_ceil(100);
        took.get(place.saturating_sub(1))
            .copied()
            .unwrap_or(f64::NAN)
    };
    Ok(Latency {
        tasks: took.len(),
        p50_ms: at(50),
        p99_ms: at(99),
        max_ms: at(100),
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the bench measures real time, which tests never pause"
)]
fn moment() -> Instant {
    Instant::now()
}
