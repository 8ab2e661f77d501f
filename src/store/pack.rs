//! How many items travel together, of what a worker asks: what was lost in packs, and changes of the size.

use super::{Store, StoreError};

/// Packs since the size last changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackCounts {
    /// Items that travel together now.
    pub size: i16,
    /// Items that may.
    pub most: i16,
    /// Packs that came back, calls of one item included.
    pub packs: i64,
    /// Their items.
    pub items: i64,
    /// Of these, lost: missing, doubled or malformed.
    pub lost: i64,
}

impl Store {
    /// How many items travel together now, by component, where that is known of this worker.
    ///
    /// # Errors
    /// As every statement.
    pub async fn pack_sizes(&self, worker: &str) -> Result<Vec<(String, i16)>, StoreError> {
        let rows = sqlx::query!(
            "select component, size from tidegate.pack_sizes where worker = $1",
            worker
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.component, row.size))
            .collect())
    }

    /// Notes packs that came back. `None`: the worker has no open run that packs.
    ///
    /// # Errors
    /// As every statement.
    pub async fn note_packs(
        &self,
        worker: &str,
        component: &str,
        packs: i32,
        items: i32,
        lost: i32,
    ) -> Result<Option<PackCounts>, StoreError> {
        Ok(sqlx::query_as!(
            PackCounts,
            r#"select o_size as "size!", o_most as "most!", o_packs as "packs!", o_items as "items!", o_lost as "lost!"
                 from tidegate.note_packs_v1($1, $2, $3, $4, $5)"#,
            worker,
            component,
            packs,
            items,
            lost,
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Sets how many items travel together, for this reason. `false`: somebody else did meanwhile.
    ///
    /// # Errors
    /// As every statement.
    pub async fn set_pack_size(
        &self,
        worker: &str,
        component: &str,
        old: i16,
        new: i16,
        reason: &str,
    ) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select tidegate.set_pack_size_v1($1, $2, $3, $4, $5) as "set!""#,
            worker,
            component,
            old,
            new,
            reason,
        )
        .fetch_one(&self.pool)
        .await?)
    }
}
