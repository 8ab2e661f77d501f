//! A temporary folder of one case: its worker, settings and logs.

use std::path::PathBuf;

use crate::cli::CliError;

/// A folder of the case, removed with this handle.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn make() -> Result<Self, CliError> {
        let name = format!("tidegate-bench-{}", crate::task::new_id().simple());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).map_err(|source| CliError::Io {
            doing: format!("make the folder {}", path.display()),
            source,
        })?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // the system's temporary folder is emptied anyway
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
