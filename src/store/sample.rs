//! Runs the setup and load statements of a worker's own sample data.

use serde_json::value::RawValue;
use sqlx::{AssertSqlSafe, types::Json};

use super::{Store, StoreError};

impl Store {
    /// Runs a script of the sample folder (several statements), all or nothing.
    ///
    /// # Errors
    /// [`StoreError::UserSql`] with the server's words.
    pub async fn run_script(&self, file: &'static str, sql: &str) -> Result<(), StoreError> {
        sqlx::raw_sql(AssertSqlSafe(format!("begin;\n{sql}\n;\ncommit;")))
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(|error| words(file, error))
    }

    /// Runs the one statement of `sample/load.sql` with a chunk of rows as its `$1` (jsonb array).
    ///
    /// # Errors
    /// [`StoreError::UserSql`] with the server's words.
    pub async fn load_sample(&self, sql: &str, rows: &[Box<RawValue>]) -> Result<(), StoreError> {
        sqlx::query(AssertSqlSafe(sql.to_owned()))
            .bind(Json(rows))
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(|error| words("sample/load.sql", error))
    }

    /// Forgets all of Tidegate's own tables and what they hold. For the demo's own database only.
    ///
    /// # Errors
    /// [`StoreError::UserSql`] with the server's words.
    pub async fn forget_all(&self) -> Result<(), StoreError> {
        sqlx::query("drop schema if exists tidegate cascade")
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(|error| words("drop schema", error))
    }

    /// One number from a statement of ours or of the sample's, for summaries.
    ///
    /// # Errors
    /// [`StoreError::UserSql`] with the server's words.
    pub async fn count(&self, sql: &'static str) -> Result<i64, StoreError> {
        sqlx::query_scalar(sql)
            .fetch_one(&self.pool)
            .await
            .map_err(|error| words("sample", error))
    }
}

fn words(file: &'static str, error: sqlx::Error) -> StoreError {
    match error.as_database_error() {
        Some(database) => StoreError::UserSql {
            file,
            message: database.message().to_owned(),
        },
        None => error.into(),
    }
}
