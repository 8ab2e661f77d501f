//! Tasks whose prompt is to be rendered before they may be claimed.

use std::time::Duration;

use uuid::Uuid;

use super::{Store, StoreError};

/// A task to be rendered.
#[derive(Clone, Debug)]
pub struct Unrendered {
    /// The task.
    pub task: Uuid,
    /// Its item's id or key; else its own id.
    pub item: String,
    /// JSON text, byte for byte.
    pub body: String,
    /// The item's version, if the source has one.
    pub version: Option<String>,
    /// Its component; empty for a worker of one step.
    pub component: String,
    /// Its tier.
    pub tier: i16,
    /// The definition it is rendered by.
    pub definition: Vec<u8>,
}

/// What rendering a task came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// The task.
    pub task: Uuid,
    /// Input tokens, estimated.
    pub est_tokens: i32,
    /// Key of the normalised request.
    pub cache_key: Vec<u8>,
    /// Why no prompt could be made of it: the task fails.
    pub error: Option<String>,
}

impl Store {
    /// Takes some tasks to be rendered, for so long; others are not given them meanwhile.
    ///
    /// # Errors
    /// As every statement.
    pub async fn take_unrendered(
        &self,
        limit: i32,
        lasting: Duration,
        workers: Option<&[String]>,
    ) -> Result<Vec<Unrendered>, StoreError> {
        Ok(sqlx::query_as!(
            Unrendered,
            r#"select t.id as task, coalesce(t.item_id, t.id::text) as "item!", coalesce(t.payload, i.body) as "body!",
                      i.version as "version?", t.component, t.tier, u.definition_hash as definition
                 from tidegate.take_unrendered_v1($1, make_interval(secs => $2), $3) z (id)
                 join tidegate.tasks t on t.id = z.id
                 join tidegate.runs u on u.id = t.run_id
                 left join tidegate.items i on t.payload is null and i.run_id = t.run_id and i.item_id = t.item_id
                where coalesce(t.payload, i.body) is not null"#,
            limit,
            lasting.as_secs_f64(),
            workers,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Writes down what rendering came to; tasks that wait for nothing else go on. Returns how many.
    ///
    /// # Errors
    /// As every statement.
    pub async fn rendered(&self, tasks: &[Rendered]) -> Result<i32, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select tidegate.rendered_v1($1, $2, $3, $4) as "n!""#,
            &tasks.iter().map(|task| task.task).collect::<Vec<_>>(),
            &tasks.iter().map(|task| task.est_tokens).collect::<Vec<_>>(),
            &tasks
                .iter()
                .map(|task| task.cache_key.as_slice())
                .collect::<Vec<_>>() as &[&[u8]],
            &tasks
                .iter()
                .map(|task| task.error.as_deref())
                .collect::<Vec<_>>() as &[Option<&str>],
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Looks at tasks whose needs have ended, and at expiries that have come. Returns how many.
    ///
    /// # Errors
    /// As every statement.
    pub async fn settle_needs(&self) -> Result<i32, StoreError> {
        let needs = sqlx::query_scalar!(r#"select tidegate.settle_needs_v1(500) as "n!""#)
            .fetch_one(&self.pool)
            .await?;
        let expired = sqlx::query_scalar!(r#"select tidegate.expire_v1(500) as "n!""#)
            .fetch_one(&self.pool)
            .await?;
        Ok(needs + expired)
    }
}
