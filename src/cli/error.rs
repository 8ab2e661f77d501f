//! What went wrong, for whom, and how the program ends.

use std::process::ExitCode;

use crate::client::{LoadError, RetierError, RetryError};
use crate::config::{ConfigError, EntryError};
use crate::definition::DefinitionError;
use crate::local::LocalError;
use crate::provider::ProviderError;
use crate::simulator;
use crate::store::StoreError;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// The user's mistake: a flag, a file, a URL, rights.
    User = 1,
    /// Ours, or the machine's.
    Ours = 2,
    /// Done in part: some tasks failed.
    Partial = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// The configuration does not hold.
    #[error(transparent)]
    Config(Box<ConfigError>),
    /// The database said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The private Postgres cannot be had.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The worker folder does not hold.
    #[error(transparent)]
    Definition(Box<DefinitionError>),
    /// A run could not be loaded.
    #[error(transparent)]
    Load(Box<LoadError>),
    /// A run could not be retiered.
    #[error(transparent)]
    Retier(Box<RetierError>),
    /// A provider entry cannot be called.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// A provider cannot be built.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The simulator did not start.
    #[error(transparent)]
    Simulator(#[from] simulator::Error),
    /// What was asked for makes no sense, or is not there.
    #[error("{what}\n  help: {help}")]
    Input {
        /// What is wrong.
        what: String,
        /// What to do next.
        help: String,
    },
    /// The system said no.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was attempted.
        doing: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Nobody reads our stdout any more: the end, and no mistake.
    #[error("stdout is closed")]
    OutputClosed,
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::Config(Box::new(error))
    }
}

impl From<DefinitionError> for CliError {
    fn from(error: DefinitionError) -> Self {
        Self::Definition(Box::new(error))
    }
}

impl From<LoadError> for CliError {
    fn from(error: LoadError) -> Self {
        Self::Load(Box::new(error))
    }
}

impl From<RetierError> for CliError {
    fn from(error: RetierError) -> Self {
        match error {
            RetierError::Store(error) => error.into(),
            RetierError::Definition(error) => error.into(),
            other => Self::Retier(Box::new(other)),
        }
    }
}

impl From<RetryError> for CliError {
    fn from(error: RetryError) -> Self {
        match error {
            RetryError::Store(error) => error.into(),
            RetryError::Definition(error) => error.into(),
        }
    }
}

impl CliError {
    /// A mistake of the user's, with what to do next.
    pub fn input(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Input {
            what: what.into(),
            help: help.into(),
        }
    }

    /// The exit code that tells whose mistake it is.
    pub fn exit(&self) -> Exit {
        match self {
            Self::OutputClosed => Exit::Ok,
            Self::Config(_)
            | Self::Definition(_)
            | Self::Entry(_)
            | Self::Input { .. }
            | Self::Retier(_)
            | Self::Provider(
                ProviderError::BadKey { .. }
                | ProviderError::BadBaseUrl { .. }
                | ProviderError::PlainHttp { .. },
            ) => Exit::User,
            Self::Store(error) => of_store(error),
            Self::Load(error) => match error.as_ref() {
                LoadError::Store(error) => of_store(error),
                _ => Exit::User,
            },
            Self::Local(error) => of_local(error),
            Self::Simulator(error) => of_simulator(error),
            Self::Provider(_) | Self::Io { .. } => Exit::Ours,
        }
    }
}

/// What the user can mend: the URL, rights, migrations, their own SQL.
fn of_store(error: &StoreError) -> Exit {
    match error {
        StoreError::Url(_)
        | StoreError::Connect(_)
        | StoreError::ServerTooOld { .. }
        | StoreError::NotMigrated
        | StoreError::NoRights(_)
        | StoreError::Refused(_)
        | StoreError::BadInput { .. }
        | StoreError::UserSql { .. } => Exit::User,
        _ => Exit::Ours,
    }
}

/// What the user can mend: where it lives, what is installed, who may stop it.
fn of_local(error: &LocalError) -> Exit {
    match error {
        LocalError::NoFolder
        | LocalError::BadPath { .. }
        | LocalError::BadDatabase { .. }
        | LocalError::NoBinaries { .. }
        | LocalError::BadBinDir { .. }
        | LocalError::MajorMissing { .. }
        | LocalError::NoServerUser
        | LocalError::NotPassable { .. }
        | LocalError::NotOurs { .. }
        | LocalError::NoSocketPlace { .. }
        | LocalError::InUse { .. }
        | LocalError::CannotInstall { .. } => Exit::User,
        _ => Exit::Ours,
    }
}

fn of_simulator(error: &simulator::Error) -> Exit {
    match error {
        simulator::Error::Serve { .. } => Exit::Ours,
        _ => Exit::User,
    }
}
