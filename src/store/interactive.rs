//! Interactive calls: tasks that somebody waits for, claimed by who asked and by nobody else.

use std::time::Duration;

use uuid::Uuid;

use super::{Store, StoreError, local::Hit};

/// A task that somebody waits for.
#[derive(Clone, Debug)]
pub struct NewAsk {
    /// The task to be.
    pub task: Uuid,
    /// The standing run of such tasks.
    pub run: Uuid,
    /// What is asked, JSON text.
    pub payload: String,
    /// Numbers of the models, the first choice first.
    pub ladder: Vec<i32>,
    /// Input tokens, estimated.
    pub est_input: i32,
    /// Output tokens that are reserved.
    pub est_output: i32,
    /// Tokens of the longest answer. `None`: not bounded.
    pub max_output: Option<i32>,
    /// How long a call may take, in milliseconds.
    pub timeout_ms: i32,
    /// Key of the normalised request.
    pub cache_key: Vec<u8>,
    /// How old an answer may be that is used again, in seconds. `None`: its answer is not kept.
    pub cache_s: Option<i64>,
    /// After so long it is not worth starting any more.
    pub wait: Duration,
    /// Attempts it may have.
    pub max_attempts: i32,
}

impl Store {
    /// Makes a task that its caller claims by its id ([`claim`](Self::claim)).
    ///
    /// # Errors
    /// As every statement.
    pub async fn ask(&self, ask: &NewAsk) -> Result<(), StoreError> {
        sqlx::query!(
            "select tidegate.ask_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, make_interval(secs => $11), $12)",
            ask.run,
            ask.task,
            ask.payload,
            &ask.ladder,
            ask.est_input,
            ask.est_output,
            ask.max_output,
            ask.timeout_ms,
            ask.cache_key,
            ask.cache_s,
            ask.wait.as_secs_f64(),
            ask.max_attempts,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Why no model of this task may be called until a person acts. `None`: one of them may, now or later.
    ///
    /// # Errors
    /// As every statement.
    pub async fn all_parked(&self, task: Uuid) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select string_agg(m.model || ': ' || coalesce(p.parked, m.parked), '; ') as words
                 from tidegate.tasks t
                 join tidegate.models m on m.model = any (t.model || t.fallback_models)
                 join tidegate.providers p on p.name = m.provider
                where t.id = $1
               having bool_and(p.parked is not null or m.parked is not null)"#,
            task
        )
        .fetch_optional(&self.pool)
        .await?
        .flatten())
    }

    /// What closes each of these models that is closed now, in words.
    ///
    /// # Errors
    /// As every statement.
    pub async fn closed_by(&self, models: &[String]) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select g.model || ': ' || g.closed_by as "words!" from tidegate.model_gates g
                where g.model = any($1) and g.closed_by is not null order by array_position($1, g.model)"#,
            models
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// The answer kept under this key, if it is no older; counted as a hit of this worker.
    ///
    /// # Errors
    /// As every statement.
    pub async fn kept_answer(
        &self,
        key: &[u8],
        age_s: i64,
        worker: &str,
    ) -> Result<Option<Hit>, StoreError> {
        Ok(sqlx::query_as!(
            Hit,
            r#"select o_answer as "answer!", o_model as "model!", o_model_version as model_version
                 from tidegate.kept_answer_v1($1, $2, $3)"#,
            key,
            age_s,
            worker,
        )
        .fetch_optional(&self.pool)
        .await?)
    }
}
