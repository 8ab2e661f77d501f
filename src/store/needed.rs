//! Answers that other tasks read: of steps of the same item, in this run or an earlier one.

use uuid::Uuid;

use super::{Store, StoreError};

/// A done task of an earlier run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierResult {
    /// Its step.
    pub component: String,
    /// Its item.
    pub item: String,
    /// The task.
    pub task: Uuid,
}

/// An answer that a task reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// The task that reads it.
    pub task: Uuid,
    /// Under which name.
    pub component: String,
    /// JSON text, byte for byte.
    pub answer: String,
}

impl Store {
    /// The newest done task of each of these steps and items, of whatever run of the worker, in any
    /// order. What has none is left out.
    ///
    /// # Errors
    /// As every statement.
    pub async fn earlier_results(
        &self,
        worker: &str,
        components: &[String],
        items: &[String],
    ) -> Result<Vec<EarlierResult>, StoreError> {
        Ok(sqlx::query_as!(
            EarlierResult,
            r#"select o_component as "component!", o_item as "item!", o_task as "task!"
                 from tidegate.earlier_results_v1($1, $2, $3)"#,
            worker,
            components,
            items,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// The answers that these tasks read, in any order. One that is gone is left out.
    ///
    /// # Errors
    /// As every statement.
    pub async fn needed(&self, tasks: &[Uuid]) -> Result<Vec<Needed>, StoreError> {
        Ok(sqlx::query_as!(
            Needed,
            r#"select o_task as "task!", o_component as "component!", o_answer as "answer!" from tidegate.needed_v1($1)"#,
            tasks,
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
