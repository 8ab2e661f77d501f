//! Brings the schema up to date: refinery over sqlx's own connection, so that there is one driver
//! and one TLS path.
//!
//! One open transaction that begins with an advisory lock holds everything: one migrator at a time,
//! all or nothing, and a transaction-mode pooler is no trouble. After the numbered files come the
//! functions and views of `sql/functions`; each set of them is applied once, so that an old binary
//! that restarts does not undo what a newer one brought.

use refinery_core::{
    Migration, Runner,
    traits::r#async::{AsyncMigrate, AsyncQuery, AsyncTransaction},
};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Row};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Store, StoreError, link::Conn};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Functions and views, in the order they are applied.
const FUNCTIONS: [&str; 29] = [
    include_str!("sql/functions/01_ids_and_days.sql"),
    include_str!("sql/functions/02_limit_room.sql"),
    include_str!("sql/functions/03_make_ready.sql"),
    include_str!("sql/functions/04_claim.sql"),
    include_str!("sql/functions/04_claim_local.sql"),
    include_str!("sql/functions/05_settle.sql"),
    include_str!("sql/functions/05_settle_local.sql"),
    include_str!("sql/functions/06_care.sql"),
    include_str!("sql/functions/07_by_hand.sql"),
    include_str!("sql/functions/08_views.sql"),
    include_str!("sql/functions/09_enqueue.sql"),
    include_str!("sql/functions/10_models.sql"),
    include_str!("sql/functions/11_needs.sql"),
    include_str!("sql/functions/12_enqueue.sql"),
    include_str!("sql/functions/13_audit.sql"),
    include_str!("sql/functions/14_retention.sql"),
    include_str!("sql/functions/15_learning.sql"),
    include_str!("sql/functions/16_waits.sql"),
    include_str!("sql/functions/17_cache.sql"),
    include_str!("sql/functions/20_health.sql"),
    include_str!("sql/functions/21_runs_and_models.sql"),
    include_str!("sql/functions/22_retier.sql"),
    include_str!("sql/functions/23_reprocess.sql"),
    include_str!("sql/functions/23_savings.sql"),
    include_str!("sql/functions/24_reports.sql"),
    include_str!("sql/functions/25_dry_runs.sql"),
    include_str!("sql/functions/26_interactive.sql"),
    include_str!("sql/functions/27_batches.sql"),
    include_str!("sql/functions/28_lists.sql"),
];

/// The key of the advisory lock that lets one migrator work at a time.
const LOCK: i64 = 0x7469_6465_6761_7465;

/// What a migration did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Names of the numbered files applied now.
    pub applied: Vec<String>,
    /// Whether functions and views were replaced.
    pub functions: bool,
}

/// Brings the schema up to date. Safe to rerun, and to run by any number of processes at once.
///
/// # Errors
/// [`StoreError::NoRights`] when the role may not create the schema, [`StoreError::Migrate`] when a
/// file failed or the database was migrated by a newer program. Nothing is changed then.
pub async fn run(store: &Store) -> Result<Report, StoreError> {
    // its own task: a caller that gives up must not drop a transaction half-way
    let store = store.clone();
    tokio::spawn(async move { run_to_the_end(&store).await })
        .await
        .map_err(|error| StoreError::Migrate(error.to_string()))?
}

async fn run_to_the_end(store: &Store) -> Result<Report, StoreError> {
    let mut transaction = store.pool.begin().await?;
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *transaction)
        .await?;
    sqlx::query("set local lock_timeout = '30s'")
        .execute(&mut *transaction)
        .await?;
    sqlx::query("set local client_min_messages = warning")
        .execute(&mut *transaction)
        .await?;
    sqlx::raw_sql("create schema if not exists tidegate")
        .execute(&mut *transaction)
        .await?;

    let mut runner: Runner = embedded::migrations::runner();
    runner.set_migration_table_name("tidegate.schema_history");
    let report = runner
        .run_async(&mut OverSqlx(&mut transaction))
        .await
        .map_err(|error| words(&error))?;
    let applied: Vec<String> = report
        .applied_migrations()
        .iter()
        .map(ToString::to_string)
        .collect();
    let functions = apply_functions(&mut transaction).await?;
    sqlx::query("select tidegate.ensure_partitions()")
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(Report { applied, functions })
}

/// Whether the schema is as this program needs it.
///
/// # Errors
/// [`StoreError::NotMigrated`] when it is not.
pub async fn check(store: &Store) -> Result<(), StoreError> {
    let known: Option<bool> =
        sqlx::query_scalar("select to_regclass('tidegate.function_sets') is not null")
            .fetch_one(&store.pool)
            .await?;
    if known != Some(true) {
        return Err(StoreError::NotMigrated);
    }
    let ours: bool =
        sqlx::query_scalar("select exists (select from tidegate.function_sets where hash = $1)")
            .bind(functions_hash())
            .fetch_one(&store.pool)
            .await?;
    if ours {
        Ok(())
    } else {
        Err(StoreError::NotMigrated)
    }
}

