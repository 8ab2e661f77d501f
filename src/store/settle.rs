//! Settle: write down once what became of claimed tasks, the user's sink in the same transaction.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Either, Executor, PgConnection, SqlSafeStr, Statement, types::Json};
use uuid::Uuid;

use super::{Store, StoreError};

/// An accepted answer of a claimed task.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The claim's identity and where the row stands.
    pub claim: ClaimKey,
    /// The item's id, for the sink.
    pub item: Option<String>,
    /// The item's version, for the sink.
    pub version: Option<String>,
    /// The accepted answer.
    pub answer: Value,
    /// What the call used.
    pub spent: Spent,
    /// The exact model that answered, as the provider names it.
    pub model_version: Option<String>,
    /// The provider's id of the answer.
    pub response_id: Option<String>,
}

/// A claimed task whose attempt brought no answer.
#[derive(Clone, Debug)]
pub struct Unanswered {
    /// The claim's identity.
    pub claim: ClaimKey,
    /// What becomes of the task.
    pub fate: Fate,
    /// Ask this model no more for this task.
    pub exhaust_rung: bool,
    /// A fixed word.
    pub error_class: String,
    /// The reason in words.
    pub error: String,
    /// `false`: it is certain that nothing was sent.
    pub sent: bool,
    /// HTTP status, if one came.
    pub http_status: Option<u16>,
    /// What the call used.
    pub spent: Spent,
}

/// What becomes of a task whose attempt brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Back to ready; no attempt is spent.
    Release,
    /// Tried again after so many milliseconds; an attempt is spent.
    Reschedule {
        /// Back-off in milliseconds.
        delay_ms: i64,
    },
    /// Ended.
    Fail,
}

/// What identifies a claim, and the call made under it.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimKey {
    /// The task.
    pub task: Uuid,
    /// Drawn by the claim.
    pub nonce: i64,
    /// Raised by the claim.
    pub epoch: i32,
    /// Its number.
    pub attempt: i32,
    /// The task's lane.
    pub lane: i32,
    /// The task's priority.
    pub priority: f64,
    /// The model called.
    pub model: String,
    /// Its number in the database.
    pub model_id: i32,
    /// The call.
    pub call: Uuid,
    /// When it was granted.
    pub granted_at: DateTime<Utc>,
}

impl From<&super::claim::Claimed> for ClaimKey {
    fn from(claimed: &super::claim::Claimed) -> Self {
        Self {
            task: claimed.task,
            nonce: claimed.nonce,
            epoch: claimed.epoch,
            attempt: claimed.attempt,
            lane: claimed.lane,
            priority: claimed.priority,
            model: claimed.model.clone(),
            model_id: claimed.model_id,
            call: claimed.call,
            granted_at: claimed.granted_at,
        }
    }
}

/// What a call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Tokens, where the provider counted them.
    pub usage: Option<crate::llm::Usage>,
    /// Micro-dollars. `None`: no price is known.
    pub cost_microusd: Option<i64>,
    /// Whether the cost is an estimate.
    pub estimated: bool,
    /// From sending to the last byte, in milliseconds.
    pub latency_ms: i32,
}

/// What became of an accepted answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Stored; the task is done.
    Done,
    /// The lease was lost, but the task waited again: the late answer completed it.
    Salvaged,
    /// Somebody else ended the task: only the cost was kept.
    Superseded,
    /// Stored, but the user's sink refused it: the task failed with class `sink`.
    SinkFailed,
}

impl Store {
    /// Stores accepted answers of one worker definition in one transaction, its sink included.
    ///
    /// When the sink refuses the batch, each answer is tried alone, so that one bad row fails alone.
    /// Runs to its end even if the caller goes away.
    ///
    /// # Errors
    /// As every statement; nothing is stored then, and the same call may be made again.
    pub async fn settle_done(
        &self,
        process: Uuid,
        answers: Vec<Answered>,
        sink: Option<String>,
    ) -> Result<Vec<(Uuid, Settled)>, StoreError> {
        let store = self.clone();
        // its own task: a transaction must never be dropped half-way: the pool would hand out the open one (sqlx 0.9)
        tokio::spawn(async move { store.settle_done_to_the_end(process, &answers, sink).await })
            .await
            .map_err(|error| StoreError::Refused(format!("settle stopped: {error}")))?
    }

