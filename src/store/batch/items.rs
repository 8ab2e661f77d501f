//! Items of a batch: read to be asked and to be settled, given back, divided.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Batch;
use crate::store::{
    Store, StoreError,
    claim::{Bodies, Claimed},
};

/// An item of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchItem {
    /// Its place in the batch.
    pub n: i32,
    /// Its task, as if it had been claimed: prices are those of the batch.
    pub claimed: Claimed,
    /// `false`: the task went on without its batch.
    pub waits: bool,
}

struct ItemRow {
    n: i32,
    waits: bool,
    task: Uuid,
    run: Uuid,
    item: Option<String>,
    generation: i32,
    lane: i32,
    tier: i16,
    model: String,
    model_id: i32,
    rung: i16,
    ladder_len: i32,
    priority: f64,
    est_input: i32,
    est_output: i32,
    attempt: i32,
    max_attempts: i32,
    epoch: i32,
    nonce: i64,
    tries: Vec<i16>,
    rescues: i16,
    spent_ms: i64,
    call: Uuid,
    granted_at: DateTime<Utc>,
    call_timeout_ms: i32,
    input_price: Option<i64>,
    output_price: Option<i64>,
    definition: Vec<u8>,
    worker: String,
    component: String,
}

impl From<ItemRow> for BatchItem {
    fn from(row: ItemRow) -> Self {
        Self {
            n: row.n,
            waits: row.waits,
            claimed: Claimed {
                task: row.task,
                run: row.run,
                item: row.item,
                generation: row.generation,
                lane: row.lane,
                tier: row.tier,
                model: row.model,
                model_id: row.model_id,
                rung: row.rung,
                ladder_len: i16::try_from(row.ladder_len).unwrap_or(i16::MAX),
                priority: row.priority,
                est_input: row.est_input,
                est_output: row.est_output,
                attempt: row.attempt,
                max_attempts: row.max_attempts,
                epoch: row.epoch,
                nonce: row.nonce,
                tries: row.tries,
                rescues: row.rescues,
                spent_ms: row.spent_ms,
                call: row.call,
                granted_at: row.granted_at,
                call_timeout_ms: row.call_timeout_ms,
                input_price: row.input_price,
                output_price: row.output_price,
                definition: row.definition,
                expired: false,
                worker: row.worker,
                component: row.component,
                pack: None,
            },
        }
    }
}

impl Store {
    /// Up to `most` items of a batch that still wait in it, in order, after this place; or with `tasks`
    /// those of these tasks, whether they wait or not.
    ///
    /// # Errors
    /// As every statement.
    pub async fn batch_items(
        &self,
        batch: Uuid,
        after: i32,
        most: i64,
        tasks: Option<&[Uuid]>,
    ) -> Result<Vec<BatchItem>, StoreError> {
        let rows = sqlx::query_as!(
            ItemRow,
            r#"select i.n as "n!", i.waits as "waits!", i.id as "task!", t.run_id as run, t.item_id as item, t.generation, i.lane as "lane!", t.tier,
                      m.model, i.model_id as "model_id!", i.rung as "rung!", coalesce(array_length(n.ladder, 1), 1) as "ladder_len!",
                      i.priority as "priority!", i.est_input as "est_input!", i.est_output as "est_output!", i.attempts as "attempt!",
                      t.max_attempts, i.epoch as "epoch!", i.nonce as "nonce!", i.tries as "tries!", i.rescues as "rescues!",
                      i.spent_ms as "spent_ms!", i.call_id as "call!", i.granted_at as "granted_at!", n.call_timeout_ms,
                      (m.input_price_microusd * m.batch_percent + 99) / 100 as input_price,
                      (m.output_price_microusd * m.batch_percent + 99) / 100 as output_price,
                      u.definition_hash as definition, t.worker, t.component
                 from tidegate.batch_items_of_v1($1, $2, $3, $4) i
                 join tidegate.tasks t on t.id = i.id
                 join tidegate.lanes n on n.lane = i.lane
                 join tidegate.runs u on u.id = t.run_id
                 join tidegate.models m on m.model_id = i.model_id
                order by i.n"#,
            batch,
            after,
            most,
            tasks,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(BatchItem::from).collect())
    }

    /// What these tasks are about.
    ///
    /// # Errors
    /// As every statement.
    pub async fn bodies_of(&self, tasks: &[Claimed]) -> Result<Bodies, StoreError> {
        let ids: Vec<Uuid> = tasks.iter().map(|task| task.task).collect();
        let items = self.bodies(&ids).await?;
        let mut needed: HashMap<Uuid, Vec<_>> = HashMap::new();
        if tasks.iter().any(|task| !task.component.is_empty()) {
            for need in self.needed(&ids).await? {
                needed.entry(need.task).or_default().push(need);
            }
        }
        Ok(Bodies {
            items: items.into_iter().map(|body| (body.task, body)).collect(),
            needed,
        })
    }

    /// Forgets what a batch owed to tasks that went on without it and did not bring, with their calls closed
    /// as lost. `billed`: it may have been paid for. Returns how many.
    ///
    /// # Errors
    /// As every statement.
    pub async fn forget_unheard(&self, batch: Uuid, billed: bool) -> Result<usize, StoreError> {
        let mut all = 0;
        loop {
            let gone = sqlx::query_scalar!(
                r#"select tidegate.forget_unheard_v1($1, $2, 1000) as "n!""#,
                batch,
                billed
            )
            .fetch_one(&self.pool)
            .await?;
            all += usize::try_from(gone).unwrap_or(0);
            if gone == 0 {
                return Ok(all);
            }
        }
    }

    /// Gives back, uncharged, what still waits in a batch that nothing was sent of. Returns how many.
    ///
    /// # Errors
    /// As every statement.
    pub async fn give_back_batch(
        &self,
        process: Uuid,
        batch: Uuid,
        class: &str,
        why: &str,
    ) -> Result<usize, StoreError> {
        let mut all = 0;
        loop {
            let given = sqlx::query_scalar!(
                r#"select tidegate.give_back_batch_v1($1, $2, 1000, $3, $4) as "n!""#,
                process,
                batch,
                class,
                why,
            )
            .fetch_one(&self.pool)
            .await?;
            all += usize::try_from(given).unwrap_or(0);
            if given == 0 {
                return Ok(all);
            }
        }
    }

    /// Divides a batch of which nothing is under way: its items after this place become a batch of their
    /// own; without a place, its second half. Returns how many went.
    ///
    /// # Errors
    /// As every statement.
    pub async fn split_batch(
        &self,
        batch: &Batch,
        new: Uuid,
        token: &str,
        after: Option<i32>,
    ) -> Result<usize, StoreError> {
        let went = sqlx::query_scalar!(
            r#"select tidegate.split_batch_v1($1, $2, $3, $4) as "n!""#,
            batch.id,
            new,
            token,
            after,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(usize::try_from(went).unwrap_or(0))
    }
}
