//! Putting tasks back by hand: a new generation, or the sink once more where only that failed.

use uuid::Uuid;

use crate::{
    definition::{DefinitionError, StoredDefinition},
    store::{Store, StoreError},
};

/// What a retry by hand came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// Tasks put back to ready, as their next generation.
    pub ready: usize,
    /// Tasks done now, since the sink took their kept answer: no call was made.
    pub sink_applied: usize,
    /// Tasks whose sink refused again, with its words.
    pub sink_refused: Vec<(Uuid, String)>,
}

/// Why a retry failed as a whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetryError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A kept definition cannot be read.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
}

/// Puts failed and cancelled tasks back. Those that failed by their sink keep their answer: the
/// sink is applied again, without a call.
///
/// # Errors
/// [`RetryError`]; what was done before it stays done.
pub async fn retry(store: &Store, tasks: &[Uuid]) -> Result<Retried, RetryError> {
    let mut retried = Retried::default();
    let by_sink = store.sink_failed(tasks).await?;
    let mut definitions: Vec<&[u8]> = by_sink.iter().map(|t| t.definition.as_slice()).collect();
    definitions.sort_unstable();
    definitions.dedup();
    for hash in definitions {
        let Some(text) = store.definition(hash).await? else {
            continue;
        };
        let definition = StoredDefinition::from_json(&text)?;
        let Some(sink) = definition.sink else {
            continue;
        };
        let ids: Vec<Uuid> = by_sink
            .iter()
            .filter(|t| t.definition == hash)
            .map(|t| t.task)
            .collect();
        let (done, refused) = store.reapply_sink(&ids, sink.sql).await?;
        retried.sink_applied += done.len();
        retried.sink_refused.extend(refused);
    }
    let ready = store.retry(tasks).await?;
    retried.ready = usize::try_from(ready).unwrap_or_default();
    Ok(retried)
}
