//! Loading a run: read the source, score, rank into tiers, render, enqueue; memory stays flat.
//!
//! Two passes, since a rank needs all scores: first every row is stored as an item (`source`), then
//! items are walked in order of rank and become tasks, a chunk a statement (`rank`). A crash in
//! between is taken up where it stood; nothing of a run may be claimed before it is whole.

mod again;
mod dry;
mod error;
mod lane;
mod place;
mod rank;
mod source;
mod weigh;

pub use again::{Copied, Selected, current_definition, selected};
pub use dry::{Asked, Outlook, StepOutlook};
pub use error::LoadError;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::lanes;
use crate::{
    definition::{self, Definition, StoredDefinition},
    priority::{Shares, Weights},
    store::{
        Store,
        load::Enqueued,
        process::Registration,
        reprocess::Selection,
        run::{Asking, Begun, NewRun},
    },
    task::{Handler, new_id},
};

/// How a run is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Take so many rows of the source at most.
    pub limit: Option<u64>,
    /// Share among runs; 1 unless set.
    pub weight: f32,
    /// What the run may cost, in micro-dollars. `None`: not bounded.
    pub budget_microusd: Option<i64>,
    /// What relative paths of a source file are seen from.
    pub folder: PathBuf,
    /// What makes two loads the same, besides worker and definition: the source, for people.
    pub source_name: String,
}

/// A run that was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The run.
    pub run: Uuid,
    /// Rows of the source.
    pub items: i64,
    /// What became of them.
    pub sum: Enqueued,
    /// It was taken up where another process left it.
    pub resumed: bool,
    /// Where its items are those of former tasks: what became of these.
    pub copied: Copied,
}

/// Loads runs of one definition.
pub struct Loader {
    store: Store,
    definition: Definition,
    handler: Arc<dyn Handler>,
    process: Uuid,
    options: LoadOptions,
    /// All components, and which ones only; else those that are enabled.
    picked: (bool, Vec<String>),
    weights: Weights,
    shares: Shares,
    /// The former tasks whose items are the source.
    again: Option<Selection>,
}

impl Loader {
    /// A loader.
    ///
    /// # Errors
    /// [`LoadError::Priority`] for shares that do not sum to one.
    pub fn new(
        store: Store,
        definition: Definition,
        handler: Arc<dyn Handler>,
        options: LoadOptions,
    ) -> Result<Self, LoadError> {
        let weights = Weights::new(definition.weights.clone())?;
        let shares = Shares::new(definition.tiers.iter().map(|tier| tier.share_bp).collect())?;
        Ok(Self {
            store,
            definition,
            handler,
            process: new_id(),
            options,
            picked: (false, Vec::new()),
            weights,
            shares,
            again: None,
        })
    }

    /// The same with this budget.
    #[must_use]
    pub fn with_budget(mut self, microusd: Option<i64>) -> Self {
        self.options.budget_microusd = microusd;
        self
    }

    /// Does all components, or only these, instead of those that are enabled. What one needs and the
    /// run leaves out is taken from earlier runs of the worker.
    ///
    /// # Errors
    /// [`LoadError::Definition`] for a selection that cannot be: see [`Definition::selected`].
    pub fn selecting(mut self, all: bool, only: Vec<String>) -> Result<Self, LoadError> {
        self.definition.selected(all, &only)?;
        self.picked = (all, only);
        Ok(self)
    }

    /// How the run's tasks are asked.
    pub fn asking(&self) -> Asking {
        lanes::asking(&self.definition)
    }

    /// The steps that the run does.
    fn selection(&self) -> Result<definition::Selection, LoadError> {
        let (all, only) = &self.picked;
        Ok(self.definition.selected(*all, only)?)
    }

    /// Takes the items of these former tasks instead of the source's: each new task points to the
    /// one that it does anew.
    #[must_use]
    pub fn again(mut self, selection: Selection) -> Self {
        self.again = Some(selection);
        self
    }

