//! The tasks of a run, page by page in order of item: for exports and acts on a whole run.
//!
//! Pages follow (item, id) on the index `tasks_by_item`, each in a statement of its own: memory and
//! snapshots stay small whatever the size of the run.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Store, StoreError, task::TaskFilter};
use crate::task::Answer;

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The item of its last task. Tasks without one come last, in order of id.
    pub item: Option<String>,
    /// Its last task.
    pub task: Uuid,
}

impl Place {
    fn parts(place: Option<&Self>) -> (Option<&str>, Option<Uuid>) {
        let item = place.and_then(|it| it.item.as_deref());
        (item, place.map(|it| it.task))
    }
}

/// A task with what became of it, its answer left out.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The task.
    pub task: Uuid,
    /// Its item. `None`: it was enqueued by itself.
    pub item: Option<String>,
    /// The step of the worker it belongs to; empty: the worker is one step.
    pub component: String,
    /// Its category.
    pub category: Option<String>,
    /// Its tier.
    pub tier: i16,
    /// Where it stands.
    pub state: String,
    /// The model that answered, else its primary. `None`: local work.
    pub model: Option<String>,
    /// Charged calls.
    pub attempts: i32,
    /// Micro-dollars of all its calls, estimates included.
    pub cost_microusd: i64,
    /// A fixed word for its last failure.
    pub error_class: Option<String>,
    /// Its last failure in words.
    pub error: Option<String>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Its generation.
    pub generation: i32,
    /// Bytes of its answer; 0: there is none.
    pub answer_bytes: i64,
}

impl Outcome {
    /// Where a page ends whose last task this is.
    pub fn place(&self) -> Place {
        Place {
            item: self.item.clone(),
            task: self.task,
        }
    }
}

