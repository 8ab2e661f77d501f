//! Processes of this program, as a user starts them: the fleet of a case, of which some die by SIGKILL
//! where that is asked for, and commands beside it.

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::{Child, Command};

use crate::{
    cli::{CliError, memory},
    store::Store,
};

/// The variable the workers find their key in; its value is no secret.
pub(super) const KEY_VARIABLE: &str = "TIDEGATE_BENCH_KEY";

/// This program over a database of the bench, by the settings in this folder.
pub(super) fn program(folder: &Path, url: &str) -> Result<Command, CliError> {
    let program = std::env::current_exe().map_err(|source| io("find this program", source))?;
    let mut command = Command::new(program);
    command
        .arg("--config")
        .arg(folder.join(SETTINGS))
        .current_dir("/")
        .env("DATABASE_URL", url)
        .env(KEY_VARIABLE, "no-secret")
        .kill_on_drop(true);
    Ok(command)
}

/// Its processes, ended with this handle.
pub(super) struct Fleet {
    folder: PathBuf,
    url: String,
    slots: u32,
    workers: Vec<Child>,
    /// Processes killed.
    pub(super) deaths: u32,
    /// Whose turn it is to die.
    turn: usize,
}

impl Fleet {
    /// Starts so many by these settings (`tidegate.toml`), and waits until all have registered.
    pub(super) async fn start(
        store: &Store,
        url: &str,
        folder: &Path,
        settings: &str,
        (processes, slots): (u32, u32),
    ) -> Result<Self, CliError> {
        std::fs::write(folder.join(SETTINGS), settings)
            .map_err(|source| io("write the workers' settings", source))?;
        let mut fleet = Self {
            folder: folder.to_owned(),
            url: url.to_owned(),
            slots,
            workers: Vec::new(),
            deaths: 0,
            turn: 0,
        };
        for _ in 0..processes {
            let worker = fleet.worker()?;
            fleet.workers.push(worker);
        }
        let started = async {
            while store.processes_alive("work").await? < i64::from(processes) {
                fleet.check()?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok::<_, CliError>(())
        };
        tokio::time::timeout(PATIENCE, started)
            .await
            .map_err(|_| io("start the processes", std::io::ErrorKind::TimedOut.into()))??;
        Ok(fleet)
    }

    /// An error if one ended that nobody killed.
    pub(super) fn check(&mut self) -> Result<(), CliError> {
        for worker in &mut self.workers {
            if let Ok(Some(status)) = worker.try_wait() {
                let log = std::fs::read_to_string(self.folder.join(LOG)).unwrap_or_default();
                let last = log.lines().last().unwrap_or("it said nothing").to_owned();
                return Err(io(
                    &format!("go on: a process ended ({status}): {last}"),
                    std::io::ErrorKind::BrokenPipe.into(),
                ));
            }
        }
        Ok(())
    }

    /// Kills half of them (at least one), the next in turn, and starts as many anew.
    pub(super) async fn kill_half(&mut self) -> Result<(), CliError> {
        for _ in 0..self.workers.len().div_ceil(2) {
            let place = self.turn % self.workers.len();
            self.turn += 1;
            self.kill(place).await?;
        }
        Ok(())
    }

    /// Kills the one at this place, and starts another in its stead.
    pub(super) async fn kill(&mut self, place: usize) -> Result<(), CliError> {
        let killed = self.workers[place].kill().await;
        killed.map_err(|source| io("kill a process", source))?;
        self.deaths += 1;
        self.workers[place] = self.worker()?;
        Ok(())
    }

    /// The most memory one of them held so far, in MB, where the system tells.
    pub(super) fn memory_mb(&self) -> Option<f64> {
        let ids = self.workers.iter().filter_map(Child::id);
        let most = ids.filter_map(memory::peak_kb).max()?;
        Some(most as f64 / 1024.0)
    }

    /// Ends them as their input does, and waits.
    pub(super) async fn stop(mut self) {
        for worker in &mut self.workers {
            drop(worker.stdin.take());
        }
        for mut worker in self.workers {
            if tokio::time::timeout(PATIENCE, worker.wait()).await.is_err() {
                // it had its time
                let _ = worker.kill().await;
            }
        }
    }

    fn worker(&self) -> Result<Child, CliError> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join(LOG))
            .map_err(|source| io("open the workers' log", source))?;
        program(&self.folder, &self.url)?
            .args(["work", "--stop-with-stdin", "--slots"])
            .arg(self.slots.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|source| io("start a process", source))
    }
}

const LOG: &str = "workers.log";
const SETTINGS: &str = "tidegate.toml";

/// How long processes may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn io(doing: &str, source: std::io::Error) -> CliError {
    CliError::Io {
        doing: doing.to_owned(),
        source,
    }
}
