//! Which code answers for which work: handlers by worker, definitions by hash.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::{
    cache,
    definition::{
        Component, Definition, LocalTemplate, StoredDefinition, TemplateHandler,
        estimated_request_tokens,
    },
    store::{
        Store, StoreError,
        load::{Routing, Saving},
        run::{Asking, Pacing},
        worker::NewWorker,
    },
    task::{Answer, Handler, Item, LocalHandler},
};

/// A definition made ready to work by.
pub(super) struct Compiled {
    /// Asks and judges.
    pub(super) handler: Arc<dyn Handler>,
    /// Answers by itself, where the worker asks no model.
    pub(super) local: Option<LocalTemplate>,
    /// The sink's statement.
    pub(super) sink: Option<String>,
    /// Version of the cache, part of each request's key.
    cache_version: String,
    /// What else counts of each step, by component.
    steps: BTreeMap<String, CompiledStep>,
}

/// What counts of a step besides what it asks.
pub(super) struct CompiledStep {
    /// Components whose answers it sees.
    pub(super) needs: Vec<String>,
    /// Its prompts may travel together, and how many do is learned.
    pub(super) packs: bool,
    /// The cache's family, by tier.
    families: Vec<Vec<String>>,
}

impl Compiled {
    /// What counts of a component; of a worker of one step it has no name.
    pub(super) fn component(&self, name: &str) -> Option<&CompiledStep> {
        self.steps.get(name)
    }

    /// An item with the answers that its component needs; or why it cannot be done.
    pub(super) fn item(
        &self,
        id: String,
        body: Box<RawValue>,
        component: &str,
        results: BTreeMap<String, Answer>,
    ) -> Result<Item, String> {
        let needs = self.component(component).map(|step| &step.needs);
        let gone = |need: &&String| !results.contains_key(need.as_str());
        match needs.into_iter().flatten().find(gone) {
            Some(need) => Err(format!(
                "the result of {need}, which it needs, is gone: do that again, with this"
            )),
            None => Ok(Item::new(id, body).of(component, results)),
        }
    }

    /// What a task's prompt weighs, and the key of its request; or why no prompt can be made of it.
    pub(super) fn weigh(
        &self,
        item: &Item,
        version: Option<&str>,
        tier: usize,
    ) -> Result<(i32, [u8; 32]), String> {
        let request = guarded(|| self.handler.request(item))?.map_err(|error| error.0)?;
        let key = cache::key(&cache::Parts {
            request: &request,
            cache_version: &self.cache_version,
            item_version: version,
            family: &self
                .component(&item.component)
                .and_then(|step| step.families.get(tier))
                .into_iter()
                .flatten()
                .map(String::as_str)
                .collect::<Vec<_>>(),
        });
        let tokens = estimated_request_tokens(&request);
        Ok((i32::try_from(tokens).unwrap_or(i32::MAX), key))
    }
}

fn steps_of(definition: &Definition) -> BTreeMap<String, CompiledStep> {
    let tiers = 0..definition.tiers.len();
    let families = |step: &Component| {
        let of_tier = |tier| definition.family_of(step, tier);
        tiers.clone().map(of_tier).collect()
    };
    let steps = definition.steps().into_iter();
    steps
        .map(|step| {
            let families = families(&step);
            let compiled = CompiledStep {
                packs: !step.local && step.pack_size > 1 && step.prompt.embed.is_none(),
                needs: step.needs,
                families,
            };
            (step.name, compiled)
        })
        .collect()
}

/// Runs a handler's code: a panic in it is the task's trouble, not the process's.
pub(super) fn guarded<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(code))
        .map_err(|_| "the handler panicked; see the process's log".to_owned())
}

/// Local work of one worker: who does it, and how.
#[derive(Clone)]
pub struct Program {
    /// Does a task.
    pub handler: Arc<dyn LocalHandler>,
    /// Shown; a new one is a new definition.
    pub version: String,
    /// Attempts a task may have, where it says nothing itself. Default 4, 1 to 1,000.
    pub max_attempts: i32,
    /// How long one attempt may take. Default 60 s.
    pub timeout: Duration,
    /// Weight of each tier in a claim; one tier unless set.
    pub mix: Vec<f32>,
}

impl Program {
    /// The defaults, for this handler.
    pub fn new(handler: Arc<dyn LocalHandler>) -> Self {
        Self {
            handler,
            version: "1".to_owned(),
            max_attempts: 4,
            timeout: Duration::from_secs(60),
            mix: vec![1.0],
        }
    }

    /// As the database is told of it.
    pub fn to_worker(&self, name: &str) -> NewWorker {
        let folder = serde_json::json!({ "program": name, "version": self.version, "mix": self.mix,
            "max_attempts": self.max_attempts, "timeout_ms": self.timeout_ms() });
        let folder_json = folder.to_string();
        NewWorker {
            name: name.to_owned(),
            version: self.version.clone(),
            hash: Sha256::digest(&folder_json).to_vec(),
            folder_json,
            ladders: None,
            program: true,
            max_attempts: self.max_attempts,
            mix: self.mix.clone(),
            est_output: 0,
            max_output: None,
            routing: Routing::default(),
            pacing: Pacing::default(),
            asking: Asking::default(),
            timeout_ms: self.timeout_ms(),
            saving: Saving::default(),
        }
    }

    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX)
    }
}

/// Handlers by worker. A worker without one works by its folder's template and schema.
#[derive(Clone, Default)]
pub struct Registry {
    handlers: HashMap<String, Arc<dyn Handler>>,
    programs: BTreeMap<String, Program>,
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

    /// Lets this handler do the local tasks (those that ask no model) of the worker of this name. The
    /// worker is made known when the process starts, so that tasks may be enqueued for it.
    #[must_use]
    pub fn with_program(mut self, worker: impl Into<String>, program: Program) -> Self {
        self.programs.insert(worker.into(), program);
        self
    }

    /// The programs, by worker.
    pub(super) fn programs(&self) -> &BTreeMap<String, Program> {
        &self.programs
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
        let local = LocalTemplate::of(&definition)
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        let compiled = Arc::new(Compiled {
            handler,
            local,
            sink,
            cache_version: definition.cache.version.clone(),
            steps: steps_of(&definition),
        });
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
