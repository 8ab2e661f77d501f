//! What people do by hand: cancel and retry.

use uuid::Uuid;

use super::{Store, StoreError};

/// A task that failed by its sink, with the definition whose sink is applied again.
#[derive(Clone, Debug)]
pub struct SinkFailed {
    /// The task.
    pub task: Uuid,
    /// The hash its definition is kept under.
    pub definition: Vec<u8>,
}

impl Store {
    /// Cancels tasks that have not ended. Returns how many.
    ///
    /// # Errors
    /// As every statement.
    pub async fn cancel(&self, tasks: &[Uuid]) -> Result<i32, StoreError> {
        Ok(
            sqlx::query_scalar!(r#"select tidegate.cancel($1::uuid[]) as "n!""#, tasks)
                .fetch_one(&self.pool)
                .await?,
        )
    }

    /// Puts failed and cancelled tasks back as their next generation, but for those that failed by
    /// their sink. Returns how many.
    ///
    /// # Errors
    /// As every statement.
    pub async fn retry(&self, tasks: &[Uuid]) -> Result<i32, StoreError> {
        Ok(
            sqlx::query_scalar!(r#"select tidegate.retry($1::uuid[]) as "n!""#, tasks)
                .fetch_one(&self.pool)
                .await?,
        )
    }

    /// Those of these tasks that failed by their sink.
    ///
    /// # Errors
    /// As every statement.
    pub async fn sink_failed(&self, tasks: &[Uuid]) -> Result<Vec<SinkFailed>, StoreError> {
        Ok(sqlx::query_as!(
            SinkFailed,
            "select t.id as task, u.definition_hash as definition
               from tidegate.tasks t join tidegate.runs u on u.id = t.run_id
              where t.id = any($1) and t.state = 'failed' and t.error_class = 'sink' order by t.id",
            tasks
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
