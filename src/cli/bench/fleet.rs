//! The processes of a bench: this program once more, working off tasks that do nothing.

use std::{process::Stdio, time::Duration};

use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::{CliError, Context, Exit, WORKER};
use crate::{
    cli::stop,
    engine::{Engine, Program, Registry, Settings},
    store::{self, Store},
    task::{LocalError, typed},
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Tasks at once
    #[arg(long, default_value_t = 1_000)]
    slots: u32,
}

/// A process that works until its standard input ends.
pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let stop = stop::on_request(&context.printer, true)?;
    context
        .with_store(async |opened| {
            let handler = typed(|_: serde::de::IgnoredAny| async { Ok::<_, LocalError>(()) });
            let registry = Registry::new().with_program(WORKER, Program::new(handler));
            engine(&opened.store, &opened.settings, registry, args.slots)
                .run(stop)
                .await?;
            Ok(Exit::Ok)
        })
        .await
}

/// An engine for local work only.
pub(super) fn engine(
    store: &Store,
    database: &store::Settings,
    registry: Registry,
    slots: u32,
) -> Engine {
    let settings = Settings {
        slots,
        role: "bench",
        ..Settings::default()
    };
    Engine::new(
        store.clone(),
        database.clone(),
        std::collections::BTreeMap::new(),
        registry,
        settings,
    )
}

/// Other processes, ended with this one.
pub(super) struct Processes(Vec<Child>);

impl Processes {
    /// Starts so many, and waits until all have registered.
    pub(super) async fn start(
        store: &Store,
        url: &str,
        count: u32,
        slots: u32,
    ) -> Result<Self, CliError> {
        let program = std::env::current_exe().map_err(|source| io("find this program", source))?;
        let mut children = Vec::new();
        for _ in 0..count {
            let child = Command::new(&program)
                .args(["bench", "worker", "--slots", &slots.to_string()])
                .current_dir("/")
                .env("DATABASE_URL", url)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .map_err(|source| io("start a process of the bench", source))?;
            children.push(child);
        }
        let started = async {
            while store.processes_alive("bench").await? < i64::from(count) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok::<_, CliError>(())
        };
        tokio::time::timeout(START, started).await.map_err(|_| {
            io(
                "start the processes of the bench",
                std::io::ErrorKind::TimedOut.into(),
            )
        })??;
        Ok(Self(children))
    }

    /// The most memory one of them held so far, in MB, where the system tells.
    pub(super) fn memory_mb(&self) -> Option<f64> {
        let peaks = self
            .0
            .iter()
            .filter_map(Child::id)
            .filter_map(crate::cli::memory::peak_kb);
        peaks.max().map(|kb| kb as f64 / 1024.0)
    }

    /// Ends them, and waits.
    pub(super) async fn stop(mut self) {
        for child in &mut self.0 {
            drop(child.stdin.take());
        }
        for mut child in self.0 {
            if tokio::time::timeout(START, child.wait()).await.is_err() {
                // it had its time
                let _ = child.kill().await;
            }
        }
    }
}

/// A process of the bench in here.
pub(super) struct Within {
    stop: CancellationToken,
    works: tokio::task::JoinHandle<Result<crate::engine::Worked, store::StoreError>>,
}

impl Within {
    pub(super) fn start(engine: Engine) -> Self {
        let stop = CancellationToken::new();
        let works = tokio::spawn(engine.run(stop.clone()));
        Self { stop, works }
    }

    pub(super) async fn stop(self) -> Result<(), CliError> {
        self.stop.cancel();
        match self.works.await {
            Ok(worked) => Ok(worked.map(drop)?),
            Err(error) => Err(io("end a process", std::io::Error::other(error))),
        }
    }
}

/// How long processes may take to start, and to end.
const START: Duration = Duration::from_secs(30);

fn io(doing: &str, source: std::io::Error) -> CliError {
    CliError::Io {
        doing: doing.to_owned(),
        source,
    }
}
