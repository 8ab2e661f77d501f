//! The first pass over former tasks: their items are copied, to be done anew.

use std::collections::HashSet;

use uuid::Uuid;

use super::{LoadError, Loader, place::short_hash, weigh::Weighing};
use crate::{
    definition::{Definition, StoredDefinition},
    store::{Store, load::CHUNK, reprocess::Selection},
};

/// What became of former tasks that are done anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Those that were selected.
    pub selected: i64,
    /// Those whose item is gone.
    pub gone: i64,
    /// Those whose item comes again: it is copied once, for the newest of them.
    pub repeated: i64,
}

/// What a selection comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Selected {
    /// Tasks.
    pub tasks: i64,
    /// Their items.
    pub items: i64,
    /// Items that wait in another task: they are left out.
    pub waiting: i64,
}

/// Counts what a selection comes to, and changes nothing.
///
/// # Errors
/// [`LoadError::Store`] with the server's words for a condition that fails.
pub async fn selected(store: &Store, selection: &Selection) -> Result<Selected, LoadError> {
    Ok(store.count_selected(selection).await?)
}

/// The definition that these tasks are done anew by: the one in force for their worker, else that of
/// their run, else of its newest run.
///
/// # Errors
/// [`LoadError::Program`] for a worker that has no folder, [`LoadError::Nobody`].
pub async fn current_definition(
    store: &Store,
    worker: &str,
    run: Option<Uuid>,
) -> Result<Definition, LoadError> {
    let text = store
        .definition_in_force(worker, run)
        .await?
        .ok_or_else(|| LoadError::Nobody(worker.to_owned()))?;
    // what `engine::Program` keeps of itself
    let program = text.starts_with("{\"program\":");
    match StoredDefinition::from_json(&text) {
        Err(_) if program => Err(LoadError::Program(worker.to_owned())),
        other => Ok(other?),
    }
}

impl Loader {
    /// Weighs what the selected tasks would ask if they were done anew; nothing is stored.
    pub(super) async fn weigh_again(
        &self,
        selection: &Selection,
        weighing: &mut Weighing,
    ) -> Result<(), LoadError> {
        let worker = &self.definition.name;
        let mut ids = self.store.stream_selected(selection, true);
        let mut seen = HashSet::new();
        let mut taken = 0;
        let mut chunk = Vec::with_capacity(CHUNK);
        loop {
            let id = match ids.recv().await {
                Some(id) if !self.is_enough(taken) => Some(id?),
                _ => None,
            };
            taken += i64::from(id.is_some());
            chunk.extend(id);
            if chunk.len() == CHUNK || (id.is_none() && !chunk.is_empty()) {
                let mut items = self.store.items_of_tasks(&chunk).await?;
                items.retain(|item| seen.insert(short_hash(&item.id)));
                let names: Vec<String> = items.iter().map(|item| item.id.clone()).collect();
                let waiting = self.store.waiting_keys(worker, &names).await?;
                self.weigh_chunk(&items, &waiting.into_iter().collect(), weighing)
                    .await?;
                chunk.clear();
            }
            if id.is_none() {
                return Ok(());
            }
        }
    }

    /// Copies the items of the selected tasks to this run, a chunk a statement.
    pub(super) async fn copy(&self, run: Uuid, selection: &Selection) -> Result<Copied, LoadError> {
        let mut ids = self.store.stream_selected(selection, true);
        let mut copied = Copied::default();
        let mut stored = 0;
        let mut chunk = Vec::with_capacity(CHUNK);
        loop {
            let id = match ids.recv().await {
                Some(id) if !self.is_enough(copied.selected) => Some(id?),
                _ => None,
            };
            let last = id.is_none();
            if let Some(id) = id {
                copied.selected += 1;
                chunk.push(id);
            }
            if chunk.len() == CHUNK || (last && !chunk.is_empty()) {
                let (new, gone) = self.store.copy_items(run, self.process, &chunk).await?;
                stored += new;
                copied.gone += gone;
                chunk.clear();
            }
            if last {
                break;
            }
        }
        copied.repeated = copied.selected - copied.gone - stored;
        Ok(copied)
    }

    fn is_enough(&self, taken: i64) -> bool {
        let limit = self
            .options
            .limit
            .map(|it| i64::try_from(it).unwrap_or(i64::MAX));
        limit.is_some_and(|limit| taken >= limit)
    }
}
