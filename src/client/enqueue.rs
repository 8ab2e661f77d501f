//! Enqueue from Rust: a task with a typed payload, over any executor.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    store::{
        Executor, StoreError,
        enqueue::{KeyTaken, NewTask, OnFailedNeed, OnKey, enqueue},
    },
    task::new_id,
};

/// A payload that is not JSON.
#[derive(Debug, thiserror::Error)]
#[error("the payload is not JSON: {0}")]
pub struct PayloadError(#[source] serde_json::Error);

/// A task to be, of a worker that the database knows by name.
///
/// Enqueued over a pool it is there at once; over a transaction, when that commits, and never if it
/// does not: a row of yours and the work on it are one commit.
///
/// ```no_run
/// # async fn f(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// use tidegate::client::Task;
///
/// #[derive(serde::Serialize)]
/// struct Image<'a> { path: &'a str }
///
/// let mut transaction = pool.begin().await?;
/// sqlx::query("insert into images (path) values ('a.png')").execute(&mut *transaction).await?;
/// let task = Task::new("thumbnails", &Image { path: "a.png" })?.key("a.png").priority(5.0);
/// let enqueued = task.enqueue(&mut *transaction).await?;
/// transaction.commit().await?;
/// println!("task {}", enqueued.id);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Task {
    worker: String,
    new: NewTask,
    on_key: OnKey,
    on_failed_need: OnFailedNeed,
}

/// What became of an enqueued task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// The task: the new one, or the one that has its key.
    pub id: Uuid,
    /// How it came.
    pub fate: EnqueueFate,
}

/// How a task came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnqueueFate {
    /// As a new task.
    New,
    /// Its key was taken: the other task stays as it was.
    Skipped,
    /// Its key was taken: the other task got its payload and settings.
    Replaced,
}

impl Enqueued {
    fn of(given: Uuid, taken: Option<&KeyTaken>) -> Self {
        Self {
            id: taken.and_then(|taken| taken.task).unwrap_or(given),
            fate: match taken {
                None => EnqueueFate::New,
                Some(taken) if taken.replaced => EnqueueFate::Replaced,
                Some(_) => EnqueueFate::Skipped,
            },
        }
    }

    /// Whether it is a new task.
    pub fn is_new(&self) -> bool {
        self.fate == EnqueueFate::New
    }
}

impl Task {
    /// A task of this worker about this payload.
    ///
    /// # Errors
    /// [`PayloadError`] when the payload does not serialise.
    pub fn new(worker: impl Into<String>, payload: &impl Serialize) -> Result<Self, PayloadError> {
        let text = serde_json::to_string(payload).map_err(PayloadError)?;
        Ok(Self::checked(worker.into(), text))
    }

    /// A task about JSON text, kept byte for byte.
    ///
    /// # Errors
    /// [`PayloadError`] when it is not JSON, or nested too deeply (128).
    pub fn raw(worker: impl Into<String>, json: &str) -> Result<Self, PayloadError> {
        serde_json::from_str::<&RawValue>(json).map_err(PayloadError)?;
        Ok(Self::checked(worker.into(), json.to_owned()))
    }

    fn checked(worker: String, payload: String) -> Self {
        Self {
            worker,
            new: NewTask {
                id: new_id(),
                payload,
                key: None,
                priority: None,
                tier: None,
                run_at: None,
                expires_at: None,
                category: None,
                max_attempts: None,
                needs: Vec::new(),
            },
            on_key: OnKey::default(),
            on_failed_need: OnFailedNeed::default(),
        }
    }

    /// The id that it will have, unless its key is taken.
    pub fn id(&self) -> Uuid {
        self.new.id
    }

