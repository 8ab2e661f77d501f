//! What can go wrong with the private Postgres: what, where, and what to do next.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The private Postgres cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// Nothing says where the data goes.
    #[error(
        "no folder for the private Postgres: HOME is not set; set TIDEGATE_LOCAL_DIR, or DATABASE_URL to use a Postgres of yours"
    )]
    NoFolder,
    /// The folder's path has characters that `pg_ctl` cannot carry.
    #[error(
        "the private Postgres cannot live in {path:?}: no quotes, dollars, backquotes, backslashes or line breaks in its path; set TIDEGATE_LOCAL_DIR to another folder"
    )]
    BadPath {
        /// The path.
        path: PathBuf,
    },
    /// The database's name would need quoting.
    #[error("the private Postgres's database cannot be called {name:?}: 1 to 63 of a-z, 0-9 and _")]
    BadDatabase {
        /// The name.
        name: String,
    },
    /// No Postgres programs on this machine.
    #[error(
        "no Postgres found on this machine (looked for initdb, pg_ctl and postgres of major 15 to 18 in {}); {command}, or set TIDEGATE_PG_BIN to the folder that holds them, or DATABASE_URL to use a Postgres of yours",
        list(looked)
    )]
    NoBinaries {
        /// Folders that were looked in.
        looked: Vec<PathBuf>,
        /// What to do on this machine, as a clause: `run: sudo apt-get install ...`.
        command: String,
    },
    /// `TIDEGATE_PG_BIN` is not a folder of Postgres programs that can be used.
    #[error("TIDEGATE_PG_BIN is {}, {reason}; name the folder that holds initdb, pg_ctl and postgres of major 15 to 18", dir.display())]
    BadBinDir {
        /// The folder.
        dir: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The cluster was made by a major that is not installed.
    #[error("the private cluster {} was made by Postgres {major} and no other major opens it (found: {}); install Postgres {major}, or move the folder away to begin anew", data.display(), majors(found))]
    MajorMissing {
        /// The cluster.
        data: PathBuf,
        /// The major that made it.
        major: u16,
        /// Majors that are here.
        found: Vec<u16>,
    },
    /// Root, and no user that the server could run as.
    #[error(
        "Postgres refuses to run as root and this system has neither a user `postgres` nor `nobody`; run as another user, or set DATABASE_URL to use a Postgres of yours"
    )]
    NoServerUser,
    /// A folder on the way does not let the server's user through.
    #[error("{} does not let user {user} through, and the server in {} runs as that user; `chmod a+x` it, or choose another folder", folder.display(), wanted.display())]
    NotPassable {
        /// The folder that is closed.
        folder: PathBuf,
        /// The server's user.
        user: String,
        /// What was to be reached.
        wanted: PathBuf,
    },
    /// The folder is somebody else's.
    #[error("{} belongs to user id {owner}; the private Postgres needs a folder of its own: set TIDEGATE_LOCAL_DIR to another, or run as its owner", folder.display())]
    NotOurs {
        /// The folder.
        folder: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// No folder is short enough for a socket.
    #[error(
        "no place for the server's socket: its path may have {limit} bytes at most (tried {}); set TMPDIR or TIDEGATE_LOCAL_DIR to a shorter path",
        list(tried)
    )]
    NoSocketPlace {
        /// The most bytes.
        limit: usize,
        /// Folders that were tried.
        tried: Vec<PathBuf>,
    },
    /// A file or folder could not be dealt with.
    #[error("could not {doing} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A program said no.
    #[error("{} failed ({status}): {output}", program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// Its exit status.
        status: String,
        /// The end of what it said.
        output: String,
    },
    /// The server did not start.
    #[error("the private Postgres in {} did not start: {said} (its log: {})", data.display(), log.display())]
    NotStarted {
        /// The cluster.
        data: PathBuf,
        /// The server's log.
        log: PathBuf,
        /// The end of what it said.
        said: String,
    },
    /// The server runs and does not take connections.
    #[error("the private Postgres at {} took no connection within {} s: {said} (its log: {})", socket.display(), waited.as_secs(), log.display())]
    NotAnswering {
        /// The folder of its socket.
        socket: PathBuf,
        /// How long we waited.
        waited: Duration,
        /// What it said last.
        said: String,
        /// The server's log.
        log: PathBuf,
    },
    /// Another process holds a lock for too long.
    #[error("another process has been starting or stopping the private Postgres for {} s (it holds {}); look for a hanging tidegate, initdb or pg_ctl", waited.as_secs(), lock.display())]
    Busy {
        /// The lock.
        lock: PathBuf,
        /// How long we waited.
        waited: Duration,
    },
    /// Not stopped, since others use it.
    #[error("other processes use the private Postgres in {}; end them first", folder.display())]
    InUse {
        /// Its folder.
        folder: PathBuf,
    },
    /// The server took the connection and refused what was asked.
    #[error("the private Postgres at {} refused to {doing}: {source}", socket.display())]
    Refused {
        /// The folder of its socket.
        socket: PathBuf,
        /// What was asked.
        doing: &'static str,
        /// Its answer.
        source: sqlx::Error,
    },
    /// This machine's packages cannot be installed from here.
    #[error("Postgres cannot be installed from here: {reason}; {command}")]
    CannotInstall {
        /// Why.
        reason: &'static str,
        /// What to do on this machine, as a clause: `run: sudo dnf install ...`.
        command: String,
    },
}

impl LocalError {
    /// For `map_err`: says what was being done, and with what.
    pub(super) fn io<'a>(
        doing: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(std::io::Error) -> Self + use<'a> {
        move |source| Self::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }
}

fn list(folders: &[PathBuf]) -> String {
    let names: Vec<_> = folders
        .iter()
        .map(|folder| folder.display().to_string())
        .collect();
    names.join(", ")
}

fn majors(found: &[u16]) -> String {
    let names: Vec<_> = found.iter().map(u16::to_string).collect();
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}
