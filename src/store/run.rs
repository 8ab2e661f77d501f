//! The life of a run: begun, loaded (taken over where its loader died), opened, listed.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::task::{Purpose, Strategy};

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its id, should it be a new one.
    pub id: Uuid,
    /// The worker's name.
    pub worker: String,
    /// The hash its definition is kept under.
    pub definition_hash: Vec<u8>,
    /// Where the items come from: part of what makes two loads the same.
    pub source: String,
    /// Weights of the tiers in a claim.
    pub mix: Vec<f32>,
    /// Share among runs; 1 unless set.
    pub weight: f32,
    /// The process that loads it.
    pub loader: Uuid,
    /// Calls of this worker at once, for the fleet. `None`: no such limit.
    pub max_concurrency: Option<u32>,
    /// How its claims are spread over time.
    pub pacing: Pacing,
    /// How its tasks are asked.
    pub asking: Asking,
    /// What it may cost, in micro-dollars. `None`: not bounded.
    pub budget_microusd: Option<i64>,
}

/// How claims of a run are spread over time, by the whole fleet. The default: not at all, since no limit
/// needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pacing {
    /// Milliseconds between two starts.
    pub stagger_ms: Option<i32>,
    /// After so many tasks claimed the run rests.
    pub cool_after: Option<i32>,
    /// For so many milliseconds; set with `cool_after`.
    pub cool_ms: Option<i32>,
}

/// How the tasks of a run are asked. The default: one by one, in bulk, no matter when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Asking {
    /// One by one, by batch, both, or as it is best.
    pub strategy: Strategy,
    /// What answers are wanted for.
    pub purpose: Purpose,
    /// Answers are wanted within so many seconds of their task's being ready. `None`: no matter when.
    pub within_s: Option<i32>,
}

/// What became of the wish to load a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is new, or was taken over before its source was read: read it from the start.
    Read(Uuid),
    /// It was taken over after its source was read: go on ranking after so many items.
    Rank {
        /// The run.
        id: Uuid,
        /// Items ranked so far.
        ranked: i64,
    },
    /// Another living process is loading the same; since when it is silent, in milliseconds.
    Busy {
        /// The run.
        id: Uuid,
        /// Milliseconds since that process was last heard of.
        silent_ms: i64,
    },
}

/// A run as lists show it.
#[derive(Clone, Debug, Serialize)]
pub struct RunRow {
    /// Its id.
    pub run_id: Uuid,
    /// The worker's name.
    pub worker: String,
    /// loading, active, paused, done or cancelled.
    pub state: String,
    /// Where its items came from.
    pub source: String,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// When its source was read and ranked.
    pub loaded_at: Option<DateTime<Utc>>,
    /// When nothing of it was left.
    pub finished_at: Option<DateTime<Utc>>,
    /// Items of the source.
    pub items_total: i64,
    /// Items that wait in another run.
    pub items_skipped: i64,
    /// Its tasks.
    pub total: i64,
    /// Tasks blocked, scheduled or ready.
    pub waiting: i64,
    /// Tasks running or in a batch.
    pub running: i64,
    /// Tasks answered.
    pub done: i64,
    /// Tasks failed.
    pub failed: i64,
    /// Tasks cancelled.
    pub cancelled: i64,
    /// When it will end at the pace of the last minute.
    pub eta: Option<DateTime<Utc>>,
    /// Calls sent.
    pub calls: i64,
    /// Calls refused by a limit.
    pub calls_429: i64,
    /// Tokens asked.
    pub input_tokens: i64,
    /// Tokens answered.
    pub output_tokens: i64,
    /// Micro-dollars, estimates included.
    pub cost_microusd: i64,
    /// The part of it that is estimated.
    pub cost_estimated_microusd: i64,
}

/// Which runs are meant. The default: any.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// This one.
    pub only: Option<Uuid>,
    /// Of this worker.
    pub worker: Option<String>,
    /// Only those that have not ended.
    pub open: bool,
}

impl RunFilter {
    /// This run only.
    pub fn only(run: Uuid) -> Self {
        Self {
            only: Some(run),
            ..Self::default()
        }
    }

    /// The runs of this worker.
    pub fn of(worker: &str) -> Self {
        Self {
            worker: Some(worker.to_owned()),
            ..Self::default()
        }
    }

