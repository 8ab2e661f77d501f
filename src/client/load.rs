//! Loading a run: read the source, score, rank into tiers, render, enqueue; memory stays flat.
//!
//! Two passes, since a rank needs all scores: first every row is stored as an item, then items are
//! walked in order of rank and become tasks, a chunk a statement. A crash in between is taken up
//! where it stood; nothing of a run may be claimed before it is whole.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    cache,
    definition::{
        Definition, DefinitionError, FileFormat, SourceFrom, SourceSpec, StoredDefinition,
        estimated_request_tokens,
        rows::{self, Row, RowError},
    },
    priority::{PriorityError, Shares, Weights},
    store::{
        Store, StoreError,
        enqueue::{CHUNK, Enqueued, NewItem, NewLane, NewTask, RankedItem},
        process::Registration,
        run::{Begun, NewRun},
    },
    task::{Handler, Item, new_id},
};

/// Why a run could not be loaded. Nothing of it stays, but for what a later try takes up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The worker folder, or what it expects of the source.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// The database, or the user's source.sql.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row of the source.
    #[error("{source_name}: {error}")]
    Row {
        /// Which source.
        source_name: String,
        /// Line, field and reason.
        error: RowError,
    },
    /// An id that comes twice.
    #[error("{source_name}: the id `{id}` comes twice\n  help: ids must be unique in a source")]
    Duplicate {
        /// Which source.
        source_name: String,
        /// The id.
        id: String,
    },
    /// A score that is no number.
    #[error("{source_name}: item `{id}`: {error}")]
    Score {
        /// Which source.
        source_name: String,
        /// The item.
        id: String,
        /// The reason.
        error: PriorityError,
    },
    /// Shares or weights of the folder.
    #[error("worker.toml: {0}")]
    Priority(#[from] PriorityError),
    /// A file that cannot be read.
    #[error("{}: {error}\n  help: check the path; it is seen from {}", path.display(), seen_from.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What relative paths are seen from.
        seen_from: PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// Another process is loading the same run and does not end.
    #[error(
        "run {0} of the same worker and source is being loaded by another process\n  help: wait for it, or stop it"
    )]
    Busy(Uuid),
}

/// How a run is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Take so many rows of the source at most.
    pub limit: Option<u64>,
    /// Share among runs; 1 unless set.
    pub weight: f32,
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
}

/// What a dry run found: nothing was stored.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Outlook {
    /// Rows of the source.
    pub items: u64,
    /// Rows of which no prompt could be made.
    pub refused: u64,
    /// Input tokens, estimated.
    pub input_tokens: u64,
    /// Items per tier.
    pub tiers: Vec<u64>,
}

/// Loads runs of one definition.
pub struct Loader {
    store: Store,
    definition: Definition,
    handler: Arc<dyn Handler>,
    process: Uuid,
    options: LoadOptions,
    weights: Weights,
    shares: Shares,
}

/// Where the rows come from, opened.
type Rows = mpsc::Receiver<Result<Row, LoadError>>;

