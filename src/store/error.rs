//! What can go wrong at the database's door, in words a person can act on.

use sqlx::postgres::PgDatabaseError;

use super::enqueue::bad_input;

/// A statement or connection that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The URL cannot be read.
    #[error(
        "DATABASE_URL cannot be read: {0}\n  help: write postgres://USER:PASSWORD@HOST:5432/DATABASE, \
         or unset it to use a private Postgres"
    )]
    Url(String),
    /// No connection.
    #[error("{}", connect_words(.0))]
    Connect(#[source] sqlx::Error),
    /// The server is older than 15.
    #[error(
        "the server is PostgreSQL {major}, and Tidegate needs 15 or newer\n  help: upgrade it, or \
         unset DATABASE_URL to use a private Postgres"
    )]
    ServerTooOld {
        /// The server's major version.
        major: i32,
    },
    /// The schema is not there, or older than this program.
    #[error("the database has no (or an older) Tidegate schema\n  help: run `tidegate migrate`")]
    NotMigrated,
    /// The role may not do this.
    #[error(
        "the database role has no right for this: {0}\n  help: grant it, or connect as another role"
    )]
    NoRights(String),
    /// A migration failed.
    #[error("migration failed: {0}")]
    Migrate(String),
    /// The process was declared lost by others: it must start again under a new id.
    #[error("this process's lease is over; others may have taken its tasks")]
    LeaseLost,
    /// A part of this process broke: it ends, and its tasks go to others.
    #[error("a part of this process broke; see its log. Its tasks go to others")]
    Broken,
    /// No answer in time; whether the statement took effect is not known.
    #[error("the database did not answer in time")]
    NoAnswer,
    /// Bad input, told by the database's own checks.
    #[error("{0}")]
    Refused(String),
    /// Bad input of a task: nothing was changed.
    #[error("{}{field}: {message}\n  help: {help}", row.map(|row| format!("task {row}: ")).unwrap_or_default())]
    BadInput {
        /// Its place in the call, from 0.
        row: Option<u64>,
        /// What is wrong with it.
        field: String,
        /// Why.
        message: String,
        /// What to do.
        help: String,
    },
    /// The user's source.sql or sink.sql failed.
    #[error("{file}: {message}")]
    UserSql {
        /// Which file.
        file: &'static str,
        /// The server's words, with the position where it gave one.
        message: String,
    },
    /// Anything else the driver or the server said.
    #[error("database: {}", driver_words(.0))]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else {
            return Self::Database(error);
        };
        match database.code().as_deref() {
            Some("TG001") => Self::LeaseLost,
            Some("TG422" | "TG404" | "TG409") => {
                let raised = database.downcast_ref::<PgDatabaseError>();
                match raised.column() {
                    Some(_) => bad_input(raised),
                    None => Self::Refused(database.message().to_owned()),
                }
            }
            Some("42501") => Self::NoRights(database.message().to_owned()),
            Some("3F000" | "42P01" | "42883" | "42703")
                if database.message().contains("tidegate.")
                    || database.code().as_deref() == Some("3F000") =>
            {
                Self::NotMigrated
            }
            _ => Self::Database(error),
        }
    }
}

impl StoreError {
    /// Whether the same may succeed in a moment: lost connections, restarts, deadlocks, timeouts of
    /// locks. Nothing of the failed transaction stands.
    pub fn is_passing(&self) -> bool {
        if matches!(self, Self::NoAnswer) || self.is_key_race() {
            return true;
        }
        let (Self::Database(error) | Self::Connect(error)) = self else {
            return false;
        };
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_)
            | sqlx::Error::Tls(_) => true,
            sqlx::Error::Database(database) => database.code().is_some_and(|code| {
                matches!(
                    code.as_ref(),
                    "40001" | "40P01" | "55P03" | "57014" | "25006" | "25P02" | "25P03"
                ) || ["08", "53", "57P", "58"]
                    .iter()
                    .any(|class| code.starts_with(class))
            }),
            _ => false,
        }
    }
}

