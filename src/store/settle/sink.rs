//! The user's sink.sql: checked, applied under a savepoint, applied again by hand.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Either, Executor, SqlSafeStr, Statement, types::Json};
use uuid::Uuid;

use super::{Answered, rows::cut};
use crate::{
    store::{Store, StoreError, link::Conn, local::LocalAnswer},
    task::Answer,
};

impl Store {
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
        // the runs first, as a retry does
        sqlx::query!(
            "select u.id from tidegate.runs u
              where u.id in (select t.run_id from tidegate.tasks t where t.id = any($1)) order by u.id for no key update",
            tasks
        )
        .fetch_all(&mut *transaction)
        .await?;
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
        let mut kept: Vec<SinkRow> = rows
            .into_iter()
            .map(|row| SinkRow {
                item_id: row.item_id,
                component: String::new(),
                task_id: row.id,
                version: row.version,
                answer: Answer::json(row.answer).unwrap_or_else(|_| Value::Null.into()),
                model: row.model,
                finished_at: row.finished_at,
            })
            .collect();
        let refused = apply_sink(&mut transaction, sink, &mut kept).await?;
        let done: Vec<Uuid> = kept
            .iter()
            .map(|row| row.task_id)
            .filter(|task| !refused.iter().any(|(failed, _)| failed == task))
            .collect();
        sqlx::query!("select tidegate.sink_applied_v1($1)", &done)
            .execute(&mut *transaction)
            .await?;
        // a run that had ended ends now: its report is made anew
        sqlx::query!(
            "update tidegate.runs u set finished_at = clock_timestamp()
              where u.id in (select t.run_id from tidegate.tasks t where t.id = any($1)) and u.finished_at is not null",
            &done
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok((done, refused))
    }
}

/// Runs the user's sink for these rows; when it refuses, for each alone. Returns who was refused.
pub(super) async fn apply_sink(
    connection: &mut Conn,
    sink: &str,
    rows: &mut [SinkRow],
) -> Result<Vec<(Uuid, String)>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    tell_components(connection, rows).await?;
    match try_sink(connection, sink, rows).await? {
        None => Ok(Vec::new()),
        Some(words) if rows.len() == 1 => Ok(vec![(rows[0].task_id, words)]),
        Some(_) => {
            let mut refused = Vec::new();
            for row in &*rows {
                let alone = std::slice::from_ref(row);
                if let Some(words) = try_sink(connection, sink, alone).await? {
                    refused.push((row.task_id, words));
                }
            }
            Ok(refused)
        }
    }
}

/// Writes down of which component each row is; those of workers of one step have none.
async fn tell_components(connection: &mut Conn, rows: &mut [SinkRow]) -> Result<(), StoreError> {
    let tasks: Vec<Uuid> = rows.iter().map(|row| row.task_id).collect();
    let named = sqlx::query!(
        "select id, component from tidegate.tasks where id = any($1) and component <> ''",
        &tasks,
    )
    .fetch_all(connection)
    .await?;
    let mut components: HashMap<Uuid, String> =
        named.into_iter().map(|it| (it.id, it.component)).collect();
    for row in rows {
        row.component = components.remove(&row.task_id).unwrap_or_default();
    }
    Ok(())
}

/// One execution of the sink under a savepoint. `Some`: refused, with the server's words.
async fn try_sink(
    connection: &mut Conn,
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
            Ok(Some(refusal_words(&refusal)))
        }
    }
}

/// What a task that failed by its sink says. jsonb can hold every text but U+0000.
fn refusal_words(refusal: &StoreError) -> String {
    let code = match refusal {
        StoreError::Database(error) => error.as_database_error().and_then(|it| it.code()),
        _ => None,
    };
    let why = match code.as_deref() {
        Some("22P05") => {
            "the answer holds U+0000, which jsonb cannot; it is kept as it came in tidegate.task_results"
                .to_owned()
        }
        _ => refusal.to_string(),
    };
    cut(&format!("sink.sql: {why}"))
}

/// One element of the sink's parameter.
#[derive(Serialize)]
pub(super) struct SinkRow {
    item_id: Option<String>,
    /// Empty: the worker is one step.
    component: String,
    pub(super) task_id: Uuid,
    version: Option<String>,
    answer: Answer,
    /// Who answered, now or earlier. `None`: local work.
    model: Option<String>,
    finished_at: DateTime<Utc>,
}

impl From<LocalAnswer> for SinkRow {
    fn from(local: LocalAnswer) -> Self {
        Self {
            item_id: local.item,
            component: String::new(),
            task_id: local.task,
            version: local.version,
            answer: Answer::json(local.answer).unwrap_or_else(|_| Value::Null.into()),
            model: local.model,
            finished_at: local.finished_at,
        }
    }
}

impl From<&Answered> for SinkRow {
    fn from(answered: &Answered) -> Self {
        Self {
            item_id: answered.item.clone(),
            component: String::new(),
            task_id: answered.claim.task,
            version: answered.version.clone(),
            answer: answered.answer.clone(),
            model: Some(answered.claim.model.clone()),
            finished_at: answered.claim.granted_at
                + chrono::Duration::milliseconds(answered.spent.latency_ms.into()),
        }
    }
}