/// Rows on their way at once at most.
const BUFFER: usize = 256;
/// The lease of a loading process, and how often it is renewed.
const LOADER_LEASE: Duration = Duration::from_secs(60);
const LOADER_BEAT: Duration = Duration::from_secs(1);
/// How long another loader is waited for before this one gives up.
const BUSY_TRIES: u32 = 600;
const BUSY_PAUSE: Duration = Duration::from_millis(500);

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
            weights,
            shares,
        })
    }

    /// Checks the source's columns against what the folder names, without reading it.
    ///
    /// # Errors
    /// [`LoadError::Store`] with the server's words for a source.sql that fails,
    /// [`LoadError::Definition`] for a missing column, [`LoadError::File`] for a missing file.
    pub async fn check_source(&self) -> Result<(), LoadError> {
        match &self.definition.source.from {
            SourceFrom::Sql { text, .. } => {
                let columns = self.store.source_columns(text).await?;
                Ok(self.definition.check_columns(&columns)?)
            }
            SourceFrom::File { .. } => self.open_file().map(drop),
        }
    }

    /// Loads a run, or takes up one that a dead process left half-loaded, and opens it.
    ///
    /// While it loads, this process is in `tidegate.processes` and beats once a second; if it falls
    /// silent for 3 s, another that wants the same may take over.
    ///
    /// # Errors
    /// [`LoadError`]; a source that is at fault leaves nothing behind.
    pub async fn load(&self) -> Result<Loaded, LoadError> {
        self.check_source().await?;
        let ladders = self.model_ladders().await?;
        self.store.register(&self.registration()).await?;
        let beating = CancellationToken::new();
        let heart = tokio::spawn(beat(self.store.clone(), self.process, beating.clone()));
        let loaded = self.load_beating(&ladders).await;
        beating.cancel();
        // it ends by its token
        let _ = heart.await;
        self.store.unregister(self.process).await?;
        loaded
    }

    async fn load_beating(&self, ladders: &[Vec<i32>]) -> Result<Loaded, LoadError> {
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

    fn registration(&self) -> Registration {
        Registration {
            id: self.process,
            role: "run",
            host: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            pid: std::process::id(),
            slots: 0,
            lease: LOADER_LEASE,
        }
    }

    /// Reads, ranks and renders, and stores nothing.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn dry_run(&self) -> Result<Outlook, LoadError> {
        self.check_source().await?;
        let mut outlook = Outlook::default();
        let mut rows = self.rows()?;
        while let Some(row) = rows.recv().await {
            let row = row?;
            self.score(&row)?;
            outlook.items += 1;
            let item = Item {
                id: row.id,
                body: row.body,
            };
            match self.handler.request(&item) {
                Ok(request) => {
                    outlook.input_tokens += u64::from(estimated_request_tokens(&request))
                }
                Err(_) => outlook.refused += 1,
            }
        }
        let ends = self.shares.ends(outlook.items);
        outlook.tiers = std::iter::once(0)
            .chain(ends.iter().copied())
            .zip(&ends)
            .map(|(from, to)| to - from)
            .collect();
        Ok(outlook)
    }

    fn new_run(&self, hash: &[u8]) -> NewRun {
        NewRun {
            id: new_id(),
            worker: self.definition.name.clone(),
            definition_hash: hash.to_vec(),
            source: self.options.source_name.clone(),
            mix: self
                .definition
                .tiers
                .iter()
                .map(|tier| tier.mix as f32)
                .collect(),
            weight: self.options.weight,
            loader: self.process,
            max_concurrency: self.definition.limits.max_concurrency,
        }
    }

    /// The models' numbers of each tier's ladder.
    async fn model_ladders(&self) -> Result<Vec<Vec<i32>>, LoadError> {
        let mut ladders = Vec::with_capacity(self.definition.tiers.len());
        for tier in 0..self.definition.tiers.len() {
            let names: Vec<String> = self
                .definition
                .ladder(tier)
                .into_iter()
                .map(String::from)
                .collect();
            ladders.push(self.store.model_ids(&names).await?);
        }
        Ok(ladders)
    }

    async fn read_then_rank(&self, run: Uuid, ladders: &[Vec<i32>]) -> Result<Loaded, LoadError> {
        match self.read(run).await {
            Ok(()) => self.rank(run, ladders, 0, false).await,
            Err(error) => {
                // the source is at fault: nothing of the run stays
                self.store.abandon_run(run, self.process).await?;
                Err(error)
            }
        }
    }

    async fn read(&self, run: Uuid) -> Result<(), LoadError> {
        let mut rows = self.rows()?;
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut taken = 0_u64;
        while let Some(row) = rows.recv().await {
            if self.options.limit.is_some_and(|limit| taken >= limit) {
                break;
            }
            let row = row?;
            taken += 1;
            chunk.push(NewItem {
                score: self.score(&row)?,
                id: row.id,
                body: row.body.get().to_owned(),
                version: row.version,
                category: row.category,
            });
            if chunk.len() == CHUNK {
                self.store_items(run, &mut chunk).await?;
            }
        }
        self.store_items(run, &mut chunk).await?;
        self.store.source_read(run, self.process).await?;
        Ok(())
    }

    async fn store_items(&self, run: Uuid, chunk: &mut Vec<NewItem>) -> Result<(), LoadError> {
        let duplicate = self.store.add_items(run, chunk).await?;
        chunk.clear();
        match duplicate {
            Some(id) => Err(LoadError::Duplicate {
                source_name: self.options.source_name.clone(),
                id,
            }),
            None => Ok(()),
        }
    }

    fn score(&self, row: &Row) -> Result<f64, LoadError> {
        if let Some(score) = row.score {
            return Ok(score);
        }
        self.weights
            .score(&row.signals)
            .map_err(|error| LoadError::Score {
                source_name: self.options.source_name.clone(),
                id: row.id.clone(),
                error,
            })
    }

    /// Items in order of rank become tasks; the run opens when all are.
    async fn rank(
        &self,
        run: Uuid,
        ladders: &[Vec<i32>],
        from: i64,
        resumed: bool,
    ) -> Result<Loaded, LoadError> {
        let total = self.store.source_read(run, self.process).await?;
        let lanes = self.lanes(run, ladders).await?;
        let ends = self.shares.ends(u64::try_from(total).unwrap_or_default());
        let mut sum = Enqueued::default();
        let mut ranked = from;
        let mut last: Option<(f64, String)> = None;
        loop {
            let after = last.as_ref().map(|(score, id)| (*score, id.as_str()));
            let skip = if last.is_none() { ranked } else { 0 };
            let limit = i64::try_from(CHUNK).unwrap_or(i64::MAX);
            let items = self.store.items_by_rank(run, after, skip, limit).await?;
            let Some(end) = items.last() else { break };
            last = Some((end.score, end.id.clone()));
            let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let tasks = self.tasks(items, ranked, &ends, &lanes);
            let chunk = self
                .store
                .enqueue_ranked(run, self.process, ranked, &tasks)
                .await?;
            sum.enqueued += chunk.enqueued;
            sum.skipped += chunk.skipped;
            sum.refused += chunk.refused;
            ranked += count;
        }
        self.store.note_loaded(run, sum).await?;
        self.store.open_run(run, self.process).await?;
        Ok(Loaded {
            run,
            items: total,
            sum,
            resumed,
        })
    }

    async fn lanes(&self, run: Uuid, ladders: &[Vec<i32>]) -> Result<Vec<i32>, LoadError> {
        let params = &self.definition.prompt.params;
        let est_output = params.max_output_tokens.unwrap_or(EST_OUTPUT_TOKENS);
        let timeout = self.definition.limits.call_timeout.as_millis();
        let mut lanes = Vec::with_capacity(ladders.len());
        for (tier, ladder) in ladders.iter().enumerate() {
            let lane = NewLane {
                tier: i16::try_from(tier).unwrap_or(i16::MAX),
                ladder: ladder.clone(),
                est_output: i32::try_from(est_output).unwrap_or(i32::MAX),
                call_timeout_ms: i32::try_from(timeout).unwrap_or(i32::MAX),
            };
            lanes.push(self.store.ensure_lane(run, &lane).await?);
        }
        Ok(lanes)
    }

    fn tasks(
        &self,
        items: Vec<RankedItem>,
        from: i64,
        ends: &[u64],
        lanes: &[i32],
    ) -> Vec<NewTask> {
        items
            .into_iter()
            .zip(from + 1..)
            .map(|(item, rank)| {
                let rank = u64::try_from(rank).unwrap_or_default();
                let tier = ends
                    .iter()
                    .position(|end| rank <= *end)
                    .unwrap_or(lanes.len() - 1);
                self.task(item, tier, lanes[tier])
            })
            .collect()
    }

    fn task(&self, item: RankedItem, tier: usize, lane: i32) -> NewTask {
        let family: Vec<String> = self
            .definition
            .ladder(tier)
            .into_iter()
            .map(String::from)
            .collect();
        let family: Vec<&str> = match &self.definition.cache.family {
            Some(name) => vec![name.as_str()],
            None => family.iter().map(String::as_str).collect(),
        };
        let request = RawValue::from_string(item.body)
            .map_err(|error| error.to_string())
            .and_then(|body| {
                let asked = Item {
                    id: item.id.clone(),
                    body,
                };
                self.handler.request(&asked).map_err(|error| error.0)
            });
        let mut task = NewTask {
            item: item.id,
            tier: i16::try_from(tier).unwrap_or(i16::MAX),
            lane,
            priority: item.score,
            est_tokens: 0,
            cache_key: Vec::new(),
            category: item.category,
            error: None,
        };
        match request {
            Ok(request) => {
                let tokens = estimated_request_tokens(&request);
                task.est_tokens = i32::try_from(tokens).unwrap_or(i32::MAX);
                task.cache_key = cache::key(&cache::Parts {
                    request: &request,
                    cache_version: &self.definition.cache.version,
                    item_version: item.version.as_deref(),
                    family: &family,
                })
                .to_vec();
            }
            Err(reason) => task.error = Some(reason.replace('\0', "\u{fffd}")),
        }
        task
    }

    /// The rows of the source, read by a task of their own.
    fn rows(&self) -> Result<Rows, LoadError> {
        let (sender, receiver) = mpsc::channel(BUFFER);
        let spec = self.definition.source.clone();
        let source_name = self.options.source_name.clone();
        match &self.definition.source.from {
            SourceFrom::Sql { text, .. } => {
                let texts = self.store.stream_source(text);
                tokio::spawn(forward(texts, spec, source_name, sender));
            }
            SourceFrom::File { format, .. } => {
                let format = *format;
                let input = self.open_file()?;
                tokio::task::spawn_blocking(move || {
                    read_rows(format, input, &spec, &source_name, &sender)
                });
            }
        }
        Ok(receiver)
    }

    fn open_file(&self) -> Result<Box<dyn BufRead + Send>, LoadError> {
        let SourceFrom::File {
            path,
            gzip,
            overridden,
            ..
        } = &self.definition.source.from
        else {
            return Ok(Box::new(std::io::empty()));
        };
        let seen_from = if *overridden {
            Path::new(".")
        } else {
            self.options.folder.as_path()
        };
        let path = seen_from.join(path);
        let told = |error| LoadError::File {
            path: path.clone(),
            seen_from: seen_from.to_path_buf(),
            error,
        };
        let file = File::open(&path).map_err(told)?;
        if file.metadata().map_err(told)?.is_dir() {
            return Err(told(std::io::Error::from(std::io::ErrorKind::IsADirectory)));
        }
        Ok(if *gzip {
            Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(file)))
        } else {
            Box::new(BufReader::new(file))
        })
    }
}