impl StoreError {
    /// Whether the server has no connection to give now (it is full, or starting): there is nothing
    /// to mend but to wait.
    pub fn is_full(&self) -> bool {
        let Self::Connect(error) = self else {
            return false;
        };
        error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|code| matches!(code.as_ref(), "53300" | "57P03"))
    }

    /// Whether we may read here, but not write: a role without the right, a server that only reads.
    pub(super) fn is_write_refused(&self) -> bool {
        let Self::Database(error) = self else {
            return matches!(self, Self::NoRights(_));
        };
        let code = error.as_database_error().and_then(|it| it.code());
        code.as_deref() == Some("25006")
    }

    /// Whether the failed statement took its whole transaction with it: lost connections, shutdowns,
    /// conflicts. Anything else can be undone to a savepoint.
    pub(super) fn ends_transaction(&self) -> bool {
        let (Self::Database(error) | Self::Connect(error)) = self else {
            return false;
        };
        error.as_database_error().is_none_or(|database| {
            database.code().is_some_and(|code| {
                // 08P01 is a statement that does not fit its parameters, not a lost connection
                matches!(code.as_ref(), "40001" | "40P01")
                    || code.starts_with("57P")
                    || (code.starts_with("08") && code != "08P01")
            })
        })
    }

    /// Whether it lost against another session (a deadlock, a serialization failure, a lock that was
    /// not had in time): nothing of it stands, and at once again it may win.
    pub(super) fn is_conflict(&self) -> bool {
        let Self::Database(error) = self else {
            return false;
        };
        let code = error.as_database_error().and_then(|it| it.code());
        matches!(code.as_deref(), Some("40001" | "40P01" | "55P03"))
    }

    /// Whether a claim met another, under other limits, that was just taking an equal task: said again,
    /// it sees that one, and puts its own aside.
    pub(super) fn is_key_race(&self) -> bool {
        let Self::Database(error) = self else {
            return false;
        };
        let constraint = error.as_database_error().and_then(|it| it.constraint());
        constraint == Some("running_once_a_key")
    }

    /// Whether the data itself is at fault, so that writing it again cannot help.
    pub fn is_about_data(&self) -> bool {
        if self.is_key_race() {
            return false;
        }
        let error = match self {
            Self::Database(error) => error,
            // our own settle panicked over it
            Self::Refused(_) => return true,
            _ => return false,
        };
        error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|code| {
                // 23514 is also a partition that is not there yet
                ["22", "54"].iter().any(|class| code.starts_with(class))
                    || (code.starts_with("23") && code != "23514")
            })
    }
}

/// What the server said, without the driver's place in the server's own source; else the driver's
/// words.
fn driver_words(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(database) => database.message().to_owned(),
        sqlx::Error::PoolTimedOut => "no connection in time".to_owned(),
        other => other.to_string(),
    }
}

/// The server's words about a connection, with what to do next. Never the URL: it holds a password.
fn connect_words(error: &sqlx::Error) -> String {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    let help = match (code.as_deref(), error) {
        (Some("3D000"), _) => {
            "create the database (createdb NAME), or correct its name in DATABASE_URL"
        }
        (Some("28P01" | "28000"), _) => {
            "check the user and password in DATABASE_URL and the server's pg_hba.conf"
        }
        (Some("53300"), _) => {
            "the server has no free connection: raise max_connections or use fewer processes"
        }
        (Some("57P03"), _) => "the server is starting up or recovering: try again in a moment",
        (_, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut) => {
            "check host and port in DATABASE_URL and that the server runs, or unset DATABASE_URL to use a private Postgres"
        }
        (_, sqlx::Error::Tls(_)) => "check sslmode and sslrootcert in DATABASE_URL",
        _ => "check DATABASE_URL",
    };
    let words = driver_words(error);
    format!("cannot connect to the database: {words}\n  help: {help}")
}
