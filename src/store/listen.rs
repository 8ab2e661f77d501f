//! Listening for wake-ups. NOTIFY only shortens a wait: the poll finds everything without it.

use std::sync::Arc;

use sqlx::postgres::PgListener;
use tokio::sync::Notify;

use super::{Store, StoreError};

/// The one channel. Its payload is a hint for people.
pub const CHANNEL: &str = "tidegate";

impl Store {
    /// Listens on a connection of its own until it breaks, waking at each notification: `care` where
    /// something is to be rendered or looked at, else `wake`.
    ///
    /// # Errors
    /// When the connection cannot be made, or breaks: the caller waits and listens again.
    pub async fn listen(&self, wake: &Arc<Notify>, care: &Arc<Notify>) -> Result<(), StoreError> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.ignore_pool_close_event(true);
        listener.listen(CHANNEL).await?;
        // whatever came between the last poll and now
        wake.notify_one();
        loop {
            match listener.try_recv().await? {
                Some(heard) if heard.payload() == "care" => care.notify_one(),
                Some(_) => wake.notify_one(),
                None => return Ok(()),
            }
        }
    }
}
