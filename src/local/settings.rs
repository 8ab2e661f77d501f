//! What the private Postgres is told: where it lives and how it runs.

use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::LocalError;

/// Where root's private cluster lives: `/root` lets nobody else through, and the server cannot
/// run as root.
const FOLDER_OF_ROOT: &str = "/var/lib/tidegate";

/// Settings of the private Postgres. [`Settings::default`] is [`Settings::from_env`] of an empty
/// environment.
///
/// The options of the server (from [`durable`](Self::durable) down) count when it is started; one
/// that already runs is attached to as it is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of the cluster, `TIDEGATE_LOCAL_DIR`. Default: `/var/lib/tidegate` as root, else
    /// `$XDG_DATA_HOME/tidegate`, else `~/.local/share/tidegate`.
    pub data_dir: Option<PathBuf>,
    /// The folder that holds `initdb`, `pg_ctl` and `postgres`, `TIDEGATE_PG_BIN`. Default: looked
    /// for where packages put them, then in [`path`](Self::path).
    pub bin_dir: Option<PathBuf>,
    /// The user's home, `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_DATA_HOME`.
    pub xdg_data_home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`: takes the socket where the data folder's path is too long for one.
    pub xdg_runtime_dir: Option<PathBuf>,
    /// The folder for temporary files, `TMPDIR`, default `/tmp`: takes the socket next.
    pub temp_dir: PathBuf,
    /// Where programs are looked for, `PATH`: folders parted by colons.
    pub path: Option<String>,
    /// The folder that the system's own places (`/usr/lib/postgresql`, `/etc/os-release` ...) are
    /// looked up under. Default `/`; tests give another.
    pub system_root: PathBuf,
    /// The database to make and to connect to, default `tidegate`: 1 to 63 of `a-z`, `0-9`, `_`.
    pub database: String,
    /// Keep what was committed across a crash of the machine, default `true`. `false` turns off
    /// `fsync`, `full_page_writes` and `synchronous_commit`: for tests.
    pub durable: bool,
    /// Leave the server running when its last user closes, default `false`. Lasts until that
    /// server ends, whoever else uses it meanwhile.
    pub keep_running: bool,
    /// Connections at once, default 200.
    pub max_connections: u32,
    /// Postgres's own cache in MiB, default 128.
    pub shared_buffers_mb: u32,
    /// More server options as `name=value`, default none. They win over ours.
    pub server_options: Vec<String>,
}

impl Settings {
    /// Settings as an environment gives them; `lookup` answers with a variable's value. An empty
    /// value counts as unset.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let text = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let folder = |name: &str| text(name).map(PathBuf::from);
        Self {
            data_dir: folder("TIDEGATE_LOCAL_DIR"),
            bin_dir: folder("TIDEGATE_PG_BIN"),
            home: folder("HOME"),
            xdg_data_home: folder("XDG_DATA_HOME"),
            xdg_runtime_dir: folder("XDG_RUNTIME_DIR"),
            temp_dir: folder("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp")),
            path: text("PATH"),
            system_root: PathBuf::from("/"),
            database: "tidegate".into(),
            durable: true,
            keep_running: false,
            max_connections: 200,
            shared_buffers_mb: 128,
            server_options: Vec::new(),
        }
    }

    /// The folder that these settings name. It need not exist.
    ///
    /// # Errors
    ///
    /// [`LocalError::NoFolder`] when nothing says where: no `data_dir`, no `XDG_DATA_HOME`, no
    /// `HOME`, and not root.
    pub fn folder(&self) -> Result<PathBuf, LocalError> {
        if let Some(folder) = &self.data_dir {
            return std::path::absolute(folder)
                .map_err(LocalError::io("find the full path of", folder));
        }
        if geteuid().is_root() {
            return Ok(FOLDER_OF_ROOT.into());
        }
        // A relative XDG_DATA_HOME is to be ignored, says the XDG base directory specification.
        let data_home = self
            .xdg_data_home
            .clone()
            .filter(|folder| folder.is_absolute());
        let data_home =
            data_home.or_else(|| self.home.as_ref().map(|home| home.join(".local/share")));
        data_home
            .map(|home| home.join("tidegate"))
            .ok_or(LocalError::NoFolder)
    }

    /// A place of the system, `/usr/lib` say, under [`system_root`](Self::system_root).
    pub(super) fn system(&self, place: &str) -> PathBuf {
        self.system_root.join(place.trim_start_matches('/'))
    }

    /// The folders of `PATH`, in order.
    pub(super) fn path_folders(&self) -> Vec<PathBuf> {
        let path = self.path.as_deref().unwrap_or_default();
        std::env::split_paths(path)
            .filter(|folder| folder.is_absolute())
            .collect()
    }

    /// Whether `PATH` has this program.
    pub(super) fn has_program(&self, name: &str) -> bool {
        self.path_folders()
            .iter()
            .any(|folder| is_program(&folder.join(name)))
    }

    /// The database's name, once it is known to need no quoting anywhere.
    pub(super) fn checked_database(&self) -> Result<&str, LocalError> {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
        let name = self.database.as_str();
        if (1..=63).contains(&name.len()) && name.bytes().all(plain) {
            Ok(name)
        } else {
            Err(LocalError::BadDatabase { name: name.into() })
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::from_env(|_| None)
    }
}

/// Whether this is a file; whether it may be run shows when it is.
pub(super) fn is_program(path: &Path) -> bool {
    path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let settings = Settings::from_env(|_| Some(String::new()));
        assert_eq!(settings.data_dir, None);
        assert_eq!(settings.temp_dir, PathBuf::from("/tmp"));
    }

    #[test]
    fn a_named_folder_wins() {
        let settings = Settings::from_env(|name| {
            (name == "TIDEGATE_LOCAL_DIR").then(|| "/srv/tidegate".to_owned())
        });
        assert_eq!(settings.folder().unwrap(), PathBuf::from("/srv/tidegate"));
    }

    #[test]
    fn a_database_name_that_needs_quoting_is_refused() {
        for name in ["", "Tide", "a b", "a\"b", "a-b", &"a".repeat(64)] {
            let settings = Settings {
                database: name.into(),
                ..Settings::default()
            };
            assert!(settings.checked_database().is_err(), "{name:?}");
        }
    }
}