/// Output tokens reserved per call where the worker sets no limit.
const EST_OUTPUT_TOKENS: u32 = 256;

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

async fn forward(
    mut texts: mpsc::Receiver<Result<String, StoreError>>,
    spec: SourceSpec,
    source_name: String,
    sender: mpsc::Sender<Result<Row, LoadError>>,
) {
    while let Some(text) = texts.recv().await {
        let row = match text {
            Ok(text) => rows::row_from_json(&text, &spec).map_err(|error| LoadError::Row {
                source_name: source_name.clone(),
                error,
            }),
            Err(error) => Err(LoadError::Store(error)),
        };
        if sender.send(row).await.is_err() {
            return;
        }
    }
}

fn read_rows(
    format: FileFormat,
    input: Box<dyn BufRead + Send>,
    spec: &SourceSpec,
    source_name: &str,
    sender: &mpsc::Sender<Result<Row, LoadError>>,
) {
    let told = |row: Result<Row, RowError>| {
        let row = row.map_err(|error| LoadError::Row {
            source_name: source_name.to_owned(),
            error,
        });
        sender.blocking_send(row).is_ok()
    };
    // `all` ends at the first row that nobody takes any more
    match format {
        FileFormat::Jsonl => rows::jsonl(input, spec).all(told),
        FileFormat::Csv => rows::csv(input, spec).all(told),
    };
}
