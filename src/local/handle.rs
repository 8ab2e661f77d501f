//! Using the private Postgres: one handle a process, the last one to close stops the server.

use std::path::{Path, PathBuf};

use sqlx::postgres::PgConnectOptions;

use super::folder::Folder;
use super::lock::Lock;
use super::pid_file::PidFile;
use super::server::{Running, Server};
use super::{LocalError, Settings, connect};

/// The private Postgres, in use.
///
/// Dropping it (or being killed) says that we use it no more and leaves the server running, for the
/// next process to attach to; [`close`](Self::close) also stops it if nobody else uses it.
#[derive(Debug)]
#[must_use = "while it is held, nobody stops the server"]
pub struct Local {
    folder: Folder,
    settings: Settings,
    socket_dir: PathBuf,
    brought: Brought,
    /// Held shared: every process that uses the server has one.
    users: Lock,
}

/// How a server was brought up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brought {
    /// It was running.
    Attached,
    /// The cluster was there, its server was not running.
    Started,
    /// There was nothing.
    Created,
}

/// What closing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// We were the last: the server is stopped.
    Stopped,
    /// Others use it: it runs on.
    LeftToOthers,
    /// It was asked to keep running.
    Kept,
}

/// Brings the private Postgres up: makes the cluster if there is none, starts its server unless it
/// runs, makes the database if it is missing. Of several processes at once, one does it and the
/// others attach.
///
/// The first time takes about a second, a start 0.1 s, attaching a millisecond; a recovery after a
/// crash is waited for up to two minutes.
///
/// # Errors
///
/// [`LocalError::NoBinaries`] when this machine has no Postgres ([`start_or_install`] mends that
/// where it can); see [`LocalError`] for the rest.
///
/// # Cancel safety
///
/// Dropping the future may leave a server running that nobody holds: the next start attaches.
///
/// [`start_or_install`]: super::start_or_install
pub async fn start(settings: &Settings) -> Result<Local, LocalError> {
    let database = settings.checked_database()?;
    let folder = Folder::open(settings)?;
    let _starting = Lock::exclusive(&folder.start_lock()).await?;
    // Before looking: from here on nobody stops it under us.
    let users = Lock::shared(&folder.users_lock()).await?;

    let server = Server {
        folder: &folder,
        settings,
    };
    let Running {
        socket_dir,
        brought,
        has_database,
    } = server.bring_up().await?;
    if !has_database {
        connect::create_database(&socket_dir, database).await?;
    }
    let local = Local {
        folder,
        settings: settings.clone(),
        socket_dir,
        brought,
        users,
    };
    if settings.keep_running {
        local.mark_kept()?;
    }
    Ok(local)
}

impl Local {
    /// The database's URL: `postgres:///tidegate?host=/path&user=postgres&...`, for sqlx, psql and
    /// whatever else knows libpq's URLs.
    pub fn url(&self) -> String {
        self.url_of(&self.settings.database)
    }

    /// The URL of another database of this server. The name must need no quoting in a URL.
    pub fn url_of(&self, database: &str) -> String {
        connect::url(&self.socket_dir, database)
    }

    /// The same as [`url`](Self::url) for sqlx, past anything that `PG*` variables say.
    pub fn connect_options(&self) -> PgConnectOptions {
        connect::options(&self.socket_dir, &self.settings.database)
    }

    /// How this handle came by the server.
    pub fn brought(&self) -> Brought {
        self.brought
    }

    /// The folder of it all, at its real path; `users.lock` lies in it.
    pub fn folder(&self) -> &Path {
        self.folder.root()
    }

    /// The cluster's data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.data()
    }

    /// The folder of the server's socket.
    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// The process id of the server, as its pid file has it now.
    pub fn pid(&self) -> Option<u32> {
        PidFile::read(&self.folder.data()).map(|file| file.pid)
    }

    /// Stops using the server. The last user stops it, which takes about 0.1 s, unless it was
    /// asked to keep running ([`Settings::keep_running`]) by anyone since it was started.
    ///
    /// # Errors
    ///
    /// Those of `pg_ctl`: the server may then be running still.
    pub async fn close(self) -> Result<Closed, LocalError> {
        // Whoever starts holds this: none can come in between our look and the stop.
        let _stopping = Lock::exclusive(&self.folder.start_lock()).await?;
        if !self.users.alone()? {
            return Ok(Closed::LeftToOthers);
        }
        if self.is_kept() {
            return Ok(Closed::Kept);
        }
        Server {
            folder: &self.folder,
            settings: &self.settings,
        }
        .stop()
        .await?;
        Ok(Closed::Stopped)
    }

    /// Names this run of the server, so that the mark means nothing to a later one.
    fn mark_kept(&self) -> Result<(), LocalError> {
        let Some(running) = PidFile::read(&self.folder.data()) else {
            return Ok(());
        };
        let path = self.folder.keep();
        std::fs::write(&path, running.identity()).map_err(LocalError::io("write", &path))
    }

    fn is_kept(&self) -> bool {
        let running = PidFile::read(&self.folder.data()).map(|file| file.identity());
        running.is_some() && std::fs::read_to_string(self.folder.keep()).ok() == running
    }
}
