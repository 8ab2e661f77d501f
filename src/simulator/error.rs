//! Why the simulator could not start or go on.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::settings::SettingsError;

/// The simulator could not be started or stopped serving.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The settings contradict themselves.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The address could not be bound.
    #[error("cannot listen on {addr}: {source}")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The call log could not be opened for appending.
    #[error("cannot open the call log {}: {source}", path.display())]
    CallLog {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Serving ended by itself.
    #[error("the simulator stopped serving: {source}")]
    Serve {
        /// What the system said.
        source: std::io::Error,
    },
}
