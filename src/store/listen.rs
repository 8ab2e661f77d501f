//! Listening for wake-ups. NOTIFY only shortens a wait: the poll finds everything without it.
//!
//! A listener cannot tell silence from deafness, so it has a second channel that nobody else knows,
//! on which it is called to prove that it hears.

use sqlx::postgres::{PgListener, PgPoolOptions};
use uuid::Uuid;

use super::{Pooler, Settings, Store, StoreError, link};

/// The one channel of all processes. Its payload says who is to wake.
pub const CHANNEL: &str = "tidegate";

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// There is something to claim.
    Ready,
    /// There is something to care for.
    Care,
    /// One's own call, with its number.
    Proof(String),
}

/// Hears what is called out, on a connection of its own.
#[derive(Debug)]
pub struct Ear {
    listener: PgListener,
    /// The channel of the proof.
    own: String,
}

impl Ear {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the connection cannot be made within [`Settings::acquire_timeout`].
    pub async fn open(settings: &Settings) -> Result<Self, StoreError> {
        let opening = async {
            // a pool of one, which the driver wants for reconnecting; we open another ear instead
            let pool = PgPoolOptions::new()
                .max_connections(1)
                .acquire_timeout(settings.acquire_timeout)
                .max_lifetime(None)
                .idle_timeout(None)
                .connect_lazy_with(link::plain_options(settings)?);
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.eager_reconnect(false);
            listener.ignore_pool_close_event(true);
            let own = format!("{CHANNEL}_{}", crate::task::new_id().simple());
            listener.listen_all([CHANNEL, own.as_str()]).await?;
            Ok(Self { listener, own })
        };
        tokio::time::timeout(settings.acquire_timeout, opening)
            .await
            .unwrap_or(Err(StoreError::NoAnswer))
    }

    /// Where to [call](Store::call_out) to be heard here alone.
    pub fn own_channel(&self) -> &str {
        &self.own
    }

    /// Waits for the next call.
    ///
    /// # Errors
    /// When the connection broke: open another.
    ///
    /// # Cancel safety
    /// Nothing that arrived is lost when it is dropped.
    pub async fn hear(&mut self) -> Result<Heard, StoreError> {
        let Some(heard) = self.listener.try_recv().await? else {
            return Err(StoreError::NoAnswer);
        };
        if heard.channel() == self.own {
            return Ok(Heard::Proof(heard.payload().to_owned()));
        }
        Ok(match heard.payload() {
            "care" => Heard::Care,
            // older programs say other things, and mean this
            _ => Heard::Ready,
        })
    }
}

impl Store {
    /// Whether nobody can listen: a pooler gives each transaction another server.
    pub fn is_deaf(&self) -> bool {
        self.pooler() == Pooler::Transaction
    }

    /// Calls a number out on a channel, over the pool.
    ///
    /// # Errors
    /// As every statement.
    pub async fn call_out(&self, channel: &str, number: Uuid) -> Result<(), StoreError> {
        sqlx::query("select pg_notify($1, $2)")
            .bind(channel)
            .bind(number.simple().to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