    /// At most one unfinished task of the worker has this key. 1 to 1,024 bytes.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.new.key = Some(key.into());
        self
    }

    /// What becomes of it where its key is taken. Default: [`OnKey::Skip`].
    #[must_use]
    pub fn on_key(mut self, policy: OnKey) -> Self {
        self.on_key = policy;
        self
    }

    /// Higher goes first, within its tier; the oldest of equals first. Finite; default 0.
    #[must_use]
    pub fn priority(mut self, priority: f64) -> Self {
        self.new.priority = Some(priority);
        self
    }

    /// Its tier, from 0, the most valuable. Default 0.
    #[must_use]
    pub fn tier(mut self, tier: i16) -> Self {
        self.new.tier = Some(tier);
        self
    }

    /// It starts no earlier. Default: at once.
    #[must_use]
    pub fn run_at(mut self, moment: DateTime<Utc>) -> Self {
        self.new.run_at = Some(moment);
        self
    }

    /// It is not worth starting after this moment: it is cancelled then. Default: always worth it.
    #[must_use]
    pub fn expires_at(mut self, moment: DateTime<Utc>) -> Self {
        self.new.expires_at = Some(moment);
        self
    }

    /// Its category, for people. At most 1,024 bytes.
    #[must_use]
    pub fn category(mut self, category: impl Into<String>) -> Self {
        self.new.category = Some(category.into());
        self
    }

    /// Attempts it may have, 1 to 1,000. Default: the worker's.
    #[must_use]
    pub fn max_attempts(mut self, attempts: i32) -> Self {
        self.new.max_attempts = Some(attempts);
        self
    }

    /// It starts when these tasks are done. They are tasks that there are, or of the same call of
    /// [`enqueue_all`].
    #[must_use]
    pub fn needs(mut self, tasks: impl IntoIterator<Item = Uuid>) -> Self {
        self.new.needs.extend(tasks);
        self
    }

    /// What becomes of it when one that it needs failed or was cancelled. Default:
    /// [`OnFailedNeed::Cancel`].
    #[must_use]
    pub fn on_failed_need(mut self, policy: OnFailedNeed) -> Self {
        self.on_failed_need = policy;
        self
    }

    /// Enqueues it over a pool, a connection or a transaction (`&mut *transaction`).
    ///
    /// # Errors
    /// [`StoreError::BadInput`] with the field and what to do; nothing is changed then.
    pub async fn enqueue<'e>(self, executor: impl Executor<'e>) -> Result<Enqueued, StoreError> {
        let tasks = [self.new];
        let taken = enqueue(
            executor,
            &self.worker,
            &tasks,
            self.on_key,
            self.on_failed_need,
        )
        .await?;
        Ok(Enqueued::of(tasks[0].id, taken.first()))
    }
}

/// Enqueues many tasks of one worker in one statement: all of them or none. At most 100,000. The
/// policies of the first task hold for all. Returns what became of each, in their order.
///
/// # Errors
/// [`StoreError::BadInput`] with the place (from 0) and field of the first bad task; nothing is
/// changed then.
pub async fn enqueue_all<'e>(
    executor: impl Executor<'e>,
    worker: &str,
    tasks: Vec<Task>,
) -> Result<Vec<Enqueued>, StoreError> {
    let Some(first) = tasks.first() else {
        return Ok(Vec::new());
    };
    let (on_key, on_failed_need) = (first.on_key, first.on_failed_need);
    if let Some(row) = tasks.iter().position(|task| task.worker != worker) {
        return Err(StoreError::BadInput {
            row: Some(row as u64),
            field: "worker".to_owned(),
            message: format!("is `{}`, and the call is for `{worker}`", tasks[row].worker),
            help: "make one call a worker".to_owned(),
        });
    }
    let new: Vec<NewTask> = tasks.into_iter().map(|task| task.new).collect();
    let taken = enqueue(executor, worker, &new, on_key, on_failed_need).await?;
    let taken: std::collections::HashMap<_, _> = taken
        .into_iter()
        .map(|taken| (taken.given, taken))
        .collect();
    Ok(new
        .iter()
        .map(|task| Enqueued::of(task.id, taken.get(&task.id)))
        .collect())
}
