//! Retention: what has ended goes after a while, a little at a time.

use std::time::Duration;

use uuid::Uuid;

use super::{Store, StoreError};

/// How long what has ended is kept. `None`: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Tasks that are done, with their answers and items. Default: for ever.
    pub done: Option<Duration>,
    /// Tasks that failed. Default: for ever.
    pub failed: Option<Duration>,
    /// Tasks that were cancelled. Default: for ever.
    pub cancelled: Option<Duration>,
    /// Days of events and closed attempts, at least 2. Default 90.
    pub history_days: i32,
    /// Days of the ledger of calls, at least 2. Default 400.
    pub calls_days: i32,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            done: None,
            failed: None,
            cancelled: None,
            history_days: 90,
            calls_days: 400,
        }
    }
}

/// Tasks looked at by one statement.
const CHUNK: i32 = 1_000;
/// How long rows of processes that ended are kept.
const PROCESSES_KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);

impl Store {
    /// One step of retention over tasks. `true`: there is more to look at now.
    ///
    /// # Errors
    /// As every statement.
    pub async fn retain(&self, keep: &Keep) -> Result<bool, StoreError> {
        if (keep.done, keep.failed, keep.cancelled) == (None, None, None) {
            return Ok(false);
        }
        let seconds = |kept: Option<Duration>| kept.map(|kept| kept.as_secs_f64());
        Ok(sqlx::query_scalar!(
            r#"select tidegate.retain_v1(make_interval(secs => $1), make_interval(secs => $2), make_interval(secs => $3), $4) as "more!""#,
            seconds(keep.done),
            seconds(keep.failed),
            seconds(keep.cancelled),
            CHUNK,
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Drops old day partitions, forgets processes that ended long ago, and opens runs again that
    /// something came into late.
    ///
    /// # Errors
    /// As every statement.
    pub async fn tidy_history(&self, keep: &Keep) -> Result<(), StoreError> {
        sqlx::query!(
            r#"select tidegate.reopen_runs_v1() as "reopened", tidegate.forget_processes_v1(make_interval(secs => $1)) as "forgotten""#,
            PROCESSES_KEPT.as_secs_f64(),
        )
        .fetch_one(&self.pool)
        .await?;
        sqlx::query!(
            r#"select tidegate.drop_partitions_v1($1, $2) as "dropped""#,
            keep.history_days,
            keep.calls_days,
        )
        .fetch_one(&self.pool)
        .await?;
        sqlx::query!(
            r#"select tidegate.forget_batches_v1($1) as "forgotten""#,
            keep.history_days
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(())
    }

    /// Deletes these tasks with their answers and items, if they have ended and nobody waits for
    /// them. Returns how many.
    ///
    /// # Errors
    /// As every statement.
    pub async fn delete_tasks(&self, tasks: &[Uuid]) -> Result<i32, StoreError> {
        Ok(
            sqlx::query_scalar!(r#"select tidegate.delete_tasks_v1($1) as "n!""#, tasks)
                .fetch_one(&self.pool)
                .await?,
        )
    }
}
