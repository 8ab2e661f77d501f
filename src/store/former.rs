//! Former tasks that are done anew: their items, those that wait, their siblings.

use uuid::Uuid;

use super::{Store, StoreError, load::ScoredItem};

impl Store {
    /// The items of these tasks, in their order, as a copy would take them; one that comes again is left
    /// out, and one whose body is gone.
    ///
    /// # Errors
    /// As every statement.
    pub async fn items_of_tasks(&self, tasks: &[Uuid]) -> Result<Vec<ScoredItem>, StoreError> {
        let rows = sqlx::query!(
            r#"select distinct on (g.item_id) g.place as "place!", g.id as "id!", g.item_id as "item_id!", g.body::text as "body!", g.version, g.score as "score!"
                 from (select z.place, t.id, coalesce(t.item_id, t.id::text) as item_id, coalesce(t.payload, i.body) as body, i.version,
                              coalesce(i.score, t.priority) as score
                         from unnest($1::uuid[]) with ordinality z (id, place)
                         join tidegate.tasks t on t.id = z.id
                         left join tidegate.items i on i.run_id = t.run_id and i.item_id = t.item_id) g
                where g.body is not null order by g.item_id, g.place"#,
            tasks,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut rows = rows;
        rows.sort_by_key(|row| row.place);
        let items = rows.into_iter().map(|row| ScoredItem {
            id: row.item_id,
            body: row.body,
            version: row.version,
            category: None,
            score: row.score,
            of_task: Some(row.id),
        });
        Ok(items.collect())
    }

    /// Which of these items wait in some task of the worker: (component, item).
    ///
    /// # Errors
    /// As every statement.
    pub async fn waiting_keys(
        &self,
        worker: &str,
        items: &[String],
    ) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query!(
            "select component, item_id from tidegate.open_keys where worker = $1 and item_id = any($2)",
            worker,
            items,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.component, row.item_id))
            .collect())
    }

    /// The tasks of all components beside these, themselves included: those of the same run and item.
    /// Each as (one of these, component, its task).
    ///
    /// # Errors
    /// As every statement.
    pub async fn siblings(&self, tasks: &[Uuid]) -> Result<Vec<(Uuid, String, Uuid)>, StoreError> {
        let rows = sqlx::query!(
            "select t.id, o.component, o.id as of_component from tidegate.tasks t
               join tidegate.tasks o on o.run_id = t.run_id and o.item_id = t.item_id
              where t.id = any($1)",
            tasks,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.id, row.component, row.of_component))
            .collect())
    }
}
