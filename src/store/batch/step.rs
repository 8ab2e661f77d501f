//! Steps of a batch on its way to the provider, each written by who owns it: a row that finds no owner is
//! another's by now.

use std::time::Duration;

use uuid::Uuid;

use crate::store::{Store, StoreError};

/// A process that owns a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The batch.
    pub batch: Uuid,
    /// The process.
    pub process: Uuid,
}

/// Fails where the row was not this owner's any more.
pub(super) fn owned(rows: u64) -> Result<(), StoreError> {
    match rows {
        0 => Err(StoreError::LeaseLost),
        _ => Ok(()),
    }
}

impl Store {
    /// Its file is about to be uploaded: from now on one may be there.
    ///
    /// # Errors
    /// As [`batch_uploaded`](Self::batch_uploaded).
    pub async fn batch_began(&self, owner: Owner, embeds: bool) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "update tidegate.provider_batches set began_at = clock_timestamp(), embeds = $3 where id = $1 and owner = $2 and state = 'intended'",
            owner.batch,
            owner.process,
            embeds,
        )
        .execute(&self.pool)
        .await?;
        owned(done.rows_affected())
    }

    /// Its file is at the provider.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`]: it is another's by now. Else as every statement; so do all steps.
    pub async fn batch_uploaded(&self, owner: Owner, file: &str) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "update tidegate.provider_batches set input_file = $3, uploaded_at = clock_timestamp(), fails = 0
              where id = $1 and owner = $2 and state = 'intended'",
            owner.batch,
            owner.process,
            file,
        )
        .execute(&self.pool)
        .await?;
        owned(done.rows_affected())
    }

    /// It is about to be asked for: from now on it may be there.
    ///
    /// # Errors
    /// As [`batch_uploaded`](Self::batch_uploaded).
    pub async fn batch_creating(&self, owner: Owner) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "update tidegate.provider_batches set state = 'creating', creating_at = clock_timestamp(), looks = 0
              where id = $1 and owner = $2 and state = 'intended'",
            owner.batch,
            owner.process,
        )
        .execute(&self.pool)
        .await?;
        owned(done.rows_affected())
    }

    /// It is there, under this id; looked at after `next`.
    ///
    /// # Errors
    /// As [`batch_uploaded`](Self::batch_uploaded).
    pub async fn batch_submitted(
        &self,
        owner: Owner,
        remote: &str,
        next: Duration,
    ) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "with b as (
               update tidegate.provider_batches
                  set state = 'submitted', remote_id = $3, submitted_at = clock_timestamp(), fails = 0, looks = 0, last_error = null,
                      next_at = clock_timestamp() + make_interval(secs => $4), owner = null
                where id = $1 and owner = $2 and state = 'creating'
               returning model_id)
             update tidegate.models m set batch_strikes = 0, batch_mode = coalesce(m.batch_mode, true) from b where m.model_id = b.model_id",
            owner.batch,
            owner.process,
            remote,
            next.as_secs_f64(),
        )
        .execute(&self.pool)
        .await?;
        owned(done.rows_affected())
    }

    /// It is certain that it was not created: it is asked for again after `next`.
    ///
    /// # Errors
    /// As [`batch_uploaded`](Self::batch_uploaded).
    pub async fn batch_not_created(
        &self,
        owner: Owner,
        next: Duration,
        why: &str,
    ) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "update tidegate.provider_batches
                set state = 'intended', fails = fails + 1, last_error = $4, next_at = clock_timestamp() + make_interval(secs => $3), owner = null
              where id = $1 and owner = $2 and state in ('intended', 'creating')",
            owner.batch,
            owner.process,
            next.as_secs_f64(),
            why,
        )
        .execute(&self.pool)
        .await?;
        owned(done.rows_affected())
    }

    /// It was not created, perhaps since its file is gone: it is uploaded again at once.
    ///
    /// # Errors
    /// As [`batch_uploaded`](Self::batch_uploaded).
    pub async fn batch_without_file(&self, owner: Owner, why: &str) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "update tidegate.provider_batches
                set state = 'intended', input_file = null, fails = fails + 1, last_error = $3, next_at = clock_timestamp(), owner = null
              where id = $1 and owner = $2 and state = 'creating'",
            owner.batch,
            owner.process,
            why,
        )
        .execute(&self.pool)
        .await?;
        owned(done.rows_affected())
    }

    /// Looked for in the provider's list and not found; again after `next`.
    ///
    /// # Errors
    /// As [`batch_uploaded`](Self::batch_uploaded).
    pub async fn batch_not_found(&self, owner: Owner, next: Duration) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "update tidegate.provider_batches
                set looks = looks + 1, next_at = clock_timestamp() + make_interval(secs => $3), owner = null
              where id = $1 and owner = $2",
            owner.batch,
            owner.process,
            next.as_secs_f64(),
        )
        .execute(&self.pool)
        .await?;
        owned(done.rows_affected())
    }

    /// A step failed in a way that passes: it is done again after `next`.
    ///
    /// # Errors
    /// As [`batch_uploaded`](Self::batch_uploaded).
    pub async fn batch_put_off(
        &self,
        owner: Owner,
        next: Duration,
        why: &str,
    ) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "update tidegate.provider_batches
                set fails = fails + 1, last_error = $4, next_at = clock_timestamp() + make_interval(secs => $3), owner = null
              where id = $1 and owner = $2",
            owner.batch,
            owner.process,
            next.as_secs_f64(),
            why,
        )
        .execute(&self.pool)
        .await?;
        owned(done.rows_affected())
    }

    /// It is known to the provider under this id, not under the one that was written down; looked at after `next`.
    ///
    /// # Errors
    /// As [`batch_uploaded`](Self::batch_uploaded).
    pub async fn batch_is(
        &self,
        owner: Owner,
        remote: &str,
        next: Duration,
    ) -> Result<(), StoreError> {
        let done = sqlx::query!(
            "update tidegate.provider_batches set remote_id = $3, next_at = clock_timestamp() + make_interval(secs => $4), owner = null
              where id = $1 and owner = $2 and state = 'submitted'",
            owner.batch,
            owner.process,
            remote,
            next.as_secs_f64(),
        )
        .execute(&self.pool)
        .await?;
        owned(done.rows_affected())
    }

    /// Whoever is next may go on with it, after `next`.
    ///
    /// # Errors
    /// As every statement.
    pub async fn let_batch_go(&self, owner: Owner, next: Duration) -> Result<(), StoreError> {
        sqlx::query!(
            "update tidegate.provider_batches
                set owner = null, next_at = greatest(next_at, clock_timestamp() + make_interval(secs => $3))
              where id = $1 and owner = $2 and state <> 'over'",
            owner.batch,
            owner.process,
            next.as_secs_f64(),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
