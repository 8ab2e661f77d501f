//! What is found out of a model's batches: that it has none, that too much is enqueued.

use std::time::Duration;

use crate::store::{Store, StoreError};

impl Store {
    /// This model has no batch mode; nothing more is sent to it by batch.
    ///
    /// # Errors
    /// As every statement.
    pub async fn no_batch_mode(&self, model: &str, why: &str) -> Result<(), StoreError> {
        sqlx::query!(
            "update tidegate.models set batch_mode = false, batch_note = $2 where model = $1",
            model,
            why,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Too much is enqueued at this model: nothing more is for a while (`hint`, else 5 minutes, doubling to an hour).
    ///
    /// # Errors
    /// As every statement.
    pub async fn rest_batches(
        &self,
        model: &str,
        hint: Option<Duration>,
    ) -> Result<Duration, StoreError> {
        let rest = sqlx::query_scalar!(
            r#"update tidegate.models m
                  set batch_strikes = m.batch_strikes + 1,
                      batch_rest_until = clock_timestamp()
                        + coalesce(make_interval(secs => $2), least(interval '1 hour', interval '5 min' * (2 ^ least(m.batch_strikes, 6))))
                where m.model = $1
               returning extract(epoch from m.batch_rest_until - clock_timestamp())::float8 as "s!""#,
            model,
            hint.map(|it| it.as_secs_f64()),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(Duration::from_secs_f64(rest.unwrap_or(300.0).max(0.0)))
    }
}
