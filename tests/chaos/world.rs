//! Everything that is not Tidegate's: Postgres behind a faulty network, a provider, a user's tables.

use std::{path::Path, time::Duration};

use sqlx::{
    Executor, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tidegate::simulator::{
    self, BatchSettings, Latency, ModelSettings, Running, Simulator, WindowKind,
};
use tokio::{process::Command, sync::Mutex};

use crate::{
    history::{Act, Limit},
    support::{
        TestFolder, TestServer,
        proxy::{Proxy, Server},
    },
};

/// How long a process may be silent.
pub(crate) const LEASE: Duration = Duration::from_secs(5);
/// How long a stop may take.
pub(crate) const GRACE: Duration = Duration::from_secs(6);
/// Calls at once of one process.
pub(crate) const SLOTS: usize = 8;
/// Prices in micro-dollars per million tokens.
const PRICES: (i64, i64) = (1_000_000_000, 4_000_000_000);

/// A model on offer.
struct Offer {
    name: &'static str,
    rpm: Option<u32>,
    tpm: Option<u32>,
    window: WindowKind,
    burst: Option<u32>,
    /// Told to the fleet only.
    at_once: Option<u32>,
    /// Whether the fleet is told its limits, or has to find them out.
    told: bool,
    median_ms: f64,
}

const OFFERS: [Offer; 5] = [
    Offer {
        at_once: Some(6),
        ..Offer::of("quick", 60.0)
    },
    Offer {
        rpm: Some(240),
        window: WindowKind::Sliding,
        ..Offer::of("sliding", 150.0)
    },
    Offer {
        rpm: Some(360),
        window: WindowKind::Bucket,
        burst: Some(12),
        ..Offer::of("bucket", 200.0)
    },
    Offer {
        tpm: Some(4_000),
        ..Offer::of("tokens", 300.0)
    },
    Offer {
        rpm: Some(60),
        told: false,
        ..Offer::of("secret", 60.0)
    },
];

impl Offer {
    const fn of(name: &'static str, median_ms: f64) -> Self {
        Self {
            name,
            rpm: None,
            tpm: None,
            window: WindowKind::Fixed,
            burst: None,
            at_once: None,
            told: true,
            median_ms,
        }
    }

    fn settings(&self) -> ModelSettings {
        ModelSettings {
            rpm: self.rpm.map(u64::from),
            tpm: self.tpm.map(u64::from),
            window: self.window,
            burst: self.burst.map(u64::from),
            latency: Some(Latency {
                median_ms: self.median_ms,
                sigma: Some(0.4),
                min_ms: 20.0,
                p99_ms: None,
            }),
            ..ModelSettings::named(self.name)
        }
    }

    fn entry(&self) -> String {
        let mut text = format!(
            "[[models]]\nname = \"sim/{}\"\ninput_price_usd = 1000\noutput_price_usd = 4000\n",
            self.name
        );
        let mut set = |key: &str, size: Option<u32>| {
            if let Some(size) = size {
                text.push_str(&format!("{key} = {size}\n"));
            }
        };
        set("max_concurrency", self.at_once);
        if self.told {
            set("rpm", self.rpm);
            set("tpm", self.tpm);
            set("burst", self.burst);
            let window = match self.window {
                WindowKind::Fixed => "fixed",
                WindowKind::Sliding => "sliding",
                WindowKind::Bucket => "bucket",
            };
            if self.rpm.is_some() {
                text.push_str(&format!("window = \"{window}\"\n"));
            }
        }
        text
    }
}

/// The names of the models, for outages.
pub(crate) const MODELS: [&str; 6] = ["quick", "sliding", "bucket", "tokens", "secret", "*"];

const WORKER: &str = r#"
name = "asking"
version = "1"
[source]
sql = "source.sql"
id = "item_id"
[score.weights]
importance = 1.0
[[tier]]
share = 0.3
mix = 4
model = "sim/sliding"
fallbacks = ["sim/secret"]
[[tier]]
share = 0.4
mix = 4
model = "sim/bucket"
fallbacks = ["sim/tokens", "sim/secret"]
[[tier]]
share = 0.3
mix = 2
model = "sim/tokens"
[fallback]
model = "sim/quick"
[prompt]
template = "prompt.md"
params = { max_output_tokens = 200 }
[limits]
max_concurrency = 30
call_timeout_s = 4
[sink]
sql = "sink.sql"
"#;
const SOURCE: &str = "select q.item_id, q.body, q.importance from questions q \
     where not exists (select from answers a where a.item_id = q.item_id)";
/// No key and no `on conflict`: what is sunk twice stands there twice.
const SINK: &str = "insert into answers (item_id, task_id, model, answer) \
     select r.item_id, r.task_id, r.model, r.answer #>> '{}' \
       from jsonb_to_recordset($1) as r(item_id text, task_id uuid, model text, answer jsonb)";
const TABLES: &str = "create table questions (item_id text primary key, body text not null, importance float8 not null); \
     create table answers (item_id text not null, task_id uuid not null, model text not null, answer text not null); \
     create index on answers (item_id)";

/// The prompt of an item, as prompt.md makes it.
pub(crate) fn prompt(item: &str, body: &str) -> String {
    format!("Question {item}: {body}")
}

/// What is broken, and what breaks it.
pub(crate) struct World {
    pub(crate) server: Mutex<TestServer>,
    pub(crate) proxy: Proxy,
    pub(crate) simulator: Running,
    /// Past the faulty network; while Postgres is down it fails.
    pub(crate) admin: PgPool,
    pub(crate) folder: TestFolder,
    /// The database's URL through the faulty network.
    pub(crate) url: String,
    /// What clients did.
    pub(crate) acts: std::sync::Mutex<Vec<Act>>,
    /// The process that loads a run just now, if any.
    pub(crate) loaders: std::sync::Mutex<Vec<u32>>,
}

impl World {
    pub(crate) async fn new(seed: u64) -> Self {
        let server = TestServer::private().await;
        let direct: PgConnectOptions = server.url().parse().expect("a URL");
        let socket = direct.get_socket().expect("a socket").clone();
        let database = direct.get_database().expect("a name").to_owned();
        let proxy = Proxy::tcp(Server::Unix(socket))
            .await
            .expect("a port is free");
        let admin = PgPoolOptions::new()
            .max_connections(6)
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(direct.application_name("chaos"));
        admin.execute(TABLES).await.expect("the user's tables");
        let simulator = Simulator::start(provider(seed))
            .await
            .expect("a simulator starts");
        let folder = TestFolder::new();
        write(folder.path(), &simulator);
        Self {
            url: proxy.url(&database),
            server: Mutex::new(server),
            proxy,
            simulator,
            admin,
            folder,
            acts: std::sync::Mutex::default(),
            loaders: std::sync::Mutex::default(),
        }
    }

    /// The program, through the faulty network.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command
            .args(arguments)
            .arg("--config")
            .arg(self.folder.join("tidegate.toml"))
            .current_dir(self.folder.path())
            .env("DATABASE_URL", &self.url)
            .env("CHAOS_KEY", "a-key-of-chaos")
            .kill_on_drop(true);
        command
    }

    /// A model by its simulator's name, as the fleet knows it.
    pub(crate) fn model(name: &str) -> String {
        format!("sim/{name}")
    }

    /// What the fleet was told.
    pub(crate) fn limits() -> Vec<Limit> {
        let told = OFFERS.iter().filter(|offer| offer.told);
        told.map(|offer| Limit {
            model: Self::model(offer.name),
            requests: offer.rpm.map(i64::from),
            tokens: offer.tpm.map(i64::from),
        })
        .collect()
    }

    /// What a call costs, in micro-dollars.
    pub(crate) fn bill(input_tokens: i64, output_tokens: i64) -> i64 {
        (input_tokens * PRICES.0 + output_tokens * PRICES.1) / 1_000_000
    }

    /// Notes what a client did.
    pub(crate) fn note(&self, act: Act) {
        lock(&self.acts).push(act);
    }
}

