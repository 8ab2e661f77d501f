//! Answers of local work with the user's sink: one transaction, as for answers of models.

use uuid::Uuid;

use super::sink::{SinkRow, apply_sink};
use crate::store::{
    Store, StoreError,
    local::{LocalDone, LocalFates, settle_local},
};

impl Store {
    /// Stores answers of local work of one worker definition in one transaction, its sink included.
    ///
    /// When the sink refuses the batch, each answer is tried alone, so that one bad row fails alone.
    /// Runs to its end even if the caller goes away.
    ///
    /// # Errors
    /// As every statement; nothing is stored then, and the same call may be made again.
    pub async fn settle_local_sunk(
        &self,
        process: Uuid,
        done: LocalDone,
        sink: String,
    ) -> Result<LocalFates, StoreError> {
        let store = self.clone();
        // its own task: a transaction must never be dropped half-way
        tokio::spawn(async move { store.sunk_to_the_end(process, &done, &sink).await })
            .await
            .map_err(|error| StoreError::Refused(format!("settle stopped: {error}")))?
    }

    async fn sunk_to_the_end(
        &self,
        process: Uuid,
        done: &LocalDone,
        sink: &str,
    ) -> Result<LocalFates, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let late = settle_local(&mut *transaction, process, done).await?;
        let superseded = |task: Uuid| {
            late.iter()
                .any(|(id, fate)| *id == task && fate == "superseded")
        };
        let mut stored: Vec<SinkRow> = done
            .answers()
            .filter(|answer| !superseded(answer.task))
            .map(SinkRow::from)
            .collect();
        let refused = apply_sink(&mut transaction, sink, &mut stored).await?;
        for (task, words) in &refused {
            sqlx::query!(
                "select tidegate.settle_sink_failed_v1($1, $2, $3)",
                process,
                &[*task],
                words,
            )
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        let of = |wanted: &str| late.iter().filter(|(_, fate)| fate == wanted).count() as u64;
        Ok(LocalFates {
            salvaged: of("salvaged"),
            superseded: of("superseded"),
            refused: refused.into_iter().map(|(task, _)| task).collect(),
        })
    }
}
