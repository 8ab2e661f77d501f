//! Looking at the private Postgres, and stopping it from outside.

use std::path::PathBuf;

use super::binaries::{self, Binaries};
use super::folder::Folder;
use super::lock::Lock;
use super::pid_file::PidFile;
use super::server::Server;
use super::user::ServerUser;
use super::{LocalError, Settings, connect};

/// What there is of a private Postgres.
#[derive(Clone, Debug)]
pub struct Status {
    /// Usable Postgres programs, best first; empty if there are none.
    pub binaries: Vec<Binaries>,
    /// The folder of it all; it need not exist.
    pub folder: PathBuf,
    /// The cluster's data folder; it need not exist.
    pub data_dir: PathBuf,
    /// The server's log; it need not exist.
    pub log: PathBuf,
    /// The major that made the cluster; `None` if there is no cluster yet.
    pub major: Option<u16>,
    /// Whether the server takes connections.
    pub running: bool,
    /// Whether any process uses it.
    pub in_use: bool,
    /// The server's process id, if it runs.
    pub pid: Option<u32>,
    /// The folder of its socket, if it runs.
    pub socket_dir: Option<PathBuf>,
    /// The database's URL, if it runs.
    pub url: Option<String>,
}

/// What stopping did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It was running and is stopped.
    Stopped,
    /// It was not running.
    WasNotRunning,
}

/// Looks, and changes nothing.
///
/// # Errors
///
/// When nothing says where the cluster is, or its folder is not ours to look at.
pub async fn status(settings: &Settings) -> Result<Status, LocalError> {
    let Some(folder) = Folder::look(settings)? else {
        let folder = settings.folder()?;
        return Ok(Status {
            binaries: binaries::find_all(settings, &ServerUser::choose(None)?).await?,
            data_dir: folder.join("data"),
            log: folder.join("server.log"),
            folder,
            major: None,
            running: false,
            in_use: false,
            pid: None,
            socket_dir: None,
            url: None,
        });
    };
    let running = Server {
        folder: &folder,
        settings,
    }
    .running()
    .await?;
    let socket_dir = running.map(|running| running.socket_dir);
    let pid_file = socket_dir
        .as_ref()
        .and_then(|_| PidFile::read(&folder.data()));
    Ok(Status {
        binaries: binaries::find_all(settings, &folder.user).await?,
        folder: folder.root().into(),
        data_dir: folder.data(),
        log: folder.log(),
        major: folder.major(),
        running: socket_dir.is_some(),
        in_use: Lock::is_held(&folder.users_lock())?,
        pid: pid_file.map(|file| file.pid),
        url: socket_dir
            .as_ref()
            .map(|socket| connect::url(socket, &settings.database)),
        socket_dir,
    })
}

/// Stops the server, also one that was to keep running.
///
/// # Errors
///
/// [`LocalError::InUse`] if any process uses it: nothing is done then.
pub async fn stop(settings: &Settings) -> Result<Stopped, LocalError> {
    stop_unless(settings, Lock::is_held).await
}

/// Stops the server even if processes use it: their connections break.
///
/// # Errors
///
/// Those of `pg_ctl`.
pub async fn stop_in_use(settings: &Settings) -> Result<Stopped, LocalError> {
    stop_unless(settings, |_| Ok(false)).await
}

async fn stop_unless(
    settings: &Settings,
    used: impl FnOnce(&std::path::Path) -> Result<bool, LocalError>,
) -> Result<Stopped, LocalError> {
    let Some(folder) = Folder::look(settings)? else {
        return Ok(Stopped::WasNotRunning);
    };
    let _stopping = Lock::exclusive(&folder.start_lock()).await?;
    let server = Server {
        folder: &folder,
        settings,
    };
    if server.running().await?.is_none() {
        return Ok(Stopped::WasNotRunning);
    }
    if used(&folder.users_lock())? {
        return Err(LocalError::InUse {
            folder: folder.root().into(),
        });
    }
    server.stop().await?;
    Ok(Stopped::Stopped)
}
