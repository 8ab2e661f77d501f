//! Selecting tasks by what they are and by the user's own condition, and copying their items.

use sqlx::{Arguments, postgres::PgArguments};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    Store, StoreError,
    source::{BUFFER, stream},
};

/// Which tasks. `None`: any.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Of this run.
    pub run: Option<Uuid>,
    /// Of this worker.
    pub worker: Option<String>,
    /// In one of these states.
    pub states: Vec<String>,
    /// Made under this version of the worker.
    pub version: Option<String>,
    /// Of this component.
    pub component: Option<String>,
    /// Of this tier.
    pub tier: Option<i16>,
    /// With this error class.
    pub error_class: Option<String>,
    /// Of this item.
    pub item: Option<String>,
    /// For which the user's own SQL holds, over `tidegate.tasks t`.
    pub condition: Option<String>,
}

impl std::fmt::Display for Selection {
    /// In words, for people: the same words select the same.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.run, &self.worker) {
            (Some(run), _) => write!(out, "run {run}")?,
            (None, Some(worker)) => write!(out, "worker {worker}")?,
            (None, None) => write!(out, "all")?,
        }
        write!(out, ", {}", self.states.join(" or "))?;
        if let Some(component) = &self.component {
            write!(out, ", component {component}")?;
        }
        if let Some(version) = &self.version {
            write!(out, ", version {version}")?;
        }
        if let Some(condition) = &self.condition {
            write!(out, ", where {condition}")?;
        }
        Ok(())
    }
}

impl Selection {
    /// The statement and its parameters. The condition stands on lines of its own, so that a comment
    /// at its end does no harm.
    fn statement(&self, head: &str, tail: &str) -> Result<(String, PgArguments), StoreError> {
        let mut arguments = PgArguments::default();
        let mut text = format!("{head} from tidegate.tasks t where true");
        let mut clause =
            |words: &str, added: Result<(), sqlx::error::BoxDynError>, place: usize| {
                added.map_err(|error| StoreError::Refused(error.to_string()))?;
                text.push_str(&words.replace('?', &format!("${place}")));
                Ok::<(), StoreError>(())
            };
        let added = arguments.add(self.states.clone());
        clause(" and t.state = any(?)", added, arguments.len())?;
        if let Some(run) = self.run {
            let added = arguments.add(run);
            clause(" and t.run_id = ?", added, arguments.len())?;
        }
        if let Some(worker) = &self.worker {
            let added = arguments.add(worker.clone());
            clause(" and t.worker = ?", added, arguments.len())?;
        }
        if let Some(component) = &self.component {
            let added = arguments.add(component.clone());
            clause(" and t.component = ?", added, arguments.len())?;
        }
        if let Some(tier) = self.tier {
            let added = arguments.add(tier);
            clause(" and t.tier = ?", added, arguments.len())?;
        }
        if let Some(class) = &self.error_class {
            let added = arguments.add(class.clone());
            clause(" and t.error_class = ?", added, arguments.len())?;
        }
        if let Some(item) = &self.item {
            let added = arguments.add(item.clone());
            clause(" and t.item_id = ?", added, arguments.len())?;
        }
        if let Some(version) = &self.version {
            let added = arguments.add(version.clone());
            let words = " and t.run_id in (select u.id from tidegate.runs u
                join tidegate.worker_definitions d on d.hash = u.definition_hash where d.version = ?)";
            clause(words, added, arguments.len())?;
        }
        if let Some(condition) = &self.condition {
            text.push_str(&format!(" and (\n{condition}\n)"));
        }
        text.push_str(tail);
        Ok((text, arguments))
    }
}

