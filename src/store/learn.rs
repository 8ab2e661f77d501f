//! What is found out about limits: written down as providers say it, and as their refusals tell it.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Store, StoreError};
use crate::llm::{LimitNotice, QuotaWindow};

/// What a provider said of one limit of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The model.
    pub model: String,
    /// What was said.
    pub notice: LimitNotice,
}

impl Notice {
    fn entry(&self) -> serde_json::Value {
        let number = |value: Option<u64>| value.and_then(|it| i64::try_from(it).ok());
        serde_json::json!({
            "model": self.model,
            "tokens": self.notice.tokens,
            "day": self.notice.window == QuotaWindow::Day,
            "size": number(self.notice.size),
            "remaining": number(self.notice.remaining),
            "resets_ms": self.notice.resets_in.and_then(|it| i64::try_from(it.as_millis()).ok()),
        })
    }
}

impl Store {
    /// Takes over what providers said of their limits: sizes that nobody told or that are lower than
    /// told, and the use of the key by others.
    ///
    /// # Errors
    /// As every statement.
    pub async fn learn_notices(&self, notices: &[Notice]) -> Result<(), StoreError> {
        let entries: Vec<_> = notices.iter().map(Notice::entry).collect();
        sqlx::query_scalar!(
            r#"select tidegate.learn_notices_v1($1)::text as done"#,
            serde_json::Value::from(entries)
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(())
    }

    /// Learns from a refusal (429) of a call granted at this moment. `named`: the provider said which
    /// limit is spent. Returns whether the limits that are known explain it.
    ///
    /// # Errors
    /// As every statement.
    pub async fn learn_refusal(
        &self,
        model: &str,
        granted_at: DateTime<Utc>,
        named: bool,
    ) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select tidegate.learn_refusal_v2($1, $2, $3) as "explained!""#,
            model,
            granted_at,
            named
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Halves the calls that a model may have at once, once a burst. `false`: it was cut for that
    /// burst already.
    ///
    /// # Errors
    /// As every statement.
    pub async fn cut_concurrency(
        &self,
        model: &str,
        granted_at: DateTime<Utc>,
        reason: &str,
    ) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select tidegate.cut_concurrency_v1($1, $2, $3) as "cut!""#,
            model,
            granted_at,
            reason
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Lets limits grow where they are used to the full and nothing speaks against it; once a second in
    /// the whole fleet, however many ask. Returns how many were changed.
    ///
    /// # Errors
    /// As every statement.
    pub async fn learn(&self) -> Result<i32, StoreError> {
        Ok(
            sqlx::query_scalar!(r#"select tidegate.learn_v1() as "changed!""#)
                .fetch_one(&self.pool)
                .await?,
        )
    }

    /// Looks how long answers are, of what each worker asks each model.
    ///
    /// # Errors
    /// As every statement.
    pub async fn learn_outputs(&self) -> Result<i32, StoreError> {
        Ok(
            sqlx::query_scalar!(r#"select tidegate.learn_outputs_v1() as "written!""#)
                .fetch_one(&self.pool)
                .await?,
        )
    }

    /// How long until limits and cooldowns may let more through, for a process with these keys and
    /// workers. `None`: nothing waits for them, or nobody knows.
    ///
    /// # Errors
    /// As every statement.
    pub async fn next_opening(
        &self,
        providers: &[String],
        workers: Option<&[String]>,
    ) -> Result<Option<Duration>, StoreError> {
        let seconds = sqlx::query_scalar!(
            r#"select extract(epoch from z.at - clock_timestamp())::float8 as seconds
                 from (select tidegate.next_opening_v1($1, $2) as at) z where z.at < 'infinity'"#,
            providers,
            workers
        )
        .fetch_optional(&self.pool)
        .await?
        .flatten();
        Ok(seconds.map(|it| Duration::try_from_secs_f64(it).unwrap_or_default()))
    }
}
