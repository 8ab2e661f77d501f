//! Making a worker folder known by name, so that tasks may be enqueued for it.

use uuid::Uuid;

use super::{Store, StoreError, lanes, worker::NewWorker};
use crate::{
    definition::{Definition, StoredDefinition},
    retry::CALLS_PER_MODEL,
};

/// Makes this worker known by name. A definition that is in force already changes nothing; a new one
/// holds for tasks enqueued from now. Returns the standing run that such tasks belong to.
///
/// # Errors
/// [`StoreError::Refused`] for a worker with components, and for a model whose provider entry the
/// database does not know; as every statement.
pub async fn register(store: &Store, definition: &Definition) -> Result<Uuid, StoreError> {
    store
        .register_worker(&worker_of(store, definition).await?)
        .await
}

/// The worker that this definition is, as it is registered.
pub(crate) async fn worker_of(
    store: &Store,
    definition: &Definition,
) -> Result<NewWorker, StoreError> {
    let step = match definition.steps() {
        steps if definition.components.is_empty() => steps.into_iter().next(),
        _ => None,
    };
    let Some(step) = step else {
        return Err(StoreError::Refused(format!(
            "{} has components: their tasks come from a source, all those of an item together\n  help: say `tidegate run`; tasks are enqueued by name for workers of one step",
            definition.name
        )));
    };
    let ladders = lanes::ladders(store, definition, &step).await?;
    // local work has no ladder, and as many attempts as a program's
    let longest = ladders.iter().map(Vec::len).max().unwrap_or(1).max(1);
    Ok(NewWorker {
        name: definition.name.clone(),
        version: definition.version.clone(),
        hash: definition.hash().to_vec(),
        folder_json: StoredDefinition::of(definition).to_json(),
        ladders: (!definition.local).then_some(ladders),
        program: false,
        // as of a run's tasks
        max_attempts: i32::from(CALLS_PER_MODEL)
            .saturating_mul(i32::try_from(longest).unwrap_or(i32::MAX))
            .min(1_000),
        mix: lanes::mix(definition),
        est_output: lanes::est_output(&step),
        max_output: lanes::max_output(&step),
        routing: lanes::routing(definition),
        pacing: lanes::pacing(definition),
        asking: lanes::asking(definition),
        timeout_ms: lanes::call_timeout_ms(&step),
        saving: lanes::saving(definition, &step),
    })
}
