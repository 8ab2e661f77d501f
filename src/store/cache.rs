//! The cache of answers: what it holds and did, its upkeep, forgetting by hand. Answers enter it with the
//! settle that completes their task, and are found by claims and loads (`sql/functions/17_cache.sql`).

use std::time::Duration;

use super::{Store, StoreError};

/// What the cache may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheBounds {
    /// Answers. Default 1,000,000.
    pub entries: u64,
    /// Bytes of all answers together. Default 4 GiB.
    pub bytes: u64,
}

impl Default for CacheBounds {
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            bytes: 4 << 30,
        }
    }
}

/// What the cache holds and did for one worker.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct CacheRow {
    /// The worker.
    pub worker: String,
    /// Answers kept.
    pub entries: i64,
    /// Bytes of these answers.
    pub bytes: i64,
    /// Tasks that were completed by a kept answer.
    pub hits: i64,
    /// Tasks that a model was asked for, though their answer would have been taken from here.
    pub misses: i64,
    /// Hits of all. `None`: nothing was asked yet.
    pub hit_rate: Option<f64>,
}

/// Which answers are forgotten; what is `None` is not looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Purge {
    /// Of this worker.
    pub worker: Option<String>,
    /// Of this step.
    pub component: Option<String>,
    /// Given by this model: `provider/name`, or as the provider names it.
    pub model: Option<String>,
    /// Kept under this version of the cache.
    pub version: Option<String>,
    /// Asked by the template with this hash.
    pub prompt_hash: Option<Vec<u8>>,
    /// Older than this.
    pub older: Option<Duration>,
}

/// Answers forgotten by one statement at most: it must hold no lock for long.
const STEP: i32 = 1_000;

impl Store {
    /// What the cache holds and did, by worker.
    ///
    /// # Errors
    /// As every statement.
    pub async fn cache_stats(&self) -> Result<Vec<CacheRow>, StoreError> {
        Ok(sqlx::query_as!(
            CacheRow,
            r#"select worker as "worker!", entries as "entries!", bytes as "bytes!", hits as "hits!", misses as "misses!", hit_rate
                 from tidegate.cache_stats order by worker"#
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// One step of upkeep: while the cache holds more than it may, up to a thousand answers go, those
    /// first that were used longest ago. Returns how many.
    ///
    /// # Errors
    /// As every statement.
    pub async fn trim_cache(&self, bounds: &CacheBounds) -> Result<u64, StoreError> {
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let gone = sqlx::query_scalar!(
            r#"select tidegate.trim_cache_v1($1, $2, $3) as "n!""#,
            count(bounds.entries),
            count(bounds.bytes),
            STEP,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(gone.unsigned_abs().into())
    }

    /// Forgets answers, a thousand a statement. Returns how many.
    ///
    /// # Errors
    /// As every statement; what was forgotten until then stays so.
    pub async fn purge_cache(&self, purge: &Purge) -> Result<u64, StoreError> {
        let mut all = 0;
        loop {
            let gone = sqlx::query_scalar!(
                r#"select tidegate.purge_cache_v1($1, $2, $3, $4, $5, make_interval(secs => $6), $7) as "n!""#,
                purge.worker,
                purge.component,
                purge.model,
                purge.version,
                purge.prompt_hash.as_deref(),
                purge.older.map(|older| older.as_secs_f64()),
                STEP,
            )
            .fetch_one(&self.pool)
            .await?;
            all += u64::from(gone.unsigned_abs());
            if gone < STEP {
                return Ok(all);
            }
        }
    }

    /// How many answers a purge would forget; nothing is changed.
    ///
    /// # Errors
    /// As every statement.
    pub async fn count_purge(&self, purge: &Purge) -> Result<u64, StoreError> {
        let n = sqlx::query_scalar!(
            r#"select count(*) as "n!" from tidegate.purgeable_v1($1, $2, $3, $4, $5, make_interval(secs => $6))"#,
            purge.worker,
            purge.component,
            purge.model,
            purge.version,
            purge.prompt_hash.as_deref(),
            purge.older.map(|older| older.as_secs_f64()),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(n.unsigned_abs())
    }

    /// Those of these keys that an answer is kept for which is not older than so many seconds.
    ///
    /// # Errors
    /// As every statement.
    pub async fn cached(&self, keys: &[&[u8]], max_age_s: i64) -> Result<Vec<Vec<u8>>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select c.key from tidegate.result_cache c
                where c.key = any($1) and c.created_at > now() - make_interval(secs => $2::bigint)"#,
            keys as &[&[u8]],
            max_age_s,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Lets go of tasks that wait for an equal one which is asked no more. Returns how many.
    ///
    /// # Errors
    /// As every statement.
    pub async fn free_followers(&self) -> Result<i32, StoreError> {
        Ok(
            sqlx::query_scalar!(r#"select tidegate.free_followers_v1() as "n!""#)
                .fetch_one(&self.pool)
                .await?,
        )
    }
}