impl Store {
    /// The next tasks of a run after a place, in order of item, in these states (none: in any).
    ///
    /// # Errors
    /// As every statement.
    pub async fn outcomes(
        &self,
        run: Uuid,
        after: Option<&Place>,
        states: &[String],
        limit: i64,
    ) -> Result<Vec<Outcome>, StoreError> {
        let (item, task) = Place::parts(after);
        if after.is_none() || item.is_some() {
            let page = sqlx::query_as!(
                Outcome,
                r#"select t.id as task, t.item_id as item, t.component, t.category, t.tier, t.state,
                      coalesce(t.model_used, t.model) as model, t.attempts, t.error_class, t.last_error as error, t.finished_at,
                      t.generation, coalesce(octet_length(r.answer), 0)::bigint as "answer_bytes!",
                      coalesce((select sum(case when not c.sent then 0 when c.ended_at is null then c.est_cost_microusd
                                                else coalesce(c.cost_microusd, 0) end)
                                  from tidegate.calls c where c.task_id = t.id), 0)::bigint as "cost_microusd!"
                 from tidegate.tasks t
                 left join tidegate.task_results r on r.task_id = t.id and r.generation = t.generation
                where t.run_id = $1 and t.item_id is not null
                  and ($2::text is null or t.item_id >= $2) and ($2::text is null or (t.item_id, t.id) > ($2, $3))
                  and (cardinality($4::text[]) = 0 or t.state = any($4))
                order by t.item_id, t.id limit $5"#,
                run,
                item,
                task,
                states,
                limit,
            )
            .fetch_all(&self.pool)
            .await?;
            if !page.is_empty() {
                return Ok(page);
            }
        }
        Ok(sqlx::query_as!(
            Outcome,
            r#"select t.id as task, t.item_id as item, t.component, t.category, t.tier, t.state,
                      coalesce(t.model_used, t.model) as model, t.attempts, t.error_class, t.last_error as error, t.finished_at,
                      t.generation, coalesce(octet_length(r.answer), 0)::bigint as "answer_bytes!",
                      coalesce((select sum(case when not c.sent then 0 when c.ended_at is null then c.est_cost_microusd
                                                else coalesce(c.cost_microusd, 0) end)
                                  from tidegate.calls c where c.task_id = t.id), 0)::bigint as "cost_microusd!"
                 from tidegate.tasks t
                 left join tidegate.task_results r on r.task_id = t.id and r.generation = t.generation
                where t.run_id = $1 and t.item_id is null and ($2::uuid is null or t.id > $2)
                  and (cardinality($3::text[]) = 0 or t.state = any($3))
                order by t.id limit $4"#,
            run,
            task.filter(|_| item.is_none()),
            states,
            limit,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// The answers of these tasks in these generations, byte for byte.
    ///
    /// # Errors
    /// As every statement.
    pub async fn answers(&self, of: &[(Uuid, i32)]) -> Result<Vec<(Uuid, Answer)>, StoreError> {
        let (tasks, generations): (Vec<Uuid>, Vec<i32>) = of.iter().copied().unzip();
        let rows = sqlx::query!(
            "select r.task_id, r.answer from tidegate.task_results r
              where (r.task_id, r.generation) in (select * from unnest($1::uuid[], $2::int[]))",
            &tasks,
            &generations,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| Some((row.task_id, Answer::json(row.answer).ok()?)))
            .collect())
    }

    /// The answers of these tasks in their present generation, byte for byte. What has none is left out.
    ///
    /// # Errors
    /// As every statement.
    pub async fn answers_of(&self, tasks: &[Uuid]) -> Result<Vec<(Uuid, Answer)>, StoreError> {
        let rows = sqlx::query!(
            "select t.id, r.answer from tidegate.tasks t
               join tidegate.task_results r on r.task_id = t.id and r.generation = t.generation
              where t.id = any($1)",
            tasks,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| Some((row.id, Answer::json(row.answer).ok()?)))
            .collect())
    }

    /// The next tasks of a run after a place, in order of item, that the filter names and that are
    /// in one of these states.
    ///
    /// # Errors
    /// As every statement.
    pub async fn task_places(
        &self,
        run: Uuid,
        after: Option<&Place>,
        filter: &TaskFilter,
        states: &[String],
        limit: i64,
    ) -> Result<Vec<Place>, StoreError> {
        let (item, task) = Place::parts(after);
        if after.is_none() || item.is_some() {
            let page = sqlx::query_as!(
                Place,
                r#"select t.item_id as item, t.id as task from tidegate.tasks t
                where t.run_id = $1 and t.item_id is not null
                  and ($2::text is null or t.item_id >= $2) and ($2::text is null or (t.item_id, t.id) > ($2, $3))
                  and t.state = any($4) and ($5::text is null or t.worker = $5) and ($6::smallint is null or t.tier = $6)
                  and ($7::text is null or t.error_class = $7) and ($8::text is null or t.item_id = $8)
                  and ($9::text is null or t.component = $9)
                order by t.item_id, t.id limit $10"#,
                run,
                item,
                task,
                states,
                filter.worker,
                filter.tier,
                filter.error_class,
                filter.item,
                filter.component,
                limit,
            )
            .fetch_all(&self.pool)
            .await?;
            if !page.is_empty() || filter.item.is_some() {
                return Ok(page);
            }
        }
        Ok(sqlx::query_as!(
            Place,
            r#"select t.item_id as item, t.id as task from tidegate.tasks t
                where t.run_id = $1 and t.item_id is null and ($2::uuid is null or t.id > $2)
                  and t.state = any($3) and ($4::text is null or t.worker = $4) and ($5::smallint is null or t.tier = $5)
                  and ($6::text is null or t.error_class = $6) and ($7::text is null or t.component = $7)
                order by t.id limit $8"#,
            run,
            task.filter(|_| item.is_none()),
            states,
            filter.worker,
            filter.tier,
            filter.error_class,
            filter.component,
            limit,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// The next tasks before this one (the newest first), that the filter names and that are in one
    /// of these states. The filter's own state is not looked at.
    ///
    /// # Errors
    /// As every statement.
    pub async fn task_ids(
        &self,
        before: Option<Uuid>,
        filter: &TaskFilter,
        states: &[String],
        limit: i64,
    ) -> Result<Vec<Uuid>, StoreError> {
        Ok(sqlx::query_scalar!(
            "select id from tidegate.tasks
              where ($1::uuid is null or id < $1) and state = any($2) and ($3::text is null or worker = $3)
                and ($4::smallint is null or tier = $4) and ($5::text is null or error_class = $5)
                and ($6::text is null or item_id = $6) and ($7::text is null or component = $7)
              order by id desc limit $8",
            before,
            states,
            filter.worker,
            filter.tier,
            filter.error_class,
            filter.item,
            filter.component,
            limit,
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
