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

/// Most batches that are formed of one lane in one turn.
const FORMED_AT_ONCE: usize = 20;

/// Chooses for every lane that waits for it.
pub(super) async fn turn(shared: &Shared, process: Uuid) -> Result<(), StoreError> {
    let workers = shared.settings.workers.as_deref();
    for lane in shared.store.undecided(workers).await? {
        let tokens = (lane.est_input, lane.est_output);
        let facts = shared.store.facts(&lane.ladder, tokens).await?;
        // who chooses can do what it chose
        if let Some(facts) = facts
            && choosing::has_key(shared, &facts)
        {
            choose(shared, process, &lane, &facts).await?;
        }
    }
    Ok(())
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
            items,
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

fn reason(lane: &Undecided, facts: &Facts, choice: &Choice) -> String {
    match lane.singly {
        true => "a batch was not back in time: asked one by one".to_owned(),
        false => choosing::reason(facts, choice),
    }
}
