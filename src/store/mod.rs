//! The only room that knows SQL (but for the user's own source.sql and sink.sql, which it runs).
//!
//! One verb a file; statements are checked at compile time against `.sqlx/`, long ones and those
//! that lock stand in `sql/`. Every write to a running task carries its claim's identity (nonce and
//! epoch); no row back means the lease was lost, which is a normal answer. Never: a decision that
//! could be a pure function, a call to a provider, a transaction that a timeout may drop half-way.

pub mod by_hand;
pub mod care;
pub mod claim;
pub mod definition;
pub mod enqueue;
mod error;
pub mod export;
pub mod health;
pub mod listen;
pub mod migrate;
pub mod model;
pub mod process;
pub mod run;
pub mod sample;
pub mod settle;
pub mod source;
pub mod stats;
pub mod task;

pub use error::StoreError;

use std::{str::FromStr, time::Duration};

use sqlx::{
    Executor, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// How the database is reached.
#[derive(Clone)]
pub struct Settings {
    /// `postgres://` URL. Never printed.
    pub url: secrecy::SecretString,
    /// Most connections of the pool. Default 6, range 2 to 100. A worker process holds two more:
    /// one for its heartbeat, one that listens.
    pub max_connections: u32,
    /// How long to wait for a connection. Default 10 s.
    pub acquire_timeout: Duration,
}

impl Settings {
    /// The defaults, for this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: secrecy::SecretString::from(url.into()),
            max_connections: 6,
            acquire_timeout: Duration::from_secs(10),
        }
    }
}

/// What every connection sets for itself, whatever the server, role or database say.
///
/// Statement and idle limits bound every wait; `synchronous_commit` keeps what
/// was acknowledged.
const SESSION: &str = "set synchronous_commit = on; \
     set default_transaction_isolation = 'read committed'; \
     set timezone = 'UTC'; \
     set standard_conforming_strings = on; \
     set jit = off; \
     set lock_timeout = '10s'; \
     set statement_timeout = '60s'; \
     set idle_in_transaction_session_timeout = '60s'";

/// The database, as all the verbs of this room use it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// Connects, and checks that the server is Postgres 15 or newer.
    ///
    /// # Errors
    /// [`StoreError::Url`], [`StoreError::Connect`] with the server's words, or
    /// [`StoreError::ServerTooOld`].
    pub async fn connect(settings: &Settings) -> Result<Self, StoreError> {
        let options = connect_options(settings)?;
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .acquire_timeout(settings.acquire_timeout)
            .idle_timeout(Duration::from_secs(300))
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(SESSION).await.map(drop) })
            })
            .connect_with(options)
            .await
            .map_err(StoreError::Connect)?;
        let store = Self { pool };
        store.check_version().await?;
        Ok(store)
    }

    /// Whether the server takes connections, told at once: a pool tries a port that refuses until
    /// its time is up.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn probe(settings: &Settings) -> Result<(), StoreError> {
        let connection = connect_alone(settings).await?;
        // it was only to see whether it opens
        let _ = sqlx::Connection::close(connection).await;
        Ok(())
    }

    /// A store over a pool of the caller's own.
    pub fn over(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The pool, for statements of the application's own.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    async fn check_version(&self) -> Result<(), StoreError> {
        let version: i32 = sqlx::query_scalar("select current_setting('server_version_num')::int")
            .fetch_one(&self.pool)
            .await
            .map_err(StoreError::Connect)?;
        if version < 150_000 {
            return Err(StoreError::ServerTooOld {
                major: version / 10_000,
            });
        }
        Ok(())
    }
}

/// Does an act again that lost against another session, a few times: whoever acts by hand never sees
/// a deadlock.
async fn unless_in_conflict<T, F, Fut>(act: F) -> Result<T, StoreError>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, StoreError>>,
{
    for _ in 1..CONFLICTS_MAX {
        match act().await {
            Err(error) if error.is_conflict() => {}
            done => return done,
        }
    }
    act().await
}

/// Times an act is tried that loses against others.
const CONFLICTS_MAX: u32 = 6;

/// One connection of its own, outside any pool, with the same session settings.
async fn connect_alone(settings: &Settings) -> Result<sqlx::PgConnection, StoreError> {
    use sqlx::ConnectOptions;
    let options = connect_options(settings)?;
    let opening = async {
        let mut connection = options.connect().await?;
        connection.execute(SESSION).await?;
        Ok(connection)
    };
    tokio::time::timeout(settings.acquire_timeout, opening)
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
        .map_err(StoreError::Connect)
}

fn connect_options(settings: &Settings) -> Result<PgConnectOptions, StoreError> {
    use secrecy::ExposeSecret;
    let url = settings.url.expose_secret();
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(StoreError::Url(
            "it does not begin with postgres://".to_owned(),
        ));
    }
    PgConnectOptions::from_str(settings.url.expose_secret())
        .map(|options| options.application_name("tidegate"))
        .map_err(|error| StoreError::Url(error.to_string()))
}
