//! One case from its database to its figures, once or several times on what was learned.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    measure::{Halved, measure},
    provider::Provider,
    report::Measured,
    scenario::{Known, Scene},
    told::{ITEMS, WORKER, provider as provider_row, settings},
};
use crate::{
    cli::{
        CliError, Printer,
        bench::{folder::Folder, workers::Fleet},
    },
    client::{LoadOptions, Loader},
    definition::Definition,
    engine::Registry,
    store::{self, Store, bench::Scratch, migrate},
};

/// What is done to one fleet.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) scene: Scene,
    pub(super) known: Known,
    pub(super) processes: u32,
    pub(super) slots: u32,
    /// SIGKILL half of the processes each so many seconds.
    pub(super) kill: Option<Duration>,
    /// Halve all limits when half of the tasks are done.
    pub(super) halve: bool,
    /// Runs on one database.
    pub(super) runs: u32,
    pub(super) independent: bool,
}

impl std::fmt::Display for Case {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (window, known) = (self.scene.window, self.known);
        write!(
            out,
            "{window} window, known: {known}, {} process{} of {} slots",
            self.processes,
            if self.processes == 1 { "" } else { "es" },
            self.slots,
        )
    }
}

/// Where a case happens, and who is told of it.
struct World<'a> {
    store: Store,
    url: String,
    provider: &'a Provider,
    folder: &'a Folder,
    definition: Definition,
    stop: &'a CancellationToken,
    printer: &'a Printer,
}

impl Case {
    /// Runs it on a database of its own on this server, dropped afterwards. Each run's figures go to
    /// `tell` as they are there.
    pub(super) async fn run(
        &self,
        server: &store::Settings,
        stop: &CancellationToken,
        printer: &Printer,
        tell: impl FnMut(Measured) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let folder = Folder::make()?;
        let definition = self.scene.definition(&folder.0)?;
        let provider = Provider::start(&self.scene, self.independent, &folder.0).await?;
        let scratch = Scratch::make(server).await?;
        let ran = async {
            let mut settings = server.clone();
            settings.url = scratch.url.clone().into();
            let store = Store::connect(&settings).await?;
            migrate::run(&store).await?;
            let world = World {
                store,
                url: scratch.url.clone(),
                provider: &provider,
                folder: &folder,
                definition,
                stop,
                printer,
            };
            self.runs(&world, tell).await
        };
        let ran = Box::pin(ran).await;
        let stopped = provider.stop().await;
        let dropped = scratch.drop_it().await;
        ran?;
        stopped?;
        Ok(dropped?)
    }

    async fn runs(
        &self,
        world: &World<'_>,
        mut tell: impl FnMut(Measured) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let provider = provider_row(&world.provider.base_url());
        let rows = self.scene.rows(self.known);
        world.store.sync_models(&[provider], &rows).await?;
        for run in 1..=self.runs {
            if run > 1 {
                world
                    .printer
                    .say("waiting until the last run has left every window");
                pause(BETWEEN_RUNS, world.stop).await?;
            }
            let lease_s = if self.kill.is_some() {
                SHORT_LEASE_S
            } else {
                LEASE_S
            };
            let mut fleet = Fleet::start(
                &world.store,
                &world.url,
                &world.folder.0,
                &settings(&world.provider.base_url(), lease_s),
                (self.processes, self.slots),
            )
            .await?;
            let ran = Box::pin(self.once(world, &mut fleet)).await;
            let deaths = fleet.deaths;
            // what it still waits for is in the log when it has ended
            fleet.stop().await;
            let (done, opened_ms, halved) = ran?;
            let log = world
                .provider
                .log_since(opened_ms.saturating_sub(EARLY_MS))?;
            let figures = measure(&self.scene, &log, opened_ms, halved);
            tell(Measured::of(self, run, done, deaths, figures))?;
        }
        world.store.pool().close().await;
        Ok(())
    }

    /// Loads a run and waits until it has ended, or its time is up. Returns how many tasks are done,
    /// when the run was open, and when the limits were halved.
    async fn once(
        &self,
        world: &World<'_>,
        fleet: &mut Fleet,
    ) -> Result<(i64, u64, Halved), CliError> {
        let loader = loader(&world.store, &world.definition, world.folder)?;
        let (done_before, ended_before) = ended(&world.store).await?;
        loader.load().await?;
        let (opened_ms, began) = (unix_ms(), Instant::now());

        let tasks = i64::from(self.scene.tasks);
        let patience = self.scene.optimum().unwrap_or_default() * 4 + PATIENCE;
        let mut next_kill = self.kill.map(|every| began + every);
        let mut halved = None;
        loop {
            pause(TICK, world.stop).await?;
            fleet.check()?;
            let (done, ended) = ended(&world.store).await?;
            let (done, ended) = (done - done_before, ended - ended_before);
            if ended >= tasks || began.elapsed() > patience {
                return Ok((done, opened_ms, halved));
            }
            if self.halve && halved.is_none() && ended >= tasks / 2 {
                world.provider.halve(&self.scene).await?;
                halved = Some(unix_ms());
            }
            if let (Some(every), Some(due)) = (self.kill, next_kill)
                && Instant::now() >= due
            {
                fleet.kill_half().await?;
                next_kill = Some(due + every);
            }
        }
    }
}

/// The program's own loader, of a folder that was written.
pub(super) fn loader(
    store: &Store,
    definition: &Definition,
    folder: &Folder,
) -> Result<Loader, CliError> {
    let handler = Registry::new()
        .handler(definition)
        .map_err(|words| CliError::input(words, "this is a mistake in the bench"))?;
    let options = LoadOptions {
        limit: None,
        weight: 1.0,
        budget_microusd: None,
        folder: folder.0.clone(),
        source_name: ITEMS.to_owned(),
    };
    Ok(Loader::new(
        store.clone(),
        definition.clone(),
        handler,
        options,
    )?)
}

/// Tasks done, and tasks that ended in any way.
async fn ended(store: &Store) -> Result<(i64, i64), CliError> {
    let counts = store.counts(WORKER).await?;
    let of = |states: &[&str]| -> i64 {
        let mine = counts
            .iter()
            .filter(|(state, _)| states.contains(&state.as_str()));
        mine.map(|(_, n)| n).sum()
    };
    Ok((of(&["done"]), of(&["done", "failed", "cancelled"])))
}

async fn pause(length: Duration, stop: &CancellationToken) -> Result<(), CliError> {
    tokio::select! {
        () = tokio::time::sleep(length) => Ok(()),
        () = stop.cancelled() => Err(CliError::input(
            "interrupted before the case had ended",
            "its database is dropped; start it anew",
        )),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "compared to the provider's log, which tells the time of the same machine"
)]
fn unix_ms() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or_default()
}

/// How often the end is looked for.
const TICK: Duration = Duration::from_millis(50);
/// What a case may take besides four times its optimum.
const PATIENCE: Duration = Duration::from_secs(120);
/// A window of the provider, and what calls may be late.
const BETWEEN_RUNS: Duration = Duration::from_secs(63);
/// A run is open a moment before its loader hears of it.
const EARLY_MS: u64 = 5_000;
/// How long a process may be silent: the default, and where processes are killed, as the demo has it.
const LEASE_S: u32 = 60;
const SHORT_LEASE_S: u32 = 10;
