//! Interactive calls: somebody waits for the answer. They go through the same admission, cache and
//! ledger as all tasks; a little of each limit is reserved for them, and no bulk work stands before them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use sha2::{Digest, Sha256};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

mod asking;
mod desk;
mod distinct;
mod gathering;
mod group;
mod how;
mod listed;
mod listening;
mod portions;
mod sort;
mod sort_worker;
mod text;
mod tries;
mod vectors;
mod words;
mod works;

pub use sort::EmbedSettings;
pub use vectors::{EmbedQuestion, EmbedTold, HowAsked, VectorTold};
pub use words::{AskError, Question, Told};

use asking::ATTEMPTS;
use desk::Desk;
use gathering::Gathering;
use listening::Listening;
use works::Works;

use super::{BatchSettings, Registry, Settings, Shared, Worked, settle::Settler};
use crate::{
    llm::Chunk,
    provider::Provider,
    store::{
        self, Store, StoreError,
        load::{Routing, Saving},
        run::{Asking, Pacing},
        worker::NewWorker,
    },
};

/// A process that asks for people who wait. Cheap to share; questions run side by side.
pub struct Interactive {
    desk: Arc<Desk>,
    settler: JoinHandle<Worked>,
    /// The standing run of questions.
    run: Uuid,
    /// Texts that are to become vectors.
    vectors: Arc<Gathering>,
    /// What is done here for lists that go by batch.
    works: Arc<Works>,
    /// When latencies were summed up last.
    learned: Mutex<Option<Instant>>,
}

/// The worker that questions are of.
const WORKER: &str = "ask";
/// The worker that texts are of which are to become vectors.
const EMBED_WORKER: &str = "embed";

impl Interactive {
    /// A process over this database, calling these providers by their entries' names.
    ///
    /// # Errors
    /// As every statement.
    pub async fn open(
        store: Store,
        database: store::Settings,
        providers: BTreeMap<String, Arc<dyn Provider>>,
    ) -> Result<Self, StoreError> {
        let settings = Settings {
            role: WORKER,
            status: None,
            ..Settings::default()
        };
        let run = store
            .register_worker(&worker(WORKER, r#"{"interactive": true}"#))
            .await?;
        let works = Works::new(
            store.clone(),
            database.clone(),
            providers.clone(),
            settings.batches,
        );
        let shared = Arc::new(Shared::new(
            store,
            providers,
            Registry::new(),
            settings,
            CancellationToken::new(),
        ));
        let (outcomes, settling) = mpsc::channel(shared.settings.slots as usize * 2);
        let settler = tokio::spawn(Settler::new(shared.clone()).run(settling));
        let desk = Arc::new(Desk::open(shared, database, outcomes).await?);
        Ok(Self {
            vectors: Gathering::new(desk.clone(), EmbedSettings::default()),
            desk,
            settler,
            run,
            works,
            learned: Mutex::new(None),
        })
    }

    /// The same with other settings for texts that are to become vectors, of which none is asked yet.
    #[must_use]
    pub fn with_embed_settings(self, settings: EmbedSettings) -> Self {
        Self {
            vectors: Gathering::new(self.desk.clone(), settings),
            ..self
        }
    }

    /// The same that watches batches otherwise, of which none is made yet.
    #[must_use]
    pub fn with_batch_settings(self, settings: BatchSettings) -> Self {
        Self {
            works: self.works.with(settings),
            ..self
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`AskError`] says whose fault it is.
    pub async fn ask(&self, question: &Question) -> Result<Told, AskError> {
        self.told(question, None).await
    }

    /// Asks, and hands on each piece of the answer as it arrives. A kept answer is one piece. What breaks
    /// before the first piece is asked again; after it the pieces are part of no answer, and that is told.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn stream(
        &self,
        question: &Question,
        chunks: &(dyn Fn(Chunk) + Send + Sync),
    ) -> Result<Told, AskError> {
        self.told(question, Some(&Listening::new(chunks))).await
    }

    /// Ends: what was asked is answered and written down first.
    ///
    /// # Errors
    /// [`StoreError::Broken`] when it could not be.
    pub async fn close(self) -> Result<Worked, StoreError> {
        let shared = self.desk.shared.clone();
        shared.drain(Instant::now() + shared.settings.grace).await;
        self.works.close().await;
        drop(self.vectors);
        let life = Arc::into_inner(self.desk)
            .ok_or(StoreError::Broken)?
            .close();
        let worked = self.settler.await.map_err(|_| StoreError::Broken)?;
        life.end(&shared, true).await;
        Ok(worked)
    }
}

/// The worker whose standing run such tasks belong to: nobody claims its own lanes.
fn worker(name: &str, folder_json: &str) -> NewWorker {
    NewWorker {
        name: name.to_owned(),
        version: "1".to_owned(),
        hash: Sha256::digest(folder_json).to_vec(),
        folder_json: folder_json.to_owned(),
        ladders: None,
        program: true,
        max_attempts: ATTEMPTS,
        mix: vec![1.0],
        est_output: 0,
        max_output: None,
        routing: Routing::default(),
        pacing: Pacing::default(),
        asking: Asking::default(),
        timeout_ms: 60_000,
        saving: Saving::default(),
    }
}
