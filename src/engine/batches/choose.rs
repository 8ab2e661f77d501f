//! Choosing how lanes are asked, and forming their batches.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::token;
use crate::{
    engine::Shared,
    plan::{self, Case, Choice, Latency, Way},
    store::{
        StoreError,
        batch::choose::{Chosen, Formed, NewBatch, Undecided},
    },
};

/// Calls at once that are counted on where nothing is known (R22).
const PARALLEL: u32 = 5;
/// Most batches that are formed of one lane in one turn.
const FORMED_AT_ONCE: usize = 20;

/// Chooses for every lane that waits for it.
pub(super) async fn turn(shared: &Shared, process: Uuid) -> Result<(), StoreError> {
    let providers: Vec<String> = shared.providers.keys().cloned().collect();
    let workers = shared.settings.workers.as_deref();
    for lane in shared.store.undecided(&providers, workers).await? {
        choose(shared, process, &lane).await?;
    }
    Ok(())
}

async fn choose(shared: &Shared, process: Uuid, lane: &Undecided) -> Result<(), StoreError> {
    let store = &shared.store;
    let case = case(shared, lane);
    let choice = plan::decide(&case);
    let by_batch = choice.strategy != Way::Individual && !lane.singly;
    let chosen = Chosen {
        id: Uuid::now_v7(),
        lane: lane.lane,
        was: lane.decided_at,
        release: !by_batch,
        model: &lane.first_model,
        items: lane.waiting,
        strategy: choice.strategy.as_str(),
        singles: choice.singles,
        reason: &reason(lane, &choice),
        facts: json!({ "known": known(&case), "choice": choice }),
    };
    let (Some(model_id), Some(rung), true) = (lane.model_id, lane.rung, by_batch) else {
        return decided(shared, lane, &chosen).await;
    };
    if lane.has_room != Some(true) {
        // it is chosen again when a batch has ended
        return store.look_later(lane.lane).await;
    }
    let bounds = shared
        .providers
        .get(lane.model.as_deref().and_then(entry).unwrap_or_default())
        .and_then(|provider| provider.batches().map(|door| door.bounds()));
    let Some(bounds) = bounds else {
        let model = lane.model.as_deref().unwrap_or_default();
        return store
            .no_batch_mode(model, "its provider has no Batch API")
            .await;
    };
    let (mut tasks, mut room) = (0, true);
    for _ in 0..FORMED_AT_ONCE {
        let id = Uuid::now_v7();
        let new = NewBatch {
            id,
            token: &token(id),
            lane: lane.lane,
            model_id,
            rung,
            skip: choice.singles,
            items: bounds.items,
            rescue_after_s: choice.rescue_after.map(|it| it.as_secs_f64()),
            decision: chosen.id,
            tasks: None,
        };
        match store.form_batch(process, &new).await? {
            Formed::Tasks(formed) => {
                tracing::info!(batch.id = %id, worker = lane.worker, tasks = formed, "a batch is formed");
                tasks += formed;
            }
            Formed::Aside => {}
            Formed::Nothing => break,
            Formed::NoRoom => {
                room = false;
                break;
            }
        }
    }
    if tasks == 0 && !room && choice.singles == 0 {
        return store.look_later(lane.lane).await;
    }
    // what no batch takes (its model was asked too often, it is not worth starting) is not left behind
    let chosen = Chosen {
        release: choice.singles > 0 || tasks == 0,
        ..chosen
    };
    decided(shared, lane, &chosen).await
}

async fn decided(shared: &Shared, lane: &Undecided, chosen: &Chosen<'_>) -> Result<(), StoreError> {
    if shared.store.decide(chosen).await? {
        tracing::info!(target: "tidegate::strategy", worker = lane.worker, component = lane.component, items = chosen.items, strategy = chosen.strategy, singles = chosen.singles, "{}", chosen.reason);
        if chosen.release {
            shared.wakes.ready.notify_one();
        }
    }
    Ok(())
}

fn reason(lane: &Undecided, choice: &Choice) -> String {
    if lane.singly {
        return "a batch was not back in time: asked one by one".to_owned();
    }
    match (&choice.reason, &lane.note) {
        (plan::Reason::NoBatchMode, Some(note)) => format!("{}: {note}", choice.reason),
        _ => choice.reason.to_string(),
    }
}

/// What the choice looked at, for who asks later.
fn known(case: &Case) -> serde_json::Value {
    json!({
        "within_s": case.within.map(|it| it.as_secs_f64()),
        "individual": case.individual,
        "batch": case.batch,
        "decisions": case.decisions,
        "parallel": case.parallel,
        "per_minute": case.per_minute,
        "has_batch": case.has_batch,
    })
}

fn entry(model: &str) -> Option<&str> {
    model.split_once('/').map(|(entry, _)| entry)
}

fn case(shared: &Shared, lane: &Undecided) -> Case {
    let latency = |p50: Option<i64>, p90: Option<i64>, samples: Option<i32>, age: i64| {
        let span = |ms: i64| Duration::from_millis(ms.unsigned_abs());
        Some(Latency {
            p50: span(p50?),
            p90: span(p90?),
            samples: samples?.unsigned_abs(),
            age: u32::try_from(age).unwrap_or(u32::MAX),
        })
    };
    // a call may hold several: what counts is calls
    let pack = u32::try_from(lane.pack_size.max(1)).unwrap_or(1);
    let narrow = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    Case {
        items: narrow(lane.waiting),
        mode: lane.mode.parse().unwrap_or_default(),
        purpose: lane.purpose.parse().unwrap_or_default(),
        within: lane.within_s.map(|s| Duration::from_secs_f64(s.max(0.0))),
        individual: latency(lane.ind_p50, lane.ind_p90, lane.ind_samples, lane.ind_age),
        batch: latency(
            lane.batch_p50,
            lane.batch_p90,
            lane.batch_samples,
            lane.batch_age,
        ),
        decisions: narrow(lane.decisions),
        parallel: lane
            .at_once
            .map_or(PARALLEL, narrow)
            .clamp(PARALLEL, shared.settings.slots.max(PARALLEL))
            .saturating_mul(pack),
        per_minute: lane.per_minute.map(|it| narrow(it).saturating_mul(pack)),
        has_batch: lane.model_id.is_some(),
        individual_microusd: lane.single_microusd.map(i64::unsigned_abs),
        batch_microusd: lane.batch_microusd.map(i64::unsigned_abs),
    }
}
