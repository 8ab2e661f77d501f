//! What these tests share: processes that reach the database by a way of their own, and programs
//! that may be missing on a machine.

use std::{
    io::ErrorKind,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgConnectOptions;
use tidegate::{
    engine::{Engine, Registry, Settings, Worked},
    simulator,
    store::{self, Store, StoreError},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{
    TestFolder, TestServer,
    fleet::{Fleet, a_model, simulated},
    proxy::Server,
};

pub(super) const LADDERS: [&[&str]; 3] = [&["sim/best", "sim/good"], &["sim/good"], &["sim/good"]];

/// Settings of a process whose death is noticed soon.
pub(super) fn short_lived() -> Settings {
    Settings {
        lease: Duration::from_secs(4),
        slots: 8,
        ..Settings::default()
    }
}

/// A simulator of the models of [`LADDERS`] whose calls take about so long.
pub(super) fn slow_models(latency_ms: f64) -> simulator::Settings {
    let mut settings = simulated(["best", "good"].map(a_model).to_vec());
    settings.latency.median_ms = latency_ms;
    settings
}

/// A fleet with so many articles, and their run loaded.
pub(super) async fn loaded(articles: usize, settings: simulator::Settings) -> (Fleet, Uuid) {
    with_articles(Fleet::over(settings).await, articles).await
}

/// The same on a server of its own.
pub(super) async fn loaded_on(
    server: &TestServer,
    articles: usize,
    settings: simulator::Settings,
) -> (Fleet, Uuid) {
    with_articles(Fleet::on(server, settings).await, articles).await
}

async fn with_articles(fleet: Fleet, articles: usize) -> (Fleet, Uuid) {
    fleet.articles(articles).await;
    let loaded = fleet
        .load(Fleet::entity_extraction(LADDERS, "sim/good"))
        .await;
    (fleet, loaded.run)
}

/// One process in here works the run off.
pub(super) async fn work_off(fleet: &Fleet, run: Uuid) {
    let stop = CancellationToken::new();
    let heir = fleet.process_with(&stop, short_lived());
    fleet.until_done(run).await;
    stop.cancel();
    heir.await.expect("it ends");
}

/// Calls that reached the provider, ended or not, by its own count.
pub(super) fn arrived(fleet: &Fleet) -> i64 {
    let counters = fleet.simulator.counters();
    let calls: u64 = counters.models.values().map(|model| model.calls).sum();
    i64::try_from(calls).expect("few")
}

/// Sends a signal to a process that was started here.
pub(super) fn signal(child: &Child, signal: Signal) {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    kill_process(id.expect("a number"), signal).expect("it is told");
}

/// How this URL is reached, by default.
pub(super) fn at(url: &str) -> store::Settings {
    store::Settings::new(url)
}

/// A process in here that reaches the fleet's database by a way of its own.
pub(super) async fn process_at(
    fleet: &Fleet,
    database: store::Settings,
    settings: Settings,
    stop: &CancellationToken,
) -> JoinHandle<Result<Worked, StoreError>> {
    let store = Store::connect(&database).await.expect("it connects");
    let engine = Engine::new(
        store,
        database,
        fleet.providers(),
        Registry::new(),
        settings,
    );
    let stop = stop.clone();
    tokio::spawn(async move { engine.run(stop).await })
}

/// What the driver understands of a URL.
pub(super) fn options(url: &str) -> PgConnectOptions {
    url.parse().expect("a URL")
}

/// Where a fleet's server listens, for a proxy.
pub(super) fn server_of(fleet: &Fleet) -> Server {
    Server::Unix(socket_of(fleet.url()))
}

/// The folder of a server's socket.
pub(super) fn socket_of(url: &str) -> PathBuf {
    options(url).get_socket().expect("a socket").clone()
}

/// The name of a fleet's database.
pub(super) fn name_of(fleet: &Fleet) -> String {
    options(fleet.url())
        .get_database()
        .expect("a name")
        .to_owned()
}

/// Whether this program is there. Where it is not, says aloud that the test was left out.
#[expect(
    clippy::print_stderr,
    reason = "whoever runs the tests must see what was left out"
)]
pub(super) fn is_there(program: &str) -> bool {
    let tried = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let there = !matches!(tried, Err(error) if error.kind() == ErrorKind::NotFound);
    if !there {
        eprintln!(
            "tests: SKIPPED: {program} is not installed (as root on Debian: apt-get install {program})"
        );
    }
    there
}

/// `tidegate work` as a process of its own, started by a wrapper (`prlimit ...`), with its log in a
/// file. Dropped, it is killed.
pub(super) struct Program {
    pub(super) child: Child,
    folder: TestFolder,
}

impl Program {
    /// Starts it. `wrapper`: a program and its arguments that come before it.
    pub(super) fn start(fleet: &Fleet, url: &str, lease_s: u32, wrapper: &[&str]) -> Self {
        let folder = TestFolder::new();
        let log = std::fs::File::create(folder.join("log")).expect("a file is made");
        Self::start_in(folder, fleet, url, lease_s, wrapper, log.into())
    }

    /// The same with a place of its own for the log.
    pub(super) fn start_in(
        folder: TestFolder,
        fleet: &Fleet,
        url: &str,
        lease_s: u32,
        wrapper: &[&str],
        log: Stdio,
    ) -> Self {
        let settings = format!(
            "[work]\nlease_s = {lease_s}\nslots = 8\n[providers.sim]\nkind = \"gemini\"\nbase_url = {:?}\napi_key_env = \"A_TEST_KEY\"\n",
            fleet.simulator.base_url()
        );
        std::fs::write(folder.join("tidegate.toml"), settings).expect("settings are written");
        let program = env!("CARGO_BIN_EXE_tidegate");
        let mut words = wrapper.iter().copied().chain([program, "work", "--config"]);
        let mut command = Command::new(words.next().expect("a program"));
        command
            .args(words)
            .arg(folder.join("tidegate.toml"))
            .current_dir(folder.path())
            .env("DATABASE_URL", url)
            .env("A_TEST_KEY", "a-test-key")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let child = command.spawn().expect("the program starts");
        Self { child, folder }
    }

    /// What it logged so far.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).expect("a log")
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits until it has ended well.
    pub(super) async fn stop(&mut self) {
        signal(&self.child, Signal::TERM);
        let mut status = None;
        until("it ends", async || {
            status = self.child.try_wait().expect("it can be asked");
            status.is_some()
        })
        .await;
        assert!(status.is_some_and(|it| it.success()), "{status:?}");
    }

    /// Whether it still runs.
    pub(super) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Looks again and again until it holds. The bound is only there to fail instead of hanging.
pub(super) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let looking = async {
        while !holds().await {
            ticks.tick().await;
        }
    };
    let looked = tokio::time::timeout(Duration::from_secs(120), looking).await;
    assert!(looked.is_ok(), "within the bound: {what}");
}
