//! What the database must know of a definition to make its lanes: the rows that its words mean.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{
    Store, StoreError,
    load::{NewLane, Routing, Saving},
    run::{Asking, Pacing},
};
use crate::definition::{Component, Definition, EST_OUTPUT_TOKENS, PacingSpec, StrategySpec};

/// The models' numbers of each tier's ladder, for this step; a local step's are empty.
pub(crate) async fn ladders(
    store: &Store,
    definition: &Definition,
    step: &Component,
) -> Result<Vec<Vec<i32>>, StoreError> {
    let mut ladders = Vec::with_capacity(definition.tiers.len());
    for tier in 0..definition.tiers.len() {
        let ladder = definition.ladder_of(step, tier);
        let names: Vec<String> = ladder.into_iter().map(String::from).collect();
        ladders.push(store.model_ids(&names).await?);
    }
    Ok(ladders)
}

/// The weight of each tier in a claim.
pub(crate) fn mix(definition: &Definition) -> Vec<f32> {
    definition
        .tiers
        .iter()
        .map(|tier| tier.mix as f32)
        .collect()
}

/// Output tokens that a claim reserves per call.
pub(crate) fn est_output(step: &Component) -> i32 {
    if step.local || step.prompt.embed.is_some() {
        return 0;
    }
    let tokens = step.prompt.params.max_output_tokens;
    i32::try_from(tokens.unwrap_or(EST_OUTPUT_TOKENS)).unwrap_or(i32::MAX)
}

/// Tokens of the longest answer. `None`: not bounded.
pub(crate) fn max_output(step: &Component) -> Option<i32> {
    let tokens = step.prompt.params.max_output_tokens?;
    Some(i32::try_from(tokens).unwrap_or(i32::MAX))
}

/// The lane of a step's tasks of a tier on this ladder.
pub(crate) fn lane(
    definition: &Definition,
    step: &Component,
    tier: i16,
    ladder: &[i32],
) -> NewLane {
    NewLane {
        component: step.name.clone(),
        component_priority: step.priority,
        tier,
        ladder: ladder.to_vec(),
        est_output: est_output(step),
        max_output: max_output(step),
        routing: routing(definition),
        call_timeout_ms: call_timeout_ms(step),
        saving: saving(definition, step),
    }
}

/// How a step's tasks spare calls. Local work has none to spare.
pub(crate) fn saving(definition: &Definition, step: &Component) -> Saving {
    if step.local {
        return Saving::default();
    }
    let days = definition.cache.max_age_days.unwrap_or(FOR_EVER_DAYS);
    let tokens = definition.pack.max_input_tokens;
    Saving {
        pack_size: i16::try_from(step.pack_size).unwrap_or(i16::MAX),
        pack_tokens: i32::try_from(tokens).unwrap_or(i32::MAX),
        cache_s: definition.cache.enabled.then(|| i64::from(days) * 86_400),
        cache_version: Some(definition.cache.version.clone()),
        prompt_hash: Some(Sha256::digest(&step.prompt.template).to_vec()),
    }
}

/// An answer may be so old where nothing is said: a hundred years.
const FOR_EVER_DAYS: u32 = 36_500;

/// How its tasks take their fallbacks.
pub(crate) fn routing(definition: &Definition) -> Routing {
    Routing {
        policy: definition.routing.policy.as_str(),
        patience_ms: i32::try_from(definition.routing.patience.as_millis()).unwrap_or(i32::MAX),
    }
}

/// How its claims are spread over time.
pub(crate) fn pacing(definition: &Definition) -> Pacing {
    let millis = |it: Duration| i32::try_from(it.as_millis()).unwrap_or(i32::MAX);
    let PacingSpec { stagger, rest } = &definition.pacing;
    Pacing {
        stagger_ms: stagger.map(millis),
        cool_after: rest.map(|(after, _)| i32::try_from(after).unwrap_or(i32::MAX)),
        cool_ms: rest.map(|(_, pause)| millis(pause)),
    }
}

/// How its tasks are asked.
pub(crate) fn asking(definition: &Definition) -> Asking {
    let StrategySpec {
        mode,
        purpose,
        deadline,
    } = definition.strategy;
    Asking {
        strategy: mode,
        purpose,
        within_s: deadline.map(|it| i32::try_from(it.as_secs()).unwrap_or(i32::MAX)),
    }
}

/// How long a call may take, in milliseconds.
pub(crate) fn call_timeout_ms(step: &Component) -> i32 {
    i32::try_from(step.call_timeout.as_millis()).unwrap_or(i32::MAX)
}
