//! Lists that somebody waits for and that go by batch: made of ordinary tasks, and what became of those.

use uuid::Uuid;

use super::{Store, StoreError, interactive::AskedTask};
use crate::llm::Usage;

/// Tasks that go into batches as they are made.
#[derive(Clone, Debug)]
pub struct NewList<'a> {
    /// Their worker.
    pub worker: &'a str,
    /// They, at least one.
    pub tasks: &'a [AskedTask],
    /// The model that is asked by batch.
    pub model_id: i32,
    /// Its place in the ladder.
    pub rung: i16,
    /// Items of a batch at most.
    pub items: usize,
    /// After so many seconds what is not back is asked one by one, and so is what there is no room for now.
    /// `None`: never.
    pub rescue_after_s: Option<f64>,
    /// The choice that it follows from.
    pub decision: Uuid,
    /// Ids and tokens of as many batches as they may be.
    pub batches: &'a [(Uuid, String)],
}

/// What became of a task of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListOutcome {
    /// The task.
    pub task: Uuid,
    /// done, failed, cancelled; gone: nobody knows of it any more.
    pub state: String,
    /// A fixed word for why there is no answer.
    pub error_class: Option<String>,
    /// Why, in words.
    pub error: Option<String>,
    /// Its answer.
    pub answer: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// That model as its provider names it.
    pub model_version: Option<String>,
    /// It was kept already, or an equal task asked.
    pub cached: bool,
    /// A batch brought it.
    pub by_batch: bool,
    /// Tokens of it.
    pub usage: Option<Usage>,
    /// What it cost, in micro-dollars.
    pub cost_microusd: Option<i64>,
    /// How long the call took that brought it, in milliseconds.
    pub latency_ms: Option<i32>,
}

impl Store {
    /// Makes ordinary tasks of these, and takes them into batches in the same transaction. Returns how many
    /// are in batches; the others need no asking, or wait for room.
    ///
    /// # Errors
    /// As every statement; [`StoreError::LeaseLost`] where the process was declared lost.
    pub async fn make_list(&self, process: Uuid, list: &NewList<'_>) -> Result<usize, StoreError> {
        let ids: Vec<Uuid> = list.tasks.iter().map(|it| it.task).collect();
        let payloads: Vec<String> = list.tasks.iter().map(|it| it.payload.clone()).collect();
        let est_inputs: Vec<i32> = list.tasks.iter().map(|it| it.est_input).collect();
        let keys: Vec<Vec<u8>> = list.tasks.iter().map(|it| it.cache_key.clone()).collect();
        let (batches, tokens): (Vec<Uuid>, Vec<String>) = list.batches.iter().cloned().unzip();
        let formed = sqlx::query_scalar!(
            r#"select tidegate.make_list_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) as "n!""#,
            process,
            list.worker,
            &ids,
            &payloads,
            &est_inputs,
            &keys,
            list.model_id,
            list.rung,
            i32::try_from(list.items).unwrap_or(i32::MAX),
            list.rescue_after_s,
            list.decision,
            &batches,
            &tokens,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(usize::try_from(formed).unwrap_or(0))
    }

    /// Of these tasks, those that have ended.
    ///
    /// # Errors
    /// As every statement.
    pub async fn list_outcomes(&self, tasks: &[Uuid]) -> Result<Vec<ListOutcome>, StoreError> {
        let rows = sqlx::query!(
            r#"select z.id as "task!", coalesce(t.state, 'gone') as "state!", t.error_class as "error_class?", t.last_error as "error?",
                      r.answer as "answer?", r.model as "model?", r.model_version as "model_version?", coalesce(r.cached, false) as "cached!",
                      (c.batch_id is not null) as "by_batch!", c.input_tokens as "input?", c.cached_tokens as "cached_tokens?",
                      c.output_tokens as "output?", c.thought_tokens as "thought?", c.cost_microusd as "cost?", c.latency_ms as "latency_ms?"
                 from unnest($1::uuid[]) z (id)
                 left join tidegate.tasks t on t.id = z.id
                 left join tidegate.task_results r on r.task_id = t.id and r.generation = t.generation and t.state = 'done'
                 left join tidegate.calls c on c.id = r.call_id and c.started_at = r.started_at
                where t.id is null or t.state in ('done', 'failed', 'cancelled')"#,
            tasks
        )
        .fetch_all(&self.pool)
        .await?;
        let count = |tokens: Option<i64>| tokens.unwrap_or(0).unsigned_abs();
        let outcomes = rows.into_iter().map(|row| ListOutcome {
            task: row.task,
            state: row.state,
            error_class: row.error_class,
            error: row.error,
            answer: row.answer,
            model: row.model,
            model_version: row.model_version,
            cached: row.cached,
            by_batch: row.by_batch,
            usage: row.input.map(|input| Usage {
                input_tokens: input.unsigned_abs(),
                cached_tokens: count(row.cached_tokens),
                output_tokens: count(row.output),
                thought_tokens: count(row.thought),
            }),
            cost_microusd: row.cost,
            latency_ms: row.latency_ms,
        });
        Ok(outcomes.collect())
    }

    /// Why tasks of this run are asked as they are, by the newest choice for it.
    ///
    /// # Errors
    /// As every statement.
    pub async fn newest_reason(&self, run: Uuid) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            "select reason from tidegate.strategy_decisions where run_id = $1 order by at desc, id desc limit 1",
            run
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Whether batches of this worker are under way, or leave something to be cleaned up.
    ///
    /// # Errors
    /// As every statement.
    pub async fn has_batches(&self, worker: &str) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select exists (select from tidegate.provider_batches where worker = $1 and state <> 'over') as "any!""#,
            worker
        )
        .fetch_one(&self.pool)
        .await?)
    }
}
