//! Where the server's socket goes: a path to one is short, by the kernel's law.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::folder::Folder;
use super::{LocalError, Settings};

/// The port's only job is to name the socket: there is no TCP.
pub(super) const PORT: u16 = 5432;

/// `sun_path` less its closing zero.
const SOCKET_PATH_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// A folder for the socket, made if it is missing: in the data's folder, or if that path is too
/// long in the first of the run-time folder, the temporary folder and `/tmp` that will do, under a
/// name made of the data's path.
pub(super) fn place(folder: &Folder, settings: &Settings) -> Result<PathBuf, LocalError> {
    let name = format!("tidegate-{}", short_hash(folder.root()));
    let elsewhere = [
        settings.xdg_runtime_dir.as_deref(),
        Some(&*settings.temp_dir),
    ];
    let elsewhere = elsewhere.into_iter().flatten().chain([Path::new("/tmp")]);

    let mut tried = Vec::new();
    for place in [folder.root().join("socket")]
        .into_iter()
        .chain(elsewhere.map(|p| p.join(&name)))
    {
        if fits(&place) && is_usable(folder, &place) {
            folder.make_private(&place)?;
            check_private(folder, &place)?;
            return Ok(place);
        }
        tried.push(place);
    }
    Err(LocalError::NoSocketPlace {
        limit: SOCKET_PATH_MAX,
        tried,
    })
}

fn fits(place: &Path) -> bool {
    place.is_absolute()
        && place.join(format!(".s.PGSQL.{PORT}")).as_os_str().len() <= SOCKET_PATH_MAX
        // The server takes a list of folders there; quotes would have to pass a shell, too.
        && !place.as_os_str().as_bytes().iter().any(|byte| b"\"'\\,\n\r".contains(byte))
}

fn is_usable(folder: &Folder, place: &Path) -> bool {
    place.parent().is_some_and(Path::is_dir) && folder.user.reaches(place).is_ok()
}

/// In a temporary folder anybody may have been there first.
fn check_private(folder: &Folder, place: &Path) -> Result<(), LocalError> {
    let metadata = place
        .symlink_metadata()
        .map_err(LocalError::io("look at", place))?;
    if metadata.is_dir() && folder.user.owns(&metadata) && metadata.mode() & 0o077 == 0 {
        Ok(())
    } else {
        Err(LocalError::NotOurs {
            folder: place.into(),
            owner: metadata.uid(),
        })
    }
}

fn short_hash(path: &Path) -> String {
    hex::encode(&Sha256::digest(path.as_os_str().as_bytes())[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_path_at_the_limit_fits_and_one_byte_more_does_not() {
        let longest = SOCKET_PATH_MAX - "/.s.PGSQL.5432".len();
        let folder = |bytes: usize| PathBuf::from(format!("/{}", "x".repeat(bytes - 1)));
        assert!(fits(&folder(longest)));
        assert!(!fits(&folder(longest + 1)));
    }
}
