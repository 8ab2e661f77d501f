//! A fleet under test: a database, a simulated provider, a worker folder, and processes in here.
//! The provider is the entry `sim`, of kind gemini; where providers are crossed, `oa` too, which
//! speaks OpenAI to the same simulator.

use std::{collections::BTreeMap, io::Read, path::Path, sync::Arc, time::Duration};

use serde_json::value::RawValue;
use tidegate::{
    client::{LoadOptions, Loaded, Loader},
    definition::{Definition, Folder},
    engine::{Engine, Registry, Settings, Worked},
    provider::{Kind, Provider, ProviderSettings, build},
    simulator::{self, ModelSettings, Running, Simulator},
    store::{
        self, Store, migrate,
        model::{ModelRow, ProviderRow},
    },
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{TestDb, TestFolder, TestServer, many_at_once};

/// The shipped worker's folder.
pub(crate) fn shipped(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("workers")
        .join(name)
}

/// A database with a simulated provider before it.
pub(crate) struct Fleet {
    /// Dropped with the fleet, where the database is not a server's of its own.
    db: Option<TestDb>,
    url: String,
    pub(crate) store: Store,
    pub(crate) simulator: Running,
    entries: &'static [Entry],
}

/// An entry of the configuration: its name and what it speaks.
type Entry = (&'static str, Kind);

const ONE: &[Entry] = &[("sim", Kind::Gemini)];
const CROSSED: &[Entry] = &[("sim", Kind::Gemini), ("oa", Kind::OpenAi)];

/// Latency of a simulated call in these tests, in milliseconds.
const LATENCY_MS: f64 = 5.0;

impl Fleet {
    /// A database and a simulator with these models, whose limits the fleet is told as they are.
    pub(crate) async fn with(models: Vec<ModelSettings>) -> Self {
        Self::over(simulated(models)).await
    }

    /// The same with settings of one's own for the simulator.
    pub(crate) async fn over(settings: simulator::Settings) -> Self {
        let db = TestDb::new().await;
        let (url, store) = (db.url().to_owned(), Store::over(db.pool().clone()));
        Self::of(Some(db), url, store, settings, ONE).await
    }

    /// The same with two entries: each model is `sim/NAME` by Gemini's wire and `oa/NAME` by OpenAI's.
    pub(crate) async fn crossed(settings: simulator::Settings) -> Self {
        let db = TestDb::new().await;
        let (url, store) = (db.url().to_owned(), Store::over(db.pool().clone()));
        Self::of(Some(db), url, store, settings, CROSSED).await
    }

    /// The same on a server of the test's own, which may crash.
    pub(crate) async fn on(server: &TestServer, settings: simulator::Settings) -> Self {
        let store = Store::connect(&store::Settings::new(server.url()))
            .await
            .expect("the server takes connections");
        migrate::run(&store)
            .await
            .expect("an empty database is migrated");
        Self::of(None, server.url().to_owned(), store, settings, ONE).await
    }

    async fn of(
        db: Option<TestDb>,
        url: String,
        store: Store,
        settings: simulator::Settings,
        entries: &'static [Entry],
    ) -> Self {
        let models = settings.models.clone();
        let simulator = Simulator::start(settings)
            .await
            .expect("a simulator starts");
        let fleet = Self {
            db,
            url,
            store,
            simulator,
            entries,
        };
        fleet.tell(&models).await;
        fleet
    }

    /// For a test that writes rows of its own making, which no book knows.
    pub(crate) fn unaudited(&self) {
        if let Some(db) = &self.db {
            db.unaudited();
        }
    }

    /// The database's URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A real process: `tidegate work` as the fleet runs it, to be killed. Dropped, it is.
    pub(crate) fn real_process(&self, lease_s: u32) -> RealProcess {
        let folder = TestFolder::new();
        let settings = format!(
            "[work]\nlease_s = {lease_s}\nslots = 8\n[providers.sim]\nkind = \"gemini\"\nbase_url = {:?}\napi_key_env = \"A_TEST_KEY\"\n",
            self.simulator.base_url()
        );
        std::fs::write(folder.join("tidegate.toml"), settings).expect("settings are written");
        let child = std::process::Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["work", "--config"])
            .arg(folder.join("tidegate.toml"))
            .current_dir(folder.path())
            .env("DATABASE_URL", &self.url)
            .env("A_TEST_KEY", "a-test-key")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the program starts");
        RealProcess {
            child,
            _folder: folder,
        }
    }

    /// Where an entry of this kind is reached.
    fn base_url(&self, kind: Kind) -> String {
        if kind == Kind::OpenAi {
            self.simulator.openai_base_url()
        } else {
            self.simulator.base_url()
        }
    }

    /// Tells the fleet the providers and their models' limits.
    async fn tell(&self, models: &[ModelSettings]) {
        let providers: Vec<_> = self
            .entries
            .iter()
            .map(|(name, kind)| ProviderRow {
                name: (*name).to_owned(),
                kind: kind.as_str().to_owned(),
                base_url: self.base_url(*kind),
                quota_scope: (*name).to_owned(),
                day_zone: "America/Los_Angeles".to_owned(),
                batch_jobs: None,
            })
            .collect();
        let rows: Vec<ModelRow> = self
            .entries
            .iter()
            .flat_map(|entry| models.iter().map(|model| told(entry, model)))
            .collect();
        self.store
            .sync_models(&providers, &rows)
            .await
            .expect("models are synced");
        many_at_once(self.store.pool()).await;
    }

    /// The providers by entry, as a process holds them.
    pub(crate) fn providers(&self) -> BTreeMap<String, Arc<dyn Provider>> {
        let opened = self.entries.iter().map(|(name, kind)| {
            let mut settings = ProviderSettings::new(*name, *kind, "a-test-key");
            settings.base_url = Some(self.base_url(*kind));
            let provider = build(settings).expect("a provider is built");
            ((*name).to_owned(), provider)
        });
        opened.collect()
    }

    /// A process in here, working until the token is cancelled.
    pub(crate) fn process(&self, stop: &CancellationToken) -> tokio::task::JoinHandle<Worked> {
        self.process_with(
            stop,
            Settings {
                lease: Duration::from_secs(6),
                ..Settings::default()
            },
        )
    }

    /// The same with settings of one's own.
    pub(crate) fn process_with(
        &self,
        stop: &CancellationToken,
        settings: Settings,
    ) -> tokio::task::JoinHandle<Worked> {
        self.process_over(stop, settings, self.providers())
    }

    /// The same with providers of one's own.
    pub(crate) fn process_over(
        &self,
        stop: &CancellationToken,
        settings: Settings,
        providers: BTreeMap<String, Arc<dyn Provider>>,
    ) -> tokio::task::JoinHandle<Worked> {
        let engine = Engine::new(
            self.store.clone(),
            store::Settings::new(self.url.clone()),
            providers,
            Registry::new(),
            settings,
        );
        let stop = stop.clone();
        tokio::spawn(async move { engine.run(stop).await.expect("a process works") })
    }

    /// Makes the shipped sample's tables and loads its first articles.
    pub(crate) async fn articles(&self, count: usize) {
        let sample = shipped("entity_extraction").join("sample");
        let text = |name: &str| std::fs::read_to_string(sample.join(name)).expect("a sample file");
        self.store
            .run_script("setup.sql", &text("setup.sql"))
            .await
            .expect("tables are made");
        let mut lines = String::new();
        let packed = std::fs::File::open(sample.join("articles.jsonl.gz")).expect("the sample");
        flate2::read::GzDecoder::new(packed)
            .read_to_string(&mut lines)
            .expect("it is gzip");
        let rows: Vec<Box<RawValue>> = lines
            .lines()
            .take(count)
            .map(|line| serde_json::from_str(line).expect("a line is JSON"))
            .collect();
        self.store
            .load_sample(&text("load.sql"), &rows)
            .await
            .expect("articles are loaded");
        self.store
            .run_script("finish.sql", &text("finish.sql"))
            .await
            .expect("signals are made");
    }

    /// The shipped worker with its three tiers on these models.
    pub(crate) fn entity_extraction(tiers: [&[&str]; 3], last: &str) -> Definition {
        let folder = Folder::read(&shipped("entity_extraction")).expect("the shipped folder");
        let mut overrides = vec![("fallback.model".to_owned(), last.to_owned())];
        for (tier, ladder) in tiers.iter().enumerate() {
            overrides.push((format!("tier.{tier}.model"), ladder[0].to_owned()));
            overrides.push((
                format!("tier.{tier}.fallbacks"),
                format!("{:?}", &ladder[1..]),
            ));
        }
        Definition::check(&folder, &overrides).expect("the overrides fit")
    }

    /// Loads a run of this definition.
    pub(crate) async fn load(&self, definition: Definition) -> Loaded {
        let handler = Registry::new().handler(&definition).expect("a handler");
        let options = LoadOptions {
            limit: None,
            weight: 1.0,
            budget_microusd: None,
            folder: shipped("entity_extraction"),
            source_name: "test".to_owned(),
        };
        Loader::new(self.store.clone(), definition, handler, options)
            .expect("a loader")
            .load()
            .await
            .expect("the run is loaded")
    }

    /// Loads a run of the shipped worker on these ladders, and one process works it off.
    pub(crate) async fn work_off(&self, tiers: [&[&str]; 3], last: &str) -> Loaded {
        let loaded = self.load(Self::entity_extraction(tiers, last)).await;
        let stop = CancellationToken::new();
        let process = self.process(&stop);
        self.until_done(loaded.run).await;
        stop.cancel();
        process.await.expect("it ends");
        loaded
    }

    /// Waits until nothing of the run is left.
    pub(crate) async fn until_done(&self, run: Uuid) {
        let ended = async || {
            let state: String = sqlx::query_scalar("select state from tidegate.runs where id = $1")
                .bind(run)
                .fetch_one(self.store.pool())
                .await
                .expect("the run is there");
            state == "done"
        };
        bounded(ended, "the run ends").await;
    }

    /// Waits until the provider has seen so many calls.
    pub(crate) async fn until_calls(&self, count: usize) {
        bounded(async || self.simulator.log().len() >= count, "calls arrive").await;
    }

    /// Waits until the statement counts so many.
    pub(crate) async fn until_count(&self, sql: &'static str, count: i64) {
        bounded(async || self.count(sql).await >= count, sql).await;
    }

    /// One number.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(self.store.pool())
            .await
            .expect("a count")
    }
}

