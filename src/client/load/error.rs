//! Why a run could not be loaded.

use std::path::PathBuf;

use uuid::Uuid;

use crate::{
    definition::{DefinitionError, rows::RowError},
    priority::PriorityError,
    store::StoreError,
};

/// Why a run could not be loaded. Nothing of it stays, but for what a later try takes up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The worker folder, or what it expects of the source.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// The database, or the user's source.sql.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row of the source.
    #[error("{source_name}: {error}")]
    Row {
        /// Which source.
        source_name: String,
        /// Line, field and reason.
        error: RowError,
    },
    /// An id that comes twice.
    #[error("{source_name}: the id `{id}` comes twice\n  help: ids must be unique in a source")]
    Duplicate {
        /// Which source.
        source_name: String,
        /// The id.
        id: String,
    },
    /// A score that is no number.
    #[error("{source_name}: item `{id}`: {error}")]
    Score {
        /// Which source.
        source_name: String,
        /// The item.
        id: String,
        /// The reason.
        error: PriorityError,
    },
    /// Shares or weights of the folder.
    #[error("worker.toml: {0}")]
    Priority(#[from] PriorityError),
    /// A file that cannot be read.
    #[error("{}: {error}\n  help: check the path; it is seen from {}", path.display(), seen_from.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What relative paths are seen from.
        seen_from: PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// A worker that is no folder.
    #[error(
        "{0} is worked by a program, not by a folder: a run cannot be made of its tasks\n  help: enqueue their payloads again, as in: select tidegate.enqueue(worker, payload::json) from tidegate.tasks where ..."
    )]
    Program(String),
    /// No such worker or run.
    #[error(
        "nobody knows the worker or run {0}\n  help: see `tidegate runs list` and `tidegate workers list`"
    )]
    Nobody(String),
    /// Another process is loading the same run and does not end.
    #[error(
        "run {0} of the same worker and source is being loaded by another process\n  help: wait for it, or stop it"
    )]
    Busy(Uuid),
}
