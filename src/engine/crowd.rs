//! A crowd: more processes than the server has connections for.
//!
//! Then each keeps none that it does not use, does not listen, and looks less often, so that all get
//! their turn. Heartbeats see it (`store::process::Beaten`).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// A crowd that makes room is hard to see: it is taken to be there for so long.
const LASTS: Duration = Duration::from_secs(600);

/// Whether it is there. Shared by the loops of a process.
#[derive(Clone, Debug, Default)]
pub(super) struct Crowd(Arc<Mutex<Option<Instant>>>);

impl Crowd {
    /// It was seen.
    pub(super) fn seen(&self) {
        let until = Instant::now() + LASTS;
        let before = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(until);
        if before.is_none_or(|before| before < Instant::now()) {
            tracing::warn!(
                "the database has few connections left: keeping none and looking less often; use fewer processes, a pooler, or raise max_connections"
            );
        }
    }

    /// Whether to make room.
    pub(super) fn is_there(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some_and(|until| Instant::now() < until)
    }
}