    async fn settle_done_to_the_end(
        &self,
        process: Uuid,
        answers: &[Answered],
        sink: Option<String>,
    ) -> Result<Vec<(Uuid, Settled)>, StoreError> {
        let meta: Vec<DoneRow<'_>> = answers.iter().map(DoneRow::from).collect();
        let texts: Vec<String> = answers.iter().map(|a| a.answer.to_string()).collect();
        let mut transaction = self.pool.begin().await?;
        let mut fates = settle_rows(&mut transaction, process, &meta, &texts).await?;
        if fates.iter().any(|(_, fate)| *fate == Settled::Superseded) {
            // a rescue may have been moving the row while we waited for it: a new snapshot sees where
            let again = settle_rows(&mut transaction, process, &meta, &texts).await?;
            for ((_, fate), (_, second)) in fates.iter_mut().zip(again) {
                if second == Settled::Salvaged {
                    *fate = second;
                }
            }
        }
        if let Some(sink) = sink {
            let stored: Vec<SinkRow> = answers
                .iter()
                .filter(|answer| {
                    fates.iter().any(|(task, fate)| {
                        *task == answer.claim.task && *fate != Settled::Superseded
                    })
                })
                .map(SinkRow::from)
                .collect();
            let refused = apply_sink(&mut transaction, &sink, &stored).await?;
            for (task, words) in &refused {
                sqlx::query!(
                    "select tidegate.settle_sink_failed_v1($1, $2, $3)",
                    process,
                    &[*task],
                    words,
                )
                .execute(&mut *transaction)
                .await?;
            }
            for (task, fate) in &mut fates {
                if refused.iter().any(|(failed, _)| failed == task) {
                    *fate = Settled::SinkFailed;
                }
            }
        }
        transaction.commit().await?;
        Ok(fates)
    }

    /// Checks a sink without running it: one statement that takes one parameter, the answers.
    ///
    /// # Errors
    /// [`StoreError::UserSql`] with the server's words, or with how many parameters it takes.
    pub async fn check_sink(&self, sink: &str) -> Result<(), StoreError> {
        let refused = |message: String| StoreError::UserSql {
            file: "sink.sql",
            message,
        };
        let mut connection = self.pool.acquire().await?;
        let statement = connection
            .prepare(AssertSqlSafe(sink.to_owned()).into_sql_str())
            .await
            .map_err(|error| match error.as_database_error() {
                Some(database) => refused(database.message().to_owned()),
                None => error.into(),
            })?;
        let parameters = match statement.parameters() {
            Some(Either::Left(types)) => types.len(),
            Some(Either::Right(count)) => count,
            None => 0,
        };
        if parameters == 1 {
            return Ok(());
        }
        Err(refused(format!(
            "it takes {parameters} parameters\n  help: write one statement whose only parameter is \
             $1::jsonb, the array of answers"
        )))
    }