/// How the schema compares with this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// There is none.
    Absent,
    /// It lacks what this program needs.
    Older,
    /// It is as this program needs it.
    Current,
    /// A newer program migrated it.
    Newer,
}

/// How the schema compares with this program. Changes nothing.
///
/// # Errors
/// As every statement; [`StoreError::NoRights`] where the role may not look.
pub async fn state(store: &Store) -> Result<SchemaState, StoreError> {
    let known: bool = sqlx::query_scalar(
        "select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                         where n.nspname = 'tidegate' and c.relname = 'function_sets')",
    )
    .fetch_one(&store.pool)
    .await?;
    if !known {
        return Ok(SchemaState::Absent);
    }
    let newest: i32 =
        sqlx::query_scalar("select coalesce(max(version), 0)::int from tidegate.schema_history")
            .fetch_one(&store.pool)
            .await?;
    let ours = embedded::migrations::runner();
    let ours = ours.get_migrations().iter().map(Migration::version).max();
    if ours.is_some_and(|ours| i64::from(newest) > i64::from(ours)) {
        return Ok(SchemaState::Newer);
    }
    match check(store).await {
        Ok(()) => Ok(SchemaState::Current),
        Err(StoreError::NotMigrated) => Ok(SchemaState::Older),
        Err(error) => Err(error),
    }
}

async fn apply_functions(connection: &mut Conn) -> Result<bool, StoreError> {
    sqlx::raw_sql(
        "create table if not exists tidegate.function_sets (
           hash text primary key, applied_at timestamptz not null default clock_timestamp())",
    )
    .execute(&mut *connection)
    .await?;
    let fresh = sqlx::query(
        "insert into tidegate.function_sets (hash) values ($1) on conflict do nothing returning hash",
    )
    .bind(functions_hash())
    .fetch_optional(&mut *connection)
    .await?
    .is_some();
    if fresh {
        for text in FUNCTIONS {
            sqlx::raw_sql(text).execute(&mut *connection).await?;
        }
    }
    Ok(fresh)
}

fn functions_hash() -> String {
    let mut hasher = Sha256::new();
    for text in FUNCTIONS {
        hasher.update(text.as_bytes());
        hasher.update([0]);
    }
    hex::encode(hasher.finalize())
}

fn words(error: &refinery_core::Error) -> StoreError {
    use std::error::Error as _;
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(sqlx::Error::Database(database)) = inner.downcast_ref::<sqlx::Error>()
            && database.code().as_deref() == Some("42501")
        {
            return StoreError::NoRights(database.message().to_owned());
        }
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    StoreError::Migrate(text)
}

/// refinery's three traits over an open transaction of sqlx.
struct OverSqlx<'c>(&'c mut Conn);

impl AsyncTransaction for OverSqlx<'_> {
    type Error = sqlx::Error;

    async fn execute<'a, T: Iterator<Item = &'a str> + Send + 'a>(
        &'a mut self,
        queries: T,
    ) -> Result<usize, sqlx::Error> {
        let mut count = 0;
        for query in queries {
            // the text is ours: numbered files and refinery's own history statements
            sqlx::raw_sql(AssertSqlSafe(query.to_owned()))
                .execute(&mut *self.0)
                .await?;
            count += 1;
        }
        Ok(count)
    }
}

impl AsyncQuery<Vec<Migration>> for OverSqlx<'_> {
    async fn query<'a>(&'a mut self, query: &'a str) -> Result<Vec<Migration>, sqlx::Error> {
        let rows = sqlx::query(AssertSqlSafe(query.to_owned()))
            .fetch_all(&mut *self.0)
            .await?;
        rows.iter()
            .map(|row| {
                let applied_on: String = row.try_get("applied_on")?;
                let checksum: String = row.try_get("checksum")?;
                Ok(Migration::applied(
                    row.try_get("version")?,
                    row.try_get("name")?,
                    OffsetDateTime::parse(&applied_on, &Rfc3339)
                        .map_err(|error| sqlx::Error::Decode(error.into()))?,
                    checksum.parse().map_err(|error| {
                        sqlx::Error::Decode(Box::<dyn std::error::Error + Send + Sync>::from(
                            std::num::ParseIntError::to_string(&error),
                        ))
                    })?,
                ))
            })
            .collect()
    }
}

impl AsyncMigrate for OverSqlx<'_> {}
