//! Choosing how lanes are asked, and forming their batches.

use std::time::Duration;

use uuid::Uuid;

use super::token;
use crate::{
    engine::{
        Shared,
        choosing::{self, Asks, narrow},
    },
    plan::{self, Choice, Way},
    store::{
        StoreError,
        batch::{
            choose::{Chosen, Formed, NewBatch, Undecided},
            facts::Facts,
        },
    },
};

/// A lane that nobody who could send its batch has chosen for within so many seconds goes singly.
const UNCHOSEN_MAX_S: f64 = 60.0;
/// Most batches that are formed of one lane in one turn.
const FORMED_AT_ONCE: usize = 20;

/// Chooses for every lane that waits for it.
pub(super) async fn turn(shared: &Shared, process: Uuid) -> Result<(), StoreError> {
    let workers = shared.settings.workers.as_deref();
    for lane in shared.store.undecided(workers).await? {
        match look_at(shared, process, &lane).await {
            Ok(()) => {}
            Err(StoreError::LeaseLost) => return Err(StoreError::LeaseLost),
            // one lane that cannot be chosen for holds back neither others nor batches under way
            Err(error) => {
                tracing::warn!(lane = lane.lane, worker = lane.worker, %error, "it could not be chosen how these tasks are asked; it is tried again");
            }
        }
    }
    Ok(())
}

/// Who chooses can do what it chose; while all models are parked, there is nothing to choose.
async fn look_at(shared: &Shared, process: Uuid, lane: &Undecided) -> Result<(), StoreError> {
    let tokens = (lane.est_input, lane.est_output);
    match shared.store.facts(&lane.ladder, tokens).await? {
        Some(facts) if facts.provider.is_some() && choosing::has_key(shared, &facts) => {
            choose(shared, process, lane, &facts).await
        }
        Some(facts) if facts.provider.is_some() && lane.unchosen_s >= UNCHOSEN_MAX_S => {
            let entry = facts.provider.as_deref().unwrap_or_default();
            nobody_chose(shared, lane, &facts, entry).await
        }
        _ => Ok(()),
    }
}

/// No process that could send a batch is there: what can be called of the ladder is called.
async fn nobody_chose(
    shared: &Shared,
    lane: &Undecided,
    facts: &Facts,
    entry: &str,
) -> Result<(), StoreError> {
    let reason = format!(
        "no process with a key for {entry} chose within a minute: one by one, on models that can be called"
    );
    let chosen = Chosen {
        id: Uuid::now_v7(),
        lane: lane.lane,
        was: lane.decided_at,
        release: true,
        model: &facts.first_model,
        items: lane.waiting,
        strategy: Way::Individual.as_str(),
        singles: narrow(lane.waiting),
        reason: &reason,
        facts: serde_json::json!({}),
    };
    decided(shared, lane, &chosen).await
}

async fn choose(
    shared: &Shared,
    process: Uuid,
    lane: &Undecided,
    facts: &Facts,
) -> Result<(), StoreError> {
    let store = &shared.store;
    let asks = Asks {
        items: narrow(lane.waiting),
        mode: lane.mode.parse().unwrap_or_default(),
        purpose: lane.purpose.parse().unwrap_or_default(),
        within: lane.within_s.map(|s| Duration::from_secs_f64(s.max(0.0))),
        pack: u32::try_from(lane.pack_size).unwrap_or(1),
    };
    let case = choosing::case(&asks, facts, shared.settings.slots);
    let choice = plan::decide(&case);
    let by_batch = choice.strategy != Way::Individual && !lane.singly;
    let chosen = Chosen {
        id: Uuid::now_v7(),
        lane: lane.lane,
        was: lane.decided_at,
        release: !by_batch,
        model: &facts.first_model,
        items: lane.waiting,
        strategy: choice.strategy.as_str(),
        singles: choice.singles,
        reason: &reason(lane, facts, &choice),
        facts: choosing::written(&case, &choice),
    };
    let (Some(model_id), Some(rung), true) = (facts.model_id, facts.rung, by_batch) else {
        return decided(shared, lane, &chosen).await;
    };
    if facts.has_room != Some(true) {
        // it is chosen again when a batch has ended
        return store.look_later(lane.lane).await;
    }
    let Some(items) = choosing::batch_items(shared, facts) else {
        let model = facts.model.as_deref().unwrap_or_default();
        return store
            .no_batch_mode(model, "its provider has no Batch API")
            .await;
    };
    let (mut tasks, mut last) = (0, Formed::Nothing);
    for _ in 0..FORMED_AT_ONCE {
        let id = Uuid::now_v7();
        let new = NewBatch {
            id,
            token: &token(id),
            lane: lane.lane,
            model_id,
            rung,
            skip: choice.singles,
            items,
            rescue_after_s: choice.rescue_after.map(|it| it.as_secs_f64()),
            decision: chosen.id,
            tasks: None,
        };
        last = store.form_batch(process, &new).await?;
        match last {
            Formed::Tasks(formed) => {
                tracing::info!(batch.id = %id, worker = lane.worker, tasks = formed, "a batch is formed");
                tasks += formed;
            }
            Formed::Aside => {}
            Formed::Nothing | Formed::NoRoom => break,
        }
    }
    let all_formed = match last {
        Formed::Nothing => true,
        Formed::NoRoom => false,
        _ => i64::try_from(tasks).unwrap_or(i64::MAX) >= lane.waiting - i64::from(choice.singles),
    };
    // the first ones go singly once the others are on their way, or the others would go singly too; who waits
    // in person waits for no room
    let singles_go = choice.singles > 0 && (all_formed || lane.purpose == "interactive");
    if tasks == 0 && last == Formed::Nothing {
        // its model was asked too often, or it is not worth starting: it is not left behind
        let chosen = Chosen {
            release: true,
            strategy: Way::Individual.as_str(),
            singles: u32::try_from(lane.waiting).unwrap_or(u32::MAX),
            reason: "what waits cannot go by batch (too late, or this model was asked too often): asked one by one",
            ..chosen
        };
        return decided(shared, lane, &chosen).await;
    }
    if tasks == 0 && !singles_go {
        return store.look_later(lane.lane).await;
    }
    // what no batch takes (its model was asked too often, it is not worth starting) is not left behind
    let chosen = Chosen {
        release: singles_go,
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

fn reason(lane: &Undecided, facts: &Facts, choice: &Choice) -> String {
    match lane.singly {
        true => "a batch was not back in time: asked one by one".to_owned(),
        false => choosing::reason(facts, choice),
    }
}
