//! Locks between processes: `flock` on a file, let go by the kernel when its holder ends.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use tokio::time::Instant;

use super::LocalError;

/// Longer than a first start on a busy disk with a long recovery takes.
const WAIT_MAX: Duration = Duration::from_secs(180);
const TRY_EVERY: Duration = Duration::from_millis(20);

/// A lock that is held until it is dropped. The file stays: removing it would let two processes
/// hold "the" lock on two files.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Waits until nobody else holds it.
    pub(super) async fn exclusive(path: &Path) -> Result<Self, LocalError> {
        Self::take(path, FlockOperation::NonBlockingLockExclusive).await
    }

    /// Waits until nobody holds it alone.
    pub(super) async fn shared(path: &Path) -> Result<Self, LocalError> {
        Self::take(path, FlockOperation::NonBlockingLockShared).await
    }

    // Tried again and again rather than waited for in a thread: a thread in flock() could not be
    // called back when the caller gives up.
    async fn take(path: &Path, how: FlockOperation) -> Result<Self, LocalError> {
        let lock = Self::open(path)?;
        let deadline = Instant::now() + WAIT_MAX;
        while !lock.attempt(how)? {
            if Instant::now() >= deadline {
                return Err(LocalError::Busy {
                    lock: path.into(),
                    waited: WAIT_MAX,
                });
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
        Ok(lock)
    }

    /// Whether anybody holds the lock now. A file that does not exist is held by nobody.
    pub(super) fn is_held(path: &Path) -> Result<bool, LocalError> {
        if !path.exists() {
            return Ok(false);
        }
        Ok(!Self::open(path)?.attempt(FlockOperation::NonBlockingLockExclusive)?)
    }

    /// Turns a shared lock into an exclusive one if nobody else holds it. On `false` the lock is
    /// lost: the kernel lets go of the old one first.
    pub(super) fn alone(&self) -> Result<bool, LocalError> {
        self.attempt(FlockOperation::NonBlockingLockExclusive)
    }

    fn open(path: &Path) -> Result<Self, LocalError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)
            .map_err(LocalError::io("open the lock", path))?;
        Ok(Self {
            file,
            path: path.into(),
        })
    }

    fn attempt(&self, how: FlockOperation) -> Result<bool, LocalError> {
        loop {
            return match flock(&self.file, how) {
                Ok(()) => Ok(true),
                Err(Errno::INTR) => continue,
                Err(Errno::WOULDBLOCK) => Ok(false),
                Err(errno) => Err(LocalError::io("lock", &self.path)(errno.into())),
            };
        }
    }
}
