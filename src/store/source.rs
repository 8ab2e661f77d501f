//! Runs the user's own source.sql: checked first, then streamed; read only, whatever it says.

use std::time::Duration;

use futures_util::StreamExt;
use sqlx::{
    AssertSqlSafe, Column, Connection, Executor, Postgres, SqlSafeStr, Statement,
    postgres::PgArguments,
};
use tokio::sync::mpsc;

use super::{Store, StoreError, link::Link};

/// Rows on their way at once at most.
pub(super) const BUFFER: usize = 256;
/// The server may take an hour for a source; an answer is not waited for longer than that.
const ROW_WITHIN: Duration = Duration::from_secs(3_660);

impl Store {
    /// The columns that source.sql gives, without running it.
    ///
    /// # Errors
    /// [`StoreError::UserSql`] with the server's words.
    pub async fn source_columns(&self, sql: &str) -> Result<Vec<String>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let statement = connection
            .prepare(AssertSqlSafe(wrapped("select *", sql)).into_sql_str())
            .await
            .map_err(user_words)?;
        Ok(statement
            .columns()
            .iter()
            .map(|column| column.name().to_owned())
            .collect())
    }

    /// Streams the rows of source.sql as JSON texts, in one read-only transaction. Memory stays
    /// flat: rows are read from the socket as they are taken from the channel.
    ///
    /// An error ends the stream as its last message.
    pub fn stream_source(&self, sql: &str) -> mpsc::Receiver<Result<String, StoreError>> {
        let (sender, receiver) = mpsc::channel(BUFFER);
        let text = wrapped("select row_to_json(source_row)::text", sql);
        let link = self.pool.clone();
        // its own task: it ends when the receiver is dropped, and rolls back by then
        tokio::spawn(async move {
            let none = PgArguments::default();
            if let Err(error) = stream(&link, text, none, user_words, &sender).await {
                // nobody listens any more: nothing to tell
                let _ = sender.send(Err(error)).await;
            }
        });
        receiver
    }
}

/// Sends the single column of each row, read in one read-only transaction with a time limit of its
/// own. `told`: what an error of the statement means.
pub(super) async fn stream<T>(
    link: &Link,
    text: String,
    arguments: PgArguments,
    told: fn(sqlx::Error) -> StoreError,
    sender: &mpsc::Sender<Result<T, StoreError>>,
) -> Result<(), StoreError>
where
    T: Send + Unpin + sqlx::Type<Postgres> + for<'r> sqlx::Decode<'r, Postgres>,
{
    // Detached: where nobody takes the rest of the rows, or one fails, the connection is dropped
    // with what it still has to say, instead of being read to the end for the pool.
    let mut connection = link.acquire().await?.detach()?;
    connection.execute("begin read only").await?;
    connection
        .execute("set local statement_timeout = '1h'")
        .await?;
    {
        // without a name: it is said once, and a pooler would keep the name for others
        let rows =
            sqlx::query_scalar_with::<_, T, _>(AssertSqlSafe(text), arguments).persistent(false);
        let mut rows = rows.fetch(&mut connection);
        // the server's own limit strikes first, where it is heard
        while let Some(row) = tokio::time::timeout(ROW_WITHIN, rows.next())
            .await
            .map_err(|_| StoreError::NoAnswer)?
        {
            let row = row.map_err(told)?;
            if sender.send(Ok(row)).await.is_err() {
                return Ok(());
            }
        }
    }
    // a pooler drops a server whose client goes away in a transaction
    connection.execute("commit").await?;
    Ok(connection.close().await?)
}

/// The user's statement as a subquery on lines of its own, so that a comment at its end does no harm.
fn wrapped(head: &str, sql: &str) -> String {
    let inner = sql.trim_end().trim_end_matches(';');
    format!("{head} from (\n{inner}\n) as source_row")
}

fn user_words(error: sqlx::Error) -> StoreError {
    let Some(database) = error.as_database_error() else {
        return error.into();
    };
    let mut message = database.message().to_owned();
    let server = database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>();
    if let Some(hint) = server.and_then(|e| e.hint()) {
        message = format!("{message}\n  help: {hint}");
    }
    StoreError::UserSql {
        file: "source.sql",
        message,
    }
}