    /// Writes down attempts that brought no answer. Returns the tasks whose lease still held; of the
    /// others only the cost is kept.
    ///
    /// # Errors
    /// As every statement; nothing is written then, and the same call may be made again.
    pub async fn settle_open(
        &self,
        process: Uuid,
        attempts: &[Unanswered],
    ) -> Result<Vec<Uuid>, StoreError> {
        let meta: Vec<OpenRow<'_>> = attempts.iter().map(OpenRow::from).collect();
        Ok(sqlx::query_scalar!(
            r#"select tidegate.settle_open_v1($1, $2) as "id!""#,
            process,
            Json(meta) as _,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Applies the sink again to answers that are kept of tasks that failed by it, without a call.
    /// Returns the tasks that are done now, and those refused again with the reason.
    ///
    /// # Errors
    /// As every statement; nothing is changed then.
    pub async fn reapply_sink(
        &self,
        tasks: &[Uuid],
        sink: String,
    ) -> Result<(Vec<Uuid>, Vec<(Uuid, String)>), StoreError> {
        let store = self.clone();
        let tasks = tasks.to_vec();
        tokio::spawn(async move { store.reapply_sink_to_the_end(&tasks, &sink).await })
            .await
            .map_err(|error| StoreError::Refused(format!("retry stopped: {error}")))?
    }

    async fn reapply_sink_to_the_end(
        &self,
        tasks: &[Uuid],
        sink: &str,
    ) -> Result<(Vec<Uuid>, Vec<(Uuid, String)>), StoreError> {
        let mut transaction = self.pool.begin().await?;
        let rows = sqlx::query!(
            r#"select t.id, t.item_id, i.version as "version?", r.answer, r.model, r.finished_at
                 from tidegate.tasks t
                 left join tidegate.items i on i.run_id = t.run_id and i.item_id = t.item_id
                 join tidegate.task_results r on r.task_id = t.id and r.generation = t.generation
                where t.id = any($1) and t.state = 'failed' and t.error_class = 'sink'
                order by t.id
                  for no key update of t"#,
            tasks
        )
        .fetch_all(&mut *transaction)
        .await?;
        let kept: Vec<SinkRow> = rows
            .into_iter()
            .map(|row| SinkRow {
                item_id: row.item_id,
                task_id: row.id,
                version: row.version,
                answer: storable(&serde_json::from_str(&row.answer).unwrap_or(Value::Null)),
                model: row.model,
                finished_at: row.finished_at,
            })
            .collect();
        let refused = apply_sink(&mut transaction, sink, &kept).await?;
        let done: Vec<Uuid> = kept
            .iter()
            .map(|row| row.task_id)
            .filter(|task| !refused.iter().any(|(failed, _)| failed == task))
            .collect();
        sqlx::query!("select tidegate.sink_applied_v1($1)", &done)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok((done, refused))
    }
}

/// One pass over the answers, in their order.
async fn settle_rows(
    connection: &mut PgConnection,
    process: Uuid,
    meta: &[DoneRow<'_>],
    texts: &[String],
) -> Result<Vec<(Uuid, Settled)>, StoreError> {
    let rows = sqlx::query!(
        r#"select o_task as "task!", o_fate as "fate!" from tidegate.settle_done_v1($1, $2, $3)"#,
        process,
        Json(meta) as _,
        texts,
    )
    .fetch_all(connection)
    .await?;
    Ok(meta
        .iter()
        .map(|answer| {
            let fate = rows.iter().find(|row| row.task == answer.task);
            let fate = match fate.map(|row| row.fate.as_str()) {
                Some("done") => Settled::Done,
                Some("salvaged") => Settled::Salvaged,
                _ => Settled::Superseded,
            };
            (answer.task, fate)
        })
        .collect())
}

/// Runs the user's sink for these rows; when it refuses, for each alone. Returns who was refused.
async fn apply_sink(
    connection: &mut PgConnection,
    sink: &str,
    rows: &[SinkRow],
) -> Result<Vec<(Uuid, String)>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    match try_sink(connection, sink, rows).await? {
        None => Ok(Vec::new()),
        Some(words) if rows.len() == 1 => Ok(vec![(rows[0].task_id, words)]),
        Some(_) => {
            let mut refused = Vec::new();
            for row in rows {
                let alone = std::slice::from_ref(row);
                if let Some(words) = try_sink(connection, sink, alone).await? {
                    refused.push((row.task_id, words));
                }
            }
            Ok(refused)
        }
    }
}

/// One execution of the sink under a savepoint. `Some`: refused, with the server's words.
async fn try_sink(
    connection: &mut PgConnection,
    sink: &str,
    rows: &[SinkRow],
) -> Result<Option<String>, StoreError> {
    sqlx::query("savepoint sink")
        .execute(&mut *connection)
        .await?;
    let outcome = sqlx::query(AssertSqlSafe(sink.to_owned()))
        .bind(Json(rows))
        .execute(&mut *connection)
        .await;
    match outcome {
        Ok(_) => {
            sqlx::query("release savepoint sink")
                .execute(&mut *connection)
                .await?;
            Ok(None)
        }
        Err(error) => {
            let refusal = StoreError::from(error);
            if refusal.ends_transaction() {
                return Err(refusal);
            }
            sqlx::query("rollback to savepoint sink")
                .execute(&mut *connection)
                .await?;
            Ok(Some(cut(&format!("sink.sql: {refusal}"))))
        }
    }
}

/// Words for a column: no U+0000, at most 1,000 characters.
fn cut(words: &str) -> String {
    words.chars().filter(|c| *c != '\0').take(1000).collect()
}

/// The same value with U+0000 replaced by U+FFFD in every string: jsonb can hold anything else. The
/// exact answer stands in `task_results`.
fn storable(value: &Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => Value::String(text.replace('\0', "\u{fffd}")),
        Value::Array(list) => list.iter().map(storable).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, inner)| (key.replace('\0', "\u{fffd}"), storable(inner)))
            .collect(),
        other => other.clone(),
    }
}

