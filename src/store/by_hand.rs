//! What people do by hand: cancel and retry.

use uuid::Uuid;

use super::{Store, StoreError, unless_in_conflict};

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
        unless_in_conflict(|| async {
            Ok(
                sqlx::query_scalar!(r#"select tidegate.cancel($1::uuid[]) as "n!""#, tasks)
                    .fetch_one(&self.pool)
                    .await?,
            )
        })
        .await
    }

    /// Puts failed and cancelled tasks back as their next generation, but for those that failed by
    /// their sink. Returns how many.
    ///
    /// # Errors
    /// As every statement.
    pub async fn retry(&self, tasks: &[Uuid]) -> Result<i32, StoreError> {
        unless_in_conflict(|| async {
            Ok(
                sqlx::query_scalar!(r#"select tidegate.retry($1::uuid[]) as "n!""#, tasks)
                    .fetch_one(&self.pool)
                    .await?,
            )
        })
        .await
    }

    /// Takes no more tasks of a run; those that run are finished. `false`: it was not active.
    ///
    /// # Errors
    /// As every statement.
    pub async fn pause_run(&self, run: Uuid) -> Result<bool, StoreError> {
        Ok(
            sqlx::query_scalar!(r#"select tidegate.pause_run($1) as "hit!""#, run)
                .fetch_one(&self.pool)
                .await?,
        )
    }

    /// Goes on with a run that was paused. `false`: it was not.
    ///
    /// # Errors
    /// As every statement.
    pub async fn resume_run(&self, run: Uuid) -> Result<bool, StoreError> {
        Ok(
            sqlx::query_scalar!(r#"select tidegate.resume_run($1) as "hit!""#, run)
                .fetch_one(&self.pool)
                .await?,
        )
    }

    /// Stops the loading of a run: whoever loads it is refused from then on. `false`: it was not
    /// loading.
    ///
    /// # Errors
    /// As every statement.
    pub async fn stop_loading(&self, run: Uuid) -> Result<bool, StoreError> {
        let stopped = sqlx::query!(
            "update tidegate.runs set state = 'paused', loader_id = null, loaded_at = clock_timestamp()
              where id = $1 and state = 'loading'",
            run
        )
        .execute(&self.pool)
        .await?;
        Ok(stopped.rows_affected() > 0)
    }

    /// Ends a run as `cancelled`, if nothing of it waits or runs. `false`: something does, or it had
    /// ended.
    ///
    /// # Errors
    /// As every statement.
    pub async fn end_run(&self, run: Uuid) -> Result<bool, StoreError> {
        unless_in_conflict(|| async {
            Ok(
                sqlx::query_scalar!(r#"select tidegate.end_run_v1($1) as "ended!""#, run)
                    .fetch_one(&self.pool)
                    .await?,
            )
        })
        .await
    }

    /// Deletes some tasks or items of an ended run. `None`: nothing of it is left, and it is gone.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a run that has not ended.
    pub async fn delete_run(&self, run: Uuid, limit: i32) -> Result<Option<i32>, StoreError> {
        unless_in_conflict(|| async {
            Ok(sqlx::query_scalar!(
                r#"select tidegate.delete_run_v1($1, $2) as "n""#,
                run,
                limit
            )
            .fetch_one(&self.pool)
            .await?)
        })
        .await
    }

    /// Closes a model until a person opens it. Returns why it was closed in this way before; `None`:
    /// it was not.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a model that is not there.
    pub async fn pause_model(
        &self,
        model: &str,
        reason: &str,
    ) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select tidegate.pause_model($1, $2) as "before""#,
            model,
            reason
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Opens a model that was paused or parked. `false`: it was neither.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a model that is not there.
    pub async fn resume_model(&self, model: &str) -> Result<bool, StoreError> {
        Ok(
            sqlx::query_scalar!(r#"select tidegate.resume_model($1) as "hit!""#, model)
                .fetch_one(&self.pool)
                .await?,
        )
    }

    /// Ids of runs from `from` to `to`, both included: at most three, to see whether a prefix names
    /// one.
    ///
    /// # Errors
    /// As every statement.
    pub async fn runs_between(&self, from: Uuid, to: Uuid) -> Result<Vec<Uuid>, StoreError> {
        Ok(sqlx::query_scalar!(
            "select id from tidegate.runs where id between $1 and $2 order by id limit 3",
            from,
            to
        )
        .fetch_all(&self.pool)
        .await?)
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
