//! The link to the database: connections in a pool, each answer awaited for a bounded time.
//!
//! Statements run over `&Link` as over a pool, or over a [`Tx`]. What is between us and the server
//! ([`Between`]) decides how: behind a pooler that lends a server for one transaction, every
//! statement is in a transaction of its own that sets what it relies on, and none has a name. Never:
//! a connection goes back to the pool while an answer is outstanding, or in a transaction.

mod conn;
mod doubt;
mod open;
mod words;

pub(super) use conn::{Conn, Tx};
pub(super) use open::{Between, alone, plain_options};

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt, TryStreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Either, Execute, Executor, PgPool, Postgres, SqlStr,
    postgres::{PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

use self::{
    doubt::Doubt,
    words::{Answer, Words, first_row},
};
use super::Settings;

/// How long an idle connection may take to prove that it still lives.
const PROOF: Duration = Duration::from_secs(5);
/// Longer than the server's own limit by so much: where the server is heard, it ends a statement
/// that takes too long, and says so.
const PATIENCE_MARGIN: Duration = Duration::from_secs(5);
/// A statement that lost against another (deadlock, conflict) is said again so often.
const CONFLICTS_MAX: u32 = 3;
/// The pause before it is, the first time.
const CONFLICT_PAUSE: Duration = Duration::from_millis(20);

/// A pool, and how its connections are spoken to. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pool: PgPool,
    between: Between,
    statement_timeout: Duration,
    doubt: Doubt,
    /// Connections are closed after use: the server has few left.
    crowded: Arc<AtomicBool>,
}

impl Link {
    /// Connects, having found out what is between us and the server.
    pub(super) async fn connect(settings: &Settings) -> Result<Self, super::StoreError> {
        let (first, between) = open::alone(settings).await?;
        // it was only to find out
        let _ = sqlx::Connection::close(first).await;
        let options = match between {
            Between::Nothing => open::session_options(settings)?,
            Between::Pooler => open::plain_options(settings)?,
        };
        let doubt = Doubt::default();
        let (before, after) = (doubt.clone(), doubt.clone());
        let crowded = Arc::new(AtomicBool::new(false));
        let few = crowded.clone();
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .acquire_timeout(settings.acquire_timeout)
            .idle_timeout(Duration::from_secs(300))
            // its own test has no bound
            .test_before_acquire(false)
            .before_acquire(move |connection, meta| {
                let doubt = before.clone();
                Box::pin(async move {
                    if doubt.covers(meta.age) {
                        return Ok(false);
                    }
                    let proof = tokio::time::timeout(PROOF, sqlx::Connection::ping(connection));
                    Ok(matches!(proof.await, Ok(Ok(()))))
                })
            })
            .after_release(move |_, meta| {
                let condemned = after.covers(meta.age) || few.load(Ordering::Relaxed);
                Box::pin(async move { Ok(!condemned) })
            })
            .connect_lazy_with(options);
        Ok(Self {
            pool,
            between,
            statement_timeout: settings.statement_timeout,
            doubt,
            crowded,
        })
    }

    /// Over a pool of the caller's own, straight to the server.
    pub(super) fn over(pool: PgPool) -> Self {
        Self {
            pool,
            between: Between::Nothing,
            statement_timeout: super::STATEMENT_TIMEOUT,
            doubt: Doubt::default(),
            crowded: Arc::default(),
        }
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(super) fn between(&self) -> Between {
        self.between
    }

    /// Another connection went silent: those that idle are made anew before they are used.
    pub(super) fn doubt(&self) {
        self.doubt.condemn();
    }

    /// Whether to keep no connection that is not in use.
    pub(super) fn keep_none(&self, none: bool) {
        self.crowded.store(none, Ordering::Relaxed);
    }

    /// A connection of the pool.
    pub(super) async fn acquire(&self) -> Result<Conn, sqlx::Error> {
        let pooled = self.pool.acquire().await?;
        Ok(Conn::pooled(
            pooled,
            self.between,
            self.statement_timeout,
            self.doubt.clone(),
        ))
    }

    /// A transaction, read committed.
    pub(super) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        Tx::begin(self.acquire().await?).await
    }

    /// Says a statement on whatever connection is free, and again where it lost against another.
    async fn answer(&self, words: Words) -> Result<Answer, sqlx::Error> {
        let mut lost = 0;
        loop {
            let mut conn = self.acquire().await?;
            let answer = conn.answer(words.clone()).await;
            match answer {
                Err(error)
                    if lost < CONFLICTS_MAX && words.is_prepared() && is_conflict(&error) =>
                {
                    drop(conn);
                    lost += 1;
                    tracing::debug!(%error, "a statement lost against another; it is said again");
                    tokio::time::sleep(CONFLICT_PAUSE * lost).await;
                }
                other => return other,
            }
        }
    }
}

/// Whether the server took all of it back because of others, and the same may be said again at once.
fn is_conflict(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| matches!(code.as_ref(), "40001" | "40P01"))
}

impl<'c> Executor<'c> for &'c Link {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let words = Words::of(query);
        stream::once(async move { self.answer(words?).await })
            .map_ok(|rows| stream::iter(rows.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let words = Words::of(query);
        async move { Ok(first_row(self.answer(words?).await?)) }.boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        async move { self.acquire().await?.prepare(sql, parameters).await }.boxed()
    }

    /// What the macros ask at compile time, of the driver's own connections.
    fn describe<'e>(self, _: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        let words = "statements are described at compile time";
        async move { Err(sqlx::Error::Protocol(words.to_owned())) }.boxed()
    }
}
