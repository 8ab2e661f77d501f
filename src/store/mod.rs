//! The only room that knows SQL (but for the user's own source.sql and sink.sql, which it runs).
//!
//! One verb a file; statements are checked at compile time against `.sqlx/`, long ones and those
//! that lock stand in `sql/`. Every write to a running task carries its claim's identity (nonce and
//! epoch); no row back means the lease was lost, which is a normal answer. Never: a decision that
//! could be a pure function, a call to a provider, a transaction that a timeout may drop half-way.

pub mod batch;
pub mod bench;
pub mod budget;
pub mod by_hand;
pub mod cache;
pub mod care;
pub mod claim;
pub mod definition;
pub mod dry_run;
pub mod enqueue;
mod error;
pub mod export;
pub mod forecast;
mod former;
pub mod health;
pub mod interactive;
pub(crate) mod lanes;
pub mod learn;
pub mod limit;
mod link;
pub mod list;
pub mod listen;
pub mod load;
pub mod local;
pub mod migrate;
pub mod model;
pub mod needed;
pub mod pack;
pub mod process;
pub mod register;
pub mod report;
pub mod reprocess;
pub mod retention;
pub mod retier;
pub mod run;
pub mod sample;
pub mod settle;
pub mod source;
pub mod stats;
pub mod task;
pub mod unrendered;
pub mod worker;

pub use error::StoreError;

use std::time::Duration;

use sqlx::PgPool;

use self::link::{Between, Link};

/// A pool, a connection or a transaction of the driver's: where a statement of the caller's may run.
pub trait Executor<'e>: sqlx::PgExecutor<'e> {}
impl<'e, T: sqlx::PgExecutor<'e>> Executor<'e> for T {}

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
    /// How long a statement may take at the server. Default 60 s. The answer is waited for 5 s
    /// longer, then the connection is given up.
    pub statement_timeout: Duration,
    /// What is between us and the server. Default: found out.
    pub pooler: Pooler,
}

/// Whether a pooler in transaction mode is between us and the server (PgBouncer and the like).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooler {
    /// Found out at each connection of its own: a session that does not keep what it was opened
    /// with is a pooler's.
    #[default]
    Auto,
    /// There is one: no statement has a name, each is in a transaction that sets what it relies on,
    /// and nobody listens.
    Transaction,
    /// There is none, or one in session mode.
    None,
}

impl Settings {
    /// The defaults, for this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: secrecy::SecretString::from(url.into()),
            max_connections: 6,
            acquire_timeout: Duration::from_secs(10),
            statement_timeout: STATEMENT_TIMEOUT,
            pooler: Pooler::Auto,
        }
    }
}

/// How long a statement may take unless settings say otherwise.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// The database, as all the verbs of this room use it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Link,
}

impl Store {
    /// Connects, and checks that the server is Postgres 15 or newer.
    ///
    /// # Errors
    /// [`StoreError::Url`], [`StoreError::Connect`] with the server's words, or
    /// [`StoreError::ServerTooOld`].
    pub async fn connect(settings: &Settings) -> Result<Self, StoreError> {
        let pool = Link::connect(settings).await?;
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
        let (connection, _) = link::alone(settings).await?;
        // it was only to see whether it opens
        let _ = sqlx::Connection::close(connection).await;
        Ok(())
    }

    /// A store over a pool of the caller's own.
    pub fn over(pool: PgPool) -> Self {
        Self {
            pool: Link::over(pool),
        }
    }

    /// The pool, for statements of the application's own.
    pub fn pool(&self) -> &PgPool {
        self.pool.pool()
    }

    /// What was found to be between us and the server.
    pub fn pooler(&self) -> Pooler {
        match self.pool.between() {
            Between::Nothing => Pooler::None,
            Between::Pooler => Pooler::Transaction,
        }
    }

    /// Says that a connection went silent: others that idle are made anew before they are used.
    pub fn doubt(&self) {
        self.pool.doubt();
    }

    /// Whether to keep no connection that is not in use, since the server has few left. Each is then
    /// opened for its statement alone.
    pub fn keep_none(&self, none: bool) {
        self.pool.keep_none(none);
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
