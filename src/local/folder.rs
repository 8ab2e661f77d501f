//! The private cluster's folder: what lies where, who owns it, who may reach it.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::user::ServerUser;
use super::{LocalError, Settings};

/// The folder, at its real path, and the user whose server lives in it.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: PathBuf,
    pub(super) user: ServerUser,
}

impl Folder {
    /// Opens the folder, making it if it is missing, and checks that the server can live there.
    pub(super) fn open(settings: &Settings) -> Result<Self, LocalError> {
        let root = settings.folder()?;
        if !root.exists() {
            make(&root)?;
        }
        let folder = Self::at(&root)?;
        folder.user.reaches(&folder.root)?;
        Ok(folder)
    }

    /// The folder as it is; `None` if there is none. Makes nothing.
    pub(super) fn look(settings: &Settings) -> Result<Option<Self>, LocalError> {
        let root = settings.folder()?;
        if root.exists() {
            Self::at(&root).map(Some)
        } else {
            Ok(None)
        }
    }

    fn at(root: &Path) -> Result<Self, LocalError> {
        // The real path: the server's command line shows it, and pid files are judged by that.
        let root = root.canonicalize().map_err(LocalError::io("find", root))?;
        // pg_ctl hands the path to a shell between double quotes.
        if root
            .as_os_str()
            .as_bytes()
            .iter()
            .any(|byte| b"\"'$`\\\n\r".contains(byte))
        {
            return Err(LocalError::BadPath { path: root });
        }
        let user = ServerUser::choose(root.join("data").metadata().ok().as_ref())?;
        let metadata = root.metadata().map_err(LocalError::io("look at", &root))?;
        // Below a folder of somebody else's, nothing is ours: they could swap the data.
        if metadata.uid() != geteuid().as_raw() && !user.owns(&metadata) {
            return Err(LocalError::NotOurs {
                folder: root,
                owner: metadata.uid(),
            });
        }
        Ok(Self { root, user })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(super) fn data_new(&self) -> PathBuf {
        self.root.join("data.new")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.root.join("server.log")
    }

    pub(super) fn start_lock(&self) -> PathBuf {
        self.root.join("start.lock")
    }

    pub(super) fn users_lock(&self) -> PathBuf {
        self.root.join("users.lock")
    }

    pub(super) fn keep(&self) -> PathBuf {
        self.root.join("keep")
    }

    /// The major that made the cluster; `None` if there is no cluster yet.
    pub(super) fn major(&self) -> Option<u16> {
        let version = std::fs::read_to_string(self.data().join("PG_VERSION")).ok()?;
        version.trim().parse().ok()
    }

    /// A folder inside, for the server alone. An existing one is left as it is.
    pub(super) fn make_private(&self, path: &Path) -> Result<(), LocalError> {
        if !path.exists() {
            DirBuilder::new()
                .mode(0o700)
                .create(path)
                .map_err(LocalError::io("make the folder", path))?;
            self.user.give(path)?;
        }
        Ok(())
    }
}

/// Others may pass as far as root's folder lets the server's user do; they can read nothing in it.
fn make(root: &Path) -> Result<(), LocalError> {
    let mode = if geteuid().is_root() { 0o711 } else { 0o700 };
    if let Some(parent) = root.parent() {
        std::fs::create_dir_all(parent).map_err(LocalError::io("make the folder", parent))?;
    }
    match DirBuilder::new().mode(mode).create(root) {
        // Another process was quicker.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        made => made.map_err(LocalError::io("make the folder", root))?,
    }
    // Again, past the umask.
    std::fs::set_permissions(root, Permissions::from_mode(mode))
        .map_err(LocalError::io("open up", root))
}
