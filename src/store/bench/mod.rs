//! What the bench asks of the database: a scratch database of its own, and a raw SQL control.

use std::time::Duration;

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgPool, postgres::PgConnectOptions};

use super::{Settings, Store, StoreError, link};

mod saving;
mod strategy;

pub use saving::{RunSpan, RunStand, StoredAnswer};
pub use strategy::{Ledger, Leftovers};

/// A database made for one bench, dropped by [`drop`](Self::drop_it).
#[derive(Debug)]
pub struct Scratch {
    name: String,
    admin: PgConnectOptions,
    /// How it is reached.
    pub url: String,
}

impl Scratch {
    /// Makes it on the server of these settings.
    ///
    /// # Errors
    /// [`StoreError::NoRights`] where the role may not create databases.
    pub async fn make(settings: &Settings) -> Result<Self, StoreError> {
        let name = format!("tidegate_bench_{}", crate::task::new_id().simple());
        let admin = link::plain_options(settings)?;
        let url = admin.clone().database(&name).to_url_lossy().to_string();
        let scratch = Self { name, admin, url };
        scratch.statement("create database").await?;
        Ok(scratch)
    }

    /// Drops it, whoever is connected.
    ///
    /// # Errors
    /// As every statement.
    pub async fn drop_it(self) -> Result<(), StoreError> {
        self.statement("drop database if exists").await
    }

    async fn statement(&self, verb: &str) -> Result<(), StoreError> {
        let mut connection = self.admin.connect().await.map_err(StoreError::Connect)?;
        let force = if verb.starts_with("drop") {
            " with (force)"
        } else {
            ""
        };
        sqlx::raw_sql(AssertSqlSafe(format!("{verb} {}{force}", self.name)))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        Ok(())
    }
}

impl Store {
    /// Bytes of write-ahead log written so far by the whole server.
    ///
    /// # Errors
    /// As every statement.
    pub async fn wal_bytes(&self) -> Result<u64, StoreError> {
        let bytes: i64 = sqlx::query_scalar(
            "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(bytes.unsigned_abs())
    }

    /// The server's version and the settings that move the figures.
    ///
    /// # Errors
    /// As every statement.
    pub async fn server_facts(&self) -> Result<Vec<(String, String)>, StoreError> {
        Ok(sqlx::query_as(
            "select name::text, current_setting(name) from pg_settings
              where name in ('server_version', 'shared_buffers', 'fsync', 'synchronous_commit', 'full_page_writes', 'max_wal_size')
              order by name",
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Tasks of this worker by state, from the kept counts.
    ///
    /// # Errors
    /// As every statement.
    pub async fn counts(&self, worker: &str) -> Result<Vec<(String, i64)>, StoreError> {
        Ok(sqlx::query_as(
            "select c.state, sum(c.n)::bigint from tidegate.run_counts c join tidegate.runs u on u.id = c.run_id
              where u.worker = $1 group by c.state",
        )
        .bind(worker)
        .fetch_all(&self.pool)
        .await?)
    }

    /// Settles the tables after a bulk load, as autovacuum would in time.
    ///
    /// # Errors
    /// As every statement.
    pub async fn settle_tables(&self) -> Result<(), StoreError> {
        for table in [
            "tidegate.tasks",
            "tidegate.ready",
            "tidegate.running",
            "tidegate.task_results",
        ] {
            sqlx::raw_sql(AssertSqlSafe(format!("vacuum (analyze) {table}")))
                .execute(&self.pool)
                .await?;
        }
        Ok(())
    }
}

/// The control: the least that a durable queue does, in plain SQL. Claim by UPDATE with SKIP LOCKED
/// in order of priority, complete by DELETE and a narrow append; no fences, attempts or results.
#[derive(Clone, Debug)]
pub struct RawQueue {
    pool: PgPool,
}

/// Rows claimed and completed by one statement.
const RAW_BATCH: i64 = 100;
/// Rows inserted by one statement.
const RAW_INSERT: i64 = 1_000;

impl RawQueue {
    /// Makes its tables, empty.
    ///
    /// # Errors
    /// As every statement.
    pub async fn make(store: &Store) -> Result<Self, StoreError> {
        sqlx::raw_sql(
            "create schema if not exists bench;
             drop table if exists bench.jobs, bench.done;
             create table bench.jobs (id bigint generated always as identity primary key, priority int not null, state smallint not null default 0, payload text not null)
               with (fillfactor = 70);
             create index jobs_ready on bench.jobs (priority desc, id) where state = 0;
             create table bench.done (id bigint not null, at timestamptz not null)",
        )
        .execute(store.pool())
        .await?;
        Ok(Self {
            pool: store.pool().clone(),
        })
    }

    /// Inserts so many rows, a thousand a statement.
    ///
    /// # Errors
    /// As every statement.
    pub async fn insert(&self, rows: i64, payload: &str) -> Result<(), StoreError> {
        let mut left = rows;
        while left > 0 {
            let now = left.min(RAW_INSERT);
            sqlx::query(
                "insert into bench.jobs (priority, payload) select 0, p from unnest($1::text[]) p",
            )
            .bind(vec![payload; usize::try_from(now).unwrap_or_default()])
            .execute(&self.pool)
            .await?;
            left -= now;
        }
        sqlx::raw_sql("vacuum (analyze) bench.jobs")
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Claims and completes until nothing is left, over one connection.
    ///
    /// # Errors
    /// As every statement.
    pub async fn drain(&self) -> Result<u64, StoreError> {
        let mut done = 0;
        let mut connection = self.pool.acquire().await?;
        loop {
            let ids: Vec<i64> = sqlx::query_scalar(
                "with c as materialized (select id from bench.jobs where state = 0 order by priority desc, id limit $1 for update skip locked)
                 update bench.jobs j set state = 1 from c where j.id = c.id returning j.id",
            )
            .bind(RAW_BATCH)
            .fetch_all(&mut *connection)
            .await?;
            if ids.is_empty() {
                return Ok(done);
            }
            done += ids.len() as u64;
            sqlx::query(
                "with d as (delete from bench.jobs where id = any($1) returning id) insert into bench.done select id, clock_timestamp() from d",
            )
            .bind(&ids)
            .execute(&mut *connection)
            .await?;
        }
    }
}

/// How long the bench waits for the last task.
pub const PATIENCE: Duration = Duration::from_secs(600);
