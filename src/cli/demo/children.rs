//! The demo's other processes. They end when their standard input does, so that none outlives the
//! demo, however it ends.

use std::{
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::scene;
use crate::{
    cli::{CliError, Context, Opened, memory},
    simulator::Counters,
    store::model::ProviderRow,
};

/// The simulator and the workers.
pub(super) struct Children {
    simulator: Child,
    base_url: String,
    workers: Vec<Child>,
    url: String,
    logs: PathBuf,
    memory_kb: u64,
}

/// How long the simulator may take to listen, and children to end.
const PATIENCE: Duration = Duration::from_secs(30);

impl Children {
    pub(super) async fn start(
        context: &Context,
        opened: &Opened,
        processes: u32,
    ) -> Result<Self, CliError> {
        let logs = match &opened.local {
            Some(local) => local.folder().join("demo"),
            None => std::env::temp_dir().join("tidegate-demo"),
        };
        std::fs::create_dir_all(&logs).map_err(|e| io_error("make a folder for logs", e))?;
        let (simulator, base_url) = start_simulator(&logs).await?;
        let settings = logs.join("tidegate.toml");
        std::fs::write(&settings, scene::workers_toml(&base_url))
            .map_err(|e| io_error("write the workers' settings", e))?;
        let mut children = Self {
            simulator,
            base_url,
            workers: Vec::new(),
            url: opened.url().to_owned(),
            logs,
            memory_kb: 0,
        };
        for _ in 0..processes {
            children.workers.push(children.worker()?);
        }
        context.printer.say(format_args!(
            "the provider's own log of calls: {}",
            children.logs.join(CALL_LOG).display()
        ));
        Ok(children)
    }

    /// The folder of their logs.
    pub(super) fn logs(&self) -> &Path {
        &self.logs
    }

    /// The simulator, as the database is told of it.
    pub(super) fn provider(&self) -> ProviderRow {
        ProviderRow {
            name: scene::ENTRY.to_owned(),
            kind: "gemini".to_owned(),
            base_url: self.base_url.clone(),
            quota_scope: scene::ENTRY.to_owned(),
            day_zone: "America/Los_Angeles".to_owned(),
            batch_jobs: None,
        }
    }

    /// Starts again whoever died, and says so. A simulator that died is an error: its book is gone.
    pub(super) async fn keep_alive(&mut self, context: &Context) -> Result<(), CliError> {
        self.measure();
        if let Ok(Some(status)) = self.simulator.try_wait() {
            return Err(CliError::Io {
                doing: "go on: the simulator ended".to_owned(),
                source: io::Error::other(status.to_string()),
            });
        }
        for place in 0..self.workers.len() {
            if let Ok(Some(status)) = self.workers[place].try_wait() {
                context.printer.say(format_args!(
                    "a worker process died ({status}); starting another"
                ));
                self.workers[place] = self.worker()?;
            }
        }
        Ok(())
    }

    /// The provider's own counters.
    pub(super) async fn counters(&self) -> Option<Counters> {
        let root = self.base_url.trim_end_matches("/v1beta");
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .ok()?;
        client
            .get(format!("{root}/sim/counters"))
            .send()
            .await
            .ok()?
            .json()
            .await
            .ok()
    }

    /// The most memory a worker held at once, in MB.
    pub(super) fn memory_mb(&self) -> Option<f64> {
        (self.memory_kb > 0).then(|| self.memory_kb as f64 / 1024.0)
    }

    /// Ends all: workers first, so that their last calls are answered.
    pub(super) async fn stop(mut self) {
        for mut child in self.workers.drain(..) {
            end(&mut child).await;
        }
        end(&mut self.simulator).await;
    }

    fn worker(&self) -> Result<Child, CliError> {
        program()?
            .args(["work", "--stop-with-stdin", "--config"])
            .arg(self.logs.join("tidegate.toml"))
            .env("DATABASE_URL", &self.url)
            .env(scene::KEY_VARIABLE, scene::KEY)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log(&self.logs, "workers.log")?)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| io_error("start a worker process", e))
    }

    fn measure(&mut self) {
        for pid in self.workers.iter().filter_map(Child::id) {
            if let Some(kb) = memory::peak_kb(pid) {
                self.memory_kb = self.memory_kb.max(kb);
            }
        }
    }
}

async fn start_simulator(logs: &Path) -> Result<(Child, String), CliError> {
    let settings = logs.join("simulator.toml");
    std::fs::write(&settings, scene::simulator_toml(&logs.join(CALL_LOG)))
        .map_err(|e| io_error("write the simulator's settings", e))?;
    let mut child = program()?
        .args(["simulate", "--stop-with-stdin", "--json", "--settings"])
        .arg(&settings)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log(logs, "simulator.log")?)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| io_error("start the simulator", e))?;
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| io_error("read the simulator", io::ErrorKind::BrokenPipe.into()))?;
    let mut lines = BufReader::new(stdout).lines();
    let line = timeout(PATIENCE, lines.next_line())
        .await
        .map_err(|_| io_error("start the simulator", io::ErrorKind::TimedOut.into()))?
        .map_err(|e| io_error("read the simulator", e))?
        .unwrap_or_default();
    let base_url = serde_json::from_str::<serde_json::Value>(&line)
        .ok()
        .and_then(|told| told.get("base_url")?.as_str().map(str::to_owned));
    match base_url {
        Some(base_url) => Ok((child, base_url)),
        None => Err(CliError::input(
            "the simulator did not start",
            format!("see {}", logs.join("simulator.log").display()),
        )),
    }
}

/// The calls as the provider saw them, one JSON object a line.
const CALL_LOG: &str = "calls.jsonl";

/// This program once more. It finds no settings but those it is given.
fn program() -> Result<Command, CliError> {
    let path = std::env::current_exe().map_err(|e| io_error("find this program", e))?;
    let mut command = Command::new(path);
    command.current_dir("/");
    Ok(command)
}

fn log(folder: &Path, name: &str) -> Result<Stdio, CliError> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join(name));
    file.map(Stdio::from).map_err(|e| io_error("open a log", e))
}

async fn end(child: &mut Child) {
    drop(child.stdin.take());
    if timeout(PATIENCE, child.wait()).await.is_err() {
        // it had its time
        let _ = child.kill().await;
    }
}

fn io_error(doing: &str, source: io::Error) -> CliError {
    CliError::Io {
        doing: doing.to_owned(),
        source,
    }
}
