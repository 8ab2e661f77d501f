//! Starting, serving and stopping.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::batches::{self, BatchRecord, BatchSettings, FileRecord};
use super::error::Error;
use super::ledger::{CallRecord, Counters};
use super::listener::{Resettable, Wire};
use super::routes::router;
use super::settings::{OutageKind, Settings, SettingsError};
use super::state::Shared;

/// Starts a simulator in this process.
#[derive(Debug)]
pub struct Simulator;

impl Simulator {
    /// Binds the address and serves in the background until the handle is shut down or dropped.
    ///
    /// ```
    /// # use tidegate::simulator::{Settings, Simulator};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tidegate::simulator::Error> {
    /// let simulator = Simulator::start(Settings::default()).await?;
    /// assert!(simulator.base_url().ends_with("/v1beta"));
    /// assert_eq!(simulator.counters().models["gemini-2.0-flash"].calls, 0);
    /// simulator.shutdown().await
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the settings make no sense, the address cannot be bound or the call log not opened.
    pub async fn start(settings: Settings) -> Result<Running, Error> {
        let stop = CancellationToken::new();
        let bound = Bound::new(settings, stop.clone()).await?;
        let (addr, shared) = (bound.addr, bound.shared.clone());
        Ok(Running {
            addr,
            shared,
            // Tracked: shutdown awaits it, and the guard ends it when the handle is dropped.
            serving: tokio::spawn(bound.run()),
            stop: stop.drop_guard(),
        })
    }
}

/// Serves until told to stop, for a process that does nothing else. `on_bound` is called once,
/// with the address bound, before the first call is served. Prints nothing.
///
/// # Errors
/// As [`Simulator::start`], and when serving ends by itself.
pub async fn serve(
    settings: Settings,
    stop: CancellationToken,
    on_bound: impl FnOnce(SocketAddr),
) -> Result<(), Error> {
    let bound = Bound::new(settings, stop).await?;
    on_bound(bound.addr);
    bound.run().await
}

/// A simulator that serves in the background; dropping it stops it without waiting.
pub struct Running {
    addr: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<Result<(), Error>>,
    stop: DropGuard,
}

impl Running {
    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What a client takes for Gemini's base: `http://…/v1beta`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1beta", self.addr)
    }

    /// What a client takes for OpenAI's base: `http://…/v1`, without a slash at the end. The models
    /// and their limits are the same.
    pub fn openai_base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// The calls that ended and are kept, in the order of their arrival.
    pub fn log(&self) -> Vec<CallRecord> {
        let (mut records, _) = self.shared.log_slice(0, usize::MAX);
        records.sort_unstable_by_key(|record| record.seq);
        records
    }

    /// Closes a model (all with `*`) from now on, or opens it when `length` is zero. False when it
    /// is not on offer.
    pub fn outage(&self, model: &str, kind: OutageKind, length: Duration) -> bool {
        let for_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        self.shared.close(model, kind, for_ms)
    }

    /// Every batch ever accepted, in the order in which they came: the provider's own account.
    pub fn batches(&self) -> Vec<BatchRecord> {
        batches::job_records(&self.shared, 0, usize::MAX)
    }

    /// Every file that ever was, uploaded or made of results.
    pub fn files(&self) -> Vec<FileRecord> {
        self.shared.at_desk(|desk, _| desk.file_records())
    }

    /// How batches behave that are created from now on.
    ///
    /// # Errors
    /// When the settings contradict themselves; then they stay as they were.
    pub fn set_batches(&self, settings: BatchSettings) -> Result<(), SettingsError> {
        settings.check()?;
        self.shared.at_desk(|desk, _| desk.change(settings));
        Ok(())
    }

    /// Ends a batch that is under way now (all with `*`), as it would have ended later. How many did.
    pub fn hasten(&self, batch: &str) -> usize {
        self.shared
            .at_desk(|desk, now_ms| desk.hasten(batch, now_ms))
    }

    /// Stops accepting, resets calls that wait for their answer, and returns when all is down.
    ///
    /// # Errors
    /// When serving had ended by itself.
    pub async fn shutdown(self) -> Result<(), Error> {
        drop(self.stop);
        match self.serving.await {
            Ok(served) => served,
            Err(panicked) => Err(Error::Serve {
                source: std::io::Error::other(panicked),
            }),
        }
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Running")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

/// Bound, and not serving yet.
struct Bound {
    addr: SocketAddr,
    listener: TcpListener,
    shared: Arc<Shared>,
}

impl Bound {
    async fn new(settings: Settings, stop: CancellationToken) -> Result<Self, Error> {
        settings.check()?;
        let file = open_log(&settings)?;
        let failed = |source| Error::Bind {
            addr: settings.addr,
            source,
        };
        let listener = TcpListener::bind(settings.addr).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        Ok(Self {
            addr,
            listener,
            shared: Arc::new(Shared::new(settings, file, stop)),
        })
    }

    async fn run(self) -> Result<(), Error> {
        /// How long a client may hold the server up with a request it does not finish.
        const GRACE: Duration = Duration::from_secs(5);
        let stop = self.shared.stop.clone();
        let service = router(self.shared).into_make_service_with_connect_info::<Wire>();
        let serving = axum::serve(Resettable(self.listener), service)
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let overdue = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            served = serving => served.map_err(|source| Error::Serve { source }),
            () = overdue => Ok(()),
        }
    }
}

fn open_log(settings: &Settings) -> Result<Option<File>, Error> {
    let Some(path) = &settings.call_log else {
        return Ok(None);
    };
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.map(Some).map_err(|source| Error::CallLog {
        path: path.clone(),
        source,
    })
}
