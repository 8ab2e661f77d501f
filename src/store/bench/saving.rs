//! What `bench saving` asks: how far a run is and when, the answers that were stored, a large cache.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::store::{Store, StoreError};

/// How many tasks of a run there are, and how they ended so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct RunStand {
    /// All of them.
    pub tasks: i64,
    /// With an answer.
    pub done: i64,
    /// Failed or cancelled.
    pub failed: i64,
}

/// When a run could be claimed, and when its last task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct RunSpan {
    /// The loader began.
    pub created_at: DateTime<Utc>,
    /// All was loaded. `None`: it is not.
    pub loaded_at: Option<DateTime<Utc>>,
    /// The last task ended. `None`: none did.
    pub last_at: Option<DateTime<Utc>>,
}

/// An answer as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct StoredAnswer {
    /// The item.
    pub item: String,
    /// JSON text.
    pub answer: String,
}

impl Store {
    /// How far a run is, from the kept counts.
    ///
    /// # Errors
    /// As every statement.
    pub async fn run_stand(&self, run: Uuid) -> Result<RunStand, StoreError> {
        Ok(sqlx::query_as(
            "select coalesce(sum(n), 0)::bigint as tasks, coalesce(sum(n) filter (where state = 'done'), 0)::bigint as done,
                    coalesce(sum(n) filter (where state in ('failed', 'cancelled')), 0)::bigint as failed
               from tidegate.run_counts where run_id = $1",
        )
        .bind(run)
        .fetch_one(&self.pool)
        .await?)
    }

    /// When a run could be claimed and when it ended, by the database's clock.
    ///
    /// # Errors
    /// As every statement.
    pub async fn run_span(&self, run: Uuid) -> Result<RunSpan, StoreError> {
        Ok(sqlx::query_as(
            "select u.created_at, u.loaded_at, (select max(t.finished_at) from tidegate.tasks t where t.run_id = u.id) as last_at
               from tidegate.runs u where u.id = $1",
        )
        .bind(run)
        .fetch_one(&self.pool)
        .await?)
    }

    /// All answers of a run, by item.
    ///
    /// # Errors
    /// As every statement.
    pub async fn answers_stored(&self, run: Uuid) -> Result<Vec<StoredAnswer>, StoreError> {
        Ok(sqlx::query_as(
            "select t.item_id as item, r.answer from tidegate.tasks t
               join tidegate.task_results r on r.task_id = t.id and r.generation = t.generation
              where t.run_id = $1 and t.state = 'done' order by t.item_id",
        )
        .bind(run)
        .fetch_all(&self.pool)
        .await?)
    }

    /// Adds answers to the cache, under the keys of these numbers: SHA-256 of `cache N`.
    ///
    /// # Errors
    /// As every statement.
    pub async fn fill_cache(&self, from: i64, to: i64) -> Result<(), StoreError> {
        sqlx::query(
            "with kept as (
               insert into tidegate.result_cache (key, answer, bytes, worker, model, task_id, used_at)
               select sha256(convert_to('cache ' || g, 'UTF8')), z.answer, octet_length(z.answer), 'bench', 'bench/model-1', tidegate.uuid_v7(),
                      clock_timestamp() - make_interval(secs => random() * 86400)
                 from generate_series($1, $2 - 1) g
                 cross join lateral (select '{\"labels\":[\"law\",\"trade\"],\"why\":\"' || repeat('word ', 40) || g || '\"}' as answer) z
               returning bytes)
             insert into tidegate.cache_uses (worker, entries, bytes) select 'bench', count(*), sum(bytes) from kept",
        )
        .bind(from)
        .bind(to)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Looks these keys up as a claim does: one by one, and whether each is young enough. Returns how many are.
    ///
    /// # Errors
    /// As every statement.
    pub async fn look_up(&self, keys: &[Vec<u8>]) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(
            "select count(*) from unnest($1::bytea[]) k (key)
              where exists (select from tidegate.result_cache c where c.key = k.key and c.created_at > now() - make_interval(secs => 86400))",
        )
        .bind(keys)
        .fetch_one(&self.pool)
        .await?)
    }

    /// Settles the cache's tables after a bulk load, as autovacuum would in time.
    ///
    /// # Errors
    /// As every statement.
    pub async fn settle_cache(&self) -> Result<(), StoreError> {
        sqlx::raw_sql("vacuum (analyze) tidegate.result_cache")
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