/// Looks again and again until it holds. The bound is only there to fail instead of hanging.
async fn bounded(mut holds: impl AsyncFnMut() -> bool, what: &str) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let looking = async {
        while !holds().await {
            ticks.tick().await;
        }
    };
    let looked = tokio::time::timeout(Duration::from_secs(120), looking).await;
    assert!(looked.is_ok(), "within the bound: {what}");
}

/// A process of its own.
pub(crate) struct RealProcess {
    child: std::process::Child,
    _folder: TestFolder,
}

impl RealProcess {
    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for RealProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Settings of a simulator with these models and little latency.
pub(crate) fn simulated(models: Vec<ModelSettings>) -> simulator::Settings {
    let mut settings = simulator::Settings {
        models,
        ..simulator::Settings::default()
    };
    settings.latency.median_ms = LATENCY_MS;
    settings.latency.min_ms = 1.0;
    settings
}

/// A model without limits.
pub(crate) fn a_model(name: &str) -> ModelSettings {
    ModelSettings::named(name)
}

/// What tidegate.toml would say of a simulated model.
fn told((entry, _): &Entry, model: &ModelSettings) -> ModelRow {
    let narrow = |size: Option<u64>| size.map(|size| u32::try_from(size).expect("a small limit"));
    ModelRow {
        model: format!("{entry}/{}", model.name),
        hash: b"told by a test".to_vec(),
        output_tpm: None,
        tpd: None,
        shares: None,
        batch: None,
        batch_price_percent: None,
        batch_enqueued_tokens: None,
        rpm: narrow(model.rpm),
        tpm: model.tpm,
        rpd: narrow(model.rpd),
        max_concurrency: None,
        counting: Some(match model.window {
            simulator::WindowKind::Fixed => "fixed",
            simulator::WindowKind::Sliding => "sliding",
            simulator::WindowKind::Bucket => "bucket",
        }),
        burst: matches!(model.window, simulator::WindowKind::Bucket)
            .then(|| narrow(model.burst))
            .flatten(),
        input_price_microusd: Some(100_000),
        output_price_microusd: Some(400_000),
    }
}
