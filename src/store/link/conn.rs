//! One connection of the link, and a transaction on it.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt, TryStreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    AssertSqlSafe, Connection, Either, Execute, Executor, PgConnection, Postgres, SqlStr,
    pool::PoolConnection,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

use super::{
    PATIENCE_MARGIN, PROOF,
    doubt::Doubt,
    open::{Between, begin_words},
    words::{Answer, Words, ends_session, first_row, gone, is_read_only, no_answer},
};

/// A connection, and what is known of it. Dropped, it goes back to its pool, unless an answer is
/// outstanding: then it is closed.
#[derive(Debug)]
pub(in crate::store) struct Conn {
    /// `None` once it was given back.
    raw: Option<Raw>,
    between: Between,
    statement_timeout: Duration,
    doubt: Doubt,
    /// A transaction is open on it.
    in_transaction: bool,
    /// Something was said to it, and the answer was not heard to its end.
    unheard: bool,
}

#[derive(Debug)]
enum Raw {
    Pooled(PoolConnection<Postgres>),
    Alone(Box<PgConnection>),
}

impl Conn {
    pub(super) fn pooled(
        connection: PoolConnection<Postgres>,
        between: Between,
        statement_timeout: Duration,
        doubt: Doubt,
    ) -> Self {
        Self {
            raw: Some(Raw::Pooled(connection)),
            between,
            statement_timeout,
            doubt,
            in_transaction: false,
            unheard: false,
        }
    }

    /// One outside any pool.
    pub(in crate::store) fn alone(
        connection: PgConnection,
        between: Between,
        statement_timeout: Duration,
    ) -> Self {
        Self {
            raw: Some(Raw::Alone(Box::new(connection))),
            between,
            statement_timeout,
            doubt: Doubt::default(),
            in_transaction: false,
            unheard: false,
        }
    }

    /// Takes it out of its pool, as the driver knows it.
    pub(in crate::store) fn detach(mut self) -> Result<PgConnection, sqlx::Error> {
        match self.raw.take() {
            Some(Raw::Pooled(connection)) => Ok(connection.detach()),
            Some(Raw::Alone(connection)) => Ok(*connection),
            None => Err(gone()),
        }
    }

    /// Says a statement, in a transaction of its own where another server may get the next one.
    pub(super) async fn answer(&mut self, words: Words) -> Result<Answer, sqlx::Error> {
        let alone = self.in_transaction || self.between == Between::Nothing;
        if alone || !words.is_prepared() {
            return self.said(words).await;
        }
        self.begin().await?;
        let answer = self.said(words).await;
        match &answer {
            Ok(_) => self.end("commit").await?,
            Err(_) if self.unheard => {}
            // the first error is the one to tell; a connection that cannot roll back is closed
            Err(_) => drop(self.end("rollback").await),
        }
        answer
    }

    /// Says it and hears the answer, within the time that the server itself has, and a little more.
    async fn said(&mut self, mut words: Words) -> Result<Answer, sqlx::Error> {
        words.named &= self.between == Between::Nothing;
        let simple = !words.is_prepared();
        let patience = self.statement_timeout + PATIENCE_MARGIN;
        let doubt = self.doubt.clone();
        let raw = self.begin_saying()?;
        let heard = tokio::time::timeout(patience, raw.fetch_many(words).try_collect()).await;
        let Ok(answer) = heard else {
            doubt.condemn();
            return Err(no_answer());
        };
        if answer.as_ref().is_err_and(is_read_only) {
            doubt.condemn();
        }
        // a script that failed half-way may have left a transaction open
        self.unheard = match &answer {
            Ok(_) => false,
            Err(error) => (simple && !self.in_transaction) || ends_session(error),
        };
        answer
    }

    /// Learns what a statement takes and gives, and leaves no name behind.
    pub(super) async fn prepare(
        &mut self,
        sql: SqlStr,
        parameters: &[PgTypeInfo],
    ) -> Result<PgStatement, sqlx::Error> {
        let lent = self.between == Between::Pooler && !self.in_transaction;
        if lent {
            self.begin().await?;
        }
        let forget = self.between == Between::Pooler;
        let patience = self.statement_timeout + PATIENCE_MARGIN;
        let raw = self.begin_saying()?;
        let learning = async {
            let learned = raw.prepare_with(sql, parameters).await;
            if forget {
                raw.clear_cached_statements().await?;
            }
            learned
        };
        let learned = tokio::time::timeout(patience, learning)
            .await
            .unwrap_or_else(|_| Err(no_answer()));
        self.unheard = learned.as_ref().is_err_and(ends_session);
        if lent && !self.unheard {
            self.end("rollback").await?;
        }
        learned
    }

    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        let words = begin_words(self.between, self.statement_timeout);
        self.said(Words::simple(AssertSqlSafe(words))).await?;
        self.in_transaction = true;
        Ok(())
    }

    async fn end(&mut self, how: &'static str) -> Result<(), sqlx::Error> {
        let ended = self.said(Words::simple(how)).await;
        // one that could not be ended is closed
        self.in_transaction = ended.is_err();
        ended.map(drop)
    }

    fn begin_saying(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        if std::mem::replace(&mut self.unheard, true) {
            return Err(gone());
        }
        match &mut self.raw {
            Some(Raw::Pooled(connection)) => Ok(connection),
            Some(Raw::Alone(connection)) => Ok(connection),
            None => Err(gone()),
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        let Some(Raw::Pooled(mut connection)) = self.raw.take() else {
            return;
        };
        // however this ends, what was not given back whole is closed
        connection.close_on_drop();
        if self.unheard {
            return;
        }
        let in_transaction = self.in_transaction;
        // giving back asks the server whether it is still there: without a bound, a silent one would
        // hold the place in the pool
        let giving_back = async move {
            if !in_transaction || connection.execute("rollback").await.is_ok() {
                connection.return_to_pool().await;
            }
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(PROOF, giving_back));
        }
    }
}

/// A transaction. Dropped without [`commit`](Tx::commit), it is rolled back.
#[derive(Debug)]
pub(in crate::store) struct Tx(Conn);

impl Tx {
    pub(super) async fn begin(mut conn: Conn) -> Result<Self, sqlx::Error> {
        conn.begin().await?;
        Ok(Self(conn))
    }

    /// Commits.
    ///
    /// # Errors
    /// Where no answer came, it is not known whether it was committed.
    pub(in crate::store) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.0.end("commit").await
    }
}

impl Deref for Tx {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.0
    }
}

impl<'c> Executor<'c> for &'c mut Conn {
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
        self.prepare(sql, parameters).boxed()
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