    /// Those that have not ended.
    pub fn open() -> Self {
        Self {
            open: true,
            ..Self::default()
        }
    }
}

/// A loader silent for so long may be taken over, in milliseconds.
const SILENT_MS: i64 = 3_000;

impl Store {
    /// Begins a run, or takes over the loading of the same worker and source where its loader fell
    /// silent (3 s).
    ///
    /// # Errors
    /// As every statement.
    pub async fn begin_run(&self, run: &NewRun) -> Result<Begun, StoreError> {
        if let Some(limit) = run.max_concurrency {
            self.limit_worker(&run.worker, limit).await?;
        }
        sqlx::query!(
            r#"select tidegate.drop_orphans_v1($1, $2, $3, make_interval(secs => $4)) as "n!""#,
            run.worker,
            run.definition_hash,
            run.source,
            SILENT_MS as f64 / 1000.0,
        )
        .fetch_one(&self.pool)
        .await?;
        sqlx::query!(
            "insert into tidegate.runs (id, worker, definition_hash, source, mix, weight, loader_id, stagger_ms, cool_after, cool_ms, strategy, purpose, within_s)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
             on conflict (worker, definition_hash, source) where state = 'loading' do nothing",
            run.id,
            run.worker,
            run.definition_hash,
            run.source,
            &run.mix,
            run.weight,
            run.loader,
            run.pacing.stagger_ms,
            run.pacing.cool_after,
            run.pacing.cool_ms,
            run.asking.strategy.as_str(),
            run.asking.purpose.as_str(),
            run.asking.within_s,
        )
        .execute(&self.pool)
        .await?;
        let row = sqlx::query!(
            r#"update tidegate.runs u set loader_id = $4
                where u.worker = $1 and u.definition_hash = $2 and u.source = $3 and u.state = 'loading'
                  and (u.loader_id = $4 or not exists (
                        select from tidegate.processes p
                         where p.id = u.loader_id and p.stopped_at is null and p.lost_at is null
                           and p.heartbeat_at > clock_timestamp() - make_interval(secs => $5)))
            returning u.id, u.source_read, u.ranked"#,
            run.worker,
            run.definition_hash,
            run.source,
            run.loader,
            SILENT_MS as f64 / 1000.0,
        )
        .fetch_optional(&self.pool)
        .await?;
        if let (Some(row), Some(budget)) = (&row, run.budget_microusd) {
            self.set_budget(Some(row.id), Some(budget)).await?;
        }
        match row {
            Some(row) if row.source_read => Ok(Begun::Rank {
                id: row.id,
                ranked: row.ranked,
            }),
            Some(row) => {
                sqlx::query!("delete from tidegate.items where run_id = $1", row.id)
                    .execute(&self.pool)
                    .await?;
                Ok(Begun::Read(row.id))
            }
            None => self.busy(run).await,
        }
    }

    async fn busy(&self, run: &NewRun) -> Result<Begun, StoreError> {
        let row = sqlx::query!(
            r#"select u.id, coalesce((extract(epoch from clock_timestamp() - p.heartbeat_at) * 1000)::bigint, 0) as "silent_ms!"
                 from tidegate.runs u left join tidegate.processes p on p.id = u.loader_id
                where u.worker = $1 and u.definition_hash = $2 and u.source = $3 and u.state = 'loading'"#,
            run.worker,
            run.definition_hash,
            run.source,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map_or(
            Begun::Busy {
                id: run.id,
                silent_ms: 0,
            },
            |row| Begun::Busy {
                id: row.id,
                silent_ms: row.silent_ms,
            },
        ))
    }

    /// Marks the source as read; ranking may begin. Returns how many items there are.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when another process took the loading over.
    pub async fn source_read(&self, run: Uuid, loader: Uuid) -> Result<i64, StoreError> {
        sqlx::query_scalar!(
            "update tidegate.runs u
                set source_read = true, items_total = (select count(*) from tidegate.items i where i.run_id = u.id)
              where u.id = $1 and u.loader_id = $2 and u.state = 'loading'
             returning items_total",
            run,
            loader,
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(taken_over)
    }

    /// Opens a loaded run for claims and wakes the fleet.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when another process took the loading over.
    pub async fn open_run(&self, run: Uuid, loader: Uuid) -> Result<(), StoreError> {
        sqlx::query_scalar!(
            r#"with opened as (
                 update tidegate.runs set state = 'active', loaded_at = clock_timestamp()
                  where id = $1 and loader_id = $2 and state = 'loading' returning id)
               select pg_notify('tidegate', 'ready')::text from opened"#,
            run,
            loader,
        )
        .fetch_optional(&self.pool)
        .await?
        .map(drop)
        .ok_or_else(taken_over)
    }

