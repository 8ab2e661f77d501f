//! Interactive calls: tasks that somebody waits for, claimed by who asked and by nobody else.

use std::time::Duration;

use uuid::Uuid;

use super::{Store, StoreError, local::Hit};

/// Tasks that somebody waits for, of one lane.
#[derive(Clone, Debug)]
pub struct NewAsk {
    /// The standing run of such tasks.
    pub run: Uuid,
    /// The tasks to be, at least one.
    pub tasks: Vec<AskedTask>,
    /// Numbers of the models, the first choice first.
    pub ladder: Vec<i32>,
    /// Output tokens that are reserved of each.
    pub est_output: i32,
    /// Tokens of the longest answer. `None`: not bounded, or there is none in tokens.
    pub max_output: Option<i32>,
    /// How long a call may take, in milliseconds.
    pub timeout_ms: i32,
    /// How old an answer may be that is used again, in seconds. `None`: their answers are not kept.
    pub cache_s: Option<i64>,
    /// How many may share a call, from 1, and with how many input tokens together.
    pub pack: (i32, i32),
    /// After so long they are not worth starting any more.
    pub wait: Duration,
    /// Attempts each may have.
    pub max_attempts: i32,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct AskedTask {
    /// Its id to be.
    pub task: Uuid,
    /// What is asked, JSON text.
    pub payload: String,
    /// Input tokens, estimated.
    pub est_input: i32,
    /// Key of the normalised request.
    pub cache_key: Vec<u8>,
}

impl Store {
    /// Makes tasks that their caller claims by their ids ([`claim`](Self::claim)).
    ///
    /// # Errors
    /// As every statement.
    pub async fn ask(&self, ask: &NewAsk) -> Result<(), StoreError> {
        let ids: Vec<Uuid> = ask.tasks.iter().map(|it| it.task).collect();
        let payloads: Vec<String> = ask.tasks.iter().map(|it| it.payload.clone()).collect();
        let est_inputs: Vec<i32> = ask.tasks.iter().map(|it| it.est_input).collect();
        let keys: Vec<Vec<u8>> = ask.tasks.iter().map(|it| it.cache_key.clone()).collect();
        sqlx::query!(
            "select tidegate.ask_v2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, make_interval(secs => $13), $14)",
            ask.run,
            &ids,
            &payloads,
            &est_inputs,
            &keys,
            &ask.ladder,
            ask.est_output,
            ask.max_output,
            ask.timeout_ms,
            ask.cache_s,
            ask.pack.0,
            ask.pack.1,
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

    /// The answers kept under these keys that are no older, each with the place of its key; counted as
    /// hits of this worker.
    ///
    /// # Errors
    /// As every statement.
    pub async fn kept_answers(
        &self,
        keys: &[Vec<u8>],
        age_s: i64,
        worker: &str,
    ) -> Result<Vec<(usize, Hit)>, StoreError> {
        let rows = sqlx::query!(
            r#"select o_place as "place!", o_answer as "answer!", o_model as "model!", o_model_version as model_version
                 from tidegate.kept_answers_v1($1, $2, $3)"#,
            keys,
            age_s,
            worker,
        )
        .fetch_all(&self.pool)
        .await?;
        let hits = rows.into_iter().map(|row| {
            let kept = Hit {
                answer: row.answer,
                model: row.model,
                model_version: row.model_version,
            };
            (usize::try_from(row.place - 1).unwrap_or(usize::MAX), kept)
        });
        Ok(hits.collect())
    }
}
