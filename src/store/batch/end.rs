//! Steps of a batch that is at the provider, to its end; written by who owns it.

use std::time::Duration;

use uuid::Uuid;

use super::step::{Owner, owned};
use crate::store::{Store, StoreError};

/// What a look at the provider told.
#[derive(Clone, Debug, PartialEq)]
pub struct Looked<'a> {
    /// The provider's word for where it stands.
    pub word: &'a str,
    /// Items that are through.
    pub through: Option<i64>,
    /// When to look again.
    pub next: Duration,
}

impl Store {
    /// It was looked at, and is under way.
    ///
    /// # Errors
    /// As [`batch_uploaded`](Self::batch_uploaded).
    pub async fn batch_looked(&self, owner: Owner, looked: &Looked<'_>) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "update tidegate.provider_batches
                set remote_state = $3, through = coalesce($4, through), polls = polls + 1, fails = 0, last_error = null,
                    next_at = clock_timestamp() + make_interval(secs => $5), owner = null
              where id = $1 and owner = $2 and state = 'submitted'",
            owner.batch,
            owner.process,
            looked.word,
            looked.through,
            looked.next.as_secs_f64(),
        )
        .execute(&self.pool)
        .await?;
        owned(done.rows_affected())
    }

    /// It was asked to be cancelled.
    ///
    /// # Errors
    /// As [`batch_uploaded`](Self::batch_uploaded).
    pub async fn batch_cancelled(&self, owner: Owner) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "update tidegate.provider_batches set cancelled_at = clock_timestamp() where id = $1 and owner = $2",
            owner.batch,
            owner.process,
        )
        .execute(&self.pool)
        .await?;
        owned(done.rows_affected())
    }

    /// It is over at the provider in this way (`outcome`), which left these files; what came of it is to be stored.
    ///
    /// # Errors
    /// As [`batch_uploaded`](Self::batch_uploaded).
    pub async fn batch_ended(
        &self,
        owner: Owner,
        outcome: &str,
        word: &str,
        outputs: &[String],
        why: Option<&str>,
    ) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "update tidegate.provider_batches
                set state = 'ended', outcome = $3, remote_state = $4, outputs = $5, last_error = $6, fails = 0, polls = polls + 1,
                    ended_at = clock_timestamp(), next_at = clock_timestamp()
              where id = $1 and owner = $2 and state in ('intended', 'creating', 'submitted')",
            owner.batch,
            owner.process,
            outcome,
            word,
            outputs,
            why,
        )
        .execute(&self.pool)
        .await?;
        owned(done.rows_affected())
    }

    /// All that came of it is stored, and nothing is owed any more.
    ///
    /// # Errors
    /// As [`batch_uploaded`](Self::batch_uploaded).
    pub async fn batch_stored(&self, owner: Owner) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "update tidegate.provider_batches set state = 'stored', stored_at = clock_timestamp(), fails = 0
              where id = $1 and owner = $2 and state = 'ended'
                and not exists (select from tidegate.batch_items i where i.batch_id = $1)",
            owner.batch,
            owner.process,
        )
        .execute(&self.pool)
        .await?;
        owned(done.rows_affected())
    }

    /// Nothing of it is left at the provider.
    ///
    /// # Errors
    /// As [`batch_uploaded`](Self::batch_uploaded).
    pub async fn batch_over(&self, owner: Owner) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "update tidegate.provider_batches set state = 'over', over_at = clock_timestamp(), owner = null
              where id = $1 and owner = $2 and state = 'stored'",
            owner.batch,
            owner.process,
        )
        .execute(&self.pool)
        .await?;
        owned(done.rows_affected())
    }

    /// Sums up what came of its items.
    ///
    /// # Errors
    /// As every statement.
    pub async fn count_batch(
        &self,
        batch: Uuid,
        failed: i32,
        missing: i32,
        unknown: i32,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update tidegate.provider_batches set failed = failed + $2, missing = missing + $3, unknown = unknown + $4 where id = $1",
            batch,
            failed,
            missing,
            unknown,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
