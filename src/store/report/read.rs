//! The statements: what is cheap enough for a screen that is redrawn, and what reads each task of a run.

use sqlx::types::Json;
use uuid::Uuid;

use super::{Calls, Figures, Groups, RunReport, Stand, TierStand, success_rate};
use crate::store::{Store, StoreError};

impl Store {
    /// Where the tasks of these runs stand, by tier: from the kept counts, so it costs the same for ten
    /// tasks and ten million.
    ///
    /// # Errors
    /// As every statement.
    pub async fn tier_stands(&self, runs: &[Uuid]) -> Result<Vec<TierStand>, StoreError> {
        let rows = sqlx::query!(
            r#"select c.tier, coalesce(sum(c.n), 0)::bigint as "total!",
                      coalesce(sum(c.n) filter (where c.state in ('blocked', 'scheduled', 'ready')), 0)::bigint as "waiting!",
                      coalesce(sum(c.n) filter (where c.state in ('running', 'in_batch')), 0)::bigint as "running!",
                      coalesce(sum(c.n) filter (where c.state = 'in_batch'), 0)::bigint as "in_batch!",
                      coalesce(sum(c.n) filter (where c.state = 'done'), 0)::bigint as "done!",
                      coalesce(sum(c.n) filter (where c.state = 'failed'), 0)::bigint as "failed!",
                      coalesce(sum(c.n) filter (where c.state = 'cancelled'), 0)::bigint as "cancelled!"
                 from tidegate.run_counts c where c.run_id = any($1) group by c.tier having sum(c.n) <> 0 order by c.tier"#,
            runs
        )
        .fetch_all(&self.pool)
        .await?;
        let stands = rows.into_iter().map(|row| TierStand {
            tier: row.tier,
            stand: Stand {
                total: row.total,
                waiting: row.waiting,
                running: row.running,
                in_batch: row.in_batch,
                done: row.done,
                failed: row.failed,
                cancelled: row.cancelled,
                success_rate: success_rate(row.done, row.failed),
            },
        });
        Ok(stands.collect())
    }

    /// Whether all of these runs have ended.
    ///
    /// # Errors
    /// As every statement.
    pub async fn have_ended(&self, runs: &[Uuid]) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select not exists (select from tidegate.runs u where u.id = any($1) and u.state in ('loading', 'active', 'paused')) as "ended!""#,
            runs
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// How the tasks of these runs stand, the categories but for the largest so many in one. Reads each
    /// task of them: as dear as the runs are large.
    ///
    /// # Errors
    /// As every statement.
    pub async fn run_groups(&self, runs: &[Uuid], categories: i32) -> Result<Groups, StoreError> {
        let row = sqlx::query_scalar!(
            r#"select tidegate.run_groups_v1($1, $2) as "groups!: Json<Groups>""#,
            runs,
            categories
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(row.0)
    }

    /// What the calls of these runs came to. Reads each call of them.
    ///
    /// # Errors
    /// As every statement.
    pub async fn run_calls(&self, runs: &[Uuid]) -> Result<Calls, StoreError> {
        let row = sqlx::query_scalar!(
            r#"select tidegate.run_calls_v1($1) as "calls!: Json<Calls>""#,
            runs
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(row.0)
    }

    /// All figures of these runs. Reads each task and call of them.
    ///
    /// # Errors
    /// As every statement.
    pub async fn run_figures(&self, runs: &[Uuid]) -> Result<Figures, StoreError> {
        let row = sqlx::query_scalar!(
            r#"select tidegate.run_figures_v1($1) as "figures!: Json<Figures>""#,
            runs
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(row.0)
    }

    /// The report of a run: the one that was kept at its end, which is made now where that was not done;
    /// of a run that goes on as it stands. `None`: there is no such run.
    ///
    /// # Errors
    /// As every statement.
    pub async fn run_report(&self, run: Uuid) -> Result<Option<RunReport>, StoreError> {
        if let Some(kept) = self.kept_report(run).await? {
            return Ok(Some(kept));
        }
        match self.keep_report(run).await {
            Ok(true) => {
                if let Some(kept) = self.kept_report(run).await? {
                    return Ok(Some(kept));
                }
            }
            Ok(false) => {}
            // who may only read is told all the same
            Err(error) if error.is_write_refused() => {}
            Err(error) => return Err(error),
        }
        let row = sqlx::query_scalar!(
            r#"select tidegate.run_report_v1($1) as "report: Json<RunReport>""#,
            run
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(row.map(|row| row.0))
    }

    /// The report that was kept of the end that the run has now, if no call of it is open.
    async fn kept_report(&self, run: Uuid) -> Result<Option<RunReport>, StoreError> {
        let row = sqlx::query_scalar!(
            r#"select r.report as "report: Json<RunReport>" from tidegate.run_reports r join tidegate.runs u on u.id = r.run_id
                where r.run_id = $1 and r.ended_at = u.finished_at
                  and (r.calls_open = 0 or r.made_at > clock_timestamp() - interval '5 s' or r.made_at > r.ended_at + interval '1 h')
                  and not exists (select from tidegate.provider_batches b where b.run_id = r.run_id and b.stored_at > r.made_at)"#,
            run
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| row.0))
    }

    /// Keeps the report of a run that has ended. `false`: it has not.
    ///
    /// # Errors
    /// As every statement.
    pub async fn keep_report(&self, run: Uuid) -> Result<bool, StoreError> {
        Ok(
            sqlx::query_scalar!(r#"select tidegate.keep_report_v1($1) as "kept!""#, run)
                .fetch_one(&self.pool)
                .await?,
        )
    }

    /// Keeps the report of one run that ended lately and has none yet. `false`: there is none such.
    ///
    /// # Errors
    /// As every statement.
    pub async fn keep_next_report(&self) -> Result<bool, StoreError> {
        Ok(
            sqlx::query_scalar!(r#"select tidegate.keep_next_report_v1() as "kept!""#)
                .fetch_one(&self.pool)
                .await?,
        )
    }
}
