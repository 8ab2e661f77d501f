//! What the database must know of a definition to make its lanes.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::{
    definition::{Definition, PacingSpec},
    store::{
        Store, StoreError,
        load::{Routing, Saving},
        run::Pacing,
    },
};

/// Output tokens reserved per call where the worker sets no limit.
const EST_OUTPUT_TOKENS: u32 = 256;

/// The models' numbers of each tier's ladder.
pub(super) async fn ladders(
    store: &Store,
    definition: &Definition,
) -> Result<Vec<Vec<i32>>, StoreError> {
    let mut ladders = Vec::with_capacity(definition.tiers.len());
    for tier in 0..definition.tiers.len() {
        let ladder = definition.ladder(tier);
        let names: Vec<String> = ladder.into_iter().map(String::from).collect();
        ladders.push(store.model_ids(&names).await?);
    }
    Ok(ladders)
}

/// The weight of each tier in a claim.
pub(super) fn mix(definition: &Definition) -> Vec<f32> {
    definition
        .tiers
        .iter()
        .map(|tier| tier.mix as f32)
        .collect()
}

/// Output tokens that a claim reserves per call.
pub(super) fn est_output(definition: &Definition) -> i32 {
    if definition.local {
        return 0;
    }
    let tokens = definition.prompt.params.max_output_tokens;
    i32::try_from(tokens.unwrap_or(EST_OUTPUT_TOKENS)).unwrap_or(i32::MAX)
}

/// Tokens of the longest answer. `None`: not bounded.
pub(super) fn max_output(definition: &Definition) -> Option<i32> {
    let tokens = definition.prompt.params.max_output_tokens?;
    Some(i32::try_from(tokens).unwrap_or(i32::MAX))
}

/// How its tasks take their fallbacks.
pub(super) fn routing(definition: &Definition) -> Routing {
    Routing {
        policy: definition.routing.policy.as_str(),
        patience_ms: i32::try_from(definition.routing.patience.as_millis()).unwrap_or(i32::MAX),
    }
}

/// How its claims are spread over time.
pub(super) fn pacing(definition: &Definition) -> Pacing {
    let millis = |it: Duration| i32::try_from(it.as_millis()).unwrap_or(i32::MAX);
    let PacingSpec { stagger, rest } = &definition.pacing;
    Pacing {
        stagger_ms: stagger.map(millis),
        cool_after: rest.map(|(after, _)| i32::try_from(after).unwrap_or(i32::MAX)),
        cool_ms: rest.map(|(_, pause)| millis(pause)),
    }
}

/// How its tasks spare calls. Local work has none to spare.
pub(super) fn saving(definition: &Definition) -> Saving {
    if definition.local {
        return Saving::default();
    }
    let prompt_hash = Sha256::digest(&definition.prompt.template).to_vec();
    Saving {
        cache_s: definition.cache.enabled.then_some(FOR_EVER_S),
        cache_version: Some(definition.cache.version.clone()),
        prompt_hash: Some(prompt_hash),
        ..Saving::default()
    }
}

/// An answer may be so old, in seconds: a hundred years.
const FOR_EVER_S: i64 = 100 * 365 * 86_400;

/// How long a call may take, in milliseconds.
pub(super) fn call_timeout_ms(definition: &Definition) -> i32 {
    i32::try_from(definition.limits.call_timeout.as_millis()).unwrap_or(i32::MAX)
}
