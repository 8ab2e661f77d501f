//! Which code answers for which work: handlers by worker, definitions by hash.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    definition::{Definition, StoredDefinition, TemplateHandler},
    store::{Store, StoreError},
    task::Handler,
};

/// A definition made ready to work by.
pub(super) struct Compiled {
    /// Asks and judges.
    pub(super) handler: Arc<dyn Handler>,
    /// The sink's statement.
    pub(super) sink: Option<String>,
}

/// Handlers by worker. A worker without one works by its folder's template and schema.
#[derive(Clone, Default)]
pub struct Registry {
    handlers: HashMap<String, Arc<dyn Handler>>,
    compiled: Arc<Mutex<HashMap<Vec<u8>, Arc<Compiled>>>>,
}

impl Registry {
    /// No handlers: every worker works by its folder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets this handler ask and judge for the worker of this name.
    #[must_use]
    pub fn with(mut self, worker: impl Into<String>, handler: Arc<dyn Handler>) -> Self {
        self.handlers.insert(worker.into(), handler);
        self
    }

    /// The handler of a definition: the one registered for its worker, else its template.
    ///
    /// # Errors
    /// The reason in words, when the template does not compile.
    pub fn handler(&self, definition: &Definition) -> Result<Arc<dyn Handler>, String> {
        match self.handlers.get(&definition.name) {
            Some(handler) => Ok(handler.clone()),
            None => match TemplateHandler::new(definition) {
                Ok(handler) => Ok(Arc::new(handler)),
                Err(error) => Err(error.to_string()),
            },
        }
    }

    /// The definition kept under this hash, compiled once per process.
    pub(super) async fn compiled(
        &self,
        store: &Store,
        hash: &[u8],
    ) -> Result<Arc<Compiled>, StoreError> {
        if let Some(known) = self.known(hash) {
            return Ok(known);
        }
        let text = store.definition(hash).await?.ok_or_else(|| {
            StoreError::Refused(format!(
                "no worker definition {} is kept",
                hex::encode(hash)
            ))
        })?;
        let definition = StoredDefinition::from_json(&text)
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        let handler = self.handler(&definition).map_err(StoreError::Refused)?;
        let sink = definition.sink.as_ref().map(|sink| sink.sql.clone());
        let compiled = Arc::new(Compiled { handler, sink });
        self.lock().insert(hash.to_vec(), compiled.clone());
        Ok(compiled)
    }

    fn known(&self, hash: &[u8]) -> Option<Arc<Compiled>> {
        self.lock().get(hash).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, Arc<Compiled>>> {
        // a panic elsewhere leaves the map whole: every write is one insert
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