    /// Loads a run, or takes up one that a dead process left half-loaded, and opens it.
    ///
    /// While it loads, this process is in `tidegate.processes` and beats once a second; if it falls
    /// silent for 3 s, another that wants the same may take over.
    ///
    /// # Errors
    /// [`LoadError`]; a source that is at fault leaves nothing behind.
    pub async fn load(&self) -> Result<Loaded, LoadError> {
        let selection = self.selection()?;
        self.check_source().await?;
        let mut ladders = Vec::with_capacity(selection.steps.len());
        for step in &selection.steps {
            ladders.push(lanes::ladders(&self.store, &self.definition, &step.component).await?);
        }
        let process = Registration {
            id: self.process,
            ..Registration::of_this_process("run", 0, LOADER_LEASE)
        };
        self.store.register(&process).await?;
        let beating = CancellationToken::new();
        let heart = tokio::spawn(beat(self.store.clone(), self.process, beating.clone()));
        let loaded = self.load_beating(&ladders).await;
        beating.cancel();
        // it ends by its token
        let _ = heart.await;
        self.store.unregister(self.process).await?;
        loaded
    }

    async fn load_beating(&self, ladders: &[Vec<Vec<i32>>]) -> Result<Loaded, LoadError> {
        let hash = self.definition.hash();
        let text = StoredDefinition::of(&self.definition).to_json();
        let (name, version) = (&self.definition.name, &self.definition.version);
        self.store
            .put_definition(&hash, name, version, &text)
            .await?;
        let mut busy = Uuid::nil();
        for _ in 0..BUSY_TRIES {
            match self.store.begin_run(&self.new_run(&hash)).await? {
                Begun::Read(run) => return self.read_then_rank(run, ladders).await,
                Begun::Rank { id, ranked } => return self.rank(id, ladders, ranked, true).await,
                Begun::Busy { id, .. } => busy = id,
            }
            tokio::time::sleep(BUSY_PAUSE).await;
        }
        Err(LoadError::Busy(busy))
    }

    fn new_run(&self, hash: &[u8]) -> NewRun {
        NewRun {
            id: new_id(),
            worker: self.definition.name.clone(),
            definition_hash: hash.to_vec(),
            source: self.source_told(),
            mix: lanes::mix(&self.definition),
            weight: self.options.weight,
            loader: self.process,
            max_concurrency: self.definition.limits.max_concurrency,
            pacing: lanes::pacing(&self.definition),
            asking: self.asking(),
            budget_microusd: self.options.budget_microusd,
        }
    }

    /// The source with what was picked: another selection of the same is another run.
    fn source_told(&self) -> String {
        let asked = self.selection().ok().and_then(|it| it.asked);
        match asked {
            Some(asked) => format!("{} [{asked}]", self.options.source_name),
            None => self.options.source_name.clone(),
        }
    }

    async fn read_then_rank(
        &self,
        run: Uuid,
        ladders: &[Vec<Vec<i32>>],
    ) -> Result<Loaded, LoadError> {
        let read = match &self.again {
            Some(selection) => self.copy(run, selection).await,
            None => self.read(run).await.map(|()| Copied::default()),
        };
        match read {
            Ok(copied) => Ok(Loaded {
                copied,
                ..self.rank(run, ladders, 0, false).await?
            }),
            Err(error) => {
                // the source is at fault: nothing of the run stays
                self.store.abandon_run(run, self.process).await?;
                Err(error)
            }
        }
    }
}

async fn beat(store: Store, process: Uuid, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOADER_BEAT) => {}
        }
        if let Err(error) = store.beat(process, LOADER_LEASE).await {
            tracing::debug!(%error, "the loader's heartbeat failed");
        }
    }
}

/// The lease of a loading process, and how often it is renewed.
const LOADER_LEASE: Duration = Duration::from_secs(60);
const LOADER_BEAT: Duration = Duration::from_secs(1);
/// How long another loader is waited for before this one gives up.
const BUSY_TRIES: u32 = 600;
const BUSY_PAUSE: Duration = Duration::from_millis(500);
