//! The world of a case: a database, a simulator, a folder; runs are loaded and worked off by processes
//! of this program, as a user starts them.

use std::{process::Stdio, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    folder::Folder,
    workers::{Fleet, io, program},
};
use crate::{
    cli::{CliError, memory},
    simulator::{self, CallRecord, Running, Simulator},
    store::{
        Settings, Store,
        bench::{RunSpan, RunStand, Scratch},
        migrate,
    },
};

/// The server that worlds are made on, and the wish to stop.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) server: &'a Settings,
    pub(super) stop: &'a CancellationToken,
}

/// Where one case happens.
pub(super) struct World<'a> {
    place: Place<'a>,
    pub(super) store: Store,
    pub(super) settings: Settings,
    pub(super) folder: &'a Folder,
    pub(super) simulator: &'a Running,
    url: String,
}

/// A run from its load to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ran {
    pub(super) run: Uuid,
    pub(super) stand: RunStand,
    /// From the start of the loader's process to the end of the last task.
    pub(super) took: Duration,
    /// From the end of the load, by the database's clock.
    pub(super) worked: Duration,
    /// The load alone, likewise.
    pub(super) loaded: Duration,
    /// The most memory of the loader's process, in MB.
    pub(super) loader_mb: Option<f64>,
}

impl Ran {
    /// How many a second, in this time.
    pub(super) fn per_second(&self, time: Duration) -> f64 {
        self.stand.tasks as f64 / time.as_secs_f64().max(1e-3)
    }
}

