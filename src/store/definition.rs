//! Worker definitions by content hash: processes work from these, so that pods need no files.

use super::{Store, StoreError};

impl Store {
    /// Keeps a checked folder under its hash. Keeping it twice is one row.
    ///
    /// # Errors
    /// As every statement.
    pub async fn put_definition(
        &self,
        hash: &[u8],
        name: &str,
        version: &str,
        folder_json: &str,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into tidegate.worker_definitions (hash, name, version, folder)
             values ($1, $2, $3, $4::text::json) on conflict do nothing",
            hash,
            name,
            version,
            folder_json,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The folder kept under this hash, as JSON text.
    ///
    /// # Errors
    /// As every statement.
    pub async fn definition(&self, hash: &[u8]) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select folder::text as "folder!" from tidegate.worker_definitions where hash = $1"#,
            hash
        )
        .fetch_optional(&self.pool)
        .await?)
    }
}
