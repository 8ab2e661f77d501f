//! What is said to the server, what it answers, and what its errors mean for the connection.

use sqlx::{
    Either, Execute, Postgres, SqlSafeStr, SqlStr,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement},
};

/// What the server said to one statement.
pub(super) type Answer = Vec<Either<PgQueryResult, PgRow>>;

/// The first row, as it is understood where at most one is expected.
pub(super) fn first_row(answer: Answer) -> Option<PgRow> {
    answer.into_iter().find_map(Either::right)
}

/// A statement and its parameters, to be said once or again.
#[derive(Clone, Debug)]
pub(super) struct Words {
    sql: SqlStr,
    arguments: Option<PgArguments>,
    /// Whether the server may keep it under a name.
    pub(super) named: bool,
}

impl Words {
    /// Of a query. An error is one of its parameters'.
    pub(super) fn of<'q>(mut query: impl Execute<'q, Postgres>) -> Result<Self, sqlx::Error> {
        let arguments = query.take_arguments().map_err(sqlx::Error::Encode)?;
        Ok(Self {
            arguments,
            named: query.persistent(),
            sql: query.sql(),
        })
    }

    /// Statements of one message, without parameters.
    pub(super) fn simple(sql: impl SqlSafeStr) -> Self {
        Self {
            sql: sql.into_sql_str(),
            arguments: None,
            named: false,
        }
    }

    /// Whether it is said in two steps (to which a pooler might give two servers).
    pub(super) fn is_prepared(&self) -> bool {
        self.arguments.is_some()
    }
}

impl Execute<'static, Postgres> for Words {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&PgStatement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, sqlx::error::BoxDynError> {
        Ok(self.arguments.take())
    }

    fn persistent(&self) -> bool {
        self.named
    }
}

/// Whether nothing more can be said after this: the session is over, may only read (and would go on
/// so when the server is not read-only any more), or what it is at is not known.
pub(super) fn ends_session(error: &sqlx::Error) -> bool {
    error.as_database_error().is_none_or(|database| {
        database.code().is_some_and(|code| {
            code.starts_with("57P") || matches!(code.as_ref(), "25006" | "25P03")
        })
    })
}

/// After a failover: this server takes no writes, and others connected with us.
pub(super) fn is_read_only(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some("25006")
}

pub(super) fn no_answer() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "the database did not answer in time",
    ))
}

pub(super) fn gone() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(
        std::io::ErrorKind::NotConnected,
        "the connection is gone",
    ))
}