    /// Takes back a run whose loading failed: nothing of it stays.
    ///
    /// # Errors
    /// As every statement.
    pub async fn abandon_run(&self, run: Uuid, loader: Uuid) -> Result<(), StoreError> {
        sqlx::query!(
            "with ours as (select id from tidegate.runs where id = $1 and loader_id = $2 and state = 'loading' and ranked = 0 for update),
                  gone as (delete from tidegate.items i using ours where i.run_id = ours.id)
             delete from tidegate.lanes n using ours where n.run_id = ours.id",
            run,
            loader
        )
        .execute(&self.pool)
        .await?;
        sqlx::query!(
            "delete from tidegate.runs where id = $1 and loader_id = $2 and state = 'loading' and ranked = 0",
            run,
            loader
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Runs, newest first, by this filter.
    ///
    /// # Errors
    /// As every statement.
    pub async fn runs(&self, filter: &RunFilter, limit: i64) -> Result<Vec<RunRow>, StoreError> {
        Ok(sqlx::query_as!(
            RunRow,
            r#"select p.run_id as "run_id!", p.worker as "worker!", p.state as "state!", p.source as "source!",
                      p.created_at as "created_at!", p.loaded_at, p.finished_at, p.items_total as "items_total!",
                      p.items_skipped as "items_skipped!", p.total as "total!", p.waiting as "waiting!",
                      p.running as "running!", p.done as "done!", p.failed as "failed!", p.cancelled as "cancelled!", p.eta,
                      p.calls as "calls!", p.calls_429 as "calls_429!", p.input_tokens as "input_tokens!",
                      p.output_tokens as "output_tokens!", p.cost_microusd as "cost_microusd!",
                      p.cost_estimated_microusd as "cost_estimated_microusd!"
                 from tidegate.run_progress p
                where p.run_id in (
                        select u.id from tidegate.runs u
                         where ($1::uuid is null or u.id = $1) and ($2::text is null or u.worker = $2)
                           and (not $3 or u.state in ('loading', 'active', 'paused'))
                         order by u.id desc limit $4)
                order by p.run_id desc"#,
            filter.only,
            filter.worker,
            filter.open,
            limit,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// How the tasks of this run are asked. `None`: there is no such run.
    ///
    /// # Errors
    /// As every statement.
    pub async fn asking(&self, run: Uuid) -> Result<Option<Asking>, StoreError> {
        let row = sqlx::query!(
            "select strategy, purpose, within_s from tidegate.runs where id = $1",
            run
        )
        .fetch_optional(&self.pool)
        .await?;
        // the columns hold these words only
        Ok(row.map(|row| Asking {
            strategy: row.strategy.parse().unwrap_or_default(),
            purpose: row.purpose.parse().unwrap_or_default(),
            within_s: row.within_s,
        }))
    }

    /// Ids of runs of this worker that have not ended.
    ///
    /// # Errors
    /// As every statement.
    pub async fn open_runs(&self, worker: &str) -> Result<Vec<Uuid>, StoreError> {
        Ok(sqlx::query_scalar!(
            "select id from tidegate.runs where worker = $1 and state in ('loading', 'active', 'paused') order by id",
            worker
        )
        .fetch_all(&self.pool)
        .await?)
    }

    async fn limit_worker(&self, worker: &str, size: u32) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into tidegate.limits (quota_scope, name, dimension, window_kind, size, counting, worker)
             values ('worker', 'worker:' || $1, 'concurrency', 'none', $2, 'sliding', $1)
             on conflict (quota_scope, name, dimension, window_kind) do update set size = excluded.size, changed_at = clock_timestamp()
              where tidegate.limits.size <> excluded.size",
            worker,
            i64::from(size),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

pub(super) fn taken_over() -> StoreError {
    StoreError::Refused(
        "another process took over the loading of this run, or somebody cancelled it".to_owned(),
    )
}
