//! Choosing how lanes are asked: which wait for it, and what was chosen, with its batches.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::store::{Store, StoreError};

/// A lane for which it is to be chosen how it is asked, with what the choice is to be about.
#[derive(Clone, Debug, PartialEq)]
pub struct Undecided {
    /// The lane.
    pub lane: i32,
    /// Its run.
    pub run: Uuid,
    /// Its worker.
    pub worker: String,
    /// Its component.
    pub component: String,
    /// What the run asks for: auto, batch or hybrid.
    pub mode: String,
    /// bulk or interactive.
    pub purpose: String,
    /// Seconds within which answers are wanted.
    pub within_s: Option<f64>,
    /// Seconds since it was last looked at by who could choose.
    pub unchosen_s: f64,
    /// It came back from a batch for want of time.
    pub singly: bool,
    /// When it was chosen last; what is chosen now counts only if that has not changed.
    pub decided_at: Option<DateTime<Utc>>,
    /// Numbers of its models, the first choice first.
    pub ladder: Vec<i32>,
    /// Tasks that wait (50,000 at most are counted).
    pub waiting: i64,
    /// Input tokens of one, on average.
    pub est_input: i32,
    /// Output tokens that are reserved of one.
    pub est_output: i32,
    /// How many travel in one call.
    pub pack_size: i16,
}

/// A choice to be written down.
#[derive(Clone, Debug)]
pub struct Chosen<'a> {
    /// Its id.
    pub id: Uuid,
    /// The lane.
    pub lane: i32,
    /// When it was chosen before.
    pub was: Option<DateTime<Utc>>,
    /// Its tasks are claimed one by one from now on.
    pub release: bool,
    /// The model that it is about.
    pub model: &'a str,
    /// Tasks that it is about.
    pub items: i64,
    /// individual, batch or hybrid.
    pub strategy: &'a str,
    /// How many of them go one by one.
    pub singles: u32,
    /// Why, in one line.
    pub reason: &'a str,
    /// What was known, for who asks later.
    pub facts: Value,
}

/// A batch to be formed.
#[derive(Clone, Debug)]
pub struct NewBatch<'a> {
    /// Its id.
    pub id: Uuid,
    /// Its token.
    pub token: &'a str,
    /// The lane whose tasks it takes.
    pub lane: i32,
    /// The model.
    pub model_id: i32,
    /// Its place in the ladder.
    pub rung: i16,
    /// The best of the lane that are left for single calls.
    pub skip: u32,
    /// Items at most.
    pub items: usize,
    /// After so many seconds what is not back is asked one by one. `None`: never.
    pub rescue_after_s: Option<f64>,
    /// The choice that it follows from.
    pub decision: Uuid,
    /// These tasks only. `None`: all of the lane.
    pub tasks: Option<&'a [Uuid]>,
}

/// What became of forming a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formed {
    /// It holds so many tasks.
    Tasks(usize),
    /// Some needed no asking and went out of the way: there may be others.
    Aside,
    /// There is nothing to take.
    Nothing,
    /// There is no room for a batch, or no money.
    NoRoom,
}

impl Store {
    /// Lanes for which it is to be chosen how they are asked: those of `workers` (`None`: all).
    ///
    /// # Errors
    /// As every statement.
    pub async fn undecided(
        &self,
        workers: Option<&[String]>,
    ) -> Result<Vec<Undecided>, StoreError> {
        Ok(
            sqlx::query_file_as!(Undecided, "src/store/sql/undecided.sql", workers)
                .fetch_all(&self.pool)
                .await?,
        )
    }

    /// Writes a choice down. `false`: another process chose meanwhile, and nothing was written.
    ///
    /// # Errors
    /// As every statement.
    pub async fn decide(&self, chosen: &Chosen<'_>) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select tidegate.decide_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) as "done!""#,
            chosen.lane,
            chosen.was,
            chosen.release,
            chosen.id,
            chosen.model,
            i32::try_from(chosen.items).unwrap_or(i32::MAX),
            chosen.strategy,
            i32::try_from(chosen.singles).unwrap_or(i32::MAX),
            chosen.reason,
            chosen.facts,
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// The next look at a lane is a second away.
    ///
    /// # Errors
    /// As every statement.
    pub async fn look_later(&self, lane: i32) -> Result<(), StoreError> {
        sqlx::query!(
            "update tidegate.lanes set decided_at = clock_timestamp() where lane = $1",
            lane
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Takes ready tasks of a lane into a new batch, with its intent.
    ///
    /// # Errors
    /// As every statement; [`StoreError::LeaseLost`] where the process was declared lost.
    pub async fn form_batch(
        &self,
        process: Uuid,
        batch: &NewBatch<'_>,
    ) -> Result<Formed, StoreError> {
        let formed = sqlx::query_scalar!(
            r#"select tidegate.form_batch_v1($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp() + make_interval(secs => $9), $10, $11) as "n!""#,
            process,
            batch.id,
            batch.token,
            batch.lane,
            batch.model_id,
            batch.rung,
            i32::try_from(batch.skip).unwrap_or(i32::MAX),
            i32::try_from(batch.items).unwrap_or(i32::MAX),
            batch.rescue_after_s,
            batch.decision,
            batch.tasks,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(match usize::try_from(formed) {
            Ok(0) => Formed::Nothing,
            Ok(tasks) => Formed::Tasks(tasks),
            Err(_) if formed == -1 => Formed::Aside,
            Err(_) => Formed::NoRoom,
        })
    }

    /// Lanes in which nothing waits any more wait for a choice again.
    ///
    /// # Errors
    /// As every statement.
    pub async fn hold_again(&self) -> Result<(), StoreError> {
        sqlx::query_scalar!(r#"select tidegate.hold_again_v1() as "n!""#)
            .fetch_one(&self.pool)
            .await?;
        Ok(())
    }

    /// Sums up how long calls and batches took lately.
    ///
    /// # Errors
    /// As every statement.
    pub async fn learn_latencies(&self) -> Result<(), StoreError> {
        sqlx::query!("select tidegate.learn_latencies_v1()")
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