/// One element of the sink's parameter.
#[derive(Serialize)]
struct SinkRow {
    item_id: Option<String>,
    task_id: Uuid,
    version: Option<String>,
    answer: Value,
    model: String,
    finished_at: DateTime<Utc>,
}

impl From<&Answered> for SinkRow {
    fn from(answered: &Answered) -> Self {
        Self {
            item_id: answered.item.clone(),
            task_id: answered.claim.task,
            version: answered.version.clone(),
            answer: storable(&answered.answer),
            model: answered.claim.model.clone(),
            finished_at: answered.claim.granted_at
                + chrono::Duration::milliseconds(answered.spent.latency_ms.into()),
        }
    }
}

#[derive(Serialize)]
struct DoneRow<'a> {
    task: Uuid,
    nonce: i64,
    epoch: i32,
    attempt: i32,
    lane: i32,
    priority: f64,
    model: &'a str,
    model_id: i32,
    call_id: Uuid,
    granted_at: DateTime<Utc>,
    #[serde(flatten)]
    spent: SpentRow,
    model_version: Option<String>,
    response_id: Option<String>,
}

impl<'a> From<&'a Answered> for DoneRow<'a> {
    fn from(answered: &'a Answered) -> Self {
        let key = &answered.claim;
        Self {
            task: key.task,
            nonce: key.nonce,
            epoch: key.epoch,
            attempt: key.attempt,
            lane: key.lane,
            priority: key.priority,
            model: &key.model,
            model_id: key.model_id,
            call_id: key.call,
            granted_at: key.granted_at,
            spent: SpentRow::from(&answered.spent),
            model_version: answered.model_version.as_deref().map(cut),
            response_id: answered.response_id.as_deref().map(cut),
        }
    }
}

#[derive(Serialize)]
struct OpenRow<'a> {
    task: Uuid,
    nonce: i64,
    epoch: i32,
    call_id: Uuid,
    granted_at: DateTime<Utc>,
    fate: &'static str,
    delay_ms: i64,
    exhaust_rung: bool,
    error_class: &'a str,
    error: String,
    sent: bool,
    http_status: Option<u16>,
    #[serde(flatten)]
    spent: SpentRow,
}

impl<'a> From<&'a Unanswered> for OpenRow<'a> {
    fn from(attempt: &'a Unanswered) -> Self {
        let (fate, delay_ms) = match attempt.fate {
            Fate::Release => ("release", 0),
            Fate::Reschedule { delay_ms } => ("reschedule", delay_ms),
            Fate::Fail => ("fail", 0),
        };
        Self {
            task: attempt.claim.task,
            nonce: attempt.claim.nonce,
            epoch: attempt.claim.epoch,
            call_id: attempt.claim.call,
            granted_at: attempt.claim.granted_at,
            fate,
            delay_ms,
            exhaust_rung: attempt.exhaust_rung,
            error_class: &attempt.error_class,
            error: cut(&attempt.error),
            sent: attempt.sent,
            http_status: attempt.http_status,
            spent: SpentRow::from(&attempt.spent),
        }
    }
}

#[derive(Serialize)]
struct SpentRow {
    input_tokens: Option<u64>,
    cached_tokens: Option<u64>,
    output_tokens: Option<u64>,
    thought_tokens: Option<u64>,
    cost_microusd: Option<i64>,
    cost_estimated: bool,
    latency_ms: i32,
}

impl From<&Spent> for SpentRow {
    fn from(spent: &Spent) -> Self {
        Self {
            input_tokens: spent.usage.map(|u| u.input_tokens),
            cached_tokens: spent.usage.map(|u| u.cached_tokens),
            output_tokens: spent.usage.map(|u| u.output_tokens),
            thought_tokens: spent.usage.map(|u| u.thought_tokens),
            cost_microusd: spent.cost_microusd,
            cost_estimated: spent.estimated,
            latency_ms: spent.latency_ms,
        }
    }
}
