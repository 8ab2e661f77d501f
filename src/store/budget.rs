//! Budgets: what a run, or everything in a day, may cost.

use serde::Serialize;
use uuid::Uuid;

use super::{Store, StoreError};

/// A budget and what is left of it, in micro-dollars.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// Its run. `None`: of the day (by UTC), for all.
    pub run_id: Option<Uuid>,
    /// What may be spent.
    pub budget_microusd: i64,
    /// Calls that ended; where it is not known what one cost, its worst.
    pub spent_microusd: i64,
    /// Calls under way, at their worst.
    pub reserved_microusd: i64,
    /// What may be claimed yet.
    pub left_microusd: i64,
    /// file or hand.
    pub source: String,
}

/// What a budget of a run can hold on to: money is reserved at worst case, so prices and the longest
/// answer must be known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Basis {
    /// Models with a price.
    pub priced: Vec<String>,
    /// Models without: under a budget they are not asked.
    pub unpriced: Vec<String>,
    /// Some answer is of any length.
    pub unbounded: bool,
}

impl Store {
    /// What a run may cost, or with `run: None` everything in a day (by UTC), in micro-dollars;
    /// `None`: not bounded. What was spent before counts.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a run that is not there, or a negative budget.
    pub async fn set_budget(
        &self,
        run: Option<Uuid>,
        microusd: Option<i64>,
    ) -> Result<(), StoreError> {
        sqlx::query_scalar!(
            r#"select tidegate.set_budget($1, $2)::text as done"#,
            run,
            microusd
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(())
    }

    /// Writes the day's budget as the file says it (`None`: it says that there is none), if it says
    /// something else than at its last sync. `false`: it does not.
    ///
    /// # Errors
    /// As every statement.
    pub async fn sync_budget(&self, microusd: Option<i64>) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select tidegate.sync_budget_v1($1) as "changed!""#,
            microusd
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// What a budget of this run can hold on to.
    ///
    /// # Errors
    /// As every statement.
    pub async fn budget_basis(&self, run: Uuid) -> Result<Basis, StoreError> {
        let rows = sqlx::query!(
            r#"select m.model, m.input_price_microusd is not null and m.output_price_microusd is not null as "priced!",
                      bool_or(n.max_output is null and n.est_output > 0) as "unbounded!"
                 from tidegate.lanes n
                cross join lateral unnest(n.ladder) z (model_id)
                 join tidegate.models m on m.model_id = z.model_id
                where n.run_id = $1 group by m.model_id order by m.model"#,
            run
        )
        .fetch_all(&self.pool)
        .await?;
        let mut basis = Basis::default();
        for row in rows {
            basis.unbounded |= row.unbounded;
            match row.priced {
                true => basis.priced.push(row.model),
                false => basis.unpriced.push(row.model),
            }
        }
        Ok(basis)
    }

    /// The budget of a run, or with `None` of the day. `None`: there is none.
    ///
    /// # Errors
    /// As every statement.
    pub async fn budget(&self, run: Option<Uuid>) -> Result<Option<Budget>, StoreError> {
        Ok(sqlx::query_as!(
            Budget,
            r#"select run_id, budget_microusd as "budget_microusd!", spent_microusd as "spent_microusd!",
                      reserved_microusd as "reserved_microusd!", left_microusd as "left_microusd!", source as "source!"
                 from tidegate.budgets where run_id is not distinct from $1"#,
            run
        )
        .fetch_optional(&self.pool)
        .await?)
    }
}
