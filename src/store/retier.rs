//! New tiers for what waits of a run: where the tiers end, who waits, and moving them a chunk a statement.

use uuid::Uuid;

use super::{
    Store, StoreError,
    run::{Asking, Pacing},
    unless_in_conflict,
};

/// What a run is worked by.
#[derive(Clone, Debug)]
pub struct RunDefinition {
    /// The worker's name.
    pub worker: String,
    /// loading, active, paused, done or cancelled.
    pub state: String,
    /// The hash its definition is kept under.
    pub hash: Vec<u8>,
    /// Its tasks.
    pub tasks: i64,
    /// It is where tasks enqueued one by one come in now.
    pub standing: bool,
}

/// The last key of each tier but the last, in order of rank.
#[derive(Clone, Debug, Default)]
pub struct RankEnds {
    priorities: Vec<f64>,
    items: Vec<String>,
    tasks: Vec<Uuid>,
}

/// Tasks that moved, or would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// From this tier.
    pub from: i16,
    /// To this one; the same: only its ladder is another.
    pub to: i16,
    /// So many.
    pub tasks: i64,
}

/// Waiting tasks of one tier and ladder that belong to one tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The tier they have.
    pub from: i16,
    /// The models' numbers of their ladder.
    pub ladder: Vec<i32>,
    /// The tier they belong to.
    pub to: i16,
    /// So many.
    pub tasks: i64,
}

impl Store {
    /// What a run is worked by. `None`: there is no such run.
    ///
    /// # Errors
    /// As every statement.
    pub async fn run_definition(&self, run: Uuid) -> Result<Option<RunDefinition>, StoreError> {
        Ok(sqlx::query_as!(
            RunDefinition,
            r#"select u.worker, u.state, u.definition_hash as hash,
                      coalesce((select sum(c.n) from tidegate.run_counts c where c.run_id = u.id), 0)::bigint as "tasks!",
                      exists (select from tidegate.workers w where w.run_id = u.id) as "standing!"
                 from tidegate.runs u where u.id = $1"#,
            run
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// The keys at these ranks (from 1) over all tasks of the run.
    ///
    /// # Errors
    /// As every statement.
    pub async fn rank_ends(&self, run: Uuid, ends: &[i64]) -> Result<RankEnds, StoreError> {
        let rows = sqlx::query!(
            r#"select o_priority as "priority!", o_item as "item!", o_id as "task!" from tidegate.rank_ends_v1($1, $2)"#,
            run,
            ends,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut found = RankEnds::default();
        for row in rows {
            found.priorities.push(row.priority);
            found.items.push(row.item);
            found.tasks.push(row.task);
        }
        Ok(found)
    }

    /// Puts an open run under another definition. `false`: it is not open.
    ///
    /// # Errors
    /// As every statement.
    pub async fn redefine_run(
        &self,
        run: Uuid,
        hash: &[u8],
        mix: &[f32],
        pacing: &Pacing,
        asking: &Asking,
    ) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select tidegate.redefine_run_v3($1, $2, $3, $4, $5, $6, $7, $8, $9) as "hit!""#,
            run,
            hash,
            mix,
            pacing.stagger_ms,
            pacing.cool_after,
            pacing.cool_ms,
            asking.strategy.as_str(),
            asking.purpose.as_str(),
            asking.within_s,
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// The next tasks of a run's component that wait, in order of id, after this one.
    ///
    /// # Errors
    /// As every statement.
    pub async fn waiting_of(
        &self,
        run: Uuid,
        component: &str,
        after: Uuid,
        limit: i64,
    ) -> Result<Vec<Uuid>, StoreError> {
        Ok(sqlx::query_scalar!(
            "select id from tidegate.tasks
              where run_id = $1 and component = $2 and id > $3 and state in ('blocked', 'scheduled', 'ready')
              order by id limit $4",
            run,
            component,
            after,
            limit,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Gives those of these tasks that wait the lane of their rank; `lanes`: of each tier, in order.
    ///
    /// # Errors
    /// As every statement; nothing of the chunk moved then.
    pub async fn retier(
        &self,
        run: Uuid,
        tasks: &[Uuid],
        lanes: &[i32],
        ends: &RankEnds,
    ) -> Result<Vec<Moved>, StoreError> {
        unless_in_conflict(|| async {
            Ok(sqlx::query_as!(
                Moved,
                r#"select o_from as "from!", o_to as "to!", o_n as "tasks!" from tidegate.retier_v1($1, $2, $3, $4, $5, $6)"#,
                run,
                tasks,
                lanes,
                &ends.priorities,
                &ends.items,
                &ends.tasks,
            )
            .fetch_all(&self.pool)
            .await?)
        })
        .await
    }

    /// Where what waits of a run stands, and where it belongs.
    ///
    /// # Errors
    /// As every statement.
    pub async fn retier_outlook(
        &self,
        run: Uuid,
        ends: &RankEnds,
    ) -> Result<Vec<Standing>, StoreError> {
        Ok(sqlx::query_as!(
            Standing,
            r#"select o_from as "from!", o_ladder as "ladder!", o_to as "to!", o_n as "tasks!"
                 from tidegate.retier_outlook_v1($1, $2, $3, $4)"#,
            run,
            &ends.priorities,
            &ends.items,
            &ends.tasks,
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