impl World<'_> {
    /// Makes a world, does this in it, and takes it down whatever came of it.
    pub(super) async fn with<T>(
        place: Place<'_>,
        simulated: simulator::Settings,
        act: impl AsyncFnOnce(&World<'_>) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        let folder = Folder::make()?;
        let simulator = Simulator::start(simulated).await?;
        let scratch = Scratch::make(place.server).await?;
        let url = scratch.url.clone();
        let acted = async {
            let mut settings = place.server.clone();
            settings.url = url.clone().into();
            let store = Store::connect(&settings).await?;
            migrate::run(&store).await?;
            let world = World {
                place,
                store,
                settings,
                folder: &folder,
                simulator: &simulator,
                url,
            };
            let acted = act(&world).await;
            world.store.pool().close().await;
            acted
        };
        let acted = Box::pin(acted).await;
        let stopped = simulator.shutdown().await;
        let dropped = scratch.drop_it().await;
        let acted = acted?;
        stopped?;
        dropped?;
        Ok(acted)
    }

    /// Starts processes by these settings, does this, and ends them. The most memory of one besides.
    pub(super) async fn with_fleet<T>(
        &self,
        settings: &str,
        size: (u32, u32),
        act: impl AsyncFnOnce(&mut Fleet) -> Result<T, CliError>,
    ) -> Result<(T, Option<f64>), CliError> {
        let folder = &self.folder.0;
        let mut fleet = Fleet::start(&self.store, &self.url, folder, settings, size).await?;
        let acted = act(&mut fleet).await;
        let memory = fleet.memory_mb();
        // what it still waits for is in the log when it has ended
        fleet.stop().await;
        Ok((acted?, memory))
    }

    /// Loads the folder `worker` as `tidegate run` does, and waits until its last task has ended.
    pub(super) async fn run(&self, fleet: &mut Fleet, args: &[&str]) -> Result<Ran, CliError> {
        self.run_from("worker", fleet, args).await
    }

    /// The same from a worker's folder of this name.
    pub(super) async fn run_from(
        &self,
        worker: &str,
        fleet: &mut Fleet,
        args: &[&str],
    ) -> Result<Ran, CliError> {
        let began = Instant::now();
        let (run, loader_mb) = self.load_from(worker, args).await?;
        let stand = self.ended(run, || fleet.check()).await?;
        self.ran((run, loader_mb), stand, began.elapsed()).await
    }

    /// Waits until a run's last task has ended, as long as this holds.
    pub(super) async fn ended(
        &self,
        run: Uuid,
        mut check: impl FnMut() -> Result<(), CliError>,
    ) -> Result<RunStand, CliError> {
        let (mut last, mut progress) = (RunStand::default(), Instant::now());
        loop {
            check()?;
            let stand = self.store.run_stand(run).await?;
            if stand.tasks > 0 && stand.done + stand.failed >= stand.tasks {
                return Ok(stand);
            }
            if stand != last {
                (last, progress) = (stand, Instant::now());
            }
            if progress.elapsed() > PATIENCE {
                return Err(CliError::input(
                    format!(
                        "the run stands still: {} of {} done",
                        stand.done, stand.tasks
                    ),
                    "see the server's log",
                ));
            }
            self.rest(TICK).await?;
        }
    }

    /// Waits until nothing of any batch is left to do.
    pub(super) async fn until_batches_are_over(&self) -> Result<(), CliError> {
        let began = Instant::now();
        while self.store.batches_under_way().await? > 0 {
            if began.elapsed() > PATIENCE {
                return Err(CliError::input(
                    "batches are not over though their tasks are",
                    "see `tidegate batches list` over the bench's database",
                ));
            }
            self.rest(TICK * 5).await?;
        }
        Ok(())
    }

    /// Waits so long, or until the bench is to stop.
    pub(super) async fn rest(&self, pause: Duration) -> Result<(), CliError> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.place.stop.cancelled() => Err(interrupted()),
        }
    }

    async fn ran(
        &self,
        (run, loader_mb): (Uuid, Option<f64>),
        stand: RunStand,
        took: Duration,
    ) -> Result<Ran, CliError> {
        let RunSpan {
            created_at,
            loaded_at,
            last_at,
        } = self.store.run_span(run).await?;
        let loaded_at = loaded_at.unwrap_or(created_at);
        let between = |from: DateTime<Utc>, to: DateTime<Utc>| {
            (to - from).to_std().unwrap_or_default() // none below zero
        };
        Ok(Ran {
            run,
            stand,
            took,
            worked: between(loaded_at, last_at.unwrap_or(loaded_at)),
            loaded: between(created_at, loaded_at),
            loader_mb,
        })
    }

    /// Loads the folder `worker`. Returns the run, and the most memory that the process held.
    pub(super) async fn load(&self, args: &[&str]) -> Result<(Uuid, Option<f64>), CliError> {
        self.load_from("worker", args).await
    }

    /// The same from a worker's folder of this name, by a process that loads.
    pub(super) async fn load_from(
        &self,
        worker: &str,
        args: &[&str],
    ) -> Result<(Uuid, Option<f64>), CliError> {
        let loader = program(&self.folder.0, &self.url)?
            .args(["--json", "run"])
            .arg(self.folder.0.join(worker))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| io("start the loader", source))?;
        let pid = loader.id();
        let ending = loader.wait_with_output();
        tokio::pin!(ending);
        let mut peak = None;
        let output = loop {
            tokio::select! {
                ended = &mut ending => {
                    break ended.map_err(|source| io("wait for the loader", source))?;
                }
                () = tokio::time::sleep(TICK) => {
                    peak = peak.max(pid.and_then(memory::peak_kb));
                }
                () = self.place.stop.cancelled() => return Err(interrupted()),
            }
        };
        let told: Option<Told> = serde_json::from_slice(&output.stdout).ok();
        match told {
            Some(told) if output.status.success() => {
                Ok((told.run_id, peak.map(|kb| kb as f64 / 1024.0)))
            }
            _ => Err(CliError::input(
                format!(
                    "the loader ended ({}): {}",
                    output.status,
                    String::from_utf8_lossy(&output.stderr).trim()
                ),
                "see the server's log",
            )),
        }
    }

    /// Calls that arrived so far, by the simulator's counters.
    pub(super) fn calls(&self) -> u64 {
        let counters = self.simulator.counters();
        counters.models.values().map(|model| model.calls).sum()
    }

    /// Calls that arrived after so many.
    pub(super) fn log_after(&self, calls: u64) -> Vec<CallRecord> {
        let mut log = self.simulator.log();
        log.retain(|call| call.seq > calls);
        log
    }
}

#[derive(serde::Deserialize)]
struct Told {
    run_id: Uuid,
}

fn interrupted() -> CliError {
    CliError::input(
        "interrupted before the case had ended",
        "its database is dropped; start it anew",
    )
}

/// How often the end is looked for.
const TICK: Duration = Duration::from_millis(10);
/// How long a run may stand still.
const PATIENCE: Duration = Duration::from_secs(180);