/// A panic elsewhere leaves a list: whole at any moment.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn provider(seed: u64) -> simulator::Settings {
    let mut settings = simulator::Settings {
        seed,
        models: OFFERS.iter().map(Offer::settings).collect(),
        ..simulator::Settings::default()
    };
    settings.faults.http_500 = 0.02;
    settings.faults.http_503 = 0.01;
    settings.faults.reset = 0.02;
    settings.faults.cut_json = 0.02;
    settings.faults.short_body = 0.01;
    settings.faults.hang = 0.003;
    settings.faults.hang_ms_max = 20_000;
    settings.batches = BatchSettings {
        median_ms: 3_000.0,
        list_lag_ms: 300,
        item_errors: 0.02,
        damage: vec![
            simulator::Damage::Reordered,
            simulator::Damage::Missing,
            simulator::Damage::Duplicate,
            simulator::Damage::UnknownId,
        ],
        damage_share: 0.3,
        lost_replies: 0.1,
        create_503: 0.05,
        lost_uploads: 0.1,
        ..BatchSettings::default()
    };
    settings
}

fn write(folder: &Path, simulator: &Running) {
    let worker = folder.join("asking");
    std::fs::create_dir(&worker).expect("a folder is made");
    let models: String = OFFERS.iter().map(Offer::entry).collect();
    let config = format!(
        "[log]\nfilter = \"info\"\n[work]\nlease_s = {}\nslots = {SLOTS}\npoll_ms = 100\ngrace_s = {}\n\
         [batches]\nlookup_s = 2\n\
         [providers.sim]\nkind = \"gemini\"\nbase_url = {:?}\napi_key_env = \"CHAOS_KEY\"\n{models}",
        LEASE.as_secs(),
        GRACE.as_secs(),
        simulator.base_url(),
    );
    for (file, text) in [
        (folder.join("tidegate.toml"), &*config),
        (worker.join("worker.toml"), WORKER),
        (worker.join("source.sql"), SOURCE),
        (worker.join("sink.sql"), SINK),
        (
            worker.join("prompt.md"),
            &*prompt("{{ item_id }}", "{{ body }}"),
        ),
    ] {
        std::fs::write(file, text).expect("a file is written");
    }
}
