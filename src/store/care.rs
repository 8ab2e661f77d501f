//! Care that any process may take, safely twice at once.

use std::time::Duration;

use super::{Store, StoreError};

/// Rows moved by one statement of care at most.
pub const CHUNK: i32 = 500;

impl Store {
    /// Moves what is due from scheduled to ready. Returns how many.
    ///
    /// # Errors
    /// As every statement.
    pub async fn promote(&self) -> Result<i32, StoreError> {
        Ok(
            sqlx::query_scalar!(r#"select tidegate.promote_v1($1) as "n!""#, CHUNK)
                .fetch_one(&self.pool)
                .await?,
        )
    }

    /// Declares lost the processes silent for longer than lease and `grace`, then gives back what
    /// lost processes held; with `overdue` also attempts past their deadline, which reads the whole
    /// book. Returns how many tasks came back or were set aside.
    ///
    /// # Errors
    /// As every statement.
    pub async fn rescue(&self, grace: Duration, overdue: bool) -> Result<i32, StoreError> {
        sqlx::query!(
            r#"select tidegate.declare_lost_v1(make_interval(secs => $1)) as "id!""#,
            grace.as_secs_f64()
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(sqlx::query_scalar!(
            r#"select tidegate.rescue_v2($1, $2) as "n!""#,
            CHUNK,
            overdue
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Ends active runs of which nothing is left, and keeps the report of one that has ended. Returns how
    /// many it ended.
    ///
    /// # Errors
    /// As every statement.
    pub async fn finish_runs(&self) -> Result<i32, StoreError> {
        let ended = sqlx::query_scalar!(r#"select tidegate.finish_runs_v1() as "n!""#)
            .fetch_one(&self.pool)
            .await?;
        self.keep_next_report().await?;
        Ok(ended)
    }

    /// Sums up old counts of runs. Returns how many rows were summed.
    ///
    /// # Errors
    /// As every statement.
    pub async fn sum_counts(&self) -> Result<i32, StoreError> {
        Ok(
            sqlx::query_scalar!(r#"select tidegate.sum_counts_v1() as "n!""#)
                .fetch_one(&self.pool)
                .await?,
        )
    }

    /// Makes the partitions of the coming days and keeps the limiter's book small.
    ///
    /// # Errors
    /// As every statement.
    pub async fn housekeeping(&self) -> Result<(), StoreError> {
        // the book is trimmed whatever became of the partitions
        let partitions = sqlx::query("select tidegate.ensure_partitions()")
            .execute(&self.pool)
            .await;
        sqlx::query("select tidegate.trim_book_v1()")
            .execute(&self.pool)
            .await?;
        Ok(partitions.map(drop)?)
    }
}
