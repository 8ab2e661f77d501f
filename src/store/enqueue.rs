//! Enqueue: tasks for a worker known by name, over any executor, so that they may be part of the
//! caller's own transaction.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgDatabaseError;
use uuid::Uuid;

use super::{Executor, StoreError};

/// Most tasks of one statement. The caller splits more, or keeps them in one transaction.
pub const TASKS_MAX: usize = 100_000;

/// One task to be: what is `None` has its default.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTask {
    /// Its id, a uuid v7: `task::new_id()`.
    pub id: Uuid,
    /// JSON text, kept byte for byte. At most 16 MiB.
    pub payload: String,
    /// At most one unfinished task of a worker has it. 1 to 1,024 bytes.
    pub key: Option<String>,
    /// Higher goes first, within its tier. Finite; default 0.
    pub priority: Option<f64>,
    /// Default 0, the most valuable.
    pub tier: Option<i16>,
    /// Not before. Default: at once.
    pub run_at: Option<DateTime<Utc>>,
    /// Not worth starting after. Default: always.
    pub expires_at: Option<DateTime<Utc>>,
    /// For people: progress is shown by it.
    pub category: Option<String>,
    /// 1 to 1,000. Default: the worker's.
    pub max_attempts: Option<i32>,
    /// Tasks that must be done first.
    pub needs: Vec<Uuid>,
}

/// What becomes of a task whose key another unfinished task of the worker has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnKey {
    /// It is dropped; the other one stays as it is.
    #[default]
    Skip,
    /// The other one gets its payload, priority and times, as long as it waits; one that runs stays.
    Replace,
    /// An error ([`StoreError::BadInput`] with field `key`): nothing of the call is enqueued.
    Refuse,
}

impl OnKey {
    fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Replace => "replace",
            Self::Refuse => "refuse",
        }
    }
}

/// What becomes of a task when one that it needs failed or was cancelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailedNeed {
    /// It is cancelled too.
    #[default]
    Cancel,
    /// It starts as if the other were done.
    Release,
}

impl OnFailedNeed {
    fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Release => "release",
        }
    }
}

/// A task that did not simply come in: its key was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyTaken {
    /// The id that was given.
    pub given: Uuid,
    /// The task that has the key.
    pub task: Option<Uuid>,
    /// Whether that task took over what was given.
    pub replaced: bool,
}

/// Enqueues these tasks of one worker, in one statement: all of them or none. Returns those whose
/// key was taken.
///
/// # Errors
/// [`StoreError::BadInput`] with the first bad task's place and field; [`StoreError::Refused`] for a
/// worker that is not known.
pub async fn enqueue<'e>(
    executor: impl Executor<'e>,
    worker: &str,
    tasks: &[NewTask],
    on_key: OnKey,
    on_failed_need: OnFailedNeed,
) -> Result<Vec<KeyTaken>, StoreError> {
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    if tasks.len() > TASKS_MAX {
        return Err(StoreError::BadInput {
            row: Some(TASKS_MAX as u64),
            field: "tasks".to_owned(),
            message: format!(
                "{} tasks in one call, and {TASKS_MAX} are the most",
                tasks.len()
            ),
            help: "split them; one transaction may hold several calls".to_owned(),
        });
    }
    if let Some((row, field)) = tasks.iter().enumerate().find_map(with_nul) {
        return Err(StoreError::BadInput {
            row: Some(row as u64),
            field: field.to_owned(),
            message: "holds the character U+0000, which Postgres cannot store in a text".to_owned(),
            help: "leave it out; inside a payload write it as \\u0000".to_owned(),
        });
    }
    let ids: Vec<Uuid> = tasks.iter().map(|task| task.id).collect();
    let payloads: Vec<&str> = tasks.iter().map(|task| task.payload.as_str()).collect();
    let keys = column(tasks, |task| task.key.as_deref());
    let priorities = column(tasks, |task| task.priority);
    let tiers = column(tasks, |task| task.tier);
    let run_ats = column(tasks, |task| task.run_at);
    let expires = column(tasks, |task| task.expires_at);
    let categories = column(tasks, |task| task.category.as_deref());
    let attempts = column(tasks, |task| task.max_attempts);
    let (needing, needs): (Vec<Uuid>, Vec<Uuid>) = tasks
        .iter()
        .flat_map(|task| task.needs.iter().map(|need| (task.id, *need)))
        .unzip();
    let (needing, needs) = match needs.is_empty() {
        true => (None, None),
        false => (Some(needing), Some(needs)),
    };
    let rows = sqlx::query!(
        r#"select o_given as "given!", o_task as task, o_fate as "fate!"
             from tidegate.enqueue_many_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"#,
        worker,
        &ids,
        &payloads as &[&str],
        keys.as_deref() as Option<&[Option<&str>]>,
        priorities.as_deref() as Option<&[Option<f64>]>,
        tiers.as_deref() as Option<&[Option<i16>]>,
        run_ats.as_deref() as Option<&[Option<DateTime<Utc>>]>,
        expires.as_deref() as Option<&[Option<DateTime<Utc>>]>,
        categories.as_deref() as Option<&[Option<&str>]>,
        attempts.as_deref() as Option<&[Option<i32>]>,
        on_key.as_str(),
        needing.as_deref(),
        needs.as_deref(),
        on_failed_need.as_str(),
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| KeyTaken {
            given: row.given,
            task: row.task,
            replaced: row.fate == "replaced",
        })
        .collect())
}

/// A column of values, or nothing where no task has one: then it is not even sent.
fn column<'a, T>(
    tasks: &'a [NewTask],
    value: impl Fn(&'a NewTask) -> Option<T>,
) -> Option<Vec<Option<T>>> {
    tasks
        .iter()
        .any(|task| value(task).is_some())
        .then(|| tasks.iter().map(value).collect())
}

/// The first text of a task that Postgres cannot store.
fn with_nul((row, task): (usize, &NewTask)) -> Option<(usize, &'static str)> {
    let has = |text: &str| text.contains('\0');
    let field = if has(&task.payload) {
        "payload"
    } else if task.key.as_deref().is_some_and(has) {
        "key"
    } else if task.category.as_deref().is_some_and(has) {
        "category"
    } else {
        return None;
    };
    Some((row, field))
}

/// Bad input as our functions raise it: the row in DETAIL, the field as COLUMN, what to do as HINT.
pub(super) fn bad_input(error: &PgDatabaseError) -> StoreError {
    let field = error.column().unwrap_or("input").to_owned();
    let message = error.message();
    StoreError::BadInput {
        row: error
            .detail()
            .and_then(|detail| detail.strip_prefix("row "))
            .and_then(|row| row.parse().ok()),
        message: message
            .strip_prefix(&format!("{field}: "))
            .unwrap_or(message)
            .to_owned(),
        field,
        help: error.hint().unwrap_or_default().to_owned(),
    }
}