impl Store {
    /// Streams the selected tasks, the newest or the oldest first, in one read-only transaction. Memory stays flat.
    ///
    /// An error ends the stream as its last message: [`StoreError::UserSql`] for a condition that
    /// fails.
    pub fn stream_selected(
        &self,
        selection: &Selection,
        newest_first: bool,
    ) -> mpsc::Receiver<Result<Uuid, StoreError>> {
        let (sender, receiver) = mpsc::channel(BUFFER);
        let order = match newest_first {
            true => " order by t.id desc",
            false => " order by t.id",
        };
        let statement = selection.statement("select t.id", order);
        let link = self.pool.clone();
        tokio::spawn(async move {
            let streamed = match statement {
                Ok((text, arguments)) => {
                    stream(&link, text, arguments, condition_words, &sender).await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = streamed {
                // nobody listens any more: nothing to tell
                let _ = sender.send(Err(error)).await;
            }
        });
        receiver
    }

    /// Counts the selected tasks, their items, and how many of these wait.
    ///
    /// # Errors
    /// [`StoreError::UserSql`] for a condition that fails.
    pub async fn count_selected<T: serde::de::DeserializeOwned + Default>(
        &self,
        selection: &Selection,
    ) -> Result<T, StoreError> {
        let head = "select json_build_object('tasks', count(*), 'input_tokens', coalesce(sum(t.est_tokens), 0), 'items', count(distinct coalesce(t.item_id, t.id::text)),
            'waiting', count(distinct coalesce(t.item_id, t.id::text)) filter (where exists (select from tidegate.open_keys k
              where k.worker = t.worker and k.component = t.component and k.item_id = coalesce(t.item_id, t.id::text))))::text";
        let (text, arguments) = selection.statement(head, "")?;
        let (sender, mut receiver) = mpsc::channel::<Result<String, StoreError>>(1);
        let link = self.pool.clone();
        // its own task: a transaction must not be dropped half-way
        let counting =
            tokio::spawn(
                async move { stream(&link, text, arguments, condition_words, &sender).await },
            );
        let row = receiver.recv().await.transpose()?;
        counting
            .await
            .map_err(|error| StoreError::Refused(format!("counting stopped: {error}")))??;
        Ok(row
            .and_then(|row| serde_json::from_str(&row).ok())
            .unwrap_or_default())
    }

    /// Copies the items of these tasks to a run that this process loads. Returns how many were copied,
    /// and of how many the item is gone.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the loading was taken over by another process.
    pub async fn copy_items(
        &self,
        run: Uuid,
        loader: Uuid,
        tasks: &[Uuid],
    ) -> Result<(i64, i64), StoreError> {
        let row = sqlx::query!(
            r#"select o_copied as "copied!", o_gone as "gone!" from tidegate.copy_items_v1($1, $2, $3)"#,
            run,
            loader,
            tasks,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok((row.copied.into(), row.gone.into()))
    }

    /// The definition in force for a worker, else that of this run, else of its newest run; as JSON text.
    ///
    /// # Errors
    /// As every statement.
    pub async fn definition_in_force(
        &self,
        worker: &str,
        run: Option<Uuid>,
    ) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select d.folder::text as "folder!" from tidegate.worker_definitions d
                where d.hash = coalesce((select w.definition_hash from tidegate.workers w where w.worker = $1),
                                        (select u.definition_hash from tidegate.runs u where u.id = $2),
                                        (select u.definition_hash from tidegate.runs u where u.worker = $1 order by u.id desc limit 1))"#,
            worker,
            run,
        )
        .fetch_optional(&self.pool)
        .await?)
    }
}

/// The server's words about the user's condition.
fn condition_words(error: sqlx::Error) -> StoreError {
    let Some(database) = error.as_database_error() else {
        return error.into();
    };
    let help = match database.code().as_deref() {
        Some("57014") => {
            "it took too long; narrow it by --run, or by columns with an index (id, run_id with item_id)"
        }
        Some("25006") => "a condition only reads",
        _ => {
            "write SQL that is true or false for a task, over the columns of tidegate.tasks t, as in: t.finished_at < now() - interval '1 day'"
        }
    };
    StoreError::UserSql {
        file: "--where",
        message: format!("{}\n  help: {help}", database.message()),
    }
}
