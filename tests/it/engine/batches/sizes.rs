//! What is larger than a provider takes: divided, and one item that is too large alone fails alone.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use async_trait::async_trait;
use tidegate::{
    llm::{
        BatchBounds, BatchDraft, BatchLine, CallError, Chunk, EmbedParams, EmbedReply,
        EmbedRequest, Exchange, RemoteBatch, RemoteFile, Request,
    },
    provider::{Batches, CallLimits, Provider},
    simulator::BatchSettings,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::scene::{PLAIN, Scene, watchful};

/// A provider that takes less in a batch than its vendor does.
struct Narrow {
    inner: Arc<dyn Provider>,
    items: usize,
    bytes: u64,
}

impl Narrow {
    fn door(&self) -> &dyn Batches {
        self.inner.batches().expect("a Batch API")
    }
}

#[async_trait]
impl Provider for Narrow {
    async fn generate(&self, wire_name: &str, request: &Request, limits: &CallLimits) -> Exchange {
        self.inner.generate(wire_name, request, limits).await
    }

    async fn stream(
        &self,
        wire_name: &str,
        request: &Request,
        limits: &CallLimits,
        chunks: &(dyn Fn(Chunk) + Send + Sync),
    ) -> Exchange {
        self.inner.stream(wire_name, request, limits, chunks).await
    }

    async fn embed(
        &self,
        wire_name: &str,
        request: &EmbedRequest,
        limits: &CallLimits,
    ) -> Exchange<EmbedReply> {
        self.inner.embed(wire_name, request, limits).await
    }

    fn embeds_at_once(&self) -> usize {
        self.inner.embeds_at_once()
    }

    fn batches(&self) -> Option<&dyn Batches> {
        Some(self)
    }

    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    async fn check(&self) -> Result<(), CallError> {
        self.inner.check().await
    }
}

#[async_trait]
impl Batches for Narrow {
    fn bounds(&self) -> BatchBounds {
        BatchBounds {
            items: self.items,
            bytes: self.bytes,
            ..self.door().bounds()
        }
    }

    fn line(&self, wire_name: &str, key: &str, request: &Request) -> String {
        self.door().line(wire_name, key, request)
    }

    async fn upload(&self, token: &str, file: &Path) -> Result<String, CallError> {
        let size = std::fs::metadata(file).map_or(0, |it| it.len());
        assert!(size <= self.bytes, "{size} bytes");
        self.door().upload(token, file).await
    }

    async fn files(&self) -> Result<Vec<RemoteFile>, CallError> {
        self.door().files().await
    }

    async fn create(&self, draft: &BatchDraft<'_>) -> Result<RemoteBatch, CallError> {
        self.door().create(draft).await
    }

    async fn list(&self) -> Result<Vec<RemoteBatch>, CallError> {
        self.door().list().await
    }

    async fn look(&self, id: &str) -> Result<RemoteBatch, CallError> {
        self.door().look(id).await
    }

    async fn results(
        &self,
        output: &str,
        embed: Option<&EmbedParams>,
        lines: &mpsc::Sender<BatchLine>,
    ) -> Result<(), CallError> {
        self.door().results(output, embed, lines).await
    }

    async fn cancel(&self, id: &str) -> Result<(), CallError> {
        self.door().cancel(id).await
    }

    async fn remove_file(&self, id: &str) -> Result<(), CallError> {
        self.door().remove_file(id).await
    }

    async fn remove(&self, id: &str) -> Result<(), CallError> {
        self.door().remove(id).await
    }
}

async fn worked_off(scene: &Scene, run: uuid::Uuid, items: usize, bytes: u64) {
    let narrow = |(name, inner)| {
        let narrow: Arc<dyn Provider> = Arc::new(Narrow {
            inner,
            items,
            bytes,
        });
        (name, narrow)
    };
    let providers: BTreeMap<_, _> = scene.fleet.providers().into_iter().map(narrow).collect();
    let stop = CancellationToken::new();
    let process = scene.fleet.process_over(&stop, watchful(), providers);
    scene.fleet.until_done(run).await;
    scene.until_over().await;
    stop.cancel();
    process.await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_items_than_a_batch_takes_become_several() {
    let scene = Scene::new(BatchSettings::default()).await;
    for entry in ["sim", "oa"] {
        let run = scene.load(entry, 25, "batch", PLAIN).await;
        worked_off(&scene, run, 10, 1 << 20).await;
        scene.judge(run, 25).await;
        let mut sizes: Vec<usize> = scene.batches(run).await.iter().map(|it| it.items).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [5, 10, 10]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_larger_than_a_batch_takes_is_divided() {
    let scene = Scene::new(BatchSettings::default()).await;
    for entry in ["sim", "oa"] {
        let run = scene.load(entry, 25, "batch", PLAIN).await;
        worked_off(&scene, run, 1_000, 2_000).await;
        scene.judge(run, 25).await;
        let batches = scene.batches(run).await;
        assert!(batches.len() > 1, "{batches:?}");
        let asked: usize = batches.iter().map(|it| it.items).sum();
        assert_eq!(asked, 25);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_item_larger_than_a_batch_takes_fails_alone() {
    let scene = Scene::new(BatchSettings::default()).await;
    for entry in ["sim", "oa"] {
        let run = scene.load(entry, 10, "batch", PLAIN).await;
        scene
            .say(&format!(
                "update tidegate.items set body = jsonb_set(body::jsonb, '{{text}}', to_jsonb(repeat('x', 3000)))::text
                  where run_id = '{run}' and item_id = 'i00003'"
            ))
            .await;
        worked_off(&scene, run, 1_000, 2_500).await;
        scene.judge(run, 9).await;
        let failed = format!(
            "select count(*) from tidegate.tasks where run_id = '{run}' and state = 'failed' and error_class = 'too_large' and item_id = 'i00003'"
        );
        assert_eq!(scene.number(&failed).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_items_all_come_to_nothing_before_it_leaves_is_never_made() {
    let scene = Scene::new(BatchSettings::default()).await;
    let run = scene.load("sim", 4, "batch", PLAIN).await;
    scene
        .say(&format!(
            "update tidegate.items set body = '{{}}' where run_id = '{run}'"
        ))
        .await;
    scene.work_off(run).await;
    scene.judge(run, 0).await;
    assert_eq!(scene.batches(run).await.len(), 0);
    assert_eq!(scene.fleet.simulator.files().len(), 0);
    let failed = format!(
        "select count(*) from tidegate.tasks where run_id = '{run}' and state = 'failed' and error_class = 'input'"
    );
    assert_eq!(scene.number(&failed).await, 4);
}
