//! Batches at a provider's Batch API: formed, owned by one process at a time, taken a step further, shown.

pub mod choose;
pub mod end;
pub mod facts;
pub mod items;
pub mod list;
pub mod mode;
pub mod step;

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Store, StoreError};

/// A batch as its owner sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Its id.
    pub id: Uuid,
    /// By which its file and it are found again at the provider.
    pub token: String,
    /// The run of its tasks.
    pub run_id: Uuid,
    /// Their worker.
    pub worker: String,
    /// Their component; empty for a worker of one step.
    pub component: String,
    /// The model, as provider entry and wire name.
    pub model: String,
    /// The provider entry.
    pub provider: String,
    /// Where it stands: intended, creating, submitted, ended, stored, over.
    pub state: String,
    /// How it ended.
    pub outcome: Option<String>,
    /// Items that it was formed of.
    pub items: i32,
    /// The provider's id.
    pub remote_id: Option<String>,
    /// The uploaded file.
    pub input_file: Option<String>,
    /// Files of what came of it.
    pub outputs: Vec<String>,
    /// When it was formed.
    pub created_at: DateTime<Utc>,
    /// Milliseconds since it was formed.
    pub age_ms: i64,
    /// Milliseconds since it was asked to be created.
    pub creating_ms: Option<i64>,
    /// Steps that failed in a row.
    pub fails: i32,
    /// Times that it was looked for in the provider's list and not found.
    pub looks: i32,
    /// A person, or nobody, wants it any more.
    pub cancel_wanted: bool,
    /// It was asked to be cancelled.
    pub cancelled: bool,
    /// Its file was begun to be uploaded before, perhaps by another: some may be there.
    pub began: bool,
    /// The model is known to have a batch mode: one was created before.
    pub proven: bool,
    /// It asks for vectors.
    pub embeds: bool,
}

impl Store {
    /// The batch of these workers (`None`: of all) that is due first, for this process alone until `period` has
    /// passed. `None`: none is due.
    ///
    /// # Errors
    /// As every statement.
    pub async fn own_batch(
        &self,
        process: Uuid,
        providers: &[String],
        workers: Option<&[String]>,
        period: Duration,
    ) -> Result<Option<Batch>, StoreError> {
        let owned = sqlx::query_scalar!(
            r#"select id as "id!" from tidegate.own_batch_v2($1, $2, $3, make_interval(secs => $4))"#,
            process,
            providers,
            workers,
            period.as_secs_f64(),
        )
        .fetch_optional(&self.pool)
        .await?;
        match owned {
            Some(batch) => self.owned_batch(step::Owner { batch, process }).await,
            None => Ok(None),
        }
    }

    /// A batch as it is now, if it is still this owner's.
    ///
    /// # Errors
    /// As every statement.
    pub async fn owned_batch(&self, owner: step::Owner) -> Result<Option<Batch>, StoreError> {
        Ok(sqlx::query_as!(
            Batch,
            r#"select b.id as "id!", b.token as "token!", b.run_id as "run_id!", b.worker as "worker!", b.component as "component!",
                      b.model as "model!", b.provider as "provider!", b.state as "state!", b.outcome, b.items as "items!",
                      b.remote_id, b.input_file, b.outputs as "outputs!", b.created_at as "created_at!",
                      (extract(epoch from clock_timestamp() - b.created_at) * 1000)::bigint as "age_ms!",
                      (extract(epoch from clock_timestamp() - b.creating_at) * 1000)::bigint as creating_ms,
                      b.fails as "fails!", b.looks as "looks!",
                      (b.cancel_wanted or tidegate.is_batch_unwanted_v1(b.id)) as "cancel_wanted!",
                      (b.cancelled_at is not null) as "cancelled!",
                      (b.began_at is not null) as "began!", b.embeds as "embeds!",
                      coalesce((select m.batch_mode from tidegate.models m where m.model_id = b.model_id), false) as "proven!"
                 from tidegate.provider_batches b where b.id = $1 and b.owner = $2"#,
            owner.batch,
            owner.process,
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Goes on owning a batch. `false`: it is another's by now.
    ///
    /// # Errors
    /// As every statement.
    pub async fn keep_batch(
        &self,
        batch: Uuid,
        process: Uuid,
        period: Duration,
    ) -> Result<bool, StoreError> {
        let kept = sqlx::query!(
            "update tidegate.provider_batches set owned_until = clock_timestamp() + make_interval(secs => $3)
              where id = $1 and owner = $2",
            batch,
            process,
            period.as_secs_f64(),
        )
        .execute(&self.pool)
        .await?;
        Ok(kept.rows_affected() == 1)
    }

    /// Asks one by one for what is not back in time. Returns how many tasks.
    ///
    /// # Errors
    /// As every statement.
    pub async fn rescue_batches(&self) -> Result<usize, StoreError> {
        let rescued = sqlx::query_scalar!(r#"select tidegate.rescue_batches_v1(1000) as "n!""#)
            .fetch_one(&self.pool)
            .await?;
        Ok(usize::try_from(rescued).unwrap_or(0))
    }
}
