//! Opening a connection: what it sets for itself, and what is between it and the server.

use std::{str::FromStr, time::Duration};

use sqlx::{ConnectOptions, Connection, Executor, PgConnection, Row, postgres::PgConnectOptions};

use crate::store::{Pooler, Settings, StoreError};

/// What is between us and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Between {
    /// Nothing: a connection is one session of the server, and keeps what was set.
    Nothing,
    /// A pooler that may give each transaction another server.
    Pooler,
}

/// Set by every session beside its time limit, whatever the server, role or database say:
/// `synchronous_commit` keeps what was acknowledged, the limits bound every wait.
const SESSION: [(&str, &str); 7] = [
    ("synchronous_commit", "on"),
    ("default_transaction_isolation", "read committed"),
    ("timezone", "UTC"),
    ("standard_conforming_strings", "on"),
    ("jit", "off"),
    ("lock_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "60s"),
];

/// A setting of our own by which a session shows that it kept what it was opened with.
const MARK: (&str, &str) = ("tidegate.link", "kept");

/// Begins a transaction that sets all of it for itself alone.
pub(super) fn begin_words(between: Between, statement_timeout: Duration) -> String {
    let mut words = "begin isolation level read committed".to_owned();
    if between == Between::Pooler {
        for (name, value) in SESSION {
            words.push_str(&format!("; set local {name} = '{value}'"));
        }
        let limit = statement_timeout.as_millis();
        words.push_str(&format!("; set local statement_timeout = {limit}"));
    }
    words
}

/// One connection of its own, outside any pool.
///
/// # Errors
/// [`StoreError::Url`], or [`StoreError::Connect`] with the server's words.
pub(in crate::store) async fn alone(
    settings: &Settings,
) -> Result<(PgConnection, Between), StoreError> {
    let session = session_options(settings)?;
    let plain = plain_options(settings)?;
    let opening = async {
        match settings.pooler {
            Pooler::None => Ok((session.connect().await?, Between::Nothing)),
            Pooler::Transaction => Ok((plain.connect().await?, Between::Pooler)),
            Pooler::Auto => match session.connect().await {
                Ok(mut connection) => {
                    if keeps(&mut connection).await? {
                        return Ok((connection, Between::Nothing));
                    }
                    // a pooler that does not pass on what a session is opened with
                    let _ = connection.close().await;
                    Ok((plain.connect().await?, Between::Pooler))
                }
                Err(error) if refuses_options(&error) => {
                    Ok((plain.connect().await?, Between::Pooler))
                }
                Err(error) => Err(error),
            },
        }
    };
    tokio::time::timeout(settings.acquire_timeout, opening)
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
        .map_err(StoreError::Connect)
}

/// Options that open a session with all it relies on: nothing needs to be said afterwards.
pub(super) fn session_options(settings: &Settings) -> Result<PgConnectOptions, StoreError> {
    let limit = settings.statement_timeout.as_millis().to_string();
    Ok(from_url(settings)?
        .options(SESSION)
        .options([("statement_timeout", limit.as_str()), MARK]))
}

/// Options that every pooler takes: PgBouncer refuses others unless it is told to ignore them.
pub(in crate::store) fn plain_options(settings: &Settings) -> Result<PgConnectOptions, StoreError> {
    Ok(from_url(settings)?.extra_float_digits(None))
}

fn from_url(settings: &Settings) -> Result<PgConnectOptions, StoreError> {
    use secrecy::ExposeSecret;
    let url = settings.url.expose_secret();
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(StoreError::Url(
            "it does not begin with postgres://".to_owned(),
        ));
    }
    PgConnectOptions::from_str(url)
        .map(|options| options.application_name("tidegate"))
        .map_err(|error| StoreError::Url(error.to_string()))
}

/// Whether the session has what it was opened with. Said without a prepared statement.
async fn keeps(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let row = connection
        .fetch_one("select current_setting('tidegate.link', true)")
        .await?;
    let mark: Option<String> = row.try_get(0)?;
    Ok(mark.as_deref() == Some(MARK.1))
}

/// A server takes any options; a pooler names the first that it does not.
fn refuses_options(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|database| database.message().contains("startup parameter"))
}
